/*
** windows.h - a text that is longer than the model takes, as overlapping windows.
*/
#ifndef NER_WINDOWS_H
#define NER_WINDOWS_H

#include "text/tokenizer.h"

#pragma GCC visibility push(hidden)

/* Covers tokens [begin, end); its results are kept for [keep_begin, keep_end). The kept
** parts follow one another without a gap. */
struct ner_window {
  uint32_t begin, end, keep_begin, keep_end;
};

/* Plans windows of at most max_tok >= 1 tokens over `tokens` and appends them to
** *out: none for no tokens, one where all fit. */
int ner_windows_plan(const struct ner_tokens *tokens, uint32_t max_tok, struct ner_window **out,
                     size_t *n, size_t *cap);

#pragma GCC visibility pop
#endif
