"""Convex losses with block-wise bounds on their curvature.

Source: Nutini, Laradji and Schmidt, JMLR 23 (2022), section 2; Böhning, Ann. Inst.
Statist. Math. 44 (1992) for the multinomial bound. Differences: the ridge term enters
the diagonal of a block's bound alone (the authors' code adds it to every entry).

A block is an integer array (tau,) of coordinates; n, the number of variables, stands
for "no coordinate": its row and column of H_b are those of the identity.
"""

from typing import Any, ClassVar, final

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float64

from ..core import AnyArray, array64
from ._design import AbstractDesign, as_design
from ._likelihoods import Logistic, Softmax
from ._loss import (
    AbstractDesignLoss as AbstractDesignLoss,
    AbstractLoss,
    gram_rows,
    masked,
)


@final
class LeastSquares(AbstractDesignLoss):
    """f(x) = ||A x - y||^2 / 2; H = A^T A.

    **Fields:**

    - `design`: A, array (m, n) or SciPy sparse.
    - `target`: y, (m,).
    """

    name: ClassVar[str] = "least_squares"
    design: AbstractDesign
    target: Float64[AnyArray, " m"]

    def __init__(self, design: Any, target: Any):
        self.design, self.target = as_design(design), array64(target)

    def value(self, x: Any, image: Any) -> Array:
        return 0.5 * jnp.sum(jnp.square(image - self.target))

    def gradient(self, x: Any, image: Any) -> Array:
        return self.design.transposed(image - self.target)

    def dual_room(self, image: Any) -> Array:
        return 0.5 * jnp.sum(jnp.square(image - self.target))

    def block_bound(self, block: Any) -> Array:
        columns = self.design.columns(block)
        return masked(columns.T @ columns, block, self.variables)

    def block_hessian(self, x: Any, image: Any, block: Any) -> Array:
        return self.block_bound(block)

    def coordinate_lipschitz(self) -> Array:
        return self.design.squared_norms()

    def row_bounds(self) -> Array:
        return gram_rows(self.design)


@final
class Quadratic(AbstractLoss):
    """f(x) = x^T H x / 2 - b^T x.

    **Fields:**

    - `operator`: H, (n, n), array or SciPy sparse, symmetric, positive semi-definite.
    - `linear`: b, (n,).
    """

    name: ClassVar[str] = "quadratic"
    operator: AbstractDesign
    linear: Float64[AnyArray, " n"]

    def __init__(self, operator: Any, linear: Any):
        self.operator, self.linear = as_design(operator), array64(linear)

    @property
    def variables(self) -> int:
        return self.operator.shape[1]

    def image(self, x: Any) -> Array:
        return self.operator.product(x)

    def update_image(self, image: Any, block: Any, change: Any) -> Array:
        return image + self.operator.block_product(block, change)

    def value(self, x: Any, image: Any) -> Array:
        return jnp.sum(x * (0.5 * image - self.linear))

    def gradient(self, x: Any, image: Any) -> Array:
        return image - self.linear

    def block_bound(self, block: Any) -> Array:
        columns = self.operator.columns(block)
        matrix = jnp.take(columns, block, axis=0, mode="fill", fill_value=0.0)
        return masked(matrix, block, self.variables)

    def block_hessian(self, x: Any, image: Any, block: Any) -> Array:
        return self.block_bound(block)

    def coordinate_lipschitz(self) -> Array:
        return self.operator.diagonal()

    def row_bounds(self) -> Array:
        return self.operator.absolute_sums()

    def pattern(self) -> scipy.sparse.csr_array:
        coupled = scipy.sparse.csr_array(self.operator.host(), copy=True)
        coupled.data = (coupled.data != 0).astype(np.float64)
        coupled.eliminate_zeros()
        return coupled


LOSSES: dict[str, type[AbstractLoss]] = {
    kind.name: kind for kind in (LeastSquares, Logistic, Softmax, Quadratic)
}
