/*
** encoder.h - the forward pass: token ids of several texts → logits.
*/
#ifndef NER_ENCODER_H
#define NER_ENCODER_H

#include "base/pool.h"
#include "engine/session.h"

#pragma GCC visibility push(hidden)

/* How passes under way are cancelled. It takes effect between two layers, because a batch of a large
** model takes too long to be waited for. */
struct ner_cancel_signal {
  const struct ner_cancel *cancel; /* polled by rank 0 of a team; NULL: another thread polls */
  atomic_bool *cancelled;          /* set once it answers yes; shared by all passes of a run */
};

/* One pass over n_seq sequences laid end to end: ids [n_tok] with [CLS] and [SEP] in place, sequence s
** is ids[seq_begin[s] .. seq_begin[s+1]), n_tok = seq_begin[n_seq] <= capacity, each at most max_tokens
** long, ids in range. logits: [n_tok, n_labels].
**
** team NULL: the caller computes alone. Otherwise all members of the team call with the same arguments
** and split each layer among them (columns of products, heads, rows of norms); the result is the same,
** bit for bit.
**
** signal NULL: not cancellable. Otherwise false says that the pass was cancelled, for all members of a
** team alike, and that logits are undefined. */
bool ner_encode(struct ner_session *session, const int32_t *ids, const int32_t *seq_begin,
                int32_t n_seq, float *logits, struct ner_team *team, int rank,
                const struct ner_cancel_signal *signal);

#pragma GCC visibility pop
#endif
