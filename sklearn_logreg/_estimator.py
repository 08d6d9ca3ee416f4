"""The estimator: validate, encode, assemble, solve, unpack.  Nothing numerical happens here."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._certificate import duality_gap
from ._losses import LogLoss, SoftmaxLoss
from ._objective import Objective
from ._penalties import ElasticNet
from ._preconditioner import descend
from ._result import Status, Trace
from ._solvers import gradient_descent, nesterov
from ._sources import make_source


class LogisticRegression(LinearClassifierMixin, SparseCoefMixin, BaseEstimator):
    """Logistic regression."""

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "solver": [StrOptions({"gd", "nesterov", "preconditioned"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        C=1.0,
        l1_ratio=0.0,
        fit_intercept=True,
        class_weight=None,
        solver="preconditioned",
        learning_rate="auto",
        tol=1e-6,
        max_iter=1000,
        warm_start=False,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.learning_rate = learning_rate
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Features, in any units.
        y : array-like of shape (n_samples,)
            Class labels, of any type.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; a row of weight 2 counts like the same row twice, one of weight 0 not at all.
            ``None``: all 1.

        Returns
        -------
        self : LogisticRegression
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y cannot be used, there is one class only, a weight is negative, or a class has no weight.
        """
        if self.solver == "preconditioned" and self.learning_rate != "auto":
            raise ValueError(
                f"learning_rate={self.learning_rate!r} has no meaning for solver='preconditioned', which finds the "
                "length of each step itself. Use solver='gd' or solver='nesterov', or leave learning_rate='auto'."
            )
        X, y = validate_data(self, X, y, accept_sparse="csr")
        check_classification_targets(y)
        if sparse.issparse(X) and not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        classes, codes = _encode(y)
        weight, totals = _weights(self.class_weight, sample_weight, X, y, classes, codes)
        scale = self.C * totals.sum()
        penalty = ElasticNet(self.l1_ratio / scale, (1.0 - self.l1_ratio) / scale)
        loss = LogLoss() if len(classes) == 2 else SoftmaxLoss(len(classes))
        source = make_source(X, None if self.n_jobs is None else effective_n_jobs(self.n_jobs))
        objective = Objective(source, loss.encode(codes), weight, loss, penalty, bool(self.fit_intercept))
        trace = Trace(self.tol, self.max_iter)
        coef, status, gap = self._solve(objective, trace, classes, totals)
        self._warn(objective, trace, status)

        self.classes_ = classes
        self.coef_ = coef[:, : source.n_features].astype(source.dtype)
        self.intercept_ = (coef[:, source.n_features :].sum(axis=1)).astype(source.dtype)
        self.n_iter_ = np.array([trace.n_passes], dtype=np.int32)
        self.loss_curve_ = np.array(trace.values)
        self.violation_curve_ = np.array(trace.violations)
        self.status_ = status
        self.duality_gap_ = gap
        self.converged_ = status is Status.CONVERGED
        return self

    def _solve(self, objective, trace, classes, totals):
        """The coefficients that the solver returns, and why it ended."""
        coef = np.zeros(objective.shape)
        warm = self._is_warm(objective, classes)
        if warm:
            W = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
            coef[:, : objective.n_features] = W
            coef[:, objective.n_features :] = self.intercept_[:, None]
        elif self.solver == "preconditioned" and self.fit_intercept:
            coef[:, -1] = objective.loss.start(totals)
        if self.max_iter == 0:
            return coef, Status.MAX_ITER, np.inf if objective.penalty else np.nan
        if self.solver == "preconditioned":
            result = descend(objective, coef, trace, check_random_state(self.random_state), warm)
        else:
            solve = {"gd": gradient_descent, "nesterov": nesterov}[self.solver]
            step_size = 1.0 / objective.lipschitz() if self.learning_rate == "auto" else self.learning_rate
            result = solve(objective, coef, step_size, trace)
        status = result.status
        if status is Status.MAX_ITER and result.evaluation.separates:
            status = Status.SEPARABLE
        coef = result.evaluation.coef
        return coef, status, duality_gap(objective, coef, coef if result.ahead is None else result.ahead)

    def _is_warm(self, objective, classes):
        """Is there a previous solution of the same shape and classes to start from?"""
        return (
            self.warm_start
            and hasattr(self, "coef_")
            and self.coef_.shape == (objective.shape[0], objective.n_features)
            and np.array_equal(self.classes_, classes)
        )

    def _warn(self, objective, trace, status):
        """Say what went wrong, if anything did."""
        violation = min(trace.violations, default=np.inf)
        if status in (Status.CONVERGED, Status.STOPPED):
            return
        if status is Status.PRECISION and violation <= objective.rounding():
            return
        facts = {
            "n_passes": trace.n_passes,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "violation": violation,
            "dtype": objective.source.dtype,
            "learning_rate": self.learning_rate,
            "remedy": "Raise max_iter." if self.solver == "preconditioned" else (
                "Use solver='preconditioned', or raise max_iter."
            ),
        }
        if status is Status.DIVERGED:
            facts["stable_rate"] = 2.0 / objective.lipschitz()
        warnings.warn(status.describe(**facts), ConvergenceWarning, stacklevel=4)

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        P : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``; every row sums to one.
        """
        raw = self.decision_function(X)
        if raw.ndim == 1:
            return np.column_stack([expit(-raw), expit(raw)])
        return softmax(raw, axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class, finite however small the probability.

        Parameters
        ----------
        X : {array-like, sparse matrix, sparse array} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        L : ndarray of shape (n_samples, n_classes)
            Log-probabilities, in the order of ``classes_``.
        """
        raw = self.decision_function(X)
        if raw.ndim == 1:
            return np.column_stack([log_expit(-raw), log_expit(raw)])
        return log_softmax(raw, axis=1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # Through the origin, no plane can follow the frequencies of the classes: where scikit-learn's common check
        # wants 0.87 of its predictions in the class of weight 1e7, the exact optimum makes 0.52.
        tags.classifier_tags.poor_score = not self.fit_intercept
        return tags


def _encode(y):
    """The classes, sorted, and the index of each row's class: a boolean for two classes."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"This solver needs samples of at least 2 classes in the data, but the data contains only one class: {classes[0]!r}."
        )
    if len(classes) == 2:
        return classes, y == classes[1]
    return classes, np.searchsorted(classes, y)


def _weights(class_weight, sample_weight, X, y, classes, codes):
    """Sample weight times class weight, None if all are 1, and the total of each class."""
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not sample_weight.any():
            raise ValueError("All sample weights are zero: there is nothing to fit. Give some rows a positive weight.")
    totals = np.bincount(codes, sample_weight, minlength=len(classes))
    if class_weight is not None:
        _check_totals(classes, totals, "sample_weight")
        by_class = compute_class_weight(class_weight, classes=classes, y=y, sample_weight=sample_weight)
        totals = totals * by_class
        by_row = by_class[codes.astype(np.intp)]
        sample_weight = by_row if sample_weight is None else sample_weight * by_row
    _check_totals(classes, totals, "sample_weight and class_weight")
    return sample_weight, totals.astype(np.float64)


def _check_totals(classes, totals, source):
    """Refuse a class that has rows but no weight: its probability would have no finite optimum above zero."""
    for label, total in zip(classes, totals, strict=True):
        if not total > 0.0:
            raise ValueError(
                f"The rows of class {label!r} have total weight {total:g} by {source}. Leave the class out of the data, "
                "or give some of its rows a positive weight."
            )
