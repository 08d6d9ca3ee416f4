"""The common yardstick: J and the violation, computed here from (X, y, coef, intercept) and by nobody's own code.

    J(W, b) = (1/n) sum_i loss(y_i, W x_i + b) + (1/(C n)) (l1_ratio |W|_1 + (1 - l1_ratio)/2 |W|_2^2)

y holds class indices 0..K-1.  W has one row for two classes and K rows for more; the intercept is not penalised.
"""

import numpy as np
from scipy import sparse
from scipy.special import expit, log_expit, logsumexp
from sklearn.utils.sparsefuncs import mean_variance_axis

CHUNK_ROWS = 20_000


class Problem:
    """One data set with one penalty."""

    def __init__(self, X, y, C, l1_ratio):
        self.X, self.y = X, y
        n = X.shape[0]
        self.n_classes = int(y.max()) + 1
        self.l1 = l1_ratio / (C * n)
        self.l2 = (1.0 - l1_ratio) / (C * n)
        self.mean, self.sd = moments(X)

    def zero(self):
        """Coefficients and intercept of the model that knows nothing."""
        K = 1 if self.n_classes == 2 else self.n_classes
        return np.zeros((K, self.X.shape[1])), np.zeros(K)

    def evaluate(self, coef, intercept):
        """J and the violation at a point."""
        W = np.atleast_2d(np.asarray(coef, dtype=np.float64))
        b = np.atleast_1d(np.asarray(intercept, dtype=np.float64))
        n = self.X.shape[0]
        loss = wrong = 0.0
        gradient, gradient_b = np.zeros_like(W), np.zeros_like(b)
        for start in range(0, n, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            X = self.X[rows]
            loss_rows, wrong_rows, residuals = log_loss(X @ W.T + b, self.y[rows])
            loss += loss_rows.sum()
            wrong += wrong_rows.sum()
            gradient += (X.T @ residuals).T
            gradient_b += residuals.sum(axis=0)
        value = loss / n + self.l1 * np.abs(W).sum() + 0.5 * self.l2 * np.square(W).sum()
        gradient = gradient / n + self.l2 * W
        gradient_b /= n

        # As if every feature were standardised; with L1 the distance to the subdifferential.
        centred = gradient - gradient_b[:, None] * self.mean
        distance = np.where(W == 0, np.maximum(np.abs(centred) - self.l1, 0.0), np.abs(centred + self.l1 * np.sign(W)))
        largest = max((distance / self.sd).max(), np.abs(gradient_b).max())
        violation = largest / (wrong / n) if wrong > 0 else largest
        return {"value": float(value), "violation": float(violation), "n_nonzero": int(np.count_nonzero(W))}


def log_loss(raw, y):
    """Loss of each row, its probability of the wrong classes, and the derivatives by the raw predictions."""
    if raw.shape[1] == 1:
        sign = 2.0 * y - 1.0
        margin = sign * raw[:, 0]
        wrong = expit(-margin)
        return -log_expit(margin), wrong, (-sign * wrong)[:, None]
    own = np.arange(len(y)), y
    normaliser = logsumexp(raw, axis=1)
    loss = normaliser - raw[own]
    residuals = np.exp(raw - normaliser[:, None])
    residuals[own] = 0.0
    wrong = residuals.sum(axis=1)
    residuals[own] = -wrong
    return loss, wrong, residuals


def moments(X):
    """Mean and standard deviation of each column; the scale of a constant column is 1."""
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X.astype(np.float64, copy=False), axis=0)
    else:
        mean = X.mean(axis=0, dtype=np.float64)
        variance = np.zeros_like(mean)
        for start in range(0, len(X), CHUNK_ROWS):
            variance += np.square(X[start : start + CHUNK_ROWS] - mean).sum(axis=0)
        variance /= len(X)
    sd = np.sqrt(variance)
    return mean, np.where(sd <= 8 * np.finfo(np.float64).eps * np.abs(mean), 1.0, sd)
