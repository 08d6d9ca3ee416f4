import numpy as np
from benchmark_utils.competitor import Competitor, refuse
from skglm import SparseLogisticRegression


class Solver(Competitor):
    """skglm: proximal Newton on working sets, compiled at the first fit."""

    name = "skglm"
    requirements = ["pip::skglm"]
    test_config = {"objective": {"l1_ratio": 1.0}}

    def skip(self, X, y, C, l1_ratio):
        return refuse({"skglm has no softmax": y.max() > 1, "skglm is made for L1": l1_ratio == 0})

    def warm_up(self):
        """A full fit of a few rows compiles everything; a loose fit of all of them would not."""
        X, y = self.X, self.y
        rows = np.concatenate([np.flatnonzero(y == label)[:50] for label in (0, 1)])
        self.X, self.y = X[rows], y[rows]
        self.run(1e-6)
        self.X, self.y = X, y

    def fit(self, tol):
        model = SparseLogisticRegression(alpha=self.alpha, l1_ratio=self.l1_ratio, tol=tol, max_iter=1000)
        model.fit(self.X, self.y)
        self.coef, self.intercept = model.coef_, model.intercept_
