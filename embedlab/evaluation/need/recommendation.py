"""What to do about failing queries: something simpler, fine-tuning, both, or not known yet."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from embedlab.evaluation.comparison import compare_scores
from embedlab.evaluation.need.ladder import MEASURED, TODAY, Ladder
from embedlab.evaluation.results import Comparison, GainOver, split_confidence
from embedlab.evaluation.statistics.intervals import Groups

SIMPLER, FINE_TUNE, BOTH, CANNOT_TELL = "simpler, do not fine-tune", "fine-tune", "both", "cannot tell"

VERBS = {
    "chunking": "chunk",
    "filter": "filter",
    "rewriting": "rewrite queries",
    "lexical": "search by words",
    "hybrid": "search hybrid",
    "reranking": "rerank",
    "sparse": "use a sparse encoder",
    "stronger base": "take the stronger base",
    "language model": "let a language model rewrite queries",
    "engine": "take the other engine",
    "stack": "stack the simpler remedies",
}
"""What is done on each kind of rung."""

SHARE = 0.05
"""The chance, over all rungs together, of calling one of them better that is not."""


@dataclass(frozen=True)
class Recommendation:
    """What the dev queries say for now.

    Attributes:
        advice: :data:`SIMPLER`, :data:`FINE_TUNE`, :data:`BOTH` or :data:`CANNOT_TELL`.
        sentence: the advice with its reasons.
        simpler: of the rungs and stacks that raise the measure, the one that fixes most queries net of those that it
            breaks; blank where none fixes more than it breaks.
        kind: its kind; blank likewise.
        simpler_gain: over today, at a confidence that is split over all rungs that were measured; None likewise.
        best_stack: likewise of the best stack of rungs; None where no stack was measured.
        tuning_gain: of the cheap probe over today; None where it was not measured.
        on_top: what tuning adds to the simpler remedy: of the tuned model with that remedy over the remedy where that
            could be measured, else of the tuned model alone over it; None where either is missing.
        not_measured: rungs that could not be run here, each with why; nothing rests on them.
    """

    advice: str
    sentence: str
    simpler: str
    kind: str
    simpler_gain: GainOver | None
    best_stack: GainOver | None
    tuning_gain: GainOver | None
    on_top: GainOver | None
    not_measured: dict[str, str]


def recommend(
    ladder: Ladder,
    tuned: pd.Series | None,
    tuned_with: pd.Series | None = None,
    *,
    metric: str,
    tuning_min: float,
    groups: Groups | None = None,
    seed: int = 0,
    why_not: str = "no probe was trained",
) -> Recommendation:
    """Weigh the best simpler remedy against the cheap probe of tuning.

    Args:
        ladder: what was measured of the rungs.
        tuned: scores of the probe by query id, searched as today; None where it was not trained.
        tuned_with: scores of the probe with the best simpler remedy around it; None where that was not measured.
        metric: an ir-measures name.
        tuning_min: smallest gain over the simpler remedy that pays for a model of one's own.
        groups: group by query id, or several groupings by name.
        seed: of the resampling.
        why_not: why there is no probe.
    """
    weighed = _Weighed(ladder, metric, groups, seed)
    best = best_rung(ladder)
    stack = best_rung(ladder, stacks_alone=True)
    simpler_gain = weighed.rung(best) if best else None
    tuning_gain = None if tuned is None else weighed.over(TODAY, ladder.scores[TODAY], "the probe", tuned)
    on_top = None
    if best and tuned is not None:
        of, scores = ("the probe alone", tuned) if tuned_with is None else (f"the probe with {best}", tuned_with)
        on_top = weighed.over(best, ladder.scores[best], of, scores)
    kind = str(ladder.table.set_index("rung").loc[best, "kind"]) if best else ""
    advice = _advice(simpler_gain, tuning_gain, on_top, tuning_min, measured_together=tuned_with is not None)
    sentence = _sentence(advice, best, kind, simpler_gain, tuning_gain, on_top, why_not)
    skipped = ladder.table[ladder.table["status"] != MEASURED]
    return Recommendation(
        advice=advice,
        sentence=sentence,
        simpler=best,
        kind=kind,
        simpler_gain=simpler_gain,
        best_stack=weighed.rung(stack) if stack else None,
        tuning_gain=tuning_gain,
        on_top=on_top,
        not_measured=dict(zip(skipped["rung"], skipped["status"], strict=True)),
    )


def best_rung(ladder: Ladder, stacks_alone: bool = False) -> str:
    """Return the rung that raises the measure and fixes most queries net of those that it breaks; blank where none is.

    Of equals the one with the larger gain, then the earlier one.
    """
    table = ladder.table[(ladder.table["status"] == MEASURED) & (ladder.table["net"] > 0)]
    # More queries with a first answer in view can cost the order of all others: no remedy, where the measure decides.
    table = table[table["delta"] > 0]
    if stacks_alone:
        table = table[table["kind"] == "stack"]
    if table.empty:
        return ""
    return str(table.sort_values(["net", "delta"], ascending=False, kind="stable")["rung"].iloc[0])


class _Weighed:
    """Gains between per-query scores, under one set of terms."""

    def __init__(self, ladder: Ladder, metric: str, groups: Groups | None, seed: int) -> None:
        self.ladder, self.metric, self.groups, self.seed = ladder, metric, groups, seed

    def rung(self, name: str) -> GainOver:
        """Return a rung's gain over today: it was picked as the best of many, so the confidence is split over all."""
        scores = self.ladder.scores
        confidence = split_confidence(SHARE, len(self.ladder.gains))
        return self.over(TODAY, scores[TODAY], name, scores[name], confidence)

    def over(self, over: str, one: pd.Series, of: str, two: pd.Series, confidence: float = 0.95) -> GainOver:
        """Return the gain of one system over another."""
        known = two.reindex(one.index)
        found: Comparison = compare_scores(
            one, known, self.metric, groups=self.groups, seed=self.seed, confidence=confidence
        )
        return GainOver(over, of, found.delta, found.ci95, found.ci, confidence)


def _advice(
    simpler: GainOver | None,
    tuning: GainOver | None,
    on_top: GainOver | None,
    tuning_min: float,
    measured_together: bool,
) -> str:
    """Return what the gains say; only an interval that lies to one side says anything."""
    helps = simpler is not None and simpler.ci[0] > 0
    if tuning is None:
        return CANNOT_TELL
    if on_top is None or not helps:
        # No simpler remedy helps surely: tuning has to beat today, and whatever was best of the rest.
        adds = on_top is None or on_top.ci[0] > 0
        return FINE_TUNE if tuning.ci[0] > 0 and adds else CANNOT_TELL
    if on_top.ci[0] > 0:
        # Alone and better than the remedy is no proof that both together are better still.
        return BOTH if measured_together else FINE_TUNE
    return SIMPLER if on_top.ci[1] < tuning_min else CANNOT_TELL


def _sentence(
    advice: str,
    best: str,
    kind: str,
    simpler: GainOver | None,
    tuning: GainOver | None,
    on_top: GainOver | None,
    why_not: str,
) -> str:
    """Return the advice with the gains that it rests on."""
    said = {
        SIMPLER: f"{VERBS.get(kind, '').capitalize()}, do not fine-tune",
        FINE_TUNE: "Fine-tune",
        BOTH: f"Both: {VERBS.get(kind, '')}, and fine-tune",
        CANNOT_TELL: "Cannot tell yet",
    }[advice]
    reasons = ["no simpler rung raises the measure and fixes more queries than it breaks"]
    if simpler is not None:
        reasons = [f"{best} changes the measure by {simpler} over today ({simpler.confidence:.1%})"]
    reasons.append(f"tuning is not measured: {why_not}" if tuning is None else f"the tuning probe by {tuning}")
    if on_top is not None:
        reasons.append(f"{on_top.of} by {on_top} over {best}")
    return f"{said}: {'; '.join(reasons)}."
