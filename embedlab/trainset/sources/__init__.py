"""Sources of training rows: one module each, read through a checked table."""
