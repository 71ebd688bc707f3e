"""Examples in help texts, from the catalogue: this package names no system itself."""

import shlex

from .. import catalogue
from ._schema import required


def fill(text: str) -> str:
    """Puts the names of one system where the text has `{slug}`, `{data}` and so on."""
    found = min(catalogue.entries().values(), key=_asked, default=None)
    words = _words(found) if found else _PLACEHOLDERS
    for name, word in words.items():
        text = text.replace("{" + name + "}", word)
    return text


_PLACEHOLDERS = {
    "slug": "SYSTEM",
    "problem": "PROBLEM",
    "data": "NAME=FILE",
    "option": "NAME=VALUE",
    "method": "NAME",
    "claim": "ID<=X",
}


def _asked(entry: catalogue.Entry) -> tuple[int, int]:
    """Files that its first problem needs and may take: few make a short example."""
    data = entry.problems[0].data
    return sum(piece.required for piece in data), len(data)


def _words(entry: catalogue.Entry) -> dict[str, str]:
    problem = entry.problems[0]
    data = [d for d in problem.data if d.required] or [*problem.data[:1]]
    option = next(iter(o for o in problem.options if required(o)), None)
    methods = [m.name for m in entry.methods if problem.kind in m.solves]
    claim = entry.claims[0].id if entry.claims else "ID"
    return {
        "slug": entry.slug,
        "problem": problem.name,
        "data": " ".join(f"{d.name}={d.name}.csv" for d in data) or "NAME=FILE",
        "option": f"{option.name}=0.01" if option else "NAME=VALUE",
        "method": methods[0] if methods else "NAME",
        "claim": shlex.quote(f"{claim}<=1e-9"),
    }
