"""embedlab: fine-tune an embedding model for retrieval, honestly, in 22 notebooks.

The public names are loaded when first used, so that ``import embedlab`` costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
