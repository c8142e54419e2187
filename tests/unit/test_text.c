/*
** test_text.c - UTF-8 and the word splitter. What words the reference makes of
** nasty texts is checked through the tokenizer, in test_wordpiece.c; here are
** the cases worth seeing one by one, and hostile input.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/text.h"

static const struct ner_text_rules cased = {.clean_text = true, .split_cjk = true};
static const struct ner_text_rules uncased = {true, true, true, true};
static const struct ner_text_rules none;

/* ---- UTF-8 ---- */

static void check_decodes(const char *text, size_t n_bytes, const int32_t *expected, size_t n) {
  /* An exact copy on the heap, so that reading past the end is seen. */
  unsigned char *bytes = malloc(n_bytes);
  uint32_t at = 0;
  assert_non_null(bytes);
  memcpy(bytes, text, n_bytes);
  for( size_t i = 0; i < n; i++ ) {
    assert_true(at < n_bytes);
    assert_int_equal(ner_utf8_next(bytes, (uint32_t)n_bytes, &at), expected[i]);
  }
  assert_int_equal(at, n_bytes);
  assert_int_equal(ner_utf8_count((const char *)bytes, (uint32_t)n_bytes), n);
  free(bytes);
}
#define DECODES(text, ...)                                                                         \
  check_decodes(text, sizeof text - 1, (const int32_t[]){__VA_ARGS__},                             \
                sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t))

static void utf8_well_formed(void **state) {
  (void)state;
  DECODES("a\x7F", 'a', 0x7F);
  DECODES("\xC2\x80\xDF\xBF", 0x80, 0x7FF);
  DECODES("\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", 0x800, 0xD7FF, 0xE000, 0xFFFF);
  DECODES("\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 0x10000, 0x10FFFF);
  DECODES("a\0b", 'a', 0, 'b');
}

/* As Python's bytes.decode("utf-8", "replace"). */
static void utf8_ill_formed(void **state) {
  (void)state;
  DECODES("\x80", 0xFFFD);
  DECODES("\xFF\xFE", 0xFFFD, 0xFFFD);
  DECODES("\xC0\x80\xC1\xBF", 0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD); /* overlong */
  DECODES("\xE0\x80\x80", 0xFFFD, 0xFFFD, 0xFFFD);             /* overlong */
  DECODES("\xF0\x8F\xBF\xBF", 0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD); /* overlong */
  DECODES("\xED\xA0\x80", 0xFFFD, 0xFFFD, 0xFFFD);             /* surrogate */
  DECODES("\xF4\x90\x80\x80", 0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD); /* too large */
  DECODES("\xF5\x80\x80\x80", 0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD); /* too large */
  DECODES("\xC3", 0xFFFD);                                     /* cut short */
  DECODES("\xE4\xB8", 0xFFFD);                                 /* cut short */
  DECODES("\xF0\x9F\x98", 0xFFFD);                             /* cut short */
  DECODES("\xC3(", 0xFFFD, '(');
  DECODES("\xE4\xB8z", 0xFFFD, 'z');
  DECODES("\xF0\x9F\x98\xC3\xA9", 0xFFFD, 0xE9);
  DECODES("a\xF1\x80\x80\xE1\x80\xC2"
          "b\x80",
          'a', 0xFFFD, 0xFFFD, 0xFFFD, 'b', 0xFFFD); /* the Unicode standard's example */
}

/* ---- words ---- */

/* Splits and compares with "word(start,end)word(start,end)", code points. Byte spans must
** agree with them. */
static void check_words(const struct ner_text_rules *rules, const char *text, size_t n_bytes,
                        const char *expected) {
  struct ner_splitter split;
  struct ner_word word;
  char got[2000];
  size_t n = 0;
  ner_splitter_init(&split, rules, text, (uint32_t)n_bytes, 0, 0);
  got[0] = 0;
  while( ner_splitter_next(&split, &word) ) {
    n += (size_t)snprintf(got + n, sizeof got - n, "%.*s(%u,%u)", (int)word.n_bytes, word.norm,
                          word.place.start, word.place.end);
    assert_true(n < sizeof got);
    assert_int_equal(ner_utf8_count(text, word.place.start_byte), word.place.start);
    assert_int_equal(ner_utf8_count(text, word.place.end_byte), word.place.end);
  }
  assert_string_equal(got, expected);
  assert_int_equal(split.at.cp, ner_utf8_count(text, (uint32_t)n_bytes));
}
#define WORDS(rules, text, expected) check_words(&(rules), text, sizeof text - 1, expected)

static void words_of_ascii(void **state) {
  (void)state;
  WORDS(cased, "", "");
  WORDS(cased, " \t\r\n ", "");
  WORDS(cased, "Hello World", "Hello(0,5)World(6,11)");
  WORDS(uncased, "Hello WORLD", "hello(0,5)world(6,11)");
  WORDS(cased, " U.S. ", "U(1,2).(2,3)S(3,4).(4,5)");
  WORDS(cased, "$+<=>^`|~", "$(0,1)+(1,2)<(2,3)=(3,4)>(4,5)^(5,6)`(6,7)|(7,8)~(8,9)");
  WORDS(cased,
        "a\0b \x7F"
        "c\x0B",
        "ab(0,3)c(5,6)");
  WORDS(none,
        "a\x0B"
        "b\x0C\x01"
        "c d",
        "a(0,1)b(2,3)\001c(4,6)d(7,8)");
}

static void words_of_unicode(void **state) {
  (void)state;
  WORDS(cased, "caf\u00E9 bar", "caf\u00E9(0,4)bar(5,8)");
  WORDS(uncased, "CAF\u00C9 bar", "cafe(0,4)bar(5,8)");
  WORDS(uncased, "cafe\u0301 bar", "cafe(0,4)bar(6,9)");
  WORDS(cased, "Hel\u200Blo", "Hello(0,6)");
  WORDS(cased, "a\u00A0b\u2028c\u3000d", "a(0,1)b(2,3)c(4,5)d(6,7)");
  WORDS(cased, "\u4E2D\u56FDx\u3042", "\u4E2D(0,1)\u56FD(1,2)x\u3042(2,4)");
  WORDS(none, "\u4E2D\u56FDx", "\u4E2D\u56FDx(0,3)");
  /* The reference's gap: 2B820 to 2B91F are no ideographs to it. */
  WORDS(cased, "\U0002B81Fx", "\U0002B81F(0,1)x(1,2)");
  WORDS(cased, "\U0002B820x", "\U0002B820x(0,2)");
  WORDS(cased, "\U0002B91Fx", "\U0002B91Fx(0,2)");
  WORDS(cased, "\U0002B920x", "\U0002B920(0,1)x(1,2)");
  /* Punctuation as of Unicode 8. */
  WORDS(cased, "a\u2042b\u2E43c\u061Dd\u166De",
        "a(0,1)\u2042(1,2)b\u2E43c\u061Dd(2,7)"
        "\u166D(7,8)e(8,9)");
  /* Punctuation appears, or vanishes into a word, by decomposition. */
  WORDS(uncased, "a\u226Eb\u037Ec", "a(0,1)<(1,2)b(2,3);(3,4)c(4,5)");
  WORDS(uncased, "\u226E\u302Eb", "<(0,1)\u302Eb(1,3)");
}

static void words_lowercased(void **state) {
  static const struct ner_text_rules lower = {.clean_text = true, .lowercase = true};
  (void)state;
  WORDS(uncased, "\u0130X", "ix(0,2)");
  WORDS(lower, "\u0130X", "i\u0307x(0,2)");
  WORDS(lower, "\u00C9A\u03A3\u00DF\u1E9E", "\u00E9a\u03C3\u00DF\u00DF(0,5)");
  /* Younger than Debian's utf8proc. */
  WORDS(lower, "\u1C89\uA7CB\uA7DC\U00010D50\U00016EA0",
        "\u1C8A\u0264\u019B\U00010D70\U00016EBB(0,5)");
}

static void marks_are_sorted(void **state) {
  static const struct ner_text_rules strip = {.clean_text = true, .strip_accents = true};
  (void)state;
  /* 08D4: class 230, 302E: 224, 1D165: 216; 0301 (230) is deleted after the sort. */
  WORDS(strip, "a\u08D4\u302E\U0001D165", "a\U0001D165\u302E\u08D4(0,4)");
  WORDS(strip, "a\u08D4\u200B\u302E", "a\u302E\u08D4(0,4)");
  WORDS(strip, "\u08D4", "\u08D4(0,1)");
  /* Places go by the sorted order: the last mark stands third of four. */
  WORDS(strip, "a\u0301\u08D4\u0301\u302E", "a\u302E\u08D4(0,4)");
  /* An ideograph ends a run, a blank as well. */
  WORDS(cased, "a\u08D4\u302E", "a\u08D4\u302E(0,3)");
  WORDS(strip, "a\u08D4 \u302E", "a\u08D4(0,2)\u302E(3,4)");
  /* Unknown to the reference's data: a starter that splits the run. */
  WORDS(strip, "a\u08D4\u1DF6\u302E", "a\u08D4\u1DF6\u302E(0,4)");
}

static void parts_share_a_place(void **state) {
  struct ner_splitter split;
  struct ner_word word;
  static const char text[] = "x\uD55C\u00E9";
  (void)state;
  ner_splitter_init(&split, &uncased, text, sizeof text - 1, 100, 10);
  assert_true(ner_splitter_next(&split, &word));
  assert_int_equal(word.n_cp, 5); /* x, three jamo, e */
  assert_int_equal(word.place.start, 10);
  for( uint32_t i = 1; i <= 3; i++ ) {
    struct ner_place place = ner_word_place(&word, i, i);
    assert_int_equal(place.start, 11);
    assert_int_equal(place.end, 12);
    assert_int_equal(place.start_byte, 101);
    assert_int_equal(place.end_byte, 104);
  }
  assert_int_equal(ner_word_place(&word, 4, 4).start_byte, 104);
  assert_int_equal(ner_word_place(&word, 4, 4).end_byte, 106);
  assert_false(ner_splitter_next(&split, &word));
}

static void long_words(void **state) {
  const size_t n = 10 * 1000 * 1000;
  char *text = malloc(n + 2);
  static const char *const ends[] = {"", "\xC3\xA9"}; /* all ASCII, or not */
  struct ner_splitter split;
  struct ner_word word;
  (void)state;
  assert_non_null(text);
  for( int i = 0; i < 2; i++ ) {
    uint32_t n_end = (uint32_t)strlen(ends[i]);
    memset(text, 'A', n);
    memcpy(text + n, ends[i], n_end);
    ner_splitter_init(&split, &uncased, text, (uint32_t)n + n_end, 0, 0);
    assert_true(ner_splitter_next(&split, &word));
    assert_int_equal(word.n_cp, NER_WORD_CP);
    assert_int_equal(word.n_bytes, NER_WORD_CP);
    assert_int_equal(word.norm[NER_WORD_CP - 1], 'a');
    assert_int_equal(word.place.end, n + (n_end ? 1 : 0));
    assert_int_equal(word.place.end_byte, n + n_end);
    assert_false(ner_splitter_next(&split, &word));
    /* exactly the limits */
    ner_splitter_init(&split, &uncased, text + n - 100, 100 + n_end, 0, 0);
    assert_true(ner_splitter_next(&split, &word));
    assert_int_equal(word.n_cp, n_end ? 101 : 100);
  }
  free(text);
}

/* Fills n bytes with repetitions of a pattern, splits, and expects this many words. */
static void check_repeated(const char *pattern, size_t n, uint32_t n_words) {
  size_t n_pattern = strlen(pattern);
  const struct ner_text_rules *rules[] = {&cased, &uncased};
  char *text = malloc(n);
  assert_non_null(text);
  n -= n % n_pattern;
  for( size_t i = 0; i < n; i++ ) text[i] = pattern[i % n_pattern];
  for( int i = 0; i < 2; i++ ) {
    struct ner_splitter split;
    struct ner_word word;
    uint32_t count = 0, before = 0;
    ner_splitter_init(&split, rules[i], text, (uint32_t)n, 0, 0);
    for( ; ner_splitter_next(&split, &word); count++ ) {
      assert_true(word.place.start_byte >= before && word.place.end_byte <= n);
      before = word.place.end_byte;
    }
    if( n_words != UINT32_MAX ) assert_int_equal(count, n_words);
  }
  free(text);
}

static void hostile_texts(void **state) {
  (void)state;
  check_repeated(" ", 1000000, 0);
  check_repeated("\xE2\x80\x8B", 300000, 0);                             /* zero-width spaces */
  check_repeated("\xCC\x81", 200000, UINT32_MAX);                        /* a run of accents */
  check_repeated("\xE3\x80\xAE\xCC\x81\xE0\xA3\x94\xCC\xB4", 900000, 1); /* a run to sort */
  check_repeated("\xFF\xC0", 1000000, 0);
  check_repeated("\xE2\x89\xAE", 300000, UINT32_MAX); /* U+226E */
  check_repeated("\xE4\xB8\xAD", 300000, 100000);
  check_repeated("a\xCC\x81.", 400000, UINT32_MAX);
  check_repeated("a\x01", 200000, 1);
}

/* Every code point between letters: spans in order and inside, all counted. */
static void every_code_point(void **state) {
  static const struct ner_text_rules all_rules[] = {
      {true, true, false, false}, {true, true, true, true}, {false, false, true, true}};
  (void)state;
  for( uint32_t c = 0; c < 0x110000; c++ ) {
    unsigned char text[6] = {'a'};
    uint32_t n = 1;
    if( c < 0x80 ) {
      text[n++] = (unsigned char)c;
    } else if( c < 0x800 ) {
      text[n++] = (unsigned char)(0xC0 | c >> 6);
      text[n++] = (unsigned char)(0x80 | (c & 63));
    } else if( c < 0x10000 ) { /* surrogates too, as bytes: ill-formed */
      text[n++] = (unsigned char)(0xE0 | c >> 12);
      text[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
      text[n++] = (unsigned char)(0x80 | (c & 63));
    } else {
      text[n++] = (unsigned char)(0xF0 | c >> 18);
      text[n++] = (unsigned char)(0x80 | (c >> 12 & 63));
      text[n++] = (unsigned char)(0x80 | (c >> 6 & 63));
      text[n++] = (unsigned char)(0x80 | (c & 63));
    }
    text[n++] = 'b';
    for( int r = 0; r < 3; r++ ) {
      struct ner_splitter split;
      struct ner_word word;
      uint32_t before = 0, n_words = 0;
      ner_splitter_init(&split, &all_rules[r], (const char *)text, n, 0, 0);
      for( ; ner_splitter_next(&split, &word); n_words++ ) {
        if( word.place.start_byte < before || word.place.end_byte > n || word.n_cp == 0 ||
            word.place.start_byte >= word.place.end_byte || word.place.start >= word.place.end )
          fail_msg("U+%04X, rules %d: wrong span", c, r);
        before = word.place.end_byte;
      }
      if( n_words < 1 || n_words > 3 || before != n )
        fail_msg("U+%04X, rules %d: %u words, the last ends at %u", c, r, n_words, before);
    }
  }
}

/* Random bytes, every prefix copied to its own block: nothing is read beyond it. */
static void random_bytes(void **state) {
  static const unsigned char likely[] =
      "a.A \xCC\x81\xE3\x80\xAE\xF0\x9D\x85\xA5\xC3\xA9\xED\xA0\x00";
  uint32_t seed = 1;
  (void)state;
  for( int round = 0; round < 20000; round++ ) {
    uint32_t n = 1 + (uint32_t)round % 40, before = 0;
    char *text = malloc(n);
    struct ner_splitter split;
    struct ner_word word;
    assert_non_null(text);
    for( uint32_t i = 0; i < n; i++ ) {
      seed = seed * 1664525 + 1013904223;
      text[i] = (char)(seed >> 31 ? likely[(seed >> 16) % (sizeof likely - 1)] : seed >> 20);
    }
    ner_splitter_init(&split, round & 1 ? &cased : &uncased, text, n, 0, 0);
    while( ner_splitter_next(&split, &word) ) {
      assert_true(word.place.start_byte >= before && word.place.end_byte <= n);
      assert_int_equal(ner_utf8_count(text, word.place.start_byte), word.place.start);
      assert_int_equal(ner_utf8_count(text, word.place.end_byte), word.place.end);
      assert_true(word.n_cp > 0 && ner_utf8_count(word.norm, word.n_bytes) == word.n_cp);
      before = word.place.end_byte;
    }
    assert_int_equal(split.at.byte, n);
    assert_int_equal(split.at.cp, ner_utf8_count(text, n));
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(utf8_well_formed),    cmocka_unit_test(utf8_ill_formed),
      cmocka_unit_test(words_of_ascii),      cmocka_unit_test(words_of_unicode),
      cmocka_unit_test(words_lowercased),    cmocka_unit_test(marks_are_sorted),
      cmocka_unit_test(parts_share_a_place), cmocka_unit_test(long_words),
      cmocka_unit_test(hostile_texts),       cmocka_unit_test(every_code_point),
      cmocka_unit_test(random_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
