/*
** extract.c - the public functions of ner.h that share a model and label text. Those that open and
** convert models are in model/open.c.
*/
#include "engine/encoder.h"
#include "engine/pipeline.h"

#include <math.h>

int ner_threads(int n) {
  return ner_pool_threads(n);
}

struct ner_model *ner_model_ref(struct ner_model *model) {
  atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
  return model;
}

void ner_model_unref(struct ner_model *model) {
  if( !model || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1 ) return;
  ner_session_forget_model(model);
  ner_model_free(model);
}

static int extract_check(const struct ner_model *model, const struct ner_options *options,
                         struct ner_err *err) {
  if( !model ) return ner_fail(err, NER_ERROR, "no model; open one with ner_model_open()");
  if( (unsigned)options->aggregation > NER_AGGREGATION_STRICT )
    return ner_fail(err, NER_ERROR, "aggregation is %d; use one of enum ner_aggregation",
                    (int)options->aggregation);
  if( isnan(options->threshold) )
    return ner_fail(err, NER_ERROR, "threshold is not a number; use 0 to keep all");
  return NER_OK;
}

int ner_extract_batch(struct ner_model *model, const struct ner_text *text, size_t n,
                      const struct ner_options *options, struct ner_entities *out,
                      struct ner_err *err) {
  static const struct ner_options defaults = {.aggregation = NER_AGGREGATION_FIRST};
  struct ner_input *input = NULL;
  struct ner_output *output = NULL;
  int code;
  if( n > 0 && (!text || !out) )
    return ner_fail(err, NER_ERROR, "text or out is NULL; pass arrays of n");
  for( size_t i = 0; i < n; i++ ) out[i] = (struct ner_entities){0};
  if( !options ) options = &defaults;
  if( (code = extract_check(model, options, err)) ) return code;
  for( size_t i = 0; i < n; i++ )
    if( !text[i].utf8 && text[i].n_bytes > 0 )
      return ner_fail(err, NER_ERROR, "text %zu is NULL; pass a string", i);
  if( n == 0 ) return NER_OK;
  input = ner_calloc(n, sizeof *input);
  output = ner_calloc(n, sizeof *output);
  if( !input || !output ) code = ner_fail_nomem(err);
  for( size_t i = 0; code == NER_OK && i < n; i++ )
    input[i] = (struct ner_input){.utf8 = text[i].utf8, .n_bytes = text[i].n_bytes};
  if( code == NER_OK ) code = ner_pipeline_run(model, input, n, options, false, output, NULL, err);
  for( size_t i = 0; code == NER_OK && i < n; i++ )
    if( output[i].error )
      code = n == 1 ? ner_fail(err, NER_ERROR, "%s", output[i].error)
                    : ner_fail(err, NER_ERROR, "text %zu: %s", i, output[i].error);
  for( size_t i = 0; output && i < n; i++ ) {
    if( code == NER_OK ) {
      out[i] = output[i].found;
      output[i].found = (struct ner_entities){0};
    }
    ner_output_free(&output[i]);
  }
  NER_FREE(input);
  NER_FREE(output);
  return code;
}

int ner_extract(struct ner_model *model, const char *text, size_t n_bytes,
                const struct ner_options *options, struct ner_entities *out, struct ner_err *err) {
  const struct ner_text one = {text, n_bytes};
  *out = (struct ner_entities){0};
  if( model && !text && n_bytes > 0 )
    return ner_fail(err, NER_ERROR, "text is NULL; pass a string");
  return ner_extract_batch(model, &one, 1, options, out, err);
}
