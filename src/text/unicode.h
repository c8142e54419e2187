/*
** unicode.h - what the reference (tokenizers 0.22.2) knows about a code point.
**
** Its data is frozen at several Unicode versions; tables.h, measured from it, decides
** what is asked of utf8proc.
*/
#ifndef NER_UNICODE_H
#define NER_UNICODE_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

enum {
  NER_CHAR_REMOVE = 1,           /* deleted by clean_text */
  NER_CHAR_SPACE = 2,            /* White_Space; U+000B, U+000C and U+0085 are REMOVE as well */
  NER_CHAR_CJK = 4,              /* an ideograph, as far as the reference knows them */
  NER_CHAR_PUNCT = 8,            /* ASCII punctuation and category P */
  NER_CHAR_MARK = 16,            /* category Mn: deleted by strip_accents after decomposition */
  NER_CHAR_DECOMPOSES = 32,      /* has a canonical decomposition */
  NER_CHAR_NONSTARTER = 64,      /* its canonical combining class is not 0 */
  NER_CHAR_WORD = 128,           /* \w of a regular expression */
  NER_CHAR_NUMERIC = 256,        /* category N */
  NER_CHAR_ACCENT = 512,         /* category M: deleted by StripAccents */
  NER_CHAR_COMPATIBILITY = 1024, /* NFKD gives another decomposition than NFD */
};

extern const unsigned short ner_ascii_flags[128];
unsigned ner_char_flags_beyond_ascii(int32_t c);
/* The flags above. */
static inline unsigned ner_char_flags(int32_t c) {
  return c < 0x80 ? ner_ascii_flags[c] : ner_char_flags_beyond_ascii(c);
}
/* Lowercase without regard to context. U+0130, the only one with two code points ('i' and
** U+0307), is left to the caller and returned as it is. */
int32_t ner_char_lower(int32_t c);
/* Canonical combining class, 0 to 254. */
int ner_char_class(int32_t c);

#define NER_CHAR_PARTS 18 /* of a compatibility decomposition; 4 of a canonical one */
/* The full decomposition of c, which has these flags, into parts; returns their number, 1 for a
** code point that is its own. */
int ner_char_decompose(int32_t c, unsigned flags, bool compatibility,
                       int32_t parts[NER_CHAR_PARTS]);
/* What first and second become under NFC, or -1. */
int32_t ner_char_compose(int32_t first, int32_t second);

#pragma GCC visibility pop
#endif
