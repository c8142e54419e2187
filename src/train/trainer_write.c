/*
** trainer_write.c - the trained model and the checkpoints as files; see trainer_state.h.
**
** A checkpoint is a safetensors file: `state` (struct ner_train_progress and a fingerprint, as
** bytes of this machine), `value`, `mean` and `square` of the trained parameters, and `best`,
** unless those are the best. It replaces the one before in one step.
*/
#include "train/trainer_state.h"

#include <string.h>
#include "base/file.h"
#include "model/dense.h"

/* ---- the model ---- */

/* The parameters to write: those of the best epoch, if there was one to choose. */
static const float *write_at(const struct ner_trainer *t, size_t at) {
  return t->best && at >= t->net->layout.first_trained ? t->best + at : t->net->value + at;
}

static void write_word(void *arg, int32_t row, float *out) {
  const struct ner_trainer *t = arg;
  const size_t hidden = (size_t)t->base->config.hidden;
  const float left = (float)(t->best ? t->done.best_decayed : t->optimizer->decayed);
  if( t->row_of[row] >= 0 ) {
    memcpy(out, write_at(t, t->net->layout.word + (size_t)t->row_of[row] * hidden),
           hidden * sizeof *out);
    return;
  }
  ner_embedding_widen(&t->base->weights.word, row, out);
  for( size_t k = 0; k < hidden; k++ ) out[k] *= left;
}

static void write_layer(const struct ner_trainer *t, const struct ner_params_layer *from,
                        struct ner_dense_layer *to) {
  *to = (struct ner_dense_layer){
      .qkv = write_at(t, from->qkv.weight),
      .qkv_bias = write_at(t, from->qkv.bias),
      .out = write_at(t, from->out.weight),
      .out_bias = write_at(t, from->out.bias),
      .ffn1 = write_at(t, from->ffn1.weight),
      .ffn1_bias = write_at(t, from->ffn1.bias),
      .ffn2 = write_at(t, from->ffn2.weight),
      .ffn2_bias = write_at(t, from->ffn2.bias),
      .attn_gain = write_at(t, from->attn_gain),
      .attn_bias = write_at(t, from->attn_bias),
      .ffn_gain = write_at(t, from->ffn_gain),
      .ffn_bias = write_at(t, from->ffn_bias),
  };
}

int ner_trainer_write(struct ner_trainer *t, const struct ner_cancel *cancel, struct ner_err *err) {
  const struct ner_params_layout *layout = &t->net->layout;
  const struct ner_config *c = &t->base->config;
  const size_t hidden = (size_t)c->hidden, n_positions = (size_t)c->max_positions * hidden;
  enum ner_precision precision = t->options.precision;
  float *position = ner_alloc(n_positions, sizeof *position);
  struct ner_dense_layer *layer = ner_calloc((size_t)c->layers, sizeof *layer);
  struct ner_dense from = {
      .word = write_word,
      .arg = t,
      .position = position,
      .gain = write_at(t, layout->gain),
      .bias = write_at(t, layout->bias),
      .layer = layer,
      .classifier = write_at(t, layout->classifier.weight),
      .classifier_bias = write_at(t, layout->classifier.bias),
      .label = (const char *const *)t->ex.label,
      .n_labels = (int32_t)t->ex.n_labels,
  };
  int rc = position && layer ? NER_OK : ner_fail_nomem(err);
  if( precision == NER_PRECISION_FILE ) precision = t->base->precision;
  if( rc == NER_OK ) {
    const float *type = c->architecture == NER_BERT ? write_at(t, layout->type) : NULL;
    memcpy(position, write_at(t, layout->position), n_positions * sizeof *position);
    for( size_t i = 0; type && i < n_positions; i++ ) position[i] += type[i % hidden];
    for( int32_t i = 0; i < c->layers; i++ ) write_layer(t, &layout->layer[i], &layer[i]);
    rc = ner_model_from_dense(t->base, &from, precision, t->target, cancel, &t->written, err);
  }
  if( rc == NER_OK ) rc = ner_model_save(t->written, t->target, cancel, err);
  NER_FREE(position);
  NER_FREE(layer);
  if( rc == NER_OK ) ner_os_remove(t->checkpoint);
  return rc;
}

/* ---- checkpoints ---- */

struct write_state {
  uint64_t fingerprint;
  struct ner_train_progress done;
};

int ner_trainer_save(struct ner_trainer *t, const struct ner_cancel *cancel, struct ner_err *err) {
  static const char *const metadata[] = {"format", "sqlite-ner checkpoint", "version", "1", NULL};
  const size_t first = t->net->layout.first_trained, n = t->net->layout.n - first;
  struct write_state state;
  struct ner_tensor tensor[5] = {
      {.name = "state", .dtype = NER_DTYPE_U8, .shape = {sizeof state}, .data = (void *)&state},
      {.name = "value", .shape = {n}, .data = (const void *)(t->net->value + first)},
      {.name = "mean", .shape = {n}, .data = (const void *)(t->optimizer->mean + first)},
      {.name = "square", .shape = {n}, .data = (const void *)(t->optimizer->square + first)},
      {.name = "best", .shape = {n}, .data = t->best ? (const void *)(t->best + first) : NULL},
  };
  const size_t n_tensors = t->best && !t->done.best_is_now ? 5 : 4;
  int rc;
  memset(&state, 0, sizeof state); /* padding goes into the file */
  state.fingerprint = t->fingerprint;
  state.done = t->done;
  for( size_t i = 0; i < 5; i++ ) {
    tensor[i].rank = 1;
    tensor[i].n_bytes = tensor[i].shape[0] * ner_dtype_bytes(tensor[i].dtype);
  }
  rc = ner_safetensors_write(t->checkpoint, tensor, n_tensors, metadata, cancel, err);
  if( rc == NER_ERROR ) ner_fail_prefix(err, "ner_train(): the checkpoint cannot be written: ");
  return rc;
}

/* Reads a tensor of exactly n_bytes. */
static int write_read(struct ner_safetensors *file, const char *name, void *out, size_t n_bytes,
                      struct ner_err *err) {
  const struct ner_tensor *tensor = ner_safetensors_find(file, name);
  int rc;
  if( !tensor || tensor->n_bytes != n_bytes )
    return ner_fail(err, NER_ERROR,
                    "%s: is no checkpoint of this training; delete it, or leave resume out",
                    ner_safetensors_name(file));
  if( (rc = ner_safetensors_read(file, tensor, err)) ) return rc;
  memcpy(out, tensor->data, n_bytes);
  ner_safetensors_discard(file, tensor);
  return NER_OK;
}

int ner_trainer_load(struct ner_trainer *t, const struct ner_cancel *cancel, bool *found,
                     struct ner_err *err) {
  const size_t first = t->net->layout.first_trained, n = t->net->layout.n - first;
  const size_t n_bytes = n * sizeof(float);
  struct ner_safetensors *file;
  struct write_state state;
  int rc;
  *found = ner_file_kind(t->checkpoint) != NER_FILE_MISSING;
  if( !*found ) return NER_OK;
  if( (rc = ner_safetensors_open(t->checkpoint, &file, err)) ) return rc;
  ner_safetensors_set_cancel(file, cancel);
  rc = write_read(file, "state", &state, sizeof state, err);
  if( rc == NER_OK && state.fingerprint != t->fingerprint )
    rc = ner_fail(err, NER_ERROR,
                  "%s: belongs to a training with another base, other examples or other options; "
                  "delete it, or leave resume out",
                  t->checkpoint);
  if( rc == NER_OK ) rc = write_read(file, "value", t->net->value + first, n_bytes, err);
  if( rc == NER_OK ) rc = write_read(file, "mean", t->optimizer->mean + first, n_bytes, err);
  if( rc == NER_OK ) rc = write_read(file, "square", t->optimizer->square + first, n_bytes, err);
  if( rc == NER_OK && t->best ) {
    if( state.done.best_is_now )
      memcpy(t->best + first, t->net->value + first, n_bytes);
    else
      rc = write_read(file, "best", t->best + first, n_bytes, err);
  }
  if( rc == NER_OK ) rc = ner_safetensors_finalize(file, err);
  ner_safetensors_close(file);
  if( rc ) return rc;
  t->done = state.done;
  t->optimizer->step = state.done.step;
  t->optimizer->decayed = state.done.decayed;
  return NER_OK;
}
