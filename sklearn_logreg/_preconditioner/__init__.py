"""Estimates of the inverse curvature: P in W <- W - alpha P grad J(W).

==================  =====================================================  ===========================================
preconditioner      P                                                      where
==================  =====================================================  ===========================================
Hessian             inverse Hessian on a sample of rows, or on all         up to 2000 unknowns, few classes
PartialHessian      the same on weights that are not zero              three classes or more, with L1
RowSpace            inverse Hessian on the span of the rows                few rows, more features, L2
TruncatedNewton     inverse Hessian, by conjugate gradients                more unknowns or classes, no L1
WorkingSet          inverse Hessian on the features that matter            more unknowns, with L1
==================  =====================================================  ===========================================

The first two are refined by curvature pairs as the solver goes.  All but RowSpace and WorkingSet live in the
standardised coordinates of :mod:`.._objective`, where the gradient of J has no units.  With an L1 penalty the step
minimises the quadratic model that P stands for plus the penalty, without touching the data (proximal Newton; Lee, Sun
and Saunders 2014).  Along combinations of features that are the same in all rows a Hessian has the curvature of the
penalty alone (:mod:`._flat`).
"""

from __future__ import annotations

from ._choice import MAX_HESSIAN, choose
from ._descent import descend
from ._look_ahead import look_ahead
from ._symmetric import cholesky, solve

__all__ = ["MAX_HESSIAN", "cholesky", "choose", "descend", "look_ahead", "solve"]
