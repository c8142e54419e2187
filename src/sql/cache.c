/* sql/cache.c - what a connection computed last; see sql/cache.h. */
#include "sql/cache.h"

#include <pthread.h>
#include <string.h>

/* A row is rarely asked about more than a few texts at a time. Longer texts would make the
** cache heavy (60 bytes a token, a token every 4 bytes) and gain as much from ner_enrich(). */
#define N_ENTRIES      8
#define MAX_TEXT_BYTES (32 * 1024)

struct entry {
  uint64_t model; /* its serial; 0: the entry is free */
  char *text;     /* [n_bytes] */
  size_t n_bytes;
  uint64_t used; /* the cache's clock when it was last asked for */
  struct ner_output output;
};

struct ner_sql_cache {
  sqlite3 *db;
  int refs;
  struct ner_sql_cache *next;
  uint64_t clock;
  struct entry entry[N_ENTRIES];
};

/* All connections that have one. The lock guards the list alone: SQLite lets one thread at a time
** into a connection, so a cache found here is the finder's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct ner_sql_cache *caches;

/* fork() waits for the lock, which is free within microseconds: a child in which it stayed with a
** thread that is no more would hang at its first query. */
static void lock_caches(void) {
  pthread_mutex_lock(&lock);
}
static void unlock_caches(void) {
  pthread_mutex_unlock(&lock);
}
static void mind_forks(void) {
  pthread_atfork(lock_caches, unlock_caches, unlock_caches);
}

static struct ner_sql_cache *find_cache(sqlite3 *db) {
  struct ner_sql_cache *cache;
  lock_caches();
  for( cache = caches; cache && cache->db != db; ) cache = cache->next;
  unlock_caches();
  return cache;
}

struct ner_sql_cache *ner_sql_cache_acquire(sqlite3 *db) {
  struct ner_sql_cache *cache;
  pthread_once(&fork_once, mind_forks);
  cache = find_cache(db);
  if( !cache ) {
    cache = ner_calloc(1, sizeof *cache);
    if( !cache ) return NULL;
    cache->db = db;
    lock_caches();
    cache->next = caches;
    caches = cache;
    unlock_caches();
  }
  cache->refs++;
  return cache;
}

static void forget(struct entry *e) {
  NER_FREE(e->text);
  ner_output_free(&e->output);
  *e = (struct entry){0};
}

void ner_sql_cache_release(void *arg) {
  struct ner_sql_cache *cache = arg, **at;
  if( --cache->refs > 0 ) return;
  lock_caches();
  for( at = &caches; *at != cache; ) at = &(*at)->next;
  *at = cache->next;
  unlock_caches();
  for( int i = 0; i < N_ENTRIES; i++ ) forget(&cache->entry[i]);
  NER_FREE(cache);
}

const struct ner_output *ner_sql_cache_find(sqlite3 *db, const struct ner_model *model,
                                            struct ner_slice text) {
  struct ner_sql_cache *cache = find_cache(db);
  for( int i = 0; cache && i < N_ENTRIES; i++ ) {
    struct entry *e = &cache->entry[i];
    if( e->model != model->serial || e->n_bytes != text.n_bytes ||
        (text.n_bytes && memcmp(e->text, text.utf8, text.n_bytes) != 0) )
      continue;
    e->used = ++cache->clock;
    return &e->output;
  }
  return NULL;
}

const struct ner_output *ner_sql_cache_keep(sqlite3 *db, const struct ner_model *model,
                                            struct ner_slice text, struct ner_output *output) {
  struct ner_sql_cache *cache = find_cache(db);
  struct entry *oldest;
  char *copy;
  if( !cache || text.n_bytes > MAX_TEXT_BYTES ) return NULL;
  copy = ner_strndup(text.utf8, text.n_bytes);
  if( !copy ) return NULL;
  oldest = &cache->entry[0];
  for( int i = 1; i < N_ENTRIES; i++ )
    if( cache->entry[i].used < oldest->used ) oldest = &cache->entry[i];
  forget(oldest);
  *oldest = (struct entry){.model = model->serial,
                           .text = copy,
                           .n_bytes = text.n_bytes,
                           .used = ++cache->clock,
                           .output = *output};
  *output = (struct ner_output){0};
  return &oldest->output;
}
