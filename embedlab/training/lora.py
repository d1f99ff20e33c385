"""Low-rank adaptation: small matrices beside a transformer's layers learn, and are added to its weights at the end."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING

from embedlab.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SCALE = 2
"""What the product of the two matrices is multiplied by, whatever their rank; peft calls ``SCALE · rank`` its alpha."""


def require_peft(rank: int) -> None:
    """Raise a ParameterError where a rank is asked for and the package that trains with it is not installed."""
    if rank and find_spec("peft") is None:
        raise ParameterError(
            f"lora_rank is {rank}, but the package peft is not installed: pip install -e '.[lora]', or set lora_rank "
            "to 0, which trains all weights"
        )


def add_lora(model: SentenceTransformer, rank: int) -> None:
    """Freeze a model and put a pair of trainable matrices beside each linear layer of its transformer.

    A layer's ``W x`` becomes ``W x + 2 · B A x``: ``A`` ``[rank, in]`` is drawn at random and ``B`` ``[out, rank]``
    begins at zero, so that nothing is changed at first (LoRA, Hu et al. 2021).

    Args:
        model: changed in place.
        rank: of the product, 1 or more.

    Raises:
        ParameterError: if peft is not installed.
        ModelError: if the model has no transformer.
    """
    require_peft(rank)
    transformer = model.transformers_model
    if transformer is None:
        raise ModelError(f"lora_rank is {rank}, but the model has no transformer: a table of vectors is trained whole")
    from peft import LoraConfig, inject_adapter_in_model

    model.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules="all-linear"), transformer)


def has_lora(model: SentenceTransformer) -> bool:
    """Return whether matrices of :func:`add_lora` stand beside the layers of a model."""
    return any(".lora_" in name for name, _ in model.named_parameters())


def merge_lora(model: SentenceTransformer) -> None:
    """Add what the matrices beside the layers learned, if there are any, to the layers' weights, in place.

    What is left is an ordinary model: its weights have the names of the base's.
    """
    if not has_lora(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
    vars(model.transformers_model).pop("peft_config")


def plain_copy(model: SentenceTransformer) -> SentenceTransformer:
    """Return a copy of a model, with what was learned beside its layers in their weights."""
    found = copy.deepcopy(model)
    merge_lora(found)
    return found
