"""J, its gradient, curvature and violation against the formulas written out in plain NumPy."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from conftest import cost, dense, gradient, violation
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize_scalar

from sklearn_logreg import _curvature, _objective
from sklearn_logreg._losses import LogLoss, SoftmaxLoss
from sklearn_logreg._objective import Objective
from sklearn_logreg._penalties import ElasticNet
from sklearn_logreg._sources import make_source


class Problem:
    """An objective, and the same problem as the formulas of conftest take it."""

    def __init__(self, X, y, sample_weight=None, C=2.0, l1_ratio=0.3, fit_intercept=True, softmax=False):
        self.X, self.y, self.s, self.C, self.l1_ratio, self.fit_intercept = (
            X,
            y,
            sample_weight,
            C,
            l1_ratio,
            fit_intercept,
        )
        self.classes = np.unique(y)
        k = len(self.classes)
        loss = SoftmaxLoss(k) if softmax or k > 2 else LogLoss()
        codes = loss.encode(y if softmax or k > 2 else y == self.classes[1])
        S = X.shape[0] if sample_weight is None else sample_weight.sum()
        penalty = ElasticNet(l1_ratio / (C * S), (1.0 - l1_ratio) / (C * S))
        self.objective = Objective(
            make_source(X, n_outputs=loss.n_outputs), codes, sample_weight, loss, penalty, fit_intercept
        )
        self.shape = self.objective.shape

    def parts(self, coef):
        W = coef[:, : self.X.shape[1]]
        return W, coef[:, self.X.shape[1] :].sum(axis=1)

    def cost(self, coef):
        return cost(self.X, self.y, self.s, self.C, self.l1_ratio, *self.parts(coef), self.classes)

    def gradient(self, coef):
        g, g_b = gradient(self.X, self.y, self.s, self.C, self.l1_ratio, *self.parts(coef), self.classes)
        return np.column_stack([g, g_b]) if self.fit_intercept else g

    def violation(self, coef):
        W, b = self.parts(coef)
        return violation(self.X, self.y, self.s, self.C, self.l1_ratio, self.fit_intercept, W, b, self.classes)


def make_problem(n_classes=2, storage="dense", weighted=True, n=80, p=5, **options):
    """Features of units 1e-3 to 1e3, one constant, far from zero where dense."""
    rng = np.random.RandomState(0)
    X = (rng.normal(size=(n, p)) + 3.0) * np.logspace(-3, 3, p)
    X[:, 1] = 2.5
    if storage == "sparse":
        X = sparse.csr_matrix(np.where(rng.rand(n, p) < 0.6, 0.0, X))
    y = np.arange(n) % n_classes
    s = rng.randint(0, 4, size=n).astype(float) if weighted else None
    return Problem(X, y, s, **options)


def point(problem, seed=0):
    """Coefficients of the size of an optimum, some exactly zero."""
    rng = np.random.RandomState(seed)
    coef = rng.normal(size=problem.shape)
    coef[:, : problem.X.shape[1]] /= np.sqrt(np.mean(dense(problem.X) ** 2, axis=0))
    coef[:, 0] = 0.0
    return coef


every_problem = pytest.mark.parametrize(
    "options",
    [
        {"n_classes": n_classes, "storage": storage, "weighted": weighted, "fit_intercept": fit_intercept, **penalty}
        for n_classes in (2, 3)
        for storage in ("dense", "sparse")
        for weighted in (False, True)
        for fit_intercept in (False, True)
        for penalty in ({"C": np.inf}, {"C": 0.5, "l1_ratio": 0.0}, {"C": 0.5, "l1_ratio": 0.4})
    ],
    ids=lambda options: "-".join(f"{value}" for value in options.values()),
)


@every_problem
def test_value_gradient_and_violation(options):
    problem = make_problem(**options)
    for coef in point(problem), np.zeros(problem.shape):
        here = problem.objective.evaluate(coef)
        assert_array_equal(here.coef, coef, "float64 coefficients are not rounded")
        assert_allclose(here.value, problem.cost(coef), rtol=1e-13)
        expected = problem.gradient(coef)
        assert_allclose(here.gradient, expected, rtol=1e-11, atol=1e-14 * np.abs(expected).max())
        assert_allclose(here.violation, problem.violation(coef), rtol=1e-10)


@every_problem
def test_gradient_is_the_derivative_of_the_value(options):
    problem = make_problem(**options)
    coef = point(problem)
    smooth_gradient = problem.objective.evaluate(coef).gradient
    l1 = problem.objective.penalty.l1
    for index in np.ndindex(*problem.shape):
        is_weight = index[1] < problem.X.shape[1]
        if is_weight and coef[index] == 0.0:
            continue  # the L1 part has no derivative there
        h = 1e-3 * max(abs(coef[index]), 1e-3 / problem.objective.scale[index[1]] if is_weight else 1.0)

        def value(t, index=index):
            moved = coef.copy()
            moved[index] += t
            return problem.objective.evaluate(moved).value

        stencil = (8.0 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12.0 * h)
        expected = smooth_gradient[index] + (l1 * np.sign(coef[index]) if is_weight else 0.0)
        # The stencil loses digits of J when it divides by h.
        assert_allclose(stencil, expected, rtol=1e-8, atol=1e-13 / h)


@pytest.mark.parametrize("n_classes, softmax", [(2, False), (2, True), (3, True)])
@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_curvature_by_a_five_point_stencil(n_classes, softmax, storage, weighted, fit_intercept, monkeypatch):
    # The Hessian of the mean loss in standardised coordinates is the derivative of its gradient there.
    monkeypatch.setattr(_curvature, "BETWEEN_ENTRIES", 60)  # so that a block takes several parts
    problem = make_problem(
        n_classes, storage, weighted, fit_intercept=fit_intercept, softmax=softmax, C=np.inf, l1_ratio=0.0
    )
    objective, coef = problem.objective, point(problem)
    full = dense(problem.X)
    share = (np.ones(len(full)) if problem.s is None else problem.s) / objective.total_weight
    mean = share @ full * fit_intercept
    scale = np.sqrt(share @ (full - mean) ** 2)
    scale[scale < 1e-10] = 1.0
    Z = np.hstack([(full - mean) / scale, np.ones((len(full), int(fit_intercept)))])

    def standardised_gradient(u):
        W, b = u[:, : full.shape[1]] / scale, u[:, full.shape[1] :].sum(axis=1)
        g, g_b = gradient(
            full, problem.y, problem.s, np.inf, 0.0, W, b - W @ mean if fit_intercept else 0.0 * b, problem.classes
        )
        g = (g - g_b[:, None] * mean) / scale
        return np.column_stack([g, g_b]).ravel() if fit_intercept else g.ravel()

    u, h = objective.standardise(coef), 1e-3
    H = np.empty((coef.size, coef.size))
    for j in range(coef.size):
        e = np.zeros(coef.size)
        e[j] = h
        e = e.reshape(coef.shape)
        near = standardised_gradient(u + e) - standardised_gradient(u - e)
        far = standardised_gradient(u + 2 * e) - standardised_gradient(u - 2 * e)
        H[j] = (8.0 * near - far) / (12.0 * h)
    here = objective.evaluate(coef)
    assert Z.shape[1] * problem.shape[0] == len(H)
    for at in (here, replace(here, raw=None)):
        # Of large data, raw predictions are not kept, but computed again.
        assert_allclose(objective.hessian(at, exact=True).matrix(), H, atol=1e-10)
        single = objective.hessian(at, exact=True).matrix(dtype=np.float32)
        assert_allclose(single, H, atol=1e-5)
        of_classes = np.einsum("kikj->kij", H.reshape(*coef.shape, *coef.shape))
        assert_allclose(objective.hessian(at, exact=True).class_blocks(), of_classes, atol=1e-10)
        if len(coef) > 1:
            together = single.reshape(*coef.shape, *coef.shape).sum(axis=2)
            assert_allclose(together, 0.0, atol=1e-15, err_msg="J is flat where all classes move together")
        # On some entries, and of a second class none.
        free = np.random.RandomState(0).uniform(size=coef.shape) < 0.6
        free[1:2] = False
        if len(coef) == 1:
            free[:, objective.n_features :] = True
        part = H[free.ravel()][:, free.ravel()]
        assert 0 < len(part) < len(H)
        assert_allclose(objective.hessian(at, exact=True).matrix(free=free), part, atol=1e-10)
        assert_allclose(objective.hessian(at, exact=True).matrix(dtype=np.float32, free=free), part, atol=1e-5)
    # The same without forming it, and with the penalty.
    H += np.diag(objective.l2.ravel())
    for limit in (_objective.SMALL_BYTES, 0):
        # Of millions of rows, curvatures are computed again for every product.
        monkeypatch.setattr("sklearn_logreg._objective.SMALL_BYTES", limit)
        here = objective.evaluate(coef)
        for methods in permutations(("product", "diagonal", "of_intercepts")):
            # Whichever looks first leaves to the others what it found.
            hessian = objective.hessian(here, exact=True)
            for method in methods:
                if method == "product":
                    columns = [hessian.product(e.reshape(coef.shape)).ravel() for e in np.eye(len(H))]
                    assert_allclose(np.array(columns), H, atol=1e-10)
                elif method == "diagonal":
                    diagonal = hessian.diagonal()
                    assert_allclose(diagonal.ravel(), np.diagonal(H), atol=1e-10)
                elif objective.fit_intercept:
                    last = np.arange(len(H)).reshape(coef.shape)[:, -1]
                    assert_allclose(hessian.of_intercepts(), H[np.ix_(last, last)], atol=1e-12)
    if objective.fit_intercept:
        # In standardised coordinates all features have about the curvature of the intercept.
        rough = objective.hessian(here, exact=True).diagonal(of_features=False)
        mean = np.broadcast_to(diagonal[:, -1:], rough.shape)
        assert_allclose(rough - objective.l2, mean, rtol=1e-10)


def largest_curvature(problem, coef, h=1e-5):
    """Largest eigenvalue of the Hessian of the smooth part of J in the coordinates of the features."""
    rows = []
    for j in range(coef.size):
        e = np.zeros(coef.size)
        e[j] = h
        e = e.reshape(coef.shape)
        rows.append((problem.gradient(coef + e) - problem.gradient(coef - e)).ravel() / (2.0 * h))
    H = np.array(rows)
    return np.linalg.eigvalsh((H + H.T) / 2.0)[-1]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("max_gram", [1000, 1])
def test_lipschitz_bound_holds_and_is_reached(n_classes, weighted, fit_intercept, max_gram, monkeypatch):
    # max_gram = 1 forces the bound for large data, which need not be sharp.
    monkeypatch.setattr(_objective, "MAX_GRAM", max_gram)
    rng = np.random.RandomState(1)
    X, y = rng.normal(size=(40, 4)) + 1.0, np.arange(40) % n_classes
    s = rng.randint(0, 4, size=40).astype(float) if weighted else None
    # An intercept has no penalty, so that the bound is sharp only if there is next to none.
    problem = Problem(X, y, s, fit_intercept=fit_intercept, C=1e6 if fit_intercept else 0.1, l1_ratio=0.3)
    bound = problem.objective.lipschitz()
    for seed in range(5):
        coef = rng.normal(size=problem.shape) * 0.3**seed
        assert largest_curvature(problem, coef) <= bound * (1.0 + 1e-8)
    if max_gram > 1:
        # Reached where every row has two classes of probability 1/2: at zero; for softmax with the third ruled out,
        # which takes an intercept.
        coef = np.zeros(problem.shape)
        if n_classes == 2 or fit_intercept:
            if n_classes > 2:
                coef[2, -1] = -50.0
            assert_allclose(largest_curvature(problem, coef), bound, rtol=1e-6)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_an_evaluation_reads_every_row_once(storage, monkeypatch):
    problem = make_problem(3, storage)
    source, read = problem.objective.source, []
    original = source.block
    monkeypatch.setattr(source, "block", lambda rows, work: read.append(np.arange(80)[rows]) or original(rows, work))
    problem.objective.evaluate(point(problem))
    assert_array_equal(np.concatenate(read), np.arange(80))


def test_standardised_coordinates_are_the_same_function():
    # J in standardised coordinates, with u = sd w and c = b + mean.w, on standardised features.
    problem = make_problem(3, C=np.inf)
    objective, coef = problem.objective, point(problem)
    u = objective.standardise(coef)
    Z = (problem.X - objective.mean) / objective.scale
    there = cost(Z, problem.y, problem.s, np.inf, 0.0, u[:, :-1], u[:, -1], problem.classes)
    assert_allclose(there, problem.cost(coef), rtol=1e-13)
    # and its gradient by the chain rule
    g, g_b = gradient(Z, problem.y, problem.s, np.inf, 0.0, u[:, :-1], u[:, -1], problem.classes)
    found = objective.standardise_gradient(objective.evaluate(coef).gradient)
    assert_allclose(found, np.column_stack([g, g_b]), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_standardise_and_back(fit_intercept):
    rng = np.random.RandomState(0)
    X = (rng.normal(size=(50, 4)) + 1.0) * np.array([1e-8, 1.0, 1e8, 0.0])
    objective = Problem(X, np.arange(50) % 3, fit_intercept=fit_intercept).objective
    units = np.array([1e-8, 1.0, 1e8, 1.0, 1.0])[: objective.shape[1]]
    coef = rng.normal(size=objective.shape) / units
    before = coef.copy()
    assert_allclose(objective.unstandardise(objective.standardise(coef)), coef, rtol=1e-13, atol=1e-14)
    assert_array_equal(coef, before, "the argument is not changed")
    # Steps and gradients are dual: their product, a change of J, has no units.
    step, slope = rng.normal(size=objective.shape) / units, rng.normal(size=objective.shape) * units
    slope[:, 3] = 0.0  # as every gradient of the mean loss has it where a feature is zero throughout
    product = np.vdot(objective.standardise(step), objective.standardise_gradient(slope))
    assert_allclose(product, np.vdot(step, slope), rtol=1e-10)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_rows_in_standardised_coordinates(storage, n_classes, fit_intercept, monkeypatch):
    # Their inner products over some of them, copied in two pieces; and how far a direction moves what they predict.
    monkeypatch.setattr(_objective, "BLOCK_BYTES", 2400)
    problem = make_problem(n_classes, storage, n=120, fit_intercept=fit_intercept)
    objective, X = problem.objective, dense(problem.X)
    Z = np.hstack([(X - objective.mean) / objective.scale, np.ones((120, int(fit_intercept)))])
    some = np.arange(0, 120, 2)
    assert_allclose(objective.gram(some), Z[some].T @ Z[some] / 60, rtol=1e-9, atol=1e-9)
    direction = np.random.RandomState(1).normal(size=Z.shape[1])
    expected = problem.s @ (Z @ direction) ** 2 / problem.s.sum()
    assert_allclose(objective.mean_square_along(direction), expected, rtol=1e-9)


def test_moments_are_weighted():
    problem = make_problem(2)
    repeated = np.repeat(problem.X, problem.s.astype(int), axis=0)
    assert_allclose(problem.objective.mean, repeated.mean(axis=0), rtol=1e-14)
    expected = repeated.std(axis=0)
    expected[1] = 1.0  # a constant column has scale 1
    assert_allclose(problem.objective.scale, expected, rtol=1e-12)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_sample_draws_in_proportion_to_weight(storage):
    # A row of weight 2 is drawn like the same row twice, one of weight 0 never.
    weighted = make_problem(3, storage)
    times = weighted.s.astype(int)
    rows = np.repeat(np.arange(80), times)
    repeated = Problem(weighted.X[rows], weighted.y[rows])
    a = weighted.objective.sample(40, np.random.RandomState(5))
    b = repeated.objective.sample(40, np.random.RandomState(5))
    assert_array_equal(dense(a.source.X), dense(b.source.X))
    assert_array_equal(a.codes, b.codes)
    zero_weight = {tuple(row) for row in dense(weighted.X)[times == 0] if row.any()}
    assert zero_weight, "there are rows that must not be drawn"
    assert not zero_weight & {tuple(row) for row in dense(a.source.X)}
    assert_allclose(a.penalty.l1, b.penalty.l1 * 80 / len(rows), rtol=1e-12)


def test_sample_has_the_same_penalty_on_the_sum():
    # The same C: as many rows fewer, as much more penalty a row.
    problem = make_problem(2, weighted=False, C=0.01, l1_ratio=1.0)
    sample = problem.objective.sample(20, np.random.RandomState(0))
    assert_allclose(sample.penalty.l1, 4.0 * problem.objective.penalty.l1, rtol=1e-15)


def test_a_sample_holds_every_feature_back():
    # As one row of the largest curvature at its reach would: a rare feature is seen in one class alone.
    problem = make_problem(2, weighted=False, C=np.inf, l1_ratio=0.0)
    sample = problem.objective.sample(20, np.random.RandomState(0))
    reach = np.abs(sample.source.X - problem.X.mean(axis=0)).max(axis=0)
    assert_allclose(sample.penalty.l2, LogLoss.curvature_bound * reach**2 / 20, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_largest_number_of_a_generator_draws_the_last_row(weighted):
    class Largest:
        def uniform(self, size):
            return np.full(size, np.nextafter(1.0, 0.0))

    problem = make_problem(2, weighted=weighted)
    if weighted:
        problem.objective.weight[-3:] = 0.0
    sample = problem.objective.sample(40, Largest())
    assert_array_equal(sample.source.X[-1], problem.X[-4 if weighted else -1])


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_residuals_are_derivatives_of_the_loss(n_classes, keeps):
    problem = make_problem(n_classes, weighted=True, C=np.inf)
    here = problem.objective.evaluate(point(problem))
    # Of large data, raw predictions are not kept, but computed again.
    R, P = problem.objective.residuals(here if keeps else replace(here, raw=None))
    weighted = R * problem.objective.weight / problem.objective.total_weight
    assert_allclose(weighted.sum(axis=1), here.gradient[:, -1], rtol=1e-12, atol=1e-15)
    assert np.all((P > 0.0) & (P < 1.0))
    if n_classes > 2:
        assert_allclose(P.sum(axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("length", [0.3, 3.0])
def test_a_step_that_was_too_long_is_shortened_to_where_j_is_least(length, n_classes):
    problem = make_problem(n_classes)
    here = problem.objective.evaluate(point(problem))
    # A step downhill in standardised coordinates, much too long.
    step = -length * problem.objective.unstandardise(here.standardised)
    there = problem.objective.evaluate(here.coef + step)
    assert there.value > here.value
    share = problem.objective.shorten(here, there)
    shares = np.geomspace(*_objective.SHARES, 2000)
    costs = np.array([problem.cost(here.coef + t * step) for t in shares])
    assert abs(np.log(share / shares[costs.argmin()])) < 0.15
    assert problem.cost(here.coef + share * step) < here.value
    assert problem.objective.shorten(here, replace(there, raw=None)) is None, "not without another pass"
    far = replace(there, raw=np.full_like(there.raw, np.inf))
    assert problem.objective.shorten(here, far) is None, "rows beyond all numbers tell nothing"
    downhill = problem.objective.evaluate(here.coef + 0.5 * share * step)
    assert problem.objective.shorten(here, downhill) is None, "there is no minimum between"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"weighted": False}, {"storage": "sparse"}, {"C": np.inf}], ids=str)
def test_a_step_that_was_too_short_is_lengthened_by_newtons_method_on_the_line(options, n_classes):
    problem = make_problem(n_classes, **{"C": 0.5, "l1_ratio": 0.0, **options})
    objective, coef = problem.objective, point(problem)
    here = objective.evaluate(coef)
    # Downhill in standardised coordinates, and half as far as J falls.
    downhill = -objective.unstandardise(here.standardised)
    best = minimize_scalar(lambda t: problem.cost(coef + t * downhill), bracket=(0.0, 1e-3)).x
    step = 0.5 * best * downhill

    def slope(length):
        return np.vdot(problem.gradient(coef + length * step), step)

    h = 1e-3
    curvature = (slope(1 - 2 * h) - 8 * slope(1 - h) + 8 * slope(1 + h) - slope(1 + 2 * h)) / (12 * h)
    newton = 1.0 - slope(1.0) / curvature
    assert 1.5 < newton < 2.5
    assert_allclose(objective.lengthen(here, step), newton, rtol=1e-8)
    assert objective.lengthen(here, 0.01 * step) == _objective.LONGEST, "a parabola tells little far away"
    assert objective.lengthen(here, 4.0 * step) == 1.0, "too long a step is the line search's to shorten"
    assert objective.lengthen(replace(here, raw=None), step) == 1.0, "not without another pass"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_margins_of_800_give_finite_numbers(n_classes):
    X = np.array([[800.0], [-800.0], [400.0], [-400.0]])
    problem = Problem(X, np.array([0, 1, 0, n_classes - 1]), C=np.inf, l1_ratio=0.0)
    for sign in (-1.0, 1.0):
        coef = np.zeros(problem.shape)
        coef[-1, 0] = sign
        here = problem.objective.evaluate(coef)
        assert np.isfinite(here.value) and np.isfinite(here.gradient).all() and np.isfinite(here.violation)
        assert_allclose(here.value, problem.cost(coef), rtol=1e-14)
        assert_allclose(here.gradient, problem.gradient(coef), rtol=1e-12, atol=1e-300)


def test_float32_data_are_summed_in_float64():
    # The coefficients are rounded to float32, as they will be stored; sums over 100 000 rows lose no digits.
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(100_000, 2)).astype(np.float32), rng.randint(2, size=100_000)
    problem = Problem(X, y, C=np.inf, l1_ratio=0.0)
    coef = rng.normal(size=problem.shape)
    here = problem.objective.evaluate(coef)
    assert_array_equal(here.coef, coef.astype(np.float32))
    # Each raw prediction has an error of 1e-7, of either sign; a float32 sum would have one of 1e-5 or more.
    assert_allclose(here.value, problem.cost(here.coef), rtol=1e-8)


@pytest.mark.parametrize("n", [10, 1000, 30_000])
@pytest.mark.parametrize("constant", [0.1, 1.0 / 3.0, 1e8 / 7.0])
@pytest.mark.parametrize("make", [np.array, np.asfortranarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_constant_column_has_scale_one(n, constant, make, dtype, weighted):
    # Whatever rounding its mean and variance suffer on the way: a scale of 1e-17 would send its weight to infinity.
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.normal(size=n), np.full(n, constant)]).astype(dtype)
    s = rng.rand(n) if weighted else None
    objective = Problem(make(X), np.arange(n) % 2, s).objective
    assert objective.scale[1] == 1.0
    assert 0.3 < objective.scale[0] < 3.0


@pytest.mark.parametrize("make", [np.array, sparse.csr_matrix])
@pytest.mark.parametrize("spread", [1e-3, 1e-6])
def test_a_small_spread_about_a_large_mean_is_not_taken_for_constant(make, spread):
    X = np.column_stack([1e6 + spread * np.arange(100), np.arange(100.0)])
    objective = Problem(make(X), np.arange(100) % 2).objective
    assert_allclose(objective.scale, (X - X[0]).std(axis=0), rtol=1e-3)
