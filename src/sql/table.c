/*
** table.c - what the table-valued functions have in common; see sql/sql.h.
**
** They are eponymous-only virtual tables: no CREATE, the name is the table. In ner(x, y) SQLite
** turns x and y into equality constraints on the first two hidden columns; WHERE text = x, and
** a join that gives such an equality, mean the same. Only the first argument is required.
**
** One module serves them all. A table's file gives a struct ner_sql_shape: names, the plan, the
** first row, the next row, the columns.
**
** Rowids. When SQLite answers an OR by several look-ups, it drops rows whose rowid it has seen
** before. So the rowid must be the same whenever a row of a call comes again, whatever else
** constrains it, and must differ between calls with different arguments: it is 62 bits of a hash
** of the arguments plus the row's position in the call. Two of a million calls of ten rows share a
** rowid with a probability of 10^7 * 10^6 / 2^62, 2 in a million. It grows along the rows of a
** call and is never negative.
*/
#include "sql/cache.h"

#include <string.h>

/* A module's client data. */
struct table_client {
  const struct ner_sql_shape *shape;
  struct ner_sql_cache *cache; /* holds a reference */
};

static void table_client_free(void *client) {
  ner_sql_cache_unref(((struct table_client *)client)->cache);
  NER_FREE(client);
}

/* ---- the table ---- */

static int table_connect(sqlite3 *db, void *client_data, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message) {
  const struct table_client *client = client_data;
  const struct ner_sql_shape *shape = client->shape;
  struct ner_sql_table *table;
  int rc;
  /* A schema written by hand can hold a CREATE VIRTUAL TABLE that SQLite would have refused. */
  if( argc != 3 || sqlite3_stricmp(argv[0], argv[2]) != 0 ) {
    *message = sqlite3_mprintf("ner: %s is a function; no table can be made of it, write SELECT *"
                               " FROM %s(...)",
                               shape->name, shape->name);
    return SQLITE_ERROR;
  }
  rc = sqlite3_declare_vtab(db, shape->schema);
  if( rc == SQLITE_OK && shape->innocuous ) rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  if( rc == SQLITE_OK && shape->direct_only ) rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  if( rc != SQLITE_OK ) return rc;
  table = ner_calloc(1, sizeof *table);
  if( !table ) return SQLITE_NOMEM;
  table->db = db;
  table->shape = shape;
  table->cache = client->cache;
  *out = &table->base;
  return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *table) {
  NER_FREE(table);
  return SQLITE_OK;
}

/* ---- the plan ---- */

/* Takes the arguments into the plan: bit i of idxNum for argument i, argv in that order. */
static int table_plan_args(const struct ner_sql_shape *shape, sqlite3_index_info *info,
                           int *n_argv) {
  int at[NER_SQL_MAX_ARGS]; /* constraint of each argument, -1: none */
  int unusable = 0;         /* bit i: argument i has constraints whose value is not known yet */
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
  for( int i = 0; i < shape->n_args; i++ ) {
    if( at[i] < 0 ) continue;
    info->idxNum |= 1 << i;
    info->aConstraintUsage[at[i]].argvIndex = ++*n_argv;
    info->aConstraintUsage[at[i]].omit = 1; /* a NULL argument would never compare equal */
  }
  return SQLITE_OK;
}

/* The bits of idxNum are listed in sql/sql.h. */
static int table_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  const struct ner_sql_shape *shape = ((struct ner_sql_table *)table)->shape;
  int n_argv = 0, rc;
  info->idxNum = 0;
  rc = table_plan_args(shape, info, &n_argv);
  if( rc != SQLITE_OK ) return rc;
  /* Each call runs the model, whatever is asked of its rows: as few calls as possible, and if at
  ** all possible none without its argument, which can only fail. */
  info->estimatedCost = shape->n_args == 0 ? 10 : info->idxNum & 1 ? 1e6 : 1e99;
  info->estimatedRows = 10;
  if( shape->plan ) shape->plan(info, &n_argv);
  return SQLITE_OK;
}

/* ---- the cursor ---- */

static int table_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct ner_sql_cursor *cursor =
      ner_calloc(1, ((struct ner_sql_table *)table)->shape->cursor_bytes);
  if( !cursor ) return SQLITE_NOMEM;
  cursor->eof = true;
  *out = &cursor->base;
  return SQLITE_OK;
}

static void table_clear(struct ner_sql_cursor *cursor) {
  const struct ner_sql_shape *shape = ner_sql_table_of(cursor)->shape;
  sqlite3_vtab_cursor base = cursor->base;
  shape->clear(cursor);
  for( int i = 0; i < NER_SQL_MAX_ARGS; i++ ) sqlite3_value_free(cursor->arg[i]);
  memset(cursor, 0, shape->cursor_bytes);
  cursor->base = base;
  cursor->eof = true;
}

static int table_close(sqlite3_vtab_cursor *base) {
  struct ner_sql_cursor *cursor = (struct ner_sql_cursor *)base;
  table_clear(cursor);
  NER_FREE(cursor);
  return SQLITE_OK;
}

static int table_read_args(struct ner_sql_cursor *cursor, int plan, sqlite3_value **argv, int *n,
                           struct ner_err *err) {
  const struct ner_sql_shape *shape = ner_sql_table_of(cursor)->shape;
  *n = 0;
  /* Checked here rather than when planning: an OR or a subquery that SQLite moves may be planned
  ** once without the argument, and then with it. */
  if( shape->n_args > 0 && !(plan & 1) )
    return ner_fail(err, NER_ERROR, "%s() was given no argument; write SELECT * FROM %s(...)",
                    shape->name, shape->name);
  for( int i = 0; i < shape->n_args; i++ ) {
    if( !(plan & 1 << i) ) continue;
    cursor->arg[i] = sqlite3_value_dup(argv[(*n)++]);
    if( !cursor->arg[i] ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

static int table_filter(sqlite3_vtab_cursor *base, int plan, const char *unused, int argc,
                        sqlite3_value **argv) {
  struct ner_sql_cursor *cursor = (struct ner_sql_cursor *)base;
  struct ner_err err = {0};
  int n_args, rc;
  table_clear(cursor);
  rc = table_read_args(cursor, plan, argv, &n_args, &err);
  if( rc == NER_OK ) {
    cursor->eof = false;
    cursor->list = n_args > 0 ? argv[0] : NULL;
    rc = ner_sql_table_of(cursor)->shape->start(cursor, plan, argv + n_args, &err);
  }
  if( rc == NER_OK ) return SQLITE_OK;
  table_clear(cursor);
  return rc == NER_SQL_AGAIN ? SQLITE_SCHEMA : ner_sql_table_error(base->pVtab, &err);
}

static int table_next(sqlite3_vtab_cursor *base) {
  struct ner_sql_cursor *cursor = (struct ner_sql_cursor *)base;
  struct ner_err err = {0};
  if( ner_sql_table_of(cursor)->shape->next(cursor, &err) == NER_OK ) return SQLITE_OK;
  return ner_sql_table_error(base->pVtab, &err);
}

static int table_eof(sqlite3_vtab_cursor *base) {
  return ((struct ner_sql_cursor *)base)->eof;
}

static int table_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column) {
  struct ner_sql_cursor *cursor = (struct ner_sql_cursor *)base;
  const struct ner_sql_shape *shape = ner_sql_table_of(cursor)->shape;
  int arg = column - shape->first_arg;
  if( arg < 0 || arg >= shape->n_args )
    shape->column(cursor, context, column);
  else if( arg == 0 && cursor->item )
    sqlite3_result_value(context, cursor->item);
  else if( cursor->arg[arg] )
    sqlite3_result_value(context, cursor->arg[arg]);
  return SQLITE_OK;
}

/* ---- the rowid ---- */

/* A value's hash, type included; NULL, given or not, is 0. */
static int table_hash_value(sqlite3_value *value, uint64_t *out) {
  const void *bytes;
  sqlite3_int64 integer;
  double real;
  int type = value ? sqlite3_value_type(value) : SQLITE_NULL;
  *out = 0;
  switch( type ) {
  case SQLITE_NULL: return SQLITE_OK;
  case SQLITE_INTEGER:
    integer = sqlite3_value_int64(value);
    *out = ner_sql_hash(&integer, sizeof integer);
    break;
  case SQLITE_FLOAT:
    real = sqlite3_value_double(value);
    *out = ner_sql_hash(&real, sizeof real);
    break;
  default:
    bytes =
        type == SQLITE_TEXT ? (const void *)sqlite3_value_text(value) : sqlite3_value_blob(value);
    if( !bytes && type == SQLITE_TEXT ) return SQLITE_NOMEM;
    *out = ner_sql_hash(bytes, (size_t)sqlite3_value_bytes(value));
  }
  *out += (uint64_t)type;
  return SQLITE_OK;
}

static int table_hash_call(struct ner_sql_cursor *cursor) {
  uint64_t each[NER_SQL_MAX_ARGS];
  for( int i = 0; i < NER_SQL_MAX_ARGS; i++ ) {
    sqlite3_value *value = i == 0 && cursor->item ? cursor->item : cursor->arg[i];
    int rc = table_hash_value(value, &each[i]);
    if( rc != SQLITE_OK ) return rc;
  }
  cursor->call = ner_sql_hash(each, sizeof each) >> 2;
  cursor->call_known = true;
  return SQLITE_OK;
}

static int table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  struct ner_sql_cursor *cursor = (struct ner_sql_cursor *)base;
  int rc = cursor->call_known ? SQLITE_OK : table_hash_call(cursor);
  *out = (sqlite3_int64)cursor->call + cursor->position;
  return rc;
}

/* ---- registering ---- */

static const sqlite3_module table_module = {
    .xConnect = table_connect,
    .xDisconnect = table_disconnect,
    .xBestIndex = table_best_index,
    .xOpen = table_open,
    .xClose = table_close,
    .xFilter = table_filter,
    .xNext = table_next,
    .xEof = table_eof,
    .xColumn = table_column,
    .xRowid = table_rowid,
};

/* xCreate being the same as xConnect leaves the name itself usable. */
static const sqlite3_module table_module_with_create = {
    .xCreate = table_connect,
    .xConnect = table_connect,
    .xDisconnect = table_disconnect,
    .xDestroy = table_disconnect,
    .xBestIndex = table_best_index,
    .xOpen = table_open,
    .xClose = table_close,
    .xFilter = table_filter,
    .xNext = table_next,
    .xEof = table_eof,
    .xColumn = table_column,
    .xRowid = table_rowid,
};

/* SELECT ner('x'): SQLite keeps functions and tables apart, so the name can be both. */
static void table_as_scalar(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  const struct ner_sql_shape *shape = ((struct table_client *)sqlite3_user_data(context))->shape;
  struct ner_err err = {0};
  ner_fail(&err, NER_ERROR, "%s is a table, not a scalar function; write SELECT * FROM %s%s",
           shape->name, shape->name, shape->n_args > 0 ? "(...)" : "");
  ner_sql_result_error(context, &err);
}

static struct table_client *table_client_new(const struct ner_sql_shape *shape,
                                             struct ner_sql_cache *cache) {
  struct table_client *client = ner_calloc(1, sizeof *client);
  if( !client ) return NULL;
  client->shape = shape;
  client->cache = ner_sql_cache_ref(cache);
  return client;
}

int ner_sql_table_register(sqlite3 *db, struct ner_sql_cache *cache,
                           const struct ner_sql_shape *shape) {
  struct table_client *client = table_client_new(shape, cache);
  int rc;
  if( !client ) return SQLITE_NOMEM;
  rc = sqlite3_create_module_v2(db, shape->name,
                                shape->can_create ? &table_module_with_create : &table_module,
                                client, table_client_free);
  if( rc != SQLITE_OK ) return rc;
  client = table_client_new(shape, cache);
  if( !client ) return SQLITE_NOMEM;
  return sqlite3_create_function_v2(db, shape->name, -1, NER_SQL_INFER, client, table_as_scalar,
                                    NULL, NULL, table_client_free);
}

/* ---- columns that several tables have ---- */

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
