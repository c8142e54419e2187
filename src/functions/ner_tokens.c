/*
** ner_tokens.c - the table-valued function ner_tokens(): a row per token of a
** text, the model's view of it before any entity is formed.
**
**     SELECT idx, token, label, round(score,3) FROM ner_tokens('Wolfgang in Berlin');
**
** The rows are what Hugging Face's pipeline gives with aggregation "none", the tokens
** labelled O included:
**     idx          HF's "index": from 1 on ([CLS] would be 0), through the whole text
**     token        the piece as the vocabulary has it: 'Wolf', '##gang', '[UNK]'
**     word         HF's "word": the same, but for [UNK] the slice of the text
**     label        HF's "entity", in full: 'B-PER', 'I-PER', 'O'
**     score        probability of that label
**     start, end   code points, half open
**     hidden: text, model; start_byte, end_byte; word_idx, HF's word id: pieces of one word share
**          it
*/
#include "sql/sql.h"

enum {
  COL_IDX,
  COL_TOKEN,
  COL_WORD,
  COL_LABEL,
  COL_SCORE,
  COL_START,
  COL_END,
  COL_TEXT, /* the arguments: the first of the hidden columns, as SQLite wants them */
  COL_MODEL,
  COL_START_BYTE,
  COL_END_BYTE,
  COL_WORD_IDX,
};

static const struct ner_sql_shape shape = {
    .name = "ner_tokens",
    .schema = "CREATE TABLE x(idx INTEGER, token TEXT, word TEXT, label TEXT, score REAL,"
              " start INTEGER, \"end\" INTEGER, text BLOB HIDDEN, model BLOB HIDDEN, start_byte "
              "INTEGER HIDDEN,"
              " end_byte INTEGER HIDDEN, word_idx INTEGER HIDDEN)",
    .first_arg = COL_TEXT,
    .n_args = 2,
    .innocuous = true,
};

struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS];
  struct ner_slice text; /* inside arg[0] */
  struct ner_model *model;
  struct ner_output output;
  size_t at;
};

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int n_argv, rc = ner_sql_table_plan(table, info, &n_argv);
  if( rc == SQLITE_OK && info->nOrderBy == 1 && !info->aOrderBy[0].desc ) {
    int column = info->aOrderBy[0].iColumn;
    info->orderByConsumed = column == COL_IDX || column == -1;
  }
  return rc;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct cursor *c = ner_calloc(1, sizeof *c);
  if( !c ) return SQLITE_NOMEM;
  *out = &c->base;
  return SQLITE_OK;
}

static void reset(struct cursor *c) {
  ner_sql_table_args_free(c->arg);
  ner_output_free(&c->output);
  ner_model_unref(c->model);
  c->model = NULL;
  c->at = 0;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  reset(c);
  NER_FREE(c);
  return SQLITE_OK;
}

static int run(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  struct ner_sql_table *table = (struct ner_sql_table *)c->base.pVtab;
  struct ner_input input = {0};
  int n_args;
  int rc = ner_sql_table_args(&table->base, plan, argv, c->arg, &n_args, err);
  if( rc != NER_OK || ner_sql_is_null(c->arg[0]) ) return rc;
  rc = ner_sql_text(c->arg[0], "the text", &c->text, err);
  if( rc == NER_OK ) rc = ner_sql_model(c->arg[1], &c->model, err);
  if( rc != NER_OK ) return rc;
  input.utf8 = c->text.utf8;
  input.n_bytes = c->text.n_bytes;
  return ner_sql_run(table->db, c->model, &input, NULL, &c->output, err);
}

static int filter(sqlite3_vtab_cursor *cursor, int plan, const char *unused, int argc,
                  sqlite3_value **argv) {
  struct cursor *c = (struct cursor *)cursor;
  struct ner_err err = {0};
  reset(c);
  if( run(c, plan, argv, &err) == NER_OK ) return SQLITE_OK;
  reset(c);
  return ner_sql_table_error(cursor->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *cursor) {
  ((struct cursor *)cursor)->at++;
  return SQLITE_OK;
}

static int eof(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  return c->at >= c->output.tokens.n;
}

static void result_slice(sqlite3_context *context, const char *text, size_t n_bytes) {
  sqlite3_result_text64(context, text, n_bytes, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  const struct ner_token *token = &c->output.tokens.token[c->at];
  const struct ner_tokenizer *tokenizer = c->model->tokenizer;
  int32_t n_labels = c->model->config.n_labels;
  const float *probs = c->output.probs + c->at * (size_t)n_labels; /* [n_labels] */
  int32_t best = ner_sql_best_label(probs, n_labels);
  size_t n_piece;
  const char *piece = ner_vocab_piece(ner_tokenizer_vocab(tokenizer), token->id, &n_piece);
  switch( i ) {
  case COL_IDX: sqlite3_result_int64(context, (sqlite3_int64)c->at + 1); break;
  case COL_TOKEN: result_slice(context, piece, n_piece); break;
  case COL_WORD:
    if( token->id == ner_tokenizer_unk(tokenizer) )
      result_slice(context, c->text.utf8 + token->start_byte, token->end_byte - token->start_byte);
    else
      result_slice(context, piece, n_piece);
    break;
  case COL_LABEL:
    sqlite3_result_text(context, c->model->label[best].name, -1, SQLITE_TRANSIENT);
    break;
  case COL_SCORE: sqlite3_result_double(context, probs[best]); break;
  case COL_START: sqlite3_result_int64(context, token->start); break;
  case COL_END: sqlite3_result_int64(context, token->end); break;
  case COL_START_BYTE: sqlite3_result_int64(context, token->start_byte); break;
  case COL_END_BYTE: sqlite3_result_int64(context, token->end_byte); break;
  case COL_WORD_IDX: sqlite3_result_int64(context, token->word); break;
  default:
    if( c->arg[i - COL_TEXT] ) sqlite3_result_value(context, c->arg[i - COL_TEXT]);
  }
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out) {
  *out = (sqlite3_int64)((struct cursor *)cursor)->at + 1;
  return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = ner_sql_table_connect,
    .xDisconnect = ner_sql_table_disconnect,
    .xBestIndex = best_index,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid,
};

int ner_sql_register_tokens(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
