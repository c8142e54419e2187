/*
** attention.c - attention of one head over one text, on top of the kernel table:
**
**   out[i,:] = softmax(q[i,:]·kᵀ)·v
**
** Both products are matrix products like any other once K is packed as weights [n_tok, head] and V
** as weights [head, n_tok], transposed, that is, copied. Blocks of queries keep the scores of a long
** text in cache.
**
** Of int8 models both products are of int16, which processors multiply at twice the rate of floats. q, k
** and v are rounded to integers with one step each, of 1/2046 of the largest number or less while a text
** has no more than 512 tokens (ner_i16_limit() and ner_i16_value_limit()), the softmax to 15 bits; the sums
** are exact. That loses less than the 8 bits of what q, k and v are made from and of what becomes of them.
*/
#include "kernels/kernels.h"

#include <string.h>

static int attention_min(int a, int b) {
  return a < b ? a : b;
}

enum { ATTENTION_ROWS = 48 };

/* Parts of scratch for int16, in floats, and so in pairs; each begins at a multiple of 64 bytes. */
struct attention_parts {
  size_t queries; /* [ATTENTION_ROWS, pairs of head] */
  size_t rows;    /* [n_tok, pairs of head]; then */
  size_t shares;  /* instead, [ATTENTION_ROWS, ld] halves */
  size_t keys;    /* [tok / 16][pairs of head][16] */
  size_t values;  /* [dim / 16][pairs of n_tok][16] */
  size_t scores;  /* [ATTENTION_ROWS, ld] */
};

/* Distance between rows of scores: an odd number of cache lines, so that those of a tile do not fall into the
** same cache set. */
static size_t attention_ld(int n_tok) {
  return ner_round_up((size_t)n_tok, NER_PANEL) | NER_PANEL;
}

static size_t attention_larger(size_t a, size_t b) {
  return a > b ? a : b;
}

static struct attention_parts attention_parts(int n_tok, int head) {
  size_t tok = ner_round_up((size_t)n_tok, NER_PANEL), dim = ner_round_up((size_t)head, NER_PANEL);
  size_t pairs = ((size_t)head + 1) / 2;
  return (struct attention_parts){
      .queries = ner_round_up(ATTENTION_ROWS * pairs, NER_PANEL),
      .rows = ner_round_up((size_t)n_tok * pairs, NER_PANEL),
      .shares = ATTENTION_ROWS * attention_ld(n_tok) / 2,
      .keys = tok * pairs,
      .values = dim * (((size_t)n_tok + 1) / 2),
      .scores = ATTENTION_ROWS * attention_ld(n_tok),
  };
}

size_t ner_attention_scratch(int n_tok, int head) {
  size_t tok = ner_round_up((size_t)n_tok, NER_PANEL), dim = ner_round_up((size_t)head, NER_PANEL);
  struct attention_parts p = attention_parts(n_tok, head);
  size_t f32 = tok * (size_t)head + dim * (size_t)n_tok + p.scores;
  return attention_larger(f32, p.queries + attention_larger(p.rows, p.shares) + p.keys + p.values +
                                   p.scores);
}

/* Columns [0, head) of v [n_tok, ld] as panels [ceil(head/16)][n_tok][16]. */
static void attention_pack_values(const float *v, int n_tok, int head, int ld, float *packed) {
  for( int d = 0; d < head; d += NER_PANEL ) {
    size_t n = (size_t)attention_min(NER_PANEL, head - d);
    for( int t = 0; t < n_tok; t++, packed += NER_PANEL ) {
      const float *row = v + (size_t)t * ld + d;
      if( n == NER_PANEL ) { /* of a size known here: no call */
        memcpy(packed, row, NER_PANEL * sizeof *v);
      } else {
        memcpy(packed, row, n * sizeof *v);
        memset(packed + n, 0, (NER_PANEL - n) * sizeof *v);
      }
    }
  }
}

void ner_attention(const struct ner_kernels *kernels, const float *q, const float *k,
                   const float *v, int n_tok, int head, int ld, float *scratch, float *out,
                   int ldo) {
  int tok = (int)ner_round_up((size_t)n_tok, NER_PANEL), lds = (int)attention_ld(n_tok);
  float *keys = scratch;                     /* panels of [n_tok, head] */
  float *values = keys + (size_t)tok * head; /* panels of [head, n_tok] */
  float *scores =
      values + ner_round_up((size_t)head, NER_PANEL) * n_tok; /* [ATTENTION_ROWS, lds] */
  /* Whole panels of keys: the scores beyond n_tok are nobody's, and a tile that juts out of its
  ** matrix costs a copy. */
  struct ner_linear by_keys = {.n_out = tok, .n_in = head, .packed = keys};
  struct ner_linear by_values = {.n_out = head, .n_in = n_tok, .packed = values};
  by_keys.precision = by_values.precision = NER_PRECISION_F32;
  kernels->pack(k, n_tok, head, ld, keys);
  attention_pack_values(v, n_tok, head, ld, values);
  for( int i = 0; i < n_tok; i += ATTENTION_ROWS ) {
    int m = attention_min(ATTENTION_ROWS, n_tok - i);
    kernels->gemm_f32(q + (size_t)i * ld, m, ld, &by_keys, 0, ner_panels(n_tok), NER_EPILOGUE_NONE,
                      scores, lds);
    kernels->softmax(scores, m, n_tok, lds);
    kernels->gemm_f32(scores, m, lds, &by_values, 0, ner_panels(head), NER_EPILOGUE_NONE,
                      out + (size_t)i * ldo, ldo);
  }
}

/* The factor that takes numbers of up to `extent` to integers of up to `limit`; *step: what 1 is then worth.
** Below 1e-30 the factor would overflow: all count as zero. Infinite ones get factor 0 and make the result
** infinite or NaN by their step. */
static float attention_factor(float extent, int limit, float *step) {
  *step = extent >= 1e-30f ? extent / (float)limit : 0;
  return extent >= 1e-30f ? (float)limit / extent : 0;
}

void ner_attention_i16(const struct ner_kernels *kernels, const float *q, const float *k,
                       const float *v, int n_tok, int head, int ld, float *scratch, float *out,
                       int ldo) {
  const struct attention_parts size = attention_parts(n_tok, head);
  const int pairs = (head + 1) / 2, lds = (int)attention_ld(n_tok);
  const int limit = ner_i16_limit(head);
  int16_t *queries = (int16_t *)scratch;
  float *rows = scratch + size.queries; /* of keys, until these are packed */
  int16_t *shares = (int16_t *)rows;
  float *keys = rows + attention_larger(size.rows, size.shares);
  int16_t *values = (int16_t *)(keys + size.keys);
  float *scores = keys + size.keys + size.values;
  struct ner_linear by_keys = {
      .n_out = ner_panels(n_tok) * NER_PANEL, .n_in = head, .packed = keys};
  struct ner_linear by_values = {.n_out = head, .n_in = n_tok, .packed = values};
  float q_step, k_step, v_step, q_factor, k_factor, v_factor;
  float factor[ATTENTION_ROWS];
  q_factor = attention_factor(kernels->extent(q, n_tok, head, ld), limit, &q_step);
  k_factor = attention_factor(kernels->extent(k, n_tok, head, ld), limit, &k_step);
  v_factor =
      attention_factor(kernels->extent(v, n_tok, head, ld), ner_i16_value_limit(n_tok), &v_step);
  kernels->round_i16(k, n_tok, head, ld, k_factor, (int16_t *)rows, 2 * pairs);
  kernels->pack(rows, n_tok, pairs, pairs, keys);
  kernels->pair_i16(v, n_tok, head, ld, v_factor, values);
  for( int i = 0; i < n_tok; i += ATTENTION_ROWS ) {
    const float log2_e = 1.44269504f;
    int m = attention_min(ATTENTION_ROWS, n_tok - i);
    kernels->round_i16(q + (size_t)i * ld, m, head, ld, q_factor, queries, 2 * pairs);
    for( int r = 0; r < m; r++ ) factor[r] = q_step * k_step * log2_e;
    kernels->gemm_i16(queries, m, 2 * pairs, &by_keys, factor, scores, lds);
    kernels->softmax_i16(scores, m, n_tok, lds, shares, lds, factor);
    for( int r = 0; r < m; r++ ) factor[r] = v_step / factor[r];
    kernels->gemm_i16(shares, m, lds, &by_values, factor, out + (size_t)i * ldo, ldo);
  }
}
