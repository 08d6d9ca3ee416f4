"""Class labels and weights: what y, sample_weight and class_weight say about each row."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import compute_class_weight, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

# Rows whose classes are looked up at a time, which takes eight bytes for each.
N_ROWS = 2**16


def encode(y):
    """The classes, sorted, and the index of each row's class: a boolean for two classes."""
    if y.dtype.kind in "biuf":
        # Two whole numbers need no sorting, which takes a copy and, on 45 000 rows, 2 ms: as long as four passes.
        low, high = y.min(), y.max()
        is_high = y == high
        are_all = low != high and np.count_nonzero(is_high) + np.count_nonzero(y == low) == len(y)
        if are_all and low % 1 == high % 1 == 0:
            return np.array([low, high]), is_high
        del is_high
    classes = _classes(y)
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {classes.tolist()[0]!r}: a classifier needs samples of at least 2 classes."
        )
    if len(classes) == 2:
        return classes, y == classes[1]
    codes = np.empty(len(y), np.min_scalar_type(len(classes) - 1))
    for rows in gen_batches(len(y), N_ROWS):
        codes[rows] = np.searchsorted(classes, y[rows])
    return classes, codes


def _classes(y):
    """The different labels, sorted; refuses what are none."""
    if y.dtype.kind in "iu" and len(y) > N_ROWS:
        # Sorting all takes a copy of y, and the check another, which whole numbers pass if there are not too many.
        classes = np.unique(np.concatenate([np.unique(y[rows]) for rows in gen_batches(len(y), N_ROWS)]))
        if len(classes) <= len(y) / 4:
            return classes
    check_classification_targets(y)
    return np.unique(y)


def weights(class_weight, sample_weight, X, classes, codes):
    """Sample weight times class weight, None if all are 1, and the total of each class."""
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not sample_weight.any():
            raise ValueError("All sample weights are zero: there is nothing to fit. Give some rows a positive weight.")
    totals = _class_totals(codes, sample_weight, len(classes))
    if class_weight is not None:
        _check_class_weight(class_weight)
        by_class = _by_class(class_weight, classes, totals)
        totals = totals * by_class
        by_row = np.empty(len(codes))
        for rows in gen_batches(len(codes), N_ROWS):
            by_row[rows] = by_class[codes[rows].astype(np.intp)]
        sample_weight = by_row if sample_weight is None else np.multiply(by_row, sample_weight, out=by_row)
    _check_totals(classes, totals)
    return sample_weight, totals.astype(np.float64)


def _by_class(class_weight, classes, totals):
    """The weight of each class; "balanced" makes those with rows of positive weight equal, as if they were all.

    Each class stands for its rows, so that y need not be sorted again.
    """
    is_counted = totals > 0.0 if isinstance(class_weight, str) else np.ones(len(classes), bool)
    labels, by_class = classes[is_counted], np.zeros(len(classes))
    by_class[is_counted] = compute_class_weight(
        class_weight, classes=labels, y=labels, sample_weight=totals[is_counted]
    )
    return by_class


def _check_class_weight(class_weight):
    """Refuse weights that are none, which scikit-learn multiplies as they are."""
    for label, weight in class_weight.items() if isinstance(class_weight, dict) else ():
        if not (isinstance(weight, Real) and 0.0 <= float(weight) < np.inf):
            raise ValueError(
                f"class_weight gives class {label!r} the weight {weight!r}: it must be a finite number, not negative."
            )


def _class_totals(codes, sample_weight, n_classes):
    """Total weight of each class."""
    totals = np.zeros(n_classes)
    for rows in gen_batches(len(codes), N_ROWS):
        totals += np.bincount(codes[rows], None if sample_weight is None else sample_weight[rows], n_classes)
    return totals


def _check_totals(classes, totals):
    """Refuse a single class that counts, as y with one class is refused."""
    labels = classes[totals > 0.0].tolist()
    if len(labels) < 2:
        raise ValueError(
            f"By sample_weight and class_weight the classes with rows of positive weight are {labels}: a classifier "
            f"needs at least 2 of its {len(classes)} classes there."
        )
