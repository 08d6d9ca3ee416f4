"""Logistic regression by batch gradient descent, for scikit-learn."""

from ._display import LossCurveDisplay
from ._estimator import LogisticRegression
from ._result import Status
from ._separation import Separation, SeparationWarning, separation

__version__ = "0.1.0"

__all__ = [
    "LogisticRegression",
    "LossCurveDisplay",
    "Separation",
    "SeparationWarning",
    "Status",
    "separation",
]
