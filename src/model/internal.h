/*
** internal.h - the plan of this room. Only the files of src/model include it.
**
**     open.c            picks a reader, converts
**       directory:        config.c  hf_tokenizer.c  hf_weights.c
**         its tokenizer:  hf_source.c, what its files state; hf_added.c, its added tokens
**       one file:         one_file.c (config.c for the configuration)
**       embedded bytes:   bundled.c, then one_file.c
**     tokenizer_json.c  rules of a tokenizer.json; tokenizer_stored.c: those of one file
**     labels.c          label names and their parts
**     shards.c          a directory's weights, in one file or several
**     safetensors.c     the container, read and checked; safetensors_write.c writes it
**     json.c            JSON, through SQLite
**     file_type.c       what a file is that is none of these
**     model.c           what they fill: struct ner_model, its memory, its names
**
** Each file uses only those below it. A reader fills a model step by step: configuration and
** labels, tokenizer, weights. Each step may fail; ner_model_free() takes a half-filled model.
*/
#ifndef NER_MODEL_INTERNAL_H
#define NER_MODEL_INTERNAL_H

#include "model/json.h"
#include "model/model.h"

#pragma GCC visibility push(hidden)

/* Bounds that keep every product of two sizes within 32 bits and reject implausible numbers.
** BERT-large has 24, 1024, 4096, 30522, 512. */
#define NER_MAX_LAYERS      256
#define NER_MAX_HIDDEN      8192
#define NER_MAX_FFN         65536
#define NER_MAX_VOCAB       (1 << 20)
#define NER_MAX_POSITIONS   (1 << 16)
#define NER_MAX_TYPES       1024
#define NER_MAX_LABELS      4096
#define NER_MAX_LABEL_BYTES 256         /* all pairs of labels are compared */
#define NER_MAX_TEXT_BYTES  (64u << 20) /* of a configuration or vocabulary file */

/* Ends messages about a configuration that contradicts itself. */
#define NER_GET_ANEW "; get it anew from where the model comes from"

/* What a model's pointers point into. */
struct ner_storage {
  struct ner_safetensors **file; /* [n_files] kept open: tensors are used in place */
  size_t n_files;
  void **block; /* [n_blocks] from ner_aligned_alloc */
  size_t n_blocks, cap_blocks;
};

/* ---- model.c ---- */

/* A model with its path, storage and one reference, otherwise zero. */
int ner_model_new(const char *path, struct ner_model **out, struct ner_err *err);
/* n * size bytes, 64-byte aligned, zeroed, owned by the model. NULL: no memory. */
void *ner_model_block(struct ner_model *model, uint64_t n, size_t size);

/* Weights [n_out, n_in] as kernels want them, in blocks of the model. bias [padded n_out] is in a
** block already. */
int ner_model_pack(struct ner_model *model, const float *w, int32_t n_out, int32_t n_in,
                   enum ner_precision precision, const float *bias, struct ner_linear *out,
                   struct ner_err *err);
/* row [n] → q [n], w ≈ scale·q; returns the scale. */
float ner_quantise_embedding(const float *row, int32_t n, int8_t *q);
/* What follows from the rest: n_bytes, parameters. */
void ner_model_finish(struct ner_model *model);

/* Gives the model files [n] (an array from ner_alloc) to keep. */
void ner_model_take_files(struct ner_model *model, struct ner_safetensors **file, size_t n);

/* ---- labels.c ---- */

/* Makes n labels; each is then named once, in any order; finishing fails when a name is missing,
** and finds the labels' scheme. */
int ner_labels_new(struct ner_model *model, int64_t n, const char *what, struct ner_err *err);
int ner_labels_set(struct ner_model *model, int64_t i, const char *name, size_t n_bytes,
                   const char *what, struct ner_err *err);
int ner_labels_finish(struct ner_model *model, const char *what, struct ner_err *err);
/* LABEL_0, LABEL_1 ...: transformers' names for labels that have none. */
int ner_labels_number(struct ner_model *model, int64_t n, const char *what, struct ner_err *err);

/* ---- config.c ---- */

/* Reads Hugging Face's config.json. A model whose labels it does not name has none yet (n_labels
** 0): they are numbered when the size of the classifier is known. Sets max_tokens to
** max_positions. */
int ner_config_from_hf(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                       struct ner_err *err);
/* The configuration of a one-file model, labels included. rules: of a file of version 1, where they
** stand there; else as they were. */
int ner_config_from_own(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                        struct ner_text_rules *rules, struct ner_err *err);
/* The same as text, for NER_FREE; NULL: no memory. */
char *ner_config_to_own(const struct ner_model *model);
/* The number of trained parameters. */
int64_t ner_config_parameters(const struct ner_config *config);

/* ---- hf_tokenizer.c ---- */

/* tokenizer_config.json, vocab.txt, tokenizer.json of a directory: the model's
** tokenizer and max_tokens. */
int ner_tokenizer_from_hf(const char *dir, struct ner_model *model, struct ner_err *err);

/* ---- hf_weights.c: weights of a directory, packed (precision F32 or INT8) ---- */

int ner_weights_from_hf(const char *dir, const struct ner_cancel *cancel, struct ner_model *model,
                        struct ner_err *err);

/* ---- one_file.c: the file that ner_convert writes ---- */

/* Takes ownership of `file`, also on failure. */
int ner_model_from_file(struct ner_safetensors *file, enum ner_precision precision,
                        struct ner_model **out, struct ner_err *err);
/* A tokenizer of its own for `model`, equal to that of `from`. */
int ner_model_copy_tokenizer(const struct ner_model *from, struct ner_model *model,
                             struct ner_err *err);
int ner_model_write(struct ner_model *model, const char *target, const struct ner_cancel *cancel,
                    struct ner_err *err);

#pragma GCC visibility pop
#endif
