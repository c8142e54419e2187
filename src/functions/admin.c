/*
** admin.c - functions about models and the process, for the connection's owner:
**
**     ner_load(name, path [, precision])       loads a model and gives it a name
**     ner_unload(name)                         forgets it; running queries finish with it
**     ner_default(name)                        the model used where none is named
**     ner_convert(source, target, precision)   a directory → one self-contained file
**     ner_threads([n])                         threads used, after setting them to n
**     ner_debug()                              JSON: version, build, SIMD, threads, models
**
** The first three return the name, ner_convert the target. All that change anything are
** SQLITE_DIRECTONLY: no view or trigger of a database somebody sent can reach them.
** None is registered by the safe entry point.
*/
#include "sql/sql.h"

#include <string.h>
#include "engine/registry.h"
#include "model/open.h"

#define THREADS_MAX 1024

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown compiler"
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define PROCESSOR "x86-64"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define PROCESSOR "arm64"
#else
#define PROCESSOR "other processor"
#endif
#ifdef SQLITE_CORE
#define LINKAGE "built in"
#else
#define LINKAGE "extension"
#endif
#define BUILD PROCESSOR ", " COMPILER ", SQLite " SQLITE_VERSION " headers, " LINKAGE

/* The optional precision: 'f32', 'int8', or NULL for what the file holds. */
static int precision_of(sqlite3_value *value, enum ner_precision *out, struct ner_err *err) {
  const char *name;
  int rc;
  *out = NER_PRECISION_FILE;
  if( ner_sql_is_null(value) ) return NER_OK;
  rc = ner_sql_name(value, "the precision", &name, err);
  return rc == NER_OK ? ner_precision_parse(name, out, err) : rc;
}

static void finish(sqlite3_context *context, int rc, sqlite3_value *result,
                   const struct ner_err *err) {
  if( rc == NER_OK )
    sqlite3_result_value(context, result);
  else
    ner_sql_result_error(context, err);
}

static void load_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  enum ner_precision precision;
  const char *name, *path;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_load", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[1], "the path", &path, &err);
  if( rc == NER_OK ) rc = precision_of(n_args > 2 ? arg[2] : NULL, &precision, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_registry_load(name, path, precision, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  finish(context, rc, arg[0], &err);
}

static void unload_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  const char *name;
  struct ner_err err = {0};
  int rc = ner_sql_check_direct(context, "ner_unload", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  if( rc == NER_OK ) rc = ner_registry_unload(name, &err);
  finish(context, rc, arg[0], &err);
}

static void default_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  const char *name;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_default", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_registry_set_default(name, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  finish(context, rc, arg[0], &err);
}

static void convert_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  enum ner_precision precision;
  const char *source, *target;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_convert", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the source", &source, &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[1], "the target", &target, &err);
  if( rc == NER_OK ) rc = precision_of(arg[2], &precision, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_convert_cancellable(source, target, precision, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  finish(context, rc, arg[1], &err);
}

static void threads_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_err err = {0};
  sqlite3_int64 n = 0; /* only ask */
  int rc = n_args > 0 ? ner_sql_check_direct(context, "ner_threads", &err) : NER_OK;
  if( rc == NER_OK ) rc = ner_pool_check(&err);
  if( rc == NER_OK && n_args > 0 ) {
    n = sqlite3_value_int64(arg[0]);
    if( sqlite3_value_numeric_type(arg[0]) != SQLITE_INTEGER || n < 1 || n > THREADS_MAX )
      rc = ner_fail(&err, NER_ERROR, "ner_threads takes a whole number from 1 to %d", THREADS_MAX);
  }
  if( rc == NER_OK )
    sqlite3_result_int(context, ner_threads((int)n));
  else
    ner_sql_result_error(context, &err);
}

/* "key":"value" or, where value is NULL, what `err` says as "key_error". */
static void debug_text(sqlite3_str *json, const char *key, const char *value,
                       const struct ner_err *err) {
  const char *text = value ? value : err->msg;
  sqlite3_str_appendf(json, "\"%s%s\":", key, value ? "" : "_error");
  ner_sql_json_string(json, text, strlen(text));
}

static void debug_models(sqlite3_str *json, const struct ner_registry_entry *list, size_t n) {
  sqlite3_str_appendall(json, "\"models\":[");
  for( size_t i = 0; i < n; i++ ) {
    const struct ner_model *model = list[i].model;
    sqlite3_str_appendall(json, i ? ",{" : "{");
    debug_text(json, "name", list[i].name, NULL);
    sqlite3_str_appendchar(json, 1, ',');
    debug_text(json, "path", model->path, NULL);
    sqlite3_str_appendf(json, ",\"architecture\":\"%s\",\"precision\":\"%s\",\"bytes\":%lld,",
                        ner_architecture_name(model->config.architecture),
                        ner_precision_name(model->precision), (long long)model->n_bytes);
    if( model->ignored_json )
      sqlite3_str_appendf(json, "\"ignored_tensors\":%s,", model->ignored_json);
    sqlite3_str_appendf(json, "\"default\":%s}", list[i].is_default ? "true" : "false");
  }
  sqlite3_str_appendchar(json, 1, ']');
}

/* Answers even when the environment is unusable: that is when it is needed. */
static void debug_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_registry_entry *list = NULL;
  const struct ner_kernels *kernels;
  struct ner_err err = {0}, simd_err = {0}, threads_err = {0};
  sqlite3_str *json;
  size_t n = 0;
  if( ner_sql_check_direct(context, "ner_debug", &err) != NER_OK ||
      ner_registry_list(&list, &n, &err) != NER_OK ) {
    ner_sql_result_error(context, &err);
    return;
  }
  json = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendf(json, "{\"version\":\"%s\",\"sqlite\":\"%s\",", NER_VERSION,
                      sqlite3_libversion());
  debug_text(json, "build", BUILD, NULL);
  sqlite3_str_appendchar(json, 1, ',');
  kernels = ner_kernels_get(&simd_err);
  debug_text(json, "simd", kernels ? kernels->name : NULL, &simd_err);
  sqlite3_str_appendchar(json, 1, ',');
  debug_text(json, "blas", ner_blas_core(), NULL);
  sqlite3_str_appendchar(json, 1, ',');
  if( ner_pool_check(&threads_err) == NER_OK )
    sqlite3_str_appendf(json, "\"threads\":%d", ner_threads(0));
  else
    debug_text(json, "threads", NULL, &threads_err);
  sqlite3_str_appendchar(json, 1, ',');
  debug_models(json, list, n);
  sqlite3_str_appendchar(json, 1, '}');
  ner_registry_list_free(list, n);
  ner_sql_result_json(context, json);
}

int ner_sql_register_admin(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_load", 2, NER_SQL_DIRECT, load_function},
      {"ner_load", 3, NER_SQL_DIRECT, load_function},
      {"ner_unload", 1, NER_SQL_DIRECT, unload_function},
      {"ner_default", 1, NER_SQL_DIRECT, default_function},
      {"ner_convert", 3, NER_SQL_DIRECT, convert_function},
      {"ner_threads", 0, NER_SQL_PLAIN, threads_function},
      {"ner_threads", 1, NER_SQL_DIRECT, threads_function},
      {"ner_debug", 0, NER_SQL_DIRECT | SQLITE_RESULT_SUBTYPE, debug_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
