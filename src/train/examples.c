/*
** examples.c - rows of the user's data as sequences; see examples.h.
**
** Until finish, `target` holds tags: -1 for tokens that do not count, 0 outside, 2·type + 1 for the
** first word of an entity and 2·type + 2 for the others.
*/
#include "train/examples.h"

#include <string.h>
#include "base/hash.h"

enum { EXAMPLES_TYPE_BYTES = 200 };

void ner_examples_init(struct ner_examples *ex, const struct ner_model *model, int32_t max_tok) {
  *ex = (struct ner_examples){.model = model, .max_tok = max_tok};
}

void ner_examples_free(struct ner_examples *ex) {
  for( size_t i = 0; i < ex->n_types; i++ ) NER_FREE(ex->type[i]);
  for( size_t i = 0; ex->label && i < ex->n_labels; i++ ) NER_FREE(ex->label[i]);
  NER_FREE(ex->type);
  NER_FREE(ex->label);
  NER_FREE(ex->base_label);
  NER_FREE(ex->id);
  NER_FREE(ex->target);
  NER_FREE(ex->sequence);
  NER_FREE(ex->example);
  *ex = (struct ner_examples){0};
}

void ner_examples_row(struct ner_examples *ex) {
  ex->row++;
}

void ner_examples_odd(struct ner_examples *ex, enum ner_train_oddity odd) {
  if( ex->odd[odd]++ == 0 ) ex->first[odd] = ex->row;
}

/* ---- types ---- */

static bool examples_same_letters(const char *a, const char *b, size_t n_b) {
  size_t i;
  for( i = 0; i < n_b && a[i]; i++ )
    if( ner_ascii_lower(a[i]) != ner_ascii_lower(b[i]) ) return false;
  return i == n_b && !a[i];
}

/* The number of a type: new ones as they come, in the base's spelling if it knows the type. -1: no
** type; -2: no memory. */
static int32_t examples_type(struct ner_examples *ex, const char *name, size_t n) {
  const char *spelling = NULL;
  char *copy;
  if( n == 0 || n > EXAMPLES_TYPE_BYTES || memchr(name, 0, n) ||
      examples_same_letters("O", name, n) )
    return -1;
  for( size_t i = 0; i < ex->n_types; i++ )
    if( examples_same_letters(ex->type[i], name, n) ) {
      if( memcmp(ex->type[i], name, n) != 0 ) ner_examples_odd(ex, NER_ODD_CASE);
      return (int32_t)i;
    }
  for( int32_t i = 0; i < ex->model->config.n_labels && !spelling; i++ )
    if( ex->model->label && examples_same_letters(ex->model->label[i].type, name, n) )
      spelling = ex->model->label[i].type;
  if( spelling && memcmp(spelling, name, n) != 0 ) ner_examples_odd(ex, NER_ODD_CASE);
  copy = ner_strndup(spelling ? spelling : name, n);
  if( !copy || ner_grow((void **)&ex->type, &ex->cap_types, ex->n_types + 1, sizeof *ex->type) ) {
    NER_FREE(copy);
    return -2;
  }
  ex->type[ex->n_types] = copy;
  return (int32_t)ex->n_types++;
}

/* ---- sequences ---- */

static int examples_add_window(struct ner_examples *ex, const struct ner_tokens *tokens,
                               const int32_t *tag, const struct ner_window *w) {
  const struct ner_template *around = ner_tokenizer_template(ex->model->tokenizer);
  const int32_t n_window = (int32_t)(w->end - w->begin), n = n_window + ner_template_tok(around);
  struct ner_train_sequence *s;
  if( ner_grow((void **)&ex->id, &ex->cap_id, ex->n_tok + (size_t)n, sizeof *ex->id) ||
      ner_grow((void **)&ex->target, &ex->cap_target, ex->n_tok + (size_t)n, sizeof *ex->target) ||
      ner_grow((void **)&ex->sequence, &ex->cap_sequences, ex->n_sequences + 1,
               sizeof *ex->sequence) )
    return NER_NOMEM;
  s = &ex->sequence[ex->n_sequences++];
  *s = (struct ner_train_sequence){ex->n_tok, n,
                                   (int32_t)(w->keep_begin - w->begin) + around->n_before,
                                   (int32_t)(w->keep_end - w->begin) + around->n_before};
  for( int32_t i = 0; i < n; i++ ) {
    const int32_t k = i - around->n_before; /* of the window */
    const size_t t = w->begin + (size_t)k;
    ex->id[s->begin + (size_t)i] = k < 0          ? around->before[i]
                                   : k < n_window ? tokens->token[t].id
                                                  : around->after[k - n_window];
    ex->target[s->begin + (size_t)i] = i >= s->keep_begin && i < s->keep_end ? tag[t] : -1;
  }
  ex->n_tok += (size_t)n;
  return NER_OK;
}

/* Tokens with their tags become an example. */
static int examples_add(struct ner_examples *ex, const struct ner_tokens *tokens,
                        const int32_t *tag, uint64_t text, struct ner_err *err) {
  struct ner_window *window = NULL;
  size_t n = 0, cap = 0;
  struct ner_train_example example = {
      .first = ex->n_sequences, .text = text, .row = ex->row, .valid = ex->all_valid};
  int rc = ner_windows_plan(
      tokens,
      (uint32_t)(ex->max_tok - ner_template_tok(ner_tokenizer_template(ex->model->tokenizer))),
      &window, &n, &cap);
  example.labels = ner_hash(0, tag, tokens->n * sizeof *tag);
  for( size_t i = 0; i < n && rc == NER_OK; i++ )
    rc = examples_add_window(ex, tokens, tag, &window[i]);
  NER_FREE(window);
  if( rc == NER_OK )
    rc =
        ner_grow((void **)&ex->example, &ex->cap_examples, ex->n_examples + 1, sizeof *ex->example);
  if( rc ) return ner_fail_nomem(err);
  example.n = ex->n_sequences - example.first;
  ex->example[ex->n_examples++] = example;
  return NER_OK;
}

/* ---- a text and its spans ---- */

struct examples_span {
  int64_t start, end;
  int32_t type;
  size_t order;
};

/* The longer first; of equal ones the one that was given first. */
static int examples_longer(const void *a, const void *b) {
  const struct examples_span *x = a, *y = b;
  const int64_t nx = x->end - x->start, ny = y->end - y->start;
  if( nx != ny ) return nx > ny ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

/* Tags the words that a span touches; tag[t] of their first tokens. Words are in the order of the
** text, so the touched ones are consecutive. */
static void examples_tag_span(struct ner_examples *ex, const struct ner_tokens *tokens,
                              const struct examples_span *span, int32_t *tag) {
  size_t low = 0, high = tokens->n, begin, end;
  bool cut = false, taken = false, same = true, inside = false;
  while( low < high ) { /* the first token that ends behind the span's start */
    size_t middle = low + (high - low) / 2;
    if( tokens->token[middle].end <= (uint64_t)span->start )
      low = middle + 1;
    else
      high = middle;
  }
  begin = low;
  for( end = begin; end < tokens->n && tokens->token[end].start < (uint64_t)span->end; end++ ) {}
  if( begin == end ) {
    ner_examples_odd(ex, NER_ODD_BLANK);
    return;
  }
  cut = tokens->token[begin].start < (uint64_t)span->start ||
        tokens->token[end - 1].end > (uint64_t)span->end;
  while( begin > 0 && tokens->token[begin - 1].word == tokens->token[begin].word )
    begin--, cut = true;
  while( end < tokens->n && tokens->token[end].word == tokens->token[end - 1].word )
    end++, cut = true;
  for( size_t t = begin; t < end; t++ ) {
    if( tag[t] < 0 ) continue;
    if( tag[t] > 0 ) taken = true;
    same = same && tag[t] == 2 * span->type + 1 + inside;
    inside = true;
  }
  if( taken ) {
    if( !same ) ner_examples_odd(ex, NER_ODD_OVERLAP);
    return;
  }
  if( cut ) ner_examples_odd(ex, NER_ODD_WIDENED);
  inside = false;
  for( size_t t = begin; t < end; t++ )
    if( tag[t] == 0 ) {
      tag[t] = 2 * span->type + 1 + inside;
      inside = true;
    }
}

/* Usable spans, the longer first; equal ones once. */
static int examples_take_spans(struct ner_examples *ex, const struct ner_train_span *span,
                               size_t n_spans, uint32_t n_cp, struct examples_span *out,
                               size_t *n_out) {
  size_t n = 0, kept = 0;
  for( size_t i = 0; i < n_spans; i++ ) {
    int32_t type;
    if( span[i].end <= span[i].start ) {
      ner_examples_odd(ex, NER_ODD_EMPTY);
      continue;
    }
    if( span[i].start < 0 || span[i].end > (int64_t)n_cp ) {
      ner_examples_odd(ex, NER_ODD_OUTSIDE);
      continue;
    }
    type = examples_type(ex, span[i].type, span[i].n_type);
    if( type == -2 ) return NER_NOMEM;
    if( type < 0 ) {
      ner_examples_odd(ex, NER_ODD_TYPE);
      continue;
    }
    out[n++] = (struct examples_span){span[i].start, span[i].end, type, i};
  }
  qsort(out, n, sizeof *out, examples_longer);
  for( size_t i = 0; i < n; i++ ) {
    bool again = false;
    for( size_t j = kept; j-- > 0 && out[j].end - out[j].start == out[i].end - out[i].start; )
      if( out[j].start == out[i].start ) {
        if( out[j].type != out[i].type ) ner_examples_odd(ex, NER_ODD_CONFLICT);
        again = true;
        break;
      }
    if( !again ) out[kept++] = out[i];
  }
  *n_out = kept;
  return NER_OK;
}

int ner_examples_add_text(struct ner_examples *ex, const char *utf8, size_t n_bytes,
                          const struct ner_train_span *span, size_t n_spans, struct ner_err *err) {
  struct ner_tokens tokens = {0};
  struct examples_span *spans = NULL;
  int32_t *tag = NULL;
  size_t n = 0;
  int rc = ner_tokenize(ex->model->tokenizer, utf8, n_bytes, 0, &tokens, NULL, err);
  if( rc == NER_OK && tokens.n == 0 ) {
    ner_examples_odd(ex, NER_ODD_NO_WORDS);
  } else if( rc == NER_OK ) {
    tag = ner_alloc(tokens.n, sizeof *tag);
    spans = ner_alloc(n_spans + 1, sizeof *spans);
    if( !tag || !spans ||
        examples_take_spans(ex, span, n_spans, ner_utf8_count(utf8, n_bytes), spans, &n) )
      rc = ner_fail_nomem(err);
    for( size_t t = 0; t < tokens.n && rc == NER_OK; t++ )
      tag[t] = t > 0 && tokens.token[t].word == tokens.token[t - 1].word ? -1 : 0;
    for( size_t i = 0; i < n && rc == NER_OK; i++ ) examples_tag_span(ex, &tokens, &spans[i], tag);
    if( rc == NER_OK ) rc = examples_add(ex, &tokens, tag, ner_hash(0, utf8, n_bytes), err);
  }
  NER_FREE(spans);
  NER_FREE(tag);
  ner_tokens_free(&tokens);
  return rc;
}

/* ---- words and their tags ---- */

/* BIO, and what is read as it: BILOU and BIOES (S, U begin, L, E continue), types without a prefix,
** I- that continues nothing. *last is the type of the word before, -1: none. */
static int examples_read_tag(struct ner_examples *ex, const struct ner_slice *tag, int32_t *last,
                             int32_t *out) {
  const char *s = tag->utf8;
  size_t n = tag->n_bytes;
  bool begins = false, marked = n > 2 && s[1] == '-' && strchr("BILOUESbilous", s[0]) && s[0];
  int32_t type;
  *out = 0;
  if( n == 0 || (n == 1 && (*s == 'O' || *s == 'o')) ) {
    *last = -1;
    return NER_OK;
  }
  if( marked ) {
    begins = strchr("BSUbsu", s[0]) != NULL;
    s += 2, n -= 2;
  }
  type = examples_type(ex, s, n);
  if( type == -2 ) return NER_NOMEM;
  if( type < 0 ) {
    ner_examples_odd(ex, NER_ODD_TYPE);
    *last = -1;
    return NER_OK;
  }
  if( !begins && type != *last ) {
    if( marked ) ner_examples_odd(ex, NER_ODD_TAG);
    begins = true;
  }
  *out = 2 * type + (begins ? 1 : 2);
  *last = type;
  return NER_OK;
}

int ner_examples_add_words(struct ner_examples *ex, const struct ner_slice *word,
                           const struct ner_slice *tag, size_t n_words, struct ner_err *err) {
  struct ner_tokens tokens = {0};
  int32_t *tags = NULL, last = -1;
  size_t cap = 0;
  uint64_t hash = 0;
  int rc = NER_OK;
  for( size_t w = 0; w < n_words && rc == NER_OK; w++ ) {
    size_t first = tokens.n;
    int32_t value;
    if( examples_read_tag(ex, &tag[w], &last, &value) ) rc = ner_fail_nomem(err);
    if( rc == NER_OK )
      rc = ner_tokenize(ex->model->tokenizer, word[w].utf8, word[w].n_bytes, 0, &tokens, NULL, err);
    if( rc == NER_OK && ner_grow((void **)&tags, &cap, tokens.n, sizeof *tags) )
      rc = ner_fail_nomem(err);
    for( size_t t = first; t < tokens.n && rc == NER_OK; t++ ) {
      tokens.token[t].word = (uint32_t)w;
      /* Windows are cut between words. */
      tokens.token[t].start_byte = (uint32_t)w * 2;
      tokens.token[t].end_byte = (uint32_t)w * 2 + 1;
      tags[t] = t == first ? value : -1;
    }
    hash = ner_hash(hash, word[w].utf8, word[w].n_bytes);
  }
  if( rc == NER_OK && tokens.n == 0 )
    ner_examples_odd(ex, NER_ODD_NO_WORDS);
  else if( rc == NER_OK )
    rc = examples_add(ex, &tokens, tags, hash, err);
  NER_FREE(tags);
  ner_tokens_free(&tokens);
  return rc;
}
