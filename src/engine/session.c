/*
** session.c - allocation and layout of sessions; see session.h.
*/
#include "engine/session.h"

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
  s->hidden_row = session_carve(base, &used, tok, sizeof *s->hidden_row);
  s->ffn_row = session_carve(base, &used, NER_BLOCK_TOK, sizeof *s->ffn_row);
  s->attention = session_carve(base, &used, (size_t)s->attention_slots * s->attention_floats, f);
  return used;
}

/* n elements, per_line of them to a cache line → an odd number of lines. */
static int session_odd_lines(int n, int per_line) {
  return (((n - 1) / per_line + 1) | 1) * per_line;
}

int ner_session_new(struct ner_model *model, struct ner_session **out, struct ner_err *err) {
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
  s->n_bytes = session_lay_out(s, NULL);
  s->scratch = ner_aligned_alloc(s->n_bytes, 1);
  if( !s->scratch ) {
    NER_FREE(s);
    return ner_fail_nomem(err);
  }
  session_lay_out(s, s->scratch);
  *out = s;
  return NER_OK;
}

void ner_session_free(struct ner_session *s) {
  ner_aligned_free(s->scratch);
  NER_FREE(s);
}

int32_t ner_session_capacity_tok(const struct ner_session *session) {
  return session->capacity_tok;
}
