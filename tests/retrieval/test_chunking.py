"""Documents cut into passages by a model's tokenizer, and documents scored by their passages."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_encoder import ToyEncoder

from embedlab.data import stable_hash
from embedlab.errors import ParameterError
from embedlab.models import MINILM, WORDLLAMA, load_model
from embedlab.retrieval import BM25, Chunked, Cutting, Dense, Filter, PassageSearch, cut, top_k

KINDS = ["fixed", "sentences", "headings"]

PROSE = (
    "Adversaries may dump credentials from memory. They use tools, e.g. Mimikatz v2.2, for this! Does it work? "
    "It does on most hosts. Dr. Smith et al. describe the details in chapter 3."
)


@pytest.fixture(scope="module")
def minilm():
    return load_model(MINILM, "float32")


def document(text, title=""):
    return pd.DataFrame({"doc_id": ["d"], "title": [title], "text": [text]})


def cut_one(text, cutting, encoder=None, title=""):
    return cut(document(text, title), cutting, encoder or ToyEncoder()).tolist()


# --- by the model's tokens ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [16, 64, 256])
def test_no_passage_has_more_tokens_than_asked_for_with_its_title_and_all_special_tokens(minilm, kind, tokens):
    words = "credential electroencephalographic x86_64 0xdeadbeefcafe " * 40
    corpus = pd.DataFrame(
        {
            "doc_id": ["a", "b", "c"],
            "title": ["OS Credential Dumping", "", "A title " * 60],
            "text": [PROSE * 5, words + "z" * 90, f"# One\n{PROSE}\n## Two\n{PROSE}"],
        }
    )
    found = cut(corpus, Cutting(kind, tokens, tokens // 8), minilm)
    counts = minilm.token_counts(found.tolist())
    assert max(counts) <= tokens
    assert set(found.index) == {"a", "b", "c"}


def test_windows_are_as_long_as_fits(minilm):
    found = cut_one("word " * 300, Cutting("fixed", 32, 0), minilm)
    assert minilm.token_counts(found[:-1]) == [32] * (len(found) - 1)


def test_windows_overlap_by_so_many_tokens(minilm):
    words = [f"w{chr(97 + i % 26)}" for i in range(100)]
    found = [passage.split() for passage in cut_one("the " * 100, Cutting("fixed", 22, 5), minilm)]
    assert [len(passage) for passage in found[:-1]] == [20] * (len(found) - 1)
    assert sum(map(len, found)) == len(words) + 5 * (len(found) - 1)


def test_a_document_that_fits_is_what_search_without_passages_reads(minilm):
    corpus = document("Adversaries  may wait.\n", "Time")
    assert cut(corpus, Cutting("sentences"), minilm).tolist() == ["Time Adversaries  may wait."]
    assert cut_one("", Cutting()) == [""]
    assert cut_one("", Cutting(), title="Title alone") == ["Title alone"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_title_stands_before_every_passage_and_takes_at_most_half_of_it(minilm, kind):
    found = cut_one(PROSE, Cutting(kind, 32, 4), minilm, title="Credential Access")
    assert len(found) > 1
    assert all(passage.startswith("Credential Access ") for passage in found)
    long = cut_one(PROSE, Cutting(kind, 32, 4), minilm, title="word " * 100)
    assert all(passage.split().count("word") == 15 for passage in long)
    bare = cut_one(PROSE, Cutting(kind, 32, 4, title=False), minilm, title="Credential Access")
    assert bare[0].startswith("Adversaries")


def test_passages_end_between_words_where_there_are_any(minilm):
    text = "electroencephalographically " * 30
    assert set(" ".join(cut_one(text, Cutting("fixed", 16, 0), minilm)).split()) == {"electroencephalographically"}
    chinese = "攻击者可能会转储凭据" * 20
    assert "".join(cut_one(chinese, Cutting("fixed", 16, 0), minilm)) == chinese


def test_a_static_models_tokenizer_counts_too():
    found = cut_one("one two three four five six seven eight", Cutting("fixed", 5, 0), load_model(WORDLLAMA))
    assert found == ["one two three four", "five six seven eight"]


def test_an_encoder_without_a_models_files_counts_by_words_and_marks():
    assert cut_one("one two, three four five six", Cutting("fixed", 4, 0)) == ["one two, three", "four five six"]


WORDS = [
    "a",
    "word",
    "Mr.",
    "end.",
    "What?",
    "文です。",
    "a\u0301e\u0301",
    "😀😀",
    "x" * 30,
    "«Sí».",
    "ﬁne",
    "(c.f. 3)",
]
LINES = ["# Head\n", "\n2.1 Part\n", "\nLOUD LINE\n", "\nName:\n", "\n\n", "\u200f", "```\n", "\t", "\r\n"]
PIECES = st.sampled_from([*WORDS, *LINES])
TEXTS = st.lists(PIECES, max_size=60).map(" ".join)


def without_space(text):
    return "".join(text.split())


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(TEXTS, max_size=4), kind=st.sampled_from(KINDS), tokens=st.integers(8, 40), share=st.floats(0, 0.5)
)
def test_whatever_the_text_no_passage_has_more_tokens_than_asked_for(minilm, texts, kind, tokens, share):
    corpus = pd.DataFrame({"doc_id": range(len(texts)), "title": [text[:50] for text in texts], "text": texts})
    found = cut(corpus, Cutting(kind, tokens, int(tokens * share)), minilm)
    assert max(minilm.token_counts(found.tolist()), default=0) <= tokens


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, kind=st.sampled_from(["fixed", "sentences"]), tokens=st.integers(4, 40))
def test_passages_that_do_not_overlap_are_the_document(text, kind, tokens):
    found = cut_one(text, Cutting(kind, tokens, 0))
    assert without_space("".join(found)) == without_space(text)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(PIECES, max_size=40), kind=st.sampled_from(KINDS), tokens=st.integers(4, 40), half=st.booleans())
def test_passages_that_overlap_lose_no_word_and_keep_the_order(pieces, kind, tokens, half):
    # Numbers, on lines of their own, cannot be part of a heading that is said again.
    text = "".join(f"{piece}\n{number}\n" for number, piece in enumerate(pieces, start=100))
    found = cut_one(text, Cutting(kind, tokens, tokens // 2 if half else 0))
    expected = 100
    for passage in found:
        numbers = [int(word) for word in passage.split() if word.isdigit() and len(word) == 3]
        if numbers:
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            assert 100 <= numbers[0] <= expected <= numbers[-1] + 1
            expected = numbers[-1] + 1
    assert expected == 100 + len(pieces)


def test_a_thousand_documents_keep_their_order_and_their_ids():
    corpus = pd.DataFrame({"doc_id": [f"d{i}" for i in range(2500)], "title": "", "text": "one two three four five"})
    found = cut(corpus, Cutting("fixed", 4, 0), ToyEncoder())
    assert found.index.tolist() == [f"d{i}" for i in range(2500) for _ in range(2)]
    assert found.iloc[-2:].tolist() == ["one two three four", "five"]


# --- at sentences and headings ------------------------------------------------------------------


def test_sentences_stay_whole_and_are_packed_as_many_as_fit():
    found = cut_one("One two three. Four five six! Seven eight? Nine ten.", Cutting("sentences", 8, 0))
    assert found == ["One two three. Four five six!", "Seven eight? Nine ten."]


def test_sentences_overlap_whole():
    text = "One two. Three four. Five six. Seven eight."
    assert cut_one(text, Cutting("sentences", 6, 3)) == [
        "One two. Three four.",
        "Three four. Five six.",
        "Five six. Seven eight.",
    ]
    # Two tokens are less than any sentence has.
    assert cut_one(text, Cutting("sentences", 6, 2)) == ["One two. Three four.", "Five six. Seven eight."]


def test_only_a_sentence_that_does_not_fit_is_cut():
    text = "Short one. " + "long " * 20 + "end. Short two."
    found = cut_one(text, Cutting("sentences", 10, 0))
    assert found[0] == "Short one."
    assert found[-1] == "Short two."
    assert len(found) == 5


@pytest.mark.parametrize(
    ("language", "tokens", "sentences"),
    [
        (
            "en",
            20,
            [
                "They use tools, e.g. Mimikatz v2.2, shown in Fig. 3.",
                "Dr. Smith et al. left the house before the U.S. team came!",
            ],
        ),
        ("de", 9, ["Das gilt z. B. hier.", "Am 3. Oktober kam Dr. Müller.", "Die Nr. 5 lebt!"]),
        ("es", 8, ["¿Dónde está el Sr. García?", "¡Aquí está la Sra. Paz!", "Se fue a casa."]),
        ("ja", 6, ["これは文です。", "次の文なのです！", "そうですか？"]),
        ("en", 5, ["第一句话。", "第二句话！", "第三句话？"]),
        ("hi", 5, ["यह एक वाक्य है।", "दूसरा वाक्य यहाँ है।"]),
    ],
)
def test_sentences_end_as_their_language_ends_them(language, tokens, sentences):
    gap = "" if sentences[0].endswith("。") else " "
    assert cut_one(gap.join(sentences), Cutting("sentences", tokens, 0, language=language)) == sentences


MANUAL = """Before all headings.

# Install
Run the installer.

## Options
Choose one. Choose another. Choose a third.

```
# no heading but a comment
```

2.1 Upgrade
Stop it first.

KNOWN PROBLEMS
None.

Notes:
End of file.
"""


def test_every_heading_starts_a_passage():
    found = cut_one(MANUAL, Cutting("headings", 100, 0))
    assert [passage.splitlines()[0] for passage in found] == [
        "Before all headings.",
        "# Install",
        "## Options",
        "2.1 Upgrade",
        "KNOWN PROBLEMS",
        "Notes:",
    ]
    assert "# no heading but a comment" in found[2]


def test_a_section_that_does_not_fit_is_cut_at_sentences_with_its_heading_before_each():
    found = cut_one("# Options\nChoose one. Choose another. Choose a third.", Cutting("headings", 6, 0))
    assert found == ["# Options\nChoose one.", "# Options Choose another.", "# Options Choose a third."]


def test_headings_without_a_text_between_are_one():
    assert cut_one("# A\n## B\nText.\n# C\nMore.", Cutting("headings", 50, 0)) == ["# A\n## B\nText.", "# C\nMore."]


@pytest.mark.parametrize("line", ["A sentence ends here.", "lower case:", "12", "see 2.1 below,", "", "a" * 90 + ":"])
def test_other_lines_are_no_headings(line):
    assert len(cut_one(f"Text before.\n{line}\nText behind.", Cutting("headings", 300, 0))) == 1


# --- what cannot be cut -------------------------------------------------------------------------


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(ParameterError, match="unknown kind of passages 'sentence'; did you mean 'sentences'"):
        Cutting("sentence")


@pytest.mark.parametrize("overlap", [-1, 33, 64])
def test_an_overlap_is_at_most_half_of_a_passage(overlap):
    with pytest.raises(ParameterError, match=f"of 64 tokens cannot overlap by {overlap}: .* from 0 to 32"):
        Cutting("fixed", 64, overlap)


def test_passages_that_the_model_would_cut_off_are_refused(minilm):
    with pytest.raises(ParameterError, match=r"passages of 512 tokens: .*MiniLM.* reads at most 256"):
        cut_one("text", Cutting("fixed", 512), minilm)


def test_passages_without_room_for_a_text_are_refused(minilm):
    with pytest.raises(ParameterError, match=r"passages of 4 tokens leave 2 for a text .* choose 6 or more"):
        cut_one("text", Cutting("fixed", 4, 0), minilm)


# --- documents by their passages ----------------------------------------------------------------


class Rolls:
    """An encoder that gives every text a fixed random unit vector: no two cosines are the same."""

    name = "rolls"

    def encode(self, texts, kind="document"):
        rows = [np.random.default_rng(stable_hash(kind, text)).normal(size=16) for text in texts]
        vectors = np.array(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def searched():
    """Passages of 60 documents, of one to seven each, and not standing together."""
    rng = np.random.default_rng(0)
    owners = np.repeat([f"d{i:02d}" for i in range(60)], rng.integers(1, 8, 60))
    owners = rng.permutation(owners)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 40, 6)) for _ in owners]
    return pd.Series(texts, index=owners)


QUERIES = pd.Series({f"q{i}": f"w{i} w{i + 1} w{i + 2}" for i in range(20)})


def by_hand(passages, aggregate):
    """Return the run of all documents by a loop over queries and documents."""
    encoder = Rolls()
    vectors = encoder.encode(passages.tolist())
    rows = []
    for query_id, query in zip(QUERIES.index, encoder.encode(QUERIES.tolist(), "query"), strict=True):
        for doc_id in passages.index.unique():
            cosines = vectors[passages.index == doc_id] @ query
            rows.append((query_id, doc_id, float(aggregate(cosines))))
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


@pytest.mark.parametrize(
    ("scores", "top", "aggregate"),
    [
        ("max", 3, np.max),
        ("first", 3, lambda cosines: cosines[0]),
        ("mean", 3, lambda cosines: np.sort(cosines)[-3:].mean()),
        ("mean", 1, np.max),
        ("mean", 100, np.mean),
    ],
)
def test_a_document_scores_by_all_of_its_passages(searched, scores, top, aggregate):
    found = PassageSearch(Rolls(), searched, scores=scores, top=top).search(QUERIES, 60)
    wanted = by_hand(searched, aggregate)
    both = found.merge(wanted, on=["query_id", "doc_id"])
    assert len(both) == len(found) == 20 * 60
    assert both["score_x"].to_numpy() == pytest.approx(both["score_y"].to_numpy(), abs=5e-6)


def test_the_best_documents_are_found_however_many_passages_others_have():
    many = pd.Series(["w1 w2 w3"] * 500 + ["w1 w2"], index=["loud"] * 500 + ["quiet"])
    found = PassageSearch(ToyEncoder(), many).search(pd.Series({"q": "w1 w2 w3"}), 2)
    assert found["doc_id"].tolist() == ["loud", "quiet"]


def test_fewer_are_the_best_of_more(searched):
    search = PassageSearch(Rolls(), searched, scores="mean", top=2)
    assert search.search(QUERIES, 3).equals(top_k(search.search(QUERIES, 60), 3))


@pytest.mark.parametrize("scores", ["max", "mean", "first"])
def test_a_filter_leaves_what_a_search_of_all_has_left_after_it(searched, scores):
    documents = pd.DataFrame({"doc_id": searched.index.unique()})
    documents["kind"] = ["x", "y", None] * 20
    asked = pd.DataFrame({"query_id": QUERIES.index, "kind": (["x", "y", None, "z"] * 5)})
    where = Filter.equal("kind", asked, documents)
    search = PassageSearch(Rolls(), searched, scores=scores)
    wanted = top_k(where.keep(search.search(QUERIES, 60)), 10)
    pd.testing.assert_frame_equal(search.search(QUERIES, 10, where), wanted)


def test_the_same_vectors_serve_every_way_to_score(searched):
    encoder = ToyEncoder()
    first = PassageSearch(encoder, searched)
    encoded = encoder.texts
    other = first.scored("first")
    assert other.vectors is first.vectors
    assert encoder.texts == encoded
    assert other.search(QUERIES).equals(PassageSearch(ToyEncoder(), searched, scores="first").search(QUERIES))
    assert other.name == "toy, passages, the first alone"


def test_chunked_searches_passages_cut_by_tokens():
    corpus = pd.DataFrame(
        {"doc_id": ["long", "short"], "title": "", "text": ["w1 " * 50 + "needle", "needle and thread and more of it"]}
    )
    whole = Dense(ToyEncoder(), corpus.set_index("doc_id")["text"])
    chunked = Chunked(ToyEncoder(), corpus, cutting=Cutting("fixed", 4, 0))
    query = pd.Series({"q": "w1 needle"})
    assert chunked.passages.index.value_counts().to_dict() == {"long": 13, "short": 2}
    assert chunked.search(query)["score"].max() > whole.search(query)["score"].max()


def test_no_query_finds_nothing_and_no_document_is_no_passage(searched):
    found = PassageSearch(ToyEncoder(), searched).search(QUERIES.iloc[:0])
    assert found.empty
    assert list(found) == ["query_id", "doc_id", "score"]
    assert cut(document("text").iloc[:0], Cutting(), ToyEncoder()).empty


def test_what_documents_cannot_score_by_is_refused(searched):
    with pytest.raises(ParameterError, match="unknown scores 'maximum' of documents; did you mean 'max'"):
        PassageSearch(ToyEncoder(), searched, scores="maximum")
    with pytest.raises(ParameterError, match="mean of its best 0 passages; choose 1 or more"):
        PassageSearch(ToyEncoder(), searched, scores="mean", top=0)


def test_passages_of_documents_are_what_lexical_search_can_search_too(searched):
    assert not BM25(searched).search(QUERIES, 5).empty
