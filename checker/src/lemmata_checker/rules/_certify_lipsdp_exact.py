"""The inequality formed in ball arithmetic by python-flint: the second engine.

In floats the radii of linear forms grow with the product of |W_k|; at 192 bits they
stay far below one rounding of float64, in which the result is handed back. Only
networks of dense layers (with reshapes, sums and elementwise factors) are formed so.

Where a piece begins with a dense layer W of fewer outputs than inputs, dx = B u + e
with B = W'C, C triangular without zeros on its diagonal, and We = 0: the network sees
B u alone, e'B = 0, and |dx|^2 >= |B u|^2 >= (1 - |I - B'B|) |u|^2. W' = QR gives C.
"""

import math
from typing import Any, NamedTuple

import flint
import numpy as np

from ..network import Network, Node
from ..rigor import U
from ._certify_lipsdp_question import (
    COMPOSITE,
    ELIMINATED,
    GROUPED,
    Array,
    Proof,
    Question,
    active,
    group_shape,
    slopes_of,
)
from ._certify_lipsdp_shown import Enclosed

BITS = 192
MOST_ORDER = 400
MOST_SKEW = 1e-3  # of |I - B'B|; beyond, W's rows are too close to dependent
_OPERATIONS = ("dense", "reshape", "affine", "add", "concatenate")


class Formed(NamedTuple):
    """N in coordinates of which the first `inputs` stand for dx.

    **Fields:** `stretch`: |dx|^2 >= (1 - stretch) |u|^2, u these coordinates.
    """

    matrix: Enclosed
    inputs: int
    stretch: float


def exact_enclosure(
    asked: Question,
    given: Proof,
    i: int,
    piece: tuple[int, int],
    chosen: Array | None,
    tests: int,
) -> Formed | None:
    """N as `enclosed` gives it, radii of a rounding; None where it is not formed."""
    nodes = [asked.network.nodes[k] for k in range(piece[0] + 1, piece[1] + 1)]
    known = all(n.op in _OPERATIONS or n.op in GROUPED or _curve(n) for n in nodes)
    flat = all(len(n.shape) == 1 for n in nodes if n.op in GROUPED)
    flat = flat and all(n.op != "concatenate" or len(n.shape) == 1 for n in nodes)
    if given.form not in (ELIMINATED, COMPOSITE) or not (known and flat):
        return None
    before = flint.ctx.prec
    flint.ctx.prec = BITS
    try:
        return _Exact(asked.network, piece, given, i, tests).enclosure(chosen)
    finally:
        flint.ctx.prec = before


def _curve(node: Node) -> bool:
    return node.op in ("relu", "leaky_relu", "sigmoid", "tanh", "softplus")


def _matrix(array: Array) -> Any:
    rows, columns = array.shape
    return flint.arb_mat(
        rows, columns, [flint.arb(x) for x in array.reshape(-1).tolist()]
    )


class _Exact:
    """Forms (entries, p) as ball matrices; the sum of squares as it goes."""

    def __init__(
        self,
        network: Network,
        piece: tuple[int, int],
        given: Proof,
        i: int,
        tests: int,
    ) -> None:
        self.form, self.multipliers = given.form, given.multipliers[i].tolist()
        self.network, self.tests = network, tests
        start, stop = piece
        counts = [self._count(network.nodes[k]) for k in active(network, piece)]
        basis, self.stretch = (None, 0.0) if tests else _basis(network, piece)
        self.inputs = network.size(start) if basis is None else basis.ncols()
        self.size = self.inputs + sum(counts) + tests
        self.used = self.taken = 0
        if self.size > MOST_ORDER:
            self.final = None
            return
        self.total = flint.arb_mat(self.size, self.size)
        values = {start: self._fresh(self.inputs)}
        if basis is not None:
            values = {start: basis * values[start]}
        for k in range(start + 1, stop + 1):
            node = network.nodes[k]
            inputs = [values[j] for j in node.inputs]
            values[k] = self._node(node, inputs)
        self.final = values[stop]

    def _count(self, node: Node) -> int:
        if node.op not in GROUPED or self.form != ELIMINATED:
            return node.size
        count, size, rest = group_shape(node)
        return count * rest * (size - 1 if node.op == "group_sort" else 1)

    def _fresh(self, count: int) -> Any:
        unit = np.zeros((count, self.size))
        unit[np.arange(count), self.used + np.arange(count)] = 1.0
        self.used += count
        return _matrix(unit)

    def _take(self, count: int) -> list[float]:
        self.taken += count
        return self.multipliers[self.taken - count : self.taken]

    def _enter(self, forms: Any, coefficients: list) -> None:
        scaled = [
            [c * x for x in row]
            for c, row in zip(coefficients, forms.tolist(), strict=True)
        ]
        self.total = self.total + forms.transpose() * flint.arb_mat(scaled)

    def _node(self, node: Node, given: list) -> Any:
        first = given[0]
        if node.op == "dense":
            assert node.weight is not None
            return _matrix(node.weight) * first
        if node.op == "add":
            return sum(given[1:], first)
        if node.op == "concatenate":
            return flint.arb_mat([row for part in given for row in part.tolist()])
        if node.op in ("reshape", "affine"):
            if node.weight is None:
                return first
            factors = np.broadcast_to(node.weight, node.shape).reshape(-1).tolist()
            rows = zip(factors, first.tolist(), strict=True)
            return flint.arb_mat([[flint.arb(w) * x for x in row] for w, row in rows])
        if node.op not in GROUPED:
            return self._slopes(node, first)
        return (self._composite if self.form == COMPOSITE else self._group)(node, first)

    def _slopes(self, node: Node, z: Any) -> Any:
        a, b = (flint.arb(s) for s in slopes_of(node))
        w = self._fresh(node.size)
        taken = [flint.arb(x) for x in self._take(node.size)]
        self._enter(z, [-x for x in taken])
        self._enter(w, taken)
        return z * ((a + b) / 2) + w * ((b - a) / 2)

    def _group(self, node: Node, z: Any) -> Any:
        count, size, _ = group_shape(node)
        columns, inverses, owners = [], [], []
        taken = self._take(count)
        for g in range(count):
            for column in _columns(node, g, size):
                whole = [flint.arb(0)] * node.size
                whole[g * size : (g + 1) * size] = column
                columns.append(whole)
                inverses.append(1 / sum((c * c for c in column), flint.arb(0)))
                owners.append(flint.arb(taken[g]))
        down = flint.arb_mat(columns)
        before, after = down * z, self._fresh(len(columns))
        weights = [o * t for o, t in zip(owners, inverses, strict=True)]
        self._enter(before, [-w for w in weights])
        self._enter(after, weights)
        change = (after - before).tolist()
        change = [[t * x for x in row] for t, row in zip(inverses, change, strict=True)]
        return z + down.transpose() * flint.arb_mat(change)

    def _composite(self, node: Node, z: Any) -> Any:
        count = node.size // 2
        pair = np.kron(np.eye(count), np.array([[1.0, -1.0], [1.0, -1.0]]))
        mean = np.kron(np.eye(count), np.full((2, 2), 0.5))
        signs = np.diag(np.tile([0.5, -0.5], count))
        taken = [flint.arb(x) for x in self._take(node.size)]
        w = self._fresh(node.size)
        self._enter(_matrix(pair) * z, [-x for x in taken])
        self._enter(w, taken)
        return _matrix(mean) * z + _matrix(signs) * w

    def enclosure(self, chosen: Array | None) -> Formed | None:
        """What was summed, less the outputs' part, in float64."""
        if self.final is None:
            return None
        final = self.final if chosen is None else _matrix(chosen) * self.final
        total = self.total
        if self.tests:
            tests = self._fresh(self.tests)
            cross = final.transpose() * tests
            total = total + cross + cross.transpose()
        else:
            total = total - final.transpose() * final
        return Formed(_rounded(total), self.inputs, self.stretch)


def _basis(network: Network, piece: tuple[int, int]) -> tuple[Any, float]:
    """B = W'C and a bound on |I - B'B|; (None, 0) where there is none."""
    start, stop = piece
    users = [k for k in range(start + 1, stop + 1) if start in network.nodes[k].inputs]
    first = network.nodes[users[0]] if len(users) == 1 else None
    if first is None or first.op != "dense" or first.weight is None:
        return None, 0.0
    if first.size >= network.size(start):
        return None, 0.0
    upper = np.linalg.qr(first.weight.T, mode="r")
    if not np.all(np.diagonal(upper)):
        return None, 0.0
    factor = np.triu(np.linalg.inv(upper))
    if not (np.all(np.isfinite(factor)) and np.all(np.diagonal(factor))):
        return None, 0.0
    basis = _matrix(first.weight.T.copy()) * _matrix(factor)
    unit = _matrix(np.eye(first.size))
    apart = basis.transpose() * basis - unit
    squares = sum((x * x for row in apart.tolist() for x in row), flint.arb(0))
    skew = math.nextafter(float(squares.sqrt().upper()), math.inf)
    return (basis, skew) if skew <= MOST_SKEW else (None, 0.0)


def _columns(node: Node, g: int, size: int) -> list[list]:
    if node.op == "householder":
        assert node.weight is not None
        return [[flint.arb(x) for x in node.weight[g].tolist()]]
    return [
        [flint.arb(1)] * j + [flint.arb(-j)] + [flint.arb(0)] * (size - 1 - j)
        for j in range(1, size)
    ]


def _rounded(total: Any) -> Enclosed:
    """Middles in float64; radii hold the balls' own and the rounding."""
    rows = total.tolist()
    mid = np.array([[float(x.mid()) for x in row] for row in rows])
    own = np.array([[float(x.rad()) for x in row] for row in rows])
    # float(mid) is within an ulp, float(rad) likewise
    rad = 2 * U * np.abs(mid) + own * (1 + 4 * U)
    rad = np.where((mid != 0) | (own != 0), rad + math.ldexp(1.0, -1060), 0.0)
    mid, rad = (mid + mid.T) / 2, (rad + rad.T) * (0.5 + 4 * U) + 2 * U * np.abs(mid)
    return Enclosed(mid, rad, (np.abs(mid) + rad > 0) | np.eye(len(mid), dtype=bool))
