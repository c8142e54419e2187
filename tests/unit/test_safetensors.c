/* test_safetensors.c - the format: the reference's vectors (safetensors,
** src/tensor.rs), what we refuse beyond it, widening, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <sys/stat.h>
#include "model/safetensors.h"
#include "support.h"

/* Opens header + n_data zero bytes; the length field says n_header. */
static int open_parts(const char *header, size_t n_header, size_t n_data,
                      struct ner_safetensors **out, struct ner_err *err) {
  unsigned char bytes[8192] = {0};
  uint64_t n = n_header;
  memset(err, 0, sizeof *err);
  assert_true(8 + n_header + n_data <= sizeof bytes);
  memcpy(bytes, &n, 8);
  memcpy(bytes + 8, header, n_header);
  return ner_safetensors_open_bytes(bytes, 8 + n_header + n_data, "file", out, err);
}

#define PASS(header, n_data) check_pass(header, sizeof header - 1, n_data)
static void check_pass(const char *header, size_t n, size_t n_data) {
  struct ner_safetensors *file;
  struct ner_err err;
  if( open_parts(header, n, n_data, &file, &err) ) fail_msg("%s: %s", header, err.msg);
  ner_safetensors_close(file);
}

#define FAIL(header, n_data) check_fail(header, sizeof header - 1, n_data)
static void check_fail(const char *header, size_t n, size_t n_data) {
  struct ner_safetensors *file;
  struct ner_err err;
  if( open_parts(header, n, n_data, &file, &err) != NER_ERROR ) fail_msg("taken: %s", header);
  assert_null(file);
  if( memcmp(err.msg, "file: ", 6) != 0 || !strstr(err.msg, "fetch") )
    fail_msg("%s gave: %s", header, err.msg);
}

#define TEST_HEADER "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

static void reference_passes(void **state) {
  struct ner_safetensors *file;
  struct ner_err err = {0};
  const struct ner_tensor *t;
  assert_int_equal(sizeof TEST_HEADER - 1, 60);
  assert_int_equal(open_parts(TEST_HEADER, 60, 16, &file, &err), NER_OK);
  assert_int_equal(ner_safetensors_count(file), 1);
  t = ner_safetensors_find(file, "test");
  assert_non_null(t);
  assert_ptr_equal(t, ner_safetensors_at(file, 0));
  assert_int_equal(t->dtype, NER_DTYPE_I32);
  assert_int_equal(t->rank, 2);
  assert_int_equal(t->shape[0], 2);
  assert_int_equal(t->n_bytes, 16);
  assert_null(ner_safetensors_find(file, "tes"));
  assert_null(ner_safetensors_metadata(file, "format"));
  assert_string_equal(ner_safetensors_name(file), "file");
  ner_safetensors_close(file);
  PASS("{}", 0);
  PASS("{}\r \t\n", 0);
  PASS("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0);
  PASS("{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4);
  PASS("{ \"t\" : { \"data_offsets\" : [ 0 , 4 ] , \"shape\" : [ 1 ] , \"dtype\" : \"F32\" } }", 4);
  /* An overflow after a zero is none. */
  PASS("{\"t\":{\"dtype\":\"I32\",\"shape\":[0,9223372036854775808,4],\"data_offsets\":[0,0]}}", 0);
  /* Names are compared unescaped; the order in the header means nothing. */
  PASS("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},"
       "\"\\u0061\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
       4);
  PASS("{\"t\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1);
  PASS("{\"t\":{\"dtype\":\"I64\",\"shape\":[1,3],\"data_offsets\":[0,24]}}", 24);
}

static void reference_fails(void **state) {
  static const char ff[8] = "\xff\xff\xff\xff\xff\xff\xff\xff";
  char ten[1000] = "{";
  struct ner_safetensors *file;
  struct ner_err err = {0};
  FAIL(TEST_HEADER, 14);
  FAIL(TEST_HEADER, 15);
  FAIL(TEST_HEADER, 17);
  FAIL(TEST_HEADER, 40);
  for( size_t n = 0; n <= 8; n++ ) { /* empty, short, a length and nothing more */
    unsigned char bytes[8] = {60};
    memset(&err, 0, sizeof err);
    assert_int_equal(ner_safetensors_open_bytes(bytes, n, "file", &file, &err), NER_ERROR);
    assert_null(file);
    memset(&err, 0, sizeof err);
    assert_int_equal(ner_safetensors_open_bytes((const unsigned char *)ff, n, "file", &file, &err),
                     NER_ERROR);
  }
  FAIL("\xff", 0);
  FAIL("{", 0);
  FAIL("", 0);
  for( int i = 0; i < 10; i++ )
    sprintf(ten + strlen(ten),
            "%s\"weight_%d\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}",
            i ? "," : "", i);
  strcat(ten, "}");
  check_fail(ten, strlen(ten), 16);
  FAIL("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,4]}}", 16);
  FAIL("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,18446744073709551614],\"data_offsets\":[0,16]}}",
       16);
  FAIL("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,9223372036854775807],\"data_offsets\":[0,16]}}",
       16);
  FAIL("{\"t\":{\"dtype\":\"I32\",\"shape\":[9223372036854775808,4,0],\"data_offsets\":[0,0]}}", 0);
}

#define T(name, begin, end)                                                                        \
  "\"" name "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" #begin "," #end "]}"

static void layout_must_tile(void **state) {
  PASS("{" T("a", 0, 2) "," T("b", 2, 4) "}", 4);
  FAIL("{" T("a", 0, 2) "," T("b", 3, 5) "}", 5); /* hole */
  FAIL("{" T("a", 0, 2) "," T("b", 1, 3) "}", 3); /* overlap */
  FAIL("{" T("a", 1, 3) "}", 3);                  /* hole at the front */
  FAIL("{" T("a", 2, 0) "}", 2);                  /* backwards */
  FAIL("{" T("a", 18446744073709551615, 1) "}", 2);
  FAIL("{" T("a", 0, 18446744073709551616) "}", 2);
  FAIL("{" T("a", 0, 2) "}", 0);
  FAIL("{}", 1);
}

#define D(dtype, shape, offsets)                                                                   \
  "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void shapes_of_json(void **state) {
  PASS(D("\"U8\"", "[2]", "[0,2]"), 2);
  FAIL(" " D("\"U8\"", "[2]", "[0,2]"), 2); /* must begin with '{' */
  FAIL(D("\"U9\"", "[2]", "[0,2]"), 2);
  FAIL(D("8", "[2]", "[0,2]"), 2);
  FAIL(D("\"u8\"", "[2]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "2", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[2.0]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[2e0]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[-2]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[-0]", "[0,0]"), 0);
  FAIL(D("\"U8\"", "[\"2\"]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[[2]]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[null]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[2]", "[0]"), 2);
  FAIL(D("\"U8\"", "[2]", "[0,1,2]"), 2);
  FAIL(D("\"U8\"", "[2]", "[0,2.0]"), 2);
  FAIL(D("\"U8\"", "[2]", "{\"0\":0,\"1\":2}"), 2);
  PASS(D("\"U8\"", "[1,1,1,1,1,1,1,2]", "[0,2]"), 2);
  FAIL(D("\"U8\"", "[1,1,1,1,1,1,1,1,2]", "[0,2]"), 2); /* rank 9 */
  FAIL(D("\"F4\"", "[3]", "[0,1]"), 1);                 /* a byte and a half */
  FAIL("[]", 0);
  FAIL("{\"t\":[\"U8\",[2],[0,2]]}", 2);
  FAIL("{\"t\":null}", 0);
  FAIL("{\"t\":{\"dtype\":\"U8\",\"shape\":[2]}}", 2);
  FAIL("{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"x\":1}}", 2);
  FAIL("{\"t\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
  FAIL("{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
  FAIL("{" T("a", 0, 2) "}{}", 2);
  FAIL("{" T("a", 0, 2) ",}", 2);
}

static void names(void **state) {
  char long_name[1200];
  PASS("{" T("", 0, 2) "}", 2);
  FAIL("{" T("a\\u0000b", 0, 2) "}", 2);
  FAIL("{" T("\\ud800", 0, 2) "}", 2);
  /* Twice, where the tiling would not tell: nothing in them, and escaped. */
  FAIL("{\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
       "\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
       0);
  FAIL("{" T("a", 0, 2) "," T("\\u0061", 2, 4) "}", 4);
  for( int n = 512; n <= 513; n++ ) {
    char name[520];
    memset(name, 'n', sizeof name);
    name[n] = 0;
    snprintf(long_name, sizeof long_name,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", name);
    if( n == 512 )
      check_pass(long_name, strlen(long_name), 2);
    else
      check_fail(long_name, strlen(long_name), 2);
  }
}

static void metadata(void **state) {
  static const char text[] = "{\"__metadata__\":{\"format\":\"pt\",\"k\\u00e9\":\"\"}}";
  struct ner_safetensors *file;
  struct ner_err err = {0};
  assert_int_equal(open_parts(text, sizeof text - 1, 0, &file, &err), NER_OK);
  assert_int_equal(ner_safetensors_count(file), 0);
  assert_string_equal(ner_safetensors_metadata(file, "format"), "pt");
  assert_string_equal(ner_safetensors_metadata(file, "k\xc3\xa9"), "");
  assert_null(ner_safetensors_metadata(file, "other"));
  ner_safetensors_close(file);
  FAIL("{\"__metadata__\":{\"format\":1}}", 0);
  FAIL("{\"__metadata__\":{\"format\":{}}}", 0);
  FAIL("{\"__metadata__\":[]}", 0);
  FAIL("{\"__metadata__\":\"pt\"}", 0);
  FAIL("{\"__metadata__\":{},\"__metadata__\":{}}", 0);
}

static void too_many_tensors(void **state) {
  for( int n = 4096; n <= 4097; n++ ) {
    size_t used = 8, room = 8 + (size_t)n * 70;
    char *bytes = calloc(1, room);
    struct ner_safetensors *file;
    struct ner_err err = {0};
    uint64_t n_header;
    assert_non_null(bytes);
    for( int i = 0; i < n; i++ )
      used += (size_t)sprintf(bytes + used,
                              "%s\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                              i ? "," : "{", i);
    bytes[used++] = '}';
    n_header = used - 8;
    memcpy(bytes, &n_header, 8);
    assert_int_equal(ner_safetensors_open_bytes((unsigned char *)bytes, used, "file", &file, &err),
                     n == 4096 ? NER_OK : NER_ERROR);
    if( n == 4096 ) assert_non_null(ner_safetensors_find(file, "4095"));
    ner_safetensors_close(file);
    free(bytes);
  }
}

/* Every cut and every single-bit flip of a small file: an answer, never a crash. */
static void damage(void **state) {
  unsigned char bytes[84] = {60};
  memcpy(bytes + 8, TEST_HEADER, 60);
  for( size_t n = 0; n < sizeof bytes; n++ ) {
    unsigned char *cut = malloc(n ? n : 1); /* so that ASan sees one byte too far */
    struct ner_safetensors *file;
    struct ner_err err = {0};
    assert_non_null(cut);
    memcpy(cut, bytes, n);
    assert_int_equal(ner_safetensors_open_bytes(cut, n, "file", &file, &err), NER_ERROR);
    free(cut);
  }
  for( int bit = 0; bit < 68 * 8; bit++ ) {
    struct ner_safetensors *file;
    struct ner_err err = {0};
    bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    ner_safetensors_open_bytes(bytes, sizeof bytes, "file", &file, &err);
    ner_safetensors_close(file);
    bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
  }
}

static float widen(enum ner_dtype dtype, uint16_t bits) {
  unsigned char data[3];
  float out;
  memcpy(data + 1, &bits, 2); /* at an odd address */
  ner_widen_f32(dtype, data + 1, 1, &out);
  return out;
}

static void widening(void **state) {
  struct ner_tensor t = {.dtype = NER_DTYPE_F32, .rank = 1, .shape = {2}, .n_bytes = 8};
  unsigned char odd[12];
  float values[2] = {1.5f, -2.25f}, out[2];
  /* Every half, against its definition. */
  for( uint32_t h = 0; h < 0x10000; h++ ) {
    int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    double want = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    float got = widen(NER_DTYPE_F16, (uint16_t)h);
    if( exponent == 31 ) {
      if( fraction ? !isnan(got) : !isinf(got) ) fail_msg("half %x", h);
    } else if( got != (float)(h & 0x8000 ? -want : want) )
      fail_msg("half %x is %g", h, (double)got);
    if( !isnan(got) && !!signbit(got) != !!(h & 0x8000) ) fail_msg("sign of %x", h);
  }
  assert_true(widen(NER_DTYPE_BF16, 0x3f80) == 1.0f);
  assert_true(widen(NER_DTYPE_BF16, 0xc049) == -3.140625f);
  assert_true(widen(NER_DTYPE_BF16, 0x0001) == ldexpf(1, -133)); /* subnormal */
  assert_true(isinf(widen(NER_DTYPE_BF16, 0x7f80)));
  assert_true(isnan(widen(NER_DTYPE_BF16, 0x7fc0)));
  memcpy(odd + 1, values, 8);
  t.data = odd + 1;
  ner_tensor_to_f32(&t, 0, 2, out);
  assert_memory_equal(out, values, 8);
  ner_tensor_to_f32(&t, 1, 1, out);
  assert_true(out[0] == -2.25f);
}

static void writing(void **state) {
  static const unsigned char data[128] = {1, 2, 3};
  const struct ner_tensor tensors[] = {
      {"bytes \"\\\n", NER_DTYPE_U8, 1, {5}, data, 5},
      {"short", NER_DTYPE_F16, 1, {3}, data, 6},
      {"floats", NER_DTYPE_F32, 2, {1, 3}, data, 12},
      {"whole", NER_DTYPE_I8, 1, {128}, data, 128},
      {"scalar", NER_DTYPE_I32, 0, {0}, data, 4},
      {"whole too", NER_DTYPE_F32, 1, {16}, data, 64},
  };
  const char *const meta[] = {"format", "x\t\"", "version", "1", NULL};
  char dir[TEST_PATH], path[TEST_PATH], *bytes;
  struct ner_safetensors *file;
  struct ner_err err = {0};
  struct stat st;
  size_t n;
  test_dir_make(dir);
  test_write_text(dir, "m", "old");
  assert_int_equal(ner_safetensors_write(test_path(path, dir, "m"), tensors, 6, meta, NULL, &err),
                   NER_OK);
  assert_int_equal(ner_safetensors_open(path, &file, &err), NER_OK);
  assert_string_equal(ner_safetensors_name(file), path);
  assert_string_equal(ner_safetensors_metadata(file, "format"), "x\t\"");
  assert_int_equal(ner_safetensors_count(file), 6);
  for( size_t i = 0; i < 6; i++ ) {
    const struct ner_tensor *t = ner_safetensors_find(file, tensors[i].name);
    assert_non_null(t);
    assert_int_equal(t->dtype, tensors[i].dtype);
    assert_int_equal(t->rank, tensors[i].rank);
    assert_int_equal(t->n_bytes, tensors[i].n_bytes);
    assert_int_equal(ner_safetensors_read(file, t, &err), NER_OK);
    assert_memory_equal(t->data, data, t->n_bytes);
    assert_int_equal((uintptr_t)t->data % (t->n_bytes % 64 == 0 ? 64 : ner_dtype_bytes(t->dtype)),
                     0);
  }
  ner_safetensors_close(file);
  bytes = test_read(dir, "m", &n);
  assert_int_equal(
      (8 + (size_t)(unsigned char)bytes[0] + 256 * (size_t)(unsigned char)bytes[1]) % 64, 0);
  free(bytes);
  /* Nothing is left beside it, and it is as readable as any new file. */
  assert_int_equal(stat(path, &st), 0);
  assert_true(st.st_mode & S_IRUSR);
  assert_int_equal(remove(path), 0);
  assert_int_equal(rmdir(dir), 0);
}

static void writing_fails(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_err err = {0};
  test_dir_make(dir);
  assert_int_equal(ner_safetensors_write(test_path(path, dir, "none/m"), NULL, 0, NULL, NULL, &err),
                   NER_ERROR);
  assert_non_null(strstr(err.msg, "none/m: cannot be written"));
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_safetensors_write(dir, NULL, 0, NULL, NULL, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "is a directory"));
  test_dir_remove(dir);
}

static void opening_fails(void **state) {
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_safetensors *file;
  struct ner_err err = {0};
  test_dir_make(dir);
  assert_int_equal(ner_safetensors_open(test_path(path, dir, "none"), &file, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "none: cannot open"));
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_safetensors_open(dir, &file, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "not an ordinary file"));
  memset(&err, 0, sizeof err);
  test_write(dir, "empty", "", 0);
  assert_int_equal(ner_safetensors_open(test_path(path, dir, "empty"), &file, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "only 0 bytes"));
  memset(&err, 0, sizeof err);
  assert_int_equal(mkfifo(test_path(path, dir, "pipe"), 0600), 0);
  assert_int_equal(ner_safetensors_open(path, &file, &err), NER_ERROR); /* and does not hang */
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reference_passes),
      cmocka_unit_test(reference_fails),
      cmocka_unit_test(layout_must_tile),
      cmocka_unit_test(shapes_of_json),
      cmocka_unit_test(names),
      cmocka_unit_test(metadata),
      cmocka_unit_test(too_many_tensors),
      cmocka_unit_test(damage),
      cmocka_unit_test(widening),
      cmocka_unit_test(writing),
      cmocka_unit_test(writing_fails),
      cmocka_unit_test(opening_fails),
  };
  return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
