"""Parts are a pure function of content and seed, and tear no group apart."""

from collections import Counter

import pandas as pd
import pytest
from conftest import write_beir
from hypothesis import example, given, settings
from hypothesis import strategies as st

import embedlab
from embedlab.data import (
    SWALLOWING,
    Collection,
    assign_parts,
    cap_per_document,
    fold,
    group_queries,
    near_duplicate,
    parts,
    relatives_of,
)
from embedlab.data.groups import Grouping
from embedlab.data.load import swallowing
from embedlab.data.parts import FEWEST_GROUPS, FEWEST_QUERIES, LARGE_GROUP
from embedlab.evaluation import MIN_GROUPS, MIN_QUERIES
from embedlab.trainset import judged_rows, leakage, listed, split_rows, with_groups

WORDS = tuple("amber basil cedar dune ember fjord grove heath inlet jetty knoll ledge moor nook pier quay".split())  # noqa: SIM905
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


@st.composite
def collections(draw):
    """A corpus, queries and judgments of a few words each, with families."""
    documents = draw(st.lists(st.tuples(texts, st.integers(0, 6)), min_size=1, max_size=12))
    questions = draw(st.lists(texts, min_size=1, max_size=14))
    corpus = pd.DataFrame(
        [(f"d{i}", "", text, f"f{family}") for i, (text, family) in enumerate(documents)],
        columns=["doc_id", "title", "text", "family"],
    )
    queries = pd.DataFrame([(f"q{i}", text) for i, text in enumerate(questions)], columns=["query_id", "text"])
    pair = st.tuples(st.sampled_from(list(queries["query_id"])), st.sampled_from(list(corpus["doc_id"])))
    judged = draw(st.lists(st.tuples(pair, st.integers(0, 2)), min_size=1, max_size=20))
    qrels = pd.DataFrame([(q, d, g) for (q, d), g in dict(judged).items()], columns=["query_id", "doc_id", "relevance"])
    return corpus, queries, qrels


def must_stay_together(corpus, queries, qrels, unit):
    """Yield every pair of queries that the rules of DESIGN tie together, by brute force."""
    text = dict(zip(queries["query_id"], queries["text"].map(fold), strict=True))
    body = dict(zip(corpus["doc_id"], corpus["text"].map(fold), strict=True))
    family = dict(zip(corpus["doc_id"], corpus["family"], strict=True))
    relevant = {q: set(r.loc[r["relevance"] >= 1, "doc_id"]) for q, r in qrels.groupby("query_id")}
    for a in text:
        for b in text:
            if near_duplicate(text[a], text[b]):
                yield a, b
            if unit == "group":
                for x in relevant.get(a, ()):
                    for y in relevant.get(b, ()):
                        if family[x] == family[y] or near_duplicate(body[x], body[y]):
                            yield a, b


@pytest.mark.parametrize("blank", ["", None, float("nan")])
def test_a_blank_family_ties_nothing(blank):
    texts = ["the first text of all", "something else entirely", "a third about otters", "harbour and salmon"]
    corpus = pd.DataFrame({"doc_id": list("abcd"), "title": "", "text": texts, "family": ["f", blank, "f", blank]})
    assert relatives_of(corpus) == {"a": "a", "c": "a"}
    queries = pd.DataFrame({"query_id": ["q1", "q2"], "text": ["salmon", "entirely"]})
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["d", "b"], "relevance": 1})
    assert group_queries(corpus, queries, qrels).group.nunique() == 2


@given(collections(), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_no_group_is_torn_apart(data, seed):
    corpus, queries, qrels = data
    grouping = group_queries(corpus, queries, qrels)
    part = assign_parts(grouping.group, seed)
    for a, b in must_stay_together(corpus, queries, qrels, grouping.unit):
        assert grouping.group[a] == grouping.group[b]
        assert part[a] == part[b]


@given(collections(), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_parts_do_not_depend_on_the_order_of_rows(data, seed, random):
    corpus, queries, qrels = data
    mixed = [frame.sample(frac=1, random_state=random.randrange(1000)) for frame in data]
    first = assign_parts(group_queries(corpus, queries, qrels).group, seed)
    again = assign_parts(group_queries(*(m.reset_index(drop=True) for m in mixed)).group, seed)
    assert first.to_dict() == again.to_dict()


@given(st.lists(st.sampled_from("abcdefghijklmnopqrst"), min_size=1, max_size=80), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_large_groups_go_to_training_and_shares_are_of_groups(members, seed):
    group = pd.Series({f"q{i}": name for i, name in enumerate(members)})
    part = assign_parts(group, seed)
    sizes = Counter(members)
    small = [n for n in sizes if sizes[n] <= max(1, LARGE_GROUP * len(members))]
    for name in set(sizes) - set(small):
        assert set(part[group == name]) == {"train"}
    tested = group[part == "test"].nunique()
    share = parts.test_share([sizes[name] for name in small])
    assert abs(tested - share * len(small)) <= 1


@pytest.mark.parametrize(
    ("groups", "queries_each", "tested"),
    [(1000, 1, 240), (100, 1, 30), (60, 1, 30), (59, 1, 15), (30, 5, 10), (20, 5, 10), (19, 5, 5), (3, 1, 1)],
)
def test_of_few_labelled_queries_more_go_to_the_test_where_that_makes_a_verdict_possible(groups, queries_each, tested):
    names = [f"g{i}" for i in range(groups) for _ in range(queries_each)]
    group = pd.Series(names, index=[f"q{i}" for i in range(len(names))])
    part = assign_parts(group, 0)
    assert group[part == "test"].nunique() == tested
    assert {"train", "dev"} <= set(part) or groups < 4


def test_the_fewest_are_those_that_a_verdict_needs():
    assert (FEWEST_QUERIES, FEWEST_GROUPS) == (MIN_QUERIES, MIN_GROUPS)


def test_the_seed_changes_the_parts(toy):
    parts = [embedlab.load_collection("beir", path=toy, seed=s).queries["part"].tolist() for s in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_a_new_group_moves_few_others():
    group = pd.Series({f"q{i}": f"g{i}" for i in range(100)})
    grown = pd.concat([group, pd.Series({"q100": "g100"})])
    moved = (assign_parts(group, 0) != assign_parts(grown, 0)[group.index]).sum()
    assert moved <= 4


def test_a_glued_collection_is_split_by_query():
    corpus = pd.DataFrame({"doc_id": ["d0"], "title": "", "text": "one document for all"})
    queries = pd.DataFrame({"query_id": [f"q{i}" for i in range(12)], "text": WORDS[:12]})
    qrels = pd.DataFrame({"query_id": queries["query_id"], "doc_id": "d0", "relevance": 1})
    grouping = group_queries(corpus, queries, qrels)
    assert (grouping.unit, grouping.largest_share) == ("query", 1.0)
    assert grouping.group.nunique() == 12


@pytest.mark.parametrize("cap", [1, 3, 8])
def test_a_cap_leaves_at_most_that_many_queries_a_document(cap):
    qrels = pd.DataFrame([(f"q{i}", f"d{i % 4}", 2) for i in range(40)] + [(f"q{i}", "d9", 1) for i in range(40)],
                         columns=["query_id", "doc_id", "relevance"])  # fmt: skip
    queries = pd.DataFrame({"query_id": [f"q{i}" for i in range(40)]})
    keep = cap_per_document(queries, qrels, cap, 0)
    assert Counter(int(q[1:]) % 4 for q in keep) == dict.fromkeys(range(4), cap)


def glued_by_one_document(count=12):
    """One document that every query wants, and one of its own for each."""
    names = ["d0", *(f"d{i + 1}" for i in range(count))]
    bodies = ["a general page", *(f"{WORDS[i]} {i * 7919}" for i in range(count))]
    corpus = pd.DataFrame({"doc_id": names, "title": "", "text": bodies})
    queries = pd.DataFrame({"query_id": [f"q{i:02d}" for i in range(count)], "text": WORDS[:count]})
    pairs = [(q, d) for i, q in enumerate(queries["query_id"]) for d in ("d0", f"d{i + 1}")]
    return corpus, queries, pd.DataFrame(pairs, columns=["query_id", "doc_id"]).assign(relevance=1)


def test_what_glues_a_collection_is_named_with_what_cutting_it_would_leave():
    glue = group_queries(*glued_by_one_document()).glue
    first = glue.iloc[0]
    assert (first["kind"], first["name"], first["queries"]) == ("document", "d0", 12)
    assert first["largest share without"] == pytest.approx(1 / 12)


@given(collections())
@example(glued_by_one_document())
@settings(max_examples=60, deadline=None)
def test_cutting_the_glue_leaves_what_grouping_without_it_gives(data):
    corpus, queries, qrels = data
    glue = group_queries(corpus, queries, qrels).glue
    for count in range(len(glue)):
        cut = {(kind, name) for kind, name in glue.head(count + 1)[["kind", "name"]].itertuples(index=False)}
        if not all(kind == "document" for kind, _ in cut):
            continue
        left = qrels[~qrels["doc_id"].isin({name for _, name in cut})]
        without = group_queries(corpus, queries, left)
        assert glue["largest share without"].iloc[count] == pytest.approx(without.largest_share)


def test_a_swallowing_group_is_a_finding_with_its_glue_and_a_way_out(tmp_path):
    corpus, queries, qrels = glued_by_one_document()
    rows = [{"_id": d, "text": t} for d, t in zip(corpus["doc_id"], corpus["text"], strict=True)]
    asked = [{"_id": q, "text": t} for q, t in zip(queries["query_id"], queries["text"], strict=True)]
    folder = write_beir(tmp_path / "glued", rows, asked, {"all": list(qrels.itertuples(index=False, name=None))})
    findings = embedlab.load_collection("beir", path=folder).findings
    found = findings[findings["kind"] == SWALLOWING]
    assert "one group would hold 100% of the queries" in found["detail"].iloc[0]
    assert "Way out: without the 1 links below it would have 8%: give them grade 0" in found["detail"].iloc[0]
    assert found["detail"].iloc[1].startswith("document d0 joins 12 queries; without it")


@given(collections(), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_train_and_validation_tear_no_group_either(data, seed):
    corpus, queries, qrels = data
    grouping = group_queries(corpus, queries, qrels)
    queries = queries.assign(group=queries["query_id"].map(grouping.group))
    rows = judged_rows(Collection(corpus, queries.assign(part="train"), qrels))
    relatives, ties = relatives_of(corpus), list(must_stay_together(corpus, queries, qrels, grouping.unit))
    clean, unit = with_groups(rows, grouping.unit)
    split, _ = split_rows(clean, relatives, 0.3, 300, unit, seed)
    part = dict(zip(split["query_id"], split["part"], strict=True))
    if unit == grouping.unit:
        assert not [(a, b) for a, b in ties if a in part and b in part and part[a] != part[b]]
    nothing = pd.DataFrame(columns=["query_id", "text", "known_ids", "group", "part"])
    report = leakage(split, nothing, relatives, grouping.unit, unit)
    assert not listed(report).to_dict("records")


def test_a_chain_of_many_links_blames_no_few(tmp_path):
    corpus, queries, _ = glued_by_one_document(14)
    chain = [(q, f"d{i + k}", 1) for i, q in enumerate(queries["query_id"]) for k in (0, 1)]
    qrels = pd.DataFrame(chain, columns=["query_id", "doc_id", "relevance"])
    glue = group_queries(corpus, queries, qrels).glue
    found = swallowing(Grouping(pd.Series(dtype=str), "query", 1.0, glue.head(1)))
    assert "no few links are to blame (without the 1 below it would still have 93%)" in found[0].detail
