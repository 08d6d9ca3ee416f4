"""
Gradient descent in two dimensions
==================================

The algorithm of the textbooks fits on a page: the cost is a bowl, every step goes straight downhill, and the
learning rate decides whether that ends well.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from sklearn_logreg import LogisticRegression

# %%
# Two features, correlated, and no intercept, so that the cost can be drawn as a map.

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2)) @ [[1.0, 0.7], [0.0, 0.7]]
y = (rng.uniform(size=200) < expit(X @ [1.2, -0.8])).astype(int)


def cost(w1, w2):
    """The mean log loss at every point of a grid."""
    z = np.multiply.outer(w1, X[:, 0]) + np.multiply.outer(w2, X[:, 1])
    return np.mean(np.logaddexp(0.0, -(2 * y - 1) * z), axis=-1)


def gradient_descent(learning_rate, n_steps):
    """w <- w - learning_rate * dJ/dw, from zero: all points on the way."""
    w = np.zeros(2)
    points = [w]
    for _ in range(n_steps):
        residual = expit(X @ w) - y
        w = w - learning_rate * X.T @ residual / len(y)
        points.append(w)
    return np.array(points)


# %%
# The same problem for the package, which finds the bottom in a few passes. The cost curves by at most L, so 1/L
# is a rate at which it never rises, and 2/L the largest that is safe; that is for the worst place on the map,
# and here a little more would still do.

optimum = LogisticRegression(C=np.inf, fit_intercept=False).fit(X, y).coef_[0]
L = 0.25 * np.linalg.eigvalsh(X.T @ X / len(y)).max()

w1, w2 = np.meshgrid(np.linspace(-0.9, 2.8, 120), np.linspace(-2.3, 1.4, 120))
J = cost(w1, w2)
rates = {"too small": 0.1 / L, "well chosen": 1.0 / L, "too large": 3.0 / L}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), sharex=True, sharey=True, layout="constrained")
for ax, (title, learning_rate) in zip(axes, rates.items(), strict=True):
    points = gradient_descent(learning_rate, n_steps=30)
    ax.contour(w1, w2, J, levels=cost(*optimum) + np.geomspace(0.001, 1.0, 14), cmap="Greys_r", linewidths=0.8)
    ax.plot(*points.T, "o-", color="tab:blue", markersize=3.5, linewidth=1)
    ax.plot(*optimum, "*", color="tab:red", markersize=13)
    ax.set(title=f"{title}: {learning_rate:.2g}", xlabel="first weight")
axes[0].set_ylabel("second weight")
plt.show()

# %%
# Thirty steps each, from zero, to the star if they can. Too small: every step is right, and there are not
# enough of them. Well chosen: straight down, then along the floor of the valley. Too large: every step lands on
# the opposite slope, as high as before.
#
# ``solver="gd"`` is this loop, to the last digits. The first pass evaluates the start, so 31 passes make 30
# steps. A rate that is too large is reported, together with the largest stable one.

for learning_rate in rates.values():
    model = LogisticRegression(C=np.inf, fit_intercept=False, solver="gd", learning_rate=learning_rate, max_iter=31)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its sentence is printed
        model.fit(X, y)
    print(model.status_message_)
