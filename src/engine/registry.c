/*
** registry.c - the models of this process; see registry.h.
**
** A plain array under one lock: a process holds a handful of models, and the
** lock is held for no longer than a search takes.
**
** Two names need no ner_load() and are opened when first asked for: "bundled",
** and "NER_MODEL" for the model that variable points at. One thread opens at a time, so that
** several that ask at once do not open the same model several times. The others poll, rather
** than sleep on a condition, because each must go on asking whether to cancel.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/os.h"
#include "engine/registry.h"
#include "model/open.h"

#define REGISTRY_NAME_BYTES  64
#define REGISTRY_BUNDLED     "bundled"
#define REGISTRY_ENVIRONMENT "NER_MODEL" /* the variable, and its model's name */

struct registry_entry {
  char name[REGISTRY_NAME_BYTES + 1];
  struct ner_model *model; /* holds a reference */
};

static struct ner_mutex registry_lock = NER_MUTEX_INIT;
static struct ner_once registry_fork_once = NER_ONCE_INIT;

/* Guarded by registry_lock. */
static struct registry_entry *registry_entries;
static size_t registry_n, registry_cap;
static char registry_default[REGISTRY_NAME_BYTES + 1]; /* by ner_default(); "" while none is */
static bool registry_is_opening; /* a thread is opening "bundled" or "NER_MODEL" */

/* fork() while another thread holds the lock would leave it locked in the child for ever. It is
** free within microseconds, so fork waits for it. A thread that was opening a model does not
** exist in the child; should it be the forking thread itself, two threads of the child may open
** the model at once, which costs time and nothing else. */
static void registry_before_fork(void) {
  ner_mutex_lock(&registry_lock);
}
static void registry_after_fork_parent(void) {
  ner_mutex_unlock(&registry_lock);
}
static void registry_after_fork_child(void) {
  registry_is_opening = false;
  ner_mutex_unlock(&registry_lock);
}
static void registry_watch_forks(void) {
  ner_on_fork(registry_before_fork, registry_after_fork_parent, registry_after_fork_child);
}

static void registry_enter(void) {
  ner_once_run(&registry_fork_once, registry_watch_forks);
  ner_mutex_lock(&registry_lock);
}
static void registry_leave(void) {
  ner_mutex_unlock(&registry_lock);
}

/* Path of the model the environment names; NULL when it names none. */
static const char *registry_environment_path(void) {
  const char *path = ner_environment(REGISTRY_ENVIRONMENT);
  return path && *path ? path : NULL;
}

/* The default's name. Lock held. */
static const char *registry_default_name(void) {
  if( *registry_default ) return registry_default;
  return registry_environment_path() ? REGISTRY_ENVIRONMENT : REGISTRY_BUNDLED;
}

static bool registry_opens_itself(const char *name) {
  return !strcmp(name, REGISTRY_BUNDLED) ||
         (!strcmp(name, REGISTRY_ENVIRONMENT) && registry_environment_path());
}

/* Lock held. */
static struct registry_entry *registry_find(const char *name) {
  for( size_t i = 0; i < registry_n; i++ )
    if( !strcmp(registry_entries[i].name, name) ) return &registry_entries[i];
  return NULL;
}

/* A reference to the model of that name, or NULL. */
static struct ner_model *registry_find_ref(const char *name) {
  struct registry_entry *entry;
  struct ner_model *model;
  registry_enter();
  entry = registry_find(name);
  model = entry ? ner_model_ref(entry->model) : NULL;
  registry_leave();
  return model;
}

static int registry_check_name(const char *name, struct ner_err *err) {
  size_t n = strlen(name);
  bool good = n >= 1 && n <= REGISTRY_NAME_BYTES;
  for( size_t i = 0; good && i < n; i++ ) {
    char c = name[i];
    good = ner_ascii_alnum(c) || c == '.' || c == '_' || c == '-';
  }
  if( good ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "'%.80s' cannot be a model's name; use 1 to %d letters, digits, '.', '_', '-'",
                  name, REGISTRY_NAME_BYTES);
}

static int registry_fail_unknown(const char *name, struct ner_err *err) {
  char known[300] = "";
  size_t used = 0;
  registry_enter();
  for( size_t i = 0; i < registry_n; i++ ) {
    bool fits = used + sizeof registry_entries[i].name + sizeof ", …, " <= sizeof known;
    if( !strcmp(registry_entries[i].name, REGISTRY_BUNDLED) ) continue;
    ner_format(known + used, sizeof known - used, "%s, ", fits ? registry_entries[i].name : "…");
    used += strlen(known + used);
    if( !fits ) break;
  }
  registry_leave();
  return ner_fail(err, NER_ERROR,
                  "no model is called '%.80s'; there are: %s%s (add one with ner_load(name, path))",
                  name, known, REGISTRY_BUNDLED);
}

/* Puts a model under a name; takes over the caller's reference to it, also when
** it fails. */
static int registry_put(const char *name, struct ner_model *model, struct ner_err *err) {
  struct ner_model *old = model; /* what is to be released at the end */
  struct registry_entry *entry;
  int rc = NER_OK;
  registry_enter();
  entry = registry_find(name);
  if( entry ) {
    old = entry->model;
    entry->model = model;
  } else {
    rc = ner_grow((void **)&registry_entries, &registry_cap, registry_n + 1,
                  sizeof *registry_entries);
    if( rc == NER_OK ) {
      entry = &registry_entries[registry_n++];
      snprintf(entry->name, sizeof entry->name, "%s", name);
      entry->model = model;
      old = NULL;
    }
  }
  registry_leave();
  ner_model_unref(old);
  return rc == NER_OK ? NER_OK : ner_fail_nomem(err);
}

/* How long a thread sleeps before it checks again whether another one has opened the model: short
** compared with opening one (milliseconds to seconds). */
#define REGISTRY_POLL_MS 2

/* Waits for this thread's turn to open a model. *out: another thread has opened it meanwhile, and
** there is no turn to end. */
static int registry_begin_opening(const char *name, const struct ner_cancel *cancel,
                                  struct ner_model **out, struct ner_err *err) {
  for( ;; ) {
    struct registry_entry *entry;
    bool is_mine = false;
    registry_enter();
    entry = registry_find(name);
    if( entry )
      *out = ner_model_ref(entry->model);
    else if( !registry_is_opening )
      registry_is_opening = is_mine = true;
    registry_leave();
    if( entry || is_mine ) return NER_OK;
    if( ner_cancelled(cancel) ) return ner_fail_interrupted(err);
    ner_thread_sleep_ms(REGISTRY_POLL_MS);
  }
}

static void registry_end_opening(void) {
  registry_enter();
  registry_is_opening = false;
  registry_leave();
}

/* Opens "bundled" or "NER_MODEL", unless another thread has just done so. */
static int registry_open_itself(const char *name, const struct ner_cancel *cancel,
                                struct ner_model **out, struct ner_err *err) {
  const char *path = registry_environment_path();
  struct ner_model *model = NULL;
  int rc = registry_begin_opening(name, cancel, out, err);
  if( rc != NER_OK || *out ) return rc;
  if( !strcmp(name, REGISTRY_BUNDLED) ) {
    rc = ner_model_open_bundled(&model, err);
  } else if( path ) {
    rc = ner_model_open_cancellable(path, NER_PRECISION_FILE, cancel, &model, err);
    if( rc == NER_ERROR )
      ner_fail_prefix(err, "the environment variable " REGISTRY_ENVIRONMENT ": ");
  } else {
    rc = registry_fail_unknown(name, err); /* the variable vanished meanwhile */
  }
  if( rc == NER_OK ) rc = registry_put(name, ner_model_ref(model), err);
  registry_end_opening();
  if( rc != NER_OK ) {
    ner_model_unref(model);
    return rc;
  }
  *out = model;
  return NER_OK;
}

int ner_registry_get(const char *name, const struct ner_cancel *cancel, struct ner_model **out,
                     struct ner_err *err) {
  char wanted[REGISTRY_NAME_BYTES + 1];
  *out = NULL;
  if( name ) {
    int rc = registry_check_name(name, NULL);
    if( rc != NER_OK ) return registry_fail_unknown(name, err);
    snprintf(wanted, sizeof wanted, "%s", name);
  } else {
    registry_enter();
    snprintf(wanted, sizeof wanted, "%s", registry_default_name());
    registry_leave();
  }
  *out = registry_find_ref(wanted);
  if( *out ) return NER_OK;
  if( registry_opens_itself(wanted) ) return registry_open_itself(wanted, cancel, out, err);
  return registry_fail_unknown(wanted, err);
}

int ner_registry_load(const char *name, const char *path, enum ner_precision precision,
                      const struct ner_cancel *cancel, struct ner_err *err) {
  struct ner_model *model = NULL;
  int rc = registry_check_name(name, err);
  if( rc != NER_OK ) return rc;
  if( !strcmp(name, REGISTRY_BUNDLED) || !strcmp(name, REGISTRY_ENVIRONMENT) )
    return ner_fail(err, NER_ERROR, "the name '%s' is taken; load the model under another one",
                    name);
  rc = ner_model_open_cancellable(path, precision, cancel, &model, err);
  if( rc != NER_OK ) return rc;
  return registry_put(name, model, err);
}

int ner_registry_unload(const char *name, struct ner_err *err) {
  struct ner_model *model = NULL;
  struct registry_entry *entry;
  bool is_default;
  registry_enter();
  entry = registry_find(name);
  is_default = entry && !strcmp(name, registry_default);
  if( entry && !is_default ) {
    model = entry->model;
    memmove(entry, entry + 1,
            (size_t)(registry_entries + registry_n - (entry + 1)) * sizeof *entry);
    registry_n--;
  }
  registry_leave();
  if( is_default )
    return ner_fail(err, NER_ERROR,
                    "'%s' is the default model; choose another with ner_default(name) first", name);
  if( !model ) {
    /* Models that open themselves may simply not have been opened yet. */
    if( registry_opens_itself(name) ) return NER_OK;
    return registry_fail_unknown(name, err);
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
  registry_enter();
  found = registry_find(name) != NULL; /* it may have been unloaded in between */
  if( found ) snprintf(registry_default, sizeof registry_default, "%s", name);
  registry_leave();
  ner_model_unref(model);
  return found ? NER_OK : registry_fail_unknown(name, err);
}

const char *ner_registry_default(char name[NER_MODEL_NAME_BYTES]) {
  registry_enter();
  snprintf(name, NER_MODEL_NAME_BYTES, "%s", registry_default_name());
  registry_leave();
  return strcmp(name, REGISTRY_ENVIRONMENT) ? NULL : registry_environment_path();
}

int ner_registry_list(struct ner_registry_entry **out, size_t *n, struct ner_err *err) {
  struct ner_registry_entry *list;
  const char *name;
  registry_enter();
  name = registry_default_name();
  list = ner_calloc(registry_n, sizeof *list);
  *n = list ? registry_n : 0;
  for( size_t i = 0; i < *n; i++ ) {
    snprintf(list[i].name, sizeof list[i].name, "%s", registry_entries[i].name);
    list[i].is_default = !strcmp(registry_entries[i].name, name);
    list[i].model = ner_model_ref(registry_entries[i].model);
  }
  registry_leave();
  *out = list;
  return list ? NER_OK : ner_fail_nomem(err);
}

void ner_registry_list_free(struct ner_registry_entry *list, size_t n) {
  for( size_t i = 0; i < n; i++ ) ner_model_unref(list[i].model);
  NER_FREE(list);
}
