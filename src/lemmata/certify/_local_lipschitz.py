"""Local Lipschitz constants over a box: the problem, and answers to it.

Source: Shi, Wang, Zhang, Kolter and Hsieh, NeurIPS 2022 (arXiv 2210.07394).
"""

from collections.abc import Mapping
from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64, Int64

from lemmata_checker import Packed

from ..core import (
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

_UPPER, _LOWER = "certify.local_lipschitz_upper/1", "certify.local_lipschitz_lower/1"
_GAP = "certify.local_lipschitz_gap/1"
_INTERVAL = "certify.jacobian_interval/1"
_SANDWICH = "certify.local_lipschitz_sandwich/1"
_PAIRS = 10_000
_MOST_EVALUATED = 2**24  # entries of all nodes over all drawn pairs


@final
class LipschitzBounds(AbstractValue):
    """Bounds on the l_inf local Lipschitz constants, with what shows them.

    **Fields:**

    - `lipschitz_upper`, `lipschitz_lower`: (r,), per output (or direction) asked about.
    - `jacobian_lower`, `jacobian_upper`: (r, d), around every generalised Jacobian.
    - `witness_points`: (r, d), where the lower bounds are attained.
    - `split_tree`: int64, the splits that show the upper bounds, or None.
    - `infeasible`: (f, neurons), multipliers that show leaves to be empty, or None.
    - `slopes`: lower slopes of relaxations by `slopes_TARGET_NODE`.
    - `fixed_preactivation`: int64, 1 where the leaves' bounds are shown with the whole
      box's bounds on values, each clipped by the signs of its splits; None: without.
    """

    lipschitz_upper: Float64[AnyArray, " r"]
    lipschitz_lower: Float64[AnyArray, " r"]
    jacobian_lower: Float64[AnyArray, "r d"]
    jacobian_upper: Float64[AnyArray, "r d"]
    witness_points: Float64[AnyArray, "r d"]
    split_tree: Int64[AnyArray, " t"] | None = None
    infeasible: Float64[AnyArray, "f n"] | None = None
    slopes: Mapping[str, AnyArray] = eqx.field(default_factory=dict)
    fixed_preactivation: Int64[AnyArray, ""] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        names = (
            "lipschitz_upper",
            "lipschitz_lower",
            "jacobian_lower",
            "jacobian_upper",
            "witness_points",
        )
        packed = {n: np.asarray(getattr(self, n), dtype="<f8") for n in names}
        if self.split_tree is not None:
            packed["split_tree"] = np.asarray(self.split_tree, dtype="<i8")
        if self.infeasible is not None:
            packed["infeasible"] = np.asarray(self.infeasible, dtype="<f8")
        if self.fixed_preactivation is not None:
            fixed = np.asarray(self.fixed_preactivation, dtype="<i8")
            packed["fixed_preactivation"] = fixed
        packed |= {n: np.asarray(s, dtype="<f8") for n, s in self.slopes.items()}
        return packed

    @property
    def leaves(self) -> int:
        """Number of sub-domains that the upper bounds were shown on."""
        if self.split_tree is None:
            return len(self.lipschitz_upper)
        return int(np.sum(np.asarray(self.split_tree) < 0))


@final
class LocalLipschitz(AbstractProblem):
    """How fast can each output change, per unit of the l_inf norm, within a box?

    L_c = sup over x in the box of ||J_c(x)||_1, J_c the rows of Clarke's generalised
    Jacobian; an upper bound is one on |f_c(x) - f_c(y)| / ||x - y||_inf.

    **Fields:**

    - `network`: a `Network`, of `from_equinox` or `from_onnx`; activations ReLU, leaky
      ReLU, sigmoid, tanh, softplus.
    - `lower`, `upper`: the box, one number per input, in the units of the input;
      equal sides make a point.
    - `output`: "all", the number of one output (held as an array, so that the next one
      does not compile again), or a direction v, (K,): then v'f is asked about, as one
      function (a difference of two scores, say).
    - `max_gap`: promised ratio of upper bound to attained norm, > 1; None promises the
      ratio that was found.

    **Raises:** `InvalidProblem`.
    """

    network: Network
    lower: Float64[AnyArray, " d"]
    upper: Float64[AnyArray, " d"]
    output: str | int | Int64[AnyArray, ""]
    direction: Float64[AnyArray, " k"] | None
    max_gap: float | AnyArray | None

    def __init__(
        self,
        network: Network,
        lower: Any,
        upper: Any,
        output: Any = "all",
        *,
        max_gap: float | None = None,
    ):
        self.network = network
        self.lower, self.upper = question.flat(lower), question.flat(upper)
        self.output, self.direction = question.output_of(output)
        self.max_gap = max_gap

    @classmethod
    def around(
        cls, network: Network, centre: Any, radius: Any, output: Any = "all", **options
    ) -> Self:
        """The box of all points within `radius` (a number, or one per input).

        **Raises:** `InvalidArgument` for a radius below 0.
        """
        centre, radius = question.flat(centre), array64(radius)
        if not np.all(radius >= 0):
            raise InvalidArgument("LocalLipschitz.around.radius", ">= 0", radius)
        radius = np.broadcast_to(np.reshape(radius, -1), centre.shape)
        return cls(network, centre - radius, centre + radius, output, **options)

    def validate(self) -> None:
        question.validate_network(self)
        question.validate_box(self)
        question.validate_output(self, several=True)
        work = len(self.rows) * self.network.inputs
        expected = f"at most {question.MOST_WORK} entries of the Jacobian"
        require(self, "output", work <= question.MOST_WORK, expected=expected, got=work)
        good = self.max_gap is None or self.max_gap > 1
        require(self, "max_gap", good, expected="None or > 1", got=self.max_gap)

    @property
    def rows(self) -> np.ndarray:
        """The rows v of v'f that are asked about, shape (r, K)."""
        return question.rows_of(self)

    def pack(self) -> Packed:
        parameters, arrays = question.packed_parts(self)
        gap = None if self.max_gap is None else float(self.max_gap)
        return Packed(
            "certify.local_lipschitz/1", parameters | {"max_gap": gap}, arrays
        )

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        made, left = question.unpacked_parts("LocalLipschitz", parameters, arrays)
        return cls(**made, **left)

    def claims(self, value: LipschitzBounds) -> tuple[Claim | Withheld, ...]:
        high, low = value.lipschitz_upper, value.lipschitz_lower
        return (
            Claim(_UPPER, float(np.max(high))),
            Claim(_LOWER, float(np.max(low))),
            self._gap(np.asarray(high), np.asarray(low)),
            Claim(_INTERVAL, 0.0),
            self._sandwich(),
        )

    def _gap(self, high: np.ndarray, low: np.ndarray) -> Claim | Withheld:
        if np.any(low <= 0):
            reason = "no gradient above zero was found for some output"
            return Withheld(_GAP, reason)
        promised = float(np.max(high / low)) * (1 + 1e-12)
        return Claim(_GAP, promised if self.max_gap is None else float(self.max_gap))

    def _sandwich(self) -> Claim | Withheld:
        if np.array_equal(self.lower, self.upper):
            return Withheld(_SANDWICH, "the box is a point: there are no pairs")
        size = self.network.inputs + sum(node.size for node in self.network.nodes)
        pairs = max(100, min(_PAIRS, _MOST_EVALUATED // size))
        return Claim(_SANDWICH, 1.0, parameters={"pairs": pairs, "key": 0})

    def candidate(
        self,
        *,
        lipschitz_upper: Any,
        lipschitz_lower: Any = 0.0,
        witness_points: Any = None,
        jacobian_lower: Any = None,
        jacobian_upper: Any = None,
    ) -> LipschitzBounds:
        """A value from elsewhere.

        **Arguments:**

        - `lipschitz_upper`, `lipschitz_lower`: (r,), or one number for all rows.
        - `witness_points`: (r, d), where the lower bounds are attained; the centre.
        - `jacobian_lower`, `jacobian_upper`: (r, d); without them -L_c and L_c.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        count, size = len(self.rows), self.network.inputs
        high = _shaped("lipschitz_upper", lipschitz_upper, (count,))
        low = _shaped("lipschitz_lower", lipschitz_lower, (count,))
        middle = 0.5 * self.lower + 0.5 * self.upper
        points = middle if witness_points is None else witness_points
        points = _shaped("witness_points", points, (count, size))
        sides = (-high[:, None], high[:, None])
        given = (jacobian_lower, jacobian_upper)
        parts = [
            _shaped("jacobian", side if part is None else part, (count, size))
            for side, part in zip(sides, given, strict=True)
        ]
        return LipschitzBounds(high, low, parts[0], parts[1], points)

    def value_from(self, arrays: dict[str, np.ndarray]) -> LipschitzBounds:
        slopes = {n: a for n, a in arrays.items() if n.startswith("slopes_")}
        rest = {n: a for n, a in arrays.items() if n not in slopes}
        return LipschitzBounds(**rest, slopes=slopes)

    def default_method(self) -> Any:
        from ._bound_methods import BoundPropagation

        return BoundPropagation()


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = array64(value)
    try:
        return np.array(np.broadcast_to(array, shape), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(
            f"candidate.{name}", f"real numbers of shape {shape}", np.shape(array)
        ) from error
