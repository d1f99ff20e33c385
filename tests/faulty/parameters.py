"""``embedlab run``: params files, ``--set``, names of runs, and what is legal for each parameter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from embedlab.chain.params import load_params
from faulty import Outcome, Row, called, command

FACE = "`embedlab run`: parameters"


def _set(step: str, name: str, value: str, what: str, says: str) -> Row:
    return Row(f"`{step}.{name}`", what, "error", says, [f"{step}.{name}={value}"])


def _run(name: str, what: str) -> Row:
    return Row("`run`", what, "error", "must be a", [f"run={name}"])


def _file(text: str | bytes, what: str, says: str) -> Row:
    return Row("params file", what, "error", says, text)


FILES = (
    _file("- run\n- seed\n", "a list at the top", "expected keys and values at the top"),
    _file("run", "a word at the top", "expected keys and values at the top"),
    _file("run: [", "a bracket that is never closed", "not readable as YAML"),
    _file("run: a\nrun: b\n", "a key twice", "not readable as YAML"),
    _file("14: {steps: 3}\n'14': {steps: 4}\n", "a step twice, in two spellings", "step 14 is given twice"),
    _file("14: [steps]\n", "a list under a step", "expected parameters and values"),
    _file("14: 3\n", "a number under a step", "expected parameters and values"),
    _file("'23': {}\n", "a step that does not exist", "no step"),
    _file("sed: 1\n", "a mistyped shared key", "did you mean 'seed'"),
    _file("14: {learning_rat: 1.0}\n", "a mistyped key of a step", "did you mean 'learning_rate'"),
    _file("14: {seed: 1}\n", "a shared key under a step", "is shared"),
    _file("? [a, b]\n: 1\n", "a list as a key", "params.yaml"),
    _file("dev_from: 2023-02-31\n", "a day that does not exist", "not readable as YAML"),
    _file("seed: 1" + "0" * 5000 + "\n", "a number of five thousand digits", "not readable as YAML"),
    _file("[" * 3000 + "]" * 3000, "lists nested three thousand deep", "not readable as YAML"),
    _file(b"run: \xff\xfe\n", "bytes that are no UTF-8", "not readable"),
    _file(b"run: a\x00b\n", "a NUL character", "not readable as YAML"),
    _file("run: !!python/object/apply:os.system ['true']\n", "an object to be made by Python", "not readable as YAML"),
    _file("a: &a [*a, *a]\n", "an alias of itself", "unknown shared parameter"),
    _file("seed: 1.5\n", "a fraction for a whole number", "must be int, found 1.5"),
    _file("seed: yes\n", "a word for a number", "must be int, found 'yes'"),
    _file("strict: 1\n", "a number for a truth value", "must be bool, found 1"),
    _file("path: 7\n", "a number for a text", "must be str, found 7"),
    _file("seed: null\n", "nothing for a number", "must be int, found None"),
    _file('"06": {cutoffs: 10}\n', "a number for a list", "must be list[int], found 10"),
    _file('"06": {cutoffs: [10, a]}\n', "a word in a list of numbers", "must be list[int]"),
    _file('"06": {cutoffs: [10, true]}\n', "a truth value in a list of numbers", "must be list[int]"),
    _file('"11": {losses: {mnr: 1}}\n', "keys and values for a list", "must be list[str]"),
)

NAMES = (
    _run("", "no name"),
    _run("..", "the folder above"),
    _run("../elsewhere", "a path"),
    _run("/tmp/elsewhere", "an absolute path"),
    _run("a\\b", "a backslash"),
    _run("-rf", "an option of a shell command"),
    _run(".hidden", "a hidden folder"),
    _run("~", "a home folder"),
    _run("*", "a pattern"),
    _run("a b", "a space"),
    _run("a\nb", "a new line"),
    _run("a\tb", "a tab"),
    _run("a\x00b", "a NUL character"),
    _run("a\x1b[31mb", "colours of a terminal"),
    _run("a\ud800b", "half of a surrogate pair"),
    _run("a\u202eb", "a mark that turns the writing round"),
    _run("<script>alert(1)</script>", "HTML"),
    _run("$(true)", "a command"),
    _run("a" * 101, "101 letters"),
    _run("café", "a letter that is not ASCII"),
)

VALUES = (
    _set("01", "techniques", "-5", "a negative number of documents", "must be 1 or more, or 0; found -5"),
    _set("01", "shown", "0", "no results shown", "must be 1 to 1000; found 0"),
    _set("01", "shown", "1" + "0" * 30, "a number beyond all sense", "must be a finite number between"),
    _set("01", "min_gain", "5", "a gain that no measure can reach", "must be -1 to 1; found 5.0"),
    _set("01", "min_gain", ".nan", "not a number", "must be a finite number"),
    _set("01", "slice_tolerance", "7", "a tolerance that forgives everything", "must be 0 to 1; found 7.0"),
    _set("01", "expected_gain", "0", "no gain expected", "must be above 0, 1 or less; found 0.0"),
    _set("01", "confidence", "1", "certainty", "must be above 0.5, below 1; found 1.0"),
    _set("01", "confidence", "95", "percents for a share", "must be above 0.5, below 1; found 95.0"),
    _set("01", "latency_budget_ms", ".inf", "a budget without end", "must be a finite number"),
    _set("01", "monthly_budget", "-1", "a negative budget", "must be 0 or more; found -1.0"),
    _set("01", "primary_metric", "nDCG@0", "a measure of no results", "unknown measure 'nDCG@0'"),
    _set("01", "primary_metric", "nDGC@10", "a mistyped measure", "did you mean nDCG"),
    _set("01", "claim", "everything", "a claim that there is not", "must be later queries | new queries over"),
    _set("01", "proposed", "bm25", "a system without a model", "must be dense | hybrid | pipeline; found 'bm25'"),
    _set("01", "objective", "a\x00b", "a NUL character", "without control characters"),
    _set("01", "objective", "a\ud800b", "half of a surrogate pair", "without control characters"),
    _set("01", "guardrail_slices", '["negation", "negation"]', "a slice twice", "a list with nothing twice"),
    _set("01", "slices", '[" "]', "a blank text in a list", "without blank items"),
    _set("05", "passage_words", "0", "passages of no words", "must be 10 to 100000; found 0"),
    _set("05", "passage_overlap", "120", "passages that overlap wholly", "found 120, passage_words is 120"),
    _set("05", "passage_words", "20", "passages shorter than the overlap", "found 30, passage_words is 20"),
    _set("03", "timing_queries", "0", "nothing to time", "must be 1 to 100000; found 0"),
    _set("05", "measures", '["P@"]', "a measure without its cutoff", "unknown measure 'P@'"),
    _set("05", "chunk", "some", "a word that is none of those", "must be long | all | none; found 'some'"),
    _set("06", "cutoffs", "[]", "an empty list", "must be one or more"),
    _set("06", "cutoffs", "[0]", "a cutoff of nought", "must be one or more, each 1 to 100000; found [0]"),
    _set("07", "delimiter", ";;", "two characters for one", "must be one character; found ';;'"),
    _set("08", "cuts", "[]", "an empty list", "must be one or more"),
    _set("08", "catch", ".nan", "not a number", "must be a finite number"),
    _set("09", "miners", "[]", "no miner", "must be one or more, each"),
    _set("09", "last_rank", "0", "ranks that end before they begin", "found 0, first_rank is 1"),
    _set("09", "margins", "[0.9, 2.0]", "a share above one", "must be one or more, each 0.01 to 1"),
    _set("11", "losses", "[]", "no loss", "must be one or more, each"),
    _set("11", "rates", "[0.0]", "a learning rate of nought", "must be one or more, each 0.000001 to 0.1; found [0.0]"),
    _set("12", "batch_rows", "0", "a batch of no rows", "must be 1 to 100000; found 0"),
    _set("13", "validation_share", "1", "everything held out", "must be above 0, below 1; found 1.0"),
    _set("14", "hard_negatives", "-1", "a negative number of negatives", "must be 0 to 1000; found -1"),
    _set("14", "learning_rate", "-1", "a negative learning rate", "must be above 0, below 1; found -1.0"),
    _set("14", "learning_rate", "1", "a learning rate of 1", "must be above 0, below 1; found 1.0"),
    _set("14", "learning_rate", "1e-5x", "a number with a letter", "must be float, found '1e-5x'"),
    _set("15", "label_price", ".nan", "not a number", "must be a finite number"),
    _set("15", "machine_price", "-1", "a negative price", "must be 0 or more; found -1.0"),
    _set("16", "each", "0", "nothing to review", "must be 1 to 1000; found 0"),
    _set("17", "sample", "0", "nothing to check", "must be 1 or more; found 0"),
    _set("19", "replayed", "0", "nothing to replay", "must be 1 or more; found 0"),
    _set("20", "batch_size", "0", "batches of nothing", "must be 1 to 1000000; found 0"),
    _set("21", "stages", "[50, 25, 100]", "traffic that falls", "must be one or more, each 1 to 100, rising"),
    _set("21", "slower_by", "-.inf", "minus infinity", "must be a finite number"),
    _set("22", "pool", "0", "no candidates", "must be 1 or more; found 0"),
    _set("22", "reference_share", "2.0", "a share above one", "must be above 0, below 1; found 2.0"),
    _set("22", "alpha", "2", "a chance above one", "must be above 0, 0.5 or less; found 2.0"),
    _set("22", "released", "tomorrow", "a day in words", "must be a day, or ''; found 'tomorrow'"),
    Row("`--set`", "no value", "error", "expected key=value", ["14.steps"]),
    Row("`--set`", "no step", "error", "did you mean '14.learning_rate'", ["learning_rate=1e-5"]),
    Row("`source`", "a mistyped source", "error", "did you mean 'beir'", ["source=bier"]),
    Row("`source`", "a folder's source without a folder", "error", "found no path", ["source=beir"]),
    Row("`path`", "a folder for a source that takes none", "error", "takes no path", ["source=attack", "path=."]),
    Row("`--set`", "a name like no other", "error", "valid: run, source, path,", ["bogus=1"]),
    Row("`--set`", "a step that does not exist", "error", "no step", ["23.steps=1"]),
    Row(
        "`--set`", "a path longer than any file system takes", "error", "path of step 01", ["path=" + "a/" + "a" * 5000]
    ),
)

TAKEN = (
    Row("`run`", "digits alone", "accepted", "", ["run=007"]),
    Row("`run`", "100 letters, dots and dashes", "accepted", "", ["run=" + "a.b-c_d5" * 12 + "last"]),
    Row("`--set`", "step 5, 05 and its name", "accepted", "", ["5.index=hnsw", "05.chunk=all"]),
    Row("`14.learning_rate`", "5e-5", "accepted", "", ["14.learning_rate=5e-5"]),
    Row("`01.index_budget_mb`", "a whole number for a float", "accepted", "", ["01.index_budget_mb=1"]),
    Row("`01.objective`", "a new line, and a letter of any script", "accepted", "", ["01.objective=a\nب 語"]),
    Row("`02.passage_overlap`", "no overlap", "accepted", "", ["02.passage_overlap=0"]),
    Row("`01.techniques`", "the default, though the brackets begin at 1", "accepted", "", ["01.techniques=0"]),
    Row("params file", "nothing in it", "accepted", "", ""),
    Row("params file", "comments alone", "accepted", "", "# nothing\n"),
)

ROWS = (*FILES, *NAMES, *VALUES, *TAKEN)


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Write the params file of the row, or an empty one beside its options; return the reading of both."""
    file = folder / "params.yaml"
    is_file = isinstance(row.given, (str, bytes))
    text = row.given if is_file else ""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    options = [] if is_file else row.given
    if row.expected == "accepted":  # a run would take minutes: that it is read is enough
        return lambda: called(lambda: load_params(file, options))
    words = [word for option in options for word in ("--set", option)]
    return lambda: command("run", file, *words)
