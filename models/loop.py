"""The training loop of `train.py train`."""
import contextlib, os, random, time
import numpy as np
import torch
from torch import nn
from corpora import ANY, Tokenizer, read_conll, read_gold
from measure import Network, f1, word_spans, world_pairs
from network import from_base, load, loss_of, save, share_rows, tensors_of
from texts import Texts


def starting_model(a):
    """--start: a checkpoint or a one-file int8 model; else a new head on the encoder of --base."""
    if not a.start:
        import json
        with open(a.vocab, encoding="utf-8") as f:
            vocabulary = json.load(f)
        return from_base(a.base, vocabulary), Tokenizer(vocabulary["pieces"])
    m, tk = load(a.start)
    return (share_rows(m, tk.pieces) if a.start.endswith(".safetensors") else m), tk


def optimizer_of(m, a):
    """AdamW; weight decay on matrices only, a rate of its own for a new head."""
    groups = [{"params": [], "scale": 1., "weight_decay": .01}, {"params": [], "scale": 1., "weight_decay": 0.},
              {"params": [], "scale": 1. if a.start else a.head_rate, "weight_decay": 0.}]
    for name, p in m.named_parameters():
        if not p.requires_grad:
            continue
        head = name.startswith("classifier") or name == "case"
        groups[2 if head else 0 if p.dim() == 2 and name not in ("position", "table") else 1]["params"].append(p)
    return torch.optim.AdamW(groups, lr=a.rate, betas=(.9, .98), eps=1e-6)


class Mean:
    """The running mean of the weights, which is what is measured and kept."""

    def __init__(self, m, decay, every):
        self.parameters = [p for p in m.parameters() if p.requires_grad]
        self.values = [p.detach().clone() for p in self.parameters]
        self.decay, self.every = decay, every

    def update(self, step):
        if step % self.every == 0:
            decay = min(self.decay ** self.every, step / (step + 10 * self.every))
            with torch.no_grad():
                torch._foreach_mul_(self.values, decay)
                torch._foreach_add_(self.values, self.parameters, alpha=1 - decay)

    def exchange(self):
        with torch.no_grad():
            for p, value in zip(self.parameters, self.values):
                kept = p.clone()
                p.copy_(value)
                value.copy_(kept)

    @contextlib.contextmanager
    def as_weights(self):
        self.exchange()
        try:
            yield
        finally:
            self.exchange()


def report(m, tk, a):
    """F1 on one article of valid and one document of each of the six worlds in --sample."""
    reader = Network(m, tk)
    valid = [s for article in read_conll(a.valid)[::a.sample] for s in article]
    worlds = {name: documents[::a.sample] for name, documents in read_gold(a.gold, "dev").items()}
    scores = {name: f1(pairs)[2] for name, pairs in world_pairs(reader, worlds).items()}
    print(f"valid {f1(word_spans(reader, valid))[2]:.2f}  worlds {np.mean(list(scores.values())):.2f}  "
          + "  ".join(f"{name} {score:.2f}" for name, score in scores.items()), flush=True)


def learn(m, optimizer, batch, rate):
    """One step; the loss."""
    m.train()
    ids, lengths, allowed = tensors_of(batch)
    known = (allowed != ANY).float()
    loss = (loss_of(m(ids, lengths).log_softmax(2), allowed) * known).sum() / known.sum().clamp(min=1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(m.parameters(), 1.)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()
    return loss.item()


def rate_at(a, step, progress):
    """The rate rises over --warm steps, stays, and falls linearly to 0 over the last --fall of the schedule."""
    return a.rate * min(1, (step + 1) / a.warm, (1 - progress) / a.fall)


def cmd_train(a):
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    m, tk = starting_model(a)
    m.generator = np.random.Generator(np.random.SFC64(1000 * a.seed))
    m.dropout = a.dropout
    m.freeze(a.frozen)
    stream = Texts(a, tk, random.Random(1000 * a.seed)).batches()
    optimizer, mean = optimizer_of(m, a), Mean(m, a.mean, 8)
    began = saved = time.time()
    step = pieces = 0
    progress = running = 0.              # progress of the schedule, 0 to 1: by steps, or by the clock if that is ahead
    while progress < 1:
        batch, rate = next(stream), rate_at(a, step, progress)
        running = .98 * running + .02 * learn(m, optimizer, batch, rate)
        step += 1
        pieces += sum(len(ids) for ids, _ in batch)
        mean.update(step)
        progress = max(step / a.steps, (time.time() - began) / 60 / a.minutes)
        if step % 50 == 0:
            print(f"step {step} loss {running / (1 - .98 ** step):.4f} rate {rate:.2e} {pieces} pieces "
                  f"{(time.time() - began) / 60:.1f} min, {pieces / time.process_time():.0f} a CPU second", flush=True)
        if progress >= 1 or time.time() - saved > 60 * a.save:
            with mean.as_weights():
                save(a.out, m, tk.pieces)
            saved = time.time()
    if a.sample:
        with mean.as_weights():
            report(m, tk, a)
