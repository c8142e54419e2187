/*
** vector_i8.h - the int8 matrix product, written once for every vector unit.
**
** Included after kernels/vector.h, once for each way in which a unit multiplies bytes:
**
**   I8(name)            gives each way's functions their names
**   I8_ROWS, I8_PANELS  tile: rows × panels of 16 columns
**   I8_WEIGHTS, I8_LOAD(p)  how 4·W bytes of weights are kept and loaded
**
** and either, where an instruction adds four products to 32 bits,
**
**   I8_DOT(acc, x, w)   acc[j] += Σ x[4j..4j+3]·w[4j..4j+3]
**
** or, where products are at first 16 bits wide (NER_I8_LIMIT in kernels.h keeps their sums in range),
**
**   I8_SUM              such sums of 4·W products
**   I8_MUL(s, x, w)     s = the products
**   I8_MULADD(s, x, w)  s += the products
**   I8_WIDEN(acc, s)    acc[j] += the part of s that belongs to column j; s is lost
**
** besides VI, a vector of W int32; i_load(p); i_set(i); i_broadcast(p), four bytes repeated; i_mul(a,b),
** i_sub(a,b); and v_from_i, the conversion to V.
*/
/* clang-format tears loops apart at UNROLL. */
/* clang-format off */

#ifndef I8_DOT
/* One group of a chunk for all rows of a tile: part = or += products. */
INLINE void I8(step)(int rows, int panels, bool add, const uint8_t **third, size_t ld, int at,
                     const int8_t *w, size_t panel_bytes, I8_SUM part[][I8_PANELS * NV]) {
  I8_WEIGHTS b[I8_PANELS * NV];
  UNROLL for( int p = 0; p < panels; p++ ) {
    __builtin_prefetch(w + p * panel_bytes + 4096);
    UNROLL for( int j = 0; j < NV; j++ )
      b[p * NV + j] = I8_LOAD(w + p * panel_bytes + j * W * NER_GROUP);
  }
  UNROLL for( int i = 0; i < rows; i++ ) {
    VI a = i_broadcast(third[i / 3] + i % 3 * ld + at);
    UNROLL for( int j = 0; j < panels * NV; j++ ) {
      if( add )
        I8_MULADD(part[i][j], a, b[j]);
      else
        I8_MUL(part[i][j], a, b[j]);
    }
  }
}
#endif

/* As tile_f32. Dequantised as in portable.c: fma(Σ (x - zero)·q, x_scale·w_scale, bias). */
INLINE void I8(tile)(int rows, int panels, const uint8_t *x, const struct ner_row *row, int ldx,
                     const struct ner_linear *lin, int panel, float *y, int ldy) {
  const int groups = (lin->n_in - 1) / NER_GROUP + 1;
  const size_t panel_bytes = (size_t)groups * NER_PANEL * NER_GROUP;
  const int8_t *w = (const int8_t *)lin->packed + panel_bytes * (size_t)panel;
  const uint8_t *third[(I8_ROWS + 2) / 3]; /* every third row */
  VI sum[I8_ROWS][I8_PANELS * NV];
  const size_t ld = (size_t)ldx;
  UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] = x + i * ld;
  UNROLL for( int j = 0; j < panels * NV; j++ ) {
    VI total = i_load(lin->sum + panel * NER_PANEL + j * W);
    UNROLL for( int i = 0; i < rows; i++ )
      sum[i][j] = i_sub(i_set(0), i_mul(i_set(row[i].zero), total));
  }
#ifdef I8_DOT
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
#else
  for( int g = 0; g < groups; ) {
    /* A whole chunk, or the groups after the last whole one, one by one. */
    const int n = groups - g >= NER_I8_CHUNK ? NER_I8_CHUNK : 1;
    I8_SUM part[I8_ROWS][I8_PANELS * NV];
    if( n == NER_I8_CHUNK )
      UNROLL for( int c = 0; c < NER_I8_CHUNK; c++ )
        I8(step)(rows, panels, c > 0, third, ld, c * NER_GROUP, w + c * NER_PANEL * NER_GROUP,
                 panel_bytes, part);
    else
      I8(step)(rows, panels, false, third, ld, 0, w, panel_bytes, part);
    UNROLL for( int i = 0; i < rows; i++ )
      UNROLL for( int j = 0; j < panels * NV; j++ ) I8_WIDEN(sum[i][j], part[i][j]);
    g += n;
    w += n * NER_PANEL * NER_GROUP;
    UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] += n * NER_GROUP;
  }
#endif
  UNROLL for( int j = 0; j < panels * NV; j++ ) {
    int col = panel * NER_PANEL + j * W;
    V w_scale = v_load(lin->scale + col);
    V bias = lin->bias ? v_load(lin->bias + col) : v_set(0);
    UNROLL for( int i = 0; i < rows; i++ ) {
      V scale = v_mul(v_set(row[i].scale), w_scale);
      v_store(y + (size_t)i * ldy + j * W, v_fma(v_from_i(sum[i][j]), scale, bias));
    }
  }
}

#undef TILE_I8
#define TILE_I8(rows)                                                                              \
  case rows: I8(tile)(rows, panels, x, row, ldx, lin, panel, y, ldy); break
INLINE void I8(tiles)(int rows, int panels, const uint8_t *x, const struct ner_row *row, int ldx,
                      const struct ner_linear *lin, int panel, float *y, int ldy) {
  switch( rows ) {
    TILE_I8(1);
    TILE_I8(2);
    TILE_I8(3);
#if I8_ROWS > 3
    TILE_I8(4);
#endif
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

KERNEL static void I8(gemm)(const uint8_t *xq, const struct ner_row *row, int m, int ldq,
                            const struct ner_linear *lin, int panel_begin, int panel_end,
                            enum ner_epilogue epilogue, float *y, int ldy) {
  float edge[I8_ROWS * I8_PANELS * NER_PANEL];
  int panels = I8_PANELS;
  for( int p = panel_begin; p < panel_end; p += panels ) {
    int col = p * NER_PANEL, n_cols, rows;
    if( panels > panel_end - p ) panels = 1;
    n_cols = panels * NER_PANEL;
    if( n_cols > lin->n_out - col ) n_cols = lin->n_out - col;
    for( int i = 0; i < m; i += rows ) {
      const uint8_t *from = xq + (size_t)i * ldq;
      float *target = y + (size_t)i * ldy + col, *to = target;
      int ldto = ldy;
      rows = NER_ISA(tile_rows)(m - i, I8_ROWS);
      if( n_cols < panels * NER_PANEL ) to = edge, ldto = panels * NER_PANEL;
      if( panels == I8_PANELS )
        I8(tiles)(rows, I8_PANELS, from, row + i, ldq, lin, p, to, ldto);
      else
        I8(tiles)(rows, 1, from, row + i, ldq, lin, p, to, ldto);
      if( epilogue != NER_EPILOGUE_NONE || to != target )
        NER_ISA(finish_tile)(rows, n_cols, epilogue, to, ldto, target, ldy);
    }
  }
}
/* clang-format on */
