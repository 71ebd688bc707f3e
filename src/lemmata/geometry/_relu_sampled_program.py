"""A convex program over sampled hidden units: a lasso, and what its dual is worth.

Source: Bai, Gautam and Sojoudi (2023), section 4; Campi and Garatti (2008).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import numpy as np

from lemmata_checker.rules.geometry_relu_run import scenario_level

from ..core import AbstractMethod, Claim, Outcome, Withheld, require
from ._relu_dual import scaled
from ._relu_losses import Loss
from ._relu_network import ReLUNetwork
from ._relu_newton_loop import (
    advance,
    beginning,
    observed,
    outcome_of,
    over,
    restored,
    stored,
)
from ._relu_newton_state import NewtonState, Proximal, Terms

_SCENARIO = "geometry.scenario_violation/1"


class RayTerms(Terms):
    """a in R^N, penalty decay |a|_1, predictions H a, H = relu(X U)."""

    def __init__(self, problem: Any, directions: np.ndarray):
        self.directions = directions
        self.hidden = np.maximum(np.asarray(problem.inputs) @ directions.T, 0.0)
        self.loss = Loss(problem.loss, float(problem.logit_scale))
        self.targets = np.asarray(problem.targets)
        self.decay = float(problem.decay)
        self.shape = (len(directions), 1)

    def proximal(self, center: np.ndarray, theta: np.ndarray, step: float) -> Proximal:
        z = center[:, 0] + step * (theta @ self.hidden)
        a = np.sign(z) * np.maximum(np.abs(z) - step * self.decay, 0.0)
        live = np.flatnonzero(a)
        columns = partial(self.hidden.__getitem__, (slice(None), live))
        image = self.hidden[:, live] @ a[live]
        return Proximal(live, a[live, None], image, columns)

    def bound(self, theta: np.ndarray) -> float:
        largest = float(np.max(np.abs(theta @ self.hidden)))
        return scaled(self.loss, self.targets, theta, self.decay, largest)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"directions": self.directions}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        del arrays  # the directions come from the key


@final
class SampledConvexProgram(AbstractMethod):
    """min over a of loss(relu(X U) a, y) + decay |a|_1, u_i uniform on the sphere.

    Its gap is that of the sampled program. The network's own gap, over patterns or over
    all networks, is wider and shrinks as the features grow.

    **Options:**

    - `features`: N, >= 1.
    - `delta`: of the claim about unseen directions: it fails with this probability.
    - `first_step`, `growth`, `accuracy`: as of `SemismoothNewton`.
    """

    host: ClassVar[bool] = True
    features: int = eqx.field(static=True, default=1000)
    delta: float = 1e-3
    first_step: float = 1.0
    growth: float = 5.0
    accuracy: float = 0.3

    def validate(self) -> None:
        whole = isinstance(self.features, int) and self.features >= 1
        expected = "an integer >= 1"
        require(self, "features", whole, expected=expected, got=self.features)
        inside = 0 < self.delta < 1
        require(self, "delta", inside, expected="a number in (0, 1)", got=self.delta)

    def init(self, problem: Any, key: Any) -> NewtonState:
        d = np.asarray(problem.inputs).shape[1]
        words = np.asarray(jax.random.key_data(key)).reshape(-1)
        rng = np.random.default_rng(words.tolist())
        u = rng.normal(size=(self.features, d))
        terms = RayTerms(problem, u / np.linalg.norm(u, axis=1)[:, None])
        mean = float(np.mean(np.sum(terms.hidden**2, axis=0)))
        return beginning(terms, float(self.first_step) * 100.0 / max(mean, 1e-300))

    def step(self, problem: Any, state: NewtonState) -> NewtonState:
        growth, accuracy = float(self.growth), float(self.accuracy)
        return advance(state, float(problem.gap_tol), growth, accuracy)

    def done(self, problem: Any, state: NewtonState) -> bool:
        return over(state)

    def finish(self, problem: Any, state: NewtonState) -> ReLUNetwork:
        a = state.best[:, 0]
        live = np.flatnonzero(a)
        root = np.sqrt(np.abs(a[live]))
        assert isinstance(state.terms, RayTerms)
        hidden = state.terms.directions[live] * root[:, None]
        theta = state.terms.share * state.best_theta
        return problem.network(hidden, np.sign(a[live]) * root, theta)

    def observe(self, problem: Any, state: NewtonState) -> dict[str, Any]:
        return observed(state)

    def outcome(self, problem: Any, state: NewtonState) -> Outcome:
        return outcome_of(state)

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Mapping[str, np.ndarray]
    ) -> tuple[Claim | Withheld, ...]:
        n = np.asarray(problem.targets).size
        level = scenario_level(self.features, n, float(self.delta))
        if not level < 1:
            reason = f"{self.features} features for {n} samples: more are needed"
            return (Withheld(_SCENARIO, reason),)
        parameters = {"features": self.features, "delta": float(self.delta)}
        return (Claim(_SCENARIO, level, {}, parameters),)

    def citations(self) -> tuple[str, ...]:
        return ("bai2023efficient", "campi2008exact")

    def to_arrays(self, state: NewtonState) -> dict[str, np.ndarray]:
        return stored(state)

    def from_arrays(
        self, problem: Any, arrays: Mapping[str, np.ndarray]
    ) -> NewtonState:
        terms = RayTerms(problem, arrays["directions"].copy())
        return restored(beginning(terms, 1.0), arrays)
