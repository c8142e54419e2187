/*
** test_threads.c - many threads, many connections, and forks, all at once.
**
** make test checks the answers, make tsan the races. Each thread has its own connection, as SQLite
** requires; models, pool and settings belong to the process.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "enrich.h"
#include "fork.h"

/* Long enough for several windows and so for several threads. */
#define LONG "replace(hex(zeroblob(60)), '00', 'Angela met Reuters in Berlin ')"

/* ---- everything at once ---- */

struct role {
  const char *name;
  const char *sql;
  char *expected;    /* what it gives when it runs alone */
  const char *error; /* an error that may occur */
};

static struct role roles[] = {
    {.name = "asks one model", .sql = "SELECT * FROM ner('Angela met Reuters in Berlin', 'tiny')"},
    {.name = "asks another",
     .sql = "SELECT ner_json(" LONG ", 'other'), ner_redact(" LONG ", NULL, 'other')"},
    {.name = "asks in batches",
     .sql = "SELECT key, entity, label, score FROM ner_query('WITH RECURSIVE c(i) AS (VALUES(1)"
            " UNION ALL SELECT i + 1 FROM c WHERE i < 40) SELECT i, ''Angela met Reuters '' || i"
            " FROM c', 'tiny')"},
    {.name = "asks by IN",
     .sql = "SELECT count(*), sum(start), max(score) FROM ner WHERE model = 'other' AND text IN"
            " (SELECT 'Berlin ' || value FROM json_each('[1,2,3,4,5,6,7,8]'))"},
    {.name = "asks token by token",
     .sql = "SELECT count(*), max(score) FROM ner_tokens(" LONG ", 'tiny') UNION ALL"
            " SELECT count(*), max(score) FROM ner_words('[\"Angela\",\"met\"]', 'tiny')"},
    {.name = "asks the default", .sql = "SELECT count(*) >= 0 FROM ner(" LONG ")"},
    {.name = "asks who is there",
     .sql = "SELECT count(*) >= 2, sum(is_default) <= 1 FROM ner_models"},
    {.name = "asks for all that is known", .sql = "SELECT json_valid(ner_debug())"},
    {.name = "loads over it",
     .sql = "SELECT ner_load('tiny', '" TINY "'), ner_load('other', '" OTHER "')"},
    {.name = "loads and unloads",
     .sql = "SELECT ner_load('passing', '" TINY "', 'int8'), ner_unload('passing')",
     .error = "no model is called 'passing'"}, /* another thread of this role was first */
    {.name = "changes the default",
     .sql = "SELECT ner_default('other'), ner_default('bundled'), ner_default('tiny')"},
    {.name = "changes the threads",
     .sql = "SELECT ner_threads(1), ner_threads(3), ner_threads(4), ner_threads(2)"},
    {.name = "asks the passing",
     .sql = "SELECT count(*) >= 0 FROM ner('Angela met Reuters in Berlin', 'passing')",
     .error = "no model is called 'passing'"},
};
#define N_ROLES ((int)(sizeof roles / sizeof *roles))

struct player {
  pthread_t thread;
  const struct role *role;
  int rounds;
  char *wrong;
};

static void *play(void *arg) {
  struct player *p = arg;
  sqlite3 *db = NULL;
  for( int i = 0; i < p->rounds && !p->wrong; i++ ) {
    char *found;
    if( i % 4 == 0 ) { /* a new connection now and then */
      if( db ) close_db(db);
      db = open_db(":memory:");
    }
    found = ask(db, p->role->sql);
    if( strcmp(found, p->role->expected) &&
        !(p->role->error && strstr(found, "error: ner: ") && strstr(found, p->role->error)) )
      p->wrong = sqlite3_mprintf("%s: %s\n  gives    %s\n  expected %s", p->role->name,
                                 p->role->sql, found, p->role->expected);
    sqlite3_free(found);
  }
  close_db(db);
  return NULL;
}

static void play_all(int n_each, int rounds) {
  struct player player[2 * N_ROLES] = {{0}};
  int n = n_each * N_ROLES;
  sqlite3 *db = open_db(":memory:");
  for( int i = 0; i < N_ROLES; i++ ) {
    do_sql(db, "SELECT ner_load('passing', '" TINY "', 'int8')"); /* a role may have unloaded it */
    roles[i].expected = ask(db, roles[i].sql);
  }
  sqlite3_free(ask(db, "SELECT ner_unload('passing')"));
  for( int i = 0; i < N_ROLES; i++ )
    if( strstr(roles[i].expected, "error: ") && !roles[i].error ) fail_msg("%s", roles[i].expected);
  for( int i = 0; i < n; i++ ) {
    player[i].role = &roles[i % N_ROLES];
    player[i].rounds = rounds;
    assert_int_equal(pthread_create(&player[i].thread, NULL, play, &player[i]), 0);
  }
  for( int i = 0; i < n; i++ ) pthread_join(player[i].thread, NULL);
  for( int i = 0; i < n; i++ )
    if( player[i].wrong ) fail_msg("%s", player[i].wrong);
  for( int i = 0; i < N_ROLES; i++ ) sqlite3_free(roles[i].expected);
  close_db(db);
}

static void everything_at_once(void **state) {
  load_models();
  play_all(2, 12);
}

/* The first use in the process: the default model opens, the pool starts, kernels are chosen. */
struct first {
  pthread_t thread;
  pthread_barrier_t *together;
  char *found;
};
static void *use_first(void *arg) {
  struct first *f = arg;
  sqlite3 *db;
  pthread_barrier_wait(f->together);
  db = open_db(":memory:");
  f->found = ask(db, "SELECT * FROM ner('My name is Wolfgang and I live in Berlin')");
  close_db(db);
  return NULL;
}
static void first_use_by_many(void **state) {
  enum { N = 6 };
  struct first first[N];
  pthread_barrier_t together;
  pthread_barrier_init(&together, NULL, N);
  for( int i = 0; i < N; i++ ) {
    first[i].together = &together;
    assert_int_equal(pthread_create(&first[i].thread, NULL, use_first, &first[i]), 0);
  }
  for( int i = 0; i < N; i++ ) pthread_join(first[i].thread, NULL);
  assert_non_null(strstr(first[0].found, "Berlin|LOC"));
  for( int i = 0; i < N; i++ ) {
    assert_string_equal(first[i].found, first[0].found);
    if( i ) sqlite3_free(first[i].found);
  }
  sqlite3_free(first[0].found);
  pthread_barrier_destroy(&together);
}

/* ---- one database ---- */

struct enricher {
  pthread_t thread;
  const char *path;
  int done;
  char *error;
};

static void *enrich_file(void *arg) {
  struct enricher *e = arg;
  sqlite3 *db = open_db(e->path);
  char *found;
  sqlite3_busy_timeout(db, 60000);
  found = ask(db, "SELECT coalesce(max(done), 0) FROM ner_enrich('docs', 'body', 'tiny')");
  if( strstr(found, "error: ") )
    e->error = found;
  else {
    e->done = atoi(found);
    sqlite3_free(found);
  }
  close_db(db);
  return NULL;
}

/* Several threads enrich one file: each row is done once. */
static void one_database_by_several(void **state) {
  static const char *const journals[] = {"delete", "wal"};
  load_models();
  for( int j = 0; j < 2; j++ ) {
    char dir[TEST_PATH], path[TEST_PATH];
    struct enricher enricher[3] = {{0}};
    int done = 0;
    sqlite3 *db;
    test_dir_make(dir);
    db = open_plain(test_path(path, dir, "db"));
    do_sqlf(db, "PRAGMA journal_mode = %s", journals[j]);
    do_sql(db, "PRAGMA synchronous = OFF");
    make_docs(db, 1500);
    close_db(db);
    for( int i = 0; i < 3; i++ ) {
      enricher[i].path = path;
      assert_int_equal(pthread_create(&enricher[i].thread, NULL, enrich_file, &enricher[i]), 0);
    }
    for( int i = 0; i < 3; i++ ) pthread_join(enricher[i].thread, NULL);
    for( int i = 0; i < 3; i++ ) {
      if( enricher[i].error ) fail_msg("%s: %s", journals[j], enricher[i].error);
      done += enricher[i].done;
    }
    db = open_db(path);
    check(db, "SELECT count(*) FROM docs_body_ner_queue", "0;");
    check(db, "PRAGMA integrity_check", "ok;");
    check_docs(db, "tiny");
    print_message("# %s: %d + %d + %d rows\n", journals[j], enricher[0].done, enricher[1].done,
                  enricher[2].done);
    assert_true(done >= 1500);
    close_db(db);
    test_dir_remove(dir);
  }
}

/* ---- fork ---- */

#define TEXT "Angela met Reuters in Berlin"

static char *extracted(struct ner_model *model) {
  struct ner_entities found = {0};
  struct ner_err err = {0};
  sqlite3_str *out = sqlite3_str_new(NULL);
  char *text = malloc(40 * sizeof TEXT);
  assert_non_null(text);
  for( int i = 0; i < 40; i++ ) memcpy(text + (size_t)i * sizeof TEXT, TEXT " ", sizeof TEXT);
  if( ner_extract(model, text, 40 * sizeof TEXT, NULL, &found, &err) )
    sqlite3_str_appendf(out, "error: %s", err.msg);
  for( size_t i = 0; i < found.n; i++ )
    sqlite3_str_appendf(out, "%s %u %u %.9g;", found.entity[i].label, found.entity[i].start,
                        found.entity[i].end, found.entity[i].score);
  ner_entities_free(&found);
  free(text);
  return sqlite3_str_finish(out);
}

/* A child may inherit SQLite's own locks from a thread that held them. That is not ours to solve;
** so that the test is about our locks, fork() waits for SQLite's. */
static sqlite3_mutex_methods mutexes;
static sqlite3_mutex *static_mutex[32];

static sqlite3_mutex *get_mutex(int type) {
  sqlite3_mutex *mutex = mutexes.xMutexAlloc(type);
  if( type > SQLITE_MUTEX_RECURSIVE && type < 32 )
    __atomic_store_n(&static_mutex[type], mutex, __ATOMIC_RELEASE);
  return mutex;
}
static sqlite3_mutex *held[32]; /* during a fork */
static void hold_sqlite(void) {
  for( int i = 0; i < 32; i++ ) {
    held[i] = __atomic_load_n(&static_mutex[i], __ATOMIC_ACQUIRE);
    if( held[i] ) mutexes.xMutexEnter(held[i]);
  }
}
static void release_sqlite(void) {
  for( int i = 31; i >= 0; i-- )
    if( held[i] ) mutexes.xMutexLeave(held[i]);
}
static void configure_sqlite(void) {
  sqlite3_mutex_methods ours;
  sqlite3_initialize(); /* it chooses the mutexes */
  sqlite3_shutdown();
  assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMUTEX, &mutexes), SQLITE_OK);
  ours = mutexes;
  ours.xMutexAlloc = get_mutex;
  sqlite3_config(SQLITE_CONFIG_MUTEX, &ours);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* its mutex is not a static one */
  pthread_atfork(hold_sqlite, release_sqlite, release_sqlite);
}

/* Uses the library in a child that was forked while queries ran. SIGALRM ends a hang. */
static int child_works(struct ner_model *model, const char *expected) {
  struct ner_model *fresh = NULL;
  struct ner_err err = {0};
  char *found;
  sqlite3 *db;
  int rc = 0;
  alarm(60);
  ner_threads(3);
  found = extracted(model);
  if( strcmp(found, expected) ) rc |= 1;
  sqlite3_free(found);
  if( ner_registry_get("tiny", NULL, &fresh, &err) ) return rc | 2;
  found = extracted(fresh);
  if( strcmp(found, expected) ) rc |= 4;
  sqlite3_free(found);
  ner_model_unref(fresh);
  db = open_db(":memory:");
  found = ask(db, "SELECT count(*) > 0 FROM ner('" TEXT "', 'tiny')");
  if( strcmp(found, "1;") ) rc |= 8;
  sqlite3_free(found);
  found = ask(db, "SELECT ner_load('childs', '" OTHER "'), ner_unload('childs')");
  if( strcmp(found, "childs|childs;") ) rc |= 16;
  sqlite3_free(found);
  if( sqlite3_close(db) ) rc |= 32;
  return rc;
}

struct busy {
  pthread_t thread;
  const char *sql;
  atomic_bool *cancel;
};
static void *keep_busy(void *arg) {
  struct busy *busy = arg;
  while( !atomic_load(busy->cancel) ) {
    sqlite3 *db = open_db(":memory:");
    sqlite3_free(ask(db, busy->sql));
    close_db(db);
  }
  return NULL;
}

static void forks_while_queries_run(void **state) {
  static const char *const work[] = {
      "SELECT ner_json(" LONG ", 'tiny')",
      "SELECT count(*) FROM ner('" TEXT "', 'tiny')",
      "SELECT ner_load('passing', '" TINY "')",
  };
  enum { N = sizeof work / sizeof *work };
  struct busy busy[N];
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  atomic_bool cancel;
  char *expected, *found;
  test_needs_fork_with_threads();
#ifdef __SANITIZE_ADDRESS__
  skip(); /* its allocator may be locked in the child for ever */
#endif
  load_models();
  if( ner_registry_get("tiny", NULL, &model, &err) ) fail_msg("%s", err.msg);
  ner_threads(3);
  expected = extracted(model);
  atomic_init(&cancel, false);
  for( int i = 0; i < N; i++ ) {
    busy[i].sql = work[i];
    busy[i].cancel = &cancel;
    assert_int_equal(pthread_create(&busy[i].thread, NULL, keep_busy, &busy[i]), 0);
  }
  for( int i = 0; i < 40; i++ ) {
    pid_t pid;
    int status;
    usleep((useconds_t)(1000 * (i % 5)));
    pid = fork();
    if( pid == 0 ) _exit(child_works(model, expected));
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if( WIFSIGNALED(status) ) fail_msg("child %d: signal %d", i, WTERMSIG(status));
    if( WEXITSTATUS(status) ) fail_msg("child %d: %d", i, WEXITSTATUS(status));
  }
  atomic_store(&cancel, true);
  for( int i = 0; i < N; i++ ) pthread_join(busy[i].thread, NULL);
  found = extracted(model); /* the parent works as before */
  assert_string_equal(found, expected);
  sqlite3_free(found);
  sqlite3_free(expected);
  ner_model_unref(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_use_by_many), /* must be the first */
      cmocka_unit_test(everything_at_once),
      cmocka_unit_test(one_database_by_several),
      cmocka_unit_test(forks_while_queries_run),
  };
  unsetenv("NER_MODEL");
  setenv("NER_THREADS", "3", 1);
  configure_sqlite();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
