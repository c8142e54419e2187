/*
** hash.c - a hash of bytes that cannot be foreseen; see sql/sql.h.
**
** SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF) under a random key of the
** process. Texts come from anywhere: with a hash that can be computed in advance they could be
** chosen such that their rowids are equal, or that finding equal texts takes quadratic time.
*/
#include "sql/sql.h"

#include <string.h>
#include "base/os.h"

static struct ner_once hash_once = NER_ONCE_INIT;
static uint64_t hash_key[2];

static void hash_choose_key(void) {
  hash_key[0] = ner_random();
  hash_key[1] = ner_random();
}

static uint64_t hash_rotate(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

static void hash_round(uint64_t v[4]) {
  v[0] += v[1], v[2] += v[3];
  v[1] = hash_rotate(v[1], 13) ^ v[0], v[3] = hash_rotate(v[3], 16) ^ v[2];
  v[0] = hash_rotate(v[0], 32);
  v[2] += v[1], v[0] += v[3];
  v[1] = hash_rotate(v[1], 17) ^ v[2], v[3] = hash_rotate(v[3], 21) ^ v[0];
  v[2] = hash_rotate(v[2], 32);
}

static void hash_word(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  hash_round(v);
  v[0] ^= word;
}

uint64_t ner_sql_hash(const void *bytes, size_t n_bytes) {
  const unsigned char *at = bytes;
  uint64_t v[4], last = (uint64_t)n_bytes << 56;
  size_t left = n_bytes;
  ner_once_run(&hash_once, hash_choose_key);
  v[0] = hash_key[0] ^ 0x736f6d6570736575u; /* "somepseudorandomlygeneratedbytes" */
  v[1] = hash_key[1] ^ 0x646f72616e646f6du;
  v[2] = hash_key[0] ^ 0x6c7967656e657261u;
  v[3] = hash_key[1] ^ 0x7465646279746573u;
  for( ; left >= 8; left -= 8, at += 8 ) {
    uint64_t word;
    memcpy(&word, at, 8);
    hash_word(v, word);
  }
  for( size_t i = 0; i < left; i++ ) last |= (uint64_t)at[i] << 8 * i;
  hash_word(v, last);
  v[2] ^= 0xff;
  for( int i = 0; i < 3; i++ ) hash_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
