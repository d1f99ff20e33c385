"""Before anything is trained: which guards this collection can judge, and the chance of SHIP under the whole rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection as Ids
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from embedlab.chain.contract import Contract, waivers
from embedlab.chain.steps import get_step
from embedlab.evaluation.results import MIN_GROUPS, MIN_QUERIES
from embedlab.evaluation.retention import lacking_package
from embedlab.evaluation.statistics.power import chance_of_showing, effective_groups

if TYPE_CHECKING:
    from embedlab.data.collection import Collection


@dataclass(frozen=True)
class Foreseen:
    """One condition of SHIP, as far as it can be told before training.

    Attributes:
        name: as the contract's waivers call it; the two gains have none.
        queries: judged ones that it will rest on; None where it rests on none.
        groups: of theirs.
        chance: that it is held where the expected gain is the true one and nothing else changes; None where that
            depends on what is not measured yet.
        so: why it cannot be judged here; blank where it can.
    """

    name: str
    queries: int | None
    groups: int | None
    chance: float | None
    so: str = ""


def foresee(
    contract: Contract,
    test: Collection,
    train_documents: Ids[str],
    members: pd.DataFrame,
    error: float,
) -> list[Foreseen]:
    """Return the conditions of SHIP that rest on the test's queries: both gains, guardrail slices, the trap check.

    Args:
        contract: what was agreed.
        test: queries and judgments, no ranking.
        train_documents: ids of documents that answer a training query: training may have them as positives.
        members: slices of the test queries, a boolean column each, indexed by query id.
        error: standard error of one query's paired difference, see :func:`embedlab.evaluation.unit_error`.
    """
    groups = test.groups()
    gained, level = contract.expected_gain, contract.deciding_confidence
    every = list(test.queries["query_id"])

    def shown(name: str, ids: Sequence[str], true: float, least: float, confidence: float) -> Foreseen:
        sizes = Counter(groups[query_id] for query_id in ids)
        if len(ids) < MIN_QUERIES or len(sizes) < MIN_GROUPS:
            so = f"{len(ids)} queries in {len(sizes)} groups; {MIN_QUERIES} in {MIN_GROUPS} are needed"
            return Foreseen(name, len(ids), len(sizes), 0.0, so)
        worth = effective_groups(pd.Series(sizes))
        chance = chance_of_showing(error, len(ids), true, least, confidence, worth)
        return Foreseen(name, len(ids), len(sizes), chance)

    found = [
        shown("gain over production", every, gained, contract.min_gain, level),
        shown("gain over the best without tuning", every, gained, contract.tuning_gain, level),
    ]
    for name in contract.guardrail_slices:
        inside = list(members.index[members[name]]) if name in members else []
        found.append(shown(f"guardrail slice {name}", inside, 0.0, -contract.slice_tolerance, 0.95))
    unseen = [query_id for query_id, answers in test.relevant().items() if not answers <= set(train_documents)]
    found.append(shown("unseen documents", unseen, gained, 0.0, 0.95))
    return found


def foresee_later(
    source: str,
    dev: Collection,
    test: Collection,
    first_percent: int,
    fewest_groups: int,
    retention_path: str = "",
) -> list[Foreseen]:
    """Return the conditions that rest on something else, and whether it is there: retention, the rollout, monitoring.

    Args:
        source: of the collection; the other domain follows from it.
        dev: its queries are traffic, as the test's are.
        test: likewise.
        first_percent: share of the traffic in the rollout's first stage.
        fewest_groups: groups under which a stage waits.
        retention_path: the user's own other domain, blank for the packaged one.
    """
    package = "" if retention_path else lacking_package(source)
    retention = Foreseen("retention", None, None, None, f"the package {package} is not installed" if package else "")
    groups = len(set(dev.groups().values()) | set(test.groups().values()))
    at_first = math.floor(groups * first_percent / 100)
    too_few = f"about {at_first} groups at {first_percent} % of the traffic; {fewest_groups} are needed"
    rollout = Foreseen(get_step("21").gate_name, None, groups, None, too_few if at_first < fewest_groups else "")
    is_dated = "created" in test.queries and bool(test.queries["created"].notna().any())
    monitoring = Foreseen(get_step("22").gate_name, None, None, None, "" if is_dated else "queries carry no dates")
    return [retention, rollout, monitoring]


def chance_of_ship(found: Sequence[Foreseen], waived: Sequence[str]) -> float:
    """Return the chance that all conditions are held that can be sized before training: their product.

    Those that cannot be sized are taken to hold, and what is waived because it cannot be judged costs nothing. The two
    gains are usually both there or both not, so that their product errs on the careful side.
    """
    needless = waivers(waived)
    judged = [one for one in found if not (one.so and one.name in needless)]
    if any(one.so for one in judged):
        return 0.0
    return math.prod(one.chance for one in judged if one.chance is not None)
