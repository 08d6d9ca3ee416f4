"""The cost of one pass, value and gradient of J, against one bare read of X.

The bare read: two threads, each a dot product of its half of the memory with itself, which is bound by memory alone.
Sparse data are compared with one `X @ w` of SciPy, on one thread.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from benchmark_utils.data import generate
from scipy import sparse
from threadpoolctl import ThreadpoolController

from sklearn_logreg._losses import LogLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._sources import make_source

from .timing import interleaved, print_table

N_THREADS = 2


def make_pass(X, y):
    """A function that makes one pass at a point away from zero; the only place here that knows the package's inside."""
    loss = LogLoss()
    source = make_source(X, N_THREADS)
    objective = Objective(source, loss.encode(y == 1), None, loss, ElasticNet(0.0, 1.0 / len(y)), True)
    coef = np.random.default_rng(0).normal(scale=0.01, size=objective.shape)
    return lambda: objective.evaluate(coef)


def make_bare_read(X):
    """A function that reads the memory of X once, in two threads."""
    flat = X.ravel(order="K")
    halves = np.array_split(flat, N_THREADS)
    pool = ThreadPoolExecutor(N_THREADS)
    libraries = ThreadpoolController()

    def read():
        with libraries.limit(limits=1, user_api="blas"):
            list(pool.map(lambda half: np.dot(half, half), halves))

    return read


def measure(n_rows, n_features, density, repeats):
    """Print the cost of a pass for each storage."""
    X, y = generate(n_rows, n_features)
    rows = []
    for dtype in (np.float64, np.float32):
        for order in "CF":
            X_s = np.array(X, dtype=dtype, order=order)
            seconds = interleaved({"pass": make_pass(X_s, y), "read": make_bare_read(X_s)}, repeats)
            rows.append(_row(f"{np.dtype(dtype).name} {order}", X_s.nbytes, seconds))
            del X_s
    del X
    X, y = generate(n_rows, n_features, density=density)
    for dtype in (np.float64, np.float32):
        X_s = sparse.csr_matrix(X, dtype=dtype)
        w = np.random.default_rng(0).normal(size=n_features).astype(dtype)
        seconds = interleaved({"pass": make_pass(X_s, y), "read": lambda X=X_s, w=w: X @ w}, repeats)
        rows.append(
            _row(f"{np.dtype(dtype).name} CSR, density {density}", X_s.data.nbytes + X_s.indices.nbytes, seconds)
        )
    print(f"### One pass, {n_rows} x {n_features}, {N_THREADS} threads\n")
    print_table(["X", "MB", "pass, ms", "bare read (CSR: X @ w), ms", "GB/s read", "pass / read"], rows)


def _row(storage, n_bytes, seconds):
    return [
        storage,
        f"{n_bytes / 1e6:.0f}",
        f"{1e3 * seconds['pass']:.1f}",
        f"{1e3 * seconds['read']:.1f}",
        f"{n_bytes / seconds['read'] / 1e9:.1f}",
        f"{seconds['pass'] / seconds['read']:.2f}",
    ]
