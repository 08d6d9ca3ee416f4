"""The pointwise losses, against the textbook formulas in 720 decimal digits, where nothing overflows."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, log_softmax, softmax

from sklearn_logreg._losses import LogLoss, SoftmaxLoss, secant_curvature
from sklearn_logreg._sources import Workspace

MARGINS = np.array([0.0, 1e-300, 1e-9, 0.5, 1.0, 5.0, 36.0, 37.0, 50.0, 700.0, 745.0, 746.0, 800.0])
MARGINS = np.concatenate([-MARGINS[::-1], MARGINS])


def evaluate(loss, raw, codes, weight=None):
    """Sum of the loss, sum of P(wrong classes), residuals."""
    residual = np.array(raw, dtype=float, order="C")
    total, wrong, *_ = loss.evaluate(residual, codes, weight, Workspace())
    return total, wrong, residual


def by_row(loss, raw, codes):
    """Loss, P(wrong classes) and residuals, one row at a time."""
    rows = [evaluate(loss, raw[:, [i]], codes[[i]]) for i in range(raw.shape[1])]
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.hstack([r[2] for r in rows])


def exact(raw, own):
    """-log p_own, 1 - p_own and the residuals of one row of raw predictions, with 720 digits: exp(-1600) is 1e-695."""
    with localcontext() as context:
        context.prec = 720
        e = [Decimal(float(z)).exp() for z in raw]
        p = [each / sum(e) for each in e]
        residual = [float(p_k - (k == own)) for k, p_k in enumerate(p)]
        return float(-p[own].ln()), float(1 - p[own]), residual


def assert_close(actual, expected):
    """To 14 digits; denormal numbers have fewer."""
    assert_allclose(actual, expected, rtol=1e-13, atol=1e-307)


@pytest.mark.parametrize("second_class", [False, True])
def test_log_loss_is_exact_in_both_tails(second_class):
    loss = LogLoss()
    codes = loss.encode(np.full(len(MARGINS), second_class))
    value, wrong, residual = by_row(loss, MARGINS[None], codes)
    expected = [exact([0.0, z], int(second_class)) for z in MARGINS]
    assert np.isfinite(value).all() and np.isfinite(residual).all()
    assert_close(value, [e[0] for e in expected])
    assert_close(wrong, [e[1] for e in expected])
    # The derivative by the raw prediction of the second class.
    assert_close(residual[0], [e[2][1] for e in expected])


@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize("others", [(0.0, -3.0), (800.0, -800.0)])
def test_softmax_loss_is_exact_in_both_tails(own, others):
    raw = np.stack([MARGINS, np.full_like(MARGINS, others[0]), np.full_like(MARGINS, others[1])])
    loss = SoftmaxLoss(3)
    value, wrong, residual = by_row(loss, raw, loss.encode(np.full(len(MARGINS), own)))
    expected = [exact(column, own) for column in raw.T]
    assert np.isfinite(value).all() and np.isfinite(residual).all()
    # Raw predictions of 800 carry an error of 800 eps of their own, which their exponential makes relative.
    for actual, reference in zip((value, wrong, residual.T), zip(*expected, strict=True), strict=True):
        assert_allclose(actual, reference, rtol=1e-12, atol=1e-307)


def test_two_classes_as_softmax_are_the_binary_loss():
    # Softmax of (0, z) is the logistic function of z, so loss and residual must be the same.
    rng = np.random.RandomState(0)
    z, is_second = rng.normal(size=100) * 30.0, rng.rand(100) < 0.5
    binary, two = LogLoss(), SoftmaxLoss(2)
    value, wrong, residual = evaluate(binary, z[None], binary.encode(is_second))
    value_2, wrong_2, residual_2 = evaluate(two, np.stack([np.zeros(100), z]), two.encode(is_second.astype(int)))
    assert_allclose(value_2, value, rtol=1e-14)
    assert_allclose(wrong_2, wrong, rtol=1e-14)
    assert_allclose(residual_2, np.stack([-residual[0], residual[0]]), rtol=1e-13)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_softmax_residuals_of_a_row_sum_to_zero(n_classes):
    # All classes up by the same amount changes no probability.
    rng = np.random.RandomState(n_classes)
    raw, loss = rng.normal(size=(n_classes, 50)) * 20.0, SoftmaxLoss(n_classes)
    _, _, residual = evaluate(loss, raw, loss.encode(rng.randint(n_classes, size=50)))
    assert_allclose(residual.sum(axis=0), 0.0, atol=1e-15)


@pytest.mark.parametrize("weight", [None, "integers"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_weights_multiply_rows(n_classes, weight):
    rng = np.random.RandomState(1)
    loss = LogLoss() if n_classes == 2 else SoftmaxLoss(n_classes)
    raw, codes = rng.normal(size=(loss.n_outputs, 60)) * 3.0, rng.randint(n_classes, size=60)
    codes = loss.encode(codes == 1) if n_classes == 2 else loss.encode(codes)
    s = rng.randint(0, 4, size=60)
    value, wrong, residual = evaluate(loss, raw, codes, None if weight is None else s.astype(float))
    each_value, each_wrong, each_residual = by_row(loss, raw, codes)
    s = np.ones(60) if weight is None else s
    assert_allclose(value, s @ each_value, rtol=1e-13)
    assert_allclose(wrong, s @ each_wrong, rtol=1e-13)
    assert_allclose(residual, s * each_residual, rtol=1e-13, atol=1e-16)


def stencil(function, x, h=1e-3):
    """First derivative by the five-point stencil: error h^4/30 of the fifth derivative."""
    return (8.0 * (function(x + h) - function(x - h)) - (function(x + 2 * h) - function(x - 2 * h))) / (12.0 * h)


@pytest.mark.parametrize("z", [-8.0, -1.0, 0.0, 0.3, 2.0, 9.0])
@pytest.mark.parametrize("code", [False, True])
def test_log_loss_derivatives(z, code):
    loss = LogLoss()
    codes = loss.encode(np.array([code]))

    def value(z):
        return evaluate(loss, np.array([[z]]), codes)[0]

    def slope(z):
        return evaluate(loss, np.array([[z]]), codes)[2][0, 0]

    assert_allclose(slope(z), stencil(value, z), atol=1e-11)
    assert_allclose(loss.curvature(np.array([[z]]))[0, 0], stencil(slope, z), atol=1e-11)


@pytest.mark.parametrize("own", [0, 1, 2])
def test_softmax_loss_derivatives(own):
    loss = SoftmaxLoss(3)
    raw = np.array([0.3, -1.2, 2.0])
    for k in range(3):
        along = np.eye(3)[k]

        def value(t, along=along):
            return evaluate(loss, (raw + t * along)[:, None], loss.encode(np.array([own])))[0]

        def slope(t, along=along):
            return evaluate(loss, (raw + t * along)[:, None], loss.encode(np.array([own])))[2][:, 0]

        assert_allclose(slope(0.0)[k], stencil(value, 0.0), atol=1e-11)
        p = loss.curving_probabilities(raw[:, None].copy())[:, 0]
        assert_allclose((np.diag(p) - np.outer(p, p))[k], stencil(slope, 0.0), atol=1e-11)


def test_curvature_is_exact_in_both_tails():
    expected = expit(MARGINS) * expit(-MARGINS)
    assert_allclose(LogLoss().curvature(MARGINS[None].copy())[0], expected, rtol=1e-14, atol=1e-307)


def test_curvature_bounds_hold_and_are_reached():
    z = np.linspace(-30, 30, 1001)
    curvature = LogLoss().curvature(z[None].copy())
    assert curvature.max() == LogLoss.curvature_bound, "p (1 - p) is 1/4 at z = 0"
    rng = np.random.RandomState(0)
    largest = 0.0
    for raw in [rng.normal(size=5) * scale for scale in (0.1, 1, 10) for _ in range(50)] + [[0, 0, -99, -99, -99]]:
        p = softmax(raw)
        largest = max(largest, np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))[-1])
    bound = SoftmaxLoss(5).curvature_bound
    assert largest <= bound * (1 + 1e-12)
    assert_allclose(largest, bound, rtol=1e-12, err_msg="two classes of probability 1/2 reach the bound")


def test_probabilities_are_softmax():
    raw = np.array([[800.0, 0.0, 1.0], [-800.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    assert_allclose(SoftmaxLoss(3).probabilities(raw.copy()), np.exp(log_softmax(raw, axis=0)), rtol=1e-14)


@pytest.mark.parametrize("class_weights", [[1.0, 3.0], [2.0, 1.0, 5.0]])
def test_start_is_the_best_constant_prediction(class_weights):
    # Without features the optimum predicts the shares of the classes.
    class_weights = np.array(class_weights)
    loss = LogLoss() if len(class_weights) == 2 else SoftmaxLoss(len(class_weights))
    start = loss.start(class_weights)
    p = softmax(start if len(start) > 1 else np.append(0.0, start))
    assert_allclose(p, class_weights / class_weights.sum(), rtol=1e-14)


@pytest.mark.parametrize("n_classes", [2, 200, 300, 70000])
def test_codes_survive_many_classes(n_classes):
    index = np.array([0, 1, n_classes - 1])
    assert_allclose(SoftmaxLoss(n_classes).encode(index).astype(int), index)


@pytest.mark.parametrize("z", [0.01, 0.5, 3.0, 10.0])
def test_secant_curvature_bounds_the_loss_from_above(z):
    # log(1 + exp(t)) of a row on the wrong side, at z > 0, and the parabola with its slope there.
    t = np.linspace(-3.0 * z, 3.0 * z, 301)
    p = expit(np.array([z]))
    parabola = np.logaddexp(0.0, z) + p * (t - z) + 0.5 * secant_curvature(p) * (t - z) ** 2
    assert np.all(parabola >= np.logaddexp(0.0, t) - 1e-12)
    if z > 0.1:  # below, p (1 - p) is 1/4 but for 1e-3
        touches = np.logaddexp(0.0, z) - 2.0 * p * z + 2.0 * secant_curvature(p) * z**2
        assert_allclose(touches, np.logaddexp(0.0, -z), atol=1e-12 * z, err_msg="as far on the right side")


def test_rows_far_on_the_wrong_side_are_given_more_curvature():
    # Only those: with the codes, residuals below 1/2 keep the second derivative.
    loss = LogLoss()
    codes = loss.encode(np.arange(40) % 2 == 1)
    raw = 3.0 * np.random.RandomState(0).normal(size=(1, 40))
    size = expit(raw * codes)
    exact, raised = loss.curvature(raw.copy()), loss.curvature(raw.copy(), codes)
    assert 5 < np.sum(size > 0.6) < size.size - 5
    assert_allclose(raised[size < 0.4], exact[size < 0.4], rtol=1e-12)
    assert_allclose(raised[size > 0.6], secant_curvature(size[size > 0.6]), rtol=1e-12)
    assert np.all(raised[size > 0.6] > exact[size > 0.6])


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_softmax_raises_the_own_class_of_rows_far_on_the_wrong_side(n_classes):
    loss = SoftmaxLoss(n_classes)
    rng = np.random.RandomState(0)
    raw, codes = 3.0 * rng.normal(size=(n_classes, 60)), rng.randint(n_classes, size=60)
    own = codes, np.arange(60)
    exact = softmax(raw, axis=0)
    p = loss.curving_probabilities(raw.copy(), codes)
    is_wrong = exact[own] < 0.5
    assert 5 < is_wrong.sum() < 55
    assert_allclose(p.sum(axis=0), 1.0, rtol=1e-12)
    assert_allclose(p[:, ~is_wrong], exact[:, ~is_wrong], rtol=1e-12)
    # Of the own class against all others together, it is the curvature of two classes.
    against = np.log(exact[own] / (1.0 - exact[own]))[None]
    two = LogLoss().curvature(against, np.full(60, -1))[0]
    assert_allclose((p * (1.0 - p))[own], two, rtol=1e-6, err_msg="1 - p has lost digits")
    # The others keep their shares among themselves.
    p[own], exact[own] = 0.0, 0.0
    assert_allclose(p / p.sum(axis=0), exact / exact.sum(axis=0), rtol=1e-12)
