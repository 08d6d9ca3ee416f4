"""Are the classes separable, so that an unpenalised fit has no finite optimum?  By linear programming (Konis 2007).

With B the directions of the classes (the first held at zero) and x with a leading 1 for the intercept, the data are

    separable    if some B has (B_y - B_k) . x >= 0 for every row x of class y and every other class k, not all of
    them 0; completely   if all of them can be positive at once.

Then J falls for ever along B.  For two classes B has one row, in the sense of ``coef_``.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import sparse
from scipy.linalg import qr
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, _get_feature_names, check_X_y

from ._preconditioner import MAX_HESSIAN, cholesky, solve
from ._result import Status

# Entries of a direction, each at most 1 in size, below which a feature takes no part.
NEGLIGIBLE = 1e-6
# Entries up to which sparse data are made dense.
MAX_DENSE = 10_000_000
# Change of a raw prediction, or of one class against another, by one Newton step from a point that fulfils the
# tolerance: about 1 along a direction in which J falls for ever, below 0.02 at the optimum of every non-separable set
# of the UCI and textbook data tried.
SYMPTOM = 0.1


class SeparationWarning(ConvergenceWarning):
    """The classes are separable and nothing is penalised: there is no finite optimum."""


@dataclass(frozen=True, eq=False)
class Separation:
    """What :func:`separation` found.

    Attributes
    ----------
    kind : {"none", "quasi-complete", "complete"}
        Whether a direction exists along which the cost falls for ever: with equality for some rows, or for none.
    features : list
        The features that take part, by name where X has names, else by index.
    direction : ndarray of shape (1, n_features) or (n_classes, n_features)
        Where the coefficients would go, per standard deviation of each feature, the largest entry being at most 1; zero
        if ``kind`` is "none".
    """

    kind: str
    features: list
    direction: np.ndarray

    def __bool__(self):
        return self.kind != "none"


@validate_params(
    {"fit_intercept": ["boolean"], "time_limit": [Interval(Real, 0, None, closed="neither"), None]},
    prefer_skip_nested_validation=True,
)
def separation(X, y, sample_weight=None, fit_intercept=True, time_limit=None):
    """Find out whether the classes can be separated by planes, and by which features.

    An unpenalised logistic regression (``C=inf``) on separable classes has no finite optimum: some coefficients grow
    for ever.  This solves the linear programme of Konis (2007), for more than two classes in the form of Albert and
    Anderson (1984), with SciPy's HiGHS.

    Parameters
    ----------
    X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
        Features, in any units.
    y : array-like of shape (n_samples,)
        Class labels.
    sample_weight : array-like of shape (n_samples,), default=None
        Rows of weight 0 are left out; other weights make no difference.
    fit_intercept : bool, default=True
        Whether the planes may miss the origin.
    time_limit : float, default=None
        Seconds after which to give up; ``None``: never.

    Returns
    -------
    result : Separation
        Kind, features and direction; true in a condition if the classes are separable.

    Raises
    ------
    ValueError
        If X, y or a parameter cannot be used.
    TimeoutError
        If ``time_limit`` passed first.

    References
    ----------
    K. Konis (2007), "Linear programming algorithms for detecting separated data in binary logistic regression models",
    DPhil thesis, University of Oxford.  A. Albert and J. A. Anderson (1984), "On the existence of maximum likelihood
    estimates in logistic regression models", Biometrika 71.

    Examples
    --------
    >>> from sklearn_logreg import separation
    >>> X = [[0.0, 3.0], [1.0, 1.0], [2.0, 2.0], [3.0, 1.5]]
    >>> found = separation(X, [0, 0, 1, 1])
    >>> found.kind, found.features
    ('complete', [0])
    """
    names = _get_feature_names(X)
    X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
    check_classification_targets(y)
    if sample_weight is not None:
        kept = _check_sample_weight(sample_weight, X, ensure_non_negative=True) > 0.0
        X, y = X[kept], y[kept]
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class only, {classes.tolist()[0]!r}: there is nothing to separate.")
    n_rows, n_features = X.shape
    if sparse.issparse(X):
        # Small enough, it is treated like dense data, whose collinear columns are left out.
        X = X.toarray() if n_rows * n_features <= MAX_DENSE else sparse.csr_matrix(X)
    X = X.astype(np.float64)
    Z, columns, stretch = _independent_columns(X, fit_intercept)
    if not Z.shape[1]:
        return Separation("none", [], np.zeros((1 if len(classes) == 2 else len(classes), n_features)))
    # A margin is positive in any units: in those of its largest entry the programme's tolerance means the same for all.
    A = _unit_rows(_margins(Z, codes, len(classes)))
    bound = np.ones(A.shape[1])
    options = {} if time_limit is None else {"time_limit": time_limit}

    found = _solve(-np.asarray(A.sum(axis=0)).ravel() / n_rows, -A, bound, options, time_limit)
    margins = A @ found
    direction = np.zeros((len(classes), n_features + fit_intercept))
    if margins.max(initial=0.0) <= NEGLIGIBLE:
        direction = direction[:, fit_intercept:]
        return Separation("none", [], direction[1:] if len(classes) == 2 else direction)

    kind = "complete" if margins.min() > NEGLIGIBLE else "quasi-complete"
    if kind == "quasi-complete":
        # The largest sum of margins need not have them all positive where that is possible: ask for the smallest one.
        widest = _solve(
            np.append(np.zeros(A.shape[1]), -1.0),
            sparse.hstack([-A, np.ones((A.shape[0], 1))]) if sparse.issparse(A) else np.column_stack([-A,
            np.ones(len(A))]), np.append(bound, np.inf), options, time_limit,
        )  # fmt: skip
        if widest[-1] > NEGLIGIBLE:
            kind, found = "complete", widest[:-1]
    direction[1:, columns] = found.reshape(len(classes) - 1, -1)
    direction = direction[:, fit_intercept:] * stretch
    direction /= max(np.abs(direction).max(), np.finfo(float).tiny)
    concerned = np.flatnonzero(np.abs(direction).max(axis=0) > NEGLIGIBLE)
    features = [int(j) if names is None else str(names[j]) for j in concerned]
    return Separation(kind, features, direction[1:] if len(classes) == 2 else direction)


def _independent_columns(X, fit_intercept):
    """[1 X] with columns of unit size; the indices of those that are not combinations of others; sd per that size.

    The size is that of a typical row, the median distance from the median, which an outlier does not set.
    """
    n_columns = X.shape[1] + fit_intercept
    if sparse.issparse(X):
        scale = np.sqrt(np.asarray(X.multiply(X).mean(axis=0)).ravel())
        scale = np.where(scale > 0.0, scale, 1.0)
        ones = np.ones((X.shape[0], int(fit_intercept)))
        Z = sparse.hstack([ones, X @ sparse.diags(1.0 / scale)], format="csr")
        return Z, np.arange(n_columns), np.ones(X.shape[1])
    centre = np.median(X, axis=0) if fit_intercept else 0.0
    sd = np.sqrt(np.square(X - (X.mean(axis=0) if fit_intercept else 0.0)).mean(axis=0))
    sd = np.where(sd > 0.0, sd, 1.0)
    scale = np.median(np.abs(X - centre), axis=0)
    scale = np.where(scale > 0.0, scale, sd)
    Z = (X - centre) / scale
    if fit_intercept:
        Z = np.column_stack([np.ones(len(Z)), Z])
    R, order = qr(_unit_rows(Z), mode="r", pivoting=True)
    size = np.abs(np.diagonal(R))
    columns = np.sort(order[: len(size)][size > 1e-10 * size.max(initial=0.0)])
    return Z[:, columns], columns, sd / scale


def _unit_rows(A):
    """A with its rows divided by their largest entries."""
    if sparse.issparse(A):
        largest = abs(A).max(axis=1).toarray().ravel()
        return sparse.diags(1.0 / np.where(largest > 0.0, largest, 1.0)) @ A
    largest = np.abs(A).max(axis=1, initial=0.0)
    return A / np.where(largest > 0.0, largest, 1.0)[:, None]


def _margins(Z, codes, n_classes):
    """Rows (B_y - B_k) . z for every row z of class y and every k != y, over B_1, B_2, ... in order; B_0 is zero."""
    blocks = []
    for k in range(n_classes):
        rows = np.flatnonzero(codes != k)
        own = codes[rows]
        parts = []
        for j in range(1, n_classes):
            sign = (own == j).astype(float) - float(k == j)
            part = sparse.diags(sign) @ Z[rows] if sparse.issparse(Z) else Z[rows] * sign[:, None]
            parts.append(part)
        blocks.append(sparse.hstack(parts) if sparse.issparse(Z) else np.hstack(parts))
    return sparse.vstack(blocks, format="csr") if sparse.issparse(Z) else np.vstack(blocks)


def _solve(cost, A_ub, bound, options, time_limit):
    """argmin cost . B subject to A_ub B <= 0 and |B| <= bound."""
    result = linprog(
        cost, A_ub=A_ub, b_ub=np.zeros(A_ub.shape[0]), bounds=np.column_stack([-bound, bound]), method="highs",
        options=options,
    )  # fmt: skip
    if result.status == 1:
        raise TimeoutError(f"The linear programme was not solved within time_limit={time_limit} seconds.")
    if result.x is None:
        raise RuntimeError(f"The linear programme was not solved: {result.message}")
    return result.x


# Entries of the linear programme up to which a fit solves it by itself, and seconds it may take: 10 000 x 20 takes
# 0.6 s.
MAX_ENTRIES = 1_000_000
TIME_LIMIT = 2.0


def diagnose(objective, result, X, y):
    """The status of an unpenalised fit, and what is known of the separation of its classes, None if nothing."""
    evaluation, status = result.evaluation, result.status
    if objective.penalty or status not in (Status.CONVERGED, Status.SEPARABLE, Status.MAX_ITER, Status.PRECISION):
        return status, None
    shows = evaluation.separates
    if not shows and status in (Status.CONVERGED, Status.PRECISION) and np.prod(objective.shape) <= MAX_HESSIAN:
        shows = _newton_change(objective, evaluation) > SYMPTOM
    # A fit that was cut short may have no optimum either; only a small programme is worth the question then.
    entries = objective.source.n_rows * np.prod(objective.shape)
    if entries <= (MAX_ENTRIES if shows else MAX_ENTRIES // 10) and (shows or status is Status.MAX_ITER):
        try:
            found = separation(X, y, objective.weight, objective.fit_intercept, TIME_LIMIT)
        except (TimeoutError, RuntimeError):
            found = None
        if found is not None:
            return (Status.SEPARABLE if found else status), found
    return (Status.SEPARABLE if shows else status), None


def describe(found, names):
    """Half a sentence: how the classes are separable, and by which features."""
    if found is None:
        return "likely separable (separation(X, y) can prove it)"
    features = [str(j) if names is None else str(names[j]) for j in found.features]
    more = f" and {len(features) - 10} more, which separation(X, y) lists" if len(features) > 10 else ""
    listed = ", ".join(features[:10]) + more
    how = "completely" if found.kind == "complete" else "quasi-completely"
    return f"{how} separable by feature{'s' if len(features) > 1 else ''} {listed}"


def _newton_change(objective, evaluation):
    """The most that a Newton step from a certified point changes a raw prediction, or of one class against another."""
    H = objective.hessian(evaluation, exact=True).matrix()
    gradient = evaluation.standardised.ravel()
    ridge = 1e-12 * objective.loss.curvature_bound
    # Of float32 data H may be singular but for rounding, and worse.
    step = -solve(cholesky(H + ridge * np.eye(len(H)), ridge), gradient)
    step = objective.unstandardise(step.reshape(evaluation.coef.shape))
    return objective.largest_change(step)
