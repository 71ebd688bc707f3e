"""What the baselines of constrained minimisation share: state, GMRES, line search."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64

from ..core import CONVERGED, Outcome, require
from ..numerics.gmres import gmres_cycle
from ._constrained_method import RUNNING as RUNNING, AbstractConstrainedMethod
from ._lagrangian import Counts, FirstOrder, first_order

DEGENERATE, LINEAR, SEARCH, SPENT = range(1, 5)
ROUNDING = 64 * 2.0**-53


class BaselineState(eqx.Module):
    """The iterate and what is reported of it.

    **Fields:** `penalty`, `accuracy`: the method's own parameters; `products`: of the
    linear systems with vectors; `outer`: multiplier updates, or steps.
    """

    x: Float64[Array, " n"]
    multipliers: Float64[Array, " m"]
    at: FirstOrder
    penalty: Float64[Array, ""]
    accuracy: Float64[Array, ""]
    alpha: Float64[Array, ""]
    counts: Counts
    products: Int64[Array, ""]
    steps: Int64[Array, ""]
    outer: Int64[Array, ""]
    status: Int64[Array, ""]


def begin(
    problem: Any, x: Any, multipliers: Any, penalty: Any, accuracy: Any
) -> BaselineState:
    """One evaluation of f, c and their gradient."""
    x = jnp.asarray(x, jnp.float64)
    multipliers = jnp.asarray(multipliers, jnp.float64)
    zero = jnp.zeros((), jnp.int64)
    return BaselineState(
        x,
        multipliers,
        first_order(problem, x, multipliers),
        jnp.asarray(penalty, jnp.float64),
        jnp.asarray(accuracy, jnp.float64),
        jnp.zeros(()),
        Counts.none().more(values=1, gradients=1),
        *[zero] * 4,
    )


class Solved(eqx.Module):
    """A point of an iterative solver, its residual A d - b, and the cycles it took."""

    point: Float64[Array, " N"]
    residual: Float64[Array, " N"]
    cycles: Int64[Array, ""]


def gmres(
    matrix: Array,
    rhs: Array,
    start: Array,
    good: Callable[[Array, Array], Array],
    length: int,
    max_cycles: int,
) -> Solved:
    """Restarted GMRES from `start` until `good(point, residual)`, asked every cycle."""

    def unfinished(now: Solved) -> Array:
        wanting = ~good(now.point, now.residual) & (now.cycles < max_cycles)
        return wanting & jnp.all(jnp.isfinite(now.residual))

    def again(now: Solved) -> Solved:
        point = gmres_cycle(lambda v: matrix @ v, rhs, now.point, length)
        return Solved(point, matrix @ point - rhs, now.cycles + 1)

    begun = Solved(start, matrix @ start - rhs, jnp.zeros((), jnp.int64))
    return jax.lax.while_loop(unfinished, again, begun)


class Trial(eqx.Module):
    """One point of a line search, and whether it was accepted."""

    x: Float64[Array, " n"]
    multipliers: Float64[Array, " m"]
    at: FirstOrder
    alpha: Float64[Array, ""]
    trials: Int64[Array, ""]
    good: Any


def armijo(
    problem: Any,
    state: BaselineState,
    along: Array,
    across: Array,
    value: Callable[[FirstOrder, Array], tuple[Array, Array]],
    slope: Array,
    share: Any,
    max_halvings: int,
) -> Trial:
    """Halves alpha = 1 until value(alpha) <= value(0) + alpha share slope.

    `value(at, multipliers)`: the merit, and the scale of its rounding (forgiven).
    """
    begun, size = value(state.at, state.multipliers)

    def attempt(last: Trial) -> Trial:
        alpha = 0.5 * last.alpha
        x, multipliers = state.x + alpha * along, state.multipliers + alpha * across
        at = first_order(problem, x, multipliers)
        reached, scale = value(at, multipliers)
        room = alpha * share * slope + ROUNDING * (size + scale)
        good = reached <= begun + room
        return Trial(x, multipliers, at, alpha, last.trials + 1, good)

    start = Trial(
        state.x,
        state.multipliers,
        state.at,
        jnp.asarray(2.0),
        jnp.zeros((), jnp.int64),
        jnp.asarray(False),
    )
    return jax.lax.while_loop(
        lambda t: ~t.good & (t.trials <= max_halvings), attempt, start
    )


def moved(state: BaselineState, trial: Trial, **changed: Any) -> BaselineState:
    """The state after a search; unchanged in x where it failed."""
    x, multipliers, at, alpha = jax.tree.map(
        lambda new, old: jnp.where(trial.good, new, old),
        (trial.x, trial.multipliers, trial.at, trial.alpha),
        (state.x, state.multipliers, state.at, jnp.zeros(())),
    )
    counts = state.counts.more(
        values=trial.trials, gradients=trial.trials, jacobians=1, hessians=1
    )
    fields = {"x": x, "multipliers": multipliers, "at": at, "alpha": alpha}
    fields |= {"counts": counts, "steps": state.steps + 1} | changed
    names = tuple(fields)
    return eqx.tree_at(
        lambda s: tuple(getattr(s, name) for name in names),
        state,
        tuple(fields.values()),
    )


def _observed(state: BaselineState) -> dict[str, Array]:
    """What is recorded after each step; counts are totals so far."""
    counts = state.counts
    return {
        "residual": state.at.residual,
        "objective": state.at.objective,
        "infeasibility": jnp.linalg.norm(state.at.constraint),
        "alpha": state.alpha,
        "penalty": state.penalty,
        "accuracy": state.accuracy,
        "outer": state.outer,
        "objective_evaluations": counts.objective,
        "constraint_evaluations": counts.constraint,
        "gradient_evaluations": counts.gradient,
        "jacobian_evaluations": counts.jacobian,
        "hessian_evaluations": counts.hessian,
        "krylov_products": state.products,
    }


def _outcome(state: BaselineState, tolerance: Any) -> Outcome:
    """Why a baseline stopped."""
    if bool(state.at.residual <= tolerance):
        return CONVERGED
    at = f"||(grad_x L, c)|| = {float(state.at.residual):.1e}, step {int(state.steps)}"
    sentences = {
        DEGENERATE: (
            "degenerate_constraints",
            "the Jacobian of the constraints lost rank; SketchedNewton() goes on to a "
            "smaller licq_floor",
        ),
        LINEAR: (
            "linear_solver_failed",
            "GMRES ended at its cap; raise restart or max_cycles, or use "
            "SketchedNewton()",
        ),
        SEARCH: (
            "line_search_failed",
            "no step length decreased the merit function; use SketchedNewton()",
        ),
        SPENT: ("max_outer", "the limit on steps came first; raise max_outer"),
    }
    unknown = ("not_finite", "f, c or a derivative is not finite")
    name, sentence = sentences.get(int(state.status), unknown)
    return Outcome(name, f"{at}: {sentence}.")


def check_baseline(method: Any, share: str) -> None:
    """The options that all baselines have; `share` names Armijo's."""
    value = getattr(method, share)
    require(method, share, 0 < value < 0.5, expected="in (0, 1/2)", got=value)
    good = method.atol is None or method.atol > 0
    require(method, "atol", good, expected="None or > 0", got=method.atol)
    for field in ("restart", "max_cycles", "max_outer", "max_halvings"):
        count = getattr(method, field)
        require(method, field, count >= 1, expected=">= 1", got=count)


class AbstractBaseline(AbstractConstrainedMethod):
    """A baseline: what is recorded of it, and why it stopped."""

    def observe(self, problem: Any, state: BaselineState) -> dict[str, Array]:
        del problem
        return _observed(state)

    def outcome(self, problem: Any, state: BaselineState) -> Outcome:
        return _outcome(state, self.stopping(problem))
