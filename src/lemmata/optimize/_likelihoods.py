"""Logistic and multinomial losses, with bounds on their curvature in any block.

Source: Böhning, Ann. Inst. Statist. Math. 44 (1992) for the multinomial bound.
"""

from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float64

from ..core import AnyArray, array64
from ._design import AbstractDesign, as_design
from ._loss import AbstractDesignLoss, at_block, gram_rows, masked
from ._penalties import Numbers, as_numbers


@final
class Logistic(AbstractDesignLoss):
    """f(x) = sum_i log(1 + exp(-y_i (A x)_i)) + sum_j l2_j x_j^2 / 2.

    **Fields:**

    - `design`: A, array (m, n) or SciPy sparse.
    - `labels`: y, (m,), each -1 or 1.
    - `l2`: >= 0, one number or (n,): 0 for an intercept that is not penalised.
    """

    name: ClassVar[str] = "logistic"
    design: AbstractDesign
    labels: Float64[AnyArray, " m"]
    l2: Numbers

    def __init__(self, design: Any, labels: Any, l2: Numbers = 0.0):
        self.design, self.labels = as_design(design), array64(labels)
        self.l2 = as_numbers(l2)

    def ridge(self) -> Numbers:
        return self.l2

    def value(self, x: Any, image: Any) -> Array:
        ridge = 0.5 * jnp.sum(self.l2 * jnp.square(x))
        return jnp.sum(jax.nn.softplus(-self.labels * image)) + ridge

    def gradient(self, x: Any, image: Any) -> Array:
        slope = -self.labels * jax.nn.sigmoid(-self.labels * image)
        return self.design.transposed(slope) + self.l2 * x

    def dual_room(self, image: Any) -> Array:
        return jnp.sum(jnp.exp(-self.labels * image))

    def block_bound(self, block: Any) -> Array:
        columns = self.design.columns(block)
        return self._ridged(0.25 * (columns.T @ columns), block)

    def block_hessian(self, x: Any, image: Any, block: Any) -> Array:
        columns = self.design.columns(block)
        weights = jax.nn.sigmoid(image) * jax.nn.sigmoid(-image)
        return self._ridged(columns.T @ (weights[:, None] * columns), block)

    def _ridged(self, matrix: Array, block: Any) -> Array:
        matrix = matrix + jnp.diag(at_block(self.l2, block, matrix.shape[0]))
        return masked(matrix, block, self.variables)

    def coordinate_lipschitz(self) -> Array:
        return 0.25 * self.design.squared_norms() + self.l2

    def row_bounds(self) -> Array:
        return 0.25 * gram_rows(self.design) + self.l2


@final
class Softmax(AbstractDesignLoss):
    """f(X) = sum_i log sum_c exp((A X)_ic) - (A X)_{i,y_i} + sum l2 X^2 / 2.

    X is (features, classes), flattened by rows: coordinate f * classes + c.

    **Fields:**

    - `design`: A, array (m, features) or SciPy sparse.
    - `labels`: y, (m,), whole numbers from 0 to classes - 1.
    - `classes`: >= 2.
    - `l2`: >= 0, one number or (features * classes,).
    """

    name: ClassVar[str] = "softmax"
    design: AbstractDesign
    labels: Float64[AnyArray, " m"]
    classes: int = eqx.field(static=True)
    l2: Numbers

    def __init__(self, design: Any, labels: Any, classes: int, l2: Numbers = 0.0):
        self.design, self.labels = as_design(design), array64(labels)
        self.classes, self.l2 = classes, as_numbers(l2)

    @property
    def variables(self) -> int:
        return self.design.shape[1] * self.classes

    def ridge(self) -> Numbers:
        return self.l2

    def image(self, x: Any) -> Array:
        return self.design.product(jnp.reshape(x, (-1, self.classes)))

    def update_image(self, image: Any, block: Any, change: Any) -> Array:
        feature, kind = self._split(block)
        spread = change[:, None] * jax.nn.one_hot(kind, self.classes, dtype=jnp.float64)
        return image + self.design.block_product(feature, spread)

    def _split(self, block: Any) -> tuple[Array, Array]:
        """(feature, class) of each coordinate; feature = features where there is none.

        n = features * classes splits into (features, 0) by itself.
        """
        block = jnp.asarray(block)
        return block // self.classes, block % self.classes

    def _hot(self) -> Array:
        labels = jnp.asarray(self.labels).astype(jnp.int64)
        return jax.nn.one_hot(labels, self.classes, dtype=jnp.float64)

    def value(self, x: Any, image: Any) -> Array:
        ridge = 0.5 * jnp.sum(self.l2 * jnp.square(x))
        chosen = jnp.sum(self._hot() * image, axis=1)
        return jnp.sum(jax.nn.logsumexp(image, axis=1) - chosen) + ridge

    def gradient(self, x: Any, image: Any) -> Array:
        slope = jax.nn.softmax(image, axis=1) - self._hot()
        return self.design.transposed(slope).reshape(-1) + self.l2 * x

    def dual_room(self, image: Any) -> Array:
        others = jnp.where(self._hot() > 0, -jnp.inf, image)
        chosen = jnp.sum(self._hot() * image, axis=1)
        return jnp.sum(jnp.exp(jax.nn.logsumexp(others, axis=1) - chosen))

    def block_bound(self, block: Any) -> Array:
        """(1/2) (1[c = c'] - 1/k) (A^T A)_{ff'}, k = min(classes, classes in b + 1).

        diag(p) - p p^T <= (I - 1 1^T / k) / 2 on k classes (Böhning); the classes that
        a block leaves alone act as one.
        """
        feature, kind = self._split(block)
        columns = self.design.columns(feature)
        inside = jnp.asarray(block) < self.variables
        met = jnp.zeros(self.classes).at[kind].max(inside.astype(jnp.float64))
        k = jnp.minimum(jnp.sum(met) + 1.0, self.classes)
        same = (kind[:, None] == kind[None, :]).astype(jnp.float64)
        matrix = 0.5 * (same - 1.0 / k) * (columns.T @ columns)
        return self._ridged(matrix, block)

    def block_hessian(self, x: Any, image: Any, block: Any) -> Array:
        feature, kind = self._split(block)
        columns = self.design.columns(feature)
        p = jnp.take(jax.nn.softmax(image, axis=1), kind, axis=1)
        weighted = p * columns
        same = kind[:, None] == kind[None, :]
        matrix = jnp.where(same, columns.T @ weighted, 0.0) - weighted.T @ weighted
        return self._ridged(matrix, block)

    def _ridged(self, matrix: Array, block: Any) -> Array:
        matrix = matrix + jnp.diag(at_block(self.l2, block, matrix.shape[0]))
        return masked(matrix, block, self.variables)

    def coordinate_lipschitz(self) -> Array:
        return 0.25 * jnp.repeat(self.design.squared_norms(), self.classes) + self.l2

    def row_bounds(self) -> Array:
        rows = (1.0 - 1.0 / self.classes) * gram_rows(self.design)
        return jnp.repeat(rows, self.classes) + self.l2

    def pattern(self) -> scipy.sparse.csr_array:
        every = np.ones((self.classes, self.classes))
        return scipy.sparse.csr_array(scipy.sparse.kron(super().pattern(), every))
