"""The pool's files (pool.py) on the device, taken out in batches, and what every training there shares."""
import contextlib, glob, os, time
import numpy as np
import torch
from corpora import ANY, LABELS
from pool import UNLABELLED

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def autocast():
    return torch.autocast("cuda", torch.bfloat16) if DEVICE == "cuda" else contextlib.nullcontext()


class Ragged:
    """Sequences of different lengths in one flat tensor, taken out padded."""

    def __init__(self, lengths, **flat):
        self.sizes = lengths.astype(np.int64)                # on the CPU, so that no step waits for the GPU
        self.lengths = torch.from_numpy(self.sizes).to(DEVICE)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.flat = {name: torch.from_numpy(values).to(DEVICE) for name, values in flat.items()}

    def take(self, which, **padding):
        """The sequences with these indices: {name: batch x n}, and their lengths."""
        n = torch.arange(int(self.sizes[which].max()), device=DEVICE)
        which = torch.from_numpy(which).to(DEVICE, non_blocking=True)
        lengths = self.lengths[which]
        inside = n < lengths[:, None]
        at = (self.starts[which][:, None] + n).clamp(max=len(next(iter(self.flat.values()))) - 1)
        return {name: self.flat[name][at].long().masked_fill(~inside, pad) for name, pad in padding.items()}, lengths

    def batches(self, which, size, rng):
        """Indices of sequences of about one length, at most `size` pieces with their padding, in random order."""
        lengths, ready = self.sizes, []
        which = rng.permutation(which)
        for i in range(0, len(which), 20_000):
            part = which[i:i + 20_000]
            part = part[np.argsort(lengths[part], kind="stable")]
            begin = 0
            while begin < len(part):
                end = begin + max(1, size // lengths[part[begin]])
                while end > begin + 1 and lengths[part[min(end, len(part)) - 1]] * (min(end, len(part)) - begin) > size:
                    end -= max(1, (end - begin) // 50)
                ready.append(part[begin:end])
                begin = end
        return [ready[i] for i in rng.permutation(len(ready))]


class Pool:
    def __init__(self, blocks, students):
        """blocks: dicts of the arrays that pool.Block holds."""
        count = lambda name: np.cumsum([0] + [len(b[name]) for b in blocks])[:-1]
        shifted = lambda name, by: np.concatenate([np.where(b[name] >= 0, b[name] + n, -1) for b, n in zip(blocks, by)])
        whole = lambda name: np.concatenate([b[name] for b in blocks])
        pieces, words, windows = count("ids"), count("first"), count("length")
        first = shifted("first", pieces)
        spelled = np.full(sum(len(b["ids"]) for b in blocks), -1, np.int32)
        spelled[first[first >= 0]] = np.flatnonzero(first >= 0)
        self.fold, self.n_words = whole("fold"), len(first)
        self.windows = Ragged(whole("length"), ids=whole("ids"), shapes=whole("shapes"), word=spelled)
        self.allowed = torch.from_numpy(whole("allowed").astype(np.int64)).to(DEVICE)
        self.students, self.labelled = [], []
        for s in range(students):
            self.students.append(Ragged(whole(f"{s}.length"), ids=whole(f"{s}.ids"), inside=whole(f"{s}.inside"),
                                        word=shifted(f"{s}.word", words)))
            self.labelled.append(self.fold[shifted(f"{s}.window", windows)] != UNLABELLED)
        self.soft = torch.zeros(self.n_words, len(LABELS), dtype=torch.float32, device=DEVICE)

    def bits(self, word):
        """The labels each piece may have; any where it begins no word."""
        return torch.where(word >= 0, self.allowed[word.clamp(min=0)], ANY)


def read_blocks(folder, kind, workers):
    """Waits for the processes that make the pool."""
    while len(glob.glob(os.path.join(folder, f"{kind}-*.done"))) < workers:
        time.sleep(.2)
    found = []
    for path in sorted(glob.glob(os.path.join(folder, f"{kind}-*.npz"))):
        with np.load(path) as f:
            found.append({name: f[name] for name in f.files})
    return found


class Schedule:
    """By the clock or by steps, whichever is ahead: progress from 0 to 1; the rate rises, then falls linearly to 0."""

    def __init__(self, seconds, steps, warm):
        self.seconds, self.steps, self.warm, self.step, self.began = seconds, steps, warm, 0, time.time()

    def progress(self):
        return max(self.step / self.steps, (time.time() - self.began) / self.seconds)

    def factor(self, progress):
        return min(1, (self.step + 1) / self.warm) * max(0, 1 - progress)


def step(m, optimizer, loss, factor):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(m.parameters(), 1.)
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * factor
    optimizer.step()


def adamw(groups):
    return torch.optim.AdamW([{**g, "lr": g["rate"]} for g in groups], betas=(.9, .98), eps=1e-6, weight_decay=.01,
                             **({"fused": True} if DEVICE == "cuda" else {}))
