/*
** pretokenizer.h - a tokenizer's pre-tokenizer: steps that cut a normalised text into pieces, each
** of which WordPiece then takes for a word.
**
**     struct ner_pretokenizer rules = {0};
**     ner_pretokenizer_add(&rules, &step, &err);
**     ner_pretokenize(&rules, text.cp, begin, end, &pieces, &err);
**
** Reference: tokenizers 0.21 and 0.22, the pre-tokenizers and SplitDelimiterBehavior. Every step
** cuts the pieces of the one before.
*/
#ifndef NER_PRETOKENIZER_H
#define NER_PRETOKENIZER_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

enum ner_pretokenizer_kind {
  NER_PRETOKENIZER_BERT,             /* at blanks, then punctuation isolated */
  NER_PRETOKENIZER_WHITESPACE,       /* runs of \w, runs of what is neither \w nor blank */
  NER_PRETOKENIZER_WHITESPACE_SPLIT, /* at blanks */
  NER_PRETOKENIZER_PUNCTUATION,
  NER_PRETOKENIZER_DIGITS, /* isolated: each digit by itself; contiguous: runs of them */
};

/* What becomes of the code points at which a step cuts; of "the-final--countdown" cut at "-": */
enum ner_split_behavior {
  NER_SPLIT_REMOVED,              /* the final countdown */
  NER_SPLIT_ISOLATED,             /* the - final - - countdown */
  NER_SPLIT_MERGED_WITH_PREVIOUS, /* the- final- - countdown */
  NER_SPLIT_MERGED_WITH_NEXT,     /* the -final - -countdown */
  NER_SPLIT_CONTIGUOUS,           /* the - final -- countdown */
};

struct ner_pretokenizer_step {
  enum ner_pretokenizer_kind kind;
  enum ner_split_behavior behavior; /* PUNCTUATION, DIGITS */
};

/* No steps: a text is one piece. */
struct ner_pretokenizer {
  struct ner_pretokenizer_step *step; /* [n] */
  size_t n, cap;
};

#define NER_PRETOKENIZER_STEPS 64 /* at most */
int ner_pretokenizer_add(struct ner_pretokenizer *rules, const struct ner_pretokenizer_step *step,
                         struct ner_err *err);
void ner_pretokenizer_free(struct ner_pretokenizer *rules); /* leaves {0} */
/* Whether no piece holds a blank. */
bool ner_pretokenizer_cuts_blanks(const struct ner_pretokenizer *rules);

struct ner_piece {
  uint32_t begin, end; /* code points; never empty */
};
struct ner_pieces {
  struct ner_piece *piece; /* [n] */
  size_t n, cap;
  struct ner_piece *other; /* (scratch) */
  size_t cap_other;
};
void ner_pieces_free(struct ner_pieces *pieces); /* leaves {0} */

/* The pieces of cp[begin, end), in order; replaces what `out` held. Fails for want of memory. */
int ner_pretokenize(const struct ner_pretokenizer *rules, const int32_t *cp, uint32_t begin,
                    uint32_t end, struct ner_pieces *out, struct ner_err *err);

#pragma GCC visibility pop
#endif
