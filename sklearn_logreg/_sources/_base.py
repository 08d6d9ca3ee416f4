"""What all sources share: groups of row blocks, and sums over them on one thread or many."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import copy
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigvalsh

from ._memory import Workspace
from ._threads import allowed_threads, one_blas_thread

# A block is read twice by a pass, for the raw predictions and for the gradient; the second time it comes from cache.
# Of 512 KiB to 8 MiB, 2 and 4 MiB were best for one thread on 1 000 000 x 100, and 4 MiB for two, which take the
# interpreter's lock in turn some fifteen times a block.  Rows are capped so that the vectors of the loss stay in cache
# when there are few features.
BLOCK_BYTES = 2**22
MAX_BLOCK_ROWS = 2**15
# Where a pass runs on one thread and has one output, a block is shorter, but not shorter than so many rows: Hessians
# of few features are formed in cache.  Data of 5 to 23 features took 0.9 to 0.98 of the time.  On two threads, which
# share the lock, a pass took up to 1.6 times as long; softmax the same, and more where threads came to share a Hessian.
SERIAL_BLOCK_BYTES = 2**20
SERIAL_BLOCK_ROWS = 2**13
# Up to this size a copy of X in another order, or what was computed for every row, may be kept.
SMALL_BYTES = 2**24
# Sums are made group by group; the groups are what threads share.
MAX_GROUPS = 32
# For a large matrix blocks are made at most so many times as long; and so many are left at least.
MAX_LONGER = 4
MIN_BLOCKS = 8
# Threads start above this estimate of the time of a pass on one: handing the work over, and taking the interpreter's
# lock in turn, cost 0.2 to 0.5 ms a pass.  With three times as much, sets of 1 to 3 ms a pass (a9a, adult, ijcnn1,
# imdb5k, dense generated ones) took 1.05 to 1.5 times as long on two threads of an Intel Xeon.
MIN_NANOSECONDS = 1_000_000
# Weights that are added up at a time.
ADDED = 2**16
# Rows in C order are copied along the fast axis so many bytes at a time: all of a block at once took 1.7 times as long
# with 8 to 30 features, and the same time with 100.
TRANSPOSED_BYTES = 2**19
# Unknowns of a matrix up to which BLAS is held to one thread in a fit: a Cholesky factor of 1000 takes 20 ms on one.
MAX_SERIAL_UNKNOWNS = 2000


class Source:
    """Rows of X as blocks of float32 or float64.

    A subclass gives the blocks and the products with one; the moments of the columns, and their reach from the mean;
    the inner products of the rows; the source that ``take`` makes of some of the rows; and some of the ``columns``.
    """

    _blocks: dict[int, Any]  # those that are kept, by their first row
    nanoseconds: float  # of a pass, for all outputs, on one thread, roughly
    gram_nanoseconds: float  # of a weighted Gram matrix in single precision on one thread, roughly
    dense_gram_nanoseconds: float  # the same of rows that are made dense
    block: Callable[..., Any]  # block(rows, work): the rows as floats
    predict: Callable[..., Any]  # predict(W, X_b, work): W X_b'
    accumulate: Callable[..., Any]  # accumulate(R, X_b): R X_b, R in any precision
    part: Callable[..., Any]  # part(X_b, rows): some consecutive rows of the block
    gram: Callable[..., Any]  # gram(X_b, h, mean, intercept, work): sum_i h_i z_i z_i' with z = (x - mean, 1)
    cast: Callable[..., Any]  # cast(X_b, dtype): the block in another precision
    dense: Callable[..., Any]  # dense(X_b, work): the block as an array
    absolute: Callable[..., Any]  # absolute(X_b): the block of absolute values
    row_gram: Callable[..., Any]  # row_gram(mean): (X - mean)(X - mean)'

    # Times these numbers of rows that a block may have.
    longer = 1

    def __init__(self, X, row_bytes, n_threads, n_outputs):
        self.X = X
        self.n_outputs = n_outputs
        self.n_rows, self.n_features = X.shape
        self.n_entries = X.nnz if sparse.issparse(X) else X.size
        self.dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        self.is_small = self.n_entries * self.dtype.itemsize <= SMALL_BYTES
        self.row_bytes = max(row_bytes, 8 * n_outputs)
        self.n_threads = n_threads

    @cached_property
    def groups(self):
        """All rows in blocks, and these in groups."""
        block_rows = min(max(BLOCK_BYTES // self.row_bytes, 64), self.longer * MAX_BLOCK_ROWS)
        if self.n_outputs == 1 and not self._is_long(self.nanoseconds):
            block_rows = min(block_rows, max(SERIAL_BLOCK_BYTES // self.row_bytes, self.longer * SERIAL_BLOCK_ROWS))
        return self._in_groups(int(block_rows))

    def _is_long(self, nanoseconds):
        """Does what takes so long on one thread gain by several?"""
        return nanoseconds >= MIN_NANOSECONDS

    def _in_groups(self, block_rows):
        """All rows in blocks of at most so many, and these in groups."""
        # All of about the same size, so that threads finish together.
        block_rows = -(-self.n_rows // -(-self.n_rows // block_rows))
        starts = range(0, self.n_rows, block_rows)
        blocks = [slice(start, min(start + block_rows, self.n_rows)) for start in starts]
        per_group = -(-len(blocks) // MAX_GROUPS)
        return [blocks[i : i + per_group] for i in range(0, len(blocks), per_group)]

    def in_longer_blocks(self, block_rows):
        """The same rows in blocks of about so many, where those that there are have fewer and are not kept."""
        so_far = self.groups[0][0].stop
        # As threads must change no digit, it hangs on the rows alone that there are enough blocks for some threads.
        block_rows = min(block_rows, MAX_LONGER * so_far, self.n_rows // MIN_BLOCKS)
        if self._blocks or block_rows <= so_far:
            return self
        _ = self._pool  # is shared, as are the workspaces
        other = copy(self)
        other.groups = self._in_groups(block_rows)
        return other

    def in_dtype(self, dtype):
        """The same rows, and the products, in float32 or float64."""
        if self.dtype == dtype:
            return self
        _ = self._pool  # is shared, as are the workspaces
        other = copy(self)
        other.dtype = np.dtype(dtype)
        other._blocks = {start: self.cast(X_b, other.dtype) for start, X_b in self._blocks.items()}
        return other

    @cached_property
    def _workspaces(self):
        """One workspace for each thread that may run."""
        n_threads = min(self.n_threads or allowed_threads(), len(self.groups))
        return [Workspace() for _ in range(n_threads)]

    @cached_property
    def _pool(self):
        return ThreadPoolExecutor(len(self._workspaces), initializer=one_blas_thread.begin)

    def without_blas_threads(self, n_unknowns=0):
        """A context in which BLAS runs on one thread, unless a matrix has so many unknowns that it needs more.

        Small products gain nothing from more, and lose a hundredfold where another process wants the same cores.
        """
        if n_unknowns > MAX_SERIAL_UNKNOWNS:
            return nullcontext()
        len(self._workspaces)  # sees how many threads are allowed before the limit is set
        return one_blas_thread

    def sum_over_blocks(self, function, nanoseconds=None):
        """Sums of the entries of function(X_b, rows, work) over all row blocks, in double precision.

        ``nanoseconds`` is the time that it takes on one thread, roughly; ``None``: that of a pass.
        """
        return self.sum_over_rows(lambda rows, work: function(self.block(rows, work), rows, work), nanoseconds)

    def sum_over_rows(self, function, nanoseconds=None):
        """The same of function(rows, work), which looks after the block itself.

        An array that it returns is added to, unless it is a view: it must be new each time.
        """

        def sum_group(group, work):
            first, *others = group
            total = [_to_keep(part) for part in function(first, work)]
            for rows in others:
                for so_far, part in zip(total, function(rows, work), strict=True):
                    so_far += part
            return total

        if len(self._workspaces) == 1 or not self._is_long(nanoseconds or self.nanoseconds):
            return _sum_in_order(sum_group(group, self._workspaces[0]) for group in self.groups)

        free: SimpleQueue[Workspace] = SimpleQueue()
        for work in self._workspaces:
            free.put(work)

        def on_a_thread(group):
            work = free.get()
            try:
                return sum_group(group, work)
            finally:
                free.put(work)

        # The threads map the blocks; BLAS threads inside them would compete for the same cores.
        with one_blas_thread:
            return _sum_in_order(self._pool.map(on_a_thread, self.groups))

    def parts(self, X_b, n_rows):
        """A block some rows at a time, as which rows of it and these."""
        for start in range(0, X_b.shape[0], n_rows):
            rows = slice(start, min(start + n_rows, X_b.shape[0]))
            yield rows, X_b if rows.stop - start == X_b.shape[0] else self.part(X_b, rows)

    def centred(self, X_b, mean, intercept, work, dtype=np.float64, features=slice(None)):
        """(X_b - mean)' of all features or some, with a last row of ones for the intercept: features by rows.

        Rows run along the fast axis, so that weighting them is one long multiplication however few features there are.
        """
        mean = mean[features].astype(dtype)
        Z = work.array("centred", (len(mean) + intercept, X_b.shape[0]), dtype)
        transpose(self.dense(X_b, work)[:, features], Z[: len(mean)])
        Z[: len(mean)] -= mean[:, None]
        Z[len(mean) :] = 1.0
        return Z

    def project(self, W):
        """W X', for all rows."""
        out = np.empty((len(W), self.n_rows))

        def fill(X_b, rows, work):
            out[:, rows] = self.predict(W.astype(self.dtype, copy=False), X_b, work)
            return ()

        self.sum_over_blocks(fill)
        return out

    def combine(self, R):
        """R X, over all rows."""
        return self.sum_over_blocks(lambda X_b, rows, work: (self.accumulate(R[:, rows], X_b),))[0]

    def largest_eigenvalue(self, weight, total_weight, intercept, max_gram):
        """lambda_max([X 1]' diag(s/S) [X 1]), or an upper bound where it is too large to compute."""

        def shares(rows):
            return weights_of(rows, weight) / total_weight

        if self.n_features <= min(self.n_rows, max_gram):
            zero = np.zeros(self.n_features)
            (G,) = self.sum_over_blocks(lambda X_b, rows, work: (self.gram(X_b, shares(rows), zero, intercept, work),))
        elif self.n_rows <= max_gram:
            root = np.sqrt(shares(slice(0, self.n_rows)))
            G = (self.row_gram() + intercept) * np.outer(root, root)
        else:
            return self._collatz_bound(shares, intercept)
        n = len(G)
        # Raised above the rounding error of LAPACK.
        return float(eigvalsh(G, subset_by_index=[n - 1, n - 1])[0]) * (1.0 + 1e-10)

    def _collatz_bound(self, shares, intercept, n_iter=8):
        """max_j (A v)_j / v_j with A = |[X 1]|' diag(s/S) |[X 1]|: a bound for any v > 0, sharper at each iteration."""
        v, bound = np.ones(self.n_features + intercept), np.inf

        def product(X_b, rows, work):
            X_b = self.absolute(X_b)
            raw = self.predict(v[None, : self.n_features].astype(self.dtype), X_b, work)[0].astype(np.float64)
            raw += v[self.n_features :].sum()
            raw *= shares(rows)
            out = np.full(v.shape, raw.sum())
            out[: self.n_features] = self.accumulate(raw[None], X_b)
            return (out,)

        for _ in range(n_iter):
            (Av,) = self.sum_over_blocks(product)
            bound = min(bound, float((Av / v).max()))
            v = np.maximum(Av / Av.max(), 1e-3)
        return bound * (1.0 + 1e3 * float(np.finfo(self.dtype).eps))


def transpose(X, out):
    """Copy X' to out; of C-ordered X some rows at a time, which would come into cache again for every few features."""
    step = len(X) if X.flags.f_contiguous else max(TRANSPOSED_BYTES // (8 * X.shape[1]), 64)
    for start in range(0, len(X), step):
        out[:, start : start + step] = X[start : start + step].T


def in_precision(A, dtype, is_squared=False):
    """A in another precision, and zero where it, or its square, would be a subnormal number.

    With those a processor computes a hundred times as slowly: of usps at C = 100, nearly separable, the Hessian in
    single precision took seven times as long, a pass over float32 data more than twice.
    """
    if A.dtype == dtype:
        return A
    out, least = A.astype(dtype), np.finfo(dtype).tiny
    out[np.abs(out) < (np.sqrt(least) if is_squared else least)] = 0.0
    return out


def weights_of(rows, weight):
    """The weights of a block of rows, which are 1 without any."""
    return np.ones(rows.stop - rows.start) if weight is None else weight[rows]


def rows_at(positions, weight):
    """The rows in which the cumulative weight passes the positions, shares of the total below 1.

    Weights are added up some at a time: what they come to in all rows would take as much memory again.
    """
    starts = range(0, len(weight), ADDED)
    ends = np.cumsum([np.cumsum(weight[start : start + ADDED])[-1] for start in starts])
    wanted = positions * ends[-1]
    part = np.searchsorted(ends, wanted, side="right")
    rows = np.empty(len(wanted), np.intp)
    for k in np.unique(part):
        # Added up in the same order, so that the last is the end of the part to the last digit.
        so_far = np.cumsum(weight[starts[k] : starts[k] + ADDED]) + (ends[k - 1] if k else 0.0)
        rows[part == k] = starts[k] + np.searchsorted(so_far, wanted[part == k], side="right")
    return rows


def _to_keep(part):
    """A number or an array in double precision: a view is copied, as the next block may be written to its memory."""
    has_memory = isinstance(part, np.ndarray) and part.base is None
    return np.asarray(part, np.float64) if has_memory else np.array(part, np.float64)


def _sum_in_order(parts):
    """Sum of lists of arrays, entry by entry, in the order given."""
    total = next(parts)
    for part in parts:
        for so_far, more in zip(total, part, strict=True):
            so_far += more
    return total
