/*
** hash.h - a fast 64-bit hash, to tell contents apart.
**
** The value of given bytes never changes: it may be stored. It is no protection against an
** attacker who searches for two contents with the same hash.
*/
#ifndef NER_HASH_H
#define NER_HASH_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

/* Hash of `bytes` [n_bytes], chained: `seed` is the hash of what comes before, 0 at the start. The
** cuts count: ("ab", "c") and ("a", "bc") differ. */
uint64_t ner_hash(uint64_t seed, const void *bytes, size_t n_bytes);

#pragma GCC visibility pop
#endif
