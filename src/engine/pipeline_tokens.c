/*
** pipeline_tokens.c - inputs → tokens; see pipeline_run.h.
*/
#include "engine/pipeline_run.h"

/* Inputs are tokenised over the pool in chunks of this many bytes, a few ms each. Inputs that fit
** one chunk never wake a worker. */
#define PIPELINE_CHUNK_BYTES ((size_t)64 * 1024)

/* A long text is tokenised in stretches of this many bytes, 20 to 80 ms each. Between two of them
** the run can be cancelled. */
#define PIPELINE_STRETCH_BYTES ((size_t)1024 * 1024)

static int pipeline_tokenise_words(const struct ner_tokenizer *tokenizer,
                                   const struct ner_input *input, struct ner_tokens *tokens,
                                   struct ner_err *err) {
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

/* Where a stretch that begins at `begin` ends: before a blank, which belongs to no token. */
static size_t pipeline_stretch_end(const struct ner_input *input, size_t begin) {
  size_t end = begin + PIPELINE_STRETCH_BYTES;
  while( end < input->n_bytes && input->utf8[end] != ' ' && input->utf8[end] != '\n' ) end++;
  return end < input->n_bytes ? end : input->n_bytes;
}

/* Only the thread that started the run, rank 0, may ask whether to cancel. */
static int pipeline_tokenise_text(const struct pipeline_run *run, const struct ner_input *input,
                                  int rank, struct ner_tokens *tokens, struct ner_err *err) {
  const struct ner_tokenizer *tokenizer = run->model->tokenizer;
  uint32_t next_word = 0, base_cp = 0;
  if( input->n_bytes <= PIPELINE_STRETCH_BYTES || input->n_bytes > UINT32_MAX ||
      !ner_tokenizer_cuts_at_blanks(tokenizer) )
    return ner_tokenize(tokenizer, input->utf8 ? input->utf8 : "", input->n_bytes, 0, tokens, NULL,
                        err);
  for( size_t begin = 0, end; begin < input->n_bytes; begin = end ) {
    const char *stretch = input->utf8 + begin;
    size_t first = tokens->n;
    int code;
    end = pipeline_stretch_end(input, begin);
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

static void pipeline_tokenise_chunk(void *arg, int job, int rank) {
  struct pipeline_run *run = arg;
  const struct ner_tokenizer *tokenizer = run->model->tokenizer;
  for( size_t i = run->chunk.at[job]; i < run->chunk.at[job + 1]; i++ ) {
    const struct ner_input *input = &run->inputs[i];
    struct ner_output *output = &run->outputs[i];
    struct ner_err err = {0};
    int code;
    if( input->word )
      pipeline_tokenise_words(tokenizer, input, &output->tokens, &err);
    else
      pipeline_tokenise_text(run, input, rank, &output->tokens, &err);
    if( output->tokens.n > UINT32_MAX )
      ner_fail(&err, NER_ERROR, "a text of %zu tokens; split it", output->tokens.n);
    code = ner_output_fail(output, &err);
    if( code ) atomic_store(&run->tokenised, code);
  }
}

static size_t pipeline_input_bytes(const struct ner_input *input) {
  size_t bytes = 0;
  if( !input->word ) return input->n_bytes;
  for( size_t w = 0; w < input->n_words; w++ ) bytes += input->word[w].n_bytes;
  return bytes;
}

int ner_pipeline_tokenise(struct pipeline_run *run, struct ner_err *err) {
  size_t bytes = PIPELINE_CHUNK_BYTES; /* of the current chunk: full, so that input 0 opens one */
  int code;
  for( size_t i = 0; i < run->n_inputs; i++ ) {
    if( bytes >= PIPELINE_CHUNK_BYTES ) {
      if( ner_pipeline_cut(&run->chunk, i) ) return ner_fail_nomem(err);
      bytes = 0;
    }
    bytes += pipeline_input_bytes(&run->inputs[i]);
  }
  if( ner_pipeline_cut(&run->chunk, run->n_inputs) ) return ner_fail_nomem(err);
  code = ner_pool_run(NER_POOL_MAX_THREADS, (int)run->chunk.n - 1, pipeline_tokenise_chunk, run,
                      run->cancel);
  if( code == NER_OK ) code = atomic_load(&run->tokenised);
  if( code == NER_NOMEM ) return ner_fail_nomem(err);
  return code ? ner_fail_interrupted(err) : NER_OK;
}
