"""What the tests share: the formulas once more in plain NumPy, constructed data, the data that ship, a few checks.

The formulas import nothing of the package: the cost, its gradient and the violation are written out,
on dense float64 arrays, whatever storage the estimator was given.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit, log_softmax, softmax
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_logreg._losses import LogLoss, SoftmaxLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._preconditioner._look_ahead import Ahead
from sklearn_logreg._sources import make_source

DATA = Path(__file__).parent / "data"
SOLVERS = ["gd", "nesterov", "preconditioned"]


def load(name):
    """Features and class of a data set that ships with the tests."""
    table = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1)
    return np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(int)


def references(name):
    """Published numbers of a data set that ships."""
    return json.loads((DATA / "references.json").read_text(encoding="utf-8"))[name]


def dense(X):
    """X as a float64 array."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)


def one_hot(y, classes):
    """One column a class."""
    return (np.asarray(y)[:, None] == np.asarray(classes)).astype(float)


def cost(X, y, sample_weight, C, l1_ratio, coef, intercept, classes):
    """J(W, b) = (1/S) sum_i s_i loss_i + (l1_ratio |W|_1 + (1 - l1_ratio)/2 |W|_2^2) / (C S)."""
    X, W, b = dense(X), dense(coef), np.asarray(intercept, float)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    raw = X @ W.T + b
    if len(W) == 1:
        sign = np.where(np.asarray(y) == classes[1], 1.0, -1.0)
        loss = np.logaddexp(0.0, -sign * raw[:, 0])
    else:
        loss = -(log_softmax(raw, axis=1) * one_hot(y, classes)).sum(axis=1)
    penalty = l1_ratio * np.abs(W).sum() + (1.0 - l1_ratio) / 2.0 * np.sum(W**2)
    return s @ loss / s.sum() + penalty / (C * s.sum())


def residuals(X, y, coef, intercept, classes):
    """dloss/draw by row and output, and the probability given to the wrong classes by row; exact in both tails."""
    W = dense(coef)
    raw = dense(X) @ W.T + np.asarray(intercept, float)
    if len(W) == 1:
        sign = np.where(np.asarray(y) == classes[1], 1.0, -1.0)
        wrong = expit(-sign * raw[:, 0])
        return (-sign * wrong)[:, None], wrong
    own = one_hot(y, classes) == 1.0
    residual = softmax(raw, axis=1)
    wrong = np.where(own, 0.0, residual).sum(axis=1)
    residual[own] = -wrong
    return residual, wrong


def gradient(X, y, sample_weight, C, l1_ratio, coef, intercept, classes):
    """dJ/dW without the L1 part, and dJ/db."""
    X, W = dense(X), dense(coef)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    residual, _ = residuals(X, y, W, intercept, classes)
    weighted = residual * (s / s.sum())[:, None]
    return weighted.T @ X + (1.0 - l1_ratio) / (C * s.sum()) * W, weighted.sum(axis=0)


def violation(X, y, sample_weight, C, l1_ratio, fit_intercept, coef, intercept, classes):
    """Largest entry of the (sub)gradient of J as if the features were standardised, over the mean residual.

    max( max_j |g_j - mean_j g_b| / sd_j , |g_b| ) / r_bar; without intercept |g_j| / rms_j; constant columns: scale 1;
    with an L1 part, the distance of -g_j to the subdifferential of l1 |w_j|.
    """
    X, W = dense(X), dense(coef)
    s = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    share = s / s.sum()
    g, g_b = gradient(X, y, sample_weight, C, l1_ratio, W, intercept, classes)
    if fit_intercept:
        mean = share @ X
        scale = np.sqrt(share @ (X - mean) ** 2)
        g = g - g_b[:, None] * mean
    else:
        mean, g_b = np.zeros(X.shape[1]), np.zeros(1)
        scale = np.sqrt(share @ X**2)
    scale = np.where(scale <= 1e-13 * np.abs(mean), 1.0, scale)
    l1 = l1_ratio / (C * s.sum())
    distance = np.where(W == 0.0, np.maximum(np.abs(g) - l1, 0.0), np.abs(g + l1 * np.sign(W)))
    _, wrong = residuals(X, y, W, intercept, classes)
    return max((distance / scale).max(initial=0.0), np.abs(g_b).max()) / (share @ wrong)


def violation_of(model, X, y, sample_weight=None):
    """The violation at the coefficients of a fitted estimator without class weights."""
    return violation(
        X,
        y,
        sample_weight,
        model.C,
        model.l1_ratio,
        model.fit_intercept,
        model.coef_,
        model.intercept_,
        model.classes_,
    )


def assert_optimal(model, X, y, sample_weight=None, tol=None):
    """The optimality condition, recomputed; the solver's own sum may differ from this one by rounding alone."""
    tol = model.tol if tol is None else tol
    found = violation_of(model, X, y, sample_weight)
    assert found <= tol * (1.0 + 1e-6) + 1e-12, f"{model}: recomputed violation {found:.3e} > {tol:.1e}"


def fit_quietly(model, X, y, sample_weight=None):
    """Fit where the limit of passes is meant to be reached."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, sample_weight)


def look_not_ahead(monkeypatch):
    """Take the returned point itself for the certificate, whatever the solver, and nothing more."""
    for module in ("_certificate", "_preconditioner._descent"):
        target = f"sklearn_logreg.{module}.look_ahead"
        monkeypatch.setattr(target, lambda _, here, *others: Ahead(here.coef, np.zeros_like(here.coef)))


def make_classes(n=200, p=5, n_classes=2, seed=0, noise=1.0, scale=1.0):
    """Overlapping classes, drawn from a softmax model, so that an unpenalised optimum exists; every class occurs."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, p)) * scale
    raw = X / scale @ rng.normal(size=(p, n_classes)) + noise * rng.gumbel(size=(n, n_classes))
    y = raw.argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def totals(kind, seed=0, n=300):
    """Amounts over many orders of magnitude, in columns that may be nearly equal, and classes that mind their logs."""
    rng = np.random.RandomState(seed)
    if kind == "of years":
        years = np.cumprod(1.0 + 0.03 * rng.normal(size=(n, 6)), axis=1)
        X = np.exp(3.0 * rng.normal(size=(n, 1))) * 1e9 * years
        y = rng.randint(3, size=n)
        return X * 10.0 ** np.array([0.0, -3.0, -5.0])[y][:, None], y
    z = rng.normal(size=(n, 3))
    X = np.exp(4.0 * z[:, :1]) * (1.0 + 0.1 * rng.normal(size=(n, 3)))
    raw = np.log(X) @ rng.normal(size=(3, 2))
    return X, (raw + rng.gumbel(size=raw.shape)).argmax(axis=1)


def make_sparse(n=200, p=30, density=0.2, n_classes=2, seed=0):
    """A CSR matrix of positive entries, as counts have, and classes that depend on it."""
    rng = np.random.RandomState(seed)
    X = sparse.random(n, p, density, format="csr", random_state=rng)
    raw = X @ rng.normal(size=(p, n_classes)) * 2.0 + rng.gumbel(size=(n, n_classes))
    y = raw.argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def objective_of(X, y, l2, l1=0.0, fit_intercept=True, sample_weight=None):
    """The objective of a fit, with the penalty as it enters J."""
    n_classes = len(np.unique(y))
    loss = LogLoss() if n_classes == 2 else SoftmaxLoss(n_classes)
    codes = loss.encode(y == 1 if n_classes == 2 else y)
    return Objective(
        make_source(X, n_outputs=loss.n_outputs), codes, sample_weight, loss, ElasticNet(l1, l2), fit_intercept
    )


@pytest.fixture(scope="session")
def breast_cancer():
    """569 x 30, raw: units from 1e-3 to 1e3."""
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="session")
def digits():
    """1797 x 64, raw, ten nearly separable classes, three constant columns."""
    return load_digits(return_X_y=True)
