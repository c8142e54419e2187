/*
** test_sql.c - the SQL surface through SQLite's C interface: what a shell script cannot show.
** Bound values, UTF-16, embedded NUL, ill-formed UTF-8, threads, interrupts, trust.
*/
#include <locale.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "sql/sql.h"
#include "support.h"

#define SENTENCE "Angela Merkel met Peter Hansen of Reuters in Berlin , Germany ."
#define MODEL    "models/ner-small.safetensors"

static sqlite3 *open_db(int (*init)(sqlite3 *, char **, const sqlite3_api_routines *)) {
  sqlite3 *db = NULL;
  char *message = NULL;
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  if( init(db, &message, NULL) != SQLITE_OK ) fail_msg("%s", message);
  return db;
}

static void close_db(sqlite3 *db) {
  /* Fails while the library holds a statement. */
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The rows as "a|b;c|d;", or the error's message. `text` of n_bytes is bound to the first
** parameter. */
static char *ask_bound(sqlite3 *db, const char *sql, const char *text, int n_bytes) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
  if( rc == SQLITE_OK && text ) sqlite3_bind_text(statement, 1, text, n_bytes, SQLITE_TRANSIENT);
  while( rc == SQLITE_OK || rc == SQLITE_ROW ) {
    rc = sqlite3_step(statement);
    if( rc != SQLITE_ROW ) break;
    for( int i = 0; i < sqlite3_column_count(statement); i++ ) {
      const char *value = (const char *)sqlite3_column_text(statement, i);
      sqlite3_str_appendf(out, "%s%s", i ? "|" : "", value ? value : "NULL");
    }
    sqlite3_str_appendchar(out, 1, ';');
  }
  if( rc != SQLITE_DONE ) sqlite3_str_appendf(out, "error: %s", sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  if( !sqlite3_str_length(out) ) sqlite3_str_appendall(out, "nothing");
  return sqlite3_str_finish(out);
}

static void check_bound(sqlite3 *db, const char *sql, const char *text, int n_bytes,
                        const char *expected) {
  char *found = ask_bound(db, sql, text, n_bytes);
  if( strcmp(found, expected) ) fail_msg("%s\n  gives    %s\n  expected %s", sql, found, expected);
  sqlite3_free(found);
}

static void check(sqlite3 *db, const char *sql, const char *expected) {
  check_bound(db, sql, NULL, 0, expected);
}

static void check_error(sqlite3 *db, const char *sql, const char *part) {
  char *found = ask_bound(db, sql, NULL, 0);
  if( strncmp(found, "error: ", 7) || !strstr(found, part) )
    fail_msg("%s\n  gives    %s\n  expected an error with %s", sql, found, part);
  sqlite3_free(found);
}

/* ---- values ---- */

/* Every function, every argument, every type: each call gives rows or one of our errors. */
static void any_type_anywhere(void **state) {
  static const char *const values[] = {"NULL",
                                       "0",
                                       "-7",
                                       "9223372036854775807",
                                       "1.5",
                                       "-1e300",
                                       "9e999",
                                       "''",
                                       "' '",
                                       "'x'",
                                       "'0.5'",
                                       "'first'",
                                       "'bundled'",
                                       "'[]'",
                                       "'[\"a\"]'",
                                       "'{\"a\":1}'",
                                       "x''",
                                       "x'00ff'",
                                       "zeroblob(1000)",
                                       "printf('%.*c', 5000, 'x')",
                                       "char(0)",
                                       "char(0x10ffff)",
                                       "CAST(x'ff41c3' AS TEXT)",
                                       "json('[1,2]')"};
  static const struct {
    const char *call;
    int n_args;
  } calls[] = {{"(SELECT count(*) FROM ner(%s))", 1},
               {"(SELECT count(*) FROM ner(%s,%s))", 2},
               {"(SELECT count(*) FROM ner(%s,%s,%s))", 3},
               {"(SELECT count(*) FROM ner(%s,%s,%s,%s))", 4},
               {"(SELECT count(*) FROM ner_tokens(%s))", 1},
               {"(SELECT count(*) FROM ner_tokens(%s,%s))", 2},
               {"(SELECT count(*) FROM ner_words(%s))", 1},
               {"(SELECT count(*) FROM ner_words(%s,%s))", 2},
               {"ner_json(%s)", 1},
               {"ner_json(%s,%s)", 2},
               {"ner_load(%s,%s)", 2},
               {"ner_load(%s,%s,%s)", 3},
               {"ner_unload(%s)", 1},
               {"ner_default(%s)", 1},
               {"ner_convert(%s,%s,%s)", 3}};
  sqlite3 *db = open_db(sqlite3_ner_init);
  int n_values = sizeof values / sizeof *values;
  for( size_t i = 0; i < sizeof calls / sizeof *calls; i++ ) {
    for( int arg = 0; arg < calls[i].n_args; arg++ ) {
      for( int v = 0; v < n_values; v++ ) {
        /* The other arguments are valid, so that this one is checked. */
        const char *a[4] = {"'x'", "'bundled'", "'first'", "0.5"};
        char call[400], sql[420], *found;
        if( strstr(calls[i].call, "ner_load") ) a[0] = "'n'", a[1] = "'/no/such'", a[2] = "'f32'";
        if( strstr(calls[i].call, "ner_conv") ) a[0] = "'/no'", a[1] = "'/no/such'", a[2] = "'f32'";
        a[arg] = values[v];
        sqlite3_snprintf(sizeof call, call, calls[i].call, a[0], a[1], a[2], a[3]);
        sqlite3_snprintf(sizeof sql, sql, "SELECT %s", call);
        found = ask_bound(db, sql, NULL, 0);
        if( !strncmp(found, "error: ", 7) && strncmp(found, "error: ner: ", 12) )
          fail_msg("%s gives %s", sql, found);
        if( strstr(values[v], "x'") == values[v] && strncmp(found, "error: ner: ", 12) )
          fail_msg("%s: a BLOB was taken: %s", sql, found);
        sqlite3_free(found);
      }
    }
  }
  close_db(db);
}

static void bytes_after_a_nul_count(void **state) {
  static const char text[] = "x\0 " SENTENCE;
  sqlite3 *db = open_db(sqlite3_ner_init);
  char *plain, *shifted;
  plain = ask_bound(db, "SELECT entity, start + 3, start_byte + 3 FROM ner(?1)", SENTENCE, -1);
  shifted = ask_bound(db, "SELECT entity, start, start_byte FROM ner(?1)", text, sizeof text - 1);
  assert_non_null(strstr(plain, "Berlin|48|48"));
  assert_non_null(strstr(shifted, "Berlin|48|48"));
  sqlite3_free(plain);
  sqlite3_free(shifted);
  close_db(db);
}

static void ill_formed_utf8_is_kept(void **state) {
  static const char text[] = "\xff\xc3 in Berlin , \xe2\x82 and \xed\xa0\x80 in London .";
  sqlite3 *db = open_db(sqlite3_ner_init);
  char *found = ask_bound(db, "SELECT group_concat(entity) FROM ner(?1)", text, -1);
  assert_non_null(strstr(found, "Berlin"));
  assert_non_null(strstr(found, "London"));
  sqlite3_free(found);
  check_bound(db, "SELECT json_valid(ner_json(?1))", text, -1, "1;");
  /* The slice by bytes is the entity, whatever the bytes. */
  check_bound(db,
              "SELECT min(CAST(substr(CAST(text AS BLOB), start_byte + 1, end_byte - start_byte)"
              " AS TEXT) = entity) FROM ner(?1)",
              text, -1, "1;");
  close_db(db);
}

static void json_is_always_valid(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  sqlite3_str *json = sqlite3_str_new(db);
  static const char odd[] =
      "a\"b\\c\n\r\t\x01\x1f\x7f\0\xc3\xa9\xff\xe2\x82 \xef\xbf\xbd \xf0\x9f\x98\x80";
  char *text;
  ner_sql_json_string(json, odd, sizeof odd - 1);
  text = sqlite3_str_finish(json);
  assert_string_equal(text, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\x7f\\u0000\xc3\xa9\xef\xbf\xbd"
                            "\xef\xbf\xbd \xef\xbf\xbd \xf0\x9f\x98\x80\"");
  check_bound(db, "SELECT json_valid(?1)", text, -1, "1;");
  sqlite3_free(text);
  close_db(db);
}

static void utf16_databases_are_the_same(void **state) {
  static const char sql[] =
      "SELECT entity, label, start, end, start_byte FROM"
      " ner('\xc3\x84rzte in Berlin \xf0\x9f\x98\x80 and London .', NULL, 'max')"
      " WHERE label = 'LOC'";
  sqlite3 *db = open_db(sqlite3_ner_init), *wide = open_db(sqlite3_ner_init);
  char *found;
  check(wide, "PRAGMA encoding = 'UTF-16'", "nothing");
  check(wide, "CREATE TABLE t(x)", "nothing");
  check(wide, "PRAGMA encoding", "UTF-16le;");
  found = ask_bound(db, sql, NULL, 0);
  assert_non_null(strstr(found, "Berlin|LOC|9|15|10"));
  check(wide, sql, found);
  check(wide,
        "SELECT min(entity = substr(text, start + 1, end - start)) FROM"
        " ner('\xc3\x84rzte in Berlin \xf0\x9f\x98\x80 and London .')",
        "1;");
  check(wide, "SELECT word FROM ner_words('[\"\xc3\xa9\",\"b\"]')", "\xc3\xa9;b;");
  sqlite3_free(found);
  close_db(db);
  close_db(wide);
}

static void statements_can_be_run_again(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM ner(?1)", -1, &statement, NULL), 0);
  for( int i = 0; i < 6; i++ ) {
    if( i % 3 == 2 )
      sqlite3_bind_blob(statement, 1, "ab", 2, SQLITE_STATIC);
    else if( i % 3 == 1 )
      sqlite3_bind_null(statement, 1);
    else
      sqlite3_bind_text(statement, 1, SENTENCE, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), i % 3 == 2 ? SQLITE_ERROR : SQLITE_ROW);
    if( i % 3 == 0 ) assert_true(sqlite3_column_int(statement, 0) >= 3);
    if( i % 3 == 1 ) assert_int_equal(sqlite3_column_int(statement, 0), 0);
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  close_db(db);
}

/* ---- threads ---- */

struct worker {
  pthread_t thread;
  const char *expected;
  char *wrong;
};

#define WORK                                                                                       \
  "SELECT n.entity, n.label, n.score, ner_json(n.text) FROM ner('" SENTENCE "') n"                 \
  " UNION ALL SELECT word, label, score, scores FROM ner_words('[\"Berlin\",\"in\",\"Bonn\"]')"

static void *work(void *arg) {
  struct worker *worker = arg;
  sqlite3 *db = open_db(sqlite3_ner_init);
  for( int i = 0; i < 10 && !worker->wrong; i++ ) {
    char *found = ask_bound(db, WORK, NULL, 0);
    if( strcmp(found, worker->expected) )
      worker->wrong = found;
    else
      sqlite3_free(found);
  }
  close_db(db);
  return NULL;
}

static void *meddle(void *arg) {
  struct worker *worker = arg;
  sqlite3 *db = open_db(sqlite3_ner_init);
  for( int i = 0; i < 10 && !worker->wrong; i++ ) {
    char *found = ask_bound(db,
                            "SELECT ner_load('m', '" MODEL "'), ner_default('m'),"
                            " ner_default('bundled'), ner_unload('m')",
                            NULL, 0);
    if( strcmp(found, "m|m|bundled|m;") )
      worker->wrong = found;
    else
      sqlite3_free(found);
  }
  close_db(db);
  return NULL;
}

static void threads_and_connections_agree(void **state) {
  struct worker worker[5] = {{0}};
  sqlite3 *db = open_db(sqlite3_ner_init);
  char *expected = ask_bound(db, WORK, NULL, 0);
  assert_null(strstr(expected, "error"));
  for( int i = 0; i < 5; i++ ) {
    worker[i].expected = expected;
    assert_int_equal(pthread_create(&worker[i].thread, NULL, i ? work : meddle, &worker[i]), 0);
  }
  for( int i = 0; i < 5; i++ ) pthread_join(worker[i].thread, NULL);
  for( int i = 0; i < 5; i++ )
    if( worker[i].wrong ) fail_msg("%s\n%s", worker[i].wrong, expected);
  check(db, "SELECT count(*) FROM ner_models WHERE is_default", "1;");
  sqlite3_free(expected);
  close_db(db);
}

/* ---- interrupts ---- */

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Takes minutes to label: a test that misses its interrupt is noticed. */
static char *long_text(size_t *n_bytes) {
  size_t n = strlen(SENTENCE " "), times = 40000;
  char *text = malloc(n * times + 1);
  assert_non_null(text);
  for( size_t i = 0; i < times; i++ ) memcpy(text + i * n, SENTENCE " ", n);
  *n_bytes = n * times;
  text[*n_bytes] = 0;
  return text;
}

struct interrupter {
  sqlite3 *db;
  double at_ms;
};
static void *interrupt_soon(void *arg) {
  struct interrupter *i = arg;
  usleep(300 * 1000);
  i->at_ms = now_ms();
  sqlite3_interrupt(i->db);
  return NULL;
}

static int forbid_recursion(void *arg, int action, const char *a, const char *b, const char *c,
                            const char *d) {
  return action == SQLITE_RECURSIVE ? SQLITE_DENY : SQLITE_OK;
}

static void interrupt_is_felt(sqlite3 *db, const char *sql) {
  struct interrupter interrupter = {db, 0};
  pthread_t thread;
  size_t n;
  char *text = long_text(&n), *found;
  double late_ms;
  pthread_create(&thread, NULL, interrupt_soon, &interrupter);
  found = ask_bound(db, sql, text, (int)n);
  late_ms = now_ms();
  pthread_join(thread, NULL);
  late_ms -= interrupter.at_ms;
  assert_string_equal(found, "error: interrupted");
  print_message("interrupt felt after %.0f ms\n", late_ms);
  sqlite3_free(found);
  free(text);
  check(db, "SELECT count(*) > 0 FROM ner('" SENTENCE "')", "1;");
}

static void interrupts_are_felt(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  interrupt_is_felt(db, "SELECT count(*) FROM ner(?1)");
  interrupt_is_felt(db, "SELECT length(ner_json(?1))");
  sqlite3_set_authorizer(db, forbid_recursion, NULL);
  interrupt_is_felt(db, "SELECT count(*) FROM ner_tokens(?1)");
  close_db(db);
}

struct interrupt_call {
  sqlite3 *db;
  int calls;
};
static int interrupt_at_first_call(void *arg) {
  struct interrupt_call *at = arg;
  if( at->calls++ == 0 ) sqlite3_interrupt(at->db);
  return 0;
}

/* SQLite reports "interrupted" after the whole text, too. Each probe calls the handler some four
** times, so few calls mean that the first interrupt ended the computation. */
static void the_first_answer_ends_it(void **state) {
  struct interrupt_call at = {open_db(sqlite3_ner_init), 0};
  size_t n;
  char *text = long_text(&n);
  sqlite3_progress_handler(at.db, 1000, interrupt_at_first_call, &at);
  check_bound(at.db, "SELECT count(*) FROM ner(?1)", text, (int)n, "error: interrupted");
  assert_in_range(at.calls, 1, 8);
  free(text);
  close_db(at.db);
}

static int after_some_calls(void *arg) {
  return --*(int *)arg <= 0;
}

static void progress_handlers_are_called(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  size_t n;
  char *text = long_text(&n);
  int calls = 3;
  double begin_ms = now_ms();
  sqlite3_progress_handler(db, 1000, after_some_calls, &calls);
  check_bound(db, "SELECT count(*) FROM ner(?1)", text, (int)n, "error: interrupted");
  print_message("progress handler stopped it after %.0f ms\n", now_ms() - begin_ms);
  sqlite3_progress_handler(db, 0, NULL, NULL);
  check(db, "SELECT count(*) > 0 FROM ner('" SENTENCE "')", "1;");
  free(text);
  close_db(db);
}

/* ---- what the host sees of the probe ---- */

struct seen {
  int n_statements, n_recursions;
};
static int count_statement(unsigned type, void *arg, void *statement, void *sql) {
  ((struct seen *)arg)->n_statements++;
  return 0;
}
static int count_recursion(void *arg, int action, const char *a, const char *b, const char *c,
                           const char *d) {
  if( action == SQLITE_RECURSIVE ) ((struct seen *)arg)->n_recursions++;
  return SQLITE_OK;
}

/* A trace and an authorizer see one probe in a long computation, and none in a short one. */
static void a_trace_shows_one_probe(void **state) {
  const int n_bytes = TEST_LASTING(20000);
  char *many = sqlite3_mprintf(
      "SELECT count(*) FROM ner_query('WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1"
      " FROM c WHERE i < %d) SELECT i, ''Angela Merkel met Peter Hansen in Berlin '' || i FROM c')",
      TEST_LASTING(400));
  struct seen seen = {0};
  sqlite3 *db = open_db(sqlite3_ner_init);
  size_t n;
  char *text = long_text(&n);
  double begin_ms = now_ms();
  check_bound(db, "SELECT count(*) > 0 FROM ner(?1)", text, n_bytes, "1;");
  print_message("# a text of %.0f ms\n", now_ms() - begin_ms);
  assert_true(now_ms() - begin_ms > 60);
  sqlite3_trace_v2(db, SQLITE_TRACE_STMT, count_statement, &seen);
  sqlite3_set_authorizer(db, count_recursion, &seen);
  begin_ms = now_ms();
  check(db, "SELECT count(*) > 0 FROM ner('" SENTENCE "')", "1;");
  if( now_ms() - begin_ms < 50 ) { /* on a busy machine it may be a long one */
    assert_int_equal(seen.n_statements, 1);
    assert_int_equal(seen.n_recursions, 0);
  }
  seen = (struct seen){0};
  check_bound(db, "SELECT count(*) > 0 FROM ner(?1)", text + 65, n_bytes, "1;");
  assert_int_equal(seen.n_statements, 2);
  assert_int_equal(seen.n_recursions, 1);
  seen = (struct seen){0};
  sqlite3_free(ask_bound(db, many, NULL, 0));
  assert_in_range(seen.n_statements, 2, 3); /* the statement, its SELECT, the probe */
  assert_in_range(seen.n_recursions, 1, 2);
  sqlite3_free(many);
  free(text);
  close_db(db);
}

/* ---- trust ---- */

static void a_distrusted_schema_can_infer_and_no_more(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  check(db, "PRAGMA trusted_schema = OFF", "nothing");
  check(db, "CREATE TABLE docs(body)", "nothing");
  check(db, "CREATE TABLE found(entity, label)", "nothing");
  check(db, "CREATE VIEW v AS SELECT n.entity FROM docs, ner(docs.body) n", "nothing");
  check(db,
        "CREATE VIEW w AS SELECT length(ner_json(body)) > 2,"
        " (SELECT count(*) > 0 FROM ner_tokens(body)),"
        " (SELECT count(*) FROM ner_words('[\"' || body || '\"]')) FROM docs",
        "nothing");
  check(db,
        "CREATE TRIGGER t AFTER INSERT ON docs BEGIN"
        " INSERT INTO found SELECT entity, label FROM ner(new.body) WHERE label = 'LOC'; END",
        "nothing");
  check(db, "INSERT INTO docs VALUES('" SENTENCE "')", "nothing");
  check(db, "SELECT count(*) > 0, min(label) FROM found", "1|LOC;");
  check(db, "SELECT count(*) > 0 FROM v", "1;");
  check(db, "SELECT * FROM w", "1|1|1;");
  static const char *const calls[] = {
      "ner_load('a','b')", "ner_load('a','b','f32')",    "ner_unload('a')",
      "ner_default('a')",  "ner_convert('a','b','f32')", "ner_threads(1)"};
  for( size_t i = 0; i < sizeof calls / sizeof *calls; i++ ) {
    char sql[200];
    sqlite3_snprintf(sizeof sql, sql, "CREATE VIEW bad%d AS SELECT %s AS x", (int)i, calls[i]);
    check(db, sql, "nothing");
    for( int trusted = 0; trusted < 2; trusted++ ) {
      check(db, trusted ? "PRAGMA trusted_schema = ON" : "PRAGMA trusted_schema = OFF", "nothing");
      sqlite3_snprintf(sizeof sql, sql, "SELECT x FROM bad%d", (int)i);
      check_error(db, sql, "unsafe use of");
    }
  }
  close_db(db);
}

static void nothing_of_ours_is_for_indexes(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  check(db, "CREATE TABLE t(x)", "nothing");
  check_error(db, "CREATE INDEX i ON t(ner_json(x))", "non-deterministic");
  check_error(db, "CREATE TABLE u(x, y AS (ner_json(x)))", "non-deterministic");
  close_db(db);
}

/* Turkish, where the small letter of I is not i; German, where a number has a comma. */
static void the_locale_does_not_matter(void **state) {
  static const char *const locales[] = {"tr_TR.ISO-8859-9", "tr_TR.iso88599", "tr_TR.UTF-8",
                                        "tr_TR.utf8",       "tr_TR",          "de_DE.UTF-8",
                                        "de_DE.utf8"};
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], sql[2 * TEST_PATH];
  sqlite3 *db = open_db(sqlite3_ner_init);
  int n_there = 0;
  tiny.id2label = "{\"0\":\"I-IBIS\",\"1\":\"I-IBIS\",\"2\":\"I-IBIS\"}";
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  for( size_t i = 0; i < sizeof locales / sizeof *locales; i++ ) {
    if( !setlocale(LC_ALL, locales[i]) ) continue;
    n_there++;
    sqlite3_snprintf((int)sizeof sql, sql,
                     "SELECT ner_load('I_ibis', '%q', 'INT8') IS NULL, ner_redact('Anna', 'ibis',"
                     " 'I_ibis'), instr(ner_html('Anna', 'I_ibis'), 'class=\"ner-ibis\"') > 0,"
                     " ner_unload('I_ibis') IS NULL",
                     dir);
    check(db, sql, "0|[IBIS]|1|0;");
    check(db, "SELECT count(*) FROM ner_query('WITH x(i) AS (VALUES(1)) SELECT i, ''x'' FROM x')",
          "0;");
    check_error(db, "SELECT * FROM ner('x', NULL, NULL, 1.25)", "the threshold is 1.25;");
    check_error(db, "SELECT * FROM ner('x', NULL, NULL, -1e300)", "the threshold is -1e+300;");
  }
  setlocale(LC_ALL, "C");
  test_dir_remove(dir);
  close_db(db);
  if( n_there == 0 ) {
    print_message("# no Turkish or German locale is installed\n");
    skip();
  }
}

static void the_safe_entry_point_only_infers(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_safe_init);
  check(db,
        "SELECT group_concat(name) FROM (SELECT DISTINCT name FROM pragma_function_list"
        " WHERE name LIKE 'ner%' ORDER BY 1)",
        "ner,ner_html,ner_json,ner_redact,ner_tokens,ner_version,ner_words;");
  check(db,
        "SELECT group_concat(name) FROM (SELECT name FROM pragma_module_list"
        " WHERE name LIKE 'ner%' ORDER BY 1)",
        "ner,ner_tokens,ner_words;");
  check(db, "SELECT count(*) > 0 FROM ner('" SENTENCE "')", "1;");
  check_error(db, "SELECT * FROM ner('x', '" MODEL "')", "no model is called");
  close_db(db);
}

static void the_extension_can_be_loaded_twice(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  char *message = NULL;
  assert_int_equal(sqlite3_ner_init(db, &message, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_ner_safe_init(db, &message, NULL), SQLITE_OK);
  check(db,
        "SELECT ner_version() = '" NER_VERSION "' OR ner_version() GLOB '" NER_VERSION
        "+[0-9a-f]*'",
        "1;");
  close_db(db);
}

/* Does what SELECT load_extension(...) does, without a file. */
static void load_again(sqlite3_context *context, int n, sqlite3_value **arg) {
  char *message = NULL;
  bool safe = sqlite3_value_int(arg[0]);
  int rc = (safe ? sqlite3_ner_safe_init : sqlite3_ner_init)(sqlite3_context_db_handle(context),
                                                             &message, NULL);
  if( rc == SQLITE_OK )
    sqlite3_result_int(context, 1);
  else
    sqlite3_result_error(context, message ? message : "", -1);
  sqlite3_free(message);
}

static void a_version(sqlite3_context *context, int n, sqlite3_value **arg) {
  sqlite3_result_int(context, 1);
}

#define WHAT_IS_THERE                                                                              \
  "SELECT group_concat(name || narg) FROM (SELECT name, narg FROM pragma_function_list"            \
  " WHERE name LIKE 'ner%' UNION SELECT name, 'table' FROM pragma_module_list"                     \
  " WHERE name LIKE 'ner%' ORDER BY 1, 2)"

static void it_can_be_loaded_from_within_a_statement(void **state) {
  static const char *const orders[] = {"SELECT load_again(0)", "SELECT load_again(1)",
                                       "SELECT load_again(0), load_again(0), load_again(1)",
                                       "SELECT load_again(1), load_again(1), load_again(0)"};
  sqlite3 *full = open_db(sqlite3_ner_init), *safe = open_db(sqlite3_ner_safe_init);
  char *all = ask_bound(full, WHAT_IS_THERE, NULL, 0);
  char *few = ask_bound(safe, WHAT_IS_THERE, NULL, 0);
  close_db(full);
  close_db(safe);
  for( int first = 0; first < 3; first++ )
    for( int i = 0; i < 4; i++ ) {
      sqlite3 *db = NULL;
      char *found;
      assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
      if( first < 2 )
        assert_int_equal((first ? sqlite3_ner_safe_init : sqlite3_ner_init)(db, NULL, NULL), 0);
      sqlite3_create_function(db, "load_again", 1, SQLITE_UTF8, NULL, load_again, NULL, NULL);
      found = ask_bound(db, orders[i], NULL, 0);
      if( strstr(found, "error") ) fail_msg("%d %s: %s", first, orders[i], found);
      sqlite3_free(found);
      check(db, WHAT_IS_THERE, i == 1 && first > 0 ? few : all);
      check(db, "SELECT count(*) > 0, ner_json('x') FROM ner('" SENTENCE "')", "1|[];");
      close_db(db);
    }
  {
    sqlite3 *db = open_db(sqlite3_ner_init);
    assert_int_equal(sqlite3_ner_safe_init(db, NULL, NULL), SQLITE_OK);
    sqlite3_create_function(db, "load_again", 1, SQLITE_UTF8, NULL, load_again, NULL, NULL);
    check(db, "SELECT load_again(0), load_again(1)", "1|1;");
    check(db, WHAT_IS_THERE, all);
    close_db(db);
  }
  /* Another function of that name cannot be replaced now; the message says so. */
  {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlite3_create_function(db, "load_again", 1, SQLITE_UTF8, NULL, load_again, NULL, NULL);
    sqlite3_create_function(db, "ner_version", 0, SQLITE_UTF8, NULL, a_version, NULL, NULL);
    check_error(db, "SELECT load_again(0)", "ner: another copy of this library");
    close_db(db);
  }
  sqlite3_free(all);
  sqlite3_free(few);
}

/* NER_MODEL names no model: ner_models shows the error, and what needs no default works. */
static void a_default_that_cannot_be_opened_is_shown(void **state) {
  sqlite3 *db = open_db(sqlite3_ner_init);
  assert_int_equal(setenv("NER_MODEL", "/no/such/model", 1), 0);
  check(db,
        "SELECT name, path, layers, is_default, error LIKE '%''/no/such/model''%' FROM ner_models"
        " WHERE is_default",
        "NER_MODEL|/no/such/model|NULL|1|1;");
  check(db, "SELECT count(*) = count(DISTINCT rowid) FROM ner_models", "1;");
  check(db, "SELECT ner_load('named', '" MODEL "')", "named;");
  check(db, "SELECT layers > 0, is_default, error FROM ner_models WHERE name = 'named'",
        "1|0|NULL;");
  check_error(db, "SELECT ner_json('x')", "NER_MODEL: '/no/such/model' does not exist");
  check(db, "SELECT ner_unload('named')", "named;");
  unsetenv("NER_MODEL");
  close_db(db);
}

/* Messages are well-formed UTF-8, whatever an argument holds. */
static void messages_are_well_formed(void **state) {
  static const char *const calls[] = {"SELECT ner_json('x', ?)",
                                      "SELECT * FROM ner('x', ?)",
                                      "SELECT * FROM ner('x', NULL, ?)",
                                      "SELECT * FROM ner('x', NULL, NULL, ?)",
                                      "SELECT ner_redact('x', ?)",
                                      "SELECT * FROM ner_words(?)",
                                      "SELECT * FROM ner_query(?)",
                                      "SELECT * FROM ner_query('SELECT 1, 2; ' || ?)",
                                      "SELECT * FROM ner_enrich(?, 'x')",
                                      "SELECT ner_load(?, 'x')",
                                      "SELECT ner_load('x', ?)",
                                      "SELECT ner_load('x', 'x', ?)",
                                      "SELECT ner_unload(?)",
                                      "SELECT ner_default(?)",
                                      "SELECT ner_convert(?, 'x', 'f32')",
                                      "SELECT ner_convert('x', 'y', ?)"};
  sqlite3 *db = open_db(sqlite3_ner_init);
  for( size_t i = 0; i < sizeof calls / sizeof *calls; i++ )
    for( int shift = 0; shift < 4; shift++ )
      for( int kind = 0; kind < 3; kind++ ) {
        sqlite3_str *text = sqlite3_str_new(NULL);
        char *value, *found;
        sqlite3_str_appendchar(text, shift, 'x');
        for( int n = 0; n < 300; n++ )
          sqlite3_str_appendall(text, kind == 0   ? "\xC3\xA9"
                                      : kind == 1 ? "\xF0\x9F\x98\x80"
                                                  : "\xFF");
        value = sqlite3_str_finish(text);
        found = ask_bound(db, calls[i], value, -1);
        if( strncmp(found, "error: ner: ", 12) ) fail_msg("%s: %s", calls[i], found);
        for( uint32_t at = 0, n_bytes = (uint32_t)strlen(found); at < n_bytes; ) {
          uint32_t begin = at;
          if( ner_utf8_next((unsigned char *)found, n_bytes, &at) == 0xFFFD && at - begin != 3 )
            fail_msg("%s: ill-formed at byte %u of %s", calls[i], begin, found);
        }
        sqlite3_free(value);
        sqlite3_free(found);
      }
  close_db(db);
}

/* A text is a threshold if it reads as a number. Arguments are copies, for which
** sqlite3_value_numeric_type() crashes in some versions of SQLite. */
static void thresholds_may_be_text(void **state) {
  static const char *const good[] = {"0.5", "1", " .5 ", "5e-1", "+1.", "0.5E0"};
  static const char *const bad[] = {"", " ", ".", "-", "e1", "1e", "0.5x", "0x1", "1 2", "nan"};
  sqlite3 *db = open_db(sqlite3_ner_init);
  (void)state;
  for( size_t i = 0; i < sizeof good / sizeof *good; i++ )
    check_bound(db, "SELECT count(*) FROM ner('x', 'bundled', 'first', ?)", good[i], -1, "0;");
  for( size_t i = 0; i < sizeof bad / sizeof *bad; i++ ) {
    char want[120];
    snprintf(want, sizeof want,
             "error: ner: the threshold '%s' is not a number; give one from 0 to 1", bad[i]);
    check_bound(db, "SELECT count(*) FROM ner('x', 'bundled', 'first', ?)", bad[i], -1, want);
  }
  close_db(db);
}

/* A label with a prefix that joins nothing, "S-PER", gives entities called "PER". Constraints and
** lists of labels use that name; with another they would silently find nothing. */
static void labels_go_by_the_name_that_is_shown(void **state) {
  struct tiny tiny = tiny_distilbert();
  sqlite3 *db = open_db(sqlite3_ner_init);
  char dir[TEST_PATH];
  (void)state;
  tiny.id2label = "{\"0\":\"S-PER\",\"1\":\"S-PER\",\"2\":\"S-PER\"}";
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  check_bound(db, "SELECT ner_load('shown', ?)", dir, -1, "shown;");
  check_bound(db, "SELECT entity, label FROM ner('Anna lives', 'shown') WHERE label = ?", "PER", -1,
              "Anna lives|PER;");
  check_bound(db, "SELECT ner_redact('Anna lives', ?, 'shown')", "PER", -1, "[PER];");
  check_bound(db, "SELECT ner_redact('Anna lives', ?, 'shown')", "S-PER", -1, "[PER];");
  check_bound(db, "SELECT ner_redact('Anna lives', ?, 'shown')", "B-PER", -1,
              "error: ner: label 'B-PER' is not one of the model's; its labels are PER");
  check_bound(db, "SELECT ner_unload(?)", "shown", -1, "shown;");
  close_db(db);
  test_dir_remove(dir);
}

/* PER-B, PER-I: `first` names entities as Hugging Face does, by what stands behind the '-';
** strict, and the functions that are told no aggregation, by their type. */
static void schemes_are_read(void **state) {
  struct tiny tiny = tiny_distilbert();
  sqlite3 *db = open_db(sqlite3_ner_init);
  char dir[TEST_PATH];
  (void)state;
  tiny.id2label = "{\"0\":\"PER-B\",\"1\":\"PER-I\",\"2\":\"LOC-B\"}";
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  check_bound(db, "SELECT ner_load('behind', ?)", dir, -1, "behind;");
  check(db, "SELECT name, scheme FROM ner_models WHERE name = 'behind'", "behind|BIO (suffix);");
  check(db,
        "SELECT count(*) > 0, min(label IN ('B', 'I')) FROM ner('Anna lives in Rome', 'behind')",
        "1|1;");
  check(db,
        "SELECT count(*) > 0, min(label IN ('PER', 'LOC'))"
        " FROM ner('Anna lives in Rome', 'behind', 'strict')",
        "1|1;");
  check(db,
        "SELECT count(*) FROM ner('Anna lives in Rome', 'behind', 'strict') WHERE label IN"
        " (SELECT DISTINCT label FROM ner('Anna lives in Rome', 'behind', 'strict')) EXCEPT"
        " SELECT count(*) FROM ner('Anna lives in Rome', 'behind', 'strict')",
        "nothing");
  check(db,
        "SELECT (SELECT json_group_array(label) FROM ner('Anna lives in Rome', 'behind', 'strict'))"
        " = (SELECT json_group_array(value ->> 'label')"
        " FROM json_each(ner_json('Anna lives in Rome', 'behind')))",
        "1;");
  check(db, "SELECT ner_redact('Anna lives in Rome', 'PER,LOC', 'behind') LIKE '[%]'", "1;");
  check(db, "SELECT ner_redact('Anna lives in Rome', 'B', 'behind')",
        "error: ner: label 'B' is not one of the model's; its labels are PER, LOC");
  check(db, "SELECT ner_unload('behind')", "behind;");
  close_db(db);
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_default_that_cannot_be_opened_is_shown), /* before one is chosen */
      cmocka_unit_test(any_type_anywhere),
      cmocka_unit_test(bytes_after_a_nul_count),
      cmocka_unit_test(ill_formed_utf8_is_kept),
      cmocka_unit_test(json_is_always_valid),
      cmocka_unit_test(utf16_databases_are_the_same),
      cmocka_unit_test(statements_can_be_run_again),
      cmocka_unit_test(threads_and_connections_agree),
      cmocka_unit_test(interrupts_are_felt),
      cmocka_unit_test(the_first_answer_ends_it),
      cmocka_unit_test(progress_handlers_are_called),
      cmocka_unit_test(a_trace_shows_one_probe),
      cmocka_unit_test(a_distrusted_schema_can_infer_and_no_more),
      cmocka_unit_test(nothing_of_ours_is_for_indexes),
      cmocka_unit_test(labels_go_by_the_name_that_is_shown),
      cmocka_unit_test(schemes_are_read),
      cmocka_unit_test(thresholds_may_be_text),
      cmocka_unit_test(the_locale_does_not_matter),
      cmocka_unit_test(the_safe_entry_point_only_infers),
      cmocka_unit_test(the_extension_can_be_loaded_twice),
      cmocka_unit_test(it_can_be_loaded_from_within_a_statement),
      cmocka_unit_test(messages_are_well_formed),
  };
  unsetenv("NER_MODEL");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
