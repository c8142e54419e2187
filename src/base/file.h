/*
** file.h - what the library asks of the file system: read, map, replace.
**
** Errors begin with the path.
*/
#ifndef NER_FILE_H
#define NER_FILE_H

#include "base/os.h"

#pragma GCC visibility push(hidden)

enum ner_file_kind ner_file_kind(const char *path); /* follows symbolic links */

/* "dir/name", to be freed with NER_FREE; NULL when memory is out. */
char *ner_file_join(const char *dir, const char *name);

/* ---- file.c: reading ---- */

/* A large file, read piece by piece:
**     ner_file_open        learns its size and reserves memory for it
**     ner_file_read_range  makes bytes [begin, end) valid
**     ner_file_discard     gives their memory back
**     ner_file_finalize    ends reading; an error if the file changed meanwhile
**     ner_file_close
** After finalizing nothing that happens to the file matters any more. With NER_MMAP=1 the
** file is mapped instead; the operator then guarantees that nobody changes it (see file.c). */
struct ner_file {
  const unsigned char *bytes; /* [n_bytes], 64-byte aligned; NULL when the file is empty */
  size_t n_bytes;
  bool mapped;
  /* Until it is finalized: */
  bool is_open;
  ner_os_file handle;
  int64_t changed_s, changed_ns;   /* its modification time when it was opened */
  const struct ner_cancel *cancel; /* asked every few MB; borrowed, NULL after opening */
};
int ner_file_open(const char *path, struct ner_file *out, struct ner_err *err);
int ner_file_read_range(struct ner_file *file, const char *path, size_t begin, size_t end,
                        struct ner_err *err);
void ner_file_discard(struct ner_file *file, size_t begin, size_t end);
int ner_file_finalize(struct ner_file *file, const char *path, struct ner_err *err);
void ner_file_close(struct ner_file *file); /* {0} is fine */

/* A small file into memory: *out [*n_bytes] and a terminating NUL, for NER_FREE. */
int ner_file_read(const char *path, size_t max_bytes, char **out, size_t *n_bytes,
                  struct ner_err *err);

/* ---- file_write.c: writing ---- */

/* Writes a temporary file beside the target and renames it into place: readers see the old file or
** the new one, never a part, and a failure leaves the old one as it was. The target is `path`, or
** what that links to; it may be missing or a regular file, whose mode and owner are kept (on Windows:
** whose access list is kept). After a successful begin, exactly one of commit and abort. */
struct ner_file_writer {
  const char *path;                /* borrowed */
  const struct ner_cancel *cancel; /* asked every few MB; borrowed, NULL after beginning */
  char *target, *temp;
  ner_os_file handle;
  uint64_t n_bytes; /* written so far */
  int64_t process;  /* the one that began */
};
int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err);
int ner_file_write(struct ner_file_writer *w, const void *data, size_t n_bytes,
                   struct ner_err *err);
int ner_file_write_commit(struct ner_file_writer *w, struct ner_err *err);
void ner_file_write_abort(struct ner_file_writer *w);

#pragma GCC visibility pop
#endif
