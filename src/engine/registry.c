/*
** registry.c - the models of this process; see registry.h.
**
** A plain array under one lock: a process holds a handful of models, and the
** lock is taken for no longer than a look through them.
**
** Two names need no ner_load() and are opened when first asked for: "bundled",
** and "NER_MODEL" for the model that variable points at. One thread opens at a time, so that
** several that ask at once do not open the same model several times. The others poll, rather
** than sleep on a condition, because each must go on asking whether to cancel.
*/
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* Guarded by registry_lock. */
static struct entry *entries;
static size_t n_entries, cap_entries;
static char chosen_default[NAME_MAX_BYTES + 1]; /* by ner_default(); "" while none is */
static bool is_opening; /* a thread is opening "bundled" or "NER_MODEL" */

/* fork() while another thread holds the lock would leave it locked in the child for ever. It is
** free within microseconds, so fork waits for it. A thread that was opening a model does not
** exist in the child; should it be the forking thread itself, two threads of the child may open
** the model at once, which costs time and nothing else. */
static void before_fork(void) {
  pthread_mutex_lock(&registry_lock);
}
static void after_fork_parent(void) {
  pthread_mutex_unlock(&registry_lock);
}
static void after_fork_child(void) {
  is_opening = false;
  pthread_mutex_unlock(&registry_lock);
}
static void watch_forks(void) {
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void lock(void) {
  pthread_once(&fork_once, watch_forks);
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
  char known[300] = "";
  size_t used = 0;
  lock();
  for( size_t i = 0; i < n_entries; i++ ) {
    bool fits = used + sizeof entries[i].name + sizeof ", …, " <= sizeof known;
    if( !strcmp(entries[i].name, BUNDLED) ) continue;
    ner_format(known + used, sizeof known - used, "%s, ", fits ? entries[i].name : "…");
    used += strlen(known + used);
    if( !fits ) break;
  }
  unlock();
  return ner_fail(err, NER_ERROR,
                  "no model is called '%.80s'; there are: %s%s (add one with ner_load(name, path))",
                  name, known, BUNDLED);
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

/* How long a thread sleeps between two looks whether another has opened the model: small beside
** opening one (milliseconds to seconds). */
#define POLL_MS 2

/* Waits for this thread's turn to open a model. *out: another thread has opened it meanwhile, and
** there is no turn to end. */
static int begin_opening(const char *name, const struct ner_cancel *cancel, struct ner_model **out,
                         struct ner_err *err) {
  static const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
  for( ;; ) {
    struct entry *entry;
    bool is_mine = false;
    lock();
    entry = find(name);
    if( entry )
      *out = ner_model_ref(entry->model);
    else if( !is_opening )
      is_opening = is_mine = true;
    unlock();
    if( entry || is_mine ) return NER_OK;
    if( ner_cancelled(cancel) ) return ner_fail_interrupted(err);
    nanosleep(&pause, NULL);
  }
}

static void end_opening(void) {
  lock();
  is_opening = false;
  unlock();
}

/* Opens "bundled" or "NER_MODEL", unless another thread has just done so. */
static int open_itself(const char *name, const struct ner_cancel *cancel, struct ner_model **out,
                       struct ner_err *err) {
  const char *path = environment_path();
  struct ner_model *model = NULL;
  int rc = begin_opening(name, cancel, out, err);
  if( rc != NER_OK || *out ) return rc;
  if( !strcmp(name, BUNDLED) ) {
    rc = ner_model_open_bundled(&model, err);
  } else if( path ) {
    rc = ner_model_open_cancellable(path, NER_PRECISION_FILE, cancel, &model, err);
    if( rc == NER_ERROR ) ner_fail_prefix(err, "the environment variable " ENVIRONMENT ": ");
  } else {
    rc = fail_unknown(name, err); /* the variable vanished meanwhile */
  }
  if( rc == NER_OK ) rc = put(name, ner_model_ref(model), err);
  end_opening();
  if( rc != NER_OK ) {
    ner_model_unref(model);
    return rc;
  }
  *out = model;
  return NER_OK;
}

int ner_registry_get(const char *name, const struct ner_cancel *cancel, struct ner_model **out,
                     struct ner_err *err) {
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
  if( opens_itself(wanted) ) return open_itself(wanted, cancel, out, err);
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

int ner_registry_set_default(const char *name, const struct ner_cancel *cancel,
                             struct ner_err *err) {
  struct ner_model *model = NULL;
  bool found;
  /* Opens what opens itself, so that a default that cannot be had fails here. */
  int rc = ner_registry_get(name, cancel, &model, err);
  if( rc != NER_OK ) return rc;
  lock();
  found = find(name) != NULL; /* it may have been unloaded in between */
  if( found ) snprintf(chosen_default, sizeof chosen_default, "%s", name);
  unlock();
  ner_model_unref(model);
  return found ? NER_OK : fail_unknown(name, err);
}

const char *ner_registry_default(char name[NER_MODEL_NAME_BYTES]) {
  lock();
  snprintf(name, NER_MODEL_NAME_BYTES, "%s", default_name());
  unlock();
  return strcmp(name, ENVIRONMENT) ? NULL : environment_path();
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
