/*
** test_windows.c - windows over a long text: they cover it, keep each token where it has most
** context, and are cut at blanks or between words.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/windows.h"

static uint32_t seed;
static uint32_t dice(uint32_t n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

/* n tokens in words of 1..longest tokens, a blank before one word in `blanks` (0: none). */
static struct ner_tokens make_tokens(size_t n, uint32_t longest, uint32_t blanks) {
  struct ner_tokens tokens = {calloc(n + 1, sizeof *tokens.token), n, n};
  uint32_t at = 0, word = 0, left = 0;
  assert_non_null(tokens.token);
  for( size_t i = 0; i < n; i++ ) {
    struct ner_token *t = &tokens.token[i];
    if( left == 0 ) {
      left = 1 + dice(longest);
      word++;
      if( blanks && dice(blanks) == 0 ) at++;
    }
    left--;
    t->word = word;
    t->start_byte = t->start = at++;
    t->end_byte = t->end = at;
  }
  return tokens;
}

static size_t poorer_side(const struct ner_window *w, size_t token, size_t n) {
  size_t before = w->begin == 0 ? SIZE_MAX : token - w->begin;
  size_t after = w->end == n ? SIZE_MAX : w->end - 1 - token;
  return before < after ? before : after;
}

static void check_windows(const struct ner_tokens *tokens, uint32_t max_tok) {
  struct ner_window *w = NULL;
  size_t n = 0, cap = 0, kept = 0;
  assert_int_equal(ner_windows_plan(tokens, max_tok, &w, &n, &cap), NER_OK);
  if( tokens->n == 0 ) assert_int_equal(n, 0);
  if( tokens->n && tokens->n <= max_tok ) assert_int_equal(n, 1);
  for( size_t i = 0; i < n; i++ ) {
    assert_true(w[i].begin < w[i].end && w[i].end <= tokens->n);
    assert_true(w[i].end - w[i].begin <= max_tok);
    assert_int_equal(w[i].keep_begin, kept);
    assert_true(w[i].begin <= w[i].keep_begin && w[i].keep_begin < w[i].keep_end);
    assert_true(w[i].keep_end <= w[i].end);
    kept = w[i].keep_end;
    /* No other window knows more of the surroundings of what this one keeps. */
    for( size_t t = w[i].keep_begin; t < w[i].keep_end; t++ )
      for( size_t other = i ? i - 1 : 0; other < n && other <= i + 1; other++ )
        if( w[other].begin <= t && t < w[other].end )
          assert_true(poorer_side(&w[i], t, tokens->n) >= poorer_side(&w[other], t, tokens->n));
    if( max_tok >= 64 )
      for( size_t t = w[i].keep_begin; t < w[i].keep_end; t++ )
        assert_true(poorer_side(&w[i], t, tokens->n) >= max_tok / 8 - 1);
  }
  assert_int_equal(kept, tokens->n);
  NER_FREE(w);
}

static void test_windows_cover(void **state) {
  (void)state;
  seed = 1;
  for( int round = 0; round < 300; round++ ) {
    uint32_t max_tok = 1 + dice(round % 2 ? 20 : 600);
    struct ner_tokens tokens = make_tokens(dice(1500), 1 + dice(40), dice(3));
    check_windows(&tokens, max_tok);
    free(tokens.token);
  }
}

static void test_windows_at_the_limit(void **state) {
  (void)state;
  for( size_t n = 0; n < 30; n++ ) {
    struct ner_tokens tokens = make_tokens(n, 3, 1);
    for( uint32_t max_tok = 1; max_tok < 30; max_tok++ ) check_windows(&tokens, max_tok);
    free(tokens.token);
  }
}

/* Windows begin and end at blanks, or else between words, where there are any near. */
static void check_cuts(uint32_t longest, uint32_t blanks) {
  struct ner_tokens tokens = make_tokens(5000, longest, blanks);
  struct ner_window *w = NULL;
  size_t n = 0, cap = 0;
  assert_int_equal(ner_windows_plan(&tokens, 510, &w, &n, &cap), NER_OK);
  assert_true(n > 10);
  for( size_t i = 0; i < n; i++ ) {
    const struct ner_token *begin = &tokens.token[w[i].begin], *end = &tokens.token[w[i].end];
    if( i > 0 ) assert_int_not_equal(begin[-1].word, begin->word);
    if( i > 0 && blanks ) assert_true(begin[-1].end_byte < begin->start_byte);
    if( i + 1 < n ) assert_int_not_equal(end[-1].word, end->word);
    if( i + 1 < n && blanks ) assert_true(end[-1].end_byte < end->start_byte);
  }
  NER_FREE(w);
  free(tokens.token);
}

static void test_windows_cut_between_words(void **state) {
  (void)state;
  seed = 2;
  check_cuts(3, 1);
  check_cuts(2, 3);
  check_cuts(10, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_windows_cover),
      cmocka_unit_test(test_windows_at_the_limit),
      cmocka_unit_test(test_windows_cut_between_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
