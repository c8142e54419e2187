"""The endless stream of augmented texts that train.py learns from."""
import re
from corpora import ANY, LABEL_ID, O_OR_MISC, read_conll, read_everyday, read_extra, spans_of, unpunctuated


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


class Segments:
    """An endless stream of augmented training texts (ids, targets, weight), an epoch of CoNLL at a time."""

    def __init__(self, a, tk, rng):
        self.a, self.tk, self.rng = a, tk, rng
        self.articles = read_conll(a.conll)
        self.extra = read_extra(a.extra, False) if a.extra else []
        self.extra += [s for s in self.extra if s[2] == "wnut"] * a.wnut_again
        rng.shuffle(self.extra)
        self.next_extra = 0
        self.mentions = {t: [] for t in ("PER", "ORG", "LOC", "MISC")}
        seen = set()
        for words, tags in [s for d in self.articles for s in d] + [s[:2] for s in self.extra]:
            for i, j, kind in spans_of(tags):
                mention = tuple(words[i:j])
                if (kind, mention) not in seen and len(mention) <= 5:
                    seen.add((kind, mention))
                    self.mentions[kind].append(mention)
        self.everyday = read_everyday(a.everyday) if a.everyday else []
        self.plain = [run for d in self.articles for words, tags in d for run in plain_runs(words, tags)]

    def mention(self, kind):
        """Another name of a kind: one of the corpora's, or the beginning of one with the end of another."""
        one = self.rng.choice(self.mentions[kind])
        # Nothing is drawn for a share of 0: runs from before there was one repeat.
        if self.a.crossed and self.rng.random() < self.a.crossed:
            other = self.rng.choice(self.mentions[kind])
            if len(one) > 1 and len(other) > 1:
                return one[:self.rng.randint(1, len(one) - 1)] + other[self.rng.randint(1, len(other) - 1):]
        return one

    def augment(self, words, tags):
        a, rng = self.a, self.rng
        if rng.random() < a.replace:
            new_words, new_tags, done = [], [], 0
            for i, j, kind in spans_of(tags):
                new_words += words[done:i]
                new_tags += tags[done:i]
                mention = words[i:j]
                if rng.random() < .5:
                    other = self.mention(kind)
                    shouted = "".join(mention).isupper() and len("".join(mention)) > 4
                    mention = [w.upper() for w in other] if shouted else list(other)
                new_words += mention
                new_tags += ["B-" + kind] + ["I-" + kind] * (len(mention) - 1)
                done = j
            words, tags = new_words + words[done:], new_tags + tags[done:]
        if rng.random() < a.unpunctuated:
            kept = unpunctuated(words, tags)
            if kept[0]:
                words, tags = kept
        elif rng.random() < .05 and len(words) > 3 and words[-1] == ".":
            words, tags = words[:-1], tags[:-1]
        return words, tags

    def fill(self, slot):
        """Words for a slot such as {PER}: a mention that looks like a name, or a part of one."""
        while True:
            mention = self.rng.choice(self.mentions[{"FIRST": "PER", "LAST": "PER"}.get(slot, slot)])
            name = len(mention) <= 4 and all(w[0].isupper() and re.fullmatch(r"[\w.&'-]+", w) for w in mention)
            if slot in ("FIRST", "LAST"):
                name = name and len(mention) == 2 and all(len(w) > 2 and w.isalpha() for w in mention)
                mention = mention[:1] if slot == "FIRST" else mention[1:]
            if slot == "PER":
                name = name and 1 < len(mention) < 4
            if name or self.rng.random() < .02:
                return list(mention)

    def everyday_sentence(self):
        words, tags = [], []
        for text, kind in self.rng.choice(self.everyday):
            if kind and kind[0] == "{":
                slot = kind[1:-1]
                new, kind = self.fill(slot), {"FIRST": "PER", "LAST": "PER"}.get(slot, slot)
            else:
                slot, new = None, text.split()
            if kind:
                # A first name and a last name side by side are one person.
                follows = kind == "PER" and slot == "LAST" and tags and tags[-1] == "B-PER"
                tags += ["I-" + kind if follows else "B-" + kind] + ["I-" + kind] * (len(new) - 1)
            else:
                tags += ["O"] * len(new)
            words += new
        return words, tags

    def plain_text(self):
        """A few ordinary words standing alone, written as a title or in capitals as often as not: no name."""
        run = self.rng.choice(self.plain)
        n = min(len(run), self.rng.choice((1, 1, 2, 2, 3, 4, 5)))
        i = self.rng.randint(0, len(run) - n)
        words = run[i:i + n]
        way = self.rng.random()
        words = ([capitalised(w) for w in words] if way < .35 else [capitalised(words[0])] + words[1:] if way < .6
                 else [w.upper() for w in words] if way < .7 else words)
        return self.encode(words, ["O"] * n, True, lambda w: w)

    def everyday_text(self):
        ids, allowed, change = [], [], self.casing()
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            new = self.encode(*self.everyday_sentence(), True, change)
            ids, allowed = ids + new[0], allowed + new[1]
        return ids, allowed

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

    def limit(self):
        """Pieces in a window of joined sentences: mostly short, some as long as the model can read."""
        return self.rng.randint(*((self.a.window, 500) if self.rng.random() < .1 else (40, self.a.window)))

    def epoch(self):
        a, rng, segments = self.a, self.rng, []
        for article in self.articles:
            joined, limit, change = rng.random() < a.joined, self.limit(), self.casing()
            ids, allowed = [], []
            for words, tags in article:
                new = self.encode(words, tags, True, change)
                if ids and (not joined or len(ids) + len(new[0]) > limit):
                    segments.append((ids, allowed, 1.))
                    ids, allowed, limit, change = [], [], self.limit(), self.casing()
                ids, allowed = ids + new[0], allowed + new[1]
            segments.append((ids, allowed, 1.))
        first = len(segments)
        wanted = a.extra_share * sum(len(s[0]) for s in segments)
        while self.extra and wanted > 0:
            words, tags, corpus, misc = self.extra[self.next_extra % len(self.extra)]
            self.next_extra += 1
            new = self.encode(words, tags, misc, self.casing())
            segments.append((*new, a.extra_weight))
            wanted -= len(new[0])
            if len(segments) > first + 1 and rng.random() < a.extra_joined and len(segments[-2][0]) < 100:
                ids, allowed, weight = segments.pop()
                segments[-1] = segments[-1][0] + ids, segments[-1][1] + allowed, weight
        for share, text in (a.everyday_share if self.everyday else 0, self.everyday_text), (a.plain_share, self.plain_text):
            wanted = share * sum(len(s[0]) for s in segments[:first])
            while wanted > 0:
                segments.append((*text(), 1.))
                wanted -= len(segments[-1][0])
        return segments

    def batches(self):
        """Texts of about one length together; each batch at most `batch` tokens, padding included."""
        while True:
            segments = [(i[:510], t[:510], w) for i, t, w in self.epoch() if i]
            self.rng.shuffle(segments)
            pool = 40 * self.a.batch
            start = 0
            while start < len(segments):
                end, n = start, 0
                while end < len(segments) and n < pool:
                    n += len(segments[end][0]) + 2
                    end += 1
                chunk = sorted(segments[start:end], key=lambda s: len(s[0]))
                start, ready, batch = end, [], []
                for s in chunk:
                    if batch and (len(s[0]) + 2) * (len(batch) + 1) > self.a.batch:
                        ready.append(batch)
                        batch = []
                    batch.append(s)
                ready.append(batch)
                self.rng.shuffle(ready)
                yield from ready
