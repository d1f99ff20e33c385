"""From a query to a run: lexical, dense, hybrid, filtered, chunked and reranked search."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
