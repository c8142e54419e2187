/*
** test_kernels.c - every level this machine has, against the portable one.
**
** Integers to the bit, floats to a tolerance that is stated where it is used.
** Buffers end (or begin) at a page that may not be touched, in every alignment.
** Built with -DNER_EMULATE it tests the levels this machine lacks, too.
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
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kernels.h"

/* ---- random numbers, the same everywhere ---- */

static uint64_t seed;
static uint32_t rnd(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33);
}
static int below(int n) {
  return (int)(rnd() % (uint32_t)n);
}
static float uniform(void) {
  return (float)below(2000001) / 1e6f - 1;
} /* [-1, 1] */
static float bell(void) {
  float sum = uniform(); /* one by one: C leaves the order of calls within an expression open */
  sum += uniform();
  return sum + uniform();
}

/* ---- memory between two forbidden pages ---- */

struct guarded {
  char *base;
  size_t n_pages;
};
static struct guarded held[128];
static int n_held;

/* n_bytes that end at a forbidden page (at_end) or begin after one. Filled with a pattern. */
static void *guarded(size_t n_bytes, bool at_end) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (n_bytes + page - 1) / page;
  struct guarded g;
  g.n_pages = inner + 2;
  g.base = mmap(NULL, g.n_pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(g.base != MAP_FAILED);
  assert_true(n_held < 128);
  held[n_held++] = g;
  if( inner == 0 ) return g.base + page;
  assert_int_equal(mprotect(g.base + page, inner * page, PROT_READ | PROT_WRITE), 0);
  memset(g.base + page, 0xA5, inner * page);
  return at_end ? g.base + (inner + 1) * page - n_bytes : g.base + page;
}
static void release(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  while( n_held > 0 ) {
    n_held--;
    munmap(held[n_held].base, held[n_held].n_pages * page);
  }
}

/* A test that failed left its memory behind. */
static void begin(uint64_t new_seed) {
  seed = new_seed;
  release();
}

/* ---- weights ---- */

struct weights {
  struct ner_linear f32, i8;
  float *w;  /* [n_out, n_in] */
  int8_t *q; /* [n_out, n_in] as packed for int8 */
};

static int8_t packed_i8(const struct ner_linear *lin, int n, int k) {
  size_t groups = (size_t)(lin->n_in + 3) / 4;
  size_t at = (((size_t)n / 16 * groups + (size_t)k / 4) * 16 + (size_t)n % 16) * 4 + (size_t)k % 4;
  return ((const int8_t *)lin->packed)[at];
}

static void set_packed_i8(const struct ner_linear *lin, int n, int k, int q) {
  size_t groups = (size_t)(lin->n_in + 3) / 4;
  size_t at = (((size_t)n / 16 * groups + (size_t)k / 4) * 16 + (size_t)n % 16) * 4 + (size_t)k % 4;
  ((int8_t *)lin->packed)[at] = (int8_t)q;
}

enum {
  LANE = 2 * NER_I8_CHUNK,
  CHUNK = 4 * NER_I8_CHUNK
}; /* weights in a lane, inputs in a chunk */

/* The sums of one sign over a lane of 16 bits, see NER_I8_LIMIT. */
static int lane_sum(const struct ner_linear *lin, int n, int chunk, int half, int sign) {
  int total = 0;
  for( int i = 0; i < LANE; i++ ) {
    int k = chunk * CHUNK + i / 2 * 4 + half * 2 + i % 2;
    int q = k < lin->n_in ? packed_i8(lin, n, k) * sign : 0;
    if( q > 0 ) total += q;
  }
  return total;
}

static void assert_within_limit(const struct ner_linear *lin) {
  for( int n = 0; n < lin->n_out; n++ )
    for( int chunk = 0; chunk * CHUNK < lin->n_in; chunk++ )
      for( int i = 0; i < 4; i++ )
        if( lane_sum(lin, n, chunk, i / 2, i % 2 ? 1 : -1) > NER_I8_LIMIT )
          fail_msg("n %d k %d: a lane holds more than %d", n, chunk * CHUNK, NER_I8_LIMIT);
}

/* Every lane of every channel at its limit, in one sign or in both: in one weight and the rest in another,
** evenly, or at random. */
static void fill_to_limit(const struct ner_linear *lin, int32_t *sum) {
  for( int n = 0; n < lin->n_out; n++ ) {
    sum[n] = 0;
    for( int chunk = 0; chunk * CHUNK < lin->n_in; chunk++ )
      for( int half = 0; half < 2; half++ ) {
        int kind = below(4), left[2] = {NER_I8_LIMIT, NER_I8_LIMIT}, first = below(2);
        for( int i = 0; i < LANE; i++ ) {
          int k = chunk * CHUNK + i / 2 * 4 + half * 2 + i % 2;
          int side = kind == 0 ? first : kind == 1 ? i * 2 / LANE : below(2), q;
          int most = left[side] < NER_I8_MAX ? left[side] : NER_I8_MAX;
          if( k >= lin->n_in ) continue;
          q = kind == 0   ? (most < NER_I8_LIMIT / LANE ? most : NER_I8_LIMIT / LANE)
              : kind == 1 ? most
                          : below(most + 1);
          left[side] -= q;
          if( side ) q = -q;
          set_packed_i8(lin, n, k, q);
          sum[n] += q;
        }
      }
  }
}

/* extreme: int8 weights as large as the bound allows. */
static struct weights weights_new(int n_out, int n_in, bool extreme) {
  struct weights s = {.f32 = {.n_out = n_out, .n_in = n_in, .precision = NER_PRECISION_F32},
                      .i8 = {.n_out = n_out, .n_in = n_in, .precision = NER_PRECISION_INT8}};
  size_t n = (size_t)n_out * (size_t)n_in, padded = (size_t)(n_out + 15) / 16 * 16;
  float *bias = guarded(padded * sizeof *bias, true), *scale = guarded(padded * 4, true);
  int32_t *sum = guarded(padded * 4, true);
  float *packed_f32 = guarded(ner_packed_bytes(NER_PRECISION_F32, n_out, n_in), true);
  int8_t *packed = guarded(ner_packed_bytes(NER_PRECISION_INT8, n_out, n_in), true);
  s.w = guarded(n * sizeof *s.w, true);
  for( size_t i = 0; i < n; i++ ) s.w[i] = extreme ? (below(2) ? 1.0f : -1.0f) : bell();
  for( size_t i = 0; i < padded; i++ ) bias[i] = i < (size_t)n_out ? uniform() : 0;
  ner_pack_f32(s.w, n_out, n_in, packed_f32);
  ner_pack_i8(s.w, n_out, n_in, packed, scale, sum);
  s.f32.packed = packed_f32;
  s.i8.packed = packed;
  assert_within_limit(&s.i8);
  if( extreme ) {
    fill_to_limit(&s.i8, sum);
    assert_within_limit(&s.i8);
  }
  s.i8.scale = scale;
  s.i8.sum = sum;
  s.f32.bias = s.i8.bias = bias;
  return s;
}

/* ---- the levels ---- */

static const struct ner_kernels *portable(void) {
  return ner_kernels_level("portable");
}

/* The next level of this machine; the first one after NULL. */
static const struct ner_kernels *level_after(const struct ner_kernels *k) {
  int i = 0;
  while( k && strcmp(ner_kernels_name(i++), k->name) != 0 ) {}
  while( ner_kernels_name(i) && !ner_kernels_level(ner_kernels_name(i)) ) i++;
  return ner_kernels_name(i) ? ner_kernels_level(ner_kernels_name(i)) : NULL;
}
#define EACH_LEVEL(k) for( const struct ner_kernels *k = level_after(NULL); k; k = level_after(k) )

/* What this level adds to quantised bytes and zero points: 0, or -128 where it takes s8. */
static int shift_of(const struct ner_kernels *k) {
  float zero = 0;
  struct ner_row row;
  uint8_t q[64];
  k->quantise(&zero, 1, 1, 1, q, 64, &row);
  return row.zero;
}

#define CLOSE(got, want, tolerance, ...)                                                           \
  do {                                                                                             \
    double got_ = (got), want_ = (want);                                                           \
    if( !(fabs(got_ - want_) <= (tolerance)) ) {                                                   \
      fprintf(stderr, __VA_ARGS__);                                                                \
      fprintf(stderr, ": got %.9g, expected %.9g\n", got_, want_);                                 \
      fail();                                                                                      \
    }                                                                                              \
  } while( 0 )

/* ---- tests ---- */

static void test_levels(void **state) {
  struct ner_err err = {0};
  const struct ner_kernels *best;
  (void)state;
  assert_non_null(portable());
  assert_string_equal(portable()->name, "portable");
  assert_null(ner_kernels_level("sse9"));
  unsetenv("NER_CPU");
  best = ner_kernels_get(&err);
  assert_non_null(best);
  printf("# best level here: %s; OpenBLAS core: %s\n", best->name, ner_blas_core());
  EACH_LEVEL(k) {
    setenv("NER_CPU", k->name, 1);
    assert_ptr_equal(ner_kernels_get(&err), k);
  }
  setenv("NER_CPU", "sse9", 1);
  assert_null(ner_kernels_get(&err));
  assert_int_equal(err.code, NER_ERROR);
  assert_non_null(strstr(err.msg, "NER_CPU"));
  assert_non_null(strstr(err.msg, "sse9"));
  assert_non_null(strstr(err.msg, "portable"));
  setenv("NER_CPU", "", 1);
  assert_null(ner_kernels_get(NULL));
  unsetenv("NER_CPU");
}

static void test_packing(void **state) {
  enum { N = 19, K = 6 };
  float w[N * K], f32[32 * K], scale[32];
  int8_t i8[32 * 8];
  int32_t sum[32];
  struct ner_linear lin = {.n_out = N, .n_in = K, .packed = i8};
  (void)state;
  assert_int_equal(ner_packed_bytes(NER_PRECISION_F32, N, K), sizeof f32);
  assert_int_equal(ner_packed_bytes(NER_PRECISION_INT8, N, K), sizeof i8);
  for( int i = 0; i < N * K; i++ ) w[i] = (float)(i % 13 - 6);
  for( int k = 0; k < K; k++ ) w[4 * K + k] = 0;
  memset(f32, 0xA5, sizeof f32);
  memset(i8, 0xA5, sizeof i8);
  ner_pack_f32(w, N, K, f32);
  ner_pack_i8(w, N, K, i8, scale, sum);
  for( int n = 0; n < 32; n++ ) {
    int total = 0;
    for( int k = 0; k < 8; k++ ) {
      float want = n < N && k < K ? w[n * K + k] : 0;
      int q = packed_i8(&lin, n, k);
      if( k < K ) assert_true(f32[(n / 16 * K + k) * 16 + n % 16] == want);
      if( n >= N || k >= K ) assert_int_equal(q, 0);
      if( n < N ) CLOSE(q * scale[n], want, scale[n] / 2 * 1.0001, "n %d k %d", n, k);
      assert_in_range(q + 127, 0, 254);
      total += q;
    }
    assert_int_equal(sum[n], total);
    if( n >= N || n == 4 ) assert_true(scale[n] == 0);
  }
}

/* Int8 weights of any size, packed once more: within the bound, and those that keep it unchanged. */
static void test_repack(void **state) {
  (void)state;
  begin(11);
  for( int round = 0; round < 30; round++ ) {
    const struct { int n, k; } s = {1 + below(40), 1 + below(200)};
    struct weights w = weights_new(s.n, s.k, round % 2);
    size_t padded = ner_round_up((size_t)s.n, 16),
           bytes = ner_packed_bytes(NER_PRECISION_INT8, s.n, s.k);
    int8_t *packed = guarded(bytes, true);
    float *scale = guarded(padded * 4, true), *channel = guarded((size_t)s.k * 4, true);
    int32_t *sum = guarded(padded * 4, true);
    struct ner_linear got = w.i8;
    double square = 0, total = 0;
    ner_repack_i8(&w.i8, channel, packed, scale, sum);
    assert_memory_equal(packed, w.i8.packed, bytes);
    assert_memory_equal(scale, w.i8.scale, padded * 4);
    assert_memory_equal(sum, w.i8.sum, padded * 4);
    for( int n = 0; n < s.n; n++ )
      for( int k = 0; k < s.k; k++ ) set_packed_i8(&w.i8, n, k, below(255) - 127);
    ner_repack_i8(&w.i8, channel, packed, scale, sum);
    got.packed = packed, got.scale = scale, got.sum = sum;
    assert_within_limit(&got);
    for( int n = 0; n < s.n; n++ ) {
      int all = 0;
      for( int k = 0; k < s.k; k++ ) {
        double want = (double)w.i8.scale[n] * packed_i8(&w.i8, n, k);
        square += pow((double)scale[n] * packed_i8(&got, n, k) - want, 2);
        total += want * want;
        all += packed_i8(&got, n, k);
      }
      assert_int_equal(sum[n], all);
    }
    /* Evenly spread weights are the worst case: a lane of them holds up to twice the limit in one sign,
    ** so steps up to four times as coarse: 4·127 / 128 steps, of an error of 1/√12, to 127/√3. */
    if( total > 0 ) assert_true(sqrt(square / total) < 0.017);
    release();
  }
}

/* Packing moves floats about: at every level to the same places, and the padding is zero. */
static void test_pack_levels(void **state) {
  static const int sizes[] = {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
  enum { N_SIZES = sizeof sizes / sizeof *sizes };
  (void)state;
  begin(7);
  for( int s = 0; s < N_SIZES * N_SIZES * 2; s++ ) {
    int n_out = sizes[s / 2 % N_SIZES], n_in = sizes[s / 2 / N_SIZES], ldw = n_in + below(3);
    bool at_end = s & 1;
    size_t n_w = (size_t)(n_out - 1) * (size_t)ldw + (size_t)n_in;
    size_t bytes = ner_packed_bytes(NER_PRECISION_F32, n_out, n_in);
    float *w = guarded(n_w * sizeof *w, at_end), *want = guarded(bytes, at_end);
    float *got = guarded(bytes, at_end);
    for( size_t i = 0; i < n_w; i++ ) w[i] = (float)below(1000) - 500;
    portable()->pack(w, n_out, n_in, ldw, want);
    for( int n = 0; n < (int)ner_round_up((size_t)n_out, 16); n++ )
      for( int k = 0; k < n_in; k++ )
        assert_true(want[(n / 16 * n_in + k) * 16 + n % 16] ==
                    (n < n_out ? w[(size_t)n * (size_t)ldw + (size_t)k] : 0));
    EACH_LEVEL(k) {
      memset(got, 0xA5, bytes);
      k->pack(w, n_out, n_in, ldw, got);
      assert_memory_equal(got, want, bytes);
    }
    release();
  }
}

static void test_quantise(void **state) {
  static const int sizes[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 65, 100, 127, 768, 771};
  (void)state;
  begin(1);
  for( size_t s = 0; s < sizeof sizes / sizeof *sizes; s++ )
    for( int at_end = 0; at_end < 2; at_end++ ) {
      enum { M = 13 };
      int n = sizes[s], ldx = n + below(3), bytes = ner_quantised_bytes(n), ldq = bytes + 64;
      size_t n_x = (size_t)(M - 1) * (size_t)ldx + (size_t)n;
      size_t n_q = (size_t)(M - 1) * (size_t)ldq + (size_t)bytes;
      float *x = guarded(n_x * sizeof *x, at_end);
      struct ner_row row[M], want_row[M];
      uint8_t *want = guarded(n_q, at_end);
      for( size_t i = 0; i < n_x; i++ ) x[i] = bell() * powf(10, (float)(below(9) - 4));
      for( int k = 0; k < n; k++ ) {
        x[k] = 0;
        x[ldx + k] = 1e-35f * uniform();
        x[2 * ldx + k] = 3e38f * uniform();
        x[3 * ldx + k] = (float)(k % 255 - 127) + 0.5f; /* halves: to even */
        x[9 * ldx + k] = 1 + (float)k;                  /* nothing below 0: zero point 0 */
        x[10 * ldx + k] = -1 - (float)k;                /* nothing above: 255 */
      }
      x[3 * ldx] = 127.5f, x[3 * ldx + n - 1] = -127.5f;
      x[4 * ldx + n / 2] = NAN;
      x[5 * ldx + n / 2] = INFINITY;
      x[6 * ldx + n - 1] = -1e30f;
      x[7 * ldx] = -NAN;
      portable()->quantise(x, M, n, ldx, want, ldq, want_row);
      assert_true(want_row[0].scale == 0 && want_row[1].scale == 0);
      assert_true(want_row[9].zero == 0 && want_row[10].zero == 255);
      assert_int_equal(want[9 * ldq + n - 1], 255);
      assert_int_equal(want[10 * ldq + n - 1], 0);
      EACH_LEVEL(k) {
        int shift = shift_of(k);
        uint8_t *got = guarded(n_q, at_end);
        k->quantise(x, M, n, ldx, got, ldq, row);
        for( int m = 0; m < M; m++ ) {
          assert_memory_equal(&row[m].scale, &want_row[m].scale, sizeof(float));
          assert_int_equal(row[m].zero, want_row[m].zero + shift);
        }
        for( int m = 0; m < M; m++ )
          for( int i = 0; i < ldq && m * ldq + i < (int)n_q; i++ ) {
            uint8_t expect = want[m * ldq + i];
            if( i < n ) expect = (uint8_t)(expect + shift); /* beyond: zeros, then untouched */
            if( got[m * ldq + i] != expect )
              fail_msg("%s: n %d row %d byte %d: %d, not %d", k->name, n, m, i, got[m * ldq + i],
                       expect);
          }
        for( int m = 8; m < M; m++ ) /* what it is for: x = scale·(q - zero), to half a step */
          for( int i = 0; i < n; i++ )
            CLOSE((double)row[m].scale *
                      ((uint8_t)(got[m * ldq + i] - shift) - (row[m].zero - shift)),
                  x[m * ldx + i], row[m].scale * 0.5001, "%s quantise", k->name);
      }
      release();
    }
}

struct shape {
  int m, n, k;
};
/* All tails of rows (1..13, 6s and 12s), columns (of 16 and 32) and depth (of 4 and 2). */
static struct shape random_shape(int i) {
  static const struct shape fixed[] = {{1, 1, 1},     {1, 9, 768},   {12, 32, 64}, {13, 33, 65},
                                       {25, 48, 3},   {6, 16, 100},  {7, 17, 5},   {24, 64, 257},
                                       {48, 100, 31}, {16, 48, 300}, {64, 16, 40}, {5, 160, 96}};
  struct shape s;
  if( i < (int)(sizeof fixed / sizeof *fixed) ) return fixed[i];
  s = (struct shape){1 + below(30), 1 + below(70), 1 + below(90)};
  return s;
}

static void test_gemm_i8(void **state) {
  (void)state;
  begin(2);
  for( int round = 0; round < 60; round++ ) {
    struct shape s = random_shape(round);
    bool extreme = round % 3 == 0, at_end = round % 2, unit = round % 4 == 1;
    struct weights w = weights_new(s.n, s.k, extreme);
    int panels = ner_panels(s.n), bytes = ner_quantised_bytes(s.k), ldq = bytes + 64 * below(2);
    int ldy = s.n + below(2) * below(20), groups_end = (s.k + 3) / 4 * 4;
    size_t n_q = (size_t)(s.m - 1) * (size_t)ldq + (size_t)groups_end;
    size_t n_y = (size_t)(s.m - 1) * (size_t)ldy + (size_t)s.n;
    uint8_t *q = guarded(n_q, true);
    struct ner_row *row = guarded((size_t)s.m * sizeof *row, true), *shifted;
    float *want = guarded(n_y * sizeof *want, at_end);
    if( unit ) w.i8.bias = NULL;
    for( size_t i = 0; i < n_q; i++ )
      q[i] = (uint8_t)(!extreme ? below(256) : round % 2 ? 255 : 255 * below(2));
    for( int m = 0; m < s.m; m++ ) {
      row[m].scale = unit ? 1 : 0.01f + fabsf(uniform());
      row[m].zero = extreme ? 255 * below(2) : below(256);
      for( int k = s.k; k < groups_end; k++ ) q[m * ldq + k] = (uint8_t)below(256); /* times 0 */
    }
    portable()->gemm_i8(q, row, s.m, ldq, &w.i8, 0, panels, NER_EPILOGUE_NONE, want, ldy);
    for( int m = 0; m < s.m; m++ ) /* the specification against plain sums */
      for( int n = 0; n < s.n; n++ ) {
        int64_t sum = 0;
        double y;
        for( int k = 0; k < s.k; k++ )
          sum += (q[m * ldq + k] - row[m].zero) * packed_i8(&w.i8, n, k);
        y = (double)sum * row[m].scale * w.i8.scale[n];
        CLOSE(want[m * ldy + n], y + (w.i8.bias ? w.i8.bias[n] : 0), 1e-6 * (1 + fabs(y)),
              "portable int8");
      }
    shifted = guarded((size_t)s.m * sizeof *row, true);
    EACH_LEVEL(k) {
      int shift = shift_of(k);
      uint8_t *xq = guarded(n_q, at_end);
      float *got = guarded(n_y * sizeof *got, at_end), *gelu = guarded(n_y * sizeof *got, true);
      int cut = below(panels + 1);
      for( size_t i = 0; i < n_q; i++ ) xq[i] = (uint8_t)(q[i] + shift);
      for( int m = 0; m < s.m; m++ )
        shifted[m] = (struct ner_row){row[m].scale, row[m].zero + shift};
      k->gemm_i8(xq, shifted, s.m, ldq, &w.i8, 0, cut, NER_EPILOGUE_NONE, got, ldy);
      k->gemm_i8(xq, shifted, s.m, ldq, &w.i8, cut, panels, NER_EPILOGUE_NONE, got, ldy);
      if( memcmp(got, want, n_y * sizeof *got) != 0 )
        fail_msg("%s: int8 product differs at m %d n %d k %d", k->name, s.m, s.n, s.k);
      k->gemm_i8(xq, shifted, s.m, ldq, &w.i8, 0, panels, NER_EPILOGUE_GELU, gelu, ldy);
      for( int m = 0; m < s.m; m++ )
        for( int n = 0; n < ldy && m * ldy + n < (int)n_y; n++ ) {
          double x = want[m * ldy + n];
          if( n >= s.n )
            assert_memory_equal(&gelu[m * ldy + n], &want[m * ldy + n], 4);
          else
            CLOSE(gelu[m * ldy + n], x * (1 + erf(x / sqrt(2))) / 2, 3e-7 * (1 + fabs(x)),
                  "%s int8 gelu of %g", k->name, x);
        }
    }
    release();
  }
}

static void test_gemm_f32(void **state) {
  (void)state;
  begin(3);
  for( int round = 0; round < 60; round++ ) {
    struct shape s = random_shape(round);
    bool at_end = round % 2;
    struct weights w = weights_new(s.n, s.k, false);
    int panels = ner_panels(s.n), ldx = s.k + below(3), ldy = s.n + below(2) * below(20);
    size_t n_x = (size_t)(s.m - 1) * (size_t)ldx + (size_t)s.k;
    size_t n_y = (size_t)(s.m - 1) * (size_t)ldy + (size_t)s.n;
    float *x = guarded(n_x * sizeof *x, at_end), pattern;
    double *want = calloc(n_y, sizeof *want), *size = calloc(n_y, sizeof *size);
    assert_non_null(want);
    assert_non_null(size);
    memset(&pattern, 0xA5, sizeof pattern);
    if( round % 5 == 0 ) w.f32.bias = NULL;
    for( size_t i = 0; i < n_x; i++ ) x[i] = bell();
    for( int m = 0; m < s.m; m++ )
      for( int n = 0; n < s.n; n++ ) {
        double sum = w.f32.bias ? w.f32.bias[n] : 0, total = fabs(sum);
        for( int k = 0; k < s.k; k++ ) {
          double product = (double)x[m * ldx + k] * w.w[(size_t)n * (size_t)s.k + (size_t)k];
          sum += product;
          total += fabs(product);
        }
        want[m * ldy + n] = sum;
        size[m * ldy + n] = total;
      }
    EACH_LEVEL(k) {
      for( int gelu = 0; gelu < 2; gelu++ ) {
        enum ner_epilogue epilogue = gelu ? NER_EPILOGUE_GELU : NER_EPILOGUE_NONE;
        float *got = guarded(n_y * sizeof *got, at_end);
        int cut = below(panels + 1);
        k->gemm_f32(x, s.m, ldx, &w.f32, 0, cut, epilogue, got, ldy);
        k->gemm_f32(x, s.m, ldx, &w.f32, cut, panels, epilogue, got, ldy);
        for( int m = 0; m < s.m; m++ )
          for( int n = 0; n < ldy && m * ldy + n < (int)n_y; n++ ) {
            int i = m * ldy + n;
            double y = want[i];
            if( n >= s.n ) {
              assert_memory_equal(&got[i], &pattern, sizeof pattern);
              continue;
            }
            if( gelu ) y = y * (1 + erf(y / sqrt(2))) / 2;
            CLOSE(got[i], y, 1e-6 * (1 + size[i]), "%s f32 m %d n %d k %d", k->name, s.m, s.n, s.k);
          }
      }
    }
    free(want);
    free(size);
    release();
  }
}

/* A row alone gives what it gives in company, to the bit, in every function. */
static void test_rows(void **state) {
  enum { M = 29, N = 75, K = 70, LDQ = 128 };
  struct weights w;
  float *x, *all, *one;
  struct ner_row *rows;
  uint8_t *q;
  (void)state;
  begin(4);
  w = weights_new(N, K, false);
  x = guarded(M * K * 4, true);
  rows = guarded(M * sizeof *rows, true);
  all = guarded(M * N * 4, true);
  one = guarded(N * 4, true);
  q = guarded(M * LDQ, true);
  for( int i = 0; i < M * K; i++ ) x[i] = bell();
  EACH_LEVEL(k) {
    for( int m_all = 1; m_all <= M; m_all++ ) {
      int row = below(m_all);
      struct ner_row one_row;
      uint8_t one_q[LDQ];
      k->gemm_f32(x, m_all, K, &w.f32, 0, ner_panels(N), NER_EPILOGUE_GELU, all, N);
      k->gemm_f32(x + row * K, 1, K, &w.f32, 0, ner_panels(N), NER_EPILOGUE_GELU, one, N);
      if( memcmp(one, all + row * N, N * 4) != 0 )
        fail_msg("%s: row %d of %d differs alone (f32)", k->name, row, m_all);
      k->quantise(x, m_all, K, K, q, LDQ, rows);
      k->quantise(x + row * K, 1, K, K, one_q, LDQ, &one_row);
      assert_memory_equal(one_q, q + row * LDQ, LDQ);
      assert_memory_equal(&one_row, &rows[row], sizeof one_row);
      k->gemm_i8(q, rows, m_all, LDQ, &w.i8, 0, ner_panels(N), NER_EPILOGUE_GELU, all, N);
      k->gemm_i8(one_q, &one_row, 1, LDQ, &w.i8, 0, ner_panels(N), NER_EPILOGUE_GELU, one, N);
      if( memcmp(one, all + row * N, N * 4) != 0 )
        fail_msg("%s: row %d of %d differs alone (int8)", k->name, row, m_all);
    }
  }
  release();
}

static void test_layer_norm(void **state) {
  (void)state;
  begin(5);
  for( int round = 0; round < 40; round++ ) {
    enum { M = 3 };
    int n = round < 20 ? round + 1 : 1 + below(900), ld = n + below(3), at_end = round % 2;
    size_t n_x = (size_t)(M - 1) * (size_t)ld + (size_t)n;
    float *x = guarded(n_x * 4, at_end), *residual = guarded(n_x * 4, at_end);
    float *gain = guarded((size_t)n * 4, at_end), *bias = guarded((size_t)n * 4, at_end);
    float eps = round % 3 ? 1e-12f : 1e-5f;
    for( size_t i = 0; i < n_x; i++ ) x[i] = bell() + 2, residual[i] = bell();
    for( int i = 0; i < n; i++ ) gain[i] = bell(), bias[i] = bell();
    EACH_LEVEL(k) {
      for( int alias = 0; alias < 4; alias++ ) { /* y is its own, x, the residual; no residual */
        float *a = guarded(n_x * 4, at_end), *r = guarded(n_x * 4, at_end);
        float *y = alias == 0 ? guarded(n_x * 4, at_end) : alias == 2 ? r : a;
        memcpy(a, x, n_x * 4);
        memcpy(r, residual, n_x * 4);
        k->layer_norm(a, ld, alias == 3 ? NULL : r, ld, M, n, gain, bias, eps, y, ld);
        for( int m = 0; m < M; m++ ) {
          double mean = 0, var = 0;
          for( int i = 0; i < n; i++ )
            mean += x[m * ld + i] + (alias == 3 ? 0.0f : residual[m * ld + i]);
          mean /= n;
          for( int i = 0; i < n; i++ ) {
            double d = x[m * ld + i] + (alias == 3 ? 0.0f : residual[m * ld + i]) - mean;
            var += d * d;
          }
          var /= n;
          for( int i = 0; i < n; i++ ) {
            double d = x[m * ld + i] + (alias == 3 ? 0.0f : residual[m * ld + i]) - mean;
            double scale = 1 / sqrt(var + eps);
            if( n > 1 )
              CLOSE(y[m * ld + i], d * scale * gain[i] + bias[i],
                    1e-6 * (1 + fabs(gain[i]) * scale * 4 + fabs(d * scale * gain[i]) * 10),
                    "%s layer norm n %d", k->name, n);
          }
        }
      }
      while( n_held > 4 ) { /* those of this level */
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        n_held--;
        munmap(held[n_held].base, held[n_held].n_pages * page);
      }
    }
    release();
  }
}

static void test_softmax(void **state) {
  (void)state;
  begin(6);
  for( int round = 0; round < 60; round++ ) {
    enum { M = 3 };
    int n = round < 35 ? round + 1 : 1 + below(520), ld = n + below(3), at_end = round % 2;
    float spread = round % 3 == 0 ? 1 : round % 3 == 1 ? 10 : 200;
    size_t n_x = (size_t)(M - 1) * (size_t)ld + (size_t)n;
    float *x = guarded(n_x * 4, at_end);
    for( size_t i = 0; i < n_x; i++ ) x[i] = bell() * spread;
    EACH_LEVEL(k) {
      float *y = guarded(n_x * 4, at_end);
      memcpy(y, x, n_x * 4);
      k->softmax(y, M, n, ld);
      for( int m = 0; m < M; m++ ) {
        double top = -INFINITY, sum = 0;
        for( int i = 0; i < n; i++ ) top = fmax(top, x[m * ld + i]);
        for( int i = 0; i < n; i++ ) sum += exp(x[m * ld + i] - top);
        for( int i = 0; i < n; i++ ) {
          double want = exp(x[m * ld + i] - top) / sum;
          double rounding = 1e-6 + 1.2e-7 * (top - x[m * ld + i]); /* of x - top, and e^x */
          CLOSE(y[m * ld + i], want, want * rounding + 1e-37, "%s softmax n %d", k->name, n);
        }
        for( int i = n; i < ld && m * ld + i < (int)n_x; i++ )
          assert_true(y[m * ld + i] == x[m * ld + i]);
      }
    }
    release();
  }
}

/* 2e-7 where |x| <= 1, relative to |x| beyond; through a product with 1 and a bias. */
static void test_gelu(void **state) {
  float one = 1, packed[16] = {0}, bias[16], y[16];
  struct ner_linear lin = {.n_out = 16, .n_in = 1, .packed = packed, .bias = bias};
  (void)state;
  lin.precision = NER_PRECISION_F32;
  EACH_LEVEL(k) {
    double worst = 0;
    for( int i = -160000; i < 160000; i += 16 ) {
      for( int j = 0; j < 16; j++ ) bias[j] = (float)(i + j) * 1e-4f;
      k->gemm_f32(&one, 1, 1, &lin, 0, 1, NER_EPILOGUE_GELU, y, 16);
      for( int j = 0; j < 16; j++ ) {
        double x = bias[j], want = x * erfc(-x / sqrt(2)) / 2;
        double error = fabs(y[j] - want) / fmax(1, fabs(x));
        if( error > worst ) worst = error;
      }
    }
    printf("# %s: gelu is off by at most %.2g·max(1,|x|)\n", k->name, worst);
    assert_true(worst < 2e-7);
    for( int j = 0; j < 16; j++ ) bias[j] = j % 2 ? 1e30f : -1e30f;
    bias[0] = INFINITY;
    bias[2] = 0;
    k->gemm_f32(&one, 1, 1, &lin, 0, 1, NER_EPILOGUE_GELU, y, 16);
    assert_true(y[0] == INFINITY && y[2] == 0);
    CLOSE(y[1], 1e30, 2e23, "%s gelu of 1e30", k->name);
  }
}

/* No sum of as many products as a limit is for leaves 32 bits, and the next larger one could. */
static void test_limits_i16(void **state) {
  (void)state;
  for( int64_t n = 1; n <= 65536; n++ ) {
    int64_t limit = ner_i16_limit((int)n), values = ner_i16_value_limit((int)n);
    int64_t most = n * NER_I16_MAX < NER_I16_TOTAL + n ? n * NER_I16_MAX : NER_I16_TOTAL + n;
    assert_true(limit <= NER_I16_MAX && n * limit * limit <= INT32_MAX);
    assert_true(limit == NER_I16_MAX || n * (limit + 1) * (limit + 1) > INT32_MAX);
    assert_true(values <= NER_I16_MAX && most * values <= INT32_MAX);
    assert_true(values >= 1023);
  }
}

static void test_round_i16(void **state) {
  (void)state;
  begin(12);
  for( int round = 0; round < 80; round++ ) {
    int m = 1 + below(9), n = round < 40 ? round + 1 : 1 + below(90), ldx = n + below(3);
    int ldy = n + n % 2 + 2 * below(2), at_end = round % 2, pairs = (m + 1) / 2;
    size_t n_x = (size_t)(m - 1) * (size_t)ldx + (size_t)n;
    size_t n_y = (size_t)(m - 1) * (size_t)ldy + (size_t)(n + n % 2);
    size_t n_packed = (size_t)ner_panels(n) * 16 * 2 * (size_t)pairs;
    float *x = guarded(n_x * 4, at_end), top = 0, factor;
    int16_t *want = guarded(n_y * 2, true), *packed = guarded(n_packed * 2, true);
    for( size_t i = 0; i < n_x; i++ ) x[i] = bell();
    if( round % 5 == 1 ) x[below((int)n_x)] = NAN;
    if( round % 5 == 2 ) x[n - 1] = INFINITY;
    if( round % 5 == 3 )
      for( size_t i = 0; i < n_x; i++ )
        x[i] = (float)(below(65535) - 32767) + 0.5f * (float)below(2);
    for( int i = 0; i < m; i++ )
      for( int k = 0; k < n; k++ ) top = fmaxf(top, fabsf(x[i * ldx + k])); /* which ignores NaN */
    factor = round % 5 == 3 ? 1 : NER_I16_MAX / top;
    portable()->round_i16(x, m, n, ldx, factor, want, ldy);
    portable()->pair_i16(x, m, n, ldx, factor, packed);
    for( int i = 0; i < m; i++ ) {
      for( int k = 0; k < n; k++ ) {
        float steps = x[i * ldx + k] * factor;
        int q = want[i * ldy + k];
        assert_true(packed[((k / 16 * pairs + i / 2) * 16 + k % 16) * 2 + i % 2] == q);
        if( isnan(steps) )
          assert_int_equal(q, -NER_I16_MAX);
        else
          CLOSE(q, steps, round % 5 == 3 ? 1 : 0.5, "portable round_i16");
      }
      if( n % 2 ) assert_int_equal(want[i * ldy + n], 0);
    }
    for( int k = 0; k < ner_panels(n) * 16; k++ )
      for( int i = 0; i < 2 * pairs; i++ )
        if( k >= n || i >= m )
          assert_int_equal(packed[((k / 16 * pairs + i / 2) * 16 + k % 16) * 2 + i % 2], 0);
    EACH_LEVEL(k) {
      int16_t *got = guarded(n_y * 2, at_end), *got_packed = guarded(n_packed * 2, at_end);
      assert_true(k->extent(x, m, n, ldx) == top);
      k->round_i16(x, m, n, ldx, factor, got, ldy);
      k->pair_i16(x, m, n, ldx, factor, got_packed);
      if( memcmp(got, want, n_y * 2) != 0 ) fail_msg("%s: round_i16 differs at n %d", k->name, n);
      if( memcmp(got_packed, packed, n_packed * 2) != 0 )
        fail_msg("%s: pair_i16 differs at m %d n %d", k->name, m, n);
    }
    release();
  }
}

/* Every level as the portable one, and that as plain sums, also where every product is the largest of one
** sign or of either. */
static void test_gemm_i16(void **state) {
  (void)state;
  begin(13);
  for( int round = 0; round < 60; round++ ) {
    struct shape s = random_shape(round);
    bool extreme = round % 3 == 0, at_end = round % 2;
    int pairs = (s.k + 1) / 2, ldx = 2 * (pairs + below(2)), ldy = s.n + below(2) * below(20);
    int limit = ner_i16_limit(s.k);
    size_t n_x = (size_t)(s.m - 1) * (size_t)ldx + 2 * (size_t)pairs;
    size_t n_w = (size_t)ner_panels(s.n) * 16 * 2 * (size_t)pairs;
    size_t n_y = (size_t)(s.m - 1) * (size_t)ldy + (size_t)s.n;
    int16_t *x = guarded(n_x * 2, at_end), *w = guarded(n_w * 2, at_end);
    float *factor = guarded((size_t)s.m * 4, true), *want = guarded(n_y * 4, at_end);
    struct ner_linear lin = {.n_out = s.n, .n_in = s.k, .packed = w};
    for( size_t i = 0; i < n_x; i++ )
      x[i] = (int16_t)(extreme ? (round % 2 || below(2) ? limit : -limit)
                               : below(2 * limit + 1) - limit);
    for( size_t i = 0; i < n_w; i++ )
      w[i] = (int16_t)(extreme ? (round % 2 || below(2) ? limit : -limit)
                               : below(2 * limit + 1) - limit);
    if( s.k % 2 )
      for( int p = 0; p < ner_panels(s.n); p++ )
        for( int j = 0; j < 16; j++ )
          w[(((size_t)p + 1) * (size_t)pairs * 16 - 16 + (size_t)j) * 2 + 1] = 0;
    for( int m = 0; m < s.m; m++ ) factor[m] = round % 4 ? uniform() : 1;
    portable()->gemm_i16(x, s.m, ldx, &lin, factor, want, ldy);
    for( int m = 0; m < s.m; m++ )
      for( int n = 0; n < s.n; n++ ) {
        int64_t sum = 0;
        for( int k = 0; k < s.k; k++ )
          sum += x[m * ldx + k] * w[((n / 16 * pairs + k / 2) * 16 + n % 16) * 2 + k % 2];
        assert_true(llabs(sum) <= INT32_MAX);
        assert_true(want[m * ldy + n] == (float)sum * factor[m]);
      }
    EACH_LEVEL(k) {
      float *got = guarded(n_y * 4, at_end);
      k->gemm_i16(x, s.m, ldx, &lin, factor, got, ldy);
      if( memcmp(got, want, n_y * 4) != 0 )
        fail_msg("%s: int16 product differs at m %d n %d k %d", k->name, s.m, s.n, s.k);
    }
    release();
  }
}

static void test_softmax_i16(void **state) {
  (void)state;
  begin(14);
  for( int round = 0; round < 80; round++ ) {
    enum { M = 3 };
    int n = round < 35 ? round + 1 : 1 + below(520), padded = (n + 15) / 16 * 16;
    int ld = padded + 16 * below(2), at_end = round % 2;
    float spread = round % 4 == 0 ? 0.01f : round % 4 == 1 ? 1 : round % 4 == 2 ? 10 : 200;
    size_t n_x = (size_t)(M - 1) * (size_t)ld + (size_t)padded;
    float *x = guarded(n_x * 4, at_end), total[M];
    for( size_t i = 0; i < n_x; i++ ) x[i] = bell() * spread; /* also behind the rows */
    EACH_LEVEL(k) {
      float *lost = guarded(n_x * 4, at_end);
      int16_t *y = guarded(n_x * 2, at_end);
      memcpy(lost, x, n_x * 4);
      k->softmax_i16(lost, M, n, ld, y, ld, total);
      for( int m = 0; m < M; m++ ) {
        double top = -INFINITY, sum = 0;
        int64_t all = 0;
        for( int i = 0; i < n; i++ ) top = fmax(top, x[m * ld + i]);
        for( int i = 0; i < n; i++ ) sum += exp2(x[m * ld + i] - top);
        for( int i = 0; i < n; i++ ) {
          double share = exp2(x[m * ld + i] - top) / sum;
          CLOSE(y[m * ld + i], share * total[m], 0.5 + 1e-5 * share * total[m],
                "%s softmax_i16 n %d", k->name, n);
          all += y[m * ld + i];
        }
        assert_true(all <= NER_I16_TOTAL + n / 2 + 2);
        /* As fine as can be: the largest is all that fits, or all together are. */
        CLOSE(total[m], fmin(NER_I16_MAX * sum, NER_I16_TOTAL), 1e-5 * total[m], "%s total",
              k->name);
        for( int i = n; i < padded; i++ ) assert_int_equal(y[m * ld + i], 0);
      }
    }
    release();
  }
}

/* What no model should hold gives numbers that are not there, or any, but no fault. */
static void test_attention_i16_of_no_numbers(void **state) {
  enum { N = 20, HEAD = 8, LD = 3 * HEAD };
  static const float strange[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-38f, 0};
  (void)state;
  begin(15);
  EACH_LEVEL(k) {
    for( int i = 0; i < 6 * 3; i++ ) {
      float *x = guarded(N * LD * 4, true), *out = guarded(N * HEAD * 4, true);
      float *scratch = guarded(ner_attention_scratch(N, HEAD) * 4 + 64, false);
      for( int j = 0; j < N * LD; j++ )
        x[j] = strange[i / 3] == 0 || i / 3 == 4 ? strange[i / 3] : bell();
      x[5 * LD + i % 3 * HEAD + 2] = strange[i / 3];
      ner_attention_i16(k, x, x + HEAD, x + 2 * HEAD, N, HEAD, LD, scratch, out, HEAD);
      /* Infinite values are not passed off as finite ones; zeros stay zeros. */
      if( isinf(strange[i / 3]) && i % 3 == 2 )
        for( int j = 0; j < N * HEAD; j++ ) assert_false(isfinite(out[j]));
      if( strange[i / 3] == 0 )
        for( int j = 0; j < N * HEAD; j++ ) assert_true(out[j] == 0);
    }
    release();
    begin(15);
  }
  release();
}

static void test_attention(void **state) {
  static const struct shape shapes[] = {/* tokens, head, - */
                                        {1, 64, 0},   {2, 64, 0},  {17, 64, 0}, {50, 64, 0},
                                        {100, 64, 0}, {33, 16, 0}, {20, 5, 0},  {49, 20, 0},
                                        {97, 8, 0},   {16, 32, 0}};
  double worst = 0;
  (void)state;
  begin(7);
  for( size_t i = 0; i < sizeof shapes / sizeof *shapes; i++ ) {
    int n = shapes[i].m, head = shapes[i].n, ld = 3 * head + 1, ldo = head + 2;
    size_t n_qkv = (size_t)(n - 1) * (size_t)ld + 3 * (size_t)head;
    size_t n_out = (size_t)(n - 1) * (size_t)ldo + (size_t)head;
    size_t n_scratch = ner_attention_scratch(n, head);
    float *qkv = guarded(n_qkv * 4, true), *want = guarded(n_out * 4, true);
    for( size_t j = 0; j < n_qkv; j++ ) qkv[j] = bell() / 2;
    for( int a = 0; a < n; a++ ) {
      double score[128], sum = 0;
      for( int b = 0; b < n; b++ ) {
        score[b] = 0;
        for( int d = 0; d < head; d++ )
          score[b] += (double)qkv[a * ld + d] * qkv[b * ld + head + d];
        sum += score[b] = exp(score[b]);
      }
      for( int d = 0; d < head; d++ ) {
        double out = 0;
        for( int b = 0; b < n; b++ ) out += score[b] / sum * qkv[b * ld + 2 * head + d];
        want[a * ldo + d] = (float)out;
      }
    }
    EACH_LEVEL(k) {
      float *out = guarded(n_out * 4, true), *raw = guarded(n_scratch * 4 + 64, false);
      float *scratch = raw; /* a page begins here: aligned */
      ner_attention(k, qkv, qkv + head, qkv + 2 * head, n, head, ld, scratch, out, ldo);
      for( int a = 0; a < n; a++ )
        for( int d = 0; d < ldo && a * ldo + d < (int)n_out; d++ ) {
          if( d >= head )
            assert_memory_equal(&out[a * ldo + d], &want[a * ldo + d], 4);
          else
            CLOSE(out[a * ldo + d], want[a * ldo + d], 2e-6, "%s attention n %d head %d", k->name,
                  n, head);
        }
      ner_attention_i16(k, qkv, qkv + head, qkv + 2 * head, n, head, ld, scratch, out, ldo);
      for( int a = 0; a < n; a++ )
        for( int d = 0; d < ldo && a * ldo + d < (int)n_out; d++ ) {
          if( d >= head )
            assert_memory_equal(&out[a * ldo + d], &want[a * ldo + d], 4);
          else
            worst = fmax(worst, fabs(out[a * ldo + d] - want[a * ldo + d]));
        }
    }
    release();
  }
  printf("# int16 attention is off by at most %.2g, of values of up to 1.5\n", worst);
  assert_true(worst <
              8e-4); /* half a step of 1/2046 of the greatest value, and what the scores add */
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  for( size_t i = 0; i < n; i++ ) h = (h ^ p[i]) * 0x100000001B3u;
  return h;
}

/* Every vector unit gives the same bits: the hashes below hold for AVX2, AVX-512 and NEON alike,
** whatever the compiler. They change when the kernels are meant to give other numbers. */
static void test_same_bits(void **state) {
  enum { M = 5, N = 75, K = 83, LDQ = 128, N_TOK = 37, HEAD = 20, LD = 3 * HEAD };
  static const struct {
    const char *what;
    uint64_t hash;
  } want[] = {{"gemm_f32 and gelu", 0xF8BFAA2A54FB6A3C}, {"gemm_i8 and gelu", 0xDD05A20361990A1F},
              {"layer_norm", 0x5CB1BA641A14AAED},        {"softmax", 0x94117F0BEA8010AF},
              {"attention", 0x1665572A1373EE66},         {"attention_i16", 0xB7662A1D066A821E}};
  struct weights w;
  float *scratch;
  int n_wrong = 0;
  size_t n_scratch = ner_attention_scratch(N_TOK, HEAD);
  begin(8);
  w = weights_new(N, K, false);
  scratch = guarded(n_scratch * 4 + 64, false); /* a page begins here: aligned */
  EACH_LEVEL(k) {
    static float x[N_TOK * LD], y[M * N], out[N_TOK * HEAD], gain[LD];
    static struct ner_row rows[M];
    static uint8_t q[M * LDQ];
    uint64_t got[6];
    if( strcmp(k->name, "portable") == 0 || strcmp(k->name, "openblas") == 0 ) continue;
    seed = 9; /* the same numbers for each level */
    for( int i = 0; i < N_TOK * LD; i++ ) x[i] = 2 * uniform();
    for( int i = 0; i < LD; i++ ) gain[i] = uniform();
    for( int i = 0; i < 6; i++ ) got[i] = 0xCBF29CE484222325u;
    k->gemm_f32(x, M, K, &w.f32, 0, ner_panels(N), NER_EPILOGUE_GELU, y, N);
    got[0] = hash(got[0], y, sizeof y);
    k->quantise(x, M, K, K, q, LDQ, rows);
    k->gemm_i8(q, rows, M, LDQ, &w.i8, 0, ner_panels(N), NER_EPILOGUE_GELU, y, N);
    got[1] = hash(got[1], y, sizeof y);
    for( int n = 1; n <= LD; n++ ) {
      k->layer_norm(x, LD, x + LD, LD, 1, n, gain, gain, 1e-12f, out, LD);
      got[2] = hash(got[2], out, (size_t)n * 4);
      memcpy(out, x, sizeof out);
      for( int i = 0; i < n; i++ ) out[i] *= 8; /* of very unlike sizes after e^x */
      k->softmax(out, 1, n, LD);
      got[3] = hash(got[3], out, (size_t)n * 4);
    }
    ner_attention(k, x, x + HEAD, x + 2 * HEAD, N_TOK, HEAD, LD, scratch, out, HEAD);
    got[4] = hash(got[4], out, sizeof out);
    ner_attention_i16(k, x, x + HEAD, x + 2 * HEAD, N_TOK, HEAD, LD, scratch, out, HEAD);
    got[5] = hash(got[5], out, sizeof out);
    for( int i = 0; i < 6; i++ ) {
      if( got[i] == want[i].hash ) continue;
      n_wrong++;
      printf("# %s: %s gives 0x%016llX\n", k->name, want[i].what, (unsigned long long)got[i]);
    }
  }
  assert_int_equal(n_wrong, 0);
  release();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_levels),
      cmocka_unit_test(test_packing),
      cmocka_unit_test(test_repack),
      cmocka_unit_test(test_pack_levels),
      cmocka_unit_test(test_quantise),
      cmocka_unit_test(test_gemm_i8),
      cmocka_unit_test(test_gemm_f32),
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_layer_norm),
      cmocka_unit_test(test_softmax),
      cmocka_unit_test(test_gelu),
      cmocka_unit_test(test_attention),
      cmocka_unit_test(test_limits_i16),
      cmocka_unit_test(test_round_i16),
      cmocka_unit_test(test_gemm_i16),
      cmocka_unit_test(test_softmax_i16),
      cmocka_unit_test(test_attention_i16_of_no_numbers),
      cmocka_unit_test(test_same_bits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
