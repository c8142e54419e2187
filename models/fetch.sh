#!/bin/sh
# fetch.sh - downloads a public NER model from the Hugging Face hub.
#
#   models/fetch.sh [MODEL[@REVISION]] [TARGET_DIR]
#
# MODEL is distilbert-NER (the default), bert-base-NER, bert-large-NER or
# bert-base-NER-uncased, which are dslim's and whose sums are known, or any OWNER/NAME
# of the hub: a DistilBERT or BERT token classification model with safetensors weights,
# in one file or in shards. REVISION is a branch, tag or commit (default main).
# TARGET_DIR is models/NAME, or models/OWNER--NAME[@REVISION], unless given. The only
# line on standard output is the SQL that loads the model:
#
#   SELECT ner_load('distilbert-NER', '/somewhere/models/distilbert-NER');
#
# Run it again after a broken connection: it continues where it stopped, and does not
# fetch complete files again. A file is written as FILE.part and gets its name only
# after it was checked, so a file under its own name is complete.
#
#   NER_FETCH_BASE      where the models are (default https://huggingface.co/dslim for
#                       the four names, https://huggingface.co for OWNER/NAME)
#   NER_FETCH_REVISION  the revision where MODEL names none
#   NER_FETCH_MANIFEST  a file in place of the list of known sizes and sums below
#                       (/dev/null: nothing is known, check only the form)
#
# Needs curl or wget, and one of sha256sum, shasum, openssl for the sums.
set -u

known_names='distilbert-NER bert-base-NER bert-large-NER bert-base-NER-uncased'

# MODEL FILE must|expect BYTES SHA256, "-" where unknown. "must": the sum the hub
# itself states. "expect": derived, or of a small file its owner may touch up any day;
# a difference is worth a word, no more.
manifest() {
  if [ -n "${NER_FETCH_MANIFEST:-}" ]; then
    cat "$NER_FETCH_MANIFEST"
    return
  fi
  cat <<'END'
distilbert-NER config.json expect 926 -
distilbert-NER vocab.txt expect 213450 eeaa9875b23b04b4c54ef759d03db9d1ba1554838f8fb26c5d96fa551df93d02
distilbert-NER model.safetensors expect 260803668 -
bert-base-NER config.json expect 829 -
bert-base-NER tokenizer_config.json expect 59 -
bert-base-NER vocab.txt expect 213450 eeaa9875b23b04b4c54ef759d03db9d1ba1554838f8fb26c5d96fa551df93d02
bert-base-NER model.safetensors must - b04492186cfb45a64908487a17a9f8d6ddec3a403ef39db5bca688f0fa702a34
bert-large-NER tokenizer_config.json expect 40 -
bert-large-NER vocab.txt expect 213450 eeaa9875b23b04b4c54ef759d03db9d1ba1554838f8fb26c5d96fa551df93d02
bert-base-NER-uncased tokenizer_config.json expect 39 -
bert-base-NER-uncased vocab.txt expect 231508 07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3
bert-base-NER-uncased model.safetensors must - cb4581a5ae49cdb280c0cc111dd4f5ecb282526a3fe20fa2572827fc223a6e93
END
}

say() { echo "fetch: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

usage() {
  echo "usage: models/fetch.sh [MODEL[@REVISION]] [TARGET_DIR]"
  echo "MODEL is OWNER/NAME on the hub, or one of: $known_names"
}

size_of() { wc -c <"$1" | tr -d ' '; }

sha256_of() { # prints nothing when no tool is here
  if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1" | cut -d' ' -f1
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1" | cut -d' ' -f1
  elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1" | cut -d' ' -f1
  fi
}

# A login page or a pointer file saved under a model's name is the usual accident.
right_form() { # FILE PATH
  case $1 in
    *.json) [ "$(tr -d ' \t\r\n' <"$2" | dd bs=1 count=1 2>/dev/null)" = '{' ] ;;
    *.txt)
      if [ -z "$owner" ]; then grep -q '^\[CLS\]' "$2"
      else [ "$(grep -ci '^<!doctype\|^<html\|^version https://git-lfs' "$2")" -eq 0 ]
      fi
      ;;
    *.safetensors)
      # 8 bytes, little-endian: the length of the JSON header that follows.
      header=0
      for byte in $(od -An -v -tu1 -N8 "$2" | tr -s ' \n' '\n\n' | sed -n '1!G;h;$p'); do
        [ "$header" -lt 1000000000 ] || return 1
        header=$((header * 256 + byte))
      done
      [ "$header" -gt 1 ] && [ $((header + 8)) -le "$(size_of "$2")" ] \
        && [ "$(dd if="$2" bs=1 skip=8 count=1 2>/dev/null)" = '{' ] ;;
  esac
}

# Whether PATH is FILE of the model as far as can be told; says what is wrong.
check() { # FILE PATH
  [ -s "$2" ] || { say "$1 is empty"; return 1; }
  right_form "$1" "$2" || { say "$1 is not what its name says"; return 1; }
  [ -z "$owner" ] || return 0
  line=$(manifest | grep "^$name $1 ") || return 0
  # shellcheck disable=SC2086
  set -- "$1" "$2" $line
  strict=$5 bytes=$6 sum=$7 trouble=
  if [ "$bytes" != - ] && [ "$(size_of "$2")" -ne "$bytes" ]; then
    trouble="has $(size_of "$2") bytes, not $bytes"
  elif [ "$sum" != - ]; then
    found=$(sha256_of "$2")
    if [ -z "$found" ]; then say "$1: no sha256sum, shasum or openssl here, sum not checked"
    elif [ "$found" != "$sum" ]; then trouble="has sha256 $found, not $sum"
    fi
  fi
  [ -n "$trouble" ] || return 0
  if [ "$strict" = must ]; then say "$1 $trouble"; return 1; fi
  say "note: $1 $trouble; its owner may have changed it"
}

# Gets URL into PATH, continuing behind what PATH holds. 0: complete, 44: the server has
# no such file, 41: it does not give it to everybody, other: broken off.
download() { # URL PATH
  if command -v curl >/dev/null 2>&1; then
    bar=-sS
    [ ! -t 2 ] || bar=--progress-bar
    status=$(curl $bar -f -L -C - --connect-timeout 20 --speed-limit 1 --speed-time 60 --retry 2 \
      -o "$2" -w '%{http_code}' "$1")
    rc=$?
    [ "$rc" -eq 0 ] && return 0
    case $status in 404 | 410) return 44 ;; 401 | 403) return 41 ;; esac
    # The server does not do ranges, or holds less than we have: from the start.
    if [ "$status" = 416 ] || [ "$rc" -eq 33 ] || [ "$rc" -eq 36 ]; then
      rm -f "$2"
      curl $bar -f -L --connect-timeout 20 --speed-limit 1 --speed-time 60 -o "$2" "$1"
      rc=$?
    fi
    return "$rc"
  fi
  wget -q -c --timeout=60 --tries=3 -O "$2" "$1"
  rc=$?
  [ "$rc" -eq 8 ] && [ ! -s "$2" ] && return 44 # an answer, but no content
  return "$rc"
}

# Fetches the first of the hub's SOURCEs that exists, as FILE. 44: none does.
fetch() { # FILE SOURCE...
  file=$1 path=$target/$1
  shift
  if [ -e "$path" ]; then
    if check "$file" "$path"; then say "$file is here"; return 0; fi
    say "$file is here but wrong; fetching it again"
  fi
  for source in "$@"; do
    url=$base/$name/resolve/$url_revision/$source
    # What came from elsewhere must not be gone on with.
    [ "$(cat "$path.part.from" 2>/dev/null)" = "$url" ] || rm -f "$path.part"
    echo "$url" >"$path.part.from" || fail "cannot write into $target"
    say "$url"
    download "$url" "$path.part"
    rc=$?
    if [ "$rc" -eq 44 ]; then
      rm -f "$path.part" "$path.part.from"
      continue
    fi
    [ "$rc" -ne 41 ] || fail "$base/$name does not exist, or needs a login: fetch it in a browser"
    [ "$rc" -eq 0 ] || fail "$url did not come through (code $rc); run this again to go on"
    rm -f "$path.part.from"
    if ! check "$file" "$path.part"; then
      rm -f "$path.part"
      fail "$file was not kept. Try again; for other weights on purpose set NER_FETCH_MANIFEST=/dev/null"
    fi
    mv "$path.part" "$path" || fail "cannot write $path"
    return 0
  done
  return 44
}

missing() { fail "$base/$name has no $1 at revision $revision"; }

# Letters, digits and . _ - alone, and not only dots: safe in a path and in a URL.
plain_name() { case $1 in '' | . | .. | *[!A-Za-z0-9._-]*) return 1 ;; esac; }
plain_revision() { case $1 in '' | /* | */ | *//* | *..* | *[!A-Za-z0-9._/-]*) return 1 ;; esac; }

case ${1:-} in -h | --help) usage; exit 0 ;; esac
[ $# -le 2 ] || { usage >&2; exit 2; }
name=${1:-distilbert-NER}
revision=${NER_FETCH_REVISION:-main}
case $name in *@*) revision=${name#*@} name=${name%%@*} ;; esac
plain_revision "$revision" || { say "'$revision' cannot be a revision"; usage >&2; exit 2; }
url_revision=$(printf '%s' "$revision" | sed 's,/,%2F,g')
case " $known_names " in *" ${name#dslim/} "*) name=${name#dslim/} ;; esac
owner=
case $name in
  */*)
    owner=${name%%/*}
    if ! plain_name "$owner" || ! plain_name "${name#*/}"; then
      say "'$name' cannot be a model's name"
      usage >&2
      exit 2
    fi
    base=${NER_FETCH_BASE:-https://huggingface.co}
    ;;
  *)
    case " $known_names " in
      *" $name "*) ;;
      *) say "no model is called '$name'"; usage >&2; exit 2 ;;
    esac
    base=${NER_FETCH_BASE:-https://huggingface.co/dslim}
    ;;
esac
if ! command -v curl >/dev/null 2>&1 && ! command -v wget >/dev/null 2>&1; then
  fail "needs curl or wget; install one of them"
fi
manifest >/dev/null || fail "cannot read NER_FETCH_MANIFEST ($NER_FETCH_MANIFEST)"
short=${name#*/}
folder=$short
[ -z "$owner" ] || folder=$owner--$short
[ "$revision" = "${NER_FETCH_REVISION:-main}" ] || folder=$folder@$(printf '%s' "$revision" | sed 's,/,-,g')
target=${2:-$(dirname "$0")/$folder}
mkdir -p "$target" || fail "cannot make $target"
target=$(cd "$target" && pwd) || fail "cannot enter $target"
# Complete files are kept, so they must be of this model.
what=$name@$revision
if [ -e "$target/config.json" ] && [ -e "$target/.fetched" ] && [ "$(cat "$target/.fetched")" != "$what" ]; then
  fail "$target holds $(head -c 200 "$target/.fetched"); name another directory for $what"
fi
echo "$what" >"$target/.fetched" || fail "cannot write into $target"

# The files of an index; each must be a plain name.
fetch_shards() {
  shards=$(grep -o '"[^"]*\.safetensors"' "$target/model.safetensors.index.json" | tr -d '"' | sort -u)
  [ -n "$shards" ] || fail "model.safetensors.index.json names no files"
  for shard in $shards; do
    plain_name "$shard" || fail "model.safetensors.index.json names '$shard', which is no plain file name"
    fetch "$shard" "$shard" || missing "$shard"
  done
}

fetch config.json config.json || missing config.json
if [ -n "$owner" ]; then
  # Whatever the tokenizer may need; which of them there are is the owner's choice.
  vocabulary=
  for file in tokenizer_config.json special_tokens_map.json added_tokens.json; do
    fetch $file $file || say "there is no $file"
  done
  for file in tokenizer.json vocab.txt; do
    if fetch $file $file; then vocabulary=$file; else say "there is no $file"; fi
  done
  [ -n "$vocabulary" ] || missing 'vocab.txt or tokenizer.json'
else
  fetch tokenizer_config.json tokenizer_config.json || missing tokenizer_config.json
  # distilbert-NER may keep its vocabulary beside the ONNX export only.
  fetch vocab.txt vocab.txt onnx/vocab.txt || fetch tokenizer.json tokenizer.json onnx/tokenizer.json \
    || missing 'vocab.txt or tokenizer.json'
fi
if ! fetch model.safetensors model.safetensors; then
  if [ -n "$owner" ] && fetch model.safetensors.index.json model.safetensors.index.json; then
    fetch_shards
  else
    say "other weights can be converted: python3 -c \"from transformers import AutoModelForTokenClassification" \
      "as M; M.from_pretrained('$name', revision='$revision').save_pretrained('$target')\""
    missing model.safetensors
  fi
fi

say "$name is in $target"
printf "SELECT ner_load('%s', '%s');\n" "$(printf '%.64s' "$short")" "$(printf '%s' "$target" | sed "s/'/''/g")"
