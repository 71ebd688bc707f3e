"""Reading JSON that nobody vouches for: typed, bounded, errors that name the place."""

import json
import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import Unreadable

MAX_JSON_BYTES = 48 * 2**20
MAX_TEXT = 20_000  # characters of one text
MAX_ITEMS = 4_096  # cases, claims, rows, ...; series of numbers have their own bound
_MISSING = object()
_WORDS = {"inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "nan": math.nan}
_WORDS |= {"-infinity": -math.inf}


def is_word(text: str) -> bool:
    """Whether `text` stands for a number that JSON has no sign for."""
    return text.lower() in _WORDS


@dataclass(frozen=True)
class Node:
    """A JSON value and where it stands; a missing key gives an empty node."""

    value: Any
    where: str

    @property
    def missing(self) -> bool:
        """The key is absent or null."""
        return self.value is _MISSING or self.value is None

    def expected(self, what: str) -> Unreadable:
        """The error to raise when this value is not `what`."""
        got = "nothing" if self.value is _MISSING else type(self.value).__name__
        return Unreadable(f"{self.where}: expected {what}, got {got}")

    def __getitem__(self, key: str) -> "Node":
        if self.missing:
            return Node(_MISSING, f"{self.where}.{key}")
        if not isinstance(self.value, dict):
            raise self.expected("an object")
        return Node(self.value.get(key, _MISSING), f"{self.where}.{key}")

    def text(self, default: str = "") -> str:
        """A text, cut at `MAX_TEXT` characters."""
        if self.missing:
            return default
        if not isinstance(self.value, str):
            raise self.expected("text")
        return self.value[:MAX_TEXT]

    def cell(self) -> str | float | bool | None:
        """A table's cell: text, number, yes or no, or nothing."""
        if self.missing or isinstance(self.value, bool):
            return None if self.missing else self.value
        return self.text() if isinstance(self.value, str) else self.number()

    def number(self) -> float | None:
        """A number, `None` where there is none; "inf" and "nan" are read as such."""
        if self.missing:
            return None
        if isinstance(self.value, str) and is_word(self.value):
            return _WORDS[self.value.lower()]
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.expected("a number")
        try:
            return float(self.value)
        except OverflowError:
            return math.copysign(math.inf, self.value)

    def flag(self) -> bool | None:
        """True, false, or `None` where nothing is said."""
        if self.missing:
            return None
        if not isinstance(self.value, bool):
            raise self.expected("true or false")
        return self.value

    def choice(self, options: tuple[str, ...]) -> str:
        """One of `options`; the first where nothing is said."""
        found = self.text(options[0])
        if found not in options:
            raise Unreadable(f"{self.where}: expected one of {', '.join(options)}")
        return found

    def items(self, limit: int = MAX_ITEMS) -> list["Node"]:
        """The elements of a list, at most `limit`."""
        raw = enumerate(self.raw(limit))
        return [Node(value, f"{self.where}[{index}]") for index, value in raw]

    def raw(self, limit: int) -> list[Any]:
        """The elements as they are, at most `limit`: for long lists of numbers."""
        if self.missing:
            return []
        if not isinstance(self.value, list):
            raise self.expected("a list")
        if len(self.value) > limit:
            raise Unreadable(f"{self.where}: {len(self.value)} items, {limit} allowed")
        return self.value

    def pairs(self) -> Iterator[tuple[str, "Node"]]:
        """The keys of an object with their nodes."""
        if self.missing:
            return
        if not isinstance(self.value, dict):
            raise self.expected("an object")
        if len(self.value) > MAX_ITEMS:
            raise Unreadable(f"{self.where}: more than {MAX_ITEMS} keys")
        for key, value in self.value.items():
            yield str(key)[:200], Node(value, f"{self.where}.{key}"[:200])

    def texts(self) -> dict[str, str]:
        """An object whose values are shown as text."""
        return {key: _shown(node) for key, node in self.pairs()}

    def numbers(self) -> dict[str, float]:
        """An object of numbers; nulls are left out."""
        found = {key: node.number() for key, node in self.pairs()}
        return {key: number for key, number in found.items() if number is not None}


def _shown(node: Node) -> str:
    value = node.value
    if isinstance(value, str):
        return node.text()
    return "" if node.missing else json.dumps(value, allow_nan=True)[:MAX_TEXT]


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file's bytes; links and anything above `limit` are refused.

    **Raises:** `Unreadable`, naming the file without its folder.
    """
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{path.name}: not a regular file")
        if status.st_size > limit:
            size = f"{status.st_size} bytes, {limit} allowed"
            raise Unreadable(f"{path.name}: {size}")
        return path.read_bytes()
    except FileNotFoundError:
        raise Unreadable(f"{path.name}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreadable(f"{path.name}: {reason}") from None


def read_json(path: Path, format_name: str) -> Node:
    """The root of a JSON file whose "format" is `format_name`.

    **Raises:** `Unreadable`.
    """
    raw = read_bytes(path, MAX_JSON_BYTES)
    try:
        root = Node(json.loads(raw), path.name)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name}: not JSON ({error})"[:300]) from None
    if root["format"].text() != format_name:
        raise Unreadable(f'{path.name}: expected "format": "{format_name}"')
    return root
