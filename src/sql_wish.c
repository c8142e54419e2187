/*
** sql_wish.c - what a query asks of entities' labels and scores, made use of; see sql.h.
**
**   label = x    other entities are not given out (a label the model lacks: it need not even run)
**   score >, >=  likewise
**
** SQLite checks both once more, so only constraints of the plain types and of binary
** collation need to be understood. IN (...) is left alone.
*/
#include "sql.h"

#include <string.h>

#define PLAN_LABEL (1 << NER_SQL_WISH_BIT)
#define PLAN_GE    (2 << NER_SQL_WISH_BIT)
#define PLAN_GT    (4 << NER_SQL_WISH_BIT)

static void take(sqlite3_index_info *info, int constraint, int bit, int *n_argv) {
  if( constraint < 0 ) return;
  info->idxNum |= bit;
  info->aConstraintUsage[constraint].argvIndex = ++*n_argv;
}

void ner_sql_wish_plan(sqlite3_index_info *info, int label_column, int score_column, int *n_argv) {
  int label = -1, ge = -1, gt = -1;
  for( int i = 0; i < info->nConstraint; i++ ) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    if( !c->usable ) continue;
    if( c->iColumn == label_column && c->op == SQLITE_INDEX_CONSTRAINT_EQ ) {
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
}

/* What is not of the plain type is left to SQLite, which knows how such things compare. */
int ner_sql_wish_take(struct ner_sql_wish *wish, int plan, sqlite3_value **argv,
                      struct ner_err *err) {
  wish->min_score = wish->above_score = -1;
  if( plan & PLAN_LABEL ) {
    sqlite3_value *label = *argv++;
    if( sqlite3_value_type(label) == SQLITE_TEXT ) {
      wish->label = sqlite3_value_dup(label);
      if( !wish->label || !sqlite3_value_text(wish->label) ) return ner_fail_nomem(err);
    }
  }
  for( int bit = PLAN_GE; bit <= PLAN_GT; bit <<= 1 ) {
    sqlite3_value *score;
    int type;
    if( !(plan & bit) ) continue;
    score = *argv++;
    type = sqlite3_value_type(score);
    if( type != SQLITE_INTEGER && type != SQLITE_FLOAT ) continue;
    *(bit == PLAN_GE ? &wish->min_score : &wish->above_score) = sqlite3_value_double(score);
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
    if( !model->label[i].outside && is_wanted_label(wish, model->label[i].tag) ) return true;
  return false;
}

bool ner_sql_wish_granted(const struct ner_sql_wish *wish, const struct ner_entity *e) {
  double score = e->score;
  return score >= wish->min_score && score > wish->above_score && is_wanted_label(wish, e->label);
}
