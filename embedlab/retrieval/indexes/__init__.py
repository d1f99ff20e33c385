"""FAISS indexes stamped with the identity of their vectors, and what each kind of index costs."""
