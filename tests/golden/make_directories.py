"""make_directories.py - model directories of all kinds, and what Hugging Face says about texts.

    python make_directories.py            (in tests/golden; writes directories/)
    python make_directories.py --random N SEED FOLDER    directories made at random, for a closer look

Needs torch, transformers and tokenizers. Made with torch 1.13, transformers 4.48.3 and
tokenizers 0.21.4. The tests need none of these: they read the two files this leaves behind.

directories/model.safetensors   the weights of all directories: BERT, 400 embeddings
directories/cases.txt           a record a line, fields separated by tabs, texts escaped as in make.py:
    vocabulary PIECE ...        what @vocab.txt@ and @vocab.json@ stand for below
    config TEXT                 config.json, unless a directory has its own
    directory NAME
    file NAME TEXT              a file of the directory above
    refuse                      ner_load refuses the directory above, as the reference does, or for a
                                reason that is told in the comment of variants()
    text TEXT
    = NAME ...                  the answer of these directories to the text above:
    tokens ID:START:END ...
    entities LABEL:SCORE:START:END ...  of the strategy "first"; left out where a tie is near
"""
import json
import os
import random
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertForTokenClassification, TokenClassificationPipeline

from make import escape

HERE = os.path.dirname(os.path.abspath(__file__))
EMBEDDINGS, POSITIONS = 400, 64
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TIE = 2e-4

# ---------------------------------------------------------------- vocabulary and weights

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "[unused2]"]
WORDS = "the of and in New York Paris Tim Anna date day ent new york tim anna paris lives at ab abc ##bc ##cd ##ris ##ork ##im ##na #".split()
CHARS = ("abcdefghijklmnoprstuvwxyzABDENPSTY0123459.,-'[]<>|$@_!#" + "\u00e9\u00fc\u00df\u0301\u0308\u00c5\u00b2\u2075\u00bd\u0661\ufb01\u4e2d\u56fd\u3001\uac00\u1100\u1161\u0130\u0307\u03c3\u0416\u0436\u2019\u00a0\u3000\u030a\u0323\u212b"
         + " ")
TAILS = "abcdefghilmnoprstuvyz019EeNTYk\u00e9\u0301\u00fc\u0308\u1161\u0307 -."


def vocabulary():
    pieces = SPECIAL + WORDS + list(CHARS) + ["##" + c for c in TAILS]
    return list(dict.fromkeys(pieces))


def config():
    return {"architectures": ["BertForTokenClassification"], "model_type": "bert", "vocab_size": EMBEDDINGS, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
            "id2label": {str(i): l for i, l in enumerate(LABELS)}, "label2id": {l: i for i, l in enumerate(LABELS)}}


def weights():
    torch.manual_seed(7)
    model = BertForTokenClassification(BertConfig(**{k: v for k, v in config().items() if k != "architectures"})).eval()
    for name, p in model.named_parameters():
        if "LayerNorm" in name:
            continue
        p.data.normal_(0, 1.0 if "word_emb" in name else 0.5 if "embeddings" in name else 0.6)
    model.classifier.weight.data.mul_(2)
    model.classifier.bias.data.copy_(torch.tensor([0.8, 0.0, 0.3, 0.0, 0.3]))
    return model


# ---------------------------------------------------------------- texts

TEXTS = [
    "", " ", "Tim lives in New York.", "Anna Paris, the day of Tim", "tim ANNA paris", "[CLS] [SEP][MASK] [PAD]", "a[MASK]b", "[mask] [Mask]",
    "on [DATE] in Paris", "[DATE][DATE]", " [DATE]  [date] ", "x[DATE]y [DATE].", "<ent>Anna</ent>", "< ent >", "<ENT> a<ent>b  <ent>  c", "New York", "new york New\u00a0York", "NewYork New  York", "York", "Yorker New Yorkab",
    "abc abcd ab", "ab-abc", "@day@ day, days Day", "daydate date day", "a\tb\nc\r\nd", "  a  b  ", "\u00a0a\u3000b\u2003", "a--b - c.", "...!", "$5 #1 <a> a_b |x|",
    "a1b22 333", "1\u00b2\u00bd \u0661\u2075", "caf\u00e9 cafe\u0301 CAF\u00c9", "\u0301a e\u0323\u0307", "\u00c5ngstr\u00f6m \u212bn A\u030an", "stra\u00dfe \u1e9e", "\ufb01ne \ufb03", "\u2460\u2122\u337f", "\u0130stanbul I\u0307 i\u0307", "\u03a3\u03c3\u03c2 \u0416\u0436",
    "\uac00\ud55c \u1100\u1161", "\u4e2d\u56fd Beijing", "\u4e2d\u3001\u56fda", "\u3042\u30ac \uff21\uff11", "a\u200bb \ufeffc\u00ad", "a\u0000b\u0085c\u000bd", "Paris\U0001f600", "\u2019s it\u2019s 'n'", "a" * 12 + " b" * 3, "abcabcabc" * 2,
    "\ufdfa", "e\u0301\u0301\u0323x", "\u0344a \u0f73", "\ufffd x\ufffdy", "##bc ##", "## ab", "\u0378\U0001d15e", "[UNK] a [UNK]", "\u0968\u09ec x", "New [DATE]  York <ent>New York</ent> day",
    "\u212b \u00bd<ent>", "\u0661day\u0301 day\u0301", "a [unused1] b[unused2]", "T\u00edm t\u00efm \u01c5 \u1fa7", "@@ @day@day", "\u3164x\u115f", "\U0001e900\U00010400", "New\u2028York\u2029x", "x y  z", " [MASK] . ",
]

# ---------------------------------------------------------------- directories


def token(content, **flags):
    t = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    t.update(flags)
    return t


def template(before=("[CLS]",), after=("[SEP]",), type_id=0):
    vocab = vocabulary()
    special = lambda s: {"SpecialToken": {"id": s, "type_id": type_id}}
    return {"type": "TemplateProcessing", "single": [*map(special, before), {"Sequence": {"id": "A", "type_id": type_id}}, *map(special, after)],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {s: {"id": s, "ids": [vocab.index(s)], "tokens": [s]} for s in {*before, *after}}}


def bert(**changes):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False, **changes}


def tokenizer_json(**changes):
    """A member set to ... is left out."""
    vocab = vocabulary()
    special = [dict(id=vocab.index(s), **token(s, normalized=False, special=True)) for s in SPECIAL[:5]]
    j = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special + changes.pop("added", []), "normalizer": bert(),
         "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template(), "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
         "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": "@vocab.json@", **changes.pop("model", {})}}
    j.update(changes)
    return {k: v for k, v in j.items() if v is not ...}


def fast(**changes):
    c = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
    c.update(changes)
    return {k: v for k, v in c.items() if v is not ...}


def slow(**changes):
    c = {"tokenizer_class": "BertTokenizer", "model_max_length": POSITIONS, "do_lower_case": False}
    c.update(changes)
    return {k: v for k, v in c.items() if v is not ...}


def decoder(*tokens):
    """added_tokens_decoder: the special ones, and (id, token)"""
    vocab = vocabulary()
    d = {str(vocab.index(s)): token(s, normalized=False, special=True) for s in SPECIAL[:5]}
    d.update({str(i): t for i, t in tokens})
    return d


def sequence(*rules):
    return {"type": "Sequence", "normalizers": list(rules)}


def cuts(*rules):
    return {"type": "Sequence", "pretokenizers": list(rules)}


def replace(pattern, content):
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def strip(left=True, right=True):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def variants():
    """name: {file: JSON or text}; a None among the files says that the directory is refused."""
    n = len(vocabulary())
    V = "vocab.txt"
    T, C, M, A = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
    t = lambda k: {"type": k}
    j = lambda config=None, **changes: {T: tokenizer_json(**changes), C: config or fast()}
    date, ent, york = token("[DATE]"), token("<ent>", special=True, normalized=False), token("New York")
    d = {
        "plain": {V: "@vocab.txt@", C: slow()},
        "plain-lower": {V: "@vocab.txt@", C: slow(do_lower_case=True)},
        "plain-default": {V: "@vocab.txt@", C: slow(do_lower_case=...)},
        "plain-no-config": {V: "@vocab.txt@"},
        "plain-accents": {V: "@vocab.txt@", C: slow(do_lower_case=True, strip_accents=False)},
        "plain-strip": {V: "@vocab.txt@", C: slow(strip_accents=True, tokenize_chinese_chars=False)},
        "plain-blank-end": {V: "@vocab.txt@\n", C: slow()},
        "plain-split-special": {V: "@vocab.txt@", C: slow(split_special_tokens=True)},
        "plain-decoder": {V: "@vocab.txt@", C: slow(added_tokens_decoder=decoder((n, date), (n + 1, ent), (n + 2, york)))},
        "plain-decoder-lower": {V: "@vocab.txt@", C: slow(do_lower_case=True, added_tokens_decoder=decoder((n, date), (n + 1, ent)))},
        "plain-decoder-basic": {V: "@vocab.txt@", C: slow(do_lower_case=True, do_basic_tokenize=False, added_tokens_decoder=decoder((n, date)))},
        "plain-decoder-odd-ids": {V: "@vocab.txt@", C: slow(added_tokens_decoder=decoder((n + 30, date), (5, ent)))},
        "plain-added": {V: "@vocab.txt@", C: slow(), A: {"[DATE]": n, "<ent>": n + 1, "day": vocabulary().index("day")}},
        "plain-added-lower": {V: "@vocab.txt@", C: slow(do_lower_case=True), A: {"[DATE]": n, "[date]": n + 1, "New York": n + 2}},
        "plain-map": {V: "@vocab.txt@", C: slow(), M: {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": token("<ent>", lstrip=True),
                                                         "additional_special_tokens": ["[DATE]", token("[unused1]", rstrip=True)]}},
        "plain-map-added": {V: "@vocab.txt@", C: slow(additional_special_tokens=["day"]), M: {"additional_special_tokens": ["<ent>"], "pad_token": "[PAD]"}, A: {"<ent>": n, "New York": n + 1}},
        "plain-names": {V: "@vocab.txt@", C: slow(unk_token="#", cls_token="[unused1]", sep_token="[unused2]")},
        "plain-extra": {V: "@vocab.txt@", C: slow(extra_special_tokens={"date_token": "[DATE]"}, mask_token={"__type": "AddedToken", **token("[MASK]", lstrip=True, normalized=False)})},
        "plain-strip-word": {V: "@vocab.txt@", C: slow(added_tokens_decoder=decoder((n, token("[DATE]", lstrip=True, rstrip=True)), (n + 1, token("day", single_word=True)), (n + 2, token("a", single_word=True, normalized=False))))},
        "class-electra": {V: "@vocab.txt@", C: slow(tokenizer_class="ElectraTokenizerFast")},
        "json-over-vocab": {V: "[PAD]\n[UNK]\n[CLS]\n[SEP]\n", T: tokenizer_json(normalizer=bert(lowercase=True)), C: fast()},
        "json-bert-override": {T: tokenizer_json(normalizer=bert(lowercase=True, clean_text=False)), C: slow()},
        "json-bert-default": {T: tokenizer_json(added=[dict(id=n, **date)]), C: slow(do_lower_case=...)},
        "json-bert-sequence": {T: tokenizer_json(normalizer=sequence(t("NFKC"), t("Lowercase"))), C: slow(do_lower_case=True)},
        "json-bert-pattern": {T: tokenizer_json(normalizer=bert(lowercase=True), added=[dict(id=n, **date)]), C: slow()},
        "json-added": j(added=[dict(id=n, **date), dict(id=n + 1, **ent), dict(id=n + 2, **york)]),
        "json-added-decoder": j(fast(added_tokens_decoder=decoder((n, token("[DATE]", rstrip=True)), (n + 1, token("<ent>", lstrip=True)))), added=[dict(id=n, **date), dict(id=n + 1, **ent)]),
        "json-added-flags": j(added=[dict(id=n, **token("[DATE]", lstrip=True)), dict(id=n + 1, **token("<ent>", rstrip=True, special=True)), dict(id=n + 2, **token("day", single_word=True)), dict(id=n + 3, **token("ab", normalized=False, single_word=True, lstrip=True, rstrip=True))],
                              normalizer=bert(lowercase=True)),
        "json-added-inside": j(added=[dict(id=vocabulary().index("York"), **token("York")), dict(id=5, **token("[unused1]", normalized=False)), dict(id=vocabulary().index("abc"), **token("abc"))]),
        "json-added-overlap": j(added=[dict(id=n, **token("ab")), dict(id=n + 1, **token("abc")), dict(id=n + 2, **token("bcab", normalized=False)), dict(id=n + 3, **token("cab"))]),
        "json-added-twice": j(added=[dict(id=n, **token("York")), dict(id=n + 1, **token("york")), dict(id=n + 2, **token("YORK", single_word=True))], normalizer=bert(lowercase=True)),
        "json-added-blanks": j(added=[dict(id=n, **token(" [DATE]", rstrip=True)), dict(id=n + 1, **token("  ")), dict(id=n + 2, **token("\n", normalized=False)), dict(id=n + 3, **token(" x", normalized=False, lstrip=True, rstrip=True))], pre_tokenizer=None),
        "json-added-composed": j(added=[dict(id=n, **token("day\u0301")), dict(id=n + 1, **token("\u00bd")), dict(id=n + 2, **token("\u212b", normalized=False))], normalizer=t("NFKD")),
        "json-split-special": j(fast(split_special_tokens=True), added=[dict(id=n, **ent), dict(id=n + 1, **date)]),
        "json-no-unk-name": j(fast(unk_token=...)),
        "json-null-normalizer": j(normalizer=None),
        "json-no-members": j(normalizer=..., pre_tokenizer=..., post_processor=..., decoder=...),
        "json-null-pre": j(pre_tokenizer=None),
        "json-null-both": j(normalizer=None, pre_tokenizer=None, model={"max_input_chars_per_word": 1000}),
        "json-null-post": j(post_processor=None),
        "json-template": j(post_processor=template(("[CLS]", "[MASK]"), ())),
        "json-bert-processing": j(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[unused1]", 5]}),
        "json-nfc": j(normalizer=t("NFC")),
        "json-nfd": j(normalizer=t("NFD")),
        "json-nfkc": j(normalizer=t("NFKC")),
        "json-nfkd-strip": j(normalizer=sequence(t("NFKD"), t("StripAccents"), t("Lowercase"))),
        "json-nfd-nfc": j(normalizer=sequence(t("NFD"), t("Lowercase"), t("NFC"), t("NFKC"))),
        "json-strip-accents": j(normalizer=t("StripAccents")),
        "json-lowercase": j(normalizer=t("Lowercase")),
        "json-strip": j(normalizer=strip(), pre_tokenizer=None, model={"max_input_chars_per_word": 30}),
        "json-strip-left": j(normalizer=sequence(strip(True, False), bert(lowercase=True)), pre_tokenizer=t("Digits") | {"individual_digits": False}),
        "json-replace": j(normalizer=sequence(replace("ab", "date"), replace("\u4e2d", ""), replace("New ", "new york "), replace(".", " . "))),
        "json-replace-blanks": j(normalizer=sequence(replace("  ", " "), replace(" ", "-"), t("NFD")), pre_tokenizer=t("Punctuation")),
        "json-bert-parts": j(normalizer=sequence(bert(clean_text=False, handle_chinese_chars=False, strip_accents=True), bert(lowercase=True, strip_accents=False, clean_text=False))),
        "json-whitespace": j(pre_tokenizer=t("Whitespace")),
        "json-whitespace-raw": j(normalizer=None, pre_tokenizer=t("Whitespace")),
        "json-whitespace-split": j(pre_tokenizer=t("WhitespaceSplit")),
        "json-digits": j(pre_tokenizer=cuts(t("WhitespaceSplit"), {"type": "Digits", "individual_digits": True})),
        "json-digits-runs": j(pre_tokenizer=cuts({"type": "Digits", "individual_digits": False}, t("BertPreTokenizer"))),
        "json-punctuation": j(pre_tokenizer=cuts(t("WhitespaceSplit"), {"type": "Punctuation"})),
        "json-max-chars": j(model={"max_input_chars_per_word": 5}),
        "json-max-chars-large": j(model={"max_input_chars_per_word": 5000}),
        "json-prefix": j(model={"continuing_subword_prefix": "#", "unk_token": "[unused2]"}),
        "json-no-prefix": j(model={"continuing_subword_prefix": ""}),
        "json-unk": j(fast(unk_token="[unused1]"), model={"unk_token": "[unused1]"}),
        "json-truncation": j(truncation={"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}, padding={"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}),
        # The reference fails to load or to run these, or we do not follow it.
        "no-class-japanese": {V: "@vocab.txt@", C: slow(tokenizer_class="BertJapaneseTokenizer"), None: None},
        "no-class-config": {V: "@vocab.txt@", C: slow(tokenizer_class=...), "config.json": {**config(), "tokenizer_class": "RobertaTokenizer"}, None: None},
        "no-fast-json": {V: "@vocab.txt@", C: fast(), None: None},
        "no-bert-null": {T: tokenizer_json(normalizer=None), C: slow(), None: None},
        "no-byte-level": {**j(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}), None: None},
        "no-regex": {**j(normalizer={"type": "Replace", "pattern": {"Regex": "a+"}, "content": "a"}), None: None},
        "no-nmt": {**j(normalizer=sequence(t("NFC"), t("Nmt"))), None: None},
        "no-empty-replace": {**j(normalizer=replace("", "x")), None: None},
        "no-bpe": {**j(model={"type": "BPE"}), None: None},
        "no-type-1": {**j(post_processor=template(type_id=1)), None: None},
        "no-roberta-processing": {**j(post_processor={"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": True, "add_prefix_space": False}), None: None},
        "no-unk": {**j(model={"unk_token": "nothing"}), None: None},
        "no-beyond": {**j(added=[dict(id=EMBEDDINGS + i, **token(f"<{i}>")) for i in range(EMBEDDINGS)]), None: None},
        "no-empty-pattern": {**j(added=[dict(id=n, **token("\u200b"))]), None: None},
    }
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        d["json-punctuation-" + behavior.lower()] = j(pre_tokenizer=cuts({"type": "Punctuation", "behavior": behavior}, t("WhitespaceSplit")), normalizer=None)
    return d


# ---------------------------------------------------------------- at random


def random_variant(rng):
    vocab, n = vocabulary(), len(vocabulary())
    t = lambda k: {"type": k}
    contents = ["[DATE]", "<ent>", "New York", "day", "York", "ab", "abc", "bcab", " x", "  ", "\u00e9", "e\u0301", "\u00bd", "[unused1]", "@day@", "[MASK]", "[date]", "A", "\u4e2d", "Caf", "1", "-", "", "new york", "\u1e9e"]
    flip = lambda p=0.3: rng.random() < p
    def some_token(content=None):
        return token(content if content is not None else rng.choice(contents), single_word=flip(.2), lstrip=flip(.25), rstrip=flip(.25), normalized=flip(.6), special=flip(.3))
    def some_normalizer(depth=0):
        roll = rng.random()
        if roll < .12:
            return None if depth == 0 else t("NFC")
        if roll < .35 and depth < 2:
            return sequence(*[some_normalizer(depth + 1) for _ in range(rng.randint(0, 4))])
        return rng.choice([bert(clean_text=flip(.6), handle_chinese_chars=flip(.6), strip_accents=rng.choice([None, True, False]), lowercase=flip(.5)), t("NFC"), t("NFD"), t("NFKC"), t("NFKD"), t("Lowercase"), t("StripAccents"), strip(flip(.5), flip(.5)),
                           replace(rng.choice(["a", "ab", " ", "  ", "New", "\u0301", "\u00e9", ".", "day", "aa"]), rng.choice(["", "a", " ", "xy", "\u00e9", "ab", " - ", "aa"]))])
    def some_pre(depth=0):
        roll = rng.random()
        if roll < .1:
            return None if depth == 0 else t("Whitespace")
        if roll < .35 and depth < 2:
            return cuts(*[some_pre(depth + 1) for _ in range(rng.randint(0, 3))])
        return rng.choice([t("BertPreTokenizer"), t("BertPreTokenizer"), t("Whitespace"), t("WhitespaceSplit"), {"type": "Digits", "individual_digits": flip(.5)},
                           {"type": "Punctuation", "behavior": rng.choice(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"])}])
    files, is_bert = {}, flip(.45)
    c = slow(do_lower_case=rng.choice([..., True, False]), strip_accents=rng.choice([..., None, True, False]), tokenize_chinese_chars=rng.choice([..., True, False])) if is_bert else fast()
    if flip(.15):
        c["split_special_tokens"] = True
    if flip(.5):
        c["added_tokens_decoder"] = {str(rng.choice([n, n + 1, n + 2, n + 9, rng.randrange(n)])): some_token() for _ in range(rng.randint(0, 4))}
        if flip(.5):
            c["added_tokens_decoder"] = {**decoder(), **c["added_tokens_decoder"]}
    names = ["unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token"]
    value = lambda: rng.choice(["[MASK]", "[unused1]", "<ent>", "[DATE]", "day", {"__type": "AddedToken", **some_token()}])
    for name in names:
        if flip(.12):
            c[name] = value()
        elif flip(.05):
            c.pop(name, None)
    if flip(.2):
        c["additional_special_tokens"] = [rng.choice(contents[:10]) for _ in range(rng.randint(0, 3))]
    if flip(.1):
        c["extra_special_tokens"] = {"x_token": rng.choice(contents[:8])}
    if flip(.35):
        m = {name: rng.choice(["[MASK]", "[unused1]", "<ent>", some_token()]) for name in names if flip(.25)}
        if flip(.4):
            m["additional_special_tokens"] = [rng.choice([rng.choice(contents[:10]), some_token()]) for _ in range(rng.randint(0, 3))]
        files["special_tokens_map.json"] = m
    if flip(.3):
        files["added_tokens.json"] = {rng.choice(contents): rng.choice([n, n + 1, n + 5]) for _ in range(rng.randint(0, 4))}
    has_json = not is_bert or flip(.6)
    if has_json:
        added = []
        for _ in range(rng.randint(0, 5) if flip(.7) else 0):
            tok = some_token()
            added.append(dict(id=n + len(added), **tok))
        j = tokenizer_json(added=added, normalizer=(bert(lowercase=flip(.5), clean_text=flip(.7)) if flip(.4) else some_normalizer()), pre_tokenizer=some_pre() if flip(.6) else t("BertPreTokenizer"))
        if flip(.2):
            j["post_processor"] = rng.choice([None, template((), ()), template(("[CLS]", "[CLS]"), ("[unused2]",))])
        if flip(.2):
            j["added_tokens"] = j["added_tokens"][5:]
        if flip(.15):
            rng.shuffle(j["added_tokens"])
        if flip(.2):
            j["model"]["max_input_chars_per_word"] = rng.choice([0, 1, 3, 8, 1000])
        if flip(.15):
            j["model"]["continuing_subword_prefix"] = rng.choice(["", "#", "##", "\u00e9"])
        if flip(.1):
            j["model"]["unk_token"] = rng.choice(["[unused1]", "a", "#"])
        files["tokenizer.json"] = j
    if is_bert:
        files["vocab.txt"] = "@vocab.txt@"
    if not flip(.05):
        files["tokenizer_config.json"] = c
    return files


def random_text(rng):
    parts = ["[DATE]", "<ent>", "New York", "day", "York", "ab", "abc", "bcab", " ", "  ", " x", "\t", "\u00a0", "\u00e9", "e\u0301", "\u00bd", "[unused1]", "@day@", "[MASK]", "[UNK]", "[date]", "A", "\u4e2d", "Caf", "1", "22", "-", ".", "--", "#", "\u1e9e", "\u0323", "\u0301", "\uac00",
             "\u1100\u1161\u11a8", "\ufb01", "\u0130", "\u200b", "\ufffd", "\u0661", "\u2460", "a", "b", "New", "Tim", "\u0344", "\u212b", "_", "\u3000", "\n", "\u2028", "\u00ad", "\u302e", "\u3099\u304b\u3099", "\U0001d15e", "\U00011938", "\u09c7\u09be", "\u0f71\u0f72\u0f74", "\u0958"]
    return "".join(rng.choice(parts) for _ in range(rng.randint(0, 12)))


# ---------------------------------------------------------------- answers


def fill(value, vocab):
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace("@vocab.txt@", "\n".join(vocab) + "\n")
    return text.replace('"@vocab.json@"', json.dumps({p: i for i, p in enumerate(vocab)}))


def write_directory(path, files, vocab):
    os.makedirs(path)
    for name, value in {"config.json": config(), **files}.items():
        if name:
            with open(f"{path}/{name}", "w", encoding="utf-8", newline="") as f:
                f.write(fill(value, vocab))
    os.link(f"{os.path.dirname(path)}/model.safetensors", f"{path}/model.safetensors")


def close(p):
    best = np.sort(p)[-2:]
    return best[1] - best[0] < TIE


def answer(pipe, text):
    """Tokens, entities (None near a tie), or None if the text is too long."""
    tokenizer = pipe.tokenizer
    e = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    if len(e["input_ids"]) > POSITIONS:
        return None
    tokens = [(i, s, t) for i, (s, t), m in zip(e["input_ids"], e["offset_mapping"], e["special_tokens_mask"]) if not m]
    if any(i >= EMBEDDINGS for i in e["input_ids"]):
        return None
    if not e["input_ids"]:
        return tokens, []
    found, inner = [], pipe.gather_pre_entities
    pipe.gather_pre_entities = lambda *a, **k: (found.append(inner(*a, **k)), found[-1])[1]
    rows = pipe(text, aggregation_strategy="first")
    pipe.gather_pre_entities = inner
    if any(close(p["scores"]) for f in found for p in f):
        return tokens, None
    return tokens, [(r["entity_group"], round(float(r["score"]), 5), r["start"], r["end"]) for r in rows]


def reference(path, model):
    tokenizer = AutoTokenizer.from_pretrained(path)
    return TokenClassificationPipeline(model=model, tokenizer=tokenizer, device=-1)


def print_answer(found):
    tokens, entities = found
    lines = ["tokens" + "".join(f"\t{i}:{s}:{t}" for i, s, t in tokens)]
    if entities is not None:
        lines.append("entities" + "".join(f"\t{l}:{c}:{s}:{t}" for l, c, s, t in entities))
    return "\n".join(lines)


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    vocab = vocabulary()
    assert len(vocab) + 40 < EMBEDDINGS, len(vocab)
    model = weights()
    if len(sys.argv) > 1:
        n, seed, folder = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        rng = random.Random(seed)
        directories = {f"r{seed}-{i}": random_variant(rng) for i in range(n)}
        texts = TEXTS + [random_text(rng) for _ in range(80)]
    else:
        folder, directories, texts = HERE + "/directories", variants(), TEXTS
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    save_file(model.state_dict(), folder + "/model.safetensors", metadata={"format": "pt"})
    os.chmod(folder + "/model.safetensors", 0o644)
    answers = [{} for _ in texts]
    out = ["vocabulary\t" + "\t".join(escape(p) for p in vocab), "config\t" + escape(json.dumps(config()))]
    work = tempfile.mkdtemp(dir=folder if len(sys.argv) > 1 else None)
    shutil.copy(folder + "/model.safetensors", work)
    for name, files in directories.items():
        path = f"{work}/{name}"
        write_directory(path, files, vocab)
        out.append(f"directory\t{name}")
        out += [f"file\t{f}\t{escape(v if isinstance(v, str) else json.dumps(v))}" for f, v in files.items() if f]
        try:
            pipe = reference(path, model)
        except Exception as e:
            assert None in files or len(sys.argv) > 1, (name, e)
            out.append("refuse")
            continue
        if None in files:
            out.append("refuse")
            continue
        for i, text in enumerate(texts):
            try:
                found = answer(pipe, text)
            except BaseException as e:  # a panic of tokenizers is no Exception
                if len(sys.argv) == 1 or isinstance(e, KeyboardInterrupt):
                    raise
                continue
            if found:
                answers[i].setdefault(print_answer(found), []).append(name)
    for text, given in zip(texts, answers):
        out.append("text\t" + escape(text))
        for lines, names in given.items():
            out += ["=\t" + "\t".join(names), lines]
    with open(folder + "/cases.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")
    if len(sys.argv) == 1:
        shutil.rmtree(work)
    print(f"{len(directories)} directories, {len(texts)} texts")


if __name__ == "__main__":
    sys.exit(main())
