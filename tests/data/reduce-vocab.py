#!/usr/bin/env python3
"""Tokenizes the texts below with the reference and the full BERT vocabularies; writes
token-vectors.txt and, of the vocabularies, just the pieces that occur in it:
vocab-cased.txt and vocab-uncased.txt. (Longest match finds the same pieces in the reduced
vocabulary: a piece that is longer still would be in the full one as well.)

    pip install tokenizers==0.22.2
    python3 tests/data/reduce-vocab.py bert-base-cased.txt bert-base-uncased.txt

token-vectors.txt, a record a line; not printable ASCII and the backslash stand as \\u{HEX}:
    text cased|uncased TEXT
    tokens ID:WORD:START:END:PIECE ...       ID in the full vocabulary, offsets in code points
"""
import os
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

CASED = [
    "My name is Wolfgang and I live in Berlin", "Angela Merkel visited Paris.",
    "EU rejects German call to boycott British lamb .",
    "-DOCSTART- U.S. 1996-08-22 O'Neill ( Reuters )", "[unused1]",
    "Hello Sarah Jessica Parker who Jessica lives in New York",
    "", "   ", "\u200b \u200b",
    "Hello [MASK] world", "foo[SEP]bar", "[CLS][sep] [UNK]", "[ SEP ]", "a[UNK]b", "[PAD]",
    "caf\u00e9", "cafe\u0301", "\u0301a", "Hel\u200blo", "\ufeffHello", "\ufffdabc",
    "a\x00b", "a\u0085b", "a\x0bb", "a\u2028b", "x\u00a0y", "\u00adsoft\u00adhyphen", "\ue000pua",
    "\u4e2d\u56fdBeijing", "\U00020000x", "\U0002b820x", "\u6771\u4eac\u30bf\u30ef\u30fc", "\u3000\u65e5\u672c", "\u30a2\u30fb\u30a4",
    "\uc548\ub155\ud558\uc138\uc694", "\u061d", "\u2e43", "a\u2e43b",
    "U.S.", "N.Y.C.", "O'Neill's", "don't", "don\u2019t", "Saint-\u00c9tienne", "AT&T", "McDonald's",
    "e-mail@example.com", "1,000.50", "100%", "$5", "\u20ac5", "\u00a35", "\u00b0C", "a\u00d7b", "C++", "_x_",
    "##ing", "\ufb01", "\u00bd", "\u2026", "\u2014",
    "\U0001f600 hi", "Paris\U0001f600", "Microsoft\u2122", "Google\u00ae", "\u2764\ufe0f love",
    "na\u00efve", "\u041c\u043e\u0441\u043a\u0432\u0430", "Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 ja\u017a\u0144",
    "Supercalifragilisticexpialidocious", "a" * 100, "a" * 101,
    "line1\nline2\ttab\r\nend", "http://x.com/a_b?c=d",
]
UNCASED = [
    "My name is Wolfgang and I live in Berlin", "Angela Merkel", "caf\u00e9", "CAF\u00c9", "cafe\u0301 bar",
    "\u0301abc", "e\u0328\u0301x", "x\u0323\u0307y", "\u0130stanbul", "I\u0307x", "\u039f\u0394\u039f\u03a3", "Stra\u00dfe", "\u1e9e",
    "\u212bngstr\u00f6m", "\uac00", "\ud55c\uad6d", "[SEP] [sep]",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer(vocab, uncased):
    t = Tokenizer(models.WordPiece({p: i for i, p in enumerate(vocab)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=uncased
    )
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return t


def escape(text):
    """No blank at the end of a line: editors like to remove it."""
    last = len(text) - 1
    plain = lambda i, c: "!" <= c <= "~" and c != "\\" or c == " " and i < last
    return "".join(c if plain(i, c) else f"\\u{{{ord(c):X}}}" for i, c in enumerate(text))


def main(cased_path, uncased_path):
    assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "token-vectors.txt"), "w") as out:
        for name, path, texts in (("cased", cased_path, CASED), ("uncased", uncased_path, UNCASED)):
            with open(path, encoding="utf-8", newline="\n") as lines:
                full = [line.rstrip("\n") for line in lines]
            t = tokenizer(full, name == "uncased")
            used = set(SPECIAL)
            for text in texts:
                e = t.encode(text, add_special_tokens=False)
                used |= set(e.tokens)
                fields = zip(e.ids, e.word_ids, e.offsets, e.tokens)
                print(f"text {name} {escape(text)}".rstrip(), file=out)
                print("tokens", *(f"{i}:{w}:{a}:{b}:{escape(p)}" for i, w, (a, b), p in fields), file=out)
            with open(os.path.join(here, f"vocab-{name}.txt"), "w", encoding="utf-8", newline="\n") as v:
                v.writelines(p + "\n" for p in full if p in used)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
