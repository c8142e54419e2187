"""Precision, recall and F1 of a model, on words and on raw text."""
import json, sqlite3
import numpy as np
import torch
from corpora import ANY, LABELS, pretokens, read_conll, read_everyday, read_gold, spans_of, unpunctuated
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
            ids, lengths, *_ = tensors_of([(texts[k][:510], [ANY] * len(texts[k][:510])) for k in order[i:j]])
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
        return viterbi(logits.log_softmax(1).numpy())
    return [LABELS[i] for i in logits.argmax(1).tolist()]


def tags_of(words, logits):
    """The likeliest label of each word; O for words that were cut off."""
    return labels_of(logits, False) + ["O"] * (len(words) - len(logits))


class Network:
    """Reads texts with the network itself: tags of words, spans of raw text."""

    def __init__(self, m, tk):
        self.m, self.tk = m, tk

    def logits(self, sentences):
        """For every sentence the logits of its words' first pieces, n x 9; fewer rows where words were cut off."""
        pieces = [[self.tk.word(w) for w in words] for words in sentences]
        return [first_rows(logits, [len(i) for i in ids])
                for ids, logits in zip(pieces, logits_of(self.m, [sum(i, []) for i in pieces]))]

    def tags(self, sentences):
        return [tags_of(words, logits) for words, logits in zip(sentences, self.logits(sentences))]

    def spans(self, texts, strict):
        """For every text the set of (start, end, type), labels given to BERT's pretokens."""
        units = [pretokens(text) for text in texts]
        pieces = [[self.tk.word(text[a:b]) for a, b in unit] for text, unit in zip(texts, units)]
        logits = logits_of(self.m, [sum(i, []) for i in pieces])
        return [group([(a, b, l) for (a, b), l in zip(unit, labels_of(first_rows(rows, [len(i) for i in ids]), strict))])
                for unit, ids, rows in zip(units, pieces, logits)]


class Extension:
    """Reads texts with the built extension, so that a measurement is of its kernels, tokenizer and spans, too."""

    def __init__(self, library, model):
        self.db = sqlite3.connect(":memory:")
        self.db.enable_load_extension(True)
        self.db.load_extension(library)
        self.db.execute("SELECT ner_load('measured', ?)", (model,)).fetchall()

    def tags(self, sentences):
        return [[row[0] for row in self.db.execute("SELECT label FROM ner_words(?, 'measured') ORDER BY idx",
                                                   (json.dumps(words),))] for words in sentences]

    def logits(self, sentences):
        """For every sentence the logarithms of its words' probabilities, n x 9; certainly O for a word without pieces."""
        query = "SELECT scores FROM ner_words(?, 'measured') ORDER BY idx"
        certain = json.dumps({label: float(label == "O") for label in LABELS})
        scores = [[json.loads(row[0] or certain) for row in self.db.execute(query, (json.dumps(words),))]
                  for words in sentences]
        return [torch.tensor([[s[label] for label in LABELS] for s in rows]).clamp(min=1e-12).log() for rows in scores]

    def spans(self, texts, strict):
        query = "SELECT start, end, label FROM ner(?, 'measured', ?)"
        return [set(self.db.execute(query, (text, "strict" if strict else "first"))) for text in texts]


def word_spans(reader, sentences, change=None, kinds=("PER", "LOC", "ORG", "MISC")):
    """[(gold spans, found spans)] of sentences (words, tags), each read on its own; change(words, tags) alters them."""
    changed = [s for s in (change(*s) if change else s for s in sentences) if s[0]]
    found = reader.tags([words for words, _ in changed])
    return [(known_spans(known_gold(tags), tags, kinds), known_spans(f, tags, kinds))
            for (_, tags), f in zip(changed, found)]


def known_spans(found, tags, kinds):
    """The entities of these types among `found`, but for those that touch a word whose own tag is unknown (X)."""
    return {s for s in spans_of(found) if s[2] in kinds and "X" not in tags[s[0]:s[1]]}


def known_gold(tags):
    """A sentence's own tags with the unknown ones as O."""
    return ["O" if tag == "X" else tag for tag in tags]


def world_pairs(reader, worlds, kinds=("PER", "LOC", "ORG")):
    """For each corpus of read_gold(): [(gold spans, found spans)] of its sentences."""
    return {name: word_spans(reader, [(words, tags) for d in documents for words, tags, _ in d], None, kinds)
            for name, documents in worlds.items()}


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


def viterbi(logp):
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


def everyday_pairs(reader, path):
    """Everyday sentences, spans by character: texts, gold spans, found spans."""
    texts, golds = [], []
    for parts in read_everyday(path):
        text, gold = "", set()
        for words, kind in parts:
            if kind:
                gold.add((len(text), len(text) + len(words), kind))
            text += words
        texts.append(text)
        golds.append(gold)
    return texts, golds, reader.spans(texts, False)


def lower(words, tags):
    return [w.lower() for w in words], tags


def upper(words, tags):
    return [w.upper() for w in words], tags


def bare(words, tags):
    return lower(*unpunctuated(words, tags))


VARIANTS = {"lower case": lower, "ALL CAPS": upper, "unpunctuated": unpunctuated, "unpunctuated lower case": bare}


def show(name, pairs):
    precision, recall, f = f1(pairs)
    print(f"{name:34s} P {precision:6.2f}  R {recall:6.2f}  F1 {f:6.2f}", flush=True)


def show_types(name, pairs, kinds):
    show(name, pairs)
    for kind in kinds:
        show("  " + kind, [({s for s in g if s[2] == kind}, {s for s in f if s[2] == kind}) for g, f in pairs])


def show_valid(reader, path):
    valid = [s for article in read_conll(path) for s in article]
    show_types("valid, words", word_spans(reader, valid), ("PER", "ORG", "LOC", "MISC"))
    for name, change in VARIANTS.items():
        show("valid, " + name, word_spans(reader, valid, change))
    texts, golds = zip(*[ordinary_text(*sentence) for sentence in valid])
    for strict in False, True:
        show("valid, raw text" + (", strict" if strict else ""), list(zip(golds, reader.spans(texts, strict))))


def show_worlds(reader, path):
    scores = []
    for name, documents in read_gold(path, "dev").items():
        kinds = ("PER", "LOC", "ORG") + (("MISC",) if documents[0][0][2] else ())
        pairs = world_pairs(reader, {name: documents}, kinds)[name]
        three = [tuple({s for s in spans if s[2] != "MISC"} for spans in pair) for pair in pairs]
        show_types(name, three, ("PER", "LOC", "ORG"))
        if "MISC" in kinds:
            show(f"  {name} with MISC", pairs)
        scores.append(f1(three)[2])
    print(f"mean of the worlds' F1 {np.mean(scores):.2f}", flush=True)


def show_everyday(reader, path):
    texts, golds, found = everyday_pairs(reader, path)
    show("everyday", list(zip(golds, found)))
    for text, gold, spans in zip(texts, golds, found):
        if gold != spans:
            print("   ", text, "|", ", ".join(f"{text[i:j]} {k}" for i, j, k in sorted(spans)) or "none")


def cmd_evaluate(a):
    if a.extension:
        reader = Extension(a.extension, a.model)
    else:
        torch.set_num_threads(a.threads)
        reader = Network(*load(a.model))
        reader.m.int8 = a.int8
    if a.valid:
        show_valid(reader, a.valid)
    if a.gold:
        show_worlds(reader, a.gold)
    if a.everyday:
        show_everyday(reader, a.everyday)
