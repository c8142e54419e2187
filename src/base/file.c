/* file.c - see file.h. POSIX. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_errno(struct ner_err *err, const char *path, const char *doing) {
  int why = errno;
  if( why == ENOMEM ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s: cannot %s: %s", path, doing, strerror(why));
}

enum ner_file_kind ner_file_kind(const char *path) {
  struct stat st;
  if( stat(path, &st) != 0 )
    return errno == ENOENT || errno == ENOTDIR ? NER_FILE_MISSING : NER_FILE_OTHER;
  if( S_ISREG(st.st_mode) ) return NER_FILE_REGULAR;
  return S_ISDIR(st.st_mode) ? NER_FILE_DIRECTORY : NER_FILE_OTHER;
}

char *ner_file_join(const char *dir, const char *name) {
  size_t n_dir = strlen(dir), n_name = strlen(name);
  char *path = ner_alloc(n_dir + n_name + 2, 1);
  if( !path ) return NULL;
  memcpy(path, dir, n_dir);
  if( n_dir && dir[n_dir - 1] != '/' ) path[n_dir++] = '/';
  memcpy(path + n_dir, name, n_name + 1);
  return path;
}

/* Opened once, and measured through that descriptor: what is checked is what is
** read. O_NONBLOCK so that a named pipe does not hang the host. */
static int open_regular(const char *path, int *fd, struct stat *st, struct ner_err *err) {
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if( *fd < 0 ) return fail_errno(err, path, "open");
  if( fstat(*fd, st) != 0 ) {
    int rc = fail_errno(err, path, "look at");
    close(*fd);
    return rc;
  }
  if( !S_ISREG(st->st_mode) || st->st_size < 0 || (uint64_t)st->st_size > SIZE_MAX / 2 ) {
    close(*fd);
    return ner_fail(err, NER_ERROR, "%s: not an ordinary file; give a model file or directory",
                    path);
  }
  return NER_OK;
}

/* ---- large files ---- */

/* Bytes read or written between two questions whether to stop: some ms, on a slow disk more. */
#define AT_ONCE ((size_t)4 << 20)

/* Why models are read rather than mapped: who cuts a mapped file short, or loses the disk or
** the server it lies on, kills the process that next touches its pages (SIGBUS), and no
** library may install the handler that could prevent it. Looking at the size before
** each use leaves a gap, a lease tells of its breaking by a signal, and a private
** mapping loses its pages all the same. Bytes that were read are ours, whatever becomes of the
** file. The price is some ms a 100 MB at opening, and that processes do not share them: where that
** counts, and nobody but the operator can write to the file, NER_MMAP=1 maps. */
static int wants_mapping(bool *yes, struct ner_err *err) {
  const char *value = getenv("NER_MMAP");
  *yes = value && strcmp(value, "1") == 0;
  if( !value || *yes || strcmp(value, "0") == 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "NER_MMAP is \"%.40s\"; set it to 1 to map model files that nobody else can "
                  "write to, or unset it to have them read",
                  value);
}

/* About the whole pages inside [from, from + n), and no byte beside them. */
static void advise(const unsigned char *from, size_t n, int advice) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t begin = ((uintptr_t)from + page - 1) / page * page;
  const uintptr_t end = ((uintptr_t)from + n) / page * page;
  if( begin < end ) madvise((void *)begin, end - begin, advice);
}

static void remember_change(struct ner_file *file, const struct stat *st) {
#ifdef __APPLE__
  file->changed_s = st->st_mtimespec.tv_sec;
  file->changed_ns = st->st_mtimespec.tv_nsec;
#else
  file->changed_s = st->st_mtim.tv_sec;
  file->changed_ns = st->st_mtim.tv_nsec;
#endif
}

/* Memory for all of it, of which nothing is touched yet: a file that turns out to be no model,
** however large, costs nothing. Where the system has large pages they save most of the
** time that reading takes, and some of the model's. */
static int reserve(struct ner_file *file, const char *path, struct ner_err *err) {
  void *bytes;
  bool map;
  int rc = wants_mapping(&map, err);
  if( rc || file->n_bytes == 0 ) return rc;
  if( map ) {
    bytes = mmap(NULL, file->n_bytes, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if( bytes == MAP_FAILED ) return fail_errno(err, path, "map into memory");
    file->mapped = true;
  } else {
    bytes = ner_aligned_alloc(file->n_bytes, 1);
    if( !bytes ) return ner_fail_nomem(err);
#ifdef MADV_HUGEPAGE
    advise(bytes, file->n_bytes, MADV_HUGEPAGE);
#endif
  }
  file->bytes = bytes;
  return NER_OK;
}

int ner_file_open(const char *path, struct ner_file *out, struct ner_err *err) {
  struct stat st;
  int rc;
  memset(out, 0, sizeof *out);
  if( (rc = open_regular(path, &out->fd, &st, err)) ) return rc;
  out->is_open = true;
  out->n_bytes = (size_t)st.st_size;
  remember_change(out, &st);
  if( (rc = reserve(out, path, err)) ) ner_file_close(out);
  return rc;
}

int ner_file_want(struct ner_file *file, const char *path, size_t begin, size_t end,
                  struct ner_err *err) {
  if( !file->bytes || file->mapped ) return NER_OK;
  while( begin < end ) {
    size_t n = end - begin < AT_ONCE ? end - begin : AT_ONCE;
    ssize_t got;
    if( ner_cancelled(file->cancel) ) return ner_fail_interrupted(err);
    got = pread(file->fd, (void *)(file->bytes + begin), n, (off_t)begin);
    if( got < 0 && errno == EINTR ) continue;
    if( got < 0 ) return fail_errno(err, path, "read");
    if( got == 0 )
      return ner_fail(err, NER_ERROR, "%s: became shorter while it was being read; load it again",
                      path);
    begin += (size_t)got;
  }
  return NER_OK;
}

void ner_file_forget(struct ner_file *file, size_t begin, size_t end) {
  if( file->bytes && !file->mapped ) advise(file->bytes + begin, end - begin, MADV_DONTNEED);
}

/* Somebody who copies a new file over the old one, instead of renaming it into place, would
** otherwise leave us with a part of each. */
int ner_file_settle(struct ner_file *file, const char *path, struct ner_err *err) {
  struct ner_file now = {0};
  struct stat st;
  int rc = NER_OK;
  if( !file->is_open ) return NER_OK;
  if( fstat(file->fd, &st) != 0 ) {
    rc = fail_errno(err, path, "look at");
  } else {
    remember_change(&now, &st);
    if( (uint64_t)st.st_size != file->n_bytes || now.changed_s != file->changed_s ||
        now.changed_ns != file->changed_ns )
      rc = ner_fail(err, NER_ERROR,
                    "%s: was changed while it was being read; load it again once it is complete",
                    path);
  }
  close(file->fd);
  file->is_open = false;
  file->cancel = NULL;
  return rc;
}

void ner_file_close(struct ner_file *file) {
  if( file->mapped )
    munmap((void *)file->bytes, file->n_bytes);
  else
    ner_aligned_free((void *)file->bytes);
  if( file->is_open ) close(file->fd);
  memset(file, 0, sizeof *file);
}

/* ---- small files ---- */

int ner_file_read(const char *path, size_t max_bytes, char **out, size_t *n_bytes,
                  struct ner_err *err) {
  size_t size, done = 0;
  struct stat st;
  char *bytes;
  int fd, rc;
  *out = NULL;
  *n_bytes = 0;
  if( (rc = open_regular(path, &fd, &st, err)) ) return rc;
  size = (size_t)st.st_size;
  if( size > max_bytes ) {
    close(fd);
    return ner_fail(err, NER_ERROR, "%s: %zu bytes, more than the %zu such a file may have", path,
                    size, max_bytes);
  }
  bytes = ner_alloc(size + 1, 1);
  if( !bytes ) rc = ner_fail_nomem(err);
  while( rc == NER_OK && done < size ) {
    ssize_t got = read(fd, bytes + done, size - done);
    if( got < 0 && errno == EINTR ) continue;
    if( got < 0 ) rc = fail_errno(err, path, "read");
    if( got <= 0 ) break; /* 0: it became shorter meanwhile */
    done += (size_t)got;
  }
  close(fd);
  if( rc ) {
    NER_FREE(bytes);
    return rc;
  }
  bytes[done] = 0;
  *out = bytes;
  *n_bytes = done;
  return NER_OK;
}

/* ---- writing ---- */

int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err) {
  static atomic_uint counter; /* threads of one process may write the same target */
  size_t n = strlen(path) + 40;
  if( ner_file_kind(path) == NER_FILE_DIRECTORY )
    return ner_fail(err, NER_ERROR, "%s: is a directory; name the file to be written", path);
  w->path = path;
  w->cancel = NULL;
  w->temp = ner_alloc(n, 1);
  if( !w->temp ) return ner_fail_nomem(err);
  do {
    snprintf(w->temp, n, "%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&counter, 1));
    w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while( w->fd < 0 && errno == EEXIST );
  if( w->fd < 0 ) {
    int rc = fail_errno(err, path, "be written");
    NER_FREE(w->temp);
    return rc;
  }
  return NER_OK;
}

int ner_file_write(struct ner_file_writer *w, const void *data, size_t n_bytes,
                   struct ner_err *err) {
  const char *at = data;
  while( n_bytes > 0 ) {
    ssize_t done;
    if( ner_cancelled(w->cancel) ) return ner_fail_interrupted(err);
    done = write(w->fd, at, n_bytes < AT_ONCE ? n_bytes : AT_ONCE);
    if( done < 0 && errno == EINTR ) continue;
    if( done <= 0 ) return fail_errno(err, w->path, "be written");
    at += done;
    n_bytes -= (size_t)done;
  }
  return NER_OK;
}

/* A rename lasts only once the directory is on disk, too. Best effort: not every
** file system can. */
static void sync_directory(const char *temp) {
  const char *slash = strrchr(temp, '/');
  char *dir = ner_strndup(slash ? temp : ".", slash ? (size_t)(slash - temp) + 1 : 1);
  int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC) : -1;
  if( fd >= 0 ) {
    fsync(fd);
    close(fd);
  }
  NER_FREE(dir);
}

int ner_file_write_commit(struct ner_file_writer *w, struct ner_err *err) {
  int rc = NER_OK;
  if( fsync(w->fd) != 0 ) rc = fail_errno(err, w->path, "be written");
  if( close(w->fd) != 0 && rc == NER_OK ) rc = fail_errno(err, w->path, "be written");
  if( rc == NER_OK && rename(w->temp, w->path) != 0 ) rc = fail_errno(err, w->path, "be replaced");
  if( rc )
    unlink(w->temp);
  else
    sync_directory(w->temp);
  NER_FREE(w->temp);
  return rc;
}

void ner_file_write_abort(struct ner_file_writer *w) {
  close(w->fd);
  unlink(w->temp);
  NER_FREE(w->temp);
}
