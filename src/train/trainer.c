/*
** trainer.c - epochs and steps, and what is said about them; see trainer.h.
**
** An epoch takes the training sequences in an order that the seed and its number decide, and fills
** batches with them one after another. Its learning rate rises over the warm-up's steps and then
** falls to zero in a straight line over all steps, as the reference's does. After it the network is
** scored on the validation examples; the parameters of the best epoch are kept: those with the best
** F1, or, where nothing is to be found, with the smallest loss.
*/
#include "train/trainer_state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "train/random.h"

#define TRAINER_ROW_S 1.0 /* a row of progress this often */

/* ---- batches ---- */

struct ner_train_batch ner_trainer_batch(struct ner_trainer *t, const size_t *order, size_t n,
                                         size_t *at) {
  struct ner_train_batch batch = {.seq_begin = t->seq_begin,
                                  .word = t->batch_word,
                                  .target = t->batch_target,
                                  .soft = t->batch_soft};
  t->seq_begin[0] = 0;
  for( ; *at < n; ++*at ) {
    const struct ner_train_sequence *s = &t->ex.sequence[order[*at]];
    if( batch.n_seq > 0 && batch.n_tok + s->n_tok > t->options.batch_tokens ) break;
    for( int32_t i = 0; i < s->n_tok; i++ ) {
      t->batch_word[batch.n_tok + i] = t->row_of[t->ex.id[s->begin + (size_t)i]];
      t->batch_target[batch.n_tok + i] = t->ex.target[s->begin + (size_t)i];
    }
    if( t->soft )
      memcpy(t->batch_soft + (size_t)batch.n_tok * t->ex.n_labels,
             t->soft + s->begin * t->ex.n_labels,
             (size_t)s->n_tok * t->ex.n_labels * sizeof *t->soft);
    batch.n_tok += s->n_tok;
    t->seq_begin[++batch.n_seq] = batch.n_tok;
  }
  return batch;
}

/* The order of an epoch (0 is the first), and its number of batches. */
static int64_t trainer_plan(struct ner_trainer *t, int32_t epoch) {
  const uint64_t key = ner_train_mix(ner_train_mix(t->options.seed) + (uint64_t)epoch);
  int64_t batches = 0, n_tok = 0;
  t->n_train = t->at = 0;
  for( size_t e = 0; e < t->ex.n_examples; e++ )
    for( size_t s = 0; s < t->ex.example[e].n && !t->ex.example[e].valid; s++ )
      t->order[t->n_train++] = t->ex.example[e].first + s;
  for( size_t i = t->n_train; i-- > 1; ) {
    const size_t j = (size_t)(ner_train_mix(key + i) % (i + 1)), swap = t->order[i];
    t->order[i] = t->order[j];
    t->order[j] = swap;
  }
  for( size_t i = 0; i < t->n_train; i++ ) {
    const int32_t n = t->ex.sequence[t->order[i]].n_tok;
    if( n_tok == 0 || n_tok + n > t->options.batch_tokens ) batches++, n_tok = 0;
    n_tok += n;
  }
  return batches;
}

static double trainer_rate(const struct ner_trainer *t, int64_t step) {
  const double warm = ceil(t->options.warmup * (double)t->steps), at = (double)step;
  const double rate = at < warm ? at / warm : ((double)t->steps - at) / ((double)t->steps - warm);
  return t->options.learning_rate * (rate > 0 ? rate : 0);
}

static int trainer_step(struct ner_trainer *t, const struct ner_cancel *cancel,
                        struct ner_err *err) {
  const struct ner_dropout dropout = {
      .rate = (float)t->options.dropout,
      .key = ner_train_mix(ner_train_mix(t->options.seed ^ 0x64726F70u) + (uint64_t)t->done.step)};
  const double began = ner_seconds();
  struct ner_train_batch batch = ner_trainer_batch(t, t->order, t->n_train, &t->at);
  int rc = ner_network_forward(t->net, &batch, &dropout, cancel, err);
  if( rc == NER_OK && !isfinite(t->net->loss) )
    rc = ner_fail(err, NER_ERROR,
                  "ner_train(): the loss of step %lld is not a number; use a smaller learning_rate",
                  (long long)t->done.step + 1);
  if( rc == NER_OK ) rc = ner_network_backward(t->net, &batch, &dropout, cancel, err);
  if( rc == NER_OK )
    rc = ner_optimizer_step(t->optimizer, trainer_rate(t, t->done.step), t->options.weight_decay,
                            cancel, err);
  if( rc ) return rc;
  t->done.step++;
  t->loss_sum += t->net->loss;
  t->loss_n++;
  t->trained_tok += batch.n_tok;
  t->trained_s += ner_seconds() - began;
  return NER_OK;
}

/* ---- rows ---- */

static void trainer_fill(struct ner_trainer *t, struct ner_train_row *row) {
  const double now = ner_seconds(), spent = now - t->began_s;
  const int64_t steps = t->done.step - t->began_step;
  row->epoch = t->done.epoch + (t->planned ? 1 : 0);
  row->step = t->done.step;
  row->steps = t->steps;
  row->loss = t->loss_n > 0 ? t->loss_sum / (double)t->loss_n : NAN;
  row->tokens_per_second = t->trained_s > 0 ? (double)t->trained_tok / t->trained_s : NAN;
  row->eta_s = steps > 0 ? spent / (double)steps * (double)(t->steps - t->done.step) : NAN;
  row->note = t->note;
  t->row_s = now;
  t->loss_sum = 0;
  t->loss_n = 0;
}

/* t->note = what printf makes of the arguments and the examples' note. */
static int trainer_first_note(struct ner_trainer *t, struct ner_err *err) {
  char *odd = ner_examples_note(&t->ex), *note;
  size_t n_valid = 0, size;
  int n;
  if( !odd ) return ner_fail_nomem(err);
  for( size_t e = 0; e < t->ex.n_examples; e++ ) n_valid += t->ex.example[e].valid;
  size = strlen(odd) + strlen(t->checkpoint) + 700;
  note = t->note = ner_alloc(size, 1);
  if( !note ) {
    NER_FREE(odd);
    return ner_fail_nomem(err);
  }
  n = snprintf(note, size,
               "%zu texts to train on, %zu to validate on, %zu labels; learning rate %.2g; "
               "memory: %llu MB",
               t->ex.n_examples - t->ex.n_rehearsal - n_valid, n_valid, t->ex.n_labels,
               t->options.learning_rate, (unsigned long long)(t->memory_bytes / 1000000 + 1));
  if( t->ex.n_rehearsal > 0 )
    n += snprintf(note + n, size - (size_t)n,
                  "; %zu texts of random words rehearse what the base knows", t->ex.n_rehearsal);
  if( t->base->precision == NER_PRECISION_INT8 )
    n += snprintf(note + n, size - (size_t)n,
                  "; the base's int8 weights are widened, which keeps "
                  "their rounding");
  if( t->done.epoch > 0 )
    n += snprintf(note + n, size - (size_t)n, "; goes on after epoch %d", t->done.epoch);
  else if( t->options.resume )
    n += snprintf(note + n, size - (size_t)n, "; no checkpoint to go on from: from the beginning");
  else if( ner_file_kind(t->checkpoint) != NER_FILE_MISSING )
    n += snprintf(note + n, size - (size_t)n,
                  "; %s is left from another run and will be replaced; with \"resume\":true this "
                  "run would go on from it",
                  t->checkpoint);
  if( !t->has_valid )
    n += snprintf(note + n, size - (size_t)n, "; nothing to validate on: the last epoch is kept");
  else if( !t->valid_has_entities )
    n += snprintf(note + n, size - (size_t)n,
                  "; no entities to validate on: the epoch with the smallest loss is kept");
  if( *odd ) snprintf(note + n, size - (size_t)n, "; %s", odd);
  NER_FREE(odd);
  return NER_OK;
}

/* The learning rate of options that name none: 5e-5, the references', from 2,000 steps on, and more
** for fewer steps, which would else end before the new labels are learnt: at most eight times as
** much, and less for wide models, which diverge sooner. */
static double trainer_default_rate(const struct ner_trainer *t) {
  const double most = 8 * 384.0 / t->base->config.hidden;
  const double more = fmin(most, sqrt(2000.0 / (double)(t->steps + 1)));
  return 5e-5 * fmax(1, more);
}

static int trainer_start(struct ner_trainer *t, struct ner_train_row *row, struct ner_err *err) {
  int rc;
  for( int32_t e = 0; e < t->options.epochs; e++ ) t->steps += trainer_plan(t, e);
  if( t->options.learning_rate == 0 ) t->options.learning_rate = trainer_default_rate(t);
  t->started = true;
  t->began_s = ner_seconds();
  t->began_step = t->done.step;
  if( (rc = trainer_first_note(t, err)) ) return rc;
  trainer_fill(t, row);
  return NER_OK;
}

/* ---- epochs ---- */

static bool trainer_is_better(const struct ner_trainer *t, double f1) {
  if( t->done.best_epoch == 0 ) return true;
  if( t->valid_has_entities && f1 != t->done.best_f1 ) return f1 > t->done.best_f1;
  return t->valid_loss < t->done.best_loss;
}

static int trainer_end_epoch(struct ner_trainer *t, struct ner_train_row *row,
                             const struct ner_cancel *cancel, struct ner_err *err) {
  const size_t first = t->net->layout.first_trained;
  int rc;
  t->done.best_is_now = 0;
  if( t->has_valid ) {
    double f1;
    if( (rc = ner_trainer_validate(t, cancel, err)) ) return rc;
    f1 = ner_train_f1(&t->score[t->n_types]);
    t->done.since_best++;
    if( trainer_is_better(t, f1) ) {
      memcpy(t->best + first, t->net->value + first, (t->net->layout.n - first) * sizeof *t->best);
      t->done.best_epoch = t->done.epoch + 1;
      t->done.best_f1 = f1;
      t->done.best_loss = t->valid_loss;
      t->done.best_decayed = t->optimizer->decayed;
      t->done.best_is_now = 1;
      t->done.since_best = 0;
    }
    row->has_scores = true;
    row->score = t->score[t->n_types];
  }
  trainer_fill(t, row);
  t->done.epoch++;
  t->planned = false;
  t->done.decayed = t->optimizer->decayed;
  if( !t->has_valid ) t->done.best_epoch = t->done.epoch;
  t->ended = t->done.epoch == t->options.epochs ||
             (t->options.patience > 0 && t->done.since_best >= t->options.patience);
  return t->ended ? NER_OK : ner_trainer_save(t, cancel, err);
}

static int trainer_finish(struct ner_trainer *t, struct ner_train_row *row,
                          const struct ner_cancel *cancel, struct ner_err *err) {
  int rc = ner_trainer_write(t, cancel, err);
  if( rc == NER_OK && t->has_valid ) rc = ner_trainer_validate_written(t, cancel, err);
  if( rc ) return rc;
  trainer_fill(t, row);
  row->epoch = t->done.best_epoch;
  row->has_scores = t->has_valid;
  row->score = t->score[t->n_types];
  row->eta_s = 0;
  row->is_last = true;
  return NER_OK;
}

int ner_trainer_next(struct ner_trainer *t, struct ner_train_row *row,
                     const struct ner_cancel *cancel, struct ner_err *err) {
  *row = (struct ner_train_row){.loss = NAN};
  NER_FREE(t->note);
  t->note = NULL;
  if( !t->started ) return trainer_start(t, row, err);
  if( t->done.epoch >= t->options.epochs ) t->ended = true; /* resumed at the very end */
  while( !t->ended ) {
    int rc;
    if( !t->planned ) trainer_plan(t, t->done.epoch);
    t->planned = true;
    if( t->at >= t->n_train ) return trainer_end_epoch(t, row, cancel, err);
    if( (rc = trainer_step(t, cancel, err)) ) return rc;
    if( t->at < t->n_train && ner_seconds() - t->row_s >= TRAINER_ROW_S ) {
      trainer_fill(t, row);
      return NER_OK;
    }
  }
  return trainer_finish(t, row, cancel, err);
}

void ner_trainer_result(const struct ner_trainer *t, struct ner_train_result *out) {
  *out = (struct ner_train_result){.target = t->target};
  if( !t->written ) return;
  out->precision = t->written->precision;
  out->n_bytes = t->written->n_bytes;
  out->epoch = t->done.best_epoch;
  out->labels_json = t->written->labels_json;
  out->score = t->score;
  out->n_scores = t->has_valid ? t->n_types : 0;
}
