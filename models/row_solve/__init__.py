"""The row problem: one definition, one compiled sweep, three callers.

The sweep is not imported here: it needs numba, which the service does not have.
"""

from models.row_solve.definition import RowProblem, RowSolution, SingularRowError, gram_matrix, solve_row
from models.row_solve.rows import Rows

__all__ = ["RowProblem", "RowSolution", "Rows", "SingularRowError", "gram_matrix", "solve_row"]
