"""Random sketches of a symmetric system, and projections onto sketched equations.

For K symmetric, K d = b, and a sketch S with few columns, the step

    d <- d - K S (S^T K K S)^+ S^T (K d - b)

is the orthogonal projection of d onto {d : S^T K d = S^T b}. It needs the few columns
K S alone: S^T K d = (K S)^T d. With single canonical vectors it is Kaczmarz's.

Source: Gower and Richtarik, SIAM J. Matrix Anal. Appl. 36 (2015), for the projection
and its rate; Strohmer and Vershynin, J. Fourier Anal. Appl. 15 (2009), for rows
weighted by their norms; Clarkson and Woodruff, J. ACM 63 (2017), for count-sketch.
"""

import abc
from typing import Any, Protocol, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..core import require


class SymmetricOperator(Protocol):
    """A symmetric matrix K of which only products with few vectors are asked."""

    def times(self, vectors: Array) -> Array:
        """K V, shape (N, k) to (N, k)."""
        ...

    def rows(self, indices: Array) -> Array:
        """The rows K_i as columns, shape (k,) to (N, k)."""
        ...

    def row_norms(self) -> Array:
        """Euclidean norms of the rows, shape (N,); exact or estimated."""
        ...


class AbstractSketch(eqx.Module):
    """A way to draw S, shape (N, width).

    `draw` returns arrays with a leading axis of `count` sketches; `image` and `apply`
    take one of them.
    """

    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def width(self, size: int) -> int:
        """Columns of S, for K of shape (size, size)."""

    @abc.abstractmethod
    def draw(self, key: Array, size: int, count: int, norms: Array) -> Any:
        """`count` independent sketches; `norms` (size,) are those of the rows of K."""

    @abc.abstractmethod
    def image(self, operator: SymmetricOperator, drawn: Any) -> Array:
        """K S, shape (N, width): the only access to K."""

    @abc.abstractmethod
    def apply(self, drawn: Any, vector: Array) -> Array:
        """S^T v, shape (width,)."""

    @abc.abstractmethod
    def dense(self, drawn: Any, size: int) -> Array:
        """S itself, shape (size, width): for records, never for the iteration."""


class _Rows(AbstractSketch):
    """Sketches whose columns are canonical vectors: `drawn` holds their indices."""

    def image(self, operator: SymmetricOperator, drawn: Array) -> Array:
        return operator.rows(drawn)

    def apply(self, drawn: Array, vector: Array) -> Array:
        return vector[drawn]

    def dense(self, drawn: Array, size: int) -> Array:
        places = jnp.arange(drawn.shape[0])
        return jnp.zeros((size, drawn.shape[0])).at[drawn, places].set(1.0)


class _Dense(AbstractSketch):
    """Sketches given as matrices (N, width)."""

    def image(self, operator: SymmetricOperator, drawn: Array) -> Array:
        return operator.times(drawn)

    def apply(self, drawn: Array, vector: Array) -> Array:
        return vector @ drawn

    def dense(self, drawn: Array, size: int) -> Array:
        del size
        return drawn


@final
class GaussianVector(_Dense):
    """One vector of independent standard normal entries (GV)."""

    def width(self, size: int) -> int:
        """One."""
        del size
        return 1

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Array:
        """See `AbstractSketch.draw`."""
        del norms
        return jax.random.normal(key, (count, size, 1), jnp.float64)


@final
class Kaczmarz(_Rows):
    """One row, uniformly: randomised Kaczmarz (RK)."""

    def width(self, size: int) -> int:
        """One."""
        del size
        return 1

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Array:
        """See `AbstractSketch.draw`."""
        del norms
        return jax.random.randint(key, (count, 1), 0, size, jnp.int64)


@final
class WeightedKaczmarz(_Rows):
    """One row, with probability in proportion to its squared norm."""

    def width(self, size: int) -> int:
        """One."""
        del size
        return 1

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Array:
        """See `AbstractSketch.draw`."""
        mass = jnp.cumsum(row_probabilities(norms))
        place = jax.random.uniform(key, (count, 1), jnp.float64) * mass[-1]
        found = jnp.searchsorted(mass, place, side="right")
        return jnp.minimum(found, size - 1).astype(jnp.int64)


def row_probabilities(norms: Array) -> Array:
    """Squared norms over their sum, shape (N,)."""
    square = (norms / jnp.max(norms)) ** 2
    return square / jnp.sum(square)


class _Wide(AbstractSketch):
    """Sketches of several columns; None means a quarter of the size, at least three.

    Small ill-conditioned systems are beyond one or two equations at a time.
    """

    columns: int | None = None

    def validate(self) -> None:
        given = self.columns is None or self.columns >= 1
        require(self, "columns", given, expected="None or >= 1", got=self.columns)

    def width(self, size: int) -> int:
        if self.columns is None:
            return max(-(-size // 4), min(3, size - 1), 1)
        return min(self.columns, size)


@final
class GaussianBlock(_Wide, _Dense):
    """Several vectors of independent standard normal entries.

    **Options:** `columns`: how many; None: a quarter of N, at least 3.
    """

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Array:
        """See `AbstractSketch.draw`."""
        del norms
        return jax.random.normal(key, (count, size, self.width(size)), jnp.float64)


@final
class RowBlock(_Wide, _Rows):
    """Several different rows, uniformly.

    **Options:** `columns`: how many; None: a quarter of N, at least 3.
    """

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Array:
        """See `AbstractSketch.draw`."""
        del norms
        order = jnp.argsort(jax.random.uniform(key, (count, size), jnp.float64))
        return order[:, : self.width(size)].astype(jnp.int64)


@final
class CountSketch(_Wide):
    """Every row goes to one of several buckets with a random sign.

    **Options:** `columns`: how many buckets; None: a quarter of N, at least 3.
    """

    def draw(self, key: Array, size: int, count: int, norms: Array) -> Any:
        """Buckets and signs, each (count, size)."""
        del norms
        one, two = jax.random.split(key)
        bucket = jax.random.randint(one, (count, size), 0, self.width(size), jnp.int64)
        sign = jax.random.rademacher(two, (count, size), jnp.float64)
        return bucket, sign

    def image(self, operator: SymmetricOperator, drawn: Any) -> Array:
        """As many products as buckets."""
        return operator.times(self.dense(drawn, drawn[0].shape[0]))

    def apply(self, drawn: Any, vector: Array) -> Array:
        """Signed sums of each bucket."""
        bucket, sign = drawn
        return jnp.zeros(self.width(bucket.shape[0])).at[bucket].add(sign * vector)

    def dense(self, drawn: Any, size: int) -> Array:
        """One entry in each row."""
        bucket, sign = drawn
        empty = jnp.zeros((size, self.width(size)))
        return empty.at[jnp.arange(size), bucket].set(sign)


def sketch_step(
    sketch: AbstractSketch,
    operator: SymmetricOperator,
    rhs: Array,
    point: Array,
    drawn: Any,
) -> Array:
    """`point` projected onto the sketched equations of K d = rhs; `width` products."""
    image = sketch.image(operator, drawn)
    gap = point @ image - sketch.apply(drawn, rhs)
    return point - least_norm(image, gap)


def least_norm(image: Array, gap: Array) -> Array:
    """M (M^T M)^+ t for t in the range of M^T: the least v with M^T v = t.

    By M = Q R, v = Q R^-T t. A column that depends on those before it (an empty bucket,
    a row met twice) has a vanishing pivot; its equation is implied. Then it goes last,
    where its arbitrary column of Q serves no other, and is left out.
    """
    if image.shape[1] == 1:
        column = image[:, 0]
        square = column @ column
        return column * (gap[0] / jnp.where(square > 0, square, jnp.inf))
    basis, upper = jnp.linalg.qr(image)
    dead = _dependent(upper)

    def sorted_out() -> tuple[Array, Array, Array, Array]:
        order = jnp.argsort(dead, stable=True)
        basis, upper = jnp.linalg.qr(image[:, order])
        return basis, upper, gap[order], dead[order]

    parts = basis, upper, gap, dead
    basis, upper, gap, dead = jax.lax.cond(jnp.any(dead), sorted_out, lambda: parts)
    kept = ~dead & ~dead[:, None]
    upper = jnp.where(kept, upper, jnp.eye(len(gap)))
    right = jnp.where(dead, 0.0, gap)
    return basis @ jax.scipy.linalg.solve_triangular(upper, right, trans=1)


def _dependent(upper: Array) -> Array:
    """Which columns of M = Q R are, to rounding, combinations of those before them."""
    return ~(jnp.abs(jnp.diagonal(upper)) > 1e-13 * jnp.linalg.norm(upper, axis=0))
