/*
** open.c - a directory, a file or the embedded bytes become a model, and a model becomes a file.
**
** A model is filled step by step: configuration with its labels, tokenizer, weights. Each step may
** fail; ner_model_free() takes a half-filled model.
*/
#include "model/open.h"

#include <string.h>
#include "base/file.h"
#include "model/bundled.h"
#include "model/file_type.h"
#include "model/internal.h"

static int open_read_config(const char *dir, struct ner_model *model, struct ner_err *err) {
  char *path = ner_file_join(dir, "config.json"), *text = NULL;
  size_t n;
  int rc;
  if( !path ) return ner_fail_nomem(err);
  if( ner_file_kind(path) == NER_FILE_MISSING )
    rc = ner_fail_lacks_config(dir, err);
  else if( (rc = ner_read_text(path, &text, &n, err)) == NER_OK )
    rc = ner_config_from_hf(text, n, path, model, err);
  NER_FREE(text);
  NER_FREE(path);
  return rc;
}

static int open_directory(const char *dir, enum ner_precision precision, bool head_optional,
                          const struct ner_cancel *cancel, struct ner_model **out,
                          struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_new(dir, &model, err);
  if( rc ) return rc;
  model->precision = precision == NER_PRECISION_INT8 ? NER_PRECISION_INT8 : NER_PRECISION_F32;
  model->head_optional = head_optional;
  if( (rc = open_read_config(dir, model, err)) || (rc = ner_tokenizer_from_hf(dir, model, err)) ||
      (rc = ner_weights_from_hf(dir, cancel, model, err)) )
    ner_model_free(model);
  else
    *out = model;
  return rc;
}

static int open_file(const char *path, enum ner_precision precision,
                     const struct ner_cancel *cancel, struct ner_model **out, struct ner_err *err) {
  struct ner_safetensors *file;
  int rc = ner_safetensors_open(path, &file, err);
  if( rc ) return rc;
  ner_safetensors_set_cancel(file, cancel);
  return ner_model_from_file(file, precision, out, err);
}

static int open_any(const char *path, enum ner_precision precision, bool head_optional,
                    const struct ner_cancel *cancel, struct ner_model **out, struct ner_err *err) {
  int rc;
  *out = NULL;
  switch( ner_file_kind(path) ) {
  case NER_FILE_MISSING:
    return ner_fail(err, NER_ERROR,
                    "'%s' does not exist; give a model directory, or a file that ner_convert "
                    "wrote",
                    path);
  case NER_FILE_DIRECTORY:
    rc = open_directory(path, precision, head_optional, cancel, out, err);
    break;
  default: rc = open_file(path, precision, cancel, out, err); break;
  }
  if( rc == NER_OK ) ner_model_finish(*out);
  return rc;
}

int ner_model_open_cancellable(const char *path, enum ner_precision precision,
                               const struct ner_cancel *cancel, struct ner_model **out,
                               struct ner_err *err) {
  return open_any(path, precision, false, cancel, out, err);
}

int ner_model_open_encoder(const char *path, const struct ner_cancel *cancel,
                           struct ner_model **out, struct ner_err *err) {
  return open_any(path, NER_PRECISION_FILE, true, cancel, out, err);
}

int ner_model_open(const char *path, enum ner_precision precision, struct ner_model **out,
                   struct ner_err *err) {
  return ner_model_open_cancellable(path, precision, NULL, out, err);
}

int ner_model_open_bundled(struct ner_model **out, struct ner_err *err) {
  struct ner_safetensors *file;
  size_t n_bytes;
  const unsigned char *bytes = ner_bundled(&n_bytes);
  int rc;
  *out = NULL;
  if( !bytes )
    return ner_fail(err, NER_ERROR,
                    "this build has no bundled model; load another one with ner_load(name, path), "
                    "set NER_MODEL to its path, or build with -DNER_BUNDLED_PATH");
  rc = ner_safetensors_open_bytes(bytes, n_bytes, "(bundled)", &file, err);
  if( rc == NER_OK ) rc = ner_model_from_file(file, NER_PRECISION_FILE, out, err);
  if( rc == NER_OK ) ner_model_finish(*out);
  return rc;
}

int ner_convert_cancellable(const char *source, const char *target, enum ner_precision precision,
                            const struct ner_cancel *cancel, struct ner_err *err) {
  struct ner_model *model;
  int rc = ner_model_open_cancellable(source, precision, cancel, &model, err);
  if( rc ) return rc;
  rc = ner_model_write(model, target, cancel, err);
  ner_model_free(model);
  return rc;
}

int ner_convert(const char *source, const char *target, enum ner_precision precision,
                struct ner_err *err) {
  return ner_convert_cancellable(source, target, precision, NULL, err);
}
