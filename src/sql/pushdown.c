/*
** pushdown.c - what a query asks of entities' labels and scores, made use of; see sql/sql.h.
**
**   label = x    other entities are not given out (a label the model lacks: it need not even run)
**   score >, >=  likewise
**   LIMIT        nothing is done ahead for rows beyond it
**
** SQLite checks all of them once more, so only constraints of the plain types and of binary
** collation need to be understood. IN (...) is left alone. It tells of a LIMIT only where nothing
** but these tables' own constraints stands between their rows and the result.
*/
#include "sql/sql.h"

#include <string.h>

#define PLAN_LABEL (1 << NER_SQL_WISH_BIT)
#define PLAN_GE    (2 << NER_SQL_WISH_BIT)
#define PLAN_GT    (4 << NER_SQL_WISH_BIT)
#define PLAN_LIMIT (8 << NER_SQL_WISH_BIT)
#define PLAN_SKIP  (16 << NER_SQL_WISH_BIT) /* OFFSET */

static void take(sqlite3_index_info *info, int constraint, int bit, int *n_argv) {
  if( constraint < 0 ) return;
  info->idxNum |= bit;
  info->aConstraintUsage[constraint].argvIndex = ++*n_argv;
}

void ner_sql_wish_plan(sqlite3_index_info *info, const char *what, int label_column,
                       int score_column, int *n_argv) {
  int label = -1, ge = -1, gt = -1, limit = -1, skip = -1;
  for( int i = 0; i < info->nConstraint; i++ ) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    if( !c->usable ) continue;
    if( c->op == SQLITE_INDEX_CONSTRAINT_LIMIT ) {
      limit = i;
    } else if( c->op == SQLITE_INDEX_CONSTRAINT_OFFSET ) {
      skip = i;
    } else if( c->iColumn == label_column && c->op == SQLITE_INDEX_CONSTRAINT_EQ ) {
      if( !sqlite3_vtab_in(info, i, -1) &&
          !sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") )
        label = i;
    } else if( c->iColumn == score_column && c->op == SQLITE_INDEX_CONSTRAINT_GE ) {
      ge = i;
    } else if( c->iColumn == score_column && c->op == SQLITE_INDEX_CONSTRAINT_GT ) {
      gt = i;
    }
  }
  if( label >= 0 ) info->estimatedRows = info->estimatedRows > 3 ? info->estimatedRows / 3 : 1;
  take(info, label, PLAN_LABEL, n_argv);
  take(info, ge, PLAN_GE, n_argv);
  take(info, gt, PLAN_GT, n_argv);
  take(info, limit, PLAN_LIMIT, n_argv);
  take(info, skip, PLAN_SKIP, n_argv);
  /* What EXPLAIN QUERY PLAN shows. */
  info->idxStr = sqlite3_mprintf("%s%s%s%s%s", what, label >= 0 ? ",label=" : "",
                                 ge >= 0 ? ",score>=" : "", gt >= 0 ? ",score>" : "",
                                 limit >= 0 ? ",limit" : "");
  info->needToFreeIdxStr = info->idxStr != NULL;
}

/* The value of a constraint that is part of the plan, and on to the next. */
static sqlite3_value *value_of(int plan, int bit, sqlite3_value ***argv) {
  return plan & bit ? *(*argv)++ : NULL;
}

static void take_score(sqlite3_value *value, double *score) {
  int type = value ? sqlite3_value_type(value) : SQLITE_NULL;
  if( type == SQLITE_INTEGER || type == SQLITE_FLOAT ) *score = sqlite3_value_double(value);
}

/* What is not of the plain type is left to SQLite, which knows how such things compare. */
int ner_sql_wish_take(struct ner_sql_wish *wish, int plan, sqlite3_value **argv,
                      struct ner_err *err) {
  sqlite3_value *label = value_of(plan, PLAN_LABEL, &argv), *limit, *skip;
  wish->min_score = wish->above_score = -1;
  wish->limit = -1;
  if( label && sqlite3_value_type(label) == SQLITE_TEXT ) {
    wish->label = sqlite3_value_dup(label);
    if( !wish->label || !sqlite3_value_text(wish->label) ) return ner_fail_nomem(err);
  }
  take_score(value_of(plan, PLAN_GE, &argv), &wish->min_score);
  take_score(value_of(plan, PLAN_GT, &argv), &wish->above_score);
  limit = value_of(plan, PLAN_LIMIT, &argv);
  skip = value_of(plan, PLAN_SKIP, &argv);
  if( limit && sqlite3_value_int64(limit) >= 0 ) {
    wish->limit = sqlite3_value_int64(limit);
    if( skip && sqlite3_value_int64(skip) > 0 &&
        __builtin_add_overflow(wish->limit, sqlite3_value_int64(skip), &wish->limit) )
      wish->limit = -1;
  }
  return NER_OK;
}

void ner_sql_wish_free(struct ner_sql_wish *wish) {
  sqlite3_value_free(wish->label);
  wish->label = NULL;
}

static bool is_wanted_label(const struct ner_sql_wish *wish, const char *label) {
  return !wish->label || (strlen(label) == (size_t)sqlite3_value_bytes(wish->label) &&
                          !strcmp(label, (const char *)sqlite3_value_text(wish->label)));
}

bool ner_sql_wish_possible(const struct ner_sql_wish *wish, const struct ner_model *model) {
  for( int32_t i = 0; i < model->config.n_labels; i++ )
    if( !model->label[i].outside && is_wanted_label(wish, model->label[i].shown) ) return true;
  return false;
}

bool ner_sql_wish_granted(const struct ner_sql_wish *wish, const struct ner_entity *e) {
  double score = e->score;
  return score >= wish->min_score && score > wish->above_score && is_wanted_label(wish, e->label);
}
