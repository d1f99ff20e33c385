"""Sentence-transformers reads every format as it is; a model's prompts are the same everywhere; about ten seconds."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from loss_trial import LOSSES, OF_RERANKERS, few_rows, try_loss, vectors_of
from notebook_cells import toy_store
from torch.nn.functional import normalize as unit

import embedlab
from embedlab.errors import ParameterError
from embedlab.models import MINILM
from embedlab.models.files.resolve import resolve
from embedlab.retrieval import Indexed, build_index
from embedlab.training import Recipe, Trainer
from embedlab.trainset import (
    FITS,
    LABEL_COLUMNS,
    column_prompts,
    formats,
    left_out,
    render,
    require_fit,
)

ROWS, DOCUMENTS = toy_store()
TABLES = {form: render(ROWS, DOCUMENTS, form) for form in FITS}
EMBEDDING = [(form, loss) for form, fits in FITS.items() for loss in fits if loss not in OF_RERANKERS]


@pytest.mark.parametrize(("form", "loss"), EMBEDDING)
def test_sentence_transformers_own_collator_and_loss_take_the_dataset_as_it_is(minilm, form, loss):
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    table = few_rows(TABLES[form])
    dataset = formats.dataset(table)
    batch = SentenceTransformerDataCollator(preprocess_fn=minilm.model.preprocess)(list(dataset))
    texts = [name for name in dataset.column_names if name not in LABEL_COLUMNS]
    features = [{k[len(t) + 1 :]: v for k, v in batch.items() if k.startswith(f"{t}_")} for t in texts]
    found = getattr(losses, loss)(minilm.model)(features, batch.get("label"))
    assert torch.isfinite(found)
    assert found.requires_grad
    value, why = try_loss(vectors_of(minilm, table), loss, table)
    assert why == "fits"
    assert value == pytest.approx(float(found.detach()), abs=1e-3)


@pytest.mark.parametrize("loss", OF_RERANKERS)
@pytest.mark.model
def test_a_reranker_learns_from_the_labeled_list_as_it_is(tmp_path, loss):
    from sentence_transformers.cross_encoder import CrossEncoder, losses
    from sentence_transformers.cross_encoder.data_collator import CrossEncoderDataCollator
    from transformers import BertConfig, BertForSequenceClassification

    small = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1)
    BertForSequenceClassification(small).save_pretrained(tmp_path)
    for file in resolve(MINILM).folder.glob("*token*"):
        shutil.copy(file, tmp_path)
    shutil.copy(resolve(MINILM).folder / "vocab.txt", tmp_path)
    model = CrossEncoder(str(tmp_path), device="cpu")
    batch = CrossEncoderDataCollator(preprocess_fn=model.preprocess)(list(formats.dataset(TABLES["labeled_list"])))
    found = getattr(losses, loss)(model)([batch["query"], batch["docs"]], batch["label"])
    assert torch.isfinite(found)
    assert found.requires_grad


def test_a_row_with_too_few_negatives_for_a_format_is_left_out_and_listed():
    rows = ROWS.copy()
    rows["negatives"] = [[], list(rows["negatives"].iloc[1])[:2], *rows["negatives"].iloc[2:]]
    gone = left_out(rows)
    assert gone[["query_id", "reason", "evidence"]].to_numpy().tolist() == [
        ["q0", "not in triplets", "0 negatives, 1 needed"],
        ["q0", "not in candidates", "0 negatives, 4 needed"],
        ["q1", "not in candidates", "2 negatives, 4 needed"],
        ["q0", "not in labeled_list", "0 negatives, 1 needed"],
    ]
    for form in FITS:
        queries = set(render(rows, DOCUMENTS, form).iloc[:, 0])
        assert queries == set(rows["text"]) - set(gone.loc[gone["reason"] == f"not in {form}", "text"])


def test_the_labeled_list_holds_a_query_once_with_all_its_answers():
    row = TABLES["labeled_list"].iloc[0]
    source = ROWS.iloc[0]
    assert row["query"] == source["text"]
    wanted = [*source["positive_ids"], *(n["id"] for n in source["negatives"])]
    assert row["docs"] == [DOCUMENTS[d] for d in wanted]
    assert row["labels"] == [1] * len(source["positive_ids"]) + [0] * len(source["negatives"])


@pytest.mark.parametrize("form", FITS)
def test_of_all_losses_those_fit_a_format_that_the_table_names(minilm, form):
    table = few_rows(TABLES[form])
    vectors = vectors_of(minilm, table)
    assert len(table) > 1
    assert {loss for loss in LOSSES if try_loss(vectors, loss, table)[1] == "fits"} == set(FITS[form])


@pytest.mark.parametrize(
    ("form", "loss", "why"),
    [
        ("labeled_list", "CoSENTLoss", "does not run: a field holds several texts"),
        ("pairs", "ListNetLoss", "does not run: ListNetLoss expects a list of labels"),
        ("pairs", "TripletLoss", "does not run"),
        ("pairs", "CoSENTLoss", "wants scores"),
        ("scored_pairs", "MultipleNegativesRankingLoss", "overlooks the scores"),
    ],
)
def test_a_mismatch_says_why(minilm, form, loss, why):
    table = few_rows(TABLES[form])
    value, said = try_loss(vectors_of(minilm, table), loss, table)
    assert value is None
    assert said.startswith(why)


def test_a_reranker_s_loss_names_the_format_that_would_fit():
    with pytest.raises(ParameterError, match="LambdaLoss does not take pairs; formats that fit: labeled_list"):
        require_fit("pairs", "LambdaLoss")


@pytest.fixture(scope="module", params=[True, False], ids=["prompt counts", "prompt is left out of the mean"])
def prompted(request, tmp_path_factory):
    """MiniLM with e5's prompts, which its mean counts or leaves out."""
    folder = tmp_path_factory.mktemp("prompted") / "model"
    shutil.copytree(resolve(MINILM).folder, folder)
    config = json.loads((folder / "config_sentence_transformers.json").read_text())
    config["prompts"] = {"query": "query: ", "passage": "passage: "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"include_prompt": request.param}))
    return embedlab.load_model(str(folder), "float32")


@pytest.mark.parametrize("kind", ["query", "document"])
def test_training_evaluation_and_serving_put_the_same_prompt_before_a_text(prompted, minilm, kind):
    texts = ROWS["text"].tolist()
    evaluated = prompted.encode(texts, kind)
    assert np.abs(evaluated - minilm.encode(texts, kind)).max() > 0.01  # the prompt does something
    trainer = Trainer(prompted, ROWS, pd.Series(DOCUMENTS), {}, Recipe(documents=2, hard_negatives=0))
    trainer.model.eval()
    with torch.no_grad():
        trained = unit(trainer.model(trainer.reader.features(texts, kind))["sentence_embedding"], dim=1).numpy()
    assert np.allclose(trained, evaluated, atol=1e-5)
    assert np.allclose(trainer.frozen_encode()(texts, kind), evaluated, atol=1e-5)


@pytest.mark.model
def test_what_is_served_is_what_is_evaluated(prompted):
    documents = pd.Series(DOCUMENTS)
    vectors = prompted.encode(documents.tolist(), "document")
    index = build_index(vectors, documents.index.tolist(), prompted.identity)
    queries = pd.Series(ROWS["text"].to_numpy(), index=ROWS["query_id"].to_numpy())
    served = Indexed(prompted, index).search(queries, k=1)
    scores = prompted.encode(queries.tolist(), "query") @ vectors.T
    assert served["doc_id"].tolist() == documents.index[scores.argmax(axis=1)].tolist()
    assert np.allclose(served["score"], scores.max(axis=1), atol=1e-5)


def test_the_trainer_of_sentence_transformers_gets_the_same_prompts(prompted, minilm):
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    prompts = column_prompts(prompted, TABLES["triplets"])
    assert prompts == {"anchor": "query: ", "positive": "passage: ", "negative": "passage: "}
    assert column_prompts(minilm, TABLES["triplets"]) == {}
    graded = {"sentence1": "query: ", "sentence2": "passage: "}
    assert column_prompts(prompted, TABLES["scored_pairs"]) == graded
    collate = SentenceTransformerDataCollator(preprocess_fn=prompted.model.preprocess, prompts=prompts)
    batch = collate(list(formats.dataset(TABLES["triplets"].head(2))))
    for name, kind in (("anchor", "query"), ("positive", "document")):
        side = {k.removeprefix(f"{name}_"): v for k, v in batch.items() if k.startswith(f"{name}_")}
        with torch.no_grad():
            found = prompted.model(side)["sentence_embedding"]
        expected = prompted.encode(TABLES["triplets"][name].head(2).tolist(), kind)
        assert np.allclose(torch.nn.functional.normalize(found, dim=1).numpy(), expected, atol=1e-5)
