"""Several methods on one problem, judged alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ._certificate import bare_name
from ._solution import Solution
from ._solve import solve


@dataclass(frozen=True)
class Comparison:
    """One solution per method, in the order given; prints as a table."""

    solutions: tuple[Solution, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One record per method: result, steps, seconds, each claim's figure."""
        return [_record(solution) for solution in self.solutions]

    def __str__(self) -> str:
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = [names] + [[_text(row.get(name)) for name in names] for row in rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(names))]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
            for line in table
        )


def compare(
    problem: Any, methods: Iterable[Any], *, key: Any = None, **limits: Any
) -> Comparison:
    """Solves one problem by several methods and has each answer judged alike.

    **Arguments:**

    - `problem`, `key`: as for `solve`.
    - `methods`: instances of methods.
    - `limits`: `max_steps`, `time_limit`, `progress` of `solve`.

    **Returns:** a `Comparison`; methods that fail stay in it with failed claims.
    """
    return Comparison(
        tuple(solve(problem, m, key=key, throw=False, **limits) for m in methods)
    )


def _record(solution: Solution) -> dict[str, Any]:
    record: dict[str, Any] = {
        "method": type(solution.method).__name__,
        "result": solution.result.name,
        "steps": solution.stats.steps,
        "seconds": solution.stats.seconds["run"],
        "certified": solution.certified,
    }
    for decision in solution.certificate.decisions:
        record[bare_name(decision.id)] = decision
    return record


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3g}"
    if hasattr(cell, "measured"):
        return f"{cell.measured:.2e}" + ("" if cell.holds else " FAILS")
    return str(cell)
