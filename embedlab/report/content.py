"""What the front page says: every sentence is made from the run's own artifacts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from embedlab.chain.artifacts import establish_baseline, evaluate, test_pipeline
from embedlab.chain.artifacts.base import Kind, Summary
from embedlab.chain.artifacts.define_problem import Settings
from embedlab.chain.contract import Contract
from embedlab.chain.keys import stale_steps
from embedlab.chain.steps import LAST, STEPS, Step, proof_of
from embedlab.chain.store import FINISHED, Store
from embedlab.errors import IntegrityError
from embedlab.evaluation.need.ladder import MEASURED
from embedlab.files import read_json, why_no_file
from embedlab.report.charts import interval_chart, intervals_chart, systems_chart
from embedlab.verdict.facts import Facts
from embedlab.verdict.options import best_for_the_money
from embedlab.verdict.seeds import model_and_recipe
from embedlab.verdict.words import (
    beside,
    capitalize,
    costs,
    gain_in_words,
    limits,
    money,
    over_simpler,
    retention_sentence,
    unseen_sentence,
)

WORDS = {"SHIP": "Ship", "DO_NOT_SHIP": "Do not ship", "INCONCLUSIVE": "Inconclusive"}

SHOWN_FIGURES = 4

_PATH = re.compile(r"\s*(?:\(|in )artifacts/[^\s;,)]+\)?")

NAMES = {
    "train_test_separate": "Train and test separate",
    "heldout_improves": "Held-out metrics improve",
    "review_fewer_failures": "Review shows fewer important failures",
    "pipeline_tested": "Full pipeline tested",
    "reindexing_planned": "Re-embedding and re-indexing planned",
    "training_without_baseline": "Training without a baseline",
    "same_examples_for_training_and_evaluation": "The same examples for training and evaluation",
    "fine_tuning_to_fix_chunking": "Fine-tuning to fix chunking",
    "reindexing_without_rollback": "Re-indexing without rollback",
}
"""Titles of checks whose id does not read as one."""


def front_page(
    store: Store, verdict: Mapping[str, Any], refused: str, rendered: set[str], review: bool
) -> dict[str, Any]:
    """Return the values of the front page's template.

    Args:
        store: the run.
        verdict: the run's, checked; empty where there is none.
        refused: why there is none, though one was written.
        rendered: numbers of the steps whose notebook is rendered.
        review: whether the side-by-side review is in the report.
    """
    steps = store.manifest()["steps"]
    settings, contract = _read(store, Settings), _read(store, Contract)
    return {
        "title": store.folder.name,
        "run": store.folder.name,
        "verdict": verdict,
        "word": WORDS.get(verdict.get("verdict", ""), "No verdict" if refused else "No verdict yet"),
        "tone": {"SHIP": "good", "DO_NOT_SHIP": "bad"}.get(verdict.get("verdict", ""), "open"),
        "advice": (verdict.get("recommend") or {}).get("sentence", ""),
        "sentence": refused or verdict_sentence(verdict),
        # Where a final verdict stands no step is stale, so none has to be looked for.
        "caveats": caveats(verdict, stale_steps(store) if refused or verdict.get("stage") == "offline" else ()),
        "intervals": _intervals(verdict),
        "systems": systems_chart(_system_means(store, contract)),
        "checklist": [_check(row, "passed", rendered) for row in verdict.get("checklist") or []],
        "mistakes": [_check(row, "present", rendered) for row in verdict.get("mistakes") or []],
        "slices": _slices(verdict),
        "strata": _strata(verdict),
        "options": _options(store, contract),
        "cards": [card(store, step, steps.get(step.number, {}), rendered) for step in STEPS],
        "settings": settings,
        "contract": contract,
        "speaks_of": model_and_recipe(Facts(store)) if verdict else "",
        "machine": _machine(store),
        "total": duration(sum(float(e.get("seconds") or 0) for e in steps.values())),
        "finished": max((str(e.get("finished_at") or "") for e in steps.values()), default="")[:16].replace("T", " "),
        "review": review,
    }


def _intervals(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the drawing of each gain that decides, with what it is over."""
    if not verdict:
        return []
    over = {"what answers today": ("production", "versus_production")}
    if verdict["simpler"] != verdict["production"]:
        over["the best without tuning"] = ("simpler", "versus_simpler")
    return [
        {"over": f"{verdict[system]} ({what})", **interval_chart(verdict[gained])}
        for what, (system, gained) in over.items()
    ]


def contract_hash(store: Store) -> str:
    """Return the hash of the run's contract, empty where step 01 has not finished."""
    contract = _read(store, Contract)
    return "" if contract is None else contract.hash


def _machine(store: Store) -> dict[str, Any]:
    """Return how fast the machine of step 01 was; nothing where its file, which no result rests on, does not say it."""
    file = store.folder / store.place(Settings.step, "timings.json")
    if why_no_file(file):
        return {}
    found = read_json(file, dict, IntegrityError, "delete it: times are no results")
    speeds = [found.get(name) for name in ("fp32_gflops", "bf16_gflops", "threads")]
    return found if all(isinstance(speed, (int, float)) and math.isfinite(speed) for speed in speeds) else {}


def _read(store: Store, kind: type[Kind]) -> Kind | None:
    """Return a step's checked JSON artifact, None where the step is not finished."""
    return store.artifact(kind) if _has(store, kind.step, kind.file) else None


def _has(store: Store, number: str, name: str) -> bool:
    entry = store.entry(number)
    path = store.place(number, name)
    return entry.get("status") in FINISHED and path in {o["path"] for o in entry.get("outputs", [])}


def verdict_sentence(verdict: Mapping[str, Any]) -> str:
    """Return the gains that decide in words, each with its interval."""
    if not verdict:
        return "Step 15 has not run, so there is nothing to decide on yet."
    found = verdict["versus_production"]
    verb = "raises" if found["delta"] >= 0 else "lowers"
    beyond = "".join(f" {capitalize(clause)}." for clause in over_simpler(verdict))
    return (
        f"On {found['n_queries']:,} held-out queries {verdict['proposed']} {verb} {verdict['primary_metric']} by "
        f"{found['delta']:+.3f} over what answers today ({verdict['production']}), from {found['baseline']:.3f} to "
        f"{found['candidate']:.3f}: {gain_in_words(found)}; at least {found['min_gain']:+.3f} was asked for.{beyond}"
    )


def caveats(verdict: Mapping[str, Any], stale: Sequence[str] = ()) -> list[str]:
    """Return what stands beside the verdict: what blocks it, what it needs, what is still to come or out of date."""
    if not verdict:
        return _out_of_date(stale)
    found = limits(verdict) + [f"{capitalize(clause)}." for clause in beside(verdict)]
    unseen = verdict.get("unseen_only")
    if unseen and not any(unseen["reason"] in line for line in found):
        found.append(f"The check among documents that were no positive of training: {unseen_sentence(unseen)}.")
    if verdict.get("retention") and not any(retention_sentence(verdict["retention"]) in line for line in found):
        found.append(f"{capitalize(retention_sentence(verdict['retention']))}.")
    found += [f"{capitalize(clause)}." for clause in costs(verdict)]
    if verdict.get("stage") != "final":
        found.append(f"This verdict rests on the offline evaluation; the steps up to {LAST} can still change it.")
    return found + _out_of_date(stale)


def _out_of_date(stale: Sequence[str]) -> list[str]:
    if not stale:
        return []
    return [f"Out of date since something before them changed, and to be run again: steps {', '.join(stale)}."]


def _text(value: Any) -> str:
    """Return a reason as text, whether it is a sentence or a mapping with one."""
    if isinstance(value, Mapping):
        return " ".join(str(v) for v in value.values() if v is not None)
    return str(value)


def _check(row: Mapping[str, Any], key: str, rendered: set[str]) -> dict[str, Any]:
    """Return a row of the checklist or the mistakes; ``good`` is true, false or None (cannot tell)."""
    value = row.get(key)
    good = value if key == "passed" or value is None else not value
    evidence = _text(row.get("evidence") or "")
    number = proof_of(str(row["id"]))[0].number
    return {
        "name": NAMES.get(str(row["id"]), humanize(str(row["id"]))),
        "good": good,
        "evidence": capitalize(_PATH.sub("", evidence).strip()),
        "red_when": str(row.get("red_when") or ""),
        "step": number if number in rendered else "",
    }


def _slices(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [dict(s) for s in verdict.get("slices") or [] if isinstance(s, Mapping)]
    for row in rows:
        row["label"] = str(row.get("slice") or row.get("name") or row.get("id") or "")
        row["queries"] = row.get("n_queries", row.get("queries", row.get("n")))
        row["interval"] = row.get("ci95") or [row.get("low"), row.get("high")]
    return [r for r in rows if r.get("delta") is not None]


def _strata(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each difference that the verdict divides by what documents were in training its rows as texts."""
    found = []
    for name, divided in (verdict.get("strata") or {}).items():
        both = [(of_kind["name"], of_kind["queries"], of_kind) for of_kind in (divided["known"], divided["new"])]
        queries = sum(count for _, count, _ in both)
        mixed = f"in a mix with {divided['share']:.0%} about new documents, which decides"
        rows = [
            {"label": label, "queries": count, "delta": of["delta"], "interval": of["ci95"]}
            for label, count, of in [*both, (mixed, queries, divided)]
        ]
        found.append({"name": humanize(name), "rows": [row for row in rows if row["delta"] is not None]})
    return found


def _options(store: Store, contract: Contract | None) -> dict[str, Any]:
    """Return every option of step 18 with the drawing of its interval, and the best for the money; empty before it."""
    table = test_pipeline.OPTIONS
    if contract is None or not _has(store, table.step, table.file):
        return {}
    frame = table.read(store.path(table.step, table.file))
    measured = frame[frame["status"] == MEASURED].sort_values("delta", ascending=False, kind="stable")
    ends = intervals_chart(measured[["ci_low", "ci_high", "delta"]].to_dict("records"))
    rows = []
    for row, drawn in zip(measured.to_dict("records"), ends["rows"], strict=True):
        rows.append(row | {"drawn": drawn, "kind": "tuned" if row["tuned"] else "other"})
    skipped = frame[frame["status"] != MEASURED]
    return {
        "sentence": best_for_the_money(frame, contract.min_gain).replace("**", ""),
        "rows": [{str(name): _shown_number(str(name), value) for name, value in row.items()} for row in rows],
        "zero": ends["zero"],
        "undo": dict(zip(measured["reembed"], measured["undo"], strict=True)),
        "skipped": list(zip(skipped["option"], skipped["status"], strict=True)),
    }


def _shown_number(name: str, value: Any) -> Any:
    """Return None for a number that is missing, which templates tell from a number; money in words."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return money(value) if name in ("once", "monthly") else value


def _system_means(store: Store, contract: Contract | None) -> dict[str, float]:
    """Return the test score of every system, worst first; after training where it was evaluated, else before."""
    for table in (evaluate.PER_QUERY, establish_baseline.PER_QUERY):
        if contract is not None and _has(store, table.step, table.file):
            frame = table.read(store.path(table.step, table.file))
            test = frame[frame["part"] == "test"]
            means = test.groupby("system")[contract.primary_metric].mean()
            return {str(k): float(v) for k, v in means.sort_values().items()}
    return {}


def card(store: Store, step: Step, entry: Mapping[str, Any], rendered: set[str]) -> dict[str, Any]:
    """Return what the card of a step shows; a step that has not run says so."""
    summary = _summary(store, step)
    figures = list(summary.figures.items())[:SHOWN_FIGURES]
    return {
        "number": step.number,
        "title": step.title,
        "question": step.question,
        "status": str(entry.get("status", "not run")),
        "conclusion": summary.conclusion,
        "figures": [(humanize(name), figure(value)) for name, value in figures if value is not None],
        "seconds": duration(float(entry["seconds"])) if entry.get("seconds") else "",
        "link": f"notebooks/{step.number}.html" if step.number in rendered else "",
    }


def _summary(store: Store, step: Step) -> Summary:
    """Return what a step ended with, an empty one where it is not finished."""
    if not _has(store, step.number, "summary.json"):
        return Summary("", {})
    found = store.read(step.number, "summary.json")
    is_summary = isinstance(found, dict) and isinstance(found.get("figures"), dict)
    if not is_summary or not isinstance(found.get("conclusion"), str):
        place = store.place(step.number, "summary.json")
        raise IntegrityError(f"{place}: expected a conclusion and figures; run step {step.number} again, by --force")
    return Summary(found["conclusion"], found["figures"])


def humanize(name: str) -> str:
    """Return an identifier in words: ``dev_score`` as ``Dev score``."""
    return capitalize(re.sub(r"_+", " ", name).strip())


def figure(value: Any) -> str:
    """Return a key figure as text: three decimals, thousands separated, yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, (int, float)):
        return f"{int(value):,}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(figure(v) for v in value)}]"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {figure(v)}" for k, v in value.items())
    return str(value)


def duration(seconds: float) -> str:
    """Return a time in words: ``41 s`` or ``12 min 5 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
