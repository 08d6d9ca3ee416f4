"""Properties of the estimator: known optima, invariances, every combination of options, hard data."""

import functools
import warnings

import numpy as np
import pytest
import sklearn
from conftest import (
    SOLVERS,
    assert_optimal,
    cost,
    dense,
    fit_quietly,
    load,
    make_classes,
    make_sparse,
    violation_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Peer
from sklearn.utils.fixes import parse_version

from sklearn_logreg import LogisticRegression, Status
from sklearn_logreg._losses import LogLoss, SoftmaxLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._preconditioner import descend
from sklearn_logreg._result import Trace
from sklearn_logreg._solvers import gradient_descent, nesterov
from sklearn_logreg._sources import make_source

# --- Known optima ---


def constructed(n, p, l1_ratio, weighted, fit_intercept, seed):
    """Features, classes and C for which given coefficients are optimal, exactly.

    With raw predictions z = X w + b, residuals r_i = s_i (sigma(z_i) - y_i) and a subgradient v of the penalty, w is
    optimal at C = 1/c if r'X = -c v, and b if r'1 = 0.  Choose z, y, s, w, v at random (b makes r'1 = 0): both
    X w = z - b and r'X = -c v are linear in X and agree if c = -r'(z - b) / v'w.  To a solution of them anything may
    be added that vanishes against r from the left and w from the right.
    """
    rng = np.random.RandomState(seed)
    w = rng.normal(size=p)
    if l1_ratio:
        w[rng.permutation(p)[min(p // 2, n // 3) :]] = 0.0  # L1 alone decides no more than n of them
    v = np.where(w == 0.0, l1_ratio * rng.uniform(-0.9, 0.9, size=p), l1_ratio * np.sign(w) + (1.0 - l1_ratio) * w)
    y = np.arange(n) % 2
    s = rng.randint(1, 4, size=n).astype(float) if weighted else np.ones(n)
    z = 0.7 * (2 * y - 1) + rng.normal(size=n)
    b = brentq(lambda b: s @ (expit(z + b) - y), -20, 20, xtol=1e-15) if fit_intercept else 0.0
    r = s * (expit(z + b) - y)
    c = -r @ z / (v @ w)
    assert c > 0.0
    X = np.outer(z, w) / (w @ w) + np.outer(r, -c * v - w * (r @ z) / (w @ w)) / (r @ r)
    noise = rng.normal(size=(n, p))
    noise -= np.outer(r, r @ noise) / (r @ r)
    X += noise - np.outer(noise @ w, w) / (w @ w)
    return X, y, s if weighted else None, 1.0 / c, w, b


@pytest.mark.parametrize(
    "solver, shape",
    [("gd", (200, 6)), ("nesterov", (200, 6)), ("preconditioned", (200, 6)), ("preconditioned", (25, 60))],
    ids=["gd", "nesterov", "long", "wide"],
)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_constructed_optimum(solver, shape, l1_ratio, weighted, fit_intercept):
    X, y, s, C, w, b = constructed(*shape, l1_ratio, weighted, fit_intercept, seed=sum(shape))
    model = LogisticRegression(
        C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, solver=solver, tol=1e-9, max_iter=50_000
    ).fit(X, y, s)
    assert_allclose(model.coef_[0], w, rtol=1e-6, atol=1e-6)
    assert_allclose(model.intercept_, b, rtol=1e-6, atol=1e-6)
    if l1_ratio:
        assert_array_equal(model.coef_[0] == 0.0, w == 0.0, "exact zeros where the truth has them")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_constructed_optimum_without_penalty(solver, n_classes, make):
    # Every row in every class, weighted by the probability the truth gives: then each row's residuals sum to zero.
    rng = np.random.RandomState(n_classes)
    n, p = 60, 4
    X = np.where(rng.rand(n, p) < 0.3, 0.0, rng.normal(size=(n, p)))
    W, b = rng.normal(size=(n_classes, p)), rng.normal(size=n_classes)
    P = softmax(X @ W.T + b, axis=1)
    weight = rng.uniform(0.5, 2.0, size=n)[:, None] * P
    rows, y = np.repeat(np.arange(n), n_classes), np.tile(np.arange(n_classes), n)
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-9, max_iter=50_000)
    model.fit(make(X[rows]), y, weight.ravel())
    assert_allclose(model.predict_proba(X), P, rtol=1e-6)
    if n_classes == 2:
        assert_allclose(model.coef_[0], W[1] - W[0], rtol=1e-6)
    else:
        assert_allclose(model.coef_ - model.coef_.mean(axis=0), W - W.mean(axis=0), rtol=1e-5, atol=1e-6)


# --- Every combination of options ---


def combination_data(n_classes, storage, weighted):
    X, y = make_classes(150, 5, n_classes, seed=20 + n_classes)
    X = X * [1.0, 0.5, 2.0, 1.0, 1.0] + [0.0, 0.3, 0.0, -0.5, 0.0]
    if storage == "csr":
        X = sparse.csr_matrix(np.where(np.random.RandomState(0).rand(*X.shape) < 0.5, 0.0, X))
    s = np.random.RandomState(1).randint(0, 4, size=len(y)).astype(float) if weighted else None
    return X, y, s


@functools.cache
def scikit_learn(n_classes, storage, weighted, fit_intercept, C, l1_ratio):
    """Coefficients by scikit-learn's most precise solver for the penalty."""
    X, y, s = combination_data(n_classes, storage, weighted)
    if l1_ratio == 0.0:
        options = {"solver": "newton-cholesky", "tol": 1e-12}
    else:
        options = {"solver": "saga", "tol": 1e-11, "max_iter": 100_000, "l1_ratio": l1_ratio, "random_state": 0}
        if parse_version(sklearn.__version__) < parse_version("1.8"):
            options["penalty"] = "elasticnet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its tolerance is beyond what its line search can see
        return Peer(C=C, fit_intercept=fit_intercept, **options).fit(X, y, s)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", ["dense", "csr"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C, l1_ratio", [(np.inf, 0.0), (0.3, 0.0), (0.3, 0.5), (0.3, 1.0)])
def test_every_combination(C, l1_ratio, n_classes, storage, weighted, fit_intercept, solver):
    X, y, s = combination_data(n_classes, storage, weighted)
    model = LogisticRegression(
        C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, solver=solver, tol=1e-9, max_iter=20_000
    ).fit(X, y, s)
    assert model.converged_
    assert_optimal(model, X, y, s)
    peer = scikit_learn(n_classes, storage, weighted, fit_intercept, C, l1_ratio)
    # The best point known is the reference, so its cost must not be below ours.
    ours, theirs = (
        cost(X, y, s, C, l1_ratio, m.coef_, m.intercept_ * np.ones(len(m.coef_)), m.classes_) for m in (model, peer)
    )
    assert ours <= theirs * (1.0 + 1e-13)
    # Without a penalty softmax does not decide where its coefficients lie together, and never where its intercepts do.
    coef, expected = model.coef_, peer.coef_
    if n_classes > 2 and C == np.inf:
        coef, expected = coef - coef.mean(axis=0), expected - expected.mean(axis=0)
    rtol = 1e-6 if l1_ratio == 0.0 else 1e-4  # saga stops when its steps are short
    assert_allclose(coef, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    if fit_intercept:
        b, expected = model.intercept_, peer.intercept_
        if n_classes > 2:
            b, expected = b - b.mean(), expected - expected.mean()
        assert_allclose(b, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("solver", SOLVERS)
def test_l1_agrees_with_liblinear(solver):
    X, y = load("enet_binomial")
    options = {"penalty": "l1"} if parse_version(sklearn.__version__) < parse_version("1.8") else {"l1_ratio": 1.0}
    peer = Peer(C=0.1, solver="liblinear", tol=1e-10, max_iter=10_000, fit_intercept=False, **options).fit(X, y)
    model = LogisticRegression(C=0.1, l1_ratio=1.0, solver=solver, tol=1e-9, max_iter=5000, fit_intercept=False)
    assert_allclose(model.fit(X, y).coef_, peer.coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1, l2", [(0.0, 0.01), (0.01, 0.01), (0.02, 0.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_written_as_softmax_give_the_binary_probabilities(solver, l1, l2, weighted):
    # Softmax shares w = w_1 - w_0 out as w_1 = -w_0 = w/2, so that |w|^2 counts half of what it does in the binary
    # fit, and |w| the same.
    X, y = make_classes(200, 4, seed=15)
    s = np.random.RandomState(0).randint(0, 4, size=200).astype(float) if weighted else None

    def probabilities(loss, codes, penalty):
        objective = Objective(make_source(X, n_outputs=loss.n_outputs), codes, s, loss, penalty, True)
        coef, trace = np.zeros(objective.shape), Trace(1e-9, 20_000)
        if solver == "preconditioned":
            result = descend(objective, coef, trace, np.random.RandomState(0))
        else:
            solve = gradient_descent if solver == "gd" else nesterov
            result = solve(objective, coef, 1.0 / objective.lipschitz(), trace)
        assert result.status is Status.CONVERGED
        raw = np.hstack([X, np.ones((200, 1))]) @ result.evaluation.coef.T
        return softmax(raw if raw.shape[1] == 2 else np.hstack([np.zeros_like(raw), raw]), axis=1)

    binary, two = LogLoss(), SoftmaxLoss(2)
    expected = probabilities(binary, binary.encode(y == 1), ElasticNet(l1, l2))
    assert_allclose(probabilities(two, two.encode(y), ElasticNet(l1, 2.0 * l2)), expected, rtol=1e-6)


# --- Invariances ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_weights_equal_repetition(solver, l1_ratio, n_classes, make):
    # Weight 2 is the row twice, weight 0 the row removed: in passes and digits, not only in the limit.
    X, y = make_classes(120, 4, n_classes, seed=16)
    X = X + 1.0
    times = np.random.RandomState(0).randint(0, 4, size=120)
    times[:n_classes] = 2
    model = LogisticRegression(C=0.5, l1_ratio=l1_ratio, solver=solver, max_iter=5000)
    weighted = model.fit(make(X), y, times)
    expected, passes = weighted.coef_.copy(), weighted.n_iter_[0]
    repeated = model.fit(make(np.repeat(X, times, axis=0)), np.repeat(y, times))
    assert_allclose(repeated.coef_, expected, rtol=1e-9, atol=1e-12)
    assert repeated.n_iter_[0] == passes


@pytest.mark.parametrize("n_classes, l1_ratio", [(2, 0.0), (3, 0.0), (2, 0.5), (3, 1.0)])
def test_weights_equal_repetition_where_rows_are_sampled(n_classes, l1_ratio):
    X, y = make_classes(8000, 5, n_classes, seed=17)
    times = np.random.RandomState(0).randint(0, 4, size=8000)
    keep = times > 0
    model = LogisticRegression(C=0.5, l1_ratio=l1_ratio, tol=1e-10, random_state=0)
    weighted = model.fit(X, y, times)
    expected = weighted.coef_.copy()
    without = model.fit(X[keep], y[keep], times[keep])
    assert_allclose(without.coef_, expected, rtol=1e-7, atol=1e-10)
    repeated = model.fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert_allclose(repeated.coef_, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_weights_scaled_with_C_give_the_same_fit(solver, l1_ratio):
    # The objective depends on s and C s alone: ten times the weight at a tenth of C changes nothing.
    X, y = make_classes(100, 4, seed=18)
    s = np.random.RandomState(0).rand(100)
    options = {"l1_ratio": l1_ratio, "solver": solver, "max_iter": 5000}
    a = LogisticRegression(C=1.0, **options).fit(X, y, s)
    b = LogisticRegression(C=0.1, **options).fit(X, y, 10.0 * s)
    assert_allclose(b.coef_, a.coef_, rtol=1e-10, atol=1e-13)


def names_of_units():
    return {
        "scaled": lambda X: X * np.array([1e-6, 1.0, 1e5, 1.0]),
        "shifted": lambda X: X + np.array([0.0, 1000.0, 0.0, -30.0]),
        "both": lambda X: X * np.array([1e-3, 1.0, 1e3, 7.0]) + np.array([1.0, 0.0, -1e5, 3.0]),
        "flipped": lambda X: -X,
    }


@pytest.mark.parametrize("change", names_of_units())
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n", [200, 20_000])
def test_units_and_origin_of_a_feature_do_not_matter(change, n_classes, n):
    # Without a penalty nothing in the problem has units.
    X, y = make_classes(n, 4, n_classes, seed=19)
    a = LogisticRegression(C=np.inf, random_state=0).fit(X, y)
    X_changed = names_of_units()[change](X)
    b = LogisticRegression(C=np.inf, random_state=0).fit(X_changed, y)
    assert_optimal(b, X_changed, y)
    assert abs(int(a.n_iter_[0]) - int(b.n_iter_[0])) <= 2
    assert_array_equal(b.predict(X_changed), a.predict(X))
    assert_allclose(b.predict_proba(X_changed), a.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("change", ["scaled", "both"])
def test_units_of_real_features_do_not_matter(change):
    X, y = load("lowbwt_stata")
    X_changed = X.copy()
    X_changed[:, :4] = names_of_units()[change](X[:, :4])
    a, b = (LogisticRegression(C=np.inf, tol=1e-8).fit(features, y) for features in (X, X_changed))
    assert abs(int(a.n_iter_[0]) - int(b.n_iter_[0])) <= 2
    assert_array_equal(b.predict(X_changed), a.predict(X))
    assert_allclose(b.predict_proba(X_changed), a.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_order_of_rows_columns_and_labels_does_not_matter(solver, l1_ratio, n_classes):
    X, y = make_classes(150, 4, n_classes, seed=21)
    rows, columns = np.random.RandomState(0).permutation(150), [2, 0, 3, 1]
    options = {"C": 0.5, "l1_ratio": l1_ratio, "solver": solver, "tol": 1e-9, "max_iter": 5000}
    a = LogisticRegression(**options).fit(X, y)
    b = LogisticRegression(**options).fit(X[rows][:, columns], (n_classes - 1 - y)[rows])
    expected = -a.coef_ if n_classes == 2 else a.coef_[::-1]
    assert_allclose(b.coef_, expected[:, columns], rtol=1e-6, atol=1e-8)


STORAGES = {
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "int8": lambda X: X.astype(np.int8),
    "int64": lambda X: X.astype(np.int64),
    "uint8": lambda X: X.astype(np.uint8),
    "bool": lambda X: X.astype(bool),
    "list": lambda X: X.tolist(),
    **{
        name: getattr(sparse, name)
        for kind in ("matrix", "array")
        for name in (f"{form}_{kind}" for form in ("csr", "csc", "coo", "lil", "dok", "bsr"))
    },
    "csr int8": lambda X: sparse.csr_matrix(X.astype(np.int8)),
    "csr bool": lambda X: sparse.csr_matrix(X.astype(bool)),
    "csr float32": lambda X: sparse.csr_matrix(X.astype(np.float32)),
}


@pytest.mark.parametrize(
    "storage", [*STORAGES, "csr 64-bit", "unsorted indices", "duplicate entries", "explicit zeros"]
)
@pytest.mark.parametrize("n_classes, l1_ratio", [(2, 0.0), (3, 0.5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_storages_agree_with_dense(storage, n_classes, l1_ratio, weighted):
    X, y = make_sparse(120, 6, 0.5, n_classes, seed=22)
    X = (X.toarray() > 0.3).astype(float)  # zeros and ones: exact in every type
    s = np.random.RandomState(0).randint(0, 4, size=120).astype(float) if weighted else None
    if storage in STORAGES:
        stored = STORAGES[storage](X)
    else:
        stored = sparse.csr_matrix(X)
        if storage == "csr 64-bit":
            stored.indices, stored.indptr = stored.indices.astype(np.int64), stored.indptr.astype(np.int64)
        elif storage == "unsorted indices":
            for start, stop in zip(stored.indptr[:-1], stored.indptr[1:], strict=True):
                stored.indices[start:stop] = stored.indices[start:stop][::-1]
            stored.has_sorted_indices = False
        elif storage == "duplicate entries":
            stored = sparse.csr_matrix(
                (np.repeat(stored.data, 2) / 2, np.repeat(stored.indices, 2), 2 * stored.indptr), shape=X.shape
            )
        else:
            row = np.flatnonzero(np.diff(stored.indptr) < 6)[-1]  # gains an entry that is zero
            at, column = stored.indptr[row + 1], np.flatnonzero(X[row] == 0.0)[-1]
            indptr = stored.indptr + (np.arange(121) > row)
            data, indices = np.insert(stored.data, at, 0.0), np.insert(stored.indices, at, column)
            stored = sparse.csr_matrix((data, indices, indptr), shape=X.shape)
            assert stored.nnz == np.count_nonzero(X) + 1
    assert_array_equal(dense(np.asarray(stored) if isinstance(stored, list) else stored), X)
    options = {"C": 0.5, "l1_ratio": l1_ratio, "tol": 1e-5 if "float32" in storage else 1e-9}
    expected = LogisticRegression(**options).fit(X, y, s)
    model = LogisticRegression(**options).fit(stored, y, s)
    rtol = 1e-3 if "float32" in storage else 1e-7
    assert_allclose(model.coef_, expected.coef_, rtol=rtol, atol=rtol)
    assert_allclose(model.decision_function(stored), expected.decision_function(X), rtol=rtol, atol=rtol)
    assert model.coef_.dtype == (np.float32 if "float32" in storage else np.float64)


@pytest.mark.parametrize("kind", ["C", "F", "int8", "float16", "csr", "csc"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes, l1_ratio", [(2, 0.0), (3, 1.0)])
def test_the_data_are_never_written_to(kind, solver, n_classes, l1_ratio, tmp_path):
    X, y = make_sparse(100, 6, 0.5, n_classes, seed=23)
    s = np.ones(100)
    if kind.startswith("cs"):
        X = X.asformat(kind)
        before = X.copy()
        for part in (X.data, X.indices, X.indptr):
            part.flags.writeable = False
    else:
        before = np.round(4 * X.toarray())
        dtype = {"int8": np.int8, "float16": np.float16}.get(kind, np.float64)
        np.save(tmp_path / "X.npy", np.asarray(before, dtype=dtype, order="F" if kind == "F" else "C"))
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    y_before = y.copy()
    y.flags.writeable = s.flags.writeable = False
    model = fit_quietly(LogisticRegression(solver=solver, l1_ratio=l1_ratio, max_iter=20, warm_start=True), X, y, s)
    fit_quietly(model, X, y, s)
    model.predict(X)
    assert_array_equal(dense(X), dense(before))
    assert_array_equal(y, y_before)


# --- Collinear and separable data without a penalty ---


def one_hot_data(n_classes=2, seed=24):
    """Two factors, all levels as columns: with an intercept they are collinear twice over."""
    rng = np.random.RandomState(seed)
    a, b = rng.randint(3, size=300), rng.randint(4, size=300)
    X = np.hstack([np.eye(3)[a], np.eye(4)[b], rng.normal(size=(300, 1))])
    raw = 0.5 * X @ rng.normal(size=(8, n_classes)) + rng.gumbel(size=(300, n_classes))
    return X, raw.argmax(axis=1)


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_collinear_one_hot_without_penalty(make, n_classes, fit_intercept):
    # Many optima, one set of probabilities: that of the model without the redundant columns.  A warning is an error.
    X, y = one_hot_data(n_classes)
    model = LogisticRegression(C=np.inf, fit_intercept=fit_intercept, tol=1e-8).fit(make(X), y)
    assert model.converged_
    assert_optimal(model, X, y)
    assert np.abs(model.coef_).max() < 100.0, "an optimum far away is of no use"
    reduced = np.delete(X, [0, 3], axis=1)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(reduced, y)
    assert_allclose(model.predict_proba(X), reference.predict_proba(reduced), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_column_twice_without_penalty(n_classes):
    X, y = make_classes(200, 4, n_classes, seed=25)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(np.hstack([X, X[:, :2], -3.0 * X[:, :1]]), y)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(X, y)
    assert_allclose(
        model.predict_proba(np.hstack([X, X[:, :2], -3.0 * X[:, :1]])), reference.predict_proba(X), atol=1e-6
    )


def separable_data(name):
    rng = np.random.RandomState(26)
    if name == "one feature":
        return np.arange(20.0)[:, None], (np.arange(20) >= 10).astype(int)
    if name == "wide":
        return rng.normal(size=(30, 80)), rng.randint(2, size=30)
    if name == "three classes":
        X = rng.normal(size=(90, 2))
        y = np.arange(90) % 3
        return X + 20.0 * np.array([[0, 1], [1, -1], [-1, -1]])[y], y
    if name == "raw units":
        X, y = separable_data("gap")
        return X * [1e-4, 1e4, 1.0] + [1.0, 0.0, 50.0], y
    if name == "sparse":
        X = sparse.random(60, 200, 0.1, format="csr", random_state=rng)
        return X, rng.randint(2, size=60)
    X = rng.normal(size=(100, 3))
    y = (X[:, 0] + X[:, 1] > 0.3).astype(int)
    return X + 0.3 * (2 * y[:, None] - 1) * [1, 1, 0], y


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["gap", "one feature", "wide", "three classes", "raw units", "sparse"])
def test_separable_classes_without_penalty(name, solver):
    X, y = separable_data(name)
    # "likely" or, if it was proven, without it
    with pytest.warns(ConvergenceWarning, match="separable") as caught:
        model = LogisticRegression(C=np.inf, solver=solver).fit(X, y)
    assert len(caught) == 1
    assert not model.converged_
    assert np.isfinite(model.coef_).all()
    if solver == "preconditioned":
        assert model.score(X, y) == 1.0
        assert model.n_iter_[0] <= 100, "recognised, not given up"
    # A penalty is the remedy that the warning names.
    if solver == "preconditioned":
        assert LogisticRegression(C=1.0).fit(X, y).converged_


@pytest.mark.parametrize("name", ["endometrial", "breast cancer"])
def test_separable_real_data_without_penalty(name, breast_cancer):
    # Endometrial cancer is quasi-separable: NV > 0 occurs with one class alone, all else overlaps.
    X, y = breast_cancer if name == "breast cancer" else load(name)
    with pytest.warns(ConvergenceWarning, match="separable"):
        model = LogisticRegression(C=np.inf).fit(X, y)
    assert not model.converged_
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("name", ["spector", "vaso", "lowbwt_stata", "enet_binomial"])
def test_overlapping_real_data_without_penalty(name):
    # No false alarm: a finite optimum exists.
    X, y = load(name)
    model = LogisticRegression(C=np.inf).fit(X, y)
    assert model.converged_
    assert_optimal(model, X, y)


def test_nearly_separable_classes_without_penalty():
    # One row on the wrong side by a little: a finite optimum, far out.
    X, y = separable_data("one feature")
    y[9] = 1
    y[10] = 0
    model = LogisticRegression(C=np.inf).fit(X, y)
    assert model.converged_
    assert_optimal(model, X, y)


# --- Hard data ---


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_more_features_than_rows(make, l1_ratio, n_classes, fit_intercept):
    X, y = make_classes(40, 300, n_classes, seed=27)
    X = X * np.logspace(-1, 2, 300)
    X[np.random.RandomState(0).rand(*X.shape) < 0.5] = 0.0
    model = LogisticRegression(l1_ratio=l1_ratio, fit_intercept=fit_intercept).fit(make(X), y)
    assert_optimal(model, X, y)
    assert model.n_iter_[0] <= 40


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_gene_expression(make, l1_ratio):
    # The shape of Golub's leukemia data: 72 patients, 7129 genes with log-normal levels.
    rng = np.random.RandomState(28)
    X = np.exp(rng.normal(size=(72, 7129)) + rng.normal(size=7129) * 2.0)
    y = (np.arange(72) < 25).astype(int)
    X[:25, :50] *= 3.0
    X[rng.rand(*X.shape) < 0.7] = 0.0
    model = LogisticRegression(l1_ratio=l1_ratio).fit(make(X), y)
    assert_optimal(model, X, y)
    assert model.n_iter_[0] <= 30


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_one_feature(solver, l1_ratio, n_classes, make):
    X, y = make_classes(60, 1, n_classes, seed=29)
    model = LogisticRegression(l1_ratio=l1_ratio, solver=solver, max_iter=20_000).fit(make(X), y)
    assert_optimal(model, X, y)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3, 15])  # scikit-learn warns of regression from 20 rows on
@pytest.mark.parametrize("n_features", [1, 5, 50])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_one_row_a_class(l1_ratio, n_classes, n_features, make):
    X = np.random.RandomState(30).normal(size=(n_classes, n_features))
    model = LogisticRegression(C=10.0, l1_ratio=l1_ratio).fit(make(X), np.arange(n_classes))
    assert_optimal(model, X, np.arange(n_classes))


@pytest.mark.parametrize("constants", [[0.0], [1.0, 1.0], [0.1], [1e6, -1e-8, 0.0]])
@pytest.mark.parametrize("C, l1_ratio", [(np.inf, 0.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_constant_columns_get_no_weight(constants, C, l1_ratio, make):
    # With an intercept the optimum does not need them, and the penalty wants them at zero.
    X, y = make_classes(100, 3, seed=31)
    wide = np.hstack([X, np.tile(constants, (100, 1))])
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-8).fit(make(wide), y)
    assert_optimal(model, wide, y)
    reference = LogisticRegression(C=C, l1_ratio=l1_ratio, tol=1e-8).fit(make(X), y)
    assert_allclose(model.coef_[:, :3], reference.coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(model.predict_proba(wide), reference.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("C, l1_ratio", [(1.0, 0.0), (1.0, 0.5), (0.1, 1.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_constant_columns_alone(C, l1_ratio, n_classes):
    X, y = np.full((50, 2), 3.0), np.arange(50) % n_classes
    y[:5] = 0
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(X, y)
    assert_optimal(model, X, y)
    assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / 50, atol=1e-5)


@pytest.mark.parametrize("C, l1_ratio", [(np.inf, 0.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("n", [200, 10_000])
def test_features_of_1e_minus_8_and_1e8_side_by_side(C, l1_ratio, n_classes, make, n):
    X, y = make_classes(n, 4, n_classes, seed=32)
    X = X * [1e-8, 1e8, 1.0, 1e3]
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(make(X), y)
    assert_optimal(model, X, y)
    assert model.n_iter_[0] <= 40
    if C == np.inf:
        reference = LogisticRegression(C=np.inf, random_state=0).fit(X / [1e-8, 1e8, 1.0, 1e3], y)
        assert_allclose(model.predict_proba(X), reference.predict_proba(X / [1e-8, 1e8, 1.0, 1e3]), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("little", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("seed", [0, 4])
def test_features_that_are_nearly_collinear_without_penalty(n_classes, little, seed):
    # Prices in two currencies: what the rounding of one says may matter.  Held down by a ridge they took 992 passes, or
    # were called converged where J was half a percent too high.
    rng = np.random.RandomState(seed)
    X, other = rng.normal(size=(300, 2)), rng.normal(size=300)
    y = (X[:, :1] * np.arange(n_classes) + rng.gumbel(size=(300, n_classes))).argmax(axis=1)
    apart = LogisticRegression(C=np.inf).fit(np.column_stack([X, other]), y)
    model = LogisticRegression(C=np.inf).fit(np.column_stack([X, X @ [1.0, -2.0] + little * other]), y)
    assert_allclose(model.loss_, apart.loss_, rtol=1e-8)
    assert model.n_iter_[0] <= 15


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3, 8])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("largest", [1e6, 1e12, 1e18])
def test_large_features_in_single_precision(largest, l1_ratio, n_classes, make):
    # Next to nothing is penalised then; where all classes of softmax move together nothing else curves J, and the
    # rounding of a gradient that is zero there led to a violation of 1e-2.
    X, y = make_classes(200, 3, n_classes, seed=45)
    X = (X * [largest, 1.0, 1e-8]).astype(np.float32)
    model = LogisticRegression(l1_ratio=l1_ratio).fit(make(X), y)
    assert model.violation_ <= 1e-5
    assert violation_of(model, X.astype(float), y) <= 1e-5
    assert model.n_iter_[0] <= 20


@pytest.mark.parametrize("C, l1_ratio", [(np.inf, 0.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("n", [300, 10_000])
def test_weights_over_twelve_orders_of_magnitude(C, l1_ratio, n_classes, make, n):
    X, y = make_classes(n, 4, n_classes, seed=33, noise=3.0)
    s = 10.0 ** np.random.RandomState(0).uniform(-6, 6, size=n)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(make(X), y, s)
    assert_optimal(model, X, y, s)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_duplicate_rows(l1_ratio, make):
    # Four distinct rows, hundreds of times each, in both classes.
    X = np.tile([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [0.0, 0.0]], (300, 1))
    y = (np.random.RandomState(34).rand(1200) < expit(X @ [1.0, -0.7])).astype(int)
    model = LogisticRegression(l1_ratio=l1_ratio).fit(make(X), y)
    assert_optimal(model, X, y)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_thousand_classes(l1_ratio):
    rng = np.random.RandomState(35)
    y = np.concatenate([np.arange(1000), rng.randint(1000, size=1000)])
    X = rng.normal(size=(1000, 8))[y] + rng.normal(size=(2000, 8))
    model = LogisticRegression(C=0.1, l1_ratio=l1_ratio).fit(X, y)
    assert model.coef_.shape == (1000, 8) and model.predict_proba(X[:5]).shape == (5, 1000)
    assert_optimal(model, X, y)


def test_many_labels_are_encoded_right():
    # 60 classes on a circle, far apart, as strings in a random order: each row is recognised.
    angle = np.repeat(np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False), 2)
    X = 10.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    y = np.repeat([f"class {k:03d}" for k in np.random.RandomState(1).permutation(60)], 2)
    order = np.random.RandomState(0).permutation(120)
    model = LogisticRegression(C=1e4).fit(X[order], y[order])
    assert_array_equal(model.predict(X), y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_margins_of_800_after_a_fit(solver):
    X, y = make_classes(100, 3, seed=36)
    model = LogisticRegression(solver=solver, max_iter=5000).fit(X, y)
    far = 800.0 * np.array([[1.0, 0, 0], [-1.0, 0, 0]]) / model.coef_[0, 0]
    assert_allclose(model.decision_function(far), [800.0, -800.0], rtol=1e-2)
    log_p = model.predict_log_proba(far)
    assert np.isfinite(log_p).all()
    assert_allclose(log_p, [[-800.0, 0.0], [0.0, -800.0]], rtol=1e-2)
    assert_allclose(model.predict_proba(far), [[0.0, 1.0], [1.0, 0.0]], atol=1e-300)


@pytest.mark.parametrize("solver", ["gd", "nesterov"])
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_units_do_not_overflow(solver, scale):
    X, y = make_classes(50, 2, seed=37)
    model = fit_quietly(LogisticRegression(C=np.inf, solver=solver, max_iter=5), X * scale, y)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.loss_curve_).all()
    assert violation_of(model, X * scale, y) >= 0.0


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype, size", [(np.float64, 1e200), (np.float32, 1e30)])
def test_features_whose_squares_overflow_are_refused(storage, dtype, size):
    # By the error alone: a warning that comes before it says less.
    X, y = make_classes(50, 2, seed=37)
    X = (X * [1.0, size]).astype(dtype)
    with pytest.raises(ValueError, match="The values of feature 1 are so large that sums of their squares overflow in"):
        LogisticRegression().fit(storage(X), y)


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-170, 1e-155, 1e-140, 1e-135])
@pytest.mark.parametrize("n_features", [2, 100])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("C", [1e-8, 1.0])
def test_features_that_are_next_to_nothing(C, fit_intercept, storage, size, n_features, l1_ratio, n_classes):
    # Whatever a penalty allows of their weights, no row is moved by them; and nothing overflows on the way.
    X, y = make_classes(20, n_features, n_classes, seed=37)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept).fit(storage(X * size), y)
    assert model.converged_
    shares = np.bincount(y) / 20 if fit_intercept else 1.0 / n_classes
    assert_allclose(model.predict_proba(X[:1] * size)[0], shares, atol=1e-6)
