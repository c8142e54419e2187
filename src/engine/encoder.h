/*
** encoder.h - the forward pass: token ids of several texts → logits.
**
** A session owns all scratch for one batch of at most NER_BATCH_TOK tokens (or
** the model's max_tokens, if that is more). Nothing is allocated during a pass.
*/
#ifndef NER_ENCODER_H
#define NER_ENCODER_H

#include "model/model.h"
#include "base/pool.h"

#pragma GCC visibility push(hidden)

/* Tokens in a packed batch: gains flatten past 128 rows, scratch grows with it. A multiple of the
** 12 rows that kernels like to take. */
#define NER_BATCH_TOK 264

/* A session for this model: an idle one, or a new one. Give it back when done. */
int ner_session_acquire(struct ner_model *model, struct ner_session **out, struct ner_err *err);
void ner_session_release(struct ner_session *session);
int32_t ner_session_capacity_tok(const struct ner_session *session);
/* Frees the idle sessions of a model that is going away (model.c calls it). */
void ner_sessions_free(struct ner_model *model);

/* How passes under way are given up, from one layer to the next: a batch of a large model takes too
** long to be waited for. */
struct ner_halt {
  const struct ner_cancel
      *cancel;        /* asked here, by rank 0 of a team; NULL where another thread asks */
  atomic_bool *asked; /* set once it says yes; obeyed by all who share it */
};

/* One pass over n_seq sequences laid end to end: ids [n_tok] with [CLS] and
** [SEP] in place, sequence s is ids[seq_begin[s] .. seq_begin[s+1]), n_tok =
** seq_begin[n_seq] <= capacity, each at most max_tokens long, ids in range.
** logits: [n_tok, n_labels].
**
** team NULL: the caller computes alone. Otherwise all members of the team call
** with the same arguments and split each layer among them (columns of products, heads,
** rows of norms); the result is the same, bit for bit.
**
** halt NULL: to the end. Otherwise false says that the pass was given up, by all members of a
** team alike, and logits hold nothing. */
bool ner_encode(struct ner_session *session, const int32_t *ids, const int32_t *seq_begin,
                int32_t n_seq, float *logits, struct ner_team *team, int rank,
                const struct ner_halt *halt);

#pragma GCC visibility pop
#endif
