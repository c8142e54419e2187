/*
** hf_weights.c - the weights of a Hugging Face directory, packed for the kernels.
**
** Every tensor is checked against config.json before its data is touched. Q, K and
** V become one linear layer of 3·hidden outputs with 1/√head folded into Q;
** BERT's token type 0 is added to the positions (all our tokens have that type).
** The word embeddings stay as the file has them, unless they are quantised. Each tensor is read
** when its turn comes and forgotten once it is packed, so that no second copy of a model is
** ever in memory.
** Tensors nobody asks for are ignored: poolers, position_ids, layers beyond the last.
*/
#include "model/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "model/shards.h"

/* Where each architecture keeps a layer's parts. */
struct names {
  const char *embeddings, *layer; /* layer: a format for its number */
  const char *q, *k, *v, *out, *attn_norm, *ffn1, *ffn2, *ffn_norm;
};

static const struct names names_of[] = {
    [NER_DISTILBERT] = {"distilbert.embeddings", "distilbert.transformer.layer.%d",
                        "attention.q_lin", "attention.k_lin", "attention.v_lin",
                        "attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2",
                        "output_layer_norm"},
    [NER_BERT] = {"bert.embeddings", "bert.encoder.layer.%d", "attention.self.query",
                  "attention.self.key", "attention.self.value", "attention.output.dense",
                  "attention.output.LayerNorm", "intermediate.dense", "output.dense",
                  "output.LayerNorm"},
};

struct loader {
  struct ner_model *model;
  struct ner_shards shards;
  const struct names *names;
  struct ner_err *err;
  float *scratch; /* [cap_scratch] one whole matrix, row-major f32 */
  size_t cap_scratch;
  /* Bytes of "bert." when the file's names lack it, as those of an encoder without a head do. */
  size_t skip;
  char prefix[64]; /* of the part being read: "bert.encoder.layer.3" */
};

/* Room for n floats in l->scratch. Only for tensors that want() has found in the file: a
** configuration alone must not claim gigabytes. */
static int reserve(struct loader *l, size_t n) {
  if( ner_grow((void **)&l->scratch, &l->cap_scratch, n, sizeof *l->scratch) )
    return ner_fail_nomem(l->err);
  return NER_OK;
}

/* "F32 [3,4]" */
static const char *describe(const struct ner_tensor *t, char *out, size_t n_out) {
  size_t n = (size_t)snprintf(out, n_out, "%s [", ner_dtype_name(t->dtype));
  for( int i = 0; i < t->rank && n < n_out; i++ )
    n += (size_t)snprintf(out + n, n_out - n, "%s%llu", i ? "," : "",
                          (unsigned long long)t->shape[i]);
  if( n < n_out ) snprintf(out + n, n_out - n, "]");
  return out;
}

/* Reads the tensor PREFIX.part.kind of [rows, cols], or [rows] when cols is 0. */
static int want(struct loader *l, const char *part, const char *kind, int64_t rows, int64_t cols,
                struct ner_shard_tensor **out) {
  struct ner_shard_tensor *shard;
  char name[160], found[120], expected[48];
  const struct ner_tensor *t;
  snprintf(name, sizeof name, "%s%s%s.%s", l->prefix, *l->prefix ? "." : "", part, kind);
  shard = ner_shards_find(&l->shards, name);
  if( !shard ) {
    /* LayerNorm.gamma and .beta: what weight and bias were called before 2019. */
    char old[176];
    snprintf(old, sizeof old, "%s%s%s.%s", l->prefix, *l->prefix ? "." : "", part,
             strcmp(kind, "weight") == 0 ? "gamma" : "beta");
    if( strlen(part) >= 9 && strcmp(part + strlen(part) - 9, "LayerNorm") == 0 )
      shard = ner_shards_find(&l->shards, old);
  }
  if( !shard )
    return ner_fail(l->err, NER_ERROR,
                    "%s: tensor %s is missing; config.json and the weights must come from the "
                    "same token classification model",
                    l->model->path, name);
  t = shard->tensor;
  if( cols )
    snprintf(expected, sizeof expected, "%lld,%lld", (long long)rows, (long long)cols);
  else
    snprintf(expected, sizeof expected, "%lld", (long long)rows);
  if( t->rank != (cols ? 2 : 1) || t->shape[0] != (uint64_t)rows ||
      (cols && t->shape[1] != (uint64_t)cols) )
    return ner_fail(l->err, NER_ERROR,
                    "%s: tensor %s is %s, but config.json asks for [%s]; both must come from the "
                    "same model",
                    ner_safetensors_name(shard->file), name, describe(t, found, sizeof found),
                    expected);
  if( t->dtype != NER_DTYPE_F32 && t->dtype != NER_DTYPE_F16 && t->dtype != NER_DTYPE_BF16 &&
      t->dtype != NER_DTYPE_F64 )
    return ner_fail(l->err, NER_ERROR,
                    "%s: tensor %s is %s; only F32, F16 and BF16 (and F64) weights can be read",
                    ner_safetensors_name(shard->file), name, describe(t, found, sizeof found));
  shard->used = true;
  *out = shard;
  return ner_safetensors_read(shard->file, t, l->err);
}

/* All of it as floats; it cannot be asked for again. */
static void take(const struct ner_shard_tensor *shard, float *out) {
  const struct ner_tensor *t = shard->tensor;
  ner_tensor_to_f32(t, 0, t->n_bytes / ner_dtype_bytes(t->dtype), out);
  ner_safetensors_discard(shard->file, t);
}

/* A vector of n floats, in a block of its own (zero padded to whole panels). */
static int load_vector(struct loader *l, const char *part, const char *kind, int32_t n,
                       const float **out) {
  struct ner_shard_tensor *t;
  float *values;
  int rc = want(l, part, kind, n, 0, &t);
  if( rc ) return rc;
  values = ner_model_block(l->model, ner_round_up((size_t)n, NER_PANEL), sizeof *values);
  if( !values ) return ner_fail_nomem(l->err);
  take(t, values);
  *out = values;
  return NER_OK;
}

static int load_norm(struct loader *l, const char *part, const float **gain, const float **bias) {
  int32_t hidden = l->model->config.hidden;
  int rc = load_vector(l, part, "weight", hidden, gain);
  return rc ? rc : load_vector(l, part, "bias", hidden, bias);
}

/* Packs l->scratch [n_out, n_in]; bias [padded n_out] is in a block already. */
static int pack(struct loader *l, int32_t n_out, int32_t n_in, enum ner_precision precision,
                const float *bias, struct ner_linear *out) {
  return ner_model_pack(l->model, l->scratch, n_out, n_in, precision, bias, out, l->err);
}

static int load_linear(struct loader *l, const char *part, int32_t n_out, int32_t n_in,
                       enum ner_precision precision, struct ner_linear *out) {
  struct ner_shard_tensor *t;
  const float *bias;
  int rc;
  if( (rc = want(l, part, "weight", n_out, n_in, &t)) ||
      (rc = load_vector(l, part, "bias", n_out, &bias)) ||
      (rc = reserve(l, (size_t)n_out * (size_t)n_in)) )
    return rc;
  take(t, l->scratch);
  return pack(l, n_out, n_in, precision, bias, out);
}

/* Scaling q instead of the scores: the same, and exact where head is a power of 4. */
static int load_qkv(struct loader *l, struct ner_linear *out) {
  const struct ner_config *c = &l->model->config;
  const char *const parts[3] = {l->names->q, l->names->k, l->names->v};
  const float scale = 1.0f / sqrtf((float)(c->hidden / c->heads));
  const size_t hidden = (size_t)c->hidden, square = hidden * hidden;
  float *bias = ner_model_block(l->model, ner_round_up(3 * hidden, NER_PANEL), sizeof *bias);
  if( !bias ) return ner_fail_nomem(l->err);
  for( size_t i = 0; i < 3; i++ ) {
    struct ner_shard_tensor *w, *b;
    int rc;
    if( (rc = want(l, parts[i], "weight", c->hidden, c->hidden, &w)) ||
        (rc = want(l, parts[i], "bias", c->hidden, 0, &b)) || (rc = reserve(l, 3 * square)) )
      return rc;
    take(w, l->scratch + i * square);
    take(b, bias + i * hidden);
  }
  for( size_t i = 0; i < square; i++ ) l->scratch[i] *= scale;
  for( size_t i = 0; i < hidden; i++ ) bias[i] *= scale;
  return pack(l, 3 * c->hidden, c->hidden, l->model->precision, bias, out);
}

static int load_layer(struct loader *l, int32_t i) {
  const struct ner_config *c = &l->model->config;
  const enum ner_precision precision = l->model->precision;
  struct ner_layer *layer = &l->model->weights.layer[i];
  int rc;
  snprintf(l->prefix, sizeof l->prefix, l->names->layer + l->skip, i);
  if( (rc = load_qkv(l, &layer->qkv)) ||
      (rc = load_linear(l, l->names->out, c->hidden, c->hidden, precision, &layer->out)) ||
      (rc = load_norm(l, l->names->attn_norm, &layer->attn_norm_gain, &layer->attn_norm_bias)) ||
      (rc = load_linear(l, l->names->ffn1, c->ffn, c->hidden, precision, &layer->ffn1)) ||
      (rc = load_linear(l, l->names->ffn2, c->hidden, c->ffn, precision, &layer->ffn2)) )
    return rc;
  return load_norm(l, l->names->ffn_norm, &layer->ffn_norm_gain, &layer->ffn_norm_bias);
}

/* F64 gains nothing over F32 and takes twice the memory. */
static int narrow_word_embeddings(struct loader *l, const struct ner_shard_tensor *shard) {
  struct ner_embedding *word = &l->model->weights.word;
  uint64_t n = shard->tensor->n_bytes / ner_dtype_bytes(NER_DTYPE_F64);
  float *values = ner_model_block(l->model, n, sizeof *values);
  if( !values ) return ner_fail_nomem(l->err);
  take(shard, values);
  word->dtype = NER_DTYPE_F32;
  word->data = (const unsigned char *)values;
  return NER_OK;
}

static int load_word_embeddings(struct loader *l) {
  const struct ner_config *c = &l->model->config;
  struct ner_embedding *word = &l->model->weights.word;
  const size_t rows = (size_t)c->vocab_size, width = (size_t)c->hidden;
  const struct ner_tensor *t;
  struct ner_shard_tensor *shard;
  int8_t *q;
  float *scale;
  int rc = want(l, "word_embeddings", "weight", c->vocab_size, c->hidden, &shard);
  if( rc ) return rc;
  t = shard->tensor;
  word->rows = c->vocab_size;
  word->width = c->hidden;
  word->dtype = t->dtype;
  word->data = t->data;
  if( l->model->precision != NER_PRECISION_INT8 )
    return t->dtype == NER_DTYPE_F64 ? narrow_word_embeddings(l, shard) : NER_OK;
  if( (rc = reserve(l, width)) ) return rc;
  q = ner_model_block(l->model, (uint64_t)rows * width, 1);
  scale = ner_model_block(l->model, rows, sizeof *scale);
  if( !q || !scale ) return ner_fail_nomem(l->err);
  for( size_t i = 0; i < rows; i++ ) {
    ner_tensor_to_f32(t, i * width, width, l->scratch);
    scale[i] = ner_quantise_embedding(l->scratch, c->hidden, q + i * width);
  }
  word->dtype = NER_DTYPE_I8;
  word->data = (const unsigned char *)q;
  word->scale = scale;
  return NER_OK;
}

static int load_positions(struct loader *l) {
  const struct ner_config *c = &l->model->config;
  const size_t rows = (size_t)c->max_positions, width = (size_t)c->hidden;
  struct ner_shard_tensor *positions, *types;
  float *table;
  int rc = want(l, "position_embeddings", "weight", c->max_positions, c->hidden, &positions);
  if( rc == NER_OK && c->architecture == NER_BERT )
    rc = want(l, "token_type_embeddings", "weight", c->type_vocab, c->hidden, &types);
  if( rc == NER_OK ) rc = reserve(l, width);
  if( rc ) return rc;
  table = ner_model_block(l->model, (uint64_t)rows * width, sizeof *table);
  if( !table ) return ner_fail_nomem(l->err);
  take(positions, table);
  if( c->architecture == NER_BERT ) {
    ner_tensor_to_f32(types->tensor, 0, width, l->scratch);
    for( size_t i = 0; i < rows; i++ )
      for( size_t k = 0; k < width; k++ ) table[i * width + k] += l->scratch[k];
  }
  l->model->weights.position = table;
  return NER_OK;
}

static int load_embeddings(struct loader *l) {
  struct ner_weights *w = &l->model->weights;
  int rc;
  snprintf(l->prefix, sizeof l->prefix, "%s", l->names->embeddings + l->skip);
  if( (rc = load_word_embeddings(l)) || (rc = load_positions(l)) ) return rc;
  return load_norm(l, "LayerNorm", &w->norm_gain, &w->norm_bias);
}

/* Labels without names are as many as the classifier has rows. */
static int number_labels(struct loader *l) {
  const struct ner_shard_tensor *shard = ner_shards_find(&l->shards, "classifier.weight");
  uint64_t n;
  if( l->model->config.n_labels > 0 || !shard || shard->tensor->rank != 2 ) return NER_OK;
  n = shard->tensor->shape[0];
  return ner_labels_number(l->model, n > NER_MAX_LABELS ? 0 : (int64_t)n,
                           ner_safetensors_name(shard->file), l->err);
}

/* Tensors nobody asked for are ignored (poolers, position_ids), but a layer beyond the
** last means that config.json belongs to a smaller model. */
static int check_no_more_layers(struct loader *l) {
  const struct ner_config *c = &l->model->config;
  char layer[64], name[160];
  snprintf(layer, sizeof layer, l->names->layer + l->skip, c->layers);
  snprintf(name, sizeof name, "%s.%s.weight", layer, l->names->q);
  if( !ner_shards_find(&l->shards, name) ) return NER_OK;
  return ner_fail(l->err, NER_ERROR,
                  "%s: has tensor %s, but config.json asks for only %d layers; both must come "
                  "from the same model",
                  l->model->path, name, c->layers);
}

static bool weights_has(struct loader *l, const char *name) {
  return ner_shards_find(&l->shards, name) != NULL;
}

/* An encoder saved by itself: no classifier, and often no "bert." before its names. */
static void find_encoder(struct loader *l) {
  const size_t skip = (size_t)(strchr(l->names->embeddings, '.') + 1 - l->names->embeddings);
  char name[96];
  snprintf(name, sizeof name, "%s.word_embeddings.weight", l->names->embeddings);
  if( !weights_has(l, name) && weights_has(l, name + skip) ) l->skip = skip;
}

static int load_all(struct loader *l) {
  struct ner_config *c = &l->model->config;
  struct ner_weights *w = &l->model->weights;
  int rc;
  if( l->model->head_optional ) find_encoder(l);
  if( (rc = number_labels(l)) || (rc = load_embeddings(l)) ) return rc;
  for( int32_t i = 0; i < c->layers; i++ )
    if( (rc = load_layer(l, i)) ) return rc;
  if( (rc = check_no_more_layers(l)) ) return rc;
  /* The classifier is small and its rounding goes straight into the scores. */
  l->prefix[0] = 0;
  if( l->model->head_optional && !weights_has(l, "classifier.weight") ) return NER_OK;
  return load_linear(l, "classifier", c->n_labels, c->hidden, NER_PRECISION_F32, &w->classifier);
}

/* Names what was not used, for ner_debug(): a CRF on top, say, that the answers do without. */
static int note_ignored(struct loader *l) {
  int rc = NER_OK;
  for( size_t i = 0; i < l->shards.n_tensors && rc == NER_OK; i++ )
    if( !l->shards.tensor[i].used )
      rc = ner_json_append(&l->model->ignored_json, l->shards.tensor[i].tensor->name, l->err);
  return rc;
}

int ner_weights_from_hf(const char *dir, const struct ner_cancel *cancel, struct ner_model *model,
                        struct ner_err *err) {
  const struct ner_config *c = &model->config;
  struct loader l = {.model = model, .names = &names_of[c->architecture], .err = err};
  int rc = ner_shards_open(dir, &l.shards, err);
  for( size_t i = 0; i < l.shards.n_files; i++ )
    ner_safetensors_set_cancel(l.shards.file[i], cancel);
  if( rc == NER_OK ) {
    model->weights.layer = ner_calloc((size_t)c->layers, sizeof *model->weights.layer);
    rc = model->weights.layer ? load_all(&l) : ner_fail_nomem(err);
  }
  NER_FREE(l.scratch);
  for( size_t i = 0; rc == NER_OK && i < l.shards.n_files; i++ )
    rc = ner_safetensors_finalize(l.shards.file[i], err);
  if( rc == NER_OK ) rc = note_ignored(&l);
  if( rc == NER_OK &&
      model->precision != NER_PRECISION_INT8 ) { /* int8: nothing is used in place */
    ner_model_take_files(model, l.shards.file, l.shards.n_files);
    l.shards.file = NULL;
    l.shards.n_files = 0;
  }
  ner_shards_reset(&l.shards);
  return rc;
}
