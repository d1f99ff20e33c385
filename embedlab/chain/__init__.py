"""The notebooks as one run: steps, parameters, keys, the run folder and its seal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
