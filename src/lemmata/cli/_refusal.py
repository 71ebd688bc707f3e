"""What the user is told when a command cannot go on."""

import difflib
import sys
from collections.abc import Iterable


class Refusal(Exception):
    """One sentence that says what is wrong and what to do; exit code 2."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest, or all there are."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}." if names else "there are none."


def sentence(error: BaseException) -> str:
    """An error on one line. Surprises are named as such."""
    if isinstance(error, MemoryError) and not str(error):
        return (
            "Not enough memory for this; take less data or a method that stores less."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    text = " ".join(str(error).split())
    if isinstance(error, (*_deliberate(), OSError, ImportError, MemoryError)):
        return text
    return (
        f"Unexpected {type(error).__name__}: {text[:300]} "
        "Run again with --debug for the traceback."
    )


def _deliberate() -> tuple[type[Exception], ...]:
    """Errors raised on purpose; modules not yet loaded cannot have raised any."""
    found: list[type[Exception]] = [Refusal]
    names = (
        ("lemmata.catalogue", "UnknownSystem"),
        ("lemmata.core", "LemmataError"),
        ("lemmata_checker.errors", "CheckerError"),
    )
    for module, name in names:
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)
