#!/bin/sh
# models/fetch.sh against a server of our own: small made-up files under the real names,
# with a manifest of their sizes and sums.
set -u
cd "$(dirname "$0")/../.." || exit 1
for tool in python3 curl sha256sum; do
  command -v "$tool" >/dev/null 2>&1 || { echo "no $tool here"; exit 77; }
done
unset NER_FETCH_REVISION http_proxy HTTP_PROXY all_proxy ALL_PROXY
export no_proxy='*'
work=$(mktemp -d) || exit 1
python3 tests/sh/fetch_server.py "$work/hub" "$work/log" >"$work/port" 2>"$work/server.err" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -s "$work/port" ] && break
  sleep 0.2
done
port=$(cat "$work/port")
[ -n "$port" ] || { echo "the server did not start"; cat "$work/server.err"; exit 1; }

failed=0
not_ok() { echo "FAILED: $*"; sed 's/^/  | /' "$work/err"; failed=1; }
expect() { # WHAT COMMAND...
  what=$1
  shift
  "$@" || not_ok "$what"
}
refuse() {
  what=$1
  shift
  if "$@"; then not_ok "$what"; fi
}
run() { # MODE ARGS...: fetch.sh against that kind of server
  mode=$1
  shift
  : >"$work/log"
  NER_FETCH_BASE="http://127.0.0.1:$port/$mode" NER_FETCH_MANIFEST="$work/manifest" \
    sh models/fetch.sh "$@" >"$work/out" 2>"$work/err"
}
said() { grep -q -- "$1" "$work/err"; }
requests() { grep -c . "$work/log"; }

# The hub: distilbert-NER as it should be; its weights are 5000 bytes.
hub=$work/hub/distilbert-NER/resolve/main
mkdir -p "$hub/onnx"
echo '{"model_type": "distilbert"}' >"$hub/config.json"
echo '{"model_max_length": 512}' >"$hub/tokenizer_config.json"
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n' >"$hub/vocab.txt"
{ printf '\060\000\000\000\000\000\000\000'; printf '%-48s' '{"__metadata__":{"format":"pt"}}'
  head -c 4944 /dev/zero | tr '\0' 'x'; } >"$hub/model.safetensors"
good=$(sha256sum <"$hub/model.safetensors" | cut -d' ' -f1)
write_manifest() { # STRICT BYTES SUM
  echo "distilbert-NER model.safetensors $1 $2 $3" >"$work/manifest"
}
write_manifest must 5000 "$good"
same() { cmp -s "$hub/model.safetensors" "$1/model.safetensors"; }
nothing() { [ ! -e "$1/model.safetensors" ] && [ ! -e "$1/model.safetensors.part" ]; }

# All is well; then again, without a single request.
t="$work/it's here"
expect "a plain fetch" run plain distilbert-NER "$t"
expect "weights arrive whole" same "$t"
expect "the SQL quotes the path" grep -qxF "SELECT ner_load('distilbert-NER', '$work/it''s here');" "$work/out"
expect "no leftovers" [ -z "$(find "$t" -name '*.part*')" ]
expect "a second run" run plain distilbert-NER "$t"
expect "asks for nothing" [ "$(requests)" -eq 0 ]
echo '<html>' >"$t/config.json"
expect "a run over a spoilt file" run plain dslim/distilbert-NER "$t"
expect "fetches just that" [ "$(cut -d' ' -f3 "$work/log")" = /plain/distilbert-NER/resolve/main/config.json ]

# Broken off, then gone on with.
t=$work/resumed
refuse "a connection that breaks" run cut distilbert-NER "$t"
expect "says how to go on" said 'run this again'
expect "keeps what came" [ "$(wc -c <"$t/model.safetensors.part")" -eq 1000 ]
refuse "leaves no model" [ -e "$t/model.safetensors" ]
# The same address, or it starts afresh.
sed "s,/cut/,/plain/," "$t/model.safetensors.part.from" >"$work/from" && cp "$work/from" "$t/model.safetensors.part.from"
expect "going on" run plain distilbert-NER "$t"
expect "asks for the rest" grep -q '^206 bytes=1000- .*model.safetensors' "$work/log"
expect "makes it whole" same "$t"
rm "$t/model.safetensors" && head -c 700 "$hub/config.json" "$hub/vocab.txt" >"$t/model.safetensors.part"
echo elsewhere >"$t/model.safetensors.part.from"
expect "a part of something else" run plain distilbert-NER "$t"
expect "is thrown away" same "$t"

# A server without ranges, a part that is whole already, a part that is too long.
for bytes in 1000 5000; do
  for mode in norange plain; do
    t=$work/part-$mode-$bytes
    mkdir "$t"
    head -c "$bytes" "$hub/model.safetensors" >"$t/model.safetensors.part"
    echo "http://127.0.0.1:$port/$mode/distilbert-NER/resolve/main/model.safetensors" >"$t/model.safetensors.part.from"
    expect "$bytes bytes there, $mode" run "$mode" distilbert-NER "$t"
    expect "whole from $bytes, $mode" same "$t"
  done
done
t=$work/too-long
mkdir "$t"
cat "$hub/model.safetensors" "$hub/model.safetensors" >"$t/model.safetensors.part"
echo "http://127.0.0.1:$port/plain/distilbert-NER/resolve/main/model.safetensors" >"$t/model.safetensors.part.from"
run plain distilbert-NER "$t" || run plain distilbert-NER "$t"
expect "too long a part is overcome" same "$t"

# Wrong sum, wrong size: nothing stays. An expectation is only worth a note.
t=$work/wrong
write_manifest must - "$(echo other | sha256sum | cut -d' ' -f1)"
refuse "a wrong sum" run plain distilbert-NER "$t"
expect "is told" said 'has sha256'
expect "nothing stays of a wrong sum" nothing "$t"
expect "no SQL either" [ ! -s "$work/out" ]
write_manifest must 5001 -
refuse "a wrong size" run plain distilbert-NER "$t"
expect "the size is told" said 'has 5000 bytes, not 5001'
expect "nothing stays of a wrong size" nothing "$t"
write_manifest expect 5001 -
expect "an unexpected size" run plain distilbert-NER "$t"
expect "is noted" said 'note: model.safetensors has 5000 bytes'
write_manifest must 5000 "$good"
mkdir -p "$work/there" && cp "$t"/* "$work/there/" && echo rubbish >>"$work/there/model.safetensors"
expect "a wrong file that is there" run plain distilbert-NER "$work/there"
expect "is replaced" same "$work/there"

# The vocabulary: elsewhere, or in tokenizer.json, or missing.
mv "$hub/vocab.txt" "$hub/onnx/vocab.txt"
expect "vocab.txt beside the ONNX export" run plain distilbert-NER "$work/onnx"
expect "is found" cmp -s "$hub/onnx/vocab.txt" "$work/onnx/vocab.txt"
mv "$hub/onnx/vocab.txt" "$work/vocab"
echo '{"model": {}}' >"$hub/tokenizer.json"
expect "tokenizer.json" run plain distilbert-NER "$work/json"
expect "takes its place" [ -s "$work/json/tokenizer.json" ]
expect "leaves no vocab.txt" [ ! -e "$work/json/vocab.txt" ]
rm "$hub/tokenizer.json"
refuse "no vocabulary at all" run plain distilbert-NER "$work/none"
expect "is named" said 'has no vocab.txt or tokenizer.json'
mv "$work/vocab" "$hub/vocab.txt"

# Pages that are no model.
cp "$hub/model.safetensors" "$work/weights"
echo '<html>please log in</html>' >"$hub/model.safetensors"
: >"$work/manifest"
refuse "a web page for weights" run plain distilbert-NER "$work/html"
expect "is recognised" said 'model.safetensors is not what its name says'
expect "is not kept" nothing "$work/html"
cp "$work/weights" "$hub/model.safetensors"
echo 'Not JSON' >"$hub/config.json"
refuse "a page for config.json" run plain distilbert-NER "$work/page"
expect "is not kept either" [ -z "$(ls "$work/page")" ]
echo '{}' >"$hub/config.json"

# Without curl: wget.
if command -v wget >/dev/null 2>&1; then
  mkdir "$work/bin"
  for tool in sh cat cut dd dirname grep head mkdir mv od rm sed sha256sum tr wc wget; do
    ln -s "$(command -v $tool)" "$work/bin/$tool"
  done
  old_path=$PATH PATH=$work/bin
  mv "$hub/vocab.txt" "$hub/onnx/vocab.txt"
  expect "wget" run plain distilbert-NER "$work/wget"
  rm "$work/wget/model.safetensors"
  head -c 1000 "$hub/model.safetensors" >"$work/wget/model.safetensors.part"
  echo "http://127.0.0.1:$port/plain/distilbert-NER/resolve/main/model.safetensors" >"$work/wget/model.safetensors.part.from"
  expect "wget goes on" run plain distilbert-NER "$work/wget"
  expect "wget asks for the rest" grep -q '^206 bytes=1000- ' "$work/log"
  mv "$hub/onnx/vocab.txt" "$hub/vocab.txt"
  rm "$hub/tokenizer_config.json"
  refuse "wget, a file missing" run plain distilbert-NER "$work/wget2"
  expect "wget names it" said 'has no tokenizer_config.json'
  echo '{}' >"$hub/tokenizer_config.json"
  PATH=$old_path
  expect "wget's weights" same "$work/wget"
fi

# Any OWNER/NAME, at any revision: one file or shards, and whatever files there are.
any=$work/hub/some-one/My.Model_1/resolve
mkdir -p "$any/main" "$any/refs%2Fpr%2F7"
cp "$hub/config.json" "$hub/vocab.txt" "$hub/model.safetensors" "$any/main/"
t=$work/any
expect "any model" run plain some-one/My.Model_1 "$t"
expect "its weights" same "$t"
expect "its SQL" grep -qxF "SELECT ner_load('My.Model_1', '$t');" "$work/out"
expect "asks for tokenizer.json too" grep -q '^404 - /plain/some-one/My.Model_1/resolve/main/tokenizer.json' "$work/log"
echo '{"added_tokens": []}' >"$any/refs%2Fpr%2F7/tokenizer.json"
echo '{}' | tee "$any/refs%2Fpr%2F7/config.json" >"$any/refs%2Fpr%2F7/special_tokens_map.json"
cp "$hub/model.safetensors" "$any/refs%2Fpr%2F7/model-00001-of-00002.safetensors"
cp "$hub/model.safetensors" "$any/refs%2Fpr%2F7/model-00002-of-00002.safetensors"
index() { echo "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": \"$1\"}}"; }
index model-00002-of-00002.safetensors >"$any/refs%2Fpr%2F7/model.safetensors.index.json"
refuse "another revision in the same directory" run plain some-one/My.Model_1@refs/pr/7 "$t"
expect "what is there is named" said 'holds some-one/My.Model_1@main; name another directory'
t=$work/sharded
expect "shards at a revision" run plain some-one/My.Model_1@refs/pr/7 "$t"
for file in config.json tokenizer.json special_tokens_map.json model.safetensors.index.json \
  model-00001-of-00002.safetensors model-00002-of-00002.safetensors; do
  expect "$file is there" cmp -s "$any/refs%2Fpr%2F7/$file" "$t/$file"
done
for bad in ../../evil.safetensors /etc/x.safetensors ..safetensors/x.safetensors; do
  index "$bad" >"$any/refs%2Fpr%2F7/model.safetensors.index.json"
  rm -rf "$work/evil"
  refuse "a shard called $bad" run plain some-one/My.Model_1@refs/pr/7 "$work/evil"
  expect "it is named" said 'is no plain file name'
done
rm "$any/main/model.safetensors"
refuse "no safetensors at all" run plain some-one/My.Model_1 "$work/bin-only"
expect "says how to convert" said 'from_pretrained(.some-one/My.Model_1., revision=.main.)'
printf 'version https://git-lfs.github.com/spec/v1\n' >"$any/main/vocab.txt"
refuse "a pointer for vocab.txt" run plain some-one/My.Model_1 "$work/pointer"
expect "is recognised, too" said 'vocab.txt is not what its name says'
for bad in a/b/c ../x x/.. a/ /b 'a/b c' 'a/b@' 'a/b@../x' 'a/b@x y'; do
  refuse "the name $bad" run plain "$bad" "$work/bad"
  expect "$bad is refused before anything is asked" [ "$(requests)" -eq 0 ]
done

# Another revision; models that are not there; wrong arguments; nobody at home.
cp -r "$hub" "$work/hub/distilbert-NER/resolve/v2"
export NER_FETCH_REVISION=v2
expect "another revision" run plain distilbert-NER "$work/v2"
expect "is asked for" grep -q '/resolve/v2/config.json' "$work/log"
unset NER_FETCH_REVISION
refuse "a model the hub lacks" run plain bert-large-NER "$work/large"
expect "the missing file is named" said 'has no config.json at revision main'
refuse "a name nobody knows" run plain gpt "$work/gpt"
expect "the names are listed" said 'bert-base-NER-uncased'
refuse "too many arguments" run plain distilbert-NER a b
port=9
refuse "no server" run plain distilbert-NER "$work/off"
expect "is said" said 'did not come through'

exit $failed
