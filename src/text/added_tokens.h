/*
** added_tokens.h - tokens that are looked for in the text before anything else: [MASK], and
** whatever was added to a vocabulary afterwards.
**
**     ner_added_tokens_add(&added, &token, &err);   for each
**     ner_added_tokens_finish(&added, &err);
**     ner_added_tokens_split(&added, NER_ADDED_RAW, text, n_bytes, &cuts, &err);
**
** Reference: tokenizers 0.21 and 0.22, AddedVocabulary. There are two sets: one is looked for in
** the text as it came, the other in the normalised text between finds of the first. Finds are the
** leftmost, of these the longest, and do not overlap; single_word, lstrip and rstrip are applied
** to a find afterwards.
**
** Searching takes time in proportion to the text, however many tokens there are and however long.
*/
#ifndef NER_ADDED_TOKENS_H
#define NER_ADDED_TOKENS_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

enum ner_added_set { NER_ADDED_RAW, NER_ADDED_NORMALIZED };

struct ner_added_token {
  char *content; /* [n_content] as it was added: its name */
  size_t n_content;
  char *pattern; /* [n_pattern] what is looked for, not empty: the content, in the normalised set
                 ** normalised; UTF-8 */
  size_t n_pattern;
  int32_t id;
  enum ner_added_set set;
  bool single_word;    /* no find next to a word character */
  bool lstrip, rstrip; /* the blanks before, after it belong to it */
  bool special;
  bool as_text; /* a find is left in the text (split_special_tokens) */
};

struct ner_matcher;

struct ner_added_tokens {
  struct ner_added_token *token; /* [n] of equal patterns in a set the first counts */
  size_t n, cap;
  struct ner_matcher *matcher[2]; /* by set; NULL: nothing to look for */
};

/* Takes over the strings, also when it fails. */
int ner_added_tokens_add(struct ner_added_tokens *added, const struct ner_added_token *token,
                         struct ner_err *err);
/* After the last one. Memory goes with the bytes of all patterns, some 30 for each of them; so
** these are limited. */
#define NER_ADDED_PATTERN_BYTES  ((size_t)1 << 20)
#define NER_ADDED_PATTERNS_BYTES ((size_t)16 << 20)
int ner_added_tokens_finish(struct ner_added_tokens *added, struct ner_err *err);
void ner_added_tokens_free(struct ner_added_tokens *added); /* leaves {0} */

/* Whether a token of the set may be found in the text; far quicker than looking for it. */
bool ner_added_tokens_may_occur(const struct ner_added_tokens *added, enum ner_added_set set,
                                const char *text, uint32_t n_bytes);

/* A stretch of the text: an added token, or text between them. */
struct ner_cut {
  uint32_t begin, end; /* bytes */
  int32_t token;       /* index; -1: ordinary text */
};
struct ner_cuts {
  struct ner_cut *cut; /* [n] in order; together the whole text */
  size_t n, cap;
  struct ner_cut *find; /* (scratch) */
  size_t cap_find;
};
void ner_cuts_free(struct ner_cuts *cuts); /* leaves {0} */

/* Cuts text[0, n_bytes) at the tokens of a set; replaces what `out` held. Fails for want of
** memory. */
int ner_added_tokens_split(const struct ner_added_tokens *added, enum ner_added_set set,
                           const char *text, uint32_t n_bytes, struct ner_cuts *out,
                           struct ner_err *err);

#pragma GCC visibility pop
#endif
