/*
** text.h - from raw bytes to words by BERT's rules: its normalisation and its splitting on
** blanks and punctuation in one pass, with every piece's place in the input. Tokenizers with
** other rules go through normalizer.h and pretokenizer.h instead.
**
**     struct ner_splitter split;
**     struct ner_word word;
**     ner_splitter_init(&split, &rules, text, n_bytes, 0, 0);
**     while( ner_splitter_next(&split, &word) ) ...
**
** Reference: tokenizers 0.22.2, BertNormalizer and BertPreTokenizer. Nothing is
** allocated: of a word longer than NER_WORD_CP normalised code points only that many are
** kept (WordPiece makes it one [UNK]) while its span still covers all of it.
*/
#ifndef NER_TEXT_H
#define NER_TEXT_H

#include "text/unicode.h"
#include "text/utf8.h"

#pragma GCC visibility push(hidden)

struct ner_text_rules {
  bool clean_text;    /* delete control characters, blanks become U+0020 */
  bool split_cjk;     /* each ideograph is a word */
  bool strip_accents; /* NFD, then delete nonspacing marks */
  bool lowercase;
};

/* WordPiece looks at no more than 100 code points of a word, unless its model says otherwise;
** one more says "too long". */
#define NER_WORD_CP 101

/* A span of the input: in bytes and in code points. */
struct ner_place {
  uint32_t start_byte, end_byte;
  uint32_t start, end;
};

struct ner_word {
  const char *norm;       /* normalised UTF-8; valid until the next call */
  uint32_t n_bytes, n_cp; /* of it; from a splitter, n_cp <= NER_WORD_CP */
  struct ner_place place; /* of the whole word, beyond NER_WORD_CP too */
  bool plain;             /* ASCII, unchanged but for case: norm[i] is the word's i-th byte */
  /* Unless plain: [n_cp + 1] where normalised code point i begins in norm (the word itself begins
  ** at norm_at[0]). */
  const uint32_t *norm_at;
  /* Unless plain, either: [n_cp] the original code point that i came from; */
  const struct ner_place *from;
  /* or, where that is NULL: [n_cp] its index, where code points begin, and what to add to both. */
  const uint32_t *origin, *origin_at;
  uint32_t base_byte, base_cp;
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
  if( !word->from ) {
    uint32_t begin = word->origin[first], end = word->origin[last] + 1;
    return (struct ner_place){word->base_byte + word->origin_at[begin],
                              word->base_byte + word->origin_at[end], word->base_cp + begin,
                              word->base_cp + end};
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
  /* Of the word at hand. */
  char buffer[NER_WORD_CP * NER_UTF8_MAX];
  uint32_t norm_at[NER_WORD_CP + 1];
  struct ner_place from[NER_WORD_CP];
};

/* n_bytes < 2^32. base_byte and base_cp are added to every position: the text
** may be a part of a longer one (between two special tokens, say). */
void ner_splitter_init(struct ner_splitter *s, const struct ner_text_rules *rules, const char *text,
                       uint32_t n_bytes, uint32_t base_byte, uint32_t base_cp);
/* After the last word, s->base.cp + s->at.cp is the number of code points seen. */
bool ner_splitter_next(struct ner_splitter *s, struct ner_word *word);

#pragma GCC visibility pop
#endif
