/* resources.c - what training asks of the machine before it begins; see trainer_state.h. */
#include "train/trainer_state.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"

/* A number of kB behind `key` in a file of /proc; UINT64_MAX: not there. */
static uint64_t resources_proc_kb(const char *path, const char *key) {
  char line[200];
  unsigned long long kb;
  uint64_t found = UINT64_MAX;
  FILE *f = fopen(path, "re");
  if( !f ) return UINT64_MAX;
  while( found == UINT64_MAX && fgets(line, sizeof line, f) )
    if( strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), " %llu", &kb) == 1 )
      found = kb * 1024;
  fclose(f);
  return found;
}

uint64_t ner_train_memory_free(void) {
  uint64_t n = resources_proc_kb("/proc/meminfo", "MemAvailable:");
  uint64_t used = resources_proc_kb("/proc/self/status", "VmSize:");
  struct rlimit limit;
  if( used != UINT64_MAX && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ) {
    uint64_t left = (uint64_t)limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 0;
    if( left < n ) n = left;
  }
  return n;
}

int ner_train_check_target(const char *target, uint64_t n_bytes, struct ner_err *err) {
  struct ner_file_writer writer;
  struct statvfs fs;
  const char *slash = strrchr(target, '/');
  char *dir = ner_strndup(slash ? target : ".", slash ? (size_t)(slash - target) + 1 : 1);
  int rc = dir ? NER_OK : ner_fail_nomem(err);
  if( rc == NER_OK && (rc = ner_file_write_begin(&writer, target, err)) == NER_OK ) {
    ner_file_write_abort(&writer);
    if( statvfs(dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < n_bytes )
      rc = ner_fail(err, NER_ERROR,
                    "%s: %llu MB are needed there, for the model and a checkpoint beside it, and "
                    "%llu MB are free; make room, or name another target",
                    target, (unsigned long long)(n_bytes / 1000000 + 1),
                    (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize / 1000000));
  }
  NER_FREE(dir);
  return rc;
}
