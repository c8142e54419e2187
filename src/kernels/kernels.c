/*
** kernels.c - the kernel table's specification in portable C, the choice of a
** level, the packing of weights, and what is built on top of the table.
**
** The portable functions are written to be read, and to be compared with; speed
** is the business of the files that overlay them.
*/
#include "kernels/kernels.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int least(int a, int b) {
  return a < b ? a : b;
}

/* The largest magnitude of a row and the factor that brings it to 127. Below
** 1e-30 that factor would overflow: such a row is as good as zero. A NaN is
** passed over here and becomes -127 below; it never reaches an integer conversion. */
static float quantise_factor(const float *x, int n, float *scale) {
  float top = 0;
  for( int k = 0; k < n; k++ ) top = fabsf(x[k]) > top ? fabsf(x[k]) : top;
  if( top < 1e-30f ) return *scale = 0;
  *scale = top / NER_I8_MAX;
  return NER_I8_MAX / top;
}

static int quantise_value(float x, float factor) {
  float r = x * factor;
  r = r > -NER_I8_MAX ? r : -NER_I8_MAX;
  r = r < NER_I8_MAX ? r : NER_I8_MAX;
  return (int)nearbyintf(r);
}

static void quantise(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq, float *scale) {
  for( int i = 0; i < m; i++ ) {
    const float *row = x + (size_t)i * ldx; /* [n] */
    uint8_t *out = xq + (size_t)i * ldq;    /* [ner_quantised_bytes(n)] as s8 */
    float factor = quantise_factor(row, n, &scale[i]);
    for( int k = 0; k < n; k++ ) out[k] = (uint8_t)quantise_value(row[k], factor);
    memset(out + n, 0, (size_t)(ner_quantised_bytes(n) - n));
  }
}

float ner_gelu(float x) {
  return 0.5f * x * (1 + erff(x * 0.70710678f));
}

/* One row's 16 outputs of one panel, with the epilogue. */
static void store_panel(float *sum, const struct ner_linear *w, int panel,
                        enum ner_epilogue epilogue, float *y) {
  int n = least(NER_PANEL, w->n_out - panel * NER_PANEL);
  for( int j = 0; j < n; j++ )
    y[panel * NER_PANEL + j] = epilogue == NER_EPILOGUE_GELU ? ner_gelu(sum[j]) : sum[j];
}

static void gemm_f32(const float *x, int m, int ldx, const struct ner_linear *w, int panel_begin,
                     int panel_end, enum ner_epilogue epilogue, float *y, int ldy) {
  for( int p = panel_begin; p < panel_end; p++ ) {
    /* [n_in, 16] */
    const float *packed = (const float *)w->packed + (size_t)p * w->n_in * NER_PANEL;
    for( int i = 0; i < m; i++ ) {
      const float *row = x + (size_t)i * ldx;
      float sum[NER_PANEL] = {0};
      if( w->bias ) memcpy(sum, w->bias + p * NER_PANEL, sizeof sum);
      for( int k = 0; k < w->n_in; k++ )
        for( int j = 0; j < NER_PANEL; j++ ) sum[j] += row[k] * packed[k * NER_PANEL + j];
      store_panel(sum, w, p, epilogue, y + (size_t)i * ldy);
    }
  }
}

static void gemm_i8(const uint8_t *xq, const float *x_scale, int m, int ldq,
                    const struct ner_linear *w, int panel_begin, int panel_end,
                    enum ner_epilogue epilogue, float *y, int ldy) {
  int groups = (w->n_in - 1) / NER_GROUP + 1;
  for( int p = panel_begin; p < panel_end; p++ ) {
    /* [groups, 16, 4] */
    const int8_t *packed = (const int8_t *)w->packed + (size_t)p * groups * NER_PANEL * NER_GROUP;
    for( int i = 0; i < m; i++ ) {
      const int8_t *row = (const int8_t *)xq + (size_t)i * ldq;
      int32_t sum[NER_PANEL] = {0};
      float out[NER_PANEL];
      for( int g = 0; g < groups; g++ )
        for( int j = 0; j < NER_PANEL; j++ )
          for( int k = 0; k < NER_GROUP; k++ )
            sum[j] += row[g * NER_GROUP + k] * packed[(g * NER_PANEL + j) * NER_GROUP + k];
      for( int j = 0; j < NER_PANEL; j++ ) {
        int n = p * NER_PANEL + j;
        out[j] = fmaf((float)sum[j], x_scale[i] * w->scale[n], w->bias ? w->bias[n] : 0);
      }
      store_panel(out, w, p, epilogue, y + (size_t)i * ldy);
    }
  }
}

static void layer_norm(const float *x, int ldx, const float *residual, int ldr, int m, int n,
                       const float *gain, const float *bias, float eps, float *y, int ldy) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    const float *add = residual ? residual + (size_t)i * ldr : NULL;
    float *out = y + (size_t)i * ldy;
    float mean = 0, var = 0, r;
    for( int k = 0; k < n; k++ ) {
      out[k] = in[k] + (add ? add[k] : 0);
      mean += out[k];
    }
    mean /= (float)n;
    for( int k = 0; k < n; k++ ) var += (out[k] - mean) * (out[k] - mean);
    r = 1 / sqrtf(var / (float)n + eps);
    for( int k = 0; k < n; k++ ) out[k] = (out[k] - mean) * r * gain[k] + bias[k];
  }
}

static void softmax(float *x, int m, int n, int ld) {
  for( int i = 0; i < m; i++ ) {
    float *row = x + (size_t)i * ld;
    float top = row[0], sum = 0;
    for( int k = 1; k < n; k++ ) top = row[k] > top ? row[k] : top;
    for( int k = 0; k < n; k++ ) sum += row[k] = expf(row[k] - top);
    for( int k = 0; k < n; k++ ) row[k] /= sum;
  }
}

static void pack(const float *w, int n_out, int n_in, int ldw, float *packed) {
  for( int n = 0; n < n_out; n += NER_PANEL, packed += (size_t)n_in * NER_PANEL ) {
    int rows = least(NER_PANEL, n_out - n);
    if( rows < NER_PANEL ) memset(packed, 0, (size_t)n_in * NER_PANEL * sizeof *packed);
    for( int j = 0; j < rows; j++ ) {
      const float *row = w + (size_t)(n + j) * ldw;
      for( int k = 0; k < n_in; k++ ) packed[(size_t)k * NER_PANEL + j] = row[k];
    }
  }
}

/* Attention: both products are matrix products like any other once K is packed as weights
** [n_tok, head] and V as weights [head, n_tok] transposed, that is, copied. Blocks of queries
** keep the scores of a long text in cache. */
enum { QUERY_BLOCK = 48 };

size_t ner_attention_scratch(int n_tok, int head) {
  size_t tok = ner_round_up((size_t)n_tok, NER_PANEL), dim = ner_round_up((size_t)head, NER_PANEL);
  return tok * (size_t)head + dim * (size_t)n_tok + QUERY_BLOCK * tok;
}

/* Columns [0, head) of v [n_tok, ld] as panels [ceil(head/16)][n_tok][16]. */
static void pack_values(const float *v, int n_tok, int head, int ld, float *packed) {
  for( int d = 0; d < head; d += NER_PANEL ) {
    size_t n = (size_t)least(NER_PANEL, head - d);
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
  float *scores = values + ner_round_up((size_t)head, NER_PANEL) * n_tok; /* [QUERY_BLOCK, lds] */
  /* Whole panels of keys: the scores beyond n_tok are nobody's, and a tile that juts out of its
  ** matrix costs a copy. */
  struct ner_linear by_keys = {.n_out = lds, .n_in = head, .packed = keys};
  struct ner_linear by_values = {.n_out = head, .n_in = n_tok, .packed = values};
  by_keys.precision = by_values.precision = NER_PRECISION_F32;
  kernels->pack(k, n_tok, head, ld, keys);
  pack_values(v, n_tok, head, ld, values);
  for( int i = 0; i < n_tok; i += QUERY_BLOCK ) {
    int m = least(QUERY_BLOCK, n_tok - i);
    kernels->gemm_f32(q + (size_t)i * ld, m, ld, &by_keys, 0, ner_panels(n_tok), NER_EPILOGUE_NONE,
                      scores, lds);
    kernels->softmax(scores, m, n_tok, lds);
    kernels->gemm_f32(scores, m, lds, &by_values, 0, ner_panels(head), NER_EPILOGUE_NONE,
                      out + (size_t)i * ldo, ldo);
  }
}

/* Packing. */

uint64_t ner_packed_bytes(enum ner_precision precision, int32_t n_out, int32_t n_in) {
  uint64_t panels = (uint64_t)ner_panels(n_out) * NER_PANEL;
  if( precision == NER_PRECISION_INT8 ) return panels * ner_round_up((size_t)n_in, NER_GROUP);
  return panels * (uint64_t)n_in * sizeof(float);
}

void ner_pack_f32(const float *w, int32_t n_out, int32_t n_in, float *packed) {
  pack(w, n_out, n_in, n_in, packed);
}

void ner_pack_i8(const float *w, int32_t n_out, int32_t n_in, int8_t *packed, float *scale,
                 int32_t *sum) {
  size_t group_bytes = NER_PANEL * NER_GROUP;
  size_t panel_bytes = ner_round_up((size_t)n_in, NER_GROUP) * NER_PANEL;
  size_t n_padded = (size_t)ner_panels(n_out) * NER_PANEL;
  memset(packed, 0, ner_packed_bytes(NER_PRECISION_INT8, n_out, n_in));
  memset(scale, 0, n_padded * sizeof *scale);
  memset(sum, 0, n_padded * sizeof *sum);
  for( size_t n = 0; n < (size_t)n_out; n++ ) {
    const float *row = w + n * (size_t)n_in;
    int8_t *column = packed + n / NER_PANEL * panel_bytes + n % NER_PANEL * NER_GROUP;
    float factor = quantise_factor(row, n_in, &scale[n]);
    for( size_t k = 0; k < (size_t)n_in; k++ ) {
      int q = quantise_value(row[k], factor);
      column[k / NER_GROUP * group_bytes + k % NER_GROUP] = (int8_t)q;
      sum[n] += q;
    }
  }
}

/* Levels. */

const char *const ner_kernels_names[] = {"portable",   "openblas", "avx2",    "avxvnni", "avx512",
                                         "avx512vnni", "neon",     "neondot", NULL};
enum { N_LEVELS = sizeof ner_kernels_names / sizeof *ner_kernels_names - 1 };

enum { BLAS = 1 };

static struct ner_kernels tables[N_LEVELS]; /* name NULL: not on this machine */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
  static const struct ner_kernels portable = {
      .quantise = quantise,
      .gemm_f32 = gemm_f32,
      .gemm_i8 = gemm_i8,
      .layer_norm = layer_norm,
      .softmax = softmax,
      .pack = pack,
  };
  for( int i = 0; i < N_LEVELS; i++ ) {
    bool there = false;
    tables[i] = portable;
    switch( i ) {
    case 0: there = true; break;
    case BLAS: there = ner_kernels_blas(&tables[i]); break;
    case 2: there = ner_kernels_avx2(&tables[i], false); break;
    case 3: there = ner_kernels_avx2(&tables[i], true); break;
    case 4: there = ner_kernels_avx512(&tables[i], false); break;
    case 5: there = ner_kernels_avx512(&tables[i], true); break;
    case 6: there = ner_kernels_arm(&tables[i], false); break;
    case 7: there = ner_kernels_arm(&tables[i], true); break;
    }
    tables[i].name = there ? ner_kernels_names[i] : NULL;
  }
}

static bool usable(int i) {
  return tables[i].name && (i != BLAS || ner_kernels_blas_load());
}

const struct ner_kernels *ner_kernels_level(const char *name) {
  pthread_once(&tables_once, fill_tables);
  for( int i = 0; i < N_LEVELS; i++ )
    if( strcmp(name, ner_kernels_names[i]) == 0 && usable(i) ) return &tables[i];
  return NULL;
}

const struct ner_kernels *ner_kernels_get(struct ner_err *err) {
  const char *name = getenv("NER_CPU");
  const struct ner_kernels *best = NULL;
  char known[160] = "";
  pthread_once(&tables_once, fill_tables);
  if( name )
    best = ner_kernels_level(name);
  else
    for( int i = N_LEVELS - 1; i >= 0 && !best; i-- )
      if( usable(i) ) best = &tables[i];
  if( best ) return best;
  for( int i = 0; i < N_LEVELS; i++ ) {
    if( !usable(i) ) continue;
    if( i ) strcat(known, ", ");
    strcat(known, tables[i].name);
  }
  ner_fail(err, NER_ERROR, "NER_CPU is '%.40s', which this machine cannot run; it can run %s", name,
           known);
  return NULL;
}
