"""The scikit-learn classifier that says which block of features it looked at."""

import warnings

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from lemmata.geometry.estimators import TokenSelector


def test_selector_finds_the_block_that_decides():
    """Labels depend on the second of three blocks; shares sum to one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6))
    y = np.where(X[:, 2] + X[:, 3] > 0, "yes", "no")
    model = TokenSelector(3, steps=60).fit(X, y)
    share = model.transform(X)
    assert share.shape == (40, 3)
    np.testing.assert_allclose(share.sum(axis=1), 1.0)
    assert np.argmax(share.mean(axis=0)) == 1
    assert np.mean(model.predict(X) == y) > 0.9
    assert model.n_iter_ == 60
    assert model.weights_.shape == (7, 7)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"n_tokens": 1}, "n_tokens"), ({"steps": 0}, "steps"), ({"C": 0.0}, "C")],
)
def test_bad_parameters_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        TokenSelector(**options).fit(np.eye(4), [0, 1, 0, 1])


@pytest.mark.slow
def test_scikit_learns_own_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks warn
        check_estimator(TokenSelector())
