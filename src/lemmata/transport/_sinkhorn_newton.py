"""Sinkhorn-Newton with a sparsified Hessian.

Source: Tang et al., ICLR 2024 (arXiv 2401.12253), algorithm 1. Differences: (1) a
Sinkhorn sweep before every Newton step; (2) the kept share follows the error, see
`TailMass`; (3) inner systems on the Schur complement; (4) annealing where the Newton
stage stalls.
"""

from typing import Any, final

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ..core import AbstractMethod, Claim, Outcome, Withheld, require
from ._annealing import AbstractAnnealing, OnStall, schedule_of
from ._cost import Real
from ._direction import Direction, Tangent, krylov_direction
from ._newton import advance, finished
from ._newton_report import check_size, observed, outcome_of
from ._newton_state import NewtonState, Options, begin, scalings_at
from ._plan import TransportPlan
from ._sparsify import AbstractSparsity, TailMass
from ._trace_claims import trace_claims
from ._values import transport_plan


@final
class SinkhornNewton(AbstractMethod):
    """Sinkhorn sweeps, then Newton steps on the dual with a sparse Hessian.

    Stores P: 8 n m bytes a few times over, n m <= 2^26. Beyond, use `Sinkhorn`.

    **Options:**

    - `n_warm`: sweeps before the first Newton step, at every eta.
    - `n_newton`: Newton steps after which a stage gives up.
    - `sparsify`: `TailMass()` (superlinear) or `FixedSparsity(density)` (the paper's).
    - `interleave`: a sweep before every Newton step.
    - `annealing`: `OnStall()`, `Geometric()` from the start, or None.
    - `atol`: stops at this L1 marginal error, or earlier if the problem's `gap_tol`
      asks for less.
    - `cg_max_steps`: bound on the inner iterations of a step; None: 5 (n + m).
    - `widest`: entries of a kept row or column up to which it is stored (32 at least);
      where a longer one occurs, products with all of P are cheaper and used instead.
      None: a tenth of the shorter side.
    """

    n_warm: int = 20
    n_newton: int = 100
    sparsify: AbstractSparsity = TailMass()
    interleave: bool = True
    annealing: AbstractAnnealing | None = OnStall()
    atol: Real = 1e-10
    cg_max_steps: int | None = None
    widest: int | None = None

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
        def solver(tangent: Tangent) -> Direction:
            return krylov_direction(
                tangent, self.sparsify, self.widest, self.cg_max_steps
            )

        return advance(problem, self._options(), state, solver)

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
        return outcome_of(state, self.annealing)

    def claims(
        self, problem: Any, value: Any, state: Any, trace: Any
    ) -> tuple[Claim | Withheld, ...]:
        del problem, value, state
        meant = isinstance(self.sparsify, TailMass)
        return trace_claims(trace, float(self.atol) if meant else None)

    def citations(self) -> tuple[str, ...]:
        return ("tang2024sinkhornnewton", "cuturi2013sinkhorn")
