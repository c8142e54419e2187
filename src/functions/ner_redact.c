/*
** ner_redact.c - the scalar function ner_redact(): a text without its entities.
**
**     ner_redact(text [, labels [, model]])
**         'Ada lived in Paris'                 -> '[PER] lived in [LOC]'
**         'Ada lived in Paris', 'PER'          -> '[PER] lived in Paris'
**
** `labels` is a list like 'PER, ORG' of entity types; a label of the model ('B-PER') stands for its
** type. The function fails closed: whatever goes wrong is an error, never the text as it was.
*/
#include "sql/sql.h"

#include <string.h>

/* Reads a list such as 'PER, ORG': the next name, without blanks around it; false at the end.
** Empty places count as names, so that 'PER,' is an error. */
static bool redact_next_name(struct ner_slice *list, struct ner_slice *name) {
  const char *end;
  if( !list->utf8 ) return false;
  end = memchr(list->utf8, ',', list->n_bytes);
  name->utf8 = list->utf8;
  name->n_bytes = end ? (size_t)(end - list->utf8) : list->n_bytes;
  list->n_bytes -= name->n_bytes + (end ? 1 : 0);
  list->utf8 = end ? end + 1 : NULL;
  while( name->n_bytes > 0 && name->utf8[0] == ' ' ) name->utf8++, name->n_bytes--;
  while( name->n_bytes > 0 && name->utf8[name->n_bytes - 1] == ' ' ) name->n_bytes--;
  return true;
}

static bool redact_is_same(struct ner_slice name, const char *label) {
  return strlen(label) == name.n_bytes &&
         sqlite3_strnicmp(name.utf8, label, (int)name.n_bytes) == 0;
}

/* What entities of this label are called. */
static const char *redact_type_of(const struct ner_model *model, const struct ner_label *label) {
  return model->needs_strict ? label->scheme_type : label->type;
}

/* The entity type that a name in the list means, NULL: none of the model's. */
static const char *redact_type(const struct ner_model *model, struct ner_slice name) {
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    const struct ner_label *label = &model->label[i];
    const char *type = redact_type_of(model, label);
    if( !label->is_outside && (redact_is_same(name, type) || redact_is_same(name, label->name)) )
      return type;
  }
  return NULL;
}

/* The model's entity types, each once: "PER, ORG". */
static void redact_list_types(const struct ner_model *model, char *out, size_t n_bytes) {
  size_t used = 0;
  out[0] = 0;
  for( int32_t i = 0; i < model->config.n_labels; i++ ) {
    const struct ner_label *label = &model->label[i];
    const char *type = redact_type_of(model, label);
    bool is_known = label->is_outside;
    for( int32_t k = 0; k < i && !is_known; k++ )
      is_known =
          !model->label[k].is_outside && !strcmp(redact_type_of(model, &model->label[k]), type);
    if( is_known ) continue;
    ner_format(out + used, n_bytes - used, "%s%s", used ? ", " : "", type);
    used += strlen(out + used);
  }
}

/* A misspelt label would silently redact nothing, so each must be one of the model's. */
static int redact_check_labels(const struct ner_model *model, struct ner_slice list,
                               struct ner_err *err) {
  struct ner_slice name;
  while( redact_next_name(&list, &name) ) {
    char quoted[44], types[300];
    if( redact_type(model, name) ) continue;
    ner_format(quoted, sizeof quoted, "%.*s", (int)name.n_bytes, name.utf8);
    redact_list_types(model, types, sizeof types);
    return ner_fail(err, NER_ERROR, "label '%s' is not one of the model's; its labels are %s",
                    quoted, types);
  }
  return NER_OK;
}

static bool redact_has_type(const struct ner_model *model, struct ner_slice list,
                            const char *type) {
  struct ner_slice name;
  while( redact_next_name(&list, &name) ) {
    const char *listed = redact_type(model, name);
    if( listed && !strcmp(listed, type) ) return true;
  }
  return false;
}

static void redact_result(sqlite3_context *context, const struct ner_sql_found *found,
                          struct ner_slice labels) {
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  const char *text = found->text.utf8;
  uint32_t at = 0;
  for( size_t i = 0; i < found->entities.n; i++ ) {
    const struct ner_entity *e = &found->entities.entity[i];
    if( labels.utf8 && !redact_has_type(found->model, labels, e->label) ) continue;
    /* Entities never overlap; if they did, nothing of either may be shown. */
    if( e->start_byte > at ) sqlite3_str_append(out, text + at, (int)(e->start_byte - at));
    sqlite3_str_appendf(out, "[%s]", e->label);
    if( e->end_byte > at ) at = e->end_byte;
  }
  sqlite3_str_append(out, text + at, (int)(found->text.n_bytes - at));
  ner_sql_result_str(context, out);
}

static void redact_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_sql_found found;
  struct ner_slice labels = {0};
  struct ner_err err = {0};
  int rc;
  if( ner_sql_is_null(arg[0]) ) return;
  rc = ner_sql_find(context, arg[0], n_args > 2 ? arg[2] : NULL, &found, &err);
  if( rc == NER_OK && n_args > 1 && !ner_sql_is_null(arg[1]) ) {
    rc = ner_sql_text(arg[1], "the list of labels", &labels, &err);
    if( rc == NER_OK ) rc = redact_check_labels(found.model, labels, &err);
  }
  if( rc == NER_OK )
    redact_result(context, &found, labels);
  else
    ner_sql_result_error(context, &err);
  ner_sql_found_free(&found);
}

int ner_sql_register_redact(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_redact", 1, NER_SQL_INFER, redact_function},
      {"ner_redact", 2, NER_SQL_INFER, redact_function},
      {"ner_redact", 3, NER_SQL_INFER, redact_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
