/*
** ner_debug.c - the scalar function ner_debug(): what one wants to know of a process from afar, as
** JSON.
**
**     {"version":...,"commit":...,"sqlite":...,"build":...,"simd":...,"blas":...,"threads":...,
**      "models":[{"name":...,"path":...,...},...]}
**
** A setting that is unusable gives "simd_error" or "threads_error" in place of its value. The paths
** are the reason why no schema may call it.
*/
#include "sql/sql.h"

#include <string.h>
#include "engine/registry.h"

#if defined(__clang__)
#define DEBUG_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define DEBUG_COMPILER "gcc " __VERSION__
#else
#define DEBUG_COMPILER "unknown compiler"
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define DEBUG_PROCESSOR "x86-64"
#elif defined(__aarch64__) || defined(_M_ARM64)
#define DEBUG_PROCESSOR "arm64"
#else
#define DEBUG_PROCESSOR "other processor"
#endif
#ifdef SQLITE_CORE
#define DEBUG_LINKAGE "built in"
#else
#define DEBUG_LINKAGE "extension"
#endif
#define DEBUG_BUILD                                                                                \
  DEBUG_PROCESSOR ", " DEBUG_COMPILER ", SQLite " SQLITE_VERSION " headers, " DEBUG_LINKAGE

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
    sqlite3_str_appendf(json, "\"default\":%s}", list[i].is_default ? "true" : "false");
  }
  sqlite3_str_appendchar(json, 1, ']');
}

/* Answers even when the environment is unusable, because it is needed then. */
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
  sqlite3_str_appendf(json, "{\"version\":\"%s\",\"commit\":\"%s\",\"sqlite\":\"%s\",",
                      ner_version(), ner_commit(), sqlite3_libversion());
  debug_text(json, "build", DEBUG_BUILD, NULL);
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

int ner_sql_register_debug(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_debug", 0, NER_SQL_DIRECT | SQLITE_RESULT_SUBTYPE, debug_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
