/* sql/cache.c - what a connection computed last; see sql/cache.h. */
#include "sql/cache.h"

#include <string.h>
#include "model/json.h"

/* A row is rarely asked about more than a few texts at a time. Longer texts would make the
** cache heavy (60 bytes a token, a token every 4 bytes) and gain as much from ner_enrich(). */
#define CACHE_ENTRIES        8
#define CACHE_MAX_TEXT_BYTES (32 * 1024)

struct cache_entry {
  uint64_t model; /* its serial number; 0: the entry is free */
  char *text;     /* [n_bytes] */
  size_t n_bytes;
  uint64_t used; /* the cache's clock when it was last found */
  struct ner_output output;
};

struct ner_sql_cache {
  int refs;
  struct ner_json *json;
  uint64_t clock;
  struct cache_entry entry[CACHE_ENTRIES];
};

struct ner_sql_cache *ner_sql_cache_new(void) {
  struct ner_sql_cache *cache = ner_calloc(1, sizeof *cache);
  if( cache ) cache->refs = 1;
  return cache;
}

struct ner_sql_cache *ner_sql_cache_ref(struct ner_sql_cache *cache) {
  cache->refs++;
  return cache;
}

struct ner_json **ner_sql_cache_json(struct ner_sql_cache *cache) {
  return &cache->json;
}

static void cache_discard(struct cache_entry *e) {
  NER_FREE(e->text);
  ner_output_free(&e->output);
  *e = (struct cache_entry){0};
}

void ner_sql_cache_unref(void *arg) {
  struct ner_sql_cache *cache = arg;
  if( --cache->refs > 0 ) return;
  for( int i = 0; i < CACHE_ENTRIES; i++ ) cache_discard(&cache->entry[i]);
  ner_json_close(cache->json);
  NER_FREE(cache);
}

const struct ner_output *ner_sql_cache_find(struct ner_sql_cache *cache,
                                            const struct ner_model *model, struct ner_slice text) {
  for( int i = 0; i < CACHE_ENTRIES; i++ ) {
    struct cache_entry *e = &cache->entry[i];
    if( e->model != model->serial || e->n_bytes != text.n_bytes ||
        (text.n_bytes && memcmp(e->text, text.utf8, text.n_bytes) != 0) )
      continue;
    e->used = ++cache->clock;
    return &e->output;
  }
  return NULL;
}

const struct ner_output *ner_sql_cache_put(struct ner_sql_cache *cache,
                                           const struct ner_model *model, struct ner_slice text,
                                           struct ner_output *output) {
  struct cache_entry *oldest = &cache->entry[0];
  char *copy;
  if( text.n_bytes > CACHE_MAX_TEXT_BYTES ) return NULL;
  copy = ner_strndup(text.utf8, text.n_bytes);
  if( !copy ) return NULL;
  for( int i = 1; i < CACHE_ENTRIES; i++ )
    if( cache->entry[i].used < oldest->used ) oldest = &cache->entry[i];
  cache_discard(oldest);
  *oldest = (struct cache_entry){.model = model->serial,
                                 .text = copy,
                                 .n_bytes = text.n_bytes,
                                 .used = ++cache->clock,
                                 .output = *output};
  *output = (struct ner_output){0};
  return &oldest->output;
}
