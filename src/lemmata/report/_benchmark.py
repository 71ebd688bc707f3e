"""The benchmark's result beside a study: time against peers, and false successes."""

import math
from dataclasses import dataclass
from pathlib import Path

from ._fields import Node, read_json

FORMAT = "lemmata-benchmark/1"


@dataclass(frozen=True)
class Row:
    """One contestant in one table; `ratio` is its time over ours."""

    who: str
    kind: str
    seconds: float | None
    ratio: float | None
    compile_seconds: float | None
    peak_mb: float | None
    accuracy: float | None
    said_success: bool | None
    certified: bool
    note: str

    @property
    def false_success(self) -> bool:
        """It said success and the judge says no."""
        return self.said_success is True and not self.certified


@dataclass(frozen=True)
class BenchTable:
    """One task, everybody on it."""

    title: str
    note: str
    accuracy: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class FalseSuccess:
    """How often somebody said success and how often that was false."""

    who: str
    said_success: int
    false: int


@dataclass(frozen=True)
class Benchmark:
    """All tables of a system."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    tables: tuple[BenchTable, ...]
    cases: int
    false_successes: tuple[FalseSuccess, ...]


def read_benchmark(path: Path) -> Benchmark:
    """A benchmark's JSON. Raises `Unreadable` with the place that is wrong."""
    root = read_json(path, FORMAT)
    false = root["false_successes"]
    return Benchmark(
        date=root["date"].text()[:40],
        machine=root["machine"].texts(),
        versions=root["versions"].texts(),
        tables=tuple(_table(node) for node in root["tables"].items(64)),
        cases=_count(false["cases"]),
        false_successes=tuple(_false(node) for node in false["rows"].items(64)),
    )


def _table(node: Node) -> BenchTable:
    accuracy = node["accuracy"].cell()
    return BenchTable(
        title=node["title"].text(),
        note=node["note"].text(),
        accuracy="" if accuracy is None else str(accuracy),
        rows=tuple(_row(item) for item in node["rows"].items(256)),
    )


def _row(node: Node) -> Row:
    return Row(
        who=node["who"].text(),
        kind=node["kind"].choice(("peer", "ours", "baseline")),
        seconds=node["seconds"].number(),
        ratio=node["ratio"].number(),
        compile_seconds=node["compile_seconds"].number(),
        peak_mb=node["peak_mb"].number(),
        accuracy=node["accuracy"].number(),
        said_success=node["said_success"].flag(),
        certified=node["certified"].flag() is True,
        note=node["note"].text(),
    )


def _false(node: Node) -> FalseSuccess:
    said, false = _count(node["said_success"]), _count(node["false"])
    return FalseSuccess(node["who"].text(), said, false)


def _count(node: Node) -> int:
    number = node.number()
    return 0 if number is None or not math.isfinite(number) else int(number)
