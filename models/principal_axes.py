"""Factors turned into the principal axes of their items: the same model, with a diagonal QᵀQ.

Where nothing but inner products of users and items counts, factors may be turned together: with an
orthogonal V, (PV)(QV)ᵀ = PQᵀ, and so are the distances, the ridge and the weights of every row problem the
same. With the eigenvectors of QᵀQ for V, QᵀQ becomes diagonal, and rows with few entries are solved in the
space of their entries: see `models.row_solve.short_rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import TrainingError
from models.row_solve import gram_matrix

if TYPE_CHECKING:
    from models.types import Float32Array, Float64Array

_BLOCK_ROWS = 4_096


def principal_axes(factors: Float32Array) -> Float64Array:
    """The eigenvectors of QᵀQ as columns, that of the largest eigenvalue first: float64, shape ``(d, d)``.

    Of the two directions of each, that in which its largest coordinate is positive.

    Raises:
        TrainingError: a factor is NaN or infinite.
    """
    gram = gram_matrix(factors)
    if not np.isfinite(gram).all():
        raise TrainingError("the item factors are not finite; raise the regularization")
    _, vectors = np.linalg.eigh(gram)
    axes = vectors[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[np.newaxis], axis=0)
    return np.asarray(np.where(largest < 0, -axes, axes))


def turned(factors: Float32Array, axes: Float64Array) -> Float32Array:
    """Rows of factors, ``(n, d)``, in other axes: every coordinate is exact but for its own rounding."""
    result = np.empty_like(factors)
    for start in range(0, len(factors), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        result[block] = factors[block].astype(np.float64) @ axes
    return result


def in_principal_axes(factors: Float32Array) -> Float32Array:
    """Rows of factors in their own principal axes: float32, shape ``(n, d)``."""
    return turned(factors, principal_axes(factors))
