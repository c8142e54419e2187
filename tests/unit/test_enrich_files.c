/*
** test_enrich_files.c - the connection on which ner_enrich() works: that it has the host's database
** open and no other, that it has the host's settings, and that no failing write leaves anything
** half-written.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "enrich.h"

#define ENRICH "SELECT * FROM ner_enrich('docs', 'body')"

static sqlite3_stmt *begin_enrich(sqlite3 *db) {
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_prepare_v2(db, ENRICH, -1, &statement, NULL), SQLITE_OK);
  if( sqlite3_step(statement) != SQLITE_ROW ) fail_msg("%s", sqlite3_errmsg(db));
  return statement;
}

/* ---- which database ---- */

static sqlite3 *open_uri(const char *uri) {
  char *message = NULL;
  sqlite3 *db = NULL;
  assert_int_equal(
      sqlite3_open_v2(uri, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL),
      SQLITE_OK);
  if( sqlite3_ner_init(db, &message, NULL) != SQLITE_OK ) fail_msg("%s", message);
  return db;
}

static void databases_in_memory_are_the_hosts(void **state) {
  static const char *const uris[] = {":memory:",
                                     "",
                                     "file:foo?vfs=memdb",
                                     "file:/foo?vfs=memdb",
                                     "file::memory:?cache=shared",
                                     "file:bar?mode=memory"};
  for( size_t i = 0; i < sizeof uris / sizeof *uris; i++ ) {
    sqlite3 *db = open_uri(uris[i]);
    make_docs(db, 200);
    assert_int_equal(enrich(db, "'docs', 'body'"), 200);
    do_sql(db, "UPDATE docs SET body = 'Hello Rome' WHERE id < 4");
    assert_int_equal(enrich(db, "'docs', 'body'"), 3);
    check_docs(db, NULL);
    close_db(db);
  }
}

static void deserialize(sqlite3 *db, const char *schema, sqlite3 *from) {
  sqlite3_int64 n;
  unsigned char *bytes = sqlite3_serialize(from, "main", &n, 0);
  assert_non_null(bytes);
  assert_int_equal(
      sqlite3_deserialize(db, schema, bytes, n, n,
                          SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE),
      SQLITE_OK);
}

static void deserialized_databases_are_the_hosts(void **state) {
  sqlite3 *db = open_db(":memory:"), *from = open_plain(":memory:");
  make_docs(from, 100);
  deserialize(db, "main", from);
  assert_int_equal(enrich(db, "'docs', 'body'"), 100);
  check_docs(db, NULL);
  close_db(from);
  /* In place of a file, whose path leads to another database. */
  {
    char dir[TEST_PATH], path[TEST_PATH];
    sqlite3 *of_file;
    test_dir_make(dir);
    of_file = open_db(test_path(path, dir, "a.db"));
    make_docs(of_file, 3);
    deserialize(of_file, "main", db);
    do_sql(of_file, "INSERT INTO docs(body) VALUES('Hello Rome')");
    assert_int_equal(enrich(of_file, "'docs', 'body'"), 1);
    check_docs(of_file, NULL);
    check(of_file, "SELECT count(*) FROM docs", "101;");
    close_db(of_file);
    of_file = open_plain(path);
    check(of_file, "SELECT count(*), (SELECT count(*) FROM docs) FROM sqlite_schema", "1|3;");
    close_db(of_file);
    test_dir_remove(dir);
  }
  do_sql(db, "ATTACH ':memory:' AS aux");
  deserialize(db, "aux", db);
  do_sql(db, "INSERT INTO aux.docs(body) VALUES('Hello Berlin')");
  assert_int_equal(enrich(db, "'aux.docs', 'body'"), 1);
  assert_int_equal(enrich(db, "'main.docs', 'body'"), 0);
  close_db(db);
}

/* A file system's view: a.db is what the connection has open, and then something else. */
static void a_replaced_file_stays_as_it_is(void **state) {
#ifdef _WIN32
  skip(); /* an open database cannot be renamed, replaced or deleted there */
#endif
  for( int when = 0; when < 2; when++ )
    for( int replaced = 0; replaced < 2; replaced++ ) {
      char dir[TEST_PATH], path[TEST_PATH], other[TEST_PATH];
      sqlite3 *db, *second;
      sqlite3_stmt *statement = NULL;
      test_dir_make(dir);
      db = open_db(test_path(path, dir, "a.db"));
      make_docs(db, 500);
      second = open_plain(test_path(other, dir, "b.db"));
      make_docs(second, 7);
      close_db(second);
      if( when == 1 ) statement = begin_enrich(db);
      if( replaced )
        assert_int_equal(rename(other, path), 0);
      else
        assert_int_equal(remove(path), 0);
      if( when == 1 ) {
        assert_int_equal(sqlite3_step(statement), SQLITE_ERROR);
        assert_non_null(strstr(sqlite3_errmsg(db), "was moved, replaced or deleted"));
        sqlite3_finalize(statement);
      }
      check_error(db, ENRICH, "was moved, replaced or deleted");
      close_db(db);
      if( replaced ) {
        db = open_db(path);
        check(db, "SELECT count(*), (SELECT count(*) FROM docs) FROM sqlite_schema", "1|7;");
        assert_int_equal(enrich(db, "'docs', 'body'"), 7);
        close_db(db);
      }
      test_dir_remove(dir);
    }
}

/* ---- settings ---- */

static sqlite3 *latest; /* connection opened in this process */

static int note_connection(sqlite3 *db, char **message, const struct sqlite3_api_routines *api) {
  latest = db;
  return SQLITE_OK;
}

/* What the host has set, and what our own connection then answers. */
static void settings_are_the_hosts(void **state) {
  static const struct {
    const char *pragma, *values[4];
  } settings[] = {
      {"synchronous", {"0", "1", "2", "3"}},
      {"fullfsync", {"0", "1"}},
      {"checkpoint_fullfsync", {"0", "1"}},
      {"secure_delete", {"0", "1", "2"}},
      {"journal_size_limit", {"-1", "0", "12345"}},
      {"journal_mode", {"delete", "truncate", "persist", "wal"}},
      {"temp_store", {"0", "1", "2"}},
      {"foreign_keys", {"0", "1"}},
      {"recursive_triggers", {"0", "1"}},
      {"ignore_check_constraints", {"0", "1"}},
      {"cell_size_check", {"0", "1"}},
      {"trusted_schema", {"0", "1"}},
      {"cache_size", {"-2000", "77", "-9000"}},
      {"cache_spill", {"0", "9000"}},
      {"mmap_size", {"0", "65536"}},
      {"wal_autocheckpoint", {"0", "17", "1000"}},
  };
  sqlite3_auto_extension((void (*)(void))note_connection);
  for( size_t i = 0; i < sizeof settings / sizeof *settings; i++ )
    for( size_t k = 0; k < 4 && settings[i].values[k]; k++ ) {
      const char *pragma = settings[i].pragma, *value = settings[i].values[k];
      bool fast = strcmp(pragma, "secure_delete") == 0 && strcmp(value, "2") == 0;
      char dir[TEST_PATH], path[TEST_PATH], *answer, *expected;
      sqlite3_stmt *statement;
      sqlite3 *db;
      test_dir_make(dir);
      db = open_db(test_path(path, dir, "a.db"));
      make_docs(db, 100);
      do_sqlf(db, "PRAGMA %s = %s", pragma, fast ? "fast" : value);
      statement = begin_enrich(db);
      assert_ptr_not_equal(latest, db);
      answer = sqlite3_mprintf("PRAGMA %s", pragma);
      expected = sqlite3_mprintf("%s;", value);
      check(db, answer, expected); /* else this tests nothing */
      check(latest, answer, expected);
      sqlite3_free(answer);
      sqlite3_free(expected);
      sqlite3_finalize(statement);
      close_db(db);
      test_dir_remove(dir);
    }
  sqlite3_cancel_auto_extension((void (*)(void))note_connection);
}

static void configuration_and_limits_are_the_hosts(void **state) {
  static const int configs[] = {SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                                SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE};
  sqlite3_auto_extension((void (*)(void))note_connection);
  for( int i = 0; i < 2; i++ ) {
    char dir[TEST_PATH], path[TEST_PATH];
    sqlite3_stmt *statement;
    sqlite3 *db;
    int value;
    test_dir_make(dir);
    db = open_db(test_path(path, dir, "a.db"));
    make_docs(db, 100);
    for( size_t k = 0; k < sizeof configs / sizeof *configs; k++ )
      sqlite3_db_config(db, configs[k], i, NULL);
    for( int id = SQLITE_LIMIT_LENGTH; id <= SQLITE_LIMIT_TRIGGER_DEPTH && i; id++ )
      sqlite3_limit(db, id, sqlite3_limit(db, id, -1) - 1);
    statement = begin_enrich(db);
    assert_ptr_not_equal(latest, db);
    for( size_t k = 0; k < sizeof configs / sizeof *configs; k++ ) {
      sqlite3_db_config(latest, configs[k], -1, &value);
      assert_int_equal(value, i);
    }
    for( int id = SQLITE_LIMIT_LENGTH; id <= SQLITE_LIMIT_WORKER_THREADS; id++ )
      assert_int_equal(sqlite3_limit(latest, id, -1), sqlite3_limit(db, id, -1));
    sqlite3_finalize(statement);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
    close_db(db);
    test_dir_remove(dir);
  }
  sqlite3_cancel_auto_extension((void (*)(void))note_connection);
}

static bool file_contains(const char *path, const char *text) {
  FILE *file = fopen(path, "rb");
  size_t n = 0, n_text = strlen(text);
  char *bytes = malloc(1 << 24);
  bool found = false;
  assert_non_null(file);
  n = fread(bytes, 1, 1 << 24, file);
  fclose(file);
  for( size_t i = 0; i + n_text <= n && !found; i++ ) found = memcmp(bytes + i, text, n_text) == 0;
  free(bytes);
  return found;
}

/* The name of a deleted person is nowhere in the file. */
static void deleted_names_are_overwritten(void **state) {
  for( int secure = 0; secure < 2; secure++ ) {
    char dir[TEST_PATH], path[TEST_PATH];
    sqlite3 *db;
    test_dir_make(dir);
    db = open_db(test_path(path, dir, "a.db"));
    do_sqlf(db, "PRAGMA secure_delete = %d", secure);
    make_docs(db, 50);
    do_sql(db, "UPDATE docs SET body = 'Xylophena Quarkwright met Reuters' WHERE id = 7");
    enrich(db, "'docs', 'body'");
    do_sql(db, "INSERT INTO docs_body_ner SELECT 7, 'Xylophena Quarkwright', 'PER', 1, 0, 21;"
               "UPDATE docs SET body = 'nothing' WHERE id = 7");
    assert_true(file_contains(path, "Xylophena Quarkwright"));
    enrich(db, "'docs', 'body'");
    close_db(db);
    assert_int_equal(file_contains(path, "Xylophena Quarkwright"), !secure);
    test_dir_remove(dir);
  }
}

/* The user's own foreign keys and triggers on our tables do what they do on his connection. */
static void users_keys_and_triggers_work(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  sqlite3 *db;
  test_dir_make(dir);
  db = open_db(test_path(path, dir, "a.db"));
  do_sql(db, "PRAGMA foreign_keys = ON");
  make_docs(db, 5);
  do_sql(db, "UPDATE docs SET body = x'00' WHERE id = 3");
  enrich(db, "'docs', 'body'");
  do_sql(db, "CREATE TABLE seen(id REFERENCES docs_body_ner_error ON DELETE CASCADE);"
             "INSERT INTO seen VALUES(3); UPDATE docs SET body = 'Hello Rome' WHERE id = 3");
  enrich(db, "'docs', 'body'");
  check(db, "SELECT count(*) FROM seen", "0;");
  close_db(db);
  test_dir_remove(dir);
}

/* ---- writes that fail ---- */

/* SQLite's own VFS, in which a write fails once there have been so many. */
static sqlite3_vfs failing_vfs;
static sqlite3_io_methods failing_methods[2]; /* of journals, which have no locks; of databases */
static int (*real_write)(sqlite3_file *, const void *, int, sqlite3_int64);
static sqlite3_vfs *real_vfs;
static int writes_left = -1, failure;

static int failing_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at) {
  if( writes_left == 0 ) return failure;
  if( writes_left > 0 ) writes_left--;
  return real_write(file, bytes, n, at);
}

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                        int *flags_out) {
  int rc = real_vfs->xOpen(real_vfs, name, file, flags, flags_out);
  if( rc == SQLITE_OK && file->pMethods ) {
    sqlite3_io_methods *methods = &failing_methods[(flags & SQLITE_OPEN_MAIN_DB) != 0];
    *methods = *file->pMethods;
    real_write = methods->xWrite;
    methods->xWrite = failing_write;
    file->pMethods = methods;
  }
  return rc;
}

static void failing_writes_leave_nothing_half(void **state) {
  static const int failures[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
  real_vfs = sqlite3_vfs_find(NULL);
  failing_vfs = *real_vfs;
  failing_vfs.zName = "failing";
  failing_vfs.xOpen = failing_open;
  sqlite3_vfs_register(&failing_vfs, 0);
  for( int kind = 0; kind < 4; kind++ ) {
    bool wal = kind & 1, unkeyed = kind & 2, failed = true;
    int n_failed = 0;
    failure = failures[kind / 2];
    for( int n = 0; failed; n += 1 + n / 3 ) {
      char dir[TEST_PATH], path[TEST_PATH], uri[TEST_PATH + 40], *found;
      sqlite3 *db;
      test_dir_make(dir);
      db = open_plain(test_path(path, dir, "a.db"));
      make_docs(db, 400);
      if( unkeyed )
        do_sql(db, "CREATE TABLE d(body); INSERT INTO d SELECT body FROM docs;"
                   "DROP TABLE docs; ALTER TABLE d RENAME TO docs");
      if( wal ) do_sql(db, "PRAGMA journal_mode = wal");
      close_db(db);
      snprintf(uri, sizeof uri, "file:%s?vfs=failing", path);
      db = open_uri(uri);
      writes_left = n;
      found = ask(db, ENRICH);
      failed = strstr(found, "error: ") != NULL;
      if( failed ) {
        n_failed++;
        if( !strstr(found, "run ner_enrich again") ) fail_msg("%s", found);
      }
      sqlite3_free(found);
      assert_true(sqlite3_get_autocommit(db));
      close_db(db);
      writes_left = -1;
      db = open_db(path);
      check(db, "PRAGMA integrity_check", "ok;");
      found = ask(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'docs_body_ner%'");
      if( atoi(found) > 0 ) {
        assert_int_equal(atoi(found), unkeyed ? 11 : 9);
        check(db, "SELECT count(*) FROM docs_body_ner JOIN docs_body_ner_queue USING (docs_rowid)",
              "0;");
      }
      sqlite3_free(found);
      enrich(db, "'docs', 'body'");
      check_docs(db, NULL);
      close_db(db);
      test_dir_remove(dir);
    }
    assert_true(n_failed > 8);
  }
  sqlite3_vfs_unregister(&failing_vfs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(databases_in_memory_are_the_hosts),
      cmocka_unit_test(deserialized_databases_are_the_hosts),
      cmocka_unit_test(a_replaced_file_stays_as_it_is),
      cmocka_unit_test(settings_are_the_hosts),
      cmocka_unit_test(configuration_and_limits_are_the_hosts),
      cmocka_unit_test(deleted_names_are_overwritten),
      cmocka_unit_test(users_keys_and_triggers_work),
      cmocka_unit_test(failing_writes_leave_nothing_half),
  };
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
