/*
** pipeline_batches.c - tokens → windows → batches; see pipeline_run.h.
*/
#include "engine/pipeline_run.h"

#include <limits.h>

/* Below this many tokens a batch costs nearly as much as one of this many, because
** reading the weights dominates: a thread gets no batch smaller than that. */
#define PIPELINE_WORKER_MIN_TOK 64

/* ---- tokens → windows ---- */

static int pipeline_add_windows(struct pipeline_run *run, uint32_t input) {
  struct ner_window *window = NULL;
  size_t n = 0, cap = 0;
  int code = ner_windows_plan(&run->outputs[input].tokens,
                              (uint32_t)(run->model->config.max_tokens - run->n_around), &window,
                              &n, &cap);
  if( code == NER_OK )
    code = ner_grow((void **)&run->part, &run->cap_parts, run->n_parts + n, sizeof *run->part);
  for( size_t i = 0; code == NER_OK && i < n; i++ )
    run->part[run->n_parts++] = (struct pipeline_part){.window = window[i], .input = input};
  NER_FREE(window);
  return code;
}

int ner_pipeline_plan_windows(struct pipeline_run *run, struct ner_err *err) {
  const size_t row_bytes = (size_t)run->model->config.n_labels * sizeof(float);
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    struct ner_output *output = &run->outputs[i];
    if( output->error || output->tokens.n == 0 ) continue;
    output->probs = ner_alloc(output->tokens.n, row_bytes);
    if( !output->probs || pipeline_add_windows(run, (uint32_t)i) ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

/* ---- windows → batches ---- */

/* With [CLS] and [SEP], or what else the model wants. */
static size_t pipeline_part_tok(const struct pipeline_run *run, const struct pipeline_part *part) {
  return part->window.end - part->window.begin + (size_t)run->n_around;
}

/* Cuts the parts into batches of about target_tok, never more than NER_BATCH_TOK unless
** a part alone is longer. A part is taken if at least half of it is below the target, so that
** batches have the target size in the mean. */
static int pipeline_cut_batches(struct pipeline_run *run, size_t target_tok) {
  size_t tok = 0;
  for( size_t i = 0; i < run->n_parts; i++ ) {
    size_t more = pipeline_part_tok(run, &run->part[i]);
    if( tok == 0 || tok + more > NER_BATCH_TOK || tok + more / 2 > target_tok ) {
      if( ner_pipeline_cut(&run->batch, i) ) return NER_NOMEM;
      tok = 0;
    }
    tok += more;
    if( tok > run->batch_tok ) run->batch_tok = tok;
  }
  return ner_pipeline_cut(&run->batch, run->n_parts);
}

/* How many threads get batches of their own: fewer than there are, when their batches would be too
** small. */
static size_t pipeline_count_workers(const struct pipeline_run *run, size_t total_tok,
                                     size_t n_threads) {
  size_t n = total_tok / PIPELINE_WORKER_MIN_TOK;
  if( n > run->n_parts ) n = run->n_parts;
  if( n > n_threads ) n = n_threads;
  return n < 1 ? 1 : n;
}

/* With enough work every thread runs batches of its own, as many as every other. With too little
** for half of the threads, batches are as large as can be and run one by one, each by a team. */
int ner_pipeline_plan_batches(struct pipeline_run *run, struct ner_err *err) {
  size_t n_threads = (size_t)ner_pool_threads(0), n_workers, total_tok = 0;
  size_t target_tok = NER_BATCH_TOK;
  for( size_t i = 0; i < run->n_parts; i++ ) total_tok += pipeline_part_tok(run, &run->part[i]);
  n_workers = pipeline_count_workers(run, total_tok, n_threads);
  run->as_team = 2 * n_workers <= n_threads;
  if( run->as_team ) {
    n_workers = 1;
  } else {
    size_t n_batches = ner_round_up((total_tok + NER_BATCH_TOK - 1) / NER_BATCH_TOK, n_workers);
    if( n_batches ) target_tok = (total_tok + n_batches - 1) / n_batches;
  }
  run->n_workers_wanted = (int)n_workers;
  if( pipeline_cut_batches(run, target_tok) ) return ner_fail_nomem(err);
  if( run->batch.n - 1 > INT_MAX )
    return ner_fail(err, NER_ERROR, "too much text at once; pass fewer texts");
  return NER_OK;
}
