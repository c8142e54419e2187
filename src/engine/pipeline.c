/*
** pipeline.c - the pipeline as a whole, its outputs, and probabilities → entities; see pipeline.h
** and, for the steps, pipeline_run.h.
*/
#include "engine/pipeline_run.h"
#include "engine/spans.h"

#include <limits.h>
#include <string.h>

/* ---- outputs ---- */

int ner_output_fail(struct ner_output *output, const struct ner_err *err) {
  if( err->code == NER_OK || output->error ) return NER_OK;
  if( err->code != NER_ERROR ) return err->code;
  output->error = ner_strndup(err->msg, strlen(err->msg));
  return output->error ? NER_OK : NER_NOMEM;
}

void ner_output_free(struct ner_output *output) {
  ner_tokens_free(&output->tokens);
  NER_FREE(output->probs);
  ner_entities_free(&output->found);
  NER_FREE(output->error);
  *output = (struct ner_output){0};
}

int ner_output_entities(const struct ner_model *model, const struct ner_output *output,
                        const struct ner_options *options, struct ner_entities *out,
                        struct ner_err *err) {
  size_t cap = 0;
  int code;
  *out = (struct ner_entities){0};
  code =
      ner_spans(model, &output->tokens, output->probs, options, &out->entity, &out->n, &cap, err);
  if( code ) ner_entities_free(out);
  return code;
}

/* ---- steps ---- */

int ner_pipeline_cut(struct pipeline_cuts *cuts, size_t at) {
  if( ner_grow((void **)&cuts->at, &cuts->cap, cuts->n + 1, sizeof *cuts->at) ) return NER_NOMEM;
  cuts->at[cuts->n++] = at;
  return NER_OK;
}

/* Damaged weights give logits that are not numbers. */
static int pipeline_report_damage(struct pipeline_run *run, struct ner_err *err) {
  static const struct ner_err damage = {
      NER_ERROR, "the model's results are not numbers: its weights are damaged; fetch it again"};
  for( size_t i = 0; i < run->n_parts; i++ )
    if( run->part[i].damaged && ner_output_fail(&run->outputs[run->part[i].input], &damage) )
      return ner_fail_nomem(err);
  return NER_OK;
}

static int pipeline_form_spans(struct pipeline_run *run, const struct ner_options *options,
                               bool keep_probs, struct ner_err *err) {
  if( !options ) return NER_OK;
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    struct ner_output *output = &run->outputs[i];
    int code = NER_OK;
    if( !output->error && !run->inputs[i].word )
      code = ner_output_entities(run->model, output, options, &output->found, err);
    if( code ) return code;
    if( !keep_probs ) {
      ner_tokens_free(&output->tokens);
      NER_FREE(output->probs);
      output->probs = NULL;
    }
  }
  return NER_OK;
}

int ner_pipeline_run(struct ner_model *model, const struct ner_input *inputs, size_t n,
                     const struct ner_options *options, bool keep_probs, struct ner_output *outputs,
                     const struct ner_cancel *cancel, struct ner_err *err) {
  struct pipeline_run run = {
      .model = model, .inputs = inputs, .outputs = outputs, .n_inputs = n, .cancel = cancel};
  int code = ner_pool_check(err);
  if( code ) return code;
  if( n > INT_MAX ) return ner_fail(err, NER_ERROR, "%zu texts at once; pass fewer", n);
  run.n_around = ner_template_tok(ner_tokenizer_template(model->tokenizer));
  if( model->config.max_tokens <= run.n_around )
    return ner_fail(err, NER_ERROR, "%s: the model takes %d tokens at once; at least %d are needed",
                    model->path, (int)model->config.max_tokens, (int)run.n_around + 1);
  code = ner_pipeline_tokenise(&run, err);
  if( code == NER_OK ) code = ner_pipeline_plan_windows(&run, err);
  if( code == NER_OK && run.n_parts > 0 ) {
    code = ner_pipeline_plan_batches(&run, err);
    if( code == NER_OK ) code = ner_pipeline_open_workers(&run, err);
    if( code == NER_OK ) code = ner_pipeline_run_batches(&run, err);
  }
  if( code == NER_OK ) code = pipeline_report_damage(&run, err);
  if( code == NER_OK ) code = pipeline_form_spans(&run, options, keep_probs, err);
  ner_pipeline_close_workers(&run);
  NER_FREE(run.batch.at);
  NER_FREE(run.part);
  NER_FREE(run.chunk.at);
  return code;
}
