"""Implicit layers (deep equilibrium models): global Lipschitz bounds, well-posedness.

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from lemmata_checker import Packed
from lemmata_checker.case import Case, Malformed
from lemmata_checker.network import CURVES
from lemmata_checker.rules import certify_lipsdp_implicit as judge

from ..core import (
    CONVERGED,
    AbstractMethod,
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    Outcome,
    Withheld,
    array64,
    require,
)
from ..numerics.networks import Network
from ._activation import GROUPED, _full, slopes
from ._conic_solution import AbstractConicSolver, Clarabel, conic_solution
from ._from_equinox import from_equinox
from ._global_lipschitz import GlobalBounds, _array, read_records
from ._inequality import Inequality, Layout
from ._lipsdp import _FAILED, repaired
from ._multipliers import FULL, AllMultipliers
from ._rows import Rows
from ._shown_bounds import SLACK

_UPPER, _POSED = "certify.implicit_lipschitz_l2/1", "certify.well_posed/1"
AMPLE = 1e-3  # margin of the interior point that repairs lean towards


@final
class ImplicitLipschitz(AbstractProblem):
    """How fast can y = C z + D x change with x, in l_2, where z = phi(W z + U x)?

    **Fields:**

    - `weight` W (n, n), `input_weight` U (n, d), `output` C (k, n), `direct` D (k, d),
      or None for 0.
    - `activation`: phi, a function that `from_equinox` reads (`jax.nn.relu`,
      `MaxMin()`) or a `Network` of that one activation; None is ReLU.

    **Raises:** `InvalidProblem`.
    """

    weight: Float64[AnyArray, "n n"]
    input_weight: Float64[AnyArray, "n d"]
    output: Float64[AnyArray, "k n"]
    direct: Float64[AnyArray, "k d"]
    activation: Network

    def __init__(
        self,
        weight: Any,
        input_weight: Any,
        output: Any,
        direct: Any = None,
        activation: Any = None,
    ):
        self.weight, self.input_weight = array64(weight), array64(input_weight)
        self.output = array64(output)
        if direct is None and np.ndim(output) == np.ndim(input_weight) == 2:
            direct = np.zeros((np.shape(output)[0], np.shape(input_weight)[1]))
        self.direct = array64(direct)
        activation = jax.nn.relu if activation is None else activation
        if not isinstance(activation, Network) and np.ndim(weight) == 2:
            activation = from_equinox(activation, (np.shape(weight)[0],))
        self.activation = activation

    def validate(self) -> None:
        parts = ("weight", "input_weight", "output", "direct")
        for name in parts:
            part = getattr(self, name)
            good = getattr(part, "dtype", None) == np.float64 and part.ndim == 2
            got = f"{getattr(part, 'dtype', type(part))}, shape {np.shape(part)}"
            require(self, name, good, expected="a matrix of real numbers", got=got)
            bad = int(np.sum(~np.isfinite(part)))
            got = f"{bad} not finite"
            require(self, name, bad == 0, expected="finite numbers", got=got)
        n, d, k = len(self.weight), self.input_weight.shape[1], len(self.output)
        for name, shape in zip(parts, ((n, n), (n, d), (k, n), (k, d)), strict=True):
            got = np.shape(getattr(self, name))
            require(self, name, got == shape, expected=f"shape {shape}", got=got)
        good = isinstance(self.activation, Network)
        nodes = list(self.activation.nodes) if good else []
        good = good and len(nodes) == 1 and nodes[0].op in (*CURVES, *GROUPED)
        good = good and self.activation.input_shape == (n,)
        got = [node.op for node in nodes]
        require(self, "activation", good, expected="one activation", got=got)
        flat = nodes[0].op == "leaky_relu" and nodes[0].low_slope == 1
        require(self, "activation", not flat, expected="a slope below 1", got=1.0)

    def pack(self) -> Packed:
        content, arrays = self.activation.records()
        for name in ("weight", "input_weight", "output", "direct"):
            arrays[name] = np.asarray(getattr(self, name), dtype="<f8")
        return Packed("certify.implicit_lipschitz/1", {"activation": content}, arrays)

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        content, arrays = parameters.get("activation"), dict(arrays)
        parts = {n: arrays.pop(n) for n in list(arrays) if n.startswith("network_")}
        if content is None:
            return cls(**arrays)
        content = read_records("ImplicitLipschitz.activation", content)
        return cls(**arrays, activation=Network.of(content, parts))

    def claims(self, value: GlobalBounds) -> tuple[Claim | Withheld, ...]:
        shown = Claim(_UPPER, float(value.lipschitz_upper))
        try:
            margin = judge.margin(Case(self.pack(), value.pack()))
        except Malformed as error:
            return shown, Withheld(_POSED, str(error))
        if not margin > 0:
            return shown, Withheld(_POSED, "the inequality is not strict")
        return shown, Claim(_POSED, 0.5 * margin)

    def candidate(
        self, *, multipliers: Any, coupling: Any = None, lipschitz_upper: Any = None
    ) -> GlobalBounds:
        """A value from elsewhere; without `lipschitz_upper` the least that it shows.

        **Raises:** `InvalidArgument` where a shape does not fit.
        """
        parts = _array("multipliers", multipliers, 1), _array("coupling", coupling, 2)
        return self.stated(*parts, lipschitz_upper)

    def stated(
        self, multipliers: Any, coupling: Any, bound: Any = None
    ) -> GlobalBounds:
        """The value of multipliers, with the least bound that the judge finds."""
        zero, form = np.asarray(0.0), np.asarray(FULL, dtype=np.int64)
        value = GlobalBounds(zero, zero, form, multipliers, coupling)
        if bound is None:
            try:
                bound = judge.bound(Case(self.pack(), value.pack())) * (1 + SLACK)
            except Malformed as error:
                raise InvalidArgument("multipliers", "a proof", error) from error
        bound = min(float(bound), float(np.finfo(np.float64).max))
        return GlobalBounds(np.asarray(bound), zero, form, multipliers, coupling)

    def value_from(self, arrays: dict[str, np.ndarray]) -> GlobalBounds:
        return GlobalBounds(**arrays)

    def default_method(self) -> Any:
        return ImplicitSDP()


def implicit_inequality(problem: ImplicitLipschitz) -> Inequality:
    """The same inequality with coordinates (dx, dz), dz inside and outside phi."""
    n, d = problem.input_weight.shape
    node, vectors = problem.activation.nodes[0], problem.activation.weights[0]
    book = Rows(d + n)
    entries = book.fresh(d)
    own = jnp.eye(d + n)[:, d:]
    z = entries @ problem.input_weight.T + own @ problem.weight.T
    if node.op in GROUPED:
        _full(book, node, vectors, z, AllMultipliers())
    else:
        a, b = slopes(node)
        owners = book.multipliers(n)
        book.enter(z, -1.0, owners, book.own)
        scaled = (own - (a + b) / 2 * z) * (2 / (b - a))
        book.enter(scaled, 1.0, owners, book.own)
    final = entries @ problem.direct.T + own @ problem.output.T
    book.enter(entries, 1.0, np.repeat(book.weights(1), d), book.own)
    layout = Layout(
        tuple(book.owners), tuple(book.signs), tuple(book.kinds), (), d, 0, book.groups
    )
    return Inequality(jnp.concatenate(book.rows), -final @ final.T, layout)


_assembled = eqx.filter_jit(implicit_inequality)


@dataclass(frozen=True)
class ImplicitState:
    """Multipliers (m,), and whether the solver was done and failed."""

    theta: np.ndarray
    solved: bool
    failed: bool


@final
class ImplicitSDP(AbstractMethod):
    """The bound of an implicit layer by a conic solver, repaired into a proof.

    **Options:** `solver`: `Clarabel()` or `SCS()`; needs `pip install lemmata[cones]`.
    """

    solver: AbstractConicSolver = Clarabel()

    host: ClassVar[bool] = True

    def validate(self) -> None:
        self.solver.check(self)

    def init(self, problem: ImplicitLipschitz, key: Any) -> ImplicitState:
        count = len(_assembled(problem).layout.kinds)
        return ImplicitState(np.ones(count), False, False)

    def step(self, problem: ImplicitLipschitz, state: ImplicitState) -> ImplicitState:
        inequality = _assembled(problem)
        inside = conic_solution(inequality, state.theta, self.solver, margin=AMPLE)
        found = conic_solution(inequality, state.theta, self.solver)
        if found.status not in ("solved", "almost_solved"):
            return replace(state, solved=True, failed=True)
        theta = repaired(inequality, found.theta, inside.theta)
        return ImplicitState(theta, True, False)

    def done(self, problem: ImplicitLipschitz, state: ImplicitState) -> bool:
        return state.solved

    def finish(self, problem: ImplicitLipschitz, state: ImplicitState) -> GlobalBounds:
        layout = _assembled(problem).layout
        parts = [state.theta[layout.indices(kind)] for kind in range(4)]
        coupling = None
        if layout.groups:
            zeros = np.zeros(layout.groups)
            columns = [part if part.size else zeros for part in parts[1:]]
            coupling = np.stack(columns, axis=1)
        return problem.stated(parts[0], coupling)

    def observe(
        self, problem: ImplicitLipschitz, state: ImplicitState
    ) -> dict[str, Any]:
        return {"solved": float(state.solved)}

    def outcome(self, problem: ImplicitLipschitz, state: ImplicitState) -> Outcome:
        return _FAILED if state.failed else CONVERGED

    def to_arrays(self, state: ImplicitState) -> dict[str, np.ndarray]:
        flags = np.array([state.solved, state.failed])
        return {"theta": state.theta, "flags": flags}

    def from_arrays(self, problem: Any, arrays: Mapping[str, Any]) -> ImplicitState:
        solved, failed = (bool(flag) for flag in arrays["flags"])
        return ImplicitState(np.asarray(arrays["theta"]), solved, failed)

    def citations(self) -> tuple[str, ...]:
        return ("pauli2024novel",)
