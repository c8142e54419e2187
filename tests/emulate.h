/*
** emulate.h - AVX-512 and VPDPBUSD played by plain C, for testing the kernels
** that use them on machines that have neither.
**
** kernels_avx512.c and kernels_avx2.c include this when compiled with
** -DNER_EMULATE. Each intrinsic they use is replaced by a function that does,
** lane by lane, what Intel's manual says. Only semantics are tested this way; what
** the compiler and assembler make of the real ones is for a machine that has them.
**
** One is stricter than the original: the estimate of a reciprocal is cut to the 14
** bits that are promised.
*/
#ifndef NER_TEST_EMULATE_H
#define NER_TEST_EMULATE_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define EMU static inline __attribute__((target("avx2,fma"), unused))

/* A register as its lanes. */
union emu {
  __m512 ps;
  __m512i si;
  float f[16];
  int32_t i[16];
  uint32_t u[16];
  int16_t s[32];
  int8_t b[64];
  uint8_t c[64];
};

#define EMU_OUT(field, n, expr)                                                                    \
  union emu out;                                                                                   \
  for( int k = 0; k < (n); k++ ) out.field[k] = (expr)

EMU __m512 emu_loadu_ps(const void *p) {
  union emu out;
  memcpy(&out, p, sizeof out);
  return out.ps;
}
EMU void emu_storeu_ps(void *p, __m512 v) {
  memcpy(p, &v, sizeof v);
}
EMU __m512i emu_loadu_si512(const void *p) {
  union emu out;
  memcpy(&out, p, sizeof out);
  return out.si;
}
EMU __m512 emu_mask_loadu_ps(__m512 src, __mmask16 mask, const float *p) {
  union emu a = {.ps = src};
  for( int k = 0; k < 16; k++ )
    if( mask >> k & 1 ) a.f[k] = p[k];
  return a.ps;
}
EMU void emu_mask_storeu_ps(float *p, __mmask16 mask, __m512 v) {
  union emu a = {.ps = v};
  for( int k = 0; k < 16; k++ )
    if( mask >> k & 1 ) p[k] = a.f[k];
}
EMU __m512 emu_set1_ps(float x) {
  EMU_OUT(f, 16, x);
  return out.ps;
}
EMU __m512i emu_set1_epi32(int x) {
  EMU_OUT(i, 16, x);
  return out.si;
}
EMU __m512i emu_set1_epi16(short x) {
  EMU_OUT(s, 32, x);
  return out.si;
}

#define EMU_FLOAT2(name, expr)                                                                     \
  EMU __m512 name(__m512 va, __m512 vb) {                                                          \
    union emu a = {.ps = va}, b = {.ps = vb};                                                      \
    EMU_OUT(f, 16, expr);                                                                          \
    return out.ps;                                                                                 \
  }
EMU_FLOAT2(emu_add_ps, a.f[k] + b.f[k])
EMU_FLOAT2(emu_sub_ps, a.f[k] - b.f[k])
EMU_FLOAT2(emu_mul_ps, a.f[k] * b.f[k])
EMU_FLOAT2(emu_div_ps, a.f[k] / b.f[k])
EMU_FLOAT2(emu_max_ps, a.f[k] > b.f[k] ? a.f[k] : b.f[k]) /* NaN: the second */
EMU_FLOAT2(emu_min_ps, a.f[k] < b.f[k] ? a.f[k] : b.f[k])

EMU __m512 emu_fmadd_ps(__m512 va, __m512 vb, __m512 vc) {
  union emu a = {.ps = va}, b = {.ps = vb}, c = {.ps = vc};
  EMU_OUT(f, 16, fmaf(a.f[k], b.f[k], c.f[k]));
  return out.ps;
}
EMU __m512 emu_fnmadd_ps(__m512 va, __m512 vb, __m512 vc) {
  union emu a = {.ps = va}, b = {.ps = vb}, c = {.ps = vc};
  EMU_OUT(f, 16, fmaf(-a.f[k], b.f[k], c.f[k]));
  return out.ps;
}
EMU __m512 emu_abs_ps(__m512 va) {
  union emu a = {.ps = va};
  EMU_OUT(f, 16, fabsf(a.f[k]));
  return out.ps;
}
EMU __m512 emu_sqrt_ps(__m512 va) {
  union emu a = {.ps = va};
  EMU_OUT(f, 16, sqrtf(a.f[k]));
  return out.ps;
}
EMU __m512 emu_round_ps(__m512 va) {
  union emu a = {.ps = va};
  EMU_OUT(f, 16, nearbyintf(a.f[k]));
  return out.ps;
}
EMU __m256 emu_high_ps(__m512 va) {
  __m256 out;
  memcpy(&out, (const char *)&va + 32, sizeof out);
  return out;
}
EMU __m256 emu_low_ps(__m512 va) {
  __m256 out;
  memcpy(&out, &va, sizeof out);
  return out;
}

/* How the 128-bit lane of four floats at k is made of the same lanes of a and b. */
EMU_FLOAT2(emu_unpacklo_ps, (k & 1 ? b : a).f[(k & 12) + (k & 3) / 2])
EMU_FLOAT2(emu_unpackhi_ps, (k & 1 ? b : a).f[(k & 12) + 2 + (k & 3) / 2])
EMU __m512 emu_shuffle_ps(__m512 va, __m512 vb, int how) {
  union emu a = {.ps = va}, b = {.ps = vb};
  EMU_OUT(f, 16, (k & 2 ? b : a).f[(k & 12) + (how >> 2 * (k & 3) & 3)]);
  return out.ps;
}
/* The same with lanes for floats. */
EMU __m512 emu_shuffle_f32x4(__m512 va, __m512 vb, int how) {
  union emu a = {.ps = va}, b = {.ps = vb};
  EMU_OUT(f, 16, (k & 8 ? b : a).f[4 * (how >> 2 * (k / 4) & 3) + (k & 3)]);
  return out.ps;
}

EMU __m512i emu_cvtps_epi32(__m512 va) {
  union emu a = {.ps = va};
  EMU_OUT(i, 16, fabsf(a.f[k]) < 2147483648.0f ? (int32_t)nearbyintf(a.f[k]) : INT32_MIN);
  return out.si;
}
EMU __m512 emu_cvtepi32_ps(__m512i va) {
  union emu a = {.si = va};
  EMU_OUT(f, 16, (float)a.i[k]);
  return out.ps;
}
EMU __m128i emu_cvtepi32_epi8(__m512i va) {
  union emu a = {.si = va};
  int8_t out[16];
  __m128i v;
  for( int k = 0; k < 16; k++ ) out[k] = (int8_t)a.u[k];
  memcpy(&v, out, sizeof v);
  return v;
}
EMU __m256i emu_cvtepi32_epi16(__m512i va) {
  union emu a = {.si = va};
  int16_t out[16];
  __m256i v;
  for( int k = 0; k < 16; k++ ) out[k] = (int16_t)a.u[k];
  memcpy(&v, out, sizeof v);
  return v;
}
EMU __m512i emu_and_si512(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, a.u[k] & b.u[k]);
  return out.si;
}
EMU __m512i emu_or_si512(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, a.u[k] | b.u[k]);
  return out.si;
}
EMU void emu_storeu_si512(void *p, __m512i v) {
  memcpy(p, &v, sizeof v);
}
EMU __m512i emu_add_epi32(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, a.u[k] + b.u[k]);
  return out.si;
}
EMU __m512i emu_sub_epi32(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, a.u[k] - b.u[k]);
  return out.si;
}
EMU __m512i emu_mullo_epi32(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, a.u[k] * b.u[k]);
  return out.si;
}
EMU __m512i emu_add_epi16(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(s, 32, (int16_t)(uint16_t)(a.s[k] + b.s[k]));
  return out.si;
}
EMU __m512i emu_slli_epi32(__m512i va, unsigned n) {
  union emu a = {.si = va};
  EMU_OUT(u, 16, a.u[k] << n);
  return out.si;
}
EMU __m512 emu_castsi512_ps(__m512i va) {
  union emu a = {.si = va};
  return a.ps;
}
static inline int16_t emu_saturate16(int32_t x) {
  return (int16_t)(x > INT16_MAX ? INT16_MAX : x < INT16_MIN ? INT16_MIN : x);
}
EMU __m512i emu_maddubs_epi16(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(s, 32, emu_saturate16(a.c[2 * k] * b.b[2 * k] + a.c[2 * k + 1] * b.b[2 * k + 1]));
  return out.si;
}
EMU __m512i emu_madd_epi16(__m512i va, __m512i vb) {
  union emu a = {.si = va}, b = {.si = vb};
  EMU_OUT(u, 16, (uint32_t)(a.s[2 * k] * b.s[2 * k]) + (uint32_t)(a.s[2 * k + 1] * b.s[2 * k + 1]));
  return out.si;
}

/* acc += two products, without saturation. */
static inline void emu_dpwssd(uint32_t *acc, const int16_t *a, const int16_t *b, int lanes) {
  for( int k = 0; k < lanes; k++ )
    for( int j = 0; j < 2; j++ ) acc[k] += (uint32_t)(a[2 * k + j] * b[2 * k + j]);
}
EMU __m512i emu_dpwssd_epi32(__m512i acc, __m512i va, __m512i vb) {
  union emu out = {.si = acc}, a = {.si = va}, b = {.si = vb};
  emu_dpwssd(out.u, a.s, b.s, 16);
  return out.si;
}
EMU __m256i emu_dpwssd_epi32_256(__m256i acc, __m256i va, __m256i vb) {
  uint32_t out[8];
  int16_t a[16], b[16];
  memcpy(out, &acc, sizeof out);
  memcpy(a, &va, sizeof a);
  memcpy(b, &vb, sizeof b);
  emu_dpwssd(out, a, b, 8);
  memcpy(&acc, out, sizeof acc);
  return acc;
}

/* acc += four products of unsigned a and signed b, without saturation. */
static inline void emu_dpbusd(uint32_t *acc, const uint8_t *a, const int8_t *b, int lanes) {
  for( int k = 0; k < lanes; k++ )
    for( int j = 0; j < 4; j++ ) acc[k] += (uint32_t)(a[4 * k + j] * b[4 * k + j]);
}
EMU __m512i emu_dpbusd_epi32(__m512i acc, __m512i va, __m512i vb) {
  union emu out = {.si = acc}, a = {.si = va}, b = {.si = vb};
  emu_dpbusd(out.u, a.c, b.b, 16);
  return out.si;
}
EMU __m256i emu_dpbusd_epi32_256(__m256i acc, __m256i va, __m256i vb) {
  uint32_t out[8];
  uint8_t a[32];
  int8_t b[32];
  memcpy(out, &acc, sizeof out);
  memcpy(a, &va, sizeof a);
  memcpy(b, &vb, sizeof b);
  emu_dpbusd(out, a, b, 8);
  memcpy(&acc, out, sizeof acc);
  return acc;
}

#define _mm512_loadu_ps       emu_loadu_ps
#define _mm512_storeu_ps      emu_storeu_ps
#define _mm512_loadu_si512    emu_loadu_si512
#define _mm512_mask_loadu_ps  emu_mask_loadu_ps
#define _mm512_mask_storeu_ps emu_mask_storeu_ps
#define _mm512_set1_ps        emu_set1_ps
#define _mm512_set1_epi32     emu_set1_epi32
#define _mm512_set1_epi16     emu_set1_epi16
#define _mm512_add_ps         emu_add_ps
#define _mm512_sub_ps         emu_sub_ps
#define _mm512_mul_ps         emu_mul_ps
#define _mm512_div_ps         emu_div_ps
#define _mm512_sqrt_ps        emu_sqrt_ps
#define _mm512_max_ps         emu_max_ps
#define _mm512_min_ps         emu_min_ps
#define _mm512_fmadd_ps       emu_fmadd_ps
#define _mm512_fnmadd_ps      emu_fnmadd_ps
#define _mm512_abs_ps         emu_abs_ps
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps(a, how) emu_round_ps(a)
#define _mm512_unpacklo_ps emu_unpacklo_ps
#define _mm512_unpackhi_ps emu_unpackhi_ps
#undef _mm512_shuffle_ps
#define _mm512_shuffle_ps emu_shuffle_ps
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4         emu_shuffle_f32x4
#define _mm512_castps512_ps256       emu_low_ps
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(a, i) emu_high_ps(a)
#define _mm512_cvtps_epi32           emu_cvtps_epi32
#define _mm512_cvtepi32_ps           emu_cvtepi32_ps
#define _mm512_cvtepi32_epi8         emu_cvtepi32_epi8
#define _mm512_cvtepi32_epi16        emu_cvtepi32_epi16
#define _mm512_storeu_si512          emu_storeu_si512
#define _mm512_and_si512             emu_and_si512
#define _mm512_or_si512              emu_or_si512
#define _mm512_add_epi32             emu_add_epi32
#define _mm512_sub_epi32             emu_sub_epi32
#define _mm512_mullo_epi32           emu_mullo_epi32
#define _mm512_add_epi16             emu_add_epi16
#undef _mm512_slli_epi32
#define _mm512_slli_epi32    emu_slli_epi32
#define _mm512_castsi512_ps  emu_castsi512_ps
#define _mm512_maddubs_epi16 emu_maddubs_epi16
#define _mm512_madd_epi16    emu_madd_epi16
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32  emu_dpbusd_epi32
#undef _mm512_dpwssd_epi32
#define _mm512_dpwssd_epi32  emu_dpwssd_epi32
#undef _mm256_dpwssd_epi32
#define _mm256_dpwssd_epi32  emu_dpwssd_epi32_256
#undef _mm256_dpbusd_epi32
#define _mm256_dpbusd_epi32  emu_dpbusd_epi32_256

#endif
