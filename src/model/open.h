/*
** open.h - opening and converting models with a way to cancel.
**
** ner_model_open(), ner_model_open_bundled() and ner_convert() of ner.h are the same without it.
** All of them return a model with one reference, which ner_model_unref() releases.
*/
#ifndef NER_OPEN_H
#define NER_OPEN_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* `cancel` is asked every few MB whether to stop; NULL: never. */
int ner_model_open_cancellable(const char *path, enum ner_precision precision,
                               const struct ner_cancel *cancel, struct ner_model **out,
                               struct ner_err *err);
/* As the base of training: of a directory the classifier may be missing, and the name of the
** architecture before the tensors' names. weights.classifier.packed is then NULL, and nothing but
** training may use the model. */
int ner_model_open_encoder(const char *path, const struct ner_cancel *cancel,
                           struct ner_model **out, struct ner_err *err);
int ner_convert_cancellable(const char *source, const char *target, enum ner_precision precision,
                            const struct ner_cancel *cancel, struct ner_err *err);

#pragma GCC visibility pop
#endif
