"""Logistic regression by batch gradient descent, for scikit-learn."""

from ._estimator import LogisticRegression
from ._result import Status

__version__ = "0.1.0"

__all__ = ["LogisticRegression", "Status"]
