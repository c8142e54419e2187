"""The classifier's biases and its temperature, fitted on the development sets once all training is done.

Training weighs corpora, windows and made-up texts in its own way, so the classes come out a little too likely or not
likely enough, and the scores too near to 1.  Nine biases and one temperature mend that: too few to learn a set by
heart, and what they gain is printed as measured on halves that they were not fitted on.
"""
import numpy as np
import torch
from corpora import LABELS, read_conll, spans_of
from measure import f1, outside_sentences, outside_spans, tags_of, word_logits
from network import load, loss_of, save
from texts import word_targets

# Changed together: a class's share is a matter of its B- and I-; that all entities begin too often, of the four B-.
GROUPS = [[0], [1, 3, 5, 7], [1, 2], [3, 4], [5, 6], [7, 8]]
STEPS = -.2, -.1, .1, .2
# What a change by 1 of one bias must gain, in points of F1: without reason the biases stay where training left them.
COST = .02


class Sentences:
    """Sentences of a development set, and the logits of their words' first pieces."""

    def __init__(self, sentences, logits, spans):
        self.sentences, self.logits, self.spans = sentences, logits, spans
        self.gold = [spans(tags, tags) for _, tags, _ in sentences]

    def half(self, i):
        order = np.random.RandomState(1).permutation(len(self.sentences))[i::2]
        return Sentences([self.sentences[k] for k in order], [self.logits[k] for k in order], self.spans)

    def pairs(self, bias):
        """(gold spans, found spans) of each sentence."""
        return [(gold, self.spans(tags_of(words, logits + bias), tags))
                for (words, tags, _), gold, logits in zip(self.sentences, self.gold, self.logits)]

    def losses(self, temperatures, bias):
        """For each temperature the mean of -log(probability) of the words' true labels."""
        logits = torch.cat(self.logits).unsqueeze(0) + bias
        allowed = torch.tensor([[t for (_, tags, misc), l in zip(self.sentences, self.logits)
                                 for t in word_targets(tags, misc)[:len(l)]]])
        return [loss_of((logits / t).log_softmax(2), allowed).mean().item() for t in temperatures]


def fitted(sets):
    """The biases at which the sum of the sets' F1 is highest, by small steps."""
    bias, moved = torch.zeros(len(LABELS)), True
    worth = lambda b: sum(f1(s.pairs(b))[2] for s in sets) - COST * b.abs().sum().item()
    best = worth(bias)
    while moved:
        moved = False
        for group in GROUPS:
            for step in STEPS:
                other = bias.clone()
                other[group] += step
                gained = worth(other)
                if gained > best + .01:
                    best, bias, moved = gained, other, True
    return bias


def cmd_calibrate(a):
    torch.set_num_threads(a.threads)
    m, tk = load(a.model)
    m.int8 = True                              # as it will be shipped
    valid = [(*s, True) for article in read_conll(a.valid) for s in article]
    outside = [(words, tags, misc) for words, tags, _, misc in outside_sentences(a.extra)]
    sets = [Sentences(sentences, word_logits(m, tk, [[s[0]] for s in sentences]), spans) for sentences, spans in (
        (valid, lambda found, tags: set(spans_of(found))), (outside, outside_spans))]
    show = lambda name, pairs: print(f"{name:36s} valid {f1(pairs[0])[2]:.2f}  outside {f1(pairs[1])[2]:.2f}", flush=True)
    zero = torch.zeros(len(LABELS))
    show("before", [s.pairs(zero) for s in sets])
    crossed = [[] for _ in sets]
    for i in 0, 1:
        bias = fitted([s.half(i) for s in sets])
        for pairs, s in zip(crossed, sets):
            pairs += s.half(1 - i).pairs(bias)
    show("fitted on halves, on the others", crossed)
    bias = fitted(sets)
    show("fitted on all", [s.pairs(bias) for s in sets])
    print("biases:", ", ".join(f"{label} {b:+.1f}" for label, b in zip(LABELS, bias.tolist())))
    temperatures = [1.] + np.arange(.8, 3, .05).round(2).tolist()
    losses = np.array([s.losses(temperatures, bias) for s in sets])
    best = losses.sum(0).argmin()
    temperature = temperatures[best]
    print(f"temperature {temperature}: " + ", ".join(
        f"{name} loss {l[0]:.4f} -> {l[best]:.4f}" for name, l in zip(("valid", "outside"), losses)))
    with torch.no_grad():
        m.classifier.bias.add_(bias).div_(temperature)
        m.classifier.weight.div_(temperature)
    save(a.out, m, tk.pieces)
