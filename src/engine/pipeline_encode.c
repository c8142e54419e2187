/*
** pipeline_encode.c - batches → probabilities; see pipeline_run.h.
**
** Each worker runs whole batches, or all run one batch after the other as a team.
*/
#include "engine/pipeline_run.h"
#include "engine/spans.h"

/* A member of a team should have this much to do, 0.1 to 0.5 ms: waking it and meeting
** it at some five barriers a layer takes some 0.05 ms. */
#define PIPELINE_MEMBER_MIN_FLOP 20e6

/* Sized for the largest batch, not for what the model allows: a small file may claim 65 536 tokens
** at once and 4 096 labels, which are 1 GB of logits. */
static int pipeline_open_worker(struct pipeline_worker *worker, const struct pipeline_run *run,
                                struct ner_err *err) {
  size_t n_labels = (size_t)run->model->config.n_labels;
  int code = ner_session_acquire(run->model, &worker->session, err);
  if( code ) return code;
  worker->ids = ner_alloc(run->batch_tok, sizeof *worker->ids);
  worker->seq_begin = ner_alloc(run->batch_tok + 1, sizeof *worker->seq_begin);
  worker->logits = ner_alloc(run->batch_tok, n_labels * sizeof *worker->logits);
  return worker->ids && worker->seq_begin && worker->logits ? NER_OK : ner_fail_nomem(err);
}

static void pipeline_close_worker(struct pipeline_worker *worker) {
  if( worker->session ) ner_session_release(worker->session);
  NER_FREE(worker->ids);
  NER_FREE(worker->seq_begin);
  NER_FREE(worker->logits);
  *worker = (struct pipeline_worker){0};
}

/* When memory is short, fewer workers than wanted are enough; one is necessary. */
int ner_pipeline_open_workers(struct pipeline_run *run, struct ner_err *err) {
  int code;
  run->worker = ner_calloc((size_t)run->n_workers_wanted, sizeof *run->worker);
  if( !run->worker ) return ner_fail_nomem(err);
  while( run->n_workers < run->n_workers_wanted ) {
    struct ner_err why = {0};
    code = pipeline_open_worker(&run->worker[run->n_workers], run, &why);
    if( code ) {
      pipeline_close_worker(&run->worker[run->n_workers]);
      return run->n_workers > 0 ? NER_OK : ner_fail(err, code, "%s", why.msg);
    }
    run->n_workers++;
  }
  return NER_OK;
}

void ner_pipeline_close_workers(struct pipeline_run *run) {
  for( int i = 0; i < run->n_workers; i++ ) pipeline_close_worker(&run->worker[i]);
  NER_FREE(run->worker);
}

/* Lays the parts [begin, end) end to end. Returns the number of tokens. */
static int32_t pipeline_lay_out(const struct pipeline_run *run, size_t begin, size_t end,
                                struct pipeline_worker *worker) {
  const struct ner_template *around = ner_tokenizer_template(run->model->tokenizer);
  int32_t n_tok = 0;
  for( size_t i = begin; i < end; i++ ) {
    const struct pipeline_part *part = &run->part[i];
    const struct ner_token *token = run->outputs[part->input].tokens.token;
    worker->seq_begin[i - begin] = n_tok;
    for( int32_t k = 0; k < around->n_before; k++ ) worker->ids[n_tok++] = around->before[k];
    for( uint32_t t = part->window.begin; t < part->window.end; t++ )
      worker->ids[n_tok++] = token[t].id;
    for( int32_t k = 0; k < around->n_after; k++ ) worker->ids[n_tok++] = around->after[k];
  }
  worker->seq_begin[end - begin] = n_tok;
  return n_tok;
}

/* Turns the logits of the kept rows into probabilities, in the outputs. */
static void pipeline_take_rows(struct pipeline_run *run, size_t begin, size_t end,
                               const struct pipeline_worker *worker) {
  const size_t n_labels = (size_t)run->model->config.n_labels;
  const int32_t n_before = ner_tokenizer_template(run->model->tokenizer)->n_before;
  for( size_t i = begin; i < end; i++ ) {
    struct pipeline_part *part = &run->part[i];
    const struct ner_window *w = &part->window;
    const size_t row = (size_t)(worker->seq_begin[i - begin] + n_before) + w->keep_begin - w->begin;
    const float *from = worker->logits + row * n_labels;
    float *to = run->outputs[part->input].probs + w->keep_begin * n_labels;
    for( uint32_t t = w->keep_begin; t < w->keep_end; t++, from += n_labels, to += n_labels )
      if( !ner_softmax(from, n_labels, to) ) part->damaged = true;
  }
}

static void pipeline_run_batch_alone(void *arg, int job, int rank) {
  struct pipeline_run *run = arg;
  struct pipeline_worker *worker = &run->worker[rank];
  size_t begin = run->batch.at[job], end = run->batch.at[job + 1];
  /* Rank 0 is the calling thread, the only one that may ask. */
  const struct ner_cancel_signal signal = {rank == 0 ? run->cancel : NULL, &run->cancelled};
  if( atomic_load(&run->cancelled) ) return;
  pipeline_lay_out(run, begin, end, worker);
  if( ner_encode(worker->session, worker->ids, worker->seq_begin, (int32_t)(end - begin),
                 worker->logits, NULL, 0, &signal) )
    pipeline_take_rows(run, begin, end, worker);
}

struct pipeline_team_batch {
  const struct pipeline_worker *worker;
  int32_t n_seq;
  struct ner_cancel_signal signal;
};

static void pipeline_encode_in_team(void *arg, struct ner_team *team, int rank) {
  const struct pipeline_team_batch *b = arg;
  ner_encode(b->worker->session, b->worker->ids, b->worker->seq_begin, b->n_seq, b->worker->logits,
             team, rank, &b->signal);
}

static int pipeline_team_size(const struct ner_config *config, int32_t n_tok) {
  double hidden = config->hidden, ffn = config->ffn;
  double flop = 2.0 * n_tok * config->layers * (4 * hidden * hidden + 2 * hidden * ffn);
  double size = flop / PIPELINE_MEMBER_MIN_FLOP;
  return size >= NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : size < 1 ? 1 : (int)size;
}

static void pipeline_run_batch_in_team(struct pipeline_run *run, size_t begin, size_t end) {
  struct pipeline_worker *worker = &run->worker[0];
  struct pipeline_team_batch b = {worker, (int32_t)(end - begin), {run->cancel, &run->cancelled}};
  int32_t n_tok = pipeline_lay_out(run, begin, end, worker);
  if( !ner_pool_team(pipeline_team_size(&run->model->config, n_tok), pipeline_encode_in_team, &b) )
    atomic_store(&run->cancelled, true);
  if( !atomic_load(&run->cancelled) ) pipeline_take_rows(run, begin, end, worker);
}

/* The encoder asks whether to cancel, from layer to layer, so the pool need not. */
int ner_pipeline_run_batches(struct pipeline_run *run, struct ner_err *err) {
  size_t n = run->batch.n - 1;
  int code = NER_OK;
  if( run->as_team )
    for( size_t i = 0; i < n && !atomic_load(&run->cancelled); i++ )
      pipeline_run_batch_in_team(run, run->batch.at[i], run->batch.at[i + 1]);
  else
    code = ner_pool_run(run->n_workers, (int)n, pipeline_run_batch_alone, run, NULL);
  if( atomic_load(&run->cancelled) ) code = NER_INTERRUPT;
  return code ? ner_fail_interrupted(err) : NER_OK;
}
