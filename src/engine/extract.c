/*
** extract.c - the public functions of ner.h that share a model and label text. Those that open and
** convert models are in model/open.c.
*/
#include "engine/encoder.h"
#include "engine/pipeline.h"

#include <math.h>

const char *ner_version(void) {
  return NER_VERSION;
}

int ner_threads(int n) {
  return ner_pool_threads(n);
}

struct ner_model *ner_model_ref(struct ner_model *model) {
  atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
  return model;
}

void ner_model_unref(struct ner_model *model) {
  if( !model || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1 ) return;
  ner_sessions_free(model);
  ner_model_free(model);
}

int ner_extract(struct ner_model *model, const char *text, size_t n_bytes,
                const struct ner_options *options, struct ner_entities *out, struct ner_err *err) {
  static const struct ner_options defaults = {.aggregation = NER_AGGREGATION_FIRST};
  struct ner_input input = {.utf8 = text, .n_bytes = n_bytes};
  struct ner_output output = {0};
  int code;
  *out = (struct ner_entities){0};
  if( !options ) options = &defaults;
  if( !model ) return ner_fail(err, NER_ERROR, "no model; open one with ner_model_open()");
  if( !text && n_bytes > 0 ) return ner_fail(err, NER_ERROR, "text is NULL; pass a string");
  if( (unsigned)options->aggregation > NER_AGGREGATION_STRICT )
    return ner_fail(err, NER_ERROR, "aggregation is %d; use one of enum ner_aggregation",
                    (int)options->aggregation);
  if( isnan(options->threshold) )
    return ner_fail(err, NER_ERROR, "threshold is not a number; use 0 to keep all");
  code = ner_pipeline_run(model, &input, 1, options, false, &output, NULL, err);
  if( code == NER_OK && output.error ) code = ner_fail(err, NER_ERROR, "%s", output.error);
  if( code == NER_OK ) {
    *out = output.found;
    output.found = (struct ner_entities){0};
  }
  ner_output_free(&output);
  return code;
}
