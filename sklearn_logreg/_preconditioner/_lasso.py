"""The model of a proximal Newton step: a small dense quadratic plus l1 |W|_1, minimised without touching the data."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

from .._sources import SharedContext
from ._symmetric import Shrinking, diagonal, principal_submatrix

# Sweeps of coordinate descent between two polishes, and rounds of both.
SWEEPS = 20
MAX_ROUNDS = 20
# Entries from which a factor takes longer than so many sweeps, and the first rounds make no polish while they halve the
# violation: usps at C = 100 (2570 entries) took four fifths of the time, fewer entries the same, with a pass more on
# some.
LARGE = 400
FIRST_ROUNDS = 5
# Newton steps of one polish: entries that are still leaving after so many are coordinate descent's work.
MAX_POLISH = 30
# Ridge, against the diagonal, that keeps the model bounded from below.
MODEL_RIDGE = 1e-12
# Violation, against the largest entry of the target, that cannot be lowered.
ROUNDING = 1e-15


def lasso(H, g, scale, penalty, w, accuracy, together=None):
    """argmin_v g.u + u'Hu/2 + l1 |v|_1 with u = scale (v - w), up to a violation of ``accuracy``.

    The L2 part of the penalty is in H.  scikit-learn's coordinate descent solves it, from the matrix alone.  The model
    does not change when all weights in a column of ``together``, an array of indices, move by the same: those of the
    classes of a feature.
    """
    size, curvatures, l1 = len(H), np.diagonal(H), penalty.l1
    # Where every row is certain there is hardly any, and its inverse must not overflow.
    curvatures = np.maximum(curvatures, max(1e-30 * curvatures.max(initial=0.0), 1e-100))
    H = H.copy()
    diagonal(H)[:] += MODEL_RIDGE * curvatures
    target = H @ (scale * w) - g
    accuracy = max(accuracy, ROUNDING * np.abs(target).max(initial=0.0))
    gram, Xy = H * scale * scale[:, None], target * scale
    # A lasso has data, here only known to have this Gram matrix: stand-ins of the right shape, and a target at least as
    # large as any that would give Xy, on which the library's bounds on the coefficients remain true.
    X = np.zeros((1, size), order="F")
    y = np.sqrt([np.dot(target, scale * w) + abs(np.dot(g, scale * w)) + np.sum(g**2 / curvatures) / MODEL_RIDGE])
    v = w.copy()

    def violation():
        return np.max(penalty.distance(v, gram @ v - Xy) / scale)

    left = np.inf
    for i in range(MAX_ROUNDS):
        v = sweep(X, y, l1, 0.0, v, SWEEPS, precompute=gram, Xy=Xy)
        if together is not None:
            v[together] = median_free(v[together])
        before, left = left, violation()
        if left <= accuracy:
            break
        if size > LARGE and i < FIRST_ROUNDS and left < 0.5 * before:
            continue
        # One coordinate at a time crawls along directions that are nearly flat; all that are not zero at once do not.
        A = np.flatnonzero(v)
        sign = np.sign(v[A])
        goal = target[A] - l1 * sign / scale[A]
        u, _ = orthant_minimum(principal_submatrix(H, A), goal, scale[A] * v[A], sign, 1e-10)
        v[A] = u / scale[A]
        left = violation()
        if left <= accuracy:
            break
    return v


class _ExpectingNoConvergence(SharedContext):
    """No ConvergenceWarning: that coordinate descent stops before its tolerance, which is zero, is meant."""

    def begin(self):
        if not self.n_users:
            self.filters = warnings.catch_warnings()
            self.filters.__enter__()
            warnings.simplefilter("ignore", ConvergenceWarning)

    def end(self):
        self.filters.__exit__(None, None, None)


_expecting_no_convergence = _ExpectingNoConvergence()


def sweep(X, y, l1, l2, v, n_sweeps, **gram):
    """argmin_v |y - X v|^2 / 2 + l1 |v|_1 + l2/2 |v|^2, some sweeps of coordinate descent (scikit-learn's) closer."""
    with _expecting_no_convergence:
        _, path, _ = enet_path(
            X, y, l1_ratio=l1 / (l1 + l2), alphas=[(l1 + l2) / len(y)], coef_init=v, check_input=False, copy_X=False,
            tol=0.0, max_iter=n_sweeps, **(gram or {"precompute": False}),
        )  # fmt: skip
    return path[:, 0]


def median_free(V):
    """The weights of softmax, one row a class, moved to where |V|_1 is least: the median of each column is zero."""
    ordered = np.sort(V, axis=0)
    return V - np.clip(0.0, ordered[(len(V) - 1) // 2], ordered[len(V) // 2])


def into_orthant(u, step, sign):
    """Changes of u along a step, ever shorter; what would leave the orthant of ``sign`` becomes zero.

    At first all of it at once; then half of it, fewer, or the first entry alone.  Entries of sign 0 may change theirs.
    """
    crosses = sign * (u + step) < 0.0
    ratios = np.divide(-u, step, out=np.full_like(u, np.inf), where=crosses)
    first = np.sort(ratios[crosses])
    for alpha in [1.0, *(first[len(first) >> k] for k in range(1, len(first).bit_length() + 1))]:
        yield np.where(ratios <= alpha, -u, alpha * step)


def orthant_minimum(H, goal, u, sign, ridge):
    """Towards argmin_u u'Hu/2 - goal.u over the orthant of ``sign``: Newton steps; entries become zero for good.

    ``ridge`` times its diagonal is added to H, in the steps alone.  With the minimum comes the inverse by which it was
    found.
    """
    u, downhill, inverse = u.copy(), goal - H @ u, Shrinking(H, ridge)
    for _ in range(MAX_POLISH):
        left = (u != 0.0) | (sign == 0.0)
        if not left.any():
            break
        step = inverse.solve(left, downhill)
        for change in into_orthant(u, step, sign):
            # With features of 1e50 beside others of 1e-70 what is not the minimum may be out of range.
            with np.errstate(over="ignore", invalid="ignore"):
                curved = H @ change
                is_lower = change @ (0.5 * curved - downhill) <= 0.0
            if is_lower:
                break
        else:
            # Nothing but rounding is left.
            break
        is_whole = np.array_equal(change, step)
        u, downhill = u + change, downhill - curved
        if is_whole:
            break
    return u, inverse
