"""Whatever embedlab is given, it says what is wrong: every row of the table in ``tests/faulty``."""

import faulthandler

import pytest
from conftest import PROJECT
from faulty import contents
from faulty.table import FACES

WATCHDOG = 60
"""Seconds after which a row that hangs ends its process, with the place where it hung."""

EVERY = [
    pytest.param(face, row, id=f"{face.__name__.removeprefix('faulty.')}-{row.where}-{row.what}", marks=marks)
    for face in FACES
    for row in face.ROWS
    for marks in [[getattr(pytest.mark, name) for name in ("full", "model") if getattr(row, name)]]
]


@pytest.mark.parametrize(("face", "row"), EVERY)
def test_an_input_leads_to_what_the_table_says(face, row, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDLAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("EMBEDLAB_REGISTRY", str(tmp_path / "outputs" / "openings.jsonl"))
    ask = face.prepare(row, tmp_path)
    before = contents(tmp_path)
    faulthandler.dump_traceback_later(WATCHDOG, exit=True)
    try:
        outcome = ask()
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert (outcome.kind, outcome.message) == (row.expected, outcome.message)
    assert row.says in outcome.message
    if row.expected == "error":
        assert contents(tmp_path) == before


def test_the_page_in_the_docs_is_made_from_the_table():
    from faulty.page import page

    assert (PROJECT / "docs" / "faulty_inputs.md").read_text(encoding="utf-8") == page()
