"""
The path of an L1 penalty
=========================

As ``C`` grows, one feature after another comes in. Each fit of the path starts where its neighbour ended.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from sklearn_logreg import LogisticRegression

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)  # not for the solver's sake: so that the penalty treats all features alike

# %%
# Below this ``C`` all coefficients are exactly zero: there the slope of the cost at zero is inside the
# penalty's corner for every feature.

smallest = 1.0 / np.abs(X.T @ (y - y.mean())).max()
strengths = smallest * np.logspace(0.0, 4.0, 60)

warm = LogisticRegression(l1_ratio=1.0, warm_start=True)
coefs, warm_passes, cold_passes = [], [], []
for C in strengths:
    warm.set_params(C=C).fit(X, y)
    coefs.append(warm.coef_[0].copy())
    warm_passes.append(int(warm.n_iter_[0]))
    cold_passes.append(int(LogisticRegression(l1_ratio=1.0, C=C).fit(X, y).n_iter_[0]))
coefs = np.array(coefs)

figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, height_ratios=[3, 1], layout="constrained")
top.plot(strengths, coefs, linewidth=1.2)
top.set(ylabel="coefficient", xscale="log")
bottom.step(strengths, (coefs != 0.0).sum(axis=1), where="mid", color="black")
bottom.set(xlabel="C", ylabel="features in use", ylim=(0, 31))
plt.show()

# %%
# Zeros are exact, not small, at every point of the path: the lower panel counts ``coef_ != 0``. With a weak
# penalty, coefficients of features that nearly repeat each other grow large, with opposite signs.

print("features at the first three points:", (coefs[:3] != 0.0).sum(axis=1))
print("passes of the whole path, from the neighbour:", sum(warm_passes))
print("passes of the whole path, each from zero:    ", sum(cold_passes))
