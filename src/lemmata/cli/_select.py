"""Which problem of a system is meant, from the data and options that were given."""

from collections.abc import Iterable, Mapping
from typing import Any

from .. import catalogue
from ._data import stem
from ._refusal import Refusal, nearest
from ._request import Request
from ._schema import fit_all, required


def problem(entry: catalogue.Entry, request: Request) -> catalogue.Problem:
    """The problem named, or the first one that the given data fit."""
    options = [name for name in request.problem if name != "kind"]
    candidates = _candidates(entry, request)
    data = {stem(name): file for name, file in request.data.items()}
    _known("data", data, [d.name for p in candidates for d in p.data])
    _known_option(entry, options, [o.name for p in candidates for o in p.options])
    for found in candidates:
        names = {data.name for data in found.data}
        enough = names.issuperset(data) and not missing(found, data)
        if enough and {o.name for o in found.options}.issuperset(options):
            return found
    fitting = [p for p in candidates if {d.name for d in p.data} >= {*data}]
    if fitting and (lacking := missing(fitting[0], data)):
        flags = " ".join(f"--data {name}=FILE" for name in lacking)
        raise Refusal(
            f"{fitting[0].name} also needs {' and '.join(lacking)}: pass {flags}."
        )
    given = ", ".join([*request.data, *options])
    raise Refusal(
        f"No problem of {entry.slug} takes {given} together; `lemmata info "
        f"{entry.slug}` lists what each takes."
    )


def parameters(
    entry: catalogue.Entry, found: catalogue.Problem, request: Request
) -> dict[str, Any]:
    """The problem's options, fitted. Raises `Refusal` for one that is lacking."""
    given = {name: v for name, v in request.problem.items() if name != "kind"}
    fitted = fit_all(given, found.options, entry, found.name)
    for option in found.options:
        if required(option) and option.name not in fitted:
            raise Refusal(
                f"{found.name} needs {option.name} ({option.about.rstrip('.')}): pass "
                f"--option {option.name}=VALUE."
            )
    return fitted


def method(entry: catalogue.Entry, request: Request) -> catalogue.Method | None:
    """The method named, or None for the problem's own default."""
    kind = request.method.get("kind")
    if kind is None:
        return None
    found = [method for method in entry.methods if method.name == kind]
    if not found:
        hint = nearest(str(kind), [method.name for method in entry.methods])
        raise Refusal(f"{entry.slug} has no method {kind!r}; {hint}")
    return found[0]


def missing(found: catalogue.Problem, given: Iterable[str]) -> list[str]:
    """Names of required data that were not given."""
    return [d.name for d in found.data if d.required and d.name not in {*given}]


def _candidates(entry: catalogue.Entry, request: Request) -> list[catalogue.Problem]:
    solver, name = method(entry, request), request.problem.get("kind")
    names = [problem.name for problem in entry.problems]
    if name is not None and name not in names:
        hint = nearest(str(name), names)
        raise Refusal(f"{entry.slug} has no problem {name!r}; {hint}")
    named = [p for p in entry.problems if name in (None, p.name)]
    solved = [p for p in named if solver is None or p.kind in solver.solves]
    if not solved:
        assert solver is not None
        able = [m.name for m in entry.methods if named[0].kind in m.solves]
        raise Refusal(
            f"{solver.name} does not solve {named[0].name}; take {' or '.join(able)}."
        )
    return solved


def _known(what: str, given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise Refusal(f"There is no {what} {name!r}; {nearest(name, known)}")


def _known_option(entry: catalogue.Entry, given: list[str], known: list[str]) -> None:
    for name in given:
        if name in known:
            continue
        if any(name == o.name for m in entry.methods for o in m.options):
            raise Refusal(
                f"{name!r} is an option of a method, not of the problem: "
                f"--option method.{name}=VALUE, or under [method]."
            )
        raise Refusal(f"The problem has no option {name!r}; {nearest(name, known)}")
