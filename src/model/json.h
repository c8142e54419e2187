/*
** json.h - reads JSON through SQLite's own functions.
**
**     if( (rc = ner_json_open(text, n_bytes, "config.json", &json, err)) ) return rc;
**     rc = ner_json_int(json, "$.n_layers", &layers, err);
**     if( rc == NER_OK ) rc = ner_json_each(json, "$.id2label", on_label, &labels, err);
**     ner_json_close(json);
**
** A document lives in a private in-memory connection. Strict RFC 8259 and valid
** UTF-8 are required; NUL (also as \u0000), lone surrogates and nesting deeper
** than 64 are refused. `what` (a file name) begins every error.
*/
#ifndef NER_JSON_H
#define NER_JSON_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

struct ner_json;

enum ner_json_type {
  NER_JSON_MISSING = 0,
  NER_JSON_NULL,
  NER_JSON_FALSE,
  NER_JSON_TRUE,
  NER_JSON_INTEGER, /* fits int64 and is written without sign '+', fraction or exponent */
  NER_JSON_REAL,
  NER_JSON_STRING,
  NER_JSON_ARRAY,
  NER_JSON_OBJECT,
};

/* One member of an object or array, as ner_json_each gives it. */
struct ner_json_item {
  const char *key; /* object: the name, unescaped; array: NULL */
  size_t n_key;
  int64_t index; /* array: position */
  enum ner_json_type type;
  int64_t integer;    /* INTEGER */
  double real;        /* INTEGER and REAL */
  const char *string; /* STRING: unescaped; ARRAY, OBJECT: its JSON text */
  size_t n_string;
};

/* ner_json_open_python() also takes what Python's json module writes: NaN, Infinity and -Infinity.
** They count as numbers beyond any range (1e999): a field that is read rejects them, a field
** that is not read may hold them. */
int ner_json_open(const char *text, size_t n_bytes, const char *what, struct ner_json **out,
                  struct ner_err *err);
int ner_json_open_python(const char *text, size_t n_bytes, const char *what, struct ner_json **out,
                         struct ner_err *err);
/* Another document in the place of json's, which saves opening a connection. After a failure
** `json` has no document, and may be given another or be closed. */
int ner_json_replace(struct ner_json *json, const char *text, size_t n_bytes, const char *what,
                     struct ner_err *err);
void ner_json_close(struct ner_json *json);

/* path as in SQLite: "$.id2label", "$". A missing value is NER_JSON_MISSING.
** If memory runs out, the calls that follow fail with NER_NOMEM. */
enum ner_json_type ner_json_type_at(struct ner_json *json, const char *path);
/* Optional values: *out keeps its value when the field is missing or null; a field of another type
** is an error that names the type. */
int ner_json_int(struct ner_json *json, const char *path, int64_t *out, struct ner_err *err);
int ner_json_real(struct ner_json *json, const char *path, double *out, struct ner_err *err);
int ner_json_bool(struct ner_json *json, const char *path, bool *out, struct ner_err *err);
/* *out is a fresh string (NER_FREE) or NULL when missing or null. */
int ner_json_string(struct ner_json *json, const char *path, char **out, struct ner_err *err);

/* Whether the item is an object's member with this key. */
bool ner_json_key_is(const struct ner_json_item *item, const char *key);

/* Called for each member; item is valid during the call. A code other than NER_OK
** ends the walk and is returned. */
typedef int (*ner_json_fn)(void *arg, const struct ner_json_item *item, struct ner_err *err);

/* Calls fn for each member of the object or array at `path`, in the order of the
** file, duplicates included. Missing or null: no calls, NER_OK. */
int ner_json_each(struct ner_json *json, const char *path, ner_json_fn fn, void *arg,
                  struct ner_err *err);
/* The same over an item that is itself an object or array, from inside its call. */
int ner_json_each_in(struct ner_json *json, const struct ner_json_item *item, ner_json_fn fn,
                     void *arg, struct ner_err *err);

/* The UTF-8 string s as a JSON string, not terminated: returns its bytes, which are written to
** `out` unless that is NULL. */
size_t ner_json_quote(const char *s, char *out);
/* Adds a string to *list, a JSON array as text (NULL: empty), to be freed with NER_FREE. */
int ner_json_append(char **list, const char *s, struct ner_err *err);

#pragma GCC visibility pop
#endif
