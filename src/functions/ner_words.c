/*
** ner_words.c - the table-valued function ner_words(): labels for text that is already split into
** words, as in the CoNLL files.
**
**     SELECT idx, word, label FROM ner_words('["Wolfgang","lives","in","Berlin","."]');
**     SELECT ... FROM ner_words((SELECT json_group_array(word) FROM tokens WHERE sentence = 7));
**
** Each word is tokenised by itself and the pieces are laid end to end, as with Hugging Face's
** is_split_into_words. Each element of the array gives a row: a word without pieces (empty, or
** nothing but control characters) is labelled 'O', its score and scores are NULL.
*/
#include "sql/cache.h"

#include <string.h>
#include "model/json.h"

enum {
  WORDS_IDX,        /* position in the array, from 0 on (json_each's key) */
  WORDS_WORD,       /* the array's element */
  WORDS_LABEL,      /* in full, 'B-PER': that of the word's first piece */
  WORDS_SCORE,      /* probability of that label */
  WORDS_SCORES,     /* {"O":0.01,"B-PER":0.98,...}: all labels of the first piece */
  WORDS_JSON_ARRAY, /* hidden: the arguments */
  WORDS_MODEL,
};
static const char words_schema[] =
    "CREATE TABLE x(idx INTEGER, word TEXT, label TEXT, score REAL, scores TEXT,"
    " json_array BLOB HIDDEN, model BLOB HIDDEN)";

#define WORDS_NO_TOKEN   SIZE_MAX
#define WORDS_KEEP_BYTES (64 * 1024)

/* The words of the array, one after the other. */
struct words_list {
  char *bytes;
  size_t n_bytes, cap_bytes;
  size_t *end; /* [n] where each word ends in bytes */
  size_t n, cap;
};

struct words_cursor {
  struct ner_sql_cursor base;
  struct words_list words;
  size_t *first; /* [words.n] a word's first token, or WORDS_NO_TOKEN */
  struct ner_model *model;
  struct ner_output output;
};

static void words_clear(struct ner_sql_cursor *cursor) {
  struct words_cursor *c = (struct words_cursor *)cursor;
  NER_FREE(c->words.bytes);
  NER_FREE(c->words.end);
  NER_FREE(c->first);
  ner_output_free(&c->output);
  ner_model_unref(c->model);
}

static struct ner_slice words_at(const struct words_list *words, size_t i) {
  size_t begin = i ? words->end[i - 1] : 0;
  return (struct ner_slice){words->bytes + begin, words->end[i] - begin};
}

static int words_add(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct words_list *words = arg;
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

static int words_fail_no_array(const char *why, struct ner_err *err) {
  /* A remedy follows the last ';', and the JSON reader's is meant for files. */
  const char *remedy = strrchr(why, ';');
  return ner_fail(err, NER_ERROR, "%.*s; write ner_words('[\"Angela\",\"Merkel\"]')",
                  remedy ? (int)(remedy - why) : (int)strlen(why), why);
}

/* Opens the text in the connection's JSON reader. */
static int words_open_json(struct ner_json **json, struct ner_slice text, struct ner_err *err) {
  struct ner_err why = {0};
  int rc;
  if( *json )
    rc = ner_json_replace(*json, text.utf8, text.n_bytes, "the array of words", &why);
  else
    rc = ner_json_open(text.utf8, text.n_bytes, "the array of words", json, &why);
  if( rc == NER_NOMEM ) return ner_fail_nomem(err);
  return rc == NER_OK ? NER_OK : words_fail_no_array(why.msg, err);
}

static int words_read(sqlite3_value *value, struct ner_json **json, struct words_list *words,
                      struct ner_err *err) {
  enum ner_json_type type;
  struct ner_slice text;
  int rc = ner_sql_text(value, "the array of words", &text, err);
  if( rc == NER_OK ) rc = words_open_json(json, text, err);
  if( rc != NER_OK ) return rc;
  type = ner_json_type_at(*json, "$");
  /* The whole is always there: without a type it could not be read for want of memory, and the
  ** walk says so. */
  if( type == NER_JSON_ARRAY || type == NER_JSON_MISSING )
    rc = ner_json_each(*json, "$", words_add, words, err);
  else
    rc = words_fail_no_array("the array of words is no array", err);
  /* The reader keeps the text; a long one is not worth it. */
  if( text.n_bytes > WORDS_KEEP_BYTES || rc == NER_NOMEM ) {
    ner_json_close(*json);
    *json = NULL;
  }
  return rc;
}

static int words_label(struct words_cursor *c, sqlite3 *db, struct ner_err *err) {
  struct ner_input input = {0};
  struct ner_slice *slices = ner_alloc(c->words.n, sizeof *slices);
  int rc;
  if( !slices ) return ner_fail_nomem(err);
  for( size_t i = 0; i < c->words.n; i++ ) slices[i] = words_at(&c->words, i);
  input.word = slices;
  input.n_words = c->words.n;
  rc = ner_sql_run(db, c->model, &input, NULL, &c->output, err);
  NER_FREE(slices);
  if( rc != NER_OK ) return rc;

  c->first = ner_alloc(c->words.n, sizeof *c->first);
  if( !c->first ) return ner_fail_nomem(err);
  for( size_t i = 0; i < c->words.n; i++ ) c->first[i] = WORDS_NO_TOKEN;
  for( size_t i = c->output.tokens.n; i-- > 0; ) {
    uint32_t word = c->output.tokens.token[i].word;
    if( word < c->words.n ) c->first[word] = i;
  }
  return NER_OK;
}

static int words_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                       struct ner_err *err) {
  struct words_cursor *c = (struct words_cursor *)cursor;
  int rc = NER_OK;
  if( !ner_sql_is_null(cursor->arg[0]) ) {
    rc = words_read(cursor->arg[0], ner_sql_cache_json(ner_sql_table_of(cursor)->cache), &c->words,
                    err);
    if( rc == NER_OK )
      rc = ner_sql_model(ner_sql_table_of(cursor)->db, cursor->arg[1], &c->model, err);
    if( rc == NER_OK && c->words.n > 0 ) rc = words_label(c, ner_sql_table_of(cursor)->db, err);
  }
  cursor->eof = c->words.n == 0;
  return rc;
}

static int words_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  cursor->eof = (size_t)++cursor->position >= ((struct words_cursor *)cursor)->words.n;
  return NER_OK;
}

static void words_result_scores(sqlite3_context *context, const struct ner_model *model,
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

static void words_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  struct words_cursor *c = (struct words_cursor *)cursor;
  int32_t n_labels = c->model->config.n_labels;
  size_t at = (size_t)cursor->position, token = c->first[at];
  const float *probs = NULL; /* [n_labels], NULL: a word without pieces */
  struct ner_slice word = words_at(&c->words, at);
  if( token != WORDS_NO_TOKEN ) probs = c->output.probs + token * (size_t)n_labels;
  switch( column ) {
  case WORDS_IDX: sqlite3_result_int64(context, cursor->position); break;
  case WORDS_WORD:
    /* An empty array's bytes may be NULL, which SQLite would take for SQL's. */
    sqlite3_result_text64(context, word.n_bytes ? word.utf8 : "", word.n_bytes, SQLITE_TRANSIENT,
                          SQLITE_UTF8);
    break;
  case WORDS_LABEL:
    sqlite3_result_text(context,
                        probs ? c->model->label[ner_sql_best_label(probs, n_labels)].name : "O", -1,
                        SQLITE_TRANSIENT);
    break;
  case WORDS_SCORE:
    if( probs ) sqlite3_result_double(context, probs[ner_sql_best_label(probs, n_labels)]);
    break;
  case WORDS_SCORES:
    if( probs ) words_result_scores(context, c->model, probs);
    break;
  }
}

static const struct ner_sql_shape words_shape = {
    .name = "ner_words",
    .schema = words_schema,
    .first_arg = WORDS_JSON_ARRAY,
    .n_args = 2,
    .innocuous = true,
    .cursor_bytes = sizeof(struct words_cursor),
    .start = words_start,
    .next = words_next,
    .column = words_column,
    .clear = words_clear,
};

int ner_sql_register_words(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &words_shape);
}
