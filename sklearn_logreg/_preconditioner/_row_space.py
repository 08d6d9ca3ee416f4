"""Few rows, more features, L2: the problem in the span of the rows."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from .._result import Trace
from .._solvers import preconditioned
from .._sources import make_source
from ._symmetric import cholesky

# What is added to the inner products of rows for a Cholesky factor, against their mean size.
JITTER = 1e-13


def resolves(objective):
    """Do inner products of rows keep what the smaller features say, where the largest are no more than the rows?

    Of voice recordings, 252 x 752 with features from 1e-20 to 1e10, they did not: no fit arrived.
    """
    variances = np.delete(objective.scale**2, objective.constant)
    n_smaller = len(variances) - objective.source.n_rows + 1
    if n_smaller <= 0:
        return True
    smaller = np.partition(variances, n_smaller - 1)[:n_smaller].sum()
    # As features of each row by itself, at most 1/4 of whose curvature must be less than the penalty.
    held = 4.0 * np.min(objective.penalty.l2) * objective.total_weight
    return JITTER * variances.sum() <= 0.01 * max(smaller, held)


class RowSpacePreconditioner:
    """Fewer rows than features, no L1: the weights are combinations of the rows, W = V L^-1 (X - mean).

    LL' are the inner products of the centred rows.  In V the problem has the features L and the same penalty |V|^2, and
    is solved without touching X.
    """

    def __init__(self, objective):
        self.objective = objective
        K = objective.source.row_gram(objective.mean)
        # Centring takes one rank, and equal rows more: a factor exists with rounding added only.
        jitter = JITTER * np.trace(K) / len(K) + np.finfo(float).tiny
        self.L = cholesky(K + jitter * np.eye(len(K)), jitter)
        self.reduced = type(objective)(
            make_source(self.L, n_outputs=objective.shape[0]), objective.codes, objective.weight, objective.loss,
            objective.penalty, objective.fit_intercept,
        )  # fmt: skip

    def start(self, coef, prepare):
        """The optimum in the span of the rows, from the projection of coef; ``prepare`` finds its preconditioner."""
        W = coef[:, : self.objective.n_features]
        point = np.zeros(self.reduced.shape)
        point[:, : self.reduced.n_features] = self._project(W)
        intercept = coef[:, self.objective.n_features :]
        if self.objective.fit_intercept:
            intercept = intercept + (W @ self.objective.mean)[:, None]
        point[:, self.reduced.n_features :] = intercept
        self.inner, point = prepare(self.reduced, point)
        here = preconditioned(self.reduced, point, self.inner, Trace(tol=1e-9, max_iter=100)).evaluation
        self.inner.look(here)
        return self._expand(here.coef)

    def _project(self, W):
        """W (X - mean)' L^-T."""
        projected = self.objective.source.project(W) - (W @ self.objective.mean)[:, None]
        return solve_triangular(self.L, projected.T, lower=True, check_finite=False).T

    def _expand(self, point):
        """Weights and intercept for a point of the reduced problem."""
        objective, n = self.objective, self.reduced.n_features
        A = solve_triangular(self.L, point[:, :n].T, lower=True, trans="T", check_finite=False).T
        coef = np.empty(objective.shape)
        W = objective.source.combine(A) - A.sum(axis=1, keepdims=True) * objective.mean
        coef[:, : objective.n_features] = W
        coef[:, objective.n_features :] = point[:, n:]
        if objective.fit_intercept:
            coef[:, -1] -= W @ objective.mean
        return coef

    def step(self, here, tol):
        """A Newton step in the span of the rows."""
        objective, n = self.objective, self.reduced.n_features
        p = objective.n_features
        gradient = np.empty(self.reduced.shape)
        # By the chain rule: d/dV = (d/dW) (X - mean)' L^-T, with the intercept held at the mean of the features.
        gradient[:, :n] = self._project(here.standardised[:, :p] * objective.scale)
        gradient[:, n:] = here.gradient[:, p:]
        std = self.reduced.standardise_gradient(gradient)
        direction = self.reduced.apart(-self.inner.apply(std))
        return self._expand(self.reduced.unstandardise(direction)), np.vdot(std, direction)

    def update(self, here, there):
        """The start is optimal up to rounding: there is nothing to learn."""
