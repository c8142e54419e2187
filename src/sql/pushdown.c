/*
** pushdown.c - constraints on label and score, and LIMIT, used while rows are made; see sql/sql.h.
**
**   label = x    other entities are not given out; if the model lacks the label it does not run
**   score >, >=  likewise
**   LIMIT        no work is done in advance for rows beyond it
**
** SQLite checks all of them again, so only values of the plain types and the binary collation need
** to be understood; IN (...) is left to SQLite. SQLite passes a LIMIT on only where nothing but
** these tables' own constraints stands between their rows and the result.
*/
#include "sql/sql.h"

#include <string.h>

static void pushdown_plan_one(sqlite3_index_info *info, int constraint, int bit, int *n_argv) {
  if( constraint < 0 ) return;
  info->idxNum |= bit;
  info->aConstraintUsage[constraint].argvIndex = ++*n_argv;
}

void ner_sql_pushdown_plan(sqlite3_index_info *info, const char *what, int label_column,
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
  pushdown_plan_one(info, label, NER_SQL_PLAN_LABEL, n_argv);
  pushdown_plan_one(info, ge, NER_SQL_PLAN_GE, n_argv);
  pushdown_plan_one(info, gt, NER_SQL_PLAN_GT, n_argv);
  pushdown_plan_one(info, limit, NER_SQL_PLAN_LIMIT, n_argv);
  pushdown_plan_one(info, skip, NER_SQL_PLAN_OFFSET, n_argv);
  /* What EXPLAIN QUERY PLAN shows. */
  info->idxStr =
      sqlite3_mprintf("%s%s%s%s%s", what, label >= 0 ? ",label=" : "", ge >= 0 ? ",score>=" : "",
                      gt >= 0 ? ",score>" : "", limit >= 0 ? ",limit" : "");
  info->needToFreeIdxStr = info->idxStr != NULL;
}

/* The value of a constraint if it is part of the plan; steps to the next value. */
static sqlite3_value *pushdown_value(int plan, int bit, sqlite3_value ***argv) {
  return plan & bit ? *(*argv)++ : NULL;
}

static void pushdown_take_score(sqlite3_value *value, double *score) {
  int type = value ? sqlite3_value_type(value) : SQLITE_NULL;
  if( type == SQLITE_INTEGER || type == SQLITE_FLOAT ) *score = sqlite3_value_double(value);
}

/* Values of other types are left to SQLite, which knows how they compare. */
int ner_sql_pushdown_read(struct ner_sql_pushdown *pushdown, int plan, sqlite3_value **argv,
                          struct ner_err *err) {
  sqlite3_value *label = pushdown_value(plan, NER_SQL_PLAN_LABEL, &argv), *limit, *skip;
  pushdown->min_score = pushdown->above_score = -1;
  pushdown->limit = -1;
  if( label && sqlite3_value_type(label) == SQLITE_TEXT ) {
    pushdown->label = sqlite3_value_dup(label);
    if( !pushdown->label || !sqlite3_value_text(pushdown->label) ) return ner_fail_nomem(err);
  }
  pushdown_take_score(pushdown_value(plan, NER_SQL_PLAN_GE, &argv), &pushdown->min_score);
  pushdown_take_score(pushdown_value(plan, NER_SQL_PLAN_GT, &argv), &pushdown->above_score);
  limit = pushdown_value(plan, NER_SQL_PLAN_LIMIT, &argv);
  skip = pushdown_value(plan, NER_SQL_PLAN_OFFSET, &argv);
  if( limit && sqlite3_value_int64(limit) >= 0 ) {
    pushdown->limit = sqlite3_value_int64(limit);
    if( skip && sqlite3_value_int64(skip) > 0 &&
        __builtin_add_overflow(pushdown->limit, sqlite3_value_int64(skip), &pushdown->limit) )
      pushdown->limit = -1;
  }
  return NER_OK;
}

void ner_sql_pushdown_free(struct ner_sql_pushdown *pushdown) {
  sqlite3_value_free(pushdown->label);
  pushdown->label = NULL;
}

static bool pushdown_wants_label(const struct ner_sql_pushdown *pushdown, const char *label) {
  return !pushdown->label || (strlen(label) == (size_t)sqlite3_value_bytes(pushdown->label) &&
                              !strcmp(label, (const char *)sqlite3_value_text(pushdown->label)));
}

bool ner_sql_pushdown_possible(const struct ner_sql_pushdown *pushdown,
                               const struct ner_model *model) {
  for( int32_t i = 0; i < model->config.n_labels; i++ )
    if( !model->label[i].is_outside &&
        (pushdown_wants_label(pushdown, model->label[i].type) ||
         pushdown_wants_label(pushdown, model->label[i].scheme_type)) )
      return true;
  return false;
}

bool ner_sql_pushdown_matches(const struct ner_sql_pushdown *pushdown, const struct ner_entity *e) {
  double score = e->score;
  return score >= pushdown->min_score && score > pushdown->above_score &&
         pushdown_wants_label(pushdown, e->label);
}
