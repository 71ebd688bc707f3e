"""The desk that a study works at: solve, declare, draw, say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core import Solution, certify, solve
from ._record import CaseRecord, Expected, Figure, Plot, StudyRecord, Table


class Desk:
    """Collects what one study finds, in one folder.

    A study declares what it expects of each claim; the separate program
    `lemmata-check` decides later, and the study succeeds when it agrees.
    """

    def __init__(self, record: StudyRecord, folder: Path):
        self.record = record
        self.folder = folder

    def solve(
        self,
        name: str,
        title: str,
        problem: Any,
        method: Any = None,
        *,
        expect: Mapping[str, Expected] | None = None,
        **limits: Any,
    ) -> Solution:
        """Solves, saves `name.lemma`, and declares what is expected of its claims.

        Claims that `expect` does not name are expected to be issued and to hold.
        """
        solution = solve(problem, method, throw=False, **limits)
        return self.keep(name, title, solution, expect or {})

    def attempt(self, problem: Any, method: Any, **limits: Any) -> Solution:
        """Solves for a table or plot only: a baseline that may well fail."""
        return solve(problem, method, throw=False, **limits)

    def certify(
        self,
        name: str,
        title: str,
        problem: Any,
        value: Any,
        *,
        expect: Mapping[str, Expected] | None = None,
    ) -> Solution:
        """The same for an answer from elsewhere."""
        return self.keep(name, title, certify(problem, value), expect or {})

    def keep(
        self,
        name: str,
        title: str,
        solution: Solution,
        expect: Mapping[str, Expected],
    ) -> Solution:
        """Saves a solution as a case."""
        certificate = solution.certificate
        ids = [claim.id for claim in (*certificate.decisions, *certificate.withheld)]
        expected: dict[str, Expected] = dict.fromkeys(ids, "holds")
        expected |= dict(expect)
        solution.save(self.folder / f"{name}.lemma")
        method = solution.method
        self.record.cases.append(
            CaseRecord(
                name=name,
                title=title,
                file=f"{name}.lemma",
                method=type(method).__name__ if method is not None else "",
                result={
                    "name": solution.result.name,
                    "sentence": solution.result.sentence,
                },
                steps=solution.stats.steps,
                seconds={k: float(v) for k, v in solution.stats.seconds.items()},
                expected=expected,
            )
        )
        return solution

    def say(self, paragraph: str) -> None:
        """Adds a paragraph to the summary."""
        self.record.summary.append(paragraph)

    def plot(self, plot: Plot) -> None:
        """Adds a plot."""
        self.record.plots.append(plot)

    def image(
        self, id: str, title: str, pixels: np.ndarray, *, caption: str, alt: str
    ) -> None:
        """Adds a picture, shape `(h, w, 3)` or `(h, w)`, values in [0, 1]."""
        from PIL import Image

        levels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        Image.fromarray(levels).save(self.folder / f"{id}.png", optimize=True)
        self.plot(Plot(id, "image", title, caption=caption, file=f"{id}.png", alt=alt))

    def figure(
        self, quantity: str, *, paper: str | None, ours: str, note: str = ""
    ) -> None:
        """Sets the paper's figure beside ours."""
        self.record.figures.append(Figure(quantity, paper, ours, note))

    def table(self, title: str, columns: tuple[str, ...], rows: list[tuple]) -> None:
        """Adds a table of methods and baselines."""
        self.record.comparisons.append(Table(title, columns, tuple(rows)))
