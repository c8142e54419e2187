/*
** encoder.c - the forward pass of DistilBERT and BERT, which is one and the same
** once a model is loaded (token type 0 is part of `position`, the attention's
** 1/√head part of Q):
**
**   h = LN(word[id] + position[i])                         [n_tok, hidden]
**   for each layer:
**     q, k, v = split(h·Wqkvᵀ + b)                         [n_tok, 3·hidden]
**     c[:, head] = softmax(q[:, head]·k[:, head]ᵀ)·v[:, head]    per text and head
**     h = LN(c·Woᵀ + b + h)                                [n_tok, hidden]
**     f = gelu(h·W1ᵀ + b)                                  [n_tok, ffn]
**     h = LN(f·W2ᵀ + b + h)                                [n_tok, hidden]
**   logits = h·Wcᵀ + b                                     [n_tok, n_labels]
**
** Texts lie end to end in one matrix, without padding; only attention and
** positions know where one ends. All but attention goes over blocks of rows so
** that the wide intermediate f stays in cache while the weights stream by.
**
** A linear layer held in int8 gets its input quantised row by row; everything
** else is f32. Since a row's result depends on nothing but its own text (see
** kernels.h), neither the company in a batch nor the size of a team changes it.
**
** A team works in steps with a barrier between them. In a step each member owns
** some columns of a product, some heads, or some rows of a norm.
*/
#include "engine/encoder.h"

#include <pthread.h>
#include <string.h>

enum {
  /* Kernels take 4, 6 or 12 rows at once: a block of a multiple of 12 leaves none of them a tile
  ** half full. */
  TILE_TOK = 12,
  /* Rows of f at a time. Each block has the weights stream by once more, so not too few; 132 ×
  ** 3072 floats are 1.6 MB, which a 2 MB L2 still holds. */
  BLOCK_TOK = 11 * TILE_TOK,
  ATTENTION_SLOTS = 16, /* members of a team that can do attention: scratch for each */
};

struct ner_session {
  struct ner_session *next; /* in the model's idle list */
  struct ner_model *model;
  const struct ner_kernels *kernels;
  int32_t capacity_tok;
  int attention_slots;
  /* Distances between rows, in elements: an odd number of cache lines, so that the rows of a
  ** tile do not fall into the same cache set. */
  int ld_hidden, ld_qkv, ld_ffn; /* floats */
  int ldq_hidden, ldq_ffn;       /* bytes */
  void *scratch;                 /* all of the below, 64-byte aligned */
  float *hidden;                 /* [capacity_tok, hidden] h */
  float *qkv;                    /* [capacity_tok, 3·hidden] */
  float *context;                /* [capacity_tok, hidden] c */
  float *ffn;                    /* [BLOCK_TOK, ffn] f */
  float *out;                    /* [BLOCK_TOK, hidden] a product before its norm */
  uint8_t *hidden_q;             /* [capacity_tok, ner_quantised_bytes(hidden)] h or c */
  uint8_t *ffn_q;                /* [BLOCK_TOK, ner_quantised_bytes(ffn)] */
  float *hidden_scale;           /* [capacity_tok] */
  float *ffn_scale;              /* [BLOCK_TOK] */
  float *attention;              /* [attention_slots, attention_floats] */
  size_t attention_floats;
};

/* Sessions. */

/* Lays n elements of `size` bytes at the next cache line. With base NULL it only counts. */
static void *carve(char *base, size_t *used_bytes, size_t n, size_t size) {
  char *at = base ? base + *used_bytes : NULL;
  *used_bytes += ner_round_up(n * size, 64);
  return at;
}

/* Sizes cannot overflow: `position` alone, which is in memory, has capacity_tok × hidden floats
** or nearly so, and the weights are larger still. */
static size_t lay_out(struct ner_session *s, char *base) {
  size_t used = 0, tok = (size_t)s->capacity_tok, f = sizeof(float);
  s->hidden = carve(base, &used, tok * (size_t)s->ld_hidden, f);
  s->qkv = carve(base, &used, tok * (size_t)s->ld_qkv, f);
  s->context = carve(base, &used, tok * (size_t)s->ld_hidden, f);
  s->ffn = carve(base, &used, BLOCK_TOK * (size_t)s->ld_ffn, f);
  s->out = carve(base, &used, BLOCK_TOK * (size_t)s->ld_hidden, f);
  s->hidden_q = carve(base, &used, tok * (size_t)s->ldq_hidden, 1);
  s->ffn_q = carve(base, &used, BLOCK_TOK * (size_t)s->ldq_ffn, 1);
  s->hidden_scale = carve(base, &used, tok, f);
  s->ffn_scale = carve(base, &used, BLOCK_TOK, f);
  s->attention = carve(base, &used, (size_t)s->attention_slots * s->attention_floats, f);
  return used;
}

/* n elements, per_line of them to a cache line → an odd number of lines. */
static int odd_lines(int n, int per_line) {
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
  s->ld_hidden = odd_lines(c->hidden, 16);
  s->ld_qkv = odd_lines(3 * c->hidden, 16);
  s->ld_ffn = odd_lines(c->ffn, 16);
  s->ldq_hidden = odd_lines(c->hidden, 64);
  s->ldq_ffn = odd_lines(c->ffn, 64);
  s->attention_slots = c->heads < ATTENTION_SLOTS ? c->heads : ATTENTION_SLOTS;
  s->attention_floats =
      ner_round_up(ner_attention_scratch(c->max_tokens, c->hidden / c->heads), 16);
  s->scratch = ner_aligned_alloc(lay_out(s, NULL), 1);
  if( !s->scratch ) {
    NER_FREE(s);
    return ner_fail_nomem(err);
  }
  lay_out(s, s->scratch);
  *out = s;
  return NER_OK;
}

static void session_free(struct ner_session *s) {
  ner_aligned_free(s->scratch);
  NER_FREE(s);
}

/* Guards the idle lists. It is only ever tried: a child forked while another thread held it
** would otherwise wait for ever, and who finds it taken loses no more than one reuse. */
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;

int ner_session_acquire(struct ner_model *model, struct ner_session **out, struct ner_err *err) {
  *out = NULL;
  if( pthread_mutex_trylock(&idle_lock) == 0 ) {
    *out = model->idle_sessions;
    if( *out ) model->idle_sessions = (*out)->next;
    pthread_mutex_unlock(&idle_lock);
  }
  return *out ? NER_OK : session_new(model, out, err);
}

void ner_session_release(struct ner_session *session) {
  if( !session ) return;
  if( pthread_mutex_trylock(&idle_lock) ) {
    session_free(session);
    return;
  }
  session->next = session->model->idle_sessions;
  session->model->idle_sessions = session;
  pthread_mutex_unlock(&idle_lock);
}

int32_t ner_session_capacity_tok(const struct ner_session *session) {
  return session->capacity_tok;
}

/* No lock: nobody else can know a model that is going away. */
void ner_sessions_free(struct ner_model *model) {
  while( model->idle_sessions ) {
    struct ner_session *s = model->idle_sessions;
    model->idle_sessions = s->next;
    session_free(s);
  }
}

/* The pass. */

/* One member's view of it. */
struct pass {
  const struct ner_session *s;
  const struct ner_kernels *kernels;
  struct ner_team *team;
  int rank, size;
};

static void barrier(const struct pass *p) {
  if( p->team ) ner_team_wait(p->team);
}

/* Where part i of n things begins when they are cut into `parts` as evenly as can be. */
static int cut(int n, int i, int parts) {
  return (int)((int64_t)n * i / parts);
}

/* Blocks as even as whole tiles allow: a small last one would cost nearly as much as a full one. */
static int block_begin(int n_tok, int block, int n_blocks) {
  int begin = TILE_TOK * cut((n_tok + TILE_TOK - 1) / TILE_TOK, block, n_blocks);
  return begin < n_tok ? begin : n_tok;
}

/* This member's share of n things: [*begin, *end). */
static void share(const struct pass *p, int n, int *begin, int *end) {
  *begin = cut(n, p->rank, p->size);
  *end = cut(n, p->rank + 1, p->size);
}

/* This member's columns of y[0:m] = epilogue(x·Wᵀ + b). The input is x, or xq with its scales
** where w is int8. */
static void linear(const struct pass *p, const struct ner_linear *w, const float *x, int ldx,
                   const uint8_t *xq, int ldq, const float *scale, int m,
                   enum ner_epilogue epilogue, float *y, int ldy) {
  int begin, end, panels = ner_panels(w->n_out);
  share(p, (panels + 1) / 2, &begin, &end); /* by twos: wide kernels take two at once */
  begin *= 2;
  end = end * 2 < panels ? end * 2 : panels;
  if( begin >= end ) return;
  if( w->precision == NER_PRECISION_INT8 )
    p->kernels->gemm_i8(xq, scale, m, ldq, w, begin, end, epilogue, y, ldy);
  else
    p->kernels->gemm_f32(x, m, ldx, w, begin, end, epilogue, y, ldy);
}

/* Makes rows [begin, end) of x ready for w. */
static void quantise_for(const struct pass *p, const struct ner_linear *w, const float *x, int ldx,
                         int begin, int end, uint8_t *xq, int ldq, float *scale) {
  if( w->precision != NER_PRECISION_INT8 || begin >= end ) return;
  p->kernels->quantise(x + (size_t)begin * ldx, end - begin, w->n_in, ldx, xq + (size_t)begin * ldq,
                       ldq, scale + begin);
}

static void widen_row(const struct ner_embedding *table, int32_t id, float *out) {
  size_t first = (size_t)id * (size_t)table->width;
  if( table->dtype == NER_DTYPE_I8 ) {
    const int8_t *row = (const int8_t *)table->data + first;
    for( int32_t k = 0; k < table->width; k++ ) out[k] = table->scale[id] * row[k];
  } else {
    const unsigned char *row = table->data + first * ner_dtype_bytes(table->dtype);
    ner_widen_f32(table->dtype, row, (uint64_t)table->width, out);
  }
}

/* h = LN(word[id] + position[i]) for this member's rows. */
static void embed(const struct pass *p, const int32_t *ids, const int32_t *seq_begin,
                  int32_t n_seq) {
  const struct ner_session *s = p->s;
  const struct ner_weights *w = &s->model->weights;
  const int hidden = s->model->config.hidden;
  int my_begin, my_end;
  share(p, seq_begin[n_seq], &my_begin, &my_end);
  for( int32_t i = 0; i < n_seq; i++ ) {
    int begin = seq_begin[i] > my_begin ? seq_begin[i] : my_begin;
    int end = seq_begin[i + 1] < my_end ? seq_begin[i + 1] : my_end;
    float *rows = s->hidden + (size_t)begin * s->ld_hidden;
    if( begin >= end ) continue;
    for( int t = begin; t < end; t++ )
      widen_row(&w->word, ids[t], s->hidden + (size_t)t * s->ld_hidden);
    p->kernels->layer_norm(rows, s->ld_hidden,
                           w->position + (size_t)(begin - seq_begin[i]) * (size_t)hidden, hidden,
                           end - begin, hidden, w->norm_gain, w->norm_bias,
                           s->model->config.norm_eps, rows, s->ld_hidden);
  }
  quantise_for(p, s->model->config.layers > 0 ? &w->layer[0].qkv : &w->classifier, s->hidden,
               s->ld_hidden, my_begin, my_end, s->hidden_q, s->ldq_hidden, s->hidden_scale);
}

/* h = LN(out + h) for this member's rows of block [begin, end), then ready for `next`. */
static void norm(const struct pass *p, int begin, int end, const float *gain, const float *bias,
                 const struct ner_linear *next) {
  const struct ner_session *s = p->s;
  const struct ner_config *c = &s->model->config;
  int from, to;
  float *rows;
  share(p, end - begin, &from, &to);
  if( from >= to ) return;
  rows = s->hidden + (size_t)(begin + from) * s->ld_hidden;
  p->kernels->layer_norm(s->out + (size_t)from * s->ld_hidden, s->ld_hidden, rows, s->ld_hidden,
                         to - from, c->hidden, gain, bias, c->norm_eps, rows, s->ld_hidden);
  quantise_for(p, next, s->hidden, s->ld_hidden, begin + from, begin + to, s->hidden_q,
               s->ldq_hidden, s->hidden_scale);
}

/* c for all texts: a text's head is one piece of work. */
static void attend(const struct pass *p, const int32_t *seq_begin, int32_t n_seq) {
  const struct ner_session *s = p->s;
  const struct ner_config *c = &s->model->config;
  const int head = c->hidden / c->heads;
  const int members = p->size < s->attention_slots ? p->size : s->attention_slots;
  int turn = 0;
  if( p->rank >= members ) return;
  for( int32_t i = 0; i < n_seq; i++ )
    for( int h = 0; h < c->heads; h++, turn++ ) {
      size_t row = (size_t)seq_begin[i];
      const float *q = s->qkv + row * (size_t)s->ld_qkv + h * head;
      if( turn % members != p->rank ) continue;
      ner_attention(p->kernels, q, q + c->hidden, q + 2 * c->hidden,
                    seq_begin[i + 1] - seq_begin[i], head, s->ld_qkv,
                    s->attention + (size_t)p->rank * s->attention_floats,
                    s->context + row * (size_t)s->ld_hidden + h * head, s->ld_hidden);
    }
}

/* Rows [begin, end) through what follows attention; `next` is what takes h afterwards. */
static void feed_forward(const struct pass *p, const struct ner_layer *layer, int begin, int end,
                         const struct ner_linear *next) {
  const struct ner_session *s = p->s;
  const int m = end - begin;
  const float *hidden = s->hidden + (size_t)begin * s->ld_hidden;
  const float *context = s->context + (size_t)begin * s->ld_hidden;
  uint8_t *hidden_q = s->hidden_q + (size_t)begin * s->ldq_hidden;
  float *hidden_scale = s->hidden_scale + begin;
  int from, to;
  share(p, m, &from, &to);
  quantise_for(p, &layer->out, context, s->ld_hidden, from, to, hidden_q, s->ldq_hidden,
               hidden_scale);
  barrier(p);
  linear(p, &layer->out, context, s->ld_hidden, hidden_q, s->ldq_hidden, hidden_scale, m,
         NER_EPILOGUE_NONE, s->out, s->ld_hidden);
  barrier(p);
  norm(p, begin, end, layer->attn_norm_gain, layer->attn_norm_bias, &layer->ffn1);
  barrier(p);
  linear(p, &layer->ffn1, hidden, s->ld_hidden, hidden_q, s->ldq_hidden, hidden_scale, m,
         NER_EPILOGUE_GELU, s->ffn, s->ld_ffn);
  barrier(p);
  quantise_for(p, &layer->ffn2, s->ffn, s->ld_ffn, from, to, s->ffn_q, s->ldq_ffn, s->ffn_scale);
  barrier(p);
  linear(p, &layer->ffn2, s->ffn, s->ld_ffn, s->ffn_q, s->ldq_ffn, s->ffn_scale, m,
         NER_EPILOGUE_NONE, s->out, s->ld_hidden);
  barrier(p);
  norm(p, begin, end, layer->ffn_norm_gain, layer->ffn_norm_bias, next);
  barrier(p);
}

/* The members of a team must leave at the same place: rank 0 asks before a layer's first barrier,
** and all look after it, long before it may ask again. */
static void ask(const struct pass *p, const struct ner_halt *halt) {
  if( halt && p->rank == 0 && !atomic_load(halt->asked) && ner_cancelled(halt->cancel) )
    atomic_store(halt->asked, true);
}

static bool given_up(const struct ner_halt *halt) {
  return halt && atomic_load(halt->asked);
}

bool ner_encode(struct ner_session *session, const int32_t *ids, const int32_t *seq_begin,
                int32_t n_seq, float *logits, struct ner_team *team, int rank,
                const struct ner_halt *halt) {
  const struct ner_session *s = session;
  const struct ner_config *c = &s->model->config;
  const struct ner_weights *w = &s->model->weights;
  const struct pass p = {s, s->kernels, team, team ? rank : 0, team ? team->size : 1};
  const int n_tok = seq_begin[n_seq];
  const int n_blocks = (n_tok + BLOCK_TOK - 1) / BLOCK_TOK;
  int from, to;

  embed(&p, ids, seq_begin, n_seq);
  barrier(&p);
  for( int32_t i = 0; i < c->layers; i++ ) {
    const struct ner_layer *layer = &w->layer[i];
    const struct ner_linear *next = i + 1 < c->layers ? &layer[1].qkv : &w->classifier;
    ask(&p, halt);
    for( int b = 0; b < n_blocks; b++ ) {
      int begin = block_begin(n_tok, b, n_blocks), end = block_begin(n_tok, b + 1, n_blocks);
      linear(&p, &layer->qkv, s->hidden + (size_t)begin * s->ld_hidden, s->ld_hidden,
             s->hidden_q + (size_t)begin * s->ldq_hidden, s->ldq_hidden, s->hidden_scale + begin,
             end - begin, NER_EPILOGUE_NONE, s->qkv + (size_t)begin * s->ld_qkv, s->ld_qkv);
    }
    barrier(&p);
    if( given_up(halt) ) return false;
    attend(&p, seq_begin, n_seq);
    barrier(&p);
    for( int b = 0; b < n_blocks; b++ )
      feed_forward(&p, layer, block_begin(n_tok, b, n_blocks), block_begin(n_tok, b + 1, n_blocks),
                   next);
  }
  share(&p, n_tok, &from, &to);
  if( from < to )
    p.kernels->gemm_f32(s->hidden + (size_t)from * s->ld_hidden, to - from, s->ld_hidden,
                        &w->classifier, 0, ner_panels(c->n_labels), NER_EPILOGUE_NONE,
                        logits + (size_t)from * (size_t)c->n_labels, c->n_labels);
  return true;
}
