"""The descent with a preconditioner, from the first look at zero weights to the last steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._result import Result, Status
from .._solvers import preconditioned
from ._choice import go_on, prepare
from ._look_ahead import look_ahead

# What a Newton step may still promise of J where the violation is tol, against tol^2: with features that have little to
# do with each other it is about their number.  Along nearly equal ones J can fall without any gradient to speak of: on
# totals of money over years the violation was 2e-7 and J 4 % too high.
HIDDEN = 1e4
# Further passes allowed: as many as before, or as many as these.
FURTHER = 10


def descend(objective, coef, trace, random_state, warm=None, baseline=np.inf):
    """Minimise the objective from coef; or from ``warm``, if there is one and J is at most ``baseline`` there."""
    here: Any = None
    status = None
    warm = None if warm is None else objective.centre(warm, lowers=True)
    if warm is not None or objective.penalty.l1:
        # With L1, all-zero weights may be optimal, and are then exact: look there first.
        here = objective.evaluate(coef if warm is None else warm)
        status = trace.add(here)
    if status:
        result, preconditioner = Result(here, status), None
    else:
        if warm is not None and here.value <= baseline:
            coef = warm
        elif warm is not None:
            warm = here = None
        preconditioner, start = prepare(objective, coef, random_state, warm is not None)
        result = preconditioned(objective, start, preconditioner, trace, here if start is coef else None)
    return _refine(objective, result, preconditioner, trace, random_state)


def _refine(objective, result, preconditioner, trace, random_state):
    """Go on below tol while a Newton step promises more than it should there, for a limited number of passes."""
    tol, status = trace.tol, result.status
    trace.max_iter = min(trace.max_iter, trace.n_passes + max(trace.n_passes, FURTHER))
    while True:
        here = result.evaluation
        result.ahead = look_ahead(objective, here, trace, preconditioner)
        promise = result.ahead.promise
        is_done = status is not Status.CONVERGED or trace.is_stopped or trace.n_passes >= trace.max_iter
        if is_done or promise <= max(HIDDEN * tol**2 * here.value, objective.resolution(here)):
            return result
        trace.tol = 0.1 * here.violation
        further, preconditioner = go_on(objective, here, trace, preconditioner, random_state, warm=True)
        if further.evaluation.violation > tol:
            return result
        result.evaluation, status = further.evaluation, further.status
