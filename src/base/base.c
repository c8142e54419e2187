/* base.c - memory, numbers and random bytes; see base.h. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/os.h"

void *ner_alloc(size_t n, size_t size) {
  size_t bytes;
  if( __builtin_mul_overflow(n, size, &bytes) ) return NULL;
  return NER_MALLOC(bytes ? bytes : 1);
}

void *ner_calloc(size_t n, size_t size) {
  void *p = ner_alloc(n, size);
  if( p ) memset(p, 0, n * size);
  return p;
}

/* Just below every aligned block. */
struct block_header {
  void *raw;      /* as it was allocated */
  size_t n_bytes; /* of a mapping; 0: heap memory */
};

/* AddressSanitizer watches the borders of heap memory alone. */
#if defined(__SANITIZE_ADDRESS__)
#define BLOCK_MAPS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BLOCK_MAPS false
#endif
#endif
#ifndef BLOCK_MAPS
#define BLOCK_MAPS true
#endif

void *ner_aligned_alloc(size_t n, size_t size) {
  struct block_header header = {0};
  size_t bytes;
  char *aligned;
  if( __builtin_mul_overflow(n, size, &bytes) ) return NULL;
  if( __builtin_add_overflow(bytes, 64 + sizeof header, &bytes) ) return NULL;
  if( BLOCK_MAPS && bytes >= NER_LARGE_BYTES ) header.n_bytes = bytes;
  header.raw = header.n_bytes ? NER_MAP(bytes) : NER_MALLOC(bytes);
  if( !header.raw ) return NULL;
  aligned = (char *)(((uintptr_t)header.raw + sizeof header + 63) & ~(uintptr_t)63);
  memcpy(aligned - sizeof header, &header, sizeof header);
  return aligned;
}

void ner_aligned_free(void *p) {
  struct block_header header;
  if( !p ) return;
  memcpy(&header, (char *)p - sizeof header, sizeof header);
  if( header.n_bytes )
    NER_UNMAP(header.raw, header.n_bytes);
  else
    NER_FREE(header.raw);
}

int ner_grow(void **array, size_t *cap, size_t need, size_t size) {
  size_t new_cap = *cap ? *cap : 16, bytes;
  void *grown;
  if( need <= *cap ) return NER_OK;
  while( new_cap < need )
    if( __builtin_mul_overflow(new_cap, 2, &new_cap) ) return NER_NOMEM;
  if( __builtin_mul_overflow(new_cap, size, &bytes) ) return NER_NOMEM;
  grown = NER_REALLOC(*array, bytes);
  if( !grown ) return NER_NOMEM;
  *array = grown;
  *cap = new_cap;
  return NER_OK;
}

char *ner_strndup(const char *s, size_t n) {
  char *copy = ner_alloc(n + 1, 1);
  if( !copy ) return NULL;
  if( n > 0 ) memcpy(copy, s, n); /* an empty slice may point nowhere */
  copy[n] = 0;
  return copy;
}

char *ner_print_number(double value, int n_digits, char out[NER_NUMBER_BYTES]) {
  char text[NER_NUMBER_BYTES];
  size_t n = 0;
  snprintf(text, sizeof text, "%.*g", n_digits, value);
  for( const char *s = text; *s; s++ ) /* a locale's point may have several bytes */
    if( ner_ascii_alnum(*s) || *s == '-' || *s == '+' )
      out[n++] = *s;
    else if( n == 0 || out[n - 1] != '.' )
      out[n++] = '.';
  out[n] = 0;
  return out;
}

/* Not sqlite3_randomness(): this room knows nothing of SQLite. Where the system gives no
** random bytes (a strict sandbox), the time and the address of the stack replace them. */
uint64_t ner_random(void) {
  uint64_t number;
  struct timespec now = {0};
  if( ner_os_random(&number, sizeof number) ) return number;
  timespec_get(&now, TIME_UTC);
  number = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uintptr_t)&now;
  return number * 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio: every bit reaches the high ones */
}
