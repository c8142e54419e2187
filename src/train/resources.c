/* resources.c - what training asks of the machine before it begins; see trainer_state.h. */
#include "train/trainer_state.h"

#include "base/file.h"

int ner_train_check_target(const char *target, uint64_t n_bytes, struct ner_err *err) {
  struct ner_file_writer writer;
  uint64_t left;
  int rc = ner_file_write_begin(&writer, target, err);
  if( rc ) return rc;
  ner_file_write_abort(&writer);
  if( ner_os_disk_free(target, &left) && left < n_bytes )
    rc = ner_fail(err, NER_ERROR,
                  "%s: %llu MB are needed there, for the model and a checkpoint beside it, and "
                  "%llu MB are free; make room, or name another target",
                  target, (unsigned long long)(n_bytes / 1000000 + 1),
                  (unsigned long long)(left / 1000000));
  return rc;
}
