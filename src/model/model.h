/*
** model.h - the immutable, ref-counted model: configuration, tokenizer, labels, packed weights.
*/
#ifndef NER_MODEL_H
#define NER_MODEL_H

#include <stdatomic.h>
#include "kernels/kernels.h"
#include "model/safetensors.h"
#include "text/tokenizer.h"

#pragma GCC visibility push(hidden)

enum ner_architecture { NER_DISTILBERT, NER_BERT };

/* The exact GELU, and its approximation by tanh, which transformers calls "gelu_new". */
enum ner_activation { NER_GELU, NER_GELU_TANH };

/* Read once, from config.json and tokenizer_config.json. */
struct ner_config {
  enum ner_architecture architecture;
  int32_t layers, hidden, heads, ffn;
  int32_t vocab_size, max_positions, type_vocab; /* type_vocab 0: DistilBERT */
  int32_t max_tokens;                            /* tokens per pass, [CLS] and [SEP] included:
                      ** min(max_positions, model_max_length) */
  float norm_eps;
  enum ner_activation activation;
  int32_t n_labels;
};

/* Rows of an embedding table as the file holds them; widened when looked up. */
struct ner_embedding {
  enum ner_dtype dtype; /* F32, F16, BF16, or I8 with a scale per row */
  int32_t rows, width;
  const unsigned char *data; /* [rows, width], any alignment */
  const float *scale;        /* I8: [rows] */
};

struct ner_layer {
  struct ner_linear qkv;  /* [3·hidden, hidden]: Q (scaled by 1/√head), K, V */
  struct ner_linear out;  /* [hidden, hidden] */
  struct ner_linear ffn1; /* [ffn, hidden] */
  struct ner_linear ffn2; /* [hidden, ffn] */
  const float *attn_norm_gain, *attn_norm_bias; /* [hidden] after attention */
  const float *ffn_norm_gain, *ffn_norm_bias;   /* [hidden] after the feed-forward */
};

struct ner_weights {
  struct ner_embedding word;
  const float *position; /* [max_positions, hidden]; BERT: token type 0 already added */
  const float *norm_gain, *norm_bias; /* [hidden] */
  struct ner_layer *layer;            /* [layers] */
  struct ner_linear classifier;       /* [n_labels, hidden], always f32 */
};

/* What a label says about its unit of text, as `strict` reads it. */
enum ner_label_role {
  NER_ROLE_FREE,   /* belongs to no scheme: may stand anywhere, equal neighbours are one entity */
  NER_ROLE_BEGIN,  /* B- */
  NER_ROLE_INSIDE, /* I- (or M-), of a type that has a B- */
  NER_ROLE_END,    /* E- or L- */
  NER_ROLE_SINGLE, /* S-, U- or W-: begins and ends an entity */
};

/* A label taken apart once, in the two ways in which it is read.
**
** As Hugging Face does (first, simple, average, max): "B-PER" is ('B', "PER"), anything without B-
** or I- is ('I', itself). Joining looks at the tag, which keeps a prefix it does not know ("E-PER"
** is not "PER"); the entity's type is all behind the first '-'.
**
** By the scheme of the whole label set (strict): "B-PER" or "PER-B" is (BEGIN, "PER"). */
struct ner_label {
  char *name;       /* "B-PER" */
  char prefix;      /* 'B' or 'I' */
  const char *tag;  /* points into name: "PER", "O", "LABEL_3" */
  int32_t tag_id;   /* labels with the same tag share it */
  const char *type; /* points into name: what an entity is called */
  bool is_outside;  /* its type is "O": never an entity */
  enum ner_label_role role;
  const char *scheme_type; /* in the block of name: what strict calls the entity */
  int32_t scheme_type_id;  /* labels with the same scheme_type share it */
  bool is_bound;           /* continues: INSIDE or END, and its type has a BEGIN */
  bool is_open;            /* must be continued: BEGIN or INSIDE, and its type has an END */
};

struct ner_model {
  atomic_int refs;
  uint64_t serial; /* of the models of this process, never used again: names what was computed
                   ** with it without keeping it alive */
  struct ner_config config;
  struct ner_tokenizer *tokenizer;
  struct ner_label *label; /* [n_labels] */
  const char *scheme;      /* "BIO", "BIOES (suffix)" ...: see labels.c */
  bool needs_strict;       /* only strict reads that scheme */
  struct ner_weights weights;
  enum ner_precision precision; /* F32 or INT8 */
  int64_t parameters;           /* as trained */
  uint64_t n_bytes;             /* weights in memory */
  char *path;                   /* where it came from; "(bundled)" */
  char *ignored_json;           /* names of tensors that were not used, an array; NULL: none */
  char *labels_json;            /* ["O","B-PER",...] */
  atomic_uint_fast64_t hash;    /* ner_model_hash() once it was computed, 0 before */
  bool head_optional;           /* opened for training: weights.classifier may be empty */
  /* Owned storage (model.c). */
  struct ner_storage *storage;
};

const char *ner_architecture_name(enum ner_architecture a); /* "distilbert", "bert" */
const char *ner_activation_name(enum ner_activation a);     /* "gelu", "gelu_new" */
const char *ner_precision_name(enum ner_precision p);       /* "f32", "int8" */
/* "f32" or "int8" (any case); an error names what there is. */
int ner_precision_parse(const char *name, enum ner_precision *out, struct ner_err *err);
/* "first", "simple", "average", "max", "strict" (any case). */
int ner_aggregation_parse(const char *name, enum ner_aggregation *out, struct ner_err *err);

/* How a function that is given no aggregation reads the model: `first`, but `strict` where only
** that understands the labels' scheme. */
struct ner_options ner_model_options(const struct ner_model *model);

/* A hash of everything that decides what the model answers: every tensor as the kernels hold it,
** configuration, labels, vocabulary, text rules. The same for a directory and for the file that
** ner_convert() makes of it in the same precision, under any path. Computed when first asked for
** (some 15 ms a 100 MB: a query alone never waits for it, and pages of embeddings that no text
** needs are not read for it) and then kept. */
int ner_model_hash(const struct ner_model *model, uint64_t *out, struct ner_err *err);

/* Frees a model that nothing refers to any more; ner_model_unref() calls it. NULL is fine. */
void ner_model_free(struct ner_model *model);

#pragma GCC visibility pop
#endif
