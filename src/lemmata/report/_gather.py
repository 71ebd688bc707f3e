"""Brings together what is known of each system: catalogue, study, benchmark."""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from .. import catalogue
from ._benchmark import Benchmark, read_benchmark
from ._errors import ReportError, Unreadable
from ._fields import read_json
from ._outcome import Tally, tally
from ._study import Study, read_study

SUMMARY = "lemmata-studies/1"
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")


@dataclass(frozen=True)
class System:
    """One system; `study` is `None` if there is none to show, `why` then says why."""

    slug: str
    entry: catalogue.Entry | None
    study: Study | None
    why: str
    benchmark: Benchmark | None
    benchmark_why: str

    @property
    def room(self) -> str:
        """The room's name."""
        return self.slug.partition("-")[0]

    @property
    def title(self) -> str:
        """The system's name for a reader."""
        if self.entry is not None:
            return self.entry.title
        return (self.study.title if self.study else "") or self.slug

    @property
    def tally(self) -> Tally:
        """The counts of its study."""
        return Tally() if self.study is None else tally(self.study)


def gather(studies: Path, benchmarks: Path | None) -> list[System]:
    """All systems of the catalogue and of the folder, by slug.

    **Raises:** `ReportError` if a folder is missing.
    """
    if not studies.is_dir():
        raise ReportError(
            f"no folder {studies}: run `lemmata study --all -o {studies}` first"
        )
    if benchmarks is not None and not benchmarks.is_dir():
        raise ReportError(f"no folder of benchmarks {benchmarks}")
    found = {path.name for path in studies.iterdir() if (path / "study.json").exists()}
    entries = catalogue.entries()
    reasons = _skipped(studies / "summary.json")
    slugs = sorted(found | set(reasons) | set(entries))
    return [
        _system(slug, entries.get(slug), studies, benchmarks, reasons.get(slug, ""))
        for slug in slugs
    ]


def rooms(systems: list[System]) -> list[tuple[str, list[System]]]:
    """The systems that have a study, by room."""
    shown = sorted((s for s in systems if s.study), key=lambda s: (s.room, s.slug))
    return [(room, list(group)) for room, group in groupby(shown, lambda s: s.room)]


def _system(
    slug: str,
    entry: catalogue.Entry | None,
    studies: Path,
    benchmarks: Path | None,
    reason: str,
) -> System:
    if not _SLUG.fullmatch(slug):
        return System(slug[:80], None, None, "its folder's name is no slug", None, "")
    study, why = _study(studies / slug / "study.json", slug, reason)
    benchmark, benchmark_why = None, ""
    path = None if benchmarks is None else benchmarks / f"{slug}.json"
    if path is not None and path.exists():
        try:
            benchmark = read_benchmark(path)
        except Unreadable as error:
            benchmark_why = str(error)
    return System(slug, entry, study, why, benchmark, benchmark_why)


def _study(path: Path, slug: str, reason: str) -> tuple[Study | None, str]:
    if not path.exists():
        return None, reason or "no study in this folder"
    try:
        study = read_study(path)
    except Unreadable as error:
        return None, f"not readable: {error}"
    if study.slug != slug:
        return None, f"not readable: study.json speaks of {study.slug[:80]!r}"
    return (None, study.skipped) if study.skipped else (study, "")


def _skipped(path: Path) -> dict[str, str]:
    """The reasons in summary.json, empty if there is none that can be read."""
    try:
        root = read_json(path, SUMMARY)
        pairs = [
            (item["slug"].text(), item["reason"].text())
            for item in root["skipped"].items()
        ]
    except Unreadable:
        return {}
    return dict(pairs)
