#!/bin/sh
# train-kill.sh - ner_train() is killed (SIGKILL) in the midst of an epoch, and goes on with "resume":
# each time until another checkpoint is there. The file it writes at last must be the one that an
# uninterrupted run writes, to the byte, also with another number of threads.
#
#     BUILD=build SQLITE=sqlite3 sh tests/sh/train-kill.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3}
model=tests/golden/models/distil-cased
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-train-kill-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

# A script that becomes the shell, so that its process is the one to be killed.
cat >"$dir/train" <<END
NER_THREADS=\$3 LD_PRELOAD="${PRELOAD:-}" exec "$sqlite" -batch -bail -cmd ".load $build/ner" :memory: "
  SELECT epoch, note FROM ner_train('WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1500)
      SELECT ''Angela met '' || i || '' people in Berlin'',
        ''[{\"start\":0,\"end\":6,\"label\":\"PER\"},{\"start\":'' || (22 + length(i)) || '',\"end\":'' || (28 + length(i)) || '',\"label\":\"CITY\"}]''
      FROM c', '\$1', '{\"base\":\"$model\",\"epochs\":5,\"labels\":\"extend\",\"batch_tokens\":200,\"resume\":\$2}')"
END
train() { sh "$dir/train" "$1" "$2" "$3"; } # TARGET RESUME THREADS
fail() { echo "train-kill: $1"; cat "$dir/log"; exit 1; }

train "$dir/whole" false 2 >"$dir/log" 2>&1 || fail "the uninterrupted run failed"
[ -e "$dir/whole.checkpoint" ] && fail "the checkpoint is still there"

killed=0 threads=1
while [ $killed -lt 3 ]; do
  before=$(ls -i "$dir/part.checkpoint" 2>/dev/null)
  sh "$dir/train" "$dir/part" true $threads >"$dir/log" 2>&1 &
  training=$!
  while kill -0 $training 2>/dev/null && [ "$(ls -i "$dir/part.checkpoint" 2>/dev/null)" = "$before" ]; do :; done
  kill -9 $training 2>/dev/null || fail "it ended before it could be killed $killed"
  wait $training 2>/dev/null
  [ -e "$dir/part" ] && fail "a killed run left a target"
  [ -e "$dir/part.checkpoint" ] || fail "a killed run left no checkpoint"
  killed=$((killed + 1)) threads=$((3 - threads))
done

# Another seed: the checkpoint is not this training's.
LD_PRELOAD="${PRELOAD:-}" "$sqlite" -batch -cmd ".load $build/ner" :memory: "SELECT * FROM ner_train(
  'SELECT ''Angela'', ''[{\"start\":0,\"end\":6,\"label\":\"PER\"}]''', '$dir/part', '{\"base\":\"$model\",\"resume\":true}')" \
  >"$dir/log" 2>&1 && fail "a foreign checkpoint was taken"
grep -q 'belongs to a training' "$dir/log" || grep -q 'no checkpoint of this training' "$dir/log" || fail "the error does not say why"

train "$dir/part" true 2 >"$dir/log" 2>&1 || fail "the last run failed"
grep -q 'goes on after epoch 3' "$dir/log" || fail "it did not go on"
cmp "$dir/whole" "$dir/part" || fail "the files differ"
ls "$dir" | grep -q tmp && { ls "$dir" | grep -c tmp | grep -q '^[0-3]$' || fail "temporary files pile up"; }
exit 0
