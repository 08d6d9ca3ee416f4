"""The estimator: validate, encode, assemble, solve, unpack.  Nothing numerical happens here."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils import assert_all_finite, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted, validate_data

from ._certificate import certify
from ._export import to_sklearn
from ._losses import LogLoss, SoftmaxLoss, constant_loss
from ._objective import Evaluation, Objective
from ._penalties import ElasticNet
from ._preconditioner import choose, descend
from ._progress import CallbackSupportMixin, Lines, Tasks, has_callbacks
from ._result import Result, Status, Trace
from ._separation import SeparationWarning, describe, diagnose
from ._solvers import gradient_descent, nesterov
from ._sources import make_source
from ._targets import encode, weights

# Entries of float16 that are looked at together.
LOOKED_AT = 2**20
# Violation above which it is worth a warning that the working precision of the data keeps a fit from its optimum.
PRECISE = 1e-2


class LogisticRegression(CallbackSupportMixin, LinearClassifierMixin, SparseCoefMixin, BaseEstimator):
    r"""Logistic regression by batch gradient descent.

    Minimises scikit-learn's objective, the mean log loss plus the penalty,

    .. math::

        J(W, b) = \frac{1}{S} \sum_i s_i \, \mathrm{loss}(y_i, W x_i + b)
        + \frac{1}{C S} \Bigl( r \|W\|_1 + \frac{1 - r}{2} \|W\|_2^2 \Bigr),

    with :math:`s_i` sample weight times class weight, :math:`S` their sum and :math:`r` the ``l1_ratio``, by one update
    on the whole batch, ``W <- W - alpha * P * gradient``.  Two classes have one row of coefficients; more have one each
    (symmetric softmax).  The default solver needs no scaling of the features and no tuning.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, positive, as in scikit-learn; ``np.inf``: no penalty.
    l1_ratio : float, default=0.0
        Share of L1 in the penalty: 0 for L2, 1 for L1, elastic net between.
    fit_intercept : bool, default=True
        Whether to fit an intercept, which is never penalised.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class; "balanced": inversely proportional to its total sample weight.
    solver : {"preconditioned", "gd", "nesterov"}, default="preconditioned"
        "preconditioned": P is an estimate of the inverse curvature, and alpha is 1 unless the cost asks for less;
        arrives in 5 to 20 passes on most data, whatever the units of the features.
        "gd": P is the identity: the algorithm of the textbooks, from zero, on the features as they are.
        "nesterov": the same with momentum and adaptive restart.
        With L1, the proximal operator follows every step (ISTA, FISTA, proximal Newton); where C is so small that zero
        weights are optimal, every solver starts and ends at the intercept that belongs to them.
    learning_rate : float or "auto", default="auto"
        alpha for "gd" and "nesterov"; "auto": 1/L with L an upper bound of the curvature, for which the cost of "gd"
        never rises.  "preconditioned" takes no other value than "auto".
    tol : float, default=1e-6
        Limit of the violation: the largest entry of the (sub)gradient of J as if every feature were standardised,
        divided by the mean probability given to the wrong classes.  It has no units.  At 1e-6 the relative error
        of J was below 1e-8 on 80 real data sets.  An extreme outlier sets the scale of its feature and makes the
        violation of the others' rows look small, and what features that are collinear but for little could still win
        together does not show in any of them.  "preconditioned" with a penalty sees it by what a Newton step promises,
        and goes on below ``tol`` where that is more than 1e4 tol^2 of J; ``duality_gap_`` is a bound on J whatever the
        data.
    max_iter : int, default=1000
        Limit of the passes over the data, one for each evaluation of J and its gradient.  With a penalty, the
        certificate of a fit that ends above a violation of 1e-3 (1e-4 with L1 alone) makes passes of its own, up to as
        many as the fit or 20, unless a callback has stopped it.
    warm_start : bool, default=False
        Start from the coefficients of the last fit, if it had the same number of features and the same classes.
    random_state : int, RandomState instance or None, default=None
        Draws the sample of rows from which "preconditioned" takes its start and curvature when there are some
        thousands or more; ``None``: NumPy's global generator.  The model depends on it below ``tol`` only; which of the
        coefficients of the same model it is, where L1 alone leaves several (an even number of classes), too.
    n_jobs : int or None, default=None
        Threads for a pass; ``None``: as many as BLAS may use, which joblib's workers lower; it changes no digit.
    verbose : int, default=0
        1: print pass, cost, violation and seconds at most every half second.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients; float32 for float32 data, else float64.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; zero without intercept.
    n_iter_ : ndarray of shape (1,)
        Passes over all rows: evaluations of J and its gradient.  The first is at the starting point, so that n passes
        of "gd" make n - 1 updates.  Hessians and products with them, what is solved on a sample of the rows or in their
        span, the certificate, and with L1 the look of "gd" and "nesterov" at zero weights are not counted.
    converged_ : bool
        Whether the violation is at most ``tol``, at a finite optimum.
    status_ : Status
        Why the fit ended.
    status_message_ : str
        The same as a sentence, with the remedy if one is needed.
    loss_ : float
        J at the returned coefficients, as exact as the precision of the data allows: the last of ``loss_curve_``, or
        the best where the fit did not converge.
    violation_ : float
        The violation at the returned coefficients.
    duality_gap_ : float
        A proven upper bound, but for rounding, on J at the returned coefficients less its minimum, and as a rule equal
        to it to some digits; ``nan`` without a penalty.
    loss_curve_ : ndarray of shape (n_passes,)
        J at every pass.
    violation_curve_ : ndarray of shape (n_passes,)
        The violation at every pass.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names.

    See Also
    --------
    separation : Find out whether an unpenalised fit has a finite optimum.
    LossCurveDisplay : Plot ``loss_curve_``.

    References
    ----------
    Gradient descent: A. Cauchy (1847).  Momentum: Y. Nesterov (1983); FISTA: A. Beck and M. Teboulle (2009); restart:
    B. O'Donoghue and E. Candès (2015).  Curvature pairs: J. Nocedal (1980).  Truncated Newton: R. Dembo and T. Steihaug
    (1983).  Proximal Newton: J. Lee, Y. Sun and M. Saunders (2014).  Bounds of the curvature: D. Böhning (1992); T.
    Jaakkola and M. Jordan (2000).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_logreg import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.converged_
    True
    >>> round(model.score(X, y), 2)
    0.96
    """

    _parameter_constraints: ClassVar[dict] = {
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
            ``None``: all 1.  A class whose rows all have weight 0, as a bootstrap sample may leave a rare one, keeps
            its place in ``classes_``, if two others are left: with next to no probability, as if it were not there;
            without an intercept, the penalty leaves it some.

        Returns
        -------
        self : LogisticRegression
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y cannot be used, a weight is negative, or only one class has rows of positive weight; if a
            parameter is out of its range, or ``learning_rate`` given to "preconditioned", which has none.

        Warns
        -----
        ConvergenceWarning
            If the violation is above ``tol`` at the end, with the reason and the remedy of ``status_message_``.
        SeparationWarning
            If the reason is that the classes are separable and nothing is penalised; a kind of ConvergenceWarning.
        """
        if self.solver == "preconditioned" and self.learning_rate != "auto":
            raise ValueError(
                f"learning_rate={self.learning_rate!r} has no meaning for solver='preconditioned', which finds the "
                "length of each step itself. Use solver='gd' or solver='nesterov', or leave learning_rate='auto'."
            )
        validated = ("n_features_in_", "feature_names_in_")
        before = {name: getattr(self, name) for name in validated if hasattr(self, name)}
        try:
            return self._fit(X, y, sample_weight)
        except BaseException:
            # Whatever interrupts the fit, Ctrl-C included, leaves the estimator as it was.
            for name in validated:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise

    def _fit(self, X, y, sample_weight):
        """Validate, encode, assemble, solve, unpack."""
        given = X, y
        # Where sums overflow, as in float16 they do, scikit-learn marks each entry in an array of half the size of X.
        is_half = isinstance(X, np.ndarray) and X.dtype == np.float16
        X, y = validate_data(self, X, y, accept_sparse="csr", ensure_all_finite=not is_half)
        if is_half:
            for rows in gen_batches(len(X), max(LOOKED_AT // X.shape[1], 1)):
                assert_all_finite(X[rows], estimator_name=type(self).__name__, input_name="X")
        if sparse.issparse(X) and not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        classes, codes = encode(y)
        weight, totals = weights(self.class_weight, sample_weight, X, classes, codes)
        scale = self.C * totals.sum()
        penalty = ElasticNet(self.l1_ratio / scale, (1.0 - self.l1_ratio) / scale)
        loss = LogLoss() if len(classes) == 2 else SoftmaxLoss(len(classes))
        source = make_source(X, None if self.n_jobs is None else effective_n_jobs(self.n_jobs), loss.n_outputs)
        with source.without_blas_threads():
            codes = loss.encode(codes)  # no two of them at a time, as each is a byte a row
            objective = Objective(source, codes, weight, loss, penalty, bool(self.fit_intercept))

        def unpack(coef):
            """The public form of the coefficients."""
            W, b = coef[:, : source.n_features], coef[:, source.n_features :]
            b = b.sum(axis=1)  # of no columns without intercept: zeros
            return {"classes_": classes, "coef_": W.astype(source.dtype), "intercept_": b.astype(source.dtype)}

        lines = Lines() if self.verbose else None
        tasks = Tasks(self, *given, sample_weight, unpack) if has_callbacks(self) else None
        if tasks:
            tasks.open(self.max_iter)
        trace = Trace(self.tol, self.max_iter, [monitor for monitor in (lines, tasks) if monitor])
        with source.without_blas_threads(choose(objective)[1]):
            result = self._solve(objective, trace, classes, totals)
            status, found = diagnose(objective, result, X, y)
            coef = objective.centre(result.evaluation.coef)
            gap = certify(objective, result, trace)
            stable_rate = self._stable_rate(objective, status, trace.n_passes)

        if lines:
            lines.close(trace)

        facts = {
            "n_passes": trace.n_passes,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "violation": result.evaluation.violation,
            "dtype": source.dtype,
            "learning_rate": self.learning_rate,
            "stable_rate": stable_rate,
            "separable": describe(found, getattr(self, "feature_names_in_", None)),
            "remedy": self._remedy(stable_rate),
        }
        message = status.describe(**facts)
        quiet = status in (Status.CONVERGED, Status.STOPPED) or (
            status is Status.PRECISION and result.evaluation.violation <= min(objective.rounding(), PRECISE)
        )
        if not quiet:
            category = SeparationWarning if status is Status.SEPARABLE else ConvergenceWarning
            warnings.warn(message, category, stacklevel=4)

        fitted = {
            **unpack(coef),
            "n_iter_": np.array([trace.n_passes], dtype=np.int32),
            "loss_curve_": np.array(trace.values),
            "violation_curve_": np.array(trace.violations),
            "loss_": result.evaluation.value,
            "violation_": result.evaluation.violation,
            "duality_gap_": gap,
            "converged_": status is Status.CONVERGED,
            "status_": status,
            "status_message_": message,
        }
        if tasks:
            tasks.close(fitted)
        for name, value in fitted.items():
            setattr(self, name, value)
        return self

    def _solve(self, objective, trace, classes, totals):
        """The result of the solver."""
        coef = np.zeros(objective.shape)
        constant = coef.copy()
        if self.fit_intercept:
            constant[:, -1] = objective.loss.start(totals)
            # Equal (zero), but for a class without weight, which no pass could take to where it belongs.
            coef[:, -1] = objective.loss.start(totals > 0.0)
        warm = None
        if self._is_warm(objective, classes):
            W = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
            b = self.intercept_[:, None] if self.fit_intercept else np.empty((len(W), 0))
            warm = np.concatenate([W, b], axis=1).astype(np.float64)
        if self.max_iter == 0:
            unknown = np.full_like(coef, np.nan)
            nothing = Evaluation(coef if warm is None else warm, np.nan, unknown, unknown, np.inf, False)
            return Result(nothing, Status.MAX_ITER)
        if self.solver == "preconditioned":
            baseline = constant_loss(totals if self.fit_intercept else np.ones_like(totals))
            return descend(objective, constant, trace, self.random_state, warm, baseline)
        solve = {"gd": gradient_descent, "nesterov": nesterov}[self.solver]
        # Nothing curves a cost without penalty where all features are zero, and any step does.
        step_size = 1.0 / (objective.lipschitz() or 1.0) if self.learning_rate == "auto" else self.learning_rate
        if warm is not None:
            coef = warm
        elif objective.penalty.l1 and objective.evaluate(constant).violation <= self.tol:
            # C is so small that all-zero weights are optimal: there is nowhere to go.
            coef = constant
        result = solve(objective, coef, step_size, trace)
        if result.status is Status.DIVERGED and self.learning_rate == "auto":
            # What raises the cost at 1/L is rounding.
            result.status = Status.PRECISION
        return result

    def _stable_rate(self, objective, status, n_passes):
        """The largest learning rate that never diverges, nan where nobody needs it.

        Of a rate that is too large the message says how large it may be; of one that may be too small it does so where
        that takes no longer than the fit.
        """
        is_short = objective.hessian_nanoseconds(np.float64) <= n_passes * objective.source.nanoseconds
        may_be_small = status is Status.MAX_ITER and self.learning_rate != "auto"
        if status is Status.DIVERGED or (may_be_small and is_short):
            return (2.0 if self.solver == "gd" else 1.0) / objective.lipschitz()
        return np.nan

    def _remedy(self, stable_rate):
        """What to do where the passes did not suffice."""
        if self.solver == "preconditioned":
            return "Raise max_iter."
        if self.learning_rate != "auto" and self.learning_rate < 0.5 * stable_rate:
            return (
                f"Raise learning_rate, of which every value up to {stable_rate:.3g} is stable, or max_iter; or use "
                "solver='preconditioned', which needs none."
            )
        return "Use solver='preconditioned', which minds no units and needs no rate, or raise max_iter."

    def _is_warm(self, objective, classes):
        """Is there a previous solution of the same shape and classes to start from?"""
        return (
            self.warm_start
            and hasattr(self, "coef_")
            and self.coef_.shape == (objective.shape[0], objective.n_features)
            and np.array_equal(self.classes_, classes)
        )

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
            second = expit(raw)
            return np.column_stack([1.0 - second, second])
        return softmax(raw)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Computed from the raw predictions, not as the logarithm of :meth:`predict_proba`: it stays finite and exact
        however small the probability.

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

    def to_sklearn(self):
        """A fitted scikit-learn estimator with the same decisions and probabilities, to the last bit.

        For tools that look for that very class: converters to ONNX, for example.

        Returns
        -------
        estimator : sklearn.linear_model.LogisticRegression
            With the same coefficients, and the same parameters as far as they bear on them.

        Raises
        ------
        NotFittedError
            If this estimator is not fitted.
        """
        check_is_fitted(self)
        return to_sklearn(self)

    def __getstate__(self):
        """The state to pickle: the status by its name, for loaders that make no enumerations (skops)."""
        state = super().__getstate__()
        if "status_" in state:
            state = {**state, "status_": state["status_"].name}
        return state

    def __setstate__(self, state):
        """Restore a pickled state."""
        if "status_" in state:
            state = {**state, "status_": Status[state["status_"]]}
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # Through the origin, no plane can follow the frequencies of the classes: where scikit-learn's common check
        # wants 0.87 of its predictions in the class of weight 1e7, the exact optimum makes 0.52.
        tags.classifier_tags.poor_score = not self.fit_intercept
        return tags
