/*
** growth.c - cost against work: ner_query() over 1, 10, ..., 10^6 rows and ner() over one text of
** 10^2, ..., 10^7 bytes. Tokens/s and ns/token ought to stay the same once start-up costs are
** spread; memory and the threads that were busy stand beside them.
*/
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/pool.h"
#include "engine/registry.h"
#include "sql/sql.h"

/* Rows are all different, since ner_query() labels equal ones once. */
#define GROWTH_ROW "'Angela met ' || i || ' people of Reuters in Berlin'"

static double growth_cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* What the process has held at most so far: sizes are run in ascending order. */
static double growth_peak_mb(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
#ifdef __APPLE__
  return (double)u.ru_maxrss / (1024 * 1024);
#else
  return (double)u.ru_maxrss / 1024;
#endif
}

/* Tokens of the texts that `sql` selects, with [CLS] and [SEP] for each row. */
static size_t growth_tokens(const struct ner_model *model, sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  size_t n = 0;
  if( sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ) bench_die(sql, sqlite3_errmsg(db));
  while( sqlite3_step(statement) == SQLITE_ROW ) {
    struct ner_tokens tokens = {0};
    struct ner_err err = {0};
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, 0);
    if( ner_tokenize(model->tokenizer, text, bytes, 0, &tokens, NULL, &err) )
      bench_die("tokenizer", err.msg);
    n += tokens.n + 2;
    ner_tokens_free(&tokens);
  }
  sqlite3_finalize(statement);
  return n;
}

/* The best of several runs, all of them together at least a third of a second. format: the
** statement, with the run's number (%d) appended to each text, so that no text was seen before,
** and the model's name. */
static void growth_row(sqlite3 *db, const char *what, size_t size, size_t tokens,
                       const char *format, const char *name) {
  double best = 0, cpu = 0, spent = 0;
  for( int i = 0; i < 90 && spent < 0.33; i++ ) {
    double start, cpu_start, seconds;
    char *sql = sqlite3_mprintf(format, 10 + i, name);
    start = bench_seconds();
    cpu_start = growth_cpu_seconds();
    bench_sql(db, sql);
    seconds = bench_seconds() - start;
    sqlite3_free(sql);
    spent += seconds;
    if( i > 0 && seconds >= best ) continue;
    best = seconds;
    cpu = growth_cpu_seconds() - cpu_start;
  }
  printf("%-6s %9zu %10zu %10.3f %10.0f %9.0f %8.1f %9.0f\n", what, size, tokens, best,
         (double)tokens / best, best * 1e9 / (double)tokens, cpu / best, growth_peak_mb());
  fflush(stdout);
}

void bench_growth(struct ner_model *model, const char *name, size_t max_rows, size_t max_bytes) {
  sqlite3 *db = bench_open(":memory:");
  char *sql;
  printf("%-6s %9s %10s %10s %10s %9s %8s %9s\n", "", "size", "tokens", "seconds", "tokens/s",
         "ns/token", "threads", "peak MB");
  for( size_t n = 1; n <= max_rows; n *= 10 ) {
    sql = sqlite3_mprintf(
        "CREATE TABLE docs AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM c WHERE i < %lld) SELECT i AS id, " GROWTH_ROW " AS body FROM c",
        (long long)n);
    bench_sql(db, sql);
    sqlite3_free(sql);
    growth_row(db, "rows", n, growth_tokens(model, db, "SELECT body || ' 10' FROM docs"),
               "SELECT count(*) FROM ner_query('SELECT id, body || '' %d'' FROM docs', %Q)", name);
    bench_sql(db, "DROP TABLE docs");
  }
  for( size_t n = 100; n <= max_bytes; n *= 10 ) {
    sql = sqlite3_mprintf(
        "CREATE TABLE one AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM c WHERE i < %lld) SELECT substr(group_concat(" GROWTH_ROW
        ", ' '), 1, %lld) AS text FROM c",
        (long long)(n / 40 + 1), (long long)n);
    bench_sql(db, sql);
    sqlite3_free(sql);
    growth_row(db, "bytes", n, growth_tokens(model, db, "SELECT text || ' 10' FROM one"),
               "SELECT count(*) FROM ner((SELECT text || ' %d' FROM one), %Q)", name);
    bench_sql(db, "DROP TABLE one");
  }
  sqlite3_close(db);
}
