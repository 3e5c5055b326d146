"""Array types used throughout the library.

Row numbers of users and items are ``int32`` everywhere inside; string ids exist only at the two ends
(reading a table, answering a request).
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float32Array: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
RowArray: TypeAlias = NDArray[np.int32]
"""Internal row numbers of users or items."""
NOBODY: Final = -1
"""A row number that is none: fills up the lists of those for whom fewer than k items are left."""
PointerArray: TypeAlias = NDArray[np.int64]
"""CSR row pointers, or seconds since the epoch."""
BoolArray: TypeAlias = NDArray[np.bool_]
