"""How a fit goes and how it ends: the curves, and the status with its sentence, likely causes and remedy."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# A cost above this multiple of (1 + the first cost) is an explosion, not a transient: J is a mean log loss, and a
# model that knows nothing has log(n_classes).
EXPLOSION = 10.0


class Status(enum.Enum):
    """Why a fit ended.

    Each member carries a sentence; :meth:`describe` fills it with the facts of the fit.

    Attributes
    ----------
    CONVERGED
        The violation is at most ``tol``.
    PRECISION
        No step lowers J any more at the working precision, float32 or float64, of the data.
    MAX_ITER
        ``max_iter`` passes were spent before the violation reached ``tol``.
    DIVERGED
        The learning rate is too large: the cost exploded, rose on the way with "gd", or ended above an earlier one.
    SEPARABLE
        There is no penalty and the classes are separable, so that J has no minimum at finite coefficients.
    STOPPED
        A callback asked to stop.
    """

    CONVERGED = "Converged: violation {violation:.1e} <= tol={tol:g} after {passes}."
    PRECISION = (
        "Stopped after {passes} at violation {violation:.1e} > tol={tol:g}: no step lowers the cost any more "
        "at the working precision of {dtype}. Usual causes: a tol below what that precision allows, float32 data, or "
        "features whose mean is very large against their spread. Raise tol, pass float64 data, or subtract a constant "
        "from such features."
    )
    MAX_ITER = "Stopped after max_iter={max_iter} passes at violation {violation:.1e} > tol={tol:g}. {remedy}"
    DIVERGED = (
        "The cost grew with learning_rate={learning_rate:g}, which is too large for these data; the best of {n_passes} "
        "passes is kept, at violation {violation:.1e} > tol={tol:g}. Every rate up to {stable_rate:.3g} is stable: use "
        "learning_rate='auto', or solver='preconditioned', which needs none."
    )
    SEPARABLE = (
        "Stopped after {passes}: the classes are {separable}, and with C=inf nothing is penalised, so that "
        "the cost has no minimum at finite coefficients: they would grow for ever. A finite C, for example C=1.0, "
        "gives a unique finite solution."
    )
    STOPPED = "A callback stopped the fit after {passes} at violation {violation:.1e} > tol={tol:g}."

    def __repr__(self) -> str:
        return f"<Status.{self.name}>"

    def describe(self, **facts: Any) -> str:
        """The sentence with the facts of the fit filled in."""
        n_passes = facts["n_passes"]
        return self.value.format(passes=f"{n_passes} pass{'es' if n_passes != 1 else ''}", **facts)


@dataclass
class Trace:
    """The passes of a fit, and the rules by which it ends.

    Solvers evaluate, report the evaluation here, and step only if no status comes back.
    """

    tol: float
    max_iter: int
    monitors: Sequence[Callable[[Trace, Any], bool | None]] = ()
    values: list[float] = field(default_factory=list)
    violations: list[float] = field(default_factory=list)
    is_stopped: bool = False  # a monitor asked to stop, if only on the pass that converged

    @property
    def n_passes(self) -> int:
        """Passes over the data so far."""
        return len(self.values)

    def add(self, evaluation: Any) -> Status | None:
        """Record one pass; the status if it ends the fit."""
        self.values.append(float(evaluation.value))
        self.violations.append(float(evaluation.violation))
        self.is_stopped = any([monitor(self, evaluation) for monitor in self.monitors])
        if evaluation.violation <= self.tol:
            return Status.CONVERGED
        if self.is_stopped:
            return Status.STOPPED
        if self.n_passes >= self.max_iter:
            return Status.MAX_ITER
        return None

    def exploded(self) -> bool:
        """Is the last cost not finite, or far above the first?"""
        return not self.values[-1] <= EXPLOSION * (1.0 + self.values[0])


@dataclass
class Result:
    """The point that a solver returns, as it was evaluated, and why it stopped there."""

    evaluation: Any
    status: Status
    ahead: Any = None  # the point and the Newton step for the certificate's dual point, if they are known
