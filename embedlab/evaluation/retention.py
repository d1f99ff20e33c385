"""General ability: does a model tuned on one domain still search another as well as its base?"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.load import read_raw, stop_at_errors
from embedlab.data.sources.registry import source_named
from embedlab.data.text import stable_hash
from embedlab.evaluation.comparison import compare_scores
from embedlab.evaluation.metrics import scores_of
from embedlab.evaluation.results import Retained
from embedlab.evaluation.statistics.power import detectable_gain, unit_error
from embedlab.retrieval.base import Encodes
from embedlab.retrieval.dense import Dense

DOCUMENTS, QUERIES = 3000, 1200
"""The size of the set; queries in each half."""

HALVES = ("choices", "verdict")


def other_domain(source: str) -> str:
    """Return the source that a model's retention set is drawn from: ``hpo``, or ``attack`` for ``hpo``."""
    return "attack" if source == "hpo" else "hpo"


def retention_set(
    source: str,
    half: Literal["choices", "verdict"] = "verdict",
    documents: int = 0,
    queries: int = 0,
    path: str | Path = "",
) -> Collection | None:
    """Return one half of the retention set of models tuned on a source.

    The sample is a function of the other domain's content alone: no seed and no run changes it.
    A family lies in one half as a whole, so that what is chosen on the one half is not judged on
    relatives of the same documents.

    Args:
        source: what the model was tuned on.
        half: ``choices`` for whatever is chosen with a view to other domains, ``verdict`` for the
            verdict alone.
        documents: at most so many, all relevant ones included; 0 for 3,000.
        queries: at most so many in the half; 0 for 1,200.
        path: a folder in BEIR's layout to take instead of the packaged domain; blank for that one.

    Returns:
        the documents with the queries of that half, their family as the group; None where the
        package with the other domain is not installed.

    Raises:
        DataError: if the folder cannot be read.
    """
    if not path and lacking_package(source):
        return None
    raw = read_raw("beir", path=path) if path else read_raw(other_domain(source))
    stop_at_errors(raw)
    relevant = raw.qrels[raw.qrels["relevance"] >= 1]
    family = dict(zip(raw.corpus["doc_id"], _families(raw.corpus), strict=True))
    # A query of several documents counts for the family of the first, by id.
    chosen = _sample(relevant.groupby("query_id")["doc_id"].min().map(family)).iloc[: 2 * (queries or QUERIES)]
    wanted = set(relevant.loc[relevant["query_id"].isin(chosen.index), "doc_id"])
    others = sorted(set(family) - wanted, key=lambda doc_id: stable_hash("retention", doc_id))
    room = max(0, (documents or DOCUMENTS) - len(wanted))
    corpus = raw.corpus[raw.corpus["doc_id"].isin(wanted | set(others[:room]))].reset_index(drop=True)
    asked = raw.queries[raw.queries["query_id"].isin(chosen.index)].reset_index(drop=True)
    asked["group"] = asked["query_id"].map(chosen["group"])
    asked["part"] = asked["query_id"].map(chosen["part"])
    return Collection(corpus, asked, raw.qrels, notice=raw.notice).part(half)


def lacking_package(source: str) -> str:
    """Return the package with the other domain of a source where it is not installed, blank where it is."""
    package = source_named(other_domain(source)).package or ""
    return "" if package and find_spec(package) else package


def _families(corpus: pd.DataFrame) -> pd.Series:
    """Return the family of each document, itself where it has none."""
    if "family" not in corpus:
        return corpus["doc_id"]
    named = corpus["family"].fillna("").astype(str)
    return named.where(named != "", corpus["doc_id"])


def _sample(family: pd.Series) -> pd.DataFrame:
    """Return all queries in the order in which they are taken: ``group`` (the family) and ``part`` (the half).

    One query of every family comes first, then a second one of each, so that no family weighs
    much. Families are ordered by a hash of their name, and every other one is of the other half.

    Args:
        family: of the relevant documents, by query id.
    """
    names = sorted(set(family), key=lambda name: stable_hash("retention", name))
    place = {name: position for position, name in enumerate(names)}
    queries = sorted(family.index, key=lambda q: stable_hash("retention", q))
    frame = pd.DataFrame({"group": family[queries]})
    frame["place"] = frame["group"].map(place)
    frame["part"] = [HALVES[position % 2] for position in frame["place"]]
    frame["turn"] = frame.groupby("group").cumcount()
    return frame.sort_values(["turn", "place"])[["group", "part"]]


def compare_retention(
    base: Encodes, tuned: Encodes, kept: Collection, name: str, metric: str, tolerance: float, seed: int = 0
) -> Retained:
    """Search a retention set with both models and return the paired comparison.

    A test of non-inferiority: what counts is where the interval lies against minus the tolerance. Fewer queries than
    :data:`QUERIES` may not show a loss as small as the one accepted; the tolerance is then the loss that they show
    four times in five, which the result says.

    Args:
        base: the model before tuning.
        tuned: the model after it.
        kept: the set to search.
        name: what the set is called.
        metric: an ir-measures name, the contract's primary one.
        tolerance: the loss that the contract accepts, at least.
        seed: of the resampling.
    """
    documents, queries = kept.document_texts(), kept.query_texts()
    runs = {key: Dense(model, documents).search(queries) for key, model in (("base", base), ("tuned", tuned))}
    scores = scores_of(kept.qrels, runs, metric)
    if len(queries) < QUERIES:
        difference = (scores["tuned"] - scores["base"]).to_numpy(dtype=float)
        group_of = kept.groups()
        labels = [group_of[query_id] for query_id in scores.index]
        shown = detectable_gain(unit_error(difference, labels), len(difference), units=len(set(labels)))
        tolerance = max(tolerance, shown)
    found = compare_scores(scores["base"], scores["tuned"], metric, -tolerance, kept.groups(), seed)
    return Retained(
        set=name,
        documents=len(documents),
        queries=found.n_queries,
        groups=found.n_groups,
        metric=metric,
        baseline=found.baseline,
        tuned=found.candidate,
        delta=found.delta,
        ci95=found.ci95,
        tolerance=tolerance,
    )
