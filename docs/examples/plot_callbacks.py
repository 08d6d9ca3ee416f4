"""
Watch a fit, and stop it
========================

scikit-learn's callbacks (from version 1.9) are told of every pass. This one keeps an eye on rows that the fit
does not see, and asks it to stop when they are predicted worse.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_logreg import LogisticRegression

X, y = make_classification(400, 120, n_informative=8, n_redundant=0, flip_y=0.1, random_state=1)
X, X_unseen, y, y_unseen = train_test_split(X, y, test_size=0.5, random_state=0)


class EarlyStopping:
    """Ask to stop when the loss on other rows has not improved for some passes."""

    def __init__(self, X, y, patience):
        self.X, self.y, self.patience = X, y, patience
        self.losses = []

    def setup(self, estimator, context):
        self.losses.clear()

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name != "pass":
            return False
        self.losses.append(log_loss(self.y, fitted_estimator.predict_proba(self.X)))
        return len(self.losses) - 1 - np.argmin(self.losses) >= self.patience


# %%
# With the patience of a saint it never stops; with five passes it does. A fit that was stopped is an estimator
# like any other.

watch, stop = EarlyStopping(X_unseen, y_unseen, patience=np.inf), EarlyStopping(X_unseen, y_unseen, patience=5)
watched = LogisticRegression(C=10.0, solver="nesterov", max_iter=3000).set_callbacks(watch).fit(X, y)
stopped = LogisticRegression(C=10.0, solver="nesterov", max_iter=3000).set_callbacks(stop).fit(X, y)
print(stopped.status_message_)
for name, model in {"stopped": stopped, "to the end": watched}.items():
    print(f"accuracy on unseen rows, {name}: {model.score(X_unseen, y_unseen):.3f}")

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
n_passes = np.arange(1, len(watch.losses) + 1)
ax.plot(n_passes, watched.loss_curve_, label="cost J on the rows of the fit")
ax.plot(n_passes, watch.losses, label="log loss on unseen rows")
ax.axvline(len(stop.losses), color="black", linestyle=":", label=f"stopped after {len(stop.losses)} passes")
ax.set(xlabel="passes over the data", xscale="log", ylim=(0, 1.2))
ax.legend()
plt.show()

# %%
# Early stopping is a penalty in disguise, and one that depends on the solver, its start and its steps. A
# smaller ``C`` says the same in the open, and has a certificate:

penalised = LogisticRegression(C=0.01).fit(X, y)
print(f"accuracy on unseen rows at C=0.01: {penalised.score(X_unseen, y_unseen):.3f}")
print(f"J is at most {penalised.duality_gap_:.1e} above its minimum")
