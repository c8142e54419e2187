/*
** examples.h - labelled texts become sequences of tokens, each with its label.
**
**     ner_examples_init(&ex, model, max_tok);
**     ner_examples_add_text(&ex, text, n_bytes, spans, n_spans, err);    one row each
**     ner_examples_add_words(&ex, words, tags, n, err);
**     ner_examples_finish(&ex, extend, valid_share, seed, err);
**
** What counts is a word, at its first token: of a text, the words that the tokenizer sees; of a
** list, the list's. A span counts for every word it touches. Data that cannot be used as they are,
** are mended or skipped, and counted with the number of the first row they occurred in.
*/
#ifndef NER_TRAIN_EXAMPLES_H
#define NER_TRAIN_EXAMPLES_H

#include "engine/pipeline.h"

#pragma GCC visibility push(hidden)

/* One entity as the user gave it, [start, end) in code points. */
struct ner_train_span {
  int64_t start, end;
  const char *type;
  size_t n_type;
};

enum ner_train_oddity {
  NER_ODD_BLOB,     /* a row with a BLOB */
  NER_ODD_NULL,     /* a row without a text or without entities */
  NER_ODD_JSON,     /* a row whose entities cannot be read */
  NER_ODD_LENGTHS,  /* a row with more words than tags, or fewer */
  NER_ODD_NO_WORDS, /* a text without words */
  NER_ODD_OUTSIDE,  /* a span that leaves the text */
  NER_ODD_EMPTY,    /* an empty span, or one whose end is before its start */
  NER_ODD_BLANK,    /* a span without a word */
  NER_ODD_WIDENED,  /* a span that cut a word: widened to all of it */
  NER_ODD_OVERLAP,  /* a span inside or across a longer one */
  NER_ODD_CONFLICT, /* a span that another one labels otherwise */
  NER_ODD_TYPE,     /* a span without a usable type */
  NER_ODD_CASE,     /* a type in other letters than before */
  NER_ODD_TAG,      /* a tag that continues nothing: it begins an entity */
  NER_ODD_REPEATED, /* a text that stood before with other entities: the first is kept */
  NER_ODDITIES
};

struct ner_train_sequence {
  size_t begin;                 /* of its tokens in id and target, the template's in place */
  int32_t n_tok;                /* tokens */
  int32_t keep_begin, keep_end; /* the part that counts, counted from begin */
};

struct ner_train_example {
  size_t first, n;       /* sequences: windows of one text */
  uint64_t text, labels; /* hashes */
  int64_t row;
  bool valid;
};

struct ner_examples {
  const struct ner_model *model; /* borrowed */
  int32_t max_tok;               /* of a sequence, the template's included */
  int32_t *id, *target;          /* [n_tok] of the vocabulary; label, -1: does not count */
  size_t n_tok, cap_id, cap_target;
  struct ner_train_sequence *sequence;
  size_t n_sequences, cap_sequences;
  struct ner_train_example *example;
  size_t n_examples, cap_examples;
  size_t n_rehearsal; /* of the examples, the last ones: see ner_examples_rehearse() */
  char **type;        /* [n_types] in the order of appearance */
  size_t n_types, cap_types;
  bool all_valid; /* rows added from now on are for validation */
  bool has_valid_rows;
  int64_t row; /* number of the latest row, of its SELECT */
  int64_t odd[NER_ODDITIES], first[NER_ODDITIES];
  char **label; /* [n_labels] after finish: what the new model calls its labels */
  size_t n_labels;
  int32_t *base_label; /* [n_labels] of the base's classifier; -1: a new one */
  bool extend;
};

void ner_examples_init(struct ner_examples *ex, const struct ner_model *model, int32_t max_tok);
void ner_examples_free(struct ner_examples *ex);

/* Before each row. */
void ner_examples_row(struct ner_examples *ex);
void ner_examples_odd(struct ner_examples *ex, enum ner_train_oddity odd);
/* Both skip what is odd; they fail for want of memory or when interrupted. */
int ner_examples_add_text(struct ner_examples *ex, const char *utf8, size_t n_bytes,
                          const struct ner_train_span *span, size_t n_spans, struct ner_err *err);
int ner_examples_add_words(struct ner_examples *ex, const struct ner_slice *word,
                           const struct ner_slice *tag, size_t n_words, struct ner_err *err);

/* Settles labels and targets. extend: the base's labels and new ones behind them, and texts for
** rehearsal; otherwise the types of the examples alone. valid_share: of the examples, when none was added as valid; equal
** texts stay together. Fails when there is nothing to learn. */
int ner_examples_finish(struct ner_examples *ex, bool extend, double valid_share, uint64_t seed,
                        struct ner_err *err);

/* Adds texts of random words for each example to train on, all their words outside: the base is
** to label them. */
int ner_examples_rehearse(struct ner_examples *ex, int32_t outside, uint64_t seed,
                          struct ner_err *err);

/* "empty spans skipped: 2 (first: row 7); ...", for NER_FREE; "" when all was well. NULL: no
** memory. */
char *ner_examples_note(const struct ner_examples *ex);

#pragma GCC visibility pop
#endif
