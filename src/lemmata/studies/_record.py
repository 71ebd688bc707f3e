"""What a study leaves behind: cases, plots, figures and tables, as plain data.

Everything here is JSON (`study.json`) and files beside it, so that the report needs
neither JAX nor the rooms. Every figure is printed from a run, none is typed in, apart
from the paper's own, which say so.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["ours", "baseline", "peer", "paper", "bound"]
Expected = Literal["holds", "fails", "withheld"]


@dataclass(frozen=True)
class Series:
    """One curve or point set of a plot."""

    name: str
    x: list[float]
    y: list[float]
    style: Literal["line", "markers", "bars", "dashed"] = "line"
    role: Role = "ours"


@dataclass(frozen=True)
class Plot:
    """One picture. `kind` says which of the optional fields carry it.

    `xy` needs `series`; `heatmap` needs `z`; `pattern` needs `rows`, `columns`,
    `shape`; `image` needs `file` and `alt`.
    """

    id: str
    kind: Literal["xy", "heatmap", "pattern", "image"]
    title: str
    caption: str = ""
    x_label: str = ""
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    series: tuple[Series, ...] = ()
    z: list[list[float]] | None = None
    rows: list[int] | None = None
    columns: list[int] | None = None
    shape: tuple[int, int] | None = None
    file: str | None = None
    alt: str = ""


@dataclass(frozen=True)
class Figure:
    """The paper's figure beside ours."""

    quantity: str
    paper: str | None
    ours: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Methods and baselines side by side."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass
class CaseRecord:
    """One solved and certified instance, and what the study declares of each claim."""

    name: str
    title: str
    file: str
    method: str
    result: dict[str, str]
    steps: int
    seconds: dict[str, float]
    expected: dict[str, Expected]
    verdict: dict[str, Any] | None = None
    agrees: bool | None = None
    disagreements: list[str] = field(default_factory=list)


@dataclass
class StudyRecord:
    """One system's study, as written to `study.json`."""

    slug: str
    size: str
    title: str
    seconds: float = 0.0
    summary: list[str] = field(default_factory=list)
    cases: list[CaseRecord] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    comparisons: list[Table] = field(default_factory=list)
    skipped: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    format: str = "lemmata-study/1"

    def as_json(self) -> dict[str, Any]:
        """Nested dictionaries and lists."""
        return dataclasses.asdict(self)
