"""`certificate.json`: its one byte form, and every rule that its content obeys."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .case import Rule
from .errors import Unreadable
from .npy import MAX_DIMENSIONS
from .packed import DTYPES, IDENTIFIER, NAME, canonical_json

FORMAT = "lemma/1"
FIELDS = (
    "format",
    "system",
    "problem",
    "claims",
    "withheld",
    "uncertified",
    "method",
    "key",
    "result",
    "stats",
    "versions",
    "members",
)
PROBLEM = ("kind", "json", "digest", "embedded", "arrays")
CLAIM = (
    "id",
    "grade",
    "relation",
    "statement",
    "promised",
    "parameters",
    "witness",
)
_SYSTEM = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"(value|witness|trace)/[a-z0-9_]{1,64}")
_VALUE = re.compile(r"value/[a-z0-9_]{1,64}")


def encode(record: Mapping[str, Any]) -> bytes:
    """ASCII JSON, one space of indentation, keys in the order given.

    **Raises:** `ValueError` or `TypeError` for what JSON cannot hold.
    """
    text = json.dumps(record, indent=1, allow_nan=False)
    return text.encode("ascii") + b"\n"


def decode(data: bytes, depth: int) -> dict[str, Any]:
    """The inverse of `encode`.

    **Raises:** `Unreadable` for bytes that `encode` would not have written,
    duplicate keys, numbers that are not finite or need more than 64 bits, and
    nesting deeper than `depth`.
    """
    try:
        record = json.loads(
            data.decode("ascii"),
            object_pairs_hook=_object,
            parse_constant=_not_finite,
        )
        _plain(record, depth)
        same = encode(record) == data
    except RecursionError as error:
        raise Unreadable("certificate.json nests too deep") from error
    except (ValueError, TypeError) as error:
        raise Unreadable(f"certificate.json is not JSON: {error}") from error
    if not same or not isinstance(record, dict):
        raise Unreadable("certificate.json is not in canonical form")
    return record


def validate(record: dict[str, Any], rules: Mapping[str, Rule]) -> None:
    """Everything about the record that needs no array.

    **Raises:** `Unreadable`: where, expected, got.
    """
    if record.get("format") != FORMAT:
        got = str(record.get("format"))[:40]
        raise _bad("format", f"{FORMAT!r}; a newer lemmata-checker may know it", got)
    _fields(record, FIELDS, "the record")
    _text(record["system"], "system", _SYSTEM)
    _problem(record["problem"])
    _claims(record["claims"], rules)
    _withheld(record["withheld"], rules)
    _unique(record["uncertified"], "uncertified")
    for path in record["uncertified"]:
        _text(path, "uncertified", _VALUE)
    if record["method"] is not None:
        _fields(record["method"], ("name", "options"), "method")
        _text(record["method"]["name"], "method.name")
        _object_of(record["method"]["options"], "method.options")
    if record["result"] is not None:
        _fields(record["result"], ("name", "sentence"), "result")
        for part in ("name", "sentence"):
            _text(record["result"][part], f"result.{part}")
    _key(record["key"])
    _stats(record["stats"])
    for name, version in _object_of(record["versions"], "versions").items():
        _text(version, f"versions.{name[:40]}")
    for name, stated in _object_of(record["members"], "members").items():
        _text(stated, f"members.{name[:80]}", _DIGEST)


def _problem(problem: Any) -> None:
    _fields(problem, PROBLEM, "problem")
    _text(problem["kind"], "problem.kind", IDENTIFIER)
    _text(problem["digest"], "problem.digest", _DIGEST)
    if not isinstance(problem["embedded"], bool):
        raise _bad("problem.embedded", "true or false", problem["embedded"])
    arrays = _object_of(problem["arrays"], "problem.arrays")
    for name in (*_object_of(problem["json"], "problem.json"), *arrays):
        _text(name, "a name in problem", NAME)
    for name, signature in arrays.items():
        where = f"problem.arrays.{name}"
        if name in problem["json"]:
            raise _bad(where, "a name that problem.json does not have", name)
        _fields(signature, ("dtype", "shape"), where)
        if signature["dtype"] not in DTYPES:
            raise _bad(f"{where}.dtype", f"one of {DTYPES}", signature["dtype"])
        shape = signature["shape"]
        sizes = isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS
        if not sizes or not all(type(size) is int and size >= 0 for size in shape):
            raise _bad(f"{where}.shape", "a list of sizes", shape)


def _claims(claims: Any, rules: Mapping[str, Rule]) -> None:
    for index, claim in enumerate(_list(claims, "claims")):
        where = f"claims[{index}]"
        _fields(claim, CLAIM, where)
        rule = known(claim["id"], rules)
        for name in ("grade", "relation", "statement"):
            if claim[name] != getattr(rule, name):
                got = str(claim[name])[:80]
                raise _bad(
                    f"{where}.{name}", f"{getattr(rule, name)!r} ({rule.id})", got
                )
        if not is_number(claim["promised"]):
            raise _bad(f"{where}.promised", "a finite number", claim["promised"])
        for name in _object_of(claim["parameters"], f"{where}.parameters"):
            _text(name, f"{where}.parameters", NAME)
        for name, source in _object_of(claim["witness"], f"{where}.witness").items():
            _text(name, f"{where}.witness", NAME)
            _text(source, f"{where}.witness.{name}", _SOURCE)
    _unique([[claim["id"], claim["parameters"]] for claim in claims], "claims")


def _withheld(withheld: Any, rules: Mapping[str, Rule]) -> None:
    for index, entry in enumerate(_list(withheld, "withheld")):
        _fields(entry, ("id", "reason"), f"withheld[{index}]")
        known(entry["id"], rules)
        _text(entry["reason"], f"withheld[{index}].reason")
    _unique(withheld, "withheld")


def known(claim_id: Any, rules: Mapping[str, Rule]) -> Rule:
    """The rule of an id.

    **Raises:** `Unreadable` if this judge has none.
    """
    rule = rules.get(claim_id) if isinstance(claim_id, str) else None
    if rule is None:
        shown = str(claim_id)[:80]
        raise Unreadable(
            f"claim {shown!r} is not known to this lemmata-checker; "
            "a newer version may be needed"
        )
    return rule


def is_number(value: Any) -> bool:
    """Whether it is a JSON number that is finite as a float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2.0**1023 if isinstance(value, int) else math.isfinite(value)


def _plain(value: Any, depth: int) -> None:
    if depth < 0:
        raise Unreadable("certificate.json nests too deep")
    if isinstance(value, int) and abs(value) >= 2**64:
        raise ValueError("an integer needs more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large for float64")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            _plain(child, depth - 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice in one object")
    return found


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _key(key: Any) -> None:
    words = key if isinstance(key, list) else [] if key is None else [key]
    if not all(type(word) is int for word in words):
        raise _bad("key", "an integer, a list of integers or null", key)


def _stats(stats: Any) -> None:
    _fields(stats, ("steps", "seconds"), "stats")
    if type(stats["steps"]) is not int or stats["steps"] < 0:
        raise _bad("stats.steps", "an integer from 0", stats["steps"])
    for name, seconds in _object_of(stats["seconds"], "stats.seconds").items():
        if not is_number(seconds):
            raise _bad(f"stats.seconds.{name[:40]}", "a number", seconds)


def _unique(entries: Any, where: str) -> None:
    seen = [canonical_json(entry) for entry in _list(entries, where)]
    if len(set(seen)) != len(seen):
        raise _bad(where, "no entry twice", "a duplicate")


def _fields(value: Any, names: tuple[str, ...], where: str) -> None:
    found = _object_of(value, where)
    if tuple(found) != names:
        got = ", ".join(found)[:200] or "none"
        raise _bad(where, f"the fields {', '.join(names)}, in this order", got)


def _object_of(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(where, "an object", value)
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(where, "a list", value)
    return value


def _text(value: Any, where: str, pattern: re.Pattern[str] | None = None) -> None:
    if not isinstance(value, str):
        raise _bad(where, "a string", value)
    if pattern is not None and not pattern.fullmatch(value):
        raise _bad(where, f"a string like {pattern.pattern}", value)


def _bad(where: str, expected: str, got: Any) -> Unreadable:
    return Unreadable(f"{where}: expected {expected}, got {str(got)[:80]!r}")
