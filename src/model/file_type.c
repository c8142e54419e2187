/*
** file_type.c - what a file is that is not what it should be.
**
** People point ner_load() at Git LFS pointers, at error pages that a download saved under the
** model's name, at archives and at other programs' weights. The first bytes tell; the message then
** says what the file is and what to do. Nothing of its content is repeated: it may be anybody's.
*/
#include "model/file_type.h"

#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "model/internal.h"

#define FILE_TYPE_CONVERT                                                                          \
  "to convert it, run in its directory: python3 -c \"from transformers import "                    \
  "AutoModelForTokenClassification "                                                               \
  "as M; M.from_pretrained('.').save_pretrained('.')\""

struct file_type {
  const char *magic; /* how the file begins; letters in small */
  size_t n_magic;
  const char *what, *remedy;
};

#define FILE_TYPE(magic, what, remedy)                                                             \
  { magic, sizeof magic - 1, what, remedy }
static const struct file_type file_types[] = {
    FILE_TYPE("version https://git-lfs", "a Git LFS pointer",
              "run git lfs pull where it was cloned, or fetch the file itself"),
    FILE_TYPE("<!doctype", "a web page",
              "the download got an error page or a login page: fetch the file again"),
    FILE_TYPE("<html", "a web page",
              "the download got an error page or a login page: fetch the file again"),
    FILE_TYPE("<?xml", "an XML page", "the download got an error page: fetch the file again"),
    FILE_TYPE("pk\3\4", "a zip archive", "unpack it and give the directory inside"),
    FILE_TYPE("\x1f\x8b", "a gzip archive", "unpack it and give the directory inside"),
    FILE_TYPE("7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give the directory inside"),
    FILE_TYPE("bzh9", "a bzip2 archive", "unpack it and give the directory inside"),
    FILE_TYPE("\xfd"
              "7zxz",
              "an xz archive", "unpack it and give the directory inside"),
    FILE_TYPE("\x80\2", "a PyTorch checkpoint", FILE_TYPE_CONVERT),
    FILE_TYPE("\x89hdf", "a TensorFlow checkpoint (HDF5)",
              "save the model as safetensors with transformers' save_pretrained()"),
    FILE_TYPE("gguf", "a GGUF file", "give the Hugging Face directory it was made from"),
    FILE_TYPE("sqlite format 3", "an SQLite database", "give a model directory"),
};

static bool file_type_begins(const unsigned char *bytes, size_t n, const struct file_type *type) {
  if( n < type->n_magic ) return false;
  for( size_t i = 0; i < type->n_magic; i++ )
    if( ner_ascii_lower((char)bytes[i]) != type->magic[i] ) return false;
  return true;
}

/* Text as people write it: no control characters but blanks and line ends, and not mostly bytes
** outside ASCII. */
static bool file_type_is_text(const unsigned char *bytes, size_t n) {
  size_t n_ascii = 0;
  for( size_t i = 0; i < n; i++ ) {
    if( bytes[i] == 0x7f || (bytes[i] < ' ' && (bytes[i] < '\t' || bytes[i] > '\r')) ) return false;
    n_ascii += bytes[i] < 0x80;
  }
  return n_ascii * 4 > n;
}

/* A zip archive whose first member is a pickle is what torch.save() writes. */
static bool file_type_is_torch(const unsigned char *bytes, size_t n) {
  static const char member[] = "/data.pkl";
  for( size_t i = 0; i + sizeof member - 1 <= n; i++ )
    if( memcmp(bytes + i, member, sizeof member - 1) == 0 ) return true;
  return false;
}

/* Types that no fixed beginning tells. */
static const struct file_type file_type_torch =
    FILE_TYPE("", "a PyTorch checkpoint", FILE_TYPE_CONVERT);
static const struct file_type file_type_tar =
    FILE_TYPE("", "a tar archive", "unpack it and give the directory inside");
static const struct file_type file_type_json =
    FILE_TYPE("", "JSON", "if a download saved it, it is an error message: fetch the file again");
static const struct file_type file_type_text = FILE_TYPE(
    "", "a text file", "give a model directory, or fetch the file again if it should be weights");

/* NULL: none of those known here. */
static const struct file_type *file_type_find(const unsigned char *bytes, size_t n) {
  const unsigned char *at = bytes, *end;
  if( n > NER_FILE_TYPE_BYTES ) n = NER_FILE_TYPE_BYTES;
  end = bytes + n;
  if( n > 262 && memcmp(bytes + 257, "ustar", 5) == 0 ) return &file_type_tar;
  if( n > 100 && file_type_is_torch(bytes, n) ) return &file_type_torch;
  if( n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ) at += 3; /* a byte order mark */
  while( at < end && (*at == ' ' || (*at >= '\t' && *at <= '\r')) ) at++;
  for( size_t i = 0; i < sizeof file_types / sizeof *file_types; i++ )
    if( file_type_begins(at, (size_t)(end - at), &file_types[i]) ) return &file_types[i];
  if( !file_type_is_text(at, (size_t)(end - at)) ) return NULL;
  return *at == '{' || *at == '[' ? &file_type_json : &file_type_text;
}

static bool file_type_is_weights(const char *path) {
  static const char suffix[] = ".safetensors";
  size_t n = strlen(path);
  return n >= sizeof suffix - 1 && strcmp(path + n - (sizeof suffix - 1), suffix) == 0;
}

/* Where the name alone says that a file is part of a directory: its directory. */
static const char *file_type_directory(const char *path, char *dir, size_t n_dir) {
  static const char *const parts[] = {"config.json",           "tokenizer.json",
                                      "tokenizer_config.json", "special_tokens_map.json",
                                      "added_tokens.json",     "vocab.txt",
                                      "model.safetensors",     "model.safetensors.index.json"};
  size_t n = ner_path_dir_bytes(path);
  const char *name = path + n;
  for( size_t i = 0; i < sizeof parts / sizeof *parts; i++ )
    if( strcmp(name, parts[i]) == 0 ) {
      if( n > 1 && path[n - 2] != ':' && ner_path_is_separator(path[n - 1]) ) n--;
      ner_format(dir, n_dir, "%.*s", n ? (int)n : 1, n ? path : ".");
      return dir;
    }
  return NULL;
}

int ner_fail_no_weights(const char *path, const unsigned char *bytes, size_t n, const char *why,
                        struct ner_err *err) {
  const struct file_type *type = file_type_find(bytes, n);
  char dir[400];
  bool part = !type || type == &file_type_json || type == &file_type_text;
  if( part && !file_type_is_weights(path) && file_type_directory(path, dir, sizeof dir) )
    return ner_fail(err, NER_ERROR,
                    "%s: no safetensors file but one of the files that make up a model; give the "
                    "directory '%s'",
                    path, dir);
  if( type )
    return ner_fail(err, NER_ERROR, "%s: is %s, no safetensors file; %s", path, type->what,
                    type->remedy);
  return ner_fail(err, NER_ERROR, "%s: %s" NER_FETCH_AGAIN, path, why);
}

int ner_fail_not_converted(const char *path, struct ner_err *err) {
  char dir[400];
  if( file_type_directory(path, dir, sizeof dir) )
    return ner_fail(err, NER_ERROR, "%s: not written by ner_convert; give the directory '%s'", path,
                    dir);
  return ner_fail(err, NER_ERROR,
                  "%s: not written by ner_convert; give the model's directory (with config.json "
                  "and vocab.txt) instead",
                  path);
}

/* ---- directories ---- */

static bool file_type_has(const char *dir, const char *name, struct ner_err *err, int *rc) {
  char *path = *rc ? NULL : ner_file_join(dir, name);
  bool there = path && ner_file_kind(path) != NER_FILE_MISSING;
  if( !path && *rc == NER_OK ) *rc = ner_fail_nomem(err);
  NER_FREE(path);
  return there;
}

struct file_type_search {
  const char *dir;
  char *name; /* the first by now; "": none */
  size_t n_name;
  int n_left; /* entries that are still looked at */
};

static bool file_type_look_below(void *arg, const char *entry) {
  struct file_type_search *s = arg;
  char path[1024];
  int n = snprintf(path, sizeof path, "%s/%s/config.json", s->dir, entry);
  if( entry[0] != '.' && n < (int)sizeof path && strlen(entry) < s->n_name &&
      ner_file_kind(path) == NER_FILE_REGULAR && (!s->name[0] || strcmp(entry, s->name) < 0) )
    strcpy(s->name, entry);
  return --s->n_left > 0;
}

/* The first, by name, of the directories below `dir` that has a config.json; "" when none has. Of
** a directory with very many entries not all are looked at. */
static void file_type_find_below(const char *dir, char *name, size_t n_name) {
  struct file_type_search search = {dir, name, n_name, 1000};
  name[0] = 0;
  ner_os_list(dir, file_type_look_below, &search);
}

/* The revision that a Hub cache's refs/main names, if that is a plain name of a snapshot; "". */
static void file_type_find_main(const char *dir, const char *snapshots, char *name, size_t n_name) {
  char *refs = ner_file_join(dir, "refs/main"), *text = NULL, *config = NULL;
  char path[300];
  size_t n = 0;
  name[0] = 0;
  if( refs && ner_file_kind(refs) == NER_FILE_REGULAR &&
      ner_file_read(refs, n_name - 1, &text, &n, NULL) == NER_OK ) {
    while( n > 0 && text[n - 1] == '\n' ) n--;
    for( size_t i = 0; i < n; i++ )
      if( !ner_ascii_alnum(text[i]) ) n = 0;
    if( n > 0 ) {
      snprintf(path, sizeof path, "%.*s/config.json", (int)n, text);
      config = ner_file_join(snapshots, path);
      if( config && ner_file_kind(config) == NER_FILE_REGULAR )
        snprintf(name, n_name, "%.*s", (int)n, text);
    }
  }
  NER_FREE(config);
  NER_FREE(text);
  NER_FREE(refs);
}

int ner_fail_lacks_config(const char *dir, struct ner_err *err) {
  char *snapshots = ner_file_join(dir, "snapshots"), below[256] = "";
  int rc = NER_OK;
  if( !snapshots ) return ner_fail_nomem(err);
  file_type_find_main(dir, snapshots, below, sizeof below);
  if( !below[0] ) file_type_find_below(snapshots, below, sizeof below);
  if( below[0] ) {
    rc = ner_fail(err, NER_ERROR, "%s: is the root of a Hub cache, lacks config.json; give '%s/%s'",
                  dir, snapshots, below);
  } else {
    file_type_find_below(dir, below, sizeof below);
    if( below[0] )
      rc = ner_fail(err, NER_ERROR,
                    "%s: lacks config.json; '%s' in it has one: give that directory", dir, below);
    else if( file_type_has(dir, "adapter_config.json", err, &rc) )
      rc = ner_fail(err, NER_ERROR,
                    "%s: lacks config.json, holds an adapter (LoRA); merge it into its model with "
                    "peft's merge_and_unload() and save that",
                    dir);
    else if( rc == NER_OK )
      rc = ner_fail(err, NER_ERROR,
                    "%s: lacks config.json; give a Hugging Face model directory (models/fetch.sh "
                    "fetches one)",
                    dir);
  }
  NER_FREE(snapshots);
  return rc;
}

int ner_fail_lacks_weights(const char *dir, struct ner_err *err) {
  static const struct {
    const char *name, *from;
  } others[] = {{"tf_model.h5", "from_tf=True"}, {"flax_model.msgpack", "from_flax=True"}};
  int rc = NER_OK;
  if( file_type_has(dir, "pytorch_model.bin", err, &rc) ||
      file_type_has(dir, "pytorch_model.bin.index.json", err, &rc) )
    return ner_fail(
        err, NER_ERROR,
        "%s: lacks model.safetensors, has its weights in pytorch_model.bin; " FILE_TYPE_CONVERT,
        dir);
  for( size_t i = 0; i < sizeof others / sizeof *others; i++ )
    if( file_type_has(dir, others[i].name, err, &rc) )
      return ner_fail(err, NER_ERROR,
                      "%s: lacks model.safetensors, has its weights in %s; save it anew with "
                      "transformers: from_pretrained('.', %s).save_pretrained('.')",
                      dir, others[i].name, others[i].from);
  if( file_type_has(dir, "model.onnx", err, &rc) ||
      file_type_has(dir, "onnx/model.onnx", err, &rc) )
    return ner_fail(err, NER_ERROR,
                    "%s: lacks model.safetensors, has its weights as ONNX only; fetch "
                    "model.safetensors from where the model was exported",
                    dir);
  if( rc ) return rc;
  return ner_fail(err, NER_ERROR,
                  "%s: lacks model.safetensors; fetch it, or save the model anew as one "
                  "safetensors file (save_pretrained of a recent transformers)",
                  dir);
}

/* ---- texts ---- */

int ner_read_text(const char *path, char **out, size_t *n_bytes, struct ner_err *err) {
  const struct file_type *type;
  int rc = ner_file_read(path, NER_MAX_TEXT_BYTES, out, n_bytes, err);
  if( rc ) return rc;
  type = file_type_find((const unsigned char *)*out, *n_bytes);
  if( !type || type == &file_type_json || type == &file_type_text ) return NER_OK;
  rc = ner_fail(err, NER_ERROR, "%s: is %s; %s", path, type->what, type->remedy);
  NER_FREE(*out);
  *out = NULL;
  return rc;
}
