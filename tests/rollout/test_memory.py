"""The memory of a backfill does not grow with the corpus."""

import json
import os
import subprocess
import sys

import pytest
from conftest import PROJECT

from embedlab.models import WORDLLAMA

COLLECTION = PROJECT.parent / "shared" / "fixtures" / "nl2bash"

pytestmark = [pytest.mark.model, pytest.mark.full]


def peak_mb(*words):
    """Run a command of its own; return its exit code's proof and the most memory that it held, in MB."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from embedlab.cli import main; main()", *map(str, words)], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return used.ru_maxrss / 1024


def peak_of_a_backfill(folder, documents):
    """Return the peak of re-indexing so many documents of real text, with a model of tables."""
    rows = [json.loads(line) for line in (COLLECTION / "corpus.jsonl").read_text().splitlines()]
    folder.mkdir()
    with (folder / "corpus.jsonl").open("w") as stream:
        for number in range(documents):
            row = rows[number % len(rows)]
            stream.write(json.dumps(row | {"_id": f"{row['_id']}-{number}"}) + "\n")
    model = ["--model", WORDLLAMA]
    state = ["--state", folder / "s.db"]
    peak_mb("index", "build", *model, "--path", folder / "corpus.jsonl", "--out", folder / "old")
    peak_mb("reindex", "plan", *state, "--from", folder / "old", "--to", folder / "new", *model, "--batch-size", "256")
    return peak_mb("reindex", "start", *state)


@pytest.mark.skipif(not COLLECTION.is_dir(), reason="the test collections are not here")
def test_ten_times_the_documents_take_the_same_memory(tmp_path):
    """About 2 minutes: 10,000 and 100,000 documents; neither index is ever in memory, so none of it is taken off."""
    small = peak_of_a_backfill(tmp_path / "small", 10_000)
    large = peak_of_a_backfill(tmp_path / "large", 100_000)
    assert large < 1.1 * small, (small, large)
