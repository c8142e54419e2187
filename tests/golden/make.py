"""make.py - tiny random models, and what Hugging Face says about texts.

    python make.py            (in tests/golden; writes models/, logits/, spans/)
    python make.py NAME...    these models alone

Needs torch, transformers and tokenizers (<= 0.22.2). Made with torch 1.13,
transformers 4.48.3 and tokenizers 0.21.4; ids and offsets were found the same under
tokenizers 0.22.2, and transformers 4.57.6 differs in nothing that these texts reach.
The tests need none of these: they read the files this leaves behind, all of which
are committed. The seeds are fixed; another torch may still round otherwise.

models/NAME/      Hugging Face directories with random weights, each with some
                  quirk of its own (see MODELS). Weights are scaled so that labels
                  change from token to token and near-ties are rare.
logits/NAME.txt   for each text: "text<TAB>..", "ids<TAB>.." with [CLS] and [SEP], and
                  "logits k<TAB>.." [n_tok, n_labels] of the same weights with only the
                  first k layers; k = 0, 1, .. for some models, for others only the last
spans/NAME.txt    for each text: "text<TAB>..", then blocks that begin with
                  "=<TAB>strategy<TAB>strategy.." (all strategies with this very answer)
                  and hold TokenClassificationPipeline's rows:
                    none:    label score index start end word
                    others:  label score start end word
                  separated by tabs. A text that comes near a tie (see is_tie) is left
                  out; the first line tells how many were.
Texts and words are escaped: a backslash and all that is not plainly visible
is \\xHH, byte by byte of its UTF-8.
"""
import json
import os
import shutil
import struct
import sys
import unicodedata

import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import (AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertForTokenClassification, BertTokenizerFast,
                          DistilBertConfig, DistilBertForTokenClassification, DistilBertTokenizerFast, TokenClassificationPipeline)

import texts

HERE = os.path.dirname(os.path.abspath(__file__))
STRATEGIES = ["none", "simple", "first", "average", "max"]
TIE = 1e-4  # closer than this, and rounding may decide

# Both orders that are met in the wild.
DISTIL_LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
BERT_LABELS = ["O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]

# ---------------------------------------------------------------- vocabularies

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
ASCII = "".join(chr(c) for c in range(33, 127))
OTHERS = ("\u00e9\u00c9\u00fc\u00df\u00f1\u00f3\u0142\u00e0\u2019\u201c\u201d\u2014\u2026\u20ac\u00a3\u00b0\u00ab\u0301\u1100\u1161\u11a8\u1112\u11ab"
          "\u4e2d\u56fd\u6771\u4eac\u30a2\u30a4\u30fb\u0410\u041c\u0430\u043c\u043d\u043e\u0432\u05e9\u05dc\u0645\u0631\u0628\u0627")
TAILS = "\u00e9\u00fc\u00df\u00f1\u00ae\u0301\u1161\u11a8\u11ab\u0430\u043d\u043e\u0441\u043a\u0432\u05dc\u0631\u0628\u0627"
PAIRS = "th he in er an re on at en nd ti es or te ed is al ar st nt ng se ha as ou le ve co me de ri ro ic li ch ll ma ion ing ent ter aa".split()
WORDS = ("the of and to in for was is said with from on at river bank old man sea stone city live lives name office north south "
         "Anna Ada Wolf Berlin Paris Rome Porto Peter Alan Li New York Neill Paul Jean Stone Union States Mr Dr St U S The He She").split()


def vocabulary(lowercase, small, specials_at):
    """Pieces in an order of no meaning; specials_at: where [UNK], [CLS], [SEP], [MASK] stand."""
    pieces = list(ASCII + OTHERS) + ["##" + c for c in (LETTERS if lowercase else LETTERS + LETTERS.upper()) + DIGITS + TAILS]
    pieces += WORDS
    if not small:
        pieces += PAIRS + ["##" + p for p in PAIRS]
    if lowercase:
        pieces = [p for p in (q.lower() for q in pieces)]
    pieces = list(dict.fromkeys(pieces))
    head = ["[PAD]"] + [f"[unused{i}]" for i in range(1, specials_at)] + ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return head + pieces


# ---------------------------------------------------------------- models

def model_list():
    """name: what it is for is said by the name and by the comment."""
    base = dict(arch="distilbert", hidden=32, heads=4, ffn=64, layers=2, positions=96, labels=DISTIL_LABELS, small=False,
                lowercase=False, specials_at=1, stages=False, dtype=torch.float32, save="vocab", act="gelu", config={"do_lower_case": False, "model_max_length": 96})
    def model(**changes):
        return {**base, **changes}
    return {
        # The everyday case: vocab.txt and a full tokenizer_config.json.
        "distil-cased": model(specials_at=10, stages=True),
        # Sizes that are multiples of nothing: head 12, 50 feed-forward units, 7 labels.
        "distil-odd": model(stages=True, hidden=36, heads=3, ffn=50, small=True, labels=["I-A", "B-A", "O", "B-B", "I-B", "I-C", "B-D"]),
        # tokenizer.json only; a pooler and position_ids that nobody needs.
        "bert-json": model(stages=True, arch="bert", heads=2, ffn=40, labels=BERT_LABELS, save="json", specials_at=5),
        # max_len instead of model_max_length; LayerNorm.gamma and .beta.
        "bert-uncased": model(stages=True, arch="bert", lowercase=True, labels=BERT_LABELS, ffn=48, config={"do_lower_case": True, "max_len": 96}),
        "distil-f16": model(dtype=torch.float16, ffn=40, small=True),
        "bert-bf16": model(arch="bert", dtype=torch.bfloat16, labels=BERT_LABELS, ffn=40, small=True),
        # The tensors begin at an odd address, in an order of their own.
        "distil-unaligned": model(hidden=16, heads=2, ffn=24, small=True, save="unaligned"),
        # Takes 48 tokens at once, and nothing but the positions says so.
        "distil-short": model(hidden=16, heads=2, ffn=24, small=True, positions=48, config={"do_lower_case": False}),
        # A model whose labels nobody named: nothing is outside.
        "distil-label-n": model(hidden=16, heads=2, ffn=24, layers=1, small=True, labels=[f"LABEL_{i}" for i in range(5)]),
        # The tanh form of GELU, 64-bit weights, labels that mark ends and singles.
        "bert-gelu-new": model(arch="bert", hidden=16, heads=2, ffn=24, small=True, act="gelu_new", dtype=torch.float64,
                               labels=["O"] + [f"{p}-{t}" for t in ("PER", "LOC") for p in "BIES"]),
        # Shards with an index, letters behind the type.
        "distil-shards": model(hidden=16, heads=2, ffn=24, small=True, save="shards", labels=["O", "PER-B", "PER-I", "LOC-B", "LOC-I"]),
        # Labels without B- and I-, some with hyphens all the same.
        "bert-plain": model(arch="bert", hidden=16, heads=2, ffn=24, layers=1, small=True, labels=["PER", "O", "geo-pol", "LOC", "I-X-Y", "o"]),
    }


def random_weights(model, labels, seed):
    gen = torch.Generator().manual_seed(seed)
    def normal(p, std, mean=0.0):
        p.data.copy_(torch.randn(p.shape, generator=gen) * std + mean)
    for name, p in model.named_parameters():
        if "classifier" in name:
            continue
        if "LayerNorm" in name or "layer_norm" in name:
            normal(p, 0.2, 1.0 if name.endswith("weight") else 0.0)
        elif "word_embeddings" in name:
            normal(p, 1.0)
        elif "embeddings" in name:
            normal(p, 0.4)
        elif name.endswith("bias"):
            normal(p, 0.2)
        else:
            query = any(s in name for s in ("q_lin", "k_lin", "query", "key"))
            normal(p, (1.3 if query else 0.8) / p.shape[1] ** 0.5)
    # B-X and I-X lean the same way, so that entities of several tokens come about.
    width = model.classifier.weight.shape[1]
    tags = sorted({l.split("-", 1)[-1] for l in labels})
    shared = {t: torch.randn(width, generator=gen) for t in tags}
    rows = [shared[l.split("-", 1)[-1]] * 2.2 + torch.randn(width, generator=gen) * 1.0 for l in labels]
    model.classifier.weight.data.copy_(torch.stack(rows) / width ** 0.5)
    model.classifier.bias.data.zero_()


def balance(model, tokenizer, labels):
    """Sets the classifier's bias so that over all texts no label is the favourite, but O a little."""
    with torch.no_grad():
        logits = torch.cat([model(torch.tensor([tokenizer(t, truncation=True, max_length=48)["input_ids"]])).logits[0] for t in texts.odd_texts(0)])
    model.classifier.bias.data.copy_(torch.tensor([0.7 if l == "O" else 0.0 for l in labels]) - logits.mean(0))


def make_model(name, m, path):
    vocab = vocabulary(m["lowercase"], m["small"], m["specials_at"])
    id2label = dict(enumerate(m["labels"]))
    label2id = {l: i for i, l in id2label.items()}
    if m["arch"] == "distilbert":
        config = DistilBertConfig(vocab_size=len(vocab), dim=m["hidden"], hidden_dim=m["ffn"], n_layers=m["layers"], n_heads=m["heads"],
                                  max_position_embeddings=m["positions"], id2label=id2label, label2id=label2id, activation=m["act"])
        model = DistilBertForTokenClassification(config)
    else:
        config = BertConfig(vocab_size=len(vocab), hidden_size=m["hidden"], intermediate_size=m["ffn"], num_hidden_layers=m["layers"],
                            num_attention_heads=m["heads"], max_position_embeddings=m["positions"], id2label=id2label, label2id=label2id, hidden_act=m["act"])
        model = BertForTokenClassification(config)
    os.makedirs(path)
    with open(path + "/vocab.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(vocab) + "\n")
    with open(path + "/tokenizer_config.json", "w") as f:
        json.dump(m["config"], f)
    kind = BertTokenizerFast if m["arch"] == "bert" else DistilBertTokenizerFast
    tokenizer = kind.from_pretrained(path)
    random_weights(model, m["labels"], sum(name.encode()))
    balance(model.eval(), tokenizer, m["labels"])
    model.to(m["dtype"]).save_pretrained(path, max_shard_size="16KB" if m["save"] == "shards" else "5GB")

    if m["save"] == "json":
        tokenizer.save_pretrained(path)
        os.remove(path + "/vocab.txt")
        os.remove(path + "/special_tokens_map.json")
    if name == "distil-cased":  # the long form, as a Trainer writes it
        tokenizer.save_pretrained(path)
        os.remove(path + "/tokenizer.json")
        os.remove(path + "/special_tokens_map.json")

    if m["save"] == "shards":
        return
    weights = path + "/model.safetensors"
    if name == "bert-json":
        tensors = load(weights)
        gen = torch.Generator().manual_seed(5)
        tensors["bert.pooler.dense.weight"] = torch.randn(m["hidden"], m["hidden"], generator=gen)
        tensors["bert.pooler.dense.bias"] = torch.randn(m["hidden"], generator=gen)
        tensors["bert.embeddings.position_ids"] = torch.arange(m["positions"]).unsqueeze(0)
        save_file(tensors, weights, metadata={"format": "pt"})
    if name == "bert-uncased":
        tensors = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t for k, t in load(weights).items()}
        save_file(tensors, weights, metadata={"format": "pt"})
    os.chmod(weights, 0o644)


def load(path):
    with safe_open(path, "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}


def unalign(path):
    """Writes the file anew, by hand, with a header whose length is odd."""
    tensors = load(path)
    header, data = {}, b""
    for name in sorted(tensors, key=lambda n: n[::-1]):
        raw = tensors[name].numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * ((1 - len(text)) % 4)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


# ---------------------------------------------------------------- goldens

def escape(text):
    out = []
    for c in text:
        visible = c != "\\" and (c == " " or unicodedata.category(c)[0] in "LNPS") and unicodedata.bidirectional(c) not in ("R", "AL", "AN")
        out.append(c if visible else "".join(f"\\x{b:02x}" for b in c.encode()))
    return "".join(out)


def write_logits(name, m, path):
    tokenizer = AutoTokenizer.from_pretrained(path)
    full = AutoModelForTokenClassification.from_pretrained(path).eval()
    key = "n_layers" if m["arch"] == "distilbert" else "num_hidden_layers"
    stages = {}
    for k in range(m["layers"] + 1) if m["stages"] else [m["layers"]]:
        config = type(full.config).from_pretrained(path, **{key: k})
        stages[k] = type(full)(config).eval()
        stages[k].load_state_dict(full.state_dict(), strict=False)
    with open(f"{HERE}/logits/{name}.txt", "w", encoding="utf-8") as f:
        for text in texts.few_texts():
            ids = tokenizer(text)["input_ids"]
            if len(ids) > m["positions"]:
                continue
            f.write(f"text\t{escape(text)}\nids\t{' '.join(map(str, ids))}\n")
            for k, model in stages.items():
                with torch.no_grad():
                    logits = model(torch.tensor([ids])).logits[0]
                f.write(f"logits {k}\t{' '.join(f'{v:.7f}' for v in logits.flatten().tolist())}\n")


def is_tie(pipe, text):
    """Whether a token's two best labels, a word's two best means, or the two surest pieces of a
    word with different labels are closer than TIE."""
    def close(p):
        best = np.sort(p)[-2:]
        return best[1] - best[0] < TIE
    found = {}
    inner = pipe.gather_pre_entities
    pipe.gather_pre_entities = lambda *a, **k: found.setdefault("pre", inner(*a, **k))
    pipe(text, aggregation_strategy="none")
    pipe.gather_pre_entities = inner
    words = []
    for entity in found.get("pre", []):
        if words and entity["is_subword"]:
            words[-1].append(entity["scores"])
        else:
            words.append([entity["scores"]])
    for word in words:
        if any(close(p) for p in word) or close(np.mean(np.stack(word), axis=0)):
            return True
        top = sorted(((p.max(), p.argmax()) for p in word), reverse=True)
        if any(top[0][0] - score < TIE and label != top[0][1] for score, label in top[1:]):
            return True
    return False


def write_spans(name, m, path, n_texts):
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForTokenClassification.from_pretrained(path).eval()
    pipe = TokenClassificationPipeline(model=model, tokenizer=tokenizer, device=-1)
    ties, lines, used = 0, [], 0
    for text in texts.odd_texts(n_texts):
        if len(tokenizer(text, truncation=False)["input_ids"]) > m["positions"]:
            continue
        if is_tie(pipe, text):
            ties += 1
            continue
        used += 1
        lines.append(f"text\t{escape(text)}")
        answers = {}
        for strategy in STRATEGIES:
            rows = []
            for e in pipe(text, aggregation_strategy=strategy):
                middle = f"{e['index']}\t" if strategy == "none" else ""
                rows.append(f"{e['entity' if strategy == 'none' else 'entity_group']}\t{e['score']:.6f}\t{middle}{e['start']}\t{e['end']}\t{escape(e['word'])}")
            answers.setdefault("\n".join(rows), []).append(strategy)
        for rows, strategies in answers.items():
            lines.append("=\t" + "\t".join(strategies))
            if rows:
                lines.append(rows)
    with open(f"{HERE}/spans/{name}.txt", "w", encoding="utf-8") as f:
        f.write(f"# {used} texts, {ties} left out as ties\n" + "\n".join(lines) + "\n")
    print(f"{name}: {used} texts, {ties} ties")


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for folder in ("models", "logits", "spans"):
        if len(sys.argv) == 1:
            shutil.rmtree(f"{HERE}/{folder}", ignore_errors=True)
        os.makedirs(f"{HERE}/{folder}", exist_ok=True)
    many = {"bert-gelu-new": 70, "distil-shards": 50, "distil-cased": 330, "bert-uncased": 330, "bert-json": 330, "bert-plain": 70, "distil-label-n": 50}
    for name, m in model_list().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        path = f"{HERE}/models/{name}"
        shutil.rmtree(path, ignore_errors=True)
        make_model(name, m, path)
        write_logits(name, m, path)
        if name in many:
            write_spans(name, m, path, many[name])
        if m["save"] == "unaligned":
            unalign(path + "/model.safetensors")
    with open(f"{HERE}/long.txt", "w", encoding="utf-8") as f:
        f.write(texts.long_text())


if __name__ == "__main__":
    sys.exit(main())
