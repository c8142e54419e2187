/* dense.c - weights as plain floats; see dense.h. */
#include "model/internal.h"

#include "model/dense.h"

#include <math.h>
#include <string.h>

/* The layouts of kernels.h, undone. */
void ner_linear_widen(const struct ner_linear *w, float *out) {
  const size_t n_in = (size_t)w->n_in, groups = (n_in + NER_GROUP - 1) / NER_GROUP;
  for( size_t n = 0; n < (size_t)w->n_out; n++, out += n_in ) {
    const size_t panel = n / NER_PANEL, j = n % NER_PANEL;
    if( w->precision == NER_PRECISION_INT8 ) {
      const int8_t *from = (const int8_t *)w->packed + panel * groups * NER_PANEL * NER_GROUP;
      for( size_t k = 0; k < n_in; k++ )
        out[k] = w->scale[n] * from[(k / NER_GROUP * NER_PANEL + j) * NER_GROUP + k % NER_GROUP];
    } else {
      const float *from = (const float *)w->packed + panel * n_in * NER_PANEL;
      for( size_t k = 0; k < n_in; k++ ) out[k] = from[k * NER_PANEL + j];
    }
  }
}

void ner_embedding_widen(const struct ner_embedding *table, int32_t row, float *out) {
  const size_t first = (size_t)row * (size_t)table->width;
  if( table->dtype == NER_DTYPE_I8 ) {
    const int8_t *from = (const int8_t *)table->data + first;
    for( int32_t k = 0; k < table->width; k++ ) out[k] = table->scale[row] * from[k];
  } else {
    ner_widen_f32(table->dtype, table->data + first * ner_dtype_bytes(table->dtype),
                  (uint64_t)table->width, out);
  }
}

/* ---- into a model ---- */

float ner_quantise_embedding(const float *row, int32_t n, int8_t *q) {
  float largest = 0, scale;
  for( int32_t i = 0; i < n; i++ )
    if( fabsf(row[i]) > largest ) largest = fabsf(row[i]);
  scale = largest / NER_I8_MAX;
  for( int32_t i = 0; i < n; i++ ) {
    float x = scale > 0 ? row[i] / scale : 0;
    if( x != x ) x = 0; /* NaN weights: the file's fault, but no undefined conversion */
    q[i] = (int8_t)lrintf(x > NER_I8_MAX ? NER_I8_MAX : x < -NER_I8_MAX ? -NER_I8_MAX : x);
  }
  return scale;
}

int ner_model_pack(struct ner_model *model, const float *w, int32_t n_out, int32_t n_in,
                   enum ner_precision precision, const float *bias, struct ner_linear *out,
                   struct ner_err *err) {
  size_t padded = ner_round_up((size_t)n_out, NER_PANEL);
  void *packed = ner_model_block(model, ner_packed_bytes(precision, n_out, n_in), 1);
  if( !packed ) return ner_fail_nomem(err);
  *out = (struct ner_linear){
      .n_out = n_out, .n_in = n_in, .precision = precision, .packed = packed, .bias = bias};
  if( precision == NER_PRECISION_INT8 ) {
    float *scale = ner_model_block(model, padded, sizeof *scale);
    int32_t *sum = ner_model_block(model, padded, sizeof *sum);
    if( !scale || !sum ) return ner_fail_nomem(err);
    ner_pack_i8(w, n_out, n_in, packed, scale, sum);
    out->scale = scale;
    out->sum = sum;
  } else {
    ner_pack_f32(w, n_out, n_in, packed);
  }
  return NER_OK;
}

static uint64_t dense_linear_bytes(const struct ner_linear *w) {
  uint64_t padded = ner_round_up((size_t)w->n_out, NER_PANEL);
  return ner_packed_bytes(w->precision, w->n_out, w->n_in) +
         padded * (w->precision == NER_PRECISION_INT8 ? 12 : 4);
}

void ner_model_finish(struct ner_model *model) {
  const struct ner_config *c = &model->config;
  const struct ner_weights *w = &model->weights;
  const uint64_t hidden = (uint64_t)c->hidden;
  uint64_t n = (uint64_t)c->vocab_size * hidden * ner_dtype_bytes(w->word.dtype);
  if( w->word.scale ) n += (uint64_t)c->vocab_size * 4;
  n += ((uint64_t)c->max_positions + 2) * hidden * 4 + dense_linear_bytes(&w->classifier);
  for( int32_t i = 0; i < c->layers; i++ )
    n += dense_linear_bytes(&w->layer[i].qkv) + dense_linear_bytes(&w->layer[i].out) +
         dense_linear_bytes(&w->layer[i].ffn1) + dense_linear_bytes(&w->layer[i].ffn2) +
         16 * hidden;
  model->n_bytes = n;
  model->parameters = ner_config_parameters(c);
}

struct dense_build {
  struct ner_model *model;
  const struct ner_dense *from;
  float *scratch; /* [3·hidden, hidden] Q, K, V with Q scaled */
  const struct ner_cancel *cancel;
  struct ner_err *err;
};

static int dense_vector(struct dense_build *b, const float *from, size_t n, const float **out) {
  float *to = ner_model_block(b->model, ner_round_up(n, NER_PANEL), sizeof *to);
  if( !to ) return ner_fail_nomem(b->err);
  memcpy(to, from, n * sizeof *to);
  *out = to;
  return NER_OK;
}

static int dense_linear(struct dense_build *b, const float *w, const float *bias, int32_t n_out,
                        int32_t n_in, enum ner_precision precision, struct ner_linear *out) {
  int rc = dense_vector(b, bias, (size_t)n_out, &out->bias);
  if( ner_cancelled(b->cancel) ) return ner_fail_interrupted(b->err);
  return rc ? rc : ner_model_pack(b->model, w, n_out, n_in, precision, out->bias, out, b->err);
}

static int dense_qkv(struct dense_build *b, const struct ner_dense_layer *from,
                     struct ner_linear *out) {
  const struct ner_config *c = &b->model->config;
  const size_t hidden = (size_t)c->hidden, square = hidden * hidden;
  const float scale = 1 / sqrtf((float)(c->hidden / c->heads));
  float *bias = b->scratch + 3 * square;
  memcpy(b->scratch, from->qkv, 3 * square * sizeof *b->scratch);
  memcpy(bias, from->qkv_bias, 3 * hidden * sizeof *bias);
  for( size_t i = 0; i < square; i++ ) b->scratch[i] *= scale;
  for( size_t i = 0; i < hidden; i++ ) bias[i] *= scale;
  return dense_linear(b, b->scratch, bias, 3 * c->hidden, c->hidden, b->model->precision, out);
}

static int dense_layer(struct dense_build *b, int32_t i) {
  const struct ner_config *c = &b->model->config;
  const struct ner_dense_layer *from = &b->from->layer[i];
  struct ner_layer *to = &b->model->weights.layer[i];
  const enum ner_precision precision = b->model->precision;
  const size_t hidden = (size_t)c->hidden;
  int rc;
  if( (rc = dense_qkv(b, from, &to->qkv)) ||
      (rc =
           dense_linear(b, from->out, from->out_bias, c->hidden, c->hidden, precision, &to->out)) ||
      (rc =
           dense_linear(b, from->ffn1, from->ffn1_bias, c->ffn, c->hidden, precision, &to->ffn1)) ||
      (rc =
           dense_linear(b, from->ffn2, from->ffn2_bias, c->hidden, c->ffn, precision, &to->ffn2)) ||
      (rc = dense_vector(b, from->attn_gain, hidden, &to->attn_norm_gain)) ||
      (rc = dense_vector(b, from->attn_bias, hidden, &to->attn_norm_bias)) ||
      (rc = dense_vector(b, from->ffn_gain, hidden, &to->ffn_norm_gain)) )
    return rc;
  return dense_vector(b, from->ffn_bias, hidden, &to->ffn_norm_bias);
}

static int dense_word(struct dense_build *b) {
  const size_t rows = (size_t)b->model->config.vocab_size, width = (size_t)b->model->config.hidden;
  const bool int8 = b->model->precision == NER_PRECISION_INT8;
  struct ner_embedding *word = &b->model->weights.word;
  float *scale = int8 ? ner_model_block(b->model, rows, sizeof *scale) : NULL;
  void *data = ner_model_block(b->model, (uint64_t)rows * width, int8 ? 1 : sizeof(float));
  if( !data || (int8 && !scale) ) return ner_fail_nomem(b->err);
  *word = (struct ner_embedding){.dtype = int8 ? NER_DTYPE_I8 : NER_DTYPE_F32,
                                 .rows = (int32_t)rows,
                                 .width = (int32_t)width,
                                 .data = data,
                                 .scale = scale};
  for( size_t i = 0; i < rows; i++ ) {
    float *row = int8 ? b->scratch : (float *)data + i * width;
    b->from->word(b->from->arg, (int32_t)i, row);
    if( int8 ) scale[i] = ner_quantise_embedding(row, (int32_t)width, (int8_t *)data + i * width);
  }
  return NER_OK;
}

static int dense_labels(struct dense_build *b) {
  int rc = ner_labels_new(b->model, b->from->n_labels, b->model->path, b->err);
  for( int32_t i = 0; i < b->from->n_labels && rc == NER_OK; i++ )
    rc = ner_labels_set(b->model, i, b->from->label[i], strlen(b->from->label[i]), b->model->path,
                        b->err);
  return rc ? rc : ner_labels_finish(b->model, b->model->path, b->err);
}

static int dense_fill(struct dense_build *b, const struct ner_model *base) {
  struct ner_model *model = b->model;
  const struct ner_dense *from = b->from;
  const size_t hidden = (size_t)base->config.hidden;
  int rc;
  model->config = base->config;
  model->config.n_labels = 0;
  if( (rc = dense_labels(b)) || (rc = ner_model_copy_tokenizer(base, model, b->err)) ) return rc;
  model->weights.layer = ner_calloc((size_t)base->config.layers, sizeof *model->weights.layer);
  b->scratch = ner_alloc(3 * hidden * (hidden + 1), sizeof *b->scratch);
  if( !model->weights.layer || !b->scratch ) return ner_fail_nomem(b->err);
  if( (rc = dense_word(b)) ||
      (rc = dense_vector(b, from->position, (size_t)base->config.max_positions * hidden,
                         &model->weights.position)) ||
      (rc = dense_vector(b, from->gain, hidden, &model->weights.norm_gain)) ||
      (rc = dense_vector(b, from->bias, hidden, &model->weights.norm_bias)) )
    return rc;
  for( int32_t i = 0; i < base->config.layers; i++ )
    if( (rc = dense_layer(b, i)) ) return rc;
  rc = dense_linear(b, from->classifier, from->classifier_bias, from->n_labels, base->config.hidden,
                    NER_PRECISION_F32, &model->weights.classifier);
  if( rc == NER_OK ) ner_model_finish(model);
  return rc;
}

int ner_model_from_dense(const struct ner_model *base, const struct ner_dense *from,
                         enum ner_precision precision, const char *path,
                         const struct ner_cancel *cancel, struct ner_model **out,
                         struct ner_err *err) {
  struct dense_build b = {.from = from, .cancel = cancel, .err = err};
  int rc = ner_model_new(path, &b.model, err);
  *out = NULL;
  if( rc ) return rc;
  b.model->precision = precision == NER_PRECISION_INT8 ? NER_PRECISION_INT8 : NER_PRECISION_F32;
  rc = dense_fill(&b, base);
  NER_FREE(b.scratch);
  if( rc )
    ner_model_free(b.model);
  else
    *out = b.model;
  return rc;
}

int ner_model_save(struct ner_model *model, const char *target, const struct ner_cancel *cancel,
                   struct ner_err *err) {
  return ner_model_write(model, target, cancel, err);
}
