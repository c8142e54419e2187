/*
** tokenizer_json.h - a tokenizer's rules as JSON: those of a tokenizer.json, and those that
** ner_convert() keeps in its file.
**
** Both have the form of Hugging Face's tokenizer.json. What is not understood is an error that
** names it.
*/
#ifndef NER_TOKENIZER_JSON_H
#define NER_TOKENIZER_JSON_H

#include "model/internal.h"

#pragma GCC visibility push(hidden)

/* One of the members of a tokenizer.json into parts: fn for ner_json_each(json, "$", ...). `item`
** is the member's value; a null is a statement, too. `what` begins errors. */
int ner_normalizer_from_json(const struct ner_json_item *item, const char *what,
                             struct ner_normalizer *out, struct ner_err *err);
int ner_pretokenizer_from_json(const struct ner_json_item *item, const char *what,
                               struct ner_pretokenizer *out, struct ner_err *err);
/* token_types: the model has token types other than 0, which matter then. */
int ner_template_from_json(const struct ner_json_item *item, bool token_types, const char *what,
                           struct ner_template *out, struct ner_err *err);

/* An added token as JSON has it. */
struct ner_json_token {
  char *content; /* [n_content] owned; NULL: not stated */
  size_t n_content;
  int64_t id; /* -1: not stated */
  bool single_word, lstrip, rstrip, special;
  bool normalized, normalized_stated;
};
/* Reads {"content": ..., "lstrip": ...}; other members are ignored. */
int ner_token_from_json(struct ner_json *json, const struct ner_json_item *item, const char *what,
                        struct ner_json_token *out, struct ner_err *err);

/* Names of kinds in JSON. */
const char *ner_normalizer_name(enum ner_normalizer_kind kind);
const char *ner_pretokenizer_name(enum ner_pretokenizer_kind kind);
const char *ner_split_behavior_name(enum ner_split_behavior behavior);
/* Appends an id to those before or after a text. */
int ner_template_push(struct ner_template *t, bool after, int64_t id, const char *what,
                      struct ner_err *err);

/* ---- tokenizer_stored.c ---- */

/* All rules of a tokenizer, without its vocabulary, as one JSON object; for NER_FREE. NULL: no
** memory. */
char *ner_tokenizer_to_json(const struct ner_tokenizer *tokenizer);
/* The inverse: a tokenizer of such rules and a vocabulary, which is taken over also when it fails.
** Ids must be below vocab_size. */
int ner_tokenizer_from_json(const char *text, size_t n_bytes, const char *what,
                            struct ner_vocab *vocab, int32_t vocab_size, struct ner_tokenizer **out,
                            struct ner_err *err);

#pragma GCC visibility pop
#endif
