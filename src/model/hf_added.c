/*
** hf_added.c - added tokens as tokenizers' AddedVocabulary keeps them; see hf_added.h.
**
** A round first notes which of its tokens are special: a content once special stays so. Then each
** token, unless it is empty or already there with the same flags, gets the id of its content, if
** the content has one, else a new id: behind the vocabulary and behind the largest added id. Its
** flags replace those it had. Patterns are looked for in the order special, then ordinary; whether
** in the raw or in the normalised text, the token decides as it was when it came into that order;
** single_word, lstrip and rstrip are those of the last round.
*/
#include "model/hf_added.h"

#include <string.h>
#include "base/hash.h"

/* ---- lists ---- */

/* The slot of a content, or the empty one where it would go; n_slots > 0. */
static uint32_t *tokens_slot(const struct hf_tokens *tokens, const char *content,
                             size_t n_content) {
  size_t mask = tokens->n_slots - 1;
  size_t i = (size_t)ner_hash(tokens->seed, content, n_content) & mask;
  while( tokens->slot[i] != 0 &&
         !hf_token_named(&tokens->token[tokens->slot[i] - 1], content, n_content) )
    i = (i + 1) & mask;
  return &tokens->slot[i];
}

/* Slots for at least twice as many tokens as there are. */
static int tokens_index(struct hf_tokens *tokens) {
  size_t n_slots = 16;
  uint32_t *slot;
  while( n_slots < 4 * tokens->n ) n_slots *= 2;
  slot = ner_calloc(n_slots, sizeof *slot);
  if( !slot ) return NER_NOMEM;
  if( !tokens->slot ) tokens->seed = ner_random();
  NER_FREE(tokens->slot);
  tokens->slot = slot;
  tokens->n_slots = n_slots;
  for( size_t i = 0; i < tokens->n; i++ )
    *tokens_slot(tokens, tokens->token[i].content, tokens->token[i].n_content) = (uint32_t)i + 1;
  return NER_OK;
}

int hf_tokens_add(struct hf_tokens *tokens, const struct hf_token *token) {
  struct hf_token copy = *token;
  if( tokens->n >= INT32_MAX || (2 * (tokens->n + 1) > tokens->n_slots && tokens_index(tokens)) ||
      ner_grow((void **)&tokens->token, &tokens->cap, tokens->n + 1, sizeof *tokens->token) )
    return NER_NOMEM;
  copy.content = ner_strndup(token->content, token->n_content);
  if( !copy.content ) return NER_NOMEM;
  tokens->token[tokens->n] = copy;
  *tokens_slot(tokens, copy.content, copy.n_content) = (uint32_t)++tokens->n;
  return NER_OK;
}

struct hf_token *hf_tokens_find(const struct hf_tokens *tokens, const char *content,
                                size_t n_content) {
  uint32_t at = tokens->n_slots ? *tokens_slot(tokens, content, n_content) : 0;
  return at ? &tokens->token[at - 1] : NULL;
}

/* Merge sort: it keeps the order of equals, and no input makes it slow. */
int hf_tokens_sort(struct hf_tokens *tokens) {
  size_t n = tokens->n, kept = 0;
  struct hf_token *a = tokens->token, *b;
  if( n == 0 ) return NER_OK;
  b = ner_alloc(n, sizeof *b);
  if( !b ) return NER_NOMEM;
  for( size_t width = 1; width < n; width *= 2 ) {
    for( size_t begin = 0; begin < n; begin += 2 * width ) {
      size_t middle = begin + width < n ? begin + width : n;
      size_t end = begin + 2 * width < n ? begin + 2 * width : n, x = begin, y = middle;
      for( size_t i = begin; i < end; i++ )
        b[i] = y >= end || (x < middle && a[x].index <= a[y].index) ? a[x++] : a[y++];
    }
    memcpy(a, b, n * sizeof *a);
  }
  NER_FREE(b);
  for( size_t i = 0; i < n; i++ ) {
    if( i + 1 < n && a[i].index == a[i + 1].index )
      NER_FREE(a[i].content);
    else
      a[kept++] = a[i];
  }
  tokens->n = kept;
  return tokens_index(tokens);
}

void hf_tokens_free(struct hf_tokens *tokens) {
  for( size_t i = 0; i < tokens->n; i++ ) NER_FREE(tokens->token[i].content);
  NER_FREE(tokens->token);
  NER_FREE(tokens->slot);
  *tokens = (struct hf_tokens){0};
}

bool hf_token_same(const struct hf_token *a, const struct hf_token *b) {
  return hf_token_named(a, b->content, b->n_content) && a->single_word == b->single_word &&
         a->lstrip == b->lstrip && a->rstrip == b->rstrip && a->special == b->special &&
         hf_token_normalized(a) == hf_token_normalized(b);
}

/* ---- entries ---- */

/* The entry of the token's content, made if it is new; NULL: no memory. */
static struct hf_entry *added_entry_for(struct hf_added *added, const struct hf_token *token) {
  struct hf_tokens *contents = &added->content;
  const struct hf_token *known = hf_tokens_find(contents, token->content, token->n_content);
  struct hf_entry entry = {.id = -1, .token = *token};
  if( known ) return &added->entry[known - contents->token];
  if( ner_grow((void **)&added->entry, &added->cap, contents->n + 1, sizeof *added->entry) ||
      hf_tokens_add(contents, token) )
    return NULL;
  entry.token.content = contents->token[contents->n - 1].content;
  added->entry[contents->n - 1] = entry;
  return &added->entry[contents->n - 1];
}

const struct hf_entry *hf_added_entry(const struct hf_added *added, const char *content,
                                      size_t n_content) {
  const struct hf_token *known = hf_tokens_find(&added->content, content, n_content);
  const struct hf_entry *entry = known ? &added->entry[known - added->content.token] : NULL;
  return entry && entry->id >= 0 ? entry : NULL;
}

int32_t hf_added_find(const struct hf_added *added, const char *content, size_t n_content) {
  const struct hf_entry *entry = hf_added_entry(added, content, n_content);
  return entry ? entry->id : ner_vocab_find(added->vocab, content, n_content);
}

/* ---- a round ---- */

static int added_push(struct hf_pattern **list, size_t *n, size_t *cap, size_t entry,
                      bool normalized) {
  if( ner_grow((void **)list, cap, *n + 1, sizeof **list) ) return NER_NOMEM;
  (*list)[(*n)++] = (struct hf_pattern){entry, normalized};
  return NER_OK;
}

static int32_t added_new_id(const struct hf_added *added) {
  int32_t n_vocab = (int32_t)ner_vocab_distinct(added->vocab);
  return added->max_id >= n_vocab ? added->max_id + 1 : n_vocab;
}

static int added_note_special(struct hf_added *added, const struct hf_token *token) {
  struct hf_entry *entry = added_entry_for(added, token);
  if( !entry ) return NER_NOMEM;
  if( entry->in_special ) return NER_OK;
  entry->in_special = true;
  return added_push(&added->special, &added->n_special, &added->cap_special,
                    (size_t)(entry - added->entry), hf_token_normalized(token));
}

static int added_take(struct hf_added *added, const struct hf_token *token) {
  struct hf_entry *entry = added_entry_for(added, token);
  char *content;
  if( !entry ) return NER_NOMEM;
  if( entry->id >= 0 && hf_token_same(&entry->token, token) ) return NER_OK;
  if( entry->id < 0 ) {
    entry->id = ner_vocab_find(added->vocab, token->content, token->n_content);
    if( entry->id < 0 ) entry->id = added_new_id(added);
    if( entry->id > added->max_id ) added->max_id = entry->id;
  }
  content = entry->token.content;
  entry->token = *token;
  entry->token.content = content;
  if( entry->in_special ) return NER_OK;
  return added_push(&added->ordinary, &added->n_ordinary, &added->cap_ordinary,
                    (size_t)(entry - added->entry), hf_token_normalized(token));
}

int hf_added_round(struct hf_added *added, const struct hf_token *token, size_t n,
                   struct ner_err *err) {
  for( size_t i = 0; i < n; i++ )
    if( token[i].special && token[i].n_content > 0 && added_note_special(added, &token[i]) )
      return ner_fail_nomem(err);
  for( size_t i = 0; i < n; i++ )
    if( token[i].n_content > 0 && added_take(added, &token[i]) ) return ner_fail_nomem(err);
  return NER_OK;
}

/* ---- the outcome ---- */

/* The content, normalised, into token->pattern. */
static int added_normalize(const struct ner_normalizer *normalizer, struct ner_added_token *token,
                           struct ner_normalized *scratch, struct ner_err *err) {
  int rc =
      token->n_content > UINT32_MAX
          ? ner_fail(err, NER_ERROR, "an added token of %zu bytes; remove it", token->n_content)
          : ner_normalize(normalizer, token->content, (uint32_t)token->n_content, scratch, err);
  if( rc ) return rc;
  token->pattern = ner_strndup(scratch->bytes, scratch->n_bytes);
  token->n_pattern = scratch->n_bytes;
  return token->pattern ? NER_OK : ner_fail_nomem(err);
}

static int added_make(const struct hf_entry *entry, bool normalized,
                      const struct ner_normalizer *normalizer, bool specials_as_text,
                      struct ner_normalized *scratch, struct ner_added_token *out,
                      struct ner_err *err) {
  const struct hf_token *t = &entry->token;
  *out = (struct ner_added_token){
      .n_content = t->n_content,
      .id = entry->id,
      .set = normalized ? NER_ADDED_NORMALIZED : NER_ADDED_RAW,
      .single_word = t->single_word,
      .lstrip = t->lstrip,
      .rstrip = t->rstrip,
      .special = entry->in_special,
      .as_text = specials_as_text && entry->in_special,
  };
  if( t->n_content > NER_ADDED_PATTERN_BYTES )
    return ner_fail(err, NER_ERROR, "added token %d ('%.40s...') has %zu bytes; it may have %zu",
                    entry->id, t->content, t->n_content, NER_ADDED_PATTERN_BYTES);
  out->content = ner_strndup(t->content, t->n_content);
  if( !out->content ) return ner_fail_nomem(err);
  if( normalized ) return added_normalize(normalizer, out, scratch, err);
  out->pattern = ner_strndup(t->content, t->n_content);
  out->n_pattern = t->n_content;
  return out->pattern ? NER_OK : ner_fail_nomem(err);
}

int hf_added_finish(const struct hf_added *added, const struct ner_normalizer *normalizer,
                    int32_t vocab_size, bool specials_as_text,
                    bool (*may_drop)(const void *arg, const struct hf_token *token),
                    const void *arg, const char *what, struct ner_added_tokens *out,
                    struct ner_err *err) {
  struct ner_normalized scratch = {0};
  int rc = NER_OK;
  for( size_t i = 0; i < added->n_special + added->n_ordinary && rc == NER_OK; i++ ) {
    const struct hf_pattern *pattern =
        i < added->n_special ? &added->special[i] : &added->ordinary[i - added->n_special];
    const struct hf_entry *entry = &added->entry[pattern->entry];
    struct ner_added_token token;
    if( entry->id >= vocab_size ) {
      if( may_drop(arg, &entry->token) ) continue;
      rc = ner_fail(err, NER_ERROR,
                    "%s: added token '%.40s' has the id %d, but config.json says vocab_size %d; "
                    "resize the model's embeddings, or remove the token",
                    what, entry->token.content, entry->id, vocab_size);
      break;
    }
    rc =
        added_make(entry, pattern->normalized, normalizer, specials_as_text, &scratch, &token, err);
    if( rc ) {
      NER_FREE(token.content);
      ner_fail_prefix(err, "%s: ", what);
    } else {
      rc = ner_added_tokens_add(out, &token, err);
    }
  }
  ner_normalized_free(&scratch);
  return rc;
}

void hf_added_free(struct hf_added *added) {
  hf_tokens_free(&added->content);
  NER_FREE(added->entry);
  NER_FREE(added->special);
  NER_FREE(added->ordinary);
  *added = (struct hf_added){0};
}
