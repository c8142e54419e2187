/*
** file.c - reading files; see file.h. POSIX. Writing is in file_write.c.
*/
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_fail_errno(struct ner_err *err, const char *path, const char *doing) {
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

/* Opens the file once and measures it through that descriptor: what is checked is what is
** read. O_NONBLOCK keeps a named pipe from hanging the host. */
static int file_open_regular(const char *path, int *fd, struct stat *st, struct ner_err *err) {
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if( *fd < 0 ) return file_fail_errno(err, path, "open");
  if( fstat(*fd, st) != 0 ) {
    int rc = file_fail_errno(err, path, "look at");
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

/* Read between two questions whether to cancel: some ms, more on a slow disk. */
#define FILE_STEP_BYTES ((size_t)4 << 20)

/* Models are read rather than mapped. A mapped file that is truncated, or whose disk or server goes
** away, kills the process that next touches its pages (SIGBUS), and a library must not install
** the handler that could prevent this. Checking the size before each use leaves a gap, a lease
** reports its end by a signal, and a private mapping loses its pages, too. Bytes that have been
** read stay valid whatever happens to the file. The price is some ms per 100 MB at opening, and
** memory that processes do not share: where that counts, and only the operator can write to the
** file, NER_MMAP=1 maps it. */
static int file_wants_mapping(bool *yes, struct ner_err *err) {
  const char *value = getenv("NER_MMAP");
  *yes = value && strcmp(value, "1") == 0;
  if( !value || *yes || strcmp(value, "0") == 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "NER_MMAP is \"%.40s\"; set it to 1 to map model files that nobody else can "
                  "write to, or unset it to have them read",
                  value);
}

/* Advises about the whole pages inside [from, from + n), and about no byte outside. */
static void file_advise(const unsigned char *from, size_t n, int advice) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t begin = ((uintptr_t)from + page - 1) / page * page;
  const uintptr_t end = ((uintptr_t)from + n) / page * page;
  if( begin < end ) madvise((void *)begin, end - begin, advice);
}

static void file_remember_time(struct ner_file *file, const struct stat *st) {
#ifdef __APPLE__
  file->changed_s = st->st_mtimespec.tv_sec;
  file->changed_ns = st->st_mtimespec.tv_nsec;
#else
  file->changed_s = st->st_mtim.tv_sec;
  file->changed_ns = st->st_mtim.tv_nsec;
#endif
}

/* Reserves memory for the whole file and touches none of it: a file that turns out not to be a
** model costs nothing, however large it is. */
static int file_reserve(struct ner_file *file, const char *path, struct ner_err *err) {
  void *bytes;
  bool map;
  int rc = file_wants_mapping(&map, err);
  if( rc || file->n_bytes == 0 ) return rc;
  if( map ) {
    bytes = mmap(NULL, file->n_bytes, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if( bytes == MAP_FAILED ) return file_fail_errno(err, path, "map into memory");
    file->mapped = true;
  } else {
    bytes = ner_aligned_alloc(file->n_bytes, 1);
    if( !bytes ) return ner_fail_nomem(err);
  }
  file->bytes = bytes;
  return NER_OK;
}

int ner_file_open(const char *path, struct ner_file *out, struct ner_err *err) {
  struct stat st;
  int rc;
  memset(out, 0, sizeof *out);
  if( (rc = file_open_regular(path, &out->fd, &st, err)) ) return rc;
  out->is_open = true;
  out->n_bytes = (size_t)st.st_size;
  file_remember_time(out, &st);
  if( (rc = file_reserve(out, path, err)) ) ner_file_close(out);
  return rc;
}

int ner_file_read_range(struct ner_file *file, const char *path, size_t begin, size_t end,
                        struct ner_err *err) {
  if( !file->bytes || file->mapped ) return NER_OK;
  while( begin < end ) {
    size_t n = end - begin < FILE_STEP_BYTES ? end - begin : FILE_STEP_BYTES;
    ssize_t got;
    if( ner_cancelled(file->cancel) ) return ner_fail_interrupted(err);
    got = pread(file->fd, (void *)(file->bytes + begin), n, (off_t)begin);
    if( got < 0 && errno == EINTR ) continue;
    if( got < 0 ) return file_fail_errno(err, path, "read");
    if( got == 0 )
      return ner_fail(err, NER_ERROR, "%s: became shorter while it was being read; load it again",
                      path);
    begin += (size_t)got;
  }
  return NER_OK;
}

void ner_file_discard(struct ner_file *file, size_t begin, size_t end) {
  if( file->bytes && !file->mapped ) file_advise(file->bytes + begin, end - begin, MADV_DONTNEED);
}

/* A file that is copied over the old one, instead of renamed into its place, would otherwise yield
** a part of each. */
int ner_file_finalize(struct ner_file *file, const char *path, struct ner_err *err) {
  struct ner_file now = {0};
  struct stat st;
  int rc = NER_OK;
  if( !file->is_open ) return NER_OK;
  if( fstat(file->fd, &st) != 0 ) {
    rc = file_fail_errno(err, path, "look at");
  } else {
    file_remember_time(&now, &st);
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
  if( (rc = file_open_regular(path, &fd, &st, err)) ) return rc;
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
    if( got < 0 ) rc = file_fail_errno(err, path, "read");
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
