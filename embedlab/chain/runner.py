"""The chain: execute the notebooks of a run in order, skip what is up to date, stop at errors."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.chain.keys import is_current
from embedlab.chain.lock import TOKEN
from embedlab.chain.params import RunParams, require_collection, require_files
from embedlab.chain.paths import NOTEBOOKS, notebook_path, registry_path, run_folder
from embedlab.chain.steps import STEPS, Step
from embedlab.chain.store import Store
from embedlab.errors import EmbedlabError

CHOSEN = "JUPYTER_DEFAULT_PROVISIONER_NAME"
"""Jupyter's own setting for how kernels are started; one that is set already stays."""

Report = Callable[[Step, str, str], None]
"""Called with a step, its state (``running``, ``done``, ``skipped``, ``failed``) and a detail."""


class StepFailedError(EmbedlabError):
    """A notebook stopped: names step, cell and error."""


@dataclass(frozen=True)
class Outcome:
    """What a chain did: the run's folder, the steps executed and those skipped."""

    folder: Path
    executed: list[str]
    skipped: list[str]


def run_chain(
    params: RunParams,
    steps: Sequence[Step] = STEPS,
    force: bool = False,
    report: Report = lambda step, state, detail: None,
) -> Outcome:
    """Execute steps of a run in order.

    Args:
        params: checked parameters; ``run`` names the folder.
        steps: which steps; those that are current are skipped.
        force: execute current steps too.
        report: told about every change of state.

    Raises:
        ParameterError: if a file that a step is given is not there, or if there is nothing to load the collection from.
        LockedError: if another process writes this run folder.
        StepFailedError: if a notebook stops; its half-executed copy lies in the run's ``notebooks/``.
    """
    require_files(params, steps)
    if any(step.number == "01" for step in steps):
        require_collection(params)
    run = str(params.for_step("01")["run"])
    store = Store(run_folder(run))
    _require_writable(store.folder)
    token = store.lock.acquire()
    executed: list[str] = []
    skipped: list[str] = []
    try:
        saved = params.dump()
        file = store.folder / "params.yaml"
        if not file.is_file() or file.read_bytes() != saved.encode():
            store.write("params.yaml", saved)
        for step in steps:
            if not force and is_current(store, step, params):
                store.update(step.number, status="skipped")
                skipped.append(step.number)
                report(step, "skipped", "up to date")
                continue
            report(step, "running", "")
            with _environment(token, store.folder.parent):
                seconds = _execute(store, step, params, run)
            executed.append(step.number)
            report(step, "done", f"{seconds:.1f} s")
    finally:
        store.lock.release()
    return Outcome(store.folder, executed, skipped)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise EmbedlabError(
            f"cannot write to {folder}: {error.strerror or error}; free space, change its rights, "
            "or set EMBEDLAB_OUTPUTS to another folder"
        ) from None


@contextlib.contextmanager
def _environment(token: str, outputs: Path) -> Iterator[None]:
    """Set what kernels need to find the run and to prove that this runner started them."""
    from embedlab.chain.kernels import PROVISIONER

    wanted = {TOKEN: token, "EMBEDLAB_OUTPUTS": str(outputs), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    # Kernels work in another folder, where a relative path would name another file.
    wanted |= {"EMBEDLAB_REGISTRY": str(registry_path())}
    wanted |= {} if CHOSEN in os.environ else {CHOSEN: PROVISIONER}
    # By default torch's threads spin while they wait: beside another busy program a step then takes many times as long.
    wanted |= {} if "OMP_WAIT_POLICY" in os.environ else {"OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _execute(store: Store, step: Step, params: RunParams, run: str) -> float:
    import logging

    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    target = store.folder / "notebooks" / f"{step.name}.ipynb"
    target.parent.mkdir(exist_ok=True)
    begin = time.perf_counter()
    store.update(step.number, status="running")
    try:
        papermill.execute_notebook(
            str(notebook_path(step)),
            str(target),
            parameters=_injected(params, step, run),
            kernel_name="python3",
            cwd=str(NOTEBOOKS),
            progress_bar=False,
            log_output=False,
            kernel_manager_class="embedlab.chain.kernels.IpcKernelManager",
        )
    except PapermillExecutionError as error:
        store.update(step.number, status="failed")
        raise StepFailedError(_explain(step, error, target)) from None
    except DeadKernelError as error:
        store.update(step.number, status="failed")
        raise StepFailedError(f"step {step.name}: the kernel died ({error}); often: out of memory") from None
    except BaseException:
        with contextlib.suppress(EmbedlabError):
            store.update(step.number, status="failed")
        raise
    if store.entry(step.number).get("status") != "done":
        store.update(step.number, status="failed")
        raise StepFailedError(f"step {step.name} ended without lab.finish(...): nothing was recorded")
    unwritten = store.unwritten(step)
    if unwritten:
        store.update(step.number, status="failed")
        raise StepFailedError(
            f"step {step.name} ended without writing {', '.join(unwritten)}, which its row in embedlab/chain/steps.py "
            "lists: write it by lab.write before lab.finish, or take it out of the row"
        )
    return time.perf_counter() - begin


def _injected(params: RunParams, step: Step, run: str) -> dict[str, Any]:
    """Return what papermill puts into the notebook: the run and what is not at its default."""
    shared = {k: v for k, v in params.shared.items() if step.number == "01"}
    return {**shared, **params.steps.get(step.number, {}), "run": run}


def _explain(step: Step, error: Any, target: Path) -> str:
    message = str(error.evalue).strip()
    return (
        f"step {step.name} stopped in code cell {error.exec_count} (In [{error.exec_count}]): "
        f"{error.ename}: {message}\nThe half-executed notebook: {target}"
    )
