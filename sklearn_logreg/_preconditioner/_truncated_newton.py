"""Many unknowns or classes, no L1: Newton steps by conjugate gradients, for which a Hessian need not be formed."""

from __future__ import annotations

from math import ceil, inf
from typing import Any

import numpy as np

from ._flat import flat_directions, flatten, has_flat
from ._hessian import LEAST_CURVATURE, OVERHEAD, hold_back
from ._pairs import NEAR, RIDGE
from ._symmetric import cholesky, diagonal, solve

# A step is solved until the gradient of the model has fallen to a share of where it began, the forcing term (Dembo and
# Steihaug 1983): at most this;
FORCING = 0.3
# near the optimum this power of the violation, for convergence of order 1.4: with 0.3 throughout, text and usps at
# C = 0.01 to 100 took a tenth more time, with the square root usps took 7 % more;
POWER = 0.4
# but nothing is gained where the next violation is below this share of tol.
MARGIN = 0.8
# Violation down to which products may be of single precision.  A fit that goes on below tol does so along directions of
# next to no curvature: that of its rounding would be more.
FINE = 1e-6
# Products with the Hessian in one step.
MAX_PRODUCTS = 200
# Time of a product against that of a pass, for softmax, as X is multiplied by one matrix instead of many vectors (it is
# the same for two classes); and of a Cholesky factor against the cube of its size: as measured from 500 x 200, 50
# classes, to 20 000 x 300, 5 classes.
OF_PRODUCT = 0.4
FACTOR_NANOSECONDS = 0.05
# Numbers in all blocks together: 128 MiB, and some times as much while they are formed.  Of two classes the only block
# is the Hessian itself; without it usps interpolated to 2500 features took 12 s instead of 4.6 s at C = 1 and 104 s
# instead of 17 s at C = 100.  With a fourth of it ten classes of 784 features had no blocks: five times the time.
MAX_BLOCK_ENTRIES = 2**24
# Steps after which the diagonal is taken anew, beginning with the second: at zero weights it is the same for all.
REFRESH = 5


def conjugate_gradients(product, target, condition, is_done, max_products):
    """An approximate solution x of product(x) = target, and the residual target - product(x).

    ``condition`` applies the preconditioner.  It stops where ``is_done(residual)``, the matrix shows no curvature, or
    nothing is left to the preconditioner.
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
        if not (curvature > 0.0 and power > 0.0):
            break
        length = power / curvature
        solution, residual = solution + length * ahead, residual - length * curved
    return solution, residual


class TruncatedNewton:
    """Inverse Hessian at the current point, as far as conjugate gradients get (Dembo and Steihaug 1983).

    Their preconditioner is the diagonal of the Hessian; once that has cost as much, its blocks of a class or, of two
    classes, all of it.
    Limited-memory BFGS from the same diagonal took 82 passes instead of 14 on imdb5k at C = 100, and had not arrived
    after 600, instead of 34, on raw word counts (r8, C = 1).
    """

    def __init__(self, objective):
        self.objective = objective
        self.n_steps = 0
        self.is_ready = False
        self.factors: Any = None  # of the blocks
        self.flat: Any = None  # the flat directions of a class, as columns, once they were looked for
        self.n_products = 0  # since they were taken
        self.dtype = np.float32 if objective.suits_single_precision() else np.float64
        # With three classes or more products in single precision take less than half the time, with AVX-512 three
        # quarters: usps took 0.65 to 0.72 of the time, or 0.90 to 0.95, digits 0.80 or 0.95.  With two, text took 1.0
        # to 1.4 times as long.
        is_long = objective.shape[0] > 1 and objective.source.nanoseconds > OVERHEAD
        is_single = is_long and self.dtype == np.float32
        self.single = objective.in_dtype(np.float32) if is_single else objective
        self.price = self._price()
        # For two classes the diagonal often does.
        self.starts_from_sample = objective.shape[0] > 1 and self.price < inf

    def _price(self):
        """Products that take as long as the blocks and their factors: after so many they are taken anew."""
        n_outputs, q = self.objective.shape
        if n_outputs * q**2 > MAX_BLOCK_ENTRIES:
            return inf
        of_factors = FACTOR_NANOSECONDS * n_outputs * q**3
        of_product = (OF_PRODUCT if n_outputs > 1 else 1.0) * self.objective.source.nanoseconds
        return ceil((self.objective.class_blocks_nanoseconds(self.dtype) + of_factors) / of_product)

    def step(self, here, tol):
        """The step from here, and the slope of J along it."""
        self.look(here)
        accuracy = min(FORCING, max(here.violation**POWER, MARGIN * tol / max(here.violation, tol)))
        direction = -self.apply(here.standardised, accuracy)
        return self.objective.unstandardise(direction), np.vdot(here.standardised, direction)

    def look(self, here):
        """Take the Hessian here."""
        self.here: Any = here
        objective = self.single if here.violation > FINE else self.objective
        hessian = objective.hessian(here, here.violation < NEAR)
        self.product = hessian.product
        with_diagonal = self.n_steps % REFRESH == 1 and self.factors is None
        if with_diagonal or not self.n_steps:
            curvatures = hessian.diagonal(with_diagonal)
            # A feature without variance has no curvature.
            self.diagonal = np.maximum(curvatures, RIDGE * curvatures.mean())
        self.n_steps += 1
        self.is_ready = True

    def start_from(self, sample, here, pseudo_rows):
        """Begin with the blocks of a sample of the rows, at an evaluation of it."""
        H = sample.hessian(here, True).class_blocks(self.dtype)
        self._look_for_flat(H)
        hold_back(diagonal(H), pseudo_rows, sample.fit_intercept)
        self._factorise(H)

    def renew(self, here):
        """Take the blocks of the Hessian here, of each class by itself."""
        H = self.single.hessian(here, True).class_blocks(self.dtype)
        self._look_for_flat(H)
        self._factorise(H)

    def _look_for_flat(self, H):
        """Find the flat directions, unless the blocks of the mean loss show that there are none."""
        if self.flat is None and has_flat(H[0]):
            self.flat = flat_directions(self.objective)

    def _factorise(self, H):
        """Cholesky factors of the blocks of J, from the blocks of the mean loss."""
        curvatures = diagonal(H)
        typical = curvatures.mean()
        curvatures *= 1.0 + LEAST_CURVATURE
        curvatures += RIDGE * typical
        if self.flat is not None and self.flat.size:
            for H_k in H:
                flatten(H_k, self.flat)
        curvatures += self.objective.l2
        self.factors, self.n_products = [cholesky(H_k, RIDGE * typical) for H_k in H], 0

    def apply(self, gradient, accuracy=1e-6):
        """The inverse Hessian times the gradient, but for ``accuracy`` times its largest entry."""
        gradient = self.objective.apart(gradient)
        goal = accuracy * np.abs(gradient).max()

        def is_done(residual):
            return np.abs(residual).max() <= goal

        def product(step):
            self.n_products += 1
            return self.product(step)

        # Without a penalty, collinear features have no curvature but for rounding, which ends it early.
        before = self.n_products
        n_first = min(MAX_PRODUCTS, max(self.price - before, 0))
        solution, residual = conjugate_gradients(product, gradient, self.condition, is_done, n_first)
        # Blocks of other points may point to where rounding leaves no curvature at all.
        is_stuck = self.factors is not None and not solution.any()
        if (self.n_products >= self.price or is_stuck) and not is_done(residual):
            n_left = MAX_PRODUCTS - (self.n_products - before)
            self.renew(self.here)
            rest, _ = conjugate_gradients(product, residual, self.condition, is_done, n_left)
            solution = solution + rest
        return solution

    def condition(self, gradient):
        """The gradient over the diagonal of the Hessian, or times the inverses of its blocks.

        Classes stay apart: with steps of all together, which only the penalty curves, usps took four times as many
        products in the last steps.
        """
        gradient = self.objective.apart(gradient)
        if self.factors is None:
            return self.objective.apart(gradient / self.diagonal)
        return self.objective.apart(np.array([solve(*block) for block in zip(self.factors, gradient, strict=True)]))

    def update(self, here, there):
        """The next step looks at the Hessian itself: there is nothing to learn."""
