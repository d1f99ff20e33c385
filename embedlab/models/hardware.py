"""A short calibration of this machine, so that a slow machine can be told from slow code."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

BF16_GAIN = 1.3
"""bf16 is used where its matrix product is at least this many times as fast as fp32's."""


@dataclass(frozen=True)
class Calibration:
    """Matrix products of a small transformer's shapes; GFLOP/s."""

    fp32_gflops: float
    bf16_gflops: float
    threads: int

    @property
    def precision(self) -> str:
        """``bfloat16`` where this machine gains by it, else ``float32``."""
        return "bfloat16" if self.bf16_gflops >= BF16_GAIN * self.fp32_gflops else "float32"

    def as_dict(self) -> dict[str, float]:
        """Return the measured figures by name."""
        return {k: round(v, 1) for k, v in asdict(self).items()}


def calibrate(seconds: float = 0.2) -> Calibration:
    """Measure [1024, 384] x [384, 1536] in fp32 and bf16, each for at least ``seconds``.

    Small, because a processor without bf16 instructions takes seconds for a larger product.
    """
    import torch

    torch.manual_seed(0)
    left, right = torch.randn(1024, 384), torch.randn(384, 1536)
    speeds = [_gflops(left.to(dtype), right.to(dtype), seconds) for dtype in (torch.float32, torch.bfloat16)]
    return Calibration(speeds[0], speeds[1], torch.get_num_threads())


def _gflops(left: object, right: object, seconds: float) -> float:
    import torch

    assert isinstance(left, torch.Tensor)
    assert isinstance(right, torch.Tensor)
    left @ right
    begin, products = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        left @ right
        products += 1
    flops = 2.0 * left.shape[0] * left.shape[1] * right.shape[1] * products
    return flops / (time.perf_counter() - begin) / 1e9
