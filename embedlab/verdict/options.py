"""The options page: every way to make the search better that a run measured, with its gain and its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from embedlab.chain.artifacts import choose_base_model, confirm_need, evaluate, train
from embedlab.chain.artifacts.base import NUMBER, Table
from embedlab.chain.artifacts.evaluate import Prices
from embedlab.chain.artifacts.test_pipeline import OPTIONS
from embedlab.errors import DataError
from embedlab.evaluation.comparison import compare_scores
from embedlab.evaluation.need.ladder import MEASURED, TODAY
from embedlab.evaluation.pareto import pareto
from embedlab.evaluation.results import Comparison, split_confidence, with_interval
from embedlab.evaluation.statistics.intervals import Groups
from embedlab.verdict.facts import Facts
from embedlab.verdict.price import HOUR, MONTH_DAYS
from embedlab.verdict.words import money

NOTHING, QUERIES, DOCUMENTS = "nothing", "queries alone", "every document"
"""What must be embedded again."""

UNDO = {
    NOTHING: "switch it off",
    QUERIES: "load the old query model again",
    DOCUMENTS: "point back to the old index, kept meanwhile",
}
"""How a change is undone, by what had to be embedded again."""

EMBEDS_ANEW = ("chunking", "sparse", "stronger base")
"""Kinds of rungs that embed every document anew."""

SHARE = 0.05
"""The chance, over all options together, of calling one of them surely good enough that is not."""


@dataclass(frozen=True)
class Option:
    """One way to search.

    Attributes:
        name: in the table.
        step: the step that measured it.
        scores: the contract's measure on dev by query id; None where it was not measured.
        tuned: whether tuned weights are in it.
        query_ms: milliseconds of a query; None where that was not measured.
        bytes_a_document: of index; None likewise.
        seconds_a_document: of encoding, all its passages together; 0 where nothing is encoded, None likewise.
        reembed: what must be embedded again.
        on_test: its gain over production on the sealed test; of P, S and T alone.
        status: :data:`MEASURED`, or ``not measured: why``.
    """

    name: str
    step: str
    scores: pd.Series | None = None
    tuned: bool = False
    query_ms: float | None = None
    bytes_a_document: float | None = None
    seconds_a_document: float | None = None
    reembed: str = NOTHING
    on_test: Comparison | None = None
    status: str = MEASURED


def option_table(
    options: Sequence[Option],
    production: Option,
    prices: Prices,
    documents: int,
    metric: str,
    least: float,
    groups: Groups | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return every option with its gain over production, what it costs and whether it lies on the Pareto front.

    Args:
        options: all of them, production among them or not.
        production: what answers today.
        prices: of machines and storage, and the queries of a month.
        documents: in production.
        metric: an ir-measures name.
        least: the smallest gain that pays. ``surely`` asks for it at a confidence that is split over all options
            measured (Bonferroni), for the best of many is partly the luckiest.
        groups: group by query id, or several groupings by name.
        seed: of the resampling.

    Returns:
        the columns of step 18's table. ``delta`` and its 95 % interval are on dev; money is in the currency of the
        prices; ``monthly`` is the whole of storage and queries, ``once`` the encoding and the old index beside the new
        one. Missing is what was not measured. The front weighs gain against milliseconds and both prices.

    Raises:
        DataError: if production was not measured, or two options have one name.
    """
    names = [option.name for option in options]
    if len(set(names)) < len(names):
        raise DataError(f"two options have one name: {max(names, key=names.count)!r}")
    if production.scores is None:
        raise DataError(f"the options are compared with {production.name!r}, which has no scores")
    measured = sum(option.scores is not None for option in options)
    confidence = split_confidence(SHARE, measured)
    rows = []
    for option in options:
        row = {"option": option.name, "step": option.step, "tuned": option.tuned, "status": option.status}
        row |= {"reembed": option.reembed, "undo": UNDO[option.reembed]}
        if option.scores is not None:
            known = option.scores.reindex(production.scores.index)
            gain = compare_scores(production.scores, known, metric, groups=groups, seed=seed, confidence=confidence)
            low, high = (0.0, 0.0) if option is production else gain.ci95  # nothing can differ from itself
            row |= {"delta": gain.delta, "ci_low": low, "ci_high": high}
            row["surely"] = bool(gain.ci[0] >= least)
        rows.append(row | _on_test(option, production) | _prices(option, production, prices, documents))
    table = pd.DataFrame(rows, columns=list(OPTIONS.columns))
    table["surely"] = table["surely"].eq(True)
    numbers = [name for name, kind in OPTIONS.columns.items() if kind == NUMBER]
    table[numbers] = table[numbers].astype(float)
    table["front"] = pareto(table, ["delta"], ["query_ms", "once", "monthly"])
    return table


def _on_test(option: Option, production: Option) -> dict[str, float]:
    if option.on_test is None:
        return {}
    low, high = (0.0, 0.0) if option is production else option.on_test.ci95
    return {"test_delta": option.on_test.delta, "test_low": low, "test_high": high}


def _prices(option: Option, production: Option, prices: Prices, documents: int) -> dict[str, float | None]:
    """Return what an option costs at production's size; None wherever a part of it was not measured."""
    found: dict[str, float | None] = {"query_ms": option.query_ms}
    if option.query_ms is not None and production.query_ms is not None:
        found["added_ms"] = option.query_ms - production.query_ms
    if option.bytes_a_document is None:
        return found
    index_gb = option.bytes_a_document * documents / 1e9
    found["index_gb"] = index_gb
    if option.query_ms is not None:
        hours = prices.monthly_queries * option.query_ms / 1000 / HOUR
        found["monthly"] = index_gb * prices.storage_price + hours * prices.machine_price
    found["once"] = _once(option, index_gb, prices, documents)
    return found


def _once(option: Option, index_gb: float, prices: Prices, documents: int) -> float | None:
    """Return the price of encoding the corpus and of keeping the old index beside the new one."""
    if option.reembed != DOCUMENTS:
        return 0.0
    if option.seconds_a_document is None:
        return None
    encoding = documents * option.seconds_a_document / HOUR * prices.machine_price
    return encoding + index_gb * prices.storage_price * prices.old_index_days / MONTH_DAYS


def best_for_the_money(table: pd.DataFrame, least: float) -> str:
    """Return the sentence on top of the options: the cheapest that surely gains enough, and what the most would cost.

    Args:
        table: see :func:`option_table`.
        least: the smallest gain that pays.
    """
    priced = table[table["monthly"].notna() & table["once"].notna()]
    enough = priced[priced["surely"]].sort_values(["once", "monthly", "query_ms"], kind="stable")
    if enough.empty:
        return f"No option that was measured surely gains {least:+.3f} on dev over what answers today."
    cheapest = enough.iloc[0]
    said = f"Best for the money is **{cheapest['option']}**: {_gain(cheapest)} on dev for {_money(cheapest)}."
    most = enough.sort_values("delta", ascending=False, kind="stable").iloc[0]
    if most["option"] == cheapest["option"]:
        return f"{said} Nothing that was measured and priced surely gains more."
    return f"{said} The most is gained by **{most['option']}**: {_gain(most)} for {_money(most)}."


def _gain(row: pd.Series) -> str:
    return with_interval(row["delta"], (row["ci_low"], row["ci_high"]))


def _money(row: pd.Series) -> str:
    return f"{money(row['once'])} once and {money(row['monthly'])} a month"


# --- what earlier steps measured --------------------------------------------------------------------


def _as_now(milliseconds: float | None, then: float | None, now: float | None) -> float | None:
    """Return a time that another step took, as long as it would take now.

    A machine that is busy in one step and idle in another makes their times unlike; today's model was timed in both.

    Args:
        milliseconds: of a query, in that step.
        then: of today's model in that step.
        now: of today's model in this one; None, or 0 for either: the time stays as it is.
    """
    if milliseconds is None or not then or not now:
        return milliseconds
    return milliseconds * now / then


def rung_options(facts: Facts, documents: int, bytes_a_document: float, today_ms: float | None = None) -> list[Option]:
    """Return the remedies of step 02, those that could not be run there included.

    Args:
        facts: of the run.
        documents: of the collection.
        bytes_a_document: of today's index.
        today_ms: of a query by today's model alone, timed beside the other options; what 02 timed is scaled to it.
    """
    ladder, scores = _table(facts, confirm_need.LADDER), _table(facts, confirm_need.PER_QUERY).set_index("query_id")
    took = facts.decision(confirm_need.LADDER.step, confirm_need.MILLISECONDS) or {}
    embedding = facts.decision(confirm_need.LADDER.step, confirm_need.SECONDS) or {}
    found = []
    for row in ladder.to_dict("records"):
        # Step 03 measured other base models more closely.
        if row["kind"] == "stronger base":
            continue
        if row["status"] != MEASURED:
            found.append(Option(row["rung"], confirm_need.LADDER.step, status=row["status"]))
            continue
        anew = row["kind"] in EMBEDS_ANEW
        found.append(
            Option(
                name=row["rung"],
                step=confirm_need.LADDER.step,
                scores=scores[row["rung"]],
                query_ms=_as_now(took.get(row["rung"]), took.get(TODAY), today_ms),
                bytes_a_document=bytes_a_document + row["added_bytes"] / documents,
                seconds_a_document=embedding.get(row["rung"]) if anew else 0.0,
                reembed=DOCUMENTS if anew else NOTHING,
            )
        )
    return found


def candidate_options(facts: Facts, today_ms: float | None = None) -> list[Option]:
    """Return the other base models of step 03, and today's in other forms, those that could not be had included.

    Args:
        facts: of the run.
        today_ms: as in :func:`rung_options`; what 03 timed is scaled to it.
    """
    table = _table(facts, choose_base_model.CANDIDATES)
    scores = _table(facts, choose_base_model.PER_QUERY).set_index("query_id")
    speed = facts.decision(choose_base_model.CANDIDATES.step, "speed") or {}
    today, step = table["model"].iloc[0], choose_base_model.CANDIDATES.step
    found = []
    for row in table.iloc[1:].to_dict("records"):
        # Without what stands before the last slash, such as an organization or a folder.
        name = f"base {row['model'].rsplit('/', 1)[-1]}"
        if row["status"] != MEASURED:
            found.append(Option(name, step, status=row["status"]))
            continue
        # Today's vectors in another form are made from those that are there.
        is_form = str(row["model"]).startswith(f"{today}@")
        rate = speed.get(row["model"], [None])[0]
        seconds = 0.0 if is_form else None if not rate else 1 / rate
        anew = NOTHING if is_form else DOCUMENTS
        own, took = scores[row["model"]], _as_now(row["query_ms"], table["query_ms"].iloc[0], today_ms)
        found.append(Option(name, step, own, False, took, row["bytes_per_document"], seconds, anew))
    return found


def mix_options(facts: Facts, query_ms: float | None, bytes_a_document: float, seconds: float | None) -> list[Option]:
    """Return the mixes of tuned and base weights that step 14 tried beside the one that became the tuned model."""
    scores = _table(facts, train.MIXES).set_index("query_id")
    training, found = facts.read(train.Training), []
    for share in scores.columns:
        if training is None or float(share) != training.share:
            name = f"tuned, {float(share):.0%} of the way from the base"
            own = Option(name, train.MIXES.step, scores[share], True, query_ms, bytes_a_document, seconds, DOCUMENTS)
            found.append(own)
    return found


def adapter_option(facts: Facts, query_ms: float | None, bytes_a_document: float) -> Option:
    """Return the untuned base with step 14's adapter of its queries.

    Args:
        facts: of the run.
        query_ms: of the base alone; the adapter multiplies one vector by one matrix.
        bytes_a_document: of the base's index, which stays.
    """
    scores = _table(facts, train.ADAPTER).set_index("query_id")["adapted"]
    return Option("base, adapted queries", train.ADAPTER.step, scores, True, query_ms, bytes_a_document, 0.0, QUERIES)


def system_scores(facts: Facts, metric: str, part: str) -> pd.DataFrame:
    """Return what every system of step 15 scored on a part: a row a query, a column a system."""
    table = _table(facts, evaluate.PER_QUERY)
    return table[table["part"] == part].pivot(index="query_id", columns="system", values=metric)


def _table(facts: Facts, table: Table) -> pd.DataFrame:
    return table.read(facts.store.path(table.step, table.file))
