/*
** test_golden.c - the whole engine against what Hugging Face said.
**
** tests/golden/make.py made the models and the answers, and tells the formats
** of the files; nothing of Python is needed here. Compared are the ids, the
** logits after every layer (1e-4), the labels of tokens and the entities under
** all four aggregations (scores 1e-5, all else exactly). Run at the top level.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/encoder.h"
#include "engine/pipeline.h"
#include "engine/windows.h"

#define GOLDEN          "tests/golden/"
#define LOGIT_TOLERANCE 1e-4
#define SCORE_TOLERANCE 1e-5
#define MAX_STAGES      4

/* ---- reading */

/* A file read whole, line by line. */
struct lines {
  char *bytes, *at;
};

static char *read_file(const char *path, size_t *n_bytes) {
  FILE *f = fopen(path, "rb");
  struct stat st;
  char *bytes;
  if( !f || stat(path, &st) != 0 ) fail_msg("%s: %s", path, strerror(errno));
  bytes = malloc((size_t)st.st_size + 1);
  assert_non_null(bytes);
  *n_bytes = fread(bytes, 1, (size_t)st.st_size, f);
  assert_int_equal(*n_bytes, st.st_size);
  bytes[*n_bytes] = 0;
  fclose(f);
  return bytes;
}

static void lines_open(struct lines *lines, const char *path) {
  size_t n_bytes;
  lines->bytes = lines->at = read_file(path, &n_bytes);
}

/* The next line without looking past it; NULL at the end. */
static char *lines_peek(struct lines *lines) {
  return *lines->at ? lines->at : NULL;
}

/* The next line, terminated; NULL at the end. */
static char *lines_next(struct lines *lines) {
  char *line = lines->at, *end;
  if( !*line ) return NULL;
  end = strchr(line, '\n');
  assert_non_null(end);
  *end = 0;
  lines->at = end + 1;
  return line;
}

/* Cuts the first field off *rest. */
static char *next_field(char **rest) {
  char *field = *rest, *tab;
  assert_non_null(field);
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

/* The text of a "text\t..." line. */
static struct ner_input text_of_line(char *line) {
  char *rest = line;
  struct ner_input input = {0};
  assert_string_equal(next_field(&rest), "text");
  input.n_bytes = unescape(rest);
  input.utf8 = rest;
  return input;
}

static struct ner_model *open_model(const char *path) {
  struct ner_err err = {0};
  struct ner_model *model = NULL;
  if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) != NER_OK )
    fail_msg("%s: %s", path, err.msg);
  return model;
}

/* ---- logits after every layer */

/* The model as if it had only its first `stage` layers: what the encoder then gives are the
** logits "after" that layer. */
static struct ner_model *open_stage(const char *name, int stage) {
  char path[PATH_MAX];
  struct ner_model *model;
  snprintf(path, sizeof path, GOLDEN "models/%s", name);
  model = open_model(path);
  assert_true(stage <= model->config.layers);
  model->config.layers = stage;
  return model;
}

struct batch {
  int32_t ids[2 * NER_BATCH_TOK];
  int32_t seq_begin[3];
  int32_t n_seq;
};

/* The ids of a text with [CLS] and [SEP], after what the batch already holds. */
static void batch_add(struct batch *batch, struct ner_model *model, const struct ner_input *text) {
  struct ner_tokens tokens = {0};
  struct ner_err err = {0};
  int32_t n = batch->seq_begin[batch->n_seq];
  if( ner_tokenize(model->tokenizer, text->utf8, text->n_bytes, 0, &tokens, NULL, &err) != NER_OK )
    fail_msg("%s", err.msg);
  assert_true(n + (int32_t)tokens.n + 2 <= 2 * NER_BATCH_TOK);
  batch->ids[n++] = ner_tokenizer_template(model->tokenizer)->before[0];
  for( size_t i = 0; i < tokens.n; i++ ) batch->ids[n++] = tokens.token[i].id;
  batch->ids[n++] = ner_tokenizer_template(model->tokenizer)->after[0];
  batch->seq_begin[++batch->n_seq] = n;
  ner_tokens_free(&tokens);
}

static void compare_ids(const char *name, const struct batch *batch, char *expected) {
  char *rest = expected;
  int32_t n = batch->seq_begin[1];
  assert_string_equal(next_field(&rest), "ids");
  for( int32_t i = 0; i < n; i++ ) {
    long id = strtol(rest, &rest, 10);
    if( id != batch->ids[i] ) fail_msg("%s: token %d is %d, not %ld", name, i, batch->ids[i], id);
  }
  while( *rest == ' ' ) rest++;
  assert_string_equal(rest, ""); /* no token missing */
}

/* Runs the batch and gives its logits [n_tok, n_labels]. */
static float *encode(struct ner_model *model, const struct batch *batch) {
  struct ner_session *session = NULL;
  struct ner_err err = {0};
  int32_t n_tok = batch->seq_begin[batch->n_seq];
  float *logits = malloc((size_t)n_tok * (size_t)model->config.n_labels * sizeof *logits);
  assert_non_null(logits);
  if( ner_session_acquire(model, &session, &err) != NER_OK ) fail_msg("%s", err.msg);
  assert_true(n_tok <= ner_session_capacity_tok(session));
  ner_encode(session, batch->ids, batch->seq_begin, batch->n_seq, logits, NULL, 0, NULL);
  ner_session_release(session);
  return logits;
}

/* One text through one stage; returns the worst difference. With a second text
** beside it, before and behind, the answer must stay the same to the bit. */
static double compare_logits(struct ner_model *model, const struct ner_input *text,
                             const struct ner_input *neighbour, char *expected) {
  struct batch alone = {0}, behind = {0}, before = {0};
  float *logits, *again;
  size_t n_labels = (size_t)model->config.n_labels, n;
  double worst = 0;
  batch_add(&alone, model, text);
  n = (size_t)alone.seq_begin[1] * n_labels;
  logits = encode(model, &alone);
  for( size_t i = 0; i < n; i++ ) {
    double difference = fabs(strtod(expected, &expected) - (double)logits[i]);
    if( !(difference <= worst) ) worst = difference; /* NaN too */
  }
  while( *expected == ' ' ) expected++;
  assert_string_equal(expected, "");

  batch_add(&behind, model, neighbour);
  batch_add(&behind, model, text);
  again = encode(model, &behind);
  assert_memory_equal(again + (size_t)behind.seq_begin[1] * n_labels, logits, n * sizeof *logits);
  free(again);
  batch_add(&before, model, text);
  batch_add(&before, model, neighbour);
  again = encode(model, &before);
  assert_memory_equal(again, logits, n * sizeof *logits);
  free(again);
  free(logits);
  return worst;
}

static void test_logits(void **state) {
  const char *name = *state;
  static char hello[] = "Anna met the old man, and the old man met Anna.";
  struct ner_input neighbour = {.utf8 = hello, .n_bytes = sizeof hello - 1};
  struct ner_input text = {0};
  struct ner_model *model[MAX_STAGES] = {0};
  struct lines lines;
  struct batch batch;
  char path[PATH_MAX];
  char *line;
  double worst[MAX_STAGES] = {0};
  int n_texts = 0;
  snprintf(path, sizeof path, GOLDEN "logits/%s.txt", name);
  lines_open(&lines, path);
  while( (line = lines_next(&lines)) != NULL ) {
    if( line[0] == 't' ) {
      text = text_of_line(line);
      n_texts++;
    } else if( line[0] == 'i' ) {
      struct ner_model *any = NULL;
      for( int k = 0; k < MAX_STAGES; k++ )
        if( model[k] ) any = model[k];
      if( !any ) {
        snprintf(path, sizeof path, GOLDEN "models/%s", name);
        any = open_model(path);
        assert_true(any->config.layers < MAX_STAGES);
        model[any->config.layers] = any;
      }
      memset(&batch, 0, sizeof batch);
      batch_add(&batch, any, &text);
      compare_ids(name, &batch, line);
    } else {
      char *rest = line;
      int stage = atoi(next_field(&rest) + strlen("logits "));
      double difference;
      assert_in_range(stage, 0, MAX_STAGES - 1);
      if( !model[stage] ) model[stage] = open_stage(name, stage);
      difference = compare_logits(model[stage], &text, &neighbour, rest);
      if( !(difference <= worst[stage]) ) worst[stage] = difference;
    }
  }
  assert_true(n_texts > 0);
  for( int k = 0; k < MAX_STAGES; k++ ) {
    if( !model[k] ) continue;
    print_message("# %s, %d layers: worst difference of %d texts' logits %.2g\n", name, k, n_texts,
                  worst[k]);
    if( !(worst[k] <= LOGIT_TOLERANCE) )
      fail_msg("%s: after %d layers the logits differ by %g", name, k, worst[k]);
    ner_model_unref(model[k]);
  }
  free(lines.bytes);
}

/* ---- entities */

enum strategy { NONE, SIMPLE, FIRST, AVERAGE, MAX, N_STRATEGIES };
static const char *const strategy_names[] = {"none", "simple", "first", "average", "max"};
static const enum ner_aggregation aggregation[] = {
    [SIMPLE] = NER_AGGREGATION_SIMPLE,
    [FIRST] = NER_AGGREGATION_FIRST,
    [AVERAGE] = NER_AGGREGATION_AVERAGE,
    [MAX] = NER_AGGREGATION_MAX,
};

/* One line of an answer. */
struct row {
  const char *label, *word;
  size_t n_word;
  double score;
  uint32_t index; /* only for "none" */
  uint32_t start, end;
};

struct answer {
  size_t first_row, n_rows;
};

struct golden {
  struct lines lines;
  struct ner_input *text;                /* [n] */
  struct answer (*answer)[N_STRATEGIES]; /* [n] */
  struct row *row;
  size_t n, cap, answer_cap, n_rows, row_cap;
};

static struct row parse_row(char *line, bool with_index) {
  struct row row = {0};
  char *rest = line, *word;
  row.label = next_field(&rest);
  row.score = strtod(next_field(&rest), NULL);
  if( with_index ) row.index = (uint32_t)strtoul(next_field(&rest), NULL, 10);
  row.start = (uint32_t)strtoul(next_field(&rest), NULL, 10);
  row.end = (uint32_t)strtoul(next_field(&rest), NULL, 10);
  word = next_field(&rest);
  row.n_word = unescape(word);
  row.word = word;
  return row;
}

/* The block after a "=\tstrategy.." line. */
static void read_answer(struct golden *golden, char *heading) {
  struct answer answer = {.first_row = golden->n_rows};
  bool used[N_STRATEGIES] = {0};
  char *rest = heading;
  next_field(&rest);
  while( rest ) {
    const char *strategy = next_field(&rest);
    int s = 0;
    while( s < N_STRATEGIES && strcmp(strategy, strategy_names[s]) != 0 ) s++;
    assert_in_range(s, 0, N_STRATEGIES - 1);
    used[s] = true;
  }
  while( lines_peek(&golden->lines) && *lines_peek(&golden->lines) != '=' &&
         strncmp(lines_peek(&golden->lines), "text\t", 5) != 0 ) {
    assert_int_equal(
        ner_grow((void **)&golden->row, &golden->row_cap, golden->n_rows + 1, sizeof *golden->row),
        NER_OK);
    golden->row[golden->n_rows++] = parse_row(lines_next(&golden->lines), used[NONE]);
  }
  answer.n_rows = golden->n_rows - answer.first_row;
  for( int s = 0; s < N_STRATEGIES; s++ )
    if( used[s] ) golden->answer[golden->n - 1][s] = answer;
}

static void golden_read(struct golden *golden, const char *name) {
  char path[PATH_MAX];
  char *line;
  memset(golden, 0, sizeof *golden);
  snprintf(path, sizeof path, GOLDEN "spans/%s.txt", name);
  lines_open(&golden->lines, path);
  while( (line = lines_next(&golden->lines)) != NULL ) {
    if( line[0] == '#' ) continue;
    if( line[0] == '=' ) {
      read_answer(golden, line);
      continue;
    }
    assert_int_equal(
        ner_grow((void **)&golden->text, &golden->cap, golden->n + 1, sizeof *golden->text),
        NER_OK);
    assert_int_equal(ner_grow((void **)&golden->answer, &golden->answer_cap, golden->n + 1,
                              sizeof *golden->answer),
                     NER_OK);
    memset(&golden->answer[golden->n], 0, sizeof *golden->answer);
    golden->text[golden->n++] = text_of_line(line);
  }
  assert_true(golden->n > 0);
}

static void golden_free(struct golden *golden) {
  NER_FREE(golden->text);
  NER_FREE(golden->answer);
  NER_FREE(golden->row);
  free(golden->lines.bytes);
}

/* The same word by the tokens from one beginning at `start` to one ending at
** `end`? Several may (the pieces of one decomposed character share its span).
** 0: no; 1: yes; -1: there is an [UNK] among them, which the reference shows as
** the text's own characters. */
static int word_matches(struct ner_model *model, const struct ner_tokens *tokens,
                        const struct row *row) {
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  int verdict = 0;
  for( size_t i = 0; i < tokens->n && verdict == 0; i++ ) {
    int32_t ids[NER_BATCH_TOK];
    size_t n = 0;
    if( tokens->token[i].start != row->start ) continue;
    for( size_t j = i; j < tokens->n && n < NER_BATCH_TOK && verdict == 0; j++ ) {
      char *word;
      ids[n++] = tokens->token[j].id;
      if( ids[n - 1] == ner_tokenizer_unk(model->tokenizer) ) verdict = -1;
      if( verdict != 0 || tokens->token[j].end != row->end ) continue;
      word = ner_decode(vocab, ids, n);
      assert_non_null(word);
      if( strlen(word) == row->n_word && memcmp(word, row->word, row->n_word) == 0 ) verdict = 1;
      NER_FREE(word);
    }
  }
  return verdict;
}

struct tally {
  size_t entities, words;
  double worst;
};

#define FAIL_TEXT(text, ...)                                                                       \
  do {                                                                                             \
    print_error("text \"%.*s\": ", (int)(text)->n_bytes, (text)->utf8);                            \
    print_error(__VA_ARGS__);                                                                      \
    fail_msg("differs from the reference");                                                        \
  } while( 0 )

static void compare_score(const struct ner_input *text, const struct row *row, double score,
                          struct tally *tally) {
  double difference = fabs(score - row->score);
  if( !(difference <= tally->worst) ) tally->worst = difference;
  if( !(difference <= SCORE_TOLERANCE) )
    FAIL_TEXT(text, "%s %u-%u scores %.7f, not %.7f\n", row->label, row->start, row->end, score,
              row->score);
}

static void compare_entities(struct ner_model *model, const struct golden *golden, size_t t,
                             enum strategy s, const struct ner_output *output,
                             struct tally *tally) {
  const struct ner_input *text = &golden->text[t];
  const struct answer *answer = &golden->answer[t][s];
  const struct ner_entities *found = &output->found;
  for( size_t i = 0; i < found->n || i < answer->n_rows; i++ ) {
    const struct row *row = NULL;
    const struct ner_entity *entity = NULL;
    int same_word;
    if( i < answer->n_rows ) row = &golden->row[answer->first_row + i];
    if( i < found->n ) entity = &found->entity[i];
    if( !entity )
      FAIL_TEXT(text, "%s: %s %u-%u is missing\n", strategy_names[s], row->label, row->start,
                row->end);
    if( !row )
      FAIL_TEXT(text, "%s: %s %u-%u is too many\n", strategy_names[s], entity->label, entity->start,
                entity->end);
    if( strcmp(entity->label, row->label) != 0 || entity->start != row->start ||
        entity->end != row->end )
      FAIL_TEXT(text, "%s: entity %zu is %s %u-%u, not %s %u-%u\n", strategy_names[s], i,
                entity->label, entity->start, entity->end, row->label, row->start, row->end);
    compare_score(text, row, (double)entity->score, tally);
    same_word = word_matches(model, &output->tokens, row);
    if( same_word == 0 )
      FAIL_TEXT(text, "%s: no decoding of %u-%u gives \"%s\"\n", strategy_names[s], row->start,
                row->end, row->word);
    tally->entities++;
    tally->words += same_word == 1;
    /* Bytes and code points must name the same place. */
    assert_int_equal(ner_utf8_count(text->utf8, entity->start_byte), entity->start);
    assert_int_equal(ner_utf8_count(text->utf8, entity->end_byte), entity->end);
  }
}

/* "none": every token but those the model calls O, with its whole label. */
static void compare_tokens(struct ner_model *model, const struct golden *golden, size_t t,
                           const struct ner_output *output, struct tally *tally) {
  const struct ner_input *text = &golden->text[t];
  const struct answer *answer = &golden->answer[t][NONE];
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  size_t n_labels = (size_t)model->config.n_labels, seen = 0;
  for( size_t i = 0; i < output->tokens.n; i++ ) {
    const struct ner_token *token = &output->tokens.token[i];
    const float *p = output->probs + i * n_labels;
    const struct row *row = &golden->row[answer->first_row + seen];
    const char *word;
    size_t best = 0, n_word;
    for( size_t l = 1; l < n_labels; l++ )
      if( p[l] > p[best] ) best = l;
    if( strcmp(model->label[best].name, "O") == 0 ) continue;
    if( seen++ >= answer->n_rows ) FAIL_TEXT(text, "token %zu is too many\n", i);
    if( row->index != i + 1 || strcmp(row->label, model->label[best].name) != 0 ||
        row->start != token->start || row->end != token->end )
      FAIL_TEXT(text, "token %zu is %s %u-%u, not %u: %s %u-%u\n", i + 1, model->label[best].name,
                token->start, token->end, row->index, row->label, row->start, row->end);
    compare_score(text, row, (double)p[best], tally);
    if( token->id == ner_tokenizer_unk(model->tokenizer) ) {
      word = text->utf8 + token->start_byte;
      n_word = token->end_byte - token->start_byte;
    } else
      word = ner_vocab_piece(vocab, token->id, &n_word);
    if( n_word != row->n_word || memcmp(word, row->word, n_word) != 0 )
      FAIL_TEXT(text, "token %zu is \"%.*s\", not \"%s\"\n", i + 1, (int)n_word, word, row->word);
    tally->entities++;
    tally->words++;
  }
  if( seen < answer->n_rows ) FAIL_TEXT(text, "only %zu tokens are not O\n", seen);
}

/* All texts in one run, so that they share batches. */
static struct ner_output *run(struct ner_model *model, const struct ner_input *text, size_t n,
                              enum strategy s) {
  struct ner_options options = {0};
  struct ner_err err = {0};
  struct ner_output *output = calloc(n, sizeof *output);
  assert_non_null(output);
  if( s != NONE ) options.aggregation = aggregation[s];
  if( ner_pipeline_run(model, text, n, s == NONE ? NULL : &options, true, output, NULL, &err) !=
      NER_OK )
    fail_msg("%s", err.msg);
  for( size_t i = 0; i < n; i++ )
    if( output[i].error ) FAIL_TEXT(&text[i], "%s\n", output[i].error);
  return output;
}

static void outputs_free(struct ner_output *output, size_t n) {
  for( size_t i = 0; i < n; i++ ) ner_output_free(&output[i]);
  free(output);
}

static void test_spans(void **state) {
  const char *name = *state;
  char path[PATH_MAX];
  struct golden golden;
  struct ner_model *model;
  snprintf(path, sizeof path, GOLDEN "models/%s", name);
  model = open_model(path);
  golden_read(&golden, name);
  for( enum strategy s = NONE; s < N_STRATEGIES; s++ ) {
    struct tally tally = {0};
    struct ner_output *output = run(model, golden.text, golden.n, s);
    for( size_t t = 0; t < golden.n; t++ ) {
      if( s == NONE )
        compare_tokens(model, &golden, t, &output[t], &tally);
      else
        compare_entities(model, &golden, t, s, &output[t], &tally);
    }
    outputs_free(output, golden.n);
    print_message("# %s, %s: %zu rows (%zu words) of %zu texts, worst score difference %.2g\n",
                  name, strategy_names[s], tally.entities, tally.words, golden.n, tally.worst);
    assert_true(tally.words > tally.entities / 2);
  }
  golden_free(&golden);
  ner_model_unref(model);
}

/* A text by itself answers as it did among others, to the bit. */
static void test_alone(void **state) {
  struct golden golden;
  struct ner_model *model = open_model(GOLDEN "models/distil-cased");
  struct ner_output *all;
  (void)state;
  golden_read(&golden, "distil-cased");
  all = run(model, golden.text, golden.n, NONE);
  for( size_t t = 0; t < golden.n; t += 5 ) {
    struct ner_output *one = run(model, &golden.text[t], 1, NONE);
    assert_int_equal(one->tokens.n, all[t].tokens.n);
    if( one->tokens.n )
      assert_memory_equal(one->probs, all[t].probs,
                          one->tokens.n * (size_t)model->config.n_labels * sizeof *one->probs);
    outputs_free(one, 1);
  }
  outputs_free(all, golden.n);
  golden_free(&golden);
  ner_model_unref(model);
}

/* Longer than the model takes: each token's probabilities are those of the
** window that is believed for it. */
static void test_windows(void **state) {
  struct ner_model *model = open_model(GOLDEN "models/distil-short");
  struct ner_input text = {0};
  struct ner_output *output;
  struct ner_window *window = NULL;
  size_t n_windows = 0, cap = 0, n_labels = (size_t)model->config.n_labels;
  uint32_t max_tok = (uint32_t)model->config.max_tokens - 2, done = 0;
  char *bytes;
  (void)state;
  assert_int_equal(model->config.max_tokens, 48);
  text.utf8 = bytes = read_file(GOLDEN "long.txt", &text.n_bytes);
  output = run(model, &text, 1, SIMPLE);
  assert_true(output->tokens.n > 5 * max_tok);
  assert_true(output->found.n > 0);
  assert_int_equal(ner_windows_plan(&output->tokens, max_tok, &window, &n_windows, &cap), NER_OK);
  for( size_t w = 0; w < n_windows; w++ ) {
    struct batch batch = {.n_seq = 1};
    int32_t n = 0;
    float *logits;
    assert_true(window[w].end - window[w].begin <= max_tok);
    assert_int_equal(window[w].keep_begin, done);
    done = window[w].keep_end;
    batch.ids[n++] = ner_tokenizer_template(model->tokenizer)->before[0];
    for( uint32_t i = window[w].begin; i < window[w].end; i++ )
      batch.ids[n++] = output->tokens.token[i].id;
    batch.ids[n++] = ner_tokenizer_template(model->tokenizer)->after[0];
    batch.seq_begin[1] = n;
    logits = encode(model, &batch);
    for( uint32_t i = window[w].keep_begin; i < window[w].keep_end; i++ ) {
      const float *row = logits + (size_t)(1 + i - window[w].begin) * n_labels;
      double sum = 0;
      for( size_t l = 0; l < n_labels; l++ ) sum += exp((double)row[l]);
      for( size_t l = 0; l < n_labels; l++ )
        if( !(fabs(exp((double)row[l]) / sum - (double)output->probs[i * n_labels + l]) < 1e-6) )
          fail_msg("token %u of window %zu has other probabilities", i, w);
    }
    free(logits);
  }
  assert_int_equal(done, output->tokens.n);
  NER_FREE(window);
  outputs_free(output, 1);
  free(bytes);
  ner_model_unref(model);
}

#define LOGITS(name)                                                                               \
  { "logits " name, test_logits, NULL, NULL, (void *)(name) }
#define SPANS(name)                                                                                \
  { "spans " name, test_spans, NULL, NULL, (void *)(name) }

int main(void) {
  const struct CMUnitTest tests[] = {
      LOGITS("distil-cased"),     LOGITS("distil-odd"),         LOGITS("bert-json"),
      LOGITS("bert-uncased"),     LOGITS("distil-f16"),         LOGITS("bert-bf16"),
      LOGITS("distil-unaligned"), LOGITS("distil-short"),       LOGITS("distil-label-n"),
      LOGITS("bert-gelu-new"),    SPANS("bert-gelu-new"),       LOGITS("distil-shards"),
      SPANS("distil-shards"),     LOGITS("bert-plain"),         SPANS("distil-cased"),
      SPANS("bert-uncased"),      SPANS("bert-json"),           SPANS("distil-label-n"),
      SPANS("bert-plain"),        cmocka_unit_test(test_alone), cmocka_unit_test(test_windows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
