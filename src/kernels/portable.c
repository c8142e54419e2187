/*
** portable.c - the level "portable": the specification of struct ner_kernels in plain C.
**
** These functions are written to be read and to be compared with; speed is the business of the
** files that overlay them. Integer results of every level equal these bit for bit, float results
** within a relative 1e-5. exp() and erf() are taken in double and rounded: that is the nearest float
** whichever C library computes it, and so this level too has the same results on every system.
*/
#include "kernels/levels.h"

#include <math.h>
#include <string.h>

static int portable_min(int a, int b) {
  return a < b ? a : b;
}

static void portable_quantise(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                              struct ner_row *row) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx; /* [n] */
    uint8_t *out = xq + (size_t)i * ldq;   /* [ner_quantised_bytes(n)] */
    float below = 0, above = 0, factor, least, most;
    for( int k = 0; k < n; k++ ) {
      above = in[k] > above ? in[k] : above;
      below = -in[k] > below ? -in[k] : below;
    }
    row[i] = ner_row_of(below, above, &factor);
    least = (float)-row[i].zero;
    most = (float)(NER_X_MAX - row[i].zero);
    for( int k = 0; k < n; k++ ) {
      float steps = in[k] * factor;
      steps = steps > least ? steps : least; /* NaN: least */
      steps = steps < most ? steps : most;
      out[k] = (uint8_t)((int)nearbyintf(steps) + row[i].zero);
    }
    memset(out + n, 0, (size_t)(ner_quantised_bytes(n) - n));
  }
}

float ner_gelu(float x) {
  return 0.5f * x * (1 + (float)erf((double)(x * 0.70710678f)));
}

/* One row's 16 outputs of one panel, with the epilogue. */
static void portable_store(float *sum, const struct ner_linear *w, int panel,
                           enum ner_epilogue epilogue, float *y) {
  int n = portable_min(NER_PANEL, w->n_out - panel * NER_PANEL);
  for( int j = 0; j < n; j++ )
    y[panel * NER_PANEL + j] = epilogue == NER_EPILOGUE_GELU ? ner_gelu(sum[j]) : sum[j];
}

static void portable_gemm_f32(const float *x, int m, int ldx, const struct ner_linear *w,
                              int panel_begin, int panel_end, enum ner_epilogue epilogue, float *y,
                              int ldy) {
  for( int p = panel_begin; p < panel_end; p++ ) {
    /* [n_in, 16] */
    const float *packed = (const float *)w->packed + (size_t)p * w->n_in * NER_PANEL;
    for( int i = 0; i < m; i++ ) {
      const float *row = x + (size_t)i * ldx;
      float sum[NER_PANEL] = {0};
      if( w->bias ) memcpy(sum, w->bias + p * NER_PANEL, sizeof sum);
      for( int k = 0; k < w->n_in; k++ )
        for( int j = 0; j < NER_PANEL; j++ ) sum[j] += row[k] * packed[k * NER_PANEL + j];
      portable_store(sum, w, p, epilogue, y + (size_t)i * ldy);
    }
  }
}

static void portable_gemm_i8(const uint8_t *xq, const struct ner_row *row, int m, int ldq,
                             const struct ner_linear *w, int panel_begin, int panel_end,
                             enum ner_epilogue epilogue, float *y, int ldy) {
  int groups = (w->n_in - 1) / NER_GROUP + 1;
  for( int p = panel_begin; p < panel_end; p++ ) {
    /* [groups, 16, 4] */
    const int8_t *packed = (const int8_t *)w->packed + (size_t)p * groups * NER_PANEL * NER_GROUP;
    for( int i = 0; i < m; i++ ) {
      const uint8_t *in = xq + (size_t)i * ldq;
      uint32_t sum[NER_PANEL]; /* of signed numbers: a damaged file may make them wrap around */
      float out[NER_PANEL];
      for( int j = 0; j < NER_PANEL; j++ )
        sum[j] = 0u - (uint32_t)row[i].zero * (uint32_t)w->sum[p * NER_PANEL + j];
      for( int g = 0; g < groups; g++ )
        for( int j = 0; j < NER_PANEL; j++ )
          for( int k = 0; k < NER_GROUP; k++ )
            sum[j] +=
                (uint32_t)(in[g * NER_GROUP + k] * packed[(g * NER_PANEL + j) * NER_GROUP + k]);
      for( int j = 0; j < NER_PANEL; j++ ) {
        int n = p * NER_PANEL + j;
        out[j] = fmaf((float)(int32_t)sum[j], row[i].scale * w->scale[n], w->bias ? w->bias[n] : 0);
      }
      portable_store(out, w, p, epilogue, y + (size_t)i * ldy);
    }
  }
}

static void portable_layer_norm(const float *x, int ldx, const float *residual, int ldr, int m,
                                int n, const float *gain, const float *bias, float eps, float *y,
                                int ldy) {
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

static void portable_softmax(float *x, int m, int n, int ld) {
  for( int i = 0; i < m; i++ ) {
    float *row = x + (size_t)i * ld;
    float top = row[0], sum = 0;
    for( int k = 1; k < n; k++ ) top = row[k] > top ? row[k] : top;
    for( int k = 0; k < n; k++ ) sum += row[k] = (float)exp((double)(row[k] - top));
    for( int k = 0; k < n; k++ ) row[k] /= sum;
  }
}

static float portable_extent(const float *x, int m, int n, int ldx) {
  float top = 0;
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) {
      float size = fabsf(x[(size_t)i * ldx + k]);
      top = size > top ? size : top;
    }
  return top;
}

static int16_t portable_steps(float x, float factor) {
  float steps = x * factor;
  steps = steps > -NER_I16_MAX ? steps : -NER_I16_MAX; /* NaN: the least */
  return (int16_t)nearbyintf(steps < NER_I16_MAX ? steps : NER_I16_MAX);
}

static void portable_round_i16(const float *x, int m, int n, int ldx, float factor, int16_t *y,
                               int ldy) {
  for( int i = 0; i < m; i++ ) {
    int16_t *out = y + (size_t)i * ldy;
    for( int k = 0; k < n; k++ ) out[k] = portable_steps(x[(size_t)i * ldx + k], factor);
    if( n % 2 ) out[n] = 0;
  }
}

static void portable_pair_i16(const float *x, int m, int n, int ldx, float factor,
                              int16_t *packed) {
  for( int col = 0; col < n; col += NER_PANEL )
    for( int i = 0; i < m; i += 2 )
      for( int j = col; j < col + NER_PANEL; j++ )
        for( int k = i; k < i + 2; k++ )
          *packed++ = j < n && k < m ? portable_steps(x[(size_t)k * ldx + j], factor) : 0;
}

static void portable_gemm_i16(const int16_t *x, int m, int ldx, const struct ner_linear *w,
                              const float *factor, float *y, int ldy) {
  int pairs = (w->n_in + 1) / 2;
  for( int i = 0; i < m; i++ )
    for( int n = 0; n < w->n_out; n++ ) {
      const int16_t *in = x + (size_t)i * ldx; /* [pairs, 2] */
      const int16_t *column =                  /* [pairs, 2] in steps of NER_PANEL pairs */
          (const int16_t *)w->packed + (size_t)(n / NER_PANEL) * pairs * 2 * NER_PANEL +
          n % NER_PANEL * 2;
      uint32_t sum = 0; /* of signed numbers: what NaN has become may make them wrap around */
      for( int k = 0; k < pairs; k++, in += 2, column += 2 * NER_PANEL )
        sum += (uint32_t)(in[0] * column[0]) + (uint32_t)(in[1] * column[1]);
      y[(size_t)i * ldy + n] = (float)(int32_t)sum * factor[i];
    }
}

static void portable_softmax_i16(float *x, int m, int n, int ldx, int16_t *y, int ldy,
                                 float *total) {
  for( int i = 0; i < m; i++ ) {
    float *row = x + (size_t)i * ldx;
    int16_t *out = y + (size_t)i * ldy;
    float top = row[0], sum = 0, factor;
    for( int k = 1; k < n; k++ ) top = row[k] > top ? row[k] : top;
    for( int k = 0; k < n; k++ ) {
      float below = row[k] - top;
      sum += row[k] = (float)exp2(below > -60 ? (double)below : -60); /* NaN: nothing */
    }
    factor = ner_i16_factor(sum);
    for( int k = 0; k < n; k++ ) out[k] = portable_steps(row[k], factor);
    memset(out + n, 0, (ner_round_up((size_t)n, NER_PANEL) - (size_t)n) * sizeof *out);
    total[i] = sum * factor;
  }
}

bool ner_kernels_portable(struct ner_kernels *table) {
  *table = (struct ner_kernels){
      .quantise = portable_quantise,
      .gemm_f32 = portable_gemm_f32,
      .gemm_i8 = portable_gemm_i8,
      .layer_norm = portable_layer_norm,
      .softmax = portable_softmax,
      .pack = ner_pack_rows,
      .extent = portable_extent,
      .round_i16 = portable_round_i16,
      .pair_i16 = portable_pair_i16,
      .gemm_i16 = portable_gemm_i16,
      .softmax_i16 = portable_softmax_i16,
  };
  ner_kernels_training(table);
  return true;
}
