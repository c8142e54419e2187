/*
** optimizer.h - AdamW with decoupled weight decay, the gradient clipped to a norm of 1.
**
** Reference: torch.optim.AdamW behind torch.nn.utils.clip_grad_norm_, with the parameter groups of
** transformers' Trainer.
*/
#ifndef NER_TRAIN_OPTIMIZER_H
#define NER_TRAIN_OPTIMIZER_H

#include "train/network.h"

#pragma GCC visibility push(hidden)

struct ner_optimizer {
  struct ner_network *net; /* borrowed */
  float *mean, *square;    /* [layout.n], where trained: the two moments */
  int64_t step;            /* steps done */
  double decayed;          /* what weight decay has left of a number that no gradient reached */
  double norm;             /* of the latest gradient, before clipping */
  struct ner_optimizer_chunk *chunk; /* [n_chunks] */
  size_t n_chunks, cap_chunks;
  double *square_sum; /* [n_chunks] */
  void *memory;
};

int ner_optimizer_new(struct ner_network *net, struct ner_optimizer **out, struct ner_err *err);
void ner_optimizer_free(struct ner_optimizer *optimizer); /* NULL is fine */
uint64_t ner_optimizer_bytes(const struct ner_params_config *config);

/* One step from net->grad, and the changed weights packed anew. A gradient that is not finite is an
** error, and changes nothing. */
int ner_optimizer_step(struct ner_optimizer *optimizer, double learning_rate, double weight_decay,
                       const struct ner_cancel *cancel, struct ner_err *err);

#pragma GCC visibility pop
#endif
