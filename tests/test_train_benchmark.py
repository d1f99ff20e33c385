"""The benchmark of training: what it makes of the checks that each training told, and that it runs."""

import json
import os
import subprocess
import sys
import time

import pandas as pd
import pytest
import train
from conftest import PROJECT, surroundings


def one(*qualities, seconds=10.0, pairs=100, memory=2**30):
    """Return what a training tells whose checks scored so, each so many seconds and pairs after the one before."""
    checks = []
    for number, quality in enumerate(qualities):
        spent = {"pairs": number * pairs, "seconds": number * seconds, "processor": number * seconds / 2}
        checks.append(spent | {"quality": quality})
    return {"checks": checks, "memory": memory}


def test_the_level_is_the_best_that_every_training_of_both_reached():
    rounds = {"ours": [one(0.4, 0.6, 0.5), one(0.4, 0.7)], "library": [one(0.4, 0.45, 0.44), one(0.4, 0.5)]}
    assert train.level(rounds) == 0.45


def test_times_are_those_of_the_first_check_at_the_level():
    ours = [one(0.4, 0.6, 0.5, seconds=5.0, pairs=100)]
    library = [one(0.4, 0.41, 0.55, seconds=20.0, pairs=64)]
    found = train.compared({"ours": ours, "library": library})
    assert found["level"] == 0.55
    assert found["ours"]["seconds_to_level"] == 5
    assert found["library"]["seconds_to_level"] == 40
    assert found["library"]["processor_to_level"] == 20
    assert found["library"]["pairs_to_level"] == 128
    assert found["ratio"]["seconds_to_level"] == 5 / 40


def test_the_rate_is_that_of_the_whole_training_and_the_median_over_rounds():
    ours = [one(0.4, 0.5, seconds=seconds) for seconds in (1.0, 2.0, 50.0)]
    library = [one(0.4, 0.4, 0.5, seconds=10.0)] * 3
    found = train.compared({"ours": ours, "library": library})
    assert found["ours"]["pairs_per_second"] == 50
    assert found["library"]["pairs_per_second"] == 10
    assert found["ours"]["pairs_per_processor_second"] == 100
    assert found["ratio"]["pairs_per_second"] == 5
    assert "| pairs a second | 50.0 | 10.0 | 5.00 |" in train.table(found)
    assert "| memory at most, MiB | 1,024.0 | 1,024.0 | 1.00 |" in train.table(found)


def test_where_one_of_them_got_no_better_there_is_no_level():
    found = train.compared({"ours": [one(0.4, 0.5)], "library": [one(0.4, 0.3)]})
    assert found["level"] is None
    assert found["ratio"]["seconds_to_level"] is None
    assert found["ratio"]["pairs_per_second"] == 1
    assert "| seconds to the level | - | - | - |" in train.table(found)
    assert "one of them got no better than the base, 0.400" in train.table(found)


class Slow:
    """A validation that takes its time."""

    def scores(self, encode):
        time.sleep(0.3)
        return pd.Series([0.5, 0.7])


def test_the_time_of_a_check_is_not_that_of_training():
    clock = train.Clock(Slow(), limit=0.05, every=2, pairs=[0, 10, 20, 25])
    clock.scores(None)
    time.sleep(0.1)
    with pytest.raises(train.TimeIsUpError):
        clock.scores(None)
    first, second = clock.rows
    assert (first["seconds"], first["pairs"]) == (0, 0)
    assert 0.1 <= second["seconds"] < 0.3
    assert second["pairs"] == 20
    assert second["quality"] == pytest.approx(0.6)


def test_a_busy_machine_is_called_so():
    told = {"threads": 2, "gpu": None, "precision": "float32"}
    assert train.machine(1000.0, told)["busy"]
    assert not train.machine(0.0, told)["busy"]


@pytest.mark.full
def test_it_runs_both_and_writes_what_it_found(smoke, tmp_path):
    few = "--rounds 1 --seconds 0.001 --batch 4 --check-pairs 1 --queries 2 --documents 4"
    out = tmp_path / "train.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/train.py", str(smoke.folder), *few.split(), "--out", str(out)],
        cwd=PROJECT, env={**os.environ, **surroundings(smoke.outputs)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    for name in ("ours", "library"):
        [training] = told["trainings"][name]
        assert [check["pairs"] > 0 for check in training["checks"]] == [False, True]
        assert told[name]["pairs_per_second"] > 0
        assert told[name]["memory"] > 2**28
    assert "| pairs a second |" in done.stdout
