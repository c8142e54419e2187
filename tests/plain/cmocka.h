/*
** cmocka.h - the part of cmocka that the tests use, as one header, for platforms where cmocka is not at
** hand: other processors (tests/sh/kernels_arm.sh) and other systems (packages/tests/foreign.sh).
**
** As cmocka does, it prints TAP. A failed assertion ends its test, and on a thread of its own the
** program. The program's status is 0 when no test failed. PLAIN_ONLY=part of a name runs some alone.
*/
#ifndef NER_PLAIN_CMOCKA_H
#define NER_PLAIN_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
  const char *name;
  void (*test_func)(void **state);
  int (*setup_func)(void **state);
  int (*teardown_func)(void **state);
  void *initial_state;
};

#define cmocka_unit_test(f)                                                                        \
  { #f, f, NULL, NULL, NULL }
#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                        \
  { #f, f, setup, teardown, NULL }

static struct {
  jmp_buf end;
  enum { PLAIN_OK, PLAIN_FAILED, PLAIN_SKIPPED } result;
  char why[200];
} plain_test;
/* The thread that runs the tests: only it can leave one in the middle. */
static _Thread_local bool plain_is_main __attribute__((unused));

__attribute__((noreturn, unused)) static void plain_end(int result) {
  plain_test.result = result;
  fflush(stdout);
  if( !plain_is_main ) {
    printf("not ok - on a thread\nBail out!\n");
    fflush(stdout);
    _Exit(1);
  }
  longjmp(plain_test.end, 1);
}

__attribute__((noreturn, unused, format(printf, 3, 4))) static void
plain_fail(const char *file, int line, const char *format, ...) {
  va_list args;
  printf("# %s:%d: ", file, line);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
  plain_end(PLAIN_FAILED);
}

__attribute__((noreturn, unused)) static void plain_skip(const char *why) {
  snprintf(plain_test.why, sizeof plain_test.why, "%s", why);
  plain_end(PLAIN_SKIPPED);
}

#define fail_msg(...)      plain_fail(__FILE__, __LINE__, __VA_ARGS__)
#define fail()             fail_msg("failed")
#define skip()             plain_skip("")
#define print_message(...) (printf("# "), printf(__VA_ARGS__))
#define print_error(...)   (printf("# "), printf(__VA_ARGS__))

#define assert_true(x)     ((x) ? (void)0 : fail_msg("%s", #x))
#define assert_false(x)    assert_true(!(x))
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_null(p)     assert_true((p) == NULL)

/* As cmocka compares: as the largest unsigned integers. */
__attribute__((unused)) static void plain_integers(uint64_t a, uint64_t b, bool equal,
                                                   const char *file, int line) {
  if( (a == b) != equal )
    plain_fail(file, line, "%lld %s %lld", (long long)a, equal ? "!=" : "==", (long long)b);
}
#define assert_int_equal(a, b)                                                                     \
  plain_integers((uint64_t)(a), (uint64_t)(b), true, __FILE__, __LINE__)
#define assert_int_not_equal(a, b)                                                                 \
  plain_integers((uint64_t)(a), (uint64_t)(b), false, __FILE__, __LINE__)
#define assert_ptr_equal(a, b)                                                                     \
  plain_integers((uintptr_t)(a), (uintptr_t)(b), true, __FILE__, __LINE__)
#define assert_ptr_not_equal(a, b)                                                                 \
  plain_integers((uintptr_t)(a), (uintptr_t)(b), false, __FILE__, __LINE__)

__attribute__((unused)) static void plain_in_range(uint64_t x, uint64_t low, uint64_t high,
                                                   const char *file, int line) {
  if( x < low || x > high )
    plain_fail(file, line, "%lld is not in %lld..%lld", (long long)x, (long long)low,
               (long long)high);
}
#define assert_in_range(x, low, high)                                                              \
  plain_in_range((uint64_t)(x), (uint64_t)(low), (uint64_t)(high), __FILE__, __LINE__)

__attribute__((unused)) static void plain_strings(const char *a, const char *b, const char *file,
                                                  int line) {
  if( strcmp(a, b) != 0 ) plain_fail(file, line, "\"%s\" != \"%s\"", a, b);
}
#define assert_string_equal(a, b)    plain_strings(a, b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

/* Runs the test, or what is before and after it. */
__attribute__((unused)) static void plain_run_one(const struct CMUnitTest *test, int number) {
  static int setup_rc;
  void *state = test->initial_state;
  plain_test.result = PLAIN_OK;
  plain_test.why[0] = 0;
  setup_rc = -1;
  if( setjmp(plain_test.end) == 0 ) {
    setup_rc = test->setup_func ? test->setup_func(&state) : 0;
    if( setup_rc != 0 ) plain_fail(test->name, 0, "its setup failed");
    test->test_func(&state);
  }
  if( setup_rc == 0 && test->teardown_func && setjmp(plain_test.end) == 0 &&
      test->teardown_func(&state) != 0 )
    plain_test.result = PLAIN_FAILED;
  if( plain_test.result == PLAIN_SKIPPED )
    printf("ok %d - %s # SKIP %s\n", number, test->name, plain_test.why);
  else
    printf("%s %d - %s\n", plain_test.result == PLAIN_OK ? "ok" : "not ok", number, test->name);
  fflush(stdout);
}

static int plain_run_group(const struct CMUnitTest *tests, int n, int (*setup)(void **state),
                           int (*teardown)(void **state)) {
  const char *only = getenv("PLAIN_ONLY");
  static int n_failed; /* static: longjmp() may spoil others */
  void *state = NULL;
  plain_is_main = true;
  printf("1..%d\n", n);
  if( setjmp(plain_test.end) != 0 || (setup && setup(&state) != 0) ) {
    printf("not ok - the group's setup\n");
    return 1;
  }
  for( int i = 0; i < n; i++ ) {
    if( only && !strstr(tests[i].name, only) ) continue;
    plain_run_one(&tests[i], i + 1);
    n_failed += plain_test.result == PLAIN_FAILED;
  }
  if( setjmp(plain_test.end) != 0 || (teardown && teardown(&state) != 0) ) {
    printf("not ok - the group's teardown\n");
    return 1;
  }
  return n_failed;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
  plain_run_group(tests, (int)(sizeof(tests) / sizeof *(tests)), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
  cmocka_run_group_tests(tests, setup, teardown)

#endif
