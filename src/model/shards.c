/*
** shards.c - see shards.h.
**
** model.safetensors.index.json: {"metadata": {...}, "weight_map": {"tensor": "file", ...}}. As in
** transformers, model.safetensors comes first where both are there, and metadata counts for
** nothing.
*/
#include "model/shards.h"

#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "model/file_type.h"
#include "model/json.h"

#define SHARDS_MAX         256   /* files: all are open at once */
#define SHARDS_MAX_TENSORS 65536 /* of all files; BERT-large has some 400 */

#define SHARDS_REMEDY "; fetch the index and its files again, from one place"

/* The index being read. */
struct shards_index {
  const char *dir, *path; /* the directory, the index */
  struct ner_shards *shards;
  char **name; /* [shards->n_files] as the index writes them */
  size_t cap_names;
};

static int shards_by_name(const void *a, const void *b) {
  const struct ner_shard_tensor *x = a, *y = b;
  return strcmp(x->tensor->name, y->tensor->name);
}

static int shards_add_file(struct ner_shards *shards, const char *path, struct ner_err *err) {
  struct ner_safetensors *file;
  int rc;
  if( ner_grow((void **)&shards->file, &shards->cap_files, shards->n_files + 1,
               sizeof *shards->file) )
    return ner_fail_nomem(err);
  if( (rc = ner_safetensors_open(path, &file, err)) ) return rc;
  shards->file[shards->n_files++] = file;
  return NER_OK;
}

static int shards_add_tensor(struct ner_shards *shards, const struct ner_tensor *tensor,
                             struct ner_safetensors *file, struct ner_err *err) {
  if( ner_grow((void **)&shards->tensor, &shards->cap_tensors, shards->n_tensors + 1,
               sizeof *shards->tensor) )
    return ner_fail_nomem(err);
  shards->tensor[shards->n_tensors++] = (struct ner_shard_tensor){tensor, file, false};
  return NER_OK;
}

/* Whether the resolved path is below the resolved directory. In a Hub cache the files of
** models--x--y/snapshots/REVISION are links to models--x--y/blobs/. */
static bool shards_is_inside(const char *path, const char *dir) {
  static const char snapshots[] = "/snapshots", blobs[] = "/blobs/";
  size_t n = strlen(dir);
  const char *revision = strrchr(dir, '/');
  if( strcmp(dir, "/") == 0 || (strncmp(path, dir, n) == 0 && path[n] == '/') ) return true;
  n = revision ? (size_t)(revision - dir) : 0; /* up to and with "/snapshots" */
  if( n < sizeof snapshots - 1 ||
      strncmp(dir + n - (sizeof snapshots - 1), snapshots, sizeof snapshots - 1) != 0 )
    return false;
  n -= sizeof snapshots - 1;
  return strncmp(path, dir, n) == 0 && strncmp(path + n, blobs, sizeof blobs - 1) == 0;
}

/* Where the shard `name` is, links resolved; for NER_FREE. */
static int shards_locate(const struct shards_index *index, const char *name, char **out,
                         struct ner_err *err) {
  char *joined = ner_file_join(index->dir, name);
  char *dir = NULL;
  bool inside = ner_path_stays_below(name);
  int rc = NER_OK, why;
  *out = NULL;
  if( !joined ) {
    rc = ner_fail_nomem(err);
  } else if( inside ) {
    why = ner_os_resolve(index->dir, &dir);
    if( !why ) why = ner_os_resolve(joined, out);
    if( ner_os_is_nomem(why) )
      rc = ner_fail_nomem(err);
    else if( why )
      rc = ner_fail(err, NER_ERROR, "%s: names the file '%.80s', which is not there" SHARDS_REMEDY,
                    index->path, name);
    else
      inside = shards_is_inside(*out, dir);
  }
  if( rc == NER_OK && !inside )
    rc = ner_fail(err, NER_ERROR,
                  "%s: names the file '%.80s', which is outside the directory" SHARDS_REMEDY,
                  index->path, name);
  if( rc ) {
    NER_FREE(*out);
    *out = NULL;
  }
  NER_FREE(dir);
  NER_FREE(joined);
  return rc;
}

/* The file of that name, opened where it was not yet. */
static int shards_get_file(struct shards_index *index, const char *name, size_t n_name,
                           struct ner_safetensors **out, struct ner_err *err) {
  struct ner_shards *shards = index->shards;
  char *path;
  size_t i = 0;
  int rc;
  while( i < shards->n_files && strcmp(index->name[i], name) != 0 ) i++;
  if( i == SHARDS_MAX )
    return ner_fail(err, NER_ERROR, "%s: names more than %d files" SHARDS_REMEDY, index->path,
                    SHARDS_MAX);
  if( i == shards->n_files ) {
    if( ner_grow((void **)&index->name, &index->cap_names, i + 1, sizeof *index->name) )
      return ner_fail_nomem(err);
    if( (rc = shards_locate(index, name, &path, err)) ) return rc;
    rc = shards_add_file(shards, path, err);
    NER_FREE(path);
    if( rc ) return rc;
    index->name[i] = ner_strndup(name, n_name);
    if( !index->name[i] ) return ner_fail_nomem(err);
  }
  *out = shards->file[i];
  return NER_OK;
}

static int shards_on_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct shards_index *index = arg;
  const struct ner_tensor *tensor;
  struct ner_safetensors *file = NULL;
  int rc;
  if( item->type != NER_JSON_STRING || !item->key )
    return ner_fail(err, NER_ERROR,
                    "%s: weight_map is not an object of tensors and their files" SHARDS_REMEDY,
                    index->path);
  if( index->shards->n_tensors == SHARDS_MAX_TENSORS )
    return ner_fail(err, NER_ERROR, "%s: names more than %d tensors" SHARDS_REMEDY, index->path,
                    SHARDS_MAX_TENSORS);
  if( (rc = shards_get_file(index, item->string, item->n_string, &file, err)) ) return rc;
  tensor = ner_safetensors_find(file, item->key);
  if( !tensor )
    return ner_fail(err, NER_ERROR,
                    "%s: says that tensor '%.100s' is in '%.80s', where it is not" SHARDS_REMEDY,
                    index->path, item->key, item->string);
  return shards_add_tensor(index->shards, tensor, file, err);
}

static int shards_open_index(const char *dir, const char *path, struct ner_shards *out,
                             struct ner_err *err) {
  struct shards_index index = {.dir = dir, .path = path, .shards = out};
  struct ner_json *json = NULL;
  char *text = NULL;
  size_t n;
  int rc = ner_read_text(path, &text, &n, err);
  if( rc == NER_OK ) rc = ner_json_open_python(text, n, path, &json, err);
  if( rc == NER_OK ) rc = ner_json_each(json, "$.weight_map", shards_on_member, &index, err);
  if( rc == NER_OK && out->n_tensors == 0 )
    rc = ner_fail(err, NER_ERROR, "%s: has no weight_map" SHARDS_REMEDY, path);
  ner_json_close(json);
  NER_FREE(text);
  for( size_t i = 0; i < out->n_files && i < index.cap_names; i++ ) NER_FREE(index.name[i]);
  NER_FREE(index.name);
  return rc;
}

static int shards_open_single(const char *path, struct ner_shards *out, struct ner_err *err) {
  int rc = shards_add_file(out, path, err);
  for( size_t i = 0; rc == NER_OK && i < ner_safetensors_count(out->file[0]); i++ )
    rc = shards_add_tensor(out, ner_safetensors_at(out->file[0], i), out->file[0], err);
  return rc;
}

int ner_shards_open(const char *dir, struct ner_shards *out, struct ner_err *err) {
  char *single = ner_file_join(dir, "model.safetensors");
  char *index = ner_file_join(dir, "model.safetensors.index.json");
  int rc;
  memset(out, 0, sizeof *out);
  if( !single || !index )
    rc = ner_fail_nomem(err);
  else if( ner_file_kind(single) != NER_FILE_MISSING )
    rc = shards_open_single(single, out, err);
  else if( ner_file_kind(index) != NER_FILE_MISSING )
    rc = shards_open_index(dir, index, out, err);
  else
    rc = ner_fail_lacks_weights(dir, err);
  if( rc == NER_OK && out->n_tensors > 0 )
    qsort(out->tensor, out->n_tensors, sizeof *out->tensor, shards_by_name);
  for( size_t i = 1; rc == NER_OK && i < out->n_tensors; i++ )
    if( shards_by_name(&out->tensor[i - 1], &out->tensor[i]) == 0 )
      rc = ner_fail(err, NER_ERROR, "%s: names tensor '%.100s' twice" SHARDS_REMEDY, index,
                    out->tensor[i].tensor->name);
  NER_FREE(single);
  NER_FREE(index);
  return rc;
}

void ner_shards_reset(struct ner_shards *shards) {
  for( size_t i = 0; i < shards->n_files; i++ ) ner_safetensors_close(shards->file[i]);
  NER_FREE(shards->file);
  NER_FREE(shards->tensor);
  memset(shards, 0, sizeof *shards);
}

static int shards_against_name(const void *name, const void *tensor) {
  return strcmp(name, ((const struct ner_shard_tensor *)tensor)->tensor->name);
}

struct ner_shard_tensor *ner_shards_find(const struct ner_shards *shards, const char *name) {
  if( shards->n_tensors == 0 ) return NULL;
  return bsearch(name, shards->tensor, shards->n_tensors, sizeof *shards->tensor,
                 shards_against_name);
}
