#!/usr/bin/env python3
"""Teachers, and students distilled from them.  reproduce.sh runs it; meant for a GPU, works on a CPU.

    distil.py pool   makes the texts, in several processes (pool.py)
    distil.py teach  trains a teacher for each fold and lets them label the pool
    distil.py learn  trains the students on that
    distil.py pack   makes the teacher's start smaller, for machines that are hard to reach
"""
import argparse, math, os, time
import numpy as np
import torch
from batches import DEVICE, Pool, autocast, read_blocks
from corpora import LABELS, read_conll, read_gold
from measure import f1, known_gold, known_spans
from mpnet import cmd_pack, load_encoder
from network import load, save, share_rows
from pool import FOLDS, UNLABELLED, Block, cmd_pool
from students import train_student
from teachers import opinions, train_teacher
from train import SHARES


class Development:
    """valid and the six worlds, sentence by sentence."""

    def __init__(self, a, students, teacher):
        self.sets = {"valid": [(*s, True) for article in read_conll(a.valid) for s in article]}
        self.sets.update({name: [s for d in documents for s in d] for name, documents in read_gold(a.gold, "dev").items()})
        block = Block(students)
        for sentences in self.sets.values():
            for sentence in sentences:
                block.add(teacher, 0, [sentence], [list(enumerate(sentence[0]))])
        self.pool = Pool([{k: np.array(v, np.int32) for k, v in block.columns.items()}], len(students))

    def scores(self, name, p):
        """p: probabilities of all words."""
        labels, at, found = p.argmax(1).cpu().numpy(), 0, []
        for key, sentences in self.sets.items():
            kinds, pairs = ("PER", "LOC", "ORG") + (("MISC",) if key == "valid" else ()), []
            for words, tags, _ in sentences:
                predicted = [LABELS[i] for i in labels[at:at + len(words)]]
                pairs.append((known_spans(known_gold(tags), tags, kinds), known_spans(predicted, tags, kinds)))
                at += len(words)
            found.append((key, f1(pairs)[2]))
        worlds = [score for key, score in found if key != "valid"]
        print(f"{name:12s} worlds {np.mean(worlds):.2f}  " + "  ".join(f"{k} {v:.2f}" for k, v in found), flush=True)

    def teacher(self, name, t):
        p = opinions(t, self.pool, np.arange(len(self.pool.fold)))
        self.scores(name, p)
        return p

    def student(self, name, m, s):
        m.eval()
        p, texts = torch.zeros_like(self.pool.soft), self.pool.students[s]
        with torch.no_grad(), autocast():
            for batch in texts.batches(np.arange(len(self.pool.fold)), 32768, np.random.RandomState(0)):
                x, lengths = texts.take(batch, ids=0, inside=0, word=-1)
                begins = (x["word"] >= 0) & (x["inside"] == 0)
                p[x["word"][begins]] = m(x["ids"], lengths).float().softmax(2)[begins]
        self.scores(name, p)


def write(path, m, pieces):
    """Matrices in half precision: what is shipped is int8."""
    m = m.to("cpu")
    for name, p in m.named_parameters():
        if p.dim() == 2 and name not in ("position", "case"):
            p.data = p.data.half()
    save(path + ".new", m, pieces)
    os.replace(path + ".new", path)
    for p in m.parameters():
        p.data = p.data.float()


def load_start(path):
    m, tk = load(path)
    return (share_rows(m, tk.pieces) if path.endswith(".safetensors") else m), tk


def check(m, pool, s):
    """Texts and labels belong together: a finished student must find most labels of the pool allowed."""
    m.to(DEVICE).eval()
    right = total = 0
    texts = pool.students[s]
    with torch.no_grad(), autocast():
        for batch in texts.batches(np.arange(0, len(pool.labelled[s]), 50), 32768, np.random.RandomState(0))[:40]:
            x, lengths = texts.take(batch, ids=0, inside=0, word=-1)
            bits, best = pool.bits(x["word"]), m(x["ids"], lengths).argmax(2)
            named = ((bits & 1) == 0) & (x["inside"] == 0)
            right += int((((bits >> best) & 1).bool() & named).sum())
            total += int(named.sum())
    print(f"student {s} finds {100 * right / max(1, total):.1f} % of the names' words in the pool", flush=True)
    assert right > .5 * total, "texts and labels of the pool do not belong together"


def begin(a):
    """(the students' starts, the development sets)"""
    torch.backends.cuda.matmul.allow_tf32 = True
    _, teacher_tokenizer = load_encoder(a.encoder)
    models = [load_start(path) for path in (a.start, a.small) if path]
    return models, Development(a, [tk for _, tk in models], teacher_tokenizer)


def read_pool(a, students):
    blocks = read_blocks(a.pool, "annotated", a.workers)
    return blocks, Pool(blocks + read_blocks(a.pool, "unlabelled", a.workers), students)


def cmd_teach(a):
    began = time.time()
    models, development = begin(a)
    blocks = read_blocks(a.pool, "annotated", a.workers)
    annotated = Pool(blocks, len(models))
    print(f"{len(annotated.fold)} annotated windows, {time.time() - began:.0f} s", flush=True)
    for s, (m, _) in enumerate(models):
        check(m, annotated, s)
    pool, mean = None, 0
    for fold in range(FOLDS):
        t = train_teacher(annotated, fold, a)
        mean = mean + development.teacher(f"teacher {fold}", t) / FOLDS
        if a.keep_teachers:
            torch.save(t.state_dict(), os.path.join(a.out, f"teacher-{fold}.pt"))
        if pool is None:
            pool = Pool(blocks + read_blocks(a.pool, "unlabelled", a.workers), len(models))
            print(f"{len(pool.fold)} windows, {len(pool.windows.flat['ids'])} pieces for the teachers, "
                  + ", ".join(str(len(s.flat["ids"])) for s in pool.students) + " for the students", flush=True)
        part = time.time()
        table = opinions(t, pool, np.flatnonzero((pool.fold == fold) | (pool.fold == UNLABELLED)))
        pool.soft += table * torch.from_numpy(np.where(pool.fold == UNLABELLED, 1 / FOLDS, 1.)).to(DEVICE)[pool_words(pool)][:, None]
        del table, t
        print(f"labelled, {time.time() - part:.0f} s; {time.time() - began:.0f} s", flush=True)
    development.scores("teachers", mean)
    torch.save(pool.soft.half().cpu(), os.path.join(a.pool, "soft.pt"))
    print(f"{time.time() - began:.0f} s in all", flush=True)


def cmd_learn(a):
    began = time.time()
    models, development = begin(a)
    for s, (m, _) in enumerate(models):
        development.student(f"start {s}", m.to(DEVICE), s)
    _, pool = read_pool(a, len(models))
    pool.soft = torch.load(os.path.join(a.pool, "soft.pt"), map_location=DEVICE).float()
    print(f"{time.time() - began:.0f} s", flush=True)
    for s, (m, tk) in enumerate(models):
        rate, seconds, steps, batch, dropout = ((a.rate, a.seconds, a.steps, a.batch, a.dropout) if s == 0 else
                                                (a.small_rate, a.small_seconds, a.small_steps, a.small_batch, 0.))
        train_student(m, pool, s, rate, seconds, steps, batch, dropout, a)
        development.student(f"student {s}", m, s)
        write(os.path.join(a.out, ("student.pt", "small.pt")[s]), m, tk.pieces)
        print(f"{time.time() - began:.0f} s in all", flush=True)


def pool_words(pool):
    """The window of every word."""
    if not hasattr(pool, "window_of_word"):
        windows = torch.arange(len(pool.fold), device=DEVICE).repeat_interleave(pool.windows.lengths)
        word = pool.windows.flat["word"].long()
        pool.window_of_word = torch.zeros(pool.n_words, dtype=torch.long, device=DEVICE)
        pool.window_of_word[word[word >= 0]] = windows[word >= 0]
    return pool.window_of_word


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    def command(name, run, **required):
        p = commands.add_parser(name)
        p.set_defaults(run=run)
        for option, meaning in required.items():
            p.add_argument("--" + option, required=True, help=meaning)
        return p
    command("pack", cmd_pack, encoder="Hugging Face folder of all-mpnet-base-v2", out="folder to write")
    p = command("pool", cmd_pool, encoder="folder of the teacher's start", start="the student's start", conll="train.txt",
                gold="ner_gold.conll.gz", extra="ner_extra.conll.gz", text="english.txt.gz", everyday="everyday.txt", out="folder to write")
    p.add_argument("--small", help="the smaller student's start")
    p.add_argument("--shares", default=SHARES)
    numbers(p, ("text_sources", str, "c50,r21578,masc,su", "sources of --text"),
            ("unlabelled", str, "wikiann", "corpora of --extra to read without their labels"),
            ("every", int, 1, "read one of so many unlabelled documents"),
            ("pieces", float, 12e6, "annotated pieces"), ("workers", int, 15, "processes"), ("renderings", int, 3, "of each window"),
            ("seed", int, 1, "seed"), ("replace", float, .25, "share of sentences half of whose names are replaced"),
            ("inserted", float, .03, "share of sentences with a handle, address or file name put in"),
            ("lower", float, .1, "share of texts in lower case"), ("upper", float, .12, "share of texts in capitals"),
            ("title", float, .04, "share of texts with every word capitalised"),
            ("unpunctuated", float, .07, "share of sentences without punctuation"),
            ("joined", float, .3, "share of windows whose sentences are read together"),
            ("keep_plain", float, .6, "share of sentences without a name that are kept"))
    for name, run in ("teach", cmd_teach), ("learn", cmd_learn):
        add_training(command(name, run, encoder="folder of the teacher's start", pool="folder of the pool",
                             start="the student's start", valid="valid.txt", gold="ner_gold.conll.gz", out="folder to write"))
    a = parser.parse_args()
    a.run(a)


def numbers(p, *options):
    for name, kind, default, meaning in options:
        p.add_argument("--" + name.replace("_", "-"), type=kind, default=default, help=f"{meaning} (%(default)s)")


def add_training(p):
    p.add_argument("--small", help="the smaller student's start")
    p.add_argument("--keep-teachers", action="store_true", help="write them, too")
    numbers(p, ("workers", int, 15, "processes that made the pool"), ("seed", int, 1, "seed"),
            ("teacher_seconds", float, math.inf, "of a teacher's training"), ("teacher_steps", int, 10 ** 9, "of it"),
            ("teacher_batch", int, 8192, "pieces"), ("teacher_rate", float, 6e-5, "of the highest layer"),
            ("teacher_head_rate", float, 5e-4, "of the head and the shapes"), ("teacher_decay", float, .95, "from layer to layer"),
            ("teacher_frozen", int, 4, "lower layers that stay as they are"), ("teacher_warm", int, 200, "steps in which the rate rises"),
            ("report", int, 100, "steps between two lines"),
            ("hard_weight", float, .5, "of the annotators' labels"), ("hard_end", float, .15, "share of the schedule that ends on annotated text"),
            ("hard_end_weight", float, .7, "of the annotators' labels then"),
            ("seconds", float, math.inf, "of the student's training"), ("steps", int, 10 ** 9, "of it"),
            ("batch", int, 24576, "pieces"), ("rate", float, 4e-4, "of the student"), ("dropout", float, .1, "of the student"),
            ("small_seconds", float, math.inf, "of the smaller student's training"), ("small_steps", int, 10 ** 9, "of it"),
            ("small_batch", int, 24576, "pieces"), ("small_rate", float, 1.5e-3, "of the smaller student"))


if __name__ == "__main__":
    main()
