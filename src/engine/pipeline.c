/*
** pipeline.c - texts → windows → packed batches → labels → spans; see pipeline.h.
**
** Five steps, each over all inputs before the next:
**   tokenise_all  inputs → tokens                  over the pool, in chunks of bytes
**   plan_windows  tokens → windows                 cheap, alone
**   plan_batches  windows → batches, and who runs them
**   run_batches   batches → probabilities          over the pool: where the time goes
**   form_spans    probabilities → entities         cheap, alone
** Windows stay in the order of the inputs. Sorting them by length would gain nothing:
** there is no padding, and attention costs a window the same in any company.
**
** What threads write is apart by construction: a chunk owns its inputs' outputs, a
** window owns its kept rows of probs, a rank owns its lane.
*/
#include "engine/pipeline.h"
#include "engine/encoder.h"
#include "engine/spans.h"

#include <limits.h>
#include <string.h>

/* Inputs are tokenised over the pool in chunks of this many bytes, a few ms each; what
** fits one chunk never wakes a worker. */
#define CHUNK_BYTES ((size_t)64 * 1024)

/* A long text is tokenised in stretches of this many bytes, 20 to 80 ms each, between which an
** interrupt is felt. */
#define STRETCH_BYTES ((size_t)1024 * 1024)

/* Below this many tokens a batch costs nearly as much as one of this many, because
** reading the weights dominates: for less, no further thread gets a batch. */
#define LANE_MIN_TOK 64

/* A member of a team should have this much to do, 0.1 to 0.5 ms: waking it and meeting
** it at some five barriers a layer takes some 0.05 ms. */
#define MEMBER_MIN_FLOP 20e6

/* One window of one input. */
struct part {
  struct ner_window window;
  uint32_t input;
  bool damaged; /* its logits are no numbers */
};

/* What one thread needs to run any of the batches. */
struct lane {
  struct ner_session *session;
  int32_t *ids;       /* [batch_tok] */
  int32_t *seq_begin; /* [batch_tok + 1] */
  float *logits;      /* [batch_tok, n_labels] */
};

/* Where pieces of a sequence begin: piece i is [at[i], at[i+1]). */
struct cuts {
  size_t *at; /* [n], one more than there are pieces */
  size_t n, cap;
};

struct run {
  struct ner_model *model;
  const struct ner_input *inputs;
  struct ner_output *outputs;
  size_t n_inputs;
  struct cuts chunk; /* of inputs */
  struct part *part; /* [n_parts] */
  size_t n_parts, cap_parts;
  struct cuts batch; /* of parts */
  size_t batch_tok;  /* of the largest */
  bool as_team;      /* batches run one by one, each split over a team */
  int lanes_wanted;
  struct lane *lane; /* [n_lanes] */
  int n_lanes;
  const struct ner_cancel *cancel;
  atomic_bool halted;   /* it said yes while batches ran */
  atomic_int tokenised; /* NER_OK, or what ends the run: NER_NOMEM or NER_INTERRUPT */
};

/* Keeps an input's error with its output. What is no fault of the input is the run's. */
static int output_fail(struct ner_output *output, const struct ner_err *err) {
  if( err->code == NER_OK || output->error ) return NER_OK;
  if( err->code != NER_ERROR ) return err->code;
  output->error = ner_strndup(err->msg, strlen(err->msg));
  return output->error ? NER_OK : NER_NOMEM;
}

static int cut(struct cuts *cuts, size_t at) {
  if( ner_grow((void **)&cuts->at, &cuts->cap, cuts->n + 1, sizeof *cuts->at) ) return NER_NOMEM;
  cuts->at[cuts->n++] = at;
  return NER_OK;
}

/* --- inputs → tokens -------------------------------------------------------- */

static int tokenise_words(const struct ner_tokenizer *tokenizer, const struct ner_input *input,
                          struct ner_tokens *tokens, struct ner_err *err) {
  if( input->n_words > UINT32_MAX )
    return ner_fail(err, NER_ERROR, "%zu words in one list; split it", input->n_words);
  for( size_t w = 0; w < input->n_words; w++ ) {
    const struct ner_slice *word = &input->word[w];
    size_t first = tokens->n;
    int code =
        ner_tokenize(tokenizer, word->utf8 ? word->utf8 : "", word->n_bytes, 0, tokens, NULL, err);
    if( code ) return code;
    /* The reference, too, gives all pieces of an input word its index. */
    for( size_t i = first; i < tokens->n; i++ ) tokens->token[i].word = (uint32_t)w;
  }
  return NER_OK;
}

/* Where a stretch that begins at `begin` ends: before a blank, which is no part of any token. */
static size_t stretch_end(const struct ner_input *input, size_t begin) {
  size_t end = begin + STRETCH_BYTES;
  while( end < input->n_bytes && input->utf8[end] != ' ' && input->utf8[end] != '\n' ) end++;
  return end < input->n_bytes ? end : input->n_bytes;
}

/* Only the thread that started the run, rank 0, may ask whether to stop. */
static int tokenise_text(const struct run *run, const struct ner_input *input, int rank,
                         struct ner_tokens *tokens, struct ner_err *err) {
  const struct ner_tokenizer *tokenizer = run->model->tokenizer;
  uint32_t next_word = 0, base_cp = 0;
  if( input->n_bytes <= STRETCH_BYTES || input->n_bytes > UINT32_MAX )
    return ner_tokenize(tokenizer, input->utf8 ? input->utf8 : "", input->n_bytes, 0, tokens, NULL,
                        err);
  for( size_t begin = 0, end; begin < input->n_bytes; begin = end ) {
    const char *stretch = input->utf8 + begin;
    size_t first = tokens->n;
    int code;
    end = stretch_end(input, begin);
    code = ner_tokenize(tokenizer, stretch, end - begin, next_word, tokens, &next_word, err);
    if( code == NER_OK && rank == 0 && end < input->n_bytes && ner_cancelled(run->cancel) )
      code = ner_fail_interrupted(err);
    if( code ) return code;
    for( size_t i = first; i < tokens->n; i++ ) {
      struct ner_token *token = &tokens->token[i];
      token->start_byte += (uint32_t)begin, token->end_byte += (uint32_t)begin;
      token->start += base_cp, token->end += base_cp;
    }
    base_cp += ner_utf8_count(stretch, (uint32_t)(end - begin));
  }
  return NER_OK;
}

static void tokenise_chunk(void *arg, int job, int rank) {
  struct run *run = arg;
  const struct ner_tokenizer *tokenizer = run->model->tokenizer;
  for( size_t i = run->chunk.at[job]; i < run->chunk.at[job + 1]; i++ ) {
    const struct ner_input *input = &run->inputs[i];
    struct ner_output *output = &run->outputs[i];
    struct ner_err err = {0};
    int code;
    if( input->word )
      tokenise_words(tokenizer, input, &output->tokens, &err);
    else
      tokenise_text(run, input, rank, &output->tokens, &err);
    if( output->tokens.n > UINT32_MAX )
      ner_fail(&err, NER_ERROR, "a text of %zu tokens; split it", output->tokens.n);
    code = output_fail(output, &err);
    if( code ) atomic_store(&run->tokenised, code);
  }
}

static size_t input_bytes(const struct ner_input *input) {
  size_t bytes = 0;
  if( !input->word ) return input->n_bytes;
  for( size_t w = 0; w < input->n_words; w++ ) bytes += input->word[w].n_bytes;
  return bytes;
}

static int tokenise_all(struct run *run, struct ner_err *err) {
  size_t bytes = CHUNK_BYTES; /* of the chunk at hand: full, so that input 0 opens one */
  int code;
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    if( bytes >= CHUNK_BYTES ) {
      if( cut(&run->chunk, i) ) return ner_fail_nomem(err);
      bytes = 0;
    }
    bytes += input_bytes(&run->inputs[i]);
  }
  if( cut(&run->chunk, run->n_inputs) ) return ner_fail_nomem(err);
  code =
      ner_pool_run(NER_POOL_MAX_THREADS, (int)run->chunk.n - 1, tokenise_chunk, run, run->cancel);
  if( code == NER_OK ) code = atomic_load(&run->tokenised);
  if( code == NER_NOMEM ) return ner_fail_nomem(err);
  return code ? ner_fail_interrupted(err) : NER_OK;
}

/* --- tokens → windows ------------------------------------------------------- */

static int add_windows(struct run *run, uint32_t input) {
  struct ner_window *window = NULL;
  size_t n = 0, cap = 0;
  int code = ner_windows_plan(&run->outputs[input].tokens,
                              (uint32_t)run->model->config.max_tokens - 2, &window, &n, &cap);
  if( code == NER_OK )
    code = ner_grow((void **)&run->part, &run->cap_parts, run->n_parts + n, sizeof *run->part);
  for( size_t i = 0; code == NER_OK && i < n; i++ )
    run->part[run->n_parts++] = (struct part){.window = window[i], .input = input};
  NER_FREE(window);
  return code;
}

static int plan_windows(struct run *run, struct ner_err *err) {
  const size_t row_bytes = (size_t)run->model->config.n_labels * sizeof(float);
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    struct ner_output *output = &run->outputs[i];
    if( output->error || output->tokens.n == 0 ) continue;
    output->probs = ner_alloc(output->tokens.n, row_bytes);
    if( !output->probs || add_windows(run, (uint32_t)i) ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

/* --- windows → batches ------------------------------------------------------ */

/* As it goes to the model: with [CLS] and [SEP]. */
static size_t part_tok(const struct part *part) {
  return part->window.end - part->window.begin + 2;
}

/* Cuts the parts into batches of about target_tok, never more than NER_BATCH_TOK unless
** a part alone is longer. A part goes in if at least half of it is below the target, so that
** batches come out at the target in the mean. */
static int cut_batches(struct run *run, size_t target_tok) {
  size_t tok = 0;
  for( size_t i = 0; i < run->n_parts; i++ ) {
    size_t more = part_tok(&run->part[i]);
    if( tok == 0 || tok + more > NER_BATCH_TOK || tok + more / 2 > target_tok ) {
      if( cut(&run->batch, i) ) return NER_NOMEM;
      tok = 0;
    }
    tok += more;
    if( tok > run->batch_tok ) run->batch_tok = tok;
  }
  return cut(&run->batch, run->n_parts);
}

/* Enough work: a batch for each thread, evenly, each thread with a lane of its own.
** Not enough for half of them: larger batches, one by one, each run by a team. */
static int plan_batches(struct run *run, struct ner_err *err) {
  size_t threads = (size_t)ner_pool_threads(0), lanes, batches, total_tok = 0;
  size_t target_tok = NER_BATCH_TOK;
  for( size_t i = 0; i < run->n_parts; i++ ) total_tok += part_tok(&run->part[i]);
  lanes = total_tok / LANE_MIN_TOK;
  if( lanes > run->n_parts ) lanes = run->n_parts;
  if( lanes > threads ) lanes = threads;
  if( lanes < 1 ) lanes = 1;
  run->as_team = 2 * lanes <= threads;
  if( run->as_team ) {
    lanes = 1;
  } else {
    batches = ner_round_up((total_tok + NER_BATCH_TOK - 1) / NER_BATCH_TOK, lanes);
    if( batches ) target_tok = (total_tok + batches - 1) / batches;
  }
  run->lanes_wanted = (int)lanes;
  if( cut_batches(run, target_tok) ) return ner_fail_nomem(err);
  if( run->batch.n - 1 > INT_MAX )
    return ner_fail(err, NER_ERROR, "too much text at once; pass fewer texts");
  return NER_OK;
}

/* --- batches → probabilities ------------------------------------------------ */

/* Not as large as the model allows: a small file may speak of 65 536 tokens at once and 4 096 labels,
** which are 1 GB of logits. */
static int open_lane(struct lane *lane, const struct run *run, struct ner_err *err) {
  size_t n_labels = (size_t)run->model->config.n_labels;
  int code = ner_session_acquire(run->model, &lane->session, err);
  if( code ) return code;
  lane->ids = ner_alloc(run->batch_tok, sizeof *lane->ids);
  lane->seq_begin = ner_alloc(run->batch_tok + 1, sizeof *lane->seq_begin);
  lane->logits = ner_alloc(run->batch_tok, n_labels * sizeof *lane->logits);
  return lane->ids && lane->seq_begin && lane->logits ? NER_OK : ner_fail_nomem(err);
}

static void close_lane(struct lane *lane) {
  if( lane->session ) ner_session_release(lane->session);
  NER_FREE(lane->ids);
  NER_FREE(lane->seq_begin);
  NER_FREE(lane->logits);
  *lane = (struct lane){0};
}

/* Fewer lanes than wanted, for want of memory, will do: one must be. */
static int open_lanes(struct run *run, struct ner_err *err) {
  int code;
  run->lane = ner_calloc((size_t)run->lanes_wanted, sizeof *run->lane);
  if( !run->lane ) return ner_fail_nomem(err);
  while( run->n_lanes < run->lanes_wanted ) {
    struct ner_err why = {0};
    code = open_lane(&run->lane[run->n_lanes], run, &why);
    if( code ) {
      close_lane(&run->lane[run->n_lanes]);
      return run->n_lanes > 0 ? NER_OK : ner_fail(err, code, "%s", why.msg);
    }
    run->n_lanes++;
  }
  return NER_OK;
}

/* Lays the parts [begin, end) end to end. Returns the number of tokens. */
static int32_t lay_out(const struct run *run, size_t begin, size_t end, struct lane *lane) {
  const struct ner_tokenizer *tokenizer = run->model->tokenizer;
  int32_t n_tok = 0;
  for( size_t i = begin; i < end; i++ ) {
    const struct part *part = &run->part[i];
    const struct ner_token *token = run->outputs[part->input].tokens.token;
    lane->seq_begin[i - begin] = n_tok;
    lane->ids[n_tok++] = ner_tokenizer_cls(tokenizer);
    for( uint32_t t = part->window.begin; t < part->window.end; t++ )
      lane->ids[n_tok++] = token[t].id;
    lane->ids[n_tok++] = ner_tokenizer_sep(tokenizer);
  }
  lane->seq_begin[end - begin] = n_tok;
  return n_tok;
}

/* Takes the rows that are believed from the logits to where they belong. */
static void take_rows(struct run *run, size_t begin, size_t end, const struct lane *lane) {
  const size_t n_labels = (size_t)run->model->config.n_labels;
  for( size_t i = begin; i < end; i++ ) {
    struct part *part = &run->part[i];
    const struct ner_window *w = &part->window;
    /* + 1: [CLS] */
    const float *from =
        lane->logits +
        ((size_t)lane->seq_begin[i - begin] + 1 + w->keep_begin - w->begin) * n_labels;
    float *to = run->outputs[part->input].probs + w->keep_begin * n_labels;
    for( uint32_t t = w->keep_begin; t < w->keep_end; t++, from += n_labels, to += n_labels )
      if( !ner_softmax(from, n_labels, to) ) part->damaged = true;
  }
}

static void run_batch_alone(void *arg, int job, int rank) {
  struct run *run = arg;
  struct lane *lane = &run->lane[rank];
  size_t begin = run->batch.at[job], end = run->batch.at[job + 1];
  /* Rank 0 is the caller, who alone may ask. */
  const struct ner_cancel_signal signal = {rank == 0 ? run->cancel : NULL, &run->halted};
  if( atomic_load(&run->halted) ) return;
  lay_out(run, begin, end, lane);
  if( ner_encode(lane->session, lane->ids, lane->seq_begin, (int32_t)(end - begin), lane->logits,
                 NULL, 0, &signal) )
    take_rows(run, begin, end, lane);
}

struct team_batch {
  const struct lane *lane;
  int32_t n_seq;
  struct ner_cancel_signal signal;
};

static void encode_in_team(void *arg, struct ner_team *team, int rank) {
  const struct team_batch *b = arg;
  ner_encode(b->lane->session, b->lane->ids, b->lane->seq_begin, b->n_seq, b->lane->logits, team,
             rank, &b->signal);
}

static int team_size(const struct ner_config *config, int32_t n_tok) {
  double hidden = config->hidden, ffn = config->ffn;
  double flop = 2.0 * n_tok * config->layers * (4 * hidden * hidden + 2 * hidden * ffn);
  double size = flop / MEMBER_MIN_FLOP;
  return size >= NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : size < 1 ? 1 : (int)size;
}

static void run_batch_in_team(struct run *run, size_t begin, size_t end) {
  struct lane *lane = &run->lane[0];
  struct team_batch b = {lane, (int32_t)(end - begin), {run->cancel, &run->halted}};
  int32_t n_tok = lay_out(run, begin, end, lane);
  if( !ner_pool_team(team_size(&run->model->config, n_tok), encode_in_team, &b) )
    atomic_store(&run->halted, true);
  if( !atomic_load(&run->halted) ) take_rows(run, begin, end, lane);
}

/* The encoder asks whether to cancel, from layer to layer; nobody else need. */
static int run_batches(struct run *run, struct ner_err *err) {
  size_t n = run->batch.n - 1;
  int code = NER_OK;
  if( run->as_team )
    for( size_t i = 0; i < n && !atomic_load(&run->halted); i++ )
      run_batch_in_team(run, run->batch.at[i], run->batch.at[i + 1]);
  else
    code = ner_pool_run(run->n_lanes, (int)n, run_batch_alone, run, NULL);
  if( atomic_load(&run->halted) ) code = NER_INTERRUPT;
  return code ? ner_fail_interrupted(err) : NER_OK;
}

/* --- probabilities → entities ----------------------------------------------- */

/* Damaged weights give logits that are no numbers. */
static int report_damage(struct run *run, struct ner_err *err) {
  static const struct ner_err damage = {
      NER_ERROR, "the model's results are not numbers: its weights are damaged; fetch it again"};
  for( size_t i = 0; i < run->n_parts; i++ )
    if( run->part[i].damaged && output_fail(&run->outputs[run->part[i].input], &damage) )
      return ner_fail_nomem(err);
  return NER_OK;
}

static int form_spans(struct run *run, const struct ner_options *options, bool keep_probs,
                      struct ner_err *err) {
  if( !options ) return NER_OK;
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    struct ner_output *output = &run->outputs[i];
    size_t cap = 0;
    int code = NER_OK;
    if( !output->error && !run->inputs[i].word )
      code = ner_spans(run->model, &output->tokens, output->probs, options, &output->found.entity,
                       &output->found.n, &cap, err);
    if( code ) return code;
    if( !keep_probs ) {
      ner_tokens_free(&output->tokens);
      NER_FREE(output->probs);
      output->probs = NULL;
    }
  }
  return NER_OK;
}

/* --- all of it -------------------------------------------------------------- */

void ner_output_free(struct ner_output *output) {
  ner_tokens_free(&output->tokens);
  NER_FREE(output->probs);
  ner_entities_free(&output->found);
  NER_FREE(output->error);
  *output = (struct ner_output){0};
}

int ner_pipeline_run(struct ner_model *model, const struct ner_input *inputs, size_t n,
                     const struct ner_options *options, bool keep_probs, struct ner_output *outputs,
                     const struct ner_cancel *cancel, struct ner_err *err) {
  struct run run = {
      .model = model, .inputs = inputs, .outputs = outputs, .n_inputs = n, .cancel = cancel};
  int code = ner_pool_check(err);
  if( code ) return code;
  if( n > INT_MAX ) return ner_fail(err, NER_ERROR, "%zu texts at once; pass fewer", n);
  if( model->config.max_tokens < 3 )
    return ner_fail(err, NER_ERROR, "%s: the model takes %d tokens at once; at least 3 are needed",
                    model->path, (int)model->config.max_tokens);
  code = tokenise_all(&run, err);
  if( code == NER_OK ) code = plan_windows(&run, err);
  if( code == NER_OK && run.n_parts > 0 ) {
    code = plan_batches(&run, err);
    if( code == NER_OK ) code = open_lanes(&run, err);
    if( code == NER_OK ) code = run_batches(&run, err);
  }
  if( code == NER_OK ) code = report_damage(&run, err);
  if( code == NER_OK ) code = form_spans(&run, options, keep_probs, err);
  for( int i = 0; i < run.n_lanes; i++ ) close_lane(&run.lane[i]);
  NER_FREE(run.lane);
  NER_FREE(run.batch.at);
  NER_FREE(run.part);
  NER_FREE(run.chunk.at);
  return code;
}
