"""spacy_texts.py FILE: rows/s of spaCy's en_core_web_sm (or the model, by name or path, in SPACY_MODEL) over the
lines of FILE, entities only, in batches, as nlp.pipe() makes them. Prints "version rows/s", the best of three
rounds."""
import os
import sys
import time

import spacy

lines = [line.rstrip('\n') for line in open(sys.argv[1], encoding='utf8') if line.strip()]
nlp = spacy.load(os.environ.get('SPACY_MODEL', 'en_core_web_sm'),
                 exclude=['tagger', 'parser', 'attribute_ruler', 'lemmatizer'])
sum(len(doc.ents) for doc in nlp.pipe(lines[:200]))
best = 0
for _ in range(3):
    start = time.perf_counter()
    sum(len(doc.ents) for doc in nlp.pipe(lines))
    best = max(best, len(lines) / (time.perf_counter() - start))
print(f'{nlp.meta["version"]} {best:.1f}')
