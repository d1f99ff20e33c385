"""Two small drawings for the front page, as plain numbers that a template turns into SVG and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 1000.0
"""Width of the interval's drawing, in its own units."""


def interval_chart(gained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the positions of a gain's interval, its mean, zero and the minimum that is asked for.

    Args:
        gained: ``delta, ci95, min_gain``, as the verdict carries a gain.
    """
    low, high = (float(x) for x in gained["ci95"])
    delta, minimum = float(gained["delta"]), float(gained["min_gain"])
    ends = sorted((low, high, delta, 0.0, minimum))
    margin = 0.12 * max(ends[-1] - ends[0], 0.01)
    left, right = ends[0] - margin, ends[-1] + margin

    def at(value: float) -> float:
        return round((value - left) / (right - left) * WIDTH, 1)

    return {
        "width": WIDTH,
        "low": at(low),
        "high": at(high),
        "delta": at(delta),
        "zero": at(0.0),
        "minimum": at(minimum),
        "labels": {
            "low": f"{low:+.3f}",
            "high": f"{high:+.3f}",
            "delta": f"{delta:+.3f}",
            "minimum": f"{minimum:+.3f}",
        },
        "apart": abs(at(minimum) - at(0.0)) > 1,
        "roomy": min(at(delta) - at(low), at(high) - at(delta)) > WIDTH / 6,
    }


def intervals_chart(gains: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """Return the places of several intervals on one line, in percent of its length, and the place of zero.

    Args:
        gains: each with ``ci_low, ci_high, delta``.
    """
    ends = [0.0, *[gain[name] for gain in gains for name in ("ci_low", "ci_high")]]
    left, right = min(ends), max(ends)
    span = max(right - left, 0.01)

    def at(value: float) -> float:
        return round(100 * (value - left) / span, 1)

    rows = []
    for gain in gains:
        low, high = at(gain["ci_low"]), at(gain["ci_high"])
        rows.append({"low": low, "width": round(high - low, 1), "delta": at(gain["delta"])})
    return {"zero": at(0.0), "rows": rows}


def systems_chart(means: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one bar a system: its name, score, share of the largest in percent, and colour class."""
    largest = max(means.values(), default=0.0)
    return [
        {
            "name": name,
            "score": value,
            "share": round(100 * value / largest, 1) if largest else 0.0,
            "kind": "tuned" if "tuned" in name else "base" if "base" in name else "other",
        }
        for name, value in means.items()
    ]
