/*
** viterbi.h - the likeliest sequence of labels in which each may follow the one before.
**
** An I-PER says that a person goes on, so only B-PER or I-PER may stand before it.
** Taking every unit's best label by itself does not keep to that; this does.
*/
#ifndef NER_PATH_H
#define NER_PATH_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* probs[i]: the label probabilities [n_labels] of unit i of n. Writes the units'
** labels to label [n]. Every label's rule is found in the names alone: an I- whose
** tag has a B- too goes on with its tag; all others may stand anywhere. So labels
** without B- are chosen each by itself. */
int ner_viterbi(const struct ner_model *model, const float *const *probs, size_t n, int32_t *label,
                struct ner_err *err);

#pragma GCC visibility pop
#endif
