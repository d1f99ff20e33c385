"""Sources of collections: one module each, with ``read(**options) -> Raw``."""
