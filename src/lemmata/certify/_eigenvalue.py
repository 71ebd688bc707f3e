"""The least Lipschitz bound by an interior-point method of our own; compiled.

Source of the constraints: Pauli et al., ICLR 2024 (arXiv 2401.14033).
"""

import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import AbstractMethod, AnyArray, Outcome, require
from ._global_lipschitz import GlobalBounds, GlobalLipschitz
from ._inequality import Inequality, assemble, pieces_of
from ._interior_point import InteriorState, advance, begin
from ._interior_start import WIDE, interior_start, tight
from ._multipliers import AbstractConstraints, Eliminated
from ._packed_bounds import packed_bounds
from ._pair_search import find_pair
from ._parts import Parts, split

SLACK = 1e-8  # relative, on the bound: room for the rounding of the judge
SHARE = 1e-9  # of a point well inside, added so that the judge's test has room


class PieceState(eqx.Module):
    """A piece's inequality in blocks, a point well inside (m,), and the iteration."""

    parts: Parts
    start: Float[Array, " m"]
    iteration: InteriorState

    @property
    def bound(self) -> Any:
        """What the iterate shows."""
        layout = self.parts.layout
        cost = jnp.asarray(layout.cost) @ self.iteration.theta
        return cost if layout.tests else jnp.sqrt(cost)


class EigenvalueState(eqx.Module):
    """The pieces, and the pair of inputs found."""

    pieces: tuple[PieceState, ...]
    pair: Float[Array, "2 d"]
    ratio: Float[Array, ""]


@final
class Eigenvalue(AbstractMethod):
    """Minimises the bound over all multipliers, for networks of any size.

    The bound is the largest eigenvalue of what remains of the matrix inequality once
    all coordinates but the inputs' are maximised over. A primal-dual interior-point
    method lowers it, in which every iterate is strictly feasible, so that stopping at
    any time leaves a proof. A step costs a few dense factorisations of the order of the
    inequality, since all constraints are squares of linear forms.

    **Options:**

    - `constraints`: what is said of GroupSort and Householder activations:
      `Eliminated()` (the tightest), `Reduced()`, `AllMultipliers()`, `DiagonalOnly()`,
      `CompositeReLU()`.
    - `cuts`: nodes at which the network is cut; the bounds of the pieces are
      multiplied. Saves memory and loses tightness. Every path must go through them.
    - `rtol`: relative gap to the optimum at which it stops, > 0.
    """

    constraints: AbstractConstraints = Eliminated()
    cuts: tuple[int, ...] = eqx.field(static=True, default=())
    rtol: float | AnyArray = 1e-8

    def validate(self) -> None:
        require(self, "rtol", self.rtol > 0, expected="> 0", got=self.rtol)
        validate_constraints(self)

    def inequalities(self, problem: GlobalLipschitz) -> list[Inequality]:
        """One per piece."""
        return inequalities(self, problem)

    def init(self, problem: GlobalLipschitz, key: Any) -> EigenvalueState:
        problem = jax.lax.stop_gradient(problem)
        pieces = tuple(_piece(q) for q in self.inequalities(problem))
        pair, ratio = find_pair(problem.network, problem.selected, problem.linf, key)
        return EigenvalueState(pieces, pair, ratio)

    def step(self, problem: GlobalLipschitz, state: EigenvalueState) -> EigenvalueState:
        moved = []
        for piece in state.pieces:
            over, old = self._over(piece.iteration), piece.iteration
            new = advance(piece.parts, old)
            kept = jax.tree.map(lambda a, b, over=over: jnp.where(over, b, a), new, old)
            moved.append(PieceState(piece.parts, piece.start, kept))
        return eqx.tree_at(lambda s: s.pieces, state, tuple(moved))

    def _over(self, iteration: InteriorState) -> Any:
        return ~(iteration.gap > self.rtol) | iteration.stalled

    def done(self, problem: GlobalLipschitz, state: EigenvalueState) -> Any:
        over = [self._over(piece.iteration) for piece in state.pieces]
        return jnp.all(jnp.stack(over))

    def finish(self, problem: GlobalLipschitz, state: EigenvalueState) -> GlobalBounds:
        return packed_bounds(
            self.constraints,
            self.cuts,
            [piece.parts.layout for piece in state.pieces],
            [p.iteration.theta + SHARE * p.start for p in state.pieces],
            _bound(problem, self, state.pieces) * (1 + SLACK),
            state.pair,
            state.ratio,
        )

    def observe(self, problem: GlobalLipschitz, state: EigenvalueState) -> dict:
        bound = math.prod(piece.bound for piece in state.pieces)
        gap = jnp.max(jnp.stack([piece.iteration.gap for piece in state.pieces]))
        # infinite before the first step, and NaN would mean a failure
        return {"lipschitz_upper": bound, "gap": jnp.minimum(gap, 1e300)}

    def outcome(self, problem: GlobalLipschitz, state: EigenvalueState) -> Outcome:
        far = 1e3 * float(self.rtol)
        iterations = [piece.iteration for piece in state.pieces]
        if any(bool(i.stalled) and float(i.gap) > far for i in iterations):
            return _STALLED
        return super().outcome(problem, state)

    def citations(self) -> tuple[str, ...]:
        return ("pauli2024novel",)


_STALLED = Outcome(
    "stalled",
    "Rounding kept the steps short before rtol was reached; the bound is valid, if not "
    "the least. Take a larger rtol, or Eliminated() constraints.",
)


def validate_constraints(method: Any) -> None:
    """Checks `constraints` and `cuts`. Raises `InvalidMethod`."""
    known = isinstance(method.constraints, AbstractConstraints)
    got = type(method.constraints).__name__
    expected = "Eliminated(), Reduced(), AllMultipliers(), ..."
    require(method, "constraints", known, expected=expected, got=got)
    cuts = method.cuts
    good = isinstance(cuts, tuple) and all(isinstance(i, int) and i >= 0 for i in cuts)
    good = good and list(cuts) == sorted({*cuts})
    require(method, "cuts", good, expected="a rising tuple of nodes", got=cuts)


def inequalities(method: Any, problem: GlobalLipschitz) -> list[Inequality]:
    """The inequality of each piece.

    **Raises:** `InvalidMethod` for cuts that some path goes around.
    """
    network, cuts = problem.network, method.cuts
    require(
        method,
        "cuts",
        not (cuts and problem.linf),
        expected="none with l_inf",
        got=cuts,
    )
    last = len(network.nodes) - 1
    around = [
        cut
        for cut in cuts
        if cut >= last
        or any(i < cut for n in network.nodes[cut + 1 :] for i in n.inputs)
    ]
    expected = "nodes that every path goes through"
    require(method, "cuts", not around, expected=expected, got=around)
    pieces = pieces_of(network, cuts)
    return [
        assemble(
            network,
            method.constraints,
            piece=piece,
            selected=problem.selected if piece[1] == last else None,
            linf=problem.linf,
        )
        for piece in pieces
    ]


def _piece(inequality: Inequality) -> PieceState:
    """Two points inside: one for what is added at the end, one to start from."""
    parts, both = split(inequality), jnp.stack([tight(inequality), WIDE])
    starts = jax.vmap(lambda ample: interior_start(inequality, ample))(both)
    return PieceState(parts, starts[0], begin(parts, starts[1]))


@eqx.filter_custom_jvp
def _bound(problem: GlobalLipschitz, method: Any, pieces: Any) -> Any:
    """The product of the pieces' bounds."""
    del problem, method
    return math.prod(_shown(p.parts.layout, p) for p in pieces)


@_bound.def_jvp
def _bound_jvp(primals: Any, tangents: Any) -> Any:
    """The optimum's derivative: d cost = -<Y, d M> at fixed multipliers (Danskin)."""
    problem, method, pieces = primals

    def bound(problem: GlobalLipschitz) -> Any:
        found = []
        for inequality, piece in zip(method.inequalities(problem), pieces, strict=True):
            iteration = piece.iteration
            matrix = split(inequality).matrix(iteration.theta)
            change = iteration.dual * (matrix - jax.lax.stop_gradient(matrix))
            found.append(_shown(inequality.layout, piece, jnp.sum(change)))
        return math.prod(found)

    return eqx.filter_jvp(bound, (problem,), (tangents[0],))


def _shown(layout: Any, piece: PieceState, change: Any = 0.0) -> Any:
    theta = piece.iteration.theta + SHARE * piece.start
    cost = jnp.asarray(layout.cost) @ theta - change
    return cost if layout.tests else jnp.sqrt(cost)
