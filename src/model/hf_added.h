/*
** hf_added.h - which added tokens a tokenizer has, from what its files say one after the other.
**
** transformers 4.48 adds tokens in several rounds, and tokenizers decides each time what id a token
** gets and which of its flags count. The rules are simple but the rounds make odd results, and
** directories are made by them; so they are followed here.
**
**     struct hf_added added = {.vocab = vocab};
**     hf_added_round(&added, token, n, &err);          for each round
**     hf_added_finish(&added, ..., &parts.added, &err);
**     hf_added_free(&added);
*/
#ifndef NER_HF_ADDED_H
#define NER_HF_ADDED_H

#include <string.h>
#include "model/tokenizer_json.h"

#pragma GCC visibility push(hidden)

/* An added token as transformers holds it. A plain string is one without flags. */
struct hf_token {
  char *content; /* [n_content] */
  size_t n_content;
  int64_t index; /* the id that a file gives it; -1: none */
  bool single_word, lstrip, rstrip, special;
  bool normalized, normalized_stated; /* unstated: not special */
  bool is_string;
  bool unnamed; /* a special token of this name does not become it */
};

/* A list of tokens, which also finds them by content. */
struct hf_tokens {
  struct hf_token *token; /* [n] */
  size_t n, cap;
  uint32_t *slot; /* [n_slots] hash table of index + 1, of equal contents the last */
  size_t n_slots;
  uint64_t seed;
};
/* Appends a copy; NER_NOMEM. */
int hf_tokens_add(struct hf_tokens *tokens, const struct hf_token *token);
/* The last token with this content, or NULL. */
struct hf_token *hf_tokens_find(const struct hf_tokens *tokens, const char *content,
                                size_t n_content);
/* By index, each index once: the token that was added last. NER_NOMEM. */
int hf_tokens_sort(struct hf_tokens *tokens);
void hf_tokens_free(struct hf_tokens *tokens); /* leaves {0} */

static inline bool hf_token_normalized(const struct hf_token *t) {
  return t->normalized_stated ? t->normalized : !t->special;
}
static inline bool hf_token_named(const struct hf_token *t, const char *content, size_t n) {
  return t->n_content == n && memcmp(t->content, content, n) == 0;
}
/* As Python compares two AddedTokens. */
bool hf_token_same(const struct hf_token *a, const struct hf_token *b);

/* A token in the vocabulary of added tokens. */
struct hf_entry {
  struct hf_token token; /* as it was added last; borrows the content */
  int32_t id;            /* -1: not yet */
  bool in_special;
};

/* A place in the order in which patterns are looked for. */
struct hf_pattern {
  size_t entry;
  bool normalized;
};

struct hf_added {
  const struct ner_vocab *vocab;
  struct hf_tokens content; /* of the entries, in their order */
  struct hf_entry *entry;   /* [content.n] */
  size_t cap;
  int32_t max_id; /* of entries */
  struct hf_pattern *special, *ordinary;
  size_t n_special, cap_special, n_ordinary, cap_ordinary;
};

/* The id of a token, added or of the vocabulary, or -1. */
int32_t hf_added_find(const struct hf_added *added, const char *content, size_t n_content);
/* The entry of an added token, or NULL. */
const struct hf_entry *hf_added_entry(const struct hf_added *added, const char *content,
                                      size_t n_content);
int hf_added_round(struct hf_added *added, const struct hf_token *token, size_t n,
                   struct ner_err *err);
/* Patterns into `out`. normalizer: for those that are normalised. Tokens with ids from vocab_size
** on are an error, but for those that `may_drop` accepts: they are left out. */
int hf_added_finish(const struct hf_added *added, const struct ner_normalizer *normalizer,
                    int32_t vocab_size, bool specials_as_text,
                    bool (*may_drop)(const void *arg, const struct hf_token *token),
                    const void *arg, const char *what, struct ner_added_tokens *out,
                    struct ner_err *err);
void hf_added_free(struct hf_added *added);

#pragma GCC visibility pop
#endif
