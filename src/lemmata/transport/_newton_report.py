"""What a Newton run records, and why it stopped."""

from typing import Any

from jaxtyping import Array

from ..core import CONVERGED, InvalidProblem, Outcome
from ._annealing import AbstractAnnealing, Geometric, schedule_of
from ._newton_state import NewtonState

LARGEST_MATRIX = 2**26  # entries of P: 512 MiB, a few of which are alive at a time
_SHARE = 0.3  # of entries kept, above which sparsity is of no use


def check_size(problem: Any) -> tuple[int, int]:
    """(n, m), if a matrix of that shape may be stored."""
    n, m = problem.cost.shape
    if n * m > LARGEST_MATRIX:
        expected = f"n m <= {LARGEST_MATRIX} for a method that stores the plan"
        where = f"{type(problem).__name__}.cost"
        raise InvalidProblem(where, expected, f"{n} x {m}; use Sinkhorn()")
    return n, m


def observed(problem: Any, state: NewtonState, eta: Array) -> dict[str, Array]:
    """What is recorded after each step; `stage` is 2 level + (0 sweeps, 1 Newton)."""
    n = problem.cost.shape[0]
    return {
        "error": state.error,
        "dual": state.dual,
        "stage": 2 * state.level + state.newton,
        "epsilon": 1.0 / eta,
        "newton_steps": state.steps,
        "kept_per_row": state.kept / n,
        "dense": state.dense,
        "cg_steps": state.inner_steps,
        "fallbacks": state.fallbacks,
    }


def outcome_of(
    state: NewtonState, annealing: AbstractAnnealing | None, *, sparse: bool = True
) -> Outcome:
    """Why the Newton stage stopped."""
    error = f"L1 error {float(state.error):.1e} after {int(state.steps)} Newton steps"
    if bool(state.error <= state.tolerance):
        remark = _dense_remark(state) if sparse else ""
        return Outcome(CONVERGED.name, CONVERGED.sentence + remark)
    if bool(state.error <= state.sufficient):
        remark = f" {error}: rounding left more than atol, but gap_tol needs no less."
        return Outcome(CONVERGED.name, CONVERGED.sentence + remark)
    if schedule_of(annealing) is None:
        advice = "pass annealing=OnStall(), which approaches epsilon from above"
        return Outcome("stalled", f"{error}; {advice}.")
    advice = (
        "pass annealing=Geometric(factor=1.4), raise n_newton, or raise epsilon"
        if bool(state.annealed) or isinstance(annealing, Geometric)
        else "raise n_newton, or raise epsilon"
    )
    return Outcome("stalled", f"{error}; {advice}.")


def _dense_remark(state: NewtonState) -> str:
    share = int(state.kept) / (state.x.shape[-1] * state.y.shape[-1])
    if share <= _SHARE or not bool(state.dense):
        return ""
    return (
        f" {share:.0%} of the plan's entries had to be kept, so dense products were "
        "used: at this epsilon Sinkhorn() or DenseNewton() is as fast."
    )
