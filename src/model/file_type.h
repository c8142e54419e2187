/*
** file_type.h - what a file is that is not what it should be, said without repeating its content.
*/
#ifndef NER_FILE_TYPE_H
#define NER_FILE_TYPE_H

#include "base/base.h"

#pragma GCC visibility push(hidden)

/* Ends every complaint about a safetensors file's inside. */
#define NER_FETCH_AGAIN "; the file is damaged, incomplete or no safetensors file: fetch it again"

#define NER_FILE_TYPE_BYTES 512 /* of a file's beginning: enough to recognise all types */

/* The file at `path`, which begins with `bytes` [n], is no safetensors file: fails with what it is,
** or, where that is unknown, with `why`. Returns NER_ERROR. */
int ner_fail_no_weights(const char *path, const unsigned char *bytes, size_t n, const char *why,
                        struct ner_err *err);

/* A safetensors file that ner_convert() did not write: names the directory to give instead. */
int ner_fail_not_converted(const char *path, struct ner_err *err);

/* A directory without config.json, or without weights that can be read: says what it is or has
** instead (the root of a Hub cache, weights of another library), and what to do. */
int ner_fail_lacks_config(const char *dir, struct ner_err *err);
int ner_fail_lacks_weights(const char *dir, struct ner_err *err);

/* Reads a configuration or vocabulary, as ner_file_read() does; an error where it plainly is
** something else (a Git LFS pointer, a web page). */
int ner_read_text(const char *path, char **out, size_t *n_bytes, struct ner_err *err);

#pragma GCC visibility pop
#endif
