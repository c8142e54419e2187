/*
** trainer_valid.c - predictions over the examples: scores by entity, and the base's own labels; see
** trainer_state.h.
**
** Entities are counted as seqeval's default mode and conlleval count them: an I- goes on with the
** label before it if that has its type, and begins an entity otherwise.
*/
#include "train/trainer_state.h"

#include <math.h>
#include <string.h>
#include "engine/encoder.h"
#include "engine/spans.h"

/* ---- scores ---- */

double ner_train_precision(const struct ner_train_score *s) {
  return s->found > 0 ? (double)s->correct / (double)s->found : 0;
}
double ner_train_recall(const struct ner_train_score *s) {
  return s->gold > 0 ? (double)s->correct / (double)s->gold : 0;
}
double ner_train_f1(const struct ner_train_score *s) {
  return s->gold + s->found > 0 ? 2 * (double)s->correct / (double)(s->gold + s->found) : 0;
}

/* What a label's entities are called. */
static const char *valid_type(const char *label) {
  const char *dash = strchr(label, '-');
  return dash ? dash + 1 : label;
}

int ner_trainer_scores_new(struct ner_trainer *t, struct ner_err *err) {
  const struct ner_examples *ex = &t->ex;
  t->type_of = ner_calloc(ex->n_labels, sizeof *t->type_of);
  t->score = ner_calloc(ex->n_labels + 1, sizeof *t->score);
  if( !t->type_of || !t->score ) return ner_fail_nomem(err);
  for( size_t i = 0; i < ex->n_labels; i++ ) {
    const char *type = valid_type(ex->label[i]);
    size_t k = 0;
    t->type_of[i] = -1;
    if( strcmp(type, "O") == 0 ) continue;
    while( k < t->n_types && strcmp(t->score[k].type, type) != 0 ) k++;
    if( k == t->n_types ) t->score[t->n_types++].type = type;
    t->type_of[i] = (int32_t)k;
  }
  return NER_OK;
}

struct valid_entity {
  int32_t type; /* -1: none is open */
  int64_t begin;
};

/* Does label end the open entity, and does it begin one? */
static bool valid_continues(const struct ner_trainer *t, const struct valid_entity *open,
                            int32_t label) {
  const char *name = label >= 0 ? t->ex.label[label] : "";
  return label >= 0 && open->type >= 0 && t->type_of[label] == open->type &&
         !(name[0] == 'B' && name[1] == '-');
}

/* One word further; label -1: the text's end. */
static void valid_word(struct ner_trainer *t, struct valid_entity *gold, struct valid_entity *found,
                       int32_t gold_label, int32_t found_label, int64_t at) {
  struct ner_train_score *all = &t->score[t->n_types];
  const bool gold_ends = gold->type >= 0 && !valid_continues(t, gold, gold_label);
  const bool found_ends = found->type >= 0 && !valid_continues(t, found, found_label);
  if( gold_ends && found_ends && gold->type == found->type && gold->begin == found->begin ) {
    t->score[gold->type].correct++;
    all->correct++;
  }
  if( gold_ends ) gold->type = -1;
  if( found_ends ) found->type = -1;
  if( gold->type < 0 && gold_label >= 0 && t->type_of[gold_label] >= 0 ) {
    *gold = (struct valid_entity){t->type_of[gold_label], at};
    t->score[gold->type].gold++;
    all->gold++;
  }
  if( found->type < 0 && found_label >= 0 && t->type_of[found_label] >= 0 ) {
    *found = (struct valid_entity){t->type_of[found_label], at};
    t->score[found->type].found++;
    all->found++;
  }
}

static void valid_count(struct ner_trainer *t) {
  const struct ner_examples *ex = &t->ex;
  for( size_t k = 0; k <= t->n_types; k++ )
    t->score[k].gold = t->score[k].found = t->score[k].correct = 0;
  for( size_t e = 0; e < ex->n_examples; e++ ) {
    struct valid_entity gold = {-1, 0}, found = {-1, 0};
    int64_t at = 0;
    if( !ex->example[e].valid ) continue;
    for( size_t s = ex->example[e].first; s < ex->example[e].first + ex->example[e].n; s++ ) {
      const size_t begin = ex->sequence[s].begin;
      for( size_t i = begin; i < begin + (size_t)ex->sequence[s].n_tok; i++ )
        if( ex->target[i] >= 0 ) valid_word(t, &gold, &found, ex->target[i], t->predicted[i], at++);
    }
    valid_word(t, &gold, &found, -1, -1, at);
  }
}

/* ---- predictions of the network ---- */

/* Sequences of the examples that are valid, or of all; *n of them, to be freed. */
static size_t *valid_sequences(const struct ner_trainer *t, bool all, size_t *n) {
  const struct ner_examples *ex = &t->ex;
  size_t *list = ner_alloc(ex->n_sequences, sizeof *list);
  *n = 0;
  if( !list ) return NULL;
  for( size_t e = 0; e < ex->n_examples; e++ )
    for( size_t s = 0; s < ex->example[e].n && (all || ex->example[e].valid); s++ )
      list[(*n)++] = ex->example[e].first + s;
  return list;
}

/* The probabilities of the base's labels. */
static void valid_soften(const struct ner_trainer *t, const float *logits, float top, float *soft) {
  double sum = 0;
  for( size_t k = 0; k < t->ex.n_labels; k++ ) {
    soft[k] = t->ex.base_label[k] >= 0 ? expf(logits[k] - top) : 0;
    sum += soft[k];
  }
  for( size_t k = 0; k < t->ex.n_labels; k++ ) soft[k] = (float)(soft[k] / sum);
}

/* The likeliest label of each token that counts; only_base: among the base's, and t->soft. */
static int valid_predict(struct ner_trainer *t, bool all, bool only_base, double *loss,
                         const struct ner_cancel *cancel, struct ner_err *err) {
  const struct ner_dropout none = {0};
  const struct ner_examples *ex = &t->ex;
  const size_t n_labels = ex->n_labels;
  size_t n, at = 0, n_targets = 0;
  size_t *list = valid_sequences(t, all, &n);
  int rc = list ? NER_OK : ner_fail_nomem(err);
  *loss = 0;
  while( rc == NER_OK && at < n ) {
    const size_t first = at;
    struct ner_train_batch batch = ner_trainer_batch(t, list, n, &at);
    if( only_base ) batch.soft = NULL; /* this is where it is made */
    rc = ner_network_forward(t->net, &batch, &none, cancel, err);
    if( rc ) break;
    *loss += t->net->loss * t->net->n_targets;
    n_targets += (size_t)t->net->n_targets;
    for( size_t s = first; s < at; s++ ) {
      const struct ner_train_sequence *sequence = &ex->sequence[list[s]];
      const float *logits = t->net->logits + (size_t)batch.seq_begin[s - first] * n_labels;
      for( int32_t i = 0; i < sequence->n_tok; i++, logits += n_labels ) {
        int32_t best = -1;
        for( size_t k = 0; k < n_labels; k++ )
          if( (!only_base || ex->base_label[k] >= 0) && (best < 0 || logits[k] > logits[best]) )
            best = (int32_t)k;
        t->predicted[sequence->begin + (size_t)i] = best;
        if( only_base )
          valid_soften(t, logits, logits[best],
                       t->soft + (sequence->begin + (size_t)i) * n_labels);
      }
    }
  }
  if( n_targets > 0 ) *loss /= (double)n_targets;
  NER_FREE(list);
  return rc;
}

int ner_trainer_validate(struct ner_trainer *t, const struct ner_cancel *cancel,
                         struct ner_err *err) {
  int rc = valid_predict(t, false, false, &t->valid_loss, cancel, err);
  if( rc == NER_OK ) valid_count(t);
  return rc;
}

/* ---- the base's labels ---- */

/* The label of the same type that begins an entity. */
static int32_t valid_beginning(const struct ner_trainer *t, int32_t label) {
  for( size_t k = 0; k < t->ex.n_labels; k++ )
    if( t->type_of[k] == t->type_of[label] && t->ex.label[k][0] == 'B' && t->ex.label[k][1] == '-' )
      return (int32_t)k;
  return label;
}

int ner_trainer_label_by_base(struct ner_trainer *t, const struct ner_cancel *cancel,
                              struct ner_err *err) {
  struct ner_examples *ex = &t->ex;
  double loss;
  int rc = valid_predict(t, true, true, &loss, cancel, err);
  for( size_t e = 0; rc == NER_OK && e < ex->n_examples; e++ ) {
    int32_t last = -1;
    bool by_base = false;
    for( size_t s = ex->example[e].first; s < ex->example[e].first + ex->example[e].n; s++ ) {
      const size_t begin = ex->sequence[s].begin;
      for( size_t i = begin; i < begin + (size_t)ex->sequence[s].n_tok; i++ ) {
        int32_t *label = &ex->target[i];
        if( *label < 0 ) continue;
        if( t->type_of[*label] >= 0 ) {
          by_base = false;
        } else {
          *label = t->predicted[i];
          /* Behind the user's entity the rest of the base's one begins anew. */
          if( t->type_of[*label] >= 0 && ex->label[*label][0] == 'I' && last >= 0 && !by_base &&
              t->type_of[last] >= 0 )
            *label = valid_beginning(t, *label);
          by_base = true;
        }
        last = *label;
        if( !by_base || *label != t->predicted[i] )
          for( size_t k = 0; k < ex->n_labels; k++ )
            t->soft[i * ex->n_labels + k] = (int32_t)k == *label;
      }
    }
  }
  return rc;
}

/* ---- predictions of the written model ---- */

struct valid_run {
  struct ner_trainer *t;
  const size_t *list;
  struct ner_session **session; /* [n_slots] */
  float **logits;
  atomic_bool failed;
};

static void valid_encode_job(void *arg, int job, int rank) {
  struct valid_run *run = arg;
  const struct ner_examples *ex = &run->t->ex;
  const struct ner_train_sequence *s = &ex->sequence[run->list[job]];
  const int32_t seq_begin[2] = {0, s->n_tok};
  const int32_t n_labels = (int32_t)ex->n_labels;
  if( !run->session[rank] ) {
    struct ner_err err = {0};
    run->logits[rank] = ner_alloc((size_t)ex->max_tok * ex->n_labels, sizeof(float));
    if( !run->logits[rank] || ner_session_acquire(run->t->written, &run->session[rank], &err) ) {
      atomic_store(&run->failed, true);
      return;
    }
  }
  ner_encode(run->session[rank], ex->id + s->begin, seq_begin, 1, run->logits[rank], NULL, 0, NULL);
  for( int32_t i = 0; i < s->n_tok; i++ )
    run->t->predicted[s->begin + (size_t)i] =
        ner_argmax(run->logits[rank] + (size_t)i * ex->n_labels, n_labels);
}

int ner_trainer_validate_written(struct ner_trainer *t, const struct ner_cancel *cancel,
                                 struct ner_err *err) {
  const int slots = ner_pool_threads(0);
  struct valid_run run = {.t = t};
  size_t n;
  size_t *list = valid_sequences(t, false, &n);
  int rc = NER_OK;
  run.list = list;
  run.session = ner_calloc((size_t)slots, sizeof *run.session);
  run.logits = ner_calloc((size_t)slots, sizeof *run.logits);
  if( !list || !run.session || !run.logits ) rc = ner_fail_nomem(err);
  if( rc == NER_OK && ner_pool_run(slots, (int)n, valid_encode_job, &run, cancel) )
    rc = ner_fail_interrupted(err);
  if( rc == NER_OK && atomic_load(&run.failed) ) rc = ner_fail_nomem(err);
  for( int i = 0; i < slots; i++ ) {
    if( run.session ) ner_session_release(run.session[i]);
    if( run.logits ) NER_FREE(run.logits[i]);
  }
  NER_FREE(run.session);
  NER_FREE(run.logits);
  NER_FREE(list);
  if( rc == NER_OK ) valid_count(t);
  return rc;
}
