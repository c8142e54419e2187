/*
** passes.h - BERT's normalisation and splitting as the reference does it, pass after pass over the
** whole text, with all the memory it likes. text.c (of the library) does the same in one walk
** without any; here is what it is compared with. Both share the tables alone.
**
**     UTF-8 ─► clean_text ─► blanks around ideographs ─► NFD, sorted ─► marks go ─► lowercase ─► words
*/
#ifndef NER_FUZZ_PASSES_H
#define NER_FUZZ_PASSES_H

#include <utf8proc.h>
#include "fuzz.h"
#include "text/tables.h"
#include "text/unicode.h"

/* A normalised code point and the original one it stands for; place 0 wide: a blank put in. */
struct passed {
  int32_t c;
  uint32_t start; /* code point of the text */
  bool first;     /* of the parts it decomposed into */
};

struct passes {
  struct passed *at; /* [n] */
  size_t n, cap;
};

/* The tables, unrolled. */
static uint16_t flags_of[0x110000];
static int32_t lower_of[0x110000];

static void passes_begin(void) {
  size_t n = sizeof flag_table / sizeof *flag_table;
  for( uint32_t c = 0, i = 0; c < 0x110000; c++ ) {
    if( i + 1 < n && flag_table[i + 1] >> 11 == c ) i++;
    flags_of[c] = flag_table[i] & 0x7FF;
    lower_of[c] = (int32_t)c;
  }
  for( size_t i = 0; i < sizeof lower_table / sizeof *lower_table; i++ ) {
    const struct lower_run *r = &lower_table[i];
    for( int32_t c = r->first; c <= r->last; c += r->step ) lower_of[c] = c + r->delta;
  }
}

static void passes_add(struct passes *p, int32_t c, uint32_t start, bool first) {
  check(ner_grow((void **)&p->at, &p->cap, p->n + 1, sizeof *p->at) == NER_OK);
  p->at[p->n++] = (struct passed){c, start, first};
}

static struct passes passes_decode(const char *text, size_t n) {
  struct passes p = {0};
  uint32_t n_cp, *border = fuzz_borders(text, n, &n_cp);
  for( uint32_t i = 0; i < n_cp; i++ ) {
    utf8proc_int32_t c;
    utf8proc_ssize_t length = (utf8proc_ssize_t)(border[i + 1] - border[i]);
    if( utf8proc_iterate((const uint8_t *)text + border[i], length, &c) != length ) c = 0xFFFD;
    passes_add(&p, c, i, true);
  }
  free(border);
  return p;
}

static struct passes passes_clean(const struct passes *in) {
  struct passes p = {0};
  for( size_t i = 0; i < in->n; i++ )
    if( !(flags_of[in->at[i].c] & NER_CHAR_REMOVE) )
      passes_add(&p, in->at[i].c, in->at[i].start, true);
  return p;
}

static struct passes passes_space_ideographs(const struct passes *in) {
  struct passes p = {0};
  for( size_t i = 0; i < in->n; i++ ) {
    bool ideograph = flags_of[in->at[i].c] & NER_CHAR_CJK;
    if( ideograph ) passes_add(&p, ' ', in->at[i].start, true);
    passes_add(&p, in->at[i].c, in->at[i].start, true);
    if( ideograph ) passes_add(&p, ' ', in->at[i].start, true);
  }
  return p;
}

static int passes_class(int32_t c) {
  return flags_of[c] & NER_CHAR_NONSTARTER ? utf8proc_get_property(c)->combining_class : 0;
}

/* Every part that is its character's first stands for the next character in turn, wherever sorting
** has put it. */
static struct passes passes_strip_accents(const struct passes *in) {
  struct passes parts = {0}, p = {0};
  uint32_t start = 0;
  size_t taken = 0;
  for( size_t i = 0; i < in->n; i++ ) {
    int32_t c = in->at[i].c, part[4] = {c};
    int last = 0;
    utf8proc_ssize_t n = 1;
    if( flags_of[c] & NER_CHAR_DECOMPOSES )
      n = utf8proc_decompose_char(c, part, 4, UTF8PROC_DECOMPOSE, &last);
    check(n >= 1 && n <= 4);
    for( int k = 0; k < n; k++ ) passes_add(&parts, part[k], 0, k == 0);
  }
  for( size_t i = 1; i < parts.n; i++ ) /* insertion keeps equals in order */
    for( size_t k = i; k > 0 && passes_class(parts.at[k].c) > 0 &&
                       passes_class(parts.at[k - 1].c) > passes_class(parts.at[k].c);
         k-- ) {
      struct passed swap = parts.at[k];
      parts.at[k] = parts.at[k - 1];
      parts.at[k - 1] = swap;
    }
  for( size_t i = 0; i < parts.n; i++ ) {
    if( parts.at[i].first ) start = in->at[taken++].start;
    if( !(flags_of[parts.at[i].c] & NER_CHAR_MARK) ) passes_add(&p, parts.at[i].c, start, true);
  }
  free(parts.at);
  return p;
}

static struct passes passes_lowercase(const struct passes *in) {
  struct passes p = {0};
  for( size_t i = 0; i < in->n; i++ ) {
    int32_t c = in->at[i].c;
    passes_add(&p, c == 0x130 ? 'i' : lower_of[c], in->at[i].start, true);
    if( c == 0x130 ) passes_add(&p, 0x307, in->at[i].start, true);
  }
  return p;
}

static struct passes passes_normalise(const char *text, size_t n,
                                      const struct ner_text_rules *rules) {
  const struct {
    bool on;
    struct passes (*pass)(const struct passes *in);
  } passes[] = {{rules->clean_text, passes_clean},
                {rules->split_cjk, passes_space_ideographs},
                {rules->strip_accents, passes_strip_accents},
                {rules->lowercase, passes_lowercase}};
  struct passes p = passes_decode(text, n), next;
  for( size_t i = 0; i < 4; i++ ) {
    if( !passes[i].on ) continue;
    next = passes[i].pass(&p);
    free(p.at);
    p = next;
  }
  return p;
}

/* The word that begins at or after *at: [begin, end); false when there is none. */
static bool passes_next_word(const struct passes *p, size_t *at, size_t *begin, size_t *end) {
  while( *at < p->n && flags_of[p->at[*at].c] & NER_CHAR_SPACE ) ++*at;
  *begin = *at;
  while( *at < p->n && !(flags_of[p->at[*at].c] & NER_CHAR_SPACE) ) {
    if( flags_of[p->at[*at].c] & NER_CHAR_PUNCT ) {
      if( *at == *begin ) ++*at;
      break;
    }
    ++*at;
  }
  *end = *at;
  return *end > *begin;
}

/* The splitter of the library gives the same words, of the same code points, from the same
** places. */
static void passes_compare(const char *text, size_t n, const struct ner_text_rules *rules) {
  struct passes p = passes_normalise(text, n, rules);
  struct ner_splitter split;
  struct ner_word word;
  size_t at = 0, begin, end;
  ner_splitter_init(&split, rules, text, (uint32_t)n, 0, 0);
  while( passes_next_word(&p, &at, &begin, &end) ) {
    size_t n_cp = end - begin < NER_WORD_CP ? end - begin : NER_WORD_CP;
    check(ner_splitter_next(&split, &word));
    check(word.n_cp == n_cp);
    check(word.place.start == p.at[begin].start && word.place.end == p.at[end - 1].start + 1);
    for( uint32_t i = 0; i < n_cp; i++ ) {
      const struct passed *c = &p.at[begin + i];
      struct ner_place place = ner_word_place(&word, i, i);
      utf8proc_uint8_t utf8[4];
      size_t n_utf8 = (size_t)utf8proc_encode_char(c->c, utf8);
      check(place.start == c->start && place.end == c->start + 1);
      check(ner_word_at(&word, i + 1) - ner_word_at(&word, i) == n_utf8);
      check(memcmp(word.norm + ner_word_at(&word, i), utf8, n_utf8) == 0);
    }
  }
  check(!ner_splitter_next(&split, &word));
  free(p.at);
}

#endif
