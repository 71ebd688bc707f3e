"""Tables and JSON on stdout."""

import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

PIPED_WIDTH = 120


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = ""
) -> None:
    """Prints a table. Cells are plain text; a last column takes what width is left."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    body = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(columns),
    )
    for index, column in enumerate(columns):
        body.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        body.add_row(*(_cell(text) for text in row))
    console().print(body)


def console() -> Any:
    """A console that prints text as it is."""
    from rich.console import Console

    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(width=fixed, markup=False, highlight=False, emoji=False)


def _cell(text: str) -> Any:
    from rich.text import Text

    styles = {"holds": "green", "FAILS": "bold red", "withheld": "yellow"}
    return Text(text, style=styles.get(text, ""))


def as_json(value: Any) -> str:
    """Indented JSON; numbers that are not finite become null."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Tuples become lists, NumPy scalars Python's, what is not finite None."""
    if isinstance(value, dict):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value
