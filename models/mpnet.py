"""The teacher: MPNet with letter case, fine-tuned for names.  A tool of the recipe; nothing of it ships.

all-mpnet-base-v2 is uncased.  A learned vector for the shape of the word (lower case, capitalised, all capitals...) is
added to each of its pieces where the trained layers begin: the embeddings, the relative positions and the first `frozen`
layers stay as they are, which is quicker and keeps the deep network from collapsing at the rates that a short training
needs.
"""
import json, math, os
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from corpora import LABELS, pretokens, strip_accents, wordpieces

BEGIN, PAD, END = 0, 1, 2
SHAPES = 7                                       # 0: no word (special tokens)


def shape_of(word):
    return (1 if word.islower() else 2 if word.istitle() else 3 if word.isupper() and len(word) > 1
            else 4 if word[:1].isupper() else 5 if any(c.isupper() for c in word) else 6)


class TeacherTokenizer:
    def __init__(self, pieces):
        self.ids = {piece: i for i, piece in enumerate(pieces)}
        self.unknown = self.ids["[UNK]"]
        self.known = {}

    def word(self, word):
        """The pieces of a corpus's word and the shape of each."""
        found = self.known.get(word)
        if found is None:
            ids, shapes = [], []
            for a, b in pretokens(word):
                pieces = wordpieces(strip_accents(word[a:b]).lower(), self.ids)
                new = [self.ids[p] for p in pieces] if pieces else [self.unknown]
                ids += new
                shapes += [shape_of(word[a:b])] * len(new)
            found = self.known[word] = (ids, shapes) if ids else ([self.unknown], [6])
        return found


class Layer(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)


class Teacher(nn.Module):
    def __init__(self, vocabulary=30527, width=768, inner=3072, heads=12, layers=12, positions=514):
        super().__init__()
        self.heads, self.dropout, self.frozen = heads, .1, 0
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(positions, width)
        self.shape = nn.Embedding(SHAPES, width)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.relative = nn.Embedding(32, heads)
        self.layer = nn.ModuleList(Layer(width, inner) for _ in range(layers))
        self.head = nn.Linear(width, len(LABELS))
        nn.init.zeros_(self.shape.weight)

    def bias(self, n, device):
        """Of the distance between two pieces, 1 x heads x n x n: 32 buckets, exact up to 7, then logarithmic up to 128."""
        i = torch.arange(n, device=device)
        distance = i[:, None] - i[None]
        far = 8 + (torch.log(distance.abs().clamp(min=1) / 8) / math.log(16) * 8).long()
        bucket = torch.where(distance.abs() < 8, distance.abs(), far.clamp(max=15)) + 16 * (distance < 0)
        return self.relative(bucket).permute(2, 0, 1)[None]

    def freeze(self, layers):
        """What lies below the trained layers is not trained and sees no dropout."""
        self.frozen = layers
        for part in (self.word, self.position, self.norm, self.relative, *self.layer[:layers]):
            part.requires_grad_(False)

    def transformed(self, l, x, mask, drop):
        batch, n, width = x.shape
        q, k, v = l.qkv(x).view(batch, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if x.is_cuda:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        else:
            y = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + mask).softmax(3).to(v.dtype) @ v
        x = l.norm1(x + drop(l.out(y.transpose(1, 2).reshape(batch, n, width))))
        return l.norm2(x + drop(l.down(F.gelu(l.up(x)))))

    def forward(self, ids, shapes):
        """ids, shapes: batch x n, padded with PAD and 0.  Logits, batch x n x 9."""
        n = ids.shape[1]
        drop = lambda x: F.dropout(x, self.dropout, self.training)
        with torch.no_grad():
            x = self.norm(self.word(ids) + self.position(torch.arange(2, n + 2, device=ids.device)))
            mask = self.bias(n, ids.device).masked_fill((ids == PAD)[:, None, None], -1e4)
            for l in self.layer[:self.frozen]:
                x = self.transformed(l, x, mask, lambda y: y)
        x = x + self.shape(shapes)
        for l in self.layer[self.frozen:]:
            x = self.transformed(l, x, mask, drop)
        return self.head(drop(x))


def tensor_names(layers):
    """Our names to those of the checkpoint; qkv is put together of three."""
    names = {"word.weight": "embeddings.word_embeddings.weight", "position.weight": "embeddings.position_embeddings.weight",
             "norm.weight": "embeddings.LayerNorm.weight", "norm.bias": "embeddings.LayerNorm.bias",
             "relative.weight": "encoder.relative_attention_bias.weight"}
    for i in range(layers):
        p = f"encoder.layer.{i}."
        for part in "weight", "bias":
            names[f"layer.{i}.qkv.{part}"] = [f"{p}attention.attn.{x}.{part}" for x in "qkv"]
            for ours, theirs in (("out", "attention.attn.o"), ("norm1", "attention.LayerNorm"),
                                 ("up", "intermediate.dense"), ("down", "output.dense"), ("norm2", "output.LayerNorm")):
                names[f"layer.{i}.{ours}.{part}"] = f"{p}{theirs}.{part}"
    return names


def read_encoder(folder):
    """The encoder's tensors by our names: from a Hugging Face folder, or from the parts that `pack` made of one."""
    packed = sorted(f for f in os.listdir(folder) if f.endswith(".npz"))
    if packed:
        found = {}
        for name in packed:
            with np.load(os.path.join(folder, name)) as part:
                found.update({k: part[k] for k in part.files})
        return {k: torch.from_numpy(v).float() * torch.from_numpy(found[k + ".scale"])[:, None]
                if v.dtype == np.int8 else torch.from_numpy(v) for k, v in found.items() if not k.endswith(".scale")}
    from safetensors.torch import load_file
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    assert config["model_type"] == "mpnet" and config["hidden_size"] == 768, f"{folder} is not all-mpnet-base-v2"
    t = {k.removeprefix("mpnet."): v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
    return {ours: torch.cat([t[x] for x in theirs]) if isinstance(theirs, list) else t[theirs]
            for ours, theirs in tensor_names(config["num_hidden_layers"]).items()}


def cmd_pack(a):
    """The encoder with its matrices in int8, a scale for each row, in parts of some 37 MB; for machines that are hard
    to reach."""
    os.makedirs(a.out, exist_ok=True)
    part, size, number = {}, 0, 0
    tensors = read_encoder(a.encoder)
    for i, (name, t) in enumerate(tensors.items()):
        if t.dim() == 2 and t.numel() > 10 ** 5:
            scale = t.abs().amax(1).clamp(min=1e-9) / 127
            part[name], part[name + ".scale"] = (t / scale[:, None]).round().to(torch.int8).numpy(), scale.numpy()
        else:
            part[name] = t.numpy()
        size += part[name].nbytes
        if size > 35.5e6 or i == len(tensors) - 1:
            np.savez(os.path.join(a.out, f"part-{number}.npz"), **part)
            part, size, number = {}, 0, number + 1
    for name in ("vocab.txt",):
        with open(os.path.join(a.encoder, name), "rb") as source, open(os.path.join(a.out, name), "wb") as target:
            target.write(source.read())


def load_encoder(folder):
    """(teacher with an untrained head, tokenizer)"""
    tensors = read_encoder(folder)
    layers = 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("layer."))
    vocabulary, width = tensors["word.weight"].shape
    t = Teacher(vocabulary, width, len(tensors["layer.0.up.bias"]), tensors["relative.weight"].shape[1], layers)
    missing, unexpected = t.load_state_dict(tensors, strict=False)
    assert not unexpected and set(missing) == {"shape.weight", "head.weight", "head.bias"}, (missing, unexpected)
    nn.init.normal_(t.head.weight, 0, .02)
    nn.init.zeros_(t.head.bias)
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as f:
        return t, TeacherTokenizer([line.rstrip("\n") for line in f])
