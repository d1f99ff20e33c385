"""Re-indexing beside the live index, as a machine: plan, dual write, backfill, validate, cut over, drain, finish."""
