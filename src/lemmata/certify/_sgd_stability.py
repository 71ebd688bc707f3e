"""Can SGD stay at this minimum? The problem, and what an answer to it is worth.

Source: Wu and Su, ICML 2023 (arXiv 2305.17490), sections 2 and 3.
"""

from collections.abc import Callable
from typing import Any, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lemmata_checker import Packed

from ..core import (
    AbstractProblem,
    Claim,
    InvalidProblem,
    Withheld,
    array64,
    float64,
    is_concrete,
)
from ._mean_square import RANK_TOLERANCE, coordinates, noise_share
from ._stability_checks import check, check_data
from ._stability_models import AbstractStabilityModel, NormBound
from ._stability_packed import packed, unpacked
from ._stability_rows import gradient_rows, outputs_of
from ._stability_value import Stability

Real = float | np.ndarray | Array


@final
class SGDStability(AbstractProblem):
    """Linear stability in the mean square of SGD at a minimum of the square loss
    (1/2n) sum_i ||f(x_i) - y_i||^2.

    **Fields:**

    - `model`: a differentiable function of `(params, one input)` that returns a
      number, or a vector (K,) with `outputs=K`; or `TwoLayerReLU()`,
      `DiagonalLinear()`, which the judge evaluates itself.
    - `params`: its parameters: arrays, or any tree of them.
    - `inputs`, `targets`: n samples along the first axis, (n, ...) and (n,) or (n, K).
    - `learning_rate`: eta, > 0.
    - `batch_size`, `replacement`: B samples a step, drawn with or without replacement.
      Going through the data in epochs is approximated by the latter.
    - `outputs`: K, if the output is a vector.
    - `loss_tol`: a minimum interpolates if its mean squared residual is at most this
      share of the mean squared target.
    - `gap_tol`: how far apart, relatively, the proved bounds on the largest stable
      learning rate may be.
    - `allow_residual`: judge stability although the point does not interpolate: then
      G is not the Hessian, and the claim is about the Gauss-Newton part alone.
    - `loss`, `optimizer`: "square" and "sgd"; anything else is refused.

    A model of many parameters is reduced to its gradient rows on construction, by
    products with per-sample gradients; see also `SGDStability.of_gradients`.

    **Raises:** `InvalidProblem`.
    """

    model: Callable[..., Any] | None = eqx.field(static=True)
    params: Any
    inputs: Any
    targets: Any
    gradients: Any
    residuals: Any
    learning_rate: Real
    loss_tol: Real
    gap_tol: Real
    batch_size: Any
    replacement: bool = eqx.field(static=True)
    allow_residual: bool = eqx.field(static=True)
    loss: str = eqx.field(static=True)
    optimizer: str = eqx.field(static=True)

    def __init__(
        self,
        model: Callable[..., Any] | None,
        params: Any,
        inputs: Any,
        targets: Any,
        learning_rate: Real,
        batch_size: Any = 1,
        replacement: bool = False,
        *,
        outputs: int | None = None,
        loss_tol: Real = 1e-8,
        gap_tol: Real = 1e-4,
        allow_residual: bool = False,
        loss: str = "square",
        optimizer: str = "sgd",
    ):
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.params = jax.tree.map(array64, params)
        self.inputs = None if inputs is None else array64(inputs)
        self.targets = None if targets is None else array64(targets)
        self.learning_rate = learning_rate
        # An array, so that another batch size needs no other compiled code.
        whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
        self.batch_size = np.asarray(batch_size) if whole else batch_size
        self.replacement, self.allow_residual = replacement, allow_residual
        self.loss_tol, self.gap_tol = loss_tol, gap_tol
        self.gradients = self.residuals = None
        if model is not None and not isinstance(model, AbstractStabilityModel):
            self._linearise(model, outputs)

    def _linearise(self, model: Callable[..., Any], outputs: int | None) -> None:
        if not is_concrete((self.params, self.inputs, self.targets)):
            expected = "concrete data: build the problem outside jit, vmap and grad"
            raise InvalidProblem("SGDStability.params", expected, "traced arrays")
        check_data(self)
        found = outputs_of(model, self.params, self.inputs, outputs)
        self.targets = np.reshape(self.targets, (len(found), -1))
        if self.targets.shape != found.shape:
            where, expected = "SGDStability.targets", f"shape {found.shape}"
            raise InvalidProblem(where, expected, self.targets.shape)
        self.residuals = found - self.targets
        self.gradients = gradient_rows(model, self.params, self.inputs)

    @classmethod
    def of_gradients(
        cls,
        gradients: Any,
        learning_rate: Real,
        batch_size: Any = 1,
        replacement: bool = False,
        *,
        residuals: Any = None,
        targets: Any = None,
        **options: Any,
    ) -> Self:
        """The problem of gradient rows that were computed elsewhere.

        **Arguments:**

        - `gradients`: of the n outputs, (n, p), or (n, K, p); only their inner products
          matter.
        - `residuals`, `targets`: f(x_i) - y_i and y_i, (n,) or (n, K); without them it
          is not checked that the point interpolates.
        """
        found = cls(
            None, {}, None, None, learning_rate, batch_size, replacement, **options
        )
        rows: Any = array64(gradients)
        rows = rows[:, None, :] if np.ndim(rows) == 2 else rows
        values = [_column(v) for v in (residuals, targets)]
        found = eqx.tree_at(
            lambda p: (p.gradients, p.residuals, p.targets),
            found,
            (rows, *values),
            is_leaf=lambda leaf: leaf is None,
        )
        found.__check_init__()
        return found

    def validate(self) -> None:
        check(self)

    @property
    def network(self) -> AbstractStabilityModel | None:
        """The model, if the judge knows it by name."""
        return self.model if isinstance(self.model, AbstractStabilityModel) else None

    def rows(self) -> Any:
        """Gradient rows, (n, K, q), up to an orthonormal change of basis."""
        if self.network is not None:
            return self.network.rows(self.params, self.inputs)[:, None, :]
        return self.gradients

    @property
    def samples(self) -> int:
        """The number n of samples."""
        return len(self.gradients if self.network is None else self.inputs)

    @property
    def outputs(self) -> int:
        """The number K of outputs for each sample."""
        return 1 if self.network is not None else self.gradients.shape[1]

    @property
    def share(self) -> Any:
        """c, what sampling adds: 1/B, or (n - B) / (B (n - 1))."""
        return noise_share(self.samples, self.batch_size, self.replacement)

    @property
    def trace_bound(self) -> Any:
        """2 B K / eta: at least Tr G wherever SGD is stable."""
        return 2.0 * self.batch_size * self.outputs / self.learning_rate

    def relative_loss(self) -> float | None:
        """Mean squared residual over mean squared target; None if not known."""
        if self.network is not None:
            found = self.network.predictions(self.params, self.inputs) - self.targets
        elif self.residuals is None or self.targets is None:
            return None
        else:
            found = self.residuals
        size = float(np.mean(self.targets**2))
        loss = float(np.mean(np.asarray(found) ** 2))
        return loss / size if size > 0 else (0.0 if loss == 0 else np.inf)

    def norm_bound(self) -> NormBound | None:
        """Path or l_1 norm and its data form, for the two networks known by name."""
        if self.network is None:
            return None
        return self.network.norm_bound(self.params, self.inputs)

    def value_of(self, rows: Any, basis: Any, values: Any, **found: Any) -> Stability:
        """A value from matrices in the coordinates of `_mean_square.coordinates`.

        Where every column of the given rows counts, they are the coordinates
        themselves, so that nothing is lost by a rotation.
        """
        own = self.rows()
        if own.shape == rows.shape and own.shape[2] <= own.shape[0] * own.shape[1]:
            full = jnp.all(jnp.sum(rows**2, axis=(0, 1)) > 0)
            rows = jnp.where(full, own, rows)
            for name in ("lyapunov", "growth"):
                turned = basis.T @ found[name] @ basis
                found[name] = jnp.where(full, turned, found[name])
        for name in ("lyapunov", "growth"):
            found[name] = (found[name] + found[name].T) / 2
        norms = self.norm_bound()
        if norms is not None:
            implied = self.trace_bound * norms.norm / norms.weighted
            found |= {"path_norm": norms.norm, "implied_norm_bound": implied}
        return Stability(
            coordinates=rows,
            trace=jnp.sum(values),
            frobenius=jnp.sqrt(jnp.sum(values**2)),
            lambda_max=values[0],
            **found,
        )

    def claims(self, value: Stability) -> tuple[Claim | Withheld, ...]:
        from ._stability_claims import answer_claims

        return answer_claims(self, value)

    def candidate(self, *, max_learning_rate: float) -> Stability:
        """A threshold from elsewhere; identity matrices stand in for its witnesses."""
        with float64():
            found = coordinates(jnp.asarray(self.rows()), RANK_TOLERANCE)
            eye = jnp.eye(len(found.spectrum))
            value = self.value_of(
                found.rows,
                found.basis,
                found.values,
                lyapunov=eye,
                growth=eye,
                max_learning_rate=jnp.asarray(float(max_learning_rate)),
            )
            return jax.tree.map(np.asarray, value)

    def value_from(self, arrays: dict[str, np.ndarray]) -> Stability:
        return Stability(**arrays)

    def default_method(self) -> Any:
        from ._exact_mean_square import ExactMeanSquare

        return ExactMeanSquare()

    def pack(self) -> Packed:
        return packed(self)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        return unpacked(cls, dict(parameters), dict(arrays))


def _column(values: Any) -> Any:
    """Shape (n,) becomes (n, 1)."""
    made = None if values is None else array64(values)
    return made[:, None] if made is not None and np.ndim(made) == 1 else made
