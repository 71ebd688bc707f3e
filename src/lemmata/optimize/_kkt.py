"""The KKT matrix [[B, G^T], [G, 0]] of a Newton step, and what is known of it.

B = H where the reduced Hessian Z^T H Z is positive enough, Z a null basis of G, and
else H + (xi + ||H||_F) I. Stored, or known by its products alone.
"""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import require
from ..numerics.equilibration import (
    PROBES,
    SWEEPS,
    equilibrated,
    equilibrated_by_products,
)
from ._lagrangian import hessian, jacobian, lagrangian_gradient


class StoredOperator(eqx.Module):
    """A symmetric matrix in memory."""

    matrix: Float64[Array, "N N"]

    def times(self, vectors: Array) -> Array:
        return self.matrix @ vectors

    def rows(self, indices: Array) -> Array:
        return self.matrix[:, indices]  # = K_i, K symmetric

    def row_norms(self) -> Array:
        return jnp.linalg.norm(self.matrix, axis=0)


class ProductOperator(eqx.Module):
    """D [[H + t I, G^T], [G, 0]] D by products: H is a linearised gradient."""

    curve: Any  # v -> H v
    jacobian: Float64[Array, "m n"]
    shift: Float64[Array, ""]
    scale: Float64[Array, " N"]
    norms: Float64[Array, " N"]

    def times(self, vectors: Array) -> Array:
        scaled = self.scale[:, None] * vectors
        n = self.jacobian.shape[1]
        along, across = scaled[:n], scaled[n:]
        curved = jax.vmap(self.curve, 1, 1)(along) + self.shift * along
        both = [curved + self.jacobian.T @ across, self.jacobian @ along]
        return self.scale[:, None] * jnp.concatenate(both)

    def rows(self, indices: Array) -> Array:
        size = self.scale.shape[0]
        units = jnp.zeros((size, indices.shape[0]))
        return self.times(units.at[indices, jnp.arange(indices.shape[0])].set(1.0))

    def row_norms(self) -> Array:
        return self.norms


class KKTSystem(eqx.Module):
    """One Newton system, ready to be sketched.

    **Fields:**

    - `operator`: D K D; `scale`: the diagonal of D, powers of two.
    - `rank`: lambda_min(G G^T), the square of G's least singular value.
    - `curvature`: least eigenvalue of the reduced Hessian, inf for m = n.
    - `modified`: whether B differs from H.
    - `norms`: Frobenius norms of B, G, H and K.
    - `products`: vectors that K was multiplied with to get here.
    """

    operator: Any
    scale: Float64[Array, " N"]
    rank: Float64[Array, ""]
    curvature: Float64[Array, ""]
    modified: Bool[Array, ""]
    norms: Float64[Array, "4"]
    products: Int64[Array, ""]

    def times(self, vector: Array) -> Array:
        """K v, unscaled."""
        return (self.operator.times((vector / self.scale)[:, None]))[:, 0] / self.scale


class AbstractKKT(eqx.Module):
    """How the KKT matrix is had."""

    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def system(
        self, problem: Any, x: Array, multipliers: Array, options: "KKTOptions"
    ) -> KKTSystem:
        """The system at (x, lambda)."""


class KKTOptions(eqx.Module):
    """What the modification and the scaling need."""

    xi: Array
    curvature_floor: Array
    equilibrate: bool
    key: Array


@final
class StoredKKT(AbstractKKT):
    """H and G are formed, rows are read from memory."""

    def system(self, problem, x, multipliers, options) -> KKTSystem:
        g, h = jacobian(problem, x), hessian(problem, x, multipliers)
        rank, null = constraint_basis(g)
        m, n = g.shape
        curvature = jnp.asarray(jnp.inf)
        if m < n:
            curvature = jnp.linalg.eigvalsh(null.T @ h @ null)[0]
        size = jnp.linalg.norm(h)
        # "not above", so that NaN counts as too little.
        modified = ~(curvature >= options.curvature_floor)
        shift = jnp.where(modified, options.xi + size, 0.0)
        b = h + shift * jnp.eye(n)
        matrix = jnp.block([[b, g.T], [g, jnp.zeros((m, m))]])
        scale = jnp.ones(n + m)
        if options.equilibrate:
            scale = equilibrated(matrix)
        norms = [jnp.linalg.norm(a) for a in (b, g)] + [size, jnp.linalg.norm(matrix)]
        scaled = scale[:, None] * matrix * scale
        return KKTSystem(
            StoredOperator(scaled),
            scale,
            rank,
            curvature,
            modified,
            jnp.stack(norms),
            jnp.zeros((), jnp.int64),
        )


@final
class MatrixFreeKKT(AbstractKKT):
    """H is never formed: a row of K is a Hessian-vector product.

    G is stored, shape (m, n). Curvature, norms and scaling are estimated from products.

    **Options:**

    - `lanczos`: steps for the least curvature on the null space of G.
    - `probes`: random signs for the Frobenius norms.
    """

    lanczos: int = 30
    probes: int = 16

    def validate(self) -> None:
        for field in ("lanczos", "probes"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)

    def system(self, problem, x, multipliers, options) -> KKTSystem:
        g = jacobian(problem, x)
        m, n = g.shape
        curve = jax.linearize(lagrangian_gradient(problem, multipliers), x)[1]
        one, two, three = jax.random.split(options.key, 3)
        rank, row_space = constraint_basis(g, null=False)
        curvature, steps = jnp.asarray(jnp.inf), 0
        if m < n:
            steps = min(self.lanczos, n - m)
            curvature = least_curvature(curve, row_space, one, steps)
        signs = jax.random.rademacher(two, (n, self.probes), jnp.float64)
        rows = jnp.mean(jax.vmap(curve, 1, 1)(signs) ** 2, axis=1)
        size = jnp.sqrt(jnp.sum(rows))
        modified = ~(curvature >= options.curvature_floor)
        shift = jnp.where(modified, options.xi + size, 0.0)
        plain = ProductOperator(curve, g, shift, jnp.ones(n + m), jnp.ones(n + m))
        products = steps + self.probes
        scale, norms = jnp.ones(n + m), jnp.ones(n + m)
        if options.equilibrate:
            scale = equilibrated_by_products(plain.times, n + m, three)
            products += SWEEPS * PROBES
        scaled = eqx.tree_at(lambda o: o.scale, plain, scale)
        signs = jax.random.rademacher(three, (n + m, self.probes), jnp.float64)
        norms = jnp.sqrt(jnp.mean(scaled.times(signs) ** 2, axis=1))
        products += self.probes
        jacobian_square = jnp.sum(g * g)
        b = size + shift * jnp.sqrt(1.0 * n)  # ||H + t I||_F is at most that
        whole = jnp.sqrt(b**2 + 2 * jacobian_square)
        found = jnp.stack([b, jnp.sqrt(jacobian_square), size, whole])
        return KKTSystem(
            eqx.tree_at(lambda o: o.norms, scaled, norms),
            scale,
            rank,
            curvature,
            modified,
            found,
            jnp.asarray(products, jnp.int64),
        )


def constraint_basis(g: Array, null: bool = True) -> tuple[Array, Array]:
    """lambda_min(G G^T), and an orthonormal basis of G's null space (or row space)."""
    m = g.shape[0]
    basis, upper = jnp.linalg.qr(g.T, mode="complete" if null else "reduced")
    least = jnp.min(jnp.linalg.svd(upper[:m], compute_uv=False))
    return least**2, basis[:, m:] if null else basis


def least_curvature(curve: Any, row_space: Array, key: Array, steps: int) -> Array:
    """Least Ritz value of H on the null space of G: an upper bound on its minimum.

    Lanczos with full orthogonalisation from a random start.
    """

    def project(v: Array) -> Array:
        return v - row_space @ (row_space.T @ v)

    start = project(jax.random.normal(key, (row_space.shape[0],), jnp.float64))
    basis = jnp.zeros((steps + 1, start.shape[0]))
    basis = basis.at[0].set(start / jnp.linalg.norm(start))

    def extend(j: int, basis: Array) -> Array:
        new = project(curve(basis[j]))
        size = jnp.linalg.norm(new)
        for _ in range(2):
            new = project(new - (basis @ new) @ basis)
        height = jnp.linalg.norm(new)
        alive = height > 1e-12 * size
        unit = jnp.where(alive, new / jnp.where(alive, height, 1.0), 0.0)
        return basis.at[j + 1].set(unit)

    basis = jax.lax.fori_loop(0, steps, extend, basis)[:steps]
    image = jax.vmap(curve)(basis)
    reduced = basis @ image.T
    # Rows of the basis that are zero must not pass for zero curvature.
    absent = jnp.sum(basis**2, axis=1) < 0.5
    above = jnp.where(absent, 1.0 + 2.0 * jnp.linalg.norm(reduced), 0.0)
    return jnp.linalg.eigvalsh(0.5 * (reduced + reduced.T) + jnp.diag(above))[0]
