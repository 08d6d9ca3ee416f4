"""Cholesky factors of matrices that are positive definite but for rounding."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf


def cholesky(H, shift):
    """Lower factor of H, or of H with shift, 100 shift, ... on its diagonal: the first that has one.

    ``shift`` is one number or one a row.  LAPACK itself: SciPy's checks take longer than a small factorisation.
    """
    factor, failed = dpotrf(H, lower=1)
    while failed:
        factor, failed = dpotrf(H + np.diag(np.broadcast_to(shift, len(H))), lower=1)
        shift = 100.0 * shift
    return factor
