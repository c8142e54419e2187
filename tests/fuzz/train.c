/*
** train.c - fuzzes ner_train(): spans, tags and options of any kind, through SQL, with a tiny
** model.
**
**     three pieces, each ended by 0xFF: text (or words), entities (or tags), options; a byte
**     that says what stands beside the row: nothing, a good row, the same text with other entities
**
** An error is fine. What is not: a crash; a row that contradicts itself; a file that does not load
** or does not know its labels; anything left when training failed.
*/
#include "fuzz.h"
#include "engine/registry.h"
#include "sql/sql.h"

static char target[TEST_PATH], checkpoint[TEST_PATH + 16];
static sqlite3 *db;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static char path[TEST_PATH];
  struct tiny tiny = tiny_distilbert();
  struct ner_err err = {0};
  (void)argc, (void)argv;
  fuzz_begin();
  tiny_write(fuzz_dir, &tiny);
  snprintf(path, sizeof path, "%s", fuzz_dir);
  check(ner_registry_load("tiny", path, NER_PRECISION_F32, NULL, &err) == NER_OK);
  test_path(target, fuzz_dir, "target");
  snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", target);
  check(sqlite3_open(":memory:", &db) == SQLITE_OK);
  check(sqlite3_ner_init(db, NULL, NULL) == SQLITE_OK);
  check(sqlite3_exec(db, "CREATE TABLE given(text, entities)", NULL, NULL, NULL) == SQLITE_OK);
  return 0;
}

static void bind(sqlite3_stmt *statement, int i, struct fuzz_bytes piece) {
  check(sqlite3_bind_text(statement, i, (const char *)piece.at, (int)piece.n, SQLITE_TRANSIENT) ==
        SQLITE_OK);
}

static void give(const char *sql, struct fuzz_bytes text, struct fuzz_bytes entities) {
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
  if( sqlite3_bind_parameter_count(statement) > 0 ) bind(statement, 1, text);
  if( sqlite3_bind_parameter_count(statement) > 1 ) bind(statement, 2, entities);
  check(sqlite3_step(statement) == SQLITE_DONE);
  sqlite3_finalize(statement);
}

static bool between(sqlite3_stmt *statement, int i) {
  double value = sqlite3_column_double(statement, i);
  return sqlite3_column_type(statement, i) == SQLITE_NULL || (value >= 0 && value <= 1);
}

/* Options that would take the fuzzer's time. */
static int stop_it(void *left) {
  return --*(int *)left < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
  static const char call[] = "SELECT epoch, step, steps, precision, recall, f1, note FROM"
                             " ner_train('SELECT text, entities FROM given', ?1, ?2)";
  struct fuzz_bytes in = {bytes, n_bytes};
  struct fuzz_bytes text = fuzz_until(&in, 0xFF), entities = fuzz_until(&in, 0xFF);
  struct fuzz_bytes options = fuzz_until(&in, 0xFF);
  int beside = fuzz_byte(&in), left = 3000, rc;
  sqlite3_int64 step = -1;
  bool last = false;
  sqlite3_stmt *statement;
  struct ner_model *model;
  struct ner_err err = {0};
  give("DELETE FROM given", text, entities);
  give("INSERT INTO given VALUES(?1, ?2)", text, entities);
  if( beside & 1 )
    give(
        "INSERT INTO given VALUES('Anna in Rome', '[{\"start\":8,\"end\":12,\"label\":\"CITY\"}]')",
        text, entities);
  if( beside & 2 ) give("INSERT INTO given VALUES(?1, '[]')", text, entities);
  sqlite3_progress_handler(db, 100, stop_it, &left);
  check(sqlite3_prepare_v2(db, call, -1, &statement, NULL) == SQLITE_OK);
  check(sqlite3_bind_text(statement, 1, target, -1, SQLITE_STATIC) == SQLITE_OK);
  bind(statement, 2, options);
  while( (rc = sqlite3_step(statement)) == SQLITE_ROW ) {
    check(!last);
    check(sqlite3_column_int64(statement, 1) >= step);
    step = sqlite3_column_int64(statement, 1);
    check(step <= sqlite3_column_int64(statement, 2));
    for( int i = 3; i <= 5; i++ ) check(between(statement, i));
    last = sqlite3_column_text(statement, 6) && *sqlite3_column_text(statement, 6) == '{';
  }
  sqlite3_finalize(statement);
  sqlite3_progress_handler(db, 0, NULL, NULL);
  check(last == (rc == SQLITE_DONE));
  if( last ) {
    check(ner_model_open(target, NER_PRECISION_FILE, &model, &err) == NER_OK);
    check(model->config.n_labels >= 3 && model->parameters > 0);
    ner_model_unref(model);
    check(access(checkpoint, F_OK) != 0);
  } else {
    check(access(target, F_OK) != 0);
  }
  remove(target);
  remove(checkpoint);
  return 0;
}
