"""The pool of texts from which students are distilled (distil.py), made by several processes and kept in files.

A window is what the teacher reads at once: consecutive sentences of an annotated corpus or of a text without labels.
Each is rendered several times for the students: sentence by sentence or joined, in other letter case, without
punctuation.  A rendered piece points to the window's word that it spells, so that the teacher's opinion of the word, as
it was written and among its neighbours, becomes the target of all renderings.

Annotated documents belong to FOLDS folds.  As many teachers are trained, each without one fold, and each gives its
opinion on that fold only: no target comes from a teacher that has learned the sentence by heart.
"""
import gzip, multiprocessing, os, random
import numpy as np
from mpnet import BEGIN, END, TeacherTokenizer
from corpora import CLS, SEP, Tokenizer, read_commented
from texts import CONTINUOUS, Texts, word_targets

FOLDS = 4
UNLABELLED = -1
USUAL, LONGEST = 254, 500                        # pieces of most windows, and of a tenth of them, at most
BLOCK = 300_000                                  # pieces of windows in one file


class Block:
    """Arrays that grow: windows for the teacher, their words, and texts for each student's tokenizer."""

    def __init__(self, students):
        self.students = students
        self.columns = {name: [] for name in ("ids", "shapes", "length", "words", "first", "allowed", "fold")}
        for s in range(len(students)):
            self.columns.update({f"{s}.{name}": [] for name in ("ids", "word", "inside", "length", "window")})
        self.n_words = 0

    def add(self, teacher, fold, sentences, texts):
        """texts: [[(index of a word in the window, its letters in this text)]]"""
        c, ids, shapes = self.columns, [BEGIN], [0]
        base = len(c["ids"])
        for words, tags, misc in sentences:
            assert len(words) == len(tags), words
            for word in words:
                new = teacher.word(word)
                # A word that does not fit has no opinion: it points to the end.
                c["first"].append(base + len(ids) if len(ids) < 510 else -1)
                ids += new[0]
                shapes += new[1]
            c["allowed"] += word_targets(tags, misc)
        ids, shapes = ids[:511] + [END], shapes[:511] + [0]
        c["ids"] += ids
        c["shapes"] += shapes
        c["length"].append(len(ids))
        n = sum(len(words) for words, _, _ in sentences)
        c["words"].append(n)
        c["fold"].append(fold)
        for s, tk in enumerate(self.students):
            for text in texts:
                pieces, word, inside = [CLS], [-1], [0]
                for index, letters in text:
                    new = tk.word(letters)
                    pieces += new
                    word += [self.n_words + index] * len(new)
                    inside += [0] + [1] * (len(new) - 1)
                pieces, word, inside = pieces[:511] + [SEP], word[:511] + [-1], inside[:511] + [0]
                c[f"{s}.ids"] += pieces
                c[f"{s}.word"] += word
                c[f"{s}.inside"] += inside
                c[f"{s}.length"].append(len(pieces))
                c[f"{s}.window"].append(len(c["length"]) - 1)
        self.n_words += n

    def write(self, path):
        kinds = {"shapes": np.int8, "fold": np.int8, "inside": np.int8, "allowed": np.int16}
        arrays = {name: np.array(values, kinds.get(name.split(".")[-1], np.int32)) for name, values in self.columns.items()}
        with open(path + ".new", "wb") as f:
            np.savez(f, **arrays)
        os.replace(path + ".new", path)


def sentences_of(words):
    """Running text cut after full stops, question and exclamation marks that a capital follows."""
    start = 0
    for i, word in enumerate(words):
        last = i + 1 == len(words)
        if last or i - start > 60 or word in ".?!" and i - start > 3 and words[i + 1][0].isupper():
            yield words[start:i + 1]
            start = i + 1


class Windows(Texts):
    def __init__(self, a, tk, teacher, rng):
        super().__init__(a, tk, rng)
        self.teacher = teacher
        self.folded = [self.everyday[f::FOLDS] for f in range(FOLDS)]

    def endless(self, name, documents):
        """(fold, sentences), again and again."""
        documents = list(enumerate(documents))
        while True:
            self.rng.shuffle(documents)
            for number, document in documents:
                changed = [(*self.altered(words, tags), misc) for words, tags, misc in document]
                for window in self.cut(changed) if name in CONTINUOUS else [[s] for s in changed]:
                    yield number % FOLDS, window

    def limit(self):
        return self.rng.randint(*((USUAL, LONGEST) if self.rng.random() < .1 else (60, USUAL)))

    def cut(self, sentences):
        window, size, limit = [], 0, self.limit()
        for sentence in sentences:
            n = sum(len(self.teacher.word(word)[0]) for word in sentence[0])
            if window and size + n > limit:
                yield window
                window, size, limit = [], 0, self.limit()
            window.append(sentence)
            size += n
        yield window

    def everyday_text(self):
        fold = self.rng.randrange(FOLDS)
        self.everyday = self.folded[fold]
        lines = [self.everyday_sentence() for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]
        return fold, [(*self.altered(words, tags), True) for words, tags in lines]

    def plain_text(self):
        words = self.plain_words()
        return self.rng.randrange(FOLDS), [(words, ["O"] * len(words), True)]

    def annotated(self, pieces):
        """Windows of so many pieces, each source by its share."""
        total = sum(self.shares.values())
        wanted = {name: pieces * share / total for name, share in self.shares.items()}
        while wanted:
            name = self.rng.choices(list(wanted), [self.shares[n] for n in wanted])[0]
            fold, window = next(self.sources[name])
            if window and window[0][0]:
                wanted[name] -= sum(len(self.teacher.word(word)[0]) for words, _, _ in window for word in words)
                yield fold, window
            if wanted[name] <= 0:
                del wanted[name]

    def unlabelled(self, documents):
        """Windows of documents (lists of sentences, each a list of words) whose every tag is unknown."""
        for document in documents:
            for window in self.cut([(words, ["X"] * len(words), True) for words in document]):
                if window:
                    yield UNLABELLED, window

    def renderings(self, fold, window):
        """Texts for the student: [[(index of a word in the window, its letters)]]"""
        starts = np.cumsum([0] + [len(words) for words, _, _ in window])
        for _ in range(self.a.renderings):
            change, texts = self.casing(), []
            for (words, tags, _), start in zip(window, starts):
                named = fold == UNLABELLED or any(t[0] == "B" for t in tags)
                texts.append((named, [(start + i, change(words[i])) for i in self.kept(words, tags)]))
            if len(texts) > 1 and self.rng.random() < self.a.joined:
                yield [word for _, text in texts for word in text]
                continue
            for named, text in texts:
                if text and (named or self.rng.random() < self.a.keep_plain):
                    yield text

    def kept(self, words, tags):
        """The words of a text: all, or without punctuation, or without the full stop."""
        everything = range(len(words))
        if self.rng.random() < self.a.unpunctuated:
            return [i for i in everything if tags[i] not in "OX" or any(c.isalnum() for c in words[i])] or everything
        if self.rng.random() < .05 and len(words) > 3 and words[-1] == ".":
            return everything[:-1]
        return everything


def read_texts(a):
    """Documents without labels (lists of sentences): the sources of --text in --text-sources; of --extra those in
    --unlabelled."""
    sources, found = a.text_sources.split(","), []
    with gzip.open(a.text, "rt", encoding="utf-8") as f:
        for line in f:
            source, text = line.rstrip("\n").split("\t", 1)
            if source in sources:
                found.append(list(sentences_of(text.split())))
    extra = a.unlabelled.split(",")
    for (corpus, _), words, _ in read_commented(a.extra):
        if corpus in extra:
            found.append([words])
    return found


def work(a, number, students, teacher):
    rng = random.Random(1000 * a.seed + number)
    stream, block, n = Windows(a, students[0], teacher, rng), Block(students), 0

    def flush():
        nonlocal block, n
        if block.columns["length"]:
            block.write(os.path.join(a.out, f"{kind}-{number:02d}-{n:03d}.npz"))
        block, n = Block(students), n + 1

    for kind in "annotated", "unlabelled":
        windows = (stream.annotated(a.pieces / a.workers) if kind == "annotated"
                   else stream.unlabelled(read_texts(a)[number::a.workers][::a.every]))
        for fold, window in windows:
            block.add(teacher, fold, window, list(stream.renderings(fold, window)))
            if len(block.columns["ids"]) > BLOCK:
                flush()
        flush()
        open(os.path.join(a.out, f"{kind}-{number:02d}.done"), "w").close()


def cmd_pool(a):
    from network import load
    os.makedirs(a.out, exist_ok=True)
    students = [Tokenizer(load(a.start)[1].pieces)]
    if a.small:
        students.append(Tokenizer(load(a.small)[1].pieces))
    with open(os.path.join(a.encoder, "vocab.txt"), encoding="utf-8") as f:
        teacher = TeacherTokenizer([line.rstrip("\n") for line in f])
    workers = [multiprocessing.Process(target=work, args=(a, i, students, teacher)) for i in range(a.workers)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not any(w.exitcode for w in workers), "a worker failed"
