/*
** ner_words.c - the table-valued function ner_words(): labels for text that is
** already split into words, as in the CoNLL files.
**
**     SELECT idx, word, label FROM ner_words('["Wolfgang","lives","in","Berlin","."]');
**     SELECT ... FROM ner_words((SELECT json_group_array(word) FROM tokens WHERE sentence = 7));
**
**     idx      position in the array, from 0 on (json_each's key)
**     word     the array's element
**     label    in full, 'B-PER': that of the word's first piece
**     score    probability of that label
**     scores   {"O":0.01,"B-PER":0.98,...}: all labels of the first piece
**     hidden: json_array, model (the arguments)
**
** Each word is tokenized by itself and the pieces are laid end to end, as with Hugging
** Face's is_split_into_words. A row comes out for every element: a word that leaves no
** piece (empty, or nothing but control characters) is labelled 'O', its score and
** scores are NULL.
*/
#include "sql/sql.h"

#include <string.h>
#include "model/json.h"

enum {
  COL_IDX,
  COL_WORD,
  COL_LABEL,
  COL_SCORE,
  COL_SCORES,
  COL_JSON_ARRAY, /* the arguments */
  COL_MODEL,
};

static const struct ner_sql_shape shape = {
    .name = "ner_words",
    .schema = "CREATE TABLE x(idx INTEGER, word TEXT, label TEXT, score REAL, scores TEXT,"
              " json_array BLOB HIDDEN, model BLOB HIDDEN)",
    .first_arg = COL_JSON_ARRAY,
    .n_args = 2,
    .innocuous = true,
};

#define NO_TOKEN SIZE_MAX

/* The words of the array, one after the other. */
struct words {
  char *bytes;
  size_t n_bytes, cap_bytes;
  size_t *end; /* [n] where each word ends in bytes */
  size_t n, cap;
};

struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS];
  struct words words;
  size_t *first; /* [words.n] a word's first token, or NO_TOKEN */
  struct ner_model *model;
  struct ner_output output;
  size_t at;
};

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct cursor *c = ner_calloc(1, sizeof *c);
  if( !c ) return SQLITE_NOMEM;
  *out = &c->base;
  return SQLITE_OK;
}

static void reset(struct cursor *c) {
  ner_sql_table_args_free(c->arg);
  NER_FREE(c->words.bytes);
  NER_FREE(c->words.end);
  c->words = (struct words){0};
  NER_FREE(c->first);
  c->first = NULL;
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

static struct ner_slice word_at(const struct words *words, size_t i) {
  size_t begin = i ? words->end[i - 1] : 0;
  return (struct ner_slice){words->bytes + begin, words->end[i] - begin};
}

static int add_word(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct words *words = arg;
  const char *word = item->string;
  size_t n = item->n_string;
  char number[40];
  switch( item->type ) {
  case NER_JSON_STRING: break;
  case NER_JSON_INTEGER:
  case NER_JSON_REAL:
    if( item->type == NER_JSON_INTEGER )
      sqlite3_snprintf(sizeof number, number, "%lld", (long long)item->integer);
    else
      sqlite3_snprintf(sizeof number, number, "%!.15g", item->real);
    word = number;
    n = strlen(number);
    break;
  default:
    return ner_fail(err, NER_ERROR,
                    "the array of words: element %lld is not a string; give strings only",
                    (long long)item->index);
  }
  if( ner_grow((void **)&words->bytes, &words->cap_bytes, words->n_bytes + n, 1) != NER_OK ||
      ner_grow((void **)&words->end, &words->cap, words->n + 1, sizeof *words->end) != NER_OK )
    return ner_fail_nomem(err);
  if( n ) memcpy(words->bytes + words->n_bytes, word, n);
  words->n_bytes += n;
  words->end[words->n++] = words->n_bytes;
  return NER_OK;
}

static int fail_no_array(const char *why, struct ner_err *err) {
  /* A remedy follows the last ';', and the JSON reader's is meant for files. */
  const char *remedy = strrchr(why, ';');
  return ner_fail(err, NER_ERROR, "%.*s; write ner_words('[\"Angela\",\"Merkel\"]')",
                  remedy ? (int)(remedy - why) : (int)strlen(why), why);
}

static int read_words(sqlite3_value *value, struct words *words, struct ner_err *err) {
  struct ner_err json_err = {0};
  struct ner_json *json = NULL;
  enum ner_json_type type;
  struct ner_slice text;
  int rc = ner_sql_text(value, "the array of words", &text, err);
  if( rc != NER_OK ) return rc;
  rc = ner_json_open(text.utf8, text.n_bytes, "the array of words", &json, &json_err);
  if( rc == NER_NOMEM ) return ner_fail_nomem(err);
  if( rc != NER_OK ) return fail_no_array(json_err.msg, err);
  type = ner_json_type_at(json, "$");
  /* The whole is always there: without a type it could not be read for want of memory, and the
  ** walk says so. */
  if( type == NER_JSON_ARRAY || type == NER_JSON_MISSING )
    rc = ner_json_each(json, "$", add_word, words, err);
  else
    rc = fail_no_array("the array of words is no array", err);
  ner_json_close(json);
  return rc;
}

static int label_words(struct cursor *c, sqlite3 *db, struct ner_err *err) {
  struct ner_input input = {0};
  struct ner_slice *slices = ner_alloc(c->words.n, sizeof *slices);
  int rc;
  if( !slices ) return ner_fail_nomem(err);
  for( size_t i = 0; i < c->words.n; i++ ) slices[i] = word_at(&c->words, i);
  input.word = slices;
  input.n_words = c->words.n;
  rc = ner_sql_run(db, c->model, &input, NULL, &c->output, err);
  NER_FREE(slices);
  if( rc != NER_OK ) return rc;

  c->first = ner_alloc(c->words.n, sizeof *c->first);
  if( !c->first ) return ner_fail_nomem(err);
  for( size_t i = 0; i < c->words.n; i++ ) c->first[i] = NO_TOKEN;
  for( size_t i = c->output.tokens.n; i-- > 0; ) {
    uint32_t word = c->output.tokens.token[i].word;
    if( word < c->words.n ) c->first[word] = i;
  }
  return NER_OK;
}

static int run(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  struct ner_sql_table *table = (struct ner_sql_table *)c->base.pVtab;
  int n_args;
  int rc = ner_sql_table_args(&table->base, plan, argv, c->arg, &n_args, err);
  if( rc != NER_OK || ner_sql_is_null(c->arg[0]) ) return rc;
  rc = read_words(c->arg[0], &c->words, err);
  if( rc == NER_OK ) rc = ner_sql_model(c->arg[1], &c->model, err);
  if( rc != NER_OK || c->words.n == 0 ) return rc;
  return label_words(c, table->db, err);
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
  return c->at >= c->words.n;
}

static void result_scores(sqlite3_context *context, const struct ner_model *model,
                          const float *probs) {
  sqlite3_str *json = sqlite3_str_new(sqlite3_context_db_handle(context));
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    const char *name = model->label[i].name;
    sqlite3_str_appendchar(json, 1, i ? ',' : '{');
    ner_sql_json_string(json, name, strlen(name));
    sqlite3_str_appendchar(json, 1, ':');
    ner_sql_json_number(json, probs[i]);
  }
  sqlite3_str_appendchar(json, 1, '}');
  ner_sql_result_json(context, json);
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  int32_t n_labels = c->model->config.n_labels;
  size_t token = c->first[c->at];
  const float *probs = NULL; /* [n_labels], NULL: a word without pieces */
  struct ner_slice word = word_at(&c->words, c->at);
  if( token != NO_TOKEN ) probs = c->output.probs + token * (size_t)n_labels;
  switch( i ) {
  case COL_IDX: sqlite3_result_int64(context, (sqlite3_int64)c->at); break;
  case COL_WORD:
    /* An empty array's bytes may be NULL, which would be SQL's. */
    sqlite3_result_text64(context, word.n_bytes ? word.utf8 : "", word.n_bytes, SQLITE_TRANSIENT,
                          SQLITE_UTF8);
    break;
  case COL_LABEL:
    sqlite3_result_text(context,
                        probs ? c->model->label[ner_sql_best_label(probs, n_labels)].name : "O", -1,
                        SQLITE_TRANSIENT);
    break;
  case COL_SCORE:
    if( probs ) sqlite3_result_double(context, probs[ner_sql_best_label(probs, n_labels)]);
    break;
  case COL_SCORES:
    if( probs ) result_scores(context, c->model, probs);
    break;
  default:
    if( c->arg[i - COL_JSON_ARRAY] ) sqlite3_result_value(context, c->arg[i - COL_JSON_ARRAY]);
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
    .xBestIndex = ner_sql_table_best_index,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid,
};

int ner_sql_register_words(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
