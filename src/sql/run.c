/*
** run.c - runs a model on behalf of a connection; see sql/sql.h.
*/
#include "sql/cache.h"

int ner_sql_run(sqlite3 *db, struct ner_model *model, const struct ner_input *input,
                const struct ner_options *options, struct ner_output *output, struct ner_err *err) {
  struct ner_sql_cancel cancel;
  int rc;
  *output = (struct ner_output){0};
  ner_sql_cancel_open(&cancel, db);
  rc = ner_pipeline_run(model, input, 1, options, options == NULL, output, &cancel.base, err);
  ner_sql_cancel_close(&cancel);
  if( rc == NER_OK && output->error ) rc = ner_fail(err, NER_ERROR, "%s", output->error);
  if( rc != NER_OK ) ner_output_free(output);
  return rc;
}

int ner_sql_extract(sqlite3 *db, struct ner_sql_cache *cache, struct ner_model *model,
                    struct ner_slice text, const struct ner_options *options,
                    struct ner_entities *out, struct ner_err *err) {
  struct ner_input input = {.utf8 = text.utf8, .n_bytes = text.n_bytes};
  struct ner_output fresh = {0};
  const struct ner_output *output = ner_sql_cache_find(cache, model, text);
  int rc = NER_OK;
  *out = (struct ner_entities){0};
  if( !output ) {
    rc = ner_sql_run(db, model, &input, NULL, &fresh, err);
    if( rc != NER_OK ) return rc;
    output = ner_sql_cache_put(cache, model, text, &fresh);
    if( !output ) output = &fresh;
  }
  rc = ner_output_entities(model, output, options, out, err);
  ner_output_free(&fresh);
  return rc;
}

int32_t ner_sql_best_label(const float *probs, int32_t n_labels) {
  int32_t best = 0;
  for( int32_t i = 1; i < n_labels; i++ )
    if( probs[i] > probs[best] ) best = i;
  return best;
}
