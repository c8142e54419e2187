/* file.c - reading files; see file.h. Writing is in file_write.c. */
#include "base/file.h"

#include <string.h>

static int file_fail(struct ner_err *err, const char *path, const char *doing, int why) {
  char words[NER_OS_WHY_BYTES];
  if( ner_os_is_nomem(why) ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s: cannot %s: %s", path, doing, ner_os_why(why, words));
}

enum ner_file_kind ner_file_kind(const char *path) {
  struct ner_os_info info;
  int why = ner_os_look_at(path, &info);
  if( why ) return ner_os_is_missing(why) ? NER_FILE_MISSING : NER_FILE_OTHER;
  return info.kind;
}

char *ner_file_join(const char *dir, const char *name) {
  size_t n_dir = strlen(dir), n_name = strlen(name);
  char *path = ner_alloc(n_dir + n_name + 2, 1);
  if( !path ) return NULL;
  memcpy(path, dir, n_dir);
  if( n_dir && !ner_path_is_separator(dir[n_dir - 1]) ) path[n_dir++] = '/';
  memcpy(path + n_dir, name, n_name + 1);
  return path;
}

/* Opens the file once and measures it through that handle: what is checked is what is read. */
static int file_open_regular(const char *path, ner_os_file *handle, struct ner_os_info *info,
                             struct ner_err *err) {
  int why = ner_os_open(path, handle);
  if( why ) return file_fail(err, path, "open", why);
  if( (why = ner_os_look(*handle, info)) ) {
    ner_os_close(*handle);
    return file_fail(err, path, "look at", why);
  }
  if( info->kind != NER_FILE_REGULAR || info->n_bytes > SIZE_MAX / 2 ) {
    ner_os_close(*handle);
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
  const char *value = ner_environment("NER_MMAP");
  *yes = value && strcmp(value, "1") == 0;
  if( !value || *yes || strcmp(value, "0") == 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "NER_MMAP is \"%.40s\"; set it to 1 to map model files that nobody else can "
                  "write to, or unset it to have them read",
                  value);
}

/* Reserves memory for the whole file and touches none of it: a file that turns out not to be a
** model costs nothing, however large it is. */
static int file_reserve(struct ner_file *file, const char *path, struct ner_err *err) {
  void *bytes;
  bool map;
  int rc = file_wants_mapping(&map, err), why;
  if( rc || file->n_bytes == 0 ) return rc;
  if( map ) {
    why = ner_os_map_file(file->handle, file->n_bytes, &bytes);
    if( why ) return file_fail(err, path, "map into memory", why);
    file->mapped = true;
  } else {
    bytes = ner_aligned_alloc(file->n_bytes, 1);
    if( !bytes ) return ner_fail_nomem(err);
  }
  file->bytes = bytes;
  return NER_OK;
}

int ner_file_open(const char *path, struct ner_file *out, struct ner_err *err) {
  struct ner_os_info info;
  int rc;
  memset(out, 0, sizeof *out);
  if( (rc = file_open_regular(path, &out->handle, &info, err)) ) return rc;
  out->is_open = true;
  out->n_bytes = (size_t)info.n_bytes;
  out->changed_s = info.changed_s;
  out->changed_ns = info.changed_ns;
  if( (rc = file_reserve(out, path, err)) ) ner_file_close(out);
  return rc;
}

int ner_file_read_range(struct ner_file *file, const char *path, size_t begin, size_t end,
                        struct ner_err *err) {
  if( !file->bytes || file->mapped ) return NER_OK;
  while( begin < end ) {
    size_t n = end - begin < FILE_STEP_BYTES ? end - begin : FILE_STEP_BYTES;
    size_t got;
    int why;
    if( ner_cancelled(file->cancel) ) return ner_fail_interrupted(err);
    why = ner_os_read_at(file->handle, (void *)(file->bytes + begin), n, begin, &got);
    if( why ) return file_fail(err, path, "read", why);
    if( got == 0 )
      return ner_fail(err, NER_ERROR, "%s: became shorter while it was being read; load it again",
                      path);
    begin += got;
  }
  return NER_OK;
}

void ner_file_discard(struct ner_file *file, size_t begin, size_t end) {
  if( file->bytes && !file->mapped ) ner_os_discard(file->bytes + begin, end - begin);
}

/* A file that is copied over the old one, instead of renamed into its place, would otherwise yield
** a part of each. */
int ner_file_finalize(struct ner_file *file, const char *path, struct ner_err *err) {
  struct ner_os_info now;
  int rc = NER_OK, why;
  if( !file->is_open ) return NER_OK;
  if( (why = ner_os_look(file->handle, &now)) )
    rc = file_fail(err, path, "look at", why);
  else if( now.n_bytes != file->n_bytes || now.changed_s != file->changed_s ||
           now.changed_ns != file->changed_ns )
    rc = ner_fail(err, NER_ERROR,
                  "%s: was changed while it was being read; load it again once it is complete",
                  path);
  ner_os_close(file->handle);
  file->is_open = false;
  file->cancel = NULL;
  return rc;
}

void ner_file_close(struct ner_file *file) {
  if( file->mapped )
    ner_os_unmap_file(file->bytes, file->n_bytes);
  else
    ner_aligned_free((void *)file->bytes);
  if( file->is_open ) ner_os_close(file->handle);
  memset(file, 0, sizeof *file);
}

/* ---- small files ---- */

int ner_file_read(const char *path, size_t max_bytes, char **out, size_t *n_bytes,
                  struct ner_err *err) {
  size_t size, done = 0, got = 1;
  struct ner_os_info info;
  ner_os_file handle;
  char *bytes;
  int rc, why;
  *out = NULL;
  *n_bytes = 0;
  if( (rc = file_open_regular(path, &handle, &info, err)) ) return rc;
  size = (size_t)info.n_bytes;
  if( size > max_bytes ) {
    ner_os_close(handle);
    return ner_fail(err, NER_ERROR, "%s: %zu bytes, more than the %zu such a file may have", path,
                    size, max_bytes);
  }
  bytes = ner_alloc(size + 1, 1);
  if( !bytes ) rc = ner_fail_nomem(err);
  while( rc == NER_OK && done < size && got > 0 ) { /* 0: it became shorter meanwhile */
    why = ner_os_read_at(handle, bytes + done, size - done, done, &got);
    if( why ) rc = file_fail(err, path, "read", why);
    done += got;
  }
  ner_os_close(handle);
  if( rc ) {
    NER_FREE(bytes);
    return rc;
  }
  bytes[done] = 0;
  *out = bytes;
  *n_bytes = done;
  return NER_OK;
}
