/* params.c - where each parameter stands, and how it comes out of a model; see params.h. */
#include "train/params.h"

#include "model/dense.h"

#include <math.h>
#include <string.h>

/* ---- layout ---- */

static size_t params_reserve(struct ner_params_layout *layout, size_t n) {
  size_t at = layout->n;
  layout->n += ner_round_up(n, NER_PANEL);
  return at;
}

static void params_reserve_linear(struct ner_params_layout *layout, struct ner_params_linear *l,
                                  int32_t n_out, int32_t n_in) {
  l->n_out = n_out;
  l->n_in = n_in;
  l->weight = params_reserve(layout, (size_t)n_out * (size_t)n_in);
  l->bias = params_reserve(layout, (size_t)n_out);
}

int ner_params_layout_new(const struct ner_params_config *config, struct ner_params_layout *out,
                          struct ner_err *err) {
  const struct ner_config *c = &config->model;
  const size_t hidden = (size_t)c->hidden;
  *out = (struct ner_params_layout){0};
  out->layer = ner_calloc((size_t)c->layers, sizeof *out->layer);
  if( !out->layer ) return ner_fail_nomem(err);
  out->word = params_reserve(out, (size_t)config->n_words * hidden);
  out->position = params_reserve(out, (size_t)c->max_positions * hidden);
  if( c->architecture == NER_BERT ) out->type = params_reserve(out, hidden);
  out->gain = params_reserve(out, hidden);
  out->bias = params_reserve(out, hidden);
  for( int32_t i = 0; i < c->layers; i++ ) {
    struct ner_params_layer *layer = &out->layer[i];
    if( i == config->freeze && i > 0 ) out->first_trained = out->n;
    params_reserve_linear(out, &layer->qkv, 3 * c->hidden, c->hidden);
    params_reserve_linear(out, &layer->out, c->hidden, c->hidden);
    layer->attn_gain = params_reserve(out, hidden);
    layer->attn_bias = params_reserve(out, hidden);
    params_reserve_linear(out, &layer->ffn1, c->ffn, c->hidden);
    params_reserve_linear(out, &layer->ffn2, c->hidden, c->ffn);
    layer->ffn_gain = params_reserve(out, hidden);
    layer->ffn_bias = params_reserve(out, hidden);
  }
  if( config->freeze > 0 && config->freeze >= c->layers ) out->first_trained = out->n;
  params_reserve_linear(out, &out->classifier, c->n_labels, c->hidden);
  return NER_OK;
}

void ner_params_layout_free(struct ner_params_layout *layout) {
  NER_FREE(layout->layer);
  *layout = (struct ner_params_layout){0};
}

static void params_each_linear(const struct ner_params_linear *l, ner_params_fn fn, void *arg) {
  fn(arg, l->weight, (size_t)l->n_out, (size_t)l->n_in, true, l);
  fn(arg, l->bias, 1, (size_t)l->n_out, false, NULL);
}

void ner_params_each(const struct ner_params_config *config, const struct ner_params_layout *layout,
                     ner_params_fn fn, void *arg) {
  const struct ner_config *c = &config->model;
  const size_t hidden = (size_t)c->hidden;
  fn(arg, layout->word, (size_t)config->n_words, hidden, true, NULL);
  fn(arg, layout->position, (size_t)c->max_positions, hidden, true, NULL);
  if( c->architecture == NER_BERT ) fn(arg, layout->type, 1, hidden, true, NULL);
  fn(arg, layout->gain, 1, hidden, false, NULL);
  fn(arg, layout->bias, 1, hidden, false, NULL);
  for( int32_t i = 0; i < c->layers; i++ ) {
    const struct ner_params_layer *layer = &layout->layer[i];
    params_each_linear(&layer->qkv, fn, arg);
    params_each_linear(&layer->out, fn, arg);
    fn(arg, layer->attn_gain, 1, hidden, false, NULL);
    fn(arg, layer->attn_bias, 1, hidden, false, NULL);
    params_each_linear(&layer->ffn1, fn, arg);
    params_each_linear(&layer->ffn2, fn, arg);
    fn(arg, layer->ffn_gain, 1, hidden, false, NULL);
    fn(arg, layer->ffn_bias, 1, hidden, false, NULL);
  }
  params_each_linear(&layout->classifier, fn, arg);
}

/* ---- from a model ---- */

static void params_load_linear(const struct ner_linear *from, const struct ner_params_linear *to,
                               float *value) {
  ner_linear_widen(from, value + to->weight);
  if( from->bias ) memcpy(value + to->bias, from->bias, (size_t)to->n_out * sizeof *value);
}

static void params_load_vector(const float *from, size_t n, size_t at, float *value) {
  memcpy(value + at, from, n * sizeof *value);
}

/* Models hold Q scaled by 1/√head. Where that is a power of two, undoing it loses nothing. */
static void params_unscale_queries(const struct ner_config *c, const struct ner_params_linear *qkv,
                                   float *value) {
  const float scale = sqrtf((float)(c->hidden / c->heads));
  const size_t hidden = (size_t)c->hidden;
  for( size_t i = 0; i < hidden * hidden; i++ ) value[qkv->weight + i] *= scale;
  for( size_t i = 0; i < hidden; i++ ) value[qkv->bias + i] *= scale;
}

bool ner_params_load(const struct ner_model *model, const struct ner_params_config *config,
                     const struct ner_params_layout *layout, const int32_t *word, float *value,
                     const struct ner_cancel *cancel) {
  const struct ner_config *c = &config->model;
  const struct ner_weights *w = &model->weights;
  const size_t hidden = (size_t)c->hidden;
  for( size_t i = 0; i < (size_t)config->n_words; i++ )
    ner_embedding_widen(&w->word, word[i], value + layout->word + i * hidden);
  params_load_vector(w->position, (size_t)c->max_positions * hidden, layout->position, value);
  params_load_vector(w->norm_gain, hidden, layout->gain, value);
  params_load_vector(w->norm_bias, hidden, layout->bias, value);
  for( int32_t i = 0; i < c->layers; i++ ) {
    const struct ner_params_layer *to = &layout->layer[i];
    const struct ner_layer *from = &w->layer[i];
    if( ner_cancelled(cancel) ) return false;
    params_load_linear(&from->qkv, &to->qkv, value);
    params_unscale_queries(c, &to->qkv, value);
    params_load_linear(&from->out, &to->out, value);
    params_load_linear(&from->ffn1, &to->ffn1, value);
    params_load_linear(&from->ffn2, &to->ffn2, value);
    params_load_vector(from->attn_norm_gain, hidden, to->attn_gain, value);
    params_load_vector(from->attn_norm_bias, hidden, to->attn_bias, value);
    params_load_vector(from->ffn_norm_gain, hidden, to->ffn_gain, value);
    params_load_vector(from->ffn_norm_bias, hidden, to->ffn_bias, value);
  }
  return true;
}
