"""What trained weights are worth: compared with the SVM of what they select."""

from typing import Any, NamedTuple

import numpy as np

from ..core import Claim, InvalidArgument, InvalidProblem, Solution, Withheld, solve
from ._attention_claims import LOCAL, NOT_LOCAL, local_claims
from ._attention_generalized import (
    THRESHOLD,
    UNDECIDED,
    generalized_direction,
    probabilities,
)
from ._attention_host import to_host
from ._attention_selection import LARGEST, svm_of
from ._attention_value import TrainedAttention

DIRECTION, MARGIN = "geometry.attention_direction/1", "geometry.attention_margin/1"
SURVIVORS, PATH = "geometry.surviving_tokens/1", "geometry.attention_path/1"
ALL = (DIRECTION, MARGIN, LOCAL, NOT_LOCAL, SURVIVORS)


class Reference(NamedTuple):
    """A solved SVM, and what the judge needs of it."""

    solution: Solution
    witness: dict[str, np.ndarray]


def training_claims(
    problem: Any, value: TrainedAttention
) -> tuple[Claim | Withheld, ...]:
    """One token each: direction, margin, local optimality. Several: the survivors."""
    weights = np.asarray(value.weights)
    if not np.all(np.isfinite(weights)) or not np.any(weights):
        return _all("weights that are zero or not finite have no direction")
    if problem.tokens.shape[0] * problem.tokens.shape[1] > LARGEST:
        return _all(f"issued up to {LARGEST} tokens in all: an SVM is solved for it")
    chance = probabilities(problem, weights)
    undecided = int(np.sum((chance > UNDECIDED) & (chance <= THRESHOLD)))
    if np.any(np.sum(chance > THRESHOLD, axis=1) > 1):
        reason = "an input keeps several tokens: surviving_tokens speaks of them"
        single = [Withheld(i, reason) for i in ALL if i != SURVIVORS]
        return (*single, _survivors(problem, weights, undecided))
    reason = "each input keeps one token: attention_direction speaks of it"
    return (*_single(problem, value, weights), Withheld(SURVIVORS, reason))


def _all(reason: str) -> tuple[Withheld, ...]:
    return tuple(Withheld(claim_id, reason) for claim_id in ALL)


def reference(problem: Any, weights: np.ndarray, norm: str) -> Reference | str:
    """The SVM of what the weights select, or why there is none."""
    try:
        found = solve(svm_of(problem, weights, norm), throw=False)
    except InvalidProblem as error:
        return f"the selection has no SVM: expected {error.expected}, got {error.got}"
    if found.result.name != "converged":
        return f"the selection's SVM was not solved ({found.result.name})"
    witness = {
        "selected": np.asarray(found.problem.selected),
        "reference": np.asarray(found.value.weights),
        "multipliers": np.asarray(found.value.multipliers),
    }
    return Reference(found, witness)


def _single(
    problem: Any, value: TrainedAttention, weights: np.ndarray
) -> tuple[Claim | Withheld, ...]:
    norm = "nuclear" if value.factored else "frobenius"
    found = reference(problem, weights, norm)
    if isinstance(found, str):
        return tuple(Withheld(i, found) for i in ALL if i != SURVIVORS)
    parameters = {"norm": norm}
    claims = (
        Claim(DIRECTION, float(problem.alignment), found.witness, parameters),
        Claim(MARGIN, float(problem.margin_share), found.witness, parameters),
    )
    return (*claims, *_local(problem, weights, found if norm == "frobenius" else None))


def _local(
    problem: Any, weights: np.ndarray, found: Reference | None
) -> tuple[Claim | Withheld, Claim | Withheld]:
    if problem.scores is None:
        reason = "tokens have no scores of their own under a nonlinear head"
        return Withheld(LOCAL, reason), Withheld(NOT_LOCAL, reason)
    plain = found or reference(problem, weights, "frobenius")
    if isinstance(plain, str):
        return Withheld(LOCAL, plain), Withheld(NOT_LOCAL, plain)
    return local_claims(
        to_host(plain.solution.problem),
        plain.witness["selected"],
        np.asarray(problem.scores),
        plain.witness["reference"],
        plain.witness["multipliers"],
        plain.witness,
    )


def _survivors(problem: Any, weights: np.ndarray, undecided: int) -> Claim | Withheld:
    if undecided:
        reason = f"{undecided} tokens are neither kept nor gone: train longer"
        return Withheld(SURVIVORS, reason)
    try:
        found = generalized_direction(problem, weights)
    except InvalidArgument as error:
        return Withheld(SURVIVORS, f"expected {error.expected}, got {error.got}")
    if not found.feasible:
        return Withheld(SURVIVORS, "no direction keeps these tokens and no others")
    witness = {
        "selected": found.reference.astype(np.int64),
        "kept": found.kept,
        "multipliers": found.multipliers,
        "odds": found.odds,
    }
    parameters = {"threshold": THRESHOLD, "coefficient": found.coefficient}
    return Claim(SURVIVORS, 1 - float(problem.alignment), witness, parameters)


def path_claim(
    problem: Any,
    value: TrainedAttention,
    path: np.ndarray,
    radii: np.ndarray,
    norm: str,
) -> Claim | Withheld:
    """That W_R turns towards the SVM of what the last one selects."""
    if radii.size < 2:
        return Withheld(PATH, "needs two radii")
    weights = np.asarray(value.weights)
    if problem.tokens.shape[0] * problem.tokens.shape[1] > LARGEST:
        return Withheld(PATH, f"issued up to {LARGEST} tokens in all")
    found = reference(problem, weights, norm)
    if isinstance(found, str):
        return Withheld(PATH, found)
    witness = found.witness | {"path": path, "radii": radii}
    return Claim(PATH, float(problem.alignment), witness, {"norm": norm})
