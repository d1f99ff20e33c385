"""Whole models of a few hundred random weights, as transformers and sentence-transformers save them."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

WORDS = ["otter", "swims", "eats", "fish", "car", "engine", "starts", "with", "a", "key", "river", "road"]

VOCABULARY = [*SPECIAL, *WORDS]


def tiny_tokenizer(places=32):
    """Return a tokenizer that knows a dozen words."""
    made = Tokenizer(WordLevel({word: at for at, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=places,
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
