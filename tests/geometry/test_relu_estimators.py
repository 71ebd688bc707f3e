"""The scikit-learn estimators of two-layer networks."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from lemmata.geometry.estimators import ConvexReLUClassifier, ConvexReLURegressor


@pytest.mark.slow
@parametrize_with_checks(
    [
        ConvexReLURegressor(n_patterns=10, gap_tol=1e-3),
        ConvexReLUClassifier(n_patterns=10, gap_tol=1e-3),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_regressor_learns_a_kink_and_certifies_it():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(60, 1))
    y = 3.0 + np.abs(x[:, 0])
    model = ConvexReLURegressor(1e-4, n_patterns=20).fit(x, y)
    assert model.solution_.certified
    assert model.score(x, y) > 0.99  # two units make |x|; only the decay is in the way


def test_a_constant_target_is_predicted():
    x = np.random.default_rng(1).normal(size=(20, 2))
    model = ConvexReLURegressor().fit(x, np.full(20, 7.0))
    assert model.solution_.certified
    np.testing.assert_array_equal(model.predict(x), 7.0)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_classifier_of_three_classes(loss):
    x, y = load_iris(return_X_y=True)
    x, y = x[::3], np.array(["a", "b", "c"])[y[::3]]
    model = ConvexReLUClassifier(1e-3, loss=loss, n_patterns=10).fit(x, y)
    assert all(s.certified for s in model.solutions_)
    assert model.score(x, y) > 0.95  # iris is nearly separable
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"weight_decay": 0.0}, "weight_decay: expected a number > 0"),
        ({"n_patterns": 0}, "n_patterns: expected an integer >= 1"),
        ({"loss": "exponential"}, "loss: expected 'logistic' or 'hinge'"),
    ],
)
def test_bad_parameters(options, match):
    x, y = np.eye(4), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match=match):
        ConvexReLUClassifier(**options).fit(x, y)
