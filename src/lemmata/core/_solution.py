"""An answer with everything that is known about it."""

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._certificate import Certificate
from ._citation import bibtex
from ._claim import Outcome


@dataclass(frozen=True)
class Stats:
    """How the run went: steps, seconds by part, one trace row per step."""

    steps: int = 0
    stages: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)
    trace: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Solution:
    """What `solve` and `certify` return.

    **Fields:**

    - `problem`, `method`: what was asked, and of whom (None for a foreign answer).
    - `value`: the answer, typed, in NumPy.
    - `result`: why the run stopped, and what to do next; never "is it right?".
    - `certificate`: what is true about the answer, decided by the checker.
    - `stats`: steps, seconds (compile apart from run), trace.
    - `key`: the random key, as recorded.
    """

    problem: Any
    method: Any
    value: Any
    result: Outcome
    certificate: Certificate
    stats: Stats
    key: int | list[int] | None = None

    @property
    def certified(self) -> bool:
        """Whether at least one claim was made and every claim holds."""
        return self.certificate.holds

    def citation(self) -> str:
        """BibTeX of the papers behind the configuration actually used."""
        return bibtex(() if self.method is None else self.method.citations())

    def save(self, path: str | os.PathLike[str], *, embed: bool | None = None) -> Path:
        """Writes the answer and its certificate as a `.lemma` file, atomically.

        **Arguments:**

        - `path`: where to; the suffix `.lemma` is customary.
        - `embed`: whether the problem's arrays travel along. None embeds up to 256 MB;
          otherwise only the digest does, and `lemmata-check` asks for the data.

        **Raises:** `Undisclosable` if the problem forbids what would be written.
        """
        from ._file import write

        return write(self, Path(path), embed=embed)

    def __str__(self) -> str:
        name = type(self.method).__name__ if self.method is not None else "certify"
        seconds = "  ".join(f"{k} {v:.2g} s" for k, v in self.stats.seconds.items())
        head = f"{type(self.problem).__name__} by {name}: {self.stats.steps} steps"
        lines = [f"{head}  {seconds}".rstrip(), str(self.result), str(self.certificate)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        verdict = "certified" if self.certified else "not certified"
        return f"<b>{verdict}</b><pre>{html.escape(str(self))}</pre>"
