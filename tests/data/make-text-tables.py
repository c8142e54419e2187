#!/usr/bin/env python3
"""Measures tokenizers 0.22.2 over every Unicode scalar value and writes src/text/tables.h.

    pip install tokenizers==0.22.2
    python3 tests/data/make-text-tables.py > src/text/tables.h

Only needed to look again at the reference: the header is committed. The asserts state
what src/text takes for granted about the data. Takes some three minutes.
"""
import sys
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

assert tokenizers.__version__ == "0.22.2", tokenizers.__version__

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
REMOVE, SPACE, CJK, PUNCT, MARK, DECOMPOSES, NONSTARTER = (1 << i for i in range(7))
WORD, NUMERIC, ACCENT, COMPATIBILITY = (1 << i for i in range(7, 11))


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **on}).normalize_str


def changed(normalize):
    """code point -> its replacement, for those that have one"""
    return {c: r for c in SCALARS if (r := normalize(chr(c))) != chr(c)}


def measure():
    """code point -> flags, and the lowercase mapping"""
    nfd = normalizers.NFD().normalize_str
    clean, cjk, strip = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words_of = pre_tokenizers.Whitespace().pre_tokenize_str
    digits_of = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
    accent = normalizers.StripAccents().normalize_str
    nfkd = normalizers.NFKD().normalize_str
    decomposed = changed(nfd)
    flags = {}
    for c in SCALARS:
        ch, f = chr(c), 0
        cleaned = clean("a" + ch + "b")
        words = [word for word, _ in split("a" + ch + "b")]
        f |= REMOVE if cleaned == "ab" else 0
        f |= SPACE if words == ["a", "b"] else 0
        f |= PUNCT if words == ["a", ch, "b"] else 0
        f |= CJK if cjk(ch) == " " + ch + " " else 0
        if c in decomposed:
            f |= DECOMPOSES
        else:
            f |= MARK if strip("a" + ch + "b") == "ab" else 0
            # Non-starters trade places with one of lower (U+0334: 1) or higher class (U+0345: 240).
            swaps = nfd("a" + ch + "\u0334") != "a" + ch + "\u0334" or nfd("a\u0345" + ch) != "a\u0345" + ch
            f |= NONSTARTER if swaps or c == 0x345 else 0
        f |= WORD if len(words_of("a" + ch)) == 1 and words_of("a" + ch)[0][0] == "a" + ch else 0
        f |= NUMERIC if len(digits_of("a" + ch)) == 2 else 0
        f |= ACCENT if accent(ch) == "" else 0
        f |= COMPATIBILITY if nfkd(ch) != nfd(ch) else 0
        assert (cleaned == "a b") == bool(f & SPACE and not f & REMOVE), hex(c)
        if f:
            flags[c] = f
    lower = changed(bert(lowercase=True))
    check(flags, decomposed, lower)
    return flags, lower, compositions(decomposed)


def compositions(decomposed):
    """(first, second) -> what the two become under NFC, Hangul left out: it is computed"""
    nfc = normalizers.NFC().normalize_str
    pairs = {}
    for c in decomposed:
        one_step = unicodedata.decomposition(chr(c)).split()
        if 0xAC00 <= c <= 0xD7A3:
            assert nfc(unicodedata.normalize("NFD", chr(c))) == chr(c)
        elif len(one_step) == 2 and nfc(chr(c)) == chr(c):
            first, second = (int(x, 16) for x in one_step)
            assert nfc(chr(first) + chr(second)) == chr(c), hex(c)
            pairs[first, second] = c
    return pairs


def check(flags, decomposed, lower):
    nfd = normalizers.NFD().normalize_str
    flag = lambda c: flags.get(c, 0)
    # Combining classes never change once given: Python's (or utf8proc's) are the reference's,
    # wherever the reference has one. A member of each class tells.
    member = {unicodedata.combining(chr(c)): c for c in reversed(SCALARS) if flag(c) & NONSTARTER}
    assert 0 not in member
    for c in SCALARS:
        if not flag(c) & NONSTARTER:
            continue
        mine = unicodedata.combining(chr(c))
        for other, m in member.items():
            swaps = nfd("a" + chr(c) + chr(m)) == "a" + chr(m) + chr(c) and c != m
            assert swaps == (other < mine), (hex(c), hex(m))
    for c, pieces in decomposed.items():
        assert pieces == unicodedata.normalize("NFD", chr(c)), hex(c)
        marks = [bool(flag(ord(p)) & NONSTARTER) for p in pieces]
        assert len(pieces) <= 4 and marks == sorted(marks), hex(c)  # starters first
        assert not any(flag(ord(p)) & (REMOVE | DECOMPOSES) for p in pieces), hex(c)
        assert not flag(c) & REMOVE and not any(flag(ord(p)) & PUNCT for p in pieces[1:]), hex(c)
        if not flag(c) & SPACE:
            assert not any(flag(ord(p)) & SPACE for p in pieces), hex(c)
        if flag(c) & CJK:
            assert len(pieces) == 1, hex(c)
    nfkd = normalizers.NFKD().normalize_str
    for c in SCALARS:
        if flag(c) & COMPATIBILITY:
            pieces = nfkd(chr(c))
            assert pieces == unicodedata.normalize("NFKD", chr(c)) and len(pieces) <= 18, hex(c)
            # Sorting by class never puts a further part before a first one.
            classes = [unicodedata.combining(p) if flag(ord(p)) & NONSTARTER else 0 for p in pieces]
            assert classes[0] == min(classes), hex(c)
    assert {c for c, l in lower.items() if len(l) > 1} == {0x130} and lower[0x130] == "i\u0307"
    for c, f in flags.items():
        if f & NONSTARTER:
            assert not f & (REMOVE | SPACE | CJK | PUNCT) and c not in lower, hex(c)
        if f & (SPACE | CJK | PUNCT | REMOVE):
            assert c not in lower, hex(c)
    for l in lower.values():
        assert not any(flag(ord(p)) & (REMOVE | SPACE | CJK | PUNCT) for p in l)


def changes(flags):
    """[(first, flags)]: where the flags of successive code points change"""
    out, before = [], None
    for c in range(0x110000):
        f = flags.get(c, 0)
        if f != before:
            out.append((c, f))
            before = f
    return out


def runs(lower):
    """[[first, last, step, delta]]: pairs at equal distances, every code point or every other"""
    out = []
    for c in sorted(lower):
        delta = ord(lower[c]) - c if len(lower[c]) == 1 else None
        if delta is None:
            continue
        if out and out[-1][3] == delta and c - out[-1][1] in (1, 2):
            first, last, step, _ = out[-1]
            if first == last or step == c - last:
                out[-1] = [first, c, c - last, delta]
                continue
        out.append([c, c, 1, delta])
    return out


HEADER = """/*
** tables.h - what the reference does to each code point; for unicode.c only.
**
** Written by tests/data/make-text-tables.py, which measured tokenizers 0.22.2.
** The reference froze its data at mixed Unicode versions (8 for categories, 9
** for normalization forms, 17 for lowercase), so none of this is asked of
** utf8proc, whose data moves on: it only serves code points flagged DECOMPOSES,
** COMPATIBILITY (the decompositions) and NONSTARTER (the combining class), which
** Unicode promises never to change.
*/
#ifndef NER_TEXT_TABLES_H
#define NER_TEXT_TABLES_H

#include <stdint.h>
"""


def main():
    flags, lower, pairs = measure()
    print(HEADER)
    table = changes(flags)
    print("/* clang-format off */\n")
    print("/* first code point << 11 | flags (NER_CHAR_...), up to the next entry; ascending. */")
    print(f"static const uint32_t flag_table[{len(table)}] = {{")
    for i in range(0, len(table), 8):
        print("    " + " ".join(f"0x{c << 11 | f:08X}," for c, f in table[i : i + 8]))
    print("};\n")
    table = runs(lower)
    print("/* Lowercase of every step-th code point in [first, last] is delta away; ascending.")
    print("** U+0130, which becomes two, is not here. */")
    print("struct lower_run {\n  int32_t first, last, step, delta;\n};")
    print(f"static const struct lower_run lower_table[{len(table)}] = {{")
    for i in range(0, len(table), 3):
        print("    " + " ".join(f"{{0x{a:04X}, 0x{b:04X}, {s}, {d}}}," for a, b, s, d in table[i : i + 3]))
    print("};\n")
    print("/* first and second become composed under NFC; ascending. Hangul is computed. */")
    print("struct compose_pair {\n  int32_t first, second, composed;\n};")
    print(f"static const struct compose_pair compose_table[{len(pairs)}] = {{")
    rows = [f"{{0x{a:04X}, 0x{b:04X}, 0x{c:04X}}}," for (a, b), c in sorted(pairs.items())]
    for i in range(0, len(rows), 3):
        print("    " + " ".join(rows[i : i + 3]))
    print("};\n\n/* clang-format on */\n#endif")


if __name__ == "__main__":
    sys.exit(main())
