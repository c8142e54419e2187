/*
** network_forward.c - the forward pass that keeps what the backward pass needs.
**
** The equations are those of engine/encoder.c, with dropout where transformers has it:
**
**   e = word[id] + position[i] (+ type);  x = drop(LN(e))
**   for each layer:
**     q, k, v = split(x·Wqkvᵀ + b);  q = q/√head
**     c = drop(softmax(q·kᵀ))·v                     per text and head
**     a = [drop](c·Woᵀ + b) + x;  h = LN(a)         BERT alone drops here
**     u = h·W1ᵀ + b
**     f = drop(gelu(u)·W2ᵀ + b) + h;  x = LN(f)
**   logits = drop(x)·Wcᵀ + b
**   loss = mean of -log softmax(logits)[target] over the tokens that have one; with probabilities
**          p in the target's place, of the divergence Σ p·(log p - log softmax(logits))
**
** Attention goes over texts and heads, everything else over blocks of rows.
*/
#include "train/network_tape.h"

#include <math.h>
#include <string.h>

/* Rows [begin, end) of block `job`. */
static int32_t forward_block(const struct ner_tape_pass *pass, int job, int32_t *begin) {
  int32_t left = pass->batch->n_tok - job * NER_TAPE_ROWS;
  *begin = job * NER_TAPE_ROWS;
  return left < NER_TAPE_ROWS ? left : NER_TAPE_ROWS;
}

static void forward_linear(const struct ner_tape_pass *pass, const struct ner_linear *w,
                           const float *x, int ldx, int m, float *y, int ldy) {
  pass->net->kernels->gemm_f32(x, m, ldx, w, 0, ner_panels(w->n_out), NER_EPILOGUE_NONE, y, ldy);
}

static void forward_add(float *y, int ldy, const float *x, int ldx, int m, int n) {
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) y[(size_t)i * (size_t)ldy + k] += x[(size_t)i * (size_t)ldx + k];
}

/* q, k, v of the layer's input. */
static void forward_qkv(const struct ner_tape_pass *pass, int32_t begin, int32_t m) {
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &pass->net->config.model;
  const struct ner_tape_layer *layer = &t->layer[pass->layer];
  const float scale = 1 / sqrtf((float)(c->hidden / c->heads));
  float *qkv = layer->qkv + (size_t)begin * (size_t)t->ld_qkv;
  forward_linear(pass, &ner_tape_linear(pass, NER_TAPE_QKV)->forward,
                 layer->input + (size_t)begin * (size_t)t->ld_hidden, t->ld_hidden, m, qkv,
                 t->ld_qkv);
  for( int32_t i = 0; i < m; i++ )
    for( int32_t k = 0; k < c->hidden; k++ )
      qkv[(size_t)i * (size_t)t->ld_qkv + (size_t)k] *= scale;
}

static void forward_embed_job(void *arg, int job, int rank) {
  struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  const size_t hidden = (size_t)c->hidden, ld = (size_t)t->ld_hidden;
  const float *type = c->architecture == NER_BERT ? net->value + net->layout.type : NULL;
  float *to = c->layers > 0 ? t->layer[0].input : t->output;
  int32_t begin, m = forward_block(pass, job, &begin);
  (void)rank;
  for( int32_t i = begin; i < begin + m; i++ ) {
    const float *word = net->value + net->layout.word + (size_t)pass->batch->word[i] * hidden;
    const float *position = net->value + net->layout.position + (size_t)t->place[i] * hidden;
    float *out = t->embedded + (size_t)i * ld;
    for( size_t k = 0; k < hidden; k++ ) out[k] = word[k] + position[k] + (type ? type[k] : 0);
  }
  to += (size_t)begin * ld;
  net->kernels->layer_norm(t->embedded + (size_t)begin * ld, t->ld_hidden, NULL, 0, m, c->hidden,
                           net->value + net->layout.gain, net->value + net->layout.bias,
                           c->norm_eps, to, t->ld_hidden);
  ner_dropout_rows(pass->dropout, -1, NER_DROPOUT_EMBEDDINGS, (uint64_t)begin, 1, to, m, c->hidden,
                   t->ld_hidden);
  if( c->layers > 0 ) forward_qkv(pass, begin, m);
}

static void forward_attend_job(void *arg, int job, int rank) {
  struct ner_tape_pass *pass = arg;
  const int32_t heads = pass->net->config.model.heads;
  const int32_t *at = pass->batch->seq_begin + job / heads;
  ner_tape_attend(pass, &pass->tape->slot[rank], at[0], at[1] - at[0], job % heads);
}

/* From attention's result to the layer's, and to q, k, v of the next one. */
static void forward_layer_job(void *arg, int job, int rank) {
  struct ner_tape_pass pass = *(struct ner_tape_pass *)arg;
  const struct ner_network *net = pass.net;
  const struct ner_network_tape *t = pass.tape;
  const struct ner_config *c = &net->config.model;
  const struct ner_params_layer *p = &net->layout.layer[pass.layer];
  const struct ner_tape_layer *layer = &t->layer[pass.layer];
  const int ld = t->ld_hidden;
  int32_t begin, m = forward_block(&pass, job, &begin);
  const size_t at = (size_t)begin * (size_t)ld;
  float *inner = layer->inner + (size_t)begin * (size_t)t->ld_ffn, *wide = t->slot[rank].wide;
  float *a = layer->before_attn + at, *h = layer->middle + at, *f = layer->before_ffn + at;
  float *to = pass.layer + 1 < c->layers ? t->layer[pass.layer + 1].input : t->output;
  forward_linear(&pass, &ner_tape_linear(&pass, NER_TAPE_ATTN_OUT)->forward, layer->context + at,
                 ld, m, a, ld);
  if( c->architecture == NER_BERT )
    ner_dropout_rows(pass.dropout, pass.layer, NER_DROPOUT_CONTEXT, (uint64_t)begin, 1, a, m,
                     c->hidden, ld);
  forward_add(a, ld, layer->input + at, ld, m, c->hidden);
  net->kernels->layer_norm(a, ld, NULL, 0, m, c->hidden, net->value + p->attn_gain,
                           net->value + p->attn_bias, c->norm_eps, h, ld);
  forward_linear(&pass, &ner_tape_linear(&pass, NER_TAPE_FFN1)->forward, h, ld, m, inner,
                 t->ld_ffn);
  net->kernels->gelu(inner, m, c->ffn, t->ld_ffn, wide, t->ld_ffn);
  forward_linear(&pass, &ner_tape_linear(&pass, NER_TAPE_FFN2)->forward, wide, t->ld_ffn, m, f, ld);
  ner_dropout_rows(pass.dropout, pass.layer, NER_DROPOUT_FFN, (uint64_t)begin, 1, f, m, c->hidden,
                   ld);
  forward_add(f, ld, h, ld, m, c->hidden);
  net->kernels->layer_norm(f, ld, NULL, 0, m, c->hidden, net->value + p->ffn_gain,
                           net->value + p->ffn_bias, c->norm_eps, to + at, ld);
  pass.layer++;
  if( pass.layer < c->layers ) forward_qkv(&pass, begin, m);
}

/* A token's loss, and the gradient of the mean loss by its logits. */
static double forward_loss(const float *logits, int32_t n, int32_t target, const float *soft,
                           int32_t n_targets, float *grad) {
  double sum = 0, loss = 0, top = logits[0];
  if( target < 0 ) {
    memset(grad, 0, (size_t)n * sizeof *grad);
    return 0;
  }
  for( int32_t k = 1; k < n; k++ ) top = logits[k] > top ? logits[k] : top;
  for( int32_t k = 0; k < n; k++ ) sum += exp(logits[k] - top);
  for( int32_t k = 0; k < n; k++ ) {
    const double p = soft ? soft[k] : k == target;
    grad[k] = (float)((exp(logits[k] - top) / sum - p) / n_targets);
    if( p > 0 ) loss += p * (log(p) + log(sum) - (logits[k] - top));
  }
  return loss;
}

static void forward_classify_job(void *arg, int job, int rank) {
  struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  int32_t begin, m = forward_block(pass, job, &begin);
  float *x = t->output + (size_t)begin * (size_t)t->ld_hidden;
  const size_t n_labels = (size_t)c->n_labels;
  (void)rank;
  ner_dropout_rows(pass->dropout, -1, NER_DROPOUT_CLASSIFIER, (uint64_t)begin, 1, x, m, c->hidden,
                   t->ld_hidden);
  forward_linear(pass, &net->linear[4 * c->layers].forward, x, t->ld_hidden, m,
                 net->logits + (size_t)begin * n_labels, t->ld_labels);
  for( int32_t i = begin; i < begin + m; i++ )
    t->loss[i] =
        forward_loss(net->logits + (size_t)i * n_labels, c->n_labels, pass->batch->target[i],
                     pass->batch->soft ? pass->batch->soft + (size_t)i * n_labels : NULL,
                     net->n_targets, t->d_logits + (size_t)i * n_labels);
}

int ner_network_forward(struct ner_network *net, const struct ner_train_batch *batch,
                        const struct ner_dropout *dropout, const struct ner_cancel *cancel,
                        struct ner_err *err) {
  struct ner_tape_pass pass = {.net = net, .tape = net->tape, .batch = batch, .dropout = dropout};
  const struct ner_config *c = &net->config.model;
  const int blocks = ner_tape_blocks(batch->n_tok);
  int rc;
  net->n_targets = 0;
  for( int32_t i = 0; i < batch->n_tok; i++ ) net->n_targets += batch->target[i] >= 0;
  for( int32_t s = 0; s < batch->n_seq; s++ )
    for( int32_t i = batch->seq_begin[s]; i < batch->seq_begin[s + 1]; i++ )
      net->tape->place[i] = i - batch->seq_begin[s];
  if( (rc = ner_tape_run(&pass, blocks, forward_embed_job, cancel, err)) ) return rc;
  for( pass.layer = 0; pass.layer < c->layers; pass.layer++ )
    if( (rc = ner_tape_run(&pass, batch->n_seq * c->heads, forward_attend_job, cancel, err)) ||
        (rc = ner_tape_run(&pass, blocks, forward_layer_job, cancel, err)) )
      return rc;
  if( (rc = ner_tape_run(&pass, blocks, forward_classify_job, cancel, err)) ) return rc;
  net->loss = 0;
  for( int32_t i = 0; i < batch->n_tok; i++ ) net->loss += net->tape->loss[i];
  if( net->n_targets > 0 ) net->loss /= net->n_targets;
  return NER_OK;
}
