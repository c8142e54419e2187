/*
** test_wordpiece.c - vocabulary, tokens and decoder, against what tokenizers
** 0.22.2 gives.
**
**   tests/data/token-vectors.txt  texts with the pieces of the public BERT
**       vocabularies; run with the reduced ones beside it, and with the full ones,
**       ids and all, where ../shared/vocab is there
**   tests/golden/tokens.txt       nasty texts under every combination of rules,
**       with a vocabulary of its own
**
** Both are made by the scripts beside them, which describe the format.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/tokenizer.h"

static const struct ner_text_rules cased = {.clean_text = true, .split_cjk = true};
static const struct ner_text_rules uncased = {true, true, true, true};

/* ---- helpers ---- */

/* The file as a string, *n_bytes long; NULL when it is not there. */
static char *read_file(const char *path, size_t *n_bytes) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  size_t n = 0, cap = 0;
  if( !file ) return NULL;
  do {
    cap = cap * 2 + 65536;
    text = realloc(text, cap);
    assert_non_null(text);
    n += fread(text + n, 1, cap - n - 1, file);
  } while( n == cap - 1 );
  fclose(file);
  text[n] = 0;
  *n_bytes = n;
  return text;
}

/* Replaces \u{HEX} in place by UTF-8; returns the length. */
static size_t unescape(char *text) {
  char *from = text, *to = text;
  while( *from ) {
    if( strncmp(from, "\\u{", 3) != 0 ) {
      *to++ = *from++;
      continue;
    }
    unsigned long c = strtoul(from + 3, &from, 16);
    assert_int_equal(*from++, '}');
    if( c < 0x80 ) {
      *to++ = (char)c;
    } else {
      if( c < 0x800 ) {
        *to++ = (char)(0xC0 | c >> 6);
      } else {
        if( c < 0x10000 ) {
          *to++ = (char)(0xE0 | c >> 12);
        } else {
          *to++ = (char)(0xF0 | c >> 18);
          *to++ = (char)(0x80 | (c >> 12 & 63));
        }
        *to++ = (char)(0x80 | (c >> 6 & 63));
      }
      *to++ = (char)(0x80 | (c & 63));
    }
  }
  *to = 0;
  return (size_t)(to - text);
}

static struct ner_tokenizer *tokenizer_of_lines(const char *lines, size_t n_bytes,
                                                const struct ner_text_rules *rules) {
  struct ner_err err = {0};
  struct ner_vocab *vocab = NULL;
  struct ner_tokenizer *tokenizer = NULL;
  if( ner_vocab_from_lines(lines, n_bytes, "vocab.txt", &vocab, &err) ||
      ner_tokenizer_new(vocab, rules, "vocab.txt", &tokenizer, &err) )
    fail_msg("%s", err.msg);
  return tokenizer;
}

/* NULL when there is no such file. */
static struct ner_tokenizer *tokenizer_of_file(const char *path,
                                               const struct ner_text_rules *rules) {
  size_t n_bytes;
  char *lines = read_file(path, &n_bytes);
  struct ner_tokenizer *tokenizer;
  if( !lines ) return NULL;
  tokenizer = tokenizer_of_lines(lines, n_bytes, rules);
  free(lines);
  return tokenizer;
}

static struct ner_tokens tokens_of(const struct ner_tokenizer *tokenizer, const char *text,
                                   size_t n_bytes) {
  struct ner_tokens tokens = {0};
  struct ner_err err = {0};
  if( ner_tokenize(tokenizer, text, n_bytes, 0, &tokens, NULL, &err) ) fail_msg("%s", err.msg);
  return tokens;
}

/* Compares with a line of tokens, "ID:WORD:START:END[:PIECE] ..."; with_ids false: the ids
** are those of another vocabulary, only the pieces count. */
static void check_tokens(const struct ner_tokenizer *tokenizer, const char *text, size_t n_bytes,
                         char *expected, bool with_ids, const char *where) {
  struct ner_tokens got = tokens_of(tokenizer, text, n_bytes);
  size_t i = 0;
  for( char *field = strtok(expected, " "); field; field = strtok(NULL, " "), i++ ) {
    const struct ner_token *token = &got.token[i];
    int id, at = 0;
    unsigned word, start, end;
    if( sscanf(field, "%d:%u:%u:%u%n", &id, &word, &start, &end, &at) != 4 )
      fail_msg("%s: cannot read '%s'", where, field);
    if( i >= got.n ) fail_msg("%s: only %zu tokens, %s is missing", where, got.n, field);
    if( (with_ids && token->id != id) || token->word != word || token->start != start ||
        token->end != end )
      fail_msg("%s: token %zu is %d:%u:%u:%u, expected %s", where, i, (int)token->id, token->word,
               token->start, token->end, field);
    if( field[at] == ':' ) {
      size_t n_piece, n_expected = unescape(field + at + 1);
      const char *piece = ner_vocab_piece(ner_tokenizer_vocab(tokenizer), token->id, &n_piece);
      if( n_piece != n_expected || memcmp(piece, field + at + 1, n_piece) != 0 )
        fail_msg("%s: piece %zu is %.*s, expected %s", where, i, (int)n_piece, piece, field);
    }
    if( ner_utf8_count(text, token->start_byte) != token->start ||
        ner_utf8_count(text, token->end_byte) != token->end )
      fail_msg("%s: token %zu: bytes %u to %u are not code points %u to %u", where, i,
               token->start_byte, token->end_byte, token->start, token->end);
  }
  if( got.n != i ) fail_msg("%s: %zu tokens, expected %zu", where, got.n, i);
  ner_tokens_free(&got);
}

/* The rest of a line that begins with `word`, without the blank between; or NULL. */
static char *after(char *line, const char *word) {
  size_t n = strlen(word);
  if( strncmp(line, word, n) != 0 || (line[n] != ' ' && line[n] != 0) ) return NULL;
  return line + n + (line[n] == ' ');
}

/* Cuts the next line off *rest; NULL at the end. */
static char *next_line(char **rest) {
  char *line = *rest, *end = strchr(line, '\n');
  if( *line == 0 ) return NULL;
  *rest = end ? end + 1 : line + strlen(line);
  if( end ) *end = 0;
  return line;
}

/* ---- against the reference ---- */

static void check_vectors(const char *folder, const char *file_names[2], bool with_ids) {
  struct ner_tokenizer *tokenizers[2] = {0};
  const struct ner_text_rules *rules[2] = {&cased, &uncased};
  char path[200], where[40], *file, *rest, *line;
  size_t n_bytes;
  int number = 0;
  for( int i = 0; i < 2; i++ ) {
    snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
    tokenizers[i] = tokenizer_of_file(path, rules[i]);
    if( !tokenizers[i] ) {
      ner_tokenizer_free(tokenizers[0]);
      print_message("%s is not there\n", path);
      skip();
    }
  }
  file = rest = read_file("tests/data/token-vectors.txt", &n_bytes);
  assert_non_null(file);
  while( (line = next_line(&rest)) ) {
    char *text = after(line, "text cased"), *tokens;
    const struct ner_tokenizer *tokenizer = tokenizers[text ? 0 : 1];
    if( !text ) text = after(line, "text uncased");
    assert_non_null(text);
    tokens = next_line(&rest);
    assert_non_null(tokens);
    tokens = after(tokens, "tokens");
    assert_non_null(tokens);
    n_bytes = unescape(text);
    snprintf(where, sizeof where, "text %d", ++number);
    check_tokens(tokenizer, text, n_bytes, tokens, with_ids, where);
  }
  assert_true(number > 80);
  free(file);
  ner_tokenizer_free(tokenizers[0]);
  ner_tokenizer_free(tokenizers[1]);
}

static void vectors_reduced_vocabulary(void **state) {
  const char *names[2] = {"vocab-cased.txt", "vocab-uncased.txt"};
  (void)state;
  check_vectors("tests/data", names, false);
}

static void vectors_full_vocabulary(void **state) {
  const char *names[2] = {"bert-base-cased.txt", "bert-base-uncased.txt"};
  (void)state;
  check_vectors("../shared/vocab", names, true);
}

/* Collects the "piece" lines from *rest on into a vocabulary. */
static struct ner_tokenizer *golden_tokenizer(char *file, const char *rule_letters) {
  struct ner_text_rules rules = {
      strchr(rule_letters, 'c') != NULL, strchr(rule_letters, 'k') != NULL,
      strchr(rule_letters, 's') != NULL, strchr(rule_letters, 'l') != NULL};
  struct ner_vocab *vocab;
  struct ner_tokenizer *tokenizer;
  struct ner_err err = {0};
  char *copy = strdup(file), *rest = copy, *line;
  int64_t id = 0;
  assert_non_null(copy);
  assert_int_equal(ner_vocab_new(&vocab, &err), NER_OK);
  while( (line = next_line(&rest)) && (line = after(line, "piece")) ) {
    size_t n_bytes = unescape(line);
    assert_int_equal(ner_vocab_add(vocab, line, n_bytes, id++, &err), NER_OK);
  }
  free(copy);
  if( ner_vocab_finish(vocab, "tokens.txt", &err) ||
      ner_tokenizer_new(vocab, &rules, "tokens.txt", &tokenizer, &err) )
    fail_msg("%s", err.msg);
  return tokenizer;
}

static void golden_nasty_texts(void **state) {
  static const char *const rules[] = {"ck", "cksl", "ckl", "cks", "sl", "csl", "-", "k"};
  enum { N_RULES = sizeof rules / sizeof rules[0] };
  struct ner_tokenizer *tokenizers[N_RULES];
  size_t n_bytes;
  char *file = read_file("tests/golden/tokens.txt", &n_bytes), *rest = file, *line, where[40];
  int number = 0;
  (void)state;
  assert_non_null(file);
  for( int i = 0; i < N_RULES; i++ ) tokenizers[i] = golden_tokenizer(file, rules[i]);
  while( (line = next_line(&rest)) ) {
    const struct ner_tokenizer *tokenizer = NULL;
    char *text, *tokens;
    if( after(line, "piece") ) continue;
    line = after(line, "text");
    assert_non_null(line);
    for( int i = 0; !tokenizer; i++ ) {
      assert_in_range(i, 0, N_RULES - 1);
      if( (text = after(line, rules[i])) ) tokenizer = tokenizers[i];
    }
    tokens = next_line(&rest);
    assert_non_null(tokens);
    tokens = after(tokens, "tokens");
    assert_non_null(tokens);
    n_bytes = unescape(text);
    snprintf(where, sizeof where, "text %d", ++number);
    check_tokens(tokenizer, text, n_bytes, tokens, true, where);
  }
  assert_true(number > 400);
  for( int i = 0; i < N_RULES; i++ ) ner_tokenizer_free(tokenizers[i]);
  free(file);
}

/* A text given word by word has the ids of the text as a whole. */
static void word_by_word(void **state) {
  static const char *const words[] = {"-DOCSTART-", "U.S.",    "1996-08-22", "O'Neill",
                                      "(",          "Reuters", ")"};
  struct ner_tokenizer *tokenizer = tokenizer_of_file("tests/data/vocab-cased.txt", &cased);
  static const char joined[] = "-DOCSTART- U.S. 1996-08-22 O'Neill ( Reuters )";
  struct ner_tokens whole, parts = {0};
  uint32_t next = 0;
  (void)state;
  assert_non_null(tokenizer);
  whole = tokens_of(tokenizer, joined, strlen(joined));
  for( size_t i = 0; i < sizeof words / sizeof words[0]; i++ )
    assert_int_equal(ner_tokenize(tokenizer, words[i], strlen(words[i]), next, &parts, &next, NULL),
                     NER_OK);
  assert_int_equal(parts.n, whole.n);
  for( size_t i = 0; i < whole.n; i++ ) {
    assert_int_equal(parts.token[i].id, whole.token[i].id);
    assert_int_equal(parts.token[i].word, whole.token[i].word);
  }
  assert_int_equal(next, whole.token[whole.n - 1].word + 1);
  ner_tokens_free(&whole);
  ner_tokens_free(&parts);
  ner_tokenizer_free(tokenizer);
}

/* ---- the vocabulary ---- */

#define LINES "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"

static void vocabulary_of_lines(void **state) {
  static const char lines[] = "[UNK]\r\n[CLS]\n\n##rk\r\ncaf\u00E9\ntwice\ntwice\nlast";
  struct ner_vocab *vocab = NULL;
  struct ner_err err = {0};
  size_t n;
  (void)state;
  assert_int_equal(ner_vocab_from_lines(lines, sizeof lines - 1, "v", &vocab, &err), NER_OK);
  assert_int_equal(ner_vocab_size(vocab), 8);
  assert_int_equal(ner_vocab_find(vocab, "[UNK]", 5), 0);
  assert_int_equal(ner_vocab_find(vocab, "[CLS]", 5), 1);
  assert_int_equal(ner_vocab_find(vocab, "", 0), 2);
  assert_int_equal(ner_vocab_find(vocab, "##rk", 4), 3);
  assert_int_equal(ner_vocab_find(vocab, "rk", 2), -1);
  assert_int_equal(ner_vocab_find(vocab, "twice", 5), 6);
  assert_int_equal(ner_vocab_find(vocab, "last", 4), 7);
  assert_int_equal(ner_vocab_piece_cp(vocab, 4), 4);
  assert_memory_equal(ner_vocab_piece(vocab, 3, &n), "##rk", 4);
  assert_int_equal(n, 4);
  assert_memory_equal(ner_vocab_piece(vocab, 5, &n), "twice", 5);
  ner_vocab_free(vocab);
  ner_vocab_free(NULL);
}

static void check_lines_refused(const char *lines, size_t n_bytes, const char *message) {
  struct ner_vocab *vocab = (struct ner_vocab *)&vocab;
  struct ner_err err = {0};
  assert_int_equal(ner_vocab_from_lines(lines, n_bytes, "dir/vocab.txt", &vocab, &err), NER_ERROR);
  assert_null(vocab);
  assert_string_equal(err.msg, message);
}

static void vocabularies_refused(void **state) {
  struct ner_vocab *vocab;
  struct ner_tokenizer *tokenizer;
  struct ner_err err = {0};
  (void)state;
  check_lines_refused("", 0, "dir/vocab.txt: the vocabulary is empty; it needs a piece a line");
  check_lines_refused("a\n\xFF\n", 4,
                      "dir/vocab.txt: piece 1 is not valid UTF-8; get the vocabulary anew");
  assert_int_equal(ner_vocab_from_lines("[UNK]\n[CLS]\n", 12, "v.txt", &vocab, &err), NER_OK);
  assert_int_equal(ner_tokenizer_new(vocab, &cased, "v.txt", &tokenizer, &err), NER_ERROR);
  assert_null(tokenizer);
  assert_string_equal(err.msg, "v.txt: the vocabulary has no [SEP]; is it that of a BERT model?");
}

static int add_all(const char *const *pieces, const int64_t *ids, size_t n, struct ner_err *err) {
  struct ner_vocab *vocab;
  int rc = ner_vocab_new(&vocab, err);
  for( size_t i = 0; rc == NER_OK && i < n; i++ )
    rc = ner_vocab_add(vocab, pieces[i], strlen(pieces[i]), ids[i], err);
  if( rc == NER_OK ) rc = ner_vocab_finish(vocab, "tokenizer.json", err);
  if( rc == NER_OK )
    for( size_t i = 0; i < n; i++ )
      assert_int_equal(ner_vocab_find(vocab, pieces[i], strlen(pieces[i])), ids[i]);
  ner_vocab_free(vocab);
  return rc;
}

static void vocabulary_piece_by_piece(void **state) {
  static const char *const pieces[] = {"c", "a", "b", "a"};
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(add_all(pieces, (int64_t[]){2, 0, 1, 0}, 4, &err), NER_OK);
  assert_int_equal(add_all(pieces, (int64_t[]){2, 0, 0}, 3, &err), NER_ERROR);
  assert_string_equal(err.msg, "tokenizer.json: two pieces have the id 0; each needs its own");
  err.code = NER_OK;
  assert_int_equal(add_all(pieces, (int64_t[]){0, 2}, 2, &err), NER_ERROR);
  assert_string_equal(err.msg,
                      "tokenizer.json: the largest of 2 piece ids is 2, so some id is missing");
  err.code = NER_OK;
  assert_int_equal(add_all(pieces, (int64_t[]){0, 1, 3, 1}, 4, &err), NER_ERROR);
  err.code = NER_OK;
  assert_int_equal(
      add_all((const char *const[]){"a", "b", "b", "c"}, (int64_t[]){0, 1, 1, 3}, 4, &err),
      NER_ERROR);
  assert_string_equal(err.msg, "tokenizer.json: no piece has the id 2; ids must have no holes");
  err.code = NER_OK;
  assert_int_equal(add_all(pieces, (int64_t[]){-1}, 1, &err), NER_ERROR);
  err.code = NER_OK;
  assert_int_equal(add_all(pieces, (int64_t[]){INT64_MAX}, 1, &err), NER_ERROR);
  err.code = NER_OK;
  assert_int_equal(add_all(pieces, (int64_t[]){((int64_t)1 << 29) - 1}, 1, &err), NER_ERROR);
}

/* ---- special tokens, hostile texts ---- */

/* "id id id ..." of a text under the vocabulary LINES a ##a b ##b [ ] C é */
static void check_ids(const char *text, size_t n_bytes, const char *expected) {
  static const char lines[] = LINES "a\n##a\nb\n##b\n[\n]\nC\n";
  struct ner_tokenizer *tokenizer = tokenizer_of_lines(lines, sizeof lines - 1, &cased);
  struct ner_tokens tokens = tokens_of(tokenizer, text, n_bytes);
  char got[200] = "";
  for( size_t i = 0; i < tokens.n; i++ )
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d", i ? " " : "",
             (int)tokens.token[i].id);
  assert_string_equal(got, expected);
  ner_tokens_free(&tokens);
  ner_tokenizer_free(tokenizer);
}
#define IDS(text, expected) check_ids(text, sizeof text - 1, expected)

/* ---- a vocabulary made to be slow ---- */

#define N_CRAFTED 20000

/* The hash that the vocabulary had before it had a key, from this start. */
static uint64_t unkeyed_hash(uint64_t hash, const char *piece, size_t n) {
  for( size_t i = 0; i < n; i++ ) hash = (hash ^ (unsigned char)piece[i]) * 0x9E3779B97F4A7C15u;
  return hash;
}

/* The k-th string of six letters from a to p. */
static void spell(uint32_t k, char piece[6]) {
  for( int i = 5; i >= 0; i--, k /= 16 ) piece[i] = (char)('a' + k % 16);
}

/* All of them are found, and none after more than a few dozen steps: a thousand is never reached by
** chance, and missed by no collision. */
static void check_probes(const char *lines, size_t n_pieces) {
  struct ner_vocab *vocab = NULL;
  struct ner_err err = {0};
  if( ner_vocab_from_lines(lines, n_pieces * 7, "crafted", &vocab, &err) ) fail_msg("%s", err.msg);
  for( size_t i = 0; i < n_pieces; i++ )
    assert_int_equal(ner_vocab_find(vocab, lines + 7 * i, 6), i);
  assert_in_range(ner_vocab_longest_probe(vocab), 0, 1000);
  ner_vocab_free(vocab);
}

static void vocabulary_of_collisions(void **state) {
  char *lines = malloc(N_CRAFTED * 7);
  size_t n = 0;
  (void)state;
  assert_non_null(lines);
  for( uint32_t k = 0; n < N_CRAFTED; k++ ) { /* one in 256 */
    char *piece = lines + 7 * n;
    spell(k, piece);
    piece[6] = '\n';
    if( unkeyed_hash(0x243F6A8885A308D3u, piece, 6) >> 56 == 0 ) n++;
  }
  check_probes(lines, n);
  for( uint32_t k = 0; k < N_CRAFTED; k++ ) spell(k, lines + 7 * k); /* as alike as can be */
  check_probes(lines, n);
  free(lines);
}

static void special_tokens_in_text(void **state) {
  static const char lines[] = "[UNK]\n[CLS]\n[SEP]\n[\n]\nPAD\n";
  struct ner_tokenizer *tokenizer;
  struct ner_tokens tokens;
  (void)state;
  IDS("[CLS]", "2");
  IDS("a[SEP]b[MASK]", "5 3 7 4");
  IDS("[[SEP]]", "9 3 10");
  IDS("[SEP", "9 1");
  IDS("[", "9");
  IDS("[SEP\0]", "9 1 10");
  IDS("a\0[UNK]\xFF[PAD]\xC3", "5 1 0");
  /* One that the vocabulary lacks is ordinary text. */
  tokenizer = tokenizer_of_lines(lines, sizeof lines - 1, &cased);
  tokens = tokens_of(tokenizer, "[PAD][SEP]", 10);
  assert_int_equal(tokens.n, 4);
  assert_int_equal(tokens.token[1].id, 5);
  assert_int_equal(tokens.token[3].id, 2);
  ner_tokens_free(&tokens);
  ner_tokenizer_free(tokenizer);
}

static void ill_formed_texts(void **state) {
  (void)state;
  IDS("", "");
  IDS("\xFF\xFE", "");
  IDS("a\xFF"
      "b",
      "5 8"); /* deleted, as U+FFFD is */
  IDS("a\0b\0 a", "5 8 5");
  IDS("\xED\xA0\x80"
      "a",
      "5");
  IDS("\xCC\x81", "1");
}

static void hostile_texts(void **state) {
  static const char lines[] = LINES "a\n##a\n";
  const size_t n = 10 * 1000 * 1000;
  struct ner_tokenizer *tokenizer = tokenizer_of_lines(lines, sizeof lines - 1, &cased);
  char *text = malloc(n);
  struct ner_tokens tokens;
  (void)state;
  assert_non_null(text);
  memset(text, 'a', n); /* one word */
  tokens = tokens_of(tokenizer, text, n);
  assert_int_equal(tokens.n, 1);
  assert_int_equal(tokens.token[0].id, 1);
  assert_int_equal(tokens.token[0].end_byte, n);
  ner_tokens_free(&tokens);
  memset(text, ' ', 1000000); /* blanks, then one word of 100 */
  tokens = tokens_of(tokenizer, text, 1000100);
  assert_int_equal(tokens.n, 100);
  assert_int_equal(tokens.token[99].start, 1000099);
  ner_tokens_free(&tokens);
  memset(text, '[', 1000000);
  tokens = tokens_of(tokenizer, text, 1000000);
  assert_int_equal(tokens.n, 1000000);
  ner_tokens_free(&tokens);
  free(text);
  ner_tokenizer_free(tokenizer);
}

static void too_long_text(void **state) {
  struct ner_tokenizer *tokenizer = tokenizer_of_lines(LINES, sizeof LINES - 1, &cased);
  struct ner_tokens tokens = {0};
  struct ner_err err = {0};
  (void)state;
  if( sizeof(size_t) > 4 ) { /* not a byte of it is looked at */
    assert_int_equal(ner_tokenize(tokenizer, "", (size_t)UINT32_MAX + 1, 0, &tokens, NULL, &err),
                     NER_ERROR);
    assert_string_equal(err.msg, "a text of 4294967296 bytes is too long; the limit is 4 GB");
  }
  ner_tokenizer_free(tokenizer);
}

/* ---- the decoder ---- */

/* Decodes the pieces of a "|"-separated list, each an entry of the vocabulary. */
static void check_decoded(const char *pieces, const char *expected) {
  struct ner_vocab *vocab = NULL;
  struct ner_err err = {0};
  int32_t ids[16] = {0};
  char *lines = strdup(pieces), *decoded;
  size_t n_bytes = strlen(pieces);
  assert_non_null(lines);
  for( size_t i = 0; i < n_bytes; i++ )
    if( lines[i] == '|' ) lines[i] = '\n';
  assert_int_equal(ner_vocab_from_lines(lines, n_bytes, "pieces", &vocab, &err), NER_OK);
  assert_in_range(ner_vocab_size(vocab), 1, 16);
  for( int32_t i = 0; i < ner_vocab_size(vocab); i++ ) ids[i] = i;
  decoded = ner_decode(vocab, ids, (size_t)ner_vocab_size(vocab));
  assert_non_null(decoded);
  assert_string_equal(decoded, expected);
  NER_FREE(decoded);
  ner_vocab_free(vocab);
  free(lines);
}

static void decoder(void **state) {
  (void)state;
  check_decoded("Angela|Me|##rk|##el", "Angela Merkel");
  check_decoded("##el|visited", "##el visited");
  check_decoded("U|.|S|.", "U. S.");
  check_decoded("O|'|Neill", "O ' Neill");
  check_decoded("New|York|,|NY", "New York, NY");
  check_decoded("AT|&|T", "AT & T");
  check_decoded("Jean|-|Paul", "Jean - Paul");
  check_decoded("Paris|'s", "Paris's");
  check_decoded("I|n't", "In't");
  check_decoded("they|'ve|gone|?|!", "they've gone?!");
  check_decoded("a|##|##b", "ab");
  check_decoded("I|do not|##do not", "I don'tdo not");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(vectors_reduced_vocabulary),
      cmocka_unit_test(vectors_full_vocabulary),
      cmocka_unit_test(golden_nasty_texts),
      cmocka_unit_test(word_by_word),
      cmocka_unit_test(vocabulary_of_lines),
      cmocka_unit_test(vocabularies_refused),
      cmocka_unit_test(vocabulary_piece_by_piece),
      cmocka_unit_test(vocabulary_of_collisions),
      cmocka_unit_test(special_tokens_in_text),
      cmocka_unit_test(ill_formed_texts),
      cmocka_unit_test(hostile_texts),
      cmocka_unit_test(too_long_text),
      cmocka_unit_test(decoder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
