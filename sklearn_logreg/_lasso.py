"""The model of a proximal Newton step: a small dense quadratic plus l1 |W|_1, minimised without touching the data."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrs
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from ._cholesky import cholesky

# Newton steps of one polish: entries that are still leaving after so many are coordinate descent's work.
MAX_POLISH = 10


def lasso(H, g, scale, l1, w, accuracy):
    """argmin_v g.u + u'Hu/2 + l1 |v|_1 with u = scale (v - w), up to a violation of ``accuracy``.

    scikit-learn's coordinate descent solves it, as a lasso whose data are the Cholesky factor of H.
    """
    size = len(H)
    H = H + np.diag(1e-12 * np.diagonal(H) + np.finfo(float).tiny)
    L = cholesky(H, 1e-10 * np.diagonal(H))
    target = H @ (scale * w) - g
    y = solve_triangular(L, target, lower=True, check_finite=False)
    X = np.asfortranarray(np.tril(L).T * scale)
    gram, Xy = H * np.outer(scale, scale), target * scale
    total = max(float(y @ y), np.finfo(float).tiny)
    v = w.copy()  # enet_path works in place
    gap = accuracy**2
    for _ in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, path, _ = enet_path(
                X, y, l1_ratio=1.0, alphas=[l1 / size], precompute=gram, Xy=Xy, coef_init=v, check_input=False,
                copy_X=False, tol=gap / total, max_iter=100,
            )  # fmt: skip
        v = path[:, 0]
        if _violation(gram, Xy, scale, l1, v) <= accuracy:
            break
        # One coordinate at a time crawls along directions that are nearly flat, as the one in which all classes of
        # softmax move together; all that are not zero at once do not.
        v = _polish(H, target, scale, l1, v)
        if _violation(gram, Xy, scale, l1, v) <= accuracy:
            break
        gap *= 1e-2
    return v


def _violation(gram, Xy, scale, l1, v):
    """Largest distance of the model's gradient at v to the subdifferential, in standardised coordinates."""
    slope = gram @ v - Xy
    distance = np.where(v == 0.0, np.maximum(np.abs(slope) - l1, 0.0), np.abs(slope + l1 * np.sign(v)))
    return np.max(distance / scale)


def _polish(H, target, scale, l1, v):
    """The minimum of the model over the orthant of v: Newton steps that stop where an entry becomes zero, for good."""
    v = v.copy()
    for _ in range(MAX_POLISH):
        A = np.flatnonzero(v)
        if not len(A):
            break
        u, sign = scale[A] * v[A], np.sign(v[A])
        factor = cholesky(H[np.ix_(A, A)], 1e-10 * np.diagonal(H)[A])
        step = dpotrs(factor, target[A] - l1 * sign / scale[A], lower=1)[0] - u
        crosses = sign * (u + step) < 0.0
        if not crosses.any():
            v[A] = (u + step) / scale[A]
            break
        ratio = np.full(len(A), np.inf)
        ratio[crosses] = -u[crosses] / step[crosses]
        first = np.argmin(ratio)
        v[A] = (u + ratio[first] * step) / scale[A]
        v[A[first]] = 0.0
    return v
