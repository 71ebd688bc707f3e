"""The two kinds of page, filled from templates that escape everything."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from . import _format, _margin, _speed
from ._gather import System, rooms
from ._outcome import GRADES, judge, total
from ._plot import drawing, script_json


@dataclass(frozen=True)
class Picture:
    """An image beside the page, with its size in pixels."""

    file: str
    width: int
    height: int


@dataclass(frozen=True)
class Attachments:
    """Files copied beside a page, and why others were not: all by the study's name."""

    certificates: dict[str, str]
    pictures: dict[str, Picture]
    problems: dict[str, str]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("arxiv", "cell", "count", "number", "pair", "plain", "prose", "seconds")
    environment.filters |= {name: getattr(_format, name) for name in (*names, "times")}
    environment.globals |= {
        "pair": _format.pair,
        "margin": _margin.margin,
        "margin_line": round(_margin.LINE, 2),
        "margin_ticks": _margin.ticks(),
        "place": _speed.place,
        "grades": GRADES,
        "lemmata_version": __version__,
    }
    return environment


def front_page(systems: list[System]) -> str:
    """The page over all systems."""
    shown = [system for system in systems if system.study]
    speeds = {s.slug: _speed.speed(s.benchmark) for s in systems if s.benchmark}
    return (
        _environment()
        .get_template("front.html")
        .render(
            root="",
            shown=shown,
            rooms=rooms(systems),
            absent=[system for system in systems if not system.study],
            tally=total(system.tally for system in shown),
            cases=sum(len(s.study.cases) for s in shown if s.study),
            sizes=sorted({s.study.size for s in shown if s.study and s.study.size}),
            speeds=speeds,
            versions=_versions(s.study.versions for s in shown if s.study),
        )
    )


def system_page(
    system: System, attached: Attachments, before: System | None, after: System | None
) -> str:
    """The page of one system, whose study is there."""
    study = system.study
    assert study is not None
    return (
        _environment()
        .get_template("system.html")
        .render(
            root="../",
            system=system,
            study=study,
            cases=[judge(case) for case in study.cases],
            plots=[(plot, _drawing(plot)) for plot in study.plots],
            attached=attached,
            before=before,
            after=after,
        )
    )


def _drawing(plot) -> Markup:
    """The JSON of a plot, safe inside a script element; empty for an image."""
    return Markup("" if plot.kind == "image" else script_json(drawing(plot)))


def _versions(found: Iterable[dict[str, str]]) -> dict[str, str]:
    """Package to version; where studies differ, all of them."""
    merged: dict[str, set[str]] = {}
    for versions in found:
        for name, version in versions.items():
            merged.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(merged[name])) for name in sorted(merged)}
