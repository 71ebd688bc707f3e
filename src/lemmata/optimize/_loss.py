"""What block coordinate descent asks of a convex loss.

A block is an integer array (tau,) of coordinates; n, the number of variables, stands
for "no coordinate": its row and column of H_b are those of the identity.
"""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array

from ._design import AbstractDesign, DenseDesign
from ._penalties import Numbers

EXACT_ROWS = 2000  # variables up to which row sums of |H| are formed exactly


class AbstractLoss(eqx.Module):
    """A convex f; x is flat, (n,)."""

    name: ClassVar[str] = ""

    @property
    @abc.abstractmethod
    def variables(self) -> int:
        """N."""

    @abc.abstractmethod
    def image(self, x: Any) -> Array:
        """What is kept up to date beside x: A x, (m,) or (m, classes); H x, (n,)."""

    @abc.abstractmethod
    def update_image(self, image: Any, block: Any, change: Any) -> Array:
        """The image after x_b moved by `change`, (tau,)."""

    @abc.abstractmethod
    def value(self, x: Any, image: Any) -> Array:
        """f(x)."""

    @abc.abstractmethod
    def gradient(self, x: Any, image: Any) -> Array:
        """(n,)."""

    @abc.abstractmethod
    def block_bound(self, block: Any) -> Array:
        """H_b, (tau, tau): f(x + U_b d) <= f(x) + g_b^T d + d^T H_b d / 2 for all x."""

    @abc.abstractmethod
    def block_hessian(self, x: Any, image: Any, block: Any) -> Array:
        """The Hessian's block at x, (tau, tau)."""

    @abc.abstractmethod
    def coordinate_lipschitz(self) -> Array:
        """L_i, (n,): `block_bound` of single coordinates."""

    @abc.abstractmethod
    def row_bounds(self) -> Array:
        """D, (n,), with H_b <= diag(D_b) for every block b.

        Row sums of |H| up to 2000 columns; |A|^T |A| 1 instead of |A^T A| 1 beyond.
        """

    @abc.abstractmethod
    def pattern(self) -> scipy.sparse.csr_array:
        """Which coordinates H couples, (n, n) of ones; host only."""


class AbstractDesignLoss(AbstractLoss):
    """f(x) = sum_i phi_i((A x)_i) + sum_j l2_j x_j^2 / 2."""

    design: eqx.AbstractVar[AbstractDesign]

    @property
    def variables(self) -> int:
        return self.design.shape[1]

    def image(self, x: Any) -> Array:
        return self.design.product(x)

    def update_image(self, image: Any, block: Any, change: Any) -> Array:
        return image + self.design.block_product(block, change)

    def ridge(self) -> Numbers:
        """l2, one number or (n,)."""
        return 0.0

    @abc.abstractmethod
    def dual_room(self, image: Any) -> Array:
        """W: scaling the dual point by s costs (1 - s)^2 W at most.

        The dual point is theta = -grad phi(A x); phi(z) + phi*(-s theta) + s theta^T z
        is ||theta||^2 / 2 (1 - s)^2 for squares, and at most (1 - s)^2 times the sum of
        the odds (1 - p) / p against the true labels for the two likelihoods.
        """

    def pattern(self) -> scipy.sparse.csr_array:
        ones = scipy.sparse.csr_array(self.design.host(), copy=True)
        ones.data = (ones.data != 0).astype(np.float64)
        ones.eliminate_zeros()
        coupled = scipy.sparse.csr_array(ones.T @ ones)
        coupled.data = np.ones_like(coupled.data)
        return coupled


def masked(matrix: Array, block: Any, n: int) -> Array:
    """Rows and columns of coordinates that do not exist become the identity's."""
    inside = jnp.asarray(block) < n
    both = inside[:, None] & inside[None, :]
    return jnp.where(both, matrix, jnp.diag(jnp.where(inside, 0.0, 1.0)))


def at_block(numbers: Numbers, block: Any, width: int) -> Array:
    numbers = jnp.asarray(numbers)
    if numbers.ndim == 0:
        return jnp.broadcast_to(numbers, (width,))
    return jnp.take(numbers, block, mode="fill", fill_value=0.0)


def gram_rows(design: AbstractDesign) -> Array:
    """Upper bounds on the row sums of |A^T A|, (features,)."""
    if isinstance(design, DenseDesign) and design.shape[1] <= EXACT_ROWS:
        values = jnp.asarray(design.values)
        return jnp.sum(jnp.abs(values.T @ values), axis=1)
    return design.absolute_product()
