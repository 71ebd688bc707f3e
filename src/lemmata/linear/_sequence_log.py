"""What `solve_sequence` leaves: a log in memory, systems and solutions in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..core import InvalidArgument, InvalidInput, Solution, certify
from ._criteria import AbstractCriterion
from ._linear_sequence import LinearSequence


class SequenceBroken(InvalidInput):
    """The generator gave something that cannot be solved, or ended early.

    `.log` is the `SequenceLog` of everything solved before; it is on disk as well.
    """

    def __init__(self, where: str, expected: str, got: Any, log: "SequenceLog"):
        super().__init__(where, expected, got)
        self.log = log

    def __reduce__(self) -> Any:
        return type(self), (self.where, self.expected, self.got, self.log)


@dataclass
class SequenceLog:
    """What happened to each system; solutions stay in their files until asked for.

    **Fields:** `counts`, `relaxation`, `ratio` (residual over reference), `failed`:
    one entry per system solved; a failed one counts as the cap.
    """

    recorded: Any
    criterion: AbstractCriterion
    rtol: float
    warm_start: bool
    counts: list[int] = field(default_factory=list)
    relaxation: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    size: int | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def failures(self) -> int:
        """How many systems reached the cap."""
        return sum(self.failed)

    def solution(self, index: int) -> np.ndarray:
        """Solution (n,) of system `index`, read from its file."""
        if not 0 <= index < len(self):
            raise InvalidArgument("solution", f"an index below {len(self)}", index)
        return self.recorded.solution(index)["x"]

    def solutions(self) -> Iterator[np.ndarray]:
        """Every solution in turn."""
        return (self.solution(index) for index in range(len(self)))

    def certify(self) -> Solution:
        """All recorded systems with their solutions, put to the checker."""
        systems, contexts = [], []
        for index in range(len(self)):
            arrays = self.recorded.system(index)
            assert arrays is not None
            systems.append((_matrix(arrays), arrays["rhs"]))
            contexts.append(float(arrays["context"]))
        problem = LinearSequence(
            systems,
            contexts,
            rtol=self.rtol,
            criterion=self.criterion,
            warm_start=self.warm_start,
        )
        value = problem.candidate(
            solutions=np.stack(list(self.solutions())),
            counts=np.array(self.counts),
            relaxation=np.array(self.relaxation),
        )
        return certify(problem, value)


def _matrix(arrays: Mapping[str, np.ndarray]) -> sp.csr_array:
    parts = (arrays["data"], arrays["indices"], arrays["indptr"])
    n = arrays["indptr"].size - 1
    return sp.csr_array(parts, shape=(n, n))
