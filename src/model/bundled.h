/* bundled.h - the bytes of the model that is part of the library: a file as
** ner_convert() writes it. Read-only, 64-byte aligned. NULL: a build without a model. */
#ifndef NER_BUNDLED_H
#define NER_BUNDLED_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

const unsigned char *ner_bundled(size_t *n_bytes);

#pragma GCC visibility pop
#endif
