"""``embedlab validate``: folders in BEIR's layout, from ``corpus.jsonl`` to what the judgments say as a whole."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from conftest import toy_rows, write_beir

from faulty import Outcome, Row, command

FACE = "`embedlab validate`"

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels/test.tsv"

Change = Callable[[Path], tuple[Any, ...] | None]
"""What a row does to a sound collection of 40 documents, each with a query; what it returns is asked in its place."""


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Write a sound collection and change it as the row says; return the validation."""
    corpus, queries, judgments = toy_rows()
    data = write_beir(folder / "data", corpus, queries, {"test": judgments})
    words = row.given(data) or (data,)

    def ask() -> Outcome:
        outcome = command("validate", *words)
        # What is printed goes to terminals and files, which know no half surrogate pairs.
        outcome.message.encode("utf-8")
        return outcome

    return ask


def add(name: str, *lines: str | bytes) -> Change:
    """Append lines to a file."""

    def change(data: Path) -> None:
        with (data / name).open("ab") as stream:
            for line in lines:
                stream.write((line if isinstance(line, bytes) else line.encode()) + b"\n")

    return change


def write(name: str, content: str | bytes) -> Change:
    """Put this content into a file, in place of what it holds."""

    def change(data: Path) -> None:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def recode(name: str, code: Callable[[bytes], bytes]) -> Change:
    """Write a file in another coding."""

    def change(data: Path) -> None:
        (data / name).write_bytes(code((data / name).read_bytes()))

    return change


def every(name: str, act: Callable[[int, dict[str, Any]], object]) -> Change:
    """Change each object of a file; ``act`` takes its number and the object."""

    def change(data: Path) -> None:
        rows = [json.loads(line) for line in (data / name).read_text().splitlines()]
        for number, row in enumerate(rows):
            act(number, row)
        (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    return change


def field(name: str, value: Callable[[int], Any], of: str = CORPUS) -> Change:
    """Give each object a field, except where its value is ``...``."""

    def act(number: int, row: dict[str, Any]) -> None:
        found = value(number)
        if found is not ...:
            row[name] = found

    return every(of, act)


def metadata(value: Callable[[int], Any], of: str = CORPUS) -> Change:
    """Give each object BEIR's ``metadata``."""
    return field("metadata", value, of)


def judged(rows: Iterable[tuple[Any, ...]], header: str = "query-id\tcorpus-id\tscore", name: str = QRELS) -> Change:
    """Put these judgments into a file."""
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    return write(name, "\n".join(line for line in lines if line) + "\n")


def both(*changes: Change) -> Change:
    """Make several changes."""

    def change(data: Path) -> None:
        for one in changes:
            one(data)

    return change


def remove(name: str) -> Change:
    """Take a file away."""

    def change(data: Path) -> None:
        (data / name).unlink()

    return change


def renamed(name: str, to: str) -> Change:
    """Call a file otherwise."""

    def change(data: Path) -> None:
        (data / name).rename(data / to)

    return change


def folder_at(name: str) -> Change:
    """Put a folder where a file is expected."""

    def change(data: Path) -> None:
        (data / name).unlink(missing_ok=True)
        (data / name).mkdir()

    return change


def loop_at(name: str) -> Change:
    """Put a link to itself where a file is expected."""

    def change(data: Path) -> None:
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(data / name)

    return change


def pipe_at(name: str) -> Change:
    """Put a named pipe, which would be waited for, where a file is expected."""

    def change(data: Path) -> None:
        (data / name).unlink(missing_ok=True)
        os.mkfifo(data / name)

    return change


def emptied(data: Path) -> None:
    """Take all away, the folder too."""
    for path in sorted(data.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    data.rmdir()


def a_file(data: Path) -> None:
    """Put a file where the folder is expected."""
    emptied(data)
    data.write_text("x")


def doc(**fields: Any) -> str:
    """Return a line of JSON."""
    return json.dumps(fields)


def renaming(of: Callable[[str], str], kinds: str = "dq") -> Change:
    """Give documents or queries other ids, in the judgments too."""

    def named(identifier: str) -> str:
        return of(identifier) if identifier[0] in kinds else identifier

    def act(_: int, row: dict[str, Any]) -> None:
        row["_id"] = named(row["_id"])

    def change(data: Path) -> None:
        every(CORPUS, act)(data)
        every(QUERIES, act)(data)
        judged([(named(f"q{i}"), named(f"d{i}"), 1) for i in range(40)])(data)

    return change


def split(**parts: range) -> Change:
    """Bring own parts, each with the queries of these numbers."""
    files = [
        judged([(f"q{i}", f"d{i}", 1) for i in of], name=f"qrels/{part.replace('_', '.')}.tsv")
        for part, of in parts.items()
    ]
    return both(remove(QRELS), *files)


DEEP = '{"a":' * 1000 + "1" + "}" * 1000
VERY_DEEP = "[" * 200_000 + "]" * 200_000
LATIN, HALF = "caf\xe9".encode("latin-1"), "\\ud800"
WORDS = " ".join(f"w{i % 5000}" for i in range(170_000))
EMOJI = "\N{OTTER}\N{ZERO WIDTH JOINER}\N{FIRE}"
RTL = "\N{RIGHT-TO-LEFT OVERRIDE}"
USABLE = "Usable, with the findings above"
CHARACTERS = "NUL or half of a surrogate pair, which no file can hold"
NO_TEXT = "expected a text, blank where there is none"
ZONES = ("2023-01-01T10:00:00Z", "2023-01-01T10:00:00+02:00")

FOLDER = (
    Row("the folder", "sound", "accepted", "Usable; nothing found", lambda data: None),
    Row("the folder", "does not exist", "error", "no such folder", emptied),
    Row("the folder", "a file", "error", "found: a file", a_file),
    Row("the folder", "empty", "error", "corpus.jsonl is missing", both(emptied, lambda data: data.mkdir())),
    Row("the folder", "a link to itself", "error", "is missing", both(emptied, lambda data: data.symlink_to(data))),
    Row("the folder", "a name of 300 characters", "error", "is missing", lambda data: (data / ("x" * 300),)),
    Row("the folder", "a name that is no UTF-8", "finding", "not JSON", lambda data: (add(CORPUS, "{")(data), data.rename(data.with_name("\udcff")), (data.with_name("\udcff"),))[2]),
    Row("the folder", "further files", "accepted", "", both(write("README.md", "x"), write("qrels/notes.txt", "x"))),
    Row("--most", "below zero", "error", "--most", lambda data: (data, "--most", "-1")),
    Row("--most", "0: only counts", "finding", "1 more of kind 'no judgment'", lambda data: add(QUERIES, doc(_id="n", text="n"))(data) or (data, "--most", "0")),
)  # fmt: skip

FILES = tuple(
    row
    for name in (CORPUS, QUERIES)
    for row in (
        Row(name, "missing", "error", f"{name} is missing (found: ", remove(name)),
        Row(name, "in capitals", "error", f"{name} is missing (found: ", renamed(name, name.upper())),
        Row(name, "a folder", "error", "is a folder, no file", folder_at(name)),
        Row(name, "a link to itself", "error", f"{name} is missing", loop_at(name)),
        Row(name, "a pipe", "error", f"{name} is missing", pipe_at(name)),
        Row(name, "empty", "finding", "there are no", write(name, "")),
        Row(name, "blank lines alone", "finding", "Not usable", write(name, "\n \n\t\n")),
        Row(name, "blank lines between", "accepted", "", recode(name, lambda text: text.replace(b"\n", b"\n\n"))),
        Row(name, "a byte order mark", "accepted", "", recode(name, lambda text: b"\xef\xbb\xbf" + text)),
        Row(name, "CRLF", "accepted", "", recode(name, lambda text: text.replace(b"\n", b"\r\n"))),
        Row(name, "no end of the last line", "accepted", "", recode(name, lambda text: text.rstrip())),
        Row(name, "gzipped under its plain name", "error", f"it looks gzipped: call it {name}.gz", recode(name, gzip.compress)),
        Row(name, "plain under the name of gzip", "error", "not a readable gzip file", renamed(name, f"{name}.gz")),
        Row(name, "gzip cut off", "error", "not a readable gzip file", both(recode(name, lambda text: gzip.compress(text)[:-20]), renamed(name, f"{name}.gz"))),
        Row(name, "gzip broken within", "error", "not a readable gzip file", both(recode(name, lambda text: gzip.compress(text)[:30] + b"\xff" * 60), renamed(name, f"{name}.gz"))),
        Row(name, "UTF-16", "error", "it looks like UTF-16", recode(name, lambda text: text.decode().encode("utf-16"))),
        Row(name, "one line in Latin-1", "error", "on line 41; save the file as UTF-8", add(name, LATIN)),
        Row(name, "one array over many lines", "finding", "not JSON: Expecting value", recode(name, lambda text: json.dumps([json.loads(line) for line in text.splitlines()], indent=1).encode())),
        Row(name, "one array on one line", "finding", "found a list; one object a line", recode(name, lambda text: json.dumps([json.loads(line) for line in text.splitlines()]).encode())),
        Row(name, "a line of CSV", "finding", "not JSON", add(name, "id,title,text")),
        Row(name, "a line cut off", "finding", "character 22 of the line; one object a line", add(name, '{"_id": "x", "text": "y')),
        Row(name, "two objects on a line", "finding", "not JSON: Extra data", add(name, '{"_id": "x"}{"_id": "y"}')),
        Row(name, "a text for an object", "finding", "found a text", add(name, '"x"')),
        Row(name, "null for an object", "finding", "found null", add(name, "null")),
        Row(name, "an object without a key", "finding", "found no key", add(name, "{}")),
        Row(name, "an object with `id`", "finding", "found the keys 'id', 'text'", add(name, doc(id="x", text="y"))),
        Row(name, "nested a thousand deep", "finding", "nested too deep", add(name, f'{{"_id": "x", "text": "new words", "m": {DEEP}}}')),
        Row(name, "200,000 brackets", "finding", "nested too deep", add(name, VERY_DEEP)),
        Row(name, "a number of 5,000 digits", "finding", "not JSON: Exceeds the limit", add(name, f'{{"_id": "x", "n": {"9" * 5000}}}')),
        Row(name, "NUL bytes", "finding", "not JSON", add(name, "\0\0\0")),
    )
)  # fmt: skip

IDS_OF_EACH = tuple(
    row
    for name in (CORPUS, QUERIES)
    for row in (
        Row(name, "an id twice", "finding", "stands already on line 1", add(name, doc(_id="d0" if name == CORPUS else "q0", text="new words"))),
        Row(name, "an id null", "finding", "_id is null", add(name, doc(_id=None))),
        Row(name, "an id that is a list", "finding", "_id is a list", add(name, doc(_id=["x"]))),
        Row(name, "an id that is a truth value", "finding", "_id is a truth value", add(name, doc(_id=True))),
        Row(name, "an id that is a fraction", "finding", "_id is a number; expected a text or a whole number", add(name, doc(_id=1.5))),
        Row(name, "an id blank", "finding", "is blank", add(name, doc(_id=""))),
        Row(name, "an id of spaces", "finding", "is blank", add(name, doc(_id="  "))),
        Row(name, "an id with a space", "finding", "white space, which parts the fields of a run", add(name, doc(_id="a b"))),
        Row(name, "an id with a tab", "finding", "white space", add(name, doc(_id="a\tb"))),
        Row(name, "an id that ends in a newline", "finding", "white space", add(name, doc(_id="a\n"))),
        Row(name, "an id with a no-break space", "finding", "white space", add(name, doc(_id="a\N{NO-BREAK SPACE}b"))),
        Row(name, "an id with a line separator", "finding", "white space", add(name, doc(_id="a\N{LINE SEPARATOR}b"))),
        Row(name, "an id with NUL", "finding", CHARACTERS, add(name, doc(_id="a\0b"))),
        Row(name, "an id with half a surrogate pair", "finding", CHARACTERS, add(name, f'{{"_id": "a{HALF}", "text": "x"}}')),
        Row(name, "an id with an escape character", "finding", "control character", add(name, doc(_id="\x1b[31m"))),
        Row(name, "an id of a million characters", "finding", "1,000,000 characters", add(name, doc(_id="x" * 1_000_000))),
        Row(name, "whole numbers as ids", "accepted", "", renaming(lambda i: i[1:], "d" if name == CORPUS else "q")),
        Row(name, "ids with slashes", "accepted", "", renaming(lambda i: f"../a/{i}", "d" if name == CORPUS else "q")),
        Row(name, "ids with emoji", "accepted", "", renaming(lambda i: i + EMOJI, "d" if name == CORPUS else "q")),
        Row(name, "ids with quotes and HTML", "accepted", "", renaming(lambda i: f"<b>'\"&{i}</b>", "d" if name == CORPUS else "q")),
        Row(name, "ids with marks of direction", "finding", "a character that nobody sees", renaming(lambda i: i + RTL, "d" if name == CORPUS else "q")),
    )
)  # fmt: skip

IDS = (
    Row("ids", "documents and queries of the same ids", "accepted", "", renaming(lambda i: i[1:])),
    Row("ids", "of another composition than in the judgments", "finding", "dangling document", add(QRELS, "q1\tcafe\u0301\t1")),
)  # fmt: skip

TEXTS = (
    Row(CORPUS, "a text that is a list", "finding", f"text is a list; {NO_TEXT}", add(CORPUS, doc(_id="x", text=["a", "b"]))),
    Row(CORPUS, "a title that is an object", "finding", f"title is an object; {NO_TEXT}", add(CORPUS, doc(_id="x", title={"en": "a"}))),
    Row(CORPUS, "a text that is `false`", "finding", "text is a truth value", add(CORPUS, doc(_id="x", text=False))),
    Row(CORPUS, "a text that is a number", "finding", "text is the number 0: taken as text", add(CORPUS, doc(_id="x", text=0))),
    Row(CORPUS, "a text that is NaN", "finding", "text is nan, which is no number of JSON", add(CORPUS, '{"_id": "x", "text": NaN}')),
    Row(CORPUS, "a text that is null", "finding", "title and text are both blank", add(CORPUS, doc(_id="x", text=None))),
    Row(CORPUS, "no text and no title", "finding", "title and text are both blank", add(CORPUS, doc(_id="x"))),
    Row(CORPUS, "titles alone", "accepted", "", every(CORPUS, lambda i, row: row.pop("text"))),
    Row(CORPUS, "texts under another name", "finding", "blank in all 40 rows; other fields: 'body'", every(CORPUS, lambda i, row: row.update(_id=row["_id"], body=row.pop("text"), title=""))),
    Row(CORPUS, "a text with NUL", "finding", "half surrogate pairs) were replaced: 1", add(CORPUS, doc(_id="x", text="a\0b"))),
    Row(CORPUS, "a text with half a surrogate pair", "finding", "text: characters that no file can hold", add(CORPUS, f'{{"_id": "x", "text": "a{HALF}b"}}')),
    Row(CORPUS, "a title with half a surrogate pair", "finding", "title: characters that no file can hold", add(CORPUS, f'{{"_id": "x", "title": "a{HALF}b"}}')),
    Row(CORPUS, "a whole surrogate pair", "accepted", "", add(CORPUS, '{"_id": "x", "text": "\\ud83e\\udda6"}')),
    Row(CORPUS, "a text that writes to the terminal", "finding", "same text", add(CORPUS, doc(_id="x", text="\x1b[2Jred"), doc(_id="y", text="\x1b[2Jred"))),
    Row(CORPUS, "one text under two ids", "finding", "the text of x stands again under y", add(CORPUS, doc(_id="x", text="the very same"), doc(_id="y", text="The very same!"))),
    Row(CORPUS, "a text without a word", "accepted", "", add(CORPUS, doc(_id="x", text="?!"))),
    Row(CORPUS, "a million characters, one word", "finding", "1,000,001 characters: a model reads the beginning alone", add(CORPUS, doc(_id="x", text="a" * 1_000_000))),
    Row(CORPUS, "a million characters, 170,000 words", "finding", "982,260 characters", add(CORPUS, doc(_id="x", text=WORDS)), full=True),
    Row(CORPUS, "one key twice", "accepted", "", add(CORPUS, '{"_id": "x", "text": "a", "text": "b"}')),
    Row(CORPUS, "one document", "finding", "there is one document: whatever is asked, every search returns it", recode(CORPUS, lambda text: text.splitlines()[0])),
    Row(QUERIES, "a text that is a list", "finding", f"text is a list; {NO_TEXT}", add(QUERIES, doc(_id="x", text=["a"]))),
    Row(QUERIES, "a text that is null", "finding", "empty query", add(QUERIES, doc(_id="x", text=None))),
    Row(QUERIES, "all blank", "finding", "text is blank in all 40 rows; other fields: 'query'", every(QUERIES, lambda i, row: row.update(query=row.pop("text")))),
    Row(QUERIES, "half a surrogate pair", "finding", "text: characters that no file can hold", add(QUERIES, f'{{"_id": "x", "text": "{HALF}"}}')),
    Row(QUERIES, "a million characters", "finding", "enormous text", add(QUERIES, doc(_id="x", text="_1-" * 333_334))),
    Row(QUERIES, "without a judgment", "finding", "no judgment names this query", add(QUERIES, doc(_id="x", text="who asks"))),
    Row(QUERIES, "the title of a document", "finding", "is the title of document d0", add(QUERIES, doc(_id="x", text="Otter River"))),
    Row(QUERIES, "one alone", "finding", "it alone is relevant, to 1 queries", both(recode(QUERIES, lambda text: text.splitlines()[0]), judged([("q0", "d0", 1)]))),
    Row(QUERIES, "two", "finding", "each needs at least one", both(recode(QUERIES, lambda text: b"\n".join(text.splitlines()[:2])), judged([("q0", "d0", 1), ("q1", "d1", 1)]))),
    Row(QUERIES, "all identical", "finding", "Not usable: parts: train 40, dev 0, test 0", every(QUERIES, lambda i, row: row.update(text="who saw it at dusk"))),
    Row(QUERIES, "of another script", "accepted", "", every(QUERIES, lambda i, row: row.update(text=f"ποιος είδε {i * 104729}"))),
)  # fmt: skip

METADATA = (
    Row("metadata", "a number that some documents lack", "accepted", "", field("year", lambda i: 2000 + i % 3 if i % 2 else ...)),
    Row("metadata", "null where others have a number", "accepted", "", field("year", lambda i: i % 3 if i % 2 else None)),
    Row("metadata", "null in all", "accepted", "", field("year", lambda i: None)),
    Row("metadata", "numbers and texts", "finding", "metadata corpus year: mixed types (20 texts, 20 numbers): kept as text", field("year", lambda i: i if i % 2 else str(i))),
    Row("metadata", "truth values and numbers", "finding", "mixed types (39 numbers, 1 truth value)", field("flag", lambda i: i or True)),
    Row("metadata", "whole numbers and fractions", "accepted", "", field("price", lambda i: i / 2)),
    Row("metadata", "NaN", "accepted", "", field("price", lambda i: float("nan"))),
    Row("metadata", "Infinity", "finding", "price: 40 values are infinite: left out, as if missing", field("price", lambda i: float("inf"))),
    Row("metadata", "whole numbers of 400 digits", "accepted", "", field("n", lambda i: 10**400 + i)),
    Row("metadata", "whole numbers of 2,000 digits", "finding", "n: 40 values are longer than 1,000 characters", field("n", lambda i: 10**2000)),
    Row("metadata", "beyond 64 bits in one document", "accepted", "", field("n", lambda i: 2**70 if i == 3 else i)),
    Row("metadata", "lists", "finding", "tags: 40 values are nested: left out", field("tags", lambda i: ["a", "b"])),
    Row("metadata", "one list among texts", "finding", "tags: 1 value is nested", field("tags", lambda i: "a" if i else ["a"])),
    Row("metadata", "objects within the object", "finding", "by: 40 values are nested", metadata(lambda i: {"by": {"name": "x"}})),
    Row("metadata", "a text of 100,000 characters", "finding", "note: 1 value is longer than 1,000 characters", field("note", lambda i: ... if i else "x" * 100_000)),
    Row("metadata", "is a text", "accepted", "", metadata(lambda i: "x")),
    Row("metadata", "is a list", "finding", "metadata: 40 values are nested", metadata(lambda i: ["x"])),
    Row("metadata", "is empty", "accepted", "", metadata(lambda i: {})),
    Row("metadata", "half a surrogate pair", "finding", "tag: characters that no file can hold", recode(CORPUS, lambda text: text.replace(b'{"_id"', b'{"tag": "a\\ud800b", "_id"'))),
    Row("metadata", "NUL", "finding", "were replaced in 40 values", field("tag", lambda i: "a\0b")),
    Row("metadata", "lines and tabs", "accepted", "", field("tag", lambda i: f"a\n\t b{i % 2}")),
    Row("metadata", "hostile HTML", "accepted", "", field("<script>alert(1)</script>", lambda i: f"<img src=x onerror={i % 2}>")),
    Row("metadata", "a field without a name", "finding", "its name is blank", field("", lambda i: i % 2)),
    Row("metadata", "a name of spaces", "finding", "its name is blank", field("  ", lambda i: i % 2)),
    Row("metadata", "a name with NUL", "finding", "its name holds a control character", field("a\0b", lambda i: i % 2)),
    Row("metadata", "a name with half a surrogate pair", "finding", "its name holds a control character", recode(CORPUS, lambda text: text.replace(b'{"_id"', b'{"a\\ud800": 1, "_id"'))),
    Row("metadata", "a name of 10,000 characters", "finding", "its name has 10,000 characters", field("x" * 10_000, lambda i: i % 2)),
    Row("metadata", "another field in each document", "finding", "400 fields: the 100 that most rows have are kept", every(CORPUS, lambda i, row: row.update({f"f{i}-{n}": 1 for n in range(10)}))),
    Row("metadata", "10,000 fields in each document", "finding", "10,000 fields: the 100", every(CORPUS, lambda i, row: row.update({f"f{n}": i for n in range(10_000)})), full=True),
    *(
        Row("metadata", f"a field `{name}`", "finding", f"the field '{name}' is left out: loading makes a column", field(name, lambda i: f"v{i % 2}"))
        for name in ("part", "group", "query_id", "doc_id")
    ),
    Row("metadata", "a field `text` within", "finding", "the field 'text' of 40 metadata objects is left out", metadata(lambda i: {"text": "other words"})),
    Row("metadata", "a field `_id` within", "finding", "the field '_id' of 40 metadata objects is left out", metadata(lambda i: {"_id": "x"})),
    Row("metadata", "fields `index`, `score` and `rank`", "accepted", "", every(CORPUS, lambda i, row: row.update(index=i % 3, score=i, rank=i, relevance=i))),
    Row("metadata", "queries: numbers and texts", "finding", "metadata queries year: mixed types", field("year", lambda i: i if i % 2 else str(i), QUERIES)),
    Row("metadata", "queries: a field `group`", "finding", "the field 'group' is left out", field("group", lambda i: "one", QUERIES)),
    Row("metadata", "queries: a field `title`", "accepted", "", field("title", lambda i: i, QUERIES)),
    Row("metadata", "`family` of numbers with gaps", "accepted", "", field("family", lambda i: i % 20 if i % 3 else ...)),
    Row("metadata", "`family` of lists", "finding", "family: 40 values are nested", field("family", lambda i: [i])),
)  # fmt: skip

DATES = (
    Row("dates", "days", "accepted", "", field("created", lambda i: f"2023-01-{i % 28 + 1:02}", QUERIES)),
    Row("dates", "times of one zone", "accepted", "", field("created", lambda i: ZONES[0], QUERIES)),
    Row("dates", "times of two zones", "finding", "in several zones (+02:00, Z): the day counts as it is written", field("created", lambda i: ZONES[i % 2], QUERIES)),
    Row("dates", "with a zone and without", "finding", "several zones (Z, no zone)", field("created", lambda i: ZONES[0][: 19 + i % 2], QUERIES)),
    Row("dates", "the American order", "finding", "40 of 40 values of 'created' are no date such as 2023-06-30, the first: '12/31/2022'", field("created", lambda i: "12/31/2022", QUERIES)),
    Row("dates", "seconds since 1970", "finding", "are no date", field("created", lambda i: 1_672_531_200 + i, QUERIES)),
    Row("dates", "a 30th of February", "finding", "1 of 40 values", field("created", lambda i: "2023-02-30" if i == 7 else "2023-02-20", QUERIES)),
    Row("dates", "a month alone", "finding", "are no date", field("created", lambda i: "2023-02", QUERIES)),
    Row("dates", "some missing", "accepted", "", field("created", lambda i: "2023-02-01" if i % 2 else ..., QUERIES)),
    Row("dates", "a list", "finding", "created: 40 values are nested", field("created", lambda i: [2023, 1, 1], QUERIES)),
    Row("dates", "of documents, none of them a date", "finding", "corpus : 40 of 40 values of 'created'", field("created", lambda i: "yesterday")),
)  # fmt: skip

PAIRS = [(f"q{i}", f"d{i}", 1) for i in range(40)]
JUDGMENTS = (
    Row(QRELS, "missing", "error", "qrels: no .tsv file", remove(QRELS)),
    Row("qrels", "a file, no folder", "error", "qrels: no .tsv file", both(remove(QRELS), lambda data: (data / "qrels").rmdir(), write("qrels", "x"))),
    Row("qrels", "under another ending", "error", "no .tsv file (found: test.txt)", renamed(QRELS, "qrels/test.txt")),
    Row(QRELS, "a folder", "error", "is no file that can be read", folder_at(QRELS)),
    Row(QRELS, "a link to itself", "error", "is no file that can be read", loop_at(QRELS)),
    Row(QRELS, "a pipe", "error", "is no file that can be read", pipe_at(QRELS)),
    Row("qrels", "a hidden file of a file manager beside it", "accepted", "", write("qrels/._test.tsv", b"\0\5\x16\7")),
    Row(QRELS, "empty", "finding", "no judgment names both a known query and a document", write(QRELS, "")),
    Row(QRELS, "the header alone", "finding", "no judgment names both", judged([])),
    Row(QRELS, "a byte order mark, no header", "accepted", "", both(judged(PAIRS, ""), recode(QRELS, lambda text: b"\xef\xbb\xbf" + text))),
    Row(QRELS, "CRLF", "accepted", "", recode(QRELS, lambda text: text.replace(b"\n", b"\r\n"))),
    Row(QRELS, "UTF-16", "error", "it looks like UTF-16", recode(QRELS, lambda text: text.decode().encode("utf-16"))),
    Row(QRELS, "a line in Latin-1", "error", "on line 42", add(QRELS, LATIN + b"\td1\t1")),
    Row(QRELS, "gzipped under its plain name", "error", "it looks gzipped", recode(QRELS, gzip.compress)),
    Row(QRELS, "no header", "accepted", "", judged(PAIRS, "")),
    Row(QRELS, "the header `query_id doc_id score`", "accepted", "", judged(PAIRS, "query_id\tdoc_id\tscore")),
    Row(QRELS, "a header that ends otherwise", "finding", "a header must end in 'score'", judged(PAIRS, "qid\tdocid\tlabel")),
    Row(QRELS, "document before query", "finding", "40 of 40 judgments name a document first and a query second; swap the columns", judged([(d, q, 1) for q, d, _ in PAIRS])),
    Row(QRELS, "grade before document", "finding", "found ['q0', '1', 'd0']", judged([(q, 1, d) for q, d, _ in PAIRS])),
    Row(QRELS, "four columns of TREC", "accepted", "", judged([(q, 0, d, 1) for q, d, _ in PAIRS], "")),
    Row(QRELS, "four columns, a note at the end", "finding", "expected query-id, corpus-id and an integer score", judged([(*row, "sure") for row in PAIRS])),
    Row(QRELS, "two columns", "finding", "between tabs, found ['q1', 'd1']", add(QRELS, "q1\td1")),
    Row(QRELS, "six columns", "finding", "between tabs, found", add(QRELS, "q1\td1\t1\ta\tb\tc")),
    Row(QRELS, "spaces for tabs", "finding", "between tabs, found ['q1 d1 1']", add(QRELS, "q1 d1 1")),
    Row(QRELS, "commas for tabs", "finding", "between tabs, found", judged([(f"{q},{d},1",) for q, d, _ in PAIRS], "query-id,corpus-id,score")),
    Row(QRELS, "a million columns", "finding", "between tabs, found", add(QRELS, "\t" * 1_000_000 + "1")),
    Row(QRELS, "ids in quotes", "finding", "40 of 40 judgments (100.0%) point nowhere", judged([(f'"{q}"', f'"{d}"', 1) for q, d, _ in PAIRS])),
    Row(QRELS, "ids in capitals", "finding", "point nowhere", judged([(q.upper(), d.upper(), 1) for q, d, _ in PAIRS])),
    Row(QRELS, "an unknown query", "finding", "unknown query 'nobody'", add(QRELS, "nobody\td1\t1")),
    Row(QRELS, "an unknown document", "finding", "unknown document 'nowhere'", add(QRELS, "q1\tnowhere\t1")),
    Row(QRELS, "an id that ends in a space", "finding", "unknown query 'q1 '", add(QRELS, "q1 \td1\t1")),
    Row(QRELS, "a blank id", "finding", "unknown document ''", add(QRELS, "q1\t\t1")),
    Row(QRELS, "an id with NUL", "finding", "NUL stands in one of them", add(QRELS, "q1\td1\0\t1")),
    Row(QRELS, "the same twice", "finding", "duplicate judgment", add(QRELS, "q1\td1\t1")),
    Row(QRELS, "two grades of a pair", "finding", "q1 d1: 1 before, 3 here; the higher counts", add(QRELS, "q1\td1\t3")),
    Row("grades", "1e9", "finding", "expected a whole number from 0 to 10, found 1e+09", add(QRELS, "q1\td2\t1e9")),
    Row("grades", "1e300", "finding", "found 1e+300", add(QRELS, "q1\td2\t1e300")),
    Row("grades", "400 digits", "finding", "an integer score between tabs", add(QRELS, "q1\td2\t" + "9" * 400)),
    Row("grades", "11", "finding", "found 11", add(QRELS, "q1\td2\t11")),
    Row("grades", "-1", "finding", "-1 counts as irrelevant", add(QRELS, "q1\td2\t-1")),
    Row("grades", "-1e9", "finding", "expected a whole number from 0 to 10, found -1e+09", add(QRELS, "q1\td2\t-1e9")),
    Row("grades", "0.5", "finding", "found 0.5", add(QRELS, "q1\td2\t0.5")),
    Row("grades", "1.0", "accepted", "", judged([(q, d, "1.0") for q, d, _ in PAIRS])),
    Row("grades", "a text", "finding", "an integer score between tabs, found ['q1', 'd2', 'good']", add(QRELS, "q1\td2\tgood")),
    Row("grades", "nan", "finding", "an integer score between tabs", add(QRELS, "q1\td2\tnan")),
    Row("grades", "inf", "finding", "an integer score between tabs", add(QRELS, "q1\td2\tinf")),
    Row("grades", "blank", "finding", "an integer score between tabs", add(QRELS, "q1\td2\t")),
    Row("grades", "0 alone", "finding", "no document is judged relevant, by a grade of 1 or more: grades are 0 to 0", judged([(q, d, 0) for q, d, _ in PAIRS])),
    Row("grades", "below zero alone", "finding", "grades are -2 to -2", judged([(q, d, -2) for q, d, _ in PAIRS])),
    Row("grades", "one query without a relevant document", "finding", "no document is judged relevant", judged([*PAIRS[:39], ("q39", "d39", 0)])),
    Row("judgments", "every document relevant to every query", "finding", "all 40 documents are relevant to every query: every ranking is perfect", judged([(q, d, 1) for q, _, _ in PAIRS for _, d, _ in PAIRS])),
    Row("judgments", "one document relevant to all queries", "finding", "d0: it alone is relevant, to 40 queries: training tells relevant documents apart and needs two", judged([(q, "d0", 1) for q, _, _ in PAIRS])),
    Row("judgments", "one document relevant to most queries", "finding", "so the unit is the query", judged([(q, "d0" if i < 30 else d, 1) for i, (q, d, _) in enumerate(PAIRS)])),
    Row("judgments", "of one query alone", "finding", "d0: it alone is relevant, to 1 queries", judged([PAIRS[0]])),
)  # fmt: skip

SPLITS = (
    Row("splits", "train, dev and test", "accepted", "", split(train=range(20), dev=range(20, 30), test=range(30, 40))),
    Row("splits", "in capitals", "accepted", "", split(Train=range(20), DEV=range(20, 30), Test=range(30, 40))),
    Row("splits", "one query in two", "finding", "q20 is judged in dev and again in train: it counts as dev", split(train=range(21), dev=range(20, 30), test=range(30, 40))),
    Row("splits", "a fourth", "finding", "2 queries of 'hard' are left out: the splits that count are train, dev, test", split(train=range(20), dev=range(20, 30), test=range(30, 38), hard=range(38, 40))),
    Row("splits", "test and one of another name", "finding", "Not usable: parts: train 0, dev 0, test 20", split(fold=range(20), test=range(20, 40))),
    Row("splits", "folds, none of our names", "accepted", "", split(fold1=range(20), fold2=range(20, 40))),
    Row("splits", "train without a query", "finding", "Not usable: parts: train", split(train=range(0), dev=range(1), test=range(1, 40))),
    Row("splits", "one file plain and gzipped", "finding", "duplicate judgment", lambda data: (data / f"{QRELS}.gz").write_bytes(gzip.compress((data / QRELS).read_bytes())) and None),
    Row("splits", "train and dev, no test", "accepted", "", split(train=range(20), dev=range(20, 40))),
)  # fmt: skip

ROWS = FOLDER + FILES + IDS_OF_EACH + IDS + TEXTS + METADATA + DATES + JUDGMENTS + SPLITS
