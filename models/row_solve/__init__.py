"""The row problem: one definition, one compiled sweep, three callers. Least squares, and Kullback–Leibler.

The sweeps are not imported here: they need numba, which the service does not have.
"""

from models.row_solve.definition import (
    RowProblem,
    RowSolution,
    SingularRowError,
    SolvedRow,
    gram_matrix,
    solve_row,
)
from models.row_solve.kl import inverse_sums, solve_kl_row
from models.row_solve.rows import Rows
from models.row_solve.short_rows import solve_short_row

__all__ = [
    "RowProblem",
    "RowSolution",
    "Rows",
    "SingularRowError",
    "SolvedRow",
    "gram_matrix",
    "inverse_sums",
    "solve_kl_row",
    "solve_row",
    "solve_short_row",
]
