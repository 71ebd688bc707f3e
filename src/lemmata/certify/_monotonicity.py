"""Is an output monotone in a feature over a box?

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394), section 5.3.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int64

from lemmata_checker import Packed

from ..core import (
    AbstractMethod,
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ..numerics.networks import Network
from . import _box_question as question
from ._bound_methods import UpperBounds, propagated

_MONOTONE, _INTERVAL = "certify.monotone/1", "certify.derivative_interval/1"


@final
class MonotonicityVerdicts(AbstractValue):
    """Bounds on the derivatives in the features, and what follows.

    **Fields:** `derivative_lower`, `derivative_upper`: (m,); `verdicts`: (m,) int64, 1
    non-decreasing, -1 non-increasing, 0 not shown; `slopes`: as in `LipschitzBounds`.
    """

    derivative_lower: Float64[AnyArray, " m"]
    derivative_upper: Float64[AnyArray, " m"]
    verdicts: Int64[AnyArray, " m"]
    slopes: Mapping[str, AnyArray] = eqx.field(default_factory=dict)

    def pack(self) -> dict[str, np.ndarray]:
        return {
            "derivative_lower": np.asarray(self.derivative_lower, dtype="<f8"),
            "derivative_upper": np.asarray(self.derivative_upper, dtype="<f8"),
            "verdicts": np.asarray(self.verdicts, dtype="<i8"),
            **{n: np.asarray(s, dtype="<f8") for n, s in self.slopes.items()},
        }


@final
class Monotonicity(AbstractProblem):
    """Does an output only rise, or only fall, with a feature, anywhere in a box?

    **Fields:**

    - `network`: a `Network`, as for `LocalLipschitz`.
    - `lower`, `upper`: the box, one number per input; a feature's own range may be wide
      while all others are fixed (`along`).
    - `output`: number of one output, or a direction v, (K,), such as a difference.
    - `features`: positions of inputs, each once.

    **Raises:** `InvalidProblem`.
    """

    network: Network
    lower: Float64[AnyArray, " d"]
    upper: Float64[AnyArray, " d"]
    output: str | int | Int64[AnyArray, ""]
    features: tuple[int, ...] = eqx.field(static=True)
    direction: Float64[AnyArray, " k"] | None

    def __init__(
        self,
        network: Network,
        lower: Any,
        upper: Any,
        output: Any,
        features: Sequence[int],
    ):
        self.network = network
        self.lower, self.upper = question.flat(lower), question.flat(upper)
        self.output, self.direction = question.output_of(output)
        self.features = tuple(features)

    @classmethod
    def along(
        cls,
        network: Network,
        point: Any,
        feature: int,
        least: float,
        most: float,
        output,
    ) -> Self:
        """One feature over [least, most], the others as at `point`."""
        lower, upper = np.array(question.flat(point)), np.array(question.flat(point))
        if not 0 <= feature < len(lower):
            expected = f"a position in [0, {len(lower)})"
            raise InvalidArgument("Monotonicity.along.feature", expected, feature)
        lower[feature], upper[feature] = least, most
        return cls(network, lower, upper, output, [feature])

    def validate(self) -> None:
        question.validate_network(self)
        question.validate_box(self)
        question.validate_output(self, several=False)
        size, features = self.network.inputs, self.features
        good = len(features) > 0 and len(set(features)) == len(features)
        good = good and all(
            isinstance(i, int | np.integer) and 0 <= i < size for i in features
        )
        expected = f"different positions in [0, {size})"
        require(self, "features", good, expected=expected, got=features)

    @property
    def rows(self) -> np.ndarray:
        """The row v of v'f that is asked about, shape (1, K)."""
        return question.rows_of(self)

    def pack(self) -> Packed:
        parameters, arrays = question.packed_parts(self)
        parameters["features"] = [int(i) for i in self.features]
        return Packed("certify.monotonicity/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        made, left = question.unpacked_parts("Monotonicity", parameters, arrays)
        return cls(**made, **left)

    def claims(self, value: MonotonicityVerdicts) -> tuple[Claim | Withheld, ...]:
        shown = Claim(_MONOTONE, 0.0)
        if not np.any(value.verdicts):
            reason = "no derivative keeps its sign over the box, by these bounds"
            shown = Withheld(_MONOTONE, reason)
        return (shown, Claim(_INTERVAL, 0.0))

    def candidate(
        self, *, derivative_lower: Any, derivative_upper: Any
    ) -> MonotonicityVerdicts:
        """A value from elsewhere: bounds (m,) on the derivatives in the features.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        shape = (len(self.features),)
        low, high = array64(derivative_lower), array64(derivative_upper)
        for name, side in (("derivative_lower", low), ("derivative_upper", high)):
            if np.shape(side) != shape:
                expected = f"real numbers of shape {shape}"
                raise InvalidArgument(f"candidate.{name}", expected, np.shape(side))
        return MonotonicityVerdicts(low, high, verdicts_of(low, high))

    def value_from(self, arrays: dict[str, np.ndarray]) -> MonotonicityVerdicts:
        slopes = {n: a for n, a in arrays.items() if n.startswith("slopes_")}
        rest = {n: a for n, a in arrays.items() if n not in slopes}
        return MonotonicityVerdicts(**rest, slopes=slopes)

    def default_method(self) -> Any:
        return DerivativeBounds()


def verdicts_of(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """1 where the derivative is >= 0, -1 where it is <= 0, else 0."""
    return np.where(low >= 0, 1, np.where(high <= 0, -1, 0)).astype(np.int64)


class DerivativeState(eqx.Module):
    """Bounds, which the one step leaves alone."""

    lower: Float64[Array, "1 d"]
    upper: Float64[Array, "1 d"]
    slopes: dict[str, Array]
    steps: Int64[Array, ""]


@final
class DerivativeBounds(AbstractMethod):
    """Linear bounds of the Jacobian, as `BoundPropagation`, for `Monotonicity`.

    **Options:**

    - `optimize_slopes`: improve the lower slopes of relaxed ReLUs by projected Adam.
    - `slope_steps`: steps of it, >= 1.
    """

    optimize_slopes: bool = eqx.field(static=True, default=False)
    slope_steps: int = eqx.field(static=True, default=20)

    def validate(self) -> None:
        good = isinstance(self.slope_steps, int) and self.slope_steps >= 1
        require(self, "slope_steps", good, expected=">= 1", got=self.slope_steps)

    def init(self, problem: Monotonicity, key: Any) -> DerivativeState:
        del key  # deterministic
        found = self._bounds(problem)
        start = jnp.asarray(0, dtype=jnp.int64)
        return DerivativeState(found.lower, found.upper, found.slopes, start)

    def _bounds(self, problem: Monotonicity) -> UpperBounds:
        rows = jnp.asarray(problem.rows)
        steps = self.slope_steps if self.optimize_slopes else 0
        return propagated(problem, rows, "envelope", steps)

    def step(self, problem: Monotonicity, state: DerivativeState) -> DerivativeState:
        return DerivativeState(state.lower, state.upper, state.slopes, state.steps + 1)

    def done(self, problem: Monotonicity, state: DerivativeState) -> Any:
        return ~(state.steps < 1)

    def finish(
        self, problem: Monotonicity, state: DerivativeState
    ) -> MonotonicityVerdicts:
        picked = jnp.asarray(problem.features)
        low, high = state.lower[0][picked], state.upper[0][picked]
        signs = jnp.where(low >= 0, 1, jnp.where(high <= 0, -1, 0))
        return MonotonicityVerdicts(low, high, signs.astype(jnp.int64), state.slopes)

    def observe(self, problem: Monotonicity, state: DerivativeState) -> dict[str, Any]:
        return {"steps": state.steps}

    def citations(self) -> tuple[str, ...]:
        return ("shi2022efficiently",)
