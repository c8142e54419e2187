/*
** test_trust.c - a hostile database: whatever its schema says, it gets inference and nothing else.
**
** The attacker writes the file with functions and tables of our names that allow everything, so
** that SQLite accepts any schema; the victim opens it with the library. What is tried comes from
** pragma_function_list and pragma_module_list, so that no new function is left out.
** (test_direct.c has the statements with which a victim sets a CHECK constraint off.)
**
** Also the host's limits: a result too large for SQLITE_LIMIT_LENGTH is "too big", a statement of
** ours that another limit forbids is an error, and nothing crashes.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include "enrich.h"

static char dir[TEST_PATH], db_file[TEST_PATH], canary[TEST_PATH];

static int set_up(void **state) {
  test_dir_make(dir);
  test_path(db_file, dir, "db");
  test_path(canary, dir, "canary");
  return 0;
}

static int tear_down(void **state) {
  test_dir_remove(dir);
  return 0;
}

/* ---- what is registered ---- */

/* Which schemas may call a function. */
enum trust {
  INFERS,  /* any */
  TELLS,   /* a trusted one: the function tells something about the process */
  DIRECTLY /* none: it is for top-level SQL only */
};

static const struct {
  const char *name;
  int n_args; /* -1: a table */
  enum trust trust;
  bool safe; /* registered by sqlite3_ner_safe_init */
} expected[] = {
    {"ner", -1, INFERS, true},           {"ner_tokens", -1, INFERS, true},
    {"ner_words", -1, INFERS, true},     {"ner_models", -1, DIRECTLY, false},
    {"ner_query", -1, DIRECTLY, false},  {"ner_enrich", -1, DIRECTLY, false},
    {"ner_train", -1, DIRECTLY, false},
    {"ner_html", 1, INFERS, true},       {"ner_html", 2, INFERS, true},
    {"ner_json", 1, INFERS, true},       {"ner_json", 2, INFERS, true},
    {"ner_redact", 1, INFERS, true},     {"ner_redact", 2, INFERS, true},
    {"ner_redact", 3, INFERS, true},     {"ner_version", 0, INFERS, true},
    {"ner_debug", 0, DIRECTLY, false},   {"ner_threads", 0, TELLS, false},
    {"ner_threads", 1, DIRECTLY, false}, {"ner_load", 2, DIRECTLY, false},
    {"ner_load", 3, DIRECTLY, false},    {"ner_unload", 1, DIRECTLY, false},
    {"ner_default", 1, DIRECTLY, false}, {"ner_convert", 3, DIRECTLY, false},
};
#define N_EXPECTED ((int)(sizeof expected / sizeof *expected))

static enum trust trust_of(const char *name, int n_args) {
  for( int i = 0; i < N_EXPECTED; i++ )
    if( !strcmp(expected[i].name, name) && expected[i].n_args == n_args ) return expected[i].trust;
  fail_msg("%s with %d arguments is new: add it to this test's table", name, n_args);
  return DIRECTLY;
}

#define OURS                                                                                       \
  "SELECT name, narg FROM pragma_function_list WHERE name LIKE 'ner%'"                             \
  " UNION SELECT name, -1 FROM pragma_module_list WHERE name LIKE 'ner%' ORDER BY 1, 2"

static sqlite3 *open_with(int (*init)(sqlite3 *, char **, const sqlite3_api_routines *),
                          const char *path) {
  sqlite3 *db = open_plain(path);
  char *message = NULL;
  if( init(db, &message, NULL) ) fail_msg("%s", message);
  return db;
}

static void all_is_known(void **state) {
  for( int safe = 0; safe < 2; safe++ ) {
    sqlite3 *db = open_with(safe ? sqlite3_ner_safe_init : sqlite3_ner_init, ":memory:");
    sqlite3_stmt *list;
    int n = 0, n_expected = 0;
    for( int i = 0; i < N_EXPECTED; i++ ) n_expected += !safe || expected[i].safe;
    assert_int_equal(sqlite3_prepare_v2(db, OURS, -1, &list, NULL), SQLITE_OK);
    for( ; sqlite3_step(list) == SQLITE_ROW; n++ ) {
      const char *name = (const char *)sqlite3_column_text(list, 0);
      enum trust trust = trust_of(name, sqlite3_column_int(list, 1));
      if( safe && trust != INFERS ) fail_msg("%s is registered by the safe entry point", name);
    }
    sqlite3_finalize(list);
    assert_int_equal(n, n_expected);
    close_db(db);
  }
}

/* ---- the attacker ---- */

/* A call whose effect could be seen. */
static char *call_of(const char *name, int n_args) {
  if( !strcmp(name, "ner_load") )
    return sqlite3_mprintf("ner_load('stolen', '" TINY "'%s)", n_args > 2 ? ", 'int8'" : "");
  if( !strcmp(name, "ner_convert") )
    return sqlite3_mprintf("ner_convert('" TINY "', '%q', 'f32')", canary);
  if( !strcmp(name, "ner_unload") ) return sqlite3_mprintf("ner_unload('other')");
  if( !strcmp(name, "ner_default") ) return sqlite3_mprintf("ner_default('other')");
  if( !strcmp(name, "ner_threads") ) return sqlite3_mprintf("ner_threads(%s)", n_args ? "7" : "");
  if( n_args == 0 ) return sqlite3_mprintf("%s()", name);
  return sqlite3_mprintf("%s('Angela met Reuters in Berlin'%s%s)", name, n_args > 1 ? ", NULL" : "",
                         n_args > 2 ? ", NULL" : "");
}

static char *table_of(const char *name) {
  if( !strcmp(name, "ner_models") ) return sqlite3_mprintf("ner_models");
  if( !strcmp(name, "ner_query") )
    return sqlite3_mprintf("ner_query('SELECT 1, ''Angela met Reuters''')");
  if( !strcmp(name, "ner_enrich") ) return sqlite3_mprintf("ner_enrich('secrets', 'body')");
  if( !strcmp(name, "ner_train") )
    return sqlite3_mprintf("ner_train('SELECT ''Angela'', ''[{\"start\":0,\"end\":6,"
                           "\"label\":\"PER\"}]''', '%q', '{\"epochs\":1}')",
                           canary);
  if( !strcmp(name, "ner_words") ) return sqlite3_mprintf("ner_words('[\"Angela\"]')");
  return sqlite3_mprintf("%s('Angela met Reuters in Berlin')", name);
}

/* The places where a schema may hold an expression; %s is the call. `set_off` is the victim's
** SQL. */
struct vehicle {
  const char *name, *schema, *set_off;
};
static const struct vehicle vehicles[] = {
    {"a view", "CREATE VIEW v AS SELECT %s AS x", "SELECT x FROM v"},
    {"a view's WHERE", "CREATE VIEW v AS SELECT 1 AS x WHERE %s IS NOT NULL", "SELECT x FROM v"},
    {"a view of a view",
     "CREATE VIEW u AS SELECT %s AS x; CREATE VIEW v AS WITH c AS (SELECT x FROM u) SELECT"
     " (SELECT max(x) FROM c) AS x",
     "SELECT x FROM v"},
    {"a view's ORDER BY",
     "CREATE VIEW v AS SELECT body AS x FROM t ORDER BY length(body || %s) LIMIT 1",
     "SELECT x FROM v"},
    {"a view's aggregate",
     "CREATE VIEW v AS SELECT group_concat(%s) OVER (ORDER BY body) AS x FROM t",
     "SELECT x FROM v"},
    {"a trigger", "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES(%s); END",
     "INSERT INTO t VALUES('x')"},
    {"a trigger's WHEN",
     "CREATE TRIGGER g BEFORE UPDATE ON t WHEN %s IS NOT NULL BEGIN INSERT INTO log VALUES(1);"
     " END",
     "UPDATE t SET body = 'y'"},
    {"a trigger on DELETE", "CREATE TRIGGER g AFTER DELETE ON t BEGIN UPDATE log SET x = %s; END",
     "DELETE FROM t"},
    {"a trigger of a view",
     "CREATE VIEW v AS SELECT body FROM t; CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN"
     " INSERT INTO log SELECT %s; END",
     "INSERT INTO v VALUES('x')"},
    {"a trigger's RAISE",
     "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE WHEN %s IS NULL THEN"
     " RAISE(ABORT, 'x') END; END",
     "INSERT INTO t VALUES('x')"},
    {"an upsert's trigger",
     "CREATE TRIGGER g AFTER UPDATE ON k BEGIN INSERT INTO log VALUES(%s); END",
     "INSERT INTO k VALUES(1, 2) ON CONFLICT(id) DO UPDATE SET x = 3"},
    {"a cascade's trigger",
     "CREATE TABLE c(id REFERENCES k ON DELETE CASCADE); INSERT INTO c VALUES(1);"
     "CREATE TRIGGER g AFTER DELETE ON c BEGIN INSERT INTO log VALUES(%s); END",
     "PRAGMA foreign_keys = ON; DELETE FROM k"},
    {"a generated column", "CREATE TABLE y(a, b AS (%s)); INSERT INTO y VALUES(1)",
     "SELECT * FROM y"},
    {"a stored column", "CREATE TABLE y(a, b AS (%s) STORED)", "INSERT INTO y VALUES(1)"},
    {"an index", "CREATE INDEX i ON t(%s)", "INSERT INTO t VALUES('x'); REINDEX"},
    {"a partial index", "CREATE INDEX i ON t(body) WHERE %s IS NOT NULL",
     "INSERT INTO t VALUES('x'); REINDEX"},
    {"a constraint", "CREATE TABLE y(a CHECK(%s IS NOT NULL))", "INSERT INTO y VALUES(1)"},
    {"a table's constraint",
     "CREATE TABLE y(a, b, CHECK(b IS NULL OR %s <> '')); INSERT INTO y(a) VALUES(1)",
     "UPDATE y SET b = 1"},
    {"a default", "CREATE TABLE y(a, b DEFAULT (%s))", "INSERT INTO y(a) VALUES(1)"},
};

/* The places for a table-valued function. */
static const struct vehicle table_vehicles[] = {
    {"a view", "CREATE VIEW v AS SELECT * FROM %s", "SELECT * FROM v"},
    {"a view's subquery", "CREATE VIEW v AS SELECT (SELECT count(*) FROM %s) AS x",
     "SELECT x FROM v"},
    {"a view's EXISTS", "CREATE VIEW v AS SELECT 1 AS x WHERE EXISTS (SELECT 1 FROM t, %s)",
     "SELECT x FROM v"},
    {"a trigger",
     "CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log SELECT count(*) FROM %s; END",
     "INSERT INTO t VALUES('x')"},
    {"a trigger's WHEN",
     "CREATE TRIGGER g AFTER INSERT ON t WHEN (SELECT count(*) FROM %s) >= 0 BEGIN"
     " INSERT INTO log VALUES(1); END",
     "INSERT INTO t VALUES('x')"},
    {"a trigger of a view",
     "CREATE VIEW v AS SELECT body FROM t; CREATE TRIGGER g INSTEAD OF DELETE ON v BEGIN"
     " INSERT INTO log SELECT count(*) FROM %s; END",
     "DELETE FROM v"},
};

static void stub(sqlite3_context *context, int n, sqlite3_value **arg) {
  sqlite3_result_int(context, 1);
}

/* Writes the attacker's file, with stand-ins for our functions. Tables need none: those of a view
** or trigger are looked up when it is used. */
static void write_file(const struct vehicle *vehicle, const char *call) {
  sqlite3 *db;
  sqlite3_stmt *list;
  char *found, *sql = sqlite3_mprintf(vehicle->schema, call);
  sqlite3 *ours = open_db(":memory:");
  remove(db_file);
  db = open_plain(db_file);
  assert_int_equal(sqlite3_prepare_v2(ours, OURS, -1, &list, NULL), SQLITE_OK);
  while( sqlite3_step(list) == SQLITE_ROW )
    if( sqlite3_column_int(list, 1) >= 0 )
      sqlite3_create_function(
          db, (const char *)sqlite3_column_text(list, 0), sqlite3_column_int(list, 1),
          SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, stub, NULL, NULL);
  sqlite3_finalize(list);
  close_db(ours);
  do_sql(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;"
             "CREATE TABLE t(body); INSERT INTO t VALUES('Angela met Reuters in Berlin');"
             "CREATE TABLE log(x); CREATE TABLE k(id INTEGER PRIMARY KEY, x);"
             "INSERT INTO log VALUES(0); INSERT INTO k VALUES(1, 1);"
             "CREATE TABLE secrets(body); INSERT INTO secrets VALUES('Angela')");
  found = ask(db, sql);
  if( strncmp(found, "nothing", 7) && strcmp(found, "1;") ) fail_msg("%s: %s", sql, found);
  sqlite3_free(found);
  sqlite3_free(sql);
  close_db(db);
}

/* ---- the victim ---- */

static char *state_of_process(void) {
  sqlite3 *db = open_db(":memory:");
  char *state = ask(db, "SELECT group_concat(name || is_default), ner_threads() FROM ner_models");
  close_db(db);
  return state;
}

/* Runs the victim's SQL. Returns its rows or the error's message. */
static char *set_off(const struct vehicle *vehicle, bool trusted, bool safe) {
  sqlite3 *db = open_with(safe ? sqlite3_ner_safe_init : sqlite3_ner_init, db_file);
  char *found, *more;
  sqlite3_free(ask(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY"));
  do_sql(db, trusted ? "PRAGMA trusted_schema = ON" : "PRAGMA trusted_schema = OFF");
  found = ask(db, vehicle->set_off);
  /* Other things that programs do to a database. Some fail where the schema cannot be read. */
  more = ask(db, "PRAGMA quick_check; ANALYZE; SELECT count(*) FROM sqlite_schema; VACUUM;"
                 "ALTER TABLE secrets RENAME TO secret; ALTER TABLE secret RENAME TO secrets");
  sqlite3_free(more);
  close_db(db);
  return found;
}

static void attempt(const struct vehicle *vehicle, const char *call, enum trust trust, bool trusted,
                    bool safe) {
  static const char *const refusals[] = {
      "unsafe use of",     /* SQLITE_DIRECTONLY */
      "non-deterministic", /* no such index or column can exist */
      "called by the database's schema",
      "no such function",
      "unknown function",
      "no such table" /* of the safe entry point */
  };
  char *found = set_off(vehicle, trusted, safe), *error = strstr(found, "error: ");
  /* SQLite before 3.53 lets a constraint call any function. */
  bool leaky = strstr(vehicle->schema, "CHECK(") != NULL;
  bool refused = false, may = trust == INFERS || (trust == TELLS && (trusted || leaky));
  for( int i = 0; error && i < (safe ? 6 : 3); i++ )
    refused = refused || strstr(error, refusals[i]);
  if( !may && !refused )
    fail_msg("%s with %s (trusted: %d, safe: %d) was not refused: %s", vehicle->name, call, trusted,
             safe, found);
  if( error && !refused )
    fail_msg("%s with %s (trusted: %d, safe: %d): %s", vehicle->name, call, trusted, safe, found);
  sqlite3_free(found);
}

static void try_all(const struct vehicle *v, size_t n, const char *call, enum trust trust) {
  for( size_t i = 0; i < n; i++ )
    for( int trusted = 0; trusted < 2; trusted++ )
      for( int safe = 0; safe < 2; safe++ ) {
        struct stat st;
        sqlite3 *db;
        char *before = state_of_process(), *after;
        write_file(&v[i], call);
        attempt(&v[i], call, trust, trusted, safe);
        after = state_of_process();
        assert_string_equal(after, before);
        if( stat(canary, &st) == 0 ) fail_msg("%s with %s wrote a file", v[i].name, call);
        db = open_plain(db_file);
        check(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'secrets_%'", "0;");
        close_db(db);
        sqlite3_free(before);
        sqlite3_free(after);
      }
}

static void a_hostile_schema_gets_nothing(void **state) {
  sqlite3 *db;
  sqlite3_stmt *list;
  int n = 0;
  load_models();
  db = open_db(":memory:");
  assert_int_equal(sqlite3_prepare_v2(db, OURS, -1, &list, NULL), SQLITE_OK);
  for( ; sqlite3_step(list) == SQLITE_ROW; n++ ) {
    const char *name = (const char *)sqlite3_column_text(list, 0);
    int n_args = sqlite3_column_int(list, 1);
    char *call = n_args < 0 ? table_of(name) : call_of(name, n_args);
    if( n_args < 0 )
      try_all(table_vehicles, sizeof table_vehicles / sizeof *table_vehicles, call,
              trust_of(name, n_args));
    else
      try_all(vehicles, sizeof vehicles / sizeof *vehicles, call, trust_of(name, n_args));
    sqlite3_free(call);
  }
  assert_int_equal(n, N_EXPECTED);
  sqlite3_finalize(list);
  close_db(db);
}

/* A schema written by hand can claim that CREATE VIRTUAL TABLE made a table of ours, with arguments
** in a view over it; or have an ordinary table of our function's name. */
static void names_cannot_be_usurped(void **state) {
  static const struct {
    const char *module, *where;
  } made[] = {{"ner", "text = 'Angela'"},
              {"ner_tokens", "text = 'Angela'"},
              {"ner_words", "words = '[]'"},
              {"ner_models", "1"},
              {"ner_query", "sql = 'SELECT 1, 2'"},
              {"ner_train", "sql = 'SELECT 1, 2' AND target = 'x'"},
              {"ner_enrich", "\"table\" = 'secrets' AND \"column\" = 'body'"}};
  sqlite3 *db;
  load_models();
  for( size_t i = 0; i < sizeof made / sizeof *made; i++ ) {
    remove(db_file);
    db = open_plain(db_file);
    do_sql(db, "CREATE TABLE secrets(body); INSERT INTO secrets VALUES('Angela');"
               "PRAGMA writable_schema = ON");
    do_sqlf(db,
            "INSERT INTO sqlite_schema VALUES('table', 'evil', 'evil', 0,"
            " 'CREATE VIRTUAL TABLE evil USING %w(secrets, body)'),"
            "('view', 'v', 'v', 0, 'CREATE VIEW v AS SELECT * FROM evil WHERE %q')",
            made[i].module, made[i].where);
    close_db(db);
    db = open_db(db_file);
    for( int trusted = 0; trusted < 2; trusted++ ) {
      do_sql(db, trusted ? "PRAGMA trusted_schema = ON" : "PRAGMA trusted_schema = OFF");
      check_error(db, "SELECT * FROM evil", "is a function; no table can be made of it");
      check_error(db, "SELECT * FROM v", "is a function; no table can be made of it");
    }
    /* Other things that may be done to it. */
    sqlite3_free(ask(db, "ALTER TABLE evil RENAME TO good"));
    sqlite3_free(ask(db, "INSERT INTO evil VALUES(1)"));
    sqlite3_free(ask(db, "DROP TABLE evil"));
    check(db, "SELECT * FROM secrets", "Angela;");
    check(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'secrets_%'", "0;");
    close_db(db);
  }
  db = open_plain(":memory:");
  do_sql(db, "CREATE TABLE ner(text, entity, label, score, start, end)");
  assert_int_equal(sqlite3_ner_init(db, NULL, NULL), SQLITE_OK);
  check_error(db, "SELECT * FROM ner('Angela')", "not a function");
  close_db(db);
}

/* ---- the host's limits ---- */

#define NAMES "replace(hex(zeroblob(40)), '00', 'Angela met Reuters in <Berlin> ')"

static const char *const questions[] = {
    "SELECT ner_json(" NAMES ")",
    "SELECT ner_html(" NAMES ")",
    "SELECT ner_redact(" NAMES ")",
    "SELECT ner_debug()",
    "SELECT ner_version(), ner_threads()",
    "SELECT * FROM ner(" NAMES ")",
    "SELECT *, text FROM ner WHERE text IN (VALUES('Angela'),('Reuters'))",
    "SELECT * FROM ner_tokens(" NAMES ")",
    "SELECT * FROM ner_words('[\"Angela\",\"met\",\"Reuters\",\"Angela\",\"met\"]')",
    "SELECT * FROM ner_models",
    "SELECT * FROM ner_query('SELECT 1, ''Angela met Reuters in Berlin''')",
    "SELECT done FROM ner_enrich('docs', 'body')",
    "SELECT ner_load('limited', '" TINY "'), ner_unload('limited')",
    "SELECT ner_load('no', '/no/such/directory/at/all/and/a/long/name/too')",
};

/* Gives an answer whose values are within `limit` bytes, or an error; the connection is as before,
** and no code tells of a bug. */
static int ask_within(sqlite3 *db, const char *sql, int limit, bool few_ops) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  while( statement && (rc = sqlite3_step(statement)) == SQLITE_ROW )
    for( int i = 0; i < sqlite3_column_count(statement); i++ )
      if( sqlite3_column_bytes(statement, i) > limit )
        fail_msg("%s gives %d bytes, over the limit of %d", sql, sqlite3_column_bytes(statement, i),
                 limit);
  sqlite3_finalize(statement);
  switch( rc & 0xff ) {
  case SQLITE_OK:
  case SQLITE_DONE:
  case SQLITE_ERROR:
  case SQLITE_TOOBIG:
  case SQLITE_FULL: break;
  case SQLITE_NOMEM: /* SQLite's code when a program has too many steps */
    if( few_ops ) break;
    /* fall through */
  default: fail_msg("%s gives code %d: %s", sql, rc, sqlite3_errmsg(db));
  }
  assert_true(sqlite3_get_autocommit(db));
  return rc;
}

static void lengths_are_kept(void **state) {
  int n_too_big = 0;
  load_models();
  for( int limit = 30; limit < 6000; limit += 1 + limit / 3 ) {
    sqlite3 *db = open_db(":memory:");
    do_sql(db, "CREATE TABLE docs(body); INSERT INTO docs VALUES('Angela met Reuters')");
    for( size_t i = 0; i < sizeof questions / sizeof *questions; i++ ) {
      sqlite3_limit(db, SQLITE_LIMIT_LENGTH, limit);
      n_too_big += ask_within(db, questions[i], limit, false) == SQLITE_TOOBIG;
      sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 1000000000);
      check(db, "SELECT count(*) FROM docs", "1;");
    }
    close_db(db);
  }
  assert_true(n_too_big > 20);
}

static void too_big_says_so(void **state) {
  static const char *const functions[] = {"ner_json", "ner_html", "ner_redact"};
  load_models();
  for( int i = 0; i < 3; i++ ) {
    sqlite3 *db = open_db(":memory:");
    char *sql = sqlite3_mprintf("SELECT %s(?1)", functions[i]), *text;
    sqlite3_stmt *statement;
    text = sqlite3_mprintf("%s", "Angela met Reuters in Berlin & Angela met Reuters in Berlin");
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)strlen(text));
    if( strcmp(functions[i], "ner_redact") ) { /* a redacted text may be shorter */
      assert_int_equal(sqlite3_step(statement), SQLITE_TOOBIG);
      assert_string_equal(sqlite3_errmsg(db), "string or blob too big");
    }
    sqlite3_finalize(statement);
    sqlite3_free(text);
    sqlite3_free(sql);
    close_db(db);
  }
}

static void other_limits_are_obeyed(void **state) {
  static const int limits[] = {SQLITE_LIMIT_SQL_LENGTH,      SQLITE_LIMIT_COLUMN,
                               SQLITE_LIMIT_EXPR_DEPTH,      SQLITE_LIMIT_COMPOUND_SELECT,
                               SQLITE_LIMIT_VDBE_OP,         SQLITE_LIMIT_FUNCTION_ARG,
                               SQLITE_LIMIT_ATTACHED,        SQLITE_LIMIT_LIKE_PATTERN_LENGTH,
                               SQLITE_LIMIT_VARIABLE_NUMBER, SQLITE_LIMIT_TRIGGER_DEPTH,
                               SQLITE_LIMIT_WORKER_THREADS};
  static const int values[] = {0, 1, 2, 3, 5, 8, 20, 60, 200, 600};
  load_models();
  for( size_t l = 0; l < sizeof limits / sizeof *limits; l++ )
    for( size_t v = 0; v < sizeof values / sizeof *values; v++ ) {
      sqlite3 *db = open_db(":memory:");
      do_sql(db, "CREATE TABLE docs(body); INSERT INTO docs VALUES('Angela met Reuters')");
      for( size_t i = 0; i < sizeof questions / sizeof *questions; i++ ) {
        int old = sqlite3_limit(db, limits[l], values[v]);
        ask_within(db, questions[i], 1000000000, limits[l] == SQLITE_LIMIT_VDBE_OP);
        sqlite3_limit(db, limits[l], old);
      }
      /* Without the limit ner_enrich goes on, whatever has stopped it. */
      do_sql(db, "SELECT * FROM ner_enrich('docs', 'body')");
      check_docs(db, "tiny");
      close_db(db);
    }
}

/* SQLITE_DBCONFIG_DEFENSIVE and query_only. */
static void a_defensive_host(void **state) {
  sqlite3 *db = open_db(":memory:");
  load_models();
  do_sql(db, "CREATE TABLE docs(body); INSERT INTO docs VALUES('Angela met Reuters')");
  assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL), SQLITE_OK);
  do_sql(db, "PRAGMA query_only = ON");
  check_error(db, "SELECT * FROM ner_enrich('docs', 'body')", "readonly");
  do_sql(db, "PRAGMA query_only = OFF");
  do_sql(db, "SELECT * FROM ner_enrich('docs', 'body')");
  check_docs(db, "tiny");
  close_db(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_is_known),
      cmocka_unit_test_setup_teardown(a_hostile_schema_gets_nothing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_cannot_be_usurped, set_up, tear_down),
      cmocka_unit_test(lengths_are_kept),
      cmocka_unit_test(too_big_says_so),
      cmocka_unit_test(other_limits_are_obeyed),
      cmocka_unit_test(a_defensive_host),
  };
  unsetenv("NER_MODEL");
  setenv("NER_THREADS", "2", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
