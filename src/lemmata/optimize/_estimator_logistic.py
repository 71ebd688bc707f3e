"""Logistic regression with a certificate, two classes or more."""

from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ._composite import CompositeProblem
from ._estimator_fit import check_real, solved, with_ones
from ._losses import Logistic, Softmax
from ._penalties import L1, Unpenalised


class BlockLogisticRegression(ClassifierMixin, BaseEstimator):
    """min C sum log-loss + ||w||_2^2 / 2, or + ||w||_1; the intercept goes free.

    The objective, parameters and attributes of scikit-learn's `LogisticRegression`
    (multinomial beyond two classes), fitted by block coordinate descent. The problem
    that is solved, and whose gap is certified, is that objective divided by C.

    **Parameters:**

    - `C`: weight of the data, > 0.
    - `penalty`: "l2", "l1" or None.
    - `fit_intercept`: whether there is one.
    - `gap_tol`: certified distance from the minimum, as a share of the objective at
      zero, samples * log(classes).
    - `method`: a `BlockCoordinateDescent`; None: the problem's default.
    - `max_steps`: bound on the block steps.

    **Attributes:**

    - `classes_`, `coef_` (1 or classes, features), `intercept_`, `n_iter_`.
    - `solution_`: the `Solution`: certificate, problem, statistics.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        penalty: str | None = "l2",
        fit_intercept: bool = True,
        gap_tol: float = 1e-8,
        method: Any = None,
        max_steps: int = 10_000,
    ):
        self.C = C
        self.penalty = penalty
        self.fit_intercept = fit_intercept
        self.gap_tol = gap_tol
        self.method = method
        self.max_steps = max_steps

    def fit(self, X: Any, y: Any) -> "BlockLogisticRegression":
        """Fits coefficients; X (samples, features) dense or sparse, y any labels."""
        check_real("C", self.C, 0, above=True)
        if self.penalty not in ("l2", "l1", None):
            got = f"expected 'l2', 'l1' or None, got {self.penalty!r}."
            raise ValueError(f"penalty: {got}")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        k = self.classes_.size
        if k < 2:
            only = self.classes_[0]
            raise ValueError(f"y: expected two classes or more, got 1 class: {only!r}.")
        problem = self._problem(X, label, k)
        self.solution_ = solved(problem, self.method, self.max_steps)
        found = np.array(self.solution_.value.coefficients)
        table = found[None, :] if k == 2 else found.reshape(-1, k).T
        self.coef_ = table[:, : X.shape[1]].copy()
        free = table[:, -1].copy() if self.fit_intercept else np.zeros(table.shape[0])
        # A shift of all classes changes nothing; scikit-learn's sums to zero.
        self.intercept_ = free - free.mean() if k > 2 else free
        self.n_iter_ = np.array([self.solution_.stats.steps])
        return self

    def _problem(self, X: Any, label: np.ndarray, k: int) -> CompositeProblem:
        width = 1 if k == 2 else k
        weights = np.full((X.shape[1], width), 1.0 / float(self.C))
        if self.fit_intercept:
            X = with_ones(X)
            weights = np.vstack([weights, np.zeros((1, width))])
        weights = weights.reshape(-1)
        ridge = weights if self.penalty == "l2" else 0.0
        loss = (
            Logistic(X, np.where(label == 1, 1.0, -1.0), ridge)
            if k == 2
            else Softmax(X, label.astype(np.float64), k, ridge)
        )
        penalty = L1(weights) if self.penalty == "l1" else Unpenalised()
        return CompositeProblem(loss, penalty, gap_tol=self.gap_tol)

    def decision_function(self, X: Any) -> np.ndarray:
        """X w + intercept: (samples,) for two classes, else (samples, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        scores = np.asarray(X @ self.coef_.T) + self.intercept_
        return scores[:, 0] if self.classes_.size == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, (samples, classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return softmax(scores, axis=1)
        return np.stack([expit(-scores), expit(scores)], axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the class probabilities, (samples, classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            top = scores - scores.max(axis=1, keepdims=True)
            return top - np.log(np.sum(np.exp(top), axis=1, keepdims=True))
        both = np.stack([scores, -scores], axis=1)
        return -np.logaddexp(0.0, both)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class, (samples,)."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return self.classes_[np.argmax(scores, axis=1)]
        return self.classes_[(scores > 0).astype(int)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
