"""Rolling out: shadow, canary, re-indexing, drift."""
