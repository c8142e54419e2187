/*
** registry.h - the models of this process, by name.
**
** Shared by all connections, guarded by one lock that is never held while a file
** is read or a model runs.
*/
#ifndef NER_REGISTRY_H
#define NER_REGISTRY_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* The model called `name`, or the default one for NULL; one reference more. The default is
** opened on first use: what NER_MODEL names, or the bundled model ("bundled" is
** always a name for it). Opening it, and waiting while another thread does, ends with
** NER_INTERRUPT once `cancel` (NULL: never) says so. An unknown name is an error listing the
** known ones. */
int ner_registry_get(const char *name, const struct ner_cancel *cancel, struct ner_model **out,
                     struct ner_err *err);
/* Opens and registers, replacing a model of that name (running queries keep the
** old one), unless `cancel` says to end. A name is 1..64 of letters, digits, '.', '_', '-'. */
int ner_registry_load(const char *name, const char *path, enum ner_precision precision,
                      const struct ner_cancel *cancel, struct ner_err *err);
int ner_registry_unload(const char *name, struct ner_err *err);
int ner_registry_set_default(const char *name, const struct ner_cancel *cancel,
                             struct ner_err *err);

#define NER_MODEL_NAME_BYTES 65 /* NUL included */

/* The default model's name, whether or not it is open or can be opened. Returns the path that
** NER_MODEL gives it, NULL when the default is another. */
const char *ner_registry_default(char name[NER_MODEL_NAME_BYTES]);

struct ner_registry_entry {
  char name[NER_MODEL_NAME_BYTES];
  bool is_default;
  struct ner_model *model; /* holds a reference */
};
/* A snapshot, *out to be freed with ner_registry_list_free. */
int ner_registry_list(struct ner_registry_entry **out, size_t *n, struct ner_err *err);
void ner_registry_list_free(struct ner_registry_entry *list, size_t n);

#pragma GCC visibility pop
#endif
