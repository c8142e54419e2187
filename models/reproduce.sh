#!/bin/sh
# reproduce.sh - from the named inputs to models/ner-small.safetensors, and its measurement.
#
#     models/reproduce.sh DATA WORK
#
# DATA: a folder with conll2003/{train,valid}.txt, ner_gold.conll.gz and ner_extra.conll.gz, none of which is part of
# this repository (models/README.md names them).  WORK: where checkpoints go; a stage whose checkpoint is there is
# skipped.  Needs `make` to have built the extension, sqlite3, and Python with models/requirements.txt.
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

git show ba08144:models/ner-small.safetensors >"$work/start.safetensors"
# Two branches from one start, each in two runs, then their weighted mean and its calibration. The runs that shipped
# were ended by the clock and their seeds were not kept: the rates and numbers of steps are theirs, seeds and batch are
# chosen here.
train a0 --start "$work/start.safetensors" --rate 2e-4 --steps 110 --seed 1
train a --start "$work/a0.pt" --frozen 2 --rate 2e-4 --steps 500 --seed 2
train b0 --start "$work/start.safetensors" --rate 1.6e-4 --steps 110 --seed 3
train b --start "$work/b0.pt" --rate 1.5e-4 --steps 950 --seed 4
stage mean mix "$work/a.pt" "$work/b.pt" --weights .35,.65
stage last calibrate "$work/mean.pt" --valid "$data/conll2003/valid.txt" --gold "$data/ner_gold.conll.gz"

"$python" models/train.py export "$work/last.pt" --out "$work/ner-small"
sqlite3 -batch -cmd '.load build/ner' :memory: \
  "SELECT ner_convert('$work/ner-small', '$work/ner-small.safetensors', 'int8')"
"$python" models/train.py evaluate "$work/ner-small.safetensors" --int8 --valid "$data/conll2003/valid.txt" \
  --gold "$data/ner_gold.conll.gz" --everyday models/everyday-check.txt
