/*
** posix.h - what the C tests call and Windows lacks; included before everything else when they are
** compiled for it (packages/tests/foreign.sh), and found under the names of the headers that are
** missing there.
**
** What has no counterpart ends the test that calls it, as skipped: symlink(), mkfifo(), limits,
** mounts, sockets in the file system, signals. Before fork(), a test asks fork.h. Text files stay as
** they are written.
*/
#ifndef NER_TEST_POSIX_H
#define NER_TEST_POSIX_H

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <direct.h>
#include <fcntl.h>
#include <io.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <windows.h>
#include "cmocka.h"

#define POSIX_UNUSED __attribute__((unused)) static

/* The library asks the system for variables, the tests' own getenv() the C library. */
POSIX_UNUSED int setenv(const char *name, const char *value, int replace) {
  wchar_t wide_name[64], wide[512];
  (void)replace;
  _putenv_s(name, value);
  MultiByteToWideChar(CP_UTF8, 0, name, -1, wide_name, 64);
  MultiByteToWideChar(CP_UTF8, 0, value, -1, wide, 512);
  return SetEnvironmentVariableW(wide_name, wide) ? 0 : -1;
}
POSIX_UNUSED int unsetenv(const char *name) {
  _putenv_s(name, "");
  SetEnvironmentVariableA(name, NULL);
  return 0;
}

#define mkdir(path, mode) _mkdir(path)

#define O_CLOEXEC 0
/* Binary, whatever is opened. Wine shows Linux's /proc, of which Windows has nothing. */
#define fopen(path, mode) posix_fopen(path, mode)
#define open(path, ...)   _open(path, _O_BINARY | __VA_ARGS__)
POSIX_UNUSED FILE *posix_fopen(const char *path, const char *mode) {
  char binary[8];
  if( strncmp(path, "/proc/", 6) == 0 ) return NULL;
  snprintf(binary, sizeof binary, "%.3s%s", mode, strchr(mode, 'b') ? "" : "b");
  return (fopen)(path, binary);
}
POSIX_UNUSED long pwrite(int fd, const void *bytes, unsigned n, long at) {
  if( _lseek(fd, at, SEEK_SET) < 0 ) return -1;
  return _write(fd, bytes, n);
}

/* Memory between forbidden pages. */
#define _SC_PAGESIZE  1
#define sysconf(name) ((void)(name), 4096L)
#define PROT_NONE     PAGE_NOACCESS
#define PROT_READ     0
#define PROT_WRITE    PAGE_READWRITE
#define MAP_PRIVATE   0
#define MAP_ANONYMOUS 0
#define MAP_FAILED    NULL
#define mmap(at, n, protection, flags, fd, offset)                                                 \
  VirtualAlloc(at, n, MEM_RESERVE | MEM_COMMIT, protection)
#define munmap(p, n) ((void)(n), VirtualFree(p, 0, MEM_RELEASE))
POSIX_UNUSED int mprotect(void *p, size_t n, int protection) {
  DWORD old;
  return VirtualProtect(p, n, (DWORD)protection, &old) ? 0 : -1;
}

/* rename() of the C library replaces nothing. */
#define rename(from, to) (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) ? 0 : -1)

POSIX_UNUSED unsigned alarm(unsigned seconds) {
  return seconds = 0;
}

#define POSIX_LACKS(what) (plain_skip("Windows has no " what), -1)
typedef unsigned posix_signals;
#define sigset_t    posix_signals
#define SIGALRM     14
#define SIG_SETMASK 0
#define pthread_sigmask(how, set, old)                                                             \
  (plain_is_main ? POSIX_LACKS("signal masks") : (void)(old), 0)
#define sigismember(set, s) ((void)(set), 1)
#define AT_FDCWD            0
#define RLIMIT_NPROC        0
typedef unsigned long rlim_t;
struct rlimit {
  rlim_t rlim_cur, rlim_max;
};
#define setrlimit(which, limit) ((void)(limit), -1)
#define getuid()                1
#define setuid(user)            (-1)
#define utimensat(d, p, t, f)   ((void)(t), POSIX_LACKS("utimensat()"))
#define fork()                  (fail_msg("a test that forks begins with test_needs_fork()"), -1)
#define waitpid(p, s, o)        ((void)(s), -1)
#define WIFEXITED(s)            ((void)(s), 0)
#define WEXITSTATUS(s)          ((void)(s), -1)
#define WIFSIGNALED(s)          ((void)(s), 0)
#define WTERMSIG(s)             ((void)(s), 0)
#define symlink(a, b)           ((void)(a), (void)(b), POSIX_LACKS("symbolic links for everybody"))
#define mkfifo(path, mode)      ((void)(path), POSIX_LACKS("FIFOs"))
#define lstat(path, st)         stat(path, st)

#endif
