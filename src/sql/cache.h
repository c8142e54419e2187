/*
** cache.h - what a connection computed last.
**
** ner_redact(x), ner_json(x) and EXISTS (SELECT 1 FROM ner(x) ...) on one row are three calls with one
** text: the model runs once. A cache belongs to one connection, lives as long as its functions are
** registered, and is only used by whoever holds that connection. It keeps tokens and
** probabilities, from which every aggregation and threshold follows.
*/
#ifndef NER_SQL_CACHE_H
#define NER_SQL_CACHE_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

struct ner_sql_cache;

/* The cache of this connection, made when it has none (NULL: out of memory). Each function registered
** holds one reference and gives it back through ner_sql_cache_release (an xDestroy). */
struct ner_sql_cache *ner_sql_cache_acquire(sqlite3 *db);
void ner_sql_cache_release(void *cache);

/* Tokens and probabilities of `text` under `model`, NULL when not here. They belong to the cache and
** stay until its next call. */
const struct ner_output *ner_sql_cache_find(sqlite3 *db, const struct ner_model *model,
                                            struct ner_slice text);
/* Puts them in; takes `output` over in any case and returns where it is now, NULL when the
** text is too long to be kept or memory is out: then `output` is as it was. */
const struct ner_output *ner_sql_cache_keep(sqlite3 *db, const struct ner_model *model,
                                            struct ner_slice text, struct ner_output *output);

#pragma GCC visibility pop
#endif
