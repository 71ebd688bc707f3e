"""A network's linear forms in the coordinates of the inequality, with radii.

Coordinates d = (dx, those of each activation, one t per output for l_inf). Arrays are
(p, *shape): axis 0 are coordinates. Every array comes with entrywise radii.

For each pair of inputs (dz, dp the differences before and after an activation):

- slopes in [a, b]: dp = (a + b)/2 dz + (b - a)/2 w, w_i^2 <= dz_i^2;
- eliminated: dp = dz + D T (y - D'dz) with, per group,
  sum_j T_j y_j^2 <= sum_j T_j (D_j'dz)^2; the columns of D span what is not
  preserved, T_j = 1 / |D_j|^2. GroupSort keeps sums: D_j = (1, .., 1, -j, 0, ..).
  Householder keeps all but v: D = v;
- full: dp are the coordinates; |dp|^2 <= |dz|^2 per group and, with G = 11' or
  I - vv'/v'v, dz'G dz = dp'G dp = dz'G dp;
- composite: max and min of a pair are half its sum +- w/2, w^2 <= difference^2.
"""

import numpy as np

from ..case import Malformed
from ..network import LINEAR, Network, Node
from ..rigor import gamma
from ._certify_lipsdp_balls import LEAST, Ball, Squares, deviations, linear
from ._certify_lipsdp_question import (
    COMPOSITE,
    ELIMINATED,
    GROUPED,
    Array,
    active,
    group_shape,
    slopes_of,
)

MOST_ENTRIES = 2**26  # of the linear forms of one node
MOST_COORDINATES = 3000


class Forms:
    """Walks a piece of a network; `squares` collects its constraints.

    **Attributes:** `size`: p; `final`: forms of the piece's result.
    """

    def __init__(
        self,
        network: Network,
        piece: tuple[int, int],
        form: int,
        multipliers: Array,
        coupling: Array,
        tests: int = 0,
    ) -> None:
        self.form, self.multipliers, self.coupling = form, multipliers, coupling
        self.squares: list[Squares] = []
        start, stop = piece
        nodes = active(network, piece)
        counts = [self._fresh_count(network.nodes[k]) for k in nodes]
        self.size = network.size(start) + sum(counts) + tests
        largest = max(network.size(k) for k in (start, *range(start + 1, stop + 1)))
        if self.size > MOST_COORDINATES or self.size * largest > MOST_ENTRIES:
            raise Malformed(f"an inequality of order {self.size} is too large to judge")
        self.used = self.taken = self.coupled = 0
        inputs = self.fresh(network.size(start))
        values = {start: inputs.shaped(self.size, *network.shape(start))}
        for k in range(start + 1, stop + 1):
            node = network.nodes[k]
            given = [values[i] for i in node.inputs]
            shapes = [network.shape(i) for i in node.inputs]
            if node.weight is not None and node.op in LINEAR:
                small = (node.weight != 0) & (np.abs(node.weight) < LEAST)
                if np.any(small):
                    raise Malformed(f"network.nodes[{k}]: a weight below {LEAST:g}")
            if node.op in LINEAR:
                values[k] = linear(node, given, shapes)
            else:
                out = self._activation(node, given[0])
                values[k] = out.shaped(self.size, *node.shape)
        self.final = values[stop].shaped(self.size, -1)

    def _fresh_count(self, node: Node) -> int:
        if node.op not in GROUPED or self.form != ELIMINATED:
            return node.size
        count, size, rest = group_shape(node)
        return count * rest * (size - 1 if node.op == "group_sort" else 1)

    def fresh(self, count: int) -> Ball:
        """The next coordinates themselves, (p, count)."""
        start, self.used = self.used, self.used + count
        mid = np.zeros((self.size, count))
        mid[start + np.arange(count), np.arange(count)] = 1.0
        return Ball(mid, np.zeros_like(mid))

    def _take(self, count: int) -> Array:
        start, self.taken = self.taken, self.taken + count
        return self.multipliers[start : self.taken]

    def enter(self, forms: Ball, coefficient: Array, relative: float = 0.0) -> None:
        """Adds squares; `relative`: error of the coefficients."""
        flat = forms.shaped(self.size, -1)
        coefficient = np.ascontiguousarray(coefficient, dtype=np.float64).reshape(-1)
        radius = relative * np.abs(coefficient)
        self.squares.append(Squares(flat, coefficient, radius))

    def _activation(self, node: Node, z: Ball) -> Ball:
        if node.op not in GROUPED:
            return self._slopes(node, z.shaped(self.size, -1))
        if self.form == COMPOSITE:
            return self._composite(node, z)
        return (self._eliminated if self.form == ELIMINATED else self._full)(node, z)

    def _slopes(self, node: Node, z: Ball) -> Ball:
        a, b = slopes_of(node)
        w, multipliers = self.fresh(node.size), self._take(node.size)
        self.enter(z, -multipliers)
        self.enter(w, multipliers)
        centre, radius = (a + b) / 2, (b - a) / 2  # one rounding each, then a product
        left = z.apply(lambda x, size: centre * x, 2)
        return left.plus(w.apply(lambda x, size: radius * x, 2))

    def _eliminated(self, node: Node, z: Ball) -> Ball:
        count, size, rest = group_shape(node)
        columns, inverse = deviations(node)
        each = columns.shape[2]
        z = z.shaped(self.size, count, size, rest)

        def down(x: Array, absolute: bool) -> Array:
            d = np.abs(columns) if absolute else columns
            return np.einsum("pgsr,gsk->pgrk", x, d)

        def lift(x: Array, absolute: bool) -> Array:
            d = np.abs(columns) if absolute else columns
            return np.einsum("gsk,gk,pgrk->pgsr", d, inverse, x)

        before = z.apply(down, size + 2)
        after = self.fresh(count * rest * each).shaped(self.size, count, rest, each)
        taken = self._take(count * rest).reshape(count, rest, 1)
        weights = taken * inverse[:, None, :]
        self.enter(before, -weights, gamma(size + 8))
        self.enter(after, weights, gamma(size + 8))
        return z.plus(after.plus(before, -1.0).apply(lift, each + size + 8))

    def _full(self, node: Node, z: Ball) -> Ball:
        count, size, rest = group_shape(node)
        shape = (self.size, count, size, rest)
        z, after = z.shaped(*shape), self.fresh(node.size).shaped(*shape)
        taken = self._take(count * rest).reshape(count, 1, rest)
        weights = np.broadcast_to(taken, shape[1:])
        self.enter(z, -weights)
        self.enter(after, weights)
        rows = slice(self.coupled, self.coupled + count * rest)
        self.coupled = rows.stop
        gam, nu, tau = self.coupling[rows].reshape(count, rest, 3).transpose(2, 0, 1)
        if np.any(gam) or np.any(nu) or np.any(tau):
            before, kept = (self._preserved(node, a) for a in (z, after))
            both = before.plus(kept)
            parts = before.mid.shape[3]
            for forms, combined in (
                (both, -nu - tau),
                (before, -gam + nu + 3 * tau),
                (kept, gam + 3 * nu + tau),
            ):
                # roundings: see `_combined`
                repeated = np.repeat(combined[..., None], parts, axis=3 - 1)
                sizes = np.abs(gam) + 3 * np.abs(nu) + 3 * np.abs(tau)
                self._combined(forms, repeated, np.repeat(sizes[..., None], parts, 2))
        return after

    def _combined(self, forms: Ball, coefficient: Array, sizes: Array) -> None:
        """Squares whose coefficients are sums of a few terms, below `sizes` in all."""
        flat = forms.shaped(self.size, -1)
        radius = gamma(6) * sizes.reshape(-1)
        self.squares.append(Squares(flat, coefficient.reshape(-1), radius))

    def _preserved(self, node: Node, z: Ball) -> Ball:
        """E z per group, (p, groups, rest, parts), with G = E'E."""
        size = z.mid.shape[2]
        if node.op == "group_sort":
            return z.apply(lambda x, _: np.sum(x, axis=2)[..., None], size)
        columns, inverse = deviations(node)
        v = columns[:, :, 0]
        along = v[:, :, None] * v[:, None, :] * inverse[:, :, None]
        matrix = np.eye(size) - along
        # |I| + |vv'/v'v| bounds what is rounded in forming the matrix
        absolute = np.eye(size) + np.abs(along)

        def act(x: Array, size_only: bool) -> Array:
            m = absolute if size_only else matrix
            return np.einsum("gst,pgtr->pgrs", m, x)

        return z.apply(act, 2 * size + 10)

    def _composite(self, node: Node, z: Ball) -> Ball:
        count, _, rest = group_shape(node)
        shape = (self.size, count, 2, rest)
        z = z.shaped(*shape)
        signs = np.array([1.0, -1.0])[:, None]

        def apart(x: Array, size: bool) -> Array:
            first = x[:, :, :1] + (x[:, :, 1:] if size else -x[:, :, 1:])
            return np.broadcast_to(first, x.shape)

        def half(x: Array, size: bool) -> Array:
            return np.broadcast_to((x[:, :, :1] + x[:, :, 1:]) / 2, x.shape)

        def signed(x: Array, size: bool) -> Array:
            return x / 2 if size else signs * x / 2

        taken = self._take(node.size)
        w = self.fresh(node.size).shaped(*shape)
        self.enter(z.apply(apart, 1), -taken)
        self.enter(w, taken)
        return z.apply(half, 1).plus(w.apply(signed, 1))
