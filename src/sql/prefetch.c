/* sql/prefetch.c - a batch labelled in the background; see sql/prefetch.h. */
#include "sql/prefetch.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define PREFETCH_WAIT_NS (10 * 1000 * 1000) /* between two looks at `cancel` */

struct ner_sql_prefetch {
  struct ner_sql_batch *batch;
  struct ner_model *model;
  const struct ner_options *options;
  pthread_t thread;
  pid_t process;      /* a forked child has no such thread */
  fenv_t fenv;        /* the host's: results must not depend on which thread computed */
  atomic_bool cancel; /* the thread shall end */
  pthread_mutex_t lock;
  pthread_cond_t changed;
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
  double start = ner_sql_seconds();
  fesetenv(&prefetch->fenv);
  prefetch->rc = ner_sql_batch_label(prefetch->batch, prefetch->model, prefetch->options, &cancel,
                                     &prefetch->err);
  prefetch->seconds = ner_sql_seconds() - start;
  pthread_mutex_lock(&prefetch->lock);
  prefetch->done = true;
  pthread_cond_signal(&prefetch->changed);
  pthread_mutex_unlock(&prefetch->lock);
  return NULL;
}

/* All signals are blocked in it: the host's handlers run on the host's threads. */
static bool prefetch_start_thread(struct ner_sql_prefetch *prefetch) {
  sigset_t all, old;
  bool started;
  sigfillset(&all);
  if( pthread_sigmask(SIG_SETMASK, &all, &old) ) return false;
  started = pthread_create(&prefetch->thread, NULL, prefetch_label, prefetch) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return started;
}

static void prefetch_free(struct ner_sql_prefetch *prefetch) {
  pthread_cond_destroy(&prefetch->changed);
  pthread_mutex_destroy(&prefetch->lock);
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
  prefetch->process = getpid();
  if( fegetenv(&prefetch->fenv) || pthread_mutex_init(&prefetch->lock, NULL) ) {
    NER_FREE(prefetch);
    return NULL;
  }
  if( pthread_cond_init(&prefetch->changed, NULL) ) {
    pthread_mutex_destroy(&prefetch->lock);
    NER_FREE(prefetch);
    return NULL;
  }
  if( prefetch_start_thread(prefetch) ) return prefetch;
  prefetch_free(prefetch);
  return NULL;
}

/* In a forked child nothing works on the batch any more, and what it holds may be half written: it
** is given up, not freed. */
static bool prefetch_is_lost(struct ner_sql_prefetch *prefetch) {
  if( prefetch->process == getpid() ) return false;
  *prefetch->batch = (struct ner_sql_batch){0};
  return true;
}

/* Waits for PREFETCH_WAIT_NS; false: it is not done. */
static bool prefetch_wait(struct ner_sql_prefetch *prefetch) {
  struct timespec until;
  bool done;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += PREFETCH_WAIT_NS;
  if( until.tv_nsec >= 1000 * 1000 * 1000 ) until.tv_sec++, until.tv_nsec -= 1000 * 1000 * 1000;
  pthread_mutex_lock(&prefetch->lock);
  if( !prefetch->done ) pthread_cond_timedwait(&prefetch->changed, &prefetch->lock, &until);
  done = prefetch->done;
  pthread_mutex_unlock(&prefetch->lock);
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
  pthread_join(prefetch->thread, NULL);
  rc = prefetch->rc;
  *seconds = prefetch->seconds;
  if( rc != NER_OK ) *err = prefetch->err;
  prefetch_free(prefetch);
  return rc;
}

void ner_sql_prefetch_abandon(struct ner_sql_prefetch *prefetch) {
  if( !prefetch || prefetch_is_lost(prefetch) ) return;
  atomic_store(&prefetch->cancel, true);
  pthread_join(prefetch->thread, NULL);
  prefetch_free(prefetch);
}
