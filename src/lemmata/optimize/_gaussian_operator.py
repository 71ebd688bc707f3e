"""The Gaussian operator given by a key: stored where it fits, else drawn in blocks.

The entries are defined by `lemmata_checker.gaussian`, bit for bit, so the judge draws
them again from the key alone.
"""

from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lemmata_checker import gaussian

from ..core import AnyArray
from ..numerics.philox import normal_rows
from ._sensing_operators import (
    AbstractSensingOperator,
    Shape,
    positive_pair,
    require_part,
)

_BLOCK_BYTES = 2**25  # of one block where the matrix is not stored


@final
class GaussianOperator(AbstractSensingOperator):
    """Matrices A_i of independent standard normal entries, drawn from a key.

    The m x n1 n2 matrix is stored where it takes at most `memory` bytes. Otherwise each
    application draws it again in blocks of 32 MiB (or `memory`, if less): slower by the
    cost of the draws, in memory that does not grow with m.

    **Fields:**

    - `shape`: (n1, n2).
    - `count`: m, the number of measurements.
    - `key`: in [0, 2**63), names the stream.
    - `memory`: cap in bytes on what is stored; no part of the packed problem.
    """

    name: ClassVar[str] = "gaussian"
    rows: int = eqx.field(static=True)
    columns: int = eqx.field(static=True)
    drawn: int = eqx.field(static=True)
    key: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    stored: AnyArray | None

    def __init__(self, shape: Shape, count: int, *, key: int = 0, memory: int = 2**28):
        self.rows, self.columns = positive_pair(self, shape)
        self.drawn, self.key, self.memory = count, key, memory
        whole = all(isinstance(n, int | np.integer) for n in (count, key, memory))
        fits = whole and 0 < 8 * count * self.rows * self.columns <= memory
        keyed = fits and 0 <= key < 2**63
        entries = self.rows * self.columns
        self.stored = gaussian.rows(key, 0, count, entries) if keyed else None

    @property
    def shape(self) -> Shape:
        """(n1, n2)."""
        return self.rows, self.columns

    @property
    def count(self) -> int:
        """The number of measurements."""
        return self.drawn

    def validate(self) -> None:
        for field, low, high in (
            ("count", 1, 2**40),
            ("key", 0, 2**63),
            ("memory", 8 * self.rows * self.columns, 2**60),
        ):
            value = getattr(self, field)
            whole = isinstance(value, int | np.integer) and low <= value < high
            require_part(self, field, whole, f"an integer in [{low}, {high})")

    def apply(self, matrix: Any) -> Any:
        if self.stored is not None:
            return self.stored @ matrix.reshape(-1)
        if isinstance(matrix, np.ndarray):
            return self._apply_on_host(matrix)

        def block(carry: Any, start: Any) -> tuple[Any, Any]:
            return carry, self._block(start) @ matrix.reshape(-1)

        _, parts = jax.lax.scan(block, None, self._starts())
        return parts.reshape(-1)[: self.count]

    def adjoint(self, residual: Any) -> Any:
        if self.stored is not None:
            return (residual @ self.stored).reshape(self.shape)
        size = self._size()

        def block(total: Any, start: Any) -> tuple[Any, None]:
            part = jax.lax.dynamic_slice_in_dim(padded, start, size)
            return total + part @ self._block(start), None

        padded = jnp.pad(residual, (0, size))
        zero = jnp.zeros(self.rows * self.columns)
        total, _ = jax.lax.scan(block, zero, self._starts())
        return total.reshape(self.shape)

    def residual_and_gradient(
        self, matrix: Any, measurements: Any, used: int
    ) -> tuple[Any, Any]:
        """Draws every block once: row i of r needs A_i alone."""
        if self.stored is not None:
            return super().residual_and_gradient(matrix, measurements, used)
        size, flat = self._size(), matrix.reshape(-1)
        padded = jnp.pad(measurements, (0, size))

        def block(carry: Any, start: Any) -> tuple[Any, None]:
            square, total = carry
            drawn = self._block(start)
            y = jax.lax.dynamic_slice_in_dim(padded, start, size)
            r = jnp.where(start + jnp.arange(size) < used, drawn @ flat - y, 0.0)
            return (square + jnp.sum(r * r), total + r @ drawn), None

        zero = (jnp.zeros(()), jnp.zeros(self.rows * self.columns))
        (square, total), _ = jax.lax.scan(block, zero, self._starts())
        return square, self.scale(used) * total.reshape(self.shape)

    def _size(self) -> int:
        bytes_ = min(_BLOCK_BYTES, self.memory)
        return max(1, min(self.count, bytes_ // (8 * self.rows * self.columns)))

    def _starts(self) -> Any:
        return jnp.arange(0, self.count, self._size(), dtype=jnp.int64)

    def _block(self, start: Any) -> Any:
        entries = self.rows * self.columns
        return normal_rows(self.key, start, self._size(), entries)

    def _apply_on_host(self, matrix: np.ndarray) -> np.ndarray:
        size, entries = self._size(), self.rows * self.columns
        parts = []
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            drawn = gaussian.rows(self.key, start, stop, entries)
            parts.append(drawn @ matrix.reshape(-1))
        return np.concatenate(parts)

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {
            "rows": self.rows,
            "columns": self.columns,
            "count": int(self.count),
            "key": int(self.key),
        }, {}

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        del arrays
        shape = (parameters.pop("rows"), parameters.pop("columns"))
        return cls(shape, parameters.pop("count"), key=parameters.pop("key", 0))
