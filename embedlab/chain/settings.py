"""What step 01 writes down for all later steps."""

from __future__ import annotations

from typing import Any

from embedlab.chain.params import SHARED
from embedlab.data.collection import Collection
from embedlab.files import sha256_json


def settings_of(values: dict[str, Any], collection: Collection) -> dict[str, Any]:
    """Return what step 01 writes down for all later steps: shared parameters and the data's facts."""
    shared = {k: values[k] for k in SHARED if k not in ("run", "path")}
    counts = collection.queries["part"].value_counts().to_dict()
    facts = {"unit": collection.unit, "parted_by": collection.parted_by, "notice": collection.notice, "queries": counts}
    digest = sha256_json([f.to_csv(index=False) for f in (collection.corpus, collection.queries, collection.qrels)])
    return shared | facts | {"documents": len(collection.corpus), "content": digest}
