/*
** test_enrich_rowids.c - ner_enrich() of tables whose rowids SQLite may change, and of databases
** that earlier versions enriched. tests/sh/enrich-dump.sh has dumps that are restored.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "enrich.h"

#define ENRICH "SELECT * FROM ner_enrich('docs', 'body')"

/* n rows without an INTEGER PRIMARY KEY, each with another text. */
static void make_unkeyed(sqlite3 *db, int n) {
  do_sqlf(db,
          "CREATE TABLE docs(body TEXT);"
          "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < %d)"
          " INSERT INTO docs SELECT 'Angela met ' || i || ' people of Reuters in Berlin, and '"
          " || (i * 7919 %% 1000) FROM c",
          n);
}

/* A row's results are those of its text, and nothing is left to do. */
static void check_up_to_date(sqlite3 *db) {
  check_docs(db, NULL);
  check(db, "SELECT count(*) FROM docs_body_ner_queue", "0;");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
}

/* In a file, where we have our own connection; in one in a transaction; in memory. */
struct place {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db;
};
enum { IN_FILE, IN_WAL, IN_MEMORY, N_PLACES };

static sqlite3 *place_open(struct place *p, int kind) {
  test_dir_make(p->dir);
  test_path(p->path, p->dir, "a.db");
  p->db = open_db(kind == IN_MEMORY ? ":memory:" : p->path);
  if( kind == IN_WAL ) do_sql(p->db, "PRAGMA journal_mode = wal");
  return p->db;
}

static void place_close(struct place *p) {
  check(p->db, "PRAGMA integrity_check", "ok;");
  close_db(p->db);
  test_dir_remove(p->dir);
}

static void vacuum_is_noticed(void **state) {
  for( int kind = 0; kind < N_PLACES; kind++ ) {
    struct place p;
    sqlite3 *db = place_open(&p, kind);
    int done;
    make_unkeyed(db, 100);
    assert_int_equal(enrich(db, "'docs', 'body'"), 100);
    /* Without a gap in the rowids nothing moves, and nothing is done again. */
    do_sql(db, "VACUUM");
    assert_int_equal(enrich(db, "'docs', 'body'"), 0);
    check_docs(db, NULL);
    do_sql(db, "DELETE FROM docs WHERE rowid = 1");
    assert_int_equal(enrich(db, "'docs', 'body'"), 1);
    do_sql(db, "VACUUM");
    check(db, "SELECT min(rowid) FROM docs", "1;");      /* else this tests nothing */
    assert_int_equal(enrich(db, "'docs', 'body'"), 100); /* 99 rows, and the one that row 100 was */
    check_up_to_date(db);
    /* Only the rows behind the gap move. */
    do_sql(db, "DELETE FROM docs WHERE rowid = 90; VACUUM");
    done = enrich(db, "'docs', 'body'");
    assert_true(done >= 10 && done <= 11);
    check_up_to_date(db);
    place_close(&p);
  }
}

static void vacuum_with_pending_rows_is_noticed(void **state) {
  for( int kind = 0; kind < N_PLACES; kind++ ) {
    struct place p;
    sqlite3 *db = place_open(&p, kind);
    make_unkeyed(db, 100);
    enrich(db, "'docs', 'body'");
    do_sql(db, "DELETE FROM docs WHERE rowid IN (1, 50); UPDATE docs SET body = 'Hello Rome' WHERE"
               " rowid = 60; INSERT INTO docs VALUES('Hello Angela'), (NULL), (x'01ff');"
               "VACUUM; UPDATE docs SET body = 'Hello Berlin' WHERE rowid = 70");
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
    check(db,
          "SELECT count(*) FROM docs_body_ner_error JOIN docs ON docs.rowid = docs_rowid"
          " AND typeof(body) = 'blob'",
          "1;");
    do_sql(db, "DELETE FROM docs WHERE rowid < 30; VACUUM; DELETE FROM docs WHERE rowid < 5");
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
    check(db,
          "SELECT count(*) FROM docs_body_ner_error JOIN docs ON docs.rowid = docs_rowid"
          " AND typeof(body) = 'blob'",
          "1;");
    /* Half way through with other settings: what was done with the old ones must not be kept. */
    enrich(db, "'docs', 'body', NULL, NULL, 0.99");
    do_sql(db, "DELETE FROM docs WHERE rowid = 1; UPDATE docs SET body = body || ' and Rome'");
    do_sql(db, "SELECT * FROM ner_enrich('docs', 'body') LIMIT 1; VACUUM");
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
    place_close(&p);
  }
}

static void vacuum_into_another_file_is_noticed(void **state) {
  struct place p;
  char copy[TEST_PATH];
  sqlite3 *db = place_open(&p, IN_FILE);
  make_unkeyed(db, 50);
  enrich(db, "'docs', 'body'");
  do_sql(db, "DELETE FROM docs WHERE rowid = 1");
  enrich(db, "'docs', 'body'");
  do_sqlf(db, "VACUUM INTO %Q", test_path(copy, p.dir, "copy.db"));
  close_db(db);
  p.db = db = open_db(copy);
  enrich(db, "'docs', 'body'"); /* some versions keep the rowids, some do not */
  check_up_to_date(db);
  place_close(&p);
}

/* What changes the schema's version makes us look at the rows, but not do them again. */
static void other_changes_of_the_schema_cost_little(void **state) {
  struct place p;
  sqlite3 *db = place_open(&p, IN_FILE);
  make_unkeyed(db, 100);
  enrich(db, "'docs', 'body'");
  do_sql(db,
         "DELETE FROM docs WHERE rowid = 7; CREATE TABLE other(x); CREATE INDEX i ON docs(body);"
         "CREATE TEMP TABLE t(x); ALTER TABLE docs ADD COLUMN title; ANALYZE");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  check_up_to_date(db);
  do_sql(db, "VACUUM"); /* with an index rowids stay, as it is now */
  enrich(db, "'docs', 'body'");
  check_up_to_date(db);
  place_close(&p);
}

/* The table alone comes back from a dump, triggers last, into the database that it was in. */
static void a_table_restored_by_itself_is_noticed(void **state) {
  struct place p;
  sqlite3 *db = place_open(&p, IN_FILE);
  make_unkeyed(db, 30);
  enrich(db, "'docs', 'body'");
  do_sql(db, "DELETE FROM docs WHERE rowid < 4");
  enrich(db, "'docs', 'body'");
  do_sql(db, "CREATE TEMP TABLE kept AS SELECT sql FROM main.sqlite_schema WHERE type = 'trigger';"
             "CREATE TEMP TABLE rows AS SELECT body FROM docs; DROP TABLE docs;"
             "CREATE TABLE docs(body TEXT); INSERT INTO docs SELECT body FROM temp.rows");
  for( int i = 0; i < 3; i++ ) {
    char *ask_sql = sqlite3_mprintf("SELECT sql FROM temp.kept LIMIT 1 OFFSET %d", i);
    char *sql = ask(db, ask_sql);
    sql[strlen(sql) - 1] = 0;
    do_sql(db, sql);
    sqlite3_free(sql);
    sqlite3_free(ask_sql);
  }
  enrich(db, "'docs', 'body'");
  check_up_to_date(db);
  place_close(&p);
}

/* Between two batches, by another connection; and while texts are being labelled. */
static void vacuum_during_the_work_is_noticed(void **state) {
  for( int kind = IN_FILE; kind <= IN_WAL; kind++ ) {
    struct place p;
    sqlite3 *db = place_open(&p, kind), *other = open_plain(p.path);
    sqlite3_stmt *statement;
    int rc, n = 0;
    make_unkeyed(db, 1500);
    do_sql(other, "PRAGMA busy_timeout = 5000; DELETE FROM docs WHERE rowid % 10 = 1");
    assert_int_equal(sqlite3_prepare_v2(db, ENRICH, -1, &statement, NULL), SQLITE_OK);
    while( (rc = sqlite3_step(statement)) == SQLITE_ROW )
      if( n++ < 3 ) do_sqlf(other, "DELETE FROM docs WHERE rowid = %d; VACUUM", n * 3);
    if( rc != SQLITE_DONE ) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    assert_true(n > 3);
    check_up_to_date(db);
    close_db(other);
    place_close(&p);
  }
}

static int vacuum_once(void *arg) {
  struct place *p = arg;
  sqlite3 *other = open_plain(p->path);
  /* Once the queue is there; the handler is called while texts are being labelled. */
  if( sqlite3_exec(other,
                   "DELETE FROM docs WHERE rowid = 2 AND (SELECT count(*) FROM"
                   " docs_body_ner_queue) > 0",
                   NULL, NULL, NULL) == SQLITE_OK &&
      sqlite3_changes(other) == 1 && sqlite3_exec(other, "VACUUM", NULL, NULL, NULL) == SQLITE_OK )
    sqlite3_progress_handler(p->db, 0, NULL, NULL);
  sqlite3_close(other);
  return 0;
}

static void vacuum_during_a_batch_is_noticed(void **state) {
  struct place p;
  sqlite3 *db = place_open(&p, IN_FILE);
  make_unkeyed(db, 40);
  do_sqlf(db,
          "DELETE FROM docs WHERE rowid = 1;"
          "UPDATE docs SET body = replace(hex(zeroblob(%d)), '00', 'Angela met Berlin ')"
          " WHERE rowid = 3",
          TEST_LASTING(4000));
  sqlite3_progress_handler(db, 500, vacuum_once, &p);
  enrich(db, "'docs', 'body', 'bundled'");
  sqlite3_progress_handler(db, 0, NULL, NULL);
  check(db, "SELECT count(*), min(rowid) FROM docs", "38|1;");
  check_docs(db, "bundled");
  assert_int_equal(enrich(db, "'docs', 'body', 'bundled'"), 0);
  place_close(&p);
}

/* A key makes the rowids the user's; hashes kept before must not be believed afterwards. */
static void a_table_may_gain_and_lose_its_key(void **state) {
  static const char *const kinds[] = {"body TEXT", "id INTEGER PRIMARY KEY, body TEXT",
                                      "id INTEGER PRIMARY KEY DESC, body TEXT",
                                      "id INT PRIMARY KEY, body TEXT",
                                      "id INTEGER, body TEXT,"
                                      " PRIMARY KEY(id)"};
  struct place p;
  sqlite3 *db = place_open(&p, IN_FILE);
  make_unkeyed(db, 30);
  enrich(db, "'docs', 'body'");
  for( size_t i = 0; i < 10; i++ ) {
    const char *kind = kinds[i % 5];
    bool stable = i % 5 == 1 || i % 5 == 4;
    do_sqlf(db,
            "CREATE TABLE x(%s); INSERT INTO x(body) SELECT body FROM docs; DROP TABLE docs;"
            "ALTER TABLE x RENAME TO docs",
            kind);
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
    check(db, "SELECT count(*) > 0 FROM docs_body_ner_hash", stable ? "0;" : "1;");
    do_sql(db,
           "DELETE FROM docs WHERE rowid = 2; UPDATE docs SET body = body || '!' WHERE rowid = 5;"
           "VACUUM");
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
  }
  place_close(&p);
}

static void anything_at_random(void **state) {
  static const char *const steps[] = {
      "DELETE FROM docs WHERE rowid = (SELECT min(rowid) FROM docs)",
      "DELETE FROM docs WHERE rowid = (SELECT rowid FROM docs ORDER BY random() LIMIT 1)",
      "INSERT INTO docs VALUES('Hello ' || random())",
      "INSERT INTO docs SELECT body FROM docs ORDER BY random() LIMIT 3",
      "UPDATE docs SET body = body || '.' WHERE rowid % 7 = abs(random() % 7)",
      "UPDATE docs SET body = NULL WHERE rowid % 17 = abs(random() % 17)",
      "UPDATE docs SET rowid = rowid + 1000 WHERE rowid % 9 = abs(random() % 9) AND rowid < 1000",
      "VACUUM",
      "VACUUM",
      "CREATE TABLE IF NOT EXISTS z(x)",
      "DROP TABLE IF EXISTS z",
      ENRICH,
      "SELECT * FROM ner_enrich('docs', 'body') LIMIT 1",
      "SELECT * FROM ner_enrich('docs', 'body', 'other') LIMIT 1",
  };
  for( int round = 0; round < 12; round++ ) {
    struct place p;
    sqlite3 *db = place_open(&p, round % N_PLACES);
    uint64_t random = (uint64_t)round * 0x9e3779b97f4a7c15u + 1;
    make_unkeyed(db, 60);
    for( int i = 0; i < 25; i++ ) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      do_sql(db, steps[(random >> 33) % (sizeof steps / sizeof *steps)]);
    }
    enrich(db, "'docs', 'body'");
    check_up_to_date(db);
    place_close(&p);
  }
}

/* ---- databases that an earlier version enriched ---- */

static void read_layout_1(sqlite3 *db) {
  size_t n;
  char *sql = test_read("tests/data", "enrich-layout-1.sql", &n);
  do_sql(db, sql);
  free(sql);
}

static void layout_1_is_upgraded(void **state) {
  for( int kind = 0; kind < N_PLACES; kind++ ) {
    struct place p;
    sqlite3 *db = place_open(&p, kind);
    char *settings;
    read_layout_1(db);
    /* The model's hash is made in another way since, so that all is pending; as if it were not. */
    do_sql(db, "CREATE TABLE a(b); SELECT * FROM ner_enrich('a', 'b')");
    settings = ask(db, "SELECT value FROM a_b_ner_state WHERE key = 'settings'");
    settings[strlen(settings) - 1] = 0;
    do_sqlf(db,
            "UPDATE docs_body_ner_state SET value = %Q WHERE key = 'settings';"
            "UPDATE notes_body_ner_state SET value = %Q WHERE key = 'settings';"
            "UPDATE \"odd \"\"t_body_ner_state\" SET value = %Q WHERE key = 'settings'",
            settings, settings, settings);
    do_sql(db, "UPDATE docs_body_ner SET entity = 'kept' WHERE docs_rowid = 1");
    assert_int_equal(enrich(db, "'docs', 'body'"), 1); /* what was pending */
    check(db, "SELECT count(*) > 0 FROM docs_body_ner WHERE entity = 'kept'", "1;");
    check(db, "SELECT group_concat(docs_rowid) FROM docs_body_ner_error", "5;");
    do_sql(db, "UPDATE docs SET body = body || '.' WHERE id = 1");
    assert_int_equal(enrich(db, "'docs', 'body'"), 1);
    check(db, "SELECT count(*) FROM docs_body_ner WHERE entity = 'kept'", "0;");
    do_sql(db, "UPDATE \"odd \"\"t\" SET body = body || '.' WHERE k = 'a'");
    assert_int_equal(enrich(db, "'odd \"t', 'body'"), 1);
    /* Its results are of rows that are now others: nobody noticed until now. */
    enrich(db, "'notes', 'body'");
    check(db,
          "SELECT count(*) FROM notes_body_ner AS n LEFT JOIN notes AS d ON d.rowid = notes_rowid"
          " WHERE n.entity IS NOT substr(d.body, n.start + 1, n.end - n.start)",
          "0;");
    check(db,
          "SELECT group_concat(value) FROM (SELECT value FROM docs_body_ner_state"
          " UNION ALL SELECT value FROM notes_body_ner_state) WHERE value IN ('1', '2')",
          "2,2;");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", "12;");
    do_sql(db, "DELETE FROM notes WHERE rowid = 1; VACUUM");
    assert_int_equal(enrich(db, "'notes', 'body'"), 3);
    assert_int_equal(enrich(db, "'docs', 'body'"), 0);
    sqlite3_free(settings);
    place_close(&p);
  }
}

static void layout_1_with_another_model_is_upgraded(void **state) {
  struct place p;
  sqlite3 *db = place_open(&p, IN_FILE);
  read_layout_1(db);
  do_sql(db, "ALTER TABLE docs RENAME TO papers");
  assert_int_equal(enrich(db, "'papers', 'body'"), 5);
  check(db, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'docs_*' AND type <> 'index'",
        "0;");
  check(db,
        "SELECT count(*) FROM papers_body_ner AS n LEFT JOIN papers AS d ON d.id = papers_rowid"
        " WHERE n.entity IS NOT substr(d.body, n.start + 1, n.end - n.start)",
        "0;");
  assert_int_equal(enrich(db, "'notes', 'body'"), 4); /* and the one that is no more */
  assert_int_equal(enrich(db, "'odd \"t', 'body'"), 2);
  assert_int_equal(enrich(db, "'odd \"t', 'body'"), 0);
  place_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vacuum_is_noticed),
      cmocka_unit_test(vacuum_with_pending_rows_is_noticed),
      cmocka_unit_test(vacuum_into_another_file_is_noticed),
      cmocka_unit_test(other_changes_of_the_schema_cost_little),
      cmocka_unit_test(a_table_restored_by_itself_is_noticed),
      cmocka_unit_test(vacuum_during_the_work_is_noticed),
      cmocka_unit_test(vacuum_during_a_batch_is_noticed),
      cmocka_unit_test(a_table_may_gain_and_lose_its_key),
      cmocka_unit_test(anything_at_random),
      cmocka_unit_test(layout_1_is_upgraded),
      cmocka_unit_test(layout_1_with_another_model_is_upgraded),
  };
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
