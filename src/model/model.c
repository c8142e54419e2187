/*
** model.c - opening, sharing and converting models; see model.h and, for the steps,
** model/internal.h.
*/
#include "model/internal.h"

#include <string.h>
#include "model/bundled.h"
#include "engine/encoder.h"
#include "base/file.h"

/* ---- names ---- */

const char *ner_architecture_name(enum ner_architecture a) {
  return a == NER_BERT ? "bert" : "distilbert";
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

void ner_model_free(struct ner_model *model) {
  struct ner_storage *storage;
  if( !model ) return;
  ner_tokenizer_free(model->tokenizer);
  for( int32_t i = 0; model->label && i < model->config.n_labels; i++ )
    NER_FREE(model->label[i].name);
  NER_FREE(model->label);
  NER_FREE(model->labels_json);
  NER_FREE(model->weights.layer);
  if( (storage = model->storage) != NULL ) {
    for( size_t i = 0; i < storage->n_blocks; i++ ) ner_aligned_free(storage->block[i]);
    NER_FREE(storage->block);
    ner_safetensors_close(storage->file);
    NER_FREE(storage);
  }
  NER_FREE(model->path);
  NER_FREE(model);
}

struct ner_model *ner_model_ref(struct ner_model *model) {
  atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
  return model;
}

void ner_model_unref(struct ner_model *model) {
  if( !model || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1 ) return;
  ner_sessions_free(model);
  ner_model_free(model);
}

/* ---- opening ---- */

static uint64_t linear_bytes(const struct ner_linear *w) {
  uint64_t padded = ner_round_up((size_t)w->n_out, NER_PANEL);
  return ner_packed_bytes(w->precision, w->n_out, w->n_in) +
         padded * (w->precision == NER_PRECISION_INT8 ? 12 : 4);
}

/* What follows from the rest. */
static void finish_model(struct ner_model *model) {
  const struct ner_config *c = &model->config;
  const struct ner_weights *w = &model->weights;
  const uint64_t hidden = (uint64_t)c->hidden;
  uint64_t n = (uint64_t)c->vocab_size * hidden * ner_dtype_bytes(w->word.dtype);
  if( w->word.scale ) n += (uint64_t)c->vocab_size * 4;
  n += ((uint64_t)c->max_positions + 2) * hidden * 4 + linear_bytes(&w->classifier);
  for( int32_t i = 0; i < c->layers; i++ )
    n += linear_bytes(&w->layer[i].qkv) + linear_bytes(&w->layer[i].out) +
         linear_bytes(&w->layer[i].ffn1) + linear_bytes(&w->layer[i].ffn2) + 16 * hidden;
  model->n_bytes = n;
  model->parameters = ner_config_parameters(c);
}

static int read_config(const char *dir, struct ner_model *model, struct ner_err *err) {
  char *path = ner_file_join(dir, "config.json"), *text = NULL;
  size_t n;
  int rc;
  if( !path ) return ner_fail_nomem(err);
  if( ner_file_kind(path) == NER_FILE_MISSING )
    rc = ner_fail(err, NER_ERROR,
                  "%s: lacks config.json; give a Hugging Face model directory (models/fetch.sh "
                  "fetches one)",
                  dir);
  else if( (rc = ner_file_read(path, NER_MAX_TEXT_BYTES, &text, &n, err)) == NER_OK )
    rc = ner_config_from_hf(text, n, path, model, err);
  NER_FREE(text);
  NER_FREE(path);
  return rc;
}

static int read_weights(const char *dir, const struct ner_cancel *cancel, struct ner_model *model,
                        struct ner_err *err) {
  char *path = ner_file_join(dir, "model.safetensors");
  int rc;
  if( !path ) return ner_fail_nomem(err);
  if( ner_file_kind(path) == NER_FILE_MISSING )
    rc = ner_fail(err, NER_ERROR,
                  "%s: lacks model.safetensors; fetch it, or save the model anew as one "
                  "safetensors file (save_pretrained of a recent transformers)",
                  dir);
  else
    rc = ner_weights_from_hf(path, cancel, model, err);
  NER_FREE(path);
  return rc;
}

static int open_directory(const char *dir, enum ner_precision precision,
                          const struct ner_cancel *cancel, struct ner_model **out,
                          struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_new(dir, &model, err);
  if( rc ) return rc;
  model->precision = precision == NER_PRECISION_INT8 ? NER_PRECISION_INT8 : NER_PRECISION_F32;
  if( (rc = read_config(dir, model, err)) || (rc = ner_tokenizer_from_hf(dir, model, err)) ||
      (rc = read_weights(dir, cancel, model, err)) )
    ner_model_free(model);
  else
    *out = model;
  return rc;
}

static int open_file(const char *path, enum ner_precision precision,
                     const struct ner_cancel *cancel, struct ner_model **out, struct ner_err *err) {
  struct ner_safetensors *file;
  int rc = ner_safetensors_open(path, &file, err);
  if( rc ) return rc;
  ner_safetensors_set_cancel(file, cancel);
  return ner_model_from_file(file, precision, out, err);
}

int ner_model_open_cancellable(const char *path, enum ner_precision precision,
                               const struct ner_cancel *cancel, struct ner_model **out,
                               struct ner_err *err) {
  int rc;
  *out = NULL;
  switch( ner_file_kind(path) ) {
  case NER_FILE_MISSING:
    return ner_fail(err, NER_ERROR,
                    "'%s' does not exist; give a model directory, or a file that ner_convert "
                    "wrote",
                    path);
  case NER_FILE_DIRECTORY: rc = open_directory(path, precision, cancel, out, err); break;
  default: rc = open_file(path, precision, cancel, out, err); break;
  }
  if( rc == NER_OK ) finish_model(*out);
  return rc;
}

int ner_model_open(const char *path, enum ner_precision precision, struct ner_model **out,
                   struct ner_err *err) {
  return ner_model_open_cancellable(path, precision, NULL, out, err);
}

int ner_model_open_bundled(struct ner_model **out, struct ner_err *err) {
  struct ner_safetensors *file;
  size_t n_bytes;
  const unsigned char *bytes = ner_bundled(&n_bytes);
  int rc = ner_safetensors_open_bytes(bytes, n_bytes, "(bundled)", &file, err);
  *out = NULL;
  if( rc == NER_OK ) rc = ner_model_from_file(file, NER_PRECISION_FILE, out, err);
  if( rc == NER_OK ) finish_model(*out);
  return rc;
}

int ner_convert_cancellable(const char *source, const char *target, enum ner_precision precision,
                            const struct ner_cancel *cancel, struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_open_cancellable(source, precision, cancel, &model, err);
  if( rc ) return rc;
  rc = ner_model_write(model, target, cancel, err);
  ner_model_unref(model);
  return rc;
}

int ner_convert(const char *source, const char *target, enum ner_precision precision,
                struct ner_err *err) {
  return ner_convert_cancellable(source, target, precision, NULL, err);
}
