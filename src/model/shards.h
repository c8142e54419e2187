/*
** shards.h - the weights of a Hugging Face directory as one set of tensors: model.safetensors, or
** several files that model.safetensors.index.json lists.
*/
#ifndef NER_SHARDS_H
#define NER_SHARDS_H

#include "model/safetensors.h"

#pragma GCC visibility push(hidden)

struct ner_shard_tensor {
  const struct ner_tensor *tensor;
  struct ner_safetensors *file; /* that holds it */
  bool used;                    /* set by whoever reads it */
};

struct ner_shards {
  struct ner_shard_tensor *tensor; /* [n_tensors] by name */
  size_t n_tensors, cap_tensors;
  struct ner_safetensors **file; /* [n_files]; owned until the caller takes them */
  size_t n_files, cap_files;
};

/* Opens all files; their headers are checked, their data is not read yet. The index is untrusted: a
** shard it names must be a file in the directory (or, in a Hub cache, among the cache's own blobs)
** and must hold the tensors that the index says it holds. On failure *out is to be given to
** ner_shards_reset(), too. */
int ner_shards_open(const char *dir, struct ner_shards *out, struct ner_err *err);
void ner_shards_reset(struct ner_shards *shards); /* closes files that are still owned */

struct ner_shard_tensor *ner_shards_find(const struct ner_shards *shards, const char *name);

#pragma GCC visibility pop
#endif
