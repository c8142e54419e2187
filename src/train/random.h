/* random.h - the one source of chance in training: splitmix64, by seed and place. */
#ifndef NER_TRAIN_RANDOM_H
#define NER_TRAIN_RANDOM_H

#include "base/base.h"

/* splitmix64's mixing function: numbers in a row give unrelated numbers. */
static inline uint64_t ner_train_mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

#endif
