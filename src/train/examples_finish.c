/*
** examples_finish.c - from tags to labels, which examples are for validation, and what is said
** about odd rows; see examples.h.
*/
#include "train/examples.h"

#include <stdio.h>
#include <string.h>
#include "train/random.h"

/* ---- repeated texts ---- */

/* By text, then in the order of the rows. */
static int finish_by_text(const void *a, const void *b) {
  const struct ner_train_example *x = *(const struct ner_train_example *const *)a;
  const struct ner_train_example *y = *(const struct ner_train_example *const *)b;
  if( x->text != y->text ) return x->text < y->text ? -1 : 1;
  return x < y ? -1 : x > y;
}

/* Of a text with several labellings the first is kept; n 0 says "not kept". */
static int finish_repeated(struct ner_examples *ex) {
  const struct ner_train_example **sorted = ner_alloc(ex->n_examples, sizeof *sorted);
  size_t kept = 0;
  int64_t row = ex->row;
  if( !sorted ) return NER_NOMEM;
  for( size_t i = 0; i < ex->n_examples; i++ ) sorted[i] = &ex->example[i];
  qsort(sorted, ex->n_examples, sizeof *sorted, finish_by_text);
  for( size_t begin = 0, i; begin < ex->n_examples; begin = i )
    for( i = begin + 1; i < ex->n_examples && sorted[i]->text == sorted[begin]->text; i++ )
      if( sorted[i]->labels != sorted[begin]->labels && sorted[i]->valid == sorted[begin]->valid )
        ex->example[sorted[i] - ex->example].n = 0;
  NER_FREE(sorted);
  for( size_t i = 0; i < ex->n_examples; i++ ) {
    if( ex->example[i].n == 0 ) {
      ex->row = ex->example[i].row;
      ner_examples_odd(ex, NER_ODD_REPEATED);
    } else {
      ex->example[kept++] = ex->example[i];
    }
  }
  ex->row = row;
  ex->n_examples = kept;
  return NER_OK;
}

/* ---- validation ---- */

/* A text's place in the lottery. */
static uint64_t finish_lot(const struct ner_train_example *e, uint64_t seed) {
  return ner_train_mix(e->text ^ ner_train_mix(seed));
}

static int finish_by_number(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* The share of the texts with the smallest lots, at least one of two, never all. */
static int finish_split(struct ner_examples *ex, double share, uint64_t seed) {
  uint64_t *lot = ner_alloc(ex->n_examples, sizeof *lot), limit;
  size_t texts = 0, n;
  if( !lot ) return NER_NOMEM;
  for( size_t i = 0; i < ex->n_examples; i++ ) lot[i] = finish_lot(&ex->example[i], seed);
  qsort(lot, ex->n_examples, sizeof *lot, finish_by_number);
  for( size_t i = 0; i < ex->n_examples; i++ )
    if( texts == 0 || lot[texts - 1] != lot[i] ) lot[texts++] = lot[i];
  n = (size_t)(share * (double)texts + 0.5);
  if( n == 0 && share > 0 ) n = 1;
  if( n >= texts ) n = texts - 1;
  limit = n > 0 ? lot[n - 1] : 0;
  for( size_t i = 0; n > 0 && i < ex->n_examples; i++ )
    ex->example[i].valid = finish_lot(&ex->example[i], seed) <= limit;
  NER_FREE(lot);
  return NER_OK;
}

/* ---- labels ---- */

static int finish_add_label(struct ner_examples *ex, const char *prefix, const char *type,
                            int32_t base) {
  const size_t n = strlen(prefix) + strlen(type) + 1;
  char *name = ner_alloc(n, 1);
  if( !name ) return NER_NOMEM;
  snprintf(name, n, "%s%s", prefix, type);
  for( int32_t i = 0; base < 0 && i < ex->model->config.n_labels; i++ )
    if( ex->model->weights.classifier.packed && strcmp(ex->model->label[i].name, name) == 0 )
      base = i;
  ex->label[ex->n_labels] = name;
  ex->base_label[ex->n_labels++] = base;
  return NER_OK;
}

/* The label of a type at an entity's beginning or further on; -1: there is none. */
static int32_t finish_find(const struct ner_examples *ex, const char *type, bool begins) {
  int32_t plain = -1;
  for( size_t i = 0; i < ex->n_labels; i++ ) {
    const char *name = ex->label[i];
    const bool marked = (name[0] == 'B' || name[0] == 'I') && name[1] == '-';
    if( strcmp(marked ? name + 2 : name, type) != 0 ) continue;
    if( marked && (name[0] == 'B') == begins ) return (int32_t)i;
    plain = (int32_t)i; /* a base that does not mark beginnings, or inner words */
  }
  return plain;
}

static bool finish_base_knows(const struct ner_examples *ex, const char *type) {
  for( int32_t i = 0; i < ex->model->config.n_labels; i++ )
    if( ex->model->label && strcmp(ex->model->label[i].type, type) == 0 ) return true;
  return false;
}

/* Types of the base first, in its order, then the others as they came. */
static int finish_types(struct ner_examples *ex) {
  int rc = NER_OK;
  for( int32_t i = 0; ex->model->label && i < ex->model->config.n_labels; i++ ) {
    const struct ner_label *label = &ex->model->label[i];
    bool wanted = false;
    for( size_t t = 0; t < ex->n_types; t++ ) wanted |= strcmp(ex->type[t], label->type) == 0;
    if( !wanted || label->is_outside || finish_find(ex, label->type, true) >= 0 ) continue;
    rc = finish_add_label(ex, "B-", label->type, -1);
    if( rc == NER_OK ) rc = finish_add_label(ex, "I-", label->type, -1);
    if( rc ) return rc;
  }
  for( size_t t = 0; t < ex->n_types && rc == NER_OK; t++ )
    if( !finish_base_knows(ex, ex->type[t]) ) {
      rc = finish_add_label(ex, "B-", ex->type[t], -1);
      if( rc == NER_OK ) rc = finish_add_label(ex, "I-", ex->type[t], -1);
    }
  return rc;
}

static int finish_labels(struct ner_examples *ex, struct ner_err *err) {
  const int32_t n_base = ex->model->config.n_labels;
  const size_t most = 1 + 2 * ex->n_types + (size_t)n_base;
  int rc = NER_OK;
  ex->label = ner_calloc(most, sizeof *ex->label);
  ex->base_label = ner_calloc(most, sizeof *ex->base_label);
  if( !ex->label || !ex->base_label ) return ner_fail_nomem(err);
  for( int32_t i = 0; ex->extend && i < n_base && rc == NER_OK; i++ )
    rc = finish_add_label(ex, "", ex->model->label[i].name, i);
  if( rc == NER_OK && finish_find(ex, "O", true) < 0 ) rc = finish_add_label(ex, "", "O", -1);
  if( rc == NER_OK ) rc = finish_types(ex);
  return rc ? ner_fail_nomem(err) : NER_OK;
}

/* Tags become labels. */
static void finish_targets(struct ner_examples *ex) {
  const int32_t outside = finish_find(ex, "O", true);
  for( size_t i = 0; i < ex->n_tok; i++ ) {
    const int32_t tag = ex->target[i];
    if( tag > 0 )
      ex->target[i] = finish_find(ex, ex->type[(tag - 1) / 2], tag % 2 == 1);
    else if( tag == 0 )
      ex->target[i] = outside;
  }
}

int ner_examples_finish(struct ner_examples *ex, bool extend, double valid_share, uint64_t seed,
                        struct ner_err *err) {
  size_t n_train = 0;
  int rc;
  ex->extend = extend;
  if( extend && !ex->model->weights.classifier.packed )
    return ner_fail(
        err, NER_ERROR,
        "ner_train(): labels is 'extend', but the base %s is an encoder without labels; "
        "leave labels out",
        ex->model->path);
  if( ex->n_examples == 0 || ex->n_types == 0 ) {
    char *note = ner_examples_note(ex);
    rc =
        note
            ? ner_fail(err, NER_ERROR,
                       "ner_train(): nothing to learn: of %lld rows, %zu texts could be used, with "
                       "%zu types of entities%s%s",
                       (long long)ex->row, ex->n_examples, ex->n_types, *note ? "; " : "", note)
            : ner_fail_nomem(err);
    NER_FREE(note);
    return rc;
  }
  if( finish_repeated(ex) ) return ner_fail_nomem(err);
  if( !ex->has_valid_rows && finish_split(ex, valid_share, seed) ) return ner_fail_nomem(err);
  for( size_t i = 0; i < ex->n_examples; i++ ) n_train += !ex->example[i].valid;
  if( n_train == 0 )
    return ner_fail(err, NER_ERROR, "ner_train(): no row is left to train on; look at the SELECT");
  if( (rc = finish_labels(ex, err)) ) return rc;
  finish_targets(ex);
  return extend ? ner_examples_rehearse(ex, finish_find(ex, "O", true), seed, err) : NER_OK;
}

/* ---- the note ---- */

char *ner_examples_note(const struct ner_examples *ex) {
  static const char *const what[NER_ODDITIES] = {
      [NER_ODD_BLOB] = "rows skipped with a BLOB",
      [NER_ODD_NULL] = "NULL rows skipped",
      [NER_ODD_JSON] = "rows skipped whose entities are not the JSON that is asked for",
      [NER_ODD_LENGTHS] = "rows skipped with other numbers of words and tags",
      [NER_ODD_NO_WORDS] = "texts without words skipped",
      [NER_ODD_OUTSIDE] = "spans skipped that leave their text",
      [NER_ODD_EMPTY] = "empty spans skipped",
      [NER_ODD_BLANK] = "spans without a word skipped",
      [NER_ODD_WIDENED] = "spans that cut a word widened to it",
      [NER_ODD_OVERLAP] = "spans skipped that overlap a longer one",
      [NER_ODD_CONFLICT] = "spans skipped that another one labels otherwise",
      [NER_ODD_TYPE] = "entities skipped without a usable label",
      [NER_ODD_CASE] = "labels in other upper and lower case taken as one",
      [NER_ODD_TAG] = "I- tags that continue nothing taken as B-",
      [NER_ODD_REPEATED] = "texts skipped that stood before with other entities",
  };
  const size_t size = NER_ODDITIES * 160;
  char *note = ner_alloc(size, 1);
  size_t n = 0;
  if( !note ) return NULL;
  note[0] = 0;
  for( int i = 0; i < NER_ODDITIES; i++ )
    if( ex->odd[i] > 0 )
      n += (size_t)snprintf(note + n, size - n, "%s%s: %lld (first: row %lld)", n ? "; " : "",
                            what[i], (long long)ex->odd[i], (long long)ex->first[i]);
  return note;
}
