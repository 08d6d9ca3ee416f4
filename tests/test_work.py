"""The work that a fit does: passes on fixed problems, and memory beyond the data."""

import gc
import platform
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from conftest import DATA, assert_optimal, fit_quietly, make_classes
from scipy import sparse

from sklearn_logreg import LogisticRegression, _certificate, _objective
from sklearn_logreg._losses import LogLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._sources import Workspace, _base, _sparse, make_source
from sklearn_logreg._sources._base import BLOCK_BYTES, Source

MIB = 2.0**20
# The design's promise for raw, unscaled data is 5 to 20 passes.
PASSES = 20


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("C", [0.01, 1.0, np.inf])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_passes_do_not_depend_on_units(n, C, n_classes):
    # Units over 12 orders of magnitude, means up to 100 spreads away.
    X, y = make_classes(n, 8, n_classes, seed=60)
    X = (X + np.array([0, 100, 0, -10, 0, 3, 0, 0])) * np.logspace(-6, 6, 8)
    model = LogisticRegression(C=C, random_state=0).fit(X, y)
    assert model.n_iter_[0] <= PASSES
    assert_optimal(model, X, y)


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("n", [1000, 20_000])
def test_passes_with_l1(n, C, l1_ratio):
    X, y = make_classes(n, 20, seed=61)
    model = LogisticRegression(C=C, l1_ratio=l1_ratio, random_state=0).fit(X, y)
    assert model.n_iter_[0] <= PASSES
    assert_optimal(model, X, y)


@pytest.mark.parametrize("C", [1.0, 100.0])
@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
def test_passes_in_the_row_space(C, make):
    X, y = make_classes(60, 1000, seed=62)
    X[np.random.RandomState(0).rand(*X.shape) < 0.7] = 0.0
    assert LogisticRegression(C=C).fit(make(X), y).n_iter_[0] <= 6


def heavy_tails(seed):
    """Many features, in any of which a step may carry rows far to the wrong side."""
    rng = np.random.RandomState(seed)
    X = np.exp(2.0 * rng.normal(size=(200, 60)))
    raw = 0.5 * (X - X.mean(axis=0)) / X.std(axis=0) @ rng.normal(size=(60, 3))
    return X, (raw + rng.gumbel(size=raw.shape)).argmax(axis=1)


def test_passes_on_heavy_tails():
    # Five fits took 649 passes before rows far on the wrong side were given the curvature of a parabola and steps their
    # best length, and 423 since.
    n_passes = 0
    for seed in range(60, 65):
        X, y = heavy_tails(seed)
        model = LogisticRegression(C=100.0).fit(X, y)
        assert_optimal(model, X, y)
        n_passes += model.n_iter_[0]
    assert n_passes <= 520


@pytest.mark.parametrize("C, n_passes", [(0.01, 8), (1.0, 8), (100.0, 9)])
def test_newton_steps_have_their_best_length(C, n_passes, breast_cancer):
    # With steps as Newton's method gives them, which are too short while rows become certain, 9, 10 and 11.
    X, y = breast_cancer
    model = LogisticRegression(C=C).fit(X, y)
    assert_optimal(model, X, y)
    assert model.n_iter_[0] <= n_passes


def test_passes_on_text():
    # Counts with Zipf's frequencies, more features than a Hessian is formed for.
    rng = np.random.RandomState(63)
    X = sparse.csr_matrix(rng.poisson(np.minimum(3.0 / np.arange(1, 2501), 0.3), size=(3200, 2500)).astype(float))
    y = (X @ rng.normal(size=2500) + rng.logistic(size=3200) > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    assert_optimal(model, X, y)
    assert model.n_iter_[0] <= 200


def extra_memory(X, y, sample_weight=None, **options):
    """Bytes that a fit on one thread holds at its peak beyond what there was before it; each thread has workspaces."""
    model = LogisticRegression(random_state=0, n_jobs=1, **options)
    fit_quietly(LogisticRegression(max_iter=1), X[:50], y[:50])  # imports and caches
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        fit_quietly(model, X, y, sample_weight)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def big(n, p, dtype, order="C"):
    """Features drawn in slices, so that no float64 copy is made on the way."""
    rng = np.random.RandomState(64)
    X = np.empty((n, p), dtype=dtype, order=order)
    for start in range(0, n, 10_000):
        X[start : start + 10_000] = np.round(3.0 * rng.normal(size=(min(10_000, n - start), p)))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(np.int8)


@pytest.mark.parametrize("dtype, order", [(np.float64, "C"), (np.float64, "F"), (np.float32, "C"), (np.float32, "F")])
@pytest.mark.parametrize("solver", ["gd", "nesterov", "preconditioned"])
def test_float_data_are_not_copied(dtype, order, solver):
    n = 65_000 if dtype == np.float64 else 130_000
    X, y = big(n, 100, dtype, order)
    # A byte a row for the labels and some vectors of float64; a block, also centred; the sample of rows.
    limit = 0.01 * X.nbytes + 3 * 8 * n + 2 * BLOCK_BYTES + 3 * MIB
    if solver == "preconditioned":
        limit += X[: n // 7].nbytes + 2 * MIB
    assert extra_memory(X, y, solver=solver, max_iter=3) < limit


@pytest.mark.parametrize("dtype", [np.int8, bool, np.float16])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("solver", ["gd", "preconditioned"])
def test_narrow_data_are_converted_block_by_block(dtype, order, solver):
    X, y = big(130_000, 100, dtype, order)
    float_copy = 8.0 * X.size
    fixed = 8 * MIB  # workspaces, whatever the size of X
    sample = 8 * X[: len(X) // 8 + 1].size if solver == "preconditioned" else 0
    assert extra_memory(X, y, solver=solver, max_iter=3) < 0.1 * float_copy + fixed + sample


def test_float16_whose_sum_overflows_is_not_marked_as_a_whole():
    # scikit-learn looks at each entry where the sum is not finite, which takes a byte for each.
    X, y = big(260_000, 100, np.float16)
    X += np.float16(3.0)
    with np.errstate(over="ignore"):
        assert np.isinf(X.sum())
    assert extra_memory(X, y, max_iter=3) < 0.5 * X.size


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("long_indices", [False, True])
def test_csr_is_not_copied(kind, weighted, long_indices):
    rng = np.random.RandomState(65)
    n, p, per_row = 60_000, 500, 40
    indices = np.sort(rng.randint(p, size=(n, per_row)), axis=1)
    indices += np.arange(per_row)  # no duplicates
    index_type = np.int64 if long_indices else np.int32
    parts = (
        rng.rand(n * per_row),
        indices.ravel().astype(index_type),
        np.arange(0, n * per_row + 1, per_row, dtype=index_type),
    )
    X = getattr(sparse, kind)(parts, shape=(n, p + per_row))
    X.indices, X.indptr = X.indices.astype(index_type), X.indptr.astype(index_type)
    X.has_canonical_format = True
    y = (rng.rand(n) < 0.5).astype(int)
    size = X.data.nbytes + X.indices.nbytes
    # A rate of the user's own and no penalty, since 1/L and the certificate take matrices of p^2 entries; some vectors
    # of a number a row are needed.
    options = {"C": np.inf, "solver": "gd", "learning_rate": 0.1, "max_iter": 3}
    found = extra_memory(X, y, np.ones(n) if weighted else None, **options)
    assert found < 0.05 * size + 6 * 8 * n + 4 * MIB
    # With the Hessian that the certificate takes, of 540 features: sparse, dense, centred, and its sum of all blocks.
    hessian = 8 * (p + per_row) ** 2
    assert extra_memory(X, y, **options | {"C": 1.0}) < 0.05 * size + 6 * 8 * n + 4 * MIB + 10 * hessian


SHORT_ROWS = {
    "default": {},
    "L1": {"l1_ratio": 1.0},
    "elastic net": {"l1_ratio": 0.5},
    "no penalty": {"C": np.inf},
    "gd": {"solver": "gd", "max_iter": 3},
    "weighted": {},
    "three classes": {},
    "balanced": {"class_weight": "balanced"},
}


@pytest.mark.parametrize("case", SHORT_ROWS)
def test_of_each_row_a_fit_of_large_data_holds_its_class_in_a_byte(case, monkeypatch):
    # With class weights also its weight, in eight.  Blocks of both sizes have the same number of rows.
    for module in (_objective, _certificate, _base):
        monkeypatch.setattr(module, "SMALL_BYTES", 0)
    monkeypatch.setattr(_sparse, "BLOCK_BYTES", 0)
    used = []
    for n in (400_000, 800_000):
        rng = np.random.RandomState(66)
        start = rng.randint(26, size=n).astype(np.int32)
        indices = start[:, None] + np.arange(5, dtype=np.int32)
        X = sparse.csr_matrix((np.ones(5 * n, np.float32), indices.ravel(), np.arange(0, 5 * n + 1, 5)), shape=(n, 30))
        X.has_canonical_format = True
        n_classes = 3 if case == "three classes" else 2
        y = np.minimum(rng.uniform(size=n) * n_classes * (0.5 + start / 30.0), n_classes - 1.0).astype(int)
        s = rng.uniform(1.0, 2.0, size=n) if case == "weighted" else None
        used.append(extra_memory(X, y, s, **SHORT_ROWS[case]))
    a_row = (used[1] - used[0]) / 400_000
    assert a_row < (9.1 if case == "balanced" else 1.1)


def test_a_hessian_is_not_held_once_a_group_of_blocks():
    # Sums by group keep the order of addition fixed; they must not pile up: at 2000 features each takes 32 MB.
    X, y = big(20_000, 400, np.int8)
    loss = LogLoss()
    objective = Objective(make_source(X), loss.encode(y == 1), None, loss, ElasticNet(0.0, 1e-3), True)
    here = objective.evaluate(np.zeros(objective.shape))
    # Workspaces, which both threads may not all have taken by then.
    for _ in range(3):
        objective.hessian(here).matrix()
    tracemalloc.start()
    try:
        hessian = objective.hessian(here).matrix()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * hessian.nbytes + 8 * MIB


@pytest.mark.parametrize("options", [{}, {"l1_ratio": 1.0}, {"solver": "nesterov", "max_iter": 10}], ids=str)
@pytest.mark.parametrize("on_threads", [False, True])
def test_memory_is_free_as_soon_as_a_fit_ends(on_threads, options, monkeypatch):
    # Where objects refer to each other in a circle, it would be once Python looks for such.
    if on_threads:
        for name, value in {"SMALL_BYTES": 0, "MIN_NANOSECONDS": 0, "MAX_BLOCK_ROWS": 64}.items():
            monkeypatch.setattr(_base, name, value)
    made, shortened = [], []

    def remember(kind):
        init = kind.__init__

        def remembering(self, *args, **options):
            made.append(weakref.ref(self))
            init(self, *args, **options)

        monkeypatch.setattr(kind, "__init__", remembering)

    for kind in (Objective, Source, Workspace):
        remember(kind)
    evaluate, shorten = Objective.evaluate, Objective.shorten

    def evaluate_and_remember(self, coef):
        here = evaluate(self, coef)
        made.append(weakref.ref(here))
        return here

    def count(self, here, there):
        shortened.append(shorten(self, here, there))
        return shortened[-1]

    monkeypatch.setattr(Objective, "evaluate", evaluate_and_remember)
    monkeypatch.setattr(Objective, "shorten", count)
    gc.disable()
    try:
        fit_quietly(LogisticRegression(C=100.0, n_jobs=2, **options), *heavy_tails(60))
        assert len(made) > 4 and not any(object_() for object_ in made)
    finally:
        gc.enable()
    assert any(shortened) or options or on_threads, "the line search is to be among what was run"


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="which memory goes back to the system is the C library's choice"
)
def test_fits_in_a_loop_keep_their_memory():
    # In a process of its own, and on few rows: where any large array has been freed before, glibc keeps memory anyway.
    # Without the piece that is freed at import each fit touches 524 pages anew.
    code = """
import resource
from conftest import load
from sklearn_logreg import LogisticRegression

X, y = load("dermatology")
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    LogisticRegression().fit(X, y)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=DATA.parent, check=True)
    assert int(done.stdout) < 100
