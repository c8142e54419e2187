/*
** stranger.c - what a program does that has text and wants names, with include/ner.h alone: no
** extension is loaded. Built by tests/sh/install.sh against the installed library, and by
** tests/sh/amalgamation.sh together with sqlite-ner.c:
**
**     cc stranger.c $(pkg-config --cflags --libs ner) -o stranger
**     ./stranger [MODEL]                 a model's directory or file; without it the bundled one
**
** With -DWITH_SQL it asks the same in SQL, in a database of its own.
*/
#ifdef WITH_SQL
#include <sqlite3.h>
#endif
#include <ner.h>
#include <stdio.h>
#include <string.h>

static const char text[] = "My name is Wolfgang and I live in Zürich.";

static int extract(const char *path) {
  struct ner_err err = {0};
  struct ner_model *model = NULL;
  struct ner_entities found = {0};
  int rc = path ? ner_model_open(path, NER_PRECISION_FILE, &model, &err)
                : ner_model_open_bundled(&model, &err);
  if( rc == NER_OK ) rc = ner_extract(model, text, strlen(text), NULL, &found, &err);
  if( rc != NER_OK ) fprintf(stderr, "%s\n", err.msg);
  for( size_t i = 0; rc == NER_OK && i < found.n; i++ ) {
    const struct ner_entity *e = &found.entity[i];
    printf("%s %.2f %u-%u %.*s\n", e->label, e->score, e->start, e->end,
           (int)(e->end_byte - e->start_byte), text + e->start_byte);
  }
  ner_entities_free(&found);
  ner_model_unref(model);
  return rc;
}

#ifdef WITH_SQL
static int ask_in_sql(void) {
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  int rc;
  sqlite3_auto_extension((void (*)(void))sqlite3_ner_init);
  rc = sqlite3_open(":memory:", &db);
  if( rc == SQLITE_OK )
    rc = sqlite3_prepare_v2(db,
                            "SELECT label, round(score, 2), start, \"end\", entity FROM ner(?1)",
                            -1, &statement, NULL);
  if( rc == SQLITE_OK ) rc = sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
  while( rc == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW )
    printf("%s %.2f %d-%d %s\n", (const char *)sqlite3_column_text(statement, 0),
           sqlite3_column_double(statement, 1), sqlite3_column_int(statement, 2),
           sqlite3_column_int(statement, 3), (const char *)sqlite3_column_text(statement, 4));
  if( rc == SQLITE_OK ) rc = sqlite3_reset(statement);
  if( rc != SQLITE_OK ) fprintf(stderr, "%s\n", sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return rc;
}
#endif

int main(int argc, char **argv) {
  int rc;
  /* Header and library of one version; the library may add the commit. */
  if( strncmp(ner_version(), NER_VERSION, strlen(NER_VERSION)) != 0 ) return 2;
  rc = extract(argc > 1 ? argv[1] : NULL);
#ifdef WITH_SQL
  if( rc == 0 ) rc = ask_in_sql();
#endif
  return rc != 0;
}
