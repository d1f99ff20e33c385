"""Tries a sentence-transformers loss on a few rows of a training format: does it run, and does it heed the scores?"""

import numpy as np

from embedlab.trainset import FITS, LABEL_COLUMNS, QUERY_COLUMNS

OF_RERANKERS = FITS["labeled_list"]

LOSSES = sorted({loss for losses in FITS.values() for loss in losses})


def few_rows(table, count=4):
    """Return rows that differ: of different queries or, where there are scores, of different scores."""
    if "score" in table:
        return table.groupby("score").head(count // 2)
    return table.drop_duplicates(table.columns[0]).head(count)


def vectors_of(encoder, table):
    """Return one unit vector for each text of some rendered rows."""
    found = {}
    for column in table.columns.drop(list(LABEL_COLUMNS), errors="ignore"):
        texts = sorted(set(table[column].explode()))
        vectors = encoder.encode(texts, "query" if column in QUERY_COLUMNS else "document")
        found |= dict(zip(texts, vectors, strict=True))
    return found


def try_loss(vectors, loss, table):
    """Compute a loss on vectors; return its value and ``fits``, or None and why it does not fit.

    A loss that runs may still not fit: one that overlooks the table's scores learns nothing from
    them, and one that wants scores makes them up where the table has none. Both show when the
    labels are turned round.
    """
    label = next((c for c in LABEL_COLUMNS if c in table), "")
    columns = [table[c].tolist() for c in table.columns if c != label]
    labels = table[label].tolist() if label else [float(i % 2) for i in range(len(table))]
    compute = list_loss if loss in OF_RERANKERS else embedding_loss
    try:
        value = compute(loss, vectors, columns, labels)
        turned = compute(loss, vectors, columns, turned_round(labels))
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        return None, f"does not run: {str(error).splitlines()[0][:60]}"
    if not np.isfinite(value):
        return None, "its value is not finite"
    heeds = value != turned
    if heeds and not label:
        return None, "wants scores"
    if label and not heeds:
        return None, "overlooks the scores"
    return value, "fits"


def turned_round(labels):
    return [turned_round(found) if isinstance(found, list) else 1 - found for found in labels]


def embedding_loss(loss, vectors, columns, labels):
    """Compute a loss on vectors at hand: the model in front of it passes them through."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    if any(not isinstance(text, str) for column in columns for text in column):
        raise TypeError("a field holds several texts; one vector a field is wanted")
    features = [{"sentence_embedding": torch.tensor(np.stack([vectors[t] for t in column]))} for column in columns]
    with torch.no_grad():
        return float(getattr(losses, loss)(torch.nn.Sequential())(features, torch.tensor(labels).float()))


def list_loss(loss, vectors, columns, labels):
    """Compute a reranker's loss; the model in front of it scores a pair by the cosine of its vectors."""
    import torch
    from sentence_transformers.cross_encoder import losses

    class Cosines(torch.nn.Module):
        num_labels, device = 1, torch.device("cpu")

        def preprocess(self, pairs, **_unused):
            return {"sides": torch.tensor(np.stack([[vectors[a], vectors[b]] for a, b in pairs]))}

        def forward(self, features):
            return {"scores": (features["sides"][:, 0] * features["sides"][:, 1]).sum(dim=1)}

    several = isinstance(labels[0], list)
    given = [torch.tensor(found).float() for found in labels] if several else torch.tensor(labels).float()
    with torch.no_grad():
        return float(getattr(losses, loss)(Cosines())(columns, given))
