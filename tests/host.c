/*
** host.c - the library in a program that has its own signals, locale, floating-point modes, files
** and threads: all are left as they were. Also a long life: loading, opening and closing thousands
** of times without growth.
**
**     build/tests/test_host [EXTENSION [TESTS]]     TESTS: a pattern such as '*thousand'
**
** It loads the built extension as any program does, and uses nothing else of the library. Linked
** with the system's SQLite, or (tests/sh/sqlite_versions.sh) with one compiled in. HOST_CYCLES is
** the percentage of 1 000 connections and 10 000 models that it goes through.
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#define TINY  "tests/golden/models/distil-cased"
#define OTHER "tests/golden/models/bert-plain"

/* A sanitizer's allocator keeps freed memory for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER true
#else
#define UNDER_SANITIZER false
#endif

extern char **environ;
static const char *extension = "build/ner";
static char dir[300];

/* ---- a connection ---- */

static sqlite3 *open_db(const char *path) {
  sqlite3 *db = NULL;
  char *message = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  sqlite3_enable_load_extension(db, 1);
  if( sqlite3_load_extension(db, extension, NULL, &message) ) fail_msg("%s", message);
  return db;
}

static void run(sqlite3 *db, const char *sql) {
  char *message = NULL;
  if( sqlite3_exec(db, sql, NULL, NULL, &message) ) fail_msg("%s: %s", sql, message);
}

static void run_badly(sqlite3 *db, const char *sql) {
  if( sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ) fail_msg("%s works", sql);
}

/* ---- the host's state ---- */

struct host {
  uint32_t mxcsr, rounding;
  uint16_t x87;
  struct sigaction action[65];
  sigset_t mask;
  char locale[400], cwd[400];
  char *environment, *files;
  mode_t umask;
  int blas_threads;
  unsigned alarm;
  struct rlimit limit[RLIM_NLIMITS];
  int priority;
};

static void append(char **text, const char *line) {
  size_t n = *text ? strlen(*text) : 0;
  *text = realloc(*text, n + strlen(line) + 2);
  assert_non_null(*text);
  strcpy(*text + n, line);
  strcat(*text, "\n");
}

/* "0 /dev/null", ... of the descriptors below 1000, except the one that lists them. */
static void list_files(char **out) {
  for( int fd = 0; fd < 1000; fd++ ) {
    char link[64], target[300], line[400];
    ssize_t n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, target, sizeof target - 1);
    if( n < 0 && fcntl(fd, F_GETFD) < 0 ) continue;
    target[n > 0 ? n : 0] = 0;
    snprintf(line, sizeof line, "%d %s", fd, target);
    append(out, line);
  }
}

static void look(struct host *host) {
  int (*blas)(void);
  memset(host, 0, sizeof *host);
#if defined(__x86_64__)
  __asm__ volatile("stmxcsr %0" : "=m"(host->mxcsr));
  __asm__ volatile("fnstcw %0" : "=m"(host->x87));
  host->mxcsr &= ~0x3fu; /* exception flags, which any arithmetic sets */
#endif
  host->rounding = (uint32_t)fegetround();
  for( int i = 1; i <= 64; i++ ) sigaction(i, NULL, &host->action[i]);
  pthread_sigmask(SIG_SETMASK, NULL, &host->mask);
  snprintf(host->locale, sizeof host->locale, "%s", setlocale(LC_ALL, NULL));
  assert_non_null(getcwd(host->cwd, sizeof host->cwd));
  for( char **e = environ; *e; e++ ) append(&host->environment, *e);
  list_files(&host->files);
  host->umask = umask(0);
  umask(host->umask);
  *(void **)&blas = dlsym(RTLD_DEFAULT, "openblas_get_num_threads");
  if( !blas ) { /* the extension has brought it */
    void *lib = dlopen("libopenblas.so.0", RTLD_LAZY | RTLD_NOLOAD);
    if( lib ) *(void **)&blas = dlsym(lib, "openblas_get_num_threads");
    if( lib ) dlclose(lib);
  }
  host->blas_threads = blas ? blas() : -1;
  host->alarm = alarm(0);
  alarm(host->alarm);
  for( int i = 0; i < (int)RLIM_NLIMITS; i++ ) getrlimit((unsigned)i, &host->limit[i]);
  host->priority = getpriority(PRIO_PROCESS, 0);
}

static void free_look(struct host *host) {
  free(host->environment);
  free(host->files);
}

static void same(const struct host *a, const struct host *b) {
  assert_int_equal(a->mxcsr, b->mxcsr);
  assert_int_equal(a->x87, b->x87);
  assert_int_equal(a->rounding, b->rounding);
  for( int i = 1; i <= 64; i++ ) {
    if( a->action[i].sa_handler != b->action[i].sa_handler ||
        a->action[i].sa_flags != b->action[i].sa_flags ||
        memcmp(&a->action[i].sa_mask, &b->action[i].sa_mask, 8) )
      fail_msg("signal %d is handled otherwise", i);
  }
  assert_memory_equal(&a->mask, &b->mask, 8);
  assert_string_equal(a->locale, b->locale);
  assert_string_equal(a->cwd, b->cwd);
  assert_string_equal(a->environment, b->environment);
  assert_string_equal(a->files, b->files);
  assert_int_equal(a->umask, b->umask);
  if( a->blas_threads >= 0 ) assert_int_equal(a->blas_threads, b->blas_threads);
  assert_memory_equal(a->limit, b->limit, sizeof a->limit);
  assert_int_equal(a->priority, b->priority);
}

/* ---- everything the library does ---- */

static void do_all(bool with_files) {
  char sql[1000], path[400];
  sqlite3 *db = open_db(":memory:");
  run(db, "SELECT * FROM ner('My name is Wolfgang and I live in Berlin')");
  run(db, "SELECT ner_json('Berlin'), ner_html('<Berlin>'), ner_redact('Berlin')");
  run(db, "SELECT * FROM ner_tokens('Berlin') UNION ALL SELECT idx, word, word, label, score, 0, 0"
          " FROM ner_words('[\"Berlin\"]')");
  run(db, "SELECT ner_load('tiny', '" TINY "'), ner_load('other', '" OTHER "', 'int8'),"
          " ner_default('tiny'), ner_threads(3)");
  run(db, "CREATE TABLE docs(body); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
          " WHERE i < 400) INSERT INTO docs SELECT 'Angela met Reuters ' || i FROM c");
  run(db, "SELECT * FROM ner_query('SELECT rowid, body FROM docs')");
  run(db, "SELECT * FROM ner_query('SELECT rowid, body FROM docs', 'other') LIMIT 3");
  run(db, "SELECT count(*) FROM ner WHERE text IN (SELECT body FROM docs)");
  run(db, "SELECT ner_json(group_concat(body, ' ')) FROM docs"); /* long: split over threads */
  run(db, "SELECT * FROM ner_enrich('docs', 'body'); DELETE FROM docs; SELECT * FROM"
          " ner_enrich('docs', 'body')");
  run(db, "SELECT * FROM ner_models; SELECT ner_debug()");
  if( with_files ) {
    snprintf(path, sizeof path, "%s/one.safetensors", dir);
    snprintf(sql, sizeof sql, "SELECT ner_convert('" TINY "', '%s', 'int8'), ner_load('one', '%s')",
             path, path);
    run(db, sql);
    run(db, "SELECT ner_json('Angela', 'one'), ner_unload('one')");
    remove(path);
  }
  run_badly(db, "SELECT ner_load('x', '/no/such/file')");
  run_badly(db, "SELECT ner_load('x', '" TINY "/vocab.txt')");
  run_badly(db, "SELECT ner_convert('" TINY "', '/no/such/directory/x', 'f32')");
  run_badly(db, "SELECT ner_json(x'00')");
  run_badly(db, "SELECT * FROM ner_query('DELETE FROM docs')");
  run_badly(db, "SELECT * FROM ner_enrich('nothing', 'here')");
  run(db, "SELECT ner_default('bundled'), ner_unload('tiny'), ner_unload('other')");
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void on_signal(int signal) {}

/* All of the host's settings have unusual values, which the library must bear and keep. */
static void settings_stay(void **state) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  struct host before, after;
  sigset_t some;
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGCHLD, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &some, NULL);
  setlocale(LC_ALL, "");
  umask(027);
  do_all(true); /* files that are opened once and stay open are opened here */
  for( int mode = 0; mode < 2; mode++ ) {
    if( mode ) fesetround(FE_UPWARD);
    look(&before);
    do_all(true);
    look(&after);
    same(&before, &after);
    free_look(&before);
    free_look(&after);
  }
  fesetround(FE_TONEAREST);
  pthread_sigmask(SIG_UNBLOCK, &some, NULL);
}

static int n_threads(void) {
  DIR *d = opendir("/proc/self/task");
  int n = 0;
  assert_non_null(d);
  for( struct dirent *entry; (entry = readdir(d)) != NULL; ) n += entry->d_name[0] != '.';
  closedir(d);
  return n;
}

/* The first load changes nothing; this must be the first test. */
static void loading_changes_nothing(void **state) {
  struct host before, after;
  sqlite3 *db = NULL;
  char *message = NULL;
  int threads = n_threads();
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  sqlite3_enable_load_extension(db, 1);
  look(&before);
  if( sqlite3_load_extension(db, extension, NULL, &message) ) fail_msg("%s", message);
  look(&after);
  assert_int_equal(n_threads(), threads); /* the pool starts with the first text */
  same(&before, &after);
  run(db, "SELECT * FROM ner('My name is Wolfgang and I live in Berlin')");
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  free_look(&after);
  look(&after);
  same(&before, &after);
  free_look(&before);
  free_look(&after);
}

/* Our threads block all signals: the host's threads handle them. */
static atomic_long handled_elsewhere, handled;
static pid_t main_thread;
static void note_thread(int signal) {
  atomic_fetch_add(&handled, 1);
  if( (pid_t)syscall(SYS_gettid) != main_thread ) atomic_fetch_add(&handled_elsewhere, 1);
}

static atomic_bool stop_sending;
static void *keep_sending(void *unused) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  while( !atomic_load(&stop_sending) ) {
    kill(getpid(), SIGUSR1);
    usleep(200);
  }
  return NULL;
}

/* The number of the process's threads that do not block all signals, from /proc. */
static int open_to_signals(void) {
  DIR *d = opendir("/proc/self/task");
  struct dirent *entry;
  int n = 0;
  if( !d ) return -1;
  while( (entry = readdir(d)) != NULL ) {
    char path[400], line[200];
    FILE *f;
    unsigned long long blocked = 0;
    if( entry->d_name[0] == '.' ) continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    f = fopen(path, "r");
    if( !f ) continue; /* it has ended */
    while( fgets(line, sizeof line, f) ) sscanf(line, "SigBlk: %llx", &blocked);
    fclose(f);
    n += (blocked & (1ull << (SIGUSR1 - 1))) == 0 || (blocked & (1ull << (SIGTERM - 1))) == 0;
  }
  closedir(d);
  return n;
}

static void signals_are_the_hosts(void **state) {
  struct sigaction action = {.sa_handler = note_thread, .sa_flags = SA_RESTART};
  pthread_t sender;
  sqlite3 *db = open_db(":memory:");
  main_thread = getpid();
  run(db, "SELECT ner_threads(4), ner_load('tiny', '" TINY "')");
  sigaction(SIGUSR1, &action, NULL);
  atomic_store(&stop_sending, false);
  assert_int_equal(pthread_create(&sender, NULL, keep_sending, NULL), 0);
  for( int i = 0; i < 3; i++ )
    run(db,
        "SELECT * FROM ner_query('WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
        " WHERE i < 600) SELECT i, ''Angela met Reuters '' || i FROM c', 'tiny')");
  atomic_store(&stop_sending, true);
  pthread_join(sender, NULL);
  run(db, "SELECT ner_unload('tiny')");
  assert_int_equal(open_to_signals(), 1); /* this one */
  assert_true(atomic_load(&handled) > 0);
  assert_int_equal(atomic_load(&handled_elsewhere), 0);
  sqlite3_close(db);
}

/* ---- a long life ---- */

static int cycles(int usual) {
  const char *text = getenv("HOST_CYCLES");
  int n = text ? atoi(text) : UNDER_SANITIZER ? 5 : 100;
  return usual * n / 100;
}

/* Bytes in use by malloc(). */
static size_t in_use(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

static long resident_kb(void) {
  long pages = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if( !f ) return 0;
  if( fscanf(f, "%ld %ld", &pages, &resident) != 2 ) resident = 0;
  fclose(f);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* After some cycles to warm up, memory must not grow. */
static void no_growth(void (*cycle)(void *), void *arg, int n) {
  size_t bytes;
  long kb;
  for( int i = 0; i < n / 10 + 5; i++ ) cycle(arg);
  bytes = in_use();
  kb = resident_kb();
  for( int i = 0; i < n; i++ ) cycle(arg);
  print_message("# %d cycles: %zd bytes more, %ld KB resident more\n", n,
                (ssize_t)(in_use() - bytes), resident_kb() - kb);
  if( !UNDER_SANITIZER && !getenv("HOST_OTHER_MALLOC") ) {
    assert_in_range(in_use(), 0, bytes + 4096);
    assert_in_range(resident_kb(), 0, kb + 4096);
  }
}

static void load_and_unload(void *arg) {
  run(arg, "SELECT ner_load('passing', '" TINY "'), ner_unload('passing')");
}
static void models_by_the_thousand(void **state) {
  sqlite3 *db = open_db(":memory:");
  no_growth(load_and_unload, db, cycles(10000));
  sqlite3_close(db);
}

static void open_load_query_close(void *arg) {
  sqlite3 *db = open_db(":memory:");
  run(db, "SELECT * FROM ner('Angela met Reuters in Berlin', 'tiny')");
  run(db, "SELECT ner_json('Angela met Reuters in Berlin', 'tiny')");
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
static void connections_by_the_thousand(void **state) {
  sqlite3 *db = open_db(":memory:");
  run(db, "SELECT ner_load('tiny', '" TINY "'), ner_threads(2)");
  no_growth(open_load_query_close, NULL, cycles(1000));
  run(db, "SELECT ner_unload('tiny')");
  sqlite3_close(db);
}

/* No cycle leaves a file open. */
static void files_are_closed(void **state) {
  char *before = NULL, *after = NULL;
  list_files(&before);
  for( int i = 0; i < 20; i++ ) {
    sqlite3 *db = open_db(":memory:");
    run(db, "SELECT ner_load('passing', '" OTHER "'), ner_unload('passing')");
    run_badly(db, "SELECT ner_load('passing', '" OTHER "/vocab.txt')");
    run_badly(db, "SELECT ner_load('passing', 'tests')");
    sqlite3_close(db);
  }
  list_files(&after);
  assert_string_equal(before, after);
  free(before);
  free(after);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(loading_changes_nothing), /* first */
      cmocka_unit_test(settings_stay),
      cmocka_unit_test(signals_are_the_hosts),
      cmocka_unit_test(files_are_closed),
      cmocka_unit_test(models_by_the_thousand),
      cmocka_unit_test(connections_by_the_thousand),
  };
  const char *build = getenv("BUILD");
  static char path[300];
  int rc;
#ifdef __GLIBC__
  /* malloc() keeps a cache of freed memory for each thread and counts it as in use: some KB of
  ** growth that are neither ours nor SQLite's. It can only be turned off when a program starts. */
  if( !getenv("GLIBC_TUNABLES") && !getenv("HOST_OTHER_MALLOC") ) {
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
    execv("/proc/self/exe", argv);
  }
#endif
  if( argc > 2 ) cmocka_set_test_filter(argv[2]);
  if( argc > 1 ) {
    extension = argv[1];
  } else if( build ) {
    snprintf(path, sizeof path, "%s/ner", build);
    extension = path;
  }
  unsetenv("NER_MODEL");
  unsetenv("NER_THREADS");
  snprintf(dir, sizeof dir, "%s/ner-host-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if( !mkdtemp(dir) ) return 1;
  rc = cmocka_run_group_tests(tests, NULL, NULL);
  rmdir(dir);
  return rc;
}
