"""Words of the form `name=value` and `a.b=value`, and nested tables of options."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from ._refusal import Refusal


def files(flag: str, words: Iterable[str]) -> dict[str, list[str]]:
    """`name=file` words as a mapping; a name given again gathers its files."""
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not (name and equals and file):
            raise Refusal(f"{flag} {word}: expected NAME=FILE, such as points=a.csv.")
        found.setdefault(name, []).append(file)
    return found


def single_files(flag: str, words: Iterable[str]) -> dict[str, str]:
    """The same, where a name stands for one file."""
    found = files(flag, words)
    for name, given in found.items():
        if len(given) > 1:
            raise Refusal(f"{flag} {name} is given twice: {' and '.join(given)}.")
    return {name: given[0] for name, given in found.items()}


def options(words: Iterable[str]) -> dict[str, Any]:
    """`a.b=value` words as nested tables; values are read as TOML, else as text."""
    tables: dict[str, Any] = {}
    for word in words:
        path, equals, text = word.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise Refusal(
                f"--option {word}: expected NAME=VALUE, such as rtol=1e-8 or "
                "method.max_steps=50."
            )
        table: Any = literal(text.strip())
        for name in reversed(names):
            table = {name: table}
        tables = merge(tables, table)
    return tables


def literal(text: str) -> Any:
    """A TOML value, or the text itself where it is none; Python's spelling is known."""
    spelled = {"True": "true", "False": "false"}.get(text, text)
    try:
        document = tomllib.loads(f"value = {spelled}")
    except tomllib.TOMLDecodeError:
        document = {}
    if list(document) == ["value"]:
        return document["value"]
    try:
        return float(text)  # ".5" and "1." are no TOML
    except ValueError:
        return text


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables united; `above` wins. A bare name stands for a table's kind."""
    merged = dict(below)
    for name, value in above.items():
        present = merged.get(name)
        if isinstance(value, Mapping):
            if isinstance(present, str):
                present = {"kind": present}
            if isinstance(present, Mapping):
                value = merge(_under(present, value), value)
        elif isinstance(value, str) and isinstance(present, Mapping):
            value = merge(_under(present, {"kind": value}), {"kind": value})
        merged[name] = value
    return merged


def _under(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of one kind mean nothing to another."""
    kind = above.get("kind")
    return below if kind in (None, below.get("kind", kind)) else {}
