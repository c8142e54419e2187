/*
** file_write.c - writing a file so that nothing else is harmed; see file.h.
**
** The bytes go to a temporary file in the target's directory, .NAME.ner-tmp-XXXXXXXX, which is
** renamed to the target once it is complete and on disk. Only a regular file, or nothing, is ever
** replaced: a device, FIFO or socket would be gone for all who use it. A symbolic link stays, and
** what it points to is written. The new file has the mode and the owner of the one it replaces.
**
** The temporary file is removed on every failure, full disks and limits included. It stays only
** where the process is killed, and its name says whose it is.
*/
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define WRITE_STEP_BYTES ((size_t)4 << 20) /* between two questions whether to cancel */
#define WRITE_NAME_BYTES 255               /* the longest name in a directory */
#define WRITE_TAG        ".ner-tmp-"

static int write_fail(const struct ner_file_writer *w, int why, struct ner_err *err) {
  char words[NER_OS_WHY_BYTES];
  if( ner_os_is_nomem(why) ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s: cannot be written: %s; nothing was changed", w->path,
                  ner_os_why(why, words));
}

/* ---- the target ---- */

/* Whether what is there may be replaced. */
static int write_check_kind(const struct ner_file_writer *w, const struct ner_os_info *info,
                            struct ner_err *err) {
  bool is_link = strcmp(w->path, w->target) != 0;
  if( info->kind == NER_FILE_REGULAR || info->kind == NER_FILE_MISSING ) return NER_OK;
  return ner_fail(err, NER_ERROR, "%s%s%s: is %s; name the file to be written", w->path,
                  is_link ? ", a link to " : "", is_link ? w->target : "", info->what);
}

/* Finds the file to replace: w->target, and whether there is one. */
static int write_find_target(struct ner_file_writer *w, bool *exists, struct ner_err *err) {
  struct ner_os_info info;
  int why = ner_os_follow(w->path, &w->target, &info);
  if( why ) return write_fail(w, why, err);
  *exists = info.kind != NER_FILE_MISSING;
  return write_check_kind(w, &info, err);
}

/* ---- the temporary file ---- */

/* Room for a name derived from w->target. */
static char *write_temp_alloc(const struct ner_file_writer *w, size_t *n_bytes) {
  *n_bytes = strlen(w->target) + sizeof WRITE_TAG + 16;
  return ner_alloc(*n_bytes, 1);
}

/* A new name in the target's directory. It contains as much of the target's name as fits, and no
** part of a character: some file systems take well-formed UTF-8 alone. */
static void write_temp_name(const struct ner_file_writer *w, size_t n_bytes) {
  const size_t n_dir = ner_path_dir_bytes(w->target);
  const char *name = w->target + n_dir;
  size_t n = strlen(name), n_max = WRITE_NAME_BYTES - 1 - strlen(WRITE_TAG) - 8;
  if( n > n_max )
    for( n = n_max; n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80; ) n--;
  snprintf(w->temp, n_bytes, "%.*s.%.*s" WRITE_TAG "%08x", (int)n_dir, w->target, (int)n, name,
           (unsigned)(ner_random() >> 32));
}

/* Gives the temporary file what the file it is to replace has: owner and mode, or an access list. */
static int write_copy_access(struct ner_file_writer *w, struct ner_err *err) {
  char words[NER_OS_WHY_BYTES];
  const char *what;
  int why = ner_os_copy_access(w->handle, w->target, &what);
  if( !why ) return NER_OK;
  if( ner_os_is_nomem(why) ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR,
                  "%s: its %s cannot be kept: %s; remove the file first, or name another one",
                  w->path, what, ner_os_why(why, words));
}

static int write_open_temp(struct ner_file_writer *w, bool exists, struct ner_err *err) {
  size_t n_bytes;
  int rc = NER_OK, why;
  w->temp = write_temp_alloc(w, &n_bytes);
  if( !w->temp ) return ner_fail_nomem(err);
  do { /* readable by its owner only, until it has the old file's mode */
    write_temp_name(w, n_bytes);
    why = ner_os_create(w->temp, exists, &w->handle);
  } while( ner_os_is_existing(why) );
  if( why ) return write_fail(w, why, err);
  if( exists ) rc = write_copy_access(w, err);
  if( rc != NER_OK ) {
    ner_os_close(w->handle);
    ner_os_remove(w->temp);
  }
  return rc;
}

static void write_free(struct ner_file_writer *w) {
  NER_FREE(w->temp);
  NER_FREE(w->target);
}

int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err) {
  bool exists;
  int rc;
  memset(w, 0, sizeof *w);
  w->path = path;
  w->process = ner_process();
  rc = write_find_target(w, &exists, err);
  if( rc == NER_OK ) rc = write_open_temp(w, exists, err);
  if( rc != NER_OK ) write_free(w);
  return rc;
}

/* ---- its bytes ---- */

/* A write beyond the limit raises SIGXFSZ, which ends a process that neither handles nor ignores
** it, and the temporary file would stay. */
static int write_check_limit(const struct ner_file_writer *w, size_t n_bytes, struct ner_err *err) {
  const uint64_t limit = ner_os_file_limit();
  if( w->n_bytes + n_bytes <= limit ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "%s: cannot be written: files of this process may have %llu bytes at most "
                  "(ulimit -f); nothing was changed",
                  w->path, (unsigned long long)limit);
}

/* A callback may fork. The child has the descriptor and its offset in common with the parent, who
** goes on writing: it must not write, rename or remove anything. */
static bool write_is_forked(const struct ner_file_writer *w) {
  return w->process != ner_process();
}

int ner_file_write(struct ner_file_writer *w, const void *data, size_t n_bytes,
                   struct ner_err *err) {
  const char *at = data;
  while( n_bytes > 0 ) {
    size_t n = n_bytes < WRITE_STEP_BYTES ? n_bytes : WRITE_STEP_BYTES;
    size_t done;
    int rc, why;
    if( ner_cancelled(w->cancel) || write_is_forked(w) ) return ner_fail_interrupted(err);
    if( (rc = write_check_limit(w, n, err)) ) return rc;
    if( (why = ner_os_write(w->handle, at, n, &done)) ) return write_fail(w, why, err);
    at += done;
    n_bytes -= done;
    w->n_bytes += done;
  }
  return NER_OK;
}

/* ---- the end ---- */

int ner_file_write_commit(struct ner_file_writer *w, struct ner_err *err) {
  struct ner_os_info info;
  int rc = NER_OK, why, closed;
  if( write_is_forked(w) ) {
    ner_file_write_abort(w);
    return ner_fail_interrupted(err);
  }
  why = ner_os_flush(w->handle);
  closed = ner_os_close(w->handle);
  if( why || (why = closed) ) rc = write_fail(w, why, err);
  /* Once more, for something else may be there by now. */
  if( rc == NER_OK && ner_os_look_at_entry(w->target, &info) == 0 )
    rc = write_check_kind(w, &info, err);
  if( rc == NER_OK && (why = ner_os_rename(w->temp, w->target)) ) rc = write_fail(w, why, err);
  if( rc != NER_OK )
    ner_os_remove(w->temp);
  else
    ner_os_flush_directory(w->target); /* a rename lasts only once the directory is on disk, too */
  write_free(w);
  return rc;
}

void ner_file_write_abort(struct ner_file_writer *w) {
  ner_os_close(w->handle);
  if( !write_is_forked(w) ) ner_os_remove(w->temp);
  write_free(w);
}
