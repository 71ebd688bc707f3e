"""The one harness: contenders take turns at the same work, the judge looks at all."""

import datetime
import gc
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import psutil

RESULTS = Path(__file__).parent / "results"
FORMAT = "lemmata-benchmark/1"
PACKAGES = (
    "lemmata",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "pot",
    "ott-jax",
    "lineax",
    "optimistix",
    "pyamg",
    "scikit-learn",
    "celer",
    "skglm",
    "optax",
    "cvxpy",
    "clarabel",
    "scs",
    "matfree",
    "traceax",
)


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    - `run`: does all of it once and returns the answer.
    - `accuracy`: the figure that the table's `accuracy` column names, of an answer.
    - `success`: whether the library itself says that it succeeded; None if it is mute.
    - `certified`: whether the judge accepts the answer; None where nobody can ask.
    """

    who: str
    kind: Literal["ours", "peer", "baseline"]
    run: Callable[[], Any]
    accuracy: Callable[[Any], float]
    success: Callable[[Any], bool | None] = lambda answer: None
    certified: Callable[[Any], bool | None] = lambda answer: None
    note: str = ""
    rounds: int = 5


@dataclass
class Row:
    """One line of a table; `ratio` is time over ours, above one where we are faster."""

    who: str
    kind: str
    seconds: float | None
    ratio: float | None
    compile_seconds: float | None
    peak_mb: float | None
    accuracy: float | None
    said_success: bool | None
    certified: bool | None
    note: str = ""


@dataclass
class Table:
    """Contenders at one piece of work."""

    title: str
    accuracy: str
    note: str = ""
    rows: list[Row] = field(default_factory=list)


@dataclass
class Report:
    """All that one system's benchmark found."""

    slug: str
    tables: list[Table] = field(default_factory=list)
    false_successes: dict[str, Any] | None = None

    def save(self) -> Path:
        """Writes `results/<slug>.json`, versions and machine included."""
        content = {
            "format": FORMAT,
            "slug": self.slug,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": versions(),
            "tables": [asdict(table) for table in self.tables],
            "false_successes": self.false_successes,
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.slug}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of everything that takes part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def race(title: str, accuracy: str, contenders: Iterable[Contender], note: str = ""):
    """Runs contenders in turns and returns their `Table`.

    The first round warms up (and compiles, which is told apart); of the others the
    median counts. A contender with `rounds=1` is timed in its only run.
    """
    contenders = list(contenders)
    first, answers, peaks = {}, {}, {}
    for contender in contenders:
        print(f"  {title}: {contender.who}", file=sys.stderr, flush=True)
        with _peak_memory() as peak:
            first[contender.who], answers[contender.who] = _timed(contender.run)
        peaks[contender.who] = peak.megabytes
    times: dict[str, list[float]] = {c.who: [] for c in contenders}
    for turn in range(max(c.rounds for c in contenders)):
        for contender in contenders if turn % 2 == 0 else reversed(contenders):
            if turn < contender.rounds and contender.rounds > 1:
                times[contender.who].append(_timed(contender.run)[0])
    table = Table(title, accuracy, note)
    ours = None
    for contender in contenders:
        taken = times[contender.who] or [first[contender.who]]
        seconds = statistics.median(taken)
        if contender.kind == "ours" and ours is None:
            ours = seconds
        table.rows.append(
            _row(contender, seconds, ours, first, peaks, answers[contender.who])
        )
    return table


def _row(contender, seconds, ours, first, peaks, answer) -> Row:
    return Row(
        who=contender.who,
        kind=contender.kind,
        seconds=seconds,
        ratio=seconds / ours if ours else None,
        compile_seconds=max(first[contender.who] - seconds, 0.0),
        peak_mb=peaks[contender.who],
        accuracy=contender.accuracy(answer),
        said_success=contender.success(answer),
        certified=contender.certified(answer),
        note=contender.note,
    )


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    start = time.perf_counter()
    answer = run()
    return time.perf_counter() - start, answer


class _peak_memory:
    """Samples resident memory while the block runs; `megabytes` above its start."""

    megabytes = 0.0

    def __enter__(self):
        self._process, self._over = psutil.Process(), threading.Event()
        self._start = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self):
        while not self._over.wait(0.005):
            above = (self._process.memory_info().rss - self._start) / 2**20
            self.megabytes = max(self.megabytes, above)

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def false_successes(
    cases: int, said: dict[str, list[bool | None]], true: dict[str, list[bool]]
) -> dict[str, Any]:
    """Counts answers that a library calls a success and the judge does not.

    **Arguments:** per contender, one entry per case: what it said (None: mute), and
    whether the judge accepts the answer.
    """
    rows = []
    for who, statements in said.items():
        pairs = list(zip(statements, true[who], strict=True))
        rows.append(
            {
                "who": who,
                "said_success": sum(bool(s) for s, _ in pairs),
                "false": sum(bool(s) and not t for s, t in pairs),
                "right": sum(t for _, t in pairs),
            }
        )
    return {"cases": cases, "rows": rows}


def show(report: Report) -> None:
    """Prints a report as tables."""
    from rich.console import Console
    from rich.table import Table as Printed

    console = Console(width=None if sys.stdout.isatty() else 140)
    for table in report.tables:
        printed = Printed(title=table.title, caption=table.note or None)
        for name in ("who", "seconds", "ratio", "compile s", "peak MB", table.accuracy):
            printed.add_column(name)
        printed.add_column("says success")
        printed.add_column("certified")
        for row in table.rows:
            figures = (row.seconds, row.ratio, row.compile_seconds, row.peak_mb)
            cells = [row.who, *("-" if f is None else f"{f:.3g}" for f in figures)]
            cells.append("-" if row.accuracy is None else f"{row.accuracy:.2e}")
            words = {None: "-", True: "yes", False: "no"}
            printed.add_row(*cells, words[row.said_success], words[row.certified])
        console.print(printed)
    if report.false_successes:
        printed = Printed(
            title=f"False successes, {report.false_successes['cases']} cases"
        )
        for name in ("who", "says success", "false", "right by the judge"):
            printed.add_column(name)
        for row in report.false_successes["rows"]:
            figures = (row["said_success"], row["false"], row["right"])
            printed.add_row(row["who"], *map(str, figures))
        console.print(printed)
