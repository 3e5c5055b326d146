"""The answers, without HTTP: external ids in, the members of the response bodies out.

Scores are inner products. Where the model has biases, an item's is its last coordinate and the query's last
coordinate is 1; what shifts all of a user's scores alike (μ + b_u) is added only where a score is shown.
"""
