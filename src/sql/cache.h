/*
** cache.h - what a connection computed last.
**
** ner_redact(x), ner_json(x) and EXISTS (SELECT 1 FROM ner(x) ...) on one row are three calls with
** one text: the model runs once. The cache keeps tokens and probabilities, from which every
** aggregation and threshold follows.
**
** A cache belongs to one connection. The functions and tables registered on it hold a
** reference each, and reach the cache as their client data; SQLite lets one thread at a time
** into a connection, so a function that runs may use it without a lock.
*/
#ifndef NER_SQL_CACHE_H
#define NER_SQL_CACHE_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

struct ner_sql_cache *ner_sql_cache_new(void); /* NULL: out of memory. One reference. */
struct ner_sql_cache *ner_sql_cache_ref(struct ner_sql_cache *cache);
void ner_sql_cache_unref(void *cache); /* as an xDestroy */

/* Tokens and probabilities of `text` under `model`, NULL when not here. They belong to the cache
** and stay until its next call. */
const struct ner_output *ner_sql_cache_find(struct ner_sql_cache *cache,
                                            const struct ner_model *model, struct ner_slice text);
/* Moves `output` into the cache, which leaves {0}, and returns where it is now; NULL when the
** text is too long to be kept or memory is out: then `output` is as it was. */
const struct ner_output *ner_sql_cache_put(struct ner_sql_cache *cache,
                                           const struct ner_model *model, struct ner_slice text,
                                           struct ner_output *output);

/* A JSON reader for ner_words(), NULL until it has made one; closed with the cache. */
struct ner_json **ner_sql_cache_json(struct ner_sql_cache *cache);

#pragma GCC visibility pop
#endif
