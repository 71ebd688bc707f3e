"""Newton's method on the exact augmented Lagrangian, KKT matrix factorised: a baseline.

Source: Di Pillo and Grippo, SIAM J. Control Optim. 17 (1979); the same outer iteration
as `SketchedNewton`, its systems solved by LU.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._constrained import ConstrainedPoint
from ._kkt import KKTSystem, StoredKKT
from ._lagrangian import FirstOrder, MeritParts, merit_gradient
from ._newton_claims import descent_claim, local_rate_claim
from ._newton_report import AbstractMeritNewton
from ._newton_state import NewtonState, Outer, advance, begin
from ._sketched_direction import (
    LARGEST_ETA1,
    LEAST_ETA2,
    Direction,
    Sample,
)
from ._sketched_newton import check_penalties

Real = float | Array


@final
class ExactNewton(AbstractMeritNewton):
    """The same steps with exact directions: one factorisation of the KKT matrix each.

    **Options:** as those of `SketchedNewton` of the same names.
    """

    eta1: Real = 1.0
    eta2: Real = 0.1
    xi: Real = 0.1
    beta: Real = 0.1
    nu: Real = 1.5
    curvature_floor: Real = 1e-6
    licq_floor: Real = 1e-10
    atol: Real | None = None
    max_outer: int = 10_000
    max_halvings: int = 50
    record: int = 256

    def validate(self) -> None:
        check_penalties(self)

    def init(self, problem: Any, key: Any) -> NewtonState:
        x, multipliers = problem.x0, problem.multipliers0
        return begin(problem, key, x, multipliers, self._outer(), None)

    def warm_start(self, problem: Any, value: ConstrainedPoint, key: Any):
        return begin(problem, key, value.x, value.multipliers, self._outer(), None)

    def _outer(self) -> Outer:
        return Outer(
            StoredKKT(),
            False,
            False,
            self.eta1,
            self.eta2,
            1.0,
            self.xi,
            self.beta,
            self.curvature_floor,
            self.licq_floor,
            self.max_outer,
            self.max_halvings,
            self.record,
        )

    def step(self, problem: Any, state: NewtonState) -> NewtonState:
        nu = jnp.asarray(self.nu)

        def solve(system, at, parts, theta, state, key):
            del theta, key
            return _exact_direction(system, at, parts, state.eta1, state.eta2, nu)

        return advance(problem, state, self._outer(), solve)

    def claims(self, problem: Any, value: Any, state: NewtonState, trace: Any):
        return (
            descent_claim(problem, value, state, self.beta),
            local_rate_claim(trace, True),
        )

    def citations(self) -> tuple[str, ...]:
        return ("dipillo1979exact", "hong2023sketched")


def _exact_direction(
    system: KKTSystem,
    at: FirstOrder,
    parts: MeritParts,
    eta1: Array,
    eta2: Array,
    nu: Array,
) -> Direction:
    """K d = -grad L by LU, then penalties until d descends."""
    rhs = -jnp.concatenate([at.gradient, at.constraint])
    step = jnp.linalg.solve(system.operator.matrix, rhs)

    def descends(eta1: Array, eta2: Array) -> Array:
        slope = merit_gradient(at, parts, eta1, eta2) @ step
        return slope <= -0.5 * eta2 * at.residual**2 * (1 + 1e-6)

    def frozen(eta1: Array, eta2: Array) -> Array:
        return (eta1 > LARGEST_ETA1) | (eta2 < LEAST_ETA2)

    eta1, eta2 = jax.lax.while_loop(
        lambda etas: ~descends(*etas) & ~frozen(*etas),
        lambda etas: (etas[0] * nu**2, etas[1] / nu),
        (eta1, eta2),
    )
    zero = jnp.zeros((), jnp.int64)
    empty = Sample(*[jnp.zeros((0, 0))] * 2, *[jnp.zeros(0)] * 2)
    return Direction(
        step,
        merit_gradient(at, parts, eta1, eta2) @ step,
        eta1,
        eta2,
        jnp.ones(()),
        descends(eta1, eta2),
        frozen(eta1, eta2),
        jnp.asarray(False),
        zero,
        zero,
        zero,
        jnp.linalg.norm(system.times(step) - rhs),
        eqx.tree_at(lambda s: s.rhs, empty, rhs),
    )
