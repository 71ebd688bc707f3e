"""Why an iteration on A x = b stopped, and what to do next."""

from typing import Any

from ..core import CONVERGED as _CONVERGED, NOT_FINITE, Outcome

CONVERGED, INDEFINITE, SINGULAR, STAGNATED, MISLED, LIMIT, DIVERGED, NAN = range(1, 9)


def outcome_of(code: int, problem: Any, state: Any) -> Outcome:
    """The outcome that a state's code stands for."""
    step, reached = int(state.steps), float(state.norm / state.target.norm)
    match code:
        case 2:
            return Outcome(
                "indefinite",
                f"Step {step} met a direction p with p^T A p <= 0: A is not positive "
                "definite; solve A^T A x = A^T b, or use a method for indefinite "
                "systems.",
            )
        case 3:
            return Outcome(
                "singular",
                f"Step {step} met a direction p with p^T A p = 0 up to rounding, at a "
                f"relative residual of {reached:.1e} left; remove the null space (fix "
                "one unknown, or take its part out of the right-hand side).",
            )
        case 4:
            return Outcome(
                "stagnated",
                f"After step {step} the relative residual stays near {reached:.1e}: "
                "rounding, or a condition number beyond float64; ask for a larger "
                "rtol, rescale, or use a better preconditioner.",
            )
        case 5:
            return Outcome(
                "indefinite",
                f"At step {step} the preconditioner M gave r^T M r <= 0, so it is not "
                "symmetric positive definite; use Jacobi() or IncompleteCholesky().",
            )
        case 6:
            return Outcome(
                "max_sweeps",
                f"{step} sweeps left a relative residual of {reached:.1e}; use "
                "ConjugateGradients(), another relaxation, or raise max_sweeps.",
            )
        case 7:
            return Outcome(
                "indefinite",
                f"After {step} sweeps the residual has grown to {reached:.1e} of the "
                "right-hand side, so A is not positive definite; use a method for "
                "indefinite systems.",
            )
        case 8:
            return NOT_FINITE
    return _CONVERGED
