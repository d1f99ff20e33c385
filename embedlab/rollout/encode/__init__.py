"""From documents to vectors in bulk: an index, or shards on the disk, by one process or by many machines."""
