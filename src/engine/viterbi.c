/*
** viterbi.c - the likeliest sequence of labels; see engine/viterbi.h.
**
** Viterbi's way. With p[i][l] the probability of label l at unit i, the best path
** that ends there in l has the score
**
**     score[0][l] = p[0][l]                                    where l may begin
**     score[i][l] = p[i][l] * max over k of score[i-1][k]      where l may follow k
**
** and back[i][l] is that k. The maximum is over all k, or for a bound l over the
** labels of its tag: one pass over a unit's labels finds them all.
*/
#include "engine/viterbi.h"

#include <string.h>

/* Every score gets this much, so that what the rule or an underflowing softmax made
** impossible is merely last. Far below what a float32 softmax tells apart. */
#define LEAST 1e-30

struct path {
  const struct ner_model *model;
  bool *bound;          /* [n_labels] only goes on with its tag */
  double *score, *next; /* [n_labels] of the best path that ends in the label */
  int32_t *best_of_tag; /* [n_labels] by tag: which of its labels has the best score */
  int32_t *back;        /* [n, n_labels] */
};

static bool is_bound(const struct ner_model *model, int32_t label) {
  const struct ner_label *l = &model->label[label];
  if( l->tag == l->name || l->prefix != 'I' ) return false; /* no prefix, or B- */
  for( int32_t i = 0; i < model->config.n_labels; i++ )
    if( model->label[i].prefix == 'B' && model->label[i].tag_id == l->tag_id ) return true;
  return false;
}

static int32_t best_of(const double *score, int32_t n) {
  int32_t best = 0;
  for( int32_t i = 1; i < n; i++ )
    if( score[i] > score[best] ) best = i;
  return best;
}

static void begin(struct path *path, const float *probs /* [n_labels] */) {
  for( int32_t i = 0; i < path->model->config.n_labels; i++ ) {
    path->bound[i] = is_bound(path->model, i);
    path->score[i] = (path->bound[i] ? 0 : (double)probs[i]) + LEAST;
  }
}

static void step(struct path *path, const float *probs /* [n_labels] */,
                 int32_t *back /* [n_labels] */) {
  const struct ner_label *label = path->model->label;
  int32_t n = path->model->config.n_labels, best = best_of(path->score, n);
  double *score = path->score, scale = score[best]; /* 1 from here: no text is too long */
  for( int32_t i = 0; i < n; i++ ) path->best_of_tag[i] = -1;
  for( int32_t i = 0; i < n; i++ ) {
    int32_t *of_tag = &path->best_of_tag[label[i].tag_id];
    if( *of_tag < 0 || score[i] > score[*of_tag] ) *of_tag = i;
  }
  for( int32_t i = 0; i < n; i++ ) {
    back[i] = path->bound[i] ? path->best_of_tag[label[i].tag_id] : best;
    path->next[i] = score[back[i]] / scale * (double)probs[i] + LEAST;
  }
  path->score = path->next;
  path->next = score;
}

int ner_viterbi(const struct ner_model *model, const float *const *probs, size_t n, int32_t *label,
                struct ner_err *err) {
  size_t n_labels = (size_t)model->config.n_labels;
  double *scores = ner_alloc(n_labels, 2 * sizeof *scores);
  struct path path = {
      .model = model,
      .bound = ner_alloc(n_labels, sizeof *path.bound),
      .score = scores,
      .best_of_tag = ner_alloc(n_labels, sizeof *path.best_of_tag),
      .back = ner_alloc(n, n_labels * sizeof *path.back),
  };
  int code = NER_OK;
  if( !scores || !path.bound || !path.best_of_tag || (!path.back && n > 0) ) {
    code = ner_fail_nomem(err);
  } else if( n > 0 ) {
    path.next = scores + n_labels;
    begin(&path, probs[0]);
    for( size_t i = 1; i < n; i++ ) step(&path, probs[i], path.back + i * n_labels);
    label[n - 1] = best_of(path.score, model->config.n_labels);
    for( size_t i = n - 1; i > 0; i-- ) label[i - 1] = path.back[i * n_labels + (size_t)label[i]];
  }
  NER_FREE(scores);
  NER_FREE(path.bound);
  NER_FREE(path.best_of_tag);
  NER_FREE(path.back);
  return code;
}
