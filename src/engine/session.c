/*
** session.c - allocation, layout and reuse of sessions; see session.h.
*/
#include "engine/session.h"

#include "base/base.h"

#include <pthread.h>

/* Lays n elements of `size` bytes at the next cache line. With base NULL it only counts. */
static void *session_carve(char *base, size_t *used_bytes, size_t n, size_t size) {
  char *at = base ? base + *used_bytes : NULL;
  *used_bytes += ner_round_up(n * size, 64);
  return at;
}

/* Sizes cannot overflow: `position` alone, which is in memory, has capacity_tok × hidden floats
** or nearly so, and the weights are larger still. */
static size_t session_lay_out(struct ner_session *s, char *base) {
  size_t used = 0, tok = (size_t)s->capacity_tok, f = sizeof(float);
  s->hidden = session_carve(base, &used, tok * (size_t)s->ld_hidden, f);
  s->qkv = session_carve(base, &used, tok * (size_t)s->ld_qkv, f);
  s->context = session_carve(base, &used, tok * (size_t)s->ld_hidden, f);
  s->ffn = session_carve(base, &used, NER_BLOCK_TOK * (size_t)s->ld_ffn, f);
  s->out = session_carve(base, &used, NER_BLOCK_TOK * (size_t)s->ld_hidden, f);
  s->hidden_q = session_carve(base, &used, tok * (size_t)s->ldq_hidden, 1);
  s->ffn_q = session_carve(base, &used, NER_BLOCK_TOK * (size_t)s->ldq_ffn, 1);
  s->hidden_scale = session_carve(base, &used, tok, f);
  s->ffn_scale = session_carve(base, &used, NER_BLOCK_TOK, f);
  s->attention = session_carve(base, &used, (size_t)s->attention_slots * s->attention_floats, f);
  return used;
}

/* n elements, per_line of them to a cache line → an odd number of lines. */
static int session_odd_lines(int n, int per_line) {
  return (((n - 1) / per_line + 1) | 1) * per_line;
}

static int session_new(struct ner_model *model, struct ner_session **out, struct ner_err *err) {
  const struct ner_config *c = &model->config;
  const struct ner_kernels *kernels = ner_kernels_get(err);
  struct ner_session *s;
  if( !kernels ) return NER_ERROR;
  s = ner_calloc(1, sizeof *s);
  if( !s ) return ner_fail_nomem(err);
  s->model = model;
  s->kernels = kernels;
  s->capacity_tok = c->max_tokens > NER_BATCH_TOK ? c->max_tokens : NER_BATCH_TOK;
  s->ld_hidden = session_odd_lines(c->hidden, 16);
  s->ld_qkv = session_odd_lines(3 * c->hidden, 16);
  s->ld_ffn = session_odd_lines(c->ffn, 16);
  s->ldq_hidden = session_odd_lines(c->hidden, 64);
  s->ldq_ffn = session_odd_lines(c->ffn, 64);
  s->attention_slots = c->heads < NER_ATTENTION_SLOTS ? c->heads : NER_ATTENTION_SLOTS;
  s->attention_floats =
      ner_round_up(ner_attention_scratch(c->max_tokens, c->hidden / c->heads), 16);
  s->scratch = ner_aligned_alloc(session_lay_out(s, NULL), 1);
  if( !s->scratch ) {
    NER_FREE(s);
    return ner_fail_nomem(err);
  }
  session_lay_out(s, s->scratch);
  *out = s;
  return NER_OK;
}

static void session_free(struct ner_session *s) {
  ner_aligned_free(s->scratch);
  NER_FREE(s);
}

/* Guards the lists of idle sessions. It is only tried, never waited for: a child forked while another
** thread holds it would wait for ever. A thread that finds it taken loses one reuse. */
static pthread_mutex_t session_idle_lock = PTHREAD_MUTEX_INITIALIZER;

int ner_session_acquire(struct ner_model *model, struct ner_session **out, struct ner_err *err) {
  *out = NULL;
  if( pthread_mutex_trylock(&session_idle_lock) == 0 ) {
    *out = model->idle_sessions;
    if( *out ) model->idle_sessions = (*out)->next;
    pthread_mutex_unlock(&session_idle_lock);
  }
  return *out ? NER_OK : session_new(model, out, err);
}

void ner_session_release(struct ner_session *session) {
  if( !session ) return;
  if( pthread_mutex_trylock(&session_idle_lock) ) {
    session_free(session);
    return;
  }
  session->next = session->model->idle_sessions;
  session->model->idle_sessions = session;
  pthread_mutex_unlock(&session_idle_lock);
}

int32_t ner_session_capacity_tok(const struct ner_session *session) {
  return session->capacity_tok;
}

/* No lock: no other thread can reach a model without references. */
void ner_sessions_free(struct ner_model *model) {
  while( model->idle_sessions ) {
    struct ner_session *s = model->idle_sessions;
    model->idle_sessions = s->next;
    session_free(s);
  }
}
