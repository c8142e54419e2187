"""Chooses the student's vocabulary: pieces of an uncased encoder, each in the capitalisations that English uses."""
import collections, gzip, json, os
from corpora import LOWER, SPECIALS, case_of, pretokens, read_conll, read_extra, read_gold, strip_accents, wordpieces


def recased(piece, like):
    return "".join(l if l.lower() == c else c for c, l in zip(piece, like))


def word_counts(a):
    """How often each word occurs, annotated text five times; every word also counts a little in other casings,
    since columns of a database come in all lower case and in all capitals too."""
    counts = collections.Counter()
    with gzip.open(a.text, "rt", encoding="utf-8") as f:
        for line in f:
            counts.update(line.split("\t", 1)[1].split())
    sentences = [words for article in read_conll(a.conll) for words, _ in article]
    for source in read_gold(a.gold, "train"), read_extra(a.extra):
        sentences += [words for documents in source.values() for d in documents for words, _, _ in d]
    for word, n in collections.Counter(w for words in sentences for w in words).items():
        for i, j in pretokens(word):
            counts[word[i:j]] += 5 * n
    weight = collections.Counter()
    for word, n in counts.items():
        word = strip_accents(word)
        if word and len(word.lower()) == len(word) == len(word.upper()):
            weight[word] += n
            weight[word.lower()] += .10 * n
            weight[word.upper()] += a.upper * n
            weight[word.capitalize()] += .02 * n
    return weight


def cased_pieces(weight, base_ids):
    """How often each piece of the uncased vocabulary occurs in each capitalisation."""
    pieces = collections.Counter()
    for word, n in weight.items():
        i = 0
        for piece in wordpieces(word.lower(), base_ids) or []:
            plain = piece[2:] if i else piece
            pieces[("##" if i else "") + recased(plain, word[i:i + len(plain)])] += n
            i += len(plain)
    return pieces


def single_characters(base):
    """The characters of European writing, in both cases, so that every word of it can be spelled."""
    found = set()
    for piece in base:
        c = piece[2:] if len(piece) == 3 and piece.startswith("##") else piece
        if len(c) == 1 and (ord(c) < 0x500 or 0x2000 <= ord(c) < 0x2E80):
            found.add(piece)
            if len(c.upper()) == 1:
                found.add(piece[:-1] + c.upper())
    return found


def cmd_vocab(a):
    with open(os.path.join(a.base, "vocab.txt"), encoding="utf-8") as f:
        base = [line.rstrip("\n") for line in f]
    base_ids = {p: i for i, p in enumerate(base)}
    weight = word_counts(a)
    must = single_characters(base)
    common = cased_pieces(weight, base_ids).most_common(a.size - len(must) - len(SPECIALS))
    chosen = must | {p for p, _ in common}
    # Greedy matching over the chosen pieces spells words otherwise than the count did: drop what it never uses.
    used = collections.Counter()
    for word, n in weight.items():
        for piece in wordpieces(word, chosen) or []:
            used[piece] += n
    chosen = sorted((p for p in chosen if p not in SPECIALS and (p in must or used[p] >= a.minimum)),
                    key=lambda p: (-used[p], p))
    rows = [base_ids[p] for p in SPECIALS] + [base_ids[p.lower()] for p in chosen]
    cases = [LOWER] * len(SPECIALS) + [case_of(p) for p in chosen]
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({"pieces": SPECIALS + chosen, "rows": rows, "cases": cases}, f)
    print(f"{len(rows)} pieces of {len(set(rows))} uncased ones; by case {collections.Counter(cases)}; "
          f"{sum(used.values()) / sum(weight.values()):.3f} pieces a word")
