/*
** prefetch.h - a batch labelled in the background, while the connection's own thread hands out the
** rows of the one before and reads the one after.
**
**     prefetch = ner_sql_prefetch_start(&batch, model, &options);   NULL: label it yourself
**     ... the batch is not to be touched ...
**     rc = ner_sql_prefetch_finish(prefetch, &cancel, &seconds, &err);   or ner_sql_prefetch_abandon(prefetch)
**
** SQLite knows nothing of it: only memory is worked on. The thread is there for one batch, so
** that nothing is left to look after; it is the caller of the pool's workers in the place of the
** connection's thread, which waits, and feels interrupts, or does other things.
*/
#ifndef NER_SQL_PREFETCH_H
#define NER_SQL_PREFETCH_H

#include "sql/batch.h"

#pragma GCC visibility push(hidden)

struct ner_sql_prefetch;

/* NULL when there is nothing to gain, because one thread is all that may be used, or no thread or
** memory to be had. Model and options are borrowed. */
struct ner_sql_prefetch *ner_sql_prefetch_start(struct ner_sql_batch *batch,
                                                struct ner_model *model,
                                                const struct ner_options *options);
/* Waits for the end; returns what ner_sql_batch_label() has returned, and how long it took. Ends it
** early once `cancel` says so. */
int ner_sql_prefetch_finish(struct ner_sql_prefetch *prefetch, const struct ner_cancel *cancel,
                            double *seconds, struct ner_err *err);
/* Ends it as soon as may be; some tens of milliseconds. */
void ner_sql_prefetch_abandon(struct ner_sql_prefetch *prefetch);

#pragma GCC visibility pop
#endif
