#!/bin/sh
# train-check.sh - ner_train() with "labels":"extend" at full length, some minutes: make train-check
#
#     BUILD=build sh tests/train-check.sh [VALID.txt]
#
# The bundled model learns PRODUCT and AMOUNT from 150 sentences (tests/data/orders.sql). On the 50
# held-out ones their F1 must reach 97. With a CoNLL file of the base's types, each of these may lose
# at most 2 points of F1. `make test` has a short run of the same in test_train_sql.c.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} valid=${1:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-train-check-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

"$sqlite" -bail -cmd ".load $build/ner" "$dir/db" >"$dir/log" <<END || { cat "$dir/log"; exit 1; }
.read tests/data/orders.sql
SELECT 'epoch ' || epoch || ', ' || CAST(tokens_per_second AS INTEGER) || ' tokens/s' FROM ner_train(
  'SELECT text, entities FROM orders WHERE part = ''train''', '$dir/orders.safetensors',
  '{"labels":"extend","epochs":8,"learning_rate":2e-4,"batch_tokens":256}') WHERE f1 IS NOT NULL;
SELECT ner_load('orders', '$dir/orders.safetensors') IS NULL;
CREATE TABLE gold AS SELECT orders.text, value->>'start' AS start, value->>'end' AS end, value->>'label' AS label
  FROM orders, json_each(entities) WHERE part = 'test';
CREATE TABLE found AS SELECT orders.text, start, end, label FROM orders, ner(orders.text, 'orders')
  WHERE part = 'test' AND label IN ('PRODUCT', 'AMOUNT');
SELECT 'held out: F1 ' || printf('%.2f', f1) || CASE WHEN f1 < 97 THEN ' TOO LOW' ELSE '' END FROM (SELECT
  200.0 * (SELECT count(*) FROM gold JOIN found USING(text, start, end, label))
  / ((SELECT count(*) FROM gold) + (SELECT count(*) FROM found)) AS f1);
END
grep -v '^0$' "$dir/log"
failed=$(grep -c 'TOO LOW' "$dir/log")

if [ -n "$valid" ]; then
  [ -r "$valid" ] || { echo "train-check: $valid cannot be read"; exit 1; }
  printf "SELECT ner_load('orders', '%s') IS NULL;\n.parameter set :model orders\n" "$dir/orders.safetensors" >"$dir/load-orders"
  : >"$dir/load-base"
  for model in base orders; do
    "$sqlite" -bail -cmd ".load $build/ner" -cmd '.parameter init' -cmd ".parameter set :file \"$valid\"" \
      -cmd ".read $dir/load-$model" :memory: <sql/evaluate.sql >"$dir/$model" || { cat "$dir/$model"; exit 1; }
  done
  # Types of both: type precision recall f1 ...
  awk 'NR == FNR { before[$1] = $4; next }
    $1 in before && $1 != "overall" && $4 + 0 > 0 {
      low = $4 < before[$1] - 2; failed += low
      printf "%s: F1 %.2f before, %.2f after%s\n", $1, before[$1], $4, low ? " TOO LOW" : ""
    }
    END { exit failed }' "$dir/base" "$dir/orders" || failed=$((failed + 1))
fi
exit "$failed"
