"""Models that come in from elsewhere: scikit-learn's, files', convolutions."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC, SVR

import lemmata as lm
from lemmata.certify import (
    Compression,
    FrobeniusProduct,
    GaussianKernel,
    GeneralizationBounds,
    HoldOut,
    KernelClassifier,
    Occam,
    PolynomialKernel,
    margin_quantile,
)
from lemmata.core import InvalidArgument, InvalidProblem


def task(n=60):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(n, 2))
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).astype(float)


def classifier(kernel, inputs, labels, intercept=None) -> KernelClassifier:
    """Every sample votes for its label."""
    return KernelClassifier(inputs, 2 * labels - 1, kernel, intercept)


any_svc: Any = SVC  # scikit-learn's annotations know no number for gamma
any_svr: Any = SVR
any_ridge: Any = KernelRidge


@pytest.mark.parametrize(
    "estimator",
    [
        any_svc(gamma=0.5),
        any_svc(kernel="poly", degree=2, gamma="scale", coef0=1.0),
        any_svc(kernel="linear"),
        any_svr(gamma=0.3),
        any_ridge(kernel="laplacian"),
        any_ridge(kernel="rbf", gamma=2.0),
        any_ridge(kernel="polynomial", degree=3, coef0=0.5),
    ],
    ids=str,
)
def test_estimators_of_scikit_learn_come_in(estimator):
    x, y = task()
    estimator.fit(x, 2 * y - 1)
    score = getattr(estimator, "decision_function", estimator.predict)
    model = KernelClassifier.from_sklearn(estimator)
    with jax.enable_x64(True):
        found = np.array([model(row) for row in x])
    np.testing.assert_allclose(found, score(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (any_svc(kernel="sigmoid"), "rbf, laplacian, poly, linear"),
        (any_svc(kernel="poly", coef0=-1.0), r"PolynomialKernel\.offset"),
        (any_svc(), "two classes"),
        (any_ridge(kernel="cosine"), "rbf, laplacian, poly, linear"),
    ],
    ids=str,
)
def test_estimators_that_have_no_such_bound_are_refused(estimator, said):
    x, y = task()
    labels = np.arange(60) % 3 if said == "two classes" else y
    with pytest.raises(InvalidArgument, match=said):
        KernelClassifier.from_sklearn(estimator.fit(x, labels))
    with pytest.raises(InvalidArgument, match="a fitted SVC"):
        KernelClassifier.from_sklearn(type(estimator)())


def test_two_targets_at_once_are_refused():
    x, y = task()
    both = KernelRidge().fit(x, np.stack([y, 1 - y], axis=1))
    with pytest.raises(InvalidArgument, match="one target, got 2 classes"):
        KernelClassifier.from_sklearn(both)


def test_a_kernel_problem_takes_no_initial_network():
    x, y = task(8)
    packed = GeneralizationBounds(classifier(GaussianKernel(0.8), x, y), (x, y)).pack()
    for initial in (np.zeros(3), np.zeros(0)):
        with pytest.raises(InvalidArgument, match=r"\.initial: expected none"):
            GeneralizationBounds.unpack(
                packed.json, packed.arrays | {"initial": initial}
            )


def test_problem_travels_and_proposes_its_measures():
    x, y = task()
    model = classifier(PolynomialKernel(3, 0.5, 1.0), x, y, 0.1)
    problem = GeneralizationBounds(model, (x, y), (x, y))
    names = [m.name for m in problem.measures]
    assert names == ["kernel_rademacher", "hold_out"]
    packed = problem.pack()
    again = GeneralizationBounds.unpack(packed.json, packed.arrays).pack()
    assert again.json == packed.json
    for name, array in packed.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
    assert margin_quantile(model, (x, y), 0.5) > 0


def test_a_derivative_goes_through_the_classifier():
    x, y = task(8)
    model = classifier(GaussianKernel(1.0), x, y)
    with jax.enable_x64(True):
        slope = jax.grad(model)(x[0])
        step = np.array([1e-6, 0.0])
        right = (model(x[0] + step) - model(x[0] - step)) / 2e-6
    assert slope[0] == pytest.approx(float(right), rel=1e-6)


class Convolutional(eqx.Module):
    """One convolution, one dense layer, for images of one channel."""

    first: eqx.nn.Conv2d
    last: eqx.nn.Linear

    def __init__(self):
        one, two = jax.random.split(jax.random.key(0))
        self.first = eqx.nn.Conv2d(1, 2, 3, key=one)
        self.last = eqx.nn.Linear(8, 2, key=two)

    def __call__(self, x):
        return self.last(jax.nn.relu(self.first(x)).reshape(-1))


def test_convolutions_are_counted_and_their_norms_refused():
    rng = np.random.default_rng(3)
    data = rng.normal(size=(20, 1, 4, 4)), rng.integers(0, 2, 20)
    kept = (Occam(bits=32), Compression(size=3), HoldOut())
    solution = lm.solve(GeneralizationBounds(Convolutional(), data, data, kept))
    assert solution.certified
    problem = solution.problem
    errors = problem.model.errors(problem.sample) / 20
    weights = 2 * 9 + 2 + 16 + 2
    occam = errors + np.sqrt((32 * weights * np.log(2) + np.log(20)) / 40)
    assert solution.value.values[0] == pytest.approx(occam, rel=1e-9)
    with pytest.raises(InvalidProblem, match="convolutions among them: Occam"):
        GeneralizationBounds(Convolutional(), data, measures=FrobeniusProduct())
