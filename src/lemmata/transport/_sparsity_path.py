"""One problem at many caps: the paper's two limits, and what smoothness buys.

Source: Liu, Puigcerver, Blondel (2023): a cap of 1 recovers unregularised transport, a
large one quadratic transport, and the semi-dual is the smoother the larger the cap.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import Array

from ..core import AbstractMethod, Claim, Withheld, float64, require
from ..numerics.lbfgs import lbfgs_init, lbfgs_step
from ._barrier import barrier_init, barrier_step
from ._cost import Real
from ._recovery import linear_transport, polish, vertex
from ._sparse_candidate import assemble
from ._sparse_plan import SparsePlan
from ._sparse_problem import SparseTransport
from ._support import Entries, HostData, restricted_quadratic
from ._topk import Oriented, cost_range, costs_made_finite, semi_dual

_MEMORY = 20
_LIMIT_TOL = 1e-7  # of the chain of limits, in units of the cost: a linear solver's
_GAP, _STEPS = 1e-10, 100  # of the interior point, as in `_ascent`


class PathState(eqx.Module):
    """The caps done so far.

    **Fields:** `done`, how many; `alphas` (caps, f), maximisers, and D there in `best`
    (caps,); `climbs`
    (caps, max_steps), D along an ascent from zero, its last value repeated; `free`,
    `capped`, `mass`: the plan for the problem's own cap, once it had its turn.
    """

    done: np.ndarray
    alphas: np.ndarray
    best: np.ndarray
    climbs: np.ndarray
    free: np.ndarray
    capped: np.ndarray
    mass: np.ndarray


@final
class SparsityPath(AbstractMethod):
    """Solves the problem at every cap of a grid, each from a start of zero.

    Its answer is that for the problem's own cap. Its claims are about the whole grid.

    **Options:**

    - `caps`: increasing, each in [1, m]; the problem's cap is added where it is
      missing. For the limits, 1 and m are added, too.
    - `rtol`: steps are counted until D is within `rtol * |max D|` of its maximum.
    - `max_steps`: bound on the steps counted at one cap, > 0.
    """

    host: ClassVar[bool] = True

    caps: tuple[int, ...] = (2, 4, 8, 16)
    rtol: Real = 1e-3
    max_steps: int = 600

    def validate(self) -> None:
        caps = self.caps
        good = len(caps) > 0 and caps[0] >= 1 and all(np.diff(caps) > 0)
        require(self, "caps", good, expected="increasing, all >= 1", got=caps)
        require(self, "rtol", self.rtol > 0, expected="> 0", got=self.rtol)
        steps = self.max_steps
        require(self, "max_steps", steps > 0, expected="> 0", got=steps)

    def grid(self, problem: SparseTransport) -> tuple[int, ...]:
        """The caps that are solved, from 1 to m."""
        size = problem.cost.shape[0 if problem.axis == "columns" else 1]
        chosen = {k for k in self.caps if k <= size}
        return tuple(sorted(chosen | {1, size, problem.cap}))

    def init(self, problem: SparseTransport, key: Any) -> PathState:
        del key
        count = len(self.grid(problem))
        size = problem.cost.shape[0 if problem.axis == "columns" else 1]
        none = np.zeros(0, dtype=np.int64)
        return PathState(
            done=np.asarray(0),
            alphas=np.zeros((count, size)),
            best=np.zeros(count),
            climbs=np.zeros((count, self.max_steps)),
            free=none,
            capped=none,
            mass=np.zeros(0),
        )

    def step(self, problem: SparseTransport, state: PathState) -> PathState:
        place = int(state.done)
        cap = self.grid(problem)[place]
        host = problem.host_data()._replace(cap=cap)
        with float64():
            data = problem.oriented()
            # One shape for all caps, which are traced below: one compilation.
            data = replace(data, cap=data.free.shape[0])
            alpha, mean = _maximiser(data, host)
            value, climb = _climb(
                data, jnp.asarray(cap), jnp.asarray(alpha), self.max_steps
            )
        alphas, best, climbs = (
            part.copy() for part in (state.alphas, state.best, state.climbs)
        )
        alphas[place], best[place], climbs[place] = alpha, value, climb
        entries: Any = (state.free, state.capped, state.mass)
        if cap == problem.cap:
            entries = polish(host, alpha, mean, searches=3, sweeps=150).entries
        return PathState(np.asarray(place + 1), alphas, best, climbs, *entries)

    def done(self, problem: SparseTransport, state: PathState) -> bool:
        return int(state.done) == len(self.grid(problem))

    def finish(self, problem: SparseTransport, state: PathState) -> SparsePlan:
        place = self.grid(problem).index(problem.cap)
        rows, columns = state.free, state.capped
        if problem.axis == "rows":
            rows, columns = columns, rows
        shape = problem.cost.shape
        plan = sp.coo_array((state.mass, (rows, columns)), shape=shape)
        return assemble(problem, plan, state.alphas[place])

    def claims(
        self,
        problem: SparseTransport,
        value: SparsePlan,
        state: PathState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        del value, trace
        host = problem.host_data()
        capped, free = np.nonzero(np.isfinite(host.cost))
        entries = Entries(free, capped, np.zeros(free.size))
        linear = linear_transport(entries, host)
        plan = linear.entries.positive()
        pair = (plan.free, plan.capped)
        duals = (linear.free_price, linear.capped_price)
        if problem.axis == "rows":
            pair, duals = pair[::-1], duals[::-1]
        caps = np.asarray(self.grid(problem), dtype=np.int64)
        limits = {
            "caps": caps,
            "alphas": state.alphas,
            "lp_rows": pair[0].astype(np.int64),
            "lp_columns": pair[1].astype(np.int64),
            "lp_mass": plan.mass,
            "lp_row_potential": duals[0],
            "lp_column_potential": duals[1],
        }
        climbs = {"caps": caps, "dual_traces": state.climbs, "best": state.best}
        tolerance = {"tolerance": float(self.rtol)}
        return (
            Claim("transport.limit_cases/1", _LIMIT_TOL, limits),
            Claim("transport.smoothness_tradeoff/1", -0.8, climbs, tolerance),
        )

    def to_arrays(self, state: PathState) -> dict[str, np.ndarray]:
        return {name: getattr(state, name) for name in state.__dataclass_fields__}

    def from_arrays(self, problem: Any, arrays: Any) -> PathState:
        del problem
        return PathState(**arrays)

    def citations(self) -> tuple[str, ...]:
        return ("liu2023sparsity", "argyriou2012ksupport")


def _maximiser(data: Oriented, host: HostData) -> tuple[np.ndarray, np.ndarray]:
    """Potential (f,) and optimal mixture (c, f) at one cap, by what is exact there."""
    if host.cap == 1:
        mean, alpha = vertex(host)
        return alpha, mean
    if host.cap < host.free.size:
        alpha, mean = _interior(data, jnp.asarray(host.cap))
        return np.asarray(alpha), np.asarray(mean)
    capped, free = np.nonzero(np.isfinite(host.cost))
    entries = Entries(free, capped, np.zeros(free.size))
    _, alpha = vertex(host)
    beta = np.min(host.cost - alpha, axis=1) + host.gamma * host.capped
    found = restricted_quadratic(entries, host, alpha, beta)
    mean = np.zeros(host.cost.shape)
    mean[capped, free] = found.entries.mass
    return found.alpha, mean


@eqx.filter_jit
def _interior(data: Oriented, cap: Array) -> tuple[Array, Array]:
    finite = costs_made_finite(data)
    goal = _GAP * cost_range(data)

    def unfinished(carry):
        state, _, _, count = carry
        return (state.gap > goal) & ~state.stalled & (count < _STEPS)

    def advance(carry):
        state, alpha, value, count = carry
        state = barrier_step(finite, state, cap)
        here = semi_dual(data, state.point.alpha, cap).value
        better = here > value
        alpha = jnp.where(better, state.point.alpha, alpha)
        return state, alpha, jnp.where(better, here, value), count + 1

    zero = jnp.zeros_like(data.free)
    value = semi_dual(data, zero, cap).value
    start = (barrier_init(finite, cap), zero, value, jnp.asarray(0))
    state, alpha, _, _ = jax.lax.while_loop(unfinished, advance, start)
    return alpha, state.point.t


@eqx.filter_jit
def _climb(data: Oriented, cap: Array, alpha: Array, steps: int) -> tuple[Array, Array]:
    """D at alpha, and along L-BFGS from zero, (steps,)."""

    def function(x: Array) -> tuple[Array, Array]:
        found = semi_dual(data, x, cap)
        return -found.value, -found.gradient

    def advance(state, _):
        after = jax.lax.cond(
            state.stalled, lambda s: s, lambda s: lbfgs_step(function, s), state
        )
        return after, -after.value

    start = lbfgs_init(function, jnp.zeros_like(data.free), _MEMORY)
    climb = jax.lax.scan(advance, start, None, length=steps)[1]
    return -function(alpha)[0], climb
