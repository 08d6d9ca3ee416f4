"""The Hessian on a sample of rows, or on all: bought at every step, or when it is cheaper than the passes it saves."""

from __future__ import annotations

from math import inf, log
from typing import Any

import numpy as np

from ._flat import flat_directions, flatten, has_flat, lift
from ._lasso import lasso
from ._pairs import NEAR, RIDGE, Preconditioner
from ._symmetric import cholesky, curves_less_than, diagonal, inverse_root, principal_submatrix, solve

# A Hessian serves for the passes that it cost, or this many, before it is replaced: with 0 it took five fourths of the
# time on the same sets, most of it on w8a, where a fresh Hessian overshoots among rare features and curvature pairs
# learn faster.  With more than two classes the k-th serves for 1/k^2 of them, as pairs that did not arrive with the
# first will not with the next: of raw tables of 3 to 12 classes in R packages, C = 1 and 100, 21 hard ones took half
# the passes and 0.6 of the time, 92 others 0.9 of the passes in the same time.  With two classes, 69 took 1.04 times as
# long.
SERVICE = 8
# The same with L1 and two classes, where the model is solved at every pass, whatever the Hessian costs: on ten raw sets
# at C = 1 and 100, l1_ratio 0.5 and 1, three took 1.06 times as long as four, five 1.02 times, none 1.07 times.  With
# more classes pairs learn too slowly: digits and dermatology took up to 1.4 times as long.
L1_SERVICE = 4
# Least curvature of a direction, in units in which each feature by itself has 1, for single precision: rounding adds or
# takes up to 2e-6 (nine raw sets at C = 1 and 100), which leaves a preconditioner that is off by less than one half.
LEAST_CURVATURE = 5e-6
# Without a penalty: curvature of a direction, in those units, below which it is looked at more closely; that which
# rounding in double precision may leave of none; and the unknowns up to which eigenvalues tell (300 take 15 ms).
STEEP = 1e-4
COLLINEAR = 1e-13
MAX_EIGENVALUES = 300
# Time that a pass and a Hessian take on no data at all, in nanoseconds.
OVERHEAD = 100_000
# Time up to which a Hessian in double precision is cheap, as what surrounds it takes as long: single precision would
# save less than a look at what it lost takes, and fits of breast_cancer take a tenth less time with a Hessian at every
# step.  On larger data that takes up to a third more (phishing).
CHEAP = 200_000
# Time of a Hessian in single precision up to which it costs as much to look for flat directions.
FLAT_NANOSECONDS = 2_000_000
# Violation above which it pays to see how long a step should be: 341 tables of R packages at C = 0.01, 1 and 100 took
# 0.94 of the time that they took without, from NEAR on 1.02.
FAR = 0.1
# Passes that a Hessian must cost for the diagonal and curvature pairs to have a try first, with two classes; and the
# passes of that try, after which the rate of convergence decides.  On data of 600 to 1600 features at C = 0.01 to 100,
# correlated, images, or with nothing to do with each other, fits took 0.83 of the time, 0.5 to 1.3.
DEAR = 10.0
TRIAL = 4


def model_nanoseconds(size):
    """Time that the model of a step with L1 takes, roughly: 20 sweeps of coordinate descent over the Hessian."""
    return 300_000 + 20 * int(size) ** 2


def hessian_price(objective, dtype, n_free=None):
    """Passes that take as long as a Hessian, on all entries or on so many."""
    of_pass = objective.source.nanoseconds + OVERHEAD
    if objective.penalty.l1:
        # The model is solved at every pass.
        of_pass += model_nanoseconds(np.prod(objective.shape) if n_free is None else n_free)
    return (objective.hessian_nanoseconds(dtype, n_free) + OVERHEAD) / of_pass


def hold_back(curvatures, pseudo_rows, has_intercept):
    """Add to the curvatures of a sample, shape (n_outputs, q), in directions in which it hardly varies.

    They would invite steps without end.  The pseudo-rows with which it was fitted hold them back: with them w8a at
    C = 100 takes 26 passes instead of 48.  A feature that the sample never saw needs more; in standardised coordinates
    all have about the curvature of the intercept, and half of that keeps the first step along such a feature short.
    """
    typical = curvatures[:, -1].mean() if has_intercept else curvatures.max()
    curvatures += np.maximum(0.5 * typical - curvatures, pseudo_rows)


class HessianPreconditioner(Preconditioner):
    """Inverse Hessian on a sample of rows, bought again on all where it is cheap or saves more passes than it costs."""

    successor: Any = None  # what has taken over, where a Hessian would be too large

    def __init__(self, objective, exact=False):
        super().__init__(objective)
        self.exact = exact
        self.is_cheap = objective.hessian_nanoseconds(np.float64) <= CHEAP
        # Half the time; a preconditioner can spare the digits.
        is_single = not (exact or self.is_cheap) and objective.suits_single_precision()
        self.dtype = np.float32 if is_single else np.float64
        # Newton's method arrives before a sample would be solved.
        self.starts_from_sample = not self.is_cheap
        # The entries of coef on which the Hessian is formed.
        self.free = np.ones(objective.shape, bool)
        if objective.penalty.l1:
            self._set_free(self.free)
        self.flat: Any = None  # the flat directions of a class, as columns, once they were looked for
        self.waits = False  # on the diagonal alone
        self.violations = []
        self.used = self.n_bought = 0

    @property
    def price(self):
        """Passes that take as long as a Hessian."""
        return hessian_price(self.objective, self.dtype, np.count_nonzero(self.free))

    def wanted(self, here):
        """The entries of coef on which a Hessian here is formed, a boolean array."""
        return self.free

    def start_from(self, sample, here, pseudo_rows):
        """Begin with the Hessian of a sample of the rows, at an evaluation of it."""
        H = sample.hessian(here, here.violation < NEAR).matrix(self.dtype)
        n_outputs, q = sample.shape
        # With two classes another Hessian costs little more than the look.
        looks = n_outputs > 1 and has_flat(H[:q, :q])
        hold_back(diagonal(H).reshape(sample.shape), pseudo_rows, sample.fit_intercept)
        self._take(H)
        if looks:
            self.flatten()

    def step(self, here, tol, accuracy=0.1):
        """The step and the slope; ``accuracy`` is the share of the violation to which a model with L1 is solved."""
        self.violations.append(here.violation)
        self.used += 1
        if not self.is_ready and self._may_wait(here):
            self._take_diagonal(here)
        elif not self.is_ready or self._pays(tol):
            self.look(here)
        if self.objective.penalty.l1:
            return self._proximal_step(here, accuracy)
        step, slope = super().step(here, tol)
        if self.is_cheap and here.violation > FAR:
            # So far away the Hessian is fresh and its step too short: the more rows are certain, the less J curves.
            length = self.objective.lengthen(here, step)
            step, slope = length * step, length * slope
        return step, slope

    def _may_wait(self, here):
        """Is its diagonal known, as all weights are zero, and a Hessian dear?  On a sample it is not."""
        penalty, W = self.objective.penalty, here.coef[:, : self.objective.n_features]
        has_l2_alone = penalty.is_uniform and penalty.l2 > 0.0 and not penalty.l1
        return has_l2_alone and len(W) == 1 and not W.any() and self.price >= DEAR

    def _take_diagonal(self, here):
        """Its diagonal where all weights are zero: in standardised coordinates all features curve alike."""
        raw = here.coef[:, self.objective.n_features :].sum(axis=1)
        self.curvatures = self.objective.loss.curvature(raw) + self.objective.l2.ravel()
        self.inverse = lambda gradient: gradient / self.curvatures
        self.is_ready = self.waits = True

    def _rescale_diagonal(self, _, change, curvature):
        """Let it curve as J did along the last step (Shanno and Phua 1978): less, the more rows are certain.

        Without, 20 000 rows of 500 to 1000 independent features took one to five passes more, of 9 to 14.
        """
        self.curvatures *= np.vdot(change, change / self.curvatures) / curvature
        np.maximum(self.curvatures, self.objective.l2.ravel(), out=self.curvatures)

    def look(self, here):
        """Take the Hessian here."""
        self.waits = False
        exact = self.exact or here.violation < NEAR
        self._take(self._curvature(here, exact))
        if self.dtype == np.float32:
            # With L1 a model without its last digits may do, if only it curves downwards nowhere: see how far it leads.
            is_slow = exact and len(self.violations) > 1 and here.violation > 0.5 * self.violations[0]
            may_do = self.objective.penalty.l1 and np.all(np.isfinite(self.hessian)) and not is_slow
            if not may_do and self._lacks_digits() and not self._is_mended():
                self.dtype = np.float64
                self._take(self._curvature(here, exact))
            elif self.objective.penalty.l1:
                diagonal(self.hessian)[:] *= 1.0 + LEAST_CURVATURE
        self.used = 0
        self.n_bought += 1
        self.pairs.clear()
        self.violations = [here.violation]

    renew = look

    def _curvature(self, here, exact):
        """Hessian of the mean loss on the free entries."""
        return self.objective.hessian(here, exact).matrix(self.dtype, None if self.free.all() else self.free)

    def _lacks_digits(self):
        """Is there a direction, but for flat ones, of so little curvature that single precision may have none?"""
        has_flat = self.flat is not None and self.flat.size
        return curves_less_than(lift(self.hessian, self.flat) if has_flat else self.hessian, LEAST_CURVATURE)

    def _is_mended(self):
        """Are flat directions all that single precision lacks?  Where a Hessian costs little, none is looked for."""
        is_dear = self.objective.hessian_nanoseconds(self.dtype) > FLAT_NANOSECONDS
        return is_dear and self.flatten() and not self._lacks_digits()

    def _pays(self, tol):
        """Is a new Hessian cheap, or cheaper than the passes it saves, at the rate of convergence of the last three?

        After it, some three passes remain to be made.
        """
        recent = self.violations[-4:]
        if self.is_cheap and not self.objective.penalty.l1:
            # Near the optimum the last Hessian leaves about twice the share of the violation that it left before; at
            # tol 0 there is always a better one.
            return len(recent) < 2 or recent[-1] > NEAR or 4.0 * recent[-1] * (recent[-1] / recent[-2]) >= tol
        if recent[-1] <= tol or self.used < self._service():
            return False
        rate = 0.3  # of a fresh Hessian on eight rows an unknown
        if len(recent) > 1:
            rate = min(max((recent[-1] / recent[0]) ** (1.0 / (len(recent) - 1)), 0.003), 0.97)
        passes_left = log(recent[-1] / tol) / -log(rate) if tol > 0.0 else inf
        return passes_left > self.price + 3.0

    def _service(self):
        """Passes for which a Hessian, or its diagonal, serves at least."""
        if self.waits:
            return TRIAL
        is_softmax = self.objective.shape[0] > 1
        if self.objective.penalty.l1:
            return 0 if self.is_cheap or is_softmax else L1_SERVICE
        return min(self.price, SERVICE / max(self.n_bought, 1) ** 2 if is_softmax else SERVICE)

    def flatten(self):
        """Leave flat directions the curvature of the penalty alone: are there some that were not known?"""
        if self.objective.penalty.l1 or self.waits or self.flat is not None:
            return False
        self.flat = flat_directions(self.objective)
        if self.flat.size:
            diagonal(self.hessian)[:] -= self.objective.l2.ravel()
            self._complete(self.hessian)
        return self.flat.size > 0

    def _take(self, H):
        """The Hessian of J, and its inverse, from the Hessian of the mean loss, which is overwritten."""
        self.is_ready = True
        (n_outputs, q), penalty = self.objective.shape, self.objective.penalty
        if n_outputs > 1:
            # Softmax does not change when all classes move together, so nothing but the penalty curves that way; and
            # without L1 no step goes there.
            together = np.trace(H) / len(H) / n_outputs
            if penalty.l1:
                H[self.intercepts[:, None], self.intercepts] += together
            else:
                for j in range(q):
                    H[j::q, j::q] += together
        self._complete(H)

    def _complete(self, H):
        """The same from what lacks the penalty's part alone."""
        if self.flat is not None and self.flat.size:
            flatten(H, self.flat)
        diagonal(H)[:] += self.objective.l2[self.free]
        self.hessian = H
        if not self.objective.penalty.l1:
            # With L1 the matrix itself is the model.
            self.inverse = self._invert()

    def _invert(self):
        """The inverse of the Hessian, as a function of a gradient, all entries in one row."""
        H = self.hessian
        if self.objective.penalty:
            # A penalty next to nothing leaves nearly equal features to rounding: more than that would hold them down.
            shift = 4.0 * np.finfo(self.dtype).eps * np.diagonal(H)
        else:
            shift = RIDGE * self.objective.loss.curvature_bound
            # Where nothing curves J (collinear features) its gradient is rounding, and a step there would be noise.
            # A ridge holds it down, but the steps along features that are only nearly collinear too: three whose
            # third is a combination of the others but for 1e-4 took up to 992 passes, with eigenvalues seven.
            may_tell = self.dtype == np.float64 and len(H) <= MAX_EIGENVALUES and np.all(np.isfinite(H))
            if may_tell and curves_less_than(H, STEEP):
                root = inverse_root(H, COLLINEAR)
                return lambda gradient: root @ (gradient @ root)
            diagonal(H)[:] += shift
        factor = cholesky(H, shift)
        return lambda gradient: solve(factor, gradient)

    def on(self, free):
        """The inverse of the Hessian's part on the entries that are free, as a function of a gradient."""
        free = free & self.free
        H = principal_submatrix(self.hessian, np.flatnonzero(free[self.free]))
        # Above what rounding in single precision leaves of a direction without curvature.
        diagonal(H)[:] *= 1.0 + LEAST_CURVATURE
        factor = cholesky(H, RIDGE * np.diagonal(H))

        def condition(gradient):
            out = np.zeros_like(gradient)
            out[free] = solve(factor, gradient[free])
            return out

        return condition

    def solve(self, gradient):
        return self.inverse(gradient.ravel()).reshape(gradient.shape)

    def update(self, here, there):
        if not self.objective.penalty.l1:
            # A Hessian that serves for one step has nothing to learn from it.
            if not self.is_cheap:
                super().update(here, there)
            if self.waits and self.pairs.pairs:
                self._rescale_diagonal(*self.pairs.pairs[-1])
            return
        # The model is needed itself, not its inverse: correct the matrix (BFGS).
        step = self.objective.standardise(there.coef - here.coef)[self.free]
        change = (there.standardised - here.standardised)[self.free]
        curvature, H = np.dot(step, change), self.hessian
        Hs = H @ step
        expected = np.dot(step, Hs)
        if curvature > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change) and expected > 1e-12 * curvature:
            H += np.outer(change, change / curvature) - np.outer(Hs, Hs / expected)

    def _set_free(self, wanted):
        """Let the Hessian be on the entries that are wanted: where it has the weights, and where the intercepts."""
        p, (n_outputs, q) = self.objective.n_features, self.objective.shape
        column = np.flatnonzero(wanted) % q
        is_weight = column < p
        self.free, self.weights, self.intercepts = wanted, np.flatnonzero(is_weight), np.flatnonzero(~is_weight)
        self.scale = self.objective.scale[column[is_weight]]
        # Features of which all classes may move together, where no L2 holds them.
        self.together = None
        if n_outputs > 1 and not np.any(self.objective.penalty.l2):
            numbers = np.cumsum(wanted[:, :p]).reshape(-1, p) - 1
            self.together = numbers[:, wanted[:, :p].all(axis=0)]

    def _proximal_step(self, here, accuracy):
        """The step to the minimum of the quadratic model plus l1 |W|_1, as exact as the outer step deserves."""
        objective, penalty, p = self.objective, self.objective.penalty, self.objective.n_features
        weights, intercepts, scale = self.weights, self.intercepts, self.scale
        gradient = here.standardised[self.free]
        H, g = principal_submatrix(self.hessian, weights), gradient[weights]
        if len(intercepts):
            # They have no penalty: minimise over them first.
            of_intercepts = self.hessian.take(intercepts, axis=0)
            H_bw, H_bb = of_intercepts.take(weights, axis=1), of_intercepts.take(intercepts, axis=1)
            # Singular where a class has no probability left in any row.
            diagonal(H_bb)[:] += 1e-14 * diagonal(H_bb).max() or RIDGE
            follow = np.linalg.solve(H_bb, np.column_stack([H_bw, gradient[intercepts]]))
            H -= H_bw.T @ follow[:, :-1]
            g -= H_bw.T @ follow[:, -1]
        free = self.free[:, :p]
        w = here.coef[:, :p][free]
        accuracy *= np.max(penalty.distance(w, g * scale) / scale)
        w_new = lasso(H, g, scale, penalty, w, accuracy, self.together)
        along = np.empty(len(gradient))
        along[weights] = (w_new - w) * scale
        if len(intercepts):
            along[intercepts] = -follow[:, :-1] @ along[weights] - follow[:, -1]
        slope = np.vdot(gradient, along) + penalty.l1 * (np.abs(w_new).sum() - np.abs(w).sum())
        direction = np.zeros(self.free.shape)
        direction[self.free] = along
        step = objective.unstandardise(direction)
        # To the last bit, so that zeros are exact.
        step[:, :p][free] = w_new - w
        return step, slope
