/*
** test_kernels_train.c - the kernels of training at every level this machine has, against the
** portable ones; and that all vector levels give the same bits. Arrays are of exactly the size that
** is named, for a sanitizer to watch. Built with -DNER_EMULATE it tests the levels this machine
** lacks, too.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum { M = 3, WIDTHS = 90 };

static uint64_t seed;
static float uniform(void) { /* [-1, 1] */
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (float)(seed >> 33) / 1073741824.0f - 1;
}

static float *numbers(size_t n, float scale) {
  float *x = malloc(n * sizeof *x);
  assert_non_null(x);
  for( size_t i = 0; i < n; i++ ) x[i] = scale * uniform();
  return x;
}
static float *copy(const float *x, size_t n) {
  float *y = malloc(n * sizeof *y);
  assert_non_null(y);
  memcpy(y, x, n * sizeof *y);
  return y;
}

/* 1 to 70, then some larger ones. */
static int width(int i) {
  return i < 70 ? i + 1 : 71 + (i - 70) * 37;
}

/* What all kernels make of the same numbers, one behind the other: [*n_out], to be freed. */
static float *run_all(const struct ner_kernels *k, int n, size_t *n_out) {
  const int ld = n + 2;
  const size_t size = (size_t)(M - 1) * (size_t)ld + (size_t)n, columns = (size_t)n;
  const struct ner_adamw step = {.clip = 0.7f,
                                 .keep = 0.999f,
                                 .step = 0.01f,
                                 .root = 1.5f,
                                 .beta1 = 0.9f,
                                 .beta2 = 0.999f,
                                 .eps = 1e-8f};
  float *x, *dy, *gain, *out, *at, *y, *d, *mean, *square;
  seed = (uint64_t)n;
  x = numbers(size, 4), dy = numbers(size, 1), gain = numbers(columns, 1);
  mean = numbers(size, 1), square = numbers(size, 1);
  for( size_t i = 0; i < size; i++ ) square[i] *= square[i];
  *n_out = 8 * size + 2 * columns + 1;
  at = out = calloc(*n_out, sizeof *out);
  assert_non_null(out);
#define TAKE(p, count) (memcpy(at, p, (count) * sizeof *at), at += (count))
  y = copy(dy, size);
  k->gelu(x, M, n, ld, y, ld);
  TAKE(y, size);
  memcpy(y, dy, size * sizeof *y);
  k->gelu_grad(x, M, n, ld, y, ld);
  TAKE(y, size);
  memcpy(y, dy, size * sizeof *y);
  d = copy(gain, columns);
  {
    float *dbias = copy(gain, columns);
    k->layer_norm_grad(x, ld, dy, ld, M, n, gain, 1e-5f, y, ld, d, dbias);
    TAKE(y, size);
    TAKE(d, columns);
    TAKE(dbias, columns);
    free(dbias);
  }
  free(d);
  d = copy(x, size);
  k->softmax(d, M, n, ld);
  memcpy(y, dy, size * sizeof *y);
  k->softmax_grad(d, y, M, n, ld);
  TAKE(y, size);
  memcpy(d, x, size * sizeof *d);
  k->adamw(&step, dy, size, d, mean, square);
  TAKE(d, size);
  TAKE(mean, size);
  TAKE(square, size);
  *at++ = (float)k->sum_squares(x, size);
  free(x), free(dy), free(gain), free(mean), free(square), free(y), free(d);
  return out;
}

static void test_against_portable(void **state) {
  const struct ner_kernels *portable = ner_kernels_level("portable");
  (void)state;
  for( int i = 0; i < WIDTHS; i++ ) {
    const int n = width(i);
    size_t n_out;
    float *want = run_all(portable, n, &n_out), *bits = NULL;
    for( int l = 1; ner_kernels_name(l); l++ ) {
      const struct ner_kernels *k = ner_kernels_level(ner_kernels_name(l));
      float *got;
      if( !k ) continue;
      got = run_all(k, n, &n_out);
      for( size_t j = 0; j < n_out; j++ )
        if( !(fabsf(got[j] - want[j]) <= 2e-5f * (1 + fabsf(want[j]))) )
          fail_msg("%s, n %d: number %zu is %.9g, portably %.9g", k->name, n, j, (double)got[j],
                   (double)want[j]);
      if( strcmp(k->name, "openblas") != 0 ) {
        if( bits && memcmp(bits, got, n_out * sizeof *got) != 0 )
          fail_msg("%s, n %d: other bits than the level before", k->name, n);
        free(bits);
        bits = got;
      } else {
        free(got);
      }
    }
    free(bits);
    free(want);
  }
}

/* GELU's slope against the exact one. */
static void test_gelu_slope(void **state) {
  (void)state;
  for( int l = 0; ner_kernels_name(l); l++ ) {
    const struct ner_kernels *k = ner_kernels_level(ner_kernels_name(l));
    if( !k ) continue;
    for( int i = -120000; i < 120000; i += 7 ) {
      float x = (float)i * 1e-4f, d = 1;
      double want =
          erfc(-x / sqrt(2)) / 2 + x * exp(-0.5 * x * x) / sqrt(2 * 3.14159265358979323846);
      k->gelu_grad(&x, 1, 1, 1, &d, 1);
      if( !(fabs(d - want) < 4e-7) )
        fail_msg("%s: gelu'(%g) is %.9g, not %.9g", k->name, (double)x, (double)d, want);
    }
  }
}

/* More numbers than are summed in float at once. */
static void test_sum_of_many(void **state) {
  const size_t n = 3 * NER_SQUARES + 5;
  float *x;
  double want = 0;
  (void)state;
  seed = 5;
  x = numbers(n, 1);
  for( size_t i = 0; i < n; i++ ) want += (double)x[i] * x[i];
  for( int l = 0; ner_kernels_name(l); l++ ) {
    const struct ner_kernels *k = ner_kernels_level(ner_kernels_name(l));
    if( k ) assert_true(fabs(k->sum_squares(x, n) / want - 1) < 1e-6);
  }
  free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_portable),
      cmocka_unit_test(test_gelu_slope),
      cmocka_unit_test(test_sum_of_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
