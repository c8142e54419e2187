/*
** ner_train.c - the table-valued function ner_train(): fine-tunes a model on a table of examples.
**
**     SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'products.safetensors');
**     SELECT epoch, f1 FROM ner_train('SELECT text, entities FROM labelled',
**       'products.safetensors', '{"epochs":6,"labels":"extend"}') WHERE f1 IS NOT NULL;
**
** The SQL is one SELECT of two columns that only reads, on the same connection: a text and a JSON
** array of its entities, [{"start":0,"end":8,"label":"PRODUCT"}], as ner_json() gives them; or a
** JSON array of words and one of their BIO tags. Both may be mixed. train_options below lists the
** options.
**
** Rows come as training goes on: one at the beginning, one every second, one after each epoch with
** the scores on the validation examples, and a last one whose note, a JSON object, says what was
** written. A statement that ends before, interrupted or with a LIMIT, writes no model; the
** checkpoint of the latest epoch stays beside the target. train/trainer.h says the rest.
**
** Because it runs SQL text and writes a file it is for top-level SQL only: not for views or
** triggers.
*/
#include "sql/sql.h"

#include <math.h>
#include <string.h>
#include "base/file.h"
#include "engine/registry.h"
#include "model/json.h"
#include "model/open.h"
#include "train/trainer.h"

enum {
  TRAIN_EPOCH, /* 0: before the first step; in the last row: the one that was kept */
  TRAIN_STEP,  /* steps of the optimizer so far */
  TRAIN_STEPS, /* and in all */
  TRAIN_LOSS,  /* mean since the row before */
  TRAIN_PRECISION,
  TRAIN_RECALL,
  TRAIN_F1, /* these three: of entities, on the validation examples, after an epoch */
  TRAIN_TOKENS_PER_SECOND,
  TRAIN_ETA_SECONDS,
  TRAIN_NOTE,
  TRAIN_SQL, /* hidden: the arguments */
  TRAIN_TARGET,
  TRAIN_OPTIONS,
};
static const char train_schema[] =
    "CREATE TABLE x(epoch INTEGER, step INTEGER, steps INTEGER, loss REAL, precision REAL,"
    " recall REAL, f1 REAL, tokens_per_second REAL, eta_seconds REAL, note TEXT,"
    " sql BLOB HIDDEN, target BLOB HIDDEN, options BLOB HIDDEN)";

struct train_settings {
  struct ner_train_options options;
  char *base;      /* NULL: the default model */
  char *valid_sql; /* NULL: a share */
};

struct train_cursor {
  struct ner_sql_cursor base;
  struct ner_trainer *trainer;
  struct ner_train_row row;
  char *last_note; /* JSON, from SQLite */
  sqlite3_stmt *statement;
  struct train_settings settings;
  struct ner_examples examples;
};

static void train_clear(struct ner_sql_cursor *cursor) {
  struct train_cursor *c = (struct train_cursor *)cursor;
  sqlite3_finalize(c->statement);
  ner_examples_free(&c->examples);
  ner_trainer_close(c->trainer);
  sqlite3_free(c->last_note);
  NER_FREE(c->settings.base);
  NER_FREE(c->settings.valid_sql);
}

/* ---- options ---- */

/* A number within [low, high]; whole: without a fraction. */
static int train_number(const struct ner_json_item *item, double low, double high, bool whole,
                        double *out, struct ner_err *err) {
  char from[NER_NUMBER_BYTES], to[NER_NUMBER_BYTES];
  const bool number = item->type == NER_JSON_INTEGER || item->type == NER_JSON_REAL;
  const double value = item->type == NER_JSON_INTEGER ? (double)item->integer : item->real;
  if( !number || !(value >= low && value <= high) || (whole && value != floor(value)) )
    return ner_fail(err, NER_ERROR, "ner_train(): the option %s must be a %snumber from %s to %s",
                    item->key, whole ? "whole " : "", ner_print_number(low, 9, from),
                    ner_print_number(high, 9, to));
  *out = value;
  return NER_OK;
}

static int train_text(const struct ner_json_item *item, char **out, struct ner_err *err) {
  if( item->type != NER_JSON_STRING || item->n_string == 0 )
    return ner_fail(err, NER_ERROR, "ner_train(): the option %s must be a text", item->key);
  NER_FREE(*out);
  *out = ner_strndup(item->string, item->n_string);
  return *out ? NER_OK : ner_fail_nomem(err);
}

static int train_valid(struct train_settings *s, const struct ner_json_item *item,
                       struct ner_err *err) {
  if( item->type == NER_JSON_STRING ) return train_text(item, &s->valid_sql, err);
  if( item->type != NER_JSON_INTEGER && item->type != NER_JSON_REAL )
    return ner_fail(err, NER_ERROR,
                    "ner_train(): the option valid must be a number from 0 to 0.9 or a SELECT");
  return train_number(item, 0, 0.9, false, &s->options.valid_share, err);
}

static int train_labels(struct train_settings *s, const struct ner_json_item *item,
                        struct ner_err *err) {
  const char *name = item->type == NER_JSON_STRING ? item->string : "";
  s->options.extend = sqlite3_stricmp(name, "extend") == 0;
  if( s->options.extend || sqlite3_stricmp(name, "replace") == 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR, "ner_train(): the option labels must be 'replace' or 'extend'");
}

/* The options that are numbers. */
static const struct train_number_option {
  const char *key;
  double low, high;
  bool whole;
} train_numbers[] = {
    {"epochs", 1, 10000, true},
    {"learning_rate", 0, 1, false},
    {"batch_tokens", 8, 1e6, true},
    {"warmup", 0, 1, false},
    {"weight_decay", 0, 1, false},
    {"dropout", 0, 0.9, false},
    {"seed", 0, 9007199254740992.0, true},
    {"freeze", 0, 256, true},
    {"patience", 0, 10000, true},
};

static void train_set_number(struct ner_train_options *o, size_t i, double value) {
  switch( i ) {
  case 0: o->epochs = (int32_t)value; break;
  case 1: o->learning_rate = value; break;
  case 2: o->batch_tokens = (int32_t)value; break;
  case 3: o->warmup = value; break;
  case 4: o->weight_decay = value; break;
  case 5: o->dropout = value; break;
  case 6: o->seed = (uint64_t)value; break;
  case 7: o->freeze = (int32_t)value; break;
  case 8: o->patience = (int32_t)value; break;
  }
}

static int train_option(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct train_settings *s = arg;
  if( item->type == NER_JSON_NULL ) return NER_OK;
  for( size_t i = 0; i < sizeof train_numbers / sizeof *train_numbers; i++ )
    if( strcmp(item->key, train_numbers[i].key) == 0 ) {
      double value;
      int rc = train_number(item, train_numbers[i].low, train_numbers[i].high,
                            train_numbers[i].whole, &value, err);
      if( rc == NER_OK ) train_set_number(&s->options, i, value);
      return rc;
    }
  if( strcmp(item->key, "base") == 0 ) return train_text(item, &s->base, err);
  if( strcmp(item->key, "valid") == 0 ) return train_valid(s, item, err);
  if( strcmp(item->key, "labels") == 0 ) return train_labels(s, item, err);
  if( strcmp(item->key, "precision") == 0 && item->type == NER_JSON_STRING )
    return ner_precision_parse(item->string, &s->options.precision, err);
  if( strcmp(item->key, "resume") == 0 &&
      (item->type == NER_JSON_TRUE || item->type == NER_JSON_FALSE) ) {
    s->options.resume = item->type == NER_JSON_TRUE;
    return NER_OK;
  }
  if( strcmp(item->key, "resume") == 0 || strcmp(item->key, "precision") == 0 )
    return ner_fail(err, NER_ERROR, "ner_train(): the option %s must be %s", item->key,
                    *item->key == 'r' ? "true or false" : "'f32' or 'int8'");
  return ner_fail(err, NER_ERROR,
                  "ner_train(): there is no option '%.40s'; there are base, epochs, learning_rate, "
                  "batch_tokens, warmup, weight_decay, dropout, seed, valid, freeze, labels, "
                  "precision, patience and resume",
                  item->key);
}

static int train_no_object(struct ner_err *err) {
  return ner_fail(err, NER_ERROR,
                  "ner_train()'s options are no JSON object; write '{\"epochs\":4}'");
}

static int train_read_options(sqlite3_value *value, struct train_settings *s, struct ner_err *err) {
  enum ner_json_type type;
  struct ner_err why = {0};
  struct ner_json *json;
  struct ner_slice text;
  int rc;
  s->options = ner_train_options_default();
  if( ner_sql_is_null(value) ) return NER_OK;
  rc = ner_sql_text(value, "ner_train()'s options", &text, err);
  if( rc ) return rc;
  rc = ner_json_open(text.utf8, text.n_bytes, "options", &json, &why);
  if( rc == NER_NOMEM ) return ner_fail_nomem(err);
  if( rc ) return train_no_object(err);
  /* The whole is always there: without a type memory is out, and the walk says so. */
  type = ner_json_type_at(json, "$");
  rc = type == NER_JSON_OBJECT || type == NER_JSON_MISSING
           ? ner_json_each(json, "$", train_option, s, err)
           : train_no_object(err);
  ner_json_close(json);
  return rc;
}

/* ---- rows of the SELECT ---- */

/* The entities or tags of a row, and its words. Strings are kept in `bytes`. */
struct train_list {
  char *bytes;
  size_t n_bytes, cap_bytes;
  size_t *begin, *end; /* [n] of strings */
  int64_t *span;       /* [2·n] start and end */
  size_t n, cap_begin, cap_end, cap_span;
  bool spans, strings, odd;
  /* Of the entity that is being read: */
  int64_t start, stop;
  bool has_start, has_end, has_label;
};

static void train_list_free(struct train_list *list) {
  NER_FREE(list->bytes);
  NER_FREE(list->begin);
  NER_FREE(list->end);
  NER_FREE(list->span);
}

static int train_list_add(struct train_list *list, const char *utf8, size_t n,
                          struct ner_err *err) {
  if( ner_grow((void **)&list->bytes, &list->cap_bytes, list->n_bytes + n + 1, 1) ||
      ner_grow((void **)&list->begin, &list->cap_begin, list->n + 1, sizeof *list->begin) ||
      ner_grow((void **)&list->end, &list->cap_end, list->n + 1, sizeof *list->end) ||
      ner_grow((void **)&list->span, &list->cap_span, 2 * (list->n + 1), sizeof *list->span) )
    return ner_fail_nomem(err);
  if( n > 0 ) memcpy(list->bytes + list->n_bytes, utf8, n);
  list->begin[list->n] = list->n_bytes;
  list->end[list->n] = list->n_bytes += n;
  list->span[2 * list->n] = list->start;
  list->span[2 * list->n + 1] = list->stop;
  list->n++;
  return NER_OK;
}

struct train_entity {
  struct train_list *list;
  char *label;
  size_t n_label;
};

static int train_entity_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct train_entity *entity = arg;
  struct train_list *list = entity->list;
  if( strcmp(item->key, "start") == 0 && item->type == NER_JSON_INTEGER ) {
    list->start = item->integer;
    list->has_start = true;
  } else if( strcmp(item->key, "end") == 0 && item->type == NER_JSON_INTEGER ) {
    list->stop = item->integer;
    list->has_end = true;
  } else if( strcmp(item->key, "label") == 0 && item->type == NER_JSON_STRING ) {
    NER_FREE(entity->label);
    entity->label = ner_strndup(item->string, item->n_string);
    entity->n_label = item->n_string;
    list->has_label = true;
    if( !entity->label ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

struct train_reading {
  struct ner_json *json;
  struct train_list *list;
};

static int train_element(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  const struct train_reading *reading = arg;
  struct train_list *list = reading->list;
  struct train_entity entity = {.list = list};
  int rc;
  if( item->type == NER_JSON_STRING ) {
    list->strings = true;
    return train_list_add(list, item->string, item->n_string, err);
  }
  list->spans = true;
  if( item->type != NER_JSON_OBJECT ) {
    list->odd = true;
    return NER_OK;
  }
  list->has_start = list->has_end = list->has_label = false;
  rc = ner_json_each_in(reading->json, item, train_entity_member, &entity, err);
  if( rc == NER_OK && list->has_start && list->has_end && list->has_label )
    rc = train_list_add(list, entity.label, entity.n_label, err);
  else
    list->odd = true;
  NER_FREE(entity.label);
  return rc;
}

/* A JSON array into list; list->odd: it is none, or not of one kind. */
static int train_read_list(const struct ner_slice *text, struct train_list *list,
                           struct ner_err *err) {
  struct train_reading reading = {.list = list};
  enum ner_json_type type;
  struct ner_err why = {0};
  int rc = ner_json_open(text->utf8, text->n_bytes, "entities", &reading.json, &why);
  if( rc == NER_NOMEM ) return ner_fail_nomem(err);
  if( rc != NER_OK ) {
    list->odd = true;
    return NER_OK;
  }
  type = ner_json_type_at(reading.json, "$");
  if( type == NER_JSON_ARRAY || type == NER_JSON_MISSING )
    rc = ner_json_each(reading.json, "$", train_element, &reading, err);
  else
    list->odd = true;
  ner_json_close(reading.json);
  list->odd = list->odd || (list->spans && list->strings);
  return rc;
}

static int train_add_words(struct ner_examples *ex, const struct ner_slice *text,
                           const struct train_list *tags, struct ner_err *err) {
  struct train_list words = {0};
  struct ner_slice *slice = NULL;
  int rc = train_read_list(text, &words, err);
  if( rc == NER_OK && (words.odd || words.spans) ) {
    ner_examples_odd(ex, NER_ODD_JSON);
  } else if( rc == NER_OK && words.n != tags->n ) {
    ner_examples_odd(ex, NER_ODD_LENGTHS);
  } else if( rc == NER_OK ) {
    slice = ner_alloc(2 * words.n, sizeof *slice);
    if( !slice ) rc = ner_fail_nomem(err);
    for( size_t i = 0; rc == NER_OK && i < words.n; i++ ) {
      slice[i] = (struct ner_slice){words.bytes + words.begin[i], words.end[i] - words.begin[i]};
      slice[words.n + i] =
          (struct ner_slice){tags->bytes + tags->begin[i], tags->end[i] - tags->begin[i]};
    }
    if( rc == NER_OK ) rc = ner_examples_add_words(ex, slice, slice + words.n, words.n, err);
  }
  NER_FREE(slice);
  train_list_free(&words);
  return rc;
}

static int train_add_text(struct ner_examples *ex, const struct ner_slice *text,
                          const struct train_list *list, struct ner_err *err) {
  struct ner_train_span *span = ner_alloc(list->n + 1, sizeof *span);
  int rc;
  if( !span ) return ner_fail_nomem(err);
  for( size_t i = 0; i < list->n; i++ )
    span[i] = (struct ner_train_span){list->span[2 * i], list->span[2 * i + 1],
                                      list->bytes + list->begin[i], list->end[i] - list->begin[i]};
  rc = ner_examples_add_text(ex, text->utf8, text->n_bytes, span, list->n, err);
  NER_FREE(span);
  return rc;
}

static int train_add_row(struct ner_examples *ex, sqlite3_stmt *statement, struct ner_err *err) {
  sqlite3_value *first = sqlite3_column_value(statement, 0);
  sqlite3_value *second = sqlite3_column_value(statement, 1);
  struct train_list list = {0};
  struct ner_slice text, entities;
  int rc;
  ner_examples_row(ex);
  if( sqlite3_value_type(first) == SQLITE_NULL || sqlite3_value_type(second) == SQLITE_NULL ) {
    ner_examples_odd(ex, NER_ODD_NULL);
    return NER_OK;
  }
  if( sqlite3_value_type(first) == SQLITE_BLOB || sqlite3_value_type(second) == SQLITE_BLOB ) {
    ner_examples_odd(ex, NER_ODD_BLOB);
    return NER_OK;
  }
  rc = ner_sql_text(first, "the text", &text, err);
  if( rc == NER_OK ) rc = ner_sql_text(second, "the entities", &entities, err);
  if( rc == NER_OK ) rc = train_read_list(&entities, &list, err);
  if( rc == NER_OK && list.odd )
    ner_examples_odd(ex, NER_ODD_JSON);
  else if( rc == NER_OK )
    rc = list.strings ? train_add_words(ex, &text, &list, err)
                      : train_add_text(ex, &text, &list, err);
  train_list_free(&list);
  return rc;
}

static int train_read_rows(struct train_cursor *c, sqlite3 *db, const struct ner_cancel *cancel,
                           struct ner_err *err) {
  int rc = NER_OK, step = SQLITE_DONE;
  c->examples.row = 0;
  while( rc == NER_OK && (step = sqlite3_step(c->statement)) == SQLITE_ROW ) {
    rc = train_add_row(&c->examples, c->statement, err);
    if( rc == NER_OK && ner_cancelled(cancel) ) rc = ner_fail_interrupted(err);
  }
  if( rc == NER_OK && step != SQLITE_DONE )
    rc = ner_sql_select_failed(db, "ner_train()", "the query failed", err);
  sqlite3_finalize(c->statement);
  c->statement = NULL;
  return rc;
}

/* ---- the base ---- */

/* A name that is loaded, or a directory or file. */
static int train_base(const struct train_settings *s, const struct ner_cancel *cancel,
                      struct ner_model **out, struct ner_err *err) {
  struct ner_err unknown = {0};
  int rc = ner_registry_get(s->base, cancel, out, &unknown);
  if( rc == NER_OK || !s->base || rc == NER_NOMEM || rc == NER_INTERRUPT ||
      ner_file_kind(s->base) == NER_FILE_MISSING ) {
    if( rc != NER_OK ) *err = unknown;
    return rc;
  }
  return ner_model_open_encoder(s->base, cancel, out, err);
}

/* ---- the cursor ---- */

static int train_last_note(struct train_cursor *c, struct ner_err *err) {
  struct ner_train_result result;
  sqlite3_str *json = sqlite3_str_new(NULL);
  ner_trainer_result(c->trainer, &result);
  sqlite3_str_appendall(json, "{\"written\":");
  ner_sql_json_string(json, result.target, strlen(result.target));
  sqlite3_str_appendf(json, ",\"precision\":\"%s\",\"bytes\":%llu,\"epoch\":%d,\"labels\":%s",
                      ner_precision_name(result.precision), (unsigned long long)result.n_bytes,
                      result.epoch, result.labels_json);
  sqlite3_str_appendall(json, ",\"types\":{");
  for( size_t i = 0; i < result.n_scores; i++ ) {
    const struct ner_train_score *s = &result.score[i];
    if( i ) sqlite3_str_appendchar(json, 1, ',');
    ner_sql_json_string(json, s->type, strlen(s->type));
    sqlite3_str_appendf(json, ":{\"precision\":%.4f,\"recall\":%.4f,\"f1\":%.4f,\"support\":%lld}",
                        ner_train_precision(s), ner_train_recall(s), ner_train_f1(s),
                        (long long)s->gold);
  }
  sqlite3_str_appendall(json, "}}");
  c->last_note = sqlite3_str_finish(json);
  return c->last_note ? NER_OK : ner_fail_nomem(err);
}

static int train_next_row(struct train_cursor *c, const struct ner_cancel *cancel,
                          struct ner_err *err) {
  int rc = ner_trainer_next(c->trainer, &c->row, cancel, err);
  if( rc == NER_OK && c->row.is_last ) rc = train_last_note(c, err);
  c->base.position++;
  return rc;
}

static int train_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct train_cursor *c = (struct train_cursor *)cursor;
  struct ner_sql_cancel cancel;
  int rc;
  if( c->row.is_last ) {
    cursor->eof = true;
    return NER_OK;
  }
  ner_sql_cancel_open(&cancel, ner_sql_table_of(cursor)->db);
  rc = train_next_row(c, &cancel.base, err);
  ner_sql_cancel_close(&cancel);
  return rc;
}

static int train_examples(struct train_cursor *c, sqlite3 *db, const struct ner_model *base,
                          const struct ner_cancel *cancel, struct ner_err *err) {
  const struct ner_train_options *o = &c->settings.options;
  const char *sql;
  int32_t max_tok = base->config.max_tokens;
  int rc = ner_sql_name(c->base.arg[0], "ner_train()'s SQL", &sql, err);
  if( max_tok > o->batch_tokens ) max_tok = o->batch_tokens;
  ner_examples_init(&c->examples, base, max_tok);
  if( rc == NER_OK && max_tok <= ner_template_tok(ner_tokenizer_template(base->tokenizer)) )
    rc = ner_fail(err, NER_ERROR,
                  "ner_train(): batch_tokens is %d, which leaves no room for a text; give more",
                  o->batch_tokens);
  if( rc == NER_OK )
    rc = ner_sql_select(db, "ner_train()", sql, "a text and its entities", &c->statement, err);
  if( rc == NER_OK ) rc = train_read_rows(c, db, cancel, err);
  if( rc != NER_OK || !c->settings.valid_sql ) return rc;
  c->examples.all_valid = c->examples.has_valid_rows = true;
  rc = ner_sql_select(db, "ner_train()'s option valid", c->settings.valid_sql,
                      "a text and its entities", &c->statement, err);
  return rc == NER_OK ? train_read_rows(c, db, cancel, err) : rc;
}

static int train_begin(struct train_cursor *c, sqlite3 *db, const struct ner_cancel *cancel,
                       struct ner_err *err) {
  struct ner_model *base = NULL;
  const char *target;
  int rc = ner_sql_name(c->base.arg[1], "ner_train()'s target", &target, err);
  if( rc == NER_OK ) rc = train_read_options(c->base.arg[2], &c->settings, err);
  if( rc == NER_OK ) rc = train_base(&c->settings, cancel, &base, err);
  if( rc == NER_OK ) rc = train_examples(c, db, base, cancel, err);
  if( rc == NER_OK )
    rc = ner_trainer_open(base, &c->examples, &c->settings.options, target, cancel, &c->trainer,
                          err);
  if( c->trainer ) {
    rc = train_next_row(c, cancel, err);
  } else {
    ner_examples_free(&c->examples); /* before their base goes */
  }
  ner_model_unref(base);
  return rc;
}

static int train_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                       struct ner_err *err) {
  sqlite3 *db = ner_sql_table_of(cursor)->db;
  struct ner_sql_cancel cancel;
  int rc;
  (void)plan, (void)rest;
  ner_sql_cancel_open(&cancel, db);
  rc = train_begin((struct train_cursor *)cursor, db, &cancel.base, err);
  ner_sql_cancel_close(&cancel);
  return rc;
}

static void train_real(sqlite3_context *context, double value) {
  if( isfinite(value) ) sqlite3_result_double(context, value);
}

static void train_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  const struct train_cursor *c = (const struct train_cursor *)cursor;
  const struct ner_train_row *row = &c->row;
  switch( column ) {
  case TRAIN_EPOCH: sqlite3_result_int(context, row->epoch); break;
  case TRAIN_STEP: sqlite3_result_int64(context, row->step); break;
  case TRAIN_STEPS: sqlite3_result_int64(context, row->steps); break;
  case TRAIN_LOSS: train_real(context, row->loss); break;
  case TRAIN_TOKENS_PER_SECOND: train_real(context, row->tokens_per_second); break;
  case TRAIN_ETA_SECONDS: train_real(context, row->eta_s); break;
  case TRAIN_NOTE: {
    const char *note = row->is_last ? c->last_note : row->note;
    if( note ) sqlite3_result_text(context, note, -1, SQLITE_TRANSIENT);
    break;
  }
  default:
    if( !row->has_scores || row->score.gold + row->score.found == 0 ) break;
    sqlite3_result_double(context, column == TRAIN_PRECISION ? ner_train_precision(&row->score)
                                   : column == TRAIN_RECALL  ? ner_train_recall(&row->score)
                                                             : ner_train_f1(&row->score));
  }
}

static void train_plan(sqlite3_index_info *info, int *n_argv) {
  (void)n_argv;
  info->estimatedRows = 100;
}

static const struct ner_sql_shape train_shape = {
    .name = "ner_train",
    .schema = train_schema,
    .first_arg = TRAIN_SQL,
    .n_args = 3,
    .direct_only = true,
    .cursor_bytes = sizeof(struct train_cursor),
    .plan = train_plan,
    .start = train_start,
    .next = train_next,
    .column = train_column,
    .clear = train_clear,
};

int ner_sql_register_train(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &train_shape);
}
