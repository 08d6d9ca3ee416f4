"""What compiled code alone takes of a fit: the passes, Hessians and products that it made, as bare library calls.

A pass is two products with X, one exponential and one logarithm a row; the length of a step half of that; a Hessian is
a product of a matrix with its own transpose, in single or double precision as the fit took it, from rows made dense
beforehand unless fewer than a tenth of their entries are there; a product with the Hessian is two products with X.  All
on one thread.  Coordinate descent (scikit-learn's) is timed where it is called.

Not counted: validation, moments, what products with a Hessian begin with, the tilt of the certificate, models of L1 on
the working set but for coordinate descent, factors, and all of the interpreter.
"""

from collections import Counter
from time import perf_counter
from unittest.mock import patch

import numpy as np
from benchmark_utils.data import load
from scipy import sparse
from threadpoolctl import threadpool_limits

from sklearn_logreg import LogisticRegression
from sklearn_logreg._curvature import Hessian
from sklearn_logreg._objective import Objective
from sklearn_logreg._preconditioner import _lasso

from .timing import interleaved, print_table

HESSIANS = {np.float32: "single Hessians", np.float64: "double Hessians"}
KINDS = ["passes", *HESSIANS.values(), "products", "coordinate descent"]
# Rows made dense at a time, as much as stays in cache.
PIECE = 2**17


def measure(names, Cs, l1_ratios, repeats):
    """Print the share of bare library calls in a fit of each problem."""
    data = ((name, *load(name)) for name in names)
    rows = [row(*d, C, l1_ratio, repeats) for d in data if d[-1].max() == 1 for C in Cs for l1_ratio in l1_ratios]
    print("### Bare library calls in a fit, milliseconds\n")
    print_table(["data", "C", "l1_ratio", *KINDS, "together", "fit", "share"], rows)


def row(name, X, y, C, l1_ratio, repeats):
    """Of one problem: how often and how long, of each kind; all of them; the fit; their share."""
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, random_state=0)
    counts, descent = count(model, X, y)
    fit = interleaved({"fit": lambda: model.fit(X, y)}, repeats)["fit"]
    with threadpool_limits(1, "blas"):
        seconds = interleaved(bare(X, counts), repeats)
    if descent:
        counts["coordinate descent"], seconds["coordinate descent"] = len(descent), sum(descent) / len(descent)
    total = sum(counts[kind] * seconds[kind] for kind in counts)
    cells = [f"{counts[kind]:.1f} x {1e3 * seconds[kind]:.2f}" if kind in counts else "" for kind in KINDS]
    return [name, f"{C:g}", f"{l1_ratio:g}", *cells, f"{1e3 * total:.1f}", f"{1e3 * fit:.1f}", f"{total / fit:.0%}"]


def count(model, X, y):
    """How often a fit reads X for each kind, samples counting by their rows; seconds of each coordinate descent."""
    counts, descent, enet_path = Counter(), [], _lasso.enet_path
    evaluate, lengthen, matrix, product = Objective.evaluate, Objective.lengthen, Hessian.matrix, Hessian.product

    def passes(self, coef):
        counts["passes"] += self.source.n_rows / X.shape[0]
        return evaluate(self, coef)

    def lengths(self, here, step):
        counts["passes"] += 0.5 * self.source.n_rows / X.shape[0]
        return lengthen(self, here, step)

    def hessians(self, dtype=np.float64, free=None):
        counts[HESSIANS[dtype]] += self.objective.source.n_rows / X.shape[0]
        return matrix(self, dtype, free)

    def products(self, step):
        counts["products"] += self.objective.source.n_rows / X.shape[0]
        return product(self, step)

    def timed(*args, **kwargs):
        start = perf_counter()
        result = enet_path(*args, **kwargs)
        descent.append(perf_counter() - start)
        return result

    model.fit(X, y)  # once without, so that nothing is cold
    with (
        patch.multiple(Objective, evaluate=passes, lengthen=lengths),
        patch.multiple(Hessian, matrix=hessians, product=products),
        patch.object(_lasso, "enet_path", timed),
    ):
        model.fit(X, y)
    return counts, descent


def bare(X, counts):
    """The library calls of each of KINDS that was counted."""
    n, p = X.shape
    rng = np.random.default_rng(0)
    w, r, out = rng.normal(size=p), rng.normal(size=n), np.empty(n)
    XT = X.T

    def products():
        return X @ w, XT @ r

    def passes():
        products()
        np.log1p(np.exp(np.negative(np.abs(r, out=out), out=out), out=out), out=out)

    def hessians(dtype):
        if not sparse.issparse(X):
            pieces = [np.asfortranarray(X, dtype)]
        elif X.nnz <= 0.1 * n * p:
            pieces = [X.astype(dtype)]
        else:
            step = max(PIECE // p, 64)
            pieces = [X[start : start + step].astype(dtype).toarray() for start in range(0, n, step)]
        return lambda: [Z.T @ Z for Z in pieces]

    calls = {"passes": passes, "products": products}
    calls |= {kind: hessians(dtype) for dtype, kind in HESSIANS.items() if kind in counts}
    return {kind: calls[kind] for kind in counts}
