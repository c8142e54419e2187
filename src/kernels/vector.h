/*
** vector.h - the float kernels, written once for every vector unit.
**
** Included by kernels/avx2.c, kernels/avx512.c and kernels/arm.c after they have
** said what a vector is:
**
**   KERNEL          target attribute of every function (may be empty)
**   V, W            a vector of W floats, W divides 16
**   F32_ROWS, F32_PANELS   tile of gemm_f32: rows × panels of 16 columns whose
**                          accumulators fit the registers
**   v_load v_store v_set v_add v_sub v_mul v_fma(a,b,c)=ab+c v_fnma=c-ab
**   v_max v_min            v_max(a,b), v_min(a,b): b when a is NaN
**   v_div(a,b) v_sqrt(a)   a/b and √a, rounded as IEEE 754 says
**   v_round, v_exp2i       to nearest even; 2^n for integral n in [-126,127]
**   v_load_n(p,n,fill) v_store_n(p,v,n)   the first n < W lanes, others `fill`
**   v_sum                  of all lanes: lane i and i + W/2 together, and so on down to one
**   v_top                  the greatest of all lanes
**   v_transpose(v)         of W vectors v[0..W)
**   v_store_q(p,v,i)       W floats, rounded to nearest even, plus i, as bytes
**
** A row is always worked on alone and in one order, so what it gives does not
** depend on its neighbours. Nor does it depend on W: what is summed across a row is
** summed in NER_PANEL lanes, lane i taking every NER_PANEL-th number from i on, be
** they one register or four. So all vector units give the same bits, provided that the compiler
** fuses no product and sum by itself (-ffp-contract=off).
*/
/* clang-format tears loops apart at UNROLL. */
/* clang-format off */

/* Loops over registers must vanish, at -O2 too; of the one over k two steps are put together,
** which spares gcc 12 a copy of an accumulator. */
#if defined(__clang__)
#define UNROLL   _Pragma("clang loop unroll(full)")
#define UNROLL_2 _Pragma("clang loop unroll_count(2)")
#else
#define UNROLL   _Pragma("GCC unroll 32")
#define UNROLL_2 _Pragma("GCC unroll 2")
#endif
#define INLINE static inline __attribute__((always_inline)) KERNEL

#define NV (NER_PANEL / W) /* vectors across a panel */

/* e^x for x <= 0; below -87 it stays at e^-87, which beside 1 is nothing. x = n·ln2 + r,
** |r| <= ln2/2, and e^r by a minimax polynomial (relative error 1.1e-7). */
INLINE V v_exp(V x) {
  V n, r, y;
  x = v_max(x, v_set(-87.0f));
  n = v_round(v_mul(x, v_set(1.44269504f)));
  r = v_fnma(n, v_set(0.693145752f), x); /* ln2 in two parts */
  r = v_fnma(n, v_set(1.42860677e-6f), r);
  y = v_set(0.00831252057f);
  y = v_fma(y, r, v_set(0.0418901555f));
  y = v_fma(y, r, v_set(0.166671142f));
  y = v_fma(y, r, v_set(0.499992311f));
  y = v_fma(y, r, v_set(1.0f));
  y = v_fma(y, r, v_set(1.0f));
  return v_mul(y, v_exp2i(n));
}

/* erf(x/√2)/2 = x·P(u)/Q(u) with u = x² on |x| <= 5.4 (minimax fit of degrees 5 and 5, error 6e-9;
** beyond, the true value is 1/2 to 4e-8, and so is the one at 5.4). */
INLINE V v_half_erf(V x) {
  V t = v_max(v_min(x, v_set(5.4f)), v_set(-5.4f));
  V u = v_mul(t, t);
  V p = v_set(2.33867254e-8f), q = v_set(1.21659116e-6f);
  p = v_fma(p, u, v_set(6.36002596e-6f));
  q = v_fma(q, u, v_set(7.24003403e-5f));
  p = v_fma(p, u, v_set(1.64322133e-4f));
  q = v_fma(q, u, v_set(1.858984e-3f));
  p = v_fma(p, u, v_set(4.65085404e-3f));
  q = v_fma(q, u, v_set(2.8378712e-2f));
  p = v_fma(p, u, v_set(3.33722681e-2f));
  q = v_fma(q, u, v_set(2.50317961e-1f));
  p = v_fma(p, u, v_set(3.98942232e-1f));
  q = v_fma(q, u, v_set(1.0f));
  return v_div(v_mul(t, p), q);
}

/* x·(1+erf(x/√2))/2; error below 1.7e-7·max(1,|x|). */
INLINE V v_gelu(V x) {
  return v_fma(x, v_half_erf(x), v_mul(x, v_set(0.5f)));
}

/* How m rows are cut into tiles of at most `most`: as evenly as can be, since a tile of one
** or two rows costs nearly as much as a full one. */
static inline int NER_ISA(tile_rows)(int rows_left, int most) {
  int tiles = (rows_left - 1) / most + 1;
  return (rows_left - 1) / tiles + 1;
}

/* What follows the sums of a tile: the activation over rows [0, rows) of y [rows, ldy], and,
** when y is not the matrix itself, the copying of n_cols columns there. */
KERNEL static void NER_ISA(finish_tile)(int rows, int n_cols, enum ner_epilogue epilogue, float *y, int ldy,
                               float *target, int ldt) {
  for( int i = 0; i < rows; i++ ) {
    float *row = y + (size_t)i * ldy;
    if( epilogue == NER_EPILOGUE_GELU )
      for( int j = 0; j < n_cols; j += W ) v_store(row + j, v_gelu(v_load(row + j)));
    if( y != target ) memcpy(target + (size_t)i * ldt, row, (size_t)n_cols * sizeof *row);
  }
}

/* y[rows, 16·panels] = x[rows, n_in] · panels at w, each panel_floats apart, + bias. Weights
** are asked for some 4 KB ahead: the first tile of a panel finds them in no near cache. */
INLINE void NER_ISA(tile_f32)(int rows, int panels, const float *x, int ldx, const struct ner_linear *lin,
                     int panel, float *y, int ldy) {
  const int n_in = lin->n_in;
  const size_t panel_floats = (size_t)n_in * NER_PANEL;
  const float *w = (const float *)lin->packed + panel_floats * (size_t)panel;
  const size_t ld = (size_t)ldx;
  const float *third[F32_ROWS / 3]; /* every third row: one pointer each is more than there are */
  V sum[F32_ROWS][F32_PANELS * NV];
  UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3] = x + i * ld;
  UNROLL for( int j = 0; j < panels * NV; j++ ) {
    V b = lin->bias ? v_load(lin->bias + panel * NER_PANEL + j * W) : v_set(0);
    UNROLL for( int i = 0; i < rows; i++ ) sum[i][j] = b;
  }
  UNROLL_2 for( int k = 0; k < n_in; k++, w += NER_PANEL ) {
    V b[F32_PANELS * NV];
    UNROLL for( int p = 0; p < panels; p++ ) {
      const float *at = w + p * panel_floats;
      __builtin_prefetch((const char *)at + 4096);
      UNROLL for( int j = 0; j < NV; j++ ) b[p * NV + j] = v_load(at + j * W);
    }
    UNROLL for( int i = 0; i < rows; i++ ) {
      V a = v_set(*(third[i / 3] + i % 3 * ld));
      UNROLL for( int j = 0; j < panels * NV; j++ ) sum[i][j] = v_fma(a, b[j], sum[i][j]);
    }
    UNROLL for( int i = 0; i < rows; i += 3 ) third[i / 3]++;
  }
  UNROLL for( int i = 0; i < rows; i++ ) UNROLL for( int j = 0; j < panels * NV; j++ )
      v_store(y + (size_t)i * ldy + j * W, sum[i][j]);
}

#define TILE_F32(rows)                                                                             \
  case rows: NER_ISA(tile_f32)(rows, panels, x, ldx, lin, panel, y, ldy); break
INLINE void NER_ISA(tiles_f32)(int rows, int panels, const float *x, int ldx, const struct ner_linear *lin,
                      int panel, float *y, int ldy) {
  switch( rows ) {
    TILE_F32(1);
    TILE_F32(2);
    TILE_F32(3);
    TILE_F32(4);
    TILE_F32(5);
    TILE_F32(6);
#if F32_ROWS > 6
    TILE_F32(7);
    TILE_F32(8);
    TILE_F32(9);
    TILE_F32(10);
    TILE_F32(11);
    TILE_F32(12);
#endif
  }
}

KERNEL static void NER_ISA(gemm_f32)(const float *x, int m, int ldx, const struct ner_linear *lin,
                            int panel_begin, int panel_end, enum ner_epilogue epilogue, float *y,
                            int ldy) {
  float edge[F32_ROWS * F32_PANELS * NER_PANEL]; /* a tile that juts out of the matrix */
  int panels = F32_PANELS;
  for( int p = panel_begin; p < panel_end; p += panels ) {
    int col = p * NER_PANEL, n_cols, rows;
    if( panels > panel_end - p ) panels = 1;
    n_cols = panels * NER_PANEL;
    if( n_cols > lin->n_out - col ) n_cols = lin->n_out - col;
    for( int i = 0; i < m; i += rows ) {
      const float *from = x + (size_t)i * ldx;
      float *target = y + (size_t)i * ldy + col, *to = target;
      int ldto = ldy;
      rows = NER_ISA(tile_rows)(m - i, F32_ROWS);
      if( n_cols < panels * NER_PANEL ) to = edge, ldto = panels * NER_PANEL;
      if( panels == F32_PANELS )
        NER_ISA(tiles_f32)(rows, F32_PANELS, from, ldx, lin, p, to, ldto);
      else
        NER_ISA(tiles_f32)(rows, 1, from, ldx, lin, p, to, ldto);
      if( epilogue != NER_EPILOGUE_NONE || to != target )
        NER_ISA(finish_tile)(rows, n_cols, epilogue, to, ldto, target, ldy);
    }
  }
}

/* Vector j of the panel at p that has n numbers left, n < NER_PANEL; lanes beyond are `fill`. */
INLINE V NER_ISA(load_part)(const float *p, int n, int j, float fill) {
  return n >= (j + 1) * W ? v_load(p + j * W)
         : n > j * W      ? v_load_n(p + j * W, n - j * W, fill)
                          : v_set(fill);
}
INLINE void NER_ISA(store_part)(float *p, int n, int j, V v) {
  if( n >= (j + 1) * W )
    v_store(p + j * W, v);
  else if( n > j * W )
    v_store_n(p + j * W, v, n - j * W);
}

/* The sum of NER_PANEL lanes: lane i and i + 8 together, then 4, 2 and 1 apart. */
INLINE float NER_ISA(panel_sum)(const V *v) {
  V sum[NV];
  UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v[j];
  UNROLL for( int apart = NV / 2; apart > 0; apart /= 2 )
    UNROLL for( int j = 0; j < apart; j++ ) sum[j] = v_add(sum[j], sum[j + apart]);
  return v_sum(sum[0]);
}

KERNEL static void NER_ISA(layer_norm)(const float *x, int ldx, const float *residual, int ldr, int m, int n,
                              const float *gain, const float *bias, float eps, float *y, int ldy) {
  const int tail = n % NER_PANEL, body = n - tail;
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    const float *add = residual ? residual + (size_t)i * ldr : NULL;
    float *out = y + (size_t)i * ldy;
    V sum[NV], var[NV], last[NV], mean, r, d;
    float average;
    int k;
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = var[j] = v_set(0);
    for( k = 0; k < body; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) {
        V v = v_load(in + k + j * W);
        if( add ) v = v_add(v, v_load(add + k + j * W));
        v_store(out + k + j * W, v);
        sum[j] = v_add(sum[j], v);
      }
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) {
        last[j] = NER_ISA(load_part)(in + k, tail, j, 0);
        if( add ) last[j] = v_add(last[j], NER_ISA(load_part)(add + k, tail, j, 0));
        NER_ISA(store_part)(out + k, tail, j, last[j]);
        sum[j] = v_add(sum[j], last[j]);
      }
    average = NER_ISA(panel_sum)(sum) / (float)n;
    mean = v_set(average);
    for( k = 0; k < body; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) {
        d = v_sub(v_load(out + k + j * W), mean);
        var[j] = v_fma(d, d, var[j]);
      }
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) {
        d = v_sub(NER_ISA(load_part)(out + k, tail, j, average), mean);
        var[j] = v_fma(d, d, var[j]);
      }
    r = v_set(1 / sqrtf(NER_ISA(panel_sum)(var) / (float)n + eps));
    for( k = 0; k < body; k += W ) {
      d = v_mul(v_sub(v_load(out + k), mean), r);
      v_store(out + k, v_fma(d, v_load(gain + k), v_load(bias + k)));
    }
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) {
        d = v_mul(v_sub(last[j], mean), r);
        d = v_fma(d, NER_ISA(load_part)(gain + k, tail, j, 0), NER_ISA(load_part)(bias + k, tail, j, 0));
        NER_ISA(store_part)(out + k, tail, j, d);
      }
  }
}

KERNEL static void NER_ISA(softmax)(float *x, int m, int n, int ld) {
  const int tail = n % NER_PANEL, body = n - tail;
  for( int i = 0; i < m; i++ ) {
    float *row = x + (size_t)i * ld;
    V top = v_set(-INFINITY), sum[NV], last[NV], scale;
    int k;
    for( k = 0; k < body; k += W ) top = v_max(v_load(row + k), top);
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) top = v_max(NER_ISA(load_part)(row + k, tail, j, -INFINITY), top);
    top = v_set(v_top(top));
    UNROLL for( int j = 0; j < NV; j++ ) sum[j] = v_set(0);
    for( k = 0; k < body; k += NER_PANEL )
      UNROLL for( int j = 0; j < NV; j++ ) {
        V e = v_exp(v_sub(v_load(row + k + j * W), top));
        v_store(row + k + j * W, e);
        sum[j] = v_add(sum[j], e);
      }
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) {
        last[j] = v_exp(v_sub(NER_ISA(load_part)(row + k, tail, j, -INFINITY), top));
        sum[j] = v_add(sum[j], last[j]);
      }
    scale = v_set(1 / NER_ISA(panel_sum)(sum));
    for( k = 0; k < body; k += W ) v_store(row + k, v_mul(v_load(row + k), scale));
    if( tail )
      UNROLL for( int j = 0; j < NV; j++ ) NER_ISA(store_part)(row + k, tail, j, v_mul(last[j], scale));
  }
}

KERNEL static void NER_ISA(pack)(const float *w, int n_out, int n_in, int ldw, float *packed) {
  for( int n = 0; n < n_out; n += NER_PANEL, packed += (size_t)n_in * NER_PANEL )
    for( int k = 0; k < n_in; k += W ) {
      const int cols = n_in - k < W ? n_in - k : W;
      for( int j = 0; j < NER_PANEL; j += W ) {
        V block[W];
        UNROLL for( int i = 0; i < W; i++ ) {
          const float *row = w + (size_t)(n + j + i) * ldw + k;
          block[i] = v_set(0);
          if( n + j + i < n_out ) block[i] = cols == W ? v_load(row) : v_load_n(row, cols, 0);
        }
        v_transpose(block);
        UNROLL for( int i = 0; i < W; i++ )
          if( i < cols ) v_store(packed + (size_t)(k + i) * NER_PANEL + j, block[i]);
      }
    }
}

/* portable_quantise() operation by operation, so the same bytes. `shift` is added to bytes and zero
** points: 0, or -128 for a table that takes s8. */
INLINE void NER_ISA(quantise_rows)(const float *x, int m, int n, int ldx, uint8_t *xq, int ldq,
                                   struct ner_row *row, int shift) {
  const int tail = n % W, body = n - tail;
  for( int i = 0; i < m; i++ ) {
    const float *in = x + (size_t)i * ldx;
    uint8_t *out = xq + (size_t)i * ldq;
    V above = v_set(0), below = v_set(0), factor, least, most;
    float steps;
    VI offset;
    int k;
    for( k = 0; k < body; k += W ) {
      V v = v_load(in + k);
      above = v_max(v, above);
      below = v_max(v_sub(v_set(0), v), below);
    }
    if( tail ) {
      V v = v_load_n(in + k, tail, 0);
      above = v_max(v, above);
      below = v_max(v_sub(v_set(0), v), below);
    }
    row[i] = ner_row_of(v_top(below), v_top(above), &steps);
    factor = v_set(steps);
    least = v_set((float)-row[i].zero);
    most = v_set((float)(NER_X_MAX - row[i].zero));
    row[i].zero += shift;
    offset = i_set(row[i].zero);
    for( k = 0; k < n; k += W ) {
      V v = v_mul(k < body ? v_load(in + k) : v_load_n(in + k, tail, 0), factor);
      v_store_q(out + k, v_min(v_max(v, least), most), offset);
    }
    memset(out + n, 0, (size_t)(ner_quantised_bytes(n) - n));
  }
}
/* clang-format on */
