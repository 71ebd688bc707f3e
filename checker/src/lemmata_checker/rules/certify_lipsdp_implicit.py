"""Layers given by an equation z = phi(W z + U x), y = C z + D x.

With the coordinates d = (dx, dz), the activation's constraints hold between
W dz + U dx and dz. s |dx|^2 - |C dz + D dx|^2 - sum of constraints >= 0 shows
|dy| <= sqrt(s) |dx| for any two solutions. Where the part without C and dx is strict,
z - phi(W z + b) = r has a solution for all b and r, and only one: two solutions of one
r have 0 <= constraints < 0 unless they agree; and |dz| <= c |dr|, so the continuous map
is injective and proper, hence a homeomorphism (invariance of domain).

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033); existence: derived here.
"""

import math
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..definite import least_eigenvalue
from ..network import CURVES, Network, network_of
from ..rigor import TINY, gamma
from ._certify_lipsdp_balls import LEAST, Ball, Squares
from ._certify_lipsdp_forms import MOST_COORDINATES, Forms
from ._certify_lipsdp_question import (
    FULL,
    GROUPED,
    IMPLICIT,
    Array,
    array_of,
    multiplier_count,
    slopes_of,
)
from ._certify_lipsdp_shown import Enclosed, gathered, least_scale


class Layer(NamedTuple):
    """W (n, n), U (n, d), C (k, n), D (k, d), and the activation alone as a network."""

    weight: Array
    inputs: Array
    output: Array
    direct: Array
    activation: Network


def layer(case: Case) -> Layer:
    """The problem, read once."""
    return case.shared("certify.implicit.layer", lambda: _layer(case))


def _layer(case: Case) -> Layer:
    kind, content, arrays = case.problem
    if kind != IMPLICIT:
        raise Malformed(f"a problem of kind {kind}, expected {IMPLICIT}")
    activation = network_of(content.get("activation"), arrays)
    node = activation.nodes[0]
    single = len(activation.nodes) == 1 and (node.op in CURVES or node.op in GROUPED)
    if not single or len(node.shape) != 1:
        raise Malformed("activation: expected one activation of a vector")
    n = node.size
    sizes = [
        arrays[name].shape for name in ("input_weight", "output") if name in arrays
    ]
    if len(sizes) != 2 or any(len(shape) != 2 for shape in sizes):
        raise Malformed("input_weight, output: expected matrices")
    d, k = sizes[0][1], sizes[1][0]
    shapes = {
        "weight": (n, n),
        "input_weight": (n, d),
        "output": (k, n),
        "direct": (k, d),
    }
    parts = {name: array_of(arrays, name, shape) for name, shape in shapes.items()}
    if any(np.any((part != 0) & (np.abs(part) < LEAST)) for part in parts.values()):
        raise Malformed(f"weights: expected none below {LEAST:g}, but 0")
    if n + d > MOST_COORDINATES:
        raise Malformed(f"an inequality of order {n + d} is too large to judge")
    return Layer(
        parts["weight"],
        parts["input_weight"],
        parts["output"],
        parts["direct"],
        activation,
    )


class ImplicitForms(Forms):
    """Constraints between W dz + U dx and dz."""

    def __init__(self, given: Layer, multipliers: Array, coupling: Array) -> None:
        self.form, self.multipliers, self.coupling = FULL, multipliers, coupling
        self.squares: list[Squares] = []
        self.used = self.taken = self.coupled = 0
        d, node = given.inputs.shape[1], given.activation.nodes[0]
        self.size = d + node.size
        self.fresh(d)
        before = np.vstack([given.inputs.T, given.weight.T])
        z = Ball(before, np.zeros_like(before))
        if node.op in GROUPED:
            self._full(node, z)
        else:
            self._rectified(node, z)
        final = np.vstack([given.direct.T, given.output.T])
        self.final = Ball(final, np.zeros_like(final))

    def _rectified(self, node, z: Ball) -> None:
        """W = (dz - c z) / r: lambda (w^2 - z^2) with z the activation's input."""
        a, b = slopes_of(node)
        centre, radius = (a + b) / 2, (b - a) / 2
        if not radius > 0:
            raise Malformed("leaky_relu: expected a slope below 1")
        taken, own = self._take(node.size), self.fresh(node.size)
        scaled = z.apply(lambda x, size: centre * x, 2)
        self.enter(z, -taken)
        self.enter(own.plus(scaled, -1.0), taken / radius**2, gamma(8))


def inequality(case: Case) -> tuple[Layer, ImplicitForms]:
    """The layer and its constraints with the value's multipliers."""
    given = layer(case)
    node = given.activation.nodes[0]
    count = multiplier_count(node, FULL)
    multipliers = array_of(case.value, "multipliers", (count,), least=0.0)
    coupling = np.zeros((count, 3))
    if node.op in GROUPED:
        coupling = array_of(case.value, "coupling", (count, 3))
    return given, ImplicitForms(given, multipliers, coupling)


def bound(case: Case) -> float:
    """The least bound that the multipliers show, inf if none."""
    given, made = inequality(case)
    ones = np.ones(made.final.mid.shape[1])
    squares = [*made.squares, Squares(made.final, -ones, 0 * ones)]
    weights = np.zeros(made.size)
    weights[: given.inputs.shape[1]] = 1.0
    scale = least_scale(gathered(made.size, squares, None), weights)
    return math.nextafter(math.sqrt(scale), math.inf)


def upper(case: Case) -> Measurement:
    """The least bound shown; the stated one must cover it."""
    stated = float(array_of(case.value, "lipschitz_upper", (), least=0.0))
    found = bound(case)
    if not found <= stated:
        detail = f"{stated!r} is stated, {found!r} is shown"
        return Measurement(math.inf, detail)
    return Measurement(found)


def margin(case: Case) -> float:
    """Least eigenvalue, from below, of the part in dz, diagonals scaled to [1/2, 2]."""
    given, made = inequality(case)
    d = given.inputs.shape[1]
    whole: Enclosed = gathered(made.size, made.squares, None)
    mid, rad = whole.mid[d:, d:], whole.rad[d:, d:]
    diagonal = np.diagonal(mid)
    if not np.all(diagonal > 0):
        return -math.inf
    scale = np.ldexp(1.0, -np.round(np.log2(diagonal) / 2).astype(np.int64))
    radius = np.sum(rad * scale * scale[:, None], axis=1)
    error = float(np.max(radius)) * (1 + gamma(len(mid) + 8)) + TINY
    return least_eigenvalue(mid * scale * scale[:, None], error)


def well_posed(case: Case) -> Measurement:
    """The margin, -inf unless it is above 0."""
    found = margin(case)
    if not found > 0:
        return Measurement(-math.inf, "the inequality is not shown to be strict")
    return Measurement(found)


RULES = (
    Rule(
        "certify.implicit_lipschitz_l2/1",
        "proof",
        "<=",
        "||y - y'||_2 <= promised ||x - x'||_2 for any two solutions of the layer",
        "",
        upper,
        kinds=(IMPLICIT,),
    ),
    Rule(
        "certify.well_posed/1",
        "proof",
        ">=",
        "the layer's equation has exactly one solution for every input: margin of the "
        "strict inequality",
        "",
        well_posed,
        kinds=(IMPLICIT,),
    ),
)
