"""The quadratic model of J on some features, kept as weighted rows, and its minimum with L1."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from .._losses import secant_curvature
from ._lasso import into_orthant, median_free, orthant_minimum, sweep
from ._pairs import NEAR
from ._symmetric import cholesky, diagonal, solve, unit_diagonal
from ._truncated_newton import conjugate_gradients

# Value of the intercept's column: coordinate descent penalises every weight, this one by next to nothing.
KAPPA = 1e10
# Sweeps of coordinate descent between two polishes, steps of conjugate gradients in one, and rounds of both.  On
# sms_spam and imdb5k at C = 100, 5 sweeps took up to three times the time and 30 from 0.8 to 1.2 of it.
SWEEPS = 10
MAX_CONJUGATE = 100
MAX_ROUNDS = 5
# Free entries up to which a Hessian may be bought.  Conjugate gradients get nowhere where classes are nearly separable
# (r8 at C = 100, 900 entries) or features collinear: one-hot softmax with L1 at C = 100, 1060 entries, took 148 s, with
# a Hessian 6 s.  With more the blocks of each class may be: generated text of 20 classes (10 000 x 50 000, C = 100,
# 8500 entries at the end) took a quarter to a third of the time.
MAX_DIRECT = 3000
# Ridge, against the diagonal, of a Hessian in the Newton steps over an orthant, and of a block that has no factor.
RIDGE = 1e-12
# Violation, against the residuals, below which a model is solved to the last digits.
ROUNDING = 1e-14
# Least curvature of a row, against its residual: coordinate descent does not see the pull of a row that has none, as
# where rounding leaves no probability to the right class.
LEAST_OF_ROW = 1e-10
TINY = np.finfo(float).tiny
# Columns at hand are copied where less than this share of them is needed: a copy takes as long as a few products.
MUCH = 0.9


def with_intercept(X, n_intercepts):
    """X with columns of KAPPA: column by column in memory, and with 32-bit indices, as coordinate descent wants it."""
    n = X.shape[0]
    if not sparse.issparse(X):
        return np.asfortranarray(np.hstack([X, np.full((n, n_intercepts), KAPPA)]))
    data = np.append(X.data, np.full(n * n_intercepts, KAPPA))
    indices = np.append(X.indices, np.arange(n * n_intercepts)).astype(np.int32, copy=False)
    indptr = np.append(X.indptr, X.indptr[-1] + n * np.arange(1, n_intercepts + 1)).astype(np.int32, copy=False)
    return sparse.csc_matrix((data, indices, indptr), (n, X.shape[1] + n_intercepts))


def _weighted(X, h):
    """The rows of X times h, column by column in memory."""
    if sparse.issparse(X):
        return sparse.csc_matrix((X.data * h[X.indices], X.indices, X.indptr), X.shape)
    return np.asfortranarray(X * h[:, None])


def _inner_products(A, h, B):
    """A' diag(h) B, the columns of one with those of the other."""
    out = A.T @ _weighted(B, h)
    return out.toarray() if sparse.issparse(out) else out


class Factor:
    """Cholesky factors of the Hessian of a model on some entries, which precondition those of other models too.

    One factor of all of them together, or one block for each class of softmax.
    """

    def __init__(self):
        self.entries, self.blocks = np.empty(0, np.intp), []
        self.n_products = 0  # since then

    def take(self, entries, blocks, unit):
        """The factors of the blocks on some entries, in units of them."""
        self.entries, self.blocks, self.unit, self.n_products = entries, blocks, unit, 0

    def solve(self, at, right):
        """The entries ``at`` of the inverse times a vector that is zero but there."""
        out = np.zeros(len(self.unit))
        out[at] = right
        out *= self.unit
        end = 0
        for factor in self.blocks:
            block = slice(end, end := end + len(factor))
            # A class may have no entry, of which BLAS knows nothing.
            out[block] = solve(factor, out[block]) if len(factor) else 0.0
        return out[at] * self.unit[at]


class RowModel:
    """The quadratic model of J at a point, on some of the features, kept as weighted rows instead of a Hessian.

    With residuals R and probabilities P at the point, and D = (V - V0) X' the change of the raw predictions,

        model(V)  =  sum_ik s_i/S (R_ki D_ki + h_ki D_ki^2 / 2)  -  sum_i s_i/S sum_{k != l} P_ki P_li D_ki D_li / 2
                     +  penalty(V),            h = |R| (1 - |R|) = P (1 - P)

    The last sum couples the classes of softmax, and is absent for two.  Far from the optimum h is more, for each class
    by itself: to raise the probabilities of both sums, as for a Hessian, took 17 passes instead of 22 on r8 at C = 100,
    but 3 of 400 fits with weights over 12 orders ended far from the optimum.  Coordinate descent on one class at a time
    (scikit-learn's; Friedman, Hastie and Tibshirani 2010) finds out which weights are zero; conjugate gradients, or
    Newton steps, on the others at once finish what it crawls along.  From the features ``shift`` was subtracted, and
    the intercept is that of what is left.
    """

    def __init__(self, objective, here, X, XT, columns, shift, factor):
        self.factor, self.has_blocks = factor, False
        self.penalty = objective.penalty  # the same for all features
        residuals, P = objective.residuals(here)
        weight = 1.0 / objective.total_weight * (1.0 if objective.weight is None else objective.weight)
        size = np.abs(residuals)
        self.P: Any = P * np.sqrt(weight) if len(P) > 1 else None
        self.pull = residuals * weight
        self.shift, self.mean, self.scale = shift, objective.mean[columns] - shift, objective.scale[columns]
        self.X, self.XT = X, XT
        self.is_weight = np.arange(X.shape[1]) < len(columns)
        self.l1 = self.penalty.l1 * self.is_weight
        self.l2 = self.penalty.l2 * self.is_weight
        self.columns = np.append(columns, np.arange(objective.n_features, objective.shape[1]))
        self.entries = np.arange(len(here.coef))[:, None] * objective.shape[1] + self.columns
        self.V0 = here.coef[:, self.columns]
        self.V0[:, ~self.is_weight] += self.V0[:, self.is_weight] @ shift[:, None]
        self.V0[:, ~self.is_weight] /= KAPPA
        # The gradient there, and the violation on these features.
        self.missed, self.weight = size.max(axis=0), weight
        self.gradient = (self.XT @ self.pull.T).T + self.l2 * self.V0
        self.distance = self._distance(self.V0, self.gradient)
        self.violation = self.distance.max(initial=0.0) / max(np.sum(weight * self.missed), TINY)
        h = size * (1.0 - size) if self.violation < NEAR else secant_curvature(size)
        self.h = np.maximum(h, LEAST_OF_ROW * size) * weight

    def value(self):
        """J at the point."""
        with np.errstate(divide="ignore"):
            log_probability = np.log1p(-self.missed, out=np.zeros_like(self.missed), where=self.weight > 0.0)
        return self.penalty.value(self.V0[:, self.is_weight]) - np.sum(self.weight * log_probability)

    def minimise(self, accuracy, n_rounds):
        """Coefficients, and the change of the raw predictions from V0.

        The violation of the model is at most ``accuracy`` times that at V0 there, or what n_rounds reach.
        """
        V, D, gradient = self.V0.copy(), np.zeros_like(self.pull), self.gradient
        goal = max(accuracy * self.distance.max(initial=0.0), ROUNDING * np.abs(self.pull).sum())
        # Where no weight wants to leave zero, the others are likely to keep their signs.
        is_settled = not np.any(self.distance[(V == 0.0) & self.is_weight])
        for i in range(n_rounds):
            if i or is_settled:
                V, D = self._polish(V, D, gradient, goal)
                gradient = self._gradient(V, D)
                if self._violation(V, gradient) <= goal:
                    break
            self._sweep(V, D)
            if len(V) > 1 and not self.penalty.l2:
                V[:, self.is_weight] = median_free(V[:, self.is_weight])
                D = self._change(V)
            gradient = self._gradient(V, D)
            if self._violation(V, gradient) <= goal:
                break
        if self.P is None:
            # Both classes have exactly their weight then, which spares the certificate a search for it.
            excess = gradient[:, ~self.is_weight] / max(KAPPA**2 * self.h.sum(), TINY)
            V[:, ~self.is_weight] -= excess
            D = D - KAPPA * excess.sum()
        V[:, ~self.is_weight] *= KAPPA
        V[:, ~self.is_weight] -= V[:, self.is_weight] @ self.shift[:, None]
        return V, D

    def _change(self, V):
        """The change of the raw predictions from V0 to V."""
        return (self.X @ (V - self.V0).T).T

    def _curve(self, D):
        """The Hessian with respect to the raw predictions, times D."""
        out = self.h * D
        if self.P is not None:
            others = self.P * D
            np.subtract(others.sum(axis=0), others, out=others)
            others *= self.P
            out -= others
        return out

    def _gradient(self, V, D):
        """Gradient of the smooth part of the model at V."""
        return (self.XT @ (self.pull + self._curve(D)).T).T + self.l2 * V

    def _distance(self, V, gradient):
        """How far each entry is from optimal, in standardised coordinates."""
        g, by_intercept = gradient[:, self.is_weight], gradient[:, ~self.is_weight] / KAPPA
        g = g - self.mean * by_intercept.sum(axis=1, keepdims=True) if by_intercept.size else g
        distance = self.penalty.distance(V[:, self.is_weight], g) / self.scale
        return np.concatenate([distance, np.abs(by_intercept)], axis=1)

    def _violation(self, V, gradient):
        return self._distance(V, gradient).max(initial=0.0)

    def _sweep(self, V, D):
        """Some sweeps of coordinate descent over the weights of each class, the others being held; in place."""
        # Kept up to date: with a thousand classes to sum anew over all for each took nine tenths of the time.
        coupled = None if self.P is None else np.sum(self.P * D, axis=0)
        for k, root in enumerate(np.sqrt(self.h)):
            pull = self.pull[k]
            if coupled is not None:
                coupled -= self.P[k] * D[k]
                pull = pull - self.P[k] * coupled
            X = _weighted(self.X, root)
            target = X @ self.V0[k] - np.divide(pull, root, out=np.zeros_like(root), where=root > 0.0)
            V[k] = sweep(X, target, self.penalty.l1, self.penalty.l2, V[k], SWEEPS)
            D[k] = self.X @ (V[k] - self.V0[k])
            if coupled is not None:
                coupled += self.P[k] * D[k]

    def _polish(self, V, D, gradient, goal):
        """Towards the minimum of the model over the orthant of V; what would leave the orthant becomes zero."""
        free = (V != 0.0) | ~self.is_weight
        sign = np.sign(V) * self.is_weight
        downhill = np.where(free, -gradient - self.l1 * sign, 0.0)
        price = self._price(free)
        step, is_done = self._conjugate(free, downhill, goal, price)
        if not is_done and self.factor.n_products >= price:
            # As many steps were made as a Hessian costs: never more than twice the best in hindsight.
            if self._takes_whole(free):
                there = V.copy()
                there[free] = self._direct(free, downhill, V, sign)
                return there, self._change(there)
            self._take_blocks(free)
        # Differences below rounding do not count against it.
        value = self._value(V, D) + 1e-13 * np.sum(self.l1 * np.abs(V))
        for change in into_orthant(V, step, sign):
            D_there = D + (self.X @ change.T).T
            if self._value(V + change, D_there) <= value:
                return V + change, D_there
        return V, D

    def _price(self, free):
        """Steps of conjugate gradients that take as long as the Hessian, or its blocks of a class, that may be bought.

        In nanoseconds, as measured on sms_spam and imdb5k: both products of a step, and what is around them; the
        Hessian, its copies and its factors.  Newton steps over the orthant make two to five on text and dozens on more
        features than rows; blocks have one each.
        """
        sizes, n, takes_whole = np.count_nonzero(free, axis=1), self.X.shape[0], self._takes_whole(free)
        if takes_whole:
            sizes, free = np.sum(sizes, keepdims=True), np.count_nonzero(free, axis=0, keepdims=True)
        n_factors = 4.0 if takes_whole else 1.0
        if sparse.issparse(self.X):
            per_row, n_entries = free @ np.diff(self.X.indptr) / n, self.X.nnz
            hessian = 8.0 * n * np.sum(per_row**2) + 0.05 * n_factors * np.sum(sizes**3)
        else:
            hessian, n_entries = 0.1 * (n * np.sum(sizes**2) + n_factors * np.sum(sizes**3)), self.X.size
        hessian += 500_000 + 10.0 * np.sum(sizes**2)
        step = 80_000 + len(self.V0) * (2.0 * n_entries + 10.0 * n)
        # Blocks are bought once a model, and only those that take no more than half the time of a step.
        if not takes_whole and (self.P is None or self.has_blocks or np.sum(sizes**2) > step):
            return np.inf
        return hessian / step

    def _takes_whole(self, free):
        """Would the Hessian be bought as a whole?"""
        return np.count_nonzero(free) <= MAX_DIRECT

    def _hessian(self, free):
        """The Hessian of the model on the free entries."""
        columns = [np.flatnonzero(of_class) for of_class in free]
        ends = np.cumsum([0] + [len(A) for A in columns])
        H = np.empty((ends[-1], ends[-1]))
        X = [self.X[:, A] for A in columns]
        for k, A in enumerate(X):
            for m, B in enumerate(X[: k + 1]):
                h = self.h[k] if k == m else -self.P[k] * self.P[m]
                block = _inner_products(A, h, B)
                H[ends[k] : ends[k + 1], ends[m] : ends[m + 1]] = block
                if k != m:
                    H[ends[m] : ends[m + 1], ends[k] : ends[k + 1]] = block.T
        diagonal(H)[:] += np.broadcast_to(self.l2, free.shape)[free]
        return H

    def _take_blocks(self, free):
        """Factors of the Hessian of each class by itself, in units in which all entries have the same curvature."""
        blocks, units = [], []
        for k, of_class in enumerate(free):
            X = self.X[:, np.flatnonzero(of_class)]
            H = _inner_products(X, self.h[k], X)
            diagonal(H)[:] += self.l2[of_class]
            H, root = unit_diagonal(H)
            blocks.append(cholesky(H, RIDGE))
            units.append(1.0 / root)
        self.factor.take(self.entries[free], blocks, np.concatenate(units))
        self.has_blocks = True

    def _direct(self, free, downhill, V, sign):
        """The free entries at the minimum over their orthant, by their Hessian, whose factor is kept."""
        H = self._hessian(free)
        # In units in which all have the same curvature; softmax has none where all its intercepts move together.
        unit = 1.0 / np.sqrt(np.diagonal(H) + TINY)
        H *= unit
        H *= unit[:, None]
        u = V[free] / unit
        u, inverse = orthant_minimum(H, downhill[free] * unit + H @ u, u, sign[free], RIDGE)
        A, factor = inverse.without_gone()
        self.factor.take(self.entries[free][A], [factor], unit[A])
        return u * unit

    def _conjugate(self, free, downhill, goal, price):
        """The step of the free entries to the minimum over them by conjugate gradients, and whether it meets the goal.

        They are preconditioned by the last factor bought, and by the diagonal where there is none, and end where as
        many steps were made as the next costs.
        """
        # Columns that are zero for all classes stay out of it: half of them, most of the time.
        some = np.any(free, axis=0)
        if np.count_nonzero(some) > MUCH * len(some):
            some[:] = True
        X, XT = self.X, self.XT
        if not some.all():
            X = X[:, some]
            XT = X.T
        here, penalised = free[:, some], self.l2[some]
        limit = np.full(len(self.is_weight), 0.3 * KAPPA * goal)
        limit[self.is_weight] = 0.3 * goal * self.scale
        limit = np.where(here, limit[some], np.inf)
        factor = self.factor

        def product(step):
            # What comes out where nothing is free, the preconditioner leaves out.
            factor.n_products += 1
            return (XT @ self._curve((X @ step.T).T).T).T + penalised * step

        def is_done(residual):
            return not np.any(np.abs(residual) > limit)

        step = np.zeros_like(downhill)
        n_steps = int(np.ceil(np.clip(price - factor.n_products, 0, MAX_CONJUGATE)))
        condition = self._condition(X, here, some)
        step[:, some], residual = conjugate_gradients(product, downhill[:, some], condition, is_done, n_steps)
        return step, is_done(residual)

    def _condition(self, X, free, some):
        """The preconditioner of conjugate gradients on the free entries of some columns of X."""
        factor = self.factor
        _, first, at = np.intersect1d(self.entries[:, some][free], factor.entries, True, True)
        known = np.flatnonzero(free)[first]
        if len(factor.blocks) > 1 and len(known) < MUCH * np.count_nonzero(free):
            # Blocks of a few entries made more steps on r8 than none.
            known, at = known[:0], at[:0]
        others = free.copy()
        others.flat[known] = False
        by_diagonal = self._by_diagonal(X, others, some, not len(known)) if others.any() else np.zeros_like

        def condition(residual):
            out = by_diagonal(residual)
            out.flat[known] = factor.solve(at, residual.flat[known])
            return out

        return condition if len(known) else by_diagonal

    def _by_diagonal(self, X, free, some, is_centred):
        """The same by the diagonal, in coordinates in which the columns are centred, or in those of the features.

        Centred, they have nothing to do with the intercept: text takes half as many steps.
        """
        is_weight = self.is_weight[some]
        squares = sparse.csc_matrix((X.data**2, X.indices, X.indptr), X.shape) if sparse.issparse(X) else np.square(X)
        curvatures = (squares.T @ self.h.T).T + self.l2[some]
        mean, inverse = np.zeros_like(curvatures), np.zeros_like(curvatures)
        if is_centred:
            weight = curvatures[:, ~is_weight].sum(axis=1, keepdims=True)
            np.divide((X.T @ (KAPPA * self.h).T).T, weight, out=mean, where=free & is_weight & (weight > 0.0))
            # Constant columns have no curvature then but for rounding.
            curvatures = np.maximum(curvatures - mean**2 * weight, 1e-8 * curvatures)
        np.divide(1.0, curvatures, out=inverse, where=free & (curvatures > 0.0))

        def condition(residual):
            out = inverse * (residual - mean * residual[:, ~is_weight].sum(axis=1, keepdims=True))
            out[:, ~is_weight] -= np.sum(mean * out, axis=1, keepdims=True)
            return out

        return condition

    def _value(self, V, D):
        """The model, less its value at V0 but for the penalty."""
        smooth = np.vdot(self.pull, D) + 0.5 * np.vdot(D, self._curve(D))
        return smooth + np.sum(self.l1 * np.abs(V)) + 0.5 * np.sum(self.l2 * V**2)
