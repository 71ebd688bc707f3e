"""The paper's semidefinite program by a conic solver, repaired into a proof.

Source: Pauli et al., ICLR 2024 (arXiv 2401.14033).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..core import CONVERGED, AbstractMethod, Outcome
from ._conic_solution import AbstractConicSolver, Clarabel, conic_solution
from ._eigenvalue import inequalities, validate_constraints
from ._global_lipschitz import GlobalBounds, GlobalLipschitz
from ._inequality import Inequality
from ._interior_start import interior_start
from ._multipliers import AbstractConstraints, Eliminated
from ._packed_bounds import packed_bounds
from ._pair_search import find_pair
from ._shown_bounds import least_bound

REPAIRS = tuple(10.0**k for k in range(-9, -1))
"""What share of a strictly feasible point is added, until the judge's test passes."""
CLOSE = 1e-7  # inflation over the solver's own value at which no more is tried


@dataclass(frozen=True)
class ConicState:
    """Multipliers per piece, how many are solved, and a pair of inputs."""

    thetas: tuple[np.ndarray, ...]
    solved: int
    iterations: int
    failed: bool
    pair: np.ndarray
    ratio: float


@final
class LipSDP(AbstractMethod):
    """Minimises the bound over all multipliers with Clarabel or SCS.

    What the solver returns is a hint: multipliers are clipped at 0, moved towards a
    strictly feasible point until a verified Cholesky factorisation accepts them, and
    the bound is the least that they then show.

    **Options:**

    - `constraints`: as for `Eigenvalue`.
    - `solver`: `Clarabel()` or `SCS()`; needs `pip install lemmata[cones]`.
    - `cuts`: as for `Eigenvalue`.
    """

    constraints: AbstractConstraints = Eliminated()
    solver: AbstractConicSolver = Clarabel()
    cuts: tuple[int, ...] = eqx.field(static=True, default=())

    host: ClassVar[bool] = True

    def validate(self) -> None:
        validate_constraints(self)
        self.solver.check(self)

    def inequalities(self, problem: GlobalLipschitz) -> list[Inequality]:
        """One per piece."""
        return _assembled(self, problem)

    def init(self, problem: GlobalLipschitz, key: Any) -> ConicState:
        starts = [np.asarray(_start(q)) for q in self.inequalities(problem)]
        pair, ratio = _found(problem, key)
        return ConicState(tuple(starts), 0, 0, False, np.asarray(pair), float(ratio))

    def step(self, problem: GlobalLipschitz, state: ConicState) -> ConicState:
        """Solves the next piece."""
        inequality = self.inequalities(problem)[state.solved]
        start = state.thetas[state.solved]
        found = conic_solution(inequality, start, self.solver)
        thetas = list(state.thetas)
        usable = found.status in ("solved", "almost_solved", "max_iterations")
        if usable:
            thetas[state.solved] = repaired(inequality, found.theta, start)
        return replace(
            state,
            thetas=tuple(thetas),
            solved=state.solved + 1,
            iterations=state.iterations + found.iterations,
            failed=state.failed or not usable,
        )

    def done(self, problem: GlobalLipschitz, state: ConicState) -> bool:
        return state.solved >= len(state.thetas)

    def finish(self, problem: GlobalLipschitz, state: ConicState) -> GlobalBounds:
        layouts = [q.layout for q in self.inequalities(problem)]
        value = packed_bounds(
            self.constraints,
            self.cuts,
            layouts,
            [jnp.asarray(theta) for theta in state.thetas],
            0.0,
            jnp.asarray(state.pair),
            state.ratio,
        )
        bound = least_bound(problem, value)
        if not math.isfinite(bound):  # stated all the same; the judge refuses it
            bound = np.finfo(np.float64).max
        return eqx.tree_at(lambda v: v.lipschitz_upper, value, jnp.asarray(bound))

    def observe(self, problem: GlobalLipschitz, state: ConicState) -> dict[str, Any]:
        return {"solved": float(state.solved), "iterations": float(state.iterations)}

    def outcome(self, problem: GlobalLipschitz, state: ConicState) -> Outcome:
        return _FAILED if state.failed else CONVERGED

    def to_arrays(self, state: ConicState) -> dict[str, np.ndarray]:
        counts = (state.solved, state.iterations, int(state.failed))
        arrays = {f"theta_{i}": theta for i, theta in enumerate(state.thetas)}
        return arrays | {
            "counts": np.array(counts),
            "pair": state.pair,
            "ratio": np.asarray(state.ratio),
        }

    def from_arrays(
        self, problem: GlobalLipschitz, arrays: Mapping[str, np.ndarray]
    ) -> ConicState:
        thetas = [arrays[f"theta_{i}"] for i in range(len(self.cuts) + 1)]
        solved, iterations, failed = (int(c) for c in arrays["counts"])
        return ConicState(
            tuple(np.asarray(theta) for theta in thetas),
            solved,
            iterations,
            bool(failed),
            np.asarray(arrays["pair"]),
            float(arrays["ratio"]),
        )

    def citations(self) -> tuple[str, ...]:
        return ("pauli2024novel",)


_FAILED = Outcome(
    "solver_failed",
    "The conic solver found no optimum; what is returned is a feasible bound that it "
    "did not improve. Take Eigenvalue(), cut the network, or loosen the solver's tol.",
)


_assembled = eqx.filter_jit(inequalities)
_start = eqx.filter_jit(interior_start)


@eqx.filter_jit
def _found(problem: GlobalLipschitz, key: Any) -> tuple[Any, Any]:
    return find_pair(problem.network, problem.selected, problem.linf, key)


def repaired(
    inequality: Inequality, theta: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """The least shift towards the interior point that makes M definite, in floats.

    M(theta + share * start) exceeds M(theta) by share times a definite matrix. The
    weights are then scaled up by what the inequality needs, so they are not tight yet.
    """
    layout = inequality.layout
    best, least = start, _cost(inequality, start)
    for share in REPAIRS:
        trial = theta + share * start
        cost = _cost(inequality, trial)
        if cost < least:
            best, least = trial, cost
        if cost <= float(layout.cost @ theta) * (1 + CLOSE):
            break
    return best


def _cost(inequality: Inequality, theta: np.ndarray) -> float:
    """The least objective that these multipliers show, in floats; inf if none."""
    layout = inequality.layout
    weight = layout.cost > 0
    rows, base = np.asarray(inequality.rows), np.asarray(inequality.base)
    scale = inequality.scale(np.where(weight, 0.0, theta))
    rest = base + rows.T @ (scale[:, None] * rows)
    # rows of weights are unit vectors, or those of the inputs together
    added = inequality.scale(np.where(weight, theta, 0.0))
    b = (rows * rows).T @ added
    has = b > 0
    try:
        inner = rest[np.ix_(~has, ~has)]
        if not np.all(np.diagonal(inner) > 0):
            return math.inf
        d = 1 / np.sqrt(np.diagonal(inner))
        factor = np.linalg.cholesky(inner * d * d[:, None])
        half = np.linalg.solve(factor, rest[np.ix_(~has, has)] * d[:, None])
        outer = half.T @ half - rest[np.ix_(has, has)]
        root = 1 / np.sqrt(b[has])
        top = float(np.linalg.eigvalsh(outer * root * root[:, None])[-1])
    except np.linalg.LinAlgError:
        return math.inf
    return top * float(layout.cost @ theta) if math.isfinite(top) else math.inf
