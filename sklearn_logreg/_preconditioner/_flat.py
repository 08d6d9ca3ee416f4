"""Flat directions: combinations of features that are the same in all rows, along which no prediction moves.

J curves there by its penalty alone.  A weak one is far less than what rounding in single precision, pseudo-rows or a
ridge add to a Hessian: conjugate gradients would take long to see it, and the fit leave the weights there to them.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from ._symmetric import curves_less_than, null_space, principal_submatrix

# Rows an unknown, and at least, that say which directions may be flat; all rows confirm them, or not.
ROWS = 2
LEAST_ROWS = 1000
# Variance on those rows, against that on all, from which a feature may be part of one: a rare one may be zero in all.
SEEN = 0.5
# Curvature that rounding leaves of none in either precision, in units in which each feature by itself has 1.
ROUNDING = 1e-11
SINGLE_ROUNDING = 1e-5
# Data may curve a flat direction by this share of what the penalty does, and the penalty by that of what data do along
# a feature: with more it is no trouble.
OF_PENALTY = 0.1
ENOUGH = 1e-3


def has_flat(H):
    """May there be some, by the Hessian of the mean loss of one class?  It costs far less than to look for them."""
    return curves_less_than(H, SINGLE_ROUNDING)


def flat_directions(objective):
    """Orthonormal columns in standardised coordinates that span them, for each class; none where that is not sure."""
    (_, q), n_rows, l2 = objective.shape, objective.source.n_rows, objective.l2[0]
    nothing = np.empty((q, 0))
    if not np.all(objective.penalty.l2) or np.min(l2[: objective.n_features]) > ENOUGH * objective.loss.curvature_bound:
        return nothing
    gram = objective.gram(np.arange(0, n_rows, max(n_rows // max(ROWS * q, LEAST_ROWS), 1)))
    seen = np.flatnonzero(np.diagonal(gram) > SEEN)
    columns = null_space(principal_submatrix(gram, seen), ROUNDING) if len(seen) > 1 else nothing
    if not columns.size:
        return nothing
    flat = np.zeros((q, columns.shape[1]))
    flat[seen] = qr(columns, mode="economic")[0]
    # All at once, by a combination in which they do not cancel.
    by_data = objective.mean_square_along(flat @ np.sqrt(np.arange(2.0, 2.0 + flat.shape[1])))
    is_flat = objective.loss.curvature_bound * by_data <= OF_PENALTY * np.min(l2 @ flat**2)
    return flat if is_flat else nothing


def flatten(H, flat):
    """Let a Hessian, of one class or of all, be zero along the directions of each, from both sides."""
    q = len(flat)
    of_classes, pieces = H.reshape(-1, q, len(H)), H.reshape(-1, q)
    of_classes -= flat @ (flat.T @ of_classes)
    pieces -= (pieces @ flat) @ flat.T


def lift(H, flat):
    """A copy of a Hessian with as much curvature along the directions as features have."""
    H, q = H.copy(), len(flat)
    blocks = np.einsum("kikj->kij", H.reshape(-1, q, len(H) // q, q))
    blocks += flat @ flat.T
    return H
