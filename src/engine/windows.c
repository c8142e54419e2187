/*
** windows.c - long texts as overlapping windows; see windows.h.
**
**      begin 0            end 0
**      |------------------|
**                    |------------------|
**                    begin 1            end 1
**      kept: ==============|==============
**
** A window ends at a word's end if one is near, preferably at a blank. The next window begins
** likewise, a quarter of a window (127 of 510 tokens) or a
** little more before that end. In the middle of the overlap both windows have the same context
** on their shorter side, so tokens up to there are kept from the first and the others from the
** second: every token has at least 63 tokens, some two sentences, of context on both sides. An
** overlap of a quarter costs 1.33 passes per token; an eighth would save a seventh of that and
** leave half the context.
*/
#include "engine/windows.h"

/* The best place to cut in (low, high], the last of its kind: at a blank, else
** between words, else `high`. A cut at i separates tokens i-1 and i. */
static size_t windows_find_cut(const struct ner_token *token, size_t low, size_t high) {
  size_t between_words = 0;
  for( size_t i = high; i > low; i-- ) {
    if( token[i].word == token[i - 1].word ) continue;
    if( token[i].start_byte > token[i - 1].end_byte ) return i;
    if( !between_words ) between_words = i;
  }
  return between_words ? between_words : high;
}

int ner_windows_plan(const struct ner_tokens *tokens, uint32_t max_tok, struct ner_window **out,
                     size_t *n, size_t *cap) {
  size_t overlap = max_tok / 4;
  size_t reach = max_tok / 8; /* how far a cut may move: two of them and the overlap
                              ** still leave half a window of progress */
  size_t begin = 0, keep = 0;
  while( keep < tokens->n ) {
    struct ner_window w = {.begin = (uint32_t)begin, .keep_begin = (uint32_t)keep};
    size_t end = tokens->n, next = end;
    keep = end;
    if( tokens->n - begin > max_tok ) {
      end = windows_find_cut(tokens->token, begin + max_tok - reach, begin + max_tok);
      next = windows_find_cut(tokens->token, end - overlap - reach, end - overlap);
      /* Token i has i-next tokens before it in the next window and end-1-i after
      ** it in this one, which on equality keeps it. */
      keep = next < end ? (next + end - 1) / 2 + 1 : end;
    }
    w.end = (uint32_t)end;
    w.keep_end = (uint32_t)keep;
    if( ner_grow((void **)out, cap, *n + 1, sizeof **out) ) return NER_NOMEM;
    (*out)[(*n)++] = w;
    begin = next;
  }
  return NER_OK;
}
