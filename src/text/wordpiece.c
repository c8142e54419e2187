/*
** wordpiece.c - the vocabulary, and greedy longest match; see wordpiece.h.
**
** All pieces stand in one block of bytes; piece id → where. An open-addressing
** hash table leads from bytes to id. The hash takes a byte at a time, so that one
** walk along a word gives the hashes of all its beginnings, and a continuation
** piece ("##rk") is found by starting from the state after "##": nothing is ever
** copied to be looked up.
**
** A vocabulary may come from anybody, so each has a hash of its own, by a key drawn at
** random: no file can be made whose pieces collide. Nothing but the pieces' places in the
** table depends on the key.
**
** A word is first looked up whole, which settles most of them. Otherwise, from
** the left, the longest piece that fits, as the reference does it; if nothing
** fits somewhere, the whole word is one [UNK].
*/
#include "text/wordpiece.h"

#include <string.h>

#define CONTINUES   "##"
#define N_CONTINUES 2
#define MAX_WORD_CP 100 /* max_input_chars_per_word of every BERT */

/* ---- the vocabulary ---- */

struct piece {
  uint32_t at, n_bytes; /* in bytes[] */
  uint32_t n_cp;
  int32_t id;
};

struct slot {
  uint32_t hash; /* to spare most comparisons */
  int32_t id;    /* -1: empty */
};

struct ner_vocab {
  char *bytes; /* [n_bytes] all pieces end to end */
  size_t n_bytes, cap_bytes;
  struct piece *piece; /* [n] in order of arrival; by id once finished */
  size_t n, cap;
  struct slot *slot;  /* [1 << (HASH_BITS - shift)] at most half full; NULL until finished */
  int shift;          /* a hash's home is hash >> shift */
  uint32_t key;       /* of the hash */
  uint32_t max_bytes; /* of a piece */
};

/* A piece's hash is Σ (byte[i] + 1)·key^(n-i) modulo the prime p = 2^31 - 1. For two pieces of at
** most L bytes the difference is a polynomial of the key without constant term, of degree L or
** less: it takes each value for L keys at most. Of 2^30 keys, then, no more than 4·L in n_slots
** give the two neighbouring homes, whatever the pieces are, and filling the table takes some steps
** a byte of the vocabulary. */
#define HASH_BITS  31
#define HASH_PRIME (((uint32_t)1 << HASH_BITS) - 1)
#define MAX_KEY    ((uint32_t)1 << 30)
#define MAX_PIECES ((int64_t)1 << 29) /* twice as many slots are left enough bits to tell apart */

/* Not quite reduced: it stays below 2^32 + 2^9, as (2^32 + 2^9 + 256)·2^30 / 2^31 + p does. */
static inline uint64_t hash_byte(const struct ner_vocab *vocab, uint64_t hash, char byte) {
  uint64_t product = (hash + (unsigned char)byte + 1) * vocab->key;
  return (product & HASH_PRIME) + (product >> HASH_BITS);
}
static inline uint64_t hash_bytes(const struct ner_vocab *vocab, uint64_t hash, const char *bytes,
                                  size_t n) {
  for( size_t i = 0; i < n; i++ ) hash = hash_byte(vocab, hash, bytes[i]);
  return hash;
}
static uint64_t hash_piece(const struct ner_vocab *vocab, const char *bytes, size_t n) {
  return hash_bytes(vocab, 0, bytes, n);
}

/* The slot of the piece made of `prefix` (n_prefix bytes, "" or "##") and bytes, or the
** empty one where it would go. */
static struct slot *find_slot(const struct ner_vocab *vocab, uint64_t unreduced, size_t n_prefix,
                              const char *bytes, size_t n_bytes) {
  uint32_t hash = (uint32_t)(unreduced % HASH_PRIME);
  size_t mask = ((size_t)1 << (HASH_BITS - vocab->shift)) - 1;
  size_t i = hash >> vocab->shift;
  for( ;; i = (i + 1) & mask ) {
    struct slot *slot = &vocab->slot[i];
    const struct piece *piece;
    const char *own;
    if( slot->id < 0 ) return slot;
    if( slot->hash != hash ) continue;
    piece = &vocab->piece[slot->id];
    own = vocab->bytes + piece->at;
    if( piece->n_bytes == n_prefix + n_bytes && memcmp(own, CONTINUES, n_prefix) == 0 &&
        memcmp(own + n_prefix, bytes, n_bytes) == 0 )
      return slot;
  }
}

int ner_vocab_new(struct ner_vocab **out, struct ner_err *err) {
  *out = ner_calloc(1, sizeof **out);
  return *out ? NER_OK : ner_fail_nomem(err);
}

void ner_vocab_free(struct ner_vocab *vocab) {
  if( !vocab ) return;
  NER_FREE(vocab->bytes);
  NER_FREE(vocab->piece);
  NER_FREE(vocab->slot);
  NER_FREE(vocab);
}

/* Counts the code points of well-formed UTF-8; false when it is not. */
static bool count_strictly(const char *text, uint32_t n_bytes, uint32_t *n_cp) {
  const unsigned char *bytes = (const unsigned char *)text;
  uint32_t at = 0;
  for( *n_cp = 0; at < n_bytes; ++*n_cp ) {
    uint32_t start = at;
    if( ner_utf8_next(bytes, n_bytes, &at) == 0xFFFD &&
        (at - start != 3 || memcmp(bytes + start, "\xEF\xBF\xBD", 3) != 0) )
      return false;
  }
  return true;
}

int ner_vocab_add(struct ner_vocab *vocab, const char *piece, size_t n_bytes, int64_t id,
                  struct ner_err *err) {
  struct piece *added;
  uint32_t n_cp;
  if( id < 0 || id >= MAX_PIECES )
    return ner_fail(err, NER_ERROR, "piece id %lld is out of range; ids count from 0",
                    (long long)id);
  if( n_bytes > UINT32_MAX - vocab->n_bytes )
    return ner_fail(err, NER_ERROR, "the vocabulary is larger than 4 GB; is it one?");
  if( !count_strictly(piece, (uint32_t)n_bytes, &n_cp) )
    return ner_fail(err, NER_ERROR, "piece %lld is not valid UTF-8; get the vocabulary anew",
                    (long long)id);
  if( ner_grow((void **)&vocab->bytes, &vocab->cap_bytes, vocab->n_bytes + n_bytes + 1, 1) ||
      ner_grow((void **)&vocab->piece, &vocab->cap, vocab->n + 1, sizeof *vocab->piece) )
    return ner_fail_nomem(err);
  if( n_bytes > 0 ) memcpy(vocab->bytes + vocab->n_bytes, piece, n_bytes);
  added = &vocab->piece[vocab->n++];
  *added = (struct piece){(uint32_t)vocab->n_bytes, (uint32_t)n_bytes, n_cp, (int32_t)id};
  vocab->n_bytes += n_bytes;
  if( added->n_bytes > vocab->max_bytes ) vocab->max_bytes = added->n_bytes;
  return NER_OK;
}

/* From pieces in order of arrival to pieces by id. */
static int order_by_id(struct ner_vocab *vocab, const char *what, struct ner_err *err) {
  struct piece *by_id;
  size_t i, n_ids = 0;
  for( i = 0; i < vocab->n; i++ )
    if( (size_t)vocab->piece[i].id >= n_ids ) n_ids = (size_t)vocab->piece[i].id + 1;
  if( n_ids == 0 )
    return ner_fail(err, NER_ERROR, "%s: the vocabulary is empty; it needs a piece a line", what);
  if( n_ids > vocab->n ) /* also keeps a lying id from claiming memory */
    return ner_fail(err, NER_ERROR,
                    "%s: the largest of %zu piece ids is %zu, so some id is missing", what,
                    vocab->n, n_ids - 1);
  by_id = ner_alloc(n_ids, sizeof *by_id);
  if( !by_id ) return ner_fail_nomem(err);
  for( i = 0; i < n_ids; i++ ) by_id[i].id = -1;
  for( i = 0; i < vocab->n; i++ ) {
    const struct piece *piece = &vocab->piece[i];
    struct piece *place = &by_id[piece->id];
    if( place->id >= 0 &&
        (place->n_bytes != piece->n_bytes ||
         memcmp(vocab->bytes + place->at, vocab->bytes + piece->at, piece->n_bytes) != 0) ) {
      NER_FREE(by_id);
      return ner_fail(err, NER_ERROR, "%s: two pieces have the id %d; each needs its own", what,
                      (int)piece->id);
    }
    *place = *piece;
  }
  for( i = 0; i < n_ids; i++ ) {
    if( by_id[i].id >= 0 ) continue;
    NER_FREE(by_id);
    return ner_fail(err, NER_ERROR, "%s: no piece has the id %zu; ids must have no holes", what, i);
  }
  NER_FREE(vocab->piece);
  vocab->piece = by_id;
  vocab->n = vocab->cap = n_ids;
  return NER_OK;
}

int ner_vocab_finish(struct ner_vocab *vocab, const char *what, struct ner_err *err) {
  size_t i, n_slots = 2;
  int rc = order_by_id(vocab, what, err);
  if( rc ) return rc;
  vocab->key = 1 + (uint32_t)(ner_random() % (MAX_KEY - 1));
  for( vocab->shift = HASH_BITS - 1; n_slots < vocab->n * 2; vocab->shift-- ) n_slots *= 2;
  vocab->slot = ner_alloc(n_slots, sizeof *vocab->slot);
  if( !vocab->slot ) return ner_fail_nomem(err);
  for( i = 0; i < n_slots; i++ ) vocab->slot[i].id = -1;
  for( i = 0; i < vocab->n; i++ ) {
    const struct piece *piece = &vocab->piece[i];
    const char *bytes = vocab->bytes + piece->at;
    uint64_t hash = hash_piece(vocab, bytes, piece->n_bytes);
    *find_slot(vocab, hash, 0, bytes, piece->n_bytes) =
        (struct slot){(uint32_t)(hash % HASH_PRIME), piece->id}; /* a double: the last id stays */
  }
  return NER_OK;
}

int ner_vocab_from_lines(const char *bytes, size_t n_bytes, const char *what,
                         struct ner_vocab **out, struct ner_err *err) {
  const char *end = bytes + n_bytes, *line = bytes;
  struct ner_vocab *vocab;
  int64_t id;
  int rc = ner_vocab_new(&vocab, err);
  *out = NULL;
  for( id = 0; rc == NER_OK && line < end; id++ ) {
    const char *newline = memchr(line, '\n', (size_t)(end - line));
    const char *line_end = newline ? newline : end;
    const char *next = newline ? newline + 1 : end;
    if( line_end > line && line_end[-1] == '\r' ) line_end--;
    rc = ner_vocab_add(vocab, line, (size_t)(line_end - line), id, err);
    if( rc ) ner_fail_prefix(err, "%s: ", what);
    line = next;
  }
  if( rc == NER_OK ) rc = ner_vocab_finish(vocab, what, err);
  if( rc ) {
    ner_vocab_free(vocab);
    return rc;
  }
  *out = vocab;
  return NER_OK;
}

int32_t ner_vocab_size(const struct ner_vocab *vocab) {
  return (int32_t)vocab->n;
}

int32_t ner_vocab_find(const struct ner_vocab *vocab, const char *piece, size_t n_bytes) {
  return find_slot(vocab, hash_piece(vocab, piece, n_bytes), 0, piece, n_bytes)->id;
}

const char *ner_vocab_piece(const struct ner_vocab *vocab, int32_t id, size_t *n_bytes) {
  *n_bytes = vocab->piece[id].n_bytes;
  return vocab->bytes + vocab->piece[id].at;
}

size_t ner_vocab_longest_probe(const struct ner_vocab *vocab) {
  size_t longest = 0, mask = ((size_t)1 << (HASH_BITS - vocab->shift)) - 1;
  for( size_t i = 0; i <= mask; i++ ) {
    const struct slot *slot = &vocab->slot[i];
    size_t n_steps = (i - (slot->hash >> vocab->shift)) & mask;
    if( slot->id >= 0 && n_steps > longest ) longest = n_steps;
  }
  return longest;
}

uint32_t ner_vocab_piece_cp(const struct ner_vocab *vocab, int32_t id) {
  return vocab->piece[id].n_cp;
}

/* ---- the tokenizer ---- */

#define N_SPECIAL 5
static const char *const special_text[N_SPECIAL] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
enum { UNK, CLS, SEP, N_NEEDED };

struct ner_tokenizer {
  struct ner_vocab *vocab;
  struct ner_text_rules rules;
  int32_t special[N_SPECIAL]; /* ids of special_text; -1: not in the vocabulary */
};

int ner_tokenizer_new(struct ner_vocab *vocab, const struct ner_text_rules *rules, const char *what,
                      struct ner_tokenizer **out, struct ner_err *err) {
  struct ner_tokenizer *tokenizer = ner_calloc(1, sizeof *tokenizer);
  *out = NULL;
  if( !tokenizer ) {
    ner_vocab_free(vocab);
    return ner_fail_nomem(err);
  }
  tokenizer->vocab = vocab;
  tokenizer->rules = *rules;
  for( int i = 0; i < N_SPECIAL; i++ ) {
    const char *text = special_text[i];
    tokenizer->special[i] = ner_vocab_find(vocab, text, strlen(text));
    if( tokenizer->special[i] < 0 && i < N_NEEDED ) {
      ner_tokenizer_free(tokenizer);
      return ner_fail(err, NER_ERROR, "%s: the vocabulary has no %s; is it that of a BERT model?",
                      what, text);
    }
  }
  *out = tokenizer;
  return NER_OK;
}

void ner_tokenizer_free(struct ner_tokenizer *tokenizer) {
  if( !tokenizer ) return;
  ner_vocab_free(tokenizer->vocab);
  NER_FREE(tokenizer);
}

const struct ner_vocab *ner_tokenizer_vocab(const struct ner_tokenizer *tokenizer) {
  return tokenizer->vocab;
}
const struct ner_text_rules *ner_tokenizer_rules(const struct ner_tokenizer *tokenizer) {
  return &tokenizer->rules;
}
int32_t ner_tokenizer_unk(const struct ner_tokenizer *tokenizer) {
  return tokenizer->special[UNK];
}
int32_t ner_tokenizer_cls(const struct ner_tokenizer *tokenizer) {
  return tokenizer->special[CLS];
}
int32_t ner_tokenizer_sep(const struct ner_tokenizer *tokenizer) {
  return tokenizer->special[SEP];
}

void ner_tokens_free(struct ner_tokens *tokens) {
  NER_FREE(tokens->token);
  *tokens = (struct ner_tokens){0};
}

/* Room is there. */
static void push(struct ner_tokens *out, int32_t id, uint32_t word, struct ner_place place) {
  out->token[out->n++] = (struct ner_token){
      .id = id,
      .word = word,
      .start_byte = place.start_byte,
      .end_byte = place.end_byte,
      .start = place.start,
      .end = place.end,
  };
}

/* The longest piece that word's code points from `first` on begin with, or -1;
** *end is where it ends. */
static int32_t longest_piece(const struct ner_vocab *vocab, const struct ner_word *word,
                             uint32_t first, uint32_t *end) {
  size_t n_prefix = first > 0 ? N_CONTINUES : 0;
  uint32_t begin = ner_word_at(word, first), at = begin, i;
  uint64_t hash[MAX_WORD_CP], h = hash_piece(vocab, CONTINUES, n_prefix);
  for( i = first; i < word->n_cp; i++ ) {
    uint32_t after = ner_word_at(word, i + 1);
    if( after - begin + n_prefix > vocab->max_bytes ) break;
    h = hash_bytes(vocab, h, word->norm + at, after - at);
    hash[i - first] = h;
    at = after;
  }
  for( ; i > first; i-- ) {
    uint32_t n_bytes = ner_word_at(word, i) - begin;
    int32_t id = find_slot(vocab, hash[i - 1 - first], n_prefix, word->norm + begin, n_bytes)->id;
    if( id >= 0 ) {
      *end = i;
      return id;
    }
  }
  return -1;
}

static int push_word(const struct ner_tokenizer *tokenizer, const struct ner_word *word,
                     uint32_t number, struct ner_tokens *out, struct ner_err *err) {
  size_t n_before = out->n;
  uint32_t first, end = 0;
  int32_t id = -1;
  if( ner_grow((void **)&out->token, &out->cap, out->n + word->n_cp, sizeof *out->token) )
    return ner_fail_nomem(err);
  if( word->n_cp <= MAX_WORD_CP ) {
    id = ner_vocab_find(tokenizer->vocab, word->norm, word->n_bytes);
    if( id >= 0 ) {
      push(out, id, number, word->place);
      return NER_OK;
    }
    for( first = 0; first < word->n_cp; first = end ) {
      id = longest_piece(tokenizer->vocab, word, first, &end);
      if( id < 0 ) break;
      push(out, id, number, ner_word_place(word, first, end - 1));
    }
  }
  if( id < 0 ) {
    out->n = n_before;
    push(out, tokenizer->special[UNK], number, word->place);
  }
  return NER_OK;
}

/* The first literal special token at or after text[from]: its place, or n_bytes. */
static uint32_t find_special(const struct ner_tokenizer *tokenizer, const char *text,
                             uint32_t n_bytes, uint32_t from, int *which) {
  while( from < n_bytes ) {
    const char *bracket = memchr(text + from, '[', n_bytes - from);
    if( !bracket ) break;
    from = (uint32_t)(bracket - text);
    for( int i = 0; i < N_SPECIAL; i++ ) { /* none begins another: the first is the longest */
      size_t n = strlen(special_text[i]);
      if( n_bytes - from >= n && tokenizer->special[i] >= 0 &&
          memcmp(bracket, special_text[i], n) == 0 ) {
        *which = i;
        return from;
      }
    }
    from++;
  }
  return n_bytes;
}

int ner_tokenize(const struct ner_tokenizer *tokenizer, const char *text, size_t n_bytes,
                 uint32_t first_word, struct ner_tokens *out, uint32_t *next_word,
                 struct ner_err *err) {
  struct ner_splitter split;
  struct ner_word word;
  struct ner_place at = {0}; /* ends where the next stretch of ordinary text begins */
  int which = -1;
  if( n_bytes > UINT32_MAX )
    return ner_fail(err, NER_ERROR, "a text of %zu bytes is too long; the limit is 4 GB", n_bytes);
  while( at.end_byte < n_bytes ) {
    const char *stretch = text + at.end_byte;
    uint32_t n_left = (uint32_t)n_bytes - at.end_byte, n_special;
    uint32_t n = find_special(tokenizer, stretch, n_left, 0, &which);
    ner_splitter_init(&split, &tokenizer->rules, stretch, n, at.end_byte, at.end);
    while( ner_splitter_next(&split, &word) ) {
      int rc = push_word(tokenizer, &word, first_word++, out, err);
      if( rc ) return rc;
    }
    at.start_byte = at.end_byte = at.end_byte + n;
    at.start = at.end = split.base.cp + split.at.cp;
    if( n == n_left ) break;
    n_special = (uint32_t)strlen(special_text[which]);
    at.end_byte += n_special;
    at.end += n_special;
    if( ner_grow((void **)&out->token, &out->cap, out->n + 1, sizeof *out->token) )
      return ner_fail_nomem(err);
    push(out, tokenizer->special[which], first_word++, at);
  }
  if( next_word ) *next_word = first_word;
  return NER_OK;
}

/* ---- the decoder ---- */

/* Replaces `from` by `to`, never longer, in text[0..n): the new length. */
static size_t replace(char *text, size_t n, const char *from, const char *to) {
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
  size_t n_out = 0, cap = 1, i, k;
  char *out;
  for( i = 0; i < n; i++ ) cap += vocab->piece[ids[i]].n_bytes + 1;
  out = ner_alloc(cap, 1);
  if( !out ) return NULL;
  for( i = 0; i < n; i++ ) {
    const struct piece *piece = &vocab->piece[ids[i]];
    const char *bytes = vocab->bytes + piece->at;
    size_t n_bytes = piece->n_bytes, begin = n_out;
    if( i > 0 && n_bytes >= N_CONTINUES && memcmp(bytes, CONTINUES, N_CONTINUES) == 0 ) {
      bytes += N_CONTINUES;
      n_bytes -= N_CONTINUES;
    } else if( i > 0 ) {
      out[n_out++] = ' ';
    }
    memcpy(out + n_out, bytes, n_bytes);
    n_out += n_bytes;
    for( k = 0; k < sizeof cleanup / sizeof cleanup[0]; k++ )
      n_out = begin + replace(out + begin, n_out - begin, cleanup[k][0], cleanup[k][1]);
  }
  out[n_out] = 0;
  return out;
}
