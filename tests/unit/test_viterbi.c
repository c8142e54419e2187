/*
** test_viterbi.c - the most likely sequence of labels, against trying all of them.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "labels.h"
#include "engine/viterbi.h"

#define MAX_UNITS 5

static const char *const bio[] = {"O", "B-PER", "I-PER", "B-ORG", "I-ORG", NULL};
static const char *const mixed[] = {"I-LOC", "PER", "O", "B-ORG", "I-ORG", NULL}; /* no B-LOC */

static const char *const bioes[] = {"O", "B-PER", "I-PER", "E-PER", "S-PER", NULL};
static const char *const bilou[] = {"L-PER", "U-ORG", "B-PER", "I-PER", "O", NULL};
static const char *const suffix[] = {"PER-I", "PER-B", "O", "ORG-I", "ORG-B", NULL};
/* No I- at all; a type that has only a single. */
static const char *const few[] = {"O", "B-PER", "E-PER", "S-PER", "S-ORG", NULL};
/* A type without an end, and no O. */
static const char *const endless[] = {"B-PER", "E-PER", "B-ORG", "I-ORG", "X", NULL};

/* The rules of schemes in words: what a label says of its type, by its letter. */
static char letter_of(const char *label) {
  size_t n = strlen(label);
  if( n > 2 && label[1] == '-' )
    return strchr("LE", label[0]) ? 'E' : strchr("US", label[0]) ? 'S' : label[0];
  return n > 2 && label[n - 2] == '-' ? label[n - 1] : 0;
}

static bool same_type(const char *a, const char *b) {
  a += a[1] == '-' ? 2 : 0;
  b += b[1] == '-' ? 2 : 0;
  return strncmp(a, b, 3) == 0; /* PER, ORG */
}

static bool type_ends(const char *const *labels, const char *label) {
  for( int i = 0; labels[i]; i++ )
    if( letter_of(labels[i]) == 'E' && same_type(labels[i], label) ) return true;
  return false;
}

/* before NULL: the beginning; label NULL: the end of the text. */
static bool scheme_allows(const char *const *labels, const char *before, const char *label) {
  char a = before ? letter_of(before) : 0, b = label ? letter_of(label) : 0;
  bool open = (a == 'B' || a == 'I') && type_ends(labels, before);
  if( b == 'I' || b == 'E' ) return (a == 'B' || a == 'I') && same_type(before, label);
  return !open;
}

/* The rule in words: I-ORG only goes on with B-ORG or I-ORG, I-PER likewise; in
** `mixed` I-LOC is free, for there is no B-LOC. */
static bool may_follow(const char *before, const char *label) {
  if( strcmp(label, "I-ORG") != 0 && strcmp(label, "I-PER") != 0 ) return true;
  return before && strcmp(before + 1, label + 1) == 0;
}

/* The likeliest permitted sequence, found by trying all; as its probability. */
static double best_by_trial(const char *const *labels, int n_labels, const float *const *probs,
                            int n) {
  double best = 0;
  int n_all = 1;
  for( int i = 0; i < n; i++ ) n_all *= n_labels;
  for( int code = 0; code < n_all; code++ ) {
    double p = 1;
    const char *before = NULL;
    for( int i = 0, rest = code; i < n; i++, rest /= n_labels ) {
      const char *label = labels[rest % n_labels];
      p *= may_follow(before, label) ? (double)probs[i][rest % n_labels] : 0;
      before = label;
    }
    if( p > best ) best = p;
  }
  return best;
}

static void check_against_trial(const char *const *labels) {
  struct ner_model model;
  struct ner_err err = {0};
  float probs[MAX_UNITS][5];
  const float *row[MAX_UNITS];
  int32_t label[MAX_UNITS];
  uint32_t random = 1;
  open_labels(&model, labels);
  for( int round = 0; round < 300; round++ ) {
    int n = 1 + round % MAX_UNITS;
    const char *before = NULL;
    double p = 1;
    for( int i = 0; i < n; i++ ) {
      float sum = 0;
      for( int j = 0; j < 5; j++ ) {
        random = random * 1664525 + 1013904223;
        probs[i][j] = (float)(random >> 8) / 16777216.0f;
        probs[i][j] *= probs[i][j] * probs[i][j]; /* some near 0, some near 1 */
        sum += probs[i][j];
      }
      for( int j = 0; j < 5; j++ ) probs[i][j] /= sum;
      row[i] = probs[i];
    }
    assert_int_equal(ner_viterbi(&model, row, (size_t)n, label, &err), NER_OK);
    for( int i = 0; i < n; i++ ) {
      assert_in_range(label[i], 0, 4);
      assert_true(may_follow(before, labels[label[i]]));
      before = labels[label[i]];
      p *= (double)probs[i][label[i]];
    }
    assert_true(p >= best_by_trial(labels, 5, row, n) * (1 - 1e-9));
  }
  close_labels(&model);
}

static void test_against_trial(void **state) {
  (void)state;
  check_against_trial(bio);
  check_against_trial(mixed);
}

/* Products of 100,000 probabilities: nothing may underflow, and what the last unit
** says reaches back to the first. */
static void test_long(void **state) {
  enum { N = 100000 };
  static const float start[5] = {0, .4f, 0, .6f, 0}, inside[5] = {0, 0, .5f, 0, .5f};
  static const float end[5] = {0, 0, .6f, 0, .4f};
  struct ner_model model;
  struct ner_err err = {0};
  const float **row = malloc(N * sizeof *row);
  int32_t *label = malloc(N * sizeof *label);
  (void)state;
  open_labels(&model, bio);
  for( int i = 0; i < N; i++ ) row[i] = inside;
  row[0] = start;
  assert_int_equal(ner_viterbi(&model, row, N, label, &err), NER_OK);
  assert_int_equal(label[0], 3);
  assert_int_equal(label[N - 1], 4);
  for( int i = N - 2; i < N; i++ ) row[i] = end; /* .4 * .6 * .6 > .6 * .4 * .4 */
  assert_int_equal(ner_viterbi(&model, row, N, label, &err), NER_OK);
  assert_int_equal(label[0], 1);
  for( int i = 1; i < N; i++ ) assert_int_equal(label[i], 2);
  free(row);
  free(label);
  close_labels(&model);
}

/* Nothing permitted has any probability: still an answer, and a permitted one. */
static void test_impossible(void **state) {
  static const float inside[5] = {0, 0, 1, 0, 0}, other[5] = {0, 0, 0, 0, 1};
  const float *row[2] = {inside, other};
  struct ner_model model;
  struct ner_err err = {0};
  int32_t label[2];
  (void)state;
  open_labels(&model, bio);
  assert_int_equal(ner_viterbi(&model, row, 0, label, &err), NER_OK);
  assert_int_equal(ner_viterbi(&model, row, 2, label, &err), NER_OK);
  assert_true(may_follow(NULL, bio[label[0]]));
  assert_true(may_follow(bio[label[0]], bio[label[1]]));
  close_labels(&model);
}

/* As best_by_trial(), by scheme_allows(). */
static double best_of_scheme(const char *const *labels, const float *const *probs, int n) {
  double best = 0;
  int n_all = 1;
  for( int i = 0; i < n; i++ ) n_all *= 5;
  for( int code = 0; code < n_all; code++ ) {
    const char *before = NULL;
    double p = 1;
    for( int i = 0, rest = code; i < n; i++, rest /= 5 ) {
      p *= scheme_allows(labels, before, labels[rest % 5]) ? (double)probs[i][rest % 5] : 0;
      before = labels[rest % 5];
    }
    if( p > best && scheme_allows(labels, before, NULL) ) best = p;
  }
  return best;
}

static void test_schemes(void **state) {
  static const char *const *const sets[] = {bioes, bilou, suffix, few, endless};
  static const char *const names[] = {"BIOES", "BILOU", "BIO (suffix)", "BIOES", "BIOES"};
  uint32_t random = 7;
  (void)state;
  for( size_t set = 0; set < sizeof sets / sizeof *sets; set++ ) {
    const char *const *labels = sets[set];
    struct ner_model model;
    struct ner_err err = {0};
    open_labels(&model, labels);
    assert_string_equal(model.scheme, names[set]);
    assert_true(model.needs_strict);
    for( int round = 0; round < 300; round++ ) {
      int n = 1 + round % MAX_UNITS;
      float probs[MAX_UNITS][5];
      const float *row[MAX_UNITS];
      int32_t label[MAX_UNITS];
      const char *before = NULL;
      double p = 1, best;
      for( int i = 0; i < n; i++ ) {
        row[i] = probs[i];
        for( int j = 0; j < 5; j++ ) {
          random = random * 1664525 + 1013904223;
          probs[i][j] = (float)(random >> 8) / 16777216.0f;
          probs[i][j] *= probs[i][j];
        }
      }
      assert_int_equal(ner_viterbi(&model, row, (size_t)n, label, &err), NER_OK);
      best = best_of_scheme(labels, row, n);
      for( int i = 0; i < n; i++ ) {
        assert_true(best == 0 || scheme_allows(labels, before, labels[label[i]]));
        before = labels[label[i]];
        p *= (double)probs[i][label[i]];
      }
      assert_true(best == 0 || scheme_allows(labels, before, NULL));
      assert_true(p >= best * (1 - 1e-6));
    }
    close_labels(&model);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_trial),
      cmocka_unit_test(test_schemes),
      cmocka_unit_test(test_long),
      cmocka_unit_test(test_impossible),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
