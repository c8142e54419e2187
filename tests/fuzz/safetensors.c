/*
** safetensors.c - fuzzes the reader of safetensors files, and the models made from them: one-file
** models, and the weights of a Hugging Face directory. The input is the file.
**
** A mutator of our own keeps the header's length right and the tensors end to end, so that most
** mutations get behind those checks.
*/
#include "fuzz.h"

static const char sentence[] = "Anna lives in Rome. aba";

/* The directory whose model.safetensors the input becomes. */
static struct tiny tiny(bool bert) {
  struct tiny t = bert ? tiny_bert() : tiny_distilbert();
  t.layers = 1, t.hidden = 4, t.heads = 2, t.ffn = 4, t.positions = 8;
  return t;
}
static char dirs[2][TEST_PATH]; /* DistilBERT, BERT */

static void remove_dirs(void) {
  for( int i = 0; i < 2; i++ ) test_dir_remove(dirs[i]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  fuzz_begin();
  for( int bert = 0; bert < 2; bert++ ) {
    struct tiny t = tiny(bert);
    test_dir_make(dirs[bert]);
    tiny_write(dirs[bert], &t);
  }
  atexit(remove_dirs);
  return 0;
}

/* What the reader lets through: tensors that lie in the file, end to end, of the size their shape
** says. All of it is read. Returns whether it calls itself one of our own. */
static bool check_file(const struct ner_safetensors *file, const unsigned char *bytes, size_t n) {
  const char *format = ner_safetensors_metadata(file, "format");
  uint64_t sum = 0, total = 0, n_header;
  memcpy(&n_header, bytes, 8);
  for( size_t i = 0; i < ner_safetensors_count(file); i++ ) {
    const struct ner_tensor *t = ner_safetensors_at(file, i);
    uint64_t elements = 1;
    check(ner_safetensors_find(file, t->name) == t);
    check(t->rank >= 0 && t->rank <= NER_TENSOR_RANK);
    check(t->data >= bytes + 8 + n_header && t->n_bytes <= (uint64_t)(bytes + n - t->data));
    for( int k = 0; k < t->rank; k++ ) elements *= t->shape[k];
    if( t->dtype != NER_DTYPE_OTHER )
      check(elements * ner_dtype_bytes(t->dtype) == t->n_bytes);
    for( uint64_t k = 0; k < t->n_bytes; k++ ) sum += t->data[k];
    if( t->dtype == NER_DTYPE_F32 || t->dtype == NER_DTYPE_F16 || t->dtype == NER_DTYPE_BF16 ||
        t->dtype == NER_DTYPE_F64 ) {
      float *values = malloc(elements * sizeof *values + 1);
      check(values);
      ner_tensor_to_f32(t, 0, elements, values);
      free(values);
    }
    total += t->n_bytes;
  }
  for( uint64_t k = 0; k < n - 8 - n_header; k++ ) sum -= bytes[8 + n_header + k];
  check(total == n - 8 - n_header && sum == 0);
  return format && strcmp(format, "sqlite-ner") == 0;
}

/* From memory that ends where the file ends; then the same through the file system, in a precision
** of the last byte's choice. */
static void try_own(const char *bytes, size_t n) {
  static const enum ner_precision asked[] = {NER_PRECISION_FILE, NER_PRECISION_FILE,
                                             NER_PRECISION_F32, NER_PRECISION_INT8};
  const enum ner_precision precision = asked[bytes[n - 1] & 3];
  struct ner_safetensors *file;
  struct ner_model *model = NULL;
  enum ner_precision found;
  struct ner_err err = {0};
  char path[TEST_PATH];
  int rc;
  check(ner_safetensors_open_bytes((const unsigned char *)bytes, n, "(fuzz)", &file, &err) == NER_OK);
  rc = ner_model_from_file(file, NER_PRECISION_FILE, &model, &err);
  check(rc == err.code && rc != NER_NOMEM && (rc == NER_OK) == (model != NULL));
  if( rc != NER_OK ) return;
  fuzz_use_model(model, sentence, sizeof sentence - 1);
  found = model->precision;
  ner_model_unref(model);
  test_write(fuzz_dir, "own.safetensors", bytes, n);
  rc = ner_model_open(test_path(path, fuzz_dir, "own.safetensors"), precision, &model, &err);
  check((rc == NER_OK) == (precision == NER_PRECISION_FILE || precision == found));
  if( rc != NER_OK ) return;
  check(model->n_bytes > 0 && model->n_bytes <= n + 4096);
  ner_model_unref(model);
}

/* As one or the other architecture and precision; the last byte decides. Alone it is no model. */
static void try_directory(const char *bytes, size_t n) {
  const char *dir = dirs[bytes[n - 1] & 1];
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  char path[TEST_PATH];
  int rc;
  test_write(dir, "model.safetensors", bytes, n);
  check(ner_model_open(test_path(path, dir, "model.safetensors"), NER_PRECISION_FILE, &model,
                       &err) == NER_ERROR);
  err = (struct ner_err){0};
  rc = ner_model_open(dir, bytes[n - 1] & 2 ? NER_PRECISION_INT8 : NER_PRECISION_FILE, &model,
                      &err);
  check(rc == err.code && rc != NER_NOMEM && (rc == NER_OK) == (model != NULL));
  if( rc == NER_OK ) fuzz_use_model(model, sentence, sizeof sentence - 1);
  ner_model_unref(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n_bytes) {
  struct ner_safetensors *file = NULL;
  struct ner_err err = {0};
  char *bytes = fuzz_copy(input, n_bytes);
  int rc = ner_safetensors_open_bytes((unsigned char *)bytes, n_bytes, "(fuzz)", &file, &err);
  check(rc == err.code && rc != NER_NOMEM && (rc == NER_OK) == (file != NULL));
  if( rc == NER_OK ) {
    bool own = check_file(file, (unsigned char *)bytes, n_bytes);
    ner_safetensors_close(file);
    if( own )
      try_own(bytes, n_bytes);
    else
      try_directory(bytes, n_bytes);
  }
  free(bytes);
  return 0;
}

#ifdef NER_FUZZ

/* Puts a file together again; as much as fits. */
static size_t assemble(uint8_t *out, size_t max, const uint8_t *header, size_t n_header,
                       const uint8_t *data, size_t n_data) {
  uint64_t length;
  if( max < 8 ) return 0;
  if( n_header > max - 8 ) n_header = max - 8;
  if( n_data > max - 8 - n_header ) n_data = max - 8 - n_header;
  length = n_header;
  memcpy(out, &length, 8);
  memcpy(out + 8, header, n_header);
  memcpy(out + 8 + n_header, data, n_data);
  return 8 + n_header + n_data;
}

/* Replaces one of the header's numbers by one that is worth a try. */
static size_t change_number(char *header, size_t n, size_t max, unsigned seed) {
  static const char *const worth[] = {"0", "1", "2", "4", "16", "64", "255", "65536", "4294967295",
                                      "4294967296", "9223372036854775807", "18446744073709551615",
                                      "18446744073709551616", "-1", "1.0", "1e3", "", "null"};
  const char *to = worth[seed / 97 % (sizeof worth / sizeof *worth)];
  size_t at = n ? seed % n : 0, end, n_to = strlen(to);
  while( at < n && !(header[at] >= '0' && header[at] <= '9') ) at++;
  for( end = at; end < n && header[end] >= '0' && header[end] <= '9'; ) end++;
  if( at == n || n - (end - at) + n_to > max ) return n;
  memmove(header + at + n_to, header + end, n - end);
  memcpy(header + at, to, n_to);
  return n - (end - at) + n_to;
}

/* Lays the tensors end to end in the order of the header; *n_data is what they then take. */
static size_t retile(char *header, size_t n, size_t max, uint64_t *n_data) {
  static const char key[] = "\"data_offsets\":[";
  uint64_t at = 0;
  for( size_t i = 0; i + sizeof key < n; i++ ) {
    unsigned long long begin, end;
    char text[64], rest[64];
    int used = 0, n_text;
    if( memcmp(header + i, key, sizeof key - 1) != 0 ) continue;
    i += sizeof key - 1;
    snprintf(rest, sizeof rest, "%.*s", (int)(n - i < 60 ? n - i : 60), header + i);
    if( sscanf(rest, "%llu,%llu%n", &begin, &end, &used) < 2 || end < begin ) continue;
    n_text = snprintf(text, sizeof text, "%llu,%llu", (unsigned long long)at,
                      (unsigned long long)at + (end - begin));
    if( n - (size_t)used + (size_t)n_text > max ) continue;
    memmove(header + i + n_text, header + i + used, n - i - (size_t)used);
    memcpy(header + i, text, (size_t)n_text);
    n += (size_t)n_text - (size_t)used;
    at += end - begin;
  }
  *n_data = at;
  return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t max, unsigned seed) {
  uint64_t n_header = 0, n_data, wanted;
  uint8_t *header, *data;
  if( n >= 8 ) memcpy(&n_header, bytes, 8);
  if( n < 8 || n_header > n - 8 || seed % 16 == 0 ) return LLVMFuzzerMutate(bytes, n, max);
  n_data = n - 8 - n_header;
  header = calloc(1, max + 1), data = calloc(1, max + 1);
  check(header && data);
  memcpy(header, bytes + 8, n_header);
  memcpy(data, bytes + 8 + n_header, n_data);
  switch( seed / 16 % 8 ) {
  case 0:
  case 1:
  case 2: n_header = LLVMFuzzerMutate(header, n_header, max); break;
  case 3:
  case 4: n_data = LLVMFuzzerMutate(data, n_data, max); break;
  default: n_header = change_number((char *)header, n_header, max, seed / 128);
  }
  if( seed & 1 ) {
    n_header = retile((char *)header, n_header, max, &wanted);
    if( wanted <= max ) n_data = wanted;
  }
  n = assemble(bytes, max, header, n_header, data, n_data);
  free(header);
  free(data);
  return n;
}

#endif
