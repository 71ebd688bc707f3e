"""Positive semidefinite kernels with explicit parameters.

Source: Schoelkopf and Smola, Learning with Kernels (2002), chapter 2.
"""

import abc
from dataclasses import fields
from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from lemmata_checker.errors import Malformed
from lemmata_checker.rules.certify_generalization_kernels import checked_kernel

from ..core import InvalidArgument


class AbstractKernel(eqx.Module):
    """A kernel k(x, z) of two vectors, fixed before any sample is seen."""

    name: ClassVar[str]

    def __check_init__(self) -> None:
        try:
            checked_kernel(self.record())
        except Malformed as error:
            where, _, rest = str(error).partition(": expected ")
            field = where.removeprefix("kernel.")
            expected, _, got = rest.partition(", got ")
            where = f"{type(self).__name__}.{field}"
            raise InvalidArgument(where, expected, got) from error

    @abc.abstractmethod
    def matrix(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        """k(x_i, z_j) of rows, in JAX."""

    def sizes(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        """What the roundings of `matrix` are relative to: at least |k(x_i, z_j)|."""
        return jnp.ones((len(left), len(right)), dtype=left.dtype)

    def record(self) -> dict[str, Any]:
        """Name and parameters, as they travel."""
        found: dict[str, Any] = {"name": self.name}
        for field in fields(self):
            value = getattr(self, field.name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            lift = whole and field.name != "degree"
            found[field.name] = float(value) if lift else value
        return found

    @property
    def roundings(self) -> int:
        """How many times as much as `sizes` times a product's rounding it is off."""
        return 1


@final
class GaussianKernel(AbstractKernel):
    """exp(-||x - z||_2^2 / (2 width^2)); scikit-learn's gamma is 1 / (2 width^2).

    **Fields:**

    - `width`: > 0, in units of the inputs.
    """

    width: float = eqx.field(static=True)
    name: ClassVar[str] = "gaussian"

    def matrix(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        away = left[:, None, :] - right[None, :, :]
        return jnp.exp(-jnp.sum(away**2, axis=2) / (2 * self.width**2))


@final
class LaplaceKernel(AbstractKernel):
    """exp(-||x - z||_1 / width); scikit-learn's gamma is 1 / width.

    **Fields:**

    - `width`: > 0, in units of the inputs.
    """

    width: float = eqx.field(static=True)
    name: ClassVar[str] = "laplace"

    def matrix(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        away = left[:, None, :] - right[None, :, :]
        return jnp.exp(-jnp.sum(jnp.abs(away), axis=2) / self.width)


@final
class PolynomialKernel(AbstractKernel):
    """(scale x'z + offset)^degree; by default the linear kernel x'z.

    **Fields:**

    - `degree`: 1 to 20; `scale`: > 0; `offset`: >= 0: else it would be indefinite.
    """

    degree: int = eqx.field(default=1, static=True)
    scale: float = eqx.field(default=1.0, static=True)
    offset: float = eqx.field(default=0.0, static=True)
    name: ClassVar[str] = "polynomial"

    def matrix(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        return (self.scale * (left @ right.T) + self.offset) ** self.degree

    def sizes(
        self, left: Float[Array, "n d"], right: Float[Array, "m d"]
    ) -> Float[Array, "n m"]:
        return self.matrix(jnp.abs(left), jnp.abs(right))

    @property
    def roundings(self) -> int:
        return self.degree


KERNELS: dict[str, type[AbstractKernel]] = {
    kernel.name: kernel for kernel in (GaussianKernel, LaplaceKernel, PolynomialKernel)
}


def kernel_of(record: Any) -> AbstractKernel:
    """The kernel of a record. Raises `InvalidArgument`."""
    name = record.get("name") if isinstance(record, dict) else None
    if name not in KERNELS:
        expected = f"a record with the name of one of {', '.join(KERNELS)}"
        raise InvalidArgument("kernel", expected, record)
    options = {part: value for part, value in record.items() if part != "name"}
    try:
        return KERNELS[name](**options)
    except TypeError as error:
        known = ", ".join(field.name for field in fields(KERNELS[name]))
        raise InvalidArgument(f"kernel {name}", known, ", ".join(options)) from error
