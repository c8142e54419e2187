"""The texts of the golden files: ordinary sentences, and odd ones by rule.

Everything is made here, from fixed lists and a fixed seed, so that make.py
gives the same files again. Escapes are used for whatever an editor would not
show or would show in the wrong place.
"""
import random

PLAIN = """
Anna Weber lives in Berlin and works for the Northern Harbour Company.
The mayor of Porto met Ada Lindqvist on Monday.
On 3 May 1998 the Blue River Bank opened an office in Lagos.
Mr. Okoro, who was born in Enugu, now teaches in New York.
Rain is likely in the north, said the Weather Office.
Nobody was hurt.
Is Tom O'Neill the son of Mary O'Neill?
Prices rose by 2.5% in March, then fell to $1,000.50 a ton.
The European Union and the United States signed in Paris.
She sold 40 shares of Kestrel & Sons to Jean-Paul Martin for £12 each.
He said: "I don't know Dr. Stone of St. Ives."
Real Valencia beat Olympic Lyon 3-2 in the final of the City Cup.
The U.S. Navy left Guam; the U.N. stayed.
My name is Wolf and I live in Berlin
Two trains, one from Rome and one from Milan, met near Turin.
Write to anna.weber@example.org or call +49 30 555 01 02.
The Art of Small Things is a book by Li Na.
Her brother's friend's car was found in Saint-Denis.
the old man and the sea and the stone and the river and the road
Peter Peter Peter Peter Peter Peter Peter Peter Peter Peter Peter Peter
Alan, Alan, Alan, Alan, Alan, Alan, Alan, Alan, Alan, Alan
A. B. C. D. E. F. G. H.
AT&T and R2D2 are in the list (see page 4/5).
In 2024, Red Lake City; Green Hill; Stone Bridge; and Port Anna voted.
Read http://x.example/a_b?c=d#e before you come!
The Bank of England of the North of the South of the East
Wir fahren nach München und Köln, sagte Jürgen Müller.
Où est José Núñez de Ávila? À São Paulo, peut-être.
Anna Москва Berlin Киев Paris
The best, the worst - and all the rest... of Europe
""".strip().split("\n")

ODD = [
    "", " ", "   \t \n", ".", "...", "''", "'s", "n't", "a", "A", "#", "##", "##ing", "## ing", "_x_",
    "U.S.", "U.S.A", "U . S .", "N.Y.C.", "O'Neill", "O\u2019Neill's", "O'", "'Neill", "don't", "don\u2019t do not",
    "Jean-Paul", "Jean - Paul", "Saint-\u00c9tienne", "AT&T", "AT & T", "McDonald's", "e-mail@example.com",
    "1,000.50", "100%", "$5", "\u20ac5", "\u00a35", "\u00b0C", "a\u00d7b", "C++", "C#", "<b>Anna</b>", "{Anna}|[Paris]",
    "\u2014", "\u2026", "Anna\u2014Paris", "\u201cAnna\u201d", "\u00abParis\u00bb", "\u00bfAnna?", "Anna?!", "Anna,Paris;Rome:Berlin",
    # special tokens in the text
    "[CLS]", "[SEP]", "Anna [SEP] Paris", "Anna[SEP]Paris", "[MASK] lives in [MASK]", "[UNK]", "a[UNK]b", "[PAD]Anna",
    "[cls] [Sep] [sep]", "[ SEP ]", "[[SEP]]", "[SEP", "[CLS][SEP][CLS]", "[unused1]", "An[MASK]na", "[MASK][MASK]\u200b[MASK]",
    # emoji and symbols
    "\U0001f600", "\U0001f600 Anna", "Paris\U0001f600", "Paris \U0001f600 Rome", "Microsoft\u2122", "Berlin\u00ae", "\u2764\ufe0f love Anna",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 Anna", "Anna \U0001f1e9\U0001f1ea Berlin", "\u2603\u2603 Paris", "\U0001d400\U0001d401 Rome",
    # combining marks
    "cafe\u0301", "caf\u00e9", "cafe\u0301 bar", "\u0301a", "\u0301", "A\u0301nna Wolf", "e\u0328\u0301 x", "x\u0323\u0307y", "I\u0307 x", "\u0130stanbul",
    "\u00c5ngstr\u00f6m", "\u212bngstr\u00f6m", "\u1e9e Stra\u00dfe", "\ufb01ne Anna", "Zo\u0308e Anna", "Anna\u0301 Anna\u0301",
    "\u039f\u0394\u039f\u03a3 \u039f\u03b4\u03cc\u03c2", "e\u0301\u0301\u0301\u0301", "n\u0303 \u00f1",
    # invisible characters
    "Hel\u200blo", "An\u200bna", "Ann\u200b\u200ba Wolf", "Berl\u200b\u200bin", "\ufeffAnna", "Anna\ufeff", "\u200b \u200b", "\u00adsoft\u00adhyphen",
    "Anna\u00a0Wolf", "Anna\u2028Wolf", "Anna\u2029Paris", "a\u0085b", "a\u000bb", "a\u000cb", "a\u0000b", "\u0000", "Anna\u0000Wolf",
    "\ufffdabc", "\ue000pua", "An\u2060na Pa\u200dris", "\u202eanna\u202c Paris", "\u2066Anna\u2069 Rome", "in Hel\u200blo the Ber\u00adlin",
    "Anna\u180eWolf", "Paris\u0007Rome", "\u007fAnna", "A\u200bn\u200bn\u200ba", "\u200bA\u200b", "Li\u200b\u200bndqvist in the st\u200b\u200bone",
    # CJK and other scripts
    "\u4e2d\u56fdBeijing", "\u4e2d\u56fd\u6771\u4eac", "\u6771\u4eac\u30bf\u30ef\u30fc", "\u3000\u6771\u4eac", "\U00020000 x", "\U0002b820 x", "\u30a2\u30fb\u30a4", "Anna\u4e2dParis",
    "\uc548\ub155 Anna", "\uac00", "\ud55c\uad6d", "\u1100\u1161", "\u0410\u043d\u043d\u0430 \u0432 \u041c\u043e\u0441\u043a\u0432\u0435", "\u041c\u043e\u0441\u043a\u0432\u0430",
    "\u05e9\u05dc\u05d5\u05dd Anna", "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0631\u064a\u0633", "\u0645\u064e\u0631\u0652\u062d Anna", "\u0627\u060c\u0628", "\u0928\u092e\u0938\u094d\u0924\u0947 Anna",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u1e7c\u1e7d \u0179\u017a", "Za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105", "\u061d \u2e43", "a\u2e43b", "\u166dAnna", "\uff21\uff4e\uff4e\uff41\u3001",
    "\u1c89 \ua7cb", "\u0660\u0661\u0662", "\u00bd \u00b2 \u2160", "\u01c5 \u01c4",
    # blanks and lines
    " Anna ", "\tAnna\tWolf\n", "Anna\nWolf", "Anna\r\nWolf\r\n", "\n\n\nParis\n\n\n", "Anna    Wolf", "line1\nline2\ttab\r\nend", "Anna\u3000Wolf\u2003Paris\u202fRome",
    # long words, repetitions, case
    "a" * 30, "a" * 80, "a" * 99, "a" * 100, "a" * 101, "b" * 150 + " Paris", "Anna" * 20, "x\u200b" * 60, "in" * 40, "the " * 40, "Anna " * 40, "A" * 60, "-" * 40, "." * 60 + " Rome",
    "aNNA wOLF", "ANNA WOLF", "anna wolf", "BERLIN", "pArIs", "NEW YORK", "new york", "iPhone eBay McX", "ANNA's", "Anna'S",
    "supercalifragilistic", "antidisestablishmentarianism", "Llanfairpwllgwyngyll", "Donaudampfschifffahrt", "Aaaaaaaaaaarrrrgh",
]

NAMES = "Anna Berlin Paris Rome Wolf Stone Lindqvist Okoro O'Neill Jean-Paul Porto Li M\u00fcller Jos\u00e9 U.S. St.Ives D'Arcy McX \u041a\u0438\u0435\u0432 \u6771\u4eac".split()
WORDS = "the of and in at is was for to from river bank old said on with 1998 2.5 a as it north office met near".split()
SPICE = [
    "\u200b", "\u00ad", "\u0301", "\u2122", "\U0001f600", "'s", "\u2019s", "-", ".", ",", "!", "[SEP]", "\u4e2d", "\u0007", "\u200b\u200b", "\ufe0f", "(", ")", "\u20ac", "\u00e9",
    "\n", "\t", "\u00a0", "'", "\"", "&", "/", "##a", "\u202e", "\u0130", "\uac00", "\u0645",
]


def mixed(rng):
    """A line of names and words with something odd dropped in here and there."""
    out = []
    for _ in range(rng.randint(2, 11)):
        word = rng.choice(NAMES if rng.random() < 0.45 else WORDS)
        roll = rng.random()
        if roll < 0.08:
            word = word.upper()
        elif roll < 0.14:
            word = word.swapcase()
        if rng.random() < 0.28:
            at = rng.randint(0, len(word))
            word = word[:at] + rng.choice(SPICE) + word[at:]
        out.append(word + rng.choice([" "] * 9 + ["", "  ", ", ", " - ", "\n"]))
    return "".join(out)


def odd_texts(n):
    """n texts: the fixed ones, and by rule what is missing; fewer than those: a sample; 0: just those."""
    rng = random.Random(20240517)
    texts = PLAIN + ODD
    if n and n < len(texts):
        return [text for i, text in enumerate(texts) if i * n // len(texts) != (i - 1) * n // len(texts)]
    seen = set(texts)
    while len(texts) < n:
        text = mixed(rng)
        if text not in seen:
            seen.add(text)
            texts = texts + [text]
    return texts


def few_texts():
    """A couple of dozens, of all kinds: for the logits."""
    return PLAIN[:12:2] + PLAIN[26:29] + ODD[:3] + ["U.S. O'Neill", "Anna [SEP] Paris[UNK]", "cafe\u0301 Hel\u200blo \ufeffAnna",
        "Paris\U0001f600 Microsoft\u2122 \u20ac5", "\u4e2d\u56fdBeijing \u041c\u043e\u0441\u043a\u0432\u0430 \ud55c", "a" * 100 + " " + "a" * 101, "A" * 60, "ANNA wolf iPhone"]


def long_text():
    """Longer than the smallest model takes: for the windows."""
    return " ".join(PLAIN)
