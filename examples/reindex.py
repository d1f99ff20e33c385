"""Move a BEIR folder's index to another model while it is in use: python examples/reindex.py FOLDER TARGET OLD NEW."""

import sys
from pathlib import Path

from embedlab.data import read_corpus
from embedlab.rollout import Document, Reindex, build_collection, documents_of, plan, reader, writer

target, old_model, new_model = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
state, old, new = target / "service.db", str(target / "old"), str(target / "new")

build_collection(old, old_model, documents_of(read_corpus("beir", path=sys.argv[1])))
plan(state, old, new, new_model)
machine = Reindex(state)
machine.start()

writer(state).upsert([Document("note", "", "written while the new index was being filled")])
for check in machine.validate():
    print("held" if check.passed else "NOT HELD", check.check)
machine.cutover()
print(reader(state).release().name, reader(state).search("what was written meanwhile?", k=1))

machine.rollback("only an example")
print(reader(state).release().name, reader(state).search("what was written meanwhile?", k=1))
