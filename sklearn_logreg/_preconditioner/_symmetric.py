"""Symmetric matrices: parts, diagonals, and Cholesky factors of those that are positive definite but for rounding.

``np.ix_`` and ``np.diag_indices`` take 5 and 8 microseconds on the smallest matrix, what is here takes one.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dtrsv
from scipy.linalg.lapack import dpotrf

# Shifts tried, each a hundred times the one before; then the matrix is none to work with.
MAX_SHIFTS = 20


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
