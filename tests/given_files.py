"""Files of training data that a user gives, and what is read from them."""

import pandas as pd

from embedlab.trainset import (
    Example,
    example_rows,
    read_given,
)

CORPUS = pd.DataFrame({
    "doc_id": ["d1", "d2", "d3", "guide/install.md", "install#on-linux"],
    "title": ["Reset a password", "Invoices", "Printers", "Installing", "Installing on Linux"],
    "text": "text",
})  # fmt: skip


def given(**paths):
    options = {k: paths.pop(k) for k in list(paths) if k in ("columns", "delimiter", "judgment_queries", "chunk")}
    return read_given({k: str(v) for k, v in paths.items()}, CORPUS, **options)


def found_by_query(own):
    return {e.query: e.positives for e in own.examples}


def file(folder_, name, text):
    path = folder_ / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def source_rows(*ids):
    rows = example_rows([Example(f"query {i}", ["d1"], "x:1", "curated") for i in ids], {})
    return rows.assign(query_id=list(ids))
