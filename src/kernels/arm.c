/*
** arm.c - AArch64: "neon" and "neondot" (the same with SDOT).
**
** What is computed stands in kernels/vector.h and kernels/vector_i8.h; here is
** what a vector of four can do.
*/
#include "kernels/levels.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <string.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#define KERNEL
#define FN static inline __attribute__((always_inline))

#define NER_ISA(name) name##_neon
#include "kernels/vector_names.h"

#define V          float32x4_t
#define VI         int32x4_t
#define W          4
#define F32_ROWS   6 /* 6 × 16: 24 accumulators, 4 weights, 1 activation of 32 registers */
#define F32_PANELS 1

FN V v_load(const float *p) {
  return vld1q_f32(p);
}
FN void v_store(float *p, V v) {
  vst1q_f32(p, v);
}
FN V v_set(float f) {
  return vdupq_n_f32(f);
}
FN V v_add(V a, V b) {
  return vaddq_f32(a, b);
}
FN V v_sub(V a, V b) {
  return vsubq_f32(a, b);
}
FN V v_mul(V a, V b) {
  return vmulq_f32(a, b);
}
FN V v_div(V a, V b) {
  return vdivq_f32(a, b);
}
FN V v_sqrt(V a) {
  return vsqrtq_f32(a);
}
FN V v_fma(V a, V b, V c) {
  return vfmaq_f32(c, a, b);
}
FN V v_fnma(V a, V b, V c) {
  return vfmsq_f32(c, a, b);
}
FN V v_max(V a, V b) {
  return vmaxnmq_f32(a, b);
} /* the other one when either is NaN */
FN V v_min(V a, V b) {
  return vminnmq_f32(a, b);
}
FN V v_round(V a) {
  return vrndnq_f32(a);
}
FN V v_exp2i(V n) {
  VI biased = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
  return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}
FN V v_load_n(const float *p, int n, float fill) {
  float lanes[4] = {fill, fill, fill, fill};
  for( int i = 0; i < n; i++ ) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
FN void v_store_n(float *p, V v, int n) {
  float lanes[4];
  vst1q_f32(lanes, v);
  for( int i = 0; i < n; i++ ) p[i] = lanes[i];
}
FN float v_sum(V v) {
  return vaddv_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)));
}
FN float v_top(V v) {
  return vmaxnmvq_f32(v);
}
FN void v_transpose(V *v) {
  V a = vtrn1q_f32(v[0], v[1]), b = vtrn2q_f32(v[0], v[1]);
  V c = vtrn1q_f32(v[2], v[3]), d = vtrn2q_f32(v[2], v[3]);
  v[0] = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
  v[1] = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
  v[2] = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
  v[3] = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
}
FN void v_store_q(uint8_t *p, V v, VI offset) {
  int16x4_t s = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(v), offset));
  int8x8_t q = vmovn_s16(vcombine_s16(s, s));
  uint32_t four = vget_lane_u32(vreinterpret_u32_s8(q), 0);
  memcpy(p, &four, sizeof four);
}
FN void v_store_s(int16_t *p, V v) {
  vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(v)));
}
FN VI i_load(const int32_t *p) {
  return vld1q_s32(p);
}
FN void i_store(void *p, VI i) {
  vst1q_s32(p, i);
}
FN VI i_pair(V a, V b) {
  return vsliq_n_s32(vcvtnq_s32_f32(a), vcvtnq_s32_f32(b), 16);
}
FN VI i_broadcast(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return vdupq_n_s32(four);
}
FN VI i_set(int32_t i) {
  return vdupq_n_s32(i);
}
FN VI i_mul(VI a, VI b) {
  return vmulq_s32(a, b);
}
FN VI i_sub(VI a, VI b) {
  return vsubq_s32(a, b);
}
FN V v_from_i(VI i) {
  return vcvtq_f32_s32(i);
}

#include "kernels/vector.h"
#include "kernels/vector_train.h"

/* Both products take activations as s8, 128 less than they are, with zero points 128 less. */
static void NER_ISA(quantise)(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                              struct ner_row *row) {
  NER_ISA(quantise_rows)(x, m, n, ldx, xq, ldq, row, -128);
}

/* Bytes without SDOT: products of 16 bits are added up over a chunk (in range: see NER_I8_LIMIT; each
** lane here holds half of what a lane there holds), then in pairs to 32 bits and in pairs again. Four
** columns of weights are one register. */
struct NER_ISA(sum) {
  int16x8_t low, high; /* columns 0 and 1, columns 2 and 3 */
};
FN struct NER_ISA(sum) NER_ISA(mul)(VI x, int8x16_t w) {
  int8x16_t xs = vreinterpretq_s8_s32(x);
  return (struct NER_ISA(sum)){vmull_s8(vget_low_s8(xs), vget_low_s8(w)), vmull_high_s8(xs, w)};
}
FN struct NER_ISA(sum) NER_ISA(muladd)(struct NER_ISA(sum) s, VI x, int8x16_t w) {
  int8x16_t xs = vreinterpretq_s8_s32(x);
  s.low = vmlal_s8(s.low, vget_low_s8(xs), vget_low_s8(w));
  s.high = vmlal_high_s8(s.high, xs, w);
  return s;
}
#define I8(name)           name##_i8_neon
#define I8_ROWS            4
#define I8_PANELS          1
#define I8_WEIGHTS         int8x16_t
#define I8_LOAD(p)         vld1q_s8(p)
#define I8_SUM             struct NER_ISA(sum)
#define I8_MUL(s, x, w)    s = NER_ISA(mul)(x, w)
#define I8_MULADD(s, x, w) s = NER_ISA(muladd)(s, x, w)
#define I8_WIDEN(acc, s)                                                                           \
  acc = vaddq_s32(acc, vpaddq_s32(vpaddlq_s16((s).low), vpaddlq_s16((s).high)))
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

/* Pairs of int16: the two products of a column are added up side by side and put together at the end, so that
** a sum is two registers. 3 × 16: 24 of them, 4 weights and 1 activation of 32 registers. */
struct NER_ISA(sum_i16) {
  int32x4_t low, high; /* columns 0 and 1, columns 2 and 3 */
};
FN struct NER_ISA(sum_i16) NER_ISA(muladd_i16)(struct NER_ISA(sum_i16) s, VI x, int16x8_t w) {
  int16x8_t xs = vreinterpretq_s16_s32(x);
  s.low = vmlal_s16(s.low, vget_low_s16(xs), vget_low_s16(w));
  s.high = vmlal_high_s16(s.high, xs, w);
  return s;
}
#define I16(name) name##_i16_neon
#define I16_ROWS  3
#define I16_SUM   struct NER_ISA(sum_i16)
#define I16_ZERO                                                                                   \
  (struct NER_ISA(sum_i16)) {                                                                      \
    vdupq_n_s32(0), vdupq_n_s32(0)                                                                 \
  }
#define I16_WEIGHTS         int16x8_t
#define I16_LOAD(p)         vld1q_s16(p)
#define I16_MULADD(s, x, w) s = NER_ISA(muladd_i16)(s, x, w)
#define I16_TOTAL(s)        vpaddq_s32((s).low, (s).high)
#include "kernels/vector_i16.h"

/* A compiler that may use SDOT anyway (Apple's) need not be told to; gcc can be told for some
** functions; other clangs cannot, and go without. */
#if defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__)
#define HAVE_DOT 1
#ifndef __ARM_FEATURE_DOTPROD
#undef KERNEL
#define KERNEL __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define I8(name)          name##_i8_neondot
#define I8_ROWS           6
#define I8_PANELS         1
#define I8_WEIGHTS        int8x16_t
#define I8_LOAD(p)        vld1q_s8(p)
#define I8_DOT(acc, x, w) acc = vdotq_s32(acc, w, vreinterpretq_s8_s32(x))
#include "kernels/vector_i8.h"
#else
#define HAVE_DOT        0
#define gemm_i8_neondot gemm_i8_neon
#endif

static bool arm_has_dot(void) {
#if defined(__linux__)
  const unsigned long asimddp = 1ul << 20; /* HWCAP_ASIMDDP */
  return HAVE_DOT && (getauxval(AT_HWCAP) & asimddp) != 0;
#elif defined(__APPLE__)
  return HAVE_DOT; /* every Apple processor macOS runs on has it */
#else
  return false;
#endif
}

bool ner_kernels_neon(struct ner_kernels *table) {
  table->gemm_f32 = NER_ISA(gemm_f32);
  table->gemm_i8 = gemm_i8_neon;
  table->layer_norm = NER_ISA(layer_norm);
  table->softmax = NER_ISA(softmax);
  table->pack = NER_ISA(pack);
  NER_ISA(fill_training)(table);
  table->quantise = NER_ISA(quantise);
  table->extent = NER_ISA(extent);
  table->round_i16 = NER_ISA(round_i16);
  table->pair_i16 = NER_ISA(pair_i16);
  table->softmax_i16 = NER_ISA(softmax_i16);
  table->gemm_i16 = gemm_i16_neon;
  return true;
}
bool ner_kernels_neondot(struct ner_kernels *table) {
  if( !arm_has_dot() || !ner_kernels_neon(table) ) return false;
  table->gemm_i8 = gemm_i8_neondot;
  return true;
}

#include "kernels/vector_end.h"
#else
bool ner_kernels_neon(struct ner_kernels *table) {
  return false;
}
bool ner_kernels_neondot(struct ner_kernels *table) {
  return false;
}
#endif
