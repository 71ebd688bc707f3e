"""Studies while they run, and their verdicts afterwards."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import _show

Listener = Callable[[str, str, dict[str, Any] | None], None]
_VERDICTS = ("holds", "fails", "withheld")


@contextmanager
def progress(count: int) -> Iterator[Listener]:
    """A listener for `run_studies`: a bar on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda slug, event, record: _print(_line(slug, event, record))
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True, markup=False, highlight=False)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=count)
        running: list[str] = []

        def report(slug: str, event: str, record: dict[str, Any] | None) -> None:
            if event == "started":
                running.append(slug)
            else:
                running[:] = [name for name in running if name != slug]
                bar.console.print(_line(slug, event, record))
                bar.advance(task)
            bar.update(task, description=", ".join(running) or "working")

        yield report


def show(summary: Any, folder: str) -> None:
    """A table of verdicts against what was declared, and every disagreement."""
    rows = [_row(record) for record in summary.records]
    rows += [
        (s["slug"], "", "", "", "", f"skipped: {s['reason']}") for s in summary.skipped
    ]
    columns = ("study", "cases", *_VERDICTS, "the judge against the study")
    _show.table(columns, rows)
    for record in summary.records:
        for case in record["cases"]:
            for line in case.get("disagreements", ()):
                print(f"{record['slug']}, {case['name']}: {line}")
    verdict = "Every verdict is as declared." if summary.agrees else "Verdicts differ."
    print(f"{verdict} {summary.seconds:.1f} s. Files: {folder}")


def as_json(summary: Any) -> dict[str, Any]:
    """Verdicts only; plots and figures stay in each study.json."""
    kept = ("name", "method", "result", "expected", "agrees", "disagreements")
    studies = [
        {
            "slug": record["slug"],
            "seconds": record["seconds"],
            "agrees": _agrees(record),
            "cases": [{k: case.get(k) for k in kept} for case in record["cases"]],
        }
        for record in summary.records
    ]
    return {
        "agrees": summary.agrees,
        "size": summary.size,
        "seconds": summary.seconds,
        "studies": studies,
        "skipped": list(summary.skipped),
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    cases = record["cases"]
    judged = Counter(v for case in cases for v in _judged(case))
    counts = [str(judged[name]) for name in _VERDICTS]
    verdict = "as declared" if _agrees(record) else "DIFFERS"
    return record["slug"], str(len(cases)), *counts, verdict


def _judged(case: dict[str, Any]) -> list[str]:
    verdict = case.get("verdict") or {}
    found = ["holds" if c["holds"] else "fails" for c in verdict.get("claims", ())]
    return found + ["withheld"] * len(verdict.get("withheld", ()))


def _agrees(record: dict[str, Any]) -> bool:
    return bool(record["cases"]) and all(case["agrees"] for case in record["cases"])


def _line(slug: str, event: str, record: dict[str, Any] | None) -> str:
    if record is None:
        return f"{slug}: {event}"
    cases = record["cases"]
    agreeing = sum(bool(case["agrees"]) for case in cases)
    return (
        f"{slug}: {event} in {record['seconds']:.1f} s, "
        f"{agreeing} of {len(cases)} cases judged as declared"
    )


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
