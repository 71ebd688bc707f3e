"""Inexact SQP on the l1 penalty, its systems solved by GMRES: two baselines.

Source: Byrd, Curtis and Nocedal, SIAM J. Optim. 19 (2008), algorithm A and its two
termination tests; constants of the reference implementation of Hong et al. (2023),
which tests the dual residual where the source tests the primal one, and conversely: the
source is followed here. The adaptive variant is the reference's.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from ..core import require
from ._baseline_state import (
    DEGENERATE,
    LINEAR,
    RUNNING,
    SEARCH,
    SPENT,
    AbstractBaseline,
    BaselineState,
    Solved,
    armijo,
    begin,
    check_baseline,
    gmres,
    moved,
)
from ._constrained import ConstrainedPoint
from ._kkt import KKTOptions, KKTSystem, StoredKKT
from ._lagrangian import FirstOrder

Real = float | Array
_LARGEST_PENALTY = 1e8


class _Model(eqx.Module):
    """The quadratic model of f + mu ||c||_1 at a point."""

    slope: Float64[Array, " n"]  # grad f
    system: KKTSystem
    c: Float64[Array, " m"]

    @classmethod
    def at(cls, problem: Any, state: BaselineState, method: Any) -> "_Model":
        xi, floor = jnp.asarray(method.xi), jnp.asarray(method.curvature_floor)
        options = KKTOptions(xi, floor, False, jax.random.key(0))
        system = StoredKKT().system(problem, state.x, state.multipliers, options)
        g = system.operator.matrix[state.x.shape[0] :, : state.x.shape[0]]
        slope = state.at.gradient - g.T @ state.multipliers
        return cls(slope, system, state.at.constraint)

    def parts(self, point: Array) -> tuple[Array, Array, Array]:
        """The figures grad f^T d, max(d^T B d / 2, 0), ||c + G d||_1."""
        n = self.slope.shape[0]
        d, matrix = point[:n], self.system.operator.matrix
        curved = jnp.maximum(0.5 * d @ matrix[:n, :n] @ d, 0.0)
        return self.slope @ d, curved, jnp.sum(jnp.abs(self.c + matrix[n:, :n] @ d))

    def reduces(self, point: Array, mu: Array, sigma: Real) -> Array:
        """Whether the model falls by sigma mu max(||c||, ||c + G d|| - ||c||)."""
        linear, curved, left = self.parts(point)
        size = jnp.sum(jnp.abs(self.c))
        fall = -linear - curved + mu * (size - left)
        return fall >= sigma * mu * jnp.maximum(size, left - size)


def _advance(
    problem: Any,
    state: BaselineState,
    method: Any,
    model: _Model,
    solved: Solved,
    mu: Array,
    accuracy: Array,
    failed: Array,
) -> BaselineState:
    """Armijo's rule on f + mu ||c||_1 along a direction that was found."""
    n = state.x.shape[0]
    linear, _, left = model.parts(solved.point)
    slope = linear - mu * (jnp.sum(jnp.abs(model.c)) - left)

    def value(at: FirstOrder, multipliers: Array) -> tuple[Array, Array]:
        del multipliers
        penalty = mu * jnp.sum(jnp.abs(at.constraint))
        return at.objective + penalty, jnp.abs(at.objective) + penalty

    trial = armijo(
        problem,
        state,
        solved.point[:n],
        solved.point[n:],
        value,
        slope,
        method.armijo,
        method.max_halvings,
    )
    degenerate = ~(model.system.rank >= method.licq_floor)
    trial = eqx.tree_at(lambda t: t.good, trial, trial.good & ~degenerate & ~failed)
    status = jnp.select(
        [degenerate, failed, ~trial.good, state.steps + 1 >= method.max_outer],
        [DEGENERATE, LINEAR, SEARCH, SPENT],
        RUNNING,
    ).astype(jnp.int64)
    length = _length(method, solved.point) + 2
    return moved(
        state,
        trial,
        status=status,
        products=state.products + solved.cycles * length,
        penalty=mu,
        accuracy=accuracy,
        outer=state.outer + 1,
    )


def _length(method: Any, point: Array) -> int:
    return min(method.restart, point.shape[0])


def _check(method: Any) -> None:
    check_baseline(method, "armijo")
    for field in ("penalty", "kappa", "xi"):
        value = getattr(method, field)
        require(method, field, value > 0, expected="> 0", got=value)
    for field in ("curvature_floor", "licq_floor"):
        value = getattr(method, field)
        require(method, field, value >= 0, expected=">= 0", got=value)


@final
class InexactL1SQP(AbstractBaseline):
    """Inexact SQP: GMRES stops by one of two tests on residuals and model reduction.

    **Options:**

    - `penalty`: first mu, > 0.
    - `kappa`, `kappa1`: residuals allowed by the first test, relative to grad L.
    - `epsilon`, `tau`: in (0, 1); sigma = tau (1 - epsilon).
    - `armijo`: Armijo's share, in (0, 1/2).
    - `xi`, `curvature_floor`: as in `SketchedNewton`.
    - `licq_floor`: the run ends where lambda_min(G G^T) is below it.
    - `atol`: stops at this ||(grad_x L, c)||; None: half the problem's `kkt_tol`.
    - `restart`, `max_cycles`: length of a GMRES cycle, and how many of them.
    - `max_outer`, `max_halvings`: bounds on steps, and on halvings of one step.
    """

    penalty: Real = 1.0
    kappa: Real = 1.0
    kappa1: Real = 0.1
    epsilon: Real = 0.1
    tau: Real = 0.1
    armijo: Real = 1e-8
    xi: Real = 0.1
    curvature_floor: Real = 1e-6
    licq_floor: Real = 1e-6
    atol: Real | None = None
    restart: int = 7
    max_cycles: int = 50_000
    max_outer: int = 10_000
    max_halvings: int = 50

    def validate(self) -> None:
        _check(self)
        for field in ("kappa1", "epsilon", "tau"):
            value = getattr(self, field)
            require(self, field, 0 < value < 1, expected="in (0, 1)", got=value)

    def init(self, problem: Any, key: Any) -> BaselineState:
        del key  # deterministic
        x, multipliers = problem.x0, problem.multipliers0
        return begin(problem, x, multipliers, self.penalty, self.kappa)

    def warm_start(self, problem: Any, value: ConstrainedPoint, key: Any):
        del key
        x, multipliers = value.x, value.multipliers
        return begin(problem, x, multipliers, self.penalty, self.kappa)

    def step(self, problem: Any, state: BaselineState) -> BaselineState:
        model = _Model.at(problem, state, self)
        sigma, mu = self.tau * (1 - self.epsilon), state.penalty
        n, size = state.x.shape[0], jnp.sum(jnp.abs(model.c))
        rhs = -jnp.concatenate([state.at.gradient, model.c])
        dual, whole = jnp.sum(jnp.abs(rhs[:n])), jnp.sum(jnp.abs(rhs))
        # state.accuracy holds the bound that the first step set.
        beta = jnp.where(
            state.steps == 0, jnp.maximum(dual / (size + 1), 1.0), state.accuracy
        )
        primal_goal = jnp.maximum(self.kappa1 * dual, beta * size)

        def good(point: Array, residual: Array) -> Array:
            one, two = jnp.sum(jnp.abs(residual[:n])), jnp.sum(jnp.abs(residual[n:]))
            first = (one + two <= self.kappa * whole) & (two <= primal_goal)
            first = first & model.reduces(point, mu, sigma)
            second = (two <= self.epsilon * size) & (one <= beta * size)
            # A direction must have been made at all.
            return (first | second) & jnp.any(point != 0)

        solved = gmres(
            model.system.operator.matrix,
            rhs,
            jnp.zeros_like(rhs),
            good,
            _length(self, rhs),
            self.max_cycles,
        )
        failed = ~good(solved.point, solved.residual)
        linear, curved, left = model.parts(solved.point)
        room = (1 - self.tau) * (size - left)
        wanted = (linear + curved) / jnp.where(room > 0, room, jnp.inf) + 1e-4
        enough = model.reduces(solved.point, mu, sigma)
        mu = jnp.where(enough, mu, jnp.maximum(wanted, mu))
        return _advance(problem, state, self, model, solved, mu, beta, failed)

    def citations(self) -> tuple[str, ...]:
        return ("byrd2008inexact", "saad1986gmres")


@final
class AdaptiveL1SQP(AbstractBaseline):
    """Inexact SQP whose penalty and accuracy tighten until the model is reduced.

    **Options:** as those of `InexactL1SQP` of the same names, and

    - `kappa`: first relative residual, > 0.
    - `nu`: mu grows by it and kappa falls by its square, > 1.
    """

    penalty: Real = 1.0
    kappa: Real = 0.1
    nu: Real = 1.5
    armijo: Real = 1e-8
    xi: Real = 0.1
    curvature_floor: Real = 1e-6
    licq_floor: Real = 1e-6
    atol: Real | None = None
    restart: int = 20
    max_cycles: int = 5_000
    max_outer: int = 10_000
    max_halvings: int = 50

    def validate(self) -> None:
        _check(self)
        require(self, "nu", self.nu > 1, expected="> 1", got=self.nu)

    def init(self, problem: Any, key: Any) -> BaselineState:
        del key  # deterministic
        x, multipliers = problem.x0, problem.multipliers0
        return begin(problem, x, multipliers, self.penalty, self.kappa)

    def warm_start(self, problem: Any, value: ConstrainedPoint, key: Any):
        del key
        x, multipliers = value.x, value.multipliers
        return begin(problem, x, multipliers, self.penalty, self.kappa)

    def step(self, problem: Any, state: BaselineState) -> BaselineState:
        model = _Model.at(problem, state, self)
        rhs = -jnp.concatenate([state.at.gradient, model.c])
        whole, length = jnp.sum(jnp.abs(rhs)), _length(self, rhs)
        matrix, sigma = model.system.operator.matrix, 0.09

        def again(carry: Any) -> Any:
            solved, mu, kappa, _ = carry
            goal = jnp.maximum(kappa * whole, 1e-14 * whole)
            further = gmres(
                matrix,
                rhs,
                solved.point,
                lambda _, residual: jnp.sum(jnp.abs(residual)) <= goal,
                length,
                self.max_cycles,
            )
            cycles = solved.cycles + further.cycles
            further = eqx.tree_at(lambda s: s.cycles, further, cycles)
            reached = jnp.sum(jnp.abs(further.residual)) <= goal
            over = model.reduces(further.point, mu, sigma) | (mu > _LARGEST_PENALTY)
            mu = jnp.where(over, mu, mu * self.nu)
            kappa = jnp.where(over, kappa, kappa / self.nu**2)
            return further, mu, kappa, jnp.where(reached, over, True)

        zero = jnp.zeros((), jnp.int64)
        begun = Solved(jnp.zeros_like(rhs), -rhs, zero)
        start = (begun, state.penalty, state.accuracy, jnp.asarray(False))
        found = jax.lax.while_loop(lambda c: ~c[3], again, start)
        solved, mu, kappa, _ = found
        goal = jnp.maximum(kappa * whole, 1e-14 * whole)
        failed = ~(jnp.sum(jnp.abs(solved.residual)) <= goal)
        return _advance(problem, state, self, model, solved, mu, kappa, failed)

    def citations(self) -> tuple[str, ...]:
        return ("byrd2008inexact", "hong2023sketched", "saad1986gmres")
