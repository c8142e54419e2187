/*
** test_train_sql.c - ner_train() while it runs: rows come one by one, an interrupt is felt soon and
** leaves no half a file, a statement that ends early leaves its checkpoint.
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
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
