/*
** session.h - the scratch memory of a forward pass.
**
** A session belongs to one batch at a time and holds at most ner_session_capacity_tok() tokens. All
** of its memory is allocated when it is made; a pass allocates nothing. A released session is kept
** for a while, for the next batch of its model (session_pool.c).
*/
#ifndef NER_SESSION_H
#define NER_SESSION_H

#include "model/model.h"

#pragma GCC visibility push(hidden)

/* Tokens in a packed batch: gains flatten past 128 rows, scratch grows with the number. A multiple
** of NER_TILE_TOK. */
#define NER_BATCH_TOK 264

enum {
  /* Kernels take 3, 4, 6 or 12 rows at once: a block of a multiple of 12 leaves none of them a tile
  ** half full. */
  NER_TILE_TOK = 12,
  /* Rows of f (encoder.c) at a time. The weights are streamed once per block, so not too few; 132 ×
  ** 3072 floats are 1.6 MB, which a 2 MB L2 still holds. */
  NER_BLOCK_TOK = 11 * NER_TILE_TOK,
  NER_ATTENTION_SLOTS = 16, /* team members that can do attention: scratch for each */
};

struct ner_session {
  struct ner_session *next; /* in the list of idle sessions */
  int64_t released_ms;      /* when it became idle */
  size_t n_bytes;           /* of scratch */
  struct ner_model *model;
  const struct ner_kernels *kernels;
  int32_t capacity_tok;
  int attention_slots;
  /* Distances between rows, in elements: an odd number of cache lines, so that the rows of a
  ** tile do not fall into the same cache set. */
  int ld_hidden, ld_qkv, ld_ffn; /* floats */
  int ldq_hidden, ldq_ffn;       /* bytes */
  void *scratch;                 /* all of the below, 64-byte aligned */
  float *hidden;                 /* [capacity_tok, hidden] h */
  float *qkv;                    /* [capacity_tok, 3·hidden] */
  float *context;                /* [capacity_tok, hidden] c */
  float *ffn;                    /* [NER_BLOCK_TOK, ffn] f */
  float *out;                    /* [NER_BLOCK_TOK, hidden] a product before its norm */
  uint8_t *hidden_q;             /* [capacity_tok, ner_quantised_bytes(hidden)] h or c */
  uint8_t *ffn_q;                /* [NER_BLOCK_TOK, ner_quantised_bytes(ffn)] */
  struct ner_row *hidden_row;    /* [capacity_tok] */
  struct ner_row *ffn_row;       /* [NER_BLOCK_TOK] */
  float *attention;              /* [attention_slots, attention_floats] */
  size_t attention_floats;
};

/* ---- session.c ---- */

int ner_session_new(struct ner_model *model, struct ner_session **out, struct ner_err *err);
void ner_session_free(struct ner_session *session);
int32_t ner_session_capacity_tok(const struct ner_session *session);

/* ---- session_pool.c ---- */

/* An idle session of this model, or a new one. Give it back with ner_session_release(). */
int ner_session_acquire(struct ner_model *model, struct ner_session **out, struct ner_err *err);
void ner_session_release(struct ner_session *session); /* NULL is fine */
/* Frees the idle sessions of a model that nothing refers to any more. */
void ner_session_forget_model(const struct ner_model *model);
/* Frees all sessions that have been idle for longer. Happens by itself while sessions come and
** go. */
void ner_session_trim(int64_t max_idle_ms);

/* What the sessions of this process hold. */
struct ner_session_stats {
  int n_idle, n_used;
  size_t idle_bytes, used_bytes;
};
struct ner_session_stats ner_session_stats(void);

#pragma GCC visibility pop
#endif
