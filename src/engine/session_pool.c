/*
** session_pool.c - sessions that wait for their next batch; see session.h.
**
** Making a session maps some MB and has every page touched anew, which is a few percent of what a
** batch takes; so released sessions are kept. After a burst (many threads, many connections, models
** used one after the other) they would hold memory for nothing; so few are kept, the latest
** ones, and none for long. There is no thread that frees those too old: each acquire and release
** does.
**
** The list has the sessions of all models, the one released last first, so that what is to be
** freed is always its tail.
*/
#include "engine/session.h"

#include "base/os.h"
#include "base/pool.h"

#define SESSION_MIN_IDLE    4 /* kept even where one thread runs: models may be used by turns */
#define SESSION_MAX_IDLE_MS 10000

static struct {
  struct ner_mutex lock;
  struct ner_session *first; /* idle, in the order of their release */
  struct ner_session_stats stats;
} session_pool = {.lock = NER_MUTEX_INIT};

/* The lock is held for a walk along a short list, never while memory is mapped or unmapped. fork()
** waits for it: locked in the child, it would stay so. */
static void session_pool_before_fork(void) {
  ner_mutex_lock(&session_pool.lock);
}
static void session_pool_after_fork(void) {
  ner_mutex_unlock(&session_pool.lock);
}
static void session_pool_watch_forks(void) {
  ner_on_fork(session_pool_before_fork, session_pool_after_fork, session_pool_after_fork);
}
static void session_pool_lock(void) {
  static struct ner_once once = NER_ONCE_INIT;
  ner_once_run(&once, session_pool_watch_forks);
  ner_mutex_lock(&session_pool.lock);
}
static void session_pool_unlock(void) {
  ner_mutex_unlock(&session_pool.lock);
}

static int64_t session_pool_now_ms(void) {
  return (int64_t)(ner_seconds() * 1000);
}

static void session_pool_free(struct ner_session *list) {
  while( list ) {
    struct ner_session *next = list->next;
    ner_session_free(list);
    list = next;
  }
}

/* Takes *at out of the list. Lock held. */
static struct ner_session *session_pool_take(struct ner_session **at) {
  struct ner_session *s = *at;
  *at = s->next;
  session_pool.stats.n_idle--;
  session_pool.stats.idle_bytes -= s->n_bytes;
  return s;
}

/* Takes out all sessions behind the first n_max, and all released before `since_ms`. Lock held. */
static struct ner_session *session_pool_take_tail(int n_max, int64_t since_ms) {
  struct ner_session **at = &session_pool.first, *tail = NULL;
  for( int i = 0; *at && i < n_max && (*at)->released_ms >= since_ms; i++ ) at = &(*at)->next;
  while( *at ) {
    struct ner_session *s = session_pool_take(at);
    s->next = tail;
    tail = s;
  }
  return tail;
}

static int session_pool_max_idle(void) {
  int n = ner_pool_threads(0);
  return n > SESSION_MIN_IDLE ? n : SESSION_MIN_IDLE;
}

int ner_session_acquire(struct ner_model *model, struct ner_session **out, struct ner_err *err) {
  struct ner_session **at, *tail;
  int n_max = session_pool_max_idle(), rc = NER_OK;
  *out = NULL;
  session_pool_lock();
  for( at = &session_pool.first; *at && (*at)->model != model; ) at = &(*at)->next;
  if( *at ) *out = session_pool_take(at);
  tail = session_pool_take_tail(n_max, session_pool_now_ms() - SESSION_MAX_IDLE_MS);
  session_pool_unlock();
  session_pool_free(tail);
  if( !*out ) rc = ner_session_new(model, out, err);
  if( rc != NER_OK ) return rc;
  session_pool_lock();
  session_pool.stats.n_used++;
  session_pool.stats.used_bytes += (*out)->n_bytes;
  session_pool_unlock();
  return NER_OK;
}

void ner_session_release(struct ner_session *session) {
  struct ner_session *tail;
  int n_max = session_pool_max_idle();
  if( !session ) return;
  session_pool_lock();
  session_pool.stats.n_used--;
  session_pool.stats.used_bytes -= session->n_bytes;
  session_pool.stats.n_idle++;
  session_pool.stats.idle_bytes += session->n_bytes;
  session->released_ms = session_pool_now_ms();
  session->next = session_pool.first;
  session_pool.first = session;
  tail = session_pool_take_tail(n_max, session->released_ms - SESSION_MAX_IDLE_MS);
  session_pool_unlock();
  session_pool_free(tail);
}

void ner_session_trim(int64_t max_idle_ms) {
  struct ner_session *tail;
  int n_max = session_pool_max_idle();
  session_pool_lock();
  tail = session_pool_take_tail(n_max, session_pool_now_ms() - max_idle_ms);
  session_pool_unlock();
  session_pool_free(tail);
}

void ner_session_forget_model(const struct ner_model *model) {
  struct ner_session **at, *gone = NULL;
  session_pool_lock();
  for( at = &session_pool.first; *at; ) {
    struct ner_session *s = *at;
    if( s->model != model ) {
      at = &s->next;
      continue;
    }
    session_pool_take(at);
    s->next = gone;
    gone = s;
  }
  session_pool_unlock();
  session_pool_free(gone);
}

struct ner_session_stats ner_session_stats(void) {
  struct ner_session_stats stats;
  session_pool_lock();
  stats = session_pool.stats;
  session_pool_unlock();
  return stats;
}
