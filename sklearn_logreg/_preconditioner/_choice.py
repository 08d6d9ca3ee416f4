"""Which preconditioner there is for an objective, and where it starts."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from .._result import Trace
from .._solvers import preconditioned
from ._hessian import HessianPreconditioner, hessian_price, model_nanoseconds
from ._partial_hessian import LEAST_PARTIAL, MAX_L1_HESSIAN, PartialHessian
from ._row_space import RowSpacePreconditioner, resolves
from ._truncated_newton import TruncatedNewton
from ._working_set import WorkingSet

# Unknowns up to which a Hessian is formed and factorised; with more, conjugate gradients may still buy one.
MAX_HESSIAN = 2000
# With L1 it replaces a model on the weighted rows: unknowns up to which it does however few the rows.
LEAST_ROW_MODEL = 300
# Least rows, rows a class and features a class of dense data with three classes or more where a Hessian on the weights
# that are not zero is faster: usps interpolated to 784 features took 6 s instead of 27 at C = 1, 39 s instead of 124 at
# C = 100; with 1000 of its rows 0.7 to 1.4 of the time, with 300 of them 0.8 to 2.2.  3000 x 400 with 30 classes took
# half the time, 1000 x 600 with 20 twice the time.  Of many classes with few features most weights are not zero, and
# the rows took an eighth of the time (2200 x 20, 500 classes).
LEAST_ROWS = 1000
ROWS_A_CLASS = 100
FEATURES_A_CLASS = 10
# Where a Hessian and the model on it cost more than this many passes, the model on the weighted rows is faster.  On
# one-hot features, most of which are not zero, they cost 19 to 32: seven classes of 200 features took 0.6 s by the
# Hessian and 2 s on the rows at C = 1, 2.7 s and 148 s at C = 100.  On text, and on more features than rows, they cost
# 46 to 1400, and the rows take a half to a hundredth of the time.
MAX_PASSES = 35.0
# Passes that a Hessian of more than three classes may cost.  Conjugate gradients with its blocks of a class took two
# fifths of the time on digits (21 passes), 0.4 to 1.1 on generated data of 16 to 50, and at 3 to 10 a tenth more.  Of
# three classes the whole Hessian costs twice the blocks, and took nine tenths of the time.
MAX_SOFTMAX_PASSES = 14.0
# Rows an unknown in the largest sample: 16 took four fifths of the time of 64 on eight raw sets at C = 1 and 100.
SAMPLE = 16
# Rows up to which the span of the rows is used, when they are fewer than the features; and the time that it takes
# against the cube of the rows (0.8 s for 3000), which must be below that of 100 passes: short texts are faster without.
MAX_ROW_SPACE = 3000
ROW_SPACE_NANOSECONDS = 0.03


def choose(objective):
    """The class of the preconditioner, and how many unknowns its matrix has at most: 0 where one is the exception."""
    (n_outputs, q), n_rows = objective.shape, objective.source.n_rows
    size = n_outputs * q
    if objective.penalty.l1:
        # A sample has one L2 a feature, which the model on the rows does not know.
        is_sample = not objective.penalty.is_uniform
        is_wide = n_outputs > 1 and q > FEATURES_A_CLASS * n_outputs
        is_dense = objective.source.n_entries == n_rows * objective.n_features
        of_hessian = PartialHessian if size > LEAST_PARTIAL else HessianPreconditioner
        if is_sample or (is_wide and is_dense and n_rows >= max(LEAST_ROWS, ROWS_A_CLASS * n_outputs)):
            return of_hessian, size
        # What a sweep of coordinate descent costs on either.
        has_few_entries = size > LEAST_ROW_MODEL and size**2 > n_outputs * objective.source.n_entries
        nanoseconds = objective.hessian_nanoseconds(np.float32) + model_nanoseconds(size)
        is_expensive = nanoseconds > MAX_PASSES * objective.source.nanoseconds
        if size > MAX_L1_HESSIAN or (has_few_entries and is_expensive):
            return WorkingSet, 0
        return of_hessian, size
    in_row_space = ROW_SPACE_NANOSECONDS * n_rows**3 <= 100.0 * objective.source.nanoseconds
    if objective.penalty and n_rows < min(objective.n_features, MAX_ROW_SPACE) and in_row_space:
        if size > MAX_HESSIAN or resolves(objective):
            return RowSpacePreconditioner, n_rows
    is_expensive = hessian_price(objective, np.float32) > MAX_SOFTMAX_PASSES
    # Without room for the probabilities each product computes them again, which takes what blocks save.
    if size > MAX_HESSIAN or (n_outputs > 3 and is_expensive and objective.has_room):
        return TruncatedNewton, 0
    return HessianPreconditioner, size


def go_on(objective, here, trace, preconditioner, random_state, warm=False):
    """The result of further passes from an evaluation, and the preconditioner, made now if there was none."""
    start = here.coef
    if preconditioner is None:
        preconditioner, start = prepare(objective, start, random_state, warm)
    return preconditioned(objective, start, preconditioner, trace, here if start is here.coef else None), preconditioner


def prepare(objective, coef, random_state, warm=False):
    """The preconditioner for this objective, and a better point to start from unless this one is warm."""
    q, n_rows = objective.shape[1], objective.source.n_rows
    kind, _ = choose(objective)
    if kind is RowSpacePreconditioner:
        preconditioner = RowSpacePreconditioner(objective)
        return preconditioner, preconditioner.start(coef, lambda reduced, point: prepare(reduced, point, random_state))
    outer = kind(objective)
    # Solve a sample first: its optimum is close, its Hessian too.  Each level has at most an eighth of the rows of the
    # next, so that all of them together cost little against the last.
    n_sample = max(min(n_rows // 8, SAMPLE * q), 1000, 8 * q)
    if n_rows < 8 * n_sample or not outer.starts_from_sample:
        return outer, coef
    # Only here: seeding a generator takes as long as three passes over a few hundred rows.
    random_state = check_random_state(random_state)
    coarse = objective.sample(n_sample, random_state)
    pseudo_rows = coarse.l2 - n_rows / n_sample * objective.l2
    if warm:
        here = coarse.evaluate(coef)
    else:
        inner, coef = prepare(coarse, coef, random_state)
        # The optimum of the sample is known to 1/sqrt(n) only.
        here = preconditioned(coarse, coef, inner, Trace(tol=0.1 / np.sqrt(n_sample), max_iter=50)).evaluation
        coef = here.coef
    outer.start_from(coarse, here, pseudo_rows)
    return outer, coef
