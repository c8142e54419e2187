/*
** trainer_state.h - what trainer.c and the files beside it share.
*/
#ifndef NER_TRAIN_TRAINER_STATE_H
#define NER_TRAIN_TRAINER_STATE_H

#include "train/optimizer.h"
#include "train/trainer.h"

#pragma GCC visibility push(hidden)

/* What a checkpoint must restore beside the parameters. */
struct ner_train_progress {
  int32_t epoch;       /* epochs done */
  int32_t since_best;  /* epochs since the best one */
  int64_t step;        /* steps done */
  int32_t best_epoch;  /* 0: none yet */
  int32_t best_is_now; /* the parameters are the best ones */
  double best_f1, best_loss;
  double decayed, best_decayed; /* see optimizer.h */
};

struct ner_trainer {
  struct ner_model *base; /* a reference */
  struct ner_examples ex;
  struct ner_train_options options;
  char *target, *checkpoint;
  struct ner_network *net;
  struct ner_optimizer *optimizer;
  int32_t n_words;
  int32_t *row_of;    /* [vocab_size] row of the word embeddings here; -1: none */
  int32_t *word;      /* [n_words] the ids of the rows */
  size_t *order;      /* [n_train] training sequences in the order of this epoch */
  size_t n_train, at; /* at: the next of `order` */
  int32_t *seq_begin, *batch_word, *batch_target; /* of one batch */
  float *soft;        /* [ex.n_tok, n_labels] of extend: the base's probabilities, or the label's;
                     ** NULL: labels alone */
  float *batch_soft;  /* [capacity, n_labels] */
  int32_t *predicted; /* [ex.n_tok] label by validation */
  float *best;        /* [layout.n], where trained; NULL: nothing is validated on */
  bool has_valid, valid_has_entities;
  bool planned; /* `order` is that of the current epoch */
  struct ner_train_progress done;
  int64_t steps; /* in all, unless patience ends it before */
  uint64_t memory_bytes;
  uint64_t fingerprint; /* of base, examples and options: of what a checkpoint belongs to */
  struct ner_train_score *score; /* [n_types + 1] the last is of all */
  int32_t *type_of;              /* [n_labels] index into score; -1: outside */
  size_t n_types;
  double valid_loss;
  /* For rows. */
  bool started, ended;
  double loss_sum, began_s, row_s, trained_s;
  int64_t loss_n, trained_tok, began_step;
  char *note;
  struct ner_model *written;
};

/* Lays sequences order[*at ..] into a batch, as many as fit; *at moves on. */
struct ner_train_batch ner_trainer_batch(struct ner_trainer *t, const size_t *order, size_t n,
                                         size_t *at);

/* ---- trainer_valid.c ---- */

/* Scores and loss of the network on the validation examples. */
int ner_trainer_validate(struct ner_trainer *t, const struct ner_cancel *cancel,
                         struct ner_err *err);
/* Scores of t->written on them. */
int ner_trainer_validate_written(struct ner_trainer *t, const struct ner_cancel *cancel,
                                 struct ner_err *err);
/* Words outside for the user get the label that the base gives them, and its probabilities. */
int ner_trainer_label_by_base(struct ner_trainer *t, const struct ner_cancel *cancel,
                              struct ner_err *err);
int ner_trainer_scores_new(struct ner_trainer *t, struct ner_err *err);

/* ---- trainer_write.c ---- */

/* t->written from the best parameters, and the target from that. */
int ner_trainer_write(struct ner_trainer *t, const struct ner_cancel *cancel, struct ner_err *err);
int ner_trainer_save(struct ner_trainer *t, const struct ner_cancel *cancel, struct ner_err *err);
/* Fails when the checkpoint is of something else. *found: there was one. */
int ner_trainer_load(struct ner_trainer *t, const struct ner_cancel *cancel, bool *found,
                     struct ner_err *err);

/* ---- resources.c ---- */

/* Fails unless `target` can be written and its file system has n_bytes left. */
int ner_train_check_target(const char *target, uint64_t n_bytes, struct ner_err *err);

#pragma GCC visibility pop
#endif
