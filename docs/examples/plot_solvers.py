"""
One cost, three ways down
=========================

The three solvers on the same data, raw and standardised. They share the minimum.
They differ in how many passes over the data they take to it.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from sklearn_logreg import LogisticRegression, LossCurveDisplay

X, y = load_breast_cancer(return_X_y=True)

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
for ax, title, features in zip(axes, ["raw", "standardised"], [X, scale(X)], strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the curves show it
        fits = {
            solver: LogisticRegression(solver=solver).fit(features, y)
            for solver in ["gd", "nesterov", "preconditioned"]
        }
    LossCurveDisplay.from_estimators(fits, ax=ax)
    ax.set(title=title, ylim=(1e-12, None))  # below that it is rounding
axes[1].get_legend().remove()
axes[1].set_ylabel("")
plt.show()

# %%
# On raw data the safe step of gradient descent is set by the largest feature, and a thousand passes get nowhere.
# Standardising helps it a great deal. To the preconditioned solver the two panels are nearly the same problem: only the
# penalty, which acts on coefficients with units, tells them apart.
