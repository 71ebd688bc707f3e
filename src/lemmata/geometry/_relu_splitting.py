"""What methods of alternating directions share: when they look, what they return."""

import abc
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import CONVERGED, AbstractMethod, Claim, Outcome, Withheld, require
from ._relu_admm_state import FLAT, FLAT_OUTCOME, due, network_of
from ._relu_network import ReLUNetwork

_RATE = "geometry.residual_decay/1"
_FIT = 0.8  # r^2 asked of the tail
_ROWS = 20  # of the trace, below which no rate is claimed


class AbstractSplitting(AbstractMethod):
    """A method on a state's `split`, looked at every `look_every` steps."""

    look_every: eqx.AbstractVar[int]

    def check_numbers(self, *ranges: tuple[str, float, float]) -> None:
        """Options within open ranges, (name, low, high), and `look_every` >= 1."""
        for name, low, high in ranges:
            value = getattr(self, name)
            expected = f"a number in ({low}, {high})"
            require(self, name, low < value < high, expected=expected, got=value)
        every = self.look_every
        good = isinstance(every, int) and every >= 1
        require(self, "look_every", good, expected="an integer >= 1", got=every)

    def done(self, problem: Any, state: Any) -> Array:
        return due(state.split, self.look_every)

    def finish(self, problem: Any, state: Any) -> ReLUNetwork:
        return network_of(problem, state.split)

    def observe(self, problem: Any, state: Any) -> dict[str, Array]:
        at, share = state.split, problem.criterion.share(problem.inputs.shape[0])
        return {
            "residual": jnp.maximum(at.primal, at.dual),
            "objective": share * at.best.cost,
            "dual_value": share * at.best.lower,
        } | self.noted(state)

    @abc.abstractmethod
    def noted(self, state: Any) -> dict[str, Array]:
        """What else is recorded of each step."""

    def outcome(self, problem: Any, state: Any) -> Outcome:
        return FLAT_OUTCOME if int(state.split.best.code) == FLAT else CONVERGED

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Mapping[str, np.ndarray]
    ) -> tuple[Claim | Withheld, ...]:
        """That residuals fall along a line in the logarithm, if there are enough."""
        residual = np.asarray(trace.get("residual", np.zeros(0)), np.float64)
        residual = residual[residual.size // 2 :]
        if residual.size < _ROWS or not np.all(np.isfinite(residual) & (residual > 0)):
            return (Withheld(_RATE, f"fewer than {_ROWS} residuals above zero"),)
        return (Claim(_RATE, _FIT, {"residual": residual}),)

    def citations(self) -> tuple[str, ...]:
        return ("bai2023efficient",)
