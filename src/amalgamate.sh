#!/bin/sh
# amalgamate.sh - writes the whole library as one C file, to be used with include/ner.h:
#
#     sh src/amalgamate.sh [COMMIT [DATE [REMARK]]] >build/sqlite-ner.c
#
# Each .c file in turn, with the headers of ours that it includes in place of the #include: once, or,
# where a header has no guard (the kernels' templates), each time. Macros that a .c file defines end
# with it. All names of static functions, types and variables are unique over the sources, so that
# nothing else is needed (tests/sh/amalgamation.sh compiles and runs the result).
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^#define NER_VERSION "\(.*\)"/\1/p' include/ner.h)

cat <<EOF
/*
** sqlite-ner $version - named entity recognition inside SQLite, as one C file.
** Source commit ${1:-unknown}${3:-}, ${2:-undated}.
**
** Generated from the files under src/, which are the ones to read and to change.
**
** As a loadable extension (SQLite's header sqlite3ext.h and utf8proc must be installed):
**
**     cc -O2 -fPIC -shared sqlite-ner.c -o ner.so -lutf8proc -lm -lpthread -ldl
**
** As a part of a program, together with SQLite (ner.h is the interface for C; to have the functions
** of SQL, call sqlite3_ner_init() for a connection, or give it to sqlite3_auto_extension()):
**
**     cc -O2 -DSQLITE_CORE program.c sqlite-ner.c -lsqlite3 -lutf8proc -lm -lpthread -ldl
**
** The bundled model becomes part of the result when ner-small.safetensors lies beside this file and
** the compiler runs in that folder, as above, or when -DNER_BUNDLED_PATH='"/path/to/the/file"' names it.
** Without it the library is 20 MB smaller and works with the models that ner_load() or the
** environment variable NER_MODEL name; asking for the bundled one is an error that says so.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NER_AMALGAMATION
EOF
[ -z "${1:-}" ] || echo "#define NER_COMMIT \"$1\""

exec awk '
  # Where an #include "name" in a file of folder `dir` leads; "": not one of ours.
  function resolve(name, dir,    i, n, path, try) {
    n = split("src/ " dir, try, " ")
    for (i = 1; i <= n; i++) {
      path = try[i] name
      if ((getline line_of_it < path) > 0) { close(path); return path }
    }
    return ""
  }
  # Whether a guard spans the whole header.
  function has_guard(path,    line, first, last) {
    while ((getline line < path) > 0) {
      if (line ~ /^#/ && first == "") first = line
      if (line != "") last = line
    }
    close(path)
    return first ~ /^#ifndef NER_[A-Z0-9_]*_H$/ && last ~ /^#endif/
  }
  function emit(path, depth,    line, name, header, dir) {
    dir = path; sub(/[^\/]*$/, "", dir)
    print "\n/* ======== " path " ======== */\n"
    while ((getline line < path) > 0) {
      if (line ~ /^#include "/) {
        name = line; sub(/^#include "/, "", name); sub(/".*/, "", name)
        if (name != "ner.h" && (header = resolve(name, dir)) != "") {
          if (!(header in done)) {
            if (has_guard(header)) done[header] = 1
            emit(header, depth + 1)
            print "\n/* ======== back in " path " ======== */\n"
          }
          continue
        }
      }
      if (depth == 0 && line ~ /^# *define [A-Za-z]/) {
        name = line; sub(/^# *define /, "", name); sub(/[^A-Za-z0-9_].*/, "", name)
        macro[path] = macro[path] " " name
      }
      print line
    }
    close(path)
  }
  BEGIN {
    for (i = 1; i < ARGC; i++) {
      emit(ARGV[i], 0)
      n = split(macro[ARGV[i]], name, " ")
      for (j = 1; j <= n; j++) print "#undef " name[j]
    }
  }' sqlite-ner.c src/*/*.c
