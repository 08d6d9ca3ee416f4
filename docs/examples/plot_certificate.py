"""
How far is it to the bottom?
============================

A fit that is cut short does not know the minimum of the cost. Its certificate, ``duality_gap_``, bounds the
distance all the same, and the bound is a proof: it needs no second fit to compare with.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from sklearn_logreg import LogisticRegression

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)
C = 0.1

# %%
# The yardstick of this page is the lowest cost, from a fit to the last digits. The certificate does without.


def cost(model):
    """The mean log loss plus the L2 penalty, from the data and the coefficients alone."""
    margin = (2 * y - 1) * model.decision_function(X)
    return np.mean(np.logaddexp(0.0, -margin)) + np.sum(model.coef_**2) / (2.0 * C * len(y))


lowest = cost(LogisticRegression(C=C, tol=1e-10).fit(X, y))

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
for ax, solver, n_passes in zip(axes, ["preconditioned", "nesterov"], [9, 150], strict=True):
    cut_short = np.unique(np.geomspace(1, n_passes, 25).astype(int))
    true, gaps = [], []
    for max_iter in cut_short:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # cut short on purpose
            model = LogisticRegression(C=C, solver=solver, max_iter=max_iter).fit(X, y)
        true.append(cost(model) - lowest)
        gaps.append(model.duality_gap_)
    true = np.where(np.array(true) > 1e-15, true, np.nan)  # less is rounding
    ax.fill_between(cut_short, 1e-16, gaps, alpha=0.15, color="tab:blue", label="where the truth must be")
    ax.plot(cut_short, gaps, ".-", color="tab:blue", label="certificate: duality_gap_")
    ax.plot(cut_short, true, ".--", color="tab:orange", label="truth: J - min J")
    ax.set(title=solver, xlabel="passes", yscale="log", ylim=(1e-16, 2.0))
axes[0].set_ylabel("distance to the lowest cost")
axes[0].legend(loc="lower left")
plt.show()

# %%
# The certificate is never below the truth, and close to it however early the fit was cut short: where that is far
# from the minimum, the certificate goes on from there, with passes of its own.
#
# A curve that has become flat is no proof of anything: a tiny learning rate gives one, too. The certificate is
# not fooled.

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    slow = LogisticRegression(C=C, solver="gd", learning_rate=1e-6, max_iter=50).fit(X, y)
print(f"fall of the cost in the last pass: {slow.loss_curve_[-2] - slow.loss_curve_[-1]:.1e}")
print(f"certificate:                       {slow.duality_gap_:.1e}")
print(f"truth:                             {cost(slow) - lowest:.1e}")
