"""Leave for scikit-learn's own class, for tools that match it exactly."""

from __future__ import annotations

import inspect

import numpy as np
from sklearn.linear_model import LogisticRegression as ScikitLearnLogisticRegression

FITTED = ("classes_", "coef_", "intercept_", "n_iter_", "n_features_in_", "feature_names_in_")


def to_sklearn(estimator):
    """A fitted scikit-learn LogisticRegression with the parameters and coefficients of a fitted estimator."""
    same = ("C", "fit_intercept", "class_weight", "tol", "max_iter", "warm_start", "random_state")
    params = {name: getattr(estimator, name) for name in same}
    l1_ratio = estimator.l1_ratio
    params["solver"] = "saga" if l1_ratio else "lbfgs"
    if inspect.signature(ScikitLearnLogisticRegression).parameters["penalty"].default == "deprecated":
        params["l1_ratio"] = 0.0 if np.isinf(estimator.C) else l1_ratio
    elif np.isinf(estimator.C):
        # Before 1.8 the kind of penalty was a parameter of its own.
        params.update(C=1.0, penalty=None)
    else:
        params["penalty"] = {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")
        params["l1_ratio"] = l1_ratio if params["penalty"] == "elasticnet" else None
    out = ScikitLearnLogisticRegression(**params)
    for name in FITTED:
        if hasattr(estimator, name):
            value = getattr(estimator, name)
            setattr(out, name, value.copy() if hasattr(value, "copy") else value)
    return out
