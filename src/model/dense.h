/*
** dense.h - a model's weights as plain row-major floats, out of a model and into one.
*/
#ifndef NER_DENSE_H
#define NER_DENSE_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* The weight [n_out, n_in] of a linear layer, of any precision. */
void ner_linear_widen(const struct ner_linear *w, float *out);
/* Row `row` [width] of a table, of any type. */
void ner_embedding_widen(const struct ner_embedding *table, int32_t row, float *out);

/* What a model is made of; everything is borrowed. Weights are [n_out, n_in], Q is not scaled. */
struct ner_dense_layer {
  const float *qkv, *qkv_bias, *out, *out_bias, *ffn1, *ffn1_bias, *ffn2, *ffn2_bias;
  const float *attn_gain, *attn_bias, *ffn_gain, *ffn_bias; /* [hidden] */
};
struct ner_dense {
  void (*word)(void *arg, int32_t row, float *out); /* fills a row [hidden] of the embeddings */
  void *arg;
  const float *position;                     /* [max_positions, hidden]; BERT: token type 0 added */
  const float *gain, *bias;                  /* [hidden] */
  const struct ner_dense_layer *layer;       /* [layers] */
  const float *classifier, *classifier_bias; /* [n_labels, hidden], [n_labels] */
  const char *const *label;                  /* [n_labels] */
  int32_t n_labels;
};

/* A model with base's configuration and tokenizer and with these weights and labels, in memory.
** precision: F32 or INT8. `path` is what it calls itself. */
int ner_model_from_dense(const struct ner_model *base, const struct ner_dense *from,
                         enum ner_precision precision, const char *path,
                         const struct ner_cancel *cancel, struct ner_model **out,
                         struct ner_err *err);
/* Writes a model as ner_convert() does. */
int ner_model_save(struct ner_model *model, const char *target, const struct ner_cancel *cancel,
                   struct ner_err *err);

#pragma GCC visibility pop
#endif
