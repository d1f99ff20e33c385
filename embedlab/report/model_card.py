"""The model card of a tuned model, in the form that the Hugging Face hub reads, filled from the run alone."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.chain.artifacts.choose_base_model import CANDIDATES, Choice
from embedlab.chain.artifacts.define_problem import Settings
from embedlab.chain.artifacts.train import TUNED, Training
from embedlab.chain.contract import Contract
from embedlab.chain.store import Store
from embedlab.data.characters import printable
from embedlab.errors import MissingInputError
from embedlab.evaluation.results import with_interval
from embedlab.files import replace_file
from embedlab.models.identity import EmbeddingIdentity
from embedlab.report.content import caveats
from embedlab.verdict.rule import read_verdict
from embedlab.verdict.words import WORDS, sentence

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

CARD = f"{TUNED}.README.md"
"""Where the card is written: beside the model's folder, whose files are hashed as they are."""

TAGS = ("sentence-transformers", "feature-extraction", "dense", "information-retrieval")

_ONE_WORD = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def write_card(store: Store) -> Path:
    """Write the model card of a run's tuned model and return its file; publish it as ``README.md`` of the model.

    Raises:
        MissingInputError: if the run has no verdict that stands, or kept the base: then there is no model to describe.
        IntegrityError: if an artifact is not the one recorded.
    """
    verdict = read_verdict(store.folder)
    training = store.artifact(Training)
    if training.kept == "base":
        raise MissingInputError(f"{store.folder}: step 14 kept the base model; there is no tuned model to describe")
    file = store.folder / CARD
    replace_file(file, card_text(store, verdict, training))
    return file


def card_text(store: Store, verdict: Mapping[str, Any], training: Training) -> str:
    """Return the card: its head for the hub, then what a reader wants to know."""
    settings, contract = store.artifact(Settings), store.artifact(Contract)
    choice = store.artifact(Choice)
    base = choice.identity.name
    parts = [
        f"# {store.folder.name}: {_plain(base)}, tuned to search",
        f"**{WORDS[verdict['verdict']]}.** {_plain(sentence(verdict).partition(': ')[2])}",
        "## What it is for",
        f"{_plain(contract.objective)}\n\nWhat is claimed: {_plain(contract.claim)}. A result is one "
        f"{_plain(contract.unit_retrieved)}; {contract.shown} are shown. For other texts and other tasks it was not "
        "measured, but for the row on another domain below.",
        "## What was measured",
        _table(("", verdict["primary_metric"], "gain, 95 % interval", "queries"), _gains(verdict)),
        "Test queries were sealed until everything was chosen. " + _opening(verdict),
        "## Limits",
        "\n".join(f"- {_plain(line)}" for line in caveats(verdict)) or "None were found.",
        "## How to use it",
        _usage(choice.identity),
        "## What it was trained on",
        _trained_on(settings, training),
        "## How it was trained",
        _table(("setting", "value"), [(name, f"`{value}`") for name, value in training.recipe.items()]),
        f"Weights `{training.weights}`, from weights `{training.base}` of {_plain(base)}; step {training.best_step}, "
        f"{training.share:.0%} of the way from the base.",
    ]
    return f"---\n{_head(store, verdict, choice).to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def _head(store: Store, verdict: Mapping[str, Any], choice: Choice) -> ModelCardData:
    """Return what the hub reads, with the model's own results."""
    from huggingface_hub import EvalResult, ModelCardData

    settings = store.artifact(Settings)
    candidates = CANDIDATES.read(store.path(CANDIDATES.step, CANDIDATES.file)).set_index("model")
    chosen, base = candidates.loc[choice.model], choice.identity.name
    result = EvalResult(
        task_type="information-retrieval",
        task_name="Information Retrieval",
        dataset_type=settings.source,
        dataset_name=f"{settings.source}, sealed test queries",
        metric_type=re.sub(r"\W+", "_", verdict["primary_metric"].lower()),
        metric_name=verdict["primary_metric"],
        metric_value=round(verdict["tuned"], 4),
    )
    return ModelCardData(
        model_name=store.folder.name,
        base_model=base if "/" in base else None,
        language=chosen["languages"].split(", ") if chosen["languages"] else None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=list(TAGS),
        eval_results=[result],
        **_licence(str(chosen["licence"])),
    )


def _licence(name: str) -> dict[str, Any]:
    """Return a licence as the hub writes it: one of its short names, or ``other`` with its name."""
    short = name.strip().lower()
    if _ONE_WORD.fullmatch(short):
        return {"license": short}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", short).strip("-")}


def _gains(verdict: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a row a comparison: of the proposed system, of the model alone, by kind of document, on another domain."""
    proposed = verdict["proposed"]
    compared = [(f"{proposed}, over what answers today ({verdict['production']})", verdict["versus_production"])]
    if verdict["simpler"] != verdict["production"]:
        compared.append((f"{proposed}, over the best without tuning ({verdict['simpler']})", verdict["versus_simpler"]))
    alone = {"candidate": verdict["tuned"], **{key: verdict[key] for key in ("delta", "ci95", "n_queries")}}
    compared.append(("the tuned model alone, over the base alone", alone))
    for divided in list((verdict.get("strata") or {}).values())[:1]:
        for kind in (divided["known"], divided["new"]):
            compared.append((f"{proposed}, {kind['name']}", {**kind, "n_queries": kind["queries"]}))
    retained = verdict.get("retention")
    if retained:
        found = {"candidate": retained["tuned"], **retained, "n_queries": retained["queries"]}
        compared.append((f"another domain ({retained['set']}), the model alone", found))
    return [_gain(name, found) for name, found in compared if found.get("delta") is not None]


def _gain(name: str, found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    score = found.get("candidate")
    shown = "not measured" if score is None else f"{score:.3f}"
    return _plain(name), shown, with_interval(found["delta"], found["ci95"]), f"{found['n_queries']:,}"


def _opening(verdict: Mapping[str, Any]) -> str:
    found = verdict.get("registry")
    return f"This was opening {found['opening']} of {found['allowed']} of this test." if found else ""


def _usage(identity: EmbeddingIdentity) -> str:
    """Return how the model is loaded, with the prompts that it wants."""
    prompts = "It wants no prompt before a text."
    if identity.query_prompt or identity.document_prompt:
        prompts = (
            f"Before a query stands `{identity.query_prompt!r}`, before a document `{identity.document_prompt!r}`."
        )
    code = (
        "from sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("path of this model")\n'
        'queries = model.encode_query(["what somebody asks"], normalize_embeddings=True)\n'
        'documents = model.encode_document(["what is searched"], normalize_embeddings=True)\n'
        "scores = queries @ documents.T"
    )
    vectors = (
        f"Its vectors have {identity.dimensions} numbers; texts are cut at {identity.max_length} tokens. {prompts}"
    )
    alone = "Vectors of other models, the base's too, must not be searched together with its own."
    return f"```python\n{code}\n```\n\n{vectors} {alone}"


def _trained_on(settings: Settings, training: Training) -> str:
    pairs = f"{training.pairs:,} pairs of query and document"
    said = f"{training.rows:,} queries of the collection `{settings.source}` with {pairs}."
    return f"{said}\n\n{_plain(settings.notice)}" if settings.notice else said


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return a text of the run as Markdown shows it: on one line, without HTML or characters that are obeyed."""
    return html.escape(printable(" ".join(text.split())), quote=False).replace("`", "'")
