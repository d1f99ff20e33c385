"""Mining a real collection of ten thousand documents: no known answer, little memory."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT

import embedlab
from embedlab.data import fold, near_duplicate_documents
from embedlab.models import load_model
from embedlab.trainset import (
    checked,
    exclusions,
    judged_rows,
    read_rows,
)

NL2BASH = PROJECT.parent / "shared" / "fixtures" / "nl2bash"


BASE = "sentence-transformers/all-MiniLM-L6-v2"


class Resident:
    """The most memory that this process had while the block ran, above what it had before, in bytes."""

    def __enter__(self):
        self.before, self.most, self._stop = self._now(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _now(self):
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def _watch(self):
        while not self._stop.wait(0.01):
            self.most = max(self.most, self._now() - self.before)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.mark.full
@pytest.mark.skipif(not NL2BASH.is_dir(), reason="the nl2bash collection is not beside the project")
def test_no_negative_on_nl2bash_is_a_known_answer_and_memory_stays_small(tmp_path):
    whole = embedlab.load_collection("beir", path=NL2BASH)
    train, held = whole.part("train"), whole.part("dev", "test")
    relevant = held.relevant()
    guard = held.queries.assign(text=held.queries["text"].map(fold))
    guard["known_ids"] = [sorted(relevant[q]) for q in guard["query_id"]]
    rows, encoder = judged_rows(train), load_model(BASE, "float32", tmp_path / "vectors")
    encoder.encode(whole.document_texts().tolist(), "document")
    encoder.encode(rows["text"].tolist(), "query")
    exclude = exclusions(rows, guard, near_duplicate_documents(whole.corpus))
    with Resident() as memory:
        mined = embedlab.mine_negatives(train, rows, encoder=encoder, exclude=exclude)
    assert len(whole.corpus) == 10_624
    assert memory.most < 2**30  # 0 in a process that has had more memory before
    print(f"{len(mined.negatives):,} negatives; {memory.most / 2**20:.0f} MiB above the vectors")
    checked(mined.training, "a test").to_parquet(tmp_path / "training.parquet")
    written = read_rows(tmp_path / "training.parquet")
    judged = pd.read_csv(NL2BASH / "qrels" / "test.tsv", sep="\t", dtype=str)
    answers = judged[judged["score"].astype(int) > 0].groupby("query-id")["corpus-id"].agg(set)
    assert written["negatives"].map(len).sum() > 0
    assert all(
        not {n["id"] for n in ns} & answers[q] for q, ns in zip(written["query_id"], written["negatives"], strict=True)
    )
    texts = whole.document_texts()
    some = mined.negatives[mined.negatives["miner"] != "judged"].sample(200, random_state=0)
    asked = dict(zip(rows["query_id"], rows["text"], strict=True))
    cosines = [
        float(encoder.encode([texts[d]])[0].astype(float) @ encoder.encode([asked[q]], "query")[0].astype(float))
        for q, d in zip(some["query_id"], some["doc_id"], strict=True)
    ]
    np.testing.assert_allclose(some["score"], cosines, atol=1e-4)
