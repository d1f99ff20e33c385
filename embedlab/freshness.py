"""Is a step's result still what its code, parameters and inputs would give?"""

from __future__ import annotations

from embedlab.errors import IntegrityError
from embedlab.keys import step_key
from embedlab.params import RunParams, load_params
from embedlab.steps import STEPS, Step
from embedlab.store import FINISHED, Store


def current_key(store: Store, step: Step, params: RunParams) -> str:
    """Return the key that the step would have if it ran now."""
    return step_key(step, params.for_step(step.number), store.inputs(step))


def why_stale(store: Store, step: Step, params: RunParams) -> str | None:
    """Return why a step would have to run again, or None where it is up to date."""
    entry = store.entry(step.number)
    status = entry.get("status", "not run")
    if status not in FINISHED:
        return f"step {step.number} is {status}"
    if entry.get("key") != current_key(store, step, params):
        return f"step {step.number} is stale: its code, parameters or inputs changed since it ran"
    try:
        for output in entry["outputs"]:
            store.check(output["path"], output["sha256"], step.number)
    except IntegrityError as error:
        return str(error)
    return None


def is_current(store: Store, step: Step, params: RunParams) -> bool:
    """Return whether a step is finished, its key unchanged and its outputs as they were written."""
    return why_stale(store, step, params) is None


def stale_steps(store: Store) -> list[str]:
    """Return the finished steps whose results no longer follow from the run's parameters, code and inputs."""
    file = store.folder / "params.yaml"
    params = load_params(file) if file.exists() else RunParams()
    finished = [s for s in STEPS if store.entry(s.number).get("status") in FINISHED]
    return [step.number for step in finished if not is_current(store, step, params)]
