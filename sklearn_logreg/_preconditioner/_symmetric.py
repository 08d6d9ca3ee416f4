"""Symmetric matrices: parts, diagonals, Cholesky factors of what is positive definite but for rounding, and inverses.

``np.ix_`` and ``np.diag_indices`` take 5 and 8 microseconds on the smallest matrix, what is here takes one.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.blas import dtrsv
from scipy.linalg.lapack import dpocon, dpotrf, dpotrs, dpstrf

# Shifts tried, each a hundred times the one before; then the matrix is none to work with.
MAX_SHIFTS = 20
# Share of the entries of a factor that may be gone before those that are left get one of their own: a column of the
# inverse takes as long as six of a factor.
GONE = 0.1
# Entries below which a new factor takes no longer than what surrounds the other.
FEW = 400


def principal_submatrix(H, A):
    """The rows and columns A of H."""
    return H.take(A, axis=0).take(A, axis=1)


def diagonal(H):
    """The diagonal of H, or of each of a stack of matrices, as a view to be written to."""
    return np.einsum("...ii->...i", H)


def cholesky(H, shift):
    """Lower factor of H, or of H with shift, 100 shift, ... on its diagonal: the first that has one.

    ``shift`` is one number or one a row.  LAPACK itself: SciPy's checks take longer than a small factorisation.
    """
    factor, failed = dpotrf(H, lower=1)
    for _ in range(MAX_SHIFTS):
        if not failed:
            return factor
        factor, failed = dpotrf(H + np.diag(np.broadcast_to(shift, len(H))), lower=1)
        shift = 100.0 * shift
    # Not finite, most likely: steps along the gradient itself are left.
    return np.eye(len(H))


def solve(factor, right):
    """The inverse of a matrix, of which this is the lower factor, times a vector.

    Takes a third of the time of LAPACK's dpotrs, which is made for many right-hand sides.
    """
    return dtrsv(factor, dtrsv(factor, right, lower=1), lower=1, trans=1)


def unit_diagonal(H):
    """H in units in which all diagonal entries are 1, unless they are not positive, and those units."""
    unit = np.sqrt(np.maximum(np.diagonal(H), 0.0))
    unit[~(unit > 0.0)] = 1.0
    return H / unit / unit[:, None], unit


def curves_less_than(H, least):
    """Is there a direction of less curvature, in units in which all diagonal entries are 1, or is H not finite?"""
    with np.errstate(invalid="ignore"):
        H, _ = unit_diagonal(H)
    if not np.all(np.isfinite(H)):
        return True
    factor, failed = dpotrf(H, lower=1)
    norm = np.abs(H).sum(axis=0).max()
    return failed or dpocon(factor, norm, uplo="L")[0] * norm < least


def null_space(H, least):
    """Columns that span the directions of less curvature, in those units: by a Cholesky factor with pivots."""
    H, unit = unit_diagonal(H)
    factor, pivots, rank, _ = dpstrf(H, tol=least, lower=1)
    columns = np.zeros((len(H), len(H) - rank))
    # Those that are left are combinations of the others.
    columns[pivots[:rank] - 1] = solve_triangular(factor[:rank, :rank], factor[rank:, :rank].T, lower=True, trans="T")
    columns[pivots[rank:] - 1] = -np.eye(len(H) - rank)
    return columns / unit[:, None]


def inverse_root(H, least):
    """R with RR' the inverse of H, but zero along its eigenvectors of less than ``least`` of the largest eigenvalue.

    Eigenvectors are those in units in which all diagonal entries are 1.
    """
    H, unit = unit_diagonal(H)
    values, vectors = np.linalg.eigh(H)
    is_curved = values > least * values[-1]
    return vectors[:, is_curved] / np.sqrt(values[is_curved]) / unit[:, None]


class Shrinking:
    """The inverse of a positive definite matrix on entries that become ever fewer, by few Cholesky factors.

    With K the inverse on the entries of the last factor and R those that are gone since, K b - K_R (K_RR)^-1 (K b)_R is
    zero on R and solves for the others; once more for the residual, as it loses digits where columns are collinear.
    ``ridge`` times its diagonal is added to the matrix.
    """

    def __init__(self, H, ridge):
        self.H, self.ridge = H, ridge
        self.entries = self.gone = np.empty(0, np.intp)
        self.factor = np.empty((0, 0))

    def solve(self, left, right):
        """The inverse on the entries that are left, a boolean array, times a vector; zero where they are not."""
        gone = np.flatnonzero(~left[self.entries])
        if len(self.entries) < FEW or len(gone) >= GONE * len(self.entries):
            self._factorise(np.flatnonzero(left))
            gone = self.gone
        out = np.zeros(len(left))
        if not len(gone):
            out[self.entries] = solve(self.factor, right[self.entries])
            return out
        new = np.setdiff1d(gone, self.gone, assume_unique=True)
        if len(new):
            self._invert(new)
        out[self.entries] = self._solve_without_gone(right)
        residual = right - self.H @ out - self.ridge * np.diagonal(self.H) * out
        out[self.entries] += self._solve_without_gone(residual)
        return out

    def _solve_without_gone(self, right):
        """By the formula above, on the entries of the factor."""
        solution = solve(self.factor, right[self.entries])
        solution -= self.columns @ solve(self.corner, solution[self.gone])
        solution[self.gone] = 0.0
        return solution

    def without_gone(self):
        """The entries that were left at the last solution, and a factor of theirs alone."""
        if len(self.gone):
            self._factorise(np.delete(self.entries, self.gone))
        return self.entries, self.factor

    def _factorise(self, entries):
        """A factor of these entries."""
        H = principal_submatrix(self.H, entries)
        curvatures = diagonal(H)
        curvatures *= 1.0 + self.ridge
        self.entries, self.factor = entries, cholesky(H, 100.0 * self.ridge * curvatures)
        self.gone, self.columns = np.empty(0, np.intp), np.empty((len(entries), 0))

    def _invert(self, new):
        """Columns of the inverse for entries that are gone."""
        unit = np.zeros((len(self.entries), len(new)), order="F")
        unit[new, np.arange(len(new))] = 1.0
        self.gone = np.append(self.gone, new)
        self.columns = np.hstack([self.columns, dpotrs(self.factor, unit, lower=1)[0]])
        corner = self.columns[self.gone]
        self.corner = cholesky(corner, self.ridge * np.diagonal(corner))
