"""Estimates of the inverse curvature: P in W <- W - alpha P grad J(W).

==================  =====================================================  ===========================================
preconditioner      P                                                      where
==================  =====================================================  ===========================================
Hessian             inverse Hessian on a sample of rows, or on all         up to 2000 unknowns
Hessian by class    the same, one block a class                            softmax with more, no L1
RowSpace            inverse Hessian on the span of the rows                few rows, more features, L2
Diagonal            inverse of the diagonal of the Hessian                 many rows and features, no L1
WorkingSet          the Hessian on the features that matter                more unknowns, with L1
Orthant             the diagonal, within the orthant of the weights        a working set that is too large itself
==================  =====================================================  ===========================================

All but RowSpace and WorkingSet are refined by curvature pairs as the solver goes.  They live in the standardised
coordinates of :mod:`._objective`, where the gradient of J has no units.  With an L1 penalty the step minimises the
quadratic model that P stands for plus the penalty, without touching the data (proximal Newton; Lee, Sun and Saunders
2014).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrs

from ._cholesky import cholesky
from ._lasso import lasso
from ._result import Result, Trace
from ._solvers import preconditioned

# Pairs kept for the two-loop recursion.  10 (Liu and Nocedal 1989) took 4 % more passes on text, 40 none fewer.
MEMORY = 20
# Passes after which the diagonal is taken anew.  Against the constant bound 1/4, passes to the tolerance fell from
# 235 to 85 on sms_spam at C = 100 and from 121 to 53 on its raw counts at C = 1; 5 and 10 did no better.
REFRESH = 20
# Unknowns up to which a Hessian is formed and factorised: 2000^3/3 multiplications are 0.1 s on two cores.
MAX_HESSIAN = 2000
# Curvature added in every direction where no penalty does, against the largest of the loss.  With 1e-7 and less,
# rounding along collinear features moved decision values by 1e-7 when rows were repeated instead of weighted.
RIDGE = 1e-6
# Rows an unknown in the largest sample: 16 took four fifths of the time of 64 on eight raw sets at C = 1 and 100.
SAMPLE = 16
# A Hessian serves for the passes that it cost, or this many, before it is replaced: with 0 it took five fourths of the
# time on the same sets, most of it on w8a, where a fresh Hessian overshoots among rare features and curvature pairs
# learn faster.
SERVICE = 8
# Time that a pass and a Hessian take on no data at all, in nanoseconds.
OVERHEAD = 100_000
# Rows up to which the span of the rows is used, when they are fewer than the features; and the time that it takes
# against the cube of the rows (0.8 s for 3000), which must be below that of 100 passes: short texts are faster without.
MAX_ROW_SPACE = 3000
ROW_SPACE_NANOSECONDS = 0.03


def descend(objective, coef, trace, random_state, warm=None, baseline=np.inf):
    """Minimise the objective from coef; or from ``warm``, if there is one and J is at most ``baseline`` there."""
    here: Any = None
    if warm is not None or objective.penalty.l1:
        # With L1, all-zero weights may be optimal, and are then exact: look there first.
        here = objective.evaluate(coef if warm is None else warm)
        status = trace.add(here)
        if status:
            return Result(here, status)
    if warm is not None and here.value <= baseline:
        coef = warm
    elif warm is not None:
        warm = here = None
    preconditioner, start = _prepare(objective, coef, random_state, warm is not None)
    result = preconditioned(objective, start, preconditioner, trace, here if start is coef else None)
    if objective.penalty:
        # Not to be evaluated: the dual point of the certificate.
        here = result.evaluation
        result.ahead = here.coef + preconditioner.step(here, tol=0.2 * here.violation)[0]
    return result


def _prepare(objective, coef, random_state, warm=False):
    """The preconditioner for this objective, and a better point to start from unless this one is warm."""
    (n_outputs, q), n_rows = objective.shape, objective.source.n_rows
    has_l1 = objective.penalty.l1 > 0.0
    in_row_space = ROW_SPACE_NANOSECONDS * n_rows**3 <= 100.0 * n_outputs * objective.source.nanoseconds
    is_wide = n_rows < min(objective.n_features, MAX_ROW_SPACE)
    if objective.penalty and not has_l1 and is_wide and in_row_space:
        preconditioner = RowSpacePreconditioner(objective, random_state)
        return preconditioner, preconditioner.start(coef)
    by_class = n_outputs * q > MAX_HESSIAN
    if by_class and has_l1:
        return WorkingSet(objective, random_state), coef
    if by_class and (q > MAX_HESSIAN or n_outputs * q**2 > 10 * MAX_HESSIAN**2):
        return DiagonalPreconditioner(objective), coef
    # Solve a sample first: its optimum is close, its Hessian too.  Each level has at most an eighth of the rows of the
    # next, so that all of them together cost little against the last.
    n_sample = max(min(n_rows // 8, SAMPLE * q), 1000, 8 * q)
    if n_rows < 4 * n_sample:
        return HessianPreconditioner(objective, by_class), coef
    coarse = objective.sample(n_sample, random_state)
    if warm:
        H = coarse.curvature(coef, by_class)
        return HessianPreconditioner(objective, by_class, H if by_class else H[None]), coef
    inner, coef = _prepare(coarse, coef, random_state)
    # The optimum of the sample is known to 1/sqrt(n) only.
    coef = preconditioned(coarse, coef, inner, Trace(tol=0.1 / np.sqrt(n_sample), max_iter=50)).evaluation.coef
    return HessianPreconditioner(objective, by_class, inner.loss_hessian), coef


class CurvaturePairs:
    """Limited-memory BFGS correction of an inverse curvature (two-loop recursion, Nocedal 1980)."""

    def __init__(self):
        self.pairs: deque[tuple] = deque(maxlen=MEMORY)

    def add(self, step, change):
        """Store a step and the change of the gradient along it, unless rounding has eaten its curvature."""
        curvature = np.vdot(step, change)
        if curvature > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
            self.pairs.append((step, change, curvature))

    def clear(self):
        self.pairs.clear()

    def solve(self, gradient, solve):
        """P gradient, where ``solve`` applies the inverse curvature that the pairs correct."""
        q = gradient.copy()
        coefficients = []
        for step, change, curvature in reversed(self.pairs):
            a = np.vdot(step, q) / curvature
            q -= a * change
            coefficients.append(a)
        q = solve(q)
        for (step, change, curvature), a in zip(self.pairs, reversed(coefficients), strict=True):
            q += (a - np.vdot(change, q) / curvature) * step
        return q


class Preconditioner:
    """Steps in standardised coordinates, from a subclass's ``solve(gradient)``, corrected by curvature pairs."""

    solve: Callable[..., Any]

    def __init__(self, objective):
        self.objective = objective
        self.pairs = CurvaturePairs()

    def step(self, here, tol):
        """The full step from here and the slope of J along it."""
        direction = -self.pairs.solve(here.standardised, self.solve)
        return self.objective.unstandardise(direction), np.vdot(here.standardised, direction)

    def update(self, here, there):
        """Learn from the change of the gradient along a step."""
        self.pairs.add(self.objective.standardise(there.coef - here.coef), there.standardised - here.standardised)


class DiagonalPreconditioner(Preconditioner):
    """Inverse of the diagonal of the Hessian, taken anew every REFRESH passes."""

    def __init__(self, objective):
        super().__init__(objective)
        self.n_steps = 0

    def step(self, here, tol):
        self.look(here)
        return super().step(here, tol)

    def look(self, here):
        """Take the diagonal here, if it is time."""
        if self.n_steps % REFRESH == 0:
            self.diagonal = self.objective.curvature_diagonal(here.coef) + self.objective.l2()
            # A feature without variance has no curvature.
            np.maximum(self.diagonal, RIDGE * self.objective.loss.curvature_bound, out=self.diagonal)
        self.n_steps += 1

    def solve(self, gradient):
        return gradient / self.diagonal


class HessianPreconditioner(Preconditioner):
    """Inverse Hessian on a sample of rows, bought again on all rows when that is cheaper than the passes it saves.

    ``loss_hessian``, of the sample, has shape (n_blocks, size, size): one block for all classes, or one a class.
    """

    def __init__(self, objective, by_class=False, loss_hessian=None):
        super().__init__(objective)
        self.by_class = by_class
        self.loss_hessian = None
        self.violations = []
        self.used = 0
        in_passes = objective.shape[0] * objective.source.nanoseconds + OVERHEAD
        self.price = (objective.curvature_nanoseconds(by_class) + OVERHEAD) / in_passes
        if loss_hessian is not None:
            # A feature too rare for the sample seems to have no curvature there; in standardised coordinates all have
            # about that of the intercept.  Half of it keeps the first step along such a feature short.
            diagonal = np.diagonal(loss_hessian, axis1=1, axis2=2)
            floor = (
                0.5 * np.max(diagonal, axis=1, keepdims=True)
                if not objective.fit_intercept
                else (0.5 * diagonal[:, objective.shape[1] - 1 :: objective.shape[1]].mean(axis=1, keepdims=True))
            )
            lift = np.maximum(floor - diagonal, 0.0)
            self._factorise(loss_hessian + lift[:, :, None] * np.eye(diagonal.shape[1]))

    def step(self, here, tol):
        self.violations.append(here.violation)
        self.used += 1
        if self.loss_hessian is None or self._pays(tol):
            H = self.objective.curvature(here.coef, self.by_class)
            self._factorise(H if self.by_class else H[None])
            self.used = 0
            if not self.by_class:
                self.pairs.clear()
            self.violations = [here.violation]
        if self.objective.penalty.l1:
            return self._proximal_step(here)
        return super().step(here, tol)

    def _pays(self, tol):
        """Is a new Hessian cheaper than the passes it saves, at the rate of convergence of the last three?

        After it, some three passes remain to be made, or some forty if it knows nothing of what couples the classes
        (digits and usps); such a one is therefore kept until it has been used for what two cost.
        """
        if self.by_class:
            service = 2.0 * self.price
        else:
            # With L1 the model is solved at every pass, which costs more than a Hessian, and must be worth it.
            service = 0.0 if self.objective.penalty.l1 else min(self.price, SERVICE)
        if self.used < service:
            return False
        recent = self.violations[-4:]
        rate = 0.3  # of a fresh Hessian on eight rows an unknown
        if len(recent) > 1:
            rate = min(max((recent[-1] / recent[0]) ** (1.0 / (len(recent) - 1)), 0.003), 0.97)
        passes_left = np.log(recent[-1] / tol) / -np.log(rate) if tol > 0.0 else np.inf
        return passes_left > self.price + (40.0 if self.by_class else 3.0)

    def _factorise(self, loss_hessian):
        """Cholesky factors of the Hessian of J, block by block."""
        self.loss_hessian = loss_hessian
        n_blocks, size, _ = loss_hessian.shape
        (n_outputs, q), penalty = self.objective.shape, self.objective.penalty
        H = loss_hessian.copy()
        diagonal = np.arange(size)
        H[:, diagonal, diagonal] += self.objective.l2().reshape(n_blocks, size)
        if n_outputs > 1 and not self.by_class:
            # Softmax does not change when all classes move together, so nothing but the penalty curves that way.
            free = np.arange(q) if not penalty else np.arange(self.objective.n_features, q)
            together = np.trace(loss_hessian[0]) / size / n_outputs
            for j in free:
                H[0, j::q, j::q] += together
        shift = RIDGE * self.objective.loss.curvature_bound
        if not penalty:
            # Where nothing curves J (collinear features) its gradient is rounding, and a step there would be noise.
            H[:, diagonal, diagonal] += shift
        self.factors = [cholesky(block, shift) for block in H]
        self.hessian = H

    def solve(self, gradient):
        flat = gradient.reshape(len(self.factors), -1)
        solved = [dpotrs(factor, g, lower=1)[0] for factor, g in zip(self.factors, flat, strict=True)]
        return np.concatenate(solved).reshape(gradient.shape)

    def update(self, here, there):
        if not self.objective.penalty.l1:
            return super().update(here, there)
        # The model is needed itself, not its inverse: correct the matrix (BFGS).
        step = self.objective.standardise(there.coef - here.coef).ravel()
        change = (there.standardised - here.standardised).ravel()
        curvature, H = np.dot(step, change), self.hessian[0]
        Hs = H @ step
        expected = np.dot(step, Hs)
        if curvature > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change) and expected > 1e-12 * curvature:
            H += np.outer(change, change / curvature) - np.outer(Hs, Hs / expected)

    def _proximal_step(self, here):
        """The step to the minimum of the quadratic model plus l1 |W|_1, as exact as the outer step deserves."""
        objective, H = self.objective, self.hessian[0]
        p, l1 = objective.n_features, objective.penalty.l1
        gradient = here.standardised
        is_weight = np.zeros(gradient.shape, bool)
        is_weight[:, :p] = True
        weights, intercepts = np.flatnonzero(is_weight), np.flatnonzero(~is_weight)
        g, g_b = gradient.ravel()[weights], gradient.ravel()[intercepts]
        H_ww, H_bw = H[np.ix_(weights, weights)], H[np.ix_(intercepts, weights)]
        if len(intercepts):
            # The intercepts have no penalty: minimise over them first.
            follow = np.linalg.solve(H[np.ix_(intercepts, intercepts)], np.column_stack([H_bw, g_b]))
            H_ww = H_ww - H_bw.T @ follow[:, :-1]
            g = g - H_bw.T @ follow[:, -1]
        scale = np.tile(objective.scale, gradient.shape[0])
        w = here.coef[:, :p].ravel()
        accuracy = 0.1 * np.max(objective.penalty.distance(w, g * scale) / scale)
        w_new = lasso(H_ww, g, scale, l1, w, accuracy)
        direction = np.zeros(gradient.size)
        direction[weights] = (w_new - w) * scale
        if len(intercepts):
            direction[intercepts] = -follow[:, :-1] @ direction[weights] - follow[:, -1]
        slope = gradient.ravel() @ direction + l1 * (np.abs(w_new).sum() - np.abs(w).sum())
        step = objective.unstandardise(direction.reshape(gradient.shape))
        # To the last bit, so that zeros are exact.
        step[:, :p] = (w_new - w).reshape(-1, p)
        return step, slope


class RowSpacePreconditioner:
    """Fewer rows than features, no L1: the weights are combinations of the rows, W = V L^-1 (X - mean).

    LL' are the inner products of the centred rows.  In V the problem has the features L and the same penalty |V|^2, and
    is solved without touching X.
    """

    def __init__(self, objective, random_state):
        self.objective = objective
        K = objective.source.row_gram(objective.mean)
        # Centring takes one rank, and equal rows more: a factor exists with rounding added only.
        jitter = 1e-13 * np.trace(K) / len(K) + np.finfo(float).tiny
        self.L = cholesky(K + jitter * np.eye(len(K)), jitter)
        self.reduced = type(objective)(
            objective.source.of_array(self.L), objective.codes, objective.weight, objective.loss, objective.penalty,
            objective.fit_intercept,
        )  # fmt: skip
        self.random_state = random_state

    def start(self, coef):
        """The optimum in the span of the rows, from the projection of coef on it."""
        W = coef[:, : self.objective.n_features]
        point = np.zeros(self.reduced.shape)
        point[:, : self.reduced.n_features] = self._project(W)
        intercept = coef[:, self.objective.n_features :]
        if self.objective.fit_intercept:
            intercept = intercept + (W @ self.objective.mean)[:, None]
        point[:, self.reduced.n_features :] = intercept
        self.inner, point = _prepare(self.reduced, point, self.random_state)
        here = preconditioned(self.reduced, point, self.inner, Trace(tol=1e-9, max_iter=100)).evaluation
        self.inner.step(here, tol=1.0)  # so that it has a Hessian, here
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
        direction = -self.inner.pairs.solve(std, self.inner.solve)
        return self._expand(self.reduced.unstandardise(direction)), np.vdot(std, direction)

    def update(self, here, there):
        """The start is optimal up to rounding: there is nothing to learn."""


class WorkingSet:
    """L1 and many features: solve for those that are, or should be, not zero; look at all of them; repeat."""

    def __init__(self, objective, random_state):
        self.objective = objective
        self.random_state = random_state

    def step(self, here, tol):
        objective, p = self.objective, self.objective.n_features
        distance = objective.distance(here).max(axis=0)
        active = np.any(here.coef[:, :p] != 0.0, axis=0)
        # Half as many took more passes, twice as many larger models (sms_spam, imdb5k and r8).
        n_more = max(200 // objective.shape[0], 10, int(active.sum()))
        worst = np.argsort(-np.where(active, np.inf, distance), kind="stable")[: active.sum() + n_more]
        columns = np.sort(worst[(distance[worst] > 0.0) | active[worst]])
        inside = np.append(columns, np.arange(p, objective.shape[1]))
        restricted = objective.restrict(columns)
        coef = here.coef[:, inside]
        trace = Trace(tol=max(0.1 * here.violation, 0.5 * tol), max_iter=100)
        kind = HessianPreconditioner if np.prod(restricted.shape) <= MAX_HESSIAN else OrthantPreconditioner
        preconditioner = kind(restricted)
        there = preconditioned(restricted, coef, preconditioner, trace).evaluation
        step = np.zeros(objective.shape)
        step[:, inside] = there.coef - coef
        return step, there.value - here.value

    def update(self, here, there):
        """The next working set follows from the next gradient alone."""


class OrthantPreconditioner(DiagonalPreconditioner):
    """Diagonal with curvature pairs, kept within the orthant of the weights (OWL-QN, Andrew and Gao 2007)."""

    def step(self, here, tol):
        objective, p, l1 = self.objective, self.objective.n_features, self.objective.penalty.l1
        self.look(here)
        W = here.coef[:, :p]
        # The subgradient of least norm.
        std = here.standardised.copy()
        smooth = std[:, :p] * objective.scale
        at_zero = np.sign(smooth) * np.maximum(np.abs(smooth) - l1, 0.0)
        std[:, :p] = np.where(W == 0.0, at_zero, smooth + l1 * np.sign(W)) / objective.scale
        direction = -self.pairs.solve(std, self.solve)
        direction[:, :p][(W == 0.0) & (direction[:, :p] * std[:, :p] >= 0.0)] = 0.0
        orthant = np.where(W == 0.0, -np.sign(std[:, :p]), np.sign(W))
        W_new = W + direction[:, :p] / objective.scale
        W_new[np.sign(W_new) != orthant] = 0.0
        direction[:, :p] = (W_new - W) * objective.scale
        step = objective.unstandardise(direction)
        step[:, :p] = W_new - W
        return step, np.vdot(std, direction)
