/*
** model.c - the immutable model: its life time, the memory it owns, and the names by which users
** choose precisions and aggregations. It knows nothing of files: open.c fills it.
*/
#include "model/internal.h"

#include <string.h>

/* ---- names ---- */

const char *ner_architecture_name(enum ner_architecture a) {
  return a == NER_BERT ? "bert" : "distilbert";
}

const char *ner_activation_name(enum ner_activation a) {
  return a == NER_GELU_TANH ? "gelu_new" : "gelu";
}

const char *ner_precision_name(enum ner_precision p) {
  return p == NER_PRECISION_INT8 ? "int8" : p == NER_PRECISION_F32 ? "f32" : "as in the file";
}

/* Equal but for the case of A-Z. */
static bool same_word(const char *a, const char *b) {
  for( ;; a++, b++ ) {
    char x = ner_ascii_lower(*a);
    if( x != *b ) return false;
    if( x == 0 ) return true;
  }
}

int ner_precision_parse(const char *name, enum ner_precision *out, struct ner_err *err) {
  if( same_word(name, "f32") )
    *out = NER_PRECISION_F32;
  else if( same_word(name, "int8") )
    *out = NER_PRECISION_INT8;
  else
    return ner_fail(err, NER_ERROR, "no precision is called '%.60s'; there are 'f32' and 'int8'",
                    name);
  return NER_OK;
}

int ner_aggregation_parse(const char *name, enum ner_aggregation *out, struct ner_err *err) {
  if( same_word(name, "first") )
    *out = NER_AGGREGATION_FIRST;
  else if( same_word(name, "simple") )
    *out = NER_AGGREGATION_SIMPLE;
  else if( same_word(name, "average") )
    *out = NER_AGGREGATION_AVERAGE;
  else if( same_word(name, "max") )
    *out = NER_AGGREGATION_MAX;
  else if( same_word(name, "strict") )
    *out = NER_AGGREGATION_STRICT;
  else
    return ner_fail(err, NER_ERROR,
                    "no aggregation is called '%.60s'; there are 'first', 'simple', 'average', "
                    "'max' and 'strict'",
                    name);
  return NER_OK;
}

struct ner_options ner_model_options(const struct ner_model *model) {
  struct ner_options options = {0};
  options.aggregation = model->needs_strict ? NER_AGGREGATION_STRICT : NER_AGGREGATION_FIRST;
  return options;
}

/* ---- life time ---- */

int ner_model_new(const char *path, struct ner_model **out, struct ner_err *err) {
  static atomic_uint_fast64_t models;
  struct ner_model *model = ner_calloc(1, sizeof *model);
  *out = NULL;
  if( !model ) return ner_fail_nomem(err);
  atomic_init(&model->refs, 1);
  model->serial = atomic_fetch_add(&models, 1) + 1;
  model->path = ner_strndup(path, strlen(path));
  model->storage = ner_calloc(1, sizeof *model->storage);
  if( !model->path || !model->storage ) {
    ner_model_free(model);
    return ner_fail_nomem(err);
  }
  *out = model;
  return NER_OK;
}

void *ner_model_block(struct ner_model *model, uint64_t n, size_t size) {
  struct ner_storage *storage = model->storage;
  uint64_t n_bytes;
  void *block;
  if( !ner_mul_u64(n, size, &n_bytes) || n_bytes > SIZE_MAX ||
      ner_grow((void **)&storage->block, &storage->cap_blocks, storage->n_blocks + 1,
               sizeof *storage->block) )
    return NULL;
  block = ner_aligned_alloc((size_t)n_bytes, 1);
  if( !block ) return NULL;
  memset(block, 0, (size_t)n_bytes);
  storage->block[storage->n_blocks++] = block;
  return block;
}

void ner_model_take_files(struct ner_model *model, struct ner_safetensors **file, size_t n) {
  model->storage->file = file;
  model->storage->n_files = n;
}

void ner_model_free(struct ner_model *model) {
  struct ner_storage *storage;
  if( !model ) return;
  ner_tokenizer_free(model->tokenizer);
  for( int32_t i = 0; model->label && i < model->config.n_labels; i++ )
    NER_FREE(model->label[i].name);
  NER_FREE(model->label);
  NER_FREE(model->labels_json);
  NER_FREE(model->ignored_json);
  NER_FREE(model->weights.layer);
  if( (storage = model->storage) != NULL ) {
    for( size_t i = 0; i < storage->n_blocks; i++ ) ner_aligned_free(storage->block[i]);
    NER_FREE(storage->block);
    for( size_t i = 0; i < storage->n_files; i++ ) ner_safetensors_close(storage->file[i]);
    NER_FREE(storage->file);
    NER_FREE(storage);
  }
  NER_FREE(model->path);
  NER_FREE(model);
}
