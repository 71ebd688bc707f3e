"""The nuclear attention SVM in the spans of token differences and queries.

W = P X Z' with P spanning the differences and Z the queries: outside them W only adds
to the norm. Constraints are divided by their sizes: <A_k, X> >= b_k, b_k = 1 / ||A_k||.
"""

from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64

from ._attention_constraints import Constraints


class Reduced(eqx.Module):
    """Constraints on X of shape (p, q), p = min(d, n T), q = min(d, n).

    **Fields:**

    - `rows`, `columns`: orthonormal P (d, p) and Z (d, q).
    - `constraints`: in the reduced coordinates, unit size each.
    - `bound`: b, shape (n, T); zero where not active.
    """

    rows: Float64[Array, "d p"]
    columns: Float64[Array, "d q"]
    constraints: Constraints
    bound: Float64[Array, "n t"]

    @classmethod
    def of(cls, constraints: Constraints) -> Self:
        """Orthonormal bases by QR; identities where the spans may be everything."""
        n, t, d = constraints.differences.shape
        flat = constraints.differences.reshape(n * t, d)
        rows = jnp.linalg.qr(flat.T)[0] if n * t < d else jnp.eye(d)
        queries = jnp.asarray(constraints.queries)
        columns = jnp.linalg.qr(queries.T)[0] if n < d else jnp.eye(d)
        active = jnp.asarray(constraints.active)
        sizes = jnp.where(active, constraints.sizes(), 1.0)
        unit = (flat @ rows).reshape(n, t, -1) / sizes[:, :, None]
        reduced = Constraints(unit, queries @ columns, active)
        return cls(rows, columns, reduced, jnp.where(active, 1 / sizes, 0.0))

    def lift(self, matrix: Any) -> Any:
        """P X Z', shape (d, d)."""
        return self.rows @ matrix @ self.columns.T

    @property
    def active(self) -> Bool[Array, "n t"]:
        """Where a constraint is asked."""
        return jnp.asarray(self.constraints.active)


def worth(reduced: Reduced, matrix: Any, multipliers: Any) -> tuple[Any, Any]:
    """(relative gap, least margin) of X and mu (n, T) for the unit constraints.

    ||X||_* / (least <A, X> / b) against sum mu b / ||sum mu A||_op.
    """
    ratio = reduced.constraints.margins(matrix) / jnp.where(
        reduced.active, reduced.bound, 1.0
    )
    least = jnp.min(jnp.where(reduced.active, ratio, jnp.inf))
    primal = jnp.sum(jnp.linalg.svd(matrix, compute_uv=False))
    dual = jnp.linalg.svd(reduced.constraints.combine(multipliers), compute_uv=False)[0]
    total = jnp.sum(multipliers * reduced.bound)
    good = (least > 0) & (total > 0)
    bound = jnp.where(good, least * total, 1.0)
    gap = jnp.where(good, primal * dual / bound - 1, jnp.inf)
    return jnp.maximum(gap, 0.0), least
