/*
** labels.h - a model that is nothing but its labels, for tests of what works on labels alone.
** Include after cmocka.h.
*/
#ifndef NER_TEST_LABELS_H
#define NER_TEST_LABELS_H

#include <string.h>
#include "model/internal.h"

/* labels: NULL-terminated */
static void open_labels(struct ner_model *model, const char *const *labels) {
  struct ner_err err = {0};
  int64_t n = 0;
  memset(model, 0, sizeof *model);
  while( labels[n] ) n++;
  assert_int_equal(ner_labels_new(model, n, "test", &err), NER_OK);
  for( int64_t i = 0; i < n; i++ )
    assert_int_equal(ner_labels_set(model, i, labels[i], strlen(labels[i]), "test", &err), NER_OK);
  assert_int_equal(ner_labels_finish(model, "test", &err), NER_OK);
}

static void close_labels(struct ner_model *model) {
  for( int32_t i = 0; i < model->config.n_labels; i++ ) NER_FREE(model->label[i].name);
  NER_FREE(model->label);
  NER_FREE(model->labels_json);
}

#endif
