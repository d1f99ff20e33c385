"""A training run as files: what a notebook prepares, several processes or another machine can run.

``accelerate launch -m embedlab.training FOLDER`` runs it; checkpoints land in the folder itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from embedlab.errors import DataError, nearest
from embedlab.files import read_json, replace_file
from embedlab.models.encoder import Encoder, load_model
from embedlab.training.recipe import Recipe
from embedlab.training.teachers import Teacher, load_teacher
from embedlab.training.trainer import LEARNED, Trainer
from embedlab.training.validation import History, Validation

JOB = "job.json"

TAUGHT_BY = "teacher"
"""Folder, within that of a job, for what the teacher said: an interrupted run need not ask again."""

SERIES = ("documents", "queries", "searched")
"""Tables of two columns, an id and a text: what is trained on; what is asked and searched in a validation."""


@dataclass(frozen=True)
class Job:
    """A training run whose rows, texts and judgments lie in a folder.

    Attributes:
        folder: where they are, and the checkpoints.
        model: name of the base model.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        recipe: all settings.
        check_every: steps between validations.
        patience: validations without a new best after which it stops.
        metric: of the validation, an ir-measures name.
        relatives: family by document id.
        report_to: names of trackers that follow the run.
        teacher: name of the model that some losses learn from; blank for none.
    """

    folder: Path
    model: str
    precision: str
    device: str
    recipe: Recipe
    check_every: int
    patience: int
    metric: str
    relatives: Mapping[str, str]
    report_to: Sequence[str] = ()
    teacher: str = ""

    @classmethod
    def write(
        cls,
        folder: Path,
        encoder: Encoder,
        rows: pd.DataFrame,
        documents: pd.Series,
        relatives: Mapping[str, str],
        recipe: Recipe,
        validation: Validation,
        check_every: int,
        patience: int,
        report_to: Sequence[str] = (),
        teacher: Teacher | None = None,
    ) -> Job:
        """Write down a run; arguments as for :class:`~embedlab.training.Trainer` and its ``fit``."""
        folder.mkdir(parents=True, exist_ok=True)
        learned = rows[[name for name in ("query_id", *LEARNED) if name in rows]]
        frames = {"rows": learned, "qrels": validation.qrels}
        for name, texts in zip(SERIES, (documents, validation.queries, validation.documents), strict=True):
            frames[name] = pd.DataFrame({"id": texts.index.to_numpy(), "text": texts.to_numpy()})
        for name, frame in frames.items():
            replace_file(folder / f"{name}.parquet", partial(frame.to_parquet, index=False))
        job = cls(
            folder, encoder.files.source, encoder.identity.precision, encoder.device, recipe, check_every, patience,
            validation.metric, dict(relatives), list(report_to), teacher.source if teacher else "",
        )  # fmt: skip
        told = {name: value for name, value in asdict(job).items() if name != "folder"}
        replace_file(folder / JOB, json.dumps(told, indent=2))
        return job

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Return the run that was written into a folder.

        Raises:
            DataError: if there is none, or its file is not what :meth:`write` makes.
            ParameterError: if the recipe holds an illegal value.
        """
        file = folder / JOB
        told = read_json(file, dict, DataError, "expected a folder that step 14 prepared")
        _check_names(told, set(cls.__dataclass_fields__) - {"folder"}, file)
        _check_names(told["recipe"], set(Recipe.__dataclass_fields__), file)
        return cls(folder=folder, **told | {"recipe": Recipe(**told["recipe"])})

    def trainer(self, vectors: Path | None = None) -> Trainer:
        """Return the trainer of this run.

        Args:
            vectors: folder of the base's vector cache; None for none.

        Raises:
            DataError: if a table is missing.
            ModelError: if the base model, or the device, cannot be had here.
        """
        rows, qrels = self._table("rows"), self._table("qrels")
        documents, queries, searched = (self._table(name).set_index("id")["text"] for name in SERIES)
        base = load_model(self.model, self.precision, vectors, self.device)
        teacher = load_teacher(self.teacher, base, self.folder / TAUGHT_BY) if self.teacher else None
        return Trainer(
            base,
            rows,
            documents,
            self.relatives,
            self.recipe,
            Validation(queries, qrels, searched, self.metric),
            self.folder,
            self.report_to,
            teacher,
        )

    def run(self) -> History:
        """Train, or go on where it was stopped; see :meth:`~embedlab.training.Trainer.fit`."""
        return self.trainer().fit(self.check_every, self.patience)

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / f"{name}.parquet"
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected one of the tables of the training that {JOB} describes")
        return pd.read_parquet(path)


def _check_names(found: Any, expected: set[str], file: Path) -> None:
    """Raise a DataError where keys are unknown or missing; names the first of them."""
    if not isinstance(found, dict):
        raise DataError(f"{file}: expected an object with {', '.join(sorted(expected))}, found {type(found).__name__}")
    for name in sorted(found.keys() ^ expected):
        if name in expected:
            raise DataError(f"{file}: {name!r} is missing")
        raise DataError(f"{file}: unknown key {name!r}{nearest(name, list(expected))}")
