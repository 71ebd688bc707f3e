"""Lasso with a certificate."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ._composite import CompositeProblem
from ._estimator_fit import check_real, solved, with_ones
from ._losses import LeastSquares
from ._penalties import L1, NonNegativeL1

_DENSE_ENTRIES = 2**25


class BlockLasso(RegressorMixin, BaseEstimator):
    """min ||y - X w - intercept||^2 / (2 samples) + alpha ||w||_1.

    The objective, parameters and attributes of scikit-learn's `Lasso`, fitted by block
    coordinate descent. Dense data are centred for the intercept; for sparse data it is
    a coefficient of its own, without penalty.

    **Parameters:**

    - `alpha`: strength, >= 0.
    - `fit_intercept`: whether there is one.
    - `positive`: whether w >= 0.
    - `gap_tol`: certified distance from the minimum, as a share of the objective at
      zero.
    - `method`: a `BlockCoordinateDescent`; None: the problem's default.
    - `max_steps`: bound on the block steps.

    **Attributes:**

    - `coef_` (features,), `sparse_coef_`, `intercept_`, `n_iter_`.
    - `solution_`: the `Solution`: certificate, problem, statistics.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        gap_tol: float = 1e-8,
        method: Any = None,
        max_steps: int = 10_000,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.gap_tol = gap_tol
        self.method = method
        self.max_steps = max_steps

    def fit(self, X: Any, y: Any) -> "BlockLasso":
        """Fits coefficients; X (samples, features) dense or sparse, y (samples,)."""
        check_real("alpha", self.alpha, 0)
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float64, y_numeric=True
        )
        y = np.asarray(y, dtype=np.float64)
        strength = float(self.alpha) * X.shape[0]
        if scipy.sparse.issparse(X) and self.fit_intercept and self.positive:
            X = _dense(X)  # no penalty here leaves one coefficient of many unsigned
        column = self.fit_intercept and scipy.sparse.issparse(X)
        means, offset = np.zeros(X.shape[1]), 0.0
        penalty = NonNegativeL1(strength) if self.positive else L1(strength)
        if column:
            penalty = L1(np.append(np.full(X.shape[1], strength), 0.0))
            X = with_ones(X)
        elif self.fit_intercept:
            means, offset = X.mean(axis=0), float(y.mean())
            X, y = X - means, y - offset
        problem = CompositeProblem(LeastSquares(X, y), penalty, gap_tol=self.gap_tol)
        self.solution_ = solved(problem, self.method, self.max_steps)
        found = np.array(self.solution_.value.coefficients)
        self.coef_ = found[:-1] if column else found
        shift = found[-1] if column else offset - means @ self.coef_
        self.intercept_ = float(shift) if self.fit_intercept else 0.0
        self.n_iter_ = self.solution_.stats.steps
        return self

    @property
    def sparse_coef_(self) -> scipy.sparse.csr_array:
        """The coefficients as a sparse row."""
        return scipy.sparse.csr_array(self.coef_[None, :])

    def predict(self, X: Any) -> np.ndarray:
        """X w + intercept, (samples,)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_) + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> np.ndarray:
    if X.shape[0] * X.shape[1] > _DENSE_ENTRIES:
        raise ValueError(
            "positive=True with an intercept needs dense X, which is too large here: "
            "set fit_intercept=False."
        )
    return X.toarray()
