"""What trained weights select, and how they stand to the SVM of that selection."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Solution, solve
from ._attention_checks import best_tokens
from ._attention_constraints import Constraints
from ._attention_svm import AttentionSVM
from ._attention_value import AttentionWeights, selected_tokens

LARGEST = 4000  # constraints n T for which the SVM is solved on the way
DUPLICATE = "a token equals the selected one: no weights separate them"


@dataclass(frozen=True)
class Selection:
    """The selection of trained weights beside its SVM.

    **Fields:**

    - `selected`: argmax of the softmax, shape (n,).
    - `frobenius`, `nuclear`: the SVM solutions (`Solution`).
    - `cosine_frobenius`, `cosine_nuclear`: between W and each of them; NaN where no
      weights separate the selection.
    - `margins`: of W, each divided by the least, shape (n, T).
    - `globally_optimal`: whether each selected token has the highest score; None
      without a linear head.
    - `locally_optimal`: what the judge found: True, False, or None (undecided).
    """

    selected: np.ndarray
    frobenius: Solution
    nuclear: Solution
    cosine_frobenius: float
    cosine_nuclear: float
    margins: np.ndarray
    globally_optimal: bool | None
    locally_optimal: bool | None


def cosine(one: Any, other: Any) -> float:
    """<A, B> / (||A||_F ||B||_F); NaN for a zero matrix."""
    one, other = np.asarray(one), np.asarray(other)
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.sum(one * other)) / size if size > 0 else float("nan")


def svm_of(problem: Any, weights: Any, norm: str) -> AttentionSVM:
    """The SVM whose selection is that of the weights, scores attached where known."""
    selected = selected_tokens(weights, problem)
    scores = problem.scores
    return AttentionSVM(
        problem.tokens,
        problem.queries,
        selected,
        scores=None if scores is None else np.asarray(scores),
        lengths=problem.lengths,
        norm=norm,
    )


def selection(problem: Any, weights: Any) -> Selection:
    """Reads what weights select and solves both SVMs for it.

    **Arguments:**

    - `problem`: an `AttentionTraining`.
    - `weights`: W (d, d), or a `TrainedAttention`.

    **Raises:** `InvalidProblem` where the selected token has a copy.
    """
    weights = np.asarray(getattr(weights, "weights", weights))
    frobenius = solve(svm_of(problem, weights, "frobenius"), throw=False)
    nuclear = solve(svm_of(problem, weights, "nuclear"), throw=False)
    svm = frobenius.problem
    margins = AttentionWeights(weights, frobenius.value.multipliers, svm).margins
    least = float(np.min(margins))
    best = None
    if svm.scores is not None:
        best = bool(np.all(best_tokens(svm.scores, svm.lengths) == svm.selected))
    cosines = [
        cosine(weights, found.value.weights)
        if found.result.name == "converged"
        else float("nan")
        for found in (frobenius, nuclear)
    ]
    return Selection(
        np.asarray(svm.selected),
        frobenius,
        nuclear,
        cosines[0],
        cosines[1],
        margins / least if least > 0 else margins,
        best,
        _local(frobenius),
    )


def _local(found: Solution) -> bool | None:
    for name, verdict in (("locally_optimal", True), ("not_locally_optimal", False)):
        if name in found.certificate and found.certificate[name].holds:
            return verdict
    return None


def too_many(constraints: Constraints) -> bool:
    """Whether the SVM is too large to be solved on the way."""
    return constraints.count > LARGEST
