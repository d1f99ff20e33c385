"""The one table of the 22 steps: what each asks, reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.errors import ParameterError, nearest


@dataclass(frozen=True)
class Step:
    """One step of the guide.

    ``reads`` names the steps whose artifacts it may read, ``writes`` the files in its own
    artifact folder (``summary.json``, which every step writes, is left out).
    """

    number: str
    slug: str
    question: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Folder and file stem, such as ``05_establish_baseline``."""
        return f"{self.number}_{self.slug}"

    @property
    def title(self) -> str:
        """The slug in words, such as ``Establish baseline``."""
        return self.slug.replace("_", " ").capitalize()


def _step(number: str, slug: str, question: str, reads: str, writes: str) -> Step:
    return Step(number, slug, question, tuple(reads.split()), tuple(writes.split()))


STEPS: tuple[Step, ...] = (
    _step(
        "01",
        "define_problem",
        "Which queries fail, what should they find, why is today's model not enough?",
        "",
        "settings.json corpus.parquet queries.parquet qrels.parquet qrels_test.parquet "
        "findings.parquet documentation.parquet contract.json failures.parquet",
    ),
    _step(
        "02",
        "confirm_need",
        "Would something simpler fix it?",
        "01",
        "rungs.parquet per_query.parquet",
    ),
    _step(
        "03",
        "choose_base_model",
        "Which base model fits language, latency, cost, licence, deployment?",
        "01",
        "candidates.parquet choice.json",
    ),
    _step(
        "04",
        "build_eval_set",
        "Is there a trustworthy test?",
        "01",
        "findings.parquet eval_set.json guard.parquet log_weights.parquet",
    ),
    _step(
        "05",
        "establish_baseline",
        "What must be beaten?",
        "01 03 04",
        "base_dev.run bm25_dev.run hybrid_dev.run base_test.run bm25_test.run hybrid_test.run "
        "per_query.parquet baseline.json",
    ),
    _step(
        "06",
        "select_metrics",
        'What does "better" mean here?',
        "01 05",
        "values.parquet agreement.parquet metrics.json",
    ),
    _step(
        "07",
        "prepare_training_data",
        "Where do training examples come from?",
        "01 03 04",
        "rows.parquet coverage.parquet mixes.parquet removed.parquet",
    ),
    _step(
        "08",
        "create_positives",
        "What should match?",
        "01 03 04 07",
        "positives.parquet review_queue.parquet removed.parquet",
    ),
    _step(
        "09",
        "create_negatives",
        "What should not match, though it looks like it?",
        "01 03 04 08",
        "training.parquet difficulty.parquet false_negatives.parquet probes.json removed.parquet",
    ),
    _step(
        "10",
        "choose_format",
        "Which shape does the data support?",
        "01 09",
        "pairs.parquet triplets.parquet scored_pairs.parquet candidates.parquet labeled_list.parquet "
        "formats.json removed.parquet",
    ),
    _step(
        "11",
        "choose_loss",
        "Which loss learns most here?",
        "01 03 09 10",
        "tournament.parquet loss.json removed.parquet",
    ),
    _step(
        "12",
        "clean_dataset",
        "What would teach the wrong thing?",
        "01 03 04 09",
        "clean.parquet removed.parquet counts.parquet collisions.parquet effect.json",
    ),
    _step(
        "13",
        "split_data",
        "Is the test still unseen?",
        "01 03 04 12",
        "training.parquet removed.parquet leakage.json",
    ),
    _step(
        "14",
        "train",
        "Does a small, careful run learn?",
        "01 03 11 13",
        "curve.parquet validation.parquet training.json",
    ),
    _step(
        "15",
        "evaluate",
        "Did it really help?",
        "01 03 04 05 13 14",
        "tuned_dev.run tuned_test.run tuned_hybrid_dev.run tuned_hybrid_test.run "
        "per_query.parquet comparison.parquet slices.parquet evaluation.json prices.json",
    ),
    _step(
        "16",
        "qualitative_review",
        "What does it look like?",
        "01 05 15",
        "review.parquet changes.json review.html",
    ),
    _step(
        "17",
        "reembed_corpus",
        "What does the new space look like?",
        "01 03 14",
        "vector_checks.parquet reembedding.json",
    ),
    _step(
        "18",
        "test_pipeline",
        "Does the gain survive end to end?",
        "01 03 04 14 15 17",
        "choices.parquet end_to_end.parquet pipeline.json prompt.txt",
    ),
    _step(
        "19",
        "shadow_test",
        "How does it behave on real traffic?",
        "01 03 14 15",
        "replay.parquet shadow.json",
    ),
    _step(
        "20",
        "plan_reindex",
        "How do we re-embed production?",
        "01 03 04 14 17",
        "plan.json batches.parquet reindex.json",
    ),
    _step(
        "21",
        "deploy_with_rollback",
        "How do we go live and back?",
        "01 03 04 14 20",
        "stages.parquet rollout.json",
    ),
    _step(
        "22",
        "monitor_drift",
        "Does it stay good?",
        "01 03 13 14 15",
        "drift.parquet label_next.parquet drift.json",
    ),
)

DECISIONS = {"08": "reviews/positives.json"}
"""Files of the run folder in which people decide for a step: a change makes it stale."""

BY_NUMBER: dict[str, Step] = {step.number: step for step in STEPS}


def step_number(key: object) -> str:
    """Return the two-digit number for ``5``, ``"5"``, ``"05"`` or ``"05_establish_baseline"``.

    Raises:
        ParameterError: if no step has that number or name.
    """
    text = str(key).strip()
    head = text.split("_")[0]
    if head.isdigit() and f"{int(head):02d}" in BY_NUMBER:
        step = BY_NUMBER[f"{int(head):02d}"]
        if text in (head, step.name):
            return step.number
    hint = nearest(text, [step.name for step in STEPS])
    raise ParameterError(f"no step {text!r}: steps are numbered 01 to {STEPS[-1].number}{hint}")


def get_step(key: object) -> Step:
    """Return the step for a number or name; see :func:`step_number`."""
    return BY_NUMBER[step_number(key)]
