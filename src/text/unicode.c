/*
** unicode.c - properties of code points; see unicode.h.
*/
#include "text/unicode.h"
#include "text/tables.h"

#include <utf8proc.h>

#define COUNT_OF(table) (sizeof(table) / sizeof(table)[0])
#define FLAG_BITS       11

/* The same as in flag_table, for speed; test_text.c compares them. */
#define REMOVED NER_CHAR_REMOVE
#define BLANK   NER_CHAR_SPACE
#define PUNCT   NER_CHAR_PUNCT
#define LETTER  NER_CHAR_WORD
#define DIGIT   (NER_CHAR_WORD | NER_CHAR_NUMERIC)
const unsigned short ner_ascii_flags[128] = {
    [0x00 ... 0x08] = REMOVED,
    [0x09 ... 0x0A] = BLANK,
    [0x0B ... 0x0C] = REMOVED | BLANK,
    [0x0D] = BLANK,
    [0x0E ... 0x1F] = REMOVED,
    [0x20] = BLANK,
    [0x21 ... 0x2F] = PUNCT,
    [0x30 ... 0x39] = DIGIT,
    [0x3A ... 0x40] = PUNCT,
    [0x41 ... 0x5A] = LETTER,
    [0x5B ... 0x5E] = PUNCT,
    [0x5F] = PUNCT | LETTER,
    [0x60] = PUNCT,
    [0x61 ... 0x7A] = LETTER,
    [0x7B ... 0x7E] = PUNCT,
    [0x7F] = REMOVED,
};
#undef REMOVED
#undef BLANK
#undef PUNCT
#undef LETTER
#undef DIGIT

unsigned ner_char_flags_beyond_ascii(int32_t c) {
  const uint32_t mask = (1u << FLAG_BITS) - 1;
  uint32_t key = (uint32_t)c << FLAG_BITS | mask;
  size_t at = 0, n = COUNT_OF(flag_table);
  while( n > 1 ) { /* the last entry <= key is in [at, at + n) */
    size_t half = n / 2;
    if( flag_table[at + half] <= key ) at += half;
    n -= half;
  }
  return flag_table[at] & mask;
}

int32_t ner_char_lower(int32_t c) {
  size_t at = 0, n = COUNT_OF(lower_table);
  const struct lower_run *run;
  if( c < 0x80 ) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  while( n > 1 ) {
    size_t half = n / 2;
    if( lower_table[at + half].first <= c ) at += half;
    n -= half;
  }
  run = &lower_table[at];
  if( c < run->first || c > run->last || (c - run->first) % run->step ) return c;
  return c + run->delta;
}

int ner_char_class(int32_t c) {
  if( c < 0x300 || !(ner_char_flags(c) & NER_CHAR_NONSTARTER) ) return 0;
  return utf8proc_get_property(c)->combining_class;
}

int ner_char_decompose(int32_t c, unsigned flags, bool compatibility,
                       int32_t parts[NER_CHAR_PARTS]) {
  int last_class = 0;
  utf8proc_ssize_t n = 0;
  if( compatibility && flags & NER_CHAR_COMPATIBILITY )
    n = utf8proc_decompose_char(c, parts, NER_CHAR_PARTS, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
                                &last_class);
  else if( flags & NER_CHAR_DECOMPOSES )
    n = utf8proc_decompose_char(c, parts, NER_CHAR_PARTS, UTF8PROC_DECOMPOSE, &last_class);
  if( n >= 1 && n <= NER_CHAR_PARTS ) return (int)n;
  parts[0] = c;
  return 1;
}

/* A leading consonant and a vowel, or those two composed and a trailing consonant. */
static int32_t unicode_compose_hangul(int32_t first, int32_t second) {
  enum { S = 0xAC00, L = 0x1100, V = 0x1161, T = 0x11A7, N_L = 19, N_V = 21, N_T = 28 };
  if( first >= L && first < L + N_L && second >= V && second < V + N_V )
    return S + ((first - L) * N_V + (second - V)) * N_T;
  if( first >= S && first < S + N_L * N_V * N_T && (first - S) % N_T == 0 && second > T &&
      second < T + N_T )
    return first + (second - T);
  return -1;
}

int32_t ner_char_compose(int32_t first, int32_t second) {
  size_t low = 0, high = COUNT_OF(compose_table);
  if( second < 0x300 ) return -1;
  while( low < high ) {
    size_t middle = (low + high) / 2;
    const struct compose_pair *pair = &compose_table[middle];
    if( pair->first == first && pair->second == second ) return pair->composed;
    if( pair->first < first || (pair->first == first && pair->second < second) )
      low = middle + 1;
    else
      high = middle;
  }
  return unicode_compose_hangul(first, second);
}
