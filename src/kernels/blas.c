/*
** blas.c - the level "openblas": f32 products by OpenBLAS, everything else portable. It serves
** processors that have no kernel of their own here, and the tests as a second opinion.
**
** A row's result must not depend on the rows beside it, but OpenBLAS sums a tile of twelve rows in
** another order than one of four. It therefore always gets exactly four rows, zero padded, which its
** kernels take as one tile. Such a call is also far below the size from which OpenBLAS uses threads
** of its own, so the process-wide thread count needs no change.
**
** The library is loaded when the level is first used and not with the extension, because it starts
** a thread per core while it loads.
*/
#include "kernels/levels.h"

#ifndef NER_NO_BLAS

#include <cblas.h>
#include <string.h>
#include "base/os.h"

#if defined(_WIN32)
#define BLAS_LIBRARY "libopenblas.dll"
#elif defined(__APPLE__)
#define BLAS_LIBRARY "libopenblas.0.dylib"
#else
#define BLAS_LIBRARY "libopenblas.so.0"
#endif

static __typeof__(cblas_sgemm) *blas_sgemm;
static __typeof__(openblas_get_corename) *blas_corename;
static struct ner_once blas_once = NER_ONCE_INIT;

/* Never unloaded: threads of its own may be running in it. */
static void blas_load(void) {
  void *library = ner_library_open(BLAS_LIBRARY);
  if( !library ) return;
  *(void **)&blas_sgemm = ner_library_symbol(library, "cblas_sgemm");
  *(void **)&blas_corename = ner_library_symbol(library, "openblas_get_corename");
}

bool ner_kernels_blas_load(void) {
  ner_once_run(&blas_once, blas_load);
  return blas_sgemm != NULL;
}

enum {
  BLAS_ROWS = 4,
  BLAS_DEPTH = 1024
}; /* 4·16·1024 products; threads begin at four times that */

static void blas_gemm_f32(const float *x, int m, int ldx, const struct ner_linear *w,
                          int panel_begin, int panel_end, enum ner_epilogue epilogue, float *y,
                          int ldy) {
  float rows[BLAS_ROWS * BLAS_DEPTH]; /* a block of x */
  float sums[BLAS_ROWS * NER_PANEL];  /* a block of y */
  for( int p = panel_begin; p < panel_end; p++ ) {
    const float *panel = (const float *)w->packed + (size_t)p * w->n_in * NER_PANEL;
    int col = p * NER_PANEL;
    int n_cols = w->n_out - col < NER_PANEL ? w->n_out - col : NER_PANEL;
    for( int i = 0; i < m; i += BLAS_ROWS ) {
      int n_rows = m - i < BLAS_ROWS ? m - i : BLAS_ROWS;
      for( int k = 0; k < w->n_in; k += BLAS_DEPTH ) {
        int depth = w->n_in - k < BLAS_DEPTH ? w->n_in - k : BLAS_DEPTH;
        memset(rows, 0, sizeof rows);
        for( int r = 0; r < n_rows; r++ )
          memcpy(rows + r * depth, x + (size_t)(i + r) * ldx + k, (size_t)depth * sizeof *x);
        blas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, BLAS_ROWS, NER_PANEL, depth, 1, rows,
                   depth, panel + (size_t)k * NER_PANEL, NER_PANEL, k > 0, sums, NER_PANEL);
      }
      for( int r = 0; r < n_rows; r++ )
        for( int j = 0; j < n_cols; j++ ) {
          float sum = sums[r * NER_PANEL + j] + (w->bias ? w->bias[col + j] : 0);
          y[(size_t)(i + r) * ldy + col + j] = epilogue == NER_EPILOGUE_GELU ? ner_gelu(sum) : sum;
        }
    }
  }
}

bool ner_kernels_blas(struct ner_kernels *table) {
  table->gemm_f32 = blas_gemm_f32;
  return true;
}

const char *ner_blas_core(void) {
  return blas_corename ? blas_corename() : "";
}

#else

bool ner_kernels_blas(struct ner_kernels *table) {
  return false;
}
bool ner_kernels_blas_load(void) {
  return false;
}
const char *ner_blas_core(void) {
  return "";
}

#endif
