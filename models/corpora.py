"""Labels, pieces of words, and the corpora: what train.py and measure.py read."""
import functools, gzip, re, unicodedata

LABELS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
LABEL_ID = {label: i for i, label in enumerate(LABELS)}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, _ = range(5)
# A token's target is the set of labels it may have, as bits: a corpus without MISC cannot tell O from MISC.
ANY, O_OR_MISC = 511, 1 | 1 << 7 | 1 << 8


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


def read_commented(path):
    """(words of the comment line, words, tags) of each sentence of a file in the style of ner_gold.conll.gz."""
    head, words, tags = None, [], []
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if not words and line.startswith("# ") and "\t" not in line:
                head = line.split()[1:]
            elif line:
                word, tag = line.rsplit("\t", 1)
                words.append(word)
                tags.append(tag)
            elif words:
                yield head, words, tags
                words, tags = [], []
    if words:
        yield head, words, tags


def read_gold(path, split):
    """ner_gold.conll.gz: for each corpus its documents, each a list of sentences (words, tags, misc annotated?)."""
    found, last = {}, None
    for (corpus, part, misc, document), words, tags in read_commented(path):
        if part == split:
            documents = found.setdefault(corpus, [])
            if last != (corpus, document):
                documents.append([])
                last = corpus, document
            documents[-1].append((words, tags, misc == "1"))
    return found


def without_handles(words, tags):
    """Handles, hashtags and addresses are no names (the Broad Twitter Corpus tags "@" and the handle as a person)."""
    tags = list(tags)
    for i, word in enumerate(words):
        if word.startswith(("@", "#")) or re.match("https?:|www[.]", word) or i and words[i - 1] in ("@", "#"):
            if tags[i] != "X":
                tags[i] = "O"
            if i + 1 < len(tags) and tags[i + 1][0] == "I":
                tags[i + 1] = "B" + tags[i + 1][1:]
    return tags


def read_extra(path):
    """ner_extra.conll.gz without WikiANN, in the form of read_gold(); each sentence is a document."""
    found = {}
    for (corpus, misc), words, tags in read_commented(path):
        if corpus != "wikiann":
            found.setdefault("gum_plain" if corpus == "gum" else corpus, []).append(
                [(words, without_handles(words, tags), misc.endswith("=1"))])
    return found


def read_everyday(path):
    """Lists of (text, kind or None): kind "PER" for words that are an entity, "{PER}" for a place to be filled."""
    lines = [line.rstrip("\n") for line in open(path, encoding="utf-8")]
    return [[(m[1], m[2]) if m[1] else (m[3], m[3]) if m[3] else (m[4], None)
             for m in re.finditer(r"\[([^|\]]+)\|([A-Z]+)\]|(\{[A-Z]+\})|([^\[{]+|.)", line)]
            for line in lines if line and not line.startswith("#")]


def unpunctuated(words, tags):
    kept = [i for i, w in enumerate(words) if tags[i] != "O" or any(c.isalnum() for c in w)]
    return [words[i] for i in kept], [tags[i] for i in kept]


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
