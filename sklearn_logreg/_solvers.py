"""Batch gradient descent: one update on the whole batch, in three forms.

    W  <-  W  -  alpha * P * grad J(W)          followed, with an L1 penalty, by its proximal operator

===================  ==============================================  =============================================
solver               P                                               alpha
===================  ==============================================  =============================================
gradient_descent     the identity: the features as they are          a fixed step size, at most 1/L to be safe
nesterov             the same                                        the same, at a point extrapolated by momentum
preconditioned       an estimate of the inverse curvature            1, shortened where it does not lower J enough
===================  ==============================================  =============================================

Every solver keeps one order: *evaluate, certify, step*.  An evaluation of J, its gradient and the violation is one
pass over the data; it is reported to the trace, which says when to stop; and the point that is returned is the very
one that was evaluated.  The solvers know neither data nor loss, only an objective with ``evaluate`` and ``prox``.
"""

from __future__ import annotations

import numpy as np

from ._result import Result, Status

# A step is long enough if it lowers J by this fraction of what the slope promises (Armijo 1966).
SUFFICIENT_DECREASE = 1e-4
# Where every row is on its right side and nothing is penalised, J sinks towards zero for ever: this is low enough.
SEPARATED = 1e-4
# Steps in a row that neither lower J measurably nor the violation, after which the working precision is reached.
PATIENCE = 5
# To lose so much of what was won takes too large a step size; rounding and momentum lose less.
LOST = 0.01


def gradient_descent(objective, coef, step_size, trace):
    """W <- prox(W - alpha grad J(W)): the algorithm of the textbooks; with an L1 penalty, ISTA."""
    best = None
    while True:
        here = objective.evaluate(coef)
        status = trace.add(here)
        best = here if best is None or here.value < best.value else best
        if trace.exploded():
            return Result(best, Status.DIVERGED)
        if status:
            # A stable step size never raises the cost, on no step of all.
            resolution, rise = objective.resolution(best), np.max(np.diff(trace.values), initial=0.0)
            lost = here.value > best.value + resolution or rise > LOST * (trace.values[0] - best.value) + resolution
            if status is Status.MAX_ITER and lost:
                return Result(best, Status.DIVERGED)
            return Result(here, status)
        coef = objective.prox(coef - step_size * here.gradient, step_size)


def nesterov(objective, coef, step_size, trace):
    """The same step from a point extrapolated by momentum (Nesterov 1983).

    With an L1 penalty it is FISTA (Beck and Teboulle 2009).  The momentum restarts from zero when it points uphill
    (O'Donoghue and Candès 2015).
    """
    best, previous, momentum = None, coef, 1.0
    while True:
        here = objective.evaluate(coef)
        status = trace.add(here)
        best = here if best is None or here.value < best.value else best
        if trace.exploded():
            return Result(best, Status.DIVERGED)
        if status:
            lost = here.value - best.value > LOST * (trace.values[0] - best.value) + objective.resolution(best)
            if status is Status.MAX_ITER and lost:
                status = Status.DIVERGED
            return Result(here if status is Status.CONVERGED else best, status)
        stepped = objective.prox(coef - step_size * here.gradient, step_size)
        if np.vdot(coef - stepped, stepped - previous) > 0.0:
            momentum = 1.0
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        coef = stepped + (momentum - 1.0) / following * (stepped - previous)
        previous, momentum = stepped, following


def preconditioned(objective, coef, preconditioner, trace, here=None):
    """W <- W - alpha P grad J(W), with P refined as it goes; alpha = 1 unless J asks for less.

    ``preconditioner.step(here, tol)`` gives the full step and the change of J that it promises to first order;
    ``preconditioner.update(here, there)`` learns from the step that was taken.  ``here`` is the evaluation at coef,
    if it was made and reported already.
    """
    status = None
    if here is None:
        here = objective.evaluate(coef)
        status = trace.add(here)
    best, stalled = here, 0
    while not status:
        step, slope = preconditioner.step(here, trace.tol)
        alpha = 1.0
        resolution = objective.resolution(here)
        while True:
            there = objective.evaluate(here.coef + alpha * step)
            status = trace.add(there)
            if status is Status.CONVERGED or there.value <= here.value + SUFFICIENT_DECREASE * alpha * slope:
                break
            slope_there = np.vdot(there.gradient, step)
            # Differences of J drown in rounding near the optimum; slopes (Hager and Zhang 2005) and violations do not.
            flatter = abs(slope_there) <= 0.9 * abs(slope) or there.violation < here.violation
            if there.value <= here.value + resolution and flatter:
                break
            stalled += alpha * abs(slope) <= resolution
            if status or stalled >= PATIENCE or alpha < 1e-30:
                return Result(best, status or Status.PRECISION)
            share = objective.shorten(here, there)
            if share is None:
                # The minimum of the parabola through both values and the slope.
                curved = there.value - here.value - alpha * slope
                share = min(max(-0.5 * alpha * slope / curved, 0.1), 0.7) if curved > 0.0 else 0.3
            alpha *= share
        preconditioner.update(here, there)
        here = there
        if here.violation < 0.7 * best.violation or here.value < best.value - objective.resolution(best):
            best, stalled = here, 0
        else:
            stalled += 1
        if stalled >= PATIENCE and not status:
            status = Status.PRECISION
        if here.separates and here.value < SEPARATED and not status:
            status = Status.SEPARABLE
    return Result(here if status is Status.CONVERGED else best, status)
