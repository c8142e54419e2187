/* sql/prefetch.c - a batch labelled in the background; see sql/prefetch.h. */
#include "sql/prefetch.h"

#include <fenv.h>
#include "base/os.h"

#define PREFETCH_WAIT_MS 10 /* between two looks at `cancel` */

struct ner_sql_prefetch {
  struct ner_sql_batch *batch;
  struct ner_model *model;
  const struct ner_options *options;
  struct ner_thread thread;
  int64_t process;    /* a forked child has no such thread */
  fenv_t fenv;        /* the host's: results must not depend on which thread computed */
  atomic_bool cancel; /* the thread shall end */
  struct ner_mutex lock;
  struct ner_condition changed;
  bool done; /* guarded by lock; what follows belongs to the thread until then */
  int rc;
  struct ner_err err;
  double seconds;
};

static bool prefetch_cancelled(void *arg) {
  struct ner_sql_prefetch *prefetch = arg;
  return atomic_load(&prefetch->cancel);
}

static void *prefetch_label(void *arg) {
  struct ner_sql_prefetch *prefetch = arg;
  struct ner_cancel cancel = {prefetch_cancelled, prefetch};
  double start = ner_seconds();
  fesetenv(&prefetch->fenv);
  prefetch->rc = ner_sql_batch_label(prefetch->batch, prefetch->model, prefetch->options, &cancel,
                                     &prefetch->err);
  prefetch->seconds = ner_seconds() - start;
  ner_mutex_lock(&prefetch->lock);
  prefetch->done = true;
  ner_condition_signal(&prefetch->changed);
  ner_mutex_unlock(&prefetch->lock);
  return NULL;
}

static void prefetch_free(struct ner_sql_prefetch *prefetch) {
  ner_condition_destroy(&prefetch->changed);
  ner_mutex_destroy(&prefetch->lock);
  NER_FREE(prefetch);
}

struct ner_sql_prefetch *ner_sql_prefetch_start(struct ner_sql_batch *batch,
                                                struct ner_model *model,
                                                const struct ner_options *options) {
  struct ner_sql_prefetch *prefetch;
  if( ner_pool_threads(0) < 2 ) return NULL;
  prefetch = ner_calloc(1, sizeof *prefetch);
  if( !prefetch ) return NULL;
  prefetch->batch = batch;
  prefetch->model = model;
  prefetch->options = options;
  prefetch->process = ner_process();
  if( fegetenv(&prefetch->fenv) || !ner_mutex_init(&prefetch->lock) ) {
    NER_FREE(prefetch);
    return NULL;
  }
  if( !ner_condition_init(&prefetch->changed) ) {
    ner_mutex_destroy(&prefetch->lock);
    NER_FREE(prefetch);
    return NULL;
  }
  if( ner_thread_start(&prefetch->thread, prefetch_label, prefetch) ) return prefetch;
  prefetch_free(prefetch);
  return NULL;
}

/* In a forked child nothing works on the batch any more, and what it holds may be half written: it
** is given up, not freed. */
static bool prefetch_is_lost(struct ner_sql_prefetch *prefetch) {
  if( prefetch->process == ner_process() ) return false;
  *prefetch->batch = (struct ner_sql_batch){0};
  return true;
}

/* Waits for PREFETCH_WAIT_MS; false: it is not done. */
static bool prefetch_wait(struct ner_sql_prefetch *prefetch) {
  bool done;
  ner_mutex_lock(&prefetch->lock);
  if( !prefetch->done )
    ner_condition_wait_ms(&prefetch->changed, &prefetch->lock, PREFETCH_WAIT_MS);
  done = prefetch->done;
  ner_mutex_unlock(&prefetch->lock);
  return done;
}

int ner_sql_prefetch_finish(struct ner_sql_prefetch *prefetch, const struct ner_cancel *cancel,
                            double *seconds, struct ner_err *err) {
  int rc;
  if( prefetch_is_lost(prefetch) )
    return ner_fail(err, NER_ERROR,
                    "this process was forked in the middle of the query; begin the"
                    " query in the child, on a connection of its own");
  while( !prefetch_wait(prefetch) )
    if( ner_cancelled(cancel) ) atomic_store(&prefetch->cancel, true);
  ner_thread_join(&prefetch->thread);
  rc = prefetch->rc;
  *seconds = prefetch->seconds;
  if( rc != NER_OK ) *err = prefetch->err;
  prefetch_free(prefetch);
  return rc;
}

void ner_sql_prefetch_abandon(struct ner_sql_prefetch *prefetch) {
  if( !prefetch || prefetch_is_lost(prefetch) ) return;
  atomic_store(&prefetch->cancel, true);
  ner_thread_join(&prefetch->thread);
  prefetch_free(prefetch);
}
