"""Many unknowns, no L1: Newton steps by conjugate gradients, for which the Hessian need not be formed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._pairs import NEAR, RIDGE

# A step is solved until the gradient of the model has fallen to a share of where it began, the forcing term (Dembo and
# Steihaug 1983): at most this;
FORCING = 0.3
# near the optimum this power of the violation, for convergence of order 1.4: with 0.3 throughout, text and usps at
# C = 0.01 to 100 took a tenth more time, with the square root usps took 7 % more;
POWER = 0.4
# but nothing is gained where the next violation is below this share of tol.
MARGIN = 0.8
# Products with the Hessian in one step.
MAX_PRODUCTS = 200
# Steps after which the diagonal is taken anew, beginning with the second: at zero weights it is the same for all.
REFRESH = 5


def conjugate_gradients(product, target, condition, is_done, max_products):
    """An approximate solution x of product(x) = target, and the residual target - product(x).

    ``condition`` applies the preconditioner.  It stops where ``is_done(residual)``, or the matrix shows no curvature.
    """
    solution, residual = np.zeros_like(target), target
    ahead, power = 0.0, np.inf
    for _ in range(max_products):
        if is_done(residual):
            break
        conditioned = condition(residual)
        power, before = np.vdot(residual, conditioned), power
        ahead = conditioned + power / before * ahead
        curved = product(ahead)
        curvature = np.vdot(ahead, curved)
        if not curvature > 0.0:
            break
        length = power / curvature
        solution, residual = solution + length * ahead, residual - length * curved
    return solution, residual


class TruncatedNewton:
    """Inverse Hessian at the current point, as far as conjugate gradients get (Dembo and Steihaug 1983).

    The diagonal of the Hessian is their preconditioner.  Limited-memory BFGS from the same diagonal took 82 passes
    instead of 14 on imdb5k at C = 100, and had not arrived after 600, instead of 34, on raw word counts (r8, C = 1).
    """

    def __init__(self, objective):
        self.objective = objective
        self.n_steps = 0
        self.is_ready = False

    def step(self, here, tol, accuracy=FORCING):
        """The step from here, and the slope of J along it."""
        self.look(here)
        accuracy = min(accuracy, max(here.violation**POWER, MARGIN * tol / max(here.violation, tol)))
        direction = -self.apply(here.standardised, accuracy)
        return self.objective.unstandardise(direction), np.vdot(here.standardised, direction)

    def look(self, here):
        """Take the Hessian here."""
        with_diagonal = self.n_steps % REFRESH == 1
        self.product: Any
        self.product, diagonal = self.objective.hessian_product(here, here.violation < NEAR, with_diagonal)
        if with_diagonal or not self.n_steps:
            # A feature without variance has no curvature.
            self.diagonal = np.maximum(diagonal, RIDGE * self.objective.loss.curvature_bound)
        self.n_steps += 1
        self.is_ready = True

    def apply(self, gradient, accuracy=1e-6):
        """The inverse Hessian times the gradient, but for ``accuracy`` times its largest entry."""
        goal = accuracy * np.abs(gradient).max()
        # Without a penalty, collinear features have no curvature but for rounding, which ends it early.
        return conjugate_gradients(
            self.product, gradient, self.condition, lambda residual: np.abs(residual).max() <= goal,
            MAX_PRODUCTS,
        )[0]  # fmt: skip

    def condition(self, gradient):
        """The gradient over the diagonal of the Hessian."""
        return gradient / self.diagonal

    def update(self, here, there):
        """The next step looks at the Hessian itself: there is nothing to learn."""
