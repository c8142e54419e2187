/*
** sql.h - what the files of the SQL surface share.
**
** A file per kind of thing registered, each with one ner_sql_register_...():
** that is the only thing sqlite-ner.c knows of it. Whatever labels a text does it
** through ner_sql_run() or ner_sql_extract(), so that interrupts (and later a cache) need
** thought in one place.
**
** An error has one way out: a struct ner_err, filled wherever it arose, and
** turned into SQL by ner_sql_result_error() or ner_sql_table_error().
*/
#ifndef NER_SQL_COMMON_H
#define NER_SQL_COMMON_H

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

int ner_sql_register_ner(sqlite3 *db);     /* functions/ner.c: ner */
int ner_sql_register_tokens(sqlite3 *db);  /* functions/ner_tokens.c: ner_tokens */
int ner_sql_register_words(sqlite3 *db);   /* functions/ner_words.c: ner_words */
int ner_sql_register_models(sqlite3 *db);  /* functions/ner_models.c: ner_models */
int ner_sql_register_scalars(sqlite3 *db); /* functions/ner_json.c: ner_json, ner_version */
int ner_sql_register_query(sqlite3 *db);   /* functions/ner_query.c: ner_query */
int ner_sql_register_redact(sqlite3 *db);  /* functions/ner_redact.c: ner_redact, ner_html */
int ner_sql_register_admin(sqlite3 *db);   /* functions/admin.c: ner_load, ner_unload, ... */
int ner_sql_register_enrich(sqlite3 *db);  /* enrich/enrich.c: ner_enrich */

/* ---- functions (sql/args.c) ---- */

/* Trust. What runs a model by name is innocuous: views and triggers of an untrusted schema
** may use it. What touches files or changes the process is for top-level SQL
** only. Nothing that depends on a model is SQLITE_DETERMINISTIC, although the same
** model gives the same answer: ner_load() and ner_default() change which model that is, so
** an index or a generated column over ner_json() would come to hold lies. */
#define NER_SQL_INFER  (SQLITE_UTF8 | SQLITE_INNOCUOUS)
#define NER_SQL_DIRECT (SQLITE_UTF8 | SQLITE_DIRECTONLY)
#define NER_SQL_PLAIN  SQLITE_UTF8
#ifndef SQLITE_RESULT_SUBTYPE /* SQLite 3.45; older ones ignore it */
#define SQLITE_RESULT_SUBTYPE 0x001000000
#endif
#define NER_SQL_JSON_SUBTYPE 74 /* 'J', what SQLite's JSON functions look for */

struct ner_sql_function {
  const char *name;
  int n_args;
  int flags;
  void (*call)(sqlite3_context *context, int n_args, sqlite3_value **arg);
};
int ner_sql_register(sqlite3 *db, const struct ner_sql_function *functions, size_t n);

/* The two ways out for errors. */
void ner_sql_result_error(sqlite3_context *context, const struct ner_err *err);
int ner_sql_table_error(sqlite3_vtab *table,
                        const struct ner_err *err); /* returns xFilter's code */

/* ---- arguments (sql/args.c) ---- */

/* A missing argument is NULL, and treated as SQL's NULL. */
bool ner_sql_is_null(sqlite3_value *value);
/* Text; a number counts as its digits, a BLOB is an error. Not to be called for NULL. The
** bytes live as long as the value is not converted. `what` names it in errors. */
int ner_sql_text(sqlite3_value *value, const char *what, struct ner_slice *out,
                 struct ner_err *err);
/* Text without NUL bytes inside, not NULL, not empty: a name, a path. */
int ner_sql_name(sqlite3_value *value, const char *what, const char **out, struct ner_err *err);
/* The model of that name, NULL: the default one. A reference. */
int ner_sql_model(sqlite3_value *value, struct ner_model **out, struct ner_err *err);
int ner_sql_options(sqlite3_value *aggregation, sqlite3_value *threshold, struct ner_options *out,
                    struct ner_err *err);

/* ---- JSON (sql/args.c) ---- */

/* Appends a JSON string, quotes included; ill-formed UTF-8 becomes U+FFFD. */
void ner_sql_json_string(sqlite3_str *json, const char *utf8, size_t n_bytes);
/* Appends a number, as SQLite's own JSON functions print it. */
void ner_sql_json_number(sqlite3_str *json, double number);
/* Finishes `json`: as the function's result with JSON's subtype, or too big, or no memory. */
void ner_sql_result_json(sqlite3_context *context, sqlite3_str *json);

/* ---- inference (sql/run.c) ---- */

/* Runs one input and feels the connection's interrupts and progress handler. options NULL: tokens
** and probabilities, no entities. Fills `output` (ner_output_free) only when it succeeds. */
int ner_sql_run(sqlite3 *db, struct ner_model *model, const struct ner_input *input,
                const struct ner_options *options, struct ner_output *output, struct ner_err *err);
/* The entities of a text, to be freed with ner_entities_free(). */
int ner_sql_extract(sqlite3 *db, struct ner_model *model, struct ner_slice text,
                    const struct ner_options *options, struct ner_entities *out,
                    struct ner_err *err);

/* The surest label of a token's probabilities [n_labels]; the first of equals. */
int32_t ner_sql_best_label(const float *probs, int32_t n_labels);

/* A connection's wish to cancel, for ner_pipeline_run() and whatever else takes long:
**     struct ner_sql_cancel cancel;
**     ner_sql_cancel_open(&cancel, db);
**     rc = ner_pipeline_run(..., &cancel.base, err);
**     ner_sql_cancel_close(&cancel);
** Only while a statement of the connection is running. */
struct ner_sql_cancel {
  struct ner_cancel base;
  sqlite3 *db;
  sqlite3_stmt *probe; /* prepared when first needed */
  double next;         /* second not to be asked again before */
  bool broken;         /* there is no asking on this connection */
};
void ner_sql_cancel_open(struct ner_sql_cancel *cancel, sqlite3 *db);
void ner_sql_cancel_close(struct ner_sql_cancel *cancel);

double ner_sql_seconds(void); /* of a clock that nobody sets */

/* ---- table-valued functions (sql/table.c) ---- */

/* A table whose first n_args hidden columns are its arguments. They are declared as BLOB, which is to
** say that they have no affinity: with that of HIDDEN alone, NUMERIC, the '007' of a list would be 7.
** A module is registered with a `struct ner_sql_shape` as its client data; connect, disconnect and
** best_index are then the same for all. */
struct ner_sql_shape {
  const char *name;
  const char *schema;    /* CREATE TABLE ... */
  int first_arg, n_args; /* columns that are arguments; the first one is required */
  bool innocuous;        /* usable in an untrusted schema's views and triggers */
  bool direct_only;      /* usable in top-level SQL alone */
};
struct ner_sql_table {
  sqlite3_vtab base;
  sqlite3 *db;
  const struct ner_sql_shape *shape;
};
#define NER_SQL_MAX_ARGS 5

int ner_sql_table_register(sqlite3 *db, const sqlite3_module *module,
                           const struct ner_sql_shape *shape);
int ner_sql_table_connect(sqlite3 *db, void *shape, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **message);
int ner_sql_table_disconnect(sqlite3_vtab *table);
/* Takes the arguments into the plan: bit i of idxNum for argument i, argv in that order.
** *n_argv is how many were taken. */
int ner_sql_table_best_index(sqlite3_vtab *table, sqlite3_index_info *info);
int ner_sql_table_plan(sqlite3_vtab *table, sqlite3_index_info *info, int *n_argv);
/* For xFilter: copies of the arguments (NULL where none was given), which live until freed;
** an error when the first is missing altogether. *n_argv: values used up. */
int ner_sql_table_args(sqlite3_vtab *table, int plan, sqlite3_value **argv,
                       sqlite3_value *out[NER_SQL_MAX_ARGS], int *n_argv, struct ner_err *err);
void ner_sql_table_args_free(sqlite3_value *args[NER_SQL_MAX_ARGS]);

/* ---- columns that several of them have (sql/table.c) ---- */

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
#define NER_SQL_PUSHDOWN_BIT  4 /* idxNum: bits from here on, values behind the arguments' */
#define NER_SQL_PUSHDOWN_BITS 5

/* For xBestIndex, after ner_sql_table_plan(), whose plan is `what` to those who read query plans;
** then for xFilter, with the values left. */
void ner_sql_pushdown_plan(sqlite3_index_info *info, const char *what, int label_column,
                           int score_column, int *n_argv);
int ner_sql_pushdown_read(struct ner_sql_pushdown *pushdown, int plan, sqlite3_value **argv,
                          struct ner_err *err);
void ner_sql_pushdown_free(struct ner_sql_pushdown *pushdown);
/* Could this model give such an entity at all? */
bool ner_sql_pushdown_possible(const struct ner_sql_pushdown *pushdown,
                               const struct ner_model *model);
bool ner_sql_pushdown_matches(const struct ner_sql_pushdown *pushdown,
                              const struct ner_entity *entity);

#pragma GCC visibility pop
#endif
