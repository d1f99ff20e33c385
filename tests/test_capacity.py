"""The page on capacity holds what its tool computes, and the tool computes what its formulas say."""

import runpy
import sys
from dataclasses import replace

import pytest
from conftest import PROJECT

PAGE = PROJECT / "docs" / "capacity.md"
TOOL = runpy.run_path(str(PROJECT / "tools" / "capacity.py"))


@pytest.fixture
def printed(monkeypatch, capsys):
    """Return what the tool prints for some arguments."""

    def call(*arguments):
        script = str(PROJECT / "tools" / "capacity.py")
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(script, run_name="__main__")
        return capsys.readouterr().out

    return call


def test_the_page_has_the_tables_that_the_tool_makes(printed, tmp_path):
    copy = tmp_path / "capacity.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    printed("--write", copy)
    told = "run: .venv/bin/python tools/capacity.py --write docs/capacity.md"
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8"), told


def test_a_number_that_was_changed_by_hand_is_put_right(printed, tmp_path):
    copy = tmp_path / "capacity.md"
    text = PAGE.read_text(encoding="utf-8")
    copy.write_text(text.replace("| 1 million |", "| 2 million |"), encoding="utf-8")
    printed("--write", copy)
    assert copy.read_text(encoding="utf-8") == text


def test_a_page_without_a_place_for_a_table_is_refused(printed, tmp_path):
    copy = tmp_path / "capacity.md"
    copy.write_text("# Nothing\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no place for the table 'throughput'"):
        printed("--write", copy)


def test_hours_machines_and_cost_follow_from_rate_cores_and_price(printed):
    said = printed("--rate", 2, "--scaling", 0.5, "--cores", 4, "--price", 3, "--count", "28.8e6")
    assert "28,800,000 ÷ 2.0 a second and core ÷ 3,600 = 4,000 core hours" in said
    assert "| 28.8 million | 2,000 | 12 machines | 6,000 |" in said


TERMS = TOOL["Terms"](1.0, 1.0, 1, 1.0, 384, 500, 1.0, 272.0, 1000.0, 64e9)


@pytest.mark.parametrize(
    ("dimensions", "nodes_or_sectors"), [(384, 4096 / 2), (768, 4096), (1024, 2 * 4096), (64, 4096 / 8)]
)
def test_a_node_on_the_disk_takes_its_share_of_a_sector_or_whole_sectors(dimensions, nodes_or_sectors):
    assert TOOL["disk_bytes"](replace(TERMS, dimensions=dimensions)) == nodes_or_sectors


def test_bytes_of_indexes_are_those_of_the_formulas():
    memory = TOOL["index_memory"](1_000_000, TERMS)
    assert memory["flat"] == 1_000_000 * 4 * 384
    assert memory["HNSW"] == memory["flat"] + 1_000_000 * 272
    assert memory["IVF-PQ"] == 1_000_000 * (48 + 8) + 4000 * 4 * 384
    assert memory["DISKANN"] == memory["flat"] / 4


def test_the_graph_that_was_measured_has_the_links_that_it_should():
    """64 links of 4 bytes on the lowest layer, a 32nd of the nodes on higher ones, and where each list begins."""
    assert TOOL["measured_terms"]()["graph_bytes"] == pytest.approx(64 * 4 + 32 * 4 / 32 + 8 + 4, abs=2)


@pytest.mark.parametrize(
    ("number", "said"), [(999, "999 B"), (1e3, "1 kB"), (1.5e6, "1.5 MB"), (462e9, "462 GB"), (3.84e12, "3.84 TB")]
)
def test_sizes_are_said_in_their_unit(number, said):
    assert TOOL["size_of"](number) == said
