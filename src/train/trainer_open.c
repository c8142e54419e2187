/*
** trainer_open.c - everything before the first step; see trainer.h.
*/
#include "train/trainer_state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "base/os.h"
#include "model/dense.h"
#include "train/random.h"

#define OPEN_INIT_RANGE 0.02 /* of a new label's weights: initializer_range of the references */

struct ner_train_options ner_train_options_default(void) {
  return (struct ner_train_options){
      .epochs = 4,
      .batch_tokens = 512,
      .warmup = 0.1,
      .weight_decay = 0.01,
      .dropout = 0.1,
      .seed = 42,
      .valid_share = 0.1,
      .precision = NER_PRECISION_FILE,
  };
}

/* ---- the base ---- */

static int open_check_base(const struct ner_model *base, const struct ner_train_options *options,
                           struct ner_err *err) {
  const struct ner_config *c = &base->config;
  if( c->activation != NER_GELU )
    return ner_fail(err, NER_ERROR,
                    "ner_train(): the base %s uses the activation %s; only models with gelu can be "
                    "trained",
                    base->path, ner_activation_name(c->activation));
  if( options->freeze > c->layers )
    return ner_fail(err, NER_ERROR,
                    "ner_train(): freeze is %d, but the base %s has %d layers; give 0 to %d",
                    options->freeze, base->path, c->layers, c->layers);
  return NER_OK;
}

/* ---- words ---- */

/* The rows of the word embeddings that examples use. */
static int open_words(struct ner_trainer *t, struct ner_err *err) {
  const size_t vocab = (size_t)t->base->config.vocab_size;
  t->row_of = ner_alloc(vocab, sizeof *t->row_of);
  t->word = ner_alloc(vocab, sizeof *t->word);
  if( !t->row_of || !t->word ) return ner_fail_nomem(err);
  memset(t->row_of, -1, vocab * sizeof *t->row_of);
  for( size_t i = 0; i < t->ex.n_tok; i++ ) t->row_of[t->ex.id[i]] = 0;
  for( size_t i = 0; i < vocab; i++ )
    if( t->row_of[i] == 0 ) {
      t->row_of[i] = t->n_words;
      t->word[t->n_words++] = (int32_t)i;
    }
  return NER_OK;
}

/* ---- memory ---- */

static void open_config(const struct ner_trainer *t, struct ner_params_config *config) {
  *config = (struct ner_params_config){
      .model = t->base->config, .n_words = t->n_words, .freeze = t->options.freeze};
  config->model.n_labels = (int32_t)t->ex.n_labels;
  config->model.max_tokens = t->ex.max_tok;
}

static int32_t open_capacity(const struct ner_trainer *t) {
  int64_t most = 0;
  for( size_t s = 0; s < t->ex.n_sequences; s++ ) most += t->ex.sequence[s].n_tok;
  if( most > t->options.batch_tokens ) most = t->options.batch_tokens;
  return (int32_t)(most > t->ex.max_tok ? most : t->ex.max_tok);
}

static int open_check_memory(struct ner_trainer *t, const struct ner_params_config *config,
                             int32_t capacity_tok, struct ner_err *err) {
  const uint64_t moments = ner_optimizer_bytes(config), left = ner_os_memory_free();
  const uint64_t vocabulary = (uint64_t)config->model.vocab_size * (uint64_t)config->model.hidden;
  uint64_t written; /* the finished model, before it is a file */
  written = ((uint64_t)t->base->parameters + t->ex.n_labels * (uint64_t)config->model.hidden) * 4;
  if( t->options.precision == NER_PRECISION_INT8 )
    written = vocabulary + (written - vocabulary * 4) / 4;
  t->memory_bytes = ner_network_bytes(config, capacity_tok) + moments + written;
  if( t->has_valid ) t->memory_bytes += moments / 2;
  if( t->options.extend )
    t->memory_bytes += ((uint64_t)t->ex.n_tok + (uint64_t)capacity_tok) * t->ex.n_labels * 4;
  if( t->memory_bytes <= left ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "ner_train(): %llu MB of memory are needed and %llu MB are free; lower "
                  "batch_tokens (%d now) or raise freeze (%d of %d layers now)",
                  (unsigned long long)(t->memory_bytes / 1000000 + 1),
                  (unsigned long long)(left / 1000000), t->options.batch_tokens, t->options.freeze,
                  t->base->config.layers);
}

/* ---- parameters ---- */

/* Normally distributed, of a place's own. */
static float open_normal(uint64_t key, uint64_t at) {
  const double u = ((double)(ner_train_mix(key + 2 * at) >> 11) + 1) / 9007199254740993.0;
  const double v = (double)(ner_train_mix(key + 2 * at + 1) >> 11) / 9007199254740992.0;
  return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

/* Rows of labels that the base knows, and new ones. */
static int open_classifier(struct ner_trainer *t, struct ner_err *err) {
  const struct ner_params_linear *to = &t->net->layout.classifier;
  const struct ner_linear *from = &t->base->weights.classifier;
  const size_t hidden = (size_t)t->base->config.hidden;
  const uint64_t key = ner_train_mix(t->options.seed ^ 0x636C617373u);
  float *rows = NULL;
  if( from->packed ) {
    rows = ner_alloc((size_t)from->n_out * hidden, sizeof *rows);
    if( !rows ) return ner_fail_nomem(err);
    ner_linear_widen(from, rows);
  }
  for( size_t i = 0; i < t->ex.n_labels; i++ ) {
    float *row = t->net->value + to->weight + i * hidden;
    const int32_t base = t->ex.base_label[i];
    for( size_t k = 0; k < hidden; k++ )
      row[k] = base >= 0 ? rows[(size_t)base * hidden + k]
                         : (float)OPEN_INIT_RANGE * open_normal(key, i * hidden + k);
    t->net->value[to->bias + i] = base >= 0 && from->bias ? from->bias[base] : 0;
  }
  NER_FREE(rows);
  return NER_OK;
}

/* ---- what a checkpoint belongs to ---- */

static void open_fingerprint(struct ner_trainer *t) {
  const struct ner_train_options *o = &t->options;
  const double numbers[] = {o->epochs,       o->learning_rate,     o->batch_tokens, o->warmup,
                            o->weight_decay, o->dropout,           o->freeze,       o->patience,
                            o->extend,       (double)t->ex.max_tok};
  uint64_t hash = ner_hash(o->seed, numbers, sizeof numbers);
  hash = ner_hash(hash, t->net->value, t->net->layout.n * sizeof *t->net->value);
  hash = ner_hash(hash, t->ex.id, t->ex.n_tok * sizeof *t->ex.id);
  hash = ner_hash(hash, t->ex.target, t->ex.n_tok * sizeof *t->ex.target);
  for( size_t i = 0; i < t->ex.n_labels; i++ )
    hash = ner_hash(hash, t->ex.label[i], strlen(t->ex.label[i]) + 1);
  for( size_t e = 0; e < t->ex.n_examples; e++ )
    hash = ner_hash(hash, &t->ex.example[e].valid, sizeof t->ex.example[e].valid);
  t->fingerprint = hash;
}

/* ---- the whole ---- */

static int open_memory(struct ner_trainer *t, const struct ner_cancel *cancel,
                       struct ner_err *err) {
  struct ner_params_config config;
  const int32_t capacity = open_capacity(t);
  int rc;
  open_config(t, &config);
  if( (rc = open_check_memory(t, &config, capacity, err)) ||
      (rc = ner_train_check_target(
           t->target, (uint64_t)t->base->parameters * 4 + ner_optimizer_bytes(&config) * 2, err)) ||
      (rc = ner_network_new(&config, capacity, &t->net, err)) ||
      (rc = ner_optimizer_new(t->net, &t->optimizer, err)) )
    return rc;
  t->seq_begin = ner_alloc((size_t)capacity + 1, sizeof *t->seq_begin);
  t->batch_word = ner_alloc((size_t)capacity, sizeof *t->batch_word);
  t->batch_target = ner_alloc((size_t)capacity, sizeof *t->batch_target);
  if( t->options.extend ) {
    t->soft = ner_calloc(t->ex.n_tok, t->ex.n_labels * sizeof *t->soft);
    t->batch_soft = ner_calloc((size_t)capacity, t->ex.n_labels * sizeof *t->batch_soft);
    if( !t->soft || !t->batch_soft ) return ner_fail_nomem(err);
  }
  t->predicted = ner_alloc(t->ex.n_tok, sizeof *t->predicted);
  t->order = ner_alloc(t->ex.n_sequences, sizeof *t->order);
  if( t->has_valid ) {
    const size_t first = t->net->layout.first_trained;
    t->best = ner_aligned_alloc(t->net->layout.n - first, sizeof *t->best);
    if( t->best ) t->best -= first;
  }
  if( !t->seq_begin || !t->batch_word || !t->batch_target || !t->predicted || !t->order ||
      (t->has_valid && !t->best) )
    return ner_fail_nomem(err);
  if( !ner_params_load(t->base, &config, &t->net->layout, t->word, t->net->value, cancel) )
    return ner_fail_interrupted(err);
  return open_classifier(t, err);
}

static void open_look_at_valid(struct ner_trainer *t) {
  for( size_t e = 0; e < t->ex.n_examples; e++ ) {
    const struct ner_train_example *example = &t->ex.example[e];
    if( !example->valid ) continue;
    t->has_valid = true;
    for( size_t s = example->first; s < example->first + example->n; s++ )
      for( int32_t i = 0; i < t->ex.sequence[s].n_tok; i++ ) {
        const int32_t target = t->ex.target[t->ex.sequence[s].begin + (size_t)i];
        t->valid_has_entities |= target >= 0 && t->type_of[target] >= 0;
      }
  }
}

static int open_all(struct ner_trainer *t, const struct ner_cancel *cancel, struct ner_err *err) {
  bool resumed = false;
  int rc;
  if( (rc = ner_examples_finish(&t->ex, t->options.extend, t->options.valid_share, t->options.seed,
                                err)) ||
      (rc = ner_trainer_scores_new(t, err)) || (rc = open_words(t, err)) )
    return rc;
  open_look_at_valid(t);
  if( (rc = open_memory(t, cancel, err)) || (rc = ner_network_pack(t->net, cancel, err)) )
    return rc;
  open_fingerprint(t);
  if( t->options.extend ) {
    if( (rc = ner_trainer_label_by_base(t, cancel, err)) ) return rc;
    open_look_at_valid(t);
  }
  t->done.decayed = t->done.best_decayed = 1;
  if( t->options.resume ) {
    if( (rc = ner_trainer_load(t, cancel, &resumed, err)) ) return rc;
    if( resumed && (rc = ner_network_pack(t->net, cancel, err)) ) return rc;
  }
  return NER_OK;
}

int ner_trainer_open(struct ner_model *base, struct ner_examples *examples,
                     const struct ner_train_options *options, const char *target,
                     const struct ner_cancel *cancel, struct ner_trainer **out,
                     struct ner_err *err) {
  struct ner_trainer *t;
  size_t n = strlen(target) + 16;
  int rc = open_check_base(base, options, err);
  *out = NULL;
  if( rc ) return rc;
  t = ner_calloc(1, sizeof *t);
  if( !t ) return ner_fail_nomem(err);
  t->base = ner_model_ref(base);
  t->options = *options;
  t->target = ner_strndup(target, strlen(target));
  t->checkpoint = ner_alloc(n, 1);
  if( !t->target || !t->checkpoint ) {
    ner_trainer_close(t);
    return ner_fail_nomem(err);
  }
  snprintf(t->checkpoint, n, "%s.checkpoint", target);
  t->ex = *examples;
  rc = open_all(t, cancel, err);
  if( rc ) {
    *examples = t->ex; /* the caller's still */
    t->ex = (struct ner_examples){0};
    ner_trainer_close(t);
    return rc;
  }
  *examples = (struct ner_examples){0};
  *out = t;
  return NER_OK;
}

void ner_trainer_close(struct ner_trainer *t) {
  if( !t ) return;
  if( t->best && t->net ) ner_aligned_free(t->best + t->net->layout.first_trained);
  ner_optimizer_free(t->optimizer);
  ner_network_free(t->net);
  ner_model_unref(t->written);
  ner_model_unref(t->base);
  ner_examples_free(&t->ex);
  NER_FREE(t->target);
  NER_FREE(t->checkpoint);
  NER_FREE(t->row_of);
  NER_FREE(t->word);
  NER_FREE(t->order);
  NER_FREE(t->seq_begin);
  NER_FREE(t->batch_word);
  NER_FREE(t->batch_target);
  NER_FREE(t->predicted);
  NER_FREE(t->soft);
  NER_FREE(t->batch_soft);
  NER_FREE(t->score);
  NER_FREE(t->type_of);
  NER_FREE(t->note);
  NER_FREE(t);
}
