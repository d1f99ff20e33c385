"""Re-indexing beside the live index: plan, batches with a durable journal, build, validate, cut over."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import EmbedlabError, IntegrityError
from embedlab.files import replace_file, sha256_file, sha256_json
from embedlab.models.cache import Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.index import build_index
from embedlab.retrieval.systems import Settings
from embedlab.rollout.alias import Release
from embedlab.rollout.checks import failed_checks
from embedlab.rollout.releases import Registry
from embedlab.rollout.results import Check, Plan

JOURNAL = "journal.jsonl"


def make_plan(documents: int, identity: EmbeddingIdentity, batch_size: int, content: str = "") -> Plan:
    """Plan the re-indexing of so many documents.

    ``extra_bytes`` is the disk needed beside the live index until the old one is dropped: the
    batches and the finished index.
    """
    vector_bytes = 4 * documents * identity.dimensions
    batches = math.ceil(documents / batch_size)
    return Plan(
        documents, batch_size, batches, identity.dimensions, vector_bytes, 2 * vector_bytes, identity.name, content
    )


def corpus_hash(documents: pd.Series, identity: EmbeddingIdentity, batch_size: int) -> str:
    """Return a hash of all that a journal depends on."""
    return sha256_json([documents.index.tolist(), documents.tolist(), identity.digest, batch_size])


class Reindex:
    """One re-indexing, as a machine that can be stopped anywhere and goes on.

    A finished batch is a vector file, written atomically, and then one synced journal line with
    its hash; what has no line, or no file with that hash, is done again. The live index is only
    read. Candidates get a name of their own.

    Args:
        folder: where batches and journal are kept until the end.
        registry: holds the live index; the candidate is added beside it.
        encoder: the new model.
        documents: the texts that get a vector, by document id; passages of one document share its id.
        batch_size: texts a batch.
    """

    def __init__(
        self, folder: Path, registry: Registry, encoder: EncodesWithIdentity, documents: pd.Series, batch_size: int
    ) -> None:
        self.folder, self.registry, self.encoder, self.documents = folder, registry, encoder, documents
        content = corpus_hash(documents, encoder.identity, batch_size)
        self.plan = make_plan(len(documents), encoder.identity, batch_size, content)
        self.name = f"{encoder.name.rsplit('/', 1)[-1]}-{encoder.identity.digest[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = _journal(folder / JOURNAL)
        if lines and lines[0].get("plan") != content:
            raise EmbedlabError(
                f"{folder.name!r} holds the journal of another re-indexing (documents, model or batch size differ); "
                "finish that one or delete the folder"
            )
        if not lines:
            self._note({"plan": content})

    def journal(self) -> list[dict[str, Any]]:
        """Return the journal's complete lines; a torn last line counts as not written."""
        return _journal(self.folder / JOURNAL)

    def finished(self) -> dict[int, str]:
        """Return batch number to file hash of the batches that need not be done again."""
        noted = {line["batch"]: line["sha256"] for line in self.journal() if "batch" in line}
        sound = {}
        for number, digest in noted.items():
            file = self._file(number)
            if file.is_file() and sha256_file(file) == digest:
                sound[number] = digest
        return sound

    def run(self, stop_after: int | None = None) -> int:
        """Encode the batches that are not done; return how many are done in all.

        Args:
            stop_after: stop when so many are done, as an interruption would; None: go on to the end.
        """
        done = self.finished()
        last = self.plan.batches if stop_after is None else min(stop_after, self.plan.batches)
        waiting = self._missing(done)[: max(last - len(done), 0)]
        texts, size = self.documents.tolist(), self.plan.batch_size
        with Progress("Re-embedding batches", self.plan.batches) as bar:
            bar.advance(len(done))
            for number in waiting:
                vectors = self.encoder.encode(texts[number * size : (number + 1) * size], "document")
                digest = self._keep(number, vectors)
                self._note({"batch": number, "documents": len(vectors), "sha256": digest})  # only now it counts
                bar.advance()
        return len(done) + len(waiting)

    def batches(self) -> pd.DataFrame:
        """Return one row a finished batch: ``batch, documents, first, last, sha256``."""
        ids, size = self.documents.index.tolist(), self.plan.batch_size
        rows = []
        for number, digest in sorted(self.finished().items()):
            inside = ids[number * size : (number + 1) * size]
            rows.append((number, len(inside), inside[0], inside[-1], digest))
        return pd.DataFrame(rows, columns=["batch", "documents", "first", "last", "sha256"])

    def build(self, settings: Settings | None = None) -> Release:
        """Build the candidate index from the finished batches and add it beside the live one.

        Args:
            settings: the stages around it, the kind of the index among them; None: a flat index alone.

        Raises:
            IntegrityError: if a batch is missing.
        """
        missing = self._missing(self.finished())
        if missing:
            raise IntegrityError(f"{len(missing)} of {self.plan.batches} batches are missing, the first: {missing[0]}")
        vectors = np.concatenate([np.load(self._file(n), allow_pickle=False) for n in range(self.plan.batches)])
        settings = Settings() if settings is None else settings
        index = build_index(vectors, self.documents.index.tolist(), self.encoder.identity, settings.index)
        return self.registry.add(self.name, index, settings)

    def cut_over(self, checks: list[Check], reason: str) -> Release:
        """Switch the alias to the candidate if every check holds; the old index stays.

        Raises:
            EmbedlabError: names the failed checks; the live index then stays live.
        """
        failed = failed_checks(checks)
        if failed or not checks:
            raise EmbedlabError(f"not cut over: {', '.join(failed) or 'nothing was validated'}; the live index stays")
        return self.registry.switch(self.name, reason)

    def _missing(self, done: Mapping[int, str]) -> list[int]:
        return [number for number in range(self.plan.batches) if number not in done]

    def _file(self, number: int) -> Path:
        return self.folder / f"batch-{number:06d}.npy"

    def _keep(self, number: int, vectors: Vectors) -> str:
        """Store a batch's vectors as a whole; return the file's sha256."""

        def save(path: Path) -> None:
            with path.open("wb") as stream:  # a stream, for numpy would add its own suffix to a path
                np.save(stream, vectors)

        return replace_file(self._file(number), save)

    def _note(self, line: dict[str, Any]) -> None:
        """Add a line to the journal, on the disk when this returns; a torn line before it is closed off."""
        path = self.folder / JOURNAL
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as stream:
            stream.write(("\n" if torn else "") + json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def _journal(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(dict(json.loads(text)))
        except ValueError:
            continue  # torn by a kill while it was written: that batch is done again
    return lines
