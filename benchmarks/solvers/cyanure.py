from benchmark_utils.competitor import MAX_ITER, Competitor
from cyanure.estimators import Classifier


class Solver(Competitor):
    """Cyanure: variance-reduced and quasi-Newton proximal methods, chosen by itself; stops at a duality gap."""

    name = "cyanure"
    requirements = ["pip::cyanure"]

    def fit(self, tol):
        penalty = {0.0: "l2", 1.0: "l1"}.get(self.l1_ratio, "elasticnet")
        first, second = self.alpha, 0.0
        if penalty == "elasticnet":
            first, second = self.alpha * self.l1_ratio, self.alpha * (1.0 - self.l1_ratio)
        model = Classifier(
            loss="logistic" if self.n_classes == 2 else "multiclass-logistic",
            penalty=penalty,
            lambda_1=first,
            lambda_2=second,
            fit_intercept=True,
            tol=tol,
            max_iter=MAX_ITER,
            verbose=False,
        )
        model.fit(self.X, self.y)
        self.coef = model.coef_.reshape(self.X.shape[1], -1).T
        self.intercept = model.intercept_.ravel()
