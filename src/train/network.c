/*
** network.c - memory, packing and what both passes use; see network.h.
*/
#include "train/network_tape.h"

#include <string.h>
#include "train/random.h"

/* ---- memory ---- */

int ner_tape_ld(int n) {
  return (((n - 1) / 16 + 1) | 1) * 16;
}

/* Lays n floats at the next cache line; with base NULL it only counts. */
static float *network_carve(char *base, uint64_t *used, uint64_t n) {
  char *at = base ? base + *used : NULL;
  *used += (n * sizeof(float) + 63) / 64 * 64;
  return (float *)(void *)at;
}

static void network_carve_linear(char *base, uint64_t *used, struct ner_network_linear *l,
                                 int32_t n_out, int32_t n_in) {
  const uint64_t out = ner_round_up((size_t)n_out, NER_PANEL), in = (uint64_t)n_in;
  float *forward = network_carve(base, used, out * in);
  float *backward =
      network_carve(base, used, ner_round_up((size_t)n_in, NER_PANEL) * (uint64_t)n_out);
  if( !l ) return;
  l->forward = (struct ner_linear){
      .n_out = n_out, .n_in = n_in, .precision = NER_PRECISION_F32, .packed = forward};
  l->backward = (struct ner_linear){
      .n_out = n_in, .n_in = n_out, .precision = NER_PRECISION_F32, .packed = backward};
}

static void network_carve_layer(char *base, uint64_t *used, uint64_t tok,
                                const struct ner_network_tape *t, struct ner_tape_layer *layer) {
  const uint64_t hidden = tok * (uint64_t)t->ld_hidden;
  layer->input = network_carve(base, used, hidden);
  layer->qkv = network_carve(base, used, tok * (uint64_t)t->ld_qkv);
  layer->context = network_carve(base, used, hidden);
  layer->before_attn = network_carve(base, used, hidden);
  layer->middle = network_carve(base, used, hidden);
  layer->inner = network_carve(base, used, tok * (uint64_t)t->ld_ffn);
  layer->before_ffn = network_carve(base, used, hidden);
}

static void network_carve_slot(char *base, uint64_t *used, const struct ner_config *c,
                               const struct ner_network_tape *t, struct ner_tape_slot *slot) {
  slot->wide = network_carve(base, used, NER_TAPE_ROWS * (uint64_t)t->ld_ffn);
  slot->narrow = network_carve(base, used, NER_TAPE_ROWS * (uint64_t)t->ld_hidden);
  slot->transpose =
      network_carve(base, used, NER_TAPE_OUT * (uint64_t)ner_tape_ld(t->capacity_tok));
  slot->tile = network_carve(base, used, NER_TAPE_OUT * NER_PANEL);
  slot->attention =
      network_carve(base, used, ner_tape_attention_floats(t->longest_tok, c->hidden / c->heads));
}

/* Everything of `net`, whose layout and tape's numbers are known; returns bytes. The arrays of
** structs are there when base is. */
static uint64_t network_lay_out(struct ner_network *net, struct ner_network_tape *t, char *base) {
  const struct ner_config *c = &net->config.model;
  const uint64_t tok = (uint64_t)t->capacity_tok, hidden = tok * (uint64_t)t->ld_hidden;
  const uint64_t blocks = (uint64_t)ner_tape_blocks(t->capacity_tok);
  const uint64_t columns = ner_round_up((size_t)c->hidden, NER_PANEL);
  uint64_t used = 0;
  net->value = network_carve(base, &used, net->layout.n);
  net->grad = network_carve(base, &used, net->layout.n - net->layout.first_trained);
  if( base ) net->grad -= net->layout.first_trained;
  for( int32_t i = 0; i < c->layers; i++ ) {
    struct ner_network_linear *l = base ? &net->linear[4 * i] : NULL;
    network_carve_linear(base, &used, l ? &l[NER_TAPE_QKV] : NULL, 3 * c->hidden, c->hidden);
    network_carve_linear(base, &used, l ? &l[NER_TAPE_ATTN_OUT] : NULL, c->hidden, c->hidden);
    network_carve_linear(base, &used, l ? &l[NER_TAPE_FFN1] : NULL, c->ffn, c->hidden);
    network_carve_linear(base, &used, l ? &l[NER_TAPE_FFN2] : NULL, c->hidden, c->ffn);
  }
  network_carve_linear(base, &used, base ? &net->linear[4 * c->layers] : NULL, c->n_labels,
                       c->hidden);
  net->logits = network_carve(base, &used, tok * (uint64_t)t->ld_labels);
  t->place = (int32_t *)(void *)network_carve(base, &used, tok);
  t->embedded = network_carve(base, &used, hidden);
  for( int32_t i = 0; i < c->layers; i++ ) {
    struct ner_tape_layer counted;
    network_carve_layer(base, &used, tok, t, base ? &t->layer[i] : &counted);
  }
  t->output = network_carve(base, &used, hidden);
  t->loss = (double *)(void *)network_carve(base, &used, 2 * tok);
  for( int i = 0; i < t->n_slots; i++ ) {
    struct ner_tape_slot counted;
    network_carve_slot(base, &used, c, t, base ? &t->slot[i] : &counted);
  }
  t->d_logits = network_carve(base, &used, tok * (uint64_t)t->ld_labels);
  t->d_output = network_carve(base, &used, hidden);
  t->d_ffn = network_carve(base, &used, hidden);
  t->d_inner = network_carve(base, &used, tok * (uint64_t)t->ld_ffn);
  t->d_middle = network_carve(base, &used, hidden);
  t->d_out = network_carve(base, &used, hidden);
  t->d_context = network_carve(base, &used, hidden);
  t->d_qkv = network_carve(base, &used, tok * (uint64_t)t->ld_qkv);
  t->norms = network_carve(base, &used, blocks * 4 * (uint64_t)c->hidden);
  t->packed_input = network_carve(base, &used, tok * columns);
  t->packed_context = network_carve(base, &used, tok * columns);
  t->packed_middle = network_carve(base, &used, tok * columns);
  t->packed_inner = network_carve(base, &used, tok * ner_round_up((size_t)c->ffn, NER_PANEL));
  return used;
}

static void network_measure(const struct ner_params_config *config, int32_t capacity_tok,
                            struct ner_network_tape *t) {
  const struct ner_config *c = &config->model;
  t->capacity_tok = capacity_tok;
  t->longest_tok = c->max_tokens < capacity_tok ? c->max_tokens : capacity_tok;
  t->n_slots = ner_pool_threads(0);
  t->ld_hidden = ner_tape_ld(c->hidden);
  t->ld_qkv = ner_tape_ld(3 * c->hidden);
  t->ld_ffn = ner_tape_ld(c->ffn);
  t->ld_labels = c->n_labels;
}

uint64_t ner_network_bytes(const struct ner_params_config *config, int32_t capacity_tok) {
  struct ner_network net = {.config = *config};
  struct ner_network_tape tape = {0};
  uint64_t n;
  if( ner_params_layout_new(config, &net.layout, NULL) ) return 0;
  network_measure(config, capacity_tok, &tape);
  n = network_lay_out(&net, &tape, NULL);
  ner_params_layout_free(&net.layout);
  return n;
}

int ner_network_new(const struct ner_params_config *config, int32_t capacity_tok,
                    struct ner_network **out, struct ner_err *err) {
  const struct ner_config *c = &config->model;
  struct ner_network *net = ner_calloc(1, sizeof *net);
  struct ner_network_tape *t;
  uint64_t n_bytes;
  int rc = NER_OK;
  *out = NULL;
  if( !net ) return ner_fail_nomem(err);
  net->config = *config;
  net->kernels = ner_kernels_get(err);
  if( !net->kernels ) rc = NER_ERROR;
  if( rc == NER_OK ) rc = ner_params_layout_new(config, &net->layout, err);
  net->tape = t = ner_calloc(1, sizeof *t);
  net->linear = ner_calloc(4 * (size_t)c->layers + 1, sizeof *net->linear);
  if( rc == NER_OK && (!t || !net->linear) ) rc = ner_fail_nomem(err);
  if( rc == NER_OK ) {
    network_measure(config, capacity_tok, t);
    t->layer = ner_calloc((size_t)c->layers, sizeof *t->layer);
    t->slot = ner_calloc((size_t)t->n_slots, sizeof *t->slot);
    n_bytes = network_lay_out(net, t, NULL);
    if( t->layer && t->slot && n_bytes <= SIZE_MAX )
      t->memory = ner_aligned_alloc((size_t)n_bytes, 1);
    if( !t->memory ) rc = ner_fail_nomem(err);
  }
  if( rc ) {
    ner_network_free(net);
    return rc;
  }
  network_lay_out(net, t, t->memory);
  /* What stands behind biases up to whole panels is read. Everything else is written first. */
  memset(net->value, 0, net->layout.n * sizeof *net->value);
  *out = net;
  return NER_OK;
}

void ner_network_free(struct ner_network *net) {
  if( !net ) return;
  if( net->tape ) {
    ner_aligned_free(net->tape->memory);
    NER_FREE(net->tape->layer);
    NER_FREE(net->tape->slot);
    NER_FREE(net->tape);
  }
  NER_FREE(net->linear);
  ner_params_layout_free(&net->layout);
  NER_FREE(net);
}

/* ---- packing ---- */

/* The packed forms of a weight. They are found by the place of the weight: there are few. */
static struct ner_network_linear *network_linear_of(struct ner_network *net,
                                                    const struct ner_params_linear *linear) {
  const int32_t layers = net->config.model.layers;
  for( int32_t i = 0; i < layers; i++ ) {
    const struct ner_params_layer *layer = &net->layout.layer[i];
    struct ner_network_linear *l = &net->linear[4 * i];
    if( linear->weight == layer->qkv.weight ) return &l[NER_TAPE_QKV];
    if( linear->weight == layer->out.weight ) return &l[NER_TAPE_ATTN_OUT];
    if( linear->weight == layer->ffn1.weight ) return &l[NER_TAPE_FFN1];
    if( linear->weight == layer->ffn2.weight ) return &l[NER_TAPE_FFN2];
  }
  return &net->linear[4 * layers];
}

void ner_network_pack_rows(struct ner_network *net, const struct ner_params_linear *linear,
                           int32_t begin, int32_t end) {
  struct ner_network_linear *to = network_linear_of(net, linear);
  const size_t in = (size_t)linear->n_in;
  const float *rows = net->value + linear->weight + (size_t)begin * in;
  to->forward.bias = net->value + linear->bias;
  net->kernels->pack(rows, end - begin, linear->n_in, linear->n_in,
                     (float *)to->forward.packed + (size_t)begin * in);
  ner_tape_pack_rows(rows, end - begin, linear->n_in, linear->n_in, (float *)to->backward.packed,
                     linear->n_out, begin);
}

struct network_packing {
  struct ner_network *net;
};

static const struct ner_params_linear *network_params_linear(const struct ner_network *net, int i) {
  const struct ner_params_layer *layer = &net->layout.layer[i / 4];
  if( i == 4 * net->config.model.layers ) return &net->layout.classifier;
  switch( i % 4 ) {
  case NER_TAPE_QKV: return &layer->qkv;
  case NER_TAPE_ATTN_OUT: return &layer->out;
  case NER_TAPE_FFN1: return &layer->ffn1;
  default: return &layer->ffn2;
  }
}

static void network_pack_job(void *arg, int job, int rank) {
  struct ner_network *net = arg;
  const struct ner_params_linear *linear = network_params_linear(net, job);
  (void)rank;
  ner_network_pack_rows(net, linear, 0, linear->n_out);
}

int ner_network_pack(struct ner_network *net, const struct ner_cancel *cancel,
                     struct ner_err *err) {
  if( ner_pool_run(NER_POOL_MAX_THREADS, 4 * net->config.model.layers + 1, network_pack_job, net,
                   cancel) )
    return ner_fail_interrupted(err);
  return NER_OK;
}

/* ---- what both passes use ---- */

void ner_tape_pack_rows(const float *x, int m, int n, int ld, float *packed, int n_tok, int row) {
  for( int p = 0; p < n; p += NER_PANEL, packed += (size_t)n_tok * NER_PANEL ) {
    const size_t cols = n - p < NER_PANEL ? (size_t)(n - p) : NER_PANEL;
    for( int i = 0; i < m; i++ ) {
      float *to = packed + ((size_t)row + (size_t)i) * NER_PANEL;
      const float *from = x + (size_t)i * (size_t)ld + p;
      if( cols == NER_PANEL ) { /* of a size known here: no call */
        memcpy(to, from, NER_PANEL * sizeof *to);
      } else {
        memcpy(to, from, cols * sizeof *to);
        memset(to + cols, 0, (NER_PANEL - cols) * sizeof *to);
      }
    }
  }
}

void ner_tape_transpose(const struct ner_kernels *kernels, const float *x, int m, int n, int ld,
                        float *tile, float *out, int ldo) {
  for( int i = 0; i < m; i += NER_PANEL ) {
    const int rows = m - i < NER_PANEL ? m - i : NER_PANEL;
    kernels->pack(x + (size_t)i * (size_t)ld, rows, n, ld, tile); /* [n, 16] */
    for( int k = 0; k < n; k++ ) {
      float *to = out + (size_t)k * (size_t)ldo + i;
      if( rows == NER_PANEL )
        memcpy(to, tile + (size_t)k * NER_PANEL, NER_PANEL * sizeof *to);
      else
        memcpy(to, tile + (size_t)k * NER_PANEL, (size_t)rows * sizeof *to);
    }
  }
}

/* One random number of 64 bits serves four numbers: a rate is good to 1/65536. */
void ner_dropout_rows(const struct ner_dropout *dropout, int32_t layer, enum ner_dropout_site site,
                      uint64_t row, uint64_t step, float *x, int m, int n, int ld) {
  const uint32_t cut = (uint32_t)(dropout->rate * 65536 + 0.5f);
  const float scale = 65536.0f / (float)(65536 - cut);
  const uint64_t key = ner_train_mix(dropout->key ^ ((uint64_t)(layer + 1) * 4 + site));
  if( dropout->rate <= 0 ) return;
  for( int i = 0; i < m; i++, row += step ) {
    const uint64_t row_key = ner_train_mix(key + row);
    float *at = x + (size_t)i * (size_t)ld;
    int k = 0;
    for( ; k + 4 <= n; k += 4 ) {
      const uint64_t bits = ner_train_mix(row_key + (uint64_t)k);
      at[k] *= (bits & 0xFFFF) >= cut ? scale : 0;
      at[k + 1] *= (bits >> 16 & 0xFFFF) >= cut ? scale : 0;
      at[k + 2] *= (bits >> 32 & 0xFFFF) >= cut ? scale : 0;
      at[k + 3] *= bits >> 48 >= cut ? scale : 0;
    }
    if( k < n ) {
      uint64_t bits = ner_train_mix(row_key + (uint64_t)k);
      for( ; k < n; k++, bits >>= 16 ) at[k] *= (bits & 0xFFFF) >= cut ? scale : 0;
    }
  }
}

int ner_tape_run(struct ner_tape_pass *pass, int n_jobs, void (*fn)(void *arg, int job, int rank),
                 const struct ner_cancel *cancel, struct ner_err *err) {
  /* The pool asks between jobs; a step of one job, or the last one, is asked about here. */
  if( ner_pool_run(pass->tape->n_slots, n_jobs, fn, pass, cancel) || ner_cancelled(cancel) )
    return ner_fail_interrupted(err);
  return NER_OK;
}
