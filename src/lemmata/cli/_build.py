"""Problem and method as objects, from what the catalogue accepted. Imports the room."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import catalogue
from . import _select
from ._refusal import Refusal
from ._request import Request
from ._schema import Spec, spec


def check_method(entry: catalogue.Entry, request: Request) -> Spec | None:
    """The method's options, as far as they can be checked before the room is loaded."""
    found = _select.method(entry, request)
    if found is None:
        return None
    return spec(request.method, found.name, entry.methods, entry, "method")


def problem(
    entry: catalogue.Entry,
    found: catalogue.Problem,
    parameters: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> Any:
    """The problem of a packed form. Its own errors pass; others become a sentence."""
    room = catalogue.room(entry)
    made = {name: instance(value, room) for name, value in parameters.items()}
    try:
        return getattr(room, found.name).unpack(made, dict(arrays))
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        given = ", ".join([*arrays, *parameters]) or "no data"
        raise Refusal(
            f"{found.name} cannot be made of {given}; `lemmata info {entry.slug}` "
            f"lists what it takes ({type(error).__name__}: {error})."
        ) from error


def method(entry: catalogue.Entry, request: Request, problem: Any) -> Any:
    """The method asked for; without `kind`, the default one with changed options."""
    room = catalogue.room(entry)
    checked = check_method(entry, request)
    if checked is not None:
        return instance(checked, room)
    default = problem.default_method()
    if not request.method:
        return default
    kind = type(default).__name__
    changed = spec(request.method, kind, entry.methods, entry, "method").options
    made = {name: instance(value, room) for name, value in changed.items()}
    return dataclasses.replace(default, **made)


def instance(value: Any, room: Any) -> Any:
    """`Spec`s become objects, from the inside out; anything else is left alone."""
    if not isinstance(value, Spec):
        return value
    made = {name: instance(option, room) for name, option in value.options.items()}
    found = getattr(room, value.name)
    bases = tuple(getattr(room, name, object) for name in value.stands_for)
    if bases and not issubclass(found, bases):
        raise Refusal(f"{value.name} is no {' or '.join(value.stands_for)}.")
    return found(**made)
