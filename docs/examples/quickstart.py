"""
Raw data, four fits
===================

The breast cancer data as they come: 30 features, measured on scales from 0.05 to 4254.
The table shows how far each solver gets, judged by one yardstick that the script computes itself.
"""

import warnings

import numpy as np
from scipy.special import expit, logsumexp
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from sklearn_logreg import LogisticRegression

C = 1.0
X, y = load_breast_cancer(return_X_y=True)
n = len(y)


# %%
# The cost J is the mean log loss plus the penalty.
# The violation is the largest slope of J, as if every feature were standardised, relative to the mean residual.
# It is zero at the minimum only, and no solver is asked for it.


def cost_and_violation(w, b):
    """J and the violation at (w, b), from the data alone."""
    sign = 2 * y - 1
    margin = sign * (X @ w + b)
    cost = np.mean(logsumexp([np.zeros(n), -margin], axis=0)) + w @ w / (2 * C * n)

    residual = -sign * expit(-margin)  # y_hat - y, without cancellation
    slope_w = X.T @ residual / n + w / (C * n)
    slope_b = residual.mean()
    standardised = (slope_w - X.mean(axis=0) * slope_b) / X.std(axis=0)
    return cost, max(abs(standardised).max(), abs(slope_b)) / abs(residual).mean()


# %%
# Warnings are silenced here because the column "converged" repeats them.

fits = {
    "preconditioned": LogisticRegression(C=C),
    "nesterov": LogisticRegression(C=C, solver="nesterov"),
    "gd": LogisticRegression(C=C, solver="gd"),
    "scikit-learn": SklearnLogisticRegression(C=C),
}

print(f"{'':<16}{'passes':>8}{'cost J':>12}{'violation':>12}{'converged':>12}{'accuracy':>11}")
for name, model in fits.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    cost, violation = cost_and_violation(model.coef_[0], model.intercept_[0])
    passes = int(np.max(model.n_iter_))
    converged = "yes" if getattr(model, "converged_", passes < model.max_iter) else "no"
    accuracy = model.score(X, y)
    print(f"{name:<16}{passes:>8}{cost:>12.6f}{violation:>12.1e}{converged:>12}{accuracy:>11.4f}")

# %%
# For scikit-learn the passes are its iterations; each reads the data at least once.

# sphinx_gallery_thumbnail_path = '_static/quickstart.svg'
