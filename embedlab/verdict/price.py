"""What shipping costs: once for the migration, and every month after it."""

from __future__ import annotations

from typing import Any

from embedlab.verdict.facts import Facts

PRICES = (
    "production_documents",
    "monthly_queries",
    "monthly_labels",
    "old_index_days",
    "machine_price",
    "storage_price",
    "label_price",
)
"""Parameters of step 15 that cost the way into production; the budgets stand in the contract."""

HOUR, MONTH_DAYS, FLOAT_BYTES = 3600.0, 30.0, 4


def price(facts: Facts) -> dict[str, Any] | None:
    """Return the price of going on with the tuned model, in the currency of step 15's prices.

    Speeds are those that step 17 (before it: step 03) measured and wrote down as its decision.

    Returns:
        documents, hours, size of the index and of both while the old one is kept, ``migration``
        (encoding, and the old index until it goes), ``monthly`` (storage, serving, labels); None
        where no prices are known. Hours and what rests on them are None where nothing was measured.
    """
    prices, settings = facts.json("15", "prices.json"), facts.json("01", "settings.json")
    choice, built = facts.json("03", "choice.json"), facts.json("17", "reembedding.json")
    if prices is None or settings is None or choice is None:
        return None
    documents = prices["production_documents"] or settings["documents"]
    speed, seconds = speeds(facts, choice["model"])
    if built is not None:
        index_gb = built["mb_per_million"] * documents / 1e9
    else:
        index_gb = choice["identity"]["dimensions"] * FLOAT_BYTES * documents / 1e9
    hours = documents / speed / HOUR if speed else None
    kept = index_gb * prices["storage_price"] * prices["old_index_days"] / MONTH_DAYS
    serving = prices["monthly_queries"] * seconds / HOUR * prices["machine_price"] if seconds else None
    storage, labels = index_gb * prices["storage_price"], prices["monthly_labels"] * prices["label_price"]
    return {
        "documents": documents,
        "hours": hours,
        "index_gb": index_gb,
        "both_indexes_gb": 2 * index_gb,
        "old_index_days": prices["old_index_days"],
        "encoding": hours * prices["machine_price"] if hours is not None else None,
        "old_index": kept,
        "migration": hours * prices["machine_price"] + kept if hours is not None else None,
        "storage": storage,
        "serving": serving,
        "labels": labels,
        "monthly": storage + serving + labels if serving is not None else None,
    }


def speeds(facts: Facts, model: str) -> tuple[float | None, float | None]:
    """Return documents encoded a second and seconds a query, as the steps wrote them down."""
    measured = facts.decision("03", "speed") or {}
    rate, seconds = measured.get(model, (None, None))
    return facts.decision("17", "documents per second") or rate, seconds


def breaches(costs: dict[str, Any] | None, contract: dict[str, Any]) -> list[str]:
    """Return which of the contract's cost budgets are broken, in words; an unknown cost breaks none."""
    found = []
    for what, key in (("migration cost", "migration"), ("monthly cost", "monthly")):
        cost, budget = (costs or {}).get(key), contract.get(f"{key}_budget")
        if cost is not None and budget is not None and cost > budget:
            found.append(f"{what}: {cost:,.2f}, {budget:,.2f} allowed")
    return found
