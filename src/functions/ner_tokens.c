/*
** ner_tokens.c - the table-valued function ner_tokens(): a row for each token of a text, the
** model's view of it before entities are formed.
**
**     SELECT idx, token, label, round(score,3) FROM ner_tokens('Wolfgang in Berlin');
**
** The rows are what Hugging Face's pipeline gives with aggregation "none", tokens labelled O
** included.
*/
#include "sql/sql.h"

enum {
  TOKENS_IDX,   /* HF's "index": from 1 on ([CLS] would be 0), through the whole text */
  TOKENS_TOKEN, /* the piece as the vocabulary has it: 'Wolf', '##gang', '[UNK]' */
  TOKENS_WORD,  /* HF's "word": the same, but for [UNK] the slice of the text */
  TOKENS_LABEL, /* HF's "entity", in full: 'B-PER', 'I-PER', 'O' */
  TOKENS_SCORE, /* probability of that label */
  TOKENS_START, /* code points, half open */
  TOKENS_END,
  TOKENS_TEXT, /* hidden, as are all that follow: the arguments */
  TOKENS_MODEL,
  TOKENS_START_BYTE,
  TOKENS_END_BYTE,
  TOKENS_WORD_IDX, /* HF's word id: pieces of one word share it */
};
static const char tokens_schema[] =
    "CREATE TABLE x(idx INTEGER, token TEXT, word TEXT, label TEXT, score REAL, start INTEGER,"
    " \"end\" INTEGER, text BLOB HIDDEN, model BLOB HIDDEN, start_byte INTEGER HIDDEN,"
    " end_byte INTEGER HIDDEN, word_idx INTEGER HIDDEN)";

struct tokens_cursor {
  struct ner_sql_cursor base;
  struct ner_slice text; /* inside base.arg[0] */
  struct ner_model *model;
  struct ner_output output;
};

static void tokens_plan(sqlite3_index_info *info, int *n_argv) {
  if( info->nOrderBy == 1 && !info->aOrderBy[0].desc ) {
    int column = info->aOrderBy[0].iColumn;
    info->orderByConsumed = column == TOKENS_IDX || column == -1;
  }
}

static void tokens_clear(struct ner_sql_cursor *cursor) {
  struct tokens_cursor *c = (struct tokens_cursor *)cursor;
  ner_output_free(&c->output);
  ner_model_unref(c->model);
}

static int tokens_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                        struct ner_err *err) {
  struct tokens_cursor *c = (struct tokens_cursor *)cursor;
  struct ner_input input = {0};
  int rc;
  cursor->eof = ner_sql_is_null(cursor->arg[0]);
  if( cursor->eof ) return NER_OK;
  rc = ner_sql_text(cursor->arg[0], "the text", &c->text, err);
  if( rc == NER_OK )
    rc = ner_sql_model(ner_sql_table_of(cursor)->db, cursor->arg[1], &c->model, err);
  if( rc != NER_OK ) return rc;
  input.utf8 = c->text.utf8;
  input.n_bytes = c->text.n_bytes;
  rc = ner_sql_run(ner_sql_table_of(cursor)->db, c->model, &input, NULL, &c->output, err);
  cursor->eof = c->output.tokens.n == 0;
  return rc;
}

static int tokens_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct tokens_cursor *c = (struct tokens_cursor *)cursor;
  cursor->eof = (size_t)++cursor->position >= c->output.tokens.n;
  return NER_OK;
}

static void tokens_result_slice(sqlite3_context *context, const char *text, size_t n_bytes) {
  sqlite3_result_text64(context, text, n_bytes, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static void tokens_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  struct tokens_cursor *c = (struct tokens_cursor *)cursor;
  size_t at = (size_t)cursor->position;
  const struct ner_token *token = &c->output.tokens.token[at];
  const struct ner_tokenizer *tokenizer = c->model->tokenizer;
  int32_t n_labels = c->model->config.n_labels;
  const float *probs = c->output.probs + at * (size_t)n_labels; /* [n_labels] */
  int32_t best = ner_sql_best_label(probs, n_labels);
  size_t n_piece;
  const char *piece = ner_vocab_piece(ner_tokenizer_vocab(tokenizer), token->id, &n_piece);
  switch( column ) {
  case TOKENS_IDX:
    sqlite3_result_int64(context,
                         cursor->position + ner_tokenizer_template(tokenizer)->n_before);
    break;
  case TOKENS_TOKEN: tokens_result_slice(context, piece, n_piece); break;
  case TOKENS_WORD:
    if( token->id == ner_tokenizer_unk(tokenizer) )
      tokens_result_slice(context, c->text.utf8 + token->start_byte,
                          token->end_byte - token->start_byte);
    else
      tokens_result_slice(context, piece, n_piece);
    break;
  case TOKENS_LABEL:
    sqlite3_result_text(context, c->model->label[best].name, -1, SQLITE_TRANSIENT);
    break;
  case TOKENS_SCORE: sqlite3_result_double(context, probs[best]); break;
  case TOKENS_START: sqlite3_result_int64(context, token->start); break;
  case TOKENS_END: sqlite3_result_int64(context, token->end); break;
  case TOKENS_START_BYTE: sqlite3_result_int64(context, token->start_byte); break;
  case TOKENS_END_BYTE: sqlite3_result_int64(context, token->end_byte); break;
  case TOKENS_WORD_IDX: sqlite3_result_int64(context, token->word); break;
  }
}

static const struct ner_sql_shape tokens_shape = {
    .name = "ner_tokens",
    .schema = tokens_schema,
    .first_arg = TOKENS_TEXT,
    .n_args = 2,
    .innocuous = true,
    .cursor_bytes = sizeof(struct tokens_cursor),
    .plan = tokens_plan,
    .start = tokens_start,
    .next = tokens_next,
    .column = tokens_column,
    .clear = tokens_clear,
};

int ner_sql_register_tokens(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &tokens_shape);
}
