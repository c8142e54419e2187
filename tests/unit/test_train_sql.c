/*
** test_train_sql.c - ner_train() while it runs: rows come one by one, an interrupt is felt soon and
** leaves no half a file, a statement that ends early leaves its checkpoint, an extended model keeps
** what its base knows.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <time.h>
#include "engine/registry.h"
#include "sql/sql.h"
#include "support.h"

static char dir[TEST_PATH], target[TEST_PATH], checkpoint[TEST_PATH];

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* 200 sentences of some 25 tokens. */
#define EXAMPLES                                                                                   \
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 200)"                  \
  " SELECT ''Order '' || i || '': please send the Falcon Lamp to our office in Berlin, Germany,"   \
  " before the end of next week.'', json_array(json_object(''start'', instr(''Order '' || i ||"    \
  " '': please send the Falcon Lamp'', ''Falcon'') - 1, ''end'', instr(''Order '' || i ||"         \
  " '': please send the Falcon Lamp'', ''Falcon'') + 10, ''label'', ''PRODUCT'')) FROM c"

static sqlite3 *open_db(void) {
  sqlite3 *db;
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  assert_int_equal(sqlite3_ner_init(db, NULL, NULL), SQLITE_OK);
  remove(target);
  remove(checkpoint);
  return db;
}

static sqlite3_stmt *train(sqlite3 *db, const char *options) {
  sqlite3_stmt *statement;
  char *sql = sqlite3_mprintf("SELECT epoch, step, note FROM ner_train('" EXAMPLES "', %Q, %Q)",
                              target, options);
  if( sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ) fail_msg("%s", sqlite3_errmsg(db));
  sqlite3_free(sql);
  return statement;
}

static bool exists(const char *path) {
  return access(path, F_OK) == 0;
}

/* No temporary file is left. */
static void assert_tidy(int n_files) {
  DIR *d = opendir(dir);
  struct dirent *entry;
  int n = 0;
  assert_non_null(d);
  while( (entry = readdir(d)) != NULL ) n += entry->d_name[0] != '.';
  closedir(d);
  assert_int_equal(n, n_files);
}

static void rows_come_one_by_one(void **state) {
  sqlite3 *db = open_db();
  sqlite3_stmt *statement = train(db, "{\"epochs\":3}");
  double began = seconds(), first;
  (void)state;
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  first = seconds() - began;
  assert_int_equal(sqlite3_column_int(statement, 1), 0);
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_in_range(sqlite3_column_int(statement, 0), 1, 1);
  print_message("the first row after %.3f s, the second after %.3f s\n", first, seconds() - began);
  sqlite3_finalize(statement);
  assert_false(exists(target));
  assert_tidy(0); /* the first epoch had not ended */
  sqlite3_close(db);
}

static void an_early_end_leaves_the_checkpoint(void **state) {
  sqlite3 *db = open_db();
  sqlite3_stmt *statement = train(db, "{\"epochs\":2,\"freeze\":6}");
  (void)state;
  while( sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) < 2 ) {}
  sqlite3_finalize(statement);
  assert_false(exists(target));
  assert_true(exists(checkpoint));
  statement = train(db, "{\"epochs\":2,\"freeze\":6,\"resume\":true}");
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  assert_non_null(strstr((const char *)sqlite3_column_text(statement, 2), "goes on after epoch 1"));
  while( sqlite3_step(statement) == SQLITE_ROW ) {}
  assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
  assert_true(exists(target));
  assert_tidy(1);
  sqlite3_close(db);
}

struct later {
  sqlite3 *db;
  double at_s, done_s;
};

static void *interrupt_later(void *arg) {
  struct later *later = arg;
  while( seconds() < later->at_s ) sched_yield();
  later->done_s = seconds();
  sqlite3_interrupt(later->db);
  return NULL;
}

/* At moments spread over labelling by the base, steps, validation, checkpoints and writing. The
** machine may be busy: some seconds are the limit here, and the longest wait is shown. */
static void an_interrupt_is_felt(void **state) {
  double longest = 0;
  int n_interrupted = 0;
  (void)state;
  for( int i = 0; i < 12; i++ ) {
    sqlite3 *db = open_db();
    sqlite3_stmt *statement = train(db, "{\"epochs\":2,\"labels\":\"extend\",\"freeze\":4}");
    struct later later = {.db = db, .at_s = seconds() + 0.02 + 0.17 * i};
    pthread_t thread;
    int rc;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, &later), 0);
    while( (rc = sqlite3_step(statement)) == SQLITE_ROW ) {}
    if( rc == SQLITE_INTERRUPT ) {
      double took = seconds() - later.done_s;
      if( took > longest ) longest = took;
      n_interrupted++;
      assert_false(exists(target));
      assert_tidy(exists(checkpoint) ? 1 : 0);
    } else {
      assert_int_equal(rc, SQLITE_DONE);
      assert_true(exists(target));
    }
    pthread_join(thread, NULL);
    sqlite3_finalize(statement);
    sqlite3_close(db);
  }
  print_message("%d interrupts, felt after %.3f s at most\n", n_interrupted, longest);
  assert_true(n_interrupted >= 3);
  assert_true(longest < 4);
}

static void the_target_is_replaced_as_a_whole(void **state) {
  sqlite3 *db = open_db();
  sqlite3_stmt *statement;
  (void)state;
  test_write_text(dir, "target", "what was there");
  statement = train(db, "{\"epochs\":1,\"freeze\":6}");
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  sqlite3_interrupt(db);
  while( sqlite3_step(statement) == SQLITE_ROW ) {}
  sqlite3_finalize(statement);
  {
    size_t n;
    char *text = test_read(dir, "target", &n);
    assert_string_equal(text, "what was there");
    free(text);
  }
  sqlite3_close(db);
}

/* ---- extend ---- */

/* Sentences unlike orders and invoices, with names and numbers that are neither products nor amounts. */
#define NEWS                                                                                       \
  "CREATE TABLE news AS SELECT value AS text FROM json_each('["                                    \
  "\"Angela Merkel met Emmanuel Macron in Paris on Tuesday.\","                                    \
  "\"Ajax beat Feyenoord 3-1 in Rotterdam after a late goal by Hansen.\","                         \
  "\"The United Nations sent 120 observers to Kenya in 1996.\","                                   \
  "\"Shares of Toyota fell 4.5 percent in Tokyo.\","                                               \
  "\"Peter Schmidt of Lufthansa flew from Frankfurt to Cape Town.\","                              \
  "\"In the second set Navratil led 6-4 against the Australian.\","                                \
  "\"The Bundesbank left its rates unchanged, and the Dow Jones index closed at 5,700.\","         \
  "\"Russian troops left Grozny, said General Lebed.\","                                           \
  "\"Oxford University opened a library named after Rosalind Franklin.\","                         \
  "\"Police in Marseille arrested 23 people on 14 July.\","                                        \
  "\"Juventus Turin signed the Brazilian Carvalho.\","                                             \
  "\"The European Commission rejected the plan of British farmers.\"]');"

static int value_of(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement;
  int value;
  if( sqlite3_prepare_v2(db, sql, -1, &statement, NULL) ) fail_msg("%s", sqlite3_errmsg(db));
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  value = sqlite3_column_int(statement, 0);
  assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
  return value;
}

static void run(sqlite3 *db, const char *sql) {
  char *message = NULL;
  if( sqlite3_exec(db, sql, NULL, NULL, &message) ) fail_msg("%s", message);
}

/* Half of orders.sql teaches PRODUCT and AMOUNT, at the learning rate that is chosen for so few
** steps. The base's entities in texts unlike it must stay, and numbers and names there must not
** become amounts and products. */
static void an_extended_model_keeps_what_its_base_knows(void **state) {
  sqlite3 *db = open_db();
  size_t n;
  char *orders = test_read("tests/data", "orders.sql", &n), *sql;
  int of_base, of_both, of_new, found, gold, correct;
  (void)state;
  run(db, orders);
  free(orders);
  run(db, NEWS);
  run(db, "CREATE TABLE before AS SELECT news.text, start, end, label FROM news, ner(news.text)");
  sql = sqlite3_mprintf(
      "CREATE TABLE progress AS SELECT note FROM ner_train('SELECT text, entities FROM orders WHERE"
      " part = ''train'' LIMIT 75', %Q, '{\"labels\":\"extend\",\"epochs\":4,\"batch_tokens\":128}');"
      " SELECT ner_load('extended', %Q)",
      target, target);
  run(db, sql);
  sqlite3_free(sql);
  run(db, "CREATE TABLE after AS SELECT news.text, start, end, label FROM news, ner(news.text, 'extended')");
  of_base = value_of(db, "SELECT count(*) FROM before");
  of_both = value_of(db, "SELECT count(*) FROM before JOIN after USING(text, start, end, label)");
  of_new = value_of(db, "SELECT count(*) FROM after WHERE label IN ('PRODUCT', 'AMOUNT')");
  run(db, "CREATE TABLE test AS SELECT text, entities FROM orders WHERE part = 'test'");
  run(db, "CREATE TABLE gold AS SELECT test.text, value->>'start' AS start, value->>'end' AS end,"
          " value->>'label' AS label FROM test, json_each(entities)");
  run(db, "CREATE TABLE found AS SELECT test.text, start, end, label FROM test, ner(test.text, 'extended')"
          " WHERE label IN ('PRODUCT', 'AMOUNT')");
  gold = value_of(db, "SELECT count(*) FROM gold");
  found = value_of(db, "SELECT count(*) FROM found");
  correct = value_of(db, "SELECT count(*) FROM gold JOIN found USING(text, start, end, label)");
  print_message("of %d entities of the base %d stay, beside %d new ones; of the new types %d of %d, "
                "%d found\n",
                of_base, of_both, of_new, correct, gold, found);
  assert_int_equal(value_of(db, "SELECT instr(note, 'texts of random words') > 0 FROM progress"), 1);
  assert_true(of_base >= 12);
  assert_true(100 * of_both >= 85 * of_base); /* 21 of 30 stay without rehearsal */
  assert_true(5 * of_new <= of_base);         /* 14 come without */
  assert_true(10 * 2 * correct >= 7 * (gold + found));
  sqlite3_close(db);
}

static int set_up(void **state) {
  (void)state;
  test_dir_make(dir);
  test_path(target, dir, "target");
  test_path(checkpoint, dir, "target.checkpoint");
  return 0;
}
static int tear_down(void **state) {
  (void)state;
  test_dir_remove(dir);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_come_one_by_one),
      cmocka_unit_test(an_early_end_leaves_the_checkpoint),
      cmocka_unit_test(an_interrupt_is_felt),
      cmocka_unit_test(the_target_is_replaced_as_a_whole),
      cmocka_unit_test(an_extended_model_keeps_what_its_base_knows),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
