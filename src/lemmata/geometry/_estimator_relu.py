"""Two-layer ReLU networks as scikit-learn estimators, with a certificate."""

import warnings
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..core import Solution, solve
from ._convex_relu import ConvexReLU
from ._relu_patterns import Sampled


class _Network(BaseEstimator):
    """What the two share: scaled columns, a column of ones, one solve a class."""

    def _scaling(self, X: np.ndarray) -> np.ndarray:
        self.mean_ = X.mean(axis=0)
        spread = X.std(axis=0)
        self.scale_ = np.where(spread > 1e-12 * np.abs(self.mean_), spread, 1.0)
        return self._scaled(X)

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return np.hstack([(X - self.mean_) / self.scale_, np.ones((len(X), 1))])

    def _solved(self, X: np.ndarray, y: np.ndarray, loss: str) -> Solution:
        me: Any = self
        decay = float(me.weight_decay) * (1.0 if loss == "hinge" else len(y))
        patterns = Sampled(int(me.n_patterns), int(me.pattern_key))
        problem = ConvexReLU(
            X, y, loss, weight_decay=decay, patterns=patterns, gap_tol=me.gap_tol
        )
        solution = solve(problem, me.method, max_steps=me.max_steps, throw=False)
        if solution.result.name != "converged" or not solution.certified:
            message = f"{solution.result}\n{solution.certificate}"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        return solution

    def _check(self) -> None:
        me: Any = self
        for name, least in (("n_patterns", 1), ("max_steps", 1)):
            value = getattr(me, name)
            whole = isinstance(value, int | np.integer) and value >= least
            if not whole:
                got = f"expected an integer >= {least}, got {value!r}."
                raise ValueError(f"{name}: {got}")
        for name in ("weight_decay", "gap_tol"):
            value = getattr(me, name)
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name}: expected a number > 0, got {value!r}.")


class ConvexReLURegressor(RegressorMixin, _Network):
    """Least squares by a two-layer ReLU network, trained to its global optimum.

    min |f - y|^2 / (2 samples) + weight_decay / 2 (|U|^2 + |a|^2) over networks whose
    units have the sampled patterns; columns are standardised, y centred and scaled,
    and a column of ones serves as bias.

    **Parameters:**

    - `weight_decay`: > 0, for targets of variance one.
    - `n_patterns`, `pattern_key`: directions drawn for activation patterns.
    - `gap_tol`: certified share by which the cost may exceed the optimum.
    - `method`: of the geometry room; None: `SemismoothNewton()`.
    - `max_steps`: bound on its steps.

    **Attributes:** `network_`, `solution_` with the certificate, `n_iter_`.
    """

    def __init__(
        self,
        weight_decay: float = 0.01,
        *,
        n_patterns: int = 50,
        pattern_key: int = 0,
        gap_tol: float = 1e-4,
        method: Any = None,
        max_steps: int = 1000,
    ):
        self.weight_decay = weight_decay
        self.n_patterns = n_patterns
        self.pattern_key = pattern_key
        self.gap_tol = gap_tol
        self.method = method
        self.max_steps = max_steps

    def fit(self, X: Any, y: Any) -> "ConvexReLURegressor":
        """X (samples, features) dense, y (samples,)."""
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        self.target_mean_ = float(y.mean())
        spread = float(y.std())
        self.target_scale_ = spread if spread > 0 else 1.0
        target = (y - self.target_mean_) / self.target_scale_
        self.solution_ = self._solved(self._scaling(X), target, "squared")
        self.network_ = self.solution_.value
        self.n_iter_ = max(self.solution_.stats.steps, 1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(samples,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.network_(self._scaled(X)) * self.target_scale_ + self.target_mean_


class ConvexReLUClassifier(ClassifierMixin, _Network):
    """Classification by two-layer ReLU networks, each trained to its global optimum.

    Two classes: one network. More: one network for each class against the rest.

    **Parameters:**

    - `loss`: "logistic" or "hinge". - `weight_decay`: > 0, beside the *mean* loss.
    - the others as of `ConvexReLURegressor`.

    **Attributes:** `classes_`, `networks_`, `solutions_`, `n_iter_`.
    """

    def __init__(
        self,
        weight_decay: float = 0.01,
        *,
        loss: str = "logistic",
        n_patterns: int = 50,
        pattern_key: int = 0,
        gap_tol: float = 1e-4,
        method: Any = None,
        max_steps: int = 1000,
    ):
        self.weight_decay = weight_decay
        self.loss = loss
        self.n_patterns = n_patterns
        self.pattern_key = pattern_key
        self.gap_tol = gap_tol
        self.method = method
        self.max_steps = max_steps

    def fit(self, X: Any, y: Any) -> "ConvexReLUClassifier":
        """X (samples, features) dense, y any labels."""
        self._check()
        if self.loss not in ("logistic", "hinge"):
            raise ValueError(
                f"loss: expected 'logistic' or 'hinge', got {self.loss!r}."
            )
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if self.classes_.size < 2:
            only = self.classes_[0]
            raise ValueError(f"y: expected two classes or more, got 1 class: {only!r}.")
        inputs = self._scaling(X)
        targets = self.classes_[1:] if self.classes_.size == 2 else self.classes_
        self.solutions_ = [
            self._solved(inputs, np.where(y == c, 1.0, -1.0), self.loss)
            for c in targets
        ]
        self.networks_ = [solution.value for solution in self.solutions_]
        self.n_iter_ = max(max(s.stats.steps for s in self.solutions_), 1)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """(samples,) for two classes, else (samples, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = self._scaled(X)
        scores = np.stack([network(inputs) for network in self.networks_], axis=1)
        return scores[:, 0] if self.classes_.size == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Logistic probabilities, (samples, classes); one against the rest, normed."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([expit(-scores), expit(scores)], axis=1)
        share = expit(scores)
        return share / np.sum(share, axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The class with the greatest score, (samples,)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(int)]
        return self.classes_[np.argmax(scores, axis=1)]
