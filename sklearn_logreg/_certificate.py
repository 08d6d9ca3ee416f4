"""A proven bound on J(returned point) - min J: the duality gap.

For any probabilities q_i of the classes that reproduce the weight of each class, sum_i s_i (q_i - y_i) = 0 (needed only
with an intercept), the dual of J gives a lower bound on its minimum, and J less that bound is a sum of terms that are
never negative (Fenchel-Young):

    gap  =  (1/S) sum_i s_i KL(q_i || p_i)  +  sum_j f(w_j, v_j),     V = (1/S) sum_i s_i (q_i - y_i) x_i'
    f(w, v)  =  pen(w) + w v + pen*(-v),       pen(w) = l1 |w| + l2/2 w^2

with p the probabilities of the model.  Without L2 the dual point must also have |v_j| <= l1, so the residuals
q_i - y_i are shrunk by a common factor (Mairal 2010, section 2.3).  In this form nothing cancels, and the bound stays
sharp at 1e-15.

Any such q give a proof; the better they fit, the sharper the bound.  Those of the returned point itself are off by its
condition number, and with pure L1, where shrinking costs to first order, by up to 1e7.  With a Newton step at hand
(:func:`._preconditioner.look_ahead`), which changes the raw predictions by e, they are tilted,

    q_k (1 + t_k),     t = e - sum_k q_k e_k,

which moves V by the Hessian times the step, exactly: to where V wants to be.  (The probabilities one step ahead are
there but for terms of second order.  With features of size 1e5 and a weak penalty, adult and credit_default, these made
the bound 1e13 times too large.  Of 832 fits of 19 raw sets, cut short or at tol 0.1 to 1e-4, it is now off by more than
1 % in 35, by more than 10 % in 3.)
What the step leaves of a class's weight, constants added to e make up for.  Where a tilt would be too large for
probabilities, they are those one step ahead, with the intercepts shifted (Newton) until the classes have nearly their
weight, and tilted by constants alone.  A class that a row all but rules out (RARE) is no reason for that: where it
should lose more than it has, it loses what it can, and the likeliest class makes up for the rest.

Of a step that is short for every row the Hessian alone says what all this comes to, but for terms of third order, and
those are bounded: with L2 the certificate of a fit that has converged reads no data as a rule, at most the raw
predictions of the step.  Then V is the gradient of the fit plus the Hessian times the step, and the bound holds up to
their rounding; where means far from zero add to that (FAR), the sums over q are computed.
"""

from __future__ import annotations

import numpy as np
from scipy.special import kl_div, log_softmax, logsumexp, xlogy

from ._preconditioner import look_ahead
from ._sources import SMALL_BYTES, weights_of

# Newton steps for the intercepts of the dual point.
MAX_NEWTON = 30
# No probability of a dual point is changed by a larger share of itself, but one below RARE may grow by any.
MAX_TILT = 0.9
RARE = 1e-3
# Largest tilt of any row with which a step is short: its bound is at most a fifth too large.
SHORT = 0.25
# Mean of a feature against its scale above which no step is.  With collinear features, means of 1e8 times their scale
# and C up to 1e12 the true gap exceeded the bound by 2.6e-9 of J, up to 1e4 by 3e-16 (7000 random fits); in single
# precision with means of 1e3 and C up to 1e4 by 1.8e-7, up to 1e2 by 6e-12.
FAR = 1e4
FAR_SINGLE = 1e2
# A bound is loose above so many times what passes and Newton step promise, one to two times the true gap; but not below
# this share of J, or its rounding.  Then the violation is to fall by a factor first: w8a with L1 at C = 100 and tol
# 1e-4 has a bound of 436 times the gap, 436 times with a factor of 0.01, and 1.0 with this.
LOOSE = 2.0
TIGHT = 1e-8
CLOSER = 1e-4
# Excess weight of a class, against the total, that is rounding: as it comes, and after it was made up for.
EXACT = 1e-14
FEASIBLE = 1e-12


def certify(objective, result, trace):
    """The bound for a result, by a Newton step from there; or from closer to the optimum, if it is loose."""
    here = result.evaluation
    ahead = result.ahead or look_ahead(objective, here, trace, None)
    gap = duality_gap(objective, here, ahead.point, ahead.step, ahead.curved)
    may_go_on = objective.penalty and not trace.is_stopped
    if may_go_on and gap > max(LOOSE * ahead.promise, TIGHT * here.value, objective.resolution(here)):
        ahead = look_ahead(objective, here, trace, None, CLOSER * here.violation)
        gap = min(gap, duality_gap(objective, here, ahead.point, ahead.step, ahead.curved))
    return gap


def duality_gap(objective, here, ahead, step, curved=None):
    """The bound at an evaluation, by the probabilities at ahead tilted by step; nan where none is finite.

    With the product of the step and the Hessian of J, ``curved``, in standardised coordinates, a short step needs at
    most its raw predictions.  Otherwise every row is read once more; three times if the step leaves some weight of a
    class, and more if it is too long.
    """
    if not objective.penalty:
        return np.nan
    coef, value = here.coef, here.value
    gap = np.inf
    if curved is not None and ahead is coef and np.all(objective.penalty.l2):
        with np.errstate(over="ignore", invalid="ignore"):
            gap = _bound_of_short_step(objective, here, step, curved)
    if not np.isfinite(gap):
        # Single precision leaves rounding in V, whose square over l2 is more than that of J.
        objective = objective.in_dtype(np.float64)
        gap = _bound(objective, coef, ahead, step, EXACT)
    if gap is None:
        gap = _feasible_bound(objective, coef, ahead, step)
    if not np.isfinite(gap):
        gap = _feasible_bound(objective, coef, ahead + step, np.zeros_like(step))
    if not np.isfinite(gap):
        # The frequencies of the classes are a dual point wherever the model is.
        totals = np.bincount(objective.loss.own_class(objective.codes), objective.weight, max(len(coef), 2))
        constant = np.zeros_like(coef)
        if objective.fit_intercept:
            constant[:, -1] = objective.loss.start(totals)
        gap = _bound(objective, coef, constant, np.zeros_like(step), FEASIBLE)
    # The true classes themselves are one too, at which the bound is J.  Rounding may take it below zero.
    return min(max(gap, 0.0), value) if gap is not None and gap < value else value


def _bound_of_short_step(objective, here, step, curved):
    """The bound with L2 by the Hessian alone: inf if the step is long for some row, or some class has not its weight.

    (1 + t) log(1 + t) - t <= t^2/2 (1 + R/3/(1 - R)) where |t| <= R < 1, and KL(q || p) is the sum of p_k times that.
    The mean of sum_k p_k t_k^2 is u' H u, with H the Hessian of the mean loss and u the step; and V is the gradient of
    the mean loss plus H u.
    """
    far = FAR if objective.source.dtype == np.float64 else FAR_SINGLE
    if np.any(np.abs(objective.mean) > far * objective.scale):
        return np.inf
    p, u = objective.n_features, objective.standardise(step)
    W = here.coef[:, :p]
    by_loss = curved - objective.l2 * u
    # V, about the means, and the excess weight of the classes: the gradient of J without its penalty, a step on.
    rest = here.standardised + by_loss
    if np.abs(rest[:, p:]).max(initial=0.0) > EXACT:
        return np.inf
    largest = _largest_tilt(objective, step, u)
    if largest > SHORT:
        return np.inf
    divergence = 0.5 * (1.0 + largest / 3.0 / (1.0 - largest)) * np.vdot(u, by_loss)
    V = rest[:, :p] * objective.scale - objective.penalty.l2 * W
    return float(divergence + objective.penalty.fenchel_young(W, V))


def _largest_tilt(objective, step, u):
    """At least as much as any tilt; ``u`` is the step in standardised coordinates.

    |t| is at most the range of the changes of a row's raw predictions: |u| |z|, or sqrt(2) of that with more than two
    classes.  And s |z|^2 is at most the total weight times its mean.
    """
    weight = objective.weight
    least = 1.0 if weight is None else weight.min(where=weight > 0.0, initial=np.inf)
    largest = np.sqrt(min(len(u), 2) * objective.total_weight / least * objective.mean_square) * np.linalg.norm(u)
    return largest if largest <= SHORT else objective.largest_change(step)


def _feasible_bound(objective, coef, ahead, step):
    """The bound, inf if there is none, after every class was given its weight."""
    if objective.fit_intercept:
        ahead, step = _feasible(objective, ahead, step)
    gap = _bound(objective, coef, ahead, step, FEASIBLE)
    return np.inf if gap is None else gap


def _bound(objective, coef, ahead, step, rounding):
    """The bound from a dual point: inf if a tilt is too large, None if some class has not its weight."""
    penalty, total, (n_outputs, _) = objective.penalty, objective.total_weight, objective.shape
    # For a second look, if there may be one and room for it: probabilities, classes and raw predictions of all rows.
    keeps = not np.all(penalty.l2) and 32 * max(n_outputs, 2) * objective.source.n_rows <= SMALL_BYTES
    kept = {}

    def sums(X_b, rows, work):
        point = _dual_point(objective, coef, ahead, step, X_b, rows, work)
        if keeps:
            kept[rows.start] = point
        Q, Y, divergence, weight, _ = point
        residual = (Q[-n_outputs:] - Y[-n_outputs:]) * weight
        V = objective.source.accumulate(residual, X_b)
        return np.dot(divergence, weight), residual.sum(axis=1), V

    divergence, excess, V = objective.source.sum_over_blocks(sums)
    if not np.isfinite(divergence):
        return np.inf
    if objective.fit_intercept and not np.abs(excess).max() <= rounding * total:
        return None
    if objective.fit_intercept:
        # About the means: what rounding leaves of a class's weight would count with the intercept at the origin.
        V -= np.outer(excess, objective.mean)
        V[:, objective.constant] = 0.0
    V /= total
    W = coef[:, : objective.n_features]
    if np.all(penalty.l2):
        return float(divergence / total + penalty.fenchel_young(W, V))
    largest = np.abs(V).max(initial=0.0)
    shrink = 1.0
    if largest > penalty.l1:
        shrink = penalty.l1 / largest

        def shrunk(X_b, rows, work):
            point = kept.get(rows.start) or _dual_point(objective, coef, ahead, step, X_b, rows, work)
            Q, Y, _, weight, raw = point
            divergence = _divergence(shrink * Q + (1.0 - shrink) * Y, objective.loss.all_probabilities(raw), raw)
            return (np.dot(np.where(weight > 0.0, divergence, 0.0), weight),)

        (divergence,) = objective.source.sum_over_blocks(shrunk)
    return float(divergence / total + penalty.fenchel_young(W, shrink * V))


def _raw(objective, points, X_b, work):
    """Raw predictions of a block at each of the points, in float64.

    One at a time: SciPy's product of a sparse matrix and two vectors takes longer than two of its products.
    """
    p, source = objective.n_features, objective.source
    for coef in points:
        raw = source.predict(coef[:, :p].astype(source.dtype, copy=False), X_b, work).astype(np.float64)
        yield raw + coef[:, p:].sum(axis=1, keepdims=True)


def _of_rows(objective, rows):
    """Which class is each row's own, (n_classes, n), and the weight of each row."""
    own = objective.loss.own_class(objective.codes[rows])
    return own == np.arange(max(objective.shape[0], 2))[:, None], weights_of(rows, objective.weight)


def _dual_point(objective, coef, ahead, step, X_b, rows, work):
    """Of a block of rows: the dual point, true classes, KL(q || p), weight, and raw predictions at coef.

    With q at first the probabilities at ahead, p_k is proportional to q_k exp(d_k), where d is the difference of the
    raw predictions less its mean under q.  Then KL is log(1 + sum_k q_k (exp(d_k) - 1 - d_k)), and tilting adds
    sum_k q_k ((1 + t_k) log(1 + t_k) - t_k (1 + d_k)): nothing cancels.  It is inf where a tilt is too large.
    """
    Y, weight = _of_rows(objective, rows)
    points = [coef, step] if ahead is coef else [coef, step, ahead]
    raw, change, *others = _raw(objective, points, X_b, work)
    Q = objective.loss.all_probabilities(others[0] if others else raw)
    divergence, d = 0.0, 0.0
    if others:
        d = _tilt(Q, raw - others[0])
        if d.max(initial=0.0) < 30.0:
            divergence = np.log1p((Q * (np.expm1(d) - d)).sum(axis=0))
        else:
            divergence = logsumexp(_log_probabilities(others[0], len(Q)) + d, axis=0)
    t = _possible_tilt(Q, change)
    # A row without weight has no say.
    t[:, weight == 0.0] = 0.0
    if np.any((t < -MAX_TILT) | ((t > MAX_TILT) & (Q >= RARE))):
        return Q, Y, np.where(weight > 0.0, np.inf, 0.0), weight, raw
    tilted = 1.0 + t
    divergence = divergence + (Q * (tilted * np.log1p(t) - t * (1.0 + d))).sum(axis=0)
    Q *= tilted
    return Q, Y, divergence, weight, raw


def _divergence(Q, P, raw):
    """KL(q || p) of each row, with p the probabilities by the raw predictions."""
    terms = kl_div(Q, P)
    is_lost = P < np.finfo(float).tiny
    if is_lost.any():
        # Below the smallest of numbers, which costs q its logarithm, not infinity.
        terms[is_lost] = (xlogy(Q, Q) - Q * _log_probabilities(raw, len(P)) - Q)[is_lost]
    return terms.sum(axis=0)


def _log_probabilities(raw, n_classes):
    """Logarithms of the probabilities of all classes, finite where those are zero."""
    return log_softmax(raw if len(raw) == n_classes else np.concatenate([np.zeros_like(raw), raw]), axis=0)


def _feasible(objective, ahead, step):
    """The point ahead with other intercepts, and the step with others, that give every class its weight, if found."""

    def sums(X_b, rows, work):
        raw, change = _raw(objective, [ahead, step], X_b, work)
        Q = objective.loss.all_probabilities(raw)
        Y, weight = _of_rows(objective, rows)
        excess = Q * (1.0 + _possible_tilt(Q, change)) - Y
        return excess @ weight, (Q * weight) @ Q.T

    for _ in range(MAX_NEWTON):
        excess, M = objective.source.sum_over_blocks(sums)
        # sum_i s_i (diag(q_i) - q_i q_i'), without a difference of large numbers.
        np.fill_diagonal(M, 0.0)
        M = np.diag(M.sum(axis=0)) - M
        change = np.linalg.lstsq(M, -excess, rcond=1e-14)[0]
        is_solved = np.abs(excess + M @ change).max() <= 0.1 * FEASIBLE * objective.total_weight
        change = (change if len(ahead) > 1 else change[1:] - change[:1])[:, None]
        if is_solved and np.ptp(np.append(change, 0.0)) <= MAX_TILT:
            step = step.copy()
            step[:, -1:] += change
            break
        if np.abs(change).max() < 1e-3:
            break
        ahead = ahead.copy()
        ahead[:, -1:] += np.clip(change, -2.0, 2.0)
    return ahead, step


def _tilt(Q, change):
    """e - sum_k q_k e_k, the raw predictions changing by e: that of the first of two classes is zero."""
    out = np.zeros_like(Q)
    out[-len(change) :] = change
    out -= (Q * out).sum(axis=0)
    return out


def _possible_tilt(Q, change):
    """The same, but a rare class that should lose more than all its probability does not.

    The likeliest class makes up for it: next to nothing, but with features of 1e5 one such row was enough to spoil the
    bound.
    """
    t = _tilt(Q, change)
    is_low = (t < -MAX_TILT) & (Q < RARE)
    if is_low.any():
        likeliest = Q.argmax(axis=0), np.arange(Q.shape[1])
        # Of a thousand classes all may be rare.
        is_low[likeliest] = False
        rest = np.where(is_low, -MAX_TILT - t, 0.0)
        t[is_low] = -MAX_TILT
        t[likeliest] -= (Q * rest).sum(axis=0) / Q[likeliest]
    return t
