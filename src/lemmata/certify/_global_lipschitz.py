"""Global Lipschitz constants of networks: the problem, and answers to it.

Source: Pauli, Havens, Araujo, Garg, Khorrami, Allgoewer and Hu, ICLR 2024 (arXiv
2401.14033).
"""

import json
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
    InvalidProblem,
    Withheld,
    array64,
    require,
)
from ..numerics.networks import Network
from ._multipliers import PATTERNS, PRODUCT

_UPPER = {
    "l2": "certify.global_lipschitz_l2/1",
    "linf": "certify.global_lipschitz_linf/1",
}
_LOWER = "certify.global_lipschitz_lower/1"
_IMPROVES = "certify.global_lipschitz_improves/1"
_OPTIONAL = ("multipliers", "coupling", "weights", "cuts", "pair")


@final
class GlobalBounds(AbstractValue):
    """A bound on the Lipschitz constant, with what shows it.

    **Fields:**

    - `lipschitz_upper`, `lipschitz_lower`: scalars.
    - `form`: int64 scalar, how the bound is shown: 0 eliminated, 1 full multipliers,
      2 composite ReLUs, 3 product of norms, 4 all patterns.
    - `multipliers`: lambda >= 0, per activation in order, per group or entry; or None.
    - `coupling`: (groups, 3), gamma, nu, tau of form 1, or None.
    - `weights`: (d + r,), mu of the inputs and q of the outputs for l_inf, or None.
    - `cuts`: int64, nodes between which bounds are multiplied, or None.
    - `pair`: (2, d), two inputs that attain `lipschitz_lower`, or None.
    """

    lipschitz_upper: Float64[AnyArray, ""]
    lipschitz_lower: Float64[AnyArray, ""]
    form: Int64[AnyArray, ""]
    multipliers: Float64[AnyArray, " m"] | None = None
    coupling: Float64[AnyArray, "g 3"] | None = None
    weights: Float64[AnyArray, " w"] | None = None
    cuts: Int64[AnyArray, " c"] | None = None
    pair: Float64[AnyArray, "2 d"] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        packed = {
            name: np.asarray(getattr(self, name), dtype="<f8")
            for name in ("lipschitz_upper", "lipschitz_lower")
        }
        packed["form"] = np.asarray(self.form, dtype="<i8")
        for name in _OPTIONAL:
            part = getattr(self, name)
            if part is not None and np.size(part):
                packed[name] = np.asarray(part, "<i8" if name == "cuts" else "<f8")
        return packed


@final
class GlobalLipschitz(AbstractProblem):
    """How fast can this network's outputs change, anywhere?

    l_2: the least L with ||f(x) - f(y)||_2 <= L ||x - y||_2 for all x, y.
    l_inf: the least L with sum_i |f_i(x) - f_i(y)| <= L ||x - y||_inf over the outputs
    asked about.

    **Fields:**

    - `network`: a `Network`, of `from_equinox` or `from_onnx`, any activation.
    - `norm`: "l2" or "linf".
    - `output`: None for all outputs (l_2); "sum" for the sum over all (l_inf); or the
      number of one output. With one output, l_inf needs none.

    **Raises:** `InvalidProblem`.
    """

    network: Network
    norm: str = eqx.field(static=True)
    output: int | str = eqx.field(static=True)

    def __init__(self, network: Network, norm: str = "l2", output: Any = None):
        self.network = network
        self.norm = norm
        self.output = _plain_output(network, norm, output)

    def validate(self) -> None:
        known = isinstance(self.network, Network)
        expected = "a Network: from_equinox(module, input_shape) or from_onnx(path)"
        got = type(self.network).__name__
        require(self, "network", known, expected=expected, got=got)
        good = self.norm in _UPPER
        require(self, "norm", good, expected="'l2' or 'linf'", got=repr(self.norm))
        count, words = self.network.outputs, ("all", "sum")
        whole = isinstance(self.output, int) and 0 <= self.output < count
        word = self.output == words[self.norm == "linf"]
        expected = f"an integer in [0, {count}), or " + (
            "'sum' for the sum over all" if self.norm == "linf" else "None for all"
        )
        got = repr(None if self.output == "all" else self.output)
        require(self, "output", whole or word, expected=expected, got=got)

    @property
    def linf(self) -> bool:
        """Whether inputs are measured in l_inf."""
        return self.norm == "linf"

    @property
    def selected(self) -> np.ndarray | None:
        """(r, K), rows of the outputs asked about; None for all."""
        if isinstance(self.output, str):
            return None
        return np.eye(self.network.outputs)[[self.output]]

    @property
    def tests(self) -> int:
        """How many outputs are asked about."""
        return self.network.outputs if isinstance(self.output, str) else 1

    def pack(self) -> Packed:
        content, arrays = self.network.records()
        parameters = {"network": content, "norm": self.norm, "output": self.output}
        return Packed("certify.global_lipschitz/1", parameters, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters = dict(parameters)
        content = parameters.pop("network", None)
        content = read_records("GlobalLipschitz.network", content)
        return cls(Network.of(content, arrays), **parameters)

    def claims(self, value: GlobalBounds) -> tuple[Claim | Withheld, ...]:
        upper, lower = float(value.lipschitz_upper), float(value.lipschitz_lower)
        shown = (Claim(_UPPER[self.norm], upper), self._improves(upper))
        if value.pair is None:
            return (*shown, Withheld(_LOWER, "no pair of inputs was looked for"))
        return (*shown, Claim(_LOWER, lower))

    def _improves(self, upper: float) -> Claim | Withheld:
        from lemmata_checker.errors import Malformed
        from lemmata_checker.rules._certify_lipsdp_product import norm_product
        from lemmata_checker.rules._certify_lipsdp_question import Question

        picked = self.selected
        rows = np.eye(self.network.outputs) if picked is None else picked
        try:
            low = norm_product(Question(judged(self.network), self.linf, rows)).lower
        except Malformed as error:
            return Withheld(_IMPROVES, str(error))
        if not low > 0:
            return Withheld(_IMPROVES, "the product of norms may be 0")
        return Claim(_IMPROVES, upper / low * (1 + 1e-12))

    def candidate(
        self,
        *,
        multipliers: Any = None,
        lipschitz_upper: Any = None,
        form: int = 0,
        coupling: Any = None,
        weights: Any = None,
        cuts: Any = None,
        pair: Any = None,
    ) -> GlobalBounds:
        """A value from elsewhere: multipliers, say of another solver.

        **Arguments:** the fields of `GlobalBounds`. Without `multipliers` a bound is
        shown by the product of norms (3) or all patterns (4). Without
        `lipschitz_upper` the least bound that they show is stated.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        from ._shown_bounds import attained_by, least_bound

        if multipliers is None and form not in (PRODUCT, PATTERNS):
            form = PRODUCT
        parts = {
            "multipliers": _array("multipliers", multipliers, 1),
            "coupling": _array("coupling", coupling, 2),
            "weights": _array("weights", weights, 1),
            "cuts": None if cuts is None else np.asarray(cuts, dtype=np.int64),
            "pair": _array("pair", pair, 2),
        }
        form_array = np.asarray(form, dtype=np.int64)
        given = GlobalBounds(np.asarray(0.0), np.asarray(0.0), form_array, **parts)
        bound = least_bound(self, given) if lipschitz_upper is None else lipschitz_upper
        low = 0.0 if pair is None else attained_by(self, parts["pair"])
        scalars = (np.asarray(float(bound)), np.asarray(float(low)))
        return GlobalBounds(*scalars, form_array, **parts)

    def value_from(self, arrays: dict[str, np.ndarray]) -> GlobalBounds:
        return GlobalBounds(**arrays)

    def default_method(self) -> Any:
        from ._eigenvalue import Eigenvalue

        return Eigenvalue()


def read_records(where: str, content: Any) -> dict[str, Any]:
    """Layer records as JSON has them, or as the text of JSON from a command line.

    **Raises:** `InvalidProblem`.
    """
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            content = f"a text that is not JSON, {content[:40]!r}"
    if not isinstance(content, dict):
        expected = "layer records, or an ONNX file as data"
        raise InvalidProblem(where, expected, content)
    return content


def judged(network: Network) -> Any:
    """The network as the judge reads it."""
    from lemmata_checker.network import network_of

    return network_of(*network.records())


def _plain_output(network: Any, norm: str, output: Any) -> Any:
    """'all' or 'sum' in place of None, where that is clear."""
    if output is None:
        single = norm == "linf" and getattr(network, "outputs", 0) == 1
        return "sum" if single else "all"
    if isinstance(output, np.integer):
        return int(output)
    return output if not isinstance(output, bool) else str(output)


def _array(name: str, value: Any, dimensions: int) -> np.ndarray | None:
    if value is None:
        return None
    array = array64(value)
    if getattr(array, "dtype", None) != np.float64 or array.ndim != dimensions:
        expected = f"real numbers in {dimensions} dimensions"
        raise InvalidArgument(f"candidate.{name}", expected, np.shape(array))
    return array
