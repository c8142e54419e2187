/*
** table.c - what the table-valued functions have in common; see sql/sql.h.
**
** They are eponymous-only virtual tables: no CREATE, the name is the table. In
** ner(x, y) SQLite turns x and y into equality constraints on the first two
** hidden columns; WHERE text = x, and a join that gives such an equality, say the
** same. The first argument is the only one that must be there.
*/
#include "sql/sql.h"

int ner_sql_table_register(sqlite3 *db, const sqlite3_module *module,
                           const struct ner_sql_shape *shape) {
  return sqlite3_create_module_v2(db, shape->name, module, (void *)shape, NULL);
}

int ner_sql_table_connect(sqlite3 *db, void *shape, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **message) {
  const struct ner_sql_shape *table_shape = shape;
  struct ner_sql_table *table;
  int rc;
  /* A schema written by hand can hold a CREATE VIRTUAL TABLE that SQLite would have refused. */
  if( argc != 3 || sqlite3_stricmp(argv[0], argv[2]) != 0 ) {
    *message = sqlite3_mprintf("ner: %s is a function; no table can be made of it, write SELECT *"
                               " FROM %s(...)",
                               table_shape->name, table_shape->name);
    return SQLITE_ERROR;
  }
  rc = sqlite3_declare_vtab(db, table_shape->schema);
  if( rc == SQLITE_OK && table_shape->innocuous )
    rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  if( rc == SQLITE_OK && table_shape->direct_only )
    rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  if( rc != SQLITE_OK ) return rc;
  table = ner_calloc(1, sizeof *table);
  if( !table ) return SQLITE_NOMEM;
  table->db = db;
  table->shape = table_shape;
  *out = &table->base;
  return SQLITE_OK;
}

int ner_sql_table_disconnect(sqlite3_vtab *table) {
  NER_FREE(table);
  return SQLITE_OK;
}

int ner_sql_table_plan(sqlite3_vtab *table, sqlite3_index_info *info, int *n_argv) {
  const struct ner_sql_shape *shape = ((struct ner_sql_table *)table)->shape;
  int at[NER_SQL_MAX_ARGS]; /* constraint of each argument, -1: none */
  int unusable = 0;         /* bit i: there are constraints of argument i that are not known yet */
  for( int i = 0; i < shape->n_args; i++ ) at[i] = -1;
  for( int i = 0; i < info->nConstraint; i++ ) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int arg = c->iColumn - shape->first_arg;
    if( arg < 0 || arg >= shape->n_args || c->op != SQLITE_INDEX_CONSTRAINT_EQ ) continue;
    if( !c->usable )
      unusable |= 1 << arg;
    else if( at[arg] < 0 )
      at[arg] = i;
  }
  /* Without the argument the rows would be those of another call: SQLite must find an order of the
  ** tables in which it is known. */
  for( int i = 0; i < shape->n_args; i++ )
    if( at[i] < 0 && (unusable & 1 << i) ) return SQLITE_CONSTRAINT;
  *n_argv = 0;
  info->idxNum = 0;
  for( int i = 0; i < shape->n_args; i++ ) {
    if( at[i] < 0 ) continue;
    info->idxNum |= 1 << i;
    info->aConstraintUsage[at[i]].argvIndex = ++*n_argv;
    info->aConstraintUsage[at[i]].omit = 1; /* a NULL argument would never compare equal */
  }
  /* Each call runs the model, whatever is asked of its rows: as few calls as can
  ** be, and by all means not one without a text, which can only fail. */
  info->estimatedCost = info->idxNum & 1 ? 1e6 : 1e99;
  info->estimatedRows = 10;
  return SQLITE_OK;
}

int ner_sql_table_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int n_argv;
  return ner_sql_table_plan(table, info, &n_argv);
}

int ner_sql_table_args(sqlite3_vtab *table, int plan, sqlite3_value **argv,
                       sqlite3_value *out[NER_SQL_MAX_ARGS], int *n_argv, struct ner_err *err) {
  const struct ner_sql_shape *shape = ((struct ner_sql_table *)table)->shape;
  *n_argv = 0;
  /* Told here rather than when planning: an OR or a subquery that is moved about
  ** may be planned once without the argument, and then with it. */
  if( !(plan & 1) )
    return ner_fail(err, NER_ERROR, "%s() was given no argument; write SELECT * FROM %s(...)",
                    shape->name, shape->name);
  for( int i = 0; i < shape->n_args; i++ ) {
    if( !(plan & 1 << i) ) continue;
    out[i] = sqlite3_value_dup(argv[(*n_argv)++]);
    if( !out[i] ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

void ner_sql_table_args_free(sqlite3_value *args[NER_SQL_MAX_ARGS]) {
  for( int i = 0; i < NER_SQL_MAX_ARGS; i++ ) {
    sqlite3_value_free(args[i]);
    args[i] = NULL;
  }
}

void ner_sql_result_entity(sqlite3_context *context, struct ner_slice text,
                           const struct ner_entity *e, enum ner_sql_field field) {
  switch( field ) {
  case NER_SQL_ENTITY:
    sqlite3_result_text64(context, text.utf8 + e->start_byte, e->end_byte - e->start_byte,
                          SQLITE_TRANSIENT, SQLITE_UTF8);
    break;
  case NER_SQL_LABEL: sqlite3_result_text(context, e->label, -1, SQLITE_TRANSIENT); break;
  case NER_SQL_SCORE: sqlite3_result_double(context, e->score); break;
  case NER_SQL_START: sqlite3_result_int64(context, e->start); break;
  case NER_SQL_END: sqlite3_result_int64(context, e->end); break;
  }
}
