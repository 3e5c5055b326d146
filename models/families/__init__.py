"""The families of matrix factorization: each a config, a fit and the rule of its row problem."""
