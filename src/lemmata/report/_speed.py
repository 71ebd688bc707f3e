"""Time against peers, summed up for the front page and drawn beside each table."""

import math
from dataclasses import dataclass

from ._benchmark import Benchmark, BenchTable, FalseSuccess, Row
from ._format import count, times

LOWEST, HIGHEST = -2.0, 4.0  # decades of the strip: 0.01 to 10 000 times our time


@dataclass(frozen=True)
class Speed:
    """One system against its peers.

    `words` sums it up; `dots` are (position in per cent, certified, label).
    """

    words: str
    dots: tuple[tuple[float, bool, str], ...]
    false: tuple[FalseSuccess, ...]


def place(ratio: float | None) -> float | None:
    """Where a ratio stands on the strip, per cent; `None` where there is none."""
    if ratio is None or not ratio > 0 or math.isinf(ratio):
        return None
    decades = min(max(math.log10(ratio), LOWEST), HIGHEST)
    return round(100 * (decades - LOWEST) / (HIGHEST - LOWEST), 2)


def speed(benchmark: Benchmark) -> Speed:
    """The summary of all tables of a benchmark."""
    dots = tuple(
        (at, row.certified, f"{row.who}, {table.title}: {times(row.ratio)}")
        for table in benchmark.tables
        for row in table.rows
        if row.kind == "peer" and (at := place(row.ratio)) is not None
    )
    return Speed(_words(benchmark), dots, benchmark.false_successes)


def _words(benchmark: Benchmark) -> str:
    contested = [table for table in benchmark.tables if _peers(table)]
    if not contested:
        return "No peer was timed"
    best = [found for table in contested if (found := _best(table)) is not None]
    alone = len(contested) - len(best)
    lost = f"no peer's answer was certified in {count(alone, 'task')}"
    if not best:
        return lost.capitalize()
    low, high = min(best), max(best)
    span = times(low) if times(low) == times(high) else f"{times(low)} to {times(high)}"
    words = f"Best certified peer takes {span} our time, {count(len(best), 'task')}"
    return f"{words}; {lost}" if alone else words


def _peers(table: BenchTable) -> list[Row]:
    return [row for row in table.rows if row.kind == "peer"]


def _best(table: BenchTable) -> float | None:
    """The smallest ratio among peers whose answer the judge certified."""
    ratios = [row.ratio for row in _peers(table) if row.certified]
    return min((r for r in ratios if r is not None and r > 0), default=None)
