"""Models: verified files, unit vectors, each text encoded once."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import literal_tail, run_python

import embedlab
from embedlab.errors import DataError, IdentityError, ModelError, ParameterError
from embedlab.files import sha256_file
from embedlab.models import MINILM, WORDLLAMA, Encoder, cosine_to_fp32
from embedlab.models.files.resolve import PACKAGED, resolve
from embedlab.models.loading import load_sentence_transformer
from embedlab.training import Recipe, Trainer

TEXTS = ["Adversaries may dump credentials.", "The otter swims.", "", "Adversaries may dump credentials."]


@pytest.fixture
def counted(monkeypatch):
    """The texts that were really encoded, in order."""
    seen: list[str] = []
    encode = Encoder.encode_uncached

    def counting(self, texts, kind="document"):
        seen.extend(texts)
        return encode(self, texts, kind)

    monkeypatch.setattr(Encoder, "encode_uncached", counting)
    return seen


def test_the_packaged_model_is_verified_by_its_hash():
    assert resolve(MINILM).weights == PACKAGED[MINILM][2]
    assert resolve(MINILM).weights == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.mark.parametrize("name", [MINILM, WORDLLAMA])
def test_a_packaged_model_with_one_byte_changed_is_refused(name, tmp_path, monkeypatch):
    package, inner, expected = PACKAGED[name]
    source = resolve(name).folder
    shutil.copytree(source, tmp_path / inner)
    weights = next((tmp_path / inner).glob("*.safetensors"))
    weights.chmod(0o600)
    with weights.open("r+b") as stream:
        stream.seek(100_000)
        byte = stream.read(1)
        stream.seek(100_000)
        stream.write(bytes([byte[0] ^ 1]))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("embedlab.models.files.resolve.find_spec", lambda _: spec)
    with pytest.raises(ModelError, match=rf"safetensors: sha256 is \w+, expected {expected}; .*install .*{package}"):
        embedlab.load_model(name)


def test_a_packaged_model_is_found_without_running_its_package():
    """One of them sets up everybody's logging when it is imported."""
    load = f"from embedlab.models.files.resolve import resolve; resolve({WORDLLAMA!r})"
    code = f"import sys; {load}; print(set(sys.modules))"
    assert "wordllama" not in literal_tail(run_python(code).stdout)


@pytest.fixture(scope="module")
def saved(minilm, tmp_path_factory):
    """The packaged model as sentence-transformers saves it, with a limit of 100 tokens."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = load_sentence_transformer(minilm.files)
    model.max_seq_length = 100
    model.save(str(folder), create_model_card=False)
    return folder


def limits(encoder):
    """What the identity says a text is cut at, and what sentence-transformers cuts it at."""
    return encoder.identity.max_length, load_sentence_transformer(encoder.files).max_seq_length


def test_the_identity_has_the_limit_at_which_texts_are_cut(minilm, saved):
    assert limits(minilm) == (256, 256)
    assert limits(embedlab.load_model(str(saved), "float32")) == (100, 100)


@pytest.mark.parametrize(("of_tokenizer", "of_model"), [(100, 100), (600, 512), (10**30, 512), (None, 512)])
def test_without_a_limit_of_its_own_the_lower_of_tokenizer_and_positions_counts(
    saved, tmp_path, of_tokenizer, of_model
):
    shutil.copytree(saved, tmp_path / "other")
    file = tmp_path / "other" / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"model_max_length": of_tokenizer}
    file.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
    assert limits(embedlab.load_model(str(tmp_path / "other"), "float32")) == (of_model, of_model)


def test_what_the_trainer_saves_is_cut_where_the_base_is(minilm, tmp_path):
    rows = pd.DataFrame({"query_id": ["a", "b"], "text": TEXTS[:2], "positive_ids": [["d0"], ["d1"]], "weight": 1.0})
    rows["negatives"] = [[], []]
    recipe = Recipe(steps=1, documents=2, queries_per_document=1, hard_negatives=0, document_tokens=64)
    trainer = Trainer(minilm, rows, pd.Series(TEXTS[:2], ["d0", "d1"]), {}, recipe)
    trainer.fit()
    trainer.save_model(tmp_path / "tuned")
    assert limits(embedlab.load_model(str(tmp_path / "tuned"), "float32")) == (256, 256)


def test_vectors_are_float32_of_unit_length(minilm):
    vectors = minilm.encode(TEXTS)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert minilm.encode([], "query").shape == (0, 384)


def test_vectors_are_sentence_transformers_own(minilm):
    own = minilm.model.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(minilm.encode(TEXTS) - own).max() < 1e-5


def test_vectors_do_not_depend_on_their_neighbours(minilm):
    alone = minilm.encode_uncached(["The otter swims."])
    among = minilm.encode_uncached(["The otter swims.", "word " * 300])
    assert alone[0] @ among[0] == pytest.approx(1, abs=1e-5)


def test_bf16_gives_nearly_the_same_vectors(minilm):
    half = embedlab.load_model(MINILM, "bfloat16")
    vectors = half.encode(TEXTS)
    assert vectors.dtype == np.float32
    exact = embedlab.load_model(MINILM, "float32").encode(TEXTS)
    lowest = float((vectors * exact).sum(axis=1).min())
    assert 0.999 < lowest < 1
    assert cosine_to_fp32(half, TEXTS) == pytest.approx(lowest, abs=1e-3)


@pytest.mark.model
def test_no_text_is_encoded_twice_in_a_run(tmp_path, counted):
    first = embedlab.load_model(WORDLLAMA, cache=tmp_path)
    vectors = first.encode(TEXTS)
    assert sorted(counted) == sorted(set(TEXTS))
    first.encode(TEXTS[::-1])
    again = embedlab.load_model(WORDLLAMA, cache=tmp_path).encode([*TEXTS, "new"])
    assert counted[3:] == ["new"]
    assert np.array_equal(again[:4], vectors)


@pytest.mark.model
def test_queries_and_documents_of_a_model_without_prompts_share_their_vectors(tmp_path, counted):
    encoder = embedlab.load_model(WORDLLAMA, cache=tmp_path)
    assert np.array_equal(encoder.encode(["a"], "query"), encoder.encode(["a"], "document"))
    assert counted == ["a"]


@pytest.mark.model
def test_a_model_whose_vectors_are_all_cached_is_not_loaded(tmp_path):
    embedlab.load_model(WORDLLAMA, cache=tmp_path).encode(TEXTS)
    again = embedlab.load_model(WORDLLAMA, cache=tmp_path)
    again.encode(TEXTS)
    assert "model" not in vars(again)


@pytest.mark.model
def test_vectors_that_do_not_fit_into_memory_are_told_before_the_first_is_computed(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * 256 * 99))
    encoder = embedlab.load_model(WORDLLAMA)
    encoder.encode(["a"] * 99)
    with pytest.raises(DataError, match=r"vectors of 100 texts take 0\.0 GB of memory, and 0\.0 GB are free"):
        encoder.encode(["a"] * 100)


@pytest.mark.model
@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("one text", r"expected a list of texts, found 'one text' \(str\)"),
        (None, "expected a list of texts, found None"),
        (["a", None], r"text 1 of 2 is None \(NoneType\)"),
        ([b"x"], r"text 0 of 1 is b'x' \(bytes\)"),
        (["a\ud800"], "text 0 of 1 holds half a surrogate pair"),
    ],
)
def test_what_is_no_list_of_texts_is_named(texts, said):
    with pytest.raises(DataError, match=said):
        embedlab.load_model(WORDLLAMA).encode(texts)


def test_a_kind_of_text_that_there_is_not_is_named():
    with pytest.raises(ParameterError, match="kind must be one of query, document; found 'title'"):
        embedlab.load_model(WORDLLAMA).encode(["a"], "title")


@pytest.mark.model
def test_two_models_and_two_precisions_do_not_share_a_cache(tmp_path):
    digests = {embedlab.load_model(MINILM, p).identity.digest for p in ("float32", "bfloat16")}
    assert len(digests | {resolve_digest(WORDLLAMA)}) == 3
    embedlab.load_model(WORDLLAMA, cache=tmp_path).encode(["a"])
    other = embedlab.load_model(MINILM, "float32", cache=tmp_path)
    assert other.encode(["a"]).shape == (1, 384)


def resolve_digest(name: str) -> str:
    return embedlab.load_model(name, "float32").identity.digest


@pytest.mark.model
def test_a_damaged_cache_file_is_left_out_and_its_texts_encoded_again(tmp_path, counted):
    embedlab.load_model(WORDLLAMA, cache=tmp_path).encode(["a"])
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:50])
    embedlab.load_model(WORDLLAMA, cache=tmp_path).encode(["a"])
    assert counted == ["a", "a"]


@pytest.fixture
def copied(tmp_path) -> Path:
    """The packaged model as a user's own folder."""
    return Path(shutil.copytree(resolve(MINILM).folder, tmp_path / "mine"))


def test_a_folder_works_like_a_name_and_is_the_same_space(copied):
    assert resolve_digest(str(copied)) == resolve_digest(MINILM)


def test_a_folder_without_safetensors_is_refused(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \.safetensors file; embedlab loads weights from safetensors only"):
        embedlab.load_model(str(copied))


def test_a_folder_with_another_tokenizer_is_another_space(copied):
    before = embedlab.load_model(str(copied), "float32").identity
    tokenizer = copied / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    after = embedlab.load_model(str(copied), "float32").identity
    with pytest.raises(IdentityError, match=r"the index was made by .* vectors of two models must not be mixed"):
        after.require(before, "the index")


def test_a_model_that_cannot_be_had_offline_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="'nobody/nothing' is neither a folder nor to be had from the hub"):
        embedlab.load_model("nobody/nothing")


def test_an_unknown_precision_names_the_valid_ones():
    with pytest.raises(ModelError, match="precision must be 'float32', 'bfloat16', 'float16' or 'auto', found 'int8'"):
        embedlab.load_model(WORDLLAMA, "int8")


def test_token_counts_are_untruncated(minilm):
    assert minilm.token_counts(["otter", "otter " * 400]) == [3, 402]


def saved_files(encoder: Encoder, folder: Path, longest: int | None) -> dict[str, str]:
    """Save the model as training does, after it has encoded a text cut at ``longest`` tokens."""
    model = load_sentence_transformer(encoder.files)
    if longest is not None:
        model.max_seq_length = longest
        model.encode(["otter " * 400])
    Trainer.save_model(SimpleNamespace(encoder=encoder, model=model), folder)
    return {str(p.relative_to(folder)): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


def test_a_saved_models_files_do_not_depend_on_what_it_encoded_before(minilm, tmp_path):
    assert saved_files(minilm, tmp_path / "a", None) == saved_files(minilm, tmp_path / "b", 64)
