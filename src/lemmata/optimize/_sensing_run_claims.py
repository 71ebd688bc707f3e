"""What a run of gradient descent on factors shows: rates, imbalance, lower bound."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core import Claim, InvalidArgument, Withheld
from ._low_rank import LowRank
from ._sensing_operators import IdentityOperator

_LOWER = "optimize.symmetric_lower_bound/1"
_IMBALANCE, _DRIFT = "optimize.imbalance/1", "optimize.imbalance_drift/1"
_RATE, _ACCELERATION = "optimize.linear_rate_of_factors/1", "optimize.acceleration/1"
_EXACT = "optimize.exact_parameterisation/1"
_WINDOW, _POINTS = (1e-20, 1e-6), 8  # the judge's own
_DRAWN = 10**8  # entries of an operator that the judge goes through for imbalance
_SHARES = {  # of the predicted slope: exact for the population, blurred by sensing
    True: {_RATE: 0.7, _ACCELERATION: 0.8, _EXACT: 0.7},
    False: {_RATE: 0.05, _ACCELERATION: 0.05, _EXACT: 0.05},
}


def run_claims(
    method: Any,
    problem: Any,
    value: LowRank,
    state: Any,
    trace: Mapping[str, np.ndarray],
) -> tuple[Claim | Withheld, ...]:
    """Claims about the run; each is withheld with a reason where it does not apply."""
    parameters = {"step_size": float(state.length)}
    found: list[Claim | Withheld] = []
    if method.is_symmetric():
        found.append(_lower_bound(problem, value, state, parameters))
    else:
        found += _imbalances(problem, state, parameters)
        if method.switching:
            found.append(_acceleration(method, problem, state, trace, parameters))
        else:
            found.append(_rate(_RATE, problem, trace, parameters))
    found.append(_exact(problem, value, trace, parameters))
    return tuple(found)


def _pairs(state: Any) -> np.ndarray:
    """The recorded pairs, oldest first; none before the first step."""
    samples = np.asarray(state.samples)
    taken = np.any(samples[:, 1] != 0, axis=(1, 2))
    return samples[taken]


def _lower_bound(
    problem: Any, value: LowRank, state: Any, parameters: dict[str, Any]
) -> Claim | Withheld:
    start = np.asarray(state.start)[: value.left.shape[0]]
    try:
        symmetric_lower_bound(
            problem, start, step_size=parameters["step_size"], steps=int(state.steps)
        )
    except InvalidArgument as error:
        return Withheld(_LOWER, f"expected {error.expected}, got {error.got}")
    pairs = _pairs(state)[:, :, : start.shape[0]]
    if not len(pairs):
        return Withheld(_LOWER, "no step was taken")
    parameters = parameters | {"steps": int(state.steps)}
    return Claim(_LOWER, 1.0, {"start": start, "pairs": pairs}, parameters)


def symmetric_lower_bound(
    problem: Any, start: np.ndarray, *, step_size: float, steps: int
) -> float:
    """What symmetric gradient descent cannot fall below: a floor on ||X X' - M*||_F^2.

    (k - r) (u / (1 + 3 eta T u))^2 with u = s_k(X_0)^2; derivation in the judge's rule.

    **Arguments:**

    - `problem`: a `Planted` population problem (`IdentityOperator`, `psd=True`).
    - `start`: X_0, shape (n, k), k > r.
    - `step_size`: eta itself, with eta max(sigma_1(M*), s_1(X_0)^2) <= 1/3.
    - `steps`: T >= 1.

    **Raises:** `InvalidArgument` where the theorem does not apply.
    """

    def demand(good: Any, expected: str, got: Any) -> None:
        if not good:
            raise InvalidArgument("symmetric_lower_bound", expected, got)

    truth = problem.truth
    demand(truth is not None, "a Planted problem: M* is part of the bound", "no truth")
    operator = type(problem.sensing.operator).__name__
    population = isinstance(problem.sensing.operator, IdentityOperator)
    demand(population, "IdentityOperator, the population case", operator)
    demand(problem.sensing.psd, "psd=True", "psd=False")
    k = np.shape(start)[1]
    demand(k > truth.width, f"a width above the rank {truth.width}", f"width {k}")
    demand(steps >= 1, "at least one step", steps)
    values = np.linalg.svd(start, compute_uv=False)
    top = max(np.linalg.norm(truth.matrix(), 2), values[0] ** 2)
    within = 0 < step_size * top <= (1 - 1e-12) / 3
    expected = "eta max(sigma_1, s_1(X_0)^2) in (0, 1/3]"
    demand(within, expected, f"{step_size * top:.3g}")
    u = float(values[-1] ** 2)
    demand(step_size * u <= 0.2, "eta s_k(X_0)^2 <= 0.2", f"{step_size * u:.3g}")
    demand(u > 1e-20 * top, "a start of full rank", f"s_k(X_0)^2 = {u:.1e}")
    return (k - truth.width) * (u / (1 + 3 * step_size * steps * u)) ** 2


def _imbalances(
    problem: Any, state: Any, parameters: dict[str, Any]
) -> list[Claim | Withheld]:
    pairs, operator = _pairs(state), problem.sensing.operator
    found: list[Claim | Withheld] = []
    drawn = operator.count * math.prod(operator.shape)
    if not len(pairs):
        return [Withheld(i, "no step was taken") for i in (_IMBALANCE, _DRIFT)]
    if not isinstance(operator, IdentityOperator) and drawn > _DRAWN:
        reason = f"the judge would go through {drawn:.1e} entries of the operator"
        found.append(Withheld(_IMBALANCE, reason))
    else:
        found.append(Claim(_IMBALANCE, 1e-12, {"pairs": pairs}, parameters))
    start = np.asarray(state.start)
    found.append(Claim(_DRIFT, 1e-10, {"start": start}))
    return found


def _looks(problem: Any, trace: Mapping[str, np.ndarray], first: float) -> int:
    """Looks that fall into the window in which rates are read."""
    if not len(trace.get("residual", ())):
        return 0
    square = trace["residual"] ** 2
    if problem.truth is not None:
        target = problem.truth.matrix()
        square = trace["square_error"] / np.linalg.norm(target) ** 2
    inside = (square > _WINDOW[0]) & (square < _WINDOW[1])
    return int(np.sum(inside & (trace["gradient_steps"] > first)))


def _rate(
    claim_id: str,
    problem: Any,
    trace: Mapping[str, np.ndarray],
    parameters: dict[str, Any],
    witness: Mapping[str, np.ndarray] | None = None,
    first: float = -1.0,
) -> Claim | Withheld:
    looks = _looks(problem, trace, first)
    if looks < _POINTS:
        found = f"there are {looks}"
        low, high = _WINDOW
        return Withheld(
            claim_id,
            f"needs {_POINTS} looks with {low:g} < e^2 < {high:g}: {found}; lower "
            "check_every or rtol, or take more steps",
        )
    population = isinstance(problem.sensing.operator, IdentityOperator)
    share = _SHARES[population][claim_id]
    return Claim(claim_id, share, witness or {}, parameters)


def _acceleration(
    method: Any,
    problem: Any,
    state: Any,
    trace: Mapping[str, np.ndarray],
    parameters: dict[str, Any],
) -> Claim | Withheld:
    if int(state.switched) < 0:
        reason = "the factors were not changed: switch_residual was not reached"
        return Withheld(_ACCELERATION, reason)
    before, after = np.asarray(state.switch)
    parameters = parameters | {
        "switched": int(state.switched),
        "switch_scale": float(method.switch_scale),
    }
    witness = {"before": before, "after": after}
    first = float(state.switched)
    return _rate(_ACCELERATION, problem, trace, parameters, witness, first)


def _exact(
    problem: Any,
    value: LowRank,
    trace: Mapping[str, np.ndarray],
    parameters: dict[str, Any],
) -> Claim | Withheld:
    if problem.truth is None:
        return Withheld(_EXACT, "the rank of M* is not known: no planted truth")
    if value.width != problem.truth.width:
        reason = f"width {value.width} is not the rank {problem.truth.width}"
        return Withheld(_EXACT, reason)
    return _rate(_EXACT, problem, trace, parameters)
