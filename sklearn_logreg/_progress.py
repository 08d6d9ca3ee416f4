"""What a fit shows while it runs: lines for ``verbose``, and scikit-learn's callbacks where they exist (1.9)."""

from __future__ import annotations

import time
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn below 1.9: there is nothing to support.

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin, without any method."""


# Seconds between two lines at least.
INTERVAL = 0.5


class Lines:
    """Print pass, cost, violation and seconds, aligned, at most every INTERVAL seconds; the last pass always."""

    def __init__(self):
        self.start = time.perf_counter()
        self.last = -INTERVAL
        self.printed = 0

    def __call__(self, trace, evaluation):
        now = time.perf_counter() - self.start
        if now - self.last >= INTERVAL:
            self.last = now
            self.print(trace, now)
        return False

    def print(self, trace, now):
        if not self.printed:
            print(f"{'pass':>6} {'J':>16} {'violation':>11} {'seconds':>9}")
        self.printed = trace.n_passes
        print(f"{trace.n_passes:6d} {trace.values[-1]:16.10g} {trace.violations[-1]:11.2e} {now:9.2f}", flush=True)

    def close(self, trace):
        """Print the last pass, if it was not."""
        if trace.n_passes > self.printed:
            self.print(trace, time.perf_counter() - self.start)


class Tasks:
    """One scikit-learn callback task a pass; a callback that returns True stops the fit."""

    def __init__(self, estimator, X, y, sample_weight, unpack):
        self.estimator = estimator
        self.data = {
            "X": X,
            "y": y,
            "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
        }
        self.unpack = unpack
        self.context: Any = None

    def open(self, max_passes):
        """Begin the task of the whole fit."""
        self.context = self.estimator._init_callback_context(max_subtasks=max_passes)
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def __call__(self, trace, evaluation):
        task = self.context.subcontext(task_name="pass")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return task.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=lambda: self.unpack(evaluation.coef), **self.data
        )

    def close(self, attributes):
        """End the task of the whole fit."""
        self.context.call_on_fit_task_end(estimator=self.estimator, reconstruction_attributes=attributes, **self.data)


def has_callbacks(estimator):
    """Has somebody set callbacks on the estimator, or on one that it is part of?"""
    return hasattr(estimator, "_skl_callbacks") or (
        hasattr(estimator, "_parent_callback_ctx") and hasattr(estimator, "_init_callback_context")
    )
