"""Mining negatives: what is proposed, refused and kept, against plain numpy; about fifteen seconds."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st

import embedlab
from embedlab.data import Collection, fold, near_duplicate_documents
from embedlab.errors import DataError, EmbedlabError, ParameterError
from embedlab.models import load_model
from embedlab.retrieval import BM25
from embedlab.trainset import (
    CLOSE,
    Margin,
    checked,
    choose_margin,
    come_back,
    exclusions,
    hide,
    judged_rows,
    miners,
    named_quotas,
    only_held_out,
    read_rows,
)
from embedlab.trainset.miners import likeness

NL2BASH = PROJECT.parent / "shared" / "fixtures" / "nl2bash"
BASE = "sentence-transformers/all-MiniLM-L6-v2"


class Table:
    """An encoder that looks a text's vector up."""

    name = "table"

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, kind="document"):
        return np.array([self.vectors[t] for t in texts], dtype=np.float32).reshape(len(texts), -1)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def made(documents=200, queries=30, seed=0, dimensions=8, families=20):
    """Return a collection, its encoder and a row a query: random vectors, families in turn, one positive each."""
    rng = np.random.default_rng(seed)
    names, asked = [f"d{i:03d}" for i in range(documents)], [f"q{i:03d}" for i in range(queries)]
    vectors = unit(rng.normal(size=(documents + queries, dimensions)) + 0.3)
    texts = [f"text {n}" for n in names] + [f"asks {q}" for q in asked]
    corpus = pd.DataFrame({
        "doc_id": names, "title": "", "text": texts[:documents],
        "family": [f"f{i % families}" for i in range(documents)],
    })  # fmt: skip
    answers = [names[i] for i in rng.choice(documents, queries, replace=False)]
    frame = pd.DataFrame({"query_id": asked, "text": texts[documents:], "part": "train", "group": asked})
    qrels = pd.DataFrame({"query_id": asked, "doc_id": answers, "relevance": 1})
    collection = Collection(corpus, frame, qrels)
    return collection, Table(dict(zip(texts, vectors, strict=True))), judged_rows(collection)


def nothing(rows):
    return {q: {} for q in rows["query_id"]}


def mine(data, names, exclude=None, **more):
    collection, encoder, rows = data
    excluded = nothing(rows) if exclude is None else exclude
    return embedlab.mine_negatives(collection, rows, names, encoder=encoder, exclude=excluded, **more)


# --- one query and four documents, whose cosines are .7, .6, .3 and .1 ---------------------------


def small(corpus=None, **columns):
    texts = ["zero", "one", "two", "three"]
    vectors = dict(zip(texts, np.eye(4), strict=True)) | {"x": [0.7, 0.6, 0.3, 0.1]}
    frame = pd.DataFrame({"doc_id": ["d0", "d1", "d2", "d3"], "title": "", "text": texts, **(corpus or {})})
    qrels = pd.DataFrame({"query_id": [], "doc_id": [], "relevance": []}, dtype=object)
    row = {"query_id": "q", "query": "x", "positive_ids": ["d0"], "known_ids": ["d0", "d1"], **columns}
    return Collection(frame, pd.DataFrame(), qrels), Table(vectors), pd.DataFrame([row])


def test_a_known_answer_is_refused_counted_and_never_a_negative():
    mined = mine(small(), ["dense"], quotas=1)
    assert mined.negatives["doc_id"].tolist() == ["d2"]
    assert mined.refused[["doc_id", "reason"]].to_numpy().tolist() == [["d1", "known answer"]]


def test_a_document_too_close_to_the_positive_is_left_alone():
    mined = mine(small({"family": ["k", "k", "j", "k"]}, known_ids=["d0"]), ["dense", "sibling"], margin=0.5)
    found = mined.negatives[["doc_id", "miner"]].to_numpy().tolist()
    assert found == [["d2", "dense"], ["d3", "dense"]]
    assert set(mined.refused["reason"]) == {CLOSE}


def test_the_absolute_margin_keeps_a_distance_to_the_positive():
    found = [mine(small(known_ids=["d0"]), ["dense"], margin=Margin(1.0, gap)).negatives for gap in (0.0, 0.2, 0.5)]
    assert [f["doc_id"].tolist() for f in found] == [["d1", "d2"], ["d2", "d3"], ["d3"]]


def test_a_negative_is_never_above_a_positive_whose_cosine_is_below_zero():
    assert Margin(0.95).limits(np.float32([-0.1]))[0] <= -0.1
    assert Margin(0.95).limits(np.float32([0.8]))[0] == pytest.approx(0.76)


def test_the_rank_window_leaves_out_the_first():
    mined = mine(small(known_ids=["d0"]), ["dense"], first_rank=3, last_rank=3, margin=1.0)
    assert mined.negatives[["doc_id", "rank"]].to_numpy().tolist() == [["d2", 3]]


def test_judged_negatives_are_kept_under_their_source_name_whatever_their_cosine():
    named = [{"id": "d3", "miner": "curated", "score": 0.0}, {"id": "d1", "miner": "curated", "score": 0.0}]
    collection, encoder, rows = small(negatives=named, known_ids=["d0"])
    collection.qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["d2"], "relevance": [0]})
    mined = mine((collection, encoder, rows), ["judged"], margin=0.01)
    kept = [(n["id"], n["miner"]) for n in mined.training["negatives"].iloc[0]]
    assert kept == [("d3", "curated"), ("d1", "curated"), ("d2", "judged")]


def test_a_judged_negative_that_is_a_known_answer_is_refused():
    mined = mine(small(negatives=[{"id": "d1", "miner": "curated", "score": 0.0}]), ["judged"])
    assert mined.training["negatives"].iloc[0] == []
    assert mined.refused["reason"].tolist() == ["known answer"]


def test_siblings_share_a_family_or_else_metadata_that_repeats_or_a_title():
    corpus = pd.DataFrame({"doc_id": list("abcd"), "title": "", "text": "", "area": [1, 1, 2, 2], "url": list("wxyz")})
    assert likeness(corpus) == [["1"], ["1"], ["2"], ["2"]]
    assert likeness(corpus.assign(family="f")) == [["f"]] * 4
    titled = corpus.drop(columns="area").assign(title=["The Same", "the same!", "other", ""])
    assert likeness(titled) == [["title the same"], ["title the same"], [], []]


def test_a_document_of_the_same_title_is_a_sibling():
    collection, encoder, rows = small({"title": ["t", "", "t", ""]}, known_ids=["d0"])
    encoder.vectors |= {"t zero": encoder.vectors["zero"], "t two": encoder.vectors["two"]}
    mined = mine((collection, encoder, rows), ["sibling"], margin=1.0)
    assert mined.negatives["doc_id"].tolist() == ["d2"]


def test_documents_outside_the_pool_and_blank_ones_are_never_mined():
    blank = {"text": ["zero", "one", "", "three"]}
    collection, encoder, rows = small(blank, known_ids=["d0"])
    encoder.vectors[""] = [0, 0, 1, 0]
    for name in ("dense", "random", "bm25"):
        mined = mine((collection, encoder, rows), [name], pool={"d2", "d3"}, margin=1.0)
        assert set(mined.negatives["doc_id"]) <= {"d3"}


# --- exclusions ---------------------------------------------------------------------------------

GUARD = pd.DataFrame({
    "query_id": ["h1", "h2"], "text": ["one two three four five six seven", "a held out question of the test part"],
    "doc_ids": [["t1"], ["t2"]], "group": ["dev", "test"], "part": ["dev", "test"],
})  # fmt: skip


def test_answers_of_nearly_the_same_query_are_excluded_wherever_it_stands():
    rows = pd.DataFrame({
        "query_id": ["a", "b"], "query": ["one two three four five six eight", "something else"],
        "positive_ids": [["p"], ["r"]], "known_ids": [["p"], ["r", "s"]],
    })  # fmt: skip
    found = exclusions(rows, GUARD, {"t1": {"copy"}})
    assert {q: set(known) for q, known in found.items()} == {"a": {"p", "t1", "copy"}, "b": {"r", "s"}}
    assert found["a"]["t1"] == "answers nearly the same held-out query"
    assert found["a"]["copy"] == "near-duplicate of an answer"


def test_a_held_out_positive_offered_to_the_miners_is_refused_and_counted():
    guard = GUARD.assign(text=["the question asked here is x", "other"], doc_ids=[["d2"], ["d3"]])
    collection, encoder, rows = small(known_ids=["d0"], query="the question asked here was x")
    encoder.vectors[rows["query"].iloc[0]] = encoder.vectors["x"]
    exclude = exclusions(rows, guard, {})
    mined = mine((collection, encoder, rows), ["dense", "random"], exclude, quotas=4, margin=1.0)
    assert set(mined.negatives["doc_id"]) == {"d1", "d3"}
    held = mined.refused[mined.refused["reason"] == "answers nearly the same held-out query"]
    assert held[["doc_id", "miner"]].to_numpy().tolist() == [["d2", "dense"], ["d2", "random"]]


def test_only_documents_that_answer_no_training_row_are_held_out_alone():
    rows = pd.DataFrame({"positive_ids": [["t1"]], "known_ids": [["t1", "x"]]})
    assert only_held_out(rows, GUARD) == {"t2"}


# --- against plain numpy --------------------------------------------------------------------------


def reference(data, limit, first, last, quota):
    """Return what the dense miner should find, one query and one document after the other."""
    collection, encoder, rows = data
    texts, found = collection.document_texts(), []
    for query_id, query, positives in rows[["query_id", "query", "positive_ids"]].itertuples(index=False):
        cosine = {d: float(encoder.vectors[t] @ encoder.vectors[query]) for d, t in texts.items()}
        most = limit(min(cosine[d] for d in positives))
        ranked = sorted(cosine, key=lambda d: -cosine[d])[first - 1 : last]
        good = [d for d in ranked if cosine[d] <= most and d not in positives]
        found += [(query_id, d, cosine[d]) for d in good[:quota]]
    return found


@pytest.mark.parametrize("block", [1, 7, 256])
def test_the_dense_miner_agrees_with_plain_numpy_in_every_block_size(block):
    data = made()
    mined = mine(data, ["dense"], margin=Margin(0.9, 0.05), quotas=3, first_rank=3, last_rank=40, block=block).negatives
    expected = reference(data, lambda p: min(0.9 * p, p - 0.05), 3, 40, 3)
    assert list(zip(mined["query_id"], mined["doc_id"], strict=True)) == [(q, d) for q, d, _ in expected]
    np.testing.assert_allclose(mined["score"], [s for *_, s in expected], atol=6e-5)


def test_documents_compared_in_chunks_give_the_same(monkeypatch):
    whole = mine(made(), ["dense", "sibling"])
    monkeypatch.setattr(miners, "CHUNK", 9)
    pd.testing.assert_frame_equal(mine(made(), ["dense", "sibling"]).negatives, whole.negatives)


def test_the_siblings_taken_are_the_closest_of_the_family():
    collection, encoder, rows = made()
    mined = mine((collection, encoder, rows), ["sibling"], margin=1.0, quotas=2).negatives
    family = dict(zip(collection.corpus["doc_id"], collection.corpus["family"], strict=True))
    texts = collection.document_texts()
    for query_id, query, (positive,) in rows[["query_id", "query", "positive_ids"]].itertuples(index=False):
        cosine = {d: float(encoder.vectors[t] @ encoder.vectors[query]) for d, t in texts.items()}
        kin = [d for d in texts.index if family[d] == family[positive] and cosine[d] < cosine[positive]]
        closest = sorted(kin, key=lambda d: -cosine[d])[:2]
        assert mined.loc[mined["query_id"] == query_id, "doc_id"].tolist() == closest


def test_the_bm25_miner_takes_its_ranking_in_order():
    collection, encoder, rows = made(families=200)
    words = [f"{a} {b}" for a in ("red", "blue", "green", "black") for b in ("cat", "dog", "cow", "pig", "hen")] * 10
    texts = [f"{w} {i}" for i, w in enumerate(words)]
    encoder.vectors |= dict(zip(texts, encoder.encode(collection.corpus["text"].tolist()), strict=True))
    collection.corpus["text"] = texts
    rows["query"] = [f"red pig {i}" for i in range(len(rows))]
    encoder.vectors |= {q: unit(np.ones(8)) for q in rows["query"]}
    mined = mine((collection, encoder, rows), ["bm25"], margin=1.0, quotas=1, last_rank=50)
    run = BM25(collection.document_texts()).search(pd.Series(rows["query"].to_numpy(), index=rows["query_id"]), 50)
    assert len(mined.negatives)
    for query_id, doc_id, _, rank, _ in mined.negatives.itertuples(index=False):
        assert run[run["query_id"] == query_id]["doc_id"].iloc[rank - 1] == doc_id


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    quota=st.integers(0, 4),
    percent=st.floats(0.3, 1.2),
    names=st.permutations(["sibling", "dense", "bm25", "random"]),
    block=st.integers(1, 40),
)
def test_whatever_the_store_the_rules_hold(seed, quota, percent, names, block):
    collection, encoder, rows = made(60, 15, seed, 4, 8)
    rng = np.random.default_rng(seed)
    every = collection.corpus["doc_id"].to_numpy()
    exclude = {q: dict.fromkeys(rng.choice(every, rng.integers(0, 20)), "planted") for q in rows["query_id"]}
    mined = mine((collection, encoder, rows), names, exclude, margin=percent, quotas=quota, block=block, seed=seed)
    vectors = {d: encoder.vectors[t] for d, t in collection.document_texts().items()}
    for query_id, query, positives, found in mined.training[
        ["query_id", "query", "positive_ids", "negatives"]
    ].itertuples(index=False):
        ids = [n["id"] for n in found]
        worst = min(float(vectors[d] @ encoder.vectors[query]) for d in positives)
        assert len(set(ids)) == len(ids)
        assert not set(ids) & {*positives, *exclude[query_id]}
        assert all(float(vectors[d] @ encoder.vectors[query]) <= min(percent * worst, worst) + 1e-6 for d in ids)
        assert all([n["miner"] for n in found].count(name) <= quota for name in names)


# --- transductive -------------------------------------------------------------------------------


def test_held_out_documents_are_mined_no_more_rarely_than_others_of_equal_similarity():
    """Every other document is a held-out query's only answer; the miners must not see which."""
    data = made(2000, 300, dimensions=6, families=40)
    collection, encoder, rows = data
    answered = {d for ids in rows["positive_ids"] for d in ids}
    free = [d for d in collection.corpus["doc_id"] if d not in answered]
    held = set(free[::2])
    guard = pd.DataFrame({"text": [f"held out number {i}" for i in range(len(held))], "doc_ids": [[d] for d in held]})
    exclude = exclusions(rows, guard, {})
    assert exclude == exclusions(rows, guard.head(0), {})
    mined = mine(data, ["sibling", "dense", "random"], exclude, quotas=4).negatives
    mined = mined[~mined["doc_id"].isin(answered)]
    texts = collection.document_texts()
    everyone = encoder.encode(texts[free].tolist()) @ encoder.encode(rows["query"].tolist()).T
    edges = np.quantile(mined["score"], [0, 0.25, 0.5, 0.75, 1])
    for low, high in itertools.pairwise(edges):
        inside = (everyone >= low) & (everyone <= high)
        offered = inside[::2].sum() / inside.sum()
        taken = mined.loc[mined["score"].between(low, high), "doc_id"].isin(held)
        error = np.sqrt(offered * (1 - offered) / len(taken))
        assert taken.mean() > offered - 3 * error, (low, high)


def test_where_the_contract_forbids_their_texts_no_held_out_document_is_mined():
    collection, encoder, rows = made()
    free = sorted(set(collection.corpus["doc_id"]) - {d for ids in rows["positive_ids"] for d in ids})
    guard = pd.DataFrame({"text": ["held out"], "doc_ids": [[*free[:60], rows["positive_ids"].iloc[0][0]]]})
    withheld = only_held_out(rows, guard)
    assert withheld == set(free[:60])
    pool = set(collection.corpus["doc_id"]) - withheld
    mined = mine((collection, encoder, rows), ["sibling", "dense", "bm25", "random"], pool=pool)
    assert not set(mined.negatives["doc_id"]) & withheld
    assert set(mine((collection, encoder, rows), ["dense"]).negatives["doc_id"]) & withheld


# --- hidden positives -----------------------------------------------------------------------------


def relatives(data, each=3):
    """Return the rows with further known answers: the documents closest to the query but the positive."""
    collection, encoder, rows = data
    cosines = encoder.encode(rows["query"].tolist()) @ encoder.encode(collection.document_texts().tolist()).T
    ids = collection.corpus["doc_id"].to_numpy()
    near = [
        list(dict.fromkeys([p[0], *ids[np.argsort(-c)[:each]]]))
        for p, c in zip(rows["positive_ids"], cosines, strict=True)
    ]
    return rows.assign(known_ids=pd.Series(near, dtype=object))


def test_a_fifth_of_the_further_answers_is_hidden_and_never_a_rows_last_positive():
    rows = relatives(made())
    rows.at[0, "positive_ids"] = rows.at[0, "known_ids"]
    left, hidden = hide(rows)
    further = sum(len(set(ids)) - 1 for ids in rows["known_ids"])
    assert len(hidden) == round(0.2 * further)
    assert (left["positive_ids"].map(len) > 0).all()
    for query_id, doc_id in hidden.itertuples(index=False):
        row = left[left["query_id"] == query_id].iloc[0]
        assert doc_id not in {*row["positive_ids"], *row["known_ids"]}
    assert hide(rows)[1].equals(hidden)


def test_hidden_answers_that_come_back_are_counted_by_miner_and_margin():
    data = made(quota := 60, 60)
    rows = relatives(data)
    left, hidden = hide(rows, 0.5)
    exclude = exclusions(left, pd.DataFrame({"text": [], "doc_ids": []}), {})
    table = come_back(
        data[0], left, hidden, ["judged", "dense", "random"], [0.5, 9.0], encoder=data[1], exclude=exclude, quotas=quota
    ).set_index(["margin", "miner"])
    below = [
        float(data[1].vectors[f"text {d}"] @ data[1].vectors[f"asks {q}"])
        < float(
            data[1].vectors[f"text {rows.set_index('query_id').at[q, 'positive_ids'][0]}"]
            @ data[1].vectors[f"asks {q}"]
        )
        for q, d in hidden.itertuples(index=False)
    ]
    assert table.loc[(9.0, "dense"), "returned"] == sum(below) == table.loc[(9.0, "all miners"), "returned"]
    assert table.loc[(0.5, "dense"), "returned"] < sum(below)
    assert set(table["hidden"]) == {len(hidden)}
    assert "judged" not in table.index.get_level_values("miner")


def curve(**rates):
    lines = [
        (m, name, 100, rate) for name, found in rates.items() for m, rate in zip((0.8, 0.9, 1.0), found, strict=True)
    ]
    return pd.DataFrame(lines, columns=["margin", "miner", "hidden", "rate"])


def test_the_margin_is_the_loosest_at_which_each_miner_that_can_be_helped_is_rarely_wrong():
    table = curve(dense=[0.01, 0.04, 0.2], random=[0, 0, 0], sibling=[0.3, 0.4, 0.5])
    assert choose_margin(table, 0.05) == (0.9, ["sibling"])
    assert choose_margin(curve(dense=[0.3, 0.4, 0.5]), 0.05) == (0.8, ["dense"])


def test_few_hidden_answers_choose_no_margin():
    assert choose_margin(curve(dense=[0, 0, 0]).assign(hidden=19), 0.05) is None
    rows = made()[2]
    left, hidden = hide(rows)
    assert hidden.empty
    assert left["positive_ids"].tolist() == rows["positive_ids"].tolist()


# --- what a user can get wrong --------------------------------------------------------------------


def test_quotas_stand_for_each_miner():
    wanted = named_quotas(["dense", "random"], 2, ["dense=1"])
    counts = mine(made(), ["dense", "random"], quotas=wanted).negatives.groupby("query_id")["miner"].value_counts()
    assert counts.groupby("miner").max().to_dict() == {"dense": 1, "random": 2}


WRONG = [
    ({"miners": ["dnse"]}, ParameterError, "unknown miner 'dnse'.*dense"),
    ({"quotas": {"bm25": 1}}, ParameterError, "not among the miners: dense"),
    ({"quotas": -1}, ParameterError, "0 or more, found -1"),
    ({"first_rank": 5, "last_rank": 2}, ParameterError, "found 5 and 2"),
    ({"margin": 0.0}, ParameterError, "over 0, found 0"),
    ({"exclude": {}}, DataError, "q: exclude says nothing of it"),
    ({"pool": {"nowhere"}}, DataError, "the pool: 'nowhere' is no document"),
]


def test_an_absolute_margin_below_zero_is_refused():
    with pytest.raises(ParameterError, match="0 or more, found -1"):
        Margin(1.0, -1)


@pytest.mark.parametrize(("change", "kind", "words"), WRONG)
def test_what_is_wrong_is_named(change, kind, words):
    collection, encoder, rows = small()
    more = {"miners": ["dense"], "exclude": nothing(rows), "encoder": encoder, **change}
    with pytest.raises(kind, match=words):
        embedlab.mine_negatives(collection, rows, **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.drop(columns="query"), "lack query"),
        (lambda r: pd.concat([r, r]), "q: this query id stands twice"),
        (lambda r: r.assign(positive_ids=[["gone"]]), "q: 'gone' is no document"),
        (lambda r: r.assign(positive_ids=[[]]), "q: no positive document"),
    ],
)
def test_a_row_that_cannot_be_mined_for_is_named(change, words):
    collection, encoder, rows = small()
    with pytest.raises(EmbedlabError, match=words):
        mine((collection, encoder, change(rows)), ["dense"], {"q": {}})


@pytest.mark.parametrize("text", ["dense", "dense=x", "dense=-1"])
def test_a_quota_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="MINER=COUNT"):
        named_quotas(["dense"], 2, [text])


# --- a real collection ------------------------------------------------------------------------------


class Resident:
    """The most memory that this process had while the block ran, above what it had before, in bytes."""

    def __enter__(self):
        self.before, self.most, self._stop = self._now(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _now(self):
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def _watch(self):
        while not self._stop.wait(0.01):
            self.most = max(self.most, self._now() - self.before)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.mark.full
@pytest.mark.skipif(not NL2BASH.is_dir(), reason="the nl2bash collection is not beside the project")
def test_no_negative_on_nl2bash_is_a_known_answer_and_memory_stays_small(tmp_path):
    whole = embedlab.load_collection("beir", path=NL2BASH)
    train, held = whole.part("train"), whole.part("dev", "test")
    relevant = held.relevant()
    guard = held.queries.assign(text=held.queries["text"].map(fold))
    guard["doc_ids"] = [sorted(relevant[q]) for q in guard["query_id"]]
    rows, encoder = judged_rows(train), load_model(BASE, "float32", tmp_path / "vectors")
    encoder.encode(whole.document_texts().tolist(), "document")
    encoder.encode(rows["query"].tolist(), "query")
    exclude = exclusions(rows, guard, near_duplicate_documents(whole.corpus))
    with Resident() as memory:
        mined = embedlab.mine_negatives(train, rows, encoder=encoder, exclude=exclude)
    assert len(whole.corpus) == 10_624
    assert memory.most < 2**30  # 0 in a process that has had more memory before
    print(f"{len(mined.negatives):,} negatives; {memory.most / 2**20:.0f} MiB above the vectors")
    checked(mined.training, "a test").to_parquet(tmp_path / "training.parquet")
    written = read_rows(tmp_path / "training.parquet")
    judged = pd.read_csv(NL2BASH / "qrels" / "test.tsv", sep="\t", dtype=str)
    answers = judged[judged["score"].astype(int) > 0].groupby("query-id")["corpus-id"].agg(set)
    assert all(
        not {n["id"] for n in ns} & answers[q] for q, ns in zip(written["query_id"], written["negatives"], strict=True)
    )
    texts = whole.document_texts()
    some = mined.negatives[mined.negatives["miner"] != "judged"].sample(200, random_state=0)
    asked = dict(zip(rows["query_id"], rows["query"], strict=True))
    cosines = [
        float(encoder.encode([texts[d]])[0].astype(float) @ encoder.encode([asked[q]], "query")[0].astype(float))
        for q, d in zip(some["query_id"], some["doc_id"], strict=True)
    ]
    np.testing.assert_allclose(some["score"], cosines, atol=1e-4)
