/* sql/prefetch.c - a batch labelled in the background; see sql/prefetch.h. */
#include "sql/prefetch.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_NS (10 * 1000 * 1000) /* whether the connection wants to stop */

struct ner_sql_ahead {
  struct ner_sql_batch *batch;
  struct ner_model *model;
  const struct ner_options *options;
  pthread_t thread;
  pid_t process;    /* a child forked off meanwhile has no such thread */
  fenv_t fenv;      /* the host's: results must not depend on which thread computed */
  atomic_bool stop; /* asked of the thread */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool done; /* guarded by lock; what follows is the thread's until then */
  int rc;
  struct ner_err err;
  double seconds;
};

static bool stop_asked(void *arg) {
  struct ner_sql_ahead *ahead = arg;
  return atomic_load(&ahead->stop);
}

static void *label(void *arg) {
  struct ner_sql_ahead *ahead = arg;
  struct ner_stop stop = {stop_asked, ahead};
  double start = ner_sql_seconds();
  fesetenv(&ahead->fenv);
  ahead->rc = ner_sql_batch_label(ahead->batch, ahead->model, ahead->options, &stop, &ahead->err);
  ahead->seconds = ner_sql_seconds() - start;
  pthread_mutex_lock(&ahead->lock);
  ahead->done = true;
  pthread_cond_signal(&ahead->changed);
  pthread_mutex_unlock(&ahead->lock);
  return NULL;
}

/* Without signals: the host's handlers are to run on the host's threads. */
static bool start_thread(struct ner_sql_ahead *ahead) {
  sigset_t all, old;
  bool started;
  sigfillset(&all);
  if( pthread_sigmask(SIG_SETMASK, &all, &old) ) return false;
  started = pthread_create(&ahead->thread, NULL, label, ahead) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return started;
}

static void free_ahead(struct ner_sql_ahead *ahead) {
  pthread_cond_destroy(&ahead->changed);
  pthread_mutex_destroy(&ahead->lock);
  NER_FREE(ahead);
}

struct ner_sql_ahead *ner_sql_ahead_start(struct ner_sql_batch *batch, struct ner_model *model,
                                          const struct ner_options *options) {
  struct ner_sql_ahead *ahead;
  if( ner_pool_threads(0) < 2 ) return NULL;
  ahead = ner_calloc(1, sizeof *ahead);
  if( !ahead ) return NULL;
  ahead->batch = batch;
  ahead->model = model;
  ahead->options = options;
  ahead->process = getpid();
  if( fegetenv(&ahead->fenv) || pthread_mutex_init(&ahead->lock, NULL) ) {
    NER_FREE(ahead);
    return NULL;
  }
  if( pthread_cond_init(&ahead->changed, NULL) ) {
    pthread_mutex_destroy(&ahead->lock);
    NER_FREE(ahead);
    return NULL;
  }
  if( start_thread(ahead) ) return ahead;
  free_ahead(ahead);
  return NULL;
}

/* In a forked child the batch stands still in the middle of something: it is left as it is. */
static bool is_lost(struct ner_sql_ahead *ahead) {
  if( ahead->process == getpid() ) return false;
  *ahead->batch = (struct ner_sql_batch){0};
  return true;
}

/* false: not yet, after a while. */
static bool wait_a_little(struct ner_sql_ahead *ahead) {
  struct timespec until;
  bool done;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += LOOK_EVERY_NS;
  if( until.tv_nsec >= 1000 * 1000 * 1000 ) until.tv_sec++, until.tv_nsec -= 1000 * 1000 * 1000;
  pthread_mutex_lock(&ahead->lock);
  if( !ahead->done ) pthread_cond_timedwait(&ahead->changed, &ahead->lock, &until);
  done = ahead->done;
  pthread_mutex_unlock(&ahead->lock);
  return done;
}

int ner_sql_ahead_finish(struct ner_sql_ahead *ahead, sqlite3 *db, double *seconds,
                         struct ner_err *err) {
  struct ner_sql_stop stop;
  int rc;
  if( is_lost(ahead) )
    return ner_fail(err, NER_ERROR, "this process was forked in the middle of the query; begin the"
                                    " query in the child, on a connection of its own");
  ner_sql_stop_open(&stop, db);
  while( !wait_a_little(ahead) )
    if( ner_stop_asked(&stop.stop) ) atomic_store(&ahead->stop, true);
  ner_sql_stop_close(&stop);
  pthread_join(ahead->thread, NULL);
  rc = ahead->rc;
  *seconds = ahead->seconds;
  if( rc != NER_OK ) *err = ahead->err;
  free_ahead(ahead);
  return rc;
}

void ner_sql_ahead_abandon(struct ner_sql_ahead *ahead) {
  if( !ahead || is_lost(ahead) ) return;
  atomic_store(&ahead->stop, true);
  pthread_join(ahead->thread, NULL);
  free_ahead(ahead);
}
