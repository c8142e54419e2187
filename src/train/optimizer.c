/*
** optimizer.c - AdamW over chunks of the parameters; see optimizer.h.
**
** A chunk is some rows of one tensor. Chunks depend on the parameters alone, and their parts of the
** gradient's norm are added up in their order, so the number of threads shows nowhere.
*/
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

#define OPTIMIZER_BETA1 0.9
#define OPTIMIZER_BETA2 0.999
#define OPTIMIZER_EPS   1e-8
#define OPTIMIZER_CLIP  1.0

enum { OPTIMIZER_CHUNK = 32768 }; /* numbers in a chunk, about: five arrays of 128 KB */

struct ner_optimizer_chunk {
  size_t at, n;
  bool decay;
  const struct ner_params_linear *linear; /* the weight it is rows of, or NULL */
  int32_t begin, end;                     /* those rows */
};

/* ---- chunks ---- */

struct optimizer_plan {
  struct ner_optimizer *optimizer;
  bool no_memory;
};

static void optimizer_add(void *arg, size_t at, size_t rows, size_t cols, bool decay,
                          const struct ner_params_linear *linear) {
  struct optimizer_plan *plan = arg;
  struct ner_optimizer *o = plan->optimizer;
  size_t step = ner_round_up(OPTIMIZER_CHUNK / cols + 1, NER_PANEL);
  if( at < o->net->layout.first_trained || plan->no_memory ) return;
  for( size_t begin = 0; begin < rows; begin += step ) {
    size_t end = rows - begin < step ? rows : begin + step;
    if( ner_grow((void **)&o->chunk, &o->cap_chunks, o->n_chunks + 1, sizeof *o->chunk) ) {
      plan->no_memory = true;
      return;
    }
    o->chunk[o->n_chunks++] = (struct ner_optimizer_chunk){
        at + begin * cols, (end - begin) * cols, decay, linear, (int32_t)begin, (int32_t)end};
  }
}

uint64_t ner_optimizer_bytes(const struct ner_params_config *config) {
  struct ner_params_layout layout;
  uint64_t n;
  if( ner_params_layout_new(config, &layout, NULL) ) return 0;
  n = 2 * (uint64_t)(layout.n - layout.first_trained) * sizeof(float);
  ner_params_layout_free(&layout);
  return n;
}

int ner_optimizer_new(struct ner_network *net, struct ner_optimizer **out, struct ner_err *err) {
  struct ner_optimizer *o = ner_calloc(1, sizeof *o);
  struct optimizer_plan plan = {.optimizer = o};
  const size_t n = net->layout.n - net->layout.first_trained;
  *out = NULL;
  if( !o ) return ner_fail_nomem(err);
  o->net = net;
  o->decayed = 1;
  ner_params_each(&net->config, &net->layout, optimizer_add, &plan);
  o->memory = ner_aligned_alloc(n, 2 * sizeof(float));
  o->square_sum = ner_calloc(o->n_chunks, sizeof *o->square_sum);
  if( plan.no_memory || !o->memory || !o->square_sum ) {
    ner_optimizer_free(o);
    return ner_fail_nomem(err);
  }
  memset(o->memory, 0, n * 2 * sizeof(float));
  o->mean = (float *)o->memory - net->layout.first_trained;
  o->square = o->mean + n;
  *out = o;
  return NER_OK;
}

void ner_optimizer_free(struct ner_optimizer *optimizer) {
  if( !optimizer ) return;
  ner_aligned_free(optimizer->memory);
  NER_FREE(optimizer->square_sum);
  NER_FREE(optimizer->chunk);
  NER_FREE(optimizer);
}

/* ---- a step ---- */

static void optimizer_square_job(void *arg, int job, int rank) {
  struct ner_optimizer *o = arg;
  const struct ner_optimizer_chunk *chunk = &o->chunk[job];
  (void)rank;
  o->square_sum[job] = o->net->kernels->sum_squares(o->net->grad + chunk->at, chunk->n);
}

struct optimizer_pass {
  struct ner_optimizer *optimizer;
  struct ner_adamw decaying, plain;
};

static void optimizer_step_job(void *arg, int job, int rank) {
  const struct optimizer_pass *pass = arg;
  const struct ner_optimizer *o = pass->optimizer;
  const struct ner_optimizer_chunk *chunk = &o->chunk[job];
  struct ner_network *net = o->net;
  (void)rank;
  net->kernels->adamw(chunk->decay ? &pass->decaying : &pass->plain, net->grad + chunk->at,
                      chunk->n, net->value + chunk->at, o->mean + chunk->at, o->square + chunk->at);
  if( chunk->linear ) ner_network_pack_rows(net, chunk->linear, chunk->begin, chunk->end);
}

int ner_optimizer_step(struct ner_optimizer *o, double learning_rate, double weight_decay,
                       const struct ner_cancel *cancel, struct ner_err *err) {
  struct optimizer_pass pass = {.optimizer = o};
  const double t = (double)(o->step + 1);
  double norm = 0, clip;
  if( ner_pool_run(NER_POOL_MAX_THREADS, (int)o->n_chunks, optimizer_square_job, o, cancel) )
    return ner_fail_interrupted(err);
  for( size_t i = 0; i < o->n_chunks; i++ ) norm += o->square_sum[i];
  o->norm = norm = sqrt(norm);
  if( !isfinite(norm) )
    return ner_fail(err, NER_ERROR,
                    "training: the gradient of step %lld is not a number; use a smaller "
                    "learning_rate",
                    (long long)o->step + 1);
  clip = OPTIMIZER_CLIP / (norm + 1e-6); /* as PyTorch has it */
  pass.plain = (struct ner_adamw){
      .clip = clip < 1 ? (float)clip : 1,
      .keep = 1,
      .step = (float)(learning_rate / (1 - pow(OPTIMIZER_BETA1, t))),
      .root = (float)(1 / sqrt(1 - pow(OPTIMIZER_BETA2, t))),
      .beta1 = (float)OPTIMIZER_BETA1,
      .beta2 = (float)OPTIMIZER_BETA2,
      .eps = (float)OPTIMIZER_EPS,
  };
  pass.decaying = pass.plain;
  pass.decaying.keep = (float)(1 - learning_rate * weight_decay);
  if( ner_pool_run(NER_POOL_MAX_THREADS, (int)o->n_chunks, optimizer_step_job, &pass, cancel) )
    return ner_fail_interrupted(err);
  o->step++;
  if( o->net->layout.first_trained == 0 ) o->decayed *= 1 - learning_rate * weight_decay;
  return NER_OK;
}
