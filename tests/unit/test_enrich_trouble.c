/*
** test_enrich_trouble.c - ner_enrich() where not all goes well: other writers, transactions,
** interrupts, bad arguments, damage. test_enrich.c has what it does otherwise, and
** tests/sh/enrich-kill.sh kills it.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "enrich.h"

#define ENRICH "SELECT * FROM ner_enrich('docs', 'body')"

/* A file, with a connection of ours and one of somebody else's. */
struct pair {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db, *other;
};

static void pair_open(struct pair *p, const char *journal, int n_docs) {
  test_dir_make(p->dir);
  test_path(p->path, p->dir, "a.db");
  p->db = open_db(p->path);
  do_sqlf(p->db, "PRAGMA journal_mode = %s", journal);
  make_docs(p->db, n_docs);
  p->other = open_plain(p->path);
#ifdef _WIN32 /* there a journal that one connection keeps open cannot be deleted by another */
  do_sqlf(p->other, "PRAGMA journal_mode = %s", journal);
#endif
}

static void pair_close(struct pair *p) {
  check(p->other, "PRAGMA integrity_check", "ok;");
  close_db(p->other);
  close_db(p->db);
  test_dir_remove(p->dir);
}

static sqlite3_stmt *begin_enrich(sqlite3 *db) {
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_prepare_v2(db, ENRICH, -1, &statement, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  return statement;
}

/* ---- others who write ---- */

static const char *const journals[] = {"delete", "truncate", "wal"};
#define N_JOURNALS (sizeof journals / sizeof *journals)

/* Between two batches everybody can do everything, at once. */
static void nobody_is_kept_out(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *statement;
    int rc, n = 0;
    pair_open(&p, journals[i], 400);
    statement = begin_enrich(p.db);
    do {
      n++;
      do_sqlf(p.other,
              "BEGIN EXCLUSIVE; UPDATE docs SET body = 'Hello Rome %d' WHERE id IN (%d, %d);"
              "DELETE FROM docs WHERE id = %d; INSERT INTO docs(body) VALUES('Hello %d'); COMMIT",
              n, n, 400 - n, n + 20, n);
      rc = sqlite3_step(statement);
    } while( rc == SQLITE_ROW && n < 8 );
    sqlite3_finalize(statement);
    assert_true(n > 1);
    enrich(p.db, "'docs', 'body'");
    check_docs(p.db, NULL);
    assert_int_equal(sqlite3_txn_state(p.db, NULL), SQLITE_TXN_NONE);
    pair_close(&p);
  }
}

/* Nor when another connection made a table after the statement was prepared, so that SQLite has to
** prepare it again. */
static void nor_after_a_change_of_the_schema(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *statement;
    int done = 0;
    pair_open(&p, journals[i], 400);
    assert_int_equal(sqlite3_prepare_v2(p.db, ENRICH, -1, &statement, NULL), SQLITE_OK);
    do_sql(p.other, "CREATE TABLE passing(x)");
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_true(sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_REPREPARE, 0) > 0);
    do_sql(p.other, "BEGIN EXCLUSIVE; DROP TABLE passing; COMMIT");
    do {
      assert_true(sqlite3_column_int(statement, 0) > done);
      done = sqlite3_column_int(statement, 0);
    } while( sqlite3_step(statement) == SQLITE_ROW );
    assert_int_equal(done, 400);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    check_docs(p.db, NULL);
    pair_close(&p);
  }
}

struct holder {
  sqlite3 *db;
  const char *sql;
  int ms;
  pthread_barrier_t holds;
};

static void *hold(void *arg) {
  struct holder *h = arg;
  int rc = sqlite3_exec(h->db, h->sql, NULL, NULL, NULL);
  pthread_barrier_wait(&h->holds);
  sleep_ms(h->ms);
  if( rc != SQLITE_OK ) return h;
  /* Somebody who just looks into the file, for a moment, keeps a COMMIT out. */
  while( (rc = sqlite3_exec(h->db, "COMMIT", NULL, NULL, NULL)) == SQLITE_BUSY ) sleep_ms(1);
  return rc == SQLITE_OK ? NULL : h;
}

static void locks_are_waited_for(void **state) {
  static const char *const locks[] = {
      "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE",
      "BEGIN IMMEDIATE; UPDATE docs SET body = 'Hello Rome' WHERE id = 1"};
  for( size_t i = 0; i < N_JOURNALS * 3; i++ ) {
    struct pair p;
    struct holder h;
    pthread_t thread;
    void *failed;
    pair_open(&p, journals[i / 3], 100);
    /* The host's own statement already has to read the schema. */
    if( i % 3 == 1 ) do_sql(p.db, "PRAGMA busy_timeout = 5000");
    h = (struct holder){.db = p.other, .sql = locks[i % 3], .ms = 150};
    pthread_barrier_init(&h.holds, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
    pthread_barrier_wait(&h.holds);
    enrich(p.db, "'docs', 'body'");
    pthread_join(thread, &failed);
    assert_null(failed);
    enrich(p.db, "'docs', 'body'");
    check_docs(p.db, NULL);
    pthread_barrier_destroy(&h.holds);
    pair_close(&p);
  }
}

static void a_lock_held_for_too_long_is_reported(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *statement;
    char *was;
    pair_open(&p, journals[i], 300);
    do_sql(p.db, "PRAGMA busy_timeout = 100");
    do_sql(p.other, "BEGIN IMMEDIATE");
    check_error(p.db, ENRICH, "locked by another connection");
    check(p.db, "SELECT count(*) FROM sqlite_schema", "1;");
    do_sql(p.other, "COMMIT");
    statement = begin_enrich(p.db);
    was = ask(p.other, "SELECT count(*) FROM docs_body_ner");
    do_sql(p.other, "BEGIN IMMEDIATE");
    assert_int_equal(sqlite3_step(statement), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(p.db), "continues where it stopped"));
    sqlite3_finalize(statement);
    check(p.db, "SELECT count(*) FROM docs_body_ner", was); /* what is done stays */
    do_sql(p.other, "COMMIT");
    enrich(p.db, "'docs', 'body'");
    check_docs(p.db, NULL);
    sqlite3_free(was);
    pair_close(&p);
  }
}

/* A statement of the host's that reads keeps the other connection from committing, which keeps us
** from writing: SQLite does not wait then, and the error says what to end. */
static void locks_that_wait_for_each_other_are_told(void **state) {
  struct pair p;
  sqlite3_stmt *open;
  pair_open(&p, "delete", 100);
  do_sql(p.db, "PRAGMA busy_timeout = 60000");
  assert_int_equal(sqlite3_prepare_v2(p.db, "SELECT * FROM docs", -1, &open, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_step(open), SQLITE_ROW);
  do_sql(p.other, "BEGIN IMMEDIATE");
  check_error(p.db, ENRICH, "end this connection's other statements");
  sqlite3_finalize(open);
  do_sql(p.other, "COMMIT");
  enrich(p.db, "'docs', 'body'");
  check_docs(p.db, NULL);
  pair_close(&p);
}

static int change_all(void *arg) {
  struct pair *p = arg;
  /* Once; the handler is called while texts are being labelled. */
  if( sqlite3_exec(p->other,
                   "UPDATE docs SET body = 'Angela and ' || id WHERE body NOT LIKE 'Angela and%'"
                   " AND (SELECT count(*) FROM docs_body_ner) >= 0",
                   NULL, NULL, NULL) == SQLITE_OK )
    sqlite3_progress_handler(p->db, 0, NULL, NULL);
  return 0;
}

static void rows_changed_while_being_worked_on_stay_due(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *statement;
    pair_open(&p, journals[i], 20);
    do_sqlf(p.db,
            "SELECT * FROM ner_enrich('docs', 'body', 'bundled');"
            "UPDATE docs SET body = body || '.' WHERE id > 1;"
            "UPDATE docs SET body = replace(hex(zeroblob(%d)), '00', 'Angela met Berlin ')"
            " WHERE id = 1",
            TEST_LASTING(4000));
    sqlite3_progress_handler(p.db, 500, change_all, &p);
    /* A large model and a long text take long on any machine: the handler is called every 10 ms. */
    assert_int_equal(sqlite3_prepare_v2(p.db, "SELECT * FROM ner_enrich('docs', 'body', 'bundled')",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    check(p.other, "SELECT count(*) FROM docs WHERE body LIKE 'Angela and%'", "20;");
    assert_int_equal(sqlite3_column_int(statement, 0), 0); /* the whole batch is still due */
    check(p.other, "SELECT count(*) FROM docs_body_ner_queue", "20;");
    sqlite3_finalize(statement);
    assert_int_equal(enrich(p.db, "'docs', 'body', 'bundled'"), 20);
    check_docs(p.db, "bundled");
    pair_close(&p);
  }
}

static void two_may_work_at_once(void **state) {
  struct pair p;
  sqlite3 *second;
  sqlite3_stmt *one, *two;
  int done = 0;
  pair_open(&p, "delete", 400);
  second = open_db(p.path);
  one = begin_enrich(p.db);
  two = begin_enrich(second);
  for( int rc_one = SQLITE_ROW, rc_two = SQLITE_ROW;
       rc_one == SQLITE_ROW || rc_two == SQLITE_ROW; ) {
    if( rc_one == SQLITE_ROW ) rc_one = sqlite3_step(one);
    if( rc_two == SQLITE_ROW ) rc_two = sqlite3_step(two);
    if( rc_one == SQLITE_ROW ) done = sqlite3_column_int(one, 0);
    assert_true(rc_one == SQLITE_ROW || rc_one == SQLITE_DONE);
    assert_true(rc_two == SQLITE_ROW || rc_two == SQLITE_DONE);
  }
  assert_true(done > 0);
  check_docs(p.db, NULL);
  sqlite3_finalize(one);
  sqlite3_finalize(two);
  /* The later wish counts. */
  do_sql(p.db, "UPDATE docs SET body = body || '!'");
  one = begin_enrich(p.db);
  assert_int_equal(enrich(second, "'docs', 'body', 'other'"), 400);
  do_sql(second, "UPDATE docs SET body = body || '!'");
  assert_int_equal(sqlite3_step(one), SQLITE_ERROR);
  assert_non_null(strstr(sqlite3_errmsg(p.db), "this one stops"));
  sqlite3_finalize(one);
  enrich(second, "'docs', 'body', 'other'");
  check_docs(p.db, "other");
  close_db(second);
  pair_close(&p);
}

/* ---- transactions of the caller ---- */

static void a_callers_transaction_holds_it_all(void **state) {
  for( size_t i = 0; i <= N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3 *db;
    if( i < N_JOURNALS ) pair_open(&p, journals[i], 60);
    db = i < N_JOURNALS ? p.db : open_db(":memory:");
    if( i == N_JOURNALS ) make_docs(db, 60);
    do_sql(db, "BEGIN; INSERT INTO docs(body) VALUES('Hello Rome')");
    assert_int_equal(enrich(db, "'docs', 'body'"), 61);
    check_docs(db, NULL);
    do_sql(db, "ROLLBACK");
    check(db, "SELECT count(*) FROM sqlite_schema", "1;");
    do_sql(db, "BEGIN");
    assert_int_equal(enrich(db, "'docs', 'body'"), 60);
    do_sql(db, "COMMIT; SAVEPOINT a; UPDATE docs SET body = 'Hello Rome' WHERE id < 10");
    assert_int_equal(enrich(db, "'docs', 'body'"), 9);
    check_docs(db, NULL);
    do_sql(db, "ROLLBACK TO a; RELEASE a");
    assert_int_equal(enrich(db, "'docs', 'body'"), 0);
    check_docs(db, NULL);
    if( i < N_JOURNALS )
      pair_close(&p);
    else
      close_db(db);
  }
}

static void a_transaction_begun_meanwhile_is_noticed(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *statement;
    pair_open(&p, journals[i], 300);
    statement = begin_enrich(p.db);
    do_sql(p.db, "BEGIN; UPDATE docs SET body = 'Hello Rome' WHERE id = 1");
    assert_int_equal(sqlite3_step(statement), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(p.db), "commit that"));
    sqlite3_finalize(statement);
    do_sql(p.db, "COMMIT");
    enrich(p.db, "'docs', 'body'");
    check_docs(p.db, NULL);
    pair_close(&p);
  }
}

static void a_query_left_open_does_no_harm(void **state) {
  for( size_t i = 0; i < N_JOURNALS; i++ ) {
    struct pair p;
    sqlite3_stmt *open;
    pair_open(&p, journals[i], 150);
    assert_int_equal(sqlite3_prepare_v2(p.db, "SELECT * FROM docs", -1, &open, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(open), SQLITE_ROW);
    assert_int_equal(enrich(p.db, "'docs', 'body'"), 150);
    assert_int_equal(sqlite3_step(open), SQLITE_ROW);
    sqlite3_finalize(open);
    check_docs(p.db, NULL);
    /* And one that is opened while it is under way. */
    do_sql(p.db, "UPDATE docs SET body = body || ' and Rome'");
    open = begin_enrich(p.db);
    do_sql(p.db, "SELECT count(*) FROM docs");
    if( strcmp(journals[i], "wal") == 0 )
      do_sql(p.other, "UPDATE docs SET body = 'x' WHERE id = 9");
    sqlite3_finalize(open);
    enrich(p.db, "'docs', 'body'");
    check_docs(p.db, NULL);
    pair_close(&p);
  }
}

static void statements_that_write_are_refused(void **state) {
  for( int file = 0; file < 2; file++ ) {
    struct pair p;
    sqlite3 *db;
    pair_open(&p, "delete", 50);
    db = file ? p.db : open_db(":memory:");
    if( !file ) make_docs(db, 50);
    do_sql(db, "CREATE TABLE log(done, total); INSERT INTO log VALUES(0, 0)");
    check_error(db, "INSERT INTO log SELECT done, total FROM ner_enrich('docs', 'body')",
                "a statement that writes");
    check_error(db, "CREATE TABLE x AS " ENRICH, "a statement that writes");
    check_error(db, "UPDATE log SET done = (SELECT max(done) FROM ner_enrich('docs', 'body'))",
                "a statement that writes");
    check(db, "SELECT count(*) FROM sqlite_schema", "2;");
    assert_true(sqlite3_get_autocommit(db));
    assert_int_equal(enrich(db, "'docs', 'body'"), 50);
    if( !file ) close_db(db);
    pair_close(&p);
  }
}

static void views_and_triggers_cannot_use_it(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  do_sql(db, "CREATE VIEW v AS " ENRICH "; CREATE TABLE t(x);"
             "CREATE TRIGGER r AFTER INSERT ON t BEGIN " ENRICH "; END");
  check_error(db, "SELECT * FROM v", "unsafe use of");
  check_error(db, "INSERT INTO t VALUES(1)", "unsafe use of");
  enrich(db, "'docs', 'body'");
  check_error(db, "SELECT * FROM v", "unsafe use of");
  close_db(db);
}

/* ---- where our own connection will not do ---- */

static int by_length(void *arg, int n_a, const void *a, int n_b, const void *b) {
  return n_a - n_b;
}
static void shout(sqlite3_context *context, int n, sqlite3_value **arg) {
  char *text = sqlite3_mprintf("Hello %s", sqlite3_value_text(arg[0]));
  sqlite3_result_text(context, text, -1, sqlite3_free);
}

static void what_only_the_host_knows_is_used(void **state) {
  struct pair p;
  pair_open(&p, "delete", 1);
  do_sql(p.db, "PRAGMA busy_timeout = 1000");
  sqlite3_create_collation(p.db, "by_length", SQLITE_UTF8, NULL, by_length);
  sqlite3_create_collation(p.other, "by_length", SQLITE_UTF8, NULL, by_length);
  sqlite3_create_function(p.db, "shout", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, shout, NULL,
                          NULL);
  do_sql(p.db, "CREATE TABLE k(k TEXT COLLATE by_length PRIMARY KEY, body) WITHOUT ROWID;"
               "INSERT INTO k VALUES('a', 'Hello Rome'), ('bb', 'Hello Berlin');"
               "CREATE TABLE g(t, body AS (shout(t))); INSERT INTO g VALUES('Rome'), ('Berlin')");
  assert_int_equal(enrich(p.db, "'k', 'body'"), 2);
  assert_int_equal(enrich(p.db, "'g', 'body'"), 2);
  do_sql(p.db, "UPDATE k SET body = 'Hello Paris' WHERE k = 'x'; UPDATE g SET t = 'Madrid'");
  assert_int_equal(enrich(p.db, "'k', 'body'"), 1);
  assert_int_equal(enrich(p.db, "'g', 'body'"), 2);
  pair_close(&p);
}

static void exclusive_and_private_databases(void **state) {
  struct pair p;
  pair_open(&p, "delete", 100);
  do_sql(p.db,
         "PRAGMA locking_mode = EXCLUSIVE; UPDATE docs SET body = body || '.' WHERE id = 1;"
         "CREATE TEMP TABLE notes(body); INSERT INTO notes VALUES('Hello Rome');"
         "ATTACH ':memory:' AS m; CREATE TABLE m.x(body); INSERT INTO m.x VALUES('a'), ('b')");
  assert_int_equal(enrich(p.db, "'docs', 'body'"), 100);
  assert_int_equal(enrich(p.db, "'notes', 'body'"), 1);
  assert_int_equal(enrich(p.db, "'x', 'body'"), 2);
  check_docs(p.db, NULL);
  do_sql(p.db, "PRAGMA locking_mode = NORMAL; SELECT count(*) FROM docs");
  pair_close(&p);
}

static void utf16_makes_no_difference(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db;
  test_dir_make(dir);
  db = open_db(test_path(path, dir, "a.db"));
  do_sql(db, "PRAGMA encoding = 'UTF-16le'");
  make_docs(db, 50);
  do_sql(
      db,
      "INSERT INTO docs(body) VALUES('Gr\xC3\xBC\xC3\x9F\x65 aus Z\xC3\xBCrich \xF0\x9F\x98\x80')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 51);
  check_docs(db, NULL);
  close_db(db);
  test_dir_remove(dir);
}

/* ---- what cannot be ---- */

static void bad_arguments_are_told(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  do_sql(db, "CREATE VIEW v AS SELECT * FROM docs; CREATE VIRTUAL TABLE f USING fts5(body);"
             "CREATE TABLE a(i INTEGER PRIMARY KEY AUTOINCREMENT, x)");
  check_error(db, "SELECT * FROM ner_enrich", "no argument");
  check_error(db, "SELECT * FROM ner_enrich('docs')", "the column's name is NULL");
  check_error(db, "SELECT * FROM ner_enrich(NULL, 'body')", "the table's name is NULL");
  check_error(db, "SELECT * FROM ner_enrich('', 'body')", "the table's name is empty");
  check_error(db, "SELECT * FROM ner_enrich(x'00', 'body')", "is a BLOB");
  check_error(db, "SELECT * FROM ner_enrich('nothing', 'body')", "there is no table 'nothing'");
  check_error(db, "SELECT * FROM ner_enrich('x.docs', 'body')", "there is no table 'x.docs'");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'nothing')", "has no column 'nothing'");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'rowid')", "has no column 'rowid'");
  check_error(db, "SELECT * FROM ner_enrich('v', 'body')", "is not a table but a view");
  do_sql(db, "CREATE TEMP VIEW tv AS SELECT 1 AS body; ATTACH ':memory:' AS aux;"
             "CREATE VIEW aux.av AS SELECT 1 AS body");
  check_error(db, "SELECT * FROM ner_enrich('main.v', 'body')", "is not a table but a view");
  check_error(db, "SELECT * FROM ner_enrich('tv', 'body')", "is not a table but a view");
  check_error(db, "SELECT * FROM ner_enrich('aux.av', 'body')", "is not a table but a view");
  check_error(db, "SELECT * FROM ner_enrich('ner', 'text')",
              "is not a table but a table-valued function");
  check_error(db, "SELECT * FROM ner_enrich('json_each', 'value')",
              "is not a table but a table-valued function");
  check_error(db, "SELECT * FROM ner_enrich('pragma_table_list', 'name')",
              "is not a table but a table-valued function");
  check_error(db, "SELECT * FROM ner_enrich('f', 'body')", "virtual table");
  check_error(db, "SELECT * FROM ner_enrich('f_content', 'c0')", "shadow table");
  check_error(db, "SELECT * FROM ner_enrich('sqlite_schema', 'sql')", "SQLite's own");
  check_error(db, "SELECT * FROM ner_enrich('sqlite_sequence', 'name')", "SQLite's own");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'body', 'nobody')", "no model is called");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'body', NULL, 'best')", "best");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'body', NULL, NULL, 7)", "threshold");
  check(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%_ner%'", "0;");
  close_db(db);
}

static void what_is_not_ours_is_left_alone(void **state) {
  static const char *const in_the_way[] = {
      "CREATE TABLE docs_body_ner(x)", "CREATE TABLE Docs_Body_Ner_Queue(x)",
      "CREATE VIEW docs_body_ner_state AS SELECT 1",
      "CREATE INDEX docs_body_ner_by_row ON docs(title)",
      "CREATE TRIGGER docs_body_ner_update AFTER UPDATE ON docs BEGIN SELECT 1; END"};
  sqlite3 *db;
  for( size_t i = 0; i < sizeof in_the_way / sizeof *in_the_way; i++ ) {
    db = open_db(":memory:");
    make_docs(db, 5);
    do_sql(db, in_the_way[i]);
    check_error(db, ENRICH, "exists already and was not made by ner_enrich");
    check(db, "SELECT count(*) FROM sqlite_schema", "2;");
    close_db(db);
  }
  /* Two tables and columns may ask for one name. */
  db = open_db(":memory:");
  do_sql(db, "CREATE TABLE a_b(c); CREATE TABLE a(b_c); INSERT INTO a VALUES('x')");
  assert_int_equal(enrich(db, "'a_b', 'c'"), 0);
  check_error(db, "SELECT * FROM ner_enrich('a', 'b_c')", "");
  close_db(db);
}

static void damage_is_told_or_mended(void **state) {
  static const char *const damage[] = {
      "DROP TABLE docs_body_ner_queue",
      "DROP TABLE docs_body_ner",
      "DROP TABLE docs_body_ner_error",
      "DROP TABLE docs_body_ner_state",
      "ALTER TABLE docs_body_ner_queue RENAME COLUMN change TO x",
      "ALTER TABLE docs_body_ner ADD COLUMN x",
      "UPDATE docs_body_ner_state SET value = 'x' WHERE key = 'table'",
      "UPDATE docs_body_ner_state SET value = 3 WHERE key = 'layout'",
      "DELETE FROM docs_body_ner_state WHERE key = 'column'"};
  sqlite3 *db;
  for( size_t i = 0; i < sizeof damage / sizeof *damage; i++ ) {
    db = open_db(":memory:");
    make_docs(db, 5);
    enrich(db, "'docs', 'body'");
    do_sql(db, damage[i]);
    check_error(db, ENRICH, "run sql/enrich-undo.sql");
    close_db(db);
  }
  db = open_db(":memory:");
  make_docs(db, 50);
  enrich(db, "'docs', 'body'");
  do_sql(db, "DROP INDEX docs_body_ner_by_entity; INSERT INTO docs_body_ner_queue VALUES(7, 'x'),"
             " (900, 0), (8, x'00'), (9, 1.5); INSERT INTO docs_body_ner_error VALUES(10, 'x')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 4);
  check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", "2;");
  do_sql(db, "DELETE FROM docs_body_ner_state WHERE key = 'settings'");
  assert_int_equal(enrich(db, "'docs', 'body'"), 50);
  do_sql(db, "DROP TRIGGER docs_body_ner_insert");
  assert_int_equal(enrich(db, "'docs', 'body'"), 50);
  check_docs(db, NULL);
  close_db(db);
}

static void a_table_dropped_meanwhile_is_told(void **state) {
  struct pair p;
  sqlite3_stmt *statement;
  pair_open(&p, "wal", 300);
  statement = begin_enrich(p.db);
  do_sql(p.other, "DROP TABLE docs_body_ner_queue");
  assert_int_equal(sqlite3_step(statement), SQLITE_ERROR);
  assert_non_null(strstr(sqlite3_errmsg(p.db), "docs_body_ner_queue"));
  sqlite3_finalize(statement);
  pair_close(&p);
}

static void read_only_databases_are_told(void **state) {
  struct pair p;
  sqlite3 *db;
  char *message = NULL;
  pair_open(&p, "delete", 5);
  assert_int_equal(sqlite3_open_v2(p.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_ner_init(db, &message, NULL), SQLITE_OK);
  check_error(db, ENRICH, "for reading only");
  close_db(db);
  do_sql(p.db, "PRAGMA query_only = ON");
  check_error(p.db, ENRICH, "cannot be written to");
  do_sql(p.db, "PRAGMA query_only = OFF");
  check(p.db, "SELECT count(*) FROM sqlite_schema", "1;");
  assert_int_equal(enrich(p.db, "'docs', 'body'"), 5);
  pair_close(&p);
}

static void a_full_database_keeps_what_is_done(void **state) {
  sqlite3 *db = open_db(":memory:");
  char *pages, *was, *sql;
  make_docs(db, 3000);
  pages = ask(db, "PRAGMA page_count");
  do_sqlf(db, "PRAGMA max_page_count = %d", atoi(pages) + 1);
  check_error(db, ENRICH, "full");
  check(db, "SELECT count(*) FROM sqlite_schema", "1;");
  do_sqlf(db, "PRAGMA max_page_count = %d", atoi(pages) + 60);
  check_error(db, ENRICH, "full");
  assert_true(sqlite3_get_autocommit(db));
  was = ask(db, "SELECT count(*) FROM docs_body_ner_queue");
  assert_true(atoi(was) > 0 && atoi(was) < 3000);
  check(db, "SELECT count(*) FROM docs_body_ner JOIN docs_body_ner_queue USING (docs_rowid)", "0;");
  do_sql(db, "PRAGMA max_page_count = 100000");
  sql = sqlite3_mprintf("%d", atoi(was));
  assert_int_equal(enrich(db, "'docs', 'body'"), atoi(sql));
  check_docs(db, NULL);
  sqlite3_free(pages);
  sqlite3_free(was);
  sqlite3_free(sql);
  close_db(db);
}

static int nothing_new(void *arg, int action, const char *a, const char *b, const char *c,
                       const char *d) {
  return action == SQLITE_CREATE_TABLE || action == SQLITE_CREATE_TRIGGER ? SQLITE_DENY : SQLITE_OK;
}
static int no_body(void *arg, int action, const char *a, const char *b, const char *c,
                   const char *d) {
  return action == SQLITE_READ && !strcmp(a, "docs") && !strcmp(b, "body") ? SQLITE_DENY
                                                                           : SQLITE_OK;
}

static void authorizers_are_obeyed(void **state) {
  struct pair p;
  pair_open(&p, "delete", 5);
  sqlite3_set_authorizer(p.db, nothing_new, NULL);
  check_error(p.db, ENRICH, "not authorized");
  sqlite3_set_authorizer(p.db, no_body, NULL);
  check_error(p.db, ENRICH, "prohibited");
  sqlite3_set_authorizer(p.db, NULL, NULL);
  check(p.db, "SELECT count(*) FROM sqlite_schema", "1;");
  assert_int_equal(enrich(p.db, "'docs', 'body'"), 5);
  pair_close(&p);
}

/* ---- interrupts ---- */

struct interrupter {
  sqlite3 *db;
  int ms;
  atomic_bool over;
};

/* Again and again: SQLite forgets an interrupt that comes before the statement has begun. */
static void *interrupt_later(void *arg) {
  struct interrupter *i = arg;
  sleep_ms(i->ms);
  do {
    sqlite3_interrupt(i->db);
    sleep_ms(5);
  } while( !atomic_load(&i->over) );
  return NULL;
}

/* At whatever moment: it ends soon, nothing is left open, and what is done is done. */
static void interrupts_leave_nothing_open(void **state) {
  int n_interrupted = 0;
  for( int i = 0; i < 12; i++ ) {
    bool file = i % 2, wal = i % 4 > 1, in_transaction = i % 3 == 0;
    struct interrupter interrupter;
    struct pair p;
    pthread_t thread;
    char *found;
    sqlite3 *db;
    pair_open(&p, wal ? "wal" : "delete", file ? 200 : 1);
    db = file ? p.db : open_db(":memory:");
    if( !file ) make_docs(db, 200);
    do_sql(db,
           "UPDATE docs SET body = (WITH c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
           " WHERE i < 2000) SELECT group_concat(docs.body || i, ' ') FROM c) WHERE id % 20 = 19");
    if( in_transaction ) do_sql(db, "BEGIN");
    interrupter.db = db, interrupter.ms = 5 + i * 15;
    atomic_init(&interrupter.over, false);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, &interrupter), 0);
    found = ask(db, ENRICH);
    atomic_store(&interrupter.over, true);
    pthread_join(thread, NULL);
    /* While SQLite reads the function's columns it words it in its own way. Done before the
    ** interrupt came is fine; a quick machine gets there in the later rounds. */
    if( strstr(found, "interrupted") || strstr(found, "vtable constructor failed") )
      n_interrupted++;
    else if( strstr(found, "error: ") )
      fail_msg("after %d ms: %.300s", interrupter.ms, found);
    sqlite3_free(found);
    if( !in_transaction ) assert_true(sqlite3_get_autocommit(db));
    if( !sqlite3_get_autocommit(db) ) do_sql(db, "COMMIT");
    assert_int_equal(sqlite3_txn_state(db, NULL), SQLITE_TXN_NONE);
    check(db,
          "SELECT count(*) FROM sqlite_schema WHERE name = 'docs_body_ner_state' AND"
          " NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'docs_body_ner_delete')",
          "0;");
    do_sql(db, "UPDATE docs SET body = 'Hello Berlin' WHERE id % 20 = 19");
    enrich(db, "'docs', 'body'");
    check_docs(db, NULL);
    if( !file ) close_db(db);
    pair_close(&p);
  }
  assert_true(n_interrupted > 2);
}

static int stop_it(void *arg) {
  int *left = arg;
  return --*left < 0;
}

static void progress_handlers_are_obeyed(void **state) {
  int n_interrupted = 0;
  for( int i = 0; i < 20; i++ ) {
    struct pair p;
    sqlite3 *db;
    char *found;
    int left = i / 2 * 2;
    bool file = i % 2;
    pair_open(&p, "delete", file ? 300 : 1);
    db = file ? p.db : open_db(":memory:");
    if( !file ) make_docs(db, 300);
    sqlite3_progress_handler(db, 1000, stop_it, &left);
    found = ask(db, ENRICH);
    n_interrupted += strstr(found, "error: interrupted") != NULL;
    sqlite3_free(found);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    assert_true(sqlite3_get_autocommit(db));
    assert_int_equal(sqlite3_txn_state(db, NULL), SQLITE_TXN_NONE);
    enrich(db, "'docs', 'body'");
    check_docs(db, NULL);
    if( !file ) close_db(db);
    pair_close(&p);
  }
  assert_true(n_interrupted > 3);
}

static void waiting_for_a_lock_can_be_interrupted(void **state) {
  struct interrupter interrupter;
  struct pair p;
  pthread_t thread;
  pair_open(&p, "delete", 5);
  do_sql(p.other, "BEGIN IMMEDIATE");
  interrupter.db = p.db, interrupter.ms = 100;
  atomic_init(&interrupter.over, false);
  assert_int_equal(pthread_create(&thread, NULL, interrupt_later, &interrupter), 0);
  check_error(p.db, ENRICH, "interrupted"); /* had it gone on waiting: "locked" */
  atomic_store(&interrupter.over, true);
  pthread_join(thread, NULL);
  do_sql(p.other, "COMMIT");
  assert_int_equal(enrich(p.db, "'docs', 'body'"), 5);
  pair_close(&p);
}

static void a_statement_can_be_run_again(void **state) {
  struct pair p;
  sqlite3_stmt *statement;
  pair_open(&p, "delete", 300);
  statement = begin_enrich(p.db);
  sqlite3_reset(statement);
  while( sqlite3_step(statement) == SQLITE_ROW ) {}
  sqlite3_reset(statement);
  check_docs(p.db, NULL);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_int_equal(sqlite3_column_int(statement, 1), 0);
  assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
  sqlite3_finalize(statement);
  pair_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nobody_is_kept_out),
      cmocka_unit_test(nor_after_a_change_of_the_schema),
      cmocka_unit_test(locks_are_waited_for),
      cmocka_unit_test(a_lock_held_for_too_long_is_reported),
      cmocka_unit_test(locks_that_wait_for_each_other_are_told),
      cmocka_unit_test(rows_changed_while_being_worked_on_stay_due),
      cmocka_unit_test(two_may_work_at_once),
      cmocka_unit_test(a_callers_transaction_holds_it_all),
      cmocka_unit_test(a_transaction_begun_meanwhile_is_noticed),
      cmocka_unit_test(a_query_left_open_does_no_harm),
      cmocka_unit_test(statements_that_write_are_refused),
      cmocka_unit_test(views_and_triggers_cannot_use_it),
      cmocka_unit_test(what_only_the_host_knows_is_used),
      cmocka_unit_test(exclusive_and_private_databases),
      cmocka_unit_test(utf16_makes_no_difference),
      cmocka_unit_test(bad_arguments_are_told),
      cmocka_unit_test(what_is_not_ours_is_left_alone),
      cmocka_unit_test(damage_is_told_or_mended),
      cmocka_unit_test(a_table_dropped_meanwhile_is_told),
      cmocka_unit_test(read_only_databases_are_told),
      cmocka_unit_test(a_full_database_keeps_what_is_done),
      cmocka_unit_test(authorizers_are_obeyed),
      cmocka_unit_test(interrupts_leave_nothing_open),
      cmocka_unit_test(progress_handlers_are_obeyed),
      cmocka_unit_test(waiting_for_a_lock_can_be_interrupted),
      cmocka_unit_test(a_statement_can_be_run_again),
  };
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
