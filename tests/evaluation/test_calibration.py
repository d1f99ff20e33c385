"""The verdict holds its promise on real scores: SHIP without a gain is rare, a detectable gain is found.

What is simulated uses the draws and formulas of ``embedlab.evaluation`` for many trials at once; the
first tests here show that the numbers are the same.
"""

import calibration
import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image, UnidentifiedImageError

from embedlab.evaluation import compare_scores, interval
from embedlab.evaluation.intervals import gain


@pytest.fixture(scope="module")
def cranfield():
    return calibration.difference("cranfield")["difference"].to_numpy()


@pytest.fixture(scope="module")
def attack():
    table = calibration.difference("attack")
    return table["difference"].to_numpy(), table["group"].to_numpy()


def test_the_simulated_interval_over_queries_is_the_public_one(cranfield):
    trials = cranfield[np.random.default_rng(5).integers(0, len(cranfield), (3, 50))]
    low, high = calibration.bootstrap_ends(trials, np.ones_like(trials), calibration.draws(50))
    for trial, ends in zip(trials, zip(low, high, strict=True), strict=True):
        assert interval(trial) == pytest.approx(ends, abs=1e-12)


def test_the_simulated_interval_over_groups_is_the_public_one(attack):
    values, labels = attack
    chosen = sorted(set(labels))[:24]
    kept = np.isin(labels, chosen)
    values, labels = values[kept], labels[kept]
    sums = np.array([[values[labels == g].sum() for g in chosen]])
    sizes = np.array([[float((labels == g).sum()) for g in chosen]])
    found = gain(values, labels.tolist())
    both = calibration.bootstrap_ends(sums, sizes, calibration.draws(24)), calibration.t_ends(sums, sizes)
    for public, simulated in zip(found.groups, both, strict=True):
        assert public.ends(0.95) == pytest.approx(simulated[:, 0], abs=1e-12)
    everything = [found.queries.ends(0.95), *(ends[:, 0] for ends in both)]
    widest = calibration.widest(*(np.array(ends)[:, None] for ends in everything))[:, 0]
    assert found.deciding().ends(0.95) == pytest.approx(widest, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1], ids=["base", "BM25"])
@pytest.mark.parametrize("n", [50, 200])
def test_over_queries_no_gain_rarely_ships_and_the_detectable_one_mostly(cranfield, n, sign):
    rates = calibration.query_cell(sign * cranfield, n, trials=2000, resamples=1000)
    assert rates["false"] <= 0.05
    assert 0.70 <= rates["found"] <= 0.90


def test_over_groups_no_gain_rarely_ships_but_would_over_queries_alone(attack):
    rates = calibration.group_cell(*attack, n=20, trials=500, resamples=500)
    assert rates["queries"] > 0.10
    assert rates["decides"] <= 0.06, "at most .05, and as much again for 500 trials"
    assert rates["found"] > 0.60


def test_a_planted_false_interval_is_caught(cranfield, monkeypatch):
    """The check can fail: an interval of 80 % ships without a gain far too often."""
    quantile = np.quantile
    monkeypatch.setattr(np, "quantile", lambda a, q, axis: quantile(a, [0.1, 0.9], axis=axis))
    assert calibration.query_cell(cranfield, 50, trials=2000, resamples=1000)["false"] > 0.05


@pytest.mark.full
def test_the_verdict_is_calibrated_over_queries_at_full_size(cranfield):
    cells = [calibration.query_cell(s * cranfield, n) for n in (50, 200, 800) for s in (1, -1)]
    assert max(c["false"] for c in cells) <= 0.05
    assert all(0.70 <= c["found"] <= 0.90 for c in cells)
    assert 0.75 <= np.mean([c["found"] for c in cells]) <= 0.85


@pytest.mark.full
@pytest.mark.parametrize("n", calibration.GROUPS)
def test_the_verdict_is_calibrated_over_groups_at_full_size(attack, n):
    values, labels = attack
    for sign in (1, -1):
        rates = calibration.group_cell(sign * values, labels, n, trials=2000)
        assert rates["decides"] <= 0.05
        assert rates["queries"] > 0.10


@pytest.mark.full
def test_public_verdicts_of_a_few_hundred_trials_hold_too(cranfield):
    import pandas as pd

    chance, n, trials = np.random.default_rng(9), 50, 400
    zero = pd.Series(np.zeros(n))
    rows = cranfield[chance.integers(0, len(cranfield), (trials, n))]
    found = [compare_scores(zero, pd.Series(d), min_gain=cranfield.mean()) for d in rows]
    assert sum(c.verdict == "SHIP" for c in found) <= 0.05 * trials
    low = calibration.bootstrap_ends(rows, np.ones_like(rows), calibration.draws(n))[0]
    assert [c.verdict == "SHIP" for c in found] == (low >= cranfield.mean()).tolist()


def drawn(path):
    """Return the pixels of a PNG, after checking that something is drawn there: lines on a ground, in colours."""
    pixels = np.asarray(Image.open(path, formats=["PNG"]).convert("RGB"))
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    assert 0.5 < counts.max() / counts.sum() < 0.99, "one ground, and something on it"
    grey = np.ptp(colours.astype(int), axis=1) < 30
    assert counts[~grey].sum() > 0.001 * counts.sum(), "lines in colours"
    return pixels


def test_a_file_that_is_no_drawing_is_noticed(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"x" * 20_000)
    with pytest.raises(UnidentifiedImageError):
        drawn(path)
    Image.new("RGB", (1100, 400), "steelblue").save(path)
    with pytest.raises(AssertionError, match="something on it"):
        drawn(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 1100, 3), dtype=np.uint8)).save(path)
    with pytest.raises(AssertionError, match="one ground"):
        drawn(path)


def test_the_page_shows_its_figure_and_the_rates_it_speaks_of():
    page = (PROJECT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert "](calibration.png)" in page
    picture = drawn(PROJECT / "docs" / "calibration.png")
    assert picture.shape[0] >= 300
    assert picture.shape[1] >= 600
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.endswith(" % |")]
    assert len(rows) == 2 * (len(calibration.QUERIES) + len(calibration.GROUPS))
