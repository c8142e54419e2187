/*
** spans.c - logits → probabilities → entities; see spans.h.
**
** Three steps, as in the reference:
**   1. tokens become units: with `simple` every token is one, otherwise the pieces of a word
**      are one;
**   2. a unit gets a label and a score, the prediction, from its tokens' probabilities, as
**      the aggregation defines; with `strict`, ours, all units of a text are decoded together;
**   3. neighbouring units of one tag form a group, until a B- or another tag. The
**      group's label is its first unit's, its score the mean of theirs. Groups of
**      "O" are formed like the others and then dropped.
*/
#include "engine/spans.h"

#include "engine/viterbi.h"

#include <math.h>
#include <string.h>

/* numpy's pairwise summation (pairwise_sum in loops_utils.h): fewer than 8 in
** sequence, up to 128 in eight accumulators, beyond that by halves. */
float ner_sum_f32(const float *x, size_t n) {
  float sum = 0;
  if( n < 8 ) {
    for( size_t i = 0; i < n; i++ ) sum += x[i];
  } else if( n <= 128 ) {
    float r[8];
    size_t i;
    memcpy(r, x, sizeof r);
    for( i = 8; i + 8 <= n; i += 8 )
      for( size_t j = 0; j < 8; j++ ) r[j] += x[i + j];
    sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for( ; i < n; i++ ) sum += x[i];
  } else {
    size_t half = n / 2 / 8 * 8;
    sum = ner_sum_f32(x, half) + ner_sum_f32(x + half, n - half);
  }
  return sum;
}

/* exp() in double, rounded, is the nearest float whichever C library computes it; expf() is not. */
bool ner_softmax(const float *logits, size_t n, float *probs) {
  float max = logits[0], sum;
  for( size_t i = 1; i < n; i++ )
    if( logits[i] > max ) max = logits[i];
  for( size_t i = 0; i < n; i++ ) probs[i] = (float)exp((double)(logits[i] - max));
  sum = ner_sum_f32(probs, n);
  for( size_t i = 0; i < n; i++ ) probs[i] /= sum;
  return isfinite(sum); /* a NaN, or an infinite maximum, makes the sum NaN */
}

int32_t ner_argmax(const float *x, int32_t n) {
  int32_t best = 0;
  for( int32_t i = 1; i < n; i++ )
    if( x[i] > x[best] ) best = i;
  return best;
}

/* ---- 1. units ---- */

/* The reference does not look for "##": a token is a subword when its piece and its
** part of the text differ in length, counted in code points. A word with deleted
** characters in it ("Hel\u200blo") therefore is a subword, and a "##rk" that covers four code
** points is not. Where pieces inside a word have no prefix, it looks for a blank instead. */
static bool spans_is_subword(const struct ner_model *model, const struct ner_token *token) {
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  size_t n_prefix;
  if( token->id == ner_tokenizer_unk(model->tokenizer) ) return false;
  ner_vocab_prefix(vocab, &n_prefix);
  if( n_prefix == 0 ) return token->glued;
  return ner_vocab_piece_cp(vocab, token->id) != token->end - token->start;
}

/* Where the unit that begins with token `first` ends. */
static size_t spans_unit_end(const struct ner_model *model, const struct ner_tokens *tokens,
                             size_t first, enum ner_aggregation aggregation) {
  size_t end = first + 1;
  if( aggregation == NER_AGGREGATION_SIMPLE ) return end;
  while( end < tokens->n && spans_is_subword(model, &tokens->token[end]) ) end++;
  return end;
}

/* ---- 2. predictions ---- */

struct spans_prediction {
  int32_t label;
  float score;
};

static struct spans_prediction spans_predict_row(const float *probs /* [n_labels] */,
                                                 int32_t n_labels) {
  int32_t best = ner_argmax(probs, n_labels);
  return (struct spans_prediction){best, probs[best]};
}

/* The prediction of the token with the highest score, the first of equals. */
static struct spans_prediction spans_predict_max(const float *probs /* [n, n_labels] */, size_t n,
                                                 int32_t n_labels) {
  struct spans_prediction best = spans_predict_row(probs, n_labels);
  for( size_t i = 1; i < n; i++ ) {
    struct spans_prediction v = spans_predict_row(probs + i * (size_t)n_labels, n_labels);
    if( v.score > best.score ) best = v;
  }
  return best;
}

/* Mean over the tokens, label by label; numpy adds whole rows here, so every
** label's sum is in sequence whatever n. */
static struct spans_prediction spans_predict_average(const float *probs /* [n, n_labels] */,
                                                     size_t n, int32_t n_labels) {
  struct spans_prediction best = {0, 0};
  for( int32_t label = 0; label < n_labels; label++ ) {
    float sum = 0, mean;
    for( size_t i = 0; i < n; i++ ) sum += probs[i * (size_t)n_labels + (size_t)label];
    mean = sum / (float)n;
    if( label == 0 || mean > best.score ) best = (struct spans_prediction){label, mean};
  }
  return best;
}

static struct spans_prediction spans_predict(const float *probs /* [n, n_labels] */, size_t n,
                                             int32_t n_labels, enum ner_aggregation aggregation) {
  switch( aggregation ) {
  case NER_AGGREGATION_AVERAGE: return spans_predict_average(probs, n, n_labels);
  case NER_AGGREGATION_MAX: return spans_predict_max(probs, n, n_labels);
  default: return spans_predict_row(probs, n_labels); /* first; simple has one row only */
  }
}

/* The most likely valid sequence of labels, one for each unit, into *out, to be freed. As with
** `first`, a word is represented by its first piece. */
static int spans_predict_sequence(const struct ner_model *model, const struct ner_tokens *tokens,
                                  const float *probs, int32_t **out, struct ner_err *err) {
  const float **row = ner_alloc(tokens->n, sizeof *row);
  size_t n = 0;
  int code = NER_OK;
  *out = ner_alloc(tokens->n, sizeof **out);
  if( tokens->n > 0 && (!row || !*out) ) code = ner_fail_nomem(err);
  for( size_t begin = 0; code == NER_OK && begin < tokens->n;
       begin = spans_unit_end(model, tokens, begin, NER_AGGREGATION_STRICT) )
    row[n++] = probs + begin * (size_t)model->config.n_labels;
  if( code == NER_OK ) code = ner_viterbi(model, row, n, *out, err);
  NER_FREE(row);
  return code;
}

/* ---- 3. groups ---- */

struct spans_group {
  size_t begin, end;   /* tokens; empty: no group is open */
  int32_t first, last; /* labels of its first and last unit */
  float *score;        /* [n_units] */
  size_t n_units, cap;
  bool strict; /* labels are read by the model's scheme */
};

struct spans_found {
  struct ner_entity **entity;
  size_t *n, *cap;
};

/* Turns the open group into an entity, unless it is outside or scores below the threshold. */
static int spans_close_group(struct spans_group *group, const struct ner_model *model,
                             const struct ner_tokens *tokens, double threshold,
                             struct spans_found *found) {
  const struct ner_token *first, *last;
  const struct ner_label *label;
  const char *type;
  float score;
  if( group->begin == group->end ) return NER_OK;
  label = &model->label[group->first];
  type = group->strict ? label->scheme_type : label->type;
  first = &tokens->token[group->begin];
  last = &tokens->token[group->end - 1];
  score = ner_sum_f32(group->score, group->n_units) / (float)group->n_units;
  group->begin = group->end;
  if( strcmp(type, "O") == 0 || score < threshold ) return NER_OK;
  if( ner_grow((void **)found->entity, found->cap, *found->n + 1, sizeof **found->entity) )
    return NER_NOMEM;
  (*found->entity)[(*found->n)++] = (struct ner_entity){
      .label = type,
      .score = score,
      .start = first->start,
      .end = last->end,
      .start_byte = first->start_byte,
      .end_byte = last->end_byte,
  };
  return NER_OK;
}

/* Whether a unit with this label continues the open group. Adjacency needs no check: anything
** between the two would be a unit of another tag. */
static bool spans_continues(const struct spans_group *group, const struct ner_model *model,
                            int32_t label) {
  const struct ner_label *next = &model->label[label], *last = &model->label[group->last];
  if( group->begin == group->end ) return false;
  if( !group->strict ) return next->prefix != 'B' && next->tag_id == last->tag_id;
  return next->scheme_type_id == last->scheme_type_id && next->role != NER_ROLE_BEGIN &&
         next->role != NER_ROLE_SINGLE && last->role != NER_ROLE_END &&
         last->role != NER_ROLE_SINGLE;
}

static int spans_add_unit(struct spans_group *group, size_t begin, size_t end,
                          struct spans_prediction prediction) {
  if( group->begin == group->end ) {
    group->begin = begin;
    group->first = prediction.label;
    group->n_units = 0;
  }
  if( ner_grow((void **)&group->score, &group->cap, group->n_units + 1, sizeof *group->score) )
    return NER_NOMEM;
  group->score[group->n_units++] = prediction.score;
  group->last = prediction.label;
  group->end = end;
  return NER_OK;
}

int ner_spans(const struct ner_model *model, const struct ner_tokens *tokens, const float *probs,
              const struct ner_options *options, struct ner_entity **out, size_t *n, size_t *cap,
              struct ner_err *err) {
  struct spans_found found = {out, n, cap};
  struct spans_group group = {.strict = options->aggregation == NER_AGGREGATION_STRICT};
  int32_t n_labels = model->config.n_labels;
  int32_t *labels = NULL; /* [n_units], where all are predicted together */
  int code = NER_OK;
  if( group.strict ) code = spans_predict_sequence(model, tokens, probs, &labels, err);
  for( size_t begin = 0, end, unit = 0; code == NER_OK && begin < tokens->n; begin = end, unit++ ) {
    const float *row = probs + begin * (size_t)n_labels;
    struct spans_prediction prediction;
    end = spans_unit_end(model, tokens, begin, options->aggregation);
    prediction = labels ? (struct spans_prediction){labels[unit], row[labels[unit]]}
                        : spans_predict(row, end - begin, n_labels, options->aggregation);
    if( !spans_continues(&group, model, prediction.label) )
      code = spans_close_group(&group, model, tokens, options->threshold, &found);
    if( code == NER_OK ) code = spans_add_unit(&group, begin, end, prediction);
  }
  if( code == NER_OK ) code = spans_close_group(&group, model, tokens, options->threshold, &found);
  NER_FREE(group.score);
  NER_FREE(labels);
  return code == NER_OK ? NER_OK : ner_fail_nomem(err);
}

void ner_entities_free(struct ner_entities *entities) {
  NER_FREE(entities->entity);
  *entities = (struct ner_entities){0};
}
