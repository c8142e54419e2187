/*
** test_query.c - many texts in one statement: ner_query(), text IN (...), joins. Their rows are
** those of ner() text by text, whatever the batches, the prefetching and the number of threads.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/wait.h>
#include "enrich.h"
#include "fork.h"
#include "sql/batch.h"

static unsigned seed;
static unsigned roll(unsigned n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

/* ---- the same rows as text by text ---- */

/* All kinds of values: duplicates, NULL, empty texts, numbers and texts that look like them, texts
** of several windows, ill-formed UTF-8. */
static void make_texts(sqlite3 *db, int n) {
  static const char *const words[] = {
      "Angela", "met",   "Reuters",           "in",       "Berlin",
      ",",      "Rome",  "\xC3\xA9t\xC3\xA9", "42",       "\xF0\x9F\x98\x80",
      "\xFF",   "[SEP]", "O'Neill",           "unusually"};
  static const char *const odd[] = {"", "007", "1e3", " ", "1984", "0.50", "Berlin", "NULL"};
  sqlite3_stmt *insert;
  do_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, body); CREATE INDEX by_body ON docs(body);"
             "CREATE TABLE one(id, entity, label, score, start, end)");
  sqlite3_prepare_v2(db, "INSERT INTO docs(body) VALUES(?)", -1, &insert, NULL);
  do_sql(db, "BEGIN");
  for( int i = 0; i < n; i++ ) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    unsigned kind = roll(20), n_words = kind == 0 ? 400 + roll(600) : 1 + roll(kind < 10 ? 4 : 20);
    for( unsigned w = 0; w < n_words; w++ )
      sqlite3_str_appendf(text, "%s%s", w ? " " : "", words[roll(14)]);
    if( kind == 1 )
      sqlite3_bind_null(insert, 1);
    else if( kind == 2 )
      sqlite3_bind_double(insert, 1, roll(2) ? (double)roll(100) : roll(100) / 8.0);
    else if( kind == 3 )
      sqlite3_bind_text(insert, 1, odd[roll(8)], -1, SQLITE_STATIC);
    else
      sqlite3_bind_text(insert, 1, sqlite3_str_value(text), -1, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
    sqlite3_reset(insert);
    sqlite3_free(sqlite3_str_finish(text));
  }
  do_sql(db, "COMMIT");
  sqlite3_finalize(insert);
}

/* Fills the table `one`, with a statement for each text. */
static void label_one_by_one(sqlite3 *db, const char *options, const char *where) {
  sqlite3_stmt *read, *write;
  char *sql = sqlite3_mprintf("INSERT INTO one SELECT ?1, entity, label, score, start, \"end\""
                              " FROM ner(?2%s) WHERE %s",
                              options, where);
  do_sql(db, "DELETE FROM one; BEGIN");
  assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &write, NULL), SQLITE_OK);
  sqlite3_prepare_v2(db, "SELECT id, body FROM docs", -1, &read, NULL);
  while( sqlite3_step(read) == SQLITE_ROW ) {
    sqlite3_bind_value(write, 1, sqlite3_column_value(read, 0));
    sqlite3_bind_value(write, 2, sqlite3_column_value(read, 1));
    assert_int_equal(sqlite3_step(write), SQLITE_DONE);
    sqlite3_reset(write);
  }
  sqlite3_finalize(read);
  sqlite3_finalize(write);
  sqlite3_free(sql);
  do_sql(db, "COMMIT");
}

/* Checks that `sql` gives the rows of `one` (id, entity, label, score, start, end), each as
** often. */
static void check_same(sqlite3 *db, const char *sql) {
  char *all =
      sqlite3_mprintf("WITH other(id, entity, label, score, start, end) AS (%s),"
                      " a AS (SELECT *, count(*) FROM one GROUP BY 1, 2, 3, 4, 5, 6),"
                      " b AS (SELECT *, count(*) FROM other GROUP BY 1, 2, 3, 4, 5, 6)"
                      " SELECT (SELECT count(*) FROM (SELECT * FROM a EXCEPT SELECT * FROM b)),"
                      " (SELECT count(*) FROM (SELECT * FROM b EXCEPT SELECT * FROM a))",
                      sql);
  check(db, all, "0|0;");
  sqlite3_free(all);
}

static void many_are_as_one_by_one(void **state) {
  static const struct {
    const char *options, *where;
  } cases[] = {{"", "1"},
               {", 'other'", "label = 'LOC'"},
               {", NULL, 'simple'", "score > 0.3"},
               {", 'tiny', 'average', 0.2", "score >= 0.25 AND label = 'PER'"},
               {", NULL, 'max'", "label IN ('PER', 'ORG') OR score > 0.6"},
               {"", "label = 'nothing'"}};
  static const char *const ways[] = {
      "SELECT d.id, n.entity, n.label, n.score, n.start, n.end FROM docs AS d, ner(d.body%s) AS n"
      " WHERE %s",
      "SELECT key, entity, label, score, start, end FROM ner_query('SELECT id, body FROM docs'%s)"
      " WHERE %s",
      "SELECT key, entity, label, score, start, end FROM"
      " ner_query('SELECT id, body FROM docs ORDER BY body, id DESC'%s) WHERE %s",
      /* A list has each value once; the join finds all its rows again. */
      "SELECT d.id, n.entity, n.label, n.score, n.start, n.end FROM ner AS n JOIN docs AS d ON"
      " d.body = n.text%s WHERE n.text IN (SELECT body FROM docs) AND (%s)",
      "SELECT d.id, n.entity, n.label, n.score, n.start, n.end FROM docs AS d CROSS JOIN ner AS n"
      " ON n.text IN (d.body, NULL, d.body)%s WHERE %s"};
  for( unsigned i = 0; i < 12; i++ ) {
    const char *options = cases[i % 6].options, *where = cases[i % 6].where;
    sqlite3 *db = open_db(":memory:");
    seed = i;
    if( i >= 6 ) do_sql(db, "PRAGMA encoding = 'UTF-16'");
    make_texts(db, TEST_UP_TO(160, 60));
    do_sql(db, "SELECT ner_threads(1)");
    label_one_by_one(db, options, where);
    do_sqlf(db, "SELECT ner_threads(%d)", 1 + i % 2);
    for( size_t w = 0; w < sizeof ways / sizeof *ways; w++ ) {
      char *sql, *in = NULL;
      if( w >= 3 ) /* as constraints */
        in = strstr(options, "average")
                 ? sqlite3_mprintf(
                       " AND n.model = 'tiny' AND n.aggregation = 'average' AND n.threshold = 0.2")
             : strstr(options, "other")  ? sqlite3_mprintf(" AND n.model = 'other'")
             : strstr(options, "simple") ? sqlite3_mprintf(" AND n.aggregation = 'simple'")
             : strstr(options, "max")    ? sqlite3_mprintf(" AND n.aggregation = 'max'")
                                         : sqlite3_mprintf("");
      sql = sqlite3_mprintf(ways[w], in ? in : options, where);
      check_same(db, sql);
      sqlite3_free(sql);
      sqlite3_free(in);
    }
    if( strcmp(where, "label = 'nothing'") )
      check(db, TEST_UP_TO("SELECT count(*) > 100 FROM one", "SELECT count(*) > 10 FROM one"), "1;");
    close_db(db);
  }
}

static void lists_keep_their_values(void **state) {
  sqlite3 *db = open_db(":memory:");
  check(db,
        "SELECT text, group_concat(token, '') FROM ner_tokens WHERE text IN ('007', '1.50', 7)"
        " GROUP BY text ORDER BY typeof(text), 1",
        "7|7;007|0##0##7;1.50|1.5##0;");
  close_db(db);
}

static void equal_texts_are_labelled_once(void **state) {
  sqlite3 *db = open_db(":memory:");
  sqlite3_stmt *statement;
  check(db,
        "SELECT count(*) FROM ner_query('VALUES(1, ''Rome''), (2, ''Rome''), (3, ''Rome'')')"
        " GROUP BY entity, score",
        "3;");
  /* If each text were labelled by itself, this would take minutes. */
  assert_int_equal(sqlite3_prepare_v2(
                       db,
                       "SELECT count(*) FROM ner_query('WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL"
                       " SELECT i + 1 FROM c WHERE i < 20000)"
                       " SELECT i, ''Angela Merkel met Peter Hansen of Reuters in Berlin'' FROM c',"
                       " 'bundled')",
                       -1, &statement, NULL),
                   SQLITE_OK);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_int_equal(sqlite3_column_int(statement, 0) % 20000, 0);
  assert_true(sqlite3_column_int(statement, 0) > 0);
  sqlite3_finalize(statement);
  close_db(db);
}

/* ---- what is read, and when ---- */

static int n_read;
static void counted(sqlite3_context *context, int n, sqlite3_value **arg) {
  n_read++;
  sqlite3_result_value(context, arg[0]);
}

static sqlite3 *open_counted(int n_docs) {
  sqlite3 *db = open_db(":memory:");
  sqlite3_create_function(db, "counted", 1, SQLITE_UTF8, NULL, counted, NULL, NULL);
  do_sql(db, "SELECT ner_threads(3)");
  make_docs(db, n_docs);
  n_read = 0;
  return db;
}

#define COUNTED "SELECT * FROM ner_query('SELECT counted(id), body FROM docs')"

static void a_limit_is_used(void **state) {
  sqlite3 *db = open_counted(5000);
  sqlite3_stmt *statement;
  int with_limit, all;
  do_sql(db, COUNTED " LIMIT 3");
  assert_in_range(n_read, 1, 40);
  n_read = 0;
  do_sql(db, COUNTED " WHERE label = 'nothing'"); /* the model has no such label */
  assert_int_equal(n_read, 0);
  do_sql(db, COUNTED " LIMIT 250 OFFSET 150");
  with_limit = n_read;
  n_read = 0;
  assert_int_equal(sqlite3_prepare_v2(db, COUNTED, -1, &statement, NULL), SQLITE_OK);
  for( int i = 0; i < 400; i++ ) assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  sqlite3_finalize(statement);
  /* Without a LIMIT rows are prefetched. */
  assert_true(with_limit < n_read);
  n_read = 0;
  do_sql(db, COUNTED " LIMIT -1");
  all = n_read;
  assert_int_equal(all, 5000);
  close_db(db);
}

static void the_next_batch_is_prefetched(void **state) {
  sqlite3 *db = open_counted(5000);
  sqlite3_stmt *statement;
  int key = 0, lead = 0, rows = 0;
  sqlite3_prepare_v2(db, COUNTED, -1, &statement, NULL);
  while( sqlite3_step(statement) == SQLITE_ROW ) {
    assert_true(sqlite3_column_int(statement, 0) >= key); /* in the query's order */
    key = sqlite3_column_int(statement, 0);
    if( n_read < 5000 && n_read - key > lead ) lead = n_read - key;
    if( rows++ == 0 ) assert_in_range(n_read, 1, 40); /* the first batch is small */
  }
  sqlite3_finalize(statement);
  assert_int_equal(key, 5000);
  assert_int_equal(n_read, 5000);
  assert_true(lead > 100);
  close_db(db);
}

/* ---- failures half way ---- */

static void what_comes_before_a_failure_is_given(void **state) {
  sqlite3 *db = open_counted(4000);
  char *before = ask(db, "SELECT count(*), sum(start) FROM ner_query('SELECT id, body FROM docs"
                         " WHERE id < 3777')"),
       found[100];
  sqlite3_stmt *statement;
  sqlite3_int64 n = 0, sum = 0;
  int rc;
  sqlite3_prepare_v2(db,
                     "SELECT start FROM ner_query('SELECT id, CASE WHEN id = 3777 THEN"
                     " json(''{'') ELSE body END FROM docs')",
                     -1, &statement, NULL);
  while( (rc = sqlite3_step(statement)) == SQLITE_ROW )
    n++, sum += sqlite3_column_int64(statement, 0);
  assert_int_equal(rc, SQLITE_ERROR);
  assert_non_null(strstr(sqlite3_errmsg(db), "ner: ner_query(): the query failed: malformed JSON"));
  snprintf(found, sizeof found, "%lld|%lld;", (long long)n, (long long)sum);
  assert_string_equal(found, before);
  sqlite3_finalize(statement);
  sqlite3_free(before);
  /* A text that cannot be labelled does not spoil the others. */
  do_sql(db, "UPDATE docs SET body = x'00' WHERE id % 1000 = 7");
  check(db,
        "SELECT group_concat(key), count(DISTINCT error) FROM"
        " ner_query('SELECT id, body FROM docs') WHERE error IS NOT NULL",
        "7,1007,2007,3007|1;");
  close_db(db);
}

static void it_can_be_left_at_any_moment(void **state) {
  sqlite3 *db = open_counted(2000);
  seed = 5;
  for( int i = 0; i < 60; i += TEST_EACH(5) ) {
    sqlite3_stmt *statement;
    sqlite3_prepare_v2(db,
                       i % 2 ? COUNTED : "SELECT * FROM ner WHERE text IN (SELECT body FROM docs)",
                       -1, &statement, NULL);
    for( unsigned steps = roll(1 + (unsigned)i * 40); steps > 0; steps-- )
      assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    if( i % 3 == 0 ) {
      sqlite3_reset(statement);
      assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    }
    sqlite3_finalize(statement);
  }
  close_db(db);
}

static void *interrupt_soon(void *db) {
  sleep_ms(60);
  sqlite3_interrupt(db);
  return NULL;
}

static void interrupts_are_felt(void **state) {
  static const char *const queries[] = {
      "SELECT count(*) FROM ner_query('SELECT id, body FROM docs', 'bundled')",
      "SELECT count(*) FROM ner WHERE text IN (SELECT body FROM docs) AND model = 'bundled'"};
  sqlite3 *db = open_counted(20000);
  for( int i = 0; i < 8; i++ ) {
    pthread_t thread;
    do_sqlf(db, "SELECT ner_threads(%d)", 1 + i / 2 % 2);
    pthread_create(&thread, NULL, interrupt_soon, db);
    check_error(db, queries[i % 2], "interrupted");
    pthread_join(thread, NULL);
    check(db, "SELECT count(*) > 0 FROM ner('Hello Berlin')", "1;");
  }
  close_db(db);
}

static int stop_it(void *arg) {
  return --*(int *)arg < 0;
}

static void progress_handlers_are_obeyed(void **state) {
  sqlite3 *db = open_counted(20000);
  for( int calls = 0; calls < 200; calls += TEST_EACH(3) * 20 ) {
    int left = calls;
    sqlite3_progress_handler(db, 1000, stop_it, &left);
    check_error(db, "SELECT count(*) FROM ner_query('SELECT id, body FROM docs', 'bundled')",
                "interrupted");
    sqlite3_progress_handler(db, 0, NULL, NULL);
    check(db, "SELECT count(*) > 0 FROM ner('Hello Berlin')", "1;");
  }
  close_db(db);
}

/* A child must neither wait for a thread that it lacks, nor use the batch that the thread worked
** on. */
static void a_forked_child_is_told(void **state) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  int status;
  pid_t child;
  test_needs_fork();
  db = open_counted(20000);
  sqlite3_prepare_v2(db, "SELECT key FROM ner_query('SELECT id, body FROM docs', 'bundled')", -1,
                     &statement, NULL);
  for( int i = 0; i < 400; i++ ) assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  child = fork();
  if( child == 0 ) {
    int rc;
    alarm(20);
    while( (rc = sqlite3_step(statement)) == SQLITE_ROW ) {}
    if( rc != SQLITE_ERROR || !strstr(sqlite3_errmsg(db), "forked") ) _exit(1);
    sqlite3_finalize(statement);
    _exit(sqlite3_close(db) == SQLITE_OK ? 0 : 2);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  sqlite3_finalize(statement);
  close_db(db);
}

/* ---- several statements and connections ---- */

static void several_at_once(void **state) {
  sqlite3 *db = open_counted(600);
  check(db,
        "SELECT count(*), sum(a.key <> b.key OR a.entity <> b.entity) FROM"
        " (SELECT row_number() OVER () AS i, * FROM ner_query('SELECT id, body FROM docs')) AS a"
        " JOIN (SELECT row_number() OVER () AS i, * FROM"
        " ner_query('SELECT * FROM (SELECT id, body FROM docs)')) AS b USING (i)"
        " GROUP BY a.i = b.i HAVING count(*) < 1000",
        "nothing");
  check(db,
        "SELECT count(*) FROM ner_query('SELECT key, entity FROM"
        " ner_query(''SELECT id, body FROM docs'')') WHERE NOT EXISTS"
        " (SELECT 1 FROM docs WHERE id = key)",
        "0;");
  check(db,
        "SELECT sum(ner_json(body) <> '[]') = count(*), count(*) > 600 FROM"
        " ner_query('SELECT id, body FROM docs') JOIN docs ON id = key",
        "1|1;");
  close_db(db);
}

static void the_table_may_be_written_to_meanwhile(void **state) {
  sqlite3 *db = open_counted(3000);
  sqlite3_stmt *statement, *change;
  int rows = 0;
  sqlite3_prepare_v2(db, "DELETE FROM docs WHERE id = ?", -1, &change, NULL);
  sqlite3_prepare_v2(db, "SELECT key FROM ner_query('SELECT id, body FROM docs')", -1, &statement,
                     NULL);
  while( sqlite3_step(statement) == SQLITE_ROW ) {
    sqlite3_bind_int(change, 1, 3001 - sqlite3_column_int(statement, 0));
    assert_int_equal(sqlite3_step(change), SQLITE_DONE);
    sqlite3_reset(change);
    rows++;
  }
  assert_true(rows > 1000);
  sqlite3_finalize(statement);
  sqlite3_finalize(change);
  close_db(db);
}

struct worker {
  pthread_t thread;
  const char *expected;
  bool wrong;
};
#define TOTALS "SELECT count(*), sum(start), max(score) FROM ner_query('SELECT id, body FROM docs')"

static void *work(void *arg) {
  struct worker *worker = arg;
  sqlite3 *db = open_db(":memory:");
  make_docs(db, 1500);
  for( int i = 0; i < 3; i++ ) {
    char *found = ask(db, TOTALS);
    if( strcmp(found, worker->expected) ) worker->wrong = true;
    sqlite3_free(found);
  }
  close_db(db);
  return NULL;
}

static void connections_do_not_disturb_each_other(void **state) {
  struct worker worker[4] = {{0}};
  sqlite3 *db = open_counted(1500);
  char *expected = ask(db, TOTALS);
  for( int i = 0; i < 4; i++ ) {
    worker[i].expected = expected;
    assert_int_equal(pthread_create(&worker[i].thread, NULL, work, &worker[i]), 0);
  }
  for( int i = 0; i < 4; i++ ) pthread_join(worker[i].thread, NULL);
  for( int i = 0; i < 4; i++ ) assert_false(worker[i].wrong);
  sqlite3_free(expected);
  close_db(db);
}

/* ---- plans ---- */

static void check_plan(sqlite3 *db, const char *sql, const char *expected) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  char *all = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql), *plan;
  sqlite3_stmt *statement;
  assert_int_equal(sqlite3_prepare_v2(db, all, -1, &statement, NULL), SQLITE_OK);
  while( sqlite3_step(statement) == SQLITE_ROW ) {
    const char *text = (const char *)sqlite3_column_text(statement, 3);
    const char *at = strstr(text, "VIRTUAL TABLE INDEX ");
    /* The number after INDEX is left out: it is an internal one. */
    sqlite3_str_appendf(out, "%.*s%s; ", at ? (int)(at - text) : (int)strlen(text), text,
                        at ? strchr(at, ':') + 1 : "");
  }
  plan = sqlite3_str_finish(out);
  if( !strstr(plan, expected) )
    fail_msg("%s\n  is planned %s\n  expected   %s", sql, plan, expected);
  sqlite3_finalize(statement);
  sqlite3_free(all);
  sqlite3_free(plan);
}

static void plans_are_sensible(void **state) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, lang, body TEXT);"
             "CREATE INDEX by_lang ON docs(lang); CREATE INDEX by_body ON docs(body)");
  /* The table's own constraints come first, whatever the order of writing. */
  check_plan(db, "SELECT * FROM ner AS n, docs AS d WHERE n.text = d.body AND d.lang = 'en'",
             "SEARCH d USING INDEX by_lang (lang=?); SCAN n text=;");
  check_plan(db,
             "SELECT * FROM docs AS d, ner(d.body) AS n WHERE n.label = 'PER' AND n.score > 0.5",
             "SCAN d; SCAN n text=,label=,score>;");
  check_plan(db, "SELECT * FROM docs AS d LEFT JOIN ner(d.body) AS n", "SCAN d; SCAN n text=");
  check_plan(db, "SELECT * FROM ner WHERE text IN (SELECT body FROM docs) AND score >= 0.5 LIMIT 5",
             "SCAN ner text IN,score>=");
  /* A join in batches. */
  check_plan(db,
             "SELECT d.id FROM docs AS d JOIN ner AS n ON n.text = d.body"
             " WHERE n.text IN (SELECT body FROM docs)",
             "SCAN n text IN; ");
  check_plan(db,
             "SELECT d.lang FROM ner_query('SELECT id, body FROM docs') JOIN docs AS d ON id = key",
             "SCAN ner_query sql; SEARCH d USING INTEGER PRIMARY KEY (rowid=?);");
  check_plan(db, "SELECT * FROM ner_query('SELECT id, body FROM docs') WHERE label = 'PER' LIMIT 3",
             "SCAN ner_query sql,label=,limit");
  check_plan(db, "SELECT * FROM ner('x') ORDER BY start", "SCAN ner text=; ");
  close_db(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(many_are_as_one_by_one),
      cmocka_unit_test(lists_keep_their_values),
      cmocka_unit_test(equal_texts_are_labelled_once),
      cmocka_unit_test(a_limit_is_used),
      cmocka_unit_test(the_next_batch_is_prefetched),
      cmocka_unit_test(what_comes_before_a_failure_is_given),
      cmocka_unit_test(it_can_be_left_at_any_moment),
      cmocka_unit_test(interrupts_are_felt),
      cmocka_unit_test(progress_handlers_are_obeyed),
      cmocka_unit_test(a_forked_child_is_told),
      cmocka_unit_test(several_at_once),
      cmocka_unit_test(the_table_may_be_written_to_meanwhile),
      cmocka_unit_test(connections_do_not_disturb_each_other),
      cmocka_unit_test(plans_are_sensible),
  };
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
