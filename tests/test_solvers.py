"""The three solvers: the textbook loop to the last digits, what they count, and how they end."""

import re
import warnings

import numpy as np
import pytest
from conftest import (
    SOLVERS,
    assert_optimal,
    cost,
    dense,
    fit_quietly,
    load,
    look_not_ahead,
    make_classes,
    make_sparse,
    one_hot,
    violation_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from sklearn_logreg import LogisticRegression, Status
from sklearn_logreg._objective import Objective


def textbook(X, y, alpha, n_steps, C=np.inf, sample_weight=None, fit_intercept=True):
    """w <- w - alpha dJ/dw, b <- b - alpha dJ/db, from zero: every iterate."""
    n, p = X.shape
    s = np.ones(n) if sample_weight is None else sample_weight
    w, b, iterates = np.zeros(p), 0.0, []
    for _ in range(n_steps + 1):
        iterates.append((w, b))
        y_hat = 1.0 / (1.0 + np.exp(-(X @ w + b)))
        dJ_dw = X.T @ (s * (y_hat - y)) / s.sum() + w / (C * s.sum())
        dJ_db = np.sum(s * (y_hat - y)) / s.sum()
        w = w - alpha * dJ_dw
        b = b - alpha * dJ_db * fit_intercept
    return iterates


@pytest.mark.parametrize("C", [0.1, np.inf])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gd_is_the_textbook_loop(C, weighted, fit_intercept):
    X, y = make_classes(150, 4, seed=1)
    X = X * [1.0, 0.3, 2.0, 1.0] + [0.0, 1.0, -1.0, 0.5]
    s = np.random.RandomState(0).randint(0, 4, size=150).astype(float) if weighted else None
    expected = textbook(X, y, 0.2, 50, C, s, fit_intercept)
    for n_passes in (1, 2, 3, 10, 51):
        model = LogisticRegression(
            C=C, fit_intercept=fit_intercept, solver="gd", learning_rate=0.2, tol=0.0, max_iter=n_passes
        )
        fit_quietly(model, X, y, s)
        # The first pass evaluates zero, so n passes make n - 1 steps.
        w, b = expected[n_passes - 1]
        assert_allclose(model.coef_[0], w, rtol=1e-12, atol=1e-12)
        assert_allclose(model.intercept_[0], b, rtol=1e-12, atol=1e-12)
        assert model.n_iter_[0] == n_passes
    costs = [cost(X, y, s, C, 0.0, w[None], [b], [0, 1]) for w, b in expected]
    assert_allclose(model.loss_curve_, costs, rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_gd_is_the_loop_for_softmax_and_l1(l1_ratio):
    X, y = make_classes(150, 4, 3, seed=2)
    C, alpha, n = 0.05, 0.3, len(y)
    W, b = np.zeros((3, 4)), np.zeros(3)
    for _ in range(50):
        residual = softmax(X @ W.T + b, axis=1) - one_hot(y, range(3))
        V = W - alpha * (residual.T @ X / n + (1.0 - l1_ratio) / (C * n) * W)
        W = np.sign(V) * np.maximum(np.abs(V) - alpha * l1_ratio / (C * n), 0.0)
        b = b - alpha * residual.mean(axis=0)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, solver="gd", learning_rate=alpha, tol=0.0, max_iter=51)
    fit_quietly(model, X, y)
    assert_allclose(model.coef_, W, rtol=1e-12, atol=1e-12)
    assert_allclose(model.intercept_, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("storage", [np.asfortranarray, sparse.csr_matrix])
def test_gd_takes_the_same_path_in_every_storage(storage):
    X, y = make_classes(150, 4, seed=1)
    w, b = textbook(X, y, 0.2, 50)[-1]
    model = LogisticRegression(C=np.inf, solver="gd", learning_rate=0.2, tol=0.0, max_iter=51)
    fit_quietly(model, storage(X), y)
    assert_allclose(model.coef_[0], w, rtol=1e-12, atol=1e-12)
    assert_allclose(model.intercept_[0], b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("C", [0.01, 1.0, np.inf])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("data", ["dense", "far from zero", "raw units", "sparse"])
def test_cost_of_gd_never_rises(C, l1_ratio, n_classes, data):
    # 1/L with L a bound on the curvature is a descent method; J itself is rounded to a few units in the last place.
    X, y = make_sparse(n_classes=n_classes) if data == "sparse" else make_classes(n_classes=n_classes)
    X = {"far from zero": lambda: X + 10.0, "raw units": lambda: X * np.logspace(-2, 2, X.shape[1])}.get(
        data, lambda: X
    )()
    model = fit_quietly(LogisticRegression(C=C, l1_ratio=l1_ratio, solver="gd", max_iter=300), X, y)
    curve = model.loss_curve_
    assert np.all(np.diff(curve) <= 4.0 * np.finfo(float).eps * curve[:-1])
    # With L1 and a small C it may start at the optimum.
    assert curve[-1] < curve[0] or (l1_ratio and C == 0.01 and not model.coef_.any())


def test_gd_rate_is_no_shorter_than_the_safe_one():
    # For two classes at zero the bound 1/4 on the curvature is exact: L = lambda_max(X'X) / 4n.
    X, y = make_classes(200, 4)
    L = np.linalg.eigvalsh(X.T @ X)[-1] / (4 * 200)
    model = LogisticRegression(C=np.inf, fit_intercept=False, solver="gd", tol=0.0, max_iter=2)
    fit_quietly(model, X, y)
    assert_allclose(model.coef_[0], -X.T @ (0.5 - y) / 200 / L, rtol=1e-6)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_first_order_solvers_arrive_on_features_of_one_scale(solver, n_classes, l1_ratio, kind):
    X, y = make_sparse(n_classes=n_classes, p=10) if kind == "sparse" else make_classes(n_classes=n_classes)
    model = LogisticRegression(C=0.1, l1_ratio=l1_ratio, solver=solver, max_iter=5000).fit(X, y)
    assert model.converged_
    assert_optimal(model, X, y)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_momentum_is_faster(l1_ratio, n_classes):
    # Gradient descent needs passes in proportion to the condition number, about 25, momentum to its root.
    X, y = make_classes(300, 6, n_classes)
    X = X * np.logspace(-0.7, 0, 6)
    passes = {}
    for solver in ("gd", "nesterov"):
        model = LogisticRegression(C=1.0, l1_ratio=l1_ratio, solver=solver, max_iter=20_000, tol=1e-5).fit(X, y)
        assert_optimal(model, X, y)
        passes[solver] = model.n_iter_[0]
    assert passes["nesterov"] < 0.5 * passes["gd"], passes


def test_momentum_restarts():
    # Without restart the cost of an accelerated method oscillates; with it, 400 passes are plenty here.
    X, y = make_classes(300, 6, seed=3)
    model = LogisticRegression(C=1.0, solver="nesterov", max_iter=400, tol=1e-10).fit(X, y)
    assert_optimal(model, X, y)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(300, 5), (5000, 5), (30, 60)])
def test_passes_are_counted(solver, l1_ratio, shape, monkeypatch):
    # n_iter_ is how often J was evaluated on these data (samples and working sets are other, smaller data), but for
    # what the certificate looks at afterwards, and with L1 the first look at zero weights of the solvers without P.
    look_not_ahead(monkeypatch)
    X, y = make_classes(*shape)
    counted, original = [], Objective.evaluate

    def evaluate(self, coef):
        if dense(self.source.X).shape == X.shape:
            counted.append(np.array(coef))
        return original(self, coef)

    monkeypatch.setattr(Objective, "evaluate", evaluate)
    model = LogisticRegression(C=0.5, l1_ratio=l1_ratio, solver=solver, max_iter=40)
    fit_quietly(model, X, y)
    looks = l1_ratio > 0.0 and solver != "preconditioned"
    assert len(counted) - looks == model.n_iter_[0] == len(model.loss_curve_) <= 40
    coef = np.column_stack([model.coef_, model.intercept_])
    assert any(np.array_equal(coef, point) for point in counted), "the point returned was evaluated"
    if solver == "gd":
        assert_array_equal(counted[-1], coef)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_certificate_belongs_to_the_point_returned(solver, n_classes):
    X, y = make_classes(n_classes=n_classes)
    model = LogisticRegression(C=0.2, solver=solver, max_iter=5000).fit(X, y)
    # Newton's method may end where the gradient is rounding: atol is some units in the last place of its terms.
    assert_allclose(violation_of(model, X, y), model.violation_curve_[-1], rtol=1e-6, atol=1e-15)
    found = cost(X, y, None, 0.2, 0.0, model.coef_, model.intercept_, model.classes_)
    assert_allclose(found, model.loss_curve_[-1], rtol=1e-14)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
@pytest.mark.parametrize("learning_rate", [30.0, 1e4, 1e300])
@pytest.mark.parametrize("n_classes, l1_ratio", [(2, 0.0), (3, 0.0), (2, 1.0)])
def test_a_rate_beyond_the_stable_range(solver, learning_rate, n_classes, l1_ratio):
    X, y = make_classes(n_classes=n_classes)
    X = scale(X) * 5.0
    model = LogisticRegression(C=1.0, l1_ratio=l1_ratio, solver=solver, learning_rate=learning_rate, max_iter=200)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert f"learning_rate={learning_rate:g}," in message, "the rate used is named"
    assert model.status_ is Status.DIVERGED and not model.converged_
    assert np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()
    # The best point was kept.
    found = cost(X, y, None, 1.0, l1_ratio, model.coef_, model.intercept_, model.classes_)
    assert_allclose(found, np.nanmin(model.loss_curve_), rtol=1e-12)
    # The stable rate that the message names is stable, and not a timid one: ten times that is not.
    stable = float(re.search(r"up to ([0-9.e+-]+) is stable", message).group(1))
    model.set_params(solver="gd", learning_rate=0.999 * stable)
    curve = fit_quietly(model, X, y).loss_curve_
    assert np.all(np.diff(curve) <= 4.0 * np.finfo(float).eps * curve[:-1])
    assert model.status_ is not Status.DIVERGED
    model.set_params(learning_rate=10.0 * stable)
    with pytest.warns(ConvergenceWarning, match="too large"):
        model.fit(X, y)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_an_explosion_is_stopped_early(solver):
    X, y = make_classes()
    with pytest.warns(ConvergenceWarning, match="too large"):
        model = LogisticRegression(solver=solver, learning_rate=1e6, max_iter=1000).fit(X, y)
    assert model.n_iter_[0] < 10


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_oscillation_without_explosion_is_reported(solver):
    # Somewhat above the stable range the iterates bounce for ever between two points, at a bounded cost.
    X, y = np.array([[-3.0], [-2.0], [-1.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 0, 1, 1])
    L = np.sum(X**2) / (4 * 6)
    model = LogisticRegression(C=np.inf, fit_intercept=False, solver=solver, learning_rate=12.0 / L, max_iter=101)
    with pytest.warns(ConvergenceWarning, match="too large"):
        model.fit(X, y)
    found = cost(X, y, None, np.inf, 0.0, model.coef_, model.intercept_, model.classes_)
    assert_allclose(found, model.loss_curve_.min(), rtol=1e-12)


def test_a_rise_on_the_way_is_reported():
    # It ends lower than ever, but no stable rate would have raised the cost.
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(solver="gd", learning_rate=2e-5, max_iter=1000)
    with pytest.warns(ConvergenceWarning, match="The cost grew with learning_rate=2e-05"):
        model.fit(X, y)
    assert model.status_ is Status.DIVERGED and np.diff(model.loss_curve_).max() > 1.0


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("solver", SOLVERS)
def test_features_that_are_all_zero(solver, l1_ratio):
    model = LogisticRegression(C=np.inf, l1_ratio=l1_ratio, solver=solver, fit_intercept=False)
    model.fit(np.zeros((12, 3)), np.arange(12) % 2)
    assert model.converged_ and not model.coef_.any(), "nothing curves the cost"


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_the_own_rate_is_never_called_too_large(solver):
    # At the optimum rounding raises the cost: more so where float32 data are far from zero.
    X, y = make_classes()
    X = (X + 1e3).astype(np.float32)
    model = LogisticRegression(warm_start=True).fit(X, y)
    fit_quietly(model.set_params(solver=solver, tol=0.0), X, y)
    assert model.status_ in (Status.PRECISION, Status.MAX_ITER)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_without_passes_keeps_the_coefficients(solver):
    X, y = make_classes()
    model = LogisticRegression(warm_start=True).fit(X, y)
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    fit_quietly(model.set_params(solver=solver, max_iter=0), X, y)
    assert_array_equal(model.coef_, coef)
    assert_array_equal(model.intercept_, intercept)


def test_a_tiny_rate_is_not_convergence():
    # "The cost moved little" would end this at once.
    X, y = make_classes()
    with pytest.warns(ConvergenceWarning, match="max_iter=30") as caught:
        model = LogisticRegression(solver="gd", learning_rate=1e-9, max_iter=30).fit(X, y)
    assert model.n_iter_[0] == 30 and not model.converged_
    # The message names a rate that is larger, and stable.
    stable = float(re.search(r"Raise learning_rate, .* up to (\S+) is stable", str(caught[0].message))[1])
    curve = fit_quietly(LogisticRegression(solver="gd", learning_rate=0.99 * stable, max_iter=30), X, y).loss_curve_
    assert stable > 1e-3 and np.all(np.diff(curve) < 0.0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_limit_of_passes(solver):
    X, y = load("lowbwt_stata")
    model = LogisticRegression(solver=solver, max_iter=2, tol=1e-9)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    (message,) = [str(warning.message) for warning in caught]
    assert model.n_iter_[0] == 2 and not model.converged_ and model.status_ is Status.MAX_ITER
    reached = violation_of(model, X, y)
    assert "max_iter=2" in message and "tol=1e-09" in message
    assert f"violation {model.violation_curve_.min():.1e}" in message, "the violation reached is named"
    assert reached >= 0.95 * model.violation_curve_.min()
    assert "raise max_iter" in message.lower(), "what to do is named"
    assert ("solver='preconditioned'" in message) == (solver != "preconditioned"), "no solver is told to use itself"


@pytest.mark.parametrize("solver", SOLVERS)
def test_warning_points_at_the_line_that_called_fit(solver):
    X, y = load("spector")
    with pytest.warns(ConvergenceWarning) as caught:
        LogisticRegression(solver=solver, max_iter=1).fit(X, y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_passes_give_a_usable_model(solver):
    # scikit-learn accepts max_iter=0 too.
    X, y = make_classes()
    with pytest.warns(ConvergenceWarning):
        model = LogisticRegression(solver=solver, max_iter=0).fit(X, y)
    assert_array_equal(model.coef_, np.zeros((1, 5)))
    assert model.predict_proba(X).shape == (200, 2)


@pytest.mark.parametrize("max_iter", [1, 2, 3, 5])
def test_few_passes_give_the_best_point_so_far(max_iter, breast_cancer):
    X, y = breast_cancer
    model = fit_quietly(LogisticRegression(max_iter=max_iter), X, y)
    found = cost(X, y, None, 1.0, 0.0, model.coef_, model.intercept_, model.classes_)
    assert_allclose(found, model.loss_curve_.min(), rtol=1e-12)
    assert model.score(X, y) >= 0.6


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["lowbwt_stata", "vaso", "enet_binomial", "glmnet_binomial", "softmax", "dermatology"])
def test_float32_ends_quietly(name, l1_ratio, solver):
    # At the default tol: converged, or a violation of at most 1e-5 where no step lowers J; a warning is an error.
    X, y = make_classes(400, 8, 3) if name == "softmax" else load(name)
    X = (X if solver == "preconditioned" else scale(X)).astype(np.float32)
    model = LogisticRegression(C=0.1, l1_ratio=l1_ratio, solver=solver, max_iter=20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    assert model.status_ in (Status.CONVERGED, Status.PRECISION)
    assert_optimal(model, X, y, tol=1e-5)


def test_raw_breast_cancer_in_float32(breast_cancer):
    X, y = breast_cancer[0].astype(np.float32), breast_cancer[1]
    model = LogisticRegression().fit(X, y)
    assert model.status_ in (Status.CONVERGED, Status.PRECISION)
    assert_optimal(model, X, y, tol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tol_zero_ends_at_the_working_precision(dtype, l1_ratio):
    # A violation of zero is out of reach: the fit says that no step helps any more, at once and without a warning.
    X, y = make_classes(300, 5, 3)
    model = LogisticRegression(C=0.5, l1_ratio=l1_ratio, tol=0.0).fit(X.astype(dtype), y)
    assert model.status_ in (Status.PRECISION, Status.CONVERGED)
    assert model.n_iter_[0] <= 40
    assert_optimal(model, X.astype(dtype), y, tol=1e-4 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_coefficients_are_those_that_were_evaluated(solver):
    # A warm start may begin with weights that do not sum to zero over the classes: J is reported where it is returned.
    X, y = make_classes(100, 4, 3, seed=9)
    model = LogisticRegression(solver=solver, warm_start=True, max_iter=3)
    fit_quietly(model, X, y)
    model.coef_ = model.coef_ + np.linspace(-1.0, 1.0, 4)
    model.max_iter = 1
    fit_quietly(model, X, y)
    expected = cost(X, y, None, 1.0, 0.0, model.coef_, model.intercept_, model.classes_)
    assert_allclose(model.loss_, expected, rtol=1e-12)
