from benchmark_utils.competitor import MAX_ITER, Competitor, refuse
from glum import GeneralizedLinearRegressor


class Solver(Competitor):
    """glum: iteratively reweighted least squares, with coordinate descent for L1."""

    name = "glum"
    requirements = ["pip::glum"]

    def skip(self, X, y, C, l1_ratio):
        return refuse({"glum has no softmax": y.max() > 1})

    def fit(self, tol):
        model = GeneralizedLinearRegressor(
            family="binomial", alpha=self.alpha, l1_ratio=self.l1_ratio, gradient_tol=tol, max_iter=MAX_ITER
        )
        model.fit(self.X, self.y)
        self.coef, self.intercept = model.coef_, model.intercept_
