"""The endless stream of augmented training texts.

Every source (CoNLL, each corpus of ner_gold, the tweets of ner_extra, the everyday sentences) is an endless generator
of texts; a round draws from each in proportion to its share, so that a corpus counts for what its kind of text is
worth and not for its size.  A text is (ids, targets): pieces, and for each piece the labels it may have, as bits.
"""
import re
from corpora import (ANY, LABEL_ID, O_OR_MISC, read_conll, read_everyday, read_extra, read_gold, spans_of,
                     unpunctuated)

# Pieces drawn from a source of share 1 in each round.
ROUND = 40_000
# Consecutive sentences of these corpora belong together and may be joined to longer texts.
CONTINUOUS = "conll", "ewt", "gum", "litbank", "worldwide"


def capitalised(word):
    return word[:1].upper() + word[1:]


def plain_runs(words, tags):
    """Runs of ordinary words: lower case, letters only, no part of a name."""
    plain = [t == "O" and w.isalpha() and w.islower() for w, t in zip(words, tags)] + [False]
    start, runs = 0, []
    for i, ordinary in enumerate(plain):
        if not ordinary:
            if i > start:
                runs.append(words[start:i])
            start = i + 1
    return runs


def word_targets(tags, misc):
    """For each word the labels its first piece may have, as bits; misc: whether MISC was annotated."""
    return [ANY if tag == "X" else 1 << LABEL_ID[tag] if tag != "O" or misc else O_OR_MISC for tag in tags]


def targets_of(tk, words, tags, misc):
    """Pieces of a sentence and, for each, the labels it may have, as bits."""
    ids, allowed = [], []
    for word, tag, first in zip(words, tags, word_targets(tags, misc)):
        pieces = tk.word(word)
        ids += pieces
        within = first if tag in "OX" else 1 << LABEL_ID["I-" + tag[2:]]
        allowed += [first] + [within] * (len(pieces) - 1)
    return ids, allowed


class Names:
    """Names of each type from the corpora, and what looks like one but is none: handles, hashtags, addresses, files."""

    def __init__(self, documents, rng):
        self.rng = rng
        self.mentions = {t: [] for t in ("PER", "ORG", "LOC", "MISC")}
        self.plain = []
        seen = set()
        for document in documents:
            for words, tags, _ in document:
                self.plain += plain_runs(words, tags)
                for i, j, kind in spans_of(tags):
                    mention = tuple(words[i:j])
                    if (kind, mention) not in seen and len(mention) <= 5:
                        seen.add((kind, mention))
                        self.mentions[kind].append(mention)

    def mention(self, kind):
        return self.rng.choice(self.mentions[kind])

    def name(self, slot):
        """Words for a slot such as {PER}: a mention that looks like a name, or a part of one."""
        while True:
            mention = self.mention({"FIRST": "PER", "LAST": "PER"}.get(slot, slot))
            name = len(mention) <= 4 and all(w[0].isupper() and re.fullmatch(r"[\w.&'-]+", w) for w in mention)
            if slot in ("FIRST", "LAST"):
                name = name and len(mention) == 2 and all(len(w) > 2 and w.isalpha() for w in mention)
                mention = mention[:1] if slot == "FIRST" else mention[1:]
            if slot == "PER":
                name = name and 1 < len(mention) < 4
            if name or self.rng.random() < .02:
                return list(mention)

    def word(self):
        return self.rng.choice(self.rng.choice(self.plain))

    def number(self):
        return str(self.rng.randint(0, 10 ** self.rng.randint(1, 4)))

    def handle(self):
        rng = self.rng
        parts = [re.sub(r"\W", "", w) for w in self.name(rng.choice(("PER", "PER", "FIRST", "ORG", "LOC")))]
        if rng.random() < .2:
            parts = [self.word(), self.word()]
        handle = rng.choice(("", "", "_")).join(parts) + (self.number() if rng.random() < .3 else "")
        return handle if rng.random() < .5 else handle.lower()

    def hashtag(self):
        rng = self.rng
        parts = self.name(rng.choice(("PER", "ORG", "LOC", "LOC"))) if rng.random() < .6 else [
            self.word() for _ in range(rng.randint(1, 3))]
        parts = [re.sub(r"\W", "", w) for w in parts]
        return "".join(map(capitalised, parts) if rng.random() < .5 else map(str.lower, parts))

    def host(self):
        rng = self.rng
        return (re.sub(r"\W", "", rng.choice((self.word(), self.name("ORG")[0], self.name("LOC")[0]))).lower()
                + rng.choice((".com", ".com", ".org", ".net", ".co.uk", ".de", ".io", ".example", ".gov", ".info")))

    def url(self):
        rng = self.rng
        if rng.random() < .3:
            return rng.choice(("http://t.co/", "https://t.co/", "http://bit.ly/")) + "".join(
                rng.choice("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(rng.randint(6, 10)))
        path = "/".join(rng.choice((self.word(), self.handle(), self.number())) for _ in range(rng.randint(0, 3)))
        return rng.choice(("http://", "https://", "https://www.", "www.", "http://www.")) + self.host() + (
            "/" + path if path else "") + rng.choice(("", "", ".html", ".php?id=" + self.number()))

    def email(self):
        return self.rng.choice((self.handle().lower(), self.word(), ".".join(self.name("PER")).lower())) + "@" + self.host()

    def file(self):
        rng = self.rng
        stem = rng.choice(("_", "-", "", ".")).join(rng.choice((self.word(), self.name("FIRST")[0], self.name("ORG")[0],
                           self.number())) for _ in range(rng.randint(1, 3)))
        folder = rng.choice(("", "", "", "/var/log/", "/home/" + self.handle().lower() + "/", "C:\\Users\\", "src/"))
        return folder + stem + rng.choice((".pdf", ".docx", ".xlsx", ".txt", ".jpg", ".png", ".log", ".csv", ".py", ".zip"))

    def invented(self, slot):
        """A word for a slot that is no name: {HANDLE}, {HASHTAG}, {URL}, {EMAIL}, {FILE}, {NUMBER}; None for others."""
        make = {"HANDLE": lambda: "@" + self.handle(), "HASHTAG": lambda: "#" + self.hashtag(), "URL": self.url,
                "EMAIL": self.email, "FILE": self.file, "NUMBER": self.number}.get(slot)
        return make and make()


class Texts:
    """The stream; `a` has the options of `train.py train`, tk is the tokenizer, rng the source of every choice."""

    def __init__(self, a, tk, rng):
        self.a, self.tk, self.rng = a, tk, rng
        self.shares = {name: float(share) for name, share in (s.split("=") for s in a.shares.split(","))}
        documents = {"conll": [[(*s, True) for s in article] for article in read_conll(a.conll)]}
        for source in (read_gold(a.gold, "train"), read_extra(a.extra)):
            documents.update(source)
        documents = {name: d for name, d in documents.items() if self.shares.get(name)}
        self.names = Names([d for name in documents for d in documents[name]], rng)
        self.everyday = read_everyday(a.everyday) if a.everyday else []
        self.sources = {name: self.endless(name, d) for name, d in documents.items()}
        self.sources["everyday"] = self.forever(self.everyday_text)
        self.sources["plain"] = self.forever(self.plain_text)
        unknown = set(self.shares) - set(self.sources)
        assert not unknown, f"--shares: no source {', '.join(sorted(unknown))}"

    # ------------------------------------------------------------ one sentence

    def replaced(self, words, tags):
        """The sentence with half of its names replaced by others of their type."""
        new_words, new_tags, done = [], [], 0
        for i, j, kind in spans_of(tags):
            new_words += words[done:i]
            new_tags += tags[done:i]
            mention = words[i:j]
            if self.rng.random() < .5:
                other = self.names.mention(kind)
                shouted = "".join(mention).isupper() and len("".join(mention)) > 4
                mention = [w.upper() for w in other] if shouted else list(other)
            new_words += mention
            new_tags += ["B-" + kind] + ["I-" + kind] * (len(mention) - 1)
            done = j
        return new_words + words[done:], new_tags + tags[done:]

    def placeholders_filled(self, words):
        """Tweebank's @USER12 and URL12 stand for all handles and addresses: half of them become such."""
        return [self.names.invented("HANDLE" if m[1] else "URL") if (m := re.fullmatch(r"(@USER)\d+|URL\d+", w))
                and self.rng.random() < .5 else w for w in words]

    def inserted(self, words, tags):
        """The sentence with a handle, hashtag, address or file name between two of its words (not within a name)."""
        i = self.rng.choice([i for i in range(len(words) + 1) if i == len(words) or tags[i][0] != "I"])
        word = self.names.invented(self.rng.choice(("HANDLE", "HANDLE", "HASHTAG", "URL", "EMAIL", "EMAIL", "FILE")))
        return words[:i] + [word] + words[i:], tags[:i] + ["O"] + tags[i:]

    def altered(self, words, tags):
        """The sentence with other names, handles and addresses, sometimes with one more."""
        if self.rng.random() < self.a.replace and "X" not in tags:
            words, tags = self.replaced(words, tags)
        words = self.placeholders_filled(words)
        if self.rng.random() < self.a.inserted:
            words, tags = self.inserted(words, tags)
        return words, tags

    def augment(self, words, tags):
        words, tags = self.altered(words, tags)
        if self.rng.random() < self.a.unpunctuated:
            kept = unpunctuated(words, tags)
            if kept[0]:
                words, tags = kept
        elif self.rng.random() < .05 and len(words) > 3 and words[-1] == ".":
            words, tags = words[:-1], tags[:-1]
        return words, tags

    def casing(self):
        r = self.rng.random()
        for share, change in ((self.a.lower, str.lower), (self.a.upper, str.upper),
                              (self.a.title, capitalised)):
            if r < share:
                return change
            r -= share
        return lambda w: w

    def encode(self, words, tags, misc, change):
        words, tags = self.augment(words, tags)
        return targets_of(self.tk, map(change, words), tags, misc)

    # ------------------------------------------------------------ sources

    def limit(self):
        """Pieces in a window of joined sentences: mostly short, some as long as the model can read."""
        return self.rng.randint(*((self.a.window, 500) if self.rng.random() < .1 else (40, self.a.window)))

    def document_texts(self, document, joined):
        """A document's texts: joined sentences as context for one another, or each sentence on its own."""
        rng, limit, change, ids, allowed = self.rng, self.limit(), self.casing(), [], []
        for words, tags, misc in document:
            if not joined and rng.random() > self.a.keep_plain and not any(t[0] == "B" for t in tags):
                continue
            new = self.encode(words, tags, misc, change)
            if ids and (not joined or len(ids) + len(new[0]) > limit):
                yield ids, allowed
                ids, allowed, limit, change = [], [], self.limit(), self.casing()
            ids, allowed = ids + new[0], allowed + new[1]
        yield ids, allowed

    def endless(self, name, documents):
        documents = list(documents)
        if name not in CONTINUOUS:
            documents = [[s] for d in documents for s in d]
        while True:
            self.rng.shuffle(documents)
            for document in documents:
                yield from self.document_texts(document, name in CONTINUOUS and self.rng.random() < self.a.joined)

    def forever(self, make):
        while True:
            yield make()

    def everyday_sentence(self):
        words, tags = [], []
        for text, kind in self.rng.choice(self.everyday):
            slot = kind[1:-1] if kind and kind[0] == "{" else None
            invented = slot and self.names.invented(slot)
            if invented:
                new, kind = [invented], None
            elif slot:
                new, kind = self.names.name(slot), {"FIRST": "PER", "LAST": "PER"}.get(slot, slot)
            else:
                new = text.split()
            if kind and new:
                # A first name and a last name side by side are one person.
                follows = kind == "PER" and slot == "LAST" and tags and tags[-1] == "B-PER"
                tags += ["I-" + kind if follows else "B-" + kind] + ["I-" + kind] * (len(new) - 1)
            else:
                tags += ["O"] * len(new)
            words += new
        return words, tags

    def everyday_text(self):
        ids, allowed, change = [], [], self.casing()
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            new = self.encode(*self.everyday_sentence(), True, change)
            ids, allowed = ids + new[0], allowed + new[1]
        return ids, allowed

    def plain_words(self):
        """Ordinary words alone, as a title or in capitals as often as not; or a mark, a number, an address: no name."""
        rng = self.rng
        if rng.random() < .3:
            return [rng.choice((self.names.number(), rng.choice(".-#*:?!@&+()\"'/|"), "...", "--",
                                self.names.invented(rng.choice(("HANDLE", "HASHTAG", "URL", "EMAIL", "FILE")))))
                    for _ in range(rng.choice((1, 1, 2)))]
        run = rng.choice(self.names.plain)
        n = min(len(run), rng.choice((1, 1, 2, 2, 3, 4, 5)))
        i = rng.randint(0, len(run) - n)
        words, way = run[i:i + n], rng.random()
        return ([capitalised(w) for w in words] if way < .35 else [capitalised(words[0])] + words[1:] if way < .6
                else [w.upper() for w in words] if way < .7 else words)

    def plain_text(self):
        words = self.plain_words()
        return targets_of(self.tk, words, ["O"] * len(words), True)

    # ------------------------------------------------------------ the stream

    def round(self):
        texts = []
        for name, share in self.shares.items():
            wanted = share * ROUND
            while wanted > 0:
                ids, allowed = next(self.sources[name])
                if ids:
                    texts.append((ids[:510], allowed[:510]))
                    wanted -= len(texts[-1][0])
        self.rng.shuffle(texts)
        return texts

    def batches(self):
        """Texts of about one length together; each batch at most `batch` tokens, padding included."""
        while True:
            ready, batch = [], []
            for text in sorted(self.round(), key=lambda t: len(t[0])):
                if batch and (len(text[0]) + 2) * (len(batch) + 1) > self.a.batch:
                    ready.append(batch)
                    batch = []
                batch.append(text)
            ready.append(batch)
            self.rng.shuffle(ready)
            yield from ready
