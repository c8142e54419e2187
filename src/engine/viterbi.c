/*
** viterbi.c - the most likely sequence of labels; see engine/viterbi.h.
**
** With p[i][l] the probability of label l at unit i, the best sequence that ends there in l scores
**
**     score[0][l] = p[0][l]                                    where l may begin a text
**     score[i][l] = p[i][l] * max over k of score[i-1][k]      where l may follow k
**
** and back[i][l] is that k. A bound label (see struct ner_label) follows labels of its own type;
** any other label follows the labels that are not open. One pass over a unit's labels finds both
** maxima.
*/
#include "engine/viterbi.h"

#include <string.h>

/* Added to every score, so that what a rule or an underflowing softmax made impossible is merely
** last. Far below what a float32 softmax tells apart. */
#define VITERBI_LEAST 1e-30

struct viterbi {
  const struct ner_model *model;
  double *score, *next;  /* [n_labels] of the best sequence that ends in the label */
  int32_t *best_of_type; /* [n_labels] by type: its label with the best score that may go on */
  int32_t *back;         /* [n, n_labels] */
};

/* Whether an entity may go on after the label. */
static bool viterbi_goes_on(const struct ner_label *label) {
  return label->role != NER_ROLE_END && label->role != NER_ROLE_SINGLE;
}

/* The best label that nothing has to follow; of all labels where there is none. */
static int32_t viterbi_best_closed(const struct viterbi *v) {
  int32_t best = -1, best_of_all = 0;
  for( int32_t i = 0; i < v->model->config.n_labels; i++ ) {
    if( v->score[i] > v->score[best_of_all] ) best_of_all = i;
    if( !v->model->label[i].is_open && (best < 0 || v->score[i] > v->score[best]) ) best = i;
  }
  return best < 0 ? best_of_all : best;
}

static double viterbi_largest(const double *score, int32_t n) {
  double largest = score[0];
  for( int32_t i = 1; i < n; i++ )
    if( score[i] > largest ) largest = score[i];
  return largest;
}

static void viterbi_begin(struct viterbi *v, const float *probs /* [n_labels] */) {
  for( int32_t i = 0; i < v->model->config.n_labels; i++ )
    v->score[i] = (v->model->label[i].is_bound ? 0 : (double)probs[i]) + VITERBI_LEAST;
}

static void viterbi_step(struct viterbi *v, const float *probs /* [n_labels] */,
                         int32_t *back /* [n_labels] */) {
  const struct ner_label *label = v->model->label;
  const int32_t n = v->model->config.n_labels, closed = viterbi_best_closed(v);
  double *score = v->score, scale = viterbi_largest(score, n); /* so that no text is too long */
  for( int32_t i = 0; i < n; i++ ) v->best_of_type[i] = -1;
  for( int32_t i = 0; i < n; i++ ) {
    int32_t *best = &v->best_of_type[label[i].scheme_type_id];
    if( viterbi_goes_on(&label[i]) && (*best < 0 || score[i] > score[*best]) ) *best = i;
  }
  for( int32_t i = 0; i < n; i++ ) {
    back[i] = v->model->label[i].is_bound ? v->best_of_type[label[i].scheme_type_id] : closed;
    v->next[i] = score[back[i]] / scale * (double)probs[i] + VITERBI_LEAST;
  }
  v->score = v->next;
  v->next = score;
}

int ner_viterbi(const struct ner_model *model, const float *const *probs, size_t n, int32_t *label,
                struct ner_err *err) {
  size_t n_labels = (size_t)model->config.n_labels;
  double *scores = ner_alloc(n_labels, 2 * sizeof *scores);
  struct viterbi v = {
      .model = model,
      .score = scores,
      .best_of_type = ner_alloc(n_labels, sizeof *v.best_of_type),
      .back = ner_alloc(n, n_labels * sizeof *v.back),
  };
  int rc = NER_OK;
  if( !scores || !v.best_of_type || (!v.back && n > 0) ) {
    rc = ner_fail_nomem(err);
  } else if( n > 0 ) {
    v.next = scores + n_labels;
    viterbi_begin(&v, probs[0]);
    for( size_t i = 1; i < n; i++ ) viterbi_step(&v, probs[i], v.back + i * n_labels);
    label[n - 1] = viterbi_best_closed(&v);
    for( size_t i = n - 1; i > 0; i-- ) label[i - 1] = v.back[i * n_labels + (size_t)label[i]];
  }
  NER_FREE(scores);
  NER_FREE(v.best_of_type);
  NER_FREE(v.back);
  return rc;
}
