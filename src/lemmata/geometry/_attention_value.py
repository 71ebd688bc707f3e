"""Answers of the attention problems: weights, with multipliers or factors."""

from typing import Any, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64

from ..core import AbstractValue, AnyArray, array64

_SUPPORT = 1e-6  # margins up to 1 + this are called support
_RANK = 1e-9  # singular values above this share of the largest count


@final
class AttentionWeights(AbstractValue):
    """Weights W that separate one token of each input from the others.

    The figures below are floating-point; what is proved stands in the certificate.

    **Fields:**

    - `weights`: W, shape (d, d); scores are X_i W z_i.
    - `multipliers`: mu, shape (n, T), not negative: the dual solution, or, where no W
      separates, a combination sum mu A = 0.
    - `problem`: the `AttentionSVM` that they answer.
    """

    weights: Float64[AnyArray, "d d"] = eqx.field(converter=array64)
    multipliers: Float64[AnyArray, "n t"] = eqx.field(converter=array64)
    problem: Any

    def pack(self) -> dict[str, np.ndarray]:
        return {
            name: np.ascontiguousarray(getattr(self, name), dtype="<f8")
            for name in ("weights", "multipliers")
        }

    @property
    def selected(self) -> np.ndarray:
        """The token that has the highest score X_i W z_i in each input, shape (n,)."""
        return selected_tokens(self.weights, self.problem)

    @property
    def margins(self) -> np.ndarray:
        """(x_i,selected - x_it)' W z_i, shape (n, T); infinite where none is asked."""
        constraints = self.problem.constraints()
        found = constraints.margins(np.asarray(self.weights))
        return np.where(constraints.active, found, np.inf)

    @property
    def support(self) -> np.ndarray:
        """Tokens whose margin is 1 but for 1e-6, shape (n, T)."""
        return self.margins <= 1 + _SUPPORT

    @property
    def rank(self) -> int:
        """The numerical rank of W."""
        return numerical_rank(np.asarray(self.weights))


@final
class TrainedAttention(AbstractValue):
    """Weights of a trained attention layer: W, or K and Q with W = K Q'.

    **Fields:**

    - `joint`: W, shape (d, d), or None.
    - `key_weights`, `query_weights`: K and Q, shape (d, m), or None.
    """

    joint: Float64[AnyArray, "d d"] | None
    key_weights: Float64[AnyArray, "d m"] | None = None
    query_weights: Float64[AnyArray, "d m"] | None = None

    @property
    def weights(self) -> Any:
        """W, shape (d, d)."""
        if self.joint is not None:
            return self.joint
        keys, queries = self.key_weights, self.query_weights
        assert keys is not None
        assert queries is not None
        return keys @ queries.T

    @property
    def factored(self) -> bool:
        """Whether the weights are K and Q."""
        return self.joint is None

    def pack(self) -> dict[str, np.ndarray]:
        named = {
            "weights": self.joint,
            "key_weights": self.key_weights,
            "query_weights": self.query_weights,
        }
        return {
            name: np.ascontiguousarray(array, dtype="<f8")
            for name, array in named.items()
            if array is not None
        }


def selected_tokens(weights: Any, problem: Any) -> np.ndarray:
    """argmax_t of x_it' W z_i, shape (n,); padding is never selected."""
    tokens, queries = np.asarray(problem.tokens), np.asarray(problem.queries)
    images = queries @ np.asarray(weights).T
    scores = np.sum(tokens * images[:, None, :], axis=-1)
    places = np.arange(tokens.shape[1])[None, :]
    inside = places < np.asarray(problem.lengths)[:, None]
    return np.argmax(np.where(inside, scores, -np.inf), axis=1)


def numerical_rank(matrix: np.ndarray) -> int:
    """Singular values above 1e-9 of the largest."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return int(np.sum(values > _RANK * values[0])) if values[0] > 0 else 0
