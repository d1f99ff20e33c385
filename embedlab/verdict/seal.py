"""Is the sealed test still to be trusted: unchanged, opened only by who may, not too often, and on the record?"""

from __future__ import annotations

from typing import Any

from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.artifacts.define_problem import QRELS_TEST, Settings
from embedlab.chain.artifacts.evaluate import Evaluation, Opening
from embedlab.chain.contract import Contract
from embedlab.chain.paths import registry_path
from embedlab.chain.registry import Entry, read
from embedlab.chain.seal import ledger
from embedlab.chain.steps import BY_NUMBER
from embedlab.chain.store import Store
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.files import sha256_file
from embedlab.verdict.facts import Facts
from embedlab.verdict.openings import Standing, standing


def registered(facts: Facts) -> Standing | None:
    """Return where the run's opening of the test stands in the registry, None before step 15.

    Weights that the run's own ledger knows and the registry does not count too: they were looked at.

    Raises:
        IntegrityError: if the registry is broken, or what the run scored is not in it under the run's name.
    """
    evaluation, opening = facts.read(Evaluation), facts.read(Opening)
    contract, settings = facts.read(Contract), facts.read(Settings)
    if evaluation is None or contract is None or settings is None:
        return None
    entries = read(registry_path())
    what = f"what {facts.store.folder} scored (weights {evaluation.model[:12]} as {contract.proposed})"
    again = f"embedlab run {facts.store.folder / 'params.yaml'} --set run={facts.store.folder.name} --only 15 --force"
    scored = (evaluation.model, contract.proposed)
    if opening is None or (opening.weights, opening.proposed) != scored:
        raise IntegrityError(f"{what} is not what step {Opening.step} wrote for the registry; run: {again}")
    lines = [entry for entry in entries if (entry.contract, entry.opening) == (contract.hash, opening)]
    if not lines:
        raise IntegrityError(
            f"{what} is not registered in {registry_path()}: that file was deleted or is another one; "
            f"name the right one in EMBEDLAB_REGISTRY, or register it anew: {again}"
        )
    own = [line for line in lines if (line.run, line.seed) == (facts.store.folder.name, settings.seed)]
    if not own:
        raise IntegrityError(
            f"{what} is registered by {_who(lines[0])}: this folder is a copy of that run, or it was renamed; to "
            f"register it under its own name, which costs no opening, run: {again}"
        )
    return standing(entries, own[0], len(_unregistered(facts.store, entries)))


def _unregistered(store: Store, entries: list[Entry]) -> set[str]:
    """Return the weights that step 15 opened the test for in this run and that no line of the registry names."""
    opened = [e for e in ledger(store) if e["step"] == Evaluation.step and e["kind"] == "opening"]
    known = {entry.opening.weights for entry in entries}
    return {weights for entry in opened for weights in entry["models"]} - known


def in_verdict(facts: Facts, contract: Contract) -> dict[str, Any] | None:
    """Return what the verdict says of the registry, None before step 15.

    ``opening`` of ``allowed`` ones of this test, which has ``groups``; ``seen`` of them were in the openings at the
    lines ``earlier``. ``line`` and ``hash`` are those of the run's own line, ``loosened`` as in :class:`Standing`.
    """
    found = registered(facts)
    if found is None:
        return None
    return {
        "opening": found.opening,
        "allowed": contract.test_openings,
        "groups": found.groups,
        "seen": found.seen,
        "earlier": [entry.number for entry in found.earlier],
        "line": found.line.number,
        "hash": found.line.hash,
        "loosened": [{"term": term.term, "then": term.then, "now": term.now} for term in found.loosened],
    }


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
    wrong = [e["step"] for e in ledger(store) if e["kind"] == "opening" and BY_NUMBER[e["step"]].test == "none"]
    return f"opened by step {wrong[0]}, which has no right to it" if wrong else None


def problem(facts: Facts, contract: Contract) -> str | None:
    """Return why the test is not to be trusted, or None; raises as :func:`registered` does."""
    found = registered(facts)
    if found is None or found.opening <= contract.test_openings:
        return verify(facts.store)
    before = [_who(entry) for entry in found.earlier]
    if found.unregistered:
        before.append(f"{found.unregistered} in this run that the registry does not know")
    return (
        f"this is opening {found.opening} of this test, {contract.test_openings} allowed; before it came "
        f"{'; '.join(before)}; {fresh_test(found)}"
    )


def fresh_test(found: Standing) -> str:
    """Return in words what makes a test on which nothing was scored."""
    return f"a fresh test of this size takes {found.fresh_groups} new groups, which no opening has seen"


def _who(entry: Entry) -> str:
    return f"run {entry.run} with seed {entry.seed} (line {entry.number})"
