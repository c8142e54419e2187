#!/bin/sh
# run.sh - installs what `make packages` made as a user would, in fresh environments, and runs it:
#
#     packages/tests/run.sh                # everything that this machine can run
#     FEW=1 packages/tests/run.sh          # what CI has the time for
#
# Our own packages come from dist/ alone, others from their registries. What a machine lacks is skipped
# by name, and so is what needs a registry that cannot be reached. PYTHON names the interpreter (default
# /usr/bin/python3), KEEP=1 keeps the environments. Closes with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD dist=$PWD/dist tests=$PWD/packages/tests
python=${PYTHON:-/usr/bin/python3} few=${FEW:-}
tmp=$(mktemp -d) && chmod 755 "$tmp"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$tmp"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 npm_config_update_notifier=false
passed=0 failed=0 skipped=0
# Installed packages must do: the sources are out of reach.
unset PYTHONPATH

ok() { passed=$((passed + 1)); }
no() { failed=$((failed + 1)); echo "FAILED: $1"; [ ! -f "$tmp/log" ] || tail -n 20 "$tmp/log"; }
skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }
check() { # NAME COMMAND...: the command succeeds
  name=$1
  shift
  if "$@" >"$tmp/log" 2>&1; then ok; else no "$name"; fi
}
refuses() { # NAME TEXT COMMAND...: the command fails and says TEXT
  name=$1 text=$2
  shift 2
  if "$@" >"$tmp/log" 2>&1; then no "$name: succeeded"
  elif grep -q -e "$text" "$tmp/log"; then ok
  else no "$name"; fi
}
suite() { # COMMAND...: a test that closes with "[name: ]N passed, N failed[, N skipped]"
  "$@" 2>&1 | tee "$tmp/suite"
  line=$(grep -E '^([a-z]+: )?[0-9]+ passed, [0-9]+ failed' "$tmp/suite" | tail -n 1)
  if [ -z "$line" ]; then rm -f "$tmp/log"; no "$*: ended early"; return; fi
  count() { printf '%s\n' "$line" | sed -n "s/^\(.* \)\{0,1\}\([0-9]*\) $1.*/\2/p"; }
  passed=$((passed + $(count passed))) failed=$((failed + $(count failed)))
  s=$(count skipped)
  skipped=$((skipped + ${s:-0}))
}

# Whether a registry answers: only then is a failed installation a fault.
pypi_answers() { "$python" -m pip download --quiet --no-deps --no-cache-dir --dest "$tmp/probe" six >/dev/null 2>&1; }
npm_answers() { npm view typescript version >/dev/null 2>&1; }
pip_install() { # NAME VENV PACKAGE...: 1 and a skip or a failure when it does not work
  name=$1 venv=$2
  shift 2
  "$venv/bin/pip" install --quiet "$@" >"$tmp/log" 2>&1 && return 0
  if pypi_answers; then no "pip install $*"; else skip "$name: PyPI cannot be reached"; fi
  return 1
}
npm_install() { # NAME PACKAGE...: into the current folder
  name=$1
  shift
  npm install --no-audit --no-fund --silent "$@" >"$tmp/log" 2>&1 && return 0
  if npm_answers; then no "npm install $*"; else skip "$name: npm's registry cannot be reached"; fi
  return 1
}
new_venv() { "$python" -m venv "$1" >"$tmp/log" 2>&1 || { no "$python -m venv"; return 1; }; }

# --- what was made, and the commands of packages/README.md

[ -f dist/SHA256SUMS ] || { echo "there is no dist/SHA256SUMS; run make packages"; exit 1; }
check "SHA256SUMS" sh -c 'cd dist && sha256sum --quiet --strict --check SHA256SUMS'
check "sqlpkg.json" "$python" -c '
import json, os
assets = json.load(open("dist/sqlpkg.json"))["assets"]
assert assets["files"] and set(assets["checksums"]) == set(assets["files"].values())
assert all(os.path.exists("dist/" + name) for name in assets["checksums"])'

test_page() {
  mkdir -p "$tmp/page"
  awk '$0 == "```sh" { on = 1; next } /^```/ { on = 0 } on' packages/README.md | sed "s|/path/to/sqlite-ner|$root|" >"$tmp/page.sh"
  # On this machine, this machine's library.
  sed -i "s/linux-x64-gnu/linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')-gnu/" "$tmp/page.sh"
  command -v npm >/dev/null || sed -i '/^npm /d' "$tmp/page.sh"
  check "packages/README.md" sh -ec "cd $tmp/page && . $tmp/page.sh && env/bin/python -c 'import sqlite_ner_ext'"
}
[ -n "$few" ] || test_page

# --- Python

test_python() {
  new_venv "$tmp/python" || return
  check "pip install from dist alone" "$tmp/python/bin/pip" install --quiet --no-index --find-links "$dist" sqlite-ner-ext
  for wheel in "$dist"/sqlite_ner_ext-*.whl; do
    case $wheel in *manylinux*"$(uname -m)"*) continue ;; esac
    refuses "pip install of another platform's wheel" 'not a supported wheel on this platform' \
      "$tmp/python/bin/pip" install --no-index "$wheel"
  done
  more='apsw sqlean.py pysqlite3-binary pandas polars pyarrow'
  # shellcheck disable=SC2086
  pip_install "Python's other SQLites and data frames" "$tmp/python" $more || true
  suite "$tmp/python/bin/python" "$tests/python_test.py"
  suite "$tmp/python/bin/python" "$tests/trouble_test.py" "$dist"
  [ -n "$few" ] || suite "$tmp/python/bin/python" "$tests/pages_test.py" python
  pip_install "progress bar of tqdm" "$tmp/python" tqdm &&
    check "the command with tqdm" sh -c "cd '$tmp' && sqlite3 t.db \"CREATE TABLE docs(id INTEGER PRIMARY KEY, body); INSERT INTO docs(body) VALUES('Reuters in Paris')\" && python/bin/python -m sqlite_ner_ext t.db docs body 2>&1 | grep 'rows/s'"
  if pip_install "types" "$tmp/python" mypy; then
    check "types" "$tmp/python/bin/mypy" --strict --no-incremental --cache-dir "$tmp/mypy" "$tests/types_check.py"
    refuses "types: a mistake is found" 'error' "$tmp/python/bin/mypy" --strict --cache-dir "$tmp/mypy" \
      -c 'import sqlite_ner_ext; sqlite_ner_ext.load(safe=1, nosuch=2)'
  fi
  if pip_install "auditwheel" "$tmp/python" auditwheel; then
    for wheel in "$dist"/sqlite_ner_ext-*manylinux*.whl; do
      "$tmp/python/bin/auditwheel" show "$wheel" >"$tmp/log" 2>&1
      tag=$(tr '\n' ' ' <"$tmp/log" | sed -n 's/.*consistent with the following platform tag: *"\([^"]*\)".*/\1/p')
      echo "auditwheel: $(basename "$wheel"): $tag"
      case $tag in manylinux_2_17_*) ok ;; *) no "auditwheel $wheel" ;; esac
    done
  fi
  if [ -z "$few" ] && pip_install "SBOM" "$tmp/python" 'cyclonedx-python-lib[json-validation]'; then
    check "SBOM" "$tmp/python/bin/python" -c '
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open("dist/sbom.cdx.json").read())
assert error is None, error'
  fi
}

test_plugins() {
  new_venv "$tmp/plugins" || return
  pip_install "Datasette and sqlite-utils" "$tmp/plugins" --find-links "$dist" datasette-sqlite-ner sqlite-utils-sqlite-ner || return
  check "sqlite-ner-ext came with the plugins" "$tmp/plugins/bin/python" -c 'import sqlite_ner_ext'
  if [ -z "$few" ] && command -v chromedriver >/dev/null; then
    mkdir -p "$dist/screenshots"
    suite "$tmp/plugins/bin/python" "$tests/datasette_test.py" --screenshot "$dist/screenshots"
  else
    [ -n "$few" ] || skip "pages in a browser: no chromedriver"
    suite "$tmp/plugins/bin/python" "$tests/datasette_test.py"
  fi
  [ -n "$few" ] || suite "$tmp/plugins/bin/python" "$tests/pages_test.py" sqlite-utils datasette
}

test_scale_out() {
  new_venv "$tmp/scale" || return
  pip_install "Dask" "$tmp/scale" --find-links "$dist" sqlite-ner-ext pyarrow 'pandas<3' 'dask[dataframe,distributed]' || return
  prove() { "$tmp/scale/bin/python" packages/scale-out/prove.py "$tmp/$1" --engines "$1" --rows 20000 --parts 20 --kill --model models/ner-small.safetensors; }
  check "Dask, a worker killed" prove dask
  if ! command -v java >/dev/null; then skip "Spark: no Java"
  elif pip_install "Spark" "$tmp/scale" pyspark; then
    check "Spark, a worker killed" prove spark
    suite "$tmp/scale/bin/python" "$tests/pages_test.py" scale-out
  fi
}

if command -v "$python" >/dev/null && "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  test_python
  test_plugins
  [ -n "$few" ] || test_scale_out
else skip "Python: no $python with venv"; fi

# --- Node

if command -v npm >/dev/null; then suite sh "$tests/npm_test.sh"
else skip "Node: no npm"; fi

# --- C, Rust, Go, Java

library=$dist/$(uname -m)-linux-gnu/ner.so
if [ -n "$few" ]; then CLIENTS=C suite sh "$tests/clients.sh" "$library"
else suite sh "$tests/clients.sh" "$library"; fi

# --- the libraries of other platforms: musl, ARM, Windows

[ -n "$few" ] || suite env C_TESTS="${C_TESTS:-none}" sh "$tests/foreign.sh"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
