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

int ner_sql_find(sqlite3_context *context, sqlite3_value *text, sqlite3_value *model,
                 struct ner_sql_found *out, struct ner_err *err) {
  struct ner_options options;
  sqlite3 *db = sqlite3_context_db_handle(context);
  int rc;
  *out = (struct ner_sql_found){0};
  rc = ner_sql_text(text, "the text", &out->text, err);
  if( rc == NER_OK ) rc = ner_sql_model(db, model, &out->model, err);
  if( rc != NER_OK ) return rc;
  options = ner_model_options(out->model);
  return ner_sql_extract(db, sqlite3_user_data(context), out->model, out->text, &options,
                         &out->entities, err);
}

void ner_sql_found_free(struct ner_sql_found *found) {
  ner_entities_free(&found->entities);
  ner_model_unref(found->model);
  *found = (struct ner_sql_found){0};
}

int32_t ner_sql_best_label(const float *probs, int32_t n_labels) {
  int32_t best = 0;
  for( int32_t i = 1; i < n_labels; i++ )
    if( probs[i] > probs[best] ) best = i;
  return best;
}
