"""Other models out of finished ones: fewer layers, fewer inner units, the mean of several, a narrower one."""
import json, random
import torch
from torch import nn
from corpora import LOWER, SPECIALS, case_of, read_conll, read_gold
from network import Model, load, loss_of, save, share_rows, tensors_of
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


def hidden_states(m, tk, words):
    """What the layers of a model read and write for running text: n x width."""
    ids = [i for word in words for i in tk.word(word)]
    texts = [(ids[i:i + 120], [0] * len(ids[i:i + 120])) for i in range(0, len(ids), 120)][:100]
    found = []
    with torch.no_grad():
        for text in texts:
            ids, lengths, _ = tensors_of([text])
            x, mask = m.embedded(ids), m.mask(lengths, ids.shape[1])
            found.append(x[0])
            for l in m.layer:
                x = m.transformed(l, x, mask, lambda y: y)
                found.append(x[0])
    return torch.cat(found)


def shrunk(m, tk, pieces, width, inner, layers, words):
    """A narrower model to be trained: the principal directions of what the layers write; of each layer the first heads
    and the inner units with the largest weights.  `pieces`: its vocabulary; words: running text."""
    m.eval()
    heads = m.shape["heads"] * width // m.shape["width"]
    size = m.shape["width"] // m.shape["heads"]
    x = hidden_states(m, tk, words)
    x -= x.mean(0)
    basis = torch.linalg.eigh(x.T @ x)[1][:, -width:].contiguous()      # old width x new width; largest eigenvalues
    names = {p if p in SPECIALS else p.lower(): int(r) for p, r in zip(tk.pieces, m.rows)}
    rows, cases, kept = [], [], {}
    for piece in pieces:
        plain = piece if piece in SPECIALS else piece.lower()
        row = names.get(plain, names["[UNK]"])
        rows.append(kept.setdefault(row, len(kept)))
        cases.append(LOWER if piece in SPECIALS else case_of(piece))
    small = Model(width, inner, heads, len(layers), len(kept), m.shape["positions"], rows, cases)
    with torch.no_grad():
        small.table.copy_(m.table[list(kept)] @ basis)
        small.case.copy_(m.case @ basis)
        small.position.copy_(m.position @ basis)
        small.norm.weight.copy_(m.norm.weight.mean().expand(width)), small.norm.bias.copy_(m.norm.bias @ basis)
        small.classifier.weight.copy_(m.classifier.weight @ basis), small.classifier.bias.copy_(m.classifier.bias)
        for l, new in zip([m.layer[i] for i in layers], small.layer):
            n = heads * size
            units = (l.up.weight.norm(dim=1) * l.down.weight.norm(dim=0)).argsort(descending=True)[:inner].sort()[0]
            for part in range(3):
                old = slice(part * m.shape["width"], part * m.shape["width"] + n)
                new.qkv.weight[part * n:(part + 1) * n] = l.qkv.weight[old] @ basis
                new.qkv.bias[part * n:(part + 1) * n] = l.qkv.bias[old]
            new.out.weight.copy_(basis.T @ l.out.weight[:, :n]), new.out.bias.copy_(l.out.bias @ basis)
            new.up.weight.copy_(l.up.weight[units] @ basis), new.up.bias.copy_(l.up.bias[units])
            new.down.weight.copy_(basis.T @ l.down.weight[:, units]), new.down.bias.copy_(l.down.bias @ basis)
            for ours, theirs in (new.norm1, l.norm1), (new.norm2, l.norm2):
                ours.weight.copy_(theirs.weight.mean().expand(width)), ours.bias.copy_(theirs.bias @ basis)
    return small


def cmd_shrink(a):
    """The start of a smaller model: few of its answers are right before it is trained."""
    torch.set_num_threads(a.threads)
    m, tk = load(a.model)
    if a.model.endswith(".safetensors"):
        m = share_rows(m, tk.pieces)
    with open(a.vocab, encoding="utf-8") as f:
        pieces = json.load(f)["pieces"]
    words = [word for article in read_conll(a.conll)[::20] for sentence, _ in article for word in sentence]
    save(a.out, shrunk(m, tk, pieces, a.width, a.inner, [int(i) for i in a.layers.split(",")], words), pieces)
