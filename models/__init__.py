"""The numeric library: factorization, fold-in, artifacts and retrieval. No HTTP, no environment, no printing."""
