from benchmark_utils.competitor import MAX_ITER, Competitor

from sklearn_logreg import LogisticRegression


class Solver(Competitor):
    """This package: the preconditioned solver, and the accelerated textbook algorithm."""

    name = "sklearn_logreg"
    parameters = {"solver": ["preconditioned", "nesterov"]}
    requirements = ["numpy", "scipy", "scikit-learn"]

    def fit(self, tol):
        model = LogisticRegression(C=self.C, l1_ratio=self.l1_ratio, solver=self.solver, tol=tol, max_iter=MAX_ITER)
        model.fit(self.X, self.y)
        self.coef, self.intercept = model.coef_, model.intercept_
