"""to_sklearn: scikit-learn's own class with the same predictions, to the last bit, for tools that match the class."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn.linear_model
from conftest import SOLVERS, fit_quietly, make_classes, make_sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_logreg import LogisticRegression

PREDICTIONS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


def assert_predicts_the_same(model, exported, X):
    for method in PREDICTIONS:
        ours, theirs = getattr(model, method)(X), getattr(exported, method)(X)
        assert ours.dtype == theirs.dtype, method
        if method == "predict_log_proba":
            # scikit-learn takes the logarithm of a rounded probability, which is less exact.
            assert_allclose(ours, theirs, rtol=1e-4 if ours.dtype == np.float32 else 1e-8, atol=1e-6)
        else:
            assert_array_equal(ours, theirs, f"{method} must be the same to the last bit")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_same_predictions(n_classes, storage, dtype):
    X, y = make_sparse(n_classes=n_classes)
    X = storage(X.toarray().astype(dtype))
    model = fit_quietly(LogisticRegression(), X, y)
    exported = model.to_sklearn()
    assert type(exported) is sklearn.linear_model.LogisticRegression, "the very class, not a subclass"
    assert_predicts_the_same(model, exported, X)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [0.1, np.inf])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_model_can_leave_and_be_fitted_again(n_classes, fit_intercept, l1_ratio, C, solver):
    X, y = make_classes(n_classes=n_classes)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, solver=solver, max_iter=300)
    fit_quietly(model, X, y)
    exported = model.to_sklearn()
    assert_predicts_the_same(model, exported, X)
    # Its parameters are those of the same problem: a new fit must end at the same optimum.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        again = clone(exported).set_params(tol=1e-8, max_iter=5000).fit(X, y)
    best = fit_quietly(LogisticRegression(C=C, l1_ratio=l1_ratio, fit_intercept=fit_intercept, tol=1e-9), X, y)
    assert_allclose(again.predict_proba(X), best.predict_proba(X), atol=1e-4)


def test_labels_names_and_parameters_go_along():
    pd = pytest.importorskip("pandas")
    X, y = make_classes()
    frame, labels = pd.DataFrame(X, columns=list("abcde")), np.array(["no", "yes"])[y]
    model = LogisticRegression(class_weight="balanced", C=0.3, tol=1e-5, max_iter=77, random_state=3).fit(frame, labels)
    exported = model.to_sklearn()
    assert list(exported.classes_) == ["no", "yes"]
    assert list(exported.feature_names_in_) == list("abcde")
    assert exported.n_features_in_ == 5
    assert exported.n_iter_.dtype == np.int32
    for name in ("C", "class_weight", "tol", "max_iter", "random_state", "fit_intercept"):
        assert getattr(exported, name) == getattr(model, name), name
    assert_array_equal(exported.predict(frame), model.predict(frame))
    check_is_fitted(exported)


def test_the_two_share_no_memory():
    X, y = make_classes()
    model = LogisticRegression().fit(X, y)
    exported = model.to_sklearn()
    before = exported.coef_.copy()
    model.coef_ += 1.0
    model.classes_[:] = 0
    assert_array_equal(exported.coef_, before, "a change of one must not reach the other")
    assert list(exported.classes_) == [0, 1]


def test_sparsified():
    X, y = make_classes()
    model = LogisticRegression(C=0.05, l1_ratio=1.0).fit(X, y).sparsify()
    exported = model.to_sklearn()
    assert sparse.issparse(exported.coef_)
    assert_array_equal(exported.predict(X), model.predict(X))


def test_a_pickle_of_it_needs_no_package_of_ours():
    X, y = make_classes()
    exported = LogisticRegression().fit(X, y).to_sklearn()
    assert b"sklearn_logreg" not in pickle.dumps(exported)


def test_not_fitted():
    with pytest.raises(NotFittedError, match="not fitted"):
        LogisticRegression().to_sklearn()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_onnx(n_classes, dtype):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X, y = make_classes(n_classes=n_classes)
    X = X.astype(dtype)
    model = LogisticRegression().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter itself
        warnings.simplefilter("ignore", FutureWarning)
        onnx = skl2onnx.to_onnx(model.to_sklearn(), X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(probabilities, model.predict_proba(X), atol=1e-5, err_msg="ONNX computes in float32")
    sure = np.sort(model.predict_proba(X), axis=1)[:, -2:]
    sure = sure[:, 1] - sure[:, 0] > 1e-4
    assert sure.sum() > 100, "enough rows that are not a tie"
    assert_array_equal(labels[sure], model.predict(X)[sure])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("exported", [False, True])
def test_skops(exported, n_classes, tmp_path):
    sio = pytest.importorskip("skops.io")
    X, y = make_classes(n_classes=n_classes)
    model = LogisticRegression().fit(X, y)
    saved = model.to_sklearn() if exported else model
    path = tmp_path / "model.skops"
    sio.dump(saved, path)
    untrusted = sio.get_untrusted_types(file=path)
    if exported:
        assert not untrusted, "scikit-learn's own class is trusted as it is"
    else:
        assert all(name.startswith("sklearn_logreg.") for name in untrusted), f"{untrusted}: ours alone"
    loaded = sio.load(path, trusted=untrusted)
    assert type(loaded) is type(saved)
    assert_predicts_the_same(model, loaded, X)
    if not exported:
        assert loaded.status_ is model.status_ and loaded.duality_gap_ == model.duality_gap_
