/*
** tokenizer.c - putting the steps together; see tokenizer.h.
**
**   text ─► raw added tokens ─► what is between them:
**     BERT's own rules:  text.c's splitter, a word at a time, nothing copied   tokenize_plain()
**     any other rules:   normalizer ─► normalised added tokens ─►
**                        what is between them: pre-tokenizer ─► words          tokenize_general()
**   word ─► WordPiece: looked up whole, which settles most words; otherwise, from the left, the
**   longest piece that fits; if nothing fits somewhere, the whole word is one unknown token.
*/
#include "text/tokenizer.h"

#include <string.h>

struct ner_tokenizer {
  struct ner_tokenizer_parts parts;
  struct ner_text_rules rules; /* of the first BertNormalizer */
  bool plain;                  /* BERT's own rules: tokenize_plain() does it */
  bool cuts_at_blanks;
};

/* ---- making ---- */

void ner_tokenizer_parts_free(struct ner_tokenizer_parts *parts) {
  ner_vocab_free(parts->vocab);
  ner_normalizer_free(&parts->normalizer);
  ner_pretokenizer_free(&parts->pretokenizer);
  ner_added_tokens_free(&parts->added);
  *parts = (struct ner_tokenizer_parts){0};
}

void ner_tokenizer_free(struct ner_tokenizer *tokenizer) {
  if( !tokenizer ) return;
  ner_tokenizer_parts_free(&tokenizer->parts);
  NER_FREE(tokenizer);
}

/* Whether the parts are BERT's own but for added tokens that are looked for in the raw text. */
static bool tokenizer_is_plain(const struct ner_tokenizer_parts *p) {
  return p->normalizer.n == 1 && p->normalizer.step[0].kind == NER_NORMALIZER_BERT &&
         p->pretokenizer.n == 1 && p->pretokenizer.step[0].kind == NER_PRETOKENIZER_BERT &&
         p->max_word_cp < NER_WORD_CP && !p->added.matcher[NER_ADDED_NORMALIZED];
}

static bool tokenizer_may_cut(const struct ner_tokenizer_parts *p) {
  if( !ner_pretokenizer_cuts_blanks(&p->pretokenizer) ) return false;
  for( size_t i = 0; i < p->normalizer.n; i++ ) {
    const struct ner_normalizer_step *step = &p->normalizer.step[i];
    if( step->kind == NER_NORMALIZER_STRIP ) return false;
    for( uint32_t k = 0; step->kind == NER_NORMALIZER_REPLACE && k < step->n_pattern; k++ )
      if( ner_char_flags(step->pattern[k]) & NER_CHAR_SPACE ) return false;
  }
  for( size_t i = 0; i < p->added.n; i++ ) {
    const struct ner_added_token *token = &p->added.token[i];
    if( token->lstrip || token->rstrip || memchr(token->pattern, ' ', token->n_pattern) ||
        memchr(token->pattern, '\n', token->n_pattern) )
      return false;
  }
  return true;
}

static int tokenizer_finish(struct ner_tokenizer *t, const char *what, struct ner_err *err) {
  struct ner_tokenizer_parts *p = &t->parts;
  int rc = ner_added_tokens_finish(&p->added, err);
  for( size_t i = 0; i < p->added.n && rc == NER_OK; i++ ) {
    const struct ner_added_token *token = &p->added.token[i];
    rc = ner_vocab_set_name(p->vocab, token->id, token->content, token->n_content, err);
  }
  if( rc ) {
    ner_fail_prefix(err, "%s: ", what);
    return rc;
  }
  if( p->max_word_cp > NER_MATCH_CP && ner_vocab_longest_piece(p->vocab) > NER_MATCH_CP )
    return ner_fail(err, NER_ERROR,
                    "%s: max_input_chars_per_word is %lld and the longest piece has %u bytes; one "
                    "of them may be above %d",
                    what, (long long)p->max_word_cp, ner_vocab_longest_piece(p->vocab),
                    NER_MATCH_CP);
  for( size_t i = p->normalizer.n; i-- > 0; )
    if( p->normalizer.step[i].kind == NER_NORMALIZER_BERT ) t->rules = p->normalizer.step[i].bert;
  t->plain = tokenizer_is_plain(p);
  t->cuts_at_blanks = tokenizer_may_cut(p);
  return NER_OK;
}

int ner_tokenizer_from_parts(struct ner_tokenizer_parts *parts, const char *what,
                             struct ner_tokenizer **out, struct ner_err *err) {
  struct ner_tokenizer *t = ner_calloc(1, sizeof *t);
  int rc;
  *out = NULL;
  if( !t ) {
    ner_tokenizer_parts_free(parts);
    return ner_fail_nomem(err);
  }
  t->parts = *parts;
  *parts = (struct ner_tokenizer_parts){0};
  rc = tokenizer_finish(t, what, err);
  if( rc )
    ner_tokenizer_free(t);
  else
    *out = t;
  return rc;
}

static int tokenizer_add_special(struct ner_added_tokens *added, const char *text, int32_t id,
                                 struct ner_err *err) {
  struct ner_added_token token = {.id = id, .special = true, .set = NER_ADDED_RAW};
  token.n_content = token.n_pattern = strlen(text);
  token.content = ner_strndup(text, token.n_content);
  token.pattern = ner_strndup(text, token.n_pattern);
  if( token.content && token.pattern ) return ner_added_tokens_add(added, &token, err);
  NER_FREE(token.content);
  NER_FREE(token.pattern);
  return ner_fail_nomem(err);
}

int ner_tokenizer_new(struct ner_vocab *vocab, const struct ner_text_rules *rules, const char *what,
                      struct ner_tokenizer **out, struct ner_err *err) {
  enum { UNK, CLS, SEP, N_NEEDED, N_SPECIAL = 5 };
  static const char *const special[N_SPECIAL] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
  struct ner_normalizer_step normalize = {.kind = NER_NORMALIZER_BERT, .bert = *rules};
  struct ner_pretokenizer_step split = {.kind = NER_PRETOKENIZER_BERT};
  struct ner_tokenizer_parts parts = {.vocab = vocab, .max_word_cp = NER_MAX_WORD_CP};
  int32_t id[N_SPECIAL];
  int rc = ner_normalizer_add(&parts.normalizer, &normalize, err);
  *out = NULL;
  if( rc == NER_OK ) rc = ner_pretokenizer_add(&parts.pretokenizer, &split, err);
  for( int i = 0; i < N_SPECIAL && rc == NER_OK; i++ ) {
    id[i] = ner_vocab_find(vocab, special[i], strlen(special[i]));
    if( id[i] >= 0 )
      rc = tokenizer_add_special(&parts.added, special[i], id[i], err);
    else if( i < N_NEEDED )
      rc = ner_fail(err, NER_ERROR, "%s: the vocabulary has no %s; is it that of a BERT model?",
                    what, special[i]);
  }
  if( rc ) {
    ner_tokenizer_parts_free(&parts);
    return rc;
  }
  parts.unk = parts.named_unk = id[UNK];
  parts.around = (struct ner_template){.before = {id[CLS]}, .after = {id[SEP]}, 1, 1};
  return ner_tokenizer_from_parts(&parts, what, out, err);
}

/* ---- asking ---- */

const struct ner_tokenizer_parts *ner_tokenizer_parts(const struct ner_tokenizer *tokenizer) {
  return &tokenizer->parts;
}
const struct ner_vocab *ner_tokenizer_vocab(const struct ner_tokenizer *tokenizer) {
  return tokenizer->parts.vocab;
}
const struct ner_template *ner_tokenizer_template(const struct ner_tokenizer *tokenizer) {
  return &tokenizer->parts.around;
}
const struct ner_text_rules *ner_tokenizer_rules(const struct ner_tokenizer *tokenizer) {
  return &tokenizer->rules;
}
int32_t ner_tokenizer_unk(const struct ner_tokenizer *tokenizer) {
  return tokenizer->parts.named_unk;
}
bool ner_tokenizer_cuts_at_blanks(const struct ner_tokenizer *tokenizer) {
  return tokenizer->cuts_at_blanks;
}

void ner_tokens_free(struct ner_tokens *tokens) {
  NER_FREE(tokens->token);
  *tokens = (struct ner_tokens){0};
}

/* ---- words ---- */

/* A call of ner_tokenize(). */
struct tokenize {
  const struct ner_tokenizer *tokenizer;
  const char *text;
  uint32_t word; /* number of the next one */
  struct ner_tokens *out;
  struct ner_err *err;
  /* Scratch. */
  struct ner_cuts raw, normal;
  struct ner_normalized normalized;
  struct ner_pieces pieces;
};

/* Room is there. */
static void tokenize_push(struct ner_tokens *out, int32_t id, uint32_t word,
                          struct ner_place place) {
  out->token[out->n++] = (struct ner_token){
      .id = id,
      .word = word,
      .start_byte = place.start_byte,
      .end_byte = place.end_byte,
      .start = place.start,
      .end = place.end,
  };
}

static int tokenize_added(struct tokenize *t, int32_t token, struct ner_place place) {
  if( ner_grow((void **)&t->out->token, &t->out->cap, t->out->n + 1, sizeof *t->out->token) )
    return ner_fail_nomem(t->err);
  tokenize_push(t->out, t->tokenizer->parts.added.token[token].id, t->word++, place);
  return NER_OK;
}

static int tokenize_word(struct tokenize *t, const struct ner_word *word) {
  const struct ner_tokenizer_parts *p = &t->tokenizer->parts;
  struct ner_tokens *out = t->out;
  size_t n_before = out->n;
  uint32_t first, end = 0, number = t->word++;
  bool short_enough = word->n_cp <= p->max_word_cp;
  int32_t id = -1;
  if( ner_grow((void **)&out->token, &out->cap, out->n + (short_enough ? word->n_cp : 1),
               sizeof *out->token) )
    return ner_fail_nomem(t->err);
  if( short_enough ) {
    id = ner_vocab_find(p->vocab, word->norm + ner_word_at(word, 0), word->n_bytes);
    if( id >= 0 ) {
      tokenize_push(out, id, number, word->place);
      return NER_OK;
    }
    for( first = 0; first < word->n_cp; first = end ) {
      id = ner_vocab_match(p->vocab, word, first, &end);
      if( id < 0 ) break;
      tokenize_push(out, id, number, ner_word_place(word, first, end - 1));
    }
  }
  if( id < 0 ) {
    out->n = n_before;
    tokenize_push(out, p->unk, number, word->place);
  }
  return NER_OK;
}

/* ---- stretches between raw added tokens ---- */

/* Words of text[begin, end) by BERT's rules; *cp is the code point at begin, then at end. */
static int tokenize_plain(struct tokenize *t, uint32_t begin, uint32_t end, uint32_t *cp) {
  struct ner_splitter split;
  struct ner_word word;
  int rc;
  ner_splitter_init(&split, &t->tokenizer->rules, t->text + begin, end - begin, begin, *cp);
  while( ner_splitter_next(&split, &word) )
    if( (rc = tokenize_word(t, &word)) ) return rc;
  *cp = split.base.cp + split.at.cp;
  return NER_OK;
}

/* The index of the normalised code point that begins at byte `at`. */
static uint32_t tokenize_index(const struct ner_normalized *n, uint32_t at) {
  size_t low = 0, high = n->n;
  while( low < high ) {
    size_t middle = (low + high) / 2;
    if( n->at[middle] < at )
      low = middle + 1;
    else
      high = middle;
  }
  return (uint32_t)low;
}

/* Words of the normalised code points [begin, end). */
static int tokenize_pieces(struct tokenize *t, struct ner_word *word, uint32_t begin,
                           uint32_t end) {
  const struct ner_normalized *n = &t->normalized;
  int rc =
      ner_pretokenize(&t->tokenizer->parts.pretokenizer, n->cp, begin, end, &t->pieces, t->err);
  for( size_t i = 0; i < t->pieces.n && rc == NER_OK; i++ ) {
    const struct ner_piece piece = t->pieces.piece[i];
    word->n_cp = piece.end - piece.begin;
    word->n_bytes = n->at[piece.end] - n->at[piece.begin];
    word->norm_at = n->at + piece.begin;
    word->origin = n->from + piece.begin;
    word->place = ner_word_place(word, 0, word->n_cp - 1);
    rc = tokenize_word(t, word);
  }
  return rc;
}

/* The same as tokenize_plain() by any rules. */
static int tokenize_general(struct tokenize *t, uint32_t begin, uint32_t end, uint32_t *cp) {
  const struct ner_tokenizer_parts *p = &t->tokenizer->parts;
  struct ner_normalized *n = &t->normalized;
  struct ner_word word = {.base_byte = begin, .base_cp = *cp};
  int rc = ner_normalize(&p->normalizer, t->text + begin, end - begin, n, t->err);
  if( rc ) return rc;
  *cp += n->n_input;
  word.norm = n->bytes;
  word.origin_at = n->input_at;
  if( !ner_added_tokens_may_occur(&p->added, NER_ADDED_NORMALIZED, n->bytes, n->n_bytes) )
    return tokenize_pieces(t, &word, 0, (uint32_t)n->n);
  rc = ner_added_tokens_split(&p->added, NER_ADDED_NORMALIZED, n->bytes, n->n_bytes, &t->normal,
                              t->err);
  for( size_t i = 0; i < t->normal.n && rc == NER_OK; i++ ) {
    const struct ner_cut cut = t->normal.cut[i];
    uint32_t first = tokenize_index(n, cut.begin), last = tokenize_index(n, cut.end);
    word.origin = n->from;
    rc = cut.token < 0 ? tokenize_pieces(t, &word, first, last)
                       : tokenize_added(t, cut.token, ner_word_place(&word, first, last - 1));
  }
  return rc;
}

static int tokenize_stretch(struct tokenize *t, uint32_t begin, uint32_t end, uint32_t *cp) {
  return t->tokenizer->plain ? tokenize_plain(t, begin, end, cp)
                             : tokenize_general(t, begin, end, cp);
}

static int tokenize_cuts(struct tokenize *t, uint32_t n_bytes) {
  uint32_t byte = 0, cp = 0;
  int rc = ner_added_tokens_split(&t->tokenizer->parts.added, NER_ADDED_RAW, t->text, n_bytes,
                                  &t->raw, t->err);
  for( size_t i = 0; i < t->raw.n && rc == NER_OK; i++ ) {
    const struct ner_cut cut = t->raw.cut[i];
    uint32_t n_cp;
    if( cut.begin < byte ) cp -= ner_utf8_count(t->text + cut.begin, byte - cut.begin);
    byte = cut.end;
    if( cut.token < 0 ) {
      rc = tokenize_stretch(t, cut.begin, cut.end, &cp);
      continue;
    }
    n_cp = ner_utf8_count(t->text + cut.begin, cut.end - cut.begin);
    rc = tokenize_added(t, cut.token, (struct ner_place){cut.begin, cut.end, cp, cp + n_cp});
    cp += n_cp;
  }
  return rc;
}

/* Without a prefix to tell pieces inside a word by, the pipeline looks at the text. */
static void tokenize_mark_glued(struct ner_tokens *tokens, size_t first, const char *text) {
  for( size_t i = first; i < tokens->n; i++ ) {
    struct ner_token *token = &tokens->token[i];
    const char *start = text + token->start_byte;
    token->glued = token->start_byte > 0 && start[-1] != ' ' &&
                   (token->start_byte == token->end_byte || start[0] != ' ');
  }
}

int ner_tokenize(const struct ner_tokenizer *tokenizer, const char *text, size_t n_bytes,
                 uint32_t first_word, struct ner_tokens *out, uint32_t *next_word,
                 struct ner_err *err) {
  struct tokenize t = {
      .tokenizer = tokenizer, .text = text, .word = first_word, .out = out, .err = err};
  const size_t n_before = out->n;
  uint32_t cp = 0;
  size_t n_prefix;
  int rc;
  if( n_bytes > UINT32_MAX )
    return ner_fail(err, NER_ERROR, "a text of %zu bytes is too long; the limit is 4 GB", n_bytes);
  if( ner_added_tokens_may_occur(&tokenizer->parts.added, NER_ADDED_RAW, text, (uint32_t)n_bytes) )
    rc = tokenize_cuts(&t, (uint32_t)n_bytes);
  else
    rc = tokenize_stretch(&t, 0, (uint32_t)n_bytes, &cp);
  if( next_word ) *next_word = t.word;
  ner_vocab_prefix(tokenizer->parts.vocab, &n_prefix);
  if( n_prefix == 0 ) tokenize_mark_glued(out, n_before, text);
  ner_cuts_free(&t.raw);
  ner_cuts_free(&t.normal);
  ner_normalized_free(&t.normalized);
  ner_pieces_free(&t.pieces);
  return rc;
}

/* ---- the decoder ---- */

/* Replaces `from` by `to`, never longer, in text[0..n): the new length. */
static size_t decode_replace(char *text, size_t n, const char *from, const char *to) {
  size_t n_from = strlen(from), n_to = strlen(to), i = 0, out = 0;
  while( i < n ) {
    if( n - i >= n_from && memcmp(text + i, from, n_from) == 0 ) {
      memcpy(text + out, to, n_to);
      i += n_from, out += n_to;
    } else {
      text[out++] = text[i++];
    }
  }
  return out;
}

char *ner_decode(const struct ner_vocab *vocab, const int32_t *ids, size_t n) {
  /* The reference's cleanup, in its order, on every piece by itself: so " ' " never
  ** fires for a lone apostrophe. */
  static const char *const cleanup[][2] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  size_t n_out = 0, cap = 1, n_prefix, i, k;
  const char *prefix = ner_vocab_prefix(vocab, &n_prefix);
  char *out;
  for( i = 0; i < n; i++ ) {
    size_t n_bytes;
    ner_vocab_piece(vocab, ids[i], &n_bytes);
    cap += n_bytes + 1;
  }
  out = ner_alloc(cap, 1);
  if( !out ) return NULL;
  for( i = 0; i < n; i++ ) {
    size_t n_bytes, begin = n_out;
    const char *bytes = ner_vocab_piece(vocab, ids[i], &n_bytes);
    if( i > 0 && n_bytes >= n_prefix && memcmp(bytes, prefix, n_prefix) == 0 ) {
      bytes += n_prefix;
      n_bytes -= n_prefix;
    } else if( i > 0 ) {
      out[n_out++] = ' ';
    }
    memcpy(out + n_out, bytes, n_bytes);
    n_out += n_bytes;
    for( k = 0; k < sizeof cleanup / sizeof cleanup[0]; k++ )
      n_out = begin + decode_replace(out + begin, n_out - begin, cleanup[k][0], cleanup[k][1]);
  }
  out[n_out] = 0;
  return out;
}
