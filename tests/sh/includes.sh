# includes.sh - who includes whom (src/README.md): no arrow back, none between two files of functions/,
# SQLite's header only where SQL is. Prints each include that breaks the rule.
cd "$(dirname "$0")/../.." || exit 1
bad=$(grep -n '^#include "' src/*/*.[ch] | awk -F '[/:"]' '
  BEGIN {
    n = split("base text,kernels model engine train,sql functions,enrich", level, " ")
    for (i = 1; i <= n; i++) { m = split(level[i], room, ","); for (j = 1; j <= m; j++) rank[room[j]] = i }
  }
  # src/ROOM/FILE:LINE:#include "TO/HEADER"
  {
    from = $2; file = $3; to = $6
    if (to == "sqlite3ext.h") ok = from ~ /^(sql|functions|enrich)$/ || from "/" file ~ /^(model\/json\.c|train\/sql)/
    else if (to == "ner.h" || from == "kernels" && to == "emulate.h") ok = 1 # the latter is for tests
    else if (from == "functions" && to == "functions") ok = 0
    else ok = from == to || (to in rank && rank[to] < rank[from])
    if (!ok) print
  }')
[ -z "$bad" ] || { echo "$bad"; echo "these includes break the rule in src/README.md"; exit 1; }
# The entry points register: they see the surface of SQL alone.
! grep '^#include "' sqlite-ner.c | grep -vE '"(sqlite3ext\.h|sql/[a-z_]*\.h|functions/[a-z_]*\.h|enrich/[a-z_]*\.h|train/[a-z_]*\.h)"'
