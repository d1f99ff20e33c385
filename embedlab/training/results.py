"""What a training run can be judged by afterwards: plain values that load without pandas, numpy or torch."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.evaluation.results import Comparison


@dataclass(frozen=True)
class Checkpoint:
    """A step at which validation was asked.

    Attributes:
        step: its number; 0 is the base.
        loss: mean training loss of the steps since the checkpoint before; None at step 0.
        validation: mean validation score.
        behind: how much less that is than the best checkpoint's.
        error: standard error of ``behind``, paired over the validation queries.
    """

    step: int
    loss: float | None
    validation: float
    behind: float
    error: float

    @property
    def near_best(self) -> bool:
        """Whether validation cannot tell it from the best: within one standard error (Breiman et al. 1984)."""
        return self.behind <= self.error


@dataclass(frozen=True)
class Mix:
    """A share of the tuned weights in the mix with the base's, and its mean score on dev."""

    share: float
    dev: float


@dataclass(frozen=True)
class SeedRun:
    """One of several runs of the same recipe: its seed, the step that was taken, and its gain on validation."""

    seed: int
    step: int
    gain: float


@dataclass(frozen=True)
class AdapterUse:
    """A linear map of a model's query vectors; see :func:`embedlab.training.fit_adapter`.

    Attributes:
        decay: weight decay that validation chose, which pulls the map towards one that changes nothing.
        step: likewise; 0 where none was better than no adapter.
        gain: over the same model without it.
    """

    decay: float
    step: int
    gain: Comparison


@dataclass(frozen=True)
class MinedUse:
    """What became of the mined negatives in the batches that trained the model.

    Attributes:
        pairs: a training query and a document mined for it.
        used: pairs of which the document stood in a batch as a negative of the query, at least once.
        queries: queries of all batches, each as often as it stood in one.
        met: of these, how often one stood beside a negative that was mined for it.
    """

    pairs: int
    used: int
    queries: int
    met: int

    @property
    def share(self) -> float:
        """Share of the pairs that were used; 0 where nothing was mined."""
        return self.used / self.pairs if self.pairs else 0.0


@dataclass(frozen=True)
class Usage:
    """What the steps of a training run read and took; it hangs on the machine, so it is no result.

    Of several processes it is that of this one, and of a run that was taken up again, of what was done since.

    Attributes:
        tokens: that the model read, without padding.
        places: in its batches, padding included.
        pairs: queries of the batches, each beside its positive.
        seconds: in forward passes, backward passes and updates; validations do not count.
        memory: most bytes in use; see :func:`embedlab.models.hardware.peak_memory`.
    """

    tokens: int = 0
    places: int = 0
    pairs: int = 0
    seconds: float = 0.0
    memory: int = 0

    @property
    def padding(self) -> float:
        """Share of the places that held padding; 0 where nothing was read."""
        return 1 - self.tokens / self.places if self.places else 0.0

    def figures(self) -> dict[str, float]:
        """Return it by name and unit; nothing a second where nothing was done."""
        seconds = self.seconds or float("inf")
        return {
            "tokens read in training": self.tokens,
            "tokens a second": self.tokens / seconds,
            "pairs a second": self.pairs / seconds,
            "share of padding": self.padding,
            "peak memory (GB)": self.memory / 1e9,
        }
