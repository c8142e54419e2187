/*
** network_attention.c - attention of one head over one text, forward and backward.
**
** With S = q·kᵀ (q already times 1/√head), P = softmax(S), P̃ = drop(P), c = P̃·v:
**   dv = P̃ᵀ·dc
**   dP = drop(dc·vᵀ),  dS = P∘(dP - Σ P∘dP)
**   dq = dS·k,  dk = dSᵀ·q
** P is not kept but computed again: [n_tok, n_tok] for each head would be the largest of the
** activations, and is the cheapest. All products are gemm_f32's with one operand packed as weights.
*/
#include "train/network_tape.h"

#include <math.h>
#include <string.h>

/* Scratch of one text and head, n tokens of `head` numbers. */
struct attention_scratch {
  int ld;        /* floats between rows of scores */
  float *keys;   /* panels of [n, head]: the panels' columns are tokens */
  float *values; /* the same of v */
  float
      *columns; /* panels of [head, n]: the panels' columns are numbers; of k, q, v or dc in turn */
  float *scores; /* [n, ld] P, then P̃ */
  float *grad;   /* [n, ld] */
  float *turned; /* [n, ld] of one of them, transposed */
  float *tile;   /* [n, 16] */
};

static size_t attention_lay_out(int32_t n, int head, float *base, struct attention_scratch *out) {
  const size_t tok = ner_round_up((size_t)n, NER_PANEL);
  const size_t dim = ner_round_up((size_t)head, NER_PANEL);
  size_t used = 0;
  struct attention_scratch s = {.ld = ner_tape_ld(n)};
  const size_t square = (size_t)n * (size_t)s.ld;
  if( !base ) return 2 * tok * (size_t)head + dim * (size_t)n + 3 * square + tok * NER_PANEL;
  s.keys = base + used, used += tok * (size_t)head;
  s.values = base + used, used += tok * (size_t)head;
  s.columns = base + used, used += dim * (size_t)n;
  s.scores = base + used, used += square;
  s.grad = base + used, used += square;
  s.turned = base + used, used += square;
  s.tile = base + used, used += tok * NER_PANEL;
  *out = s;
  return used;
}

size_t ner_tape_attention_floats(int32_t longest_tok, int head) {
  return attention_lay_out(longest_tok, head, NULL, NULL);
}

/* y [m, n_out] = x [m, n_in] · panels. */
static void attention_product(const struct ner_kernels *kernels, const float *x, int ldx, int m,
                              const float *panels, int n_out, int n_in, float *y, int ldy) {
  const struct ner_linear w = {
      .n_out = n_out, .n_in = n_in, .precision = NER_PRECISION_F32, .packed = panels};
  kernels->gemm_f32(x, m, ldx, &w, 0, ner_panels(n_out), NER_EPILOGUE_NONE, y, ldy);
}

/* P into s->scores. */
static void attention_weights(const struct ner_tape_pass *pass, const float *qkv, int32_t n,
                              const struct attention_scratch *s) {
  const struct ner_kernels *kernels = pass->net->kernels;
  const struct ner_config *c = &pass->net->config.model;
  const int head = c->hidden / c->heads, ld = pass->tape->ld_qkv;
  kernels->pack(qkv + c->hidden, n, head, ld, s->keys);
  attention_product(kernels, qkv, ld, n, s->keys, n, head, s->scores, s->ld);
  kernels->softmax(s->scores, n, n, s->ld);
}

static void attention_drop(const struct ner_tape_pass *pass, int32_t row, int32_t n, int32_t head,
                           float *x, int ld) {
  const uint64_t heads = (uint64_t)pass->net->config.model.heads;
  ner_dropout_rows(pass->dropout, pass->layer, NER_DROPOUT_WEIGHTS,
                   (uint64_t)row * heads + (uint64_t)head, heads, x, n, n, ld);
}

void ner_tape_attend(const struct ner_tape_pass *pass, const struct ner_tape_slot *slot,
                     int32_t row, int32_t n, int32_t head) {
  const struct ner_network_tape *t = pass->tape;
  const struct ner_tape_layer *layer = &t->layer[pass->layer];
  const struct ner_config *c = &pass->net->config.model;
  const int width = c->hidden / c->heads;
  const float *qkv = layer->qkv + (size_t)row * (size_t)t->ld_qkv + head * width;
  struct attention_scratch s;
  attention_lay_out(n, width, slot->attention, &s);
  attention_weights(pass, qkv, n, &s);
  attention_drop(pass, row, n, head, s.scores, s.ld);
  ner_tape_pack_rows(qkv + 2 * c->hidden, n, width, t->ld_qkv, s.columns, n, 0);
  attention_product(pass->net->kernels, s.scores, s.ld, n, s.columns, width, n,
                    layer->context + (size_t)row * (size_t)t->ld_hidden + head * width,
                    t->ld_hidden);
}

void ner_tape_attend_back(const struct ner_tape_pass *pass, const struct ner_tape_slot *slot,
                          int32_t row, int32_t n, int32_t head) {
  const struct ner_network_tape *t = pass->tape;
  const struct ner_tape_layer *layer = &t->layer[pass->layer];
  const struct ner_kernels *kernels = pass->net->kernels;
  const struct ner_config *c = &pass->net->config.model;
  const int width = c->hidden / c->heads, ld = t->ld_qkv;
  const size_t at = (size_t)row * (size_t)ld + (size_t)(head * width);
  const float *qkv = layer->qkv + at;
  const float *dc = t->d_context + (size_t)row * (size_t)t->ld_hidden + head * width;
  const float scale = 1 / sqrtf((float)width);
  float *d_qkv = t->d_qkv + at;
  struct attention_scratch s;
  attention_lay_out(n, width, slot->attention, &s);
  attention_weights(pass, qkv, n, &s);
  /* dP, from dc and v. */
  kernels->pack(qkv + 2 * c->hidden, n, width, ld, s.values);
  attention_product(kernels, dc, t->ld_hidden, n, s.values, n, width, s.grad, s.ld);
  attention_drop(pass, row, n, head, s.grad, s.ld);
  kernels->softmax_grad(s.scores, s.grad, n, n, s.ld);
  /* dq = dS·k */
  ner_tape_pack_rows(qkv + c->hidden, n, width, ld, s.columns, n, 0);
  attention_product(kernels, s.grad, s.ld, n, s.columns, width, n, d_qkv, ld);
  for( int32_t i = 0; i < n; i++ )
    for( int k = 0; k < width; k++ ) d_qkv[(size_t)i * (size_t)ld + (size_t)k] *= scale;
  /* dk = dSᵀ·q */
  ner_tape_transpose(kernels, s.grad, n, n, s.ld, s.tile, s.turned, s.ld);
  ner_tape_pack_rows(qkv, n, width, ld, s.columns, n, 0);
  attention_product(kernels, s.turned, s.ld, n, s.columns, width, n, d_qkv + c->hidden, ld);
  /* dv = P̃ᵀ·dc */
  attention_drop(pass, row, n, head, s.scores, s.ld);
  ner_tape_transpose(kernels, s.scores, n, n, s.ld, s.tile, s.turned, s.ld);
  ner_tape_pack_rows(dc, n, width, t->ld_hidden, s.columns, n, 0);
  attention_product(kernels, s.turned, s.ld, n, s.columns, width, n, d_qkv + 2 * c->hidden, ld);
}
