"""Writes the pages into a folder beside the target, then moves them over."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ._errors import ReportError, Unreadable
from ._files import certificate, image
from ._gather import System, gather
from ._pages import Attachments, Picture, front_page, system_page

HERE = Path(__file__).parent
FRONT = "index.html"


def build(studies: Path, out: Path, benchmarks: Path | None) -> Path:
    """See `lemmata.report.write_report`."""
    systems = gather(studies, benchmarks)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".report-") as fresh:
            _fill(Path(fresh), studies, systems)
            _publish(Path(fresh), out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"cannot write the report to {out}: {reason}") from error
    return out / FRONT


def _fill(root: Path, studies: Path, systems: list[System]) -> None:
    assets = root / "assets"
    assets.mkdir()
    shutil.copyfile(plotly_script(), assets / "plotly.min.js")
    for name in ("report.css", "report.js"):
        shutil.copyfile(HERE / name, assets / name)
    shown = [system for system in systems if system.study is not None]
    for index, system in enumerate(shown):
        folder = root / system.slug
        folder.mkdir()
        before = shown[index - 1] if index else None
        after = shown[index + 1] if index + 1 < len(shown) else None
        attached = _attach(studies / system.slug, folder, system)
        page = system_page(system, attached, before, after)
        (folder / FRONT).write_text(page, encoding="utf-8")
    (root / FRONT).write_text(front_page(systems), encoding="utf-8")


def _attach(source: Path, folder: Path, system: System) -> Attachments:
    """Copies certificates and images; what cannot be copied is said on the page."""
    attached = Attachments({}, {}, {})
    assert system.study is not None
    for case in system.study.cases:
        try:
            (folder / case.file).write_bytes(certificate(source, case.file))
            attached.certificates[case.file] = case.file
        except Unreadable as error:
            attached.problems[case.file] = str(error)
    for plot in system.study.plots:
        if plot.kind != "image":
            continue
        try:
            data, width, height = image(source, plot.file)
            (folder / plot.file).write_bytes(data)
            attached.pictures[plot.file] = Picture(plot.file, width, height)
        except Unreadable as error:
            attached.problems[plot.file] = str(error)
    return attached


def plotly_script() -> Path:
    """The plotly.min.js of the installed package, without importing it (slow)."""
    spec = find_spec("plotly")
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / "package_data" / "plotly.min.js"
        if path.is_file():
            return path
    raise ReportError(
        "the installed plotly has no plotly.min.js: pip install 'lemmata[report]'"
    )


def _publish(fresh: Path, out: Path) -> None:
    """Moves every file, the front page last, so that it never links to nothing."""
    for path in _files(fresh):
        target = out / path.relative_to(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)


def _files(fresh: Path) -> Iterator[Path]:
    paths = sorted(path for path in fresh.rglob("*") if path.is_file())
    yield from (path for path in paths if path.parent != fresh)
    yield from (path for path in paths if path.parent == fresh)
