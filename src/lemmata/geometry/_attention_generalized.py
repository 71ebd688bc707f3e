"""When several tokens survive: the generalised SVM and the finite part beside it.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak (arXiv 2308.16898), section 5:
W(k) is near W^fin + c W^mm, where W^mm keeps the survivors equal and the others at
least 1 below, and W^fin gives the survivors their odds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import AbstractMethod, InvalidArgument, InvalidMethod, require
from ._attention_constraints import Constraints
from ._attention_host import LARGEST, dual_of_gram
from ._attention_selection import cosine
from ._attention_training import AttentionTraining
from ._attention_value import TrainedAttention, selected_tokens

UNDECIDED = 1e-6  # probabilities between this and the threshold decide nothing
THRESHOLD = 1e-3


@dataclass(frozen=True)
class GeneralizedDirection:
    """What trained weights look like under the generalised SVM.

    **Fields:**

    - `kept`: the tokens that survive, shape (n, T).
    - `undecided`: how many probabilities are neither kept nor negligible.
    - `reference`: the most likely token of each input, shape (n,).
    - `direction`: W^mm, shape (d, d); zero if all tokens are kept everywhere.
    - `multipliers`: nu with W^mm = sum nu_it (x_i,ref - x_it) z_i', shape (n, T); not
      negative where not kept.
    - `finite`: W^fin, shape (d, d), and `odds` with W^fin = sum odds_it (...) likewise.
    - `coefficient`: c, by least squares.
    - `cosine`, `cosine_direction`: of W with W^fin + c W^mm, and with W^mm alone.
    - `feasible`: whether such a direction exists.
    """

    kept: np.ndarray
    undecided: int
    reference: np.ndarray
    direction: np.ndarray
    multipliers: np.ndarray
    finite: np.ndarray
    odds: np.ndarray
    coefficient: float
    cosine: float
    cosine_direction: float
    feasible: bool

    @property
    def weights(self) -> np.ndarray:
        """W^fin + c W^mm."""
        return self.finite + self.coefficient * self.direction


def probabilities(problem: Any, weights: np.ndarray) -> np.ndarray:
    """softmax(X_i W z_i), shape (n, T), by differences to the top token."""
    selected = selected_tokens(weights, problem)
    at = Constraints.of(
        np.asarray(problem.tokens),
        np.asarray(problem.queries),
        selected,
        np.asarray(problem.lengths),
    )
    behind = np.where(at.active, at.margins(weights), np.inf)
    behind[np.arange(len(selected)), selected] = 0.0
    chance = np.exp(-behind)
    return chance / np.sum(chance, axis=1, keepdims=True)


def generalized_direction(
    problem: AttentionTraining, weights: Any, threshold: float = THRESHOLD
) -> GeneralizedDirection:
    """The survivors of trained weights, W^mm, W^fin and c.

    **Arguments:**

    - `weights`: W (d, d), or a `TrainedAttention`.
    - `threshold`: a token survives if its probability is above it.

    **Raises:** `InvalidArgument` above 1500 constraints.
    """
    weights = np.asarray(getattr(weights, "weights", weights), dtype=np.float64)
    tokens, queries = np.asarray(problem.tokens), np.asarray(problem.queries)
    chance = probabilities(problem, weights)
    kept = chance > threshold
    undecided = int(np.sum((chance > UNDECIDED) & ~kept))
    reference = np.argmax(chance, axis=1)
    at = Constraints.of(tokens, queries, reference, np.asarray(problem.lengths))
    if at.count > LARGEST:
        where = "generalized_direction.problem"
        raise InvalidArgument(where, f"at most {LARGEST} tokens in all", at.count)
    active = np.asarray(at.active)
    equal, unequal = (active & kept).reshape(-1), (active & ~kept).reshape(-1)
    gram = np.asarray(at.gram())
    pseudo = np.linalg.pinv(gram[np.ix_(equal, equal)], rcond=1e-13, hermitian=True)
    multipliers, feasible = _dual(gram, equal, unequal, pseudo)
    multipliers = multipliers.reshape(active.shape)
    direction = at.combine(multipliers)
    odds = np.zeros(active.size)
    best = chance[np.arange(len(reference)), reference][:, None]
    ratio = np.log(best / np.where(kept, chance, 1.0)).reshape(-1)
    odds[equal] = pseudo @ ratio[equal]
    odds = odds.reshape(active.shape)
    finite = at.combine(odds)
    square = float(np.sum(direction * direction))
    along = float(np.sum((weights - finite) * direction))
    coefficient = along / square if square > 0 else 0.0
    return GeneralizedDirection(
        kept,
        undecided,
        reference,
        direction,
        multipliers,
        finite,
        odds,
        coefficient,
        cosine(weights, finite + coefficient * direction),
        cosine(weights, direction),
        feasible,
    )


def _dual(
    gram: np.ndarray, equal: np.ndarray, unequal: np.ndarray, pseudo: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Multipliers of W^mm: the equalities are projected out of the inequalities."""
    multipliers = np.zeros(len(gram))
    if not np.any(unequal):
        return multipliers, True
    mixed = gram[np.ix_(unequal, equal)]
    projected = gram[np.ix_(unequal, unequal)] - mixed @ pseudo @ mixed.T
    found = dual_of_gram((projected + projected.T) / 2)
    if found is None:
        return multipliers, False
    multipliers[unequal] = found[0]
    multipliers[equal] = -pseudo @ (mixed.T @ found[0])
    return multipliers, found[1]


class GeneralizedState(eqx.Module):
    """Trained weights, those of the model, and whether these were computed."""

    weights: np.ndarray
    predicted: np.ndarray
    finished: np.ndarray


@final
class GeneralizedSVM(AbstractMethod):
    """W^fin + c W^mm for the survivors of trained weights: pass them as `start`.

    Runs on the host, in one step; no training takes place.

    **Options:**

    - `threshold`: probability above which a token survives, in (0, 1).
    """

    host: ClassVar[bool] = True
    threshold: float = THRESHOLD

    def validate(self) -> None:
        good = (self.threshold > 0) & (self.threshold < 1)
        require(self, "threshold", good, expected="in (0, 1)", got=self.threshold)

    def init(self, problem: AttentionTraining, key: Any) -> GeneralizedState:
        del problem, key
        expected = "start=solution of a training method, whose weights are looked at"
        raise InvalidMethod("GeneralizedSVM", expected, "no start")

    def warm_start(
        self, problem: AttentionTraining, value: TrainedAttention, key: Any
    ) -> GeneralizedState:
        del problem, key
        weights = np.asarray(value.weights)
        return GeneralizedState(weights, np.zeros_like(weights), np.array(False))

    def step(
        self, problem: AttentionTraining, state: GeneralizedState
    ) -> GeneralizedState:
        found = generalized_direction(problem, state.weights, self.threshold)
        return GeneralizedState(state.weights, found.weights, np.array(True))

    def done(self, problem: AttentionTraining, state: GeneralizedState) -> bool:
        del problem
        return bool(state.finished)

    def finish(
        self, problem: AttentionTraining, state: GeneralizedState
    ) -> TrainedAttention:
        del problem
        return TrainedAttention(np.asarray(state.predicted))

    def observe(
        self, problem: AttentionTraining, state: GeneralizedState
    ) -> dict[str, Any]:
        del problem
        return {"cosine": cosine(state.weights, state.predicted)}

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers",)

    def to_arrays(self, state: GeneralizedState) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in vars(state).items()}

    def from_arrays(
        self, problem: AttentionTraining, arrays: Mapping[str, np.ndarray]
    ) -> GeneralizedState:
        del problem
        return GeneralizedState(**arrays)
