"""The numeric library: factorization, fold-in, artifacts, retrieval. No HTTP, no environment, no printing."""
