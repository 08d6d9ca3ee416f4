"""Separation: every answer is checked against the rows themselves; a fit warns exactly where there is no optimum."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import SOLVERS, fit_quietly, load, make_classes, violation_of
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linprog
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import sklearn_logreg._separation
from sklearn_logreg import LogisticRegression, SeparationWarning, Status, separation

KINDS = ["none", "quasi-complete", "complete"]


def margins(found, X, y, fit_intercept=True):
    """(B_y - B_k) . x for every row and every other class along the direction found, with the best intercepts."""
    X = np.asarray(X.toarray() if sparse.issparse(X) else X, float)
    size = X.std(axis=0) if fit_intercept else np.sqrt(np.mean(X**2, axis=0))
    direction = np.vstack([np.zeros(X.shape[1]), found.direction]) if len(found.direction) == 1 else found.direction
    raw = (X / np.where(size > 0.0, size, 1.0)) @ direction.T
    classes, codes = np.unique(y, return_inverse=True)
    rows, others = np.nonzero(codes[:, None] != np.arange(len(classes)))
    margin = raw[rows, codes[rows]] - raw[rows, others]
    if not fit_intercept:
        return margin
    # The intercepts are not part of the result: take those that make the smallest margin largest.
    K = len(classes)
    A = np.zeros((len(rows), K + 1))
    A[np.arange(len(rows)), codes[rows]] -= 1.0
    A[np.arange(len(rows)), others] += 1.0
    A[:, K] = 1.0
    bounds = [(0.0, 0.0)] + [(None, None)] * (K - 1) + [(None, None)]
    best = linprog(np.append(np.zeros(K), -1.0), A_ub=A, b_ub=margin, bounds=bounds, method="highs").x
    return margin - A[:, :K] @ best[:K]


def check(found, X, y, fit_intercept=True):
    """The direction does what the kind says."""
    if found.kind == "none":
        assert not found and not found.features and not found.direction.any()
        return
    assert found
    smallest = margins(found, X, y, fit_intercept)
    if found.kind == "complete":
        assert smallest.min() > 0.0, "complete: every row must be on its own side"
    else:
        assert smallest.min() > -1e-9, "quasi-complete: no row may be on a wrong side"
        assert smallest.max() > 1e-7, "quasi-complete: some row must be on its own side"


def constructed(kind, seed=0, noise_features=2):
    """The first feature decides, noise follows; 60 rows, so that noise alone does not separate them."""
    rng = np.random.RandomState(seed)
    y = np.arange(60) % 2
    first = {
        "none": rng.normal(size=60) + y,
        "quasi-complete": np.where(y == 1, rng.uniform(size=60) > 0.5, 0.0),
        "complete": y + 0.3 * rng.uniform(size=60),
    }[kind]
    return np.column_stack([first, rng.normal(size=(60, noise_features))]), y


def test_endometrial_cancer_is_separated_by_neovascularisation():
    # Heinze and Schemper (2002): no patient with NV = 1 has a low histology, so its coefficient is infinite.
    X, y = load("endometrial")
    frame = pd.DataFrame(X, columns=["NV", "PI", "EH"])
    found = separation(frame, y)
    assert found.kind == "quasi-complete"
    assert found.features == ["NV"]
    assert found.direction.shape == (1, 3)
    assert found.direction[0, 0] > 0.0, "the published estimate of NV is + infinity"
    assert_array_equal(found.direction[0, 1:], 0.0)
    check(found, X, y)
    assert separation(X, y).features == [0], "without names, indices"


@pytest.mark.parametrize("outlier", [1e3, 1e6, 1e9, 1e12])
def test_an_outlier_does_not_hide_that_the_classes_overlap(outlier):
    # In standard deviations all other rows are then within rounding of one another.
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 3))
    y = (X[:, 0] + rng.normal(size=200) > 0.0).astype(int)
    assert not separation(X, y)
    X[0, 1] = outlier
    assert not separation(X, y)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(
    "name, kind",
    [
        ("spector", "none"),
        ("vaso", "none"),
        ("lowbwt_stata", "none"),
        ("enet_binomial", "none"),
        ("vowel", "none"),
        ("endometrial", "quasi-complete"),
        ("glmnet_binomial", "complete"),
        ("dermatology", "complete"),
    ],
)
def test_published_data(name, kind, fit_intercept):
    X, y = load(name)
    found = separation(X, y, fit_intercept=fit_intercept)
    assert found.kind == kind
    check(found, X, y, fit_intercept)


@pytest.mark.parametrize("name", ["spector", "vaso", "lowbwt_stata"])
def test_none_means_that_the_optimum_exists(name):
    # The other half of the theorem: an unpenalised point with a vanishing gradient is proof that there is none.
    X, y = load(name)
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    assert violation_of(model, X, y) < 1e-8 and not separation(X, y)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_constructed_data(kind, seed):
    X, y = constructed(kind, seed)
    found = separation(X, y)
    assert found.kind == kind
    check(found, X, y)
    if kind == "quasi-complete":
        assert found.features == [0], "noise overlaps, and takes no part in a direction that leaves rows on the plane"


@pytest.mark.parametrize("seed", range(10))
def test_random_labels_agree_with_a_fit(seed):
    # Small random problems fall on both sides; scipy decides them by another programme: is a margin of 1 feasible?
    rng = np.random.RandomState(seed)
    X, y = rng.normal(size=(14, 5)), np.append([0, 1], rng.randint(0, 2, size=12))
    Z = np.where(y == 1, 1.0, -1.0)[:, None] * np.column_stack([X, np.ones(14)])
    feasible = linprog(np.zeros(6), A_ub=-Z, b_ub=-np.ones(14), bounds=(None, None), method="highs").status == 0
    found = separation(X, y)
    assert (found.kind == "complete") == feasible, "continuous data are separated completely or not at all"
    check(found, X, y)


def test_without_an_intercept_the_plane_must_pass_through_the_origin():
    X, y = [[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1]
    assert separation(X, y).kind == "complete"
    assert separation(X, y, fit_intercept=False).kind == "none", "all rows lie on one side of the origin"
    assert separation(np.array(X) - 2.5, y, fit_intercept=False).kind == "complete"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_equals_dense(storage, fit_intercept, kind):
    X, y = constructed(kind)
    X = X * (np.random.RandomState(1).uniform(size=X.shape) > 0.2) if kind == "none" else X
    expected = separation(X, y, fit_intercept=fit_intercept)
    found = separation(storage(X), y, fit_intercept=fit_intercept)
    assert found.kind == expected.kind
    assert found.features == expected.features
    check(found, X, y, fit_intercept)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_are_left_out(kind, storage):
    X, y = constructed(kind)
    rng = np.random.RandomState(0)
    # Rows with the labels turned round would make any set non-separable, if they counted.
    X_more, y_more = np.vstack([X, X]), np.append(y, 1 - y)
    s = np.append(rng.uniform(1e-6, 1e6, size=len(y)), np.zeros(len(y)))
    assert separation(X_more, y_more).kind == "none"
    found = separation(storage(X_more), y_more, sample_weight=s)
    assert found.kind == kind, "weights other than zero make no difference"
    assert_allclose(found.direction, separation(storage(X), y).direction, atol=1e-9)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("factors", [[1e-8] * 3, [1e8] * 3, [1e-8, 1.0, 1e8], [1e8, 1e-8, 1.0]])
@pytest.mark.parametrize("kind", KINDS)
def test_units_make_no_difference(kind, factors, storage):
    X, y = constructed(kind)
    expected = separation(storage(X), y)
    found = separation(storage(X * factors), y)
    assert (found.kind, found.features) == (expected.kind, expected.features)
    assert_allclose(found.direction, expected.direction, atol=1e-6, err_msg="the direction is per standard deviation")


@pytest.mark.parametrize("shift", [1e3, 1e6])
def test_the_origin_makes_no_difference(shift):
    X, y = constructed("quasi-complete")
    assert separation(X + shift, y).features == [0]


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
def test_collinear_columns_are_not_named(storage, fit_intercept):
    # Combinations of columns that cancel on every row can be added to any direction, and mean nothing.
    X, y = constructed("quasi-complete", noise_features=1)
    columns = [X[:, 1], X[:, 0], 2.0 * X[:, 1], -X[:, 1]] + ([X[:, 1] + 1.0, np.ones(60)] if fit_intercept else [])
    found = separation(storage(np.column_stack(columns)), y, fit_intercept=fit_intercept)
    assert found.kind == "quasi-complete"
    assert found.features == [1], "the noise is the same column over and over, and separates nothing"


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
def test_collinear_columns_alone_do_not_separate(storage):
    X, y = constructed("none")
    found = separation(storage(np.column_stack([X, X, X.sum(axis=1)])), y)
    assert found.kind == "none" and found.features == [], "directions that change nothing are no separation"
    assert_array_equal(found.direction, np.zeros((1, 7)))
    assert found != separation(storage(X), y) and hash(found), "compared as objects: arrays have no truth"


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
def test_softmax(storage):
    X, y = load_iris(return_X_y=True)
    found = separation(storage(X), y)
    assert found.kind == "quasi-complete", "setosa stands apart; the other two overlap"
    assert found.direction.shape == (3, 4)
    check(found, X, y)
    overlapping = separation(storage(X[y > 0]), y[y > 0])
    assert overlapping.kind == "none"
    rng = np.random.RandomState(0)
    three = np.arange(60) % 3
    apart = separation(storage(np.eye(3)[three] + 0.1 * rng.uniform(size=(60, 3))), three)
    assert apart.kind == "complete"
    assert separation(storage(rng.normal(size=(60, 2))), three).kind == "none"


def test_labels_and_lists():
    found = separation([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
    assert (found.kind, found.features) == ("complete", [0])
    assert found.direction[0, 0] == 1.0, "towards the second class in sorted order, as coef_"


def test_pandas_names_that_are_not_strings_are_ignored():
    X, y = constructed("quasi-complete")
    assert separation(pd.DataFrame(X), y).features == [0]


@pytest.mark.parametrize("sample_weight", [None, [0.0, 0.0, 1.0, 1.0]])
def test_one_class_is_refused_with_its_name(sample_weight):
    y = [1, 1, 1, 1] if sample_weight is None else [0, 0, 1, 1]
    with pytest.raises(ValueError, match="class"):
        separation([[1.0], [2.0], [3.0], [4.0]], y, sample_weight=sample_weight)


def test_data_that_cannot_be_used():
    with pytest.raises(ValueError, match="NaN"):
        separation([[1.0], [np.nan]], [0, 1])
    with pytest.raises(ValueError, match="inconsistent"):
        separation([[1.0], [2.0]], [0, 1, 1])
    with pytest.raises(ValueError, match="Unknown label type"):
        separation([[1.0], [2.0]], [0.5, 1.7])
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        separation([[1.0], [2.0]], [0, 1], sample_weight=[-1.0, 1.0])


def test_input_is_left_as_it_was():
    X, y = constructed("complete")
    before = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    separation(X, y)
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])


@pytest.mark.parametrize("wrong", [{"time_limit": -1.0}, {"time_limit": "a"}, {"fit_intercept": "yes"}])
def test_wrong_parameters_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"The '{name}' parameter of separation must be"):
        separation([[0.0], [1.0]], [0, 1], **wrong)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
def test_time_limit(storage):
    X, y = make_classes(4000, 40, noise=3.0)
    with pytest.raises(TimeoutError, match=r"not solved within time_limit=0\.001 seconds"):
        separation(storage(X), y, time_limit=1e-3)
    assert separation(storage(X[:100, :3]), y[:100], time_limit=60.0).kind == "none", "in time"


def test_ten_thousand_rows_are_a_matter_of_a_second():
    X, y = make_classes(10_000, 20, noise=2.0)
    start = time.process_time()
    assert separation(X, y).kind == "none"
    # 0.15 s where it was measured; the limit leaves room for slow machines, and none for a quadratic method.
    assert time.process_time() - start < 5.0


# The estimator.


def test_the_warning_names_the_feature_and_the_remedy():
    X, y = load("endometrial")
    frame = pd.DataFrame(X, columns=["NV", "PI", "EH"])
    model = LogisticRegression(C=np.inf)
    with pytest.warns(SeparationWarning) as caught:
        model.fit(frame, y)
    message = str(caught[0].message)
    assert len(caught) == 1
    assert "quasi-completely separable by feature NV," in message
    assert "C=1.0" in message and "finite" in message, "it must say what a finite C would do"
    assert model.status_ is Status.SEPARABLE
    assert model.status_message_ == message
    assert not model.converged_, "there is nothing to converge to"
    assert model.score(frame, y) > 0.8, "it still predicts"
    assert caught[0].filename == __file__, "the warning points at the line of the user"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["quasi-complete", "complete"])
def test_every_solver_warns(kind, solver):
    X, y = constructed(kind)
    with pytest.warns(SeparationWarning, match="separable by feature"):
        model = LogisticRegression(C=np.inf, solver=solver).fit(X, y)
    assert model.status_ is Status.SEPARABLE and not model.converged_


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_storage_classes_and_intercept(n_classes, storage, fit_intercept):
    rng = np.random.RandomState(0)
    y = np.arange(90) % n_classes
    X = np.column_stack(
        [3.0 * np.eye(n_classes)[y] - 1.0 + 0.1 * rng.uniform(size=(90, n_classes)), rng.normal(size=90)]
    )
    with pytest.warns(SeparationWarning, match="completely separable by features"):
        model = LogisticRegression(C=np.inf, fit_intercept=fit_intercept).fit(storage(X), y)
    assert model.status_ is Status.SEPARABLE


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("name", ["spector", "vaso", "lowbwt_stata", "enet_binomial", "vowel"])
def test_no_warning_where_the_optimum_exists(name, fit_intercept):
    X, y = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(C=np.inf, fit_intercept=fit_intercept).fit(X, y)
    assert model.converged_ and model.status_ is Status.CONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("max_iter", [1, 5, 30])
def test_a_fit_cut_short_is_not_called_separable(max_iter, solver):
    X, y = load("spector")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegression(C=np.inf, solver=solver, max_iter=max_iter, tol=0.0).fit(X, y)
    assert not any(issubclass(warning.category, SeparationWarning) for warning in caught), "the optimum exists"
    assert model.status_ in (Status.MAX_ITER, Status.PRECISION)


@pytest.mark.parametrize("C", [1.0, 1e6])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_penalty_gives_a_finite_optimum(C, l1_ratio):
    X, y = load("endometrial")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(X, y)
    assert model.converged_, "the remedy that the warning gives must work"


def test_rows_of_weight_zero_do_not_hide_the_separation():
    X, y = constructed("complete")
    X, y = np.vstack([X, X]), np.append(y, 1 - y)
    s = np.append(np.ones(60), np.zeros(60))
    with pytest.warns(SeparationWarning, match="completely separable"):
        LogisticRegression(C=np.inf).fit(X, y, sample_weight=s)


def test_many_features_are_not_all_listed():
    X, y = load("glmnet_binomial")
    with pytest.warns(SeparationWarning, match=r"features (\d+, ){9}\d+ and \d+ more, "):
        LogisticRegression(C=np.inf).fit(X, y)


def test_without_the_time_to_prove_it_the_warning_says_likely(monkeypatch):
    def late(*args):
        raise TimeoutError

    monkeypatch.setattr(sklearn_logreg._separation, "separation", late)
    X, y = constructed("complete")
    with pytest.warns(SeparationWarning, match="classes are likely separable"):
        model = LogisticRegression(C=np.inf).fit(X, y)
    assert model.status_ is Status.SEPARABLE


@pytest.mark.parametrize("name", ["spector", "vaso"])
def test_the_linear_programme_is_not_run_without_symptoms(name, monkeypatch):
    def never(*args):
        raise AssertionError("a fit that converged has no question to ask")

    monkeypatch.setattr(sklearn_logreg._separation, "separation", never)
    X, y = load(name)
    assert LogisticRegression(C=np.inf).fit(X, y).converged_


def test_no_other_warning_in_single_precision():
    # Times of an hour in seconds since 1970: float32 tells 128 seconds apart, and the Hessian is singular but for
    # rounding.
    rng = np.random.default_rng(2)
    time_of_day, X = 1.7e9 + rng.uniform(0, 3600, 1000), rng.normal(size=(1000, 4))
    y = (X[:, 0] + rng.logistic(size=1000) > 0).astype(int) + (X[:, 1] > 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegression(C=np.inf).fit(np.column_stack([time_of_day, X]).astype(np.float32), y)
    assert all(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def test_the_category_is_a_convergence_warning():
    X, y = load("endometrial")
    assert issubclass(SeparationWarning, ConvergenceWarning), "who silences those silences this one too"
    fit_quietly(LogisticRegression(C=np.inf), X, y)
