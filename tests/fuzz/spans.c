/*
** spans.c - fuzzes ner_spans(): any tokens, labels and probabilities → entities.
**
**     aggregation, threshold, number of labels, a label's name each (ended by 0xFF), then per
**     token: gap, length, piece, surest label and by how much
*/
#include "fuzz.h"
#include "engine/spans.h"

#include <math.h>

#define MAX_LABELS 12
#define MAX_TOKENS 400

static struct ner_tokenizer *tokenizer;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  const struct ner_text_rules rules = {.clean_text = true, .split_cjk = true};
  struct ner_vocab *vocab;
  struct ner_err err = {0};
  (void)argc, (void)argv;
  fuzz_begin();
  check(ner_vocab_new(&vocab, &err) == NER_OK);
  for( int i = 0; i < TINY_VOCAB; i++ )
    check(ner_vocab_add(vocab, tiny_vocab[i], strlen(tiny_vocab[i]), i, &err) == NER_OK);
  check(ner_vocab_finish(vocab, "tiny", &err) == NER_OK);
  check(ner_tokenizer_new(vocab, &rules, "tiny", &tokenizer, &err) == NER_OK);
  return 0;
}

/* Labels as a file would bring them: no NUL inside; any other name goes, also the empty one. */
static void make_labels(struct ner_model *model, struct fuzz_bytes *in) {
  struct ner_err err = {0};
  int n = fuzz_byte(in) % MAX_LABELS + 1;
  check(ner_labels_new(model, n, "labels", &err) == NER_OK);
  for( int i = 0; i < n; i++ ) {
    struct fuzz_bytes name = fuzz_until(in, 0xFF);
    const uint8_t *nul = name.n ? memchr(name.at, 0, name.n) : NULL;
    size_t n_name = nul ? (size_t)(nul - name.at) : name.n;
    if( n_name > NER_MAX_LABEL_BYTES ) n_name = NER_MAX_LABEL_BYTES;
    check(ner_labels_set(model, i, n_name ? (const char *)name.at : "", n_name, "labels", &err) ==
          NER_OK);
  }
  check(ner_labels_finish(model, "labels", &err) == NER_OK);
}

/* Tokens of a text of one-byte characters: in order, not empty, at most one character shared. */
static void make_tokens(struct ner_tokens *tokens, float *probs, int32_t n_labels,
                        struct fuzz_bytes *in) {
  uint32_t at = 0, word = 0;
  while( in->n > 0 && tokens->n < MAX_TOKENS ) {
    struct ner_token *t = &tokens->token[tokens->n];
    float *row = probs + tokens->n++ * (size_t)n_labels;
    int shape = fuzz_byte(in), surest = fuzz_byte(in) % n_labels;
    float logit = (float)fuzz_byte(in) / 8 - 8;
    if( shape & 0x80 && at > 0 )
      at--;
    else
      at += (uint32_t)shape & 3;
    t->start = t->start_byte = at;
    at += 1 + ((uint32_t)shape >> 2 & 7);
    t->end = t->end_byte = at;
    t->id = shape * 7 % TINY_VOCAB;
    t->word = word += shape >> 6 & 1;
    for( int32_t i = 0; i < n_labels; i++ ) row[i] = (float)(i * 5 % 7) / 7;
    row[surest] += logit;
    check(ner_softmax(row, (size_t)n_labels, row));
  }
}

static bool belongs(const struct ner_entity *e, const struct ner_tokens *tokens) {
  bool starts = false, ends = false;
  for( size_t i = 0; i < tokens->n; i++ ) {
    starts |= tokens->token[i].start == e->start;
    ends |= tokens->token[i].end == e->end;
  }
  return starts && ends;
}

static bool same(const struct ner_entity *a, const struct ner_entity *b) {
  return a->label == b->label && a->score == b->score && a->start == b->start && a->end == b->end &&
         a->start_byte == b->start_byte && a->end_byte == b->end_byte;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
  static char text[MAX_TOKENS * 11];
  struct fuzz_bytes in = {bytes, n_bytes};
  struct ner_options options = {.aggregation = (enum ner_aggregation)(fuzz_byte(&in) % 5)};
  struct ner_err err = {0};
  struct ner_tokens tokens = {0};
  struct ner_entities all = {0}, some = {0};
  struct ner_model *model;
  size_t cap = 0, n_sure = 0;
  double threshold = fuzz_byte(&in) / 255.0;
  float *probs;
  check(ner_model_new("(fuzz)", &model, &err) == NER_OK);
  model->tokenizer = tokenizer;
  make_labels(model, &in);
  tokens.token = malloc(MAX_TOKENS * sizeof *tokens.token);
  probs = malloc(MAX_TOKENS * MAX_LABELS * sizeof *probs);
  check(tokens.token && probs);
  make_tokens(&tokens, probs, model->config.n_labels, &in);

  check(ner_spans(model, &tokens, probs, &options, &all.entity, &all.n, &cap, &err) == NER_OK);
  memset(text, 'x', sizeof text);
  fuzz_check_entities(model, text, sizeof text, &options, &all);
  for( size_t i = 0; i < all.n; i++ ) check(belongs(&all.entity[i], &tokens));
  check(all.n <= tokens.n);

  /* A threshold takes entities away and leaves the others as they are. */
  options.threshold = threshold;
  cap = 0;
  check(ner_spans(model, &tokens, probs, &options, &some.entity, &some.n, &cap, &err) == NER_OK);
  for( size_t i = 0; i < all.n; i++ )
    if( all.entity[i].score >= threshold ) {
      check(n_sure < some.n);
      check(same(&all.entity[i], &some.entity[n_sure++]));
    }
  check(n_sure == some.n);

  ner_entities_free(&all);
  ner_entities_free(&some);
  ner_tokens_free(&tokens);
  free(probs);
  model->tokenizer = NULL;
  ner_model_free(model);
  return 0;
}
