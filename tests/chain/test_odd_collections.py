"""Five small odd collections through all 22 steps: each ends in a verdict that says what it rests on."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import ANIMALS, PLACES, write_beir
from own_chain import BRIEF, CODES, Finished, run_all

from embedlab.chain import STEPS

pytestmark = [pytest.mark.chain, pytest.mark.model, pytest.mark.full]

HINDI_ANIMALS = "ऊदबिलाव बिज्जू बगुला चीता गिलहरी नेवला बाज़ हिरन मछली कछुआ मोर भेड़िया"
HINDI_PLACES = "नदी जंगल घाटी पहाड़ बंदरगाह गाँव रेगिस्तान द्वीप झील हिमनद दलदल मैदान"


OPENINGS = (
    "who spotted the", "any sign of the", "where hides that", "was it really a", "footprints left by one",
    "a drawing of some", "please report every", "nobody saw the", "children fed this", "how large was a",
)  # fmt: skip
ENDINGS = (
    "by the river at dawn", "on the bank before the storm", "after all that rain", "with its young, river side",
    "when the ice broke", "in the film about our river", "last Tuesday morning", "as told by an angler",
    "under the bridge",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Words and sentences of one language: a document is about an animal at a place."""

    animals: str
    places: str
    title: str
    text: str
    asked: tuple[str, str]


ENGLISH = World(
    ANIMALS,
    PLACES,
    "{animal} {place}",
    "Report {number}: the {animal} was seen near the {place} at dusk.",
    ("who spotted {number} {animal} around {place}", "sightings by the {place} of any {animal} since {number}"),
)
HINDI = World(
    HINDI_ANIMALS,
    HINDI_PLACES,
    "{place} में {animal}",
    "सूचना {number}: शाम को {place} के पास {animal} देखा गया।",
    ("{place} के आसपास {number} {animal} किसने देखे", "{number} के बाद {animal} {place} पर कब दिखा था"),
)


def rows(world: World, documents: int = 60) -> tuple[list[dict], list[dict], list[tuple[str, str, int]]]:
    """Return so many documents, a query of each and a second one of every other, and their judgments."""
    pairs = [(a, p) for p in world.places.split() for a in world.animals.split()][:: 144 // documents][:documents]
    corpus, queries, judgments = [], [], []
    for i, (animal, place) in enumerate(pairs):
        words = {"animal": animal, "place": place}
        text = world.text.format(number=i * 7919, **words)
        corpus.append({"_id": f"d{i}", "title": world.title.format(**words), "text": text})
        for turn, form in enumerate(world.asked[: 1 + i % 2]):
            queries.append({"_id": f"q{i}-{turn}", "text": form.format(number=(i + turn) * 104729, **words)})
            judgments.append((f"q{i}-{turn}", f"d{i}", 1))
    return corpus, queries, judgments


def run_on(outputs: Path, run: str, corpus, queries, judgments) -> Finished:
    """Run all steps on these rows; whatever they are, what is said of the end must hold."""
    finished = run_all(outputs, write_beir(outputs / "data", corpus, queries, {"test": judgments}), run, BRIEF)
    assert set(finished.conclusions) == {step.number for step in STEPS}
    assert all(finished.conclusions.values())
    honest(finished.verdict)
    return finished


def honest(verdict: dict) -> None:
    """Assert what must hold for the verdict that was reached."""
    assert verdict["verdict"] in CODES
    assert verdict["stage"] == "final"
    gains = [verdict["versus_production"], verdict["versus_simpler"]]
    proven = all(gain["ci95"][0] >= gain["min_gain"] for gain in gains)
    if verdict["verdict"] == "SHIP":
        assert proven
        assert verdict["blocked_by"] == verdict["unsettled"] == []
    elif verdict["verdict"] == "INCONCLUSIVE":
        assert verdict["blocked_by"] == []
        assert verdict["unsettled"]
    else:
        assert verdict["blocked_by"] or any(gain["ci95"][1] < gain["min_gain"] for gain in gains)


def loaded(finished: Finished, name: str) -> pd.DataFrame:
    """Return a table that step 01 wrote."""
    return pd.read_parquet(finished.folder / "artifacts" / "01_define_problem" / f"{name}.parquet")


def test_numeric_metadata_with_gaps(tmp_path):
    corpus, queries, judgments = rows(ENGLISH)
    for i, row in enumerate(corpus):
        row["price"] = i / 4 if i % 3 else float("nan")
        row["code"] = i % 3 if i % 2 else f"{i % 3}"
        row["metadata"] = {"year": 2000 + i % 3} if i % 4 else {"tags": ["x"]}
    for i, row in enumerate(queries):
        if i % 3:
            row["year"] = 2000 + i % 3
    finished = run_on(tmp_path, "gaps", corpus, queries, judgments)
    assert set(loaded(finished, "corpus")["year"].dropna()) == {"2000", "2001", "2002"}
    findings = loaded(finished, "findings")
    assert {"code", "tags"} <= set(findings.loc[findings["kind"] == "metadata", "id"])


def test_ids_with_slashes_and_emoji(tmp_path):
    corpus, queries, judgments = rows(ENGLISH)
    for row in corpus:
        row["_id"] = f"../docs/{row['_id']}/\N{OTTER}"
    for row in queries:
        row["_id"] = f"\N{FIRE}/{row['_id']}?#&<é>"
    judgments = [(f"\N{FIRE}/{q}?#&<é>", f"../docs/{d}/\N{OTTER}", grade) for q, d, grade in judgments]
    finished = run_on(tmp_path, "ids", corpus, queries, judgments)
    assert loaded(finished, "qrels")["doc_id"].str.endswith("\N{OTTER}").all()


def test_two_documents_that_answer_all_queries(tmp_path):
    """The fewest that training can tell apart; one alone is refused when the collection is loaded."""
    corpus, _, _ = rows(ENGLISH)
    queries, judgments = [], []
    for i, opening in enumerate(OPENINGS):
        animal, doc_id = ("otter", "d0") if i < 6 else ("heron", "d1")
        for j, ending in enumerate(ENDINGS):
            queries.append({"_id": f"q{i}-{j}", "text": f"{opening} {animal} {ending}"})
            judgments.append((f"q{i}-{j}", doc_id, 1))
    finished = run_on(tmp_path, "two", corpus, queries, judgments)
    assert finished.verdict["claim"] == "new queries over known documents"


def test_titles_only(tmp_path):
    corpus, queries, judgments = rows(ENGLISH)
    for row in corpus:
        del row["text"]
    finished = run_on(tmp_path, "titles", corpus, queries, judgments)
    assert (loaded(finished, "corpus")["text"] == "").all()


def test_another_script_than_latin(tmp_path):
    finished = run_on(tmp_path, "hindi", *rows(HINDI))
    findings = loaded(finished, "findings")
    # Words that differ in their vowels alone are different words.
    assert findings[findings["kind"].str.startswith("same text")].empty
