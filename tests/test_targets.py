"""Labels and weights are looked up some rows at a time, and nothing of it shows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_logreg import _targets

LABELS = {
    "two numbers": np.array([3, -2]),
    "booleans": np.array([False, True]),
    "numbers as strings": np.array(["10", "9"]),
    "whole numbers": np.array([7, -1, 2**40]),
    "bytes": np.arange(250, dtype=np.uint8),
    "floats": np.array([2.0, 0.0, 1.0]),
    "strings": np.array(["c", "a", "bb"]),
    "objects": np.array(["c", "a", "bb"], dtype=object),
}


@pytest.fixture(params=[7, 2**16])
def n_rows(request, monkeypatch):
    monkeypatch.setattr(_targets, "N_ROWS", request.param)
    return request.param


@pytest.mark.parametrize("labels", LABELS)
def test_classes_and_codes_are_those_of_numpy(labels, n_rows):
    y = np.random.RandomState(0).permutation(np.resize(LABELS[labels], 1000))
    classes, codes = _targets.encode(y)
    expected, inverse = np.unique(y, return_inverse=True)
    assert_array_equal(classes, expected)
    assert classes.dtype == y.dtype
    assert_array_equal(codes, inverse)
    assert codes.itemsize == 1, "they live as long as the fit"


def test_numbers_of_which_most_are_different_raise_the_doubts_of_scikit_learn(n_rows):
    with pytest.warns(UserWarning, match="unique classes"):
        classes, codes = _targets.encode(np.arange(300))
    assert_array_equal(classes[codes], np.arange(300))


@pytest.mark.parametrize("class_weight", [None, {0: 2.0, 1: 0.5}, "balanced"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weight_of_a_row_is_its_own_times_that_of_its_class(n_classes, weighted, class_weight, n_rows):
    rng = np.random.RandomState(1)
    y, X = rng.randint(n_classes, size=200), np.zeros((200, 1))
    y[:n_classes] = np.arange(n_classes)
    s = rng.uniform(0.5, 2.0, size=200) if weighted else None
    own = np.ones(200) if s is None else s.copy()
    weight, totals = _targets.weights(class_weight, s, X, *_targets.encode(y))
    by_class = np.ones(n_classes)
    if class_weight == "balanced":
        by_class = own.sum() / (n_classes * np.bincount(y, own))
    elif class_weight:
        by_class[:2] = 2.0, 0.5
    if class_weight is None and not weighted:
        assert weight is None, "nothing to hold"
    else:
        assert_allclose(weight, own * by_class[y], rtol=1e-14)
    assert_allclose(totals, np.bincount(y, own * by_class[y]), rtol=1e-12)
    if weighted:
        assert_array_equal(s, own, "what the user gave is the user's")
