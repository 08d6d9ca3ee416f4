"""Numbers that nobody here computed: published coefficients, glmnet's solutions, scikit-learn's tightest solver.

Sources and citations: data/README.md.
"""

import numpy as np
import pytest
import sklearn.linear_model
from conftest import assert_optimal, cost, load, references
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from sklearn_logreg import LogisticRegression

PUBLISHED = ["spector", "vaso", "lowbwt_stata"]


def unpenalised(name, tol, **options):
    """Intercept and coefficients of the maximum likelihood fit."""
    X, y = load(name)
    model = LogisticRegression(C=np.inf, tol=tol, **options).fit(X, y)
    return model, np.append(model.intercept_, model.coef_)


def half_unit(printed):
    """Half a unit of the last digit of a printed number."""
    _, _, decimals = printed.partition(".")
    return 0.5 * 10.0 ** -len(decimals)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_coefficients_to_the_digits_printed(name):
    _, found = unpenalised(name, 1e-10)
    for term, value, printed in zip(references(name)["terms"], found, references(name)["published"], strict=True):
        # Stata stopped spector at its own tolerance, 1.3e-7 from the optimum; R and Stata printed lowbwt one iteration
        # early, 1e-8 from it.
        slack = {"spector": 2e-7 * abs(value), "lowbwt_stata": 2e-8}.get(name, 0.0)
        assert abs(value - float(printed)) <= half_unit(printed) * (1 + 1e-6) + slack, f"{term}: {value} for {printed}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_coefficients_at_the_default_tolerance(name):
    _, found = unpenalised(name, 1e-6)
    assert_allclose(found, [float(printed) for printed in references(name)["published"]], rtol=1e-4, atol=5e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_exact_maximum_likelihood(name):
    _, found = unpenalised(name, 1e-10)
    assert_allclose(found, [float(digits) for digits in references(name)["exact"]], rtol=1e-8)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("solver", ["gd", "nesterov"])
def test_exact_maximum_likelihood_by_the_textbook_solvers(name, solver):
    # On standardised features, transformed back: w_j = u_j / sd_j, b = c - sum_j mean_j w_j.
    X, y = load(name)
    mean, sd = X.mean(axis=0), X.std(axis=0)
    model = LogisticRegression(C=np.inf, solver=solver, tol=1e-10, max_iter=20_000).fit((X - mean) / sd, y)
    w = model.coef_[0] / sd
    found = np.append(model.intercept_[0] - mean @ w, w)
    assert_allclose(found, [float(digits) for digits in references(name)["exact"]], rtol=1e-8)


@pytest.mark.parametrize("name, key", [("lowbwt_stata", "published_deviance"), ("spector", "published_llf")])
def test_published_likelihood(name, key):
    # J is the mean log loss: deviance = 2 n J, log-likelihood = -n J.
    model, _ = unpenalised(name, 1e-10)
    n = len(load(name)[1])
    factor = 2 * n if key == "published_deviance" else -n
    printed = references(name)[key]
    assert abs(factor * model.loss_curve_[-1] - float(printed)) <= max(half_unit(printed), 1e-10)


def test_quasi_separable_data_approach_the_published_limit():
    # endometrial: NV grows for ever, the other coefficients and the deviance have the published limits.
    X, y = load("endometrial")
    with pytest.warns(ConvergenceWarning, match="separable"):
        model = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    b, nv, pi, eh = (float(printed) for printed in references("endometrial")["published"])
    assert nv == np.inf and model.coef_[0, 0] > 5.0
    deviance = float(references("endometrial")["published_deviance"])
    assert_allclose(2 * len(y) * model.loss_curve_.min(), deviance, atol=5e-2)
    assert_allclose([model.intercept_[0], *model.coef_[0, 1:]], [b, pi, eh], rtol=2e-2)


@pytest.mark.parametrize("solver", ["gd", "nesterov", "preconditioned"])
@pytest.mark.parametrize("number", range(9))
def test_glmnet(number, solver):
    # R: glmnet(X, y, family = "binomial", alpha, lambda, intercept = FALSE, standardize = FALSE); its objective is
    # (1/n) sum loss + lambda (alpha |w|_1 + (1 - alpha)/2 |w|_2^2), hence C = 1/(n lambda), l1_ratio = alpha.
    X, y = load("enet_binomial")
    solution = references("enet_binomial")["solutions"][number]
    model = LogisticRegression(
        C=1.0 / (len(y) * solution["lambda"]),
        l1_ratio=solution["alpha"],
        fit_intercept=False,
        solver=solver,
        tol=1e-9,
        max_iter=5000,
    ).fit(X, y)
    expected = np.array(solution["glmnet"])
    # glmnet stops within 1.8e-5 of the optimum (its thresh = 1e-7).
    assert_allclose(model.coef_[0], expected, atol=2e-5)
    assert ((model.coef_[0] == 0.0) == (expected == 0.0)).all(), "the same features are left out"
    at_theirs = cost(X, y, None, model.C, model.l1_ratio, expected[None], [0.0], [0, 1])
    assert model.loss_curve_[-1] <= at_theirs


def newton_cholesky(X, y, C):
    """scikit-learn's tightest solver; a warning would be an error."""
    return sklearn.linear_model.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_raw_breast_cancer_at_the_default_tolerance(breast_cancer, C):
    X, y = breast_cancer
    model = LogisticRegression(C=C).fit(X, y)
    assert_allclose(model.coef_, newton_cholesky(X, y, C).coef_, rtol=1e-4)


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_raw_breast_cancer_at_a_tight_tolerance(breast_cancer, C):
    X, y = breast_cancer
    model = LogisticRegression(C=C, tol=1e-9).fit(X, y)
    expected = newton_cholesky(X, y, C)
    assert_optimal(model, X, y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    assert_allclose(model.intercept_, expected.intercept_, rtol=1e-6)


@pytest.mark.parametrize("C", [0.1, 10.0])
@pytest.mark.parametrize("name", ["lowbwt_stata", "endometrial", "glmnet_binomial", "dermatology", "vowel"])
def test_small_real_data(name, C):
    X, y = load(name)
    model, expected = LogisticRegression(C=C, tol=1e-9).fit(X, y), newton_cholesky(X, y, C)
    scale = np.abs(expected.coef_).max()
    assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-6 * scale)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), rtol=1e-4, atol=1e-8)


def test_raw_digits(digits):
    X, y = digits
    model, expected = LogisticRegression().fit(X, y), newton_cholesky(X, y, 1.0)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-3)
    assert_allclose(model.coef_, expected.coef_, atol=1e-3 * np.abs(expected.coef_).max())
