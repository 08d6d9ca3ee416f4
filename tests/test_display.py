"""LossCurveDisplay: the conventions of scikit-learn's displays, and lines that show what the estimator recorded."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import SOLVERS, fit_quietly, make_classes
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sklearn_logreg import LogisticRegression, LossCurveDisplay

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def plt():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


@pytest.fixture(scope="module")
def fits():
    X, y = make_classes(200, 4)
    return {solver: fit_quietly(LogisticRegression(solver=solver, max_iter=200), X, y) for solver in SOLVERS}


def test_from_estimator(plt, fits):
    model = fits["nesterov"]
    display = LossCurveDisplay.from_estimator(model)
    assert isinstance(display, LossCurveDisplay)
    assert isinstance(display.ax_, matplotlib.axes.Axes)
    assert isinstance(display.figure_, matplotlib.figure.Figure)
    assert display.ax_.figure is display.figure_
    (line,) = display.lines_
    x, above = line.get_data()
    assert_array_equal(x, np.arange(1, model.n_iter_[0] + 1), "one point a pass, the first pass is 1")
    expected = model.loss_curve_ - model.loss_curve_.min()
    assert_allclose(above[expected > 0.0], expected[expected > 0.0], rtol=1e-12)
    assert np.all(np.isnan(above[expected == 0.0])), "zero has no place on a logarithmic scale"
    assert display.ax_.get_yscale() == "log"
    assert "pass" in display.ax_.get_xlabel() and "cost" in display.ax_.get_ylabel()
    assert line.get_label() == "nesterov", "the solver, unless a name is given"


def test_from_estimators_lays_the_curves_over_each_other(plt, fits):
    display = LossCurveDisplay.from_estimators(fits)
    assert [line.get_label() for line in display.lines_] == SOLVERS, "in the order given"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == SOLVERS
    best = min(model.loss_curve_.min() for model in fits.values())
    for line, model in zip(display.lines_, fits.values(), strict=True):
        above, expected = line.get_ydata(), model.loss_curve_ - best
        assert_allclose(above[expected > 0.0], expected[expected > 0.0], rtol=1e-12, err_msg="one minimum for all")
    assert len({line.get_color() for line in display.lines_}) == 3, "colours tell the solvers apart"


def test_best_is_subtracted(plt, fits):
    model = fits["gd"]
    for display in (
        LossCurveDisplay.from_estimator(model, best=0.1),
        LossCurveDisplay.from_estimators({"gd": model}, best=0.1),
        LossCurveDisplay({"gd": model.loss_curve_}, best=0.1).plot(),
    ):
        assert_allclose(display.lines_[0].get_ydata(), model.loss_curve_ - 0.1)


def test_axes_and_style_can_be_given(plt, fits):
    _, (left, right) = plt.subplots(1, 2)
    display = LossCurveDisplay.from_estimator(fits["gd"], ax=right, name="my loop", color="red", linewidth=5)
    assert display.ax_ is right and not left.lines
    assert display.lines_[0].get_label() == "my loop"
    assert display.lines_[0].get_color() == "red" and display.lines_[0].get_linewidth() == 5


def test_plot_again_on_other_axes(plt, fits):
    display = LossCurveDisplay.from_estimator(fits["gd"])
    first = display.ax_
    assert display.plot(name="again") is display, "plot returns the display"
    assert display.ax_ is not first, "without axes, new ones"
    assert len(display.lines_) == 1 and display.lines_[0].get_label() == "again"
    assert display.plot(first).ax_ is first, "the axes come first, as in every display of scikit-learn"


def test_a_name_for_several_curves_is_refused(plt, fits):
    with pytest.raises(ValueError, match="name='all' can label one curve only, but there are 3"):
        LossCurveDisplay.from_estimators(fits).plot(name="all")


@pytest.mark.parametrize("make", ["from_estimator", "from_estimators"])
def test_not_fitted(make, plt):
    model = LogisticRegression()
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(LossCurveDisplay, make)({"a": model} if make == "from_estimators" else model)


@pytest.mark.parametrize("foreign", [3, make_pipeline(LogisticRegression()), LinearRegression()])
def test_what_has_no_loss_curve_is_named(foreign, plt):
    with pytest.raises(TypeError, match=r"estimator=.* has no loss curve: .*, of a pipeline its last step"):
        LossCurveDisplay.from_estimator(foreign)


@pytest.mark.parametrize("estimators", [{}, [LogisticRegression()]])
def test_estimators_come_by_name(estimators, plt):
    with pytest.raises(TypeError, match=r"estimators=.* must be a dict of fitted estimators by name, not empty"):
        LossCurveDisplay.from_estimators(estimators)


def test_the_last_step_of_a_pipeline(plt, fits):
    pipeline = make_pipeline(fits["gd"])
    assert LossCurveDisplay.from_estimator(pipeline[-1]).lines_[0].get_label() == "gd"


def test_infinite_costs_leave_a_gap(plt):
    display = LossCurveDisplay({"diverged": np.array([0.7, 0.5, np.inf, np.nan])}).plot()
    display.figure_.canvas.draw()
    assert display.lines_[0].get_ydata()[0] == pytest.approx(0.2)


def test_a_fit_of_one_pass(plt):
    X, y = make_classes()
    model = LogisticRegression(C=1e-9).fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    display.figure_.canvas.draw()
    assert len(display.lines_[0].get_xdata()) == model.n_iter_[0]


def test_no_passes_at_all(plt):
    X, y = make_classes()
    model = fit_quietly(LogisticRegression(max_iter=0), X, y)
    display = LossCurveDisplay.from_estimators({"none": model, "some": LogisticRegression().fit(X, y)})
    assert len(display.lines_) == 2, "a fit that made no pass has an empty line, and stops nobody else's"


def test_missing_matplotlib_is_named_with_the_remedy(fits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ImportError, match=r"requires matplotlib\. You can install matplotlib with `pip install matplotlib`"
    ):
        LossCurveDisplay.from_estimator(fits["gd"])


def test_matplotlib_is_imported_late():
    code = "import sys, sklearn_logreg; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, "only plot may import it"
