/*
** prefetch.h - a batch labelled in the background, while the connection's thread gives out the
** rows of the batch before and reads the batch after.
**
**     prefetch = ner_sql_prefetch_start(&batch, model, &options);   NULL: label it yourself
**     ... the batch must not be touched ...
**     rc = ner_sql_prefetch_finish(prefetch, &cancel, &seconds, &err);   or
**     ner_sql_prefetch_abandon(prefetch);
**
** SQLite is not involved: only memory is worked on. The thread lives for one batch. It takes
** the place of the connection's thread as the caller of the pool's workers.
*/
#ifndef NER_SQL_PREFETCH_H
#define NER_SQL_PREFETCH_H

#include "sql/batch.h"

#pragma GCC visibility push(hidden)

struct ner_sql_prefetch;

/* NULL when only one thread may be used, so that there is nothing to gain, or when there is no
** thread or memory. Model and options are borrowed. */
struct ner_sql_prefetch *ner_sql_prefetch_start(struct ner_sql_batch *batch,
                                                struct ner_model *model,
                                                const struct ner_options *options);
/* Waits for the end; returns what ner_sql_batch_label() has returned, and how long it took. Ends it
** early once `cancel` says so. Frees `prefetch`. */
int ner_sql_prefetch_finish(struct ner_sql_prefetch *prefetch, const struct ner_cancel *cancel,
                            double *seconds, struct ner_err *err);
/* Ends it within some tens of milliseconds and frees it. NULL is fine. */
void ner_sql_prefetch_abandon(struct ner_sql_prefetch *prefetch);

#pragma GCC visibility pop
#endif
