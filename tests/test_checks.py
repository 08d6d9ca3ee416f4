"""scikit-learn's common checks, over every solver and kind of penalty; nothing is expected to fail.

With SCIPY_ARRAY_API=1 in the environment scikit-learn adds the checks for array API input.
"""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_logreg import LogisticRegression

SETTINGS = [
    {},
    {"solver": "gd"},
    {"solver": "nesterov"},
    {"C": np.inf},
    {"fit_intercept": False},
    {"class_weight": "balanced"},
    {"warm_start": True},
    {"solver": "gd", "learning_rate": 0.01},
    {"n_jobs": 2},
    *({"l1_ratio": l1_ratio, "solver": s} for s in ("preconditioned", "gd", "nesterov") for l1_ratio in (0.5, 1.0)),
]
CHECKS = parametrize_with_checks([LogisticRegression(**setting) for setting in SETTINGS])


# The checks fit raw, separable and unpenalised data and cut max_iter short; the textbook solvers, and any solver at
# C = inf, then say by a ConvergenceWarning that they did not arrive, as they should.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Raised by checks that skip themselves for a package that is not installed.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
# A list, since older scikit-learn gives a generator, which pytest 9 deprecates.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), ids=CHECKS.kwargs["ids"])
def test_common_checks(estimator, check):
    check(estimator)
