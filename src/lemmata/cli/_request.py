"""What the user asks for, from a run file, from flags, or from both."""

import argparse
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import _assign
from ._refusal import Refusal, nearest

TABLES = ("system", "data", "problem", "method", "run")
RUN: dict[str, tuple[type, ...]] = {
    "output": (str,),
    "key": (int,),
    "max_steps": (int,),
    "time_limit": (int, float),
    "checkpoint": (bool,),
    "start": (str,),
}
_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True)
class Request:
    """One run.

    **Fields:**

    - `slug`: the system.
    - `data`: array name to file (`arrays.npz#name` allowed).
    - `problem`, `method`: nested tables of options; `kind` names the class.
    - `run`: the entries of `RUN` that were given; paths resolved.
    """

    slug: str
    data: dict[str, str] = field(default_factory=dict)
    problem: dict[str, Any] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The folder for the answer."""
        return Path(self.run.get("output", self.slug))


def gather(args: argparse.Namespace) -> Request:
    """The request of a command line, on top of its run file if it names one."""
    if args.target.endswith(".toml"):
        request = read(Path(args.target))
    else:
        request = Request(args.target)
    tables = _assign.options(args.option)
    method = tables.pop("method", {})
    if not isinstance(method, Mapping):
        method = {"kind": method}
    if getattr(args, "method", None):
        method = _assign.merge({"kind": args.method}, method)
    problem = tables.pop("problem", {})
    if not isinstance(problem, Mapping):
        problem = {"kind": problem}
    method, problem = dict(method), _assign.merge(problem, tables)
    if args.problem:
        problem["kind"] = args.problem
    given = {name: getattr(args, name, None) for name in RUN}
    return replace(
        request,
        data=request.data | _assign.single_files("--data", args.data),
        problem=_over(request.problem, problem),
        method=_over(request.method, method),
        run=request.run | {k: v for k, v in given.items() if v is not None},
    )


def read(path: Path) -> Request:
    """A run file. Relative paths in it are relative to it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal(
            f"There is no run file {path}; `lemmata init SLUG` writes one."
        ) from None
    except UnicodeDecodeError:
        raise Refusal(f"{path} is not a text file in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise Refusal(f"{path} is not valid TOML: {error}.") from None
    for name in content:
        if name not in TABLES:
            raise Refusal(f"{path}: unknown key {name!r}; {nearest(name, TABLES)}")
    slug = content.get("system")
    if not isinstance(slug, str):
        raise Refusal(f'{path}: it must say which system, as in system = "SLUG".')
    base = path.parent
    data = _table(path, content, "data")
    for name, file in data.items():
        if not (isinstance(file, str) and file):
            raise Refusal(
                f"{path}: data.{name} must be the name of a file, got {file!r}."
            )
    return Request(
        slug,
        {name: str(base / file) for name, file in data.items()},
        _table(path, content, "problem"),
        _table(path, content, "method"),
        _run(path, _table(path, content, "run"), slug),
    )


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Flags over a run file: naming another kind drops the options of the first."""
    return _assign.merge({"it": below}, {"it": above})["it"]


def _table(path: Path, content: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = content.get(name, {})
    if isinstance(table, str) and name in ("problem", "method"):
        return {"kind": table}
    if not isinstance(table, dict):
        raise Refusal(f"{path}: {name} must be a table, [{name}], got {table!r}.")
    return table


def _run(path: Path, table: dict[str, Any], slug: str) -> dict[str, Any]:
    for name, value in table.items():
        if name not in RUN:
            raise Refusal(f"{path}: unknown key run.{name}; {nearest(name, RUN)}")
        kinds = RUN[name]
        if not isinstance(value, kinds) or (bool not in kinds and value is True):
            words = _WORDS[kinds[-1]]
            raise Refusal(f"{path}: run.{name} must be {words}, got {value!r}.")
    paths = {"output": slug} | {
        k: v for k, v in table.items() if k in ("output", "start")
    }
    return table | {name: str(path.parent / text) for name, text in paths.items()}
