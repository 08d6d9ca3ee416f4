"""CSR matrices as a source of row blocks."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from ._base import BLOCK_BYTES, Source, in_precision, weights_of

# Made dense, rows are handled this much at a time.  a9a's Hessian takes 18 ms in pieces of 1 MiB, 20 to 23 ms in pieces
# of half or twice as much.
DENSE_BYTES = 2**20
# Features up to which rows are made dense however few entries they have.
NARROW = 32


class SparseBlock:
    """Consecutive rows of a CSR matrix, and as columns of its transpose, sharing the entries."""

    def __init__(self, data, indices, indptr, n_features):
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = len(indptr) - 1, n_features

    @cached_property
    def rows(self):
        """The block."""
        return self._with_entries(sparse.csr_matrix(self.shape, dtype=self.data.dtype))

    @cached_property
    def columns(self):
        """Its transpose."""
        return self._with_entries(sparse.csc_matrix(self.shape[::-1], dtype=self.data.dtype))

    def _with_entries(self, matrix):
        """The entries put in by hand: SciPy's constructor would copy 64-bit indices that 32 bits can hold."""
        matrix.data, matrix.indices, matrix.indptr = self.data, self.indices, self.indptr
        return matrix

    def part(self, rows):
        """Some consecutive rows, without a copy of their entries."""
        start, stop = self.indptr[rows.start], self.indptr[rows.stop]
        indptr = self.indptr[rows.start : rows.stop + 1] - start
        return SparseBlock(self.data[start:stop], self.indices[start:stop], indptr, self.shape[1])

    def of_features(self, features):
        """Some of its columns."""
        part = self.rows[:, features]
        return SparseBlock(part.data, part.indices, part.indptr, part.shape[1])

    def with_data(self, data):
        """The same pattern with other entries."""
        return SparseBlock(data, self.indices, self.indptr, self.shape[1])


class SparseSource(Source):
    """A CSR matrix or array; blocks are views of its rows."""

    longer = 4

    def __init__(self, X, n_threads=None, n_outputs=1):
        n, p = X.shape
        per_row = X.nnz / max(n, 1) + 1.0
        super().__init__(X, 12 * per_row, n_threads, n_outputs)
        self.nanoseconds = n_outputs * (3.0 * X.nnz + 10.0 * n)
        # Density above which rows are made dense for BLAS; in single precision w8a's Hessian takes as long either way.
        # With a few features digits matter more: those far from zero are centred first.
        self.prefers_dense = per_row > 0.1 * p or p <= NARROW
        # The Hessian of softmax, but for its blocks of a class, is made of dense rows whatever their density.
        self.dense_gram_nanoseconds = n * (10.0 + 0.015 * p**2 + p)
        self.gram_nanoseconds = self.dense_gram_nanoseconds if self.prefers_dense else n * (10.0 + 5.0 * per_row**2)
        # Blocks of small data are kept; those of large data, with an offset a row, would take too much memory.
        has_room = X.indptr.nbytes <= BLOCK_BYTES
        self._whole = SparseBlock(X.data, X.indices, X.indptr, p)
        self._blocks = {rows.start: self._whole.part(rows) for group in self.groups for rows in group if has_room}

    def block(self, rows, work):
        X_b = self._blocks.get(rows.start) or self._whole.part(rows)
        return X_b if X_b.data.dtype == self.dtype else self.cast(X_b, self.dtype)

    def part(self, X_b, rows):
        return X_b.part(rows)

    def cast(self, X_b, dtype):
        return X_b.with_data(X_b.data.astype(dtype))

    def predict(self, W, X_b, work):
        return (X_b.rows @ np.ascontiguousarray(W.T)).T

    def accumulate(self, R, X_b):
        return (X_b.columns @ np.ascontiguousarray(in_precision(R, self.dtype).T)).T

    def second_moments(self, H, X_b):
        """H X and H X^2, the squares entry by entry."""
        H = in_precision(H, self.dtype)
        return self.accumulate(H, X_b), self.accumulate(H, X_b.with_data(np.square(X_b.data)))

    def dense(self, X_b, work):
        return X_b.rows.toarray(out=work.array("dense", X_b.shape, X_b.data.dtype))

    def absolute(self, X_b):
        return X_b.with_data(np.abs(X_b.data))

    def gram(self, X_b, h, mean, intercept, work, dtype=np.float64, features=slice(None)):
        mean = mean[features]
        p = len(mean)
        if p < self.n_features:
            X_b = X_b.of_features(features)
        G = np.zeros((p + intercept, p + intercept))
        if self.prefers_dense or p <= NARROW:
            X_b, mean = X_b.with_data(X_b.data.astype(dtype, copy=False)), mean.astype(dtype)
            # Made dense, the whole would be many times as large.
            n_rows = max(DENSE_BYTES // (X_b.data.itemsize * max(p, 1)), 64)
            for rows, part in self.parts(X_b, n_rows):
                root = in_precision(np.sqrt(h[rows]), dtype, is_squared=True)
                Z = self.dense(part, work)
                Z -= mean
                Z *= root[:, None]
                G[:p, :p] += np.dot(Z.T, Z)
                if intercept:
                    G[p, :p] += np.dot(root, Z)
            if intercept:
                G[:p, p] = G[p, :p]
                G[p, p] = h.sum()
            return G
        weighted = X_b.with_data(X_b.data * np.repeat(h, np.diff(X_b.indptr)))
        products = (X_b.columns @ weighted.rows).toarray()
        G[:p, :p] = products
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
        return SparseSource(self.X[rows].astype(self.dtype, copy=False), self.n_threads, self.n_outputs)

    def columns(self, columns):
        return self._by_column[:, columns].tocsc().astype(np.float64, copy=False)

    @cached_property
    def _by_column(self):
        """X, as CSC if small: some columns of that take a tenth of the time."""
        return self.X.tocsc() if self.is_small else self.X

    def reach(self, mean):
        """Largest distance from the mean, by feature."""
        top, bottom = self.X.max(axis=0).toarray().ravel(), self.X.min(axis=0).toarray().ravel()
        return np.maximum(top - mean, mean - bottom)

    def row_gram(self, mean=0.0):
        """(X - mean)(X - mean)'."""
        X = self.X.astype(np.float64, copy=False)
        K = (X @ X.T).toarray()
        cross = X @ np.broadcast_to(mean, self.n_features)
        return K - cross - cross[:, None] + np.sum(np.square(mean))

    def moments(self, weight):
        """Weighted column means and standard deviations, zeros being entries like others."""

        def sums(X_b, rows, work):
            w, x = weights_of(rows, weight), X_b.data.astype(np.float64)
            first = X_b.with_data(x).columns @ w
            np.square(x, out=x)
            return w.sum(), first, X_b.with_data(x).columns @ w

        total, first, second = self.sum_over_blocks(sums)
        mean = first / total
        variance = second / total - mean**2
        # Where the mean square is nearly that of the mean, its digits cancel.
        if np.any(variance < 1e-3 * mean**2):
            mean, variance = self._central_moments(weight, mean, total)
        return mean, np.sqrt(variance)

    def _central_moments(self, weight, mean, total):
        """Weighted column means and variances, from sums of the entries' distances to their mean."""

        def sums(X_b, rows, work):
            w = weights_of(rows, weight)
            centred = X_b.data - mean[X_b.indices]
            parts = np.ones(len(centred)), centred, np.square(centred)
            return [X_b.with_data(part).columns @ w for part in parts]

        present, shift, squares = self.sum_over_blocks(sums)
        # Rows without an entry lie at zero, at a distance of the mean; and the mean was rounded.
        absent = np.maximum(total - present, 0.0)
        absent[absent <= 1e-12 * total] = 0.0
        shift = (shift - absent * mean) / total
        squares = (squares + absent * mean**2) / total
        return mean + shift, np.maximum(squares - shift**2, 0.0)
