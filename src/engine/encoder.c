/*
** encoder.c - the forward pass of DistilBERT and BERT, which are the same
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
** A linear layer held in int8 gets its input quantised row by row, and the attention of such a
** model is in int16; everything else is f32. Since a row's result depends on nothing but its own text (see
** kernels.h), neither the other texts of a batch nor the size of a team change it.
**
** A team works in steps with a barrier between them. In a step each member owns
** some columns of a product, some heads, or some rows of a norm.
*/
#include "engine/encoder.h"

#include <math.h>
#include <string.h>

/* One team member's view of the pass. */
struct encoder_pass {
  const struct ner_session *s;
  const struct ner_kernels *kernels;
  struct ner_team *team;
  int rank, size;
};

static void encoder_barrier(const struct encoder_pass *p) {
  if( p->team ) ner_team_wait(p->team);
}

/* Where part i begins when n items are cut into `parts` as evenly as possible. */
static int encoder_cut(int n, int i, int parts) {
  return (int)((int64_t)n * i / parts);
}

/* Blocks as even as whole tiles allow: a small last one would cost nearly as much as a full one. */
static int encoder_block_begin(int n_tok, int block, int n_blocks) {
  int begin =
      NER_TILE_TOK * encoder_cut((n_tok + NER_TILE_TOK - 1) / NER_TILE_TOK, block, n_blocks);
  return begin < n_tok ? begin : n_tok;
}

/* This member's share of n items: [*begin, *end). */
static void encoder_share(const struct encoder_pass *p, int n, int *begin, int *end) {
  *begin = encoder_cut(n, p->rank, p->size);
  *end = encoder_cut(n, p->rank + 1, p->size);
}

/* This member's columns of y[0:m] = epilogue(x·Wᵀ + b). The input is x, or xq with its rows' scales
** where w is int8. */
static void encoder_linear(const struct encoder_pass *p, const struct ner_linear *w, const float *x,
                           int ldx, const uint8_t *xq, int ldq, const struct ner_row *row, int m,
                           enum ner_epilogue epilogue, float *y, int ldy) {
  int begin, end, panels = ner_panels(w->n_out);
  encoder_share(p, (panels + 1) / 2, &begin,
                &end); /* in pairs: wide kernels take two panels at once */
  begin *= 2;
  end = end * 2 < panels ? end * 2 : panels;
  if( begin >= end ) return;
  if( w->precision == NER_PRECISION_INT8 )
    p->kernels->gemm_i8(xq, row, m, ldq, w, begin, end, epilogue, y, ldy);
  else
    p->kernels->gemm_f32(x, m, ldx, w, begin, end, epilogue, y, ldy);
}

/* Quantises rows [begin, end) of x if w takes int8 input. */
static void encoder_quantise_for(const struct encoder_pass *p, const struct ner_linear *w,
                                 const float *x, int ldx, int begin, int end, uint8_t *xq, int ldq,
                                 struct ner_row *row) {
  if( w->precision != NER_PRECISION_INT8 || begin >= end ) return;
  p->kernels->quantise(x + (size_t)begin * ldx, end - begin, w->n_in, ldx, xq + (size_t)begin * ldq,
                       ldq, row + begin);
}

static void encoder_widen_row(const struct ner_embedding *table, int32_t id, float *out) {
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
static void encoder_embed(const struct encoder_pass *p, const int32_t *ids,
                          const int32_t *seq_begin, int32_t n_seq) {
  const struct ner_session *s = p->s;
  const struct ner_weights *w = &s->model->weights;
  const int hidden = s->model->config.hidden;
  int my_begin, my_end;
  encoder_share(p, seq_begin[n_seq], &my_begin, &my_end);
  for( int32_t i = 0; i < n_seq; i++ ) {
    int begin = seq_begin[i] > my_begin ? seq_begin[i] : my_begin;
    int end = seq_begin[i + 1] < my_end ? seq_begin[i + 1] : my_end;
    float *rows = s->hidden + (size_t)begin * s->ld_hidden;
    if( begin >= end ) continue;
    for( int t = begin; t < end; t++ )
      encoder_widen_row(&w->word, ids[t], s->hidden + (size_t)t * s->ld_hidden);
    p->kernels->layer_norm(rows, s->ld_hidden,
                           w->position + (size_t)(begin - seq_begin[i]) * (size_t)hidden, hidden,
                           end - begin, hidden, w->norm_gain, w->norm_bias,
                           s->model->config.norm_eps, rows, s->ld_hidden);
  }
  encoder_quantise_for(p, s->model->config.layers > 0 ? &w->layer[0].qkv : &w->classifier,
                       s->hidden, s->ld_hidden, my_begin, my_end, s->hidden_q, s->ldq_hidden,
                       s->hidden_row);
}

/* Rows that are normalised and then quantised while they are in the nearest cache: 4 × 768 floats are 12 KB. */
enum { ENCODER_NORM_ROWS = 4 };

/* h = LN(out + h) for this member's rows of block [begin, end), quantised for `next`. */
static void encoder_norm(const struct encoder_pass *p, int begin, int end, const float *gain,
                         const float *bias, const struct ner_linear *next) {
  const struct ner_session *s = p->s;
  const struct ner_config *c = &s->model->config;
  int from, to;
  encoder_share(p, end - begin, &from, &to);
  for( int i = from, n; i < to; i += n ) {
    float *rows = s->hidden + (size_t)(begin + i) * s->ld_hidden;
    n = to - i < ENCODER_NORM_ROWS ? to - i : ENCODER_NORM_ROWS;
    p->kernels->layer_norm(s->out + (size_t)i * s->ld_hidden, s->ld_hidden, rows, s->ld_hidden, n,
                           c->hidden, gain, bias, c->norm_eps, rows, s->ld_hidden);
    encoder_quantise_for(p, next, s->hidden, s->ld_hidden, begin + i, begin + i + n, s->hidden_q,
                         s->ldq_hidden, s->hidden_row);
  }
}

/* c for all texts. One head of one text is a piece of work. */
static void encoder_attend(const struct encoder_pass *p, const int32_t *seq_begin, int32_t n_seq) {
  const struct ner_session *s = p->s;
  const struct ner_config *c = &s->model->config;
  const int head = c->hidden / c->heads;
  const int members = p->size < s->attention_slots ? p->size : s->attention_slots;
  void (*attention)(const struct ner_kernels *, const float *, const float *, const float *, int,
                    int, int, float *, float *, int) =
      s->model->precision == NER_PRECISION_INT8 ? ner_attention_i16 : ner_attention;
  int turn = 0;
  if( p->rank >= members ) return;
  for( int32_t i = 0; i < n_seq; i++ )
    for( int h = 0; h < c->heads; h++, turn++ ) {
      size_t row = (size_t)seq_begin[i];
      const float *q = s->qkv + row * (size_t)s->ld_qkv + h * head;
      if( turn % members != p->rank ) continue;
      attention(p->kernels, q, q + c->hidden, q + 2 * c->hidden, seq_begin[i + 1] - seq_begin[i],
                head, s->ld_qkv, s->attention + (size_t)p->rank * s->attention_floats,
                s->context + row * (size_t)s->ld_hidden + h * head, s->ld_hidden);
    }
}

/* transformers' "gelu_new", x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³), in place over m
** rows of n. It equals x / (1 + e^(-2u)), which loses no digits to the sum. The models that ask for
** it are few, so it is a pass of its own rather than an epilogue of every kernel. In double: see
** ner_softmax(). */
static void encoder_gelu_tanh(float *x, int m, int n, int ld) {
  const float scale = 1.5957691216057308f; /* 2·√(2/π) */
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) {
      float v = x[(size_t)i * ld + k];
      float u = scale * (v + 0.044715f * v * v * v);
      x[(size_t)i * ld + k] = v / (1 + (float)exp((double)-u));
    }
}

/* Rows [begin, end) through everything after attention; `next` is the layer that takes h. */
static void encoder_feed_forward(const struct encoder_pass *p, const struct ner_layer *layer,
                                 int begin, int end, const struct ner_linear *next) {
  const struct ner_session *s = p->s;
  const bool exact = s->model->config.activation == NER_GELU;
  const int m = end - begin;
  const float *hidden = s->hidden + (size_t)begin * s->ld_hidden;
  const float *context = s->context + (size_t)begin * s->ld_hidden;
  uint8_t *hidden_q = s->hidden_q + (size_t)begin * s->ldq_hidden;
  struct ner_row *hidden_row = s->hidden_row + begin;
  int from, to;
  encoder_share(p, m, &from, &to);
  encoder_quantise_for(p, &layer->out, context, s->ld_hidden, from, to, hidden_q, s->ldq_hidden,
                       hidden_row);
  encoder_barrier(p);
  encoder_linear(p, &layer->out, context, s->ld_hidden, hidden_q, s->ldq_hidden, hidden_row, m,
                 NER_EPILOGUE_NONE, s->out, s->ld_hidden);
  encoder_barrier(p);
  encoder_norm(p, begin, end, layer->attn_norm_gain, layer->attn_norm_bias, &layer->ffn1);
  encoder_barrier(p);
  encoder_linear(p, &layer->ffn1, hidden, s->ld_hidden, hidden_q, s->ldq_hidden, hidden_row, m,
                 exact ? NER_EPILOGUE_GELU : NER_EPILOGUE_NONE, s->ffn, s->ld_ffn);
  encoder_barrier(p);
  if( !exact )
    encoder_gelu_tanh(s->ffn + (size_t)from * s->ld_ffn, to - from, layer->ffn1.n_out, s->ld_ffn);
  encoder_quantise_for(p, &layer->ffn2, s->ffn, s->ld_ffn, from, to, s->ffn_q, s->ldq_ffn,
                       s->ffn_row);
  encoder_barrier(p);
  encoder_linear(p, &layer->ffn2, s->ffn, s->ld_ffn, s->ffn_q, s->ldq_ffn, s->ffn_row, m,
                 NER_EPILOGUE_NONE, s->out, s->ld_hidden);
  encoder_barrier(p);
  encoder_norm(p, begin, end, layer->ffn_norm_gain, layer->ffn_norm_bias, next);
  encoder_barrier(p);
}

/* All members of a team must leave at the same place: rank 0 polls before a layer's first barrier and
** all look after it, long before rank 0 polls again. */
static void encoder_poll(const struct encoder_pass *p, const struct ner_cancel_signal *signal) {
  if( !signal || p->rank != 0 || atomic_load(signal->cancelled) ) return;
  if( ner_cancelled(signal->cancel) || (p->team && ner_team_is_lost(p->team)) )
    atomic_store(signal->cancelled, true);
}

static bool encoder_cancelled(const struct ner_cancel_signal *signal) {
  return signal && atomic_load(signal->cancelled);
}

bool ner_encode(struct ner_session *session, const int32_t *ids, const int32_t *seq_begin,
                int32_t n_seq, float *logits, struct ner_team *team, int rank,
                const struct ner_cancel_signal *signal) {
  const struct ner_session *s = session;
  const struct ner_config *c = &s->model->config;
  const struct ner_weights *w = &s->model->weights;
  const struct encoder_pass p = {s, s->kernels, team, team ? rank : 0, team ? team->size : 1};
  const int n_tok = seq_begin[n_seq];
  const int n_blocks = (n_tok + NER_BLOCK_TOK - 1) / NER_BLOCK_TOK;
  int from, to;

  encoder_embed(&p, ids, seq_begin, n_seq);
  encoder_barrier(&p);
  for( int32_t i = 0; i < c->layers; i++ ) {
    const struct ner_layer *layer = &w->layer[i];
    const struct ner_linear *next = i + 1 < c->layers ? &layer[1].qkv : &w->classifier;
    encoder_poll(&p, signal);
    for( int b = 0; b < n_blocks; b++ ) {
      int begin = encoder_block_begin(n_tok, b, n_blocks),
          end = encoder_block_begin(n_tok, b + 1, n_blocks);
      encoder_linear(&p, &layer->qkv, s->hidden + (size_t)begin * s->ld_hidden, s->ld_hidden,
                     s->hidden_q + (size_t)begin * s->ldq_hidden, s->ldq_hidden,
                     s->hidden_row + begin, end - begin, NER_EPILOGUE_NONE,
                     s->qkv + (size_t)begin * s->ld_qkv, s->ld_qkv);
    }
    encoder_barrier(&p);
    if( encoder_cancelled(signal) ) return false;
    encoder_attend(&p, seq_begin, n_seq);
    encoder_barrier(&p);
    for( int b = 0; b < n_blocks; b++ )
      encoder_feed_forward(&p, layer, encoder_block_begin(n_tok, b, n_blocks),
                           encoder_block_begin(n_tok, b + 1, n_blocks), next);
  }
  encoder_share(&p, n_tok, &from, &to);
  if( from < to )
    p.kernels->gemm_f32(s->hidden + (size_t)from * s->ld_hidden, to - from, s->ld_hidden,
                        &w->classifier, 0, ner_panels(c->n_labels), NER_EPILOGUE_NONE,
                        logits + (size_t)from * (size_t)c->n_labels, c->n_labels);
  return true;
}
