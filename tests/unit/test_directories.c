/*
** test_directories.c - model directories of all kinds against what Hugging Face makes of them:
** tests/golden/directories, see make_directories.py there.
**
** Every directory is written out and opened, or must be refused; tokens must be the reference's
** exactly, entities too, but for their scores' last digits; and the same again from the one file
** that ner_convert() makes of the directory.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "engine/pipeline.h"
#include "model/model.h"
#include "model/open.h"
#include "support.h"

#define GOLDEN          "tests/golden/directories"
#define MAX_PIECES      400
#define MAX_DIRECTORIES 200
#define SCORE_TOLERANCE 5e-5

struct directory {
  const char *name;
  struct ner_model *model[2]; /* of the directory, and of the file made from it; NULL: refused */
};

static char *piece[MAX_PIECES];
static size_t n_pieces;
static struct directory directory[MAX_DIRECTORIES];
static size_t n_directories;

/* ---- reading cases.txt ---- */

/* Cuts the first field off *rest; NULL at the end of the line. */
static char *next_field(char **rest) {
  char *field = *rest, *tab;
  if( !field ) return NULL;
  tab = strchr(field, '\t');
  if( tab ) *tab = 0;
  *rest = tab ? tab + 1 : NULL;
  return field;
}

/* Takes \xHH back, in place; the result may hold NUL. */
static size_t unescape(char *s) {
  char *out = s;
  for( const char *in = s; *in; ) {
    if( in[0] == '\\' && in[1] == 'x' ) {
      char hex[3] = {in[2], in[3], 0};
      *out++ = (char)strtol(hex, NULL, 16);
      in += 4;
    } else
      *out++ = *in++;
  }
  *out = 0;
  return (size_t)(out - s);
}

/* ---- directories ---- */

struct text {
  char *bytes;
  size_t n;
};

static void put(struct text *t, const char *bytes, size_t n) {
  t->bytes = realloc(t->bytes, t->n + n + 1);
  assert_non_null(t->bytes);
  memcpy(t->bytes + t->n, bytes, n);
  t->n += n;
  t->bytes[t->n] = 0;
}

/* The vocabulary as lines, or as a JSON object. */
static void put_vocabulary(struct text *t, bool json) {
  char number[32];
  if( json ) put(t, "{", 1);
  for( size_t i = 0; i < n_pieces; i++ ) {
    if( json ) put(t, i ? ",\"" : "\"", i ? 2 : 1);
    for( const char *c = piece[i]; *c; c++ ) {
      if( json && (*c == '"' || *c == '\\') ) put(t, "\\", 1);
      put(t, c, 1);
    }
    if( json )
      put(t, number, (size_t)snprintf(number, sizeof number, "\":%d", (int)i));
    else
      put(t, "\n", 1);
  }
  if( json ) put(t, "}", 1);
}

/* Writes a file in which @vocab.txt@ and "@vocab.json@" stand for the vocabulary. */
static void write_file(const char *dir, const char *name, const char *content) {
  static const char lines[] = "@vocab.txt@", json[] = "\"@vocab.json@\"";
  struct text t = {0};
  put(&t, "", 0);
  while( *content ) {
    if( strncmp(content, lines, sizeof lines - 1) == 0 ) {
      put_vocabulary(&t, false);
      content += sizeof lines - 1;
    } else if( strncmp(content, json, sizeof json - 1) == 0 ) {
      put_vocabulary(&t, true);
      content += sizeof json - 1;
    } else {
      put(&t, content++, 1);
    }
  }
  test_write(dir, name, t.bytes, t.n);
  free(t.bytes);
}

/* Opens what stands in dir, and the one file made of it. */
static void open_directory(const char *dir, bool refuse, struct directory *d) {
  char path[TEST_PATH], file[TEST_PATH];
  struct ner_err err = {0};
  int rc = ner_model_open(dir, NER_PRECISION_F32, &d->model[0], &err);
  if( refuse ) {
    if( rc == NER_OK ) fail_msg("%s was opened", d->name);
    if( !strchr(err.msg, ';') ) fail_msg("%s: no remedy in: %s", d->name, err.msg);
    return;
  }
  if( rc ) fail_msg("%s: %s", d->name, err.msg);
  test_path(file, dir, "one");
  if( ner_convert(dir, file, NER_PRECISION_F32, &err) ||
      ner_model_open(file, NER_PRECISION_FILE, &d->model[1], &err) )
    fail_msg("%s, converted: %s", d->name, err.msg);
  remove(test_path(path, dir, "one"));
}

/* The directories in the lines from *line on; *line ends at the first text. */
static void open_directories(char **line, char **end) {
  size_t n_weights;
  char *weights = test_read(GOLDEN, "model.safetensors", &n_weights), *config = NULL;
  char dir[TEST_PATH] = "";
  bool refuse = false;
  for( ;; ) {
    char *rest = *line, *kind;
    *end = strchr(rest, '\n');
    assert_non_null(*end);
    **end = 0;
    kind = next_field(&rest);
    if( strcmp(kind, "directory") == 0 || strcmp(kind, "text") == 0 ) {
      if( *dir ) {
        open_directory(dir, refuse, &directory[n_directories++]);
        test_dir_remove(dir);
      }
      if( *kind == 't' ) {
        (*line)[4] = '\t'; /* to be read again */
        break;
      }
      assert_true(n_directories < MAX_DIRECTORIES);
      test_dir_make(dir);
      test_write(dir, "model.safetensors", weights, n_weights);
      test_write_text(dir, "config.json", config);
      directory[n_directories].name = rest;
      refuse = false;
    } else if( strcmp(kind, "file") == 0 ) {
      const char *name = next_field(&rest);
      unescape(rest);
      write_file(dir, name, rest);
    } else if( strcmp(kind, "refuse") == 0 ) {
      refuse = true;
    } else if( strcmp(kind, "config") == 0 ) {
      config = rest;
      unescape(config);
    } else {
      assert_string_equal(kind, "vocabulary");
      while( rest ) {
        assert_true(n_pieces < MAX_PIECES);
        piece[n_pieces] = next_field(&rest);
        unescape(piece[n_pieces++]);
      }
    }
    *line = *end + 1;
  }
  free(weights);
}

/* ---- answers ---- */

static struct directory *find_directory(const char *name) {
  for( size_t i = 0; i < n_directories; i++ )
    if( strcmp(directory[i].name, name) == 0 ) return &directory[i];
  fail_msg("no directory %s", name);
  return NULL;
}

/* Compares with the fields of a "tokens" line. */
static void check_tokens(const struct ner_output *out, char *fields, const char *name,
                         const char *text) {
  char *copy = fields ? strdup(fields) : NULL, *rest = copy, *field;
  size_t n = 0;
  for( ; (field = next_field(&rest)) != NULL; n++ ) {
    int id, start, end;
    const struct ner_token *t = &out->tokens.token[n];
    assert_int_equal(sscanf(field, "%d:%d:%d", &id, &start, &end), 3);
    if( n >= out->tokens.n || t->id != id || (int)t->start != start || (int)t->end != end )
      fail_msg("%s: '%s': token %zu is %d:%d:%d, not %s", name, text, n,
               n < out->tokens.n ? t->id : -1, n < out->tokens.n ? (int)t->start : 0,
               n < out->tokens.n ? (int)t->end : 0, field);
  }
  if( n != out->tokens.n ) fail_msg("%s: '%s': %zu tokens, not %zu", name, text, out->tokens.n, n);
  free(copy);
}

/* Compares with the fields of an "entities" line. */
static void check_entities(const struct ner_output *out, char *fields, const char *name,
                           const char *text) {
  char *copy = fields ? strdup(fields) : NULL, *rest = copy, *field;
  size_t n = 0;
  for( ; (field = next_field(&rest)) != NULL; n++ ) {
    const struct ner_entity *e = &out->found.entity[n];
    const char *label = n < out->found.n ? e->label : "";
    size_t n_label = strlen(label);
    double score = 0;
    int start = 0, end = 0;
    bool same = strncmp(field, label, n_label) == 0 &&
                sscanf(field + n_label, ":%lf:%d:%d", &score, &start, &end) == 3;
    if( n >= out->found.n || !same || (int)e->start != start || (int)e->end != end ||
        fabs((double)e->score - score) > SCORE_TOLERANCE )
      fail_msg("%s: '%s': entity %zu is not %s", name, text, n, field);
  }
  if( n != out->found.n ) fail_msg("%s: '%s': %zu entities, not %zu", name, text, out->found.n, n);
  free(copy);
}

static void check_answer(const struct directory *d, const struct ner_input *input, char *tokens,
                         bool has_entities, char *entities) {
  const struct ner_options options = {.aggregation = NER_AGGREGATION_FIRST};
  for( int i = 0; i < 2; i++ ) {
    struct ner_output out = {0};
    struct ner_err err = {0};
    if( !d->model[i] ) fail_msg("%s has answers, but is refused", d->name);
    if( ner_pipeline_run(d->model[i], input, 1, &options, true, &out, NULL, &err) )
      fail_msg("%s: %s", d->name, err.msg);
    check_tokens(&out, tokens, d->name, input->utf8);
    if( has_entities ) check_entities(&out, entities, d->name, input->utf8);
    ner_output_free(&out);
  }
}

static void directories_as_the_reference(void **state) {
  size_t n, n_texts = 0, n_answers = 0;
  char *all = test_read(GOLDEN, "cases.txt", &n), *line = all, *end;
  struct ner_input input = {0};
  (void)state;
  open_directories(&line, &end);
  *end = '\n';
  while( *line ) {
    char *names, *tokens, *entities = NULL, *name;
    bool has_entities;
    end = strchr(line, '\n');
    *end = 0;
    if( strncmp(line, "text\t", 5) == 0 ) {
      input = (struct ner_input){.utf8 = line + 5};
      input.n_bytes = unescape(line + 5);
      n_texts++;
      line = end + 1;
      continue;
    }
    assert_int_equal(strncmp(line, "=\t", 2), 0);
    names = line + 2;
    tokens = line = end + 1;
    end = strchr(line, '\n');
    *end = 0;
    line = end + 1;
    assert_string_equal(next_field(&tokens), "tokens");
    has_entities = strncmp(line, "entities", 8) == 0;
    if( has_entities ) {
      entities = line;
      end = strchr(line, '\n');
      *end = 0;
      line = end + 1;
      next_field(&entities);
    }
    while( (name = next_field(&names)) != NULL ) {
      check_answer(find_directory(name), &input, tokens, has_entities, entities);
      n_answers++;
    }
  }
  print_message("# %zu directories, %zu texts, %zu answers\n", n_directories, n_texts, n_answers);
  assert_true(n_directories >= 40 && n_texts >= 60 && n_answers > 40 * 60);
  for( size_t i = 0; i < n_directories; i++ )
    for( int k = 0; k < 2; k++ ) ner_model_unref(directory[i].model[k]);
  free(all);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(directories_as_the_reference)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
