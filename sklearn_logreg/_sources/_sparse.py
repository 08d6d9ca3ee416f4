"""CSR matrices as a source of row blocks."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ._base import BLOCK_BYTES, Source

# Features up to which a sparse block is centred before its Gram matrix is formed: for so few it takes no longer.
NARROW = 32


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

    longer = 4

    def __init__(self, X, n_threads=None, n_outputs=1):
        n, p = X.shape
        per_row = X.nnz / max(n, 1) + 1.0
        super().__init__(X, max(12 * per_row, 8 * n_outputs), 3.0 * X.nnz + 10.0 * n, n_threads)
        # Density above which rows are made dense for BLAS: where 2.5 ns times the square of the entries of a row
        # exceeds 0.03 ns times the square of the features (a9a, w8a, adult, phishing, ijcnn1).
        self.prefers_dense = per_row > 0.1 * p
        self.gram_nanoseconds = n * (10.0 + (0.03 * p**2 + 3.0 * p if self.prefers_dense else 2.5 * per_row**2))
        # Blocks of small data are kept; those of large data, with an offset a row, would take too much memory.
        is_small = X.indptr.nbytes <= BLOCK_BYTES
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
