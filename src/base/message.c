/*
** message.c - recording failures, and the one place that makes and cuts messages; see base.h.
**
** A message quotes what users give: names, paths, values of any length and any bytes. Whatever
** comes in, the message that goes out is well-formed UTF-8: an ill-formed byte becomes U+FFFD, and
** text that does not fit ends before a character, with "…" in its place. printf() cannot do that,
** so ner_format() reads the format itself.
*/
#include "base/base.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ELLIPSIS    "\xE2\x80\xA6" /* … */
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* ---- characters ---- */

/* Bytes of the well-formed character at s [n], n > 0; 0 when there is none (RFC 3629, section 4:
** no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t message_character_bytes(const unsigned char *s, size_t n) {
  unsigned char low = 0x80, high = 0xBF; /* what the second byte may be */
  size_t length;
  if( s[0] < 0x80 ) return 1;
  if( s[0] < 0xC2 || s[0] > 0xF4 ) return 0;
  length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
  if( s[0] == 0xE0 ) low = 0xA0;
  if( s[0] == 0xED ) high = 0x9F;
  if( s[0] == 0xF0 ) low = 0x90;
  if( s[0] == 0xF4 ) high = 0x8F;
  if( n < length || s[1] < low || s[1] > high ) return 0;
  for( size_t i = 2; i < length; i++ )
    if( (s[i] & 0xC0) != 0x80 ) return 0;
  return length;
}

/* A message being put together in out [n_bytes]. */
struct message {
  char *out;
  size_t n_bytes, used;
  size_t keep; /* of `used`: up to here "…" still fits behind */
  bool is_cut; /* nothing fits any more */
};

static void message_add_character(struct message *m, const char *s, size_t n) {
  const size_t room = m->n_bytes - 1; /* for the NUL */
  if( m->is_cut ) return;
  if( m->used + n <= room ) {
    memcpy(m->out + m->used, s, n);
    m->used += n;
    if( m->used + strlen(ELLIPSIS) <= room ) m->keep = m->used;
    return;
  }
  m->is_cut = true;
  if( m->keep + strlen(ELLIPSIS) > room ) return; /* a buffer too small even for that */
  memcpy(m->out + m->keep, ELLIPSIS, strlen(ELLIPSIS));
  m->used = m->keep + strlen(ELLIPSIS);
}

/* Adds the characters of s [n] of which no more than `limit` bytes are to be shown. */
static void message_add(struct message *m, const char *s, size_t n, size_t limit) {
  size_t at = 0;
  while( at < n ) {
    size_t length = message_character_bytes((const unsigned char *)s + at, n - at);
    if( at + (length ? length : 1) > limit ) {
      message_add_character(m, ELLIPSIS, strlen(ELLIPSIS));
      return;
    }
    if( length )
      message_add_character(m, s + at, length);
    else
      message_add_character(m, REPLACEMENT, strlen(REPLACEMENT));
    at += length ? length : 1;
  }
}

/* ---- formats ---- */

/* One conversion: %[.limit][l|ll|z]type. */
struct conversion {
  int limit;    /* -1: none is given */
  bool is_star; /* the limit is an argument, the length of a string that needs no NUL */
  int n_long;   /* how many l */
  bool is_size; /* z */
  char type;
};

/* Reads what follows a '%' and returns where it ends. */
static const char *conversion_read(const char *fmt, struct conversion *c) {
  *c = (struct conversion){.limit = -1};
  if( *fmt == '.' ) {
    fmt++;
    c->is_star = *fmt == '*';
    if( c->is_star ) fmt++;
    for( c->limit = 0; *fmt >= '0' && *fmt <= '9'; fmt++ ) c->limit = c->limit * 10 + (*fmt - '0');
  }
  for( ; *fmt == 'l'; fmt++ ) c->n_long++;
  if( *fmt == 'z' ) c->is_size = true, fmt++;
  c->type = *fmt;
  return *fmt ? fmt + 1 : fmt;
}

void ner_vformat(char *out, size_t n_bytes, const char *fmt, va_list args) {
  struct message m = {.out = out, .n_bytes = n_bytes};
  if( n_bytes == 0 ) return;
  while( *fmt ) {
    struct conversion c;
    char number[NER_NUMBER_BYTES];
    const char *s = number;
    size_t n = strcspn(fmt, "%");
    message_add(&m, fmt, n, SIZE_MAX);
    fmt += n;
    if( !*fmt ) break;
    fmt = conversion_read(fmt + 1, &c);
    if( c.is_star ) c.limit = va_arg(args, int);
    switch( c.type ) {
    case 's': s = va_arg(args, const char *); break;
    case 'd':
    case 'i':
      snprintf(number, sizeof number, "%lld",
               c.is_size       ? (long long)va_arg(args, ptrdiff_t)
               : c.n_long == 2 ? va_arg(args, long long)
               : c.n_long == 1 ? va_arg(args, long)
                               : va_arg(args, int));
      break;
    case 'u':
      snprintf(number, sizeof number, "%llu",
               c.is_size       ? (unsigned long long)va_arg(args, size_t)
               : c.n_long == 2 ? va_arg(args, unsigned long long)
               : c.n_long == 1 ? va_arg(args, unsigned long)
                               : va_arg(args, unsigned));
      break;
    default: s = c.type == '%' ? "%" : "?"; break;
    }
    if( !s ) s = "(null)";
    if( c.is_star ) /* exactly that many bytes; fewer when a NUL comes first */
      message_add(&m, s, strnlen(s, c.limit > 0 ? (size_t)c.limit : 0), SIZE_MAX);
    else
      message_add(&m, s, strlen(s), c.type == 's' && c.limit >= 0 ? (size_t)c.limit : SIZE_MAX);
  }
  m.out[m.used] = 0;
}

void ner_format(char *out, size_t n_bytes, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  ner_vformat(out, n_bytes, fmt, args);
  va_end(args);
}

/* ---- failures ---- */

int ner_fail(struct ner_err *err, int code, const char *fmt, ...) {
  if( err && err->code == NER_OK ) {
    va_list args;
    err->code = code;
    va_start(args, fmt);
    ner_vformat(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
  }
  return code;
}

void ner_fail_prefix(struct ner_err *err, const char *fmt, ...) {
  char prefix[sizeof err->msg], old[sizeof err->msg];
  va_list args;
  if( !err || err->code == NER_OK || err->code == NER_NOMEM ) return;
  memcpy(old, err->msg, sizeof old);
  va_start(args, fmt);
  ner_vformat(prefix, sizeof prefix, fmt, args);
  va_end(args);
  ner_format(err->msg, sizeof err->msg, "%s%s", prefix, old);
}

int ner_fail_nomem(struct ner_err *err) {
  return ner_fail(err, NER_NOMEM, "out of memory");
}

int ner_fail_interrupted(struct ner_err *err) {
  return ner_fail(err, NER_INTERRUPT, "interrupted");
}
