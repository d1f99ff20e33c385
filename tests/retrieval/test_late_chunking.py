"""Passages encoded in the context of their document, against a plain loop over its tokens."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from embedlab.errors import ParameterError
from embedlab.models import MINILM, WORDLLAMA, load_model
from embedlab.retrieval import Cutting, Filter, LateChunked, cut

TEXT = (
    "Berlin is the capital of Germany. It has about four million inhabitants. The city lies on the river Spree, "
    "and its zoo is well known. Nobody knows how many bears live there!"
)


@pytest.fixture(scope="module")
def minilm():
    return load_model(MINILM, "float32")


def corpus_of(*texts, title=""):
    return pd.DataFrame({"doc_id": [f"d{i}" for i in range(len(texts))], "title": title, "text": texts})


@pytest.mark.parametrize("text", [TEXT, "one", "", "über naïve 日本語 😀 text\u200f"])
def test_a_document_of_one_passage_has_the_models_own_vector(minilm, text):
    corpus = corpus_of(text, title="A title")
    late = LateChunked(minilm, corpus, Cutting("sentences", 256, 0))
    own = minilm.encode([f"A title {text}".strip()])
    assert late.vectors == pytest.approx(own, abs=1e-5)
    assert late.passages.tolist() == [f"A title {text}".strip()]


def by_hand(minilm, text, passages):
    """Return the means of token vectors of passages that do not overlap, token by token."""
    rows = minilm.model.encode([text], output_value="token_embeddings")[0].numpy()
    words = minilm.model.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    bounds = [text.index(passage) for passage in passages]
    sums = [[] for _ in passages]
    for number, (row, (start, _)) in enumerate(zip(rows, words, strict=True)):
        owner = 0
        if number == len(rows) - 1:
            owner = len(passages) - 1
        elif number > 0:
            owner = max(at for at, bound in enumerate(bounds) if bound <= start)
        sums[owner].append(row)
    means = np.array([np.mean(own, axis=0) for own in sums])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_passages_vector_is_the_mean_of_its_tokens_in_the_whole_document(minilm):
    late = LateChunked(minilm, corpus_of(TEXT), Cutting("sentences", 24, 0))
    assert len(late.passages) == 3
    assert late.vectors == pytest.approx(by_hand(minilm, TEXT, late.passages.tolist()), abs=1e-5)


def test_passages_that_overlap_share_their_tokens_vectors(minilm):
    words = " ".join(f"word{chr(97 + i)}" for i in range(20))
    late = LateChunked(minilm, corpus_of(words), Cutting("fixed", 22, 10))
    first, second = late.passages.tolist()[:2]
    assert set(first.split()) & set(second.split())
    rows = minilm.model.encode([words], output_value="token_embeddings")[0].numpy()
    offsets = minilm.model.tokenizer(words, return_offsets_mapping=True)["offset_mapping"]
    begin = words.index(second)
    own = [row for row, (a, b) in zip(rows, offsets, strict=True) if b and begin <= a < begin + len(second)]
    wanted = np.mean(own, axis=0)
    assert late.vectors[1] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)


def test_the_context_moves_a_passage_towards_what_it_speaks_of(minilm):
    cutting = Cutting("sentences", 12, 0)
    asked = minilm.encode(["Berlin"], "query")[0]
    late = LateChunked(minilm, corpus_of(TEXT), cutting)
    alone = minilm.encode(cut(corpus_of(TEXT), cutting, minilm).tolist())
    it = next(at for at, passage in enumerate(late.passages) if passage.startswith("It has"))
    assert late.vectors[it] @ asked > alone[it] @ asked + 0.1


def test_a_document_beyond_the_models_limit_is_read_in_windows_that_overlap(minilm):
    numbered = " ".join(f"Sentence {i} tells of thing {i * 7 % 50}." for i in range(120))
    corpus = corpus_of(numbered, "short")
    late = LateChunked(minilm, corpus, Cutting("sentences", 64, 0))
    assert sum(minilm.token_counts([numbered])) > 3 * 256
    assert " ".join(late.passages[late.passages.index == "d0"]) == numbered
    assert np.linalg.norm(late.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    # A passage at the end is near to what it is alone: it was read, and not cut off.
    alone = minilm.encode(late.passages.tolist())
    assert ((late.vectors * alone).sum(axis=1) > 0.6).all()
    # The first window is read as if it stood alone, but for the special token behind it.
    first = LateChunked(minilm, corpus_of(numbered[:500]), Cutting("sentences", 64, 0))
    assert first.passages.iloc[0] == late.passages.iloc[0]
    assert float(first.vectors[0] @ late.vectors[0]) > 0.9


def test_the_order_of_documents_changes_no_vector(minilm):
    texts = [TEXT, "short", TEXT * 3, ""]
    late = LateChunked(minilm, corpus_of(*texts), Cutting("sentences", 24, 8))
    for number, text in enumerate(texts):
        own = late.vectors[late.passages.index == f"d{number}"]
        assert own == pytest.approx(LateChunked(minilm, corpus_of(text), Cutting("sentences", 24, 8)).vectors, abs=1e-4)


def test_it_is_searched_like_any_other_retriever(minilm):
    corpus = corpus_of(TEXT, "Paris is the capital of France. It lies on the river Seine.")
    late = LateChunked(minilm, corpus, Cutting("sentences", 16, 0))
    queries = pd.Series({"q": "which river runs through Paris?"})
    assert late.search(queries)["doc_id"].tolist() == ["d1", "d0"]
    asked = pd.DataFrame({"query_id": ["q"], "country": ["Germany"]})
    where = Filter.equal("country", asked, corpus.assign(country=["Germany", "France"]))
    assert late.search(queries, where=where)["doc_id"].tolist() == ["d0"]
    assert late.name == "sentence-transformers/all-MiniLM-L6-v2, late chunking"


@pytest.fixture(scope="module")
def prompted(minilm, tmp_path_factory):
    """MiniLM with a prompt before documents, that is pooled with them or not."""

    def make(include_prompt):
        folder = tmp_path_factory.mktemp("prompted") / "model"
        shutil.copytree(minilm.files.folder, folder)
        settings = folder / "config_sentence_transformers.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"prompts": {"document": "passage: "}}))
        pooling = folder / "1_Pooling" / "config.json"
        pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"include_prompt": include_prompt}))
        return load_model(str(folder), "float32")

    return make


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_prompt_stands_before_the_document_and_counts_as_the_model_counts_it(prompted, include_prompt):
    encoder = prompted(include_prompt)
    late = LateChunked(encoder, corpus_of(TEXT), Cutting("sentences", 256, 0))
    assert encoder.prompt("document") == "passage: "
    assert late.vectors == pytest.approx(encoder.encode([TEXT]), abs=1e-5)


def test_a_table_of_word_vectors_has_no_context():
    with pytest.raises(ParameterError, match="needs a model that reads tokens in context; wordllama"):
        LateChunked(load_model(WORDLLAMA), corpus_of(TEXT), Cutting())


def test_another_pooling_is_refused(minilm, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(minilm.files.folder, folder)
    pooling = folder / "1_Pooling" / "config.json"
    options = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    pooling.write_text(json.dumps(options))
    with pytest.raises(ParameterError, match=r"mean pooling; .* pools by cls"):
        LateChunked(load_model(str(folder), "float32"), corpus_of(TEXT), Cutting())
