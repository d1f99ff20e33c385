"""Any BEIR folder: honoured splits, graded and gzipped files, and every fault with file and line."""

import json
from pathlib import Path

import pytest
from conftest import CRANFIELD, needs_cranfield, toy_rows, write_beir

import embedlab
from embedlab.data import read_raw, stop_at_errors
from embedlab.errors import DataError, ParameterError


def load(path, **options):
    return embedlab.load_collection("beir", path=path, **options)


def kinds(path) -> dict[str, int]:
    found = [f.kind for f in read_raw("beir", path=path).findings]
    return {kind: found.count(kind) for kind in found}


@pytest.fixture
def rows():
    return toy_rows()


def test_a_folder_is_read_with_title_text_and_judgments(toy):
    collection = load(toy)
    assert (len(collection.corpus), len(collection.queries), len(collection.qrels)) == (40, 40, 40)
    assert collection.document_texts()["d0"].startswith("otter river Report 0: the otter")


def test_gzipped_files_give_the_same_collection(tmp_path, rows, toy):
    corpus, queries, judgments = rows
    zipped = load(write_beir(tmp_path / "z", corpus, queries, {"test": judgments}, zipped=True))
    plain = load(toy)
    assert zipped.queries.equals(plain.queries)
    assert zipped.qrels.equals(plain.qrels)


def test_a_qrels_file_may_lack_its_header(tmp_path, rows):
    corpus, queries, judgments = rows
    assert len(load(write_beir(tmp_path / "h", corpus, queries, {"all": judgments}, header=False)).qrels) == 40


def test_grades_are_kept_zero_included(tmp_path, rows):
    corpus, queries, judgments = rows
    graded = [(q, d, i % 4) for i, (q, d, _) in enumerate(judgments)]
    collection = load(write_beir(tmp_path / "g", corpus, queries, {"test": graded}))
    assert sorted(set(collection.qrels["relevance"])) == [0, 1, 2, 3]
    assert "q0" not in collection.relevant()
    assert collection.relevant()["q1"] == {"d1"}


def test_titles_without_texts_and_texts_without_titles_are_read(tmp_path, rows):
    corpus, queries, judgments = rows
    for row in corpus[:10]:
        del row["text"]
    for row in corpus[10:20]:
        del row["title"]
    corpus[20]["title"] = None
    collection = load(write_beir(tmp_path / "m", corpus, queries, {"test": judgments}))
    texts = collection.document_texts()
    assert texts["d0"] == "otter river"
    assert texts["d10"].startswith("Report")
    assert texts["d20"].startswith("Report")


def test_a_document_with_neither_title_nor_text_is_listed(tmp_path, rows):
    corpus, queries, judgments = rows
    corpus[3] = {"_id": "d3", "title": " "}
    assert kinds(write_beir(tmp_path / "e", corpus, queries, {"test": judgments})) == {"empty document": 1}


def test_metadata_becomes_columns_flat_or_nested(tmp_path, rows):
    corpus, queries, judgments = rows
    for row in corpus:
        row["metadata"] = {"lang": "en", "nested": {"no": 1}}
    for row in queries:
        row["lang"] = "en"
    collection = load(write_beir(tmp_path / "md", corpus, queries, {"test": judgments}))
    assert collection.metadata_fields() == ["lang"]
    assert "nested" not in collection.corpus


def test_a_single_qrels_file_is_split_by_group_whatever_its_name(tmp_path, rows):
    corpus, queries, judgments = rows
    for stem in ("test", "train", "all"):
        collection = load(write_beir(tmp_path / stem, corpus, queries, {stem: judgments}))
        assert collection.unit == "group"
        assert collection.queries["part"].value_counts().to_dict() == {"train": 25, "test": 10, "dev": 5}


def test_given_splits_are_honoured(tmp_path, rows):
    corpus, queries, judgments = rows
    splits = {"train": judgments[:20], "dev": judgments[20:30], "test": judgments[30:]}
    part = load(write_beir(tmp_path / "s", corpus, queries, splits)).queries.set_index("query_id")["part"]
    assert [part["q0"], part["q25"], part["q35"]] == ["train", "dev", "test"]
    assert part.value_counts().to_dict() == {"train": 20, "dev": 10, "test": 10}


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_other_names_of_dev_are_understood(tmp_path, rows, name):
    corpus, queries, judgments = rows
    splits = {"train": judgments[:20], name: judgments[20:30], "test": judgments[30:]}
    assert set(load(write_beir(tmp_path / "s", corpus, queries, splits)).queries["part"]) == {"train", "dev", "test"}


def test_a_missing_dev_is_taken_from_train_and_the_test_stays(tmp_path, rows):
    corpus, queries, judgments = rows
    path = write_beir(tmp_path / "s", corpus, queries, {"train": judgments[:30], "test": judgments[30:]})
    part = load(path).queries.set_index("query_id")["part"]
    assert set(part[part == "test"].index) == {f"q{i}" for i in range(30, 40)}
    assert 0 < (part == "dev").sum() < 10
    assert part.equals(load(path).queries.set_index("query_id")["part"])


def test_a_missing_train_is_taken_from_dev_and_the_test_stays(tmp_path, rows):
    corpus, queries, judgments = rows
    path = write_beir(tmp_path / "s", corpus, queries, {"dev": judgments[:30], "test": judgments[30:]})
    part = load(path).queries.set_index("query_id")["part"]
    assert set(part[part == "test"].index) == {f"q{i}" for i in range(30, 40)}
    assert (part == "train").sum() > (part == "dev").sum() > 0


def test_given_splits_over_shared_documents_speak_of_new_queries_only(tmp_path, rows):
    corpus, queries, _ = rows
    judgments = [(q["_id"], f"d{i % 10}", 1) for i, q in enumerate(queries)]
    splits = {"train": judgments[:20], "dev": judgments[20:30], "test": judgments[30:]}
    assert load(write_beir(tmp_path / "s", corpus, queries, splits)).unit == "query"


def test_queries_glued_by_shared_documents_are_split_one_by_one(tmp_path, rows):
    corpus, queries, judgments = rows
    glued = judgments + [(q["_id"], "d0", 1) for q in queries[1:]]
    collection = load(write_beir(tmp_path / "s", corpus, queries, {"test": glued}))
    assert collection.unit == "query"
    assert collection.queries["part"].nunique() == 3


def test_a_malformed_json_line_names_file_and_line(toy):
    with (toy / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "d99", "title": \n')
    with pytest.raises(DataError, match=r"corpus\.jsonl:41: not JSON"):
        load(toy)


@pytest.mark.parametrize("line", ['{"id": "x"}', '["x"]', "5"])
def test_a_line_without_an_id_names_file_and_line(toy, line):
    with (toy / "queries.jsonl").open("a") as stream:
        stream.write("\n" + line + "\n")
    with pytest.raises(DataError, match=r"queries\.jsonl:42: expected an object with the key '_id'"):
        load(toy)


def test_a_duplicate_id_names_both_lines(toy):
    with (toy / "corpus.jsonl").open("a") as stream:
        stream.write(json.dumps({"_id": "d7", "text": "again"}) + "\n")
    with pytest.raises(DataError, match=r"corpus\.jsonl:41: _id 'd7' stands already on line 8"):
        load(toy)


def test_a_duplicate_query_id_is_an_error_too(toy):
    with (toy / "queries.jsonl").open("a") as stream:
        stream.write(json.dumps({"_id": "q7", "text": "again"}) + "\n")
    with pytest.raises(DataError, match=r"queries\.jsonl:41: _id 'q7' stands already on line 8"):
        load(toy)


def test_an_empty_corpus_is_an_error(tmp_path, rows):
    with pytest.raises(DataError, match="corpus: there are no documents"):
        load(write_beir(tmp_path / "e", [], rows[1], {"test": rows[2]}))


def test_a_collection_without_judgments_is_an_error(tmp_path, rows):
    with pytest.raises(DataError, match="no judgment names both a known query and a document"):
        load(write_beir(tmp_path / "e", rows[0], rows[1], {"test": []}))


@pytest.mark.parametrize("line", ["q1 d1 1", "q1\td1", "q1\td1\tyes"])
def test_a_malformed_judgment_names_file_and_line(toy, line):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=r"test\.tsv:42: expected query-id, corpus-id and an integer score"):
        load(toy)


@pytest.mark.parametrize(("query", "document"), [("q1", "nowhere"), ("nobody", "d1")])
def test_under_five_percent_dangling_judgments_are_listed_and_loading_goes_on(toy, query, document):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write(f"{query}\t{document}\t1\n")
    findings = load(toy).findings
    (row,) = findings[findings["kind"].str.startswith("dangling")].to_dict("records")
    assert row["where"].endswith("test.tsv:42")


def test_over_five_percent_dangling_judgments_stop_the_run_with_the_count_and_the_first(toy):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.writelines(f"q{i}\tnowhere{i}\t1\n" for i in range(3))
    with pytest.raises(DataError, match=r"3 of 43 judgments \(7\.0%\) point nowhere, at most 5% may.*test\.tsv:42"):
        load(toy)


def test_strict_stops_at_the_first_dangling_judgment(toy):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write("q1\tnowhere\t1\n")
    with pytest.raises(DataError, match="none are allowed with strict"):
        load(toy, strict=True)


def test_an_unknown_document_counts_as_relevant_and_never_found(toy):
    from embedlab.evaluation import per_query
    from embedlab.retrieval import BM25

    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write("q1\tnowhere\t1\n")
    collection = load(toy)
    found = BM25(collection.document_texts()).search(collection.query_texts())
    assert per_query(collection.qrels, found, ["R@100"]).loc["q1", "R@100"] == 0.5


def test_an_unknown_query_is_left_out(toy):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write("nobody\td1\t1\n")
    assert "nobody" not in set(load(toy).qrels["query_id"])


def test_the_same_judgment_twice_is_listed_and_the_higher_grade_counts(toy):
    with (toy / "qrels/test.tsv").open("a") as stream:
        stream.write("q1\td1\t1\nq2\td2\t2\n")
    assert kinds(toy) == {"duplicate judgment": 1, "contradictory grades": 1}
    qrels = load(toy).qrels.set_index("query_id")["relevance"]
    assert (len(qrels), qrels["q2"]) == (40, 2)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named_with_what_is_there(toy, name):
    (toy / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing \(found: .*qrels"):
        load(toy)


def test_a_folder_without_qrels_is_an_error(toy):
    (toy / "qrels/test.tsv").unlink()
    with pytest.raises(DataError, match=r"qrels: no \.tsv file"):
        load(toy)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "none")
    with pytest.raises(ParameterError, match="needs a folder: --set path="):
        load("")


def test_a_file_that_is_not_utf8_or_not_gzip_is_an_error(toy):
    (toy / "queries.jsonl").write_bytes('{"_id": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"queries\.jsonl: not UTF-8"):
        load(toy)
    (toy / "queries.jsonl").unlink()
    (toy / "queries.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"queries\.jsonl\.gz: not a readable gzip file"):
        load(toy)


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(ParameterError, match="unknown source 'bier'; did you mean 'beir'"):
        embedlab.load_collection("bier")


def test_an_option_that_no_source_has_names_the_nearest(toy):
    with pytest.raises(ParameterError, match="no source has an option 'paths'; did you mean 'path'"):
        embedlab.load_collection("beir", paths=toy)


def test_options_of_other_sources_are_ignored(toy):
    assert load(toy, techniques=5, terms=7).qrels.equals(load(toy).qrels)


def test_validation_sees_every_fault_at_once(toy):
    with (toy / "corpus.jsonl").open("a") as stream:
        stream.write("{\n" + json.dumps({"_id": "d7"}) + "\n")
    raw = read_raw("beir", path=toy)
    assert [f.kind for f in raw.findings if f.level == "error"] == ["malformed", "duplicate id"]
    with pytest.raises(DataError, match=r"\(and 1 more errors\)"):
        stop_at_errors(raw)


@needs_cranfield
def test_cranfield_is_split_by_query():
    collection = load(CRANFIELD)
    assert (len(collection.corpus), len(collection.queries)) == (1400, 225)
    assert collection.unit == "query"
    assert set(collection.queries["part"]) == {"train", "dev", "test"}


def test_a_file_that_may_not_be_read_is_named(toy, monkeypatch):
    opened = Path.open

    def refuse(path, *args, **options):
        if path.name == "queries.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"queries\.jsonl: cannot be read: Permission denied"):
        load(toy)
