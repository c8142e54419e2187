/*
** directory.c - fuzzes the loader of Hugging Face directories: config.json, tokenizer_config.json,
** vocab.txt, tokenizer.json, special_tokens_map.json, added_tokens.json and the index of shards,
** beside sound weights.
**
**     what to do (a byte, below), then the files, each ended by a byte 0xFF; the index comes fifth,
**     where there is one, and the last two files are there only if they are not empty
**
** A mutator of our own puts values that are worth a try in the place of whole JSON values and of
** whole lines of vocab.txt, so that most of what it makes is still JSON, and as many pieces.
*/
#include "fuzz.h"

enum {
  BERT = 1,      /* whose weights */
  INT8 = 2,      /* the precision asked for */
  CONVERT = 4,   /* write what was opened as one file, and open that */
  NO_CONFIG = 8, /* files that are not there */
  NO_TOKENIZER_CONFIG = 16,
  NO_VOCAB = 32,
  NO_TOKENIZER = 64,
  SHARDS = 128, /* the weights in shards; the fifth file is their index */
};

enum { N_FILES = 7, INDEX = 4 };
static const char *const names[N_FILES] = {"config.json",
                                           "tokenizer_config.json",
                                           "vocab.txt",
                                           "tokenizer.json",
                                           "model.safetensors.index.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json"};
static char dirs[4][TEST_PATH]; /* DistilBERT, BERT; the same in shards */

static void remove_dirs(void) {
  for( int i = 0; i < 4; i++ ) test_dir_remove(dirs[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  fuzz_begin();
  for( int i = 0; i < 4; i++ ) {
    struct tiny t = i % 2 ? tiny_bert() : tiny_distilbert();
    test_dir_make(dirs[i]);
    t.layers = 1;
    t.dtype = i < 2 ? NER_DTYPE_F32 : NER_DTYPE_F64;
    tiny_write_weights(dirs[i], &t);
    if( i >= 2 ) free(tiny_shard(dirs[i]));
  }
  atexit(remove_dirs);
  return 0;
}

static void check_model(const struct ner_model *model) {
  const struct ner_config *c = &model->config;
  const struct ner_tokenizer_parts *parts = ner_tokenizer_parts(model->tokenizer);
  const struct ner_vocab *vocab = parts->vocab;
  check(c->hidden > 0 && c->heads > 0 && c->hidden % c->heads == 0);
  check(c->n_labels > 0 && c->max_tokens <= c->max_positions);
  check(c->max_tokens > ner_template_tok(&parts->around));
  check(model->scheme);
  for( int32_t i = 0; i < c->n_labels; i++ ) {
    const struct ner_label *label = &model->label[i];
    check(label->name && label->type && label->scheme_type);
    check(label->tag_id < c->n_labels && label->scheme_type_id < c->n_labels);
  }
  for( int32_t i = 0; i < ner_vocab_size(vocab); i++ ) {
    size_t n, n_cp = 0;
    const char *piece = ner_vocab_piece(vocab, i, &n);
    int32_t found = ner_vocab_find(vocab, piece, n);
    uint32_t *border;
    check(found < c->vocab_size); /* no id without an embedding */
    border = fuzz_borders(piece, n, &(uint32_t){0});
    while( border[n_cp] < n ) n_cp++;
    check(ner_vocab_piece_cp(vocab, i) == n_cp);
    free(border);
  }
  for( size_t i = 0; i < parts->added.n; i++ ) {
    const struct ner_added_token *t = &parts->added.token[i];
    check(t->id >= 0 && t->id < c->vocab_size && t->id < ner_vocab_size(vocab));
    check(t->n_pattern > 0);
  }
  check(parts->unk >= 0 && parts->unk < c->vocab_size && parts->named_unk < c->vocab_size);
}

/* One file gives what the directory gave. */
static void check_conversion(const char *dir, enum ner_precision precision, struct ner_model *model,
                             const char *text, size_t n) {
  const struct ner_options options = {0};
  struct ner_entities a = {0}, b = {0};
  struct ner_model *again;
  struct ner_err err = {0};
  char path[TEST_PATH];
  test_path(path, fuzz_dir, "converted");
  if( ner_convert(dir, path, precision, &err) ||
      ner_model_open(path, NER_PRECISION_FILE, &again, &err) )
    fail_msg("%s", err.msg);
  check(strcmp(model->labels_json, again->labels_json) == 0);
  check(ner_extract(model, text, n, &options, &a, &err) == NER_OK);
  check(ner_extract(again, text, n, &options, &b, &err) == NER_OK);
  check(a.n == b.n);
  for( size_t i = 0; i < a.n; i++ ) {
    check(strcmp(a.entity[i].label, b.entity[i].label) == 0);
    check(a.entity[i].start == b.entity[i].start && a.entity[i].end == b.entity[i].end);
    check(a.entity[i].score == b.entity[i].score);
  }
  ner_entities_free(&a);
  ner_entities_free(&b);
  ner_model_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
  static const char text[] = "Anna lives in Rome. \xc3\xa9 a[SEP]aab\xff";
  struct fuzz_bytes in = {bytes, n_bytes};
  int how = fuzz_byte(&in);
  const char *dir = dirs[(how & BERT ? 1 : 0) + (how & SHARDS ? 2 : 0)];
  enum ner_precision precision = how & INT8 ? NER_PRECISION_INT8 : NER_PRECISION_FILE;
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  int rc;
  for( int i = 0; i < N_FILES; i++ ) {
    struct fuzz_bytes part = {0};
    char path[TEST_PATH];
    if( i == INDEX && !(how & SHARDS) ) continue;
    part = fuzz_until(&in, 0xFF);
    if( i < INDEX ? how & NO_CONFIG << i : i > INDEX && part.n == 0 )
      remove(test_path(path, dir, names[i]));
    else
      test_write(dir, names[i], part.n ? (const char *)part.at : "", part.n);
  }
  rc = ner_model_open(dir, precision, &model, &err);
  check(rc == err.code && rc != NER_NOMEM && (rc == NER_OK) == (model != NULL));
  if( rc != NER_OK ) return 0;
  check_model(model);
  fuzz_use_model(model, text, sizeof text - 1);
  if( how & CONVERT ) check_conversion(dir, precision, model, text, sizeof text - 1);
  ner_model_unref(model);
  return 0;
}

#ifdef NER_FUZZ

/* text[begin, end) becomes `to`, where that fits. */
static size_t replace(char *text, size_t n, size_t max, size_t begin, size_t end, const char *to) {
  size_t n_to = strlen(to);
  if( n - (end - begin) + n_to > max ) return n;
  memmove(text + begin + n_to, text + end, n - end);
  memcpy(text + begin, to, n_to);
  return n - (end - begin) + n_to;
}

/* The end of the JSON value (or key) that begins at text[at], whatever is wrong with it. */
static size_t value_end(const char *text, size_t n, size_t at) {
  int depth = 0;
  bool quoted = false;
  for( ; at < n; at++ ) {
    char c = text[at];
    if( quoted && c == '\\' ) at++;
    if( c == '"' ) quoted = !quoted;
    if( quoted ) continue;
    if( c == '[' || c == '{' ) depth++;
    if( (c == ']' || c == '}') && --depth < 0 ) return at;
    if( depth == 0 && (c == ',' || c == ':') ) return at;
    if( depth == 0 && (c == '"' || c == ']' || c == '}') ) return at + 1;
  }
  return n;
}

static size_t change_value(char *text, size_t n, size_t max, unsigned seed) {
  static const char *const worth[] = {
      "0", "1", "2", "3", "4", "12", "16", "17", "20", "512", "-1", "1.0", "1e-12", "1e999", "0.5",
      "2147483647", "2147483648", "9223372036854775807", "9223372036854775808", "true", "false",
      "null", "\"\"", "\"O\"", "\"B-PER\"", "\"I-\\u00e9\\ud83d\\ude00\"", "\"a\\u0000b\"",
      "\"\\ud800\"",
      "\"##\"", "\"##a\"", "\"[UNK]\"", "\"[CLS]\"", "\"0\"", "\"1\"", "\"x\":{}", "[]", "{}",
      "{\"0\":\"O\"}", "[\"BertForTokenClassification\"]", "\"LABEL_1\"", "\"1\":\"E-PER\",\"2\"",
      "\"[MASK]\"", "{\"type\":\"NFKC\"}", "{\"type\":\"Lowercase\"}",
      "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"StripAccents\"}]}",
      "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}",
      "{\"type\":\"Whitespace\"}", "{\"type\":\"Digits\",\"individual_digits\":true}",
      "[{\"id\":5,\"content\":\"Anna\",\"lstrip\":true,\"rstrip\":true}]",
      "{\"5\":{\"content\":\"Anna\",\"normalized\":true}}", "{\"a b\":16}",
      "\"PreTrainedTokenizerFast\"", "\"BertTokenizer\"", "NaN", "-Infinity", "\"S-PER\"", "\"PER-B\"", "\"L-PER\"", "\"../a.safetensors\"",
      "\"/dev/zero\"", "\"b.safetensors\"", "\"gelu_python\"", "\"bert\"", "\"distilbert\"", "\"gelu\"", "\"gelu_new\"", "\"WordPiece\"", "\"BPE\"", ""};
  size_t at = n ? seed % n : 0;
  while( at < n && !strchr("\"0123456789-[{tfn", text[at]) ) at++;
  if( at == n || text[at] == 0 ) return n;
  return replace(text, n, max, at, value_end(text, n, at),
                 worth[seed / 251 % (sizeof worth / sizeof *worth)]);
}

static size_t change_line(char *text, size_t n, size_t max, unsigned seed) {
  static const char *const worth[] = {
      "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[unused1]", "Anna", "a", "##a", "##", "#", "##\xc3\xa9",
      "\xcc\x81", "##\xcc\x81", "\xf0\x9f\x98\x80", "\xe4\xb8\xad", "\xc3", " a", "a ", "a\r", "\r",
      "a\n", "a\rb", "\x85", "\xe2\x80\xa8", "\xc2\xa0", "\x1", "\x7f", "."};
  const char *to = worth[seed / 251 % (sizeof worth / sizeof *worth)];
  size_t begin = n ? seed % n : 0, end;
  while( begin > 0 && text[begin - 1] != '\n' ) begin--;
  for( end = begin; end < n && text[end] != '\n'; ) end++;
  return replace(text, n, max, begin, end, to);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed) {
  unsigned which = seed / 8 % (n_bytes && bytes[0] & SHARDS ? N_FILES : N_FILES - 1), how = seed / 32 % 4;
  struct fuzz_bytes in = {bytes, n_bytes}, part = {0};
  size_t begin, n, max, rest;
  uint8_t *copy;
  fuzz_byte(&in);
  for( unsigned i = 0; i <= which; i++ ) part = fuzz_until(&in, 0xFF);
  if( part.n == 0 || seed % 8 == 0 ) return LLVMFuzzerMutate(bytes, n_bytes, max_bytes);
  begin = (size_t)(part.at - bytes), rest = n_bytes - begin - part.n;
  max = max_bytes - begin - rest;
  copy = calloc(1, max + 1);
  check(copy);
  memcpy(copy, part.at, part.n);
  if( how == 0 )
    n = LLVMFuzzerMutate(copy, part.n, max);
  else if( which == 2 )
    n = change_line((char *)copy, part.n, max, seed / 128);
  else
    n = change_value((char *)copy, part.n, max, seed / 128);
  memmove(bytes + begin + n, bytes + begin + part.n, rest);
  memcpy(bytes + begin, copy, n);
  free(copy);
  return begin + n + rest;
}

#endif
