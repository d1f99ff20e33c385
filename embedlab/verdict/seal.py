"""Is the sealed test still to be trusted: unchanged, and opened only by who may, and not too often?"""

from __future__ import annotations

from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.artifacts.define_problem import QRELS_TEST
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.seal import ledger
from embedlab.chain.steps import BY_NUMBER
from embedlab.chain.store import Store
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.files import sha256_file


def scored_model_sets(store: Store) -> int:
    """Return how many different sets of tuned models the evaluation has scored on the test."""
    openings = (e for e in ledger(store) if e["step"] == Evaluation.step and e["kind"] == "opening" and e["models"])
    return len({tuple(sorted(e["models"])) for e in openings})


def verify(store: Store) -> str | None:
    """Return what is wrong with the seal, or None: changed content, or a forbidden opening."""
    try:
        sealed = store.artifact(EvalSet).seal
        path = store.path(QRELS_TEST.step, QRELS_TEST.file)
    except IntegrityError as error:
        return str(error)
    except MissingInputError:
        return f"step {EvalSet.step} has not sealed the test judgments of step {QRELS_TEST.step}"
    found = sha256_file(path)
    if found != sealed:
        return f"test judgments changed after they were sealed: {found[:12]}, sealed {sealed[:12]}"
    openings = [e["step"] for e in ledger(store) if e["kind"] == "opening"]
    wrong = [number for number in openings if BY_NUMBER[number].test == "none"]
    return f"opened by step {wrong[0]}, which has no right to it" if wrong else None


def problem(store: Store, allowed: int) -> str | None:
    """Return why the test is not to be trusted, or None; ``allowed`` is the contract's allowance."""
    used = scored_model_sets(store)
    if used > allowed:
        return f"{used} sets of tuned models were scored on the sealed test, {allowed} allowed"
    return verify(store)
