/*
** os_windows_files.c - files on Windows; see os.h.
**
** Paths are made absolute and, where they are long, given the prefix \\?\, which lifts the limit of
** 260 characters. Error numbers are GetLastError()'s.
*/
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#include "base/os_windows.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>

#define WINDOWS_LONG_PATH 240 /* characters; a directory's path may have no more than 247 */
#define WINDOWS_TRIES     10  /* a virus scanner or indexer may have the file open for a moment */
#define WINDOWS_PAUSE_MS  25

#define WINDOWS_SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/* ---- strings ---- */

wchar_t *ner_windows_wide(const char *s) {
  int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, s, -1, NULL, 0);
  wchar_t *wide = n > 0 ? ner_alloc((size_t)n, sizeof *wide) : NULL;
  if( wide ) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, s, -1, wide, n);
  return wide;
}

char *ner_windows_utf8(const wchar_t *s) {
  int n = WideCharToMultiByte(CP_UTF8, 0, s, -1, NULL, 0, NULL, NULL);
  char *text = n > 0 ? ner_alloc((size_t)n, 1) : NULL;
  if( text ) WideCharToMultiByte(CP_UTF8, 0, s, -1, text, n, NULL, NULL);
  return text;
}

/* ---- errors ---- */

#define WINDOWS_MISSING "No such file or directory"

/* What POSIX systems have too, in their words. */
static const struct {
  int error;
  const char *why;
} windows_errors[] = {
    {ERROR_FILE_NOT_FOUND, WINDOWS_MISSING},
    {ERROR_PATH_NOT_FOUND, WINDOWS_MISSING},
    {ERROR_INVALID_DRIVE, WINDOWS_MISSING},
    {ERROR_BAD_NETPATH, WINDOWS_MISSING},
    {ERROR_BAD_NET_NAME, WINDOWS_MISSING},
    {ERROR_INVALID_NAME, WINDOWS_MISSING}, /* a name that no file can have */
    {ERROR_NO_UNICODE_TRANSLATION, WINDOWS_MISSING},
    {ERROR_ACCESS_DENIED, "Permission denied"},
    {ERROR_WRITE_PROTECT, "Read-only file system"},
    {ERROR_SHARING_VIOLATION, "another program has it open"},
    {ERROR_LOCK_VIOLATION, "another program has locked it"},
    {ERROR_USER_MAPPED_FILE, "a program has it mapped into memory"},
    {ERROR_DISK_FULL, "No space left on device"},
    {ERROR_HANDLE_DISK_FULL, "No space left on device"},
    {ERROR_FILE_EXISTS, "File exists"},
    {ERROR_ALREADY_EXISTS, "File exists"},
    {ERROR_FILENAME_EXCED_RANGE, "File name too long"},
    {ERROR_BUFFER_OVERFLOW, "File name too long"},
    {ERROR_CANT_RESOLVE_FILENAME, "Too many levels of symbolic links"},
    {ERROR_TOO_MANY_OPEN_FILES, "Too many open files"},
};

/* NULL: it has no words there. */
static const char *windows_known_why(int error) {
  for( size_t i = 0; i < sizeof windows_errors / sizeof *windows_errors; i++ )
    if( windows_errors[i].error == error ) return windows_errors[i].why;
  return NULL;
}

const char *ner_os_why(int error, char out[NER_OS_WHY_BYTES]) {
  const char *known = windows_known_why(error);
  wchar_t wide[NER_OS_WHY_BYTES];
  DWORD n;
  char *text;
  if( known ) return known;
  n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)error,
                     0, wide, NER_OS_WHY_BYTES - 1, NULL);
  while( n > 0 && (wide[n - 1] <= L' ' || wide[n - 1] == L'.') ) n--;
  wide[n] = 0;
  text = n > 0 ? ner_windows_utf8(wide) : NULL;
  if( text )
    ner_format(out, NER_OS_WHY_BYTES, "%s", text);
  else
    ner_format(out, NER_OS_WHY_BYTES, "error %d of Windows", error);
  NER_FREE(text);
  return out;
}

bool ner_os_is_missing(int error) {
  const char *known = windows_known_why(error);
  return known && strcmp(known, WINDOWS_MISSING) == 0;
}
bool ner_os_is_existing(int error) {
  return error == ERROR_FILE_EXISTS || error == ERROR_ALREADY_EXISTS;
}
bool ner_os_is_nomem(int error) {
  return error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_OUTOFMEMORY ||
         error == ERROR_COMMITMENT_LIMIT;
}

static int windows_error(void) {
  int error = (int)GetLastError();
  return error ? error : ERROR_GEN_FAILURE;
}

/* ---- paths ---- */

bool ner_path_is_separator(char c) {
  return c == '/' || c == '\\';
}

size_t ner_path_dir_bytes(const char *path) {
  size_t n = strlen(path);
  while( n > 0 && !ner_path_is_separator(path[n - 1]) && !(n == 2 && path[1] == ':') ) n--;
  return n;
}

/* A ':' begins a stream of the file, or ends a drive. */
bool ner_path_stays_below(const char *name) {
  if( *name == 0 || ner_path_is_separator(*name) || strchr(name, ':') ) return false;
  while( *name ) {
    size_t n = strcspn(name, "/\\");
    /* ".." and, as names lose their trailing dots and spaces, what becomes it. */
    if( n >= 2 && name[0] == '.' && name[1] == '.' && strspn(name + 2, ". ") >= n - 2 )
      return false;
    name += n + (name[n] != 0);
  }
  return true;
}

/* The path for a function of the system, for NER_FREE. */
static int windows_path(const char *path, wchar_t **out) {
  static const wchar_t prefix[] = L"\\\\?\\", network[] = L"\\\\?\\UNC\\";
  wchar_t *given = ner_windows_wide(path), *full = NULL, *at;
  DWORD n, got;
  *out = NULL;
  if( !given ) /* memory, or bytes that are not UTF-8 */
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0) > 0
               ? ERROR_NOT_ENOUGH_MEMORY
               : ERROR_NO_UNICODE_TRANSLATION;
  if( given[0] == 0 ) return NER_FREE(given), ERROR_PATH_NOT_FOUND;
  if( wcsncmp(given, L"\\\\?\\", 4) == 0 || wcsncmp(given, L"\\\\.\\", 4) == 0 ) {
    for( at = given; *at; at++ )
      if( *at == L'/' ) *at = L'\\';
    *out = given;
    return 0;
  }
  n = GetFullPathNameW(given, 0, NULL, NULL);
  /* `network` less the two \ that it replaces is longer than `prefix`. */
  if( n > 0 ) full = ner_alloc(n + sizeof network / sizeof *network, sizeof *full);
  if( full ) {
    at = full + sizeof network / sizeof *network - 1;
    got = GetFullPathNameW(given, n, at, NULL);
    if( got == 0 || got >= n ) { /* the current directory has just changed */
      NER_FREE(full);
      NER_FREE(given);
      return ERROR_PATH_NOT_FOUND;
    }
    if( got < WINDOWS_LONG_PATH ) {
      memmove(full, at, (got + 1) * sizeof *full);
    } else if( at[0] == L'\\' && at[1] == L'\\' ) {
      const size_t n_prefix = sizeof network / sizeof *network - 1;
      memcpy(full, network, n_prefix * sizeof *full);
      memmove(full + n_prefix, at + 2, (got - 1) * sizeof *full);
    } else {
      const size_t n_prefix = sizeof prefix / sizeof *prefix - 1;
      memcpy(full, prefix, n_prefix * sizeof *full);
      memmove(full + n_prefix, at, (got + 1) * sizeof *full);
    }
  }
  NER_FREE(given);
  *out = full;
  return full ? 0 : n ? ERROR_NOT_ENOUGH_MEMORY : windows_error();
}

/* ---- reading ---- */

static void windows_describe(DWORD attributes, uint64_t n_bytes, FILETIME changed,
                             struct ner_os_info *info) {
  const uint64_t time = (uint64_t)changed.dwHighDateTime << 32 | changed.dwLowDateTime;
  const bool directory = (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  info->kind = directory ? NER_FILE_DIRECTORY : NER_FILE_REGULAR;
  info->what = directory ? "a directory" : "a regular file";
  info->n_bytes = n_bytes;
  info->changed_s = (int64_t)(time / 10000000);
  info->changed_ns = (int64_t)(time % 10000000 * 100);
}

/* FILE_FLAG_BACKUP_SEMANTICS opens directories, too, so that they are told apart. A file that
** somebody writes to keeps its old time of modification until the writer closes it. Hence writers
** are kept out (FILE_SHARE_WRITE is missing), rather than noticed afterwards. */
static int windows_open(const char *path, DWORD access, DWORD share, DWORD flags, HANDLE *out) {
  wchar_t *wide;
  int rc = windows_path(path, &wide);
  *out = INVALID_HANDLE_VALUE;
  if( rc ) return rc;
  flags |= FILE_FLAG_BACKUP_SEMANTICS;
  *out = CreateFileW(wide, access, share, NULL, OPEN_EXISTING, flags, NULL);
  if( *out == INVALID_HANDLE_VALUE ) rc = windows_error();
  NER_FREE(wide);
  return rc;
}

int ner_os_open(const char *path, ner_os_file *out) {
  HANDLE handle;
  int rc = windows_open(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, 0, &handle);
  *out = (ner_os_file)handle;
  return rc;
}

int ner_os_look(ner_os_file file, struct ner_os_info *info) {
  BY_HANDLE_FILE_INFORMATION found;
  *info = (struct ner_os_info){.kind = NER_FILE_OTHER, .what = "a device"};
  if( GetFileType((HANDLE)file) != FILE_TYPE_DISK ) return 0;
  if( !GetFileInformationByHandle((HANDLE)file, &found) ) return windows_error();
  windows_describe(found.dwFileAttributes, (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow,
                   found.ftLastWriteTime, info);
  return 0;
}

int ner_os_look_at(const char *path, struct ner_os_info *info) {
  HANDLE handle;
  int rc = windows_open(path, FILE_READ_ATTRIBUTES, WINDOWS_SHARE_ALL, 0, &handle);
  if( rc == 0 ) rc = ner_os_look((ner_os_file)handle, info);
  if( handle != INVALID_HANDLE_VALUE ) CloseHandle(handle);
  return rc;
}

/* Links are one kind of reparse point; others are files that a cloud's client fetches, for example. */
int ner_os_look_at_entry(const char *path, struct ner_os_info *info) {
  FILE_ATTRIBUTE_TAG_INFO tag;
  HANDLE handle;
  int rc = windows_open(path, FILE_READ_ATTRIBUTES, WINDOWS_SHARE_ALL, FILE_FLAG_OPEN_REPARSE_POINT,
                        &handle);
  if( rc == 0 ) rc = ner_os_look((ner_os_file)handle, info);
  if( rc == 0 && GetFileInformationByHandleEx(handle, FileAttributeTagInfo, &tag, sizeof tag) &&
      (tag.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) &&
      (tag.ReparseTag == IO_REPARSE_TAG_SYMLINK || tag.ReparseTag == IO_REPARSE_TAG_MOUNT_POINT) )
    *info = (struct ner_os_info){.kind = NER_FILE_OTHER, .what = "a link"};
  if( handle != INVALID_HANDLE_VALUE ) CloseHandle(handle);
  return rc;
}

int ner_os_read_at(ner_os_file file, void *out, size_t n_bytes, uint64_t offset, size_t *n_read) {
  OVERLAPPED at = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
  DWORD n = n_bytes < 0x40000000 ? (DWORD)n_bytes : 0x40000000, got = 0;
  int rc = ReadFile((HANDLE)file, out, n, &got, &at) ? 0 : windows_error();
  *n_read = got;
  return rc == ERROR_HANDLE_EOF ? 0 : rc;
}

int ner_os_map_file(ner_os_file file, size_t n_bytes, void **out) {
  HANDLE mapping = CreateFileMappingW((HANDLE)file, NULL, PAGE_READONLY, 0, 0, NULL);
  int rc;
  *out = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, n_bytes) : NULL;
  rc = *out ? 0 : windows_error();
  if( mapping ) CloseHandle(mapping); /* the view keeps it */
  return rc;
}

void ner_os_unmap_file(const void *p, size_t n_bytes) {
  (void)n_bytes;
  UnmapViewOfFile(p);
}

/* ---- writing ---- */

/* Whether another attempt may succeed: the first comes with *tries 0. */
static bool windows_try_again(int error, int *tries) {
  if( error != ERROR_SHARING_VIOLATION && error != ERROR_LOCK_VIOLATION &&
      error != ERROR_ACCESS_DENIED )
    return false;
  if( ++*tries >= WINDOWS_TRIES ) return false;
  Sleep(WINDOWS_PAUSE_MS);
  return true;
}

/* A private file needs nothing here: it has its directory's access list until it gets its own. */
int ner_os_create(const char *path, bool is_private, ner_os_file *out) {
  wchar_t *wide;
  int rc = windows_path(path, &wide);
  HANDLE handle;
  (void)is_private;
  *out = (ner_os_file)INVALID_HANDLE_VALUE;
  if( rc ) return rc;
  handle = CreateFileW(wide, GENERIC_WRITE | WRITE_DAC, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                       CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
  if( handle == INVALID_HANDLE_VALUE ) rc = windows_error();
  *out = (ner_os_file)handle;
  NER_FREE(wide);
  return rc;
}

/* The access list alone: giving a file to another owner is a privilege. File systems without
** access lists have none to keep. */
int ner_os_copy_access(ner_os_file file, const char *from, const char **what) {
  SECURITY_DESCRIPTOR *list = NULL;
  HANDLE old;
  DWORD n = 0;
  int rc = windows_open(from, READ_CONTROL, WINDOWS_SHARE_ALL, 0, &old);
  *what = "access list";
  if( rc ) return rc;
  GetKernelObjectSecurity(old, DACL_SECURITY_INFORMATION, NULL, 0, &n);
  rc = windows_error();
  if( rc == ERROR_INSUFFICIENT_BUFFER ) {
    list = ner_alloc(n, 1);
    rc = list ? 0 : ERROR_NOT_ENOUGH_MEMORY;
    if( list && (!GetKernelObjectSecurity(old, DACL_SECURITY_INFORMATION, list, n, &n) ||
                 !SetKernelObjectSecurity((HANDLE)file, DACL_SECURITY_INFORMATION, list)) )
      rc = windows_error();
  }
  NER_FREE(list);
  CloseHandle(old);
  return rc == ERROR_NOT_SUPPORTED || rc == ERROR_INVALID_FUNCTION ? 0 : rc;
}

int ner_os_write(ner_os_file file, const void *bytes, size_t n_bytes, size_t *n_written) {
  DWORD n = n_bytes < 0x40000000 ? (DWORD)n_bytes : 0x40000000, done = 0;
  int rc = WriteFile((HANDLE)file, bytes, n, &done, NULL) ? 0 : windows_error();
  *n_written = done;
  return rc == 0 && done == 0 && n > 0 ? ERROR_DISK_FULL : rc;
}

int ner_os_flush(ner_os_file file) {
  return FlushFileBuffers((HANDLE)file) ? 0 : windows_error();
}

int ner_os_close(ner_os_file file) {
  return CloseHandle((HANDLE)file) ? 0 : windows_error();
}

uint64_t ner_os_file_limit(void) {
  return UINT64_MAX;
}

/* MoveFileEx rather than ReplaceFile: that one can fail halfway, with the old file gone. */
int ner_os_rename(const char *from, const char *to) {
  wchar_t *wide_from, *wide_to = NULL;
  int rc = windows_path(from, &wide_from), tries = 0;
  if( rc == 0 ) rc = windows_path(to, &wide_to);
  if( rc == 0 ) do
      rc = MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH)
               ? 0
               : windows_error();
    while( windows_try_again(rc, &tries) );
  NER_FREE(wide_from);
  NER_FREE(wide_to);
  return rc;
}

int ner_os_remove(const char *path) {
  wchar_t *wide;
  int rc = windows_path(path, &wide), tries = 0;
  if( rc == 0 ) do
      rc = DeleteFileW(wide) ? 0 : windows_error();
    while( windows_try_again(rc, &tries) );
  NER_FREE(wide);
  return rc;
}

/* MOVEFILE_WRITE_THROUGH has done it. */
void ner_os_flush_directory(const char *path) {
  (void)path;
}

/* ---- links and directories ---- */

/* The path of an open file, with '/' between names and without \\?\: *out, for NER_FREE. */
static int windows_final_path(HANDLE handle, char **out) {
  DWORD n = GetFinalPathNameByHandleW(handle, NULL, 0, VOLUME_NAME_DOS), got;
  wchar_t *wide, *begin;
  *out = NULL;
  if( n == 0 ) return windows_error();
  wide = ner_alloc((size_t)n + 1, sizeof *wide);
  if( !wide ) return ERROR_NOT_ENOUGH_MEMORY;
  got = GetFinalPathNameByHandleW(handle, wide, n + 1, VOLUME_NAME_DOS);
  if( got == 0 || got > n ) return NER_FREE(wide), ERROR_PATH_NOT_FOUND;
  begin = wide;
  if( wcsncmp(begin, L"\\\\?\\UNC\\", 8) == 0 )
    begin += 6, begin[0] = L'\\';
  else if( wcsncmp(begin, L"\\\\?\\", 4) == 0 )
    begin += 4;
  for( wchar_t *at = begin; *at; at++ )
    if( *at == L'\\' ) *at = L'/';
  *out = ner_windows_utf8(begin);
  NER_FREE(wide);
  return *out ? 0 : ERROR_NOT_ENOUGH_MEMORY;
}

int ner_os_resolve(const char *path, char **out) {
  HANDLE handle;
  int rc = windows_open(path, FILE_READ_ATTRIBUTES, WINDOWS_SHARE_ALL, 0, &handle);
  *out = NULL;
  if( rc == 0 ) rc = windows_final_path(handle, out);
  if( handle != INVALID_HANDLE_VALUE ) CloseHandle(handle);
  return rc;
}

/* A link that leads nowhere is an error: there is no way to ask where it would lead. So is a file
** with the attribute "read-only", which Windows does not replace: better now than once all is
** written. */
int ner_os_follow(const char *path, char **out, struct ner_os_info *info) {
  wchar_t *wide = NULL;
  int rc = ner_os_look_at_entry(path, info);
  const bool is_link = rc == 0 && info->kind == NER_FILE_OTHER && strcmp(info->what, "a link") == 0;
  *out = NULL;
  if( rc == ERROR_FILE_NOT_FOUND ) {
    info->kind = NER_FILE_MISSING;
    rc = 0;
  }
  if( is_link && (rc = ner_os_look_at(path, info)) == 0 )
    rc = ner_os_resolve(path, out);
  else if( rc == 0 && !(*out = ner_strndup(path, strlen(path))) )
    rc = ERROR_NOT_ENOUGH_MEMORY;
  if( rc || info->kind != NER_FILE_REGULAR ) return rc;
  rc = windows_path(*out, &wide);
  if( rc == 0 && (GetFileAttributesW(wide) & FILE_ATTRIBUTE_READONLY) ) rc = ERROR_ACCESS_DENIED;
  NER_FREE(wide);
  return rc;
}

void ner_os_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg) {
  WIN32_FIND_DATAW found;
  char *pattern = ner_alloc(strlen(dir) + sizeof "/*", 1), *name;
  wchar_t *wide = NULL;
  HANDLE search = INVALID_HANDLE_VALUE;
  bool more = true;
  if( pattern ) {
    strcat(strcpy(pattern, dir), "/*");
    windows_path(pattern, &wide);
  }
  if( wide ) search = FindFirstFileW(wide, &found);
  while( search != INVALID_HANDLE_VALUE && more ) {
    name = ner_windows_utf8(found.cFileName);
    more = name && fn(arg, name) && FindNextFileW(search, &found);
    NER_FREE(name);
  }
  if( search != INVALID_HANDLE_VALUE ) FindClose(search);
  NER_FREE(wide);
  NER_FREE(pattern);
}

bool ner_os_disk_free(const char *path, uint64_t *n_bytes) {
  size_t n = ner_path_dir_bytes(path);
  char *dir = ner_strndup(n ? path : ".", n ? n : 1);
  wchar_t *wide = NULL;
  ULARGE_INTEGER left;
  bool known = dir && windows_path(dir, &wide) == 0 && GetDiskFreeSpaceExW(wide, &left, NULL, NULL);
  if( known ) *n_bytes = left.QuadPart;
  NER_FREE(wide);
  NER_FREE(dir);
  return known;
}

#endif
