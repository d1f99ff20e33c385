"""What stands beside the primary measure: guardrail slices, unseen documents, concentration."""

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, command
from makers import contract, evaluation

import embedlab
from embedlab.data import Collection
from embedlab.evaluation import (
    Comparison,
    among_unseen,
    compare_scores,
    concentration,
    holm,
    per_query,
    slice_table,
)
from embedlab.evaluation.intervals import gain
from embedlab.retrieval import Dense
from embedlab.verdict.facts import Facts
from embedlab.verdict.rule import blockers, decide

IDS = [f"q{i:03d}" for i in range(200)]
GROUPS = {q: f"g{i // 4}" for i, q in enumerate(IDS)}
BASE = pd.Series(0.5, index=IDS)
TOLERANCE = 0.05


def noise(seed: int, spread: float = 0.1) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(0, spread, len(IDS)), index=IDS)


def slices(**shares: int) -> pd.DataFrame:
    """Return one slice a name with so many queries, each from another place on."""
    return pd.DataFrame(
        {name: [7 * n <= i < 7 * n + size for i in range(len(IDS))] for n, (name, size) in enumerate(shares.items())},
        index=IDS,
    )


def table(members, after, guardrails=("one",), smallest=20) -> pd.DataFrame:
    return slice_table(members, BASE, after, GROUPS, guardrails, TOLERANCE, smallest).set_index("slice")


# --- guardrail slices ----------------------------------------------------------------------------


def test_a_guardrail_with_a_loss_beyond_its_tolerance_is_lost():
    members = slices(one=80)
    after = BASE + noise(1) - 0.2 * members["one"]
    row = table(members, after).loc["one"]
    assert row["state"] == "lost"
    assert row["p_holm"] < 0.001
    assert row["high"] < -0.05


def test_a_guardrail_that_keeps_its_score_is_held():
    assert table(slices(one=120), BASE + noise(2)).loc["one", "state"] == "held"


def test_a_loss_within_the_tolerance_is_not_lost():
    members = slices(one=150)
    assert table(members, BASE + noise(3) - 0.03 * members["one"]).loc["one", "state"] == "held"


def test_a_guardrail_that_is_too_small_says_so_whatever_it_lost():
    members = slices(one=5)
    row = table(members, BASE - 0.4 * members["one"]).loc["one"]
    assert (row["state"], row["queries"]) == ("too small to tell", 5)
    assert np.isnan(row["p"])


def test_a_guardrail_that_no_test_query_is_in_is_listed_as_too_small():
    assert table(slices(one=50), BASE, ["matrix=ics"]).loc["matrix=ics", ["queries", "state"]].tolist() == [
        0,
        "too small to tell",
    ]


def test_a_wide_loss_is_unsure():
    members = slices(one=24)
    assert table(members, BASE + noise(4, 0.5) - 0.05 * members["one"]).loc["one", "state"] == "too small to tell"


def test_several_guardrails_are_corrected_together():
    names = {f"s{i}": 60 for i in range(8)}
    found = table(slices(**names), BASE + noise(5) - 0.07, list(names))
    adjusted = holm(found["p"].to_dict())
    assert found["p_holm"].to_dict() == pytest.approx(adjusted)
    assert (found["p_holm"] > found["p"]).any()


def test_other_slices_are_shown_and_not_judged_and_small_ones_left_out():
    found = table(slices(one=40, two=40, three=5), BASE + noise(6) - 0.3)
    assert list(found.index) == ["one", "two"]
    assert not found.loc["two", "guardrail"]
    assert pd.isna(found.loc["two", "state"])


def loss_p(difference, labels, tolerance) -> float:
    """Return the p-value of "the loss is at most the tolerance", as slices are judged by."""
    return gain(difference, labels).p_value(-tolerance, "less")


def test_the_loss_test_is_no_sharper_than_a_t_test_where_every_query_is_its_own_group():
    from scipy import stats as scipy_stats

    difference = noise(7).to_numpy() - 0.06
    expected = scipy_stats.ttest_1samp(difference, -0.05, alternative="less").pvalue
    assert expected <= loss_p(difference, IDS, 0.05) <= expected + 0.01


def test_the_loss_test_keeps_its_level_where_queries_come_in_groups():
    rng, groups = np.random.default_rng(8), [str(i // 10) for i in range(200)]
    hits = [
        loss_p(np.repeat(rng.normal(-0.05, 0.1, 20), 10) + rng.normal(0, 0.02, 200), groups, 0.05) < 0.05
        for _ in range(300)
    ]
    assert np.mean(hits) <= 0.085


@pytest.mark.parametrize(("queries", "lost"), [(40, False), (400, True)])
def test_equal_losses_beyond_the_tolerance_are_sure_only_of_many_queries(queries, lost):
    labels = [str(i) for i in range(queries)]
    assert (loss_p(np.full(queries, -0.06), labels, 0.05) < 0.05) == lost
    assert loss_p(np.full(queries, -0.04), labels, 0.05) == 1.0
    assert loss_p(np.full(queries, -0.06), ["one"] * queries, 0.05) == 1.0, "one group alone says nothing"


# --- concentration -------------------------------------------------------------------------------


def test_a_gain_from_one_slice_is_narrow_and_names_it():
    members = slices(one=40, two=90)
    found = concentration(noise(1, 0.05) + 0.4 * members["one"], GROUPS, members, 0.02)
    assert found.without_best_slice.name == "one"
    assert found.without_best_slice.delta == pytest.approx(0.0, abs=0.02)
    assert found.narrow == ("one",)


def test_a_gain_from_one_group_is_narrow_and_names_it():
    groups = {q: "big" if i < 40 else f"g{i}" for i, q in enumerate(IDS)}
    gain = noise(2, 0.02) + np.where(np.arange(200) < 40, 0.15, 0.021) + 0.004
    whole = concentration(gain, groups | {q: q for q in IDS}, slices(two=90).iloc[:, :0], 0.025)
    found = concentration(gain, groups, slices(two=90).iloc[:, :0], -0.1)
    assert whole.narrow == ()
    assert found.without_best_group.name == "group big"
    assert found.without_best_group.delta == pytest.approx(0.025, abs=0.005)
    assert found.without_best_slice is None


def test_a_gain_from_everywhere_is_not_narrow():
    found = concentration(noise(3, 0.05) + 0.1, GROUPS, slices(one=40, two=90), 0.02)
    assert found.narrow == ()
    assert found.without_best_slice.ci[0] >= 0.02


def test_a_gain_that_was_not_sure_before_is_not_called_narrow():
    members = slices(one=40)
    assert concentration(noise(4, 0.3) + 0.05 * members["one"], GROUPS, members, 0.05).narrow == ()


def test_a_slice_with_most_of_the_queries_is_never_left_out():
    members = slices(most=150, few=30)
    assert concentration(noise(5) + 0.3 * members["most"], GROUPS, members, 0.02).without_best_slice.name == "few"


def test_shares_improved_and_hurt_count_queries():
    difference = pd.Series([0.1] * 100 + [0.0] * 60 + [-0.1] * 40, index=IDS)
    found = concentration(difference, GROUPS, slices(one=40), 0.0)
    assert (found.improved, found.hurt) == (0.5, 0.2)


# --- among unseen documents ----------------------------------------------------------------------

WIDTH = 24


class Noisy:
    """An encoder whose query q7 lies near its document d7, by ``signal``."""

    name = "noisy"

    def __init__(self, signal: float) -> None:
        self.signal = signal

    def encode(self, texts, kind="document"):
        rows = []
        for text in texts:
            own = np.random.default_rng(int(text[1:])).normal(size=WIDTH)
            other = np.random.default_rng(int(text[1:]) + (10**6 if kind == "query" else 2 * 10**6)).normal(size=WIDTH)
            rows.append(self.signal * own + other if kind == "query" else own)
        vectors = np.array(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Pushed:
    """Another encoder with ``by`` added to the score of every document that training did not see."""

    name = "pushed"

    def __init__(self, base, unseen_texts, by: float) -> None:
        self.base, self.unseen, self.by = base, set(unseen_texts), by

    def encode(self, texts, kind="document"):
        vectors = self.base.encode(texts, kind)
        extra = np.ones(len(texts)) if kind == "query" else [self.by * (text in self.unseen) for text in texts]
        return np.column_stack([vectors, np.asarray(extra, dtype=np.float32)])


@pytest.fixture(scope="module")
def closed():
    """A closed collection: 400 documents, 120 queries about the 120 that training did not see."""
    ids = [f"d{i}" for i in range(400)]
    corpus = pd.DataFrame({"doc_id": ids, "title": ids, "text": ""})
    asked = [f"q{i}" for i in range(120)]
    queries = pd.DataFrame({"query_id": asked, "text": asked, "part": "test", "group": asked})
    qrels = pd.DataFrame({"query_id": asked, "doc_id": ids[:120], "relevance": 1})
    return Collection(corpus, queries, qrels), set(ids[120:])


def over_all(base, candidate, test, groups) -> Comparison:
    runs = [Dense(model, test.document_texts()).search(test.query_texts()) for model in (base, candidate)]
    scores = [per_query(test.qrels, run)["nDCG@10"] for run in runs]
    return compare_scores(*scores, min_gain=0.02, groups=groups)


def judge(found, unseen, store) -> tuple[str, list[str]]:
    """Decide as the verdict does, from the comparison and the unseen-only check alone."""
    done = evaluation(comparison=found, unseen_only=unseen, slices=[], retention=None)
    agreed = contract(min_gain=0.02)
    why = [reason for reason in blockers(Facts(store), done, agreed) if not reason.startswith("seal")]
    return decide(done, agreed, why), why


def test_a_model_that_only_pushes_training_documents_down_is_caught(closed, store):
    test, seen = closed
    base, groups = Noisy(0.7), {q: q for q in test.queries["query_id"]}
    pushed = Pushed(base, test.document_texts()[[d for d in test.corpus["doc_id"] if d not in seen]], 0.1)
    found = over_all(base, pushed, test, groups)
    unseen = among_unseen(base, pushed, test, seen, "nDCG@10", groups)
    verdict, why = judge(found, unseen, store)
    assert found.verdict == "SHIP", "any ordinary evaluation would ship the false gain"
    assert unseen.ci95 == pytest.approx([0, 0], abs=1e-6)
    assert unseen.moved.apart == pytest.approx(0.1, abs=1e-6)
    assert verdict == "DO_NOT_SHIP"
    assert why == ["unseen documents: gain +0.000 there, +0.020 required"]


def test_an_honest_gain_survives_among_unseen_documents(closed, store):
    test, seen = closed
    groups = {q: q for q in test.queries["query_id"]}
    base, better = Noisy(0.7), Noisy(1.2)
    unseen = among_unseen(base, better, test, seen, "nDCG@10", groups)
    assert unseen.ci95[0] > 0.02
    assert abs(unseen.moved.apart) < 0.05
    assert judge(over_all(base, better, test, groups), unseen, store) == ("SHIP", [])


def test_too_few_queries_with_an_unseen_document_cannot_tell(closed):
    test, seen = closed
    most = seen | {f"d{i}" for i in range(9, 120)}
    assert among_unseen(Noisy(1), Noisy(2), test, most, "nDCG@10", {q: q for q in test.queries["query_id"]}) is None


@pytest.mark.full
@pytest.mark.model
def test_the_false_gain_on_attack_is_reported_and_blocked(attack, store, tmp_path):
    """About a minute: the base's vectors of 839 documents and the test queries."""
    base = embedlab.load_model("sentence-transformers/all-MiniLM-L6-v2", "float32", tmp_path)
    test, trained = attack.part("test"), attack.part("train")
    groups = test.groups()
    seen = set(trained.qrels.loc[trained.qrels["relevance"] >= 1, "doc_id"])
    documents = test.document_texts()
    pushed = Pushed(base, documents[~documents.index.isin(list(seen))], 0.1)
    found = over_all(base, pushed, test, groups)
    unseen = among_unseen(base, pushed, test, seen, "nDCG@10", groups)
    assert 0.05 < found.delta < 0.15, "its size depends on the split"
    assert found.verdict == "SHIP"
    assert unseen.delta == pytest.approx(0, abs=1e-6)
    assert unseen.moved.apart == pytest.approx(0.1, abs=1e-5)
    assert judge(found, unseen, store)[0] == "DO_NOT_SHIP"


@pytest.mark.full
@pytest.mark.chain
@pytest.mark.model
def test_a_ruined_run_ends_in_do_not_ship_with_exit_code_1(tmp_path):
    """About three minutes: the smoke chain to step 15, trained with a learning rate that destroys the model."""
    words = ["run", str(PROJECT / "params/smoke.yaml"), "--set", "run=ruined", "--set", "14.learning_rate=0.5"]
    done = command(tmp_path, "embedlab", *words, "--to", "15")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = command(tmp_path, "embedlab", "check", str(tmp_path / "ruined"))
    assert checked.returncode == 1, checked.stdout
    assert "step 14 kept the base model" in checked.stdout
    assert "The process worked" in checked.stdout
