/*
** run.c - running a model on behalf of a connection; see sql/sql.h.
*/
#include "sql/cache.h"
#include "engine/spans.h"

#include <time.h>

/*
** How a connection says stop. sqlite3_interrupt() sets a flag that can be read through
** sqlite3_is_interrupted() since SQLite 3.41, but not before, and a progress handler is only
** called while SQLite itself is computing. Both are felt by a statement: while another
** one of the connection is running, any step fails with SQLITE_INTERRUPT once the
** flag is set, and every so many opcodes the progress handler is called. So asking
** is to run a small statement that reads nothing. It counts to 250, some 4,500
** opcodes (handlers are commonly called every 1,000) and 0.1 to 0.2 ms, and it is run
** every 10 ms at most. Where an authorizer forbids the recursion, interrupts alone
** are felt.
*/
#define ASK_EVERY_S 0.01

static const char *const probes[] = {
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<250)"
    " SELECT i FROM c WHERE i<0",
    "SELECT 1 WHERE 0",
};

double ner_sql_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool asked(void *arg) {
  struct ner_sql_cancel *cancel = arg;
  int rc = SQLITE_OK;
  if( ner_sql_seconds() < cancel->next ) return false;
  for( size_t i = 0; !cancel->probe && !cancel->broken; i++ ) {
    rc = sqlite3_prepare_v2(cancel->db, probes[i], -1, &cancel->probe, NULL);
    if( rc == SQLITE_INTERRUPT ) return true;
    cancel->broken = rc != SQLITE_OK && i + 1 == sizeof probes / sizeof *probes;
  }
  if( cancel->broken ) return false;
  rc = sqlite3_step(cancel->probe);
  sqlite3_reset(cancel->probe);
  cancel->next = ner_sql_seconds() + ASK_EVERY_S;
  return rc == SQLITE_INTERRUPT;
}

void ner_sql_cancel_open(struct ner_sql_cancel *cancel, sqlite3 *db) {
  *cancel = (struct ner_sql_cancel){
      .base = {asked, cancel}, .db = db, .next = ner_sql_seconds() + ASK_EVERY_S};
}

/* The probe must not outlive the query: a connection with a statement left cannot be closed. */
void ner_sql_cancel_close(struct ner_sql_cancel *cancel) {
  sqlite3_finalize(cancel->probe);
  cancel->probe = NULL;
}

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

int ner_sql_extract(sqlite3 *db, struct ner_model *model, struct ner_slice text,
                    const struct ner_options *options, struct ner_entities *out,
                    struct ner_err *err) {
  struct ner_input input = {.utf8 = text.utf8, .n_bytes = text.n_bytes};
  struct ner_output fresh = {0};
  const struct ner_output *output = ner_sql_cache_find(db, model, text);
  size_t cap = 0;
  int rc = NER_OK;
  *out = (struct ner_entities){0};
  if( !output ) {
    rc = ner_sql_run(db, model, &input, NULL, &fresh, err);
    if( rc != NER_OK ) return rc;
    output = ner_sql_cache_keep(db, model, text, &fresh);
    if( !output ) output = &fresh;
  }
  rc = ner_spans(model, &output->tokens, output->probs, options, &out->entity, &out->n, &cap, err);
  if( rc != NER_OK ) ner_entities_free(out);
  ner_output_free(&fresh);
  return rc;
}

int32_t ner_sql_best_label(const float *probs, int32_t n_labels) {
  int32_t best = 0;
  for( int32_t i = 1; i < n_labels; i++ )
    if( probs[i] > probs[best] ) best = i;
  return best;
}
