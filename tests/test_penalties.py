"""The elastic net: its proximal operator against scalar minimisation, its distance against scalar subgradients."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from sklearn_logreg._penalties import ElasticNet

W = np.array([[-3.0, -0.7, -0.1, 0.0, 0.05, 0.4, 1.0, 20.0]])


@pytest.mark.parametrize("step_size", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("l1", [0.0, 0.3, 2.0])
def test_prox_minimises_the_proximal_cost(l1, step_size):
    found = ElasticNet(l1, 0.5).prox(W, step_size)
    for w, v in zip(W.ravel(), found.ravel(), strict=True):

        def cost(v, w=w):
            return (v - w) ** 2 / (2.0 * step_size) + l1 * abs(v)

        span = 1.0 + abs(w)
        best = minimize_scalar(cost, bounds=(-span, span), method="bounded", options={"xatol": 1e-12})
        # A minimum is known to the root of the precision of its cost.
        assert_allclose(v, best.x, atol=1e-7)
        assert cost(v) <= best.fun + 1e-15, "no other point is better"


def test_next_to_no_penalty_has_no_bound_and_is_silent():
    assert ElasticNet(0.0, 1e-303).fenchel_young(W, np.ones_like(W)) == np.inf


def test_prox_is_zero_up_to_the_threshold_and_keeps_signs():
    found = ElasticNet(0.5, 0.0).prox(W, 1.0)
    assert_array_equal(found == 0.0, np.abs(W) <= 0.5)
    assert_array_equal(found, [[-2.5, -0.7 + 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 19.5]])


def test_prox_without_l1_changes_nothing():
    assert_array_equal(ElasticNet(0.0, 3.0).prox(W, 10.0), W)


@pytest.mark.parametrize("l1, l2", [(0.0, 0.7), (0.4, 0.0), (0.4, 0.7)])
def test_value(l1, l2):
    expected = sum(l1 * abs(w) + l2 / 2.0 * w**2 for w in W.ravel())
    assert_allclose(ElasticNet(l1, l2).value(W), expected, rtol=1e-15)


def test_value_with_one_strength_a_feature():
    l2 = np.arange(8.0)
    assert_allclose(ElasticNet(0.0, l2).value(W), 0.5 * np.sum(l2 * W**2), rtol=1e-15)


@pytest.mark.parametrize("l1", [0.0, 0.3, 2.0])
def test_distance_to_the_subdifferential(l1):
    rng = np.random.RandomState(0)
    gradient = rng.normal(size=W.shape) * 2.0
    gradient[0, 3] = 1.9
    found = ElasticNet(l1, 0.0).distance(W, gradient)
    for w, g, distance in zip(W.ravel(), gradient.ravel(), found.ravel(), strict=True):
        subgradients = np.linspace(-1.0, 1.0, 100001) if w == 0.0 else np.sign([w])
        assert_allclose(distance, np.abs(g + l1 * subgradients).min(), atol=1e-4, err_msg=f"w={w}, g={g}")


def test_distance_is_zero_where_the_subdifferential_holds_it():
    distance = ElasticNet(0.5, 0.0).distance(np.array([[0.0, 0.0, 1.0, -1.0]]), np.array([[0.5, -0.2, -0.5, 0.5]]))
    assert_array_equal(distance, np.zeros((1, 4)))


@pytest.mark.parametrize("l1, l2, expected", [(0, 0, False), (1e-9, 0, True), (0, 1e-9, True), (0, np.zeros(3), False)])
def test_truth_says_whether_anything_is_penalised(l1, l2, expected):
    assert bool(ElasticNet(l1, l2)) is expected
