"""Alternating directions on the convex program.

Source: Bai, Gautam and Sojoudi (2023), algorithm 3.1.
"""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._relu_admm_state import (
    Split,
    damped,
    look,
    split_prox,
    split_start,
)
from ._relu_linear import (
    AbstractLinearSolver,
    DenseCholesky,
    Factor,
    Woodbury,
    margins,
    pull,
    unmargins,
)
from ._relu_splitting import AbstractSplitting


class ADMMState(eqx.Module):
    split: Split
    factor: Factor


@final
class ADMM(AbstractSplitting):
    """Many cheap steps; a look at the certified gap every `look_every` of them.

    The squared loss as in the source; hinge and logistic with one more copy, F u = f.

    **Options:**

    - `penalty`: rho, > 0. - `dual_step`: of the scaled duals, in (0, 1.7).
    - `relaxation`: over-relaxation, in [1, 2); 1: none.
    - `balance`: at each look, rho changes where one residual is ten times the other.
    - `linear_solver`: `Woodbury()`, `DenseCholesky()`, or None: the smaller system.
    - `look_every`: steps between two looks, >= 1.
    """

    penalty: Any = 1.0
    dual_step: Any = 1.0
    relaxation: Any = 1.0
    balance: bool = eqx.field(static=True, default=False)
    linear_solver: AbstractLinearSolver | None = None
    look_every: int = eqx.field(static=True, default=50)

    def validate(self) -> None:
        self.check_numbers(
            ("penalty", 0, np.inf), ("dual_step", 0, 1.7), ("relaxation", 0.999, 2)
        )

    def init(self, problem: Any, key: Any) -> ADMMState:
        del key
        split = split_start(problem, self.penalty)
        return ADMMState(split, self._factor(problem, split.penalty))

    def _factor(self, problem: Any, penalty: Any) -> Factor:
        n, d = problem.inputs.shape
        p = problem.patterns.shape[0]
        solver = self.linear_solver
        if solver is None:
            solver = DenseCholesky() if 2 * p * d < n else Woodbury()
        weight = 1.0 / penalty if problem.loss == "squared" else jnp.asarray(1.0)
        return solver.factor(problem.inputs, problem.patterns, weight)

    def step(self, problem: Any, state: ADMMState) -> ADMMState:
        at, x, d = state.split, problem.inputs, problem.patterns
        aim = at.f - at.pi
        if problem.loss == "squared":
            aim = problem.targets
        right = state.factor.weight * pull(x, d, aim)
        right = right + at.z - at.lam + unmargins(x, d, at.s - at.nu)
        u = state.factor.solve(x, d, right)
        moved = split_prox(problem, at, u, margins(x, d, u), self.relaxation)
        return ADMMState(damped(at, moved, self.dual_step), state.factor)

    def restage(self, problem: Any, state: ADMMState) -> ADMMState | None:
        """The look; None once the gap is reached."""
        if int(state.split.best.code) or not np.isfinite(state.split.primal):
            return None
        best, split = look(problem, state.split)
        state = ADMMState(split, state.factor)
        if self.balance and not int(best.code):
            state = self._balanced(problem, state)
        return state

    def _balanced(self, problem: Any, state: ADMMState) -> ADMMState:
        at = state.split
        ratio = float(at.primal) / max(float(at.dual), 1e-300)
        change = 2.0 if ratio > 10 else 0.5 if ratio < 0.1 else 1.0
        if change == 1.0:
            return state
        split = eqx.tree_at(
            lambda q: (q.penalty, q.lam, q.nu, q.pi),
            at,
            (at.penalty * change, at.lam / change, at.nu / change, at.pi / change),
        )
        return ADMMState(split, self._factor(problem, split.penalty))

    def noted(self, state: ADMMState) -> dict[str, Array]:
        return {"penalty": state.split.penalty}
