/*
** test_model_memory.c - opening and converting models while memory runs out.
**
** SQLite's allocations always take part; those of the library do when it is
** compiled with -DNER_TEST_ALLOC.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include "model/model.h"
#include "support.h"

static long fail_at; /* counts down; at 1 the allocation fails; 0: never */
static long n_live;  /* blocks of the seam */

static bool must_fail_now(void) {
  return fail_at > 0 && --fail_at == 0;
}

#ifdef NER_TEST_ALLOC
void *ner_test_malloc(size_t n) {
  void *p = must_fail_now() ? NULL : malloc(n);
  n_live += p != NULL;
  return p;
}
void *ner_test_realloc(void *old, size_t n) {
  void *p = must_fail_now() ? NULL : realloc(old, n);
  n_live += p && !old;
  return p;
}
void ner_test_free(void *p) {
  n_live -= p != NULL;
  free(p);
}
#endif

static sqlite3_mem_methods sqlite_methods;
static void *sqlite_malloc(int n) {
  return must_fail_now() ? NULL : sqlite_methods.xMalloc(n);
}
static void *sqlite_realloc(void *p, int n) {
  return must_fail_now() ? NULL : sqlite_methods.xRealloc(p, n);
}

static int open_json_dir(const char *dir, const char *file, struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_open(dir, NER_PRECISION_INT8, &model, err);
  assert_true((model == NULL) == (rc != NER_OK));
  ner_model_unref(model);
  return rc;
}
static int open_one_file(const char *dir, const char *file, struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_open(file, NER_PRECISION_FILE, &model, err);
  assert_true((model == NULL) == (rc != NER_OK));
  ner_model_unref(model);
  return rc;
}
static int convert_dir(const char *dir, const char *file, struct ner_err *err) {
  return ner_convert(dir, file, NER_PRECISION_F32, err);
}

/* The n-th allocation fails, SQLite's included, for every n: out of memory and
** nothing left behind, or (SQLite can do without some) the right answer. */
static void out_of_memory(void **state) {
  int (*const steps[])(const char *, const char *, struct ner_err *) = {open_json_dir, convert_dir,
                                                                        open_one_file};
  struct tiny tiny = tiny_bert();
  char dir[TEST_PATH], path[TEST_PATH];
  long n_opening = 0;
  test_dir_make(dir);
  tiny.layers = 1;
  tiny_write(dir, &tiny);
  test_remove(dir, "vocab.txt");
  test_write_text(dir, "tokenizer.json", tiny_tokenizer_json);
  test_path(path, dir, "one");
  for( size_t i = 0; i < sizeof steps / sizeof steps[0]; i++ ) {
    /* ner_convert() begins as the step before it did: only what comes after is new. */
    long n = steps[i] == convert_dir ? n_opening * 9 / 10 : 0, n_nomem = 0;
    for( ;; ) {
      struct ner_err err = {0};
      sqlite3_int64 used = sqlite3_memory_used();
      long live = n_live;
      bool failed;
      int rc;
      fail_at = ++n;
      rc = steps[i](dir, path, &err);
      failed = fail_at == 0;
      fail_at = 0;
      assert_int_equal(rc, err.code);
      if( rc != NER_OK && (rc != NER_NOMEM || !failed) ) fail_msg("allocation %ld: %s", n, err.msg);
      assert_int_equal(sqlite3_memory_used(), used);
      assert_int_equal(n_live, live);
      n_nomem += rc == NER_NOMEM;
      if( !failed ) break;
    }
    if( i == 0 ) n_opening = n;
    print_message("# step %zu: %ld failed allocations of %ld were reported\n", i, n_nomem, n - 1);
    assert_true(n_nomem > 20);
  }
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(out_of_memory)};
  sqlite3_mem_methods methods;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_methods);
  methods = sqlite_methods;
  methods.xMalloc = sqlite_malloc;
  methods.xRealloc = sqlite_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
  return cmocka_run_group_tests_name("model memory", tests, NULL, NULL);
}
