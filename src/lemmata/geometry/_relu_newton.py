"""Proximal point method on the convex program, semismooth Newton inside. The default.

Each outer step moves u to the minimiser of the program plus |u - c|^2 / (2 sigma); its
dual is smooth and convex in theta (n,) alone, and Newton's method on it sees only the
blocks and rows that are active. Ours, after Li, Sun and Toh, SIAM J. Optimization 28
(2018), for the lasso; cones and their projections are what the ReLU adds.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np

from ..core import AbstractMethod, Outcome, require
from ._relu_network import ReLUNetwork, weights_of
from ._relu_newton_loop import (
    advance,
    beginning,
    inside,
    observed,
    outcome_of,
    over,
    restored,
    stored,
)
from ._relu_newton_state import ConeTerms, NewtonState


@final
class SemismoothNewton(AbstractMethod):
    """To a certified gap in tens of Newton steps, each at most one n x n system.

    **Options:**

    - `first_step`: sigma of the first outer step, > 0, in units of 30 / mean |x_k|^2.
    - `growth`: of sigma from one outer step to the next, > 1.
    - `accuracy`: inner gradient at which an outer step ends, over |u - c| / sigma; in
      (0, 1).
    """

    host: ClassVar[bool] = True
    first_step: float = 1.0
    growth: float = 5.0
    accuracy: float = 0.3

    def validate(self) -> None:
        for name, low, high in (
            ("first_step", 0, np.inf),
            ("growth", 1, np.inf),
            ("accuracy", 0, 1),
        ):
            value = getattr(self, name)
            expected = f"a number in ({low}, {high})"
            require(self, name, low < value < high, expected=expected, got=value)

    def init(self, problem: Any, key: Any) -> NewtonState:
        del key
        mean = float(np.mean(np.sum(np.asarray(problem.inputs) ** 2, axis=1)))
        step = float(self.first_step) * 30.0 / max(mean, 1e-300)
        return beginning(ConeTerms(problem), step)

    def warm_start(self, problem: Any, value: ReLUNetwork, key: Any) -> NewtonState:
        state = self.init(problem, key)
        if value.dual is not None:
            state.theta = inside(state.terms, np.asarray(value.dual))
        return state

    def step(self, problem: Any, state: NewtonState) -> NewtonState:
        growth, accuracy = float(self.growth), float(self.accuracy)
        return advance(state, float(problem.gap_tol), growth, accuracy)

    def done(self, problem: Any, state: NewtonState) -> bool:
        return over(state)

    def finish(self, problem: Any, state: NewtonState) -> ReLUNetwork:
        count = len(state.best) // 2
        sign = np.concatenate([np.ones(count), -np.ones(count)])
        hidden, output = weights_of(state.best, sign)
        used = output != 0
        theta = state.terms.share * state.best_theta
        return problem.network(hidden[used], output[used], theta)

    def observe(self, problem: Any, state: NewtonState) -> dict[str, Any]:
        return observed(state)

    def outcome(self, problem: Any, state: NewtonState) -> Outcome:
        return outcome_of(state)

    def citations(self) -> tuple[str, ...]:
        return ("bai2023efficient", "li2018highly")

    def to_arrays(self, state: NewtonState) -> dict[str, np.ndarray]:
        return stored(state)

    def from_arrays(
        self, problem: Any, arrays: Mapping[str, np.ndarray]
    ) -> NewtonState:
        return restored(self.init(problem, None), arrays)
