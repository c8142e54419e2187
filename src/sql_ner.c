/*
** sql_ner.c - the table-valued function ner(): a row per entity of a text.
**
**     SELECT entity, label, score, start, end FROM ner('Wolfgang lives in Berlin');
**     SELECT d.id, n.* FROM docs d, ner(d.body, 'mymodel', 'average', 0.9) n;
**
**     entity      the verbatim slice: substr(text, start+1, end-start)
**     label       'PER', 'ORG', ...: what the model's labels are called without B- and I-
**     score       0..1
**     start, end  code points, half open
**     hidden: text, model, aggregation, threshold (as given); start_byte, end_byte (of UTF-8)
**
** Opening the cursor runs the model over the whole text, since an entity may reach
** over the windows of a long one; so a LIMIT has nothing to gain inside a text,
** and between texts SQLite itself stops calling us. What a query asks of the rows
** is made use of:
**   label = x    a label the model does not have: the model is not run
**   score >, >=  rows are left out here
**   ORDER BY start, start_byte or rowid ascending: that is how they come
** SQLite checks label and score once more, so only constraints of the plain types
** and of binary collation need to be understood here. IN (...) is left alone: taking
** it would mean a run for each of its values.
*/
#include "sql.h"

#include <string.h>

enum {
  COL_ENTITY,
  COL_LABEL,
  COL_SCORE,
  COL_START,
  COL_END,
  COL_TEXT, /* the arguments: the first of the hidden columns, as SQLite wants them */
  COL_MODEL,
  COL_AGGREGATION,
  COL_THRESHOLD,
  COL_START_BYTE,
  COL_END_BYTE,
};

static const struct ner_sql_shape shape = {
    .name = "ner",
    .schema = "CREATE TABLE x(entity TEXT, label TEXT, score REAL, start INTEGER, \"end\" INTEGER,"
              " text HIDDEN, model HIDDEN, aggregation HIDDEN, threshold HIDDEN,"
              " start_byte INTEGER HIDDEN, end_byte INTEGER HIDDEN)",
    .first_arg = COL_TEXT,
    .n_args = 4,
    .innocuous = true,
};

/* Bits of idxNum beyond the arguments'; their values follow in this order. */
#define PLAN_LABEL (1 << 4)
#define PLAN_GE    (1 << 5)
#define PLAN_GT    (1 << 6)

struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS]; /* as given, NULL: not given */
  struct ner_slice text;                /* inside arg[0] */
  struct ner_model *model;              /* owns the labels */
  struct ner_entities found;
  size_t at;
  sqlite3_value *label; /* wanted; NULL: any */
  double min_score;     /* wanted: score >= min_score, */
  double above_score;   /* and score > above_score */
};

static bool ordered_by_position(const sqlite3_index_info *info) {
  int column;
  if( info->nOrderBy != 1 || info->aOrderBy[0].desc ) return false;
  column = info->aOrderBy[0].iColumn;
  return column == COL_START || column == COL_START_BYTE || column == -1;
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int label = -1, ge = -1, gt = -1, n_argv;
  int rc = ner_sql_table_plan(table, info, &n_argv);
  if( rc != SQLITE_OK ) return rc;
  for( int i = 0; i < info->nConstraint; i++ ) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    if( !c->usable ) continue;
    if( c->iColumn == COL_LABEL && c->op == SQLITE_INDEX_CONSTRAINT_EQ ) {
      if( !sqlite3_vtab_in(info, i, -1) &&
          !sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") )
        label = i;
    } else if( c->iColumn == COL_SCORE && c->op == SQLITE_INDEX_CONSTRAINT_GE ) {
      ge = i;
    } else if( c->iColumn == COL_SCORE && c->op == SQLITE_INDEX_CONSTRAINT_GT ) {
      gt = i;
    }
  }
  if( label >= 0 ) {
    info->idxNum |= PLAN_LABEL;
    info->aConstraintUsage[label].argvIndex = ++n_argv;
    info->estimatedRows = 3;
  }
  if( ge >= 0 ) {
    info->idxNum |= PLAN_GE;
    info->aConstraintUsage[ge].argvIndex = ++n_argv;
  }
  if( gt >= 0 ) {
    info->idxNum |= PLAN_GT;
    info->aConstraintUsage[gt].argvIndex = ++n_argv;
  }
  info->orderByConsumed = ordered_by_position(info);
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct cursor *c = ner_calloc(1, sizeof *c);
  if( !c ) return SQLITE_NOMEM;
  *out = &c->base;
  return SQLITE_OK;
}

static void reset(struct cursor *c) {
  ner_sql_table_args_free(c->arg);
  sqlite3_value_free(c->label);
  c->label = NULL;
  ner_entities_free(&c->found);
  c->found = (struct ner_entities){0};
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

/* Takes the constraints on label and score. What is not of the plain type is left
** to SQLite, which knows how such things compare. */
static int take_wishes(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  c->min_score = c->above_score = -1;
  if( plan & PLAN_LABEL ) {
    sqlite3_value *label = *argv++;
    if( sqlite3_value_type(label) == SQLITE_TEXT ) {
      c->label = sqlite3_value_dup(label);
      if( !c->label || !sqlite3_value_text(c->label) ) return ner_fail_nomem(err);
    }
  }
  for( int bit = PLAN_GE; bit <= PLAN_GT; bit <<= 1 ) {
    sqlite3_value *score;
    int type;
    if( !(plan & bit) ) continue;
    score = *argv++;
    type = sqlite3_value_type(score);
    if( type != SQLITE_INTEGER && type != SQLITE_FLOAT ) continue;
    *(bit == PLAN_GE ? &c->min_score : &c->above_score) = sqlite3_value_double(score);
  }
  return NER_OK;
}

static bool is_wanted_label(const struct cursor *c, const char *label) {
  return !c->label || (strlen(label) == (size_t)sqlite3_value_bytes(c->label) &&
                       !strcmp(label, (const char *)sqlite3_value_text(c->label)));
}

static bool model_has_wanted_label(const struct cursor *c) {
  for( int32_t i = 0; i < c->model->config.n_labels; i++ ) {
    const struct ner_label *label = &c->model->label[i];
    if( !label->outside && is_wanted_label(c, label->tag) ) return true;
  }
  return false;
}

/* Goes on to the next entity that is wanted, from c->at itself on. */
static void settle(struct cursor *c) {
  for( ; c->at < c->found.n; c->at++ ) {
    const struct ner_entity *e = &c->found.entity[c->at];
    double score = e->score;
    if( score >= c->min_score && score > c->above_score && is_wanted_label(c, e->label) ) return;
  }
}

static int run(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  struct ner_sql_table *table = (struct ner_sql_table *)c->base.pVtab;
  struct ner_options options;
  int n_args;
  int rc = ner_sql_table_args(&table->base, plan, argv, c->arg, &n_args, err);
  if( rc == NER_OK ) rc = take_wishes(c, plan, argv + n_args, err);
  if( rc == NER_OK ) rc = ner_sql_options(c->arg[2], c->arg[3], &options, err);
  if( rc != NER_OK || ner_sql_is_null(c->arg[0]) ) return rc;
  rc = ner_sql_text(c->arg[0], "the text", &c->text, err);
  if( rc == NER_OK ) rc = ner_sql_model(c->arg[1], &c->model, err);
  if( rc != NER_OK || !model_has_wanted_label(c) ) return rc;
  rc = ner_sql_extract(table->db, c->model, c->text, &options, &c->found, err);
  if( rc == NER_OK ) settle(c);
  return rc;
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
  struct cursor *c = (struct cursor *)cursor;
  c->at++;
  settle(c);
  return SQLITE_OK;
}

static int eof(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  return c->at >= c->found.n;
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  const struct ner_entity *e = &c->found.entity[c->at];
  switch( i ) {
  case COL_ENTITY:
    sqlite3_result_text64(context, c->text.utf8 + e->start_byte, e->end_byte - e->start_byte,
                          SQLITE_TRANSIENT, SQLITE_UTF8);
    break;
  case COL_LABEL: sqlite3_result_text(context, e->label, -1, SQLITE_TRANSIENT); break;
  case COL_SCORE: sqlite3_result_double(context, e->score); break;
  case COL_START: sqlite3_result_int64(context, e->start); break;
  case COL_END: sqlite3_result_int64(context, e->end); break;
  case COL_START_BYTE: sqlite3_result_int64(context, e->start_byte); break;
  case COL_END_BYTE: sqlite3_result_int64(context, e->end_byte); break;
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

int ner_sql_register_ner(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
