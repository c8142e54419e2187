/*
** wordpiece.h - the vocabulary, and greedy longest match over words.
**
** A tokenizer is immutable once made and may be shared by threads. Reference:
** tokenizers 0.22.2, WordPiece and the added special tokens.
*/
#ifndef NER_WORDPIECE_H
#define NER_WORDPIECE_H

#include "text/text.h"

#pragma GCC visibility push(hidden)

struct ner_token {
  int32_t id;
  uint32_t word;                 /* Hugging Face's word id: punctuation counts as a word */
  uint32_t start_byte, end_byte; /* span in the original text */
  uint32_t start, end;           /* the same in code points */
};

struct ner_tokens {
  struct ner_token *token; /* [n] */
  size_t n, cap;
};
void ner_tokens_free(struct ner_tokens *tokens); /* frees the array, leaves {0} */

struct ner_vocab;     /* pieces <-> ids */
struct ner_tokenizer; /* rules + vocabulary + special tokens */

/* From the bytes of a vocab.txt: line number = id, "\n" and "\r\n" ends. `what`
** names the source in errors. The bytes are copied. A piece that stands twice
** keeps its last id. */
int ner_vocab_from_lines(const char *bytes, size_t n_bytes, const char *what,
                         struct ner_vocab **out, struct ner_err *err);
/* From pieces one by one (tokenizer.json): new, then add for each, in any order,
** the same piece with the same id as often as you like; ids must come out as
** 0..n-1 without holes when ner_vocab_finish() is called. Only ner_vocab_add,
** finish and free may be called before that. Pieces must be valid UTF-8. */
int ner_vocab_new(struct ner_vocab **out, struct ner_err *err);
int ner_vocab_add(struct ner_vocab *vocab, const char *piece, size_t n_bytes, int64_t id,
                  struct ner_err *err);
int ner_vocab_finish(struct ner_vocab *vocab, const char *what, struct ner_err *err);
void ner_vocab_free(struct ner_vocab *vocab);
int32_t ner_vocab_size(const struct ner_vocab *vocab);
int32_t ner_vocab_find(const struct ner_vocab *vocab, const char *piece, size_t n_bytes); /* -1 */
/* The piece as it stands in the vocabulary ("##rk"), not terminated; ids in range. */
const char *ner_vocab_piece(const struct ner_vocab *vocab, int32_t id, size_t *n_bytes);
/* Its length in code points, "##" included. */
uint32_t ner_vocab_piece_cp(const struct ner_vocab *vocab, int32_t id);

/* How far from home a piece of a finished vocabulary is found at most, in steps of the search; for
** tests. Another number each time: the table is laid out at random. */
size_t ner_vocab_longest_probe(const struct ner_vocab *vocab);

/* Takes the vocabulary over (also when it fails). Fails when [UNK], [CLS] or
** [SEP] is missing from it ([PAD] and [MASK] may be). `what` names it in errors. */
int ner_tokenizer_new(struct ner_vocab *vocab, const struct ner_text_rules *rules, const char *what,
                      struct ner_tokenizer **out, struct ner_err *err);
void ner_tokenizer_free(struct ner_tokenizer *tokenizer);
const struct ner_vocab *ner_tokenizer_vocab(const struct ner_tokenizer *tokenizer);
const struct ner_text_rules *ner_tokenizer_rules(const struct ner_tokenizer *tokenizer);
int32_t ner_tokenizer_unk(const struct ner_tokenizer *tokenizer);
int32_t ner_tokenizer_cls(const struct ner_tokenizer *tokenizer);
int32_t ner_tokenizer_sep(const struct ner_tokenizer *tokenizer);

/* Appends the tokens of `text` to `out`, without [CLS] and [SEP]. Literal
** special-token strings in the text become their ids, as the reference does.
** Words are numbered from first_word on; *next_word (may be NULL) receives the
** number after the last. Fails only for want of memory or when the text has 2^32 bytes. */
int ner_tokenize(const struct ner_tokenizer *tokenizer, const char *text, size_t n_bytes,
                 uint32_t first_word, struct ner_tokens *out, uint32_t *next_word,
                 struct ner_err *err);

/* Hugging Face's "word" for pieces ids[0..n): the decoder's respacing ("O ' Neill").
** Returns a string to be freed with NER_FREE, NULL when memory is out. Used by
** ner_tokens and the golden tests only: users of ner() get verbatim text. */
char *ner_decode(const struct ner_vocab *vocab, const int32_t *ids, size_t n);

#pragma GCC visibility pop
#endif
