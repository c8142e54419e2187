/*
** text.c - fuzzes the way from bytes to windows: any text, any rules, a cased or an uncased
** vocabulary, as `make test` has them. Words are compared with those of passes.h, tokens with those
** of the same rules said in another way, which take the general path. When bit 5 of the first byte
** says so, on to entities, of a tiny model whose windows are short. And the same text under rules
** that the text itself draws: normalizers, pre-tokenizers, added tokens.
**
**     rules and vocabulary (a byte), tokens a window takes (a byte), the text
*/
#include "passes.h"

#define MAX_BATCHED 200 /* bytes of a text that goes on to entities: several windows, and quick */

static struct ner_tokenizer *tokenizers[2][16]; /* cased, uncased; by rules */
static struct ner_tokenizer *general[2][16];
static struct ner_model *models[2];

static struct ner_vocab *vocab_of(const char *name) {
  struct ner_vocab *vocab;
  struct ner_err err = {0};
  size_t n;
  char *bytes = test_read("tests/data", name, &n);
  check(ner_vocab_from_lines(bytes, n, name, &vocab, &err) == NER_OK);
  free(bytes);
  return vocab;
}

static void add_token(struct ner_added_tokens *added, const char *content, size_t n, int32_t id,
                      enum ner_added_set set, int flags) {
  struct ner_err err = {0};
  struct ner_added_token token = {.content = ner_strndup(content, n),
                                  .n_content = n,
                                  .pattern = ner_strndup(content, n),
                                  .n_pattern = n,
                                  .id = id,
                                  .set = set,
                                  .single_word = flags & 1,
                                  .lstrip = flags & 2,
                                  .rstrip = flags & 4,
                                  .as_text = flags & 8};
  check(token.content && token.pattern);
  check(ner_added_tokens_add(added, &token, &err) == NER_OK);
}

/* BERT's rules in two steps for one, so that they do not look like BERT's. */
static struct ner_tokenizer *make_general(const char *name, int rules) {
  static const char *const special[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
  const struct ner_normalizer_step bert = {.kind = NER_NORMALIZER_BERT,
                                           .bert = {rules & 1, rules & 2, rules & 4, rules & 8}};
  const struct ner_pretokenizer_step split[2] = {
      {.kind = NER_PRETOKENIZER_WHITESPACE_SPLIT},
      {.kind = NER_PRETOKENIZER_PUNCTUATION, .behavior = NER_SPLIT_ISOLATED}};
  struct ner_tokenizer_parts parts = {.vocab = vocab_of(name), .max_word_cp = NER_MAX_WORD_CP};
  struct ner_tokenizer *tokenizer;
  struct ner_err err = {0};
  check(ner_normalizer_add(&parts.normalizer, &bert, &err) == NER_OK);
  for( int i = 0; i < 2; i++ )
    check(ner_pretokenizer_add(&parts.pretokenizer, &split[i], &err) == NER_OK);
  for( int i = 0; i < 5; i++ )
    add_token(&parts.added, special[i], strlen(special[i]),
              ner_vocab_find(parts.vocab, special[i], strlen(special[i])), NER_ADDED_RAW, 0);
  parts.unk = parts.named_unk = ner_vocab_find(parts.vocab, "[UNK]", 5);
  check(ner_tokenizer_from_parts(&parts, name, &tokenizer, &err) == NER_OK);
  return tokenizer;
}

static struct ner_tokenizer *make(const char *name, int rules) {
  const struct ner_text_rules r = {rules & 1, rules & 2, rules & 4, rules & 8};
  struct ner_tokenizer *tokenizer;
  struct ner_err err = {0};
  check(ner_tokenizer_new(vocab_of(name), &r, name, &tokenizer, &err) == NER_OK);
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
    general[0][rules] = make_general("vocab-cased.txt", rules);
    general[1][rules] = make_general("vocab-uncased.txt", rules);
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

/* Field by field: the bytes of padding behind the last one hold anything. */
static bool same_token(const struct ner_token *a, const struct ner_token *b) {
  return a->id == b->id && a->word == b->word && a->start_byte == b->start_byte &&
         a->end_byte == b->end_byte && a->start == b->start && a->end == b->end &&
         a->glued == b->glued;
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
    check(same_token(&t, &whole->token[i]));
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

/* The general path gives what BERT's own gives. */
static void check_general(const struct ner_tokenizer *tokenizer, const char *text, size_t n,
                          const struct ner_tokens *wanted) {
  struct ner_tokens tokens = tokenize(tokenizer, text, n);
  check(tokens.n == wanted->n);
  for( size_t i = 0; i < tokens.n; i++ )
    check(same_token(&tokens.token[i], &wanted->token[i]));
  ner_tokens_free(&tokens);
}

static const char drawn_vocab[] = "[UNK]\na\nb\n##a\n##b\nab\n \n##\xc3\xa9\n1\n.\n##.";

/* A step of a normalizer. */
static void draw_step(struct fuzz_bytes *in, struct ner_normalizer *rules) {
  const int kind = fuzz_byte(in), how = fuzz_byte(in);
  struct ner_normalizer_step step = {.kind = (enum ner_normalizer_kind)(kind % 9),
                                     .bert = {how & 1, how & 2, how & 4, how & 8},
                                     .left = how & 1,
                                     .right = how & 2};
  struct ner_err err = {0};
  if( step.kind == NER_NORMALIZER_REPLACE ) {
    step.n_pattern = 1 + how % 2, step.n_content = (uint32_t)(how / 4 % 4);
    step.pattern = ner_calloc(4, sizeof *step.pattern);
    step.content = ner_calloc(4, sizeof *step.content);
    check(step.pattern && step.content);
    for( int i = 0; i < 4; i++ ) step.pattern[i] = "ab 1"[fuzz_byte(in) % 4];
    for( int i = 0; i < 4; i++ ) step.content[i] = "ab -"[fuzz_byte(in) % 4];
  }
  check(ner_normalizer_add(rules, &step, &err) == NER_OK);
}

/* A tokenizer of rules that the bytes draw. */
static struct ner_tokenizer *draw(struct fuzz_bytes *in) {
  static const char *const contents[] = {"ab", "a", " ", "b a", "\xc3\xa9", "1", ".", "[X]", "aba"};
  struct ner_tokenizer_parts parts = {.unk = 0, .named_unk = 0};
  struct ner_tokenizer *tokenizer;
  struct ner_err err = {0};
  int n = fuzz_byte(in) % 4;
  check(ner_vocab_from_lines(drawn_vocab, sizeof drawn_vocab - 1, "drawn", &parts.vocab, &err) ==
        NER_OK);
  while( n-- > 0 ) draw_step(in, &parts.normalizer);
  for( n = fuzz_byte(in) % 3; n-- > 0; ) {
    const int kind = fuzz_byte(in);
    const struct ner_pretokenizer_step step = {.kind = (enum ner_pretokenizer_kind)(kind % 5),
                                               .behavior = (enum ner_split_behavior)(kind / 5 % 5)};
    check(ner_pretokenizer_add(&parts.pretokenizer, &step, &err) == NER_OK);
  }
  for( n = fuzz_byte(in) % 4; n-- > 0; ) {
    const char *content = contents[fuzz_byte(in) % 9];
    const int flags = fuzz_byte(in);
    /* rstrip lets tokens overlap, as in the reference: not here, where spans are checked */
    add_token(&parts.added, content, strlen(content), 20 + n, (enum ner_added_set)(flags >> 4 & 1),
              flags & 11);
  }
  parts.max_word_cp = fuzz_byte(in) * 4;
  check(ner_tokenizer_from_parts(&parts, "drawn", &tokenizer, &err) == NER_OK);
  return tokenizer;
}

static void check_drawn(struct fuzz_bytes in) {
  struct ner_tokenizer *tokenizer = draw(&in);
  char *text = fuzz_copy(in.at, in.n);
  struct ner_tokens tokens = tokenize(tokenizer, text, in.n);
  if( ner_tokenizer_cuts_at_blanks(tokenizer) )
    check_halves(tokenizer, text, in.n, &tokens, (uint32_t)in.n / 2);
  ner_tokens_free(&tokens);
  free(text);
  ner_tokenizer_free(tokenizer);
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
  check_general(general[rules >> 4 & 1][rules & 15], text, in.n, &tokens);
  check_drawn(in);
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
