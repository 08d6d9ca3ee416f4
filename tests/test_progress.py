"""What a fit shows while it runs, who may stop it, and what an interruption leaves behind."""

import re
import warnings

import numpy as np
import pytest
from conftest import SOLVERS, fit_quietly, make_classes, totals
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import sklearn_logreg._progress
from sklearn_logreg import LogisticRegression, Status
from sklearn_logreg._objective import Objective
from sklearn_logreg._preconditioner import _look_ahead

LINE = re.compile(r" *(\d+) +(\S+) +(\d\.\d\de[+-]\d\d) +(\d+\.\d\d)")


@pytest.fixture
def problem():
    return make_classes(200, 4)


# Lines.


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_line_a_pass_in_aligned_columns(solver, problem, monkeypatch, capsys):
    monkeypatch.setattr(sklearn_logreg._progress, "INTERVAL", 0.0)
    model = fit_quietly(LogisticRegression(solver=solver, max_iter=120, tol=1e-8, verbose=1), *problem)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["pass", "J", "violation", "seconds"]
    assert {len(line) for line in lines} == {len(header)}, "every column ends where its title ends"
    found = [LINE.fullmatch(line).groups() for line in lines]
    assert [int(n) for n, *_ in found] == list(range(1, model.n_iter_[0] + 1)), "one line a pass"
    np.testing.assert_allclose([float(J) for _, J, *_ in found], model.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose([float(v) for _, _, v, _ in found], model.violation_curve_, rtol=1e-2)
    seconds = [float(s) for *_, s in found]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("solver", SOLVERS)
def test_lines_are_throttled_and_the_last_pass_is_shown(solver, problem, monkeypatch, capsys):
    monkeypatch.setattr(sklearn_logreg._progress, "INTERVAL", 1e9)
    model = fit_quietly(LogisticRegression(solver=solver, verbose=1), *problem)
    _, *lines = capsys.readouterr().out.splitlines()
    passes = [int(LINE.fullmatch(line)[1]) for line in lines]
    assert passes == [1, model.n_iter_[0]], "the first pass tells that it runs, the last how it ended"


def test_lines_follow_the_clock(problem, monkeypatch, capsys):
    clock = iter(np.arange(0.0, 1e4, 0.2))
    monkeypatch.setattr(sklearn_logreg._progress.time, "perf_counter", lambda: next(clock))
    fit_quietly(LogisticRegression(solver="gd", max_iter=11, tol=0.0, verbose=1), *problem)
    passes = [int(LINE.fullmatch(line)[1]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert passes == [1, 4, 7, 10, 11], "a pass takes 0.2 s here, and half a second must lie between two lines"


def test_a_single_pass_is_one_line(problem, capsys):
    fit_quietly(LogisticRegression(max_iter=1, verbose=1), *problem)
    assert len(capsys.readouterr().out.splitlines()) == 2, "the header and the pass, once"


def test_no_pass_and_verbose(problem, capsys):
    fit_quietly(LogisticRegression(max_iter=0, verbose=1), *problem)
    assert capsys.readouterr().out == "", "nothing happened"


@pytest.mark.parametrize("verbose", [0, False])
def test_silence_is_the_default(verbose, problem, capsys):
    LogisticRegression(verbose=verbose).fit(*problem)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("solver", SOLVERS)
def test_watching_changes_no_digit(solver, problem, capsys):
    quiet = fit_quietly(LogisticRegression(solver=solver, max_iter=50), *problem)
    loud = fit_quietly(LogisticRegression(solver=solver, max_iter=50, verbose=1), *problem)
    assert_array_equal(quiet.coef_, loud.coef_)
    assert_array_equal(quiet.loss_curve_, loud.loss_curve_)


# scikit-learn's callbacks.


class Recorder:
    """A callback that writes down what it is told, and may ask to stop or fail at a pass."""

    def __init__(self, stop_at=None, fail_at=None, failure=KeyboardInterrupt):
        self.stop_at, self.fail_at, self.failure = stop_at, fail_at, failure
        self.events = []
        self.points = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.events.append(f"begin {context.task_name}")
        self.data = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "pass":
            self.points.append(fitted_estimator)
        if self.fail_at is not None and len(self.points) >= self.fail_at:
            raise self.failure
        return self.stop_at is not None and len(self.points) >= self.stop_at


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_task_a_pass(solver, problem, callbacks):
    recorder = Recorder()
    model = LogisticRegression(solver=solver, max_iter=30)
    assert model.set_callbacks(recorder) is model
    fit_quietly(model, *problem)
    one = ["begin pass", "end pass"]
    expected = ["setup", "begin fit", *(one * model.n_iter_[0]), "end fit", "teardown"]
    assert recorder.events == expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_callbacks_change_no_digit(solver, problem, callbacks):
    plain = fit_quietly(LogisticRegression(solver=solver, max_iter=30), *problem)
    watched = fit_quietly(LogisticRegression(solver=solver, max_iter=30).set_callbacks(Recorder()), *problem)
    assert_array_equal(plain.coef_, watched.coef_)
    assert_array_equal(plain.loss_curve_, watched.loss_curve_)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_callback_sees_a_usable_estimator_at_every_pass(n_classes, solver, callbacks):
    X, y = make_classes(n_classes=n_classes)
    s = np.ones(len(y))
    recorder = Recorder()
    model = LogisticRegression(solver=solver, max_iter=10).set_callbacks(recorder)
    fit_quietly(model, X, y, s)
    for point in recorder.points:
        assert point.predict_proba(X).shape == (len(y), n_classes)
    if model.converged_:
        assert_array_equal(recorder.points[-1].coef_, model.coef_, "the last pass is the returned point")
    seen_X, seen_y, metadata = recorder.data
    assert_array_equal(seen_X, X)
    assert_array_equal(seen_y, y)
    assert_array_equal(metadata["sample_weight"], s)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_callback_that_asks_to_stop_is_obeyed(stop_at, solver, l1_ratio, n_classes, callbacks):
    X, y = make_classes(n_classes=n_classes)
    model = LogisticRegression(solver=solver, tol=1e-14, C=0.5, l1_ratio=l1_ratio).set_callbacks(Recorder(stop_at))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who asks to stop need not be told
        model.fit(X, y)
    assert model.n_iter_[0] == stop_at, "not one pass more"
    assert model.status_ is Status.STOPPED and not model.converged_
    check_is_fitted(model)
    assert np.all(np.isfinite(model.predict_proba(X))) and model.duality_gap_ > 0.0
    model.set_callbacks().set_params(tol=1e-4, max_iter=5000).fit(X, y)
    assert model.converged_, "and it can be fitted again"


@pytest.mark.parametrize("solver", SOLVERS)
def test_who_stops_a_fit_does_not_wait_for_passes_of_the_certificate(solver, problem, callbacks, monkeypatch):
    monkeypatch.setattr(_look_ahead, "_approach", lambda *_: pytest.fail("a pass after the fit was stopped"))
    model = LogisticRegression(solver=solver).set_callbacks(Recorder(stop_at=2)).fit(*problem)
    assert model.violation_ > _look_ahead.ROUGH, "meant to be far from the optimum"
    assert 0.0 < model.duality_gap_ <= model.loss_


def test_convergence_has_precedence_over_stopping(problem, callbacks):
    n_passes = LogisticRegression().fit(*problem).n_iter_[0]
    model = LogisticRegression().set_callbacks(Recorder(stop_at=n_passes)).fit(*problem)
    assert model.status_ is Status.CONVERGED, "it had arrived when it was asked to stop"


def test_no_pass_after_the_one_that_converged_and_was_asked_to_stop(callbacks):
    # Of amounts over many orders of magnitude, the default solver goes on below tol.
    X, y = totals("of parts", 1)
    violations = LogisticRegression(C=100.0).fit(X, y).violation_curve_
    n_first = np.flatnonzero(violations <= 1e-6)[0] + 1
    assert n_first < len(violations)
    model = LogisticRegression(C=100.0).set_callbacks(Recorder(stop_at=n_first)).fit(X, y)
    assert model.status_ is Status.CONVERGED and model.n_iter_[0] == n_first


@pytest.mark.parametrize("solver", SOLVERS)
def test_scoring_monitor(solver, problem, callbacks):
    monitor = callbacks.ScoringMonitor(scoring="neg_log_loss")
    model = LogisticRegression(C=np.inf, solver=solver, max_iter=20).set_callbacks(monitor)
    fit_quietly(model, *problem)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "pass"]
    assert len(rows) == model.n_iter_[0]
    # Without a penalty the score on the training data is the cost itself.
    np.testing.assert_allclose([-row["neg_log_loss"] for row in rows], model.loss_curve_, rtol=1e-9)


def test_scoring_monitor_of_a_data_frame(callbacks):
    # The scorer meets the features under the names they were fitted with, or scikit-learn warns at every pass.
    pd = pytest.importorskip("pandas")
    X, y = make_classes(n_classes=3)
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    model = LogisticRegression().set_callbacks(monitor).fit(pd.DataFrame(X, columns=list("abcde")), y)
    assert sum(row["task_name"] == "pass" for row in monitor.get_logs().data) == model.n_iter_[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_progress_bar(solver, problem, callbacks, capsys):
    pytest.importorskip("rich")
    model = LogisticRegression(solver=solver, max_iter=20).set_callbacks(callbacks.ProgressBar())
    fit_quietly(model, *problem)
    assert "LogisticRegression" in capsys.readouterr().out


def test_in_a_pipeline(problem, callbacks):
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    model = LogisticRegression(max_iter=20).set_callbacks(monitor)
    pipeline = make_pipeline(StandardScaler(), model).fit(*problem)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "pass"]
    assert len(rows) == pipeline[-1].n_iter_[0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_in_a_grid_search(solver, problem, callbacks):
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    estimator = LogisticRegression(solver=solver, max_iter=5000, tol=1e-3).set_callbacks(monitor)
    search = GridSearchCV(estimator, {"C": [0.1, 1.0]}, cv=2).fit(*problem)
    assert search.best_estimator_.converged_
    logs = monitor.get_logs(select="all")
    assert sum(row["task_name"] == "pass" for log in logs for row in log.data) >= 5, "four folds and the refit"


def test_progress_bar_over_a_grid_search(problem, callbacks, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}, cv=2
    )
    if not hasattr(search, "set_callbacks"):
        pytest.skip("this scikit-learn has no callbacks for searches")
    search.set_callbacks(callbacks.ProgressBar(max_propagation_depth=None)).fit(*problem)
    assert "GridSearchCV" in capsys.readouterr().out
    assert search.best_score_ > 0.5


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_hook_is_called_when_there_are_no_callbacks(solver, problem, callbacks, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("called without need")

    context = callbacks.CallbackContext
    for name in ("_from_estimator", "subcontext", "call_on_fit_task_begin", "call_on_fit_task_end"):
        monkeypatch.setattr(context, name, never)
    fit_quietly(LogisticRegression(solver=solver, max_iter=5), *problem)


def test_without_callbacks_in_scikit_learn_nothing_breaks(problem):
    # The stand-in for scikit-learn below 1.9 offers nothing, and has_callbacks must see that.
    class Bare:
        pass

    assert not sklearn_logreg._progress.has_callbacks(Bare())
    assert LogisticRegression().fit(*problem).converged_


# Interruption.


def state(model):
    """A copy of all that the estimator holds."""
    return {name: np.copy(value) if isinstance(value, np.ndarray) else value for name, value in vars(model).items()}


def assert_same_state(model, before):
    assert set(vars(model)) == set(before), "attributes appeared or vanished"
    for name, value in before.items():
        assert_array_equal(vars(model)[name], value, err_msg=name)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_the_estimator_as_it_was(failure, solver, fitted, problem, monkeypatch):
    model = LogisticRegression(solver=solver, tol=1e-12, max_iter=50)
    if fitted:
        fit_quietly(model, *make_classes(80, 3, n_classes=3, seed=9))
    before = state(model)
    evaluate, calls = Objective.evaluate, []

    def interrupted(self, coef):
        calls.append(coef)
        if len(calls) == 3:
            raise failure
        return evaluate(self, coef)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    with pytest.raises(failure):
        model.fit(*problem)
    assert len(calls) == 3, "it raises at once"
    assert_same_state(model, before)
    monkeypatch.setattr(Objective, "evaluate", evaluate)
    again = fit_quietly(model, *problem)
    assert_array_equal(again.coef_, fit_quietly(LogisticRegression(**model.get_params()), *problem).coef_)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interruption_in_a_callback(solver, fitted, problem, callbacks):
    recorder = Recorder(fail_at=3)
    model = LogisticRegression(solver=solver, tol=1e-12, max_iter=50)
    if fitted:
        fit_quietly(model, *make_classes(80, 3, n_classes=3, seed=9))
    model.set_callbacks(recorder)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*problem)
    assert recorder.events[-1] == "teardown", "callbacks are closed whatever happens"
    assert_same_state(model, before)


@pytest.mark.parametrize("fitted", [False, True])
def test_a_callback_that_fails_at_the_end_of_the_fit(fitted, problem, callbacks):
    class FailAtTheEnd(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name != "pass":
                raise ValueError("at the end")

    model = LogisticRegression()
    if fitted:
        model.fit(*make_classes(80, 3, seed=9))
    model.set_callbacks(FailAtTheEnd())
    before = state(model)
    with pytest.raises(ValueError, match="at the end"):
        model.fit(*problem)
    assert_same_state(model, before)


def test_data_frames_and_an_interruption(monkeypatch):
    pd = pytest.importorskip("pandas")
    X, y = make_classes(80, 3)
    model = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    before = state(model)

    def interrupted(self, coef):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], y)
    assert_same_state(model, before)
    assert list(model.feature_names_in_) == ["a", "b", "c"]


@pytest.mark.parametrize("fitted", [False, True])
def test_data_that_are_refused_leave_it_as_it_was(fitted, problem):
    model = LogisticRegression()
    if fitted:
        model.fit(*problem)
    before = state(model)
    X, y = make_classes(50, 7)
    for bad in (dict(y=np.zeros(50)), dict(sample_weight=-np.ones(50)), dict(X=np.full((50, 7), np.nan))):
        with pytest.raises(ValueError, match=r"class|[Nn]egative|NaN"):
            model.fit(**({"X": X, "y": y} | bad))
        assert_same_state(model, before)


def test_a_warning_turned_into_an_error_leaves_it_as_it_was(problem):
    model = LogisticRegression(max_iter=1, tol=1e-12)
    before = state(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(*problem)
    assert_same_state(model, before)
