"""What to do: roll out what is proposed, something simpler, nothing, or measure more."""

from __future__ import annotations

from collections.abc import Sequence

from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.evaluation.results import Comparison, with_interval


def recommend(verdict: str, blocked: Sequence[str], unsettled: Sequence[str], evaluation: Evaluation) -> dict[str, str]:
    """Return ``choice`` (``tuned``, ``simpler: NAME``, ``today`` or ``undecided``) and ``sentence``.

    Args:
        verdict: of the proposed system.
        blocked: what forbids shipping it.
        unsettled: what keeps it from being shipped yet.
        evaluation: the gains that decide.
    """
    today, simpler, proposed = evaluation.production, evaluation.simpler, evaluation.proposed.name
    if verdict == "SHIP":
        gained = f"{evaluation.versus_production} over {today}"
        if simpler != today:
            gained += f", {evaluation.versus_simpler} over the best without tuning ({simpler})"
        return _choice("tuned", f"Roll out {proposed}: it gains {gained}.")
    if any(reason.startswith("seal") for reason in blocked):
        return _choice("today", f"Keep {today}: the test is not to be trusted, so no gain measured on it is.")
    instead = evaluation.simpler_gain
    if instead is not None and instead.verdict == "SHIP":
        return _choice(f"simpler: {simpler}", _simpler(verdict, instead, evaluation))
    if verdict == "DO_NOT_SHIP" and (instead is None or instead.verdict == "DO_NOT_SHIP"):
        return _choice("today", f"Keep {today}: {_why_not(blocked, evaluation)}.")
    return _choice("undecided", _undecided(verdict, blocked, unsettled, instead, evaluation))


def _choice(choice: str, sentence: str) -> dict[str, str]:
    return {"choice": choice, "sentence": sentence}


def _simpler(verdict: str, instead: Comparison, evaluation: Evaluation) -> str:
    gained = f"it gains {instead} over {evaluation.production} without any training"
    tuned = evaluation.versus_simpler
    if verdict == "DO_NOT_SHIP":
        return f"Roll out {evaluation.simpler} and do not tune: {gained}."
    return (
        f"Roll out {evaluation.simpler}: {gained}. Whether tuning adds enough to it is open ({tuned}, "
        f"{tuned.min_gain:+.3f} is asked for): {tuned.settled_by()}."
        if tuned.verdict == "INCONCLUSIVE"
        else f"Roll out {evaluation.simpler}: {gained}. Tuning adds {tuned} to it, and is not settled otherwise."
    )


def _why_not(blocked: Sequence[str], evaluation: Evaluation) -> str:
    if blocked:
        return "; ".join(blocked)
    for system, found in (
        (evaluation.production, evaluation.versus_production),
        (evaluation.simpler, evaluation.versus_simpler),
    ):
        if found.verdict == "DO_NOT_SHIP":
            gained = with_interval(found.delta, found.ci)
            asked = f"{found.min_gain:+.3f} asked for"
            return f"{evaluation.proposed.name} gains {gained} over {system}, surely less than the {asked}"
    return "nothing measured is surely worth the change"


def _undecided(
    verdict: str,
    blocked: Sequence[str],
    unsettled: Sequence[str],
    instead: Comparison | None,
    evaluation: Evaluation,
) -> str:
    if verdict == "DO_NOT_SHIP" and instead is not None:
        return (
            f"Do not roll out {evaluation.proposed.name}: {_why_not(blocked, evaluation)}. "
            f"Whether {evaluation.simpler} is worth the change from {evaluation.production} is open: "
            f"{instead}, {instead.min_gain:+.3f} is asked for; {instead.settled_by()}."
        )
    leader = evaluation.proposed.name
    if evaluation.versus_simpler.delta < 0:
        leader = evaluation.simpler
    open_ones = "thing is" if len(unsettled) == 1 else "things are"
    return f"Not decided yet; {leader} leads. {len(unsettled)} {open_ones} unsettled, the first: {unsettled[0]}."
