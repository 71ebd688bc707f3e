"""What all methods for equality constraints share: when they stop, what they return."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool

from ..core import AbstractMethod
from ._constrained import ConstrainedPoint

RUNNING = 0  # of a state's `status`; each kind of method has its own codes above


class AbstractConstrainedMethod(AbstractMethod):
    """A method whose state has `x`, `multipliers`, `at.residual` and `status`.

    **Options of every such method:** `atol`: the Euclidean KKT residual at which it
    stops; None is half the problem's `kkt_tol`.
    """

    atol: eqx.AbstractVar[Any]

    def stopping(self, problem: Any) -> Any:
        """The Euclidean KKT residual at which the method stops."""
        return 0.5 * problem.kkt_tol if self.atol is None else self.atol

    def done(self, problem: Any, state: Any) -> Bool[Array, ""]:
        # "not above", so that NaN stops the loop.
        reached = ~(state.at.residual > self.stopping(problem))
        return reached | (state.status != RUNNING)

    def finish(self, problem: Any, state: Any) -> ConstrainedPoint:
        del problem
        return ConstrainedPoint(state.x, state.multipliers)
