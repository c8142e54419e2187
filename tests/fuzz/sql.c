/*
** sql.c - fuzzes the SQL functions: calls of all of them with arguments of every type, on one
** connection, over two tiny models. An error is fine. What is not: a crash, a hang, an answer that
** disagrees with the C API or with another function's.
**
**     a call after the other: which (a byte), then its arguments; see value() for those. The very
**     first byte's top bits: in a UTF-16 database, in one that is a file (where ner_enrich() works on
**     a connection of its own)
**
** Models: "plain" (cased, f32) and "odd" (uncased, int8, with labels as nobody should name them).
** Tables: docs, with a view of its entities, and one whose names need quotes.
*/
#include "sql_run.h"

#define MAX_CALLS 6
#define MAX_STEPS 4000 /* progress handler calls, each after 100 opcodes */

static char plain_path[TEST_PATH], odd_path[TEST_PATH], source_dir[TEST_PATH],
    target_path[TEST_PATH], database_path[TEST_PATH];

/* Lists of what makes sense in a place. */
static const char *const texts[] = {
    "Anna lives in Rome.",
    "anna Anna a b aab Rome Romee . a. lives in in in Anna aba bab Rome",
    "Rom\xc3\xa9 e\xcc\x81 \xc3\xa9 Rome\n\"Anna\" <b>in</b> & 'Rome'\r\n",
    "bad \xff\xc0 Anna \xed\xa0\x80 [SEP] Rome \xf0\x9f\x98",
    "",
    NULL};
static const char *const models[] = {"plain", "odd", "PLAIN", "NER_MODEL", "nobody", NULL};
static const char *const aggregations[] = {"first",  "simple", "average", "MAX",
                                           "strict", "none",   NULL};
static const char *const thresholds[] = {"0.2", "0", "1", "0.5", "-1", "x", NULL};
static const char *const labels[] = {"PER", "per,LOC", "<&\"'>", "S-PER", "O", "PER,", " LOC ", NULL};
static const char *const precisions[] = {"f32", "int8", "INT8", "f16", NULL};
static const char *const paths[] = {plain_path, odd_path, source_dir, "/nowhere", NULL};
static const char *const targets[] = {target_path, "/nowhere/x", NULL};
static const char *const names[] = {"plain", "odd", "new", "a b", "bundled?", NULL};
static const char *const arrays[] = {"[\"Anna\",\"lives\",\"in\",\"Rome\",\".\"]",
                                     "[]",
                                     "[\"\",\" \",\"\\u200b\",1,2.5,\"a b\"]",
                                     "[[1]]",
                                     "{\"a\":\"Anna\"}",
                                     "[\"\\ud83d\\ude00\",\"[SEP]\",null]",
                                     NULL};
static const char *const queries[] = {
    "SELECT id, body FROM docs",
    "SELECT id, body FROM docs WHERE typeof(body) <> 'blob' ORDER BY id DESC",
    "SELECT 1, 'Anna' UNION ALL SELECT 2, x'00' UNION ALL SELECT NULL, NULL",
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<40)"
    " SELECT i, 'Anna in Rome ' || i FROM c",
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<300)"
    " SELECT i, 'Rome a. b' || i FROM c", /* several batches */
    "SELECT key, entity FROM ner_query('SELECT id, body FROM docs')",
    "SELECT done, total FROM ner_enrich('docs', 'body')",
    "INSERT INTO docs VALUES(9, 'x') RETURNING id, body",
    "SELECT id, body FROM docs; SELECT 1",
    "-- x\n;VALUES(abs(-9223372036854775807 - 1), 'Anna')",
    "SELECT 1",
    NULL};
static const char *const tables[] = {"docs", "main.docs", "odd \"t", "seen", "nowhere", NULL};
static const char *const columns[] = {"body", "a \"col'", "id", "rowid", "none", NULL};
static const char *const statements[] = {
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "DELETE FROM docs WHERE id % 2",
    "REPLACE INTO docs VALUES(2, 'Rome Anna'), (7, 'a'), (8, NULL)",
    "UPDATE docs SET id = id + 1 WHERE id > 2",
    "DROP TABLE docs_body_ner_queue",
    "DELETE FROM docs_body_ner",
    "DROP TRIGGER docs_body_ner_update",
    "ALTER TABLE docs RENAME COLUMN body TO bodies",
    "PRAGMA recursive_triggers = 1",
    "PRAGMA trusted_schema = 0",
    "ATTACH ':memory:' AS other",
    "CREATE TABLE docs2 AS SELECT * FROM ner_enrich('docs', 'body')",
    "INSERT INTO docs(body) SELECT entity FROM docs, ner(docs.body)",
    "SELECT * FROM ner",
    "SELECT * FROM ner('Anna', 'plain', 'first', 0.5, 1)",
    "SELECT ner_json()",
    "SELECT * FROM docs LEFT JOIN ner(docs.body) AS n ON n.label = 'PER' ORDER BY score LIMIT 3",
    "SELECT id FROM docs WHERE EXISTS (SELECT 1 FROM ner(docs.body) WHERE score > 0.3)",
    "SELECT label, count(*) FROM docs, ner(body) GROUP BY label HAVING count(*) > 1",
    "UPDATE ner SET label = 'x'",
    "DELETE FROM ner_models",
    "CREATE INDEX inferred ON docs(ner_json(body))",
    NULL};
static const char *const none[] = {NULL};

/* ---- what the C API says ---- */

struct expected {
  bool null, error;
  char *text; /* [n] */
  size_t n;
  struct ner_model *model;
  struct ner_options options;
  struct ner_entities found;
};

static void keep_text(sqlite3_stmt *stmt, void *arg) {
  struct expected *e = arg;
  e->null = sqlite3_column_type(stmt, 0) == SQLITE_NULL;
  e->error = sqlite3_column_type(stmt, 0) == SQLITE_BLOB;
  sqlite3_column_text(stmt, 0);
  e->n = (size_t)sqlite3_column_bytes(stmt, 0);
  e->text = fuzz_copy(sqlite3_column_text(stmt, 0), e->n);
}

/* Connections without limits, for questions of our own; the one of the run's encoding. */
static struct run asides[2] = {{.wide = false}, {.wide = true}}, *aside;

/* A value as a name; false where it cannot be one. NULL: *out is "". */
static bool as_name(const struct value *v, char out[300]) {
  struct expected e = {0};
  struct answer a = ask(aside, "SELECT ?1", v, 1, keep_text, &e);
  bool good = a.rc == SQLITE_DONE && !e.error && e.n < 300 && !memchr(e.text, 0, e.n) &&
              (e.null || e.n > 0);
  out[0] = 0;
  if( good && !e.null ) memcpy(out, e.text, e.n), out[e.n] = 0;
  free(e.text);
  discard(&a);
  return good;
}

/* v: text, model, aggregation, threshold */
static struct expected expect(const struct value *v, int n) {
  struct expected e = {0};
  struct ner_err err = {0};
  struct answer a = ask(aside, "SELECT ?1", v, 1, keep_text, &e);
  char name[300];
  check(a.rc == SQLITE_DONE);
  discard(&a);
  if( n > 2 && v[2].type != SQLITE_NULL )
    e.error |= !as_name(&v[2], name) ||
               ner_aggregation_parse(name, &e.options.aggregation, &err) != NER_OK;
  if( n > 3 && v[3].type != SQLITE_NULL ) {
    struct answer number = ask(aside,
                               "SELECT 1 WHERE typeof(?1 + 0) IN ('integer','real') AND"
                               " typeof(?1) <> 'blob' AND ?1 + 0 BETWEEN 0 AND 1",
                               &v[3], 1, NULL, NULL);
    char *end;
    e.error |= number.rows == 0 || !as_name(&v[3], name);
    discard(&number);
    if( !e.error ) {
      e.options.threshold = strtod(name, &end);
      e.error = *end && v[3].type != SQLITE_FLOAT && v[3].type != SQLITE_INTEGER;
      if( v[3].type == SQLITE_FLOAT ) e.options.threshold = v[3].real;
    }
  }
  if( e.null || e.error ) return e;
  if( n > 1 && !as_name(&v[1], name) ) {
    e.error = true;
    return e;
  }
  e.error = ner_registry_get(n > 1 && name[0] ? name : NULL, NULL, &e.model, &err) != NER_OK ||
            ner_extract(e.model, e.text, e.n, &e.options, &e.found, &err) != NER_OK;
  if( !e.error ) fuzz_check_entities(e.model, e.text, e.n, &e.options, &e.found);
  return e;
}

static void forget(struct expected *e) {
  ner_entities_free(&e->found);
  ner_model_unref(e->model);
  free(e->text);
}

/* ---- the calls ---- */

struct ner_rows {
  const struct expected *e;
  size_t n;
};

/* The first column is this text. */
static bool holds(sqlite3_stmt *stmt, const char *text, size_t n) {
  const unsigned char *found = sqlite3_column_text(stmt, 0);
  size_t n_found = (size_t)sqlite3_column_bytes(stmt, 0);
  return (n_found == n && (n == 0 || memcmp(found, text, n) == 0)) ||
         (aside->wide && lossy(text, n));
}

/* entity, label, score, start, end, start_byte, end_byte */
static void check_row(sqlite3_stmt *stmt, void *arg) {
  struct ner_rows *rows = arg;
  const struct ner_entity *e;
  size_t n_bytes;
  check(rows->n < rows->e->found.n);
  e = &rows->e->found.entity[rows->n++];
  n_bytes = e->end_byte - e->start_byte;
  check(sqlite3_column_type(stmt, 0) == SQLITE_TEXT);
  check(holds(stmt, rows->e->text + e->start_byte, n_bytes));
  check(strcmp((const char *)sqlite3_column_text(stmt, 1), e->label) == 0);
  check((float)sqlite3_column_double(stmt, 2) == e->score);
  check(sqlite3_column_int64(stmt, 3) == e->start && sqlite3_column_int64(stmt, 4) == e->end);
  check(sqlite3_column_int64(stmt, 5) == e->start_byte);
  check(sqlite3_column_int64(stmt, 6) == e->end_byte);
}

#define NER_COLUMNS "entity, label, score, start, \"end\", start_byte, end_byte"

static void call_ner(struct run *run) {
  static const char *const sql[] = {
      "SELECT " NER_COLUMNS " FROM ner(?1)", "SELECT " NER_COLUMNS " FROM ner(?1, ?2)",
      "SELECT " NER_COLUMNS " FROM ner(?1, ?2, ?3)",
      "SELECT " NER_COLUMNS " FROM ner(?1, ?2, ?3, ?4)"};
  int n = fuzz_byte(&run->in) % 4 + 1;
  struct value v[4];
  struct expected e;
  struct answer a;
  struct ner_rows rows = {&e, 0};
  v[0] = value(run, texts), v[1] = value(run, models);
  v[2] = value(run, aggregations), v[3] = value(run, thresholds);
  e = expect(v, n);
  a = ask(run, sql[n - 1], v, n, check_row, &rows);
  if( comparable(run, &a) ) {
    if( e.error != (a.rc != SQLITE_DONE) ) fail_msg("%d %s", a.rc, sqlite3_errmsg(run->db));
    check(a.rc != SQLITE_DONE || rows.n == e.found.n);
  }
  forget(&e);
  discard(&a);
}

/* Constraints that ner() takes into account itself give what SQLite would have left over. */
static void call_wish(struct run *run) {
  static const char *const wishes[] = {
      "label = ?3",  "score >= ?3", "score > ?3 AND label = ?4", "label = ?3 COLLATE NOCASE",
      "?3 = label",  "score = ?3",  "label IN (?3, ?4)",         "label IS ?3",
      "label <> ?3", "score < ?3",  "score >= ?3 AND score > ?4"};
  const char *pushdown = wishes[fuzz_byte(&run->in) % (sizeof wishes / sizeof *wishes)];
  bool query = fuzz_byte(&run->in) & 1;
  const char *from = query ? "ner_query(?1, ?2)" : "ner(?1, ?2)";
  struct value v[4];
  char a[300], b[300];
  v[0] = value(run, query ? queries : texts), v[1] = value(run, models);
  v[2] = value(run, labels), v[3] = value(run, thresholds);
  snprintf(a, sizeof a, "SELECT entity, label, score, start FROM %s WHERE %s", from, pushdown);
  /* A LIMIT keeps SQLite from moving the condition inside. */
  snprintf(b, sizeof b,
           "SELECT entity, label, score, start FROM"
           " (SELECT * FROM %s LIMIT 1000000) WHERE %s",
           from, pushdown);
  if( query ) { /* what it cannot do it may find out at different times */
    struct answer whole = ask(run, "SELECT count(*) FROM ner_query(?1, ?2)", v, 2, NULL, NULL);
    bool fine = whole.rc == SQLITE_DONE;
    discard(&whole);
    if( !fine ) return;
  }
  same_answer(run, a, b, v, 4);
}

static void call_in(struct run *run) {
  struct value v[5];
  for( int i = 0; i < 3; i++ ) {
    v[i] = value(run, texts);
    /* SQLite keeps the real 2.0 of such a list as 2, which is another text. */
    if( v[i].type == SQLITE_FLOAT ) v[i].type = SQLITE_NULL;
  }
  v[3] = value(run, models), v[4] = value(run, aggregations);
  same_answer(run,
              "SELECT text, " NER_COLUMNS " FROM ner WHERE text IN (?1, ?2, ?3) AND model IS ?4"
              " AND aggregation = ?5 ORDER BY text, start, end_byte, label, score",
              "SELECT t, " NER_COLUMNS " FROM (SELECT ?1 AS t UNION SELECT ?2 UNION SELECT ?3) AS x,"
              " ner(x.t) AS n WHERE n.model IS ?4 AND n.aggregation = ?5"
              " ORDER BY t, start, end_byte, label, score",
              v, 5);
}

/* Arguments named as the hidden columns they are, in any order, are those arguments. */
static void call_hidden(struct run *run) {
  static const char *const tables_of[][2] = {
      {"SELECT entity, score, start, text, model, aggregation, threshold FROM ner"
       " WHERE threshold = ?4 AND aggregation = ?3 AND model = ?2 AND text = ?1",
       "SELECT entity, score, start, ?1, ?2, ?3, ?4 FROM ner(?1, ?2, ?3, ?4)"},
      {"SELECT key, entity, score, start, sql, model, aggregation, threshold FROM ner_query"
       " WHERE aggregation = ?3 AND sql = ?1 AND threshold = ?4 AND model = ?2",
       "SELECT key, entity, score, start, ?1, ?2, ?3, ?4 FROM ner_query(?1, ?2, ?3, ?4)"},
      {"SELECT idx, token, score, text, model FROM ner_tokens"
       " WHERE model = ?2 AND text = ?1 AND ?3 IS ?3 AND ?4 IS ?4",
       "SELECT idx, token, score, ?1, ?2 FROM ner_tokens(?1, ?2) WHERE ?3 IS ?3 AND ?4 IS ?4"},
      {"SELECT idx, word, score, json_array, model FROM ner_words"
       " WHERE model = ?2 AND json_array = ?1 AND ?3 IS ?3 AND ?4 IS ?4",
       "SELECT idx, word, score, ?1, ?2 FROM ner_words(?1, ?2) WHERE ?3 IS ?3 AND ?4 IS ?4"}};
  static const char *const *const first[] = {texts, queries, texts, arrays};
  int which = fuzz_byte(&run->in) % 4;
  struct value v[4];
  v[0] = value(run, first[which]), v[1] = value(run, models);
  v[2] = value(run, aggregations), v[3] = value(run, thresholds);
  if( which == 1 ) { /* what its statement enriches it enriches once */
    struct answer first_time = ask(run, "SELECT count(*) FROM ner_query(?1, ?2)", v, 2, NULL, NULL);
    discard(&first_time);
  }
  same_answer(run, tables_of[which][0], tables_of[which][1], v, 4);
}

struct token_rows {
  const struct expected *e;
  struct ner_tokens tokens;
  size_t n;
};

/* idx, token, label, score, start, end, start_byte, end_byte, word_idx */
static void check_token(sqlite3_stmt *stmt, void *arg) {
  struct token_rows *rows = arg;
  const struct ner_token *t;
  double score = sqlite3_column_double(stmt, 3);
  check(rows->n < rows->tokens.n);
  t = &rows->tokens.token[rows->n++];
  check(sqlite3_column_int64(stmt, 0) == (sqlite3_int64)rows->n);
  check(score > 0 && score <= 1);
  check(sqlite3_column_int64(stmt, 4) == t->start && sqlite3_column_int64(stmt, 5) == t->end);
  check(sqlite3_column_int64(stmt, 6) == t->start_byte);
  check(sqlite3_column_int64(stmt, 7) == t->end_byte);
}

static void call_tokens(struct run *run) {
  struct value v[2];
  struct expected e;
  struct token_rows rows = {.e = &e};
  struct ner_err err = {0};
  struct answer a;
  v[0] = value(run, texts), v[1] = value(run, models);
  e = expect(v, 2);
  if( e.model )
    check(ner_tokenize(e.model->tokenizer, e.text, e.n, 0, &rows.tokens, NULL, &err) == NER_OK);
  a = ask(run,
          "SELECT idx, token, label, score, start, \"end\", start_byte, end_byte, word"
          " FROM ner_tokens(?1, ?2)",
          v, 2, check_token, &rows);
  if( comparable(run, &a) ) {
    check(e.error == (a.rc != SQLITE_DONE));
    check(a.rc != SQLITE_DONE || rows.n == rows.tokens.n);
  }
  ner_tokens_free(&rows.tokens);
  forget(&e);
  discard(&a);
}

static void check_word(sqlite3_stmt *stmt, void *arg) {
  int *n = arg;
  double score = sqlite3_column_double(stmt, 2);
  check(sqlite3_column_int(stmt, 0) == (*n)++);
  check(sqlite3_column_type(stmt, 1) == SQLITE_TEXT);
  if( sqlite3_column_int(stmt, 3) != 1 ) fail_msg("scores: %s", sqlite3_column_text(stmt, 5));
  if( sqlite3_column_type(stmt, 2) != SQLITE_NULL ) check(score > 0 && score <= 1);
}

static void call_words(struct run *run) {
  struct value v[2];
  struct answer a;
  int n = 0;
  v[0] = value(run, arrays), v[1] = value(run, models);
  a = ask(run,
          "SELECT idx, label, score, scores IS NULL OR json_valid(scores), word, scores"
          " FROM ner_words(?1, ?2)",
          v, 2, check_word, &n);
  if( a.rc == SQLITE_DONE && v[0].type == SQLITE_TEXT )
    same_answer(run, "SELECT count(*) FROM ner_words(?1, ?2)", "SELECT json_array_length(?1)", v, 2);
  discard(&a);
}

static void check_json(sqlite3_stmt *stmt, void *arg) {
  check(sqlite3_column_type(stmt, 0) == SQLITE_NULL || sqlite3_column_int(stmt, 0) == 1);
}

static void call_json(struct run *run) {
  struct value v[2];
  struct answer a;
  v[0] = value(run, texts), v[1] = value(run, models);
  a = ask(run, "SELECT j IS NULL OR json_valid(j) FROM (SELECT ner_json(?1, ?2) AS j)", v, 2, check_json, NULL);
  same_answer(run,
              "SELECT json_extract(value, '$.label'), json_extract(value, '$.start'),"
              " json_extract(value, '$.end'), round(json_extract(value, '$.score'), 9)"
              " FROM json_each(ner_json(?1, ?2))",
              "SELECT label, start, \"end\", round(score, 9) FROM ner(?1, ?2)", v, 2);
  discard(&a);
}

struct redact_rows {
  const struct expected *e;
  const char *list; /* NULL: all */
};

/* Is `label` one of the list 'PER, loc'? */
static bool listed(const char *list, const char *label) {
  size_t n_label = strlen(label);
  for( const char *at = list; at; ) {
    const char *comma = strchr(at, ',');
    size_t n = comma ? (size_t)(comma - at) : strlen(at);
    while( n && *at == ' ' ) at++, n--;
    while( n && at[n - 1] == ' ' ) n--;
    if( n == n_label && sqlite3_strnicmp(at, label, (int)n) == 0 ) return true;
    at = comma ? comma + 1 : NULL;
  }
  return false;
}

/* Whether the list names this type, or one of the model's labels of it in full. */
static bool lists_type(const char *list, const struct ner_model *model, const char *type) {
  bool found = listed(list, type);
  for( int32_t i = 0; i < model->config.n_labels && !found; i++ ) {
    const char *dash = strchr(model->label[i].name, '-');
    found = strcmp(dash ? dash + 1 : model->label[i].name, type) == 0 &&
            listed(list, model->label[i].name);
  }
  return found;
}

static void check_redacted(sqlite3_stmt *stmt, void *arg) {
  struct redact_rows *r = arg;
  struct answer wanted = {0};
  uint32_t at = 0;
  if( r->e->null ) {
    check(sqlite3_column_type(stmt, 0) == SQLITE_NULL);
    return;
  }
  for( size_t i = 0; i < r->e->found.n; i++ ) {
    const struct ner_entity *e = &r->e->found.entity[i];
    if( r->list && !lists_type(r->list, r->e->model, e->label) ) continue;
    if( e->start_byte > at ) put(&wanted, r->e->text + at, e->start_byte - at);
    put(&wanted, "[", 1);
    put(&wanted, e->label, strlen(e->label));
    put(&wanted, "]", 1);
    if( e->end_byte > at ) at = e->end_byte;
  }
  put(&wanted, r->e->text + at, r->e->n - at);
  check(holds(stmt, wanted.cells, wanted.n));
  discard(&wanted);
}

/* What may be listed is what ner() calls a label, or the model's label in full: any other name
** would redact nothing. */
static void check_list(const struct ner_model *model, const char *list) {
  for( const char *at = list; at; ) {
    const char *comma = strchr(at, ',');
    bool known = false;
    char name[300];
    snprintf(name, sizeof name, "%.*s", comma ? (int)(comma - at) : (int)strlen(at), at);
    for( int32_t i = 0; i < model->config.n_labels && !known; i++ ) {
      const char *dash = strchr(model->label[i].name, '-');
      known = listed(name, dash ? dash + 1 : model->label[i].name) ||
              listed(name, model->label[i].name);
    }
    check(known);
    at = comma ? comma + 1 : NULL;
  }
}

static void call_redact(struct run *run) {
  struct value v[3], text_and_model[2];
  struct expected e;
  char list[300];
  struct redact_rows r = {&e, NULL};
  struct answer a;
  int n = fuzz_byte(&run->in) % 3 + 1;
  v[0] = value(run, texts), v[1] = value(run, labels), v[2] = value(run, models);
  text_and_model[0] = v[0], text_and_model[1] = v[2];
  e = expect(text_and_model, n == 3 ? 2 : 1);
  if( n > 1 && v[1].type != SQLITE_NULL && as_name(&v[1], list) && list[0] ) r.list = list;
  a = ask(run,
          n == 1   ? "SELECT ner_redact(?1)"
          : n == 2 ? "SELECT ner_redact(?1, ?2)"
                   : "SELECT ner_redact(?1, ?2, ?3)",
          v, n, n == 1 || v[1].type == SQLITE_NULL || r.list ? check_redacted : NULL, &r);
  if( comparable(run, &a) && (e.error || n == 1) ) check(e.error == (a.rc != SQLITE_DONE));
  if( a.rc == SQLITE_DONE && r.list && e.model ) check_list(e.model, list);
  forget(&e);
  discard(&a);
}

/* A code point of our HTML, -1 at the end. Tags are checked and left out, <small> with all that is
** in it. */
static int32_t html_next(const char **at) {
  static const char *const tags[] = {"<span class=\"ner\" style=\"", "</span>",
                                     "<mark class=\"ner-", "</mark>", "<small style=\""};
  static const struct {
    const char *name;
    int32_t c;
  } entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}};
  while( **at == '<' ) {
    size_t i = 0;
    while( i < 5 && strncmp(*at, tags[i], strlen(tags[i])) != 0 ) i++;
    check(i < 5);
    *at = strstr(*at, i == 4 ? "</small>" : ">");
    check(*at);
    *at += i == 4 ? 8 : 1;
  }
  check(**at == 0 || **at == '\n' || **at == '\t' || (**at >= ' ' && **at < 0x7F));
  check(**at != '>' && **at != '"' && **at != '\'');
  if( **at == 0 ) return -1;
  if( **at != '&' ) return *(*at)++;
  for( size_t i = 0; i < 4; i++ )
    if( strncmp(*at, entities[i].name, strlen(entities[i].name)) == 0 ) {
      *at += strlen(entities[i].name);
      return entities[i].c;
    }
  check((*at)[1] == '#');
  char *end;
  long c = strtol(*at + 2, &end, 10);
  check(end > *at + 2 && *end == ';');
  *at = end + 1;
  return (int32_t)c;
}

static void check_html(sqlite3_stmt *stmt, void *arg) {
  const struct expected *e = arg;
  const char *html = (const char *)sqlite3_column_text(stmt, 0);
  uint32_t at = 0;
  if( e->null || e->error ) return;
  check(html && strlen(html) == (size_t)sqlite3_column_bytes(stmt, 0));
  while( at < e->n ) {
    int32_t c = ner_utf8_next((const unsigned char *)e->text, (uint32_t)e->n, &at);
    if( c == '\r' ) {
      c = '\n';
      if( at < e->n && e->text[at] == '\n' ) at++;
    }
    if( (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) ) c = 0xFFFD;
    check(html_next(&html) == c);
  }
  check(html_next(&html) == -1);
}

static void call_html(struct run *run) {
  struct value v[2];
  struct expected e;
  struct answer a;
  v[0] = value(run, texts), v[1] = value(run, models);
  e = expect(v, 2);
  a = ask(run, "SELECT ner_html(?1, ?2)", v, 2, check_html, &e);
  if( comparable(run, &a) ) check(e.error == (a.rc != SQLITE_DONE));
  forget(&e);
  discard(&a);
}

static void call_query(struct run *run) {
  struct value v[4];
  struct answer a;
  v[0] = value(run, queries), v[1] = value(run, models);
  v[2] = value(run, aggregations), v[3] = value(run, thresholds);
  a = ask(run, "SELECT * FROM ner_query(?1, ?2, ?3, ?4)", v, 4, NULL, NULL);
  discard(&a);
  /* Without a text ner() is not even called, and cannot complain. */
  a = ask(run, "SELECT 1 FROM docs WHERE typeof(body) NOT IN ('blob', 'null') LIMIT 1", NULL, 0,
          NULL, NULL);
  discard(&a);
  if( a.rows == 0 ) return;
  same_answer(run,
              "SELECT key, entity, label, score, start, \"end\" FROM"
              " ner_query('SELECT id, body FROM docs WHERE typeof(body) <> ''blob'' ORDER BY id',"
              " ?2, ?3, ?4) WHERE ?1 IS ?1",
              "SELECT id, entity, label, score, start, \"end\" FROM (SELECT id, body FROM docs"
              " WHERE typeof(body) <> 'blob' ORDER BY id) AS d"
              " CROSS JOIN ner(d.body, ?2, ?3, ?4) WHERE ?1 IS ?1",
              v, 4);
}

/* Enriched to the end, the table holds what ner() says of every row, and there is no more to do. */
static void call_enrich(struct run *run) {
  struct value v[5];
  struct answer a;
  v[0] = value(run, tables), v[1] = value(run, columns), v[2] = value(run, models);
  v[3] = value(run, aggregations), v[4] = value(run, thresholds);
  a = ask(run,
          "SELECT done, total, entities, errors, rows_per_second, eta_seconds FROM"
          " ner_enrich(?1, ?2, ?3, ?4, ?5)",
          v, 5, NULL, NULL);
  if( a.rc == SQLITE_DONE && v[0].type == SQLITE_TEXT && v[0].n == 4 && v[1].type == SQLITE_TEXT &&
      v[1].n == 4 && memcmp(v[0].bytes, "docs", 4) == 0 && memcmp(v[1].bytes, "body", 4) == 0 ) {
    if( !run->by_hand )
      same_answer(run,
                  "SELECT docs_rowid, entity, label, score, start, \"end\" FROM docs_body_ner"
                  " WHERE ?1 IS ?1 AND ?2 IS ?2 ORDER BY docs_rowid, start, \"end\", label, score",
                  "SELECT rowid, entity, label, score, start, \"end\" FROM"
                  " (SELECT rowid, body FROM docs WHERE typeof(body) <> 'blob') AS d"
                  " CROSS JOIN ner(d.body, ?3, ?4, ?5) WHERE ?1 IS ?1 AND ?2 IS ?2"
                  " ORDER BY rowid, start, \"end\", label, score",
                  v, 5);
    same_answer(run, "SELECT sum(done) FROM ner_enrich(?1, ?2, ?3, ?4, ?5)", "SELECT 0", v, 5);
  }
  discard(&a);
}

static void call_docs(struct run *run) {
  struct value v[2] = {value(run, none), value(run, texts)};
  struct answer a = ask(run, "REPLACE INTO docs VALUES(?1, ?2)", v, 2, NULL, NULL);
  discard(&a);
}

static void call_statement(struct run *run) {
  const char *sql = pick(statements, fuzz_byte(&run->in));
  struct answer a = ask(run, sql, NULL, 0, NULL, NULL);
  if( strcmp(sql, "DELETE FROM docs_body_ner") == 0 ) run->by_hand = true;
  discard(&a);
}

static void call_seen(struct run *run) {
  same_answer(run, "SELECT id, entity, label FROM seen",
              "SELECT id, entity, label FROM docs CROSS JOIN ner(docs.body)", NULL, 0);
}

static void call_admin(struct run *run) {
  static const char *const sql[] = {"SELECT ner_load(?1, ?2)", "SELECT ner_load(?1, ?2, ?3)",
                                    "SELECT ner_unload(?1)",   "SELECT ner_default(?1)",
                                    "SELECT * FROM ner_models", "SELECT ner_threads()"};
  int which = fuzz_byte(&run->in) % 6;
  struct value v[3] = {value(run, names), value(run, paths), value(run, precisions)};
  struct answer a = ask(run, sql[which], v, 3, NULL, NULL);
  discard(&a);
  run->registry = true;
}

/* Writes; so the target is never the fuzzer's to name. */
static void call_convert(struct run *run) {
  struct value v[3] = {value(run, paths), {0}, value(run, precisions)};
  struct answer a;
  v[1].type = SQLITE_TEXT;
  v[1].bytes = pick(targets, fuzz_byte(&run->in));
  v[1].n = (int)strlen(v[1].bytes);
  a = ask(run, "SELECT ner_convert(?1, ?2, ?3)", v, 3, NULL, NULL);
  if( a.rc == SQLITE_DONE && v[1].bytes == target_path ) {
    struct ner_model *model;
    struct ner_err err = {0};
    if( ner_model_open(target_path, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
    ner_model_unref(model);
  }
  discard(&a);
}

/* Threads are real ones: few of them. With two, batches are labelled in the background. */
static void call_rest(struct run *run) {
  struct value v = value(run, none);
  struct answer a;
  if( v.type == SQLITE_INTEGER && v.integer > 3 ) v.integer &= 3;
  if( v.type != SQLITE_FLOAT && v.type != SQLITE_TEXT && v.type != UTF16 ) {
    a = ask(run, "SELECT ner_threads(?1)", &v, 1, NULL, NULL);
    discard(&a);
    run->threads = true;
  }
  a = ask(run, "SELECT json_valid(ner_debug()), ner_version()", NULL, 0, check_json, NULL);
  discard(&a);
}

/* What comes after has little time, or little room. */
static void call_squeeze(struct run *run) {
  static const int limits[] = {SQLITE_LIMIT_LENGTH,          SQLITE_LIMIT_SQL_LENGTH,
                               SQLITE_LIMIT_COLUMN,          SQLITE_LIMIT_EXPR_DEPTH,
                               SQLITE_LIMIT_COMPOUND_SELECT, SQLITE_LIMIT_FUNCTION_ARG,
                               SQLITE_LIMIT_ATTACHED,        SQLITE_LIMIT_VARIABLE_NUMBER,
                               SQLITE_LIMIT_TRIGGER_DEPTH};
  int how = fuzz_byte(&run->in), much = fuzz_byte(&run->in);
  int which = how / 2 % (int)(sizeof limits / sizeof *limits);
  if( how & 1 ) {
    run->steps_left = much / 4;
  } else {
    sqlite3_limit(run->db, limits[which], which < 2 ? 30 + much * 8 : much & 31);
    run->limited = true;
  }
}

/* ---- the whole ---- */

static void (*const calls[])(struct run *run) = {
    call_ner,    call_wish,   call_in,    call_tokens,    call_words, call_json,
    call_redact, call_html,   call_query, call_enrich,    call_docs,  call_statement,
    call_seen,   call_admin,  call_convert, call_rest,    call_squeeze,
    call_hidden,
};

static void load_models(void) {
  struct ner_registry_entry *list;
  struct ner_err err = {0};
  size_t n;
  check(ner_registry_list(&list, &n, &err) == NER_OK);
  for( size_t i = 0; i < n; i++ ) ner_registry_unload(list[i].name, &(struct ner_err){0});
  ner_registry_list_free(list, n);
  if( ner_registry_load("plain", plain_path, NER_PRECISION_FILE, NULL, &err) ||
      ner_registry_load("odd", odd_path, NER_PRECISION_FILE, NULL, &err) ||
      ner_registry_set_default("plain", NULL, &err) )
    fail_msg("%s", err.msg);
}

static sqlite3 *connect(const char *path, bool wide) {
  sqlite3 *db;
  check(sqlite3_open(path, &db) == SQLITE_OK);
  if( wide ) check(sqlite3_exec(db, "PRAGMA encoding = 'UTF-16'", NULL, NULL, NULL) == SQLITE_OK);
  return db;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  struct tiny plain = tiny_distilbert(), odd = tiny_bert();
  struct ner_err err = {0};
  (void)argc, (void)argv;
  fuzz_begin();
  plain.layers = odd.layers = 1;
  plain.n_labels = 5;
  plain.id2label = "{\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-LOC\",\"4\":\"I-LOC\"}";
  odd.n_labels = 8;
  odd.id2label = "{\"0\":\"O\",\"1\":\"B-<&\\\"'>\",\"2\":\"I-<&\\\"'>\",\"3\":\"S-PER\","
                 "\"4\":\"x,y\",\"5\":\"B-\",\"6\":\"E-O\",\"7\":\"I-\\u00e9-\\ud83d\\ude00\"}";
  test_path(plain_path, fuzz_dir, "plain");
  test_path(odd_path, fuzz_dir, "odd");
  test_path(target_path, fuzz_dir, "target");
  test_path(database_path, fuzz_dir, "database");
  test_dir_make(source_dir);
  tiny_write(source_dir, &odd);
  if( ner_convert(source_dir, odd_path, NER_PRECISION_INT8, &err) ) fail_msg("%s", err.msg);
  tiny_write(source_dir, &plain);
  if( ner_convert(source_dir, plain_path, NER_PRECISION_F32, &err) ) fail_msg("%s", err.msg);
  setenv("NER_MODEL", plain_path, 1); /* the bundled one is large */
  for( int i = 0; i < 2; i++ ) asides[i].db = connect(":memory:", asides[i].wide);
  load_models();
  return 0;
}

static int progress(void *arg) {
  struct run *run = arg;
  return --run->steps_left < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
  struct run run = {.in = {bytes, n_bytes}, .steps_left = MAX_STEPS};
  char *message = NULL;
  run.wide = n_bytes > 0 && bytes[0] & 0x80;
  run.db = connect(n_bytes > 0 && bytes[0] & 0x40 ? database_path : ":memory:", run.wide);
  aside = &asides[run.wide];
  check(sqlite3_ner_init(run.db, &message, NULL) == SQLITE_OK);
  check(sqlite3_exec(run.db,
                     "CREATE TABLE docs(id INTEGER PRIMARY KEY, body);"
                     "CREATE VIEW seen AS SELECT id, entity, label FROM docs"
                     " CROSS JOIN ner(docs.body);"
                     "CREATE TABLE \"odd \"\"t\"(k TEXT COLLATE NOCASE, l, \"a \"\"col'\" UNIQUE,"
                     " PRIMARY KEY(k, l)) WITHOUT ROWID;"
                     "INSERT INTO docs VALUES(1, 'Anna lives in Rome.'), (3, ''), (4, x'ff'), (5, 1.5);"
                     "INSERT INTO \"odd \"\"t\" VALUES('a', 1, 'Anna'), ('B', NULL + 2, 'Rome')"
                     " ON CONFLICT DO NOTHING",
                     NULL, NULL, NULL) != SQLITE_NOMEM);
  sqlite3_progress_handler(run.db, 100, progress, &run);
  for( int i = 0; i < MAX_CALLS && run.in.n > 0; i++ )
    calls[fuzz_byte(&run.in) % (sizeof calls / sizeof *calls)](&run);
  check(sqlite3_close(run.db) == SQLITE_OK); /* no statement is left */
  remove(database_path);
  if( run.registry ) load_models();
  if( run.threads ) ner_pool_threads(1);
  return 0;
}
