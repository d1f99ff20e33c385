"""The command line's parts: indexes, re-indexing, releases and exports; a service is known by its state file."""
