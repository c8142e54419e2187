/*
** pack.c - weights in the layouts of kernels.h, made once at load or by ner_convert().
*/
#include "kernels/levels.h"

#include <math.h>
#include <string.h>

static int pack_min(int a, int b) {
  return a < b ? a : b;
}

void ner_pack_rows(const float *w, int n_out, int n_in, int ldw, float *packed) {
  for( int n = 0; n < n_out; n += NER_PANEL, packed += (size_t)n_in * NER_PANEL ) {
    int rows = pack_min(NER_PANEL, n_out - n);
    if( rows < NER_PANEL ) memset(packed, 0, (size_t)n_in * NER_PANEL * sizeof *packed);
    for( int j = 0; j < rows; j++ ) {
      const float *row = w + (size_t)(n + j) * ldw;
      for( int k = 0; k < n_in; k++ ) packed[(size_t)k * NER_PANEL + j] = row[k];
    }
  }
}

/* The factor that brings a row's largest magnitude to 127, and its inverse. A row below 1e-30
** counts as zero: its factor would overflow. NaN is skipped here and becomes -127 below. */
static float pack_factor(const float *w, int n, float *scale) {
  float top = 0;
  for( int k = 0; k < n; k++ ) top = fabsf(w[k]) > top ? fabsf(w[k]) : top;
  if( top < 1e-30f ) return *scale = 0;
  *scale = top / NER_I8_MAX;
  return NER_I8_MAX / top;
}

static int pack_round(float w, float factor) {
  float r = w * factor;
  r = r > -NER_I8_MAX ? r : -NER_I8_MAX;
  r = r < NER_I8_MAX ? r : NER_I8_MAX;
  return (int)nearbyintf(r);
}

uint64_t ner_packed_bytes(enum ner_precision precision, int32_t n_out, int32_t n_in) {
  uint64_t panels = (uint64_t)ner_panels(n_out) * NER_PANEL;
  if( precision == NER_PRECISION_INT8 ) return panels * ner_round_up((size_t)n_in, NER_GROUP);
  return panels * (uint64_t)n_in * sizeof(float);
}

void ner_pack_f32(const float *w, int32_t n_out, int32_t n_in, float *packed) {
  ner_pack_rows(w, n_out, n_in, n_in, packed);
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
    float factor = pack_factor(row, n_in, &scale[n]);
    for( size_t k = 0; k < (size_t)n_in; k++ ) {
      int q = pack_round(row[k], factor);
      column[k / NER_GROUP * group_bytes + k % NER_GROUP] = (int8_t)q;
      sum[n] += q;
    }
  }
}
