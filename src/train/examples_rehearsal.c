/*
** examples_rehearsal.c - texts on which an extended model rehearses what its base knows; see
** examples.h.
**
** Training on some hundred texts of one kind changes what the base does with all others: it learns
** that every number is an amount, and that every odd name is a product, because no text says
** otherwise. The base's own training texts are not at hand, but texts of random words serve
** (A. Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", 1995): the base labels
** them, and the new model learns to label them so too.
**
** Such a text is one of the examples with most of its tokens replaced by random ones of the
** vocabulary. The tokens that stay show the model the new types' surroundings without the new
** types. Measured on the bundled model with tests/data/orders.sql (make train-check).
*/
#include "train/examples.h"

#include "train/random.h"

#define REHEARSAL_REPLACED 0.6 /* of a text's tokens */
enum { REHEARSAL_COPIES = 2 }; /* texts for each example */

static bool rehearsal_grow(struct ner_examples *ex, size_t n_tok) {
  return ner_grow((void **)&ex->id, &ex->cap_id, ex->n_tok + n_tok, sizeof *ex->id) == 0 &&
         ner_grow((void **)&ex->target, &ex->cap_target, ex->n_tok + n_tok, sizeof *ex->target) ==
             0 &&
         ner_grow((void **)&ex->sequence, &ex->cap_sequences, ex->n_sequences + 1,
                  sizeof *ex->sequence) == 0 &&
         ner_grow((void **)&ex->example, &ex->cap_examples, ex->n_examples + 1,
                  sizeof *ex->example) == 0;
}

/* A copy of sequence `from` as an example of its own. The template's tokens, the first and the
** last one, stay. */
static bool rehearsal_add(struct ner_examples *ex, size_t from, int32_t outside, uint64_t key) {
  const struct ner_train_sequence s = ex->sequence[from];
  const uint64_t vocab = (uint64_t)ex->model->config.vocab_size;
  if( !rehearsal_grow(ex, (size_t)s.n_tok) ) return false;
  ex->sequence[ex->n_sequences] = (struct ner_train_sequence){ex->n_tok, s.n_tok, 0, s.n_tok};
  ex->example[ex->n_examples++] =
      (struct ner_train_example){.first = ex->n_sequences++, .n = 1, .row = -1};
  for( int32_t i = 0; i < s.n_tok; i++ ) {
    const bool is_edge = i == 0 || i == s.n_tok - 1;
    const uint64_t draw = ner_train_mix(key + (uint64_t)i);
    const double lot = (double)(draw >> 11) / 9007199254740992.0;
    ex->id[ex->n_tok] = !is_edge && lot < REHEARSAL_REPLACED
                            ? (int32_t)(ner_train_mix(draw) % vocab)
                            : ex->id[s.begin + (size_t)i];
    ex->target[ex->n_tok++] = is_edge ? -1 : outside;
  }
  return true;
}

int ner_examples_rehearse(struct ner_examples *ex, int32_t outside, uint64_t seed,
                          struct ner_err *err) {
  const size_t n = ex->n_examples;
  for( int copy = 0; copy < REHEARSAL_COPIES; copy++ )
    for( size_t e = 0; e < n; e++ )
      for( size_t k = 0; k < ex->example[e].n && !ex->example[e].valid; k++ ) {
        const uint64_t key = ner_train_mix(ner_train_mix(seed ^ 0x72656865u) + ex->n_sequences);
        if( !rehearsal_add(ex, ex->example[e].first + k, outside, key) ) return ner_fail_nomem(err);
      }
  ex->n_rehearsal = ex->n_examples - n;
  return NER_OK;
}
