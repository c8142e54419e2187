/*
** kernels.h - the arithmetic, behind one table of function pointers.
**
** portable.c is the specification. avx2.c, avx512.c and arm.c overlay it for the
** instruction sets found at run time (dispatch.c), each function with its own
** target attribute. All three compile the same text (vector.h, vector_i8.h) over
** their own vector type and give the same bits whatever its width. Integer kernels
** equal the portable ones bit for bit, float kernels within a relative 1e-5.
** pack.c lays out weights, attention.c builds attention on the table.
**
** One rule above all: a row's result depends neither on the rows beside it nor on
** how the work is cut. Every output element is summed over k in one fixed order at
** a given level, whatever tile it falls into.
**
** Layouts (the same for every level, so a converted file serves every machine):
**   f32 weights   [ceil(N/16)][K][16]            zero padded
**   int8 weights  [ceil(N/16)][ceil(K/4)][16][4] zero padded, bounded as below
** Activations are plain row-major [M, K].
**
** Int8 arithmetic. A row of activations becomes bytes 0..255 with a scale and a zero point of its own,
** x ≈ scale·(xq - zero); a weight becomes an integer with a scale per output channel, w ≈ scale·q. So
**
**   y[m,n] = x_scale[m]·w_scale[n]·(Σk xq[m,k]·q[n,k] - zero[m]·Σk q[n,k]) + bias[n]
**
** Processors that multiply bytes into 16 bits only (AVX2's VPMADDUBSW) need another instruction to
** widen each product. Here it is needed once for NER_I8_CHUNK products, because packing bounds the
** weights (see NER_I8_LIMIT). The bound costs accuracy where a channel has large weights side by side:
** its scale becomes some 1.7 times as coarse, still finer than the rounding of trained models' activations.
*/
#ifndef NER_KERNELS_H
#define NER_KERNELS_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

#define NER_PANEL  16  /* output channels packed together */
#define NER_GROUP  4   /* int8: inputs packed together */
#define NER_X_MAX  255 /* int8: largest activation */
#define NER_I8_MAX 127 /* int8: largest weight; -128 is not used */

/* The bound on int8 weights. A 16-bit lane collects the products of one half of a group (k % 4 in {0,1}
** or {2,3}) over NER_I8_CHUNK consecutive groups, counted from k = 0: four products. Among the four
** weights of each lane the positive ones add up to at most NER_I8_LIMIT, and so do the magnitudes of the
** negative ones. With activations 0..255 every partial sum, in any order, then lies within
** ±255·128 = ±32640, inside the 16 bits' ±32767; with activations -128..127, as NEON takes them, within
** 128·128 + 127·128 = 32640 as well. Over all of K <= 65536 a sum is below 255·127·65536 < 2^31. */
#define NER_I8_CHUNK 2
#define NER_I8_LIMIT 128

/* Int16 arithmetic, for the attention of int8 models: two matrices that are not known beforehand are
** rounded to integers with one step each, and their products are added up exactly, in 32 bits. Packed:
**   int16         [ceil(N/16)][ceil(K/2)][16][2] zero padded
** Where n products are added up, both factors stay within ±ner_i16_limit(n): n·limit² < 2^31. For the
** product of softmax's rows and the values see ner_i16_value_limit(). */
#define NER_I16_MAX 32767

/* y = x·Wᵀ + b for W [n_out, n_in]. Immutable; pointers are borrowed from the
** model's storage. */
struct ner_linear {
  int32_t n_out, n_in;
  enum ner_precision precision; /* F32 or INT8 */
  const void *packed;           /* see above; 64-byte aligned */
  const float *scale;           /* int8: [round_up(n_out,16)] w ≈ scale[n]·q */
  const int32_t *sum;           /* int8: [round_up(n_out,16)] Σk q[n,k] */
  const float *bias;            /* [round_up(n_out,16)]; NULL: zeros */
};

/* A quantised row: x ≈ scale·(xq - zero). */
struct ner_row {
  float scale;
  int32_t zero; /* in the form of the table that quantised it */
};

/* What happens to a linear layer's output before it is stored. */
enum ner_epilogue {
  NER_EPILOGUE_NONE = 0,
  NER_EPILOGUE_GELU, /* x·(1+erf(x/√2))/2 */
};

/* Numbers of one step t of AdamW: m ← β1·m + (1-β1)·clip·g, v ← β2·v + (1-β2)·(clip·g)²,
** w ← keep·w - step·m / (root·√v + eps). */
struct ner_adamw {
  float clip;         /* factor of the gradient */
  float keep;         /* 1 - learning rate · weight decay */
  float step;         /* learning rate / (1 - β1^t) */
  float root;         /* 1 / √(1 - β2^t) */
  float beta1, beta2; /* 0.9, 0.999 */
  float eps;
};

/* Leading dimensions (ld...) count elements. Any m >= 1, any n >= 1, any
** alignment of activations; nothing outside the named elements is touched. */
struct ner_kernels {
  const char *name; /* "portable", "avx2", ...: see ner_kernels_name() */

  /* Quantises rows: xq = round(x / scale) + zero with scale = (high - low) / 255 and zero =
  ** round(-low / scale), where [low, high] spans the row and 0. A row that spans less than 1e-30 has scale
  ** 0. NaN becomes the row's least value. xq is in the form gemm_i8 of the same table takes (u8, or s8 =
  ** u8 - 128, with `zero` less 128 too); the bytes from n to ner_quantised_bytes(n) become 0. */
  void (*quantise)(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                   struct ner_row *row);

  /* Rows [0,m) of x [m, n_in] times output panels [panel_begin, panel_end) of `w`, into y (y
  ** points at column 0 of the whole matrix). Columns beyond n_out are not written.
  ** gemm_i8: y = fma(Σ (xq - zero)·q, x_scale·w_scale, bias), so that it too is the same everywhere. */
  void (*gemm_f32)(const float *x, int m, int ldx, const struct ner_linear *w, int panel_begin,
                   int panel_end, enum ner_epilogue epilogue, float *y, int ldy);
  void (*gemm_i8)(const uint8_t *xq, const struct ner_row *row, int m, int ldq,
                  const struct ner_linear *w, int panel_begin, int panel_end,
                  enum ner_epilogue epilogue, float *y, int ldy);

  /* y[m,:] = LN(x[m,:] + residual[m,:]) * gain + bias; residual may be NULL; y may be x or
  ** residual. Biased variance. */
  void (*layer_norm)(const float *x, int ldx, const float *residual, int ldr, int m, int n,
                     const float *gain, const float *bias, float eps, float *y, int ldy);

  /* In place over rows of n. */
  void (*softmax)(float *x, int m, int n, int ld);

  /* Rows of w [n_out, n_in] as f32 weights (layout above). Bits are moved, nothing else: they may be pairs
  ** of int16 as well, n_in of them. */
  void (*pack)(const float *w, int n_out, int n_in, int ldw, float *packed);

  /* The greatest |x| of x [m, n]; NaN does not count. */
  float (*extent)(const float *x, int m, int n, int ldx);
  /* y = round(x·factor), which has to lie within ±NER_I16_MAX; NaN becomes the least of these. Behind an
  ** odd n follows a 0, so that rows are whole pairs. */
  void (*round_i16)(const float *x, int m, int n, int ldx, float factor, int16_t *y, int ldy);
  /* The same with the columns of x [m, n] as weights, n_out = n and n_in = m (int16 layout above). */
  void (*pair_i16)(const float *x, int m, int n, int ldx, float factor, int16_t *packed);
  /* y[m, n_out] = factor[m]·(Σ x·w) for x [m, n_in], rows of whole pairs, and packed int16. */
  void (*gemm_i16)(const int16_t *x, int m, int ldx, const struct ner_linear *w,
                   const float *factor, float *y, int ldy);
  /* Rows of n as y / total = 2^x / Σ 2^x, with y of 0..NER_I16_MAX and Σ y <= NER_I16_TOTAL + n/2; zeros
  ** follow up to a multiple of 16. x is lost, also what lies behind its rows up to there. */
  void (*softmax_i16)(float *x, int m, int n, int ldx, int16_t *y, int ldy, float *total);

  /* The rest is for training alone; the equations stand in training.c.
  ** y = gelu(x) over rows of n; y may be x. */
  void (*gelu)(const float *x, int m, int n, int ldx, float *y, int ldy);
  /* dy *= gelu'(x). */
  void (*gelu_grad)(const float *x, int m, int n, int ldx, float *dy, int ldd);
  /* x [m, n] is what layer_norm normalised, residual included; dy the gradient of its result.
  ** Writes dx, which may be dy, and adds to dgain [n] and dbias [n], row by row. */
  void (*layer_norm_grad)(const float *x, int ldx, const float *dy, int ldd, int m, int n,
                          const float *gain, float eps, float *dx, int lddx, float *dgain,
                          float *dbias);
  /* y are rows that softmax() made; dy, the gradient of y, becomes that of softmax's input. */
  void (*softmax_grad)(const float *y, float *dy, int m, int n, int ld);
  /* One step of AdamW over n weights with their two moments. */
  void (*adamw)(const struct ner_adamw *step, const float *grad, size_t n, float *weight,
                float *mean, float *square);
  double (*sum_squares)(const float *x, size_t n);
};

/* sum_squares() adds up runs of this many in float, and the runs in double. */
#define NER_SQUARES 4096

/* The rows of softmax_i16() are as fine as NER_I16_MAX allows while their numbers add up to no more than
** this, which leaves the values they are multiplied with 11 bits and a sign. */
#define NER_I16_TOTAL (1 << 20)

/* min(NER_I16_MAX, √(2^31 / n)), for n >= 1 products. */
static inline int ner_i16_limit(int n) {
  int limit = NER_I16_MAX;
  while( (int64_t)limit * limit * n > INT32_MAX )
    limit = (int)((limit + INT32_MAX / n / limit) / 2);
  return limit;
}
/* The limit of what rows of softmax_i16() over n tokens are multiplied with: such a row adds up to
** NER_I16_TOTAL + n/2, and as much again for the rounding of the floats is more than enough; or, where these
** are few, to n·NER_I16_MAX. */
static inline int ner_i16_value_limit(int n) {
  int64_t total = (int64_t)n * NER_I16_MAX;
  if( total > NER_I16_TOTAL + n ) total = NER_I16_TOTAL + n;
  return INT32_MAX / total < NER_I16_MAX ? (int)(INT32_MAX / total) : NER_I16_MAX;
}

static inline int ner_quantised_bytes(int n) {
  return (int)ner_round_up((size_t)n, 64);
}
static inline int32_t ner_panels(int32_t n_out) {
  return (n_out - 1) / NER_PANEL + 1;
}

/* Attention of one head over one text of n_tok tokens, out[i,:] = softmax(q[i]·kᵀ)·v with q
** already scaled. q, k, v are the head's columns in the QKV buffer (rows ld floats apart), out
** likewise (ldo). scratch: ner_attention_scratch(n_tok, head) floats, 64-byte aligned. */
void ner_attention(const struct ner_kernels *kernels, const float *q, const float *k,
                   const float *v, int n_tok, int head, int ld, float *scratch, float *out,
                   int ldo);
/* The same in int16 arithmetic, for int8 models: off by less than int8 rounds off before and after it. */
void ner_attention_i16(const struct ner_kernels *kernels, const float *q, const float *k,
                       const float *v, int n_tok, int head, int ld, float *scratch, float *out,
                       int ldo);
size_t ner_attention_scratch(int n_tok, int head); /* floats, for either and any level */

/* The best table for this machine, or the level NER_CPU names. NULL and an error when NER_CPU
** is unknown or the machine lacks it. */
const struct ner_kernels *ner_kernels_get(struct ner_err *err);
/* For tests: the table of a named level, NULL when this machine cannot run it. */
const struct ner_kernels *ner_kernels_level(const char *name);
/* The i-th level's name in ascending order, whether or not this machine can run it: "portable",
** "openblas", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "neondot"; NULL beyond the last. */
const char *ner_kernels_name(int i);

/* Packing (portable, done at load or by ner_convert). Bytes of the packed form: */
uint64_t ner_packed_bytes(enum ner_precision precision, int32_t n_out, int32_t n_in);
/* w [n_out, n_in] row-major → packed (zeroed padding included). */
void ner_pack_f32(const float *w, int32_t n_out, int32_t n_in, float *packed);
/* The same rounded to int8 within the bound; fills scale and sum [padded n_out]. */
void ner_pack_i8(const float *w, int32_t n_out, int32_t n_in, int8_t *packed, float *scale,
                 int32_t *sum);
/* Packs int8 weights that need not keep the bound (model files of layout version 1) once more. Channels
** that keep it stay as they are. packed, scale, sum: as for ner_pack_i8, none of them w's own;
** channel: [n_in] scratch. */
void ner_repack_i8(const struct ner_linear *w, float *channel, int8_t *packed, float *scale,
                   int32_t *sum);

/* OpenBLAS's name for the processor it believes to run on, for ner_debug(); "" while OpenBLAS is
** not in use. */
const char *ner_blas_core(void);

#pragma GCC visibility pop
#endif
