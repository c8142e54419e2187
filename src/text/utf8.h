/*
** utf8.h - UTF-8, code point by code point.
**
**     for( at = 0; at < n_bytes; ) c = ner_utf8_next(text, n_bytes, &at);
*/
#ifndef NER_UTF8_H
#define NER_UTF8_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

#define NER_UTF8_MAX         4      /* bytes of a code point */
#define NER_UTF8_REPLACEMENT 0xFFFD /* what an ill-formed sequence reads as */

/* Decodes one code point at text[*at], *at < n_bytes, and moves *at past it. An
** ill-formed sequence (its maximal subpart, as Unicode recommends and Python's
** errors="replace" does) is U+FFFD. */
int32_t ner_utf8_next(const unsigned char *text, uint32_t n_bytes, uint32_t *at);
/* The code point that ends at text[at], at > 0, of well-formed text. */
int32_t ner_utf8_before(const unsigned char *text, uint32_t at);
/* Code points in text[0, n_bytes), counted as ner_utf8_next() reads them. */
uint32_t ner_utf8_count(const char *text, uint32_t n_bytes);
/* Writes c to out[0, NER_UTF8_MAX); returns the number of bytes. */
uint32_t ner_utf8_put(char *out, int32_t c);

#pragma GCC visibility pop
#endif
