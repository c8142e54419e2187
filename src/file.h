/*
** file.h - what the engine asks of the file system: map, read, replace.
**
** Errors begin with the path.
*/
#ifndef NER_FILE_H
#define NER_FILE_H

#include "base.h"

#pragma GCC visibility push(hidden)

enum ner_file_kind { NER_FILE_MISSING, NER_FILE_REGULAR, NER_FILE_DIRECTORY, NER_FILE_OTHER };
enum ner_file_kind ner_file_kind(const char *path);

/* "dir/name", to be freed with NER_FREE; NULL when memory is out. */
char *ner_file_join(const char *dir, const char *name);

/* A whole file as bytes that stay valid until it is unmapped. */
struct ner_mapping {
  const unsigned char *bytes; /* [n_bytes]; NULL when the file is empty */
  size_t n_bytes;
};
int ner_file_map(const char *path, struct ner_mapping *out, struct ner_err *err);
void ner_file_unmap(struct ner_mapping *mapping); /* {0} is fine */

/* A small file into memory: *out [*n_bytes] and a terminating NUL, for NER_FREE. */
int ner_file_read(const char *path, size_t max_bytes, char **out, size_t *n_bytes,
                  struct ner_err *err);

/* Writes beside `path`, and puts the result in its place in one step: readers
** see the old file or the new one, never a part. After a successful begin,
** exactly one of commit and abort. */
struct ner_file_writer {
  int fd;
  char *temp;
  const char *path; /* borrowed */
};
int ner_file_write_begin(struct ner_file_writer *w, const char *path, struct ner_err *err);
int ner_file_write(struct ner_file_writer *w, const void *data, size_t n_bytes,
                   struct ner_err *err);
int ner_file_write_commit(struct ner_file_writer *w, struct ner_err *err);
void ner_file_write_abort(struct ner_file_writer *w);

#pragma GCC visibility pop
#endif
