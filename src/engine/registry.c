/*
** registry.c - the models of this process; see registry.h.
**
** A plain array under one lock: a process holds a handful of models, and the
** lock is taken for no longer than a look through them.
**
** Two names need no ner_load() and are opened when first asked for: "bundled",
** and "NER_MODEL" for the model that variable points at. A second lock keeps
** several threads that ask at once from opening the same model several times;
** only those that would have to open one themselves ever wait on it.
*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/registry.h"
#include "model/open.h"

#define NAME_MAX_BYTES 64
#define BUNDLED        "bundled"
#define ENVIRONMENT    "NER_MODEL" /* the variable, and its model's name */

struct entry {
  char name[NAME_MAX_BYTES + 1];
  struct ner_model *model; /* holds a reference */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t opening_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* Guarded by registry_lock. */
static struct entry *entries;
static size_t n_entries, cap_entries;
static char chosen_default[NAME_MAX_BYTES + 1]; /* by ner_default(); "" while none is */

/* fork() while another thread holds a lock would leave it locked in the child
** for ever. The registry's is free within microseconds, so fork waits for it;
** the other may be held for seconds and guards no data: the child starts anew. */
static void before_fork(void) {
  pthread_mutex_lock(&registry_lock);
}
static void after_fork_parent(void) {
  pthread_mutex_unlock(&registry_lock);
}
static void after_fork_child(void) {
  pthread_mutex_unlock(&registry_lock);
  pthread_mutex_init(&opening_lock, NULL);
}
static void mind_forks(void) {
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void lock(void) {
  pthread_once(&fork_once, mind_forks);
  pthread_mutex_lock(&registry_lock);
}
static void unlock(void) {
  pthread_mutex_unlock(&registry_lock);
}

/* Path of the model the environment names; NULL when it names none. */
static const char *environment_path(void) {
  const char *path = getenv(ENVIRONMENT);
  return path && *path ? path : NULL;
}

/* The default's name. With the lock held. */
static const char *default_name(void) {
  if( *chosen_default ) return chosen_default;
  return environment_path() ? ENVIRONMENT : BUNDLED;
}

static bool opens_itself(const char *name) {
  return !strcmp(name, BUNDLED) || (!strcmp(name, ENVIRONMENT) && environment_path());
}

/* With the lock held. */
static struct entry *find(const char *name) {
  for( size_t i = 0; i < n_entries; i++ )
    if( !strcmp(entries[i].name, name) ) return &entries[i];
  return NULL;
}

/* A reference to the model of that name, or NULL. */
static struct ner_model *find_ref(const char *name) {
  struct entry *entry;
  struct ner_model *model;
  lock();
  entry = find(name);
  model = entry ? ner_model_ref(entry->model) : NULL;
  unlock();
  return model;
}

static int check_name(const char *name, struct ner_err *err) {
  size_t n = strlen(name);
  bool good = n >= 1 && n <= NAME_MAX_BYTES;
  for( size_t i = 0; good && i < n; i++ ) {
    char c = name[i];
    good = ner_ascii_alnum(c) || c == '.' || c == '_' || c == '-';
  }
  if( good ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "'%.80s' cannot be a model's name; use 1 to %d letters, digits, '.', '_', '-'",
                  name, NAME_MAX_BYTES);
}

static int fail_unknown(const char *name, struct ner_err *err) {
  char known[300] = BUNDLED;
  lock();
  for( size_t i = 0; i < n_entries; i++ ) {
    size_t used = strlen(known);
    if( strcmp(entries[i].name, BUNDLED) )
      ner_format(known + used, sizeof known - used, ", %s", entries[i].name);
  }
  unlock();
  return ner_fail(err, NER_ERROR,
                  "no model is called '%.80s'; there are: %s (add one with ner_load(name, path))",
                  name, known);
}

/* Puts a model under a name; takes over the caller's reference to it, also when
** it fails. */
static int put(const char *name, struct ner_model *model, struct ner_err *err) {
  struct ner_model *old = model; /* what is to be released at the end */
  struct entry *entry;
  int rc = NER_OK;
  lock();
  entry = find(name);
  if( entry ) {
    old = entry->model;
    entry->model = model;
  } else {
    rc = ner_grow((void **)&entries, &cap_entries, n_entries + 1, sizeof *entries);
    if( rc == NER_OK ) {
      entry = &entries[n_entries++];
      snprintf(entry->name, sizeof entry->name, "%s", name);
      entry->model = model;
      old = NULL;
    }
  }
  unlock();
  ner_model_unref(old);
  return rc == NER_OK ? NER_OK : ner_fail_nomem(err);
}

/* Opens "bundled" or "NER_MODEL", unless another thread has just done so. */
static int open_itself(const char *name, struct ner_model **out, struct ner_err *err) {
  const char *path = environment_path();
  struct ner_model *model;
  int rc = NER_OK;
  pthread_mutex_lock(&opening_lock);
  model = find_ref(name);
  if( !model ) {
    if( !strcmp(name, BUNDLED) ) {
      rc = ner_model_open_bundled(&model, err);
    } else if( path ) {
      rc = ner_model_open(path, NER_PRECISION_FILE, &model, err);
      if( rc != NER_OK ) ner_fail_prefix(err, "the environment variable " ENVIRONMENT ": ");
    } else {
      rc = fail_unknown(name, err); /* the variable vanished meanwhile */
    }
    if( rc == NER_OK ) rc = put(name, ner_model_ref(model), err);
  }
  pthread_mutex_unlock(&opening_lock);
  if( rc != NER_OK ) {
    ner_model_unref(model);
    return rc;
  }
  *out = model;
  return NER_OK;
}

int ner_registry_get(const char *name, struct ner_model **out, struct ner_err *err) {
  char wanted[NAME_MAX_BYTES + 1];
  *out = NULL;
  if( name ) {
    int rc = check_name(name, NULL);
    if( rc != NER_OK ) return fail_unknown(name, err);
    snprintf(wanted, sizeof wanted, "%s", name);
  } else {
    lock();
    snprintf(wanted, sizeof wanted, "%s", default_name());
    unlock();
  }
  *out = find_ref(wanted);
  if( *out ) return NER_OK;
  if( opens_itself(wanted) ) return open_itself(wanted, out, err);
  return fail_unknown(wanted, err);
}

int ner_registry_load(const char *name, const char *path, enum ner_precision precision,
                      const struct ner_cancel *cancel, struct ner_err *err) {
  struct ner_model *model = NULL;
  int rc = check_name(name, err);
  if( rc != NER_OK ) return rc;
  if( !strcmp(name, BUNDLED) || !strcmp(name, ENVIRONMENT) )
    return ner_fail(err, NER_ERROR, "the name '%s' is taken; load the model under another one",
                    name);
  rc = ner_model_open_cancellable(path, precision, cancel, &model, err);
  if( rc != NER_OK ) return rc;
  return put(name, model, err);
}

int ner_registry_unload(const char *name, struct ner_err *err) {
  struct ner_model *model = NULL;
  struct entry *entry;
  bool is_default;
  lock();
  entry = find(name);
  is_default = entry && !strcmp(name, chosen_default);
  if( entry && !is_default ) {
    model = entry->model;
    memmove(entry, entry + 1, (size_t)(entries + n_entries - (entry + 1)) * sizeof *entry);
    n_entries--;
  }
  unlock();
  if( is_default )
    return ner_fail(err, NER_ERROR,
                    "'%s' is the default model; choose another with ner_default(name) first", name);
  if( !model ) {
    /* Models that open themselves may simply not have been opened yet. */
    if( opens_itself(name) ) return NER_OK;
    return fail_unknown(name, err);
  }
  ner_model_unref(model);
  return NER_OK;
}

int ner_registry_set_default(const char *name, struct ner_err *err) {
  struct ner_model *model = NULL;
  bool found;
  /* Opens what opens itself, so that a default that cannot be had fails here. */
  int rc = ner_registry_get(name, &model, err);
  if( rc != NER_OK ) return rc;
  lock();
  found = find(name) != NULL; /* it may have been unloaded in between */
  if( found ) snprintf(chosen_default, sizeof chosen_default, "%s", name);
  unlock();
  ner_model_unref(model);
  return found ? NER_OK : fail_unknown(name, err);
}

int ner_registry_list(struct ner_registry_entry **out, size_t *n, struct ner_err *err) {
  struct ner_registry_entry *list;
  const char *name;
  lock();
  name = default_name();
  list = ner_calloc(n_entries, sizeof *list);
  *n = list ? n_entries : 0;
  for( size_t i = 0; i < *n; i++ ) {
    snprintf(list[i].name, sizeof list[i].name, "%s", entries[i].name);
    list[i].is_default = !strcmp(entries[i].name, name);
    list[i].model = ner_model_ref(entries[i].model);
  }
  unlock();
  *out = list;
  return list ? NER_OK : ner_fail_nomem(err);
}

void ner_registry_list_free(struct ner_registry_entry *list, size_t n) {
  for( size_t i = 0; i < n; i++ ) ner_model_unref(list[i].model);
  NER_FREE(list);
}
