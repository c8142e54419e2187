/*
** test_spans.c - labels → entities, against the reference's rules.
**
** A case is a row of tokens as the tokenizer gives them, with the labels
** that have a probability, and the expected entities as text:
** "PER 0.900000 0-4, LOC ...".
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "labels.h"
#include "engine/spans.h"

#define FIRST   NER_AGGREGATION_FIRST
#define SIMPLE  NER_AGGREGATION_SIMPLE
#define AVERAGE NER_AGGREGATION_AVERAGE
#define MAX     NER_AGGREGATION_MAX
#define STRICT  NER_AGGREGATION_STRICT

struct tok {
  const char *piece;
  uint32_t start, end;
  const char *probs; /* "B-PER .9 O .1"; the other labels have none */
};

static const char pieces[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nEn\n##zo\nUN\nRa\n##ma\n##zotti\nCons\n##uelo\nAra\n##új\n"
    "##o\nNo\n##guera\nWolf\n##gang\nAngela\nMe\n##rk\n##el\nU\n.\nS\nArmy\nBank\nof\nEngland\n"
    "##kel\nin\nHello\nx\n";

/* The label sets of existing models. */
static const char *const bert[] = {"O",     "B-MISC", "I-MISC", "B-PER", "I-PER",
                                   "B-ORG", "I-ORG",  "B-LOC",  "I-LOC", NULL};
static const char *const plain[] = {"O", "MISC", "PER", "ORG", "LOC", NULL};
static const char *const numbered[] = {"LABEL_0", "LABEL_1", "LABEL_2", NULL};
static const char *const odd[] = {"O", "E-PER", "I-PER", "B-O", "B-A-B", "I-A-B", NULL};

static void open_model(struct ner_model *model, const char *const *labels) {
  static const struct ner_text_rules rules = {.clean_text = true, .split_cjk = true};
  struct ner_vocab *vocab = NULL;
  struct ner_err err = {0};
  open_labels(model, labels);
  assert_int_equal(ner_vocab_from_lines(pieces, sizeof pieces - 1, "test", &vocab, &err), NER_OK);
  assert_int_equal(ner_tokenizer_new(vocab, &rules, "test", &model->tokenizer, &err), NER_OK);
}

static void close_model(struct ner_model *model) {
  close_labels(model);
  ner_tokenizer_free(model->tokenizer);
}

/* Reads the written probabilities into row [n_labels]. */
static void set_probs(const struct ner_model *model, float *row, const char *probs) {
  char label[16];
  float p;
  for( int n; sscanf(probs, "%15s %f %n", label, &p, &n) == 2; probs += n ) {
    int32_t i = 0;
    while( i < model->config.n_labels && strcmp(model->label[i].name, label) != 0 ) i++;
    if( i == model->config.n_labels ) fail_msg("no label %s", label);
    row[i] = p;
  }
}

/* The entities of the tokens, as text. */
static const char *written(const char *const *labels, const struct tok *tok, size_t n_tok,
                           enum ner_aggregation aggregation, double threshold) {
  static char text[2000];
  struct ner_options options = {.aggregation = aggregation, .threshold = threshold};
  struct ner_model model;
  struct ner_tokens tokens = {0};
  struct ner_entity *entity = NULL;
  struct ner_err err = {0};
  size_t n = 0, cap = 0, used = 0;
  float *probs;
  open_model(&model, labels);
  probs = calloc(n_tok * (size_t)model.config.n_labels + 1, sizeof *probs);
  tokens.token = calloc(n_tok + 1, sizeof *tokens.token);
  tokens.n = tokens.cap = n_tok;
  for( size_t i = 0; i < n_tok; i++ ) {
    struct ner_token *t = &tokens.token[i];
    float *row = probs + i * (size_t)model.config.n_labels;
    t->id =
        ner_vocab_find(ner_tokenizer_vocab(model.tokenizer), tok[i].piece, strlen(tok[i].piece));
    if( t->id < 0 ) fail_msg("no piece %s", tok[i].piece);
    t->start = tok[i].start;
    t->end = tok[i].end;
    t->start_byte = 2 * tok[i].start; /* as if all code points took two bytes */
    t->end_byte = 2 * tok[i].end;
    set_probs(&model, row, tok[i].probs);
  }
  assert_int_equal(ner_spans(&model, &tokens, probs, &options, &entity, &n, &cap, &err), NER_OK);
  text[0] = 0;
  for( size_t i = 0; i < n; i++ ) {
    assert_int_equal(entity[i].start_byte, 2 * entity[i].start);
    assert_int_equal(entity[i].end_byte, 2 * entity[i].end);
    used +=
        (size_t)snprintf(text + used, sizeof text - used, "%s%s %.6f %u-%u", i ? ", " : "",
                         entity[i].label, (double)entity[i].score, entity[i].start, entity[i].end);
  }
  NER_FREE(entity);
  free(probs);
  free(tokens.token);
  close_model(&model);
  return text;
}

#define CHECK(labels, tok, aggregation, expected)                                                  \
  assert_string_equal(written(labels, tok, sizeof tok / sizeof *tok, aggregation, 0), expected)
#define CHECK_ALL(labels, tok, expected)                                                           \
  do {                                                                                             \
    CHECK(labels, tok, FIRST, expected);                                                           \
    CHECK(labels, tok, SIMPLE, expected);                                                          \
    CHECK(labels, tok, AVERAGE, expected);                                                         \
    CHECK(labels, tok, MAX, expected);                                                             \
  } while( 0 )

/* ---- transformers' own tests ---- */

static void test_enzo(void **state) {
  static const struct tok tok[] = {
      {"En", 0, 2, "I-PER .9968"}, {"##zo", 2, 4, "I-PER .9958"}, {"UN", 11, 13, "B-ORG .9986"}};
  (void)state;
  CHECK(bert, tok, SIMPLE, "PER 0.996300 0-4, ORG 0.998600 11-13");
  CHECK(bert, tok, FIRST, "PER 0.996800 0-4, ORG 0.998600 11-13");
  CHECK(bert, tok, MAX, "PER 0.996800 0-4, ORG 0.998600 11-13");
  CHECK(bert, tok, AVERAGE, "PER 0.996300 0-4, ORG 0.998600 11-13");
}

static void test_ramazotti(void **state) {
  static const struct tok tok[] = {{"Ra", 0, 2, "B-MISC .55 B-PER .45"},
                                   {"##ma", 2, 4, "B-PER .2 B-LOC .8"},
                                   {"##zotti", 4, 9, "B-PER .4 I-ORG .6"}};
  (void)state;
  CHECK(bert, tok, FIRST, "MISC 0.550000 0-9");
  CHECK(bert, tok, MAX, "LOC 0.800000 0-9");
  CHECK(bert, tok, AVERAGE, "PER 0.350000 0-9");
  CHECK(bert, tok, SIMPLE, "MISC 0.550000 0-2, LOC 0.800000 2-4, ORG 0.600000 4-9");
}

static void test_labels_without_prefix(void **state) {
  static const struct tok tok[] = {{"En", 0, 2, "LOC .9"}, {"##zo", 2, 4, "LOC .8"}};
  (void)state;
  CHECK(plain, tok, SIMPLE, "LOC 0.850000 0-4");
}

static void test_spanish(void **state) {
  static const struct tok tok[] = {{"Cons", 0, 4, "B-PER .9"},     {"##uelo", 4, 8, "B-PER .8"},
                                   {"Ara", 9, 12, "I-PER .7"},     {"##új", 12, 14, "I-PER .7"},
                                   {"##o", 14, 15, "I-PER .7"},    {"No", 16, 18, "I-PER .7"},
                                   {"##guera", 18, 23, "I-PER .7"}};
  (void)state;
  CHECK(bert, tok, SIMPLE, "PER 0.900000 0-4, PER 0.716667 4-23");
  CHECK(bert, tok, FIRST, "PER 0.766667 0-23");
}

/* ---- the reference's rules, one by one ---- */

static void test_wolfgang(void **state) {
  static const struct tok tok[] = {{"Wolf", 0, 4, "B-PER .9"}, {"##gang", 4, 8, "B-PER .8"}};
  (void)state;
  CHECK(bert, tok, SIMPLE, "PER 0.900000 0-4, PER 0.800000 4-8");
  CHECK(bert, tok, FIRST, "PER 0.900000 0-8");
  CHECK(bert, tok, MAX, "PER 0.900000 0-8");
  CHECK(bert, tok, AVERAGE, "PER 0.850000 0-8");
}

static void test_merkel(void **state) {
  static const struct tok tok[] = {{"Angela", 0, 6, "B-PER .99"},
                                   {"Me", 7, 9, "I-PER .9"},
                                   {"##rk", 9, 11, "O .6 I-PER .4"},
                                   {"##el", 11, 13, "I-PER .7"}};
  (void)state;
  CHECK(bert, tok, SIMPLE, "PER 0.945000 0-9, PER 0.700000 11-13");
  CHECK(bert, tok, FIRST, "PER 0.945000 0-13");
  CHECK(bert, tok, MAX, "PER 0.945000 0-13");
  CHECK(bert, tok, AVERAGE, "PER 0.828333 0-13");
}

static void test_punctuation_is_a_word(void **state) {
  static const struct tok tok[] = {{"U", 0, 1, "B-LOC .9"},
                                   {".", 1, 2, "I-LOC .8"},
                                   {"S", 2, 3, "I-LOC .9"},
                                   {".", 3, 4, "O .7"},
                                   {"Army", 5, 9, "I-ORG .6"}};
  (void)state;
  CHECK_ALL(bert, tok, "LOC 0.866667 0-3, ORG 0.600000 5-9");
}

static void test_tags_part_groups(void **state) {
  static const struct tok bank[] = {
      {"Bank", 0, 4, "B-ORG .9"}, {"of", 5, 7, "I-ORG .8"}, {"England", 8, 15, "I-LOC .7"}};
  static const struct tok two[] = {{"En", 0, 2, "B-PER .9"}, {"UN", 3, 5, "I-LOC .8"}};
  static const struct tok again[] = {{"En", 0, 2, "I-PER .9"}, {"UN", 3, 5, "B-PER .8"}};
  (void)state;
  CHECK_ALL(bert, bank, "ORG 0.850000 0-7, LOC 0.700000 8-15");
  CHECK_ALL(bert, two, "PER 0.900000 0-2, LOC 0.800000 3-5");
  CHECK_ALL(bert, again, "PER 0.900000 0-2, PER 0.800000 3-5");
}

static void test_begins_inside_a_word(void **state) {
  static const struct tok tok[] = {{"##kel", 10, 13, "I-PER .8"}};
  (void)state;
  CHECK_ALL(bert, tok, "PER 0.800000 10-13");
}

/* A deleted character in the span makes any token a subword. */
static void test_zero_width_space(void **state) {
  static const struct tok hello[] = {{"in", 0, 2, "O .9"}, {"Hello", 3, 9, "B-PER .6"}};
  static const struct tok lone[] = {{"Hello", 3, 9, "B-PER .6"}};
  /* "Mer\u200b\u200bkel": the piece ##rk spans four code points, as many as it has. */
  static const struct tok merkel[] = {{"Angela", 0, 6, "B-PER .9"},
                                      {"Me", 7, 9, "O .6"},
                                      {"##rk", 9, 13, "I-PER .7"},
                                      {"##el", 13, 15, "O .9"}};
  (void)state;
  CHECK(bert, hello, SIMPLE, "PER 0.600000 3-9");
  CHECK(bert, hello, FIRST, "");
  CHECK(bert, hello, MAX, "");
  CHECK(bert, hello, AVERAGE, "");
  CHECK_ALL(bert, lone, "PER 0.600000 3-9");
  CHECK(bert, merkel, FIRST, "PER 0.900000 0-6, PER 0.700000 9-15");
}

/* Lengths are code points: "##új" is 4 of them and 5 bytes. */
static void test_piece_length_is_code_points(void **state) {
  static const struct tok word[] = {{"Ara", 0, 3, "B-PER .9"}, {"##új", 3, 7, "O .8"}};
  static const struct tok piece[] = {{"Ara", 0, 3, "B-PER .9"}, {"##új", 3, 8, "O .8"}};
  (void)state;
  CHECK(bert, word, FIRST, "PER 0.900000 0-3"); /* 4 = 4: a word of its own, outside */
  CHECK(bert, piece, FIRST, "PER 0.900000 0-8");
}

static void test_unknown_is_a_word(void **state) {
  static const struct tok tok[] = {{"En", 0, 2, "B-PER .9"}, {"[UNK]", 2, 3, "O .8"}};
  static const struct tok sep[] = {{"En", 0, 2, "B-PER .9"}, {"[SEP]", 3, 8, "I-PER .7"}};
  (void)state;
  CHECK_ALL(bert, tok, "PER 0.900000 0-2");
  CHECK_ALL(bert, sep, "PER 0.800000 0-8");
}

static void test_numbered_labels_give_everything(void **state) {
  static const struct tok tok[] = {{"in", 0, 2, "LABEL_0 .9"},
                                   {"En", 3, 5, "LABEL_1 .8"},
                                   {"UN", 6, 8, "LABEL_1 .6"},
                                   {"of", 9, 11, "LABEL_0 .7"}};
  (void)state;
  CHECK_ALL(numbered, tok, "LABEL_0 0.900000 0-2, LABEL_1 0.700000 3-8, LABEL_0 0.700000 9-11");
}

/* Joined by what follows B- or I-, named by what follows the first dash. */
static void test_odd_labels(void **state) {
  static const struct tok tok[] = {{"in", 0, 2, "E-PER .9"},
                                   {"En", 3, 5, "I-PER .8"},
                                   {"of", 6, 8, "B-O .7"},
                                   {"UN", 9, 11, "B-A-B .6"},
                                   {"x", 12, 13, "I-A-B .5"}};
  (void)state;
  CHECK_ALL(odd, tok, "PER 0.900000 0-2, PER 0.800000 3-5, A-B 0.550000 9-13");
}

static void test_first_of_equals(void **state) {
  static const struct tok row[] = {{"En", 0, 2, "B-ORG .5 B-MISC .5"}};
  static const struct tok rows[] = {{"En", 0, 2, "B-ORG .5"}, {"##zo", 2, 4, "B-MISC .5"}};
  (void)state;
  CHECK_ALL(bert, row, "MISC 0.500000 0-2");
  CHECK(bert, rows, MAX, "ORG 0.500000 0-4");
  CHECK(bert, rows, AVERAGE, "MISC 0.250000 0-4");
}

/* The four aggregations of Hugging Face know B- and I- alone, whatever the scheme: their values are
** transformers 4.48's. strict knows the scheme. */
static void test_schemes(void **state) {
  static const char *const bioes[] = {"O",     "B-PER", "I-PER", "E-PER",
                                      "S-PER", "B-LOC", "E-LOC", NULL};
  static const char *const suffix[] = {"O", "PER-B", "PER-I", "LOC-B", NULL};
  static const struct tok whole[] = {{"in", 0, 2, "B-PER .9"},
                                     {"of", 3, 5, "I-PER .8"},
                                     {"UN", 6, 8, "E-PER .7"},
                                     {"x", 9, 10, "S-PER .6"},
                                     {"in", 11, 13, "S-PER .5"}};
  static const struct tok torn[] = {{"in", 0, 2, "B-PER .6 S-PER .4"},
                                    {"of", 3, 5, "O .9 E-PER .1"},
                                    {"UN", 6, 8, "E-LOC .6 S-PER .3"}};
  static const struct tok behind[] = {{"in", 0, 2, "PER-B .9"},
                                      {"of", 3, 5, "PER-I .8"},
                                      {"UN", 6, 8, "PER-B .7"},
                                      {"x", 9, 10, "LOC-B .6"}};
  (void)state;
  CHECK(bioes, whole, FIRST, "PER 0.850000 0-5, PER 0.700000 6-8, PER 0.550000 9-13");
  CHECK(bioes, whole, STRICT, "PER 0.800000 0-8, PER 0.600000 9-10, PER 0.500000 11-13");
  CHECK(bioes, torn, FIRST, "PER 0.600000 0-2, LOC 0.600000 6-8");
  CHECK(bioes, torn, STRICT, "PER 0.400000 0-2, PER 0.300000 6-8");
  CHECK(suffix, behind, FIRST, "B 0.900000 0-2, I 0.800000 3-5, B 0.700000 6-8, B 0.600000 9-10");
  CHECK(suffix, behind, STRICT, "PER 0.850000 0-5, PER 0.700000 6-8, LOC 0.600000 9-10");
}

static void test_threshold(void **state) {
  static const struct tok tok[] = {{"En", 0, 2, "B-PER .5"}, {"UN", 3, 5, "B-ORG .9"}};
  (void)state;
  assert_string_equal(written(bert, tok, 2, FIRST, .25), "PER 0.500000 0-2, ORG 0.900000 3-5");
  assert_string_equal(written(bert, tok, 2, FIRST, .5), "PER 0.500000 0-2, ORG 0.900000 3-5");
  assert_string_equal(written(bert, tok, 2, FIRST, .51), "ORG 0.900000 3-5");
  assert_string_equal(written(bert, tok, 2, FIRST, 1.5), "");
  assert_string_equal(written(bert, tok, 0, FIRST, 0), "");
}

/* ---- ours ---- */

static void test_strict_begins_with_b(void **state) {
  static const struct tok lone[] = {{"in", 0, 2, "O .9 I-ORG .1"},
                                    {"Bank", 3, 7, "I-ORG .5 O .4 B-ORG .1"}};
  static const struct tok other[] = {{"Bank", 0, 4, "B-ORG .9"},
                                     {"of", 5, 7, "I-ORG .9"},
                                     {"England", 8, 15, "I-LOC .6 I-ORG .3 B-LOC .1"}};
  static const struct tok sure[] = {{"Bank", 0, 4, "O .1 I-PER .8 B-PER .1"},
                                    {"of", 5, 7, "O .2 I-PER .8"}};
  (void)state;
  CHECK(bert, lone, FIRST, "ORG 0.500000 3-7");
  CHECK(bert, lone, STRICT, "");
  CHECK(bert, other, FIRST, "ORG 0.900000 0-7, LOC 0.600000 8-15");
  CHECK(bert, other, STRICT, "ORG 0.700000 0-15");
  CHECK(bert, sure, STRICT, "PER 0.450000 0-7");
}

/* Later words influence earlier ones; a word is represented by its first piece. */
static void test_strict_looks_ahead(void **state) {
  static const struct tok tok[] = {{"Wolf", 0, 4, "B-LOC .6 B-PER .4"},
                                   {"##gang", 4, 8, "I-LOC .9"},
                                   {"Me", 9, 11, "I-PER .9 I-LOC .1"},
                                   {"##rk", 11, 13, "O .9"}};
  (void)state;
  CHECK(bert, tok, FIRST, "LOC 0.600000 0-8, PER 0.900000 9-13");
  CHECK(bert, tok, STRICT, "PER 0.650000 0-13");
}

/* Neighbours of one type are two entities where the second begins with B-; labels that have no
** B- are unconstrained; no tokens, no entities. */
static void test_strict_is_first_otherwise(void **state) {
  static const struct tok two[] = {{"Angela", 0, 6, "B-PER .9"}, {"En", 7, 9, "B-PER .8"}};
  static const struct tok free[] = {{"in", 0, 2, "O .9"}, {"UN", 3, 5, "ORG .8 O .2"}};
  static const struct tok unknown[] = {{"in", 0, 2, "E-PER .9"}, {"En", 3, 5, "I-PER .8"}};
  (void)state;
  CHECK(bert, two, STRICT, "PER 0.900000 0-6, PER 0.800000 7-9");
  CHECK(plain, free, STRICT, "ORG 0.800000 3-5");
  CHECK(odd, unknown, STRICT, "PER 0.900000 0-2, PER 0.800000 3-5");
  assert_string_equal(written(bert, two, 2, STRICT, .85), "PER 0.900000 0-6");
  assert_string_equal(written(bert, two, 0, STRICT, 0), "");
}

/* ---- arithmetic ---- */

/* x[i] = (i*7919 mod 1000)/1000 in float32; numpy 1.24: x[:n].sum(). */
static void test_sum_in_numpys_order(void **state) {
  static const struct {
    size_t n;
    float sum;
  } expected[] = {
      {1, 0x0.0p+0f},         {7, 0x1.1322d2p+2f},    {8, 0x1.2ed916p+2f},   {9, 0x1.456040p+2f},
      {100, 0x1.886666p+5f},  {128, 0x1.fd0e58p+5f},  {129, 0x1.010e56p+6f}, {300, 0x1.2c4cccp+7f},
      {1000, 0x1.f38000p+8f}, {2000, 0x1.f38000p+9f},
  };
  static float x[2000];
  (void)state;
  for( int i = 0; i < 2000; i++ ) x[i] = (float)(i * 7919 % 1000) / 1000.0f;
  for( size_t i = 0; i < sizeof expected / sizeof *expected; i++ )
    if( ner_sum_f32(x, expected[i].n) != expected[i].sum )
      fail_msg("sum of %zu: %a, not %a", expected[i].n, (double)ner_sum_f32(x, expected[i].n),
               (double)expected[i].sum);
  assert_true(ner_sum_f32(x, 0) == 0);
}

static void test_softmax(void **state) {
  const float logits[9] = {1, 2, 3, 4, 5, -6, 0, 2.5f, 80};
  const float equal[3] = {1e30f, 1e30f, 1e30f}, low[2] = {0, -INFINITY};
  const float nan[2] = {0, NAN}, infinite[2] = {INFINITY, 0};
  float p[9];
  (void)state;
  assert_true(ner_softmax(logits, 9, p));
  assert_true(p[8] == 1 && p[0] == (float)exp(-79));
  assert_true(ner_softmax(equal, 3, p));
  assert_true(p[0] == 1.0f / 3 && p[1] == p[0] && p[2] == p[0]);
  assert_true(ner_softmax(low, 2, p));
  assert_true(p[0] == 1 && p[1] == 0);
  assert_false(ner_softmax(nan, 2, p));
  assert_false(ner_softmax(infinite, 2, p));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_enzo),
      cmocka_unit_test(test_ramazotti),
      cmocka_unit_test(test_labels_without_prefix),
      cmocka_unit_test(test_spanish),
      cmocka_unit_test(test_wolfgang),
      cmocka_unit_test(test_merkel),
      cmocka_unit_test(test_punctuation_is_a_word),
      cmocka_unit_test(test_tags_part_groups),
      cmocka_unit_test(test_begins_inside_a_word),
      cmocka_unit_test(test_zero_width_space),
      cmocka_unit_test(test_piece_length_is_code_points),
      cmocka_unit_test(test_unknown_is_a_word),
      cmocka_unit_test(test_numbered_labels_give_everything),
      cmocka_unit_test(test_odd_labels),
      cmocka_unit_test(test_first_of_equals),
      cmocka_unit_test(test_schemes),
      cmocka_unit_test(test_threshold),
      cmocka_unit_test(test_strict_begins_with_b),
      cmocka_unit_test(test_strict_looks_ahead),
      cmocka_unit_test(test_strict_is_first_otherwise),
      cmocka_unit_test(test_sum_in_numpys_order),
      cmocka_unit_test(test_softmax),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
