/*
** text.h - from raw bytes to words: UTF-8, BERT's normalisation and its
** splitting on blanks and punctuation, with every piece's place in the input.
**
**     struct ner_splitter split;
**     struct ner_word word;
**     ner_splitter_init(&split, &rules, text, n_bytes, 0, 0);
**     while( ner_splitter_next(&split, &word) ) ...
**
** Reference: tokenizers 0.22.2, BertNormalizer and BertPreTokenizer. Nothing is
** allocated: a word longer than NER_WORD_CP normalised code points keeps only
** that many (WordPiece gives it up anyway) while its span still covers it all.
*/
#ifndef NER_TEXT_H
#define NER_TEXT_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

struct ner_text_rules {
  bool clean_text;    /* delete control characters, blanks become U+0020 */
  bool split_cjk;     /* each ideograph is a word */
  bool strip_accents; /* NFD, then delete nonspacing marks */
  bool lowercase;
};

/* WordPiece looks at no more than 100 code points of a word; one more says
** "too long". */
#define NER_WORD_CP 101

/* A span of the input: in bytes and in code points. */
struct ner_place {
  uint32_t start_byte, end_byte;
  uint32_t start, end;
};

struct ner_word {
  const char *norm;       /* [n_bytes] normalised UTF-8; valid until the next call */
  uint32_t n_bytes, n_cp; /* n_cp <= NER_WORD_CP */
  struct ner_place place; /* of the whole word, beyond NER_WORD_CP too */
  bool plain;             /* ASCII, unchanged but for case: norm[i] is the word's i-th byte */
  /* Unless plain: where normalised code point i begins in norm (one entry more:
  ** n_bytes), and the original code point it came from. */
  uint32_t norm_at[NER_WORD_CP + 1];
  struct ner_place from[NER_WORD_CP];
};

/* Where normalised code point i of a word begins in norm; i <= n_cp. */
static inline uint32_t ner_word_at(const struct ner_word *word, uint32_t i) {
  return word->plain ? i : word->norm_at[i];
}
/* Where normalised code points [first, last] of a word come from. */
static inline struct ner_place ner_word_place(const struct ner_word *word, uint32_t first,
                                              uint32_t last) {
  struct ner_place a, b;
  if( word->plain ) {
    uint32_t byte = word->place.start_byte, cp = word->place.start;
    return (struct ner_place){byte + first, byte + last + 1, cp + first, cp + last + 1};
  }
  a = word->from[first], b = word->from[last];
  return (struct ner_place){a.start_byte, b.end_byte, a.start, b.end};
}

/* (fields of struct ner_splitter are text.c's business) */
struct ner_cursor {
  uint32_t byte, cp;
};
struct ner_splitter {
  const struct ner_text_rules *rules;
  const unsigned char *text;
  uint32_t n_bytes;
  struct ner_cursor at;   /* what comes next, counted from text */
  int n_given;            /* parts of the character at `at` already given out */
  struct ner_cursor base; /* added to every position */
  char buffer[NER_WORD_CP * 4];
};

/* n_bytes < 2^32. base_byte and base_cp are added to every position: the text
** may be a part of a longer one (between two special tokens, say). */
void ner_splitter_init(struct ner_splitter *s, const struct ner_text_rules *rules, const char *text,
                       uint32_t n_bytes, uint32_t base_byte, uint32_t base_cp);
/* After the last word, s->base.cp + s->at.cp is the number of code points seen. */
bool ner_splitter_next(struct ner_splitter *s, struct ner_word *word);

/* Decodes one code point at text[*at], *at < n_bytes, and moves *at past it. An
** ill-formed sequence (its maximal subpart, as Unicode recommends and Python's
** errors="replace" does) is U+FFFD. */
int32_t ner_utf8_next(const unsigned char *text, uint32_t n_bytes, uint32_t *at);
/* Code points in text[0, n_bytes), counted the same way. */
uint32_t ner_utf8_count(const char *text, uint32_t n_bytes);

#pragma GCC visibility pop
#endif
