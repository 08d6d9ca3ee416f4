"""The estimator at its surface: what goes in, what is refused, what comes out, and scikit-learn's tools around it."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from conftest import (
    SOLVERS,
    assert_optimal,
    fit_quietly,
    load,
    make_classes,
    make_sparse,
    one_hot,
    violation,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_logreg import LogisticRegression
from sklearn_logreg._objective import Objective


@pytest.fixture(scope="module")
def binary():
    return make_classes(120, 4, seed=40)


@pytest.fixture(scope="module")
def three():
    return make_classes(150, 4, 3, seed=41)


# --- Parameters ---


def test_defaults():
    assert LogisticRegression().get_params() == {
        "C": 1.0,
        "l1_ratio": 0.0,
        "fit_intercept": True,
        "class_weight": None,
        "solver": "preconditioned",
        "learning_rate": "auto",
        "tol": 1e-6,
        "max_iter": 1000,
        "warm_start": False,
        "random_state": None,
        "n_jobs": None,
        "verbose": 0,
    }


def test_parameters_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        LogisticRegression(1.0)


@pytest.mark.parametrize(
    "parameter, value, message",
    [
        ("C", 0, "'C' parameter"),
        ("C", -1.0, "'C' parameter"),
        ("C", np.nan, "'C' parameter"),
        ("C", "1", "'C' parameter"),
        ("l1_ratio", -0.1, "'l1_ratio' parameter"),
        ("l1_ratio", 1.1, "'l1_ratio' parameter"),
        ("l1_ratio", None, "'l1_ratio' parameter"),
        ("solver", "lbfgs", r"'solver' parameter.*(?=.*'gd')(?=.*'nesterov')(?=.*'preconditioned').*'lbfgs'"),
        ("solver", None, "'solver' parameter"),
        ("learning_rate", 0.0, "'learning_rate' parameter"),
        ("learning_rate", -0.1, "'learning_rate' parameter"),
        ("learning_rate", np.nan, "'learning_rate' parameter"),
        ("learning_rate", "adaptive", "'learning_rate' parameter"),
        ("tol", -1e-3, "'tol' parameter"),
        ("tol", np.nan, "'tol' parameter"),
        ("max_iter", -1, "'max_iter' parameter"),
        ("max_iter", 10.5, "'max_iter' parameter"),
        ("class_weight", "even", "'class_weight' parameter"),
        ("fit_intercept", "yes", "'fit_intercept' parameter"),
        ("warm_start", "no", "'warm_start' parameter"),
        ("n_jobs", 1.5, "'n_jobs' parameter"),
        ("verbose", -1, "'verbose' parameter"),
        ("random_state", "seed", "'random_state' parameter"),
    ],
)
def test_parameters_out_of_range(parameter, value, message, binary, monkeypatch):
    refuse_work(monkeypatch)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        LogisticRegression(**{parameter: value}).fit(*binary)


@pytest.mark.parametrize("parameter", ["C", "l1_ratio", "learning_rate", "tol", "max_iter"])
def test_numpy_numbers_are_numbers(parameter, binary):
    value = {"C": np.float32(0.5), "l1_ratio": np.int64(1), "learning_rate": np.float32(0.25), "tol": np.float32(1e-3)}
    value = value.get(parameter, np.int32(500))
    fit_quietly(LogisticRegression(solver="gd", **{parameter: value}), *binary)


def refuse_work(monkeypatch):
    """Errors are to come before the first pass, and before anything is stored."""

    def evaluate(self, coef):
        raise AssertionError("work began before the input was refused")

    monkeypatch.setattr(Objective, "evaluate", evaluate)


def test_learning_rate_for_the_preconditioned_solver_is_refused(binary, monkeypatch):
    refuse_work(monkeypatch)
    with pytest.raises(ValueError) as caught:
        LogisticRegression(learning_rate=0.1).fit(*binary)
    message = str(caught.value)
    assert "learning_rate=0.1" in message and "solver='preconditioned'" in message, "the user's own input"
    assert "itself" in message, "why"
    assert "solver='gd'" in message and "solver='nesterov'" in message and "learning_rate='auto'" in message, (
        "what instead"
    )


X_OK, Y_OK = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])


def with_entry(value, make=np.array):
    X = X_OK.copy()
    X[2, 1] = value
    return make(X)


@pytest.mark.parametrize(
    "X, y, sample_weight, message",
    [
        (with_entry(np.nan), Y_OK, None, "NaN"),
        (with_entry(np.inf), Y_OK, None, "infinity"),
        (with_entry(-np.inf), Y_OK, None, "infinity"),
        (with_entry(np.nan, sparse.csr_matrix), Y_OK, None, "NaN"),
        (with_entry(np.inf, sparse.csc_matrix), Y_OK, None, "infinity"),
        (with_entry(np.nan, lambda X: X.astype(np.float32)), Y_OK, None, "NaN"),
        (with_entry(np.inf, lambda X: X.astype(np.float16)), Y_OK, None, "infinity"),
        (with_entry(np.nan, lambda X: X.astype(np.float16)), Y_OK, None, "Input X contains NaN.*LogisticRegression"),
        (X_OK + 1j, Y_OK, None, "Complex data not supported"),
        (np.full((6, 2), "a", dtype=object), Y_OK, None, "could not convert string"),
        (X_OK[:, 0], Y_OK, None, "Expected 2D array, got 1D array"),
        (X_OK[None], Y_OK, None, "dim 3"),
        (X_OK[:0], Y_OK[:0], None, "0 sample"),
        (X_OK[:, :0], Y_OK, None, r"0 feature\(s\)"),
        (X_OK, Y_OK[:5], None, "inconsistent numbers of samples"),
        (X_OK, np.column_stack([Y_OK, Y_OK]), None, "1d array"),
        (X_OK, None, None, "requires y to be passed"),
        (X_OK, np.zeros(6), None, r"one class.*0\.0"),
        (X_OK, np.full(6, "same"), None, "one class.*same"),
        (X_OK, Y_OK + 0.5 * np.arange(6), None, "Unknown label type.*continuous"),
        (X_OK, [0, 1, np.nan, 1, 0, 1], None, "NaN"),
        (X_OK, [0, 1, np.inf, 1, 0, 1], None, "infinity"),
        (X_OK, Y_OK, np.ones(5), "sample_weight.shape"),
        (X_OK, Y_OK, np.ones((6, 2)), "1D|shape"),
        (X_OK, Y_OK, [1, 1, -1, 1, 1, 1], "[Nn]egative"),
        (X_OK, Y_OK, [1, 1, np.nan, 1, 1, 1], "NaN"),
        (X_OK, Y_OK, [1, 1, np.inf, 1, 1, 1], "infinity"),
        (X_OK, Y_OK, np.zeros(6), "weights (are|must).*zero"),
        (X_OK, Y_OK, Y_OK, r"positive weight are \[1\]: .*at least 2 of its 2 classes"),
        (X_OK, Y_OK, ["a"] * 6, "could not convert string"),
    ],
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_bad_data_are_refused_before_any_work(X, y, sample_weight, message, solver, monkeypatch):
    refuse_work(monkeypatch)
    model = LogisticRegression(solver=solver)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.fit(X, y, sample_weight)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("absent", [0, 2, 3])
@pytest.mark.parametrize("how", ["sample_weight", "class_weight", "balanced"])
def test_a_class_without_weight_is_as_if_it_were_not_there(absent, how, l1_ratio):
    X, y = make_classes(300, 5, 4, seed=8)
    weight = np.random.RandomState(0).randint(1, 4, size=300) * (y != absent) * 1.0
    options = dict(C=10.0, l1_ratio=l1_ratio, tol=1e-9)
    if how == "class_weight":
        weight, options["class_weight"] = None, {absent: 0.0}
    elif how == "balanced":
        options["class_weight"] = how
    model = LogisticRegression(**options).fit(X, y, weight)
    is_left = y != absent
    if how == "class_weight":
        del options["class_weight"]
    others = LogisticRegression(**options).fit(X[is_left], y[is_left], None if weight is None else weight[is_left])
    assert model.converged_
    assert_array_equal(model.classes_, np.arange(4))
    P = model.predict_proba(X)
    assert P[:, absent].max() <= 1e-9
    assert_allclose(np.delete(P, absent, axis=1), others.predict_proba(X), rtol=1e-6)
    assert_allclose(model.loss_, others.loss_, rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_first_order_solvers_take_the_path_of_the_other_classes(solver, l1_ratio):
    # From zero, no number of passes would take the intercept of a class without weight to where it belongs.
    X, y = make_classes(300, 5, 4, seed=8)
    is_left = y != 2
    model = fit_quietly(LogisticRegression(solver=solver, l1_ratio=l1_ratio, max_iter=30), X, y, is_left * 1.0)
    others = LogisticRegression(solver=solver, l1_ratio=l1_ratio, max_iter=30)
    fit_quietly(others, X[is_left], y[is_left])
    assert_allclose(model.loss_curve_, others.loss_curve_, rtol=1e-10)
    P = model.predict_proba(X)
    assert P[:, 2].max() <= 1e-12
    assert_allclose(np.delete(P, 2, axis=1), others.predict_proba(X), rtol=1e-9)


def test_bagging_may_leave_out_a_rare_class():
    # Its base estimators are fitted to all rows, with the counts of a bootstrap sample for weights.
    X, y = make_classes(60, 3, 3, seed=8)
    y[:2] = 3
    bagging = BaggingClassifier(LogisticRegression(), n_estimators=10, random_state=0).fit(X, y)
    assert min(model.predict_proba(X)[:, 3].max() for model in bagging.estimators_) <= 1e-9, "one has not seen it"


@pytest.mark.parametrize(
    "class_weight, message",
    [
        ({0: 1.0, 1: 0.0}, r"positive weight are \[0\]: .*at least 2 of its 2 classes"),
        ({0: 0.0, 1: 0.0}, r"positive weight are \[\]: "),
        ({0: -1.0, 1: 1.0}, "class_weight gives class 0 the weight -1.0: it must be a finite number"),
        ({0: np.nan, 1: 1.0}, "class_weight gives class 0 the weight nan"),
        ({0: 1.0, 1: "x"}, "class_weight gives class 1 the weight 'x'"),
        ({"a": 1.0}, r"The classes, \[.*0.*1.*\], are not in class_weight"),
    ],
)
def test_bad_class_weights_are_refused(class_weight, message, monkeypatch):
    refuse_work(monkeypatch)
    with pytest.raises(ValueError, match=message):
        LogisticRegression(class_weight=class_weight).fit(X_OK, Y_OK)


def test_a_wrong_number_of_features_is_refused_later(binary):
    model = LogisticRegression().fit(*binary)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(ValueError, match="X has 3 features, but LogisticRegression is expecting 4"):
            getattr(model, method)(binary[0][:, :3])
        with pytest.raises(ValueError, match="NaN"):
            getattr(model, method)(np.full((2, 4), np.nan))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function", "sparsify"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError, match=r"not fitted yet|must be fitted before"):
        getattr(LogisticRegression(), method)(*([] if method == "sparsify" else [X_OK]))


def test_an_unfit_dataset_leaves_an_earlier_fit_alone(binary):
    model = LogisticRegression().fit(*binary)
    coef = model.coef_.copy()
    with pytest.raises(ValueError, match="NaN"):
        model.fit(with_entry(np.nan), Y_OK)
    assert_array_equal(model.coef_, coef)
    assert_array_equal(model.predict(binary[0]).shape, (120,))


# --- Labels and frames ---


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "names",
    [
        np.array([7, -3, 100]),
        np.array(["no", "yes", "maybe"]),
        np.array(["no", "yes", "maybe"], dtype=object),
        np.array([2.0, 1.0, 3.0]),
        np.array([2, 1, 3], dtype=np.uint8),
    ],
    ids=["int", "str", "object", "float", "uint8"],
)
def test_labels_of_any_type(names, n_classes, binary, three):
    X, codes = binary if n_classes == 2 else three
    y = names[codes]
    model = LogisticRegression().fit(X, y)
    assert_array_equal(model.classes_, np.unique(names[:n_classes]), "sorted")
    assert model.predict(X).dtype == model.classes_.dtype
    reference = LogisticRegression().fit(X, codes)
    assert_array_equal(model.predict(X), names[reference.predict(X)])
    order = np.argsort(names[:n_classes])
    assert_allclose(model.predict_proba(X), reference.predict_proba(X)[:, order], atol=1e-5)
    assert model.score(X, y) == reference.score(X, codes)


def test_boolean_labels(binary):
    X, y = binary
    model = LogisticRegression().fit(X, y == 1)
    assert_array_equal(model.classes_, [False, True])
    assert model.predict(X).dtype == bool


def test_labels_as_column_list_series_and_categorical(binary):
    X, y = binary
    expected = LogisticRegression().fit(X, y).coef_
    for labels in (y.tolist(), pd.Series(y, index=np.arange(500, 620)), pd.Series(pd.Categorical(y))):
        assert_array_equal(LogisticRegression().fit(X, labels).coef_, expected)
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        LogisticRegression().fit(X, y[:, None])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library, binary):
    frames = pytest.importorskip(library)
    X, y = binary
    frame = frames.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0, "c": (10 * X[:, 2]).astype(np.int64), "d": X[:, 3]})
    array = np.column_stack([X[:, 0], X[:, 1] > 0, (10 * X[:, 2]).astype(np.int64), X[:, 3]])
    model = LogisticRegression().fit(frame, frames.Series(y), sample_weight=frames.Series(np.ones(120)))
    reference = LogisticRegression().fit(array, y, sample_weight=np.ones(120))
    assert_allclose(model.coef_, reference.coef_, rtol=1e-12)  # one may be in F order
    # Where this scikit-learn can read the names: 1.7 cannot read those of the newest polars.
    names = getattr(StandardScaler().fit(frame), "feature_names_in_", None)
    assert_array_equal(getattr(model, "feature_names_in_", None), names)
    assert_array_equal(model.predict(frame), reference.predict(array))
    assert not hasattr(reference, "feature_names_in_")
    if names is None:
        return
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(array)


def test_sparse_frame():
    X, y = make_sparse(100, 6, 0.4, seed=42)
    frame = pd.DataFrame.sparse.from_spmatrix(X, columns=list("abcdef"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas may announce changes of its own
        model = LogisticRegression().fit(frame, y)
    assert_allclose(model.coef_, LogisticRegression().fit(X.toarray(), y).coef_, atol=1e-5)


# --- What comes out ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, bool])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_fitted_attributes(solver, n_classes, dtype, fit_intercept, binary, three):
    X, y = binary if n_classes == 2 else three
    X = (X * 3).astype(dtype)
    model = fit_quietly(LogisticRegression(solver=solver, fit_intercept=fit_intercept, max_iter=30), X, y)
    rows, kept = (1 if n_classes == 2 else n_classes), np.float32 if dtype == np.float32 else np.float64
    assert model.coef_.shape == (rows, 4) and model.coef_.dtype == kept
    assert model.intercept_.shape == (rows,) and model.intercept_.dtype == kept
    assert model.n_iter_.shape == (1,) and model.n_iter_.dtype == np.int32
    assert 1 <= model.n_iter_[0] <= 30
    assert model.loss_curve_.shape == (model.n_iter_[0],), "J at every pass"
    assert type(model.loss_) is type(model.violation_) is float, "no NumPy scalars"
    assert isinstance(model.converged_, bool)
    assert model.converged_ == (model.violation_curve_[-1] <= model.tol)
    assert model.n_features_in_ == 4
    if not fit_intercept:
        assert_array_equal(model.intercept_, 0.0)
    if n_classes > 2 and fit_intercept:
        assert_allclose(model.intercept_.sum(), 0.0, atol=1e-5, err_msg="symmetric")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_follow_from_the_coefficients(n_classes, binary, three):
    X, y = binary if n_classes == 2 else three
    model = LogisticRegression().fit(X, y)
    raw = X @ model.coef_.T + model.intercept_
    if n_classes == 2:
        raw = raw[:, 0]
        proba, log_proba = (
            np.column_stack([expit(-raw), expit(raw)]),
            np.column_stack([log_expit(-raw), log_expit(raw)]),
        )
        labels = (raw > 0).astype(int)
    else:
        proba, log_proba, labels = softmax(raw, axis=1), log_softmax(raw, axis=1), raw.argmax(axis=1)
    assert_allclose(model.decision_function(X), raw, rtol=1e-13, atol=1e-14)
    assert_allclose(model.predict_proba(X), proba, rtol=1e-12)
    assert_allclose(model.predict_log_proba(X), log_proba, rtol=1e-12)
    assert_array_equal(model.predict(X), labels)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0, rtol=1e-14)
    assert model.score(X, y) == np.mean(labels == y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_log_probabilities_do_not_overflow(n_classes):
    X, y = make_classes(60, 2, n_classes, seed=43)
    model = LogisticRegression(C=100.0).fit(X, y)
    far = 1e5 * np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    log_p, p = model.predict_log_proba(far), model.predict_proba(far)
    assert np.isfinite(log_p).all() and np.isfinite(p).all()
    assert log_p.min() < -800.0, "the test reaches where exp underflows"
    assert_allclose(np.exp(log_p), p, atol=1e-300)


def test_the_mean_of_the_probabilities_is_that_of_the_labels(three):
    # What an unpenalised intercept guarantees at the optimum.
    X, y = three
    model = LogisticRegression(C=0.1, tol=1e-10).fit(X, y)
    assert_allclose(model.predict_proba(X).mean(axis=0), one_hot(y, range(3)).mean(axis=0), rtol=1e-8)


def test_float32_predictions_stay_float32(binary):
    X, y = binary
    model = LogisticRegression().fit(X.astype(np.float32), y)
    assert model.decision_function(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_sparsify_and_densify(n_classes, make):
    X, y = make_sparse(150, 20, 0.3, n_classes, seed=44)
    X = make(X.toarray())
    model = LogisticRegression(C=0.5, l1_ratio=1.0).fit(X, y)
    proba, coef = model.predict_proba(X), model.coef_.copy()
    assert 0 < np.count_nonzero(coef) < coef.size
    assert model.sparsify() is model and sparse.issparse(model.coef_)
    assert model.coef_.nnz == np.count_nonzero(coef)
    assert_allclose(model.predict_proba(X), proba, rtol=1e-13)
    assert model.densify() is model
    assert_array_equal(model.coef_, coef)


# --- Weights ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", ["balanced", "dict"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weight_is_a_factor_of_the_sample_weight(solver, n_classes, class_weight, weighted):
    X, y = make_classes(160, 3, n_classes, seed=45)
    s = np.random.RandomState(0).randint(1, 4, size=160).astype(float) if weighted else np.ones(160)
    if class_weight == "balanced":
        # So that every class has the same total weight: S / (K S_k).
        factor = s.sum() / (n_classes * np.bincount(y, s))
    else:
        factor = np.array([0.5, 3.0, 1.0])[:n_classes]
        class_weight = dict(enumerate(factor))
    options = {"solver": solver, "C": 0.3, "tol": 1e-8, "max_iter": 20_000}
    model = LogisticRegression(class_weight=class_weight, **options).fit(X, y, s if weighted else None)
    reference = LogisticRegression(**options).fit(X, y, s * factor[y])
    assert_allclose(model.coef_, reference.coef_, rtol=1e-7, atol=1e-9)
    found = violation(X, y, s * factor[y], 0.3, 0.0, True, model.coef_, model.intercept_, model.classes_)
    assert found <= 1e-8 * (1 + 1e-6)


def test_class_weight_by_the_name_of_the_class(binary):
    X, y = binary
    names = np.array(["good", "bad"])
    model = LogisticRegression(class_weight={"bad": 3.0, "good": 1.0}).fit(X, names[y])
    reference = LogisticRegression().fit(X, names[y], np.where(y == 1, 3.0, 1.0))
    assert_allclose(model.coef_, reference.coef_, rtol=1e-8)


@pytest.mark.parametrize(
    "weight", [np.ones(120), np.ones(120, dtype=int), [1] * 120, np.ones(120, dtype=np.float32), 1.0]
)
def test_weights_of_one_change_nothing(weight, binary):
    expected = LogisticRegression().fit(*binary)
    model = LogisticRegression().fit(*binary, sample_weight=weight)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-12)


# --- Warm start ---


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_warm_start_along_a_path_of_C(solver, l1_ratio, n_classes):
    X, y = make_classes(150, 5, n_classes, seed=46)
    warm = LogisticRegression(warm_start=True, solver=solver, l1_ratio=l1_ratio, tol=1e-8, max_iter=20_000)
    # With L1 from where the first weights are not zero: below, a cold start is at the optimum, too.
    path, warm_passes, cold_passes = np.logspace(-1 if l1_ratio else -2, 0, 12), 0, 0
    for C in path:
        cold = clone(warm).set_params(C=C, warm_start=False).fit(X, y)
        warm.set_params(C=C).fit(X, y)
        assert_optimal(warm, X, y)
        assert_allclose(warm.coef_, cold.coef_, rtol=1e-5, atol=1e-6)
        warm_passes += warm.n_iter_[0]
        cold_passes += cold.n_iter_[0]
    assert warm_passes < cold_passes, f"{warm_passes} passes warm, {cold_passes} cold"


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("shape", [(9000, 6), (40, 90)], ids=["sampled", "row space"])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_warm_start_on_the_other_paths(make, shape, l1_ratio):
    X, y = make_classes(*shape, seed=47)
    warm = LogisticRegression(warm_start=True, l1_ratio=l1_ratio, tol=1e-8, random_state=0)
    for C in (0.1, 0.3, 1.0):
        cold = clone(warm).set_params(C=C, warm_start=False).fit(make(X), y)
        warm.set_params(C=C).fit(make(X), y)
        assert_optimal(warm, X, y)
        assert_allclose(warm.coef_, cold.coef_, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_warm_start_along_a_path_to_zero_weights(n_classes, l1_ratio):
    # With more features than a Hessian is formed for no column may be wanted at last, not even for the certificate.
    rng = np.random.RandomState(3)
    X, y = np.exp(rng.normal(size=(60, 2000))), np.arange(60) % n_classes
    model = LogisticRegression(warm_start=True, l1_ratio=l1_ratio)
    for C in (1.0, 1e-3, 1e-5):
        model.set_params(C=C).fit(X, y)
        assert model.converged_ and model.duality_gap_ <= 1e-6
    assert not model.coef_.any()


@pytest.mark.parametrize("factor", [-30.0, 1e3, 1e6])
@pytest.mark.parametrize("n", [300, 9000])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_warm_start_from_a_point_worse_than_none_starts_cold(n_classes, n, factor):
    # Beyond the first pass, which shows it; from there it could take a thousand.
    X, y = make_classes(n, 5, n_classes, seed=1)
    model = LogisticRegression(warm_start=True, random_state=0).fit(X, y)
    n_cold = model.n_iter_[0]
    model.coef_ = factor * model.coef_
    assert model.fit(X, y).n_iter_[0] == n_cold + 1


@pytest.mark.parametrize("coefficient", [0.05, 0.06, 0.07])
def test_warm_start_where_every_row_is_certain(coefficient):
    # The violation, which is relative, is 1e211 there.
    X, y = 1e4 * np.array([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1]
    model = LogisticRegression(warm_start=True).fit(X, y)
    model.coef_[:], model.intercept_[:] = coefficient, 0.0
    assert model.fit(X, y).converged_
    assert model.violation_curve_[0] > 1e150


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_warm_start_makes_its_first_pass_once(dtype):
    # Enough rows that the curvature there comes from a sample.
    X, y = make_classes(9000, 4, seed=0)
    model = LogisticRegression(C=0.01, warm_start=True, random_state=0).fit(X.astype(dtype), y)
    model.set_params(C=10.0).fit(X.astype(dtype), y)
    assert model.loss_curve_[1] < model.loss_curve_[0]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_warm_start_at_the_optimum_takes_one_pass(solver, l1_ratio, three):
    model = LogisticRegression(warm_start=True, solver=solver, l1_ratio=l1_ratio, max_iter=20_000).fit(*three)
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    model.fit(*three)
    assert model.n_iter_[0] == 1
    assert_array_equal(model.coef_, coef)
    assert_array_equal(model.intercept_, intercept)
    assert len(model.loss_curve_) == 1, "each fit has its own curve"


def test_no_state_is_kept_without_warm_start(three):
    model = LogisticRegression(random_state=0).fit(*three)
    coef, passes = model.coef_.copy(), model.n_iter_[0]
    assert model.fit(*three).n_iter_[0] == passes > 1
    assert_array_equal(model.coef_, coef)


def test_warm_start_on_other_classes_or_features_starts_cold(binary, three):
    model = LogisticRegression(warm_start=True).fit(*binary)
    expected = LogisticRegression().fit(*three)
    assert_allclose(model.fit(*three).coef_, expected.coef_, rtol=1e-10)
    X, y = three[0][:, :2], three[1]
    assert_allclose(model.fit(X, y).coef_, LogisticRegression().fit(X, y).coef_, rtol=1e-10)
    # The same number of classes, but others.
    expected = LogisticRegression().fit(X, y + 1)
    assert model.fit(X, y + 1).n_iter_[0] == expected.n_iter_[0]


def test_warm_start_from_sparse_coefficients(three):
    model = LogisticRegression(warm_start=True, l1_ratio=1.0, C=0.1).fit(*three).sparsify()
    assert model.fit(*three).n_iter_[0] == 1


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_warm_start_after_a_change_of_the_intercept(fit_intercept, binary):
    X, y = binary[0] + 1.0, binary[1]
    model = LogisticRegression(warm_start=True, fit_intercept=not fit_intercept, tol=1e-9).fit(X, y)
    model.set_params(fit_intercept=fit_intercept).fit(X, y)
    assert_optimal(model, X, y)
    assert (model.intercept_[0] != 0.0) == fit_intercept


# --- Among scikit-learn's tools ---


def test_is_a_classifier():
    model = LogisticRegression()
    assert is_classifier(model)
    assert model.__sklearn_tags__().input_tags.sparse


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dump", ["pickle", "joblib"])
def test_copies(n_classes, dump, binary, three, tmp_path):
    X, y = binary if n_classes == 2 else three
    model = LogisticRegression(C=0.3, l1_ratio=0.5).fit(X, y)
    if dump == "pickle":
        again = pickle.loads(pickle.dumps(model))
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.status_ is model.status_
    fresh = clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "coef_")


def test_text_and_html():
    model = LogisticRegression(C=0.5, solver="gd")
    assert repr(model) == "LogisticRegression(C=0.5, solver='gd')"
    for each in (model, fit_quietly(clone(model), X_OK, Y_OK), make_pipeline(StandardScaler(), model)):
        html = each._repr_html_()
        assert "LogisticRegression" in html and html.count("<div") == html.count("</div>")


def test_every_attribute_can_be_looked_at(binary):
    # dir() and the HTML representation evaluate every property.
    for model in (LogisticRegression(), LogisticRegression().fit(*binary)):
        for name in dir(model):
            try:
                getattr(model, name)
            except AttributeError:
                pass  # not available yet, and said the way Python expects


def test_pipeline(binary):
    X, y = binary
    pipe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(X, y)
    assert pipe.score(X, y) > 0.6
    weights = np.random.RandomState(0).randint(0, 3, size=120)
    pipe.fit(X, y, logisticregression__sample_weight=weights)
    expected = LogisticRegression(C=0.1).fit(StandardScaler().fit_transform(X), y, weights)
    assert_array_equal(pipe[-1].coef_, expected.coef_)


def test_pipeline_of_mixed_columns():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"kind": rng.choice(["a", "b", "c"], 200), "size": rng.normal(size=200) * 1e4})
    y = ((frame["kind"] == "a") ^ (rng.rand(200) < 0.2)).astype(int)
    transformer = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough", sparse_threshold=1.0)
    model = make_pipeline(transformer, LogisticRegression()).fit(frame, y)
    assert model.score(frame, y) > 0.7


@pytest.mark.parametrize("n_jobs", [2])
def test_grid_search(n_jobs, breast_cancer):
    X, y = breast_cancer
    grid = [
        {"C": [0.01, 1.0]},
        {"solver": ["gd", "nesterov"], "learning_rate": ["auto", 1e-7], "max_iter": [5], "tol": [0.8]},
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # five passes are not meant to suffice
        search = GridSearchCV(
            LogisticRegression(), grid, cv=3, n_jobs=n_jobs, scoring="neg_log_loss", error_score="raise"
        )
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and len(scores) == 6
    assert search.best_params_["C"] in (0.01, 1.0) and "solver" not in search.best_params_
    assert scores[:2].min() > scores[2:].max(), "five textbook passes on raw data are no match"


def test_grid_search_over_C_agrees_with_scikit_learn(breast_cancer):
    X, y = breast_cancer
    X = StandardScaler().fit_transform(X)
    grid = {"C": [0.01, 0.1, 1.0, 10.0]}
    ours = GridSearchCV(LogisticRegression(), grid, cv=3, scoring="neg_log_loss", n_jobs=2).fit(X, y)
    peer = sklearn.linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-8)
    theirs = GridSearchCV(peer, grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-5)
    assert ours.best_params_ == theirs.best_params_


def test_calibration_and_cross_validation(binary):
    X, y = binary
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=3).fit(X, y)
    assert log_loss(y, calibrated.predict_proba(X)) < np.log(2.0)
    proba = cross_val_predict(LogisticRegression(), X, y, method="predict_proba", cv=3)
    assert proba.shape == (120, 2) and log_loss(y, proba) < np.log(2.0)
    log_proba = cross_val_predict(LogisticRegression(), X, y, method="predict_log_proba", cv=3)
    assert_allclose(np.exp(log_proba), proba, rtol=1e-12)
    raw = cross_val_predict(LogisticRegression(), X, y, method="decision_function", cv=3)
    assert_array_equal(raw > 0, proba[:, 1] > 0.5)


def test_one_against_the_rest_and_each_other(three):
    X, y = three
    many = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    for k, each in enumerate(many.estimators_):
        assert_allclose(each.coef_, LogisticRegression().fit(X, y == k).coef_, rtol=1e-10)
    assert OneVsOneClassifier(LogisticRegression()).fit(X, y).score(X, y) > 0.5
    two = MultiOutputClassifier(LogisticRegression()).fit(X, np.column_stack([y, y == 0]))
    assert two.predict(X).shape == (150, 2)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_selection_of_features(n_classes):
    rng = np.random.RandomState(48)
    X, y = make_classes(300, 3, n_classes, seed=48)
    X = np.hstack([X, rng.normal(size=(300, 10))])
    selector = SelectFromModel(LogisticRegression(C=0.05, l1_ratio=1.0)).fit(X, y)
    expected = np.any(selector.estimator_.coef_ != 0.0, axis=0)
    assert_array_equal(selector.get_support(), expected, "scikit-learn's threshold for L1 keeps what is not zero")
    assert expected[:3].any() and not expected[3:].all()


def test_selection_of_features_takes_l1_for_granted_when_told():
    # SelectFromModel looks for penalty="l1"; the usual threshold, the mean importance, works as for any estimator.
    X, y = make_classes(100, 6, seed=49)
    selector = SelectFromModel(LogisticRegression(), threshold="mean").fit(X, y)
    importance = np.abs(selector.estimator_.coef_[0])
    assert_array_equal(selector.get_support(), importance >= importance.mean())


def test_permutation_importance(binary):
    model = LogisticRegression().fit(*binary)
    found = permutation_importance(model, *binary, n_repeats=3, random_state=0).importances_mean
    assert found.argmax() == np.abs(model.coef_[0]).argmax()


def test_metadata_routing(binary):
    X, y = binary
    weight = np.random.RandomState(0).randint(0, 4, size=120).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        asked = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler(), asked)
        pipe[0].set_fit_request(sample_weight=True)
        pipe.fit(X, y, sample_weight=weight)
        Z = StandardScaler().fit(X, sample_weight=weight).transform(X)
        assert_array_equal(pipe[-1].coef_, LogisticRegression().fit(Z, y, weight).coef_)
        search = GridSearchCV(asked, {"C": [0.1, 1.0]}, cv=3).fit(X, y, sample_weight=weight)
        expected = clone(asked).set_params(**search.best_params_).fit(X, y, sample_weight=weight)
        assert_array_equal(search.best_estimator_.coef_, expected.coef_)
        result = cross_validate(asked, X, y, params={"sample_weight": weight}, cv=3, return_estimator=True)
        assert len(result["estimator"]) == 3
        silent = LogisticRegression()
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            GridSearchCV(silent, {"C": [1.0]}, cv=3).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_number_of_threads_changes_no_digit(n_jobs, n_classes):
    X, y = make_classes(60_000, 10, n_classes, seed=50)
    expected = LogisticRegression(random_state=0, n_jobs=1).fit(X, y)
    model = LogisticRegression(random_state=0, n_jobs=n_jobs).fit(X, y)
    assert_array_equal(model.coef_, expected.coef_)


def test_verbose_says_something_and_quiet_nothing(binary, capsys):
    LogisticRegression().fit(*binary)
    out, err = capsys.readouterr()
    assert out == err == ""
    model = LogisticRegression(verbose=1).fit(*binary)
    out, err = capsys.readouterr()
    assert str(model.n_iter_[0]) in out + err


@pytest.mark.parametrize("name", ["spector", "lowbwt_stata", "endometrial"])
def test_real_data_from_frames_with_names(name):
    X, y = load(name)
    frame = pd.DataFrame(X, columns=[f"feature {j}" for j in range(X.shape[1])])
    model = LogisticRegression().fit(frame, np.array(["low", "high"])[y])
    assert_optimal(model, X, np.array(["low", "high"])[y])
    assert list(model.feature_names_in_) == list(frame.columns)
