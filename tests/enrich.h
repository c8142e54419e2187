/*
** enrich.h - what the tests of ner_enrich() share: connections, questions, answers.
** Include after cmocka.h.
*/
#ifndef NER_TEST_ENRICH_H
#define NER_TEST_ENRICH_H

#include <time.h>
#include "engine/registry.h"
#include "sql/sql.h"
#include "support.h"

/* A tiny model with random weights, quick and full of entities; and another one. */
#define TINY  "tests/golden/models/distil-cased"
#define OTHER "tests/golden/models/bert-plain"

TEST_UNUSED void load_models(void) {
  struct ner_err err = {0};
  if( ner_registry_load("tiny", TINY, NER_PRECISION_FILE, NULL, &err) != NER_OK ||
      ner_registry_load("other", OTHER, NER_PRECISION_FILE, NULL, &err) != NER_OK ||
      ner_registry_set_default("tiny", NULL, &err) != NER_OK )
    fail_msg("%s", err.msg);
}

/* sqlite3_sleep() takes a whole second where SQLite was built without usleep(). */
TEST_UNUSED void sleep_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

/* What a group of tests begins with. */
TEST_UNUSED int begin_models(void **state) {
  unsetenv("NER_MODEL");
  load_models();
  return 0;
}

/* A connection without the extension: somebody else's program. */
TEST_UNUSED sqlite3 *open_plain(const char *path) {
  sqlite3 *db = NULL;
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  return db;
}

TEST_UNUSED sqlite3 *open_db(const char *path) {
  sqlite3 *db = open_plain(path);
  char *message = NULL;
  if( sqlite3_ner_init(db, &message, NULL) != SQLITE_OK ) fail_msg("%s", message);
  return db;
}

TEST_UNUSED void close_db(sqlite3 *db) {
  /* Fails when anything of ours still holds a statement. */
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Rows of "a|b;c|d;", "nothing", or "error: ..." at the end. To be freed with sqlite3_free(). */
TEST_UNUSED char *ask(sqlite3 *db, const char *sql) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  int rc = SQLITE_OK;
  while( rc == SQLITE_OK && *sql ) {
    sqlite3_stmt *statement = NULL;
    rc = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);
    while( statement && (rc = sqlite3_step(statement)) == SQLITE_ROW ) {
      for( int i = 0; i < sqlite3_column_count(statement); i++ ) {
        const char *value = (const char *)sqlite3_column_text(statement, i);
        sqlite3_str_appendf(out, "%s%s", i ? "|" : "", value ? value : "NULL");
      }
      sqlite3_str_appendchar(out, 1, ';');
    }
    if( rc == SQLITE_DONE ) rc = SQLITE_OK;
    if( rc != SQLITE_OK ) sqlite3_str_appendf(out, "error: %s", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
  }
  if( !sqlite3_str_length(out) ) sqlite3_str_appendall(out, "nothing");
  return sqlite3_str_finish(out);
}

TEST_UNUSED void check(sqlite3 *db, const char *sql, const char *expected) {
  char *found = ask(db, sql);
  if( strcmp(found, expected) ) fail_msg("%s\n  gives    %s\n  expected %s", sql, found, expected);
  sqlite3_free(found);
}

TEST_UNUSED void check_error(sqlite3 *db, const char *sql, const char *part) {
  char *found = ask(db, sql);
  const char *error = strstr(found, "error: ");
  if( !error || !strstr(error, part) )
    fail_msg("%s\n  gives    %s\n  expected an error with %s", sql, found, part);
  sqlite3_free(found);
}

TEST_UNUSED void do_sql(sqlite3 *db, const char *sql) {
  char *found = ask(db, sql);
  if( strstr(found, "error: ") ) fail_msg("%s\n  gives %s", sql, found);
  sqlite3_free(found);
}

/* The same with names and values filled in, by %w and %Q. */
TEST_UNUSED void do_sqlf(sqlite3 *db, const char *format, ...) {
  va_list args;
  char *sql;
  va_start(args, format);
  sql = sqlite3_vmprintf(format, args);
  va_end(args);
  do_sql(db, sql);
  sqlite3_free(sql);
}

/* `done` of the last row of ner_enrich(arguments). */
TEST_UNUSED int enrich(sqlite3 *db, const char *arguments) {
  char *sql = sqlite3_mprintf("SELECT max(done) FROM ner_enrich(%s)", arguments);
  char *found = ask(db, sql);
  int done = atoi(found);
  if( strstr(found, "error: ") ) fail_msg("%s\n  gives %s", sql, found);
  sqlite3_free(sql);
  sqlite3_free(found);
  return done;
}

TEST_UNUSED int enrich_column(sqlite3 *db, const char *table, const char *column) {
  char *arguments = sqlite3_mprintf("%Q, %Q", table, column);
  int done = enrich(db, arguments);
  sqlite3_free(arguments);
  return done;
}

/* Are the entities of docs.body those that ner() finds in it, neither more nor less? */
TEST_UNUSED void check_docs(sqlite3 *db, const char *model) {
  char *sql = sqlite3_mprintf(
      "WITH is_there AS (SELECT docs_rowid, entity, label, score, start, end FROM docs_body_ner),"
      " should_be AS (SELECT d.rowid, n.entity, n.label, n.score, n.start, n.end"
      "  FROM docs AS d, ner(d.body, %Q) AS n WHERE typeof(d.body) <> 'blob')"
      " SELECT (SELECT count(*) FROM is_there) = (SELECT count(*) FROM should_be),"
      " (SELECT count(*) FROM (SELECT * FROM is_there EXCEPT SELECT * FROM should_be)),"
      " (SELECT count(*) FROM (SELECT * FROM should_be EXCEPT SELECT * FROM is_there)),"
      " (SELECT count(*) > 0 OR (SELECT count(*) FROM docs) < 5 FROM is_there)",
      model);
  check(db, sql, "1|0|0|1;");
  sqlite3_free(sql);
}

/* Some rows that look like text to the tiny models. */
TEST_UNUSED void make_docs(sqlite3 *db, int n) {
  char *sql = sqlite3_mprintf(
      "CREATE TABLE docs(id INTEGER PRIMARY KEY, title, body TEXT);"
      "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < %d)"
      " INSERT INTO docs SELECT i, 'title ' || i,"
      " 'Angela met ' || i || ' people of Reuters in Berlin, and ' || (i * 7919 %% 1000) FROM c",
      n);
  do_sql(db, sql);
  sqlite3_free(sql);
}

#endif
