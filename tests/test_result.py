"""Every way in which a fit can end, reached by a real fit; its sentence is read as a user would read it."""

import re
import warnings

import numpy as np
import pytest
from conftest import SOLVERS, load, make_classes
from numpy.testing import assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import sklearn_logreg._objective
from sklearn_logreg import LogisticRegression, SeparationWarning, Status


@pytest.fixture
def problem():
    return make_classes(200, 4)


def ends(model, X, y, category=None):
    """Fit; the warnings must be one of the category, with the sentence of the status, or none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    if category is None:
        assert not caught, f"no warning is due, but: {[str(w.message) for w in caught]}"
    else:
        assert [w.category for w in caught] == [category], "exactly one warning"
        assert str(caught[0].message) == model.status_message_, "the warning is the sentence of the status"
        assert caught[0].filename == __file__, "the warning points at the user's line"
    assert "{" not in model.status_message_ and "nan" not in model.status_message_, "a fact was not filled in"
    assert isinstance(model.status_, Status)
    assert model.converged_ == (model.status_ is Status.CONVERGED)
    assert model.n_iter_.shape == (1,) and model.n_iter_.dtype == np.int32
    assert len(model.loss_curve_) == len(model.violation_curve_) == model.n_iter_[0], "one entry a pass"
    assert model.violation_ in model.violation_curve_, "the returned point is one that was evaluated"
    return model.status_message_


@pytest.mark.parametrize("solver", SOLVERS)
def test_converged(solver, problem):
    model = LogisticRegression(solver=solver, tol=1e-5, max_iter=5000)
    message = ends(model, *problem)
    assert model.status_ is Status.CONVERGED
    found = re.fullmatch(r"Converged: violation (\S+) <= tol=1e-05 after (\d+) passes\.", message)
    assert float(found[1]) <= 1e-5 and int(found[2]) == model.n_iter_[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_max_iter(solver, problem):
    model = LogisticRegression(solver=solver, tol=1e-10, max_iter=2)
    message = ends(model, *problem, ConvergenceWarning)
    assert model.status_ is Status.MAX_ITER
    assert re.match(r"Stopped after max_iter=2 passes at violation \S+ > tol=1e-10\. ", message)
    remedy = message.split("tol=1e-10. ")[1]
    if solver == "preconditioned":
        assert remedy == "Raise max_iter.", "it would be no help to be told to use the solver that is used"
    else:
        assert remedy == "Use solver='preconditioned', which minds no units and needs no rate, or raise max_iter."
    assert not ends(LogisticRegression(tol=1e-5), *problem).startswith("Stopped"), "the remedy must work"


@pytest.mark.parametrize("solver", SOLVERS)
def test_max_iter_zero(solver, problem):
    model = LogisticRegression(solver=solver, max_iter=0)
    with pytest.warns(ConvergenceWarning, match="Stopped after max_iter=0 passes"):
        model.fit(*problem)
    assert model.status_ is Status.MAX_ITER
    assert len(model.loss_curve_) == 0
    model.predict(problem[0])


@pytest.mark.parametrize("learning_rate", [5.0, 50.0, 1e6])
@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_diverged_names_the_rate_used_and_the_largest_stable_one(solver, learning_rate, problem):
    X, y = problem
    X = X * [1.0, 10.0, 1.0, 1.0]
    model = LogisticRegression(solver=solver, learning_rate=learning_rate, max_iter=300)
    message = ends(model, X, y, ConvergenceWarning)
    assert model.status_ is Status.DIVERGED
    assert f"learning_rate={learning_rate:g}, which is too large" in message
    assert f"the best of {model.n_iter_[0]} passes is kept" in message
    assert "learning_rate='auto'" in message and "solver='preconditioned'" in message, "the remedies"
    assert model.violation_ == model.violation_curve_[np.argmin(model.loss_curve_)], "the best point is kept"

    stable = float(re.search(r"Every rate up to (\S+) is stable", message)[1])
    Z = np.column_stack([X, np.ones(len(X))])
    L = 0.25 * np.linalg.eigvalsh(Z.T @ Z / len(X)).max() + 1.0 / len(X)
    # Momentum is proven stable up to 1/L only.
    assert stable == pytest.approx((2.0 if solver == "gd" else 1.0) / L, rel=1e-2), "with L recomputed here"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        again = LogisticRegression(solver=solver, learning_rate=0.99 * stable, max_iter=300).fit(X, y)
    assert again.status_ is not Status.DIVERGED, "the rate that the message calls stable"
    assert again.loss_curve_[-1] < again.loss_curve_[0]


def test_diverged_without_an_explosion():
    # A rate just above the stable one makes the cost rise and settle in a cycle: it never explodes.
    X, y = load("spector")
    X = scale(X)
    quiet = LogisticRegression(C=np.inf, solver="gd", learning_rate=12.0, max_iter=200)
    with pytest.warns(ConvergenceWarning, match="The cost grew with learning_rate=12"):
        quiet.fit(X, y)
    assert quiet.status_ is Status.DIVERGED
    assert quiet.loss_curve_.max() < 10.0


def test_precision_with_float32_names_the_precision_and_the_remedy():
    X, y = load_breast_cancer(return_X_y=True)
    # A mean far from zero leaves float32 few digits of the spread.
    X = (scale(X[:, :5]) + 1e3).astype(np.float32)
    model = LogisticRegression(tol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.status_ is Status.PRECISION
    message = model.status_message_
    start = rf"Stopped after {model.n_iter_[0]} passes at violation \S+ > tol=1e-12: no step lowers the cost any more"
    assert re.match(start, message)
    assert "at the working precision of float32" in message
    assert "Raise tol, pass float64 data, or subtract a constant from such features." in message
    assert not model.converged_


def test_a_precision_that_leaves_no_model_warns():
    # Silent, it was: rounding explains the violation.  The model was that of a coin.
    X, y = load_breast_cancer(return_X_y=True)
    message = ends(LogisticRegression(C=100.0), (X + 1e6).astype(np.float32), y, ConvergenceWarning)
    assert "at the working precision of float32" in message and "subtract a constant from such features" in message


def test_precision_above_the_level_of_rounding_warns(monkeypatch, problem):
    monkeypatch.setattr(sklearn_logreg._objective.Objective, "rounding", lambda self: 0.0)
    model = LogisticRegression(tol=0.0)
    message = ends(model, *problem, ConvergenceWarning)
    assert model.status_ is Status.PRECISION
    assert "at the working precision of float64" in message


def test_precision_at_the_level_of_rounding_is_silent(problem):
    # tol=0 asks for the last digits; the fit that has them did what was asked.
    model = LogisticRegression(tol=0.0)
    ends(model, *problem)
    assert model.status_ is Status.PRECISION and model.violation_ < 1e-8


@pytest.mark.parametrize("solver", SOLVERS)
def test_separable(solver):
    X, y = load("endometrial")
    model = LogisticRegression(C=np.inf, solver=solver)
    message = ends(model, X, y, SeparationWarning)
    assert model.status_ is Status.SEPARABLE
    assert message.startswith(f"Stopped after {model.n_iter_[0]} passes: the classes are quasi-completely separable")
    assert "by feature 0, and with C=inf nothing is penalised" in message
    assert message.endswith("A finite C, for example C=1.0, gives a unique finite solution.")


@pytest.mark.parametrize("solver", SOLVERS)
def test_stopped_by_a_callback(solver, problem):
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")

    class StopAtTheThirdPass:
        passes = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            self.passes += context.task_name == "pass"
            return self.passes >= 3

    model = LogisticRegression(solver=solver, tol=1e-12)
    model.set_callbacks(StopAtTheThirdPass())
    message = ends(model, *problem)
    assert model.status_ is Status.STOPPED
    assert re.fullmatch(r"A callback stopped the fit after 3 passes at violation \S+ > tol=1e-12\.", message)


def test_every_status_is_a_sentence():
    for status in Status:
        assert status.value[0].isupper() and (status.value.endswith(".") or status is Status.MAX_ITER)
    facts = dict(n_passes=3, max_iter=5, tol=1e-6, violation=0.1, dtype=np.dtype("f4"), learning_rate=1.0)
    facts |= dict(stable_rate=0.5, separable="likely separable", remedy="Raise max_iter.")
    for status in Status:
        sentence = status.describe(**facts)
        assert "{" not in sentence and "  " not in sentence, sentence


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_second_fit_forgets_the_first(solver, problem):
    model = LogisticRegression(solver=solver, max_iter=2)
    with pytest.warns(ConvergenceWarning):
        model.fit(*problem)
    model.set_params(max_iter=5000).fit(*problem)
    assert model.status_ is Status.CONVERGED and model.status_message_.startswith("Converged")
    fresh = LogisticRegression(solver=solver, max_iter=5000).fit(*problem)
    assert_array_equal(model.loss_curve_, fresh.loss_curve_)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_curves_end_at_the_returned_point(solver, problem):
    model = LogisticRegression(solver=solver, max_iter=5000).fit(*problem)
    assert model.violation_curve_[-1] == model.violation_, "a converged fit returns the point it certified last"
    assert np.all(np.isfinite(model.loss_curve_)) and np.all(np.isfinite(model.violation_curve_))
    assert model.loss_curve_[-1] == pytest.approx(model.loss_curve_.min(), rel=1e-12)
