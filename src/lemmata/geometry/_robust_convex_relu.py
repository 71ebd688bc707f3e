"""Two-layer ReLU networks trained for the worst point of a ball around each sample.

Source: Bai, Gautam and Sojoudi (2023), section 5; Bai, Gautam, Gai and Sojoudi (2022).
"""

from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float64

from lemmata_checker import Packed

from ..core import AnyArray, Claim, InvalidArgument, Withheld, array64, require
from ._convex_relu import AbstractReLUProblem, patterns_from
from ._relu_checks import check_data, check_patterns, check_positive
from ._relu_network import ReLUNetwork, balanced
from ._relu_patterns import AbstractPatterns, Patterns, Sampled

KIND = "geometry.robust_convex_relu/1"
BALLS = ("linf", "l2")
ROBUST_TOL = 1e-6  # share by which the judge's bound may exceed the stated objective


@final
class RobustConvexReLU(AbstractReLUProblem):
    """min over networks of the loss at the worst points x_k + shift, plus decay.

    In the convex program E_i X v_i >= radius |v_i|_1 row by row (the dual norm of the
    ball), so that no shift changes any unit's pattern, and its loss is then exact.

    **Fields:**

    - `inputs`, `targets`, `loss`, `weight_decay`, `logit_scale`, `patterns`,
      `directions`: as of `ConvexReLU`.
    - `radius`: of the balls, > 0, in the units of inputs.
    - `perturbed_columns`: (d,) of bool: what a shift may change; None: every column but
      those of ones.
    - `ball`: "linf" or "l2".

    **Raises:** `InvalidProblem`.
    """

    inputs: Float64[AnyArray, "n d"]
    targets: Float64[AnyArray, " n"]
    patterns: Bool[AnyArray, "P n"]
    directions: Float64[AnyArray, "P d"] | None
    perturbed_columns: Bool[AnyArray, " d"]
    weight_decay: Any
    radius: Any
    logit_scale: Any
    loss: str = eqx.field(static=True)
    ball: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: Any,
        targets: Any,
        loss: str = "hinge",
        *,
        weight_decay: Any,
        radius: Any,
        perturbed_columns: Any = None,
        patterns: AbstractPatterns | Patterns | None = None,
        ball: str = "linf",
        logit_scale: Any = 1.0,
    ):
        self.inputs, self.targets = array64(inputs), array64(targets)
        self.loss, self.weight_decay, self.radius = loss, weight_decay, radius
        self.logit_scale, self.ball = logit_scale, ball
        check_data(self)
        check_positive(self, "radius", radius)
        mask = perturbed_columns
        if mask is None:
            mask = ~np.all(np.asarray(self.inputs) == 1.0, axis=0)
        self.perturbed_columns = np.asarray(mask)
        chosen = patterns
        if chosen is None:
            chosen = Sampled(30, radius=float(radius), draws=2)
        if isinstance(chosen, AbstractPatterns):
            chosen = chosen.of(np.asarray(self.inputs))
        check_patterns(self, chosen)
        self.patterns, self.directions = chosen

    def validate(self) -> None:
        check_data(self)
        require(self, "ball", self.ball in BALLS, expected="linf | l2", got=self.ball)
        d, mask = self.inputs.shape[1], self.perturbed_columns
        fits = mask.dtype == np.bool_ and mask.shape == (d,)
        expected = f"shape ({d},) of bool, one per column"
        got = f"{mask.dtype} {mask.shape}"
        require(self, "perturbed_columns", fits, expected=expected, got=got)
        some = bool(np.any(mask))
        require(self, "perturbed_columns", some, expected="a True", got="none")

    def cost(self, hidden: Any, output: Any, xp: Any = np) -> Any:
        """Decay, and an upper bound on the loss at the worst points.

        Exact where no shift changes the pattern of any unit.
        """
        n = self.inputs.shape[0]
        f, reach = self.range(hidden, output, xp)
        y, loss = self.targets, self.criterion
        if self.loss == "squared":
            value = 0.5 * xp.sum((xp.abs(f - y) + reach) ** 2)
        else:
            value = loss.value(f - y * reach, y, xp)
        size = 0.5 * (xp.sum(hidden**2) + xp.sum(output**2))
        return loss.share(n) * value + self.weight_decay * size

    def range(self, hidden: Any, output: Any, xp: Any = np) -> tuple[Any, Any]:
        """(f, reach): on the ball of sample k predictions are within reach_k of f_k."""
        height = self.inputs @ hidden.T
        shift = self.radius * self.dual_norm(hidden, xp)
        low = xp.maximum(shift[None, :] - height, 0.0)
        high = xp.maximum(shift[None, :] + height, 0.0)
        active = low <= high
        weights = xp.where(active, output, 0.0)
        f = xp.sum(weights * height, axis=1)
        reach = self.radius * self.dual_norm(weights @ hidden, xp)
        return f, reach + xp.where(active, low, high) @ xp.abs(output)

    def dual_norm(self, rows: Any, xp: Any = np) -> Any:
        """Of the perturbed columns of each row."""
        part = xp.where(self.perturbed_columns, rows, 0.0)
        if self.ball == "linf":
            return xp.sum(xp.abs(part), axis=1)
        square = xp.sum(part * part, axis=1)
        return xp.sqrt(xp.where(square > 0, square, 0.0))

    def candidate(
        self, *, hidden_weights: Any, output_weights: Any, dual: Any = None
    ) -> ReLUNetwork:
        """A network from elsewhere, balanced; no dual is known here.

        **Raises:** `InvalidArgument`.
        """
        del dual
        d = self.inputs.shape[1]
        u, a = array64(hidden_weights), array64(output_weights)
        shape = (np.shape(u), np.shape(a))
        if len(shape[0]) != 2 or shape[0][1] != d or shape[1] != shape[0][:1]:
            expected = f"shapes (k, {d}) and (k,)"
            raise InvalidArgument("candidate.hidden_weights", expected, shape)
        return self.network(*balanced(u, a), None)

    def pack(self) -> Packed:
        parameters = {
            "loss": self.loss,
            "weight_decay": float(self.weight_decay),
            "logit_scale": float(self.logit_scale),
            "radius": float(self.radius),
            "ball": self.ball,
        }
        arrays = {
            "inputs": np.ascontiguousarray(self.inputs, "<f8"),
            "targets": np.ascontiguousarray(self.targets, "<f8"),
            "pattern_bits": np.packbits(np.asarray(self.patterns), axis=1),
            "perturbed_columns": np.asarray(self.perturbed_columns),
        }
        if self.directions is not None:
            arrays["directions"] = np.ascontiguousarray(self.directions, "<f8")
        return Packed(KIND, parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters, arrays = dict(parameters), dict(arrays)
        mask = arrays.get("perturbed_columns")
        if mask is not None and mask.dtype != np.bool_:
            arrays["perturbed_columns"] = np.asarray(mask) != 0
        chosen = patterns_from(parameters, arrays)
        radius = parameters.get("radius", 0.0)
        if isinstance(chosen, Sampled):
            chosen = Sampled(chosen.count, chosen.key, radius=float(radius), draws=2)
        return cls(**arrays, **parameters, patterns=chosen)

    def claims(self, value: ReLUNetwork) -> tuple[Claim | Withheld, ...]:
        return (Claim("geometry.robust_loss/1", ROBUST_TOL),)

    def default_method(self) -> Any:
        from ._relu_conic import ConicSolver

        return ConicSolver()


def attacked(problem: RobustConvexReLU, hidden: Any, output: Any, shift: Any) -> Any:
    """Loss of the network at X + shift, in JAX; for attacks."""
    x = problem.inputs + shift
    f = jnp.maximum(x @ hidden.T, 0.0) @ output
    share = problem.criterion.share(problem.inputs.shape[0])
    return share * problem.criterion.value(f, problem.targets, jnp)
