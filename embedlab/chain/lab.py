"""What ``embedlab.start`` returns: the notebook's handle on its run, step and store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.chain.contract import stamped, under_contract
from embedlab.chain.keys import step_key
from embedlab.chain.params import SHARED, RunParams, cell_parameters, load_params, located
from embedlab.chain.paths import run_folder
from embedlab.chain.seal import JUDGMENTS, check_right, note_look, record
from embedlab.chain.steps import BY_NUMBER, Step, get_step
from embedlab.chain.store import Store
from embedlab.errors import MissingInputError, ParameterError
from embedlab.trainset.schema import read_rows

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.data.collection import Collection


GUARD_STEPS = ("07", "08", "09", "10", "11", "12", "13")


def start(step: str | int, namespace: MutableMapping[str, Any]) -> Lab:
    """Open a step of a run from its notebook.

    Every parameter that is still at its cell's default takes the value it has in the run's
    ``params.yaml``; what was set is printed. A value that differs from both is a change, which
    marks this step and those after it as stale.

    Args:
        step: number or name, such as ``"05"``.
        namespace: the notebook's ``globals()``, with the values of its parameters cell.

    Raises:
        ParameterError: if the namespace lacks a parameter of the cell.
    """
    found = get_step(step)
    cell = cell_parameters(found.number)
    missing = [name for name in cell if name not in namespace]
    if missing:
        raise ParameterError(f"{found.name}: run the parameters cell first; missing: {', '.join(missing)}")
    store = Store(run_folder(str(namespace["run"])))
    saved = store.folder / "params.yaml"
    planned = load_params(saved) if saved.exists() else RunParams()
    taken = {}
    for name, value in planned.for_step(found.number).items():
        namespace[name] = located(found.number, name, namespace[name])
        if name != "run" and namespace[name] == cell[name].default != value:
            taken[name] = namespace[name] = value
    values = {name: namespace[name] for name in cell}
    if taken:
        print(f"From {saved.name}:", ", ".join(f"{k} = {v!r}" for k, v in taken.items()))  # noqa: T201
    if not saved.exists():
        _save_params(store, found, values)
    return Lab(found, store, values)


def _save_params(store: Store, step: Step, values: dict[str, Any]) -> None:
    """Write down a new run's parameters, so that its other notebooks take the same."""
    if step.number != "01":
        raise MissingInputError(
            f"there is no run {store.folder.name!r} under {store.folder.parent}; start it with step 01: "
            f"embedlab run params/<your>.yaml --set run={store.folder.name}"
        )
    cell = cell_parameters(step.number)
    changed = {k: v for k, v in values.items() if v != cell[k].default or k == "run"}
    shared = {k: v for k, v in changed.items() if k in SHARED}
    own = {k: v for k, v in changed.items() if k not in SHARED}
    store.write("params.yaml", RunParams(shared, {"01": own} if own else {}).dump())


class Lab:
    """One step of one run, opened.

    Attributes:
        step: the step.
        store: the run folder.
        params: every parameter of the step with its value.
        key: the step key, a hash of all that the results depend on.
    """

    def __init__(self, step: Step, store: Store, params: dict[str, Any]) -> None:
        self.step = step
        self.store = store
        self.params = params
        self.key = step_key(step, params, store.inputs(step))
        self._outputs: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._started = time.perf_counter()

    # --- reading --------------------------------------------------------------------------

    def read(self, step: str, name: str) -> Any:
        """Return an artifact of another step: DataFrame, JSON value or text.

        Raises:
            MissingInputError: if it does not exist yet, or this step may not read that one.
            SealedTestError: if it holds test judgments and this step has no right to them.
            ContractError: if it was made under another contract than the run has now.
        """
        self._check_allowed(step, name)
        if name == "guard.parquet" and self.step.number in GUARD_STEPS:
            record(self.store, self.step, self.key, "mask, exclude and count leaks", "guard", [])
        return under_contract(self.store.read(step, name), self.store, f"{name} of step {step}")

    def rows(self, step: str, name: str) -> pd.DataFrame:
        """Return the training store as another step wrote it, its schema checked; see :func:`schema.read_rows`."""
        return read_rows(self.path(step, name))

    def path(self, step: str, name: str) -> Path:
        """Return the checked path of another step's artifact; raises as :meth:`read` does."""
        self._check_allowed(step, name)
        return self.store.path(step, name)

    def _check_allowed(self, step: str, name: str) -> None:
        number = get_step(step).number
        if number not in (*self.step.reads, self.step.number):
            allowed = ", ".join(self.step.reads) or "none"
            raise MissingInputError(f"step {self.step.name} does not read step {number} (it reads: {allowed})")
        if name.endswith((JUDGMENTS, "_test.run")):
            check_right(self.step)

    @property
    def settings(self) -> dict[str, Any]:
        """The shared parameters that step 01 wrote down."""
        return dict(self.read("01", "settings.json"))

    @property
    def contract(self) -> dict[str, Any]:
        """The problem contract that step 01 wrote down."""
        return dict(self.read("01", "contract.json"))

    @property
    def base_model(self) -> str:
        """The base model that goes on: step 03's choice where this step reads it."""
        if "03" in self.step.reads:
            return str(self.read("03", "choice.json")["model"])
        return str(self.settings["base_model"])

    def collection(self, *parts: str) -> Collection:
        """Return the collection with the queries and judgments of these parts.

        Without parts: documents only, with the queries of ``train`` and ``dev``. Asking for
        ``test`` needs :meth:`open_test` first.
        """
        from embedlab.data.collection import Collection

        parts = parts or ("train", "dev")
        if "test" in parts:
            raise ParameterError("the test part is sealed: use lab.open_test(reason)")
        settings = self.settings
        whole = Collection(
            self.read("01", "corpus.parquet"),
            self.read("01", "queries.parquet"),
            self.read("01", "qrels.parquet"),
            settings["unit"],
            notice=settings["notice"],
        )
        return whole.part(*parts)

    def open_test(self, reason: str, models: list[str] | None = None) -> Collection:
        """Open the sealed test, log it, and return its queries and judgments.

        Args:
            reason: why; it goes into the ledger.
            models: weights hashes of the tuned models to be scored.

        Raises:
            SealedTestError: if this step has no right to it.
        """
        from dataclasses import replace

        qrels = self.read("01", JUDGMENTS)
        record(self.store, self.step, self.key, reason, "opening", models or [])
        whole = self.collection("train", "dev")
        queries: pd.DataFrame = self.read("01", "queries.parquet")
        held = queries[queries["part"] == "test"].reset_index(drop=True)
        return replace(whole, queries=held, qrels=qrels)

    def note_choice(self, what: str) -> None:
        """Count that dev was looked at to choose something; see :func:`seal.note_look`."""
        note_look(self.store, self.step, what)

    # --- writing --------------------------------------------------------------------------

    @property
    def vectors(self) -> Path:
        """The folder of the run's vector cache."""
        return self.store.folder / "vectors"

    @property
    def scratch(self) -> Path:
        """A folder for what an interrupted run continues from; tied to the step key."""
        return self.store.folder / "scratch" / f"{self.step.name}-{self.key[:12]}"

    def write(self, name: str, value: Any) -> None:
        """Write one of this step's artifacts atomically; see :meth:`Store.write`.

        Raises:
            ParameterError: if the steps table does not list the name.
        """
        if name not in (*self.step.writes, "summary.json"):
            raise ParameterError(f"step {self.step.name} writes {', '.join(self.step.writes)}; not {name!r}")
        path = f"artifacts/{self.step.name}/{name}"
        self._outputs[path] = self.store.write(path, stamped(value, self.store, self.step.number))

    @contextmanager
    def folder(self, path: str) -> Iterator[Path]:
        """Yield an empty folder that becomes ``path`` (under ``models/`` or ``indexes/``) at the end."""
        with self.store.folder_for(path, self._outputs) as folder:
            yield folder

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a block in seconds into ``timings.json``, which no hash covers."""
        begin = time.perf_counter()
        yield
        self.record_timings({name: time.perf_counter() - begin})

    def record_timings(self, values: dict[str, float]) -> None:
        """Write measured times beside the artifacts; times are not results."""
        self._timings |= {k: float(v) for k, v in values.items()}
        self.store.write(f"artifacts/{self.step.name}/timings.json", self._timings)

    def timings(self, step: str) -> dict[str, float]:
        """Return the measured times of another step; empty where there are none."""
        path = self.store.folder / "artifacts" / BY_NUMBER[step].name / "timings.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def decide(self, name: str, decision: Any) -> Any:
        """Return a decision that rests on measured times, the recorded one if the step is unchanged.

        So a re-execution with the same key takes the same way whatever the clock says.
        """
        path = f"artifacts/{self.step.name}/decisions.json"
        file = self.store.folder / path
        known = json.loads(file.read_text()) if file.exists() else {}
        if known.get("key") != self.key:
            known = {"key": self.key}
        if name not in known:
            known[name] = decision
            self.store.write(path, known)
        return known[name]

    def finish(self, conclusion: str, **figures: Any) -> Conclusion:
        """Write the step's summary, record the step as done, and return the conclusion to show.

        Args:
            conclusion: one or two sentences made from the results.
            **figures: the step's key figures, for the report.
        """
        self.write("summary.json", {"conclusion": conclusion, "figures": figures})
        seconds = time.perf_counter() - self._started
        self.store.finish(self.step, self.key, seconds, self._outputs)
        return Conclusion(conclusion)


class Conclusion:
    """A sentence that a notebook shows as Markdown."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"**What we learned.** {self.text}"
