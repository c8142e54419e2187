/*
** cmocka.h - the few words of cmocka that test_kernels.c uses, as one header.
**
** For building that test where cmocka is not at hand: for another processor, to
** be run by an emulator (tests/sh/kernels_arm.sh). A failed test ends the program.
*/
#ifndef NER_PLAIN_CMOCKA_H
#define NER_PLAIN_CMOCKA_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
  const char *name;
  void (*run)(void **state);
};

#define cmocka_unit_test(f)                                                                        \
  { #f, f }
#define fail_msg(...)                                                                              \
  (printf("%s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), printf("\nnot ok\n"), exit(1))
#define fail()                       fail_msg("failed")
#define assert_true(x)               ((x) ? (void)0 : fail_msg("%s", #x))
#define assert_int_equal(a, b)       assert_true((a) == (b))
#define assert_ptr_equal(a, b)       assert_true((a) == (b))
#define assert_non_null(p)           assert_true((p) != NULL)
#define assert_null(p)               assert_true((p) == NULL)
#define assert_string_equal(a, b)    assert_true(strcmp(a, b) == 0)
#define assert_in_range(x, a, b)     assert_true((x) >= (a) && (x) <= (b))
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
  plain_run(tests, (int)(sizeof(tests) / sizeof *(tests)))
static int plain_run(const struct CMUnitTest *tests, int n) {
  for( int i = 0; i < n; i++ ) {
    void *state = NULL;
    tests[i].run(&state);
    printf("ok %d - %s\n", i + 1, tests[i].name);
    fflush(stdout);
  }
  return 0;
}

#endif
