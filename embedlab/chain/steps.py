"""The one table of the 22 steps: what each asks, reads, writes and may do. Everything else derives from it.

A step's key hashes its own row alone, so that a change of one row makes no other step stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from embedlab.errors import ParameterError, nearest

Right = Literal["none", "write", "seal", "score"]
"""What a step may do with the test judgments: nothing, write them, read without ranking, rank with them."""


@dataclass(frozen=True)
class Step:
    """One step of the guide.

    Attributes:
        number: two digits; the run order.
        slug: its name.
        question: what it answers.
        reads: numbers of the steps whose artifacts it may read.
        writes: files in its own artifact folder (``summary.json``, which every step writes, is left out).
        scores: whether what it writes is measured quality, so that it carries the contract.
        test: its right to the test judgments.
        guards: whether it reads held-out queries to mask, exclude and count leaks; such reads are logged.
        files: its parameters that name files or folders of the user's; what they hold counts.
        decisions: file of the run folder in which people decide for it; a change makes it stale.
        gate: its artifact whose ``passed`` must be true to ship; blank for none.
        gate_name: what the gate is called in the verdict.
        proves: checklist items and common mistakes that rest on it, each with the artifact that decides.
    """

    number: str
    slug: str
    question: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    scores: bool = False
    test: Right = "none"
    guards: bool = False
    files: tuple[str, ...] = ()
    decisions: str = ""
    gate: str = ""
    gate_name: str = ""
    proves: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Folder and file stem, such as ``05_establish_baseline``."""
        return f"{self.number}_{self.slug}"

    @property
    def title(self) -> str:
        """The slug in words, such as ``Establish baseline``."""
        return self.slug.replace("_", " ").capitalize()


STEPS: tuple[Step, ...] = (
    Step(
        "01",
        "define_problem",
        "Which queries fail, what should they find, why is today's model not enough?",
        writes=(
            "settings.json",
            "contract.json",
            "corpus.parquet",
            "queries.parquet",
            "qrels.parquet",
            "qrels_test.parquet",
            "findings.parquet",
            "documentation.parquet",
            "document_facts.parquet",
            "followed.parquet",
            "failures.parquet",
        ),
        test="write",
        files=("path", "base_model", "production", "retention_path"),
        proves={"objective_clear": "contract.json"},
    ),
    Step(
        "02",
        "confirm_need",
        "Would something simpler fix it?",
        reads=("01",),
        writes=("ladder.parquet", "attribution.parquet", "per_query.parquet", "recommendation.json"),
        files=("engines", "cross_encoder", "sparse_encoder", "phrasing"),
        scores=True,
        proves={"fine_tuning_to_fix_chunking": "recommendation.json"},
    ),
    Step(
        "03",
        "choose_base_model",
        "Which base model fits language, latency, cost, licence, deployment?",
        reads=("01",),
        writes=("candidates.parquet", "per_query.parquet", "choice.json"),
        scores=True,
    ),
    Step(
        "04",
        "build_eval_set",
        "Is there a trustworthy test?",
        reads=("01",),
        writes=("findings.parquet", "eval_set.json", "guard.parquet", "log_weights.parquet"),
        scores=True,
        test="seal",
        files=("query_log",),
    ),
    Step(
        "05",
        "establish_baseline",
        "What must be beaten?",
        reads=("01", "03", "04"),
        writes=(
            "base_dev.run",
            "bm25_dev.run",
            "hybrid_dev.run",
            "base_test.run",
            "bm25_test.run",
            "hybrid_test.run",
            "pipeline_dev.run",
            "pipeline_test.run",
            "production_dev.run",
            "production_test.run",
            "per_query.parquet",
            "choices.parquet",
            "baseline.json",
        ),
        scores=True,
        test="score",
        proves={"baseline_recorded": "baseline.json", "training_without_baseline": "baseline.json"},
    ),
    Step(
        "06",
        "select_metrics",
        'What does "better" mean here?',
        reads=("01", "05"),
        writes=("values.parquet", "agreement.parquet", "metrics.json"),
        scores=True,
    ),
    Step(
        "07",
        "prepare_training_data",
        "Where do training examples come from?",
        reads=("01", "03", "04"),
        writes=("rows.parquet", "coverage.parquet", "mixes.parquet", "removed.parquet"),
        guards=True,
        files=(
            "search_log",
            "click_log",
            "judgments",
            "judgment_queries",
            "tickets",
            "documentation_queries",
            "documentation_folder",
            "curated_examples",
        ),
    ),
    Step(
        "08",
        "create_positives",
        "What should match?",
        reads=("01", "03", "04", "07"),
        writes=("positives.parquet", "review_queue.parquet", "removed.parquet"),
        guards=True,
        decisions="reviews/positives.json",
    ),
    Step(
        "09",
        "create_negatives",
        "What should not match, though it looks like it?",
        reads=("01", "03", "04", "08"),
        writes=("training.parquet", "difficulty.parquet", "false_negatives.parquet", "probes.json", "removed.parquet"),
        scores=True,
        guards=True,
    ),
    Step(
        "10",
        "choose_format",
        "Which shape does the data support?",
        reads=("01", "09"),
        writes=(
            "pairs.parquet",
            "triplets.parquet",
            "scored_pairs.parquet",
            "candidates.parquet",
            "labeled_list.parquet",
            "formats.json",
            "removed.parquet",
        ),
    ),
    Step(
        "11",
        "choose_loss",
        "Which loss learns most here?",
        reads=("01", "03", "09", "10"),
        writes=("tournament.parquet", "loss.json", "removed.parquet"),
        files=("teacher",),
        scores=True,
    ),
    Step(
        "12",
        "clean_dataset",
        "What would teach the wrong thing?",
        reads=("01", "03", "04", "09"),
        writes=("clean.parquet", "removed.parquet", "counts.parquet", "collisions.parquet", "effect.json"),
        scores=True,
        guards=True,
    ),
    Step(
        "13",
        "split_data",
        "Is the test still unseen?",
        reads=("01", "03", "04", "12"),
        writes=("training.parquet", "removed.parquet", "leakage.json"),
        scores=True,
        guards=True,
        proves={
            "train_test_separate": "leakage.json",
            "same_examples_for_training_and_evaluation": "leakage.json",
        },
    ),
    Step(
        "14",
        "train",
        "Does a small, careful run learn?",
        reads=("01", "03", "11", "13"),
        writes=("curve.parquet", "mixes.parquet", "adapter.parquet", "validation.parquet", "training.json"),
        scores=True,
        proves={"hard_negatives_included": "training.json", "no_hard_negatives": "training.json"},
    ),
    Step(
        "15",
        "evaluate",
        "Did it really help?",
        reads=("01", "03", "04", "05", "13", "14"),
        writes=(
            "tuned_dev.run",
            "tuned_test.run",
            "tuned_hybrid_dev.run",
            "tuned_hybrid_test.run",
            "tuned_pipeline_dev.run",
            "tuned_pipeline_test.run",
            "choices.parquet",
            "judge_next.parquet",
            "per_query.parquet",
            "comparison.parquet",
            "slices.parquet",
            "evaluation.json",
            "opening.json",
            "prices.json",
        ),
        scores=True,
        test="score",
        proves={
            "heldout_improves": "evaluation.json",
            "ignoring_hybrid_search_and_filters": "evaluation.json",
            "shipping_on_training_loss_alone": "evaluation.json",
        },
    ),
    Step(
        "16",
        "qualitative_review",
        "What does it look like?",
        reads=("01", "05", "15"),
        writes=("review.parquet", "changes.json", "review.html"),
        scores=True,
        test="score",
        decisions="reviews/blind.json",
        proves={"review_fewer_failures": "changes.json"},
    ),
    Step(
        "17",
        "reembed_corpus",
        "What does the new space look like?",
        reads=("01", "03", "14", "15"),
        writes=("vector_checks.parquet", "mixing.parquet", "reembedding.json"),
        scores=True,
        test="score",
        gate="reembedding.json",
        gate_name="the test index",
    ),
    Step(
        "18",
        "test_pipeline",
        "Does the gain survive end to end?",
        reads=("01", "02", "03", "04", "05", "14", "15", "17"),
        writes=(
            "gains.parquet",
            "stages.parquet",
            "indexes.parquet",
            "options.parquet",
            "coverage.parquet",
            "end_to_end.parquet",
            "pipeline.json",
            "prompt.txt",
        ),
        scores=True,
        test="score",
        files=("prompt_tokenizer",),
        gate="pipeline.json",
        gate_name="the end-to-end test",
        proves={"pipeline_tested": "pipeline.json"},
    ),
    Step(
        "19",
        "shadow_test",
        "How does it behave on real traffic?",
        reads=("01", "03", "05", "14", "15"),
        writes=("replay.parquet", "shadow.json"),
        scores=True,
        test="score",
        gate="shadow.json",
        gate_name="the shadow test",
    ),
    Step(
        "20",
        "plan_reindex",
        "How do we re-embed production?",
        reads=("01", "03", "04", "05", "14", "15", "17"),
        writes=("plan.json", "batches.parquet", "reindex.json"),
        test="score",
        gate="reindex.json",
        gate_name="re-indexing",
        proves={"reindexing_planned": "reindex.json", "reindexing_without_rollback": "reindex.json"},
    ),
    Step(
        "21",
        "deploy_with_rollback",
        "How do we go live and back?",
        reads=("01", "03", "04", "05", "14", "15", "20"),
        writes=("stages.parquet", "rollout.json"),
        test="score",
        gate="rollout.json",
        gate_name="the rollout",
        proves={"rollback_available": "rollout.json", "mixing_old_and_new_embeddings": "rollout.json"},
    ),
    Step(
        "22",
        "monitor_drift",
        "Does it stay good?",
        reads=("01", "03", "13", "14", "15"),
        writes=("drift.parquet", "label_next.parquet", "drift.json"),
        scores=True,
        test="score",
        gate="drift.json",
        gate_name="monitoring",
        proves={"monitoring_ready": "drift.json"},
    ),
)

BY_NUMBER: dict[str, Step] = {step.number: step for step in STEPS}
LAST = STEPS[-1].number


def step_number(key: object) -> str:
    """Return the two-digit number for ``5``, ``"5"``, ``"05"`` or ``"05_establish_baseline"``.

    Raises:
        ParameterError: if no step has that number or name.
    """
    text = str(key).strip()
    head = text.split("_")[0]
    if head.isdecimal() and f"{int(head):02d}" in BY_NUMBER:
        step = BY_NUMBER[f"{int(head):02d}"]
        if text in (head, step.name):
            return step.number
    hint = nearest(text, [step.name for step in STEPS])
    raise ParameterError(f"no step {text!r}: steps are numbered 01 to {LAST}{hint}")


def get_step(key: object) -> Step:
    """Return the step for a number or name; see :func:`step_number`."""
    return BY_NUMBER[step_number(key)]


def proof_of(check: str) -> tuple[Step, str]:
    """Return the step whose artifact decides a checklist item or a mistake, and the artifact's file name.

    Raises:
        KeyError: if no step proves it: a mistake of ours, which a test looks for.
    """
    for step in STEPS:
        if check in step.proves:
            return step, step.proves[check]
    raise KeyError(check)
