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
  NER_DTYPE_OTHER, /* known to the format, of no use to us */
};

struct ner_tensor {
  const char *name; /* terminated, without NUL inside */
  enum ner_dtype dtype;
  int rank;
  uint64_t shape[NER_TENSOR_RANK];
  const unsigned char *data; /* [n_bytes], any alignment; of a file: once it is read */
  uint64_t n_bytes;
};

struct ner_safetensors;

/* Opens a file or bytes that outlive it (the embedded model). `what` names the bytes in errors.
** Of a file only the header is read yet: each tensor's data is there after
** ner_safetensors_read(), and may be given back with ner_safetensors_forget(). Then
** ner_safetensors_settle() fails if the file was changed meanwhile, and lets go of
** it: what was read stays, whatever becomes of the file. */
int ner_safetensors_open(const char *path, struct ner_safetensors **out, struct ner_err *err);
/* Reading asks `cancel`, which must last until settling, every few MB whether to go on. */
void ner_safetensors_set_cancel(struct ner_safetensors *file, const struct ner_cancel *cancel);
int ner_safetensors_open_bytes(const unsigned char *bytes, size_t n_bytes, const char *what,
                               struct ner_safetensors **out, struct ner_err *err);
int ner_safetensors_read(struct ner_safetensors *file, const struct ner_tensor *tensor,
                         struct ner_err *err);
void ner_safetensors_forget(struct ner_safetensors *file, const struct ner_tensor *tensor);
int ner_safetensors_settle(struct ner_safetensors *file, struct ner_err *err);
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

/* Writes a file of these tensors, each beginning at a multiple of 64 bytes of the file
** where the format allows it (tensors sorted so that it does; padding tensors are not
** needed when sizes are multiples of 64). metadata: key, value pairs, NULL-terminated.
** Written beside the target and renamed into place, unless `cancel` says to end. */
int ner_safetensors_write(const char *path, const struct ner_tensor *tensors, size_t n,
                          const char *const *metadata, const struct ner_cancel *cancel,
                          struct ner_err *err);

#pragma GCC visibility pop
#endif
