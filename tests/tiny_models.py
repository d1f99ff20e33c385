"""Whole models of a few hundred random weights, as transformers and sentence-transformers save them."""

import pandas as pd
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

WORDS = ["otter", "swims", "eats", "fish", "car", "engine", "starts", "with", "a", "key", "river", "road"]

VOCABULARY = [*SPECIAL, *WORDS]


def tiny_tokenizer(places=32, side="right"):
    """Return a tokenizer that knows a dozen words, and pads on this side."""
    made = Tokenizer(WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=places,
        padding_side=side,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    )


def save_tiny(folder, architecture, seed=0, places=32, **config):
    """Save a BERT of one layer with the head of an architecture, such as ``BertForMaskedLM``; return the folder."""
    torch.manual_seed(seed)
    shape = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=places,
        initializer_range=0.5,
        **config,
    )
    architecture(shape).save_pretrained(folder)
    tiny_tokenizer(places).save_pretrained(folder)
    return folder


def save_encoder(body, folder, pooling="mean"):
    """Save a bi-encoder over the transformer in a folder, as sentence-transformers does; return its own folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(body))
    last = Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)
    SentenceTransformer(modules=[transformer, last], device="cpu").save(str(folder), create_model_card=False)
    return folder


def load_tiny(folder, seed=0, device="cpu", precision="float32"):
    """Save a bi-encoder of a few hundred random weights in a folder, and return it loaded."""
    from transformers import BertModel

    import embedlab

    saved = save_encoder(save_tiny(folder / "body", BertModel, seed), folder / "model")
    return embedlab.load_model(str(saved), precision, device=device)


def word_documents():
    """Return a document about each word, by id."""
    return pd.Series({f"d{at}": f"a {word} starts with a {word}" for at, word in enumerate(WORDS)})


def word_rows():
    """Return two training rows for each of :func:`word_documents`; the next document is a mined negative of both."""
    made = []
    for at, word in enumerate(WORDS):
        negatives = [{"id": f"d{(at + 1) % len(WORDS)}", "miner": "bm25", "score": 0.5}]
        for number, text in enumerate((f"{word} river", f"road {word} key")):
            made.append(
                {"query_id": f"q{at}-{number}", "text": text, "positive_ids": [f"d{at}"], "negatives": negatives}
            )
    return pd.DataFrame(made)
