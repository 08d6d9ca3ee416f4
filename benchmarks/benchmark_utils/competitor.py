"""What all solvers have in common: the data as given, a tolerance that tightens by decades, and no patience limit."""

import warnings

import numpy as np
from benchopt import BaseSolver
from benchopt.stopping_criterion import SufficientProgressCriterion

# Far above what any solver needs that arrives at all.
MAX_ITER = 10_000


class Competitor(BaseSolver):
    """A library that stops by itself at a tolerance.

    A solver implements `fit(tol)`, which sets `coef` and `intercept`; everything in it is timed, as a user would
    wait for it.  What a solver may use: `X`, `y` (class indices), `C`, `l1_ratio`, `n_classes`, and `alpha` = 1/(C n),
    the factor of the penalty when the losses are averaged.
    """

    sampling_strategy = "tolerance"
    # Several decades may give the same point before the next step is due.
    stopping_criterion = SufficientProgressCriterion(strategy="tolerance", eps=1e-13, patience=5)

    def set_objective(self, X, y, C, l1_ratio):
        self.X, self.y, self.C, self.l1_ratio = X, y, C, l1_ratio
        self.n_classes = int(y.max()) + 1
        self.alpha = 1.0 / (C * X.shape[0])

    def get_next(self, tol):
        """0.1, 0.01, and so on."""
        return min(tol, 1.0) / 10

    def warm_up(self):
        """A first fit, not timed: threads, compiled code, page faults."""
        self.run(1.0)

    def run(self, stop_value):
        if self.sampling_strategy == "tolerance":
            # benchopt starts from infinity.
            stop_value = min(stop_value, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.fit(stop_value)

    def get_result(self):
        return {"coef": np.atleast_2d(self.coef), "intercept": np.atleast_1d(self.intercept)}


def refuse(reason_by_condition):
    """benchopt's answer for `skip`: the first reason whose condition holds."""
    for reason, holds in reason_by_condition.items():
        if holds:
            return True, reason
    return False, None
