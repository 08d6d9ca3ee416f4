"""A Newton step from where a fit has ended, or from closer to the optimum: the certificate's dual point."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._result import Trace
from ._choice import MAX_HESSIAN, choose, go_on
from ._hessian import HessianPreconditioner
from ._pairs import NEAR
from ._row_space import RowSpacePreconditioner
from ._truncated_newton import MAX_PRODUCTS, TruncatedNewton, conjugate_gradients
from ._working_set import WorkingSet

# Violation above which one Newton step does not lead close enough to the optimum; and the same with L1 alone, where
# what is missing counts to first order.
ROUGH = 1e-3
ROUGH_L1 = 1e-4
# Passes, of which the fit knows nothing, to get there: as many as it made, or as many as these.
APPROACH = 20
# What the step of the certificate may leave in the bound, against J.
SHARP = 1e-11
# Products that must cost less than a Hessian for a try with them.
LEAST_PRODUCTS = 4
# Times that a model may say anew which weights are zero.
MAX_SUPPORTS = 4
# With L1, what the model of that step may leave of a feature's gradient, against l1: by so much the dual point is
# shrunk.  And how far the model is solved for that, against the violation at hand: at least, and with a Hessian at
# most, which is as far as rounding allows.
SHRUNK = 1e-9
# What rounding leaves of a sum of residuals and standardised features, whose mean sizes are below 1.
SUM_ROUNDING = 1e-16
MODEL_ACCURACY = 1e-8
MOST_ACCURATE = 1e-12
# The same with a large Hessian on some entries, which is taken anew: that of the fit left bounds of 1e-5 where J was
# right to 1e-11.
LARGE_ACCURACY = 1e-4


class Ahead(NamedTuple):
    """A point, and a Newton step from there, not to be evaluated: for the dual point of the certificate."""

    point: Any
    step: Any
    curved: Any = None  # the Hessian of J at the point times the step, in standardised coordinates, if it is known
    # By how much both lower J, to first order from the point: there about twice as much as is left to win.
    promise: float = 0.0


def look_ahead(objective, here, trace, preconditioner, rough=None):
    """A Newton step from here or, where that would not lead close to the optimum, from a point on the way there.

    With the step the bound is close to the truth; without, in an ill-conditioned direction, it is as far off as the
    condition number.  Who has stopped a fit does not wait for further passes.  ``rough`` is the violation from which on
    the step is taken.
    """
    if not (objective.penalty and np.isfinite(here.violation)):
        return Ahead(here.coef, np.zeros(objective.shape))
    rough = rough or (ROUGH if np.all(objective.penalty.l2) else ROUGH_L1)
    there = here
    if here.violation > rough and not trace.is_stopped:
        further = Trace(rough, max_iter=max(trace.n_passes, APPROACH))
        there, preconditioner = _approach(objective, here, further, preconditioner)
    step, curved = _step(objective, there, trace.n_passes, preconditioner)
    return Ahead(there.coef, step, curved, here.value - there.value - objective.slope(there, step))


def _approach(objective, here, trace, preconditioner):
    """The evaluation to which the passes of a trace lead from here, and the preconditioner that made their steps."""
    result, preconditioner = go_on(objective, here, trace, preconditioner, random_state=0)
    return min(here, result.evaluation, key=lambda evaluation: evaluation.value), preconditioner


def _step(objective, here, n_passes, preconditioner):
    """The Newton step, or none where it is not finite: where every row is certain, nothing curves J.

    And the Hessian times it, if it is known.
    """
    newton_step = _proximal_newton_step if objective.penalty.l1 else _newton_step
    with np.errstate(over="ignore", invalid="ignore"):
        step, curved = newton_step(objective, here, n_passes, preconditioner)
    return (step, curved) if np.all(np.isfinite(step)) else (np.zeros(objective.shape), None)


def _newton_step(objective, here, n_passes, preconditioner):
    """With L2, the step and the Hessian times it: conjugate gradients, until what is left adds little to the bound.

    What they leave of the gradient, g, adds sum_j g_j^2 / (2 l2).  With the preconditioner of the fit they take a few
    products; a Hessian for it took adult a third of its time.  Where they take as long as another preconditioner, that
    is bought after all: adult at tol 1e-2, which ends with the Hessian of a sample, had taken 56 products.
    """
    if isinstance(preconditioner, RowSpacePreconditioner):
        return preconditioner.step(here, 0.0)[0], None
    if preconditioner is None:
        preconditioner = HessianPreconditioner(objective, exact=True)
        if np.prod(objective.shape) > MAX_HESSIAN or preconditioner.price > n_passes + 8.0:
            preconditioner = TruncatedNewton(objective)
    if not preconditioner.is_ready:
        preconditioner.look(here)
    gradient, p = objective.apart(here.standardised), objective.n_features
    goal = max(0.05 * np.vdot(gradient, preconditioner.condition(gradient)), SHARP * abs(here.value))

    def is_done(residual):
        rest = objective.unstandardise_gradient(residual)[:, :p]
        return 0.5 * np.sum(rest**2 / objective.penalty.l2) <= goal

    exact = objective.hessian(here, exact=True, balances=True)
    step, residual = np.zeros(objective.shape), -gradient
    for condition, n_products in _conditions(objective, here, preconditioner, min(MAX_PRODUCTS, 2 * n_passes + 10)):
        more, residual = conjugate_gradients(exact.product, residual, condition, is_done, n_products)
        step = step + more
        if is_done(residual):
            break
    shift, curved = exact.balance(residual)
    return objective.unstandardise(step + shift), curved - gradient - residual


def _conditions(objective, here, preconditioner, max_products):
    """Preconditioners for conjugate gradients, each dearer than the one before, and how many products they may take.

    That of the fit, the same taken anew, and a Hessian.
    """
    price = preconditioner.price
    # A fit by products with the Hessian made several in each pass, and may make more for its certificate.
    by_products = isinstance(preconditioner, TruncatedNewton) and np.prod(objective.shape) <= MAX_HESSIAN
    yield preconditioner.condition, int(min(price + 1.0, max_products))
    if price < max_products or by_products:
        preconditioner.renew(here)
        yield preconditioner.condition, max_products
    if by_products:
        hessian = HessianPreconditioner(objective, exact=True)
        hessian.look(here)
        yield hessian.condition, max_products


def _on_support(objective, here, preconditioner, max_products):
    """The step to the minimum of the exact model and the Hessian times it, by such products; None if that is slow.

    The fit's own model says which weights are zero and the signs of the others, whose minimum conjugate gradients find,
    with the own Hessian for their preconditioner.  Where features are collinear, rounding may keep them from it.
    """
    penalty, p = objective.penalty, objective.n_features
    hessian = objective.hessian(here, exact=True, balances=True)

    def is_small(rest):
        if np.all(penalty.l2):
            return 0.5 * np.sum(rest**2 / penalty.l2) <= SHARP * abs(here.value)
        # What is left shrinks the dual point.
        return np.all(np.abs(rest) <= np.maximum(SHRUNK * penalty.l1, SUM_ROUNDING * objective.scale))

    def is_done(residual):
        return is_small(objective.unstandardise_gradient(residual)[:, :p])

    def counted(step):
        nonlocal max_products
        max_products -= 1.0
        return hessian.product(step)

    there = here
    for _ in range(MAX_SUPPORTS):
        step = preconditioner.step(there, here.violation)[0]
        sign = np.sign(there.coef + step)
        free = sign != 0.0
        sign[:, p:], free[:, p:] = 0.0, True
        sign[:, :p] /= objective.scale

        def on_free(step, free=free):
            return np.where(free, counted(step), 0.0)

        downhill = -np.where(free, there.standardised + penalty.l1 * sign, 0.0) - on_free(objective.standardise(step))
        rest, residual = conjugate_gradients(on_free, downhill, preconditioner.on(free), is_done, int(max_products))
        if not is_done(residual):
            break
        coef = there.coef + step + objective.unstandardise(rest)
        there = _by_model(objective, here, counted, coef)
        if _beyond(objective, there)[~preconditioner.free[:, :p]].any():
            break
        by_intercept = np.abs(there.standardised[:, p:]).sum(axis=1, keepdims=True)
        if is_small(0.1 * (objective.distance(there) * objective.scale + by_intercept * np.abs(objective.mean))):
            shift, curved = hessian.balance(-there.standardised)
            # In the coordinates of the features too it moves intercepts alone.
            return coef - here.coef + shift, there.standardised - here.standardised + curved
    return None


def _by_model(objective, here, product, coef):
    """The evaluation at coef but for its value, by the quadratic model at here, of which ``product`` is the Hessian."""
    gradient = here.standardised + product(objective.standardise(coef - here.coef))
    return replace(here, coef=coef, standardised=gradient)


def _beyond(objective, there):
    """Which weights that are zero there have a gradient beyond what may shrink the dual point."""
    is_zero = there.coef[:, : objective.n_features] == 0.0
    return is_zero & (objective.distance(there) * objective.scale > SHRUNK * objective.penalty.l1)


def _exact_step(objective, here, exact, accuracy):
    """The step to the minimum of the exact model, with all weights that would leave zero where it leads."""
    step = exact.step(here, 0.0, accuracy)[0]
    if exact.free.all():
        return step
    product = objective.hessian(here, exact=True).product
    for _ in range(MAX_SUPPORTS):
        there = _by_model(objective, here, product, here.coef + step)
        if not exact.hold(_beyond(objective, there)):
            break
        step = exact.step(here, 0.0, accuracy)[0]
    return step


def _proximal_newton_step(objective, here, n_passes, preconditioner):
    """With L1: the step to the minimum of the model, by an exact Hessian if that is not too large.

    And that Hessian times the step, if it is known.
    """
    kind = choose(objective)[0]
    largest = objective.distance(here).max(initial=0.0) * objective.scale.max()
    accuracy = SHRUNK * objective.penalty.l1 / max(largest, 1e-300)
    if kind is WorkingSet or (preconditioner is not None and preconditioner.successor is not None):
        if preconditioner is None:
            return np.zeros(objective.shape), None
        accuracy = np.clip(accuracy, MODEL_ACCURACY, 0.1) if here.violation < NEAR else 0.1
        # Without a limit of the violation to reach, it is the step of one model.
        return preconditioner.step(here, np.inf, accuracy)[0], None
    exact = kind(objective, exact=True)
    n_free = np.count_nonzero(exact.wanted(here))
    if n_free > MAX_HESSIAN:
        if preconditioner is None:
            return np.zeros(objective.shape), None
        preconditioner.is_ready = False
        return preconditioner.step(here, 0.0, LARGE_ACCURACY)[0], None
    products = objective.hessian_nanoseconds(exact.dtype, n_free) / objective.source.nanoseconds
    if products >= 2 * LEAST_PRODUCTS and preconditioner is not None and preconditioner.is_ready:
        # Raw data may not let them arrive: half the price may be lost.
        found = _on_support(objective, here, preconditioner, 0.5 * products)
        if found is not None:
            return found
    return _exact_step(objective, here, exact, np.clip(accuracy, MOST_ACCURATE, MODEL_ACCURACY)), None
