/*
** vector_i8.h - the int8 matrix product, written once for every vector
** unit.
**
** Included after kernels/vector.h, once for each way a unit multiplies bytes:
**
**   I8(name)            gives each way's functions their names
**   I8_ROWS, I8_PANELS  tile: rows × panels of 16 columns
**   I8_WEIGHTS, I8_LOAD(p)  how 4·W bytes of weights are kept, and brought in
**   I8_DOT(acc, x, w)   acc[j] += Σ x[4j..4j+3]·w[4j..4j+3]
**   I8_START            what the sums of a panel begin with, one of these three:
**     i8_start_zero        x is s8
**     i8_start_offset      x is u8 = s8 + 128: minus 128·Σw
**     start_negatives   I8_DOT takes -x-1 for -x where w < 0: the magnitudes of
**                       all negative weights
**
** besides VI, a vector of W int32; i_load(p); i_broadcast(p), four bytes
** repeated; and v_from_i, its conversion to V.
*/
/* clang-format tears loops apart at UNROLL. */
/* clang-format off */

#ifndef NER_KERNELS_VECTOR_I8_H
#define NER_KERNELS_VECTOR_I8_H

/* start[16] for a panel of `lin`. */
static inline void i8_start_zero(const struct ner_linear *lin, int panel, int32_t *start) {
  memset(start, 0, NER_PANEL * sizeof *start);
}
static inline void i8_start_offset(const struct ner_linear *lin, int panel, int32_t *start) {
  for( int j = 0; j < NER_PANEL; j++ ) start[j] = -128 * lin->sum[panel * NER_PANEL + j];
}

#endif

/* As tile_f32. dequantised: fma(sum, x_scale·w_scale, bias), as in portable.c. */
INLINE void I8(tile)(int rows, int panels, const uint8_t *x, const float *x_scale, int ldx,
                     const struct ner_linear *lin, int panel, const int32_t *start, float *y,
                     int ldy) {
  const int groups = (lin->n_in - 1) / NER_GROUP + 1;
  const size_t panel_bytes = (size_t)groups * NER_PANEL * NER_GROUP;
  const int8_t *w = (const int8_t *)lin->packed + panel_bytes * (size_t)panel;
  const uint8_t *third[(I8_ROWS + 2) / 3]; /* every third row */
  VI sum[I8_ROWS][I8_PANELS * NV];
  const size_t ld = (size_t)ldx;
  UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] = x + i * ld;
  UNROLL for( int j = 0; j < panels * NV; j++ ) {
    VI first = i_load(start + j * W);
    UNROLL for( int i = 0; i < rows; i++ ) sum[i][j] = first;
  }
  UNROLL_2 for( int g = 0; g < groups; g++, w += NER_PANEL * NER_GROUP ) {
    I8_WEIGHTS b[I8_PANELS * NV];
    UNROLL for( int p = 0; p < panels; p++ ) {
      const int8_t *at = w + p * panel_bytes;
      __builtin_prefetch(at + 4096);
      UNROLL for( int j = 0; j < NV; j++ ) b[p * NV + j] = I8_LOAD(at + j * W * NER_GROUP);
    }
    UNROLL for( int i = 0; i < rows; i++ ) {
      VI a = i_broadcast(third[i / 3] + i % 3 * ld);
      UNROLL for( int j = 0; j < panels * NV; j++ ) I8_DOT(sum[i][j], a, b[j]);
    }
    UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] += NER_GROUP;
  }
  UNROLL for( int j = 0; j < panels * NV; j++ ) {
    int col = panel * NER_PANEL + j * W;
    V w_scale = v_load(lin->scale + col);
    V bias = lin->bias ? v_load(lin->bias + col) : v_set(0);
    UNROLL for( int i = 0; i < rows; i++ ) {
      V scale = v_mul(v_set(x_scale[i]), w_scale);
      v_store(y + (size_t)i * ldy + j * W, v_fma(v_from_i(sum[i][j]), scale, bias));
    }
  }
}

#undef TILE_I8
#define TILE_I8(rows)                                                                              \
  case rows: I8(tile)(rows, panels, x, x_scale, ldx, lin, panel, start, y, ldy); break
INLINE void I8(tiles)(int rows, int panels, const uint8_t *x, const float *x_scale, int ldx,
                      const struct ner_linear *lin, int panel, const int32_t *start, float *y,
                      int ldy) {
  switch( rows ) {
    TILE_I8(1);
    TILE_I8(2);
    TILE_I8(3);
    TILE_I8(4);
#if I8_ROWS > 4
    TILE_I8(5);
    TILE_I8(6);
#endif
#if I8_ROWS > 6
    TILE_I8(7);
    TILE_I8(8);
    TILE_I8(9);
    TILE_I8(10);
    TILE_I8(11);
    TILE_I8(12);
#endif
  }
}

/* What a row of zeros comes to, which should be 0, taken off beforehand. */
KERNEL static inline void I8(start_negatives)(const struct ner_linear *lin, int panel,
                                              int32_t *start) {
  const int groups = (lin->n_in - 1) / NER_GROUP + 1;
  const int8_t *w = (const int8_t *)lin->packed + (size_t)panel * groups * NER_PANEL * NER_GROUP;
  VI sum[NV], zero;
  memset(start, 0, NER_PANEL * sizeof *start);
  zero = i_load(start);
  UNROLL for( int j = 0; j < NV; j++ ) sum[j] = zero;
  for( int g = 0; g < groups; g++, w += NER_PANEL * NER_GROUP )
    UNROLL for( int j = 0; j < NV; j++ ) {
      I8_WEIGHTS b = I8_LOAD(w + j * W * NER_GROUP);
      I8_DOT(sum[j], zero, b);
    }
  memcpy(start, sum, NER_PANEL * sizeof *start);
  for( int j = 0; j < NER_PANEL; j++ ) start[j] = -start[j];
}

KERNEL static void I8(gemm)(const uint8_t *xq, const float *x_scale, int m, int ldq,
                            const struct ner_linear *lin, int panel_begin, int panel_end,
                            enum ner_epilogue epilogue, float *y, int ldy) {
  float edge[I8_ROWS * I8_PANELS * NER_PANEL];
  int32_t start[I8_PANELS * NER_PANEL];
  int panels = I8_PANELS;
  for( int p = panel_begin; p < panel_end; p += panels ) {
    int col = p * NER_PANEL, n_cols, rows;
    if( panels > panel_end - p ) panels = 1;
    n_cols = panels * NER_PANEL;
    if( n_cols > lin->n_out - col ) n_cols = lin->n_out - col;
    for( int j = 0; j < panels; j++ ) I8_START(lin, p + j, start + j * NER_PANEL);
    for( int i = 0; i < m; i += rows ) {
      const uint8_t *from = xq + (size_t)i * ldq;
      float *target = y + (size_t)i * ldy + col, *to = target;
      int ldto = ldy;
      rows = NER_ISA(tile_rows)(m - i, I8_ROWS);
      if( n_cols < panels * NER_PANEL ) to = edge, ldto = panels * NER_PANEL;
      if( panels == I8_PANELS )
        I8(tiles)(rows, I8_PANELS, from, x_scale + i, ldq, lin, p, start, to, ldto);
      else
        I8(tiles)(rows, 1, from, x_scale + i, ldq, lin, p, start, to, ldto);
      if( epilogue != NER_EPILOGUE_NONE || to != target )
        NER_ISA(finish_tile)(rows, n_cols, epilogue, to, ldto, target, ldy);
    }
  }
}
/* clang-format on */
