"""The catalogue of systems: data only, read without importing JAX or any room.

Each room has one or more `_entry*.py` with `ENTRIES`, a tuple of `Entry`. Commands,
documents, reports and the gauntlet know systems through them alone; a test compares
them with the classes they speak of.
"""

import difflib
import importlib
import sys
import types
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a problem or method: name, type, default as text, one sentence."""

    name: str
    type: str
    default: str
    about: str


@dataclass(frozen=True)
class Data:
    """One array that a problem takes from a file."""

    name: str
    about: str
    required: bool = True


@dataclass(frozen=True)
class Problem:
    """A problem class: its kind (the packed form's name), data and options."""

    name: str
    kind: str
    about: str
    data: tuple[Data, ...]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Method:
    """A method class, the problem kinds it solves, and its options.

    `baseline` marks methods that are here to be compared with.
    """

    name: str
    about: str
    solves: tuple[str, ...]
    options: tuple[Option, ...] = ()
    baseline: bool = False


@dataclass(frozen=True)
class ClaimEntry:
    """A claim that answers of this system can carry; the rule itself is the judge's."""

    id: str
    about: str
    withheld_when: str = ""


@dataclass(frozen=True)
class Paper:
    """The paper behind a system; `key` names it in `references.bib`."""

    key: str
    title: str
    authors: str
    venue: str
    arxiv: str = ""


@dataclass(frozen=True)
class Entry:
    """One system.

    - `question`: the user's question that it answers.
    - `parts`: option types that methods take (`TailMass`, `Geometric`, ...).
    - `example`: `module:function` returning a tiny `(problem, method)`.
    - `study`: module with the paper's result replayed.
    - `benchmark`: file under `benchmarks/`.
    """

    slug: str
    title: str
    question: str
    paper: Paper
    problems: tuple[Problem, ...]
    methods: tuple[Method, ...]
    claims: tuple[ClaimEntry, ...]
    example: str
    study: str
    benchmark: str
    parts: tuple[Method, ...] = ()

    @property
    def room(self) -> str:
        """The room's package name."""
        return self.slug.partition("-")[0]


@cache
def entries() -> dict[str, Entry]:
    """Every system by slug, in alphabetical order."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*/_entry*.py")):
        module = importlib.import_module(f"{_beside(path.parent)}.{path.stem}")
        found |= {entry.slug: entry for entry in getattr(module, "ENTRIES", ())}
    return dict(sorted(found.items()))


def _beside(folder: Path) -> str:
    """A package that holds a room's modules without running the room's `__init__`."""
    name = f"lemmata._entries_{folder.name}"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


class UnknownSystem(KeyError):
    """No system of that slug; the message suggests the nearest."""

    def __str__(self) -> str:
        return str(self.args[0])


def entry(slug: str) -> Entry:
    """The entry of a slug. Raises `UnknownSystem` with the nearest slugs."""
    known = entries()
    if slug in known:
        return known[slug]
    near = difflib.get_close_matches(slug, known, n=3, cutoff=0.4) or list(known)
    raise UnknownSystem(f"no system {slug!r}; did you mean {' or '.join(near)}?")


def system_of(kind: str) -> str:
    """The slug of the system that a packed kind belongs to, or one made of it."""
    for found in entries().values():
        if any(problem.kind == kind for problem in found.problems):
            return found.slug
    return kind.partition("/")[0].replace(".", "-").replace("_", "-")


def problem_class(kind: str) -> Any:
    """The class of a packed kind; imports its room. Raises `UnknownSystem`."""
    for found in entries().values():
        for problem in found.problems:
            if problem.kind == kind:
                return getattr(room(found), problem.name)
    raise UnknownSystem(f"no problem of kind {kind!r} in this version of lemmata")


def room(found: Entry) -> Any:
    """The room's module, imported now."""
    return importlib.import_module(f"lemmata.{found.room}")


def resolve(reference: str) -> Any:
    """What `module:name` refers to, imported now."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
