#!/bin/sh
# symbols.sh - the library exports its entry points and the functions of include/ner.h, and nothing
# else; and it does not so much as link what would change its host.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
command -v nm >/dev/null || { echo "no nm"; exit 77; }
[ -f "$build/ner.so" ] || { echo "no $build/ner.so"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

{ echo sqlite3_ner_init; echo sqlite3_ner_safe_init
  sed '/^#ifdef SQLITE_VERSION/,/^#endif/d' include/ner.h | grep -v '^#' | tr '\n' ' ' |
    grep -o 'NER_API [^(]*(' |
    sed 's/.*[ *]\(ner_[a-z_]*\)($/\1/'; } | sort >"$dir/expected"
[ "$(wc -l <"$dir/expected")" -ge 10 ] || { echo "include/ner.h: no functions found"; exit 1; }
# A sanitizer's build has names of its own, with underscores before them.
nm -D --defined-only "$build/ner.so" | awk '{ print $3 }' | grep -v '^_' | sort >"$dir/exported"
diff -u "$dir/expected" "$dir/exported" || exit 1

[ -z "${PRELOAD:-}" ] || exit 0 # a sanitizer's build calls what it likes
# Printing, ending the process, signals, locale, floating point, environment, working directory.
for name in printf puts putchar perror abort exit _exit __assert_fail signal sigaction setlocale \
  uselocale fesetround feenableexcept setenv putenv unsetenv chdir umask alarm setitimer system \
  popen fork execv openblas_set_num_threads goto_set_num_threads setrlimit setpriority strtok \
  rand srand localtime; do
  if nm -D --undefined-only "$build/ner.so" | grep -E " $name(@|\$)"; then
    echo "the library must not call $name()"
    exit 1
  fi
done
