"""Where vectors live in production: collections with one protocol, in FAISS files or in Milvus."""
