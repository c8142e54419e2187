/*
** levels.h - what the files of kernels/ share among themselves.
**
** A level fills in or overlays a table. Each ner_kernels_<level>() returns false, and leaves the
** table alone, when this processor or this build lacks what the level needs.
*/
#ifndef NER_KERNELS_LEVELS_H
#define NER_KERNELS_LEVELS_H

#include "kernels/kernels.h"

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

/* The portable versions that other levels use as they are. */
float ner_gelu(float x);
void ner_kernels_training(struct ner_kernels *table); /* what only training uses */
void ner_pack_rows(const float *w, int n_out, int n_in, int ldw, float *packed);

#pragma GCC visibility pop
#endif
