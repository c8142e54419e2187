/*
** vector_train.h - the kernels of training, written once for every vector unit.
**
** Included behind kernels/vector.h, over the same vector operations and v_sqrt. The equations stand
** in kernels/training.c. The rules of vector.h hold: a row is worked on alone, and sums across a
** row run in NER_PANEL lanes, so that all vector units give the same bits.
*/

/* e^(-x²/2)/√(2π), the density of the normal distribution. */
INLINE V NER_ISA(density)(V x) {
  return v_mul(v_exp(v_mul(v_mul(x, x), v_set(-0.5f))), v_set(0.39894228f));
}

KERNEL static void NER_ISA(gelu)(const float *x, int m, int n, int ldx, float *y, int ldy) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    float *out = y + (size_t)i * ldy;
    int k = 0;
    for( ; k + W <= n; k += W ) v_store(out + k, v_gelu(v_load(in + k)));
    if( k < n ) v_store_n(out + k, v_gelu(v_load_n(in + k, n - k, 0)), n - k);
  }
}

INLINE V NER_ISA(gelu_slope)(V x) {
  return v_add(v_add(v_half_erf(x), v_set(0.5f)), v_mul(x, NER_ISA(density)(x)));
}

KERNEL static void NER_ISA(gelu_grad)(const float *x, int m, int n, int ldx, float *dy, int ldd) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    float *d = dy + (size_t)i * ldd;
    int k = 0;
    for( ; k + W <= n; k += W )
      v_store(d + k, v_mul(v_load(d + k), NER_ISA(gelu_slope)(v_load(in + k))));
    if( k < n ) {
      V slope = NER_ISA(gelu_slope)(v_load_n(in + k, n - k, 0));
      v_store_n(d + k, v_mul(v_load_n(d + k, n - k, 0), slope), n - k);
    }
  }
}

KERNEL static void NER_ISA(layer_norm_grad)(const float *x, int ldx, const float *dy, int ldd,
                                            int m, int n, const float *gain, float eps, float *dx,
                                            int lddx, float *dgain, float *dbias) {
  const V over_n = v_set(1 / (float)n);
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx, *d = dy + (size_t)i * ldd;
    float *out = dx + (size_t)i * lddx;
    V sum[NV], sum_xhat[NV], mean, r, mean_d, mean_dx;
    float average;
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = sum_xhat[j] = v_set(0);
    for( int k = 0; k < n; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) sum[j] =
          v_add(sum[j], NER_ISA(load_part)(in + k, n - k, j, 0));
    average = NER_ISA(panel_sum)(sum) / (float)n;
    mean = v_set(average);
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( int k = 0; k < n; k += NER_PANEL ) UNROLL for( int j = 0; j < NV; j++ ) {
        V off = v_sub(NER_ISA(load_part)(in + k, n - k, j, average), mean);
        sum[j] = v_fma(off, off, sum[j]);
      }
    r = v_set(1 / sqrtf(NER_ISA(panel_sum)(sum) / (float)n + eps));
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( int k = 0; k < n; k += NER_PANEL ) UNROLL for( int j = 0; j < NV; j++ ) {
        const int left = n - k;
        V xhat = v_mul(v_sub(NER_ISA(load_part)(in + k, left, j, average), mean), r);
        V dk = NER_ISA(load_part)(d + k, left, j, 0), scaled;
        scaled = v_mul(dk, NER_ISA(load_part)(gain + k, left, j, 0));
        NER_ISA(store_part)
        (dgain + k, left, j, v_fma(dk, xhat, NER_ISA(load_part)(dgain + k, left, j, 0)));
        NER_ISA(store_part)
        (dbias + k, left, j, v_add(dk, NER_ISA(load_part)(dbias + k, left, j, 0)));
        sum[j] = v_add(sum[j], scaled);
        sum_xhat[j] = v_fma(scaled, xhat, sum_xhat[j]);
      }
    mean_d = v_mul(v_set(NER_ISA(panel_sum)(sum)), over_n);
    mean_dx = v_mul(v_set(NER_ISA(panel_sum)(sum_xhat)), over_n);
    for( int k = 0; k < n; k += NER_PANEL ) UNROLL for( int j = 0; j < NV; j++ ) {
        const int left = n - k;
        V xhat = v_mul(v_sub(NER_ISA(load_part)(in + k, left, j, average), mean), r);
        V scaled =
            v_mul(NER_ISA(load_part)(d + k, left, j, 0), NER_ISA(load_part)(gain + k, left, j, 0));
        NER_ISA(store_part)
        (out + k, left, j, v_mul(r, v_sub(v_sub(scaled, mean_d), v_mul(xhat, mean_dx))));
      }
  }
}

KERNEL static void NER_ISA(softmax_grad)(const float *y, float *dy, int m, int n, int ld) {
  for( int i = 0; i < m; i++ ) {
    const float *p = y + (size_t)i * ld;
    float *d = dy + (size_t)i * ld;
    V sum[NV], dot;
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( int k = 0; k < n; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_fma(
          NER_ISA(load_part)(p + k, n - k, j, 0), NER_ISA(load_part)(d + k, n - k, j, 0), sum[j]);
    dot = v_set(NER_ISA(panel_sum)(sum));
    for( int k = 0; k < n; k += NER_PANEL ) UNROLL for( int j = 0; j < NV; j++ ) {
        V v = v_sub(NER_ISA(load_part)(d + k, n - k, j, 0), dot);
        NER_ISA(store_part)(d + k, n - k, j, v_mul(NER_ISA(load_part)(p + k, n - k, j, 0), v));
      }
  }
}

KERNEL static void NER_ISA(adamw)(const struct ner_adamw *s, const float *grad, size_t n,
                                  float *weight, float *mean, float *square) {
  const V clip = v_set(s->clip), keep = v_set(s->keep), step = v_set(s->step);
  const V beta1 = v_set(s->beta1), beta2 = v_set(s->beta2), root = v_set(s->root);
  const V rest1 = v_set(1 - s->beta1), rest2 = v_set(1 - s->beta2), eps = v_set(s->eps);
  for( size_t k = 0; k < n; k += W ) {
    const int left = n - k < W ? (int)(n - k) : W;
    V g = left < W ? v_load_n(grad + k, left, 0) : v_load(grad + k);
    V w = left < W ? v_load_n(weight + k, left, 0) : v_load(weight + k);
    V m = left < W ? v_load_n(mean + k, left, 0) : v_load(mean + k);
    V v = left < W ? v_load_n(square + k, left, 0) : v_load(square + k);
    g = v_mul(g, clip);
    m = v_fma(beta1, m, v_mul(rest1, g));
    v = v_fma(beta2, v, v_mul(v_mul(rest2, g), g));
    w = v_mul(w, keep);
    w = v_sub(w, v_mul(step, v_div(m, v_fma(v_sqrt(v), root, eps))));
    if( left < W ) {
      v_store_n(weight + k, w, left);
      v_store_n(mean + k, m, left);
      v_store_n(square + k, v, left);
    } else {
      v_store(weight + k, w);
      v_store(mean + k, m);
      v_store(square + k, v);
    }
  }
}

KERNEL static double NER_ISA(sum_squares)(const float *x, size_t n) {
  double total = 0;
  for( size_t begin = 0; begin < n; begin += NER_SQUARES ) {
    const size_t end = n - begin < NER_SQUARES ? n : begin + NER_SQUARES;
    V sum[NV];
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( size_t k = begin; k < end; k += NER_PANEL ) UNROLL for( int j = 0; j < NV; j++ ) {
        V v = NER_ISA(load_part)(x + k, (int)(end - k), j, 0);
        sum[j] = v_fma(v, v, sum[j]);
      }
    total += NER_ISA(panel_sum)(sum);
  }
  return total;
}

/* Everything above, into a table. */
static void NER_ISA(fill_training)(struct ner_kernels *table) {
  table->gelu = NER_ISA(gelu);
  table->gelu_grad = NER_ISA(gelu_grad);
  table->layer_norm_grad = NER_ISA(layer_norm_grad);
  table->softmax_grad = NER_ISA(softmax_grad);
  table->adamw = NER_ISA(adamw);
  table->sum_squares = NER_ISA(sum_squares);
}
