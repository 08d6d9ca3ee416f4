"""Plot how fast fits approached the optimum."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._estimator import LogisticRegression


class LossCurveDisplay:
    """Cost above the best known, against passes over the data, on logarithmic scales.

    The best point itself, which is at zero, does not show: give a lower ``best`` to see it.

    Make one with :meth:`from_estimator` or :meth:`from_estimators`.

    Parameters
    ----------
    curves : dict of str to ndarray of shape (n_passes,)
        The cost J at every pass, by name.
    best : float, default=None
        The cost that is subtracted; ``None``: the lowest of all curves.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure containing the curves.
    lines_ : list of matplotlib Line2D
        The curves, in the order of ``curves``.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_logreg import LogisticRegression, LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> fits = {
    ...     "nesterov": LogisticRegression(solver="nesterov").fit(X, y),
    ...     "preconditioned": LogisticRegression().fit(X, y),
    ... }
    >>> display = LossCurveDisplay.from_estimators(fits)
    >>> plt.show()
    """

    def __init__(self, curves, *, best=None):
        self.curves = curves
        self.best = best

    def plot(self, ax=None, *, name=None, **kwargs):
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; ``None``: new ones.
        name : str, default=None
            Label of the curve, if there is one only.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : LossCurveDisplay
            This object, with ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is a ``name`` for several curves.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "LossCurveDisplay.plot requires matplotlib. You can install matplotlib with `pip install matplotlib`."
            ) from error
        if name is not None and len(self.curves) != 1:
            raise ValueError(f"name={name!r} can label one curve only, but there are {len(self.curves)}.")
        if ax is None:
            _, ax = plt.subplots()
        curves = {label: np.asarray(curve, dtype=float) for label, curve in self.curves.items()}
        best = self.best
        if best is None:
            best = min((np.min(c[np.isfinite(c)], initial=np.inf) for c in curves.values()), default=np.inf)
        self.lines_ = []
        for label, curve in curves.items():
            above = np.where(np.isfinite(curve), curve, np.nan) - best
            above[~(above > 0.0)] = np.nan
            style = {"label": name or label, "marker": "." if len(curve) <= 50 else "", **kwargs}
            self.lines_ += ax.plot(np.arange(1, len(above) + 1), above, **style)
        ax.set(xlabel="passes over the data", ylabel="cost above the best known", xscale="log", yscale="log")
        ax.grid(alpha=0.3)
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, name=None, best=None, **kwargs):
        """Plot the curve of one fitted estimator.

        Parameters
        ----------
        estimator : LogisticRegression
            A fitted estimator.
        ax : matplotlib Axes, default=None
            Axes to plot on; ``None``: new ones.
        name : str, default=None
            Label of the curve; ``None``: its solver.
        best : float, default=None
            The cost that is subtracted; ``None``: the lowest of the curve.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : LossCurveDisplay
            The display, plotted.

        Raises
        ------
        TypeError
            If the estimator has no loss curve.
        NotFittedError
            If it is not fitted.
        ImportError
            If matplotlib is not installed.
        """
        curve = _curve(estimator)
        label = estimator.solver if name is None else name
        return cls({label: curve}, best=best).plot(ax, **kwargs)

    @classmethod
    def from_estimators(cls, estimators, *, ax=None, best=None, **kwargs):
        """Lay the curves of several fits of the same problem over each other.

        Parameters
        ----------
        estimators : dict of str to LogisticRegression
            Fitted estimators, by name.
        ax : matplotlib Axes, default=None
            Axes to plot on; ``None``: new ones.
        best : float, default=None
            The cost that is subtracted; ``None``: the lowest of all curves.
        **kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : LossCurveDisplay
            The display, plotted.

        Raises
        ------
        TypeError
            If the estimators are no dict, there are none, or one has no loss curve.
        NotFittedError
            If one is not fitted.
        ImportError
            If matplotlib is not installed.
        """
        if not (isinstance(estimators, dict) and estimators):
            raise TypeError(f"estimators={estimators!r} must be a dict of fitted estimators by name, not empty.")
        curves = {label: _curve(estimator) for label, estimator in estimators.items()}
        return cls(curves, best=best).plot(ax, **kwargs)


def _curve(estimator):
    """The loss curve of a fitted estimator."""
    if not isinstance(estimator, LogisticRegression):
        raise TypeError(
            f"estimator={estimator!r} has no loss curve: give a fitted sklearn_logreg.LogisticRegression, of a "
            "pipeline its last step."
        )
    check_is_fitted(estimator, "loss_curve_")
    return estimator.loss_curve_
