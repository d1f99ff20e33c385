"""Every store keeps the same promises: one set of tests over FAISS files and over Milvus.

With Milvus it takes about 20 seconds, without it 8; the tests marked full take 90 more.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib.util import find_spec
from itertools import count

import numpy as np
import pytest
from conftest import run_python
from milvus_server import MilvusServer

from embedlab.errors import (
    DataError,
    EmbedlabError,
    IdentityError,
    IntegrityError,
    MissingInputError,
    ParameterError,
    StoreError,
)
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.stores.addresses import (
    create_collection,
    drop_collection,
    has_collection,
    open_collection,
    store_of,
)
from embedlab.rollout.stores.base import CollectionInfo, Document, Entry, Hit, checksum_of

DIMENSIONS = 8
IDENTITY = EmbeddingIdentity("toy", "weights", "config", DIMENSIONS, 256, "", "", "float32")
INFO = CollectionInfo(IDENTITY, "a/model", Settings(chunk="long"), made_for="a 'test'\nof \"stores\" with ünïcode")

# make test installs no Milvus; make test-full does.
needs_milvus = pytest.mark.skipif(
    find_spec("pymilvus") is None or find_spec("milvus_lite") is None,
    reason="Milvus is not installed: pip install -c constraints.txt -e '.[milvus]'",
)
MILVUS = pytest.param("milvus", marks=needs_milvus)

UNUSED = count()


def entry(doc_id="d", /, passages=1, seed=0, title="", text="", space=IDENTITY.digest, **metadata):
    """Return an entry with random vectors of whole numbers, whose products are exact in every order of summing."""
    rng = np.random.default_rng([seed, len(doc_id), *doc_id.encode()])
    vectors = rng.integers(-9, 10, (passages, DIMENSIONS)).astype(np.float32)
    return Entry.of(Document(doc_id, title, text, metadata), vectors, space)


def entries(ids, **values):
    return [entry(doc_id, **values) for doc_id in ids]


def queries(number=4, seed=99):
    return np.random.default_rng(seed).integers(-9, 10, (number, DIMENSIONS)).astype(np.float32)


def found_by_numpy(stored, wanted, k, allowed=lambda document: True):
    """Return what an exact search over entries finds."""
    answers = []
    for query in wanted:
        scores = [(-float((e.vectors @ query).max()), e.document.doc_id) for e in stored if allowed(e.document)]
        answers.append([Hit(doc_id, -score) for score, doc_id in sorted(scores)[:k]])
    return answers


def same(one, other):
    """Return whether two entries are the same to the last bit."""
    texts = [(e.document, e.space, e.checksum, e.vectors.tobytes(), e.vectors.shape) for e in (one, other)]
    return texts[0] == texts[1]


@pytest.fixture(params=["faiss", MILVUS])
def place(request, tmp_path):
    """Where a store keeps collections: the beginning of their addresses."""
    return f"{tmp_path}/stores/" if request.param == "faiss" else f"{tmp_path}/stores/milvus.db#"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Milvus Lite server for all tests of this module."""
    with MilvusServer(tmp_path_factory.mktemp("milvus") / "data") as running:
        yield running


@pytest.fixture(params=["faiss", MILVUS])
def shared(request, tmp_path):
    """The address of a collection that several processes can open."""
    if request.param == "faiss":
        return f"{tmp_path}/stores/shared"
    return f"{request.getfixturevalue('server').uri}#shared{next(UNUSED)}"


@pytest.fixture
def store(place):
    with closing(store_of(f"{place}any")) as opened:
        yield opened


@pytest.fixture
def collection(store):
    with closing(store.create("documents", INFO)) as made:
        yield made


@pytest.fixture
def opened():
    """Open or create collections that are closed when the test ends."""
    with ExitStack() as stack:
        yield lambda made: stack.enter_context(closing(made))


# --- collections of a store ---------------------------------------------------------------------


def test_a_new_collection_is_empty_and_says_what_it_is(collection, place):
    assert collection.info == INFO
    assert collection.address == f"{place}documents"
    assert collection.count() == 0
    assert list(collection.ids()) == []
    assert collection.documents() == []
    assert collection.get(["d"]) == {}
    assert collection.search(queries(2), 5) == [[], []]


def test_a_collection_is_never_overwritten(store, collection):
    collection.upsert([entry("d")])
    with pytest.raises(EmbedlabError, match=r"documents exists already; .* choose another name"):
        store.create("documents", replace(INFO, model="another"))
    with closing(store.open("documents")) as again:
        assert (again.info, again.count()) == (INFO, 1)


def test_what_is_not_there_is_missing_and_looking_for_it_makes_nothing(place, tmp_path):
    with closing(store_of(f"{place}x")) as store:
        with pytest.raises(MissingInputError, match="build it"):
            store.open("x")
        assert store.names() == []
        assert store.alias("live") is None
        store.drop("x")
    assert not has_collection(f"{place}x")
    assert list(tmp_path.iterdir()) == []


def test_names_are_sorted_and_a_dropped_collection_is_gone(store, opened):
    for name in ("b", "a", "c"):
        opened(store.create(name, INFO)).upsert([entry(name)])
    assert store.names() == ["a", "b", "c"]
    store.drop("b")
    store.drop("b")
    assert store.names() == ["a", "c"]
    with pytest.raises(MissingInputError, match="build it"):
        store.open("b")
    made = opened(store.create("b", INFO))
    assert made.count() == 0


def test_an_alias_is_made_and_moved_and_is_no_collection(store, opened):
    for name in ("old", "new"):
        opened(store.create(name, INFO)).upsert([entry(name)])
    assert store.alias("live") is None
    store.set_alias("live", "old")
    assert store.alias("live") == "old"
    store.set_alias("live", "new")
    assert store.alias("live") == "new"
    assert store.names() == ["new", "old"]
    with pytest.raises(MissingInputError):
        store.open("live")
    store.drop("live")
    assert (store.names(), store.alias("live")) == (["new", "old"], "new")


def test_a_collection_that_an_alias_names_can_be_dropped(store, collection):
    store.set_alias("live", "documents")
    store.drop("documents")
    assert store.names() == []


def test_a_store_says_how_much_can_still_be_written(store, collection):
    assert store.free_bytes() > 0
    collection.upsert([entry("d", text="x" * 50_000)])
    assert collection.size_bytes() > 50_000


def test_addresses_open_make_find_and_drop_collections(place, opened):
    address = f"{place}documents"
    assert not has_collection(address)
    opened(create_collection(address, INFO)).upsert([entry("d")])
    assert has_collection(address)
    assert opened(open_collection(address)).count() == 1
    drop_collection(address)
    assert not has_collection(address)


# --- documents of a collection ------------------------------------------------------------------

EVERYTHING = [
    entry("plain", title="A title", text="A text."),
    entry("passages", passages=5, title="T", text="a\nb\tc \u0000 \u001f", tags=["x", "y"], deep={"a": [1, None, {}]}),
    entry("ünïcödé-文-😀", title='"quoted"', text="back\\slash 'single'", field='"\\\n\u2028😀', none=None),
    entry("numbers", whole=2**63 - 1, least=-(2**63), small=5e-324, large=1.7e308, third=1 / 3, one=1.0, yes=True),
    entry("with-%_*[]{}'\"\\-in-it", **{"": "no name", 'a"b': 1, "a\\b": 2, "[0]": 3}),
]


def test_documents_come_back_to_the_last_bit(collection):
    special = np.array([[0.0, -0.0, 1e-45, -1e-38, 3.4e38, 1 / 3, np.pi, -1.0]], dtype=np.float32)
    stored = [*EVERYTHING, Entry.of(Document("bits"), special, IDENTITY.digest)]
    collection.upsert(stored)
    found = collection.get([e.document.doc_id for e in stored])
    assert len(found) == len(stored)
    for e in stored:
        assert same(found[e.document.doc_id], e), e.document
        assert json.dumps(found[e.document.doc_id].document.metadata, sort_keys=True) == json.dumps(
            e.document.metadata, sort_keys=True
        )


def test_get_leaves_out_what_is_not_there_and_takes_an_id_twice(collection):
    collection.upsert(entries(["a", "b"]))
    assert collection.get([]) == {}
    assert set(collection.get(["a", "missing", "a", "b"])) == {"a", "b"}


def test_many_documents_are_stored_and_read_at_once(collection):
    ids = [f"d{number:04d}" for number in range(1_200)]
    collection.upsert(entries(ids))
    assert collection.count() == 1_200
    assert list(collection.ids()) == ids
    assert set(collection.get(ids)) == set(ids)
    collection.delete(ids[:700])
    assert list(collection.ids()) == ids[700:]


def test_a_document_takes_the_place_of_what_its_id_had(collection):
    collection.upsert([entry("a", seed=1, text="old", only_old=1), entry("b")])
    collection.upsert([entry("a", seed=2, text="new")])
    assert collection.count() == 2
    assert same(collection.get(["a"])["a"], entry("a", seed=2, text="new"))


def test_the_last_of_two_documents_with_one_id_stays(collection):
    collection.upsert([entry("a", passages=3, text="first"), entry("b"), entry("a", text="last")])
    assert collection.count() == 2
    assert same(collection.get(["a"])["a"], entry("a", text="last"))


@pytest.mark.parametrize(("before", "after"), [(5, 2), (2, 5), (1, 3), (3, 1)])
def test_no_passage_of_what_was_replaced_or_deleted_is_found(collection, before, after):
    others = entries(["x", "y", "z"], passages=2)
    collection.upsert([entry("d", passages=before, seed=1), *others])
    now = entry("d", passages=after, seed=2)
    for _ in range(2):
        collection.upsert([now])
        assert collection.count() == 4
        assert same(collection.get(["d"])["d"], now)
        assert collection.search(queries(20), 4) == found_by_numpy([now, *others], queries(20), 4)
    collection.delete(["d"])
    assert collection.search(queries(20), 4) == found_by_numpy(others, queries(20), 4)


def test_deleted_documents_are_gone_and_unknown_ids_are_no_error(collection):
    collection.upsert(entries(["a", "b", "c"], passages=2))
    collection.delete(["b", "missing"])
    collection.delete(["missing"])
    collection.delete([])
    assert list(collection.ids()) == ["a", "c"]
    assert collection.count() == 2
    assert set(collection.get(["a", "b", "c"])) == {"a", "c"}
    collection.upsert([entry("b", text="again")])
    assert list(collection.ids()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (entry("bad", space="0" * 64), IdentityError, "'bad' comes with one of 000000000000"),
        (entry("bad", space=""), IdentityError, "nobody knows whose"),
        (Entry.of(Document("bad"), np.ones((1, 7)), IDENTITY.digest), DataError, r"\(1, 7\), expected .* 8\]"),
        (Entry.of(Document("bad"), np.ones((0, 8)), IDENTITY.digest), DataError, r"\(0, 8\)"),
        (Entry.of(Document("bad"), np.full((1, 8), np.nan), IDENTITY.digest), DataError, "NaN or infinity"),
        (Entry.of(Document("bad"), np.full((2, 8), np.inf), IDENTITY.digest), DataError, "NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_of_the_batch_is_stored(collection, fault, error, said):
    collection.upsert([entry("kept")])
    version = collection.version()
    with pytest.raises(error, match=said):
        collection.upsert([entry("good"), fault, entry("kept", text="new")])
    assert list(collection.ids()) == ["kept"]
    assert same(collection.get(["kept"])["kept"], entry("kept"))
    assert collection.version() == version


IDS = ["!", "-", "A", "a", "a-", "a-b", "a0", "aa", "b", "z", "{", "~", "é", "Ω", "文", "\uff5e", "😀", "😀a"]


def test_ids_come_in_the_order_of_their_bytes_in_utf8(collection):
    assert sorted(IDS, key=lambda i: i.encode()) == IDS
    shuffled = random.Random(1).sample(IDS, len(IDS))
    for doc_id in shuffled:
        collection.upsert([entry(doc_id, passages=2)])
    assert list(collection.ids()) == IDS
    assert [document.doc_id for document in collection.documents()] == IDS


@pytest.mark.parametrize("limit", [1, 4, 18, 100])
def test_pages_of_documents_hold_each_once(collection, limit):
    collection.upsert(entries(IDS, passages=2, title="a title", text="a text", field=1))
    seen, after = [], ""
    while page := collection.documents(after, limit):
        assert len(page) <= limit
        seen += page
        after = page[-1].doc_id
    assert seen == [Document(doc_id, "a title", "a text", {"field": 1}) for doc_id in IDS]


def test_pages_go_on_after_an_id_that_is_no_longer_there(collection):
    collection.upsert(entries(IDS))
    collection.delete(["a-b"])
    assert [document.doc_id for document in collection.documents("a-b", 2)] == ["a0", "aa"]
    assert [document.doc_id for document in collection.documents("a-a", 2)] == ["a0", "aa"]


def test_every_change_makes_another_version_and_reading_none(collection, store, opened):
    seen = [collection.version()]
    changes = [
        lambda: collection.upsert([entry("a"), entry("b", passages=3)]),
        lambda: collection.upsert([entry("a", text="new")]),
        lambda: collection.upsert([entry("b", passages=1)]),
        lambda: collection.delete(["a"]),
        lambda: collection.upsert([entry("a", text="new")]),
    ]
    for change in changes:
        change()
        seen.append(collection.version())
        collection.search(queries(), 2)
        collection.get(["a"])
        collection.count()
        assert opened(store.open("documents")).version() == seen[-1]
    assert len(set(seen)) == len(seen)


# --- searching ----------------------------------------------------------------------------------


@pytest.mark.parametrize("passages", [1, 4])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_search_finds_what_numpy_finds(collection, passages, k):
    stored = [entry(f"d{number:02d}", passages=1 + number % passages) for number in range(60)]
    collection.upsert(stored)
    assert collection.search(queries(30), k) == found_by_numpy(stored, queries(30), k)


def test_equal_scores_come_in_the_order_of_the_ids(collection):
    vectors = np.eye(DIMENSIONS, dtype=np.float32)
    ids = random.Random(2).sample(IDS, len(IDS))
    collection.upsert([Entry.of(Document(doc_id), vectors[:1], IDENTITY.digest) for doc_id in ids])
    for k in (1, 5, len(IDS)):
        assert collection.search(vectors[:2], k) == [
            [Hit(doc_id, 1.0) for doc_id in IDS[:k]],
            [Hit(doc_id, 0.0) for doc_id in IDS[:k]],
        ]


def test_one_document_of_many_passages_does_not_hide_the_others(collection):
    query = np.ones((1, DIMENSIONS), dtype=np.float32)
    loud = Entry.of(Document("loud"), np.full((300, DIMENSIONS), 9, dtype=np.float32), IDENTITY.digest)
    others = entries(["a", "b", "c"])
    collection.upsert([loud, *others])
    assert collection.search(query, 3) == found_by_numpy([loud, *others], query, 3)


def test_search_takes_no_queries_more_than_there_are_and_none_to_find(collection):
    assert collection.search(queries(0), 3) == []
    stored = entries(["a", "b"], passages=2)
    collection.upsert(stored)
    assert collection.search(queries(0), 3) == []
    assert collection.search(queries(2), 1_000) == found_by_numpy(stored, queries(2), 1_000)
    assert collection.search(queries(600), 2) == found_by_numpy(stored, queries(600), 2)
    assert collection.search(queries(2), 0) == [[], []]


def test_an_approximate_index_finds_nearly_what_numpy_finds(store, opened):
    made = opened(store.create("approximate", replace(INFO, settings=Settings(index="hnsw"))))
    stored = [entry(f"d{number:03d}", passages=2) for number in range(300)]
    made.upsert(stored)
    made.delete(["d007"])
    made.upsert([entry("d008", seed=5)])
    now = [e for e in stored if e.document.doc_id not in ("d007", "d008")] + [entry("d008", seed=5)]
    exact = found_by_numpy(now, queries(50), 10)
    pairs = list(zip(made.search(queries(50), 10), exact, strict=True))
    shared = sum(len({hit.doc_id for hit in one} & {hit.doc_id for hit in other}) for one, other in pairs)
    assert shared / 500 > 0.95


def test_an_unknown_kind_of_index_is_refused(store):
    with pytest.raises(ParameterError, match="unknown index kind 'ivf'"):
        store.create("documents", replace(INFO, settings=Settings(index="ivf")))
    assert store.names() == []


HOSTILE = [
    "plain",
    "",
    '"',
    "'",
    "\\",
    '\\"',
    '" or 1==1 or "',
    "x' or 1==1 --",
    '"] == 1 or metadata["x"] == "',
    "a\nb",
    "a\r\nb",
    "a\tb",
    "\x00",
    "\x01\x7f\x1f",
    "{field}",
    "%s %d {0} {{}}",
    "\\n",
    "\\u0041",
    "ünï 文 😀",
    "e\u0301",
    "\u00e9",
    "\u2028",
    "true",
    "1",
    "null",
    "[]",
    "a" * 5_000,
]


def test_a_filter_means_its_text_whatever_the_text_is(collection):
    stored = [entry(f"d{number:02d}", passages=1 + number % 2, field=text) for number, text in enumerate(HOSTILE)]
    collection.upsert(stored)
    for text in HOSTILE:
        found = collection.search(queries(2), 40, {"field": text})
        assert found == found_by_numpy(stored, queries(2), 40, lambda d, t=text: d.metadata["field"] == t), repr(text)
    for text in ("nothing has this", '" or metadata["field"] != "', "PLAIN", "plain "):
        assert collection.search(queries(2), 40, {"field": text}) == [[], []]


VALUES = [1, 0, -1, 1.0, 0.5, -0.5, 1e-7, 1e22, 2**53 + 1, 2**63 - 1, -(2**63) + 1, True, False, "1", "true", "0.5"]


def is_same(value, other):
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def test_a_filter_tells_numbers_truth_values_and_texts_apart(collection):
    others = [None, [1], {"a": 1}, "True"]
    stored = [entry(f"d{number:02d}", field=value) for number, value in enumerate([*VALUES, *others])]
    stored.append(entry("without"))
    collection.upsert(stored)
    for value in VALUES:
        found = collection.search(queries(1), 40, {"field": value})
        wanted = found_by_numpy(
            stored, queries(1), 40, lambda d, v=value: "field" in d.metadata and is_same(d.metadata["field"], v)
        )
        assert found == wanted, repr(value)


def test_a_filter_may_ask_for_several_fields(collection):
    stored = [entry(f"d{number:02d}", passages=3, a=number % 2, b=str(number % 3)) for number in range(30)]
    collection.upsert(stored)
    found = collection.search(queries(5), 4, {"a": 1, "b": "2"})
    assert found == found_by_numpy(stored, queries(5), 4, lambda d: d.metadata == {"a": 1, "b": "2"})
    assert collection.search(queries(5), 4, {}) == found_by_numpy(stored, queries(5), 4)


@pytest.mark.parametrize("field", ["a b", "a.b", "a'b", "日本", "{a}", "a[0]", "[x]", "doc_id", "or", "$.a", "%", "😀"])
def test_a_filter_means_its_field_whatever_its_name_is(collection, field):
    stored = [entry("yes", **{field: 1}), entry("no", **{field: 2}), entry("other", other=1)]
    collection.upsert(stored)
    assert [hit.doc_id for hit in collection.search(queries(1), 5, {field: 1})[0]] == ["yes"]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, b"x"])
def test_what_is_no_value_to_filter_by_is_refused(collection, value):
    collection.upsert([entry("d", field=1)])
    with pytest.raises(ParameterError, match="a filter asks for a text"):
        collection.search(queries(1), 1, {"field": value})


# --- several processes --------------------------------------------------------------------------


def test_a_second_handle_sees_every_change_of_the_first(shared, opened):
    first = opened(create_collection(shared, INFO))
    second = opened(open_collection(shared))
    stored = {}
    steps = [
        lambda: stored.update({e.document.doc_id: e for e in entries(["a", "b", "c"], passages=2)}),
        lambda: stored.update(a=entry("a", seed=7, text="new")),
        lambda: stored.pop("b"),
        lambda: stored.update(d=entry("d", passages=4)),
        lambda: stored.update(b=entry("b", seed=3)),
    ]
    for step in steps:
        before = dict(stored)
        step()
        first.upsert([e for doc_id, e in stored.items() if before.get(doc_id) is not e])
        first.delete([doc_id for doc_id in before if doc_id not in stored])
        assert second.search(queries(8), 5) == found_by_numpy(stored.values(), queries(8), 5)
        assert second.count() == len(stored)
        assert list(second.ids()) == sorted(stored)
        assert all(same(second.get([i])[i], e) for i, e in stored.items())
        assert second.version() == first.version()


WRITER = """
import sys
import numpy as np
from embedlab.rollout.stores.addresses import open_collection
from embedlab.rollout.stores.base import Document, Entry
collection = open_collection(sys.argv[1])
vectors = np.full((1, collection.info.identity.dimensions), 9, dtype=np.float32)
collection.upsert([Entry.of(Document("from another process"), vectors, collection.info.identity.digest)])
collection.delete(["a"])
print(collection.count())
"""


def test_another_process_changes_what_this_one_has_searched(shared, opened):
    mine = opened(create_collection(shared, INFO))
    mine.upsert(entries(["a", "b"]))
    query = np.ones((1, DIMENSIONS), dtype=np.float32)
    mine.search(query, 5)
    assert run_python(WRITER, shared).stdout.strip() == "2"
    assert [hit.doc_id for hit in mine.search(query, 5)[0]] == ["from another process", "b"]


def test_what_was_closed_is_there_when_it_is_opened_again(place, opened):
    stored = [*EVERYTHING, *entries(["a", "b"], passages=3)]
    address = f"{place}documents"
    with closing(create_collection(address, INFO)) as made:
        made.upsert([*stored, entry("deleted")])
        made.delete(["deleted"])
        version = made.version()
    again = opened(open_collection(address))
    assert (again.info, again.version(), again.count()) == (INFO, version, len(stored))
    assert again.search(queries(5), 3) == found_by_numpy(stored, queries(5), 3)
    again.upsert([entry("more")])
    assert again.count() == len(stored) + 1


# --- anything in any order ----------------------------------------------------------------------


class Model:
    """What a collection should hold, and one that is compared with it after random changes."""

    def __init__(self, collection, seed):
        self.collection, self.random, self.stored, self.versions = collection, random.Random(seed), {}, [""]

    def step(self):
        change = self.random.choice([self.upsert, self.upsert, self.delete, self.look, self.look])
        change()

    def upsert(self):
        made = []
        for _ in range(self.random.randint(1, 5)):
            doc_id = self.random.choice(IDS) + self.random.choice(["", "1", "2"])
            seed, field = self.random.randrange(1_000), self.random.choice(VALUES)
            made.append(entry(doc_id, self.random.randint(1, 4), seed, f"title {seed}", f"text {seed}", field=field))
        self.collection.upsert(made)
        self.stored.update({e.document.doc_id: e for e in made})
        self.changed()

    def delete(self):
        known = self.random.sample(sorted(self.stored), min(len(self.stored), self.random.randint(0, 3)))
        self.collection.delete([*known, "unknown"])
        for doc_id in known:
            del self.stored[doc_id]
        if known:
            self.changed()

    def changed(self):
        version = self.collection.version()
        assert version not in self.versions
        self.versions.append(version)

    def look(self):
        wanted, k = queries(3, self.random.randrange(1_000)), self.random.randint(1, 12)
        stored, value = list(self.stored.values()), self.random.choice(VALUES)
        assert self.collection.search(wanted, k) == found_by_numpy(stored, wanted, k)
        assert self.collection.search(wanted, k, {"field": value}) == found_by_numpy(
            stored, wanted, k, lambda document: is_same(document.metadata["field"], value)
        )
        assert self.collection.count() == len(stored)
        after = self.random.choice(["", *IDS])
        following = sorted(doc_id for doc_id in self.stored if doc_id > after)
        assert [d.doc_id for d in self.collection.documents(after, 7)] == following[:7]

    def compare(self):
        self.look()
        assert list(self.collection.ids()) == sorted(self.stored)
        found = self.collection.get([*self.stored, "unknown"])
        assert set(found) == set(self.stored)
        assert all(same(found[doc_id], e) for doc_id, e in self.stored.items())


def test_any_changes_in_any_order_leave_what_they_should(collection):
    model = Model(collection, seed=11)
    for _ in range(80):
        model.step()
    model.compare()


# --- FAISS files --------------------------------------------------------------------------------


def test_a_flipped_byte_of_a_vector_is_found_out(tmp_path, opened):
    address = f"{tmp_path}/damaged"
    made = opened(create_collection(address, INFO))
    made.upsert(entries(["a", "b"]))
    with sqlite3.connect(tmp_path / "damaged" / "index.db") as database:
        [(blob,)] = database.execute("SELECT vectors FROM entries WHERE doc_id = 'b'")
        database.execute("UPDATE entries SET vectors = ? WHERE doc_id = 'b'", [bytes([blob[0] ^ 1]) + blob[1:]])
    database.close()
    made.get(["a"])["a"].require_unchanged("here")
    for read in (lambda: made.get(["b"])["b"].require_unchanged("here"), lambda: made.search(queries(1), 1)):
        with pytest.raises(IntegrityError, match="'b' is not what was written"):
            read()


# --- Milvus -------------------------------------------------------------------------------------


@pytest.fixture
def embedded(tmp_path):
    """The address of a collection in an embedded Milvus."""
    return f"{tmp_path}/milvus.db#documents"


def milvus_client(address):
    from pymilvus import MilvusClient

    return closing(MilvusClient(address.partition("#")[0], dedicated=True))


@needs_milvus
@pytest.mark.parametrize("field", ["title", "text", "vector", "metadata"])
def test_a_document_that_was_changed_in_milvus_is_found_out(embedded, opened, field):
    made = opened(create_collection(embedded, INFO))
    made.upsert([entry("a", passages=2, text="a text", field=1), entry("b")])
    with milvus_client(embedded) as client:
        [row] = client.query("documents", filter='doc_id == "a" and passage == 0', output_fields=["*"])
        changed = {"title": "t", "text": "another", "vector": [1.0] * DIMENSIONS, "metadata": {"field": 2}}[field]
        client.upsert("documents", [row | {field: changed}])
    assert set(made.get(["b"])) == {"b"}
    with pytest.raises(IntegrityError, match="'a' is not what was written"):
        made.get(["a", "b"])


@needs_milvus
def test_a_lost_passage_is_found_out(embedded, opened):
    made = opened(create_collection(embedded, INFO))
    made.upsert([entry("a", passages=3)])
    with milvus_client(embedded) as client:
        client.delete("documents", filter="passage == 1")
    with pytest.raises(IntegrityError, match="'a' is not what was written"):
        made.get(["a"])


@needs_milvus
@pytest.mark.parametrize(
    ("large", "said"),
    [
        (entry("large", text="é" * 32_768), "'large': its text takes 65,536 bytes; Milvus holds 65,535: split it"),
        (entry("large", title="x" * 65_536), "'large': its title takes 65,536 bytes; Milvus holds 65,535"),
        (entry("large", field="x" * 65_536), r"its metadata as JSON takes 65,\d+ bytes; Milvus holds 65,536"),
        (entry("é" * 2_001), "its id takes 4,002 bytes; Milvus holds 4,000"),
        (entry("large", field=2**64), "would come back changed .* more than 64 bits"),
        (entry("large", field=float("nan")), "cannot hold its metadata"),
        (entry(""), "an id must hold something"),
        (entry("a\tb"), "no control character"),
    ],
)
def test_what_milvus_cannot_hold_is_refused_before_anything_is_stored(embedded, opened, large, said):
    made = opened(create_collection(embedded, INFO))
    with pytest.raises(DataError, match=said):
        made.upsert([entry("good"), large])
    assert made.count() == 0
    assert made.version() == ""


@needs_milvus
def test_documents_at_the_limits_of_milvus_are_kept(embedded, opened):
    made = opened(create_collection(embedded, INFO))
    metadata = {"field": "x" * (65_536 - len(json.dumps({"field": ""})))}
    largest = [
        entry("é" * 2_000, title="x" * 65_535, text="文" * 21_845, **metadata),
        *entries([f"d{number:03d}" for number in range(150)], text="x" * 65_535),
    ]
    made.upsert(largest)
    found = made.get([e.document.doc_id for e in largest])
    assert all(same(found[e.document.doc_id], e) for e in largest)
    assert len(made.documents(limit=200)) == 151


@needs_milvus
@pytest.mark.parametrize("field", ["", 'a"b', "a\\b", "a\nb", "a][b", '"] == 1 or metadata["x'])
def test_a_field_that_milvus_cannot_filter_by_is_refused(embedded, opened, field):
    made = opened(create_collection(embedded, INFO))
    with pytest.raises(ParameterError, match="cannot filter by a field named"):
        made.search(queries(1), 1, {field: 1})


@needs_milvus
@pytest.mark.parametrize("value", [2**63, -(2**63), float("nan"), float("inf"), "\ud800"])
def test_a_value_that_milvus_cannot_filter_by_is_refused(embedded, opened, value):
    made = opened(create_collection(embedded, INFO))
    with pytest.raises(ParameterError, match="a filter asks for a text, a finite number of 64 bits or a truth value"):
        made.search(queries(1), 1, {"field": value})


@needs_milvus
def test_more_than_milvus_finds_is_refused(embedded, opened):
    made = opened(create_collection(embedded, INFO))
    made.upsert([entry("d")])
    assert len(made.search(queries(1), 16_383)[0]) == 1
    with pytest.raises(ParameterError, match="at most 16,383 for a query, asked for 16,384"):
        made.search(queries(1), 16_384)


@needs_milvus
def test_a_change_that_was_broken_off_is_completed_by_the_next(embedded, opened, monkeypatch):
    made = opened(create_collection(embedded, INFO))
    made.upsert([entry("d", passages=5, seed=1)])
    monkeypatch.setattr(made, "_remove", lambda keys: None)  # as if killed before the old passages are removed
    now = entry("d", passages=2, seed=2)
    made.upsert([now])
    assert same(made.get(["d"])["d"], now)
    monkeypatch.undo()
    made.upsert([now])
    assert made.search(queries(20), 2) == found_by_numpy([now], queries(20), 2)


@needs_milvus
def test_a_creation_that_was_broken_off_is_completed_by_opening(embedded, opened, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("embedlab.rollout.stores.milvus.MilvusStore.open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            create_collection(embedded, INFO)
    made = opened(open_collection(embedded))
    made.upsert([entry("d")])
    assert made.count() == 1
    with milvus_client(embedded) as client:
        assert client.list_indexes("documents") == ["vector"]


def interrupted(*_):
    raise KeyboardInterrupt


@needs_milvus
def test_a_collection_that_was_released_is_loaded_again(embedded, opened):
    made = opened(create_collection(embedded, INFO))
    made.upsert([entry("d")])
    with milvus_client(embedded) as client:
        client.release_collection("documents")
        assert made.count() == 1
        client.release_collection("documents")
        assert len(made.search(queries(1), 1)[0]) == 1


@needs_milvus
def test_a_collection_of_somebody_else_is_told_apart(tmp_path):
    address = f"{tmp_path}/milvus.db#foreign"
    with milvus_client(address) as client:
        client.create_collection("foreign", dimension=4)
        with pytest.raises(IntegrityError, match="embedlab did not make it"):
            open_collection(address)
        with pytest.raises(EmbedlabError, match="exists already"):
            create_collection(address, INFO)


HOLDER = """
import sys, time
from embedlab.rollout.stores.addresses import open_collection
collection = open_collection(sys.argv[1])
print(collection.count(), flush=True)
time.sleep(60)
"""


@needs_milvus
def test_an_embedded_milvus_of_another_process_is_told_apart_and_free_after_its_death(embedded):
    with closing(create_collection(embedded, INFO)) as made:
        made.upsert([entry("d")])
    command = [sys.executable, "-c", HOLDER, embedded]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(StoreError, match="held by another process, and only one at a time") as told:
            open_collection(embedded)
        assert f"milvus-lite server --data-dir {embedded.partition('#')[0]} --host 127.0.0.1" in str(told.value)
        holder.kill()
    with closing(open_collection(embedded)) as again:
        assert again.count() == 1


@needs_milvus
def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "milvus.db").write_text("no folder")
    with pytest.raises(StoreError, match=r"milvus\.db cannot be opened: .*exists"):
        open_collection(f"{tmp_path}/milvus.db#documents")


THREADS = """
import os, signal, sys, threading
import numpy as np
from embedlab.rollout.stores.addresses import open_collection
from embedlab.rollout.stores.base import Document, Entry
def write(thread):
    collection = open_collection(sys.argv[1])
    for number in range(60):
        vectors = np.full((3, 8), number, dtype=np.float32)
        ids = [f"{thread}-{number:02d}-{i}" for i in range(5)]
        collection.upsert([Entry.of(Document(i), vectors, collection.info.identity.digest) for i in ids])
        collection.delete(ids[:1])
threads = [threading.Thread(target=write, args=[thread]) for thread in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_milvus
def test_threads_of_one_process_may_write_to_an_embedded_milvus_that_is_killed(embedded, opened):
    """Milvus Lite itself loses what two threads write at once: see docs/milvus_cluster.md."""
    with closing(create_collection(embedded, INFO)):
        pass
    done = run_python(THREADS, embedded, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
    made = opened(open_collection(embedded))
    wanted = [f"{thread}-{number:02d}-{i}" for thread in range(4) for number in range(60) for i in range(1, 5)]
    assert list(made.ids()) == wanted
    assert set(made.get(wanted)) == set(wanted)


@needs_milvus
def test_a_server_that_is_killed_is_told_and_nothing_is_lost_when_it_is_back(tmp_path, opened, capfd):
    with MilvusServer(tmp_path / "data") as server:
        address = f"{server.uri}#documents"
        made = opened(create_collection(address, INFO))
        stored = [entry(f"d{number:02d}", passages=3) for number in range(40)]
        made.upsert(stored)
        made.delete(["d03"])
        version = made.version()
        server.kill()
        calls = [
            lambda: made.search(queries(1), 1),
            lambda: made.upsert([entry("lost")]),
            lambda: made.get(["d00"]),
            lambda: list(made.ids()),
            lambda: made.version(),
            lambda: open_collection(address),
        ]
        for call in calls:
            start = time.monotonic()
            with pytest.raises(StoreError, match=f"{server.uri} cannot be reached: start the server") as told:
                call()
            assert time.monotonic() - start < 10
            assert "token" not in str(told.value)
        server.start()
        kept = [e for e in stored if e.document.doc_id != "d03"]
        assert made.version() == version
        assert made.search(queries(5), 4) == found_by_numpy(kept, queries(5), 4)
        made.upsert([entry("more")])
        assert made.count() == 40
    assert capfd.readouterr() == ("", "")


@needs_milvus
@pytest.mark.full
def test_a_server_that_hangs_is_told_in_time(tmp_path, opened):
    """About 12 seconds: the time that a call may take."""
    with MilvusServer(tmp_path / "data") as server:
        made = opened(create_collection(f"{server.uri}#documents", INFO))
        made.upsert([entry("d")])
        server.pause()
        start = time.monotonic()
        with pytest.raises(StoreError, match="did not answer within 10 seconds; the same command may work later"):
            made.version()
        assert time.monotonic() - start < 12
        server.resume()
        assert made.count() == 1


@needs_milvus
def test_a_token_is_never_shown(monkeypatch):
    from milvus_server import free_port

    monkeypatch.setenv("MILVUS_TOKEN", "user:secret")
    port = free_port()
    for place in (f"http://127.0.0.1:{port}", f"http://user:secret@127.0.0.1:{port}"):
        with pytest.raises(StoreError, match=f"http://127.0.0.1:{port} cannot be reached or does not") as told:
            open_collection(f"{place}#documents")
        assert "secret" not in str(told.value)


def test_milvus_that_is_not_installed_is_told(monkeypatch):
    from embedlab.rollout.stores import milvus_link

    monkeypatch.setattr(milvus_link, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pymilvus is not installed: pip install 'embedlab\[milvus\]'"):
        open_collection("http://127.0.0.1:1#documents")


def test_milvus_is_imported_when_it_is_used_and_not_before():
    code = """
import sys
import embedlab.rollout.stores.milvus, embedlab.rollout.stores.addresses
print(sorted({m.split(".")[0] for m in sys.modules} & {"pymilvus", "milvus_lite", "grpc", "orjson"}))
"""
    assert run_python(code).stdout.strip() == "[]"


@needs_milvus
@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2])
def test_any_changes_in_any_order_survive_flushes_compactions_and_kills(tmp_path, opened, seed):
    """About 30 seconds each. The server writes its files after every few changes, which it else does at 128 MB."""
    with MilvusServer(tmp_path / "data", memory=20_000) as server:
        model = Model(opened(create_collection(f"{server.uri}#documents", INFO)), seed)
        for _ in range(12):
            for _ in range(40):
                model.step()
            server.kill()
            server.start()
            model.compare()


@needs_milvus
@pytest.mark.full
def test_several_processes_may_write_to_one_collection_of_a_server(tmp_path, opened):
    """About 10 seconds. With more than one worker Milvus Lite loses documents here: see docs/milvus_cluster.md."""
    with MilvusServer(tmp_path / "data", memory=200_000) as server:
        address = f"{server.uri}#documents"
        made = opened(create_collection(address, INFO))
        code = """
import sys
import numpy as np
from embedlab.rollout.stores.addresses import open_collection
from embedlab.rollout.stores.base import Document, Entry
collection = open_collection(sys.argv[1])
for number in range(100):
    vectors = np.full((3, 8), number, dtype=np.float32)
    ids = [f"{sys.argv[2]}-{number:03d}-{i}" for i in range(5)]
    collection.upsert([Entry.of(Document(i), vectors, collection.info.identity.digest) for i in ids])
    collection.delete(ids[:1])
"""
        commands = [[sys.executable, "-c", code, address, str(writer)] for writer in range(3)]
        writers = [subprocess.Popen(command, env=os.environ) for command in commands]
        assert [writer.wait() for writer in writers] == [0, 0, 0]
        server.kill()
        server.start()
        wanted = sorted(f"{writer}-{n:03d}-{i}" for writer in range(3) for n in range(100) for i in range(1, 5))
        assert list(made.ids()) == wanted
        assert made.count() == len(wanted)
        assert set(made.get(wanted)) == set(wanted)


def test_a_checksum_covers_everything():
    plain = entry("d", title="t", text="x", field=1)
    changed = [
        replace(plain, document=replace(plain.document, doc_id="e")),
        replace(plain, document=replace(plain.document, title="u")),
        replace(plain, document=replace(plain.document, text="y")),
        replace(plain, document=replace(plain.document, metadata={"field": 2})),
        replace(plain, vectors=plain.vectors + 1),
        replace(plain, space="another"),
    ]
    for e in changed:
        assert checksum_of(e.document, e.vectors, e.space) != plain.checksum
        with pytest.raises(IntegrityError, match="is not what was written"):
            e.require_unchanged("here")
