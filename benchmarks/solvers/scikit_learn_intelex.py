from benchmark_utils.competitor import MAX_ITER, Competitor, refuse
from sklearnex.linear_model import LogisticRegression


class Solver(Competitor):
    """scikit-learn-intelex: scikit-learn's lbfgs on oneDAL's loss and gradient."""

    name = "scikit-learn-intelex"
    requirements = ["pip::scikit-learn-intelex"]

    def skip(self, X, y, C, l1_ratio):
        return refuse({"scikit-learn-intelex has no L1 penalty": l1_ratio > 0})

    def fit(self, tol):
        model = LogisticRegression(C=self.C, tol=tol, max_iter=MAX_ITER).fit(self.X, self.y)
        self.coef, self.intercept = model.coef_, model.intercept_
