"""The nuclear-norm attention SVM by splitting, then by Newton's method on its face.

min ||W||_* + [s >= b] with W = V and s = A V: soft-thresholded singular values, clipped
margins, one linear system with a matrix that never changes.

Source: Boyd et al., Distributed Optimization and Statistical Learning via the
Alternating Direction Method of Multipliers (2011), sections 3 and 5.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, AbstractMethod, InvalidMethod, Outcome, require
from ._attention_active_set import INFEASIBLE, STALLED, finished
from ._attention_host import farkas
from ._attention_svm import AttentionSVM, Real
from ._attention_value import AttentionWeights
from ._nuclear_polish import polished
from ._nuclear_reduction import Reduced, worth

_SWITCH = 1e-2  # gap below which the face may be known
_LAST = 8  # visits to the host at most
_DOUBT = 200  # steps without any separation after which the host looks for a reason
_CHANGES = 20  # of rho, so that the iteration converges in the end


class Splitting(eqx.Module):
    """W, s and their scaled multipliers; rho weighs both."""

    matrix: Float64[Array, "p q"]
    margins: Float64[Array, "n t"]
    matrix_dual: Float64[Array, "p q"]
    margin_dual: Float64[Array, "n t"]
    rho: Float64[Array, ""]
    changes: Int64[Array, ""]


class NuclearState(eqx.Module):
    """The splitting, the reduction, the best answer so far and its gap.

    `stage`: visits to the host; -1 once the problem was shown to be infeasible.
    """

    split: Splitting
    reduced: Reduced
    factor: Float64[Array, "k k"]
    matrix: Float64[Array, "p q"]
    multipliers: Float64[Array, "n t"]
    gap: Float64[Array, ""]
    wanted: Float64[Array, ""]
    rank: Int64[Array, ""]
    stalled: Int64[Array, ""]
    stage: Int64[Array, ""]


def shrink(matrix: Any, level: Any) -> Any:
    """Singular values less `level`, none below zero."""
    left, values, rows = jnp.linalg.svd(matrix, full_matrices=False)
    return (left * jnp.maximum(values - level, 0.0)[None, :]) @ rows


@final
class NuclearADMM(AbstractMethod):
    """Alternating directions; the host finishes by Newton's method where it can.

    One step is `check_every` iterations and a look at the duality gap. Below a gap of
    1e-2 the face (rank and support) is guessed and solved for; where the guess is
    wrong, the iteration goes on.

    **Options:**

    - `relaxation`: over-relaxation in (0, 2).
    - `check_every`: iterations in one step, >= 1.
    - `polish`: whether the host tries to finish.
    - `patience`: steps without a smaller gap after which the run is called stalled.
    """

    relaxation: Real = 1.6
    check_every: int = 25
    polish: bool = True
    patience: int = 2000

    def validate(self) -> None:
        good = (self.relaxation > 0) & (self.relaxation < 2)
        require(self, "relaxation", good, expected="in (0, 2)", got=self.relaxation)
        for field in ("check_every", "patience"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)

    def init(self, problem: AttentionSVM, key: Any) -> NuclearState:
        del key  # deterministic
        if problem.norm != "nuclear":
            expected = 'a problem with norm="nuclear"; use DualActiveSet()'
            raise InvalidMethod("NuclearADMM", expected, problem.norm)
        reduced = Reduced.of(problem.constraints())
        count, shape = reduced.constraints.count, reduced.bound.shape
        system = jnp.eye(count) + reduced.constraints.gram()
        factor = jax.scipy.linalg.cho_factor(system, lower=True)[0]
        solved = jax.scipy.linalg.cho_solve((factor, True), reduced.bound.reshape(-1))
        start = reduced.constraints.combine(solved.reshape(shape))
        size = jnp.sqrt(jnp.sum(start * start))
        zeros, zero = jnp.zeros(shape), jnp.asarray(0, dtype=jnp.int64)
        split = Splitting(
            start, reduced.bound, jnp.zeros_like(start), zeros, 1.0 / size, zero
        )
        first = _SWITCH if self.polish else 0.0
        infinite = jnp.asarray(jnp.inf)
        wanted = jnp.maximum(0.25 * problem.gap_tol, first)
        return NuclearState(
            split, reduced, factor, start, zeros, infinite, wanted, zero, zero, zero
        )

    def step(self, problem: AttentionSVM, state: NuclearState) -> NuclearState:
        def again(_: Any, carry: Any) -> Any:
            split, _ = carry
            return self._iterate(state, split), split

        split, before = jax.lax.fori_loop(
            0, self.check_every, again, (state.split, state.split)
        )
        multipliers = jnp.maximum(-split.rho * split.margin_dual, 0.0)
        gap, _ = worth(state.reduced, split.matrix, multipliers)
        better = gap < state.gap
        values = jnp.linalg.svd(split.matrix, compute_uv=False)
        return eqx.tree_at(
            lambda s: (s.split, s.matrix, s.multipliers, s.gap, s.rank, s.stalled),
            state,
            (
                self._balanced(split, before),
                jnp.where(better, split.matrix, state.matrix),
                jnp.where(better, multipliers, state.multipliers),
                jnp.minimum(gap, state.gap),
                jnp.sum(values > 1e-9 * values[0]),
                jnp.where(better, 0, state.stalled + 1),
            ),
        )

    def _iterate(self, state: NuclearState, split: Splitting) -> Splitting:
        a, active = state.reduced.constraints, state.reduced.active
        base = split.matrix - split.matrix_dual
        wanted = split.margins - split.margin_dual
        defect = jnp.where(active, wanted - a.margins(base), 0.0)
        solved = jax.scipy.linalg.cho_solve((state.factor, True), defect.reshape(-1))
        v = base + a.combine(solved.reshape(active.shape))
        over = self.relaxation
        matrix_hat = over * v + (1 - over) * split.matrix
        margin_hat = over * a.margins(v) + (1 - over) * split.margins
        matrix = shrink(matrix_hat + split.matrix_dual, 1 / split.rho)
        margins = jnp.maximum(margin_hat + split.margin_dual, state.reduced.bound)
        margins = jnp.where(active, margins, 0.0)
        return Splitting(
            matrix,
            margins,
            split.matrix_dual + matrix_hat - matrix,
            jnp.where(active, split.margin_dual + margin_hat - margins, 0.0),
            split.rho,
            split.changes,
        )

    def _balanced(self, split: Splitting, before: Splitting) -> Splitting:
        """Moves rho up where the constraints lag, down where the multipliers do."""

        def size(*parts: Any) -> Any:
            return jnp.sqrt(sum(jnp.sum(part * part) for part in parts))

        lag = size(
            split.matrix_dual - before.matrix_dual,
            split.margin_dual - before.margin_dual,
        )
        drift = size(split.matrix - before.matrix, split.margins - before.margins)
        # both relative to what they change
        lag = lag * size(split.matrix_dual, split.margin_dual)
        drift = drift * size(split.matrix, split.margins)
        factor = jnp.where(
            lag > 4 * drift, 1.5, jnp.where(drift > 4 * lag, 1 / 1.5, 1.0)
        )
        factor = jnp.where(split.changes < _CHANGES, factor, 1.0)
        return Splitting(
            split.matrix,
            split.margins,
            split.matrix_dual / factor,
            split.margin_dual / factor,
            split.rho * factor,
            split.changes + (factor != 1.0),
        )

    def done(self, problem: AttentionSVM, state: NuclearState) -> Bool[Array, ""]:
        del problem
        over = (state.gap <= state.wanted) | (state.stage < 0)
        over |= jnp.isinf(state.gap) & (state.stage == 0) & (state.stalled >= _DOUBT)
        return over | (state.stalled >= self.patience) | jnp.isnan(state.split.rho)

    def restage(
        self, problem: AttentionSVM, state: NuclearState
    ) -> NuclearState | None:
        """On the host: finishes by Newton's method, or looks for a Farkas witness."""
        stage, enough = int(state.stage), 0.25 * float(problem.gap_tol)
        if stage < 0 or stage > _LAST or float(state.gap) <= enough:
            return None
        if not np.isfinite(float(state.gap)) or int(state.stalled) >= self.patience:
            return self._farkas(problem, state, stage)
        if not self.polish:
            return None
        matrix, multipliers, gap = polished(
            state.reduced, np.asarray(state.matrix), np.asarray(state.multipliers)
        )
        if gap <= enough:
            wanted = enough
        else:  # go on; come back when the face is clearer
            matrix, multipliers, gap = state.matrix, state.multipliers, state.gap
            wanted = max(enough, 0.1 * float(state.wanted))
            wanted = enough if stage == _LAST else wanted
        return eqx.tree_at(
            lambda s: (s.matrix, s.multipliers, s.gap, s.wanted, s.stage),
            state,
            (
                jnp.asarray(matrix),
                jnp.asarray(multipliers),
                jnp.asarray(gap, dtype=jnp.float64),
                jnp.asarray(wanted, dtype=jnp.float64),
                jnp.asarray(stage + 1, dtype=jnp.int64),
            ),
        )

    def _farkas(
        self, problem: AttentionSVM, state: NuclearState, stage: int
    ) -> NuclearState | None:
        found = farkas(problem)
        if found is None:
            if stage > 0 or int(state.stalled) >= self.patience:
                return None
            return eqx.tree_at(
                lambda s: s.stage, state, jnp.asarray(1, dtype=jnp.int64)
            )
        active = np.asarray(state.reduced.active)
        bound = np.asarray(state.reduced.bound)
        unit = np.where(active, found / np.where(active, bound, 1.0), 0.0)
        return eqx.tree_at(
            lambda s: (s.multipliers, s.stage),
            state,
            (jnp.asarray(unit), jnp.asarray(-1, dtype=jnp.int64)),
        )

    def finish(self, problem: AttentionSVM, state: NuclearState) -> AttentionWeights:
        weights = state.reduced.lift(state.matrix)
        weights = jnp.where(state.stage < 0, 0.0, 1.0) * weights
        multipliers = state.multipliers * state.reduced.bound
        return finished(problem, problem.constraints(), weights, multipliers)

    def observe(self, problem: AttentionSVM, state: NuclearState) -> dict[str, Array]:
        del problem
        gap = jnp.minimum(state.gap, 1e300)
        return {"gap": gap, "rank": state.rank, "rho": state.split.rho}

    def outcome(self, problem: AttentionSVM, state: NuclearState) -> Outcome:
        if int(state.stage) < 0:
            return INFEASIBLE
        return CONVERGED if float(state.gap) <= float(problem.gap_tol) else STALLED

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers", "boyd2011distributed")
