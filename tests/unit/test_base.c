/*
** test_base.c - messages: whatever they quote and however long it is, they are UTF-8 and end at a
** character. Memory: alignment, large blocks that go back to the system.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/base.h"
#include "text/text.h"

#define ELLIPSIS "\xE2\x80\xA6"

/* As SQLite and Python read it: the decoder of the tokenizer finds nothing ill-formed but the
** replacement characters that stand there themselves. */
static bool is_utf8(const char *s) {
  uint32_t n = (uint32_t)strlen(s), at = 0;
  while( at < n ) {
    uint32_t begin = at;
    int32_t c = ner_utf8_next((const unsigned char *)s, n, &at);
    if( c == 0xFFFD && (at - begin != 3 || memcmp(s + begin, "\xEF\xBF\xBD", 3)) ) return false;
  }
  return true;
}

static void assert_ends(const char *s, const char *end) {
  size_t n = strlen(s), n_end = strlen(end);
  if( n < n_end || strcmp(s + n - n_end, end) ) fail_msg("'%s' does not end in '%s'", s, end);
}

static char *repeat(const char *unit, size_t times) {
  char *text = malloc(strlen(unit) * times + 1);
  assert_non_null(text);
  *text = 0;
  for( size_t i = 0; i < times; i++ ) memcpy(text + i * strlen(unit), unit, strlen(unit) + 1);
  return text;
}

/* ---- messages ---- */

static void test_format_is_as_printf(void **state) {
  char ours[200], theirs[200];
#define SAME(...)                                                                                  \
  do {                                                                                             \
    ner_format(ours, sizeof ours, __VA_ARGS__);                                                    \
    snprintf(theirs, sizeof theirs, __VA_ARGS__);                                                  \
    assert_string_equal(ours, theirs);                                                             \
  } while( 0 )
  (void)state;
  SAME("nothing");
  SAME("%d %d %u 100%% %s", -7, 2147483647, 4294967295u, "é");
  SAME("%ld %lu %lld %llu", -8L, 9uL, -9223372036854775807LL - 1, 18446744073709551615uLL);
  SAME("%zu %zd", (size_t)-1, (ptrdiff_t)-1);
  SAME("'%.4s' '%.*s' '%.*s'", "abcd", 2, "xyz", 9, "short");
}

/* 100 × 'é', and the same moved by a byte, for every limit: '…' stands in for what is left out. */
static void test_limits_cut_at_a_character(void **state) {
  char *text = repeat("é", 100), message[300];
  (void)state;
  ner_format(message, sizeof message, "'%.60s'", text);
  assert_int_equal(strlen(message), 1 + 60 + 3 + 1);
  assert_ends(message, "é" ELLIPSIS "'");
  ner_format(message, sizeof message, "'%.59s'", text);
  assert_int_equal(strlen(message), 1 + 58 + 3 + 1);
  assert_true(is_utf8(message));
  free(text);
}

/* A whole message's end, at every offset within characters of every length. */
static void test_messages_end_at_a_character(void **state) {
  static const char *const characters[] = {"x", "é", "€", "\xF0\x9F\x98\x80"};
  (void)state;
  for( int c = 0; c < 4; c++ )
    for( int offset = 0; offset < 8; offset++ ) {
      char *pad = repeat("a", (size_t)offset), *text = repeat(characters[c], 700);
      struct ner_err err = {0};
      assert_int_equal(ner_fail(&err, NER_ERROR, "%s%s: what to do", pad, text), NER_ERROR);
      assert_true(is_utf8(err.msg));
      assert_ends(err.msg, ELLIPSIS);
      assert_in_range(strlen(err.msg), sizeof err.msg - 1 - 3, sizeof err.msg - 1);
      ner_fail_prefix(&err, "%s%s: ", pad, "prefix");
      assert_true(is_utf8(err.msg));
      assert_ends(err.msg, ELLIPSIS);
      free(pad);
      free(text);
    }
}

/* What just fits is not cut, what is a byte too long is. */
static void test_a_full_message(void **state) {
  struct ner_err err = {0}, longer = {0};
  char *text = repeat("x", sizeof err.msg - 1), *more = repeat("x", sizeof err.msg);
  (void)state;
  ner_fail(&err, NER_ERROR, "%s", text);
  assert_string_equal(err.msg, text);
  ner_fail(&longer, NER_ERROR, "%s", more);
  assert_ends(longer.msg, "x" ELLIPSIS);
  free(text);
  free(more);
}

static void test_ill_formed_bytes(void **state) {
  static const char *const bad[] = {"\xC3",
                                    "\x80",
                                    "\xC0\xAF",
                                    "\xE2\x82",
                                    "\xED\xA0\x80",
                                    "\xF4\x90\x80\x80",
                                    "\xF0\x80\x80\x80",
                                    "\xFF\xFE",
                                    "a\xF0\x9F\x98"};
  (void)state;
  for( size_t i = 0; i < sizeof bad / sizeof *bad; i++ ) {
    struct ner_err err = {0};
    ner_fail(&err, NER_ERROR, "'%s' and '%.2s' and '%.*s'", bad[i], bad[i], 1, bad[i]);
    assert_true(is_utf8(err.msg));
    assert_ends(err.msg, "'");
  }
  /* Whatever bytes there are. */
  for( unsigned seed = 1; seed <= 2000; seed++ ) {
    struct ner_err err = {0};
    char text[700];
    unsigned x = seed;
    for( size_t i = 0; i < sizeof text - 1; i++ ) {
      x = x * 1664525u + 1013904223u;
      text[i] = (char)(x >> 24 ? x >> 24 : 1);
    }
    text[sizeof text - 1] = 0;
    ner_fail(&err, NER_ERROR, "%.90s|%s", text, text + seed % 690);
    assert_true(is_utf8(err.msg));
  }
}

static void test_small_buffers(void **state) {
  (void)state;
  for( size_t n = 1; n < 12; n++ ) {
    char out[16] = "@@@@@@@@@@@@@@@";
    ner_format(out, n, "%s", "ééééé");
    assert_true(strlen(out) < n);
    assert_true(is_utf8(out));
    assert_int_equal(out[n], '@');
  }
}

static void test_the_first_failure_counts(void **state) {
  struct ner_err err = {0};
  (void)state;
  ner_fail(&err, NER_ERROR, "first");
  ner_fail(&err, NER_NOMEM, "second");
  ner_fail_prefix(&err, "%s: ", "file");
  assert_int_equal(err.code, NER_ERROR);
  assert_string_equal(err.msg, "file: first");
  assert_int_equal(ner_fail(NULL, NER_NOMEM, "nowhere"), NER_NOMEM);
}

/* ---- memory ---- */

static void test_aligned_blocks(void **state) {
  static const size_t sizes[] = {
      0, 1, 63, 64, 4096, NER_LARGE_BYTES - 100, NER_LARGE_BYTES, NER_LARGE_BYTES * 5 + 7};
  (void)state;
  for( size_t i = 0; i < sizeof sizes / sizeof *sizes; i++ ) {
    unsigned char *p = ner_aligned_alloc(sizes[i], 1);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(p, 0xa5, sizes[i]);
    ner_aligned_free(p);
  }
  ner_aligned_free(NULL);
  assert_null(ner_aligned_alloc(SIZE_MAX, 1));
  assert_null(ner_aligned_alloc(SIZE_MAX - 100, 1));
  assert_null(ner_aligned_alloc(SIZE_MAX / 2, 3));
}

/* Whether any of this process's memory is marked for large pages (hg); -1: the system does not
** say. */
static int has_large_pages(void) {
  FILE *maps = fopen("/proc/self/smaps", "r");
  char line[1000];
  int found = maps ? 0 : -1;
  while( maps && fgets(line, sizeof line, maps) )
    if( !strncmp(line, "VmFlags:", 8) && strstr(line, " hg") ) found = 1;
  if( maps ) fclose(maps);
  return found;
}

/* The advice about a large block goes with it, and the host's heap has never heard of it. Twice:
** what malloc() once mapped and got back it takes from its heap the next time. */
static void test_large_blocks_leave_nothing_behind(void **state) {
  struct ner_err err = {0};
  (void)state;
  if( has_large_pages() != 0 ) skip();
  for( int round = 0; round < 3; round++ ) {
    struct ner_model *model;
    struct ner_entities found;
    if( ner_model_open("models/ner-small.safetensors", NER_PRECISION_FILE, &model, &err) )
      fail_msg("%s", err.msg);
    if( ner_extract(model, "Anna lives in Rome", 18, NULL, &found, &err) ) fail_msg("%s", err.msg);
    ner_entities_free(&found);
    ner_model_unref(model);
    assert_int_equal(has_large_pages(), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_format_is_as_printf),
      cmocka_unit_test(test_limits_cut_at_a_character),
      cmocka_unit_test(test_messages_end_at_a_character),
      cmocka_unit_test(test_a_full_message),
      cmocka_unit_test(test_ill_formed_bytes),
      cmocka_unit_test(test_small_buffers),
      cmocka_unit_test(test_the_first_failure_counts),
      cmocka_unit_test(test_aligned_blocks),
      cmocka_unit_test(test_large_blocks_leave_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
