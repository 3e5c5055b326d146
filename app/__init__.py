"""The HTTP service: a thin shell around the recommender."""
