/*
** test_direct.c - functions that touch files or the process, and the CHECK constraints of a
** hostile database. SQLite before 3.53 lets a constraint call SQLITE_DIRECTONLY functions;
** whatever harmless statement the victim runs, and wherever a function's name stands in it, the
** constraint must not get its call. Calls that the victim writes must go on working.
**
** (test_trust.c tries all other places where a schema may hide a call.)
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
  load_models();
  return 0;
}

static int tear_down(void **state) {
  test_dir_remove(dir);
  return 0;
}

/* Every scalar function for the connection's owner alone; %s: the file not to be written. */
static const struct {
  const char *name;
  const char *arguments;
} functions[] = {
    {"ner_convert", "'" TINY "', '%s', 'f32'"},
    {"ner_load", "'stolen', '" TINY "'"},
    {"ner_load", "'stolen', '" TINY "', 'int8'"},
    {"ner_unload", "'other'"},
    {"ner_default", "'other'"},
    {"ner_threads", "7"},
    {"ner_debug", ""},
};
#define N_FUNCTIONS ((int)(sizeof functions / sizeof *functions))

/* What the victim runs; $ is the function's name. Tables y and $ have the hostile constraint. */
static const char *const harmless[] = {
    "INSERT INTO y(a) VALUES('how do I use $ ?')",
    "INSERT INTO y(a) VALUES('$(1, 2, 3)')",
    "INSERT INTO y(a) VALUES('it''s $(1)')",
    "INSERT INTO y(a) VALUES(1) -- $(1)",
    "INSERT INTO y(a) /* SELECT $(1) */ VALUES(1)",
    "INSERT INTO y(a) VALUES(1) /* SELECT $(1)",
    "INSERT INTO y(a, $) VALUES(1, 2)",
    "INSERT INTO y(a, \"$\") VALUES(1, 2)",
    "INSERT INTO y(a, [$]) SELECT 1, (2)",
    "INSERT INTO $(a) VALUES(1)",
    "INSERT INTO \"$\" (\"a\", \"$\") VALUES(1, 2)",
    "INSERT INTO main.$ (a) VALUES(1)",
    "INSERT INTO main.\"$\"(a) VALUES(1)",
    "INSERT INTO y AS $(a) VALUES(1)",
    "REPLACE INTO [$](a) VALUES(1)",
    "REPLACE INTO `$`(a) VALUES(1)",
    "WITH $(a) AS (VALUES(1)) INSERT INTO y(a) SELECT a FROM $",
    "INSERT INTO y(a) VALUES(:$)",
    "INSERT INTO y(a) VALUES(@$)",
    "INSERT INTO y(a) VALUES($$)",
    "INSERT INTO y(a) VALUES($$(1))",
    "INSERT INTO y(a) VALUES($x::$(1))",
    "INSERT INTO y(a) SELECT \"$\" FROM y",
    "INSERT INTO y(a) SELECT a AS $ FROM y WHERE ($) IN (1)",
    "UPDATE y SET a = 2 WHERE 'x' <> '$('",
    "UPDATE y SET $ = (2)",
    "UPDATE \"$\" SET (\"$\") = (2)",
    "INSERT INTO k(id, $) VALUES(1, 2) ON CONFLICT(id) DO UPDATE SET $ = (3)",
    "INSERT INTO y(a) VALUES(1) RETURNING \"$\", ($)",
    "INSERT INTO y(a) VALUES(CAST(1 AS $))",
    "INSERT INTO y(a) VALUES(x'00')",
    "PRAGMA quick_check",
    "PRAGMA integrity_check",
    "PRAGMA integrity_check($)",
    "PRAGMA quick_check('$')",
    "SELECT * FROM pragma_quick_check",
    "SELECT * FROM pragma_integrity_check('$')",
    "SELECT * FROM pragma_integrity_check WHERE '$(1)' <> 'x'",
};
#define N_HARMLESS ((int)(sizeof harmless / sizeof *harmless))

/* What the victim may write; & is the call. */
static const char *const own_calls[] = {
    "SELECT &",
    "SELECT 1, (&) IS NULL",
    "VALUES(&)",
    "WITH c(x) AS (SELECT &) SELECT x FROM c",
    "SELECT x FROM log WHERE & IS NULL OR x = 0",
    "INSERT INTO log SELECT &",
    "INSERT INTO log VALUES(&)",
    "INSERT INTO log VALUES('a'), (NULL), (&)",
    "REPLACE INTO log SELECT x || & FROM (SELECT 1 AS x)",
    "WITH c(x) AS (SELECT &) INSERT INTO log SELECT x FROM c",
    "UPDATE log SET x = &",
    "UPDATE log SET x = 1 WHERE &",
    "UPDATE log SET x = CASE WHEN x THEN & ELSE - & END",
    "DELETE FROM log WHERE x = 7 AND &",
    "INSERT INTO log VALUES(1) RETURNING &",
    "CREATE TEMP TABLE r AS SELECT & AS x",
    "SELECT key FROM ner_query('SELECT ~, ''x''')",
};
#define N_OWN_CALLS ((int)(sizeof own_calls / sizeof *own_calls))

/* `text` with each '$' followed by no letter, and '&', replaced; '~' is the call within a
** string. */
static char *filled(const char *text, const char *name, const char *call) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  for( ; *text; text++ ) {
    if( *text == '$' && text[1] == '$' )
      sqlite3_str_appendchar(out, 1, '$');
    else if( *text == '$' && text[1] != 'x' )
      sqlite3_str_appendall(out, name);
    else if( *text == '&' && call )
      sqlite3_str_appendall(out, call);
    else if( *text == '~' && call )
      sqlite3_str_appendf(out, "%q", call);
    else
      sqlite3_str_appendchar(out, 1, *text);
  }
  return sqlite3_str_finish(out);
}

static char *call_of(int f) {
  char *arguments = sqlite3_mprintf(functions[f].arguments, canary);
  char *call = sqlite3_mprintf("%s(%s)", functions[f].name, arguments);
  sqlite3_free(arguments);
  return call;
}

static void stub(sqlite3_context *context, int n, sqlite3_value **arg) {
  sqlite3_result_int(context, 1);
}

/* The attacker's file. Rows are put in while a stand-in answers the calls. */
static void write_file(int f) {
  const char *name = functions[f].name;
  char *call = call_of(f);
  sqlite3 *db;
  remove(db_file);
  db = open_plain(db_file);
  for( int n = 0; n < 4; n++ )
    sqlite3_create_function(db, name, n, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                            NULL, stub, NULL, NULL);
  do_sql(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY");
  do_sqlf(db,
          "CREATE TABLE y(a, \"%w\", CHECK(a IS a AND \"%w\" IS \"%w\" AND %s IS NOT NULL));"
          "CREATE TABLE k(id INTEGER PRIMARY KEY, \"%w\" CHECK(%s <> '' AND \"%w\" IS \"%w\"));"
          "CREATE TABLE \"%w\"(a, \"%w\", CHECK(a IS a AND \"%w\" IS \"%w\" AND %s <> ''));"
          "INSERT INTO y VALUES(1, 1); INSERT INTO k VALUES(1, 1); INSERT INTO \"%w\" VALUES(1, 1);"
          "CREATE TABLE log(x); INSERT INTO log VALUES(0)",
          name, name, name, call, name, call, name, name, name, name, name, name, call, name);
  close_db(db);
  sqlite3_free(call);
}

static char *state_of_process(void) {
  sqlite3 *db = open_db(":memory:");
  char *state = ask(db, "SELECT group_concat(name || is_default || precision), ner_threads()"
                        " FROM ner_models");
  close_db(db);
  return state;
}

/* SQLite that knows better refuses on its own. */
static bool is_refused(const char *found, const char *sql) {
  if( strstr(sql, "FROM pragma_") && strstr(found, "SQL logic error") )
    return true; /* no message */
  return strstr(found, "called by the database's schema") || strstr(found, "unsafe use of");
}

static void a_constraint_gets_no_call(void **state) {
  for( int f = 0; f < N_FUNCTIONS; f++ ) {
    for( int h = 0; h < N_HARMLESS; h++ ) {
      char *sql = filled(harmless[h], functions[f].name, NULL), *found;
      char *before = state_of_process(), *after;
      struct stat st;
      sqlite3 *db;
      write_file(f);
      db = open_db(db_file);
      found = ask(db, sql);
      if( strstr(found, "syntax") || strstr(found, "no such") )
        fail_msg("%s is no statement: %s", sql, found);
      if( !is_refused(found, sql) ) fail_msg("%s was not refused: %s", sql, found);
      after = state_of_process();
      assert_string_equal(after, before);
      if( stat(canary, &st) == 0 ) fail_msg("%s wrote a file", sql);
      close_db(db);
      sqlite3_free(sql);
      sqlite3_free(found);
      sqlite3_free(before);
      sqlite3_free(after);
    }
  }
}

/* A SELECT of the victim's that calls the function, not yet at its end, lends its text to no
** one. */
static void a_paused_call_is_no_excuse(void **state) {
  static const char sql[] = "SELECT ner_threads(2) FROM (VALUES(1), (2))";
  sqlite3 *db;
  sqlite3_stmt *paused = NULL;
  char *found;
  write_file(N_FUNCTIONS - 2);
  db = open_db(db_file);
  /* Newer SQLite reads no schema with such a constraint. */
  if( sqlite3_prepare_v2(db, sql, -1, &paused, NULL) == SQLITE_OK ) {
    assert_int_equal(sqlite3_step(paused), SQLITE_ROW);
    found = ask(db, "INSERT INTO y(a) VALUES(1)");
    assert_true(is_refused(found, ""));
    sqlite3_free(found);
    check(db, "SELECT ner_threads()", "2;");
  } else {
    assert_true(is_refused(sqlite3_errmsg(db), ""));
  }
  sqlite3_finalize(paused);
  close_db(db);
}

/* The legacy sqlite3_prepare() keeps no text in some versions; then no call is allowed. */
static void old_statements_are_treated_alike(void **state) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  int rc;
  write_file(0);
  db = open_db(db_file);
  rc = sqlite3_prepare(db, "INSERT INTO y(a) VALUES('ner_convert(1)')", -1, &statement, NULL);
  if( rc == SQLITE_OK ) {
    rc = sqlite3_step(statement);
    assert_int_not_equal(rc, SQLITE_DONE);
    sqlite3_finalize(statement);
  }
  close_db(db);
}

static void own_calls_work(void **state) {
  static const char *const spellings[] = {"%s(%s)", "\"%s\"(%s)", "[%s] /* ( */ (%s)",
                                          "`%s`\n-- it\n(%s)"};
  for( int f = 0; f < N_FUNCTIONS; f++ ) {
    for( int o = 0; o < N_OWN_CALLS; o++ ) {
      for( int s = 0; s < 4; s++ ) {
        sqlite3 *db = open_db(":memory:");
        char *arguments = sqlite3_mprintf(functions[f].arguments, canary);
        char *call = sqlite3_mprintf(spellings[s], functions[f].name, arguments);
        char *sql = filled(own_calls[o], functions[f].name, call), *found;
        do_sql(db, "SELECT ner_load('other', '" OTHER "'); CREATE TABLE log(x);"
                   "INSERT INTO log VALUES(0)");
        found = ask(db, sql);
        if( strstr(found, "error: ") && !strstr(found, "'other' is the default model") )
          fail_msg("%s gives %s", sql, found);
        do_sql(db, "SELECT ner_default('tiny')");
        close_db(db);
        remove(canary);
        sqlite3_free(arguments);
        sqlite3_free(call);
        sqlite3_free(sql);
        sqlite3_free(found);
      }
    }
  }
}

/* The text of ner_query() is a string of the statement that writes, which may write anywhere. */
static void a_call_in_a_string_is_none(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE log(x)");
  check_error(db, "INSERT INTO log SELECT key FROM ner_query('SELECT ner_threads(2), ''x''')",
              "call it in a SELECT of its own");
  close_db(db);
}

/* The tokenizer alone. */
static void calls_are_found(void **state) {
  static const char *const yes[] = {"SELECT f(1)",
                                    "select F (1)",
                                    "SELECT\nf\n(\n1)",
                                    "SELECT 1+f()",
                                    "SELECT \"f\"()",
                                    "SELECT '''', f()",
                                    "SELECT \"a\"\"b\", f()",
                                    "SELECT [a''b], f()",
                                    "SELECT $a(f), f()",
                                    "SELECT 1 WHERE NOT f()",
                                    "/**/SELECT/* f */f/*(*/()",
                                    "SELECT x'00', f()",
                                    "SELECT :a, f()",
                                    "SELECT 'f(', f()",
                                    "SELECT - - -- x\nf()",
                                    "SELECT 1/f()",
                                    "SELECT a./*x*/b, f()"};
  static const char *const no[] = {"",
                                   "f",
                                   "f(",
                                   "SELECT f",
                                   "SELECT 'f()'",
                                   "SELECT \"f()\"",
                                   "SELECT [f(]",
                                   "SELECT `f(`",
                                   "SELECT ff()",
                                   "SELECT f1()",
                                   "SELECT f$()",
                                   "SELECT _f()",
                                   "SELECT \xC3\xA9"
                                   "f()",
                                   "SELECT a.f()",
                                   "SELECT 1 -- f()",
                                   "SELECT 1 /* f()",
                                   "SELECT 1 /* f() */",
                                   "SELECT $f(1)",
                                   "SELECT :f(1)",
                                   "SELECT '",
                                   "SELECT \"",
                                   "SELECT [",
                                   "SELECT `",
                                   "SELECT 'f(1)",
                                   "SELECT 1 AS f(1)",
                                   "SELECT 1 FROM f(1)",
                                   "INSERT INTO f(1)",
                                   "SELECT 'f'(1)",
                                   "SELECT 1f(1)",
                                   "SELECT ?1f(1)",
                                   "SELECT 'x' \"f\"(1)",
                                   "-- f()\r SELECT f()",
                                   "SELECT /* /* */ 1 -- */ f()"};
  for( size_t i = 0; i < sizeof yes / sizeof *yes; i++ )
    if( !ner_sql_calls(yes[i], "f") ) fail_msg("no call in %s", yes[i]);
  for( size_t i = 0; i < sizeof no / sizeof *no; i++ )
    if( ner_sql_calls(no[i], "f") ) fail_msg("a call in %s", no[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_are_found),
      cmocka_unit_test(a_constraint_gets_no_call),
      cmocka_unit_test(a_paused_call_is_no_excuse),
      cmocka_unit_test(old_statements_are_treated_alike),
      cmocka_unit_test(own_calls_work),
      cmocka_unit_test(a_call_in_a_string_is_none),
  };
  unsetenv("NER_MODEL");
  setenv("NER_THREADS", "2", 1);
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
