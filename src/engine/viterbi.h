/*
** viterbi.h - the most likely sequence of labels in which each label may follow the one before.
**
** An I-PER continues a person, so only B-PER or I-PER may precede it; in a scheme with ends, a
** B-PER must go on to an E-PER. The best label of every unit by itself does not keep to that; this
** does.
*/
#ifndef NER_VITERBI_H
#define NER_VITERBI_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* probs[i]: the label probabilities [n_labels] of unit i of n. Writes the units' labels to
** label [n]. The rules are the model's: the roles and scheme types of its labels. Free labels may
** stand anywhere. */
int ner_viterbi(const struct ner_model *model, const float *const *probs, size_t n, int32_t *label,
                struct ner_err *err);

#pragma GCC visibility pop
#endif
