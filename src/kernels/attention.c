/*
** attention.c - attention of one head over one text, on top of the kernel table:
**
**   out[i,:] = softmax(q[i,:]·kᵀ)·v
**
** Both products are matrix products like any other once K is packed as weights [n_tok, head] and V
** as weights [head, n_tok], transposed, that is, copied. Blocks of queries keep the scores of a long
** text in cache.
*/
#include "kernels/kernels.h"

#include <string.h>

static int attention_min(int a, int b) {
  return a < b ? a : b;
}

enum { ATTENTION_ROWS = 48 };

size_t ner_attention_scratch(int n_tok, int head) {
  size_t tok = ner_round_up((size_t)n_tok, NER_PANEL), dim = ner_round_up((size_t)head, NER_PANEL);
  return tok * (size_t)head + dim * (size_t)n_tok + ATTENTION_ROWS * tok;
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
  int lds = (int)ner_round_up((size_t)n_tok, NER_PANEL);
  float *keys = scratch;                     /* panels of [n_tok, head] */
  float *values = keys + (size_t)lds * head; /* panels of [head, n_tok] */
  float *scores =
      values + ner_round_up((size_t)head, NER_PANEL) * n_tok; /* [ATTENTION_ROWS, lds] */
  /* Whole panels of keys: the scores beyond n_tok are nobody's, and a tile that juts out of its
  ** matrix costs a copy. */
  struct ner_linear by_keys = {.n_out = lds, .n_in = head, .packed = keys};
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
