"""Flat directions: what they are, when there are none, and what a fit gains by knowing them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import assert_optimal, make_classes, objective_of, one_hot
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import null_space as expected_null_space
from scipy.linalg import subspace_angles

from sklearn_logreg import LogisticRegression
from sklearn_logreg._curvature import Hessian
from sklearn_logreg._preconditioner import _hessian
from sklearn_logreg._preconditioner._flat import flat_directions, flatten, lift
from sklearn_logreg._preconditioner._hessian import HessianPreconditioner
from sklearn_logreg._preconditioner._look_ahead import _conditions
from sklearn_logreg._preconditioner._symmetric import curves_less_than, null_space
from sklearn_logreg._preconditioner._truncated_newton import TruncatedNewton


def collinear(n, n_classes=2):
    """Features in units from 1e-2 to 1e2, far from zero: five that are free, two sums of them, and a category."""
    rng = np.random.RandomState(0)
    free, y = make_classes(n, 5, n_classes, seed=4)
    category = one_hot(rng.randint(4, size=n), range(4))
    X = np.hstack([free, free[:, :2] @ rng.normal(size=(2, 2)), category])
    return (X + 3.0 * (np.arange(11) < 7)) * np.logspace(-2, 2, 11), y


@pytest.mark.parametrize("make", [np.ascontiguousarray, sparse.csr_matrix, lambda X: X.astype(np.float32)])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_they_are_the_null_space_of_the_rows(n_classes, weighted, fit_intercept, make):
    X, y = collinear(2500, n_classes)
    weight = np.random.RandomState(1).rand(2500) if weighted else None
    objective = objective_of(make(X), y, 1e-5, fit_intercept=fit_intercept, sample_weight=weight)
    flat = flat_directions(objective)
    Z = np.hstack([(X - objective.mean) / objective.scale, np.ones((2500, int(fit_intercept)))])
    # A category sums to the intercept.
    expected = expected_null_space(Z, rcond=1e-6)
    assert expected.shape[1] == (3 if fit_intercept else 2)
    assert_allclose(flat.T @ flat, np.eye(flat.shape[1]), atol=1e-12)
    assert flat.shape == expected.shape
    # Sums that float32 rounds are not exact.
    assert np.max(subspace_angles(flat, expected)) <= (1e-4 if objective.source.dtype == np.float32 else 1e-10)


def test_one_row_that_differs_is_enough():
    # The row is not among those that say which directions may be flat.
    X, y = collinear(2500)
    assert flat_directions(objective_of(X, y, 1e-9)).shape[1] == 3
    X[1, 5] += 1.0
    assert flat_directions(objective_of(X, y, 1e-9)).shape[1] == 0


@pytest.mark.parametrize("l2", [0.0, 1e3])
def test_there_are_none_where_nothing_or_enough_holds_them(l2):
    assert flat_directions(objective_of(*collinear(2500), l2)).shape[1] == 0


def test_features_that_have_nothing_in_common_have_none():
    assert flat_directions(objective_of(*make_classes(2500, 8, seed=4), 1e-9)).shape[1] == 0


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_what_has_no_part_in_them_stays(n_outputs):
    rng = np.random.RandomState(0)
    flat, _ = np.linalg.qr(rng.normal(size=(12, 3)))
    root = rng.normal(size=(12 * n_outputs, 12 * n_outputs))
    of_all = np.kron(np.eye(n_outputs), flat)
    H, rest = root @ root.T, expected_null_space(of_all.T)
    flattened = H.copy()
    flatten(flattened, flat)
    assert_allclose(flattened @ of_all, 0.0, atol=1e-10)
    assert_allclose(rest.T @ flattened @ rest, rest.T @ H @ rest)
    assert_allclose(lift(flattened, flat), flattened + of_all @ of_all.T)


@pytest.mark.parametrize("rank", [1, 5, 7, 8])
def test_null_space_of_a_matrix(rank):
    # In units in which they differ by 1e8.
    rng = np.random.RandomState(rank)
    unit = np.logspace(-4, 4, 8)
    Z = rng.normal(size=(30, rank)) @ rng.normal(size=(rank, 8))
    H = Z.T @ Z * unit * unit[:, None]
    columns = null_space(H, 1e-11)
    assert columns.shape == (8, 8 - rank)
    if rank == 8:
        return
    assert_allclose(Z @ (unit[:, None] * columns), 0.0, atol=1e-9 * np.abs(unit[:, None] * columns).max())
    assert np.linalg.matrix_rank(unit[:, None] * columns) == 8 - rank


@pytest.mark.parametrize("least, expected", [(1e-4, False), (1e-2, True)])
def test_curvature_is_that_in_units_in_which_each_feature_has_one(least, expected):
    # Two features of correlation 1 - 1e-3, in units of 1 and 1e6.
    unit = np.array([1.0, 1e6])
    H = (np.eye(2) + (1.0 - 1e-3) * (1.0 - np.eye(2))) * unit * unit[:, None]
    assert curves_less_than(H, least) == expected
    assert curves_less_than(np.full((2, 2), np.nan), least), "nothing is known of it"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_single_precision_does_where_all_that_it_lacks_is_flat(n_classes, monkeypatch):
    monkeypatch.setattr(_hessian, "FLAT_NANOSECONDS", 0)
    X, y = collinear(40_000, n_classes)
    objective = objective_of(X, y, 1e-9)
    preconditioner = HessianPreconditioner(objective)
    # As near the optimum, where curvature is taken as it is.
    here = replace(objective.evaluate(np.zeros(objective.shape)), violation=0.0)
    preconditioner.look(here)
    assert preconditioner.dtype == np.float32
    step = objective.standardise(preconditioner.step(here, 1e-6)[0])
    reached, gradient = objective.hessian(here, exact=True).product(step), objective.apart(here.standardised)
    assert_allclose(reached, -gradient, atol=1e-5 * np.abs(gradient).max())
    # Of all weights that make the same predictions, those with the least penalty.
    along = (objective.l2 * step) @ preconditioner.flat
    assert_allclose(along, 0.0, atol=1e-6 * np.abs(objective.l2 * step).max())


@pytest.mark.parametrize("C", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("n_classes", [3, 5])
def test_a_fit_that_knows_them_buys_no_hessian_for_its_certificate(n_classes, C, monkeypatch):
    X, y = collinear(20_000, n_classes)
    sizes, matrix = [], Hessian.matrix

    def counted(hessian, *args):
        sizes.append(hessian.objective.source.n_rows)
        return matrix(hessian, *args)

    monkeypatch.setattr(Hessian, "matrix", counted)
    monkeypatch.setattr("sklearn_logreg._preconditioner._choice.MAX_SOFTMAX_PASSES", 0.0)
    model = LogisticRegression(C=C, random_state=0).fit(X, y)
    assert_optimal(model, X, y)
    assert model.duality_gap_ <= 1e-10 * model.loss_
    assert sizes.count(len(X)) <= (n_classes == 3)


def test_a_preconditioner_that_does_not_do_is_taken_anew_before_a_hessian_is(monkeypatch):
    # A Hessian of five classes costs three times their blocks.
    X, y = collinear(3000, 5)
    bought = []
    for kind, cls, name in [("blocks", TruncatedNewton, "renew"), ("Hessian", Hessian, "matrix")]:
        original = getattr(cls, name)
        monkeypatch.setattr(cls, name, lambda *args, kind=kind, of=original: bought.append(kind) or of(*args))
    objective = objective_of(X, y, 1e-6)
    here = objective.evaluate(np.zeros(objective.shape))
    preconditioner = TruncatedNewton(objective)
    preconditioner.look(here)
    so_far = [list(bought) for _ in _conditions(objective, here, preconditioner, 100)]
    assert so_far == [[], ["blocks"], ["blocks", "Hessian"]]
