/*
** test_session.c - sessions: which one is reused, how many are kept, and that their memory goes
** back to the system.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/pool.h"
#include "engine/session.h"
#include "fork.h"
#include "support.h"

#define MANY 40
#define KEPT 4 /* with as many threads or fewer */

static struct ner_model *open_tiny(void) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  tiny.positions = 4000; /* so many that a session's scratch is a mapping of its own */
  tiny.tokenizer = "{\"do_lower_case\":false}";
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  if( ner_model_open(dir, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
  test_dir_remove(dir);
  return model;
}

static struct ner_session *acquire(struct ner_model *model) {
  struct ner_session *session;
  struct ner_err err = {0};
  if( ner_session_acquire(model, &session, &err) ) fail_msg("%s", err.msg);
  return session;
}

static int set_up(void **state) {
  ner_pool_stop();
  ner_pool_threads(2);
  return 0;
}

static int tear_down(void **state) {
  struct ner_session_stats stats = ner_session_stats();
  ner_pool_stop();
  return stats.n_idle || stats.n_used || stats.idle_bytes || stats.used_bytes;
}

static void a_burst(struct ner_model *model, int n, struct ner_session **session) {
  for( int i = 0; i < n; i++ ) session[i] = acquire(model);
  for( int i = 0; i < n; i++ ) ner_session_release(session[i]);
}

/* ---- tests ---- */

static void the_latest_is_reused(void **state) {
  struct ner_model *model = open_tiny(), *other = open_tiny();
  struct ner_session *session[3], *of_other = acquire(other);
  a_burst(model, 3, session);
  ner_session_release(of_other);
  assert_ptr_equal(acquire(model), session[2]);
  assert_ptr_equal(acquire(model), session[1]);
  assert_ptr_equal(acquire(other), of_other);
  assert_int_equal(ner_session_stats().n_used, 3);
  for( int i = 1; i < 3; i++ ) ner_session_release(session[i]);
  ner_session_release(of_other);
  ner_model_unref(model);
  assert_int_equal(ner_session_stats().n_idle, 1);
  ner_model_unref(other);
}

static void a_burst_gives_memory_back(void **state) {
  struct ner_model *model = open_tiny();
  struct ner_session *session[MANY];
  size_t each;
  a_burst(model, 1, session);
  each = ner_session_stats().idle_bytes;
  assert_true(each > NER_LARGE_BYTES);
  a_burst(model, MANY, session);
  assert_int_equal(ner_session_stats().n_idle, KEPT);
  assert_int_equal(ner_session_stats().idle_bytes, KEPT * each);
  assert_ptr_equal(acquire(model), session[MANY - 1]); /* the oldest have gone */
  assert_int_equal(ner_session_stats().used_bytes, each);
  ner_session_release(session[MANY - 1]);
  /* As many as threads, where those are more. */
  ner_pool_threads(7);
  a_burst(model, MANY, session);
  assert_int_equal(ner_session_stats().n_idle, 7);
  ner_model_unref(model);
  assert_int_equal(ner_session_stats().n_idle, 0);
}

static long resident_kb(void) {
  FILE *f = fopen("/proc/self/statm", "r");
  long pages = 0;
  if( !f ) return -1;
  if( fscanf(f, "%*d %ld", &pages) != 1 ) pages = -1;
  fclose(f);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void the_system_has_it_back(void **state) {
  struct ner_model *model = open_tiny();
  struct ner_session *session[MANY];
  long before = -1, during, after;
  for( int i = 0; i < MANY; i++ ) {
    session[i] = acquire(model);
    if( i == 0 ) before = resident_kb();
    memset(session[i]->scratch, 1, session[i]->n_bytes);
  }
  during = resident_kb();
  for( int i = 0; i < MANY; i++ ) ner_session_release(session[i]);
  ner_session_trim(-1);
  assert_int_equal(ner_session_stats().n_idle, 0);
  after = resident_kb();
  ner_model_unref(model);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  skip(); /* their allocators and shadows keep memory */
#endif
  if( before < 0 ) skip();
  assert_true(during - before > MANY * 1024);
  assert_in_range(after, 0, before + (during - before) / 10);
}

static void what_is_old_goes(void **state) {
  struct ner_model *model = open_tiny();
  struct ner_session *session[2];
  a_burst(model, 2, session);
  ner_session_trim(5000);
  assert_int_equal(ner_session_stats().n_idle, 2);
  usleep(20000);
  session[0] = acquire(model);
  ner_session_release(session[0]);
  ner_session_trim(10);
  assert_int_equal(ner_session_stats().n_idle, 1);
  assert_ptr_equal(acquire(model), session[0]);
  ner_session_release(session[0]);
  ner_model_unref(model);
}

/* ---- threads and forks ---- */

static void *keep_acquiring(void *arg) {
  struct ner_model *model = arg;
  for( int i = 0; i < 300; i++ ) {
    struct ner_session *a = acquire(model), *b = acquire(model);
    if( a == b ) return "the same twice";
    ner_session_release(a);
    ner_session_release(b);
  }
  return NULL;
}

static void many_threads(void **state) {
  struct ner_model *model = open_tiny();
  pthread_t thread[4];
  for( int i = 0; i < 4; i++ )
    assert_int_equal(pthread_create(&thread[i], NULL, keep_acquiring, model), 0);
  for( int i = 0; TEST_FORKS_WITH_THREADS && i < 20; i++ ) {
    int status = -1;
    pid_t pid = fork();
    if( pid == 0 ) {
      alarm(20);
      ner_session_release(acquire(model));
      _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
  }
  for( int i = 0; i < 4; i++ ) {
    void *problem;
    pthread_join(thread[i], &problem);
    if( problem ) fail_msg("%s", (char *)problem);
  }
  ner_model_unref(model);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_latest_is_reused),   TEST(a_burst_gives_memory_back),
      TEST(the_system_has_it_back), TEST(what_is_old_goes),
      TEST(many_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
