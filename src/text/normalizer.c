/*
** normalizer.c - normalizers other than BERT's own, one step after the other; see normalizer.h.
**
** A step reads the code points and origins in cp and from and writes new ones: in place where it
** only deletes or replaces one by one, else into other_cp and other_from, which are then swapped.
** UTF-8 is made once, at the end.
**
** NFD, NFC and their compatibility forms work on parts: each code point's decomposition, whose
** first part stands for the code point and whose others are insertions. Runs of marks are sorted by
** class; NFC then composes. Origins are handed out afterwards, in the order of the result: a part
** that stands for code points takes the next unread ones, an insertion shares the last one read.
** So a mark that moved before another has the other's origin, as in the reference.
*/
#include "text/normalizer.h"

#include <string.h>

/* A part of a decomposition on its way into the result. */
struct normal_part {
  int32_t cp;
  int32_t change; /* 1: inserted; 0: stands for a code point; -k: for k + 1 of them */
  int class;
};

/* ---- rules ---- */

static void normal_step_free(struct ner_normalizer_step *step) {
  NER_FREE(step->pattern);
  NER_FREE(step->content);
  NER_FREE(step->border);
}

/* border[i]: the longest proper prefix of the pattern that ends pattern[0, i]. */
static int normal_make_borders(struct ner_normalizer_step *step) {
  uint32_t *border = ner_alloc(step->n_pattern, sizeof *border), k = 0;
  if( !border ) return NER_NOMEM;
  border[0] = 0;
  for( uint32_t i = 1; i < step->n_pattern; i++ ) {
    while( k > 0 && step->pattern[i] != step->pattern[k] ) k = border[k - 1];
    if( step->pattern[i] == step->pattern[k] ) k++;
    border[i] = k;
  }
  step->border = border;
  return NER_OK;
}

int ner_normalizer_add(struct ner_normalizer *rules, const struct ner_normalizer_step *step,
                       struct ner_err *err) {
  struct ner_normalizer_step added = *step;
  int rc = NER_OK;
  if( rules->n == NER_NORMALIZER_STEPS )
    rc = ner_fail(err, NER_ERROR, "normalizer has more than %d steps; simplify it",
                  NER_NORMALIZER_STEPS);
  else if( (added.kind == NER_NORMALIZER_REPLACE && normal_make_borders(&added)) ||
           ner_grow((void **)&rules->step, &rules->cap, rules->n + 1, sizeof *rules->step) )
    rc = ner_fail_nomem(err);
  if( rc )
    normal_step_free(&added);
  else
    rules->step[rules->n++] = added;
  return rc;
}

void ner_normalizer_free(struct ner_normalizer *rules) {
  for( size_t i = 0; i < rules->n; i++ ) normal_step_free(&rules->step[i]);
  NER_FREE(rules->step);
  *rules = (struct ner_normalizer){0};
}

void ner_normalized_free(struct ner_normalized *t) {
  NER_FREE(t->cp);
  NER_FREE(t->from);
  NER_FREE(t->other_cp);
  NER_FREE(t->other_from);
  NER_FREE(t->bytes);
  NER_FREE(t->at);
  NER_FREE(t->input_at);
  NER_FREE(t->part);
  *t = (struct ner_normalized){0};
}

/* ---- room ---- */

/* Two arrays of one capacity. */
static int normal_grow(int32_t **cp, uint32_t **from, size_t *cap, size_t need) {
  size_t cap_cp = *cap, cap_from = *cap;
  if( need <= *cap ) return NER_OK;
  if( ner_grow((void **)cp, &cap_cp, need, sizeof **cp) ||
      ner_grow((void **)from, &cap_from, need, sizeof **from) )
    return NER_NOMEM;
  *cap = cap_cp < cap_from ? cap_cp : cap_from;
  return NER_OK;
}

static int normal_check_size(const struct ner_normalized *t, size_t n, struct ner_err *err) {
  const size_t limit = 64 * (size_t)t->n_input + ((size_t)1 << 20);
  if( n <= limit ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "the normalizer of this model makes a text of %u characters longer than %zu; "
                  "shorten the text, or mend the normalizer in tokenizer.json",
                  t->n_input, limit);
}

/* Room for n code points in the other arrays. */
static int normal_other(struct ner_normalized *t, size_t n, struct ner_err *err) {
  int rc = normal_check_size(t, n, err);
  if( rc ) return rc;
  return normal_grow(&t->other_cp, &t->other_from, &t->other_cap, n) ? ner_fail_nomem(err) : NER_OK;
}

static void normal_swap(struct ner_normalized *t, size_t n) {
  int32_t *cp = t->cp;
  uint32_t *from = t->from;
  size_t cap = t->cap;
  t->cp = t->other_cp, t->other_cp = cp;
  t->from = t->other_from, t->other_from = from;
  t->cap = t->other_cap, t->other_cap = cap;
  t->n = n;
}

/* ---- steps on one code point at a time ---- */

/* Deletes the code points that have the flag. */
static void normal_delete(struct ner_normalized *t, unsigned flag) {
  size_t n = 0;
  for( size_t i = 0; i < t->n; i++ ) {
    if( ner_char_flags(t->cp[i]) & flag ) continue;
    t->cp[n] = t->cp[i];
    t->from[n++] = t->from[i];
  }
  t->n = n;
}

static void normal_clean(struct ner_normalized *t) {
  normal_delete(t, NER_CHAR_REMOVE);
  for( size_t i = 0; i < t->n; i++ )
    if( ner_char_flags(t->cp[i]) & NER_CHAR_SPACE ) t->cp[i] = ' ';
}

/* A blank on each side of an ideograph. */
static int normal_split_cjk(struct ner_normalized *t, struct ner_err *err) {
  size_t n = 0, n_cjk = 0;
  int rc;
  for( size_t i = 0; i < t->n; i++ )
    n_cjk += t->cp[i] >= 0x3400 && ner_char_flags(t->cp[i]) & NER_CHAR_CJK;
  if( n_cjk == 0 ) return NER_OK;
  if( (rc = normal_other(t, t->n + 2 * n_cjk, err)) ) return rc;
  for( size_t i = 0; i < t->n; i++ ) {
    bool cjk = t->cp[i] >= 0x3400 && ner_char_flags(t->cp[i]) & NER_CHAR_CJK;
    for( int k = cjk ? 0 : 1; k < (cjk ? 3 : 2); k++ ) {
      t->other_cp[n] = k == 1 ? t->cp[i] : ' ';
      t->other_from[n++] = t->from[i];
    }
  }
  normal_swap(t, n);
  return NER_OK;
}

static int normal_lowercase(struct ner_normalized *t, struct ner_err *err) {
  size_t n = 0, n_more = 0;
  int rc;
  for( size_t i = 0; i < t->n; i++ ) {
    if( t->cp[i] == 0x130 )
      n_more++;
    else
      t->cp[i] = ner_char_lower(t->cp[i]);
  }
  if( n_more == 0 ) return NER_OK;
  if( (rc = normal_other(t, t->n + n_more, err)) ) return rc;
  for( size_t i = 0; i < t->n; i++ ) {
    bool dotted = t->cp[i] == 0x130;
    t->other_cp[n] = dotted ? 'i' : t->cp[i];
    t->other_from[n++] = t->from[i];
    if( !dotted ) continue;
    t->other_cp[n] = 0x307;
    t->other_from[n++] = t->from[i];
  }
  normal_swap(t, n);
  return NER_OK;
}

static void normal_strip(struct ner_normalized *t, bool left, bool right) {
  size_t begin = 0, end = t->n;
  while( left && begin < end && ner_char_flags(t->cp[begin]) & NER_CHAR_SPACE ) begin++;
  while( right && end > begin && ner_char_flags(t->cp[end - 1]) & NER_CHAR_SPACE ) end--;
  memmove(t->cp, t->cp + begin, (end - begin) * sizeof *t->cp);
  memmove(t->from, t->from + begin, (end - begin) * sizeof *t->from);
  t->n = end - begin;
}

static int normal_replace(struct ner_normalized *t, const struct ner_normalizer_step *step,
                          struct ner_err *err) {
  size_t n = 0, n_found = 0;
  uint32_t matched = 0;
  int rc;
  for( size_t i = 0; i < t->n; i++ ) {
    while( matched > 0 && t->cp[i] != step->pattern[matched] ) matched = step->border[matched - 1];
    if( t->cp[i] == step->pattern[matched] ) matched++;
    if( matched == step->n_pattern ) matched = 0, n_found++;
  }
  if( n_found == 0 ) return NER_OK;
  if( step->n_content > 0 && n_found > SIZE_MAX / 8 / step->n_content )
    return normal_check_size(t, SIZE_MAX, err);
  if( (rc = normal_other(t, t->n + n_found * step->n_content, err)) ) return rc;
  matched = 0;
  for( size_t i = 0; i < t->n; i++ ) {
    while( matched > 0 && t->cp[i] != step->pattern[matched] ) matched = step->border[matched - 1];
    if( t->cp[i] == step->pattern[matched] ) matched++;
    t->other_cp[n] = t->cp[i];
    t->other_from[n++] = t->from[i];
    if( matched < step->n_pattern ) continue;
    matched = 0;
    n -= step->n_pattern;
    for( uint32_t k = 0; k < step->n_content; k++ ) {
      t->other_cp[n] = step->content[k];
      t->other_from[n++] = t->from[i];
    }
  }
  normal_swap(t, n);
  return NER_OK;
}

/* ---- normalization forms ---- */

/* The text as parts; *n of them. */
static int normal_decompose(struct ner_normalized *t, bool compatibility, size_t *n,
                            struct ner_err *err) {
  *n = 0;
  for( size_t i = 0; i < t->n; i++ ) {
    int32_t c = t->cp[i], parts[NER_CHAR_PARTS];
    unsigned flags = c < 0x80 ? 0 : ner_char_flags(c);
    int n_parts = ner_char_decompose(c, flags, compatibility, parts), rc;
    if( (rc = normal_check_size(t, *n + (size_t)n_parts, err)) ) return rc;
    if( ner_grow((void **)&t->part, &t->cap_part, *n + NER_CHAR_PARTS, sizeof *t->part) )
      return ner_fail_nomem(err);
    for( int k = 0; k < n_parts; k++ )
      t->part[(*n)++] = (struct normal_part){parts[k], k > 0, ner_char_class(parts[k])};
  }
  return NER_OK;
}

/* Sorts a run of marks by class, stably. Merge sort bottom-up, so that a long run, too, is no
** trouble: into and out of scratch[n]. */
static void normal_sort_run(struct normal_part *run, size_t n, struct normal_part *scratch) {
  for( size_t width = 1; width < n; width *= 2 ) {
    for( size_t begin = 0; begin < n; begin += 2 * width ) {
      size_t middle = begin + width < n ? begin + width : n;
      size_t end = begin + 2 * width < n ? begin + 2 * width : n, a = begin, b = middle;
      for( size_t i = begin; i < end; i++ )
        scratch[i] = b >= end || (a < middle && run[a].class <= run[b].class) ? run[a++] : run[b++];
    }
    memcpy(run, scratch, n * sizeof *run);
  }
}

static int normal_sort(struct ner_normalized *t, size_t n, struct ner_err *err) {
  size_t cap;
  for( size_t i = 0, end; i < n; i = end ) {
    bool sorted = true;
    end = i + 1;
    if( t->part[i].class == 0 ) continue;
    for( ; end < n && t->part[end].class != 0; end++ )
      sorted &= t->part[end - 1].class <= t->part[end].class;
    if( sorted ) continue;
    cap = t->cap_part; /* the scratch is behind the parts */
    if( ner_grow((void **)&t->part, &t->cap_part, n + (end - i), sizeof *t->part) ) {
      t->cap_part = cap;
      return ner_fail_nomem(err);
    }
    normal_sort_run(t->part + i, end - i, t->part + n);
  }
  return NER_OK;
}

/* Composes parts in place; returns how many are left. Every part either becomes one with the last
** starter before it, if no part of the same or a higher class stands between, or stays. */
static size_t normal_compose(struct normal_part *part, size_t n) {
  size_t out = 0, starter = SIZE_MAX; /* index in the result of the last starter */
  int last_class = -1;                /* of what stands behind it; -1: nothing does */
  for( size_t i = 0; i < n; i++ ) {
    struct normal_part p = part[i];
    int32_t composed = -1;
    if( starter != SIZE_MAX && (last_class < 0 || last_class < p.class) )
      composed = ner_char_compose(part[starter].cp, p.cp);
    if( composed >= 0 ) {
      part[starter].cp = composed;
      part[starter].change += p.change - 1;
      continue;
    }
    if( p.class == 0 ) {
      starter = out;
      last_class = -1;
    } else if( starter != SIZE_MAX ) {
      last_class = p.class;
    }
    part[out++] = p;
  }
  return out;
}

/* Parts become the text; origins are handed out. */
static int normal_finish_form(struct ner_normalized *t, size_t n, struct ner_err *err) {
  size_t read = 0; /* code points of the old text */
  int rc = normal_other(t, n, err);
  if( rc ) return rc;
  for( size_t i = 0; i < n; i++ ) {
    const struct normal_part *p = &t->part[i];
    size_t at = p->change > 0 ? read - (read > 0) : read;
    t->other_cp[i] = p->cp;
    t->other_from[i] = at < t->n ? t->from[at] : t->from[t->n - 1];
    if( p->change <= 0 ) read += 1 + (size_t)-p->change;
  }
  normal_swap(t, n);
  return NER_OK;
}

static int normal_form(struct ner_normalized *t, bool compatibility, bool compose,
                       struct ner_err *err) {
  size_t n;
  int rc = normal_decompose(t, compatibility, &n, err);
  if( rc || (rc = normal_sort(t, n, err)) ) return rc;
  if( compose ) n = normal_compose(t->part, n);
  return normal_finish_form(t, n, err);
}

/* ---- together ---- */

static bool normal_is_ascii(const struct ner_normalized *t) {
  for( size_t i = 0; i < t->n; i++ )
    if( t->cp[i] >= 0x80 ) return false;
  return true;
}

static int normal_bert(struct ner_normalized *t, const struct ner_text_rules *rules,
                       struct ner_err *err) {
  int rc;
  if( rules->clean_text ) normal_clean(t);
  if( rules->split_cjk && (rc = normal_split_cjk(t, err)) ) return rc;
  if( rules->strip_accents && !normal_is_ascii(t) ) {
    if( (rc = normal_form(t, false, false, err)) ) return rc;
    normal_delete(t, NER_CHAR_MARK);
  }
  return rules->lowercase ? normal_lowercase(t, err) : NER_OK;
}

static int normal_run_step(struct ner_normalized *t, const struct ner_normalizer_step *step,
                           struct ner_err *err) {
  const bool compatibility = step->kind == NER_NORMALIZER_NFKC || step->kind == NER_NORMALIZER_NFKD;
  switch( step->kind ) {
  case NER_NORMALIZER_BERT: return normal_bert(t, &step->bert, err);
  case NER_NORMALIZER_NFC:
  case NER_NORMALIZER_NFKC:
    return normal_is_ascii(t) ? NER_OK : normal_form(t, compatibility, true, err);
  case NER_NORMALIZER_NFD:
  case NER_NORMALIZER_NFKD:
    return normal_is_ascii(t) ? NER_OK : normal_form(t, compatibility, false, err);
  case NER_NORMALIZER_LOWERCASE: return normal_lowercase(t, err);
  case NER_NORMALIZER_STRIP_ACCENTS: normal_delete(t, NER_CHAR_ACCENT); return NER_OK;
  case NER_NORMALIZER_STRIP: normal_strip(t, step->left, step->right); return NER_OK;
  case NER_NORMALIZER_REPLACE: return normal_replace(t, step, err);
  }
  return NER_OK;
}

/* Fills cp, from and input_at with the input. */
static int normal_read(struct ner_normalized *t, const char *bytes, uint32_t n_bytes) {
  uint32_t at = 0, n = 0;
  if( normal_grow(&t->cp, &t->from, &t->cap, n_bytes) ||
      ner_grow((void **)&t->input_at, &t->cap_input, (size_t)n_bytes + 1, sizeof *t->input_at) )
    return NER_NOMEM;
  for( ; at < n_bytes; n++ ) {
    t->input_at[n] = at;
    t->from[n] = n;
    t->cp[n] = ner_utf8_next((const unsigned char *)bytes, n_bytes, &at);
  }
  t->input_at[n] = n_bytes;
  t->n = t->n_input = n;
  return NER_OK;
}

static int normal_write(struct ner_normalized *t, struct ner_err *err) {
  char *bytes;
  if( t->n > UINT32_MAX / NER_UTF8_MAX )
    return ner_fail(err, NER_ERROR, "a text of %zu normalised characters is too long; split it",
                    t->n);
  if( ner_grow((void **)&t->bytes, &t->cap_bytes, t->n * NER_UTF8_MAX, 1) ||
      ner_grow((void **)&t->at, &t->cap_at, t->n + 1, sizeof *t->at) )
    return ner_fail_nomem(err);
  bytes = t->bytes;
  for( size_t i = 0; i < t->n; i++ ) {
    t->at[i] = (uint32_t)(bytes - t->bytes);
    bytes += ner_utf8_put(bytes, t->cp[i]);
  }
  t->n_bytes = t->at[t->n] = (uint32_t)(bytes - t->bytes);
  return NER_OK;
}

int ner_normalize(const struct ner_normalizer *rules, const char *bytes, uint32_t n_bytes,
                  struct ner_normalized *out, struct ner_err *err) {
  int rc = NER_OK;
  if( normal_read(out, bytes, n_bytes) ) return ner_fail_nomem(err);
  for( size_t i = 0; i < rules->n && rc == NER_OK && out->n > 0; i++ )
    rc = normal_run_step(out, &rules->step[i], err);
  return rc ? rc : normal_write(out, err);
}
