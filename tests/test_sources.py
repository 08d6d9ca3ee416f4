"""Every storage of a tiny matrix times every product, compared with its dense float64 array."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread, main_thread

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from threadpoolctl import threadpool_limits

from sklearn_logreg import LogisticRegression
from sklearn_logreg._losses import LogLoss, SoftmaxLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._sources import DenseSource, Workspace, _base, _dense, _threads, in_precision, make_source
from sklearn_logreg._sources._threads import one_blas_thread

N, P = 37, 6


def base():
    """Quarters: exact in every floating type, so that storages must agree to rounding of the sums alone."""
    rng = np.random.RandomState(0)
    return np.where(rng.rand(N, P) < 0.5, 0.0, rng.randint(-8, 9, size=(N, P)) / 4.0)


def memmap(X, path):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def strided(X):
    wide = np.full((2 * N, 3 * P), 99.0)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def long_indices(X):
    X = sparse.csr_matrix(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": strided,
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "float32": lambda X: X.astype(np.float32),
    "float32 F": lambda X: np.asfortranarray(X.astype(np.float32)),
    "float16": lambda X: X.astype(np.float16),
    "float16 F": lambda X: np.asfortranarray(X.astype(np.float16)),
    "bool": lambda X: X > 0,
    "bool F": lambda X: np.asfortranarray(X > 0),
    "int8": lambda X: (4 * X).astype(np.int8),
    "int64": lambda X: (4 * X).astype(np.int64),
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "coo": sparse.coo_matrix,
    "lil": sparse.lil_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "coo_array": sparse.coo_array,
    "csr float32": lambda X: sparse.csr_matrix(X.astype(np.float32)),
    "csr int8": lambda X: sparse.csr_matrix((4 * X).astype(np.int8)),
    "csr bool": lambda X: sparse.csr_matrix(X > 0),
    "csr 64-bit": long_indices,
}


def stored(name, tmp_path=None):
    """The storage as the estimator hands it on, and the dense array that it must equal."""
    X = memmap(base(), tmp_path / "X.npy") if name == "memmap" else STORAGES[name](base())
    full = np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
    return check_array(X, accept_sparse="csr"), full


def freeze(X):
    """Make any attempt to write into X an error."""
    for part in (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,):
        part.flags.writeable = False
    return X


@pytest.fixture(params=["one block", "three blocks", "a block a row"])
def block_rows(request, monkeypatch):
    """The number of rows in a block."""
    rows = {"one block": N, "three blocks": -(-N // 3), "a block a row": 1}[request.param]

    def use(X):
        # Blocks of sparse rows may be four times as long.
        monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", rows / 4 if sparse.issparse(X) else rows)
        return rows

    return use


def assert_close(actual, expected, source):
    """Sums of 37 rows: a few units in the last place of the working precision."""
    rtol = 1e-6 if source.dtype == np.float32 else 1e-13
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * max(np.abs(expected).max(), 1.0))


@pytest.mark.parametrize("storage", [*STORAGES, "memmap"])
@pytest.mark.parametrize("small_product", [0, np.inf])
def test_products_agree_with_the_dense_array(storage, small_product, block_rows, tmp_path, monkeypatch):
    monkeypatch.setattr(_dense, "SMALL_PRODUCT", small_product)
    X, full = stored(storage, tmp_path)
    rows = block_rows(X)
    source = make_source(freeze(X))
    blocks = [block for group in source.groups for block in group]
    assert len(blocks) == -(-N // rows), "the test means to see this many blocks"
    assert_array_equal(np.concatenate([np.arange(N)[block] for block in blocks]), np.arange(N), "each row once")

    rng = np.random.RandomState(1)
    W = rng.randint(-3, 4, size=(2, P)).astype(float)
    R = rng.normal(size=(2, N))
    for precision in (source, source.in_dtype(np.float32)):
        assert_close(precision.project(W), W @ full.T, precision)
        assert_close(precision.combine(R), R @ full, precision)

    weight, mean = rng.rand(N), rng.rand(P)
    for intercept in (0, 1):
        (gram,) = source.sum_over_blocks(
            lambda X_b, rows, work, intercept=intercept: (source.gram(X_b, weight[rows], mean, intercept, work),)
        )
        Z = np.hstack([full - mean, np.ones((N, intercept))])
        assert_close(gram, Z.T @ (weight[:, None] * Z), source)
        some = np.array([0, P - 1])
        (of_some,) = source.sum_over_blocks(
            lambda X_b, rows, work, intercept=intercept, some=some: (
                source.gram(X_b, weight[rows], mean, intercept, work, features=some),
            )
        )
        there = [*some, *range(P, P + intercept)]
        assert_close(of_some, gram[there][:, there], source)
        (single,) = source.sum_over_blocks(
            lambda X_b, rows, work, intercept=intercept: (
                source.gram(X_b, weight[rows], mean, intercept, work, np.float32),
            )
        )
        assert single.dtype == np.float64, "sums over blocks are in double precision"
        assert_allclose(single, Z.T @ (weight[:, None] * Z), rtol=1e-5, atol=1e-4)

    assert_close(source.row_gram(mean), (full - mean) @ (full - mean).T, source)
    assert_close(source.reach(mean), np.abs(full - mean).max(axis=0), source)


def assert_moments_agree(X, full, weighted):
    source = make_source(freeze(X))
    weight = np.random.RandomState(2).randint(0, 4, size=N).astype(float) if weighted else None
    mean, sd = source.moments(weight)
    expected = np.average(full, axis=0, weights=weight)
    assert_close(mean, expected, source)
    assert_close(sd, np.sqrt(np.average((full - expected) ** 2, axis=0, weights=weight)), source)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", [*STORAGES, "memmap"])
def test_moments_agree_with_the_dense_array(storage, weighted, block_rows, tmp_path):
    X, full = stored(storage, tmp_path)
    block_rows(X)
    assert_moments_agree(X, full, weighted)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", ["C", "F", "float32", "int8", "memmap"])
def test_moments_of_large_data_are_summed_by_pieces(storage, weighted, tmp_path, monkeypatch):
    monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    # Of five rows, and of 64 at least in Fortran order: the last piece of a block is shorter.
    monkeypatch.setattr(_dense, "PIECE_BYTES", 5 * 8 * P)
    assert_moments_agree(*stored(storage, tmp_path), weighted)
    X = np.asarray(np.random.RandomState(3).normal(size=(500, P)), order="F" if storage == "F" else "C")
    mean, sd = make_source(X).moments(None)
    assert_allclose(mean, X.mean(axis=0), rtol=1e-12, atol=1e-14)
    assert_allclose(sd, X.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("storage", STORAGES)
def test_take_and_columns(storage):
    X, full = stored(storage)
    source = make_source(freeze(X))
    rows, columns = np.array([3, 3, 30, 0]), np.array([1, 4])
    assert_close(source.take(rows).project(np.eye(P)), full[rows].T, source)
    found = source.columns(columns)
    assert_close(found.toarray() if sparse.issparse(found) else found, full[:, columns], source)
    assert found.dtype == np.float64, "coordinate descent runs in double precision"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("storage", [*STORAGES, "memmap"])
def test_cost_and_gradient_do_not_depend_on_the_storage(storage, n_classes, block_rows, tmp_path):
    X, full = stored(storage, tmp_path)
    there = evaluation(make_source(full), n_classes)
    block_rows(X)
    source = make_source(freeze(X))
    here = evaluation(source, n_classes)
    assert_close(here.value, there.value, source)
    assert_close(here.gradient, there.gradient, source)
    assert_close(here.violation, there.violation, source)


def evaluation(source, n_classes, n_features=P):
    """The objective with weights and both penalties, at a point of no importance, exact in float32."""
    rng = np.random.RandomState(3)
    loss = LogLoss() if n_classes == 2 else SoftmaxLoss(n_classes)
    codes = np.arange(source.n_rows) % n_classes
    codes = loss.encode(codes == 1) if n_classes == 2 else loss.encode(codes)
    objective = Objective(source, codes, rng.rand(source.n_rows), loss, ElasticNet(0.01, 0.1), True)
    return objective.evaluate(rng.randint(-2, 3, size=(loss.n_outputs, n_features + 1)) / 4.0)


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray, sparse.csr_matrix])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_threads_change_no_digit(make, n_classes, monkeypatch):
    monkeypatch.setattr(_base, "MIN_NANOSECONDS", 0)
    monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", 8)
    rng = np.random.RandomState(0)
    X = make(rng.normal(size=(2000, P)))
    one, two = make_source(X, 1), make_source(X, 2)
    a, b = evaluation(one, n_classes), evaluation(two, n_classes)
    assert [len(one._workspaces), len(two._workspaces)] == [1, 2], "one thread is to be compared with two"
    assert len(two.groups) > 2, "there must be something to share"
    assert a.value == b.value
    assert a.violation == b.violation
    assert_array_equal(a.gradient, b.gradient)


@pytest.mark.parametrize("make", [np.ascontiguousarray, sparse.csr_matrix])
@pytest.mark.parametrize("is_small", [True, False])
def test_threads_start_where_a_pass_over_all_outputs_is_long(make, is_small, monkeypatch):
    monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", 8)
    if not is_small:
        monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    X = make(np.random.RandomState(0).normal(size=(2000, P)))
    sources = [make_source(X, 2, n_outputs) for n_outputs in (1, 10)]
    one, ten = (source.nanoseconds for source in sources)
    assert 1.5 * one < ten <= 10.0 * one, "what comes from memory does so once for all outputs"
    monkeypatch.setattr(_base, "MIN_NANOSECONDS", 0.9 * ten)
    for source, is_short in zip(sources, (True, False), strict=True):
        threads = set()
        source.sum_over_blocks(lambda X_b, rows, work, threads=threads: threads.add(current_thread()) or ())
        assert (threads == {main_thread()}) == is_short


@pytest.mark.parametrize("n_outputs, is_long, n_blocks", [(1, False, 4), (1, True, 2), (3, False, 2), (3, True, 2)])
def test_blocks_are_shorter_where_one_thread_passes_over_one_output(n_outputs, is_long, n_blocks, monkeypatch):
    monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", 20)
    monkeypatch.setattr(_base, "SERIAL_BLOCK_ROWS", 10)
    monkeypatch.setattr(_base, "SERIAL_BLOCK_BYTES", 8 * P)
    monkeypatch.setattr(_base, "MIN_NANOSECONDS", 0 if is_long else np.inf)
    source = make_source(base(), n_outputs=n_outputs)
    assert sum(map(len, source.groups)) == n_blocks


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray])
def test_longer_blocks(make, monkeypatch):
    monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", 8)
    rng = np.random.RandomState(0)
    X = make(rng.normal(size=(2000, P)))
    small = make_source(X)
    assert small.in_longer_blocks(100) is small, "its blocks are kept"
    monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    source = make_source(X)
    R = rng.normal(size=(2, 2000))
    monkeypatch.setattr(_base, "MAX_LONGER", 15)
    for asked, found in ((8, 8), (100, 100), (500, 120)):
        longer = source.in_longer_blocks(asked)
        blocks = [block for group in longer.groups for block in group]
        assert_array_equal(np.concatenate([np.arange(2000)[block] for block in blocks]), np.arange(2000))
        assert max(block.stop - block.start for block in blocks) in (found, found - 2), "of about the same size"
        assert_close(longer.combine(R), R @ X, longer)
        assert longer._workspaces is source._workspaces, "no memory of its own"


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray, sparse.csr_matrix])
def test_an_error_in_a_thread_is_raised_and_the_source_stays_usable(make, monkeypatch):
    monkeypatch.setattr(_base, "MIN_NANOSECONDS", 0)
    monkeypatch.setattr(_base, "MAX_BLOCK_ROWS", 8)
    source = make_source(make(np.ones((2000, P))), 2)

    def fail(X_b, rows, work):
        raise FloatingPointError("block")

    for _ in range(3):
        with pytest.raises(FloatingPointError, match="block"):
            source.sum_over_blocks(fail)
    assert_array_equal(source.combine(np.ones((1, 2000))), np.full((1, P), 2000.0))


@pytest.fixture
def blas_threads():
    """BLAS on two threads, whatever the machine; a function that says on how many it is."""
    libraries = [library for library in _threads._libraries() if library.user_api == "blas"]
    before = [library.num_threads for library in libraries]
    for library in libraries:
        _threads._set_threads(library, 2)
    if any(library.num_threads != 2 for library in libraries):
        pytest.skip("this BLAS has one thread")
    yield lambda: {library.num_threads for library in libraries}
    for library, n_threads in zip(libraries, before, strict=True):
        _threads._set_threads(library, n_threads)


def test_blas_has_one_thread_until_the_last_fit_leaves(blas_threads):
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        first.submit(one_blas_thread.__enter__).result()
        second.submit(one_blas_thread.__enter__).result()
        first.submit(one_blas_thread.__exit__).result()
        assert second.submit(blas_threads).result() == {1}
        second.submit(one_blas_thread.__exit__).result()
        assert second.submit(blas_threads).result() == {2}


def test_a_fit_in_one_thread_leaves_limits_in_others_to_work(blas_threads):
    # threadpoolctl has one thread at a time set the number of OpenBLAS's threads: it must be let go.
    def under(limit):
        with limit:
            return blas_threads()

    with one_blas_thread:
        pass
    with ThreadPoolExecutor(1) as other:
        assert other.submit(under, one_blas_thread).result() == {1}
        assert other.submit(lambda: under(threadpool_limits(1))).result() == {1}
    assert under(one_blas_thread) == {1}
    assert blas_threads() == {2}


def test_a_limit_that_is_not_ours_is_not_lifted(blas_threads):
    with threadpool_limits(1):
        with one_blas_thread:
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_blas_is_restored_after_an_error(blas_threads):
    with pytest.raises(FloatingPointError), one_blas_thread:
        raise FloatingPointError
    assert blas_threads() == {2}


@pytest.mark.parametrize("solver", ["preconditioned", "gd"])
@pytest.mark.parametrize("shape", [(200, 5), (30, 50)])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_whoever_reads_small_data_finds_blas_on_one_thread(blas_threads, monkeypatch, shape, l1_ratio, solver):
    # The means of 72 x 7129 on two threads took eighteen times as long beside a busy process.  The learning rate is too
    # large: the message after the fit names the largest that is stable, for which X is read again.
    seen, block = set(), DenseSource.block
    monkeypatch.setattr(DenseSource, "block", lambda *args: seen.update(blas_threads()) or block(*args))
    X = np.random.RandomState(0).normal(size=shape)
    model = LogisticRegression(l1_ratio=l1_ratio, solver=solver, max_iter=50)
    if solver == "gd":
        model.set_params(learning_rate=1e6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, X[:, 0] > 0.0)
    assert seen == {1}


@pytest.mark.parametrize("sparse_format", ["matrix", "array"])
def test_csr_blocks_are_views(sparse_format):
    # The entries of X must not be copied, neither as a whole nor block by block; 64-bit indices included.
    for indices in (np.int32, np.int64):
        X = (sparse.csr_matrix if sparse_format == "matrix" else sparse.csr_array)(base())
        X.indices, X.indptr = X.indices.astype(indices), X.indptr.astype(indices)
        source = make_source(X)
        X_b = source.block(source.groups[0][0], Workspace())
        assert np.shares_memory(X_b.data, X.data)
        assert np.shares_memory(X_b.indices, X.indices)


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.parametrize("storage", ["C", "F", "int8", "csr", "float32", "csr float32"])
def test_a_source_in_single_precision_reads_the_same_rows(storage, is_small, monkeypatch):
    if not is_small:
        monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    X, full = stored(storage)
    source = make_source(X)
    single = source.in_dtype(np.float32)
    assert (single is source) == (source.dtype == np.float32), "there is nothing to convert"
    rows, work = single.groups[0][0], Workspace()
    block = single.dense(single.block(rows, work), work)
    assert block.dtype == np.float32
    assert_array_equal(block, full[rows])
    assert source.dense(source.block(rows, work), work).dtype == source.dtype, "the other stays as it was"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_data_are_converted_once(dtype):
    # With the rows along the fast axis; what has that order already is not copied.
    for X in (base().astype(dtype), np.asfortranarray(base().astype(dtype))):
        source = make_source(X)
        first, again = (source.block(source.groups[0][0], Workspace()) for _ in range(2))
        assert first is again and first.flags.f_contiguous
        assert np.shares_memory(first, X) == X.flags.f_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_are_read_as_is_faster(dtype, n_classes, monkeypatch):
    monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    monkeypatch.setattr(_dense, "PIECE_BYTES", 5 * 8 * P)
    X = freeze(np.tile(base().astype(dtype), (2, 1)))
    copied, predict = DenseSource._copied, DenseSource.predict
    now, found = 0.0, []

    def copy(self, rows, work):
        nonlocal now
        now += 1.0
        return copied(self, rows, work)

    def multiply(self, W, X_b, work):
        nonlocal now
        now += of_memory if np.shares_memory(X_b, X) else 0.0
        return predict(self, W, X_b, work)

    monkeypatch.setattr(_dense, "perf_counter", lambda: now)
    monkeypatch.setattr(DenseSource, "_copied", copy)
    monkeypatch.setattr(DenseSource, "predict", multiply)
    for of_memory in (0.5, 2.0):
        source = make_source(X)
        X_b = source.block(source.groups[0][0], Workspace())
        assert np.shares_memory(X_b, X) == (of_memory < 1.0)
        here = evaluation(source, n_classes)
        gram = source.gram(X_b, np.ones(len(X_b)), X.mean(axis=0), True, Workspace())
        found.append((here.value, here.gradient, gram))
    for from_memory, from_copy in zip(*found, strict=True):
        assert_close(from_memory, from_copy, source)


def unaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)
    out = raw[1:].view(X.dtype).reshape(X.shape)
    out[:] = X
    return out


NOT_IN_PLACE = {
    **{name: STORAGES[name] for name in ("F", "strided", "reversed", "int8", "float16")},
    "padded": lambda X: np.hstack([X, X])[:, :P],
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "rows reversed": lambda X: X[::-1].copy()[::-1],
    "unaligned": unaligned,
}


@pytest.mark.parametrize("storage", NOT_IN_PLACE)
def test_rows_that_no_product_reads_as_they_are_are_copied(storage, monkeypatch):
    monkeypatch.setattr(_base, "SMALL_BYTES", 0)
    monkeypatch.setattr(_dense, "PIECE_BYTES", 8 * P)
    monkeypatch.setattr(_dense, "perf_counter", lambda: pytest.fail("there is nothing to find out"))
    X = NOT_IN_PLACE[storage](base())
    source = make_source(X)
    X_b = source.block(source.groups[0][0], Workspace())
    assert not np.shares_memory(X_b, X)


@pytest.mark.parametrize(
    "make",
    [
        np.ascontiguousarray,
        sparse.csr_matrix,
        lambda X: X.astype(np.float32),
        lambda X: sparse.csr_matrix(X.astype(np.float32)),
    ],
    ids=["dense", "csr", "float32", "float32 csr"],
)
@pytest.mark.parametrize("shape", [(50, 4), (4, 50), (50, 40)])
@pytest.mark.parametrize("intercept", [0, 1])
def test_largest_eigenvalue_is_never_below_the_exact_one(make, shape, intercept):
    # With max_gram = 20: the features' matrix, the rows' matrix, and the bound.
    rng = np.random.RandomState(0)
    X = make(rng.normal(size=shape))
    full = np.asarray(X.toarray() if sparse.issparse(X) else X, float)
    s = rng.rand(shape[0])
    Z = np.hstack([full, np.ones((len(full), intercept))])
    exact = np.linalg.eigvalsh(Z.T @ (s[:, None] * Z))[-1]
    found = make_source(X).largest_eigenvalue(s, 1.0, intercept, 20)
    assert exact <= found <= (1.0 + 1e-5 if min(shape) <= 20 else 20.0) * exact


def test_bound_on_the_eigenvalue_is_sharp_for_positive_features():
    # Perron: for a positive matrix the bound of Collatz tends to the largest eigenvalue itself.
    rng = np.random.RandomState(0)
    X = sparse.random(300, 60, 0.2, format="csr", random_state=rng)
    exact = np.linalg.eigvalsh(X.toarray().T @ X.toarray())[-1]
    found = make_source(X).largest_eigenvalue(None, 1.0, 0, 10)
    assert exact <= found <= 1.1 * exact


@pytest.mark.parametrize("added", [1, 7, 2**16])
@pytest.mark.parametrize("whole", [False, True])
def test_rows_at_shares_of_the_weight(whole, added, monkeypatch):
    # Between two rows rounding may decide, but never for a row without weight, nor beyond the last.
    monkeypatch.setattr(_base, "ADDED", added)
    rng = np.random.RandomState(0)
    weight = rng.randint(0, 3, size=100).astype(float)
    weight[[0, 50, -1]] = 0.0
    weight *= 1.0 if whole else 0.1
    positions = np.append((np.arange(40) + rng.uniform(size=40)) / 40, [0.0, 1.0 - 1e-12])
    rows = _base.rows_at(positions, weight)
    ends = np.cumsum(weight)
    assert np.all(weight[rows] > 0.0)
    assert_array_equal(rows[:40], np.searchsorted(ends, positions[:40] * ends[-1], side="right"))
    assert rows[-2:].tolist() == np.flatnonzero(weight)[[0, -1]].tolist()


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_matrix])
def test_moments_of_features_far_from_zero(storage):
    # Sums of squares about zero would lose every digit of a spread of 1 at a mean of 1e8.
    rng = np.random.RandomState(0)
    X = rng.normal(size=(500, 3))
    mean, sd = make_source(storage(X + 1e8)).moments(None)
    assert_allclose(mean, 1e8 + X.mean(axis=0), rtol=1e-15)
    assert_allclose(sd, X.std(axis=0), rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_a_sparse_feature_far_from_zero_where_it_is_present(weighted):
    # One column has nearly all of its weight far from zero, which is summed about its mean; others are absent, or rare.
    rng = np.random.RandomState(1)
    full = np.zeros((4000, 3))
    full[:-1, 0] = 100.0 + rng.normal(size=3999)
    full[::500, 1] = rng.normal(size=8)
    weight = rng.uniform(size=4000) if weighted else None
    mean, sd = make_source(sparse.csr_matrix(full)).moments(weight)
    expected = np.average(full, axis=0, weights=weight)
    assert_allclose(mean, expected, rtol=1e-13)
    assert_allclose(sd, np.sqrt(np.average((full - expected) ** 2, axis=0, weights=weight)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_hessian_of_sparse_features_far_from_zero_keeps_its_digits(dtype):
    # Means of 300 standard deviations: sums of squares of 1e5, of which the spread is 1.
    full = (300.0 + np.random.RandomState(0).normal(size=(2000, 40))).astype(dtype).astype(float)
    source, mean = make_source(sparse.csr_matrix(full.astype(dtype))), full.mean(axis=0)
    assert source.prefers_dense
    h = np.full(len(full), 0.2)
    (gram,) = source.sum_over_blocks(lambda X_b, rows, work: (source.gram(X_b, h[rows], mean, 0, work),))
    # In double precision, whatever that of the data.
    assert_allclose(gram, 0.2 * (full - mean).T @ (full - mean), rtol=1e-8, atol=1e-5)


def test_no_subnormal_number_enters_a_product_in_single_precision():
    A = np.array([1.0, -1e-18, 1e-30, -1e-40, 0.0])
    assert in_precision(A, np.float64) is A
    np.testing.assert_array_equal(in_precision(A, np.float32), np.float32([1.0, -1e-18, 1e-30, 0.0, 0.0]))
    np.testing.assert_array_equal(
        in_precision(A, np.float32, is_squared=True), np.float32([1.0, -1e-18, 0.0, 0.0, 0.0])
    )
