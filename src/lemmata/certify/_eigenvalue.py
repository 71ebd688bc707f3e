"""The least Lipschitz bound by an interior-point method of our own; compiled.

Source of the constraints: Pauli et al., ICLR 2024 (arXiv 2401.14033).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import AbstractMethod, AnyArray, Outcome, require
from ._global_lipschitz import GlobalBounds, GlobalLipschitz
from ._inequality import (
    GAMMA,
    MULTIPLIER,
    NU,
    TAU,
    WEIGHT,
    Inequality,
    assemble,
    pieces_of,
)
from ._interior_point import InteriorState, advance, begin
from ._interior_start import interior_start
from ._multipliers import FULL, AbstractConstraints, Eliminated
from ._pair_search import find_pair

SLACK = 1e-8  # relative, on the bound: room for the rounding of the judge
SHARE = 1e-9  # of a point well inside, added so that the judge's test has room


class EigenvalueState(eqx.Module):
    """One interior-point state per piece, and the pair of inputs found."""

    pieces: tuple[InteriorState, ...]
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
        start = tuple(begin(q) for q in self.inequalities(problem))
        pair, ratio = find_pair(problem.network, problem.selected, problem.linf, key)
        return EigenvalueState(start, pair, ratio)

    def step(self, problem: GlobalLipschitz, state: EigenvalueState) -> EigenvalueState:
        problem = jax.lax.stop_gradient(problem)
        moved = []
        for inequality, piece in zip(
            self.inequalities(problem), state.pieces, strict=True
        ):
            over = self._over(piece)
            after = advance(inequality, piece)
            moved.append(
                jax.tree.map(
                    lambda new, old, over=over: jnp.where(over, old, new), after, piece
                )
            )
        return eqx.tree_at(lambda s: s.pieces, state, tuple(moved))

    def _over(self, piece: InteriorState) -> Any:
        return ~(piece.gap > self.rtol) | piece.stalled

    def done(self, problem: GlobalLipschitz, state: EigenvalueState) -> Any:
        return jnp.all(jnp.stack([self._over(piece) for piece in state.pieces]))

    def finish(self, problem: GlobalLipschitz, state: EigenvalueState) -> GlobalBounds:
        made = self.inequalities(problem)
        thetas = [
            piece.theta + SHARE * interior_start(jax.lax.stop_gradient(inequality))
            for inequality, piece in zip(made, state.pieces, strict=True)
        ]
        found = [
            _sensitive(inequality, theta, piece.dual)
            for inequality, theta, piece in zip(made, thetas, state.pieces, strict=True)
        ]
        upper = found[0]
        for factor in found[1:]:
            upper = upper * factor
        return packed_bounds(
            self.constraints,
            self.cuts,
            [q.layout for q in made],
            thetas,
            upper * (1 + SLACK),
            state.pair,
            state.ratio,
        )

    def observe(self, problem: GlobalLipschitz, state: EigenvalueState) -> dict:
        bound = jnp.asarray(1.0)
        for inequality, piece in zip(
            self.inequalities(problem), state.pieces, strict=True
        ):
            cost = jnp.asarray(inequality.layout.cost) @ piece.theta
            bound = bound * (cost if inequality.layout.tests else jnp.sqrt(cost))
        gap = jnp.max(jnp.stack([piece.gap for piece in state.pieces]))
        # infinite before the first step, and NaN would mean a failure
        return {"lipschitz_upper": bound, "gap": jnp.minimum(gap, 1e300)}

    def outcome(self, problem: GlobalLipschitz, state: EigenvalueState) -> Outcome:
        if any(
            bool(p.stalled) and float(p.gap) > 1e3 * float(self.rtol)
            for p in (state.pieces)
        ):
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


def _sensitive(inequality: Inequality, theta: Any, dual: Any) -> Any:
    """The bound; its derivative is that of the optimum, by the dual.

    d cost = -<Y, d M> at fixed multipliers (Danskin), Y from the last step.
    """
    layout = inequality.layout
    theta, dual = jax.lax.stop_gradient((theta, dual))
    matrix = inequality.matrix(theta)
    change = jnp.sum(dual * (matrix - jax.lax.stop_gradient(matrix)))
    cost = jnp.asarray(layout.cost) @ theta - change
    return cost if layout.tests else jnp.sqrt(cost)


def packed_bounds(
    constraints: AbstractConstraints,
    cuts: tuple[int, ...],
    layouts: list,
    thetas: list,
    upper: Any,
    pair: Any,
    ratio: Any,
) -> GlobalBounds:
    """The value of solved pieces. Traced or not."""
    multipliers, couplings = [], []
    for layout, theta in zip(layouts, thetas, strict=True):
        multipliers.append(theta[layout.indices(MULTIPLIER)])
        if constraints.form == FULL:
            couplings.append(_coupling(layout, theta))
    weights = None
    if layouts[0].tests:
        weights = thetas[0][layouts[0].indices(WEIGHT)]
    coupling = jnp.concatenate(couplings) if couplings else None
    if coupling is not None and not coupling.shape[0]:
        coupling = None
    return GlobalBounds(
        jnp.asarray(upper),
        jnp.asarray(ratio),
        jnp.asarray(constraints.form, dtype=jnp.int64),
        jnp.concatenate(multipliers),
        coupling,
        weights,
        jnp.asarray(cuts, dtype=jnp.int64) if cuts else None,
        pair,
    )


def _coupling(layout: Any, theta: Any) -> Any:
    """(groups, 3), zeros for what does not take part."""
    columns = [theta[layout.indices(kind)] for kind in (GAMMA, NU, TAU)]
    columns = [c if len(c) else jnp.zeros(layout.groups) for c in columns]
    return jnp.stack(columns, axis=1)
