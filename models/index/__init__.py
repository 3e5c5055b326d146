"""Retrieval: exact and HNSW search behind one small protocol, chosen by measurement."""
