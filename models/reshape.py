"""Other models out of finished ones: fewer layers, fewer inner units, the mean of several."""
import random
import torch
from torch import nn
from corpora import read_conll, read_gold
from network import load, loss_of, save, tensors_of
from texts import targets_of


def keep_layers(m, keep):
    m.layer = nn.ModuleList(m.layer[i] for i in keep)
    m.shape["layers"] = len(keep)


def unit_weights(m, tk, sentences):
    """For every layer's inner units: the sum, over small batches, of (loss's derivative by a factor on the unit) squared."""
    factors = [torch.ones(l.up.out_features, requires_grad=True) for l in m.layer]
    sums = [torch.zeros_like(f) for f in factors]
    hooks = [l.down.register_forward_pre_hook(lambda module, inputs, f=f: (inputs[0] * f,))
             for l, f in zip(m.layer, factors)]
    for i in range(0, len(sentences), 16):
        batch = [targets_of(tk, *s) for s in sentences[i:i + 16]]
        ids, lengths, allowed = tensors_of([(ids[:200], allowed[:200]) for ids, allowed in batch])
        loss = loss_of(m(ids, lengths).log_softmax(2), allowed).sum()       # 0 where any label will do, as at the ends
        for s, g in zip(sums, torch.autograd.grad(loss, factors)):
            s += g ** 2
    for h in hooks:
        h.remove()
    return sums


def cmd_narrow(a):
    """Keeps in every layer the inner units without which the loss would grow most (a first-order estimate)."""
    torch.set_num_threads(a.threads)
    m, tk = load(a.model)
    if a.layers:
        keep_layers(m, [int(i) for i in a.layers.split(",")])
    m.eval()
    rng = random.Random(1)
    sentences = [(*s, True) for s in rng.sample([s for d in read_conll(a.conll) for s in d], 800)]
    for documents in read_gold(a.gold, "train").values():
        sentences += rng.sample([s for d in documents for s in d], 500)
    rng.shuffle(sentences)
    for l, weights in zip(m.layer, unit_weights(m, tk, sentences)):
        keep = weights.argsort(descending=True)[:a.inner].sort()[0]
        up, down = nn.Linear(l.up.in_features, a.inner), nn.Linear(a.inner, l.down.out_features)
        with torch.no_grad():
            up.weight.copy_(l.up.weight[keep])
            up.bias.copy_(l.up.bias[keep])
            down.weight.copy_(l.down.weight[:, keep])
            down.bias.copy_(l.down.bias)
        l.up, l.down = up, down
    m.shape["inner"] = a.inner
    save(a.out, m, tk.pieces)


def cmd_mix(a):
    """Runs that began from one another agree in their weights well enough for the mean to be better than each."""
    shares = [float(s) for s in a.weights.split(",")]
    assert len(shares) == len(a.models) and abs(sum(shares) - 1) < 1e-6, "--weights: one for each model, 1 in all"
    models = [load(path) for path in a.models]
    m, tk = models[0]
    assert all(t.pieces == tk.pieces for _, t in models), "the models have different vocabularies"
    states = [model.state_dict() for model, _ in models]
    m.load_state_dict({name: sum(share * s[name] for share, s in zip(shares, states)) if value.is_floating_point() else value
                       for name, value in states[0].items()})
    save(a.out, m, tk.pieces)
