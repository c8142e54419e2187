/*
** safetensors.h - checked reading and writing of the safetensors format.
**
** Every offset, shape and size is checked before a pointer is made from it, at
** least as strictly as the reference (safetensors, src/tensor.rs). Data may
** begin at any alignment: readers of values use memcpy.
*/
#ifndef NER_SAFETENSORS_H
#define NER_SAFETENSORS_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

#define NER_TENSOR_RANK 8

enum ner_dtype {
  NER_DTYPE_F32,
  NER_DTYPE_F16,
  NER_DTYPE_BF16,
  NER_DTYPE_F64,
  NER_DTYPE_I8,
  NER_DTYPE_U8,
  NER_DTYPE_I32,
  NER_DTYPE_OTHER, /* known to the format, not used here */
};

struct ner_tensor {
  const char *name; /* terminated, without NUL inside */
  enum ner_dtype dtype;
  int rank;
  uint64_t shape[NER_TENSOR_RANK];
  const unsigned char *data; /* [n_bytes], any alignment; valid once it was read */
  uint64_t n_bytes;
};

struct ner_safetensors;

/* Opens a file, or bytes that outlive the result (the embedded model); `what` names the bytes in
** errors. Opening a file reads only its header. ner_safetensors_read() reads a tensor's data,
** ner_safetensors_discard() releases it again. ner_safetensors_finalize() fails if the file was
** changed meanwhile, and closes the descriptor: data that was read stays valid, whatever happens to
** the file. */
int ner_safetensors_open(const char *path, struct ner_safetensors **out, struct ner_err *err);
/* Reading polls `cancel`, which must outlive finalizing, every few MB. */
void ner_safetensors_set_cancel(struct ner_safetensors *file, const struct ner_cancel *cancel);
int ner_safetensors_open_bytes(const unsigned char *bytes, size_t n_bytes, const char *what,
                               struct ner_safetensors **out, struct ner_err *err);
int ner_safetensors_read(struct ner_safetensors *file, const struct ner_tensor *tensor,
                         struct ner_err *err);
void ner_safetensors_discard(struct ner_safetensors *file, const struct ner_tensor *tensor);
int ner_safetensors_finalize(struct ner_safetensors *file, struct ner_err *err);
void ner_safetensors_close(struct ner_safetensors *file);

size_t ner_safetensors_count(const struct ner_safetensors *file);
const struct ner_tensor *ner_safetensors_at(const struct ner_safetensors *file, size_t i);
const struct ner_tensor *ner_safetensors_find(const struct ner_safetensors *file, const char *name);
/* Value of __metadata__.key, or NULL. */
const char *ner_safetensors_metadata(const struct ner_safetensors *file, const char *key);
const char *ner_safetensors_name(const struct ner_safetensors *file); /* path or what */

/* "F32", "I8", ... and bytes an element takes (0: OTHER). */
const char *ner_dtype_name(enum ner_dtype dtype);
size_t ner_dtype_bytes(enum ner_dtype dtype);

/* Elements [first, first + n) of an F32, F16, BF16 or F64 tensor as floats. */
void ner_tensor_to_f32(const struct ner_tensor *tensor, uint64_t first, uint64_t n, float *out);
void ner_widen_f32(enum ner_dtype dtype, const unsigned char *data, uint64_t n, float *out);

/* Writes a file of these tensors. A tensor whose size is a multiple of 64 bytes begins at a
** multiple of 64 bytes of the file. metadata: key, value pairs, NULL-terminated. The file is
** written beside the target and renamed into place; `cancel` is polled while writing. */
int ner_safetensors_write(const char *path, const struct ner_tensor *tensors, size_t n,
                          const char *const *metadata, const struct ner_cancel *cancel,
                          struct ner_err *err);

#pragma GCC visibility pop
#endif
