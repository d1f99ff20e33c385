"""The unseen-only check: does the gain stay where training never saw a document as a positive?"""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping
from typing import Any

from embedlab import metrics, retrieval, stats
from embedlab.collection import Collection
from embedlab.retrieval.dense import Encodes


def among_unseen(
    base: Encodes,
    tuned: Encodes,
    test: Collection,
    seen: Ids[str],
    metric: str,
    groups: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Any] | None:
    """Compare two models among the documents that are no positive of training.

    A model can look better by merely pushing training documents down; here that gains nothing.

    Args:
        base: the model to beat.
        tuned: the other.
        test: the opened test part.
        seen: ids of the documents that training had as positives.
        metric: an ir-measures name.
        groups: group by query id.
        seed: of the resampling.

    Returns:
        both scores, the gain with its 95 % interval, and ``moved``: by how much the mean score of
        a document changed, seen and unseen, and how far they moved ``apart``. None where fewer than
        ten queries have a relevant document there: cannot tell.
    """
    documents = test.document_texts()
    is_seen = documents.index.isin(list(seen))
    unseen = documents[~is_seen]
    within = test.qrels[test.qrels["doc_id"].isin(unseen.index) & (test.qrels["relevance"] > 0)]
    if within["query_id"].nunique() < stats.MIN_GROUPS:
        return None
    asked = test.query_texts()[sorted(within["query_id"].unique())]
    runs = [retrieval.Dense(model, unseen).search(asked) for model in (base, tuned)]
    scores = [metrics.per_query(within, found, [metric])[metric] for found in runs]
    check = stats.compare_scores(scores[0], scores[1], metric, groups=groups, seed=seed)
    changed = _mean_scores(tuned, test) - _mean_scores(base, test)
    far, near = float(changed[~is_seen].mean()), float(changed[is_seen].mean()) if is_seen.any() else None
    return {
        "baseline": check.baseline,
        "tuned": check.candidate,
        "delta": check.delta,
        "ci95": list(check.ci95),
        "documents": len(unseen),
        "queries": len(asked),
        "moved": {"seen": near, "unseen": far, "apart": far - near if near is not None else None},
    }


def _mean_scores(model: Encodes, test: Collection) -> Any:
    """Return each document's score averaged over the test queries."""
    queries = model.encode(test.query_texts().tolist(), "query").mean(axis=0)
    return model.encode(test.document_texts().tolist(), "document") @ queries
