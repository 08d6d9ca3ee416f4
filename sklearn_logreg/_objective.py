"""The objective J of logistic regression, and everything that follows from it.

Conventions, stated here once.  X has n rows x_i of p features and S = sum_i s_i is the total weight (sample weight
times class weight).  ``coef`` is one array of shape (n_outputs, p + 1): one row ``[w, b]`` for two classes, one a
class for softmax; the last column, the intercept, is absent without one.  Raw predictions of a block of m rows have
shape (n_outputs, m).

    J(W, b) = (1/S) sum_i s_i loss(y_i, W x_i + b)  +  (1/(C S)) (l1_ratio |W|_1 + (1 - l1_ratio)/2 |W|_2^2)

The intercept is never penalised.  ``C = inf`` leaves the mean loss, the cost of the textbooks.

Standardised coordinates.  With the weighted mean and standard deviation of feature j,

    u_j = sd_j w_j,    c = b + mean . w     (so that w.x + b = u . (x - mean)/sd + c),

J is the same function whatever the units and the origin of the features; without intercept mean is 0 and sd the
root mean square, and a feature whose scale would be 0 has scale 1.  The gradient there, (g_j - mean_j g_b)/sd_j and
g_b, divided by the mean probability that the model gives to the wrong classes, is the *violation*: the stopping
criterion of every solver, without units, recomputable from (X, y, s, coef_, intercept_).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from ._curvature import Hessian
from ._sources import BLOCK_BYTES, SMALL_BYTES, Workspace, rows_at, weights_of

# The least and the largest share of a step that was too long.
SHARES = 1e-3, 0.7
# Times its length that a step may get.  Newton steps from zero want 1.2 to 2.5 times theirs on real data, raw.
LONGEST = 4.0
# Scale below which a feature is next to nothing, and has scale 1: its inverse square would overflow.
LEAST_SCALE = 1e-140
# Of data of so many bytes and more, the share that may be kept besides: a fit must not take a twentieth in all.
LARGE_BYTES = 2**28
LARGE_SHARE = 2.0**-7
# Features, or rows, up to which the largest curvature is an eigenvalue of a matrix of inner products.
MAX_GRAM = 2000


@dataclass
class Evaluation:
    """J at ``coef`` and what else one pass over the data tells."""

    coef: np.ndarray
    value: float
    gradient: np.ndarray  # of the smooth part of J: all but l1 |W|_1
    standardised: np.ndarray  # the same with respect to standardised coordinates
    violation: float
    separates: bool  # no penalty, and every row on its right side: there is no finite minimum
    raw: np.ndarray | None = None  # raw predictions of all rows, kept if X is small


class Objective:
    """J as a function of ``coef`` for one data set, loss and penalty.

    ``coordinates`` are the mean, the scale and the constant features of the standardised coordinates, if known already.
    """

    def __init__(self, source, codes, weight, loss, penalty, fit_intercept, coordinates=None):
        self.source = source
        self.codes = codes
        self.weight = weight
        self.loss = loss
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.total_weight = float(source.n_rows if weight is None else weight.sum())
        self.n_features = source.n_features
        self.shape = (loss.n_outputs, source.n_features + fit_intercept)
        self.mean, self.scale, self.constant = coordinates or self._coordinates()

    def _coordinates(self):
        """Origin and scale of the standardised coordinates, and which features are constant."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean, sd = self.source.moments(self.weight)
        # Inner products of rows are sums of as many squares as there are features.
        fits = np.hypot(mean, sd) <= np.sqrt(np.finfo(self.source.dtype).max / self.n_features)
        if not np.all(fits):
            raise ValueError(
                f"The values of feature {int(np.argmin(fits))} are so large that sums of their squares overflow in "
                f"{self.source.dtype}. Divide them by a constant."
            )
        # One row in a million that differs in its last bit makes more than 1e-19; the rounding of moments makes less.
        constant = sd <= 1e-19 * np.abs(mean)
        # A column that varies by the rounding of the data alone has no scale of its own.
        steady = sd <= self._rounding_of(mean)
        if not self.fit_intercept:
            constant &= mean == 0.0
            steady &= mean == 0.0
            mean, sd = np.zeros_like(mean), np.hypot(mean, sd)
        return mean, np.where(steady | (sd < LEAST_SCALE), 1.0, sd), np.flatnonzero(constant)

    def _rounding_of(self, mean):
        """Standard deviation up to which a column varies by the rounding of the data alone."""
        return 8.0 * np.finfo(self.source.dtype).eps * np.abs(mean)

    @property
    def mean_square(self):
        """At least the weighted mean of |z|^2, with z a row in standardised coordinates: 1 for each of them.

        But a column without a scale of its own varies by as much as rounding makes it.
        """
        return self.fit_intercept + float(np.maximum(self._rounding_of(self.mean) ** 2, 1.0).sum())

    def evaluate(self, coef):
        """J and its gradient at coef, rounded to the precision of the data; one pass, which reads every row once."""
        rounded = coef.astype(self.source.dtype, copy=False)
        W, b = self.split(rounded)
        source, loss = self.source, self.loss
        kept = self.room() if source.is_small else None

        def sums(X_b, rows, work):
            raw = self.raw_block(W, b, X_b, work)
            if kept is not None:
                kept[:, rows] = raw
            weight = None if self.weight is None else self.weight[rows]
            missed = 0.0
            if not self.penalty:
                misses = loss.misses(raw, self.codes[rows])
                missed = np.sum(misses if weight is None else weight[misses])
            value, wrong = loss.evaluate(raw, self.codes[rows], weight, work)
            return value, wrong, missed, self.accumulate(raw, X_b, work)

        value, wrong, missed, gradient = source.sum_over_blocks(sums)
        coef = rounded.astype(np.float64, copy=False)
        W, _ = self.split(coef)
        # The residuals of a row sum to zero; what rounding leaves of that, nothing but a weak penalty would resist.
        gradient = self.apart(gradient / self.total_weight)
        standardised = self.standardise_gradient(gradient)
        if self.penalty:
            by_penalty = self.penalty.l2 * W
            gradient[:, : self.n_features] += by_penalty
            standardised[:, : self.n_features] += by_penalty / self.scale
        value = float(value / self.total_weight + self.penalty.value(W))
        violation = self._violation(W, standardised, float(wrong) / self.total_weight)
        separates = not (missed or self.penalty)
        return Evaluation(coef, value, gradient, standardised, violation, separates, kept)

    def lengthen(self, here, step):
        """How many times its length a step should have, one at least, for J to be about least along it.

        By a step of Newton's method on the line, from where the step leads: its raw predictions tell, in half a pass.
        One, where those from here are not kept.
        """
        if here.raw is None:
            return 1.0
        W, b = self.split(step.astype(self.source.dtype, copy=False))

        def sums(X_b, rows, work):
            change = self.raw_block(W, b, X_b, work)
            codes, weight = self.codes[rows], 1.0 if self.weight is None else self.weight[rows]
            residuals = here.raw[:, rows] + change
            self.loss.evaluate(residuals, codes, None, work)
            if len(change) > 1:
                # Against the own class, whose residual is what the others have in all, the same holds as for two.
                change -= change[codes, np.arange(len(codes))]
            by_class = residuals * change
            slopes, curved = by_class.sum(axis=0), np.abs(by_class * change).sum(axis=0)
            return np.sum(weight * slopes), np.sum(weight * (curved - np.square(slopes)))

        slope, curvature = (float(total) / self.total_weight for total in self.source.sum_over_blocks(sums))
        by_penalty = self.penalty.l2 * W
        slope += np.vdot(by_penalty, W + self.split(here.coef)[0])
        curvature += np.vdot(by_penalty, W)
        return 1.0 - max(slope / curvature, 1.0 - LONGEST) if slope < 0.0 < curvature else 1.0

    def shorten(self, here, there):
        """The share of the way from here to there at which J is least; None where raw predictions do not tell.

        Between two points they lie on a line, and X is not read; but they must be kept, and finite, and J rise there.
        """
        if here.raw is None or there.raw is None:
            return None
        if not all(np.all(np.isfinite(part)) for part in (there.value, here.raw, there.raw)):
            return None
        # As an argument: SciPy's wrapper of a function refers to itself, so that what that holds would outlive the fit.
        line = self, here, there, there.coef - here.coef, there.raw - here.raw, Workspace()
        if not _slope_between(0.0, *line) < 0.0 < _slope_between(1.0, *line):
            return None
        # Within a tenth is near enough.
        return np.clip(brentq(_slope_between, 0.0, 1.0, args=line, xtol=0.1 * SHARES[0], rtol=0.1), *SHARES)

    def split(self, coef):
        """Views of the weights and of the intercept, the latter of no columns without one."""
        return coef[:, : self.n_features], coef[:, self.n_features :]

    @property
    def has_room(self):
        """Is there memory for a number of every output and row: little of it, and next to none against large data?"""
        n_bytes, of_data = 8 * self.shape[0] * self.source.n_rows, self.source.n_entries * self.source.dtype.itemsize
        return n_bytes <= (SMALL_BYTES if of_data < LARGE_BYTES else min(SMALL_BYTES, LARGE_SHARE * of_data))

    def room(self):
        """An array for a number of every output and row, none where it would take too much memory."""
        return np.empty((self.shape[0], self.source.n_rows)) if self.has_room else None

    def raw_block(self, W, b, X_b, work):
        """Raw predictions W x + b of a block in float64; at W = 0 X is not read."""
        raw = work.array("raw", (len(W), X_b.shape[0]))
        if not W.any():
            raw[:] = b if b.size else 0.0
        elif b.size:
            np.add(self.source.predict(W, X_b, work), b, out=raw)
        else:
            raw[:] = self.source.predict(W, X_b, work)
        return raw

    def raw_block_at(self, here, X_b, rows, work):
        """Raw predictions of a block at an evaluation, which may have kept them."""
        if here.raw is None:
            W, b = self.split(here.coef.astype(self.source.dtype, copy=False))
            return self.raw_block(W, b, X_b, work)
        raw = work.array("raw", (self.shape[0], X_b.shape[0]))
        raw[:] = here.raw[:, rows]
        return raw

    def accumulate(self, R, X_b, work):
        """R [X_b 1]: the gradient, from derivatives R with respect to the raw predictions of a block."""
        gradient = work.array("gradient", self.shape)
        by_feature, by_intercept = self.split(gradient)
        by_feature[:] = self.source.accumulate(R, X_b)
        by_intercept[:] = R.sum(axis=1, keepdims=True)
        return gradient

    def _violation(self, W, standardised, wrong):
        """Largest entry of the (sub)gradient in standardised coordinates, over the mean residual."""
        distance = np.abs(standardised)
        if self.penalty.l1:
            self.split(distance)[0][:] = self._distance(W, standardised)
        largest = float(distance.max())
        return largest / wrong if wrong > 0.0 else largest

    def _distance(self, W, standardised):
        """Distance of the weights' gradient to the subdifferential, in standardised coordinates."""
        by_feature, _ = self.split(standardised)
        if not self.penalty.l1:
            return np.abs(by_feature)
        return self.penalty.distance(W, by_feature * self.scale) / self.scale

    def distance(self, evaluation):
        """Entry by entry, how far the weights are from optimal: the violation before its maximum is taken."""
        return self._distance(self.split(evaluation.coef)[0], evaluation.standardised)

    def prox(self, coef, step_size):
        """Proximal operator of the L1 part; the intercept passes through."""
        if self.penalty.l1:
            W, _ = self.split(coef)
            W[:] = self.penalty.prox(W, step_size)
        return coef

    def apart(self, step):
        """A step without what all classes of softmax move together.

        That changes no prediction, and without L1 the penalty is least where the weights of a feature sum to zero:
        there they begin, and so they stay, whatever a model with next to no curvature that way makes of rounding.
        """
        return step - step.mean(axis=0) if len(step) > 1 else step

    def centre(self, coef, lowers=False):
        """The same softmax model, its intercepts, and weights without a penalty, summing to zero over the classes.

        With ``lowers`` weights with an L2 penalty too, which moves no prediction but lowers J.
        """
        if self.shape[0] == 1:
            return coef
        excess = coef.mean(axis=0)
        if self.penalty.l1 or (self.penalty and not lowers):
            excess[: self.n_features] = 0.0
        # What sums to zero but for rounding stays as it is, so that a warm start at the optimum changes no digit.
        excess[np.abs(excess) <= 1e-14 * np.abs(coef).max(axis=0)] = 0.0
        return coef - excess

    def slope(self, evaluation, step):
        """The change of J along a step to first order; what |W|_1 changes is counted for the whole of it."""
        by_smooth = float(np.vdot(evaluation.gradient, step))
        if not self.penalty.l1:
            return by_smooth
        W, _ = self.split(evaluation.coef)
        change, _ = self.split(step)
        return by_smooth + self.penalty.l1 * float(np.sum(np.abs(W + change) - np.abs(W)))

    def resolution(self, evaluation):
        """Differences of J below this are rounding."""
        return 8.0 * np.finfo(self.source.dtype).eps * abs(evaluation.value)

    def rounding(self):
        """A violation at the level of rounding: its square is that of J; and what means far from zero add to it."""
        eps = float(np.finfo(self.source.dtype).eps)
        return eps**0.5 + 10.0 * eps * float(np.max(np.abs(self.mean) / self.scale, initial=0.0))

    def standardise(self, step):
        """A step, in standardised coordinates."""
        out = step.copy()
        W, b = self.split(out)
        if self.fit_intercept:
            b += (W @ self.mean)[:, None]
        W *= self.scale
        return out

    def unstandardise(self, step):
        """A step in standardised coordinates, in those of the features."""
        out = step.copy()
        W, b = self.split(out)
        W /= self.scale
        if self.fit_intercept:
            b -= (W @ self.mean)[:, None]
        return out

    def standardise_gradient(self, gradient):
        """The gradient of the mean loss with respect to standardised coordinates."""
        out = gradient.copy()
        W, b = self.split(out)
        if self.fit_intercept:
            W -= b * self.mean
        W /= self.scale
        if self.constant.size:
            # What rounding leaves of two equal numbers: more than any violation if a float32 column is 1e6 throughout.
            W[:, self.constant] = 0.0
        return out

    def unstandardise_gradient(self, standardised):
        """The gradient with respect to the features, from that with respect to standardised coordinates."""
        out = standardised.copy()
        W, b = self.split(out)
        W *= self.scale
        if self.fit_intercept:
            W += b * self.mean
        return out

    @cached_property
    def l2(self):
        """Diagonal of the L2 part's Hessian in standardised coordinates, in the shape of coef."""
        out = np.zeros(self.shape)
        self.split(out)[0][:] = self.penalty.l2 / self.scale**2
        return out

    def predict(self, coef):
        """Raw predictions of all rows: (n_outputs, n)."""
        W, b = self.split(coef)
        return self.source.project(W) + b.sum(axis=1, keepdims=True)

    def largest_change(self, step):
        """The most that a step changes a raw prediction, or that of one class against another, of rows with weight."""
        W, b = self.split(step.astype(self.source.dtype, copy=False))
        found = []

        def look(X_b, rows, work):
            change = self.raw_block(W, b, X_b, work)
            if self.weight is not None:
                change = change[:, self.weight[rows] > 0.0]
            ranges = np.ptp(change, axis=0) if len(change) > 1 else np.abs(change)
            found.append(ranges.max(initial=0.0))
            return ()

        self.source.sum_over_blocks(look)
        return float(np.max(found))

    def gram(self, rows):
        """Mean of z z' over some rows without their weights, with z a row in standardised coordinates."""
        total = np.zeros((self.shape[1], self.shape[1]))
        # Some at a time, as they are copied.
        for part in np.array_split(rows, 1 + 8 * len(rows) * self.n_features // BLOCK_BYTES):
            source = self.source.take(part)

            def sums(X_b, _, work, source=source):
                return (source.gram(X_b, np.ones(X_b.shape[0]), self.mean, self.fit_intercept, work),)

            total += source.sum_over_blocks(sums)[0]
        scale = self.scale_of(slice(None))
        return total / len(rows) / np.multiply.outer(scale, scale)

    def scale_of(self, features):
        """The scale of some features, and of the intercept, which is 1."""
        return np.append(self.scale[features], np.ones(int(self.fit_intercept)))

    def mean_square_along(self, direction):
        """Weighted mean of the squares by which a step of one class, in standardised coordinates, moves predictions."""
        step = np.broadcast_to(direction, self.shape)
        W, b = self.split(self.unstandardise(step)[:1].astype(self.source.dtype, copy=False))

        def sums(X_b, rows, work):
            (change,) = self.raw_block(W, b, X_b, work)
            return (np.dot(weights_of(rows, self.weight), np.square(change)),)

        (total,) = self.source.sum_over_blocks(sums)
        return float(total) / self.total_weight

    def residuals(self, here):
        """Derivatives of the loss with respect to the raw predictions, and probabilities, of all rows: (n_outputs, n).

        For two classes the probabilities are those of the second.
        """
        raw = self.predict(here.coef) if here.raw is None else here.raw.copy()
        self.loss.evaluate(raw, self.codes, None, Workspace())
        own = self.loss.own_class(self.codes)
        P = raw + (own if self.shape[0] == 1 else own == np.arange(self.shape[0])[:, None])
        return raw, P

    def suits_single_precision(self):
        """Do the digits of float32 do for a Hessian: none lost to means far from zero, no square out of range?"""
        return bool(np.all((np.abs(self.mean) <= 100.0 * self.scale) & (np.abs(np.log10(self.scale)) < 12.0)))

    def hessian_nanoseconds(self, dtype, n_free=None):
        """Time that :meth:`Hessian.matrix` takes on one thread, roughly; on all entries, or so many."""
        n_outputs = self.shape[0]
        of_all = self.class_blocks_nanoseconds(dtype)
        if n_outputs > 1:
            of_all = n_outputs * (n_outputs + 1) / 8 * np.dtype(dtype).itemsize * self.source.dense_gram_nanoseconds
        share = 1.0 if n_free is None else n_free / (n_outputs * self.shape[1])
        # However few they are, all rows are read.
        return max(share**2 * of_all, self.source.nanoseconds)

    def class_blocks_nanoseconds(self, dtype):
        """Time that :meth:`Hessian.class_blocks` takes on one thread, roughly."""
        return self.shape[0] / 4 * np.dtype(dtype).itemsize * self.source.gram_nanoseconds

    def in_dtype(self, dtype):
        """The same J by products in float32 or float64."""
        other = copy(self)
        other.source = self.source.in_dtype(dtype)
        return other

    def hessian(self, here, exact=False, balances=False):
        """The Hessian of J here: see :class:`Hessian`."""
        return Hessian(self, here, exact, balances)

    def sample(self, n_rows, random_state):
        """The objective on a sample of rows, drawn in proportion to their weight, at the same C.

        Systematic sampling: one row from each of n_rows stretches of equal weight, so that a row of weight 2 is
        drawn like the same row twice, and sorted data are covered evenly.
        """
        position = (np.arange(n_rows) + random_state.uniform(size=n_rows)) / n_rows
        # Rounding must not lead beyond the last row.
        position = np.minimum(position, 1.0 - 1e-12)
        if self.weight is None:
            rows = (position * self.source.n_rows).astype(np.intp)
        else:
            rows = rows_at(position, self.weight)
        source = self.source.take(rows)
        # A rare feature is seen in a few rows of the sample, or in one class alone, and would be fitted to them at a
        # weak penalty.  One pseudo-row of the largest curvature at the reach of each feature holds it back; without
        # it the start was worse than zero on a9a and adult at C = 100.
        pseudo_row = self.loss.curvature_bound * source.reach(self.mean) ** 2 / n_rows
        growth = self.source.n_rows / n_rows
        penalty = type(self.penalty)(self.penalty.l1 * growth, self.penalty.l2 * growth + pseudo_row)
        coordinates = self.mean, self.scale, self.constant
        return Objective(source, self.codes[rows], None, self.loss, penalty, self.fit_intercept, coordinates)

    def lipschitz(self):
        """An upper bound on the curvature of the smooth part of J in the coordinates of the features.

        The loss curves by at most ``loss.curvature_bound``, so L = bound * lambda_max([X 1]' diag(s/S) [X 1]) + l2.
        The eigenvalue is computed where the matrix, or that of the rows' inner products, is small; else it is
        bounded from above by max_j (A v)_j / v_j with A the same matrix of absolute values (Collatz 1942), which is
        right for any positive v and sharp where X has one sign, as counts and TF-IDF have.
        """
        largest = self.source.largest_eigenvalue(self.weight, self.total_weight, self.fit_intercept, MAX_GRAM)
        return self.loss.curvature_bound * largest + float(np.max(self.penalty.l2))


def _slope_between(share, objective, here, there, change, raw_change, work):
    """The slope of J along the change from here to there, at a share of the way."""
    V, penalty = objective.split(change)[0], objective.penalty
    if share in (0.0, 1.0):
        known = there if share else here
        W, by_smooth = objective.split(known.coef)[0], np.vdot(known.gradient, change)
    else:
        W, residuals = objective.split(here.coef + share * change)[0], here.raw + share * raw_change
        objective.loss.evaluate(residuals, objective.codes, objective.weight, work)
        by_smooth = np.vdot(residuals, raw_change) / objective.total_weight + np.vdot(penalty.l2 * W, V)
    return by_smooth + penalty.l1 * np.vdot(np.sign(W), V)
