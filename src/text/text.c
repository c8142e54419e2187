/*
** text.c - UTF-8, BERT's normalisation and word splitting; see text.h.
**
** The reference makes four passes over the whole text, each a new string:
** clean_text, spaces around ideographs, NFD and the deletion of marks,
** lowercase; then it splits. Here the passes are folded into one walk that
** builds a word at a time and allocates nothing:
**
**   ASCII word between ASCII blanks or punctuation ─► itself        next_plain()
**   anything else, per code point:
**     deleted? ─► blank? ─► ideograph? ─► decompose ─► per part:
**       mark? ─► punctuation? ─► lowercase ─► append                next_mixed()
**
** One thing does not work per code point: NFD sorts a run of combining marks by
** class, over the borders of the characters they came from. Nearly always all
** of the run is deleted right after, so that the order does not matter; see
** add_marks() for the rest.
*/
#include "text/text.h"
#include "text/tables.h"

#include <string.h>
#include <utf8proc.h>

#define REPLACEMENT 0xFFFD
#define N_FLAGS     (sizeof flag_table / sizeof flag_table[0])
#define N_LOWER     (sizeof lower_table / sizeof lower_table[0])
#define MAX_PARTS   4 /* of a canonical decomposition */

/* ---- UTF-8 ---- */

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
    return REPLACEMENT;
  }
  for( ; n_more > 0; n_more--, low = 0x80, high = 0xBF ) {
    if( i == n_bytes || text[i] < low || text[i] > high ) {
      c = REPLACEMENT;
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

static uint32_t utf8_put(char *out, int32_t c) {
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

/* ---- what the reference thinks of a code point ---- */

/* flag_table for single bytes. NOT_ASCII is a flag of its own. */
#define NOT_ASCII 0x80
static const unsigned char byte_flags[256] = {
    [0x00 ... 0x08] = REMOVE, [0x09 ... 0x0A] = SPACE,  [0x0B ... 0x0C] = REMOVE | SPACE,
    [0x0D] = SPACE,           [0x0E ... 0x1F] = REMOVE, [0x20] = SPACE,
    [0x21 ... 0x2F] = PUNCT,  [0x3A ... 0x40] = PUNCT,  [0x5B ... 0x60] = PUNCT,
    [0x7B ... 0x7E] = PUNCT,  [0x7F] = REMOVE,          [0x80 ... 0xFF] = NOT_ASCII,
};

static unsigned flags_of(int32_t c) {
  uint32_t key = (uint32_t)c << 8 | 0xFF;
  size_t at = 0, n = N_FLAGS;
  if( c < 0x80 ) return byte_flags[c];
  while( n > 1 ) { /* the last entry <= key is in [at, at + n) */
    size_t half = n / 2;
    if( flag_table[at + half] <= key ) at += half;
    n -= half;
  }
  return flag_table[at] & 0xFF;
}

static inline bool is_ascii_upper(int32_t c) {
  return c >= 'A' && c <= 'Z';
}

static int32_t lower_of(int32_t c) {
  size_t at = 0, n = N_LOWER;
  const struct lower_run *run;
  if( c < 0x80 ) return is_ascii_upper(c) ? c + 32 : c;
  while( n > 1 ) {
    size_t half = n / 2;
    if( lower_table[at + half].first <= c ) at += half;
    n -= half;
  }
  run = &lower_table[at];
  if( c < run->first || c > run->last || (c - run->first) % run->step ) return c;
  return c + run->delta;
}

/* The parts c (with these flags) decomposes into; itself when it does not. */
static int decompose(const struct ner_splitter *s, int32_t c, unsigned flags, int32_t *parts) {
  int last_class = 0;
  utf8proc_ssize_t n = 0;
  if( s->rules->strip_accents && flags & DECOMPOSES )
    n = utf8proc_decompose_char(c, parts, MAX_PARTS, UTF8PROC_DECOMPOSE, &last_class);
  if( n >= 1 && n <= MAX_PARTS ) return (int)n;
  parts[0] = c;
  return 1;
}

static int combining_class(int32_t c) {
  if( !(flags_of(c) & NONSTARTER) ) return 0;
  return utf8proc_get_property(c)->combining_class;
}

/* ---- building a word ---- */

void ner_splitter_init(struct ner_splitter *s, const struct ner_text_rules *rules, const char *text,
                       uint32_t n_bytes, uint32_t base_byte, uint32_t base_cp) {
  s->rules = rules;
  s->text = (const unsigned char *)text;
  s->n_bytes = n_bytes;
  s->at = (struct ner_cursor){0, 0};
  s->n_given = 0;
  s->base = (struct ner_cursor){base_byte, base_cp};
}

/* The next code point that clean_text leaves, with its place, and moves *at past
** it; -1 at the end of the text. */
static int32_t take(const struct ner_splitter *s, struct ner_cursor *at, struct ner_place *place,
                    unsigned *flags) {
  while( at->byte < s->n_bytes ) {
    uint32_t start_byte = s->base.byte + at->byte, start = s->base.cp + at->cp;
    int32_t c = ner_utf8_next(s->text, s->n_bytes, &at->byte);
    at->cp++;
    *flags = flags_of(c);
    if( *flags & REMOVE && s->rules->clean_text ) continue;
    *place = (struct ner_place){start_byte, s->base.byte + at->byte, start, start + 1};
    return c;
  }
  return -1;
}

static void append(struct ner_splitter *s, struct ner_word *w, int32_t c,
                   const struct ner_place *place) {
  if( w->n_cp == 0 ) w->place = *place;
  w->place.end_byte = place->end_byte;
  w->place.end = place->end;
  if( w->n_cp == NER_WORD_CP ) return;
  w->from[w->n_cp] = *place;
  w->n_bytes += utf8_put(s->buffer + w->n_bytes, c);
  w->norm_at[++w->n_cp] = w->n_bytes;
}

static void append_cased(struct ner_splitter *s, struct ner_word *w, int32_t c,
                         const struct ner_place *place) {
  if( !s->rules->lowercase ) {
    append(s, w, c, place);
  } else if( c == 0x130 ) { /* the only one that becomes two: i and a dot above */
    append(s, w, 'i', place);
    append(s, w, 0x307, place);
  } else {
    append(s, w, lower_of(c), place);
  }
}

/* Appends what is left of a run of combining marks, which begins with part
** s->n_given of the character at s->at, and moves past it.
**
** NFD sorts the run by combining class, stably. Marks of the reference's newer
** Unicode data, and a few spacing ones, outlive strip_accents, and two things can
** be seen of them: their order, and their places. The reference hands out places
** in the order of the sorted marks: a first part takes the next character of the
** run, whatever it was made from, a further part shares the one before.
** A pass over the run per class that occurs sorts it without memory. Marks are
** never blank, punctuation or cased, so all of the run belongs to one word. */
static void add_marks(struct ner_splitter *s, struct ner_word *w) {
  struct ner_cursor taker = s->at, end = s->at;
  struct ner_place place = {0}, ignored;
  int class = 0, next_class = 0; /* the first pass, for class 0, only looks */
  bool any_stays = false;
  unsigned flags;
  if( s->n_given > 0 ) take(s, &taker, &place, &flags); /* by the parts given out before */
  do {
    struct ner_cursor at = s->at;
    int first = s->n_given;
    class = next_class;
    next_class = INT32_MAX;
    for( ;; first = 0 ) {
      int32_t parts[MAX_PARTS], c;
      int n = 0, i;
      end = at;
      c = take(s, &at, &ignored, &flags);
      if( c >= 0 ) n = decompose(s, c, flags, parts);
      if( n == 0 || combining_class(parts[first]) == 0 ) break;
      for( i = first; i < n; i++ ) {
        int its_class = combining_class(parts[i]);
        bool stays = !(flags_of(parts[i]) & MARK);
        any_stays |= stays;
        if( its_class > class && its_class < next_class ) next_class = its_class;
        if( its_class != class ) continue;
        if( i == 0 ) take(s, &taker, &place, &flags);
        if( stays ) append(s, w, parts[i], &place);
      }
    }
  } while( any_stays && next_class != INT32_MAX );
  s->at = end;
  s->n_given = 0;
}

/* The next word, whatever it is made of. */
static bool next_mixed(struct ner_splitter *s, struct ner_word *w) {
  w->norm = s->buffer;
  w->plain = false;
  w->n_bytes = w->n_cp = w->norm_at[0] = 0;
  for( ;; ) {
    struct ner_cursor after = s->at;
    struct ner_place place;
    int32_t parts[MAX_PARTS];
    unsigned flags;
    bool marks_follow = false;
    int32_t c = take(s, &after, &place, &flags);
    int n;
    if( c < 0 || flags & SPACE ) {
      s->at = after;
      if( c < 0 || w->n_cp > 0 ) return w->n_cp > 0;
      continue;
    }
    n = decompose(s, c, flags, parts);
    while( s->n_given < n && !marks_follow ) {
      int32_t part = parts[s->n_given];
      unsigned part_flags = part == c ? flags : flags_of(part);
      bool alone = part_flags & PUNCT || (flags & CJK && s->rules->split_cjk);
      if( s->rules->strip_accents && part_flags & NONSTARTER ) {
        marks_follow = true;
      } else if( s->rules->strip_accents && part_flags & MARK ) {
        s->n_given++;
      } else if( alone && w->n_cp > 0 ) {
        return true; /* it is the next word */
      } else {
        append_cased(s, w, part, &place);
        s->n_given++;
        if( alone && s->n_given < n ) return true;
        if( alone ) {
          s->at = after;
          s->n_given = 0;
          return true;
        }
      }
    }
    if( marks_follow ) {
      add_marks(s, w);
    } else {
      s->at = after;
      s->n_given = 0;
    }
  }
}

/* The next word when it is all ASCII and so is what follows it; otherwise false
** and s->at is where next_mixed() should begin. */
static bool next_plain(struct ner_splitter *s, struct ner_word *w) {
  uint32_t begin = s->at.byte, end, i;
  while( begin < s->n_bytes && byte_flags[s->text[begin]] == SPACE ) begin++;
  s->at.cp += begin - s->at.byte;
  s->at.byte = end = begin;
  if( begin == s->n_bytes ) return false;
  if( byte_flags[s->text[begin]] == PUNCT ) {
    end++;
  } else {
    while( end < s->n_bytes && byte_flags[s->text[end]] == 0 ) end++;
    if( end == begin ) return false;
    if( end < s->n_bytes && byte_flags[s->text[end]] & (REMOVE | NOT_ASCII) ) return false;
  }
  w->plain = true;
  w->n_cp = w->n_bytes = end - begin < NER_WORD_CP ? end - begin : NER_WORD_CP;
  w->place.start_byte = s->base.byte + begin;
  w->place.end_byte = s->base.byte + end;
  w->place.start = s->base.cp + s->at.cp;
  w->place.end = w->place.start + (end - begin);
  w->norm = (const char *)s->text + begin;
  if( s->rules->lowercase ) {
    for( i = 0; i < w->n_bytes; i++ ) s->buffer[i] = (char)lower_of(s->text[begin + i]);
    w->norm = s->buffer;
  }
  s->at.byte = end;
  s->at.cp += end - begin;
  return true;
}

bool ner_splitter_next(struct ner_splitter *s, struct ner_word *word) {
  if( s->n_given == 0 && next_plain(s, word) ) return true;
  return next_mixed(s, word);
}
