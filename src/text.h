/*
** text.h - from raw bytes to words: UTF-8, BERT's normalisation and its
** splitting on blanks and punctuation, with every piece's place in the input.
**
**     struct ner_splitter split;
**     struct ner_word word;
**     ner_splitter_init(&split, &rules, text, n_bytes);
**     while( ner_splitter_next(&split, &word) ) ...
**
** Reference: tokenizers 0.22.2, BertNormalizer and BertPreTokenizer. Nothing is
** allocated: a word longer than NER_WORD_CP normalised code points keeps only
** that many (WordPiece gives it up anyway) while its span still covers it all.
*/
#ifndef NER_TEXT_H
#define NER_TEXT_H

#include "base.h"

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

struct ner_word {
  const char *norm;   /* [n_bytes] normalised UTF-8; valid until the next call */
  uint32_t n_bytes, n_cp; /* n_cp <= NER_WORD_CP */
  /* For normalised code point i: where it begins in norm, and the span of the
  ** original code point it came from, in bytes and in code points of the input.
  ** norm_at has one entry more, n_bytes. */
  uint32_t norm_at[NER_WORD_CP + 1];
  uint32_t start_byte[NER_WORD_CP], end_byte[NER_WORD_CP];
  uint32_t start_cp[NER_WORD_CP], end_cp[NER_WORD_CP];
  /* Span of the whole word (beyond NER_WORD_CP too). */
  uint32_t word_start_byte, word_end_byte, word_start_cp, word_end_cp;
};

/* (fields of struct ner_splitter are text.c's business) */
struct ner_splitter {
  const struct ner_text_rules *rules;
  const unsigned char *text;
  uint32_t n_bytes, at_byte, at_cp;
  int32_t queue[8]; /* code points of a decomposition not yet given out */
  uint32_t queue_start_byte, queue_end_byte, queue_start_cp;
  int n_queued, next_queued;
  char buffer[NER_WORD_CP * 4 + 4];
};

/* n_bytes < 2^32. base_byte and base_cp are added to every position: the text
** may be a part of a longer one (between two special tokens, say). */
void ner_splitter_init(struct ner_splitter *s, const struct ner_text_rules *rules, const char *text,
                       uint32_t n_bytes, uint32_t base_byte, uint32_t base_cp);
bool ner_splitter_next(struct ner_splitter *s, struct ner_word *word);

/* Decodes one code point at text[*at], *at < n_bytes, and moves *at past it. An
** ill-formed sequence (its maximal subpart, as Unicode recommends and Python's
** errors="replace" does) is U+FFFD. */
int32_t ner_utf8_next(const unsigned char *text, uint32_t n_bytes, uint32_t *at);
/* Code points in text[0, n_bytes), counted the same way. */
uint32_t ner_utf8_count(const char *text, uint32_t n_bytes);

#pragma GCC visibility pop
#endif
