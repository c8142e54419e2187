/*
** network_tape.h - what network.c, network_forward.c and network_backward.c share.
**
** Activations are [capacity_tok, width] with rows an odd number of cache lines apart, so that the
** rows of a kernel's tile do not fall into one cache set.
*/
#ifndef NER_TRAIN_NETWORK_TAPE_H
#define NER_TRAIN_NETWORK_TAPE_H

#include "train/network.h"

#pragma GCC visibility push(hidden)

enum {
  NER_TAPE_ROWS = 48, /* rows a job takes: a multiple of 6 and 12, the rows of kernels' tiles */
  NER_TAPE_OUT = 48,  /* rows of a weight whose gradient is one job */
};

/* What the forward pass of a layer leaves for the backward pass. */
struct ner_tape_layer {
  float *input;       /* [tok, hidden] x */
  float *qkv;         /* [tok, 3·hidden] Q already times 1/√head */
  float *context;     /* [tok, hidden] attention's result */
  float *before_attn; /* [tok, hidden] what the norm after attention takes */
  float *middle;      /* [tok, hidden] what it gives */
  float *inner;       /* [tok, ffn] before GELU */
  float *before_ffn;  /* [tok, hidden] what the last norm takes */
};

/* Of one thread. */
struct ner_tape_slot {
  float *wide;      /* [NER_TAPE_ROWS, ffn] */
  float *narrow;    /* [NER_TAPE_ROWS, hidden] */
  float *transpose; /* [NER_TAPE_OUT, ld of capacity_tok] */
  float *tile;      /* [NER_TAPE_OUT, 16] */
  float *attention; /* see network_attention_floats() */
};

struct ner_network_tape {
  int32_t capacity_tok, longest_tok;
  int n_slots;
  int ld_hidden, ld_qkv, ld_ffn, ld_labels; /* floats between rows */
  void *memory;
  int32_t *place;               /* [tok] of a token in its text */
  float *embedded;              /* [tok, hidden] what the embeddings' norm takes */
  struct ner_tape_layer *layer; /* [layers] */
  float *output;                /* [tok, hidden] of the last layer, after dropout */
  double *loss;                 /* [tok] */
  struct ner_tape_slot *slot;   /* [n_slots] */
  /* Gradients, of one layer at a time. */
  float *d_logits;  /* [tok, n_labels] */
  float *d_output;  /* [tok, hidden] of the layer's result, then of its input */
  float *d_ffn;     /* [tok, hidden] of ffn2's result */
  float *d_inner;   /* [tok, ffn] of ffn1's result */
  float *d_middle;  /* [tok, hidden] of what the norm after attention takes */
  float *d_out;     /* [tok, hidden] of out's result */
  float *d_context; /* [tok, hidden] */
  float *d_qkv;     /* [tok, 3·hidden] */
  float *norms;     /* [blocks, 4·hidden] partial gradients of gains and biases */
  /* Inputs of linear layers as kernels want them for dW = dyᵀ·x: [panels][n_tok][16]. */
  float *packed_input, *packed_context, *packed_middle; /* of hidden columns */
  float *packed_inner;                                  /* of ffn columns */
};

/* One pass, as its jobs see it. */
struct ner_tape_pass {
  struct ner_network *net;
  struct ner_network_tape *tape;
  const struct ner_train_batch *batch;
  const struct ner_dropout *dropout;
  int32_t layer;
};

/* Where numbers are dropped: at a place of a layer, or outside the layers (layer -1). */
enum ner_dropout_site {
  NER_DROPOUT_EMBEDDINGS = 0,
  NER_DROPOUT_CLASSIFIER,
  NER_DROPOUT_WEIGHTS = 0, /* attention's, after softmax */
  NER_DROPOUT_CONTEXT,     /* what follows attention; BERT only */
  NER_DROPOUT_FFN,
};

/* x[i,:] for rows [0, m) of n numbers: zero or times 1/(1 - rate). Row i is `row + i·step` to the
** generator. */
void ner_dropout_rows(const struct ner_dropout *dropout, int32_t layer, enum ner_dropout_site site,
                      uint64_t row, uint64_t step, float *x, int m, int n, int ld);

/* Columns [0, n) of rows [0, m) of x → out [n, ldo]; tile: [n, 16] scratch. */
void ner_tape_transpose(const struct ner_kernels *kernels, const float *x, int m, int n, int ld,
                        float *tile, float *out, int ldo);
/* Rows [0, m) of x, of n columns, → rows [row, row + m) of packed [panels of n][n_tok][16]. */
void ner_tape_pack_rows(const float *x, int m, int n, int ld, float *packed, int n_tok, int row);
int ner_tape_ld(int n); /* floats between rows of n */

/* Attention of one head over one text of n tokens at row `row` of the batch. */
size_t ner_tape_attention_floats(int32_t longest_tok, int head);
void ner_tape_attend(const struct ner_tape_pass *pass, const struct ner_tape_slot *slot,
                     int32_t row, int32_t n, int32_t head);
void ner_tape_attend_back(const struct ner_tape_pass *pass, const struct ner_tape_slot *slot,
                          int32_t row, int32_t n, int32_t head);

/* Runs n jobs over the pool. */
int ner_tape_run(struct ner_tape_pass *pass, int n_jobs, void (*fn)(void *arg, int job, int rank),
                 const struct ner_cancel *cancel, struct ner_err *err);

static inline int ner_tape_blocks(int32_t n_tok) {
  return (n_tok + NER_TAPE_ROWS - 1) / NER_TAPE_ROWS;
}
static inline struct ner_network_linear *ner_tape_linear(const struct ner_tape_pass *pass, int i) {
  return &pass->net->linear[4 * pass->layer + i];
}
enum { NER_TAPE_QKV, NER_TAPE_ATTN_OUT, NER_TAPE_FFN1, NER_TAPE_FFN2 };

#pragma GCC visibility pop
#endif
