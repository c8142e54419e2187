"""Precision, recall and F1 of a model, on words and on raw text."""
import collections
import numpy as np
import torch
from corpora import ANY, LABELS, pretokens, read_conll, read_everyday, read_extra, spans_of, unpunctuated
from network import load, tensors_of


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
            ids, lengths, *_ = tensors_of([(texts[k][:510], [ANY] * len(texts[k][:510]), 0) for k in order[i:j]])
            for k, row, n in zip(order[i:j], m(ids, lengths), lengths.tolist()):
                found[k] = row[1:n - 1]
            i = j
    return found


def first_rows(logits, counts):
    """The rows of the words' first pieces; counts: how many pieces each word has.  Words that were cut off have none."""
    first = np.cumsum([0] + counts[:-1])
    return logits[torch.from_numpy(first[first < len(logits)])]


def labels_of(logits, strict):
    """The likeliest label of each row, or (strict) the likeliest sequence whose entities begin at their beginning."""
    if strict and len(logits):
        return best_path(logits.log_softmax(1).numpy())
    return [LABELS[i] for i in logits.argmax(1).tolist()]


def word_logits(m, tk, articles, joined=0):
    """For every sentence the logits of its words' first pieces; joined > 0: neighbours as context, so many pieces."""
    units = []
    for article in articles:
        unit = []
        for words in article:
            if unit and (not joined or sum(len(tk.word(w)) for s in unit + [words] for w in s) > joined):
                units.append(unit)
                unit = []
            unit.append(words)
        units.append(unit)
    pieces = [[tk.word(w) for words in unit for w in words] for unit in units]
    found = []
    for unit, ids, logits in zip(units, pieces, logits_of(m, [sum(i, []) for i in pieces])):
        rows, at = first_rows(logits, [len(i) for i in ids]), 0
        for words in unit:
            found.append(rows[at:at + len(words)])
            at += len(words)
    return found


def word_tags(m, tk, articles, joined=0):
    """For every sentence its words' labels; O for words that were cut off."""
    sentences = [words for article in articles for words in article]
    return [tags_of(words, logits) for words, logits in zip(sentences, word_logits(m, tk, articles, joined))]


def tags_of(words, logits, strict=False):
    return labels_of(logits, strict) + ["O"] * (len(words) - len(logits))


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


NO_SPACE_BEFORE = {".", ",", ";", ":", "?", "!", ")", "]", "}", "%", "'s", "'S", "n't", "'re", "'ve", "'ll", "'m", "'d", "''"}
NO_SPACE_AFTER = {"(", "[", "{", "$", "#", "``"}


def ordinary_text(words, tags):
    """A sentence in ordinary typography and its entities' character spans."""
    text, places, glue, open_quote = "", [], True, False
    for i, w in enumerate(words):
        if w == '"':
            open_quote = not open_quote
            after, attach = open_quote, not open_quote      # blank before an opening quote, none after it
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


def raw_logits(m, tk, texts, splitting):
    """For every text (its units, the logits of their first pieces)."""
    units = [raw_units(text, splitting) for text in texts]
    pieces = [[tk.word(text[a:b]) for a, b in unit] for text, unit in zip(texts, units)]
    return [(unit, first_rows(logits, [len(i) for i in ids]))
            for unit, ids, logits in zip(units, pieces, logits_of(m, [sum(i, []) for i in pieces]))]


def raw_spans(found, strict):
    """For every text of raw_logits() the set of (start, end, kind)."""
    return [group([(a, b, l) for (a, b), l in zip(unit, labels_of(logits, strict))]) for unit, logits in found]


def outside_sentences(path):
    """Held-out WikiANN, Broad Twitter Corpus, WNUT."""
    return [s for s in read_extra(path, True) if s[2] in ("wikiann", "btc", "wnut")]


def outside_spans(found, tags):
    """PER, LOC, ORG among the tags found, but for what the corpus's own tags leave unknown."""
    return {s for s in spans_of(found) if s[2] != "MISC" and "X" not in tags[s[0]:s[1]]}


def outside_pairs(m, tk, path):
    """(gold spans, found spans) by corpus, sentence by sentence."""
    held = outside_sentences(path)
    result = collections.defaultdict(list)
    for (words, tags, corpus, _), logits in zip(held, word_logits(m, tk, [[s[0]] for s in held])):
        pair = outside_spans(tags, tags), outside_spans(tags_of(words, logits), tags)
        result[corpus].append(pair)
        result["all"].append(pair)
        result["all, strict"].append((pair[0], outside_spans(tags_of(words, logits, True), tags)))
    return result


def everyday_pairs(m, tk, path):
    """Everyday sentences, spans by character, labels given to BERT's pretokens."""
    texts, golds = [], []
    for parts in read_everyday(path):
        text, gold = "", set()
        for words, kind in parts:
            if kind:
                gold.add((len(text), len(text) + len(words), kind))
            text += words
        texts.append(text), golds.append(gold)
    return texts, golds, raw_spans(raw_logits(m, tk, texts, "first"), False)


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
    texts, golds = zip(*[ordinary_text(*sentence) for article in valid for sentence in article])
    for splitting in "first", "words":
        found = raw_logits(m, tk, texts, splitting)
        for strict in False, True:
            show(f"raw text, {splitting}" + (", strict" if strict else ""), list(zip(golds, raw_spans(found, strict))))
    if a.extra:
        for corpus, pairs in sorted(outside_pairs(m, tk, a.extra).items()):
            show("outside newswire: " + corpus, pairs)
            for kind in "PER", "LOC", "ORG":
                p, r, f = f1(pairs, kind)
                print(f"{'  ' + kind:34s} P {p:6.2f}  R {r:6.2f}  F1 {f:6.2f}")
    if a.everyday:
        texts, golds, found = everyday_pairs(m, tk, a.everyday)
        show("everyday", list(zip(golds, found)))
        for text, gold, spans in zip(texts, golds, found):
            if gold != spans:
                print("   ", text, "|", ", ".join(f"{text[i:j]} {k}" for i, j, k in sorted(spans)) or "none")
