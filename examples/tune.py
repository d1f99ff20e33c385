"""Tune a model on a BEIR folder, and say whether it searches better: python examples/tune.py FOLDER TARGET STEPS."""

import sys
from pathlib import Path

from embedlab.data import load_collection, near_duplicate_documents, relatives_of
from embedlab.evaluation import compare
from embedlab.models import MINILM, load_model
from embedlab.retrieval import Dense
from embedlab.training import Recipe, Trainer
from embedlab.trainset import exclusions, guard_of, judged_rows, mine_negatives

collection = load_collection("beir", path=sys.argv[1])
train, dev = collection.part("train"), collection.part("dev")
documents, base = train.document_texts(), load_model(MINILM)

rows, guard = judged_rows(train), guard_of(collection.part("dev", "test"))
never = exclusions(rows, guard, near_duplicate_documents(train.corpus))
rows = mine_negatives(train, rows, encoder=base, exclude=never).training

trainer = Trainer(base, rows, documents, relatives_of(train.corpus), Recipe(steps=int(sys.argv[3])))
trainer.fit()
trainer.save_model(Path(sys.argv[2]))
runs = [Dense(model, documents).search(dev.query_texts()) for model in (base, load_model(sys.argv[2]))]
found = compare(dev.qrels, *runs, groups=dev.groups())
print(f"{found.metric}: {found.baseline:.3f} -> {found.candidate:.3f}, {found}\n{found.in_words()}")
