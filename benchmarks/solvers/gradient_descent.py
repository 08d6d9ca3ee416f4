from benchmark_utils.competitor import Competitor
from benchopt.stopping_criterion import SufficientProgressCriterion

from sklearn_logreg import LogisticRegression


class Solver(Competitor):
    """The floor: plain gradient descent on the features as they are, step 1/L, a given number of passes."""

    name = "gradient descent"
    sampling_strategy = "iteration"
    stopping_criterion = SufficientProgressCriterion(strategy="iteration", patience=5)
    requirements = ["numpy", "scipy", "scikit-learn"]

    def get_next(self, n_passes):
        return max(1, 4 * n_passes)

    def warm_up(self):
        self.run(1)

    def fit(self, n_passes):
        model = LogisticRegression(C=self.C, l1_ratio=self.l1_ratio, solver="gd", tol=0.0, max_iter=max(1, n_passes))
        model.fit(self.X, self.y)
        self.coef, self.intercept = model.coef_, model.intercept_
