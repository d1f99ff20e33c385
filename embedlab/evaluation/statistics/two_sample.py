"""Whether two sets of texts can be told apart: a classifier two-sample test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedlab.data.text import fold, stable_hash

FOLDS = 5


@dataclass(frozen=True)
class Design:
    """What a classifier sees of two sides, and how it is scored.

    Attributes:
        fewest: with fewer different texts on a side nothing is said.
        most: texts of each side that are drawn, at most.
        salt: what decides with the text who is drawn; empty: the seed.
        distinct: take each text once, folded (case, punctuation), and equally many of both sides;
            else texts as they stand, repeats and all. Repeats of a text then stay in one fold.
        words: look at words beside character 2- to 4-grams.
        strength: of the classifier: the inverse of its regularization.
        balanced: weigh both sides the same, whatever their size.
        iterations: the classifier's, at most.
        pooled: one AUC over all folds; else the mean of the folds'.
    """

    fewest: int
    most: int
    salt: str
    distinct: bool
    words: bool
    strength: float
    balanced: bool
    iterations: int
    pooled: bool


AS_ASKED = Design(
    fewest=20,
    most=1000,
    salt="",
    distinct=False,
    words=True,
    strength=1.0,
    balanced=True,
    iterations=1000,
    pooled=True,
)
"""Queries beside a log: what is asked, and how often."""

PHRASING = Design(
    fewest=10,
    most=500,
    salt="auc",
    distinct=True,
    words=False,
    strength=10.0,
    balanced=False,
    iterations=100,
    pooled=False,
)
"""Written queries beside real ones: how each is put, however often it is asked."""


def distinguishability(
    ours: Iterable[str], theirs: Iterable[str], seed: int = 0, design: Design = AS_ASKED
) -> float | None:
    """Return how well a classifier tells two sets of texts apart, as AUC: .5 it cannot, 1 it always can.

    Logistic regression on n-grams, five-fold cross-validated: the classifier two-sample test
    (Lopez-Paz and Oquab 2017). None with too few texts.

    Args:
        ours: texts of one side.
        theirs: texts of the other.
        seed: of the folds and, where the design has no salt of its own, of who is drawn.
        design: what the classifier sees.
    """
    one, other = list(ours), list(theirs)
    if min(len({fold(text) for text in side}) for side in (one, other)) < design.fewest:
        return None
    one, other = _drawn(one, seed, design), _drawn(other, seed, design)
    if design.distinct:
        size = min(len(one), len(other))
        one, other = one[:size], other[:size]
    # Which side counts as positive changes the last digit of an AUC alone; each design keeps to one.
    labels = [0, 1] if design.pooled else [1, 0]
    texts, side = np.array([*one, *other], dtype=object), np.repeat(labels, [len(one), len(other)])
    return _auc(texts, side, seed, design)


def _drawn(texts: list[str], seed: int, design: Design) -> list[str]:
    """Return at most so many texts of a side, in an order that depends on the texts alone."""
    salt = design.salt or seed
    pool = {fold(text) for text in texts} if design.distinct else texts
    return sorted(pool, key=lambda text: stable_hash(salt, text))[: design.most]


def _auc(texts: NDArray[Any], side: NDArray[Any], seed: int, design: Design) -> float:
    from sklearn.metrics import roc_auc_score

    scores = np.zeros(len(texts))
    of_folds = []
    for train, test in _folds(texts, side, seed, design):
        model = _classifier(design).fit(texts[train], side[train])
        scores[test] = model.decision_function(texts[test])
        of_folds.append(roc_auc_score(side[test], scores[test]))
    return float(roc_auc_score(side, scores)) if design.pooled else float(np.mean(of_folds))


def _folds(texts: NDArray[Any], side: NDArray[Any], seed: int, design: Design) -> Iterable[tuple[Any, Any]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if design.distinct:
        return StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(texts, side)
    same = [fold(text) for text in texts]
    return StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(texts, side, same)


def _classifier(design: Design) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    if design.words:
        features = make_union(TfidfVectorizer(sublinear_tf=True), features)
    weight = "balanced" if design.balanced else None
    model = LogisticRegression(C=design.strength, class_weight=weight, max_iter=design.iterations)
    return make_pipeline(features, model)
