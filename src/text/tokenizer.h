/*
** tokenizer.h - from a text to tokens: added tokens, normalizer, pre-tokenizer, WordPiece.
**
**     struct ner_tokens tokens = {0};
**     ner_tokenize(tokenizer, text, n_bytes, 0, &tokens, NULL, &err);
**     ner_tokens_free(&tokens);
**
** A tokenizer is immutable once made and may be shared by threads. Reference: tokenizers 0.21 and
** 0.22, TokenizerImpl and WordPiece.
*/
#ifndef NER_TOKENIZER_H
#define NER_TOKENIZER_H

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/vocab.h"

#pragma GCC visibility push(hidden)

struct ner_token {
  int32_t id;
  uint32_t word;                 /* Hugging Face's word id: punctuation counts as a word */
  uint32_t start_byte, end_byte; /* span in the original text */
  uint32_t start, end;           /* the same in code points */
  bool glued; /* of a vocabulary without a prefix: no ' ' begins it or stands before it */
};

struct ner_tokens {
  struct ner_token *token; /* [n] */
  size_t n, cap;
};
void ner_tokens_free(struct ner_tokens *tokens); /* frees the array, leaves {0} */

/* What the model reads around the tokens of a window: [CLS] and [SEP], other ids, or nothing. */
#define NER_TEMPLATE_IDS 16 /* at most, on each side */
struct ner_template {
  int32_t before[NER_TEMPLATE_IDS], after[NER_TEMPLATE_IDS];
  int32_t n_before, n_after;
};

static inline int32_t ner_template_tok(const struct ner_template *around) {
  return around->n_before + around->n_after;
}

/* All that makes up a tokenizer. */
struct ner_tokenizer_parts {
  struct ner_vocab *vocab; /* finished, with its prefix */
  struct ner_normalizer normalizer;
  struct ner_pretokenizer pretokenizer;
  struct ner_added_tokens added; /* not finished yet */
  struct ner_template around;
  int64_t max_word_cp; /* a longer word is one unknown token */
  int32_t unk;         /* what WordPiece gives for an unknown word */
  int32_t named_unk;   /* what the pipeline takes for it, nearly always the same; -1: nothing */
};

#define NER_MAX_WORD_CP 100 /* of BERT's tokenizers */

struct ner_tokenizer;

/* Takes all parts over, also when it fails, and leaves {0}. `what` begins errors. */
int ner_tokenizer_from_parts(struct ner_tokenizer_parts *parts, const char *what,
                             struct ner_tokenizer **out, struct ner_err *err);
void ner_tokenizer_parts_free(struct ner_tokenizer_parts *parts);
/* BERT's tokenizer: these rules, [PAD], [UNK], [CLS], [SEP] and [MASK] as added tokens. Takes the
** vocabulary over (also when it fails). Fails when [UNK], [CLS] or [SEP] is missing from it ([PAD]
** and [MASK] may be). */
int ner_tokenizer_new(struct ner_vocab *vocab, const struct ner_text_rules *rules, const char *what,
                      struct ner_tokenizer **out, struct ner_err *err);
void ner_tokenizer_free(struct ner_tokenizer *tokenizer);

const struct ner_tokenizer_parts *ner_tokenizer_parts(const struct ner_tokenizer *tokenizer);
const struct ner_vocab *ner_tokenizer_vocab(const struct ner_tokenizer *tokenizer);
const struct ner_template *ner_tokenizer_template(const struct ner_tokenizer *tokenizer);
/* The rules of the first BertNormalizer; all false without one. */
const struct ner_text_rules *ner_tokenizer_rules(const struct ner_tokenizer *tokenizer);
/* The id that stands for an unknown word to users, or -1. */
int32_t ner_tokenizer_unk(const struct ner_tokenizer *tokenizer);
/* Whether a text may be cut before any ' ' or '\n' and tokenised part by part. */
bool ner_tokenizer_cuts_at_blanks(const struct ner_tokenizer *tokenizer);

/* Appends the tokens of `text` to `out`, without the template's. Added tokens in the text, literal
** special tokens among them, become their ids, as the reference does.
** Words are numbered from first_word on; *next_word (may be NULL) receives the
** number after the last. Fails for want of memory, when the text has 2^32 bytes, or when the
** normalizer makes it far too long. */
int ner_tokenize(const struct ner_tokenizer *tokenizer, const char *text, size_t n_bytes,
                 uint32_t first_word, struct ner_tokens *out, uint32_t *next_word,
                 struct ner_err *err);

/* Hugging Face's "word" for pieces ids[0..n): the decoder's respacing ("O ' Neill").
** Returns a string to be freed with NER_FREE, NULL when memory is out. Used by
** ner_tokens and the golden tests only: users of ner() get verbatim text. */
char *ner_decode(const struct ner_vocab *vocab, const int32_t *ids, size_t n);

#pragma GCC visibility pop
#endif
