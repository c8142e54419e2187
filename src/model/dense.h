/*
** dense.h - a model's weights as plain row-major floats, out of a model and into one.
*/
#ifndef NER_DENSE_H
#define NER_DENSE_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* The weight [n_out, n_in] of a linear layer, of any precision. */
void ner_linear_widen(const struct ner_linear *w, float *out);
/* Row `row` [width] of a table, of any type. */
void ner_embedding_widen(const struct ner_embedding *table, int32_t row, float *out);

#pragma GCC visibility pop
#endif
