/*
** added_tokens.c - finding added tokens; see added_tokens.h.
**
** All patterns of a set make up one automaton (Aho and Corasick), but of the patterns read
** backwards, and it walks the text backwards. At every place it knows the longest pattern that
** begins there. Finds are then chosen from the left: the first place where one begins, the longest
** there, and on behind its end. Walking forwards, an automaton that has found "a" must read on for
** "aaa...b" and, disappointed, come back: with many tokens that is no longer linear.
**
** The automaton's states are a trie in breadth-first order, so that the children of a state are
** neighbours, sorted by their byte. A state's `fail` is the state for its longest proper suffix,
** its `token` the pattern it ends, else that of the nearest state on the way of fails: of the
** patterns that begin at a place, the longest.
*/
#include "text/added_tokens.h"

#include <string.h>
#include "text/unicode.h"
#include "text/utf8.h"

struct matcher_state {
  uint32_t child; /* the first one */
  uint32_t fail;
  int32_t token; /* index in added->token, or -1 */
  uint16_t n_child;
  unsigned char byte; /* that leads here */
};

struct ner_matcher {
  struct matcher_state *state; /* [n]; 0 is the root */
  size_t n, cap;
  uint32_t root[256]; /* the root's children by their byte; 0: none */
  int first_byte;     /* what all patterns begin with; -1: with different bytes */
};

/* ---- building ---- */

/* A pattern during building: still to be inserted from byte `left` - 1 backwards. */
struct matcher_entry {
  const char *pattern;
  size_t left;
  int32_t token;
};

static int matcher_entry_compare(const struct matcher_entry *a, const struct matcher_entry *b) {
  size_t i = a->left, j = b->left;
  while( i > 0 && j > 0 ) {
    unsigned char x = (unsigned char)a->pattern[--i], y = (unsigned char)b->pattern[--j];
    if( x != y ) return x < y ? -1 : 1;
  }
  if( i > 0 || j > 0 ) return i > 0 ? 1 : -1;
  return a->token < b->token ? -1 : a->token > b->token;
}

/* Sorts by the patterns read backwards; merge sort, for qsort() may be quadratic. */
static void matcher_sort(struct matcher_entry *entry, struct matcher_entry *scratch, size_t n) {
  for( size_t width = 1; width < n; width *= 2 ) {
    for( size_t begin = 0; begin < n; begin += 2 * width ) {
      size_t middle = begin + width < n ? begin + width : n;
      size_t end = begin + 2 * width < n ? begin + 2 * width : n, a = begin, b = middle;
      for( size_t i = begin; i < end; i++ )
        scratch[i] = b >= end || (a < middle && matcher_entry_compare(&entry[a], &entry[b]) <= 0)
                         ? entry[a++]
                         : entry[b++];
    }
    memcpy(entry, scratch, n * sizeof *entry);
  }
}

/* The entries [begin, end) pass through `state`. */
struct matcher_range {
  size_t begin, end;
};

static int matcher_add_state(struct ner_matcher *m, struct matcher_range **range, size_t *cap_range,
                             unsigned char byte, size_t begin, size_t end) {
  if( m->n >= INT32_MAX || ner_grow((void **)&m->state, &m->cap, m->n + 1, sizeof *m->state) ||
      ner_grow((void **)range, cap_range, m->n + 1, sizeof **range) )
    return NER_NOMEM;
  m->state[m->n] = (struct matcher_state){.token = -1, .byte = byte};
  (*range)[m->n++] = (struct matcher_range){begin, end};
  return NER_OK;
}

/* The trie of sorted entries, level by level. */
static int matcher_build_trie(struct ner_matcher *m, struct matcher_entry *entry, size_t n) {
  struct matcher_range *range = NULL;
  size_t cap_range = 0;
  int rc = matcher_add_state(m, &range, &cap_range, 0, 0, n);
  for( size_t s = 0; rc == NER_OK && s < m->n; s++ ) {
    size_t i = range[s].begin, end = range[s].end;
    /* Those that end here come first; of equal ones the first counts. */
    for( ; i < end && entry[i].left == 0; i++ )
      if( m->state[s].token < 0 ) m->state[s].token = entry[i].token;
    m->state[s].child = (uint32_t)m->n;
    while( rc == NER_OK && i < end ) {
      unsigned char byte = (unsigned char)entry[i].pattern[entry[i].left - 1];
      size_t begin = i;
      while( i < end && (unsigned char)entry[i].pattern[entry[i].left - 1] == byte )
        entry[i++].left--;
      rc = matcher_add_state(m, &range, &cap_range, byte, begin, i);
      m->state[s].n_child++;
    }
  }
  NER_FREE(range);
  return rc;
}

/* The child of a state for a byte; 0: none. */
static uint32_t matcher_child(const struct ner_matcher *m, uint32_t s, unsigned char byte) {
  uint32_t low = m->state[s].child, high = low + m->state[s].n_child;
  if( s == 0 ) return m->root[byte];
  while( low < high ) {
    uint32_t middle = low + (high - low) / 2;
    if( m->state[middle].byte == byte ) return middle;
    if( m->state[middle].byte < byte )
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

static uint32_t matcher_step(const struct ner_matcher *m, uint32_t s, unsigned char byte) {
  for( ;; s = m->state[s].fail ) {
    uint32_t next = matcher_child(m, s, byte);
    if( next != 0 || s == 0 ) return next;
  }
}

/* Fails and inherited tokens, from the root on: a fail is always nearer to it. */
static void matcher_link(struct ner_matcher *m) {
  for( uint32_t s = 0; s < m->n; s++ ) {
    const struct matcher_state *parent = &m->state[s];
    for( uint32_t c = parent->child; c < parent->child + parent->n_child; c++ ) {
      struct matcher_state *child = &m->state[c];
      child->fail = s == 0 ? 0 : matcher_step(m, parent->fail, child->byte);
      if( child->token < 0 ) child->token = m->state[child->fail].token;
    }
  }
}

static void matcher_free(struct ner_matcher *m) {
  if( !m ) return;
  NER_FREE(m->state);
  NER_FREE(m);
}

static int matcher_new(const struct ner_added_tokens *added, enum ner_added_set set,
                       struct ner_matcher **out) {
  struct matcher_entry *entry = ner_alloc(2 * added->n, sizeof *entry);
  struct ner_matcher *m = ner_calloc(1, sizeof *m);
  size_t n = 0;
  int rc = entry && m ? NER_OK : NER_NOMEM;
  if( rc == NER_OK ) {
    m->first_byte = -1;
    for( size_t i = 0; i < added->n; i++ ) {
      const struct ner_added_token *token = &added->token[i];
      int byte = (unsigned char)token->pattern[0];
      if( token->set != set ) continue;
      m->first_byte = n == 0 || m->first_byte == byte ? byte : -1;
      entry[n++] = (struct matcher_entry){token->pattern, token->n_pattern, (int32_t)i};
    }
    matcher_sort(entry, entry + added->n, n);
    rc = matcher_build_trie(m, entry, n);
  }
  if( rc == NER_OK ) {
    for( uint32_t c = m->state[0].child; c < m->state[0].child + m->state[0].n_child; c++ )
      m->root[m->state[c].byte] = c;
    matcher_link(m);
  }
  NER_FREE(entry);
  if( rc ) {
    matcher_free(m);
    return rc;
  }
  *out = m;
  return NER_OK;
}

int ner_added_tokens_add(struct ner_added_tokens *added, const struct ner_added_token *token,
                         struct ner_err *err) {
  if( added->n >= INT32_MAX ||
      ner_grow((void **)&added->token, &added->cap, added->n + 1, sizeof *added->token) ) {
    NER_FREE(token->content);
    NER_FREE(token->pattern);
    return ner_fail_nomem(err);
  }
  added->token[added->n++] = *token;
  return NER_OK;
}

int ner_added_tokens_finish(struct ner_added_tokens *added, struct ner_err *err) {
  size_t n_bytes = 0;
  for( size_t i = 0; i < added->n; i++ ) {
    const struct ner_added_token *token = &added->token[i];
    const int n_shown = token->n_content < 40 ? (int)token->n_content : 40;
    if( token->n_pattern == 0 )
      return ner_fail(err, NER_ERROR, "added token %d ('%.*s') is empty once normalised; remove it",
                      token->id, n_shown, token->content);
    if( token->n_pattern > NER_ADDED_PATTERN_BYTES )
      return ner_fail(err, NER_ERROR, "added token %d ('%.*s...') has %zu bytes; it may have %zu",
                      token->id, n_shown, token->content, token->n_pattern,
                      NER_ADDED_PATTERN_BYTES);
    n_bytes += token->n_pattern;
    if( n_bytes > NER_ADDED_PATTERNS_BYTES )
      return ner_fail(err, NER_ERROR,
                      "the added tokens have more than %zu bytes in all; remove some",
                      NER_ADDED_PATTERNS_BYTES);
  }
  for( int set = 0; set < 2; set++ ) {
    bool any = false;
    for( size_t i = 0; i < added->n && !any; i++ ) any = (int)added->token[i].set == set;
    if( any && matcher_new(added, (enum ner_added_set)set, &added->matcher[set]) )
      return ner_fail_nomem(err);
  }
  return NER_OK;
}

void ner_added_tokens_free(struct ner_added_tokens *added) {
  for( size_t i = 0; i < added->n; i++ ) {
    NER_FREE(added->token[i].content);
    NER_FREE(added->token[i].pattern);
  }
  NER_FREE(added->token);
  matcher_free(added->matcher[0]);
  matcher_free(added->matcher[1]);
  *added = (struct ner_added_tokens){0};
}

void ner_cuts_free(struct ner_cuts *cuts) {
  NER_FREE(cuts->cut);
  NER_FREE(cuts->find);
  *cuts = (struct ner_cuts){0};
}

/* ---- searching ---- */

/* The places where patterns begin, from the last to the first, each with its longest one, into
** out->find. */
static int matcher_find(const struct ner_matcher *m, const struct ner_added_tokens *added,
                        const char *text, uint32_t n_bytes, struct ner_cuts *out, size_t *n) {
  const char *first = text;
  uint32_t s = 0;
  *n = 0;
  if( m->first_byte >= 0 ) first = memchr(text, m->first_byte, n_bytes);
  if( !first ) return NER_OK;
  for( uint32_t i = n_bytes; i > (uint32_t)(first - text); ) {
    int32_t token;
    s = s == 0 ? m->root[(unsigned char)text[--i]] : matcher_step(m, s, (unsigned char)text[--i]);
    token = m->state[s].token;
    if( token < 0 ) continue;
    if( ner_grow((void **)&out->find, &out->cap_find, *n + 1, sizeof *out->find) ) return NER_NOMEM;
    out->find[(*n)++] = (struct ner_cut){i, i + (uint32_t)added->token[token].n_pattern, token};
  }
  return NER_OK;
}

bool ner_added_tokens_may_occur(const struct ner_added_tokens *added, enum ner_added_set set,
                                const char *text, uint32_t n_bytes) {
  const struct ner_matcher *m = added->matcher[set];
  if( !m || n_bytes == 0 ) return false;
  return m->first_byte < 0 || memchr(text, m->first_byte, n_bytes);
}

static bool cut_is_word_before(const char *text, uint32_t at) {
  return at > 0 && ner_char_flags(ner_utf8_before((const unsigned char *)text, at)) & NER_CHAR_WORD;
}
static bool cut_is_word_after(const char *text, uint32_t n_bytes, uint32_t at) {
  return at < n_bytes &&
         ner_char_flags(ner_utf8_next((const unsigned char *)text, n_bytes, &at)) & NER_CHAR_WORD;
}

/* Where the blanks that end at `at` begin, not before `low`. */
static uint32_t cut_blanks_before(const char *text, uint32_t low, uint32_t at) {
  while( at > low ) {
    int32_t c = ner_utf8_before((const unsigned char *)text, at);
    if( !(ner_char_flags(c) & NER_CHAR_SPACE) ) break;
    at -= ner_utf8_put((char[NER_UTF8_MAX]){0}, c);
  }
  return at;
}
/* Where the blanks that begin at `at` end. */
static uint32_t cut_blanks_after(const char *text, uint32_t n_bytes, uint32_t at) {
  for( uint32_t next = at; at < n_bytes; at = next )
    if( !(ner_char_flags(ner_utf8_next((const unsigned char *)text, n_bytes, &next)) &
          NER_CHAR_SPACE) )
      break;
  return at;
}

static int cut_push(struct ner_cuts *out, uint32_t begin, uint32_t end, int32_t token) {
  if( begin >= end ) return NER_OK;
  if( ner_grow((void **)&out->cut, &out->cap, out->n + 1, sizeof *out->cut) ) return NER_NOMEM;
  out->cut[out->n++] = (struct ner_cut){begin, end, token};
  return NER_OK;
}

int ner_added_tokens_split(const struct ner_added_tokens *added, enum ner_added_set set,
                           const char *text, uint32_t n_bytes, struct ner_cuts *out,
                           struct ner_err *err) {
  uint32_t done = 0;       /* cut up to here */
  uint32_t passed = 0;     /* the next find begins here or later */
  uint32_t blanks_end = 0; /* of the blanks last looked at: not looked at again */
  size_t n = 0;
  out->n = 0;
  if( added->matcher[set] && matcher_find(added->matcher[set], added, text, n_bytes, out, &n) )
    return ner_fail_nomem(err);
  while( n > 0 ) {
    const struct ner_cut find = out->find[--n];
    const struct ner_added_token *token = &added->token[find.token];
    uint32_t begin = find.begin, end = find.end;
    if( begin < passed ) continue;
    passed = end;
    if( token->as_text ) continue;
    if( token->single_word &&
        (cut_is_word_before(text, begin) || cut_is_word_after(text, n_bytes, end)) )
      continue;
    if( token->lstrip ) {
      begin = cut_blanks_before(text, done < begin ? done : begin, begin);
      if( begin < done ) begin = done;
    }
    if( token->rstrip ) {
      if( end >= blanks_end ) blanks_end = cut_blanks_after(text, n_bytes, end);
      end = blanks_end;
    }
    if( (begin > done && cut_push(out, done, begin, -1)) || cut_push(out, begin, end, find.token) )
      return ner_fail_nomem(err);
    done = end;
  }
  return cut_push(out, done, n_bytes, -1) ? ner_fail_nomem(err) : NER_OK;
}
