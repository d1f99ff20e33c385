"""What ``embedlab.start`` returns: the notebook's handle on its run, step and store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from embedlab.chain import seal
from embedlab.chain.artifacts.base import Artifact, Kind, Summary, Table, defined_files, parse
from embedlab.chain.artifacts.define_problem import CORPUS, DOCUMENT_FACTS, QRELS, QRELS_TEST, QUERIES, Settings
from embedlab.chain.cells import cell_parameters, check_legal
from embedlab.chain.contract import Contract, stamped, under_contract
from embedlab.chain.keys import key_of, made_of
from embedlab.chain.params import SHARED, RunParams, check_value, load_params
from embedlab.chain.paths import run_folder
from embedlab.chain.steps import Step, get_step
from embedlab.chain.store import Store, plain
from embedlab.errors import IntegrityError, MissingInputError, ParameterError
from embedlab.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.data.collection import Collection


def start(step: str | int, namespace: MutableMapping[str, Any]) -> Lab:
    """Open a step of a run from its notebook.

    Every parameter that is still at its cell's default takes the value it has in the run's
    ``params.yaml``; what was set is printed. A value that differs from both is a change, which
    marks this step and those after it as stale.

    Args:
        step: number or name, such as ``"05"``.
        namespace: the notebook's ``globals()``, with the values of its parameters cell.

    Raises:
        ParameterError: if the namespace lacks a parameter of the cell, or has one of another type or an
            illegal value.
    """
    found = get_step(step)
    cell = cell_parameters(found.number)
    missing = [name for name in cell if name not in namespace]
    if missing:
        raise ParameterError(f"{found.name}: run the parameters cell first; missing: {', '.join(missing)}")
    where = f"parameters cell of {found.name}"
    store = Store(run_folder(check_value(found.number, "run", namespace["run"], where)))
    saved = store.folder / "params.yaml"
    planned = load_params(saved) if saved.exists() else RunParams()
    taken = {}
    for name, value in planned.for_step(found.number).items():
        namespace[name] = check_value(found.number, name, namespace[name], where)
        default = cell[name].default
        is_untouched = namespace[name] == default
        # The run's name said which file was read, so that file does not say it again.
        if name != "run" and is_untouched and default != value:
            namespace[name] = value
            taken[name] = value
    values = {name: namespace[name] for name in cell}
    check_legal(cell, values, {"run": where})
    if taken:
        shown = ", ".join(f"{name} = {value!r}" for name, value in taken.items())
        print(f"From {saved.name}:", shown)  # noqa: T201
    if not saved.exists():
        _save_params(store, found, values)
    return Lab(found, store, values)


def _save_params(store: Store, step: Step, values: dict[str, Any]) -> None:
    """Write down a new run's parameters, so that its other notebooks take the same."""
    # A mistyped name of a run would otherwise open a new, empty one.
    if step.number != "01":
        raise MissingInputError(
            f"there is no run {store.folder.name!r} under {store.folder.parent}; start it with step 01: "
            f"embedlab run params/<your>.yaml --set run={store.folder.name}"
        )
    cell = cell_parameters(step.number)
    shared: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in values.items():
        # The run's name is written even where it is the default: the file says whose it is.
        if name == "run" or value != cell[name].default:
            part = shared if name in SHARED else own
            part[name] = value
    store.write("params.yaml", RunParams(shared, {"01": own} if own else {}).dump())


class Lab:
    """One step of one run, opened.

    Attributes:
        step: the step.
        store: the run folder.
        params: every parameter of the step with its value.
        made_of: all that the results depend on.
        key: a hash of it.
    """

    def __init__(self, step: Step, store: Store, params: dict[str, Any]) -> None:
        self.step = step
        self.store = store
        self.params = params
        self.made_of = made_of(step, params, store.inputs(step))
        self.key = key_of(self.made_of)
        self._outputs: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._started = time.perf_counter()

    # --- reading --------------------------------------------------------------------------

    @overload
    def read(self, what: type[Kind]) -> Kind: ...

    @overload
    def read(self, what: Table) -> pd.DataFrame: ...

    @overload
    def read(self, what: str, name: str) -> Any: ...

    def read(self, what: Any, name: str = "") -> Any:
        """Return what a step wrote, checked.

        Args:
            what: a JSON artifact or a table by its definition; or the number of a step, for other files.
            name: the file's name, where ``what`` is a number; a TREC run is returned as text.

        Raises:
            MissingInputError: if it does not exist yet, or this step may not read that one.
            SealedTestError: if it holds test judgments and this step has no right to them.
            ContractError: if it was made under another contract than the run has now.
            DataError: if a column of a table is missing or has another kind.
        """
        step, file = (what, name) if isinstance(what, str) else (what.step, what.file)
        path = self.path(step, file)
        value: Any = what.read(path) if isinstance(what, Table) else self.store.read(step, file)
        under_contract(value, self.store, f"{file} of step {step}")
        return parse(what, value, f"{file} of step {step}") if isinstance(what, type) else value

    def read_run(self, step: str, name: str) -> pd.DataFrame:
        """Return a TREC run that a step wrote: ``query_id, doc_id, score``; raises as :meth:`read` does."""
        from embedlab.data.trec import parse_run

        return parse_run(self.read(step, name), name)

    def read_runs(self, step: str, stems: Mapping[str, str], part: str) -> dict[str, pd.DataFrame]:
        """Return the TREC runs of one part by system; see :meth:`read_run`.

        Args:
            step: the number of the step that wrote them.
            stems: by system what its file's name starts with, such as ``RUNS`` of step 05.
            part: ``dev`` or ``test``.
        """
        return {system: self.read_run(step, f"{stem}_{part}.run") for system, stem in stems.items()}

    def path(self, step: str, name: str) -> Path:
        """Return the checked path of another step's artifact; raises as :meth:`read` does."""
        self._check_allowed(step, name)
        found = self.store.path(step, name)
        if self.step.guards and name == seal.GUARD:
            seal.record(self.store, self.step, self.key, "mask, exclude and count leaks", "guard", [])
        return found

    def _check_allowed(self, step: str, name: str) -> None:
        number = get_step(step).number
        if number not in (*self.step.reads, self.step.number):
            allowed = ", ".join(self.step.reads) or "none"
            raise MissingInputError(
                f"step {self.step.name} does not read step {number} (it reads: {allowed}); a step that does says so "
                "in `reads` of its row in embedlab/chain/steps.py"
            )
        if name.endswith((QRELS_TEST.file, "_test.run")):
            seal.check_right(self.step)

    @property
    def settings(self) -> Settings:
        """What step 01 wrote down for all later steps."""
        return self.read(Settings)

    @property
    def contract(self) -> Contract:
        """The problem contract that step 01 wrote down."""
        return self.read(Contract)

    @property
    def relatives(self) -> dict[str, str]:
        """By document id the name of its relatives: its family and near-duplicates; others are left out."""
        facts = self.read(DOCUMENT_FACTS)
        known = facts[facts["relatives"] != ""]
        return dict(zip(known["doc_id"], known["relatives"], strict=True))

    @property
    def near_duplicates(self) -> dict[str, set[str]]:
        """By document id its near-duplicates; documents without any are left out."""
        facts = self.read(DOCUMENT_FACTS)
        known = facts[facts["near_duplicates"].map(len) > 0]
        found = {}
        for doc_id, near in zip(known["doc_id"], known["near_duplicates"], strict=True):
            found[doc_id] = set(near)
        return found

    def collection(self, *parts: str) -> Collection:
        """Return the collection with the queries and judgments of these parts.

        Without parts: documents only, with the queries of ``train`` and ``dev``. Asking for
        ``test`` needs :meth:`open_test` first.
        """
        parts = parts or ("train", "dev")
        if "test" in parts:
            raise ParameterError("the test part is sealed: use lab.open_test(reason)")
        return self._with_judgments(QRELS).part(*parts)

    def _with_judgments(self, table: Table) -> Collection:
        """Return all queries with the judgments of one table: those of train and dev, or those of the test."""
        from embedlab.data.collection import Collection

        settings = self.settings
        corpus = self.read(CORPUS)
        queries = self.read(QUERIES)
        return Collection(
            corpus,
            queries,
            self.read(table),
            settings.unit,
            notice=settings.notice,
            parted_by=settings.parted_by,
        )

    def open_test(self, reason: str, models: list[str] | None = None) -> Collection:
        """Open the sealed test, log it, and return its queries and judgments.

        Args:
            reason: why; it goes into the ledger.
            models: weights hashes of the tuned models to be scored.

        Raises:
            SealedTestError: if this step has no right to it.
        """
        # Read before it is logged: who has no right to it has opened nothing.
        whole = self._with_judgments(QRELS_TEST)
        seal.record(self.store, self.step, self.key, reason, "opening", models or [])
        return whole.part("test")

    def note_choice(self, what: str) -> None:
        """Count that dev was looked at to choose something; see :func:`embedlab.chain.seal.note_look`."""
        seal.note_look(self.store, self.step, what)

    # --- writing --------------------------------------------------------------------------

    @property
    def vectors(self) -> Path:
        """The folder of the run's vector cache."""
        return self.store.folder / "vectors"

    @property
    def scratch(self) -> Path:
        """A folder for what an interrupted run continues from; tied to the step key."""
        return self.store.folder / "scratch" / f"{self.step.name}-{self.key[:12]}"

    def write(self, what: Artifact | Table | str, value: Any = None) -> None:
        """Write one of this step's artifacts atomically; see :meth:`Store.write`.

        Args:
            what: a JSON artifact; or the definition of a table, or the name of another file.
            value: the table's frame, or what the file holds.

        Raises:
            ParameterError: if the steps table does not list the file, or it is named though it has a definition.
            DataError: if the frame lacks a column of the table, or one has another kind.
        """
        file = what if isinstance(what, str) else what.file
        owner = self.step.number if isinstance(what, str) else what.step
        if owner != self.step.number or file not in self.step.writes:
            raise ParameterError(f"step {self.step.name} writes {', '.join(self.step.writes)}; not {file!r}")
        if isinstance(what, str) and file in defined_files(self.step.slug):
            raise ParameterError(f"step {self.step.name} writes {file!r} by its definition, not by its name")
        if isinstance(what, Artifact):
            value = plain(what.as_dict())
            # Read back at once: a wrong type shows here, not in a later step.
            parse(type(what), value, f"step {what.step}: {what.file}")
        elif isinstance(what, Table):
            value = what.for_writing(value)
        # A score says under which contract it was made, so that none is read under another.
        if self.step.scores:
            value = stamped(value, self.store)
        self._write(file, value)

    def _write(self, file: str, value: Any) -> None:
        path = self.store.place(self.step.number, file)
        self._outputs[path] = self.store.write(path, value)

    def write_run(self, name: str, run: pd.DataFrame) -> None:
        """Write a run in TREC's format; ``name`` is its file's, the tag is what stands before its part."""
        from embedlab.data.trec import run_text

        self.write(name, run_text(run, name.rsplit("_", 1)[0]))

    def write_runs(self, stems: Mapping[str, str], part: str, runs: Mapping[str, pd.DataFrame]) -> None:
        """Write the runs of one part, a file for each system that has a stem; see :meth:`read_runs`."""
        for system, stem in stems.items():
            self.write_run(f"{stem}_{part}.run", runs[system])

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
        self.store.write(self.store.place(self.step.number, "timings.json"), self._timings)

    def timings(self, step: str) -> dict[str, float]:
        """Return the measured times of another step; empty where there are none."""
        path = self.store.folder / self.store.place(step, "timings.json")
        return read_json(path, dict, IntegrityError, "delete it: times are no results") if path.exists() else {}

    def decide(self, name: str, decision: Any) -> Any:
        """Return a decision that rests on measured times, the recorded one if the step is unchanged.

        So a re-execution with the same key takes the same way whatever the clock says.
        """
        path = self.store.place(self.step.number, "decisions.json")
        file = self.store.folder / path
        mend = f"delete it and run step {self.step.number} again, by --force"
        known = read_json(file, dict, IntegrityError, mend) if file.exists() else {}
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
        self._write("summary.json", asdict(Summary(conclusion, figures)))
        seconds = time.perf_counter() - self._started
        self.store.finish(self.step, self.key, self.made_of, seconds, self._outputs)
        return Conclusion(conclusion)


class Conclusion:
    """A sentence that a notebook shows as Markdown."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"**What we learned.** {self.text}"
