"""Which index is live: one atomic alias file that names index, query encoder and stages as one unit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import EmbedlabError, IdentityError, MissingInputError
from embedlab.files import replace_file, sync_folder
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.index import Indexed, VectorIndex, load_index
from embedlab.retrieval.pipeline import Pipeline
from embedlab.retrieval.stamp import read_stamp, stamped_identity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.alias import ALIAS, SETTINGS, Release, live_release, read_alias, read_settings

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.models.encoder import Encoder

KEPT = 100
"""Entries of the history that are kept."""


class Registry:
    """Indexes side by side in one folder, and the alias that says which one answers.

    An index is added once and never overwritten. The alias is one small file, replaced as a
    whole, so that a reader sees the old release or the new one and nothing between.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    # --- indexes --------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the indexes, sorted."""
        return sorted(p.parent.name for p in self.folder.glob("*/identity.json") if not p.parent.name.startswith("."))

    def add(self, name: str, index: VectorIndex, settings: Settings | None = None) -> Release:
        """Store an index with its stages under a new name, atomically.

        Args:
            name: of the release.
            index: the vectors.
            settings: the stages around it; None: the index alone answers.

        Raises:
            EmbedlabError: if the name is taken by other vectors or stages; a working index is never overwritten.
        """
        settings = Settings(index=index.kind) if settings is None else settings
        target = self.folder / name
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        replace_file(temporary / SETTINGS, json.dumps(settings.as_dict(), indent=1))
        index.save(temporary)
        if target.exists():
            same = read_stamp(target)["files"] == read_stamp(temporary)["files"] and read_settings(target) == settings
            shutil.rmtree(temporary)
            if not same:
                raise EmbedlabError(f"index {name!r} exists already and holds other vectors; choose a new name")
        else:
            temporary.rename(target)
            sync_folder(self.folder)
        return self.release(name)

    def release(self, name: str) -> Release:
        """Return index, encoder and stages as one unit; raises an IntegrityError where there is no such index."""
        identity = stamped_identity(read_stamp(self.folder / name), self.folder / name)
        return Release(name, identity.digest, identity.name, read_settings(self.folder / name))

    def serve(
        self, release: Release | str, encoders: Mapping[str, Encoder], corpus: pd.DataFrame, lexical: BM25
    ) -> Pipeline:
        """Return a release with all its stages: what answers a user; raises as :meth:`open` does.

        Args:
            release: what to serve, or its index's name.
            encoders: the models at hand by identity digest.
            corpus: the documents of the index: ``doc_id, title, text`` and, for a filter, its field.
            lexical: BM25 over the same documents.
        """
        if isinstance(release, str):
            release = self.release(release)
        opened = self.open(release, encoders)
        return Pipeline(encoders[release.encoder], opened.index, corpus, release.settings, lexical)

    def open(self, release: Release | str, encoders: Mapping[str, EncodesWithIdentity]) -> Indexed:
        """Return a release's index ready to search, without its other stages.

        Args:
            release: what to open, or its index's name.
            encoders: the models at hand by identity digest.

        Raises:
            IdentityError: if its encoder is not at hand, or the index is another model's.
            IntegrityError: if a file is damaged.
        """
        if isinstance(release, str):
            release = self.release(release)
        if release.encoder not in encoders:
            known = ", ".join(sorted(e.name for e in encoders.values())) or "none"
            raise IdentityError(
                f"index {release.index!r} needs the queries of {release.model} ({release.encoder[:12]}); "
                f"at hand: {known}"
            )
        encoder = encoders[release.encoder]
        return Indexed(encoder, load_index(self.folder / release.index, encoder.identity), release.index)

    # --- alias ----------------------------------------------------------------------------

    def live(self) -> Release:
        """Return the release that answers now; raises a MissingInputError before the first switch."""
        found = live_release(self.folder)
        if found is None:
            raise MissingInputError(f"{self.folder.name!r}: no index is live yet; switch to one of {self.names()}")
        return found

    def history(self) -> list[dict[str, Any]]:
        """Return every change, oldest first: ``number, index, model, reason``."""
        return list(read_alias(self.folder)["history"])

    def switch(self, name: str, reason: str) -> Release:
        """Make an index live together with its encoder; the old one stays for a rollback.

        Raises:
            IntegrityError: if the index is damaged; the alias then stays as it was.
        """
        release = self.release(name)
        folder = self.folder / name
        load_index(folder, stamped_identity(read_stamp(folder), folder))  # raises where a file is damaged
        state = read_alias(self.folder)
        number = state["history"][-1]["number"] + 1 if state["history"] else 1
        entry = {"number": number, "index": name, "model": release.model, "reason": reason}
        new = {"live": asdict(release), "history": [*state["history"], entry][-KEPT:]}
        replace_file(self.folder / ALIAS, json.dumps(new, indent=1, ensure_ascii=False))
        return release

    def rollback(self, reason: str) -> Release:
        """Make the index live that was live before the present one.

        Raises:
            MissingInputError: if there was none.
        """
        live = self.live().index
        before = [e["index"] for e in self.history() if e["index"] != live]
        if not before:
            raise MissingInputError(f"{self.folder.name!r}: nothing to roll back to; {live!r} was the first")
        return self.switch(before[-1], reason)


def copy_registry(source: Path, target: Path) -> Registry:
    """Copy a registry; index files never change and are linked where the disk allows it."""
    shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)
    return Registry(target)


def _link(source: str, target: str) -> None:
    if Path(source).name == ALIAS:
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
