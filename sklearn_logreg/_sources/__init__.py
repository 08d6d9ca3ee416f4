"""Where the rows are: dense and sparse data seen as a sequence of row blocks.

Nothing else touches X.  A pass is a map over row blocks, then a sum (:meth:`Source.sum_over_blocks`); dense and
sparse data differ in what a block is and in the products with it; one thread and many differ in who maps.  The
blocks and the order in which they are summed depend on the data alone, so that the number of threads changes
no digit of the result.
"""

from __future__ import annotations

from scipy import sparse

from ._base import BLOCK_BYTES, SMALL_BYTES, in_precision, rows_at, weights_of
from ._dense import DenseSource
from ._memory import Workspace
from ._sparse import SparseSource
from ._threads import SharedContext

__all__ = [
    "BLOCK_BYTES", "SMALL_BYTES", "DenseSource", "SharedContext", "SparseSource", "Workspace", "in_precision",
    "make_source", "rows_at", "weights_of",
]  # fmt: skip


def make_source(X, n_threads=None, n_outputs=1):
    """The source of validated data: an array, or a CSR matrix; predictions are of n_outputs numbers a row."""
    return (SparseSource if sparse.issparse(X) else DenseSource)(X, n_threads, n_outputs)
