"""What this machine can do: a short calibration, to tell a slow machine from slow code, and its free memory."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from embedlab.errors import DataError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

GAIN = 1.3
"""A shorter number is used where its matrix product is at least this many times as fast as that of the safer one."""


@dataclass(frozen=True)
class Calibration:
    """How fast this machine multiplies matrices of a small transformer's shapes.

    Attributes:
        fp32_gflops: in float32, GFLOP/s.
        bf16_gflops: in bfloat16, GFLOP/s.
        threads: that torch used.
        fp16_gflops: in float16, GFLOP/s; 0 where that was not measured: on anything but a CUDA device.
    """

    fp32_gflops: float
    bf16_gflops: float
    threads: int
    fp16_gflops: float = 0.0

    @property
    def precision(self) -> str:
        """``bfloat16`` where this machine gains by it, ``float16`` where only that is fast, else ``float32``.

        A GPU older than bfloat16 makes do with its float32; what float16 lacks in range, training mends by scaling.
        """
        if self.fp16_gflops >= GAIN * max(self.bf16_gflops, self.fp32_gflops):
            return "float16"
        return "bfloat16" if self.bf16_gflops >= GAIN * self.fp32_gflops else "float32"

    def as_dict(self) -> dict[str, float]:
        """Return the measured figures by name."""
        return {name: round(value, 1) for name, value in asdict(self).items() if value}


def calibrate(seconds: float = 0.2, device: str = "cpu") -> Calibration:
    """Measure [1024, 384] x [384, 1536] on a device in fp32 and bf16, on CUDA in fp16, each for ``seconds`` or more.

    Small, because a processor without bf16 instructions takes seconds for a larger product.
    """
    import torch

    torch.manual_seed(0)
    left, right = torch.randn(1024, 384).to(device), torch.randn(384, 1536).to(device)
    fp32 = _gflops(left, right, seconds)
    bf16 = _gflops(left.to(torch.bfloat16), right.to(torch.bfloat16), seconds)
    fp16 = 0.0
    if device == "cuda":
        fp16 = _gflops(left.to(torch.float16), right.to(torch.float16), seconds)
    return Calibration(fp32, bf16, torch.get_num_threads(), fp16)


def precision_of(asked: str, device: str = "cpu") -> str:
    """Return the precision that was asked for; of ``auto``, what a calibration finds faster on a device.

    Raises:
        ModelError: if it is none of the four, or ``float16`` on anything but a CUDA device.
    """
    found = calibrate(device=device).precision if asked == "auto" else asked
    if found not in ("float32", "bfloat16", "float16"):
        raise ModelError(f"precision must be 'float32', 'bfloat16', 'float16' or 'auto', found {asked!r}")
    if found == "float16" and device != "cuda":
        raise ModelError(f"precision 'float16' is for a CUDA device, found {device!r}; take 'auto'")
    return found


def device_of(asked: str) -> str:
    """Return the device that was asked for; of ``auto``, the fastest kind that is here.

    Raises:
        ModelError: if it is not here, or no device that is known.
    """
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [name for name, is_here in here.items() if is_here]
    if asked == "auto":
        return found[0]
    if asked not in here:
        raise ModelError(f"device must be auto, {', '.join(here)}, found {asked!r}")
    if asked not in found:
        raise ModelError(f"device {asked!r} is not here; this machine has {', '.join(found)}")
    return asked


def _gflops(left: Tensor, right: Tensor, seconds: float) -> float:
    """Return how fast two matrices are multiplied: a product of [n, k] and [k, m] is 2nkm operations."""
    (left @ right)[0, 0].item()  # once unmeasured: the first product sets things up
    products = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        (left @ right)[0, 0].item()  # a GPU answers before it has multiplied: reading a number waits for it
        products += 1
    spent = time.perf_counter() - begin
    operations = 2.0 * left.shape[0] * left.shape[1] * right.shape[1] * products
    return operations / spent / 1e9


def require_memory(needed: float, what: str) -> None:
    """Raise a DataError where so many bytes are not free; ``what`` needs them."""
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{what} take {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free: close other programs, "
            "take a model with fewer dimensions or fewer documents, or a machine with more memory"
        )


def reset_peak_memory(device: str) -> None:
    """Let :func:`peak_memory` begin anew where it can: on a CUDA device."""
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> int:
    """Return the most bytes that were in use at once.

    On a CUDA device what torch had allocated there; elsewhere the resident memory of this process, since it began.
    """
    import psutil
    import torch

    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
