"""Into production and back: releases, re-indexing beside the live index, gradual traffic, drift."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
