/*
** vocab.h - the vocabulary: pieces and their ids, and the longest piece a word begins with.
**
**     ner_vocab_from_file(text, n_bytes, vocab_size, "vocab.txt", &vocab, &err);
**     id = ner_vocab_find(vocab, "Anna", 4);
**
** Immutable once finished; threads may share it.
*/
#ifndef NER_VOCAB_H
#define NER_VOCAB_H

#include "text/text.h"

#pragma GCC visibility push(hidden)

struct ner_vocab;

/* From a piece a line: line number = id, "\n" and "\r\n" end a line. `what` names the source in
** errors. The bytes are copied. A piece that stands twice keeps its last id. */
int ner_vocab_from_lines(const char *bytes, size_t n_bytes, const char *what,
                         struct ner_vocab **out, struct ner_err *err);
/* The same from a vocab.txt, read as Python reads it: "\r" alone ends a line as well. Pieces have
** ids below `limit`, except that blank lines beyond it count as pieces which are never found. */
int ner_vocab_from_file(const char *bytes, size_t n_bytes, int32_t limit, const char *what,
                        struct ner_vocab **out, struct ner_err *err);
/* Into and from lines in which a backslash stands before "\", "n" and "r": any piece can be kept.
** to_lines: *out is for NER_FREE; NER_NOMEM without a message. */
int ner_vocab_to_lines(const struct ner_vocab *vocab, char **out, size_t *n_out);
int ner_vocab_from_escaped(const char *bytes, size_t n_bytes, int32_t limit, const char *what,
                           struct ner_vocab **out, struct ner_err *err);

/* From pieces one by one (tokenizer.json): new, then add for each, in any order,
** the same piece with the same id as often as you like; ids must come out as
** 0..n-1 without holes, unless holes are allowed, when ner_vocab_finish() is called. Only the
** functions up to finish, and free, may be called before that. Pieces must be valid UTF-8. */
int ner_vocab_new(struct ner_vocab **out, struct ner_err *err);
void ner_vocab_set_limit(struct ner_vocab *vocab, int32_t limit); /* see ner_vocab_from_file() */
void ner_vocab_allow_holes(struct ner_vocab *vocab);              /* ids below 2^20 then */
int ner_vocab_add(struct ner_vocab *vocab, const char *piece, size_t n_bytes, int64_t id,
                  struct ner_err *err);
int ner_vocab_finish(struct ner_vocab *vocab, const char *what, struct ner_err *err);
void ner_vocab_free(struct ner_vocab *vocab);

/* What pieces inside a word begin with; "##" unless set. Also after finish. */
int ner_vocab_set_prefix(struct ner_vocab *vocab, const char *prefix, size_t n_bytes,
                         struct ner_err *err);
const char *ner_vocab_prefix(const struct ner_vocab *vocab, size_t *n_bytes);
/* Names an id that no piece has, after finish: an added token. The name is found neither by
** ner_vocab_find() nor by ner_vocab_match(). id >= 0; one that has a piece keeps it. */
int ner_vocab_set_name(struct ner_vocab *vocab, int32_t id, const char *name, size_t n_bytes,
                       struct ner_err *err);

int32_t ner_vocab_size(const struct ner_vocab *vocab); /* ids with a piece or name are below it */
size_t ner_vocab_distinct(const struct ner_vocab *vocab);        /* different pieces */
uint32_t ner_vocab_longest_piece(const struct ner_vocab *vocab); /* bytes */
int32_t ner_vocab_find(const struct ner_vocab *vocab, const char *piece, size_t n_bytes); /* -1 */
/* The longest piece that word's code points from `first` on begin with, or -1; *end is where it
** ends. Not more than NER_MATCH_CP code points are looked at. */
#define NER_MATCH_CP 1000
int32_t ner_vocab_match(const struct ner_vocab *vocab, const struct ner_word *word, uint32_t first,
                        uint32_t *end);
/* The piece as it stands in the vocabulary ("##rk"), or the name, not terminated; ids in range. */
const char *ner_vocab_piece(const struct ner_vocab *vocab, int32_t id, size_t *n_bytes);
/* Its length in code points, "##" included. */
uint32_t ner_vocab_piece_cp(const struct ner_vocab *vocab, int32_t id);

/* How far from home a piece of a finished vocabulary is found at most, in steps of the search; for
** tests. Another number each time: the table is laid out at random. */
size_t ner_vocab_longest_probe(const struct ner_vocab *vocab);

#pragma GCC visibility pop
#endif
