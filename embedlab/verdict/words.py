"""The verdict in plain English, made from its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedlab.evaluation.results import with_interval

WORDS = {"SHIP": "SHIP", "DO_NOT_SHIP": "DO NOT SHIP", "INCONCLUSIVE": "INCONCLUSIVE"}

SUCCESS = "The process worked: today's model stays, and this was known before anything was re-embedded in production."


def sentence(verdict: Mapping[str, Any]) -> str:
    """Return the verdict and what to do, then the gains that decide, then what stands in the way of it or limits it."""
    clauses = [_measured(verdict), *over_simpler(verdict), *beside(verdict), *costs(verdict)]
    lead = f"{WORDS[verdict['verdict']]}: {verdict['recommend']['sentence']}"
    return " ".join([lead, f"{capitalize('; '.join(clauses))}.", *limits(verdict)])


def capitalize(text: str) -> str:
    """Return the text with its first letter upper case; a name such as ``nDCG@10`` stays as it is."""
    first = text.split(" ", 1)[0]
    return text if first != first.lower() else text[:1].upper() + text[1:]


def limits(verdict: Mapping[str, Any]) -> list[str]:
    """Return what blocks the verdict, makes it narrow or unsure, or would settle it: a sentence each.

    The last one says that a run which ends in "do not ship" has done its job.
    """
    found = _carried(verdict)
    if verdict["blocked_by"]:
        found.append(f"Blocked by {'; '.join(verdict['blocked_by'])}.")
    found += [f"Unsettled is {what}." for what in verdict.get("unsettled", [])]
    narrow = (verdict.get("concentration") or {}).get("narrow")
    if narrow:
        found.append(f"The gain is narrow: without {' or without '.join(narrow)} it may be below the minimum.")
    for waiver in verdict.get("waived", []):
        found.append(f"Waived by contract is {waiver['guard']} ({waiver['so']}): {waiver['reason']}.")
    skipped = ", ".join(verdict.get("not_measured", {}))
    if skipped:
        found.append(f"Not measured, so nothing is claimed about: {skipped}.")
    # With a broken seal the numbers are not to be trusted, so nothing was known before.
    untrusted = any(reason.startswith("seal") for reason in verdict["blocked_by"])
    if verdict["verdict"] == "DO_NOT_SHIP" and not untrusted:
        found.append(SUCCESS)
    return found


def _measured(verdict: Mapping[str, Any]) -> str:
    kept = (
        "training did not gain enough on validation and dev, so step 14 kept the base model; "
        if _kept_base(verdict)
        else ""
    )
    found = verdict["versus_production"]
    return (
        f"{kept}on {found['n_queries']:,} sealed queries in {found['n_groups']:,} groups {verdict['primary_metric']} "
        f"goes from {found['baseline']:.3f} ({verdict['production']}, today) to {found['candidate']:.3f} "
        f"({verdict['proposed']}), {gain_in_words(found)}; at least {found['min_gain']:+.3f} was asked for "
        f"({verdict['claim']})"
    )


def over_simpler(verdict: Mapping[str, Any]) -> list[str]:
    """Return the gain over the best system without tuning; nothing where that is what answers today."""
    if verdict["simpler"] == verdict["production"]:
        return []
    found = verdict["versus_simpler"]
    return [
        f"over {verdict['simpler']}, the best without tuning, it gains {gain_in_words(found)}; "
        f"{found['min_gain']:+.3f} was asked for"
    ]


def gain_in_words(found: Mapping[str, Any]) -> str:
    """Return a gain of the verdict with its 95 % interval and, where that is another, the one that decides."""
    text = f"{with_interval(found['delta'], found['ci95'])} at 95 %"
    if found["ci"] != found["ci95"]:
        low, high = found["ci"]
        text += f", [{low:+.3f}, {high:+.3f}] at the {100 * found['confidence']:.1f} % that decides"
    return text


def _carried(verdict: Mapping[str, Any]) -> list[str]:
    """Return what carries the comparison where training may not use held-out documents' texts."""
    if verdict.get("transductive", True) or _kept_base(verdict):
        return []
    why = "By contract training used no held-out document's text, which favours just these in the test"
    unseen = verdict.get("unseen_only")
    if unseen is None:
        return [f"{why}; the check among unseen documents, which would carry the comparison, was not made."]
    return [f"{why}, so the check among unseen documents carries the comparison: {unseen_sentence(unseen)}."]


def unseen_sentence(found: Mapping[str, Any]) -> str:
    """Return in words what the trap check found; see :func:`~embedlab.evaluation.among_unseen`."""
    return f"{found['state']}, {found['reason']}"


def _kept_base(verdict: Mapping[str, Any]) -> bool:
    return verdict.get("kept") == "base"


def beside(verdict: Mapping[str, Any]) -> list[str]:
    """Return the gain of the model alone, who gains and loses, and which opening it was."""
    found = []
    low, high = verdict["ci95"]
    found.append(f"the tuned model alone changes the base alone by {verdict['delta']:+.3f} [{low:+.3f}, {high:+.3f}]")
    spread = verdict.get("concentration")
    if spread is not None:
        found.append(f"{spread['improved']:.0%} of the queries get better and {spread['hurt']:.0%} worse")
    if verdict.get("registry") is not None:
        found.append(opening_words(verdict["registry"]))
    return found


def opening_words(found: Mapping[str, Any]) -> str:
    """Return which opening of its test a run's was, such as ``opening 2 of 3 of this test``."""
    if found["opening"] > found["allowed"]:
        return f"opening {found['opening']} of this test, {found['allowed']} allowed"
    return f"opening {found['opening']} of {found['allowed']} of this test"


def costs(verdict: Mapping[str, Any]) -> list[str]:
    """Return what shipping costs, where the steps measured it."""
    price = verdict.get("price")
    if not price or _kept_base(verdict):
        return []
    if price["migration"] is None or price["monthly"] is None:
        return []
    hours = f"{price['hours']:,.1f} hours" if price["hours"] >= 0.1 else "minutes"
    return [
        f"re-embedding {price['documents']:,} documents takes {hours}; it costs {money(price['migration'])} once, "
        f"the old index kept {price['old_index_days']} days, and {money(price['monthly'])} a month"
    ]


def retention_sentence(found: Mapping[str, Any] | None) -> str:
    """Return in words what was measured on the retention set; see :func:`~embedlab.evaluation.compare_retention`."""
    if found is None:
        return "general ability was not measured, for the package with the other domain is not installed"
    low, high = found["ci95"]
    tolerance = found["tolerance"]
    if low >= -tolerance:
        said = "within"
    elif high < -tolerance:
        said = "beyond"
    else:
        said = "not surely within"
    return (
        f"on {found['queries']:,} queries of {found['set']}, another domain, {found['metric']} changes by "
        f"{found['delta']:+.3f} [{low:+.3f}, {high:+.3f}], {said} the accepted loss of {tolerance:.3f}"
    )


def money(amount: float) -> str:
    """Return an amount with two digits; what they would show as nothing is said to be little."""
    if amount >= 0.01 or amount == 0:
        return f"{amount:,.2f}"
    return "under 0.01"  # two digits would say that it costs nothing
