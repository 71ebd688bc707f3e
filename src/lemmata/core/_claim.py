"""What an answer is claimed to be worth, before the checker has decided it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Claim:
    """One promise about one answer on one instance.

    Grade, relation and statement belong to the checker's rule of the same id: a room
    cannot word its own verdict.

    **Fields:**

    - `id`: `room.claim_name/version`.
    - `promised`: finite figure that the measured one is compared with.
    - `witness`: small arrays with which the checker decides; arrays of the value are
      at the checker's disposal anyway and need not be repeated.
    - `parameters`: JSON scalars or lists that the rule names.
    """

    id: str
    promised: float
    witness: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Withheld:
    """A claim that this instance does not allow, and why. "No bound" is an answer."""

    id: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """Why a run stopped: a name and a sentence that says what to do next.

    Never a verdict on the answer; that is the certificate's business.
    """

    name: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


CONVERGED = Outcome(
    "converged",
    "The method's own stopping test held; the certificate says what is true.",
)
MAX_STEPS = Outcome(
    "max_steps",
    "The step limit came first; raise max_steps, or warm-start with start=solution.",
)
TIME_LIMIT = Outcome(
    "time_limit",
    "The time limit came first; raise time_limit, or warm-start with start=solution.",
)
INTERRUPTED = Outcome(
    "interrupted",
    "Stopped by the user; the answer is the state so far, and a checkpoint resumes it.",
)
NOT_FINITE = Outcome(
    "not_finite",
    "NaN or infinity appeared in the iteration; rescale the problem or choose a more "
    "robust method.",
)
JUDGED = Outcome("judged", "Not computed here: an answer from elsewhere was judged.")
