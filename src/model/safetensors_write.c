/*
** safetensors_write.c - writes safetensors files; see safetensors.h.
**
** The header is padded with blanks so that the data begins at a multiple of 64 bytes of the file.
** Tensors whose size is a multiple of 64 bytes come first, so that each begins at such a multiple.
** The others follow in order of decreasing element width, which keeps every element aligned.
*/
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

struct safetensors_header {
  char *text;
  size_t n, cap;
};

static int header_append(struct safetensors_header *h, const char *s) {
  size_t n = strlen(s);
  if( ner_grow((void **)&h->text, &h->cap, h->n + n + 1, 1) ) return NER_NOMEM;
  memcpy(h->text + h->n, s, n + 1);
  h->n += n;
  return NER_OK;
}

/* Names, keys and values are UTF-8: only what JSON requires is escaped. */
static int header_append_string(struct safetensors_header *h, const char *s) {
  if( header_append(h, "\"") ) return NER_NOMEM;
  for( ; *s; s++ ) {
    char c[8] = {*s, 0};
    if( *s == '"' || *s == '\\' )
      snprintf(c, sizeof c, "\\%c", *s);
    else if( (unsigned char)*s < 0x20 )
      snprintf(c, sizeof c, "\\u%04x", (unsigned)*s);
    if( header_append(h, c) ) return NER_NOMEM;
  }
  return header_append(h, "\"");
}

static int header_append_number(struct safetensors_header *h, uint64_t value) {
  char s[24];
  snprintf(s, sizeof s, "%llu", (unsigned long long)value);
  return header_append(h, s);
}

static int header_append_metadata(struct safetensors_header *h, const char *const *metadata) {
  if( header_append(h, "\"__metadata__\":{") ) return NER_NOMEM;
  for( size_t i = 0; metadata[i]; i += 2 )
    if( (i && header_append(h, ",")) || header_append_string(h, metadata[i]) ||
        header_append(h, ":") || header_append_string(h, metadata[i + 1]) )
      return NER_NOMEM;
  return header_append(h, "}");
}

static int header_append_tensor(struct safetensors_header *h, const struct ner_tensor *tensor,
                                uint64_t begin) {
  if( header_append_string(h, tensor->name) || header_append(h, ":{\"dtype\":") ||
      header_append_string(h, ner_dtype_name(tensor->dtype)) || header_append(h, ",\"shape\":[") )
    return NER_NOMEM;
  for( int i = 0; i < tensor->rank; i++ )
    if( (i && header_append(h, ",")) || header_append_number(h, tensor->shape[i]) )
      return NER_NOMEM;
  if( header_append(h, "],\"data_offsets\":[") || header_append_number(h, begin) ||
      header_append(h, ",") || header_append_number(h, begin + tensor->n_bytes) )
    return NER_NOMEM;
  return header_append(h, "]}");
}

static int header_by_alignment(const void *a, const void *b) {
  const struct ner_tensor *x = *(const struct ner_tensor *const *)a;
  const struct ner_tensor *y = *(const struct ner_tensor *const *)b;
  size_t wx = ner_dtype_bytes(x->dtype), wy = ner_dtype_bytes(y->dtype);
  bool odd_x = x->n_bytes % 64 != 0, odd_y = y->n_bytes % 64 != 0;
  if( odd_x != odd_y ) return odd_x - odd_y;
  if( odd_x && wx != wy ) return wx > wy ? -1 : 1;
  return x < y ? -1 : x > y; /* in the order given: pointers into one array */
}

static int header_make(struct safetensors_header *h, const struct ner_tensor *const *sorted,
                       size_t n, const char *const *metadata) {
  uint64_t at = 0;
  if( header_append(h, "{") || (metadata && header_append_metadata(h, metadata)) ) return NER_NOMEM;
  for( size_t i = 0; i < n; i++ ) {
    if( ((i || metadata) && header_append(h, ",")) || header_append_tensor(h, sorted[i], at) )
      return NER_NOMEM;
    at += sorted[i]->n_bytes;
  }
  if( header_append(h, "}") ) return NER_NOMEM;
  while( (8 + h->n) % 64 != 0 )
    if( header_append(h, " ") ) return NER_NOMEM;
  return NER_OK;
}

int ner_safetensors_write(const char *path, const struct ner_tensor *tensors, size_t n,
                          const char *const *metadata, const struct ner_cancel *cancel,
                          struct ner_err *err) {
  const struct ner_tensor **sorted = ner_alloc(n, sizeof *sorted);
  struct ner_file_writer writer;
  struct safetensors_header header = {0};
  uint64_t n_header;
  int rc = sorted ? NER_OK : ner_fail_nomem(err);
  for( size_t i = 0; i < n && sorted; i++ ) sorted[i] = &tensors[i];
  if( rc == NER_OK ) {
    qsort(sorted, n, sizeof *sorted, header_by_alignment);
    if( header_make(&header, sorted, n, metadata) ) rc = ner_fail_nomem(err);
  }
  if( rc == NER_OK && (rc = ner_file_write_begin(&writer, path, err)) == NER_OK ) {
    n_header = header.n;
    writer.cancel = cancel;
    rc = ner_file_write(&writer, &n_header, 8, err);
    if( rc == NER_OK ) rc = ner_file_write(&writer, header.text, header.n, err);
    for( size_t i = 0; i < n && rc == NER_OK; i++ )
      rc = ner_file_write(&writer, sorted[i]->data, sorted[i]->n_bytes, err);
    if( rc == NER_OK )
      rc = ner_file_write_commit(&writer, err);
    else
      ner_file_write_abort(&writer);
  }
  NER_FREE(header.text);
  NER_FREE(sorted);
  return rc;
}
