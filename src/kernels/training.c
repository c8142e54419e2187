/*
** training.c - the portable specification of the kernels that only training uses; see kernels.h.
*/
#include "kernels/levels.h"

#include <math.h>

static void training_gelu(const float *x, int m, int n, int ldx, float *y, int ldy) {
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) y[(size_t)i * ldy + k] = ner_gelu(x[(size_t)i * ldx + k]);
}

/* gelu(x) = x·Φ(x), so gelu'(x) = Φ(x) + x·φ(x). */
static void training_gelu_grad(const float *x, int m, int n, int ldx, float *dy, int ldd) {
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) {
      float v = x[(size_t)i * ldx + k];
      float distribution = 0.5f * (1 + erff(v * 0.70710678f));
      dy[(size_t)i * ldd + k] *= distribution + v * 0.39894228f * expf(-0.5f * v * v);
    }
}

/* With x̂ = (x - mean)·r and y = x̂·gain + bias:
**   dgain += dy·x̂, dbias += dy, dx = r·(dy·gain - mean(dy·gain) - x̂·mean(dy·gain·x̂)) */
static void training_layer_norm_grad(const float *x, int ldx, const float *dy, int ldd, int m,
                                     int n, const float *gain, float eps, float *dx, int lddx,
                                     float *dgain, float *dbias) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx, *d = dy + (size_t)i * ldd;
    float *out = dx + (size_t)i * lddx;
    float mean = 0, var = 0, mean_d = 0, mean_dx = 0, r;
    for( int k = 0; k < n; k++ ) mean += in[k];
    mean /= (float)n;
    for( int k = 0; k < n; k++ ) var += (in[k] - mean) * (in[k] - mean);
    r = 1 / sqrtf(var / (float)n + eps);
    for( int k = 0; k < n; k++ ) {
      float xhat = (in[k] - mean) * r;
      dgain[k] += d[k] * xhat;
      dbias[k] += d[k];
      mean_d += d[k] * gain[k];
      mean_dx += d[k] * gain[k] * xhat;
    }
    mean_d /= (float)n;
    mean_dx /= (float)n;
    for( int k = 0; k < n; k++ )
      out[k] = r * (d[k] * gain[k] - mean_d - (in[k] - mean) * r * mean_dx);
  }
}

static void training_softmax_grad(const float *y, float *dy, int m, int n, int ld) {
  for( int i = 0; i < m; i++ ) {
    const float *p = y + (size_t)i * ld;
    float *d = dy + (size_t)i * ld, dot = 0;
    for( int k = 0; k < n; k++ ) dot += p[k] * d[k];
    for( int k = 0; k < n; k++ ) d[k] = p[k] * (d[k] - dot);
  }
}

static void training_adamw(const struct ner_adamw *s, const float *grad, size_t n, float *weight,
                           float *mean, float *square) {
  for( size_t k = 0; k < n; k++ ) {
    float g = grad[k] * s->clip;
    mean[k] = s->beta1 * mean[k] + (1 - s->beta1) * g;
    square[k] = s->beta2 * square[k] + (1 - s->beta2) * g * g;
    weight[k] *= s->keep;
    weight[k] -= s->step * (mean[k] / (sqrtf(square[k]) * s->root + s->eps));
  }
}

static double training_sum_squares(const float *x, size_t n) {
  double total = 0;
  for( size_t k = 0; k < n; k++ ) total += (double)x[k] * x[k];
  return total;
}

void ner_kernels_training(struct ner_kernels *table) {
  table->gelu = training_gelu;
  table->gelu_grad = training_gelu_grad;
  table->layer_norm_grad = training_layer_norm_grad;
  table->softmax_grad = training_softmax_grad;
  table->adamw = training_adamw;
  table->sum_squares = training_sum_squares;
}
