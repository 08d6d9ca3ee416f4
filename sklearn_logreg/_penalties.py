"""The penalty on the weights: an elastic net, with L1 and L2 as its ends."""

from __future__ import annotations

import numpy as np


class ElasticNet:
    """l1 |W|_1 + 1/2 sum_j l2_j W_j^2: the smooth part belongs to the gradient, the L1 part to the proximal operator.

    ``l2`` is one number, or one a feature; ``l1`` is one number.
    """

    def __init__(self, l1, l2):
        self.l1 = l1
        self.l2 = l2
        self.is_uniform = np.ndim(l2) == 0  # one L2 for all features; a sample of the rows has one a feature
        self._is_there = bool(l1 or np.any(l2))

    def value(self, W):
        """The penalty itself."""
        smooth = 0.5 * np.vdot(self.l2 * W, W)
        return smooth + self.l1 * np.abs(W).sum() if self.l1 else smooth

    def prox(self, W, step_size):
        """argmin_V |V - W|^2 / (2 step_size) + l1 |V|_1: soft thresholding."""
        if not self.l1:
            return W
        threshold = step_size * self.l1
        return W - np.clip(W, -threshold, threshold)

    def distance(self, W, gradient):
        """|gradient + l1 s| for the subgradient s of |W|_1 that makes it smallest, entry by entry."""
        out = np.abs(gradient)
        if self.l1:
            out -= self.l1
            np.maximum(out, 0.0, out=out)
            # Few, as a rule.
            A = np.flatnonzero(W)
            out.flat[A] = np.abs(gradient.flat[A] + self.l1 * np.sign(W.flat[A]))
        return out

    def fenchel_young(self, W, V):
        """sum of pen(w) + w v + pen*(-v) >= 0: how far W is from minimising pen(W) + <V, W>; inf without a minimum."""
        excess = np.maximum(np.abs(V) - self.l1, 0.0)
        if not np.all(self.l2):
            if np.any(excess > 1e-12 * self.l1):
                return np.inf
            return float(np.maximum(self.l1 * np.abs(W) + V * W, 0.0).sum())
        # Next to no penalty may leave no bound: inf.
        with np.errstate(over="ignore"):
            best = -np.sign(V) * excess / self.l2
            slack = V + self.l2 * best  # in [-l1, l1]
            return float((0.5 * self.l2 * (W - best) ** 2 + np.maximum(self.l1 * np.abs(W) + slack * W, 0.0)).sum())

    def __bool__(self):
        return self._is_there
