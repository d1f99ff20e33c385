"""Search by sparse vectors equals the plain product of dense ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sentence_transformers import SparseEncoder
from tiny_models import WORDS, save_tiny
from transformers import BertForMaskedLM

from embedlab.data.trec import trec_order
from embedlab.models import load_sparse_encoder
from embedlab.retrieval import Filter, Sparse, top_k


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = save_tiny(tmp_path_factory.mktemp("sparse") / "masked", BertForMaskedLM)
    model = SparseEncoder(str(folder), device="cpu", max_active_dims=4)
    model.save(str(folder.parent / "splade"), create_model_card=False)
    return load_sparse_encoder(str(folder.parent / "splade"), "float32")


@pytest.fixture(scope="module")
def texts():
    drawn = np.random.default_rng(0)
    return pd.Series({f"d{at:02d}": " ".join(drawn.choice(WORDS, 5)) for at in range(40)})


@pytest.fixture(scope="module")
def queries():
    drawn = np.random.default_rng(1)
    return pd.Series({f"q{at:02d}": " ".join(drawn.choice(WORDS, 3)) for at in range(90)})


def plain(encoder, texts, queries, k, may=None):
    """The best products of dense vectors, one query and one document after another."""
    documents, asked = encoder.encode(texts.tolist()).toarray(), encoder.encode(queries.tolist(), "query").toarray()
    rows = []
    for query_id, query in zip(queries.index, asked, strict=True):
        for doc_id, document in zip(texts.index, documents, strict=True):
            score = sum(float(a) * float(b) for a, b in zip(query, document, strict=True))
            if score > 0 and (may is None or may(query_id, doc_id)):
                rows.append((query_id, doc_id, score))
    return top_k(pd.DataFrame(rows, columns=["query_id", "doc_id", "score"]), k)


def assert_same(found, wanted):
    assert found["query_id"].tolist() == wanted["query_id"].tolist()
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-5)
    # Where sums in another order part what is equal, documents may change places.
    pairs = [set(zip(run["query_id"], run["doc_id"], strict=True)) for run in (found, wanted)]
    assert len(pairs[0] & pairs[1]) >= 0.97 * len(wanted)


@pytest.mark.parametrize("k", [7, 100])
def test_sparse_search_is_the_exact_order_of_plain_products(encoder, texts, queries, k):
    found = Sparse(encoder, texts).search(queries, k)
    assert_same(found, plain(encoder, texts, queries, k))


def test_a_filter_is_kept_to(encoder, texts, queries):
    corpus = pd.DataFrame({"doc_id": texts.index, "kind": ["x", "y"] * 20})
    asked = pd.DataFrame({"query_id": queries.index, "kind": ["x", None, "y"] * 30})
    where = Filter.equal("kind", asked, corpus)
    wants, has = dict(asked.to_numpy()), dict(corpus.to_numpy())
    found = Sparse(encoder, texts).search(queries, 7, where)
    wanted = plain(encoder, texts, queries, 7, lambda q, d: pd.isna(wants[q]) or wants[q] == has[d])
    assert_same(found, wanted)


class Weights:
    """An encoder whose vectors are given: each text's words are weights of the vocabulary."""

    name = "given"

    def encode(self, texts, kind="document"):
        return csr_matrix(np.array([text.split() for text in texts], dtype=np.float32))


def test_equal_products_stand_in_trec_evals_order_where_the_cut_is():
    texts = pd.Series({"a": "1 0", "b": "1 0", "c": "1 0", "d": "2 0", "e": "0 1"})
    found = Sparse(Weights(), texts).search(pd.Series({"q": "1 0"}), 3)
    assert found["doc_id"].tolist() == ["d", "c", "b"]
    assert found.equals(trec_order(found))


def test_a_document_that_shares_no_word_is_left_out():
    found = Sparse(Weights(), pd.Series({"a": "1 0", "b": "0 1"})).search(pd.Series({"q": "1 0", "r": "0 0"}))
    assert found["doc_id"].tolist() == ["a"]


def test_no_query_has_no_results():
    class Nothing(Weights):
        def encode(self, texts, kind="document"):
            return csr_matrix((len(texts), 2), dtype=np.float32)

    found = Sparse(Nothing(), pd.Series({"a": "1 0"})).search(pd.Series([], dtype=str))
    assert list(found.columns) == ["query_id", "doc_id", "score"]
    assert found.empty
