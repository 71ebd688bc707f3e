"""Decide lemmata certificates again, without JAX and without trusting the solver.

Names load on first use, so that `lemmata-check --help` needs no NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archive import Limits as Limits
    from .case import (
        Case as Case,
        Decision as Decision,
        Measurement as Measurement,
        Rule as Rule,
        decide as decide,
    )
    from .document import Document as Document, read as read, write as write
    from .errors import (
        BadRequest as BadRequest,
        CheckerError as CheckerError,
        Malformed as Malformed,
        Unreadable as Unreadable,
    )
    from .packed import Packed as Packed, digest as digest
    from .readers import (
        CSR as CSR,
        read_array as read_array,
        read_sparse as read_sparse,
    )
    from .report import Report as Report, check as check
    from .rules import RULES as RULES

_HOMES = {
    "archive": ("Limits",),
    "case": ("Case", "Decision", "Measurement", "Rule", "decide"),
    "document": ("Document", "read", "write"),
    "errors": ("BadRequest", "CheckerError", "Malformed", "Unreadable"),
    "packed": ("Packed", "digest"),
    "readers": ("CSR", "read_array", "read_sparse"),
    "report": ("Report", "check"),
    "rules": ("RULES",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
