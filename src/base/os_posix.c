/* os_posix.c - threads, time, process, memory and libraries on POSIX systems; see os.h. */
#ifndef _WIN32
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "base/os.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#if defined(__linux__)
#include <sys/syscall.h>
#elif defined(__APPLE__)
#include <sys/random.h> /* getentropy() */
#endif
#include <time.h>
#include <unistd.h>

/* ---- threads ---- */

bool ner_mutex_init(struct ner_mutex *mutex) {
  return pthread_mutex_init(&mutex->native, NULL) == 0;
}
void ner_mutex_destroy(struct ner_mutex *mutex) {
  pthread_mutex_destroy(&mutex->native);
}
void ner_mutex_lock(struct ner_mutex *mutex) {
  pthread_mutex_lock(&mutex->native);
}
void ner_mutex_unlock(struct ner_mutex *mutex) {
  pthread_mutex_unlock(&mutex->native);
}

/* Timed waits count by the monotonic clock. macOS has no such attribute, but relative waits. */
bool ner_condition_init(struct ner_condition *condition) {
#ifdef __APPLE__
  return pthread_cond_init(&condition->native, NULL) == 0;
#else
  pthread_condattr_t attributes;
  bool done;
  if( pthread_condattr_init(&attributes) ) return false;
  done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
         pthread_cond_init(&condition->native, &attributes) == 0;
  pthread_condattr_destroy(&attributes);
  return done;
#endif
}
void ner_condition_destroy(struct ner_condition *condition) {
  pthread_cond_destroy(&condition->native);
}
void ner_condition_wait(struct ner_condition *condition, struct ner_mutex *mutex) {
  pthread_cond_wait(&condition->native, &mutex->native);
}
void ner_condition_wait_ms(struct ner_condition *condition, struct ner_mutex *mutex, int ms) {
  struct timespec until = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
#ifdef __APPLE__
  pthread_cond_timedwait_relative_np(&condition->native, &mutex->native, &until);
#else
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  until.tv_sec += now.tv_sec;
  until.tv_nsec += now.tv_nsec;
  if( until.tv_nsec >= 1000000000L ) until.tv_sec++, until.tv_nsec -= 1000000000L;
  pthread_cond_timedwait(&condition->native, &mutex->native, &until);
#endif
}
void ner_condition_signal(struct ner_condition *condition) {
  pthread_cond_signal(&condition->native);
}
void ner_condition_broadcast(struct ner_condition *condition) {
  pthread_cond_broadcast(&condition->native);
}

void ner_once_run(struct ner_once *once, void (*fn)(void)) {
  pthread_once(&once->native, fn);
}

bool ner_thread_start(struct ner_thread *thread, void *(*fn)(void *arg), void *arg) {
  sigset_t all, old;
  bool started;
  sigfillset(&all);
  if( pthread_sigmask(SIG_SETMASK, &all, &old) ) return false;
  started = pthread_create(&thread->native, NULL, fn, arg) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return started;
}
void ner_thread_join(struct ner_thread *thread) {
  pthread_join(thread->native, NULL);
}
void ner_thread_yield(void) {
  sched_yield();
}
void ner_thread_sleep_ms(int ms) {
  const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
  nanosleep(&pause, NULL);
}

/* ---- time and process ---- */

double ner_seconds(void) {
  struct timespec now = {0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int ner_processors(void) {
  long n = 0;
#ifdef __linux__
  cpu_set_t set;
  if( sched_getaffinity(0, sizeof set, &set) == 0 ) n = CPU_COUNT(&set);
#endif
  if( n <= 0 ) n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : (int)n;
}

int64_t ner_process(void) {
  return getpid();
}
void ner_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
  pthread_atfork(before, in_parent, in_child);
}

const char *ner_environment(const char *name) {
  return getenv(name);
}

/* The system call where there is one (getentropy() came with glibc 2.25 and must not be linked),
** else the device. */
bool ner_os_random(void *out, size_t n_bytes) {
  ssize_t n = -1;
  int device;
#if defined(__linux__) && defined(SYS_getrandom)
  n = syscall(SYS_getrandom, out, n_bytes, 0);
#elif defined(__APPLE__)
  if( getentropy(out, n_bytes) == 0 ) n = (ssize_t)n_bytes;
#endif
  if( n == (ssize_t)n_bytes ) return true;
  device = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if( device < 0 ) return false;
  n = read(device, out, n_bytes);
  close(device);
  return n == (ssize_t)n_bytes;
}

/* ---- memory ---- */

/* Large pages save most of the time that first touching a block takes, and some of the time that
** a pass takes. The advice stays with the pages, so they must not be the host's heap: the blocks
** that malloc() gives out next would be of large pages, too. */
void *ner_map(size_t n_bytes) {
  void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if( p == MAP_FAILED ) return NULL;
#ifdef MADV_HUGEPAGE
  madvise(p, n_bytes, MADV_HUGEPAGE);
#endif
  return p;
}

void ner_unmap(void *p, size_t n_bytes) {
  munmap(p, n_bytes);
}

void ner_os_discard(const void *p, size_t n_bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  const uintptr_t begin = ((uintptr_t)p + page - 1) / page * page;
  const uintptr_t end = ((uintptr_t)p + n_bytes) / page * page;
  if( begin < end ) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* A number of kB behind `key` in a file of /proc; UINT64_MAX: not there. */
static uint64_t os_proc_bytes(const char *path, const char *key) {
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

uint64_t ner_os_memory_free(void) {
  uint64_t n = os_proc_bytes("/proc/meminfo", "MemAvailable:");
  uint64_t used = os_proc_bytes("/proc/self/status", "VmSize:");
  struct rlimit limit;
  if( used != UINT64_MAX && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ) {
    uint64_t left = (uint64_t)limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 0;
    if( left < n ) n = left;
  }
  return n;
}

/* ---- shared libraries ---- */

void *ner_library_open(const char *name) {
  return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}
void *ner_library_symbol(void *library, const char *name) {
  return dlsym(library, name);
}

#endif
