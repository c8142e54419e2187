/*
** os.h - what the library asks of the operating system: threads, time, the process, memory, shared
** libraries, files. Nothing outside src/base calls the system itself.
**
** os_posix.c and os_posix_files.c implement it for Linux, macOS and other POSIX systems, os_windows.c
** and os_windows_files.c for Windows. Each is empty on the other systems.
**
** All strings are UTF-8, on Windows too.
*/
#ifndef NER_OS_H
#define NER_OS_H

#include "base/base.h"
#ifndef _WIN32
#include <pthread.h>
#endif

#pragma GCC visibility push(hidden)

/* ---- threads ---- */

#ifdef _WIN32
struct ner_mutex {
  void *native; /* SRWLOCK */
};
struct ner_condition {
  void *native; /* CONDITION_VARIABLE */
};
struct ner_once {
  void *native; /* INIT_ONCE */
};
struct ner_thread {
  void *native; /* HANDLE */
};
#define NER_MUTEX_INIT                                                                             \
  { NULL }
#define NER_CONDITION_INIT                                                                         \
  { NULL }
#define NER_ONCE_INIT                                                                              \
  { NULL }
#else
struct ner_mutex {
  pthread_mutex_t native;
};
struct ner_condition {
  pthread_cond_t native;
};
struct ner_once {
  pthread_once_t native;
};
struct ner_thread {
  pthread_t native;
};
#define NER_MUTEX_INIT                                                                             \
  { PTHREAD_MUTEX_INITIALIZER }
#define NER_CONDITION_INIT                                                                         \
  { PTHREAD_COND_INITIALIZER }
#define NER_ONCE_INIT                                                                              \
  { PTHREAD_ONCE_INIT }
#endif

/* The static initialisers are for static objects. Others are initialised and destroyed; false: the
** system refuses. */
bool ner_mutex_init(struct ner_mutex *mutex);
void ner_mutex_destroy(struct ner_mutex *mutex);
void ner_mutex_lock(struct ner_mutex *mutex);
void ner_mutex_unlock(struct ner_mutex *mutex);

/* Waiting releases the mutex and has it again afterwards. A wait may end without a signal. */
bool ner_condition_init(struct ner_condition *condition);
void ner_condition_destroy(struct ner_condition *condition);
void ner_condition_wait(struct ner_condition *condition, struct ner_mutex *mutex);
/* At most `ms` milliseconds, whatever happens to the clock on the wall. Only for a condition that
** ner_condition_init() has initialised. */
void ner_condition_wait_ms(struct ner_condition *condition, struct ner_mutex *mutex, int ms);
void ner_condition_signal(struct ner_condition *condition);    /* wakes one thread */
void ner_condition_broadcast(struct ner_condition *condition); /* wakes all */

/* Calls fn() the first time; threads that come meanwhile wait until it has returned. */
void ner_once_run(struct ner_once *once, void (*fn)(void));

/* Starts fn(arg) on a new thread, which blocks every signal: the host's handlers are to run on the
** host's threads. false: the system allows no further thread. Each thread is joined once. */
bool ner_thread_start(struct ner_thread *thread, void *(*fn)(void *arg), void *arg);
void ner_thread_join(struct ner_thread *thread);
void ner_thread_yield(void);
void ner_thread_sleep_ms(int ms);

/* ---- time and process ---- */

double ner_seconds(void); /* of a monotonic clock */

int ner_processors(void); /* that this process may run on; at least 1 */

/* Tells a process from the children that it forks off. */
int64_t ner_process(void);
/* Has fork() call these; Windows does not fork. */
void ner_on_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));

/* The value of a variable of the environment; NULL: it is not set. The value may be read until the
** variable is changed. */
const char *ner_environment(const char *name);

/* Fills `out` with bytes that cannot be predicted; false: the system gives none. */
bool ner_os_random(void *out, size_t n_bytes);

/* ---- memory ---- */

/* Zeroed pages of their own, with large pages where the system has them; NULL: memory is out. */
void *ner_map(size_t n_bytes);
void ner_unmap(void *p, size_t n_bytes);
/* Gives back the whole pages inside [p, p + n_bytes), and no byte outside. Their contents become
** undefined. */
void ner_os_discard(const void *p, size_t n_bytes);
/* Bytes of memory that this process could still get; UINT64_MAX: not known. */
uint64_t ner_os_memory_free(void);

/* ---- shared libraries ---- */

/* Loads a shared library for the rest of the process's life; NULL: it is not there. */
void *ner_library_open(const char *name);
void *ner_library_symbol(void *library, const char *name);

/* ---- paths ---- */

bool ner_path_is_separator(char c); /* '/'; on Windows '\' as well */
size_t
ner_path_dir_bytes(const char *path); /* up to and with the last separator; 0: no directory */
/* Whether `name` is relative and stays below the directory that it is joined to. */
bool ner_path_stays_below(const char *name);

/* ---- files ---- */

/* Functions that return `int` return 0 or the system's error number. */
#define NER_OS_WHY_BYTES 200
/* The error's description; where the systems have the same error it has the same words. */
const char *ner_os_why(int error, char out[NER_OS_WHY_BYTES]);
bool ner_os_is_missing(int error);
bool ner_os_is_existing(int error);
bool ner_os_is_nomem(int error);

enum ner_file_kind { NER_FILE_MISSING, NER_FILE_REGULAR, NER_FILE_DIRECTORY, NER_FILE_OTHER };
struct ner_os_info {
  enum ner_file_kind kind;
  const char *what; /* "a directory", "a FIFO", ... */
  uint64_t n_bytes;
  int64_t changed_s, changed_ns; /* the time of its last modification */
};

/* An open file, as the system numbers it. */
typedef intptr_t ner_os_file;

/* Opens for reading and never waits: not for a named pipe's writer either. On Windows fails while
** another program has the file open for writing, and keeps others from opening it so; it may be
** renamed, replaced and deleted meanwhile. */
int ner_os_open(const char *path, ner_os_file *out);
int ner_os_look(ner_os_file file, struct ner_os_info *info);          /* at an open file */
int ner_os_look_at(const char *path, struct ner_os_info *info);       /* following links */
int ner_os_look_at_entry(const char *path, struct ner_os_info *info); /* at a link itself */
int ner_os_read_at(ner_os_file file, void *out, size_t n_bytes, uint64_t offset, size_t *n_read);
int ner_os_map_file(ner_os_file file, size_t n_bytes, void **out); /* read only */
void ner_os_unmap_file(const void *p, size_t n_bytes);

/* Creates a file that must not exist, for writing. is_private: readable by its owner only. */
int ner_os_create(const char *path, bool is_private, ner_os_file *out);
/* Gives an open file the owner and mode of another file, on Windows its access list. *what is set
** to what cannot be kept, for a message. */
int ner_os_copy_access(ner_os_file file, const char *from, const char **what);
int ner_os_write(ner_os_file file, const void *bytes, size_t n_bytes, size_t *n_written);
int ner_os_flush(ner_os_file file); /* onto the disk */
int ner_os_close(ner_os_file file);
/* How large a file this process may write; UINT64_MAX: no limit. */
uint64_t ner_os_file_limit(void);

/* Renames a file and replaces what bears the new name, so that readers see either the old file or
** the new one. */
int ner_os_rename(const char *from, const char *to);
int ner_os_remove(const char *path);
/* Makes renames in a file's directory last; best effort. */
void ner_os_flush_directory(const char *path);

/* What a symbolic link leads to in the end, or the path itself: *out, for NER_FREE, also on failure.
** There may be nothing: then info->kind is NER_FILE_MISSING. */
int ner_os_follow(const char *path, char **out, struct ner_os_info *info);
/* An existing file's absolute path, links resolved, with '/' between names: *out, for NER_FREE. */
int ner_os_resolve(const char *path, char **out);

/* Calls fn(arg, name) for each entry of a directory, in no order, until that returns false. */
void ner_os_list(const char *dir, bool (*fn)(void *arg, const char *name), void *arg);
/* Bytes that this process may still write where `path` is; false: not known. */
bool ner_os_disk_free(const char *path, uint64_t *n_bytes);

#pragma GCC visibility pop
#endif
