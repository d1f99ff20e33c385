"""Run a notebook's cells in this process, over the toy collection."""

import matplotlib.pyplot as plt
import pandas as pd
from conftest import open_step

from embedlab.chain.artifacts import build_eval_set, choose_base_model
from embedlab.chain.cells import cell_parameters
from embedlab.chain.keys import notebook_code
from embedlab.chain.paths import notebook_path
from embedlab.chain.steps import BY_NUMBER
from embedlab.data import fold
from embedlab.models import MINILM, EmbeddingIdentity
from embedlab.trainset import judged_rows


def run_cells(number: str, **values) -> dict:
    """Execute the code of a notebook with these parameters; return its names."""
    code = notebook_code(notebook_path(BY_NUMBER[number]))
    names = {"__name__": "__main__"}
    before, after = code.split("lab = embedlab.start", 1)
    exec(compile(before, number, "exec"), names)
    assert set(values) <= set(cell_parameters(number))
    names |= {"run": "trial", **values}
    exec(compile("lab = embedlab.start" + after, number, "exec"), names)
    plt.close("all")
    return names


def write_guard(store) -> pd.DataFrame:
    """Write what steps 03 and 04 write for those that train; return the queries with their known answers."""
    lab = open_step("03")
    identity = EmbeddingIdentity(MINILM, "weights", "config", 384, 256, "", "", "float32")
    lab.write(choose_base_model.Choice(MINILM, identity, {}, 1.0))
    lab.finish("written by a test")
    queries = store.read("01", "queries.parquet")
    qrels = pd.concat([store.read("01", f"{name}.parquet") for name in ("qrels", "qrels_test")])
    held = queries[queries["part"] != "train"]
    answers = qrels.groupby("query_id")["doc_id"].agg(sorted)
    guard = held[["query_id", "group", "part"]].assign(
        text=held["text"].map(fold), known_ids=held["query_id"].map(answers)
    )
    lab = open_step("04")
    lab.write(build_eval_set.GUARD, guard)
    lab.finish("written by a test")
    return queries.merge(answers.rename("known_ids"), left_on="query_id", right_index=True)


def write_judged(table, **changes) -> pd.DataFrame:
    """Write the judged queries of the train part as a table of its step; ``changes`` go to the first row."""
    lab = open_step(table.step)
    rows = judged_rows(lab.collection("train"))
    for column, value in changes.items():
        rows.at[0, column] = value
    lab.write(table, rows)
    lab.finish("written by a test")
    return rows


def toy_store() -> tuple[pd.DataFrame, dict[str, str]]:
    """Return six rows of the canonical store, each with four negatives and the first with two positives."""
    animals = ["otter", "badger", "heron", "lynx", "marten", "stoat"]
    documents = {f"d{i}": f"The {name} lives by the river and eats fish." for i, name in enumerate(animals)}
    rows = [
        {
            "query_id": f"q{i}",
            "text": f"where does the {name} live",
            "positive_ids": [f"d{i}"],
            "known_ids": [f"d{i}"],
            "negatives": [{"id": f"d{(i + k) % 6}", "miner": "bm25", "score": 0.5} for k in range(1, 5)],
            "weight": 1.0,
        }
        for i, name in enumerate(animals)
    ]
    rows[0]["positive_ids"] = ["d0", "d5"]
    return pd.DataFrame(rows), documents
