/*
** vocab.c - the vocabulary; see vocab.h.
**
** All pieces stand in one block of bytes; piece id → where. An open-addressing
** hash table leads from bytes to id. The hash takes a byte at a time, so that one
** walk along a word gives the hashes of all its beginnings, and a continuation
** piece ("##rk") is found by starting from the state after "##": nothing is
** copied to be looked up.
**
** A vocabulary may come from anybody, so each has a hash of its own, by a key drawn at
** random: no file can be made whose pieces collide. Nothing but the pieces' places in the
** table depends on the key.
*/
#include "text/vocab.h"

#include <string.h>
#include "text/utf8.h"

struct vocab_piece {
  uint32_t at, n_bytes; /* in bytes[] */
  uint32_t n_cp;
  int32_t id;
};

struct vocab_slot {
  uint32_t hash; /* to spare most comparisons */
  int32_t id;    /* -1: empty */
};

struct ner_vocab {
  char *bytes; /* [n_bytes] all pieces end to end */
  size_t n_bytes, cap_bytes;
  struct vocab_piece *piece; /* [n] in order of arrival; by id once finished */
  size_t n, cap;
  struct vocab_slot
      *slot;          /* [1 << (VOCAB_HASH_BITS - shift)] at most half full; NULL until finished */
  int shift;          /* a hash's home is hash >> shift */
  uint32_t key;       /* of the hash */
  uint32_t max_bytes; /* of a piece */
  char *prefix;       /* [n_prefix] of continuing pieces */
  size_t n_prefix;
  uint64_t prefix_hash; /* the hash's state after it */
  size_t n_distinct;    /* different pieces; n_base less the doubles and the holes */
  size_t n_base;        /* pieces by id that came with the vocabulary; the rest are names */
  int32_t limit;        /* ids from here on are never found */
  bool holes;           /* ids may be missing */
};

#define VOCAB_NO_PIECE ((struct vocab_piece){.id = -1})

/* A piece's hash is Σ (byte[i] + 1)·key^(n-i) modulo the prime p = 2^31 - 1. For two pieces of at
** most L bytes the difference is a polynomial of the key without constant term, of degree L or
** less: it takes each value for L keys at most. Of 2^30 keys, then, no more than 4·L in n_slots
** give the two neighbouring homes, whatever the pieces are, and filling the table takes some steps
** a byte of the vocabulary. */
#define VOCAB_HASH_BITS  31
#define VOCAB_HASH_PRIME (((uint32_t)1 << VOCAB_HASH_BITS) - 1)
#define VOCAB_MAX_KEY    ((uint32_t)1 << 30)
#define VOCAB_MAX_PIECES                                                                           \
  ((int64_t)1 << 29) /* twice as many slots are left enough bits to tell apart */
#define VOCAB_MAX_SPARSE ((size_t)1 << 20) /* ids of a vocabulary with holes */

/* Not quite reduced: it stays below 2^32 + 2^9, as (2^32 + 2^9 + 256)·2^30 / 2^31 + p does. */
static inline uint64_t vocab_hash_byte(const struct ner_vocab *vocab, uint64_t hash, char byte) {
  uint64_t product = (hash + (unsigned char)byte + 1) * vocab->key;
  return (product & VOCAB_HASH_PRIME) + (product >> VOCAB_HASH_BITS);
}
static inline uint64_t vocab_hash_bytes(const struct ner_vocab *vocab, uint64_t hash,
                                        const char *bytes, size_t n) {
  for( size_t i = 0; i < n; i++ ) hash = vocab_hash_byte(vocab, hash, bytes[i]);
  return hash;
}
static uint64_t vocab_hash(const struct ner_vocab *vocab, const char *bytes, size_t n) {
  return vocab_hash_bytes(vocab, 0, bytes, n);
}

/* The slot of the piece made of the first n_prefix bytes of the prefix (none or all) and bytes, or
** the empty one where it would go. */
static struct vocab_slot *vocab_slot_of(const struct ner_vocab *vocab, uint64_t unreduced,
                                        size_t n_prefix, const char *bytes, size_t n_bytes) {
  uint32_t hash = (uint32_t)(unreduced % VOCAB_HASH_PRIME);
  size_t mask = ((size_t)1 << (VOCAB_HASH_BITS - vocab->shift)) - 1;
  size_t i = hash >> vocab->shift;
  for( ;; i = (i + 1) & mask ) {
    struct vocab_slot *slot = &vocab->slot[i];
    const struct vocab_piece *piece;
    const char *own;
    if( slot->id < 0 ) return slot;
    if( slot->hash != hash ) continue;
    piece = &vocab->piece[slot->id];
    own = vocab->bytes + piece->at;
    if( piece->n_bytes == n_prefix + n_bytes && memcmp(own, vocab->prefix, n_prefix) == 0 &&
        memcmp(own + n_prefix, bytes, n_bytes) == 0 )
      return slot;
  }
}

int ner_vocab_new(struct ner_vocab **out, struct ner_err *err) {
  struct ner_vocab *vocab = ner_calloc(1, sizeof *vocab);
  *out = NULL;
  if( !vocab ) return ner_fail_nomem(err);
  vocab->limit = INT32_MAX;
  if( ner_vocab_set_prefix(vocab, "##", 2, err) ) {
    ner_vocab_free(vocab);
    return NER_NOMEM;
  }
  *out = vocab;
  return NER_OK;
}

void ner_vocab_free(struct ner_vocab *vocab) {
  if( !vocab ) return;
  NER_FREE(vocab->bytes);
  NER_FREE(vocab->piece);
  NER_FREE(vocab->slot);
  NER_FREE(vocab->prefix);
  NER_FREE(vocab);
}

int ner_vocab_set_prefix(struct ner_vocab *vocab, const char *prefix, size_t n_bytes,
                         struct ner_err *err) {
  char *copy = ner_strndup(prefix, n_bytes);
  if( !copy ) return ner_fail_nomem(err);
  NER_FREE(vocab->prefix);
  vocab->prefix = copy;
  vocab->n_prefix = n_bytes;
  vocab->prefix_hash = vocab_hash(vocab, copy, n_bytes);
  return NER_OK;
}

const char *ner_vocab_prefix(const struct ner_vocab *vocab, size_t *n_bytes) {
  *n_bytes = vocab->n_prefix;
  return vocab->prefix;
}

void ner_vocab_set_limit(struct ner_vocab *vocab, int32_t limit) {
  vocab->limit = limit;
}

void ner_vocab_allow_holes(struct ner_vocab *vocab) {
  vocab->holes = true;
}

/* Counts the code points of well-formed UTF-8; false when it is not. */
static bool vocab_count_strictly(const char *text, uint32_t n_bytes, uint32_t *n_cp) {
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

/* Copies a piece behind the others. */
static int vocab_store(struct ner_vocab *vocab, const char *piece, size_t n_bytes, int64_t id,
                       struct vocab_piece *out, struct ner_err *err) {
  uint32_t n_cp;
  if( n_bytes > UINT32_MAX - vocab->n_bytes )
    return ner_fail(err, NER_ERROR, "the vocabulary is larger than 4 GB; is it one?");
  if( !vocab_count_strictly(piece, (uint32_t)n_bytes, &n_cp) )
    return ner_fail(err, NER_ERROR, "piece %lld is not valid UTF-8; get the vocabulary anew",
                    (long long)id);
  if( ner_grow((void **)&vocab->bytes, &vocab->cap_bytes, vocab->n_bytes + n_bytes + 1, 1) )
    return ner_fail_nomem(err);
  if( n_bytes > 0 ) memcpy(vocab->bytes + vocab->n_bytes, piece, n_bytes);
  *out = (struct vocab_piece){(uint32_t)vocab->n_bytes, (uint32_t)n_bytes, n_cp, (int32_t)id};
  vocab->n_bytes += n_bytes;
  return NER_OK;
}

int ner_vocab_add(struct ner_vocab *vocab, const char *piece, size_t n_bytes, int64_t id,
                  struct ner_err *err) {
  struct vocab_piece added;
  int rc;
  if( id < 0 || id >= VOCAB_MAX_PIECES )
    return ner_fail(err, NER_ERROR, "piece id %lld is out of range; ids count from 0",
                    (long long)id);
  if( (rc = vocab_store(vocab, piece, n_bytes, id, &added, err)) ) return rc;
  if( ner_grow((void **)&vocab->piece, &vocab->cap, vocab->n + 1, sizeof *vocab->piece) )
    return ner_fail_nomem(err);
  vocab->piece[vocab->n++] = added;
  if( added.n_bytes > vocab->max_bytes ) vocab->max_bytes = added.n_bytes;
  return NER_OK;
}

/* From pieces in order of arrival to pieces by id. */
static int vocab_order_by_id(struct ner_vocab *vocab, const char *what, struct ner_err *err) {
  struct vocab_piece *by_id;
  size_t i, n_ids = 0;
  for( i = 0; i < vocab->n; i++ )
    if( (size_t)vocab->piece[i].id >= n_ids ) n_ids = (size_t)vocab->piece[i].id + 1;
  if( n_ids == 0 )
    return ner_fail(err, NER_ERROR, "%s: the vocabulary is empty; it needs a piece a line", what);
  /* Also keeps a lying id from claiming memory. */
  if( n_ids > vocab->n && !(vocab->holes && n_ids <= VOCAB_MAX_SPARSE) )
    return ner_fail(err, NER_ERROR,
                    "%s: the largest of %zu piece ids is %zu, so some id is missing", what,
                    vocab->n, n_ids - 1);
  by_id = ner_alloc(n_ids, sizeof *by_id);
  if( !by_id ) return ner_fail_nomem(err);
  for( i = 0; i < n_ids; i++ ) by_id[i] = VOCAB_NO_PIECE;
  for( i = 0; i < vocab->n; i++ ) {
    const struct vocab_piece *piece = &vocab->piece[i];
    struct vocab_piece *place = &by_id[piece->id];
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
    if( by_id[i].id >= 0 || vocab->holes ) continue;
    NER_FREE(by_id);
    return ner_fail(err, NER_ERROR, "%s: no piece has the id %zu; ids must have no holes", what, i);
  }
  NER_FREE(vocab->piece);
  vocab->piece = by_id;
  vocab->n = vocab->cap = vocab->n_base = n_ids;
  return NER_OK;
}

/* Nothing, or blanks: such a line of vocab.txt is a slip of an editor. */
static bool vocab_is_blank(const char *bytes, size_t n_bytes) {
  for( size_t i = 0; i < n_bytes; i++ )
    if( bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r' && bytes[i] != '\n' ) return false;
  return true;
}

int ner_vocab_finish(struct ner_vocab *vocab, const char *what, struct ner_err *err) {
  size_t i, n_slots = 2;
  int rc = vocab_order_by_id(vocab, what, err);
  if( rc ) return rc;
  vocab->key = 1 + (uint32_t)(ner_random() % (VOCAB_MAX_KEY - 1));
  for( vocab->shift = VOCAB_HASH_BITS - 1; n_slots < vocab->n * 2; vocab->shift-- ) n_slots *= 2;
  vocab->slot = ner_alloc(n_slots, sizeof *vocab->slot);
  if( !vocab->slot ) return ner_fail_nomem(err);
  for( i = 0; i < n_slots; i++ ) vocab->slot[i].id = -1;
  vocab->prefix_hash = vocab_hash(vocab, vocab->prefix, vocab->n_prefix);
  for( i = 0; i < vocab->n; i++ ) {
    const struct vocab_piece *piece = &vocab->piece[i];
    const char *bytes = vocab->bytes + piece->at;
    uint64_t hash = vocab_hash(vocab, bytes, piece->n_bytes);
    struct vocab_slot *slot;
    if( piece->id < 0 ) continue;
    if( piece->id >= vocab->limit && !vocab_is_blank(bytes, piece->n_bytes) )
      return ner_fail(err, NER_ERROR,
                      "%s: piece '%.*s' has the id %d, but config.json says vocab_size %d; both "
                      "must come from the same model",
                      what, piece->n_bytes < 40 ? (int)piece->n_bytes : 40, bytes, piece->id,
                      vocab->limit);
    slot = vocab_slot_of(vocab, hash, 0, bytes, piece->n_bytes);
    vocab->n_distinct += slot->id < 0;
    /* Of a double the last id stays. */
    *slot = (struct vocab_slot){(uint32_t)(hash % VOCAB_HASH_PRIME), piece->id};
  }
  return NER_OK;
}

int ner_vocab_set_name(struct ner_vocab *vocab, int32_t id, const char *name, size_t n_bytes,
                       struct ner_err *err) {
  struct vocab_piece named;
  int rc;
  if( (size_t)id < vocab->n && vocab->piece[id].id >= 0 ) return NER_OK;
  rc = vocab_store(vocab, name, n_bytes, id, &named, err);
  if( rc ) return rc;
  if( ner_grow((void **)&vocab->piece, &vocab->cap, (size_t)id + 1, sizeof *vocab->piece) )
    return ner_fail_nomem(err);
  while( vocab->n <= (size_t)id ) vocab->piece[vocab->n++] = VOCAB_NO_PIECE;
  vocab->piece[id] = named;
  return NER_OK;
}

/* Takes the line at *line, which ends before `end`: "\n" and "\r\n" end it and, with `universal`,
** "\r" alone. */
static size_t vocab_take_line(const char **line, const char *end, bool universal) {
  const char *start = *line, *stop = memchr(start, '\n', (size_t)(end - start));
  const char *next = stop ? stop + 1 : end;
  if( !stop ) stop = end;
  if( universal ) {
    const char *cr = memchr(start, '\r', (size_t)(stop - start));
    if( cr && cr + 1 < stop ) {
      *line = cr + 1;
      return (size_t)(cr - start);
    }
  }
  if( stop > start && stop[-1] == '\r' ) stop--;
  *line = next;
  return (size_t)(stop - start);
}

/* The inverse of ner_vocab_to_lines() for one line, in place: its new length. */
static size_t vocab_unescape(char *line, size_t n_bytes) {
  size_t in = 0, out = 0;
  while( in < n_bytes ) {
    char c = line[in++];
    if( c == '\\' && in < n_bytes ) {
      c = line[in++];
      c = (char)(c == 'n' ? '\n' : c == 'r' ? '\r' : c);
    }
    line[out++] = c;
  }
  return out;
}

enum vocab_dialect { VOCAB_PLAIN, VOCAB_PYTHON, VOCAB_ESCAPED };

static int vocab_add_lines(struct ner_vocab *vocab, const char *bytes, size_t n_bytes,
                           enum vocab_dialect dialect, struct ner_err *err) {
  const char *end = bytes + n_bytes, *next = bytes;
  char *copy = NULL;
  size_t cap = 0;
  int rc = NER_OK;
  for( int64_t id = 0; rc == NER_OK && next < end; id++ ) {
    const char *line = next;
    size_t n = vocab_take_line(&next, end, dialect == VOCAB_PYTHON);
    if( dialect == VOCAB_ESCAPED && memchr(line, '\\', n) ) {
      if( ner_grow((void **)&copy, &cap, n, 1) ) {
        rc = ner_fail_nomem(err);
        break;
      }
      memcpy(copy, line, n);
      n = vocab_unescape(copy, n);
      line = copy;
    }
    rc = ner_vocab_add(vocab, line, n, id, err);
  }
  NER_FREE(copy);
  return rc;
}

static int vocab_from(const char *bytes, size_t n_bytes, enum vocab_dialect dialect, int32_t limit,
                      const char *what, struct ner_vocab **out, struct ner_err *err) {
  struct ner_vocab *vocab;
  int rc = ner_vocab_new(&vocab, err);
  *out = NULL;
  if( rc ) return rc;
  ner_vocab_set_limit(vocab, limit);
  if( (rc = vocab_add_lines(vocab, bytes, n_bytes, dialect, err)) )
    ner_fail_prefix(err, "%s: ", what);
  else
    rc = ner_vocab_finish(vocab, what, err);
  if( rc )
    ner_vocab_free(vocab);
  else
    *out = vocab;
  return rc;
}

int ner_vocab_from_lines(const char *bytes, size_t n_bytes, const char *what,
                         struct ner_vocab **out, struct ner_err *err) {
  return vocab_from(bytes, n_bytes, VOCAB_PLAIN, INT32_MAX, what, out, err);
}

int ner_vocab_from_file(const char *bytes, size_t n_bytes, int32_t limit, const char *what,
                        struct ner_vocab **out, struct ner_err *err) {
  return vocab_from(bytes, n_bytes, VOCAB_PYTHON, limit, what, out, err);
}

int ner_vocab_from_escaped(const char *bytes, size_t n_bytes, int32_t limit, const char *what,
                           struct ner_vocab **out, struct ner_err *err) {
  return vocab_from(bytes, n_bytes, VOCAB_ESCAPED, limit, what, out, err);
}

int ner_vocab_to_lines(const struct ner_vocab *vocab, char **out, size_t *n_out) {
  size_t n = 0, cap = 1;
  char *text;
  for( size_t i = 0; i < vocab->n_base; i++ ) cap += 2 * (size_t)vocab->piece[i].n_bytes + 1;
  *out = text = ner_alloc(cap, 1);
  if( !text ) return NER_NOMEM;
  for( size_t i = 0; i < vocab->n_base; i++ ) {
    const struct vocab_piece *piece = &vocab->piece[i];
    for( uint32_t k = 0; k < piece->n_bytes; k++ ) {
      char c = vocab->bytes[piece->at + k];
      if( c == '\\' || c == '\n' || c == '\r' ) {
        text[n++] = '\\';
        c = (char)(c == '\n' ? 'n' : c == '\r' ? 'r' : c);
      }
      text[n++] = c;
    }
    text[n++] = '\n';
  }
  *n_out = n;
  return NER_OK;
}

int32_t ner_vocab_size(const struct ner_vocab *vocab) {
  return (int32_t)vocab->n;
}

size_t ner_vocab_distinct(const struct ner_vocab *vocab) {
  return vocab->n_distinct;
}

uint32_t ner_vocab_longest_piece(const struct ner_vocab *vocab) {
  return vocab->max_bytes;
}

static int32_t vocab_find(const struct ner_vocab *vocab, uint64_t hash, size_t n_prefix,
                          const char *bytes, size_t n_bytes) {
  int32_t id = vocab_slot_of(vocab, hash, n_prefix, bytes, n_bytes)->id;
  return id < vocab->limit ? id : -1;
}

int32_t ner_vocab_find(const struct ner_vocab *vocab, const char *piece, size_t n_bytes) {
  return vocab_find(vocab, vocab_hash(vocab, piece, n_bytes), 0, piece, n_bytes);
}

int32_t ner_vocab_match(const struct ner_vocab *vocab, const struct ner_word *word, uint32_t first,
                        uint32_t *end) {
  size_t n_prefix = first > 0 ? vocab->n_prefix : 0;
  uint32_t begin = ner_word_at(word, first), at = begin, i;
  uint64_t hash[NER_MATCH_CP], h = first > 0 ? vocab->prefix_hash : 0;
  for( i = first; i < word->n_cp && i - first < NER_MATCH_CP; i++ ) {
    uint32_t after = ner_word_at(word, i + 1);
    if( after - begin + n_prefix > vocab->max_bytes ) break;
    h = vocab_hash_bytes(vocab, h, word->norm + at, after - at);
    hash[i - first] = h;
    at = after;
  }
  for( ; i > first; i-- ) {
    uint32_t n_bytes = ner_word_at(word, i) - begin;
    int32_t id = vocab_find(vocab, hash[i - 1 - first], n_prefix, word->norm + begin, n_bytes);
    if( id >= 0 ) {
      *end = i;
      return id;
    }
  }
  return -1;
}

const char *ner_vocab_piece(const struct ner_vocab *vocab, int32_t id, size_t *n_bytes) {
  *n_bytes = vocab->piece[id].n_bytes;
  return vocab->bytes + vocab->piece[id].at;
}

size_t ner_vocab_longest_probe(const struct ner_vocab *vocab) {
  size_t longest = 0, mask = ((size_t)1 << (VOCAB_HASH_BITS - vocab->shift)) - 1;
  for( size_t i = 0; i <= mask; i++ ) {
    const struct vocab_slot *slot = &vocab->slot[i];
    size_t n_steps = (i - (slot->hash >> vocab->shift)) & mask;
    if( slot->id >= 0 && n_steps > longest ) longest = n_steps;
  }
  return longest;
}

uint32_t ner_vocab_piece_cp(const struct ner_vocab *vocab, int32_t id) {
  return vocab->piece[id].n_cp;
}
