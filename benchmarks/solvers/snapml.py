import os

import numpy as np
from benchmark_utils.competitor import MAX_ITER, Competitor, refuse
from scipy import sparse
from snapml import LogisticRegression

# The intercept is a weight of our own constant column (on the primal, snapml 1.17 forgets to return its own), so it is
# penalised like b / BIAS; see scikit_learn.py.  At 100 the dual algorithm no longer converges.
BIAS = 10.0


class Solver(Competitor):
    """Snap ML: parallel coordinate descent, on the dual for L2 (its default) and on the primal for L1."""

    name = "snapml"
    parameters = {"dual": [True, False]}
    requirements = ["pip::snapml"]

    def skip(self, X, y, C, l1_ratio):
        return refuse(
            {
                "snapml has no softmax": y.max() > 1,
                "snapml has no elastic net": 0 < l1_ratio < 1,
                "snapml fits L1 on the primal only": l1_ratio > 0 and self.dual,
            }
        )

    def set_objective(self, X, y, C, l1_ratio):
        super().set_objective(X, y, C, l1_ratio)
        # Not timed, in its favour.
        column = np.full((X.shape[0], 1), BIAS)
        self.with_bias = sparse.csr_matrix(sparse.hstack([X, column])) if sparse.issparse(X) else np.hstack([X, column])

    def fit(self, tol):
        model = LogisticRegression(
            regularizer=1.0 / self.C,
            penalty="l1" if self.l1_ratio else "l2",
            dual=self.dual,
            tol=tol,
            max_iter=MAX_ITER,
            n_jobs=os.cpu_count(),
            random_state=0,
        )
        model.fit(self.with_bias, self.y)
        weights = np.ravel(model.coef_)
        self.coef, self.intercept = weights[:-1], BIAS * weights[-1]
