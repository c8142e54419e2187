/*
** text.c - UTF-8, BERT's normalisation and word splitting; see text.h.
**
** The reference makes four passes over the whole text and each of them makes a new string:
** clean_text, spaces around ideographs, NFD with deletion of marks, lowercase. Then it splits.
** This file does all of it in one walk that builds a word at a time and allocates nothing:
**
**   ASCII word between ASCII blanks or punctuation ─► itself        word_next_plain()
**   anything else, per code point:
**     deleted? ─► blank? ─► ideograph? ─► decompose ─► per part:
**       mark? ─► punctuation? ─► lowercase ─► append                word_next_mixed()
**
** One step does not work per code point: NFD sorts a run of combining marks by class, across the
** borders of the characters that they came from. Nearly always the whole run is deleted afterwards
** and the order does not matter; word_add_marks() handles the other cases.
*/
#include "text/text.h"

/* NER_CHAR_... flags of single bytes; a byte of a longer sequence has a flag of its own. */
#define BYTE_NOT_ASCII 0x80
static const unsigned char byte_flags[256] = {
    [0x00 ... 0x08] = NER_CHAR_REMOVE,
    [0x09 ... 0x0A] = NER_CHAR_SPACE,
    [0x0B ... 0x0C] = NER_CHAR_REMOVE | NER_CHAR_SPACE,
    [0x0D] = NER_CHAR_SPACE,
    [0x0E ... 0x1F] = NER_CHAR_REMOVE,
    [0x20] = NER_CHAR_SPACE,
    [0x21 ... 0x2F] = NER_CHAR_PUNCT,
    [0x3A ... 0x40] = NER_CHAR_PUNCT,
    [0x5B ... 0x60] = NER_CHAR_PUNCT,
    [0x7B ... 0x7E] = NER_CHAR_PUNCT,
    [0x7F] = NER_CHAR_REMOVE,
    [0x80 ... 0xFF] = BYTE_NOT_ASCII,
};

static inline unsigned word_flags(int32_t c) {
  return c < 0x80 ? byte_flags[c] : ner_char_flags(c);
}

/* The parts into which c, with these flags, decomposes; c itself if it does not. */
static int word_decompose(const struct ner_splitter *s, int32_t c, unsigned flags,
                          int32_t parts[NER_CHAR_PARTS]) {
  if( s->rules->strip_accents && flags & NER_CHAR_DECOMPOSES )
    return ner_char_decompose(c, flags, false, parts);
  parts[0] = c;
  return 1;
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

/* Returns the next code point that clean_text keeps, with its place, and moves *at past it; -1 at
** the end of the text. */
static int32_t word_take(const struct ner_splitter *s, struct ner_cursor *at,
                         struct ner_place *place, unsigned *flags) {
  while( at->byte < s->n_bytes ) {
    uint32_t start_byte = s->base.byte + at->byte, start = s->base.cp + at->cp;
    int32_t c = ner_utf8_next(s->text, s->n_bytes, &at->byte);
    at->cp++;
    *flags = word_flags(c);
    if( *flags & NER_CHAR_REMOVE && s->rules->clean_text ) continue;
    *place = (struct ner_place){start_byte, s->base.byte + at->byte, start, start + 1};
    return c;
  }
  return -1;
}

static void word_append(struct ner_splitter *s, struct ner_word *w, int32_t c,
                        const struct ner_place *place) {
  if( w->n_cp == 0 ) w->place = *place;
  w->place.end_byte = place->end_byte;
  w->place.end = place->end;
  if( w->n_cp == NER_WORD_CP ) return;
  s->from[w->n_cp] = *place;
  w->n_bytes += ner_utf8_put(s->buffer + w->n_bytes, c);
  s->norm_at[++w->n_cp] = w->n_bytes;
}

static void word_append_cased(struct ner_splitter *s, struct ner_word *w, int32_t c,
                              const struct ner_place *place) {
  if( !s->rules->lowercase ) {
    word_append(s, w, c, place);
  } else if( c == 0x130 ) { /* the only one that becomes two: i and a dot above */
    word_append(s, w, 'i', place);
    word_append(s, w, 0x307, place);
  } else {
    word_append(s, w, ner_char_lower(c), place);
  }
}

/* Appends the rest of a run of combining marks, which begins with part s->n_given of the character
** at s->at, and moves past it.
**
** NFD sorts the run by combining class, stably. Marks of the reference's newer Unicode data and a
** few spacing marks survive strip_accents; their order and their places are visible in the result.
** The reference assigns places in the order of the sorted marks: a character's first part takes the
** place of the next character of the run, regardless of its origin, and each further part shares
** the place before it. One pass over the run for each class that occurs sorts it without memory.
** Marks are never blank, punctuation or cased, so the whole run belongs to one word. */
static void word_add_marks(struct ner_splitter *s, struct ner_word *w) {
  struct ner_cursor taker = s->at, end = s->at;
  struct ner_place place = {0}, ignored;
  int class = 0, next_class = 0; /* the first pass, for class 0, only looks */
  bool any_stays = false;
  unsigned flags;
  if( s->n_given > 0 ) word_take(s, &taker, &place, &flags); /* by the parts given out before */
  do {
    struct ner_cursor at = s->at;
    int first = s->n_given;
    class = next_class;
    next_class = INT32_MAX;
    for( ;; first = 0 ) {
      int32_t parts[NER_CHAR_PARTS], c;
      int n = 0, i;
      end = at;
      c = word_take(s, &at, &ignored, &flags);
      if( c >= 0 ) n = word_decompose(s, c, flags, parts);
      if( n == 0 || ner_char_class(parts[first]) == 0 ) break;
      for( i = first; i < n; i++ ) {
        int its_class = ner_char_class(parts[i]);
        bool stays = !(word_flags(parts[i]) & NER_CHAR_MARK);
        any_stays |= stays;
        if( its_class > class && its_class < next_class ) next_class = its_class;
        if( its_class != class ) continue;
        if( i == 0 ) word_take(s, &taker, &place, &flags);
        if( stays ) word_append(s, w, parts[i], &place);
      }
    }
  } while( any_stays && next_class != INT32_MAX );
  s->at = end;
  s->n_given = 0;
}

/* The next word, made of any characters. */
static bool word_next_mixed(struct ner_splitter *s, struct ner_word *w) {
  w->norm = s->buffer;
  w->plain = false;
  w->norm_at = s->norm_at;
  w->from = s->from;
  w->n_bytes = w->n_cp = s->norm_at[0] = 0;
  for( ;; ) {
    struct ner_cursor after = s->at;
    struct ner_place place;
    int32_t parts[NER_CHAR_PARTS];
    unsigned flags;
    bool marks_follow = false;
    int32_t c = word_take(s, &after, &place, &flags);
    int n;
    if( c < 0 || flags & NER_CHAR_SPACE ) {
      s->at = after;
      if( c < 0 || w->n_cp > 0 ) return w->n_cp > 0;
      continue;
    }
    n = word_decompose(s, c, flags, parts);
    while( s->n_given < n && !marks_follow ) {
      int32_t part = parts[s->n_given];
      unsigned part_flags = part == c ? flags : word_flags(part);
      bool alone = part_flags & NER_CHAR_PUNCT || (flags & NER_CHAR_CJK && s->rules->split_cjk);
      if( s->rules->strip_accents && part_flags & NER_CHAR_NONSTARTER ) {
        marks_follow = true;
      } else if( s->rules->strip_accents && part_flags & NER_CHAR_MARK ) {
        s->n_given++;
      } else if( alone && w->n_cp > 0 ) {
        return true; /* it is the next word */
      } else {
        word_append_cased(s, w, part, &place);
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
      word_add_marks(s, w);
    } else {
      s->at = after;
      s->n_given = 0;
    }
  }
}

/* The next word if it and the character after it are ASCII. Otherwise false, and s->at is where
** word_next_mixed() begins. */
static bool word_next_plain(struct ner_splitter *s, struct ner_word *w) {
  uint32_t begin = s->at.byte, end, i;
  while( begin < s->n_bytes && byte_flags[s->text[begin]] == NER_CHAR_SPACE ) begin++;
  s->at.cp += begin - s->at.byte;
  s->at.byte = end = begin;
  if( begin == s->n_bytes ) return false;
  if( byte_flags[s->text[begin]] == NER_CHAR_PUNCT ) {
    end++;
  } else {
    while( end < s->n_bytes && byte_flags[s->text[end]] == 0 ) end++;
    if( end == begin ) return false;
    if( end < s->n_bytes && byte_flags[s->text[end]] & (NER_CHAR_REMOVE | BYTE_NOT_ASCII) )
      return false;
  }
  w->plain = true;
  w->n_cp = w->n_bytes = end - begin < NER_WORD_CP ? end - begin : NER_WORD_CP;
  w->place.start_byte = s->base.byte + begin;
  w->place.end_byte = s->base.byte + end;
  w->place.start = s->base.cp + s->at.cp;
  w->place.end = w->place.start + (end - begin);
  w->norm = (const char *)s->text + begin;
  if( s->rules->lowercase ) {
    for( i = 0; i < w->n_bytes; i++ ) s->buffer[i] = (char)ner_char_lower(s->text[begin + i]);
    w->norm = s->buffer;
  }
  s->at.byte = end;
  s->at.cp += end - begin;
  return true;
}

bool ner_splitter_next(struct ner_splitter *s, struct ner_word *word) {
  if( s->n_given == 0 && word_next_plain(s, word) ) return true;
  return word_next_mixed(s, word);
}
