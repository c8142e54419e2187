/*
** pretokenizer.c - cutting a text into pieces, step by step; see pretokenizer.h.
*/
#include "text/pretokenizer.h"

#include "text/unicode.h"

int ner_pretokenizer_add(struct ner_pretokenizer *rules, const struct ner_pretokenizer_step *step,
                         struct ner_err *err) {
  if( rules->n == NER_PRETOKENIZER_STEPS )
    return ner_fail(err, NER_ERROR, "pre_tokenizer has more than %d steps; simplify it",
                    NER_PRETOKENIZER_STEPS);
  if( ner_grow((void **)&rules->step, &rules->cap, rules->n + 1, sizeof *rules->step) )
    return ner_fail_nomem(err);
  rules->step[rules->n++] = *step;
  return NER_OK;
}

void ner_pretokenizer_free(struct ner_pretokenizer *rules) {
  NER_FREE(rules->step);
  *rules = (struct ner_pretokenizer){0};
}

bool ner_pretokenizer_cuts_blanks(const struct ner_pretokenizer *rules) {
  for( size_t i = 0; i < rules->n; i++ )
    if( rules->step[i].kind <= NER_PRETOKENIZER_WHITESPACE_SPLIT ) return true;
  return false;
}

void ner_pieces_free(struct ner_pieces *pieces) {
  NER_FREE(pieces->piece);
  NER_FREE(pieces->other);
  *pieces = (struct ner_pieces){0};
}

/* Pieces being written, into `other`. Room is there. */
static void piece_push(struct ner_pieces *p, size_t *n, uint32_t begin, uint32_t end) {
  if( begin < end ) p->other[(*n)++] = (struct ner_piece){begin, end};
}

/* Cuts [begin, end) at the code points that have one of the flags. */
static void piece_split(struct ner_pieces *p, size_t *n, const int32_t *cp, struct ner_piece whole,
                        unsigned flags, enum ner_split_behavior behavior) {
  uint32_t begin = whole.begin; /* of the piece at hand */
  bool before = false;          /* the code point before is a delimiter */
  for( uint32_t i = whole.begin; i < whole.end; i++ ) {
    bool here = ner_char_flags(cp[i]) & flags;
    switch( behavior ) {
    case NER_SPLIT_REMOVED:
      if( here ) {
        piece_push(p, n, begin, i);
        begin = i + 1;
      }
      break;
    case NER_SPLIT_ISOLATED:
      if( here || before ) {
        piece_push(p, n, begin, i);
        begin = i;
      }
      break;
    case NER_SPLIT_MERGED_WITH_PREVIOUS:
      if( before ) {
        piece_push(p, n, begin, i);
        begin = i;
      }
      break;
    case NER_SPLIT_MERGED_WITH_NEXT:
      if( here ) {
        piece_push(p, n, begin, i);
        begin = i;
      }
      break;
    case NER_SPLIT_CONTIGUOUS:
      if( here != before ) {
        piece_push(p, n, begin, i);
        begin = i;
      }
      break;
    }
    before = here;
  }
  piece_push(p, n, begin, whole.end);
}

/* Runs of \w and of everything else but blanks. */
static void piece_split_words(struct ner_pieces *p, size_t *n, const int32_t *cp,
                              struct ner_piece whole) {
  uint32_t begin = whole.begin;
  unsigned before = NER_CHAR_SPACE; /* WORD, SPACE or 0 */
  for( uint32_t i = whole.begin; i < whole.end; i++ ) {
    unsigned here = ner_char_flags(cp[i]) & (NER_CHAR_WORD | NER_CHAR_SPACE);
    if( here != before ) {
      if( !(before & NER_CHAR_SPACE) ) piece_push(p, n, begin, i);
      begin = i;
    }
    before = here;
  }
  if( !(before & NER_CHAR_SPACE) ) piece_push(p, n, begin, whole.end);
}

/* One pass over all pieces. */
static int piece_pass(struct ner_pieces *p, const int32_t *cp, enum ner_pretokenizer_kind kind,
                      enum ner_split_behavior behavior, struct ner_err *err) {
  struct ner_piece *piece;
  size_t n = 0, cap;
  for( size_t i = 0; i < p->n; i++ ) {
    struct ner_piece whole = p->piece[i];
    if( ner_grow((void **)&p->other, &p->cap_other, n + (whole.end - whole.begin),
                 sizeof *p->other) )
      return ner_fail_nomem(err);
    switch( kind ) {
    case NER_PRETOKENIZER_WHITESPACE: piece_split_words(p, &n, cp, whole); break;
    case NER_PRETOKENIZER_DIGITS: piece_split(p, &n, cp, whole, NER_CHAR_NUMERIC, behavior); break;
    case NER_PRETOKENIZER_PUNCTUATION:
      piece_split(p, &n, cp, whole, NER_CHAR_PUNCT, behavior);
      break;
    default: piece_split(p, &n, cp, whole, NER_CHAR_SPACE, NER_SPLIT_REMOVED); break;
    }
  }
  piece = p->piece, cap = p->cap;
  p->piece = p->other, p->cap = p->cap_other;
  p->other = piece, p->cap_other = cap;
  p->n = n;
  return NER_OK;
}

int ner_pretokenize(const struct ner_pretokenizer *rules, const int32_t *cp, uint32_t begin,
                    uint32_t end, struct ner_pieces *out, struct ner_err *err) {
  int rc = NER_OK;
  out->n = 0;
  if( begin >= end ) return NER_OK;
  if( ner_grow((void **)&out->piece, &out->cap, 1, sizeof *out->piece) ) return ner_fail_nomem(err);
  out->piece[out->n++] = (struct ner_piece){begin, end};
  for( size_t i = 0; i < rules->n && rc == NER_OK; i++ ) {
    const struct ner_pretokenizer_step *step = &rules->step[i];
    rc = piece_pass(out, cp, step->kind, step->behavior, err);
    if( rc == NER_OK && step->kind == NER_PRETOKENIZER_BERT )
      rc = piece_pass(out, cp, NER_PRETOKENIZER_PUNCTUATION, NER_SPLIT_ISOLATED, err);
  }
  return rc;
}
