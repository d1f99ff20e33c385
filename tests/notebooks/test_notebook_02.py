"""Step 02 on planted collections: each failing query gets the cause that was planted, and the remedy is recommended."""

import json

import pandas as pd
import pytest
from conftest import ANIMALS, PLACES, embedlab_here, write_beir
from planted_models import shallow_minilm
from tiny_causal import save_tiny_causal

from embedlab.data import fold, read_raw

pytestmark = [pytest.mark.chain, pytest.mark.model]

PAIRS = [(animal, place) for place in PLACES.split() for animal in ANIMALS.split()]

TERMS = 150


def stems(text):
    return {word[:5] for word in fold(text).split() if len(word) > 3}


def terms(in_other_words=False):
    """Return so many terms of the packaged ontology as documents, and a layperson's words for each.

    ``in_other_words``: only those of which no longer word begins as one of the document does: words find nothing.
    """
    raw = read_raw("hpo")
    asked = raw.queries[raw.queries["kind"] == "layperson"].merge(raw.qrels, on="query_id").drop_duplicates("doc_id")
    corpus = raw.corpus.set_index("doc_id")
    asked = asked[asked["doc_id"].map(corpus["text"]).str.split().str.len() > 8]
    asked = asked.assign(document=asked["doc_id"].map(corpus["title"] + ". " + corpus["text"]))
    if in_other_words:
        pairs = zip(asked["text"], asked["document"], strict=True)
        asked = asked[[bool(stems(said)) and stems(said).isdisjoint(stems(text)) for said, text in pairs]]
    asked = asked.head(TERMS)
    return asked["document"].tolist(), asked["text"].tolist()


def collection(documents, queries):
    corpus = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(documents)]
    asked = [{"_id": f"q{i}", "text": text} for i, text in enumerate(queries)]
    return corpus, asked, [(f"q{i}", f"d{i}", 1) for i in range(len(queries))]


def near_places(count=40):
    """Return so many plain documents, and a query for each."""
    pairs = PAIRS[:count]
    return collection(
        [f"the {animal} was near the {place}" for animal, place in pairs], [f"{a} near {p}" for a, p in pairs]
    )


class Confirmed:
    """What step 02 wrote."""

    def __init__(self, folder):
        self.folder = folder / "artifacts/02_confirm_need"
        self.need = json.loads((self.folder / "recommendation.json").read_text())
        self.attribution = pd.read_parquet(self.folder / "attribution.parquet").set_index("query_id")
        self.ladder = pd.read_parquet(self.folder / "ladder.parquet").set_index("rung")


def confirmed(tmp_path, corpus, queries, judgments, **settings):
    """Run steps 01 and 02 on a collection."""
    # The collection's own parts: documents that read alike would else be one group.
    parts = {"train": judgments[0::2], "dev": judgments[1::4], "test": judgments[3::4]}
    folder = write_beir(tmp_path / "data", corpus, queries, parts)
    brief = {"source": "beir", "path": folder, "run": "planted", "02.timed_queries": 1, "02.stronger": "[]", **settings}
    options = [word for key, value in brief.items() for word in ("--set", f"{key}={value}")]
    done = embedlab_here(tmp_path / "out", "run", "params/own_data.yaml", *options, "--to", "02")
    assert done.returncode == 0, done.stdout + done.stderr
    return Confirmed(tmp_path / "out/planted")


def test_answers_beyond_the_limit_are_lost_to_truncation_and_chunking_is_recommended(tmp_path):
    """Each answer stands behind a long text about something else, another one in every document."""
    answers, asked = terms(in_other_words=True)
    techniques = read_raw("attack").corpus["text"]
    before = [f"{techniques[i]} {techniques[i + 300]} {techniques[i + 600]}" for i in range(len(answers))]
    documents = [f"{' '.join(text.split()[:300])} {answer}" for text, answer in zip(before, answers, strict=True)]
    corpus, queries, judgments = collection(documents, asked)
    gone = {f"d{i}" for i in range(1, TERMS, 28)}
    corpus = [document for document in corpus if document["_id"] not in gone]
    found = confirmed(tmp_path, corpus, queries, judgments, **{"02.probe_steps": 4})
    causes = found.attribution["cause"]
    table = pd.read_parquet(found.folder.parent / "01_define_problem/queries.parquet")
    dev = set(table.loc[table["part"] == "dev", "query_id"])
    missing = {f"q{doc_id[1:]}" for doc_id in gone} & dev
    assert missing
    assert set(causes.index[causes == "not in the corpus"]) == missing
    assert (causes.drop(missing) == "lost to truncation").mean() > 0.5
    assert found.need["kind"] == "chunking"
    assert found.need["advice"] == "simpler, do not fine-tune"
    assert found.need["sentence"].startswith("Chunk, do not fine-tune")
    assert sum(found.need["causes"].values()) == found.need["failing"] == len(causes)


def test_exact_codes_are_a_matter_of_words_and_hybrid_search_is_recommended(tmp_path):
    """Half of the queries are codes, which no meaning tells apart; the others share no word with their answers."""
    meanings = {
        "The engine is too hot.": "overheated motor", "The door will not shut.": "gate stays ajar",
        "The screen is black.": "monitor shows nothing", "The battery is empty.": "accumulator flat",
        "The wheel is loose.": "tyre wobbles", "The pump is leaking.": "fluid escapes from compressor",
    }  # fmt: skip
    corpus, queries, judgments = [], [], []
    for i in range(90):
        code = f"X{7919 * (i + 3) % 9973:04d}-{104729 * (i + 11) % 9967:04d}"
        corpus.append({"_id": f"d{i}", "title": "", "text": f"Fault {code}: call the service."})
        queries.append({"_id": f"q{i}", "text": code})
        judgments.append((f"q{i}", f"d{i}", 1))
    for i, (said, asked) in enumerate(meanings.items()):
        corpus.append({"_id": f"m{i}", "title": "", "text": said})
        for j, place in enumerate(PLACES.split()[:8]):
            queries.append({"_id": f"p{i}{j}", "text": f"{asked}, {place}"})
            judgments.append((f"p{i}{j}", f"m{i}", 1))
    found = confirmed(tmp_path, corpus, queries, judgments, **{"02.probe_steps": 4})
    coded = found.attribution[found.attribution.index.str.startswith("q")]
    assert len(coded)
    assert (coded["cause"] == "fixed by a simpler rung").mean() > 0.9
    assert coded["fixed_by"].map(lambda fixes: "BM25" in list(fixes)).mean() > 0.9
    assert found.need["kind"] in ("hybrid", "stack")
    assert "hybrid" in found.need["simpler"]
    assert found.ladder.loc["BM25", "broken"] > found.ladder.loc[found.need["simpler"], "broken"]


def test_a_stronger_base_that_needs_no_tuning_is_recommended_over_tuning(tmp_path):
    weak = shallow_minilm(tmp_path / "weak", layers=1)
    settings = {"base_model": weak, "02.stronger": "[sentence-transformers/all-MiniLM-L6-v2]", "02.probe_steps": 4}
    found = confirmed(tmp_path, *collection(*terms()), **settings, **{"01.shown": 3})
    assert found.need["kind"] == "stronger base"
    assert found.need["advice"] == "simpler, do not fine-tune"
    assert found.need["sentence"].startswith("Take the stronger base, do not fine-tune")


def test_what_could_not_be_run_is_named_and_nothing_rests_on_it(tmp_path):
    settings = {"02.probe_steps": 0, "02.stronger": "[nobody/has-this]"}
    found = confirmed(tmp_path, *near_places(), **settings)
    assert found.need["advice"] == "cannot tell"
    assert found.need["tuning_gain"] is None
    row = found.ladder.loc["base nobody/has-this"]
    assert row["status"].startswith("not measured: ")
    assert pd.isna(row["delta"])
    assert "base nobody/has-this" in found.need["not_measured"]
    assert "cross-encoder" in found.need["not_measured"]


def test_a_language_model_says_queries_otherwise_and_is_timed_anew(tmp_path):
    writer = save_tiny_causal(tmp_path / "writer", positions=1024)
    found = confirmed(tmp_path, *near_places(), **{"02.phrasing": writer, "02.probe_steps": 1})
    rows = found.ladder.loc[["several phrasings", "hypothetical answer"]]
    assert (rows["status"] == "measured").all()
    assert (rows["added_ms"] > 20).all(), "a kept reply takes no time; these are 128 tokens, written one after another"


def test_a_language_model_that_cannot_be_loaded_is_a_row_that_says_so(tmp_path):
    (tmp_path / "none").mkdir()
    found = confirmed(tmp_path, *near_places(), **{"02.phrasing": tmp_path / "none", "02.probe_steps": 1})
    statuses = found.ladder.loc[["several phrasings", "hypothetical answer"], "status"]
    assert statuses.str.startswith("not measured").all()
    assert statuses.str.contains("none").all()
