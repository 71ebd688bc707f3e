"""What weights are worth as an answer to the attention SVM, whoever computed them."""

from typing import Any

import numpy as np

from ..core import Claim, Withheld
from ._attention_constraints import Constraints
from ._attention_host import least_norm, to_host
from ._attention_value import AttentionWeights, numerical_rank

OPTIMAL, INFEASIBLE = "geometry.least_norm/1", "geometry.no_separation/1"
RANK = "geometry.attention_rank/1"
LOCAL, NOT_LOCAL = "geometry.locally_optimal/1", "geometry.not_locally_optimal/1"
RANK_TOL = 1e-10  # distance to a matrix of the rank stated, relative
_EMPTY = 1e-8  # ||sum mu A|| relative to sum mu ||A|| below which it is called zero
_BELOW = 0.5  # share of a figure computed here that is promised


def svm_claims(problem: Any, value: AttentionWeights) -> tuple[Claim | Withheld, ...]:
    """Optimal or impossible, the rank, and whether the selection is locally optimal."""
    constraints, active = to_host(problem), to_host(problem).active
    weights, mu = np.asarray(value.weights), np.asarray(value.multipliers)
    margins = np.where(active, constraints.margins(weights), np.inf)
    if not np.min(margins) > 0 and _empty(constraints, mu):
        return _impossible(problem, constraints, mu)
    r = max(numerical_rank(weights), 1)
    found = [
        Claim(OPTIMAL, float(problem.gap_tol)),
        Withheld(INFEASIBLE, "the weights separate the selected tokens"),
        Claim(RANK, RANK_TOL, parameters={"rank": r}),
    ]
    if problem.scores is None:
        reason = "no scores were given to compare tokens by"
        return (*found, Withheld(LOCAL, reason), Withheld(NOT_LOCAL, reason))
    if problem.norm != "frobenius":
        reason = "local optimality is defined by the Frobenius solution"
        return (*found, Withheld(LOCAL, reason), Withheld(NOT_LOCAL, reason))
    scores = np.asarray(problem.scores)
    selected = np.asarray(problem.selected)
    return (*found, *local_claims(constraints, selected, scores, weights, mu))


def _empty(constraints: Constraints, mu: np.ndarray) -> bool:
    size = float(np.sum(mu * constraints.sizes()))
    return bool(0 < size and np.linalg.norm(constraints.combine(mu)) <= _EMPTY * size)


def _impossible(
    problem: Any, constraints: Constraints, mu: np.ndarray
) -> tuple[Claim | Withheld, ...]:
    largest = float(np.max(constraints.sizes()))
    reason = "no weights separate the selected tokens"
    ids = (OPTIMAL, RANK, LOCAL, NOT_LOCAL)
    return (
        Claim(INFEASIBLE, _EMPTY * largest),
        *(Withheld(claim_id, reason) for claim_id in ids),
    )


def local_claims(
    constraints: Constraints,
    selected: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    mu: np.ndarray,
    witness: dict[str, np.ndarray] | None = None,
) -> tuple[Claim | Withheld, Claim | Withheld]:
    """Locally optimal, not, or undecided.

    **Arguments:**

    - `weights`, `mu`: the Frobenius solution, margins at least 1.
    - `witness`: what the judge needs besides the value.
    """
    witness = witness or {}
    active = np.asarray(constraints.active)
    chosen = scores[np.arange(len(selected)), selected]
    leads = np.where(active, chosen[:, None] - scores, np.inf)
    margins = np.where(active, constraints.margins(weights), np.inf)
    support = margins <= 1 + _uncertainty(constraints, weights, mu)
    least = float(np.min(np.where(support, leads, np.inf)))
    if np.isfinite(least) and least > 0:
        reason = "every support token scores lower"
        local = Claim(LOCAL, _BELOW * least, witness, _frobenius(witness))
        return local, Withheld(NOT_LOCAL, reason)
    rivals = np.argwhere(support & (leads <= 0) & (mu > 0))
    order = np.argsort([-mu[i, t] for i, t in rivals]) if len(rivals) else []
    for place in order:
        found = _without(constraints, rivals[place], mu, weights, witness)
        if found is not None:
            reason = "a support token does not score lower than the selected one"
            return Withheld(LOCAL, reason), found
    reason = "whether a token of no lower score is support is too close to call"
    return Withheld(LOCAL, reason), Withheld(NOT_LOCAL, reason)


def _frobenius(witness: dict[str, np.ndarray]) -> dict[str, str]:
    """A witness for trained weights says in which norm it is meant."""
    return {"norm": "frobenius"} if witness else {}


def _uncertainty(
    constraints: Constraints, weights: np.ndarray, mu: np.ndarray
) -> np.ndarray:
    """What the judge will allow a margin to be off by, and a little more."""
    d = weights.shape[0]
    size = float(np.linalg.norm(weights))
    floor = float(np.sum(mu)) / max(
        float(np.linalg.norm(constraints.combine(mu))), 1e-300
    )
    square = max((size - floor) * (size + floor), 0.0)
    square += 64 * (d + 8) * 2.0**-53 * size * size
    return np.sqrt(square) * constraints.sizes() * 1.01


def _without(
    constraints: Constraints,
    place: np.ndarray,
    mu: np.ndarray,
    weights: np.ndarray,
    witness: dict[str, np.ndarray],
) -> Claim | None:
    """The claim that the constraint at `place` is needed; None if it is not shown."""
    rest = np.array(constraints.active)
    rest[tuple(place)] = False
    if not np.any(rest):
        return None
    found = least_norm(constraints, rest)
    if found is None or not found.feasible:
        return None
    sure = constraints.margins(found.weights) - constraints.rounding(found.weights)
    least = float(np.min(sure[rest]))
    if not least > 0.5:
        return None
    shorter = found.weights * ((1 + 2.0**-50) / least)
    room = float(np.linalg.norm(weights) / np.linalg.norm(shorter)) - 1
    if room <= 1e-9:
        return None
    parameters = {"token": [int(k) for k in place]} | _frobenius(witness)
    return Claim(NOT_LOCAL, _BELOW * room, {**witness, "without": shorter}, parameters)
