/*
** spans.h - logits → probabilities → entities. Pure functions of their arguments.
**
** Reference: transformers, TokenClassificationPipeline: postprocess, aggregate
** and what they call, on numpy float32.
*/
#ifndef NER_SPANS_H
#define NER_SPANS_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* x[0] + ... + x[n-1] in the order in which numpy adds float32. */
float ner_sum_f32(const float *x, size_t n);

/* One token's logits [n] → probabilities [n]; may be in place. false: they are no
** numbers (a damaged model). */
bool ner_softmax(const float *logits, size_t n, float *probs);

/* Index of the largest of x [n], the first of equals. */
int32_t ner_argmax(const float *x, int32_t n);

/* The tokens of one text with their label probabilities [n_tok, n_labels] (rows
** sum to 1) → entities appended to *out ([*n], capacity *cap, for ner_grow), in
** the order of the text. Entities below the threshold are left out. */
int ner_spans(const struct ner_model *model, const struct ner_tokens *tokens, const float *probs,
              const struct ner_options *options, struct ner_entity **out, size_t *n, size_t *cap,
              struct ner_err *err);

#pragma GCC visibility pop
#endif
