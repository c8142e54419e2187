/*
** base.h - what every other file needs: errors, memory, checked sizes.
**
** Row-major everywhere; a linear layer's W is [out, in]. Spans are half open.
** Sizes carry their unit in the name: _bytes, _tok, _ms.
*/
#ifndef NER_BASE_H
#define NER_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "ner.h"

#pragma GCC visibility push(hidden)

/* Records a failure and returns its code, so that a guard reads
**   if( n > limit ) return ner_fail(err, NER_ERROR, "config.json: n_heads is %d; ...", n);
** The first message wins: an outer layer adds a prefix with ner_fail_prefix()
** rather than overwriting it. The message does not begin with "ner: ": the SQL
** edge adds that. err may be NULL. The format is ner_format()'s. */
int ner_fail(struct ner_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ner_fail_prefix(struct ner_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int ner_fail_nomem(struct ner_err *err);       /* returns NER_NOMEM */
int ner_fail_interrupted(struct ner_err *err); /* returns NER_INTERRUPT */

/* Messages are made here and nowhere else: what does not fit into n_bytes ends before a character
** with "…", and bytes that are not UTF-8 become U+FFFD. Of printf()'s conversions it knows
**     %s %.60s    a string; the second shows at most 60 bytes of it, and then "…"
**     %.*s        as many bytes as the argument says, which need no NUL behind them
**     %d %u       also with l, ll and z
**     %%          a percent sign */
void ner_format(char *out, size_t n_bytes, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ner_vformat(char *out, size_t n_bytes, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* The allocator seam: all memory of the library comes from here, so that a test can make the n-th
** allocation fail (-DNER_TEST_ALLOC: the functions below are then the test's own). NER_MAP gives
** zeroed pages, or NULL. */
#ifdef NER_TEST_ALLOC
void *ner_test_malloc(size_t n_bytes);
void *ner_test_realloc(void *old, size_t n_bytes);
void ner_test_free(void *p);
void *ner_test_map(size_t n_bytes);
void ner_test_unmap(void *p, size_t n_bytes);
#define NER_MALLOC(n)     ner_test_malloc(n)
#define NER_REALLOC(p, n) ner_test_realloc(p, n)
#define NER_FREE(p)       ner_test_free(p)
#define NER_MAP(n)        ner_test_map(n)
#define NER_UNMAP(p, n)   ner_test_unmap(p, n)
#else
#define NER_MALLOC(n)     malloc(n)
#define NER_REALLOC(p, n) realloc(p, n)
#define NER_FREE(p)       free(p)
#define NER_MAP(n)        ner_map(n)
#define NER_UNMAP(p, n)   ner_unmap(p, n)
#endif
void *ner_map(size_t n_bytes);
void ner_unmap(void *p, size_t n_bytes);

/* n * size bytes; NULL when that overflows or memory is out. */
void *ner_alloc(size_t n, size_t size);
void *ner_calloc(size_t n, size_t size);
/* As ner_alloc, aligned to 64 bytes; to be freed with ner_aligned_free. From NER_LARGE_BYTES on
** the block is a mapping of its own, with large pages where the system has them: freeing it gives
** the memory back to the system at once, whatever else the host's heap holds. */
#define NER_LARGE_BYTES ((size_t)1 << 20)
void *ner_aligned_alloc(size_t n, size_t size);
void ner_aligned_free(void *p);
/* Grows *array (elements of `size` bytes) to hold at least `need`, doubling
** *cap. Returns NER_OK or NER_NOMEM and then leaves the array as it was. */
int ner_grow(void **array, size_t *cap, size_t need, size_t size);
char *ner_strndup(const char *s, size_t n);

/* Overflow-checked arithmetic for numbers that come from files. false: overflow. */
static inline bool ner_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool ner_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline size_t ner_round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

/* About A-Z, a-z and 0-9 only. <ctype.h> depends on the locale, which is the host's: in a Turkish
** one the lower case of I is not i. */
static inline char ner_ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline bool ner_ascii_alnum(char c) {
  char lower = ner_ascii_lower(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
}
/* As printf's "%.*g", but with a decimal point in every locale; returns out. Nine digits
** distinguish all floats. */
#define NER_NUMBER_BYTES 40
char *ner_print_number(double value, int n_digits, char out[NER_NUMBER_BYTES]);

/* The commit of the source, "unknown" where the build does not know it. ner_version() of ner.h has it
** behind the version. */
const char *ner_commit(void);

/* A number that cannot be predicted from outside this process; a new one at each call. */
uint64_t ner_random(void);

/* How a long computation learns that its caller wants it to end; a NULL pointer to it means never.
** Called only on the thread that started the computation. The callback may fork: in the child the
** computation is completed or ends as cancelled. */
struct ner_cancel {
  bool (*asked)(void *arg);
  void *arg;
};
static inline bool ner_cancelled(const struct ner_cancel *cancel) {
  return cancel && cancel->asked && cancel->asked(cancel->arg);
}

#pragma GCC visibility pop
#endif
