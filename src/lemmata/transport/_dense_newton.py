"""Newton's method on the dual with the whole Hessian.

Source: Brauer, Clason, Lorenz and Wirth, OPT workshop at NeurIPS 2017
(arXiv 1710.06635). Differences: Cholesky factorisation of the Schur complement instead
of conjugate gradients, and a Sinkhorn sweep before every step.
"""

from typing import Any, final

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ..core import AbstractMethod, Claim, Outcome, Withheld, require
from ._annealing import AbstractAnnealing, OnStall, schedule_of
from ._cost import Real
from ._direction import cholesky_direction
from ._newton import advance, finished
from ._newton_report import check_size, observed, outcome_of
from ._newton_state import NewtonState, Options, begin, scalings_at
from ._plan import TransportPlan
from ._trace_claims import trace_claims
from ._values import transport_plan


@final
class DenseNewton(AbstractMethod):
    """Sinkhorn sweeps, then Newton steps that cost O(n m min(n, m)) each.

    The baseline for `SinkhornNewton`, and a good choice at large epsilon, where no
    entry of the plan is negligible, up to a side of about a thousand.

    **Options:** `n_warm`, `n_newton`, `interleave`, `annealing`, `atol`, as for
    `SinkhornNewton`.
    """

    n_warm: int = 20
    n_newton: int = 100
    interleave: bool = True
    annealing: AbstractAnnealing | None = OnStall()
    atol: Real = 1e-10

    def validate(self) -> None:
        for field in ("n_warm", "n_newton"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)
        require(self, "atol", self.atol > 0, expected="> 0", got=self.atol)

    def _options(self) -> Options:
        return Options(
            self.n_warm,
            self.n_newton,
            self.interleave,
            schedule_of(self.annealing),
            isinstance(self.annealing, OnStall),
            self.atol,
        )

    def init(self, problem: Any, key: Any) -> NewtonState:
        del key  # deterministic
        n, m = check_size(problem)
        return begin(problem, self._options(), jnp.zeros(n), jnp.zeros(m))

    def warm_start(self, problem: Any, value: TransportPlan, key: Any) -> NewtonState:
        del key
        check_size(problem)
        x, y = value.row_potential, value.column_potential
        return begin(problem, self._options(), jnp.asarray(x), jnp.asarray(y))

    def step(self, problem: Any, state: NewtonState) -> NewtonState:
        return advance(problem, self._options(), state, cholesky_direction)

    def done(self, problem: Any, state: NewtonState) -> Bool[Array, ""]:
        del problem
        return finished(self._options(), state)

    def finish(self, problem: Any, state: NewtonState) -> TransportPlan:
        return transport_plan(problem, state.x, state.y)

    def observe(self, problem: Any, state: NewtonState) -> dict[str, Array]:
        eta = scalings_at(problem, self._options(), state.level).eta
        return observed(problem, state, eta)

    def outcome(self, problem: Any, state: NewtonState) -> Outcome:
        del problem
        return outcome_of(state, self.annealing, sparse=False)

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Any
    ) -> tuple[Claim | Withheld, ...]:
        del problem, value, state
        return trace_claims(trace, float(self.atol))

    def citations(self) -> tuple[str, ...]:
        return ("brauer2017sinkhornnewton", "cuturi2013sinkhorn")
