/*
** levels.h - what the files of kernels/ share among themselves.
**
** A level fills in or overlays a table. Each ner_kernels_<level>() returns false, and leaves the
** table alone, when this processor or this build lacks what the level needs.
*/
#ifndef NER_KERNELS_LEVELS_H
#define NER_KERNELS_LEVELS_H

#include "kernels/kernels.h"

#include <math.h>

#pragma GCC visibility push(hidden)

bool ner_kernels_portable(struct ner_kernels *table);
bool ner_kernels_blas(struct ner_kernels *table);
bool ner_kernels_avx2(struct ner_kernels *table);
bool ner_kernels_avxvnni(struct ner_kernels *table);
bool ner_kernels_avx512(struct ner_kernels *table);
bool ner_kernels_avx512vnni(struct ner_kernels *table);
bool ner_kernels_neon(struct ner_kernels *table);
bool ner_kernels_neondot(struct ner_kernels *table);

/* Loads OpenBLAS; false: this machine has none. Must have returned true before a function of the
** level "openblas" runs. */
bool ner_kernels_blas_load(void);

/* The scale and zero point of a row whose least value is -below <= 0 and whose greatest is above >= 0,
** and the factor that takes x to steps. Below 1e-30 the factor would overflow: such a row counts as zero.
** An infinite row gets factor 0, so that no infinity reaches an integer conversion. */
static inline struct ner_row ner_row_of(float below, float above, float *factor) {
  struct ner_row row = {below / NER_X_MAX + above / NER_X_MAX, 0};
  float zero;
  if( !(below + above >= 1e-30f) ) row.scale = 0;
  *factor = row.scale > 0 ? 1 / row.scale : 0;
  zero = below * *factor;
  zero = zero > 0 ? zero : 0; /* NaN: 0 */
  row.zero = (int32_t)nearbyintf(zero < NER_X_MAX ? zero : NER_X_MAX);
  return row;
}

/* What takes a row of e^x that add up to `total` to integers: the greatest, 1, to NER_I16_MAX, unless all
** together would exceed NER_I16_TOTAL. */
static inline float ner_i16_factor(float total) {
  float factor = NER_I16_TOTAL / total;
  return factor < NER_I16_MAX ? factor : NER_I16_MAX;
}

/* The portable versions that other levels use as they are. */
float ner_gelu(float x);
void ner_kernels_training(struct ner_kernels *table); /* what only training uses */
void ner_pack_rows(const float *w, int n_out, int n_in, int ldw, float *packed);

#pragma GCC visibility pop
#endif
