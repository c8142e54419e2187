/*
** file_write.c - writing a file so that nothing else is harmed; see file.h. POSIX.
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

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_STEP_BYTES ((size_t)4 << 20) /* between two questions whether to cancel */
#define WRITE_MAX_LINKS  40                /* as Linux follows */
#define WRITE_PATH_BYTES 4096              /* PATH_MAX, which some systems do not define */
#define WRITE_NAME_BYTES 255               /* the longest name in a directory */
#define WRITE_TAG        ".ner-tmp-"

static int write_fail_errno(const struct ner_file_writer *w, struct ner_err *err) {
  int why = errno;
  if( why == ENOMEM ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s: cannot be written: %s; nothing was changed", w->path,
                  strerror(why));
}

/* ---- the target ---- */

/* Bytes of the path's directory with its last '/', 0: the current one. */
static size_t write_dir_bytes(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Replaces w->target, a symbolic link, by what it points to. */
static int write_follow(struct ner_file_writer *w, struct ner_err *err) {
  char link[WRITE_PATH_BYTES], *next;
  ssize_t n = readlink(w->target, link, sizeof link - 1);
  size_t n_dir;
  if( n < 0 ) return write_fail_errno(w, err);
  link[n] = 0;
  n_dir = link[0] == '/' ? 0 : write_dir_bytes(w->target);
  next = ner_alloc(n_dir + (size_t)n + 1, 1);
  if( !next ) return ner_fail_nomem(err);
  memcpy(next, w->target, n_dir);
  memcpy(next + n_dir, link, (size_t)n + 1);
  NER_FREE(w->target);
  w->target = next;
  return NER_OK;
}

/* Whether what `mode` describes may be replaced. */
static int write_check_kind(const struct ner_file_writer *w, mode_t mode, struct ner_err *err) {
  const char *what = S_ISDIR(mode)                    ? "a directory"
                     : S_ISFIFO(mode)                 ? "a FIFO"
                     : S_ISSOCK(mode)                 ? "a socket"
                     : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                                      : "not a regular file";
  bool is_link = strcmp(w->path, w->target) != 0;
  if( S_ISREG(mode) ) return NER_OK;
  return ner_fail(err, NER_ERROR, "%s%s%s: is %s; name the file to be written", w->path,
                  is_link ? ", a link to " : "", is_link ? w->target : "", what);
}

/* Finds the file to replace: w->target, with *exists and *st where there is one. */
static int write_find_target(struct ner_file_writer *w, bool *exists, struct stat *st,
                             struct ner_err *err) {
  int rc = NER_OK, n_links = 0;
  *exists = false;
  w->target = ner_strndup(w->path, strlen(w->path));
  if( !w->target ) return ner_fail_nomem(err);
  while( rc == NER_OK ) {
    if( lstat(w->target, st) != 0 ) return errno == ENOENT ? NER_OK : write_fail_errno(w, err);
    if( !S_ISLNK(st->st_mode) ) break;
    errno = ELOOP;
    rc = ++n_links > WRITE_MAX_LINKS ? write_fail_errno(w, err) : write_follow(w, err);
  }
  if( rc != NER_OK ) return rc;
  *exists = true;
  return write_check_kind(w, st->st_mode, err);
}

/* ---- the temporary file ---- */

/* Room for a name derived from w->target. */
static char *write_temp_alloc(const struct ner_file_writer *w, size_t *n_bytes) {
  *n_bytes = strlen(w->target) + sizeof WRITE_TAG + 16;
  return ner_alloc(*n_bytes, 1);
}

/* A new name in the target's directory. It contains as much of the target's name as fits. */
static void write_temp_name(const struct ner_file_writer *w, size_t n_bytes) {
  const char *name = w->target + write_dir_bytes(w->target);
  const int n_name_max = WRITE_NAME_BYTES - 1 - (int)strlen(WRITE_TAG) - 8;
  snprintf(w->temp, n_bytes, "%.*s.%.*s" WRITE_TAG "%08x", (int)write_dir_bytes(w->target),
           w->target, n_name_max, name, (unsigned)(ner_random() >> 32));
}

/* Gives the temporary file the owner and the mode of the file it is to replace. */
static int write_take_owner(struct ner_file_writer *w, const struct stat *old,
                            struct ner_err *err) {
  struct stat st;
  if( fstat(w->fd, &st) != 0 ) return write_fail_errno(w, err);
  if( (st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
      fchown(w->fd, old->st_uid, old->st_gid) != 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: its owner cannot be kept: %s; remove the file first, or name another one",
                    w->path, strerror(errno));
  /* After the owner, whose change clears some bits. */
  if( (st.st_mode & 07777) != (old->st_mode & 07777) && fchmod(w->fd, old->st_mode & 07777) != 0 )
    return write_fail_errno(w, err);
  return NER_OK;
}

static int write_open_temp(struct ner_file_writer *w, bool exists, const struct stat *old,
                           struct ner_err *err) {
  size_t n_bytes;
  int rc = NER_OK;
  w->temp = write_temp_alloc(w, &n_bytes);
  if( !w->temp ) return ner_fail_nomem(err);
  do { /* readable by its owner only, until it has the old file's mode */
    write_temp_name(w, n_bytes);
    w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? 0600 : 0666);
  } while( w->fd < 0 && errno == EEXIST );
  if( w->fd < 0 ) return write_fail_errno(w, err);
  if( exists ) rc = write_take_owner(w, old, err);
  if( rc != NER_OK ) {
    close(w->fd);
    unlink(w->temp);
  }
  return rc;
}

static void write_free(struct ner_file_writer *w) {
  NER_FREE(w->temp);
  NER_FREE(w->target);
}

int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err) {
  struct stat old;
  bool exists;
  int rc;
  memset(w, 0, sizeof *w);
  w->path = path;
  w->process = getpid();
  rc = write_find_target(w, &exists, &old, err);
  if( rc == NER_OK ) rc = write_open_temp(w, exists, &old, err);
  if( rc != NER_OK ) write_free(w);
  return rc;
}

/* ---- its bytes ---- */

/* A write beyond the limit raises SIGXFSZ, which ends a process that neither handles nor ignores
** it, and the temporary file would stay. */
static int write_check_limit(const struct ner_file_writer *w, size_t n_bytes, struct ner_err *err) {
  struct rlimit limit;
  if( getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ) return NER_OK;
  if( w->n_bytes + n_bytes <= limit.rlim_cur ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "%s: cannot be written: files of this process may have %llu bytes at most "
                  "(ulimit -f); nothing was changed",
                  w->path, (unsigned long long)limit.rlim_cur);
}

/* A callback may fork. The child has the descriptor and its offset in common with the parent, who
** goes on writing: it must not write, rename or remove anything. */
static bool write_is_forked(const struct ner_file_writer *w) {
  return w->process != getpid();
}

int ner_file_write(struct ner_file_writer *w, const void *data, size_t n_bytes,
                   struct ner_err *err) {
  const char *at = data;
  while( n_bytes > 0 ) {
    size_t n = n_bytes < WRITE_STEP_BYTES ? n_bytes : WRITE_STEP_BYTES;
    ssize_t done;
    int rc;
    if( ner_cancelled(w->cancel) || write_is_forked(w) ) return ner_fail_interrupted(err);
    if( (rc = write_check_limit(w, n, err)) ) return rc;
    done = write(w->fd, at, n);
    if( done < 0 && errno == EINTR ) continue;
    if( done <= 0 ) return write_fail_errno(w, err);
    at += done;
    n_bytes -= (size_t)done;
    w->n_bytes += (uint64_t)done;
  }
  return NER_OK;
}

/* ---- the end ---- */

/* A rename lasts only once the directory is on disk, too. Best effort: not every file system can
** do that. */
static void write_sync_directory(const char *path) {
  size_t n = write_dir_bytes(path);
  char *dir = ner_strndup(n ? path : ".", n ? n : 1);
  int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC) : -1;
  if( fd >= 0 ) {
    fsync(fd);
    close(fd);
  }
  NER_FREE(dir);
}

int ner_file_write_commit(struct ner_file_writer *w, struct ner_err *err) {
  struct stat st;
  int rc = NER_OK;
  if( write_is_forked(w) ) {
    ner_file_write_abort(w);
    return ner_fail_interrupted(err);
  }
  if( fsync(w->fd) != 0 ) rc = write_fail_errno(w, err);
  if( close(w->fd) != 0 && rc == NER_OK ) rc = write_fail_errno(w, err);
  /* Once more, for something else may be there by now. */
  if( rc == NER_OK && lstat(w->target, &st) == 0 ) rc = write_check_kind(w, st.st_mode, err);
  if( rc == NER_OK && rename(w->temp, w->target) != 0 ) rc = write_fail_errno(w, err);
  if( rc != NER_OK )
    unlink(w->temp);
  else
    write_sync_directory(w->target);
  write_free(w);
  return rc;
}

void ner_file_write_abort(struct ner_file_writer *w) {
  close(w->fd);
  if( !write_is_forked(w) ) unlink(w->temp);
  write_free(w);
}
