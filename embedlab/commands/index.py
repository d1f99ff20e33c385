"""``embedlab index``: build, search, change and check an index."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedlab.commands.terminal import FINDINGS, out, read_settings, safe, say_checks, say_json
from embedlab.errors import ParameterError, shown

if TYPE_CHECKING:
    from embedlab.retrieval.systems import Settings
    from embedlab.rollout.service.writes import Written
    from embedlab.rollout.stores.base import Document, Hit

app = typer.Typer(no_args_is_help=True, help="Build, search, change and check an index.")

ADDRESS = "A folder, FILE.db#NAME (Milvus Lite) or http://HOST:PORT#NAME (Milvus; token in MILVUS_TOKEN)"
STATE = "The service's state file"
MODEL = "A hub id, a packaged model or a folder"


@app.command()
def build(
    model: Annotated[str, typer.Option(help=MODEL)],
    out_: Annotated[str, typer.Option("--out", help=f"The index. {ADDRESS}")],
    source: Annotated[str, typer.Option(help="Where the documents come from: attack, beir, hpo")] = "beir",
    path: Annotated[str, typer.Option(help="Of a BEIR folder, or a JSONL file of documents")] = "",
    settings: Annotated[Path | None, typer.Option(help="JSON file: passages, kind of index, stages")] = None,
    chunk: Annotated[str | None, typer.Option(help="Passages: none, long or all")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of index: flat or hnsw")] = None,
) -> None:
    """Build an index of a collection; the same command continues an interrupted one."""
    from embedlab.data import read_corpus
    from embedlab.rollout.encode.building import build_collection, documents_of

    chosen = built_so(read_settings(settings), chunk, kind)
    documents = documents_of(read_corpus(source, path=path))
    done = build_collection(out_, model, documents, chosen)
    out.print(safe(f"{out_}: {done.documents:,} documents, {done.encoded:,} encoded now."))
    if done.others:
        out.print(safe(f"{done.others:,} of them are not in {path or source}; they stay."))


@app.command()
def encode(
    model: Annotated[str, typer.Option(help=MODEL)],
    out_: Annotated[Path, typer.Option("--out", help="Folder of the shards; with --address one that all machines see")],
    source: Annotated[str, typer.Option(help="Where the documents come from: attack, beir, hpo")] = "beir",
    path: Annotated[str, typer.Option(help="Of a BEIR folder, or a JSONL file of documents")] = "",
    settings: Annotated[Path | None, typer.Option(help="JSON file: passages")] = None,
    chunk: Annotated[str | None, typer.Option(help="Passages: none, long or all")] = None,
    actors: Annotated[int, typer.Option(min=0, help="Encoders that Ray runs side by side; 0: without Ray")] = 0,
    address: Annotated[str, typer.Option(help="Of a Ray cluster: HOST:PORT or ray://HOST:PORT; blank: here")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Processor cores of each actor")] = 1,
    shard_size: Annotated[int, typer.Option(min=1, help="Documents a shard: what a kill can cost")] = 2048,
) -> None:
    """Encode a collection as shards, here or by Ray on many machines; 'reindex plan --shards' takes them over."""
    from embedlab.data import read_corpus
    from embedlab.rollout.encode.building import documents_of
    from embedlab.rollout.encode.distributed import encode_corpus

    # A shard holds a stretch of the ids, in the order of their bytes.
    documents = sorted(documents_of(read_corpus(source, path=path)), key=lambda document: document.doc_id.encode())
    chosen = built_so(read_settings(settings), chunk, None)
    done = encode_corpus(documents, model, out_, chosen, actors, address or None, shard_size, threads=threads)
    plan = done.plan
    out.print(safe(f"{out_}: {plan.documents:,} documents in {len(plan.parts):,} shards, by {plan.model}."))


def built_so(fields: dict[str, Any], chunk: str | None, kind: str | None) -> Settings:
    """Return settings from a file's fields and from what was asked for beside it."""
    from embedlab.retrieval.indexes.index import KINDS
    from embedlab.retrieval.systems import CHUNKING, Settings

    for name, value, valid in (("--chunk", chunk, CHUNKING), ("--kind", kind, KINDS)):
        if value is not None and value not in valid:
            raise ParameterError(f"{name} must be one of {', '.join(valid)}; found {shown(value)!r}")
    found = Settings(**fields)
    if chunk is not None:
        found = replace(found, chunk=chunk)
    return found if kind is None else replace(found, index=kind)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="INDEX and a query; the query alone with --state")],
    state: Annotated[Path | None, typer.Option(help=f"{STATE}: whatever is live is asked")] = None,
    k: Annotated[int, typer.Option(min=1, help="Documents")] = 10,
    where: Annotated[list[str] | None, typer.Option(help="field=value that a document must have")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Search an index, or whatever is live."""
    wanted = _filter(where or [])
    if len(words) != (1 if state else 2):
        raise ParameterError("give INDEX and a query in quotation marks, or --state FILE and a query alone")
    if state is None:
        hits, asked = _search_index(words[0], words[1], k, wanted), {"index": words[0]}
    else:
        hits, asked = _search_live(state, words[0], k, wanted)
    if as_json:
        say_json(asked | {"query": words[-1], "hits": [asdict(hit) for hit in hits]})
        return
    for hit in hits:
        out.print(safe(f"{hit.score:8.4f}  {hit.doc_id}"))
    if not hits:
        out.print("Nothing found.")


def _search_index(address: str, query: str, k: int, where: dict[str, str]) -> list[Hit]:
    from embedlab.rollout.stores.opened import Opened

    opened = Opened()
    collection = opened.collection(address)
    vectors = opened.encoder(collection.info).encode_uncached([query], "query")
    found = collection.search(vectors, k, where)[0]
    opened.close()
    return found


def _search_live(state: Path, query: str, k: int, where: dict[str, str]) -> tuple[list[Hit], dict[str, Any]]:
    from embedlab.rollout.service.reader import reader

    asked = reader(state)
    release = asked.release()
    hits = asked.search_release(release, query, k, where)
    asked.close()
    return hits, {"release": release.name, "index": release.index}


def _filter(parts: list[str]) -> dict[str, str]:
    """Return a filter from ``field=value``: values of metadata are texts here, whatever a file had."""
    found: dict[str, str] = {}
    for part in parts:
        field, mark, value = part.partition("=")
        if not mark or not field:
            raise ParameterError(f"--where takes field=value, found {shown(part)!r}")
        found[field] = value
    return found


@app.command()
def verify(
    index: Annotated[str, typer.Argument(help=ADDRESS)],
    sample: Annotated[int, typer.Option(min=0, help="Documents to encode again; 0: all")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Check an index: counts, ids, identity, vectors, a sample encoded again; exit code 5 with findings."""
    from embedlab.rollout.reindexing.walk import verify as verify_index
    from embedlab.rollout.stores.opened import Opened

    opened = Opened()
    collection = opened.collection(index)
    checks = verify_index(collection, opened.encoder(collection.info), sample)
    identity = collection.info.identity
    passed = all(check.passed for check in checks)
    if as_json:
        say_json(
            {"index": index, "identity": identity.as_dict(), "passed": passed, "checks": [asdict(c) for c in checks]}
        )
    else:
        out.print(
            safe(f"{index}: vectors of {identity.name} ({identity.digest[:12]}), {identity.dimensions} dimensions")
        )
        say_checks(checks)
    opened.close()
    raise typer.Exit(0 if passed else FINDINGS)


@app.command()
def doctor(
    index: Annotated[str, typer.Argument(help=f"{ADDRESS}; or a FAISS file, or a .npy file of vectors")],
    model: Annotated[str, typer.Option(help=f"Should have made the vectors. {MODEL}; blank: the index's own")] = "",
    path: Annotated[
        str, typer.Option(help="BEIR folder or JSONL file with the texts, for an index that keeps none")
    ] = "",
    sample: Annotated[int, typer.Option(min=0, help="Documents to encode again; 0: all")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Say whose vectors an index holds: several spaces, nobody's, or not the model's; exit code 5 with findings."""
    from embedlab.data import read_corpus
    from embedlab.rollout.doctor import diagnose
    from embedlab.rollout.encode.building import documents_of
    from embedlab.rollout.stores.opened import Opened

    opened = Opened()
    encoder = opened.new_encoder(model) if model else opened.own_encoder(index)
    documents = {d.doc_id: d for d in documents_of(read_corpus("beir", path=path))} if path else None
    found = diagnose(index, encoder, documents, sample)
    passed = all(check.passed for check in found.checks)
    if as_json:
        say_json(asdict(found) | {"passed": passed})
    else:
        for space, count in found.spaces.items():
            out.print(safe(f"{count:>12,} vectors: {space}"))
        say_checks(found.checks)
        if encoder is None:
            out.print("No model is named, and the index names none: nothing was encoded again.")
    raise typer.Exit(0 if passed else FINDINGS)


@app.command()
def upsert(
    state: Annotated[Path, typer.Option(help=STATE)],
    file: Annotated[
        str, typer.Argument(help='JSONL of documents ({"_id", "title", "text", …}); - is standard input')
    ] = "",
    doc_id: Annotated[str, typer.Option("--id", help="Of one document, instead of a file")] = "",
    title: Annotated[str, typer.Option(help="Of this document")] = "",
    text: Annotated[str, typer.Option(help="Of this document")] = "",
) -> None:
    """Insert or replace documents in every index that may answer."""
    from embedlab.rollout.service.writes import writer
    from embedlab.rollout.stores.base import Document

    if bool(file) == bool(doc_id):
        raise ParameterError("give a JSONL file of documents (- for the standard input), or --id with --text")
    documents = _documents(file) if file else [Document(doc_id, title, text)]
    door = writer(state)
    written = door.upsert(documents)
    _say_written(written, f"{len(documents):,} documents written")
    door.close()


@app.command()
def delete(
    state: Annotated[Path, typer.Option(help=STATE)],
    doc_ids: Annotated[list[str], typer.Argument(help="Ids of the documents")],
) -> None:
    """Delete documents from every index that may answer."""
    from embedlab.rollout.service.writes import writer

    door = writer(state)
    written = door.delete(doc_ids)
    _say_written(written, f"{len(doc_ids):,} documents deleted")
    door.close()


def _documents(file: str) -> list[Document]:
    from embedlab.data import read_corpus
    from embedlab.rollout.encode.building import documents_of

    if file != "-":
        return documents_of(read_corpus("beir", path=file))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as copy:
        copy.write(sys.stdin.read())
        copy.flush()
        return documents_of(read_corpus("beir", path=copy.name))


def _say_written(written: Written, done: str) -> None:
    out.print(f"{done} (write {written.number}).")
    for address, why in written.behind.items():
        out.print(f"[yellow]![/] {safe(address)} lacks them yet: {safe(why)}; the next command tries again")
    for address, refused in written.aside.items():
        for doc_id, why in refused.items():
            out.print(f"[yellow]![/] {safe(address)} does not take {safe(doc_id)}: {safe(why)}")
