"""Where the rows are: dense and sparse data seen as a sequence of row blocks.

Nothing else touches X.  A pass is a map over row blocks, then a sum (:meth:`Source.sum_over_blocks`); dense and
sparse data differ in what a block is and in the products with it; one thread and many differ in who maps.  The
blocks and the order in which they are summed depend on the data alone, so that the number of threads changes
no digit of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache, cached_property
from math import prod
from queue import SimpleQueue
from threading import RLock
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import eigvalsh
from threadpoolctl import ThreadpoolController  # comes with scikit-learn, which needs it itself

# A block is read twice by a pass, for the raw predictions and for the gradient; the second time it comes from cache.
# Of 512 KiB to 8 MiB, 2 and 4 MiB were best for one thread on 1 000 000 x 100, and 4 MiB for two, which take the
# interpreter's lock in turn some fifteen times a block.  Rows are capped so that the vectors of the loss stay in cache
# when there are few features.
BLOCK_BYTES = 2**22
MAX_BLOCK_ROWS = 2**15
# Features up to which a sparse block is centred before its Gram matrix is formed: for so few it takes no longer.
NARROW = 32
# Sums are made group by group; the groups are what threads share.
MAX_GROUPS = 32
# Threads start above this estimate of the time of a pass on one: handing the work over, and taking the interpreter's
# lock in turn, cost about 0.5 ms a pass.
MIN_NANOSECONDS = 3_000_000
# Unknowns up to which BLAS is held to one thread during a fit: a Cholesky factor of 1000 takes 20 ms on one.
MAX_SERIAL_UNKNOWNS = 1000


@cache
def _threadpools():
    """The BLAS and OpenMP libraries of this process; looking them up takes milliseconds, so once."""
    return ThreadpoolController()


def allowed_threads():
    """As many threads as BLAS may use now: joblib's workers and threadpoolctl's limits lower it."""
    return min((pool["num_threads"] for pool in _threadpools().info()), default=1)


_limit_lock = RLock()
_limits: list[Any] = []  # one entry a user; the first holds the limit


@contextmanager
def _one_blas_thread():
    """BLAS on one thread; the first fit to come sets the limit and the last to leave lifts it, in whatever order."""
    with _limit_lock:
        _limits.append(_limits[0] if _limits else _threadpools().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _limit_lock:
            limit = _limits.pop()
            if not _limits:
                limit.restore_original_limits()


class Workspace:
    """Arrays that live from block to block, one set a thread, so that a pass allocates next to nothing."""

    def __init__(self):
        self.buffers = {}

    def array(self, name, shape, dtype=np.float64):
        """An uninitialised C-ordered array: the same memory at each call with this name."""
        size = prod(shape)
        buffer = self.buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self.buffers[name] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)


class Source:
    """Rows of X as blocks of float32 or float64.

    A subclass gives the blocks and the products with one; the moments of the columns, and their reach from the mean;
    the inner products of the rows; the source that ``take`` makes of some of the rows; and some of the ``columns``.
    """

    gram_nanoseconds: float  # of a weighted Gram matrix on one thread, roughly
    block: Callable[..., Any]  # block(rows, work): the rows as floats
    predict: Callable[..., Any]  # predict(W, X_b, work): W X_b'
    accumulate: Callable[..., Any]  # accumulate(R, X_b): R X_b
    dense: Callable[..., Any]  # dense(X_b): the block as an array
    absolute: Callable[..., Any]  # absolute(X_b): the block of absolute values
    row_gram: Callable[..., Any]  # row_gram(mean): (X - mean)(X - mean)'

    def __init__(self, X, block_rows, nanoseconds, n_threads):
        self.X = X
        self.n_rows, self.n_features = X.shape
        self.n_entries = X.nnz if sparse.issparse(X) else X.size
        self.dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        starts = range(0, self.n_rows, block_rows)
        blocks = [slice(start, min(start + block_rows, self.n_rows)) for start in starts]
        per_group = -(-len(blocks) // MAX_GROUPS)
        self.groups = [blocks[i : i + per_group] for i in range(0, len(blocks), per_group)]
        self.nanoseconds = nanoseconds  # of a pass on one thread, roughly
        self.n_threads = n_threads

    @cached_property
    def _workspaces(self):
        """One workspace for each thread that may run."""
        return [Workspace() for _ in range(min(self.n_threads or allowed_threads(), len(self.groups)))]

    @cached_property
    def _pool(self):
        return ThreadPoolExecutor(len(self._workspaces))

    def without_blas_threads(self, n_outputs):
        """A context in which BLAS runs on one thread, unless there are so many unknowns that it needs more.

        Small products gain nothing from more, and lose a hundredfold where another process wants the same cores.
        """
        if n_outputs * min(self.n_features, self.n_rows) > MAX_SERIAL_UNKNOWNS:
            return nullcontext()
        len(self._workspaces)  # sees how many threads are allowed before the limit is set
        return _one_blas_thread()

    def sum_over_blocks(self, function, nanoseconds=None):
        """Sums of the entries of function(X_b, rows, work) over all row blocks.

        ``nanoseconds`` is the time that it takes on one thread, roughly; ``None``: that of a pass.
        """

        def sum_group(group, work):
            first, *others = group
            total = [np.array(part) for part in function(self.block(first, work), first, work)]
            for rows in others:
                for so_far, part in zip(total, function(self.block(rows, work), rows, work), strict=True):
                    so_far += part
            return total

        is_short = (nanoseconds or self.nanoseconds) < MIN_NANOSECONDS
        if is_short or len(self._workspaces) == 1:
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
        with _one_blas_thread():
            return _sum_in_order(self._pool.map(on_a_thread, self.groups))

    def centred(self, X_b, mean, intercept, work):
        """(X_b - mean)' with a last row of ones for the intercept: features by rows.

        Rows run along the fast axis, so that weighting them is one long multiplication however few features there are.
        """
        Z = work.array("centred", (self.n_features + intercept, X_b.shape[0]))
        Z[: self.n_features] = self.dense(X_b).T
        Z[: self.n_features] -= mean[:, None]
        Z[self.n_features :] = 1.0
        return Z

    def gram(self, X_b, h, mean, intercept, work):
        """sum_i h_i z_i z_i' with z = (x - mean, 1)."""
        Z = self.centred(X_b, mean, intercept, work)
        Z *= np.sqrt(h)
        return np.dot(Z, Z.T)

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
        R = R.astype(self.dtype, copy=False)
        return self.sum_over_blocks(lambda X_b, rows, work: (self.accumulate(R[:, rows], X_b),))[0].astype(np.float64)

    @staticmethod
    def of_array(X):
        """A source of another array, in memory."""
        return DenseSource(np.ascontiguousarray(X))

    def largest_eigenvalue(self, s, intercept, max_gram):
        """lambda_max([X 1]' diag(s) [X 1]), or an upper bound where it is too large to compute."""
        if self.n_features <= max_gram:
            zero = np.zeros(self.n_features)
            (G,) = self.sum_over_blocks(lambda X_b, rows, work: (self.gram(X_b, s[rows], zero, intercept, work),))
        elif self.n_rows <= max_gram:
            root = np.sqrt(s)
            G = (self.row_gram() + intercept) * np.outer(root, root)
        else:
            return self._collatz_bound(s, intercept)
        n = len(G)
        # Raised above the rounding error of LAPACK.
        return float(eigvalsh(G, subset_by_index=[n - 1, n - 1])[0]) * (1.0 + 1e-10)

    def _collatz_bound(self, s, intercept, n_iter=8):
        """max_j (A v)_j / v_j with A = |[X 1]|' diag(s) |[X 1]|: a bound for any v > 0, sharper at each iteration."""
        v, bound = np.ones(self.n_features + intercept), np.inf

        def product(X_b, rows, work):
            X_b = self.absolute(X_b)
            raw = self.predict(v[None, : self.n_features].astype(self.dtype), X_b, work)[0].astype(np.float64)
            raw += v[self.n_features :].sum()
            raw *= s[rows]
            out = np.full(v.shape, raw.sum())
            out[: self.n_features] = self.accumulate(raw[None].astype(self.dtype), X_b)
            return (out,)

        for _ in range(n_iter):
            (Av,) = self.sum_over_blocks(product)
            bound = min(bound, float((Av / v).max()))
            v = np.maximum(Av / Av.max(), 1e-3)
        return bound * (1.0 + 1e3 * float(np.finfo(self.dtype).eps))


def _sum_in_order(parts):
    """Sum of lists of arrays, entry by entry, in the order given."""
    total = next(parts)
    for part in parts:
        for so_far, more in zip(total, part, strict=True):
            so_far += more
    return total


class DenseSource(Source):
    """A two-dimensional array, C- or F-ordered, of any real dtype: read block by block, never copied whole."""

    def __init__(self, X, n_threads=None, n_outputs=1):
        n, p = X.shape
        block_rows = int(np.clip(BLOCK_BYTES // (8 * max(p, n_outputs)), 64, MAX_BLOCK_ROWS))
        super().__init__(X, block_rows, n * (0.3 * p + 10.0), n_threads)
        self.gram_nanoseconds = n * (0.03 * p**2 + 3.0 * p + 10.0)
        # What fits in cache as a whole is there already.
        self.needs_no_copy = X.flags.c_contiguous and X.dtype == self.dtype and X.nbytes <= BLOCK_BYTES

    def block(self, rows, work):
        """X[rows], brought into cache by a copy.

        gemv reads from memory at a third of the speed of a copy (10 against 30 GB/s): a pass takes two thirds of the
        time that way, half with Fortran order.
        """
        X_b = self.X[rows]
        if self.needs_no_copy:
            return X_b
        if X_b.strides[0] < X_b.strides[1]:
            buffer = work.array("block", X_b.shape[::-1], self.dtype).T
        else:
            buffer = work.array("block", X_b.shape, self.dtype)
        np.copyto(buffer, X_b)
        return buffer

    def predict(self, W, X_b, work):
        return np.dot(W, X_b.T, out=work.array("predictions", (len(W), len(X_b)), self.dtype))

    def accumulate(self, R, X_b):
        return np.dot(R, X_b)

    def second_moments(self, H, X_b):
        """H X and H X^2, the squares entry by entry."""
        H = H.astype(self.dtype, copy=False)
        return np.dot(H, X_b), np.dot(H, np.square(X_b))

    def dense(self, X_b):
        return X_b

    def absolute(self, X_b):
        return np.abs(X_b)

    def take(self, rows):
        return DenseSource(self.X[rows].astype(self.dtype, copy=False), self.n_threads)

    def columns(self, columns):
        return self.X[:, columns].astype(np.float64, order="F", copy=False)

    def reach(self, mean):
        """Largest distance from the mean, by feature."""
        return np.maximum(self.X.max(axis=0) - mean, mean - self.X.min(axis=0))

    def row_gram(self, mean=0.0):
        """(X - mean)(X - mean)', by blocks of columns."""
        K = np.zeros((self.n_rows, self.n_rows))
        width = max(BLOCK_BYTES // (8 * self.n_rows), 64)
        mean = np.broadcast_to(mean, self.n_features)
        for start in range(0, self.n_features, width):
            columns = slice(start, start + width)
            Z = self.X[:, columns] - mean[columns]
            K += np.dot(Z, Z.T)
        return K

    def moments(self, weight):
        """Weighted column means and standard deviations, summed about a centre close to the mean."""
        heavy = slice(None, None, -(-self.n_rows // 256))
        if weight is not None:
            cumulative = np.cumsum(weight)
            heavy = np.searchsorted(cumulative, (np.arange(256) + 0.5) / 256 * cumulative[-1])
        centre = self.X[heavy].mean(axis=0, dtype=np.float64)

        def sums(X_b, rows, work):
            Z = np.subtract(X_b, centre, out=work.array("centred", X_b.shape))
            w = np.ones(len(Z)) if weight is None else weight[rows]
            first = np.dot(w, Z)
            np.square(Z, out=Z)
            return w.sum(), first, np.dot(w, Z)

        total, first, second = self.sum_over_blocks(sums)
        shift = first / total
        return centre + shift, np.sqrt(np.maximum(second / total - shift**2, 0.0))


class SparseBlock:
    """Consecutive rows of a CSR matrix, and as columns of its transpose, sharing the entries.

    The two matrices are put together by hand: SciPy's constructor would copy 64-bit indices that 32 bits can hold.
    """

    def __init__(self, data, indices, indptr, n_features):
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = len(indptr) - 1, n_features
        self.rows = sparse.csr_matrix(self.shape, dtype=data.dtype)
        self.columns = sparse.csc_matrix(self.shape[::-1], dtype=data.dtype)
        for matrix in self.rows, self.columns:
            matrix.data, matrix.indices, matrix.indptr = data, indices, indptr

    def part(self, first, last):
        """Rows first to last, the latter excluded."""
        start, stop = self.indptr[first], self.indptr[last]
        indptr = self.indptr[first : last + 1] - start
        return SparseBlock(self.data[start:stop], self.indices[start:stop], indptr, self.shape[1])

    def with_data(self, data):
        """The same pattern with other entries."""
        return SparseBlock(data, self.indices, self.indptr, self.shape[1])


class SparseSource(Source):
    """A CSR matrix or array; blocks are views of its rows."""

    def __init__(self, X, n_threads=None, n_outputs=1):
        n, p = X.shape
        per_row = X.nnz / max(n, 1) + 1.0
        block_rows = int(np.clip(BLOCK_BYTES // max(12 * per_row, 8 * n_outputs), 64, 4 * MAX_BLOCK_ROWS))
        super().__init__(X, block_rows, 3.0 * X.nnz + 10.0 * n, n_threads)
        # Density above which rows are made dense for BLAS: where 2.5 ns times the square of the entries of a row
        # exceeds 0.03 ns times the square of the features (a9a, w8a, adult, phishing, ijcnn1).
        self.prefers_dense = per_row > 0.1 * p
        self.gram_nanoseconds = n * (10.0 + (0.03 * p**2 + 3.0 * p if self.prefers_dense else 2.5 * per_row**2))
        # Blocks of small data are kept; those of large data, with an offset a row, would take too much memory.
        is_small = X.indptr.nbytes <= BLOCK_BYTES // 4
        self._blocks = {rows.start: self._view(rows) for group in self.groups for rows in group if is_small}

    def _view(self, rows):
        """X[rows] and its transpose, without a copy of their entries."""
        X = self.X
        start, stop = X.indptr[rows.start], X.indptr[rows.stop]
        indptr = X.indptr[rows.start : rows.stop + 1] - start
        return SparseBlock(X.data[start:stop], X.indices[start:stop], indptr, X.shape[1])

    def block(self, rows, work):
        X_b = self._blocks.get(rows.start) or self._view(rows)
        return X_b if X_b.data.dtype == self.dtype else X_b.with_data(X_b.data.astype(self.dtype))

    def predict(self, W, X_b, work):
        return (X_b.rows @ np.ascontiguousarray(W.T)).T

    def accumulate(self, R, X_b):
        return (X_b.columns @ np.ascontiguousarray(R.T)).T

    def second_moments(self, H, X_b):
        """H X and H X^2, the squares entry by entry."""
        H = H.astype(self.dtype, copy=False)
        return self.accumulate(H, X_b), self.accumulate(H, X_b.with_data(np.square(X_b.data)))

    def dense(self, X_b):
        return X_b.rows.toarray()

    def absolute(self, X_b):
        return X_b.with_data(np.abs(X_b.data))

    def gram(self, X_b, h, mean, intercept, work):
        n, p = X_b.shape
        n_dense = max(BLOCK_BYTES // (16 * p), 64)
        if n > n_dense and (p <= NARROW or self.prefers_dense):
            # Made dense, the block would be many times as large.
            starts = range(0, n, n_dense)
            parts = ((X_b.part(i, min(i + n_dense, n)), h[i : i + n_dense]) for i in starts)
            return sum(self.gram(*part, mean, intercept, work) for part in parts)
        if p <= NARROW:
            return super().gram(X_b, h, mean, intercept, work)
        G = np.zeros((p + intercept, p + intercept))
        if self.prefers_dense:
            Z = np.multiply(X_b.rows.toarray(), np.sqrt(h)[:, None], out=work.array("dense", X_b.shape))
            G[:p, :p] = np.dot(Z.T, Z)
        else:
            weighted = X_b.with_data(X_b.data * np.repeat(h, np.diff(X_b.indptr)))
            G[:p, :p] = (X_b.columns @ weighted.rows).toarray()
        # Centred afterwards, for speed.  Columns that are far from zero against their spread lose digits by it, which a
        # preconditioner can spare; they are rare where entries are.
        first, total = X_b.columns @ h, h.sum()
        centred = first - total * mean
        G[:p, :p] -= np.outer(first, mean) + np.outer(mean, centred)
        if intercept:
            G[:p, p] = G[p, :p] = centred
            G[p, p] = total
        return G

    def take(self, rows):
        return SparseSource(self.X[rows].astype(self.dtype, copy=False), self.n_threads)

    def columns(self, columns):
        return self.X[:, columns].tocsc().astype(np.float64, copy=False)

    def reach(self, mean):
        """Largest distance from the mean, by feature."""
        top, bottom = self.X.max(axis=0).toarray().ravel(), self.X.min(axis=0).toarray().ravel()
        return np.maximum(top - mean, mean - bottom)

    def row_gram(self, mean=0.0):
        """(X - mean)(X - mean)'."""
        X = self.X.astype(self.dtype, copy=False)
        K = (X @ X.T).toarray().astype(np.float64, copy=False)
        cross = X @ np.broadcast_to(mean, self.n_features)
        return K - cross - cross[:, None] + np.sum(np.square(mean))

    def moments(self, weight):
        """Weighted column means, then standard deviations about them, zeros being entries like others."""

        def weights_of(rows, X_b):
            return np.ones(X_b.shape[0]) if weight is None else weight[rows]

        def first(X_b, rows, work):
            w = weights_of(rows, X_b)
            present = X_b.with_data(np.ones(len(X_b.data)))
            return w.sum(), X_b.with_data(X_b.data.astype(np.float64)).columns @ w, present.columns @ w

        total, sums, present = self.sum_over_blocks(first)
        mean = sums / total

        def second(X_b, rows, work):
            w = weights_of(rows, X_b)
            centred = X_b.data - mean[X_b.indices]
            return X_b.with_data(centred).columns @ w, X_b.with_data(np.square(centred)).columns @ w

        shift, squares = self.sum_over_blocks(second)
        # Rows without an entry lie at zero, at a distance of the mean; and the mean was rounded.
        absent = np.maximum(total - present, 0.0)
        absent[absent <= 1e-12 * total] = 0.0
        shift = (shift - absent * mean) / total
        squares = (squares + absent * mean**2) / total
        return mean + shift, np.sqrt(np.maximum(squares - shift**2, 0.0))


def make_source(X, n_threads=None, n_outputs=1):
    """The source of validated data: an array, or a CSR matrix; blocks leave room for n_outputs numbers a row."""
    return (SparseSource if sparse.issparse(X) else DenseSource)(X, n_threads, n_outputs)
