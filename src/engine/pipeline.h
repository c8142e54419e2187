/*
** pipeline.h - texts → windows → packed batches → labels → spans.
**
**     struct ner_input in = {.utf8 = text, .n_bytes = n};
**     struct ner_output out = {0};
**     rc = ner_pipeline_run(model, &in, 1, &options, false, &out, NULL, &err);
**     ... out.found, or out.error where it is not NULL ...
**     ner_output_free(&out);
**
** A text longer than the model takes runs in overlapping windows (windows.h); each
** token's probabilities come from the window where the shorter of its two sides is longest; spans
** are formed once, over the whole text. Windows of all texts are
** packed into batches without padding; whole batches go to the pool's workers, a
** lone small batch is split over them inside the layers. The results do not depend on any of this,
** not in a single bit.
*/
#ifndef NER_PIPELINE_H
#define NER_PIPELINE_H

#include "model/model.h"
#include "base/pool.h"
#include "engine/windows.h"

#pragma GCC visibility push(hidden)

struct ner_slice {
  const char *utf8;
  size_t n_bytes;
};

/* One input to be labelled: a text, or words that are already split (then
** utf8/n_bytes is unused, tokens' spans are relative to their word, tokens' `word` is
** the index into `word`, and no spans are formed). */
struct ner_input {
  const char *utf8;
  size_t n_bytes;
  const struct ner_slice *word; /* [n_words]; NULL: a text */
  size_t n_words;
};

/* The result for one input. */
struct ner_output {
  struct ner_tokens tokens;  /* without [CLS], [SEP] */
  float *probs;              /* [tokens.n, n_labels] softmax over labels */
  struct ner_entities found; /* when options were given */
  char *error;               /* why this input failed; NULL for all others */
};
void ner_output_free(struct ner_output *output); /* leaves {0} */
/* Forms the entities of an output that has tokens and probabilities. *out is to be freed with
** ner_entities_free(). */
int ner_output_entities(const struct ner_model *model, const struct ner_output *output,
                        const struct ner_options *options, struct ner_entities *out,
                        struct ner_err *err);

/* Runs n inputs; outputs[n] must be zeroed. options NULL: tokens and probabilities
** only, no spans. With options and without keep_probs, probs and tokens are freed
** once spans are formed. An input that cannot be labelled has its own `error` and spoils
** no other; the return value is about the whole run (out of memory, interrupt, settings), and
** then outputs hold nothing to be used but must still be freed. `cancel` is asked from layer to
** layer, and between stretches of text while tokens are made. */
int ner_pipeline_run(struct ner_model *model, const struct ner_input *inputs, size_t n,
                     const struct ner_options *options, bool keep_probs, struct ner_output *outputs,
                     const struct ner_cancel *cancel, struct ner_err *err);

#pragma GCC visibility pop
#endif
