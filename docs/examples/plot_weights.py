"""
Weights of rows and of classes
==============================

A rare class is easily outvoted. Weights say how much a row or a class shall count, and do exactly that: a
weight of 2 is the same row twice, to the last digits that ``tol`` asks for.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_logreg import LogisticRegression

rng = np.random.default_rng(0)
n_common, n_rare = 400, 30
X = np.vstack([rng.normal([0.0, 0.0], 1.0, (n_common, 2)), rng.normal([1.6, 1.6], 0.8, (n_rare, 2))])
y = np.repeat([0, 1], [n_common, n_rare])

fits = {
    "no weights": LogisticRegression().fit(X, y),
    'class_weight="balanced"': LogisticRegression(class_weight="balanced").fit(X, y),
    "class_weight={1: 100}": LogisticRegression(class_weight={0: 1, 1: 100}).fit(X, y),
}

# %%
# Each line is where a model is undecided. The more the rare class counts, the more rows of the other it may
# claim.

figure, ax = plt.subplots(figsize=(7, 5.5), layout="constrained")
ax.scatter(*X[y == 0].T, s=9, color="0.65", label="common class")
ax.scatter(*X[y == 1].T, s=22, color="black", marker="^", label="rare class")
x1 = np.array([-4.0, 4.5])
for color, (name, model) in zip(["tab:blue", "tab:orange", "tab:green"], fits.items(), strict=True):
    (w1, w2), b = model.coef_[0], model.intercept_[0]
    ax.plot(x1, -(w1 * x1 + b) / w2, color=color, label=name)
ax.set(xlim=(-3.5, 4.2), ylim=(-3.2, 4.2), xlabel="first feature", ylabel="second feature")
ax.legend(loc="lower left", framealpha=1.0)
plt.show()

for name, model in fits.items():
    found = model.predict(X) == 1
    print(f"{name:<24} rare rows found: {found[y == 1].mean():4.0%}   common rows lost: {found[y == 0].mean():4.0%}")

# %%
# Weights and repetitions are the same problem, and the fits agree far below ``tol``:

times = rng.integers(0, 4, size=len(y))
weighted = LogisticRegression().fit(X, y, sample_weight=times)
repeated = LogisticRegression().fit(np.repeat(X, times, axis=0), np.repeat(y, times))
print("largest difference of the coefficients:", abs(weighted.coef_ - repeated.coef_).max())
