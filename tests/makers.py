"""Whole typed artifacts with plain values: a test changes the fields that it is about and leaves the rest.

Together they are the artifacts of a run that ships: see :func:`good_run`.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from embedlab.chain import Contract, Store, get_step
from embedlab.chain.artifacts.base import Artifact
from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.choose_format import Formats
from embedlab.chain.artifacts.choose_loss import Loss
from embedlab.chain.artifacts.clean_dataset import Change, Effect
from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.create_negatives import MinedAgainstRandom
from embedlab.chain.artifacts.define_problem import QRELS_TEST, Settings
from embedlab.chain.artifacts.deploy_with_rollback import DEPLOYED, Rollout
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.artifacts.evaluate import Difference, Evaluation, Opening, Prices
from embedlab.chain.artifacts.monitor_drift import Drift, Trigger
from embedlab.chain.artifacts.plan_reindex import LIVE, Needed, Reindexed, ReindexPlan
from embedlab.chain.artifacts.qualitative_review import Changes
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.select_metrics import Metrics
from embedlab.chain.artifacts.shadow_test import Shadow
from embedlab.chain.artifacts.split_data import Leakage, Overlap, SplitGain
from embedlab.chain.artifacts.test_pipeline import EndToEnd
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import stamped
from embedlab.chain.store import plain
from embedlab.evaluation import (
    AmongUnseen,
    Comparison,
    Concentration,
    DocumentClass,
    GainOver,
    LeftOut,
    NoAnswer,
    Retained,
    SliceResult,
    Stakes,
    Strata,
    Stratum,
)
from embedlab.evaluation.results import IN_TRAINING, NOT_IN_TRAINING
from embedlab.files import sha256_file
from embedlab.models import EmbeddingIdentity
from embedlab.retrieval import Settings as PipelineSettings
from embedlab.retrieval import Stages, systems_of
from embedlab.retrieval.indexes.stamp import STAMP
from embedlab.rollout import CollectionInfo, Release, Releases, State
from embedlab.rollout.results import Check, Stage
from embedlab.rollout.service.state import SERVICE
from embedlab.training.results import AdapterUse, Checkpoint, MinedUse, Mix, SeedRun

WEIGHTS = "a" * 64
"""The sha256 of the tuned model's weights."""

BASE_WEIGHTS = "e" * 64
"""That of the base model's."""

METRIC = "nDCG@10"


# --- parts of artifacts -------------------------------------------------------------------------


def comparison(**changes) -> Comparison:
    """Return a comparison on 200 queries that gains .1, surely more than the .02 asked for."""
    found = Comparison(
        verdict="SHIP",
        metric=METRIC,
        n_queries=200,
        n_groups=40,
        baseline=0.4,
        candidate=0.5,
        delta=0.1,
        ci95=(0.06, 0.14),
        p_value=0.0001,
        min_gain=0.02,
        queries_needed=50,
        wins=120,
        ties=60,
        losses=20,
        warnings=(),
        ci95_queries=(0.07, 0.13),
        ci95_groups=(0.06, 0.14),
        confidence=0.95,
        ci=(0.06, 0.14),
        p_gain=0.0001,
        p_loss=0.9999,
        groups_needed=10,
        effective_groups=30.0,
    )
    return replace(found, **changes)


def among_unseen(**changes) -> AmongUnseen:
    """Return a gain of .1 within the classes of documents that were no positive of training."""
    found = AmongUnseen(
        state="held",
        reason="nDCG@10 changes by +0.100 [+0.050, +0.150] within classes on 150 queries",
        settled_by="",
        baseline=0.5,
        tuned=0.6,
        delta=0.1,
        ci95=(0.05, 0.15),
        queries=150,
        groups=35,
        apart=0.01,
        classes=[
            DocumentClass("positives", 540, 50, None, None, None, 0.01),
            DocumentClass("negatives", 200, 90, 0.5, 0.6, 0.1, 0.0),
            DocumentClass("never used", 100, 60, 0.5, 0.6, 0.1, 0.0),
        ],
    )
    return replace(found, **changes)


def retained(**changes) -> Retained:
    """Return a change in another domain that lies well within the loss accepted."""
    found = Retained(
        set="hpo",
        documents=3000,
        queries=300,
        groups=280,
        metric=METRIC,
        baseline=0.53,
        tuned=0.54,
        delta=0.01,
        ci95=(-0.01, 0.03),
        tolerance=0.05,
    )
    return replace(found, **changes)


def divided(**changes) -> Strata:
    """Return a gain that is the same about documents that training knew and about others."""

    def kind(name: str, queries: int) -> Stratum:
        return Stratum(name, queries, 20, 0.4, 0.5, delta=0.1, ci95=(0.05, 0.15), ci=(0.04, 0.16), few="")

    found = Strata(
        metric=METRIC,
        known=kind(IN_TRAINING, 150),
        new=kind(NOT_IN_TRAINING, 50),
        test_share=0.25,
        share=0.25,
        delta=0.1,
        ci95=(0.06, 0.14),
        ci=(0.05, 0.15),
        confidence=0.95,
        worth=200.0,
        unsettled="",
        over_share=[],
    )
    return replace(found, **changes)


def slice_result(**changes) -> SliceResult:
    """Return a guardrail slice that was held."""
    found = SliceResult(
        slice="negation",
        queries=30,
        delta=0.0,
        low=-0.04,
        high=0.06,
        guardrail=True,
        p=0.02,
        p_holm=0.02,
        state="held",
    )
    return replace(found, **changes)


def concentration(**changes) -> Concentration:
    """Return a gain that comes from everywhere."""
    found = Concentration(
        improved=0.6,
        hurt=0.1,
        without_best_slice=LeftOut("matrix=mobile", 0.08, (0.04, 0.12)),
        without_best_group=LeftOut("group g1", 0.09, (0.05, 0.13)),
        narrow=(),
    )
    return replace(found, **changes)


def identity(**changes) -> EmbeddingIdentity:
    """Return the identity of the tuned model's vectors."""
    return replace(EmbeddingIdentity("tuned", WEIGHTS, "config", 384, 256, "", "", "float32"), **changes)


def base_identity() -> EmbeddingIdentity:
    """Return the identity of the base model's vectors."""
    return identity(name="base", weights=BASE_WEIGHTS)


# --- what the steps hand on ---------------------------------------------------------------------


def settings(**changes) -> Settings:
    found = Settings(
        source="beir",
        base_model="base",
        seed=0,
        strict=False,
        dev_from="",
        test_from="",
        unit="group",
        parted_by="embedlab",
        notice="",
        queries={"train": 600, "dev": 200, "test": 200},
        documents=839,
        content="b" * 64,
        precision="float32",
        device="cpu",
    )
    return replace(found, **changes)


def contract(**changes) -> Contract:
    found = Contract(
        objective="find the technique",
        unit_retrieved="document",
        claim="new documents",
        share_of_new_documents=-1.0,
        shown=10,
        primary_metric=METRIC,
        production="dense",
        proposed="pipeline",
        min_gain=0.02,
        tuning_gain=0.02,
        expected_gain=0.05,
        confidence=0.95,
        guardrail_slices=["negation"],
        slices=[],
        slice_tolerance=0.05,
        smallest_slice=20,
        retention_tolerance=0.05,
        retention_path="",
        retention_documents=0,
        retention_queries=0,
        latency_budget_ms=100.0,
        index_budget_mb=2000.0,
        migration_budget=10.0,
        monthly_budget=30.0,
        languages=[],
        licences=[],
        runtimes=[],
        most_truncated=1.0,
        memory_budget_mb=0.0,
        million_queries_budget=0.0,
        test_openings=1,
        transductive=True,
        waived=[],
    )
    return replace(found, **changes)


def need(**changes) -> Need:
    gain = GainOver("today", "hybrid", 0.05, (0.03, 0.07), (0.02, 0.08), 0.99)
    found = Need(
        advice="both",
        sentence="Both: search hybrid, and fine-tune.",
        simpler="hybrid",
        kind="hybrid",
        simpler_gain=gain,
        best_stack=None,
        tuning_gain=gain,
        on_top=gain,
        passages_gain=0.01,
        not_measured={},
        failing=40,
        causes={"fixed by a simpler rung": 20, "no rung, within reach": 20},
        today=0.4,
        ceiling=0.8,
    )
    return replace(found, **changes)


def choice(**changes) -> Choice:
    found = Choice(model="base", identity=base_identity(), refused={}, cosine_to_fp32=1.0)
    return replace(found, **changes)


def eval_set(**changes) -> EvalSet:
    found = EvalSet(
        seal="f" * 64,
        sizes={"test": {"queries": 200, "groups": 40}},
        detectable_gain=0.03,
        chance_of_ship=0.8,
        design_effect=1.5,
        queries_needed=180,
        unjudged={"base": 0.7},
        unit="group",
        findings=0,
    )
    return replace(found, **changes)


UNTUNED = systems_of("base", "e" * 64, 0.5, PipelineSettings(weight=0.5))
TUNED = systems_of("tuned", WEIGHTS, 0.7, PipelineSettings(weight=0.7, rerank_weight=0.4))


def baseline(**changes) -> Baseline:
    production, simpler = UNTUNED["dense"], UNTUNED["hybrid"]
    found = Baseline(
        metric=METRIC,
        weight=0.5,
        production=production,
        simpler=simpler,
        hashes={"production": production.hash, "simpler": simpler.hash},
        stages=Stages(),
        dev={"base": 0.41, "hybrid (base)": 0.46},
        test={"base": 0.4, "hybrid (base)": 0.45},
    )
    return replace(found, **changes)


def metrics(**changes) -> Metrics:
    return replace(Metrics(primary=METRIC, guard="R@10", graded=True, several_relevant=0.3), **changes)


def mined_against_random(**changes) -> MinedAgainstRandom:
    found = MinedAgainstRandom(measured=True, seeds=1, steps=12, random=0.5, mined=0.52, delta=0.02, ci95=(0.0, 0.04))
    return replace(found, **changes)


def formats(**changes) -> Formats:
    found = Formats(
        rows={"pairs": 900, "triplets": 3600},
        examples_of=100,
        store=600,
        fits={"pairs": ["MultipleNegativesRankingLoss"], "triplets": ["TripletLoss"]},
        prompts={"pairs": {}, "triplets": {}},
    )
    return replace(found, **changes)


def loss(**changes) -> Loss:
    found = Loss(
        loss="mnr_hard",
        leader="mnr_hard",
        steps=12,
        metric=METRIC,
        seeds=1,
        not_run={},
        long_steps=0,
        teacher="",
        pairs=0,
        pairs_alike=0,
    )
    return replace(found, **changes)


def effect(**changes) -> Effect:
    found = Effect(effect=Change(delta=0.01, low=-0.01, high=0.03, seeds=1), said="It gains a little.", steps=12)
    return replace(found, **changes)


def leakage(**changes) -> Leakage:
    found = Leakage(
        total=0,
        unit="group",
        split_unit="group",
        random_split_share=0.8,
        split_gains=[SplitGain("by group", 60, 0.4, 0.5, 0.1, 0.05, 0.15)],
        inflated_by=None,
        counts=[Overlap("train, test", "documents", 0, leak=True, items=[])],
    )
    return replace(found, **changes)


def training(**changes) -> Training:
    found = Training(
        kept="tuned",
        best_step=36,
        share=1.0,
        steps_done=48,
        loss="mnr_hard",
        hard_negatives=4,
        mined=MinedUse(pairs=3600, used=900, queries=1200, met=700),
        base=BASE_WEIGHTS,
        checkpoints=[Checkpoint(0, None, 0.4, 0.1, 0.02), Checkpoint(36, 1.2, 0.5, 0.0, 0.0)],
        seeds=[SeedRun(0, 36, 0.1)],
        averaged=False,
        mixes=[Mix(0.5, 0.49), Mix(1.0, 0.5)],
        adapter=AdapterUse(10.0, 150, comparison()),
        route=AdapterUse(30.0, 100, comparison()),
        routed=False,
        pairs=3900,
        rows=600,
        validation=comparison(n_queries=90),
        validation_and_dev=comparison(n_queries=190),
        weights=WEIGHTS,
        recipe={"learning_rate": 1e-4, "steps": 48},
    )
    return replace(found, **changes)


def evaluation(**changes) -> Evaluation:
    found = Evaluation(
        production="base",
        simpler="hybrid (base)",
        proposed=TUNED["pipeline"],
        hash=TUNED["pipeline"].hash,
        simpler_gain=comparison(delta=0.07, ci95=(0.03, 0.11), ci=(0.03, 0.11)),
        strata={"versus_production": divided(), "versus_simpler": divided()},
        stakes={"production": Stakes(0.99, 0.0, 0.1), "simpler": Stakes(0.97, 0.001, 0.03)},
        versus_production=comparison(delta=0.12, ci95=(0.08, 0.16), ci=(0.08, 0.16)),
        comparison=comparison(),
        versus_hybrid=comparison(delta=0.05, ci95=(0.01, 0.09)),
        pipelines=comparison(delta=0.07, ci95=(0.03, 0.11)),
        versus_simpler=comparison(delta=0.05, ci95=(0.02, 0.09), ci=(0.02, 0.09)),
        hybrids=comparison(delta=0.06, ci95=(0.02, 0.1)),
        unseen_only=among_unseen(),
        retention=retained(),
        slices=[slice_result()],
        concentration=concentration(),
        log_gain=None,
        unjudged={"base": 0.3, "hybrid (base)": 0.3, "pipeline (tuned)": 0.4},
        bounds=(0.02, 0.3),
        dev_gain=0.1,
        model=WEIGHTS,
        weights={"base": 0.5, "tuned": 0.7},
    )
    return replace(found, **changes)


def opening(**changes) -> Opening:
    """Return the opening of a test of ten groups with two queries each."""
    found = Opening(
        weights=WEIGHTS,
        proposed="pipeline",
        judgments="9" * 64,
        groups=groups_of(range(10)),
        settings={"hybrid (base)": "8" * 64},
        differences={"tuned - base": Difference(0.1, (0.06, 0.14), (0.06, 0.14))},
    )
    return replace(found, **changes)


def groups_of(numbers: Iterable[int]) -> list[str]:
    """Return groups of an opening, each with two texts of its own."""
    return [f"{2 * n:016x} {2 * n + 1:016x}" for n in numbers]


def prices(**changes) -> Prices:
    found = Prices(
        production_documents=1_000_000,
        monthly_queries=100_000,
        monthly_labels=10,
        old_index_days=30,
        machine_price=0.5,
        storage_price=0.25,
        label_price=0.5,
    )
    return replace(found, **changes)


def review(**changes) -> Changes:
    found = Changes(
        gained=20,
        lost=5,
        judged=6,
        judged_better=5,
        judged_worse=1,
        blind=24,
        blind_better=16,
        blind_worse=3,
        improved=120,
        regressed=20,
    )
    return replace(found, **changes)


def reembedding(**changes) -> Reembedding:
    found = Reembedding(
        identity=identity(),
        documents=839,
        vectors=839,
        dimensions=384,
        index_mb=1.2,
        mb_per_million=1536.0,
        price=0.01,
        shards=4,
        neighbour_overlap=0.6,
        cosine_to_base=0.8,
        cosine_to_rotated=0.0,
        mixed=None,
        mean_cosine={"base": 0.1, "tuned": 0.05},
        wrong_model_refused=True,
        same_space_as_base=False,
        passed=True,
        reason="",
    )
    return replace(found, **changes)


def end_to_end(**changes) -> EndToEnd:
    found = EndToEnd(
        system=TUNED["pipeline"],
        same=1.0,
        passed=True,
        reason="built anew, 100.0% of the test queries get the results that were scored",
        metric=METRIC,
        baseline=0.45,
        tuned=0.52,
        within_latency_budget=True,
        latency="839 vectors, p95 within the budget of 100 ms",
        thresholds={"today": {"threshold": 0.2}, "proposed": {"threshold": 0.3}},
        indexes={"flat": {"MB": 1.2, "recall@10": 1.0}},
        index_recall=0.99,
        index_chosen={"base": "flat", "tuned": "flat"},
        no_answer={"proposed": NoAnswer(0.3, 0.8, 0.98, 0.4, 50, 50)},
        gain_alone=0.1,
        gain_end_to_end=0.07,
        absorbed={"BM25": 0.02},
        evidence_in_prompt={"today": 0.6, "proposed": 0.7},
        prompt_tokens=1000,
        tokenizer="a model",
        answers_right={},
    )
    return replace(found, **changes)


def shadow(**changes) -> Shadow:
    found = Shadow(
        queries=200,
        dated=True,
        overlap10=0.6,
        rbo=0.5,
        metric=METRIC,
        today=0.4,
        proposed=0.5,
        delta=0.1,
        ci95=(0.06, 0.14),
        unanswered=0,
        within_latency_budget=True,
        systems={"today": "base", "proposed": "pipeline (tuned)"},
        passed=True,
        reason="",
    )
    return replace(found, **changes)


def reindex_plan(**changes) -> ReindexPlan:
    found = ReindexPlan(
        here=Needed(documents=839, passages=900, batches=7, extra_bytes=9_000_000),
        production=Needed(documents=1_000_000, passages=1_072_706, batches=7813, extra_bytes=4_800_000_000),
        batch_size=128,
        model="tuned",
        dimensions=384,
        index="flat",
        steps=["plan", "drain"],
    )
    return replace(found, **changes)


def reindexed(**changes) -> Reindexed:
    found = Reindexed(
        passed=True,
        reason="",
        rollback_kept=True,
        documents=839,
        batches=7,
        killed_after=384,
        writes=9,
        differing=0,
        wrong_answers=0,
        states=["planned", "backfilling", "backfilled", "validated", "cut over"],
        old="old",
        new="new",
        live="new",
        quality_before=0.4,
        quality_after=0.5,
        metric=METRIC,
        checks=[Check("documents", 839, "839", passed=True)],
    )
    return replace(found, **changes)


def rollout(**changes) -> Rollout:
    found = Rollout(
        passed=True,
        reason="",
        rollback_drill=True,
        stages=[Stage(1, 20, 8, 0.4, 0.5, 0.1, None, None, 0.0, 0.0, "", "8 of 10 groups")],
        live="new",
        noticed_at_percent=5,
        drill_alarm="quality",
        drill_quality=0.1,
        metric=METRIC,
        sticky=True,
    )
    return replace(found, **changes)


def drift(**changes) -> Drift:
    found = Drift(
        passed=True,
        retrain=False,
        reason="thresholds stated",
        dated=True,
        reference="2021",
        years={"2021": 300, "2022": 200},
        alarms=0,
        tests=4,
        false_alarm_rate=0.04,
        false_alarm_rate_psi=0.2,
        planted_noticed=True,
        canary={"2022": 0.5},
        rules=[Trigger("the canary score drops", fired=False, seen="+0.010")],
        thresholds={"alpha": 0.05, "psi": 0.2, "max_drop": 0.05},
        to_label=20,
        listed_fail=0.5,
        rest_fail=0.2,
    )
    return replace(found, **changes)


MAKERS = (
    settings, contract, need, choice, eval_set, baseline, metrics, mined_against_random, formats, loss, effect, leakage,
    training, evaluation, opening, prices, review, reembedding, end_to_end, shadow, reindex_plan, reindexed, rollout,
    drift,
)  # fmt: skip
"""One a kind of artifact, in the order of the steps."""


# --- a run folder that holds them ---------------------------------------------------------------

SERVICES = {"20": LIVE, "21": DEPLOYED}
"""By step the folder of the service that it leaves."""

KEY = "key"
"""The step key of every step that is written here."""


def write_artifacts(store: Store, artifacts: Iterable[Artifact]) -> None:
    """Write artifacts and record their steps as done, those that measure quality with the run's contract.

    Artifacts come in the order of the steps.
    """
    for number, own in groupby(artifacts, key=lambda artifact: artifact.step):
        step = get_step(number)
        outputs = store.outputs((number,))
        for artifact in own:
            path, value = store.place(number, artifact.file), plain(artifact.as_dict())
            outputs[path] = store.write(path, stamped(value, store) if step.scores else value)
        store.finish(step, KEY, {"inputs": store.inputs(step)}, 1.0, outputs)


def write_file(store: Store, number: str, name: str, value: Any) -> None:
    """Write a file as another version of a step might have: nothing checks what is in it."""
    path = store.place(number, name)
    outputs = store.outputs((number,)) | {path: store.write(path, value)}
    store.finish(get_step(number), KEY, {}, 1.0, outputs)


def service_files(
    live: str = "new", encoder: EmbeddingIdentity | None = None, **indexes: EmbeddingIdentity
) -> dict[str, Any]:
    """Return the files of a service by their path in its folder: the state file, and what each index says of itself.

    Args:
        live: name of the index that answers.
        encoder: whose queries it is asked with; by default of the model that made it.
        indexes: whose vectors each holds, where it is not the base's for ``old`` and the tuned model's for ``new``.
    """
    held = {"old": base_identity(), "new": identity(), **indexes}
    asks = encoder or held[live]
    release = Release(live, live, asks.digest, asks.name, live, PipelineSettings())
    files: dict[str, Any] = {SERVICE: state_file(release)}
    for name, made_by in held.items():
        files[f"{name}/{STAMP}"] = json.loads(CollectionInfo(made_by, made_by.name).to_json())
    return files


def state_file(live: Release) -> bytes:
    """Return a state file in which one release answers; that its index is there is not asked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SERVICE
        with closing(State(path, create=True)) as state, state.db.transaction():
            Releases(state).put(live)
            Releases(state).note(live.name, "written by a test")
        return path.read_bytes()


def write_service(store: Store, number: str, files: Mapping[str, Any]) -> None:
    """Write the service that step 20 or 21 leaves, in place of any there, and record it among the step's outputs."""
    folder = SERVICES[number]
    kept = {path: digest for path, digest in store.outputs((number,)).items() if not path.startswith(folder)}
    written = {f"{folder}/{name}": store.write(f"{folder}/{name}", value) for name, value in files.items()}
    listed = [{"path": path, "sha256": digest} for path, digest in (kept | written).items()]
    store.update(number, outputs=listed)


def write_sealed(store: Store) -> str:
    """Write test judgments as step 01 does; return their sha256, which seals them."""
    write_file(store, QRELS_TEST.step, QRELS_TEST.file, b"judgments")
    return sha256_file(store.path(QRELS_TEST.step, QRELS_TEST.file))


def good_run(*changed: Artifact, without: Iterable[type[Artifact]] = ()) -> list[Artifact]:
    """Return the artifacts of a run that ships: ``changed`` ones in place of their kind, some kinds left out."""
    by_kind = {type(artifact): artifact for artifact in (make() for make in MAKERS)}
    by_kind |= {type(artifact): artifact for artifact in changed}
    return [artifact for kind, artifact in by_kind.items() if kind not in tuple(without)]


DECIDED = {"03": {"speed": {"base": [50.0, 0.005]}}, "17": {"documents per second": 100.0}}
"""What steps wrote down of measured speeds: documents a second, and seconds a query."""


def write_decisions(store: Store, key: str = KEY) -> None:
    """Write the decisions that rest on measured speeds, as made under a step key."""
    for number, decided in DECIDED.items():
        store.write(store.place(number, "decisions.json"), {"key": key, **decided})
