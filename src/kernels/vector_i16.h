/*
** vector_i16.h - attention in integers of 16 bits, written once for every vector unit.
**
** Included after kernels/vector.h, once for each way in which a unit multiplies such integers:
**
**   I16(name)           gives each way's product its name
**   I16_ROWS            tile: rows × 16 columns
**   I16_SUM             sums for W columns; I16_ZERO
**   I16_WEIGHTS, I16_LOAD(p)  how W pairs are kept and loaded
**   I16_MULADD(s, x, w) s += x·w of each pair
**   I16_TOTAL(s)        as VI
**
** besides v_store_s(p,v), W floats of the range, rounded to nearest even, as int16; i_pair(a,b), two such
** vectors as pairs, of which a's come first; i_store(p,v); and what vector_i8.h asks for. Whatever does not
** multiply is compiled once for each vector unit.
*/
/* clang-format tears loops apart at UNROLL. */
/* clang-format off */

/* As tile_f32, over pairs; y = sum·factor. */
INLINE void I16(tile)(int rows, const int16_t *x, int ldx, const struct ner_linear *lin, int panel,
                      const float *factor, float *y, int ldy) {
  const int pairs = (lin->n_in + 1) / 2;
  const int16_t *w = (const int16_t *)lin->packed + (size_t)panel * (size_t)pairs * 2 * NER_PANEL;
  const size_t ld = (size_t)ldx;
  const int16_t *third[(I16_ROWS + 2) / 3]; /* every third row */
  I16_SUM sum[I16_ROWS][NV];
  UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] = x + i * ld;
  UNROLL for( int i = 0; i < rows; i++ )
    UNROLL for( int j = 0; j < NV; j++ ) sum[i][j] = I16_ZERO;
  UNROLL_2 for( int k = 0; k < pairs; k++, w += 2 * NER_PANEL ) {
    I16_WEIGHTS b[NV];
    UNROLL for( int j = 0; j < NV; j++ ) b[j] = I16_LOAD(w + 2 * j * W);
    UNROLL for( int i = 0; i < rows; i++ ) {
      VI a = i_broadcast((const uint8_t *)(third[i / 3] + i % 3 * ld));
      UNROLL for( int j = 0; j < NV; j++ ) I16_MULADD(sum[i][j], a, b[j]);
    }
    UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] += 2;
  }
  UNROLL for( int i = 0; i < rows; i++ )
    UNROLL for( int j = 0; j < NV; j++ )
      v_store(y + (size_t)i * ldy + j * W, v_mul(v_from_i(I16_TOTAL(sum[i][j])), v_set(factor[i])));
}

#undef TILE_I16
#define TILE_I16(rows)                                                                             \
  case rows: I16(tile)(rows, x, ldx, lin, panel, factor, y, ldy); break
INLINE void I16(tiles)(int rows, const int16_t *x, int ldx, const struct ner_linear *lin, int panel,
                       const float *factor, float *y, int ldy) {
  switch( rows ) {
    TILE_I16(1);
    TILE_I16(2);
    TILE_I16(3);
#if I16_ROWS > 3
    TILE_I16(4);
    TILE_I16(5);
    TILE_I16(6);
#endif
#if I16_ROWS > 6
    TILE_I16(7);
    TILE_I16(8);
    TILE_I16(9);
    TILE_I16(10);
    TILE_I16(11);
    TILE_I16(12);
#endif
  }
}

KERNEL static void I16(gemm)(const int16_t *x, int m, int ldx, const struct ner_linear *lin,
                             const float *factor, float *y, int ldy) {
  float edge[I16_ROWS * NER_PANEL];
  for( int p = 0; p < ner_panels(lin->n_out); p++ ) {
    int col = p * NER_PANEL, n_cols = lin->n_out - col < NER_PANEL ? lin->n_out - col : NER_PANEL;
    for( int i = 0, rows; i < m; i += rows ) {
      float *target = y + (size_t)i * ldy + col, *to = n_cols < NER_PANEL ? edge : target;
      int ldto = to == edge ? NER_PANEL : ldy;
      rows = NER_ISA(tile_rows)(m - i, I16_ROWS);
      I16(tiles)(rows, x + (size_t)i * ldx, ldx, lin, p, factor + i, to, ldto);
      if( to == edge )
        NER_ISA(finish_tile)(rows, n_cols, NER_EPILOGUE_NONE, to, ldto, target, ldy);
    }
  }
}

#ifndef I16_ONCE
#define I16_ONCE
KERNEL static float NER_ISA(extent)(const float *x, int m, int n, int ldx) {
  V most[2] = {v_set(0), v_set(0)}, least[2] = {v_set(0), v_set(0)}; /* two each: max takes four cycles */
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    int k;
    for( k = 0; k + 2 * W <= n; k += 2 * W )
      UNROLL for( int j = 0; j < 2; j++ ) {
        V v = v_load(in + k + j * W);
        most[j] = v_max(v, most[j]);
        least[j] = v_min(v, least[j]);
      }
    for( ; k < n; k += W ) {
      V v = n - k < W ? v_load_n(in + k, n - k, 0) : v_load(in + k);
      most[0] = v_max(v, most[0]);
      least[0] = v_min(v, least[0]);
    }
  }
  least[0] = v_min(least[0], least[1]);
  return v_top(v_max(v_max(most[0], most[1]), v_sub(v_set(0), least[0])));
}

INLINE V NER_ISA(steps)(V v, float factor) {
  return v_max(v_mul(v, v_set(factor)), v_set(-NER_I16_MAX)); /* NaN: the least */
}

KERNEL static void NER_ISA(round_i16)(const float *x, int m, int n, int ldx, float factor, int16_t *y,
                                      int ldy) {
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    int16_t *out = y + (size_t)i * ldy;
    int k;
    for( k = 0; k + W <= n; k += W ) v_store_s(out + k, NER_ISA(steps)(v_load(in + k), factor));
    if( k < n ) {
      int16_t last[W];
      v_store_s(last, NER_ISA(steps)(v_load_n(in + k, n - k, 0), factor));
      memcpy(out + k, last, (size_t)(n - k) * sizeof *out);
    }
    if( n % 2 ) out[n] = 0;
  }
}

KERNEL static void NER_ISA(pair_i16)(const float *x, int m, int n, int ldx, float factor, int16_t *packed) {
  for( int col = 0; col < n; col += NER_PANEL )
    for( int i = 0; i < m; i += 2, packed += 2 * NER_PANEL ) {
      const float *first = x + (size_t)i * ldx + col, *second = first + ldx;
      UNROLL for( int j = 0; j < NV; j++ ) {
        V a = NER_ISA(load_part)(first, n - col, j, 0);
        V b = i + 1 < m ? NER_ISA(load_part)(second, n - col, j, 0) : v_set(0);
        i_store(packed + 2 * j * W, i_pair(NER_ISA(steps)(a, factor), NER_ISA(steps)(b, factor)));
      }
    }
}

/* 2^x for x <= 0; below -60 it stays at 2^-60, which beside 1 is nothing. x = n + r, |r| <= 1/2, and 2^r by a
** minimax polynomial (relative error 2.7e-6; rounding to 15 bits adds up to 1.5e-5). */
INLINE V NER_ISA(v_exp2)(V x) {
  V n, r, y;
  x = v_max(x, v_set(-60.0f));
  n = v_round(x);
  r = v_sub(x, n);
  y = v_set(0.00957010221f);
  y = v_fma(y, r, v_set(0.0559178591f));
  y = v_fma(y, r, v_set(0.240247443f));
  y = v_fma(y, r, v_set(0.693121791f));
  y = v_fma(y, r, v_set(0.999999285f));
  return v_mul(y, v_exp2i(n));
}

KERNEL static void NER_ISA(softmax_i16)(float *x, int m, int n, int ldx, int16_t *y, int ldy, float *total) {
  const int tail = n % NER_PANEL, body = n - tail;
  for( int i = 0; i < m; i++ ) {
    float *row = x + (size_t)i * ldx;
    int16_t *out = y + (size_t)i * ldy;
    V top = v_set(-INFINITY), sum[NV], scale;
    float all, factor;
    int k;
    for( k = 0; k < body; k += W ) top = v_max(v_load(row + k), top);
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) top = v_max(NER_ISA(load_part)(row + k, tail, j, -INFINITY), top);
    top = v_set(v_top(top));
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( k = 0; k < body; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) {
        V e = NER_ISA(v_exp2)(v_sub(v_load(row + k + j * W), top));
        v_store(row + k + j * W, e);
        sum[j] = v_add(sum[j], e);
      }
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) {
        V e = NER_ISA(v_exp2)(v_sub(NER_ISA(load_part)(row + k, tail, j, -INFINITY), top));
        v_store(row + k + j * W, e);
        sum[j] = v_add(sum[j], e);
      }
    all = NER_ISA(panel_sum)(sum);
    factor = ner_i16_factor(all);
    scale = v_set(factor);
    for( k = 0; k < n; k += W ) v_store_s(out + k, v_mul(v_load(row + k), scale));
    for( ; k % NER_PANEL; k += W ) v_store_s(out + k, v_set(0));
    total[i] = all * factor;
  }
}
#endif
/* clang-format on */
