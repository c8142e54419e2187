/*
** utf8.c - decoding and encoding UTF-8; see utf8.h.
*/
#include "text/utf8.h"

int32_t ner_utf8_next(const unsigned char *text, uint32_t n_bytes, uint32_t *at) {
  uint32_t i = *at;
  unsigned lead = text[i++], low = 0x80, high = 0xBF; /* allowed second byte */
  int32_t c;
  int n_more;
  if( lead < 0x80 ) {
    *at = i;
    return (int32_t)lead;
  }
  if( lead >= 0xC2 && lead <= 0xDF ) {
    c = lead & 0x1F, n_more = 1;
  } else if( (lead & 0xF0) == 0xE0 ) {
    c = lead & 0x0F, n_more = 2;
    if( lead == 0xE0 ) low = 0xA0;  /* overlong */
    if( lead == 0xED ) high = 0x9F; /* surrogates */
  } else if( lead >= 0xF0 && lead <= 0xF4 ) {
    c = lead & 0x07, n_more = 3;
    if( lead == 0xF0 ) low = 0x90;  /* overlong */
    if( lead == 0xF4 ) high = 0x8F; /* beyond U+10FFFF */
  } else {
    *at = i;
    return NER_UTF8_REPLACEMENT;
  }
  for( ; n_more > 0; n_more--, low = 0x80, high = 0xBF ) {
    if( i == n_bytes || text[i] < low || text[i] > high ) {
      c = NER_UTF8_REPLACEMENT;
      break;
    }
    c = c << 6 | (text[i++] & 0x3F);
  }
  *at = i;
  return c;
}

uint32_t ner_utf8_count(const char *text, uint32_t n_bytes) {
  const unsigned char *bytes = (const unsigned char *)text;
  uint32_t at = 0, n = 0;
  for( ; at < n_bytes; n++ ) {
    if( bytes[at] < 0x80 )
      at++;
    else
      ner_utf8_next(bytes, n_bytes, &at);
  }
  return n;
}

uint32_t ner_utf8_put(char *out, int32_t c) {
  unsigned char *p = (unsigned char *)out;
  if( c < 0x80 ) {
    p[0] = (unsigned char)c;
    return 1;
  }
  if( c < 0x800 ) {
    p[0] = (unsigned char)(0xC0 | c >> 6);
    p[1] = (unsigned char)(0x80 | (c & 0x3F));
    return 2;
  }
  if( c < 0x10000 ) {
    p[0] = (unsigned char)(0xE0 | c >> 12);
    p[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    p[2] = (unsigned char)(0x80 | (c & 0x3F));
    return 3;
  }
  p[0] = (unsigned char)(0xF0 | c >> 18);
  p[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
  p[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
  p[3] = (unsigned char)(0x80 | (c & 0x3F));
  return 4;
}

int32_t ner_utf8_before(const unsigned char *text, uint32_t at) {
  uint32_t start = at - 1;
  while( start > 0 && at - start < NER_UTF8_MAX && (text[start] & 0xC0) == 0x80 ) start--;
  return ner_utf8_next(text, at, &start);
}
