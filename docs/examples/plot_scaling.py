"""
Why you need no scaler
======================

One feature of three changes its unit, from millionths to millions. Nothing else changes, and without a penalty
the model is the same. How many passes over the data does each solver need?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from sklearn_logreg import LogisticRegression

X, y = make_classification(300, 3, n_informative=3, n_redundant=0, flip_y=0.2, random_state=0)

units = 10.0 ** np.arange(-6, 7)
passes = {"gd": [], "nesterov": [], "preconditioned": []}
violations = {solver: [] for solver in passes}
for solver in passes:
    for unit in units:
        model = LogisticRegression(C=np.inf, solver=solver, max_iter=3000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the picture shows it
            model.fit(X * [unit, 1.0, 1.0], y)
        passes[solver].append(model.n_iter_[0])
        violations[solver].append(model.violation_)

# %%
# On the left the passes made, at most 3000. On the right where the fit was when it ended: the slope of the
# cost, as if every feature were standardised, whose limit is ``tol``.

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for solver in passes:
    axes[0].plot(units, passes[solver], "o-", markersize=4, label=solver)
    axes[1].plot(units, violations[solver], "o-", markersize=4, label=solver)
axes[1].axhline(1e-6, color="black", linewidth=0.8, linestyle="--")
axes[1].text(1e-6, 1.5e-6, "tol")
axes[0].set(
    xscale="log", yscale="log", xlabel="unit of the first feature", ylabel="passes over the data", ylim=(1, 5000)
)
axes[1].set(xscale="log", yscale="log", xlabel="unit of the first feature", ylabel="violation at the end")
axes[0].legend(loc="center left")
plt.show()

# %%
# Plain gradient descent must keep its steps short enough for the largest feature, and with momentum it is the
# same. The default solver works in the coordinates of standardised features, whatever the units are, and takes
# the same path every time:

print("passes of the default:", sorted({int(n) for n in passes["preconditioned"]}))
