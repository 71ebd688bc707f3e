"""One attention layer as a scikit-learn classifier that says what it looked at."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..core import solve
from ._attention_descent import NormalizedGradient
from ._attention_generalized import probabilities
from ._attention_training import AttentionTraining


class TokenSelector(TransformerMixin, ClassifierMixin, BaseEstimator):
    """Binary classification by attention over blocks of features.

    The features are cut into blocks. Token t of a sample holds block t in its place,
    zeros elsewhere, and a one; the query is the mean token. The head is a logistic
    regression on mean tokens, and the weights are trained by gradient steps, so that
    `transform` says how much of its decision each sample takes from each block.

    **Parameters:**

    - `n_tokens`: blocks T >= 2; None: the square root of the number of features,
      rounded up.
    - `method`: a training method of `AttentionTraining`; None: `NormalizedGradient` for
      `steps` steps from zero.
    - `steps`: gradient steps of the default method, >= 1.
    - `C`: inverse strength of the head's penalty, > 0.

    **Attributes:**

    - `classes_`, `head_` (features + 1,), `weights_` (features + 1, features + 1),
      `n_tokens_`, `n_iter_`.
    - `solution_`: the `Solution`: certificate, problem, statistics.
    """

    def __init__(
        self,
        n_tokens: int | None = None,
        *,
        method: Any = None,
        steps: int = 200,
        C: float = 1.0,
    ):
        self.n_tokens = n_tokens
        self.method = method
        self.steps = steps
        self.C = C

    def fit(self, X: Any, y: Any) -> "TokenSelector":
        """Trains head and weights; X (samples, features), y two labels."""
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if self.classes_.size != 2:
            count = self.classes_.size
            plural = "class" if count == 1 else "classes"
            raise ValueError(
                f"Only binary classification is supported: got {count} {plural}."
            )
        t = self.n_tokens or int(np.ceil(np.sqrt(X.shape[1])))
        self.n_tokens_ = max(t, 2)
        tokens = self._tokens(X)
        means = tokens.mean(axis=1)
        head = LogisticRegression(C=self.C, fit_intercept=False, max_iter=1000)
        head.fit(means * self.n_tokens_, label)
        self.head_ = head.coef_[0] * self.n_tokens_
        signs = np.where(label == 1, 1.0, -1.0)
        problem = AttentionTraining(tokens, means, signs, self.head_)
        method = self.method
        if method is None:
            size = 0.1 / max(float(np.abs(tokens).max()), 1e-12)
            method = NormalizedGradient(
                step_size=size, steps=self.steps, start_scale=0.0
            )
        self.solution_ = solve(problem, method, throw=False)
        self.weights_ = np.array(self.solution_.value.weights)
        self.n_iter_ = int(self.solution_.stats.trace["gradient_steps"][-1])
        return self

    def _check_parameters(self) -> None:
        t = self.n_tokens
        if t is not None and (not isinstance(t, int | np.integer) or t < 2):
            raise ValueError(f"n_tokens: expected None or an integer >= 2, got {t!r}.")
        if not isinstance(self.steps, int | np.integer) or self.steps < 1:
            raise ValueError(f"steps: expected an integer >= 1, got {self.steps!r}.")
        if not isinstance(self.C, int | float) or not self.C > 0:
            raise ValueError(f"C: expected a number > 0, got {self.C!r}.")

    def _tokens(self, X: np.ndarray) -> np.ndarray:
        """(samples, T, features + 1): each block in its place, and a one."""
        samples, features = X.shape
        owner = np.arange(features) * self.n_tokens_ // features
        inside = owner[None, :] == np.arange(self.n_tokens_)[:, None]
        tokens = np.ones((samples, self.n_tokens_, features + 1))
        tokens[:, :, :-1] = X[:, None, :] * inside[None, :, :]
        return tokens

    def transform(self, X: Any) -> np.ndarray:
        """The share of attention that each block gets, (samples, T)."""
        return self._attended(X)[1]

    def _attended(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        tokens = self._tokens(X)
        # labels play no part in what is attended to
        problem = AttentionTraining(
            tokens, tokens.mean(axis=1), np.ones(len(X)), self.head_
        )
        return tokens, probabilities(problem, self.weights_)

    def decision_function(self, X: Any) -> np.ndarray:
        """The model v' X' softmax(X W z), (samples,)."""
        tokens, share = self._attended(X)
        return np.einsum("nt,ntd,d->n", share, tokens, self.head_)

    def predict(self, X: Any) -> np.ndarray:
        """The likelier class, (samples,)."""
        above = self.decision_function(X) > 0
        return self.classes_[above.astype(int)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
