"""L1 and many features: a model on those that are, or should be, not zero, solved on their weighted rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from ._row_model import MAX_ROUNDS, MUCH, Factor, RowModel, with_intercept

# Models after the first on one working set: from where it is at hand to a tol of 1e-6 it takes three on sms_spam and
# imdb5k.
MAX_MODELS = 4


class WorkingSet:
    """Solve for the features that are, or should be, not zero; look at all of them; repeat."""

    starts_from_sample = False

    def __init__(self, objective):
        self.objective = objective
        self.held, self.shift = np.empty(0, np.intp), np.empty(0)
        self.X: Any = None
        self.XT: Any = None
        self.n_rounds = MAX_ROUNDS
        self.factor = Factor()

    def step(self, here, tol, accuracy=0.1):
        """The step to the minimum of the quadratic model on the working set plus l1 |W|_1.

        A set that is at hand already is likely to be the last: other models follow, each at the minimum of the one
        before, until the violation on the set is below ``tol``.
        """
        is_last = self._hold(here) and here.raw is not None and tol < here.violation
        model, there = self._model(here), here
        V, raw_change = model.minimise(accuracy, self.n_rounds)
        columns = model.columns
        # The first step is the solver's to judge.
        first = last = V
        for _ in range(MAX_MODELS if is_last else 0):
            there = replace(there, coef=here.coef.copy(), raw=there.raw + raw_change)
            there.coef[:, columns] = V
            before, model = model, self._model(there)
            if model.value() > before.value():
                V = last
                break
            # Below half of it, rounding does not make the difference.
            if model.violation <= 0.5 * tol:
                break
            last, (V, raw_change) = V, model.minimise(accuracy, self.n_rounds)
        step = np.zeros(here.coef.shape)
        step[:, columns] = V - here.coef[:, columns]
        slope = self.objective.slope(here, step)
        if not slope < 0.0:
            # The last model led astray: nothing else has been seen of where it leads.
            step[:, columns] = first - here.coef[:, columns]
            slope = self.objective.slope(here, step)
        self.columns, self.full = columns, step[:, columns]
        return step, slope

    def _model(self, here):
        """The quadratic model there."""
        return RowModel(self.objective, here, self.X, self.XT, self.held, self.shift, self.factor)

    def _hold(self, here):
        """Hold the columns of X that are not zero or that are worst, and one for each intercept: were they at hand?"""
        objective = self.objective
        distance = objective.distance(here).max(axis=0)
        active = np.any(here.coef[:, : objective.n_features], axis=0)
        # Half as many took more passes, twice as many larger models (sms_spam, imdb5k and r8).
        n_more = max(200 // objective.shape[0], 10, np.count_nonzero(active))
        wanted = np.flatnonzero((distance > 0.0) & ~active)
        if len(wanted) > n_more:
            wanted = wanted[np.argpartition(-distance[wanted], n_more)[:n_more]]
        active[wanted] = True
        columns = np.flatnonzero(active)
        is_held = np.zeros(objective.n_features, bool)
        is_held[self.held] = True
        is_there = self.X is not None and is_held[columns].all()
        if not is_there:
            X = objective.source.columns(columns)
            # Columns far from zero are nearly that of the intercept, and coordinate descent crawls between the two.
            is_centred = objective.fit_intercept and not sparse.issparse(X)
            self.shift = objective.mean[columns] * is_centred
            self.X = with_intercept(X - self.shift if is_centred else X, int(objective.fit_intercept))
        elif len(columns) < MUCH * len(self.held):
            last, kept = np.arange(len(self.held), self.X.shape[1]), np.searchsorted(self.held, columns)
            self.X, self.shift = self.X[:, np.append(kept, last)], self.shift[kept]
        else:
            return is_there
        # Its transpose shares the entries, but takes SciPy as long to make as a product.
        self.held, self.XT = columns, self.X.T
        return is_there

    def update(self, here, there):
        """Where the step had to be shortened, the model is not good enough for its exact minimum to be worth much."""
        taken = np.vdot((there.coef - here.coef)[:, self.columns], self.full)
        self.n_rounds = MAX_ROUNDS if taken > 0.9 * np.vdot(self.full, self.full) else 1
