"""L1: a Hessian on the weights that are not zero, or are to leave zero next."""

from __future__ import annotations

import numpy as np

from ._hessian import HessianPreconditioner
from ._working_set import WorkingSet

# Entries of coef from which some are left out; the most that a Hessian is formed on; and the weights that enter with
# each, so many at least and this share of those that are in.  Nearly all want to leave zero at first, and 980 of 2570
# are not zero at the end (usps at C = 1): with all entries it took 8 s, with all that want to 5.2 s, this way 3.5 s;
# with 500 and 0.5 3.9 s, 200 and 0.2 3.8 s, 500 and 1 4.5 s.  With two classes, where a Hessian serves for some passes,
# w8a (300 features, 216 of their weights not zero) took 1.4 times as long that way, 784 features 0.5 to 1.0 times.
LEAST_PARTIAL = 400
MAX_L1_HESSIAN = 5000
LEAST_ENTERING = 300
ENTERING = 0.3
# How far the others may be from optimal, against those in, before a Hessian is taken that has the worst of them.  With
# 0, data of two classes whose weights all leave zero took 1.0 to 1.2 times as long; with 1, usps interpolated to 400
# and 784 features took 1.1 times at C = 100.  With more classes there is a Hessian at every step anyway.
OUTSIDE = 0.3
# Share of weights that are not zero from which none is left out: a Hessian of all may then serve for several passes.
DENSE = 0.75


class PartialHessian(HessianPreconditioner):
    """The Hessian on some of the weights; where too many are not zero, the model on the weighted rows takes over."""

    def __init__(self, objective, exact=False):
        super().__init__(objective, exact)
        # Weights that are in whatever their distance.
        self.held = np.zeros((objective.shape[0], objective.n_features), bool)

    def start_from(self, sample, here, pseudo_rows):
        if self.wanted(here).all():
            # Else it lacks what leaves zero on all rows.
            super().start_from(sample, here, pseudo_rows)

    def step(self, here, tol, accuracy=0.1):
        if self.successor is None and self._is_too_large(here):
            self.successor = WorkingSet(self.objective)
        if self.successor is not None:
            return self.successor.step(here, tol, accuracy)
        distance, free = self.objective.distance(here), self.free[:, : self.objective.n_features]
        if here.violation > tol and distance[~free].max(initial=0.0) > OUTSIDE * distance[free].max(initial=0.0):
            self.is_ready = False
        return super().step(here, tol, accuracy)

    def wanted(self, here):
        """Entries that a Hessian here is to be formed on: the intercepts, weights that are not zero, the worst others.

        Where there is no room for those that are not zero, the worst of all.
        """
        wanted, p = np.ones(self.free.shape, bool), self.objective.n_features
        distance, is_in = self.objective.distance(here), here.coef[:, :p] != 0.0
        n_in = int(np.count_nonzero(is_in))
        if self._has_room_for_all(n_in):
            return wanted
        n_more = min(max(LEAST_ENTERING, int(ENTERING * n_in)), MAX_L1_HESSIAN - n_in)
        if n_more < LEAST_ENTERING:
            is_in, n_in, n_more = np.zeros_like(is_in), 0, MAX_L1_HESSIAN
        distance[is_in] = 0.0
        # One at least, as no model is empty.
        n_more = min(n_more, max(int(np.count_nonzero(distance)), 1 - n_in))
        if n_more > 0:
            is_in.flat[np.argpartition(distance, -n_more, axis=None)[-n_more:]] = True
        wanted[:, :p] = is_in | self.held
        return wanted

    def hold(self, weights):
        """Take a Hessian with these weights too, a boolean array: were some of them not in?"""
        self.held |= weights
        is_wider = bool(np.any(self.held & ~self.free[:, : self.objective.n_features]))
        self.is_ready = self.is_ready and not is_wider
        return is_wider

    def look(self, here):
        self._set_free(self.wanted(here))
        super().look(here)

    def update(self, here, there):
        if self.successor is None:
            super().update(here, there)
        else:
            self.successor.update(here, there)

    def _is_too_large(self, here):
        """Are more weights not zero than there is room for?  A sample, with one L2 a feature, has no other model."""
        if not self.objective.penalty.is_uniform:
            return False
        n_in = np.count_nonzero(here.coef[:, : self.objective.n_features])
        return n_in > MAX_L1_HESSIAN - LEAST_ENTERING and not self._has_room_for_all(n_in)

    def _has_room_for_all(self, n_in):
        """Are so many weights not zero that it is formed on all, and these not too many?"""
        size = self.objective.shape[0] * self.objective.n_features
        return n_in >= DENSE * size and size <= MAX_L1_HESSIAN
