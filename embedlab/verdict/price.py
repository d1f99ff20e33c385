"""What shipping costs: once for the migration, and every month after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.define_problem import Settings
from embedlab.chain.artifacts.evaluate import Prices
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.errors import IntegrityError, shown
from embedlab.verdict.facts import Facts

HOUR, MONTH_DAYS, FLOAT_BYTES = 3600.0, 30.0, 4


@dataclass(frozen=True)
class Price:
    """The price of going on with the tuned model, in the currency of the prices given.

    Attributes:
        documents: to re-embed.
        hours: of encoding; None, as is all that rests on it, where nothing was measured.
        index_gb: size of the index.
        both_indexes_gb: size of both while the old one is kept.
        old_index_days: how long that is.
        encoding: price of the hours.
        old_index: price of keeping the old index.
        migration: both together.
        storage: of the index, a month.
        serving: encoding the queries of a month.
        labels: of a month.
        monthly: these three together.
    """

    documents: int
    hours: float | None
    index_gb: float
    both_indexes_gb: float
    old_index_days: int
    encoding: float | None
    old_index: float
    migration: float | None
    storage: float
    serving: float | None
    labels: float
    monthly: float | None


def price(facts: Facts) -> Price | None:
    """Return what shipping costs, None where no prices are known.

    Speeds are those that steps 17 and, before it, 03 measured and wrote down as their decision.
    """
    prices, settings, choice = facts.read(Prices), facts.read(Settings), facts.read(Choice)
    if prices is None or settings is None or choice is None:
        return None
    documents = prices.production_documents or settings.documents
    documents_a_second, seconds_a_query = speeds(facts, choice.model)
    index_gb = _bytes_a_document(facts, choice) * documents / 1e9
    hours = documents * _texts_a_document(facts) / documents_a_second / HOUR if documents_a_second else None
    encoding = None if hours is None else hours * prices.machine_price
    old_index = index_gb * prices.storage_price * prices.old_index_days / MONTH_DAYS
    storage = index_gb * prices.storage_price
    labels = prices.monthly_labels * prices.label_price
    serving = None
    if seconds_a_query:
        serving = prices.monthly_queries * seconds_a_query / HOUR * prices.machine_price
    return Price(
        documents=documents,
        hours=hours,
        index_gb=index_gb,
        both_indexes_gb=2 * index_gb,
        old_index_days=prices.old_index_days,
        encoding=encoding,
        old_index=old_index,
        migration=None if encoding is None else encoding + old_index,
        storage=storage,
        serving=serving,
        labels=labels,
        monthly=None if serving is None else storage + serving + labels,
    )


def _bytes_a_document(facts: Facts, choice: Choice) -> float:
    """Return the index size of one document: measured by step 17, before it four bytes a dimension."""
    built = facts.read(Reembedding)
    if built is not None:
        return built.mb_per_million  # megabytes a million documents are bytes a document
    return choice.identity.dimensions * FLOAT_BYTES


def _texts_a_document(facts: Facts) -> float:
    """Return how many texts of a document are encoded: more than one where it is cut into passages."""
    built = facts.read(Reembedding)
    return 1.0 if built is None else built.vectors / built.documents


def speeds(facts: Facts, model: str) -> tuple[float | None, float | None]:
    """Return documents encoded a second and seconds a query, as the steps wrote them down."""
    measured = facts.decision(Choice.step, "speed") or {}
    found: Any = measured.get(model, (None, None)) if isinstance(measured, dict) else measured
    rate = facts.decision(Reembedding.step, "documents per second")
    is_pair = isinstance(found, (list, tuple)) and len(found) == 2
    if not is_pair or not all(_is_speed(value) for value in (*found, rate)):
        raise IntegrityError(
            f"decisions.json of step {Choice.step} or {Reembedding.step}: no speeds: {shown([found, rate])}; delete it "
            "and run the step again, by --force"
        )
    return rate or found[0], found[1]


def _is_speed(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and value > 0)
