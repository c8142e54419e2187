/*
** spans.h - token labels → entities. A pure function of its arguments.
**
** Reference: transformers, TokenClassificationPipeline.aggregate and what it calls.
*/
#ifndef NER_SPANS_H
#define NER_SPANS_H

#include "model.h"

#pragma GCC visibility push(hidden)

/* The tokens of one text with their label probabilities [n_tok, n_labels] (rows
** sum to 1) → entities appended to *out ([*n], capacity *cap, for ner_grow), in
** the order of the text. Entities below the threshold are left out.
** word_pieces: tokens carry a word's index in `word` and only that decides what belongs
** together (never used by ner(), which follows the reference's is_subword rule). */
int ner_spans(const struct ner_model *model, const struct ner_tokens *tokens, const float *probs,
              const struct ner_options *options, struct ner_entity **out, size_t *n, size_t *cap,
              struct ner_err *err);

#pragma GCC visibility pop
#endif
