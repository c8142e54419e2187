/*
** labels.c - the labels of a model, taken apart once; see model/internal.h.
**
** The scheme is found in the names of all labels together:
**
**   BIO     B-PER I-PER O             an entity begins with B- and goes on with I-
**   BIOES   B-PER I-PER E-PER S-PER   ... ends with E-; S- is one of a single unit (also IOBES)
**   BILOU   B-PER I-PER L-PER U-PER   the same with other letters
**   BMES    B-PER M-PER E-PER S-PER   the same with other letters; BMEWO has W for S
**   IO      I-PER O                   no label begins an entity
**   none    PER LOC O                 no letters at all
**
** with "(suffix)" where the letters stand behind the type, PER-B. A scheme of four letters is
** believed only if all labels with a '-' keep to it and some type has both a begin and an end.
*/
#include "model/internal.h"

#include <stdio.h>
#include <string.h>

int ner_labels_new(struct ner_model *model, int64_t n, const char *what, struct ner_err *err) {
  if( n < 1 || n > NER_MAX_LABELS )
    return ner_fail(err, NER_ERROR, "%s: %lld labels; there must be 1 to %d", what, (long long)n,
                    NER_MAX_LABELS);
  model->label = ner_calloc((size_t)n, sizeof *model->label);
  if( !model->label ) return ner_fail_nomem(err);
  model->config.n_labels = (int32_t)n;
  return NER_OK;
}

int ner_labels_set(struct ner_model *model, int64_t i, const char *name, size_t n_bytes,
                   const char *what, struct ner_err *err) {
  int32_t n = model->config.n_labels;
  if( i < 0 || i >= n )
    return ner_fail(err, NER_ERROR,
                    "%s: label number %lld, but %d labels must be numbered 0 to %d" NER_GET_ANEW,
                    what, (long long)i, n, n - 1);
  if( n_bytes > NER_MAX_LABEL_BYTES )
    return ner_fail(err, NER_ERROR, "%s: label %lld has a name of %zu bytes; it may have %d", what,
                    (long long)i, n_bytes, NER_MAX_LABEL_BYTES);
  if( model->label[i].name )
    return ner_fail(err, NER_ERROR, "%s: label %lld is named twice" NER_GET_ANEW, what,
                    (long long)i);
  /* The name, and room behind it for the type. */
  model->label[i].name = ner_calloc(2, n_bytes + 1);
  if( !model->label[i].name ) return ner_fail_nomem(err);
  memcpy(model->label[i].name, name, n_bytes);
  return NER_OK;
}

/* transformers, TokenClassificationPipeline: get_tag, where no B- or I- counts as I-, and
** group_sub_entities, which names the group. */
static void label_take_apart(struct ner_label *label) {
  const char *dash = strchr(label->name, '-');
  bool marked = (label->name[0] == 'B' || label->name[0] == 'I') && label->name[1] == '-';
  label->prefix = marked ? label->name[0] : 'I';
  label->tag = label->name + (marked ? 2 : 0);
  label->type = dash ? dash + 1 : label->name;
  label->is_outside = strcmp(label->type, "O") == 0;
}

/* ---- the scheme ---- */

/* letters: of begin, inside, end and single, in the order of enum ner_label_role. */
static const struct label_scheme {
  const char *letters, *name, *suffix_name;
} label_schemes[] = {{"BIES", "BIOES", "BIOES (suffix)"},
                     {"BILU", "BILOU", "BILOU (suffix)"},
                     {"BMES", "BMES", "BMES (suffix)"},
                     {"BMEW", "BMEWO", "BMEWO (suffix)"},
                     {"BI", "BIO", "BIO (suffix)"}};
#define N_LABEL_SCHEMES (sizeof label_schemes / sizeof *label_schemes)

/* The label's role under these letters, and its type; FREE: it does not keep to them. */
static enum ner_label_role label_parse(const char *name, const char *letters, bool suffix,
                                       const char **type, size_t *n_type) {
  size_t n = strlen(name);
  const char *letter = NULL;
  *type = name;
  *n_type = n;
  if( n < 3 || name[suffix ? n - 2 : 1] != '-' ) return NER_ROLE_FREE;
  letter = strchr(letters, name[suffix ? n - 1 : 0]);
  if( !letter || *letter == 0 ) return NER_ROLE_FREE;
  *type = name + (suffix ? 0 : 2);
  *n_type = n - 2;
  return NER_ROLE_BEGIN + (enum ner_label_role)(letter - letters);
}

/* Whether label i has this role under the letters, and its type is [type, n_type). */
static bool label_has(const struct ner_model *model, int32_t i, const char *letters, bool suffix,
                      enum ner_label_role role, const char *type, size_t n_type) {
  const char *own;
  size_t n_own;
  return label_parse(model->label[i].name, letters, suffix, &own, &n_own) == role &&
         n_own == n_type && memcmp(own, type, n_own) == 0;
}

/* Whether all labels with a '-' keep to the scheme and some type begins and ends (or, where it has
** no end, goes on). */
static bool labels_fit(const struct ner_model *model, const char *letters, bool suffix) {
  const enum ner_label_role closing = letters[2] ? NER_ROLE_END : NER_ROLE_INSIDE;
  const int32_t n = model->config.n_labels;
  bool whole = false;
  for( int32_t i = 0; i < n; i++ ) {
    const char *name = model->label[i].name, *type;
    size_t n_type;
    enum ner_label_role role = label_parse(name, letters, suffix, &type, &n_type);
    if( role == NER_ROLE_FREE && strchr(name, '-') ) return false;
    for( int32_t j = 0; j < n && role == NER_ROLE_BEGIN && !whole; j++ )
      whole = label_has(model, j, letters, suffix, closing, type, n_type);
  }
  return whole;
}

/* What is no scheme of its own is read as BIO with prefixes, label by label: an I- is bound to a B-
** of its tag where there is one; all else is free. */
static void label_read_as_bio(struct ner_model *model, struct ner_label *label) {
  bool marked = label->tag != label->name;
  label->scheme_type = label->type;
  label->scheme_type_id = label->tag_id;
  label->role = marked && label->prefix == 'B' ? NER_ROLE_BEGIN : NER_ROLE_FREE;
  if( !marked || label->prefix != 'I' ) return;
  for( int32_t i = 0; i < model->config.n_labels; i++ )
    if( model->label[i].prefix == 'B' && model->label[i].tag_id == label->tag_id )
      label->role = NER_ROLE_INSIDE;
}

static void labels_read_as_bio(struct ner_model *model) {
  bool begins = false, marked = false;
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    struct ner_label *label = &model->label[i];
    label_read_as_bio(model, label);
    begins = begins || label->prefix == 'B';
    marked = marked || label->tag != label->name;
  }
  model->scheme = begins ? "BIO" : marked ? "IO" : "none";
}

static void labels_read_by(struct ner_model *model, const struct label_scheme *scheme,
                           bool suffix) {
  int32_t n_types = 0;
  model->scheme = suffix ? scheme->suffix_name : scheme->name;
  model->needs_strict = true;
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    struct ner_label *label = &model->label[i];
    char *room = label->name + strlen(label->name) + 1;
    const char *type;
    size_t n_type;
    label->role = label_parse(label->name, scheme->letters, suffix, &type, &n_type);
    memcpy(room, type, n_type);
    room[n_type] = 0;
    label->scheme_type = room;
    label->scheme_type_id = n_types;
    for( int32_t j = 0; j < i && label->scheme_type_id == n_types; j++ )
      if( strcmp(model->label[j].scheme_type, room) == 0 )
        label->scheme_type_id = model->label[j].scheme_type_id;
    if( label->scheme_type_id == n_types ) n_types++;
  }
}

static void labels_find_scheme(struct ner_model *model) {
  for( int suffix = 0; suffix <= 1; suffix++ )
    for( size_t i = 0; i < N_LABEL_SCHEMES; i++ ) {
      const struct label_scheme *scheme = &label_schemes[i];
      if( !suffix && !scheme->letters[2] ) continue; /* BIO: see below */
      if( !labels_fit(model, scheme->letters, suffix) ) continue;
      labels_read_by(model, scheme, suffix);
      return;
    }
  labels_read_as_bio(model);
}

/* What strict may put beside each label. */
static void labels_find_rules(struct ner_model *model) {
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    struct ner_label *label = &model->label[i];
    for( int32_t j = 0; j < model->config.n_labels; j++ ) {
      const struct ner_label *other = &model->label[j];
      if( other->scheme_type_id != label->scheme_type_id ) continue;
      if( other->role == NER_ROLE_BEGIN )
        label->is_bound |= label->role == NER_ROLE_INSIDE || label->role == NER_ROLE_END;
      if( other->role == NER_ROLE_END )
        label->is_open |= label->role == NER_ROLE_BEGIN || label->role == NER_ROLE_INSIDE;
    }
  }
}

/* ["O","B-PER",...] */
static char *labels_to_json(const struct ner_model *model) {
  size_t n = 3;
  char *text, *at;
  for( int32_t i = 0; i < model->config.n_labels; i++ )
    n += ner_json_quote(model->label[i].name, NULL) + 1;
  at = text = ner_alloc(n, 1);
  if( !text ) return NULL;
  *at++ = '[';
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    if( i ) *at++ = ',';
    at += ner_json_quote(model->label[i].name, at);
  }
  *at++ = ']';
  *at = 0;
  return text;
}

int ner_labels_finish(struct ner_model *model, const char *what, struct ner_err *err) {
  int32_t n = model->config.n_labels, n_tags = 0;
  for( int32_t i = 0; i < n; i++ ) {
    struct ner_label *label = &model->label[i];
    if( !label->name )
      return ner_fail(err, NER_ERROR, "%s: label %d of %d has no name" NER_GET_ANEW, what, i, n);
    label_take_apart(label);
    label->tag_id = n_tags;
    for( int32_t j = 0; j < i && label->tag_id == n_tags; j++ )
      if( strcmp(model->label[j].tag, label->tag) == 0 ) label->tag_id = model->label[j].tag_id;
    if( label->tag_id == n_tags ) n_tags++;
  }
  labels_find_scheme(model);
  labels_find_rules(model);
  model->labels_json = labels_to_json(model);
  return model->labels_json ? NER_OK : ner_fail_nomem(err);
}

int ner_labels_number(struct ner_model *model, int64_t n, const char *what, struct ner_err *err) {
  int rc = ner_labels_new(model, n, what, err);
  for( int32_t i = 0; i < n && rc == NER_OK; i++ ) {
    char name[24];
    int len = snprintf(name, sizeof name, "LABEL_%d", i);
    rc = ner_labels_set(model, i, name, (size_t)len, what, err);
  }
  return rc ? rc : ner_labels_finish(model, what, err);
}
