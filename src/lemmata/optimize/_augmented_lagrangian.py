"""The augmented Lagrangian method with Newton-GMRES subproblems: a baseline.

Source: Nocedal and Wright, Numerical Optimization (2006), framework 17.3; constants of
the reference implementation of Hong et al. (2023).
"""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import require
from ._baseline_state import (
    LINEAR,
    RUNNING,
    SEARCH,
    SPENT,
    AbstractBaseline,
    BaselineState,
    armijo,
    begin,
    check_baseline,
    gmres,
    moved,
)
from ._constrained import ConstrainedPoint
from ._lagrangian import FirstOrder, hessian, jacobian

Real = float | Array


@final
class AugmentedLagrangian(AbstractBaseline):
    """min f + lambda^T c + (mu/2) ||c||^2 again and again; lambda <- lambda + mu c.

    One step is one Newton step of a subproblem, or one update of the multipliers.

    **Options:**

    - `penalty`: first mu, > 0; `growth`: its factor per update, > 1.
    - `subproblem`: first bound on the subproblem's gradient; `shrink`: its factor.
    - `kappa`: relative residual of the Newton systems, in (0, 1).
    - `beta`: Armijo's share, in (0, 1/2).
    - `atol`: stops at this ||(grad_x L, c)||; None: half the problem's `kkt_tol`.
    - `restart`, `max_cycles`: length of a GMRES cycle, and how many of them.
    - `max_outer`, `max_halvings`: bounds on steps, and on halvings of one step.
    """

    penalty: Real = 1.0
    growth: Real = 1.5
    subproblem: Real = 0.1
    shrink: Real = 0.1
    kappa: Real = 1e-4
    beta: Real = 0.1
    atol: Real | None = None
    restart: int = 20
    max_cycles: int = 5_000
    max_outer: int = 10_000
    max_halvings: int = 50

    def validate(self) -> None:
        check_baseline(self, "beta")
        for field in ("penalty", "subproblem"):
            value = getattr(self, field)
            require(self, field, value > 0, expected="> 0", got=value)
        require(self, "growth", self.growth > 1, expected="> 1", got=self.growth)
        for field in ("shrink", "kappa"):
            value = getattr(self, field)
            require(self, field, 0 < value < 1, expected="in (0, 1)", got=value)

    def init(self, problem: Any, key: Any) -> BaselineState:
        del key  # deterministic
        x, multipliers = problem.x0, problem.multipliers0
        return begin(problem, x, multipliers, self.penalty, self.subproblem)

    def warm_start(self, problem: Any, value: ConstrainedPoint, key: Any):
        del key
        x, multipliers = value.x, value.multipliers
        return begin(problem, x, multipliers, self.penalty, self.subproblem)

    def step(self, problem: Any, state: BaselineState) -> BaselineState:
        g = jacobian(problem, state.x)
        gradient = state.at.gradient + state.penalty * (g.T @ state.at.constraint)
        rough = ~(jnp.linalg.norm(gradient) <= state.accuracy)
        return jax.lax.cond(
            rough,
            lambda: self._descend(problem, state, g, gradient),
            lambda: self._update(state, gradient),
        )

    def _descend(self, problem, state, g, gradient) -> BaselineState:
        """Newton with A + (1 - lambda_min) I, A the augmented Lagrangian's Hessian."""
        mu, c = state.penalty, state.at.constraint
        # Its second-order part is that of L at the multipliers lambda + mu c.
        a = hessian(problem, state.x, state.multipliers + mu * c) + mu * (g.T @ g)
        least = jnp.linalg.eigvalsh(a)[0]
        b = a + (1.0 - least) * jnp.eye(a.shape[0])
        goal = self.kappa * jnp.linalg.norm(gradient)
        solved = gmres(
            b,
            -gradient,
            jnp.zeros_like(gradient),
            lambda _, residual: jnp.linalg.norm(residual) <= goal,
            min(self.restart, a.shape[0]),
            self.max_cycles,
        )
        slope = gradient @ solved.point

        def value(at: FirstOrder, multipliers: Array) -> tuple[Array, Array]:
            c, square = at.constraint, 0.5 * mu * (at.constraint @ at.constraint)
            size = jnp.abs(at.objective) + jnp.abs(multipliers) @ jnp.abs(c) + square
            return at.objective + multipliers @ c + square, size

        still = jnp.zeros_like(state.multipliers)
        trial = armijo(
            problem,
            state,
            solved.point,
            still,
            value,
            slope,
            self.beta,
            self.max_halvings,
        )
        accurate = jnp.linalg.norm(solved.residual) <= goal
        status = jnp.select(
            [~accurate, ~trial.good, state.steps + 1 >= self.max_outer],
            [LINEAR, SEARCH, SPENT],
            RUNNING,
        ).astype(jnp.int64)
        length = min(self.restart, a.shape[0]) + 2
        products = state.products + solved.cycles * length
        return moved(state, trial, status=status, products=products)

    def _update(self, state: BaselineState, gradient: Array) -> BaselineState:
        """No evaluation: grad_x L at lambda + mu c is the gradient just found."""
        at = FirstOrder(state.at.objective, state.at.constraint, gradient)
        spent = state.steps + 1 >= self.max_outer
        return BaselineState(
            state.x,
            state.multipliers + state.penalty * state.at.constraint,
            at,
            state.penalty * self.growth,
            state.accuracy * self.shrink,
            jnp.ones(()),
            state.counts.more(jacobians=1),
            state.products,
            state.steps + 1,
            state.outer + 1,
            jnp.where(spent, SPENT, RUNNING).astype(jnp.int64),
        )

    def citations(self) -> tuple[str, ...]:
        return ("nocedal2006numerical", "saad1986gmres")
