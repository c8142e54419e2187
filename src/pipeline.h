/*
** pipeline.h - texts → windows → packed batches → labels → spans.
**
** A text longer than the model takes runs in overlapping windows, cut between words where
** possible; each token's probabilities come from the window where it has most
** context on its poorer side; spans are formed once, over the whole text. Windows of all texts are packed
** into batches without padding; whole batches go to the pool's workers, a lone
** small batch is split over them inside the layers.
*/
#ifndef NER_PIPELINE_H
#define NER_PIPELINE_H

#include "model.h"
#include "pool.h"

#pragma GCC visibility push(hidden)

/* What is to be labelled: a text, or words that are already split (then
** utf8/n_bytes is unused and tokens' spans are relative to their word). */
struct ner_input {
  const char *utf8;
  size_t n_bytes;
  const struct ner_slice *word; /* NULL: a text */
  size_t n_words;
};
struct ner_slice {
  const char *utf8;
  size_t n_bytes;
};

/* What is known about it afterwards. */
struct ner_output {
  struct ner_tokens tokens;  /* without [CLS], [SEP] */
  float *probs;              /* [tokens.n, n_labels] softmax over labels */
  struct ner_entities found; /* when options were given */
  struct ner_err err;        /* this input failed; the others are fine */
};
void ner_output_free(struct ner_output *output); /* leaves {0} */

/* Runs n inputs; outputs[n] must be zeroed. options NULL: tokens and probabilities only, no
** spans. `keep_probs` false: probs and tokens are freed once spans are formed. A failure of one input
** is in its own err; the return value speaks of the whole (out of memory,
** interrupt, kernels), and then outputs hold nothing to be used but must still be freed. */
int ner_pipeline_run(struct ner_model *model, const struct ner_input *inputs, size_t n,
                     const struct ner_options *options, bool keep_probs,
                     struct ner_output *outputs, const struct ner_stop *stop, struct ner_err *err);

/* Window w covers tokens [begin, end) and is believed for [keep_begin, keep_end). */
struct ner_window {
  uint32_t begin, end, keep_begin, keep_end;
};
/* Plans windows of at most max_tok tokens over `tokens`. Appends to *out. */
int ner_windows_plan(const struct ner_tokens *tokens, uint32_t max_tok, struct ner_window **out,
                     size_t *n, size_t *cap);

#pragma GCC visibility pop
#endif
