"""Measure how often a comparison ships what it should not, and finds what it should.

    python benchmarks/calibration.py                        # from the scores beside this file
    python benchmarks/calibration.py --cranfield FOLDER     # after computing those scores again

Writes docs/calibration.md and docs/calibration.png. Trials are drawn from the scores of a real
pair of systems, so the true gain is known: it is the mean of what is drawn from.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

import embedlab
from embedlab.data import Collection, cap_per_document, read_raw
from embedlab.evaluation import detectable_gain
from embedlab.evaluation.intervals import RESAMPLES
from embedlab.evaluation.power import unit_error

PROJECT = Path(__file__).resolve().parent.parent
SCORES = Path(__file__).resolve().parent / "scores"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
QUERIES = (10, 20, 50, 200, 800)
GROUPS = (10, 20, 40, 100)
TRIALS = 4000
FEWER = 1000
"""Resamples of queries where each trial has another number of them."""

CHUNK = 250


# --- real pairs -----------------------------------------------------------------------------


def score_pair(documents, queries, qrels) -> pd.DataFrame:
    """Return nDCG@10 of BM25 and of the base model for each query."""
    from embedlab.evaluation import per_query
    from embedlab.retrieval import BM25, Dense

    systems = {"bm25": BM25(documents), "base": Dense(embedlab.load_model(MINILM, "float32"), documents)}
    return pd.DataFrame({n: per_query(qrels, s.search(queries))["nDCG@10"] for n, s in systems.items()})


def write_scores(cranfield: Path) -> None:
    """Score Cranfield's queries, and eight descriptions of each ATT&CK technique with their families."""
    raw = read_raw("beir", path=cranfield)
    whole = Collection(raw.corpus, raw.queries, raw.qrels)
    found = score_pair(whole.document_texts(), whole.query_texts(), whole.qrels)
    found.round(6).to_csv(SCORES / "cranfield.csv")
    attack = embedlab.load_collection("attack")
    keep = cap_per_document(attack.queries, attack.qrels, 8, 0)
    queries = attack.queries.set_index("query_id").loc[sorted(keep)]
    found = score_pair(attack.document_texts(), queries["text"], attack.qrels[attack.qrels["query_id"].isin(keep)])
    found.assign(group=queries["group"]).round(6).to_csv(SCORES / "attack.csv")


def difference(name: str) -> pd.DataFrame:
    """Return the per-query difference, base minus BM25, of ``cranfield`` or ``attack``."""
    table = pd.read_csv(SCORES / f"{name}.csv", dtype={"query_id": str, "group": str}, index_col="query_id")
    return table.assign(difference=table["base"] - table["bm25"])


# --- the same intervals as embedlab.evaluation, for many trials at once -----------------------------


def draws(units: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return how often each resample draws each unit, ``[resamples, units]``.

    The same draws as scipy's bootstrap with this seed, and so as :func:`embedlab.evaluation.interval`.
    """
    drawn = np.random.default_rng(seed).integers(0, units, (resamples, units))
    flat = (drawn + np.arange(resamples)[:, None] * units).ravel()
    return np.bincount(flat, minlength=resamples * units).reshape(resamples, units).astype(float)


def bootstrap_ends(sums: np.ndarray, sizes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the 95 % percentile intervals of ``[trials, units]``, ``[2, trials]``."""
    parts = [
        np.quantile((s @ drawn.T) / (n @ drawn.T), [0.025, 0.975], axis=1)
        for s, n in ((sums[i : i + CHUNK], sizes[i : i + CHUNK]) for i in range(0, len(sums), CHUNK))
    ]
    return np.concatenate(parts, axis=1)


def t_ends(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the 95 % intervals of Student's t over groups of ``[trials, groups]``, ``[2, trials]``."""
    groups, all_sums, all_sizes = sums.shape[1], sums.sum(1), sizes.sum(1)
    mean = all_sums / all_sizes
    without = (all_sums[:, None] - sums) / (all_sizes[:, None] - sizes)
    error = np.sqrt((groups - 1) / groups * ((without - mean[:, None]) ** 2).sum(1))
    half = scipy_stats.t.ppf(0.975, groups - 1) * error
    return np.stack([mean - half, mean + half])


def widest(*found: np.ndarray) -> np.ndarray:
    """Return the widest of several intervals, trial by trial, ``[2, trials]``."""
    stacked = np.stack(found)
    choice = np.argmax(stacked[:, 1] - stacked[:, 0], axis=0)
    return np.take_along_axis(stacked, choice[None, None, :], axis=0)[0]


# --- cells --------------------------------------------------------------------------------------


def query_cell(values: np.ndarray, n: int, trials: int = TRIALS, resamples: int = RESAMPLES, seed: int = 1) -> dict:
    """Return the rates of SHIP over ``n`` queries: at a true gain of ``min_gain``, and at the detectable gain."""
    sample = values[np.random.default_rng(seed).integers(0, len(values), (trials, n))]
    low = bootstrap_ends(sample, np.ones_like(sample), draws(n, resamples))[0]
    above = detectable_gain(unit_error(values, [str(i) for i in range(len(values))]), n)
    return {"false": (low >= values.mean()).mean(), "found": (low >= values.mean() - above).mean()}


def group_cell(
    values: np.ndarray, labels: np.ndarray, n: int, trials: int = TRIALS, resamples: int = RESAMPLES, seed: int = 1
) -> dict:
    """Return the rates of SHIP over ``n`` whole groups, by each interval alone and by the one that decides."""
    members = [values[labels == label] for label in sorted(set(labels))]
    chosen = np.random.default_rng(seed).integers(0, len(members), (trials, n))
    sums = np.array([m.sum() for m in members])[chosen]
    sizes = np.array([float(len(m)) for m in members])[chosen]
    over_queries = np.empty((2, trials))
    for trial, row in enumerate(chosen):
        sample = np.concatenate([members[i] for i in row])
        drawn = np.random.default_rng(0).integers(0, len(sample), (min(FEWER, resamples), len(sample)))
        over_queries[:, trial] = np.quantile(sample[drawn].mean(1), [0.025, 0.975])
    resampled, student = bootstrap_ends(sums, sizes, draws(n, resamples)), t_ends(sums, sizes)
    decides = widest(over_queries, resampled, student)
    mean_size = len(values) / len(members)
    above = detectable_gain(unit_error(values, labels.tolist()), round(n * mean_size))
    rates = {"queries": over_queries, "bootstrap": resampled, "t": student, "decides": decides}
    found = {name: (ends[0] >= values.mean()).mean() for name, ends in rates.items()}
    return found | {"found": (decides[0] >= values.mean() - above).mean()}


def cells(trials: int = TRIALS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rates over queries (Cranfield) and over groups (ATT&CK), either system as the candidate."""
    plain, grouped = difference("cranfield"), difference("attack")
    labels = grouped["group"].to_numpy()
    rows = {"base": 1, "BM25": -1}
    over_queries = {
        (n, c): query_cell(s * plain["difference"].to_numpy(), n, trials) for n in QUERIES for c, s in rows.items()
    }
    over_groups = {
        (n, c): group_cell(s * grouped["difference"].to_numpy(), labels, n, trials)
        for n in GROUPS
        for c, s in rows.items()
    }
    return tuple(
        pd.DataFrame.from_dict(found, orient="index").rename_axis([unit, "candidate"])
        for unit, found in (("queries", over_queries), ("groups", over_groups))
    )


# --- the page -----------------------------------------------------------------------------------


def draw(over_queries: pd.DataFrame, over_groups: pd.DataFrame, path: Path) -> None:
    """Draw both rates: of shipping no gain, and of finding the detectable one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    worst = over_groups.groupby("groups").max(), over_queries.groupby("queries").max()
    lines = [
        (worst[1]["false"], "queries are independent", "#0f766e", "-"),
        (worst[0]["decides"], "queries in groups, what decides", "#b45309", "-"),
        (worst[0]["bootstrap"], "queries in groups, groups resampled alone", "#b45309", ":"),
        (worst[0]["queries"], "queries in groups, taken as independent", "#6b7280", "--"),
    ]
    for rates, label, shade, style in lines:
        left.plot(rates.index, 100 * rates, style, marker="o", ms=4, color=shade, label=label)
    left.axhline(5, color="#cbd5e1", zorder=0)
    left.set(xscale="log", ylim=(0, None), xlabel="queries, or groups", ylabel="SHIP, % of trials")
    left.set_title("SHIP where the true gain is just the minimum (line: 5 %)", loc="left", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    for table, label, shade in ((over_queries, "queries", "#0f766e"), (over_groups, "groups", "#b45309")):
        rates = table["found"].groupby(level=0).mean()
        right.plot(rates.index, 100 * rates, marker="o", ms=4, color=shade, label=f"over {label}")
    right.axhspan(70, 90, color="#f1f5f9", zorder=0)
    right.set(xscale="log", ylim=(0, 100), xlabel="queries, or groups", ylabel="SHIP, % of trials")
    right.set_title("SHIP at the detectable gain (band: 70 to 90 %)", loc="left", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks([10, 50, 200, 800], ["10", "50", "200", "800"])
        axes.minorticks_off()
    plt.savefig(path, dpi=110, metadata={"Software": None})


def table(rates: pd.DataFrame, names: dict[str, str]) -> str:
    """Return a Markdown table of rates in percent."""
    head = [*rates.index.names, *names.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key, row in rates.iterrows():
        lines.append("| " + " | ".join([*map(str, key), *(f"{100 * row[n]:.1f} %" for n in names)]) + " |")
    return "\n".join(lines)


def page(over_queries: pd.DataFrame, over_groups: pd.DataFrame, trials: int) -> str:
    """Return docs/calibration.md."""
    plain, grouped = difference("cranfield"), difference("attack")
    enough = over_queries[over_queries.index.get_level_values("queries") >= 50]
    few = over_queries[over_queries.index.get_level_values("queries") < 50]
    return f"""# Does the verdict hold what it says?

Written by `python benchmarks/calibration.py`; do not edit.

![How often a comparison ships](calibration.png)

A comparison says SHIP when the lower end of a two-sided 95 % interval of the gain reaches the
minimum gain. So where the true gain is just the minimum, SHIP should come out in about 2.5 % of
comparisons, and in no more than 5 %. At the detectable gain, which step 04 shows, it should come
out in 80 %.

Each cell is {trials:,} trials with {RESAMPLES:,} resamples each, drawn with replacement from the
nDCG@10 of a real pair, so that the true gain is known: BM25 and all-MiniLM-L6-v2, with either as
the candidate. The minimum gain is then set to the true gain (no gain to ship), or below it by
the detectable gain.

## Independent queries

{len(plain)} queries of Cranfield. Queries are resampled (percentile bootstrap).

{table(over_queries, {"false": "SHIP without a gain", "found": "SHIP at the detectable gain"})}

From 50 queries on, SHIP without a gain comes out in {100 * enough["false"].max():.1f} % at most, and the
detectable gain is found in {100 * enough["found"].mean():.0f} % on average. With 10 and 20 queries it is
{100 * few["false"].max():.1f} % at worst: resampling few values gives intervals a little too narrow. Below ten,
nothing ships.

## Queries in groups

{len(grouped):,} descriptions of ATT&CK techniques in {grouped["group"].nunique()} families of 1 to
{grouped["group"].value_counts().max()}, at most eight a technique. Trials draw whole families.

{
        table(
            over_groups,
            {
                "queries": "queries alone",
                "bootstrap": "groups resampled alone",
                "t": "t over groups alone",
                "decides": "what decides",
                "found": "at the detectable gain",
            },
        )
    }

The first four columns are SHIP without a gain, by each interval. Taken as independent, such
queries ship up to {
        100 * over_groups["queries"].max():.0f} % of the time. Resampling whole groups is not enough where there
are few of them: up to {
        100 * over_groups["bootstrap"].max():.1f} %. Student's t over groups, with a standard error that leaves out one
group at a time, ships {100 * over_groups["t"].max():.1f} % at most. The widest of the three decides:
{100 * over_groups["decides"].max():.1f} % at most, and {
        100 * over_groups["found"].mean():.0f} % on average at the detectable gain. It is less over
few groups, because the detectable gain is computed as if the spread were known. (The interval over
queries takes {FEWER:,} resamples here.)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cranfield", type=Path, help="Cranfield in BEIR's layout: compute the scores again")
    parser.add_argument("--trials", type=int, default=TRIALS)
    options = parser.parse_args()
    if options.cranfield:
        write_scores(options.cranfield)
    found = cells(options.trials)
    draw(*found, PROJECT / "docs" / "calibration.png")
    (PROJECT / "docs" / "calibration.md").write_text(page(*found, options.trials), encoding="utf-8")
    print(*found, sep="\n\n")


if __name__ == "__main__":
    main()
