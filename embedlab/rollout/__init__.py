"""Going live and back: registry of indexes, re-indexing beside the live one, gradual traffic."""

from __future__ import annotations
