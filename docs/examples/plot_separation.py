"""
A coefficient that never stops growing
======================================

Endometrial cancer in 79 patients: neovascularisation (NV), the pulsatility index of the uterine artery (PI) and
the height of the endometrium (EH) are to predict a high histology (G. Heinze and M. Schemper, *A solution to
the problem of separation in logistic regression*, Statistics in Medicine 21, 2002). Every patient with NV has
one. What does a logistic regression make of that?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_logreg import LogisticRegression, SeparationWarning, separation

NV = """
    0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 0 0
    0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 1 1 0 1 0
"""
PI = """
    13 16 8 34 20 5 17 10 26 17 8 7 20 10 18 16 18 8 29 12 20 38 22 7 25 15 7 28 11 19 10 10 18 14 21 11 17
    25 16 19 15 33 24 48 12 19 2 22 40 5 0 21 15 29 15 12 3 20 23 12 22 42 15 13 14 19 12 13 10 12 49 6 5 17
    11 21 5 19 33
"""
EH = """
    1.64 2.26 3.14 2.68 1.28 2.31 1.8 1.68 1.56 2.31 2.01 1.89 3.15 1.23 1.27 1.76 2 2.64 0.88 1.27 1.37 0.97
    1.14 0.88 0.91 0.58 0.97 1.5 1.33 2.37 1.82 3.13 1.31 1.92 1.64 2.01 1.88 1.93 2.11 1.29 1.72 0.75 1.92
    1.84 1.11 1.61 1.18 1.44 1.18 0.93 1.17 1.19 1.06 2.02 2.29 2.33 2.9 1.7 1.41 2.25 1.54 1.97 1.75 2.16
    2.57 1.37 3.61 2.04 2.17 1.69 0.27 1.84 1.3 0.96 1.01 0.98 0.35 1.02 0.85
"""
HIGH = """
    0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1
    0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1
"""

names = ["NV", "PI", "EH"]
X = np.column_stack([np.array(text.split(), dtype=float) for text in (NV, PI, EH)])
y = np.array(HIGH.split(), dtype=int)

# %%
# ``separation`` finds out before any fit: along the direction of NV some rows come out ever better and none
# worse, so that without a penalty the cost has no lowest point.

found = separation(X, y)
print(found.kind, [names[j] for j in found.features], found.direction)

# %%
# A fit notices as well, and says which feature it is.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", SeparationWarning)
    model = LogisticRegression(C=np.inf).fit(X, y)
print(caught[0].message)

# %%
# Whoever stops such a fit gets a number all the same, but it measures the patience of the fit, not the
# patients. A finite ``C`` gives an answer that does not depend on when it was asked.

passes, strengths = np.arange(1, 21), np.logspace(-2, 6, 33)
by_pass, by_C = [], []
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SeparationWarning)  # known by now
    for max_iter in passes:
        by_pass.append(LogisticRegression(C=np.inf, max_iter=max_iter, tol=0.0).fit(X, y).coef_[0])
for C in strengths:
    by_C.append(LogisticRegression(C=C).fit(X, y).coef_[0])

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
axes[0].plot(passes, by_pass, ".-", label=names)
axes[0].set(title="no penalty, cut short", xlabel="passes", ylabel="coefficient", xticks=[1, 5, 10, 15, 20])
axes[1].plot(strengths, by_C, label=names)
axes[1].set(title="with a penalty, fitted to the end", xlabel="C", xscale="log")
axes[1].axvline(1.0, color="black", linewidth=0.8, linestyle=":")
axes[1].text(1.3, 14, "the default, C=1")
axes[0].legend()
plt.show()

# %%
# PI and EH settle after a few passes; NV gains the same amount on each. With a penalty NV settles too, at a
# value that grows by the same amount whenever ``C`` is multiplied by ten.
