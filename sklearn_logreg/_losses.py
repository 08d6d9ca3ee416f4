"""Pointwise losses: how far the raw predictions of a block of rows are from its labels.

A raw prediction is ``w.x + b``: one a row for two classes (:class:`LogLoss`), one a row and class for
softmax (:class:`SoftmaxLoss`).  Both losses overwrite the block of raw predictions, shape (n_outputs, n), by
the residuals, the derivative of the loss with respect to them, because the pass needs nothing else.

No probability is ever formed as ``1 / (1 + exp(-z))`` or as ``1 - p``: every exponential is of a number that is
not positive, and the probability given to the *wrong* classes is computed as such.  So nothing overflows, and
residuals keep full relative precision in both tails, where nearly separable data live.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr


def secant_curvature(size):
    """Curvatures of a model of the loss, from the sizes |p - y| of the residuals: p (1 - p) up to 1/2.

    A row far on the wrong side pulls with all its weight and curves hardly at all: a model of J that believed it would
    go ten thousands of times too far.  It is given the curvature of the parabola that has the same value as far on the
    right side, tanh(z/2) / (2 z) with z = logit(size), which is nowhere below the loss (Jaakkola and Jordan 2000).
    """
    h = size * (1.0 - size)
    is_wrong = size > 0.5
    h[is_wrong] = _secant(size[is_wrong])
    return h


def _secant(size):
    """The same of residuals that all exceed 1/2."""
    size = np.minimum(np.maximum(size, 0.5001), 1.0 - 1e-16)
    return (size - 0.5) / np.log(size / (1.0 - size))


def constant_loss(class_weights):
    """Mean log loss of the best constant prediction: the entropy of the classes' shares."""
    shares = class_weights / class_weights.sum()
    return float(entr(shares).sum())


class LogLoss:
    """Binary log loss of one raw prediction a row; codes are -1 (second class) and +1 (first class).

    With u = code * raw, the raw prediction in favour of the wrong class:
    loss = log(1 + exp(u)), P(wrong class) = exp(u - loss), residual = code * P(wrong class).
    """

    # Second derivative p (1 - p) of the loss: at most 1/4, reached at raw = 0.
    curvature_bound = 0.25

    n_outputs = 1

    def encode(self, is_second_class):
        """Codes from a boolean array: one byte a row, as they live as long as the fit."""
        return np.where(is_second_class, np.int8(-1), np.int8(1))

    def start(self, class_weights):
        """Intercept of the best constant prediction, from the total weight of each class."""
        return np.array([np.log(class_weights[1] / class_weights[0])])

    def evaluate(self, raw, codes, weight, work):
        """Sums of loss and of P(wrong class); raw becomes the residuals."""
        u = raw[0]
        u *= codes
        loss = np.abs(u, out=work.array("loss", u.shape))
        np.negative(loss, out=loss)
        np.exp(loss, out=loss)
        np.log1p(loss, out=loss)
        loss += np.maximum(u, 0.0, out=work.array("positive", u.shape))
        u -= loss
        np.exp(u, out=u)
        if weight is None:
            total, wrong = loss.sum(), u.sum()
        else:
            total, wrong = weight @ loss, weight @ u
            u *= weight
        u *= codes
        return total, wrong

    def misses(self, raw, codes):
        """Which rows are on the wrong side, or on the boundary; raw is kept."""
        return raw[0] * codes >= 0.0

    def curvature(self, raw, codes=None):
        """Second derivative p (1 - p), exact in both tails; with codes, :func:`secant_curvature` on the wrong side."""
        e = np.exp(-np.abs(raw))
        h = e / np.square(1.0 + e)
        if codes is not None:
            is_wrong = raw * codes > 0.0
            h[is_wrong] = _secant(1.0 / (1.0 + e[is_wrong]))
        return h

    def all_probabilities(self, raw):
        """Probabilities of both classes, each exact in its own tail."""
        e = np.exp(-np.abs(raw))
        wrong, right = e / (1.0 + e), 1.0 / (1.0 + e)
        is_second = raw > 0.0
        return np.concatenate([np.where(is_second, wrong, right), np.where(is_second, right, wrong)])

    def own_class(self, codes):
        """Class indices from the codes."""
        return (codes < 0).astype(np.intp)


class SoftmaxLoss:
    """Softmax (multinomial) log loss of one raw prediction a row and class; codes are class indices.

    With u_k = raw_k - raw_y and M = max_k u_k >= 0: loss = M + log(sum_k exp(u_k - M)),
    P(wrong classes) = sum of exp(u_k - loss) over k != y, residual_k = p_k - [k = y].
    """

    # Largest eigenvalue of diag(p) - p p', below that of (I - 11'/K) / 2 (Böhning 1992).
    curvature_bound = 0.5

    def __init__(self, n_classes):
        self.n_outputs = n_classes

    def encode(self, class_index):
        """Class indices are codes."""
        return class_index

    def start(self, class_weights):
        """Intercepts of the best constant prediction; they sum to zero.

        A class without weight, which J would have at minus infinity, begins where its probability is rounding.
        """
        log_weights = np.log(np.maximum(class_weights, np.finfo(float).eps * class_weights.sum()))
        return log_weights - log_weights.mean()

    def evaluate(self, raw, codes, weight, work):
        """Sums of loss and of P(wrong classes); raw becomes the residuals."""
        own = codes, np.arange(raw.shape[1])
        raw -= raw[own]
        raw[own] = -np.inf
        largest = raw.max(axis=0)
        np.maximum(largest, 0.0, out=largest)
        raw -= largest
        np.exp(raw, out=raw)
        wrong = raw.sum(axis=0)
        # exp of the own class's raw prediction, less 1: exact where the own class leads by far.
        own_less_one = np.expm1(-largest)
        loss = np.log1p(wrong + own_less_one)
        total = wrong + (1.0 + own_less_one)
        loss += largest
        wrong /= total
        raw /= total
        raw[own] = -wrong
        if weight is None:
            return loss.sum(), wrong.sum()
        raw *= weight
        return weight @ loss, weight @ wrong

    def misses(self, raw, codes):
        """Which rows have another class in front, or level; raw is kept."""
        own = codes, np.arange(raw.shape[1])
        others = raw.copy()
        others[own] = -np.inf
        return others.max(axis=0) >= raw[own]

    def probabilities(self, raw):
        """exp(raw_k) / sum_l exp(raw_l); overwrites raw."""
        raw -= raw.max(axis=0)
        np.exp(raw, out=raw)
        raw /= raw.sum(axis=0)
        return raw

    def curving_probabilities(self, raw, codes=None):
        """Probabilities p whose diag(p) - pp' is the curvature of a model of the loss; overwrites raw.

        With codes, where the own class has less than half, it is raised to where p_y (1 - p_y) is its
        :func:`secant_curvature`, and the others are lowered in proportion: more curvature between it and them, a little
        less among them.
        """
        p = self.probabilities(raw)
        if codes is not None:
            is_wrong = p[codes, np.arange(p.shape[1])] < 0.5
            own = codes[is_wrong], np.flatnonzero(is_wrong)
            wrong = 1.0 - p[own]
            raised = 0.5 - np.sqrt(np.maximum(0.25 - _secant(wrong), 0.0))
            p[:, is_wrong] *= (1.0 - raised) / wrong
            p[own] = raised
        return p

    def all_probabilities(self, raw):
        """Probabilities of all classes; raw is kept."""
        return self.probabilities(raw.copy()) if raw.size else raw

    def own_class(self, codes):
        """Class indices from the codes."""
        return codes.astype(np.intp)
