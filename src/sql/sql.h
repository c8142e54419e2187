/*
** sql.h - what the SQL functions and tables share. One section for each file of this folder;
** batches, streams, prefetching and the cache have headers of their own.
**
** Each file of functions/ registers one function or table, or a few that belong together, through
** one ner_sql_register_...(), which is all that sqlite-ner.c knows of it. Whatever labels a text
** does so through ner_sql_run(), ner_sql_extract() or a stream, so that interrupts and the
** cache are handled in one place.
**
** An error has one way out: a struct ner_err, filled wherever it arose, and turned into an SQL
** error by ner_sql_result_error() or ner_sql_table_error().
*/
#ifndef NER_SQL_H
#define NER_SQL_H

#include "sqlite3ext.h"
#ifndef SQLITE_CORE
/* sqlite-ner.c defines it. */
#pragma GCC visibility push(hidden)
SQLITE_EXTENSION_INIT3
#pragma GCC visibility pop
#endif
#include "engine/pipeline.h"

/* The entry points: everything, and inference only. */
NER_API int sqlite3_ner_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);
NER_API int sqlite3_ner_safe_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);

#pragma GCC visibility push(hidden)

struct ner_sql_cache; /* what a connection computed last, see sql/cache.h */

/* ---- what is registered: functions/, enrich/ ---- */

int ner_sql_register_ner(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_tokens(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_words(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_models(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_query(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_enrich(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_train(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_json(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_redact(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_html(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_version(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_load(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_convert(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_threads(sqlite3 *db, struct ner_sql_cache *cache);
int ner_sql_register_debug(sqlite3 *db, struct ner_sql_cache *cache);

/* The cache with which this library has registered itself on the connection before; NULL: it has
** not, or what is called ner_version() there is not ours. Runs that function. */
struct ner_sql_cache *ner_sql_registered(sqlite3 *db);

/* ---- scalar functions (sql/function.c) ---- */

/* Trust. A function that runs a model by name is innocuous: views and triggers of an untrusted
** schema may call it. A function that touches files, runs SQL text, changes the process or tells
** about the machine is for top-level SQL only. Nothing that depends on a model is
** SQLITE_DETERMINISTIC: ner_load() and ner_default() change which model a name means, so an
** index or a generated column over ner_json() would become wrong. */
#define NER_SQL_INFER  (SQLITE_UTF8 | SQLITE_INNOCUOUS)
#define NER_SQL_DIRECT (SQLITE_UTF8 | SQLITE_DIRECTONLY)
#define NER_SQL_PLAIN  SQLITE_UTF8
#ifndef SQLITE_RESULT_SUBTYPE /* SQLite 3.45; older versions ignore it */
#define SQLITE_RESULT_SUBTYPE 0x001000000
#endif
#define NER_SQL_JSON_SUBTYPE 74 /* 'J', what SQLite's JSON functions look for */

struct ner_sql_function {
  const char *name;
  int n_args; /* -1: any number */
  int flags;
  void (*call)(sqlite3_context *context, int n_args, sqlite3_value **arg);
};
/* Each function holds a reference to the cache, which is its sqlite3_user_data(). */
int ner_sql_register(sqlite3 *db, struct ner_sql_cache *cache,
                     const struct ner_sql_function *functions, size_t n);

/* Finishes `str` as the function's result: text, or too big, or no memory. */
void ner_sql_result_str(sqlite3_context *context, sqlite3_str *str);

/* The two ways out for errors. The second returns the code for SQLite. */
void ner_sql_result_error(sqlite3_context *context, const struct ner_err *err);
int ner_sql_table_error(sqlite3_vtab *table, const struct ner_err *err);

/* ---- trust (sql/trust.c) ---- */

/* To be called first by functions that are NER_SQL_DIRECT: an error if the database's schema may
** have called `function`, which SQLite does not exclude in all versions. */
int ner_sql_check_direct(sqlite3_context *context, const char *function, struct ner_err *err);
/* Does this SQL, as SQLite reads it, hold a call of the function? */
bool ner_sql_calls(const char *sql, const char *function);

/* ---- arguments (sql/args.c) ---- */

/* A missing argument is NULL, and treated as SQL's NULL. */
bool ner_sql_is_null(sqlite3_value *value);
/* Text; a number counts as its digits, a BLOB is an error. Not to be called for NULL. The
** bytes live as long as the value is not converted. `what` names it in errors. */
int ner_sql_text(sqlite3_value *value, const char *what, struct ner_slice *out,
                 struct ner_err *err);
/* Text without NUL bytes inside, not NULL, not empty: a name, a path. */
int ner_sql_name(sqlite3_value *value, const char *what, const char **out, struct ner_err *err);
/* A reference to the model of that name; NULL: the default one, which may have to be opened:
** interrupts are felt. */
int ner_sql_model(sqlite3 *db, sqlite3_value *value, struct ner_model **out, struct ner_err *err);
/* A precision: 'f32', 'int8', or NULL for what the file holds. */
int ner_sql_precision(sqlite3_value *value, enum ner_precision *out, struct ner_err *err);
int ner_sql_options(sqlite3_value *aggregation, sqlite3_value *threshold, struct ner_options *out,
                    struct ner_err *err);

/* ---- SQL text as an argument (sql/select.c) ---- */

/* One SELECT, WITH or VALUES that only reads and has two columns; `columns` says which ("a key and
** a text"), `function` who asks ("ner_query()"). *out is to be finalized, also after a failure. */
int ner_sql_select(sqlite3 *db, const char *function, const char *sql, const char *columns,
                   sqlite3_stmt **out, struct ner_err *err);
/* What SQLite says about the latest call that failed. */
int ner_sql_select_failed(sqlite3 *db, const char *function, const char *what,
                          struct ner_err *err);

/* ---- JSON (sql/json.c) ---- */

/* Appends a JSON string, quotes included; ill-formed UTF-8 becomes U+FFFD. */
void ner_sql_json_string(sqlite3_str *json, const char *utf8, size_t n_bytes);
/* Appends a number, as SQLite's own JSON functions print it. */
void ner_sql_json_number(sqlite3_str *json, double number);
/* Finishes `json`: as the function's result with JSON's subtype, or too big, or no memory. */
void ner_sql_result_json(sqlite3_context *context, sqlite3_str *json);

/* ---- cancelling (sql/cancel.c) ---- */

/* Whether a connection wants its statement to end, for ner_pipeline_run() and whatever else
** takes long:
**     struct ner_sql_cancel cancel;
**     ner_sql_cancel_open(&cancel, db);
**     rc = ner_pipeline_run(..., &cancel.base, err);
**     ner_sql_cancel_close(&cancel);
** Only while a statement of the connection is running. It may be used again after it was closed. */
struct ner_sql_cancel {
  struct ner_cancel base;
  sqlite3 *db;
  /* What follows is sql/cancel.c's. */
  sqlite3_stmt *probe;     /* a statement that feels what its connection wants */
  double next, next_probe; /* seconds before which the flag is not read, the probe not run */
  bool simple;             /* the probe is the simplest of statements */
  bool broken;             /* the connection allows no probe */
};
void ner_sql_cancel_open(struct ner_sql_cancel *cancel, sqlite3 *db);
void ner_sql_cancel_close(struct ner_sql_cancel *cancel);


/* ---- inference (sql/run.c) ---- */

/* Runs one input; interrupts and the progress handler are felt. options NULL: tokens and
** probabilities, no entities. Fills `output` (ner_output_free) only when it succeeds. */
int ner_sql_run(sqlite3 *db, struct ner_model *model, const struct ner_input *input,
                const struct ner_options *options, struct ner_output *output, struct ner_err *err);
/* The entities of a text, to be freed with ner_entities_free(). */
int ner_sql_extract(sqlite3 *db, struct ner_sql_cache *cache, struct ner_model *model,
                    struct ner_slice text, const struct ner_options *options,
                    struct ner_entities *out, struct ner_err *err);

/* The same for a scalar function with a text and a model's name among its arguments: what was
** found, with what it depends on. ner_sql_found_free() in any case. */
struct ner_sql_found {
  struct ner_slice text; /* inside the argument */
  struct ner_model *model;
  struct ner_entities entities;
};
int ner_sql_find(sqlite3_context *context, sqlite3_value *text, sqlite3_value *model,
                 struct ner_sql_found *out, struct ner_err *err);
void ner_sql_found_free(struct ner_sql_found *found);

/* The most probable label of a token's probabilities [n_labels]; the first of equals. */
int32_t ner_sql_best_label(const float *probs, int32_t n_labels);

/* ---- hashing (sql/hash.c) ---- */

/* 64 bits that cannot be foreseen outside this process: SipHash-1-3 under a key of the process. */
uint64_t ner_sql_hash(const void *bytes, size_t n_bytes);

/* ---- table-valued functions (sql/table.c) ---- */

#define NER_SQL_MAX_ARGS 5

/* Every cursor begins with one. */
struct ner_sql_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS]; /* copies of the arguments, NULL: not given */
  bool eof;
  /* Where the row stands among all rows of the call, those included that a constraint makes the
  ** table pass over. Together with the arguments it makes the rowid. */
  sqlite3_int64 position;
  /* When the first argument is a list (text IN ...): the list, for start only, and its value in
  ** this row; both are borrowed. */
  sqlite3_value *list, *item;
  /* sql/table.c's: the hash of the arguments, when they have one yet. A new item makes a new
  ** one. */
  uint64_t call;
  bool call_known;
};

/* A table, and how it works. Its arguments are consecutive hidden columns. They are declared BLOB,
** which means no affinity: with that of HIDDEN alone, NUMERIC, the '007' of a list would be 7. */
struct ner_sql_shape {
  const char *name;
  const char *schema;    /* CREATE TABLE ... */
  int first_arg, n_args; /* columns that are arguments; the first one is required */
  bool innocuous;        /* usable in an untrusted schema's views and triggers */
  bool direct_only;      /* usable in top-level SQL alone */
  bool can_create;       /* usable in CREATE VIRTUAL TABLE under its own name */
  size_t cursor_bytes;   /* of a struct that begins with struct ner_sql_cursor */

  /* Adds to a plan that has the arguments (xBestIndex). NULL: nothing to add. */
  void (*plan)(sqlite3_index_info *info, int *n_argv);
  /* Begins: places the cursor, whose arguments are read, on the first row, or sets eof. `rest`
  ** are the values that the plan takes beyond the arguments. */
  int (*start)(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest, struct ner_err *err);
  /* Goes on to the next row, or sets eof. */
  int (*next)(struct ner_sql_cursor *cursor, struct ner_err *err);
  /* Gives a column that is not an argument. */
  void (*column)(struct ner_sql_cursor *cursor, sqlite3_context *context, int column);
  /* Frees what start and next have made, of a cursor in any state; sql/table.c then zeroes it. */
  void (*clear)(struct ner_sql_cursor *cursor);
};
struct ner_sql_table {
  sqlite3_vtab base;
  sqlite3 *db;
  const struct ner_sql_shape *shape;
  struct ner_sql_cache *cache;
};
static inline struct ner_sql_table *ner_sql_table_of(const struct ner_sql_cursor *cursor) {
  return (struct ner_sql_table *)cursor->base.pVtab;
}

/* Registers the table, and a scalar function of its name that says how the table is used. */
int ner_sql_table_register(sqlite3 *db, struct ner_sql_cache *cache,
                           const struct ner_sql_shape *shape);
/* For a start function: SQLite shall prepare the statement anew and start again. */
#define NER_SQL_AGAIN (-1)

/* ---- columns that several tables have (sql/table.c) ---- */

enum ner_sql_field {
  NER_SQL_ENTITY,
  NER_SQL_LABEL,
  NER_SQL_SCORE,
  NER_SQL_START,
  NER_SQL_END,
};
void ner_sql_result_entity(sqlite3_context *context, struct ner_slice text,
                           const struct ner_entity *entity, enum ner_sql_field field);

/* ---- constraints on label and score, and LIMIT (sql/pushdown.c) ---- */

struct ner_sql_pushdown {
  sqlite3_value *label; /* NULL: any */
  double min_score;     /* score >= min_score, */
  double above_score;   /* and score > above_score */
  sqlite3_int64 limit;  /* rows that will be asked for, a hint; -1: not known */
};

/* For a table's plan function; `what` is what EXPLAIN QUERY PLAN calls the arguments' part. Then
** for its start function, with `rest`. */
void ner_sql_pushdown_plan(sqlite3_index_info *info, const char *what, int label_column,
                           int score_column, int *n_argv);
int ner_sql_pushdown_read(struct ner_sql_pushdown *pushdown, int plan, sqlite3_value **rest,
                          struct ner_err *err);
void ner_sql_pushdown_free(struct ner_sql_pushdown *pushdown);
/* Could this model give such an entity at all? */
bool ner_sql_pushdown_possible(const struct ner_sql_pushdown *pushdown,
                               const struct ner_model *model);
bool ner_sql_pushdown_matches(const struct ner_sql_pushdown *pushdown,
                              const struct ner_entity *entity);

/* idxNum, for all tables. argv holds the values in the order of the bits.
**
**   bits   who                set when
**   0..4   sql/table.c        argument i is given: an equality with the i-th hidden column
**   5      sql/pushdown.c     label = value
**   6      sql/pushdown.c     score >= value
**   7      sql/pushdown.c     score > value
**   8      sql/pushdown.c     LIMIT value
**   9      sql/pushdown.c     OFFSET value
**   10     functions/ner.c    the first argument is a list: text IN (...)
*/
enum {
  NER_SQL_PLAN_LABEL = 1 << 5,
  NER_SQL_PLAN_GE = 1 << 6,
  NER_SQL_PLAN_GT = 1 << 7,
  NER_SQL_PLAN_LIMIT = 1 << 8,
  NER_SQL_PLAN_OFFSET = 1 << 9,
  NER_SQL_PLAN_IN = 1 << 10,
};

#pragma GCC visibility pop
#endif
