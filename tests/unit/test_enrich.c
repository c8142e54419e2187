/*
** test_enrich.c - ner_enrich(): what it makes, which rows it takes for due, and for which tables.
** test_enrich_trouble.c has locks, transactions, interrupts and damage.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "enrich.h"

#define ENRICH "SELECT * FROM ner_enrich('docs', 'body')"

/* sql/enrich-undo.sql for something else than docs_body. */
static char *undo_script(const char *name) {
  size_t n;
  char *script = test_read("sql", "enrich-undo.sql", &n), *at = script, *hit;
  sqlite3_str *out = sqlite3_str_new(NULL);
  while( (hit = strstr(at, "docs_body")) != NULL ) {
    sqlite3_str_append(out, at, (int)(hit - at));
    sqlite3_str_appendf(out, "%w", name);
    at = hit + strlen("docs_body");
  }
  sqlite3_str_appendall(out, at);
  free(script);
  return sqlite3_str_finish(out);
}

static void undo(sqlite3 *db, const char *name) {
  char *script = undo_script(name);
  do_sql(db, script);
  do_sql(db, script); /* twice does no harm */
  sqlite3_free(script);
}

/* ---- what is due ---- */

static void entities_are_those_of_ner(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 400);
  do_sql(db, "INSERT INTO docs(body) VALUES(''), (NULL), (42), (2.5), ('Z\xC3\xBCrich \xF0\x9F\x98"
             "\x80 Berlin')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 404); /* NULL is nothing to do */
  check_docs(db, NULL);
  check(db, "SELECT count(*) FROM docs_body_ner_queue", "0;");
  check(db,
        "SELECT count(*) FROM docs_body_ner n JOIN docs d ON d.id = n.docs_rowid"
        " WHERE n.entity IS NOT substr(d.body, n.start + 1, n.end - n.start)",
        "0;");
  close_db(db);
}

static void progress_is_shown(void **state) {
  sqlite3 *db = open_db(":memory:");
  sqlite3_stmt *statement;
  sqlite3_int64 done = 0, entities = 0, rows = 0;
  make_docs(db, 3000);
  assert_int_equal(sqlite3_prepare_v2(db, ENRICH, -1, &statement, NULL), SQLITE_OK);
  while( sqlite3_step(statement) == SQLITE_ROW ) {
    sqlite3_int64 written;
    char *found = ask(db, "SELECT count(*) FROM docs_body_ner");
    written = atoll(found);
    sqlite3_free(found);
    assert_true(sqlite3_column_int64(statement, 0) > done);
    done = sqlite3_column_int64(statement, 0);
    entities = sqlite3_column_int64(statement, 2);
    assert_int_equal(sqlite3_column_int64(statement, 1), 3000);
    assert_int_equal(entities, written);
    assert_int_equal(sqlite3_column_int64(statement, 3), 0);
    assert_true(sqlite3_column_double(statement, 4) > 0);
    assert_true(sqlite3_column_double(statement, 5) >= 0);
    rows++;
  }
  sqlite3_finalize(statement);
  assert_true(rows > 1);
  assert_int_equal(done, 3000);
  check(db, ENRICH, "0|0|0|0|NULL|0.0;"); /* up to date */
  do_sql(db, "UPDATE docs SET body = body || '!' WHERE id <= 2");
  check(db, "SELECT done, total, errors, eta_seconds FROM ner_enrich('docs', 'body')",
        "2|2|0|0.0;");
  close_db(db);
}

static void a_step_is_a_batch(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 3000);
  check(db, "SELECT done > 0 AND done < 1000, total FROM ner_enrich('docs', 'body') LIMIT 1",
        "1|3000;");
  check(db, "SELECT total > 2000 AND total < 3000 FROM ner_enrich('docs', 'body') LIMIT 1", "1;");
  enrich(db, "'docs', 'body'");
  check_docs(db, NULL);
  close_db(db);
}

static void only_what_changed_is_done(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db, *plain;
  test_dir_make(dir);
  test_path(path, dir, "a.db");
  db = open_db(path);
  make_docs(db, 50);
  assert_int_equal(enrich(db, "'docs', 'body'"), 50);
  /* A program without the extension writes. */
  plain = open_plain(path);
  do_sql(plain, "UPDATE docs SET title = 'x'");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  do_sql(plain, "UPDATE docs SET body = body");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  do_sql(plain, "UPDATE docs SET body = upper(body) WHERE id = 3");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  do_sql(plain, "UPDATE docs SET id = 1000 WHERE id = 4"); /* old and new */
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  do_sql(plain, "UPDATE docs SET _rowid_ = 1001 WHERE id = 5");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  do_sql(plain, "DELETE FROM docs WHERE id IN (6, 7, 8)");
  assert_int_equal(enrich(db, "'docs', 'body'"), 3);
  do_sql(plain, "INSERT INTO docs(id, body) VALUES(6, 'Hello Berlin'), (2000, 'Rome')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  do_sql(plain, "REPLACE INTO docs(id, body) VALUES(9, 'Hello Paris'), (10, NULL)");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  do_sql(plain, "INSERT INTO docs(id, body) VALUES(11, 'x') ON CONFLICT(id)"
                " DO UPDATE SET body = 'Madrid and Rome'");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  do_sql(plain, "UPDATE docs SET body = NULL WHERE id = 12");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  check_docs(db, NULL);
  do_sql(plain, "DELETE FROM docs");
  assert_int_equal(enrich(db, "'docs', 'body'"), 49);
  check(db, "SELECT count(*) FROM docs_body_ner", "0;");
  close_db(plain);
  close_db(db);
  test_dir_remove(dir);
}

/* OR IGNORE of a statement holds for its triggers too. */
static void conflict_clauses_do_not_hide_changes(void **state) {
  static const char *const clauses[] = {"IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"};
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 10);
  enrich(db, "'docs', 'body'");
  for( size_t i = 0; i < sizeof clauses / sizeof *clauses; i++ ) {
    char *sql = sqlite3_mprintf("UPDATE docs SET body = 'a %s' WHERE id = 1;"
                                "CREATE TEMP TABLE first AS SELECT change FROM docs_body_ner_queue;"
                                "UPDATE OR %s docs SET body = 'b %s' WHERE id = 1;"
                                "INSERT OR %s INTO docs(id, body) VALUES(%d, 'c');"
                                "SELECT count(*), sum(change IN first)"
                                " FROM docs_body_ner_queue; DROP TABLE first",
                                clauses[i], clauses[i], clauses[i], clauses[i], (int)i + 100);
    check(db, sql, "2|0;");
    sqlite3_free(sql);
    assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  }
  check_docs(db, NULL);
  close_db(db);
}

/* REPLACE deletes a row because of another column, and no trigger is told. */
static void rows_lost_to_replace_are_found(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 20);
  do_sql(db, "CREATE UNIQUE INDEX by_title ON docs(title)");
  enrich(db, "'docs', 'body'");
  do_sql(db, "REPLACE INTO docs(id, title, body) VALUES(500, 'title 7', 'Hello Rome')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check(db, "SELECT count(*) FROM docs_body_ner WHERE docs_rowid = 7", "0;");
  do_sql(db, "UPDATE docs SET body = x'00' WHERE id = 8");
  enrich(db, "'docs', 'body'");
  do_sql(db, "UPDATE OR REPLACE docs SET title = 'title 8', body = 'Rome' WHERE id = 9");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check(db, "SELECT count(*) FROM docs_body_ner_error", "0;");
  check_docs(db, NULL);
  /* A call that is cut short leaves it to the next, even if nothing else is due then. */
  do_sql(db, "REPLACE INTO docs(id, title, body) VALUES(501, 'title 10', 'Hello Rome')");
  check(db, "SELECT done, total FROM ner_enrich('docs', 'body') LIMIT 1", "1|1;");
  check(db, "SELECT count(*) > 0 FROM docs_body_ner WHERE docs_rowid NOT IN (SELECT id FROM docs)",
        "1;");
  check(db, "SELECT done, total FROM ner_enrich('docs', 'body')", "1|1;");
  check_docs(db, NULL);
  /* And when all has been looked through, there is nothing more to do. */
  check(db, "SELECT count(*) FROM docs_body_ner_state WHERE key = 'orphan_scan'", "0;");
  do_sql(db, "UPDATE OR REPLACE docs SET title = 'title 11' WHERE id = 12");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  do_sql(db, "INSERT INTO docs(body) VALUES('Hello Berlin')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check_docs(db, NULL);
  close_db(db);
}

static void failures_are_kept(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 10);
  do_sql(db, "UPDATE docs SET body = x'80ff' WHERE id IN (3, 5)");
  check(db, "SELECT done, total, errors FROM ner_enrich('docs', 'body')", "10|10|2;");
  check(db, "SELECT docs_rowid, error LIKE '%BLOB%' FROM docs_body_ner_error", "3|1;5|1;");
  check_docs(db, NULL);
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  do_sql(db, "UPDATE docs SET body = 'Berlin' WHERE id = 3; DELETE FROM docs WHERE id = 5;"
             "UPDATE docs SET body = x'01' WHERE id = 4");
  check(db, "SELECT done, total, errors FROM ner_enrich('docs', 'body')", "3|3|1;");
  check(db, "SELECT docs_rowid FROM docs_body_ner_error", "4;");
  check_docs(db, NULL);
  close_db(db);
}

static void another_model_makes_all_due(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 30);
  do_sql(db, "UPDATE docs SET body = NULL WHERE id = 30");
  assert_int_equal(enrich(db, "'docs', 'body'"), 29);
  assert_int_equal(enrich(db, "'docs', 'body', 'tiny'"), 0); /* the same by name */
  assert_int_equal(enrich(db, "'docs', 'body', NULL, 'first', 0"), 0);
  assert_int_equal(enrich(db, "'docs', 'body', 'other'"), 29);
  check_docs(db, "other");
  assert_int_equal(enrich(db, "'docs', 'body', 'other'"), 0);
  assert_int_equal(enrich(db, "'docs', 'body', 'other', 'simple'"), 29);
  assert_int_equal(enrich(db, "'docs', 'body', 'other', 'simple', 0.5"), 29);
  check(db, "SELECT count(*) FROM docs_body_ner WHERE score < 0.5", "0;");
  /* Rows that went while nobody looked go too. */
  do_sql(db, "DROP TRIGGER docs_body_ner_delete; DELETE FROM docs WHERE id < 10;"
             "DROP TRIGGER docs_body_ner_update; UPDATE docs SET body = NULL WHERE id = 11");
  enrich(db, "'docs', 'body'");
  check_docs(db, NULL);
  check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", "3;");
  close_db(db);
}

/* Another bias under the same name and path: a few bytes of one small tensor. */
static void one_changed_tensor_makes_all_due(void **state) {
  static const char *const tensors[] = {"classifier.bias",
                                        "distilbert.embeddings.word_embeddings.weight",
                                        "distilbert.transformer.layer.0.ffn.lin1.weight"};
  const struct tiny tiny = tiny_distilbert();
  sqlite3 *db = open_db(":memory:");
  char dir[TEST_PATH];
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  make_docs(db, 30);
  for( size_t i = 0; i <= sizeof tensors / sizeof *tensors; i++ ) {
    if( i > 0 ) {
      struct ner_safetensors *file;
      struct ner_err err = {0};
      const struct ner_tensor *t;
      size_t n;
      char *bytes = test_read(dir, "model.safetensors", &n);
      assert_int_equal(ner_safetensors_open_bytes((unsigned char *)bytes, n, "x", &file, &err), 0);
      t = ner_safetensors_find(file, tensors[i - 1]);
      ((unsigned char *)t->data)[t->n_bytes - 1] ^= 0x80;
      ner_safetensors_close(file);
      test_write(dir, "model.safetensors", bytes, n);
      free(bytes);
    }
    do_sqlf(db, "SELECT ner_load('changing', %Q)", dir);
    assert_int_equal(enrich(db, "'docs', 'body', 'changing'"), 30);
    assert_int_equal(enrich(db, "'docs', 'body', 'changing'"), 0);
    check_docs(db, "changing");
  }
  do_sql(db, "SELECT ner_unload('changing')");
  test_dir_remove(dir);
  close_db(db);
}

/* The text is changed by a trigger of the user's, both before and after ours. */
static void triggers_of_others_may_change_the_text(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  do_sql(db, "CREATE TRIGGER one AFTER INSERT ON docs BEGIN"
             " UPDATE docs SET body = 'Hello ' || new.body WHERE id = new.id; END");
  enrich(db, "'docs', 'body'");
  do_sql(db, "CREATE TRIGGER two AFTER UPDATE OF title ON docs BEGIN"
             " UPDATE docs SET body = new.title WHERE id = new.id; END");
  do_sql(db, "INSERT INTO docs(body) VALUES('Berlin'); UPDATE docs SET title = 'Rome' WHERE id=2");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check_docs(db, NULL);
  close_db(db);
}

/* ---- which tables ---- */

static void any_name_will_do(void **state) {
  static const char *const names[] = {"my table", "a\"b",   "a.b",      "caf\xC3\xA9 \xE6\x97\xA5",
                                      "select",   "it's",   "x$y(z)|",  "[b]",
                                      "%d%s",     "main.x", "-- no",    "a`b;c",
                                      "42",       " ",      "docs_body"};
  size_t n = sizeof names / sizeof *names;
  for( size_t i = 0; i < 2 * n; i++ ) {
    sqlite3 *db = open_db(":memory:");
    const char *t = names[i % n], *c = names[(i + 3) % n], *key = names[(i + 1) % n];
    char *name = sqlite3_mprintf("%s_%s", t, c);
    do_sqlf(db, "CREATE TABLE \"%w\"(\"%w\" TEXT PRIMARY KEY, \"%w\")%s", t, key, c,
            i < n ? "" : " WITHOUT ROWID");
    do_sqlf(db, "INSERT INTO \"%w\" VALUES('k', 'Hello Berlin and Rome'), ('l', 'Angela')", t);
    assert_int_equal(enrich_column(db, t, c), 2);
    do_sqlf(db, "UPDATE \"%w\" SET \"%w\" = 'Paris'", t, c);
    do_sqlf(db, "DELETE FROM \"%w\" WHERE \"%w\" = 'l'", t, key);
    assert_int_equal(enrich_column(db, t, c), 2);
    assert_int_equal(enrich_column(db, t, c), 0);
    do_sqlf(db, "SELECT entity, label, score, start, end FROM \"%w_ner\" WHERE \"%w_%w\" = 'k'",
            name, t, i < n ? "rowid" : key);
    undo(db, name);
    check(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%ner%'", "0;");
    sqlite3_free(name);
    close_db(db);
  }
}

static void names_are_found_as_sqlite_finds_them(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "ATTACH ':memory:' AS aux; ATTACH ':memory:' AS \"b.c\";"
             "CREATE TABLE docs(body); CREATE TABLE aux.docs(body); CREATE TABLE aux.x(body);"
             "CREATE TABLE \"aux.x\"(body); CREATE TABLE \"b.c\".y(body);"
             "INSERT INTO main.docs VALUES('Berlin'); INSERT INTO aux.docs VALUES('a'), ('b');"
             "INSERT INTO \"aux.x\" VALUES(1), (2), (3); INSERT INTO y VALUES(1), (2), (3), (4)");
  assert_int_equal(enrich(db, "'DOCS', 'Body'"), 1);
  assert_int_equal(enrich(db, "'aux.docs', 'body'"), 2);
  assert_int_equal(enrich(db, "'Main.Docs', 'body'"), 0);
  assert_int_equal(enrich(db, "'aux.x', 'body'"), 3);
  assert_int_equal(enrich(db, "'y', 'body'"), 4);
  assert_int_equal(enrich(db, "'b.c.y', 'body'"), 0);
  check(db,
        "SELECT group_concat(name) FROM (SELECT name FROM aux.sqlite_schema"
        " WHERE type = 'table' AND name LIKE '%ner%' ORDER BY 1)",
        "docs_body_ner,docs_body_ner_canary,docs_body_ner_error,docs_body_ner_hash,"
        "docs_body_ner_queue,docs_body_ner_state;");
  do_sql(db, "CREATE TEMP TABLE docs(body); INSERT INTO docs VALUES(1), (2), (3), (4), (5)");
  assert_int_equal(enrich(db, "'docs', 'body'"), 5);
  assert_int_equal(enrich(db, "'main.docs', 'body'"), 0);
  do_sql(db, "INSERT INTO temp.docs VALUES('x'); INSERT INTO main.docs VALUES('y')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  assert_int_equal(enrich(db, "'main.docs', 'body'"), 1);
  close_db(db);
}

static void attached_files_are_enriched(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db;
  test_dir_make(dir);
  db = open_plain(test_path(path, dir, "second.db"));
  make_docs(db, 20);
  close_db(db);
  db = open_db(test_path(path, dir, "main.db"));
  do_sqlf(db, "ATTACH '%q/second.db' AS aux", dir);
  assert_int_equal(enrich(db, "'docs', 'body'"), 20);
  check_docs(db, NULL);
  check(db, "SELECT count(*) FROM main.sqlite_schema", "0;");
  close_db(db);
  test_dir_remove(dir);
}

/* Values, order and sameness of keys are the table's. */
static void tables_without_rowid_keep_their_keys(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(body TEXT, b TEXT COLLATE NOCASE, a, n REAL, s COLLATE RTRIM,"
             " PRIMARY KEY(a, b, n, s COLLATE BINARY)) WITHOUT ROWID;"
             "INSERT INTO docs VALUES('Angela and Rome 1', 'x', 1, 1, ''),"
             " ('Angela and Rome 2', 'x', '1', 1, ''), ('Angela and Rome 3', 'x', x'31', 1, ''),"
             " ('Angela and Rome 4', 'x', 1, 1.5, ''), ('Angela and Rome 5', 'y', 1, 1, ''), "
             "('Angela and Rome 6', 'y', 1, 1, ' ')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 6);
  check(
      db,
      "SELECT count(DISTINCT d.body), count(DISTINCT n.docs_a || typeof(n.docs_a)),"
      " sum(substr(d.body, n.start + 1, n.end - n.start) <> n.entity) FROM docs_body_ner AS n"
      " JOIN docs AS d ON n.docs_a = d.a AND n.docs_b = d.b AND n.docs_n = d.n AND n.docs_s = d.s",
      "6|3|0;");
  check(db, "SELECT DISTINCT typeof(docs_a), typeof(docs_n) FROM docs_body_ner ORDER BY 1",
        "blob|real;integer|real;text|real;");
  do_sql(
      db,
      "UPDATE docs SET b = 'X' WHERE body = 'Angela and Rome 4'"); /* the same by its collation */
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  do_sql(db, "UPDATE docs SET a = 7 WHERE body = 'Angela and Rome 4'; DELETE FROM docs WHERE s = ' "
             "' COLLATE"
             " BINARY");
  assert_int_equal(enrich(db, "'docs', 'body'"), 3);
  check(db,
        "SELECT count(DISTINCT docs_a || typeof(docs_a)), count(DISTINCT docs_s)"
        " FROM docs_body_ner",
        "4|1;");
  close_db(db);

  db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(k ANY PRIMARY KEY, body TEXT) STRICT, WITHOUT ROWID;"
             "INSERT INTO docs VALUES('007', 'Hello Berlin'), (7, 'Rome and Paris')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check(db, "SELECT count(DISTINCT docs_k || typeof(docs_k)) FROM docs_body_ner", "2;");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  close_db(db);
}

/* SQLite allows a column twice in a key if the collations differ. */
static void a_column_may_be_in_the_key_twice(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(a TEXT, b, a_2, body, PRIMARY KEY(a, a COLLATE NOCASE, a_2, b))"
             " WITHOUT ROWID;"
             "INSERT INTO docs VALUES('x', 1, 1, 'Angela and Rome'), ('X', 1, 1, 'Hello Berlin'),"
             " ('x', 1, 2, 'Angela and Paris')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 3);
  do_sql(db, "UPDATE docs SET body = body || '.' WHERE a = 'X'; DELETE FROM docs WHERE a_2 = 2");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check(db,
        "SELECT count(DISTINCT d.body), count(DISTINCT docs_a), count(*) = (SELECT count(*)"
        " FROM docs_body_ner) FROM docs_body_ner JOIN docs AS d ON docs_a = a AND docs_a_2 = a"
        " AND docs_a_2_2 = d.a_2 AND docs_b = b",
        "2|2|1;");
  do_sql(db, "CREATE TABLE k(a TEXT, body, PRIMARY KEY(a COLLATE NOCASE, a COLLATE RTRIM))"
             " WITHOUT ROWID; INSERT INTO k VALUES('x', 'Hello Rome'), ('X', 'Hello Berlin')");
  assert_int_equal(enrich(db, "'k', 'body'"), 2);
  do_sql(db, "UPDATE k SET body = 'Hello Angela' WHERE a = 'X' COLLATE BINARY");
  assert_int_equal(enrich(db, "'k', 'body'"), 1);
  check(db, "SELECT count(DISTINCT k_a COLLATE BINARY) FROM k_body_ner", "2;");
  close_db(db);
}

/* Columns called like ours, a table of ours as the user's, and names that leave no room. */
static void names_like_ours_will_do(void **state) {
  static const char *const columns[] = {"entity",     "label",  "start", "end",
                                        "docs_rowid", "change", "error", "hash",
                                        "rowid_was",  "key",    "value", "new"};
  size_t n = sizeof columns / sizeof *columns;
  sqlite3 *db = open_db(":memory:");
  char *name;
  for( size_t i = 0; i < n; i++ ) {
    do_sqlf(db, "CREATE TABLE docs(\"%w\" TEXT, x TEXT UNIQUE)", columns[i]);
    do_sql(db, "INSERT INTO docs VALUES('Hello Rome', 1), ('Hello Berlin', 2)");
    assert_int_equal(enrich_column(db, "docs", columns[i]), 2);
    do_sqlf(db, "UPDATE docs SET \"%w\" = 'Angela' WHERE rowid = 1; DELETE FROM docs WHERE x = 2",
            columns[i]);
    assert_int_equal(enrich_column(db, "docs", columns[i]), 2);
    do_sql(db, "DROP TABLE docs");
    do_sqlf(db, "CREATE TABLE docs(\"%w\" TEXT, body, PRIMARY KEY(\"%w\")) WITHOUT ROWID",
            columns[i], columns[i]);
    do_sql(db, "INSERT INTO docs VALUES('a', 'Hello Rome')");
    assert_int_equal(enrich_column(db, "docs", "body"), 1);
    name = sqlite3_mprintf("docs_%s", columns[i]);
    undo(db, name);
    undo(db, "docs_body");
    sqlite3_free(name);
    do_sql(db, "DROP TABLE docs");
  }
  make_docs(db, 3);
  enrich(db, "'docs', 'body'");
  assert_true(enrich_column(db, "docs_body_ner", "entity") > 0);
  do_sql(db, "UPDATE docs SET body = 'Hello Rome' WHERE id = 1");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  assert_true(enrich_column(db, "docs_body_ner", "entity") > 0);
  /* A long name. */
  name = sqlite3_mprintf("%.*c", 20000, 'x');
  do_sqlf(db, "CREATE TABLE \"%w\"(\"%w\"); INSERT INTO \"%w\" VALUES('Hello Rome')", name, name,
          name);
  assert_int_equal(enrich_column(db, name, name), 1);
  sqlite3_free(name);
  /* SQLite reserves sqlite_... */
  do_sql(db, "CREATE TABLE SQLite(body); CREATE TABLE sqlite2(body)");
  check_error(db, "SELECT * FROM ner_enrich('sqlite', 'body')", "rename it with ALTER TABLE");
  assert_int_equal(enrich_column(db, "sqlite2", "body"), 0);
  close_db(db);
}

/* Table a_b, column c and table a, column b_c ask for one name. */
static void one_name_for_two_is_told(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE a_b(c); CREATE TABLE a(b_c); INSERT INTO a VALUES('x');"
             "INSERT INTO a_b VALUES('Hello Rome')");
  assert_int_equal(enrich(db, "'a_b', 'c'"), 1);
  check_error(db, "SELECT * FROM ner_enrich('a', 'b_c')",
              "belongs to table 'a_b', column 'c', not to table 'a', column 'b_c'");
  do_sql(db, "ALTER TABLE a RENAME COLUMN b_c TO d");
  assert_int_equal(enrich(db, "'a', 'd'"), 1);
  assert_int_equal(enrich(db, "'a_b', 'c'"), 0);
  close_db(db);
}

static void columns_may_be_called_rowid(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(
      db,
      "CREATE TABLE docs(rowid TEXT, oid, body); INSERT INTO docs VALUES('x', 1, 'Hello Berlin');"
      "CREATE TABLE all_taken(rowid, oid, _rowid_, body);"
      "CREATE TABLE k(rowid INTEGER PRIMARY KEY, body); INSERT INTO k VALUES(9, 'Rome, Berlin')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  check(db, "SELECT DISTINCT docs_rowid FROM docs_body_ner", "1;");
  do_sql(db, "UPDATE docs SET rowid = 'y', oid = 2");
  assert_int_equal(enrich(db, "'docs', 'body'"), 0);
  do_sql(db, "UPDATE docs SET _rowid_ = 5");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  check(db, "SELECT DISTINCT docs_rowid FROM docs_body_ner", "5;");
  check_error(db, "SELECT * FROM ner_enrich('all_taken', 'body')", "cannot be told apart");
  close_db(db);
}

static void generated_columns_follow_what_they_are_made_of(void **state) {
  static const char *const kinds[] = {"VIRTUAL", "STORED"};
  for( size_t i = 0; i < 2; i++ ) {
    sqlite3 *db = open_db(":memory:");
    do_sqlf(db,
            "CREATE TABLE docs(id INTEGER PRIMARY KEY, json TEXT,"
            " body TEXT AS (json_extract(json, '$.text')) %s)",
            kinds[i]);
    do_sql(db, "INSERT INTO docs(json) VALUES('{\"text\":\"Hello Berlin\"}'), ('{}')");
    assert_int_equal(enrich(db, "'docs', 'body'"), 1);
    check_docs(db, NULL);
    do_sql(db, "UPDATE docs SET json = '{\"text\":\"Hello Berlin\", \"x\":1}' WHERE id = 1");
    assert_int_equal(enrich(db, "'docs', 'body'"), 0);
    do_sql(db, "UPDATE docs SET json = '{\"text\":\"Rome and Paris\"}'");
    assert_int_equal(enrich(db, "'docs', 'body'"), 2);
    check_docs(db, NULL);
    close_db(db);
  }
}

/* Text that differs in nothing that the column's collation cares for. */
static void collations_do_not_hide_changes(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT COLLATE NOCASE);"
             "INSERT INTO docs(body) VALUES('hello berlin'), ('1')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 2);
  do_sql(db, "UPDATE docs SET body = 'Hello Berlin' WHERE id = 1");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  check_docs(db, NULL);
  close_db(db);
}

static void two_columns_of_a_table(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 20);
  check(db,
        "SELECT max(done) FROM ner_enrich('docs', 'body') UNION ALL"
        " SELECT max(done) FROM ner_enrich('docs', 'title', 'other')",
        "20;20;");
  do_sql(db, "UPDATE docs SET title = 'Rome' WHERE id = 1; DELETE FROM docs WHERE id = 2");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  assert_int_equal(enrich(db, "'docs', 'title', 'other'"), 2);
  check_docs(db, NULL);
  undo(db, "docs_title");
  do_sql(db, "UPDATE docs SET title = 'x', body = 'Hello Berlin' WHERE id = 3");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  check_docs(db, NULL);
  close_db(db);
}

static void arguments_may_come_from_a_join(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  do_sql(db, "CREATE TABLE plan(t, c); INSERT INTO plan VALUES('docs', 'title'), ('docs', 'body')");
  check(db, "SELECT c, done FROM plan JOIN ner_enrich(t, c)", "title|5;body|5;");
  check(db, "SELECT c, done FROM plan LEFT JOIN ner_enrich(t, c) ON 1", "title|0;body|0;");
  check_docs(db, NULL);
  close_db(db);
}

/* ---- tables come and go ---- */

static void a_table_made_anew_is_begun_anew(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 20);
  enrich(db, "'docs', 'body'");
  do_sql(db, "DROP TABLE docs");
  check_error(db, ENRICH, "no table 'docs'");
  make_docs(db, 10);
  assert_int_equal(enrich(db, "'docs', 'body'"), 20); /* and those that are no more */
  check_docs(db, NULL);
  do_sql(db, "DROP TABLE docs; CREATE TABLE docs(k TEXT PRIMARY KEY, body) WITHOUT ROWID");
  check_error(db, ENRICH, "is not as ner_enrich made it");
  undo(db, "docs_body");
  do_sql(db, "INSERT INTO docs VALUES('x', 'Hello Berlin')");
  assert_int_equal(enrich(db, "'docs', 'body'"), 1);
  close_db(db);
}

/* ALTER TABLE takes the triggers along; the results follow when ner_enrich() next runs. */
static void renamed_tables_and_columns_keep_their_results(void **state) {
  for( int i = 0; i < 4; i++ ) {
    bool file = i % 2, with_key = i / 2;
    char dir[TEST_PATH], path[TEST_PATH];
    sqlite3 *db;
    char *was, *is;
    test_dir_make(dir);
    db = open_db(file ? test_path(path, dir, "a.db") : ":memory:");
    make_docs(db, 20);
    if( !with_key )
      do_sql(db, "CREATE TABLE d(title, body TEXT); INSERT INTO d SELECT title, body FROM docs;"
                 "DROP TABLE docs; ALTER TABLE d RENAME TO docs");
    assert_int_equal(enrich_column(db, "docs", "body"), 20);
    assert_int_equal(enrich_column(db, "docs", "title"), 20);
    do_sql(db, "CREATE VIEW people AS SELECT entity FROM docs_body_ner");
    was = ask(db, "SELECT * FROM docs_body_ner");
    do_sql(db, "ALTER TABLE docs RENAME TO papers; ALTER TABLE papers ADD COLUMN year;"
               "UPDATE papers SET body = body || '.' WHERE rowid = 20;"
               "DELETE FROM papers WHERE rowid = 20");
    check_error(db, ENRICH, "if the table was renamed, give its new name");
    assert_int_equal(enrich_column(db, "papers", "body"), 1);
    is = ask(db, "SELECT * FROM papers_body_ner");
    assert_true(strncmp(was, is, strlen(is)) == 0 && strlen(is) > strlen(was) / 2);
    check(db, "SELECT count(*) FROM papers_body_ner WHERE papers_rowid = 20", "0;");
    check(db, "SELECT count(*) > 0 FROM people", "1;");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'docs_body*' AND type <> 'index'",
          "0;");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'docs_title*'",
          with_key ? "9;" : "11;");
    do_sql(db, "UPDATE papers SET body = 'Hello Rome' WHERE rowid < 4");
    assert_int_equal(enrich_column(db, "papers", "body"), 3);
    assert_int_equal(enrich_column(db, "papers", "title"), 1);
    /* The column, and both at once. */
    do_sql(db, "ALTER TABLE papers RENAME COLUMN body TO text");
    check_error(db, "SELECT * FROM ner_enrich('papers', 'body')",
                "if the column was renamed, give its new name");
    assert_int_equal(enrich_column(db, "papers", "text"), 0);
    do_sql(
        db,
        "ALTER TABLE papers RENAME TO docs; ALTER TABLE docs RENAME COLUMN text TO \"bo\"\"dy\"");
    assert_int_equal(enrich_column(db, "docs", "bo\"dy"), 0);
    do_sql(db, "ALTER TABLE docs RENAME COLUMN \"bo\"\"dy\" TO body;"
               "INSERT INTO docs(body) VALUES('Hello Berlin')");
    assert_int_equal(enrich_column(db, "docs", "body"), 1);
    check_docs(db, NULL);
    check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", "6;");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", "4;");
    /* In case alone, which SQLite does in two steps. */
    do_sql(db, "ALTER TABLE docs RENAME TO x; ALTER TABLE x RENAME TO Docs");
    assert_int_equal(enrich_column(db, "docs", "body"), 0);
    check_docs(db, NULL);
    sqlite3_free(was);
    sqlite3_free(is);
    assert_int_equal(enrich_column(db, "docs", "title"), 1);
    undo(db, "docs_body");
    undo(db, "docs_title");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%ner%'", "0;");
    close_db(db);
    test_dir_remove(dir);
  }
}

static void renamed_keys_keep_their_results(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE k(a TEXT COLLATE NOCASE, b, body, PRIMARY KEY(a, b)) WITHOUT ROWID;"
             "INSERT INTO k VALUES('x', 1, 'Hello Rome'), ('y', 2, 'Hello Berlin')");
  assert_int_equal(enrich_column(db, "k", "body"), 2);
  do_sql(db, "ALTER TABLE k RENAME COLUMN a TO c; UPDATE k SET body = 'Hello Paris' WHERE c = 'x'");
  assert_int_equal(enrich_column(db, "k", "body"), 1);
  check(db, "SELECT count(*) FROM k_body_ner JOIN k ON k.c = k_c AND k.b = k_b", "2;");
  do_sql(db, "ALTER TABLE k RENAME COLUMN b TO a; ALTER TABLE k RENAME TO k2");
  assert_int_equal(enrich_column(db, "k2", "body"), 0);
  check(db, "SELECT count(*) FROM k2_body_ner JOIN k2 ON k2.c = k2_c AND k2.a = k2_a", "2;");
  close_db(db);
}

/* The name of a renamed table is given to another one; neither may lose anything. */
static void a_name_given_away_is_told(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 20);
  enrich(db, "'docs', 'body'");
  do_sql(db, "ALTER TABLE docs RENAME TO papers");
  make_docs(db, 5);
  check_error(db, ENRICH, "run ner_enrich for that table under its present name first");
  assert_int_equal(enrich_column(db, "papers", "body"), 0);
  assert_int_equal(enrich_column(db, "docs", "body"), 5);
  check_docs(db, NULL);
  check(db, "SELECT count(DISTINCT papers_rowid) > 5 FROM papers_body_ner", "1;");
  close_db(db);
}

/* As earlier versions left it: a second set of tables, and the old triggers at work. */
static void triggers_of_an_earlier_name_end(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 20);
  enrich(db, "'docs', 'body'");
  do_sql(db, "CREATE TABLE papers AS SELECT * FROM docs LIMIT 0");
  do_sql(db, "DROP TABLE papers; ALTER TABLE docs RENAME TO papers;"
             "CREATE TEMP TABLE old AS SELECT sql FROM sqlite_schema WHERE type = 'trigger'");
  enrich_column(db, "papers", "body");
  do_sql(db,
         "CREATE TABLE docs_body_ner_queue(docs_rowid INTEGER NOT NULL, change INTEGER NOT NULL,"
         " PRIMARY KEY(docs_rowid))");
  for( int i = 0; i < 3; i++ ) {
    char *sql, *found = sqlite3_mprintf("SELECT sql FROM old LIMIT 1 OFFSET %d", i);
    sql = ask(db, found);
    sql[strlen(sql) - 1] = 0;
    do_sql(db, sql);
    sqlite3_free(sql);
    sqlite3_free(found);
  }
  do_sql(db, "UPDATE papers SET body = 'Hello Rome' WHERE id = 1");
  check(db, "SELECT count(*) FROM docs_body_ner_queue", "1;");
  assert_int_equal(enrich_column(db, "papers", "body"), 1);
  do_sql(db, "UPDATE papers SET body = 'Hello Paris' WHERE id = 2");
  check(db, "SELECT count(*) FROM docs_body_ner_queue", "1;"); /* it is left as it is */
  assert_int_equal(enrich_column(db, "papers", "body"), 1);
  check(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", "3;");
  close_db(db);
}

static void a_dropped_column_says_what_to_do(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  enrich(db, "'docs', 'body'");
  check_error(db, "ALTER TABLE docs DROP COLUMN body", "docs_body_ner_");
  check(db,
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'docs_body_ner_*'"
        " AND sql LIKE '%by ner_enrich(); sql/enrich-undo.sql removes it%'",
        "3;");
  undo(db, "docs_body");
  do_sql(db, "ALTER TABLE docs DROP COLUMN body");
  check_error(db, ENRICH, "has no column 'body'");
  close_db(db);
  /* A table made anew without the column, as programs do that know no DROP COLUMN. */
  db = open_db(":memory:");
  make_docs(db, 5);
  enrich(db, "'docs', 'body'");
  do_sql(db,
         "CREATE TABLE x(id INTEGER PRIMARY KEY, title); INSERT INTO x SELECT id, title FROM docs;"
         "DROP TABLE docs; ALTER TABLE x RENAME TO docs");
  check_error(db, ENRICH, "if it was dropped, sql/enrich-undo.sql removes what is left");
  close_db(db);
}

static void undone_it_leaves_nothing(void **state) {
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 5);
  do_sql(db, "CREATE TEMP TABLE was AS SELECT type, name, sql FROM main.sqlite_schema");
  enrich(db, "'docs', 'body'");
  undo(db, "docs_body");
  check(db,
        "SELECT count(*), count(was.sql) FROM main.sqlite_schema AS s LEFT JOIN was USING"
        " (type, name, sql)",
        "1|1;");
  do_sql(db, "UPDATE docs SET body = 'x'; DELETE FROM docs WHERE id = 1");
  assert_int_equal(enrich(db, "'docs', 'body'"), 4);
  close_db(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entities_are_those_of_ner),
      cmocka_unit_test(progress_is_shown),
      cmocka_unit_test(a_step_is_a_batch),
      cmocka_unit_test(only_what_changed_is_done),
      cmocka_unit_test(conflict_clauses_do_not_hide_changes),
      cmocka_unit_test(rows_lost_to_replace_are_found),
      cmocka_unit_test(failures_are_kept),
      cmocka_unit_test(another_model_makes_all_due),
      cmocka_unit_test(one_changed_tensor_makes_all_due),
      cmocka_unit_test(triggers_of_others_may_change_the_text),
      cmocka_unit_test(any_name_will_do),
      cmocka_unit_test(names_are_found_as_sqlite_finds_them),
      cmocka_unit_test(attached_files_are_enriched),
      cmocka_unit_test(tables_without_rowid_keep_their_keys),
      cmocka_unit_test(a_column_may_be_in_the_key_twice),
      cmocka_unit_test(names_like_ours_will_do),
      cmocka_unit_test(one_name_for_two_is_told),
      cmocka_unit_test(columns_may_be_called_rowid),
      cmocka_unit_test(generated_columns_follow_what_they_are_made_of),
      cmocka_unit_test(collations_do_not_hide_changes),
      cmocka_unit_test(two_columns_of_a_table),
      cmocka_unit_test(arguments_may_come_from_a_join),
      cmocka_unit_test(a_table_made_anew_is_begun_anew),
      cmocka_unit_test(renamed_tables_and_columns_keep_their_results),
      cmocka_unit_test(renamed_keys_keep_their_results),
      cmocka_unit_test(a_name_given_away_is_told),
      cmocka_unit_test(triggers_of_an_earlier_name_end),
      cmocka_unit_test(a_dropped_column_says_what_to_do),
      cmocka_unit_test(undone_it_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
