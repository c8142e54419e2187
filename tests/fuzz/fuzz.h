/*
** fuzz.h - what the fuzz targets share. A target is one file that defines
**
**     int LLVMFuzzerInitialize(int *argc, char ***argv);             once, at the start
**     int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);    for every input
**
** `make fuzz` links it with libFuzzer (clang), `make test` with replay.c, which runs the committed
** corpus through it. An invariant that does not hold ends the program by abort().
*/
#ifndef NER_FUZZ_H
#define NER_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);
/* libFuzzer's, for targets that bring a mutator of their own (compiled with -DNER_FUZZ only). */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n_bytes, size_t max_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed);

#define fail_msg(...)                                                                              \
  (fprintf(stderr, "%s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__),                   \
   fputc('\n', stderr), abort())
#define check(x) ((x) ? (void)0 : fail_msg("does not hold: %s", #x))

/* What tests/support.h wants of cmocka. */
#define assert_true(x)         check(x)
#define assert_non_null(p)     check((p) != NULL)
#define assert_int_equal(a, b) check((long long)(a) == (long long)(b))
#include "../support.h"

#include "model/internal.h"
#include "engine/pipeline.h"

/* ---- the fuzzer's bytes ---- */

struct fuzz_bytes {
  const uint8_t *at;
  size_t n;
};

/* Zeros once there are no more. */
TEST_UNUSED uint8_t fuzz_byte(struct fuzz_bytes *b) {
  if( b->n == 0 ) return 0;
  b->n--;
  return *b->at++;
}

/* The next n bytes, fewer at the end. */
TEST_UNUSED struct fuzz_bytes fuzz_take(struct fuzz_bytes *b, size_t n) {
  struct fuzz_bytes part = {b->at, n < b->n ? n : b->n};
  b->at += part.n;
  b->n -= part.n;
  return part;
}

/* What stands before the next `end`, which is taken too; all of it where there is none. */
TEST_UNUSED struct fuzz_bytes fuzz_until(struct fuzz_bytes *b, uint8_t end) {
  const uint8_t *hit = b->n ? memchr(b->at, end, b->n) : NULL;
  struct fuzz_bytes part = fuzz_take(b, hit ? (size_t)(hit - b->at) : b->n);
  if( hit ) fuzz_byte(b);
  return part;
}

TEST_UNUSED uint64_t fuzz_number(struct fuzz_bytes *b, int n_bytes) {
  uint64_t value = 0;
  for( int i = 0; i < n_bytes; i++ ) value = value << 8 | fuzz_byte(b);
  return value;
}

/* A copy that ends where the bytes end, so that a byte too far is noticed; for free(). */
TEST_UNUSED char *fuzz_copy(const void *bytes, size_t n) {
  char *copy = malloc(n ? n : 1);
  check(copy);
  if( n ) memcpy(copy, bytes, n);
  return copy;
}

/* ---- the process ---- */

static char fuzz_dir[TEST_PATH]; /* in memory where there is such a place; removed at the end */

TEST_UNUSED void fuzz_remove_dir(void) {
  test_dir_remove(fuzz_dir);
}

/* One thread, a kernel level whose reads the sanitizer sees, a folder for files. */
TEST_UNUSED void fuzz_begin(void) {
  if( access("/dev/shm", W_OK) == 0 ) setenv("TMPDIR", "/dev/shm", 0);
  setenv("NER_THREADS", "1", 0);
#ifdef NER_FUZZ
  setenv("NER_CPU", "avx2", 0);
#endif
  test_dir_make(fuzz_dir);
  atexit(fuzz_remove_dir);
}

/* ---- invariants ---- */

/* The length of the code point at s [n > 0], or of the ill-formed piece that counts as one: a
** maximal subpart (Unicode, table 3-7). Apart from ner_utf8_next() on purpose. */
TEST_UNUSED size_t fuzz_step(const uint8_t *s, size_t n) {
  int lead = s[0], low = 0x80, high = 0xBF;
  size_t more = lead < 0xC2 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : lead < 0xF5 ? 3 : 0, i = 1;
  if( lead == 0xE0 ) low = 0xA0;
  if( lead == 0xED ) high = 0x9F;
  if( lead == 0xF0 ) low = 0x90;
  if( lead == 0xF4 ) high = 0x8F;
  for( ; i <= more && i < n && s[i] >= low && s[i] <= high; i++ ) low = 0x80, high = 0xBF;
  return i;
}

/* border[i] is the byte where code point i begins, border[*n_cp] is n. For free(). */
TEST_UNUSED uint32_t *fuzz_borders(const char *text, size_t n, uint32_t *n_cp) {
  uint32_t *border = malloc((n + 1) * sizeof *border), at = 0;
  check(border);
  *n_cp = 0;
  while( at < n ) {
    border[(*n_cp)++] = at;
    at += (uint32_t)fuzz_step((const uint8_t *)text + at, n - at);
  }
  border[*n_cp] = (uint32_t)n;
  check(at == n);
  return border;
}

/* Spans follow one another and bytes agree with code points. Neighbours share at most one
** character, which then decomposed into several pieces. */
TEST_UNUSED void fuzz_check_tokens(const struct ner_tokenizer *tokenizer, const char *text,
                                   size_t n, const struct ner_tokens *tokens) {
  uint32_t n_cp, *border = fuzz_borders(text, n, &n_cp);
  for( size_t i = 0; i < tokens->n; i++ ) {
    const struct ner_token *t = &tokens->token[i], *before = i ? t - 1 : NULL;
    check(t->id >= 0 && t->id < ner_vocab_size(ner_tokenizer_vocab(tokenizer)));
    check(t->start < t->end && t->end <= n_cp);
    check(t->start_byte == border[t->start] && t->end_byte == border[t->end]);
    if( !before ) continue;
    check(t->word >= before->word);
    check(t->start >= before->start && t->end >= before->end && t->start + 1 >= before->end);
  }
  free(border);
}

TEST_UNUSED void fuzz_check_entities(const struct ner_model *model, const char *text, size_t n,
                                     const struct ner_options *options,
                                     const struct ner_entities *found) {
  const struct ner_added_tokens *added = &ner_tokenizer_parts(model->tokenizer)->added;
  uint32_t n_cp, *border = fuzz_borders(text, n, &n_cp);
  bool may_overlap = false; /* an added token takes blanks that another begins with */
  for( size_t i = 0; i < added->n; i++ ) may_overlap |= added->token[i].rstrip;
  for( size_t i = 0; i < found->n; i++ ) {
    const struct ner_entity *e = &found->entity[i], *before = i ? e - 1 : NULL;
    bool known = false;
    check(e->start < e->end && e->end <= n_cp);
    check(e->start_byte == border[e->start] && e->end_byte == border[e->end]);
    check(e->score <= 1 && e->score >= options->threshold);
    /* A label that strict has to choose may have no probability left. */
    check(e->score > 0 || options->aggregation == NER_AGGREGATION_STRICT);
    check(strcmp(e->label, "O") != 0);
    for( int32_t k = 0; k < model->config.n_labels && !known; k++ ) {
      const char *name = model->label[k].name, *dash = strchr(name, '-');
      size_t n_name = strlen(name), n_label = strlen(e->label);
      known = strcmp(e->label, dash ? dash + 1 : name) == 0;
      if( options->aggregation == NER_AGGREGATION_STRICT && n_name == n_label + 2 )
        known |= name[n_label] == '-' && memcmp(name, e->label, n_label) == 0;
    }
    check(known);
    if( before ) check(e->start >= before->start);
    if( before && !may_overlap ) check(e->start + 1 >= before->end);
  }
  free(border);
}

/* A model that opened must label any text, in every aggregation, or say why not. */
TEST_UNUSED void fuzz_use_model(struct ner_model *model, const char *text, size_t n) {
  for( int aggregation = 0; aggregation <= NER_AGGREGATION_STRICT; aggregation++ ) {
    const struct ner_options options = {.aggregation = (enum ner_aggregation)aggregation};
    struct ner_entities found = {0};
    struct ner_err err = {0};
    int rc = ner_extract(model, text, n, &options, &found, &err);
    check(rc == err.code);
    if( rc == NER_OK ) fuzz_check_entities(model, text, n, &options, &found);
    ner_entities_free(&found);
  }
}

#endif
