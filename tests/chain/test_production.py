"""What answers today is what the contract names: a system of the user's model, BM25, or the rankings of an engine."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import embedlab_here
from makers import TUNED, UNTUNED, contract, settings
from toy_encoder import ToyEncoder

from embedlab.chain import Store, build_system, encoder_of, production_system, stand_in, systems
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.data import Collection
from embedlab.errors import IdentityError
from embedlab.files import sha256_file
from embedlab.retrieval import BM25, BM25_ALONE, Stages, systems_of

TEXTS = {"d1": "red fish", "d2": "blue bird", "d3": "red car"}
CORPUS = pd.DataFrame({"doc_id": list(TEXTS), "title": "", "text": list(TEXTS.values())})
QUERIES = pd.DataFrame({"query_id": ["q1", "q2"], "text": ["red fish", "bird"], "part": "dev", "group": ["g1", "g2"]})
QRELS = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["d1", "d2"], "relevance": 1})
DEV = Collection(CORPUS, QUERIES, QRELS)
LEXICAL = BM25(pd.Series(TEXTS))


def static(name, seed):
    encoder = ToyEncoder(name, seed)
    encoder.identity = replace(encoder.identity, max_length=0)  # without token vectors, which a reranker would need
    return encoder


TODAY, CHOSEN = static("today", 0), static("chosen", 1)
OF_BASE = systems_of("base", CHOSEN.identity.weights, 0.5, UNTUNED["pipeline"].settings)


@pytest.fixture
def lab(monkeypatch):
    """A step's handle whose base is another model than the one that the user has today."""

    def model(_, name=None):
        return CHOSEN if name is None else TODAY

    monkeypatch.setattr(systems, "lab_model", model)
    monkeypatch.setattr(systems, "tuned_model", lambda _: static("tuned", 2))
    return SimpleNamespace(contract=contract(), settings=settings(base_model="today"))


def chosen(lab, kind, of_base=OF_BASE):
    lab.contract = contract(production=kind)
    return production_system(lab, DEV, LEXICAL, of_base, lambda run: float(len(run)), Stages())


@pytest.mark.parametrize(("kind", "name"), [("dense", "today"), ("hybrid", "hybrid (today)")])
def test_production_is_of_todays_model_where_another_base_was_chosen(lab, kind, name):
    found = chosen(lab, kind)
    assert (found.name, found.model, found.weights) == (name, "today", TODAY.identity.weights)


def test_production_is_the_bases_own_system_where_the_base_is_todays_model(lab, monkeypatch):
    monkeypatch.setattr(systems, "lab_model", lambda *_: CHOSEN)
    assert chosen(lab, "pipeline") == OF_BASE["pipeline"]


def test_bm25_is_a_production_without_a_model(lab):
    assert chosen(lab, "bm25") == BM25_ALONE


def test_an_engine_is_known_by_its_rankings_and_something_stands_in_for_it(lab, tmp_path):
    path = tmp_path / "engine.run"
    path.write_text("q1 Q0 d1 1 1.0 engine\n")
    engine = chosen(lab, str(path))
    assert (engine.kind, engine.weights) == ("run", sha256_file(path))
    stands = stand_in(engine, TUNED["pipeline"], CHOSEN)
    assert (stands.model, stands.settings) == ("base", TUNED["pipeline"].settings)
    assert stand_in(OF_BASE["dense"], TUNED["pipeline"], CHOSEN) == OF_BASE["dense"]
    with pytest.raises(ValueError, match="no settings to build it from"):
        build_system(lab, engine, CORPUS, LEXICAL)


def test_a_frozen_system_answers_with_its_own_model_and_stages(lab):
    built = build_system(lab, chosen(lab, "hybrid"), CORPUS, LEXICAL)
    assert built.encoder is TODAY
    assert built.settings.weight == chosen(lab, "hybrid").settings.weight


@pytest.mark.parametrize("system", [OF_BASE["dense"], TUNED["dense"]], ids=["base", "tuned"])
def test_a_model_that_changed_since_it_was_frozen_is_refused(lab, system):
    changed = replace(system, weights="f" * 64)
    with pytest.raises(IdentityError, match=r"was frozen with the weights ffffffffffff, its model has .* now"):
        encoder_of(lab, changed)


@pytest.mark.full
@pytest.mark.chain
def test_a_run_against_the_rankings_of_an_engine_finds_the_gain_over_them(smoke, tmp_path):
    found = smoke.folder / "artifacts/05_establish_baseline"
    engine = tmp_path / "engine.run"
    engine.write_text("".join((found / f"base_{part}.run").read_text() for part in ("dev", "test")))
    copied = smoke.copy(tmp_path / "outputs")
    words = ("run", "params/smoke.yaml", "--set", f"01.production={engine}", "--set", "01.proposed=hybrid")
    done = embedlab_here(copied.outputs, *words)
    assert done.returncode == 0, done.stderr
    store = Store(copied.folder)
    evaluated, alone = store.artifact(Evaluation), Store(smoke.folder).artifact(Evaluation)
    assert store.artifact(Baseline).production.kind == "run"
    assert evaluated.proposed.name == "hybrid (tuned)"
    # The engine's rankings are the base's, so the gain over it is that over the base.
    assert evaluated.versus_production.baseline == pytest.approx(alone.comparison.baseline)
    assert copied.verdict()["production"] == "the engine"
