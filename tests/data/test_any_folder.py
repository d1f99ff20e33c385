"""Whatever is in a folder, ``embedlab validate`` ends with its exit code and no traceback."""

import json

from conftest import toy_rows, write_beir
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from embedlab.cli import app
from embedlab.errors import EmbedlabError

SOUND = toy_rows(40)

any_text = st.text(st.characters(exclude_categories=()), max_size=12)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.just(10**400)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3), max_leaves=6
)
names = st.sampled_from(["_id", "title", "text", "metadata", "created", "family", "part", "year", ""]) | any_text
ids = st.sampled_from(["d0", "q0", "d1", "x"]) | any_text | leaves
objects = st.fixed_dictionaries({"_id": ids}, optional={"text": values, "title": values, "metadata": values}).flatmap(
    lambda known: st.dictionaries(names, values, max_size=3).map(lambda further: further | known)
)
lines = (objects | values).map(json.dumps).map(str.encode) | st.binary(max_size=30)
judgments = st.lists(ids.map(str) | st.sampled_from(["1", "-1", "1e9", "nan", ""]), max_size=5).map("\t".join)
judged = judgments.map(lambda line: line.encode("utf-8", "replace")) | st.binary(max_size=20)


def validated(folder) -> int:
    """Return the exit code; anything that is no named error comes through."""
    done = CliRunner().invoke(app, ["validate", str(folder)], standalone_mode=False)
    if isinstance(done.exception, EmbedlabError):
        return 4
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    done.output.encode()
    return done.exit_code or done.return_value or 0


@given(st.booleans(), st.lists(lines, max_size=6), st.lists(lines, max_size=6), st.lists(judged, max_size=6))
@settings(max_examples=120, deadline=None)
def test_whatever_lines_are_in_the_folder_validate_ends_with_its_code(tmp_path_factory, sound, corpus, queries, rows):
    folder = tmp_path_factory.mktemp("any")
    # Beside sound rows the odd ones get as far as the parts; alone they stop before.
    write_beir(folder, *(SOUND[:2] if sound else ([], [])), {"test": SOUND[2] if sound else []})
    for name, added in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", rows)):
        with (folder / name).open("ab") as stream:
            stream.write(b"\n".join(added))
    assert validated(folder) in (0, 4, 5)
