"""Arrays as a source of row blocks."""

from __future__ import annotations

from itertools import chain
from time import perf_counter

import numpy as np

from ._base import BLOCK_BYTES, Source, in_precision, rows_at, transpose, weights_of
from ._memory import Workspace
from ._threads import one_blas_thread

# What is read and written several times stays in a second-level cache: moments of large data took 0.6 to 0.8 of their
# time.
PIECE_BYTES = 2**20
# The centred rows from which a matrix is formed at a time: of a block, all in single precision and half of them in
# double, as a fit should take less than a twentieth of large data.  With 1 MiB they took 1.03 times as long.
CENTRED_BYTES = 5 * 2**19
# But so many rows a feature, so that a product costs more than it takes to add it up.
LEAST_ROWS = 8
# Multiplications up to which OpenBLAS forms Z Z' faster as a product of two matrices than of one with itself: half the
# time with 1000 rows of 30 features, twice the time with 10 000.
SMALL_PRODUCT = 1_000_000
# Pieces for each way by which it is found how rows are read best: 0.7 ms in all.  The ways differ by half the time.
TRIALS = 3


class DenseSource(Source):
    """A two-dimensional array, C- or F-ordered, of any real dtype: read block by block, copied whole only if small."""

    def __init__(self, X, n_threads=None, n_outputs=1):
        n, p = X.shape
        super().__init__(X, 8 * p, n_threads, n_outputs)
        # Of a small copy that is in cache, or from memory, which is read once for all outputs: a pass over
        # 1 000 000 x 100 takes 76 ms on one thread.
        of_entry = max(0.3 * n_outputs, 0.0 if self.is_small else 0.75)
        self.nanoseconds = n * (of_entry * p + 10.0 * n_outputs)
        self.gram_nanoseconds = self.dense_gram_nanoseconds = n * (0.015 * p**2 + p + 10.0)
        self._blocks = self._copy() if self.is_small else {}
        self._reads_memory = not self.is_small and self._memory_is_faster()

    def _copy(self):
        """The blocks with the rows along the fast axis.

        Both products of a pass take half the time with ten features (the same with a hundred), centring a block a
        quarter.  It would not pay block by block.
        """
        copies = {}
        for rows in chain.from_iterable(self.groups):
            X = self.X[rows]
            if not (X.flags.f_contiguous and X.dtype == self.dtype):
                rows_last = np.empty(X.shape[::-1], self.dtype)
                transpose(X, rows_last)
                X = rows_last.T
            copies[rows.start] = X
        return copies

    def block(self, rows, work):
        """X[rows]; unless products read memory well, brought into cache by a copy."""
        if self._blocks:
            return self._blocks[rows.start]
        if self._reads_memory and self.dtype == self.X.dtype:
            return self.X[rows]
        return self._copied(rows, work)

    def _copied(self, rows, work):
        """A copy of X[rows] in the precision of the products."""
        X_b = self.X[rows]
        buffer = _array_like(X_b, "block", self.dtype, work)
        np.copyto(buffer, X_b)
        return buffer

    def _memory_is_faster(self):
        """Do the products of a pass take less time from memory than a copy and the products from cache?

        That hangs on the processor.  On one gemv reads memory at a third of the speed of a copy (10 against 30 GB/s),
        and a pass with the copy takes two thirds of the time; on another it reads faster than that (15 against 10), and
        the pass takes four thirds.  In Fortran order, where the rows lie far apart, the copy halves the time on both.
        """
        n_rows = self._piece_rows(self.dtype)
        # Of other arrays each product would make a copy by itself; and of very long rows there are no six pieces.
        is_plain = self.dtype == self.X.dtype and self.X.flags.c_contiguous and self.X.flags.aligned
        if not is_plain or 2 * TRIALS * n_rows > self.n_rows:
            return False
        W, work = np.zeros((1, self.n_features), self.dtype), Workspace()

        def seconds(read, start):
            begin = perf_counter()
            X_b = read(slice(start, start + n_rows))
            self.accumulate(self.predict(W, X_b, work), X_b)
            return perf_counter() - begin

        # Each piece is read once, as in a pass.
        starts = np.linspace(0, self.n_rows - n_rows, 2 * TRIALS).astype(np.intp).reshape(TRIALS, 2)
        with one_blas_thread:
            trials = [
                (seconds(lambda rows: self._copied(rows, work), i), seconds(self.X.__getitem__, j)) for i, j in starts
            ]
        # The first of each is slow, others may be disturbed.
        of_copies, of_memory = np.min(trials, axis=0)
        return bool(of_memory < of_copies)

    def _piece_rows(self, dtype):
        """Rows of a piece; in Fortran order 64 at least, as memory comes in lines of some numbers."""
        least = 1 if self.X.flags.c_contiguous else 64
        return min(max(PIECE_BYTES // (np.dtype(dtype).itemsize * self.n_features), least), self.n_rows)

    def part(self, X_b, rows):
        return X_b[rows]

    def gram(self, X_b, h, mean, intercept, work, dtype=np.float64, features=slice(None)):
        """sum_i h_i z_i z_i' with z = (x - mean, 1), symmetric but for rounding; ``dtype`` is that of the products."""
        total, p = None, len(mean[features]) + intercept
        n_rows = max(CENTRED_BYTES // (np.dtype(dtype).itemsize * max(p, 1)), LEAST_ROWS * p)
        for rows, part in self.parts(X_b, n_rows):
            Z = self.centred(part, mean, intercept, work, dtype, features)
            if p * Z.size <= SMALL_PRODUCT:
                product = np.dot(Z * in_precision(h[rows], dtype), Z.T)
            else:
                Z *= in_precision(np.sqrt(h[rows]), dtype, is_squared=True)
                product = np.dot(Z, Z.T)
            total = product.astype(np.float64, copy=False) if total is None else np.add(total, product, out=total)
        return total

    def cast(self, X_b, dtype):
        return X_b.astype(dtype)

    def predict(self, W, X_b, work):
        # In single precision OpenBLAS takes up to 1.8 times as long where a small factor comes before a transposed one.
        if len(W) > 1 and self.dtype == np.float32 and not X_b.flags.f_contiguous:
            return np.dot(X_b, W.T).T
        return np.dot(W, X_b.T, out=work.array("predictions", (len(W), len(X_b)), self.dtype))

    def accumulate(self, R, X_b):
        R = in_precision(R, self.dtype)
        if len(R) > 1 and self.dtype == np.float32 and X_b.flags.f_contiguous:
            return np.dot(X_b.T, R.T).T
        return np.dot(R, X_b)

    def second_moments(self, H, X_b):
        """H X and H X^2, the squares entry by entry."""
        H = in_precision(H, self.dtype)
        return np.dot(H, X_b), np.dot(H, np.square(X_b))

    def dense(self, X_b, work):
        return X_b

    def absolute(self, X_b):
        return np.abs(X_b)

    def take(self, rows):
        taken = np.take(self.X.T, rows, axis=1).T if self.X.flags.f_contiguous else self.X[rows]
        return DenseSource(taken.astype(self.dtype, copy=False), self.n_threads, self.n_outputs)

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
            heavy = rows_at((np.arange(256) + 0.5) / 256, weight)
        centre = self.X[heavy].mean(axis=0, dtype=np.float64)

        name, n_rows = ("centred", self.n_rows) if self._blocks else ("block", self._piece_rows(np.float64))

        def sums(rows, work):
            X_b, w = self._blocks[rows.start] if self._blocks else self.X[rows], weights_of(rows, weight)
            first, second = np.zeros(self.n_features), np.zeros(self.n_features)
            for piece, part in self.parts(X_b, n_rows):
                Z = np.subtract(part, centre, out=_array_like(part, name, np.float64, work))
                first += np.dot(w[piece], Z)
                np.square(Z, out=Z)
                second += np.dot(w[piece], Z)
            return w.sum(), first, second

        # On one thread 1.0 to 1.5 ns an entry.  Two, which have to be started first, gain from two million entries on:
        # with 270 000 (electricity) they took 1.0 ms instead of 0.3.
        total, first, second = self.sum_over_rows(sums, 0.5 * self.n_entries)
        shift = first / total
        return centre + shift, np.sqrt(np.maximum(second / total - shift**2, 0.0))


def _array_like(X_b, name, dtype, work):
    """An array of the workspace with the shape and the order of X_b."""
    if X_b.strides[0] < X_b.strides[1]:
        # A row more than asked for, as the centred block of a Gram matrix has: one allocation serves both.
        n, p = X_b.shape
        return work.array(name, (p + 1, n), dtype)[:p].T
    return work.array(name, X_b.shape, dtype)
