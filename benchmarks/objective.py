"""benchopt objective: penalised logistic regression, two classes or softmax."""

from benchmark_utils.data import standardise
from benchmark_utils.problem import Problem
from benchopt import BaseObjective


class Objective(BaseObjective):
    """J and the violation at the points that solvers return; see `benchmark_utils/problem.py` for the formula."""

    name = "Logistic regression"
    min_benchopt_version = "1.10"
    requirements = ["numpy", "scipy", "scikit-learn"]

    parameters = {"C": [1.0, 100.0], "l1_ratio": [0.0, 0.5, 1.0], "standardise": [False]}
    test_config = {"C": 1.0, "l1_ratio": 0.0}

    def skip(self, X, y, reason=None):
        """Data sets that are not here say why."""
        return (X is None), reason

    def set_data(self, X, y, reason=None):
        self.X, self.y = (standardise(X) if self.standardise else X), y
        self.problem = Problem(self.X, y, self.C, self.l1_ratio)

    def get_objective(self):
        return {"X": self.X, "y": self.y, "C": self.C, "l1_ratio": self.l1_ratio}

    def evaluate_result(self, coef, intercept):
        return self.problem.evaluate(coef, intercept)

    def get_one_result(self):
        coef, intercept = self.problem.zero()
        return {"coef": coef, "intercept": intercept}
