/* labels.c - the labels of a model, taken apart once; see model/internal.h. */
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
  model->label[i].name = ner_strndup(name, n_bytes);
  return model->label[i].name ? NER_OK : ner_fail_nomem(err);
}

/* transformers, TokenClassificationPipeline: get_tag, where no B- or I- counts as I-, and
** group_sub_entities, which names the group. */
static void take_apart(struct ner_label *label) {
  const char *dash = strchr(label->name, '-');
  bool marked = (label->name[0] == 'B' || label->name[0] == 'I') && label->name[1] == '-';
  label->prefix = marked ? label->name[0] : 'I';
  label->tag = label->name + (marked ? 2 : 0);
  label->shown = dash ? dash + 1 : label->name;
  label->outside = strcmp(label->shown, "O") == 0;
}

/* ["O","B-PER",...] */
static char *labels_json(const struct ner_model *model) {
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
    take_apart(label);
    label->tag_id = n_tags;
    for( int32_t j = 0; j < i && label->tag_id == n_tags; j++ )
      if( strcmp(model->label[j].tag, label->tag) == 0 ) label->tag_id = model->label[j].tag_id;
    if( label->tag_id == n_tags ) n_tags++;
  }
  model->labels_json = labels_json(model);
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
