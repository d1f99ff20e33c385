"""The command line's parts: indexes, re-indexing and releases; a service is known by its state file."""
