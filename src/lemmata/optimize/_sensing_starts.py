"""Where gradient descent on the factors of a matrix begins."""

import abc
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..core import InvalidMethod, is_concrete
from ._matrix_sensing import MatrixSensing, Real


class AbstractStart(eqx.Module):
    """Makes the first factors."""

    def __check_init__(self) -> None:
        if is_concrete(self):
            self.validate()

    @abc.abstractmethod
    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def factors(
        self,
        problem: MatrixSensing,
        target: Any,
        key: Any,
        *,
        width: int,
        symmetric: bool,
    ) -> tuple[Any, Any]:
        """(L, R), shapes (n1, k), (n2, k), L = R if symmetric; `target` is cA*(y)."""


@final
class SmallRandomStart(AbstractStart):
    """Independent normal entries, those of R smaller than those of L.

    The difference in size is what makes the asymmetric form converge linearly beyond
    the true rank: L'L - R'R hardly changes, so one factor stays away from zero.

    **Options:**

    - `scale`: standard deviation of the entries of L, > 0, in units of the square root
      of the target's largest singular value; None means 0.02 / sqrt(max(n1, n2) / 50).
      Above 0.3 / sqrt(n) the start is no longer small.
    - `imbalance`: ratio of R's entries to L's, >= 0. The paper's is 1/3; 0 starts from
      R = 0; symmetric methods have no use for it.
    """

    scale: Real | None = None
    imbalance: Real = 1 / 3

    def validate(self) -> None:
        if self.scale is not None and not self.scale > 0:
            expected = "> 0: both factors zero is a saddle point that no step leaves"
            raise InvalidMethod("SmallRandomStart.scale", expected, self.scale)
        if not self.imbalance >= 0:
            where = "SmallRandomStart.imbalance"
            raise InvalidMethod(where, ">= 0", self.imbalance)

    def factors(
        self,
        problem: MatrixSensing,
        target: Any,
        key: Any,
        *,
        width: int,
        symmetric: bool,
    ) -> tuple[Any, Any]:
        n1, n2 = problem.operator.shape
        root = jnp.sqrt(jnp.linalg.norm(target, 2))
        scale = 0.02 / (max(n1, n2) / 50) ** 0.5 if self.scale is None else self.scale
        one, other = jax.random.split(key)
        left = scale * root * jax.random.normal(one, (n1, width), jnp.float64)
        if symmetric:
            return left, left
        right = jax.random.normal(other, (n2, width), jnp.float64)
        return left, scale * root * self.imbalance * right


@final
class SpectralStart(AbstractStart):
    """The best rank-k approximation of cA*(y), with balanced factors.

    It is near the answer where A is near an isometry, and so escapes the slow start; it
    does not escape the sublinear end of symmetric descent beyond the true rank.
    """

    def validate(self) -> None:
        pass

    def factors(
        self,
        problem: MatrixSensing,
        target: Any,
        key: Any,
        *,
        width: int,
        symmetric: bool,
    ) -> tuple[Any, Any]:
        del problem, key
        if symmetric:
            values, vectors = jnp.linalg.eigh((target + target.T) / 2)
            root = jnp.sqrt(jnp.maximum(values[::-1][:width], 0.0))
            left = vectors[:, ::-1][:, :width] * root
            return left, left
        left, values, rows = jnp.linalg.svd(target, full_matrices=False)
        root = jnp.sqrt(values[:width])
        return left[:, :width] * root, rows[:width].T * root
