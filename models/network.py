"""The network, its loss, its weights from and to files; nothing of training."""
import functools, json, math, os, re
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from corpora import ANY, CLS, LABEL_ID, LABELS, LOWER, PAD, SEP, SPECIALS, Tokenizer, case_of, wordpieces


class Layer(nn.Module):
    def __init__(self, width, inner, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)


def drop(x, share, generator):
    """Dropout.  On a CPU bytes are enough randomness, and numpy draws them ten times faster than torch draws bits."""
    if x.is_cuda:
        return F.dropout(x, share)
    lost = round(256 * share)
    byte = torch.frombuffer(bytearray(generator.bytes(x.numel())), dtype=torch.uint8).view(x.shape)
    return x * ((byte >= lost).to(x.dtype) * (256 / (256 - lost)))


def round8(x):
    """To 255 levels, a scale for every row."""
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-9) / 127
    return (x / scale).round() * scale


class Model(nn.Module):
    """DistilBERT.  Embeddings are shared rows plus case vectors while training (`rows`, `cases` per vocabulary entry)."""

    def __init__(self, width, inner, heads, layers, table, positions, rows, cases):
        super().__init__()
        self.shape = dict(width=width, inner=inner, heads=heads, layers=layers, table=table, positions=positions)
        self.register_buffer("rows", torch.as_tensor(rows))
        self.register_buffer("cases", torch.as_tensor(cases))
        self.table = nn.Parameter(torch.zeros(table, width))
        self.case = nn.Parameter(torch.zeros(5, width))
        self.position = nn.Parameter(torch.zeros(positions, width))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layer = nn.ModuleList(Layer(width, inner, heads) for _ in range(layers))
        self.classifier = nn.Linear(width, len(LABELS))
        self.dropout = 0.
        self.generator = np.random.Generator(np.random.SFC64(1))
        self.int8 = False
        self.frozen = 0

    def linear(self, module, x):
        return F.linear(round8(x), round8(module.weight), module.bias) if self.int8 else module(x)

    def words(self):
        capital = self.cases.clamp(max=1).unsqueeze(1)      # LOWER adds nothing
        return self.table[self.rows] + self.case[self.cases] * capital

    def embedded(self, ids):
        if self.int8:
            x = F.embedding(ids, round8(self.words()))
        else:
            cases = self.cases[ids]
            x = F.embedding(self.rows[ids], self.table) + F.embedding(cases, self.case) * (cases > 0).unsqueeze(2)
        return self.norm(x + self.position[:ids.shape[1]])

    def transformed(self, l, x, mask, dropped):
        """One layer.  On a CPU attention's products are written out: they train twice as fast as
        scaled_dot_product_attention, whose backward pass is slow there."""
        batch, n, width = x.shape
        size = width // l.heads
        qkv = self.linear(l.qkv, x).view(batch, n, 3, l.heads, size).permute(2, 0, 3, 1, 4)
        if x.is_cuda:
            y = F.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=mask)
        else:
            q, k, v = qkv.reshape(3, batch * l.heads, n, size).unbind(0)
            p = (torch.bmm(q, k.transpose(1, 2)) * (1 / math.sqrt(size)) + mask).softmax(2)
            y = torch.bmm(p.to(v.dtype), v).view(batch, l.heads, n, size)
        y = y.transpose(1, 2).reshape(batch, n, width)
        x = l.norm1(x + dropped(self.linear(l.out, y)))
        return l.norm2(x + dropped(self.linear(l.down, F.gelu(self.linear(l.up, x)))))

    def mask(self, lengths, n):
        """What is added to the attention's scores: batch * heads x 1 x n, or 0 where no text is padded.  On a GPU:
        which pieces are read, batch x 1 x 1 x n."""
        if lengths.is_cuda:
            return (torch.arange(n, device=lengths.device) < lengths[:, None])[:, None, None]
        if int(lengths.min()) == n:
            return 0.
        padding = (torch.arange(n) >= lengths[:, None])[:, None, None]
        mask = torch.zeros(len(lengths), 1, 1, n).masked_fill_(padding, -1e9)
        return mask.expand(-1, self.shape["heads"], -1, -1).reshape(-1, 1, n)

    def freeze(self, layers):
        """The embeddings and the first `layers` layers are not trained (and see no dropout) any more."""
        self.frozen = layers
        if layers:
            for p in [self.table, self.case, self.position, *self.norm.parameters(),
                      *(p for l in self.layer[:layers] for p in l.parameters())]:
                p.requires_grad_(False)

    def forward(self, ids, lengths):
        """ids: batch x n, padded; lengths: of each text, special tokens included.  Logits, batch x n x 9."""
        dropped = lambda x: drop(x, self.dropout, self.generator) if self.dropout and self.training else x
        mask = self.mask(lengths, ids.shape[1])
        if self.frozen:
            with torch.no_grad():
                x = self.embedded(ids)
                for l in self.layer[:self.frozen]:
                    x = self.transformed(l, x, mask, lambda y: y)
        else:
            x = dropped(self.embedded(ids))
        for l in self.layer[self.frozen:]:
            x = self.transformed(l, x, mask, dropped)
        return self.linear(self.classifier, dropped(x))


def from_base(path, vocabulary):
    """MiniLM's encoder; its row for token type 0 goes into the positions, which is all DistilBERT lacks."""
    from safetensors.torch import load_file
    config = json.load(open(os.path.join(path, "config.json")))
    t = {k.removeprefix("bert."): v.float() for k, v in load_file(os.path.join(path, "model.safetensors")).items()}
    used = sorted(set(vocabulary["rows"]))
    place = {row: i for i, row in enumerate(used)}
    m = Model(config["hidden_size"], config["intermediate_size"], config["num_attention_heads"],
              config["num_hidden_layers"], len(used), config["max_position_embeddings"],
              [place[r] for r in vocabulary["rows"]], vocabulary["cases"])
    with torch.no_grad():
        m.table.copy_(t["embeddings.word_embeddings.weight"][used])
        m.position.copy_(t["embeddings.position_embeddings.weight"] + t["embeddings.token_type_embeddings.weight"][0])
        nn.init.normal_(m.case, 0, .005)
        nn.init.normal_(m.classifier.weight, 0, .02)
        nn.init.zeros_(m.classifier.bias)
        for part, target in ("weight", 0), ("bias", 0):
            get = lambda name: t[f"{name}.{part}"]
            getattr(m.norm, part).copy_(get("embeddings.LayerNorm"))
            for i, l in enumerate(m.layer):
                p = f"encoder.layer.{i}."
                getattr(l.qkv, part).copy_(torch.cat([get(p + "attention.self." + x) for x in ("query", "key", "value")]))
                getattr(l.out, part).copy_(get(p + "attention.output.dense"))
                getattr(l.norm1, part).copy_(get(p + "attention.output.LayerNorm"))
                getattr(l.up, part).copy_(get(p + "intermediate.dense"))
                getattr(l.down, part).copy_(get(p + "output.dense"))
                getattr(l.norm2, part).copy_(get(p + "output.LayerNorm"))
    return m


def save(path, model, pieces):
    torch.save({"shape": model.shape, "pieces": pieces, "state": model.state_dict()}, path + ".new")
    os.replace(path + ".new", path)


def load_converted(path):
    """The one-file int8 model that ner_convert() writes, in floating point again."""
    from safetensors.torch import load_file
    t = load_file(path)
    # A line's "\\", "\\n" and "\\r" stand for one character each (ner_vocab_from_escaped in src/text/vocab.c).
    pieces = [re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), line)
              for line in bytes(t["vocabulary"].numpy()).decode().rstrip("\n").split("\n")]
    layers = len({k.split(".")[1] for k in t if k.startswith("layer.")})
    (positions, width), inner, heads = t["embeddings.position"].shape, len(t["layer.0.ffn1.bias"]), \
        json.loads(bytes(t["config"].numpy()))["heads"]
    m = Model(width, inner, heads, layers, len(pieces), positions, list(range(len(pieces))), [LOWER] * len(pieces))
    with torch.no_grad():
        m.table.copy_(t["embeddings.word"].float() * t["embeddings.word.scale"][:, None])
        m.position.copy_(t["embeddings.position"])
        m.classifier.weight.copy_(t["classifier.weight"].transpose(1, 2).reshape(-1, width)[:len(LABELS)])
        m.classifier.bias.copy_(t["classifier.bias"][:len(LABELS)])
        m.norm.weight.copy_(t["embeddings.norm.gain"]), m.norm.bias.copy_(t["embeddings.norm.bias"])
        for i, l in enumerate(m.layer):
            for name, module in ("qkv", l.qkv), ("out", l.out), ("ffn1", l.up), ("ffn2", l.down):
                n = f"layer.{i}.{name}."
                rows = t[n + "weight"].permute(0, 2, 1, 3).reshape(module.weight.shape).float()
                module.weight.copy_(rows * t[n + "scale"][:, None])
                module.bias.copy_(t[n + "bias"])
            l.qkv.weight[:width] *= math.sqrt(width // heads)        # 1/sqrt(head) is folded into Q
            l.qkv.bias[:width] *= math.sqrt(width // heads)
            for name, module in ("attn_norm", l.norm1), ("ffn_norm", l.norm2):
                module.weight.copy_(t[f"layer.{i}.{name}.gain"])
                module.bias.copy_(t[f"layer.{i}.{name}.bias"])
    return m, Tokenizer(pieces)


def share_rows(m, pieces):
    """Embeddings that export added up, taken apart again: shared rows and case vectors that give them, nearly."""
    names = {piece: i for i, piece in enumerate(dict.fromkeys(p if p in SPECIALS else p.lower() for p in pieces))}
    rows = [names[p if p in SPECIALS else p.lower()] for p in pieces]
    e, cases = m.table.detach(), torch.tensor([LOWER if p in SPECIALS else case_of(p) for p in pieces])
    used = sorted(set(rows))
    place = {row: i for i, row in enumerate(used)}
    rows = torch.tensor([place[r] for r in rows])
    plain = torch.zeros(len(used), e.shape[1]).index_copy_(0, rows[cases == LOWER], e[cases == LOWER])
    has_plain = torch.zeros(len(used), dtype=torch.bool).index_fill_(0, rows[cases == LOWER], True)
    case = torch.zeros(5, e.shape[1])
    for c in range(1, 5):
        both = (cases == c) & has_plain[rows]
        case[c] = (e[both] - plain[rows[both]]).mean(0)
    count = torch.zeros(len(used)).index_add_(0, rows, torch.ones(len(rows)))
    table = torch.zeros_like(plain).index_add_(0, rows, e - case[cases]) / count[:, None]
    shared = Model(**{**m.shape, "table": len(used)}, rows=rows, cases=cases)
    state = {k: v for k, v in m.state_dict().items() if k not in ("rows", "cases", "table", "case")}
    shared.load_state_dict({**state, "rows": rows, "cases": cases, "table": table, "case": case})
    print(f"embeddings apart and together again: worst difference {(shared.words() - e).abs().max():.4f}")
    return shared


def load(path):
    """A checkpoint of this script, a one-file int8 model, or a Hugging Face DistilBERT directory: (model, tokenizer)."""
    if path.endswith(".safetensors"):
        return load_converted(path)
    if not os.path.isdir(path):
        c = torch.load(path, weights_only=True)
        m = Model(**c["shape"], rows=c["state"]["rows"], cases=c["state"]["cases"])
        m.load_state_dict(c["state"])
        return m, Tokenizer(c["pieces"])
    from safetensors.torch import load_file
    config = json.load(open(os.path.join(path, "config.json")))
    pieces = [line.rstrip("\n") for line in open(os.path.join(path, "vocab.txt"), encoding="utf-8")]
    t = load_file(os.path.join(path, "model.safetensors"))
    assert [config["id2label"][str(i)] for i in range(len(LABELS))] == LABELS, "labels in another order"
    m = Model(config["dim"], config["hidden_dim"], config["n_heads"], config["n_layers"], len(pieces),
              config["max_position_embeddings"], list(range(len(pieces))), [LOWER] * len(pieces))
    with torch.no_grad():
        for name, target in hf_names(m).items():
            target.copy_(t[name].float())
    tk = Tokenizer(pieces)
    if json.load(open(os.path.join(path, "tokenizer_config.json"))).get("strip_accents") is False:
        tk.pretoken = functools.lru_cache(None)(
            lambda s: [tk.ids[p] for p in wordpieces(s, tk.ids) or ["[UNK]"]])
    return m, tk


def hf_names(m):
    """Hugging Face's tensor names to ours (views, so that copying into them works too)."""
    w = m.shape["width"]
    named = {"distilbert.embeddings.word_embeddings.weight": m.table,
             "distilbert.embeddings.position_embeddings.weight": m.position}
    modules = [("distilbert.embeddings.LayerNorm", m.norm), ("classifier", m.classifier)]
    for i, l in enumerate(m.layer):
        p = f"distilbert.transformer.layer.{i}."
        modules += [(p + "attention.out_lin", l.out), (p + "sa_layer_norm", l.norm1), (p + "ffn.lin1", l.up),
                    (p + "ffn.lin2", l.down), (p + "output_layer_norm", l.norm2)]
        for k, x in enumerate("qkv"):
            named[p + f"attention.{x}_lin.weight"] = l.qkv.weight[k * w:(k + 1) * w]
            named[p + f"attention.{x}_lin.bias"] = l.qkv.bias[k * w:(k + 1) * w]
    for name, module in modules:
        named[name + ".weight"], named[name + ".bias"] = module.weight, module.bias
    return named


def cmd_export(a):
    from safetensors.torch import save_file
    m, tk = load(a.model)
    tensors = {k: v.detach().clone().contiguous() for k, v in hf_names(m).items()}
    tensors["distilbert.embeddings.word_embeddings.weight"] = m.words().detach().contiguous()
    os.makedirs(a.out, exist_ok=True)
    save_file(tensors, os.path.join(a.out, "model.safetensors"), {"format": "pt"})
    os.chmod(os.path.join(a.out, "model.safetensors"), 0o644)
    s = m.shape
    config = {"architectures": ["DistilBertForTokenClassification"], "model_type": "distilbert", "activation": "gelu",
              "dim": s["width"], "hidden_dim": s["inner"], "n_heads": s["heads"], "n_layers": s["layers"],
              "vocab_size": len(tk.pieces), "max_position_embeddings": s["positions"], "sinusoidal_pos_embds": False,
              "dropout": .1, "attention_dropout": .1, "seq_classif_dropout": .1, "initializer_range": .02,
              "pad_token_id": PAD, "torch_dtype": "float32",
              "id2label": {str(i): l for i, l in enumerate(LABELS)}, "label2id": LABEL_ID}
    tokenizer = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False, "do_basic_tokenize": True,
                 "strip_accents": True, "tokenize_chinese_chars": True, "never_split": None, "model_max_length": 512,
                 "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
                 "mask_token": "[MASK]"}
    for name, value in ("config.json", config), ("tokenizer_config.json", tokenizer):
        with open(os.path.join(a.out, name), "w") as f:
            json.dump(value, f, indent=1)
            f.write("\n")
    with open(os.path.join(a.out, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("".join(p + "\n" for p in tk.pieces))


def tensors_of(texts):
    """Texts (ids, allowed labels) as padded tensors: ids, lengths, allowed labels (ANY at the special tokens)."""
    n = max(len(ids) for ids, _ in texts) + 2
    ids = np.full((len(texts), n), PAD)
    allowed = np.full((len(texts), n), ANY)
    for row, (i, t) in enumerate(texts):
        ids[row, :len(i) + 2] = [CLS] + i + [SEP]
        allowed[row, 1:len(i) + 1] = t
    lengths = np.array([len(i) + 2 for i, _ in texts])
    return tuple(map(torch.from_numpy, (ids, lengths, allowed)))


def loss_of(logp, allowed):
    """For every piece, -log of the probability that its label is one of those allowed."""
    may = (allowed.unsqueeze(2) >> torch.arange(len(LABELS), device=allowed.device)) & 1
    return -logp.masked_fill(may == 0, -1e9).logsumexp(2)
