"""The convex programs, robust ones included, by an interior-point solver.

Source: Bai, Gautam and Sojoudi (2023), sections 2 and 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import CONVERGED, AbstractMethod, Outcome, require
from ..numerics.conic import SOLVERS, ConeAnswer, solve_cone_program
from ._relu_conic_program import Layout, program
from ._relu_dual import cones_of, lower_bound
from ._relu_losses import Loss
from ._relu_network import ReLUNetwork, weights_of

_SOLVED, _FAILED, _ZERO = 1, 2, 3
_SCS_ITERATIONS = 20_000
FAILED = Outcome(
    "solver_failed",
    "The conic solver gave up; try solver='scs', a larger tol or another method.",
)
ONLY_ZERO = Outcome(
    "only_zero",
    "The zero network is the answer: the radius or the decay is too large for more.",
)


@dataclass
class ConicState:
    """The vectors v_i, w_i so far, (2P, d); margins and theta, (n,)."""

    vectors: np.ndarray
    margins: np.ndarray
    theta: np.ndarray
    cost: float
    change: float
    turns: int
    code: int


@final
class ConicSolver(AbstractMethod):
    """Clarabel or SCS on the whole program; extra `cones`.

    One conic program for the squared loss and the hinge. The logistic loss, which is no
    quadratic, by Newton steps: one such program each.

    **Options:**

    - `solver`: "clarabel" or "scs". - `tol`: of the solver, > 0.
    - `max_iterations`, `time_limit`: of each call; None: no limit in time.
    - `fallback`: SCS takes over where Clarabel fails.
    """

    host: ClassVar[bool] = True
    solver: str = eqx.field(static=True, default="clarabel")
    tol: float = 1e-9
    max_iterations: int = eqx.field(static=True, default=200)
    time_limit: float | None = None
    fallback: bool = eqx.field(static=True, default=True)

    def validate(self) -> None:
        known, expected = self.solver in SOLVERS, " | ".join(SOLVERS)
        require(self, "solver", known, expected=expected, got=self.solver)
        require(self, "tol", self.tol > 0, expected="> 0", got=self.tol)
        count = self.max_iterations
        require(self, "max_iterations", count >= 1, expected=">= 1", got=count)

    def init(self, problem: Any, key: Any) -> ConicState:
        del key
        n, d = np.shape(problem.inputs)
        blocks = 2 * len(problem.patterns)
        zero = np.zeros((blocks, d))
        y = np.asarray(problem.targets)
        theta = _loss(problem).dual_point(np.zeros(n), y)
        cost = _cost(problem, zero, np.zeros(n))
        return ConicState(zero, np.zeros(n), theta, cost, np.inf, 0, 0)

    def step(self, problem: Any, state: ConicState) -> ConicState:
        layout = Layout.of(problem)
        found = self._solved(program(problem, layout, state.margins))
        if not np.all(np.isfinite(found.x)) or found.status.endswith("infeasible"):
            state.code = _FAILED
            return state
        u, margins = layout.vectors(found.x), layout.margins(found.x)
        theta = layout.theta(found.dual)
        if problem.loss != "logistic":
            cost = _cost(problem, u, margins)
            code = _SOLVED if found.usable else _FAILED
            return ConicState(u, margins, theta, cost, 0.0, 1, code)
        return self._newton(problem, state, u, margins)

    def _newton(self, problem, state, u, margins) -> ConicState:
        """Part of the way to the model's minimiser; feasible, as the set is convex."""
        length = 1.0
        while True:
            v = state.vectors + length * (u - state.vectors)
            m = state.margins + length * (margins - state.margins)
            cost = _cost(problem, v, m)
            if cost <= state.cost or length < 1e-6:
                break
            length *= 0.5
        change = (state.cost - cost) / max(cost, 1e-300)
        turns = state.turns + 1
        over = change <= 1e-10 or turns >= 60
        y = np.asarray(problem.targets)
        theta = _loss(problem).dual_point(y * m, y)
        return ConicState(v, m, theta, cost, change, turns, _SOLVED if over else 0)

    def _solved(self, cone_program: Any) -> ConeAnswer:
        options = {"tol": float(self.tol), "time_limit": self.time_limit}
        iterations = self.max_iterations
        if self.solver == "scs":
            iterations = max(iterations, _SCS_ITERATIONS)
        options |= {"max_iterations": iterations, "solver": self.solver}
        found = solve_cone_program(cone_program, **options)
        if found.usable or self.solver == "scs" or not self.fallback:
            return found
        options |= {"max_iterations": _SCS_ITERATIONS, "solver": "scs"}
        options["tol"] = max(float(self.tol), 1e-8)
        again = solve_cone_program(cone_program, **options)
        return again if again.usable else found

    def done(self, problem: Any, state: ConicState) -> bool:
        return state.code > 0

    def finish(self, problem: Any, state: ConicState) -> ReLUNetwork:
        blocks = len(state.vectors)
        sign = np.where(np.arange(blocks) < blocks // 2, 1.0, -1.0)
        if hasattr(problem, "radius"):
            hidden, output = weights_of(state.vectors, sign)
            return problem.network(hidden[output != 0], output[output != 0], None)
        cones = cones_of(problem.inputs, problem.patterns)
        live = np.flatnonzero(np.linalg.norm(state.vectors, axis=1) > 1e-7)
        vectors = np.zeros_like(state.vectors)
        vectors[live] = cones.project(live, state.vectors[live]).point
        hidden, output = weights_of(vectors, sign)
        used = output != 0
        theta = self._better_dual(problem, state, hidden[used], output[used])
        return problem.network(hidden[used], output[used], theta)

    def _better_dual(self, problem, state, hidden, output) -> np.ndarray:
        """The solver's multipliers, or the network's residuals."""
        loss, y = _loss(problem), np.asarray(problem.targets)
        patterns = np.asarray(problem.patterns)
        own = loss.dual_point(problem.predictions(hidden, output), y)
        duals = [loss.admissible(state.theta, y), own]
        cones = cones_of(problem.inputs, patterns)
        decay = float(problem.decay)
        values = [
            lower_bound(loss, y, decay, cones, patterns, theta).value for theta in duals
        ]
        return loss.share(y.size) * duals[int(np.argmax(values))]

    def observe(self, problem: Any, state: ConicState) -> dict[str, Any]:
        return {"objective": state.cost, "change": state.change}

    def outcome(self, problem: Any, state: ConicState) -> Outcome:
        if state.code == _FAILED:
            return FAILED
        if not np.any(np.linalg.norm(state.vectors, axis=1) > 1e-6):
            return ONLY_ZERO
        return CONVERGED

    def citations(self) -> tuple[str, ...]:
        return ("bai2023efficient", "goulart2024clarabel")

    def to_arrays(self, state: ConicState) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in vars(state).items()}

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> ConicState:
        found: dict[str, Any] = {
            k: a.copy() if a.ndim else a.item() for k, a in arrays.items()
        }
        return ConicState(**found)


def _loss(problem: Any) -> Loss:
    return Loss(problem.loss, float(problem.logit_scale))


def _cost(problem: Any, vectors: np.ndarray, margins: np.ndarray) -> float:
    """The program's objective; margins: y f - radius |Q|, f - y, or |f - y| + .."""
    y, loss = np.asarray(problem.targets), _loss(problem)
    size = float(np.sum(np.linalg.norm(vectors, axis=1)))
    if problem.loss == "squared":
        value = 0.5 * float(margins @ margins)
    else:
        value = float(loss.value(y * margins, y))
    return loss.share(y.size) * value + float(problem.weight_decay) * size
