/*
** directory.c - fuzzes the loader of Hugging Face directories: config.json, tokenizer_config.json,
** vocab.txt and tokenizer.json, beside sound weights.
**
**     what to do (a byte, below), then the four files, each ended by a byte 0xFF
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
};

static const char *const names[4] = {"config.json", "tokenizer_config.json", "vocab.txt",
                                     "tokenizer.json"};
static char dirs[2][TEST_PATH]; /* DistilBERT, BERT */

static void remove_dirs(void) {
  for( int i = 0; i < 2; i++ ) test_dir_remove(dirs[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  fuzz_begin();
  for( int i = 0; i < 2; i++ ) {
    struct tiny t = i ? tiny_bert() : tiny_distilbert();
    test_dir_make(dirs[i]);
    t.layers = 1;
    tiny_write_weights(dirs[i], &t);
  }
  atexit(remove_dirs);
  return 0;
}

static void check_model(const struct ner_model *model) {
  const struct ner_config *c = &model->config;
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  check(c->hidden > 0 && c->heads > 0 && c->hidden % c->heads == 0);
  check(c->n_labels > 0 && c->max_tokens >= 3 && c->max_tokens <= c->max_positions);
  check(ner_vocab_size(vocab) == c->vocab_size);
  for( int32_t i = 0; i < c->n_labels; i++ ) check(model->label[i].name);
  for( int32_t i = 0; i < c->vocab_size; i++ ) {
    size_t n, n_cp = 0;
    const char *piece = ner_vocab_piece(vocab, i, &n);
    int32_t found = ner_vocab_find(vocab, piece, n);
    uint32_t *border;
    check(found >= i); /* a piece that stands twice has its last id */
    border = fuzz_borders(piece, n, &(uint32_t){0});
    while( border[n_cp] < n ) n_cp++;
    check(ner_vocab_piece_cp(vocab, i) == n_cp);
    free(border);
  }
}

/* One file gives what the directory gave. */
static void check_conversion(const char *dir, enum ner_precision precision,
                             struct ner_model *model, const char *text, size_t n) {
  const struct ner_options options = {0};
  struct ner_entities a = {0}, b = {0};
  struct ner_model *again;
  struct ner_err err = {0};
  char path[TEST_PATH];
  test_path(path, fuzz_dir, "converted");
  if( ner_convert(dir, path, precision, &err) ) {
    check(strstr(err.msg, "line break")); /* the one thing a piece cannot have in a file */
    return;
  }
  if( ner_model_open(path, NER_PRECISION_FILE, &again, &err) ) fail_msg("%s", err.msg);
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
  const char *dir = dirs[how & BERT ? 1 : 0];
  enum ner_precision precision = how & INT8 ? NER_PRECISION_INT8 : NER_PRECISION_FILE;
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  int rc;
  for( int i = 0; i < 4; i++ ) {
    struct fuzz_bytes part = fuzz_until(&in, 0xFF);
    char path[TEST_PATH];
    if( how & NO_CONFIG << i )
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
