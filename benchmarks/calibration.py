"""Measure how often a comparison ships what it should not, and finds what it should.

    python benchmarks/calibration.py                        # from the scores beside this file
    python benchmarks/calibration.py --cranfield FOLDER     # after computing those scores again

Writes docs/calibration.md and docs/calibration.png. Trials are drawn from the scores of real pairs
of systems, so the true gain is known: it is the mean of what is drawn from.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

import embedlab
from embedlab.data import Collection, cap_per_document, read_raw
from embedlab.evaluation import MIN_CHANGED, MIN_GROUPS, MIN_QUERIES, detectable_gain
from embedlab.evaluation.statistics.intervals import FEW_UNLIKE, WIDEST
from embedlab.evaluation.statistics.power import unit_error
from embedlab.evaluation.statistics.resampling import RESAMPLES, draws

PROJECT = Path(__file__).resolve().parent.parent
SCORES = Path(__file__).resolve().parent / "scores"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MEASURES = ("nDCG@10", "R@10", "RR@10")
PAIRS = (("bm25", "base"), ("base", "hybrid"))
"""Each with either as the candidate."""

QUERIES = (30, 60, 100, 200)
GROUPS = (10, 20, 40, 60)
TRIALS = 4000
CHUNK = 250
TAIL = 0.025
MODELS, OPENINGS = 20, 3
"""Models scored on one test, and how many of them a contract allows."""


# --- real pairs -----------------------------------------------------------------------------


def score_systems(documents, queries, qrels) -> pd.DataFrame:
    """Return what BM25, the base model and both together score, a column ``system measure`` each, by query."""
    from embedlab.evaluation import per_query
    from embedlab.retrieval import BM25, Dense, fuse_scores

    dense = Dense(embedlab.load_model(MINILM, "float32"), documents).search(queries)
    sparse = BM25(documents).search(queries)
    runs = {"bm25": sparse, "base": dense, "hybrid": fuse_scores(dense, sparse, 0.5)}
    found = {name: per_query(qrels, run, list(MEASURES)) for name, run in runs.items()}
    return pd.DataFrame({f"{name} {m}": found[name][m] for name in runs for m in MEASURES})


def write_scores(cranfield: Path) -> None:
    """Score Cranfield's queries, and eight descriptions of each ATT&CK technique with their families."""
    raw = read_raw("beir", path=cranfield)
    whole = Collection(raw.corpus, raw.queries, raw.qrels)
    found = score_systems(whole.document_texts(), whole.query_texts(), whole.qrels)
    found.round(6).to_csv(SCORES / "cranfield.csv")
    attack = embedlab.load_collection("attack")
    keep = cap_per_document(attack.queries, attack.qrels, 8, 0)
    queries = attack.queries.set_index("query_id").loc[sorted(keep)]
    found = score_systems(attack.document_texts(), queries["text"], attack.qrels[attack.qrels["query_id"].isin(keep)])
    found.assign(group=queries["group"]).round(6).to_csv(SCORES / "attack.csv")


@dataclass(frozen=True)
class Population:
    """The differences of a real pair that trials are drawn from, ``[queries]``, and the group of each."""

    name: str
    values: np.ndarray
    labels: np.ndarray


def populations(name: str) -> list[Population]:
    """Return every pair and measure of ``cranfield`` or ``attack``, with either system as the candidate."""
    table = pd.read_csv(SCORES / f"{name}.csv", dtype={"query_id": str, "group": str}, index_col="query_id")
    labels = table.get("group", table.index)
    found = []
    for measure in MEASURES:
        for one, two in PAIRS:
            for before, after in ((one, two), (two, one)):
                values = (table[f"{after} {measure}"] - table[f"{before} {measure}"]).to_numpy()
                found.append(Population(f"{measure}, {after} - {before}", values, labels.to_numpy().astype(str)))
    return found


# --- the same intervals as embedlab.evaluation, for many trials at once -----------------------------


def bootstrap_ends(sums: np.ndarray, sizes: np.ndarray, drawn: np.ndarray, tail: float = TAIL) -> np.ndarray:
    """Return the percentile intervals of ``[trials, units]``, ``[2, trials]``; of 95 % unless another tail is asked."""
    parts = [
        np.quantile((s @ drawn.T) / (n @ drawn.T), [tail, 1 - tail], axis=1)
        for s, n in ((sums[i : i + CHUNK], sizes[i : i + CHUNK]) for i in range(0, len(sums), CHUNK))
    ]
    return np.concatenate(parts, axis=1)


def t_ends(sums: np.ndarray, sizes: np.ndarray, tail: float = TAIL) -> np.ndarray:
    """Return the intervals of Student's t over groups of ``[trials, groups]``, ``[2, trials]``."""
    groups, all_sums, all_sizes = sums.shape[1], sums.sum(1), sizes.sum(1)
    mean = all_sums / all_sizes
    without = (all_sums[:, None] - sums) / (all_sizes[:, None] - sizes)
    error = np.sqrt((groups - 1) / groups * ((without - mean[:, None]) ** 2).sum(1))
    half = scipy_stats.t.ppf(1 - tail, groups - 1) * error
    return np.stack([mean - half, mean + half])


def unseen_ends(sums: np.ndarray, sizes: np.ndarray, tail: float = TAIL) -> np.ndarray:
    """Return the rule of three's intervals where few units are unlike the rest, else the mean twice."""
    units, mean = sums.shape[1], sums.sum(1) / sizes.sum(1)
    ordered = np.sort((sums / sizes).round(12), axis=1)
    run, longest = np.ones(len(ordered)), np.ones(len(ordered))
    for column in range(1, units):
        run = np.where(ordered[:, column] == ordered[:, column - 1], run + 1, 1)
        longest = np.maximum(longest, run)
    unlike = units - longest
    rare = (unlike < FEW_UNLIKE) & (unlike < units / 2)
    share = np.where(rare, 1 - tail ** (1 / units), 0)
    return np.stack([(1 - share) * mean - share * WIDEST, (1 - share) * mean + share * WIDEST])


def farthest(*found: np.ndarray) -> np.ndarray:
    """Return on each side the farthest end of several intervals, trial by trial, ``[2, trials]``."""
    stacked = np.stack(found)
    return np.stack([stacked[:, 0].min(axis=0), stacked[:, 1].max(axis=0)])


# --- cells --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trials:
    """Many samples of one size: sums and sizes of their units, ``[trials, units]``, and how many queries change."""

    sums: np.ndarray
    sizes: np.ndarray
    changed: np.ndarray

    def intervals(self, resamples: int, tail: float = TAIL) -> dict[str, np.ndarray]:
        """Return every method's interval and the one that decides, ``[2, trials]`` each."""
        drawn = np.concatenate(list(draws(self.sums.shape[1], 0, resamples))).astype(float)
        found = {
            "bootstrap": bootstrap_ends(self.sums, self.sizes, drawn, tail),
            "t": t_ends(self.sums, self.sizes, tail),
        }
        return found | {"decides": farthest(*found.values(), unseen_ends(self.sums, self.sizes, tail))}

    def enough(self, min_gain: float) -> np.ndarray:
        """Return for each trial whether its sample is large enough to ship on."""
        groups = self.sums.shape[1] >= MIN_GROUPS
        changed = (self.changed >= MIN_CHANGED) | (min_gain < 0)
        return groups & (self.sizes.sum(1) >= MIN_QUERIES) & changed


def draw_trials(population: Population, n: int, trials: int, seed: int = 1) -> Trials:
    """Draw ``n`` whole groups, or queries where each is its own, ``trials`` times with replacement."""
    frame = pd.DataFrame({"value": population.values, "changed": np.abs(population.values) > 1e-9, "size": 1.0})
    units = frame.groupby(population.labels).sum()
    chosen = np.random.default_rng(seed).integers(0, len(units), (trials, n))
    sums, sizes, changed = (units[c].to_numpy(dtype=float)[chosen] for c in ("value", "size", "changed"))
    return Trials(sums, sizes, changed.sum(1))


def cell(population: Population, n: int, trials: int = TRIALS, resamples: int = RESAMPLES) -> dict[str, float]:
    """Return the rates of SHIP over ``n`` units: at a true gain of just the minimum, and at the detectable gain."""
    drawn = draw_trials(population, n, trials)
    truth = float(population.values.mean())
    units = len(set(population.labels))
    error = unit_error(population.values, population.labels.tolist())
    worth = float((drawn.sizes.sum(1) ** 2 / (drawn.sizes**2).sum(1)).mean())
    gain = detectable_gain(error, round(n * len(population.values) / units), units=worth)
    found = drawn.intervals(resamples)
    enough = drawn.enough(truth)
    rates = {name: (ends[0] >= truth).mean() for name, ends in found.items() if name != "decides"}
    low = found["decides"][0]
    rates |= {"false": ((low >= truth) & enough).mean(), "found": ((low >= truth - gain) & enough).mean()}
    return rates | {"possible": enough.mean()}


def many_models(
    population: Population, n: int, trials: int = TRIALS, resamples: int = RESAMPLES, seed: int = 1
) -> dict[str, float]:
    """Return in how many trials some of many models ships that are all worth just the minimum, on one test.

    A model's difference on a query is half what all models share there and half its own, both drawn from the
    population, so that each has just the true gain; the test is one sample of units, scored by all. ``every one``
    judges each at 95 %. ``allowed`` is the rule: the first models that the contract allows are judged at a confidence
    split over them, and the others are refused.
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"value": population.values - population.values.mean(), "size": 1.0})
    units = frame.groupby(population.labels).sum()
    shipped = {"every one": np.zeros(trials, dtype=bool), "allowed": np.zeros(trials, dtype=bool)}
    drawn = rng.integers(0, len(units), (trials, n))
    value, size = units["value"].to_numpy(), units["size"].to_numpy(dtype=float)
    sizes = size[drawn]
    for model in range(MODELS):
        own = rng.permutation(len(units))
        # Half of the variance each, so that a model varies as the pair does; scaled to the size of the unit drawn.
        mixed = np.sqrt(0.5) * value / size + np.sqrt(0.5) * (value / size)[own]
        centred = mixed - (mixed * size).sum() / size.sum()
        one = Trials(centred[drawn] * sizes, sizes, np.full(trials, MIN_CHANGED))
        shipped["every one"] |= one.intervals(resamples)["decides"][0] >= 0
        if model < OPENINGS:
            shipped["allowed"] |= one.intervals(resamples, TAIL / OPENINGS)["decides"][0] >= 0
    return {name: float(found.mean()) for name, found in shipped.items()}


def models_cells(trials: int = TRIALS, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Return :func:`many_models` over queries and groups, by a population of each measure."""
    rows = {}
    for unit, name, count in (("queries", "cranfield", 100), ("groups", "attack", 40)):
        for population in populations(name)[2::4]:  # hybrid over base by each measure: what tuning is like
            rows[f"{count} {unit}", population.name] = many_models(population, count, trials, resamples)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["test", "measure, pair"])


def cells(trials: int = TRIALS, resamples: int = RESAMPLES) -> dict[str, pd.DataFrame]:
    """Return the rates over queries (Cranfield) and over groups (ATT&CK), a row a population and number of units."""
    found = {}
    for unit, name, counts in (("queries", "cranfield", QUERIES), ("groups", "attack", GROUPS)):
        rows = {(n, p.name): cell(p, n, trials, resamples) for n in counts for p in populations(name)}
        found[unit] = pd.DataFrame.from_dict(rows, orient="index").rename_axis([unit, "measure, pair"])
    return found


def possible(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the cells in which samples are mostly large enough to ship on; others are listed and not pooled."""
    return rates[rates["possible"] >= 0.5]


# --- the page -----------------------------------------------------------------------------------


def draw(found: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw both rates: of shipping no gain, and of finding the detectable one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for (unit, rates), shade in zip(found.items(), ("#0f766e", "#b45309"), strict=True):
        mostly = possible(rates)
        worst, mean = mostly.groupby(level=0).max(), mostly.groupby(level=0).mean()
        left.plot(worst.index, 100 * worst["bootstrap"], ":", color=shade, label=f"{unit}, resampled alone: worst")
        left.plot(worst.index, 100 * worst["false"], "-", marker="o", ms=4, color=shade, label=f"{unit}: worst")
        left.plot(mean.index, 100 * mean["false"], "--", color=shade, label=f"{unit}: mean")
        right.plot(mean.index, 100 * mean["found"], "-", marker="o", ms=4, color=shade, label=f"over {unit}")
    left.axhline(100 * TAIL, color="#cbd5e1", zorder=0)
    left.set(ylim=(0, None), xlabel="queries, or groups", ylabel="SHIP, % of trials")
    left.set_title("SHIP where the true gain is just the minimum (line: 2.5 %)", loc="left", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    right.axhspan(75, 85, color="#f1f5f9", zorder=0)
    right.set(ylim=(0, 100), xlabel="queries, or groups", ylabel="SHIP, % of trials")
    right.set_title("SHIP at the detectable gain (band: 75 to 85 %)", loc="left", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    plt.savefig(path, dpi=110, metadata={"Software": None})


def table(rates: pd.DataFrame, names: dict[str, str]) -> str:
    """Return a Markdown table of rates in percent."""
    head = [*rates.index.names, *names.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key, row in rates.iterrows():
        lines.append("| " + " | ".join([*map(str, key), *(f"{100 * row[n]:.1f} %" for n in names)]) + " |")
    return "\n".join(lines)


SHOWN = {
    "bootstrap": "resampled alone",
    "t": "t alone",
    "false": "SHIP without a gain",
    "found": "SHIP at the detectable gain",
    "possible": "large enough",
}


def page(found: dict[str, pd.DataFrame], models: pd.DataFrame, trials: int) -> str:
    """Return docs/calibration.md."""
    sections = []
    for unit, rates in found.items():
        mostly = possible(rates)
        rest = len(rates) - len(mostly)
        false, alone, detected = (100 * mostly[name] for name in ("false", "bootstrap", "found"))
        sections.append(
            f"""## Over {unit}

SHIP without a gain comes out in {false.mean():.1f} % of the trials of all cells together, in {false.max():.1f} % in the
worst; by resampling alone it would be {alone.mean():.1f} and {alone.max():.1f} %. The detectable gain is found in
{detected.mean():.0f} % on average, {detected.min():.0f} to {detected.max():.0f} % from cell to cell. Cells in which
most samples are too small to ship on, and which are not counted: {rest}.

{table(rates, SHOWN)}
"""
        )
    joined = "\n".join(sections)
    queries, groups = (populations(name)[0] for name in ("cranfield", "attack"))
    _, sizes = np.unique(groups.labels, return_counts=True)
    return f"""# Does the verdict hold what it says?

Written by `.venv/bin/python benchmarks/calibration.py`; do not edit.

![How often a comparison ships](calibration.png)

A comparison says SHIP when the lower end of a two-sided 95 % interval of the gain reaches the minimum gain, and the
sample has at least {MIN_QUERIES} queries, {MIN_GROUPS} groups and {MIN_CHANGED} queries that change. So where the true
gain is just the minimum, SHIP should come out in about 2.5 % of the comparisons. At the detectable gain, which step 04
shows, it should come out in 80 %.

Each cell is {trials:,} trials with {RESAMPLES:,} resamples each, drawn with replacement from the per-query scores of a
real pair, so that the true gain is known: BM25, all-MiniLM-L6-v2 and the two together (hybrid), each against another,
by nDCG@10, R@10 and RR@10. The minimum gain is then set to the true gain (no gain to ship), or below it by the
detectable gain. On each side the farthest end decides: of resampling (percentile bootstrap), of Student's t, and of
the rule of three where nearly all units tie. Over groups, the interval over single queries is left out here; it can
only make SHIP rarer.

Queries: {len(queries.values)} of Cranfield, each its own. Groups: {len(groups.values):,} descriptions of ATT&CK
techniques in {len(sizes)} families of 1 to {sizes.max()}, at most eight a technique; trials draw whole families.

{joined}
## Many models on one test

{MODELS} models that are all worth just the minimum gain are scored on one test, one after another. Were each judged by
itself at 95 %, some would be shipped in {100 * models["every one"].mean():.0f} % of the trials. The contract's
allowance of {OPENINGS} openings, over which the confidence is split beforehand, leaves
{100 * models["allowed"].mean():.1f} % ({100 * models["allowed"].max():.1f} % in the worst cell):
the others are refused, in whatever run, folder or seed.

{table(models, {"every one": "some SHIP, each at 95 %", "allowed": "some SHIP, by the rule"})}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cranfield", type=Path, help="Cranfield in BEIR's layout: compute the scores again")
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args()
    if options.cranfield:
        write_scores(options.cranfield)
    found, models = cells(options.trials), models_cells(options.trials)
    draw(found, PROJECT / "docs" / "calibration.png")
    (PROJECT / "docs" / "calibration.md").write_text(page(found, models, options.trials), encoding="utf-8")
    print(*found.values(), models, sep="\n\n")


if __name__ == "__main__":
    main()
