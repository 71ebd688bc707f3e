"""The commented run file of a system, from its catalogue entry."""

import ast
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from ..catalogue import Data, Entry, Method, Option, Problem
from . import _schema
from ._refusal import Refusal, nearest

_HEAD = """\
Run file: fill in [data], then `lemmata solve` this file. Lines that begin with # and no
space are settings at their defaults: take the # away to change one. Paths are relative
to this file. Flags of `lemmata solve` win over what is written here."""
_FORMATS = """\
Files: .npy .npz .csv .tsv .mtx .parquet, pictures (.png .jpg ... become colours, one
row a pixel). "arrays.npz#name" takes one array, "table.parquet#x,y" columns,
"photo.png#colours=1000" that many pixels."""
_EXAMPLES = {"float": "1.0", "int": "1", "bool": "true", "str": '"text"'}


def template(
    entry: Entry, problem: str | None = None, method: str | None = None
) -> str:
    """A run file that `lemmata solve` accepts once its data are there.

    `problem` and `method` are names; None takes the first that the catalogue has.
    """
    asked = _named("problem", problem, entry.problems)
    solvers = [m for m in entry.methods if asked.kind in m.solves]
    solvers.sort(key=lambda m: m.baseline)
    chosen = _named("method", method, solvers)
    lines = [
        *_prose(f"{entry.slug}: {entry.title}"),
        *_prose(entry.question),
        "#",
        *_prose(_HEAD),
        "",
        f"system = {json.dumps(entry.slug)}",
        "",
        "[data]",
        *_prose(_FORMATS),
        *_data(asked.data),
        "",
        "[problem]",
        *_choice("problem", asked, entry.problems),
        *_options(entry, asked.options, "problem"),
        "",
        "[method]",
        *_choice("method", chosen, solvers),
        *_options(entry, chosen.options, "method"),
        "",
        *_run(entry.slug),
    ]
    return "\n".join(lines) + "\n"


def _named(what: str, name: str | None, known: Sequence[Any]) -> Any:
    names = [one.name for one in known]
    if name is not None and name not in names:
        raise Refusal(f"There is no {what} {name!r} here; {nearest(name, names)}")
    if not names:
        raise Refusal(f"The catalogue has no {what} for this system.")
    return known[names.index(name)] if name else known[0]


def _data(data: Iterable[Data]) -> list[str]:
    lines = []
    for one in data:
        lines += _prose(
            f"{one.name}{'' if one.required else ' (optional)'}: {one.about}"
        )
        mark = "" if one.required else "#"
        lines.append(f"{mark}{one.name} = {json.dumps(one.name + '.npy')}")
    return lines


def _choice(
    what: str, chosen: Problem | Method, known: Iterable[Problem | Method]
) -> list[str]:
    others = [one for one in known if one is not chosen]
    lines = _prose(chosen.about) + [f"kind = {json.dumps(chosen.name)}"]
    for one in others:
        word = "baseline" if getattr(one, "baseline", False) else what
        lines += _prose(f'other {word}: kind = "{one.name}": {one.about}')
    if others:
        lines += _prose(f"`lemmata init --{what} NAME` writes the options of another.")
    return lines


def _options(entry: Entry, options: Iterable[Option], path: str) -> list[str]:
    """Plain options first: in TOML whatever follows a nested table belongs to it."""
    plain, nested = [], []
    for option in options:
        kind = _kind(entry, option)
        note = option.default or "required"
        head = f"{option.name} ({option.type}; {note}): {option.about}"
        if kind is None:
            plain += [*_prose(head), f"#{option.name} = {_literal(option)}"]
        else:
            nested += ["", *_prose(head), *_nested(entry, option, kind, path)]
    return plain + nested


def _nested(entry: Entry, option: Option, kind: str, path: str) -> list[str]:
    parts = {part.name: part for part in entry.parts}
    inner = f"{path}.{option.name}"
    lines = [f"#[{inner}]", f"#kind = {json.dumps(kind)}"]
    if "None" in _schema.split(option.type):
        lines += _prose(
            f'to switch it off: {option.name} = "none" in place of the table'
        )
    preset = _arguments(option.default, kind, parts[kind].options)
    lines += _options(entry, preset, inner)
    named = [name for name in _schema.split(option.type) if name in parts]
    if not named and len(parts) > 1:
        lines += _prose(f"other types: see `lemmata info {entry.slug}`")
    for name in named:
        if name != kind:
            given = ", ".join(o.name for o in parts[name].options) or "none"
            about = parts[name].about
            lines += _prose(f'or kind = "{name}": {about} Options: {given}')
    return lines


def _kind(entry: Entry, option: Option) -> str | None:
    """The option type that the template shows for a nested option."""
    names = [part.name for part in entry.parts]
    default = _schema.default_kind(option)
    if default in names:
        return default
    return next((name for name in _schema.split(option.type) if name in names), None)


def _arguments(default: str, kind: str, options: Sequence[Option]) -> list[Option]:
    """A part's options; what `Part(a=1)` says of them counts as their default."""
    try:
        call = ast.parse(default.strip(), mode="eval").body
    except SyntaxError:
        return list(options)
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != kind:
        return list(options)
    given = dict(zip([o.name for o in options], call.args, strict=False))
    given |= {word.arg: word.value for word in call.keywords if word.arg}
    return [
        Option(o.name, o.type, ast.unparse(given[o.name]), o.about)
        if o.name in given
        else o
        for o in options
    ]


def _literal(option: Option) -> str:
    """The default as TOML; where it is a description, an example of the type."""
    try:
        return _toml(ast.literal_eval(option.default.strip()))
    except (ValueError, SyntaxError, TypeError):
        first = _schema.split(option.type)[0]
        quoted = json.dumps(first[1:-1]) if first[:1] in "'\"" else '"none"'
        return "[]" if first[:4] in ("list", "tupl") else _EXAMPLES.get(first, quoted)


def _toml(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    raise TypeError(value)


def _run(slug: str) -> list[str]:
    settings = (
        ("output", json.dumps(slug), "folder for the answer"),
        ("#key", "0", "random key"),
        ("#max_steps", "1000", "stop after so many steps (default: no limit)"),
        ("#time_limit", "600.0", "stop after so many seconds (default: no limit)"),
        ("#checkpoint", "true", "keep output/checkpoint.zip; resume from it"),
        ("#start", '"previous/answer.lemma"', "warm-start from an earlier answer"),
    )
    return ["[run]"] + [f"{name} = {v}  # {about}" for name, v, about in settings]


def _prose(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), 88, initial_indent="# ", subsequent_indent="# "
    )
