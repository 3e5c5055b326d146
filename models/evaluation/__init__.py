"""How good models are on what they have not seen: splits, metrics, their uncertainty, and comparisons."""
