"""A gain in two strata, by what documents were in training, and in a mix of them."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from paired_scores import spread

from embedlab.data import Collection
from embedlab.errors import ParameterError
from embedlab.evaluation import about_new, compare_scores, mix_weights, strata
from embedlab.evaluation.statistics.intervals import gain as known_gain

N_KNOWN, N_NEW = 180, 60
IDS = [f"q{i:03d}" for i in range(N_KNOWN + N_NEW)]
NEW = pd.Series([i >= N_KNOWN for i in range(len(IDS))], index=IDS)
BASE = pd.Series(np.full(len(IDS), 0.4), index=IDS)
GAIN = pd.Series(np.concatenate([0.10 + spread(N_KNOWN, 0) / 4, 0.02 + spread(N_NEW, 0) / 4]), index=IDS)
GROUPS = {
    "day": {q: f"day {i // 4}" for i, q in enumerate(IDS)},
    "document": {q: f"d{i // 6}" for i, q in enumerate(IDS)},
}


def of(share: float = -1.0, gain: pd.Series = GAIN, new: pd.Series = NEW, **options):
    return strata(BASE, BASE + gain, new, GROUPS, share, **options)


def test_each_stratum_has_its_own_gain_with_its_numbers():
    found = of()
    assert [stratum.queries for stratum in found.both] == [N_KNOWN, N_NEW]
    assert [stratum.groups for stratum in found.both] == [30, 10], "documents, six queries each, are the coarser groups"
    assert [stratum.delta for stratum in found.both] == pytest.approx([GAIN[~NEW].mean(), GAIN[NEW].mean()])
    alone = compare_scores(BASE[NEW], (BASE + GAIN)[NEW], groups=GROUPS)
    assert found.new.ci95 == pytest.approx(alone.ci95, abs=1e-9)
    assert (found.new.baseline, found.new.candidate) == pytest.approx((alone.baseline, alone.candidate))


def test_the_tests_own_mix_is_the_plain_comparison():
    plain = compare_scores(BASE, BASE + GAIN, groups=GROUPS)
    found = of()
    assert found.share == found.test_share == N_NEW / len(IDS)
    assert (found.delta, *found.ci95) == pytest.approx((plain.delta, *plain.ci95), abs=1e-9)
    assert found.worth == pytest.approx(len(IDS))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_in_another_mix_each_stratum_counts_by_its_share(share):
    found = of(share)
    assert found.delta == pytest.approx(share * GAIN[NEW].mean() + (1 - share) * GAIN[~NEW].mean())
    assert found.ci95[0] < found.delta < found.ci95[1]


def test_at_either_end_of_the_line_stands_a_stratum_alone():
    line = of().over_share
    assert [point.share for point in line] == pytest.approx(np.linspace(0, 1, 11))
    for point, stratum in zip((line[0], line[-1]), of().both, strict=True):
        assert (point.delta, point.low, point.high) == (stratum.delta, *stratum.ci)


def test_the_line_is_what_each_share_gives_by_itself():
    line = {point.share: point for point in of().over_share}
    for share in (0.2, 0.7):
        mixed = of(share)
        assert line[share].delta == pytest.approx(mixed.delta)
        assert (line[share].low, line[share].high) == pytest.approx(mixed.ci95, abs=1e-9)


def test_another_confidence_widens_what_decides_and_ci95_stays():
    usual, sure = of(0.3), of(0.3, confidence=0.99)
    assert usual.ci == usual.ci95 == sure.ci95
    assert sure.ci[0] < usual.ci[0]
    assert sure.over_share[3].low == pytest.approx(sure.ci[0])
    assert sure.known.ci[0] < sure.known.ci95[0]


def test_few_queries_that_weigh_much_make_the_mix_less_sure_than_their_number_says():
    few = NEW.copy()
    few[N_KNOWN:] = [i < 5 for i in range(N_NEW)]
    found = of(0.5, new=few)
    assert found.worth == pytest.approx(1 / (0.25 / 5 + 0.25 / 235))
    weights = mix_weights(few, 0.5)
    compared = compare_scores(BASE, BASE + GAIN + 0.3, groups=GROUPS, weights=weights)
    assert compared.ci[0] > 0
    assert compared.verdict == "INCONCLUSIVE", "235 known and 5 new queries, half of the weight each, are worth 20"
    assert f"{int(found.worth)} queries are too few" in compared.settled_by()


def test_a_stratum_that_is_too_small_says_so():
    few = NEW.copy()
    few[:] = [i >= len(IDS) - 12 for i in range(len(IDS))]
    found = of(new=few)
    assert found.known.few == ""
    assert found.new.few == "2 groups are too few to ship on; 10 are needed"


@pytest.mark.parametrize(
    ("new", "share", "kind"),
    [(NEW & False, 0.3, "documents that were none"), (NEW | True, 0.3, "documents that were a positive of training")],
)
def test_a_mix_of_what_the_test_does_not_have_is_unsettled(new, share, kind):
    found = of(share, new=new)
    assert found.unsettled == f"a share of 0.3 of new documents is claimed, but no test query is about {kind}"
    assert (found.delta, found.ci95, found.over_share) == (None, None, [])
    with pytest.raises(ParameterError, match=kind):
        mix_weights(new, share)


def test_where_every_query_is_of_one_stratum_its_own_share_is_that_stratum():
    found = of(new=NEW & False)
    assert (found.share, found.new.few, found.new.delta, found.over_share) == (0.0, "no query", None, [])
    assert found.delta == found.known.delta
    assert of(0.0, new=NEW & False).delta == pytest.approx(found.delta)


def test_a_share_above_one_is_refused():
    with pytest.raises(ParameterError, match="must lie between 0 and 1, found 30"):
        of(30)


def test_the_weights_have_mean_one_and_give_the_share():
    weights = mix_weights(NEW, 0.4)
    assert weights.mean() == pytest.approx(1)
    assert weights[NEW].sum() / weights.sum() == pytest.approx(0.4)
    assert (mix_weights(NEW, -1) == 1).all()


def test_what_was_found_can_be_written_as_json():
    assert json.loads(json.dumps(asdict(of(0.3)), allow_nan=False))["known"]["queries"] == N_KNOWN


def test_both_strata_and_the_mix_are_rows_and_a_sentence():
    found = of(0.3, new=NEW & False)
    table = pd.DataFrame(found.rows())
    assert table["queries"].tolist() == [240, 0, 240]
    assert table["few"].tolist()[1:] == ["no query", found.unsettled]
    assert f"no query on 0 queries about {found.new.name}; a share of 0.3" in found.in_words()
    mixed = of(0.3)
    assert [row["delta"] for row in mixed.rows()] == [mixed.known.delta, mixed.new.delta, mixed.delta]
    assert mixed.in_words().endswith("in the mix with 30% about documents that were none, which decides")
    assert mixed.in_words().startswith(f"{mixed.known.delta:+.3f} [{mixed.known.ci[0]:+.3f}")


def test_the_best_graded_documents_decide_what_a_query_is_about():
    corpus = pd.DataFrame({"doc_id": list("abcd"), "title": list("abca"), "text": ""})
    judged = [("known", "a", 2), ("known", "b", 1), ("new", "b", 2), ("new", "a", 1), ("both", "a", 1),
              ("both", "b", 1), ("copy", "d", 1), ("none", "a", 0)]  # fmt: skip
    qrels = pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"])
    queries = pd.DataFrame({"query_id": ["known", "new", "both", "copy", "none"], "text": ""})
    found = about_new(Collection(corpus, queries, qrels), {"a"})
    assert found.to_dict() == {"known": False, "new": True, "both": False, "copy": False}


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_the_interval_of_a_mix_covers_the_truth_about_as_often_as_it_says(share):
    """50 groups with a common effect, of known documents and of new ones, which gain less: 100 trials, some seconds."""
    rng, hits = np.random.default_rng(5), 0
    new = np.repeat([False] * 30 + [True] * 20, 4)
    labels = [f"g{i // 4}" for i in range(len(new))]
    weights = mix_weights(pd.Series(new), share).to_numpy()
    truth = 0.10 * (1 - share) + 0.02 * share
    for _ in range(100):
        noise = np.repeat(rng.normal(0, 0.1, 50), 4) + rng.normal(0, 0.1, 200)
        low, high = known_gain(np.where(new, 0.02, 0.10) + noise, labels, weights=weights).ends()
        hits += low <= truth <= high
    assert hits >= 90
