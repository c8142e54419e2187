/* file.c - see file.h. POSIX. */
#include "file.h"

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
static int open_regular(const char *path, int *fd, size_t *n_bytes, struct ner_err *err) {
  struct stat st;
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if( *fd < 0 ) return fail_errno(err, path, "open");
  if( fstat(*fd, &st) != 0 ) {
    int rc = fail_errno(err, path, "look at");
    close(*fd);
    return rc;
  }
  if( !S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > SIZE_MAX ) {
    close(*fd);
    return ner_fail(err, NER_ERROR, "%s: not an ordinary file; give a model file or directory",
                    path);
  }
  *n_bytes = (size_t)st.st_size;
  return NER_OK;
}

/* Mapped, so that opening costs nothing and processes share the pages. The price:
** a file that somebody cuts short while it is in use kills the process (SIGBUS).
** Models are replaced by renaming (as the writer below does), not in place; who
** cannot rely on that reads the bytes into memory here instead. */
int ner_file_map(const char *path, struct ner_mapping *out, struct ner_err *err) {
  int fd, rc;
  void *bytes;
  memset(out, 0, sizeof *out);
  if( (rc = open_regular(path, &fd, &out->n_bytes, err)) ) return rc;
  if( out->n_bytes == 0 ) {
    close(fd);
    return NER_OK;
  }
  bytes = mmap(NULL, out->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if( bytes == MAP_FAILED )
    rc = fail_errno(err, path, "map into memory");
  else
    out->bytes = bytes;
  close(fd);
  return rc;
}

void ner_file_unmap(struct ner_mapping *mapping) {
  if( mapping->bytes ) munmap((void *)mapping->bytes, mapping->n_bytes);
  memset(mapping, 0, sizeof *mapping);
}

int ner_file_read(const char *path, size_t max_bytes, char **out, size_t *n_bytes,
                  struct ner_err *err) {
  size_t size, done = 0;
  char *bytes;
  int fd, rc;
  *out = NULL;
  *n_bytes = 0;
  if( (rc = open_regular(path, &fd, &size, err)) ) return rc;
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

int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err) {
  static atomic_uint counter; /* threads of one process may write the same target */
  size_t n = strlen(path) + 40;
  if( ner_file_kind(path) == NER_FILE_DIRECTORY )
    return ner_fail(err, NER_ERROR, "%s: is a directory; name the file to be written", path);
  w->path = path;
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
    /* Some systems refuse more than 2 GB at once. */
    ssize_t done = write(w->fd, at, n_bytes < (1u << 30) ? n_bytes : (1u << 30));
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
