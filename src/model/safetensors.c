/*
** safetensors.c - reads safetensors files; see safetensors.h.
**
** A file is N (8 bytes, little-endian), then N bytes of JSON (name → {dtype, shape, data_offsets}),
** then the data. Files are treated as untrusted input: the tensors must tile the data exactly,
** without holes, overlaps or a remainder, and each must be as long as its shape says. Reference:
** safetensors, src/tensor.rs. Stricter than the reference: the header begins with '{'; no duplicate
** names, no unknown keys in a tensor, no arrays in place of objects; the bounds below.
*/
#include "model/safetensors.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "model/file_type.h"
#include "model/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "safetensors data is little-endian and is used in place");

#define SAFETENSORS_MAX_HEADER_BYTES (16u << 20)
#define SAFETENSORS_MAX_TENSORS      4096
#define SAFETENSORS_MAX_NAME_BYTES   512

struct safetensors_record {
  struct ner_tensor tensor;
  uint64_t begin, end; /* in the data */
};

struct safetensors_pair {
  char *key, *value;
};

struct ner_safetensors {
  char *name;
  struct ner_file source;            /* {0}: the bytes are the caller's */
  struct safetensors_record *record; /* [n_records], by name */
  size_t n_records, cap_records;
  struct safetensors_pair *pair; /* __metadata__ */
  size_t n_pairs, cap_pairs;
};

/* ---- dtypes ---- */

static const struct safetensors_dtype {
  const char *name;
  int bits;
  enum ner_dtype dtype;
} safetensors_dtypes[] = {
    {"F32", 32, NER_DTYPE_F32},
    {"F16", 16, NER_DTYPE_F16},
    {"BF16", 16, NER_DTYPE_BF16},
    {"F64", 64, NER_DTYPE_F64},
    {"I8", 8, NER_DTYPE_I8},
    {"U8", 8, NER_DTYPE_U8},
    {"I32", 32, NER_DTYPE_I32},
    {"BOOL", 8, NER_DTYPE_OTHER},
    {"F4", 4, NER_DTYPE_OTHER},
    {"F6_E2M3", 6, NER_DTYPE_OTHER},
    {"F6_E3M2", 6, NER_DTYPE_OTHER},
    {"F8_E5M2", 8, NER_DTYPE_OTHER},
    {"F8_E4M3", 8, NER_DTYPE_OTHER},
    {"F8_E8M0", 8, NER_DTYPE_OTHER},
    {"F8_E4M3FNUZ", 8, NER_DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, NER_DTYPE_OTHER},
    {"I16", 16, NER_DTYPE_OTHER},
    {"U16", 16, NER_DTYPE_OTHER},
    {"U32", 32, NER_DTYPE_OTHER},
    {"C64", 64, NER_DTYPE_OTHER},
    {"I64", 64, NER_DTYPE_OTHER},
    {"U64", 64, NER_DTYPE_OTHER},
};
#define N_SAFETENSORS_DTYPES (sizeof safetensors_dtypes / sizeof safetensors_dtypes[0])

const char *ner_dtype_name(enum ner_dtype dtype) {
  for( size_t i = 0; i < N_SAFETENSORS_DTYPES; i++ )
    if( safetensors_dtypes[i].dtype == dtype && dtype != NER_DTYPE_OTHER )
      return safetensors_dtypes[i].name;
  return "another type";
}

size_t ner_dtype_bytes(enum ner_dtype dtype) {
  for( size_t i = 0; i < N_SAFETENSORS_DTYPES; i++ )
    if( safetensors_dtypes[i].dtype == dtype && dtype != NER_DTYPE_OTHER )
      return (size_t)safetensors_dtypes[i].bits / 8;
  return 0;
}

/* ---- the header ---- */

struct safetensors_parse {
  struct ner_safetensors *file;
  struct ner_json *json;
  bool seen_metadata;
  /* The tensor being read. */
  struct safetensors_record now;
  const struct safetensors_dtype *dtype;
  bool seen_dtype, seen_shape, seen_offsets;
};

static int safetensors_bad_tensor(struct safetensors_parse *p, struct ner_err *err,
                                  const char *why) {
  return ner_fail(err, NER_ERROR, "%s: tensor '%s': %s" NER_FETCH_AGAIN, p->file->name,
                  p->now.tensor.name, why);
}

/* An array of plain unsigned integers, as SQLite gives it back (no blanks). Parsed
** from its text, in which "-0" and "1.0" still differ from integers. */
static bool safetensors_numbers(const char *s, size_t n, uint64_t *out, int max, int *n_out) {
  const char *end = s + n;
  *n_out = 0;
  if( n < 2 || *s++ != '[' ) return false;
  if( *s == ']' ) return s + 1 == end;
  for( ;; ) {
    uint64_t value = 0;
    if( *n_out == max || s == end || *s < '0' || *s > '9' ) return false;
    for( ; s < end && *s >= '0' && *s <= '9'; s++ )
      if( !ner_mul_u64(value, 10, &value) || !ner_add_u64(value, (uint64_t)(*s - '0'), &value) )
        return false;
    out[(*n_out)++] = value;
    if( s == end ) return false;
    if( *s == ']' ) return s + 1 == end;
    if( *s++ != ',' ) return false;
  }
}

static int safetensors_on_field(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct safetensors_parse *p = arg;
  if( ner_json_key_is(item, "dtype") ) {
    if( p->seen_dtype || item->type != NER_JSON_STRING )
      return safetensors_bad_tensor(p, err, "dtype is not one string");
    for( size_t i = 0; i < N_SAFETENSORS_DTYPES; i++ )
      if( strcmp(item->string, safetensors_dtypes[i].name) == 0 ) p->dtype = &safetensors_dtypes[i];
    if( !p->dtype ) return safetensors_bad_tensor(p, err, "dtype is unknown");
    p->seen_dtype = true;
  } else if( ner_json_key_is(item, "shape") ) {
    if( p->seen_shape || item->type != NER_JSON_ARRAY ||
        !safetensors_numbers(item->string, item->n_string, p->now.tensor.shape, NER_TENSOR_RANK,
                             &p->now.tensor.rank) )
      return safetensors_bad_tensor(p, err,
                                    "shape is not one array of at most 8 unsigned integers");
    p->seen_shape = true;
  } else if( ner_json_key_is(item, "data_offsets") ) {
    uint64_t offset[2];
    int n;
    if( p->seen_offsets || item->type != NER_JSON_ARRAY ||
        !safetensors_numbers(item->string, item->n_string, offset, 2, &n) || n != 2 )
      return safetensors_bad_tensor(p, err,
                                    "data_offsets is not one array of two unsigned integers");
    p->now.begin = offset[0];
    p->now.end = offset[1];
    p->seen_offsets = true;
  } else
    return safetensors_bad_tensor(p, err, "has a key other than dtype, shape and data_offsets");
  return NER_OK;
}

/* Bytes of a tensor by its shape. Multiplied in order and checked at each step, so
** that an overflow before a zero counts, as in the reference. */
static bool safetensors_shape_bytes(const struct ner_tensor *tensor, int bits, uint64_t *out) {
  uint64_t n = 1;
  for( int i = 0; i < tensor->rank; i++ )
    if( !ner_mul_u64(n, tensor->shape[i], &n) ) return false;
  if( !ner_mul_u64(n, (uint64_t)bits, &n) || n % 8 != 0 ) return false;
  *out = n / 8;
  return true;
}

static int safetensors_add_tensor(struct safetensors_parse *p, const struct ner_json_item *item,
                                  struct ner_err *err) {
  struct ner_safetensors *file = p->file;
  int rc;
  memset(&p->now, 0, sizeof p->now);
  p->dtype = NULL;
  p->seen_dtype = p->seen_shape = p->seen_offsets = false;
  p->now.tensor.name = item->key; /* for messages, until it is copied */
  if( item->n_key > SAFETENSORS_MAX_NAME_BYTES )
    return ner_fail(err, NER_ERROR, "%s: a tensor's name has %zu bytes" NER_FETCH_AGAIN, file->name,
                    item->n_key);
  if( file->n_records == SAFETENSORS_MAX_TENSORS )
    return ner_fail(err, NER_ERROR, "%s: more than %d tensors" NER_FETCH_AGAIN, file->name,
                    SAFETENSORS_MAX_TENSORS);
  if( item->type != NER_JSON_OBJECT ) /* the name is not known to be a tensor's: not repeated */
    return ner_fail(err, NER_ERROR, "%s: a tensor is not described by an object" NER_FETCH_AGAIN,
                    file->name);
  if( (rc = ner_json_each_in(p->json, item, safetensors_on_field, p, err)) ) return rc;
  if( !p->seen_dtype || !p->seen_shape || !p->seen_offsets )
    return safetensors_bad_tensor(p, err, "lacks dtype, shape or data_offsets");
  p->now.tensor.dtype = p->dtype->dtype;
  if( !safetensors_shape_bytes(&p->now.tensor, p->dtype->bits, &p->now.tensor.n_bytes) )
    return safetensors_bad_tensor(p, err, "shape asks for more than can be, or for part of a byte");
  if( p->now.end < p->now.begin || p->now.end - p->now.begin != p->now.tensor.n_bytes )
    return safetensors_bad_tensor(p, err, "data_offsets and shape disagree");
  if( ner_grow((void **)&file->record, &file->cap_records, file->n_records + 1,
               sizeof *file->record) )
    return ner_fail_nomem(err);
  p->now.tensor.name = ner_strndup(item->key, item->n_key);
  if( !p->now.tensor.name ) return ner_fail_nomem(err);
  file->record[file->n_records++] = p->now;
  return NER_OK;
}

static int safetensors_on_metadata(void *arg, const struct ner_json_item *item,
                                   struct ner_err *err) {
  struct ner_safetensors *file = ((struct safetensors_parse *)arg)->file;
  struct safetensors_pair *pair;
  if( item->type != NER_JSON_STRING )
    return ner_fail(err, NER_ERROR,
                    "%s: __metadata__ holds something other than strings" NER_FETCH_AGAIN,
                    file->name);
  if( ner_grow((void **)&file->pair, &file->cap_pairs, file->n_pairs + 1, sizeof *file->pair) )
    return ner_fail_nomem(err);
  pair = &file->pair[file->n_pairs++];
  pair->key = ner_strndup(item->key, item->n_key);
  pair->value = ner_strndup(item->string, item->n_string);
  return pair->key && pair->value ? NER_OK : ner_fail_nomem(err);
}

static int safetensors_on_entry(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct safetensors_parse *p = arg;
  if( !ner_json_key_is(item, "__metadata__") ) return safetensors_add_tensor(p, item, err);
  if( p->seen_metadata || item->type != NER_JSON_OBJECT )
    return ner_fail(err, NER_ERROR, "%s: __metadata__ is not one object" NER_FETCH_AGAIN,
                    p->file->name);
  p->seen_metadata = true;
  return ner_json_each_in(p->json, item, safetensors_on_metadata, p, err);
}

static int safetensors_by_offset(const void *a, const void *b) {
  const struct safetensors_record *x = a, *y = b;
  if( x->begin != y->begin ) return x->begin < y->begin ? -1 : 1;
  if( x->end != y->end ) return x->end < y->end ? -1 : 1;
  return 0;
}

static int safetensors_by_name(const void *a, const void *b) {
  const struct safetensors_record *x = a, *y = b;
  return strcmp(x->tensor.name, y->tensor.name);
}

/* Checks that the tensors tile data [n_bytes], then gives them pointers into it. */
static int safetensors_place(struct ner_safetensors *file, const unsigned char *data,
                             uint64_t n_bytes, struct ner_err *err) {
  uint64_t at = 0;
  if( file->n_records )
    qsort(file->record, file->n_records, sizeof *file->record, safetensors_by_offset);
  for( size_t i = 0; i < file->n_records; i++ ) {
    struct safetensors_record *r = &file->record[i];
    if( r->begin != at )
      return ner_fail(err, NER_ERROR,
                      "%s: tensor '%s' begins at byte %llu of the data, not at %llu where the "
                      "one before it ends" NER_FETCH_AGAIN,
                      file->name, r->tensor.name, (unsigned long long)r->begin,
                      (unsigned long long)at);
    at = r->end;
  }
  if( at != n_bytes )
    return ner_fail(err, NER_ERROR,
                    "%s: holds %llu bytes of data but its tensors take %llu" NER_FETCH_AGAIN,
                    file->name, (unsigned long long)n_bytes, (unsigned long long)at);
  for( size_t i = 0; i < file->n_records; i++ )
    file->record[i].tensor.data = data + file->record[i].begin;
  if( file->n_records )
    qsort(file->record, file->n_records, sizeof *file->record, safetensors_by_name);
  for( size_t i = 1; i < file->n_records; i++ )
    if( safetensors_by_name(&file->record[i - 1], &file->record[i]) == 0 )
      return ner_fail(err, NER_ERROR, "%s: tensor '%s' is there twice" NER_FETCH_AGAIN, file->name,
                      file->record[i].tensor.name);
  return NER_OK;
}

/* Fails with what the file is instead, which its first bytes tell. */
static int safetensors_fail(struct ner_safetensors *file, const unsigned char *bytes,
                            size_t n_bytes, const char *why, struct ner_err *err) {
  size_t n = n_bytes < NER_FILE_TYPE_BYTES ? n_bytes : NER_FILE_TYPE_BYTES;
  int rc = ner_file_read_range(&file->source, file->name, 0, n, err);
  return rc ? rc : ner_fail_no_weights(file->name, bytes, n, why, err);
}

/* Reads only ranges that are known to lie in the file. No message repeats bytes of a file whose
** header is not JSON: it may be any file at all. */
static int safetensors_parse_file(struct ner_safetensors *file, const unsigned char *bytes,
                                  size_t n_bytes, struct ner_err *err) {
  struct safetensors_parse p = {.file = file};
  uint64_t n_header = 0;
  char why[64];
  int rc;
  if( n_bytes < 8 ) {
    snprintf(why, sizeof why, "only %zu bytes long", n_bytes);
    return safetensors_fail(file, bytes, n_bytes, why, err);
  }
  if( (rc = ner_file_read_range(&file->source, file->name, 0, 8, err)) ) return rc;
  memcpy(&n_header, bytes, 8);
  if( n_header > SAFETENSORS_MAX_HEADER_BYTES || n_header > n_bytes - 8 )
    return safetensors_fail(file, bytes, n_bytes,
                            "announces a header of more bytes than it can have", err);
  if( (rc = ner_file_read_range(&file->source, file->name, 8, 8 + (size_t)n_header, err)) )
    return rc;
  if( n_header == 0 || bytes[8] != '{' )
    return safetensors_fail(file, bytes, n_bytes, "the header does not begin with '{'", err);
  rc = ner_json_open((const char *)bytes + 8, (size_t)n_header, file->name, &p.json, err);
  if( rc == NER_OK ) rc = ner_json_each(p.json, "$", safetensors_on_entry, &p, err);
  ner_json_close(p.json);
  if( rc ) return rc;
  return safetensors_place(file, bytes + 8 + n_header, n_bytes - 8 - n_header, err);
}

/* Takes ownership of `source`, also on failure. */
static int safetensors_open(const unsigned char *bytes, size_t n_bytes, struct ner_file source,
                            const char *what, struct ner_safetensors **out, struct ner_err *err) {
  struct ner_safetensors *file = ner_calloc(1, sizeof *file);
  int rc;
  *out = NULL;
  if( !file ) {
    ner_file_close(&source);
    return ner_fail_nomem(err);
  }
  file->source = source;
  file->name = ner_strndup(what, strlen(what));
  rc = file->name ? safetensors_parse_file(file, bytes, n_bytes, err) : ner_fail_nomem(err);
  if( rc )
    ner_safetensors_close(file);
  else
    *out = file;
  return rc;
}

int ner_safetensors_open_bytes(const unsigned char *bytes, size_t n_bytes, const char *what,
                               struct ner_safetensors **out, struct ner_err *err) {
  const struct ner_file none = {0};
  return safetensors_open(bytes, n_bytes, none, what, out, err);
}

int ner_safetensors_open(const char *path, struct ner_safetensors **out, struct ner_err *err) {
  struct ner_file source;
  int rc = ner_file_open(path, &source, err);
  *out = NULL;
  if( rc ) return rc;
  return safetensors_open(source.bytes, source.n_bytes, source, path, out, err);
}

void ner_safetensors_set_cancel(struct ner_safetensors *file, const struct ner_cancel *cancel) {
  file->source.cancel = cancel;
}

/* Where a tensor's data begins in the file. */
static size_t safetensors_data_begin(const struct ner_safetensors *file,
                                     const struct ner_tensor *tensor) {
  return file->source.bytes ? (size_t)(tensor->data - file->source.bytes) : 0;
}

int ner_safetensors_read(struct ner_safetensors *file, const struct ner_tensor *tensor,
                         struct ner_err *err) {
  size_t begin = safetensors_data_begin(file, tensor);
  return ner_file_read_range(&file->source, file->name, begin, begin + (size_t)tensor->n_bytes,
                             err);
}

void ner_safetensors_discard(struct ner_safetensors *file, const struct ner_tensor *tensor) {
  size_t begin = safetensors_data_begin(file, tensor);
  ner_file_discard(&file->source, begin, begin + (size_t)tensor->n_bytes);
}

int ner_safetensors_finalize(struct ner_safetensors *file, struct ner_err *err) {
  return ner_file_finalize(&file->source, file->name, err);
}

void ner_safetensors_close(struct ner_safetensors *file) {
  if( !file ) return;
  for( size_t i = 0; i < file->n_records; i++ ) NER_FREE((void *)file->record[i].tensor.name);
  for( size_t i = 0; i < file->n_pairs; i++ ) {
    NER_FREE(file->pair[i].key);
    NER_FREE(file->pair[i].value);
  }
  NER_FREE(file->record);
  NER_FREE(file->pair);
  NER_FREE(file->name);
  ner_file_close(&file->source);
  NER_FREE(file);
}

/* ---- contents ---- */

size_t ner_safetensors_count(const struct ner_safetensors *file) {
  return file->n_records;
}

const struct ner_tensor *ner_safetensors_at(const struct ner_safetensors *file, size_t i) {
  return &file->record[i].tensor;
}

static int safetensors_against_name(const void *name, const void *record) {
  return strcmp(name, ((const struct safetensors_record *)record)->tensor.name);
}

const struct ner_tensor *ner_safetensors_find(const struct ner_safetensors *file,
                                              const char *name) {
  const struct safetensors_record *found = NULL;
  if( file->n_records )
    found = bsearch(name, file->record, file->n_records, sizeof *file->record,
                    safetensors_against_name);
  return found ? &found->tensor : NULL;
}

const char *ner_safetensors_metadata(const struct ner_safetensors *file, const char *key) {
  for( size_t i = 0; i < file->n_pairs; i++ )
    if( strcmp(file->pair[i].key, key) == 0 ) return file->pair[i].value;
  return NULL;
}

const char *ner_safetensors_name(const struct ner_safetensors *file) {
  return file->name;
}

/* ---- values ---- */

/* IEEE half → single, exact. Subnormal halves are normal floats: shift the
** leading one into place, lowering the exponent from -14 as it moves. */
static float tensor_half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3ff;
  uint32_t bits;
  float out;
  if( exponent == 31 )
    bits = sign | 0x7f800000u | fraction << 13;
  else if( exponent )
    bits = sign | (exponent + 127 - 15) << 23 | fraction << 13;
  else if( fraction ) {
    exponent = 127 - 14;
    for( ; !(fraction & 0x400); exponent-- ) fraction <<= 1;
    bits = sign | exponent << 23 | (fraction & 0x3ff) << 13;
  } else
    bits = sign;
  memcpy(&out, &bits, sizeof out);
  return out;
}

/* Rounds as torch does. C leaves conversions beyond float's range undefined. */
static float tensor_double_to_float(const unsigned char *bytes) {
  double value;
  memcpy(&value, bytes, sizeof value);
  if( value > FLT_MAX ) return value > FLT_MAX * (1 + 0x1p-25) ? INFINITY : FLT_MAX;
  if( value < -FLT_MAX ) return value < -FLT_MAX * (1 + 0x1p-25) ? -INFINITY : -FLT_MAX;
  return (float)value;
}

void ner_widen_f32(enum ner_dtype dtype, const unsigned char *data, uint64_t n, float *out) {
  if( n == 0 ) return;
  if( dtype == NER_DTYPE_F32 ) {
    memcpy(out, data, (size_t)n * 4);
    return;
  }
  if( dtype == NER_DTYPE_F64 ) {
    for( uint64_t i = 0; i < n; i++ ) out[i] = tensor_double_to_float(data + i * 8);
    return;
  }
  for( uint64_t i = 0; i < n; i++ ) {
    uint16_t half;
    memcpy(&half, data + i * 2, 2);
    if( dtype == NER_DTYPE_F16 )
      out[i] = tensor_half_to_float(half);
    else {
      uint32_t bits = (uint32_t)half << 16;
      memcpy(&out[i], &bits, 4);
    }
  }
}

void ner_tensor_to_f32(const struct ner_tensor *tensor, uint64_t first, uint64_t n, float *out) {
  ner_widen_f32(tensor->dtype, tensor->data + first * ner_dtype_bytes(tensor->dtype), n, out);
}
