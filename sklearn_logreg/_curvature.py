"""The Hessian of J: as a matrix, the blocks of its classes, its products with a step, or its diagonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._sources import in_precision

# Numbers held at a time while the Hessian of softmax is formed: 16 MiB of them, or as many as it has itself (usps took
# four fifths of the time that way), or at least one block of a class.
BETWEEN_ENTRIES = 2**21


class Hessian:
    """The Hessian of J at an evaluation, in standardised coordinates, over the entries of coef in order.

    A matrix, its blocks, a product or the diagonal: each reads every row once.  What J curves by in each row is
    computed again each time, until a product or the diagonal has kept it, where there is room.  Unless ``exact``, rows
    far on the wrong side are given more curvature.  With ``balances`` the first product prepares for :meth:`balance`.
    """

    def __init__(self, objective, here, exact, balances):
        self.objective = objective
        self.here = here
        self.exact = exact
        self.kept = None  # what ``_curve`` gave, of all rows
        self.balances = balances and objective.fit_intercept and objective.shape[0] == 1
        self.column = None  # with two classes, the Hessian times the intercept

    def matrix(self, dtype=np.float64, free=None):
        """That of the mean loss, without the penalty's part, from products formed in ``dtype``.

        It may be formed on some of the entries alone, ``free``, a boolean array in the shape of coef; for two classes
        the intercept is always one.
        """
        objective, p = self.objective, self.objective.n_features
        used: Any = slice(None) if free is None else np.flatnonzero(free[:, :p].any(axis=0))
        if objective.shape[0] == 1:
            return self.class_blocks(dtype, used)[0]
        largest = self._largest_weight()
        scale = np.tile(self._scale(largest), (objective.shape[0], 1))
        features: Any = None
        if free is None:
            scale = scale.ravel()
        else:
            scale = scale[free]
            # Of each class, the rows of what is centred.
            features = [np.flatnonzero(of_class) for of_class in np.hstack([free[:, used], free[:, p:]])]

        size = len(scale)
        sizes = [size, *map(len, features or ())]

        def sums(X_b, rows, work):
            P = self._curve(X_b, rows, work)
            root = 1.0 if objective.weight is None else np.sqrt(objective.weight[rows] / largest)
            between = in_precision(P * root, dtype, is_squared=True)
            own = in_precision((np.sqrt(self._of_own(P)) if features else P[:0]) * root, dtype, is_squared=True)
            total = [np.zeros((n, n)) for n in sizes]
            for some, part in objective.source.parts(X_b, max(BETWEEN_ENTRIES // size, size)):
                # Single precision may not hold the features; the caller sees it by the result.
                with np.errstate(over="ignore", invalid="ignore"):
                    Z = objective.source.centred(part, objective.mean, objective.fit_intercept, work, dtype, used)
                    total[0] += _between_classes(Z, between[:, some], features, work)
                    for so_far, root_k, A in zip(total[1:], own[:, some], features or (), strict=True):
                        so_far += _within_class(Z, root_k, A)
            return total

        # A product of few rows takes as long as what its result takes to be stored and added.
        source = objective.source.in_longer_blocks(size)
        H, *within = source.sum_over_blocks(sums, objective.hessian_nanoseconds(dtype, size))
        np.negative(H, out=H)
        start = 0
        for H_k in within:
            of_class = slice(start, start := start + len(H_k))
            H[of_class, of_class] = H_k
        H /= np.multiply.outer(scale, scale)
        if free is None:
            # The blocks of a class add up to zero, as p_k (1 - p_k) is the sum of p_k p_l over the others: J does not
            # curve where all classes move together, whatever the rounding.
            blocks = H.reshape(*objective.shape, *objective.shape)
            for k in range(len(blocks)):
                blocks[k, :, k] = 0.0
                blocks[k, :, k] = -blocks[k].sum(axis=1)
        return H

    def class_blocks(self, dtype=np.float64, features=slice(None)):
        """The same for each class by itself: the diagonal blocks, shape (n_outputs, q, q) or less on some features.

        Reads every row once for each few classes where blocks are large.
        """
        objective = self.objective
        largest, source = self._largest_weight(), objective.source
        scale = self._scale(largest, features)
        n_outputs, size = objective.shape[0], len(scale)

        def sums(X_b, rows, work):
            h = self._of_own(self._curve(X_b, rows, work)[classes])
            if objective.weight is not None:
                h = h * (objective.weight[rows] / largest)
            # Single precision may not hold the features; the caller sees it by the result.
            with np.errstate(over="ignore", invalid="ignore"):
                of_source = objective.mean, objective.fit_intercept, work, dtype, features
                return [source.gram(X_b, h_k, *of_source) for h_k in h]

        H = np.empty((n_outputs, size, size))
        # Each thread holds what it has summed: of ten classes of 784 features at once, more than the data.
        n_together = max(BETWEEN_ENTRIES // size**2, 1)
        share = min(n_together / n_outputs, 1.0) * (size / objective.shape[1]) ** 2
        nanoseconds = max(share * objective.class_blocks_nanoseconds(dtype), source.nanoseconds)
        for start in range(0, n_outputs, n_together):
            classes = slice(start, start + n_together)
            for k, H_k in enumerate(source.sum_over_blocks(sums, nanoseconds), start):
                H[k] = H_k
        H /= scale
        H /= scale[:, None]
        return H

    def _largest_weight(self):
        """What weights are divided by in sums that single precision must hold."""
        return 1.0 if self.objective.weight is None else self.objective.weight.max()

    def _scale(self, largest, features=slice(None)):
        """What makes such a sum of products of features a mean in standardised coordinates, divided by it twice."""
        return self.objective.scale_of(features) * np.sqrt(self.objective.total_weight / largest)

    def _curve(self, X_b, rows, work):
        """Of each row of a block the second derivative of the loss; for softmax, the probabilities."""
        if self.kept is not None:
            return self.kept[:, rows]
        objective = self.objective
        raw, codes = objective.raw_block_at(self.here, X_b, rows, work), None if self.exact else objective.codes[rows]
        if objective.shape[0] == 1:
            return objective.loss.curvature(raw, codes)
        # A copy, as a product makes its own raw predictions in the same memory.
        return objective.loss.curving_probabilities(raw, codes).copy()

    def _of_own(self, curved):
        """Second derivatives of the loss when each class moves by itself: for softmax p_k (1 - p_k)."""
        return curved if self.objective.shape[0] == 1 else curved * (1.0 - curved)

    def _mean(self, function):
        """Weighted means of what function(curved, weight, X_b, work) sums over the rows of a block."""
        objective = self.objective
        room = objective.room() if self.kept is None else None

        def sums(X_b, rows, work):
            curved = self._curve(X_b, rows, work)
            if room is not None:
                room[:, rows] = curved
            return function(curved, 1.0 if objective.weight is None else objective.weight[rows], X_b, work)

        means = [total / objective.total_weight for total in objective.source.sum_over_blocks(sums)]
        if room is not None:
            self.kept = room
        return means

    def product(self, step):
        """The Hessian times a step."""
        if not self.balances or self.column is not None:
            return self._products(step)[0]
        # While the block is in cache: by itself it would take most of a pass.
        out, self.column = self._products(step, self._intercept())
        return out

    def _intercept(self):
        """The step of the intercept alone, by one."""
        step = np.zeros(self.objective.shape)
        step[:, -1] = 1.0
        return step

    def _products(self, *steps):
        """The Hessian times each of the steps."""
        objective = self.objective
        rounded = [objective.unstandardise(step).astype(objective.source.dtype, copy=False) for step in steps]

        def product(coef, curved, weight, X_b, work):
            D = objective.raw_block(*objective.split(coef), X_b, work)
            D *= curved
            if len(D) > 1:
                D -= curved * D.sum(axis=0)
            if objective.weight is not None:
                D *= weight
            return objective.accumulate(D, X_b, work).copy()

        means = self._mean(lambda *block: [product(coef, *block) for coef in rounded])
        return [objective.standardise_gradient(m) + objective.l2 * s for m, s in zip(means, steps, strict=True)]

    def balance(self, residual):
        """The step of the intercepts that leaves none of their residual, and the Hessian times it.

        With it every class has exactly its weight, by the model.
        """
        shift = np.zeros_like(residual)
        if not self.objective.fit_intercept:
            return shift, shift
        shift[:, -1] = np.linalg.lstsq(self.of_intercepts(), residual[:, -1], rcond=1e-14)[0]
        return shift, self.product(shift) if self.column is None else shift[0, -1] * self.column

    def diagonal(self, of_features=True):
        """Its diagonal; not ``of_features``: the mean of that for each class."""
        objective = self.objective

        def sums(curved, weight, X_b, work):
            h = weight * self._of_own(curved)
            return h.sum(axis=1), *(objective.source.second_moments(h, X_b) if of_features else ())

        total, *moments = self._mean(sums)
        diagonal = np.repeat(total[:, None], objective.shape[1], axis=1)
        if of_features:
            first, second = moments
            by_feature = second - 2.0 * objective.mean * first + objective.mean**2 * total[:, None]
            objective.split(diagonal)[0][:] = by_feature / objective.scale**2
        return np.maximum(diagonal, 0.0) + objective.l2

    def of_intercepts(self):
        """Its entries at the intercepts, (n_outputs, n_outputs)."""
        if self.objective.shape[0] == 1:
            if self.column is None:
                (self.column,) = self._products(self._intercept())
            return self.column[:, -1:]
        (H,) = self._mean(lambda P, weight, X_b, work: ((weight * P) @ P.T,))
        # p_k (1 - p_k) is the sum of p_k p_l over the others: no difference of large numbers.
        np.fill_diagonal(H, 0.0)
        return np.diag(H.sum(axis=1)) - H


def _between_classes(Z, P, features, work):
    """sum_i (p_i p_i') kron (z_i z_i'), on all features or on some for each class: what couples them in softmax."""
    ends = np.cumsum([len(Z)] * len(P) if features is None else [len(A) for A in features])
    V = work.array("between", (ends[-1], Z.shape[1]), Z.dtype)
    if features is None:
        np.multiply(P[:, None], Z, out=V.reshape(len(P), len(Z), -1))
    else:
        for V_k, A, p in zip(np.split(V, ends[:-1]), features, P, strict=True):
            np.multiply(Z[A], p, out=V_k)
    return np.dot(V, V.T)


def _within_class(Z, root, A):
    """sum_i h_i z_i z_i' with h the squares of ``root``, on the features A."""
    Z = Z[A] * root
    return np.dot(Z, Z.T)
