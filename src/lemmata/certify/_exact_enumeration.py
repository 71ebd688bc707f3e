"""The exact local Lipschitz constant of a small network."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from ..core import AbstractMethod, Outcome
from ._branch_and_bound import BranchAndBound, SignPrograms
from ._local_lipschitz import LipschitzBounds, LocalLipschitz
from ._split_tree import TreeState


@final
class ExactEnumeration(AbstractMethod):
    """Branch and bound until every sign pattern is bounded, attained or impossible.

    **Options:**

    - `max_domains`: stop after so many, >= 1; beyond some twenty ReLUs that are open
      over the box it may well be reached.
    """

    max_domains: int = eqx.field(static=True, default=200_000)

    host: ClassVar[bool] = True

    @property
    def search(self) -> BranchAndBound:
        """The search that does it: bounds meet to within the judge's rounding."""
        return BranchAndBound(
            prune=SignPrograms(),
            batch_size=32,
            max_domains=self.max_domains,
            rtol=1e-8,
        )

    def validate(self) -> None:
        self.search.validate()

    def init(self, problem: LocalLipschitz, key: Any) -> TreeState:
        return self.search.init(problem, key)

    def step(self, problem: LocalLipschitz, state: TreeState) -> TreeState:
        return self.search.step(problem, state)

    def done(self, problem: LocalLipschitz, state: TreeState) -> bool:
        return self.search.done(problem, state)

    def finish(self, problem: LocalLipschitz, state: TreeState) -> LipschitzBounds:
        return self.search.finish(problem, state)

    def outcome(self, problem: LocalLipschitz, state: TreeState) -> Outcome:
        return self.search.outcome(problem, state)

    def observe(self, problem: LocalLipschitz, state: TreeState) -> dict[str, Any]:
        return self.search.observe(problem, state)

    def to_arrays(self, state: TreeState) -> dict[str, np.ndarray]:
        return state.to_arrays()

    def from_arrays(self, problem: Any, arrays: Mapping[str, np.ndarray]) -> TreeState:
        return TreeState.from_arrays(arrays)

    def citations(self) -> tuple[str, ...]:
        return ("shi2022efficiently",)
