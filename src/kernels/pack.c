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
      for( int k = 0; k < n_in; k++ ) /* copied: it may be a pair of int16 */
        memcpy(packed + (size_t)k * NER_PANEL + j, row + k, sizeof *row);
    }
  }
}

uint64_t ner_packed_bytes(enum ner_precision precision, int32_t n_out, int32_t n_in) {
  uint64_t panels = (uint64_t)ner_panels(n_out) * NER_PANEL;
  if( precision == NER_PRECISION_INT8 ) return panels * ner_round_up((size_t)n_in, NER_GROUP);
  return panels * (uint64_t)n_in * sizeof(float);
}

void ner_pack_f32(const float *w, int32_t n_out, int32_t n_in, float *packed) {
  ner_pack_rows(w, n_out, n_in, n_in, packed);
}

enum { PACK_CHUNK = NER_I8_CHUNK * NER_GROUP }; /* inputs in a chunk */

static int pack_round(float steps) {
  steps = steps > -NER_I8_MAX ? steps : -NER_I8_MAX; /* NaN: -127 */
  steps = steps < NER_I8_MAX ? steps : NER_I8_MAX;
  return (int)lrintf(steps); /* to nearest even, and no call where the processor can */
}

/* The largest |w| and the largest sum of one sign in a lane. Without branches, which random signs would
** have mispredicted half of the time. */
static void pack_extent(const float *w, int n, float *top, float *sum) {
  float size = 0, most = 0;
  for( int c = 0; c < n; c += PACK_CHUNK ) {
    float above[2] = {0}, below[2] = {0};
    int end = pack_min(PACK_CHUNK, n - c);
    for( int k = 0; k < end; k++ ) {
      float up = w[c + k] > 0 ? w[c + k] : 0, down = w[c + k] < 0 ? -w[c + k] : 0;
      size = up > size ? up : size;
      size = down > size ? down : size;
      above[k >> 1 & 1] += up;
      below[k >> 1 & 1] += down;
    }
    for( int half = 0; half < 2; half++ ) {
      most = above[half] > most ? above[half] : most;
      most = below[half] > most ? below[half] : most;
    }
  }
  *top = size;
  *sum = most;
}

/* Whether all lanes of a channel keep NER_I8_LIMIT once they are rounded. */
static bool pack_fits(const float *w, int n, float factor) {
  for( int c = 0; c < n; c += PACK_CHUNK ) {
    int above[2] = {0}, total[2] = {0}, end = pack_min(PACK_CHUNK, n - c);
    for( int k = 0; k < end; k++ ) {
      int q = pack_round(w[c + k] * factor);
      above[k >> 1 & 1] += q > 0 ? q : 0;
      total[k >> 1 & 1] += q;
    }
    for( int half = 0; half < 2; half++ )
      if( above[half] > NER_I8_LIMIT || above[half] - total[half] > NER_I8_LIMIT ) return false;
  }
  return true;
}

/* The finest scale with which no weight exceeds NER_I8_MAX and, once rounded, no lane NER_I8_LIMIT. 0 for a
** channel below 1e-30, whose factor would overflow. (A finer scale, with lanes cut down to the limit, loses
** more than it gains: measured on normally distributed weights and on trained ones.) */
static float pack_scale(const float *w, int n) {
  float top, sum, scale;
  pack_extent(w, n, &top, &sum);
  if( !(top >= 1e-30f) ) return 0;
  scale = fmaxf(top / NER_I8_MAX, sum / (NER_I8_LIMIT + 1));
  /* Rounding adds at most half a step for each weight of a lane: 2 steps in 128, so 13 times are enough.
  ** A channel that holds NaN never fits. */
  for( int i = 0; i < 13 && !pack_fits(w, n, 1 / scale); i++ ) scale *= 1 + 1 / 512.0f;
  return scale;
}

/* Output channel `row` of w [n_in] into the packed form. */
static void pack_channel(const float *w, int row, int n_in, int8_t *packed, float *scale,
                         int32_t *sum) {
  size_t group_bytes = NER_PANEL * NER_GROUP;
  size_t panel_bytes = ner_round_up((size_t)n_in, NER_GROUP) * NER_PANEL;
  int8_t *column =
      packed + (size_t)row / NER_PANEL * panel_bytes + (size_t)row % NER_PANEL * NER_GROUP;
  float s = scale[row] = pack_scale(w, n_in), factor = s > 0 ? 1 / s : 0;
  for( size_t k = 0; k < (size_t)n_in; k++ ) {
    int q = pack_round(w[k] * factor);
    column[k / NER_GROUP * group_bytes + k % NER_GROUP] = (int8_t)q;
    sum[row] += q;
  }
}

static void pack_clear(int32_t n_out, int32_t n_in, int8_t *packed, float *scale, int32_t *sum) {
  size_t n_padded = (size_t)ner_panels(n_out) * NER_PANEL;
  memset(packed, 0, ner_packed_bytes(NER_PRECISION_INT8, n_out, n_in));
  memset(scale, 0, n_padded * sizeof *scale);
  memset(sum, 0, n_padded * sizeof *sum);
}

void ner_pack_i8(const float *w, int32_t n_out, int32_t n_in, int8_t *packed, float *scale,
                 int32_t *sum) {
  pack_clear(n_out, n_in, packed, scale, sum);
  for( int n = 0; n < n_out; n++ )
    pack_channel(w + (size_t)n * (size_t)n_in, n, n_in, packed, scale, sum);
}

/* Whether the integers w [n] of a channel keep the bound. */
static bool pack_keeps_limit(const float *w, int n) {
  float top, sum;
  pack_extent(w, n, &top, &sum);
  return top <= NER_I8_MAX && sum <= NER_I8_LIMIT;
}

void ner_repack_i8(const struct ner_linear *w, float *channel, int8_t *packed, float *scale,
                   int32_t *sum) {
  const int n_in = w->n_in;
  const size_t group_bytes = NER_PANEL * NER_GROUP;
  const size_t panel_bytes = ner_round_up((size_t)n_in, NER_GROUP) * NER_PANEL;
  pack_clear(w->n_out, n_in, packed, scale, sum);
  for( int n = 0; n < w->n_out; n++ ) {
    size_t first = (size_t)n / NER_PANEL * panel_bytes + (size_t)n % NER_PANEL * NER_GROUP;
    const int8_t *column = (const int8_t *)w->packed + first;
    for( size_t k = 0; k < (size_t)n_in; k++ )
      channel[k] = column[k / NER_GROUP * group_bytes + k % NER_GROUP];
    if( pack_keeps_limit(channel, n_in) ) {
      scale[n] = w->scale[n];
      for( size_t k = 0; k < (size_t)n_in; k++ ) {
        packed[first + k / NER_GROUP * group_bytes + k % NER_GROUP] = (int8_t)channel[k];
        sum[n] += (int32_t)channel[k];
      }
    } else {
      for( int k = 0; k < n_in; k++ ) channel[k] *= w->scale[n];
      pack_channel(channel, n, n_in, packed, scale, sum);
    }
  }
}
