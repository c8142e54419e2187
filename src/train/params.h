/*
** params.h - the parameters that training changes: one float vector, cut into tensors.
**
** Weights are plain row-major [n_out, n_in], as PyTorch has them: Q is not scaled, BERT's token
** type stands apart from the positions. Of the word embeddings only the rows that the examples use
** are here ("words" below are indices into those rows); what happens to the others is weight decay
** alone.
**
** Tensors stand in the order of the network, embeddings first, each at a multiple of NER_PANEL
** floats. A vector that is a bias is zero up to there.
*/
#ifndef NER_TRAIN_PARAMS_H
#define NER_TRAIN_PARAMS_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

struct ner_params_config {
  struct ner_config model; /* n_labels: of the model that is trained */
  int32_t n_words;         /* rows of word embeddings */
  int32_t freeze; /* layers that stay as they are, from the lowest; > 0: the embeddings too */
};

struct ner_params_linear {
  int32_t n_out, n_in;
  size_t weight, bias; /* where they begin */
};

struct ner_params_layer {
  struct ner_params_linear qkv, out, ffn1, ffn2;
  size_t attn_gain, attn_bias, ffn_gain, ffn_bias; /* [hidden] */
};

struct ner_params_layout {
  size_t word;     /* [n_words, hidden] */
  size_t position; /* [max_positions, hidden] */
  size_t type;     /* [hidden], BERT only */
  size_t gain, bias;
  struct ner_params_layer *layer; /* [layers] */
  struct ner_params_linear classifier;
  size_t first_trained; /* what stands before is frozen */
  size_t n;             /* floats in all */
};

int ner_params_layout_new(const struct ner_params_config *config, struct ner_params_layout *out,
                          struct ner_err *err);
void ner_params_layout_free(struct ner_params_layout *layout);

/* Calls fn for each tensor of [rows, cols] at `at` in their order. decay: weight decay applies to
** it (neither to biases nor to layer norms, as in the reference recipe). linear: the layer it is
** the weight of, or NULL. */
typedef void (*ner_params_fn)(void *arg, size_t at, size_t rows, size_t cols, bool decay,
                              const struct ner_params_linear *linear);
void ner_params_each(const struct ner_params_config *config, const struct ner_params_layout *layout,
                     ner_params_fn fn, void *arg);

/* Fills all but the classifier from `model`: word [n_words] are its ids of the rows. false:
** `cancel` said to end. */
bool ner_params_load(const struct ner_model *model, const struct ner_params_config *config,
                     const struct ner_params_layout *layout, const int32_t *word, float *value,
                     const struct ner_cancel *cancel);

#pragma GCC visibility pop
#endif
