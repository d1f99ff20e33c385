"""``embedlab compare``: runs, judgments, groups, measures and gains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from faulty import Outcome, Row, command

FACE = "`embedlab compare`"

RUN = "q1 Q0 a 1 2.0 t\nq1 Q0 b 2 1.0 t\nq2 Q0 a 1 2.0 t\n"
QRELS = "q1 0 a 1\nq2 0 a 1\n"
GROUPS = "query-id\tgroup\nq1\tg\nq2\th\n"
BASE, JUDGED, GROUPED = "base.run", "qrels", "groups.tsv"
A_FOLDER, A_LINK = "a folder", "a link that leads nowhere"


def broken(where: str, what: str, says: str, **given: Any) -> Row:
    """Return a row that ends in an error; ``run``, ``qrels`` and ``groups`` stand for their files."""
    files = {"run": BASE, "qrels": JUDGED, "groups": GROUPED}
    return Row(where, what, "error", says, {files.get(name, name): value for name, value in given.items()})


def taken(where: str, what: str, says: str = "", **given: Any) -> Row:
    """Return a row that is legal, however odd it looks."""
    row = broken(where, what, says, **given)
    return Row(where, what, "accepted", says, row.given)


LINE = "expected 'query Q0 document rank score tag'"
GRADE = "expected query, document and a whole-number grade"
UNKNOWN = "unknown measure"

MEASURES = (
    *("P@", "nDCG@10.5", "nDCG@99999999999999999999", "nDCG@0", "nDCG@-1", "nDCG@1e3", "nDCG@nan", "nDCG@10@10"),
    *("P(rel=0)@10", "P(rel=2147483647)@10", "Bpref(rel=2147483647)", "P(rel=1.5)@10", "P(rel=True)@10"),
    *("IPrec@1.5", "nDCG(gains={})@10", "nDCG(judged_only=True)@10", "NumRel", "ERR@10", "", "@10", "nDCG@10,AP"),
    *("Judged@0", "Judged@99999999999999999999", "Judged", "((((", "__import__('os').system('true')@10"),
)

ROWS = (
    taken("everything", "two equal runs", "INCONCLUSIVE"),
    *(broken("--metric", f"`{name}`" if name else "blank", UNKNOWN, metric=name) for name in MEASURES),
    broken("--metric", "10,000 characters", "(10,000 characters)", metric="n" * 10_000),
    broken("--metric", "a terminal's control characters", r"'\x1b[2J'", metric="\x1b[2J"),
    taken("--metric", "a cutoff of two billion", metric="nDCG@2147483647"),
    # --- gains
    *(broken("--min-gain", f"`{gain}`", "min_gain must be a number", min_gain=gain)
      for gain in ("nan", "inf", "-inf", "1e400", "5", "-1.5")),
    broken("--min-gain", "a word", "Invalid value for '--min-gain'", min_gain="much"),
    broken("--min-gain", "a comma", "Invalid value for '--min-gain'", min_gain="0,1"),
    taken("--min-gain", "-1, which any run keeps", min_gain="-1"),
    # --- runs
    broken("run", "empty", "none of its 0 queries is among the 2 judged ones", run=""),
    broken("run", "blank lines alone", "none of its 0 queries", run="\n \n\t\n"),
    broken("run", "no file", "there is no such file", run=None),
    broken("run", "a folder", "a folder stands where a file should be", run=A_FOLDER),
    broken("run", "a link that leads nowhere", "it is no regular file", run=A_LINK),
    broken("run", "gzip", "cannot be read: 'utf-8' codec", run=b"\x1f\x8b\x08\x00\xff\xfe"),
    broken("run", "UTF-16", "cannot be read: 'utf-8' codec", run=RUN.encode("utf-16")),
    broken("run", "UTF-16 without its mark", LINE, run=RUN.encode("utf-16-le")),
    broken("run", "Latin-1", "cannot be read: 'utf-8' codec", run="q1 Q0 Grüße 1 2 t\n".encode("latin-1")),
    taken("run", "a byte order mark", run="\ufeff" + RUN),
    taken("run", "Windows' line ends", run=RUN.replace("\n", "\r\n")),
    taken("run", "old Macs' line ends", run=RUN.replace("\n", "\r")),
    taken("run", "tabs between the fields", run=RUN.replace(" ", "\t")),
    taken("run", "without a last line end", run=RUN.rstrip()),
    taken("run", "a line separator of Unicode in an id", run=RUN + "q2 Q0 x\u2028y 2 1.0 t\n"),
    taken("run", "a space of another script in an id", run=RUN + "q2 Q0 x\u3000y 2 1.0 t\n"),
    taken("run", "no tag", run=RUN.replace(" t\n", "\n")),
    broken("run", "three fields", f"base.run:1: {LINE}", run="q1 a 1\n"),
    broken("run", "a score in words", f"base.run:2: {LINE}", run="q1 Q0 a 1 2 t\nq1 Q0 b 2 high t\n"),
    broken("run", "commas for points", f"base.run:1: {LINE}", run="q1 Q0 a 1 2,5 t\n"),
    broken("run", "a score with an underscore", f"base.run:1: {LINE}", run="q1 Q0 a 1 1_0 t\n"),
    broken("run", "a score in other digits", f"base.run:1: {LINE}", run="q1 Q0 a 1 １０ t\n"),
    *(broken("run", f"a score of {score}", f"score {score} is not a finite number", run=f"q1 Q0 a 1 {score} t\n")
      for score in ("nan", "inf", "-Infinity", "1e999")),
    taken("run", "scores beyond float32", run="q1 Q0 a 1 1e300 t\nq1 Q0 b 2 1e299 t\nq2 Q0 a 1 -1e300 t\n"),
    taken("run", "scores that float32 cannot tell apart",
          run="q1 Q0 a 1 1.00000001 t\nq1 Q0 b 2 1 t\nq2 Q0 a 1 1e-300 t\n"),
    broken("run", "a NUL in an id", "base.run:1: 'a\\x00b' is no id: a NUL", run="q1 Q0 a\0b 1 2 t\n"),
    broken("run", "a document twice", "query q1 has document a twice, first on line 1", run=RUN + "q1 Q0 a 3 0.5 t\n"),
    broken("run", "other queries", "none of its 1 queries is among the 2 judged ones", run="x Q0 a 1 1 t\n"),
    taken("run", "a query without judgments", "1 queries without judgments are left out", run=RUN + "x Q0 a 1 1 t\n"),
    taken("run", "a judged query missing", "1 judged queries are missing and score 0", run="q1 Q0 a 1 1 t\n"),
    broken("run", "a line of a million characters", "(1,000,000 characters)", run="x" * 1_000_000),
    taken("run", "an id of a million characters", run=RUN + f"q2 Q0 {'x' * 1_000_000} 9 0.5 t\n"),
    taken("run", "ids that look like markup", run=RUN + "q2 Q0 [red]<b>x</b>[/red] 9 0.5 t\n"),
    broken("run", "JSON", LINE, run='{"q1": {"a": 1.0}}'),
    # --- judgments
    broken("qrels", "empty", "no judgments in it", qrels=""),
    broken("qrels", "a header alone", "no judgments in it", qrels="query-id\tcorpus-id\tscore\n"),
    broken("qrels", "no file", "there is no such file", qrels=None),
    broken("qrels", "a folder", "a folder stands where a file should be", qrels=A_FOLDER),
    broken("qrels", "not UTF-8", "cannot be read", qrels=b"q1 0 \xff 1\n"),
    taken("qrels", "a byte order mark and Windows' line ends", qrels="\ufeff" + QRELS.replace("\n", "\r\n")),
    broken("qrels", "a grade of 10⁹", "grade 1000000000.0 is not between -10 and 10", qrels="q1 0 a 1000000000\n"),
    broken("qrels", "a grade of 10²⁰", "is not between -10 and 10", qrels=f"q1 0 a {10**20}\nq2 0 a 1\n"),
    broken("qrels", "a grade of -10⁹", "is not between -10 and 10", qrels="q1 0 a -1000000000\n"),
    broken("qrels", "a grade of 11", "is not between -10 and 10", qrels="q1 0 a 11\nq2 0 a 1\n"),
    taken("qrels", "a grade of -2, which TREC gives to spam", qrels=QRELS + "q2 0 b -2\n"),
    taken("qrels", "a query all of whose documents are spam", "1 judged queries have no relevant document",
          qrels="q1 0 a -2\nq2 0 a 1\n"),
    taken("qrels", "negative grades alone", "2 judged queries have no relevant document",
          qrels="q1 0 a -2\nq2 0 a -10\n"),
    *(broken("qrels", f"a grade of {grade}", f"qrels:1: {GRADE}", qrels=f"q1 0 a {grade}\n")
      for grade in ("0.5", "nan", "inf", "good", "1_0", "²", "0x1")),
    broken("qrels", "two fields", f"qrels:1: {GRADE}", qrels="q1 a\n"),
    broken("qrels", "five fields", f"qrels:1: {GRADE}", qrels="q1 0 a b 1\n"),
    broken("qrels", "a blank id between tabs", "is no id: nothing but blanks", qrels="q1\t\t1\nq2\ta\t1\n"),
    broken("qrels", "a NUL in an id", "is no id: a NUL", qrels="q\0 0 a 1\n"),
    broken("qrels", "two grades of one pair", "a twice, with different grades", qrels=QRELS + "q1 0 a 0\n"),
    taken("qrels", "one judgment twice", qrels=QRELS + QRELS),
    taken("qrels", "no relevant document", "2 judged queries have no relevant document", qrels="q1 0 a 0\nq2 0 a 0\n"),
    taken("qrels", "one query", "INCONCLUSIVE", qrels="q1 0 a 1\n"),
    broken("qrels", "a run", f"qrels:1: {GRADE}", qrels=RUN),
    # --- groups
    taken("--groups", "a group each", groups=GROUPS),
    taken("--groups", "one group for all", groups=GROUPS.replace("h", "g")),
    taken("--groups", "a byte order mark and Windows' line ends", groups="\ufeff" + GROUPS.replace("\n", "\r\n")),
    broken("--groups", "no file", "there is no such file", groups=None),
    broken("--groups", "a folder", "a folder stands where a file should be", groups=A_FOLDER),
    broken("--groups", "empty", "groups.tsv:1: expected the header", groups=""),
    broken("--groups", "no header", "groups.tsv:1: expected the header", groups="q1\tg\n"),
    broken("--groups", "a header with commas", "groups.tsv:1: expected the header", groups="query-id,group\n"),
    broken("--groups", "one field", "groups.tsv:2: expected 'query-id<TAB>group'", groups="query-id\tgroup\nq1\n"),
    broken("--groups", "three fields", "groups.tsv:2: expected", groups="query-id\tgroup\nq1\tg\th\n"),
    broken("--groups", "a blank group", "groups.tsv:2: expected", groups="query-id\tgroup\nq1\t \n"),
    broken("--groups", "a blank query", "is no id: nothing but blanks", groups="query-id\tgroup\n \tg\n"),
    broken("--groups", "a query in two groups", "query q1 is in group 'x' and in 'g'", groups=GROUPS + "q1\tx\n"),
    broken("--groups", "a query without a group", "1 of 2 judged queries have no group, the first: 'q2'",
           groups="query-id\tgroup\nq1\tg\n"),
    broken("--groups", "not UTF-8", "cannot be read", groups=b"query-id\tgroup\nq1\t\xff\n"),
    broken("--groups", "a NUL in an id", "is no id: a NUL", groups="query-id\tgroup\nq\0\tg\n"),
)  # fmt: skip


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Write the two runs and the judgments, some of them as the row has them; return the comparison."""
    given = {BASE: RUN, "tuned.run": RUN, JUDGED: QRELS} | row.given
    words = ["--metric", given.pop("metric", "nDCG@10"), "--min-gain", given.pop("min_gain", "0")]
    if GROUPED in given:
        words += ["--groups", folder / GROUPED]
    for name, content in given.items():
        _write(folder / name, content)
    return lambda: command("compare", folder / BASE, folder / "tuned.run", "--qrels", folder / JUDGED, *words)


def _write(path: Path, content: str | bytes | None) -> None:
    if content == A_FOLDER:
        path.mkdir()
    elif content == A_LINK:
        path.symlink_to("gone")
    elif isinstance(content, str):
        path.write_bytes(content.encode())
    elif content is not None:
        path.write_bytes(content)
