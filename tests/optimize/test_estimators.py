"""scikit-learn estimators: its own checks, its own objective on three data sets."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.utils.estimator_checks import check_estimator

from lemmata.optimize.estimators import (
    BlockLabelPropagation,
    BlockLasso,
    BlockLogisticRegression,
)

pytestmark = pytest.mark.slow  # long to compile

# Agreement asked for: 1e-9 of the objective; both sides solve far below that.
RTOL = 1e-9


def lasso_objective(model, X, y):
    r = y - X @ model.coef_ - model.intercept_
    return r @ r / (2 * y.size) + model.alpha * np.sum(np.abs(model.coef_))


def logistic_objective(model, X, y, C):
    scores = X @ model.coef_.T + model.intercept_
    if scores.shape[1] == 1:
        t = np.where(y == model.classes_[1], 1.0, -1.0) * scores[:, 0]
        loss = np.sum(np.logaddexp(0, -t))
    else:
        top = scores.max(axis=1)
        level = np.log(np.sum(np.exp(scores - top[:, None]), axis=1)) + top
        kind = np.searchsorted(model.classes_, y)
        loss = np.sum(level - scores[np.arange(y.size), kind])
    return C * loss + np.sum(model.coef_**2) / 2


@pytest.mark.slow
@pytest.mark.parametrize("positive", [False, True])
def test_lasso_on_diabetes_with_cubic_features(positive):
    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(3, include_bias=False).fit_transform(X)
    X = StandardScaler().fit_transform(X)
    ours = BlockLasso(2.0, positive=positive, gap_tol=1e-12).fit(X, y)
    peer = Lasso(2.0, positive=positive, tol=1e-14, max_iter=10**6).fit(X, y)
    mine, theirs = (lasso_objective(one, X, y) for one in (ours, peer))
    assert mine == pytest.approx(theirs, rel=RTOL)
    assert ours.solution_.certified
    np.testing.assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_logistic_on_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours = BlockLogisticRegression(0.5, gap_tol=1e-13).fit(X, y)
    peer = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12)
    peer.fit(X, y)
    mine, theirs = (logistic_objective(one, X, y, 0.5) for one in (ours, peer))
    assert mine == pytest.approx(theirs, rel=RTOL)
    assert ours.solution_.certified
    assert np.array_equal(ours.predict(X), peer.predict(X))
    np.testing.assert_allclose(ours.intercept_, peer.intercept_, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_softmax_on_digits():
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    ours = BlockLogisticRegression(0.1, gap_tol=1e-12).fit(X, y)
    peer = LogisticRegression(C=0.1, solver="newton-cg", tol=1e-10, max_iter=1000)
    peer.fit(X, y)
    mine, theirs = (logistic_objective(one, X, y, 0.1) for one in (ours, peer))
    assert mine == pytest.approx(theirs, rel=RTOL)
    assert ours.solution_.certified


@pytest.mark.slow
def test_propagation_on_digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400] / 16.0, y[:400]
    seen = np.where(np.arange(400) % 10 == 0, y, -1)
    ours = BlockLabelPropagation("rbf", gamma=2.0, gap_tol=1e-12).fit(X, seen)
    peer = LabelPropagation(kernel="rbf", gamma=2.0, tol=1e-12, max_iter=10**5)
    peer.fit(X, seen)
    assert all(solution.certified for solution in ours.solutions_)
    np.testing.assert_allclose(
        ours.label_distributions_, peer.label_distributions_, atol=1e-5
    )
    assert np.mean(ours.transduction_ == y) > 0.8


def test_sparse_and_dense_data_give_the_same_lasso():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4)) * (rng.random((20, 4)) < 0.5) + 0.0
    y = X[:, 0] * 3 + 2 + 0.1 * rng.normal(size=20)
    dense = BlockLasso(0.1, gap_tol=1e-12).fit(X, y)
    sparse = BlockLasso(0.1, gap_tol=1e-12).fit(scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(dense.coef_, sparse.coef_, atol=1e-5)
    assert dense.intercept_ == pytest.approx(sparse.intercept_, abs=1e-5)
    assert dense.solution_.certified
    assert sparse.solution_.certified


def test_propagation_solves_the_harmonic_equations():
    X = np.arange(6.0)[:, None]
    y = np.array([0, -1, -1, -1, -1, 1])
    model = BlockLabelPropagation("knn", n_neighbors=1, unsolvable="refuse")
    model.n_neighbors = 2
    found = model.fit(X, y).label_distributions_
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert np.all(np.diff(found[:, 1]) > 0)
    assert model.solution_.certified


def test_bad_parameters_are_named():
    X, y = np.ones((4, 2)) * np.arange(4)[:, None], np.array([0, 1, 0, 1])
    for model, name in (
        (BlockLasso(-1.0), "alpha"),
        (BlockLogisticRegression(0.0), "C"),
        (BlockLogisticRegression(penalty="l3"), "penalty"),
        (BlockLabelPropagation("cubic"), "kernel"),
    ):
        with pytest.raises(ValueError, match=name):
            model.fit(X, y)


EXCUSED = {
    # Labels -1 and 1: here, as in scikit-learn's own LabelPropagation, which its
    # checks exempt by name, -1 means that there is no label.
    "BlockLabelPropagation": {
        "check_classifiers_classes": "-1 means that there is no label"
    }
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [BlockLasso(), BlockLogisticRegression(), BlockLabelPropagation()]
)
def test_scikit_learns_own_checks(model):
    excused = EXCUSED.get(type(model).__name__, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skipped checks warn
        check_estimator(model, expected_failed_checks=excused)
