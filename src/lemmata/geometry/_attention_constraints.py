"""The linear constraints of the attention SVM, without d x d matrices per constraint.

A_it = (x_i,selected - x_it) z_i' stands for the constraint <A_it, W> >= 1. Everything
below works on differences (n, T, d) and queries (n, d), in NumPy and in JAX.
"""

from typing import Any, Self

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float64

from ..core import AnyArray


class Constraints(eqx.Module):
    """All A_it, those that count marked by `active`.

    **Fields:**

    - `differences`: x_i,selected - x_it, shape (n, T, d); zero where not active.
    - `queries`: z_i, shape (n, d).
    - `active`: shape (n, T); False at the selected token and at padding.
    """

    differences: Float64[AnyArray, "n t d"]
    queries: Float64[AnyArray, "n d"]
    active: Bool[AnyArray, "n t"]

    @classmethod
    def of(cls, tokens: Any, queries: Any, selected: Any, lengths: Any) -> Self:
        """Constraints that select one token of each input, in NumPy or JAX."""
        n, t, _ = tokens.shape
        places = np.arange(t)[None, :]
        active = (places != selected[:, None]) & (places < lengths[:, None])
        chosen = tokens[np.arange(n), selected]
        differences = (chosen[:, None, :] - tokens) * active[:, :, None]
        return cls(differences, queries, active)

    @property
    def count(self) -> int:
        """How many there are, n T, the inactive ones included."""
        return self.differences.shape[0] * self.differences.shape[1]

    def margins(self, weights: Any) -> Any:
        """<A_it, W>, shape (n, T); zero where not active."""
        images = self.queries @ weights.T
        return (self.differences * images[:, None, :]).sum(-1)

    def rounding(self, weights: Any) -> Any:
        """More than any evaluation of a margin rounds by, shape (n, T).

        Two sums of d products err by (2 d + 4) u |D| |W| |z|; this is twice as much.
        """
        d = self.queries.shape[1]
        images = abs(self.queries) @ abs(weights).T
        size = (abs(self.differences) * images[:, None, :]).sum(-1)
        return (4 * d + 32) * 2.0**-53 * size

    def combine(self, multipliers: Any) -> Any:
        """The sum of mu_it A_it, shape (d, d), for mu of shape (n, T)."""
        rows = (multipliers[:, :, None] * self.differences).sum(1)
        return rows.T @ self.queries

    def gram(self) -> Any:
        """<A_k, A_l>, shape (n T, n T): inner products of tokens times those of z."""
        n, t, d = self.differences.shape
        flat = self.differences.reshape(n * t, d)
        tokens = (flat @ flat.T).reshape(n, t, n, t)
        queries = (self.queries @ self.queries.T)[:, None, :, None]
        return (tokens * queries).reshape(n * t, n * t)

    def sizes(self) -> Any:
        """||A_it||_F = ||x_i,selected - x_it|| ||z_i||, shape (n, T)."""
        square = (self.differences * self.differences).sum(-1)
        return (square * (self.queries * self.queries).sum(-1)[:, None]) ** 0.5
