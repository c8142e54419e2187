/* os_posix_files.c - files on POSIX systems; see os.h. */
#ifndef _WIN32
#define _GNU_SOURCE /* O_CLOEXEC, realpath */
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define POSIX_MAX_LINKS  40   /* as Linux follows */
#define POSIX_PATH_BYTES 4096 /* PATH_MAX, which some systems do not define */

/* ---- errors ---- */

const char *ner_os_why(int error, char out[NER_OS_WHY_BYTES]) {
  snprintf(out, NER_OS_WHY_BYTES, "%s", strerror(error));
  return out;
}
bool ner_os_is_missing(int error) {
  return error == ENOENT || error == ENOTDIR;
}
bool ner_os_is_existing(int error) {
  return error == EEXIST;
}
bool ner_os_is_nomem(int error) {
  return error == ENOMEM;
}

/* ---- paths ---- */

bool ner_path_is_separator(char c) {
  return c == '/';
}

size_t ner_path_dir_bytes(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

bool ner_path_stays_below(const char *name) {
  if( *name == 0 || *name == '/' ) return false;
  for( const char *part = name; part; part = strchr(part, '/') ) {
    if( *part == '/' ) part++;
    if( strncmp(part, "..", 2) == 0 && (part[2] == 0 || part[2] == '/') ) return false;
  }
  return true;
}

/* ---- reading ---- */

static void posix_describe(const struct stat *st, struct ner_os_info *info) {
  const mode_t mode = st->st_mode;
  info->kind = S_ISREG(mode)   ? NER_FILE_REGULAR
               : S_ISDIR(mode) ? NER_FILE_DIRECTORY
                               : NER_FILE_OTHER;
  info->what = S_ISREG(mode)                    ? "a regular file"
               : S_ISDIR(mode)                  ? "a directory"
               : S_ISFIFO(mode)                 ? "a FIFO"
               : S_ISSOCK(mode)                 ? "a socket"
               : S_ISLNK(mode)                  ? "a link"
               : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                                : "not a regular file";
  info->n_bytes = st->st_size < 0 ? 0 : (uint64_t)st->st_size;
#ifdef __APPLE__
  info->changed_s = st->st_mtimespec.tv_sec;
  info->changed_ns = st->st_mtimespec.tv_nsec;
#else
  info->changed_s = st->st_mtim.tv_sec;
  info->changed_ns = st->st_mtim.tv_nsec;
#endif
}

int ner_os_open(const char *path, ner_os_file *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  *out = fd;
  return fd < 0 ? errno : 0;
}

int ner_os_look(ner_os_file file, struct ner_os_info *info) {
  struct stat st;
  if( fstat((int)file, &st) != 0 ) return errno;
  posix_describe(&st, info);
  return 0;
}

int ner_os_look_at(const char *path, struct ner_os_info *info) {
  struct stat st;
  if( stat(path, &st) != 0 ) return errno;
  posix_describe(&st, info);
  return 0;
}

int ner_os_look_at_entry(const char *path, struct ner_os_info *info) {
  struct stat st;
  if( lstat(path, &st) != 0 ) return errno;
  posix_describe(&st, info);
  return 0;
}

int ner_os_read_at(ner_os_file file, void *out, size_t n_bytes, uint64_t offset, size_t *n_read) {
  ssize_t n;
  do n = pread((int)file, out, n_bytes, (off_t)offset);
  while( n < 0 && errno == EINTR );
  *n_read = n < 0 ? 0 : (size_t)n;
  return n < 0 ? errno : 0;
}

int ner_os_map_file(ner_os_file file, size_t n_bytes, void **out) {
  *out = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, (int)file, 0);
  if( *out != MAP_FAILED ) return 0;
  *out = NULL;
  return errno;
}

void ner_os_unmap_file(const void *p, size_t n_bytes) {
  munmap((void *)p, n_bytes);
}

/* ---- writing ---- */

int ner_os_create(const char *path, bool is_private, ner_os_file *out) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_private ? 0600 : 0666);
  *out = fd;
  return fd < 0 ? errno : 0;
}

int ner_os_copy_access(ner_os_file file, const char *from, const char **what) {
  struct stat st, old;
  *what = "mode";
  if( lstat(from, &old) != 0 || fstat((int)file, &st) != 0 ) return errno;
  if( (st.st_uid != old.st_uid || st.st_gid != old.st_gid) &&
      fchown((int)file, old.st_uid, old.st_gid) != 0 ) {
    *what = "owner";
    return errno;
  }
  /* After the owner, whose change clears some bits. */
  if( (st.st_mode & 07777) != (old.st_mode & 07777) && fchmod((int)file, old.st_mode & 07777) != 0 )
    return errno;
  return 0;
}

int ner_os_write(ner_os_file file, const void *bytes, size_t n_bytes, size_t *n_written) {
  ssize_t n;
  do n = write((int)file, bytes, n_bytes);
  while( n < 0 && errno == EINTR );
  *n_written = n < 0 ? 0 : (size_t)n;
  if( n == 0 && n_bytes > 0 ) return ENOSPC;
  return n < 0 ? errno : 0;
}

int ner_os_flush(ner_os_file file) {
  return fsync((int)file) == 0 ? 0 : errno;
}

int ner_os_close(ner_os_file file) {
  return close((int)file) == 0 ? 0 : errno;
}

uint64_t ner_os_file_limit(void) {
  struct rlimit limit;
  if( getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ) return UINT64_MAX;
  return limit.rlim_cur;
}

int ner_os_rename(const char *from, const char *to) {
  return rename(from, to) == 0 ? 0 : errno;
}

int ner_os_remove(const char *path) {
  return unlink(path) == 0 ? 0 : errno;
}

/* Not every file system can do that. */
void ner_os_flush_directory(const char *path) {
  size_t n = ner_path_dir_bytes(path);
  char *dir = ner_strndup(n ? path : ".", n ? n : 1);
  int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC) : -1;
  if( fd >= 0 ) {
    fsync(fd);
    close(fd);
  }
  NER_FREE(dir);
}

/* ---- links and directories ---- */

/* Replaces *target, a symbolic link, by what it points to. */
static int posix_follow_one(char **target) {
  char link[POSIX_PATH_BYTES], *next;
  ssize_t n = readlink(*target, link, sizeof link - 1);
  size_t n_dir;
  if( n < 0 ) return errno;
  link[n] = 0;
  n_dir = link[0] == '/' ? 0 : ner_path_dir_bytes(*target);
  next = ner_alloc(n_dir + (size_t)n + 1, 1);
  if( !next ) return ENOMEM;
  memcpy(next, *target, n_dir);
  memcpy(next + n_dir, link, (size_t)n + 1);
  NER_FREE(*target);
  *target = next;
  return 0;
}

int ner_os_follow(const char *path, char **out, struct ner_os_info *info) {
  struct stat st;
  int rc = 0;
  info->kind = NER_FILE_MISSING;
  *out = ner_strndup(path, strlen(path));
  if( !*out ) return ENOMEM;
  for( int n_links = 0; rc == 0; n_links++ ) {
    if( lstat(*out, &st) != 0 ) return errno == ENOENT ? 0 : errno;
    if( !S_ISLNK(st.st_mode) ) break;
    rc = n_links == POSIX_MAX_LINKS ? ELOOP : posix_follow_one(out);
  }
  if( rc == 0 ) posix_describe(&st, info);
  return rc;
}

/* Not from the library's allocator: realpath() calls malloc(). */
int ner_os_resolve(const char *path, char **out) {
  char *resolved;
  errno = 0;
  resolved = realpath(path, NULL);
  *out = resolved ? ner_strndup(resolved, strlen(resolved)) : NULL;
  if( *out ) return free(resolved), 0;
  if( !resolved ) return errno ? errno : ENOENT;
  free(resolved);
  return ENOMEM;
}

void ner_os_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg) {
  DIR *entries = opendir(dir);
  struct dirent *entry;
  if( !entries ) return;
  while( (entry = readdir(entries)) != NULL && fn(arg, entry->d_name) ) {}
  closedir(entries);
}

bool ner_os_disk_free(const char *path, uint64_t *n_bytes) {
  struct statvfs fs;
  size_t n = ner_path_dir_bytes(path);
  char *dir = ner_strndup(n ? path : ".", n ? n : 1);
  bool known = dir && statvfs(dir, &fs) == 0;
  if( known ) *n_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
  NER_FREE(dir);
  return known;
}

#endif
