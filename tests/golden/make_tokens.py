#!/usr/bin/env python3
"""Nasty texts, tokenized by the reference, for tests/test_wordpiece.c: tests/golden/tokens.txt.

    pip install tokenizers==0.22.2
    python3 tests/golden/make_tokens.py > tests/golden/tokens.txt

The file is plain ASCII, a record a line:
    piece PIECE                              vocabulary, ids from 0
    text RULES TEXT                          RULES: c(lean) k (cjk) s(trip) l(ower), - for none
    tokens ID:WORD:START:END ...             of the text before; offsets in code points
PIECE and TEXT run to the end of the line; what is not printable ASCII, and the backslash,
stand as \\u{HEX}. The vocabulary has nearly every character of the texts, alone and as a
continuation, so that hardly anything hides behind [UNK].
"""
import random
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

N_TEXTS = 500
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RULES = ["ck", "cksl", "ckl", "cks", "sl", "csl", "-", "k"]

# Groups to draw characters from, each as likely as the next.
GROUPS = {
    "ascii": "abcdeABCDEhloHLO0123",
    "ascii punctuation": ".,-'[]#$+<=>^`|~_&/()\\",
    "blank": " \t\n\r\u00a0\u1680\u2000\u2001\u2009\u2028\u2029\u202f\u205f\u3000",
    "deleted": "\x00\x01\x0b\x0c\x1f\x7f\x85\u00ad\u0600\u06dd\u180e\u200b\u200d\u2060\ufeff\ufffd\ue000\U000e0001\U000f0000\U0010fffd",
    "newer format characters, kept": "\u0890\u08e2\U000110cd\U00013430",
    "unassigned": "\u0378\ufffe\uffff\U0010ffff\U0001fbff",
    "ideographs": "\u4e2d\u56fd\u3400\u4dbf\u9fff\uf900\ufa0e\U00020000\U0002b81f\U0002b820\U0002b91f\U0002b920\U0002f800\U0002fa1d",
    "not ideographs": "\u3005\u3042\u30a2\u30ac\u30fb\u3131\U00030000",
    "punctuation": "\u00a1\u00a7\u00bf\u037e\u0387\u055a\u2014\u2019\u2026\u2329\u3001\u3008\u30fb\ufe10\uff01\u166d\u1ff1\u1fef\U00010100",
    "punctuation the reference does not know": "\u061d\u2e43\u2e4f\U0001e95e",
    "symbols": "\u20ac\u00a3\u2122\u00ae\u00d7\u00b0\U0001f600\u2764\ufe0f\U0001f1e9\U0001f3fd",
    "marks, deleted": "\u0300\u0301\u0307\u0308\u0316\u0323\u0327\u0328\u0334\u0338\u0345\u034f\u05b0\u0e38\u3099\u302a\u0f71\u0f72\ufe00\U000e0100",
    "marks, kept and sorted": "\u08d4\u08e1\u1dfb\u302e\u302f\u1b44\u1bf2\ua953" "\U0001134d\U00011c3f\U0001d165\U0001d16d\U0001e000\U0001e944",
    "marks, kept and not sorted": "\u1df6\u0898\u1abf\u0eba\U00011839\u0903\u093e",
    "decomposing": "\u00e9\u00c9\u00fc\u01d6\u1e69\u1e9b\u0344\u0f73\u0f81\u0958\u0ccb\u0ddd\u2260\u226e\u226f\u212b\u2126\u1fa7\U0001d15e\U0001d160\U0001d1bf\U0001112e\U00011938\uac00\ud55c\uad6d\u304c",
    "cased": "\u0130\u0131\u03a3\u03c2\u00df\u1e9e\u00c6\u0416\u0451\u2168\u24b6\u13a0\uab70\u10a0\u1c90\u1c89\ua7cb\ua7dc\u212a\uff21\U00010400\U00010d50\U00016ea0\U0001e900",
}
WORDS = SPECIAL + [
    "[sep]", "[MASK", "[[CLS]]", "##ab", "Hello", "hello", "caf\u00e9", "cafe\u0301",
    "a" * 99, "b" * 100, "c" * 101, "\u00e9" * 100, "e" + "\u0301" * 120, "a" + "\u302e" * 101,
    "\u302f\u0301\u302e", "\u0130" * 50, "\u0130" * 51, "\ud55c" * 33 + "\uac00", "\ud55c" * 34,
]
# What makes longest match a choice; and a few holes: characters without a piece.
PIECES = ["hello", "he", "##llo", "##lo", "ab", "abc", "##bc", "##cd", "##bcd", "aaa", "##aaaa", "\u00e9\u00e9", "##\u0301\u0301", "ca", "##fe"]
HOLES = "3E\u20ac\U0001f600\u3042\u1bf2"


def vocabulary():
    chars = set("".join(GROUPS.values()) + "".join(WORDS))
    for rule in (lambda c: unicodedata.normalize("NFD", c), str.lower):
        chars |= {d for c in chars for d in rule(c)}
    pieces = []
    for c in sorted(chars - set(HOLES)):
        pieces += [c, "##" + c]
    return SPECIAL + PIECES + pieces


def tokenizer(vocab, rules):
    t = Tokenizer(models.WordPiece({p: i for i, p in enumerate(vocab)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(
        clean_text="c" in rules,
        handle_chinese_chars="k" in rules,
        strip_accents="s" in rules,
        lowercase="l" in rules,
    )
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return t


def nasty(rng, n_max=24):
    """A text of up to n_max characters, mostly from a few groups at a time."""
    groups = rng.sample(list(GROUPS.values()), rng.randint(1, 4))
    out = []
    for _ in range(rng.randint(1, n_max)):
        roll = rng.random()
        if roll < 0.03:
            out.append(rng.choice(WORDS))
        elif roll < 0.15:
            out.append(rng.choice(rng.choice(list(GROUPS.values()))))
        else:
            out.append(rng.choice(rng.choice(groups)))
    return "".join(out)


def escape(text):
    """No blank at the end of a line: editors like to remove it."""
    last = len(text) - 1
    plain = lambda i, c: "!" <= c <= "~" and c != "\\" or c == " " and i < last
    return "".join(c if plain(i, c) else f"\\u{{{ord(c):X}}}" for i, c in enumerate(text))


def main():
    assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
    vocab = vocabulary()
    rng = random.Random(1)
    for piece in vocab:
        print("piece", escape(piece))
    by_rules = {rules: tokenizer(vocab, rules) for rules in RULES}
    texts = WORDS + [nasty(rng) for _ in range(N_TEXTS)]
    for i, text in enumerate(texts):
        rules = RULES[i % len(RULES)] if i >= len(WORDS) else "cksl"
        e = by_rules[rules].encode(text, add_special_tokens=False)
        print("text", rules, escape(text))
        tokens = zip(e.ids, e.word_ids, e.offsets)
        print("tokens", *(f"{t}:{w}:{start}:{end}" for t, w, (start, end) in tokens))


if __name__ == "__main__":
    sys.exit(main())
