/*
** pipeline_run.h - what the files of the pipeline share: one run of it, from step to step.
**
**     pipeline_tokens.c   inputs → tokens            over the pool, in chunks of bytes
**     pipeline_batches.c  tokens → windows → batches, and who runs them      cheap, alone
**     pipeline_encode.c   batches → probabilities    over the pool: where the time goes
**     pipeline.c          probabilities → entities   cheap, alone; and all of it
**
** Each step covers all inputs before the next begins. Windows stay in the order of the inputs:
** sorting them by length would gain nothing, since there is no padding and attention costs a window
** the same whatever else is in its batch.
**
** Threads never write to the same place: a chunk owns its inputs' outputs, a window owns its kept
** rows of probs, a rank owns its worker state.
*/
#ifndef NER_PIPELINE_RUN_H
#define NER_PIPELINE_RUN_H

#include "engine/encoder.h"
#include "engine/pipeline.h"

#pragma GCC visibility push(hidden)

/* One window of one input. */
struct pipeline_part {
  struct ner_window window;
  uint32_t input;
  bool damaged; /* its logits are not numbers */
};

/* What one thread needs to run any of the batches. */
struct pipeline_worker {
  struct ner_session *session;
  int32_t *ids;       /* [batch_tok] */
  int32_t *seq_begin; /* [batch_tok + 1] */
  float *logits;      /* [batch_tok, n_labels] */
};

/* Where pieces of a sequence begin: piece i is [at[i], at[i+1]). */
struct pipeline_cuts {
  size_t *at; /* [n], one more than there are pieces */
  size_t n, cap;
};

struct pipeline_run {
  struct ner_model *model;
  const struct ner_input *inputs;
  struct ner_output *outputs;
  size_t n_inputs;
  int32_t n_around;           /* tokens that the model wants around a window: [CLS] and [SEP] */
  struct pipeline_cuts chunk; /* of inputs */
  struct pipeline_part *part; /* [n_parts] */
  size_t n_parts, cap_parts;
  struct pipeline_cuts batch; /* of parts */
  size_t batch_tok;           /* of the largest */
  bool as_team;               /* batches run one by one, each split over a team */
  int n_workers_wanted;
  struct pipeline_worker *worker; /* [n_workers] */
  int n_workers;
  const struct ner_cancel *cancel;
  atomic_bool cancelled; /* while batches ran */
  atomic_int tokenised;  /* NER_OK, or what ends the run: NER_NOMEM or NER_INTERRUPT */
};

/* Appends a boundary. */
int ner_pipeline_cut(struct pipeline_cuts *cuts, size_t at);
/* Keeps an input's error with its output. Returns another code than NER_OK when the failure is not
** the input's but the run's. */
int ner_output_fail(struct ner_output *output, const struct ner_err *err);

int ner_pipeline_tokenise(struct pipeline_run *run, struct ner_err *err);
int ner_pipeline_plan_windows(struct pipeline_run *run, struct ner_err *err);
int ner_pipeline_plan_batches(struct pipeline_run *run, struct ner_err *err);
int ner_pipeline_open_workers(struct pipeline_run *run, struct ner_err *err);
int ner_pipeline_run_batches(struct pipeline_run *run, struct ner_err *err);
void ner_pipeline_close_workers(struct pipeline_run *run);

#pragma GCC visibility pop
#endif
