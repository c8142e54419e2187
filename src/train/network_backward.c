/*
** network_backward.c - gradients of the mean loss by every trained parameter.
**
** From the classifier down, four steps for each layer, each over the pool:
**   rows       the norms, the feed-forward and attention's output, block by block of rows
**   heads      attention, text by text and head by head
**   rows       back through q, k, v to the layer's input
**   weights    dW = dyᵀ·x over all rows of the batch, block by block of W's rows
** A gradient of W is so written once, as one sum over the batch's tokens. Those of gains and biases
** of norms are summed block by block of rows, and then over the blocks.
*/
#include "train/network_tape.h"

#include <string.h>

static int32_t backward_block(const struct ner_tape_pass *pass, int job, int32_t *begin) {
  int32_t left = pass->batch->n_tok - job * NER_TAPE_ROWS;
  *begin = job * NER_TAPE_ROWS;
  return left < NER_TAPE_ROWS ? left : NER_TAPE_ROWS;
}

/* dx = dy·W for m rows. */
static void backward_linear(const struct ner_tape_pass *pass, const struct ner_network_linear *w,
                            const float *dy, int ldd, int m, float *dx, int ldx) {
  pass->net->kernels->gemm_f32(dy, m, ldd, &w->backward, 0, ner_panels(w->backward.n_out),
                               NER_EPILOGUE_NONE, dx, ldx);
}

static void backward_add(float *y, int ldy, const float *x, int ldx, int m, int n) {
  for( int i = 0; i < m; i++ )
    for( int k = 0; k < n; k++ ) y[(size_t)i * (size_t)ldy + k] += x[(size_t)i * (size_t)ldx + k];
}

/* Rows of x as a linear layer's input, for its weight's gradient. */
static void backward_pack(const struct ner_tape_pass *pass, const float *x, int ld, int n,
                          int32_t begin, int32_t m, float *packed) {
  ner_tape_pack_rows(x + (size_t)begin * (size_t)ld, m, n, ld, packed, pass->batch->n_tok, begin);
}

/* ---- weights ---- */

/* Rows [row, ...) of one weight's gradient, and of its bias's. */
static void backward_weight(const struct ner_tape_pass *pass, const struct ner_tape_slot *slot,
                            const struct ner_params_linear *w, int row, const float *dy, int ldd,
                            const float *packed) {
  const struct ner_network *net = pass->net;
  const int n_tok = pass->batch->n_tok, ld = ner_tape_ld(n_tok);
  const int rows = w->n_out - row < NER_TAPE_OUT ? w->n_out - row : NER_TAPE_OUT;
  const struct ner_linear x = {
      .n_out = w->n_in, .n_in = n_tok, .precision = NER_PRECISION_F32, .packed = packed};
  ner_tape_transpose(net->kernels, dy + row, n_tok, rows, ldd, slot->tile, slot->transpose, ld);
  net->kernels->gemm_f32(slot->transpose, rows, ld, &x, 0, ner_panels(w->n_in), NER_EPILOGUE_NONE,
                         net->grad + w->weight + (size_t)row * (size_t)w->n_in, w->n_in);
  for( int i = 0; i < rows; i++ ) {
    const float *at = slot->transpose + (size_t)i * (size_t)ld;
    double sum = 0;
    for( int t = 0; t < n_tok; t++ ) sum += at[t];
    net->grad[w->bias + (size_t)row + (size_t)i] = (float)sum;
  }
}

/* Sums the blocks' parts of a norm's gradients: numbers [part·hidden, (part+1)·hidden). */
static void backward_norm(const struct ner_tape_pass *pass, int part, size_t to) {
  const struct ner_network *net = pass->net;
  const size_t hidden = (size_t)net->config.model.hidden;
  const int blocks = ner_tape_blocks(pass->batch->n_tok);
  memset(net->grad + to, 0, hidden * sizeof *net->grad);
  for( int b = 0; b < blocks; b++ ) {
    const float *from = pass->tape->norms + ((size_t)b * 4 + (size_t)part) * hidden;
    for( size_t k = 0; k < hidden; k++ ) net->grad[to + k] += from[k];
  }
}

static int backward_weight_jobs(const struct ner_params_linear *w) {
  return (w->n_out + NER_TAPE_OUT - 1) / NER_TAPE_OUT;
}

static void backward_weights_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_params_layer *p = &pass->net->layout.layer[pass->layer];
  const struct {
    const struct ner_params_linear *w;
    const float *dy;
    int ld;
    const float *packed;
  } all[] = {{&p->ffn2, t->d_ffn, t->ld_hidden, t->packed_inner},
             {&p->ffn1, t->d_inner, t->ld_ffn, t->packed_middle},
             {&p->qkv, t->d_qkv, t->ld_qkv, t->packed_input},
             {&p->out, t->d_out, t->ld_hidden, t->packed_context}};
  for( int i = 0; i < 4; i++ ) {
    const int n = backward_weight_jobs(all[i].w);
    if( job < n ) {
      backward_weight(pass, &t->slot[rank], all[i].w, job * NER_TAPE_OUT, all[i].dy, all[i].ld,
                      all[i].packed);
      return;
    }
    job -= n;
  }
  backward_norm(pass, 0, p->attn_gain);
  backward_norm(pass, 1, p->attn_bias);
  backward_norm(pass, 2, p->ffn_gain);
  backward_norm(pass, 3, p->ffn_bias);
}

static int backward_weights(struct ner_tape_pass *pass, const struct ner_cancel *cancel,
                            struct ner_err *err) {
  const struct ner_params_layer *p = &pass->net->layout.layer[pass->layer];
  int n = backward_weight_jobs(&p->ffn2) + backward_weight_jobs(&p->ffn1) +
          backward_weight_jobs(&p->qkv) + backward_weight_jobs(&p->out) + 1;
  return ner_tape_run(pass, n, backward_weights_job, cancel, err);
}

/* ---- rows ---- */

static void backward_classify_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  int32_t begin, m = backward_block(pass, job, &begin);
  float *d = t->d_output + (size_t)begin * (size_t)t->ld_hidden;
  (void)rank;
  backward_linear(pass, &net->linear[4 * c->layers],
                  t->d_logits + (size_t)begin * (size_t)t->ld_labels, t->ld_labels, m, d,
                  t->ld_hidden);
  ner_dropout_rows(pass->dropout, -1, NER_DROPOUT_CLASSIFIER, (uint64_t)begin, 1, d, m, c->hidden,
                   t->ld_hidden);
  backward_pack(pass, t->output, t->ld_hidden, c->hidden, begin, m, t->packed_input);
}

static void backward_classifier_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network_tape *t = pass->tape;
  backward_weight(pass, &t->slot[rank], &pass->net->layout.classifier, job * NER_TAPE_OUT,
                  t->d_logits, t->ld_labels, t->packed_input);
}

/* From the layer's result to attention's: d_ffn, d_inner, d_middle, d_out, d_context. */
static void backward_layer_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  const struct ner_params_layer *p = &net->layout.layer[pass->layer];
  const struct ner_tape_layer *layer = &t->layer[pass->layer];
  const int ld = t->ld_hidden, hidden = c->hidden;
  int32_t begin, m = backward_block(pass, job, &begin);
  const size_t at = (size_t)begin * (size_t)ld, inner_at = (size_t)begin * (size_t)t->ld_ffn;
  float *norms = t->norms + (size_t)job * 4 * (size_t)hidden;
  float *narrow = t->slot[rank].narrow, *wide = t->slot[rank].wide;
  float *d_ffn = t->d_ffn + at, *d_inner = t->d_inner + inner_at;
  float *d_middle = t->d_middle + at, *d_out = t->d_out + at;
  memset(norms, 0, 4 * (size_t)hidden * sizeof *norms);
  /* `narrow` is the gradient of the last norm's input: of ffn2's result and of `middle`. */
  net->kernels->layer_norm_grad(layer->before_ffn + at, ld, t->d_output + at, ld, m, hidden,
                                net->value + p->ffn_gain, c->norm_eps, narrow, ld,
                                norms + 2 * hidden, norms + 3 * hidden);
  for( int32_t i = 0; i < m; i++ )
    memcpy(d_ffn + (size_t)i * (size_t)ld, narrow + (size_t)i * (size_t)ld,
           (size_t)hidden * sizeof *d_ffn);
  ner_dropout_rows(pass->dropout, pass->layer, NER_DROPOUT_FFN, (uint64_t)begin, 1, d_ffn, m,
                   hidden, ld);
  backward_linear(pass, ner_tape_linear(pass, NER_TAPE_FFN2), d_ffn, ld, m, d_inner, t->ld_ffn);
  net->kernels->gelu_grad(layer->inner + inner_at, m, c->ffn, t->ld_ffn, d_inner, t->ld_ffn);
  net->kernels->gelu(layer->inner + inner_at, m, c->ffn, t->ld_ffn, wide, t->ld_ffn);
  ner_tape_pack_rows(wide, m, c->ffn, t->ld_ffn, t->packed_inner, pass->batch->n_tok, begin);
  backward_linear(pass, ner_tape_linear(pass, NER_TAPE_FFN1), d_inner, t->ld_ffn, m, d_middle, ld);
  backward_add(d_middle, ld, narrow, ld, m, hidden);
  net->kernels->layer_norm_grad(layer->before_attn + at, ld, d_middle, ld, m, hidden,
                                net->value + p->attn_gain, c->norm_eps, d_middle, ld, norms,
                                norms + hidden);
  for( int32_t i = 0; i < m; i++ )
    memcpy(d_out + (size_t)i * (size_t)ld, d_middle + (size_t)i * (size_t)ld,
           (size_t)hidden * sizeof *d_out);
  if( c->architecture == NER_BERT )
    ner_dropout_rows(pass->dropout, pass->layer, NER_DROPOUT_CONTEXT, (uint64_t)begin, 1, d_out, m,
                     hidden, ld);
  backward_linear(pass, ner_tape_linear(pass, NER_TAPE_ATTN_OUT), d_out, ld, m, t->d_context + at,
                  ld);
  backward_pack(pass, layer->middle, ld, hidden, begin, m, t->packed_middle);
  backward_pack(pass, layer->context, ld, hidden, begin, m, t->packed_context);
  backward_pack(pass, layer->input, ld, hidden, begin, m, t->packed_input);
}

static void backward_attend_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const int32_t heads = pass->net->config.model.heads;
  const int32_t *at = pass->batch->seq_begin + job / heads;
  ner_tape_attend_back(pass, &pass->tape->slot[rank], at[0], at[1] - at[0], job % heads);
}

/* d_output: of the layer's input. */
static void backward_input_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network_tape *t = pass->tape;
  int32_t begin, m = backward_block(pass, job, &begin);
  float *d = t->d_output + (size_t)begin * (size_t)t->ld_hidden;
  (void)rank;
  backward_linear(pass, ner_tape_linear(pass, NER_TAPE_QKV),
                  t->d_qkv + (size_t)begin * (size_t)t->ld_qkv, t->ld_qkv, m, d, t->ld_hidden);
  backward_add(d, t->ld_hidden, t->d_middle + (size_t)begin * (size_t)t->ld_hidden, t->ld_hidden, m,
               pass->net->config.model.hidden);
}

/* ---- embeddings ---- */

static void backward_embed_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  int32_t begin, m = backward_block(pass, job, &begin);
  const size_t at = (size_t)begin * (size_t)t->ld_hidden;
  float *norms = t->norms + (size_t)job * 4 * (size_t)c->hidden;
  (void)rank;
  memset(norms, 0, 4 * (size_t)c->hidden * sizeof *norms);
  ner_dropout_rows(pass->dropout, -1, NER_DROPOUT_EMBEDDINGS, (uint64_t)begin, 1, t->d_output + at,
                   m, c->hidden, t->ld_hidden);
  net->kernels->layer_norm_grad(t->embedded + at, t->ld_hidden, t->d_output + at, t->ld_hidden, m,
                                c->hidden, net->value + net->layout.gain, c->norm_eps,
                                t->d_output + at, t->ld_hidden, norms, norms + c->hidden);
}

enum { BACKWARD_COLUMNS = 32 }; /* of a job: two cache lines of each row */

/* Columns of all tables: each token adds its row, in the order of the batch. */
static void backward_scatter_job(void *arg, int job, int rank) {
  const struct ner_tape_pass *pass = arg;
  const struct ner_network *net = pass->net;
  const struct ner_network_tape *t = pass->tape;
  const struct ner_config *c = &net->config.model;
  const size_t hidden = (size_t)c->hidden, first = (size_t)job * BACKWARD_COLUMNS;
  const size_t n = hidden - first < BACKWARD_COLUMNS ? hidden - first : BACKWARD_COLUMNS;
  float *word = net->grad + net->layout.word + first;
  float *position = net->grad + net->layout.position + first;
  float *type = c->architecture == NER_BERT ? net->grad + net->layout.type + first : NULL;
  (void)rank;
  if( job == 0 ) {
    backward_norm(pass, 0, net->layout.gain);
    backward_norm(pass, 1, net->layout.bias);
  }
  for( size_t i = 0; i < (size_t)net->config.n_words; i++ )
    memset(word + i * hidden, 0, n * sizeof *word);
  for( size_t i = 0; i < (size_t)c->max_positions; i++ )
    memset(position + i * hidden, 0, n * sizeof *position);
  if( type ) memset(type, 0, n * sizeof *type);
  for( int32_t i = 0; i < pass->batch->n_tok; i++ ) {
    const float *d = t->d_output + (size_t)i * (size_t)t->ld_hidden + first;
    float *to_word = word + (size_t)pass->batch->word[i] * hidden;
    float *to_position = position + (size_t)t->place[i] * hidden;
    for( size_t k = 0; k < n; k++ ) {
      to_word[k] += d[k];
      to_position[k] += d[k];
    }
    for( size_t k = 0; type && k < n; k++ ) type[k] += d[k];
  }
}

/* ---- the pass ---- */

int ner_network_backward(struct ner_network *net, const struct ner_train_batch *batch,
                         const struct ner_dropout *dropout, const struct ner_cancel *cancel,
                         struct ner_err *err) {
  struct ner_tape_pass pass = {.net = net, .tape = net->tape, .batch = batch, .dropout = dropout};
  const struct ner_config *c = &net->config.model;
  const int blocks = ner_tape_blocks(batch->n_tok);
  const int columns = (c->hidden + BACKWARD_COLUMNS - 1) / BACKWARD_COLUMNS;
  int rc;
  if( (rc = ner_tape_run(&pass, blocks, backward_classify_job, cancel, err)) ||
      (rc = ner_tape_run(&pass, backward_weight_jobs(&net->layout.classifier),
                         backward_classifier_job, cancel, err)) )
    return rc;
  for( pass.layer = c->layers - 1; pass.layer >= net->config.freeze; pass.layer-- )
    if( (rc = ner_tape_run(&pass, blocks, backward_layer_job, cancel, err)) ||
        (rc = ner_tape_run(&pass, batch->n_seq * c->heads, backward_attend_job, cancel, err)) ||
        (rc = ner_tape_run(&pass, blocks, backward_input_job, cancel, err)) ||
        (rc = backward_weights(&pass, cancel, err)) )
      return rc;
  if( net->config.freeze > 0 ) return NER_OK;
  if( (rc = ner_tape_run(&pass, blocks, backward_embed_job, cancel, err)) ) return rc;
  return ner_tape_run(&pass, columns, backward_scatter_job, cancel, err);
}
