"""The one assembly of the linear matrix inequality, for every network and norm.

With d = (dx, coordinates of each activation, one t per output for l_inf), everything in
a network is a linear form in d, and

    M(theta) = base + sum_r sign_r theta_owner(r) u_r u_r'  >= 0

shows the bound: theta holds multipliers of constraints that are >= 0 on every pair of
inputs, and weights of ||dx||^2. l_2: base = -C'C, rho ||dx||^2. l_inf: base holds
t'C d, with weights mu_i dx_i^2 and q_j t_j^2 (t_j = -sign(df_j) ||dx||_inf shows
2 sum_j |df_j| <= (sum mu + sum q) ||dx||_inf).

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033); Wang et al. (arXiv 2201.09418) for
the form with l_inf.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..numerics.networks import LINEAR, Network
from ._activation import GROUPED, constrain, fresh_count
from ._multipliers import FULL, AbstractConstraints
from ._rows import MULTIPLIER, WEIGHT, Ranges, Rows, blocks


class Layout(eqx.Module):
    """What is known of an inequality without its numbers; all NumPy, static.

    **Fields:**

    - `owners`, `signs`: (R,), which variable scales row r, and how.
    - `kinds`: (m,), what a variable is: `MULTIPLIER`, ... `WEIGHT`.
    - `spans`: per activation (first coordinate, end, first row of its dz, end,
      first multiplier, end), in order.
    - `inputs`, `tests`: number of coordinates of dx, and of t.
    - `groups`: of activations with full multipliers.
    - `parts`: blocks into which M falls for every theta: (first, end) of its
      coordinates, and of its rows.
    """

    owners: tuple[int, ...]
    signs: tuple[float, ...]
    kinds: tuple[int, ...]
    spans: tuple[tuple[int, ...], ...]
    inputs: int
    tests: int
    groups: int
    parts: tuple[tuple[Ranges, Ranges], ...] = ()

    @property
    def positive(self) -> np.ndarray:
        """(m,), which variables must not be negative."""
        kinds = np.asarray(self.kinds)
        return (kinds == MULTIPLIER) | (kinds == WEIGHT)

    @property
    def cost(self) -> np.ndarray:
        """(m,), what is minimised: rho, or (sum mu + sum q) / 2."""
        weight = np.asarray(self.kinds) == WEIGHT
        return np.where(weight, 0.5 if self.tests else 1.0, 0.0)

    def indices(self, kind: int) -> np.ndarray:
        """Positions of the variables of one kind."""
        return np.flatnonzero(np.asarray(self.kinds) == kind)


class Inequality(eqx.Module):
    """M(theta). `rows`: u_r, (R, p). `base`: (p, p)."""

    rows: Float[Array, "R p"]
    base: Float[Array, "p p"]
    layout: Layout = eqx.field(static=True)

    def scale(self, theta: Any) -> Any:
        """(R,), what multiplies each square."""
        owners, signs = np.asarray(self.layout.owners), np.asarray(self.layout.signs)
        return theta[owners] * signs

    def homogeneous(self, theta: Any) -> Any:
        """sum_r sign_r theta_owner(r) u_r u_r'."""
        return self.rows.T @ (self.scale(theta)[:, None] * self.rows)

    def matrix(self, theta: Any) -> Any:
        """M(theta)."""
        return self.base + self.homogeneous(theta)

    def collect(self, squares: Any) -> Any:
        """<F_j, .> for each variable j from figures u_r' . u_r, (R,) to (m,)."""
        owners, signs = np.asarray(self.layout.owners), np.asarray(self.layout.signs)
        total = jnp.zeros(len(self.layout.kinds))
        return total.at[owners].add(signs * squares)


def pieces_of(network: Network, cuts: tuple[int, ...]) -> list[tuple[int, int]]:
    """(start, stop): sub-networks from the result of one node to that of another."""
    ends = (-1, *cuts, len(network.nodes) - 1)
    return list(zip(ends[:-1], ends[1:], strict=True))


def assemble(
    network: Network,
    constraints: AbstractConstraints,
    *,
    piece: tuple[int, int] | None = None,
    selected: Any = None,
    linf: bool = False,
) -> Inequality:
    """The inequality of a network, or of a piece of it.

    **Arguments:**

    - `piece`: (start, stop) nodes; None for all of it.
    - `selected`: (r, K) rows of the outputs that count, or None for all.
    - `linf`: inputs in l_inf and the outputs' l_1 norm, instead of l_2 in both.
    """
    start, stop = (-1, len(network.nodes) - 1) if piece is None else piece
    inside = range(start + 1, stop + 1)
    active = [k for k in inside if network.nodes[k].op not in LINEAR]
    first = None if linf else _narrow(network, start, stop)
    inputs = network.size(start) if first is None else network.nodes[first].size
    outputs = network.size(stop) if selected is None else len(selected)
    counts = [
        fresh_count(network.nodes[k], network.weights[k], constraints) for k in active
    ]
    book = Rows(inputs + sum(counts) + (outputs if linf else 0))
    entries = book.fresh(inputs)
    values, supports = {start: entries}, {start: book.own}
    if first is None:
        values[start] = entries.reshape(book.size, *network.shape(start))
    spans = []
    for k in inside:
        node = network.nodes[k]
        book.inner = supports[k] = frozenset().union(
            *(supports[i] for i in node.inputs)
        )
        if k == first:
            factor = jnp.linalg.qr(jnp.asarray(network.weights[k]).T, mode="r")
            values[k] = entries @ factor
        elif node.op in LINEAR:
            values[k] = network.linear(k, [values[i] for i in node.inputs])
        else:
            before = book.used, len(book.signs), len(book.kinds)
            z = values[node.inputs[0]]
            values[k] = constrain(book, node, network.weights[k], z, constraints)
            alone = constraints.form == FULL and node.op in GROUPED
            supports[k] = book.own if alone else book.inner | book.own
            spans.append(_span(book, before, node))
    final = values[stop].reshape(book.size, -1)
    final = final if selected is None else final @ jnp.asarray(selected).T
    base = _objective(book, entries, final, linf)
    linked = supports[stop] | book.own if linf else supports[stop]
    layout = Layout(
        tuple(book.owners),
        tuple(book.signs),
        tuple(book.kinds),
        tuple(spans),
        inputs,
        outputs if linf else 0,
        book.groups,
        blocks(book, [linked]),
    )
    return Inequality(jnp.concatenate(book.rows), base, layout)


def _span(book: Rows, before: tuple[int, int, int], node: Any) -> tuple[int, ...]:
    coordinate, row, variable = before
    kinds = np.asarray(book.kinds[variable:])
    count = int(np.sum(kinds == MULTIPLIER))
    owned = np.asarray(book.owners[row:])
    squares = int(np.sum(owned < variable + count)) // 2
    return (coordinate, book.used, row, row + squares, variable, variable + count)


def _objective(book: Rows, entries: Any, final: Any, linf: bool) -> Any:
    """Enters the weights and returns the base."""
    if not linf:
        owner = book.weights(1)
        owners = np.repeat(owner, entries.shape[1])
        book.enter(entries, 1.0, owners, frozenset({0}))
        return -final @ final.T
    tests = book.fresh(final.shape[1])
    book.enter(entries, 1.0, book.weights(entries.shape[1]), frozenset({0}))
    book.enter(tests, 1.0, book.weights(tests.shape[1]), book.own)
    return final @ tests.T + tests @ final.T


def _narrow(network: Network, start: int, stop: int) -> int | None:
    """The dense node through which alone the input enters, if it makes it shorter."""
    users = [k for k in range(start + 1, stop + 1) if start in network.nodes[k].inputs]
    if len(users) != 1 or network.nodes[users[0]].op != "dense" or start == stop:
        return None
    node = network.nodes[users[0]]
    return users[0] if node.size < network.size(start) else None
