"""Plots: read from study.json, checked, and turned into the browser's data.

The page draws them: Python hands over numbers, names and roles, the script beside the
page adds the colours of the theme. Numbers that are not finite become `null`.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ._errors import Unreadable
from ._fields import Node, is_word

KINDS = ("xy", "heatmap", "image", "pattern")
STYLES = ("line", "markers", "bars", "dashed")
ROLES = ("ours", "baseline", "peer", "paper", "bound")
MAX_POINTS = 200_000  # of all series of a plot together
MAX_CELLS = 1_000_000  # of a heatmap
MAX_ENTRIES = 2_000_000  # of a sparsity pattern
DRAWN_ENTRIES = 12_000  # above that a pattern is drawn as counts of blocks
BLOCKS = 240  # blocks along the longer side

Number = float | None


@dataclass(frozen=True)
class Series:
    """One curve: `x` numbers or category names, `y` numbers, equally many."""

    name: str
    x: tuple[Number | str, ...]
    y: tuple[Number, ...]
    style: str
    role: str


@dataclass(frozen=True)
class Plot:
    """One plot; which fields are set depends on `kind`."""

    id: str
    kind: str
    title: str
    caption: str
    x_label: str
    y_label: str
    x_log: bool
    y_log: bool
    series: tuple[Series, ...] = ()
    z: tuple[tuple[Number, ...], ...] = ()
    file: str = ""
    alt: str = ""
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    shape: tuple[int, int] = (0, 0)

    def alone(self) -> str:
        """What a reader who sees no picture is told first."""
        if self.kind == "xy":
            names = ", ".join(series.name for series in self.series if series.name)
            axes = f"{self.y_label or 'y'} over {self.x_label or 'x'}"
            return f"{self.title}: {axes}" + (f", for {names}" if names else "")
        if self.kind == "pattern":
            n, m = self.shape
            return f"{self.title}: {len(self.rows)} nonzeros of a {n} by {m} matrix"
        if self.kind == "heatmap":
            size = f"{len(self.z)} by {len(self.z[0]) if self.z else 0}"
            return f"{self.title}: {size} values as colours"
        return self.alt or self.title

    def hidden(self) -> int:
        """How many points a logarithmic axis cannot show."""
        return sum(
            (self.y_log and y is not None and y <= 0)
            or (self.x_log and isinstance(x, float) and x <= 0)
            for series in self.series
            for x, y in zip(series.x, series.y, strict=True)
        )


def read_plot(node: Node) -> Plot:
    """A plot of study.json. Raises `Unreadable` with the place that is wrong."""
    kind = node["kind"].choice(KINDS)
    name = node["id"].text()
    common = {
        "id": name if re.fullmatch(r"[a-z0-9_-]{1,60}", name) else "",
        "kind": kind,
        "title": node["title"].text(),
        "caption": node["caption"].text(),
        "x_label": node["x_label"].text()[:200],
        "y_label": node["y_label"].text()[:200],
        "x_log": node["x_log"].flag() is True,
        "y_log": node["y_log"].flag() is True,
    }
    return Plot(**common, **_READERS[kind](node))


def _xy(node: Node) -> dict[str, Any]:
    series = tuple(_series(item) for item in node["series"].items(64))
    points = sum(len(one.x) for one in series)
    if points > MAX_POINTS:
        raise Unreadable(f"{node.where}: {points} points, {MAX_POINTS} allowed")
    return {"series": series}


def _series(node: Node) -> Series:
    raw = node["x"].raw(MAX_POINTS)
    words = any(isinstance(value, str) and not is_word(value) for value in raw)
    x = tuple(str(v)[:200] for v in raw) if words else _finite(node["x"], MAX_POINTS)
    y = _finite(node["y"], MAX_POINTS)
    if len(x) != len(y):
        raise Unreadable(f"{node.where}: {len(x)} x for {len(y)} y")
    style, role = node["style"].choice(STYLES), node["role"].choice(ROLES)
    return Series(node["name"].text()[:200], x, y, style, role)


def _finite(node: Node, limit: int) -> tuple[Number, ...]:
    """A list of numbers; what is not finite becomes `None`, a gap in the curve."""
    numbers = []
    for value in node.raw(limit):
        if isinstance(value, float):
            numbers.append(value if math.isfinite(value) else None)
        else:  # whole numbers, null and words such as "inf"; anything else raises
            number = Node(value, node.where).number()
            finite = number is not None and math.isfinite(number)
            numbers.append(number if finite else None)
    return tuple(numbers)


def _heatmap(node: Node) -> dict[str, Any]:
    z = tuple(_finite(row, MAX_CELLS) for row in node["z"].items(MAX_CELLS))
    if len({len(row) for row in z}) > 1 or sum(map(len, z)) > MAX_CELLS:
        raise Unreadable(f"{node.where}.z: expected a table of at most {MAX_CELLS}")
    return {"z": z}


def _image(node: Node) -> dict[str, Any]:
    return {"file": node["file"].text(), "alt": node["alt"].text()}


def _pattern(node: Node) -> dict[str, Any]:
    shape = _indices(node["shape"], 2, 2**31)
    if len(shape) != 2:
        raise node["shape"].expected("two sizes")
    rows = _indices(node["rows"], MAX_ENTRIES, shape[0])
    columns = _indices(node["columns"], MAX_ENTRIES, shape[1])
    if len(rows) != len(columns):
        raise Unreadable(f"{node.where}: {len(rows)} rows for {len(columns)} columns")
    return {"rows": rows, "columns": columns, "shape": (shape[0], shape[1])}


def _indices(node: Node, limit: int, size: int) -> tuple[int, ...]:
    raw = node.raw(limit)
    if not all(type(value) is int and 0 <= value < size for value in raw):
        raise Unreadable(f"{node.where}: expected whole numbers in [0, {size})")
    return tuple(raw)


_READERS = {"xy": _xy, "heatmap": _heatmap, "image": _image, "pattern": _pattern}


def drawing(plot: Plot) -> dict[str, Any]:
    """What the page's script needs to draw `plot`; JSON types only."""
    found: dict[str, Any] = {"kind": plot.kind}
    found |= {"x_label": plot.x_label, "y_label": plot.y_label}
    if plot.kind == "xy":
        found |= {"x_log": plot.x_log, "y_log": plot.y_log}
        found["series"] = [vars(series) for series in plot.series]
    elif plot.kind == "heatmap":
        found["z"] = plot.z
    else:
        found |= _blocks(plot) if len(plot.rows) > DRAWN_ENTRIES else _entries(plot)
    return found


def _entries(plot: Plot) -> dict[str, Any]:
    return {"shape": plot.shape, "rows": plot.rows, "columns": plot.columns}


def _blocks(plot: Plot) -> dict[str, Any]:
    """Counts of nonzeros in square blocks: many markers would make zooming slow."""
    side = -(-max(plot.shape) // BLOCKS)
    counts = Counter(
        (i // side, j // side) for i, j in zip(plot.rows, plot.columns, strict=True)
    )
    height, width = (-(-length // side) for length in plot.shape)
    z = [[counts.get((i, j)) for j in range(width)] for i in range(height)]
    return {"shape": plot.shape, "block": side, "z": z}


def script_json(value: Any) -> str:
    """JSON that may stand inside `<script>`: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text  # ensure_ascii: U+2028 and U+2029 are escaped already
