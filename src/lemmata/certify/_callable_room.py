"""The room as a module that can be called: it shares its name with a function."""

from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """`lemmata.certify(problem, value)` is `lemmata.core.certify(problem, value)`."""

    def __call__(self, problem: Any, value: Any) -> Any:
        """As `lemmata.core.certify`."""
        from ..core import certify

        return certify(problem, value)
