"""Options against the catalogue: names, types, nested types. Imports no room."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalogue import Entry, Method, Option
from ._refusal import Refusal, nearest

PLAIN = ("float", "int", "bool", "str", "None", "list", "tuple", "dict", "object")


@dataclass(frozen=True)
class Spec:
    """A class to be made: its name, its options, and the types it may stand for."""

    name: str
    options: Mapping[str, Any]
    stands_for: tuple[str, ...] = ()


def required(option: Option) -> bool:
    """Whether the catalogue gives no default."""
    return option.default.strip().lower() in ("", "...", "required")


def spec(
    table: Mapping[str, Any],
    kind: str,
    known: Sequence[Method],
    entry: Entry,
    where: str,
) -> Spec:
    """The class `kind` among `known` with the options of `table`, all fitted."""
    names = [method.name for method in known]
    if kind not in names:
        raise Refusal(f"{where}: there is no {kind!r}; {nearest(kind, names)}")
    found = known[names.index(kind)]
    given = {name: value for name, value in table.items() if name != "kind"}
    return Spec(kind, fit_all(given, found.options, entry, where))


def fit_all(
    table: Mapping[str, Any], options: Sequence[Option], entry: Entry, where: str
) -> dict[str, Any]:
    """Every entry of a table against the options that there are."""
    known = {option.name: option for option in options}
    fitted = {}
    for name, value in table.items():
        if name not in known:
            hint = nearest(name, known)
            raise Refusal(f"{where} has no option {name!r}; {hint}")
        fitted[name] = fit(value, known[name], entry, f"{where}.{name}")
    return fitted


def fit(value: Any, option: Option, entry: Entry, where: str) -> Any:
    """One value as the option's type wants it. Raises `Refusal`."""
    alternatives = split(option.type)
    for alternative in alternatives:
        for fitted in _plain(value, alternative):
            return fitted
    classes = tuple(name for name in alternatives if _is_class(name))
    if classes and isinstance(value, str | Mapping):
        return _part(value, classes, option, entry, where)
    raise Refusal(f"{where}: expected {option.type}, got {value!r}.")


def split(kind: str) -> list[str]:
    """`"list[int | float] | None"` as its alternatives, brackets left whole."""
    parts, depth = [""], 0
    for character in kind:
        depth += (character in "[(") - (character in "])")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def default_kind(option: Option) -> str | None:
    """`TailMass` of the default `TailMass(cap=0.01)`; None for a plain default."""
    match = re.match(r"[A-Z]\w*", option.default.strip())
    return match.group() if match and match.group() not in PLAIN else None


def _is_class(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][\w.]*", name) is not None and name not in PLAIN


def _plain(value: Any, kind: str) -> list[Any]:
    """The value as a plain type, in a list; an empty list if it is not of that type."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and number:
        return [float(value)]
    if kind == "int" and number and float(value).is_integer():
        return [int(value)]
    if kind == "bool" and isinstance(value, bool):
        return [value]
    if kind == "None" and isinstance(value, str) and value.lower() == "none":
        return [None]
    if kind == "str" and isinstance(value, str):
        return [value]
    if kind[:1] in "'\"" and value == kind[1:-1]:
        return [value]
    if kind in ("dict", "object"):
        return [value] if kind == "object" or isinstance(value, Mapping) else []
    return _sequence(value, kind)


def _sequence(value: Any, kind: str) -> list[Any]:
    match = re.fullmatch(r"(list|tuple)(?:\[(.*)\])?", kind)
    if match is None or not isinstance(value, list):
        return []
    inner = (match.group(2) or "object").removesuffix(", ...").strip()
    items = [[f for alt in split(inner) for f in _plain(v, alt)][:1] for v in value]
    if not all(items):
        return []
    flat = [item[0] for item in items]
    return [tuple(flat) if match.group(1) == "tuple" else flat]


def _part(
    value: str | Mapping[str, Any],
    classes: tuple[str, ...],
    option: Option,
    entry: Entry,
    where: str,
) -> Spec:
    """A nested option: a table with `kind`, or the bare name of a type."""
    table = {"kind": value} if isinstance(value, str) else value
    kind = table.get("kind", default_kind(option))
    if not isinstance(kind, str):
        raise Refusal(f'{where}: say which, as in kind = "{classes[0]}".')
    named = {part.name for part in entry.parts}
    abstract = any(name not in named for name in classes)
    allowed = [p for p in entry.parts if abstract or p.name in classes]
    found = spec(table, kind, allowed, entry, where)
    return Spec(found.name, found.options, classes)
