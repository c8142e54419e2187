/*
** trainer.h - examples and a base model become a trained model in a file.
**
**     ner_trainer_open(base, &examples, &options, target, cancel, &trainer, err);
**     while( (rc = ner_trainer_next(trainer, &row, cancel, err)) == NER_OK && !row.is_last ) ...
**     ner_trainer_close(trainer);
**
** The result depends on the base, the examples and the options alone, bit for bit on one machine.
** After each epoch but the last a checkpoint stands beside the target, as TARGET.checkpoint; it
** goes away once the target is written. With options.resume training goes on from it and ends with
** the very file that an uninterrupted run writes.
*/
#ifndef NER_TRAIN_TRAINER_H
#define NER_TRAIN_TRAINER_H

#include "train/examples.h"

#pragma GCC visibility push(hidden)

struct ner_train_options {
  int32_t epochs;
  double learning_rate; /* at its highest; 0: by the number of steps, see trainer.c */
  int32_t batch_tokens; /* tokens of an optimizer's step, at most */
  double warmup;        /* share of the steps */
  double weight_decay, dropout;
  uint64_t seed;
  double valid_share;
  int32_t freeze; /* lower layers kept as they are; 0: none, and the embeddings learn too */
  int32_t
      patience; /* epochs without a better result after which to end; 0: never before the last */
  bool extend;  /* see ner_examples_finish() */
  bool resume;
  enum ner_precision precision; /* of the file; FILE: the base's */
};
struct ner_train_options ner_train_options_default(void);

/* Entities of one type, or of all. */
struct ner_train_score {
  const char *type; /* NULL: all */
  int64_t gold, found, correct;
};
double ner_train_precision(const struct ner_train_score *score);
double ner_train_recall(const struct ner_train_score *score);
double ner_train_f1(const struct ner_train_score *score);

struct ner_train_row {
  int32_t epoch; /* 1 for the first; 0: nothing is done yet */
  int64_t step, steps;
  double loss;     /* mean since the row before; NAN: none */
  bool has_scores; /* the next is there: after an epoch, when something is validated on */
  struct ner_train_score score;
  double tokens_per_second, eta_s; /* NAN: not known yet */
  const char *note;                /* until the next row; NULL: none */
  bool is_last;                    /* the target is written */
};

struct ner_trainer;
/* Takes the examples, unfinished, over when it succeeds. Everything that can go wrong is checked
** before the first step: labels, the base's kind, memory, disk, the target. */
int ner_trainer_open(struct ner_model *base, struct ner_examples *examples,
                     const struct ner_train_options *options, const char *target,
                     const struct ner_cancel *cancel, struct ner_trainer **out,
                     struct ner_err *err);
/* Trains until there is something to say. NER_INTERRUPT: the target is not written. */
int ner_trainer_next(struct ner_trainer *trainer, struct ner_train_row *row,
                     const struct ner_cancel *cancel, struct ner_err *err);
void ner_trainer_close(struct ner_trainer *trainer); /* NULL is fine */

/* After the last row: what was written. */
struct ner_train_result {
  const char *target;
  enum ner_precision precision;
  uint64_t n_bytes; /* of weights */
  int32_t epoch;    /* the one that was kept */
  const char *labels_json;
  const struct ner_train_score *score; /* [n_scores] by type, of the model as it was written */
  size_t n_scores;                     /* 0: nothing was validated on */
};
void ner_trainer_result(const struct ner_trainer *trainer, struct ner_train_result *out);

#pragma GCC visibility pop
#endif
