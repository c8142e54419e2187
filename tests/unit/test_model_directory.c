/* test_model_directory.c - model directories as they lie on the Hub: shards, wide weights, class
** names, activations, labels stated one way only; and what people give instead of a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <sys/stat.h>
#include "model/model.h"
#include "support.h"

static uint64_t directory_hash(const char *dir, enum ner_precision precision) {
  struct ner_model *model;
  struct ner_err err = {0};
  uint64_t hash;
  if( ner_model_open(dir, precision, &model, &err) || ner_model_hash(model, &hash, &err) )
    fail_msg("%s", err.msg);
  ner_model_unref(model);
  return hash;
}

/* Opening must fail with a message that holds these (up to a NULL). */
static void must_fail(const char *path, const char *a, const char *b) {
  const char *const parts[] = {a, b};
  struct ner_model *model;
  struct ner_err err = {0};
  if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) != NER_ERROR )
    fail_msg("opened, but should have said '%s'", a);
  for( int i = 0; i < 2 && parts[i]; i++ )
    if( !strstr(err.msg, parts[i]) ) fail_msg("no '%s' in: %s", parts[i], err.msg);
  if( !strchr(err.msg, ';') ) fail_msg("no remedy in: %s", err.msg);
}

/* ---- shards ---- */

static void shards(void **state) {
  char dir[TEST_PATH];
  test_dir_make(dir);
  for( int bert = 0; bert <= 1; bert++ ) {
    struct tiny tiny = bert ? tiny_bert() : tiny_distilbert();
    uint64_t f32, int8;
    tiny_write(dir, &tiny);
    f32 = directory_hash(dir, NER_PRECISION_F32);
    int8 = directory_hash(dir, NER_PRECISION_INT8);
    free(tiny_shard(dir));
    assert_true(directory_hash(dir, NER_PRECISION_F32) == f32);
    assert_true(directory_hash(dir, NER_PRECISION_INT8) == int8);
  }
  test_dir_remove(dir);
}

#define CLASSIFIER_A "\"classifier.bias\":\"a.safetensors\""
static void indexes_that_lie(void **state) {
  static const struct {
    const char *from, *to, *says;
  } edits[] = {
      {CLASSIFIER_A, "\"classifier.bias\":\"b.safetensors\"",
       "says that tensor 'classifier.bias' is in 'b.safetensors', where it is not"},
      {CLASSIFIER_A, "\"classifier.bias\":\"c.safetensors\"",
       "'c.safetensors', which is not there"},
      {CLASSIFIER_A, "\"classifier.bias\":\"../a.safetensors\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\"x/../../a.safetensors\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\"..\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\"/etc/passwd\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\"\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\".\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":7", "weight_map is not an object of tensors"},
      {CLASSIFIER_A, CLASSIFIER_A "," CLASSIFIER_A, "names tensor 'classifier.bias' twice"},
      {CLASSIFIER_A ",", "", "tensor classifier.bias is missing"},
      {"weight_map", "weight_mop", "has no weight_map"},
      {"{\"metadata", "[\"metadata", "not valid JSON"},
      {CLASSIFIER_A, "\"classifier.bias\":\"link.safetensors\"", "outside the directory"},
      {CLASSIFIER_A, "\"classifier.bias\":\"link/a.safetensors\"", "outside the directory"},
  };
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], other[TEST_PATH], path[TEST_PATH], link[TEST_PATH], *index;
  test_dir_make(dir);
  test_dir_make(other);
  tiny_write(dir, &tiny);
  index = tiny_shard(dir);
  tiny_write(other, &tiny);
  free(tiny_shard(other));
  for( size_t i = 0; i < sizeof edits / sizeof edits[0]; i++ ) {
    if( strstr(edits[i].to, "link.") )
      assert_int_equal(symlink(test_path(path, other, "a.safetensors"),
                               test_path(link, dir, "link.safetensors")),
                       0);
    if( strstr(edits[i].to, "link/") )
      assert_int_equal(symlink(other, test_path(link, dir, "link")), 0);
    test_write_text(dir, "model.safetensors.index.json", index);
    test_edit(dir, "model.safetensors.index.json", edits[i].from, edits[i].to);
    must_fail(dir, edits[i].says, NULL);
  }
  /* A link within the directory is as good as the file. */
  assert_int_equal(symlink("a.safetensors", test_path(link, dir, "inside.safetensors")), 0);
  test_write_text(dir, "model.safetensors.index.json", index);
  test_edit(dir, "model.safetensors.index.json", CLASSIFIER_A,
            "\"classifier.bias\":\"inside.safetensors\"");
  directory_hash(dir, NER_PRECISION_FILE);
  /* A shard that is damaged is named. */
  test_write_text(dir, "model.safetensors.index.json", index);
  test_write_text(dir, "b.safetensors", "version https://git-lfs.github.com/spec/v1\noid x\n");
  must_fail(dir, "b.safetensors: is a Git LFS pointer", "run git lfs pull");
  free(index);
  test_dir_remove(other);
  test_dir_remove(dir);
}

/* models--x--y/snapshots/REVISION/FILE are links into models--x--y/blobs/, and no further. */
static void hub_cache(void **state) {
  static const char *const folders[] = {"blobs", "snapshots", "snapshots/1234"};
  static const char *const files[] = {"config.json",   "tokenizer_config.json",
                                      "vocab.txt",     "a.safetensors",
                                      "b.safetensors", "model.safetensors.index.json"};
  const struct tiny tiny = tiny_distilbert();
  char plain[TEST_PATH], root[TEST_PATH], dir[TEST_PATH], blobs[TEST_PATH], path[TEST_PATH];
  uint64_t hash;
  test_dir_make(plain);
  test_dir_make(root);
  tiny_write(plain, &tiny);
  hash = directory_hash(plain, NER_PRECISION_FILE);
  free(tiny_shard(plain));
  for( size_t i = 0; i < 3; i++ )
    assert_int_equal(mkdir(test_path(path, root, folders[i]), 0700), 0);
  test_path(dir, root, "snapshots/1234");
  test_path(blobs, root, "blobs");
  for( size_t i = 0; i < sizeof files / sizeof *files; i++ ) {
    char target[300], *bytes;
    size_t n;
    bytes = test_read(plain, files[i], &n);
    test_write(blobs, files[i], bytes, n);
    free(bytes);
    snprintf(target, sizeof target, "../../blobs/%s", files[i]);
    assert_int_equal(symlink(target, test_path(path, dir, files[i])), 0);
  }
  assert_true(directory_hash(dir, NER_PRECISION_FILE) == hash);
  must_fail(root, "is the root of a Hub cache", "give '");
  must_fail(root, "/snapshots/1234'", NULL);
  /* Of several revisions the one that refs/main names. */
  assert_int_equal(mkdir(test_path(path, root, "refs"), 0700), 0);
  assert_int_equal(mkdir(test_path(path, root, "snapshots/0abc"), 0700), 0);
  test_write_text(test_path(path, root, "snapshots/0abc"), "config.json", "{}");
  must_fail(root, "/snapshots/0abc'", NULL);
  test_write_text(test_path(path, root, "refs"), "main", "1234\n");
  must_fail(root, "/snapshots/1234'", NULL);
  test_write_text(path, "main", "../../SECRET");
  must_fail(root, "/snapshots/0abc'", NULL);
  test_dir_remove(path);
  test_dir_remove(test_path(path, root, "snapshots/0abc"));
  must_fail(test_path(path, root, "snapshots"), "'1234' in it has one: give that directory", NULL);
  test_remove(dir, "a.safetensors");
  assert_int_equal(symlink("../../../elsewhere", test_path(path, dir, "a.safetensors")), 0);
  must_fail(dir, "which is not there", NULL);
  test_remove(dir, "a.safetensors");
  assert_int_equal(symlink("/etc/hostname", test_path(path, dir, "a.safetensors")), 0);
  must_fail(dir, "outside the directory", NULL);
  test_dir_remove(dir);
  test_dir_remove(test_path(path, root, "snapshots"));
  test_dir_remove(blobs);
  test_dir_remove(root);
  test_dir_remove(plain);
}

/* ---- weights ---- */

static void f64_weights(void **state) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  uint64_t f32, int8;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  f32 = directory_hash(dir, NER_PRECISION_F32);
  int8 = directory_hash(dir, NER_PRECISION_INT8);
  tiny.dtype = NER_DTYPE_F64;
  tiny_write(dir, &tiny);
  assert_true(directory_hash(dir, NER_PRECISION_F32) == f32);
  assert_true(directory_hash(dir, NER_PRECISION_INT8) == int8);
  test_dir_remove(dir);
}

static void f64_values(void **state) {
  const double in[] = {1, -0.1, 1e-320, 1e-45, 3.5e38, -3.5e38, 3.4028235e38, 3.40282350000001e38};
  float out[8];
  ner_widen_f32(NER_DTYPE_F64, (const unsigned char *)in, 8, out);
  assert_true(out[0] == 1 && out[1] == -0.1f && out[2] == 0 && out[3] > 0);
  assert_true(isinf(out[4]) && out[4] > 0 && isinf(out[5]) && out[5] < 0);
  assert_true(out[6] == 3.4028235e38f && out[7] == 3.4028235e38f);
}

/* What a model's file holds beside its own is named. */
static void ignored_tensors(void **state) {
  const struct tiny tiny = tiny_bert();
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_model *model;
  struct ner_err err = {0};
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  assert_int_equal(ner_model_open(dir, NER_PRECISION_FILE, &model, &err), NER_OK);
  assert_string_equal(model->ignored_json,
                      "[\"bert.pooler.dense.bias\",\"bert.pooler.dense.weight\"]");
  ner_model_unref(model);
  assert_int_equal(ner_convert(dir, test_path(path, dir, "one"), NER_PRECISION_INT8, &err), NER_OK);
  assert_int_equal(ner_model_open(path, NER_PRECISION_FILE, &model, &err), NER_OK);
  assert_string_equal(model->ignored_json,
                      "[\"bert.pooler.dense.bias\",\"bert.pooler.dense.weight\"]");
  ner_model_unref(model);
  test_dir_remove(dir);
}

/* ---- config.json ---- */

struct config_edit {
  const char *from, *to;
};

/* Each edit leaves the tiny model what it was. */
static void check_same(struct tiny tiny, const struct config_edit *edits, size_t n) {
  char dir[TEST_PATH];
  uint64_t hash;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  hash = directory_hash(dir, NER_PRECISION_FILE);
  for( size_t i = 0; i < n; i++ ) {
    tiny_write_config(dir, &tiny);
    test_edit(dir, "config.json", edits[i].from, edits[i].to);
    if( directory_hash(dir, NER_PRECISION_FILE) != hash ) fail_msg("%s", edits[i].to);
  }
  test_dir_remove(dir);
}

static void class_names(void **state) {
  static const struct config_edit bert[] = {
      {"\"BertForTokenClassification\"", "\"BertForMaskedLM\",\"BertForTokenClassification\""},
      {"\"BertForTokenClassification\"", "\"BertModel\""},
      {"\"BertForTokenClassification\"", "\"BertCRF\""},
      {"\"BertForTokenClassification\"", "\"MyTagger\""},
      {"\"BertForTokenClassification\"", ""},
      {"[\"BertForTokenClassification\"]", "null"},
      {"[\"BertForTokenClassification\"]", "\"BertForTokenClassification\""},
      {"\"model_type\":\"bert\",", ""},
      {"\"hidden_act\":\"gelu\"", "\"hidden_act\":\"gelu_python\""},
      {"\"hidden_act\"", "\"x\":NaN,\"y\":[Infinity,-Infinity, NaN],\"hidden_act\""},
      {"\"hidden_act\"", "\"x\":\"NaN, \\\" NaN\",\"hidden_act\""},
      {"\"hidden_act\"", "\"label2id\":{\"O\":2,\"B-PER\":0,\"I-PER\":1},\"hidden_act\""},
      {"\"id2label\":{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
       "\"label2id\":{\"I-PER\":2,\"O\":0,\"B-PER\":1}"},
      {"\"id2label\":{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
       "\"id2label\":null,\"label2id\":{\"I-PER\":2,\"O\":0,\"B-PER\":1}"},
  };
  static const struct config_edit distilbert[] = {
      {"\"dim\":12", "\"hidden_size\":12"},
      {"\"n_layers\":2", "\"num_hidden_layers\":2"},
      {"\"n_heads\":3", "\"num_attention_heads\":3"},
      {"DistilBertForTokenClassification", "DistilBertModel"},
      {"\"model_type\":\"distilbert\",", ""},
      {"\"activation\":\"gelu\"", "\"activation\":\"gelu_python\",\"qa_dropout\":NaN"},
  };
  check_same(tiny_bert(), bert, sizeof bert / sizeof *bert);
  check_same(tiny_distilbert(), distilbert, sizeof distilbert / sizeof *distilbert);
}

static void other_models(void **state) {
  static const struct {
    const char *type, *class;
  } others[] = {{"roberta", "RobertaForTokenClassification"},
                {"xlm-roberta", "XLMRobertaForTokenClassification"},
                {"deberta-v2", "DebertaV2ForTokenClassification"},
                {"modernbert", "ModernBertForTokenClassification"},
                {"electra", "ElectraForTokenClassification"},
                {"camembert", "CamembertForTokenClassification"}};
  static const struct {
    const char *from, *to, *says;
  } edits[] = {
      {"eps\":1e-12", "eps\":NaN", "layer_norm_eps is inf"},
      {"_layers\":2", "_layers\":Infinity", "num_hidden_layers is a number"},
      {"\"x\":1,", "\"x\":NaNs,", "not valid JSON"},
      {"\"id2label\":{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
       "\"label2id\":{\"I-PER\":1,\"O\":0,\"B-PER\":1}", "label 1 is named twice"},
      {"\"id2label\":{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
       "\"label2id\":{\"I-PER\":3,\"O\":0,\"B-PER\":1}", "label number 3"},
      {"\"id2label\":{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
       "\"label2id\":{\"I-PER\":\"2\",\"O\":0,\"B-PER\":1}", "label2id has a member"},
      {"\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],", "",
       "has neither model_type nor architectures"},
  };
  const struct tiny tiny = tiny_bert();
  char dir[TEST_PATH], to[200], says[200];
  test_dir_make(dir);
  for( size_t i = 0; i < 2 * sizeof others / sizeof *others; i++ ) {
    const char *type = others[i / 2].type, *class = others[i / 2].class;
    tiny_write(dir, &tiny);
    snprintf(to, sizeof to, "%s%s%s\"architectures\":[\"%s\"]", i % 2 ? "" : "\"model_type\":\"",
             i % 2 ? "" : type, i % 2 ? "" : "\",", class);
    test_edit(dir, "config.json",
              "\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"]", to);
    snprintf(says, sizeof says, "architecture %s is not supported; DistilBERT and BERT are", class);
    must_fail(dir, says, i % 2 ? NULL : type);
  }
  for( size_t i = 0; i < sizeof edits / sizeof *edits; i++ ) {
    tiny_write(dir, &tiny);
    test_edit(dir, "config.json", "{", "{\"x\":1,");
    test_edit(dir, "config.json", edits[i].from, edits[i].to);
    must_fail(dir, edits[i].says, NULL);
  }
  test_dir_remove(dir);
}

static void activations(void **state) {
  static const char *const names[] = {"gelu_new", "gelu_fast", "gelu_pytorch_tanh"};
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH], to[60];
  uint64_t exact, first = 0;
  struct ner_err err = {0};
  test_dir_make(dir);
  test_path(path, dir, "one");
  tiny_write(dir, &tiny);
  exact = directory_hash(dir, NER_PRECISION_F32);
  for( int i = 0; i < 3; i++ ) {
    uint64_t hash;
    tiny_write_config(dir, &tiny);
    snprintf(to, sizeof to, "activation\":\"%s\"", names[i]);
    test_edit(dir, "config.json", "activation\":\"gelu\"", to);
    hash = directory_hash(dir, NER_PRECISION_F32);
    assert_true(hash != exact && (i == 0 || hash == first));
    first = hash;
    assert_int_equal(ner_convert(dir, path, NER_PRECISION_F32, &err), NER_OK);
    assert_true(directory_hash(path, NER_PRECISION_F32) == hash);
  }
  test_dir_remove(dir);
}

/* ---- what is no model ---- */

static void wrong_files(void **state) {
  static const struct {
    const char *name, *bytes, *says, *remedy;
  } files[] = {
      {"x", "version https://git-lfs.github.com/spec/v1\noid sha256:77\nsize 5\n",
       "is a Git LFS pointer", "run git lfs pull"},
      {"x", "<!DOCTYPE html><html>SECRET</html>", "is a web page", "fetch the file again"},
      {"x", "\xef\xbb\xbf  \n<HTML>SECRET", "is a web page", NULL},
      {"x", "{\"error\":\"SECRET\"}", "is JSON", "fetch the file again"},
      {"x", "PK\3\4SECRET", "is a zip archive", "unpack it"},
      {"x",
       "PK\3\4..................................................................................."
       ".........x/data.pklFB",
       "is a PyTorch checkpoint", "from_pretrained('.')"},
      {"pytorch_model.bin", "\x80\2.SECRET", "is a PyTorch checkpoint", "from_pretrained('.')"},
      {"x", "SECRET:x:0:0:root:/root:/bin/bash\n", "is a text file", NULL},
      {"x", "SECRET", "is a text file", NULL},
      {"x", "\1\2\3\4\5\6\7\7SECRET", "announces a header", NULL},
      {"x", "SQLite format 3", "is an SQLite database", NULL},
      {"config.json", "{\"model_type\":\"bert\"}", "give the directory '", NULL},
      {"tokenizer.json", "{}", "give the directory '", NULL},
      {"vocab.txt", "[PAD]\n[UNK]\n", "give the directory '", NULL},
      {"model.safetensors.index.json", "{}", "give the directory '", NULL},
  };
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_model *model;
  test_dir_make(dir);
  for( size_t i = 0; i < sizeof files / sizeof *files; i++ ) {
    struct ner_err err = {0};
    test_write_text(dir, files[i].name, files[i].bytes);
    must_fail(test_path(path, dir, files[i].name), files[i].says, files[i].remedy);
    ner_model_open(path, NER_PRECISION_FILE, &model, &err);
    if( strstr(err.msg, "SECRET") ) fail_msg("%s", err.msg);
  }
  must_fail("/etc/passwd", "/etc/passwd: is a text file", NULL);
  test_dir_remove(dir);
}

/* The same in place of each file of a directory; nothing of their content is repeated. */
static void wrong_files_in_directories(void **state) {
  static const char *const names[] = {"config.json", "tokenizer_config.json", "tokenizer.json",
                                      "vocab.txt", "model.safetensors"};
  static const struct {
    const char *bytes, *says;
  } contents[] = {
      {"version https://git-lfs.github.com/spec/v1\noid SECRET\n", "is a Git LFS pointer"},
      {"<!doctype html>SECRET", "is a web page"},
      {"root:x:0:SECRET\nbin:SECRET:1\n", NULL},
      {"{\"SECRET\":\"SECRET\"}", NULL},
      {"[\"SECRET\"]", NULL},
      {"SECRET", NULL},
      {"", NULL},
  };
  const struct tiny tiny = tiny_bert();
  char dir[TEST_PATH];
  test_dir_make(dir);
  for( size_t i = 0; i < sizeof names / sizeof *names; i++ )
    for( size_t k = 0; k < sizeof contents / sizeof *contents; k++ ) {
      struct ner_model *model;
      struct ner_err err = {0};
      tiny_write(dir, &tiny);
      if( strcmp(names[i], "tokenizer.json") == 0 ) test_remove(dir, "vocab.txt");
      test_write_text(dir, names[i], contents[k].bytes);
      if( contents[k].says ) must_fail(dir, names[i], contents[k].says);
      if( ner_model_open(dir, NER_PRECISION_FILE, &model, &err) == NER_OK )
        ner_model_unref(model);
      else if( strstr(err.msg, "SECRET") )
        fail_msg("%s", err.msg);
      if( strcmp(names[i], "tokenizer.json") == 0 ) test_remove(dir, "tokenizer.json");
    }
  test_dir_remove(dir);
}

static void directories_without_weights(void **state) {
  static const struct {
    const char *name, *says;
  } others[] = {{"pytorch_model.bin", "from transformers import AutoModelForTokenClassification"},
                {"pytorch_model.bin.index.json", "save_pretrained('.')"},
                {"tf_model.h5", "from_tf=True"},
                {"flax_model.msgpack", "from_flax=True"},
                {"model.onnx", "ONNX"}};
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  test_remove(dir, "model.safetensors");
  for( size_t i = 0; i < sizeof others / sizeof *others; i++ ) {
    test_write_text(dir, others[i].name, "x");
    must_fail(dir, "lacks model.safetensors", others[i].says);
    test_remove(dir, others[i].name);
  }
  test_remove(dir, "config.json");
  test_write_text(dir, "adapter_config.json", "{}");
  must_fail(dir, "lacks config.json", "adapter");
  test_dir_remove(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shards),
      cmocka_unit_test(indexes_that_lie),
      cmocka_unit_test(hub_cache),
      cmocka_unit_test(f64_weights),
      cmocka_unit_test(f64_values),
      cmocka_unit_test(ignored_tensors),
      cmocka_unit_test(class_names),
      cmocka_unit_test(other_models),
      cmocka_unit_test(activations),
      cmocka_unit_test(wrong_files),
      cmocka_unit_test(wrong_files_in_directories),
      cmocka_unit_test(directories_without_weights),
  };
  return cmocka_run_group_tests_name("model directories", tests, NULL, NULL);
}
