"""Estimates of the inverse curvature: P in W <- W - alpha P grad J(W).

==================  =====================================================  ===========================================
preconditioner      P                                                      where
==================  =====================================================  ===========================================
Hessian             inverse Hessian on a sample of rows, or on all         up to 2000 unknowns
RowSpace            inverse Hessian on the span of the rows                few rows, more features, L2
TruncatedNewton     inverse Hessian, by conjugate gradients                more rows and unknowns, no L1
WorkingSet          inverse Hessian on the features that matter            more unknowns, with L1
==================  =====================================================  ===========================================

The first is refined by curvature pairs as the solver goes.  All but RowSpace and WorkingSet live in the standardised
coordinates of :mod:`.._objective`, where the gradient of J has no units.  With an L1 penalty the step minimises the
quadratic model that P stands for plus the penalty, without touching the data (proximal Newton; Lee, Sun and Saunders
2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._result import Result, Trace
from .._solvers import preconditioned
from ._hessian import HessianPreconditioner
from ._pairs import NEAR
from ._row_space import RowSpacePreconditioner
from ._truncated_newton import MAX_PRODUCTS, TruncatedNewton, conjugate_gradients
from ._working_set import MAX_DIRECT, WorkingSet

# Unknowns up to which a Hessian is formed and factorised.  With one, usps (softmax with 2570) took 53 passes and 3.4 s
# at C = 1; with conjugate gradients 20 and 2.3 s.
MAX_HESSIAN = 2000
# The same with L1, where it replaces a model on the weighted rows, which took usps 90 s instead of 19; and the unknowns
# up to which it serves however few the rows.
MAX_L1_HESSIAN = 5000
LEAST_ROW_MODEL = 300
# Rows an unknown in the largest sample: 16 took four fifths of the time of 64 on eight raw sets at C = 1 and 100.
SAMPLE = 16
# Rows up to which the span of the rows is used, when they are fewer than the features; and the time that it takes
# against the cube of the rows (0.8 s for 3000), which must be below that of 100 passes: short texts are faster without.
MAX_ROW_SPACE = 3000
ROW_SPACE_NANOSECONDS = 0.03
# Violation above which one Newton step does not lead close to the optimum.
ROUGH = 1e-3
# What the step of the certificate may leave in the bound, against J.
SHARP = 1e-11
# With L1, how far the model of that step is solved, against the violation at hand: nothing must be left in the units of
# any feature.
MODEL_ACCURACY = 1e-8


def descend(objective, coef, trace, random_state, warm=None, baseline=np.inf):
    """Minimise the objective from coef; or from ``warm``, if there is one and J is at most ``baseline`` there."""
    here: Any = None
    if warm is not None or objective.penalty.l1:
        # With L1, all-zero weights may be optimal, and are then exact: look there first.
        here = objective.evaluate(coef if warm is None else warm)
        status = trace.add(here)
        if status:
            return Result(here, status)
    if warm is not None and here.value <= baseline:
        coef = warm
    elif warm is not None:
        warm = here = None
    preconditioner, start = _prepare(objective, coef, random_state, warm is not None)
    result = preconditioned(objective, start, preconditioner, trace, here if start is coef else None)
    result.ahead = look_ahead(objective, result.evaluation, trace.n_passes, preconditioner)
    return result


def look_ahead(objective, here, n_passes, preconditioner=None):
    """A point, and a Newton step from there, not to be evaluated: for the dual point of the certificate.

    With the step the bound is close to the truth; without, in an ill-conditioned direction, it is as far off as the
    condition number.
    """
    if not (objective.penalty and np.isfinite(here.violation)):
        return here.coef, np.zeros(objective.shape)
    newton_step = _proximal_newton_step if objective.penalty.l1 else _newton_step
    step = newton_step(objective, here, n_passes, preconditioner)
    if here.violation > ROUGH:
        there = objective.evaluate(here.coef + step)
        if there.value < here.value:
            return there.coef, newton_step(objective, there, n_passes, preconditioner)
    return here.coef, step


def _newton_step(objective, here, n_passes, preconditioner):
    """With L2: conjugate gradients, until what is left of the gradient g adds little to the bound.

    It adds sum_j g_j^2 / (2 l2).  With the preconditioner of the fit they take a few products; a Hessian for it took
    adult a third of its time.
    """
    if isinstance(preconditioner, RowSpacePreconditioner):
        return preconditioner.step(here, 0.0)[0]
    if preconditioner is None:
        exact = np.prod(objective.shape) <= MAX_HESSIAN and HessianPreconditioner(objective, exact=True)
        preconditioner = exact if exact and exact.price <= n_passes + 8.0 else TruncatedNewton(objective)
    if not preconditioner.is_ready:
        preconditioner.look(here)
    gradient, p = here.standardised, objective.n_features
    goal = max(0.05 * np.vdot(gradient, preconditioner.condition(gradient)), SHARP * abs(here.value))

    def is_done(residual):
        rest = objective.unstandardise_gradient(residual)[:, :p]
        return 0.5 * np.sum(rest**2 / objective.penalty.l2) <= goal

    product, diagonal = objective.hessian_product(here.coef, exact=True)
    max_products = min(MAX_PRODUCTS, 2 * n_passes + 10)
    step, residual = conjugate_gradients(product, -gradient, preconditioner.condition, is_done, max_products)
    if len(step) == 1 and objective.fit_intercept:
        # Both classes have exactly their weight then.
        step[:, p:] += residual[:, p:] / diagonal[:, p:]
    return objective.unstandardise(step)


def _proximal_newton_step(objective, here, n_passes, preconditioner):
    """With L1: the step to the minimum of the model, by an exact Hessian if that is not too large."""
    kind = choose(objective)[0]
    if kind is HessianPreconditioner and np.prod(objective.shape) <= MAX_HESSIAN:
        return HessianPreconditioner(objective, exact=True).step(here, 0.0, MODEL_ACCURACY)[0]
    if preconditioner is None:
        return np.zeros(objective.shape)
    accuracy = 0.1
    if kind is WorkingSet and here.violation < NEAR:
        # What is left of a feature's gradient, against l1, shrinks the dual point by so much.
        largest = objective.distance(here).max(initial=0.0) * objective.scale.max()
        accuracy = np.clip(1e-9 * objective.penalty.l1 / max(largest, 1e-300), MODEL_ACCURACY, 0.1)
    return preconditioner.step(here, 0.2 * here.violation, accuracy)[0]


def choose(objective):
    """The class of the preconditioner, and how many unknowns its largest matrix has."""
    (n_outputs, q), n_rows = objective.shape, objective.source.n_rows
    size = n_outputs * q
    if objective.penalty.l1:
        # What a sweep of coordinate descent costs on either.  (A sample has one L2 a feature.)
        is_sample = np.ndim(objective.penalty.l2) > 0
        dear = size > LEAST_ROW_MODEL and size**2 > n_outputs * objective.source.n_entries and not is_sample
        return (WorkingSet, MAX_DIRECT) if dear or size > MAX_L1_HESSIAN else (HessianPreconditioner, size)
    in_row_space = ROW_SPACE_NANOSECONDS * n_rows**3 <= 100.0 * n_outputs * objective.source.nanoseconds
    if objective.penalty and n_rows < min(objective.n_features, MAX_ROW_SPACE) and in_row_space:
        return RowSpacePreconditioner, n_rows
    if size <= MAX_HESSIAN:
        return HessianPreconditioner, size
    return TruncatedNewton, 0


def _prepare(objective, coef, random_state, warm=False):
    """The preconditioner for this objective, and a better point to start from unless this one is warm."""
    q, n_rows = objective.shape[1], objective.source.n_rows
    kind, _ = choose(objective)
    if kind is RowSpacePreconditioner:
        preconditioner = RowSpacePreconditioner(objective)
        return preconditioner, preconditioner.start(coef, lambda reduced, point: _prepare(reduced, point, random_state))
    if kind is not HessianPreconditioner:
        return kind(objective), coef
    # Solve a sample first: its optimum is close, its Hessian too.  Each level has at most an eighth of the rows of the
    # next, so that all of them together cost little against the last.
    n_sample = max(min(n_rows // 8, SAMPLE * q), 1000, 8 * q)
    if n_rows < 8 * n_sample:
        return HessianPreconditioner(objective), coef
    coarse = objective.sample(n_sample, random_state)
    pseudo_rows = (coarse.l2() - n_rows / n_sample * objective.l2()).ravel()
    outer = HessianPreconditioner(objective)
    if warm:
        return outer.start_from(coarse.curvature(coef), pseudo_rows), coef
    inner, coef = _prepare(coarse, coef, random_state)
    # The optimum of the sample is known to 1/sqrt(n) only.
    coef = preconditioned(coarse, coef, inner, Trace(tol=0.1 / np.sqrt(n_sample), max_iter=50)).evaluation.coef
    return outer.start_from(inner.loss_hessian, pseudo_rows), coef
