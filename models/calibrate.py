"""The classifier's biases and its temperature, fitted on the development sets once all training is done.

Training weighs corpora, windows and invented texts in its own way, so the classes come out a little too likely or too
unlikely, and the scores too near to 1.  Nine biases and one temperature correct that: too few to learn a set by heart,
and their gain is printed as measured on halves that they were not fitted on.
"""
import numpy as np
import torch
from corpora import LABEL_ID, LABELS, read_conll, read_gold
from measure import Extension, Network
from network import load, loss_of, save
from texts import word_targets

# Changed together: a class's share is a matter of its B- and I-; that all entities begin too often, of the four B-.
GROUPS = [[0], [1, 3, 5, 7], [1, 2], [3, 4], [5, 6], [7, 8]]
STEPS = -.2, -.1, .1, .2
# What a change of one bias by 1 must gain, in points of F1; without a reason the biases stay where training left them.
COST = .02


def spans_at(labels):
    """The entities in a sequence of label numbers: arrays of first words, last words, types (1 to 4)."""
    kind = (labels + 1) // 2
    before = np.concatenate([[0], kind[:-1]])
    begins = (kind > 0) & ((labels % 2 == 1) | (kind != before))
    follows = np.concatenate([(kind[1:] > 0) & ~begins[1:], [False]])
    first, last = np.flatnonzero(begins), np.flatnonzero((kind > 0) & ~follows)
    return first, last, kind[first]


class Sentences:
    """A development set as arrays over its words, a separating O after each sentence.

    sentences: (words, tags, misc annotated?); logits: those of each sentence's words' first pieces; misc: whether MISC
    counts.  Entities that touch a word whose tag is unknown (X) do not count."""

    def __init__(self, sentences, logits, misc):
        self.sentences, self.misc = sentences, misc
        certain = torch.zeros(1, len(LABELS)).index_fill_(1, torch.tensor([0]), 1e6)
        self.parts = logits
        self.logits = torch.cat([x for (_, tags, _), l in zip(sentences, logits)
                                 for x in (l, certain.expand(1 + len(tags) - len(l), -1))]).numpy()
        tags = [t for _, tags, _ in sentences for t in (*tags, "O")]
        self.unknown = np.concatenate([[0], np.cumsum([t == "X" for t in tags])])
        self.gold = self.counted(np.array([0 if t == "X" else LABEL_ID[t] for t in tags]))

    def counted(self, labels):
        first, last, kind = spans_at(labels)
        keep = (self.unknown[last + 1] == self.unknown[first]) & ((kind < 4) | self.misc)
        return set(zip(first[keep].tolist(), last[keep].tolist(), kind[keep].tolist()))

    def half(self, i):
        order = np.random.RandomState(1).permutation(len(self.sentences))[i::2]
        return Sentences([self.sentences[k] for k in order], [self.parts[k] for k in order], self.misc)

    def counts(self, bias):
        """Entities found rightly, found, and in all."""
        found = self.counted((self.logits + bias).argmax(1))
        return np.array([len(found & self.gold), len(found), len(self.gold)])

    def losses(self, temperatures, bias):
        """For each temperature the mean of -log(probability) of the words' true labels."""
        logits = torch.cat(self.parts).unsqueeze(0) + torch.from_numpy(bias)
        allowed = torch.tensor([[t for (_, tags, misc), l in zip(self.sentences, self.parts)
                                 for t in word_targets(tags, misc)[:len(l)]]])
        return [loss_of((logits / t).log_softmax(2), allowed).mean().item() for t in temperatures]


def development_sets(reader, a):
    """{"valid": ..., each corpus of ner_gold: ...}; the corpora are measured on PER, LOC and ORG."""
    sets = {"valid": [(*s, True) for article in read_conll(a.valid) for s in article]}
    sets.update({name: [s for d in documents for s in d] for name, documents in read_gold(a.gold, "dev").items()})
    return {name: Sentences(sentences, reader.logits([s[0] for s in sentences]), name == "valid")
            for name, sentences in sets.items()}


def f1(counts):
    return 200 * counts[0] / max(1, counts[1] + counts[2])


def summary(scores):
    """F1 of valid, mean F1 of the other sets."""
    return scores["valid"], np.mean([score for name, score in scores.items() if name != "valid"])


def worth(sets, bias):
    return sum(summary({name: f1(s.counts(bias)) for name, s in sets.items()})) - COST * np.abs(bias).sum()


def fitted(sets):
    """The biases with the highest sum of valid's F1 and the mean of the other sets' F1, found in small steps."""
    bias, moved = np.zeros(len(LABELS), np.float32), True
    best = worth(sets, bias)
    while moved:
        moved = False
        for group in GROUPS:
            for step in STEPS:
                other = bias.copy()
                other[group] += step
                gained = worth(sets, other)
                if gained > best + .01:
                    best, bias, moved = gained, other, True
    return bias


def show(name, counts):
    scores = {key: f1(c) for key, c in counts.items()}
    valid, worlds = summary(scores)
    print(f"{name:30s} valid {valid:.2f}  worlds {worlds:.2f}  "
          + "  ".join(f"{key} {score:.2f}" for key, score in scores.items() if key != "valid"), flush=True)


def crossed(sets):
    """The sets' counts, each half with the biases fitted on the other halves."""
    counts = dict.fromkeys(sets, 0)
    for i in 0, 1:
        bias = fitted({name: s.half(i) for name, s in sets.items()})
        for name, s in sets.items():
            counts[name] = counts[name] + s.half(1 - i).counts(bias)
    return counts


def fitted_temperature(sets, bias):
    temperatures = [1.] + np.arange(.8, 3, .05).round(2).tolist()
    losses = {name: s.losses(temperatures, bias) for name, s in sets.items()}
    total = np.array(losses["valid"]) + np.mean([l for name, l in losses.items() if name != "valid"], axis=0)
    best = int(total.argmin())
    print(f"temperature {temperatures[best]}: " + ", ".join(
        f"{name} loss {l[0]:.4f} -> {l[best]:.4f}" for name, l in losses.items()))
    return temperatures[best]


def cmd_calibrate(a):
    torch.set_num_threads(a.threads)
    m, tk = load(a.model)
    m.int8 = True                              # as it will be shipped
    sets = development_sets(Extension(a.extension, a.converted) if a.extension else Network(m, tk), a)
    zero = np.zeros(len(LABELS), np.float32)
    show("before", {name: s.counts(zero) for name, s in sets.items()})
    show("fitted on halves, on the others", crossed(sets))
    bias = fitted(sets)
    show("fitted on all", {name: s.counts(bias) for name, s in sets.items()})
    print("biases:", ", ".join(f"{label} {b:+.1f}" for label, b in zip(LABELS, bias.tolist())))
    temperature = fitted_temperature(sets, bias)
    with torch.no_grad():
        m.classifier.bias.add_(torch.from_numpy(bias)).div_(temperature)
        m.classifier.weight.div_(temperature)
    save(a.out, m, tk.pieces)
