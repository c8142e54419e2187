/*
** blas.c - the "openblas" level: f32 products by OpenBLAS, the rest from
** kernels.c. For processors we have no kernel of our own for, and the tests'
** second opinion.
**
** A row's result must not depend on the rows beside it, but OpenBLAS sums in
** another order in a tile of twelve rows than in one of four. So it is handed
** exactly four at a time, zero padded, which its kernels take as one tile. Such a
** call is also far below the size from which OpenBLAS would use threads of its
** own: it stays on ours without our touching the process-wide thread count.
**
** It is loaded when the level is first used and not with the extension, since it starts as many
** threads as there are cores while it loads: nothing that a host should get for kernels
** it does not run.
*/
#include "kernels/kernels.h"

#ifndef NER_NO_BLAS

#include <cblas.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#ifdef __APPLE__
#define LIBRARY "libopenblas.0.dylib"
#else
#define LIBRARY "libopenblas.so.0"
#endif

static __typeof__(cblas_sgemm) *sgemm;
static __typeof__(openblas_get_corename) *corename;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

/* Never unloaded: threads of its own may be running in it. */
static void load(void) {
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if( !library ) return;
  *(void **)&sgemm = dlsym(library, "cblas_sgemm");
  *(void **)&corename = dlsym(library, "openblas_get_corename");
}

bool ner_kernels_blas_load(void) {
  pthread_once(&load_once, load);
  return sgemm != NULL;
}

enum { ROWS = 4, DEPTH = 1024 }; /* 4·16·1024 products; threads begin at four times that */

static void gemm_f32(const float *x, int m, int ldx, const struct ner_linear *w, int panel_begin,
                     int panel_end, enum ner_epilogue epilogue, float *y, int ldy) {
  float rows[ROWS * DEPTH];     /* a block of x */
  float sums[ROWS * NER_PANEL]; /* a block of y */
  for( int p = panel_begin; p < panel_end; p++ ) {
    const float *panel = (const float *)w->packed + (size_t)p * w->n_in * NER_PANEL;
    int col = p * NER_PANEL;
    int n_cols = w->n_out - col < NER_PANEL ? w->n_out - col : NER_PANEL;
    for( int i = 0; i < m; i += ROWS ) {
      int n_rows = m - i < ROWS ? m - i : ROWS;
      for( int k = 0; k < w->n_in; k += DEPTH ) {
        int depth = w->n_in - k < DEPTH ? w->n_in - k : DEPTH;
        memset(rows, 0, sizeof rows);
        for( int r = 0; r < n_rows; r++ )
          memcpy(rows + r * depth, x + (size_t)(i + r) * ldx + k, (size_t)depth * sizeof *x);
        sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, ROWS, NER_PANEL, depth, 1, rows, depth,
              panel + (size_t)k * NER_PANEL, NER_PANEL, k > 0, sums, NER_PANEL);
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
  table->gemm_f32 = gemm_f32;
  return true;
}

const char *ner_blas_core(void) {
  return corename ? corename() : "";
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
