/*
** one_file.c - the one-file model: reading and writing it.
**
** An ordinary safetensors file that holds the tensors of struct ner_model. Opening it checks names,
** dtypes and shapes, reads the data and sets the model's pointers. each_tensor() states the layout
** once, for reading and for writing:
**
**   __metadata__             format "sqlite-ner", version "3", precision "f32" | "int8"
**   config                   U8 [n]  JSON, see config.c
**   vocabulary               U8 [n]  a piece a line, with "\\", "\n" and "\r" for what would end it
**   tokenizer                U8 [n]  JSON, see tokenizer_stored.c
**   embeddings.word          F32, F16 or BF16 [vocab, hidden]; int8: I8, with
**   embeddings.word.scale    F32 [vocab]
**   embeddings.position      F32 [max_positions, hidden], BERT's token type 0 added
**   embeddings.norm.gain     F32 [hidden]; and .bias
**   layer.I.qkv.weight       F32 [panels, in, 16]; int8: I8 [panels, ceil(in/4), 16, 4]
**   layer.I.qkv.bias         F32 [16·panels]; int8: also .scale F32, .sum I32
**   layer.I.out, .ffn1, .ffn2  likewise
**   layer.I.attn_norm.gain   F32 [hidden]; and .bias; and ffn_norm
**   classifier.weight, .bias always F32
**
** Zeros fill up panels. In a file of version "1" int8 weights may exceed the bound that kernels
** rely on (NER_I8_LIMIT in kernels.h): they are packed once more when it is opened, in memory.
** 1/√head is folded into Q.
*/
#include "model/internal.h"

#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "model/tokenizer_json.h"
#include "model/file_type.h"

#define FORMAT  "sqlite-ner"
#define VERSION "3"
/* Versions 1 and 2 have no "tokenizer": config holds the text rules, all else is BERT's, and a
** piece stands in "vocabulary" as it is. In version 1 int8 weights need not keep the bound of
** kernels.h. */
#define VERSION_2 "2"
#define VERSION_1 "1"

#define ONE_FILE_REMEDY "make the file again with ner_convert"

/* A tensor of the layout and the pointer in the model that stands for it. */
struct slot {
  char name[64];
  enum ner_dtype dtype;
  int rank;
  uint64_t shape[4];
  void *pointer; /* of a `const T *` in the model */
};
typedef int (*slot_fn)(void *arg, const struct slot *slot);

struct visit {
  struct ner_model *model;
  slot_fn fn;
  void *arg;
};

/* Pointers to different types have one representation but may not be accessed as one another, so
** memcpy reads and writes them. */
static const void *get_pointer(const struct slot *slot) {
  const void *value;
  memcpy(&value, slot->pointer, sizeof value);
  return value;
}
static void set_pointer(const struct slot *slot, const void *value) {
  memcpy(slot->pointer, &value, sizeof value);
}

static int visit_vector(struct visit *v, const char *prefix, const char *name, enum ner_dtype dtype,
                        size_t n, void *pointer) {
  struct slot slot = {.dtype = dtype, .rank = 1, .shape = {n}, .pointer = pointer};
  snprintf(slot.name, sizeof slot.name, "%s%s", prefix, name);
  return v->fn(v->arg, &slot);
}

static int visit_linear(struct visit *v, const char *prefix, const char *name,
                        struct ner_linear *w) {
  const size_t padded = ner_round_up((size_t)w->n_out, NER_PANEL);
  const bool int8 = w->precision == NER_PRECISION_INT8;
  const uint64_t n_in = (uint64_t)w->n_in;
  struct slot slot = {.pointer = &w->packed, .shape = {padded / NER_PANEL}};
  char full[48];
  int rc;
  snprintf(full, sizeof full, "%s%s", prefix, name);
  snprintf(slot.name, sizeof slot.name, "%s.weight", full);
  slot.dtype = int8 ? NER_DTYPE_I8 : NER_DTYPE_F32;
  slot.rank = int8 ? 4 : 3;
  slot.shape[1] = int8 ? (n_in + NER_GROUP - 1) / NER_GROUP : n_in;
  slot.shape[2] = NER_PANEL;
  slot.shape[3] = NER_GROUP;
  if( (rc = v->fn(v->arg, &slot)) ||
      (rc = visit_vector(v, full, ".bias", NER_DTYPE_F32, padded, &w->bias)) || !int8 )
    return rc;
  if( (rc = visit_vector(v, full, ".scale", NER_DTYPE_F32, padded, &w->scale)) ) return rc;
  return visit_vector(v, full, ".sum", NER_DTYPE_I32, padded, &w->sum);
}

static int visit_layer(struct visit *v, int32_t i) {
  struct ner_layer *layer = &v->model->weights.layer[i];
  const size_t hidden = (size_t)v->model->config.hidden;
  char p[24];
  int rc;
  snprintf(p, sizeof p, "layer.%d.", i);
  if( (rc = visit_linear(v, p, "qkv", &layer->qkv)) ||
      (rc = visit_linear(v, p, "out", &layer->out)) ||
      (rc = visit_linear(v, p, "ffn1", &layer->ffn1)) ||
      (rc = visit_linear(v, p, "ffn2", &layer->ffn2)) ||
      (rc = visit_vector(v, p, "attn_norm.gain", NER_DTYPE_F32, hidden, &layer->attn_norm_gain)) ||
      (rc = visit_vector(v, p, "attn_norm.bias", NER_DTYPE_F32, hidden, &layer->attn_norm_bias)) ||
      (rc = visit_vector(v, p, "ffn_norm.gain", NER_DTYPE_F32, hidden, &layer->ffn_norm_gain)) )
    return rc;
  return visit_vector(v, p, "ffn_norm.bias", NER_DTYPE_F32, hidden, &layer->ffn_norm_bias);
}

static int each_tensor(struct ner_model *model, slot_fn fn, void *arg) {
  struct visit v = {.model = model, .fn = fn, .arg = arg};
  struct ner_weights *w = &model->weights;
  const uint64_t hidden = (uint64_t)model->config.hidden;
  struct slot word = {
      "embeddings.word", w->word.dtype, 2, {(uint64_t)w->word.rows, hidden}, &w->word.data};
  struct slot position = {"embeddings.position",
                          NER_DTYPE_F32,
                          2,
                          {(uint64_t)model->config.max_positions, hidden},
                          &w->position};
  int rc;
  if( (rc = fn(arg, &word)) || (rc = fn(arg, &position)) ||
      (word.dtype == NER_DTYPE_I8 &&
       (rc = visit_vector(&v, "embeddings.word", ".scale", NER_DTYPE_F32, (size_t)w->word.rows,
                          &w->word.scale))) ||
      (rc = visit_vector(&v, "embeddings.norm", ".gain", NER_DTYPE_F32, hidden, &w->norm_gain)) ||
      (rc = visit_vector(&v, "embeddings.norm", ".bias", NER_DTYPE_F32, hidden, &w->norm_bias)) )
    return rc;
  for( int32_t i = 0; i < model->config.layers; i++ )
    if( (rc = visit_layer(&v, i)) ) return rc;
  return visit_linear(&v, "", "classifier", &w->classifier);
}

/* ---- what tells models apart ---- */

static int hash_slot(void *arg, const struct slot *slot) {
  uint64_t *hash = arg, n_bytes = ner_dtype_bytes(slot->dtype);
  for( int i = 0; i < slot->rank; i++ ) n_bytes *= slot->shape[i];
  *hash = ner_hash(*hash, slot->name, strlen(slot->name));
  *hash = ner_hash(*hash, slot->shape, (size_t)slot->rank * sizeof slot->shape[0]);
  *hash = ner_hash(*hash, get_pointer(slot), (size_t)n_bytes);
  return NER_OK;
}

int ner_model_hash(const struct ner_model *const_model, uint64_t *out, struct ner_err *err) {
  struct ner_model *model = (struct ner_model *)const_model; /* each_tensor() also sets pointers */
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  uint64_t hash = atomic_load(&model->hash);
  if( hash == 0 ) {
    char *config = ner_config_to_own(model), *rules = ner_tokenizer_to_json(model->tokenizer);
    if( config && rules )
      hash = ner_hash(ner_hash(0, config, strlen(config)), rules, strlen(rules));
    NER_FREE(config);
    NER_FREE(rules);
    if( hash == 0 ) return ner_fail_nomem(err);
    for( int32_t i = 0; i < ner_vocab_size(vocab); i++ ) {
      size_t n_bytes;
      const char *piece = ner_vocab_piece(vocab, i, &n_bytes);
      hash = ner_hash(hash, piece, n_bytes);
    }
    each_tensor(model, hash_slot, &hash);
    if( hash == 0 ) hash = 1;
    atomic_store(&model->hash, hash);
  }
  *out = hash;
  return NER_OK;
}

/* ---- reading ---- */

struct reading {
  struct ner_model *model;
  struct ner_safetensors *file;
  struct ner_err *err;
  bool unbounded; /* int8 weights of version 1 */
  bool plain;     /* no "tokenizer": version 1 or 2 */
};

static int damaged(struct reading *r, const char *tensor, const char *why) {
  return ner_fail(r->err, NER_ERROR, "%s: tensor %s %s; make the file again with ner_convert",
                  ner_safetensors_name(r->file), tensor, why);
}

/* Kernels multiply the sums of weights by 128: one that no row of weights has would overflow. */
static bool sums_can_be(const int32_t *sum, uint64_t n) {
  const int32_t largest = 128 * NER_MAX_FFN;
  for( uint64_t i = 0; i < n; i++ )
    if( sum[i] < -largest || sum[i] > largest ) return false;
  return true;
}

static int read_slot(void *arg, const struct slot *slot) {
  struct reading *r = arg;
  const struct ner_tensor *t = ner_safetensors_find(r->file, slot->name);
  const unsigned char *data;
  int rc;
  if( !t ) return damaged(r, slot->name, "is missing");
  if( t->dtype != slot->dtype ) return damaged(r, slot->name, "has an unexpected type");
  if( t->rank != slot->rank ||
      memcmp(t->shape, slot->shape, (size_t)t->rank * sizeof t->shape[0]) != 0 )
    return damaged(r, slot->name, "has a shape that contradicts the configuration");
  if( (rc = ner_safetensors_read(r->file, t, r->err)) ) return rc;
  data = t->data;
  /* We write aligned; another tool's copy of the file may not be. */
  if( (uintptr_t)data % (slot->rank > 2 ? 64 : ner_dtype_bytes(slot->dtype)) != 0 ) {
    void *copy = ner_model_block(r->model, t->n_bytes, 1);
    if( !copy ) return ner_fail_nomem(r->err);
    memcpy(copy, data, (size_t)t->n_bytes);
    data = copy;
  }
  if( slot->dtype == NER_DTYPE_I32 && !sums_can_be((const int32_t *)data, slot->shape[0]) )
    return damaged(r, slot->name, "holds sums that no weights add up to");
  set_pointer(slot, data);
  return NER_OK;
}

/* A byte tensor: "config" or "vocabulary". */
static int find_bytes(struct reading *r, const char *name, const struct ner_tensor **out) {
  *out = ner_safetensors_find(r->file, name);
  if( !*out ) return damaged(r, name, "is missing");
  if( (*out)->dtype != NER_DTYPE_U8 || (*out)->rank != 1 || (*out)->n_bytes > NER_MAX_TEXT_BYTES )
    return damaged(r, name, "is no row of bytes");
  return ner_safetensors_read(r->file, *out, r->err);
}

static int one_file_read_config(struct reading *r, struct ner_text_rules *rules) {
  const struct ner_tensor *t;
  char what[400];
  int rc = find_bytes(r, "config", &t);
  if( rc ) return rc;
  ner_format(what, sizeof what, "%.380s: tensor config", ner_safetensors_name(r->file));
  return ner_config_from_own((const char *)t->data, (size_t)t->n_bytes, what, r->model, rules,
                             r->err);
}

static int read_old_tokenizer(struct reading *r, const struct ner_text_rules *rules) {
  const char *file = ner_safetensors_name(r->file);
  const int32_t wanted = r->model->config.vocab_size;
  const struct ner_tensor *t;
  struct ner_vocab *vocab;
  int rc = find_bytes(r, "vocabulary", &t);
  if( rc == NER_OK )
    rc = ner_vocab_from_lines((const char *)t->data, (size_t)t->n_bytes, file, &vocab, r->err);
  if( rc ) return rc;
  if( ner_vocab_size(vocab) != wanted ) {
    rc = ner_fail(r->err, NER_ERROR,
                  "%s: tensor vocabulary holds %d pieces, but tensor config says vocab_size %d; "
                  "make the file again with ner_convert",
                  file, ner_vocab_size(vocab), wanted);
    ner_vocab_free(vocab);
    return rc;
  }
  return ner_tokenizer_new(vocab, rules, file, &r->model->tokenizer, r->err);
}

static int read_tokenizer(struct reading *r, const struct ner_text_rules *rules) {
  const char *file = ner_safetensors_name(r->file);
  const int32_t vocab_size = r->model->config.vocab_size;
  const struct ner_tensor *pieces, *json;
  struct ner_vocab *vocab;
  char what[400];
  int rc;
  if( r->plain ) return read_old_tokenizer(r, rules);
  ner_format(what, sizeof what, "%.380s: tensor tokenizer", file);
  if( (rc = find_bytes(r, "vocabulary", &pieces)) || (rc = find_bytes(r, "tokenizer", &json)) ||
      (rc = ner_vocab_from_escaped((const char *)pieces->data, (size_t)pieces->n_bytes, vocab_size,
                                   file, &vocab, r->err)) )
    return rc;
  if( (rc = ner_tokenizer_from_json((const char *)json->data, (size_t)json->n_bytes, what, vocab,
                                    vocab_size, &r->model->tokenizer, r->err)) )
    return rc;
  if( r->model->config.max_tokens <= ner_template_tok(ner_tokenizer_template(r->model->tokenizer)) )
    return damaged(r, "config", "has a max_tokens that leaves no room for a text");
  return NER_OK;
}

static void shape_linear(struct ner_linear *w, int32_t n_out, int32_t n_in,
                         enum ner_precision precision) {
  w->n_out = n_out;
  w->n_in = n_in;
  w->precision = precision;
}

static int read_weights(struct reading *r) {
  struct ner_model *model = r->model;
  const struct ner_config *c = &model->config;
  const bool int8 = model->precision == NER_PRECISION_INT8;
  const struct ner_tensor *word = ner_safetensors_find(r->file, "embeddings.word");
  struct ner_weights *w = &model->weights;
  w->layer = ner_calloc((size_t)c->layers, sizeof *w->layer);
  if( !w->layer ) return ner_fail_nomem(r->err);
  w->word.rows = c->vocab_size;
  w->word.width = c->hidden;
  w->word.dtype = int8 ? NER_DTYPE_I8 : NER_DTYPE_F32;
  if( !int8 && word && (word->dtype == NER_DTYPE_F16 || word->dtype == NER_DTYPE_BF16) )
    w->word.dtype = word->dtype;
  for( int32_t i = 0; i < c->layers; i++ ) {
    shape_linear(&w->layer[i].qkv, 3 * c->hidden, c->hidden, model->precision);
    shape_linear(&w->layer[i].out, c->hidden, c->hidden, model->precision);
    shape_linear(&w->layer[i].ffn1, c->ffn, c->hidden, model->precision);
    shape_linear(&w->layer[i].ffn2, c->hidden, c->ffn, model->precision);
  }
  shape_linear(&w->classifier, c->n_labels, c->hidden, NER_PRECISION_F32);
  return each_tensor(model, read_slot, r);
}

/* Packs a layer of version 1 within the bound. channel: [w->n_in] */
static int bound_linear(struct reading *r, struct ner_linear *w, float *channel) {
  const size_t padded = ner_round_up((size_t)w->n_out, NER_PANEL);
  int8_t *packed = ner_model_block(r->model, ner_packed_bytes(w->precision, w->n_out, w->n_in), 1);
  float *scale = ner_model_block(r->model, padded, sizeof *scale);
  int32_t *sum = ner_model_block(r->model, padded, sizeof *sum);
  if( !packed || !scale || !sum ) return ner_fail_nomem(r->err);
  ner_repack_i8(w, channel, packed, scale, sum);
  w->packed = packed;
  w->scale = scale;
  w->sum = sum;
  return NER_OK;
}

static int bound_weights(struct reading *r) {
  const struct ner_config *c = &r->model->config;
  const int32_t widest = c->ffn > c->hidden ? c->ffn : c->hidden;
  float *channel;
  int rc = NER_OK;
  if( !r->unbounded || r->model->precision != NER_PRECISION_INT8 ) return NER_OK;
  channel = ner_alloc((size_t)widest, sizeof *channel);
  if( !channel ) return ner_fail_nomem(r->err);
  for( int32_t i = 0; i < c->layers && rc == NER_OK; i++ ) {
    struct ner_layer *layer = &r->model->weights.layer[i];
    if( (rc = bound_linear(r, &layer->qkv, channel)) == NER_OK &&
        (rc = bound_linear(r, &layer->out, channel)) == NER_OK &&
        (rc = bound_linear(r, &layer->ffn1, channel)) == NER_OK )
      rc = bound_linear(r, &layer->ffn2, channel);
  }
  NER_FREE(channel);
  return rc;
}

static int read_metadata(struct reading *r, enum ner_precision asked) {
  const char *file = ner_safetensors_name(r->file);
  const char *format = ner_safetensors_metadata(r->file, "format");
  const char *version = ner_safetensors_metadata(r->file, "version");
  const char *precision = ner_safetensors_metadata(r->file, "precision");
  if( !format || strcmp(format, FORMAT) != 0 ) return ner_fail_not_converted(file, r->err);
  r->unbounded = version && strcmp(version, VERSION_1) == 0;
  r->plain = r->unbounded || (version && strcmp(version, VERSION_2) == 0);
  if( !version || (strcmp(version, VERSION) != 0 && !r->plain) )
    return ner_fail(r->err, NER_ERROR,
                    "%s: layout version '%.20s' is not known to sqlite-ner " NER_VERSION
                    " (it knows " VERSION_1 ", " VERSION_2 " and " VERSION
                    "); update it, or make the file again with ner_convert",
                    file, version ? version : "");
  if( !precision || ner_precision_parse(precision, &r->model->precision, NULL) != NER_OK )
    return ner_fail(r->err, NER_ERROR,
                    "%s: precision '%.20s' is unknown; make the file again with ner_convert", file,
                    precision ? precision : "");
  if( asked != NER_PRECISION_FILE && asked != r->model->precision )
    return ner_fail(r->err, NER_ERROR,
                    "%s: holds %s weights, which cannot become %s; load or convert the model's "
                    "original directory with precision '%s'",
                    file, ner_precision_name(r->model->precision), ner_precision_name(asked),
                    ner_precision_name(asked));
  return NER_OK;
}

static int on_ignored(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct reading *r = arg;
  if( item->type != NER_JSON_STRING )
    return ner_fail(err, NER_ERROR,
                    "%s: metadata 'ignored' is not an array of names; " ONE_FILE_REMEDY,
                    ner_safetensors_name(r->file));
  return ner_json_append(&r->model->ignored_json, item->string, err);
}

/* The tensors that were left out when the file was written. */
static int read_ignored(struct reading *r) {
  const char *text = ner_safetensors_metadata(r->file, "ignored");
  struct ner_json *json;
  int rc;
  if( !text ) return NER_OK;
  if( (rc = ner_json_open(text, strlen(text), ner_safetensors_name(r->file), &json, r->err)) )
    return rc;
  rc = ner_json_each(json, "$", on_ignored, r, r->err);
  ner_json_close(json);
  return rc;
}

int ner_model_from_file(struct ner_safetensors *file, enum ner_precision precision,
                        struct ner_model **out, struct ner_err *err) {
  struct reading r = {.file = file, .err = err};
  struct ner_text_rules rules = {.clean_text = true, .split_cjk = true};
  struct ner_safetensors **files = ner_alloc(1, sizeof *files);
  int rc = files ? ner_model_new(ner_safetensors_name(file), &r.model, err) : ner_fail_nomem(err);
  if( rc ) {
    ner_safetensors_close(file);
    NER_FREE(files);
    return rc;
  }
  files[0] = file;
  ner_model_take_files(r.model, files, 1);
  if( (rc = read_metadata(&r, precision)) || (rc = read_ignored(&r)) ||
      (rc = one_file_read_config(&r, &rules)) || (rc = read_tokenizer(&r, &rules)) ||
      (rc = read_weights(&r)) || (rc = ner_safetensors_finalize(file, err)) ||
      (rc = bound_weights(&r)) ) /* last: it takes long, and the file may change meanwhile */
    ner_model_free(r.model);
  else
    *out = r.model;
  return rc;
}

/* ---- writing ---- */

struct writing {
  struct ner_tensor *tensor; /* [n] */
  struct slot *slot;         /* [n]: keeps the names */
  size_t n, cap_tensor, cap_slot;
};

static int write_slot(void *arg, const struct slot *slot) {
  struct writing *w = arg;
  struct ner_tensor *t;
  if( ner_grow((void **)&w->tensor, &w->cap_tensor, w->n + 1, sizeof *w->tensor) ||
      ner_grow((void **)&w->slot, &w->cap_slot, w->n + 1, sizeof *w->slot) )
    return NER_NOMEM;
  w->slot[w->n] = *slot;
  t = &w->tensor[w->n++];
  memset(t, 0, sizeof *t);
  t->dtype = slot->dtype;
  t->rank = slot->rank;
  t->n_bytes = ner_dtype_bytes(slot->dtype);
  for( int i = 0; i < slot->rank; i++ ) t->n_bytes *= t->shape[i] = slot->shape[i];
  t->data = get_pointer(slot);
  return NER_OK;
}

int ner_model_copy_tokenizer(const struct ner_model *from, struct ner_model *model,
                             struct ner_err *err) {
  const int32_t vocab_size = from->config.vocab_size;
  char *json = ner_tokenizer_to_json(from->tokenizer), *pieces = NULL;
  struct ner_vocab *vocab;
  size_t n = 0;
  int rc = NER_OK;
  if( !json || ner_vocab_to_lines(ner_tokenizer_vocab(from->tokenizer), &pieces, &n) )
    rc = ner_fail_nomem(err);
  if( rc == NER_OK ) rc = ner_vocab_from_escaped(pieces, n, vocab_size, from->path, &vocab, err);
  if( rc == NER_OK )
    rc = ner_tokenizer_from_json(json, strlen(json), from->path, vocab, vocab_size,
                                 &model->tokenizer, err);
  NER_FREE(json);
  NER_FREE(pieces);
  return rc;
}

static int write_all(struct writing *w, struct ner_model *model, const char *target,
                     const struct ner_cancel *cancel, struct ner_err *err) {
  const char *const metadata[] = {"format",
                                  FORMAT,
                                  "version",
                                  VERSION,
                                  "precision",
                                  ner_precision_name(model->precision),
                                  model->ignored_json ? "ignored" : NULL,
                                  model->ignored_json,
                                  NULL};
  char *config = ner_config_to_own(model), *rules = ner_tokenizer_to_json(model->tokenizer);
  char *vocabulary = NULL;
  size_t n_vocabulary = 0;
  int rc = NER_OK;
  if( !config || !rules ||
      ner_vocab_to_lines(ner_tokenizer_vocab(model->tokenizer), &vocabulary, &n_vocabulary) )
    rc = ner_fail_nomem(err);
  if( rc == NER_OK ) {
    struct slot texts[3] = {
        {"config", NER_DTYPE_U8, 1, {strlen(config)}, &config},
        {"vocabulary", NER_DTYPE_U8, 1, {n_vocabulary}, &vocabulary},
        {"tokenizer", NER_DTYPE_U8, 1, {strlen(rules)}, &rules},
    };
    for( int i = 0; i < 3 && rc == NER_OK; i++ )
      if( write_slot(w, &texts[i]) ) rc = ner_fail_nomem(err);
    if( rc == NER_OK && each_tensor(model, write_slot, w) ) rc = ner_fail_nomem(err);
  }
  /* Only now: w->slot no longer moves. */
  for( size_t i = 0; i < w->n; i++ ) w->tensor[i].name = w->slot[i].name;
  if( rc == NER_OK ) rc = ner_safetensors_write(target, w->tensor, w->n, metadata, cancel, err);
  NER_FREE(config);
  NER_FREE(rules);
  NER_FREE(vocabulary);
  return rc;
}

int ner_model_write(struct ner_model *model, const char *target, const struct ner_cancel *cancel,
                    struct ner_err *err) {
  struct writing w = {0};
  int rc = write_all(&w, model, target, cancel, err);
  NER_FREE(w.tensor);
  NER_FREE(w.slot);
  return rc;
}
