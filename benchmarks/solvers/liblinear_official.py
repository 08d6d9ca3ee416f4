import numpy as np
from benchmark_utils.competitor import Competitor, refuse
from liblinear.liblinearutil import parameter, problem, train
from scipy import sparse


class Solver(Competitor):
    """LIBLINEAR by its authors, the bias not regularised: trust region Newton for L2, coordinate descent for L1."""

    name = "liblinear-official"
    requirements = ["pip::liblinear-official", "pip::numba"]

    def skip(self, X, y, C, l1_ratio):
        return refuse({"liblinear has no softmax": y.max() > 1, "liblinear has no elastic net": 0 < l1_ratio < 1})

    def set_objective(self, X, y, C, l1_ratio):
        super().set_objective(X, y, C, l1_ratio)
        # Not timed, in its favour: its own reading of a dense array is a Python loop over rows.
        self.csr = sparse.csr_matrix(X)

    def fit(self, tol):
        kind = 0 if self.l1_ratio == 0 else 6
        options = f"-s {kind} -c {self.C!r} -e {tol!r} -B 1 -R -q"
        model = train(problem(self.y.astype(np.float64), self.csr), parameter(options))
        # The model is for the class that comes first in the data.
        sign = 1.0 if model.label[0] == 1 else -1.0
        weights = sign * np.ctypeslib.as_array(model.w, (self.X.shape[1] + 1,))
        self.coef, self.intercept = weights[:-1].copy(), weights[-1]
