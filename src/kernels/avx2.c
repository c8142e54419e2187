/*
** avx2.c - x86-64 with 256-bit vectors: "avx2" (AVX2 and FMA) and
** "avxvnni" (the same with VPDPBUSD, AVX-VNNI).
**
** What is computed stands in kernels/vector.h and kernels/vector_i8.h; here is
** what a vector of eight can do.
*/
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>
#include "kernels/cpu_x86.h"

#ifdef NER_EMULATE
#include "emulate.h"
#endif
#define KERNEL __attribute__((target("avx2,fma")))
#define FN     static inline __attribute__((always_inline)) KERNEL

#define NER_ISA(name) name##_avx2
#include "kernels/vector_names.h"

#define V          __m256
#define VI         __m256i
#define W          8
#define F32_ROWS   6 /* 6 × 16: 12 accumulators, 2 weights, 1 activation of 16 registers */
#define F32_PANELS 1

FN V v_load(const float *p) {
  return _mm256_loadu_ps(p);
}
FN void v_store(float *p, V v) {
  _mm256_storeu_ps(p, v);
}
FN V v_set(float f) {
  return _mm256_set1_ps(f);
}
FN V v_add(V a, V b) {
  return _mm256_add_ps(a, b);
}
FN V v_sub(V a, V b) {
  return _mm256_sub_ps(a, b);
}
FN V v_mul(V a, V b) {
  return _mm256_mul_ps(a, b);
}
FN V v_div(V a, V b) {
  return _mm256_div_ps(a, b);
}
FN V v_sqrt(V a) {
  return _mm256_sqrt_ps(a);
}
FN V v_fma(V a, V b, V c) {
  return _mm256_fmadd_ps(a, b, c);
}
FN V v_fnma(V a, V b, V c) {
  return _mm256_fnmadd_ps(a, b, c);
}
FN V v_max(V a, V b) {
  return _mm256_max_ps(a, b);
}
FN V v_min(V a, V b) {
  return _mm256_min_ps(a, b);
}
FN V v_round(V a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
FN V v_exp2i(V n) {
  VI biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

FN VI NER_ISA(first_lanes)(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FN V v_load_n(const float *p, int n, float fill) {
  VI mask = NER_ISA(first_lanes)(n);
  return _mm256_blendv_ps(v_set(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
}
FN void v_store_n(float *p, V v, int n) {
  _mm256_maskstore_ps(p, NER_ISA(first_lanes)(n), v);
}

FN float v_sum(V v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
FN float v_top(V v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* First within the 128-bit lanes of four rows each, then the lanes between the fours. */
FN void v_transpose(V *v) {
  V t[8];
  _Pragma("GCC unroll 2") for( int i = 0; i < 8; i += 4 ) {
    V a = _mm256_unpacklo_ps(v[i], v[i + 1]), b = _mm256_unpackhi_ps(v[i], v[i + 1]);
    V c = _mm256_unpacklo_ps(v[i + 2], v[i + 3]), d = _mm256_unpackhi_ps(v[i + 2], v[i + 3]);
    t[i] = _mm256_shuffle_ps(a, c, 0x44);
    t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
    t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
  }
  _Pragma("GCC unroll 4") for( int j = 0; j < 4; j++ ) {
    v[j] = _mm256_permute2f128_ps(t[j], t[j + 4], 0x20);
    v[j + 4] = _mm256_permute2f128_ps(t[j], t[j + 4], 0x31);
  }
}
FN void v_store_q(uint8_t *p, V v, VI offset) {
  VI i = _mm256_add_epi32(_mm256_cvtps_epi32(v), offset);
  __m128i s = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(s, s));
}

FN void v_store_s(int16_t *p, V v) {
  VI i = _mm256_cvtps_epi32(v);
  __m128i s = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storeu_si128((__m128i *)p, s);
}

FN VI i_load(const int32_t *p) {
  return _mm256_loadu_si256((const VI *)p);
}
FN void i_store(void *p, VI i) {
  _mm256_storeu_si256(p, i);
}
FN VI i_pair(V a, V b) {
  VI high = _mm256_slli_epi32(_mm256_cvtps_epi32(b), 16);
  return _mm256_blend_epi16(_mm256_cvtps_epi32(a), high, 0xAA);
}
FN VI i_broadcast(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}
FN VI i_set(int32_t i) {
  return _mm256_set1_epi32(i);
}
FN VI i_mul(VI a, VI b) {
  return _mm256_mullo_epi32(a, b);
}
FN VI i_sub(VI a, VI b) {
  return _mm256_sub_epi32(a, b);
}
FN V v_from_i(VI i) {
  return _mm256_cvtepi32_ps(i);
}

#include "kernels/vector.h"
#include "kernels/vector_train.h"

KERNEL static void NER_ISA(quantise)(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                                     struct ner_row *row) {
  NER_ISA(quantise_rows)(x, m, n, ldx, xq, ldq, row, 0);
}

/* Bytes without VNNI: VPMADDUBSW adds two products into 16 bits, VPADDW adds up those of a chunk, and
** VPMADDWD by ones adds pairs into 32 bits, for VPADDD. For 2·32 products that is 2 + 1 + 1 + 1
** instructions, three of them for the two ports that multiply; VPMADDUBSW, VPMADDWD, VPADDD for each 32
** take four. Nothing saturates and nothing overflows: see NER_I8_LIMIT.
** 3 × 16: 6 sums of 16 bits, 6 of 32, 2 weights, 1 activation and 1 product fill the 16 registers, so the
** ones stay in memory. Inline assembly, because gcc 12 regroups VPADDW of intrinsics until it runs out of
** registers. */
static const int16_t NER_ISA(ones)[16]
    __attribute__((aligned(32))) = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
#define I8(name)   name##_i8_avx2
#define I8_ROWS    3
#define I8_PANELS  1
#define I8_WEIGHTS VI
#define I8_LOAD(p) _mm256_loadu_si256((const VI *)(p))
#define I8_SUM     VI
#ifdef __clang__
#define I8_MUL(s, x, w)    s = _mm256_maddubs_epi16(x, w)
#define I8_MULADD(s, x, w) s = _mm256_add_epi16(s, _mm256_maddubs_epi16(x, w))
#define I8_WIDEN(acc, s)                                                                           \
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(s, *(const VI *)NER_ISA(ones)))
#else
#define I8_MUL(s, x, w) __asm__("vpmaddubsw %2, %1, %0" : "=x"(s) : "x"(x), "x"(w))
#define I8_MULADD(s, x, w)                                                                         \
  do {                                                                                             \
    VI product_;                                                                                   \
    I8_MUL(product_, x, w);                                                                        \
    __asm__("vpaddw %1, %0, %0" : "+x"(s) : "x"(product_));                                        \
  } while( 0 )
#define I8_WIDEN(acc, s)                                                                           \
  do {                                                                                             \
    __asm__("vpmaddwd %1, %0, %0" : "+x"(s) : "m"(*(const VI *)NER_ISA(ones)));                    \
    __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(s));                                             \
  } while( 0 )
#endif
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

/* VPDPBUSD as inline assembly: gcc 12 would copy the accumulator of the intrinsic at each step. */
#ifdef NER_EMULATE
#define DPBUSD(acc, x, w) acc = _mm256_dpbusd_epi32(acc, x, w)
#else
#define DPBUSD(acc, x, w) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w))
#endif
#define I8(name)          name##_i8_avxvnni
#define I8_ROWS           6
#define I8_PANELS         1
#define I8_WEIGHTS        VI
#define I8_LOAD(p)        _mm256_loadu_si256((const VI *)(p))
#define I8_DOT(acc, x, w) DPBUSD(acc, x, w)
#include "kernels/vector_i8.h"

/* Pairs of int16: 6 × 16, that is, 12 sums, 2 weights, 1 activation and 1 product fill the registers. Inline
** assembly for the reason given above. */
#ifdef __clang__
#define I16_MULADD(s, x, w) s = _mm256_add_epi32(s, _mm256_madd_epi16(x, w))
#else
#define I16_MULADD(s, x, w)                                                                        \
  do {                                                                                             \
    VI product_;                                                                                   \
    __asm__("vpmaddwd %2, %1, %0" : "=x"(product_) : "x"(x), "x"(w));                              \
    __asm__("vpaddd %1, %0, %0" : "+x"(s) : "x"(product_));                                        \
  } while( 0 )
#endif
#define I16(name)    name##_i16_avx2
#define I16_ROWS     6
#define I16_SUM      VI
#define I16_ZERO     i_set(0)
#define I16_WEIGHTS  VI
#define I16_LOAD(p)  _mm256_loadu_si256((const VI *)(p))
#define I16_TOTAL(s) s
#include "kernels/vector_i16.h"
#undef I16
#undef I16_MULADD

/* VPDPWSSD, for the same reason. */
#ifdef NER_EMULATE
#define DPWSSD(acc, x, w) acc = _mm256_dpwssd_epi32(acc, x, w)
#else
#define DPWSSD(acc, x, w) __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(w))
#endif
#define I16(name)           name##_i16_avxvnni
#define I16_MULADD(s, x, w) DPWSSD(s, x, w)
#include "kernels/vector_i16.h"

static bool avx2_fill(struct ner_kernels *table) {
  table->gemm_f32 = NER_ISA(gemm_f32);
  table->gemm_i8 = gemm_i8_avx2;
  table->layer_norm = NER_ISA(layer_norm);
  table->softmax = NER_ISA(softmax);
  table->pack = NER_ISA(pack);
  NER_ISA(fill_training)(table);
  table->quantise = NER_ISA(quantise);
  table->extent = NER_ISA(extent);
  table->round_i16 = NER_ISA(round_i16);
  table->pair_i16 = NER_ISA(pair_i16);
  table->softmax_i16 = NER_ISA(softmax_i16);
  table->gemm_i16 = gemm_i16_avx2;
  return true;
}

bool ner_kernels_avx2(struct ner_kernels *table) {
  return ner_cpu_x86().avx2 && avx2_fill(table);
}
bool ner_kernels_avxvnni(struct ner_kernels *table) {
  if( !ner_cpu_x86().avxvnni || !avx2_fill(table) ) return false;
  table->gemm_i8 = gemm_i8_avxvnni;
  table->gemm_i16 = gemm_i16_avxvnni;
  return true;
}

#include "kernels/vector_end.h"
#else
bool ner_kernels_avx2(struct ner_kernels *table) {
  return false;
}
bool ner_kernels_avxvnni(struct ner_kernels *table) {
  return false;
}
#endif
