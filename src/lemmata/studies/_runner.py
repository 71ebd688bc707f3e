"""Runs studies, two at a time or on a Dask cluster, and has each answer judged.

A worker works in a folder of its own and hands back files, so that workers need no
common disk. The judge is the separate program `lemmata-check`.
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .. import catalogue
from .._compilation import keep_compiled_code
from ._record import StudyRecord

JUDGE = (sys.executable, "-m", "lemmata_checker", "--json")
SIZES = ("tour", "quick", "paper")
TOUR_SECONDS = 165.0  # a tour that takes longer lists the rest as skipped


@dataclass(frozen=True)
class Summary:
    """What a set of studies came to; `agrees` decides the exit code."""

    size: str
    seconds: float
    records: tuple[dict[str, Any], ...]
    skipped: tuple[dict[str, str], ...]

    @property
    def agrees(self) -> bool:
        """Whether the judge's verdicts equal what every study declared."""
        return bool(self.records) and all(
            case["agrees"] for record in self.records for case in record["cases"]
        )


Listener = Callable[[str, str, dict[str, Any] | None], None]
"""Called with `(slug, "started" | "finished" | "skipped", record or None)`."""


def run_studies(
    slugs: list[str],
    size: str,
    out: Path,
    *,
    workers: int = 2,
    progress: Listener | None = None,
    cluster: str | None = None,
) -> Summary:
    """Runs the studies of `slugs`, writes them under `out`, one folder each.

    **Arguments:**

    - `size`: `tour` (seconds a system), `quick` (minutes) or `paper`.
    - `workers`: local processes; each has its own JAX.
    - `cluster`: address of a Dask scheduler instead of local processes.

    **Raises:** whatever a study raises: a study that breaks is an error, not a verdict.
    """
    begun = time.monotonic()
    deadline = begun + TOUR_SECONDS if size == "tour" else float("inf")
    report = progress or (lambda slug, event, record: None)
    waiting, running = list(slugs), {}
    records, skipped = [], []
    with _pool(workers, cluster) as submit:
        while waiting or running:
            while waiting and len(running) < workers:
                slug = waiting.pop(0)
                if time.monotonic() > deadline:
                    reason = f"the tour's {TOUR_SECONDS:.0f} s were over"
                    skipped.append({"slug": slug, "reason": reason})
                    report(slug, "skipped", None)
                    continue
                running[submit(study_files, slug, size)] = slug
                report(slug, "started", None)
            for future in _next(list(running)):
                slug = running.pop(future)
                records.append(_write(out / slug, future.result()))
                report(slug, "finished", records[-1])
    records.sort(key=lambda record: record["slug"])
    seconds = time.monotonic() - begun
    summary = Summary(size, seconds, tuple(records), tuple(skipped))
    _write_summary(out, summary)
    return summary


def _write(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = folder / (name + "~")
        temporary.write_bytes(content)
        os.replace(temporary, folder / name)
    return json.loads(files["study.json"])


def _write_summary(out: Path, summary: Summary) -> None:
    content = {
        "format": "lemmata-studies/1",
        "size": summary.size,
        "seconds": summary.seconds,
        "studies": [record["slug"] for record in summary.records],
        "agrees": summary.agrees,
        "skipped": list(summary.skipped),
    }
    _write(out, {"summary.json": json.dumps(content).encode(), "study.json": b"{}"})
    (out / "study.json").unlink()


@contextmanager
def _pool(workers: int, cluster: str | None) -> Iterator[Callable[..., Any]]:
    """A `submit(function, *arguments)` that returns futures."""
    if cluster is not None:
        from distributed import Client

        with Client(cluster) as client:
            yield client.submit
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare) as executor:
        yield executor.submit


def _next(futures: list[Any]) -> list[Any]:
    """The futures that are done, at least one."""
    if not futures:
        return []
    if isinstance(futures[0], Future):
        return list(wait(futures, return_when=FIRST_COMPLETED).done)
    from distributed import wait as wait_for_cluster

    found: Any = wait_for_cluster(futures, return_when=FIRST_COMPLETED)
    return list(found.done)


def _prepare() -> None:
    """Settings of a worker process, made before JAX is imported in it."""
    keep_compiled_code()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def study_files(slug: str, size: str) -> dict[str, bytes]:
    """Runs one study and has it judged; returns the files of its folder."""
    from ..core import versions
    from ._desk import Desk

    entry = catalogue.entry(slug)
    record = StudyRecord(slug, size, entry.title, versions=versions())
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        importlib.import_module(entry.study).study(size, Desk(record, folder))
        record.seconds = time.perf_counter() - begun
        for case in record.cases:
            _judge(folder, case)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {"study.json": json.dumps(record.as_json()).encode()}


def _judge(folder: Path, case: Any) -> None:
    """Runs `lemmata-check` apart and compares with what was declared."""
    done = subprocess.run(
        [*JUDGE, case.file], cwd=folder, capture_output=True, check=False
    )
    case.verdict = json.loads(done.stdout or b"{}") | {"exit": done.returncode}
    found = {w["id"]: "withheld" for w in case.verdict.get("withheld", ())}
    for claim in case.verdict.get("claims", ()):
        before = found.get(claim["id"], "holds")  # one id may be claimed of two plans
        found[claim["id"]] = before if claim["holds"] else "fails"
    ids = sorted({*found, *case.expected})
    pairs = {i: (case.expected.get(i, "nothing"), found.get(i, "absent")) for i in ids}
    case.disagreements = [
        f"{i}: declared {declared}, judged {judged}"
        for i, (declared, judged) in pairs.items()
        if declared != judged
    ]
    code = 1 if "fails" in case.expected.values() else 0
    case.agrees = not case.disagreements and done.returncode == code


def as_dict(summary: Summary) -> dict[str, Any]:
    """A summary as JSON, for `--json`."""
    return dataclasses.asdict(summary) | {"agrees": summary.agrees}
