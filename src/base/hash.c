/*
** hash.c - see hash.h.
**
** Four lanes take eight bytes each in turn, lane = rotate(lane ^ word) * odd constant, so that the
** latencies of four multiplications overlap: memory, not arithmetic, sets the pace. Every step is
** a bijection of the lane and of the word, hence one changed word always changes its lane.
*/
#include "base/hash.h"

#include <string.h>

/* Odd, without a pattern: fractional digits of √2, √3, √5, √7 and the golden ratio. */
static const uint64_t hash_constants[5] = {0x6a09e667f3bcc909u, 0xbb67ae8584caa73bu,
                                           0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
                                           0x9e3779b97f4a7c15u};

static uint64_t hash_step(uint64_t lane, uint64_t word) {
  lane ^= word;
  return (lane << 29 | lane >> 35) * hash_constants[4];
}

/* Spreads every bit over all others (the finalizer of MurmurHash3). */
static uint64_t hash_mix(uint64_t h) {
  h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
  return h ^ h >> 33;
}

uint64_t ner_hash(uint64_t seed, const void *bytes, size_t n_bytes) {
  const unsigned char *p = bytes;
  uint64_t lane[4], word[4], h;
  size_t left = n_bytes;
  for( int i = 0; i < 4; i++ ) lane[i] = seed ^ hash_constants[i];
  for( ; left >= sizeof word; left -= sizeof word, p += sizeof word ) {
    memcpy(word, p, sizeof word);
    for( int i = 0; i < 4; i++ ) lane[i] = hash_step(lane[i], word[i]);
  }
  if( left > 0 ) {
    memset(word, 0, sizeof word);
    memcpy(word, p, left);
    for( int i = 0; i < 4; i++ ) lane[i] = hash_step(lane[i], word[i]);
  }
  h = n_bytes;
  for( int i = 0; i < 4; i++ ) h = hash_step(h, hash_mix(lane[i]));
  return hash_mix(h);
}
