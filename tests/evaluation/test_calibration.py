"""The verdict holds its promise on real scores: SHIP without a gain is rare, a detectable gain is found.

What is simulated uses the draws and formulas of ``embedlab.evaluation`` for many trials at once; the
first tests here show that the numbers are the same.
"""

import calibration
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from PIL import Image, UnidentifiedImageError

from embedlab.evaluation import compare_scores
from embedlab.evaluation.statistics.intervals import gain

CRANFIELD, ATTACK = calibration.populations("cranfield"), calibration.populations("attack")


def named(populations, name):
    """Return the population of this name."""
    (found,) = (p for p in populations if p.name == name)
    return found


def samples(population, n, trials, seed=5):
    """Return differences and labels of trials that draw ``n`` whole units, each unit drawn anew a group of its own."""
    names = sorted(set(population.labels))
    for row in np.random.default_rng(seed).integers(0, len(names), (trials, n)):
        units = [population.values[population.labels == names[i]] for i in row]
        labels = [f"{place:03d}" for place, values in enumerate(units) for _ in values]
        yield np.concatenate(units), labels


@pytest.mark.parametrize("name", ["nDCG@10, base - bm25", "RR@10, hybrid - base"])
@pytest.mark.parametrize("n", [30, 100])
def test_the_simulated_interval_over_queries_is_the_public_one(name, n):
    population = named(CRANFIELD, name)
    found = calibration.draw_trials(population, n, trials=3, seed=5).intervals(calibration.RESAMPLES)["decides"]
    for (values, _), ends in zip(samples(population, n, 3), found.T, strict=True):
        assert gain(values).ends() == pytest.approx(tuple(ends), abs=1e-9)


def test_the_simulated_interval_over_groups_is_the_public_one():
    population = named(ATTACK, "nDCG@10, hybrid - base")
    found = calibration.draw_trials(population, 24, trials=3, seed=5).intervals(calibration.RESAMPLES)["decides"]
    for (values, labels), ends in zip(samples(population, 24, 3), found.T, strict=True):
        assert gain(values, labels).over_groups() == pytest.approx(tuple(ends), abs=1e-9)


def test_the_simulated_rule_of_three_is_the_public_one():
    sample = np.zeros(40)
    sample[:3] = [0.5, -0.2, 0.1]
    ends = calibration.unseen_ends(sample[None], np.ones((1, 40)))[:, 0]
    assert gain(sample).queries[-1].ends(0.95) == pytest.approx(tuple(ends))


@pytest.mark.parametrize("name", ["nDCG@10, base - bm25", "R@10, bm25 - base", "RR@10, hybrid - base"])
@pytest.mark.parametrize("n", [30, 200])
def test_over_queries_no_gain_rarely_ships_and_the_detectable_one_mostly(name, n):
    rates = calibration.cell(named(CRANFIELD, name), n, trials=2000, resamples=1000)
    assert rates["false"] <= 0.05
    assert 0.65 <= rates["found"] <= 0.90


def test_over_groups_no_gain_rarely_ships():
    rates = calibration.cell(named(ATTACK, "nDCG@10, base - bm25"), 20, trials=1000, resamples=500)
    assert rates["false"] <= 0.05
    assert rates["found"] > 0.65


def test_queries_in_groups_taken_as_independent_would_ship_too_often():
    population = named(ATTACK, "nDCG@10, base - bm25")
    truth, wrong = population.values.mean(), 0
    for values, _ in samples(population, 20, 200):
        low, _ = gain(values).over_queries()
        wrong += low >= truth
    assert wrong > 0.06 * 200


def test_a_planted_false_interval_is_caught(monkeypatch):
    """The check can fail: an interval of 80 % ships without a gain far too often."""
    narrow = calibration.scipy_stats.t.ppf(0.9, 10**6)
    monkeypatch.setattr(calibration.scipy_stats.t, "ppf", lambda q, df: narrow)
    quantile = np.quantile
    monkeypatch.setattr(np, "quantile", lambda a, q, axis: quantile(a, [0.1, 0.9], axis=axis))
    assert calibration.cell(CRANFIELD[0], 60, trials=2000, resamples=1000)["false"] > 0.05


@pytest.mark.full
@pytest.mark.parametrize(
    ("unit", "populations"), [("queries", CRANFIELD), ("groups", ATTACK)], ids=["queries", "groups"]
)
def test_the_verdict_is_calibrated_at_full_size(unit, populations):
    counts = {"queries": calibration.QUERIES, "groups": calibration.GROUPS}[unit]
    cells = pd.DataFrame([calibration.cell(p, n, 2000, 4000) for p in populations for n in counts])
    mostly = calibration.possible(cells)
    assert len(mostly) > len(cells) / 2
    assert mostly["false"].mean() <= 0.03
    assert mostly["false"].max() <= 0.05
    least = {"queries": 0.75, "groups": 0.70}[unit]  # over ten groups the detectable gain is a little too hopeful
    assert least <= mostly["found"].mean() <= 0.85


@pytest.mark.full
def test_public_verdicts_of_a_few_hundred_trials_hold_too():
    population, trials = named(CRANFIELD, "RR@10, hybrid - base"), 300
    least = max(0.0, population.values.mean())
    found = []
    for values, _ in samples(population, 60, trials, seed=9):
        zero = pd.Series(np.zeros(len(values)))
        found.append(compare_scores(zero, pd.Series(values), min_gain=least).verdict == "SHIP")
    assert np.mean(found) <= 0.05


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
    many_models = 2 * len(calibration.MEASURES)
    cells = len(CRANFIELD) * len(calibration.QUERIES) + len(ATTACK) * len(calibration.GROUPS)
    assert len(rows) == cells + many_models


def test_many_models_at_the_minimum_seldom_ship_by_the_rule_and_often_without():
    rates = calibration.many_models(named(ATTACK, "nDCG@10, hybrid - base"), 40, trials=400, resamples=1000)
    assert rates["every one"] > 0.15
    assert rates["allowed"] <= 0.05
