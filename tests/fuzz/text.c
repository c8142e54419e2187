/*
** text.c - fuzzes the way from bytes to windows: any text, any rules, a cased or an uncased
** vocabulary, as `make test` has them. Words are compared with those of passes.h. And, when bit 5
** of the first byte says so, on to entities, of a tiny model whose windows are short.
**
**     rules and vocabulary (a byte), tokens a window takes (a byte), the text
*/
#include "passes.h"

#define MAX_BATCHED 200 /* bytes of a text that goes on to entities: several windows, and quick */

static struct ner_tokenizer *tokenizers[2][16]; /* cased, uncased; by rules */
static struct ner_model *models[2];

static struct ner_tokenizer *make(const char *name, int rules) {
  const struct ner_text_rules r = {rules & 1, rules & 2, rules & 4, rules & 8};
  struct ner_tokenizer *tokenizer;
  struct ner_vocab *vocab;
  struct ner_err err = {0};
  size_t n;
  char *bytes = test_read("tests/data", name, &n);
  check(ner_vocab_from_lines(bytes, n, name, &vocab, &err) == NER_OK);
  check(ner_tokenizer_new(vocab, &r, name, &tokenizer, &err) == NER_OK);
  free(bytes);
  return tokenizer;
}

static struct ner_model *make_model(struct tiny tiny) {
  struct ner_model *model;
  struct ner_err err = {0};
  tiny.layers = 1;
  tiny_write(fuzz_dir, &tiny);
  if( ner_model_open(fuzz_dir, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
  return model;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  fuzz_begin();
  passes_begin();
  models[0] = make_model(tiny_distilbert());
  models[1] = make_model(tiny_bert());
  for( int rules = 0; rules < 16; rules++ ) {
    tokenizers[0][rules] = make("vocab-cased.txt", rules);
    tokenizers[1][rules] = make("vocab-uncased.txt", rules);
  }
  return 0;
}

static struct ner_tokens tokenize(const struct ner_tokenizer *tokenizer, const char *text,
                                  size_t n) {
  struct ner_tokens tokens = {0};
  struct ner_err err = {0};
  check(ner_tokenize(tokenizer, text, n, 0, &tokens, NULL, &err) == NER_OK);
  fuzz_check_tokens(tokenizer, text, n, &tokens);
  return tokens;
}

/* A piece stands for what its span holds: for ASCII that can be said in one line. */
static void check_pieces(const struct ner_tokenizer *tokenizer, const char *text,
                         const struct ner_tokens *tokens) {
  for( size_t i = 0; i < tokens->n; i++ ) {
    const struct ner_token *t = &tokens->token[i];
    size_t n_piece, n = t->end_byte - t->start_byte;
    const char *piece = ner_vocab_piece(ner_tokenizer_vocab(tokenizer), t->id, &n_piece);
    bool inside = i > 0 && t->word == t[-1].word;
    if( t->id == ner_tokenizer_unk(tokenizer) ) continue;
    if( inside ) {
      check(n_piece > 2 && memcmp(piece, "##", 2) == 0);
      piece += 2, n_piece -= 2;
    }
    for( size_t k = 0; k < n; k++ )
      if( text[t->start_byte + k] < 0x20 || text[t->start_byte + k] == 0x7F ) n = 0;
    if( n == 0 ) continue; /* something not ASCII, or deleted */
    check(n == n_piece);
    for( size_t k = 0; k < n; k++ ) {
      char c = text[t->start_byte + k];
      bool lowered = ner_tokenizer_rules(tokenizer)->lowercase && c >= 'A' && c <= 'Z' &&
                     !(n_piece > 2 && piece[0] == '['); /* special tokens are taken literally */
      check(piece[k] == (lowered ? c + 32 : c));
    }
  }
}

/* Cut before a blank, the two halves give the tokens of the whole. */
static void check_halves(const struct ner_tokenizer *tokenizer, const char *text, size_t n,
                         const struct ner_tokens *whole, uint32_t seed) {
  struct ner_tokens halves[2];
  uint32_t cut = n ? seed % (uint32_t)n : 0, cut_cp, words = 0, *border;
  while( cut < n && text[cut] != ' ' ) cut++;
  if( cut == n ) return;
  halves[0] = tokenize(tokenizer, text, cut);
  halves[1] = tokenize(tokenizer, text + cut, n - cut);
  border = fuzz_borders(text, cut, &cut_cp);
  free(border);
  if( halves[0].n ) words = halves[0].token[halves[0].n - 1].word + 1;
  check(halves[0].n + halves[1].n == whole->n);
  for( size_t i = 0; i < whole->n; i++ ) {
    bool second = i >= halves[0].n;
    struct ner_token t = second ? halves[1].token[i - halves[0].n] : halves[0].token[i];
    if( second ) t.word += words;
    if( second ) t.start_byte += cut, t.end_byte += cut, t.start += cut_cp, t.end += cut_cp;
    check(memcmp(&t, &whole->token[i], sizeof t) == 0);
  }
  ner_tokens_free(&halves[0]);
  ner_tokens_free(&halves[1]);
}

/* Windows cover every token, keep each once, and get on. */
static void check_windows(const struct ner_tokens *tokens, uint32_t max_tok) {
  struct ner_window *w = NULL;
  size_t n = 0, cap = 0;
  check(ner_windows_plan(tokens, max_tok, &w, &n, &cap) == NER_OK);
  check(n > 0 || tokens->n == 0);
  for( size_t i = 0; i < n; i++ ) {
    check(w[i].begin <= w[i].keep_begin && w[i].keep_begin < w[i].keep_end);
    check(w[i].keep_end <= w[i].end && w[i].end <= tokens->n);
    check(w[i].end - w[i].begin <= max_tok);
    check(w[i].keep_begin == (i ? w[i - 1].keep_end : 0));
    check(i == 0 || w[i].begin > w[i - 1].begin);
  }
  if( n ) check(w[n - 1].keep_end == tokens->n);
  free(w);
}

static void check_decoder(const struct ner_tokenizer *tokenizer, const struct ner_tokens *tokens) {
  int32_t *ids = malloc((tokens->n + 1) * sizeof *ids);
  char *text;
  check(ids);
  for( size_t i = 0; i < tokens->n; i++ ) ids[i] = tokens->token[i].id;
  text = ner_decode(ner_tokenizer_vocab(tokenizer), ids, tokens->n);
  check(text && (tokens->n == 0 || *text));
  free(text);
  free(ids);
}

static bool same_entities(const struct ner_entities *a, const struct ner_entities *b) {
  if( a->n != b->n ) return false;
  for( size_t i = 0; i < a->n; i++ ) {
    const struct ner_entity *x = &a->entity[i], *y = &b->entity[i];
    if( x->label != y->label || x->score != y->score || x->start != y->start || x->end != y->end ||
        x->start_byte != y->start_byte || x->end_byte != y->end_byte )
      return false;
  }
  return true;
}

/* A text's entities are the same, to the bit, whatever shares a batch with it. */
static void check_batch(struct ner_model *model, const struct ner_options *options,
                        const char *text, size_t n) {
  const struct ner_input inputs[] = {{.utf8 = text, .n_bytes = n / 2},
                                     {.utf8 = text, .n_bytes = n},
                                     {.utf8 = text, .n_bytes = 0},
                                     {.utf8 = text + n / 3, .n_bytes = n - n / 3},
                                     {.utf8 = text, .n_bytes = n}};
  enum { N = sizeof inputs / sizeof *inputs };
  struct ner_output outputs[N] = {0};
  struct ner_err err = {0};
  check(ner_pipeline_run(model, inputs, N, options, false, outputs, NULL, &err) == NER_OK);
  for( size_t i = 0; i < N; i++ ) {
    struct ner_entities alone;
    check(!outputs[i].error);
    check(ner_extract(model, inputs[i].utf8, inputs[i].n_bytes, options, &alone, &err) == NER_OK);
    fuzz_check_entities(model, inputs[i].utf8, inputs[i].n_bytes, options, &alone);
    check(same_entities(&alone, &outputs[i].found));
    ner_entities_free(&alone);
    ner_output_free(&outputs[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
  struct fuzz_bytes in = {bytes, n_bytes};
  int rules = fuzz_byte(&in);
  uint32_t max_tok = fuzz_byte(&in) + 1u;
  const struct ner_tokenizer *tokenizer = tokenizers[rules >> 4 & 1][rules & 15];
  char *text = fuzz_copy(in.at, in.n);
  struct ner_tokens tokens = tokenize(tokenizer, text, in.n);
  uint32_t n_cp, *border = fuzz_borders(text, in.n, &n_cp);
  check(ner_utf8_count(text, (uint32_t)in.n) == n_cp);
  free(border);
  passes_compare(text, in.n, ner_tokenizer_rules(tokenizer));
  check_pieces(tokenizer, text, &tokens);
  check_halves(tokenizer, text, in.n, &tokens, (uint32_t)rules * 131 + max_tok * 7);
  check_windows(&tokens, max_tok);
  check_decoder(tokenizer, &tokens);
  if( rules & 32 && in.n <= MAX_BATCHED ) {
    const struct ner_options options = {.aggregation = (enum ner_aggregation)(max_tok % 5),
                                        .threshold = (max_tok / 5 % 4) / 8.0};
    check_batch(models[rules >> 4 & 1], &options, text, in.n);
  }
  ner_tokens_free(&tokens);
  free(text);
  return 0;
}
