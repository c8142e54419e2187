/*
** hf_source.h - what a directory's files state about its tokenizer, beside the rules themselves:
** the class, its flags, special and added tokens.
**
**     struct hf_source src;
**     rc = hf_source_open(&src, dir, model, &err);
**     if( rc == NER_OK ) rc = hf_source_read_config(&src, &err);        tokenizer_config.json
**     ...                                                              tokenizer.json or vocab.txt
**     if( rc == NER_OK ) rc = hf_source_read_older_files(&src, &err);   special_tokens_map.json ...
**     hf_source_close(&src);
*/
#ifndef NER_HF_SOURCE_H
#define NER_HF_SOURCE_H

#include "model/hf_added.h"

#pragma GCC visibility push(hidden)

/* Special tokens, in the order in which transformers adds them. */
enum { HF_BOS, HF_EOS, HF_UNK, HF_SEP, HF_PAD, HF_CLS, HF_MASK, HF_N_SPECIAL };

/* What a directory says about its tokenizer. */
struct hf_source {
  struct ner_model *model;
  const char *dir;
  char *config_path, *tokenizer_config_path, *map_path, *added_path, *vocab_path, *json_path;
  bool bert;                        /* the class is one of BERT's */
  bool has_json;                    /* tokenizer.json is read */
  bool lowercase, split_cjk, basic; /* BERT's class; `basic`: do_basic_tokenize */
  bool strip_accents, strip_accents_stated;
  bool no_normalizer;    /* tokenizer.json has none: null */
  bool specials_as_text; /* split_special_tokens */
  double max_length;
  struct hf_token special[HF_N_SPECIAL]; /* content NULL: none */
  bool special_stated[HF_N_SPECIAL];
  struct hf_tokens additional; /* additional_special_tokens */
  struct hf_tokens extra;      /* extra_special_tokens */
  struct hf_tokens decoder;    /* added_tokens_decoder, by id in the end */
  bool has_decoder;            /* tokenizer_config.json has it */
  struct hf_tokens json_added; /* tokenizer.json's added_tokens */
  struct ner_tokenizer_parts parts;
  struct hf_added added;
};

/* A document and the source, for walks. */
struct hf_walk {
  struct hf_source *src;
  struct ner_json *json;
  const char *path; /* of the file */
  bool from_map;    /* special_tokens_map.json: objects are tokens, and special */
};

/* Fills src with the paths and the class's defaults. Close it also when this fails. */
int hf_source_open(struct hf_source *src, const char *dir, struct ner_model *model,
                   struct ner_err *err);
void hf_source_close(struct hf_source *src);

/* Whether there is a file or directory at this path. */
bool hf_source_has(const char *path);
/* Opens a file as Python's json module reads it. */
int hf_source_open_json(const char *path, struct ner_json **out, struct ner_err *err);
/* A token from a string or an object; *out owns its content. */
int hf_source_read_token(struct hf_walk *walk, const struct ner_json_item *item,
                         struct hf_token *out, struct ner_err *err);

/* Reads tokenizer_config.json, which may be missing, and config.json's tokenizer_class where the
** former has none. Set has_json before: some of its members make tokenizer.json unused. */
int hf_source_read_config(struct hf_source *src, struct ner_err *err);
/* Reads special_tokens_map.json and added_tokens.json into `decoder`, and appends json_added,
** unless tokenizer_config.json has an added_tokens_decoder, which replaces them. */
int hf_source_read_older_files(struct hf_source *src, struct ner_err *err);

/* Takes the decoder's token for a special token that it has; gives one that is not stated the
** class's default. */
int hf_source_complete_specials(struct hf_source *src, struct ner_err *err);
/* A special token, stated or by default; NULL: there is none. */
const struct hf_token *hf_source_special(const struct hf_source *src, int which);

#pragma GCC visibility pop
#endif
