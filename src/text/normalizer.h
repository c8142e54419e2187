/*
** normalizer.h - a tokenizer's normalizer: steps that change a text while every code point of the
** result remembers the one of the input it came from.
**
**     struct ner_normalizer rules = {0};                 built once
**     ner_normalizer_add(&rules, &step, &err);
**
**     struct ner_normalized text = {0};                  once per thread or call
**     ner_normalize(&rules, bytes, n_bytes, &text, &err);
**     ... text.cp, text.from, text.bytes, text.at ...
**     ner_normalized_free(&text);
**
** Reference: tokenizers 0.21 and 0.22, NormalizedString and the normalizers. A code point that
** takes the place of another has its origin, a further one that of the last code point before it
** which the step has read. Origins never decrease.
*/
#ifndef NER_NORMALIZER_H
#define NER_NORMALIZER_H

#include "text/text.h"

#pragma GCC visibility push(hidden)

enum ner_normalizer_kind {
  NER_NORMALIZER_BERT,
  NER_NORMALIZER_NFC,
  NER_NORMALIZER_NFD,
  NER_NORMALIZER_NFKC,
  NER_NORMALIZER_NFKD,
  NER_NORMALIZER_LOWERCASE,
  NER_NORMALIZER_STRIP_ACCENTS,
  NER_NORMALIZER_STRIP,
  NER_NORMALIZER_REPLACE,
};

struct ner_normalizer_step {
  enum ner_normalizer_kind kind;
  struct ner_text_rules bert; /* BERT */
  bool left, right;           /* STRIP: blanks at the beginning, at the end */
  /* REPLACE: every `pattern` becomes `content`; code points, the pattern not empty */
  int32_t *pattern; /* [n_pattern] */
  int32_t *content; /* [n_content] */
  uint32_t n_pattern, n_content;
  uint32_t *border; /* [n_pattern] of Knuth, Morris and Pratt; made by ner_normalizer_add() */
};

/* No steps: the text stays as it is. */
struct ner_normalizer {
  struct ner_normalizer_step *step; /* [n] */
  size_t n, cap;
};

#define NER_NORMALIZER_STEPS 64 /* at most */
/* Takes over step's arrays, also when it fails. */
int ner_normalizer_add(struct ner_normalizer *rules, const struct ner_normalizer_step *step,
                       struct ner_err *err);
void ner_normalizer_free(struct ner_normalizer *rules); /* leaves {0} */

struct ner_normalized {
  size_t n;       /* code points */
  int32_t *cp;    /* [n] */
  uint32_t *from; /* [n] index of the input's code point */
  char *bytes;    /* [n_bytes] the same in UTF-8 */
  uint32_t n_bytes;
  uint32_t *at;       /* [n + 1] where each begins in bytes */
  uint32_t n_input;   /* code points of the input */
  uint32_t *input_at; /* [n_input + 1] where each begins in the input */
  /* (scratch) */
  int32_t *other_cp;
  uint32_t *other_from;
  size_t cap, other_cap, cap_bytes, cap_at, cap_input;
  struct normal_part *part;
  size_t cap_part;
};

/* Replaces what `out` held. Fails for want of memory, or when the result is out of all proportion
** to the input (64 times its code points and a million more). n_bytes < 2^32. */
int ner_normalize(const struct ner_normalizer *rules, const char *bytes, uint32_t n_bytes,
                  struct ner_normalized *out, struct ner_err *err);
void ner_normalized_free(struct ner_normalized *text); /* leaves {0} */

#pragma GCC visibility pop
#endif
