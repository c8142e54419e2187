/*
** network.h - the encoder as training needs it: a forward pass that keeps its activations, and the
** backward pass.
**
**     ner_network_new(&config, capacity_tok, &net, err);
**     ner_params_load(model, &config, &net->layout, words, net->value);
**     ner_network_pack(net, cancel, err);          after each change of the values
**     ner_network_forward(net, &batch, &dropout, cancel, err);
**     ner_network_backward(net, &batch, &dropout, cancel, err);   fills net->grad
**
** A batch is worked on by all threads of the pool. Nothing depends on their number: each number of
** a result is one sum in one order, whoever computes it.
*/
#ifndef NER_TRAIN_NETWORK_H
#define NER_TRAIN_NETWORK_H

#include "base/pool.h"
#include "train/params.h"

#pragma GCC visibility push(hidden)

/* Texts laid end to end with the tokens of the template, as in engine/encoder.h. */
struct ner_train_batch {
  int32_t n_tok, n_seq;
  const int32_t *seq_begin; /* [n_seq + 1] */
  const int32_t *word;      /* [n_tok] rows of the word embeddings */
  const int32_t *target;    /* [n_tok] label; -1: the token does not count */
  const float *soft;        /* [n_tok, n_labels] probabilities to learn in the label's place, where
                            ** a token counts; NULL: the labels alone */
};

/* rate 0: none. Whether a number is dropped is a function of the key, its layer and its place in
** the batch. */
struct ner_dropout {
  float rate;
  uint64_t key;
};

/* W twice, as kernels want it: for y = x·Wᵀ + b, and for dx = dy·W. */
struct ner_network_linear {
  struct ner_linear forward, backward;
};

struct ner_network {
  struct ner_params_config config;
  struct ner_params_layout layout;
  const struct ner_kernels *kernels;
  float *value;                      /* [layout.n] */
  float *grad;                       /* [layout.n], where trained */
  struct ner_network_linear *linear; /* [4·layers + 1]: qkv, out, ffn1, ffn2 of each layer, then the
                                     ** classifier */
  struct ner_network_tape *tape;     /* activations and scratch */
  float *logits;                     /* [capacity_tok, n_labels] of the latest forward pass */
  double loss;                       /* mean over its tokens that count; 0 when none does */
  int32_t n_targets;                 /* how many those are */
};

/* For batches of at most capacity_tok tokens. Values are zero and not packed. */
int ner_network_new(const struct ner_params_config *config, int32_t capacity_tok,
                    struct ner_network **out, struct ner_err *err);
void ner_network_free(struct ner_network *net); /* NULL is fine */
/* What ner_network_new() allocates. */
uint64_t ner_network_bytes(const struct ner_params_config *config, int32_t capacity_tok);

/* Makes the passes see the values; with first_trained those of trained tensors alone. */
int ner_network_pack(struct ner_network *net, const struct ner_cancel *cancel, struct ner_err *err);
/* The same for rows [begin, end) of one weight; begin is a multiple of NER_PANEL, and so is end
** unless it is the last. */
void ner_network_pack_rows(struct ner_network *net, const struct ner_params_linear *linear,
                           int32_t begin, int32_t end);

/* NER_INTERRUPT when `cancel` says so; results are then unusable. */
int ner_network_forward(struct ner_network *net, const struct ner_train_batch *batch,
                        const struct ner_dropout *dropout, const struct ner_cancel *cancel,
                        struct ner_err *err);
/* Of the loss, by every trained parameter; after forward with the same arguments. */
int ner_network_backward(struct ner_network *net, const struct ner_train_batch *batch,
                         const struct ner_dropout *dropout, const struct ner_cancel *cancel,
                         struct ner_err *err);

#pragma GCC visibility pop
#endif
