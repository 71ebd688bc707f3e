"""The second moment of linearised SGD: the maps C and D, in JAX.

With H_i = J_i'J_i for the K gradient rows J_i of sample i and G the mean of the H_i, a
step with the mean Hessian H of a batch takes M to E[(I - eta H) M (I - eta H)] =

    Q(M) = M - 2 eta C(M) + eta^2 D(M),    C(M) = (GM + MG) / 2,
    D(M) = (1 - c) G M G + (c / n) sum_i H_i M H_i,

c = 1/B with replacement, (n - B) / (B (n - 1)) without (from P(i) = B/n and P(i, j) =
B (B-1) / (n (n-1))). C and D are self-adjoint, D keeps the positive semidefinite cone,
and so does C^-1 (it is 2 int exp(-Gt) . exp(-Gt) dt); hence the radius of Q is at most
one exactly for eta <= 2 / mu, mu the largest eigenvalue of C^-1 D.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float64

RANK_TOLERANCE = 1e-10  # of the largest singular value of the rows


def noise_share(n: int, batch_size: Any, replacement: bool) -> Any:
    """The factor c: the share of the full sum of H_i M H_i that sampling adds."""
    if replacement:
        return 1.0 / batch_size
    return (n - batch_size) / (batch_size * (n - 1)) if n > 1 else 0.0


class Coordinates(NamedTuple):
    """Gradient rows in eigenvectors of G.

    - `rows`: (n, K, r), columns orthogonal; columns of weak directions are zero.
    - `spectrum`: eigenvalues of G, (r,); zero where dropped.
    - `basis`: (r, q), orthonormal, with rows = given rows times basis'.
    - `values`: all eigenvalues of G, the dropped ones included, (r,).
    """

    rows: Float64[Array, "n k r"]
    spectrum: Float64[Array, " r"]
    basis: Float64[Array, "r q"]
    values: Float64[Array, " r"]


def coordinates(rows: Array, tolerance: Array | float) -> Coordinates:
    """Thin SVD of the rows (n, K, q); r = min(nK, q)."""
    n, outputs, _ = rows.shape
    left, size, basis = jnp.linalg.svd(rows.reshape(n * outputs, -1), False)
    kept = size > tolerance * size[0]
    strong = jnp.where(kept, size, 0.0)
    inside = (left * strong).reshape(n, outputs, -1)
    return Coordinates(inside, strong**2 / n, basis, size**2 / n)


class Moments(NamedTuple):
    """C and D in coordinates in which G is diagonal."""

    rows: Float64[Array, "n k r"]
    spectrum: Float64[Array, " r"]
    share: Array | float

    def weight(self) -> Array:
        """C as an entrywise factor, (r, r)."""
        return (self.spectrum[:, None] + self.spectrum) / 2

    def inner(self, a: Array, b: Array) -> Array:
        """<A, C(B)>."""
        return jnp.sum(a * self.weight() * b)

    def noise(self, m: Array) -> Array:
        """D(M): O(nK r^2), two products with the rows."""
        n, outputs, r = self.rows.shape
        flat = self.rows.reshape(n * outputs, r)
        image = (flat @ m).reshape(n, outputs, r)
        inside = jnp.einsum("ikr,ilr->ikl", image, self.rows)
        spread = jnp.einsum("ikl,ilr->ikr", inside, self.rows).reshape(n * outputs, r)
        outer = self.spectrum[:, None] * m * self.spectrum
        return (1 - self.share) * outer + self.share / n * (flat.T @ spread)

    def ratio(self, m: Array) -> Array:
        """C^-1 D (M), symmetric; zero where G moves nothing."""
        weight = self.weight()
        image = self.noise(m)
        image = (image + image.T) / 2
        return jnp.where(weight > 0, image / jnp.where(weight > 0, weight, 1.0), 0.0)
