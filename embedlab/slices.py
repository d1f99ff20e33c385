"""Slices of queries that are computed for any collection."""

from __future__ import annotations

import re

import pandas as pd

from embedlab.collection import Collection
from embedlab.text import fold

NEGATION = re.compile(r"\b(not|no|never|without|except|none|cannot|can't|don't|doesn't|isn't)\b", re.I)
CODE = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{2,}\b|\b[A-Z]{2,}\b|\w+[._/\\-]\w*\d\w*|--?\w+=")

SHORT_QUERY, LONG_QUERY = 6, 20
LONG_DOCUMENT = 190
LOW_OVERLAP = 0.2


def query_slices(collection: Collection) -> pd.DataFrame:
    """Say for each query which slices it is in.

    ``other words``: under a fifth of its words stand in any relevant document; ``long document``:
    its relevant documents all have over 190 words.

    Returns:
        one row a query (index ``query_id``), one boolean column a slice.
    """
    texts = collection.document_texts()
    words = {doc_id: set(fold(text).split()) for doc_id, text in texts.items()}
    lengths = {doc_id: len(text.split()) for doc_id, text in texts.items()}
    relevant = collection.relevant()
    rows = []
    for query_id, text in collection.query_texts().items():
        known = [d for d in relevant.get(str(query_id), ()) if d in words]
        own = set(fold(text).split())
        overlap = max((len(own & words[d]) / max(len(own), 1) for d in known), default=0.0)
        rows.append(
            {
                "query_id": query_id,
                "short query": len(text.split()) <= SHORT_QUERY,
                "long query": len(text.split()) >= LONG_QUERY,
                "other words": overlap < LOW_OVERLAP,
                "negation": bool(NEGATION.search(text)),
                "abbreviation or code": bool(CODE.search(text)),
                "long document": bool(known) and min(lengths[d] for d in known) > LONG_DOCUMENT,
                "several relevant": len(known) > 1,
            }
        )
    columns = ["query_id", *[c for c in (rows[0] if rows else {}) if c != "query_id"]]
    return pd.DataFrame(rows, columns=columns).set_index("query_id")
