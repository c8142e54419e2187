/*
** os_windows.c - threads, time, process, memory and libraries on Windows; see os.h.
**
** Windows 8 or newer. Mutexes are slim reader/writer locks, which cost nothing to initialise and have
** nothing to destroy.
*/
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#include "base/os_windows.h"

#include <process.h>
#include <string.h>
#include <windows.h>

/* ---- threads ---- */

_Static_assert(sizeof(SRWLOCK) == sizeof(struct ner_mutex), "struct ner_mutex is an SRWLOCK");
_Static_assert(sizeof(CONDITION_VARIABLE) == sizeof(struct ner_condition),
               "struct ner_condition is a CONDITION_VARIABLE");
_Static_assert(sizeof(INIT_ONCE) == sizeof(struct ner_once), "struct ner_once is an INIT_ONCE");

bool ner_mutex_init(struct ner_mutex *mutex) {
  InitializeSRWLock((SRWLOCK *)mutex);
  return true;
}
void ner_mutex_destroy(struct ner_mutex *mutex) {
  (void)mutex;
}
void ner_mutex_lock(struct ner_mutex *mutex) {
  AcquireSRWLockExclusive((SRWLOCK *)mutex);
}
void ner_mutex_unlock(struct ner_mutex *mutex) {
  ReleaseSRWLockExclusive((SRWLOCK *)mutex);
}

bool ner_condition_init(struct ner_condition *condition) {
  InitializeConditionVariable((CONDITION_VARIABLE *)condition);
  return true;
}
void ner_condition_destroy(struct ner_condition *condition) {
  (void)condition;
}
void ner_condition_wait(struct ner_condition *condition, struct ner_mutex *mutex) {
  SleepConditionVariableSRW((CONDITION_VARIABLE *)condition, (SRWLOCK *)mutex, INFINITE, 0);
}
void ner_condition_wait_ms(struct ner_condition *condition, struct ner_mutex *mutex, int ms) {
  SleepConditionVariableSRW((CONDITION_VARIABLE *)condition, (SRWLOCK *)mutex, (DWORD)ms, 0);
}
void ner_condition_signal(struct ner_condition *condition) {
  WakeConditionVariable((CONDITION_VARIABLE *)condition);
}
void ner_condition_broadcast(struct ner_condition *condition) {
  WakeAllConditionVariable((CONDITION_VARIABLE *)condition);
}

struct windows_once {
  void (*fn)(void);
};
static BOOL CALLBACK windows_run_once(INIT_ONCE *once, void *arg, void **context) {
  const struct windows_once *call = arg;
  (void)once;
  (void)context;
  call->fn();
  return TRUE;
}
void ner_once_run(struct ner_once *once, void (*fn)(void)) {
  struct windows_once call = {fn};
  InitOnceExecuteOnce((INIT_ONCE *)once, windows_run_once, &call, NULL);
}

struct windows_start {
  void *(*fn)(void *arg);
  void *arg;
};
static unsigned __stdcall windows_begin_thread(void *arg) {
  struct windows_start start = *(struct windows_start *)arg;
  NER_FREE(arg);
  start.fn(start.arg);
  return 0;
}
/* _beginthreadex() rather than CreateThread(): it gives the C library its state of the thread. */
bool ner_thread_start(struct ner_thread *thread, void *(*fn)(void *arg), void *arg) {
  struct windows_start *start = ner_alloc(1, sizeof *start);
  if( !start ) return false;
  *start = (struct windows_start){fn, arg};
  thread->native = (void *)_beginthreadex(NULL, 0, windows_begin_thread, start, 0, NULL);
  if( thread->native ) return true;
  NER_FREE(start);
  return false;
}
void ner_thread_join(struct ner_thread *thread) {
  WaitForSingleObject(thread->native, INFINITE);
  CloseHandle(thread->native);
}
void ner_thread_yield(void) {
  SwitchToThread();
}
void ner_thread_sleep_ms(int ms) {
  Sleep((DWORD)ms);
}

/* ---- time and process ---- */

double ner_seconds(void) {
  LARGE_INTEGER now, per_second;
  QueryPerformanceFrequency(&per_second);
  QueryPerformanceCounter(&now);
  return (double)now.QuadPart / (double)per_second.QuadPart;
}

/* The process's affinity mask covers one group of at most 64 processors. It is 0 where threads of
** the process run in several groups: then all processors count. */
int ner_processors(void) {
  DWORD_PTR process = 0, machine = 0;
  int n = 0;
  if( GetProcessAffinityMask(GetCurrentProcess(), &process, &machine) )
    n = __builtin_popcountll((unsigned long long)process);
  if( n == 0 ) n = (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
  return n < 1 ? 1 : n;
}

int64_t ner_process(void) {
  return (int64_t)GetCurrentProcessId();
}
void ner_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void)) {
  (void)before;
  (void)in_parent;
  (void)in_child;
}

/* The system's environment and not that of a C library: a process has several of those, and their
** strings are not UTF-8. Each value that was ever returned is kept, once: they are few, and the
** caller may still read it when the variable has another one. */
struct windows_variable {
  struct windows_variable *next;
  char value[];
};
static struct windows_variable *windows_variables;
static SRWLOCK windows_variables_lock = SRWLOCK_INIT;

static const char *windows_keep_variable(const char *value) {
  struct windows_variable *v = windows_variables;
  while( v && strcmp(v->value, value) != 0 ) v = v->next;
  if( v ) return v->value;
  v = ner_alloc(sizeof *v + strlen(value) + 1, 1);
  if( !v ) return NULL;
  strcpy(v->value, value);
  v->next = windows_variables;
  windows_variables = v;
  return v->value;
}

const char *ner_environment(const char *name) {
  wchar_t *wide_name = ner_windows_wide(name), *wide = NULL;
  const char *kept = NULL;
  DWORD n = wide_name ? GetEnvironmentVariableW(wide_name, NULL, 0) : 0;
  char *value;
  if( n > 0 ) wide = ner_alloc(n, sizeof *wide);
  if( wide ) {
    DWORD got = GetEnvironmentVariableW(wide_name, wide, n); /* 0 for "" too */
    wide[got < n ? got : 0] = 0;
    value = ner_windows_utf8(wide);
    AcquireSRWLockExclusive(&windows_variables_lock);
    if( value ) kept = windows_keep_variable(value);
    ReleaseSRWLockExclusive(&windows_variables_lock);
    NER_FREE(value);
  }
  NER_FREE(wide);
  NER_FREE(wide_name);
  return kept;
}

/* RtlGenRandom, which advapi32.dll exports under this name alone. */
BOOLEAN NTAPI SystemFunction036(void *out, ULONG n_bytes);
bool ner_os_random(void *out, size_t n_bytes) {
  return n_bytes <= ULONG_MAX && SystemFunction036(out, (ULONG)n_bytes);
}

/* ---- memory ---- */

/* Without large pages: they would need a privilege, and cannot be given back one by one. */
void *ner_map(size_t n_bytes) {
  return VirtualAlloc(NULL, n_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}
void ner_unmap(void *p, size_t n_bytes) {
  (void)n_bytes;
  VirtualFree(p, 0, MEM_RELEASE);
}

/* MEM_RESET says that the contents need not be kept. Unlocking pages that are not locked takes them
** out of the working set, so that the memory is free at once. */
void ner_os_discard(const void *p, size_t n_bytes) {
  SYSTEM_INFO info;
  uintptr_t begin, end;
  GetSystemInfo(&info);
  begin = ((uintptr_t)p + info.dwPageSize - 1) / info.dwPageSize * info.dwPageSize;
  end = ((uintptr_t)p + n_bytes) / info.dwPageSize * info.dwPageSize;
  if( begin >= end || !VirtualAlloc((void *)begin, end - begin, MEM_RESET, PAGE_READWRITE) ) return;
  VirtualUnlock((void *)begin, end - begin);
}

/* What can be committed, of memory that is not in use. */
uint64_t ner_os_memory_free(void) {
  MEMORYSTATUSEX status = {.dwLength = sizeof status};
  if( !GlobalMemoryStatusEx(&status) ) return UINT64_MAX;
  return status.ullAvailPhys < status.ullAvailPageFile ? status.ullAvailPhys
                                                       : status.ullAvailPageFile;
}

/* ---- shared libraries ---- */

/* Not from the current directory or PATH, where anybody may have put a file of that name. */
void *ner_library_open(const char *name) {
  wchar_t *wide = ner_windows_wide(name);
  void *library =
      wide ? (void *)LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS) : NULL;
  NER_FREE(wide);
  return library;
}
void *ner_library_symbol(void *library, const char *name) {
  return (void *)(uintptr_t)GetProcAddress((HMODULE)library, name);
}

#endif
