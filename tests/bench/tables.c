/*
** tables.c - whole tables through SQL: what ner_query() loses against the packed batches it is made
** of, and how memory behaves while many rows go by.
**
** The two runs of a ratio take turns, over the same different texts (ner_query() labels equal ones
** once, which would flatter it), so that a moment of other work on the machine hits both. And how
** soon an interrupt is felt.
*/
#include "bench.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/registry.h"
#include "sql/sql.h"

sqlite3 *bench_open(const char *path) {
  sqlite3 *db = NULL;
  char *message = NULL;
  if( sqlite3_open(path, &db) != SQLITE_OK ) bench_die(path, sqlite3_errmsg(db));
  if( sqlite3_ner_init(db, &message, NULL) != SQLITE_OK ) bench_die("ner", message);
  return db;
}

/* Runs it to its end: the last value of the last row's first column. */
long long bench_sql(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  sqlite3_int64 value = 0;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  while( rc == SQLITE_OK || rc == SQLITE_ROW ) {
    rc = sqlite3_step(statement);
    if( rc == SQLITE_ROW ) value = sqlite3_column_int64(statement, 0);
  }
  if( rc != SQLITE_DONE ) bench_die(sql, sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  return value;
}

/* The different ones among the inputs, in their order: as rows of a table, and in place. */
static size_t keep_different(sqlite3 *db, struct ner_input *inputs, size_t n) {
  sqlite3_stmt *insert = NULL;
  size_t kept = 0;
  bench_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT UNIQUE)");
  bench_sql(db, "BEGIN");
  sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO docs(body) VALUES(?)", -1, &insert, NULL);
  for( size_t i = 0; i < n; i++ ) {
    sqlite3_bind_text64(insert, 1, inputs[i].utf8, inputs[i].n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    if( sqlite3_step(insert) != SQLITE_DONE ) bench_die("insert", sqlite3_errmsg(db));
    sqlite3_reset(insert);
    if( sqlite3_changes(db) > 0 ) {
      struct ner_input input = inputs[kept];
      inputs[kept++] = inputs[i];
      inputs[i] = input;
    }
  }
  sqlite3_finalize(insert);
  bench_sql(db, "COMMIT");
  return kept;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void bench_query(struct ner_model *model, const char *name, struct ner_input *inputs, size_t n,
                 int rounds, bool terse) {
  sqlite3 *db = bench_open(":memory:");
  double *ratio = calloc((size_t)rounds, sizeof *ratio), best_packed = 0, best_query = 0,
         best_rows = 0;
  char *sql = sqlite3_mprintf("SELECT count(*), sum(length(entity)), sum(key), max(error) FROM"
                              " ner_query('SELECT id, body FROM docs ORDER BY id', %Q)",
                              name);
  if( !ratio || !sql ) bench_die("memory", "out of it");
  n = keep_different(db, inputs, n);
  bench_run(model, inputs, n < 1024 ? n : 1024);
  for( int r = 0; r < rounds; r++ ) {
    double start = bench_seconds(), packed, query;
    size_t tokens = 0;
    for( size_t i = 0; i < n; i += 1024 )
      tokens += bench_run(model, inputs + i, n - i < 1024 ? n - i : 1024);
    packed = (double)tokens / (bench_seconds() - start);
    start = bench_seconds();
    bench_sql(db, sql);
    query = (double)tokens / (bench_seconds() - start);
    ratio[r] = query / packed;
    if( packed > best_packed ) best_packed = packed;
    if( query > best_query ) best_query = query, best_rows = query / (double)tokens * (double)n;
  }
  qsort(ratio, (size_t)rounds, sizeof *ratio, by_value);
  if( terse )
    printf("ner_query %zu %.1f\n", n, best_rows);
  else
    printf("%zu texts, best tokens/s: packed %.0f, ner_query %.0f; ratio, median of %d: %.3f"
           " (%.3f to %.3f)\n",
           n, best_packed, best_query, rounds, ratio[rounds / 2], ratio[0], ratio[rounds - 1]);
  free(ratio);
  sqlite3_free(sql);
  sqlite3_close(db);
}

static double memory_mb(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return (double)usage.ru_maxrss / (1024 * 1024);
#else
  return (double)usage.ru_maxrss / 1024;
#endif
}

void bench_memory(const char *name, size_t n_rows, bool enrich) {
  char path[] = "/tmp/ner-bench-XXXXXX", *sql;
  int file = mkstemp(path);
  double before_mb, start;
  sqlite3 *db;
  sqlite3_int64 n;
  if( file < 0 ) bench_die(path, "cannot be made");
  close(file);
  db = bench_open(path);
  bench_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, body)");
  sql = sqlite3_mprintf("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
                        " WHERE i < %lld) INSERT INTO docs SELECT i, 'Angela met ' || i || ' people"
                        " of Reuters in Berlin' FROM c",
                        (long long)n_rows);
  bench_sql(db, sql);
  sqlite3_free(sql);
  before_mb = memory_mb();
  start = bench_seconds();
  sql = sqlite3_mprintf(enrich ? "SELECT entities FROM ner_enrich('docs', 'body', %Q)"
                               : "SELECT count(*) FROM ner_query('SELECT id, body FROM docs', %Q)",
                        name);
  n = bench_sql(db, sql);
  printf("%-10s %8zu rows %8lld entities %8.0f rows/s   peak memory %.1f MB (%.1f before)\n",
         enrich ? "ner_enrich" : "ner_query", n_rows, (long long)n,
         (double)n_rows / (bench_seconds() - start), memory_mb(), before_mb);
  sqlite3_free(sql);
  sqlite3_close(db);
  unlink(path);
}

/* ---- interrupts ---- */

struct interrupter {
  sqlite3 *db;
  double after, at; /* seconds: to wait; when it was */
};

static void *interrupt(void *arg) {
  struct interrupter *i = arg;
  struct timespec wait = {(time_t)i->after, (long)((i->after - floor(i->after)) * 1e9)};
  nanosleep(&wait, NULL);
  i->at = bench_seconds();
  sqlite3_interrupt(i->db);
  return NULL;
}

/* Runs it through, and then again with an interrupt at ever later moments of its time: how long
** each was in being felt. */
static void measure_interrupts(sqlite3 *db, const char *what, const char *sql) {
  enum { MOMENTS = 12 };
  sqlite3_stmt *statement = NULL;
  double late[MOMENTS], start = bench_seconds(), whole;
  int n = 0;
  bench_sql(db, sql);
  whole = bench_seconds() - start;
  if( sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ) bench_die(sql, sqlite3_errmsg(db));
  for( int i = 0; i < MOMENTS; i++ ) {
    struct interrupter interrupter = {db, whole * (i + 0.5) / MOMENTS, 0};
    pthread_t thread;
    int rc;
    if( strstr(sql, "ner_enrich") ) /* all is due again */
      bench_sql(db, "UPDATE docs SET body = body || '.'");
    if( pthread_create(&thread, NULL, interrupt, &interrupter) ) bench_die("thread", "no more");
    while( (rc = sqlite3_step(statement)) == SQLITE_ROW ) {}
    start = bench_seconds();
    pthread_join(thread, NULL);
    if( rc == SQLITE_INTERRUPT ) late[n++] = (start - interrupter.at) * 1e3;
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  qsort(late, (size_t)n, sizeof *late, by_value);
  printf("%-10s %6.0f ms in all; interrupted %2d times: median %4.0f, longest %4.0f ms\n", what,
         whole * 1e3, n, n ? late[n / 2] : 0, n ? late[n - 1] : 0);
  fflush(stdout);
}

void bench_interrupts(const char *name, size_t n_bytes, const char *only) {
  static const struct {
    const char *what, *sql;
  } queries[] = {
      {"ner", "SELECT count(*) FROM ner((SELECT text FROM long), %Q)"},
      {"ner_tokens", "SELECT count(*) FROM ner_tokens((SELECT text FROM long), %Q)"},
      {"ner_words", "SELECT count(*) FROM ner_words((SELECT words FROM long), %Q)"},
      {"ner_json", "SELECT length(ner_json((SELECT text FROM long), %Q))"},
      {"ner_redact", "SELECT length(ner_redact((SELECT text FROM long), NULL, %Q))"},
      {"ner_html", "SELECT length(ner_html((SELECT text FROM long), %Q))"},
      {"IN", "SELECT count(*) FROM ner WHERE text IN (SELECT body FROM docs) AND model = %Q"},
      {"ner_query", "SELECT count(*) FROM ner_query('SELECT id, body FROM docs', %Q)"},
      {"ner_enrich", "SELECT count(*) FROM ner_enrich('docs', 'body', %Q)"},
  };
  sqlite3 *db = bench_open(":memory:");
  char *sql = sqlite3_mprintf("CREATE TABLE long AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL"
                              " SELECT i + 1 FROM c WHERE i < %d), w(text) AS (SELECT group_concat("
                              "'Angela met ' || i || ' people of Reuters in Berlin', ' ') FROM c)"
                              " SELECT text, '[\"' || replace(text, ' ', '\",\"') || '\"]' AS words"
                              " FROM w",
                              (int)(n_bytes / 44));
  bench_sql(db, sql);
  sqlite3_free(sql);
  sql =
      sqlite3_mprintf("CREATE TABLE docs AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                      " FROM c WHERE i < %d) SELECT i AS id, 'Angela met ' || i || ' people of"
                      " Reuters in Berlin' AS body FROM c",
                      (int)(n_bytes / 44));
  bench_sql(db, sql);
  sqlite3_free(sql);
  printf("%zu bytes of text, or as many in a table\n", n_bytes);
  for( size_t i = 0; i < sizeof queries / sizeof *queries; i++ ) {
    if( only && strcmp(only, queries[i].what) != 0 ) continue;
    sql = sqlite3_mprintf(queries[i].sql, name);
    measure_interrupts(db, queries[i].what, sql);
    sqlite3_free(sql);
  }
  sqlite3_close(db);
}
