/*
** avx512.c - x86-64 with 512-bit vectors: "avx512" (F, BW, DQ, VL) and
** "avx512vnni" (the same with VPDPBUSD).
**
** What is computed stands in kernels/vector.h and kernels/vector_i8.h; here is
** what a vector of sixteen can do. Compiled with -DNER_EMULATE the instructions
** are played by plain C (tests/emulate.h), so that a machine without them can
** test this file.
*/
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>
#include "kernels/cpu_x86.h"

#ifdef NER_EMULATE
#include "emulate.h"
#define KERNEL __attribute__((target("avx2,fma")))
#else
#define KERNEL __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#endif
#define FN static inline __attribute__((always_inline)) KERNEL

#define NER_ISA(name) name##_avx512
#include "kernels/vector_names.h"

#define V          __m512
#define VI         __m512i
#define W          16
#define F32_ROWS   12 /* 12 × 32: 24 accumulators, 2 weights, 1 activation of 32 registers */
#define F32_PANELS 2

FN V v_load(const float *p) {
  return _mm512_loadu_ps(p);
}
FN void v_store(float *p, V v) {
  _mm512_storeu_ps(p, v);
}
FN V v_set(float f) {
  return _mm512_set1_ps(f);
}
FN V v_add(V a, V b) {
  return _mm512_add_ps(a, b);
}
FN V v_sub(V a, V b) {
  return _mm512_sub_ps(a, b);
}
FN V v_mul(V a, V b) {
  return _mm512_mul_ps(a, b);
}
FN V v_fma(V a, V b, V c) {
  return _mm512_fmadd_ps(a, b, c);
}
FN V v_fnma(V a, V b, V c) {
  return _mm512_fnmadd_ps(a, b, c);
}
FN V v_max(V a, V b) {
  return _mm512_max_ps(a, b);
}
FN V v_min(V a, V b) {
  return _mm512_min_ps(a, b);
}
FN V v_round(V a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FN V v_exp2i(V n) {
  VI biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
FN V v_div(V a, V b) {
  return _mm512_div_ps(a, b);
}
FN V v_sqrt(V a) {
  return _mm512_sqrt_ps(a);
}

FN __mmask16 NER_ISA(first_lanes)(int n) {
  return (__mmask16)((1u << n) - 1);
}
FN V v_load_n(const float *p, int n, float fill) {
  return _mm512_mask_loadu_ps(v_set(fill), NER_ISA(first_lanes)(n), p);
}
FN void v_store_n(float *p, V v, int n) {
  _mm512_mask_storeu_ps(p, NER_ISA(first_lanes)(n), v);
}

FN float v_sum(V v) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
FN float v_top(V v) {
  __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* First within the 128-bit lanes of four rows each, then the lanes among the fours. */
FN void v_transpose(V *v) {
  V t[16];
  _Pragma("GCC unroll 4") for( int i = 0; i < 16; i += 4 ) {
    V a = _mm512_unpacklo_ps(v[i], v[i + 1]), b = _mm512_unpackhi_ps(v[i], v[i + 1]);
    V c = _mm512_unpacklo_ps(v[i + 2], v[i + 3]), d = _mm512_unpackhi_ps(v[i + 2], v[i + 3]);
    t[i] = _mm512_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
    t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
  }
  _Pragma("GCC unroll 4") for( int j = 0; j < 4; j++ ) {
    V a = _mm512_shuffle_f32x4(t[j], t[j + 4], 0x88),
      b = _mm512_shuffle_f32x4(t[j], t[j + 4], 0xDD);
    V c = _mm512_shuffle_f32x4(t[j + 8], t[j + 12], 0x88);
    V d = _mm512_shuffle_f32x4(t[j + 8], t[j + 12], 0xDD);
    v[j] = _mm512_shuffle_f32x4(a, c, 0x88);
    v[j + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
    v[j + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
    v[j + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
}
FN void v_store_q(uint8_t *p, V v, VI offset) {
  VI i = _mm512_add_epi32(_mm512_cvtps_epi32(v), offset);
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(i));
}

FN void v_store_s(int16_t *p, V v) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
}

FN VI i_load(const int32_t *p) {
  return _mm512_loadu_si512(p);
}
FN void i_store(void *p, VI i) {
  _mm512_storeu_si512(p, i);
}
FN VI i_pair(V a, V b) {
  VI low = _mm512_and_si512(_mm512_cvtps_epi32(a), _mm512_set1_epi32(0xFFFF));
  return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtps_epi32(b), 16));
}
FN VI i_broadcast(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
FN VI i_set(int32_t i) {
  return _mm512_set1_epi32(i);
}
FN VI i_mul(VI a, VI b) {
  return _mm512_mullo_epi32(a, b);
}
FN VI i_sub(VI a, VI b) {
  return _mm512_sub_epi32(a, b);
}
FN V v_from_i(VI i) {
  return _mm512_cvtepi32_ps(i);
}

#include "kernels/vector.h"
#include "kernels/vector_train.h"

KERNEL static void NER_ISA(quantise)(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                                     struct ner_row *row) {
  NER_ISA(quantise_rows)(x, m, n, ldx, xq, ldq, row, 0);
}

/* Bytes without VNNI: as on AVX2, see there. 12 × 16: 12 sums of 16 bits, 12 of 32, 1 weight, 1 activation,
** 1 product and the ones: 28 of 32 registers. */
#define I8(name)           name##_i8_avx512
#define I8_ROWS            12
#define I8_PANELS          1
#define I8_WEIGHTS         VI
#define I8_LOAD(p)         _mm512_loadu_si512(p)
#define I8_SUM             VI
#define I8_MUL(s, x, w)    s = _mm512_maddubs_epi16(x, w)
#define I8_MULADD(s, x, w) s = _mm512_add_epi16(s, _mm512_maddubs_epi16(x, w))
#define I8_WIDEN(acc, s)   acc = _mm512_add_epi32(acc, _mm512_madd_epi16(s, _mm512_set1_epi16(1)))
#include "kernels/vector_i8.h"
#undef I8
#undef I8_ROWS
#undef I8_PANELS
#undef I8_WEIGHTS
#undef I8_LOAD
#undef I8_SUM
#undef I8_MUL
#undef I8_MULADD
#undef I8_WIDEN

/* As inline assembly: gcc 12 would copy the accumulator of the intrinsic at each step. */
#ifdef NER_EMULATE
#define DPBUSD(acc, x, w) acc = _mm512_dpbusd_epi32(acc, x, w)
#else
#define DPBUSD(acc, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w))
#endif
#define I8(name)          name##_i8_avx512vnni
#define I8_ROWS           12
#define I8_PANELS         2
#define I8_WEIGHTS        VI
#define I8_LOAD(p)        _mm512_loadu_si512(p)
#define I8_DOT(acc, x, w) DPBUSD(acc, x, w)
#include "kernels/vector_i8.h"

/* Pairs of int16: 12 × 16, that is, 12 sums, 1 weight, 1 activation and 1 product of 32 registers. */
#define I16(name)           name##_i16_avx512
#define I16_ROWS            12
#define I16_SUM             VI
#define I16_ZERO            i_set(0)
#define I16_WEIGHTS         VI
#define I16_LOAD(p)         _mm512_loadu_si512(p)
#define I16_MULADD(s, x, w) s = _mm512_add_epi32(s, _mm512_madd_epi16(x, w))
#define I16_TOTAL(s)        s
#include "kernels/vector_i16.h"
#undef I16
#undef I16_MULADD

#ifdef NER_EMULATE
#define DPWSSD(acc, x, w) acc = _mm512_dpwssd_epi32(acc, x, w)
#else
#define DPWSSD(acc, x, w) __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w))
#endif
#define I16(name)           name##_i16_avx512vnni
#define I16_MULADD(s, x, w) DPWSSD(s, x, w)
#include "kernels/vector_i16.h"

static bool avx512_fill(struct ner_kernels *table) {
  table->gemm_f32 = NER_ISA(gemm_f32);
  table->gemm_i8 = gemm_i8_avx512;
  table->layer_norm = NER_ISA(layer_norm);
  table->softmax = NER_ISA(softmax);
  table->pack = NER_ISA(pack);
  NER_ISA(fill_training)(table);
  table->quantise = NER_ISA(quantise);
  table->extent = NER_ISA(extent);
  table->round_i16 = NER_ISA(round_i16);
  table->pair_i16 = NER_ISA(pair_i16);
  table->softmax_i16 = NER_ISA(softmax_i16);
  table->gemm_i16 = gemm_i16_avx512;
  return true;
}

bool ner_kernels_avx512(struct ner_kernels *table) {
  return ner_cpu_x86().avx512 && avx512_fill(table);
}
bool ner_kernels_avx512vnni(struct ner_kernels *table) {
  if( !ner_cpu_x86().avx512vnni || !avx512_fill(table) ) return false;
  table->gemm_i8 = gemm_i8_avx512vnni;
  table->gemm_i16 = gemm_i16_avx512vnni;
  return true;
}

#include "kernels/vector_end.h"
#else
bool ner_kernels_avx512(struct ner_kernels *table) {
  return false;
}
bool ner_kernels_avx512vnni(struct ner_kernels *table) {
  return false;
}
#endif
