"""The alias moves index and encoder together, and a damaged index never goes live."""

import json

import pandas as pd
import pytest
from toy_encoder import DOCUMENTS, NEW, OLD, toy_index

from embedlab.errors import EmbedlabError, IdentityError, IntegrityError, MissingInputError
from embedlab.retrieval import BM25, Pipeline, Settings
from embedlab.rollout import copy_registry

ENCODERS = {e.identity.digest: e for e in (OLD, NEW)}


def test_a_switch_names_index_and_encoder_and_a_rollback_brings_both_back(registry):
    registry.add("new", toy_index(NEW))
    assert registry.switch("new", "go").encoder == NEW.identity.digest
    assert registry.open(registry.live(), ENCODERS).encoder is NEW
    assert registry.rollback("back").index == "old"
    assert registry.open(registry.live(), ENCODERS).encoder is OLD
    assert [e["index"] for e in registry.history()] == ["old", "new", "old"]


def test_the_first_release_has_nothing_to_go_back_to(registry):
    with pytest.raises(MissingInputError, match="first"):
        registry.rollback("back")


def test_an_index_is_never_overwritten(registry):
    before = (registry.folder / "old" / "index.faiss").read_bytes()
    with pytest.raises(EmbedlabError, match="exists already"):
        registry.add("old", toy_index(NEW))
    assert (registry.folder / "old" / "index.faiss").read_bytes() == before


def test_a_release_without_its_encoder_does_not_open(registry):
    with pytest.raises(IdentityError, match="needs the queries of old"):
        registry.open(registry.live(), {NEW.identity.digest: NEW})


def test_a_damaged_index_cannot_go_live(registry):
    registry.add("new", toy_index(NEW))
    (registry.folder / "new" / "index.faiss").write_bytes(b"broken")
    with pytest.raises(IntegrityError):
        registry.switch("new", "go")
    assert registry.live().index == "old"


def test_a_copy_moves_its_own_alias_only(registry, tmp_path):
    registry.add("new", toy_index(NEW))
    copy = copy_registry(registry.folder, tmp_path / "copy")
    copy.switch("new", "go")
    assert (registry.live().index, copy.live().index) == ("old", "new")


def test_a_release_is_opened_by_its_name_too(registry):
    registry.add("new", toy_index(NEW))
    opened = registry.open("new", ENCODERS)
    assert (opened.name, opened.encoder) == ("new", NEW)


CORPUS = pd.DataFrame({"doc_id": DOCUMENTS.index, "title": "", "text": DOCUMENTS.to_numpy()})
QUERIES = pd.DataFrame({"query_id": ["q"], "text": ["topic3 word21"]})
FUSED = Settings(weight=0.3)


def test_a_release_is_served_with_the_stages_that_it_was_stored_with(registry):
    lexical = BM25(DOCUMENTS)
    registry.add("new", toy_index(NEW), FUSED)
    assert registry.switch("new", "go").settings == registry.live().settings == FUSED
    served = registry.serve(registry.live(), ENCODERS, CORPUS, lexical).search(QUERIES)
    built = Pipeline.build(NEW, CORPUS, FUSED, lexical).search(QUERIES)
    pd.testing.assert_frame_equal(served, built)
    assert registry.rollback("back").settings == Settings()


def test_other_stages_are_another_release(registry):
    registry.add("new", toy_index(NEW), FUSED)
    registry.add("new", toy_index(NEW), FUSED)
    with pytest.raises(EmbedlabError, match="exists already"):
        registry.add("new", toy_index(NEW), Settings(weight=0.4))


@pytest.mark.parametrize("content", ["", json.dumps({"wieght": 1})])
def test_damaged_stages_cannot_go_live(registry, content):
    registry.add("new", toy_index(NEW), FUSED)
    (registry.folder / "new" / "settings.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"index 'new': settings\.json cannot be read"):
        registry.switch("new", "go")
    assert registry.live().index == "old"
